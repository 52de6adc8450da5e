//! The reaper, by cron and on demand: what it deletes, what it never touches, and what it says about its failures.

use mayfly::http::Counted;
use mayfly::reaper;
use serde_json::{Value, json};

use super::support::block_on;
use super::support::call::Call;
use super::support::failure;
use super::support::fixtures::{Server, only, value};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post, put};
use super::support::world::{NOW_SECS, ROOTS_TOKEN, Settings, app, list_of, list_of_all};

fn servers(list: &[Server]) -> Exchange {
    get(list_of_all()).gives(200, &only(list))
}

fn no_addresses() -> Exchange {
    get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.empty")
}

fn keys(fixture: &str) -> Exchange {
    get(list_of("ssh_keys", &[], 1)).fixture(200, fixture)
}

fn firewalls(fixture: &str) -> Exchange {
    get(list_of("firewalls", &[], 1)).fixture(200, fixture)
}

fn expired() -> Server {
    Server::ours().label("mayfly-expires", &NOW_SECS.to_string())
}

/// The last look of every run.
fn no_snapshots() -> Exchange {
    let target = format!(
        "/images?type=snapshot&label_selector={}&sort=created:desc&page=1&per_page=50",
        super::support::world::selector(&[])
    );
    get(target).gives(200, &json!({"images": [], "meta": {"pagination": {"next_page": null}}}))
}

fn demand(target: &str, script: Script) -> Value {
    exactly(target, script.then(no_snapshots()))
}

fn exactly(target: &str, script: Script) -> Value {
    Call::post(target).token().send(&app(), &TestHost::new(script)).ok(200)
}

fn reap(script: Script) -> Value {
    demand("/reap", script)
}

fn item(kind: &str, id: &str, name: &str, reason: &str) -> Value {
    json!({"provider": "hetzner", "kind": kind, "id": id, "name": name, "reason": reason})
}

fn report(reaped: impl Into<Value>, failed: impl Into<Value>) -> Value {
    let (reaped, failed): (Value, Value) = (reaped.into(), failed.into());
    json!({"dry_run": false, "reaped": reaped, "failed": failed, "of_others": 0})
}

#[test]
fn expired_vms_are_deleted_and_others_left() {
    let anns = expired().id(5).label("mayfly-owner", "ann").set("name", "anns");
    let alive = Server::ours().id(6).label("mayfly-expires", &(NOW_SECS + 1).to_string());
    let going = expired().id(7).set("status", "deleting");
    let script = || Script::new().then(servers(&[expired(), anns.clone(), alive.clone(), going.clone()]));
    let one = delete("/servers/4711").fixture(200, "delete_server.accepted");
    let other = || delete("/servers/5").fixture(404, "error.not_found");
    // Ann's VM is the cron's to delete, and an admin's; everybody else is told that there is one.
    let mine = item("vm", "hetzner-4711", "mayfly-hello-world-abcd", "expired");
    assert_eq!(
        reap(script().then(one).then(no_addresses())),
        json!({"dry_run": false, "failed": [], "of_others": 1, "reaped": [mine]})
    );
    let one = || delete("/servers/4711").fixture(200, "delete_server.accepted");
    let all = script().then(one()).then(other()).then(no_addresses()).then(no_snapshots());
    let app = Settings::usual().with_admin("").app();
    let admins = Call::post("/reap").bearer(ROOTS_TOKEN).send(&app, &TestHost::new(all)).ok(200);
    assert_eq!(admins, report(json!([mine, item("vm", "hetzner-5", "anns", "expired")]), json!([])));
    let host = TestHost::new(script().then(one()).then(other()).then(no_addresses()).then(no_snapshots()));
    block_on(reaper::run(&app, &Counted::new(&host)));
    host.finish();
}

