//! Firewalls: rules, and what they are applied to (servers, or label selectors).

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::body::Fields;
use crate::cloud::{Cloud, Task};
use crate::error::ApiError;
use crate::labels::Selector;
use crate::network::{is_network, is_port_range};
use crate::query::Listing;
use crate::resources::{Firewall, Target, Then};
use crate::route::Call;

const LIST: Listing =
    Listing { key: "firewalls", sort: &["id", "name", "created"], filters: &[("name", &[])], labels: true };
const MAX_RULES: usize = 50;
const MAX_NETWORKS: usize = 100;
/// Firewalls that one server may have.
pub(super) const MAX_PER_SERVER: usize = 5;

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = cloud.firewalls.values().map(|firewall| cloud.firewall_json(firewall)).collect();
    LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    Ok(Answer::Ok(json!({ "firewall": shown(cloud, id) })))
}

pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    check_name(&mut fields, &name);
    let labels = fields.labels("labels").unwrap_or_default();
    let rules = parse_rules(&mut fields);
    let targets = parse_targets(&mut fields, "apply_to");
    fields.finish()?;
    require_unique_name(cloud, &name, None)?;
    let missing = |message: &str| ApiError::unprocessable("firewall_resource_not_found", message);
    require_applicable(cloud, None, &targets, missing)?;
    let id = cloud.new_id("firewalls");
    let created_ms = cloud.now_ms;
    cloud.firewalls.insert(id, Firewall { id, name, labels, created_ms, rules, selectors: Vec::new() });
    let mut actions = vec![start(cloud, id, "set_firewall_rules")];
    actions.extend(apply_all(cloud, id, targets));
    Ok(Answer::Created(json!({ "firewall": shown(cloud, id), "actions": actions })))
}

pub(super) fn update(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, labels) = (fields.text("name"), fields.labels("labels"));
    if let Some(name) = &name {
        check_name(&mut fields, name);
    }
    fields.finish()?;
    if let Some(name) = &name {
        require_unique_name(cloud, name, Some(id))?;
    }
    if let Some(firewall) = cloud.firewalls.get_mut(&id) {
        firewall.name = name.unwrap_or_else(|| firewall.name.clone());
        firewall.labels = labels.unwrap_or_else(|| firewall.labels.clone());
    }
    Ok(Answer::Ok(json!({ "firewall": shown(cloud, id) })))
}

/// Refused while it is applied to anything, a server that is being deleted included.
pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    let used = cloud.servers.values().any(|server| server.firewalls.contains(&id));
    if used || cloud.firewalls.get(&id).is_some_and(|firewall| !firewall.selectors.is_empty()) {
        let message = format!("firewall with ID '{id}' is still in use");
        return Err(ApiError::unprocessable("resource_in_use", message));
    }
    cloud.firewalls.remove(&id);
    Ok(Answer::Empty)
}

pub(super) fn set_rules(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    let mut fields = Fields::parse(&call.body)?;
    let given = fields.take("rules");
    if given.is_none() {
        fields.problem("rules", "missing data for required field");
    }
    let rules = parse_rule_list(&mut fields, given);
    fields.finish()?;
    if let Some(firewall) = cloud.firewalls.get_mut(&id) {
        firewall.rules = rules;
    }
    let actions = [start(cloud, id, "set_firewall_rules")];
    Ok(Answer::Created(json!({ "actions": actions })))
}

pub(super) fn apply(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    let mut fields = Fields::parse(&call.body)?;
    let targets = parse_targets(&mut fields, "apply_to");
    if targets.is_empty() {
        fields.problem("apply_to", "must name at least one resource");
    }
    fields.finish()?;
    let missing = |_: &str| ApiError::not_found("firewall resource");
    require_applicable(cloud, Some(id), &targets, missing)?;
    let actions = apply_all(cloud, id, targets);
    Ok(Answer::Created(json!({ "actions": actions })))
}

