//! What bills: ceilings before a creation, orphans, everything at once, figures, and the providers' health.

use serde_json::{Value, json};

use super::support::call::Call;
use super::support::creation::{self, address_ids, addresses, catalogue, create_server, prepared};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post};
use super::support::store::Store;
use super::support::world::{
    NOW_SECS, REPO_URL, Settings, app, list_of, list_of_all, list_of_owner, selector,
};

fn all(list: &[Server]) -> Exchange {
    get(list_of_all()).gives(200, &only(list))
}

fn mine(list: &[Server]) -> Exchange {
    get(list_of_owner("default")).gives(200, &only(list))
}

fn snapshots(narrower: &[(&str, &str)], images: &Value) -> Exchange {
    let target = format!(
        "/images?type=snapshot&label_selector={}&sort=created:desc&page=1&per_page=50",
        selector(narrower)
    );
    get(target).gives(200, &json!({"images": images, "meta": {"pagination": {"next_page": null}}}))
}

fn snapshot(id: u64, owner: &str, expires: u64) -> Value {
    let mut image = super::support::fixtures::value("list_images.snapshots")["images"][0].take();
    image["id"] = id.into();
    image["labels"] = json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly", "mayfly-owner": owner,
                             "mayfly-expires": expires.to_string()});
    image
}

/// A creation that a ceiling refuses: the catalogue is read, the VMs are counted, nothing else happens.
fn refused(key: &'static str, ceiling: &str, there: &[Server]) -> Value {
    let app = Settings::usual().with(key, ceiling).app();
    let host = TestHost::new(Script::new().side_by_side(catalogue()).then(all(there)));
    let answer = Call::post("/vms").token().json(&json!({"repo_url": REPO_URL})).send(&app, &host);
    assert_eq!(answer.kind(), (429, "ceiling_reached".into()), "{key} {}", answer.text());
    answer.json()["errors"][0].clone()
}

#[test]
fn a_creation_that_would_pass_a_ceiling_is_refused_with_the_figures() {
    let anns = Server::ours().id(5).label("mayfly-owner", "ann");
    // One that is past its end and still there costs all the same.
    let expired = Server::ours().id(6).label("mayfly-expires", "1795160000");
    let there = [Server::ours(), anns, expired];
    for (key, ceiling, detail) in [
        ("MAX_VMS", "3", "is 3, and there are 3 VMs"),
        ("MAX_VMS_PER_OWNER", "2", "is 2, and you have 2 VMs"),
        ("MAX_HOURLY_COST", "0.045", "is 0.0450; 0.0343 is spent per hour, and this VM adds 0.0114 EUR"),
        ("MAX_MONTHLY_COST", "30", "is 30.00; with this VM it would be 33.36 EUR for 730 hours"),
    ] {
        assert_eq!(refused(key, ceiling, &there), json!({"field": key, "detail": detail}));
    }
}

#[test]
fn below_the_ceilings_nothing_is_in_the_way() {
    let app =
        [("MAX_VMS", "4"), ("MAX_VMS_PER_OWNER", "1"), ("MAX_HOURLY_COST", "1"), ("MAX_MONTHLY_COST", "500")]
            .into_iter()
            .fold(Settings::usual(), |it, (key, value)| it.with(key, value))
            .app();
    let anns = Server::ours().label("mayfly-owner", "ann");
    let going = Server::ours().id(9).set("status", "deleting");
    let script = Script::new()
        .side_by_side(catalogue())
        .then(all(&[anns, going, Server::foreign()]))
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    Call::post("/vms").token().json(&creation::request()).send(&app, &TestHost::new(script)).ok(201);
}

