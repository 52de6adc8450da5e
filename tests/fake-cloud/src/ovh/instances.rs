//! Instances: list, create, rename, delete, power.

use serde_json::Value;

use super::catalogue::{Flavor, Region, images_of};
use super::project::{Instance, Then, id_of, instance_detail, instance_json, start as start_task};
use super::{Error, check, nothing, shelf};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::config::Capacity;
use crate::route::Call;

/// What OpenStack takes as user data, in base64 (Compute API, "Create Server").
const MAX_USER_DATA_BASE64: usize = 65_535;
/// What it takes as a name.
const MAX_NAME_CHARS: usize = 255;
/// Times `action_ms` that a creation takes.
const CREATE_STEPS: u64 = 3;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &["region"])?;
    let regions = shelf::regions_of(call)?;
    let is_there = |it: &&Instance| regions.iter().any(|region| region.name == it.region.name);
    Ok(Answer::Ok(cloud.ovh.instances.values().filter(is_there).map(instance_json).collect()))
}

/// The instance in the path; one that is on its way out is none any more for anything but looking.
pub(super) fn find(cloud: &Cloud, call: &Call) -> Result<u64, Error> {
    check(call, &[])?;
    let id = id_of(call.segment("id")).filter(|id| cloud.ovh.instances.contains_key(id));
    id.ok_or_else(|| Error::not_found("Instance"))
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let instance = cloud.ovh.instances.get(&id).ok_or_else(|| Error::not_found("Instance"))?;
    Ok(Answer::Ok(instance_detail(cloud, instance)))
}

/// Steps: syntax, region, flavor, image, key, quota, capacity; then it is built, or found to have no host.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, region) = (name(&mut fields, "name"), fields.required_text("region"));
    let (flavor, image) = (fields.required_text("flavorId"), nullable(&mut fields, "imageId"));
    let (key, user_data) = (nullable(&mut fields, "sshKeyId"), nullable(&mut fields, "userData"));
    let user_data = user_data.unwrap_or_default();
    if user_data.len().div_ceil(3) * 4 > MAX_USER_DATA_BASE64 {
        fields.problem("userData", "is too long");
    }
    if fields.take("monthlyBilling").is_some_and(|it| it.as_bool() != Some(false) && !it.is_null()) {
        fields.problem("monthlyBilling", "is not simulated");
    }
    for unsimulated in ["autobackup", "availabilityZone", "groupId", "networks", "volumeId"] {
        if fields.take(unsimulated).is_some_and(|it| !it.is_null()) {
            fields.problem(unsimulated, "is not simulated");
        }
    }
    fields.finish()?;
    let region = Region::find(&region).ok_or_else(|| Error::bad("invalid: Region does not exist"))?;
    let (flavor, place) = Flavor::find(&flavor).ok_or_else(|| Error::not_found("Flavor"))?;
    if place.name != region.name {
        return Err(Error::bad("invalid: Flavor is not available in this region"));
    }
    let image = image.ok_or_else(|| Error::bad("[imageId] missing data for required field"))?;
    let image = find_image(cloud, &image, region, flavor)?;
    if let Some(key) = &key {
        let known = cloud.ovh.keys.get(key).is_some_and(|it| it.regions.contains(&region.name));
        known.then_some(()).ok_or_else(|| Error::bad("Invalid key_name provided."))?;
    }
    if cloud.ovh.instances.len() >= cloud.config.server_limit {
        return Err(Error::quota("instances: Requested 1"));
    }
    let capacity = flavor.capacity(region, &cloud.config);
    if matches!(capacity, Capacity::Taken | Capacity::Unsupported) {
        return Err(Error::bad("invalid: Flavor is not available in this region"));
    }
    let id = cloud.new_id("ovh_instances");
    let created_ms = cloud.now_ms;
    let instance = Instance {
        id,
        name,
        created_ms,
        status: "BUILD",
        flavor,
        region,
        image,
        key,
        user_data,
        addresses: None,
        busy: None,
    };
    cloud.ovh.instances.insert(id, instance);
    match capacity {
        Capacity::Hidden => start_task(cloud, id, 1, Then::Error),
        _ => start_task(cloud, id, CREATE_STEPS, Then::Active),
    }
    let instance = cloud.ovh.instances.get(&id).ok_or_else(|| Error::not_found("Instance"))?;
    Ok(Answer::Ok(instance_detail(cloud, instance)))
}

