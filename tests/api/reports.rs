//! Progress, heartbeat and the VM's own end: which labels are written, which are left alone, and when nothing is.

use mayfly::keys::Scope;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::failure;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, put};
use super::support::world::{NOW_SECS, app, capability, list_of_vm};

fn found(server: &Server) -> Exchange {
    get(list_of_vm()).gives(200, &only(std::slice::from_ref(server)))
}

/// A label of somebody else on our server: every write must leave it.
fn ours() -> Server {
    Server::ours().label("environment", "prod").label("example.com/my", "label")
}

fn at_phase(phase: &str) -> Server {
    ours()
        .label("mayfly-phase", phase)
        .without_label("mayfly-timing")
        .without_label("mayfly-why")
        .without_label("mayfly-seen")
}

/// Found, read again, and written with these labels changed.
fn written(server: &Server, changes: &[(&str, &str)]) -> Script {
    Script::new()
        .then(found(server))
        .then(get("/servers/4711").gives(200, &server.one()))
        .then(put("/servers/4711").json(server.labels_with(changes)).gives(200, &server.one()))
}

fn report(path: &str, body: &Value, script: Script) -> Answer {
    Call::post(path).bearer(&capability(Scope::Vm)).json(body).send(&app(), &TestHost::new(script))
}

fn progress(body: &Value, script: Script) -> Answer {
    report("/vm/progress", body, script)
}

fn beat(body: &Value, script: Script) -> Answer {
    report("/vm/heartbeat", body, script)
}

const SEEN_NOW: (&str, &str) = ("mayfly-seen", "1795168800");

#[test]
fn a_phase_is_written_with_its_times_and_nothing_else_changes() {
    let server = at_phase("booting");
    let script = written(&server, &[("mayfly-phase", "clone"), SEEN_NOW, ("mayfly-timing", "d12.c3")]);
    let answer =
        progress(&json!({"phase": "clone", "seconds": {"docker": 12, "clone": 3, "lunch": 9}}), script);
    assert_eq!(answer.ok(200), json!({"phase": "clone", "next_seconds": 20, "want": null}));
}

#[test]
fn phases_only_advance_and_the_end_of_a_boot_is_final() {
    for (before, reported, after) in [
        ("booting", "docker", "docker"),
        ("clone", "docker", "clone"),
        ("ui", "booting", "booting"),
        ("ui", "ready", "ready"),
        ("ready", "ui", "ready"),
        ("ready", "ready", "ready"),
        ("failed", "ready", "failed"),
        ("ready", "stopping", "stopping"),
        ("stopping", "ready", "stopping"),
        ("ready", "booting", "booting"),
    ] {
        let server = at_phase(before);
        let mut script = written(&server, &[("mayfly-phase", after), SEEN_NOW]);
        if after == "booting" && before != "booting" {
            script = written(&server.clone(), &[("mayfly-phase", "booting"), SEEN_NOW]);
        }
        let answer = progress(&json!({"phase": reported}), script);
        assert_eq!(answer.ok(200)["phase"], after, "{before} then {reported}");
    }
}

#[test]
fn a_failure_carries_its_reason_and_is_shown_with_words() {
    let server = at_phase("clone");
    let script =
        written(&server, &[("mayfly-phase", "failed"), SEEN_NOW, ("mayfly-reason", "clone.auth_failed")]);
    let body = json!({"phase": "failed", "reason": {"phase": "clone", "code": "auth_failed"}});
    assert_eq!(progress(&body, script).ok(200)["phase"], "failed");

    let failed = server.label("mayfly-phase", "failed").label("mayfly-reason", "clone.auth_failed");
    let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &failed.one())));
    let shown = Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200);
    assert_eq!(
        shown["vm"]["boot"]["reason"],
        json!({"phase": "clone", "code": "auth_failed",
               "detail": "the repository asks for a credential: give a git_token that may read it"})
    );
}

#[test]
fn a_late_failure_changes_nothing_about_a_boot_that_ended_well() {
    let server = at_phase("ready");
    let script = written(&server, &[SEEN_NOW]);
    let body = json!({"phase": "failed", "reason": {"phase": "ui", "code": "timeout"}});
    assert_eq!(progress(&body, script).ok(200)["phase"], "ready");
}

#[test]
fn a_workspace_that_is_ready_may_have_a_warning() {
    let server = at_phase("ui");
    let changes = [("mayfly-phase", "ready"), SEEN_NOW, ("mayfly-reason", "devcontainer.fallback")];
    let body = json!({"phase": "ready", "reason": {"phase": "devcontainer", "code": "fallback"}});
    assert_eq!(progress(&body, written(&server, &changes)).ok(200)["phase"], "ready");
}

