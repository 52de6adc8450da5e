//! OVHcloud before the suite: its fixtures, its calls in their order. What it alone has is in `alone`.

mod alone;

use std::collections::BTreeMap;

use mayfly::labels::{LabelSet, PHASE, PRICE, packed_name};
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power};
use serde_json::{Value, json};

use super::hetzner::lost;
use super::suite::PLACES;
use super::support::fixtures::value_of;
use super::support::script::{self, Exchange, Script};
use super::support::world::{OVH_API_URL, OVH_PROJECT_ID, SSH_KEY, Settings, VM};
use super::vendor::{Going, Known, Refusal, Vendor, of_vm};

pub(crate) struct Ovh;

const NATIVES: [&str; 2] = ["2f1e1c6a-8a43-4f0c-9c3b-6a4d3f1b7e21", "b0d7a1f4-52c9-4a86-8f3e-0c2e9d5b6a17"];
const SNAPSHOT: &str = "748fc36f-7f34-40b3-8333-999eee979032";
const FLAVORS: [&str; 2] = ["c6e7c3b2-35ed-4d63-b7c7-9d3b1f2a3c01", "c6e7c3b2-35ed-4d63-b7c7-9d3b1f2a3c03"];
/// The newest of those named so.
const IMAGE: &str = "9ed3e1a4-7f0d-4b3e-8f50-3b6d6c2a0d13";
const KEY: &str = "6d61796675732d6b6579";
const NEW_KEY: &str = "6d61796675732d6e6577";
const NAME: &str = "mayfly-hello-world-abcd";

fn url(path: &str) -> String {
    format!("{OVH_API_URL}/cloud/project/{OVH_PROJECT_ID}{path}")
}

fn get(path: &str) -> Exchange {
    script::get(url(path))
}

fn post(path: &str) -> Exchange {
    script::post(url(path))
}

fn delete(path: &str) -> Exchange {
    script::delete(url(path))
}

fn one_server() -> String {
    format!("/instance/{}", NATIVES[0])
}

fn gives(call: Exchange, status: u16, fixture: &str) -> Exchange {
    call.fixture_of("ovh", status, fixture)
}

/// What it answers where there is nothing to say.
fn done(call: Exchange) -> Exchange {
    gives(call, 200, "void.null")
}

fn value(name: &str) -> Value {
    value_of("ovh", name)
}

fn map(labels: &LabelSet) -> BTreeMap<String, String> {
    labels.iter().cloned().collect()
}

fn name_of(labels: &LabelSet) -> String {
    if labels.is_empty() {
        return "web_1".into();
    }
    packed_name::of_server(NAME, &map(labels)).expect("a name")
}

fn dressed(mut instance: Value, it: &Known) -> Value {
    instance["id"] = NATIVES[it.index].into();
    instance["name"] = name_of(&it.labels).into();
    instance["status"] = if it.state == VmState::Stopped { "SHUTOFF" } else { "ACTIVE" }.into();
    instance
}

fn listed(servers: &[Known]) -> Value {
    servers.iter().map(|it| dressed(value("list_instances.one")[0].take(), it)).collect()
}

fn single(it: &Known) -> Value {
    dressed(value("get_instance.ready"), it)
}

fn in_status(status: &str) -> Value {
    let mut instance = single(&Known::ours(0));
    instance["status"] = status.into();
    instance
}

fn prepared() -> Script {
    Script::new().then(gives(get("/sshkey"), 200, "list_ssh_keys.registered"))
}

/// Flavors and images of a place, side by side.
fn looked_up(script: Script, place: usize) -> Script {
    let region = PLACES[place].1.to_uppercase();
    let flavors = get(&format!("/flavor?region={region}"));
    let images = get(&format!("/image?osType=linux&region={region}"));
    script.side_by_side([
        gives(flavors, 200, ["list_flavors.place_1", "list_flavors.place_2"][place]),
        gives(images, 200, "list_images.linux"),
    ])
}

fn place(index: usize, image: &'static str, key: &'static str) -> Exchange {
    post("/instance").checked(move |it| {
        let (front, labels, _) = packed_name::read(it["name"].as_str().expect("a name")).expect("ours");
        assert_eq!((front, labels), (NAME, map(&of_vm(VM))));
        let want = json!({
            "name": it["name"],
            "region": PLACES[index].1.to_uppercase(),
            "flavorId": FLAVORS[index],
            "imageId": image,
            "sshKeyId": key,
            "userData": format!("#cloud-config\n# {}\n", PLACES[index].1),
            "monthlyBilling": false,
        });
        assert_eq!(*it, want);
    })
}

fn made(call: Exchange) -> Exchange {
    call.computes(200, |request| {
        let mut answer = value("create_instance.created");
        answer["name"] = request["name"].clone();
        answer
    })
}