#[test]
fn work_that_was_not_saved_by_the_expiry_is_told() {
    let lost = expired().label("mayfly-reason", "ready.not_saved");
    let script = Script::new()
        .then(servers(&[lost]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(script)["reaped"][0]["reason"], "expired; its last work was not saved");
}

#[test]
fn foreign_servers_and_those_of_other_deployments_are_never_touched() {
    let script = Script::new()
        .then(servers(&[
            Server::foreign(),
            expired().label("mayfly-deployment", "other"),
            expired().label("managed-by", "terraform"),
            expired().without_label("mayfly-vm"),
        ]))
        .then(no_addresses())
        .then(keys("list_ssh_keys.empty"))
        .then(firewalls("list_firewalls.empty"));
    assert_eq!(reap(script), report(json!([]), json!([])));
}

#[test]
fn a_vm_whose_expiry_is_lost_ends_where_the_longest_life_would() {
    let lost = |created: &str| Server::ours().without_label("mayfly-expires").set("created", created);
    let script = Script::new()
        .then(servers(&[lost("2026-11-13T10:00:00Z"), lost("2026-11-13T10:00:01Z").id(6)]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(script)["reaped"].as_array().map(Vec::len), Some(1));
}

#[test]
fn every_page_of_servers_is_looked_at() {
    let page = |number, servers: &[Server], next| {
        get(list_of("servers", &[], number)).gives(200, &super::support::fixtures::page(servers, next, None))
    };
    let script = Script::new()
        .then(page(1, &[Server::ours()], Some(2)))
        .then(page(2, &[expired().id(77)], None))
        .then(delete("/servers/77").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(script)["reaped"][0]["id"], "hetzner-77");
}

#[test]
fn what_cannot_be_deleted_is_reported_and_tried_again_by_the_next_run() {
    for failure in failure::of_deletions() {
        let failing = Script::new()
            .then(servers(&[expired()]))
            .in_order((0..failure.tries_of_deletion()).map(|_| failure.of(delete("/servers/4711"))))
            .then(no_addresses());
        let reason = failure.detail.trim_end_matches('.');
        assert_eq!(
            reap(failing),
            report(json!([]), json!([item("vm", "hetzner-4711", "mayfly-hello-world-abcd", reason)])),
            "{}",
            failure.what
        );
    }
    let again = Script::new()
        .then(servers(&[expired()]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(again)["failed"], json!([]));
}

#[test]
fn one_vm_that_cannot_be_deleted_does_not_keep_the_others() {
    let script = Script::new()
        .then(servers(&[expired(), expired().id(5)]))
        .in_order((0..3).map(|_| delete("/servers/4711").fixture(423, "error.locked")))
        .then(delete("/servers/5").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    let report = reap(script);
    assert_eq!(
        (report["reaped"][0]["id"].clone(), report["failed"][0]["id"].clone()),
        (json!("hetzner-5"), json!("hetzner-4711"))
    );
}

#[test]
fn a_dry_run_deletes_nothing() {
    for target in ["/reap?dry_run=1", "/reap?dry_run=true", "/reap?dry_run", "/reap?x=1&dry_run=1"] {
        let script = Script::new()
            .then(servers(&[expired()]))
            .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.mixed"))
            .then(get("/pricing").fixture(200, "get_pricing.eur"));
        let priced = |mut item: Value, amount: f64| {
            item["monthly_price"] = json!({ "currency": "EUR", "amount": amount });
            item
        };
        assert_eq!(
            demand(target, script),
            json!({"dry_run": true, "failed": [], "of_others": 0, "reaped": [
                priced(item("vm", "hetzner-4711", "mayfly-hello-world-abcd", "expired"), 8.33952),
                priced(item("primary_ip", "903", "primary_ip-903", "belongs to no VM"), 0.595),
            ]})
        );
    }
}

#[test]
fn a_dry_run_that_is_mistyped_deletes_nothing_and_one_that_is_off_does() {
    let detail = "must be 1 or 0";
    for query in ["dry_run=yes", "dry_run=2", "dry_run=True", "dry_runs", "dry_run%3D1"] {
        let answer = Call::post(&format!("/reap?{query}")).token().send(&app(), &TestHost::silent());
        answer.is_problem_with(
            400,
            "invalid_request",
            &format!("The field dry_run {detail}."),
            &json!({"errors": [{"field": "dry_run", "detail": detail}]}),
        );
    }
    for target in ["/reap?dry_run=0", "/reap?dry_run=false", "/reap?x=1"] {
        let script = Script::new()
            .then(servers(&[expired()]))
            .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
            .then(no_addresses());
        assert_eq!(demand(target, script)["dry_run"], false);
    }
}

#[test]
fn unassigned_addresses_of_ours_are_deleted_and_assigned_ones_left() {
    let script = Script::new()
        .then(servers(&[Server::ours()]))
        .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.mixed"))
        .then(delete("/primary_ips/903").answers(204, ""));
    assert_eq!(
        reap(script),
        report(json!([item("primary_ip", "903", "primary_ip-903", "belongs to no VM")]), json!([]))
    );
}

#[test]
fn leftovers_that_the_provider_sends_beside_ours_are_not_touched() {
    // A provider (or a proxy) that ignores the selector must not cost anybody an address, a key or a firewall.
    let unlabelled = |fixture: &str, kind: &str| {
        let mut page = value(fixture);
        for labels in page[kind].as_array_mut().into_iter().flatten() {
            labels["labels"] =
                json!({"environment": "prod", "mayfly-deployment": "other", "managed-by": "mayfly"});
        }
        get(list_of(kind, &[], 1)).gives(200, &page)
    };
    let script = Script::new()
        .then(servers(&[]))
        .then(unlabelled("list_primary_ips.mixed", "primary_ips"))
        .then(unlabelled("list_ssh_keys.registered", "ssh_keys"))
        .then(unlabelled("list_firewalls.ours", "firewalls"));
    assert_eq!(reap(script), report(json!([]), json!([])));
}

/// Key and firewall of ours, made at this time.
fn shared(created: &str) -> [Exchange; 2] {
    let ours = json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly"});
    let page = |fixture: &str, kind: &str| {
        let mut page = value(fixture);
        page[kind][0]["created"] = created.into();
        page[kind][0]["labels"] = ours.clone();
        get(list_of(kind, &[], 1)).gives(200, &page)
    };
    [page("list_ssh_keys.registered", "ssh_keys"), page("list_firewalls.ours", "firewalls")]
}

#[test]
fn keys_and_firewalls_go_only_when_no_vm_is_left_and_after_a_minute() {
    let script = Script::new()
        .then(servers(&[]))
        .then(no_addresses())
        .in_order(shared("2026-11-20T09:59:00Z"))
        .then(delete("/ssh_keys/2323").answers(204, ""))
        .then(delete("/firewalls/38").answers(204, ""));
    assert_eq!(
        reap(script),
        report(
            json!([
                item("ssh_key", "2323", "ann-laptop", "belongs to no VM"),
                item("firewall", "38", "mayfly-mayfly", "belongs to no VM")
            ]),
            json!([])
        )
    );
    let young =
        Script::new().then(servers(&[])).then(no_addresses()).in_order(shared("2026-11-20T09:59:01Z"));
    assert_eq!(reap(young), report(json!([]), json!([])));
    // With a VM left, not even asked for; also when that VM has just expired.
    let used = Script::new().then(servers(&[Server::ours()])).then(no_addresses());
    assert_eq!(reap(used), report(json!([]), json!([])));
}

#[test]
fn a_list_that_cannot_be_had_is_a_failure_and_deletes_nothing() {
    for failure in &failure::ALL {
        let reason = failure.detail.trim_end_matches('.');
        let script = Script::new().in_order((0..failure.tries).map(|_| failure.of(get(list_of_all()))));
        assert_eq!(
            exactly("/reap", script),
            report(json!([]), json!([item("list", "", "vms", reason)])),
            "{}",
            failure.what
        );
        let script = Script::new()
            .then(servers(&[]))
            .in_order((0..failure.tries).map(|_| failure.of(get(list_of("primary_ips", &[], 1)))));
        assert_eq!(reap(script), report(json!([]), json!([item("list", "", "leftovers", reason)])));
    }
}

#[test]
fn one_run_deletes_no_more_than_a_workers_request_may() {
    let many: Vec<Server> = (1..=40).map(|id| expired().id(id)).collect();
    let deletions =
        (1..=25).map(|id| delete(format!("/servers/{id}")).fixture(200, "delete_server.accepted"));
    let script = Script::new().then(servers(&many)).in_order(deletions);
    let report = exactly("/reap", script);
    assert_eq!(report["reaped"].as_array().map(Vec::len), Some(25));
    assert_eq!(report["notes"], json!(["More than 25 are due; the next run goes on."]));
}

#[test]
fn the_cron_logs_what_it_did_and_nothing_when_there_was_nothing() {
    let script = Script::new()
        .then(servers(&[expired()]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(no_addresses())
        .then(no_snapshots());
    let host = TestHost::new(script);
    block_on(reaper::run(&app(), &Counted::new(&host)));
    assert_eq!(
        host.log_lines(),
        [
            json!({"event": "deleted", "vm": "mayfly-hello-world-abcd", "id": "hetzner-4711", "owner": "default",
                "detail": "expired"}),
            json!({"event": "reaper", "dry_run": false, "failed": [],
                "reaped": [item("vm", "hetzner-4711", "mayfly-hello-world-abcd", "expired")]})
        ]
    );
    let quiet = Script::new().then(servers(&[Server::ours()])).then(no_addresses()).then(no_snapshots());
    let host = TestHost::new(quiet);
    block_on(reaper::run(&app(), &Counted::new(&host)));
    assert!(host.log_lines().is_empty());
}

#[test]
fn a_worker_that_is_not_configured_has_nothing_to_reap_with() {
    let host = TestHost::silent();
    block_on(reaper::run(&Settings::nothing().app(), &Counted::new(&host)));
    assert_eq!(host.log_lines(), [json!({"event": "reaper", "detail": "the Worker is not configured"})]);
}

/// Running, and not heard of for four hours.
fn silent(id: u64) -> Server {
    let server = Server::ours().id(id).set("created", "2026-11-20T04:00:00Z");
    server.label("mayfly-seen", &(NOW_SECS - 4 * 3600).to_string())
}

#[test]
fn a_silent_vm_is_marked_first_and_deleted_when_it_stays_silent() {
    let heard = [Server::ours().id(1), Server::ours().id(2)];
    let missed = silent(5);
    let marked = missed.clone().label("mayfly-missed", &NOW_SECS.to_string());
    let script = Script::new()
        .then(servers(&[heard[0].clone(), heard[1].clone(), missed.clone()]))
        .then(get("/servers/5").gives(200, &missed.one()))
        .then(put("/servers/5").json(marked.labels_with(&[])).gives(200, &marked.one()))
        .then(no_addresses());
    assert_eq!(reap(script), report(json!([]), json!([])));
    let later = silent(5).label("mayfly-missed", &(NOW_SECS - 20 * 60).to_string());
    let script = Script::new()
        .then(servers(&[heard[0].clone(), heard[1].clone(), later]))
        .then(delete("/servers/5").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(script)["reaped"][0]["reason"], "silent");
}

#[test]
fn when_most_are_silent_together_the_path_is_broken_and_nobody_is_deleted() {
    let missed = |id| silent(id).label("mayfly-missed", &(NOW_SECS - 3600).to_string());
    let expired = expired().id(7);
    let script = Script::new()
        .then(servers(&[missed(4), missed(5), missed(6), expired]))
        .then(delete("/servers/7").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    let report = reap(script);
    assert_eq!(report["reaped"].as_array().map(Vec::len), Some(1), "the expiry holds all the same");
    let note = report["notes"][0].as_str().expect("a note");
    assert!(note.starts_with("3 of 4 running VMs are silent."), "{note}");
}

#[test]
fn vms_that_wait_for_their_second_look_count_as_silent() {
    // Half passed their limit a run before the others: neither half is most of them by itself.
    let missed = |id, minutes: u64| silent(id).label("mayfly-missed", &(NOW_SECS - minutes * 60).to_string());
    let list = [missed(4, 20), missed(5, 20), missed(6, 10), missed(7, 10)];
    let report = reap(Script::new().then(servers(&list)).then(no_addresses()));
    assert_eq!(report["reaped"], json!([]));
    let note = report["notes"][0].as_str().expect("a note");
    assert!(note.starts_with("4 of 4 running VMs are silent."), "{note}");
    // Boots that nothing was heard of are no different.
    let booting = |id, minutes| {
        let server = missed(id, minutes).label("mayfly-phase", "booting").without_label("mayfly-seen");
        server.set("created", "2026-11-20T06:30:00Z")
    };
    let list = [booting(4, 20), booting(5, 20)];
    let report = reap(Script::new().then(servers(&list)).then(no_addresses()));
    assert_eq!(report["reaped"], json!([]));
    // One alone goes, after its second look.
    let script = Script::new()
        .then(servers(&[booting(4, 20), Server::ours()]))
        .then(delete("/servers/4").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    assert_eq!(reap(script)["reaped"][0]["reason"], "silent");
}

#[test]
fn what_its_provider_never_brought_up_goes_and_what_it_works_on_stays() {
    let old = |id: u64, status: &str, phase: &str| {
        let server = Server::ours().id(id).set("status", status).label("mayfly-phase", phase);
        server.set("created", "2026-11-20T07:00:00Z").label("mayfly-run", "12")
    };
    let young = old(6, "initializing", "booting").set("created", "2026-11-20T07:00:01Z");
    let list = [old(4, "initializing", "booting"), old(5, "migrating", "ready"), young];
    let script = Script::new()
        .then(servers(&list))
        .then(delete("/servers/4").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    let reaped = reap(script)["reaped"].clone();
    assert_eq!(
        reaped,
        json!([item("vm", "hetzner-4", "mayfly-hello-world-abcd", "its boot never came to an end")])
    );
}

#[test]
fn a_boot_that_never_ends_and_a_stop_that_is_late_are_ended() {
    // It speaks, so it is not the path.
    let hangs = Server::ours().id(5).label("mayfly-phase", "clone").set("created", "2026-11-20T06:59:59Z");
    let late = Server::ours().id(6).label("mayfly-want", &format!("stop-{NOW_SECS}"));
    let later = Server::ours().id(7).label("mayfly-want", &format!("stop-{}", NOW_SECS - 600));
    let stopped = Server::ours().id(8).set("status", "off").label("mayfly-expires", &NOW_SECS.to_string());
    let script = Script::new()
        .then(servers(&[hangs, late, later, stopped]))
        .then(delete("/servers/5").fixture(200, "delete_server.accepted"))
        .then(post("/servers/6/actions/shutdown").nothing().fixture(201, "power.accepted"))
        .then(post("/servers/7/actions/poweroff").nothing().fixture(201, "power.accepted"))
        .then(delete("/servers/8").fixture(200, "delete_server.accepted"))
        .then(no_addresses());
    let report = reap(script);
    assert_eq!(report["reaped"][0]["reason"], "its boot never came to an end");
    assert_eq!(report["reaped"][1]["reason"], "stopped past its date");
}

#[test]
fn a_run_makes_no_more_calls_than_the_plan_allows_and_says_so() {
    let app = Settings::usual().with("SUBREQUESTS", "20").app();
    let many: Vec<Server> = (1..=30).map(|id| expired().id(id)).collect();
    let deletions =
        (1..=19).map(|id| delete(format!("/servers/{id}")).fixture(200, "delete_server.accepted"));
    let host = TestHost::new(Script::new().then(servers(&many)).in_order(deletions));
    let report = Call::post("/reap").token().send(&app, &host).ok(200);
    assert_eq!(report["reaped"].as_array().map(Vec::len), Some(19));
    assert_eq!(report["notes"], json!(["The calls of this run are used up; the next run goes on."]));
}

/// A run that begins ten minutes later than the others here.
fn other_run(settings: &Settings, script: Script) -> Value {
    let host = TestHost::new(script).at(NOW_SECS + 600);
    Call::post("/reap").token().send(&settings.app(), &host).ok(200)
}

#[test]
fn vms_that_cannot_be_deleted_do_not_keep_a_run_from_the_rest() {
    let many: Vec<Server> = (1..=30).map(|id| expired().id(id)).collect();
    let refused = |id: u64| delete(format!("/servers/{id}")).fixture(401, "error.unauthorized");
    // Every other run another one is the first, and half of the calls are kept.
    let run = usize::try_from((NOW_SECS + 600) / 600 / 2).expect("a number") % 30;
    let turn = (0..).map(|at| (run + at) % 30 + 1).map(|id| u64::try_from(id).expect("an id"));
    let script = Script::new().then(servers(&many)).in_order(turn.take(10).map(refused));
    let script = script.then(no_snapshots()).then(no_addresses());
    let report = other_run(&Settings::usual().with("SUBREQUESTS", "20"), script);
    assert_eq!(report["failed"].as_array().map(Vec::len), Some(10));
}

#[test]
fn calls_are_kept_for_the_events_that_a_run_tells() {
    let settings = Settings::usual().with("SUBREQUESTS", "20");
    let settings = settings.with("WEBHOOK_URL", "https://hooks.example/a");
    let app = settings.with("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").app();
    let many: Vec<Server> = (1..=30).map(|id| expired().id(id)).collect();
    let deletions = (1..=9).map(|id| delete(format!("/servers/{id}")).fixture(200, "delete_server.accepted"));
    let host = TestHost::new(Script::new().then(servers(&many)).in_order(deletions));
    let counted = Counted::new(&host);
    block_on(reaper::run(&app, &counted));
    let told = host.told();
    assert_eq!(told, ["vm.deleted"; 9]);
    assert!(u32::try_from(told.len()).expect("few") + counted.sent() <= 20, "each can be delivered");
}
