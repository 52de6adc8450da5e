//! What stands before the API: the log of requests, faults, tokens and the rate limit.
//!
//! Tokens are compared here and stored nowhere else; the log holds none.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock::{self, rfc3339};
use crate::fake::Fake;
use crate::faults::{Drop, Fault, strike};
use crate::ovh;
use crate::vendor::{Refusal, Vendor};

/// Longest body that is read, bytes: more than any vendor takes.
const BODY_MAX_BYTES: usize = 4 << 20;
/// Requests that the log keeps.
const LOG_LENGTH: usize = 10_000;

/// State of the front.
#[derive(Debug)]
pub(crate) struct Gate {
    read_write: String,
    read_only: String,
    buckets: BTreeMap<Vendor, Bucket>,
    /// Faults that are switched on.
    pub faults: Vec<Fault>,
    /// What was asked, oldest first.
    pub requests: VecDeque<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    ReadWrite,
    ReadOnly,
}

impl Gate {
    /// With a full rate limit.
    pub(crate) fn new(token: &str, rate_limit: u64, now_ms: u64) -> Self {
        Self {
            read_write: token.to_owned(),
            read_only: format!("read-only-{token}"),
            buckets: Bucket::all(rate_limit, now_ms),
            faults: Vec::new(),
            requests: VecDeque::new(),
        }
    }

    /// Another limit for each vendor, and all of it free.
    pub(crate) fn set_rate_limit(&mut self, limit: u64, now_ms: u64) {
        self.buckets = Bucket::all(limit, now_ms);
    }

    fn rights(&self, token: Option<&str>) -> Result<Rights, Refusal<'static>> {
        match token {
            None => Err(Refusal::NoToken),
            Some(token) if token == self.read_write => Ok(Rights::ReadWrite),
            Some(token) if token == self.read_only => Ok(Rights::ReadOnly),
            Some(_) => Err(Refusal::WrongToken),
        }
    }

    fn take(&mut self, vendor: Vendor, now_ms: u64) -> bool {
        self.buckets.get_mut(&vendor).is_none_or(|bucket| bucket.take(now_ms))
    }

    fn log(&mut self, entry: Value) {
        if self.requests.len() == LOG_LENGTH {
            self.requests.pop_front();
        }
        self.requests.push_back(entry);
    }
}

/// The rate limit: so many an hour, refilled evenly.
#[derive(Debug)]
struct Bucket {
    limit: u64,
    /// In milliseconds of refilling: one request costs `3_600_000 / limit`.
    free_ms: u64,
    at_ms: u64,
}

const HOUR_MS: u64 = 3_600_000;

impl Bucket {
    fn all(limit: u64, now_ms: u64) -> BTreeMap<Vendor, Self> {
        Vendor::ALL.into_iter().map(|vendor| (vendor, Self::full(limit, now_ms))).collect()
    }

    fn full(limit: u64, now_ms: u64) -> Self {
        Self { limit, free_ms: HOUR_MS, at_ms: now_ms }
    }

    fn cost_ms(&self) -> u64 {
        HOUR_MS.checked_div(self.limit).unwrap_or(HOUR_MS + 1)
    }

    fn refill(&mut self, now_ms: u64) {
        self.free_ms = (self.free_ms + now_ms.saturating_sub(self.at_ms)).min(HOUR_MS);
        self.at_ms = now_ms;
    }

    fn take(&mut self, now_ms: u64) -> bool {
        self.refill(now_ms);
        let taken = self.free_ms.checked_sub(self.cost_ms());
        self.free_ms = taken.unwrap_or(self.free_ms);
        taken.is_some()
    }

    /// Seconds until the next request may come.
    fn next_secs(&self) -> u64 {
        self.cost_ms().saturating_sub(self.free_ms).div_ceil(1000).max(1)
    }

