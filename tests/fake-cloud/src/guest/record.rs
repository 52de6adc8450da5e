//! What is known about each guest: its disk, its progress, and what tests may see of it.
//!
//! A record outlives its server, so that a test can look at how it ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use super::vm_file::{Secret, VmFile};
use crate::clock::rfc3339;

/// What a test may ask a guest to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Be idle now, or not any more.
    Idle(bool),
    /// Something was done just now.
    Active,
    /// What the agent says about itself.
    Attention(Option<String>),
    /// Send a heartbeat at once.
    Beat,
    /// Say nothing more, or speak again.
    Silent(bool),
}

impl Order {
    /// `{"idle": true, "beat": true, …}`; the error says which is wrong.
    pub(crate) fn parse_all(value: &Value) -> Result<Vec<Self>, String> {
        let object = value.as_object().ok_or("an object is expected")?;
        let parse = |(key, value): (&String, &Value)| match (key.as_str(), value) {
            ("idle", Value::Bool(idle)) => Ok(Self::Idle(*idle)),
            ("silent", Value::Bool(silent)) => Ok(Self::Silent(*silent)),
            ("active", Value::Bool(true)) => Ok(Self::Active),
            ("beat", Value::Bool(true)) => Ok(Self::Beat),
            ("attention", Value::Null) => Ok(Self::Attention(None)),
            ("attention", Value::String(text)) => Ok(Self::Attention(Some(text.clone()))),
            _ => Err(format!("{key}: unknown, or not of its type")),
        };
        object.iter().map(parse).collect()
    }
}

/// What the Worker gave in the boot exchange; a reboot finds it on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    /// Opens the door.
    pub password: Secret,
    /// Checks links.
    pub link_key: Secret,
    /// For deleting itself at the provider, if configured.
    pub provider_credential: Secret,
    /// Names of what else was given.
    pub given: Vec<String>,
}

/// One guest.
#[derive(Debug)]
pub(crate) struct Record {
    /// `running`, `off`, `deleted`, or `none` where the user data makes no guest.
    pub state: &'static str,
    /// Why there is none.
    pub detail: Option<String>,
    /// What it booted with.
    pub vm: Option<VmFile>,
    /// Its disk.
    pub secrets: Option<Secrets>,
    /// Where its boot is.
    pub phase: &'static str,
    /// Phases entered in this boot, with the time.
    pub entered: Vec<(&'static str, u64)>,
    /// Times it got power.
    pub boots: u64,
    /// Boot exchanges that were answered.
    pub exchanges: u64,
    /// Heartbeats that were answered.
    pub heartbeats: u64,
    /// Times it tried to delete itself.
    pub delete_attempts: u64,
    /// Last wish of the Worker.
    pub want: Option<String>,
    /// Last activity.
    pub active_ms: u64,
    /// Visits behind the door.
    pub visits: u64,
    /// Limit, as last told.
    pub idle_minutes: u64,
    /// End of life in Unix seconds, as last told; 0 for none.
    pub expires: u64,
    /// Last refusal or failure in talking to the Worker.
    pub last_error: Option<String>,
    /// Signed-in browsers.
    pub sessions: BTreeSet<String>,
    /// Links that were used.
    pub used_links: BTreeSet<String>,
    /// Wrong passwords in a row, and when the last came.
    pub wrong_passwords: (u32, u64),
}

impl Record {
    fn new() -> Self {
        Self {
            state: "none",
            detail: None,
            vm: None,
            secrets: None,
            phase: "booting",
            entered: Vec::new(),
            boots: 0,
            exchanges: 0,
            heartbeats: 0,
            delete_attempts: 0,
            want: None,
            active_ms: 0,
            visits: 0,
            idle_minutes: 0,
            expires: 0,
            last_error: None,
            sessions: BTreeSet::new(),
            used_links: BTreeSet::new(),
            wrong_passwords: (0, 0),
        }
    }

