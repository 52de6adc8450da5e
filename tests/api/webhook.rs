//! What is an event, and what the configuration of a webhook must be. How events are delivered is tests/e2e/webhook.test.mjs.

use mayfly::App;
use mayfly::keys::Scope;
use serde_json::{Value, json};

use super::support::call::Call;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get, put};
use super::support::world::{NOW_SECS, Settings, app, capability, list_of_vm};

/// The events of one report of the VM.
fn told(server: &Server, path: &str, body: &Value) -> Vec<&'static str> {
    let script = Script::new()
        .then(get(list_of_vm()).gives(200, &only(std::slice::from_ref(server))))
        .then(get("/servers/4711").gives(200, &server.one()))
        .then(put("/servers/4711").gives(200, &server.one()));
    let host = TestHost::new(script);
    Call::post(path).bearer(&capability(Scope::Vm)).json(body).send(&app(), &host).ok(200);
    host.forgive();
    host.told()
}

#[test]
fn the_end_of_a_boot_is_told_and_nothing_before_it() {
    let booting = Server::ours().label("mayfly-phase", "ui");
    let ready = booting.clone().label("mayfly-phase", "ready");
    let failed = json!({"phase": "failed", "reason": {"phase": "ui", "code": "timeout"}});
    assert_eq!(told(&booting, "/vm/progress", &json!({"phase": "ready"})), ["vm.ready"]);
    assert_eq!(told(&booting, "/vm/progress", &failed), ["vm.failed"]);
    let clone = booting.label("mayfly-phase", "docker");
    assert!(told(&clone, "/vm/progress", &json!({"phase": "clone"})).is_empty());
    assert!(told(&ready, "/vm/progress", &json!({"phase": "ready"})).is_empty(), "told already");
}

#[test]
fn an_agent_that_begins_to_wait_is_told_once() {
    let working = Server::ours().label("mayfly-phase", "ready").without_label("mayfly-attention");
    let waiting = working.clone().label("mayfly-attention", "waiting");
    let beat = |attention: Value| json!({"active": NOW_SECS, "verdict": {}, "attention": attention});
    assert_eq!(told(&working, "/vm/heartbeat", &beat("waiting".into())), ["vm.attention"]);
    assert!(told(&waiting, "/vm/heartbeat", &beat("waiting".into())).is_empty());
    assert!(told(&waiting, "/vm/heartbeat", &beat(Value::Null)).is_empty(), "it goes on");
    assert!(told(&working, "/vm/heartbeat", &beat("done".into())).is_empty());
}

#[test]
fn a_vm_that_warns_of_its_end_is_told() {
    let server = Server::ours().label("mayfly-phase", "ready");
    let beat =
        |ending: Value| json!({"active": NOW_SECS, "verdict": {}, "attention": null, "ending": ending});
    assert_eq!(told(&server, "/vm/heartbeat", &beat(280.into())), ["vm.idle_warning"]);
    assert!(told(&server, "/vm/heartbeat", &beat(Value::Null)).is_empty());
}

#[test]
fn a_webhook_needs_an_https_address_and_a_key() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let problems = |url: &str, secret: &str, simulation: &str| -> Vec<&'static str> {
        let app: App = Settings::usual()
            .with("WEBHOOK_URL", url)
            .with("WEBHOOK_SECRET", secret)
            .with("SIMULATION", simulation)
            .app();
        app.ready().err().map(|it| it.iter().map(|it| it.key).collect()).unwrap_or_default()
    };
    let none: [&str; 0] = [];
    assert_eq!(problems("", "", ""), none);
    assert_eq!(problems("https://hooks.example/a?b=c", key, ""), none);
    assert_eq!(problems("http://hooks.example/a", key, "1"), none);
    assert_eq!(problems("http://hooks.example/a", key, ""), ["WEBHOOK_URL"]);
    assert_eq!(problems("https://hooks.example/a", "", ""), ["WEBHOOK_SECRET"]);
    assert_eq!(problems("", key, ""), ["WEBHOOK_URL"]);
    assert_eq!(problems("https:///a", "whsec_c2hvcnQ=", ""), ["WEBHOOK_SECRET", "WEBHOOK_URL"]);
    assert_eq!(
        problems("https://hooks.example/ a", "whsec_not base64", ""),
        ["WEBHOOK_SECRET", "WEBHOOK_URL"]
    );
}