/// It found a host.
fn settled(script: Script) -> Script {
    script.then(Ovh.get().gives(200, &in_status("ACTIVE")))
}

impl Vendor for Ovh {
    const FIXTURES: &'static str = "ovh";
    const CONFLICTS_STAY: bool = true;
    /// There are no pages: all comes with one answer.
    const SLOW_MS: [u64; 2] = [9000, 11_000];

    fn settings(&self) -> Settings {
        Settings::usual().without("HETZNER_TOKEN").with_ovh()
    }

    fn natives(&self) -> [&'static str; 2] {
        NATIVES
    }

    /// A name has 255 characters.
    fn long_repo(&self) -> String {
        format!("git@Git.example.com:{}r.git", "Group_x/".repeat(4))
    }

    fn list(&self, pages: &[&[Known]]) -> Script {
        Script::new().then(get("/instance").gives(200, &listed(&pages.concat())))
    }

    fn get(&self) -> Exchange {
        get(&one_server())
    }

    fn one(&self, it: &Known) -> String {
        single(it).to_string()
    }

    fn gone(&self, call: Exchange) -> Exchange {
        gives(call, 404, "error.not_found")
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal =
            |status, fixture, kind, retry_after| Refusal { status, fixture, header: None, kind, retry_after };
        vec![
            refusal(403, "error.invalid_credential", ErrorKind::Unauthorized, None),
            refusal(400, "error.invalid_signature", ErrorKind::Unauthorized, None),
            refusal(403, "error.not_granted", ErrorKind::TokenReadonly, None),
            refusal(403, "error.iam_denied", ErrorKind::TokenReadonly, None),
            refusal(403, "error.quota", ErrorKind::Quota, None),
            refusal(400, "error.flavor_unavailable", ErrorKind::Capacity, None),
            refusal(400, "error.invalid", ErrorKind::Invalid, None),
            refusal(404, "error.no_project", ErrorKind::Invalid, None),
            refusal(404, "error.invalid_url", ErrorKind::Malformed, None),
            refusal(409, "error.task_state", ErrorKind::Locked, Some(5)),
            refusal(409, "error.vm_state", ErrorKind::Conflict, Some(5)),
            refusal(409, "error.key_exists", ErrorKind::AlreadyExists, None),
            refusal(429, "error.too_many_requests", ErrorKind::RateLimited, Some(10)),
            Refusal {
                header: Some(("retry-after", "37")),
                ..refusal(429, "error.too_many_requests", ErrorKind::RateLimited, Some(37))
            },
            refusal(500, "error.server_error", ErrorKind::Unavailable, None),
        ]
    }

    fn creation(&self, going: Going) -> Script {
        match going {
            Going::Smoothly => settled(looked_up(prepared(), 0).then(made(place(0, IMAGE, KEY)))),
            Going::FromSnapshot => {
                let flavors = gives(get("/flavor?region=PLACE-1"), 200, "list_flavors.place_1");
                settled(prepared().then(flavors).then(made(place(0, SNAPSHOT, KEY))))
            }
            Going::SecondPlace => {
                let full = gives(place(0, IMAGE, KEY), 400, "error.flavor_unavailable");
                settled(looked_up(looked_up(prepared(), 0).then(full), 1).then(made(place(1, IMAGE, KEY))))
            }
            Going::Quota => {
                let key = Script::new().then(gives(get("/sshkey"), 200, "list_ssh_keys.empty")).then(gives(
                    post("/sshkey").checked(is_the_key),
                    200,
                    "create_ssh_key.created",
                ));
                looked_up(key, 0)
                    .then(gives(place(0, IMAGE, NEW_KEY), 403, "error.quota"))
                    .then(done(delete(&format!("/sshkey/{NEW_KEY}"))))
            }
            Going::Lost(answer) => {
                let look = || get("/instance");
                looked_up(prepared(), 0)
                    .then(lost(place(0, IMAGE, KEY), answer))
                    .then(gives(look(), 200, "list_instances.empty"))
                    .then(look().gives(200, &listed(&[Known::foreign(1), Known::ours(0)])))
                    .then(self.get().gives(200, &in_status("ACTIVE")))
            }
        }
    }

    fn creation_until_user_data(&self, offer: &Offer) -> Script {
        let region = offer.location.to_uppercase();
        let images = get(&format!("/image?osType=linux&region={region}"));
        prepared()
            .side_by_side([
                gives(get(&format!("/flavor?region={region}")), 200, "list_flavors.catalogue"),
                gives(images, 200, "list_images.linux"),
            ])
            .then(gives(post("/instance"), 400, "error.quota"))
    }

