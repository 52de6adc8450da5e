//! Servers: list, create (switched off), rename and tag, their user data, delete. Their power is in `action`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::catalogue::{LocalImage, Type};
use super::project::{Group, Kind, PROJECT, Server, Volume, number, remove, uuid};
use super::{Error, date, disks, images, matches_project, matches_tags, page, strings, zone};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::config::Capacity;
use crate::route::Call;

/// What can be done to a server in each state, as recorded.
pub(super) fn allowed_actions(state: &str) -> &'static [&'static str] {
    match state {
        "running" => &["poweroff", "terminate", "reboot", "stop_in_place", "backup"],
        "stopped" => &["poweron", "backup"],
        "stopped in place" => &["poweron", "poweroff", "backup"],
        "starting" | "stopping" => &["stop_in_place", "backup"],
        _ => &[],
    }
}

/// As the API shows it.
pub(super) fn to_json(cloud: &Cloud, server: &Server) -> Value {
    let project = &cloud.scaleway;
    let flexible = project.ips.values().filter(|it| it.server == Some(server.id));
    let mut ips: Vec<Value> =
        flexible.map(|it| address(&uuid(Kind::Ip, it.id), &it.address, false, &it.tags)).collect();
    ips.extend(server.dynamic_ip.iter().map(|it| address(&uuid(Kind::Ip, server.id), it, true, &[])));
    let volumes: Map<String, Value> = server
        .volumes
        .iter()
        .filter_map(|(at, id)| Some((at.clone(), disks::in_server(cloud, project.volumes.get(id)?))))
        .collect();
    let group = project.groups.get(&server.group).map_or("", |it| it.name.as_str());
    let location = json!({
        "cluster_id": "1", "hypervisor_id": "101", "node_id": "1", "platform_id": "14", "zone_id": server.zone,
    });
    json!({
        "id": uuid(Kind::Server, server.id), "name": server.name, "arch": server.kind.arch,
        "commercial_type": server.kind.name, "boot_type": "local", "organization": PROJECT,
        "project": PROJECT, "hostname": server.name, "image": server.image, "volumes": volumes,
        "tags": server.tags, "state": server.state, "protected": server.protected,
        "state_detail": if server.state == "running" { "booted" } else { "" },
        "public_ip": ips.first(), "public_ips": ips, "ipv6": null, "extra_networks": [],
        "dynamic_ip_required": server.wants_dynamic_ip, "routed_ip_enabled": true, "enable_ipv6": false,
        "private_ip": null, "creation_date": date(server.created_ms),
        "modification_date": date(server.modified_ms), "bootscript": null,
        "security_group": { "id": uuid(Kind::Group, server.group), "name": group },
        "location": (server.state == "running").then_some(location), "maintenances": [],
        "allowed_actions": allowed_actions(server.state), "placement_group": null, "private_nics": [],
        "zone": server.zone,
    })
}

fn address(id: &str, address: &str, is_dynamic: bool, tags: &[String]) -> Value {
    json!({
        "id": id, "address": address, "netmask": "32", "gateway": "62.210.0.1", "family": "inet",
        "dynamic": is_dynamic, "provisioning_mode": "dhcp", "tags": tags, "ipam_id": "", "state": "attached",
    })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Server| {
        let fits = |name: &str, own: &str| call.query.get(name).is_none_or(|it| it == own);
        it.zone == zone
            && matches_project(call)
            && matches_tags(call, &it.tags)
            && call.query.get("name").is_none_or(|name| it.name.contains(name))
            && fits("state", it.state)
            && fits("commercial_type", it.kind.name)
    };
    // The newest first.
    let servers = cloud.scaleway.servers.values().rev().filter(is_wanted);
    page(call, "servers", servers.map(|it| to_json(cloud, it)).collect::<Vec<_>>())
}

