//! DigitalOcean before the suite: its fixtures, its calls in their order.

use std::collections::BTreeMap;

use mayfly::labels::tags::{self, Group};
use mayfly::labels::{LabelSet, PHASE, PRICE};
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power};
use serde_json::{Value, json};

use super::hetzner::lost;
use super::suite::PLACES;
use super::support::block_on;
use super::support::creation::FINGERPRINT;
use super::support::fixtures::value_of;
use super::support::host::TestHost;
use super::support::script::{self, Exchange, Script};
use super::support::world::{DIGITALOCEAN_API_URL, DIGITALOCEAN_TOKEN, Settings, VM};
use super::vendor::{Going, Known, Refusal, Vendor, of_vm};

pub(crate) struct DigitalOcean;

const NATIVES: [&str; 2] = ["3164444", "3164445"];
const IMAGE: &str = "67512819";
const FIREWALL: &str = "bb4b2611-3d72-467b-8602-280330ecd65c";

fn get(path: &str) -> Exchange {
    script::get(format!("{DIGITALOCEAN_API_URL}{path}"))
}

fn post(path: &str) -> Exchange {
    script::post(format!("{DIGITALOCEAN_API_URL}{path}"))
}

fn delete(path: &str) -> Exchange {
    script::delete(format!("{DIGITALOCEAN_API_URL}{path}"))
}

fn gives(call: Exchange, status: u16, fixture: &str) -> Exchange {
    call.fixture_of("digitalocean", status, fixture)
}

fn value(name: &str) -> Value {
    value_of("digitalocean", name)
}

fn tags_of(labels: &LabelSet) -> Vec<String> {
    if labels.is_empty() { vec!["web".into(), "env:prod".into()] } else { tags::all(labels) }
}

fn droplet(it: &Known) -> Value {
    let mut droplet = value("get_droplet.ready")["droplet"].take();
    droplet["id"] = NATIVES[it.index].parse::<u64>().expect("a number").into();
    droplet["status"] = if it.state == VmState::Stopped { "off" } else { "active" }.into();
    droplet["tags"] = tags_of(&it.labels).into();
    droplet
}

fn page(kind: &str, items: &[Value], next: Option<usize>) -> Value {
    let url = |number: usize| format!("https://api.digitalocean.com/v2/{kind}?page={number}&per_page=200");
    let links = next.map_or(json!({}), |it| json!({"pages": {"next": url(it), "last": url(9)}}));
    json!({kind: items, "links": links, "meta": {"total": items.len()}})
}

fn list_page(number: usize) -> Exchange {
    get(&format!("/droplets?tag_name=mayfly-deployment:mayfly&page={number}&per_page=200"))
}

fn listed(call: Exchange, servers: &[Known], next: Option<usize>) -> Exchange {
    let droplets: Vec<Value> = servers.iter().map(droplet).collect();
    call.gives(200, &page("droplets", &droplets, next))
}

fn find_key() -> Exchange {
    get(&format!("/account/keys/{FINGERPRINT}"))
}

fn find_firewall() -> Exchange {
    get("/firewalls?page=1&per_page=200")
}

fn there() -> Script {
    Script::new().then(gives(find_key(), 200, "ssh_key.registered")).then(gives(
        find_firewall(),
        200,
        "list_firewalls.ours",
    ))
}

