//! The state of every vendor. Hetzner's project is here: its resources, the actions that run, and what the end of an action
//! changes; the others' are in their modules. Ids, addresses, guests and the timers are everybody's.
//!
//! Time is an argument; nothing here waits, answers HTTP or talks to a guest. Guests that are to start are
//! left in `starts` for the server to pick up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::config::Config;
use crate::digitalocean::{self, Team};
use crate::error::ApiError;
use crate::guest::record::Guests;
use crate::labels::Selector;
use crate::ovh;
use crate::resources::{Action, Firewall, Image, PrimaryIp, Server, SshKey, Then, Volume};
use crate::scaleway::{self, Project};
use crate::vendor::Vendor;

/// What an action on a server is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    /// Its name.
    pub command: &'static str,
    /// How many times `action_ms` it takes.
    pub steps: u64,
    /// Its effect.
    pub then: Then,
}

/// The whole state of the API.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    /// The knobs.
    pub config: Config,
    /// Now, as of the last `advance`.
    pub now_ms: u64,
    /// Servers by id.
    pub servers: BTreeMap<u64, Server>,
    /// SSH keys by id.
    pub ssh_keys: BTreeMap<u64, SshKey>,
    /// Firewalls by id.
    pub firewalls: BTreeMap<u64, Firewall>,
    /// Primary IPs by id.
    pub primary_ips: BTreeMap<u64, PrimaryIp>,
    /// Volumes by id.
    pub volumes: BTreeMap<u64, Volume>,
    /// Images by id.
    pub images: BTreeMap<u64, Image>,
    /// Actions by id.
    pub actions: BTreeMap<u64, Action>,
    /// DigitalOcean's.
    pub digitalocean: Team,
    /// Scaleway's.
    pub scaleway: Project,
    /// OVHcloud's.
    pub ovh: ovh::Project,
    /// Simulated guests.
    pub guests: Guests,
    /// Servers whose guests are to start.
    pub starts: Vec<u64>,
    /// How many of each kind were ever made.
    pub created_ever: BTreeMap<&'static str, u64>,
    last_id: u64,
    addresses: u64,
    timers: BTreeSet<(u64, Timer)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    ActionEnds(u64),
    AddressGoes(u64),
    /// Something of another vendor.
    Of(Vendor, u64),
}

/// Ids of what is created start after this; the catalogue's own are elsewhere.
const FIRST_ID: u64 = 1000;

impl Cloud {
    /// An empty project with the system images. Ids go on after `last_id`: a reset must not reuse any.
    pub(crate) fn new(config: Config, last_id: u64) -> Self {
        let images = Image::system().map(|image| (image.id, image)).collect();
        Self { config, images, last_id: last_id.max(FIRST_ID), ..Self::default() }
    }

    /// The last id given out.
    pub(crate) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// A new id, counted under its kind.
    pub(crate) fn new_id(&mut self, kind: &'static str) -> u64 {
        self.last_id += 1;
        *self.created_ever.entry(kind).or_default() += 1;
        self.last_id
    }

