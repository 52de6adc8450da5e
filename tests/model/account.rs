//! One Hetzner account in memory, shared by several people and two deployments, with a clock that the test moves, and faults as
//! they happen: answers that are lost before or after the provider acted, refusals, and a Worker that dies between two
//! calls. Every deletion of a server is written down, for the test to ask who did it and whether it was right.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use mayfly::encoding::rfc3339;
use mayfly::http::{Clock, Http, Log, Method, NoAnswer, Random, Request, Response};
use serde_json::{Value, json};

use crate::chance::Chance;

pub(crate) const BASE: &str = "https://hetzner.test/v1";
pub(crate) const KINDS: [&str; 5] = ["servers", "ssh_keys", "firewalls", "primary_ips", "images"];
/// Small, so that lists have several.
const PER_PAGE: usize = 3;
/// What is older than us has smaller ids.
const FIRST_ID: u64 = 1000;

/// What is sold: name, cores, and millionths of the currency for an hour; and where.
const TYPES: [(&str, u64, u64); 3] = [("cx23", 2, 10_000), ("cx33", 4, 20_000), ("cpx32", 4, 40_000)];
pub(crate) const LOCATIONS: [&str; 2] = ["fsn1", "nbg1"];
pub(crate) const ADDRESS_MICROS_PER_HOUR: u64 = 1_000;

/// What the Worker hears of a request.
type Heard = Result<(u16, Value), NoAnswer>;

/// A server that was deleted.
#[derive(Clone)]
pub(crate) struct Deleted {
    pub(crate) id: u64,
    pub(crate) server: Value,
    pub(crate) now_secs: u64,
}

/// The account, and the platform that a Worker runs on.
pub(crate) struct Account {
    now_ms: Cell<u64>,
    pub(crate) things: RefCell<BTreeMap<&'static str, BTreeMap<u64, Value>>>,
    next_id: Cell<u64>,
    chance: RefCell<Chance>,
    /// Faults in a hundred requests.
    pub(crate) faults: Cell<u64>,
    /// The Worker dies at this request from now on.
    pub(crate) dies_at: Cell<Option<u32>>,
    pub(crate) deleted: RefCell<Vec<Deleted>>,
    /// The location that has no room.
    pub(crate) full: Cell<Option<&'static str>>,
    /// Creations that were refused for it.
    pub(crate) refused: Cell<u64>,
}

impl Account {
    pub(crate) fn new(now_secs: u64, chance: Chance) -> Self {
        let account = Self {
            now_ms: Cell::new(now_secs * 1000),
            things: RefCell::new(KINDS.into_iter().map(|kind| (kind, BTreeMap::new())).collect()),
            next_id: Cell::new(1),
            chance: RefCell::new(chance),
            faults: Cell::new(0),
            dies_at: Cell::new(None),
            deleted: RefCell::default(),
            full: Cell::new(None),
            refused: Cell::new(0),
        };
        account.furnish();
        account.next_id.set(FIRST_ID);
        account
    }

    /// What other people and programs have in the account, as like ours as can be.
    fn furnish(&self) {
        let strangers = [
            json!({}),
            json!({"environment": "prod"}),
            json!({"managed-by": "terraform", "mayfly-deployment": "one", "mayfly-vm": "abcdefghijklmnopqrstuvwxyz"}),
            json!({"managed-by": "mayfly", "mayfly-deployment": "third", "mayfly-vm": "bcdefghijklmnopqrstuvwxyza",
                   "mayfly-owner": "ann", "mayfly-expires": "1"}),
        ];
        for labels in strangers {
            let id = self.id();
            let place = (TYPES[0].0, LOCATIONS[0]);
            let server = server(id, &format!("foreign-{id}"), "running", self.now_secs(), place, &labels);
            self.put("servers", id, server);
            for kind in ["ssh_keys", "firewalls", "primary_ips", "images"] {
                let id = self.id();
                self.put(kind, id, thing(id, &format!("foreign-{id}"), self.now_secs(), &labels));
            }
        }
    }

    pub(crate) fn now_secs(&self) -> u64 {
        self.now_ms.get() / 1000
    }

    /// Time passes; what was being made is there.
    pub(crate) fn pass(&self, secs: u64) {
        self.now_ms.set(self.now_ms.get() + secs * 1000);
        for server in self.things.borrow_mut().get_mut("servers").expect("servers").values_mut() {
            if server["status"] == "initializing" || server["status"] == "starting" {
                server["status"] = "running".into();
            }
        }
        for image in self.things.borrow_mut().get_mut("images").expect("images").values_mut() {
            image["status"] = "available".into();
        }
    }

