//! The tests' host: a clock that stands until it is set, counted randomness, captured log lines, sleeps that return at
//! once, and the script in place of the network.

use std::cell::{Cell, RefCell};

use mayfly::access::{RsaKey, Signatures};
use mayfly::http::{Clock, Http, Log, NoAnswer, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use mayfly::webhook::Event;
use sha2::{Digest as _, Sha256};

use super::script::Script;
use super::world::{
    ACCESS_TEAM, AWS_ACCESS_KEY_ID, CREDENTIALS, NOW_SECS, OVH_API_URL, OVH_APPLICATION_KEY,
    OVH_APPLICATION_SECRET, OVH_CONSUMER_KEY, OVH_TOKEN, OVH_TOKEN_URL, SECRETS,
};
use super::yield_once;

/// All that the core needs of a platform.
pub(crate) struct TestHost {
    script: Script,
    now_ms: Cell<u64>,
    drawn: Cell<u64>,
    lines: RefCell<Vec<String>>,
    told: RefCell<Vec<Event>>,
    sleeps_ms: RefCell<Vec<u32>>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
    answer_takes_ms: Cell<u64>,
}

impl TestHost {
    /// A host whose provider follows the script.
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            now_ms: Cell::new(NOW_SECS * 1000 + 123),
            drawn: Cell::new(0),
            lines: RefCell::default(),
            told: RefCell::default(),
            sleeps_ms: RefCell::default(),
            in_flight: Cell::new(0),
            most_in_flight: Cell::new(0),
            answer_takes_ms: Cell::new(0),
        }
    }

    /// A host whose provider must not be asked.
    pub(crate) fn silent() -> Self {
        Self::new(Script::new())
    }

    /// Sets the clock.
    pub(crate) fn at(self, secs: u64) -> Self {
        self.now_ms.set(secs * 1000);
        self
    }

    /// Begins the randomness elsewhere: another isolate.
    pub(crate) fn seeded(self, seed: u64) -> Self {
        self.drawn.set(seed << 32);
        self
    }

    /// Every answer takes this long by the clock, or until the request's own deadline.
    pub(crate) fn slow(self, ms: u64) -> Self {
        self.answer_takes_ms.set(ms);
        self
    }

    /// What the clock says.
    pub(crate) fn now_secs_of_clock(&self) -> u64 {
        self.now_ms.get() / 1000
    }

    /// What the script still holds need not come any more.
    pub(crate) fn forgive(&self) {
        self.script.forgive();
    }

    /// What a webhook would be told of, in order.
    pub(crate) fn told(&self) -> Vec<&'static str> {
        self.told.borrow().iter().map(Event::kind).collect()
    }

    /// The requests that were sent, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script.seen()
    }

    /// The log lines, each of which must be a JSON object; those of requests are in [`TestHost::request_lines`].
    pub(crate) fn log_lines(&self) -> Vec<serde_json::Value> {
        self.lines().filter(|it| it["event"] != "request").collect()
    }

    /// What is logged of each request.
    pub(crate) fn request_lines(&self) -> Vec<serde_json::Value> {
        self.lines().filter(|it| it["event"] == "request").collect()
    }

    fn lines(&self) -> impl Iterator<Item = serde_json::Value> {
        self.lines.borrow().clone().into_iter().map(|it| serde_json::from_str(&it).expect("a JSON line"))
    }

    /// The pauses between repeated requests, milliseconds.
    pub(crate) fn sleeps_ms(&self) -> Vec<u32> {
        self.sleeps_ms.borrow().clone()
    }

    /// How many requests were under way at the same moment at the most.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.most_in_flight.get()
    }

    /// Fails unless every call of the script came.
    pub(crate) fn finish(&self) {
        self.script.finish();
    }
}

impl Http for TestHost {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        check_shape(&request, self.now_secs_of_clock());
        let (takes_ms, timeout_ms) = (self.answer_takes_ms.get(), u64::from(request.timeout_ms));
        let answer = self.script.answer(request);
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));
        let end_ms = self.now_ms.get() + takes_ms.min(timeout_ms);
        yield_once().await;
        self.in_flight.set(self.in_flight.get() - 1);
        // Those that are under way at the same moment take no longer than the longest.
        self.now_ms.set(self.now_ms.get().max(end_ms));
        if takes_ms > timeout_ms { Err(NoAnswer::TimedOut) } else { answer }
    }

    async fn sleep_ms(&self, ms: u32) {
        self.sleeps_ms.borrow_mut().push(ms);
        yield_once().await;
    }
}

