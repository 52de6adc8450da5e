//! The team: every resource, the actions that run, and what the end of an action changes.
//!
//! Ids, addresses, timers and guests are the cloud's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::catalogue::{Region, Size, public_image};
use crate::clock::rfc3339;
use crate::cloud::Cloud;
use crate::config::Config;
use crate::vendor::Vendor;

/// Everything that DigitalOcean knows.
#[derive(Debug, Default)]
pub(crate) struct Team {
    /// Droplets by id.
    pub droplets: BTreeMap<u64, Droplet>,
    /// SSH keys by id.
    pub keys: BTreeMap<u64, Key>,
    /// Firewalls by id.
    pub firewalls: BTreeMap<String, Firewall>,
    /// Tags by their name in small letters, with the spelling that they were first given in.
    pub tags: BTreeMap<String, String>,
    /// Snapshots by id.
    pub images: BTreeMap<u64, Image>,
    /// Actions by id.
    pub actions: BTreeMap<u64, Action>,
}

/// A droplet.
#[derive(Debug)]
pub(crate) struct Droplet {
    /// Id.
    pub id: u64,
    /// Not unique.
    pub name: String,
    /// When it was asked for.
    pub created_ms: u64,
    /// `new`, `active` or `off`.
    pub status: &'static str,
    /// Its size.
    pub size: &'static Size,
    /// Where it is.
    pub region: &'static Region,
    /// The image as it was when the droplet was made from it.
    pub image: Value,
    /// Tags, in small letters.
    pub tags: BTreeSet<String>,
    /// What cloud-init would read.
    pub user_data: String,
    /// Names of the SSH keys given at creation.
    pub key_names: Vec<String>,
    /// Public address; none before it is active.
    pub ipv4: Option<String>,
    /// See above; only if it was asked for.
    pub ipv6: Option<String>,
    /// Whether one was asked for.
    pub wants_ipv6: bool,
    /// The action that runs on it.
    pub busy: Option<u64>,
    /// Snapshots that were made of it.
    pub snapshots: Vec<u64>,
}

/// A public SSH key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Id.
    pub id: u64,
    /// For people.
    pub name: String,
    /// MD5 of the blob, in pairs.
    pub fingerprint: String,
    /// As given.
    pub text: String,
}

impl Key {
    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "fingerprint": self.fingerprint, "public_key": self.text, "name": self.name,
        })
    }
}

/// A firewall.
#[derive(Debug)]
pub(crate) struct Firewall {
    /// Id.
    pub id: String,
    /// Unique.
    pub name: String,
    /// When.
    pub created_ms: u64,
    /// Rules, checked, as the API shows them.
    pub inbound: Vec<Value>,
    /// See above.
    pub outbound: Vec<Value>,
    /// Droplets that were named.
    pub droplets: Vec<u64>,
    /// It applies to whatever carries one of these.
    pub tags: Vec<String>,
}

/// A snapshot.
#[derive(Debug)]
pub(crate) struct Image {
    /// Id.
    pub id: u64,
    /// For people.
    pub name: String,
    /// When.
    pub created_ms: u64,
    /// Where it can be used.
    pub region: &'static str,
    /// GB of the disk that it needs.
    pub min_disk: u64,
    /// Distribution that it began as.
    pub distribution: String,
    /// The droplet.
    pub made_of: u64,
    /// Tags, in small letters.
    pub tags: BTreeSet<String>,
}

/// What happens when an action ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// The droplet has power, and addresses if it is new.
    On,
    /// Its system starts again.
    Restarted,
    /// It has no power any more.
    Off,
    /// It was asked to go down, and has done so.
    ShutDown,
    /// It has this name.
    Renamed(String),
    /// There is a snapshot of this name.
    Snapshot(String),
    /// It is gone.
    Gone,
}

/// Something that takes time.
#[derive(Debug)]
pub(crate) struct Action {
    /// Id.
    pub id: u64,
    /// `create`, `power_on`, …
    pub kind: &'static str,
    /// When it began.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// The droplet.
    pub droplet: u64,
    /// Where it is.
    pub region: &'static Region,
    /// What it causes.
    pub then: Then,
    /// Ends in an error.
    pub fails: bool,
}

impl Action {
    /// As the API shows it.
    pub(crate) fn to_json(&self, config: &Config) -> Value {
        let status = match (self.ended_ms, self.fails) {
            (None, _) => "in-progress",
            (Some(_), false) => "completed",
            (Some(_), true) => "errored",
        };
        json!({
            "id": self.id, "status": status, "type": self.kind, "started_at": rfc3339(self.started_ms),
            "completed_at": self.ended_ms.map(rfc3339), "resource_id": self.droplet,
            "resource_type": "droplet", "region": self.region.to_json(config), "region_slug": self.region.slug,
        })
    }
}