fn place(index: usize, image: Value) -> Exchange {
    let (server_type, location) = PLACES[index];
    post("/droplets").checked(move |it| {
        assert_eq!((it["size"].as_str(), it["region"].as_str()), (Some(server_type), Some(location)));
        assert_eq!(it["image"], image);
        assert_eq!(it["user_data"], format!("#cloud-config\n# {location}\n"));
        assert_eq!(it["ssh_keys"], json!([512_190]));
        assert_eq!(it["ipv6"], false);
        let sent: Vec<&str> = it["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let want: BTreeMap<String, String> = of_vm(VM).into_iter().collect();
        assert_eq!(tags::read(sent), want);
    })
}

fn made(call: Exchange) -> Exchange {
    call.computes(202, |request| {
        let mut answer = value("create_droplet.accepted");
        answer["droplet"]["tags"] = request["tags"].clone();
        answer
    })
}

fn debian() -> Value {
    "debian-13-x64".into()
}

impl Vendor for DigitalOcean {
    const FIXTURES: &'static str = "digitalocean";

    fn settings(&self) -> Settings {
        Settings::usual()
            .without("HETZNER_TOKEN")
            .with("DIGITALOCEAN_TOKEN", DIGITALOCEAN_TOKEN)
            .with("DIGITALOCEAN_API_URL", DIGITALOCEAN_API_URL)
    }

    fn natives(&self) -> [&'static str; 2] {
        NATIVES
    }

    fn list(&self, pages: &[&[Known]]) -> Script {
        // The first page says how much there is, as if all were as long; then the others are asked for at the same moment.
        let total = pages[0].len() * pages.len();
        let mut calls = pages.iter().enumerate().map(|(at, servers)| {
            let droplets: Vec<Value> = servers.iter().map(droplet).collect();
            let mut answer = page("droplets", &droplets, (at + 1 < pages.len()).then_some(at + 2));
            answer["meta"]["total"] = total.into();
            list_page(at + 1).gives(200, &answer)
        });
        Script::new().in_order(calls.next()).side_by_side(calls)
    }

    fn get(&self) -> Exchange {
        get("/droplets/3164444")
    }

    fn one(&self, it: &Known) -> String {
        json!({"droplet": droplet(it)}).to_string()
    }

    fn gone(&self, call: Exchange) -> Exchange {
        gives(call, 404, "error.not_found")
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal =
            |status, fixture, kind, retry_after| Refusal { status, fixture, header: None, kind, retry_after };
        vec![
            refusal(401, "error.unauthorized", ErrorKind::Unauthorized, None),
            refusal(403, "error.forbidden", ErrorKind::TokenReadonly, None),
            refusal(422, "error.size_unavailable", ErrorKind::Capacity, None),
            refusal(422, "error.droplet_limit", ErrorKind::Quota, None),
            refusal(429, "error.too_many_requests", ErrorKind::RateLimited, Some(60)),
            Refusal {
                header: Some(("retry-after", "37")),
                ..refusal(429, "error.too_many_requests", ErrorKind::RateLimited, Some(37))
            },
            refusal(422, "error.pending_event", ErrorKind::Locked, Some(5)),
            refusal(422, "error.key_in_use", ErrorKind::AlreadyExists, None),
            refusal(422, "error.invalid", ErrorKind::Invalid, None),
            refusal(500, "error.server_error", ErrorKind::Unavailable, None),
        ]
    }

    fn creation(&self, going: Going) -> Script {
        match going {
            Going::Smoothly => there().then(made(place(0, debian()))),
            Going::FromSnapshot => there().then(made(place(0, json!(67_512_819)))),
            Going::SecondPlace => there()
                .then(gives(place(0, debian()), 422, "error.size_unavailable"))
                .then(made(place(1, debian()))),
            Going::Quota => Script::new()
                .then(self.gone(find_key()))
                .then(gives(post("/account/keys"), 201, "ssh_key.registered"))
                .then(gives(find_firewall(), 200, "list_firewalls.empty"))
                .then(post("/tags").json(json!({"name": "mayfly-deployment:mayfly"})).fixture_of(
                    "digitalocean",
                    201,
                    "create_tag.created",
                ))
                .then(gives(post("/firewalls").checked(is_the_firewall), 202, "create_firewall.accepted"))
                .then(gives(place(0, debian()), 422, "error.droplet_limit"))
                .then(delete("/account/keys/512190").answers(204, ""))
                .then(delete(&format!("/firewalls/{FIREWALL}")).answers(204, "")),
            Going::Lost(answer) => there()
                .then(lost(place(0, debian()), answer))
                .then(gives(list_page(1), 200, "list_droplets.empty"))
                .then(listed(list_page(1), &[Known::foreign(1), Known::ours(0)], None))
                .then(self.get().answers(200, self.one(&Known::ours(0)))),
        }
    }

    fn creation_until_user_data(&self, _offer: &Offer) -> Script {
        there().then(gives(post("/droplets"), 422, "error.droplet_limit"))
    }

    fn probe(&self) -> Exchange {
        post("/tags").json(json!({}))
    }

    fn deletion(&self, state: Option<VmState>) -> Script {
        let call = delete("/droplets/3164444");
        Script::new().then(match state {
            // Switched off or not: DigitalOcean deletes either.
            Some(_) => call.answers(204, ""),
            None => self.gone(call),
        })
    }

    fn power(&self, power: Power, gone: bool) -> Script {
        let action = match power {
            Power::Start => "power_on",
            Power::Stop => "shutdown",
            Power::Cut => "power_off",
        };
        let call = post("/droplets/3164444/actions").json(json!({"type": action}));
        Script::new().then(if gone { self.gone(call) } else { gives(call, 201, "action.accepted") })
    }

    fn relabelling(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let known = Known::ours(0);
        let mut droplet = droplet(&known);
        let before = tags_of(&known.labels);
        droplet["tags"].as_array_mut().expect("tags").push("somebody:else".into());
        let mut labels: BTreeMap<String, String> = known.labels.into_iter().collect();
        labels.insert(PHASE.into(), "ready".into());
        labels.remove(PRICE);
        let mut script = Script::new().then(self.get().gives(200, &json!({"droplet": droplet})));
        // The price is in the one group, the phase in the other.
        for group in Group::ALL {
            for tag in tags::own(&labels, group, 1) {
                let resources =
                    json!({"resources": [{"resource_id": "3164444", "resource_type": "droplet"}]});
                script = script
                    .then(gives(post("/tags").json(json!({"name": tag})), 201, "create_tag.created"))
                    .then(post(&format!("/tags/{tag}/resources")).json(resources).answers(204, ""));
            }
            let old = before.iter().filter(|it| tags::is_of(it, group));
            script = script.in_order(old.map(|it| delete(&format!("/tags/{it}")).answers(204, "")));
        }
        script
    }

    fn snapshot(&self, gone: bool) -> Script {
        let call = post("/droplets/3164444/actions");
        if gone {
            return Script::new().then(self.gone(call));
        }
        let want = json!({"type": "snapshot", "name": snapshot_name("mayfly")});
        Script::new().then(gives(call.json(want), 201, "action.accepted"))
    }

    fn snapshots(&self) -> Script {
        let call = |number: usize| get(&format!("/images?private=true&page={number}&per_page=200"));
        let image = |id: u64, name: String| {
            let mut image = value("list_images.snapshots")["images"][0].take();
            image["id"] = id.into();
            image["name"] = name.into();
            image
        };
        let foreign = [image(1, "before the upgrade".into()), image(2, snapshot_name("another"))];
        let ours = [image(67_512_819, snapshot_name("mayfly"))];
        let tagging = json!({"resources": [{"resource_id": IMAGE, "resource_type": "image"}]});
        Script::new()
            .then(call(1).gives(200, &page("images", &foreign, Some(2))))
            .then(call(2).gives(200, &page("images", &ours, None)))
            .then(post("/tags/mayfly-deployment:mayfly/resources").json(tagging).answers(204, ""))
    }

    fn snapshot_deletions(&self) -> Script {
        let call = || delete("/images/67512819");
        Script::new().then(call().answers(204, "")).then(self.gone(call()))
    }

    fn snapshot_native(&self) -> &'static str {
        IMAGE
    }

    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str)) {
        (Script::new(), (2.3, 60_000, "USD"))
    }

    fn leftovers(&self) -> (Script, Vec<&'static str>) {
        let tag = |name: &str, count: u64| json!({"name": name, "resources": {"count": count}});
        let mut list = value("list_tags.mixed");
        for tag in [
            tag(&format!("{}gone:n0:aaaaaaaa:01:x", tags::own_prefix("mayfly")), 0),
            tag(&format!("{}alive:n0:aaaaaaaa:01:x", tags::own_prefix("mayfly")), 1),
            tag(&format!("{}gone:n0:aaaaaaaa:01:x", tags::own_prefix("another")), 0),
        ] {
            list["tags"].as_array_mut().expect("tags").push(tag);
        }
        let script = Script::new()
            .then(get("/tags?page=1&per_page=200").gives(200, &list))
            .then(gives(get("/account/keys?page=1&per_page=200"), 200, "list_ssh_keys.mixed"))
            .then(gives(find_firewall(), 200, "list_firewalls.ours"));
        (script, vec!["tag", "ssh_key", "firewall"])
    }

    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>) {
        (Script::new(), vec![(0, "USD"); self.leftovers().1.len()])
    }

    fn catalogue(&self) -> Vec<Exchange> {
        vec![
            gives(get("/regions?page=1&per_page=200"), 200, "list_regions.all"),
            gives(get("/sizes?page=1&per_page=200"), 200, "list_sizes.catalogue"),
        ]
    }

    fn made_by_key(&self, _owner: &str, _idem: &str, it: &Known) -> Exchange {
        // A listing asks for the deployment alone: the others' are sorted out.
        listed(list_page(1), &[Known::ours(1), it.clone()], None)
    }
}