#[test]
fn work_that_is_saved_nowhere_is_shown_told_and_forgotten_when_it_is_saved() {
    let server = at_phase("ready");
    let told = |server: &Server, changes: &[(&str, &str)], saved: bool| {
        let host = TestHost::new(written(server, changes));
        let call = Call::post("/vm/progress").bearer(&capability(Scope::Vm));
        call.json(&json!({"phase": "docker", "saved": saved})).send(&app(), &host).ok(200);
        host.told()
    };
    assert_eq!(told(&server, &[SEEN_NOW, ("mayfly-reason", "ready.not_saved")], false), ["vm.unsaved"]);
    let unsaved = server.clone().label("mayfly-reason", "ready.not_saved");
    assert!(told(&unsaved, &[SEEN_NOW], false).is_empty(), "that is known");
    let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &unsaved.one())));
    let shown = Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200);
    assert_eq!(shown["vm"]["boot"]["reason"]["code"], "not_saved");
    assert!(told(&unsaved, &[SEEN_NOW, ("mayfly-reason", "")], true).is_empty());
    // What else is wrong stays.
    let other = server.label("mayfly-reason", "ui.ui_down");
    assert!(told(&other, &[SEEN_NOW], true).is_empty());
}

#[test]
fn a_vm_that_was_about_to_end_and_is_used_again_is_ready() {
    let beat = |active: u64| json!({"active": active, "verdict": {}, "attention": null});
    let ending = at_phase("stopping").label("mayfly-seen", &(NOW_SECS - 60).to_string());
    let back =
        [("mayfly-phase", "ready"), SEEN_NOW, ("mayfly-active", &*NOW_SECS.to_string()), ("mayfly-why", "")];
    let call = |script: Script, active: u64| {
        let call = Call::post("/vm/heartbeat").bearer(&capability(Scope::Vm)).json(&beat(active));
        call.send(&app(), &TestHost::new(script)).ok(200)
    };
    call(written(&ending, &back), NOW_SECS);
    // One that is idle ends.
    let idle = ending.clone().label("mayfly-active", &(NOW_SECS - 3600).to_string());
    call(Script::new().then(found(&idle)), NOW_SECS - 3600);
    // So does one that is asked to stop.
    let asked = ending.label("mayfly-want", &format!("stop-{}", NOW_SECS + 60));
    let changes = [SEEN_NOW, ("mayfly-active", &*NOW_SECS.to_string()), ("mayfly-why", "")];
    call(written(&asked, &changes), NOW_SECS);
}

#[test]
fn a_new_boot_forgets_times_and_reason_of_the_last() {
    let server = ours().label("mayfly-phase", "failed").label("mayfly-reason", "clone.timeout");
    let clean = server.clone().without_label("mayfly-reason").without_label("mayfly-timing");
    let script =
        Script::new().then(found(&server)).then(get("/servers/4711").gives(200, &server.one())).then(
            put("/servers/4711")
                .json(clean.labels_with(&[("mayfly-phase", "booting"), SEEN_NOW]))
                .gives(200, &clean.one()),
        );
    assert_eq!(progress(&json!({"phase": "booting"}), script).ok(200)["phase"], "booting");
}

#[test]
fn a_host_key_becomes_a_label_and_is_shown_as_ssh_shows_it() {
    let fingerprint = "SHA256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let label = "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";
    let server = at_phase("booting");
    let script = written(&server, &[("mayfly-phase", "docker"), SEEN_NOW, ("mayfly-hostkey", label)]);
    progress(&json!({"phase": "docker", "host_key": fingerprint}), script).ok(200);
    let shown = Server::ours().label("mayfly-hostkey", label);
    let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &shown.one())));
    let body = Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200);
    assert_eq!(body["vm"]["ssh"]["host_key"], fingerprint);
}

const SHA256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TLS_LABEL: &str = "s.aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";

#[test]
fn a_certificate_becomes_a_label_and_is_shown_in_hexadecimal() {
    let server = at_phase("ui");
    let script = written(&server, &[("mayfly-phase", "ready"), SEEN_NOW, ("mayfly-tls", TLS_LABEL)]);
    let report = json!({"phase": "ready", "tls": {"tls": "self_signed", "sha256": SHA256.to_uppercase()}});
    progress(&report, script).ok(200);
    let shown = Server::ours().label("mayfly-tls", TLS_LABEL);
    let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &shown.one())));
    let body = Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200);
    assert_eq!(body["vm"]["tls"], json!({"state": "self_signed", "sha256": SHA256}));
}

