//! The things in the project, and their JSON as far as each can tell it alone.
//!
//! What needs a look at other resources (a server's addresses, a firewall's servers) is in `cloud`.

use serde_json::{Value, json};

use crate::catalogue::{Location, SYSTEM_IMAGES, ServerType};
use crate::clock::rfc3339;
use crate::labels::Labels;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Id.
    pub id: u64,
    /// Unique host name.
    pub name: String,
    /// When it was asked for.
    pub created_ms: u64,
    /// `initializing`, `off`, …
    pub status: &'static str,
    /// Its type.
    pub kind: &'static ServerType,
    /// Where it is.
    pub location: &'static Location,
    /// The image as it was when the server was made from it.
    pub image: Image,
    /// Labels.
    pub labels: Labels,
    /// What cloud-init would read.
    pub user_data: String,
    /// Names of the SSH keys given at creation.
    pub ssh_keys: Vec<String>,
    /// Ids of its primary IPs.
    pub ipv4: Option<u64>,
    /// See above.
    pub ipv6: Option<u64>,
    /// Firewalls applied directly.
    pub firewalls: Vec<u64>,
    /// Neither deleted nor rebuilt while set.
    pub protected: bool,
    /// The last action that locks it, if that one still runs.
    pub busy: Option<u64>,
}

/// A public SSH key.
#[derive(Debug)]
pub(crate) struct SshKey {
    /// Id.
    pub id: u64,
    /// Unique name.
    pub name: String,
    /// MD5 of the blob, in pairs.
    pub fingerprint: String,
    /// As given.
    pub public_key: String,
    /// Labels.
    pub labels: Labels,
    /// When.
    pub created_ms: u64,
}

impl SshKey {
    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "fingerprint": self.fingerprint,
            "public_key": self.public_key, "labels": self.labels, "created": rfc3339(self.created_ms),
        })
    }
}

/// What a firewall is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// One server.
    Server(u64),
    /// Every server with such labels, now and later.
    Selector(String),
}

/// A firewall.
#[derive(Debug)]
pub(crate) struct Firewall {
    /// Id.
    pub id: u64,
    /// Unique name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// When.
    pub created_ms: u64,
    /// Rules, checked, as the API shows them.
    pub rules: Vec<Value>,
    /// Label selectors it is applied to; servers know their own firewalls.
    pub selectors: Vec<String>,
}

/// A public address.
#[derive(Debug)]
pub(crate) struct PrimaryIp {
    /// Id.
    pub id: u64,
    /// Unique name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// When.
    pub created_ms: u64,
    /// Where.
    pub location: &'static Location,
    /// `203.0.113.1` or `2001:db8:1::/64`
    pub ip: String,
    /// `ipv4` or `ipv6`.
    pub kind: &'static str,
    /// Goes with its server.
    pub auto_delete: bool,
    /// Its server.
    pub assignee: Option<u64>,
}

impl PrimaryIp {
    /// As the API shows it.
    pub(crate) fn to_json(&self, unassigned_type: bool) -> Value {
        let assignee_type = if self.assignee.is_none() && unassigned_type { "unassigned" } else { "server" };
        json!({
            "id": self.id, "name": self.name, "labels": self.labels, "created": rfc3339(self.created_ms),
            "blocked": false, "location": self.location.to_json(), "ip": self.ip, "dns_ptr": self.reverse(),
            "protection": { "delete": false }, "type": self.kind, "auto_delete": self.auto_delete,
            "assignee_type": assignee_type, "assignee_id": self.assignee,
        })
    }

    fn reverse(&self) -> Value {
        match self.kind {
            "ipv4" => json!([{ "ip": self.ip, "dns_ptr": self.reverse_name() }]),
            _ => json!([]),
        }
    }

    fn reverse_name(&self) -> String {
        let turned = self.ip.split('.').rev().collect::<Vec<_>>().join(".");
        format!("static.{turned}.clients.example.net")
    }

    /// The shape inside a server. The answer of a creation may lack the id.
    pub(crate) fn to_server_json(&self, with_id: bool) -> Value {
        let dns_ptr = if self.kind == "ipv4" { json!(self.reverse_name()) } else { json!([]) };
        let mut value = json!({ "ip": self.ip, "blocked": false, "dns_ptr": dns_ptr });
        if with_id {
            value["id"] = json!(self.id);
        }
        value
    }
}

/// A volume.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Id.
    pub id: u64,
    /// Unique name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// When.
    pub created_ms: u64,
    /// Where.
    pub location: &'static Location,
    /// Gigabytes.
    pub size: u64,
    /// `xfs`, `ext4` or none.
    pub format: Option<String>,
    /// Attached to.
    pub server: Option<u64>,
    /// Ready for use.
    pub is_available: bool,
}

