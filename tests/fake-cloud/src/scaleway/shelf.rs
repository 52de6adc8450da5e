//! What is only read: products, their stock, and the marketplace's images.

use serde_json::{Map, Value, json};

use super::catalogue::{LocalImage, TYPES, Type};
use super::{Error, find_zone, page, zone};
use crate::answer::Answer;
use crate::cloud::Cloud;
use crate::route::Call;

/// Types with their names as keys: paged like a list.
fn by_name(call: &Call, show: impl Fn(&Type) -> Value) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let all: Vec<Value> =
        TYPES.iter().filter(|it| it.is_in(zone)).map(|it| json!([it.name, show(it)])).collect();
    let Answer::WithHeaders(headers, body) = page(call, "servers", all)? else { return Ok(Answer::Empty) };
    let pairs = body["servers"].as_array().into_iter().flatten();
    let servers: Map<String, Value> =
        pairs.filter_map(|it| Some((it[0].as_str()?.to_owned(), it[1].clone()))).collect();
    Ok(Answer::WithHeaders(headers, json!({ "servers": servers })))
}

pub(super) fn products(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    by_name(call, Type::to_json)
}

pub(super) fn availability(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    by_name(call, |it| json!({ "availability": it.stock(zone, &cloud.config) }))
}

pub(super) fn local_images(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let query = &call.query;
    let zones = query.get("zone").map(find_zone).transpose()?;
    let zone = zones.ok_or_else(|| Error::argument("zone", "is required here"))?;
    if query.get("image_label").is_none() && query.get("image_id").is_none() {
        return Err(Error::argument("image_label", "or another of the filters is required"));
    }
    let fits = |name: &str, own: &str| query.get(name).is_none_or(|it| it == own);
    let images = LocalImage::of_zone(zone).into_iter();
    let wanted = images.filter(|it| fits("image_label", it.label) && fits("type", it.kind()));
    let shown: Vec<Value> = wanted.map(|it| it.to_json(zone)).collect();
    let total = shown.len();
    Ok(Answer::Ok(json!({ "local_images": shown, "total_count": total })))
}
