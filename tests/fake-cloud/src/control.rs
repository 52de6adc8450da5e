//! The control API: what tests look at and turn. It asks for no token.
//!
//! Browsers are kept out (any `Origin` is refused, and any name but the loopback's), so that no page can turn
//! these knobs or read what is here.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::answer::json_response;
use crate::clock;
use crate::cloud::Cloud;
use crate::digitalocean;
use crate::fake::Fake;
use crate::faults::Fault;
use crate::guest::record::Order;
use crate::ovh;
use crate::resources::{Image, SshKey, Volume};
use crate::scaleway;

/// Routes under `/_fake`.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    Router::new()
        .route("/state", get(state))
        .route("/reset", post(reset))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/config", get(config).post(configure))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/guests/{server_id}", post(order))
        .route("/servers/{server_id}/user-data", get(user_data))
        .layer(middleware::from_fn(refuse_browsers))
}

async fn refuse_browsers(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if request.headers().contains_key(ORIGIN) || !matches!(name, "127.0.0.1" | "localhost") {
        return problem(StatusCode::FORBIDDEN, "not for browsers");
    }
    next.run(request).await
}

fn problem(status: StatusCode, detail: &str) -> Response {
    json_response(status, &json!({ "detail": detail }))
}

fn parse(body: &Bytes) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))
}

async fn state(State(fake): State<Arc<Fake>>) -> Response {
    let mut body = fake.with(|cloud| snapshot(cloud));
    body["faults"] = fake.gate().faults.iter().map(Fault::to_json).collect();
    json_response(StatusCode::OK, &body)
}

fn snapshot(cloud: &Cloud) -> Value {
    let servers: Vec<Value> = cloud
        .servers
        .values()
        .map(|server| {
            let mut value = cloud.server_json(server, true);
            value["user_data_bytes"] = json!(server.user_data.len());
            value["ssh_key_names"] = json!(server.ssh_keys);
            value["guest"] = cloud.guests.to_json(server.id);
            value
        })
        .collect();
    let unassigned = cloud.config.unassigned_type;
    let primary_ips: Vec<Value> = cloud.primary_ips.values().map(|ip| ip.to_json(unassigned)).collect();
    let images = cloud.images.values().filter(|image| image.kind != "system").map(Image::to_json);
    let firewalls = cloud.firewalls.values().map(|firewall| cloud.firewall_json(firewall));
    let actions = cloud.actions.values().map(|action| action.to_json(cloud.now_ms));
    json!({
        "now": clock::rfc3339(cloud.now_ms),
        "config": cloud.config.to_json(),
        "servers": servers,
        "ssh_keys": cloud.ssh_keys.values().map(SshKey::to_json).collect::<Vec<_>>(),
        "firewalls": firewalls.collect::<Vec<_>>(),
        "primary_ips": primary_ips,
        "volumes": cloud.volumes.values().map(Volume::to_json).collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(),
        "actions": actions.collect::<Vec<_>>(),
        "digitalocean": digitalocean::state(cloud),
        "scaleway": scaleway::state(cloud),
        "ovh": ovh::state(cloud),
        "guests": cloud.guests.all_json(),
        "created_ever": cloud.created_ever,
    })
}

/// Everything is as at the start, but no id and no guest of before comes back.
async fn reset(State(fake): State<Arc<Fake>>) -> Response {
    let config = fake.options.config.clone();
    let rate_limit = config.rate_limit;
    fake.with(|cloud| {
        let mut fresh = Cloud::new(config, cloud.last_id());
        fresh.now_ms = cloud.now_ms;
        *cloud = fresh;
    });
    let mut gate = fake.gate();
    gate.faults.clear();
    gate.requests.clear();
    gate.set_rate_limit(rate_limit, clock::now_ms());
    json_response(StatusCode::OK, &json!({ "reset": true }))
}

async fn add_fault(State(fake): State<Arc<Fake>>, body: Bytes) -> Response {
    match parse(&body).and_then(|value| Fault::parse(&value)) {
        Ok(fault) => {
            let shown = fault.to_json();
            fake.gate().faults.push(fault);
            json_response(StatusCode::CREATED, &shown)
        }
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

async fn clear_faults(State(fake): State<Arc<Fake>>) -> Response {
    fake.gate().faults.clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn config(State(fake): State<Arc<Fake>>) -> Response {
    json_response(StatusCode::OK, &fake.with(|cloud| cloud.config.to_json()))
}

async fn configure(State(fake): State<Arc<Fake>>, body: Bytes) -> Response {
    let changes = match parse(&body) {
        Ok(changes) => changes,
        Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
    };
    let applied = fake.with(|cloud| {
        let had_guests = cloud.config.guests;
        cloud.config.apply(&changes)?;
        if had_guests && !cloud.config.guests {
            cloud.guests.cut_all_power();
        }
        if !had_guests && cloud.config.guests {
            cloud.starts = cloud.powered();
        }
        Ok::<_, String>(cloud.config.to_json())
    });
    match applied {
        Ok(config) => {
            if let Some(limit) = changes["rate_limit"].as_u64() {
                fake.gate().set_rate_limit(limit, clock::now_ms());
            }
            json_response(StatusCode::OK, &config)
        }
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

async fn requests(State(fake): State<Arc<Fake>>) -> Response {
    let requests: Vec<Value> = fake.gate().requests.iter().cloned().collect();
    json_response(StatusCode::OK, &json!({ "requests": requests }))
}

async fn clear_requests(State(fake): State<Arc<Fake>>) -> Response {
    fake.gate().requests.clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn order(State(fake): State<Arc<Fake>>, Path(server): Path<String>, body: Bytes) -> Response {
    let orders = match parse(&body).and_then(|value| Order::parse_all(&value)) {
        Ok(orders) => orders,
        Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
    };
    let given = fake.with(|cloud| cloud.server_named(&server).filter(|id| cloud.guests.order(*id, orders)));
    let Some(id) = given else {
        return problem(StatusCode::NOT_FOUND, "no guest runs on this server");
    };
    json_response(StatusCode::OK, &fake.with(|cloud| cloud.guests.to_json(id)))
}

/// As given at creation: it holds the guest's capability, which is why only the loopback address has it.
async fn user_data(State(fake): State<Arc<Fake>>, Path(server): Path<String>) -> Response {
    let given = fake.with(|cloud| {
        let id = cloud.server_named(&server)?;
        cloud.host(id).map(|host| host.user_data.to_owned())
    });
    match given {
        Some(text) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such server"),
    }
}