pub(super) fn remove(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let id = call.id()?;
    require(cloud, id)?;
    let mut fields = Fields::parse(&call.body)?;
    let targets = parse_targets(&mut fields, "remove_from");
    if targets.is_empty() {
        fields.problem("remove_from", "must name at least one resource");
    }
    fields.finish()?;
    for target in &targets {
        let removed = match target {
            Target::Server(server) => cloud.servers.get_mut(server).is_some_and(|server| {
                let before = server.firewalls.len();
                server.firewalls.retain(|firewall| *firewall != id);
                server.firewalls.len() < before
            }),
            Target::Selector(selector) => cloud.firewalls.get_mut(&id).is_some_and(|firewall| {
                let before = firewall.selectors.len();
                firewall.selectors.retain(|own| own != selector);
                firewall.selectors.len() < before
            }),
        };
        if !removed {
            let message = "firewall is not applied to this resource";
            return Err(ApiError::unprocessable("firewall_already_removed", message));
        }
    }
    let actions: Vec<Value> = targets.iter().map(|_| start(cloud, id, "remove_firewall")).collect();
    Ok(Answer::Created(json!({ "actions": actions })))
}

fn require(cloud: &Cloud, id: u64) -> Result<(), ApiError> {
    if cloud.firewalls.contains_key(&id) { Ok(()) } else { Err(ApiError::not_found("firewall")) }
}

fn shown(cloud: &Cloud, id: u64) -> Option<Value> {
    cloud.firewalls.get(&id).map(|firewall| cloud.firewall_json(firewall))
}

fn start(cloud: &mut Cloud, id: u64, command: &'static str) -> Value {
    let action = cloud.start_action(Task { command, steps: 1, then: Then::Nothing }, vec![(id, "firewall")]);
    cloud.action_json(action)
}

fn apply_all(cloud: &mut Cloud, id: u64, targets: Vec<Target>) -> Vec<Value> {
    let mut actions = Vec::new();
    for target in targets {
        match target {
            Target::Server(server) => {
                if let Some(server) = cloud.servers.get_mut(&server) {
                    server.firewalls.push(id);
                }
            }
            Target::Selector(selector) => {
                if let Some(firewall) = cloud.firewalls.get_mut(&id) {
                    firewall.selectors.push(selector);
                }
            }
        }
        actions.push(start(cloud, id, "apply_firewall"));
    }
    actions
}

fn require_applicable(
    cloud: &Cloud,
    firewall: Option<u64>,
    targets: &[Target],
    missing: impl Fn(&str) -> ApiError,
) -> Result<(), ApiError> {
    for target in targets {
        let applied = match target {
            Target::Server(id) => {
                let Some(server) = cloud.servers.get(id) else {
                    let message = format!("server with ID '{id}' was not found");
                    return Err(missing(&message));
                };
                if server.ipv4.is_none() && server.ipv6.is_none() {
                    let message = "server has no public network interface";
                    return Err(ApiError::unprocessable("private_net_only_server", message));
                }
                if cloud.firewalls_of(server).len() >= MAX_PER_SERVER {
                    return Err(ApiError::limit_exceeded("firewall"));
                }
                firewall.is_some_and(|firewall| server.firewalls.contains(&firewall))
            }
            Target::Selector(selector) => firewall
                .and_then(|id| cloud.firewalls.get(&id))
                .is_some_and(|firewall| firewall.selectors.contains(selector)),
        };
        if applied {
            let message = "firewall is already applied to this resource";
            return Err(ApiError::unprocessable("firewall_already_applied", message));
        }
        if targets.iter().filter(|other| *other == target).count() > 1 {
            let message = "resource was named more than once";
            return Err(ApiError::unprocessable("server_already_added", message));
        }
    }
    Ok(())
}

fn check_name(fields: &mut Fields, name: &str) {
    if !(1..=128).contains(&name.chars().count()) {
        fields.problem("name", "must have between 1 and 128 characters");
    }
}

fn require_unique_name(cloud: &Cloud, name: &str, except: Option<u64>) -> Result<(), ApiError> {
    let taken = cloud.firewalls.values().any(|firewall| firewall.name == name && Some(firewall.id) != except);
    ApiError::unless(taken, || ApiError::not_unique("name", "name is already used"))
}