/// The server in the path.
pub(super) fn find<'a>(cloud: &'a Cloud, call: &Call) -> Result<&'a Server, Error> {
    let (zone, id) = (zone(call)?, call.segment("id"));
    let server = number(Kind::Server, id).and_then(|id| cloud.scaleway.servers.get(&id));
    server.filter(|it| it.zone == zone).ok_or_else(|| Error::not_found("instance_server", id))
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!({ "server": to_json(cloud, find(cloud, call)?) })))
}

/// A disk that a creation asks for.
struct Disk {
    size: Option<u64>,
    kind: Option<String>,
}

/// What a creation asks for, as far as its syntax goes.
struct Wish {
    name: String,
    kind: String,
    image: String,
    tags: Vec<String>,
    disks: BTreeMap<String, Disk>,
    group: Option<String>,
    public_ips: Vec<String>,
    wants_dynamic_ip: bool,
    protected: bool,
}

/// Steps: syntax (400), project (403), type (400), image (400), group and addresses (404), disks (400), quota (403), stock
/// (403); then it exists, switched off.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let wish = parse_wish(&call.body)?;
    let kind = Type::find(&wish.kind, zone, &cloud.config)
        .ok_or_else(|| Error::argument("commercial_type", "not available in this zone"))?;
    let (image, is_block) = find_image(cloud, &wish.image, zone, kind)?;
    let group = match &wish.group {
        None => default_group(cloud, zone),
        Some(text) => {
            let group = number(Kind::Group, text).filter(|id| cloud.scaleway.groups.contains_key(id));
            group.ok_or_else(|| Error::not_found("instance_security_group", text))?
        }
    };
    let mut ips = Vec::new();
    for text in &wish.public_ips {
        let ip = number(Kind::Ip, text).and_then(|id| cloud.scaleway.ips.get(&id));
        let ip = ip.ok_or_else(|| Error::not_found("instance_ip", text))?;
        ips.push(ip.id);
    }
    let disks = check_disks(wish.disks, kind, is_block)?;
    if cloud.scaleway.servers.len() >= cloud.config.server_limit {
        let kind = kind.name.replace('-', "_");
        let quota = cloud.config.server_limit;
        let details =
            json!([{ "resource": format!("cp_servers_type_{kind}"), "quota": quota, "current": quota }]);
        let message = "quota exceeded for this resource";
        return Err(Error::new(StatusCode::FORBIDDEN, "quotas_exceeded", message).with("details", details));
    }
    if cloud.config.capacity(kind.name, zone) != Capacity::Free {
        let error = Error::new(StatusCode::FORBIDDEN, "out_of_stock", "resource is out of stock");
        return Err(error.with("resource", kind.name));
    }
    let id = cloud.new_id("scaleway_servers");
    let created_ms = cloud.now_ms;
    let volumes = disks.into_iter().map(|(at, (size, is_block))| {
        let volume = cloud.new_id("scaleway_volumes");
        let name = image["name"].as_str().unwrap_or_default().to_owned();
        let made =
            Volume { id: volume, zone, name, is_block, size, created_ms, server: Some(id), tags: Vec::new() };
        cloud.scaleway.volumes.insert(volume, made);
        (at, volume)
    });
    let volumes = volumes.collect();
    let server = Server {
        id,
        zone,
        name: wish.name,
        created_ms,
        modified_ms: created_ms,
        state: "stopped",
        kind,
        image,
        tags: wish.tags,
        volumes,
        group,
        user_data: BTreeMap::new(),
        booted_with: None,
        wants_dynamic_ip: wish.wants_dynamic_ip,
        dynamic_ip: None,
        protected: wish.protected,
    };
    for ip in ips {
        if let Some(ip) = cloud.scaleway.ips.get_mut(&ip) {
            ip.server = Some(id);
        }
    }
    cloud.scaleway.servers.insert(id, server);
    let shown = cloud.scaleway.servers.get(&id).map(|it| to_json(cloud, it));
    Ok(Answer::Created(json!({ "server": shown })))
}

