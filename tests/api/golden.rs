//! Golden snapshots: the VM that is made for one, what comes onto its disk, what drives it on, and what starts from it.

use mayfly::keys::Scope;
use mayfly::ssh_key::SshPublicKey;
use serde_json::{Value, json};

use super::snapshots::{image, images};
use super::support::call::{Answer, Call};
use super::support::creation::{
    self, address_ids, addresses, catalogue, find_firewall, generated_name, prepared, signer,
};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post, put};
use super::support::user_data::vm_file;
use super::support::world::{NOW_SECS, Settings, VM, app, capability, list_of, list_of_all, list_of_vm};

const DEADLINE: u64 = NOW_SECS + 600;

fn baking() -> Server {
    Server::ours().label("mayfly-golden", "yes").without_label("mayfly-repo")
}

/// The snapshot of [`baking`], asked for at [`DEADLINE`].
fn stored(status: &str) -> Value {
    let asked = DEADLINE.to_string();
    let labels = [
        ("mayfly-vm", VM),
        ("mayfly-asked", asked.as_str()),
        ("mayfly-golden", "yes"),
        ("mayfly-clean", "yes"),
    ];
    let mut image = image(9, &labels);
    image["status"] = status.into();
    image
}

fn of_vm(list: &[Value]) -> Exchange {
    images(&[("mayfly-vm", VM)], list)
}

fn bake(body: &Value, script: Script) -> Answer {
    let app = Settings::usual().with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner").app();
    Call::post("/snapshots/golden").token().json(body).send(&app, &TestHost::new(script))
}

#[test]
fn a_vm_is_made_that_carries_nothing_of_anybody() {
    let made = post("/servers").computes(201, |request| {
        let labels = &request["labels"];
        assert_eq!((&labels["mayfly-golden"], &labels["mayfly-repo"]), (&json!("yes"), &Value::Null));
        assert_eq!((&labels["mayfly-size"], &labels["mayfly-run"]), (&json!("small"), &json!("3")));
        assert!(request["name"].as_str().is_some_and(|it| it.starts_with("mayfly-golden-")), "{request}");
        let file = vm_file(request["user_data"].as_str().expect("text"));
        assert_eq!(
            (&file["repo_url"], &file["sealed"], &file["self_delete"]),
            (&json!(""), &json!(""), &json!("worker"))
        );
        assert_ne!(request["name"], generated_name(0), "its name derives from what is asked for");
        creation::made_from(request).creation()
    });
    let nobody = SshPublicKey::nobody(signer().derive("nobody", &[b"mayfly"]));
    let mut looks = catalogue();
    looks.push(same_request(&[]));
    let script = Script::new()
        .side_by_side(looks)
        .side_by_side(vec![
            get(format!("/ssh_keys?fingerprint={}", nobody.md5_fingerprint()))
                .fixture(200, "list_ssh_keys.registered"),
            find_firewall().fixture(200, "list_firewalls.ours"),
        ])
        .then(made)
        .then(address_ids())
        .side_by_side(addresses())
        .then(same_request(&[]));
    let body = bake(&json!({"profile": "coding"}), script).ok(202);
    assert!(body["detail"].as_str().is_some_and(|it| it.starts_with("The VM installs everything")), "{body}");
    assert_eq!(body["password"], Value::Null);
}

/// The look for what the same request made.
fn same_request(list: &[Server]) -> Exchange {
    let idem = signer().fingerprint("idem", &[&b"default"[..], &b"golden hetzner coding"[..]]);
    get(list_of("servers", &[("mayfly-owner", "default"), ("mayfly-idem", &idem)], 1)).gives(200, &only(list))
}

