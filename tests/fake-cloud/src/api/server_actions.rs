//! What can be done to a server: power, rebuild, snapshot, protection.
//!
//! All of them answer with an action that runs for a while and locks the server meanwhile.

use serde_json::json;

use super::servers::{MAX_USER_DATA_BYTES, find_image, random_password};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::{Cloud, Task};
use crate::error::ApiError;
use crate::resources::{Image, Then};
use crate::route::Call;

/// A snapshot takes longer than the rest, as the real one does.
const IMAGE_STEPS: u64 = 3;

/// The server in the path: there, and not locked.
fn unlocked(cloud: &Cloud, call: &Call) -> Result<u64, ApiError> {
    let id = call.id()?;
    cloud.require_unlocked(id)?;
    Ok(id)
}

/// These take no body; an empty object is let through.
fn power(cloud: &mut Cloud, call: &Call, status: &'static str, task: Task) -> Result<Answer, ApiError> {
    let id = unlocked(cloud, call)?;
    Fields::parse_optional(&call.body)?.finish()?;
    cloud.set_status(id, status);
    let action = cloud.start_on_server(id, task);
    Ok(Answer::Created(json!({ "action": cloud.action_json(action) })))
}

fn status(cloud: &Cloud, call: &Call) -> Result<&'static str, ApiError> {
    let server = cloud.servers.get(&call.id()?).ok_or_else(|| ApiError::not_found("server"))?;
    Ok(server.status)
}

pub(super) fn poweron(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let task = Task { command: "start_server", steps: 1, then: Then::On(call.id()?) };
    if status(cloud, call)? == "running" {
        // Already on: the action succeeds and changes nothing.
        return power(cloud, call, "running", Task { then: Then::Nothing, ..task });
    }
    power(cloud, call, "starting", task)
}

pub(super) fn poweroff(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let task = Task { command: "stop_server", steps: 1, then: Then::Off(call.id()?) };
    match status(cloud, call)? {
        "off" => power(cloud, call, "off", Task { then: Then::Nothing, ..task }),
        _ => power(cloud, call, "stopping", task),
    }
}

/// The action ends when the signal is sent. Whether the server goes off is up to its system.
pub(super) fn shutdown(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let task = Task { command: "shutdown_server", steps: 1, then: Then::Signalled(call.id()?) };
    require_running(cloud, call)?;
    power(cloud, call, "running", task)
}

pub(super) fn reboot(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let task = Task { command: "reboot_server", steps: 1, then: Then::Restarted(call.id()?) };
    require_running(cloud, call)?;
    power(cloud, call, "running", task)
}

pub(super) fn reset(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let task = Task { command: "reset_server", steps: 1, then: Then::Restarted(call.id()?) };
    require_running(cloud, call)?;
    power(cloud, call, "running", task)
}

fn require_running(cloud: &Cloud, call: &Call) -> Result<(), ApiError> {
    unlocked(cloud, call)?;
    match status(cloud, call)? {
        "running" => Ok(()),
        _ => Err(ApiError::unprocessable("server_not_running", "server is not running")),
    }
}

pub(super) fn rebuild(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = unlocked(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let image = fields.required_reference("image");
    let user_data = fields.text("user_data");
    if user_data.as_ref().is_some_and(|text| text.len() > MAX_USER_DATA_BYTES) {
        fields.problem("user_data", format!("must be at most {MAX_USER_DATA_BYTES} bytes"));
    }
    fields.finish()?;
    let server = cloud.servers.get(&id).ok_or_else(|| ApiError::not_found("server"))?;
    if server.protected {
        return Err(ApiError::protected("server"));
    }
    let image = find_image(cloud, &image, server.kind)?;
    let root_password = if server.ssh_keys.is_empty() { Some(random_password()?) } else { None };
    if let Some(server) = cloud.servers.get_mut(&id) {
        server.image = image;
        server.user_data = user_data.unwrap_or_else(|| server.user_data.clone());
        server.status = "rebuilding";
    }
    // A new disk: what the guest had stored on the old one is lost.
    cloud.guests.wipe(id);
    let task = Task { command: "rebuild_server", steps: 2, then: Then::Restarted(id) };
    let action = cloud.start_on_server(id, task);
    Ok(Answer::Created(json!({ "root_password": root_password, "action": cloud.action_json(action) })))
}

pub(super) fn create_image(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let server_id = unlocked(cloud, call)?;
    let mut fields = Fields::parse_optional(&call.body)?;
    let description = fields.text("description");
    let kind = match fields.text("type").as_deref() {
        None | Some("snapshot") => "snapshot",
        Some("backup") => "backup",
        Some(_) => {
            fields.problem("type", "must be snapshot or backup");
            ""
        }
    };
    let labels = fields.labels("labels").unwrap_or_default();
    fields.finish()?;
    let id = cloud.new_id("images");
    let server = cloud.servers.get(&server_id).ok_or_else(|| ApiError::not_found("server"))?;
    let image = Image {
        id,
        kind,
        name: None,
        description: description.unwrap_or_else(|| format!("{kind} of {}", server.name)),
        size_gb: None,
        disk_gb: server.kind.disk,
        created_ms: cloud.now_ms,
        created_from: Some((server_id, server.name.clone())),
        bound_to: (kind == "backup").then_some(server_id),
        os: server.image.os,
        architecture: server.image.architecture,
        deprecated: false,
        labels,
        is_available: false,
    };
    let body = image.to_json();
    cloud.images.insert(id, image);
    let task = Task { command: "create_image", steps: IMAGE_STEPS, then: Then::ImageReady(id) };
    let action = cloud.start_on_server(server_id, task);
    Ok(Answer::Created(json!({ "image": body, "action": cloud.action_json(action) })))
}

pub(super) fn change_protection(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = unlocked(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let (delete, rebuild) = (fields.flag("delete"), fields.flag("rebuild"));
    if delete != rebuild {
        fields.problem("rebuild", "must have the same value as delete");
    }
    fields.finish()?;
    if let (Some(server), Some(delete)) = (cloud.servers.get_mut(&id), delete) {
        server.protected = delete;
    }
    let task = Task { command: "change_protection", steps: 1, then: Then::Nothing };
    let action = cloud.start_on_server(id, task);
    Ok(Answer::Created(json!({ "action": cloud.action_json(action) })))
}
