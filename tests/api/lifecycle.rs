//! Stop, start, extend: what is written and asked of the provider, what is refused, and what a failure leaves behind.

use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, get, post, put};
use super::support::world::{NOW_SECS, app, capability, list_of_vm};
use mayfly::keys::Scope;

const HOUR: u64 = 3600;

fn read(server: &Server) -> Exchange {
    get("/servers/4711").gives(200, &server.one())
}

/// The labels of a server with these changed; an empty text takes one away.
fn changed(server: &Server, changes: &[(&str, &str)]) -> Server {
    changes.iter().fold(server.clone(), |it, (key, value)| {
        if value.is_empty() { it.without_label(key) } else { it.label(key, value) }
    })
}

/// Read by the handler, read and written by the change, read again.
fn written(server: &Server, changes: &[(&str, &str)]) -> Script {
    let after = changed(server, changes);
    Script::new()
        .then(read(server))
        .then(read(server))
        .then(put("/servers/4711").json(after.labels_with(&[])).gives(200, &after.one()))
        .then(read(&after))
}

fn action(name: &str) -> Exchange {
    post(format!("/servers/4711/actions/{name}")).nothing()
}

fn ask(path: &str, body: Option<&Value>, script: Script) -> Answer {
    let call = Call::post(path).token();
    let call = match body {
        Some(body) => call.json(body),
        None => call,
    };
    call.send(&app(), &TestHost::new(script))
}

fn secs(at: u64) -> String {
    at.to_string()
}

fn stopped() -> Server {
    Server::ours()
        .set("status", "off")
        .label("mayfly-want", "stop-1795160000")
        .label("mayfly-run", "12")
        .label("mayfly-attention", "done")
        .label("mayfly-missed", "1795160000")
}

#[test]
fn a_vm_that_can_be_asked_saves_its_work_first() {
    let changes = [
        ("mayfly-want", &*format!("stop-{}", NOW_SECS + 600)),
        ("mayfly-expires", &*secs(NOW_SECS + 72 * HOUR)),
    ];
    let body = ask("/vms/hetzner-4711/stop", None, written(&Server::ours(), &changes)).ok(202);
    assert_eq!(body["vm"]["state"], "running");
    assert_eq!(body["vm"]["want"], "stop");
    assert_eq!(
        body["detail"],
        "The VM saves its work first. It may stay stopped until 2026-11-23T10:00:00Z; then it is deleted. Hetzner Cloud \
         bills a stopped VM like one that runs: EUR 0.011424 per hour."
    );
    // Whoever asks again is told so, and nothing is written.
    let asked = changed(&Server::ours(), &changes);
    let again = ask("/vms/hetzner-4711/stop", None, Script::new().then(read(&asked))).ok(202);
    assert_eq!(again["detail"], "It has been asked already.");
}

#[test]
fn the_vm_hears_of_it_and_is_switched_off_when_its_work_is_saved() {
    let asked = Server::ours().label("mayfly-want", &format!("stop-{}", NOW_SECS + 300));
    let found = || get(list_of_vm()).gives(200, &only(std::slice::from_ref(&asked)));
    let beat = json!({"active": NOW_SECS - 60, "verdict": {}, "attention": null});
    let answer = Call::post("/vm/heartbeat").bearer(&capability(Scope::Vm)).json(&beat);
    let answer = answer.send(&app(), &TestHost::new(Script::new().then(found()))).ok(200);
    assert_eq!((&answer["want"], &answer["next_seconds"]), (&json!("stop"), &json!(20)));
    let after = asked.clone().label("mayfly-phase", "stopping").label("mayfly-seen", &secs(NOW_SECS));
    let script = Script::new()
        .then(found())
        .then(read(&asked))
        .then(put("/servers/4711").json(after.labels_with(&[])).gives(200, &after.one()))
        .then(action("shutdown").fixture(201, "power.accepted"));
    let report =
        Call::post("/vm/progress").bearer(&capability(Scope::Vm)).json(&json!({"phase": "stopping"}));
    let answer = report.send(&app(), &TestHost::new(script)).ok(200);
    assert_eq!(answer["want"], "stop");
}