#[test]
fn capacity_that_is_missing_leads_past_no_ceiling() {
    // The two cheapest places cost 0.0114 and 0.0171 per hour.
    let place =
        |location: &'static str| post("/servers").checked(move |it| assert_eq!(it["location"], location));
    let refused = |it: Exchange| it.fixture(412, "error.resource_unavailable");
    let begun = |ceiling: &str| {
        let app = Settings::usual().with("MAX_HOURLY_COST", ceiling).app();
        let script = Script::new().side_by_side(catalogue()).then(all(&[])).side_by_side(prepared());
        (app, script.then(refused(place("fsn1"))).then(refused(place("nbg1"))))
    };
    let (app, script) = begun("0.0172");
    let script = script.then(create_server()).then(address_ids()).side_by_side(addresses());
    let made =
        Call::post("/vms").token().json(&creation::request()).send(&app, &TestHost::new(script)).ok(201);
    assert_eq!(made["vm"]["cost"]["per_hour"], 0.017_136);
    let (app, script) = begun("0.0171");
    let answer = Call::post("/vms").token().json(&creation::request()).send(&app, &TestHost::new(script));
    assert_eq!(answer.kind(), (503, "provider_capacity".into()), "{}", answer.text());
    assert_eq!(answer.json()["attempts"].as_array().map(Vec::len), Some(2));
}

#[test]
fn vms_that_cannot_be_counted_are_not_taken_for_none() {
    let app = Settings::usual().with("MAX_VMS", "3").app();
    let failing = get(list_of_all()).fixture(401, "error.unauthorized");
    let host = TestHost::new(Script::new().side_by_side(catalogue()).then(failing));
    let answer = Call::post("/vms").token().json(&json!({"repo_url": REPO_URL})).send(&app, &host);
    assert_eq!(answer.kind(), (502, "provider_unauthorized".into()));
}

#[test]
fn ceilings_that_are_no_amounts_are_told() {
    for (key, bad) in [
        ("MAX_VMS", "-1"),
        ("MAX_VMS_PER_OWNER", "two"),
        ("MAX_HOURLY_COST", "1,50"),
        ("MAX_MONTHLY_COST", "1e3"),
    ] {
        let answer =
            Call::get("/vms").token().send(&Settings::usual().with(key, bad).app(), &TestHost::silent());
        assert_eq!(answer.kind(), (503, "misconfigured".into()));
        assert_eq!(answer.json()["errors"][0]["field"], key);
    }
}

#[test]
fn orphans_are_what_the_reaper_would_take() {
    let expired = Server::ours().label("mayfly-expires", &NOW_SECS.to_string());
    let anns = Server::ours().id(5).label("mayfly-owner", "ann").label("mayfly-expires", "1");
    let pricing = || get("/pricing").fixture(200, "get_pricing.eur");
    let script = || {
        Script::new()
            .then(all(&[expired.clone(), anns.clone(), Server::ours().id(6)]))
            .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.mixed"))
            .then(pricing())
            .then(snapshots(
                &[],
                &json!([
                    snapshot(71, "default", NOW_SECS),
                    snapshot(72, "default", NOW_SECS + 1),
                    snapshot(73, "ann", 1)
                ]),
            ))
            .then(pricing())
    };
    let body = Call::get("/orphans").token().send(&app(), &TestHost::new(script())).ok(200);
    let ids: Vec<&str> =
        body["orphans"].as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, ["hetzner-4711", "903", "71"]);
    assert_eq!(body["orphans"][2]["reason"], "past its date");
    // 730 hours at the label's price; an address at 0.595; 2.3 GB at 1.19.
    let prices = [0, 1, 2].map(|it| body["orphans"][it]["monthly_price"]["amount"].as_f64());
    assert_eq!(prices, [Some(8.33952), Some(0.595), Some(2.737)]);
    assert_eq!(body["errors"], json!([]));
}

