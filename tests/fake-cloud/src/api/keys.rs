//! SSH keys: unique by name and by blob, with the MD5 fingerprint that the API shows.

use serde_json::json;

use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::public_key::fingerprint;
use crate::query::Listing;
use crate::resources::SshKey;
use crate::route::Call;

const LIST: Listing = Listing {
    key: "ssh_keys",
    sort: &["id", "name"],
    filters: &[("name", &[]), ("fingerprint", &[])],
    labels: true,
};

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = cloud.ssh_keys.values().map(SshKey::to_json).collect();
    LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let key = cloud.ssh_keys.get(&call.id()?).ok_or_else(|| ApiError::not_found("SSH key"))?;
    Ok(Answer::Ok(json!({ "ssh_key": key.to_json() })))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    let public_key = fields.required_text("public_key");
    let labels = fields.labels("labels").unwrap_or_default();
    let fingerprint = fingerprint(&public_key);
    if fingerprint.is_none() && !public_key.is_empty() {
        fields.problem("public_key", "is not a valid SSH public key");
    }
    if name.trim().is_empty() {
        fields.problem("name", "must not be empty");
    }
    fields.finish()?;
    let fingerprint = fingerprint.ok_or_else(|| ApiError::invalid("public_key", "must not be empty"))?;
    if cloud.ssh_keys.values().any(|key| key.fingerprint == fingerprint) {
        return Err(ApiError::not_unique("public_key", "SSH key not unique"));
    }
    require_unique_name(cloud, &name, None)?;
    let id = cloud.new_id("ssh_keys");
    let created_ms = cloud.now_ms;
    let key = SshKey { id, name, fingerprint, public_key, labels, created_ms };
    let body = json!({ "ssh_key": key.to_json() });
    cloud.ssh_keys.insert(id, key);
    Ok(Answer::Created(body))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    if !cloud.ssh_keys.contains_key(&id) {
        return Err(ApiError::not_found("SSH key"));
    }
    let mut fields = Fields::parse(&call.body)?;
    let (name, labels) = (fields.text("name"), fields.labels("labels"));
    if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        fields.problem("name", "must not be empty");
    }
    fields.finish()?;
    if let Some(name) = &name {
        require_unique_name(cloud, name, Some(id))?;
    }
    let key = cloud.ssh_keys.get_mut(&id).ok_or_else(|| ApiError::not_found("SSH key"))?;
    key.name = name.unwrap_or_else(|| key.name.clone());
    key.labels = labels.unwrap_or_else(|| key.labels.clone());
    Ok(Answer::Ok(json!({ "ssh_key": key.to_json() })))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let removed = cloud.ssh_keys.remove(&call.id()?);
    removed.map(|_| Answer::Empty).ok_or_else(|| ApiError::not_found("SSH key"))
}

fn require_unique_name(cloud: &Cloud, name: &str, except: Option<u64>) -> Result<(), ApiError> {
    let taken = cloud.ssh_keys.values().any(|key| key.name == name && Some(key.id) != except);
    ApiError::unless(taken, || ApiError::not_unique("name", "name is already used"))
}