#[test]
fn bad_reports_are_refused_before_any_call() {
    for (body, field, detail) in [
        (
            json!({"phase": "ready", "tls": {"tls": "good", "sha256": SHA256}}),
            "tls",
            "must be trusted or self_signed, with a SHA-256 of 64 hexadecimal digits",
        ),
        (
            json!({"phase": "ready", "tls": {"tls": "trusted", "sha256": "é".repeat(32)}}),
            "tls",
            "must be trusted or self_signed, with a SHA-256 of 64 hexadecimal digits",
        ),
        (json!({"phase": "lunch"}), "phase", "is not a phase"),
        (json!({"phase": "failed"}), "reason", "is required with phase failed"),
        (
            json!({"phase": "failed", "reason": {"phase": "x", "code": "timeout"}}),
            "reason.phase",
            "is not a phase",
        ),
        (
            json!({"phase": "failed", "reason": {"phase": "ui", "code": "<b>"}}),
            "reason.code",
            "is not a known code",
        ),
        (
            json!({"phase": "docker", "host_key": "MD5:aa"}),
            "host_key",
            "must be SHA256:… as ssh-keygen -l prints it",
        ),
        (
            json!({"phase": "docker", "host_key": "SHA256:AAAA"}),
            "host_key",
            "must be SHA256:… as ssh-keygen -l prints it",
        ),
    ] {
        progress(&body, Script::new()).is_problem_with(
            400,
            "invalid_request",
            &format!("The field {field} {detail}."),
            &json!({"errors": [{"field": field, "detail": detail}]}),
        );
    }
    for path in ["/vm/progress", "/vm/heartbeat"] {
        for body in ["", "{", "[]", "null", "{\"phase\":1,\"active\":\"x\"}", "{\"seconds\":{\"docker\":-1}}"]
        {
            let call = Call::post(path).bearer(&capability(Scope::Vm)).bytes(body);
            let answer = call.send(&app(), &TestHost::silent());
            assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{path} {body}");
        }
    }
    let answer = beat(&json!({"active": NOW_SECS, "attention": "party"}), Script::new());
    assert_eq!(
        answer.json()["errors"],
        json!([{"field": "attention", "detail": "must be waiting, done or null"}])
    );
}

#[test]
fn a_report_that_changes_no_label_writes_none() {
    let server = at_phase("clone").label("mayfly-seen", "1795168800");
    let script = Script::new().then(found(&server)).then(get("/servers/4711").gives(200, &server.one()));
    assert_eq!(progress(&json!({"phase": "clone"}), script).ok(200)["phase"], "clone");
}

/// What a VM of the fixture gets when nothing is written: seen 5 minutes ago.
fn unwritten(next: u32, want: impl Into<Value>) -> Value {
    let want: Value = want.into();
    json!({"next_seconds": next, "want": want, "expires": 1_795_208_400, "idle_minutes": 30})
}

#[test]
fn a_heartbeat_within_ten_minutes_of_the_last_writes_nothing() {
    let answer =
        beat(&json!({"active": 1_795_168_700, "verdict": {"agent": 1}}), Script::new().then(found(&ours())));
    assert_eq!(answer.ok(200), unwritten(300, Value::Null));
}

#[test]
fn after_ten_minutes_seen_active_and_verdict_are_written_and_nothing_else() {
    let server = ours().label("mayfly-seen", "1795168200");
    let changes = [SEEN_NOW, ("mayfly-active", "1795168790"), ("mayfly-why", "a0.f12.k10080")];
    let body = json!({"active": 1_795_168_790, "boot_id": "x", "load": 0.42,
                      "verdict": {"agent": 0, "transcript": null, "files": 12, "keep": 999_999, "moon": 3}});
    assert_eq!(beat(&body, written(&server, &changes)).ok(200), unwritten(300, Value::Null));
    let early = ours().label("mayfly-seen", "1795168201");
    assert_eq!(beat(&body, Script::new().then(found(&early))).status, 200);
}

#[test]
fn attention_is_written_at_once_and_taken_away_at_once() {
    let waiting = ours().label("mayfly-attention", "waiting");
    let active =
        json!({"active": 1_795_168_200, "verdict": {"agent": 0, "files": 12}, "attention": "waiting"});
    let script = written(&ours(), &[SEEN_NOW, ("mayfly-attention", "waiting")]);
    assert_eq!(beat(&active, script).status, 200);
    assert_eq!(beat(&active, Script::new().then(found(&waiting))).status, 200, "no change, no write");
    let mut over = active.clone();
    over["attention"] = Value::Null;
    let script = Script::new()
        .then(found(&waiting))
        .then(get("/servers/4711").gives(200, &waiting.one()))
        .then(put("/servers/4711").json(ours().labels_with(&[SEEN_NOW])).gives(200, &ours().one()));
    assert_eq!(beat(&over, script).status, 200);
}

