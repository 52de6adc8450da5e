//! SSH keys: found by number or fingerprint, unique by their blob.

use serde_json::json;

use super::team::Key;
use super::{Error, page};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::public_key::fingerprint;
use crate::route::Call;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all = cloud.digitalocean.keys.values().map(Key::to_json).collect();
    page(cloud, call, "ssh_keys", "/account/keys", all)
}

fn find(cloud: &Cloud, call: &Call) -> Result<u64, Error> {
    let reference = call.reference();
    let mut keys = cloud.digitalocean.keys.values();
    let key = keys.find(|key| key.id.to_string() == reference || key.fingerprint == reference);
    key.map(|key| key.id).ok_or_else(Error::not_found)
}

fn shown(cloud: &Cloud, id: u64) -> serde_json::Value {
    json!({ "ssh_key": cloud.digitalocean.keys.get(&id).map(Key::to_json) })
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    find(cloud, call).map(|id| Answer::Ok(shown(cloud, id)))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let mut fields = Fields::parse(&call.body)?;
    let (name, public_key) = (fields.required_text("name"), fields.required_text("public_key"));
    if name.trim().is_empty() {
        fields.problem("name", "can't be blank");
    }
    fields.finish()?;
    let fingerprint =
        fingerprint(&public_key).ok_or_else(|| Error::refused("Key invalid, key should be of the format"))?;
    if cloud.digitalocean.keys.values().any(|key| key.fingerprint == fingerprint) {
        return Err(Error::refused("SSH Key is already in use on your account"));
    }
    let id = cloud.new_id("digitalocean_ssh_keys");
    cloud.digitalocean.keys.insert(id, Key { id, name, fingerprint, text: public_key });
    Ok(Answer::Created(shown(cloud, id)))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    fields.finish()?;
    if let Some(key) = cloud.digitalocean.keys.get_mut(&id) {
        key.name = name;
    }
    Ok(Answer::Ok(shown(cloud, id)))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    cloud.digitalocean.keys.remove(&id);
    Ok(Answer::Empty)
}