#[test]
fn while_it_is_made_none_is_made_again() {
    let idem = signer().fingerprint("idem", &[&b"default"[..], &b"golden hetzner coding"[..]]);
    let body = signer().fingerprint("body", &[br#"{"profile":"coding"}"#]);
    let mut looks = catalogue();
    looks.push(same_request(&[baking().label("mayfly-idem", &idem).label("mayfly-body", &body)]));
    let answer = bake(&json!({"profile": "coding"}), Script::new().side_by_side(looks)).ok(202);
    assert_eq!(
        (&answer["vm"]["id"], &answer["detail"]),
        (&json!("hetzner-4711"), &json!("It is being made already."))
    );
}

#[test]
fn only_what_shapes_the_disk_may_be_given() {
    let body =
        json!({"profile": "cooking", "repo_url": "https://github.com/o/r", "git_token": "t", "size": "tiny"});
    let errors = bake(&body, Script::new()).json()["errors"].clone();
    let fields: Vec<&str> =
        errors.as_array().into_iter().flatten().filter_map(|it| it["field"].as_str()).collect();
    assert_eq!(fields, ["git_token", "repo_url", "size", "profile"]);
    for body in [json!([]), json!("coding")] {
        assert_eq!(bake(&body, Script::new()).kind(), (400, "invalid_request".into()));
    }
}

#[test]
fn no_secret_of_the_workers_comes_onto_it() {
    let app = Settings::usual()
        .with("GIT_TOKEN", "secret-default-git-token")
        .with("ANTHROPIC_API_KEY", "secret-default-anthropic-key")
        .with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner")
        .app();
    let server = baking().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&[server]))));
    let answer = Call::post("/vm/boot")
        .bearer(&capability(Scope::Vm))
        .header("cf-connecting-ip", "203.0.113.7")
        .json(&json!({"sealed": ""}))
        .reveals()
        .send(&app, &host)
        .ok(200);
    for name in ["git_token", "anthropic_api_key", "claude_code_oauth_token", "provider_credential"] {
        assert_eq!(answer[name], "", "{name}");
    }
    assert_eq!(answer["env"], json!({}));
}

fn report(path: &str, body: &Value, script: Script) -> Answer {
    Call::post(path).bearer(&capability(Scope::Vm)).json(body).send(&app(), &TestHost::new(script))
}

#[test]
fn when_it_is_ready_it_is_asked_to_prepare_its_disk() {
    let server = baking().label("mayfly-phase", "ui");
    let script = Script::new()
        .then(get(list_of_vm()).gives(200, &only(std::slice::from_ref(&server))))
        .then(get("/servers/4711").gives(200, &server.one()))
        .then(
            put("/servers/4711")
                .checked(|it| assert_eq!(it["labels"]["mayfly-want"], format!("snapshot-{DEADLINE}")))
                .gives(200, &server.one()),
        );
    report("/vm/progress", &json!({"phase": "ready"}), script).ok(200);
}

#[test]
fn its_disk_is_stored_as_golden_and_then_it_is_deleted() {
    let server = baking().label("mayfly-want", &format!("snapshot-{DEADLINE}"));
    let beat = |more: &dyn Fn(Script) -> Script| {
        let found = get(list_of_vm()).gives(200, &only(std::slice::from_ref(&server)));
        let body = json!({"active": NOW_SECS - 60, "verdict": {}, "attention": null, "done": "snapshot"});
        report("/vm/heartbeat", &body, more(Script::new().then(found))).ok(200);
    };
    beat(&|it| {
        it.then(of_vm(&[])).then(
            post("/servers/4711/actions/create_image")
                .checked(|body| {
                    assert_eq!(body["description"], "golden coding");
                    assert_eq!(
                        (&body["labels"]["mayfly-golden"], &body["labels"]["mayfly-clean"]),
                        (&json!("yes"), &json!("yes"))
                    );
                })
                .fixture(201, "create_image.accepted"),
        )
    });
    beat(&|it| it.then(of_vm(&[stored("creating")])));
    beat(&|it| {
        it.then(of_vm(&[stored("available")]))
            .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
    });
}

/// A run of the cron over the VM whose time is up, and what it says.
fn reap(snapshots: &[Value], is_deleted: bool) -> Value {
    let server = baking().label("mayfly-want", &format!("snapshot-{}", NOW_SECS - 1));
    let script = Script::new().then(get(list_of_all()).gives(200, &only(&[server]))).then(of_vm(snapshots));
    let script = if is_deleted {
        script.then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
    } else {
        script
    };
    let script = script
        .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.empty"))
        .then(images(&[], snapshots));
    Call::post("/reap").token().send(&app(), &TestHost::new(script)).ok(200)["reaped"].take()
}

#[test]
fn the_cron_goes_on_where_the_vm_is_not_heard_of_any_more() {
    let asked = (NOW_SECS - 1).to_string();
    let with = |status: &str| {
        let mut image = stored(status);
        image["labels"]["mayfly-asked"] = asked.as_str().into();
        image
    };
    assert_eq!(reap(&[with("creating")], false), json!([]), "the disk is being stored");
    assert_eq!(reap(&[with("available")], true)[0]["reason"], "its disk is stored");
    let why = "it did not prepare its disk; there is no golden snapshot";
    assert_eq!(reap(&[], true)[0]["reason"], why, "what is not clean is never golden");
}

