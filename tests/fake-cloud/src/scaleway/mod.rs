//! Scaleway's APIs, as far as instances need them: Instance, Marketplace and Block Storage, zone by zone. Route table, errors,
//! pages, and what is answered before a handler runs. Each resource has its file, `project` the state.
//!
//! Facts are from Scaleway's OpenAPI documents (2026-11); statuses, spellings and what is null are those of the traffic that
//! Scaleway's own command line recorded, which differs from the documents.

mod action;
mod catalogue;
mod disks;
mod groups;
mod images;
mod ips;
mod project;
mod servers;
mod shelf;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{HeaderName, LINK};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use serde_json::{Value, json};

pub(crate) use project::{Project, end_task, server_number, shut_down, state, uuid_of_server};

use crate::answer::{Answer, json_response};
use crate::body::{Fields, Problems};
use crate::clock::rfc3339;
use crate::fake::Fake;
use crate::faults::FAULT;
use crate::route::{Call, methods};
use crate::vendor::Refusal;
use catalogue::ZONES;

/// A refused request, in Scaleway's shape.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    body: Value,
}

impl Error {
    fn new(status: StatusCode, kind: &str, message: &str) -> Self {
        Self { status, body: json!({ "type": kind, "message": message }) }
    }

    /// The same with another field.
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }

    fn not_found(resource: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "resource is not found")
            .with("resource", resource)
            .with("resource_id", id)
    }

    /// 400 about arguments: name and help of each.
    fn invalid(arguments: &[(String, String)]) -> Self {
        let details: Vec<Value> = arguments
            .iter()
            .map(
                |(name, help)| json!({ "argument_name": name, "reason": "constraint", "help_message": help }),
            )
            .collect();
        Self::new(StatusCode::BAD_REQUEST, "invalid_arguments", "invalid argument(s)")
            .with("details", details)
    }

    fn argument(name: &str, help: &str) -> Self {
        Self::invalid(&[(name.to_owned(), help.to_owned())])
    }

    fn still_in_use(resource: &str, id: &str, help: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "resource_still_in_use", "resource is still in use")
            .with("resource", resource)
            .with("resource_id", id)
            .with("help_message", help)
    }

    fn transient(resource: &str, id: &str, current: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "transient_state", "resource is in a transient state")
            .with("resource", resource)
            .with("resource_id", id)
            .with("current_state", current)
    }

    fn precondition(help: &str) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", "precondition is not respected")
            .with("precondition", "resource_not_usable")
            .with("help_message", help)
    }

    fn denied(resource: &str) -> Self {
        let details = json!([{ "resource": resource, "action": "write" }]);
        Self::new(StatusCode::FORBIDDEN, "permissions_denied", "insufficient permissions")
            .with("details", details)
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        match problems {
            Problems::NotJson => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is not valid JSON")
            }
            Problems::Fields(fields) => Self::invalid(&fields),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        json_response(self.status, &self.body)
    }
}

/// What is answered before a handler runs.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Response {
    let error = match refusal {
        Refusal::NoToken | Refusal::WrongToken => {
            Error::new(StatusCode::UNAUTHORIZED, "denied_authentication", "authentication is denied")
                .with("method", "api_key")
                .with("reason", "not_found")
        }
        Refusal::ReadOnly => Error::denied("compute"),
        Refusal::RateLimited => Error::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests, please retry later",
        ),
        Refusal::NoRoute => Error::new(StatusCode::NOT_FOUND, "unknown_resource", "no such API"),
        Refusal::Fault(status, kind) => Error::new(status, kind, FAULT),
    };
    error.into_response()
}