fn snapshot_name(deployment: &str) -> String {
    format!("before the upgrade {}owner:1default:2", tags::own_prefix(deployment))
}

fn is_the_firewall(it: &Value) {
    let everywhere = json!(["0.0.0.0/0", "::/0"]);
    let inbound =
        |port: &str| json!({"protocol": "tcp", "ports": port, "sources": {"addresses": everywhere}});
    let outbound = |protocol: &str| json!({"protocol": protocol, "ports": "0", "destinations": {"addresses": everywhere}});
    let want = json!({
        "name": "mayfly-mayfly",
        "inbound_rules": [inbound("443"), inbound("80"), inbound("22")],
        "outbound_rules": [outbound("tcp"), outbound("udp"), outbound("icmp")],
        "tags": ["mayfly-deployment:mayfly"],
    });
    assert_eq!(*it, want);
}

#[test]
fn sizes_that_cannot_be_ordered_are_not_offered() {
    let vendor = DigitalOcean;
    let host = TestHost::new(Script::new().side_by_side(vendor.catalogue()));
    let catalogue = block_on(vendor.provider().catalogue(&host, 0)).expect("a catalogue");
    let has = |size: &str, region: &str| {
        catalogue.offers.iter().any(|it| it.server_type == size && it.location == region)
    };
    for (size, region, why) in [
        ("s-2vcpu-4gb", "ams2", "the region is not available"),
        ("c-4", "fra1", "the size is not available"),
        ("gpu-h100x1-80gb", "nyc3", "it is a GPU's"),
        ("s-4vcpu-8gb", "fra1", "the region does not have it"),
    ] {
        assert!(!has(size, region), "{why}");
    }
    let medium = catalogue.rank(mayfly::model::Size::Medium, None);
    assert_eq!((medium[0].server_type.as_str(), medium[0].location.as_str()), ("s-2vcpu-4gb", "fra1"));
    let price = medium[0].price.expect("a price");
    assert_eq!((price.micros_per_hour, price.currency.as_str()), (35_710, "USD"));
    let places: Vec<(&str, &str, &str)> = catalogue
        .locations
        .iter()
        .map(|it| (it.name.as_str(), it.city.as_str(), it.country.as_str()))
        .collect();
    assert_eq!(places, [("fra1", "Frankfurt", "DE"), ("nyc3", "New York", "US")]);
}

