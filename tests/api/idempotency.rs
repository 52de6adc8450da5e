//! A repeated `Idempotency-Key`: the VM that exists, whoever was first, and 422 for another body.

use mayfly::encoding::base32;
use mayfly::name;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{
    self, address_ids, addresses, catalogue, draw, labels_of_created, prepared, signer, vm_id,
};
use super::support::failure;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, delete, get, post};
use super::support::world::{VM, app, list_of};

const KEY: &str = "6f1c-the-same-click";
const OTHER_VM: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzz";

fn body() -> Value {
    creation::request()
}

fn fingerprints() -> (String, String) {
    let idem = signer().fingerprint("idem", &[b"default", KEY.as_bytes()]);
    (idem, signer().fingerprint("body", &[body().to_string().as_bytes()]))
}

/// The name that the key makes.
fn derived_name() -> String {
    let [a, b, c, d, ..] = signer().derive("name", &[b"default", KEY.as_bytes()]);
    name::generate("Hello-World", [a, b, c, d])
}

fn find() -> Exchange {
    get(list_of("servers", &[("mayfly-owner", "default"), ("mayfly-idem", &fingerprints().0)], 1))
}

fn found(servers: &[Server]) -> Exchange {
    find().gives(200, &only(servers))
}

/// A server that this key made.
fn made(id: u64, vm: &str, created: &str) -> Server {
    let (idem, body) = fingerprints();
    let labels = labels_of_created(vm, &json!({"mayfly-idem": idem, "mayfly-body": body}));
    Server::ours().id(id).set("name", derived_name()).set("created", created).set("labels", labels)
}

fn first() -> Server {
    made(4711, VM, "2026-11-20T09:59:58Z")
}

fn send(body: &Value, host: &TestHost) -> Answer {
    Call::post("/vms").token().header("idempotency-key", KEY).json(body).send(&app(), host)
}

fn is_replay_of_the_first(answer: &Answer) {
    let shown = answer.ok(200);
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(answer.header("location"), Some("/vms/hetzner-4711"));
    assert_eq!(shown["vm"]["id"], "hetzner-4711");
    assert_eq!(shown["vm"]["name"], derived_name());
    assert_eq!(shown["password"], signer().password(VM).expose());
    assert_eq!(shown["attempts"], json!([]));
    assert_eq!(shown["warnings"], json!([]));
}

#[test]
fn the_first_request_leaves_its_fingerprints() {
    let (idem, fingerprint) = fingerprints();
    let want = labels_of_created(&vm_id(), &json!({"mayfly-idem": idem, "mayfly-body": fingerprint}));
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[])]))
        .side_by_side(prepared())
        .then(
            post("/servers")
                .checked(move |it| {
                    assert_eq!(it["labels"], want);
                    assert_eq!(it["name"], derived_name());
                })
                .computes(201, |it| creation::made_from(it).creation()),
        )
        .then(address_ids())
        .side_by_side(addresses())
        .then(found(&[made(4711, &vm_id(), "2026-11-20T10:00:00Z")]));
    let answer = send(&body(), &TestHost::new(script));
    let shown = answer.ok(201);
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(shown["password"], signer().password(&vm_id()).expose());
}

#[test]
fn a_repeated_request_answers_with_the_vm_that_exists() {
    let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[first()])]));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
}

/// Where creating a server and switching it on are two calls, a first try that was cut off leaves one that is off.
fn cut_off(created: &str) -> Server {
    made(4711, VM, created).set("status", "off")
}

fn look(server: &Server) -> Exchange {
    get("/servers/4711").gives(200, &server.one())
}

#[test]
fn a_vm_that_was_never_switched_on_is_no_answer_and_made_anew() {
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[cut_off("2026-11-20T09:59:00Z").id(4700)])]))
        .then(delete("/servers/4700").fixture(200, "delete_server.accepted"))
        .side_by_side(prepared())
        .then(post("/servers").computes(201, |it| creation::made_from(it).creation()))
        .then(address_ids())
        .side_by_side(addresses())
        .then(found(&[made(4711, &vm_id(), "2026-11-20T10:00:00Z")]));
    let host = TestHost::new(script);
    let answer = send(&body(), &host);
    answer.ok(201);
    assert_eq!(answer.header("idempotent-replayed"), None);
    host.finish();
    assert!(host.log_lines().iter().any(|it| it["event"] == "deleted" && it["detail"] == "never started"));
}

