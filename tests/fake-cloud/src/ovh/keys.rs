//! SSH keys: unique by their name, whose hexadecimal digits are their id.

use super::catalogue::{REGIONS, Region};
use super::project::Key;
use super::{Error, check, nothing, shelf};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::public_key::fingerprint;
use crate::route::Call;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &["region"])?;
    let regions = shelf::regions_of(call)?;
    let is_there = |it: &&Key| regions.iter().any(|region| it.regions.contains(&region.name));
    Ok(Answer::Ok(cloud.ovh.keys.values().filter(is_there).map(Key::to_json).collect()))
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let key = cloud.ovh.keys.get(call.segment("id")).ok_or_else(|| Error::not_found("SSH key"))?;
    Ok(Answer::Ok(key.to_detail()))
}

/// Names hold letters, digits, spaces, `-` and `_` (OpenStack Compute API, "Create or import keypair").
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, text) = (fields.required_text("name"), fields.required_text("publicKey"));
    let region = fields.take("region").filter(|it| !it.is_null());
    let region = region.map(|it| it.as_str().and_then(Region::find).map(|it| it.name));
    if region == Some(None) {
        fields.problem("region", "does not exist");
    }
    let fits = |it: char| it.is_ascii_alphanumeric() || [' ', '-', '_'].contains(&it);
    if !(1..=255).contains(&name.len()) || !name.chars().all(fits) {
        fields.problem("name", "Keypair data is invalid: Keypair name contains unsafe characters");
    }
    fields.finish()?;
    let fingerprint = fingerprint(&text).ok_or_else(|| Error::bad("Keypair data is invalid"))?;
    let id = name.bytes().fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
    if cloud.ovh.keys.contains_key(&id) {
        return Err(Error::conflict(format!("Key pair '{name}' already exists.")));
    }
    let regions = match region.flatten() {
        Some(region) => vec![region],
        None => REGIONS.iter().map(|it| it.name).collect(),
    };
    cloud.new_id("ovh_ssh_keys");
    let key = Key { id: id.clone(), name, text, fingerprint, regions };
    let shown = key.to_detail();
    cloud.ovh.keys.insert(id, key);
    Ok(Answer::Ok(shown))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    cloud.ovh.keys.remove(call.segment("id")).ok_or_else(|| Error::not_found("SSH key"))?;
    Ok(nothing())
}
