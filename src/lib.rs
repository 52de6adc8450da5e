//! Mayfly's core: AI coding workspaces that live for a day, as pure functions over HTTP values.
//!
//! Requests come in through [`api::handle`], the clock's through [`reaper::run`]; everything else of the world comes
//! through the ports in [`http`], [`bucket`] and [`relay`]. The core knows no platform: `src/edge` brings Cloudflare's.

use std::borrow::Cow;

pub mod bucket;
pub mod http;
pub mod relay;

pub mod access;
pub mod agent;
pub mod backup;
pub mod config;
pub mod cost;
pub mod deploy_key;
pub mod encoding;
pub mod json;
pub mod keys;
pub mod labels;
pub mod life;
pub mod model;
pub mod name;
pub mod repo_url;
pub mod s3;
pub mod secret;
mod sigv4;
pub mod spec;
pub mod ssh_key;
pub mod user_data;
pub mod workspace;
mod xml;

pub mod providers;

pub mod api;
pub mod reaper;
pub mod webhook;

use config::{Config, ConfigProblem};
use model::ProviderName;
use providers::Provider;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A configured Mayfly, or the list of what keeps it from being one.
#[derive(Debug)]
pub struct App {
    state: Result<Ready, Vec<ConfigProblem>>,
}

/// The configuration and the providers that it gives access to.
#[derive(Debug)]
pub struct Ready {
    /// The configuration.
    pub config: Config,
    /// One or more.
    pub providers: Vec<Provider>,
}

impl App {
    /// Reads the configuration. A Worker with a problem still answers: 503, with the list.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let state = Config::from_lookup(lookup)
            .map(|config| Ready { providers: Provider::configured(&config), config });
        Self { state }
    }

    /// The configured parts, or what is wrong.
    pub fn ready(&self) -> Result<&Ready, &[ConfigProblem]> {
        self.state.as_ref().map_err(Vec::as_slice)
    }
}

impl Ready {
    /// The provider of a name, where it is configured.
    pub fn provider(&self, name: ProviderName) -> Option<&Provider> {
        self.providers.iter().find(|it| it.name() == name)
    }

    /// Where VMs find this Worker: as configured, else where the caller found it.
    pub fn public_url<'a>(&'a self, origin: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(self.config.public_url.as_deref().unwrap_or(origin))
    }
}
