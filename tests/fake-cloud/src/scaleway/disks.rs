//! Disks and their snapshots. Local ones are the Instance API's, those of block storage the Block Storage API's, and neither
//! knows the other's.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::project::{Kind, PROJECT, Snapshot, Volume, number, uuid};
use super::{Error, date, matches_project, matches_tags, page, strings, zone};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// As it stands in a server.
pub(super) fn in_server(cloud: &Cloud, volume: &Volume) -> Value {
    if volume.is_block {
        let id = uuid(Kind::Volume, volume.id);
        return json!({
            "boot": false, "id": id, "volume_type": "sbs_volume", "state": "available", "zone": volume.zone,
        });
    }
    local_json(cloud, volume)
}

fn local_json(cloud: &Cloud, volume: &Volume) -> Value {
    let server = volume.server.and_then(|id| cloud.scaleway.servers.get(&id));
    let server = server.map(|it| json!({ "id": uuid(Kind::Server, it.id), "name": it.name }));
    json!({
        "boot": false, "id": uuid(Kind::Volume, volume.id), "name": volume.name, "volume_type": "l_ssd",
        "export_uri": null, "organization": PROJECT, "project": PROJECT, "server": server,
        "size": volume.size, "state": "available", "creation_date": date(volume.created_ms),
        "modification_date": date(volume.created_ms), "tags": volume.tags, "zone": volume.zone,
    })
}

fn block_json(volume: &Volume) -> Value {
    let created = date(volume.created_ms).replace("+00:00", "Z");
    let reference = |server: u64| {
        json!([{
            "id": uuid(Kind::Volume, volume.id), "product_resource_type": "instance_server",
            "product_resource_id": uuid(Kind::Server, server), "created_at": created, "type": "exclusive",
            "status": "attached",
        }])
    };
    json!({
        "id": uuid(Kind::Volume, volume.id), "name": volume.name, "type": "sbs_5k", "size": volume.size,
        "project_id": PROJECT, "created_at": created, "updated_at": created,
        "references": volume.server.map_or_else(|| json!([]), reference), "parent_snapshot_id": null,
        "status": if volume.server.is_some() { "in_use" } else { "available" }, "tags": volume.tags,
        "specs": { "perf_iops": 5000, "class": "sbs" }, "last_detached_at": null, "zone": volume.zone,
    })
}

/// For tests: whichever it is.
pub(super) fn any_json(cloud: &Cloud, volume: &Volume) -> Value {
    if volume.is_block { block_json(volume) } else { local_json(cloud, volume) }
}

/// The disk in the path, of the API that is asked.
fn find(cloud: &Cloud, call: &Call, is_block: bool) -> Result<u64, Error> {
    let (zone, id) = (zone(call)?, call.segment("id"));
    let volume = number(Kind::Volume, id).and_then(|id| cloud.scaleway.volumes.get(&id));
    let volume = volume.filter(|it| it.zone == zone && it.is_block == is_block);
    let resource = if is_block { "volume" } else { "instance_volume" };
    volume.map(|it| it.id).ok_or_else(|| Error::not_found(resource, id))
}

fn of_zone<'a>(cloud: &'a Cloud, call: &Call, is_block: bool) -> Result<Vec<&'a Volume>, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Volume| {
        it.zone == zone && it.is_block == is_block && matches_project(call) && matches_tags(call, &it.tags)
    };
    Ok(cloud.scaleway.volumes.values().filter(is_wanted).collect())
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all: Vec<Value> = of_zone(cloud, call, false)?.into_iter().map(|it| local_json(cloud, it)).collect();
    page(call, "volumes", all)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call, false)?;
    let volume = cloud.scaleway.volumes.get(&id).map(|it| local_json(cloud, it));
    Ok(Answer::Ok(json!({ "volume": volume })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call, false)?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, tags) = (fields.text("name"), strings(&mut fields, "tags"));
    fields.finish()?;
    if let Some(volume) = cloud.scaleway.volumes.get_mut(&id) {
        volume.name = name.unwrap_or_else(|| volume.name.clone());
        volume.tags = tags.unwrap_or_else(|| volume.tags.clone());
    }
    get(cloud, call)
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call, false)?;
    if cloud.scaleway.volumes.get(&id).is_some_and(|it| it.server.is_some()) {
        return Err(Error::still_in_use(
            "instance_volume",
            call.segment("id"),
            "a server is attached to this volume",
        ));
    }
    cloud.scaleway.volumes.remove(&id);
    Ok(Answer::Empty)
}

