//! Servers: list, create, rename and label, delete.
//!
//! Their actions are in `server_actions`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::firewalls::MAX_PER_SERVER;
use crate::answer::Answer;
use crate::body::{Fields, reference_of};
use crate::catalogue::{LOCATIONS, Location, ServerType};
use crate::cloud::{Cloud, Task};
use crate::config::Capacity;
use crate::error::ApiError;
use crate::labels::{Labels, is_hostname};
use crate::query::Listing;
use crate::resources::{Image, Server, Then};
use crate::route::Call;

/// What cloud-init may be given.
pub(super) const MAX_USER_DATA_BYTES: usize = 32_768;
const NAME_RULE: &str = "must be a valid hostname as per RFC 1123";

const LIST: Listing = Listing {
    key: "servers",
    sort: &["id", "name", "created"],
    filters: &[
        ("name", &[]),
        (
            "status",
            &[
                "running",
                "initializing",
                "starting",
                "stopping",
                "off",
                "deleting",
                "migrating",
                "rebuilding",
                "unknown",
            ],
        ),
    ],
    labels: true,
};

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = cloud.servers.values().map(|server| cloud.server_json(server, true)).collect();
    LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let server = cloud.servers.get(&call.id()?).ok_or_else(|| ApiError::not_found("server"))?;
    Ok(Answer::Ok(json!({ "server": cloud.server_json(server, true) })))
}

/// What a creation asks for, as far as its syntax goes.
struct Wish {
    name: String,
    server_type: String,
    image: String,
    location: Option<String>,
    starts: bool,
    ssh_keys: Vec<String>,
    volumes: Vec<u64>,
    firewalls: Vec<u64>,
    user_data: String,
    labels: Labels,
    ipv4: Address,
    ipv6: Address,
}

/// What is asked for as an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    None,
    New,
    Own(u64),
}

/// Steps: syntax (422), name (409), references (422), quota (403), type and location (422), image (422),
/// addresses (412, 422), capacity (412); then it exists.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let wish = parse_wish(&call.body)?;
    require_unique_name(cloud, &wish.name, None)?;
    let ssh_keys = find_ssh_keys(cloud, &wish.ssh_keys)?;
    if let Some(id) = wish.firewalls.iter().find(|id| !cloud.firewalls.contains_key(id)) {
        return Err(ApiError::invalid("firewalls", format!("firewall {id} not found")));
    }
    if cloud.servers.len() >= cloud.config.server_limit {
        return Err(ApiError::limit_exceeded("server"));
    }
    let kind = ServerType::find(&wish.server_type)
        .ok_or_else(|| ApiError::invalid("server_type", "invalid server type name"))?;
    if kind.deprecated {
        return Err(ApiError::refused(format!("server type {} is deprecated", kind.id)));
    }
    let location = choose_location(cloud, kind, wish.location.as_deref())?;
    let image = find_image(cloud, &wish.image, kind)?;
    require_addresses(cloud, &wish, location)?;
    require_volumes(cloud, &wish.volumes, location)?;
    if matches!(cloud.config.capacity(kind.name, location.name), Capacity::Taken | Capacity::Hidden) {
        return Err(ApiError::unavailable("error during placement"));
    }

    let id = cloud.new_id("servers");
    let root_password = if ssh_keys.is_empty() { Some(random_password()?) } else { None };
    let mut server = Server {
        id,
        name: wish.name,
        created_ms: cloud.now_ms,
        status: "initializing",
        kind,
        location,
        image,
        labels: wish.labels,
        user_data: wish.user_data,
        ssh_keys,
        ipv4: None,
        ipv6: None,
        firewalls: wish.firewalls,
        protected: false,
        busy: None,
    };
    server.ipv4 = assign(cloud, &server, wish.ipv4, "ipv4");
    server.ipv6 = assign(cloud, &server, wish.ipv6, "ipv6");
    cloud.servers.insert(id, server);
    for volume in &wish.volumes {
        if let Some(volume) = cloud.volumes.get_mut(volume) {
            volume.server = Some(id);
        }
    }
    let action =
        cloud.start_on_server(id, Task { command: "create_server", steps: 1, then: Then::Created(id) });
    let next = wish
        .starts
        .then(|| cloud.start_on_server(id, Task { command: "start_server", steps: 2, then: Then::On(id) }));
    let next: Vec<Value> = next.map(|id| cloud.action_json(id)).into_iter().collect();
    let server =
        cloud.servers.get(&id).map(|server| cloud.server_json(server, cloud.config.ip_ids_at_creation));
    Ok(Answer::Created(json!({
        "server": server, "action": cloud.action_json(action), "next_actions": next,
        "root_password": root_password,
    })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    let server = cloud.servers.get(&id).ok_or_else(|| ApiError::not_found("server"))?;
    if server.status == "deleting" {
        return Err(ApiError::locked("server"));
    }
    let mut fields = Fields::parse(&call.body)?;
    let (name, labels) = (fields.text("name"), fields.labels("labels"));
    if name.as_ref().is_some_and(|name| !is_hostname(name)) {
        fields.problem("name", NAME_RULE);
    }
    fields.finish()?;
    if let Some(name) = &name {
        require_unique_name(cloud, name, Some(id))?;
    }
    if let Some(server) = cloud.servers.get_mut(&id) {
        server.name = name.unwrap_or_else(|| server.name.clone());
        server.labels = labels.unwrap_or_else(|| server.labels.clone());
    }
    get(cloud, call)
}

/// The server is listed as `deleting` until the action ends; its guest is gone at once.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    cloud.require_unlocked(id)?;
    if cloud.servers.get(&id).is_some_and(|server| server.protected) {
        return Err(ApiError::protected("server"));
    }
    cloud.set_status(id, "deleting");
    cloud.guests.cut_power(id);
    let action = cloud.start_on_server(id, Task { command: "delete_server", steps: 2, then: Then::Gone(id) });
    Ok(Answer::Ok(json!({ "action": cloud.action_json(action) })))
}

