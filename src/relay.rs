//! The way to another server as a port: the caller's body goes there and its answer comes back as streams, not a byte of
//! which passes through the core. What may go where is the business of whoever asks.

use crate::agent::Record;
use crate::http::{Method, NoAnswer};

/// A request whose body is the caller's.
pub struct Onward {
    /// Method.
    pub method: Method,
    /// Absolute URL, query included.
    pub url: String,
    /// Header names (lower case) and values; none of the caller's but these.
    pub headers: Vec<(&'static str, String)>,
    /// The answer must have begun by then; how long it goes on is nobody's to limit.
    pub timeout_ms: u32,
    /// Which headers of the answer the caller gets, by their lower-case names.
    pub passes_back: fn(&str) -> bool,
    /// Where the tokens of the answer are written down; `None` where nobody counts them.
    pub record: Option<Record>,
}

/// The caller's connection, as it can be joined with another server's.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Relay {
    /// Sends the request and makes what comes back the caller's answer, with those of its headers that pass. Resolves to
    /// the status when the answer begins.
    async fn relay(&mut self, onward: Onward) -> Result<u16, NoAnswer>;
}
