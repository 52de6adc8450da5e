//! Creations that fail, at every call of theirs: the problem, the number of calls, what is taken back, and servers whose
//! creation was not answered.

use mayfly::http::NoAnswer;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{
    address_ids, addresses, catalogue, create_server, find_firewall, find_key, look_for_lost, lost_and_found,
    prepared, preparing, request, taken_back, vm_id,
};
use super::support::failure::{self, Failure, NO_CAPACITY};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post};
use super::support::world::app;

fn send(host: &TestHost) -> Answer {
    Call::post("/vms").token().json(&request()).send(&app(), host)
}

/// The places for a medium VM in the catalogue of the fixtures, cheapest first, as many as are tried.
const PLACES: [(&str, &str); 6] = [
    ("cx23", "fsn1"),
    ("cx23", "nbg1"),
    ("cx33", "fsn1"),
    ("cx33", "hel1"),
    ("cpx22", "ash"),
    ("cpx22", "fsn1"),
];

fn attempts(outcomes: &[&str]) -> Value {
    let attempt = |((server_type, location), outcome): (&(&str, &str), &&str)| json!({"server_type": server_type, "location": location, "outcome": outcome});
    PLACES.iter().zip(outcomes).map(attempt).collect()
}

fn is_failure(answer: &Answer, failure: &Failure, attempts: Option<Value>) {
    let mut more = json!({});
    if let Some(secs) = failure.retry_after {
        more["retry_after_seconds"] = secs.into();
    }
    if let Some(attempts) = attempts {
        more["attempts"] = attempts;
    }
    answer.is_problem_with(failure.status, failure.code, failure.detail, &more);
}

fn with_key_and_firewall_made() -> Script {
    Script::new().side_by_side(catalogue()).side_by_side(preparing())
}

#[test]
fn a_catalogue_that_cannot_be_read_creates_nothing() {
    for failure in &failure::ALL {
        // The other two answers may be under way or not: the first failure ends the wait.
        let types = get("/server_types?page=1&per_page=50");
        let broken = (1..failure.tries).map(|_| failure.of(get("/server_types?page=1&per_page=50")));
        let script = Script::new().side_by_side(broken.chain([failure.of(types)]).chain([
            get("/locations?per_page=50").fixture(200, "list_locations.all"),
            get("/pricing").fixture(200, "get_pricing.eur"),
        ]));
        is_failure(&send(&TestHost::new(script)), failure, None);
    }
}

#[test]
fn every_refusal_of_the_server_takes_back_key_and_firewall_of_this_call() {
    for failure in failure::ALL.iter().filter(|it| !it.may_have_acted) {
        let script = with_key_and_firewall_made().then(failure.of(post("/servers"))).in_order(taken_back());
        let host = TestHost::new(script);
        is_failure(&send(&host), failure, Some(attempts(&[failure.code])));
        assert!(host.sleeps_ms().is_empty(), "a creation is never repeated: {}", failure.what);
    }
}

#[test]
fn what_was_there_before_is_not_taken_back() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(post("/servers").fixture(403, "error.resource_limit_exceeded"));
    assert_eq!(send(&TestHost::new(script)).kind(), (503, "provider_quota".to_owned()));
}

#[test]
fn a_server_whose_answer_was_lost_is_found_by_its_label() {
    for failure in failure::ALL.iter().filter(|it| it.may_have_acted) {
        // Acted, then dropped: the second look sees it.
        let script = with_key_and_firewall_made()
            .then(failure.of(post("/servers")))
            .then(look_for_lost().fixture(200, "list_servers.empty"))
            .then(look_for_lost().gives(200, &only(&[lost_and_found()])))
            .then(get("/servers/4711").gives(200, &lost_and_found().one()))
            .side_by_side(addresses());
        let host = TestHost::new(script);
        let body = send(&host).ok(201);
        assert_eq!(body["attempts"], attempts(&["adopted"]), "{}", failure.what);
        assert_eq!(body["vm"]["id"], "hetzner-4711");
        assert_eq!(body["password"].as_str().map(str::len), Some(23));
        assert_eq!(host.sleeps_ms(), [500, 1000]);
    }
}

#[test]
fn a_server_that_was_never_made_is_looked_for_three_times_and_everything_taken_back() {
    for failure in failure::ALL.iter().filter(|it| it.may_have_acted) {
        let looks = (0..3).map(|_| look_for_lost().fixture(200, "list_servers.empty"));
        let script = with_key_and_firewall_made()
            .then(failure.of(post("/servers")))
            .in_order(looks)
            .in_order(taken_back());
        let host = TestHost::new(script);
        is_failure(&send(&host), failure, Some(attempts(&[failure.code])));
        assert_eq!(host.sleeps_ms(), [500, 1000, 2000]);
    }
}