fn parse_wish(body: &[u8]) -> Result<Wish, ApiError> {
    let mut fields = Fields::parse(body)?;
    let name = fields.required_text("name");
    if !is_hostname(&name) {
        fields.problem("name", NAME_RULE);
    }
    let server_type = fields.required_reference("server_type");
    let image = fields.required_reference("image");
    let location = fields.reference("location");
    let starts = fields.flag("start_after_create").unwrap_or(true);
    if fields.take("datacenter").is_some() {
        fields.problem("datacenter", "is no longer accepted, use location");
    }
    for unsimulated in ["networks", "placement_group"] {
        let given = fields.take(unsimulated);
        if given.is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            fields.problem(unsimulated, "not found");
        }
    }
    let ssh_keys = list_of(&mut fields, "ssh_keys", "must be ids or names", reference_of);
    let volumes = list_of(&mut fields, "volumes", "must be ids", Value::as_u64);
    let firewalls = list_of(&mut fields, "firewalls", "must be objects with the id as 'firewall'", |entry| {
        entry.as_object().filter(|object| object.len() == 1)?.get("firewall")?.as_u64()
    });
    if firewalls.len() > MAX_PER_SERVER {
        fields.problem("firewalls", format!("must be at most {MAX_PER_SERVER}"));
    }
    let user_data = fields.text("user_data").unwrap_or_default();
    if user_data.len() > MAX_USER_DATA_BYTES {
        fields.problem("user_data", format!("must be at most {MAX_USER_DATA_BYTES} bytes"));
    }
    let labels = fields.labels("labels").unwrap_or_default();
    if fields.flag("automount") == Some(true) && volumes.is_empty() {
        fields.problem("automount", "needs volumes");
    }
    let object = fields.take("public_net").unwrap_or_else(|| json!({}));
    let mut public_net = fields.nested("public_net", object);
    let ipv4 = address_wish(&mut public_net, "enable_ipv4", "ipv4");
    let ipv6 = address_wish(&mut public_net, "enable_ipv6", "ipv6");
    if ipv4 == Address::None && ipv6 == Address::None {
        public_net.problem("enable_ipv4", "a server without public addresses needs a network");
    }
    fields.absorb(public_net);
    fields.finish()?;
    Ok(Wish {
        name,
        server_type,
        image,
        location,
        starts,
        ssh_keys,
        volumes,
        firewalls,
        user_data,
        labels,
        ipv4,
        ipv6,
    })
}

fn list_of<T>(fields: &mut Fields, name: &str, rule: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let list = fields.list(name).unwrap_or_default();
    let read: Vec<T> = list.iter().filter_map(&read).collect();
    if read.len() < list.len() {
        fields.problem(name, rule);
    }
    read
}

fn address_wish(fields: &mut Fields, enable: &str, name: &str) -> Address {
    match (fields.flag(enable).unwrap_or(true), fields.nullable_number(name)) {
        (true, None) => Address::New,
        (true, Some(id)) => Address::Own(id),
        (false, None) => Address::None,
        (false, Some(_)) => {
            fields.problem(name, format!("cannot be used without {enable}"));
            Address::None
        }
    }
}

