//! The project: every resource with its zone, the tasks that run, and what the end of a task changes.
//!
//! Ids are numbers inside, which the cloud gives out, and UUIDs outside. Addresses, timers and guests are the cloud's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalogue::Type;
use super::{date, disks, groups, images, ips, servers};
use crate::cloud::Cloud;
use crate::vendor::Vendor;

/// The one project that the token's owner has, and its organization.
pub(crate) const PROJECT: &str = "5c000000-0000-4000-8000-000000000001";

/// Everything that Scaleway knows.
#[derive(Debug, Default)]
pub(crate) struct Project {
    /// Servers.
    pub servers: BTreeMap<u64, Server>,
    /// Disks, local ones and those of block storage.
    pub volumes: BTreeMap<u64, Volume>,
    /// Snapshots of disks.
    pub snapshots: BTreeMap<u64, Snapshot>,
    /// Images of the project.
    pub images: BTreeMap<u64, Image>,
    /// Flexible addresses; dynamic ones are their servers'.
    pub ips: BTreeMap<u64, Ip>,
    /// Security groups.
    pub groups: BTreeMap<u64, Group>,
    tasks: BTreeMap<u64, (u64, Then)>,
}

/// What an id is of: its first digits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Server = 1,
    Volume,
    Snapshot,
    Image,
    Ip,
    Group,
    Rule,
    Task,
}

/// The id of a thing outside.
pub(super) fn uuid(kind: Kind, id: u64) -> String {
    format!("5c00000{}-0000-4000-8000-{id:012x}", kind as u8)
}

/// The number behind an id; none where it is not of this kind.
pub(super) fn number(kind: Kind, text: &str) -> Option<u64> {
    let digits = text.strip_prefix(&format!("5c00000{}-0000-4000-8000-", kind as u8))?;
    u64::from_str_radix(digits, 16).ok().filter(|id| uuid(kind, *id) == text)
}

/// A server's id outside.
pub(crate) fn uuid_of_server(id: u64) -> String {
    uuid(Kind::Server, id)
}

/// The number behind a server's id.
pub(crate) fn server_number(text: &str) -> Option<u64> {
    number(Kind::Server, text)
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// Not unique.
    pub name: String,
    /// When it was made, and changed.
    pub created_ms: u64,
    /// See above.
    pub modified_ms: u64,
    /// In Scaleway's words: `stopped in place`.
    pub state: &'static str,
    /// Its type.
    pub kind: &'static Type,
    /// As it was when the server was made from it.
    pub image: Value,
    /// Flat strings.
    pub tags: Vec<String>,
    /// Its disks, by their place.
    pub volumes: BTreeMap<String, u64>,
    /// Its security group.
    pub group: u64,
    /// By key; cloud-init's is `cloud-init`.
    pub user_data: BTreeMap<String, String>,
    /// What cloud-init read at the first start; it reads once.
    pub booted_with: Option<String>,
    /// Whether it gets an address with its power.
    pub wants_dynamic_ip: bool,
    /// The address that it has while it has power.
    pub dynamic_ip: Option<String>,
    /// Neither deleted nor terminated while set.
    pub protected: bool,
}

/// A disk.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// For people.
    pub name: String,
    /// Block storage outlives its server in any case.
    pub is_block: bool,
    /// Bytes.
    pub size: u64,
    /// When.
    pub created_ms: u64,
    /// Attached to.
    pub server: Option<u64>,
    /// Flat strings.
    pub tags: Vec<String>,
}

/// A copy of a disk.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// For people.
    pub name: String,
    /// Whether it is of block storage.
    pub is_block: bool,
    /// Bytes.
    pub size: u64,
    /// When.
    pub created_ms: u64,
    /// Flat strings.
    pub tags: Vec<String>,
}

/// An image: one snapshot for each disk.
#[derive(Debug)]
pub(crate) struct Image {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// For people.
    pub name: String,
    /// Of what.
    pub arch: &'static str,
    /// When.
    pub created_ms: u64,
    /// The server.
    pub made_of: u64,
    /// Its snapshots, root first.
    pub snapshots: Vec<u64>,
    /// Flat strings.
    pub tags: Vec<String>,
    /// Ready for use.
    pub is_available: bool,
}

/// A flexible address: it stays when its server goes.
#[derive(Debug)]
pub(crate) struct Ip {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// `203.0.113.7`
    pub address: String,
    /// Attached to.
    pub server: Option<u64>,
    /// Flat strings.
    pub tags: Vec<String>,
}

/// A security group.
#[derive(Debug)]
pub(crate) struct Group {
    /// Number.
    pub id: u64,
    /// Where.
    pub zone: &'static str,
    /// Not unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// When.
    pub created_ms: u64,
    /// Flat strings.
    pub tags: Vec<String>,
    /// Whether answers to what went out come in.
    pub stateful: bool,
    /// `accept` or `drop`.
    pub inbound: String,
    /// See above.
    pub outbound: String,
    /// The one that servers get who name none.
    pub is_default: bool,
    /// Rules, checked, as the API shows them.
    pub rules: Vec<Value>,
}

