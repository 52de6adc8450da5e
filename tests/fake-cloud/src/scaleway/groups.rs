//! Security groups and their rules.

use serde_json::{Value, json};

use super::project::{Group, Kind, PROJECT, number, uuid};
use super::servers::require_project;
use super::{Error, date, matches_project, matches_tags, page, strings, zone};
use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::Cloud;
use crate::network::is_address_or_network;
use crate::route::Call;

/// As the API shows it.
pub(super) fn to_json(cloud: &Cloud, group: &Group) -> Value {
    let servers = cloud.scaleway.servers.values().filter(|it| it.group == group.id);
    let servers: Vec<Value> =
        servers.map(|it| json!({ "id": uuid(Kind::Server, it.id), "name": it.name })).collect();
    json!({
        "id": uuid(Kind::Group, group.id), "name": group.name, "description": group.description,
        "enable_default_security": true, "inbound_default_policy": group.inbound,
        "outbound_default_policy": group.outbound, "organization": PROJECT, "project": PROJECT,
        "tags": group.tags, "organization_default": false, "project_default": group.is_default,
        "creation_date": date(group.created_ms), "modification_date": date(group.created_ms),
        "servers": servers, "stateful": group.stateful, "state": "available", "zone": group.zone,
    })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let is_wanted = |it: &&Group| {
        let is_named = call.query.get("name").is_none_or(|name| it.name.contains(name));
        it.zone == zone && is_named && matches_project(call) && matches_tags(call, &it.tags)
    };
    let all = cloud.scaleway.groups.values().filter(is_wanted).map(|it| to_json(cloud, it));
    page(call, "security_groups", all.collect::<Vec<_>>())
}

fn find(cloud: &Cloud, call: &Call) -> Result<u64, Error> {
    let (zone, id) = (zone(call)?, call.segment("id"));
    let group = number(Kind::Group, id).and_then(|id| cloud.scaleway.groups.get(&id));
    let group = group.filter(|it| it.zone == zone);
    group.map(|it| it.id).ok_or_else(|| Error::not_found("instance_security_group", id))
}

fn shown(cloud: &Cloud, id: u64) -> Value {
    json!({ "security_group": cloud.scaleway.groups.get(&id).map(|it| to_json(cloud, it)) })
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    find(cloud, call).map(|id| Answer::Ok(shown(cloud, id)))
}

/// Names are not unique.
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let zone = zone(call)?;
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    if name.is_empty() {
        fields.problem("name", "must not be empty");
    }
    let description = fields.text("description").unwrap_or_default();
    let tags = strings(&mut fields, "tags").unwrap_or_default();
    let stateful = fields.flag("stateful").unwrap_or_default();
    let inbound = policy(&mut fields, "inbound_default_policy");
    let outbound = policy(&mut fields, "outbound_default_policy");
    fields.flag("enable_default_security");
    if fields.flag("project_default") == Some(true) || fields.flag("organization_default") == Some(true) {
        fields.problem("project_default", "cannot be changed here");
    }
    let (project, organization) = (fields.text("project"), fields.text("organization"));
    fields.finish()?;
    require_project(project.or(organization).as_deref(), "compute_security_groups")?;
    let id = cloud.new_id("scaleway_security_groups");
    let created_ms = cloud.now_ms;
    let (is_default, rules) = (false, Vec::new());
    let group = Group {
        id,
        zone,
        name,
        description,
        created_ms,
        tags,
        stateful,
        inbound,
        outbound,
        is_default,
        rules,
    };
    cloud.scaleway.groups.insert(id, group);
    Ok(Answer::Created(shown(cloud, id)))
}

fn policy(fields: &mut Fields, name: &str) -> String {
    let policy = fields.text(name).unwrap_or_else(|| "accept".to_owned());
    if !matches!(policy.as_str(), "accept" | "drop") {
        fields.problem(name, "must be accept or drop");
    }
    policy
}

/// Not while a server is in it.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    if cloud.scaleway.servers.values().any(|it| it.group == id) {
        let help = "group is in use. you cannot delete it.";
        return Err(Error::still_in_use("instance_security_group", call.segment("id"), help));
    }
    if cloud.scaleway.groups.get(&id).is_some_and(|it| it.is_default) {
        return Err(Error::precondition("the default group stays"));
    }
    cloud.scaleway.groups.remove(&id);
    Ok(Answer::Empty)
}

pub(super) fn rules(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let rules = cloud.scaleway.groups.get(&id).map(|it| it.rules.clone()).unwrap_or_default();
    page(call, "rules", rules)
}

/// Replaces all of them.
pub(super) fn set_rules(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let mut rules = Vec::new();
    for (at, value) in fields.list("rules").unwrap_or_default().into_iter().enumerate() {
        let mut rule = fields.nested(&format!("rules.{at}"), value);
        rules.push(parse_rule(&mut rule, at as u64 + 1));
        fields.absorb(rule);
    }
    fields.finish()?;
    for rule in &mut rules {
        finish_rule(cloud, id, rule);
    }
    if let Some(group) = cloud.scaleway.groups.get_mut(&id) {
        group.rules.clone_from(&rules);
    }
    Ok(Answer::Ok(json!({ "rules": rules })))
}

pub(super) fn add_rule(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let id = find(cloud, call)?;
    let mut fields = Fields::parse(&call.body)?;
    let count = cloud.scaleway.groups.get(&id).map_or(0, |it| it.rules.len());
    let mut rule = parse_rule(&mut fields, count as u64 + 1);
    fields.finish()?;
    finish_rule(cloud, id, &mut rule);
    if let Some(group) = cloud.scaleway.groups.get_mut(&id) {
        group.rules.push(rule.clone());
    }
    Ok(Answer::Created(json!({ "rule": rule })))
}

fn finish_rule(cloud: &mut Cloud, group: u64, rule: &mut Value) {
    rule["id"] = json!(uuid(Kind::Rule, cloud.new_id("scaleway_rules")));
    rule["zone"] = json!(cloud.scaleway.groups.get(&group).map(|it| it.zone));
}

fn parse_rule(rule: &mut Fields, at: u64) -> Value {
    let mut choice = |name: &str, allowed: &[&str]| {
        let text = rule.required_text(name);
        if !allowed.contains(&text.as_str()) {
            rule.problem(name, format!("must be one of {}", allowed.join(", ")));
        }
        text
    };
    let protocol = choice("protocol", &["TCP", "UDP", "ICMP", "ANY"]);
    let direction = choice("direction", &["inbound", "outbound"]);
    let action = choice("action", &["accept", "drop"]);
    let ip_range = rule.required_text("ip_range");
    if !is_address_or_network(&ip_range) {
        rule.problem("ip_range", "must be a network");
    }
    let mut port = |name: &str| {
        let port = rule.nullable_number(name);
        if port.is_some_and(|it| !(1..=65_535).contains(&it)) {
            rule.problem(name, "must be a port");
        }
        port
    };
    let (from, to) = (port("dest_port_from"), port("dest_port_to"));
    let position = rule.number("position").unwrap_or(at);
    rule.flag("editable");
    // One of before: it gets a new id.
    rule.text("id");
    rule.text("zone");
    json!({
        "protocol": protocol, "direction": direction, "action": action, "ip_range": ip_range,
        "dest_port_from": from, "dest_port_to": to, "position": position, "editable": true,
    })
}
