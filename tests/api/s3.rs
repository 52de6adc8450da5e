//! Backups in a store beside the Worker: what its configuration must have, and what of it reaches which VM by which way. That
//! restic and the Worker get along with such a store is `tests/backup/s3.test.mjs`'s business.

use mayfly::keys::{Claims, Scope};
use serde_json::{Value, json};

use super::support::call::Call;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::store::Store;
use super::support::world::{BACKUP_KEY, NOW_SECS, Settings, capability, claims, keyring, list_of_vm};

const SECRET: &str = "secret-given-to-the-store";
const OURS: &str = "default/github.com~octo~Hello-World";

fn settings() -> Settings {
    Settings::usual()
        .with("BACKUP_KEY", BACKUP_KEY)
        .with("BACKUP_S3_ENDPOINT", "https://s3.eu-central-1.example/")
        .with("BACKUP_S3_BUCKET", "kept")
        .with("BACKUP_S3_REGION", "eu-central-1")
        .with("BACKUP_S3_ACCESS_KEY_ID", "AKID")
        .with("BACKUP_S3_SECRET_ACCESS_KEY", SECRET)
}

fn of_vm(app: &mayfly::App, call: Call, server: &Server, store: Option<&Store>) -> Value {
    let host =
        TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(std::slice::from_ref(server)))));
    let call = call.bearer(&capability(Scope::Vm)).header("cf-connecting-ip", "203.0.113.7").reveals();
    let call = if let Some(store) = store { call.store(store) } else { call };
    call.send(app, &host).ok(200)
}

fn boot(app: &mayfly::App, server: &Server) -> Value {
    let server = server.clone().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    of_vm(app, Call::post("/vm/boot").json(&json!({ "sealed": "" })), &server, None)
}

/// The keys that are wrong, in the order of their names.
fn wrong(settings: &Settings) -> Vec<String> {
    let answer = Call::get("/healthz").send(&settings.clone().app(), &TestHost::silent());
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    let mut keys: Vec<String> =
        errors.iter().filter_map(|it| it["field"].as_str().map(str::to_owned)).collect();
    keys.sort();
    keys
}

#[test]
fn the_secret_comes_with_the_exchange_and_the_rest_with_each_token() {
    let app = settings().app();
    let got = boot(&app, &Server::ours());
    assert_eq!(got["backup_s3_secret"], SECRET);
    assert_eq!(got["backup_password"].as_str().map(str::len), Some(43));
    let ask = Call::post("/vm/token").json(&json!({ "scope": "backup" }));
    let token = of_vm(&app, ask, &Server::ours(), None);
    assert_eq!(
        token,
        json!({
            "token": "", "repository": format!("s3:https://s3.eu-central-1.example/kept/mayfly/{OURS}"),
            "expires": NOW_SECS + 3600, "s3": { "access_key_id": "AKID", "region": "eu-central-1" },
        })
    );
}

#[test]
fn no_vm_without_backups_has_the_key() {
    let app = settings().app();
    let golden = Server::ours().without_label("mayfly-repo").label("mayfly-golden", "yes");
    for server in [Server::ours().without_label("mayfly-repo"), golden] {
        let got = boot(&app, &server);
        assert_eq!((&got["backup_s3_secret"], &got["backup_password"]), (&json!(""), &json!("")));
    }
    let got = boot(&Settings::usual().with("BACKUP_KEY", BACKUP_KEY).app(), &Server::ours());
    assert_eq!(got["backup_s3_secret"], "");
}

#[test]
fn a_configured_store_goes_before_a_bound_bucket() {
    let (app, store) = (settings().app(), Store::new());
    let expires_secs = Some(NOW_SECS + 3600);
    let token =
        keyring().signer().sign(&Claims { workspace: OURS.into(), expires_secs, ..claims(Scope::Backup) });
    let closed = Call::get(&format!("/vm/backup/{OURS}/config")).bearer(&token).store(&store);
    assert_eq!(closed.send(&app, &TestHost::silent()).kind(), (404, "backups_not_configured".to_owned()));
    let ask = Call::post("/vm/token").json(&json!({ "scope": "backup" }));
    let token = of_vm(&app, ask, &Server::ours(), Some(&store));
    assert!(token["repository"].as_str().is_some_and(|it| it.starts_with("s3:")), "{token}");
}

#[test]
fn half_a_configuration_is_told_whole() {
    assert_eq!(wrong(&settings()), [""; 0]);
    assert_eq!(wrong(&settings().without("BACKUP_S3_REGION")), [""; 0], "stores without regions take any");
    assert_eq!(
        wrong(&Settings::usual().with("BACKUP_S3_REGION", "eu-central-1")),
        [
            "BACKUP_KEY",
            "BACKUP_S3_ACCESS_KEY_ID",
            "BACKUP_S3_BUCKET",
            "BACKUP_S3_ENDPOINT",
            "BACKUP_S3_SECRET_ACCESS_KEY"
        ]
    );
    for (key, bad) in [
        ("BACKUP_S3_ENDPOINT", "s3.example"),
        ("BACKUP_S3_ENDPOINT", "https://s3.example/kept"),
        ("BACKUP_S3_ENDPOINT", "https://AKID:secret@s3.example"),
        ("BACKUP_S3_BUCKET", "ab"),
        ("BACKUP_S3_BUCKET", "Kept_here"),
        ("BACKUP_S3_BUCKET", "a/../b"),
        ("BACKUP_S3_BUCKET", "a..b"),
        ("BACKUP_S3_REGION", "eu central"),
        ("BACKUP_S3_ACCESS_KEY_ID", "a/b"),
        ("BACKUP_S3_SECRET_ACCESS_KEY", "two words"),
    ] {
        assert_eq!(wrong(&settings().with(key, bad)), [key], "{bad}");
    }
    let answer = Call::get("/healthz").send(
        &settings().with("BACKUP_S3_BUCKET", "X").with("BACKUP_S3_REGION", "X").app(),
        &TestHost::silent(),
    );
    assert!(!answer.text().contains(SECRET) && answer.status == 503);
}