    /// What was there before us.
    pub(crate) fn foreign(&self) -> Value {
        let things = self.things.borrow();
        let of_kind = |kind: &&str| {
            let of_others: Vec<Value> = things[*kind].range(..FIRST_ID).map(|(_, it)| it).cloned().collect();
            ((*kind).to_owned(), Value::from(of_others))
        };
        Value::Object(KINDS.iter().map(of_kind).collect())
    }

    /// What is ours, by kind.
    pub(crate) fn ours(&self, kind: &str) -> Vec<Value> {
        self.things.borrow()[kind].values().filter(|it| deployment(it).is_some()).cloned().collect()
    }

    fn id(&self) -> u64 {
        self.next_id.set(self.next_id.get() + 1);
        self.next_id.get()
    }

    fn put(&self, kind: &'static str, id: u64, value: Value) {
        self.things.borrow_mut().get_mut(kind).expect("a kind").insert(id, value);
    }

    fn below(&self, end: u64) -> u64 {
        self.chance.borrow_mut().below(end)
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let target = request.url.strip_prefix(BASE).expect("a URL of the account");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let kind = KINDS.into_iter().find(|it| *it == parts[0]);
        let id = parts.get(1).and_then(|it| it.parse().ok());
        match (request.method, kind, id, parts.get(3)) {
            (Method::Get, Some(kind), None, _) => self.list(kind, query),
            (Method::Post, Some("servers"), None, _) => self.create_server(&body),
            (Method::Post, Some(kind), None, _) => self.create_shared(kind, &body),
            (Method::Post, Some("servers"), Some(id), Some(action)) => self.act(id, action, &body),
            (Method::Delete, Some(kind), Some(id), _) => self.delete(kind, id),
            (method, Some(kind), Some(id), None) => self.one(method, kind, id, &body),
            _ => catalogue(parts[0]),
        }
    }

    fn list(&self, kind: &'static str, query: &str) -> (u16, Value) {
        let value_of = |name: &str| query.split('&').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        let selector = value_of("label_selector").unwrap_or_default();
        let pairs: Vec<(&str, &str)> =
            selector.split("%2C").filter_map(|it| it.split_once("%3D%3D")).collect();
        let things = self.things.borrow();
        let fits = |it: &&Value| {
            pairs.iter().all(|(key, value)| it["labels"][*key] == *value)
                && value_of("name").is_none_or(|name| it["name"] == name)
                && value_of("fingerprint").is_none_or(|print| it["fingerprint"] == print)
        };
        let all: Vec<&Value> = things[kind].values().filter(fits).collect();
        let page: usize = value_of("page").and_then(|it| it.parse().ok()).unwrap_or(1);
        let from = (page - 1) * PER_PAGE;
        let next = (all.len() > from + PER_PAGE).then_some(page + 1);
        let last = all.len().div_ceil(PER_PAGE).max(1);
        let shown: Vec<&Value> = all.into_iter().skip(from).take(PER_PAGE).collect();
        (200, json!({kind: shown, "meta": {"pagination": {"next_page": next, "last_page": last}}}))
    }

    fn create_server(&self, body: &Value) -> (u16, Value) {
        let things = self.things.borrow();
        if things["servers"].values().any(|it| it["name"] == body["name"]) {
            return refusal(409, "uniqueness_error", "server name is already used");
        }
        let has_key = things["ssh_keys"].values().any(|it| it["name"] == body["ssh_keys"][0]);
        let firewall = body["firewalls"][0]["firewall"].as_u64().unwrap_or_default();
        if !has_key || !things["firewalls"].contains_key(&firewall) {
            return refusal(422, "invalid_input", "ssh_key or firewall not found");
        }
        drop(things);
        let type_of = TYPES.into_iter().map(|it| it.0).find(|it| body["server_type"] == *it);
        let place = LOCATIONS.into_iter().find(|it| body["location"] == *it);
        let (Some(type_of), Some(place)) = (type_of, place) else {
            return refusal(422, "invalid_input", "server_type or location is unknown");
        };
        if self.full.get() == Some(place) {
            self.refused.set(self.refused.get() + 1);
            return refusal(412, "resource_unavailable", "no room");
        }
        let id = self.id();
        let name = body["name"].as_str().expect("a name");
        let mut made = server(id, name, "initializing", self.now_secs(), (type_of, place), &body["labels"]);
        for family in ["ipv4", "ipv6"] {
            let address = self.id();
            made["public_net"][family]["id"] = address.into();
            let mut ip = thing(address, &format!("primary_ip-{address}"), self.now_secs(), &json!({}));
            ip["assignee_id"] = id.into();
            self.put("primary_ips", address, ip);
        }
        made["firewall"] = firewall.into();
        self.put("servers", id, made.clone());
        (201, json!({"server": made}))
    }