    /// Limit, what is left, and the second at which all of it is free again.
    fn headers(&mut self, now_ms: u64) -> [(&'static str, u64); 3] {
        self.refill(now_ms);
        let reset = (now_ms + HOUR_MS - self.free_ms).div_ceil(1000);
        let remaining = (self.free_ms / self.cost_ms()).min(self.limit);
        [("ratelimit-limit", self.limit), ("ratelimit-remaining", remaining), ("ratelimit-reset", reset)]
    }
}

/// Adds what only known paths get: a token is asked for, and the rate limit counts.
pub(crate) fn guarded(vendor: Vendor, routes: Router<Arc<Fake>>, fake: &Arc<Fake>) -> Router<Arc<Fake>> {
    routes
        .route_layer(middleware::from_fn_with_state((vendor, fake.clone()), admit))
        .fallback(async move || vendor.refuse(Refusal::NoRoute))
}

async fn admit(State((vendor, fake)): State<(Vendor, Arc<Fake>)>, request: Request, next: Next) -> Response {
    let now_ms = clock::now_ms();
    let (secret, request) = match vendor {
        Vendor::Ovh => match ovh::access::secret_of(&fake, request).await {
            Ok((secret, request)) => (Some(secret), request),
            Err(refused) => return refused,
        },
        _ => (vendor.token(request.headers()).map(str::to_owned), request),
    };
    let refused = {
        let mut gate = fake.gate();
        match gate.rights(secret.as_deref()) {
            Err(refused) => return vendor.refuse(refused),
            Ok(_) if !gate.take(vendor, now_ms) => Some(Refusal::RateLimited),
            Ok(Rights::ReadOnly) if request.method() != Method::GET => Some(Refusal::ReadOnly),
            Ok(_) => None,
        }
    };
    let mut response = match refused {
        Some(refused) => vendor.refuse(refused),
        None => next.run(request).await,
    };
    add_rate_headers(vendor, &fake, &mut response);
    response
}

fn add_rate_headers(vendor: Vendor, fake: &Fake, response: &mut Response) {
    if !vendor.tells_rate() {
        return;
    }
    let mut gate = fake.gate();
    let Some(bucket) = gate.buckets.get_mut(&vendor) else { return };
    for (name, value) in bucket.headers(clock::now_ms()) {
        response.headers_mut().insert(name, HeaderValue::from(value));
    }
    if vendor == Vendor::DigitalOcean && response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(bucket.next_secs()));
    }
}

/// The connection is to be dropped without an answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

/// Every request passes here first: faults of the API are carried out, and what was asked is logged.
pub(crate) async fn pass<F>(
    fake: &Fake,
    request: Request<Body>,
    route: impl FnOnce(Request<Body>) -> F,
) -> Result<Response, Dropped>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let uri = request.uri().clone();
    let Some((vendor, path)) = Vendor::of(uri.path()) else {
        return route(request).await.map_err(|never| match never {});
    };
    // Who answers before a body is there must close the connection, and the next request on it would meet that.
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX_BYTES).await else { return Err(Dropped) };
    let request = Request::from_parts(parts, Body::from(body));
    let method = request.method().clone();
    let fault = strike(&mut fake.gate().faults, method.as_str(), path);
    let struck = fault.is_some();
    let result = match fault {
        None => route(request).await.map_err(|never| match never {}),
        Some(fault) => act_out(vendor, fake, &fault, request, route).await,
    };
    let status = result.as_ref().ok().map(|response| response.status().as_u16());
    if fake.options.verbose {
        eprintln!(
            "{method} {} {}",
            uri.path(),
            status.map_or("dropped".to_owned(), |status| status.to_string())
        );
    }
    fake.gate().log(json!({
        "at": rfc3339(clock::now_ms()), "method": method.as_str(), "path": path, "query": uri.query(),
        "status": status, "fault": struck,
    }));
    result
}

async fn act_out<F>(
    vendor: Vendor,
    fake: &Fake,
    fault: &Fault,
    request: Request<Body>,
    route: impl FnOnce(Request<Body>) -> F,
) -> Result<Response, Dropped>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    let acts = fault.drop != Some(Drop::Before) && (fault.acts || fault.status.is_none());
    let acts = acts || fault.drop == Some(Drop::After);
    let acted =
        if acts { Some(route(request).await.map_err(|never: Infallible| match never {})?) } else { None };
    if fault.drop.is_some() {
        return Err(Dropped);
    }
    let mut response = match (fault.status, acted) {
        (None, Some(acted)) => acted,
        (status, _) => {
            let status = status.unwrap_or_default();
            match &fault.body {
                Some(raw) => (status, raw.clone()).into_response(),
                None => vendor.refuse(Refusal::Fault(status, &fault.code)),
            }
        }
    };
    add_rate_headers(vendor, fake, &mut response);
    for (name, value) in &fault.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_limit_refills_evenly() {
        let mut bucket = Bucket::full(3600, 0);
        assert_eq!((0..3601).filter(|_| bucket.take(0)).count(), 3600);
        assert!(!bucket.take(999));
        assert!(bucket.take(1000));
        let [limit, remaining, reset] = bucket.headers(1000);
        assert_eq!((limit.1, remaining.1, reset.1), (3600, 0, 3601));
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_through() {
        let mut bucket = Bucket::full(0, 0);
        assert!(!bucket.take(0));
        assert_eq!(bucket.headers(0)[1].1, 0);
    }
}