#[test]
fn deleting_orphans_deletes_them() {
    let script = Script::new()
        .then(all(&[Server::ours().label("mayfly-expires", "1")]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.empty"))
        .then(snapshots(&[], &json!([snapshot(71, "default", 1)])))
        .then(delete("/images/71").answers(204, ""));
    let body = Call::delete("/orphans").token().send(&app(), &TestHost::new(script)).ok(200);
    assert_eq!(body["reaped"].as_array().map(Vec::len), Some(2));
}

#[test]
fn everything_goes_vm_by_vm_and_what_cannot_is_told() {
    let going = Server::ours().id(9).set("status", "deleting");
    let anns = Server::ours().id(5).label("mayfly-owner", "ann");
    let locked = Server::ours().id(7);
    let script = Script::new()
        .then(mine(&[Server::ours(), anns, going, Server::foreign(), locked.clone()]))
        .then(delete("/servers/4711").fixture(200, "delete_server.accepted"))
        .then(delete("/servers/7").fixture(401, "error.unauthorized"))
        .then(get("/servers/7").fixture(401, "error.unauthorized"))
        .then(snapshots(
            &[("mayfly-owner", "default")],
            &json!([snapshot(71, "default", 1), snapshot(73, "ann", 1)]),
        ))
        .then(delete("/images/71").answers(204, ""));
    let body = Call::delete("/vms?confirm=all").token().send(&app(), &TestHost::new(script)).ok(200);
    assert_eq!(
        body,
        json!({
            "deleted": [{"kind": "vm", "id": "hetzner-4711", "name": "mayfly-hello-world-abcd"},
                        {"kind": "snapshot", "id": "71", "name": body["deleted"][1]["name"]}],
            "failed": [{"kind": "vm", "id": "hetzner-7", "name": "mayfly-hello-world-abcd", "code": "provider_unauthorized",
                        "detail": "Hetzner Cloud refuses the token in HETZNER_TOKEN."}],
            "remaining": 0,
            "detail": "Not all of it is deleted: send the request again.",
        })
    );
}

#[test]
fn everything_is_repeated_until_nothing_is_left_and_wants_a_clear_word() {
    for query in ["", "?confirm", "?confirm=ALL", "?confirm=1", "?all"] {
        let answer = Call::delete(&format!("/vms{query}")).token().send(&app(), &TestHost::silent());
        assert_eq!(answer.kind(), (400, "invalid_request".into()), "{query}");
    }
    let many: Vec<Server> = (1..=23).map(|id| Server::ours().id(id)).collect();
    let mut script = Script::new().then(mine(&many));
    for id in 1..=20 {
        script = script.then(delete(format!("/servers/{id}")).fixture(200, "delete_server.accepted"));
    }
    let none = || snapshots(&[("mayfly-owner", "default")], &json!([]));
    let body =
        Call::delete("/vms?confirm=all").token().send(&app(), &TestHost::new(script.then(none()))).ok(200);
    assert_eq!((&body["remaining"], body["deleted"].as_array().map(Vec::len)), (&json!(3), Some(20)));
    let script = Script::new().then(mine(&[])).then(none());
    let body = Call::delete("/vms?confirm=all").token().send(&app(), &TestHost::new(script)).ok(200);
    assert_eq!(body["detail"], "There is nothing of yours left.");
}

#[test]
fn figures_are_of_the_callers_own() {
    let overdue = Server::ours().id(5).label("mayfly-expires", "1").label("mayfly-phase", "failed");
    let anns = Server::ours().id(6).label("mayfly-owner", "ann");
    let host = TestHost::new(Script::new().then(mine(&[Server::ours(), overdue, anns])));
    let answer = Call::get("/metrics").token().send(&app(), &host);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let figures: Vec<&str> = answer.text().lines().filter(|it| !it.starts_with('#')).collect();
    assert_eq!(
        figures,
        [
            r#"mayfly_vms{provider="hetzner",phase="failed",state="running",owner="default"} 1"#,
            r#"mayfly_vms{provider="hetzner",phase="ready",state="running",owner="default"} 1"#,
            r#"mayfly_cost_per_hour{provider="hetzner",owner="default",currency="EUR"} 0.022848"#,
            r#"mayfly_vms_overdue{provider="hetzner"} 1"#,
            r#"mayfly_provider_up{provider="hetzner"} 1"#,
        ]
    );
    let host =
        TestHost::new(Script::new().then(get(list_of_owner("default")).fixture(401, "error.unauthorized")));
    let answer = Call::get("/metrics").token().send(&app(), &host);
    assert!(answer.text().contains("mayfly_provider_up{provider=\"hetzner\"} 0"), "{}", answer.text());
}

#[test]
fn what_the_reaper_did_is_added_up_where_there_is_a_bucket() {
    let store = Store::new();
    let gone = || delete("/servers/4711").fixture(200, "delete_server.accepted");
    let stays = || delete("/servers/4711").fixture(401, "error.unauthorized");
    let run = |exchanges: Vec<Exchange>| {
        let expired = get(list_of_all()).gives(200, &only(&[Server::ours().label("mayfly-expires", "1")]));
        let script = exchanges.into_iter().fold(Script::new().then(expired), Script::then);
        let script = script
            .then(get(list_of("primary_ips", &[], 1)).fixture(200, "list_primary_ips.empty"))
            .then(snapshots(&[], &json!([])));
        Call::post("/reap").token().store(&store).send(&app(), &TestHost::new(script)).ok(200);
    };
    let figures = |store: Option<&Store>| {
        let call = Call::get("/metrics").token();
        let call = if let Some(store) = store { call.store(store) } else { call };
        let text = call.send(&app(), &TestHost::new(Script::new().then(mine(&[])))).text().to_owned();
        let is_sum = |it: &&str| it.starts_with("mayfly_reaped_total") || it.starts_with("mayfly_failed");
        text.lines().filter(is_sum).map(str::to_owned).collect::<Vec<String>>()
    };
    let told = |vms: u32, failed: u32| {
        vec![
            format!("mayfly_reaped_total{{kind=\"vm\"}} {vms}"),
            "mayfly_reaped_total{kind=\"snapshot\"} 0".to_owned(),
            "mayfly_reaped_total{kind=\"leftover\"} 0".to_owned(),
            format!("mayfly_failed_deletes_total {failed}"),
        ]
    };
    assert_eq!(figures(Some(&store)), told(0, 0));
    run(vec![gone()]);
    run(vec![stays()]);
    run(vec![gone()]);
    assert_eq!(figures(Some(&store)), told(2, 1));
    assert_eq!(store.keys(), ["mayfly/~reaper/2.0.0.1"]);
    // A sum that was left behind is in the newer one.
    store.put("mayfly/~reaper/1.0.0.1", Vec::new());
    store.put("mayfly/~reaper/what", Vec::new());
    assert_eq!(figures(Some(&store)), told(2, 1));
    assert!(figures(None).is_empty(), "without a bucket there is no memory");
}

#[test]
fn a_provider_is_healthy_when_its_credential_may_read_and_write() {
    let probe = || post("/ssh_keys").json(json!({}));
    for (status, fixture, ok, credential) in [
        (422, "error.invalid_input", true, "read_write"),
        (403, "error.token_readonly", false, "read_only"),
        (429, "error.rate_limit_exceeded", false, "unknown"),
    ] {
        let host = TestHost::new(Script::new().then(all(&[])).then(probe().fixture(status, fixture)));
        let body = Call::get("/health/providers").token().send(&app(), &host).ok(200);
        let health = &body["providers"][0];
        assert_eq!((&health["ok"], &health["credential"]), (&json!(ok), &json!(credential)), "{fixture}");
        assert_eq!(health["error"].is_null(), ok);
    }
    let host = TestHost::new(Script::new().then(get(list_of_all()).fixture(401, "error.unauthorized")));
    let body = Call::get("/health/providers").token().send(&app(), &host).ok(200);
    assert_eq!(body["providers"][0]["credential"], "refused");
    assert_eq!(body["providers"][0]["error"]["code"], "provider_unauthorized");
}