    fn to_json(&self, server: u64) -> Value {
        let entered: Vec<Value> =
            self.entered.iter().map(|(phase, at)| json!({ "phase": phase, "at": rfc3339(*at) })).collect();
        json!({
            "server": server, "state": self.state, "detail": self.detail, "phase": self.phase,
            "vm": self.vm.as_ref().map(|vm| &vm.vm), "worker": self.vm.as_ref().map(|vm| &vm.worker),
            "self_delete": self.vm.as_ref().map(|vm| &vm.self_delete),
            "entered": entered, "boots": self.boots, "exchanges": self.exchanges,
            "given": self.secrets.as_ref().map(|secrets| &secrets.given),
            "heartbeats": self.heartbeats, "delete_attempts": self.delete_attempts, "want": self.want,
            "active": self.active_ms / 1000, "visits": self.visits, "idle_minutes": self.idle_minutes,
            "expires": self.expires, "last_error": self.last_error, "sessions": self.sessions.len(),
        })
    }
}

#[derive(Debug)]
struct Power {
    orders: UnboundedSender<Order>,
    task: Option<AbortHandle>,
}

/// Every guest, by its server's id.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    records: BTreeMap<u64, Record>,
    powered: BTreeMap<u64, Power>,
}

impl Guests {
    /// The user data makes no guest.
    pub(crate) fn refuse(&mut self, server: u64, why: String) {
        let record = self.records.entry(server).or_insert_with(Record::new);
        record.detail = Some(why);
    }

    /// A boot begins. What is on the disk stays; sign-ins do not.
    pub(crate) fn begin(&mut self, server: u64, vm: VmFile, orders: UnboundedSender<Order>, now_ms: u64) {
        let record = self.records.entry(server).or_insert_with(Record::new);
        record.state = "running";
        record.idle_minutes = vm.idle_minutes;
        record.expires = vm.expires;
        record.vm = Some(vm);
        record.phase = "booting";
        record.entered = vec![("booting", now_ms)];
        record.boots += 1;
        record.active_ms = now_ms;
        record.want = None;
        record.sessions.clear();
        self.powered.insert(server, Power { orders, task: None });
    }

    /// The task that plays this guest.
    pub(crate) fn attach(&mut self, server: u64, task: AbortHandle) {
        if let Some(power) = self.powered.get_mut(&server) {
            power.task = Some(task);
        }
    }

    /// It stops where it is.
    pub(crate) fn cut_power(&mut self, server: u64) {
        if let Some(task) = self.powered.remove(&server).and_then(|power| power.task) {
            task.abort();
        }
        if let Some(record) = self.records.get_mut(&server).filter(|record| record.state == "running") {
            record.state = "off";
        }
    }

    /// All of them.
    pub(crate) fn cut_all_power(&mut self) {
        let servers: Vec<u64> = self.powered.keys().copied().collect();
        for server in servers {
            self.cut_power(server);
        }
    }

    /// Its disk is new.
    pub(crate) fn wipe(&mut self, server: u64) {
        self.cut_power(server);
        if let Some(record) = self.records.get_mut(&server) {
            record.secrets = None;
        }
    }

    /// Its server is gone.
    pub(crate) fn delete(&mut self, server: u64) {
        self.cut_power(server);
        if let Some(record) = self.records.get_mut(&server).filter(|record| record.state != "none") {
            record.state = "deleted";
        }
    }

    /// The record of a guest.
    pub(crate) fn get(&mut self, server: u64) -> Option<&mut Record> {
        self.records.get_mut(&server)
    }

    /// The record of a guest that has power.
    pub(crate) fn get_powered(&mut self, server: u64) -> Option<&mut Record> {
        self.records.get_mut(&server).filter(|_| self.powered.contains_key(&server))
    }

    /// Hands orders over; false if nobody is there to take them.
    pub(crate) fn order(&mut self, server: u64, orders: Vec<Order>) -> bool {
        let Some(power) = self.powered.get(&server) else { return false };
        orders.into_iter().all(|order| power.orders.send(order).is_ok())
    }

    /// What tests may see of one.
    pub(crate) fn to_json(&self, server: u64) -> Value {
        self.records.get(&server).map_or(Value::Null, |record| record.to_json(server))
    }

    /// What tests may see of all, gone ones included.
    pub(crate) fn all_json(&self) -> Vec<Value> {
        self.records.iter().map(|(server, record)| record.to_json(*server)).collect()
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.cut_all_power();
    }
}
