//! The scripted provider itself: a call that is missing, extra, out of order or different must fail the test.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mayfly::http::{Http as _, Method, Request};
use serde_json::json;

use super::support::block_on;
use super::support::host::TestHost;
use super::support::script::{Script, get, put};
use super::support::world::{HETZNER_API_URL, HETZNER_TOKEN};

fn request(method: Method, target: &str, body: &str) -> Request {
    let mut headers = vec![("authorization", format!("Bearer {HETZNER_TOKEN}"))];
    if !body.is_empty() {
        headers.push(("content-type", "application/json".into()));
    }
    Request {
        method,
        url: format!("{HETZNER_API_URL}{target}"),
        headers,
        body: body.into(),
        timeout_ms: mayfly::http::PROVIDER_TIMEOUT_MS,
    }
}

/// Whether a script is content with these requests.
fn accepts(script: Script, requests: &[Request]) -> bool {
    let host = TestHost::new(script);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for request in requests {
            assert!(block_on(host.send(request.clone())).is_ok());
        }
        host.finish();
    }));
    // What is left of a script that was not content must not fail this test.
    std::mem::forget(host);
    outcome.is_ok()
}

#[test]
fn a_script_is_content_with_its_own_calls_alone() {
    let script = || {
        Script::new()
            .then(get("/a"))
            .side_by_side([get("/b"), get("/c")])
            .then(put("/d").json(json!({"x": 1})))
    };
    let call = |target: &str| request(Method::Get, target, "");
    let last = request(Method::Put, "/d", "{\"x\": 1}");
    assert!(accepts(script(), &[call("/a"), call("/b"), call("/c"), last.clone()]));
    assert!(accepts(script(), &[call("/a"), call("/c"), call("/b"), last.clone()]), "in whatever order");
    for (why, requests) in [
        ("missing", vec![call("/a"), call("/b"), call("/c")]),
        ("extra", vec![call("/a"), call("/b"), call("/c"), last.clone(), call("/a")]),
        ("out of order", vec![call("/b"), call("/a"), call("/c"), last.clone()]),
        ("another query", vec![call("/a?x"), call("/b"), call("/c"), last.clone()]),
        ("another method", vec![request(Method::Delete, "/a", ""), call("/b"), call("/c"), last.clone()]),
        ("a body too many", vec![request(Method::Get, "/a", "{}"), call("/b"), call("/c"), last]),
        ("another body", vec![call("/a"), call("/b"), call("/c"), request(Method::Put, "/d", "{\"x\": 2}")]),
    ] {
        assert!(!accepts(script(), &requests), "{why}");
    }
}

#[test]
fn a_request_without_the_token_or_with_another_deadline_fails_the_test() {
    let good = request(Method::Get, "/a", "");
    let mut anonymous = good.clone();
    anonymous.headers.clear();
    let mut patient = good.clone();
    patient.timeout_ms = 60_000;
    for bad in [anonymous, patient] {
        assert!(!accepts(Script::new().then(get("/a")), &[bad]));
    }
    assert!(accepts(Script::new().then(get("/a")), &[good]));
}