#[test]
fn capacity_that_is_missing_leads_to_the_next_place() {
    for refusal in [
        |it: Exchange| it.fixture(412, "error.resource_unavailable"),
        |it: Exchange| it.fixture(422, "error.unsupported_location"),
    ] {
        let script = Script::new()
            .side_by_side(catalogue())
            .side_by_side(prepared())
            .then(refusal(post("/servers").checked(|it| assert_eq!(it["location"], "fsn1"))))
            .then(refusal(post("/servers").checked(|it| assert_eq!(it["location"], "nbg1"))))
            .then(create_server())
            .then(address_ids())
            .side_by_side(addresses());
        let host = TestHost::new(script);
        let body = send(&host).ok(201);
        assert_eq!(body["attempts"], attempts(&["provider_capacity", "provider_capacity", "created"]));
        assert_eq!(body["vm"]["cost"]["per_hour"], 0.017_136, "the price of the place that took it");
    }
}

#[test]
fn no_capacity_anywhere_ends_after_six_places_and_takes_everything_back() {
    let refusals = PLACES.map(|(server_type, location)| {
        NO_CAPACITY.of(post("/servers").checked(move |it| {
            assert_eq!((&it["server_type"], &it["location"]), (&json!(server_type), &json!(location)));
        }))
    });
    let script = with_key_and_firewall_made().in_order(refusals).in_order(taken_back());
    let host = TestHost::new(script);
    is_failure(&send(&host), &NO_CAPACITY, Some(attempts(&["provider_capacity"; 6])));
    assert_eq!(host.requests().len(), 3 + 4 + 6 + 2);
}

#[test]
fn a_size_that_nobody_sells_there_is_no_capacity_without_a_try() {
    let mut body = request();
    body["location"] = "sin".into();
    let script = Script::new().side_by_side(catalogue()).side_by_side(preparing()).in_order(taken_back());
    let answer = Call::post("/vms").token().json(&body).send(&app(), &TestHost::new(script));
    answer.is_problem(
        503,
        "provider_capacity",
        "Hetzner Cloud offers no server type of this size there at the moment.",
    );
}

#[test]
fn a_location_that_does_not_exist_is_the_callers_mistake() {
    let mut body = request();
    body["location"] = "moon1".into();
    let script = Script::new().side_by_side(catalogue());
    let answer = Call::post("/vms").token().json(&body).send(&app(), &TestHost::new(script));
    let detail = "must be one of fsn1, nbg1, hel1, ash, sin";
    answer.is_problem_with(
        400,
        "invalid_request",
        &format!("The field location {detail}."),
        &json!({"errors": [{"field": "location", "detail": detail}]}),
    );
}

#[test]
fn a_key_that_vanished_is_made_again_once() {
    for (refusal, again) in [
        (
            post("/servers").fixture(422, "error.ssh_key_gone"),
            vec![
                find_key().fixture(200, "list_ssh_keys.empty"),
                find_firewall().fixture(200, "list_firewalls.ours"),
                post("/ssh_keys").fixture(201, "create_ssh_key.created"),
            ],
        ),
        (
            post("/servers").fixture(404, "error.firewall_gone"),
            vec![
                find_key().fixture(200, "list_ssh_keys.registered"),
                find_firewall().fixture(200, "list_firewalls.empty"),
                post("/firewalls").fixture(201, "create_firewall.created"),
            ],
        ),
    ] {
        let script = Script::new()
            .side_by_side(catalogue())
            .side_by_side(prepared())
            .then(refusal)
            .side_by_side(again)
            .then(create_server())
            .then(address_ids())
            .side_by_side(addresses());
        let body = send(&TestHost::new(script)).ok(201);
        assert_eq!(body["attempts"], attempts(&["created"]));
    }
}

#[test]
fn a_key_that_vanishes_twice_is_a_failure_that_takes_back_what_was_made() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(post("/servers").fixture(422, "error.ssh_key_gone"))
        .side_by_side(preparing())
        .then(post("/servers").fixture(422, "error.ssh_key_gone"))
        .in_order(taken_back());
    let answer = send(&TestHost::new(script));
    answer.is_problem_with(
        502,
        "provider_invalid",
        "Hetzner Cloud answered invalid_input: SSH key not found [ssh_keys].",
        &json!({"attempts": attempts(&["provider_invalid"])}),
    );
}

#[test]
fn what_the_first_preparation_made_is_taken_back_though_there_was_a_second() {
    // The key vanishes; the firewall of the first preparation is found by the second, and is still this call's.
    let firewall = super::support::fixtures::text("list_firewalls.ours").replace("\"id\": 38", "\"id\": 39");
    let again = vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().answers(200, firewall),
        post("/ssh_keys").fixture(201, "create_ssh_key.created"),
    ];
    let script = with_key_and_firewall_made()
        .then(post("/servers").fixture(422, "error.ssh_key_gone"))
        .side_by_side(again)
        .then(post("/servers").fixture(403, "error.resource_limit_exceeded"))
        .side_by_side(taken_back());
    assert_eq!(send(&TestHost::new(script)).kind(), (503, "provider_quota".to_owned()));
}

