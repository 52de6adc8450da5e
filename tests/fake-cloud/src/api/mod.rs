//! Hetzner's Cloud API: its route table, and what it answers before a handler runs. Each resource has its file.

mod firewalls;
mod images;
mod keys;
mod primary_ips;
mod server_actions;
mod servers;
mod shelf;
mod volumes;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use serde_json::Value;

use crate::answer::json_response;
use crate::error::ApiError;
use crate::fake::Fake;
use crate::faults::FAULT;
use crate::route::{Call, Handler, methods};
use crate::vendor::Refusal;

impl Call {
    /// The id in the path: a positive integer, or 422.
    fn id(&self) -> Result<u64, ApiError> {
        let id = self.reference().parse().ok().filter(|id| *id >= 1);
        id.ok_or_else(|| ApiError::invalid("id", "must be a positive integer"))
    }
}

/// What is answered before a handler runs.
pub(crate) fn refuse(refusal: Refusal<'_>) -> Response {
    let error = match refusal {
        Refusal::NoToken => ApiError::unauthorized("token is required"),
        Refusal::WrongToken => ApiError::unauthorized("the token you have provided is invalid"),
        Refusal::ReadOnly => ApiError::token_readonly(),
        Refusal::RateLimited => ApiError::rate_limited(),
        Refusal::NoRoute => ApiError::no_route(),
        Refusal::Fault(status, code) => {
            return json_response(status, &ApiError::body(code, FAULT, &Value::Null));
        }
    };
    error.into_response()
}

/// Every route under `/v1`.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    let get = MethodFilter::GET;
    let post = MethodFilter::POST;
    let put = MethodFilter::PUT;
    let delete = MethodFilter::DELETE;
    let on_server = |action: Handler<ApiError>| methods(&[(post, action)]);
    Router::new()
        .route("/servers", methods(&[(get, servers::list), (post, servers::create)]))
        .route(
            "/servers/{id}",
            methods(&[(get, servers::get), (put, servers::update), (delete, servers::delete)]),
        )
        .route("/servers/{id}/actions/poweron", on_server(server_actions::poweron))
        .route("/servers/{id}/actions/poweroff", on_server(server_actions::poweroff))
        .route("/servers/{id}/actions/shutdown", on_server(server_actions::shutdown))
        .route("/servers/{id}/actions/reboot", on_server(server_actions::reboot))
        .route("/servers/{id}/actions/reset", on_server(server_actions::reset))
        .route("/servers/{id}/actions/rebuild", on_server(server_actions::rebuild))
        .route("/servers/{id}/actions/create_image", on_server(server_actions::create_image))
        .route("/servers/{id}/actions/change_protection", on_server(server_actions::change_protection))
        .route("/actions", methods(&[(get, shelf::actions)]))
        .route("/actions/{id}", methods(&[(get, shelf::action)]))
        .route("/images", methods(&[(get, images::list)]))
        .route(
            "/images/{id}",
            methods(&[(get, images::get), (put, images::update), (delete, images::delete)]),
        )
        .route("/ssh_keys", methods(&[(get, keys::list), (post, keys::create)]))
        .route("/ssh_keys/{id}", methods(&[(get, keys::get), (put, keys::update), (delete, keys::delete)]))
        .route("/firewalls", methods(&[(get, firewalls::list), (post, firewalls::create)]))
        .route(
            "/firewalls/{id}",
            methods(&[(get, firewalls::get), (put, firewalls::update), (delete, firewalls::delete)]),
        )
        .route("/firewalls/{id}/actions/apply_to_resources", methods(&[(post, firewalls::apply)]))
        .route("/firewalls/{id}/actions/remove_from_resources", methods(&[(post, firewalls::remove)]))
        .route("/firewalls/{id}/actions/set_rules", methods(&[(post, firewalls::set_rules)]))
        .route("/primary_ips", methods(&[(get, primary_ips::list), (post, primary_ips::create)]))
        .route(
            "/primary_ips/{id}",
            methods(&[(get, primary_ips::get), (put, primary_ips::update), (delete, primary_ips::delete)]),
        )
        .route("/volumes", methods(&[(get, volumes::list), (post, volumes::create)]))
        .route(
            "/volumes/{id}",
            methods(&[(get, volumes::get), (put, volumes::update), (delete, volumes::delete)]),
        )
        .route("/server_types", methods(&[(get, shelf::server_types)]))
        .route("/server_types/{id}", methods(&[(get, shelf::server_type)]))
        .route("/locations", methods(&[(get, shelf::locations)]))
        .route("/locations/{id}", methods(&[(get, shelf::location)]))
        .route("/datacenters", methods(&[(get, shelf::datacenters)]))
        .route("/datacenters/{id}", methods(&[(get, shelf::datacenters)]))
        .route("/pricing", methods(&[(get, shelf::pricing)]))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
}
