//! Successful answers of the API, and the one way in which JSON becomes a response.

use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// What a handler answers when it did what it was asked.
#[derive(Debug)]
pub(crate) enum Answer {
    /// 200 with a body.
    Ok(Value),
    /// 201 with a body.
    Created(Value),
    /// 202 with a body.
    Accepted(Value),
    /// 200 with more headers.
    WithHeaders(Vec<(HeaderName, String)>, Value),
    /// 200 with plain text.
    Text(String),
    /// 204.
    Empty,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Ok(body) => json_response(StatusCode::OK, &body),
            Self::Created(body) => json_response(StatusCode::CREATED, &body),
            Self::Accepted(body) => json_response(StatusCode::ACCEPTED, &body),
            Self::WithHeaders(headers, body) => {
                let mut response = json_response(StatusCode::OK, &body);
                for (name, value) in headers {
                    if let Ok(value) = HeaderValue::from_str(&value) {
                        response.headers_mut().insert(name, value);
                    }
                }
                response
            }
            Self::Text(text) => text.into_response(),
            Self::Empty => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

/// JSON with its content type.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response: Response = HttpResponse::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