impl Volume {
    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "labels": self.labels, "created": rfc3339(self.created_ms),
            "server": self.server, "location": self.location.to_json(), "size": self.size,
            "linux_device": format!("/dev/disk/by-id/scsi-0HC_Volume_{}", self.id),
            "protection": { "delete": false },
            "status": if self.is_available { "available" } else { "creating" }, "format": self.format,
        })
    }
}

/// An image: the system's, a snapshot or a backup.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Id.
    pub id: u64,
    /// `system`, `snapshot` or `backup`.
    pub kind: &'static str,
    /// Only system images have one.
    pub name: Option<&'static str>,
    /// For people.
    pub description: String,
    /// What the snapshot costs by; unknown until it is there.
    pub size_gb: Option<f64>,
    /// The disk it needs.
    pub disk_gb: u64,
    /// When.
    pub created_ms: u64,
    /// Server (id, name) that it was made of.
    pub created_from: Option<(u64, String)>,
    /// Server that a backup goes with.
    pub bound_to: Option<u64>,
    /// Operating system and version.
    pub os: (&'static str, &'static str),
    /// `x86` or `arm`.
    pub architecture: &'static str,
    /// No longer for new servers.
    pub deprecated: bool,
    /// Labels.
    pub labels: Labels,
    /// Ready for use.
    pub is_available: bool,
}

/// 2024-01-01, when the system images were made.
const SYSTEM_IMAGES_MS: u64 = 1_704_067_200_000;

impl Image {
    /// The images that are there from the start.
    pub(crate) fn system() -> impl Iterator<Item = Self> {
        SYSTEM_IMAGES.iter().map(|(id, name, description, flavor, version, architecture, deprecated)| Self {
            id: *id,
            kind: "system",
            name: Some(name),
            description: (*description).to_owned(),
            size_gb: None,
            disk_gb: 5,
            created_ms: SYSTEM_IMAGES_MS,
            created_from: None,
            bound_to: None,
            os: (flavor, version),
            architecture,
            deprecated: *deprecated,
            labels: Labels::new(),
            is_available: true,
        })
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "type": self.kind,
            "status": if self.is_available { "available" } else { "creating" },
            "name": self.name, "description": self.description, "image_size": self.size_gb,
            "disk_size": self.disk_gb, "created": rfc3339(self.created_ms),
            "created_from": self.created_from.as_ref().map(|(id, name)| json!({ "id": id, "name": name })),
            "bound_to": self.bound_to, "os_flavor": self.os.0, "os_version": self.os.1,
            "rapid_deploy": self.kind == "system", "protection": { "delete": false },
            "deprecated": self.deprecated.then_some("2025-08-31T00:00:00Z"), "deleted": null,
            "labels": self.labels, "architecture": self.architecture,
        })
    }
}

/// What happens when an action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing more.
    Nothing,
    /// The server's disk is ready.
    Created(u64),
    /// The server has power.
    On(u64),
    /// The server's system starts again.
    Restarted(u64),
    /// The ACPI signal has arrived.
    Signalled(u64),
    /// The server has no power any more.
    Off(u64),
    /// The server is gone.
    Gone(u64),
    /// The image can be used.
    ImageReady(u64),
    /// The volume can be used.
    VolumeReady(u64),
}

/// Something that takes time.
#[derive(Debug)]
pub(crate) struct Action {
    /// Id.
    pub id: u64,
    /// `create_server`, …
    pub command: &'static str,
    /// When it began.
    pub started_ms: u64,
    /// When it ends.
    pub due_ms: u64,
    /// When it ended.
    pub finished_ms: Option<u64>,
    /// What it is about.
    pub resources: Vec<(u64, &'static str)>,
    /// What it causes.
    pub then: Then,
    /// Ends in an error.
    pub fails: bool,
}

impl Action {
    /// As the API shows it.
    pub(crate) fn to_json(&self, now_ms: u64) -> Value {
        let status = match (self.finished_ms, self.fails) {
            (None, _) => "running",
            (Some(_), false) => "success",
            (Some(_), true) => "error",
        };
        let progress = if self.finished_ms.is_some() {
            100
        } else {
            let whole = self.due_ms.saturating_sub(self.started_ms).max(1);
            (now_ms.saturating_sub(self.started_ms) * 100 / whole).min(99)
        };
        let resources: Vec<Value> =
            self.resources.iter().map(|(id, kind)| json!({ "id": id, "type": kind })).collect();
        let error = json!({ "code": "action_failed", "message": "Action failed" });
        json!({
            "id": self.id, "command": self.command, "status": status, "progress": progress,
            "started": rfc3339(self.started_ms), "finished": self.finished_ms.map(rfc3339),
            "resources": resources, "error": (status == "error").then_some(error),
        })
    }
}
