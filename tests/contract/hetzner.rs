//! Hetzner Cloud before the suite: its fixtures, its calls in their order.

use mayfly::http::{NoAnswer, Response};
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power};
use serde_json::{Value, json};

use super::suite::PLACES;
use super::support::creation::{address_ids, addresses, catalogue, prepared, preparing, taken_back};
use super::support::fixtures::{Server, only, page, value};
use super::support::script::{Exchange, Script, delete, get, post, put};
use super::support::world::{HETZNER_API_URL, HETZNER_TOKEN, Settings, VM, list_of, selector};
use super::vendor::{Going, Known, Refusal, Vendor, of_vm};

pub(crate) struct Hetzner;

const IDS: [u64; 2] = [4711, 4712];

fn labels(it: &Known) -> Value {
    it.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

fn server(it: &Known) -> Server {
    let status = if it.state == VmState::Stopped { "off" } else { "running" };
    Server::ours().id(IDS[it.index]).set("labels", labels(it)).set("status", status)
}

fn place(index: usize, source: &'static str) -> Exchange {
    let (server_type, location) = PLACES[index];
    post("/servers").checked(move |it| {
        assert_eq!(
            (it["server_type"].as_str(), it["location"].as_str()),
            (Some(server_type), Some(location))
        );
        assert_eq!(it["image"], source);
        assert_eq!(it["user_data"], format!("#cloud-config\n# {location}\n"));
        assert_eq!(it["labels"]["mayfly-vm"], VM);
        assert_eq!(it["ssh_keys"].as_array().map(Vec::len), Some(1));
        assert_eq!(it["firewalls"], json!([{"firewall": 38}]));
    })
}

fn made(call: Exchange) -> Exchange {
    call.gives(201, &Server::created().set("labels", labels(&Known::ours(0))).creation())
}

fn finished(script: Script) -> Script {
    script.then(address_ids()).side_by_side(addresses())
}

impl Vendor for Hetzner {
    const FIXTURES: &'static str = "hetzner";

    fn settings(&self) -> Settings {
        Settings::usual().with("HETZNER_TOKEN", HETZNER_TOKEN).with("HETZNER_API_URL", HETZNER_API_URL)
    }

    fn natives(&self) -> [&'static str; 2] {
        ["4711", "4712"]
    }

    fn list(&self, pages: &[&[Known]]) -> Script {
        let calls = pages.iter().enumerate().map(|(at, servers)| {
            let number = u32::try_from(at + 1).expect("few pages");
            let servers: Vec<Server> = servers.iter().map(server).collect();
            let next = (at + 1 < pages.len()).then_some(number + 1);
            get(list_of("servers", &[], number)).gives(200, &page(&servers, next, None))
        });
        Script::new().in_order(calls)
    }

    fn get(&self) -> Exchange {
        get("/servers/4711")
    }

    fn one(&self, it: &Known) -> String {
        server(it).one().to_string()
    }

    fn gone(&self, call: Exchange) -> Exchange {
        call.fixture(404, "error.not_found")
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal =
            |status, fixture, kind, retry_after| Refusal { status, fixture, header: None, kind, retry_after };
        vec![
            refusal(401, "error.unauthorized", ErrorKind::Unauthorized, None),
            refusal(403, "error.token_readonly", ErrorKind::TokenReadonly, None),
            refusal(412, "error.resource_unavailable", ErrorKind::Capacity, None),
            refusal(403, "error.resource_limit_exceeded", ErrorKind::Quota, None),
            refusal(429, "error.rate_limit_exceeded", ErrorKind::RateLimited, Some(10)),
            Refusal {
                header: Some(("retry-after", "37")),
                ..refusal(429, "error.rate_limit_exceeded", ErrorKind::RateLimited, Some(37))
            },
            refusal(409, "error.conflict", ErrorKind::Conflict, Some(5)),
            refusal(423, "error.locked", ErrorKind::Locked, Some(5)),
            refusal(422, "error.invalid_input", ErrorKind::Invalid, None),
        ]
    }

    fn creation(&self, going: Going) -> Script {
        let there = || Script::new().side_by_side(prepared());
        match going {
            Going::Smoothly => finished(there().then(made(place(0, "debian-13")))),
            Going::FromSnapshot => finished(there().then(made(place(0, "5001")))),
            Going::SecondPlace => finished(
                there()
                    .then(place(0, "debian-13").fixture(412, "error.resource_unavailable"))
                    .then(made(place(1, "debian-13"))),
            ),
            Going::Quota => Script::new()
                .side_by_side(preparing())
                .then(post("/servers").fixture(403, "error.resource_limit_exceeded"))
                .in_order(taken_back()),
            Going::Lost(answer) => {
                let look = || get(list_of("servers", &[("mayfly-vm", VM)], 1));
                let there = there()
                    .then(lost(place(0, "debian-13"), answer))
                    .then(look().gives(200, &only(&[])))
                    .then(look().gives(200, &only(&[server(&Known::ours(0))])))
                    .then(self.get().answers(200, self.one(&Known::ours(0))));
                there.side_by_side(addresses())
            }
        }
    }

    fn creation_until_user_data(&self, _offer: &Offer) -> Script {
        let call = post("/servers").fixture(403, "error.resource_limit_exceeded");
        Script::new().side_by_side(prepared()).then(call)
    }

    fn probe(&self) -> Exchange {
        post("/ssh_keys").json(json!({}))
    }

    fn deletion(&self, state: Option<VmState>) -> Script {
        let call = delete("/servers/4711");
        Script::new().then(match state {
            // Switched off or not: Hetzner deletes either.
            Some(_) => call.fixture(200, "delete_server.accepted"),
            None => self.gone(call),
        })
    }

    fn power(&self, power: Power, gone: bool) -> Script {
        let action = match power {
            Power::Start => "poweron",
            Power::Stop => "shutdown",
            Power::Cut => "poweroff",
        };
        let call = post(format!("/servers/4711/actions/{action}")).nothing();
        Script::new().then(if gone { self.gone(call) } else { call.fixture(201, "power.accepted") })
    }

    fn relabelling(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let mut known = Known::ours(0);
        let mut want = server(&known);
        known.labels.push(("somebody".into(), "else".into()));
        want = want.label("somebody", "else").label("mayfly-phase", "ready").without_label("mayfly-price");
        Script::new()
            .then(self.get().answers(200, self.one(&known)))
            .then(put("/servers/4711").json(json!({"labels": want.labels()})).gives(200, &want.one()))
    }

    fn snapshot(&self, gone: bool) -> Script {
        let call = post("/servers/4711/actions/create_image");
        if gone {
            return Script::new().then(self.gone(call));
        }
        let want = json!({
            "type": "snapshot",
            "description": "before the upgrade",
            "labels": {"managed-by": "mayfly", "mayfly-deployment": "mayfly", "mayfly-owner": "default"},
        });
        Script::new().then(call.json(want).fixture(201, "create_image.accepted"))
    }

    fn snapshots(&self) -> Script {
        let page = |number| {
            get(format!(
                "/images?type=snapshot&label_selector={}&sort=created:desc&page={number}&per_page=50",
                selector(&[("mayfly-owner", "default")])
            ))
        };
        let mut first = value("list_images.snapshots");
        first["images"][0]["labels"] = json!({"mayfly-deployment": "another"});
        first["images"][0]["id"] = 5002.into();
        first["meta"]["pagination"]["next_page"] = 2.into();
        Script::new().then(page(1).gives(200, &first)).then(page(2).fixture(200, "list_images.snapshots"))
    }

    fn snapshot_deletions(&self) -> Script {
        let call = || delete("/images/5001");
        Script::new().then(call().answers(204, "")).then(self.gone(call()))
    }

    fn snapshot_native(&self) -> &'static str {
        "5001"
    }

    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str)) {
        let script = Script::new().then(get("/pricing").fixture(200, "get_pricing.eur"));
        (script, (2.3, 1_190_000, "EUR"))
    }

    fn leftovers(&self) -> (Script, Vec<&'static str>) {
        let mut keys = value("list_ssh_keys.registered");
        keys["ssh_keys"][0]["labels"] = json!({"managed-by": "somebody"});
        let script = Script::new()
            .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.mixed"))
            .then(get(list_of("ssh_keys", &[], 1)).gives(200, &keys))
            .then(get(list_of("firewalls", &[], 1)).fixture(200, "list_firewalls.ours"));
        (script, vec!["primary_ip", "firewall"])
    }

    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>) {
        let script = Script::new().then(get("/pricing").fixture(200, "get_pricing.eur"));
        (script, vec![(595_000, "EUR"), (0, "EUR")])
    }

    fn catalogue(&self) -> Vec<Exchange> {
        catalogue()
    }

    fn made_by_key(&self, owner: &str, idem: &str, it: &Known) -> Exchange {
        let call = get(list_of("servers", &[("mayfly-owner", owner), ("mayfly-idem", idem)], 1));
        call.gives(200, &only(&[server(it)]))
    }
}

/// A call whose answer is lost.
pub(crate) fn lost(call: Exchange, answer: Result<Response, NoAnswer>) -> Exchange {
    match answer {
        Ok(page) => call.answers(page.status, page.body),
        Err(why) => call.lost(why),
    }
}

/// The labels of the suite's VM are what the fixture's server has, so that both tell of the same one.
#[test]
fn the_suites_labels_are_of_the_fixtures_vm() {
    assert!(of_vm(VM).contains(&("mayfly-vm".to_owned(), VM.to_owned())));
    assert_eq!(Server::ours().labels()["mayfly-vm"], VM);
}