impl Team {
    /// Tags in the spelling that they have.
    pub(crate) fn spelled(&self, tags: &BTreeSet<String>) -> Vec<&str> {
        tags.iter().filter_map(|tag| self.tags.get(tag)).map(String::as_str).collect()
    }

    /// Makes tags that there are not; those that there are keep their spelling.
    pub(crate) fn ensure_tags(&mut self, names: &[String]) -> BTreeSet<String> {
        for name in names {
            self.tags.entry(name.to_ascii_lowercase()).or_insert_with(|| name.clone());
        }
        names.iter().map(|name| name.to_ascii_lowercase()).collect()
    }

    /// A snapshot as the API shows it among images.
    pub(crate) fn image_json(&self, image: &Image) -> Value {
        json!({
            "id": image.id, "name": image.name, "distribution": image.distribution, "slug": null,
            "public": false, "regions": [image.region], "created_at": rfc3339(image.created_ms),
            "min_disk_size": image.min_disk, "type": "snapshot", "size_gigabytes": SNAPSHOT_GB,
            "description": "", "tags": self.spelled(&image.tags), "status": "available",
        })
    }

    /// A public image or a snapshot.
    pub(crate) fn any_image(&self, reference: &Value) -> Option<Value> {
        let public = super::catalogue::PUBLIC_IMAGES.iter().find(|(id, slug, ..)| match reference {
            Value::String(text) => slug == text || id.to_string() == *text,
            other => other.as_u64() == Some(*id),
        });
        if let Some(public) = public {
            return Some(public_image(*public));
        }
        let id = reference.as_u64().or_else(|| reference.as_str()?.parse().ok())?;
        self.images.get(&id).map(|image| self.image_json(image))
    }
}

/// The one network that there is.
pub(super) const VPC: &str = "5a4981aa-9653-4bd1-bef5-d6bff52042e4";
/// GB that a snapshot is billed for.
pub(super) const SNAPSHOT_GB: f64 = 2.3;

/// A droplet as the API shows it.
pub(super) fn droplet_json(cloud: &Cloud, droplet: &Droplet) -> Value {
    let mut features = Vec::new();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    if let Some(ip) = &droplet.ipv4 {
        features.push("private_networking");
        let private = format!("10.114.{}.{}", droplet.id / 250 % 250, droplet.id % 250 + 2);
        v4.push(json!({
            "ip_address": private, "netmask": "255.255.240.0", "gateway": "10.114.0.1", "type": "private",
        }));
        let gateway = ip.rsplit_once('.').map_or(String::new(), |(network, _)| format!("{network}.254"));
        v4.push(json!({
            "ip_address": ip, "netmask": "255.255.240.0", "gateway": gateway, "type": "public",
        }));
    }
    if let Some(ip) = &droplet.ipv6 {
        features.push("ipv6");
        v6.push(json!({ "ip_address": ip, "netmask": 64, "gateway": "2001:db8::1", "type": "public" }));
    }
    json!({
        "id": droplet.id, "name": droplet.name, "memory": droplet.size.memory, "vcpus": droplet.size.vcpus,
        "disk": droplet.size.disk, "disk_info": droplet.size.disk_info(), "locked": droplet.busy.is_some(),
        "status": droplet.status, "kernel": null, "created_at": rfc3339(droplet.created_ms),
        "features": features, "backup_ids": [], "next_backup_window": null,
        "snapshot_ids": droplet.snapshots, "image": droplet.image, "volume_ids": [],
        "size": droplet.size.to_json(&cloud.config), "size_slug": droplet.size.slug,
        "networks": { "v4": v4, "v6": v6 }, "region": droplet.region.to_json(&cloud.config),
        "tags": cloud.digitalocean.spelled(&droplet.tags),
        "vpc_uuid": VPC,
    })
}

/// Starts an action on a droplet, which is busy until it ends.
pub(super) fn start(cloud: &mut Cloud, droplet: u64, kind: &'static str, steps: u64, then: Then) -> u64 {
    let Some(region) = cloud.digitalocean.droplets.get(&droplet).map(|it| it.region) else { return 0 };
    let id = cloud.new_id("digitalocean_actions");
    let fails = cloud.fails(kind);
    let started_ms = cloud.now_ms;
    cloud
        .digitalocean
        .actions
        .insert(id, Action { id, kind, started_ms, ended_ms: None, droplet, region, then, fails });
    if let Some(droplet) = cloud.digitalocean.droplets.get_mut(&droplet) {
        droplet.busy = Some(id);
    }
    cloud.wake(Vendor::DigitalOcean, id, steps);
    id
}

