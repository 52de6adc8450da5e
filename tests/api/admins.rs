//! An admin sees and touches what every owner has; each owner stays within their own ceilings, and nobody else's entry is
//! believed to say more than it does. What the API says of workspaces and of the reaper is in their files.

use mayfly::api::ROUTES;
use serde_json::{Value, json};

use super::snapshots::{image, images};
use super::support::call::{Answer, Call};
use super::support::creation::{self, address_ids, addresses, catalogue, create_server, prepared};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get};
use super::support::world::{
    ANNS_TOKEN, API_TOKEN, ROOTS_TOKEN, Settings, list_of_all, list_of_owner, sha256_hex,
};

fn anns() -> Server {
    Server::ours().label("mayfly-owner", "ann")
}

fn all(list: &[Server]) -> Exchange {
    get(list_of_all()).gives(200, &only(list))
}

fn admin(call: Call, script: Script) -> Answer {
    call.bearer(ROOTS_TOKEN).send(&Settings::usual().with_admin("").app(), &TestHost::new(script))
}

#[test]
fn an_admin_lists_everybodys_and_each_says_whose_it_is() {
    let list =
        [anns(), Server::ours().id(5), Server::foreign(), anns().id(6).label("mayfly-deployment", "x")];
    let body = admin(Call::get("/vms"), Script::new().then(all(&list))).ok(200);
    let owners: Vec<&Value> = body["vms"].as_array().expect("a list").iter().map(|it| &it["owner"]).collect();
    assert_eq!(owners, ["ann", "default"]);
    assert_eq!(body["totals"]["count"], 2);
    let figures = admin(Call::get("/metrics"), Script::new().then(all(&list)));
    assert!(figures.text().contains(r#"owner="ann"} 1"#) && figures.text().contains(r#"owner="default"} 1"#));
    let list = || Script::new().then(images(&[], &[image(71, &[("mayfly-owner", "ann")]), image(72, &[])]));
    let prices = || list().then(get("/pricing").fixture(200, "get_pricing.eur"));
    let body = admin(Call::get("/snapshots"), prices()).ok(200);
    assert_eq!([&body["snapshots"][0]["owner"], &body["snapshots"][1]["owner"]], ["ann", "default"]);
    let gone =
        admin(Call::delete("/snapshots/hetzner-71"), list().then(delete("/images/71").answers(204, "")));
    assert_eq!(gone.ok(200)["already_gone"], false);
}

#[test]
fn an_admin_reaches_another_owners_vm_by_every_route() {
    let (off, going) = (anns().set("status", "off"), anns().set("status", "deleting"));
    let look = |server: &Server| Script::new().then(get("/servers/4711").gives(200, &server.one()));
    let end = || look(&anns()).then(delete("/servers/4711").fixture(200, "delete_server.accepted"));
    // What a VM's state does not allow is told only to those for whom it exists.
    let table = [
        ("GET", "", "", look(&anns()), (200, "")),
        ("DELETE", "", "", end(), (200, "")),
        ("POST", "/open", "", look(&anns()), (200, "")),
        ("GET", "/log", "", look(&anns()), (404, "log_not_kept")),
        ("POST", "/start", "", look(&anns()), (409, "wrong_state")),
        ("POST", "/stop", "", look(&off), (409, "wrong_state")),
        ("POST", "/extend", r#"{"minutes":60}"#, look(&going), (409, "wrong_state")),
        ("POST", "/snapshots", "", look(&going), (409, "wrong_state")),
    ];
    let rows = ROUTES.iter().filter(|it| it.path.starts_with("/vms/{id}"));
    assert_eq!(rows.count(), table.len());
    for (method, tail, body, script, expected) in table {
        let answer = admin(Call::new(method, &format!("/vms/hetzner-4711{tail}")).bytes(body), script);
        assert_eq!(answer.kind(), (expected.0, expected.1.to_owned()), "{method} {tail}");
    }
}

#[test]
fn what_an_admin_makes_is_the_admins_own_and_so_is_what_everything_means() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let made = admin(Call::post("/vms").json(&creation::request()), script);
    assert_eq!(made.ok(201)["vm"]["owner"], "root");
    let none = Script::new()
        .then(get(list_of_owner("root")).gives(200, &only(&[anns()])))
        .then(images(&[("mayfly-owner", "root")], &[image(71, &[])]));
    let body = admin(Call::delete("/vms?confirm=all"), none).ok(200);
    assert_eq!(body["detail"], "There is nothing of yours left.");
}

#[test]
fn who_is_asking_is_told_so() {
    for (token, owner, is_admin) in
        [(ROOTS_TOKEN, "root", true), (ANNS_TOKEN, "ann", false), (API_TOKEN, "default", false)]
    {
        let app = Settings::usual().with_admin("").app();
        let host = TestHost::new(Script::new().side_by_side(catalogue()));
        let body = Call::get("/options").bearer(token).send(&app, &host).ok(200);
        assert_eq!((&body["owner"], &body["admin"]), (&json!(owner), &json!(is_admin)));
    }
}

/// A creation of Ann's that is refused: the catalogue is read, the VMs are counted, nothing else happens.
fn refused(settings: &Settings, there: &[Server]) -> Value {
    let host = TestHost::new(Script::new().side_by_side(catalogue()).then(all(there)));
    let answer = Call::post("/vms").anns().json(&creation::request()).send(&settings.app(), &host);
    assert_eq!(answer.kind(), (429, "ceiling_reached".into()), "{}", answer.text());
    answer.json()["errors"].clone()
}

#[test]
fn an_owners_own_ceilings_count_what_is_theirs() {
    let there = [anns(), anns().id(5), Server::ours().id(6)];
    let with = |anns: &str| Settings::usual().with_admin(anns);
    assert_eq!(
        refused(&with(r#","max_vms":2,"max_hourly_cost":0.03"#), &there),
        json!([
            {"field": "max_vms", "detail": "is 2, and you have 2 VMs"},
            {"field": "max_hourly_cost",
             "detail": "is 0.0300; 0.0228 is spent per hour on yours, and this VM adds 0.0114 EUR"},
        ])
    );
    // What is said of one owner takes the place of what is said of every owner, either way.
    let general = with(r#","max_vms":2"#).with("MAX_VMS_PER_OWNER", "1");
    let script = Script::new()
        .side_by_side(catalogue())
        .then(all(&there[1..]))
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    Call::post("/vms").anns().json(&creation::request()).send(&general.app(), &TestHost::new(script)).ok(201);
    assert_eq!(refused(&with(r#","max_vms":0"#).with("MAX_VMS_PER_OWNER", "9"), &[])[0]["field"], "max_vms");
    // The whole deployment's ceilings hold beside them.
    let both = with(r#","max_vms":5"#).with("MAX_VMS", "3");
    assert_eq!(refused(&both, &there), json!([{"field": "MAX_VMS", "detail": "is 3, and there are 3 VMs"}]));
}

#[test]
fn every_entry_that_is_wrong_is_named_with_what_is_wrong() {
    let digest = sha256_hex(ANNS_TOKEN);
    let tokens = json!({
        "ann": {"sha256": digest, "admin": "yes", "max_vms": -1, "max_hourly_cost": "0.5"},
        "bob": {"admin": true},
        "cyd": {"sha256": sha256_hex("another"), "max_vm": 2},
        "dan": digest,
        "eve": {"sha256": sha256_hex("a third"), "max_vms": 1.5, "max_hourly_cost": 1e9},
    });
    let app = Settings::usual().with("API_TOKENS", tokens.to_string()).app();
    let answer = Call::get("/vms").token().send(&app, &TestHost::silent());
    assert_eq!(answer.kind(), (503, "misconfigured".to_owned()));
    let errors = answer.json()["errors"].clone();
    let details: Vec<&str> =
        errors.as_array().expect("errors").iter().filter_map(|it| it["detail"].as_str()).collect();
    assert_eq!(
        details,
        [
            "admin of 'ann' must be true or false",
            "max_vms of 'ann' must be a whole number from 0 to 10000",
            "max_hourly_cost of 'ann' must be an amount such as 0.50, at most 1000000",
            "'bob' needs the SHA-256 of the token as 64 hexadecimal digits",
            "'cyd' has a field that is not one of sha256, admin, max_vms, max_hourly_cost",
            "'dan' has the same token as 'ann'",
            "max_vms of 'eve' must be a whole number from 0 to 10000",
            "max_hourly_cost of 'eve' must be an amount such as 0.50, at most 1000000",
        ]
    );
}