#[test]
fn a_certificate_that_came_later_is_written_at_once_and_only_once() {
    let body = json!({"active": 1_795_168_200, "verdict": {"agent": 0, "files": 12},
                      "tls": {"tls": "trusted", "sha256": SHA256}});
    let label = TLS_LABEL.replace("s.", "t.");
    let server = ours().label("mayfly-tls", TLS_LABEL);
    let script = written(&server, &[SEEN_NOW, ("mayfly-tls", &label)]);
    assert_eq!(beat(&body, script).status, 200);
    let trusted = ours().label("mayfly-tls", &label);
    assert_eq!(beat(&body, Script::new().then(found(&trusted))).status, 200, "no change, no write");
}

#[test]
fn activity_neither_runs_ahead_nor_goes_back() {
    let server = ours().label("mayfly-seen", "1795168000").without_label("mayfly-why");
    for (reported, written_active) in [
        (NOW_SECS + 300, "1795169100"),
        (NOW_SECS + 301, "1795168800"),
        (u64::MAX, "1795168800"),
        (0, "1795168200"),
        (1_795_168_199, "1795168200"),
    ] {
        let script = written(&server, &[SEEN_NOW, ("mayfly-active", written_active)]);
        assert_eq!(beat(&json!({"active": reported}), script).status, 200, "{reported}");
    }
}

#[test]
fn absurd_times_in_labels_do_no_harm() {
    let max = u64::MAX.to_string();
    let server = ["mayfly-seen", "mayfly-active", "mayfly-expires", "mayfly-idle"]
        .into_iter()
        .fold(ours(), |it, key| it.label(key, &max));
    let script = Script::new()
        .then(found(&server))
        .then(get("/servers/4711").gives(200, &server.one()))
        .then(put("/servers/4711").gives(200, &server.one()));
    assert_eq!(beat(&json!({"active": NOW_SECS}), script).ok(200)["expires"], u64::MAX);
    let priced = server.label("mayfly-price", &format!("{max}.EUR"));
    let both = [priced.clone(), priced];
    let list = get(super::support::world::list_of_owner("default")).gives(200, &only(&both));
    let answer = Call::get("/vms").token().send(&app(), &TestHost::new(Script::new().then(list)));
    assert_eq!(answer.ok(200)["totals"]["count"], 2);
}

#[test]
fn what_is_wanted_is_passed_on_and_asked_about_soon() {
    for (label, want, next) in [
        ("stop-1795169400", "stop", 20),
        ("snapshot-1795169400", "snapshot", 20),
        ("keep-1795172400", "keep-1795172400", 300),
    ] {
        let server = ours().label("mayfly-want", label);
        let answer =
            beat(&json!({"active": 1_795_168_200, "verdict": {}}), Script::new().then(found(&server)));
        assert_eq!(answer.ok(200), unwritten(next, json!(want)));
        let server = at_phase("clone").label("mayfly-want", label);
        let answer = progress(&json!({"phase": "clone"}), written(&server, &[SEEN_NOW]));
        assert_eq!(answer.ok(200)["want"], want);
    }
}

#[test]
fn a_keep_alive_that_is_over_is_told_nobody() {
    let server = ours().label("mayfly-want", "keep-1795168800");
    let answer = beat(&json!({"active": 1_795_168_200, "verdict": {}}), Script::new().then(found(&server)));
    assert_eq!(answer.ok(200), unwritten(300, Value::Null));
}

#[test]
fn heartbeats_become_rare_when_the_rate_limit_runs_low() {
    for (left, next) in [("600", 300), ("599", 900), ("0", 900), ("x", 300)] {
        let script = Script::new().then(found(&ours()).header("ratelimit-remaining", left));
        assert_eq!(beat(&json!({"active": 1_795_168_200}), script).ok(200)["next_seconds"], next, "{left}");
    }
    let wanted = ours().label("mayfly-want", "stop-1795169400");
    let script = Script::new().then(found(&wanted).header("ratelimit-remaining", "0"));
    assert_eq!(beat(&json!({"active": 1_795_168_200}), script).ok(200)["next_seconds"], 20);
}

