//! The knobs that the control API turns, with their defaults.
//!
//! Only values and how they are read; what they cause is in the modules that use them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The largest page that any of the vendors gives: without a test's wish each has its own bound.
const MAX_PER_PAGE: u64 = 200;

/// Whether a type can be had in a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Free.
    Free,
    /// Taken, and the list of types says so.
    Taken,
    /// Taken, though the list says available: the list is only a hint.
    Hidden,
    /// Refused as "unsupported location", though the list says available.
    Unsupported,
}

impl Capacity {
    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(true) => Some(Self::Free),
            Value::Bool(false) => Some(Self::Taken),
            Value::String(text) if text == "hidden" => Some(Self::Hidden),
            Value::String(text) if text == "unsupported" => Some(Self::Unsupported),
            _ => None,
        }
    }

    fn to_json(self) -> Value {
        match self {
            Self::Free => json!(true),
            Self::Taken => json!(false),
            Self::Hidden => json!("hidden"),
            Self::Unsupported => json!("unsupported"),
        }
    }
}

/// A phase of a boot in which a guest is to fail, and the code that it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailPhase {
    /// The phase.
    pub phase: String,
    /// The reason code.
    pub code: String,
}

impl FailPhase {
    /// `{"phase", "code"}`.
    pub fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        Some(Self { phase: text("phase")?, code: text("code")? })
    }
}

/// Everything that can be set from outside.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a test server")]
pub struct Config {
    /// How long a guest takes from power to `ready`.
    pub boot_seconds: f64,
    /// Whether servers have simulated guests.
    pub guests: bool,
    /// How long an action takes.
    pub action_ms: u64,
    /// How long after its server an automatic primary IP goes away.
    pub ip_release_ms: u64,
    /// Requests per hour.
    pub rate_limit: u64,
    /// Servers that the project may have.
    pub server_limit: usize,
    /// Upper bound of a page's size.
    pub max_per_page: u64,
    /// What cannot be had, by type and location.
    pub capacity: BTreeMap<String, BTreeMap<String, Capacity>>,
    /// `assignee_type` of a free primary IP is `unassigned`, as announced for August 2026; the published
    /// document still knows `server` only.
    pub unassigned_type: bool,
    /// The answer of a server's creation has the ids of its addresses. The document does not promise them there.
    pub ip_ids_at_creation: bool,
    /// Guests do not react to an ACPI shutdown.
    pub ignore_acpi: bool,
    /// The next action with this command ends in an error.
    pub fail_action: Option<String>,
    /// Where guests fail.
    pub fail_phase: Option<FailPhase>,
    /// How long a minute of a guest's idle clock lasts.
    pub minute_ms: u64,
    /// Bounds of the pause between two heartbeats, whatever the Worker asks for.
    pub heartbeat_min_ms: u64,
    /// See above.
    pub heartbeat_max_ms: u64,
    /// First pause of a guest before it tries again; it doubles up to 32 times that.
    pub retry_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            boot_seconds: 20.0,
            guests: true,
            action_ms: 300,
            ip_release_ms: 3000,
            rate_limit: 3600,
            server_limit: 100,
            max_per_page: MAX_PER_PAGE,
            capacity: BTreeMap::new(),
            unassigned_type: false,
            ip_ids_at_creation: false,
            ignore_acpi: false,
            fail_action: None,
            fail_phase: None,
            minute_ms: 60_000,
            heartbeat_min_ms: 200,
            heartbeat_max_ms: 15_000,
            retry_ms: 1000,
        }
    }
}

impl Config {
    /// What is free at a type and location.
    pub fn capacity(&self, server_type: &str, location: &str) -> Capacity {
        let known = self.capacity.get(server_type).and_then(|places| places.get(location));
        known.copied().unwrap_or(Capacity::Free)
    }

    /// What the list of types says.
    pub fn is_listed_available(&self, server_type: &str, location: &str) -> bool {
        self.capacity(server_type, location) != Capacity::Taken
    }

    /// Sets what is given, or nothing at all if something given is wrong.
    pub fn apply(&mut self, changes: &Value) -> Result<(), String> {
        let object = changes.as_object().ok_or("an object is expected")?;
        let mut next = self.clone();
        for (key, value) in object {
            next.set(key, value).ok_or_else(|| format!("{key}: unknown, or not of its type"))?;
        }
        *self = next;
        Ok(())
    }

