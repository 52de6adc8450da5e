//! Images: the system's are only read; snapshots and backups can be described, labelled and deleted.

use serde_json::json;

use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::query::Listing;
use crate::resources::Image;
use crate::route::Call;

const LIST: Listing = Listing {
    key: "images",
    sort: &["id", "name", "created"],
    filters: &[
        ("name", &[]),
        ("type", &["system", "app", "snapshot", "backup"]),
        ("status", &["available", "creating", "unavailable"]),
        ("architecture", &["x86", "arm"]),
        ("bound_to", &[]),
    ],
    labels: true,
};

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let with_deprecated = match call.query.get("include_deprecated") {
        Some("true") => true,
        None | Some("false") => false,
        Some(_) => return Err(ApiError::invalid("include_deprecated", "must be a boolean")),
    };
    let shown = cloud.images.values().filter(|image| with_deprecated || !image.deprecated);
    LIST.answer(&call.query, shown.map(Image::to_json).collect(), cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let image = cloud.images.get(&call.id()?).ok_or_else(|| ApiError::not_found("image"))?;
    Ok(Answer::Ok(json!({ "image": image.to_json() })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require_own(cloud, id)?;
    let mut fields = Fields::parse(&call.body)?;
    let (description, labels, kind) =
        (fields.text("description"), fields.labels("labels"), fields.text("type"));
    if kind.as_ref().is_some_and(|kind| kind != "snapshot") {
        fields.problem("type", "must be snapshot");
    }
    fields.finish()?;
    let image = cloud.images.get_mut(&id).ok_or_else(|| ApiError::not_found("image"))?;
    image.description = description.unwrap_or_else(|| image.description.clone());
    image.labels = labels.unwrap_or_else(|| image.labels.clone());
    if kind.is_some() {
        image.kind = "snapshot";
        image.bound_to = None;
    }
    Ok(Answer::Ok(json!({ "image": image.to_json() })))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require_own(cloud, id)?;
    if cloud.images.get(&id).is_some_and(|image| !image.is_available) {
        return Err(ApiError::locked("image"));
    }
    cloud.images.remove(&id);
    Ok(Answer::Empty)
}

fn require_own(cloud: &Cloud, id: u64) -> Result<(), ApiError> {
    let image = cloud.images.get(&id).ok_or_else(|| ApiError::not_found("image"))?;
    match image.kind {
        "system" => Err(ApiError::forbidden("system images cannot be changed")),
        _ => Ok(()),
    }
}
