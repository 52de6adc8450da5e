//! The VMs of a caller: list, get, delete, open, log; and what each makes of a provider that fails.

use hmac::{Hmac, Mac as _};
use mayfly::encoding::{base64url, from_base64url};
use mayfly::http::NoAnswer;
use mayfly::keys::Scope;
use serde_json::{Value, json};
use sha2::Sha256;

use super::support::call::Call;
use super::support::failure::{self, Failure, NO_CAPACITY};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, put};
use super::support::world::{NOW_SECS, Settings, VM, app, capability, list_of_owner, list_of_vm};

fn listing() -> Exchange {
    get(list_of_owner("default"))
}

fn server() -> Exchange {
    get("/servers/4711")
}

/// The VM of the fixture as our API shows it.
fn shown() -> Value {
    json!({
        "id": "hetzner-4711", "name": "mayfly-hello-world-abcd", "provider": "hetzner", "location": "fsn1",
        "server_type": "cx23", "market": "on-demand", "size": "medium", "profile": "coding", "web_ui": "cloudcli",
        "repo_url": "https://github.com/octo/Hello-World", "branch": null, "owner": "default",
        "state": "running", "phase": "ready", "services_ready": true, "attention": null, "want": null,
        "created_at": "2026-11-20T09:00:00Z", "age_seconds": 3600,
        "ipv4": "203.0.113.7", "ipv6": "2001:db8:47:11::/64",
        "cost": {"currency": "EUR", "per_hour": 0.011_424, "so_far": 0.011_424, "until_idle": 0.022_848, "until_expiry": 0.137_088},
        "idle": {"limit_minutes": 30, "active_at": "2026-11-20T09:50:00Z", "deadline": "2026-11-20T10:20:00Z",
                 "verdict": [{"signal": "agent", "age_minutes": 0}, {"signal": "files", "age_minutes": 12}]},
        "expires_at": "2026-11-20T21:00:00Z", "last_seen_at": "2026-11-20T09:55:00Z",
        "boot": {"phases": [{"phase": "docker", "seconds": 12}, {"phase": "clone", "seconds": 3},
                            {"phase": "devcontainer", "seconds": 40}, {"phase": "ui", "seconds": 8}],
                 "reason": null},
        "urls": {"web_ui": "https://203.0.113.7/", "terminal": "https://203.0.113.7/terminal/",
                 "status": "https://203.0.113.7/_mayfly/status"},
        "ssh": {"command": "ssh root@203.0.113.7", "host_key": null}, "tls": null,
    })
}

#[test]
fn one_vm_is_shown_whole() {
    let host = TestHost::new(Script::new().then(server().fixture(200, "get_server.ready")));
    let answer = Call::get("/vms/hetzner-4711").token().send(&app(), &host);
    assert_eq!(answer.ok(200), json!({"vm": shown()}));
}

#[test]
fn the_list_holds_ours_with_totals() {
    let second =
        Server::ours().id(4712).label("mayfly-price", "20000.EUR").label("mayfly-expires", "1795172400");
    let unpriced = Server::ours().id(4713).without_label("mayfly-price");
    let host =
        TestHost::new(Script::new().then(listing().gives(200, &only(&[Server::ours(), second, unpriced]))));
    let body = Call::get("/vms").token().send(&app(), &host).ok(200);
    assert_eq!(body["vms"][0], shown());
    assert_eq!(body["vms"][1]["cost"]["until_expiry"], 0.04);
    assert_eq!(body["vms"][2]["cost"], Value::Null);
    assert_eq!(body["errors"], json!([]));
    assert_eq!(
        body["totals"],
        json!({"count": 3, "currency": "EUR", "price_per_hour": 0.031_424, "cost_so_far": 0.031_424,
               "cost_until_expiry": 0.177_088})
    );
}

