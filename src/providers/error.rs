//! What can go wrong at a provider, in our words. Each provider's `parse_error` makes these; `api::problem` maps them to
//! HTTP. The detail is safe to show: no raw body, no credential.

use crate::model::ProviderName;

/// The closed set of outcomes that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The provider does not know the Worker's credential.
    Unauthorized,
    /// The credential may only read.
    TokenReadonly,
    /// No capacity for this type in this place; another one may do.
    Capacity,
    /// A quota of the account is used up.
    Quota,
    /// Too many requests.
    RateLimited,
    /// Something else acts on the resource.
    Conflict,
    /// A name or key is taken.
    AlreadyExists,
    /// There is no such resource.
    NotFound,
    /// The resource is locked or protected.
    Locked,
    /// The provider refuses what we sent.
    Invalid,
    /// The provider is in trouble or cannot be reached; it may have acted.
    Unavailable,
    /// No answer within the deadline; it may have acted.
    TimedOut,
    /// The answer was not what the provider's documentation says; it may have acted.
    Malformed,
    /// The provider was not asked: the calls that this run may make are used up.
    Spent,
}

impl ErrorKind {
    /// The code in problems, attempts and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "provider_unauthorized",
            Self::TokenReadonly => "provider_token_readonly",
            Self::Capacity => "provider_capacity",
            Self::Quota => "provider_quota",
            Self::RateLimited => "provider_rate_limited",
            Self::Conflict => "provider_conflict",
            Self::AlreadyExists => "provider_already_exists",
            Self::NotFound => "provider_not_found",
            Self::Locked => "provider_locked",
            Self::Invalid => "provider_invalid",
            Self::Unavailable => "provider_unavailable",
            Self::TimedOut => "provider_timed_out",
            Self::Malformed => "provider_malformed",
            Self::Spent => "calls_used_up",
        }
    }

    /// Whether the same request may succeed a moment later. Capacity and rate limits are not repeated: the one wants
    /// another place, the other a longer wait.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable | Self::TimedOut)
    }

    /// Whether the provider may have done what was asked although it did not say so.
    pub fn may_have_acted(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut | Self::Malformed)
    }
}

/// A provider's refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Whose.
    pub provider: ProviderName,
    /// What callers act on.
    pub kind: ErrorKind,
    /// What people read, without the provider's name; safe to show.
    pub detail: String,
    /// How long to wait before asking again, seconds.
    pub retry_after_secs: Option<u32>,
}

impl Error {
    /// An error without a wait.
    pub fn new(provider: ProviderName, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { provider, kind, detail: detail.into(), retry_after_secs: None }
    }

    /// The whole sentence for people.
    pub fn sentence(&self) -> String {
        format!("{} {}", self.provider.title(), self.detail)
    }
}
