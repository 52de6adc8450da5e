//! Snapshots: asked for, taken once, listed, deleted, and what a VM's disk may begin as.

use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{self, address_ids, addresses, catalogue, prepared};
use super::support::fixtures::{Server, only, value};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post, put};
use super::support::world::{NOW_SECS, Settings, app, capability, list_of_vm, selector};
use mayfly::keys::Scope;

const DEADLINE: u64 = NOW_SECS + 600;

fn read(server: &Server) -> Exchange {
    get("/servers/4711").gives(200, &server.one())
}

pub(super) fn images(narrower: &[(&str, &str)], images: &[Value]) -> Exchange {
    let target = format!(
        "/images?type=snapshot&label_selector={}&sort=created:desc&page=1&per_page=50",
        selector(narrower)
    );
    get(target).gives(200, &json!({"images": images, "meta": {"pagination": {"next_page": null}}}))
}

fn mine(list: &[Value]) -> Exchange {
    images(&[("mayfly-owner", "default")], list)
}

pub(super) fn image(id: u64, labels: &[(&str, &str)]) -> Value {
    let mut image = value("list_images.snapshots")["images"][0].take();
    image["id"] = id.into();
    image["status"] = "available".into();
    image["disk_size"] = 40.into();
    image["created"] = "2026-11-20T09:00:00Z".into();
    image["labels"] =
        json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly", "mayfly-owner": "default"});
    for (key, value) in labels {
        image["labels"][key] = (*value).into();
    }
    image
}

fn ask(body: Option<&Value>, script: Script) -> Answer {
    let call = Call::post("/vms/hetzner-4711/snapshots").token();
    let call = match body {
        Some(body) => call.json(body),
        None => call.bytes(Vec::new()),
    };
    call.send(&app(), &TestHost::new(script))
}

/// The order, with these labels among others.
fn ordered(description: &'static str, want: &'static [(&'static str, &'static str)]) -> Exchange {
    let check = move |body: &Value| {
        assert_eq!(body["description"], description);
        for (key, value) in want {
            assert_eq!(body["labels"][key], *value, "{body}");
        }
    };
    post("/servers/4711/actions/create_image").checked(check).fixture(201, "create_image.accepted")
}

#[test]
fn a_vm_that_can_be_asked_prepares_its_disk_first() {
    let after = Server::ours()
        .label("mayfly-want", &format!("snapshot-{DEADLINE}"))
        .label("mayfly-note", "0before_a_hthe_amerge0");
    let script = Script::new()
        .then(read(&Server::ours()))
        .then(read(&Server::ours()))
        .then(
            put("/servers/4711")
                .checked(|body| {
                    assert_eq!(body["labels"]["mayfly-want"], format!("snapshot-{DEADLINE}"));
                    assert!(
                        body["labels"]["mayfly-note"].as_str().is_some_and(|it| it.contains("before")),
                        "{body}"
                    );
                })
                .gives(200, &after.one()),
        )
        .then(read(&after));
    let body = ask(Some(&json!({"description": "before the merge"})), script).ok(202);
    assert_eq!((&body["vm"]["want"], &body["snapshot"]), (&json!("snapshot"), &Value::Null));
}

fn beat(server: &Server, done: Option<&str>, more: impl Fn(Script) -> Script) -> Value {
    let found = get(list_of_vm()).gives(200, &only(std::slice::from_ref(server)));
    let body = json!({"active": NOW_SECS - 60, "verdict": {}, "attention": null, "done": done});
    let script = more(Script::new().then(found));
    Call::post("/vm/heartbeat")
        .bearer(&capability(Scope::Vm))
        .json(&body)
        .send(&app(), &TestHost::new(script))
        .ok(200)["want"]
        .clone()
}

#[test]
fn it_is_taken_once_when_the_vm_says_so_and_the_vm_waits_until_it_is_there() {
    let asked = Server::ours().label("mayfly-want", &format!("snapshot-{DEADLINE}"));
    let of_vm = |list: &[Value]| images(&[("mayfly-vm", super::support::world::VM)], list);
    assert_eq!(beat(&asked, None, |it| it), "snapshot", "nothing is done before the VM says so");
    let first = beat(&asked, Some("snapshot"), |it| {
        it.then(of_vm(&[])).then(ordered(
            "mayfly-hello-world-abcd",
            &[("mayfly-clean", "yes"), ("mayfly-asked", "1795169400"), ("mayfly-expires", "1797760800")],
        ))
    });
    assert_eq!(first, "snapshot");
    let mut growing =
        image(9, &[("mayfly-vm", super::support::world::VM), ("mayfly-asked", &DEADLINE.to_string())]);
    growing["status"] = "creating".into();
    assert_eq!(beat(&asked, Some("snapshot"), |it| it.then(of_vm(&[growing.clone()]))), "snapshot");
    growing["status"] = "available".into();
    let free = asked.clone().without_label("mayfly-want");
    let last = beat(&asked, Some("snapshot"), |it| {
        it.then(of_vm(&[growing.clone()]))
            .then(read(&asked))
            .then(put("/servers/4711").json(free.labels_with(&[])).gives(200, &free.one()))
    });
    assert_eq!(last, Value::Null);
}

#[test]
fn of_a_stopped_vm_it_is_taken_at_once_and_says_what_is_on_it() {
    let stopped = Server::ours().set("status", "off");
    let script = Script::new()
        .then(read(&stopped))
        .then(ordered("mayfly-hello-world-abcd 2026-11-20T10:00:00Z", &[("mayfly-clean", "no")]));
    let body = ask(None, script).ok(202);
    assert_eq!(body["snapshot"]["is_clean"], false);
    assert_eq!(
        body["detail"],
        "The VM is stopped: its disk is stored as it is, with the secrets that only its root can read."
    );
}