/// Every route under `/scaleway`.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    let get = MethodFilter::GET;
    let post = MethodFilter::POST;
    let put = MethodFilter::PUT;
    let patch = MethodFilter::PATCH;
    let delete = MethodFilter::DELETE;
    let instance = Router::new()
        .route("/servers", methods::<Error>(&[(get, servers::list), (post, servers::create)]))
        .route(
            "/servers/{id}",
            methods(&[(get, servers::get), (patch, servers::update), (delete, servers::delete)]),
        )
        .route("/servers/{id}/action", methods(&[(get, action::list), (post, action::start)]))
        .route("/servers/{id}/user_data", methods(&[(get, servers::user_data_keys)]))
        .route(
            "/servers/{id}/user_data/{key}",
            methods(&[
                (get, servers::user_data),
                (patch, servers::set_user_data),
                (delete, servers::delete_user_data),
            ]),
        )
        .route("/volumes", methods(&[(get, disks::list)]))
        .route(
            "/volumes/{id}",
            methods(&[(get, disks::get), (patch, disks::update), (delete, disks::delete)]),
        )
        .route("/snapshots", methods(&[(get, disks::snapshots)]))
        .route(
            "/snapshots/{id}",
            methods(&[
                (get, disks::snapshot),
                (patch, disks::update_snapshot),
                (delete, disks::delete_snapshot),
            ]),
        )
        .route("/images", methods(&[(get, images::list)]))
        .route(
            "/images/{id}",
            methods(&[(get, images::get), (patch, images::update), (delete, images::delete)]),
        )
        .route("/ips", methods(&[(get, ips::list), (post, ips::create)]))
        .route("/ips/{id}", methods(&[(get, ips::get), (delete, ips::delete)]))
        .route("/security_groups", methods(&[(get, groups::list), (post, groups::create)]))
        .route("/security_groups/{id}", methods(&[(get, groups::get), (delete, groups::delete)]))
        .route(
            "/security_groups/{id}/rules",
            methods(&[(get, groups::rules), (put, groups::set_rules), (post, groups::add_rule)]),
        )
        .route("/products/servers", methods(&[(get, shelf::products)]))
        .route("/products/servers/availability", methods(&[(get, shelf::availability)]));
    let block = Router::new()
        .route("/volumes", methods::<Error>(&[(get, disks::list_block)]))
        .route("/volumes/{id}", methods(&[(get, disks::get_block), (delete, disks::delete_block)]))
        .route(
            "/snapshots/{id}",
            methods(&[(get, disks::block_snapshot), (delete, disks::delete_block_snapshot)]),
        );
    Router::new()
        .nest("/instance/v1/zones/{zone}", instance)
        .nest("/block/v1alpha1/zones/{zone}", block.clone())
        .nest("/block/v1/zones/{zone}", block)
        .route("/marketplace/v2/local-images", methods(&[(get, shelf::local_images)]))
        .method_not_allowed_fallback(async || {
            Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")
        })
}

/// The zone in the path.
fn zone(call: &Call) -> Result<&'static str, Error> {
    find_zone(call.segment("zone"))
}

fn find_zone(name: &str) -> Result<&'static str, Error> {
    ZONES.into_iter().find(|it| *it == name).ok_or_else(|| Error::argument("zone", "no such zone"))
}

/// With fractions of a second and an offset, as Scaleway writes it.
fn date(ms: u64) -> String {
    let whole = rfc3339(ms);
    format!("{}.{:06}+00:00", whole.trim_end_matches('Z'), ms % 1000 * 1000)
}

/// A list of strings, checked for its type.
fn strings(fields: &mut Fields, name: &str) -> Option<Vec<String>> {
    let list = fields.list(name)?;
    let texts: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if texts.len() < list.len() {
        fields.problem(name, "must be strings");
    }
    Some(texts)
}

/// Whether something with these tags is asked for: every tag of the query, whole.
fn matches_tags(call: &Call, tags: &[String]) -> bool {
    let wanted = call.query.get("tags").unwrap_or_default();
    wanted.split(',').filter(|it| !it.is_empty()).all(|it| tags.iter().any(|tag| tag == it))
}

/// Whether a project is asked for that is ours, or none.
fn matches_project(call: &Call) -> bool {
    ["project", "project_id"].iter().all(|name| call.query.get(name).is_none_or(|it| it == project::PROJECT))
}

const PER_PAGE: u64 = 50;
const MAX_PER_PAGE: u64 = 100;

/// Which part of a list is asked for: how many to skip, how many to show.
fn window(call: &Call) -> Result<(u64, u64), Error> {
    let number = |name: &str, default: u64| match call.query.get(name) {
        None => Ok(default),
        Some(text) => {
            let number = text.parse().ok().filter(|number| *number >= 1);
            number.ok_or_else(|| Error::argument(name, "must be a positive integer"))
        }
    };
    let (page, size) = (number("page", 1)?, number("per_page", PER_PAGE)?);
    if size > MAX_PER_PAGE {
        return Err(Error::argument("per_page", "must be at most 100"));
    }
    Ok((page, size))
}

/// Cuts a page out. How many there are in all is in a header, and so are the addresses of other pages.
fn page<T>(call: &Call, key: &str, all: Vec<T>) -> Result<Answer, Error>
where
    Value: FromIterator<T>,
{
    let (page, size) = window(call)?;
    let total = all.len() as u64;
    let last = total.div_ceil(size).max(1);
    let skip = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let shown: Value = all.into_iter().skip(skip).take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
    let mut headers = vec![(HeaderName::from_static("x-total-count"), total.to_string())];
    if last > 1 {
        let link = |page: u64, rel: &str| format!("</{key}?page={page}&per_page={size}>; rel=\"{rel}\"");
        let mut links = vec![link(last, "last")];
        links.extend((page < last).then(|| link(page + 1, "next")));
        headers.push((LINK, links.join(",")));
    }
    Ok(Answer::WithHeaders(headers, json!({ key: shown })))
}
