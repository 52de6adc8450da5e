//! OVHcloud's API v1, as far as Public Cloud instances need it: its route table, its errors, and what it answers before a
//! handler runs. Who may ask is in `access`, what can be rented in `catalogue`, the state in `project`, the rest in a file per
//! resource.
//!
//! Facts are from OVHcloud's own API schema (`/v1/cloud`, 2026-11) unless a comment says otherwise; the sentences of refusals
//! are those that clients of the API have reported, most of them OpenStack's behind it.

pub(crate) mod access;
mod catalogue;
mod instances;
mod keys;
mod project;
mod shelf;
mod snapshots;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use serde_json::{Value, json};

pub(crate) use project::{Project, end_task, id_of, shut_down, state, uuid};

use crate::answer::{Answer, json_response};
use crate::body::Problems;
use crate::fake::Fake;
use crate::faults::FAULT;
use crate::route::{Call, Handler, methods};
use crate::vendor::Refusal;

/// The one project that there is.
pub(crate) const PROJECT: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A refused request, in OVHcloud's shape.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    class: &'static str,
    message: String,
}

impl Error {
    fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, class: "Client::BadRequest", message: message.into() }
    }

    fn not_found(what: &str) -> Self {
        let message = format!("{what} not found");
        Self { status: StatusCode::NOT_FOUND, class: "Client::NotFound", message }
    }

    fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, class: "Client::Conflict", message: message.into() }
    }

    fn quota(what: &str) -> Self {
        let message = format!("Quota exceeded for {what}");
        Self { status: StatusCode::FORBIDDEN, class: "Client::Forbidden", message }
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        match problems {
            Problems::NotJson => Self::bad("Invalid JSON received"),
            Problems::Fields(fields) => {
                let list: Vec<String> = fields.iter().map(|(name, why)| format!("[{name}] {why}")).collect();
                Self::bad(list.join(", "))
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        json_response(self.status, &json!({ "class": self.class, "message": self.message }))
    }
}

/// Refusals of who asks have another shape.
fn by_code(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "errorCode": code, "httpCode": status.to_string(), "message": message });
    json_response(status, &body)
}

/// What is answered before a handler runs.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Response {
    let (status, class, message) = match refusal {
        Refusal::NoToken => {
            return by_code(StatusCode::FORBIDDEN, "NOT_CREDENTIAL", "This call needs a credential");
        }
        Refusal::WrongToken => {
            return by_code(StatusCode::FORBIDDEN, "INVALID_CREDENTIAL", "This credential is not valid");
        }
        Refusal::ReadOnly => {
            return by_code(StatusCode::FORBIDDEN, "NOT_GRANTED_CALL", "This call has not been granted");
        }
        Refusal::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, "Client::TooManyRequests", "Too many requests")
        }
        // It says nothing about any resource.
        Refusal::NoRoute => {
            let body = json!({ "message": "Got an invalid (or empty) URL" });
            return json_response(StatusCode::NOT_FOUND, &body);
        }
        Refusal::Fault(status, class) => (status, class, FAULT),
    };
    json_response(status, &json!({ "class": class, "message": message }))
}

/// A path below the project's, and its methods.
type Row<'a> = (&'a str, &'a [(MethodFilter, Handler<Error>)]);

/// Every route under `/ovh/v1` that needs a credential.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    let get = MethodFilter::GET;
    let post = MethodFilter::POST;
    let put = MethodFilter::PUT;
    let delete = MethodFilter::DELETE;
    let table: [Row<'_>; 16] = [
        ("", &[(get, shelf::project)]),
        ("/flavor", &[(get, shelf::flavors)]),
        ("/flavor/{id}", &[(get, shelf::flavor)]),
        ("/image", &[(get, shelf::images)]),
        ("/image/{id}", &[(get, shelf::image)]),
        ("/instance", &[(get, instances::list), (post, instances::create)]),
        ("/instance/{id}", &[(get, instances::get), (put, instances::rename), (delete, instances::delete)]),
        ("/instance/{id}/reboot", &[(post, instances::reboot)]),
        ("/instance/{id}/snapshot", &[(post, snapshots::create)]),
        ("/instance/{id}/start", &[(post, instances::start)]),
        ("/instance/{id}/stop", &[(post, instances::stop)]),
        ("/region", &[(get, shelf::regions)]),
        ("/region/{id}", &[(get, shelf::region)]),
        ("/snapshot", &[(get, snapshots::list)]),
        ("/snapshot/{id}", &[(get, snapshots::get), (delete, snapshots::delete)]),
        ("/sshkey", &[(get, keys::list), (post, keys::create)]),
    ];
    let router = table.into_iter().fold(Router::new(), |router, (path, handlers)| {
        router.route(&format!("/cloud/project/{{project}}{path}"), methods(handlers))
    });
    router
        .route("/cloud/project/{project}/sshkey/{id}", methods(&[(get, keys::get), (delete, keys::delete)]))
        .route("/cloud/project", methods::<Error>(&[(get, shelf::projects)]))
        .method_not_allowed_fallback(async || refuse(Refusal::NoRoute))
}

/// The routes under `/ovh/v1` that ask for nothing.
pub(crate) fn open_routes() -> Router<Arc<Fake>> {
    let get = MethodFilter::GET;
    Router::new()
        .route("/auth/time", methods::<Error>(&[(get, shelf::time)]))
        .route("/order/catalog/public/cloud", methods::<Error>(&[(get, shelf::prices)]))
}

/// A call about this project, with these names in its query at the most.
fn check(call: &Call, queries: &[&str]) -> Result<(), Error> {
    if call.segment("project") != PROJECT {
        return Err(Error {
            status: StatusCode::NOT_FOUND,
            class: "Client::NotFound",
            message: "This service does not exist".to_owned(),
        });
    }
    let unknown = call.query.without(queries);
    if unknown.is_empty() { Ok(()) } else { Err(Error::bad(format!("Invalid parameter {}", &unknown[1..]))) }
}

/// What a call answers that has nothing to say.
fn nothing() -> Answer {
    Answer::Ok(Value::Null)
}
