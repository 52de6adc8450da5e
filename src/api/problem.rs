//! Everything that is not success, as `application/problem+json` (RFC 9457), and the one mapping of errors to statuses.
//! Every text in here is safe to show.

use serde::Serialize;

use crate::config::ConfigProblem;
use crate::http::{Head, Log, Reply};
use crate::providers::{Attempt, Error, ErrorKind};
use crate::spec::FieldProblem;

/// A refusal or failure on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    status: u16,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    attempts: Vec<Attempt>,
    retry_after_secs: Option<u32>,
    allow: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    /// RFC 9457 section 4.2.1: no more than the status says; `code` is what programs look at.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<super::wire::AttemptBody<'a>>,
}

#[derive(Serialize)]
struct FieldBody<'a> {
    field: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct LogLine<'a> {
    event: &'static str,
    request_id: &'a str,
    method: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A problem with a sentence for people.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            attempts: Vec::new(),
            retry_after_secs: None,
            allow: None,
        }
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The code for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(401, "unauthorized", detail)
    }

    pub(super) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("This path takes {allow}.");
        Self { allow: Some(allow), ..Self::new(405, "method_not_allowed", detail) }
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(404, "not_found", "There is no such path.")
    }

    pub(super) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.field.is_empty() => format!("The request is not valid: {}.", one.detail),
            [one] => format!("The field {} {}.", one.field, one.detail),
            several => format!("{} fields are not valid.", several.len()),
        };
        Self { errors, ..Self::new(400, "invalid_request", detail) }
    }

    pub(super) fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem { field: field.to_owned(), detail: detail.into() }])
    }

    /// A ceiling of whoever pays is reached. The field names are the configuration's.
    pub(super) fn ceiling(errors: Vec<FieldProblem>) -> Self {
        let detail: Vec<String> = errors.iter().map(|it| format!("{} {}", it.field, it.detail)).collect();
        let detail = format!("{}. Delete a VM, or ask whoever runs this Worker.", detail.join("; "));
        Self { errors, ..Self::new(429, "ceiling_reached", detail) }
    }

    pub(super) fn vm_not_found() -> Self {
        Self::new(404, "vm_not_found", "There is no such VM of yours.")
    }

    pub(super) fn misconfigured(problems: &[ConfigProblem]) -> Self {
        let errors = problems
            .iter()
            .map(|it| FieldProblem { field: it.key.to_owned(), detail: it.detail.clone() })
            .collect();
        Self {
            errors,
            ..Self::new(
                503,
                "misconfigured",
                "The Worker's configuration is not complete; errors lists every key.",
            )
        }
    }

    pub(super) fn with_attempts(self, attempts: Vec<Attempt>) -> Self {
        Self { attempts, ..self }
    }

    /// Adds a sentence to the detail.
    pub(super) fn and(mut self, sentence: &str) -> Self {
        self.detail = format!("{} {sentence}", self.detail);
        self
    }

    pub(super) fn with_retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// One line for whoever runs the Worker. Refusals that cost nothing and say nothing about us are left out.
    pub(super) fn log(&self, log: &impl Log, request_id: &str, head: &Head<'_>) {
        if self.status < 500 {
            return;
        }
        let line = LogLine {
            event: "problem",
            request_id,
            method: head.method,
            status: self.status,
            code: self.code,
            detail: &self.detail,
        };
        log.log(&serde_json::to_string(&line).unwrap_or_default());
    }

    /// The same for Claude Code: the error of Anthropic's API that comes nearest (Anthropic API, "Errors").
    pub(super) fn into_agent_reply(self, request_id: &str) -> Reply {
        let kind = match self.status {
            400 | 405 => "invalid_request_error",
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            _ => "api_error",
        };
        let body = serde_json::json!({
            "type": "error", "error": { "type": kind, "message": self.detail }, "request_id": request_id,
        });
        let reply = super::wire::json(self.status, &body);
        let mut headers = reply.headers;
        if self.status == 429 {
            // A budget is not there again in a minute.
            headers.push(("x-should-retry", "false".into()));
        }
        headers.extend(self.more_headers());
        Reply { headers, ..reply }
    }

    /// What the status asks for.
    fn more_headers(self) -> impl Iterator<Item = (&'static str, String)> {
        let challenge = (self.status == 401).then(|| ("www-authenticate", "Bearer realm=\"mayfly\"".into()));
        let allow = self.allow.map(|it| ("allow", it));
        let retry_after = self.retry_after_secs.map(|it| ("retry-after", it.to_string()));
        [challenge, allow, retry_after].into_iter().flatten()
    }

    pub(super) fn into_reply(self, request_id: &str) -> Reply {
        let body = Body {
            r#type: "about:blank",
            title: title(self.status),
            status: self.status,
            code: self.code,
            detail: &self.detail,
            request_id,
            retry_after_seconds: self.retry_after_secs,
            errors: self.errors.iter().map(|it| FieldBody { field: &it.field, detail: &it.detail }).collect(),
            attempts: self.attempts.iter().map(super::wire::AttemptBody::from).collect(),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let (status, mut headers) =
            (self.status, vec![("content-type", "application/problem+json".to_owned())]);
        headers.extend(self.more_headers());
        Reply { status, headers, body }
    }
}

/// The one mapping of a provider's errors to statuses. The caller's own token was good: what the provider thinks of the
/// Worker's is a bad gateway, not the caller's 401.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            ErrorKind::Unauthorized
            | ErrorKind::TokenReadonly
            // That there is no such VM is said by whoever looked for one; this is a path or resource of the provider's.
            | ErrorKind::NotFound
            | ErrorKind::Invalid
            | ErrorKind::Unavailable
            | ErrorKind::Malformed => 502,
            ErrorKind::Conflict | ErrorKind::AlreadyExists | ErrorKind::Locked => 409,
            ErrorKind::Capacity | ErrorKind::Quota | ErrorKind::RateLimited | ErrorKind::Spent => 503,
            ErrorKind::TimedOut => 504,
        };
        let problem =
            Self::new(status, error.kind.code(), format!("{}.", error.sentence().trim_end_matches('.')));
        Self { retry_after_secs: error.retry_after_secs, ..problem }
    }
}

/// The status phrases of RFC 9110 section 15.
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
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