/// What happens when a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The server has power.
    On,
    /// Its system starts again.
    Restarted,
    /// It has no power, and is not billed.
    Off,
    /// It has no power, and is billed as before.
    OffInPlace,
    /// It is gone, with its local disks.
    Gone,
    /// The image can be used.
    ImageReady(u64),
    /// It failed: the server is in this state.
    Failed(&'static str),
}

/// Starts something that takes time; the task as the API shows it.
pub(super) fn start(cloud: &mut Cloud, server: u64, what: &str, steps: u64, then: Then) -> Value {
    let id = cloud.new_id("scaleway_tasks");
    cloud.scaleway.tasks.insert(id, (server, then));
    cloud.wake(Vendor::Scaleway, id, steps);
    let zone = cloud.scaleway.servers.get(&server).map_or("", |it| it.zone);
    let href = format!("/servers/{}", uuid(Kind::Server, server));
    let result = match then {
        Then::ImageReady(image) => format!("/images/{}", uuid(Kind::Image, image)),
        _ => href.clone(),
    };
    json!({ "task": {
        "id": uuid(Kind::Task, id), "description": what, "status": "pending",
        "href_from": format!("{href}/action"), "href_result": result, "started_at": date(cloud.now_ms),
        "terminated_at": null, "progress": 0, "zone": zone,
    } })
}

/// A task has come to its end.
pub(crate) fn end_task(cloud: &mut Cloud, task: u64) {
    let Some((id, then)) = cloud.scaleway.tasks.remove(&task) else { return };
    if let Then::ImageReady(image) = then {
        if let Some(image) = cloud.scaleway.images.get_mut(&image) {
            image.is_available = true;
        }
        return;
    }
    let wants_ip = cloud.scaleway.servers.get(&id).is_some_and(|it| it.wants_dynamic_ip);
    let ip = (then == Then::On && wants_ip).then(|| cloud.new_address("ipv4"));
    let now_ms = cloud.now_ms;
    let Some(server) = cloud.scaleway.servers.get_mut(&id) else { return };
    server.modified_ms = now_ms;
    match then {
        Then::On | Then::Restarted => {
            server.state = "running";
            server.dynamic_ip = server.dynamic_ip.take().or(ip);
            let given = server.user_data.get("cloud-init").cloned().unwrap_or_default();
            server.booted_with.get_or_insert(given);
            cloud.guests.cut_power(id);
            cloud.starts.push(id);
        }
        Then::Off => {
            server.state = "stopped";
            server.dynamic_ip = None;
            cloud.guests.cut_power(id);
        }
        Then::OffInPlace => {
            server.state = "stopped in place";
            cloud.guests.cut_power(id);
        }
        Then::Gone => {
            let volumes = &mut cloud.scaleway.volumes;
            volumes.retain(|_, it| it.server != Some(id) || it.is_block);
            remove(cloud, id);
        }
        Then::Failed(state) => server.state = state,
        Then::ImageReady(_) => {}
    }
}

/// The server alone: its disks stay, without a server, and so do its flexible addresses.
pub(super) fn remove(cloud: &mut Cloud, id: u64) {
    cloud.scaleway.servers.remove(&id);
    cloud.guests.delete(id);
    for volume in cloud.scaleway.volumes.values_mut().filter(|it| it.server == Some(id)) {
        volume.server = None;
    }
    for ip in cloud.scaleway.ips.values_mut().filter(|it| it.server == Some(id)) {
        ip.server = None;
    }
}

/// The system of a server goes down by itself: it stands by, and is billed.
pub(crate) fn shut_down(cloud: &mut Cloud, id: u64) {
    if let Some(server) = cloud.scaleway.servers.get_mut(&id).filter(|it| it.state == "running") {
        server.state = "stopped in place";
        cloud.guests.cut_power(id);
    }
}

/// What tests see of everything.
pub(crate) fn state(cloud: &Cloud) -> Value {
    let project = &cloud.scaleway;
    let server = |it: &Server| {
        let mut value = servers::to_json(cloud, it);
        let given = it.user_data.get("cloud-init").map_or(0, String::len);
        value["user_data_bytes"] = json!(given);
        value["guest"] = cloud.guests.to_json(it.id);
        value
    };
    json!({
        "project": PROJECT,
        "servers": project.servers.values().map(server).collect::<Vec<_>>(),
        "volumes": project.volumes.values().map(|it| disks::any_json(cloud, it)).collect::<Vec<_>>(),
        "snapshots": project.snapshots.values().map(disks::snapshot_json).collect::<Vec<_>>(),
        "images": project.images.values().map(|it| images::to_json(cloud, it)).collect::<Vec<_>>(),
        "ips": project.ips.values().map(|it| ips::to_json(cloud, it)).collect::<Vec<_>>(),
        "security_groups":
            project.groups.values().map(|it| groups::to_json(cloud, it)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_are_of_one_kind() {
        let id = uuid(Kind::Volume, 4711);
        assert_eq!(id, "5c000002-0000-4000-8000-000000001267");
        assert_eq!(number(Kind::Volume, &id), Some(4711));
        assert_eq!(number(Kind::Server, &id), None);
        for text in ["", "4711", "5c000002-0000-4000-8000-1267", "5c000002-0000-4000-8000-00000000126G"] {
            assert_eq!(number(Kind::Volume, text), None, "{text}");
        }
    }
}