/// What holds for every request to a provider.
fn check_shape(request: &Request, now_secs: u64) {
    let header = |name: &str| request.headers.iter().find(|(it, _)| *it == name).map(|(_, it)| it.as_str());
    if request.url.starts_with(OVH_API_URL) {
        check_ovh(request, &header, now_secs);
    } else if request.url.ends_with(".aws.test/") {
        check_signature(request, header("authorization").expect("a signature"));
    } else if request.url.starts_with(ACCESS_TEAM) {
        assert_eq!(header("authorization"), None, "{request:?}");
    } else if request.url != OVH_TOKEN_URL {
        let credential = CREDENTIALS.iter().find(|it| request.url.starts_with(it.api_url));
        let credential = credential.unwrap_or_else(|| panic!("{request:?} goes to no provider"));
        assert_eq!(header(credential.header), Some(credential.value), "{request:?}");
    }
    let content_type = match request.body.first() {
        None => None,
        Some(b'{') if header("x-amz-target").is_some() => Some("application/x-amz-json-1.1"),
        Some(b'{') => Some("application/json"),
        Some(_) if request.url == OVH_TOKEN_URL => Some("application/x-www-form-urlencoded"),
        Some(b'A') => Some("application/x-www-form-urlencoded"),
        Some(_) => Some("text/plain"),
    };
    assert_eq!(header("content-type"), content_type, "{request:?}");
    assert!((1..=PROVIDER_TIMEOUT_MS).contains(&request.timeout_ms), "{request:?}");
    assert!(request.url.bytes().all(|it| it.is_ascii_graphic()), "{request:?}");
}

/// A token, or a signature of exactly what is sent, now.
fn check_ovh<'a>(request: &'a Request, header: &dyn Fn(&str) -> Option<&'a str>, now_secs: u64) {
    if let Some(authorization) = header("authorization") {
        assert_eq!(authorization, format!("Bearer {OVH_TOKEN}"), "{request:?}");
        return;
    }
    let (method, body) = (request.method.as_str(), String::from_utf8_lossy(&request.body));
    let signed =
        [OVH_APPLICATION_SECRET, OVH_CONSUMER_KEY, method, &request.url, &body, &now_secs.to_string()];
    let digest = sha1::Sha1::digest(signed.join("+"));
    let signature = digest.iter().fold("$1$".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(header("x-ovh-application"), Some(OVH_APPLICATION_KEY));
    assert_eq!(header("x-ovh-consumer"), Some(OVH_CONSUMER_KEY));
    assert_eq!(header("x-ovh-timestamp"), Some(now_secs.to_string().as_str()));
    assert_eq!(header("x-ovh-signature"), Some(signature.as_str()), "{request:?}");
}

/// The key and the region, service and headers that are signed for. Whether the signature is right is tested with AWS's own
/// examples.
fn check_signature(request: &Request, authorization: &str) {
    let region = request.url.strip_prefix("https://ec2.").and_then(|it| it.strip_suffix(".aws.test/"));
    let (region, service) = region.map_or(("us-east-1", "pricing"), |it| (it, "ec2"));
    let parts: Vec<&str> = authorization.split(", ").collect();
    let [credential, headers, signature] = parts[..] else { panic!("{authorization}") };
    let start = format!("AWS4-HMAC-SHA256 Credential={AWS_ACCESS_KEY_ID}/");
    let end = format!("/{region}/{service}/aws4_request");
    assert!(credential.starts_with(&start) && credential.ends_with(&end), "{authorization}");
    let target = if service == "pricing" { ";x-amz-target" } else { "" };
    assert_eq!(headers, format!("SignedHeaders=content-type;host;x-amz-date{target}"));
    assert_eq!(signature.len(), "Signature=".len() + 64);
}

impl Clock for TestHost {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }
}

impl Random for TestHost {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            self.drawn.set(self.drawn.get() + 1);
            let block = Sha256::digest(self.drawn.get().to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// What stands for a signature of a key: the platform's own are tested on the platform.
pub(crate) fn signature(modulus: &str, signed: &str) -> [u8; 32] {
    Sha256::digest(format!("{modulus}.{signed}")).into()
}

impl Signatures for TestHost {
    async fn is_rs256(&self, key: &RsaKey, signed: &[u8], given: &[u8]) -> bool {
        yield_once().await;
        signature(&key.n, std::str::from_utf8(signed).expect("ASCII")) == given
    }
}

impl Log for TestHost {
    fn log(&self, line: &str) {
        assert!(!line.contains('\n'), "a log line is one line: {line}");
        for secret in SECRETS {
            assert!(!line.contains(secret), "a log line holds a secret: {line}");
        }
        self.lines.borrow_mut().push(line.to_owned());
    }

    fn tell(&self, event: Event) {
        self.told.borrow_mut().push(event);
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.finish();
        }
    }
}
