//! Images: the public ones are only read; snapshots can be renamed and deleted. There is a second way to snapshots, with ids
//! that are strings.

use serde_json::{Value, json};

use super::catalogue::{PUBLIC_IMAGES, public_image};
use super::droplets::find;
use super::team::{Image, SNAPSHOT_GB};
use super::{Error, number, page};
use crate::answer::Answer;
use crate::body::Fields;
use crate::clock::rfc3339;
use crate::cloud::Cloud;
use crate::route::Call;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let query = &call.query;
    let only_own = match query.get("private") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::bad_request("private must be true or false")),
    };
    let (with_public, with_own) = match query.get("type") {
        None => (!only_own, true),
        Some("distribution") => (true, false),
        Some("application") => (false, false),
        Some(_) => return Err(Error::bad_request("type must be distribution or application")),
    };
    let tag = query.get("tag_name").map(str::to_ascii_lowercase);
    let team = &cloud.digitalocean;
    let public = PUBLIC_IMAGES.iter().filter(|_| with_public && tag.is_none()).map(|it| public_image(*it));
    let carries = |it: &&Image| tag.as_ref().is_none_or(|tag| it.tags.contains(tag));
    let own = team.images.values().filter(|_| with_own).filter(carries).map(|it| team.image_json(it));
    let all = public.chain(own).collect();
    page(cloud, call, "images", "/images", all)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let image = cloud.digitalocean.any_image(&json!(call.reference())).ok_or_else(Error::not_found)?;
    Ok(Answer::Ok(json!({ "image": image })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = number(call)?;
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.text("name");
    // Known, and without effect here.
    fields.text("description");
    fields.text("distribution");
    fields.finish()?;
    let image = cloud.digitalocean.images.get_mut(&id).ok_or_else(Error::not_found)?;
    image.name = name.unwrap_or_else(|| image.name.clone());
    get(cloud, call)
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = number(call)?;
    let team = &mut cloud.digitalocean;
    team.images.remove(&id).ok_or_else(Error::not_found)?;
    team.droplets.values_mut().for_each(|it| it.snapshots.retain(|snapshot| *snapshot != id));
    Ok(Answer::Empty)
}

fn snapshot(image: &Image) -> Value {
    json!({
        "name": image.name, "created_at": rfc3339(image.created_ms), "regions": [image.region],
        "min_disk_size": image.min_disk, "size_gigabytes": SNAPSHOT_GB,
    })
}

pub(super) fn of_droplet(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let droplet = find(cloud, call)?;
    let path = format!("/droplets/{}/snapshots", droplet.id);
    let shown = |image: &Image| {
        let mut value = snapshot(image);
        value["id"] = json!(image.id);
        value["type"] = json!("snapshot");
        value
    };
    let all =
        droplet.snapshots.iter().filter_map(|id| cloud.digitalocean.images.get(id)).map(shown).collect();
    page(cloud, call, "snapshots", &path, all)
}

pub(super) fn snapshots(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let of_droplets = match call.query.get("resource_type") {
        None | Some("droplet") => true,
        Some("volume") => false,
        Some(_) => return Err(Error::bad_request("resource_type must be droplet or volume")),
    };
    let team = &cloud.digitalocean;
    let shown = |image: &Image| {
        let mut value = snapshot(image);
        value["id"] = json!(image.id.to_string());
        value["resource_id"] = json!(image.made_of.to_string());
        value["resource_type"] = json!("droplet");
        value["tags"] = json!(team.spelled(&image.tags));
        value
    };
    let all = team.images.values().filter(|_| of_droplets).map(shown).collect();
    page(cloud, call, "snapshots", "/snapshots", all)
}