#[test]
fn a_vm_that_may_be_switched_on_any_moment_is_waited_for() {
    let young = || cut_off("2026-11-20T09:59:58Z");
    let listed = || Script::new().side_by_side(catalogue().into_iter().chain([found(&[young()])]));
    // The other request goes on.
    let host = TestHost::new(listed().then(look(&young())).then(look(&first())));
    is_replay_of_the_first(&send(&body(), &host));
    assert_eq!(host.sleeps_ms(), [1000, 1000]);
    // It may have been cut off: later it is made anew.
    let host = TestHost::new(listed().in_order((0..3).map(|_| look(&young()))));
    let answer = send(&body(), &host);
    assert_eq!(answer.kind(), (409, "still_creating".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("58"));
}

#[test]
fn a_vm_that_somebody_stopped_is_an_answer() {
    let old = "2026-11-20T09:59:00Z";
    for (label, value) in
        [("mayfly-seen", "1795168700"), ("mayfly-phase", "ready"), ("mayfly-expires", "1795428000")]
    {
        let stopped = cut_off(old).label(label, value);
        let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[stopped])]));
        is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
    }
    // Another body is told of, and deletes nothing.
    let other = json!({"repo_url": "https://github.com/octo/Other"});
    let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[cut_off(old)])]));
    assert_eq!(send(&other, &TestHost::new(script)).kind(), (422, "idempotency_key_reused".to_owned()));
}

#[test]
fn a_repeated_request_succeeds_though_nothing_can_be_ordered_any_more() {
    let broken = vec![
        get("/server_types?page=1&per_page=50").fixture(401, "error.unauthorized"),
        get("/locations?per_page=50").fixture(200, "list_locations.all"),
        get("/pricing").fixture(200, "get_pricing.eur"),
    ];
    let script = Script::new().side_by_side(broken.into_iter().chain([found(&[first()])]));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
}

#[test]
fn the_same_key_with_another_body_is_422() {
    let other = json!({"repo_url": "https://github.com/octo/Other"});
    let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[first()])]));
    send(&other, &TestHost::new(script)).is_problem(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key made the VM hetzner-4711 from another body; use a new key for a new VM.",
    );
}

#[test]
fn a_key_that_cannot_be_looked_up_creates_nothing() {
    for failure in &failure::ALL {
        let finds = (0..failure.tries).map(|_| failure.of(find()));
        let script = Script::new().side_by_side(catalogue().into_iter().chain(finds));
        let answer = send(&body(), &TestHost::new(script));
        assert_eq!(answer.kind(), (failure.status, failure.code.to_owned()), "{}", failure.what);
    }
}

#[test]
fn the_name_that_the_key_made_being_taken_means_adopting_its_vm() {
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[])]))
        .side_by_side(prepared())
        .then(post("/servers").fixture(409, "error.name_taken"))
        .then(found(&[first()]));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
}

/// Where names are not unique, the older one's request ends the younger one's server while it is still being made.
#[test]
fn a_creation_that_the_other_one_disturbed_answers_with_the_others_vm() {
    for (status, fixture) in [(423, "error.locked"), (409, "error.conflict"), (404, "error.not_found")] {
        let script = |second_look| {
            Script::new()
                .side_by_side(catalogue().into_iter().chain([found(&[])]))
                .side_by_side(prepared())
                .then(post("/servers").fixture(status, fixture))
                .then(second_look)
        };
        is_replay_of_the_first(&send(&body(), &TestHost::new(script(found(&[first()])))));
        let nobody = send(&body(), &TestHost::new(script(found(&[]))));
        assert_ne!(nobody.status, 200, "{fixture}: it is an error where nobody was");
    }
}

#[test]
fn a_name_that_was_taken_before_the_key_was_used_is_a_conflict() {
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[])]))
        .side_by_side(prepared())
        .then(post("/servers").fixture(409, "error.name_taken"))
        .then(found(&[]));
    let answer = send(&body(), &TestHost::new(script));
    answer.is_problem_with(
        409,
        "name_taken",
        &format!("The name {} is taken in this account.", derived_name()),
        &json!({"attempts": [{"server_type": "cx23", "location": "fsn1", "outcome": "provider_already_exists"}]}),
    );
}

/// A creation whose second look finds these.
fn created_beside(second_look: Exchange) -> Script {
    Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[])]))
        .side_by_side(prepared())
        .then(post("/servers").computes(201, |it| creation::made_from(it).id(4712).creation()))
        .then(get("/servers/4712").gives(200, &Server::ours().id(4712).one()))
        .side_by_side(addresses())
        .then(second_look)
}

#[test]
fn of_two_made_at_the_same_moment_the_older_wins_and_the_younger_deletes_itself() {
    let mine = made(4712, &vm_id(), "2026-11-20T10:00:00Z");
    for older in [
        made(4711, VM, "2026-11-20T09:59:59Z"),
        // In the same second the smaller id decides.
        made(4711, VM, "2026-11-20T10:00:00Z"),
    ] {
        let script = created_beside(found(&[mine.clone(), older]))
            .then(delete("/servers/4712").fixture(200, "delete_server.accepted"));
        is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
    }
}

#[test]
fn of_two_made_at_the_same_moment_the_older_stays_and_deletes_the_younger() {
    let mine = made(4712, &vm_id(), "2026-11-20T10:00:00Z");
    for younger in
        [made(4711, OTHER_VM, "2026-11-20T10:00:01Z"), made(4713, OTHER_VM, "2026-11-20T10:00:00Z")]
    {
        let id = if younger.one()["server"]["id"] == 4711 { 4711 } else { 4713 };
        let script = created_beside(found(&[younger, mine.clone()]))
            .then(delete(format!("/servers/{id}")).fixture(200, "delete_server.accepted"));
        assert_eq!(send(&body(), &TestHost::new(script)).ok(201)["vm"]["id"], "hetzner-4712");
    }
}