#[test]
fn a_vm_that_cannot_be_asked_is_switched_off_at_once() {
    for server in [
        Server::ours().label("mayfly-phase", "clone"),
        Server::ours().label("mayfly-seen", &secs(NOW_SECS - 2 * HOUR)),
        Server::ours().without_label("mayfly-seen"),
    ] {
        let changes =
            [("mayfly-want", &*format!("stop-{NOW_SECS}")), ("mayfly-expires", &*secs(NOW_SECS + 72 * HOUR))];
        let script = written(&server, &changes).then(action("shutdown").fixture(201, "power.accepted"));
        let body = ask("/vms/hetzner-4711/stop", None, script).ok(202);
        let detail = body["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with("The VM could not be asked to save its work first."), "{detail}");
    }
}

#[test]
fn a_start_gives_the_hours_of_the_creation_again() {
    let run = format!("12.{NOW_SECS}");
    let changes = [
        ("mayfly-want", ""),
        ("mayfly-phase", "booting"),
        ("mayfly-expires", &*secs(NOW_SECS + 12 * HOUR)),
        ("mayfly-active", &*secs(NOW_SECS)),
        ("mayfly-run", &*run),
        ("mayfly-attention", ""),
        ("mayfly-timing", ""),
        ("mayfly-reason", ""),
        ("mayfly-missed", ""),
    ];
    let on = || action("poweron");
    let script = written(&stopped(), &changes).then(on().fixture(201, "power.accepted"));
    let body = ask("/vms/hetzner-4711/start", None, script).ok(202);
    assert_eq!(body["detail"], "The VM starts, for 12 hours at the most.");
    assert_eq!((&body["vm"]["phase"], &body["vm"]["want"]), (&json!("booting"), &Value::Null));
    // Without a place for it, it stands still as before, and until the same date.
    let after = changed(&stopped(), &changes);
    let before = changed(&after, &[("mayfly-expires", "1795208400")]);
    let script = written(&stopped(), &changes)
        .then(on().fixture(412, "error.resource_unavailable"))
        .then(read(&after))
        .then(put("/servers/4711").json(before.labels_with(&[])).gives(200, &before.one()));
    assert_eq!(ask("/vms/hetzner-4711/start", None, script).kind(), (503, "provider_capacity".into()));
}

#[test]
fn an_extension_moves_the_end_and_keeps_the_vm_from_idling_away() {
    let changes = [
        ("mayfly-expires", &*secs(NOW_SECS + 12 * HOUR)),
        ("mayfly-want", &*format!("keep-{}", NOW_SECS + HOUR)),
    ];
    let server = Server::ours().label("mayfly-expires", &secs(NOW_SECS + 11 * HOUR));
    let body =
        ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), written(&server, &changes)).ok(200);
    assert_eq!(
        body["detail"],
        "It ends at 2026-11-20T22:00:00Z at the latest. Until 2026-11-20T11:00:00Z it does not end for idleness."
    );
    // What is past already counts from now.
    let late = Server::ours().label("mayfly-expires", &secs(NOW_SECS - HOUR));
    let changes =
        [("mayfly-expires", &*secs(NOW_SECS + HOUR)), ("mayfly-want", &*format!("keep-{}", NOW_SECS + HOUR))];
    ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), written(&late, &changes)).ok(200);
    // What was promised before is not taken back.
    let promised = secs(NOW_SECS + 8 * HOUR);
    let kept = Server::ours().label("mayfly-want", &format!("keep-{promised}"));
    let kept = kept.label("mayfly-expires", &secs(NOW_SECS + 8 * HOUR));
    let changes = [("mayfly-expires", &*secs(NOW_SECS + 9 * HOUR))];
    let body =
        ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), written(&kept, &changes)).ok(200);
    assert_eq!(
        body["detail"],
        "It ends at 2026-11-20T19:00:00Z at the latest. Until 2026-11-20T18:00:00Z it does not end for idleness."
    );
    // A stopped VM has a date and no idleness.
    let changes = [("mayfly-expires", &*secs(1_795_208_400 + HOUR))];
    let body =
        ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), written(&stopped(), &changes)).ok(200);
    assert_eq!(body["detail"], "It ends at 2026-11-20T22:00:00Z at the latest.");
}

