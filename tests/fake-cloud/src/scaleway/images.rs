//! Images of the project. Deleting one leaves its snapshots behind.

use serde_json::{Map, Value, json};

use super::catalogue::LocalImage;
use super::project::{Image, Kind, PROJECT, number, uuid};
use super::{Error, date, matches_project, matches_tags, page, strings, zone};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

/// The organization that the marketplace's images are of.
const MARKETPLACE: &str = "51b656e3-4865-41e8-adbc-0c45bdd780db";
/// 2026-10-01, when the marketplace's images were made.
const MARKETPLACE_MS: u64 = 1_790_812_800_000;

/// An image of the marketplace as it stands in a server.
pub(super) fn marketplace_json(image: &LocalImage, zone: &str) -> Value {
    let kind = if image.is_block { "sbs_snapshot" } else { "unified" };
    json!({
        "id": image.id, "name": image.name, "organization": MARKETPLACE, "project": MARKETPLACE,
        "root_volume": {
            "id": "9bd9a0b1-1111-4222-8333-444455556666", "name": image.name, "volume_type": kind,
            "size": 10_000_000_000_u64,
        },
        "extra_volumes": {}, "public": true, "arch": image.arch, "creation_date": date(MARKETPLACE_MS),
        "modification_date": date(MARKETPLACE_MS), "default_bootscript": null, "from_server": null,
        "state": "available", "tags": [], "zone": zone,
    })
}

/// As the API shows it.
pub(super) fn to_json(cloud: &Cloud, image: &Image) -> Value {
    let mut volumes = image.snapshots.iter().map(|id| {
        let snapshot = cloud.scaleway.snapshots.get(id);
        let is_block = snapshot.is_some_and(|it| it.is_block);
        json!({
            "id": uuid(Kind::Snapshot, *id), "name": snapshot.map_or("", |it| it.name.as_str()),
            "volume_type": if is_block { "sbs_snapshot" } else { "l_ssd" },
            "size": snapshot.map_or(0, |it| it.size),
        })
    });
    let root = volumes.next();
    let extra: Map<String, Value> = volumes.enumerate().map(|(at, it)| ((at + 1).to_string(), it)).collect();
    json!({
        "id": uuid(Kind::Image, image.id), "name": image.name, "organization": PROJECT, "project": PROJECT,
        "root_volume": root, "extra_volumes": extra, "public": false, "arch": image.arch,
        "creation_date": date(image.created_ms), "modification_date": date(image.created_ms),
        "default_bootscript": null, "from_server": uuid(Kind::Server, image.made_of),
        "state": if image.is_available { "available" } else { "creating" }, "tags": image.tags,
        "zone": image.zone,
    })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Image| it.zone == zone && matches_project(call) && matches_tags(call, &it.tags);
    let all = cloud.scaleway.images.values().filter(is_wanted).map(|it| to_json(cloud, it));
    page(call, "images", all.collect::<Vec<_>>())
}

fn find(cloud: &Cloud, call: &Call) -> Result<u64, Error> {
    let (zone, id) = (zone(call)?, call.segment("id"));
    let image = number(Kind::Image, id).and_then(|id| cloud.scaleway.images.get(&id));
    let image = image.filter(|it| it.zone == zone);
    image.map(|it| it.id).ok_or_else(|| Error::not_found("instance_image", id))
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_asked = |it: &LocalImage| it.id == call.segment("id");
    if let Some(local) = LocalImage::of_zone(zone).into_iter().find(is_asked) {
        return Ok(Answer::Ok(json!({ "image": marketplace_json(&local, zone) })));
    }
    let id = find(cloud, call)?;
    let image = cloud.scaleway.images.get(&id).map(|it| to_json(cloud, it));
    Ok(Answer::Ok(json!({ "image": image })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, tags) = (fields.text("name"), strings(&mut fields, "tags"));
    fields.finish()?;
    if let Some(image) = cloud.scaleway.images.get_mut(&id) {
        image.name = name.unwrap_or_else(|| image.name.clone());
        image.tags = tags.unwrap_or_else(|| image.tags.clone());
    }
    get(cloud, call)
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    cloud.scaleway.images.remove(&id);
    Ok(Answer::Empty)
}