/// The system of a droplet goes down by itself. It is billed as before, and nobody's action.
pub(crate) fn shut_down(cloud: &mut Cloud, droplet: u64) {
    if let Some(it) = cloud.digitalocean.droplets.get_mut(&droplet).filter(|it| it.status == "active") {
        it.status = "off";
        cloud.guests.cut_power(droplet);
    }
}

/// An action has come to its end.
pub(crate) fn end_action(cloud: &mut Cloud, id: u64) {
    let now_ms = cloud.now_ms;
    // Without reaction of the system a shutdown runs into its time limit.
    let ignores = cloud.config.ignore_acpi;
    let Some(action) = cloud.digitalocean.actions.get_mut(&id) else { return };
    action.ended_ms = Some(now_ms);
    action.fails |= ignores && action.then == Then::ShutDown;
    let (droplet, then, fails) = (action.droplet, action.then.clone(), action.fails);
    let Some(it) = cloud.digitalocean.droplets.get_mut(&droplet).filter(|it| it.busy == Some(id)) else {
        return;
    };
    it.busy = None;
    if fails {
        return;
    }
    match then {
        Then::On | Then::Restarted => power_on(cloud, droplet),
        Then::Off | Then::ShutDown => {
            it.status = "off";
            cloud.guests.cut_power(droplet);
        }
        Then::Renamed(name) => it.name = name,
        Then::Snapshot(name) => make_image(cloud, droplet, name),
        Then::Gone => {
            cloud.digitalocean.droplets.remove(&droplet);
            cloud.guests.delete(droplet);
            for firewall in cloud.digitalocean.firewalls.values_mut() {
                firewall.droplets.retain(|it| *it != droplet);
            }
        }
    }
}

fn power_on(cloud: &mut Cloud, id: u64) {
    let Some(droplet) = cloud.digitalocean.droplets.get(&id) else { return };
    let (is_new, wants_ipv6) = (droplet.ipv4.is_none(), droplet.wants_ipv6);
    let ipv4 = is_new.then(|| cloud.new_address("ipv4"));
    let ipv6 = (is_new && wants_ipv6).then(|| cloud.new_address("ipv6").replace("::/64", "::1"));
    let Some(droplet) = cloud.digitalocean.droplets.get_mut(&id) else { return };
    droplet.ipv4 = ipv4.or_else(|| droplet.ipv4.take());
    droplet.ipv6 = ipv6.or_else(|| droplet.ipv6.take());
    droplet.status = "active";
    cloud.guests.cut_power(id);
    cloud.starts.push(id);
}

/// An image gets its number only when it is complete.
fn make_image(cloud: &mut Cloud, droplet: u64, name: String) {
    let id = cloud.new_id("digitalocean_images");
    let created_ms = cloud.now_ms;
    let Some(it) = cloud.digitalocean.droplets.get_mut(&droplet) else { return };
    it.snapshots.push(id);
    let image = Image {
        id,
        name,
        created_ms,
        region: it.region.slug,
        min_disk: it.size.disk,
        distribution: it.image["distribution"].as_str().unwrap_or_default().to_owned(),
        made_of: droplet,
        tags: BTreeSet::new(),
    };
    cloud.digitalocean.images.insert(id, image);
}

/// What tests see of everything.
pub(crate) fn state(cloud: &Cloud) -> Value {
    let team = &cloud.digitalocean;
    let droplet = |it: &Droplet| {
        let mut value = droplet_json(cloud, it);
        value["user_data_bytes"] = json!(it.user_data.len());
        value["ssh_key_names"] = json!(it.key_names);
        value["guest"] = cloud.guests.to_json(it.id);
        value
    };
    json!({
        "droplets": team.droplets.values().map(droplet).collect::<Vec<_>>(),
        "ssh_keys": team.keys.values().map(Key::to_json).collect::<Vec<_>>(),
        "firewalls": team.firewalls.values().map(super::firewalls::to_json).collect::<Vec<_>>(),
        "tags": team.tags.values().collect::<Vec<_>>(),
        "images": team.images.values().map(|it| team.image_json(it)).collect::<Vec<_>>(),
        "actions": team.actions.values().map(|it| it.to_json(&cloud.config)).collect::<Vec<_>>(),
    })
}