#[test]
fn a_golden_snapshot_is_replaced_by_the_next() {
    let of = |id: u64, created: &str, labels: &[(&str, &str)]| {
        let all =
            [&[("mayfly-golden", "yes"), ("mayfly-clean", "yes"), ("mayfly-profile", "coding")], labels]
                .concat();
        let mut image = image(id, &all);
        image["created"] = created.into();
        image
    };
    let old = of(70, "2026-11-18T09:00:00Z", &[]);
    let anns = of(71, "2026-11-17T09:00:00Z", &[("mayfly-owner", "ann")]);
    let unclean = of(72, "2026-11-17T09:00:00Z", &[("mayfly-clean", "no")]);
    let new = of(73, "2026-11-19T09:00:00Z", &[]);
    let mut growing = of(74, "2026-11-20T09:00:00Z", &[]);
    growing["status"] = "creating".into();
    let script = Script::new()
        .then(get(list_of_all()).gives(200, &only(&[])))
        .side_by_side(vec![
            get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.empty"),
            get(list_of("ssh_keys", &[], 1)).fixture(200, "list_ssh_keys.empty"),
            get(list_of("firewalls", &[], 1)).fixture(200, "list_firewalls.empty"),
        ])
        .then(images(&[], &[growing, new, old, anns, unclean]))
        .then(delete("/images/70").answers(204, ""));
    let body = Call::post("/reap").token().send(&app(), &TestHost::new(script)).ok(200);
    assert_eq!(body["reaped"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["reaped"][0]["reason"], "a newer golden snapshot is ready");
}

fn golden(list: &[Value]) -> Exchange {
    images(&[("mayfly-golden", "yes")], list)
}

fn from_golden(list: &[Value], more: impl Fn(Script) -> Script) -> Answer {
    let mut body = creation::request();
    body["from"] = "golden".into();
    let script = more(Script::new().side_by_side(catalogue()).then(golden(list)));
    Call::post("/vms").token().json(&body).send(&app(), &TestHost::new(script))
}

#[test]
fn a_vm_starts_from_the_newest_that_is_ready() {
    let of = |id: u64, labels: &[(&str, &str)]| {
        image(
            id,
            &[&[("mayfly-golden", "yes"), ("mayfly-clean", "yes"), ("mayfly-owner", "ann")], labels].concat(),
        )
    };
    let old = of(70, &[("mayfly-profile", "coding")]);
    let mut new = of(71, &[("mayfly-profile", "coding")]);
    new["created"] = "2026-11-20T09:30:00Z".into();
    let mut growing = of(72, &[("mayfly-profile", "coding")]);
    growing["status"] = "creating".into();
    growing["created"] = "2026-11-20T09:50:00Z".into();
    let other = of(73, &[("mayfly-profile", "something")]);
    from_golden(&[old, growing.clone(), other.clone(), new], |it| {
        it.side_by_side(prepared())
            .then(
                post("/servers")
                    .checked(|body| assert_eq!(body["image"], "71"))
                    .computes(201, |request| creation::made_from(request).creation()),
            )
            .then(address_ids())
            .side_by_side(addresses())
    })
    .ok(201);
    let answer = from_golden(&[growing, other], |it| it);
    assert_eq!(answer.kind(), (409, "no_golden_snapshot".into()));
}

#[test]
fn a_golden_snapshot_is_shown_to_everybody_and_its_vm_opened_by_nobody() {
    let anns = [("mayfly-golden", "yes"), ("mayfly-clean", "yes"), ("mayfly-owner", "ann")];
    let host = TestHost::new(
        Script::new()
            .then(images(&[], &[image(71, &anns), image(72, &anns[2..])]))
            .then(get("/pricing").fixture(200, "get_pricing.eur")),
    );
    let shown = Call::get("/snapshots").token().send(&app(), &host).ok(200)["snapshots"].take();
    assert_eq!((shown.as_array().map(Vec::len), &shown[0]["is_golden"]), (Some(1), &json!(true)));
    let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &baking().one())));
    let answer = Call::post("/vms/hetzner-4711/open").token().send(&app(), &host);
    assert_eq!(answer.kind(), (409, "wrong_state".into()));
}
