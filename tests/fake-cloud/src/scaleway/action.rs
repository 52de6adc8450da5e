//! What can be done to a server's power, by what its `allowed_actions` say; and backups, which are images.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Error;
use super::project::{Image, Kind, Snapshot, Then, number, start as start_task, uuid};
use super::servers::{allowed_actions, find};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// A copy takes longer than the rest.
const BACKUP_STEPS: u64 = 3;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!({ "actions": allowed_actions(find(cloud, call)?.state) })))
}

/// State in between, name of the task, steps, what comes of it.
fn plan(action: &str) -> Option<(&'static str, &'static str, u64, Then)> {
    Some(match action {
        "poweron" => ("starting", "server_batch_poweron", 2, Then::On),
        "poweroff" => ("stopping", "server_poweroff", 2, Then::Off),
        "stop_in_place" => ("stopping", "server_stop_in_place", 1, Then::OffInPlace),
        "reboot" => ("stopping", "server_reboot", 1, Then::Restarted),
        "terminate" => ("stopping", "server_terminate", 2, Then::Gone),
        _ => return None,
    })
}

pub(super) fn start(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let server = find(cloud, call)?;
    let (id, state, is_protected) = (server.id, server.state, server.protected);
    let mut fields = Fields::parse(&call.body)?;
    let action = fields.required_text("action");
    if action == "backup" {
        return backup(cloud, id, fields);
    }
    fields.finish()?;
    let (between, what, steps, then) =
        plan(&action).ok_or_else(|| Error::argument("action", "is not an action"))?;
    if matches!(state, "starting" | "stopping") {
        return Err(Error::transient("instance_server", call.segment("id"), state));
    }
    if !allowed_actions(state).contains(&action.as_str()) {
        return Err(Error::precondition(&format!("the server cannot {action} while it is {state}")));
    }
    if is_protected && action == "terminate" {
        return Err(Error::precondition("the server is protected"));
    }
    let then = if cloud.fails(&action) { Then::Failed(state) } else { then };
    if action != "poweron" {
        cloud.guests.cut_power(id);
    }
    if let Some(server) = cloud.scaleway.servers.get_mut(&id) {
        server.state = between;
    }
    Ok(Answer::Accepted(start_task(cloud, id, what, steps, then)))
}

/// An image without tags, with a snapshot of each disk that is named; of all where none is.
fn backup(cloud: &mut Cloud, id: u64, mut fields: Fields) -> Result<Answer, Error> {
    let name = fields.text("name");
    let mut wanted = BTreeMap::new();
    let given = fields.take("volumes").unwrap_or_else(|| json!({}));
    let Value::Object(given) = given else {
        return Err(Error::argument("volumes", "must be an object"));
    };
    for (volume, value) in given {
        let mut entry = fields.nested(&format!("volumes.{volume}"), value);
        let kind = entry.required_text("volume_type");
        fields.absorb(entry);
        wanted.insert(volume, kind);
    }
    fields.finish()?;
    let Some(server) = cloud.scaleway.servers.get(&id) else {
        return Err(Error::not_found("instance_server", ""));
    };
    let (zone, arch, own) = (server.zone, server.kind.arch, server.volumes.clone());
    let name = name.unwrap_or_else(|| format!("{}_backup", server.name));
    for (text, kind) in &wanted {
        let volume = number(Kind::Volume, text).filter(|id| own.values().any(|it| it == id));
        let volume = volume.and_then(|id| cloud.scaleway.volumes.get(&id));
        let volume = volume.ok_or_else(|| Error::not_found("instance_volume", text))?;
        let fits = if volume.is_block { "sbs_snapshot" } else { "l_ssd" };
        if kind != fits {
            return Err(Error::argument("volumes", &format!("the snapshot of this volume must be {fits}")));
        }
    }
    let mut snapshots = Vec::new();
    let created_ms = cloud.now_ms;
    let is_wanted = |it: &&u64| wanted.is_empty() || wanted.contains_key(&uuid(Kind::Volume, **it));
    for volume in own.values().filter(is_wanted) {
        let Some((is_block, size)) = cloud.scaleway.volumes.get(volume).map(|it| (it.is_block, it.size))
        else {
            continue;
        };
        let snapshot = cloud.new_id("scaleway_snapshots");
        let made = Snapshot {
            id: snapshot,
            zone,
            name: format!("{name}_snap"),
            is_block,
            size,
            created_ms,
            tags: Vec::new(),
        };
        cloud.scaleway.snapshots.insert(snapshot, made);
        snapshots.push(snapshot);
    }
    let image = cloud.new_id("scaleway_images");
    let made = Image {
        id: image,
        zone,
        name,
        arch,
        created_ms,
        made_of: id,
        snapshots,
        tags: Vec::new(),
        is_available: false,
    };
    cloud.scaleway.images.insert(image, made);
    let task = start_task(cloud, id, "instance_backup", BACKUP_STEPS, Then::ImageReady(image));
    Ok(Answer::Accepted(task))
}