    /// Ends whatever is due by then, in the order in which it fell due.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        while let Some((due, timer)) = self.timers.first().copied().filter(|(due, _)| *due <= now_ms) {
            self.timers.remove(&(due, timer));
            self.now_ms = due;
            match timer {
                Timer::ActionEnds(id) => self.end_action(id),
                Timer::AddressGoes(id) => {
                    self.primary_ips.retain(|_, ip| ip.id != id || ip.assignee.is_some());
                }
                Timer::Of(Vendor::DigitalOcean, id) => digitalocean::end_action(self, id),
                Timer::Of(Vendor::Scaleway, id) => scaleway::end_task(self, id),
                Timer::Of(Vendor::Ovh, id) => ovh::end_task(self, id),
                Timer::Of(Vendor::Hetzner, _) => {}
            }
        }
        self.now_ms = now_ms;
    }

    /// When `advance` has something to do next.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Lets something of another vendor fall due after so many times `action_ms`.
    pub(crate) fn wake(&mut self, vendor: Vendor, id: u64, steps: u64) -> u64 {
        let due_ms = self.now_ms + self.config.action_ms * steps;
        self.timers.insert((due_ms, Timer::Of(vendor, id)));
        due_ms
    }

    /// Whether a test wants this action to fail; it does so once.
    pub(crate) fn fails(&mut self, command: &str) -> bool {
        let fails = self.config.fail_action.as_deref() == Some(command);
        if fails {
            self.config.fail_action = None;
        }
        fails
    }

    /// Starts an action about these resources.
    pub(crate) fn start_action(&mut self, task: Task, resources: Vec<(u64, &'static str)>) -> u64 {
        let id = self.new_id("actions");
        let due_ms = self.now_ms + self.config.action_ms * task.steps;
        let fails = self.fails(task.command);
        let started_ms = self.now_ms;
        let action = Action {
            id,
            command: task.command,
            started_ms,
            due_ms,
            finished_ms: None,
            resources,
            then: task.then,
            fails,
        };
        self.actions.insert(id, action);
        self.timers.insert((due_ms, Timer::ActionEnds(id)));
        id
    }

    /// Starts an action on a server that locks it until it ends.
    pub(crate) fn start_on_server(&mut self, server: u64, task: Task) -> u64 {
        let id = self.start_action(task, vec![(server, "server")]);
        if let Some(server) = self.servers.get_mut(&server) {
            server.busy = Some(id);
        }
        id
    }

    /// An action as the API shows it; null if there is none of that id.
    pub(crate) fn action_json(&self, id: u64) -> Value {
        self.actions.get(&id).map_or(Value::Null, |action| action.to_json(self.now_ms))
    }

    fn end_action(&mut self, id: u64) {
        let now = self.now_ms;
        let Some(action) = self.actions.get_mut(&id) else { return };
        action.finished_ms = Some(now);
        let (then, fails, resources) = (action.then, action.fails, action.resources.clone());
        for (server, _) in resources.iter().filter(|(_, kind)| *kind == "server") {
            if let Some(server) = self.servers.get_mut(server).filter(|s| s.busy == Some(id)) {
                server.busy = None;
            }
        }
        if !fails {
            return self.finish(then);
        }
        match then {
            // What failed half-way leaves a server without power, and one that was to go stays.
            Then::Created(server) | Then::On(server) | Then::Gone(server) => self.set_status(server, "off"),
            Then::Off(server) => self.set_status(server, "running"),
            _ => {}
        }
    }

    fn finish(&mut self, then: Then) {
        match then {
            Then::Created(server) => {
                let starts = self.servers.get(&server).is_some_and(|s| s.busy.is_some());
                self.set_status(server, if starts { "starting" } else { "off" });
            }
            // A start that follows a failed creation finds no server that is starting.
            Then::On(server) if self.servers.get(&server).is_none_or(|s| s.status != "starting") => {}
            Then::On(server) | Then::Restarted(server) => {
                self.set_status(server, "running");
                self.guests.cut_power(server);
                self.starts.push(server);
            }
            Then::Signalled(server) if !self.config.ignore_acpi => self.shut_down_server(server),
            Then::Nothing | Then::Signalled(_) => {}
            Then::Off(server) => {
                self.set_status(server, "off");
                self.guests.cut_power(server);
            }
            Then::Gone(server) => self.remove_server(server),
            Then::ImageReady(image) => {
                if let Some(image) = self.images.get_mut(&image) {
                    image.is_available = true;
                    image.size_gb = Some(2.3);
                }
            }
            Then::VolumeReady(volume) => {
                if let Some(volume) = self.volumes.get_mut(&volume) {
                    volume.is_available = true;
                }
            }
        }
    }

    /// The system of a server goes down by itself: by ACPI, or because the guest chose to.
    pub(crate) fn shut_down_server(&mut self, server: u64) {
        if self.servers.get(&server).is_some_and(|s| s.status == "running") {
            self.set_status(server, "stopping");
            self.guests.cut_power(server);
            self.start_on_server(server, Task { command: "stop_server", steps: 1, then: Then::Off(server) });
        }
    }

    /// Sets a server's status.
    pub(crate) fn set_status(&mut self, server: u64, status: &'static str) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.status = status;
        }
    }

    fn remove_server(&mut self, id: u64) {
        self.servers.remove(&id);
        self.guests.delete(id);
        self.images.retain(|_, image| image.bound_to != Some(id));
        for volume in self.volumes.values_mut().filter(|v| v.server == Some(id)) {
            volume.server = None;
        }
        let goes_ms = self.now_ms + self.config.ip_release_ms;
        for ip in self.primary_ips.values_mut().filter(|ip| ip.assignee == Some(id)) {
            ip.assignee = None;
            if ip.auto_delete {
                self.timers.insert((goes_ms, Timer::AddressGoes(ip.id)));
            }
        }
    }

    /// Whether another action locks the server.
    pub(crate) fn require_unlocked(&self, server: u64) -> Result<(), ApiError> {
        match self.servers.get(&server) {
            None => Err(ApiError::not_found("server")),
            Some(server) if server.busy.is_some() => Err(ApiError::locked("server")),
            Some(_) => Ok(()),
        }
    }

    /// Firewalls of a server: its own, then those whose selector matches it.
    pub(crate) fn firewalls_of(&self, server: &Server) -> Vec<u64> {
        let by_selector = self.firewalls.values().filter(|firewall| {
            !server.firewalls.contains(&firewall.id)
                && firewall.selectors.iter().any(|selector| selects(selector, server))
        });
        server.firewalls.iter().copied().chain(by_selector.map(|firewall| firewall.id)).collect()
    }

    /// A server as the API shows it.
    pub(crate) fn server_json(&self, server: &Server, with_ip_ids: bool) -> Value {
        let address = |id: Option<u64>| {
            let ip = id.and_then(|id| self.primary_ips.get(&id));
            ip.map_or(Value::Null, |ip| ip.to_server_json(with_ip_ids))
        };
        // A firewall given at creation is applied when the server first has power.
        let applied = if server.status == "initializing" { "pending" } else { "applied" };
        let firewalls: Vec<Value> =
            self.firewalls_of(server).iter().map(|id| json!({ "id": id, "status": applied })).collect();
        let volumes: Vec<u64> =
            self.volumes.values().filter(|v| v.server == Some(server.id)).map(|v| v.id).collect();
        let powered = server.status == "running";
        json!({
            "id": server.id, "name": server.name, "status": server.status,
            "created": rfc3339(server.created_ms),
            "public_net": {
                "ipv4": address(server.ipv4), "ipv6": address(server.ipv6),
                "floating_ips": [], "firewalls": firewalls,
            },
            "private_net": [], "server_type": server.kind.to_json(&self.config),
            "location": server.location.to_json(), "image": server.image.to_json(), "iso": null,
            "rescue_enabled": false, "locked": server.busy.is_some(), "backup_window": null,
            "outgoing_traffic": powered.then_some(0), "ingoing_traffic": powered.then_some(0),
            "included_traffic": 20_u64 << 40,
            "protection": { "delete": server.protected, "rebuild": server.protected },
            "labels": server.labels, "volumes": volumes, "load_balancers": [],
            "primary_disk_size": server.kind.disk, "placement_group": null,
        })
    }

    /// A firewall as the API shows it.
    pub(crate) fn firewall_json(&self, firewall: &Firewall) -> Value {
        let target = |id: u64| json!({ "type": "server", "server": { "id": id } });
        let servers = self.servers.values().filter(|s| s.firewalls.contains(&firewall.id));
        let mut applied: Vec<Value> = servers.map(|s| target(s.id)).collect();
        for selector in &firewall.selectors {
            let matching: Vec<Value> =
                self.servers.values().filter(|s| selects(selector, s)).map(|s| target(s.id)).collect();
            applied.push(json!({
                "type": "label_selector", "label_selector": { "selector": selector },
                "applied_to_resources": matching,
            }));
        }
        json!({
            "id": firewall.id, "name": firewall.name, "labels": firewall.labels,
            "created": rfc3339(firewall.created_ms), "rules": firewall.rules, "applied_to": applied,
        })
    }

    /// The address under which a server is known outside: its IPv4, or the first of its IPv6 network.
    pub(crate) fn address_of(&self, server: u64) -> Option<String> {
        let server = self.servers.get(&server)?;
        if let Some(ip) = server.ipv4.and_then(|id| self.primary_ips.get(&id)) {
            return Some(ip.ip.clone());
        }
        let ip = server.ipv6.and_then(|id| self.primary_ips.get(&id))?;
        Some(ip.ip.replace("::/64", "::1"))
    }

    /// A new primary IP. Addresses are never given out twice.
    pub(crate) fn new_primary_ip(&mut self, kind: &'static str, server: &Server) -> u64 {
        let id = self.new_id("primary_ips");
        let ip = self.new_address(kind);
        let address = PrimaryIp {
            id,
            name: format!("primary_ip-{id}"),
            labels: crate::labels::Labels::new(),
            created_ms: self.now_ms,
            location: server.location,
            ip,
            kind,
            auto_delete: true,
            assignee: Some(server.id),
        };
        self.primary_ips.insert(id, address);
        id
    }

    /// An address out of the networks kept for documentation and benchmarks.
    pub(crate) fn new_address(&mut self, kind: &str) -> String {
        self.addresses += 1;
        let nth = self.addresses;
        if kind == "ipv6" {
            return format!("2001:db8:{nth:x}::/64");
        }
        match nth {
            0..=254 => format!("203.0.113.{}", nth.max(1)),
            255..=508 => format!("198.51.100.{}", nth - 254),
            _ => {
                let rest = nth - 508;
                format!("198.18.{}.{}", (rest / 254) % 256, rest % 254 + 1)
            }
        }
    }
}

/// Whether a firewall's selector matches a server. Selectors are checked before they are stored.
fn selects(selector: &str, server: &Server) -> bool {
    Selector::parse(selector).is_ok_and(|selector| selector.matches(&server.labels))
}