fn nullable(fields: &mut Fields, name: &str) -> Option<String> {
    match fields.take(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            fields.problem(name, "Given data is not valid for type string");
            None
        }
    }
}

/// Names are any printable text without white space at its ends (OpenStack Compute API, "Create Server", `name`).
pub(super) fn name(fields: &mut Fields, field: &str) -> String {
    let name = fields.required_text(field);
    let fits = (1..=MAX_NAME_CHARS).contains(&name.chars().count())
        && name.trim() == name
        && !name.contains(char::is_control);
    if !fits {
        fields.problem(field, "must be 1 to 255 printable characters without spaces at its ends");
    }
    name
}

fn find_image(cloud: &Cloud, id: &str, region: &'static Region, flavor: &Flavor) -> Result<Value, Error> {
    let snapshot = id_of(id).and_then(|id| cloud.ovh.snapshots.get(&id));
    let snapshot = snapshot.filter(|it| it.region.name == region.name).map(super::project::Snapshot::to_json);
    let image = images_of(region).find(|it| it["id"] == id).or(snapshot);
    let image = image.ok_or_else(|| Error::bad("invalid: Image is not available in this region"))?;
    let fits = image["minDisk"].as_u64().is_some_and(|it| it <= flavor.disk);
    if !fits
        || image["status"] != "active"
        || image["type"] != flavor.to_json(region, &cloud.config)["osType"]
    {
        return Err(Error::bad("invalid: Image cannot be used with the chosen flavor"));
    }
    Ok(image)
}

pub(super) fn rename(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let name = name(&mut fields, "instanceName");
    fields.finish()?;
    if let Some(it) = cloud.ovh.instances.get_mut(&id) {
        it.name = name;
    }
    Ok(nothing())
}

/// An instance goes whether it is switched on or off, built or broken; its address goes with it. Only a snapshot that is
/// being made of it is waited for.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let Some(it) = cloud.ovh.instances.get_mut(&id) else { return Err(Error::not_found("Instance")) };
    if it.status == "DELETING" {
        return Err(Error::not_found("Instance"));
    }
    if it.busy.is_some() && it.status != "BUILD" {
        return Err(busy("delete", call));
    }
    it.status = "DELETING";
    cloud.guests.cut_power(id);
    start_task(cloud, id, 2, Then::Gone);
    Ok(nothing())
}

/// Another task runs on it.
pub(super) fn busy(what: &str, call: &Call) -> Error {
    let id = call.segment("id");
    Error::conflict(format!("Cannot '{what}' instance {id} while it is in task_state powering-off"))
}

fn power(cloud: &mut Cloud, call: &Call, what: &str, from: &[&str], then: Then) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let Some(it) = cloud.ovh.instances.get(&id) else { return Err(Error::not_found("Instance")) };
    if it.busy.is_some() {
        return Err(busy(what, call));
    }
    if !from.contains(&it.status) {
        let state = it.status.to_ascii_lowercase();
        let id = call.segment("id");
        let message = format!("Cannot '{what}' instance {id} while it is in vm_state {state}");
        return Err(Error::conflict(message));
    }
    start_task(cloud, id, 1, then);
    Ok(nothing())
}

pub(super) fn start(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    Fields::parse_optional(&call.body)?.finish()?;
    power(cloud, call, "start", &["SHUTOFF"], Then::Active)
}

pub(super) fn stop(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    Fields::parse_optional(&call.body)?.finish()?;
    power(cloud, call, "stop", &["ACTIVE", "ERROR"], Then::Off)
}

pub(super) fn reboot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let mut fields = Fields::parse(&call.body)?;
    if !["soft", "hard"].contains(&fields.required_text("type").as_str()) {
        fields.problem("type", "must be soft or hard");
    }
    fields.finish()?;
    power(cloud, call, "reboot", &["ACTIVE"], Then::Active)
}
