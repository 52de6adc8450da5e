//! What Hetzner answers when it refuses: status, code, message and details, in its own shape.
//!
//! Each constructor is an outcome; the handlers choose, nothing here decides.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::answer::json_response;
use crate::body::Problems;

/// A refused request.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code for machines.
    pub code: &'static str,
    /// The sentence for people.
    pub message: String,
    /// `fields` or `limits`, or null.
    pub details: Value,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Value::Null }
    }

    /// 422: the request is understood and wrong; one entry per field.
    pub(crate) fn invalid_fields(problems: &[(String, String)]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in problems {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let fields: Vec<Value> = names
            .iter()
            .map(|name| {
                let messages: Vec<&str> =
                    problems.iter().filter(|(n, _)| n == name).map(|(_, m)| m.as_str()).collect();
                json!({ "name": name, "messages": messages })
            })
            .collect();
        let list = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let message = format!("invalid input in field{} {list}", if names.len() == 1 { "" } else { "s" });
        Self {
            details: json!({ "fields": fields }),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", message)
        }
    }

    /// 422 about one field.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::invalid_fields(&[(field.to_owned(), message.into())])
    }

    /// 422 `invalid_input` whose message is the vendor's own sentence, without a field.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", message)
    }

    /// 422 with a code of its own (`resource_in_use`, `must_be_unassigned`, …).
    pub(crate) fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 400: the body is not JSON, or not an object.
    pub(crate) fn json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "json_error", "the request body is not valid JSON")
    }

    /// 401.
    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// A read-only token on a write.
    pub(crate) fn token_readonly() -> Self {
        let message = "The token is only allowed to perform GET requests";
        Self::new(StatusCode::FORBIDDEN, "token_readonly", message)
    }

    /// 403: not allowed whatever the token.
    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 403: the project's quota is used up.
    pub(crate) fn limit_exceeded(kind: &str) -> Self {
        Self {
            details: json!({ "limits": [{ "name": format!("{kind}_limit") }] }),
            ..Self::new(StatusCode::FORBIDDEN, "resource_limit_exceeded", format!("{kind} limit exceeded"))
        }
    }

    /// 404 for a resource.
    pub(crate) fn not_found(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{kind} not found"))
    }

    /// 404 for a path, answered even without a token.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "api route not found")
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")
    }

    /// 409: the name or the key is taken.
    pub(crate) fn not_unique(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            details: json!({ "fields": [{ "name": field, "messages": [message] }] }),
            ..Self::new(StatusCode::CONFLICT, "uniqueness_error", message)
        }
    }

    /// 410.
    pub(crate) fn gone(message: &str) -> Self {
        Self::new(StatusCode::GONE, "deprecated_api_endpoint", message)
    }

    /// 412: nothing free there now.
    pub(crate) fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "resource_unavailable", message)
    }

    /// 412 with a code of its own.
    pub(crate) fn precondition(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, code, message)
    }

    /// 423: another action runs on it.
    pub(crate) fn locked(kind: &str) -> Self {
        let message = format!("cannot perform operation because {kind} is locked");
        Self::new(StatusCode::LOCKED, "locked", message)
    }

    /// 423: protected against deletion.
    pub(crate) fn protected(kind: &str) -> Self {
        Self::new(StatusCode::LOCKED, "protected", format!("{kind} deletion is protected"))
    }

    /// 429.
    pub(crate) fn rate_limited() -> Self {
        let message = "rate limit exceeded, please try again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message)
    }

    /// The error where the condition holds, for the handlers' checks in a row.
    pub(crate) fn unless(wrong: bool, error: impl FnOnce() -> Self) -> Result<(), Self> {
        if wrong { Err(error()) } else { Ok(()) }
    }

    /// The body, in Hetzner's shape.
    pub(crate) fn body(code: &str, message: &str, details: &Value) -> Value {
        json!({ "error": { "code": code, "message": message, "details": details } })
    }
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        match problems {
            Problems::NotJson => Self::json(),
            Problems::Fields(fields) => Self::invalid_fields(&fields),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        json_response(self.status, &Self::body(self.code, &self.message, &self.details))
    }
}
