//! Tags: objects of the account that droplets and images share. A name keeps the spelling that it was first given in, and is
//! found in any.

use serde_json::{Value, json};

use super::{Error, page};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::route::Call;

const MAX_CHARS: usize = 255;

/// 1 to 255 letters, digits, `:`, `-` and `_`: neither `=` nor `.`.
pub(super) fn is_tag(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_');
    (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(fits)
}

/// Tags out of a field, checked.
pub(super) fn parse_list(fields: &mut Fields, name: &str, list: &Value) -> Vec<String> {
    let Some(list) = list.as_array() else {
        fields.problem(name, "must be an array");
        return Vec::new();
    };
    let tags: Vec<String> =
        list.iter().filter_map(Value::as_str).filter(|it| is_tag(it)).map(str::to_owned).collect();
    if tags.len() < list.len() {
        fields.problem(name, "may only contain letters, numbers, colons, dashes, and underscores");
    }
    tags
}

fn to_json(cloud: &Cloud, key: &str, name: &str) -> Value {
    let team = &cloud.digitalocean;
    let droplets = team.droplets.values().filter(|it| it.tags.contains(key)).count();
    let images = team.images.values().filter(|it| it.tags.contains(key)).count();
    json!({ "name": name, "resources": {
        "count": droplets + images, "droplets": { "count": droplets }, "images": { "count": images },
        "volumes": { "count": 0 }, "volume_snapshots": { "count": 0 }, "databases": { "count": 0 },
    } })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all = cloud.digitalocean.tags.iter().map(|(key, name)| to_json(cloud, key, name)).collect();
    page(cloud, call, "tags", "/tags", all)
}

fn find(cloud: &Cloud, call: &Call) -> Result<String, Error> {
    let key = call.reference().to_ascii_lowercase();
    if cloud.digitalocean.tags.contains_key(&key) { Ok(key) } else { Err(Error::not_found()) }
}

fn shown(cloud: &Cloud, key: &str) -> Value {
    json!({ "tag": cloud.digitalocean.tags.get(key).map(|name| to_json(cloud, key, name)) })
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    find(cloud, call).map(|key| Answer::Ok(shown(cloud, &key)))
}

/// One that is there already stays as it is.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    fields.finish()?;
    if !is_tag(&name) {
        let rule = "may only contain letters, numbers, colons, dashes, and underscores";
        return Err(Error::refused(format!("Name {rule}")));
    }
    cloud.digitalocean.ensure_tags(std::slice::from_ref(&name));
    Ok(Answer::Created(shown(cloud, &name.to_ascii_lowercase())))
}

/// What carried it stays.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let key = find(cloud, call)?;
    let team = &mut cloud.digitalocean;
    team.tags.remove(&key);
    team.droplets.values_mut().for_each(|it| {
        it.tags.remove(&key);
    });
    team.images.values_mut().for_each(|it| {
        it.tags.remove(&key);
    });
    for firewall in team.firewalls.values_mut() {
        firewall.tags.retain(|it| !it.eq_ignore_ascii_case(&key));
    }
    Ok(Answer::Empty)
}

pub(super) fn attach(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    change(cloud, call, true)
}

pub(super) fn detach(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    change(cloud, call, false)
}

fn change(cloud: &mut Cloud, call: &Call, puts: bool) -> Result<Answer, Error> {
    let key = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let list = fields.list("resources").unwrap_or_default();
    if list.is_empty() {
        fields.problem("resources", "can't be blank");
    }
    let mut targets = Vec::new();
    for (at, value) in list.into_iter().enumerate() {
        let mut entry = fields.nested(&format!("resources.{at}"), value);
        targets.push((entry.required_text("resource_type"), entry.required_text("resource_id")));
        fields.absorb(entry);
    }
    fields.finish()?;
    let team = &mut cloud.digitalocean;
    let exists = |(kind, id): &(String, String)| match (kind.as_str(), id.parse::<u64>()) {
        ("droplet", Ok(id)) => team.droplets.contains_key(&id),
        ("image", Ok(id)) => team.images.contains_key(&id),
        _ => false,
    };
    Error::unless(!targets.iter().all(exists), Error::not_found)?;
    for (kind, id) in targets {
        let id = id.parse().unwrap_or_default();
        let tags = match kind.as_str() {
            "droplet" => team.droplets.get_mut(&id).map(|it| &mut it.tags),
            _ => team.images.get_mut(&id).map(|it| &mut it.tags),
        };
        let Some(tags) = tags else { continue };
        if puts {
            tags.insert(key.clone());
        } else {
            tags.remove(&key);
        }
    }
    Ok(Answer::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_their_own_alphabet() {
        for tag in ["a", "env:prod", "a-b_c:1", &"x".repeat(255)] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", "a=b", "a.b", "a b", "a/b", "ä", &"x".repeat(256)] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