#[test]
fn amounts_of_different_currencies_are_not_added_up() {
    let dollars = Server::ours().id(4712).label("mayfly-price", "20000.USD");
    let host = TestHost::new(Script::new().then(listing().gives(200, &only(&[Server::ours(), dollars]))));
    let body = Call::get("/vms").token().send(&app(), &host).ok(200);
    assert_eq!(body["vms"][1]["cost"]["currency"], "USD");
    assert_eq!(
        body["totals"],
        json!({"count": 2, "currency": null, "price_per_hour": 0.0, "cost_so_far": 0.0, "cost_until_expiry": 0.0})
    );
}

#[test]
fn an_account_without_vms_is_an_empty_list() {
    let host = TestHost::new(Script::new().then(listing().fixture(200, "list_servers.empty")));
    assert_eq!(
        Call::get("/vms").token().send(&app(), &host).ok(200),
        json!({"vms": [], "errors": [], "totals": {"count": 0, "currency": null, "price_per_hour": 0.0,
               "cost_so_far": 0.0, "cost_until_expiry": 0.0}})
    );
}

#[test]
fn what_the_provider_sends_beside_ours_is_not_shown() {
    let others = [
        Server::foreign(),
        Server::ours().label("managed-by", "terraform"),
        Server::ours().label("mayfly-deployment", "other"),
        Server::ours().label("mayfly-owner", "ann"),
        Server::ours().without_label("mayfly-vm"),
    ];
    let host = TestHost::new(Script::new().then(listing().gives(200, &only(&others))));
    assert_eq!(Call::get("/vms").token().send(&app(), &host).ok(200)["vms"], json!([]));
}

