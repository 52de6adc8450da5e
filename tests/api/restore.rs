//! What a new workspace begins with: the newest backup, none, or one that is there. What comes with the exchange of its VM is
//! what its creation said.

use mayfly::keys::Scope;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{request, smooth};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::store::Store;
use super::support::world::{BACKUP_KEY, Settings, VM, app, capability, list_of_vm, sha256_hex};

const OURS: &str = "default/github.com~octo~Hello-World";

/// A Worker that may keep backups.
fn keeper() -> mayfly::App {
    Settings::usual().with("BACKUP_KEY", BACKUP_KEY).app()
}

/// A bucket with one backup of a workspace.
fn kept(workspace: &str) -> Store {
    let store = Store::new();
    store.put(&format!("mayfly/{workspace}/snapshots/{}", sha256_hex("one")), vec![0; 5]);
    store
}

fn with(restore: &Value) -> Value {
    let mut body = request();
    body["restore"] = restore.clone();
    body
}

fn create(body: &Value, store: Option<&Store>, host: &TestHost) -> Answer {
    let call = Call::post("/vms").token().json(body);
    let call = match store {
        Some(store) => call.store(store),
        None => call,
    };
    call.send(&keeper(), host)
}

/// What the user data says, and what the exchange of the VM then gives.
fn exchange(body: &Value, store: Option<&Store>) -> (Value, Value) {
    let host = TestHost::new(smooth());
    create(body, store, &host).ok(201);
    let sent = host.requests().into_iter().find(|it| it.url.ends_with("/servers")).expect("a creation");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    let file = super::support::user_data::vm_file(sent["user_data"].as_str().expect("user data"));
    let vm = file["vm"].as_str().expect("an id");
    let server = Server::ours()
        .label("mayfly-phase", "docker")
        .set("created", "2026-11-20T09:59:00Z")
        .label("mayfly-vm", vm);
    let host =
        TestHost::new(Script::new().then(get(list_of_vm().replace(VM, vm)).gives(200, &only(&[server]))));
    let got = Call::post("/vm/boot")
        .bearer(file["capability"].as_str().expect("a capability"))
        .header("cf-connecting-ip", "203.0.113.7")
        .json(&json!({"sealed": file["sealed"]}))
        .reveals()
        .send(&keeper(), &host)
        .ok(200);
    (file, got)
}

#[test]
fn what_a_request_says_of_earlier_work_its_vm_hears_at_the_exchange() {
    let store = kept(OURS);
    let id = sha256_hex("one");
    for (said, heard) in [(json!(null), ""), (json!("latest"), ""), (json!("none"), "none"), (json!(id), &id)]
    {
        let (file, got) = exchange(&with(&said), Some(&store));
        assert_eq!(got["restore"], heard, "{said}");
        assert_eq!(got["git_token"], "", "nothing else was given");
        assert_eq!(file["sealed"] == "", heard.is_empty(), "what is usual takes no room");
    }
    let mut both = with(&json!(id));
    both["git_token"] = "secret-given-git".into();
    let (_, got) = exchange(&both, Some(&store));
    assert_eq!((&got["restore"], &got["git_token"]), (&json!(id), &json!("secret-given-git")));
}

#[test]
fn the_newest_backup_of_none_and_no_backups_at_all_are_a_fresh_start() {
    let (_, got) = exchange(&with(&json!("latest")), Some(&Store::new()));
    assert_eq!(got["restore"], "");
    for said in ["latest", "none"] {
        let (_, got) = exchange(&with(&json!(said)), None);
        assert_eq!(got["backup_password"], "");
    }
}

#[test]
fn a_backup_that_is_not_there_is_refused_before_any_provider_is_asked() {
    let id = sha256_hex("one");
    let refused = |answer: &Answer, detail: &str, what: &str| {
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{what}");
        assert_eq!(answer.json()["errors"], json!([{"field": "restore", "detail": detail}]), "{what}");
    };
    let none = "is no backup of this repository; GET /workspaces lists those that there are";
    for other in [
        "ann/github.com~octo~Hello-World",
        "default/github.com~octo~Hello",
        "default/github.com~octo~Hello-World-2",
        "default/gitlab.com~octo~Hello-World",
    ] {
        refused(&create(&with(&json!(id)), Some(&kept(other)), &TestHost::silent()), none, other);
    }
    let longer = with(&json!(sha256_hex("two")));
    refused(&create(&longer, Some(&kept(OURS)), &TestHost::silent()), none, "another id");
    let nowhere = "must be latest or none: this deployment keeps no backups";
    refused(&create(&with(&json!(id)), None, &TestHost::silent()), nowhere, "no bucket");
    let call = Call::post("/vms").token().json(&with(&json!(id))).store(&kept(OURS));
    refused(&call.send(&app(), &TestHost::silent()), nowhere, "no key");
}

#[test]
fn a_bucket_that_fails_is_no_missing_backup() {
    let store = kept(OURS);
    store.fail();
    let answer = create(&with(&json!(sha256_hex("one"))), Some(&store), &TestHost::silent());
    assert_eq!(answer.kind(), (502, "bucket_failed".to_owned()));
}

#[test]
fn all_problems_of_a_request_are_told_at_once_with_this_one() {
    let mut body = with(&json!("yesterday"));
    body["size"] = "huge".into();
    let answer = create(&body, Some(&kept(OURS)), &TestHost::silent());
    let errors = answer.json()["errors"].as_array().expect("errors").clone();
    let fields: Vec<_> = errors.iter().map(|it| it["field"].as_str().unwrap_or_default()).collect();
    assert_eq!(fields, ["size", "restore"]);
}

#[test]
fn the_sealed_answer_of_an_older_worker_is_opened_too() {
    let plain = json!({"git_token": "g", "anthropic_api_key": "", "claude_code_oauth_token": "", "env": {}});
    let sealed = super::support::creation::signer().seal(plain.to_string().as_bytes(), "mayfly", VM, [7; 12]);
    let server = Server::ours().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&[server]))));
    let got = Call::post("/vm/boot")
        .bearer(&capability(Scope::Vm))
        .header("cf-connecting-ip", "203.0.113.7")
        .json(&json!({"sealed": sealed}))
        .reveals()
        .send(&app(), &host)
        .ok(200);
    assert_eq!((&got["git_token"], &got["restore"]), (&json!("g"), &json!("")));
}
