//! A world for the core: the API under a fixed clock, with one small Hetzner project behind it that remembers servers,
//! and a bucket.
//! What is asked of it and what must come out is the tests' business.

use std::cell::{Cell, RefCell};

use futures_util::FutureExt as _;
use mayfly::App;
use mayfly::encoding::rfc3339;
use mayfly::http::{
    Body, BodyError, Clock, Head, Http, Log, Method, NoAnswer, Random, Reply, Request, Response,
};
use mayfly::keys::{Claims, Scope};
use serde_json::{Value, json};

use crate::store::{Connection, Store};
use crate::upstream::Upstream;

/// 2026-11-20T10:00:00Z.
pub(crate) const START_SECS: u64 = 1_795_168_800;
pub(crate) const TOKEN: &str = "an-api-token-of-a-test";
/// The workspace whose backups capabilities open.
pub(crate) const WORKSPACE: &str = "default/github.com~octocat~Hello-World";
const BASE: &str = "https://hetzner.example/v1";

/// What a provider request gets instead of the project's answer.
pub(crate) struct Fault {
    /// Beginning of `METHOD /path?query`.
    pub(crate) what: &'static str,
    pub(crate) answer: Result<(u16, &'static str), NoAnswer>,
}

/// Clock, randomness and a provider in one.
pub(crate) struct World {
    pub(crate) now_secs: Cell<u64>,
    pub(crate) servers: RefCell<Vec<Value>>,
    pub(crate) faults: RefCell<Vec<Fault>>,
    pub(crate) store: Store,
    drawn: Cell<u64>,
    next_id: Cell<u64>,
}

/// One call of the API.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    /// Path with query.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

pub(crate) fn app() -> App {
    app_with(|_| None)
}

/// A configured Mayfly; `more` comes before the usual configuration.
pub(crate) fn app_with(more: impl Fn(&str) -> Option<String>) -> App {
    App::from_lookup(|key| {
        more(key).or_else(|| {
            let value = match key {
                "API_TOKEN" => TOKEN,
                "SIGNING_KEY" => "k1:0123456789abcdef0123456789abcdef",
                "PUBLIC_URL" => "https://mayfly.example.workers.dev",
                "HETZNER_TOKEN" => "hetzner-token-of-a-test",
                "HETZNER_API_URL" => BASE,
                "BACKUP_KEY" => "backup-key-of-a-test-0123456789-0123456789",
                _ => return None,
            };
            Some(value.to_owned())
        })
    })
}

/// A capability of a VM, as the core signs it.
pub(crate) fn capability(app: &App, vm: &str, scope: Scope) -> String {
    let config = &app.ready().expect("a configured app").config;
    let claims = Claims {
        deployment: config.deployment.clone(),
        vm: vm.to_owned(),
        provider: "hetzner".into(),
        region: "fsn1".into(),
        scope,
        expires_secs: None,
        workspace: WORKSPACE.into(),
        owner: String::new(),
    };
    format!("Bearer {}", config.keys.signer().sign(&claims))
}

/// Lets the core answer. Nothing in this world waits, so the answer is there at once.
pub(crate) fn call(app: &App, world: &World, it: Call<'_>) -> Reply {
    let header = |name: &str| {
        it.headers.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
    };
    let (path, query) = it.target.split_once('?').unwrap_or((it.target, ""));
    let head = Head {
        method: it.method,
        origin: "https://mayfly.example.workers.dev",
        path,
        query,
        header: &header,
    };
    let mut caller = Connection {
        body: Bytes(it.body),
        store: Some(world.store.clone()),
        sent: Vec::new(),
        upstream: Upstream::default(),
        passed: Vec::new(),
    };
    let reply = mayfly::api::handle(app, world, head, &mut caller).now_or_never();
    let mut reply = reply.expect("an answer at once");
    if reply.body.is_empty() {
        reply.body = caller.sent;
    }
    reply
}

struct Bytes<'a>(&'a [u8]);

