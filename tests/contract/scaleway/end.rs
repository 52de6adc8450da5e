//! How servers end at Scaleway, by what they are doing and what hangs on them.

use mayfly::providers::ErrorKind;
use serde_json::{Value, json};

use super::{
    IMAGE, NATIVES, Scaleway, VM, VOLUME, ZONE, action, booted, delete, disk_tagged, gives, images, in_state,
    instance, made, one_server, place, there_is_a_group,
};
use crate::suite::{self, PLACES};
use crate::support::block_on;
use crate::support::host::TestHost;
use crate::support::script::{self, Script};
use crate::vendor::{Known, Vendor as _};

fn deleted(script: Script) -> (Result<(), ErrorKind>, usize) {
    let host = TestHost::new(script);
    let deleted = block_on(Scaleway.provider().delete(&host, NATIVES[0])).map_err(|it| it.kind);
    (deleted, host.sleeps_ms().len())
}

#[test]
fn what_its_own_system_shut_down_is_switched_off_before_it_is_deleted() {
    let look = |state, actions: &[&str]| Scaleway.get().gives(200, &in_state(state, actions));
    let script = Script::new()
        .then(look("stopped in place", &["poweron", "backup", "poweroff"]))
        .then(gives(action("poweroff"), 202, "action.accepted"))
        .then(look("stopping", &["stop_in_place", "backup"]))
        .then(look("stopped", &["poweron", "backup"]))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""));
    assert_eq!(deleted(script), (Ok(()), 2));
}

#[test]
fn a_server_that_may_not_be_terminated_is_switched_off_and_deleted() {
    let running = || Scaleway.get().answers(200, Scaleway.one(&Known::ours(0)));
    let script = Script::new()
        .then(running())
        .then(gives(action("terminate"), 412, "error.precondition_failed"))
        .then(running())
        .then(gives(action("poweroff"), 202, "action.accepted"))
        .then(Scaleway.get().gives(200, &in_state("stopped", &["poweron", "backup"])))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""));
    assert_eq!(deleted(script).0, Ok(()));
}

/// Switched off, with a further local disk, a volume of block storage and a reserved address.
fn laden(state: &str, actions: &[&str], tags: &[&str]) -> Value {
    let mut server = in_state(state, actions)["server"].take();
    server["volumes"]["1"] = server["volumes"]["0"].clone();
    server["volumes"]["1"]["id"] = OTHER_VOLUME.into();
    server["volumes"]["1"]["tags"] = json!(tags);
    server["volumes"]["2"] =
        json!({"id": "33333333-f471-4cf4-a7da-fbfbbd33fb19", "volume_type": "sbs_volume"});
    server["public_ips"][0]["dynamic"] = false.into();
    json!({ "server": server })
}

const OTHER_VOLUME: &str = "22222222-f471-4cf4-a7da-fbfbbd33fb19";

#[test]
fn what_somebody_attached_outlives_its_server() {
    // `terminate` would take the further disk along.
    let tags = ["managed-by=mayfly", "mayfly-deployment=mayfly", "mayfly-vm=another"];
    let script = Script::new()
        .then(Scaleway.get().gives(200, &laden("running", &["poweroff", "terminate"], &tags)))
        .then(gives(action("poweroff"), 202, "action.accepted"))
        .then(Scaleway.get().gives(200, &laden("stopped", &["poweron", "backup"], &tags)))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""));
    assert_eq!(deleted(script).0, Ok(()));
}

#[test]
fn a_further_disk_that_says_it_is_its_vms_goes_with_it() {
    let vm = format!("mayfly-vm={VM}");
    let tags = ["managed-by=mayfly", "mayfly-deployment=mayfly", &vm];
    let script = Script::new()
        .then(Scaleway.get().gives(200, &laden("stopped", &["poweron", "backup"], &tags)))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""))
        .then(delete(&format!("/volumes/{OTHER_VOLUME}")).answers(204, ""));
    assert_eq!(deleted(script).0, Ok(()));
    let script = Script::new()
        .then(Scaleway.get().gives(200, &laden("running", &["poweroff", "terminate"], &tags)))
        .then(gives(action("terminate"), 202, "action.accepted"));
    assert_eq!(deleted(script).0, Ok(()));
}