#[test]
fn what_the_first_preparation_made_is_taken_back_when_the_second_fails() {
    let again = vec![
        find_key().fixture(401, "error.unauthorized"),
        find_firewall().fixture(401, "error.unauthorized"),
    ];
    let script = with_key_and_firewall_made()
        .then(post("/servers").fixture(422, "error.ssh_key_gone"))
        .side_by_side(again)
        .side_by_side(taken_back());
    assert_eq!(send(&TestHost::new(script)).kind(), (502, "provider_unauthorized".to_owned()));
}

#[test]
fn a_failure_while_preparing_takes_back_the_half_that_was_made() {
    let half_key = vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().fixture(200, "list_firewalls.empty"),
        post("/ssh_keys").fixture(201, "create_ssh_key.created"),
        post("/firewalls").fixture(403, "error.resource_limit_exceeded"),
    ];
    let half_firewall = vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().fixture(200, "list_firewalls.empty"),
        post("/ssh_keys").fixture(403, "error.resource_limit_exceeded"),
        post("/firewalls").fixture(201, "create_firewall.created"),
    ];
    for (preparing, back) in [
        (half_key, delete("/ssh_keys/2324").answers(204, "")),
        (half_firewall, delete("/firewalls/39").answers(204, "")),
    ] {
        let script = Script::new().side_by_side(catalogue()).side_by_side(preparing).then(back);
        assert_eq!(send(&TestHost::new(script)).kind(), (503, "provider_quota".to_owned()));
    }
}

#[test]
fn a_key_whose_registration_was_not_answered_is_looked_for() {
    for (found, status) in [("list_ssh_keys.registered", 201), ("list_ssh_keys.empty", 504)] {
        let mut group = vec![
            find_key().fixture(200, "list_ssh_keys.empty"),
            find_firewall().fixture(200, "list_firewalls.ours"),
            post("/ssh_keys").lost(NoAnswer::TimedOut),
            find_key().fixture(200, found),
        ];
        let mut script = Script::new().side_by_side(catalogue()).side_by_side(group.drain(..));
        if status == 201 {
            script = script.then(create_server()).then(address_ids()).side_by_side(addresses());
        }
        assert_eq!(send(&TestHost::new(script)).status, status);
    }
}

#[test]
fn a_shared_name_that_somebody_else_holds_is_a_conflict_and_no_other_name_is_tried() {
    let taken = |kind: &str| {
        let is_key = kind == "key";
        let (key_answer, firewall_answer) = if is_key {
            (
                post("/ssh_keys").fixture(409, "error.key_taken"),
                post("/firewalls").fixture(201, "create_firewall.created"),
            )
        } else {
            (
                post("/ssh_keys").fixture(201, "create_ssh_key.created"),
                post("/firewalls").fixture(409, "error.name_taken"),
            )
        };
        let again = if is_key {
            find_key().fixture(200, "list_ssh_keys.empty")
        } else {
            find_firewall().fixture(200, "list_firewalls.empty")
        };
        let back = if is_key { delete("/firewalls/39") } else { delete("/ssh_keys/2324") };
        Script::new()
            .side_by_side(catalogue())
            .side_by_side([
                find_key().fixture(200, "list_ssh_keys.empty"),
                find_firewall().fixture(200, "list_firewalls.empty"),
                key_answer,
                firewall_answer,
                again,
            ])
            .then(back.answers(204, ""))
    };
    for kind in ["key", "firewall"] {
        assert_eq!(send(&TestHost::new(taken(kind))).kind(), (409, "provider_conflict".to_owned()), "{kind}");
    }
}

#[test]
fn a_rollback_that_fails_is_logged_and_left_to_the_reaper() {
    let script = with_key_and_firewall_made()
        .then(post("/servers").fixture(403, "error.resource_limit_exceeded"))
        .then(delete("/ssh_keys/2324").fixture(404, "error.not_found"))
        .then(delete("/firewalls/39").fixture(422, "error.resource_in_use"));
    let host = TestHost::new(script);
    assert_eq!(send(&host).kind(), (503, "provider_quota".to_owned()));
    assert_eq!(host.log_lines()[0], json!({"event": "rollback_failed", "kind": "firewall"}));
}

#[test]
fn a_foreign_server_in_the_answer_to_the_look_is_not_adopted() {
    // A provider that ignores the selector must not make us answer with somebody else's server.
    let looks = (0..3).map(|_| look_for_lost().gives(200, &only(&[Server::foreign()])));
    let script = with_key_and_firewall_made()
        .then(post("/servers").lost(NoAnswer::Broken))
        .in_order(looks)
        .in_order(taken_back());
    let answer = send(&TestHost::new(script));
    assert_eq!(answer.kind(), (502, "provider_unavailable".to_owned()));
    assert_eq!(vm_id().len(), 26);
}
