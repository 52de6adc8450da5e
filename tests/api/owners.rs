//! Owners and deployments are kept apart: what is another's does not exist for the caller, whatever the caller does.

use mayfly::api::ROUTES;
use serde_json::json;

use super::support::call::Call;
use super::support::creation;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get, post};
use super::support::world::{Settings, app, example_of, list_of_owner};

/// Servers that are not the default owner's.
fn others() -> [(&'static str, Server); 6] {
    [
        ("without labels", Server::foreign().id(4711)),
        ("managed by something else", Server::ours().label("managed-by", "terraform")),
        ("not managed", Server::ours().without_label("managed-by")),
        ("of another deployment", Server::ours().label("mayfly-deployment", "mayfly-2")),
        ("of another owner", Server::ours().label("mayfly-owner", "ann")),
        ("without identity", Server::ours().without_label("mayfly-vm")),
    ]
}

#[test]
fn what_is_not_the_callers_does_not_exist_and_is_not_touched() {
    let rows: Vec<_> = ROUTES.iter().filter(|it| it.path.starts_with("/vms/{id}")).collect();
    assert_eq!(rows.len(), 8);
    for (what, server) in others() {
        for row in &rows {
            // The script allows one look and no change.
            let host = TestHost::new(Script::new().then(get("/servers/4711").gives(200, &server.one())));
            let call = Call::new(row.method.as_str(), &example_of(row.path)).token();
            let body = if row.path.ends_with("/extend") { r#"{"minutes":60}"# } else { "" };
            let answer = call.bytes(body).send(&app(), &host);
            assert_eq!(answer.kind(), (404, "vm_not_found".to_owned()), "{what}: {row:?}");
            answer.is_problem(404, "vm_not_found", "There is no such VM of yours.");
        }
    }
}

#[test]
fn each_owner_lists_their_own() {
    let anns = Server::ours().label("mayfly-owner", "ann").id(5000);
    let host = TestHost::new(Script::new().then(get(list_of_owner("ann")).gives(200, &only(&[anns]))));
    let body = Call::get("/vms").anns().send(&app(), &host).ok(200);
    assert_eq!(body["vms"][0]["id"], "hetzner-5000");
    assert_eq!(body["vms"][0]["owner"], "ann");
}

#[test]
fn a_vm_carries_its_creators_name() {
    let script = Script::new()
        .side_by_side(creation::catalogue())
        .side_by_side(creation::prepared())
        .then(
            post("/servers")
                .checked(|body| assert_eq!(body["labels"]["mayfly-owner"], "ann"))
                .computes(201, |request| creation::made_from(request).creation()),
        )
        .then(creation::address_ids())
        .side_by_side(creation::addresses());
    let answer = Call::post("/vms").anns().json(&creation::request()).send(&app(), &TestHost::new(script));
    assert_eq!(answer.ok(201)["vm"]["owner"], "ann");
}

#[test]
fn the_same_idempotency_key_of_two_people_is_two_keys() {
    let idem = |owner: &str| creation::signer().fingerprint("idem", &[owner.as_bytes(), b"same-key"]);
    assert_ne!(idem("default"), idem("ann"));
}

#[test]
fn another_deployment_asks_for_its_own() {
    let app = Settings::usual().with("DEPLOYMENT", "mayfly-2").app();
    let target = list_of_owner("default").replace("deployment%3D%3Dmayfly", "deployment%3D%3Dmayfly-2");
    let host = TestHost::new(Script::new().then(get(target).gives(200, &only(&[Server::ours()]))));
    assert_eq!(Call::get("/vms").token().send(&app, &host).ok(200)["vms"], json!([]));
}
