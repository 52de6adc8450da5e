//! Calls to our API and the answers to them. What holds for every answer (headers, the shape of problems, no secret) is
//! checked for every answer.

use mayfly::App;
use mayfly::http::{Body, BodyError, Head, Host};
use serde_json::{Value, json};

use super::block_on;
use super::store::{Connection, Store};
use super::upstream::Upstream;
use super::world::{ANNS_TOKEN, API_TOKEN, ORIGIN, SECRETS};

/// A request's body.
pub(crate) enum TestBody {
    Bytes(Vec<u8>),
    /// The connection breaks.
    Broken,
    /// Reading it fails the test.
    Unread,
}

impl Body for TestBody {
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        match self {
            Self::Bytes(bytes) if bytes.len() > max_bytes => Err(BodyError::TooLong),
            Self::Bytes(bytes) => Ok(std::mem::take(bytes)),
            Self::Broken => Err(BodyError::Broken),
            Self::Unread => panic!("this body was not to be read"),
        }
    }
}

/// A request to our API.
pub(crate) struct Call {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: TestBody,
    store: Option<Store>,
    upstream: Upstream,
    reveals: bool,
}

impl Call {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: TestBody::Unread,
            store: None,
            upstream: Upstream::default(),
            reveals: false,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    pub(crate) fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// As the default owner.
    pub(crate) fn token(self) -> Self {
        self.bearer(API_TOKEN)
    }

    /// As Ann.
    pub(crate) fn anns(self) -> Self {
        self.bearer(ANNS_TOKEN)
    }

    pub(crate) fn body(self, body: TestBody) -> Self {
        Self { body, ..self }
    }

    /// To a Worker that has this bucket.
    pub(crate) fn store(self, store: &Store) -> Self {
        Self { store: Some(store.clone()), ..self }
    }

    /// To a Worker before which there is this server.
    pub(crate) fn upstream(self, upstream: &Upstream) -> Self {
        Self { upstream: upstream.clone(), ..self }
    }

    pub(crate) fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body(TestBody::Bytes(bytes.into()))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string())
    }

    /// The answer may hold configured secrets: the boot exchange.
    pub(crate) fn reveals(self) -> Self {
        Self { reveals: true, ..self }
    }

    pub(crate) fn send(self, app: &App, host: &impl Host) -> Answer {
        let headers = self.headers;
        let header =
            |name: &str| headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.to_owned());
        let head = Head {
            method: &self.method,
            origin: ORIGIN,
            path: &self.path,
            query: &self.query,
            header: &header,
        };
        let (body, store, upstream) = (self.body, self.store, self.upstream);
        let mut caller = Connection { body, store, sent: Vec::new(), upstream, passed: Vec::new() };
        let reply = block_on(mayfly::api::handle(app, host, head, &mut caller));
        let is_passed = reply.body.is_empty();
        let body = if is_passed { caller.sent } else { reply.body };
        let passed = if is_passed { caller.passed } else { Vec::new() };
        let answer = Answer { status: reply.status, headers: reply.headers, passed, body };
        answer.check(self.reveals);
        answer
    }
}

/// Our answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(&'static str, String)>,
    /// Those of another server's answer.
    pub(crate) passed: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(it, _)| *it == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "the header {name} stands twice");
        first
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("answers are UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why} in the answer {}", String::from_utf8_lossy(&self.body)))
    }

    /// The JSON of an answer that must have this status.
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// A problem that says this and nothing else.
    pub(crate) fn is_problem(&self, status: u16, code: &str, detail: &str) {
        self.is_problem_with(status, code, detail, &json!({}));
    }

    /// A problem with further members.
    pub(crate) fn is_problem_with(&self, status: u16, code: &str, detail: &str, more: &Value) {
        if self.json()["type"] == "error" {
            // What the agent's client gets (`check`).
            assert_eq!(
                (self.status, self.json()["error"]["message"].as_str()),
                (status, Some(detail)),
                "{code}"
            );
            return;
        }
        let mut want = json!({
            "type": "about:blank",
            "title": title(status),
            "status": status,
            "code": code,
            "detail": detail,
            "request_id": self.header("x-request-id"),
        });
        for (name, value) in more.as_object().expect("further members") {
            want[name] = value.clone();
        }
        assert_eq!(self.json(), want);
    }

    /// Status and code, for tables where the text is not the point.
    pub(crate) fn kind(&self) -> (u16, String) {
        let body = self.json();
        let code = if body["type"] == "error" { &body["error"]["type"] } else { &body["code"] };
        (self.status, code.as_str().unwrap_or_default().to_owned())
    }

    fn check(&self, reveals: bool) {
        let id = self.header("x-request-id").expect("a request id");
        assert!(!id.is_empty() && id.len() <= 40, "{id}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        if !reveals {
            for secret in SECRETS {
                assert!(!self.text().contains(secret), "the answer holds a secret: {}", self.text());
            }
        }
        if self.status < 400 || !self.passed.is_empty() {
            return;
        }
        let body = self.json();
        assert_eq!(self.header("www-authenticate").is_some(), self.status == 401);
        assert_eq!(self.header("allow").is_some(), self.status == 405);
        if body["type"] == "error" {
            assert_eq!(self.header("content-type"), Some("application/json"));
            let message = &body["error"]["message"];
            let kind = agent_error(self.status);
            let want =
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": id});
            assert_eq!(body, want);
            assert!(message.as_str().is_some_and(|it| it.ends_with('.')), "{body}");
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["type"], "about:blank");
        assert_eq!(body["title"], title(self.status));
        assert_eq!(body["status"], self.status);
        assert_eq!(body["request_id"], id);
        for member in ["code", "detail"] {
            assert!(body[member].as_str().is_some_and(|it| !it.is_empty()), "{member} in {body}");
        }
        let retry_after = body["retry_after_seconds"].as_u64().map(|it| it.to_string());
        assert_eq!(self.header("retry-after"), retry_after.as_deref());
        for error in body["errors"].as_array().into_iter().flatten() {
            assert!(error["field"].is_string() && error["detail"].is_string(), "{error}");
        }
    }
}

/// Anthropic API, "Errors".
fn agent_error(status: u16) -> &'static str {
    match status {
        400 | 405 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        502 | 503 => "api_error",
        504 => "timeout_error",
        other => panic!("no refusal of ours has the status {other}"),
    }
}

/// RFC 9110 section 15.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        other => panic!("no problem of ours has the status {other}"),
    }
}
