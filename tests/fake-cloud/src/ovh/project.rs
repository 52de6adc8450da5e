//! The project: every resource, the tasks that run, and what the end of a task changes.
//!
//! Ids, addresses, timers and guests are the cloud's. Our numbers become the UUIDs that OVHcloud shows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::access::Tokens;
use super::catalogue::{Flavor, Region};
use crate::clock::rfc3339;
use crate::cloud::Cloud;
use crate::vendor::Vendor;

/// Everything that OVHcloud knows.
#[derive(Debug, Default)]
pub(crate) struct Project {
    /// Instances by our number.
    pub instances: BTreeMap<u64, Instance>,
    /// SSH keys by their id.
    pub keys: BTreeMap<String, Key>,
    /// Snapshots by our number.
    pub snapshots: BTreeMap<u64, Snapshot>,
    /// Tokens of the service account.
    pub tokens: Tokens,
    tasks: BTreeMap<u64, Task>,
}

/// An instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Our number.
    pub id: u64,
    /// Not unique, and up to 255 characters.
    pub name: String,
    /// When it was asked for.
    pub created_ms: u64,
    /// `BUILD`, `ACTIVE`, `SHUTOFF`, `ERROR` or `DELETING`.
    pub status: &'static str,
    /// Its flavor.
    pub flavor: &'static Flavor,
    /// Where it is.
    pub region: &'static Region,
    /// The image as it was when the instance was made from it.
    pub image: Value,
    /// The SSH key given at creation.
    pub key: Option<String>,
    /// What cloud-init would read.
    pub user_data: String,
    /// Public addresses; none before it is active.
    pub addresses: Option<(String, String)>,
    /// The task that runs on it.
    pub busy: Option<u64>,
}

/// A public SSH key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in hexadecimal.
    pub id: String,
    /// Unique.
    pub name: String,
    /// As given.
    pub text: String,
    /// MD5 of the blob, in pairs.
    pub fingerprint: String,
    /// Where it can be used.
    pub regions: Vec<&'static str>,
}

impl Key {
    /// As lists show it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "publicKey": self.text, "regions": self.regions })
    }

    /// As it is shown alone.
    pub(crate) fn to_detail(&self) -> Value {
        let mut value = self.to_json();
        value["fingerPrint"] = json!(self.fingerprint);
        value
    }
}

/// A snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Our number.
    pub id: u64,
    /// For people.
    pub name: String,
    /// When.
    pub created_ms: u64,
    /// Where it can be used.
    pub region: &'static Region,
    /// GB of the disk that it needs.
    pub min_disk: u64,
    /// Whether it can be used already.
    pub is_active: bool,
}

/// GB that a snapshot is billed for.
const SNAPSHOT_GB: f64 = 2.3;

impl Snapshot {
    /// As the API shows it: an image.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": uuid(self.id), "name": self.name, "region": self.region.name, "visibility": "private",
            "type": "linux", "user": "debian", "status": if self.is_active { "active" } else { "queued" },
            "creationDate": rfc3339(self.created_ms), "minDisk": self.min_disk, "minRam": 0,
            "size": if self.is_active { SNAPSHOT_GB } else { 0.0 }, "flavorType": null, "planCode": "snapshot.consumption",
            "tags": [],
        })
    }
}

/// What happens when a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The instance has power, and addresses if it is new.
    Active,
    /// There was no host for it.
    Error,
    /// It has no power any more.
    Off,
    /// There is a snapshot.
    Snapshot(u64),
    /// It is gone.
    Gone,
}

#[derive(Debug)]
struct Task {
    instance: u64,
    then: Then,
}

/// A number as OVHcloud shows ids.
pub(crate) fn uuid(id: u64) -> String {
    format!("00000000-0000-4000-8000-{id:012x}")
}

/// The inverse of [`uuid`].
pub(crate) fn id_of(uuid: &str) -> Option<u64> {
    u64::from_str_radix(uuid.strip_prefix("00000000-0000-4000-8000-").filter(|it| it.len() == 12)?, 16).ok()
}