    fn create_shared(&self, kind: &'static str, body: &Value) -> (u16, Value) {
        let Some(name) = body["name"].as_str() else {
            return refusal(422, "invalid_input", "name is missing");
        };
        let is_taken =
            |it: &Value| it["name"] == name || kind == "ssh_keys" && it["public_key"] == body["public_key"];
        if self.things.borrow()[kind].values().any(is_taken) {
            return refusal(409, "uniqueness_error", "is taken");
        }
        let id = self.id();
        let mut made = thing(id, name, self.now_secs(), &body["labels"]);
        made["public_key"] = body["public_key"].clone();
        if let Some(key) = body["public_key"].as_str() {
            let key = mayfly::ssh_key::SshPublicKey::parse(key).expect("a key");
            made["fingerprint"] = key.md5_fingerprint().into();
        }
        self.put(kind, id, made.clone());
        (201, json!({kind.trim_end_matches('s'): made}))
    }

    fn act(&self, id: u64, action: &str, body: &Value) -> (u16, Value) {
        let mut things = self.things.borrow_mut();
        let Some(server) = things.get_mut("servers").expect("servers").get_mut(&id) else { return gone() };
        match action {
            "poweron" => server["status"] = "starting".into(),
            "poweroff" => server["status"] = "off".into(),
            // Not every operating system listens.
            "shutdown" if self.below(4) > 0 => server["status"] = "off".into(),
            "create_image" => {
                let (image, now) = (self.id(), self.now_secs());
                let mut made = thing(image, "", now, &body["labels"]);
                made["description"] = body["description"].clone();
                made["status"] = "creating".into();
                things.get_mut("images").expect("images").insert(image, made.clone());
                return (201, json!({"image": made, "action": {"id": 1}}));
            }
            _ => {}
        }
        (201, json!({"action": {"id": 1}}))
    }

    fn delete(&self, kind: &'static str, id: u64) -> (u16, Value) {
        let used = |it: &Value| kind == "firewalls" && it["firewall"] == id;
        if self.things.borrow()["servers"].values().any(used) {
            return refusal(409, "resource_in_use", "firewall is in use");
        }
        let Some(thing) = self.things.borrow_mut().get_mut(kind).expect("a kind").remove(&id) else {
            return gone();
        };
        if kind == "servers" {
            let mut things = self.things.borrow_mut();
            let ips = things.get_mut("primary_ips").expect("addresses");
            // Usually an address goes with its server; now and then one stays behind.
            let stays = self.below(8) == 0;
            ips.retain(|_, it| it["assignee_id"] != id || stays);
            for ip in ips.values_mut().filter(|it| it["assignee_id"] == id) {
                ip["assignee_id"] = Value::Null;
            }
            self.deleted.borrow_mut().push(Deleted { id, server: thing, now_secs: self.now_secs() });
        }
        (204, Value::Null)
    }

    fn one(&self, method: Method, kind: &'static str, id: u64, body: &Value) -> (u16, Value) {
        let mut things = self.things.borrow_mut();
        let Some(thing) = things.get_mut(kind).expect("a kind").get_mut(&id) else { return gone() };
        if method == Method::Put {
            thing["labels"] = body["labels"].clone();
        }
        (200, json!({kind.trim_end_matches('s'): thing}))
    }

    /// What may go wrong with a request: whether the provider acts, and what the Worker hears.
    fn fault(&self) -> Option<(bool, Heard)> {
        if self.below(100) >= self.faults.get() {
            return None;
        }
        Some(match self.below(8) {
            0 => (false, Err(NoAnswer::TimedOut)),
            1 => (false, Err(NoAnswer::Broken)),
            2 => (true, Err(NoAnswer::TimedOut)),
            3 => (true, Err(NoAnswer::Broken)),
            4 => (false, Ok(refusal(409, "conflict", "try again"))),
            5 => (false, Ok(refusal(423, "locked", "an action is running"))),
            6 => (false, Ok(refusal(429, "rate_limit_exceeded", "slower"))),
            _ => (false, Ok(refusal(503, "unavailable", "no"))),
        })
    }
}

