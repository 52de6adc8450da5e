//! Snapshots: made of an instance, usable in its region, there until they are deleted.

use serde_json::json;

use super::instances::{busy, find, name};
use super::project::{Snapshot, Then, id_of, start, uuid};
use super::{Error, check, shelf};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// A snapshot takes longer than the rest.
const SNAPSHOT_STEPS: u64 = 3;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &["region", "flavorType"])?;
    let regions = shelf::regions_of(call)?;
    let is_there = |it: &&Snapshot| regions.iter().any(|region| region.name == it.region.name);
    Ok(Answer::Ok(cloud.ovh.snapshots.values().filter(is_there).map(Snapshot::to_json).collect()))
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let snapshot = id_of(call.segment("id")).and_then(|id| cloud.ovh.snapshots.get(&id));
    Ok(Answer::Ok(snapshot.ok_or_else(|| Error::not_found("Snapshot"))?.to_json()))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let instance = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let name = name(&mut fields, "snapshotName");
    fields.finish()?;
    let Some(it) = cloud.ovh.instances.get(&instance) else { return Err(Error::not_found("Instance")) };
    if it.busy.is_some() || !["ACTIVE", "SHUTOFF"].contains(&it.status) {
        return Err(busy("createImage", call));
    }
    let (region, min_disk) = (it.region, it.flavor.disk);
    let id = cloud.new_id("ovh_snapshots");
    let snapshot = Snapshot { id, name, created_ms: cloud.now_ms, region, min_disk, is_active: false };
    cloud.ovh.snapshots.insert(id, snapshot);
    start(cloud, instance, SNAPSHOT_STEPS, Then::Snapshot(id));
    Ok(Answer::Ok(json!({ "snapshotId": uuid(id) })))
}

/// It answers with what it has deleted.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let snapshot = id_of(call.segment("id")).and_then(|id| cloud.ovh.snapshots.remove(&id));
    Ok(Answer::Ok(snapshot.ok_or_else(|| Error::not_found("Snapshot"))?.to_json()))
}