#[test]
fn a_vm_without_addresses_or_with_odd_labels_is_shown_all_the_same() {
    let odd = [
        "mayfly-phase",
        "mayfly-seen",
        "mayfly-price",
        "mayfly-timing",
        "mayfly-repo",
        "mayfly-size",
        "mayfly-why",
    ];
    let vm = odd.into_iter().fold(Server::ours(), |it, key| it.label(key, "odd")).ipv4(None).ipv6(None);
    let vm = vm.set("status", "a_status_of_next_year").label("mayfly-expires", "soon");
    let host = TestHost::new(Script::new().then(listing().gives(200, &only(&[vm]))));
    let body = Call::get("/vms").token().send(&app(), &host).ok(200);
    let shown = &body["vms"][0];
    for (field, value) in [
        ("state", json!("unknown")),
        ("phase", json!("booting")),
        ("services_ready", json!(false)),
        ("urls", json!({})),
        ("ssh", Value::Null),
        ("ipv4", Value::Null),
        ("cost", Value::Null),
        ("repo_url", Value::Null),
        ("size", Value::Null),
        ("last_seen_at", Value::Null),
        // Without its label a VM ends where the longest allowed life would: 168 hours.
        ("expires_at", json!("2026-11-27T09:00:00Z")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
}

#[test]
fn ready_counts_only_with_power_and_a_fresh_heartbeat() {
    let seen = |secs: u64| Server::ours().label("mayfly-seen", &secs.to_string());
    for (what, vm, ready) in [
        ("fresh", Server::ours(), true),
        ("at the edge", seen(NOW_SECS - 1500), true),
        ("silent", seen(NOW_SECS - 1501), false),
        ("never seen", Server::ours().without_label("mayfly-seen"), false),
        ("off", Server::ours().set("status", "off"), false),
        ("booting", Server::ours().label("mayfly-phase", "ui"), false),
    ] {
        let host = TestHost::new(Script::new().then(server().gives(200, &vm.one())));
        let body = Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200);
        assert_eq!(body["vm"]["services_ready"], ready, "{what}");
    }
}

#[test]
fn addresses_follow_the_configured_domain_or_origin() {
    for (key, value, url) in [
        ("DOMAIN", "dev.example.com", "https://mayfly-hello-world-abcd.dev.example.com/"),
        ("VM_ORIGIN", "http://127.0.0.1:8790/guests/{ipv4}", "http://127.0.0.1:8790/guests/203.0.113.7/"),
    ] {
        let host = TestHost::new(Script::new().then(server().fixture(200, "get_server.ready")));
        let app = Settings::usual().with(key, value).app();
        let body = Call::get("/vms/hetzner-4711").token().send(&app, &host).ok(200);
        assert_eq!(body["vm"]["urls"]["web_ui"], url);
    }
}

#[test]
fn a_provider_that_fails_is_reported_beside_the_list() {
    for failure in failure::ALL.iter().chain([&NO_CAPACITY]) {
        let calls = (0..failure.tries).map(|_| failure.of(listing()));
        let host = TestHost::new(Script::new().in_order(calls));
        let body = Call::get("/vms").token().send(&app(), &host).ok(200);
        let mut error = json!({"provider": "hetzner", "code": failure.code, "detail": failure.detail});
        if let Some(secs) = failure.retry_after {
            error["retry_after_seconds"] = secs.into();
        }
        assert_eq!(body["errors"], json!([error]), "{}", failure.what);
        assert_eq!(body["vms"], json!([]));
        assert_eq!(host.sleeps_ms().len(), failure.tries - 1);
    }
}

#[test]
fn a_provider_that_fails_is_a_problem_where_one_vm_is_meant() {
    for failure in failure::ALL.iter().chain([&NO_CAPACITY]) {
        for call in [
            Call::get("/vms/hetzner-4711"),
            Call::delete("/vms/hetzner-4711"),
            Call::post("/vms/hetzner-4711/open"),
            Call::get("/vms/hetzner-4711/log"),
        ] {
            let calls = (0..failure.tries).map(|_| failure.of(server()));
            let host = TestHost::new(Script::new().in_order(calls));
            let answer = call.token().send(&app(), &host);
            let more = failure.retry_after.map_or(json!({}), |it| json!({"retry_after_seconds": it}));
            answer.is_problem_with(failure.status, failure.code, failure.detail, &more);
        }
    }
}

#[test]
fn pauses_between_repeated_requests_grow() {
    let calls = (0..3).map(|_| failure::ALL[8].of(server()));
    let host = TestHost::new(Script::new().in_order(calls));
    Call::get("/vms/hetzner-4711").token().send(&app(), &host);
    let sleeps = host.sleeps_ms();
    assert!(matches!(sleeps.as_slice(), [250..=375, 500..=750]), "{sleeps:?}");
}

#[test]
fn a_request_that_succeeds_at_the_second_try_succeeds() {
    let script =
        Script::new().then(failure::ALL[8].of(server())).then(server().fixture(200, "get_server.ready"));
    let host = TestHost::new(script);
    assert_eq!(Call::get("/vms/hetzner-4711").token().send(&app(), &host).ok(200)["vm"], shown());
}

#[test]
fn a_404_that_is_not_the_providers_own_proves_nothing() {
    let page = "<html>404: no such upstream</html>";
    for call in [Call::get("/vms/hetzner-4711"), Call::delete("/vms/hetzner-4711")] {
        let host = TestHost::new(Script::new().then(server().answers(404, page)));
        let answer = call.token().send(&app(), &host);
        answer.is_problem(
            502,
            "provider_malformed",
            "Hetzner Cloud answered with status 404 and no error message.",
        );
    }
    let script = Script::new()
        .then(server().fixture(200, "get_server.ready"))
        .then(delete("/servers/4711").answers(404, page))
        .then(server().answers(404, page));
    let answer = Call::delete("/vms/hetzner-4711").token().send(&app(), &TestHost::new(script));
    assert_eq!(answer.kind(), (502, "provider_malformed".to_owned()));
}

#[test]
fn ids_that_cannot_be_ours_are_not_asked_for() {
    for id in [
        "ec2-i-0123",
        "scaleway-4711",
        "hetzner",
        "hetzner-",
        "hetzner-0",
        "hetzner-04711",
        "hetzner--1",
        "hetzner-4711x",
        "hetzner-4711%2F..",
        "hetzner-..",
        "..",
        "4711",
        "HETZNER-4711",
        "hetzner-%34711",
        "hetzner-99999999999999999999",
        "hetzner-4711;reboot",
        "hetzner-４７１１",
        "hetzner-4711\u{0}",
    ] {
        for (method, tail) in [("GET", ""), ("DELETE", ""), ("POST", "/open"), ("GET", "/log")] {
            let call = Call::new(method, &format!("/vms/{id}{tail}")).token();
            let answer = call.send(&app(), &TestHost::silent());
            answer.is_problem(404, "vm_not_found", "There is no such VM of yours.");
        }
    }
    for path in ["/vms/", "/vms//", "/vms/../hetzner-4711", "/vms/hetzner-4711/..", "/vms/hetzner-4711/../x"]
    {
        let answer = Call::get(path).token().send(&app(), &TestHost::silent());
        answer.is_problem(404, "not_found", "There is no such path.");
    }
}

#[test]
fn a_server_that_is_gone_is_not_found_and_deleting_it_is_done() {
    let gone = || TestHost::new(Script::new().then(server().fixture(404, "error.not_found")));
    for call in [
        Call::get("/vms/hetzner-4711"),
        Call::post("/vms/hetzner-4711/open"),
        Call::get("/vms/hetzner-4711/log"),
    ] {
        let answer = call.token().send(&app(), &gone());
        answer.is_problem(404, "vm_not_found", "There is no such VM of yours.");
    }
    let answer = Call::delete("/vms/hetzner-4711").token().send(&app(), &gone());
    assert_eq!(answer.ok(200), json!({"deleted": true, "already_gone": true, "id": "hetzner-4711"}));
}

#[test]
fn a_deletion_that_the_provider_accepts_or_finds_done_is_done() {
    for deletion in [
        delete("/servers/4711").fixture(200, "delete_server.accepted"),
        delete("/servers/4711").fixture(404, "error.not_found"),
    ] {
        let host =
            TestHost::new(Script::new().then(server().fixture(200, "get_server.ready")).then(deletion));
        let answer = Call::delete("/vms/hetzner-4711").token().send(&app(), &host);
        assert_eq!(answer.ok(200), json!({"deleted": true, "already_gone": false, "id": "hetzner-4711"}));
        assert_eq!(
            host.log_lines(),
            [json!({"event": "deleted", "vm": "mayfly-hello-world-abcd", "id": "hetzner-4711",
                    "owner": "default", "detail": "asked"})]
        );
    }
}

/// A person's and a VM's own deletion, each with the look that comes before.
fn deletions() -> [(Call, Script); 2] {
    [
        (
            Call::delete("/vms/hetzner-4711").token(),
            Script::new().then(server().fixture(200, "get_server.ready")),
        ),
        (
            Call::delete("/vm").bearer(&capability(Scope::Vm)),
            Script::new().then(get(list_of_vm()).gives(200, &only(&[Server::ours()]))),
        ),
    ]
}

fn retry_after(failure: &Failure) -> Value {
    failure.retry_after.map_or(json!({}), |it| json!({"retry_after_seconds": it}))
}

#[test]
fn a_deletion_that_failed_is_never_reported_as_done_and_is_left_to_the_reaper() {
    let expired = Server::ours().labels_with(&[("mayfly-expires", "1795168800")]);
    for failure in failure::of_deletions().chain([&NO_CAPACITY]) {
        for (call, script) in deletions() {
            let script = script
                .in_order((0..failure.tries_of_deletion()).map(|_| failure.of(delete("/servers/4711"))))
                .then(server().fixture(200, "get_server.ready"))
                .then(put("/servers/4711").json(expired.clone()).fixture(200, "get_server.ready"))
                .then(server().gives(200, &Server::ours().label("mayfly-expires", "1795168800").one()));
            let host = TestHost::new(script);
            let answer = call.send(&app(), &host);
            let detail =
                format!("{} The VM is marked as expired: the Worker's cron tries again.", failure.detail);
            answer.is_problem_with(failure.status, failure.code, &detail, &retry_after(failure));
            assert_eq!(host.log_lines()[0]["event"], "delete_failed");
        }
    }
}

#[test]
fn the_mark_of_a_failed_deletion_that_a_report_overwrote_is_written_again() {
    let marked = Server::ours().label("mayfly-expires", "1795168800");
    let locked = || delete("/servers/4711").fixture(423, "error.locked");
    let before = || server().fixture(200, "get_server.ready");
    let written = || put("/servers/4711").json(marked.labels_with(&[])).fixture(200, "get_server.ready");
    for (call, script) in deletions() {
        let script = script
            .in_order([locked(), locked(), locked()])
            .in_order([before(), written(), before(), before(), written()])
            .then(server().gives(200, &marked.one()));
        let answer = call.send(&app(), &TestHost::new(script));
        assert!(answer.text().contains("marked as expired"), "{}", answer.text());
    }
}

#[test]
fn a_deletion_that_failed_and_could_not_be_marked_says_no_more_than_that() {
    for failure in failure::of_deletions() {
        for (call, script) in deletions() {
            let script = script
                .in_order((0..failure.tries_of_deletion()).map(|_| failure.of(delete("/servers/4711"))))
                .then(server().fixture(401, "error.unauthorized"));
            let answer = call.send(&app(), &TestHost::new(script));
            answer.is_problem_with(failure.status, failure.code, failure.detail, &retry_after(failure));
        }
    }
}

#[test]
fn a_server_that_vanishes_after_a_failed_deletion_is_deleted() {
    for (call, script) in deletions() {
        let script = script
            .then(delete("/servers/4711").lost(NoAnswer::TimedOut))
            .then(server().fixture(404, "error.not_found"));
        assert_eq!(call.send(&app(), &TestHost::new(script)).ok(200)["deleted"], true);
    }
}

#[test]
fn a_server_that_is_being_deleted_is_not_deleted_again() {
    let deleting = Server::ours().set("status", "deleting");
    let host = TestHost::new(Script::new().then(server().gives(200, &deleting.one())));
    let answer = Call::delete("/vms/hetzner-4711").token().send(&app(), &host);
    assert_eq!(answer.ok(200)["deleted"], true);
}

#[test]
fn an_open_link_is_one_that_the_vm_can_check_with_its_own_key() {
    let app = app();
    let host = TestHost::new(Script::new().then(server().fixture(200, "get_server.ready")));
    let body = Call::post("/vms/hetzner-4711/open").token().send(&app, &host).ok(200);
    assert_eq!(body["expires_in_seconds"], 60);
    let url = body["url"].as_str().expect("a URL");
    let token = url.strip_prefix("https://203.0.113.7/_mayfly/in#").expect("the door");
    let (claims, signature) = token.split_once('.').expect("two parts");

    let booting = Server::ours().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&[booting]))));
    let boot = Call::post("/vm/boot")
        .bearer(&capability(Scope::Vm))
        .header("cf-connecting-ip", "203.0.113.7")
        .json(&json!({"sealed": ""}))
        .send(&app, &host)
        .ok(200);
    let link_key = from_base64url(boot["link_key"].as_str().expect("a key")).expect("base64url");
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&link_key).expect("any length");
    mac.update(claims.as_bytes());
    assert_eq!(base64url(&mac.finalize().into_bytes()), signature);

    let claims: Value = serde_json::from_slice(&from_base64url(claims).expect("base64url")).expect("JSON");
    assert_eq!(claims["vm"], VM);
    assert_eq!(claims["exp"], NOW_SECS + 60);
    assert_eq!(claims["n"].as_str().map(str::len), Some(22), "16 random bytes");
}

#[test]
fn two_links_are_never_the_same() {
    let host = TestHost::new(
        Script::new()
            .then(server().fixture(200, "get_server.ready"))
            .then(server().fixture(200, "get_server.ready")),
    );
    let open = || Call::post("/vms/hetzner-4711/open").token().send(&app(), &host).ok(200)["url"].clone();
    assert_ne!(open(), open());
}

#[test]
fn a_vm_without_address_cannot_be_opened_yet() {
    let host = TestHost::new(Script::new().then(server().gives(200, &Server::ours().ipv4(None).one())));
    let answer = Call::post("/vms/hetzner-4711/open").token().send(&app(), &host);
    answer.is_problem_with(
        409,
        "no_address_yet",
        "The VM has no address yet; try again in a few seconds.",
        &json!({"retry_after_seconds": 5}),
    );
}
