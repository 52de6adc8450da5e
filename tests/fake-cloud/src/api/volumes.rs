//! Volumes: list, create (free or with a server), rename and label, delete when free.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body::Fields;
use crate::catalogue::Location;
use crate::cloud::{Cloud, Task};
use crate::error::ApiError;
use crate::query::Listing;
use crate::resources::{Then, Volume};
use crate::route::Call;

const LIST: Listing = Listing {
    key: "volumes",
    sort: &["id", "name", "created"],
    filters: &[("name", &[]), ("status", &["available", "creating"])],
    labels: true,
};

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = cloud.volumes.values().map(Volume::to_json).collect();
    LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let volume = cloud.volumes.get(&call.id()?).ok_or_else(|| ApiError::not_found("volume"))?;
    Ok(Answer::Ok(json!({ "volume": volume.to_json() })))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    if !is_volume_name(&name) {
        fields.problem("name", "must be letters, digits, dashes, underscores and dots, at most 64");
    }
    let size = fields.number("size").unwrap_or_default();
    if !(10..=10_240).contains(&size) {
        fields.problem("size", "must be between 10 and 10240");
    }
    let labels = fields.labels("labels").unwrap_or_default();
    let format = fields.text("format");
    if format.as_ref().is_some_and(|format| format != "xfs" && format != "ext4") {
        fields.problem("format", "must be xfs or ext4");
    }
    let automount = fields.flag("automount").unwrap_or(false);
    let server = fields.number("server");
    if automount && server.is_none() {
        fields.problem("automount", "needs a server");
    }
    let location = fields.reference("location");
    let found = location.as_deref().and_then(Location::find);
    if location.is_some() && (found.is_none() || server.is_some()) {
        fields.problem("location", "must be the id or name of a location, and given without server");
    } else if location.is_none() && server.is_none() {
        fields.problem("location", "missing data for required field");
    }
    fields.finish()?;
    require_unique_name(cloud, &name, None)?;
    let location = match server {
        Some(id) => cloud.servers.get(&id).ok_or_else(|| ApiError::not_found("server"))?.location,
        None => found.ok_or_else(|| ApiError::not_found("location"))?,
    };
    let id = cloud.new_id("volumes");
    let created_ms = cloud.now_ms;
    let volume = Volume { id, name, labels, created_ms, location, size, format, server, is_available: false };
    cloud.volumes.insert(id, volume);
    let made = Task { command: "create_volume", steps: 1, then: Then::VolumeReady(id) };
    let action = cloud.start_action(made, vec![(id, "volume")]);
    let next: Vec<Value> = server
        .map(|server| {
            let attached = Task { command: "attach_volume", steps: 2, then: Then::Nothing };
            cloud.start_action(attached, vec![(server, "server"), (id, "volume")])
        })
        .map(|action| cloud.action_json(action))
        .into_iter()
        .collect();
    let volume = cloud.volumes.get(&id).map(Volume::to_json);
    Ok(Answer::Created(json!({
        "volume": volume, "action": cloud.action_json(action), "next_actions": next,
    })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    if !cloud.volumes.contains_key(&id) {
        return Err(ApiError::not_found("volume"));
    }
    let mut fields = Fields::parse(&call.body)?;
    let (name, labels) = (fields.text("name"), fields.labels("labels"));
    if name.as_ref().is_some_and(|name| !is_volume_name(name)) {
        fields.problem("name", "must be letters, digits, dashes, underscores and dots, at most 64");
    }
    fields.finish()?;
    if let Some(name) = &name {
        require_unique_name(cloud, name, Some(id))?;
    }
    let volume = cloud.volumes.get_mut(&id).ok_or_else(|| ApiError::not_found("volume"))?;
    volume.name = name.unwrap_or_else(|| volume.name.clone());
    volume.labels = labels.unwrap_or_else(|| volume.labels.clone());
    Ok(Answer::Ok(json!({ "volume": volume.to_json() })))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    let volume = cloud.volumes.get(&id).ok_or_else(|| ApiError::not_found("volume"))?;
    if volume.server.is_some() {
        let message = "volume must be detached before it can be deleted";
        return Err(ApiError::unprocessable("volume_already_attached", message));
    }
    cloud.volumes.remove(&id);
    Ok(Answer::Empty)
}

fn is_volume_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = name.as_bytes();
    bytes.len() <= 64
        && bytes.iter().all(|b| inner(*b))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn require_unique_name(cloud: &Cloud, name: &str, except: Option<u64>) -> Result<(), ApiError> {
    let taken = cloud.volumes.values().any(|volume| volume.name == name && Some(volume.id) != except);
    ApiError::unless(taken, || ApiError::not_unique("name", "volume name is already used"))
}
