//! Droplets: list, create, delete. What else is done to them is in `actions`.

use serde_json::{Value, json};

use super::catalogue::{PUBLIC_MIN_DISK, REGIONS, Region, Size};
use super::team::{Droplet, Then, VPC, droplet_json, start};
use super::{Error, number, page, tags};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::config::Capacity;
use crate::route::Call;
use crate::vendor::Vendor;

/// What cloud-init may be given.
const MAX_USER_DATA_BYTES: usize = 65_536;
/// Times `action_ms` that a creation takes.
const CREATE_STEPS: u64 = 3;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let (tag, name) = (call.query.get("tag_name"), call.query.get("name"));
    let tag = tag.map(str::to_ascii_lowercase);
    let matches = |it: &&Droplet| {
        tag.as_ref().is_none_or(|tag| it.tags.contains(tag)) && name.is_none_or(|name| it.name == name)
    };
    let shown: Vec<Value> =
        cloud.digitalocean.droplets.values().filter(matches).map(|it| droplet_json(cloud, it)).collect();
    page(cloud, call, "droplets", "/droplets", shown)
}

/// The droplet in the path.
pub(super) fn find<'a>(cloud: &'a Cloud, call: &Call) -> Result<&'a Droplet, Error> {
    cloud.digitalocean.droplets.get(&number(call)?).ok_or_else(Error::not_found)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!({ "droplet": droplet_json(cloud, find(cloud, call)?) })))
}

/// What a creation asks for, as far as its syntax goes.
struct Wish {
    name: String,
    region: Option<String>,
    size: String,
    image: Value,
    keys: Vec<Value>,
    user_data: String,
    tags: Vec<String>,
    ipv6: bool,
}

/// Steps: syntax, region, size, image, keys, quota, capacity (all 422); then it exists, switched off and without addresses.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let wish = parse_wish(&call.body)?;
    let size = Size::find(&wish.size)
        .ok_or_else(|| Error::refused("You specified an invalid size for Droplet creation."))?;
    let region = choose_region(wish.region.as_deref(), size)?;
    let image = find_image(cloud, &wish.image, region, size)?;
    let key_names = find_keys(cloud, &wish.keys)?;
    if cloud.digitalocean.droplets.len() >= cloud.config.server_limit {
        return Err(Error::refused("creating this/these droplet(s) will exceed your droplet limit"));
    }
    if !size.is_sold_in(region) || cloud.config.capacity(size.slug, region.slug) != Capacity::Free {
        return Err(Error::refused("Size is not available in this region."));
    }
    let id = cloud.new_id("droplets");
    let droplet = Droplet {
        id,
        name: wish.name,
        created_ms: cloud.now_ms,
        status: "new",
        size,
        region,
        image,
        tags: cloud.digitalocean.ensure_tags(&wish.tags),
        user_data: wish.user_data,
        key_names,
        ipv4: None,
        ipv6: None,
        wants_ipv6: wish.ipv6,
        busy: None,
        snapshots: Vec::new(),
    };
    let mut body = json!({ "droplet": droplet_json(cloud, &droplet) });
    cloud.digitalocean.droplets.insert(id, droplet);
    let action = start(cloud, id, "create", CREATE_STEPS, Then::On);
    let href = format!("http://{}{}/actions/{action}", call.host, Vendor::DigitalOcean.prefix());
    body["links"] = json!({ "actions": [{ "id": action, "rel": "create", "href": href }] });
    Ok(Answer::Accepted(body))
}

/// A droplet goes whether it is switched on or off, but not while anything else is going on. Its snapshots stay.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let droplet = find(cloud, call)?;
    let id = droplet.id;
    Error::unless(droplet.busy.is_some(), Error::pending)?;
    destroy(cloud, id);
    Ok(Answer::Empty)
}