#[test]
fn a_key_that_another_call_registered_meanwhile_is_used_and_stays() {
    let script = Script::new()
        .then(DigitalOcean.gone(find_key()))
        .then(gives(post("/account/keys"), 422, "error.key_in_use"))
        .then(gives(find_key(), 200, "ssh_key.registered"))
        .then(gives(find_firewall(), 200, "list_firewalls.ours"))
        .then(gives(place(0, debian()), 422, "error.droplet_limit"));
    let (error, _) = super::suite::create_by(&DigitalOcean, script).expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Quota);
}

#[test]
fn a_tag_that_vanished_while_it_was_written_is_no_droplet_that_is_gone() {
    let known = Known::ours(0);
    let mut labels: BTreeMap<String, String> = known.labels.iter().cloned().collect();
    labels.insert(PHASE.into(), "ready".into());
    let tag = tags::own(&labels, Group::Now, 1).remove(0);
    let script = |still_there: bool| {
        let again = if still_there {
            DigitalOcean.get().answers(200, DigitalOcean.one(&known))
        } else {
            DigitalOcean.gone(DigitalOcean.get())
        };
        Script::new()
            .then(DigitalOcean.get().answers(200, DigitalOcean.one(&known)))
            .then(gives(post("/tags"), 201, "create_tag.created"))
            .then(gives(post(&format!("/tags/{tag}/resources")), 404, "error.tag_not_found"))
            .then(again)
    };
    for still_there in [true, false] {
        let host = TestHost::new(script(still_there));
        let change = [(PHASE, Some("ready".to_owned()))];
        let done = block_on(DigitalOcean.provider().relabel(&host, NATIVES[0], &change));
        let want = if still_there { Err(ErrorKind::Conflict) } else { Ok(false) };
        assert_eq!(done.map_err(|it| it.kind), want);
    }
}

#[test]
fn the_pages_after_the_first_are_asked_for_side_by_side() {
    let ours = mayfly::labels::Selector::deployment("mayfly");
    let pages: [&[Known]; 4] =
        [&[Known::ours(0)], &[Known::foreign(1)], &[Known::foreign(1)], &[Known::ours(1)]];
    let found = |script| {
        let host = TestHost::new(script);
        let found = block_on(DigitalOcean.provider().find(&host, &ours)).expect("a list");
        host.finish();
        (found.into_iter().map(|it| it.id.native).collect::<Vec<_>>(), host.most_in_flight())
    };
    assert_eq!(found(DigitalOcean.list(&pages)), (NATIVES.map(str::to_owned).to_vec(), 3));
    // What has come since the first page follows.
    let script = Script::new()
        .then(listed(list_page(1), &[Known::ours(0)], Some(2)))
        .then(listed(list_page(2), &[Known::foreign(1)], Some(3)))
        .then(listed(list_page(3), &[Known::ours(1)], None));
    assert_eq!(found(script), (NATIVES.map(str::to_owned).to_vec(), 1));
}
