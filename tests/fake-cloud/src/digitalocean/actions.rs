//! What can be done to a droplet: power, a snapshot, another name. All of it takes time, and nothing else goes on meanwhile.

use serde_json::{Value, json};

use super::droplets::find;
use super::team::{Action, Then};
use super::{Error, page, team};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// A snapshot takes longer than the rest.
const SNAPSHOT_STEPS: u64 = 3;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let droplet = find(cloud, call)?.id;
    let actions = cloud.digitalocean.actions.values().rev().filter(|it| it.droplet == droplet);
    let shown: Vec<Value> = actions.map(|it| it.to_json(&cloud.config)).collect();
    page(cloud, call, "actions", &format!("/droplets/{droplet}/actions"), shown)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let droplet = find(cloud, call)?.id;
    let id: u64 = call.segment("action").parse().map_err(|_| Error::not_found())?;
    let action = cloud.digitalocean.actions.get(&id).filter(|it| it.droplet == droplet);
    let action: &Action = action.ok_or_else(Error::not_found)?;
    Ok(Answer::Ok(json!({ "action": action.to_json(&cloud.config) })))
}

pub(super) fn start(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let droplet = find(cloud, call)?;
    let (id, status, is_busy) = (droplet.id, droplet.status, droplet.busy.is_some());
    let mut fields = Fields::parse(&call.body)?;
    let kind = fields.required_text("type");
    let is_on = status == "active";
    let (kind, steps, then, needs_power) = match kind.as_str() {
        "power_on" => ("power_on", 1, Then::On, false),
        "power_off" => ("power_off", 1, Then::Off, false),
        "shutdown" => ("shutdown", 2, Then::ShutDown, true),
        "reboot" => ("reboot", 1, Then::Restarted, true),
        "power_cycle" => ("power_cycle", 1, Then::Restarted, false),
        "snapshot" => ("snapshot", SNAPSHOT_STEPS, Then::Snapshot(name(&mut fields)), false),
        "rename" => ("rename", 1, Then::Renamed(name(&mut fields)), false),
        _ => return Err(Error::refused("The action is not available on this droplet.")),
    };
    fields.finish()?;
    Error::unless(is_busy, Error::pending)?;
    Error::unless(needs_power && !is_on, || Error::refused("Droplet is currently powered off."))?;
    if kind == "power_on" && is_on {
        return Err(Error::refused("Droplet is already powered on."));
    }
    if kind == "power_off" && !is_on {
        return Err(Error::refused("Droplet is already powered off."));
    }
    let action = team::start(cloud, id, kind, steps, then);
    let action = cloud.digitalocean.actions.get(&action).ok_or_else(Error::not_found)?;
    Ok(Answer::Created(json!({ "action": action.to_json(&cloud.config) })))
}

fn name(fields: &mut Fields) -> String {
    let name = fields.required_text("name");
    if name.trim().is_empty() {
        fields.problem("name", "can't be blank");
    }
    name
}