#[test]
fn an_extension_has_a_limit_and_a_shape() {
    for body in [
        json!({}),
        json!({"minutes": 0}),
        json!({"minutes": -5}),
        json!({"minutes": 10081}),
        json!({"minutes": "60"}),
        json!({"minutes": 60, "hours": 1}),
        json!([60]),
    ] {
        let answer = ask("/vms/hetzner-4711/extend", Some(&body), Script::new());
        assert_eq!(answer.kind(), (400, "invalid_request".into()), "{body}");
    }
    let answer = ask(
        "/vms/hetzner-4711/extend",
        Some(&json!({"minutes": 10080})),
        Script::new().then(read(&Server::ours())),
    );
    assert_eq!(
        answer.json()["errors"][0]["detail"],
        "would make it end at 2026-11-27T21:00:00Z; 168 hours from now, 2026-11-27T10:00:00Z, is the latest"
    );
}

#[test]
fn what_is_not_possible_is_told_with_what_is() {
    let asked = Server::ours().label("mayfly-want", &format!("stop-{}", NOW_SECS + 300));
    for (path, server, detail) in [
        (
            "start",
            Server::ours(),
            "The VM is running: start is not possible now. Possible: stop, extend, open, snapshot, delete.",
        ),
        (
            "stop",
            stopped(),
            "The VM is stopped: stop is not possible now. Possible: start, extend, snapshot, delete.",
        ),
        (
            "stop",
            Server::ours().set("status", "deleting"),
            "The VM is deleting: stop is not possible now. Possible: delete.",
        ),
        (
            "extend",
            asked,
            "The VM is running, and has been asked to stop: extend is not possible now. Possible: stop, open, delete.",
        ),
    ] {
        let answer = ask(
            &format!("/vms/hetzner-4711/{path}"),
            (path == "extend").then_some(&json!({"minutes": 5})),
            Script::new().then(read(&server)),
        );
        answer.is_problem(409, "wrong_state", detail);
    }
}

#[test]
fn a_change_that_somebody_overwrote_is_written_again_and_not_believed_unseen() {
    let server = Server::ours();
    let changes = [
        ("mayfly-expires", &*secs(NOW_SECS + 12 * HOUR)),
        ("mayfly-want", &*format!("keep-{}", NOW_SECS + HOUR)),
    ];
    let after = changed(&server, &changes);
    let write = || put("/servers/4711").json(after.labels_with(&[])).gives(200, &after.one());
    let late = Script::new()
        .then(read(&server))
        .then(read(&server))
        .then(write())
        .then(read(&server))
        .then(read(&server))
        .then(write())
        .then(read(&after));
    ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), late).ok(200);
    let mut never = Script::new().then(read(&server));
    for _ in 0..3 {
        never = never.then(read(&server)).then(write()).then(read(&server));
    }
    let answer = ask("/vms/hetzner-4711/extend", Some(&json!({"minutes": 60})), never);
    assert_eq!(answer.kind(), (409, "changed_meanwhile".into()));
}

#[test]
fn nobody_touches_somebody_elses() {
    for foreign in [Server::foreign(), Server::ours().label("mayfly-owner", "ann")] {
        for path in ["stop", "start", "extend"] {
            let answer = ask(
                &format!("/vms/hetzner-4711/{path}"),
                (path == "extend").then_some(&json!({"minutes": 5})),
                Script::new().then(read(&foreign)),
            );
            assert_eq!(answer.kind(), (404, "vm_not_found".into()), "{path}");
        }
    }
}
