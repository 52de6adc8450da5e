//! Flexible addresses: they cost, and stay when their server goes.

use serde_json::{Value, json};

use super::project::{Ip, Kind, PROJECT, number, uuid};
use super::servers::require_project;
use super::{Error, matches_project, matches_tags, page, strings, zone};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// As the API shows it.
pub(super) fn to_json(cloud: &Cloud, ip: &Ip) -> Value {
    let server = ip.server.and_then(|id| cloud.scaleway.servers.get(&id));
    let server = server.map(|it| json!({ "id": uuid(Kind::Server, it.id), "name": it.name }));
    json!({
        "id": uuid(Kind::Ip, ip.id), "address": ip.address, "prefix": null, "reverse": null,
        "state": if server.is_some() { "attached" } else { "detached" }, "server": server,
        "organization": PROJECT, "project": PROJECT, "zone": ip.zone, "type": "routed_ipv4", "tags": ip.tags,
        "ipam_id": "",
    })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Ip| it.zone == zone && matches_project(call) && matches_tags(call, &it.tags);
    let all = cloud.scaleway.ips.values().filter(is_wanted).map(|it| to_json(cloud, it));
    page(call, "ips", all.collect::<Vec<_>>())
}

/// By id or address.
fn find(cloud: &Cloud, call: &Call) -> Result<u64, Error> {
    let (zone, text) = (zone(call)?, call.segment("id"));
    let mut ips = cloud.scaleway.ips.values().filter(|it| it.zone == zone);
    let ip = ips.find(|it| number(Kind::Ip, text) == Some(it.id) || it.address == text);
    ip.map(|it| it.id).ok_or_else(|| Error::not_found("instance_ip", text))
}

fn shown(cloud: &Cloud, id: u64) -> Value {
    json!({ "ip": cloud.scaleway.ips.get(&id).map(|it| to_json(cloud, it)) })
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    find(cloud, call).map(|id| Answer::Ok(shown(cloud, id)))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let mut fields = Fields::parse(&call.body)?;
    let tags = strings(&mut fields, "tags").unwrap_or_default();
    let (server, project) = (fields.text("server"), fields.text("project"));
    if fields.text("type").is_some_and(|it| it != "routed_ipv4") {
        fields.problem("type", "must be routed_ipv4 here");
    }
    fields.finish()?;
    require_project(project.as_deref(), "compute_ips")?;
    let server = match server {
        None => None,
        Some(text) => {
            let id = number(Kind::Server, &text).filter(|id| cloud.scaleway.servers.contains_key(id));
            Some(id.ok_or_else(|| Error::not_found("instance_server", &text))?)
        }
    };
    let (id, address) = (cloud.new_id("scaleway_ips"), cloud.new_address("ipv4"));
    cloud.scaleway.ips.insert(id, Ip { id, zone, address, server, tags });
    Ok(Answer::Created(shown(cloud, id)))
}

/// Also while a server has it.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    cloud.scaleway.ips.remove(&id);
    Ok(Answer::Empty)
}
