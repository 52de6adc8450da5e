//! The tails of logs: who may leave them, who may read them, how long they stay.

use mayfly::keys::Scope;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::fixtures::Server;
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::store::Store;
use super::support::world::{NOW_SECS, VM, app, capability};

const DAY_SECS: u64 = 86_400;
const NOT_KEPT: &str =
    "No bucket keeps logs here. The VM's status page shows its log: open the VM and go to /_mayfly/status.";

fn leave(store: &Store, body: &Value) -> Answer {
    let call = Call::post("/vm/log").bearer(&capability(Scope::Vm)).json(body);
    call.store(store).send(&app(), &TestHost::silent())
}

fn look(query: &str) -> (Call, TestHost) {
    let script = Script::new().then(get("/servers/4711").gives(200, &Server::ours().one()));
    (Call::get(&format!("/vms/hetzner-4711/log{query}")).token(), TestHost::new(script))
}

#[test]
fn the_last_tail_of_each_source_is_what_is_shown() {
    let store = Store::new();
    let show = |query: &str| {
        let (call, host) = look(query);
        call.store(&store).send(&app(), &host)
    };
    assert_eq!(show("").kind(), (404, "log_not_found".to_owned()));
    for tail in ["phase clone\n", "phase devcontainer\n\"quoted\" <b>\n"] {
        let answer = leave(&store, &json!({ "source": "boot", "tail": tail }));
        assert_eq!(answer.ok(200), json!({ "kept": true }));
    }
    leave(&store, &json!({ "source": "build", "tail": "Step 1\n" })).ok(200);
    let boot = json!({
        "source": "boot", "saved_at": "2026-11-20T10:00:00Z", "tail": "phase devcontainer\n\"quoted\" <b>\n",
    });
    assert_eq!(show("").ok(200), boot);
    assert_eq!(show("?source=boot").ok(200), boot);
    assert_eq!(show("?source=build").ok(200)["tail"], "Step 1\n");
    assert_eq!(store.keys(), [format!("mayfly/~logs/{VM}/boot"), format!("mayfly/~logs/{VM}/build")]);
    store.fail();
    assert_eq!(show("").kind(), (502, "bucket_failed".to_owned()));
    assert_eq!(
        leave(&store, &json!({ "source": "boot", "tail": "" })).kind(),
        (502, "bucket_failed".to_owned())
    );
}

#[test]
fn without_a_bucket_the_answer_says_where_logs_are() {
    let (call, host) = look("?source=boot");
    call.send(&app(), &host).is_problem(404, "log_not_kept", NOT_KEPT);
    let call = Call::post("/vm/log").bearer(&capability(Scope::Vm));
    let call = call.json(&json!({ "source": "boot", "tail": "x" }));
    call.send(&app(), &TestHost::silent()).is_problem(404, "log_not_kept", NOT_KEPT);
}

#[test]
fn what_is_no_tail_is_refused() {
    let store = Store::new();
    for (body, field) in [
        (json!({ "source": "idle", "tail": "x" }), "source"),
        (json!({ "source": "boot", "tail": "x".repeat(8193) }), "tail"),
    ] {
        let answer = leave(&store, &body);
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{body}");
        assert!(answer.text().contains(&format!("\"{field}\"")), "{}", answer.text());
    }
    for body in
        [json!({ "source": "boot" }), json!({ "source": "boot", "tail": "x", "vm": "another" }), json!([])]
    {
        assert_eq!(leave(&store, &body).kind().0, 400, "{body}");
    }
    leave(&store, &json!({ "source": "boot", "tail": "x".repeat(8192) })).ok(200);
    let odd = Call::get("/vms/hetzner-4711/log?source=container").token().store(&store);
    assert_eq!(odd.send(&app(), &TestHost::silent()).kind().0, 400);
}

#[test]
fn logs_of_long_ago_go_when_a_vm_starts() {
    let store = Store::new();
    for (age_secs, key) in [
        (8 * DAY_SECS, "mayfly/~logs/old/boot"),
        (6 * DAY_SECS, "mayfly/~logs/newer/boot"),
        (99 * DAY_SECS, "mayfly/default/github.com~o~r/config"),
        (99 * DAY_SECS, "another/~logs/old/boot"),
    ] {
        store.at(NOW_SECS - age_secs);
        store.put(key, b"{}".to_vec());
    }
    super::token::boot(&app(), &Server::ours(), Some(&store));
    assert_eq!(
        store.keys(),
        ["another/~logs/old/boot", "mayfly/default/github.com~o~r/config", "mayfly/~logs/newer/boot"]
    );
}