impl Body for Bytes<'_> {
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        if self.0.len() > max_bytes { Err(BodyError::TooLong) } else { Ok(self.0.to_vec()) }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now_secs: Cell::new(START_SECS),
            servers: RefCell::default(),
            faults: RefCell::default(),
            store: Store::new(),
            drawn: Cell::new(0),
            next_id: Cell::new(4711),
        }
    }

    /// Begins the randomness anew, so that one call's does not depend on how much the calls before it drew.
    pub(crate) fn seed(&self, name: &str) {
        self.drawn.set(name.bytes().fold(7, |seed, byte| seed * 31 % 1_000_000_007 + u64::from(byte)));
    }

    /// A label of the newest server.
    pub(crate) fn label(&self, name: &str) -> String {
        let servers = self.servers.borrow();
        servers.last().and_then(|it| it["labels"][name].as_str()).unwrap_or_default().to_owned()
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let target = request.url.strip_prefix(BASE).expect("a URL of this project");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut segments = path.trim_start_matches('/').split('/');
        let (kind, id) = (segments.next().unwrap_or_default(), segments.next());
        match (request.method, kind, id) {
            (Method::Get, "servers", None) => {
                let servers = self.servers.borrow();
                list(
                    "servers",
                    servers.iter().filter(|it| is_selected(it, query)).cloned().collect::<Vec<_>>(),
                )
            }
            (Method::Post, "servers", None) => {
                let server = self.new_server(&body);
                self.servers.borrow_mut().push(server.clone());
                (201, json!({ "server": server }))
            }
            (method, "servers", Some(id)) => self.one_server(method, id, &body),
            (Method::Get, "server_types", _) => list("server_types", server_types()),
            (Method::Get, "locations", _) => list(
                "locations",
                vec![
                    json!({ "name": "fsn1", "city": "Falkenstein", "country": "DE" }),
                    json!({ "name": "nbg1", "city": "Nuremberg", "country": "DE" }),
                ],
            ),
            (Method::Get, "pricing", _) => (
                200,
                json!({ "pricing": { "currency": "EUR", "primary_ips": [
                    { "type": "ipv4", "prices": [price("fsn1", "0.0008"), price("nbg1", "0.0008")] },
                ] } }),
            ),
            (Method::Get, "primary_ips", _) => list(
                "primary_ips",
                vec![
                    json!({ "id": 77, "name": "primary_ip-77", "created": rfc3339(START_SECS), "assignee_id": null }),
                ],
            ),
            (Method::Get, kind, _) => list(kind, json!([])),
            (Method::Post, kind, _) => {
                let kind = kind.trim_end_matches('s');
                (201, json!({ kind: { "id": 5, "name": body["name"], "created": rfc3339(self.now_secs()) } }))
            }
            (Method::Delete, ..) => (204, Value::Null),
            _ => (200, json!({})),
        }
    }

    fn new_server(&self, body: &Value) -> Value {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        json!({
            "id": id,
            "name": body["name"],
            "status": "initializing",
            "created": rfc3339(self.now_secs()),
            "public_net": {
                "ipv4": { "id": id + 1000, "ip": "203.0.113.7" },
                "ipv6": { "id": id + 2000, "ip": "2001:db8:1::/64" },
            },
            "server_type": { "name": body["server_type"] },
            "location": { "name": body["location"] },
            "labels": body["labels"],
        })
    }

    fn one_server(&self, method: Method, id: &str, body: &Value) -> (u16, Value) {
        let mut servers = self.servers.borrow_mut();
        let Some(at) = servers.iter().position(|it| it["id"].as_u64() == id.parse().ok()) else {
            return (404, json!({ "error": { "code": "not_found", "message": "server not found" } }));
        };
        match method {
            Method::Delete => {
                servers.remove(at);
                (200, json!({}))
            }
            Method::Put => {
                servers[at]["labels"] = body["labels"].clone();
                (200, json!({ "server": servers[at] }))
            }
            _ => (200, json!({ "server": servers[at] })),
        }
    }
}

fn list(kind: &str, items: impl Into<Value>) -> (u16, Value) {
    (200, json!({ kind: items.into(), "meta": { "pagination": { "next_page": null, "last_page": 1 } } }))
}

fn price(location: &str, gross: &str) -> Value {
    let monthly = format!("{:.4}", gross.parse::<f64>().expect("a price") * 600.0);
    json!({ "location": location, "price_hourly": { "gross": gross }, "price_monthly": { "gross": monthly } })
}

fn server_types() -> Vec<Value> {
    let one = |(name, cores, memory, disk, gross): (&str, u32, f64, u32, &str)| {
        json!({
            "name": name, "cores": cores, "memory": memory, "disk": disk, "architecture": "x86",
            "prices": [price("fsn1", gross), price("nbg1", gross)],
            "locations": [
                { "name": "fsn1", "available": true, "deprecation": null },
                { "name": "nbg1", "available": true, "deprecation": null },
            ],
        })
    };
    [("cx23", 2, 4.0, 40, "0.0065"), ("cx33", 4, 8.0, 80, "0.0113")].map(one).into()
}

/// Whether a server has every label of a percent-encoded selector.
fn is_selected(server: &Value, query: &str) -> bool {
    let selector = query.split('&').find_map(|it| it.strip_prefix("label_selector=")).unwrap_or_default();
    selector.split("%2C").filter_map(|it| it.split_once("%3D%3D")).all(|(k, v)| server["labels"][k] == v)
}

impl Http for World {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        let target = request.url.strip_prefix(BASE).unwrap_or_default();
        let line = format!("{} {target}", request.method.as_str());
        let fault = self.faults.borrow().iter().find(|it| line.starts_with(it.what)).map(|it| it.answer);
        let (status, body) = if let Some(answer) = fault {
            answer.map(|(status, body)| (status, body.to_owned()))?
        } else {
            let (status, body) = self.answer(&request);
            (status, body.to_string())
        };
        Ok(Response { status, headers: Vec::new(), body: body.into_bytes() })
    }

    async fn sleep_ms(&self, _ms: u32) {}
}

impl Clock for World {
    fn now_ms(&self) -> u64 {
        self.now_secs.get() * 1000
    }
}

/// Knuth's linear congruential generator, its upper bits: values differ, and are the same in every run.
impl Random for World {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let next = self.drawn.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.drawn.set(next);
            *byte = next.to_be_bytes()[0];
        }
    }
}

impl mayfly::access::Signatures for World {}

impl Log for World {
    fn log(&self, _line: &str) {}
}
