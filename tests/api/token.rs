//! Tokens and passwords for backups: which workspace a VM's labels name, how often old backups may go.

use mayfly::keys::{Claims, Scope};
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::store::Store;
use super::support::world::{
    BACKUP_KEY, NOW_SECS, ORIGIN, Settings, VM, capability, claims, keyring, list_of_vm, sha256_hex,
};

const OURS: &str = "default/github.com~octo~Hello-World";

fn app() -> mayfly::App {
    Settings::usual().with("BACKUP_KEY", BACKUP_KEY).app()
}

fn host(server: &Server) -> TestHost {
    TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(std::slice::from_ref(server)))))
}

fn ask(app: &mayfly::App, server: &Server, store: Option<&Store>, scope: &str) -> Answer {
    let call = Call::post("/vm/token").bearer(&capability(Scope::Vm)).json(&json!({ "scope": scope }));
    let call = if let Some(store) = store { call.store(store) } else { call };
    call.send(app, &host(server))
}

#[test]
fn a_vm_gets_a_token_for_its_own_workspace_for_an_hour() {
    let store = Store::new();
    let answer = ask(&app(), &Server::ours(), Some(&store), "backup").ok(200);
    assert_eq!(answer["repository"], format!("{ORIGIN}/vm/backup/{OURS}/"));
    assert_eq!(answer["expires"], NOW_SECS + 3600);
    let token = answer["token"].as_str().expect("a token");
    let (claims, _) = keyring().verify(token, "mayfly", NOW_SECS).expect("a capability");
    assert_eq!((claims.scope, claims.workspace.as_str(), claims.vm.as_str()), (Scope::Backup, OURS, VM));
    assert!(keyring().verify(token, "mayfly", NOW_SECS + 3600).is_none());
    // It is good for what it was made for.
    let list = Call::get(&format!("/vm/backup/{OURS}/locks/")).bearer(token).store(&store);
    assert_eq!(list.send(&app(), &TestHost::silent()).status, 200);
}

#[test]
fn old_backups_may_go_once_a_day_and_only_after_a_new_one() {
    let (store, server) = (Store::new(), Server::ours());
    let prune = || ask(&app(), &server, Some(&store), "prune");
    let no_backup = "Nothing is pruned now: there is no backup of the last hour.";
    prune().is_problem(409, "prune_not_due", no_backup);
    let snapshot = |secs: u64, name: &str| {
        store.at(secs);
        store.put(&format!("mayfly/{OURS}/snapshots/{}", sha256_hex(name)), Vec::new());
        store.at(NOW_SECS);
    };
    snapshot(NOW_SECS - 3601, "old");
    prune().is_problem(409, "prune_not_due", no_backup);
    snapshot(NOW_SECS - 3599, "fresh");
    let token = prune().ok(200)["token"].clone();
    let (claims, _) =
        keyring().verify(token.as_str().expect("a token"), "mayfly", NOW_SECS).expect("a capability");
    assert_eq!((claims.scope, claims.workspace.as_str()), (Scope::Prune, OURS));
    prune().is_problem(409, "prune_not_due", "Nothing is pruned now: that was done less than a day ago.");
    // The mark is nobody's to take away.
    let path = format!("/vm/backup/{OURS}/pruned");
    let delete = Call::delete(&path).bearer(token.as_str().expect("a token")).store(&store);
    assert_eq!(delete.send(&app(), &TestHost::silent()).status, 404);
    store.at(NOW_SECS - 86_400);
    store.put(&format!("mayfly/{OURS}/pruned"), Vec::new());
    assert_eq!(prune().status, 200);
}

#[test]
fn without_bucket_key_or_repository_there_are_no_backups() {
    let store = Store::new();
    let code = (404, "backups_not_configured".to_owned());
    let nameless = Server::ours().without_label("mayfly-repo");
    assert_eq!(ask(&app(), &Server::ours(), None, "backup").kind(), code);
    assert_eq!(ask(&Settings::usual().app(), &Server::ours(), Some(&store), "backup").kind(), code);
    assert_eq!(ask(&app(), &nameless, Some(&store), "backup").kind(), code);
}