pub(super) fn list_block(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all: Vec<Value> = of_zone(cloud, call, true)?.into_iter().map(block_json).collect();
    let total = all.len();
    let Answer::WithHeaders(headers, mut body) = page(call, "volumes", all)? else {
        return Ok(Answer::Empty);
    };
    body["total_count"] = json!(total);
    Ok(Answer::WithHeaders(headers, body))
}

pub(super) fn get_block(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call, true)?;
    Ok(Answer::Ok(cloud.scaleway.volumes.get(&id).map(block_json).unwrap_or_default()))
}

pub(super) fn delete_block(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call, true)?;
    if cloud.scaleway.volumes.get(&id).is_some_and(|it| it.server.is_some()) {
        return Err(Error::precondition("the volume is in use"));
    }
    cloud.scaleway.volumes.remove(&id);
    Ok(Answer::Empty)
}

/// As the API of its disk shows it.
pub(super) fn snapshot_json(it: &Snapshot) -> Value {
    let id = uuid(Kind::Snapshot, it.id);
    if it.is_block {
        let created = date(it.created_ms).replace("+00:00", "Z");
        return json!({
            "id": id, "name": it.name, "parent_volume": null, "size": it.size, "project_id": PROJECT,
            "created_at": created, "updated_at": created, "references": [], "status": "available", "tags": it.tags,
            "zone": it.zone, "class": "sbs",
        });
    }
    json!({
        "id": id, "name": it.name, "volume_type": "l_ssd", "creation_date": date(it.created_ms),
        "modification_date": date(it.created_ms), "organization": PROJECT, "project": PROJECT,
        "size": it.size, "state": "available", "base_volume": null, "tags": it.tags, "error_details": null,
        "zone": it.zone,
    })
}

fn find_snapshot(cloud: &Cloud, call: &Call, is_block: bool) -> Result<u64, Error> {
    let (zone, id) = (zone(call)?, call.segment("id"));
    let snapshot = number(Kind::Snapshot, id).and_then(|id| cloud.scaleway.snapshots.get(&id));
    let snapshot = snapshot.filter(|it| it.zone == zone && it.is_block == is_block);
    let resource = if is_block { "snapshot" } else { "instance_snapshot" };
    snapshot.map(|it| it.id).ok_or_else(|| Error::not_found(resource, id))
}

pub(super) fn snapshots(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Snapshot| {
        it.zone == zone && !it.is_block && matches_project(call) && matches_tags(call, &it.tags)
    };
    let all = cloud.scaleway.snapshots.values().filter(is_wanted);
    page(call, "snapshots", all.map(snapshot_json).collect::<Vec<_>>())
}

pub(super) fn update_snapshot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find_snapshot(cloud, call, false)?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, tags) = (fields.text("name"), strings(&mut fields, "tags"));
    fields.finish()?;
    if let Some(it) = cloud.scaleway.snapshots.get_mut(&id) {
        it.name = name.unwrap_or_else(|| it.name.clone());
        it.tags = tags.unwrap_or_else(|| it.tags.clone());
    }
    snapshot(cloud, call)
}

pub(super) fn snapshot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find_snapshot(cloud, call, false)?;
    Ok(Answer::Ok(json!({ "snapshot": cloud.scaleway.snapshots.get(&id).map(snapshot_json) })))
}

pub(super) fn block_snapshot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find_snapshot(cloud, call, true)?;
    Ok(Answer::Ok(cloud.scaleway.snapshots.get(&id).map(snapshot_json).unwrap_or_default()))
}

pub(super) fn delete_snapshot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find_snapshot(cloud, call, false)?;
    remove_snapshot(cloud, id, call)
}

pub(super) fn delete_block_snapshot(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find_snapshot(cloud, call, true)?;
    remove_snapshot(cloud, id, call)
}

/// Not while an image is made of it.
fn remove_snapshot(cloud: &mut Cloud, id: u64, call: &Call) -> Result<Answer, Error> {
    if cloud.scaleway.images.values().any(|it| it.snapshots.contains(&id)) {
        let error = Error::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "one or more images use this snapshot",
        );
        return Err(error.with("resource_id", call.segment("id")));
    }
    cloud.scaleway.snapshots.remove(&id);
    Ok(Answer::Empty)
}
