//! Sending to a provider: what may be repeated and how, the deadline of a whole listing, and what a provider's words must be
//! before anybody sees them. What an answer means is the vendor's module's business.

use super::error::{Error, ErrorKind};
use crate::http::{Clock, Http, NoAnswer, Random, Request, Response};
use crate::model::ProviderName;

/// How often a request that may be repeated is sent at the most.
const MAX_TRIES: u32 = 3;

/// A host whose requests together have a limited time: what is not answered by then has timed out.
pub(super) struct Within<'a, H> {
    host: &'a H,
    end_ms: u64,
}

impl<'a, H: Clock> Within<'a, H> {
    /// From now on, for this long.
    pub(super) fn new(host: &'a H, ms: u32) -> Self {
        Self { host, end_ms: host.now_ms() + u64::from(ms) }
    }

    fn left_ms(&self) -> u32 {
        u32::try_from(self.end_ms.saturating_sub(self.host.now_ms())).unwrap_or(u32::MAX)
    }
}

impl<H: Http + Clock> Http for Within<'_, H> {
    async fn send(&self, mut request: Request) -> Result<Response, NoAnswer> {
        request.timeout_ms = request.timeout_ms.min(self.left_ms());
        if request.timeout_ms == 0 {
            return Err(NoAnswer::TimedOut);
        }
        self.host.send(request).await
    }

    async fn sleep_ms(&self, ms: u32) {
        self.host.sleep_ms(ms.min(self.left_ms())).await;
    }
}

impl<H: Clock> Clock for Within<'_, H> {
    fn now_ms(&self) -> u64 {
        self.host.now_ms()
    }
}

impl<H: Random> Random for Within<'_, H> {
    fn fill(&self, buffer: &mut [u8]) {
        self.host.fill(buffer);
    }
}

/// Sends a request that may safely be repeated, and repeats it where the vendor says so: serially, few times, with a
/// growing and jittered pause. Rate limits are not waited for; the caller is told how long they last.
pub(super) async fn send_repeatable<H: Http + Random>(
    host: &H,
    provider: ProviderName,
    request: Request,
    parse_error: impl Fn(&Response) -> Error,
    may_repeat: impl Fn(ErrorKind) -> bool,
) -> Result<Response, Error> {
    let mut tried = 1;
    loop {
        let error = match host.send(request.clone()).await {
            Ok(response) if (200..300).contains(&response.status) => return Ok(response),
            Ok(response) => parse_error(&response),
            Err(no_answer) => Error::no_answer(provider, no_answer),
        };
        // A time-out has used up the caller's patience already.
        let patient = error.kind != ErrorKind::TimedOut;
        if tried == MAX_TRIES || !may_repeat(error.kind) || !patient {
            return Err(error);
        }
        host.sleep_ms(backoff_ms(host, tried)).await;
        tried += 1;
    }
}

/// 250 ms, 500 ms, 1 s…, each up to half as long again.
fn backoff_ms<H: Random>(host: &H, tried: u32) -> u32 {
    let mut byte = [0];
    host.fill(&mut byte);
    let base = 250 << (tried - 1).min(5);
    base + base * u32::from(byte[0]) / 512
}

/// Sends once and turns everything that is not a 2xx answer into an error.
pub(super) async fn send_once<H: Http>(
    host: &H,
    provider: ProviderName,
    request: Request,
    parse_error: impl Fn(&Response) -> Error,
) -> Result<Response, Error> {
    match host.send(request).await {
        Ok(response) if (200..300).contains(&response.status) => Ok(response),
        Ok(response) => Err(parse_error(&response)),
        Err(no_answer) => Err(Error::no_answer(provider, no_answer)),
    }
}

impl Error {
    /// No answer arrived.
    pub fn no_answer(provider: ProviderName, no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::TimedOut => Self::new(provider, ErrorKind::TimedOut, "did not answer in time"),
            NoAnswer::Broken => Self::new(provider, ErrorKind::Unavailable, "could not be reached"),
            NoAnswer::Spent => {
                Self::new(provider, ErrorKind::Spent, "was not asked: this run's calls are used up")
            }
        }
    }
}

/// For deletions: what is not there needs no deleting.
pub(super) fn absent_is_fine(answer: Result<Response, Error>) -> Result<(), Error> {
    found(answer).map(|_| ())
}

/// For changes: `false` where there is nothing to change.
pub(super) fn found(answer: Result<Response, Error>) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A provider's words, fit for a log and a page: printable, one line, cut.
pub(super) fn clean(text: &str, max_chars: usize) -> String {
    text.chars().filter(|it| !it.is_control()).take(max_chars).collect()
}

/// Reads a vendor's JSON.
pub(super) fn parse<'a, T: serde::Deserialize<'a>>(
    provider: ProviderName,
    response: &'a Response,
) -> Result<T, Error> {
    crate::json::from_slice(&response.body).map_err(|_| malformed(provider))
}

/// The answer is not what the vendor documents.
pub(super) fn malformed(provider: ProviderName) -> Error {
    let detail = "answered with something that is not what its documentation says";
    Error::new(provider, ErrorKind::Malformed, detail)
}