/// Everything that carries a tag: the call that nobody should ever make.
pub(super) fn delete_tagged(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let tag = call.query.get("tag_name").ok_or_else(|| Error::bad_request("tag_name is required"))?;
    let tag = tag.to_ascii_lowercase();
    let ids: Vec<u64> =
        cloud.digitalocean.droplets.values().filter(|it| it.tags.contains(&tag)).map(|it| it.id).collect();
    for id in ids {
        destroy(cloud, id);
    }
    Ok(Answer::Empty)
}

fn destroy(cloud: &mut Cloud, id: u64) {
    cloud.guests.cut_power(id);
    start(cloud, id, "destroy", 2, Then::Gone);
}

fn parse_wish(body: &[u8]) -> Result<Wish, Error> {
    let mut fields = Fields::parse(body)?;
    let name = fields.required_text("name");
    if !is_name(&name) {
        fields.problem("name", "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)");
    }
    let (region, size) = (fields.text("region"), fields.required_text("size"));
    let image = fields.take("image").unwrap_or_default();
    if !image.is_string() && !image.is_u64() {
        fields.problem("image", "must be a slug or an id");
    }
    let keys = fields.list("ssh_keys").unwrap_or_default();
    if !keys.iter().all(|it| it.is_string() || it.is_u64()) {
        fields.problem("ssh_keys", "must be ids or fingerprints");
    }
    let user_data = fields.text("user_data").unwrap_or_default();
    if user_data.len() > MAX_USER_DATA_BYTES {
        fields.problem("user_data", "is too long (maximum is 64 KiB)");
    }
    let ipv6 = fields.flag("ipv6").unwrap_or_default();
    for ignored in ["monitoring", "backups", "with_droplet_agent", "private_networking"] {
        fields.flag(ignored);
    }
    let tags = match fields.take("tags") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => tags::parse_list(&mut fields, "tags", &list),
    };
    if fields.list("volumes").is_some_and(|list| !list.is_empty()) {
        fields.problem("volumes", "not found");
    }
    if fields.text("vpc_uuid").is_some_and(|it| it != VPC) {
        fields.problem("vpc_uuid", "not found");
    }
    fields.finish()?;
    Ok(Wish { name, region, size, image, keys, user_data, tags, ipv6 })
}

/// `^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255 characters.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    (1..=255).contains(&text.len())
        && text.bytes().all(inner)
        && text.bytes().next_back().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn choose_region(wanted: Option<&str>, size: &Size) -> Result<&'static Region, Error> {
    let Some(slug) = wanted else {
        let mut regions = REGIONS.iter();
        return regions
            .find(|it| size.is_sold_in(it))
            .ok_or_else(|| Error::refused("Size is not available in this region."));
    };
    let region = Region::find(slug)
        .ok_or_else(|| Error::refused("You specified an invalid region for Droplet creation."))?;
    Error::unless(!region.available, || Error::refused("Region is not available"))?;
    Ok(region)
}

fn find_image(cloud: &Cloud, wanted: &Value, region: &Region, size: &Size) -> Result<Value, Error> {
    let image = cloud
        .digitalocean
        .any_image(wanted)
        .ok_or_else(|| Error::refused("You specified an invalid image for Droplet creation."))?;
    if !image["regions"].as_array().is_some_and(|it| it.iter().any(|slug| slug == region.slug)) {
        return Err(Error::refused("Image is not available in the selected region"));
    }
    if image["min_disk_size"].as_u64().unwrap_or(PUBLIC_MIN_DISK) > size.disk {
        return Err(Error::refused("This size is not available for this image because of its disk"));
    }
    Ok(image)
}

fn find_keys(cloud: &Cloud, wanted: &[Value]) -> Result<Vec<String>, Error> {
    let find = |reference: &Value| {
        let mut keys = cloud.digitalocean.keys.values();
        keys.find(|key| reference.as_u64() == Some(key.id) || reference.as_str() == Some(&key.fingerprint))
            .map(|key| key.name.clone())
            .ok_or_else(|| {
                Error::refused(format!("{reference} are invalid key identifiers for Droplet creation."))
            })
    };
    wanted.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        for name in ["a", "mayfly-repo-abcd", "a.b", "A9", "-a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a_b", "a-", "a.", "ä", &"a".repeat(256)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