fn parse_targets(fields: &mut Fields, name: &str) -> Vec<Target> {
    let mut targets = Vec::new();
    for (at, value) in fields.list(name).unwrap_or_default().into_iter().enumerate() {
        let mut entry = fields.nested(&format!("{name}.{at}"), value);
        match entry.required_text("type").as_str() {
            "server" => {
                let object = entry.take("server").unwrap_or_default();
                let mut server = entry.nested("server", object);
                match server.number("id") {
                    Some(id) => targets.push(Target::Server(id)),
                    None => server.problem("id", "missing data for required field"),
                }
                entry.absorb(server);
            }
            "label_selector" => {
                let object = entry.take("label_selector").unwrap_or_default();
                let mut inner = entry.nested("label_selector", object);
                let selector = inner.required_text("selector");
                match Selector::parse(&selector) {
                    Ok(_) if !selector.trim().is_empty() => targets.push(Target::Selector(selector)),
                    Ok(_) => inner.problem("selector", "must not be empty"),
                    Err(why) => inner.problem("selector", why),
                }
                entry.absorb(inner);
            }
            _ => entry.problem("type", "must be server or label_selector"),
        }
        fields.absorb(entry);
    }
    targets
}

fn parse_rules(fields: &mut Fields) -> Vec<Value> {
    let given = fields.take("rules");
    parse_rule_list(fields, given)
}

fn parse_rule_list(fields: &mut Fields, given: Option<Value>) -> Vec<Value> {
    let list = match given {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            fields.problem("rules", "must be an array");
            Vec::new()
        }
    };
    if list.len() > MAX_RULES {
        fields.problem("rules", format!("must have at most {MAX_RULES} entries"));
    }
    let mut rules = Vec::new();
    for (at, value) in list.into_iter().enumerate() {
        let mut rule = fields.nested(&format!("rules.{at}"), value);
        rules.push(parse_rule(&mut rule));
        fields.absorb(rule);
    }
    rules
}

fn parse_rule(rule: &mut Fields) -> Value {
    let direction = rule.required_text("direction");
    let protocol = rule.required_text("protocol");
    let port = rule.text("port");
    let description = match rule.take("description") {
        Some(Value::String(text)) if text.chars().count() <= 255 => Some(text),
        None | Some(Value::Null) => None,
        Some(_) => {
            rule.problem("description", "must be a string of at most 255 characters");
            None
        }
    };
    match (protocol.as_str(), &port) {
        ("tcp" | "udp", Some(port)) if is_port_range(port) => {}
        ("tcp" | "udp", _) => rule.problem("port", "must be a port or a range of ports, as a string"),
        ("icmp" | "esp" | "gre", None) => {}
        ("icmp" | "esp" | "gre", Some(_)) => rule.problem("port", "is not allowed with this protocol"),
        _ => rule.problem("protocol", "must be tcp, udp, icmp, esp or gre"),
    }
    let (source, destination) = (parse_networks(rule, "source_ips"), parse_networks(rule, "destination_ips"));
    match direction.as_str() {
        "in" if source.is_empty() => rule.problem("source_ips", "missing data for required field"),
        "in" if !destination.is_empty() => {
            rule.problem("destination_ips", "is not allowed with direction in");
        }
        "out" if destination.is_empty() => {
            rule.problem("destination_ips", "missing data for required field");
        }
        "out" if !source.is_empty() => rule.problem("source_ips", "is not allowed with direction out"),
        "in" | "out" => {}
        _ => rule.problem("direction", "must be in or out"),
    }
    json!({
        "direction": direction, "protocol": protocol, "port": port, "description": description,
        "source_ips": source, "destination_ips": destination,
    })
}

fn parse_networks(rule: &mut Fields, name: &str) -> Vec<String> {
    let list = rule.list(name).unwrap_or_default();
    if list.len() > MAX_NETWORKS {
        rule.problem(name, format!("must have at most {MAX_NETWORKS} entries"));
    }
    let mut networks = Vec::new();
    for value in list {
        match value.as_str().filter(|text| is_network(text)) {
            Some(text) => networks.push(text.to_owned()),
            None => rule.problem(name, "must be networks in CIDR notation without host bits"),
        }
    }
    networks
}