fn parse_wish(body: &[u8]) -> Result<Wish, Error> {
    let mut fields = Fields::parse(body)?;
    let name = fields.required_text("name");
    if name.is_empty() || name.chars().count() > 64 {
        fields.problem("name", "must have between 1 and 64 characters");
    }
    let (kind, image) = (fields.required_text("commercial_type"), fields.text("image").unwrap_or_default());
    let tags = strings(&mut fields, "tags").unwrap_or_default();
    let mut disks = BTreeMap::new();
    match fields.take("volumes") {
        None => {}
        Some(Value::Object(volumes)) => {
            for (at, value) in volumes {
                let mut disk = fields.nested(&format!("volumes.{at}"), value);
                if at.parse::<u8>().is_err() {
                    disk.problem("", "volumes are numbered from 0");
                }
                let (size, kind) = (disk.number("size"), disk.text("volume_type"));
                if kind.as_deref().is_some_and(|it| !matches!(it, "l_ssd" | "sbs_volume")) {
                    disk.problem("volume_type", "must be l_ssd or sbs_volume");
                }
                // Known, and without effect here.
                disk.text("name");
                disk.flag("boot");
                fields.absorb(disk);
                disks.insert(at, Disk { size, kind });
            }
        }
        Some(_) => fields.problem("volumes", "must be an object"),
    }
    let group = fields.text("security_group");
    let public_ips = strings(&mut fields, "public_ips").unwrap_or_default();
    let wants_dynamic_ip = fields.flag("dynamic_ip_required").unwrap_or_default();
    let protected = fields.flag("protected").unwrap_or_default();
    fields.flag("enable_ipv6");
    fields.flag("routed_ip_enabled");
    if fields.text("boot_type").is_some_and(|it| it != "local") {
        fields.problem("boot_type", "must be local");
    }
    let project = fields.text("project");
    let organization = fields.text("organization");
    fields.finish()?;
    require_project(project.or(organization).as_deref(), "compute_servers")?;
    Ok(Wish { name, kind, image, tags, disks, group, public_ips, wants_dynamic_ip, protected })
}

/// Another project is not the token's.
pub(super) fn require_project(given: Option<&str>, resource: &str) -> Result<(), Error> {
    if given.is_none_or(|it| it == PROJECT) { Ok(()) } else { Err(Error::denied(resource)) }
}

/// An image of the marketplace by id or label, or one of the project; and whether its disk is block storage.
fn find_image(cloud: &Cloud, wanted: &str, zone: &'static str, kind: &Type) -> Result<(Value, bool), Error> {
    let named = |it: &LocalImage| it.id == wanted || (it.label == wanted && it.fits(kind));
    if let Some(local) = LocalImage::of_zone(zone).into_iter().find(named) {
        if !local.fits(kind) {
            return Err(Error::argument("image", "the image does not go with this type"));
        }
        return Ok((images::marketplace_json(&local, zone), local.is_block));
    }
    let own = number(Kind::Image, wanted).and_then(|id| cloud.scaleway.images.get(&id));
    let own = own.filter(|it| it.zone == zone).ok_or_else(|| Error::not_found("instance_image", wanted))?;
    if !own.is_available {
        return Err(Error::precondition("the image is not available yet"));
    }
    let is_block = own.snapshots.first().and_then(|id| cloud.scaleway.snapshots.get(id));
    Ok((images::to_json(cloud, own), is_block.is_some_and(|it| it.is_block)))
}

/// Size and kind of each disk. The first comes from the image; local ones must fit the type.
fn check_disks(
    mut wanted: BTreeMap<String, Disk>,
    kind: &Type,
    image_is_block: bool,
) -> Result<BTreeMap<String, (u64, bool)>, Error> {
    wanted.entry("0".to_owned()).or_insert(Disk { size: None, kind: None });
    let mut disks = BTreeMap::new();
    for (at, disk) in wanted {
        let is_block = disk.kind.map_or(image_is_block, |kind| kind == "sbs_volume");
        if at == "0" && is_block != image_is_block {
            return Err(Error::argument("volumes", "the root volume is of another type than the image"));
        }
        let default = if is_block { 10_000_000_000 } else { kind.local_bytes() };
        disks.insert(at, (disk.size.unwrap_or(default), is_block));
    }
    let local: u64 = disks.values().filter(|(_, is_block)| !is_block).map(|(size, _)| size).sum();
    if local > kind.local_bytes() {
        let gb = kind.local_gb;
        return Err(Error::argument(
            "volumes",
            &format!("The total size of local-volume(s) must be equal or lower than {gb}GB"),
        ));
    }
    Ok(disks)
}