#[test]
fn descriptions_have_a_shape() {
    for body in [
        json!({"description": ""}),
        json!({"description": "x".repeat(61)}),
        json!({"description": 7}),
        json!({"note": "x"}),
        json!(["x"]),
    ] {
        assert_eq!(ask(Some(&body), Script::new()).kind(), (400, "invalid_request".into()), "{body}");
    }
}

#[test]
fn the_list_is_of_the_callers_own() {
    let clean = image(
        71,
        &[
            ("mayfly-clean", "yes"),
            ("mayfly-profile", "coding"),
            ("mayfly-expires", "1797760800"),
            ("mayfly-repo", "0github.com_socto_sHello-World0"),
        ],
    );
    let anns = image(72, &[("mayfly-owner", "ann")]);
    let pricing = || get("/pricing").fixture(200, "get_pricing.eur");
    let host = TestHost::new(Script::new().then(images(&[], &[clean.clone(), anns])).then(pricing()));
    let body = Call::get("/snapshots").token().send(&app(), &host).ok(200);
    assert_eq!(body["snapshots"].as_array().map(Vec::len), Some(1));
    let shown = &body["snapshots"][0];
    for (field, value) in [
        ("id", json!("hetzner-71")),
        ("is_ready", json!(true)),
        ("is_clean", json!(true)),
        ("min_disk_gb", json!(40.0)),
        ("age_seconds", json!(3600)),
        // 2.3 GB at 1.19 a month.
        ("monthly_price", json!({"currency": "EUR", "amount": 2.737})),
        ("repo_url", json!("https://github.com/octo/Hello-World")),
        ("expires_at", json!("2026-12-20T10:00:00Z")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    // Without a price it is a list all the same.
    let broken = get("/pricing").answers(400, "{}");
    let host = TestHost::new(Script::new().then(images(&[], &[clean])).then(broken));
    let body = Call::get("/snapshots").token().send(&app(), &host).ok(200);
    assert_eq!((&body["snapshots"][0]["monthly_price"], &body["errors"]), (&Value::Null, &json!([])));
}

#[test]
fn only_ones_own_is_deleted_and_what_is_gone_is_gone() {
    let one = || mine(&[image(71, &[])]);
    let host = TestHost::new(Script::new().then(one()).then(delete("/images/71").answers(204, "")));
    let body = Call::delete("/snapshots/hetzner-71").token().send(&app(), &host).ok(200);
    assert_eq!(body, json!({"deleted": true, "already_gone": false, "id": "hetzner-71"}));
    for id in ["hetzner-72", "hetzner-7", "hetzner-../71"] {
        let target = format!("/snapshots/{}", id.replace('/', "%2F"));
        let body =
            Call::delete(&target).token().send(&app(), &TestHost::new(Script::new().then(one()))).ok(200);
        assert_eq!(body["already_gone"], true, "{id}");
    }
    // A provider that is not there is not asked.
    let host = TestHost::silent();
    assert_eq!(
        Call::delete("/snapshots/nowhere-1").token().send(&app(), &host).ok(200)["already_gone"],
        true
    );
}

fn create(more: &Value, script: Script) -> Answer {
    let mut body = creation::request();
    for (key, value) in more.as_object().expect("fields") {
        body[key] = value.clone();
    }
    Call::post("/vms").token().json(&body).send(&app(), &TestHost::new(script))
}

#[test]
fn a_disk_may_begin_as_a_snapshot() {
    let script = Script::new()
        .side_by_side(catalogue())
        .then(mine(&[image(71, &[])]))
        .side_by_side(prepared())
        .then(
            post("/servers")
                .checked(|body| assert_eq!(body["image"], "71"))
                .computes(201, |request| creation::made_from(request).creation()),
        )
        .then(address_ids())
        .side_by_side(addresses());
    create(&json!({"snapshot_id": "hetzner-71"}), script).ok(201);
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused_before_anything_is_made() {
    let looks = |image: Value| Script::new().side_by_side(catalogue()).then(mine(&[image]));
    let answer = create(&json!({"snapshot_id": "hetzner-72"}), looks(image(71, &[])));
    assert_eq!(answer.json()["errors"][0]["detail"], "is not a snapshot of yours");
    let mut large = image(71, &[]);
    large["disk_size"] = 4000.into();
    let answer = create(&json!({"snapshot_id": "hetzner-71"}), looks(large));
    assert_eq!(answer.json()["errors"][0]["detail"], "needs a disk of 4000 GB, which size medium has not");
    let mut growing = image(71, &[]);
    growing["status"] = "creating".into();
    let answer = create(&json!({"snapshot_id": "hetzner-71"}), looks(growing));
    assert_eq!(answer.kind(), (409, "snapshot_not_ready".into()));
    for bad in [json!("71"), json!("hetzner-"), json!("azure-71"), json!("hetzner-7/1"), json!(71)] {
        let answer = create(&json!({"snapshot_id": bad}), Script::new());
        assert_eq!(answer.json()["errors"][0]["field"], "snapshot_id", "{bad}");
    }
    let both = Settings::usual();
    let answer = Call::post("/vms")
        .token()
        .json(&json!({"repo_url": "https://github.com/o/r", "provider": "hetzner", "snapshot_id": "digitalocean-71"}))
        .send(&both.app(), &TestHost::silent());
    assert_eq!(answer.json()["errors"][0]["detail"], "is of digitalocean, and provider is another");
}