fn require_unique_name(cloud: &Cloud, name: &str, except: Option<u64>) -> Result<(), ApiError> {
    let taken = cloud.servers.values().any(|server| server.name == name && Some(server.id) != except);
    ApiError::unless(taken, || ApiError::not_unique("name", "server name is already used"))
}

fn find_ssh_keys(cloud: &Cloud, references: &[String]) -> Result<Vec<String>, ApiError> {
    let find = |reference: &String| {
        let mut keys = cloud.ssh_keys.values();
        keys.find(|key| key.name == *reference || key.id.to_string() == *reference)
            .map(|key| key.name.clone())
    };
    let found: Option<Vec<String>> = references.iter().map(find).collect();
    found.ok_or_else(|| ApiError::invalid("ssh_keys", "SSH key not found"))
}

fn choose_location(
    cloud: &Cloud,
    kind: &ServerType,
    wanted: Option<&str>,
) -> Result<&'static Location, ApiError> {
    let unsupported = || ApiError::refused("unsupported location for server type");
    let Some(wanted) = wanted else {
        let free = |location: &&Location| {
            kind.is_supported_in(location)
                && cloud.config.capacity(kind.name, location.name) == Capacity::Free
        };
        return LOCATIONS.iter().find(free).ok_or_else(|| ApiError::unavailable("error during placement"));
    };
    let location =
        Location::find(wanted).ok_or_else(|| ApiError::invalid("location", "location not found"))?;
    let refused = cloud.config.capacity(kind.name, location.name) == Capacity::Unsupported;
    if refused || !kind.is_supported_in(location) { Err(unsupported()) } else { Ok(location) }
}

/// A name means the image of the type's architecture.
pub(super) fn find_image(cloud: &Cloud, reference: &str, kind: &ServerType) -> Result<Image, ApiError> {
    let by_id = reference.parse().ok().and_then(|id: u64| cloud.images.get(&id));
    let mut images = cloud.images.values();
    let found = by_id.or_else(|| {
        images.find(|image| image.name == Some(reference) && image.architecture == kind.architecture)
    });
    let image = found.ok_or_else(|| ApiError::invalid("image", "image not found"))?;
    if image.architecture != kind.architecture {
        return Err(ApiError::refused("image and server type have different architectures"));
    }
    if image.deprecated {
        return Err(ApiError::refused(format!("image {} is deprecated", image.id)));
    }
    if !image.is_available {
        return Err(ApiError::refused("image is not available yet"));
    }
    if image.disk_gb > kind.disk {
        return Err(ApiError::refused("image disk is bigger than server type disk"));
    }
    Ok(image.clone())
}

fn require_addresses(cloud: &Cloud, wish: &Wish, location: &Location) -> Result<(), ApiError> {
    for (address, kind) in [(wish.ipv4, "ipv4"), (wish.ipv6, "ipv6")] {
        let Address::Own(id) = address else { continue };
        let ip = cloud.primary_ips.get(&id).ok_or_else(|| ApiError::not_found("primary IP"))?;
        if ip.kind != kind {
            let message = "the specified Primary IP has the wrong IP Version";
            return Err(ApiError::precondition("primary_ip_version_mismatch", message));
        }
        if ip.assignee.is_some() {
            let message = "the specified Primary IP is already assigned to a server";
            return Err(ApiError::unprocessable("primary_ip_assigned", message));
        }
        if ip.location.id != location.id {
            let message = "the specified Primary IP is in a different location";
            return Err(ApiError::unprocessable("primary_ip_datacenter_mismatch", message));
        }
    }
    Ok(())
}

fn require_volumes(cloud: &Cloud, volumes: &[u64], location: &Location) -> Result<(), ApiError> {
    for id in volumes {
        let volume = cloud.volumes.get(id).ok_or_else(|| ApiError::invalid("volumes", "volume not found"))?;
        if volume.server.is_some() {
            return Err(ApiError::invalid("volumes", format!("volume {id} is already attached")));
        }
        if volume.location.id != location.id {
            return Err(ApiError::invalid("volumes", format!("volume {id} is in a different location")));
        }
    }
    Ok(())
}

fn assign(cloud: &mut Cloud, server: &Server, wish: Address, kind: &'static str) -> Option<u64> {
    match wish {
        Address::None => None,
        Address::New => Some(cloud.new_primary_ip(kind, server)),
        Address::Own(id) => {
            cloud.primary_ips.get_mut(&id)?.assignee = Some(server.id);
            Some(id)
        }
    }
}

/// What the real one mails to the project's owner when no SSH key was given.
pub(super) fn random_password() -> Result<String, ApiError> {
    let mut bytes = [0_u8; 15];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::unavailable("no randomness"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
