//! Scaleway before the suite: its fixtures, its calls in their order. One zone is configured, so that the order is known;
//! several zones and the ends of servers have tests of their own.

mod end;
mod more;

use mayfly::labels::LabelSet;
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power};
use serde_json::{Value, json};

use super::hetzner::lost;
use super::suite::PLACES;
use super::support::fixtures::value_of;
use super::support::script::{self, Exchange, Script};
use super::support::world::{SCALEWAY_API_URL, SCALEWAY_PROJECT_ID, SCALEWAY_SECRET_KEY, Settings, VM};
use super::vendor::{Going, Known, Refusal, Vendor, of_vm};

pub(crate) struct Scaleway;

const ZONE: &str = "fr-par-1";
const IDS: [&str; 2] = ["973b1d4a-3d01-4220-a4fa-7a2b89c8a557", "489bbc33-127b-4f08-b633-1d4287572df5"];
const NATIVES: [&str; 2] =
    ["fr-par-1-973b1d4a-3d01-4220-a4fa-7a2b89c8a557", "fr-par-1-489bbc33-127b-4f08-b633-1d4287572df5"];
const VOLUME: &str = "ae66fe19-f471-4cf4-a7da-fbfbbd33fb19";
const GROUP: &str = "1b9a6a2e-4f4c-4d8e-9d3b-0c6b0e5f7a11";
const IMAGE: &str = "ec31d73d-ca36-4536-adf4-0feb76d30379";
const SNAPSHOT: &str = "fr-par-1-748fc36f-7f34-40b3-8333-999eee979032";
const BEHIND: &str = "f7d46f48-dd65-4954-8503-c2aa3b4adb9a";
const OURS: &str = "managed-by%3Dmayfly%2Cmayfly-deployment%3Dmayfly";

fn instance(zone: &str, path: &str) -> String {
    format!("{SCALEWAY_API_URL}/instance/v1/zones/{zone}{path}")
}

fn get(path: &str) -> Exchange {
    script::get(instance(ZONE, path))
}

fn post(path: &str) -> Exchange {
    script::post(instance(ZONE, path))
}

fn delete(path: &str) -> Exchange {
    script::delete(instance(ZONE, path))
}

fn one_server() -> String {
    format!("/servers/{}", IDS[0])
}

fn action(action: &str) -> Exchange {
    post(&format!("{}/action", one_server())).json(json!({"action": action}))
}

fn gives(call: Exchange, status: u16, fixture: &str) -> Exchange {
    call.fixture_of("scaleway", status, fixture)
}

fn value(name: &str) -> Value {
    value_of("scaleway", name)
}

