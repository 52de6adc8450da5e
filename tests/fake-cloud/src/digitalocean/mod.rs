//! DigitalOcean's API v2: its route table, its errors, its pages, and what it answers before a handler runs. Each resource
//! has its file, `team` the state.
//!
//! Facts are from the DigitalOcean API reference and its OpenAPI document (2026-11) unless a comment says otherwise; the
//! sentences of refusals are those that clients of the API have reported.

mod actions;
mod catalogue;
mod droplets;
mod firewalls;
mod images;
mod keys;
mod shelf;
mod tags;
mod team;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use serde_json::{Value, json};

pub(crate) use team::{Team, end_action, shut_down, state};

use crate::answer::{Answer, json_response};
use crate::body::Problems;
use crate::cloud::Cloud;
use crate::fake::Fake;
use crate::faults::FAULT;
use crate::route::{Call, methods};
use crate::vendor::{Refusal, Vendor};

/// A refused request, in DigitalOcean's shape.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    id: &'static str,
    message: String,
}

impl Error {
    /// 422 with a sentence: almost every refusal has this id.
    fn refused(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, id: "unprocessable_entity", message: message.into() }
    }

    fn not_found() -> Self {
        let message = "The resource you were accessing could not be found.".to_owned();
        Self { status: StatusCode::NOT_FOUND, id: "not_found", message }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, id: "bad_request", message: message.into() }
    }

    fn conflict(message: &str) -> Self {
        Self { status: StatusCode::CONFLICT, id: "conflict", message: message.to_owned() }
    }

    /// Another action runs on the droplet.
    fn pending() -> Self {
        Self::refused("Droplet already has a pending event.")
    }

    fn unless(wrong: bool, error: impl FnOnce() -> Self) -> Result<(), Self> {
        if wrong { Err(error()) } else { Ok(()) }
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        match problems {
            Problems::NotJson => Self::bad_request("Unable to parse request."),
            Problems::Fields(fields) => {
                let list: Vec<String> =
                    fields.iter().map(|(name, message)| format!("{name} {message}")).collect();
                Self::refused(list.join(", "))
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        json_response(self.status, &body(self.id, &self.message))
    }
}

fn body(id: &str, message: &str) -> Value {
    json!({ "id": id, "message": message, "request_id": "00000000-0000-4000-8000-000000000000" })
}

/// What is answered before a handler runs.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Response {
    let (status, id, message) = match refusal {
        Refusal::NoToken | Refusal::WrongToken => {
            (StatusCode::UNAUTHORIZED, "unauthorized", "Unable to authenticate you")
        }
        Refusal::ReadOnly => {
            (StatusCode::FORBIDDEN, "forbidden", "You are not authorized to perform this operation")
        }
        Refusal::RateLimited => {
            (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "API Rate limit exceeded.")
        }
        Refusal::NoRoute => return Error::not_found().into_response(),
        Refusal::Fault(status, code) => (status, code, FAULT),
    };
    json_response(status, &body(id, message))
}

/// Every route under `/digitalocean/v2`.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    let get = MethodFilter::GET;
    let post = MethodFilter::POST;
    let put = MethodFilter::PUT;
    let delete = MethodFilter::DELETE;
    Router::new()
        .route("/account", methods::<Error>(&[(get, shelf::account)]))
        .route("/account/keys", methods(&[(get, keys::list), (post, keys::create)]))
        .route(
            "/account/keys/{id}",
            methods(&[(get, keys::get), (put, keys::update), (delete, keys::delete)]),
        )
        .route("/actions", methods(&[(get, shelf::actions)]))
        .route("/actions/{id}", methods(&[(get, shelf::action)]))
        .route(
            "/droplets",
            methods(&[(get, droplets::list), (post, droplets::create), (delete, droplets::delete_tagged)]),
        )
        .route("/droplets/{id}", methods(&[(get, droplets::get), (delete, droplets::delete)]))
        .route("/droplets/{id}/actions", methods(&[(get, actions::list), (post, actions::start)]))
        .route("/droplets/{id}/actions/{action}", methods(&[(get, actions::get)]))
        .route("/droplets/{id}/snapshots", methods(&[(get, images::of_droplet)]))
        .route("/firewalls", methods(&[(get, firewalls::list), (post, firewalls::create)]))
        .route("/firewalls/{id}", methods(&[(get, firewalls::get), (delete, firewalls::delete)]))
        .route("/images", methods(&[(get, images::list)]))
        .route(
            "/images/{id}",
            methods(&[(get, images::get), (put, images::update), (delete, images::delete)]),
        )
        .route("/regions", methods(&[(get, shelf::regions)]))
        .route("/sizes", methods(&[(get, shelf::sizes)]))
        .route("/snapshots", methods(&[(get, images::snapshots)]))
        .route("/snapshots/{id}", methods(&[(delete, images::delete)]))
        .route("/tags", methods(&[(get, tags::list), (post, tags::create)]))
        .route("/tags/{name}", methods(&[(get, tags::get), (delete, tags::delete)]))
        .route("/tags/{name}/resources", methods(&[(post, tags::attach), (delete, tags::detach)]))
        .method_not_allowed_fallback(async || {
            let message = "The requested method is not allowed for this resource.";
            json_response(StatusCode::METHOD_NOT_ALLOWED, &body("method_not_allowed", message))
        })
}

const PER_PAGE: u64 = 20;
const MAX_PER_PAGE: u64 = 200;

/// Cuts a page out of everything there is. Addresses of other pages are whole, and only there where there are such pages.
fn page(cloud: &Cloud, call: &Call, key: &str, path: &str, all: Vec<Value>) -> Result<Answer, Error> {
    let number = |name: &str, default: u64| match call.query.get(name) {
        None => Ok(default),
        Some(text) => {
            let number = text.parse().ok().filter(|number| *number >= 1);
            number.ok_or_else(|| Error::bad_request(format!("{name} must be a positive integer")))
        }
    };
    let (page, per_page) = (number("page", 1)?, number("per_page", PER_PAGE)?);
    if per_page > MAX_PER_PAGE {
        return Err(Error::bad_request(format!("per_page must be at most {MAX_PER_PAGE}")));
    }
    let size = per_page.min(cloud.config.max_per_page);
    let total = all.len() as u64;
    let last = total.div_ceil(size).max(1);
    let skip = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let shown: Vec<Value> =
        all.into_iter().skip(skip).take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let base = format!("http://{}{}{path}", call.host, Vendor::DigitalOcean.prefix());
    let filters = call.query.without(&["page", "per_page"]);
    let address = |page: u64| format!("{base}?page={page}&per_page={per_page}{filters}");
    let mut pages = json!({});
    if page > 1 {
        pages["first"] = json!(address(1));
        pages["prev"] = json!(address(page - 1));
    }
    if page < last {
        pages["next"] = json!(address(page + 1));
        pages["last"] = json!(address(last));
    }
    let links = if last == 1 { json!({}) } else { json!({ "pages": pages }) };
    let mut body = json!({ "links": links, "meta": { "total": total } });
    body[key] = Value::Array(shown);
    Ok(Answer::Ok(body))
}

/// The number in the path; what is none is nothing that could be found.
fn number(call: &Call) -> Result<u64, Error> {
    call.reference().parse().map_err(|_| Error::not_found())
}