/// The group of servers that name none: made with the first of them.
fn default_group(cloud: &mut Cloud, zone: &'static str) -> u64 {
    let mut groups = cloud.scaleway.groups.values();
    if let Some(group) = groups.find(|it| it.is_default && it.zone == zone) {
        return group.id;
    }
    let id = cloud.new_id("scaleway_security_groups");
    let group = Group {
        id,
        zone,
        name: "Default security group".to_owned(),
        description: "Auto generated security group.".to_owned(),
        created_ms: cloud.now_ms,
        tags: Vec::new(),
        stateful: true,
        inbound: "accept".to_owned(),
        outbound: "accept".to_owned(),
        is_default: true,
        rules: Vec::new(),
    };
    cloud.scaleway.groups.insert(id, group);
    id
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?.id;
    let mut fields = Fields::parse(&call.body)?;
    let (name, tags) = (fields.text("name"), strings(&mut fields, "tags"));
    let (protected, wants_ip) = (fields.flag("protected"), fields.flag("dynamic_ip_required"));
    fields.finish()?;
    let now_ms = cloud.now_ms;
    if let Some(server) = cloud.scaleway.servers.get_mut(&id) {
        server.name = name.unwrap_or_else(|| server.name.clone());
        server.tags = tags.unwrap_or_else(|| server.tags.clone());
        server.protected = protected.unwrap_or(server.protected);
        server.wants_dynamic_ip = wants_ip.unwrap_or(server.wants_dynamic_ip);
        server.modified_ms = now_ms;
    }
    get(cloud, call)
}

/// Only one that is switched off; its disks and flexible addresses stay.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let server = find(cloud, call)?;
    if server.state != "stopped" {
        let help = "instance should be powered off";
        return Err(Error::still_in_use("instance_server", call.segment("id"), help));
    }
    if server.protected {
        return Err(Error::precondition("the server is protected"));
    }
    let id = server.id;
    remove(cloud, id);
    Ok(Answer::Empty)
}

pub(super) fn user_data_keys(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let keys: Vec<&String> = find(cloud, call)?.user_data.keys().collect();
    Ok(Answer::Ok(json!({ "user_data": keys })))
}

pub(super) fn user_data(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let key = call.segment("key");
    let text = find(cloud, call)?.user_data.get(key);
    let text = text.ok_or_else(|| Error::not_found("instance_user_data", key))?;
    Ok(Answer::Text(text.clone()))
}

/// Plain text, the only body that is not JSON. After the first start nobody reads it any more.
pub(super) fn set_user_data(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?.id;
    if !call.content_type.starts_with("text/plain") {
        return Err(Error::argument("content-type", "user data must be text/plain"));
    }
    let text = String::from_utf8(call.body.to_vec());
    let text = text.map_err(|_| Error::argument("user_data", "must be UTF-8 here"))?;
    if let Some(server) = cloud.scaleway.servers.get_mut(&id) {
        server.user_data.insert(call.segment("key").to_owned(), text);
    }
    Ok(Answer::Empty)
}

pub(super) fn delete_user_data(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let (id, key) = (find(cloud, call)?.id, call.segment("key"));
    let removed = cloud.scaleway.servers.get_mut(&id).and_then(|it| it.user_data.remove(key));
    removed.map(|_| Answer::Empty).ok_or_else(|| Error::not_found("instance_user_data", key))
}