#[test]
fn what_a_capability_tells_is_its_workspace_whatever_became_of_the_labels() {
    let store = Store::new();
    let nameless = Server::ours().without_label("mayfly-repo");
    let its = keyring().signer().sign(&Claims { workspace: OURS.to_owned(), ..claims(Scope::Vm) });
    let call = Call::post("/vm/token").bearer(&its).json(&json!({ "scope": "backup" })).store(&store);
    let answer = call.send(&app(), &host(&nameless)).ok(200);
    assert_eq!(answer["repository"], format!("{ORIGIN}/vm/backup/{OURS}/"));
    // By itself it opens no backup.
    let list = Call::get(&format!("/vm/backup/{OURS}/locks/")).bearer(&its).store(&store);
    assert_eq!(list.send(&app(), &TestHost::silent()).status, 403);
}

#[test]
fn a_vm_that_is_gone_gets_nothing_and_other_scopes_are_none() {
    let call = |scope: Value| {
        Call::post("/vm/token")
            .bearer(&capability(Scope::Vm))
            .json(&json!({ "scope": scope }))
            .store(&Store::new())
    };
    let gone = TestHost::new(Script::new().then(get(list_of_vm()).fixture(200, "list_servers.empty")));
    assert_eq!(call("backup".into()).send(&app(), &gone).kind(), (404, "vm_not_found".to_owned()));
    for scope in [json!("vm"), json!("Agent"), json!(""), json!(1), Value::Null] {
        let answer = call(scope.clone()).send(&app(), &TestHost::silent());
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{scope}");
    }
}

/// What the boot exchange answers.
pub(crate) fn boot(app: &mayfly::App, server: &Server, store: Option<&Store>) -> Value {
    let server = server.clone().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    let call =
        Call::post("/vm/boot").bearer(&capability(Scope::Vm)).header("cf-connecting-ip", "203.0.113.7");
    let call = call.json(&json!({ "sealed": "" })).reveals();
    let call = if let Some(store) = store { call.store(store) } else { call };
    call.send(app, &host(&server)).ok(200)
}

#[test]
fn the_password_is_the_workspaces_and_comes_with_the_boot_exchange_alone() {
    let store = Store::new();
    let of = |app: &mayfly::App, server: &Server| boot(app, server, Some(&store))["backup_password"].clone();
    let password = of(&app(), &Server::ours());
    assert_eq!(password.as_str().map(str::len), Some(43));
    let other_vm = Server::ours().label("mayfly-phase", "clone");
    assert_eq!(of(&app(), &other_vm), password, "the next VM can read it");
    let other_owner = Server::ours().label("mayfly-owner", "ann");
    assert_ne!(of(&app(), &other_owner), password);
    let rotated = Settings::usual()
        .with("BACKUP_KEY", BACKUP_KEY)
        .with("SIGNING_KEY", "k2:ffffffffffffffffffffffffffffffff,k1:0123456789abcdef0123456789abcdef");
    assert_eq!(of(&rotated.app(), &Server::ours()), password, "another signing key changes nothing");
    let other_key = Settings::usual().with("BACKUP_KEY", "another-backup-key-of-the-tests-0123456789");
    assert_ne!(of(&other_key.app(), &Server::ours()), password);
    assert_eq!(boot(&app(), &Server::ours(), None)["backup_password"], "");
    assert_eq!(of(&Settings::usual().app(), &Server::ours()), "");
    let token = ask(&app(), &Server::ours(), Some(&store), "backup");
    assert!(!token.text().contains(password.as_str().expect("text")));
}

#[test]
fn a_short_key_is_refused() {
    let answer =
        Call::get("/healthz").send(&Settings::usual().with("BACKUP_KEY", "short").app(), &TestHost::silent());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["errors"][0]["field"], "BACKUP_KEY");
}