    fn set(&mut self, key: &str, value: &Value) -> Option<()> {
        match key {
            "boot_seconds" => {
                self.boot_seconds = value.as_f64().filter(|s| (0.0..=86_400.0).contains(s))?;
            }
            "guests" => self.guests = value.as_bool()?,
            "action_ms" => self.action_ms = value.as_u64()?,
            "ip_release_ms" => self.ip_release_ms = value.as_u64()?,
            "rate_limit" => self.rate_limit = value.as_u64()?,
            "server_limit" => self.server_limit = usize::try_from(value.as_u64()?).ok()?,
            "max_per_page" => self.max_per_page = value.as_u64().filter(|n| *n >= 1)?,
            "capacity" => self.capacity = parse_capacity(value)?,
            "unassigned_type" => self.unassigned_type = value.as_bool()?,
            "ip_ids_at_creation" => self.ip_ids_at_creation = value.as_bool()?,
            "ignore_acpi" => self.ignore_acpi = value.as_bool()?,
            "fail_action" if value.is_null() => self.fail_action = None,
            "fail_action" => self.fail_action = Some(value.as_str()?.to_owned()),
            "fail_phase" if value.is_null() => self.fail_phase = None,
            "fail_phase" => self.fail_phase = Some(FailPhase::parse(value)?),
            "minute_ms" => self.minute_ms = value.as_u64().filter(|n| *n >= 1)?,
            "heartbeat_min_ms" => self.heartbeat_min_ms = value.as_u64().filter(|n| *n >= 1)?,
            "heartbeat_max_ms" => self.heartbeat_max_ms = value.as_u64().filter(|n| *n >= 1)?,
            "retry_ms" => self.retry_ms = value.as_u64().filter(|n| *n >= 1)?,
            _ => return None,
        }
        Some(())
    }

    /// As `/_fake/state` shows it; the same keys can be set.
    pub fn to_json(&self) -> Value {
        let capacity: BTreeMap<&String, BTreeMap<&String, Value>> = self
            .capacity
            .iter()
            .map(|(kind, places)| {
                (kind, places.iter().map(|(place, free)| (place, free.to_json())).collect())
            })
            .collect();
        json!({
            "boot_seconds": self.boot_seconds, "guests": self.guests, "action_ms": self.action_ms,
            "ip_release_ms": self.ip_release_ms, "rate_limit": self.rate_limit,
            "server_limit": self.server_limit, "max_per_page": self.max_per_page, "capacity": capacity,
            "unassigned_type": self.unassigned_type, "ip_ids_at_creation": self.ip_ids_at_creation, "ignore_acpi": self.ignore_acpi,
            "fail_action": self.fail_action,
            "fail_phase": self.fail_phase.as_ref().map(|f| json!({ "phase": f.phase, "code": f.code })),
            "minute_ms": self.minute_ms, "heartbeat_min_ms": self.heartbeat_min_ms,
            "heartbeat_max_ms": self.heartbeat_max_ms, "retry_ms": self.retry_ms,
        })
    }
}

fn parse_capacity(value: &Value) -> Option<BTreeMap<String, BTreeMap<String, Capacity>>> {
    let mut capacity = BTreeMap::new();
    for (kind, places) in value.as_object()? {
        let mut known = BTreeMap::new();
        for (place, free) in places.as_object()? {
            known.insert(place.clone(), Capacity::parse(free)?);
        }
        capacity.insert(kind.clone(), known);
    }
    Some(capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_set_again() {
        let mut config = Config::default();
        let changes = json!({
            "capacity": { "cx23": { "fsn1": false, "nbg1": "hidden", "hel1": "unsupported", "ash": true } },
            "fail_phase": { "phase": "clone", "code": "auth_failed" }, "boot_seconds": 0.5,
        });
        config.apply(&changes).expect("valid changes");
        let mut copy = Config::default();
        copy.apply(&config.to_json()).expect("its own output");
        assert_eq!(copy.to_json(), config.to_json());
        assert_eq!(copy.to_json()["capacity"], changes["capacity"]);
    }

    #[test]
    fn a_wrong_change_changes_nothing() {
        let mut config = Config::default();
        let before = config.to_json();
        for changes in [json!({ "action_ms": 1, "nonsense": 1 }), json!({ "guests": "yes" }), json!([])] {
            config.apply(&changes).expect_err("refused");
            assert_eq!(config.to_json(), before);
        }
    }
}
