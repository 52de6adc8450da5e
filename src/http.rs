//! HTTP as values: what the core sends to providers, what it answers to callers, and the ports through which the
//! outside reaches it. It sends nothing itself; the edge (or a test) implements [`Host`].

use std::cell::Cell;
use std::fmt;

use crate::access::{RsaKey, Signatures};
use crate::bucket::Bucket;
use crate::relay::Relay;
use crate::webhook::Event;

/// An HTTP method. The closed set that providers and our own API use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the methods")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// The method as it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// `None` for every method that no route of ours has.
    pub fn parse(method: &str) -> Option<Self> {
        Some(match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }
}

/// How long a provider may take to answer. Design: one that hangs becomes an error entry after ten seconds.
pub const PROVIDER_TIMEOUT_MS: u32 = 10_000;

/// A request to a provider. `Debug` leaves out headers and body: both carry secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute URL, query included, already percent-encoded.
    pub url: String,
    /// Header names (lower case) and values.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// The sender gives up after this time with [`NoAnswer::TimedOut`].
    pub timeout_ms: u32,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method.as_str(), self.url, self.body.len())
    }
}

/// The response headers that the core reads; a [`Http`] implementation need not pass on any other.
pub const READ_HEADERS: [&str; 4] =
    ["retry-after", "ratelimit-remaining", "ratelimit-reset", "x-total-count"];

/// A provider's answer, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Those of [`READ_HEADERS`] that were present.
    pub headers: Vec<(&'static str, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of one of [`READ_HEADERS`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| *it == name).map(|(_, value)| value.as_str())
    }
}

/// Why no answer arrived. A status that is not 2xx is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The deadline passed; the provider may have acted.
    TimedOut,
    /// The connection failed or broke; the provider may have acted.
    Broken,
    /// Not sent: the calls that this run may make are used up.
    Spent,
}

/// The one outbound port.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Http {
    /// Sends one request and reads the whole answer.
    async fn send(&self, request: Request) -> Result<Response, NoAnswer>;
    /// Waits, for backoff between retries.
    async fn sleep_ms(&self, ms: u32);
}

/// The clock.
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Seconds since the Unix epoch.
    fn now_secs(&self) -> u64 {
        self.now_ms() / 1000
    }
}

/// Cryptographically strong randomness.
pub trait Random {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// Structured log lines: one JSON object each. Never a body, a token or a URL that holds one.
pub trait Log {
    /// Writes one line.
    fn log(&self, line: &str);
    /// Takes what a webhook is told of. Who has none lets it go.
    fn tell(&self, _event: Event) {}
}

/// All that the core needs of the platform.
pub trait Host: Http + Clock + Random + Log + Signatures {}
impl<T: Http + Clock + Random + Log + Signatures> Host for T {}

/// A host whose requests are counted, and limited where the platform limits them.
pub struct Counted<'a, H> {
    host: &'a H,
    sent: Cell<u32>,
    limit: Cell<u32>,
    /// Calls that are kept for telling events, and one more; `None` where none are.
    kept: Cell<Option<u32>>,
}

impl<'a, H> Counted<'a, H> {
    /// Counts without a limit of its own.
    pub fn new(host: &'a H) -> Self {
        Self { host, sent: Cell::new(0), limit: Cell::new(u32::MAX), kept: Cell::new(None) }
    }

    /// From now on sends this many requests and no more.
    pub fn limit_to(&self, more: u32) {
        self.limit.set(self.sent.get().saturating_add(more));
    }

    /// From now on keeps a call for each event that is told, so that it can be delivered when the limit is reached.
    pub fn keep_for_events(&self) {
        self.kept.set(Some(1));
    }

    /// Gives a call that was kept for an event back: its delivery begins.
    pub fn give_back(&self) {
        self.kept.set(self.kept.get().map(|it| it.saturating_sub(1)));
    }

    /// How many were sent.
    pub fn sent(&self) -> u32 {
        self.sent.get()
    }

    /// How many may still be sent.
    pub fn left(&self) -> u32 {
        self.limit.get().saturating_sub(self.sent.get()).saturating_sub(self.kept.get().unwrap_or_default())
    }
}

impl<H: Http> Http for Counted<'_, H> {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        if self.left() == 0 {
            return Err(NoAnswer::Spent);
        }
        self.sent.set(self.sent.get() + 1);
        self.host.send(request).await
    }

    async fn sleep_ms(&self, ms: u32) {
        self.host.sleep_ms(ms).await;
    }
}

impl<H: Clock> Clock for Counted<'_, H> {
    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }
}

impl<H: Random> Random for Counted<'_, H> {
    fn fill(&self, buffer: &mut [u8]) {
        self.host.fill(buffer);
    }
}

impl<H: Signatures> Signatures for Counted<'_, H> {
    async fn is_rs256(&self, key: &RsaKey, signed: &[u8], signature: &[u8]) -> bool {
        self.host.is_rs256(key, signed, signature).await
    }
}

impl<H: Log> Log for Counted<'_, H> {
    fn log(&self, line: &str) {
        self.host.log(line);
    }

    fn tell(&self, event: Event) {
        self.kept.set(self.kept.get().map(|it| it.saturating_add(1)));
        self.host.tell(event);
    }
}

/// A caller's request body, read only when a handler wants it, and never past its limit.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Body {
    /// The whole body, or [`BodyError`] as soon as it is known to be longer than `max_bytes`.
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError>;
}

/// A caller's connection: its body, the bucket and the way to another server, between which bytes move without passing
/// through the core.
pub trait Caller: Body + Bucket + Relay {}
impl<T: Body + Bucket + Relay> Caller for T {}

/// Why a caller's body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than the handler allows.
    TooLong,
    /// The connection broke.
    Broken,
}

/// A caller's request without its body.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// As in the request line; unknown methods included.
    pub method: &'a str,
    /// Scheme and authority that the caller used, for example `https://mayfly.example.workers.dev`.
    pub origin: &'a str,
    /// Path, undecoded, with its leading slash.
    pub path: &'a str,
    /// Query without the question mark; empty for none.
    pub query: &'a str,
    /// Looks a header up by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// Our answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for none, and where it is the object that the caller's [`Bucket`] was told to send.
    pub body: Vec<u8>,
}