fn tags_of(labels: &LabelSet) -> Vec<String> {
    if labels.is_empty() {
        return vec!["prod".into(), "mayfly-deployment=another".into()];
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

fn server(it: &Known) -> Value {
    let mut server = value("get_server.ready")["server"].take();
    server["id"] = IDS[it.index].into();
    server["tags"] = tags_of(&it.labels).into();
    if it.state == VmState::Stopped {
        server["state"] = "stopped".into();
        server["allowed_actions"] = json!(["poweron", "backup"]);
    }
    server
}

fn in_state(state: &str, actions: &[&str]) -> Value {
    let mut server = server(&Known::ours(0));
    server["state"] = state.into();
    server["allowed_actions"] = json!(actions);
    json!({ "server": server })
}

fn list_page(kind: &str, zone: &str, tags: &str, page: usize) -> Exchange {
    let query = format!("project={SCALEWAY_PROJECT_ID}&tags={tags}&page={page}&per_page=100");
    script::get(instance(zone, &format!("/{kind}?{query}")))
}

/// All images of the project, with tags or without.
fn list_images() -> Exchange {
    let query = format!("project={SCALEWAY_PROJECT_ID}&page=1&per_page=100");
    get(&format!("/images?{query}"))
}

/// The image that is a snapshot to us, and what is behind it.
fn one_image() -> String {
    format!("/images/{}", SNAPSHOT.trim_start_matches("fr-par-1-"))
}

fn one_snapshot() -> String {
    format!("/snapshots/{BEHIND}")
}

fn snapshot_tagged() -> Exchange {
    let tags = json!({"tags": ["managed-by=mayfly", "mayfly-deployment=mayfly", "mayfly-owner=default"]});
    script::patch(instance(ZONE, &one_snapshot())).json(tags).gives(200, &json!({}))
}

/// Its name says whose it is.
fn backup() -> Value {
    let name = format!("before the upgrade {}owner:1default:2", mayfly::labels::tags::own_prefix("mayfly"));
    json!({"action": "backup", "name": name, "volumes": {VOLUME: {"volume_type": "l_ssd"}}})
}

fn servers(it: &[Known]) -> Value {
    json!({"servers": it.iter().map(server).collect::<Vec<_>>()})
}

fn images(zone: &str) -> Exchange {
    let query = format!("image_label=debian_trixie&zone={zone}&type=instance_local&order_by=type_asc");
    gives(
        script::get(format!("{SCALEWAY_API_URL}/marketplace/v2/local-images?{query}")),
        200,
        "list_local_images.debian",
    )
}

fn group(zone: &str) -> Exchange {
    gives(list_page("security_groups", zone, OURS, 1), 200, "list_security_groups.ours")
}

/// Its group is there, and its door is open.
fn there_is_a_group(zone: &str) -> Script {
    Script::new().then(group(zone)).then(gives(rules(zone), 200, "set_rules.done"))
}

fn rules(zone: &str) -> Exchange {
    script::get(instance(zone, &format!("/security_groups/{GROUP}/rules?page=1&per_page=100")))
}

fn place(index: usize, image: &'static str) -> Exchange {
    let (server_type, zone) = PLACES[index];
    script::post(instance(zone, "/servers")).checked(move |it| {
        assert_eq!(it["commercial_type"], server_type);
        assert_eq!(it["image"], image);
        assert_eq!(it["project"], SCALEWAY_PROJECT_ID);
        assert_eq!(it["security_group"], GROUP);
        assert_eq!(it["volumes"], json!({"0": {"size": 40_000_000_000_u64, "volume_type": "l_ssd"}}));
        assert_eq!(it["dynamic_ip_required"], true);
        assert_eq!(it["tags"], json!(tags_of(&of_vm(VM))));
        assert!(it.get("user_data").is_none(), "it is not part of a creation");
    })
}

fn made(call: Exchange) -> Exchange {
    call.computes(201, |request| {
        let mut answer = value("create_server.created");
        answer["server"]["tags"] = request["tags"].clone();
        answer
    })
}

/// User data, the disk's tags, power.
fn booted(script: Script, place: usize) -> Script {
    let user_data = format!("#cloud-config\n# {}\n", PLACES[place].1);
    let path = format!("{}/user_data/cloud-init", one_server());
    script
        .then(script::patch(instance(ZONE, &path)).text(user_data).answers(204, ""))
        .then(disk_tagged())
        .then(gives(action("poweron"), 202, "action.accepted"))
}

fn disk_tagged() -> Exchange {
    let call = script::patch(instance(ZONE, &format!("/volumes/{VOLUME}"))).checked(|it| {
        let mut tags: Vec<&str> =
            it["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        tags.sort_unstable();
        let vm = format!("mayfly-vm={VM}");
        assert_eq!(tags, ["managed-by=mayfly", "mayfly-deployment=mayfly", "mayfly-owner=default", &vm]);
    });
    gives(call, 200, "volume.tagged")
}

impl Vendor for Scaleway {
    const FIXTURES: &'static str = "scaleway";
    const CONFLICTS_STAY: bool = true;

    fn settings(&self) -> Settings {
        Settings::usual()
            .without("HETZNER_TOKEN")
            .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
            .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
            .with("SCALEWAY_API_URL", SCALEWAY_API_URL)
            .with("SCALEWAY_ZONES", ZONE)
    }

    fn natives(&self) -> [&'static str; 2] {
        NATIVES
    }

    fn list(&self, pages: &[&[Known]]) -> Script {
        // The first page says how much there is; then the others are asked for at the same moment.
        let last = pages.len();
        let total = pages.last().map_or(0, |it| (last - 1) * 100 + it.len());
        let mut calls = pages.iter().enumerate().map(|(at, page)| {
            let mut page = page.to_vec();
            let full = if at + 1 < last { 100 } else { 0 };
            page.extend((page.len()..full).map(|_| Known::foreign(1)));
            list_page("servers", ZONE, OURS, at + 1)
                .header("x-total-count", &total.to_string())
                .gives(200, &servers(&page))
        });
        Script::new().in_order(calls.next()).side_by_side(calls)
    }

    fn get(&self) -> Exchange {
        get(&one_server())
    }

    fn one(&self, it: &Known) -> String {
        json!({"server": server(it)}).to_string()
    }

    fn gone(&self, call: Exchange) -> Exchange {
        gives(call, 404, "error.not_found")
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal =
            |status, fixture, kind, retry_after| Refusal { status, fixture, header: None, kind, retry_after };
        vec![
            refusal(401, "error.denied_authentication", ErrorKind::Unauthorized, None),
            refusal(403, "error.permissions_denied", ErrorKind::TokenReadonly, None),
            refusal(403, "error.out_of_stock", ErrorKind::Capacity, None),
            refusal(400, "error.invalid_type", ErrorKind::Capacity, None),
            refusal(403, "error.quotas_exceeded", ErrorKind::Quota, None),
            refusal(429, "error.too_many_requests", ErrorKind::RateLimited, Some(10)),
            refusal(400, "error.still_in_use", ErrorKind::Locked, Some(5)),
            refusal(409, "error.transient_state", ErrorKind::Locked, Some(5)),
            refusal(412, "error.precondition_failed", ErrorKind::Conflict, Some(5)),
            refusal(400, "error.invalid_arguments", ErrorKind::Invalid, None),
        ]
    }

    fn creation(&self, going: Going) -> Script {
        let zones = [PLACES[0].1, PLACES[1].1];
        let there = |at: usize| Script::new().then(images(zones[at])).append(&there_is_a_group(zones[at]));
        match going {
            Going::Smoothly => booted(there(0).then(made(place(0, IMAGE))), 0),
            Going::FromSnapshot => {
                let group = Script::new().append(&there_is_a_group(zones[0]));
                booted(group.then(made(place(0, SNAPSHOT.trim_start_matches("fr-par-1-")))), 0)
            }
            Going::SecondPlace => {
                let first = there(0).then(gives(place(0, IMAGE), 403, "error.out_of_stock"));
                booted(
                    first
                        .then(images(zones[1]))
                        .append(&there_is_a_group(zones[1]))
                        .then(made(place(1, IMAGE))),
                    1,
                )
            }
            Going::Quota => {
                let groups = list_page("security_groups", zones[0], OURS, 1);
                let rules = script::put(instance(zones[0], &format!("/security_groups/{GROUP}/rules")));
                Script::new()
                    .then(images(zones[0]))
                    .then(gives(groups, 200, "list_security_groups.empty"))
                    .then(gives(
                        script::post(instance(zones[0], "/security_groups")).checked(is_the_group),
                        201,
                        "create_security_group.created",
                    ))
                    .then(gives(rules.checked(are_the_rules), 200, "set_rules.done"))
                    .then(gives(place(0, IMAGE), 403, "error.quotas_exceeded"))
                    .then(
                        script::delete(instance(zones[0], &format!("/security_groups/{GROUP}")))
                            .answers(204, ""),
                    )
            }
            Going::Lost(answer) => {
                let tags = format!("{OURS}%2Cmayfly-vm%3D{VM}");
                let look = || list_page("servers", ZONE, &tags, 1);
                let stopped = Known { state: VmState::Stopped, ..Known::ours(0) };
                let found = there(0)
                    .then(lost(place(0, IMAGE), answer))
                    .then(gives(look(), 200, "list_servers.empty"))
                    .then(look().gives(200, &servers(&[Known::foreign(1), stopped.clone()])))
                    .then(self.get().answers(200, self.one(&stopped)));
                booted(found, 0)
            }
        }
    }

    fn creation_until_user_data(&self, _offer: &Offer) -> Script {
        let user_data = script::patch(instance(ZONE, &format!("{}/user_data/cloud-init", one_server())));
        Script::new()
            .then(images(ZONE))
            .append(&there_is_a_group(ZONE))
            .then(made(post("/servers")))
            .then(gives(user_data.anything(), 403, "error.quotas_exceeded"))
            .then(self.gone(self.get()))
    }

    fn probe(&self) -> Exchange {
        script::patch(instance(ZONE, "/servers/00000000-0000-0000-0000-000000000000")).json(json!({}))
    }

    fn deletion(&self, state: Option<VmState>) -> Script {
        match state {
            // It takes its disk and its dynamic address along.
            Some(VmState::Running) => Script::new()
                .then(self.get().answers(200, self.one(&Known::ours(0))))
                .then(gives(action("terminate"), 202, "action.accepted")),
            // A DELETE leaves the disk.
            Some(state) => Script::new()
                .then(self.get().answers(200, self.one(&Known { state, ..Known::ours(0) })))
                .then(disk_tagged())
                .then(delete(&one_server()).answers(204, ""))
                .then(delete(&format!("/volumes/{VOLUME}")).answers(204, "")),
            None => Script::new().then(self.gone(self.get())),
        }
    }

    fn power(&self, power: Power, gone: bool) -> Script {
        let call = action(if power == Power::Start { "poweron" } else { "poweroff" });
        Script::new().then(if gone { self.gone(call) } else { gives(call, 202, "action.accepted") })
    }

    fn relabelling(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let mut server = server(&Known::ours(0));
        server["tags"].as_array_mut().expect("tags").push("somebody's".into());
        let mut want = tags_of(&Known::ours(0).labels);
        want.retain(|it| !it.starts_with("mayfly-phase=") && !it.starts_with("mayfly-price="));
        want.extend(["somebody's".to_owned(), "mayfly-phase=ready".to_owned()]);
        let write = script::patch(instance(ZONE, &one_server())).json(json!({ "tags": want }));
        Script::new().then(self.get().gives(200, &json!({"server": server}))).then(gives(
            write,
            200,
            "get_server.ready",
        ))
    }

    fn snapshot(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let tags = json!({"tags": ["managed-by=mayfly", "mayfly-deployment=mayfly", "mayfly-owner=default"]});
        Script::new()
            .then(self.get().answers(200, self.one(&Known::ours(0))))
            .then(gives(post(&format!("{}/action", one_server())).json(backup()), 202, "backup.accepted"))
            .then(gives(script::patch(instance(ZONE, &one_image())).json(tags), 200, "get_image.ready"))
    }

    fn snapshots(&self) -> Script {
        let mut foreign = value("get_image.ready")["image"].take();
        foreign["tags"] = json!(["managed-by=mayfly", "mayfly-deployment=another"]);
        let ours = value("get_image.ready")["image"].take();
        Script::new().then(list_images().gives(200, &json!({"images": [foreign, ours]})))
    }

    fn snapshot_deletions(&self) -> Script {
        Script::new()
            .then(gives(get(&one_image()), 200, "get_image.ready"))
            .then(snapshot_tagged())
            .then(delete(&one_image()).answers(204, ""))
            .then(delete(&one_snapshot()).answers(204, ""))
            .then(self.gone(get(&one_image())))
    }

    fn snapshot_native(&self) -> &'static str {
        SNAPSHOT
    }

    fn snapshot_sizes(&self) -> (f64, Option<f64>) {
        (40.0, Some(40.0))
    }

    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str)) {
        (Script::new(), (40.0, 32_120, "EUR"))
    }

    fn leftovers(&self) -> (Script, Vec<&'static str>) {
        let script = Script::new()
            .then(gives(list_page("volumes", ZONE, OURS, 1), 200, "list_volumes.mixed"))
            .then(list_page("snapshots", ZONE, OURS, 1).gives(200, &json!({"snapshots": []})))
            .then(group(ZONE));
        (script, vec!["volume", "security_group"])
    }

    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>) {
        // 40 GB at EUR 0.03212.
        (Script::new(), vec![(1_284_800, "EUR"), (0, "EUR")])
    }

    fn catalogue(&self) -> Vec<Exchange> {
        catalogue_of(ZONE)
    }

    fn made_by_key(&self, owner: &str, idem: &str, it: &Known) -> Exchange {
        let tags = format!("{OURS}%2Cmayfly-owner%3D{owner}%2Cmayfly-idem%3D{idem}");
        list_page("servers", ZONE, &tags, 1).gives(200, &servers(std::slice::from_ref(it)))
    }
}

fn catalogue_of(zone: &str) -> Vec<Exchange> {
    let call =
        |path: &str| script::get(instance(zone, &format!("/products/servers{path}?page=1&per_page=100")));
    vec![
        gives(call(""), 200, "list_products.catalogue"),
        gives(call("/availability"), 200, "list_availability.stock"),
    ]
}

fn is_the_group(it: &Value) {
    let want = json!({
        "name": "mayfly-mayfly",
        "project": SCALEWAY_PROJECT_ID,
        "tags": ["managed-by=mayfly", "mayfly-deployment=mayfly"],
        "stateful": true,
        "inbound_default_policy": "drop",
        "outbound_default_policy": "accept",
    });
    assert_eq!(*it, want);
}

fn are_the_rules(it: &Value) {
    let rule = |position: u32, port: u16| {
        json!({"action": "accept", "direction": "inbound", "protocol": "TCP", "ip_range": "0.0.0.0/0",
               "dest_port_from": port, "position": position})
    };
    assert_eq!(*it, json!({"rules": [rule(1, 443), rule(2, 80), rule(3, 22)]}));
}