impl Http for Account {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        if let Some(left) = self.dies_at.get() {
            if left == 0 {
                // What is on its way may arrive all the same.
                if self.below(2) == 0 {
                    let _ = self.answer(&request);
                }
                std::future::pending::<()>().await;
            }
            self.dies_at.set(Some(left - 1));
        }
        let (status, body) = match self.fault() {
            None => self.answer(&request),
            Some((acts, heard)) => {
                if acts {
                    let _ = self.answer(&request);
                }
                heard?
            }
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Ok(Response { status, headers: Vec::new(), body })
    }

    async fn sleep_ms(&self, ms: u32) {
        self.now_ms.set(self.now_ms.get() + u64::from(ms));
    }
}

impl Clock for Account {
    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }
}

impl Random for Account {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = u8::try_from(self.below(256)).expect("a byte");
        }
    }
}

impl mayfly::access::Signatures for Account {}

impl Log for Account {
    fn log(&self, line: &str) {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        assert!(line["event"].is_string(), "{line}");
    }
}

/// Which of the two deployments a thing belongs to.
pub(crate) fn deployment(thing: &Value) -> Option<&str> {
    let labels = &thing["labels"];
    let deployment = labels["mayfly-deployment"].as_str().filter(|it| ["one", "two"].contains(it));
    deployment.filter(|_| labels["managed-by"] == "mayfly")
}

fn thing(id: u64, name: &str, created_secs: u64, labels: &Value) -> Value {
    json!({"id": id, "name": name, "created": rfc3339(created_secs), "labels": labels, "assignee_id": null,
           "status": "available", "description": "", "disk_size": 40, "image_size": 2.5})
}

fn server(
    id: u64,
    name: &str,
    status: &str,
    created_secs: u64,
    (type_of, place): (&str, &str),
    labels: &Value,
) -> Value {
    json!({"id": id, "name": name, "status": status, "created": rfc3339(created_secs), "labels": labels,
           "public_net": {"ipv4": {"id": null, "ip": "203.0.113.7"}, "ipv6": {"id": null, "ip": "2001:db8:1::/64"}},
           "server_type": {"name": type_of}, "location": {"name": place}})
}

fn refusal(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({"error": {"code": code, "message": message}}))
}

fn gone() -> (u16, Value) {
    refusal(404, "not_found", "is gone")
}

/// What a server costs, without its address, in millionths of the currency for an hour.
pub(crate) fn micros_per_hour(server: &Value) -> u64 {
    let known = TYPES.into_iter().find(|it| server["server_type"]["name"] == it.0);
    known.map(|it| it.2).expect("a type that is sold")
}

fn catalogue(what: &str) -> (u16, Value) {
    let price = |place: &str, micros: u64| {
        let decimal = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        json!({"location": place, "price_hourly": {"gross": decimal(micros)},
               "price_monthly": {"gross": decimal(micros * 600)}})
    };
    let everywhere =
        |micros: u64| -> Vec<Value> { LOCATIONS.into_iter().map(|it| price(it, micros)).collect() };
    let meta = json!({"pagination": {"next_page": null, "last_page": 1}});
    (
        200,
        match what {
            "server_types" => {
                let available: Vec<Value> = LOCATIONS
                    .into_iter()
                    .map(|it| json!({"name": it, "available": true, "deprecation": null}))
                    .collect();
                let types: Vec<Value> = TYPES
                    .into_iter()
                    .map(|(name, cores, micros)| {
                        json!({"name": name, "cores": cores, "memory": 2 * cores, "disk": 40, "architecture": "x86",
                               "prices": everywhere(micros), "locations": available})
                    })
                    .collect();
                json!({"meta": meta, "server_types": types})
            }
            "locations" => {
                let places: Vec<Value> = LOCATIONS
                    .into_iter()
                    .map(|it| json!({"name": it, "city": it, "country": "DE"}))
                    .collect();
                json!({"meta": meta, "locations": places})
            }
            _ => json!({"pricing": {"currency": "EUR", "primary_ips": [
                {"type": "ipv4", "prices": everywhere(ADDRESS_MICROS_PER_HOUR)}]}}),
        },
    )
}
