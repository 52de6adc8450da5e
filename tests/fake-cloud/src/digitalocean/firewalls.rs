//! Firewalls: rules, and the droplets or tags that they apply to. One without outbound rules lets nothing out.

use serde_json::{Map, Value, json};

use super::team::Firewall;
use super::{Error, page, tags};
use crate::answer::Answer;
use crate::body::Fields;
use crate::clock::rfc3339;
use crate::cloud::Cloud;
use crate::network::{is_address_or_network, is_port_range};
use crate::route::Call;

/// As the API shows it.
pub(super) fn to_json(firewall: &Firewall) -> Value {
    json!({
        "id": firewall.id, "name": firewall.name, "status": "succeeded",
        "inbound_rules": firewall.inbound, "outbound_rules": firewall.outbound,
        "created_at": rfc3339(firewall.created_ms), "droplet_ids": firewall.droplets, "tags": firewall.tags,
        "pending_changes": [],
    })
}

pub(super) fn list(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all = cloud.digitalocean.firewalls.values().map(to_json).collect();
    page(cloud, call, "firewalls", "/firewalls", all)
}

pub(super) fn get(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let firewall = cloud.digitalocean.firewalls.get(call.reference()).ok_or_else(Error::not_found)?;
    Ok(Answer::Ok(json!({ "firewall": to_json(firewall) })))
}

/// Steps: syntax (422), tags and droplets that there are (422), name (409).
pub(super) fn create(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let mut fields = Fields::parse(&call.body)?;
    let name = fields.required_text("name");
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if name.len() < 2 || !starts || !name.bytes().all(fits) {
        fields.problem("name", "must be alphanumeric characters, dashes and periods");
    }
    let inbound = rules(&mut fields, "inbound_rules", "sources");
    let outbound = rules(&mut fields, "outbound_rules", "destinations");
    if inbound.is_empty() && outbound.is_empty() {
        fields.problem("inbound_rules", "or outbound rules are required");
    }
    let droplets: Vec<u64> =
        fields.list("droplet_ids").unwrap_or_default().iter().filter_map(Value::as_u64).collect();
    let given = fields.take("tags").filter(|it| !it.is_null()).unwrap_or_else(|| json!([]));
    let tags = tags::parse_list(&mut fields, "tags", &given);
    fields.finish()?;
    let team = &cloud.digitalocean;
    if let Some(tag) = tags.iter().find(|it| !team.tags.contains_key(&it.to_ascii_lowercase())) {
        return Err(Error::refused(format!("tag {tag} does not exist")));
    }
    if droplets.iter().any(|id| !team.droplets.contains_key(id)) {
        return Err(Error::refused("droplet not found"));
    }
    if team.firewalls.values().any(|it| it.name == name) {
        return Err(Error::conflict("duplicate name"));
    }
    let id = format!("f1de0000-0000-4000-8000-{:012x}", cloud.new_id("digitalocean_firewalls"));
    let created_ms = cloud.now_ms;
    let firewall = Firewall { id: id.clone(), name, created_ms, inbound, outbound, droplets, tags };
    let mut body = to_json(&firewall);
    body["status"] = json!("waiting");
    cloud.digitalocean.firewalls.insert(id, firewall);
    Ok(Answer::Accepted(json!({ "firewall": body })))
}

pub(super) fn delete(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let removed = cloud.digitalocean.firewalls.remove(call.reference());
    removed.map(|_| Answer::Empty).ok_or_else(Error::not_found)
}

fn rules(fields: &mut Fields, name: &str, targets: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for (at, value) in fields.list(name).unwrap_or_default().into_iter().enumerate() {
        let mut rule = fields.nested(&format!("{name}.{at}"), value);
        rules.push(parse_rule(&mut rule, targets));
        fields.absorb(rule);
    }
    rules
}

/// `0` and `all` are all ports; the answer says `0`.
fn parse_rule(rule: &mut Fields, targets: &str) -> Value {
    let (protocol, ports) = (rule.required_text("protocol"), rule.required_text("ports"));
    if !matches!(protocol.as_str(), "tcp" | "udp" | "icmp") {
        rule.problem("protocol", "must be tcp, udp or icmp");
    }
    let is_all = matches!(ports.as_str(), "0" | "all");
    if !is_all && (protocol == "icmp" || !is_port_range(&ports)) {
        rule.problem("ports", "must be a port, a range of ports, or 0 for all");
    }
    let object = rule.take(targets).unwrap_or_default();
    let mut inner = rule.nested(targets, object);
    let mut shown = Map::new();
    for key in ["addresses", "droplet_ids", "load_balancer_uids", "kubernetes_ids", "tags"] {
        let Some(list) = inner.list(key) else { continue };
        let is_network = |it: &Value| it.as_str().is_some_and(is_address_or_network);
        if key == "addresses" && !list.iter().all(is_network) {
            inner.problem(key, "must be IP addresses or networks");
        }
        shown.insert(key.to_owned(), Value::Array(list));
    }
    if shown.is_empty() {
        inner.problem("addresses", "or another of the targets is required");
    }
    rule.absorb(inner);
    let ports = if is_all { "0".to_owned() } else { ports };
    let mut value = json!({ "protocol": protocol, "ports": ports });
    value[targets] = Value::Object(shown);
    value
}