/// The older one's start may have failed, and its request takes it back.
#[test]
fn a_vm_gives_way_to_an_older_one_that_was_started_and_to_no_other() {
    let mine = made(4712, &vm_id(), "2026-11-20T10:00:00Z");
    for state in ["off", "stopping"] {
        let older = cut_off("2026-11-20T09:59:59Z").set("status", state);
        let listed = || created_beside(found(&[mine.clone(), older.clone()])).then(look(&older));
        let host = TestHost::new(listed().then(get("/servers/4711").fixture(404, "error.not_found")));
        assert_eq!(send(&body(), &host).ok(201)["vm"]["id"], "hetzner-4712");
        host.finish();
        let host = TestHost::new(
            listed()
                .then(look(&first()))
                .then(delete("/servers/4712").fixture(200, "delete_server.accepted")),
        );
        is_replay_of_the_first(&send(&body(), &host));
    }
    // What is made just now may look as if it were off.
    let off = mine.clone().set("status", "off");
    let host = TestHost::new(created_beside(found(&[off])));
    assert_eq!(send(&body(), &host).ok(201)["vm"]["id"], "hetzner-4712");
}

#[test]
fn a_repeated_request_settles_what_an_earlier_race_left() {
    let later = made(4720, OTHER_VM, "2026-11-20T09:59:59Z");
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[later, first()])]))
        .then(delete("/servers/4720").fixture(200, "delete_server.accepted"));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
}

#[test]
fn a_vm_that_a_listing_shows_twice_is_not_its_own_younger_twin() {
    let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[first(), first()])]));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
    let mine = made(4712, &vm_id(), "2026-11-20T10:00:00Z");
    let script = created_beside(found(&[mine.clone(), mine]));
    assert_eq!(send(&body(), &TestHost::new(script)).ok(201)["vm"]["id"], "hetzner-4712");
}

#[test]
fn a_vm_that_is_being_deleted_is_no_answer_to_a_repeated_request() {
    let deleting = first().set("status", "deleting");
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&[deleting])]))
        .side_by_side(prepared())
        .then(post("/servers").fixture(403, "error.resource_limit_exceeded"));
    assert_eq!(send(&body(), &TestHost::new(script)).kind(), (503, "provider_quota".to_owned()));
}

#[test]
fn servers_that_the_provider_sends_beside_are_neither_answered_with_nor_settled() {
    let (_, fingerprint) = fingerprints();
    let beside = [
        Server::foreign(),
        first().label("mayfly-owner", "ann"),
        first().label("mayfly-deployment", "other"),
        first().label("managed-by", "terraform"),
        first().label("mayfly-idem", "aaaaaaaaaaaaaaaaaaaaaaaaaa").label("mayfly-body", &fingerprint),
    ];
    let script = Script::new()
        .side_by_side(catalogue().into_iter().chain([found(&beside)]))
        .side_by_side(prepared())
        .then(post("/servers").fixture(403, "error.resource_limit_exceeded"));
    assert_eq!(send(&body(), &TestHost::new(script)).kind(), (503, "provider_quota".to_owned()));
}

#[test]
fn a_second_look_that_fails_is_a_problem_and_the_next_try_adopts_the_vm() {
    let host = TestHost::new(created_beside(find().fixture(401, "error.unauthorized")));
    assert_eq!(send(&body(), &host).kind(), (502, "provider_unauthorized".to_owned()));
    let script = Script::new().side_by_side(catalogue().into_iter().chain([found(&[first()])]));
    is_replay_of_the_first(&send(&body(), &TestHost::new(script)));
}

#[test]
fn a_younger_vm_that_cannot_be_deleted_is_a_problem() {
    let mine = made(4712, &vm_id(), "2026-11-20T10:00:00Z");
    let script = created_beside(found(&[mine, first()]))
        .in_order((0..3).map(|_| delete("/servers/4712").fixture(423, "error.locked")));
    assert_eq!(send(&body(), &TestHost::new(script)).kind(), (409, "provider_locked".to_owned()));
}

#[test]
fn the_vms_own_id_is_random_though_its_name_is_not() {
    let id = |seed: u64| base32(&draw((seed << 32) + 2)[..16]);
    for seed in [0, 1] {
        let script = Script::new()
            .side_by_side(catalogue().into_iter().chain([found(&[])]))
            .side_by_side(prepared())
            .then(
                post("/servers")
                    .checked(move |it| {
                        assert_eq!(it["name"], derived_name());
                        assert_eq!(it["labels"]["mayfly-vm"], id(seed));
                    })
                    .fixture(403, "error.resource_limit_exceeded"),
            );
        assert_eq!(send(&body(), &TestHost::new(script).seeded(seed)).status, 503);
    }
    assert_ne!(id(0), id(1));
}