    fn user_data_of(&self, call: &Value) -> Option<String> {
        call["userData"].as_str().map(str::to_owned)
    }

    fn probe(&self) -> Exchange {
        post("/sshkey").json(json!({}))
    }

    fn deletion(&self, state: Option<VmState>) -> Script {
        let call = delete(&one_server());
        Script::new().then(if state.is_some() { done(call) } else { self.gone(call) })
    }

    fn power(&self, power: Power, gone: bool) -> Script {
        let action = if power == Power::Start { "start" } else { "stop" };
        let call = post(&format!("{}/{action}", one_server())).nothing();
        Script::new().then(if gone { self.gone(call) } else { done(call) })
    }

    fn relabelling(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let mut want = map(&Known::ours(0).labels);
        want.insert(PHASE.into(), "ready".into());
        want.remove(PRICE);
        let name = packed_name::of_server(NAME, &want).expect("a name");
        let write = script::put(url(&one_server())).json(json!({ "instanceName": name }));
        Script::new().then(self.get().answers(200, self.one(&Known::ours(0)))).then(done(write))
    }

    fn snapshot(&self, gone: bool) -> Script {
        let server = self.get();
        if gone {
            return Script::new().then(self.gone(server));
        }
        let begin = post(&format!("{}/snapshot", one_server())).checked(|it| {
            let name = it["snapshotName"].as_str().expect("a name");
            let (_, labels, description) = packed_name::read(name).expect("ours");
            assert_eq!(description, "before the upgrade");
            assert_eq!(labels.get("mayfly-owner").map(String::as_str), Some("default"));
        });
        let server = server.answers(200, self.one(&Known::ours(0)));
        Script::new().then(server).then(gives(begin, 200, "snapshot.accepted"))
    }

    fn snapshots(&self) -> Script {
        let named = |id: &str, name: String| {
            let mut image = value("list_snapshots.one")[0].take();
            image["id"] = id.into();
            image["name"] = name.into();
            image
        };
        let of = |deployment: &str| {
            let mut labels = map(&mayfly::labels::ours(deployment));
            labels.insert("mayfly-owner".into(), "default".into());
            packed_name::of_snapshot("before the upgrade", &labels).expect("a name")
        };
        let all = [
            named("foreign", "before the upgrade".into()),
            named("another", of("another")),
            named(SNAPSHOT, of("mayfly")),
        ];
        Script::new().then(get("/snapshot").gives(200, &json!(all)))
    }

    fn snapshot_deletions(&self) -> Script {
        let call = || delete(&format!("/snapshot/{SNAPSHOT}"));
        Script::new().then(call().gives(200, &value("list_snapshots.one")[0])).then(self.gone(call()))
    }

    fn snapshot_native(&self) -> &'static str {
        SNAPSHOT
    }

    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str)) {
        // EUR 0.00001389 per GB and hour, a month of 730 hours.
        (Script::new().then(gives(prices("FR"), 200, "get_prices.fr")), (2.3, 10_140, "EUR"))
    }

    fn leftovers(&self) -> (Script, Vec<&'static str>) {
        let mut keys = value("list_ssh_keys.registered");
        let mut ours = keys[1].clone();
        // Base32 of the first five bytes of SHA-256 of `mayfly`.
        for (name, id) in [
            ("mayfly-xj4lcvnp-0123456789abcdef", KEY),
            ("mayfly-xj4lcvnp-laptop", "6c6170"),
            ("mayfly-aaaaaaaa-0123456789abcdef", "616161"),
        ] {
            ours["name"] = name.into();
            ours["id"] = id.into();
            keys.as_array_mut().expect("keys").push(ours.clone());
        }
        (Script::new().then(get("/sshkey").gives(200, &keys)), vec!["ssh_key"])
    }

    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>) {
        (Script::new(), vec![(0, "EUR"); self.leftovers().1.len()])
    }

    fn catalogue(&self) -> Vec<Exchange> {
        vec![gives(get("/flavor"), 200, "list_flavors.catalogue"), gives(prices("FR"), 200, "get_prices.fr")]
    }

    fn made_by_key(&self, _owner: &str, _idem: &str, it: &Known) -> Exchange {
        get("/instance").gives(200, &listed(std::slice::from_ref(it)))
    }
}

fn prices(subsidiary: &str) -> Exchange {
    script::get(format!("{OVH_API_URL}/order/catalog/public/cloud?ovhSubsidiary={subsidiary}"))
}

fn is_the_key(it: &Value) {
    let name = it["name"].as_str().expect("a name");
    assert!(name.starts_with("mayfly-xj4lcvnp-"), "{name}");
    assert!(name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-'), "{name}");
    assert_eq!(it["publicKey"], SSH_KEY);
}
