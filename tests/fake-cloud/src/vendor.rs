//! The vendors that this process speaks as. Where each is found, what it takes as a token, and how it refuses; what its API
//! does is in the module of each.

use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::{api, digitalocean, ovh, scaleway};

/// OVHcloud's requests name an application.
static APPLICATION: HeaderName = HeaderName::from_static("x-ovh-application");

/// A vendor's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Vendor {
    /// Hetzner Cloud.
    Hetzner,
    /// DigitalOcean.
    DigitalOcean,
    /// Scaleway.
    Scaleway,
    /// OVHcloud.
    Ovh,
}

/// Why a request does not reach a handler.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal<'a> {
    /// There is none.
    NoToken,
    /// It is not ours.
    WrongToken,
    /// It may only read.
    ReadOnly,
    /// The rate limit is used up.
    RateLimited,
    /// There is no such path.
    NoRoute,
    /// A test asked for an error.
    Fault(StatusCode, &'a str),
}

impl Vendor {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Hetzner, Self::DigitalOcean, Self::Scaleway, Self::Ovh];

    /// Where its API begins.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Hetzner => "/v1",
            Self::DigitalOcean => "/digitalocean/v2",
            Self::Scaleway => "/scaleway",
            Self::Ovh => "/ovh/v1",
        }
    }

    /// Whose path this is, and the path as faults and the log name it: Hetzner's without its prefix, others' whole.
    pub(crate) fn of(path: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|vendor| {
            let rest = path.strip_prefix(vendor.prefix()).filter(|rest| rest.starts_with('/'))?;
            Some((vendor, if vendor == Self::Hetzner { rest } else { path }))
        })
    }

    /// The header that holds the token; in `authorization` it is a bearer.
    pub(crate) fn token_header(self) -> &'static HeaderName {
        match self {
            Self::Hetzner | Self::DigitalOcean => &AUTHORIZATION,
            Self::Scaleway => {
                static TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
                &TOKEN
            }
            // The name of who signs; what proves it stands beside (`ovh::access`).
            Self::Ovh => &APPLICATION,
        }
    }

    /// The token of a request.
    pub(crate) fn token(self, headers: &HeaderMap) -> Option<&str> {
        let header = self.token_header();
        let text = headers.get(header).and_then(|value| value.to_str().ok())?;
        let token = if *header == AUTHORIZATION { text.strip_prefix("Bearer ")? } else { text };
        Some(token).filter(|token| !token.is_empty())
    }

    /// Whether answers tell how much of the rate limit is left.
    pub(crate) fn tells_rate(self) -> bool {
        match self {
            Self::Hetzner | Self::DigitalOcean => true,
            Self::Scaleway | Self::Ovh => false,
        }
    }

    /// Says no as the vendor does.
    pub(crate) fn refuse(self, refusal: Refusal<'_>) -> Response {
        match self {
            Self::Hetzner => api::refuse(refusal),
            Self::DigitalOcean => digitalocean::refuse(refusal),
            Self::Scaleway => scaleway::refuse(refusal),
            Self::Ovh => ovh::refuse(refusal),
        }
    }
}