/// An instance as lists show it.
pub(super) fn instance_json(it: &Instance) -> Value {
    let address = |ip: &str, version: u64| {
        json!({
            "ip": ip, "version": version, "type": "public", "gatewayIp": null,
            "networkId": "b2c02fdc-ffdf-40f6-9722-533bd7058c06",
        })
    };
    let addresses: Vec<Value> =
        it.addresses.iter().flat_map(|(v4, v6)| [address(v6, 6), address(v4, 4)]).collect();
    json!({
        "id": uuid(it.id), "name": it.name, "status": it.status, "region": it.region.name,
        "created": rfc3339(it.created_ms), "flavorId": it.flavor.id(it.region), "imageId": it.image["id"],
        "sshKeyId": it.key, "planCode": it.flavor.plan(it.region), "monthlyBilling": null,
        "ipAddresses": addresses, "operationIds": [], "availabilityZone": null,
        "currentMonthOutgoingTraffic": null,
    })
}

/// An instance as it is shown alone.
pub(super) fn instance_detail(cloud: &Cloud, it: &Instance) -> Value {
    let mut value = instance_json(it);
    value["flavor"] = it.flavor.to_json(it.region, &cloud.config);
    value["image"] = it.image.clone();
    let key = it.key.as_ref().and_then(|id| cloud.ovh.keys.get(id));
    value["sshKey"] = key.map_or(Value::Null, Key::to_detail);
    value["rescuePassword"] = Value::Null;
    value
}

/// Starts a task on an instance, which is busy until it ends.
pub(super) fn start(cloud: &mut Cloud, instance: u64, steps: u64, then: Then) {
    let id = cloud.new_id("ovh_tasks");
    cloud.ovh.tasks.insert(id, Task { instance, then });
    if let Some(it) = cloud.ovh.instances.get_mut(&instance) {
        it.busy = Some(id);
    }
    cloud.wake(Vendor::Ovh, id, steps);
}

/// The system of an instance goes down by itself. It is billed as before.
pub(crate) fn shut_down(cloud: &mut Cloud, instance: u64) {
    if let Some(it) = cloud.ovh.instances.get_mut(&instance).filter(|it| it.status == "ACTIVE") {
        it.status = "SHUTOFF";
        cloud.guests.cut_power(instance);
    }
}

/// A task has come to its end; one that another has replaced ends without effect.
pub(crate) fn end_task(cloud: &mut Cloud, id: u64) {
    let Some(Task { instance, then }) = cloud.ovh.tasks.remove(&id) else { return };
    if let Then::Snapshot(snapshot) = then
        && let Some(snapshot) = cloud.ovh.snapshots.get_mut(&snapshot)
    {
        snapshot.is_active = true;
    }
    let Some(it) = cloud.ovh.instances.get_mut(&instance).filter(|it| it.busy == Some(id)) else { return };
    it.busy = None;
    match then {
        Then::Active => power_on(cloud, instance),
        Then::Error => it.status = "ERROR",
        Then::Off => {
            it.status = "SHUTOFF";
            cloud.guests.cut_power(instance);
        }
        Then::Snapshot(_) => {}
        Then::Gone => {
            cloud.ovh.instances.remove(&instance);
            cloud.guests.delete(instance);
        }
    }
}

fn power_on(cloud: &mut Cloud, id: u64) {
    let is_new = cloud.ovh.instances.get(&id).is_some_and(|it| it.addresses.is_none());
    // One address of a network that others have addresses in, too.
    let addresses = is_new.then(|| (cloud.new_address("ipv4"), format!("2001:db8:f00d::{id:x}")));
    let Some(it) = cloud.ovh.instances.get_mut(&id) else { return };
    it.addresses = addresses.or_else(|| it.addresses.take());
    it.status = "ACTIVE";
    cloud.guests.cut_power(id);
    cloud.starts.push(id);
}

/// What tests see of everything.
pub(crate) fn state(cloud: &Cloud) -> Value {
    let project = &cloud.ovh;
    let instance = |it: &Instance| {
        let mut value = instance_json(it);
        value["user_data_bytes"] = json!(it.user_data.len());
        value["guest"] = cloud.guests.to_json(it.id);
        value
    };
    json!({
        "instances": project.instances.values().map(instance).collect::<Vec<_>>(),
        "ssh_keys": project.keys.values().map(Key::to_json).collect::<Vec<_>>(),
        "snapshots": project.snapshots.values().map(Snapshot::to_json).collect::<Vec<_>>(),
    })
}