#[test]
fn a_disk_that_is_still_in_use_is_asked_to_go_again_and_stays_a_leftover() {
    let gone = || {
        Script::new()
            .then(Scaleway.get().gives(200, &in_state("stopped", &["poweron", "backup"])))
            .then(disk_tagged())
            .then(delete(&one_server()).answers(204, ""))
    };
    let in_use = || gives(delete(&format!("/volumes/{VOLUME}")), 400, "error.still_in_use");
    let script =
        gone().then(in_use()).then(in_use()).then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""));
    assert_eq!(deleted(script), (Ok(()), 2));
    // Its tags say whose it is before its server is gone: the reaper's list of leftovers has it.
    let script = gone().in_order((0..8).map(|_| in_use()));
    assert_eq!(deleted(script), (Err(ErrorKind::Locked), 7));
}

#[test]
fn a_disk_that_cannot_be_tagged_keeps_its_server() {
    let refused = || script::patch(instance(ZONE, &format!("/volumes/{VOLUME}"))).answers(500, "");
    let script = Script::new()
        .then(Scaleway.get().gives(200, &in_state("stopped", &["poweron", "backup"])))
        .in_order((0..3).map(|_| refused()));
    assert_eq!(deleted(script).0, Err(ErrorKind::Unavailable));
}

#[test]
fn a_server_that_stays_on_its_way_is_not_reported_as_deleted() {
    let looks =
        (0..8).map(|_| Scaleway.get().gives(200, &in_state("starting", &["stop_in_place", "backup"])));
    assert_eq!(deleted(Script::new().in_order(looks)), (Err(ErrorKind::Locked), 7));
}

#[test]
fn a_server_that_cannot_be_started_is_deleted_again_and_the_next_place_tried() {
    let zones = [PLACES[0].1, PLACES[1].1];
    let user_data = format!("{}/user_data/cloud-init", one_server());
    let script = Script::new()
        .then(images(zones[0]))
        .append(&there_is_a_group(zones[0]))
        .then(made(place(0, IMAGE)))
        .then(script::patch(instance(ZONE, &user_data)).text("#cloud-config\n# place-1\n").answers(204, ""))
        .then(disk_tagged())
        .then(gives(action("poweron"), 403, "error.out_of_stock"))
        .then(Scaleway.get().gives(200, &in_state("stopped", &["poweron", "backup"])))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""))
        .then(images(zones[1]))
        .append(&there_is_a_group(zones[1]))
        .then(made(place(1, IMAGE)));
    let created = suite::create_by(&Scaleway, booted(script, 1)).map_err(|(error, _)| error.sentence());
    let outcomes: Vec<&str> = created.expect("a VM").attempts.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, ["provider_capacity", "created"]);
}

#[test]
fn a_start_whose_answer_was_lost_is_looked_at_before_it_is_given_up() {
    let until_start = || {
        let user_data = format!("{}/user_data/cloud-init", one_server());
        Script::new()
            .then(images(PLACES[0].1))
            .append(&there_is_a_group(PLACES[0].1))
            .then(made(place(0, IMAGE)))
            .then(
                script::patch(instance(ZONE, &user_data)).text("#cloud-config\n# place-1\n").answers(204, ""),
            )
            .then(disk_tagged())
            .then(action("poweron").lost(mayfly::http::NoAnswer::TimedOut))
    };
    let looks = |state, actions: &[&str]| Scaleway.get().gives(200, &in_state(state, actions));
    // It came through: whoever sent the same request at this moment may have been told of the VM.
    let runs = until_start().then(looks("starting", &["stop_in_place", "backup"]));
    assert!(suite::create_by(&Scaleway, runs).is_ok());
    let stands = until_start()
        .then(looks("stopped", &["poweron", "backup"]))
        .then(looks("stopped", &["poweron", "backup"]))
        .then(disk_tagged())
        .then(delete(&one_server()).answers(204, ""))
        .then(delete(&format!("/volumes/{VOLUME}")).answers(204, ""));
    let refused = suite::create_by(&Scaleway, stands).map(|_| ()).map_err(|(error, _)| error.kind);
    assert_eq!(refused, Err(ErrorKind::TimedOut));
}