#[test]
fn a_vm_whose_server_is_gone_is_told_so() {
    let gone = (404, "vm_not_found".to_owned());
    let nobody = || Script::new().then(get(list_of_vm()).fixture(200, "list_servers.empty"));
    assert_eq!(progress(&json!({"phase": "docker"}), nobody()).kind(), gone);
    assert_eq!(beat(&json!({"active": 1}), nobody()).kind(), gone);
    // It vanishes between the look and the write.
    let server = at_phase("booting");
    let vanished =
        Script::new().then(found(&server)).then(get("/servers/4711").fixture(404, "error.not_found"));
    assert_eq!(progress(&json!({"phase": "docker"}), vanished).kind(), gone);
    let vanished = Script::new()
        .then(found(&server))
        .then(get("/servers/4711").gives(200, &server.one()))
        .then(put("/servers/4711").fixture(404, "error.not_found"));
    assert_eq!(beat(&json!({"active": NOW_SECS}), vanished).kind(), gone);
}

#[test]
fn a_write_that_the_provider_refuses_is_a_problem() {
    let server = at_phase("booting");
    for failure in failure::ALL.iter().filter(|it| it.what != "200 with half a JSON") {
        let script = Script::new()
            .then(found(&server))
            .then(get("/servers/4711").gives(200, &server.one()))
            .in_order((0..failure.tries).map(|_| failure.of(put("/servers/4711"))));
        let answer = progress(&json!({"phase": "docker"}), script);
        assert_eq!(answer.kind(), (failure.status, failure.code.to_owned()), "{}", failure.what);
    }
}

#[test]
fn a_vm_deletes_itself_and_nothing_else() {
    let call = || Call::delete("/vm").bearer(&capability(Scope::Vm));
    let script = Script::new()
        .then(found(&ours()))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"));
    let host = TestHost::new(script);
    assert_eq!(call().send(&app(), &host).ok(200), json!({"deleted": true, "already_gone": false}));
    assert_eq!(
        host.log_lines(),
        [
            json!({"event": "deleted", "vm": "mayfly-hello-world-abcd", "id": "hetzner-4711", "owner": "default",
                "detail": "itself"})
        ]
    );
    // Foreign servers in the answer are not touched: the script has no deletion.
    for servers in [Vec::new(), vec![Server::foreign(), ours().label("mayfly-vm", "another")]] {
        let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&servers))));
        assert_eq!(call().send(&app(), &host).ok(200), json!({"deleted": true, "already_gone": true}));
    }
}

#[test]
fn a_vm_that_cannot_be_looked_up_is_not_reported_as_deleted() {
    for failure in &failure::ALL {
        let calls = (0..failure.tries).map(|_| failure.of(get(list_of_vm())));
        let host = TestHost::new(Script::new().in_order(calls));
        let answer = Call::delete("/vm").bearer(&capability(Scope::Vm)).send(&app(), &host);
        assert_eq!(answer.kind(), (failure.status, failure.code.to_owned()), "{}", failure.what);
    }
}

#[test]
fn an_idle_vm_is_told_to_use_up_the_hour_that_is_paid() {
    // Made at 08:40 and idle since 09:20: at 10:00 the second hour runs until 10:40, so it may go on until 10:30.
    let made = || {
        ours()
            .set("created", "2026-11-20T08:40:00Z")
            .label("mayfly-active", &(NOW_SECS - 2400).to_string())
            .label("mayfly-seen", &NOW_SECS.to_string())
    };
    let want = |server: &Server| {
        let script = Script::new().then(found(server));
        beat(&json!({"active": NOW_SECS - 2400}), script).ok(200)["want"].clone()
    };
    assert_eq!(want(&made().label("mayfly-paid", "yes")), format!("wait-{}", NOW_SECS + 1800));
    assert_eq!(want(&made()), Value::Null, "only if asked for");
    let late = made().label("mayfly-paid", "yes").set("created", "2026-11-20T09:05:00Z");
    assert_eq!(want(&late), Value::Null, "minute 55 is too late");
    let keeps = made().label("mayfly-paid", "yes").label("mayfly-want", &format!("keep-{}", NOW_SECS + 60));
    assert_eq!(want(&keeps), format!("keep-{}", NOW_SECS + 60), "what a person wants goes before");
    let script = Script::new().then(found(
        &made().label("mayfly-paid", "yes").label("mayfly-active", &(NOW_SECS - 60).to_string()),
    ));
    assert_eq!(
        beat(&json!({"active": NOW_SECS - 60}), script).ok(200)["want"],
        Value::Null,
        "it is not idle"
    );
}
