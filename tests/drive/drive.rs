//! A provider's module driven natively, over plain HTTP, against a simulated cloud: what the Worker's API does not offer yet.
//! The configuration is the Worker's, from the environment.
//!
//! `drive <provider> <operation> <argument>…` prints JSON. What is right is said by whoever calls it.

#![expect(clippy::disallowed_methods, reason = "a program of its own has a clock")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use mayfly::App;
use mayfly::http::{Clock, Http, Log, NoAnswer, Random, Request, Response};
use mayfly::labels::{self, Selector};
use mayfly::model::ProviderName;
use mayfly::providers::{Error, Power, Provider, Snapshot};
use serde_json::{Value, json};

/// A platform whose every call waits for its answer.
struct Native;

impl Http for Native {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        exchange(&request).ok_or(NoAnswer::Broken)
    }

    async fn sleep_ms(&self, ms: u32) {
        std::thread::sleep(Duration::from_millis(ms.into()));
    }
}

impl Clock for Native {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Random for Native {
    fn fill(&self, buffer: &mut [u8]) {
        let mut device = std::fs::File::open("/dev/urandom").expect("/dev/urandom");
        device.read_exact(buffer).expect("randomness");
    }
}

impl Log for Native {
    fn log(&self, line: &str) {
        eprintln!("{line}");
    }
}

/// One request over a connection of its own, which the server closes after its answer.
fn exchange(request: &Request) -> Option<Response> {
    let (authority, path) = request.url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(authority).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(request.timeout_ms.into()))).ok()?;
    write!(stream, "{} /{path} HTTP/1.1\r\nhost: {authority}\r\n", request.method.as_str()).ok()?;
    for (name, value) in &request.headers {
        write!(stream, "{name}: {value}\r\n").ok()?;
    }
    write!(stream, "content-length: {}\r\nconnection: close\r\n\r\n", request.body.len()).ok()?;
    stream.write_all(&request.body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, headers: Vec::new(), body: answer[end + 4..].to_vec() })
}

/// Runs a future that never waits for another.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn shown(it: &Snapshot) -> Value {
    json!({
        "native": it.native,
        "description": it.description,
        "is_ready": it.is_ready,
        "min_disk_gb": it.min_disk_gb,
        "locations": it.locations,
        "labels": it.labels,
    })
}

fn drive(provider: &Provider, deployment: &str, operation: &str, arguments: &[&str]) -> Result<Value, Error> {
    let host = &Native;
    let ours = Selector::deployment(deployment);
    let power = |native, power| run(provider.power(host, native, power)).map(|it| json!(it));
    match (operation, arguments) {
        ("start", [native]) => power(native, Power::Start),
        ("stop", [native]) => power(native, Power::Stop),
        ("cut", [native]) => power(native, Power::Cut),
        ("relabel", [native, pairs @ ..]) => {
            let known = [labels::WANT, labels::PHASE, labels::EXPIRES, labels::ATTENTION];
            let change = |pair: &&str| {
                let (key, value) = pair.split_once('=').expect("key=value");
                let key = known.into_iter().find(|it| *it == key).expect("a label that changes");
                (key, (!value.is_empty()).then(|| value.to_owned()))
            };
            let changes: Vec<_> = pairs.iter().map(change).collect();
            run(provider.relabel(host, native, &changes)).map(|it| json!(it))
        }
        ("snapshot", [native, description]) => {
            let made = run(provider.snapshot(host, native, description, &labels::ours(deployment)))?;
            Ok(made.map_or(Value::Null, |it| shown(&it)))
        }
        ("snapshots", []) => {
            let found = run(provider.snapshots(host, &ours))?;
            Ok(found.iter().map(shown).collect())
        }
        ("delete-snapshot", [native]) => run(provider.delete_snapshot(host, native)).map(|()| json!(true)),
        _ => panic!("drive <provider> <operation> <argument>…"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [provider, operation, arguments @ ..] = arguments.as_slice() else {
        panic!("drive <provider> <operation> <argument>…")
    };
    let app = App::from_lookup(|key| std::env::var(key).ok());
    let ready = app.ready().unwrap_or_else(|problems| panic!("{problems:?}"));
    let provider = ProviderName::parse(provider).and_then(|it| ready.provider(it)).expect("a provider");
    let answer = match drive(provider, &ready.config.deployment, operation, arguments) {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error.kind.code(), "detail": error.detail }),
    };
    println!("{answer}");
}
