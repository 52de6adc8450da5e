//! Primary IPs: those that come with servers, and those made on their own.

use serde_json::json;

use crate::answer::Answer;
use crate::body::Fields;
use crate::catalogue::Location;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::query::Listing;
use crate::resources::PrimaryIp;
use crate::route::Call;

const LIST: Listing = Listing {
    key: "primary_ips",
    sort: &["id", "created"],
    filters: &[("name", &[]), ("ip", &[])],
    labels: true,
};

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let unassigned = cloud.config.unassigned_type;
    let all = cloud.primary_ips.values().map(|ip| ip.to_json(unassigned)).collect();
    LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let ip = cloud.primary_ips.get(&call.id()?).ok_or_else(|| ApiError::not_found("primary IP"))?;
    Ok(Answer::Ok(json!({ "primary_ip": ip.to_json(cloud.config.unassigned_type) })))
}

/// Made free: assigning one to an existing server is not simulated.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    let kind = match fields.required_text("type").as_str() {
        "ipv4" => "ipv4",
        "ipv6" => "ipv6",
        _ => {
            fields.problem("type", "must be ipv4 or ipv6");
            ""
        }
    };
    let labels = fields.labels("labels").unwrap_or_default();
    let auto_delete = fields.flag("auto_delete").unwrap_or(false);
    if fields.text("assignee_type").is_some_and(|kind| kind != "server") {
        fields.problem("assignee_type", "must be server");
    }
    if fields.nullable_number("assignee_id").is_some() {
        fields.problem("assignee_id", "only unassigned primary IPs can be created here");
    }
    let location = fields.reference("location").unwrap_or_default();
    let location = Location::find(&location);
    if location.is_none() {
        fields.problem("location", "must be the id or name of a location");
    }
    fields.finish()?;
    require_unique_name(cloud, &name, None)?;
    let location = location.ok_or_else(|| ApiError::not_found("location"))?;
    let id = cloud.new_id("primary_ips");
    let ip = cloud.new_address(kind);
    let created_ms = cloud.now_ms;
    let address = PrimaryIp { id, name, labels, created_ms, location, ip, kind, auto_delete, assignee: None };
    let body = json!({ "primary_ip": address.to_json(cloud.config.unassigned_type), "action": null });
    cloud.primary_ips.insert(id, address);
    Ok(Answer::Created(body))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    if !cloud.primary_ips.contains_key(&id) {
        return Err(ApiError::not_found("primary IP"));
    }
    let mut fields = Fields::parse(&call.body)?;
    let (name, labels) = (fields.text("name"), fields.labels("labels"));
    let auto_delete = fields.flag("auto_delete");
    fields.finish()?;
    if let Some(name) = &name {
        require_unique_name(cloud, name, Some(id))?;
    }
    let unassigned = cloud.config.unassigned_type;
    let ip = cloud.primary_ips.get_mut(&id).ok_or_else(|| ApiError::not_found("primary IP"))?;
    ip.name = name.unwrap_or_else(|| ip.name.clone());
    ip.labels = labels.unwrap_or_else(|| ip.labels.clone());
    ip.auto_delete = auto_delete.unwrap_or(ip.auto_delete);
    Ok(Answer::Ok(json!({ "primary_ip": ip.to_json(unassigned) })))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    let ip = cloud.primary_ips.get(&id).ok_or_else(|| ApiError::not_found("primary IP"))?;
    if ip.assignee.is_some() {
        return Err(ApiError::unprocessable("must_be_unassigned", "primary IP must be unassigned"));
    }
    cloud.primary_ips.remove(&id);
    Ok(Answer::Empty)
}

fn require_unique_name(cloud: &Cloud, name: &str, except: Option<u64>) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::invalid("name", "must not be empty"));
    }
    let taken = cloud.primary_ips.values().any(|ip| ip.name == name && Some(ip.id) != except);
    ApiError::unless(taken, || ApiError::not_unique("name", "name is already used"))
}
