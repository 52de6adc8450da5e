//! What only Scaleway has: several zones side by side, images with snapshots behind them. The suite's promises are kept in the parent.

use mayfly::labels::{ASKED, OWNER, REPO, Selector, VM};
use mayfly::providers::{Billed, ErrorKind, Leftover, Provider};
use serde_json::{Value, json};

use super::{
    BEHIND, GROUP, IMAGE, OURS, Scaleway, ZONE, are_the_rules, catalogue_of, delete, get, gives, group,
    images, instance, list_images, list_page, one_image, one_snapshot, place, post, rules, servers,
    snapshot_tagged, value,
};
use crate::suite;
use crate::support::block_on;
use crate::support::host::TestHost;
use crate::support::script::{self, Exchange, Script};
use crate::vendor::{Known, Vendor};

/// With two zones.
fn two_zones() -> Provider {
    let app = Scaleway.settings().with("SCALEWAY_ZONES", "fr-par-1, nl-ams-1").app();
    app.ready().expect("configured").providers[0].clone()
}

#[test]
fn zones_are_asked_side_by_side_and_one_that_fails_hides_no_other() {
    let other = list_page("servers", "nl-ams-1", OURS, 1);
    let script = Script::new().side_by_side([
        gives(list_page("servers", ZONE, OURS, 1), 401, "error.denied_authentication"),
        other.gives(200, &servers(&[Known::ours(1)])),
    ]);
    let host = TestHost::new(script);
    let mut shown = 0;
    let selector = Selector::deployment("mayfly");
    let listed = block_on(two_zones().for_each(&host, &selector, |_| shown += 1));
    assert_eq!(listed.map_err(|it| it.kind), Err(ErrorKind::Unauthorized));
    assert_eq!((shown, host.most_in_flight()), (1, 2));
}

#[test]
fn the_pages_after_the_first_are_asked_for_side_by_side() {
    let pages: [&[Known]; 4] = [&[Known::ours(0)], &[], &[], &[Known::ours(1)]];
    let listed = |script| {
        let host = TestHost::new(script);
        let found = block_on(Scaleway.provider().find(&host, &Selector::deployment("mayfly")));
        let ours = found.expect("a list").into_iter().filter(|it| it.labels.belongs_to("mayfly")).count();
        (ours, host.most_in_flight())
    };
    assert_eq!(listed(Scaleway.list(&pages)), (2, 3));
    // Without a total a full page may have another one after it.
    let full: Vec<Known> = (0..100).map(|_| Known::ours(0)).collect();
    let script = Script::new().in_order([
        list_page("servers", ZONE, OURS, 1).gives(200, &servers(&full)),
        list_page("servers", ZONE, OURS, 2).gives(200, &servers(&[Known::ours(1)])),
    ]);
    assert_eq!(listed(script), (101, 1));
}

fn behind(tags: &[&str]) -> Value {
    json!({"id": BEHIND, "name": "snap", "size": 40_000_000_000_u64, "volume_type": "l_ssd", "tags": tags,
           "creation_date": "2026-11-20T09:30:00.061240+00:00", "state": "available"})
}

/// The leftovers of one zone while VMs are left.
fn leftovers(script: Script) -> Vec<Leftover> {
    let host = TestHost::new(script);
    block_on(Scaleway.provider().leftovers(&host, "mayfly", true)).expect("leftovers")
}

#[test]
fn what_an_interrupted_deletion_of_a_snapshot_leaves_is_found_and_deleted() {
    let tags = ["managed-by=mayfly", "mayfly-deployment=mayfly", "mayfly-owner=default"];
    // The third and last call fails.
    let refused = || delete(&one_snapshot()).answers(500, "");
    let script = Script::new()
        .then(gives(get(&one_image()), 200, "get_image.ready"))
        .then(snapshot_tagged())
        .then(delete(&one_image()).answers(204, ""))
        .in_order((0..3).map(|_| refused()));
    let host = TestHost::new(script);
    let native = Scaleway.snapshot_native();
    let deleted = block_on(Scaleway.provider().delete_snapshot(&host, native));
    assert_eq!(deleted.map_err(|it| it.kind), Err(ErrorKind::Unavailable));

    let listed = |tags: &[&str]| {
        Script::new()
            .then(list_page("volumes", ZONE, OURS, 1).gives(200, &json!({"volumes": []})))
            .then(list_page("snapshots", ZONE, OURS, 1).gives(200, &json!({"snapshots": [behind(tags)]})))
    };
    let found = leftovers(listed(&tags).then(list_images().gives(200, &json!({"images": []}))));
    let [stray] = found.as_slice() else { panic!("one is left: {found:?}") };
    assert_eq!((stray.kind, stray.billed), ("snapshot", Billed::Disk(40)));
    let host = TestHost::new(Script::new().then(delete(&one_snapshot()).answers(204, "")));
    assert_eq!(block_on(Scaleway.provider().delete_leftover(&host, stray)), Ok(()));

    // With its image it is in use, and without our tags not ours.
    let image = value("get_image.ready")["image"].take();
    assert_eq!(leftovers(listed(&tags).then(list_images().gives(200, &json!({"images": [image]})))), []);
    assert_eq!(leftovers(listed(&["managed-by=mayfly", "mayfly-deployment=another"])), []);
}

#[test]
fn a_snapshot_that_cannot_be_tagged_is_not_deleted_halfway() {
    let script = Script::new()
        .then(gives(get(&one_image()), 200, "get_image.ready"))
        .in_order((0..3).map(|_| script::patch(instance(ZONE, &one_snapshot())).answers(500, "")));
    let host = TestHost::new(script);
    let deleted = block_on(Scaleway.provider().delete_snapshot(&host, Scaleway.snapshot_native()));
    assert_eq!(deleted.map_err(|it| it.kind), Err(ErrorKind::Unavailable));
}

#[test]
fn a_snapshot_whose_answer_was_lost_is_found_by_its_name_and_gets_its_tags() {
    let provider = Scaleway.provider();
    let mut labels = mayfly::labels::ours("mayfly");
    for (key, value) in [(OWNER, "Ann.B"), (VM, "abcdefgh"), (ASKED, "1795168800")] {
        labels.push((key.into(), value.into()));
    }
    labels.extend(mayfly::labels::pieces(REPO, &"https://example.com/r".repeat(20)));
    let backup = post(&format!("{}/action", super::one_server()));
    let script = Script::new()
        .then(Scaleway.get().answers(200, Scaleway.one(&Known::ours(0))))
        .then(backup.lost(mayfly::http::NoAnswer::Broken));
    let host = TestHost::new(script);
    let made = block_on(provider.snapshot(&host, super::NATIVES[0], "a good state", &labels));
    assert_eq!(made.map_err(|it| it.kind), Err(ErrorKind::Unavailable));
    let sent: Value = serde_json::from_slice(&host.requests()[1].body).expect("JSON");
    assert!(sent["name"].as_str().is_some_and(|it| it.len() < 255), "{sent}");

    // As Scaleway shows it: without tags.
    let mut image = value("get_image.ready")["image"].take();
    image["tags"] = json!([]);
    image["name"] = sent["name"].clone();
    let mut anothers = image.clone();
    anothers["name"] = format!("x {}owner:1ann:2", mayfly::labels::tags::own_prefix("another")).into();
    let tagged = script::patch(instance(ZONE, &one_image())).checked(|it| {
        let tags = json!([
            "managed-by=mayfly",
            "mayfly-asked=1795168800",
            "mayfly-deployment=mayfly",
            "mayfly-owner=Ann.B",
            "mayfly-vm=abcdefgh"
        ]);
        assert_eq!(it["tags"], tags);
    });
    let script =
        Script::new().then(list_images().gives(200, &json!({"images": [anothers, image]}))).then(tagged);
    let of_request = Selector::deployment("mayfly").and(VM, "abcdefgh");
    let found = block_on(provider.snapshots(&TestHost::new(script), &of_request)).expect("a list");
    let [only] = found.as_slice() else { panic!("one is ours: {found:?}") };
    assert_eq!(
        (only.description.as_str(), only.native.as_str()),
        ("a good state", Scaleway.snapshot_native())
    );
    assert_eq!(only.labels.get(ASKED).map(String::as_str), Some("1795168800"));
}

#[test]
fn groups_of_many_zones_are_looked_for_in_every_other_period() {
    const PERIOD_SECS: u64 = mayfly::reaper::PERIOD_SECS;
    let provider = Scaleway.settings().without("SCALEWAY_ZONES").app();
    let provider = provider.ready().expect("configured").providers[0].clone();
    let asked = |now_secs: u64| {
        let zones = [
            "fr-par-1", "fr-par-2", "fr-par-3", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2",
            "pl-waw-3", "it-mil-1",
        ];
        let calls = |kind: &'static str| {
            zones.map(|zone| list_page(kind, zone, OURS, 1).gives(200, &json!({kind: []})))
        };
        let mut script = Script::new().side_by_side(calls("volumes")).side_by_side(calls("snapshots"));
        if (now_secs / PERIOD_SECS).is_multiple_of(2) {
            script = script.side_by_side(calls("security_groups"));
        }
        let host = TestHost::new(script).at(now_secs);
        assert_eq!(block_on(provider.leftovers(&host, "mayfly", false)), Ok(Vec::new()));
        host.finish();
        host.requests().len()
    };
    assert_eq!([asked(4 * PERIOD_SECS), asked(5 * PERIOD_SECS)], [30, 20]);
}

#[test]
fn a_group_that_was_left_without_its_rules_gets_them() {
    let zone = suite::PLACES[0].1;
    let quota = || gives(place(0, IMAGE), 403, "error.quotas_exceeded");
    let outcome = |listed: Value, and: Option<Exchange>| {
        let script = Script::new().then(images(zone)).then(group(zone));
        let script =
            script.then(rules(zone).gives(200, &json!({ "rules": listed }))).in_order(and).then(quota());
        suite::create_by(&Scaleway, script).map(|it| it.vm.id).map_err(|(error, _)| error.kind)
    };
    let rule = |direction: &str, action: &str, from: Value, to: Value| {
        json!({"action": action, "direction": direction, "protocol": "TCP", "ip_range": "203.0.113.0/24",
               "dest_port_from": from, "dest_port_to": to})
    };
    let set = || {
        let call = script::put(instance(zone, &format!("/security_groups/{GROUP}/rules")));
        Some(gives(call.checked(are_the_rules), 200, "set_rules.done"))
    };
    for closed in [
        json!([]),
        json!([rule("outbound", "accept", json!(443), json!(null))]),
        json!([rule("inbound", "drop", json!(443), json!(null))]),
        json!([rule("inbound", "accept", json!(22), json!(80))]),
    ] {
        // The group is not this call's to take back.
        assert_eq!(outcome(closed, set()), Err(ErrorKind::Quota));
    }
    // What somebody narrowed stays so.
    for open in [
        json!([rule("inbound", "accept", json!(443), json!(null))]),
        json!([rule("inbound", "accept", json!(1), json!(1024))]),
        json!([rule("inbound", "accept", json!(null), json!(null))]),
    ] {
        assert_eq!(outcome(open, None), Err(ErrorKind::Quota));
    }
}

#[test]
fn what_is_sold_is_told_zone_by_zone() {
    let script = Script::new().side_by_side(catalogue_of(ZONE).into_iter().chain(catalogue_of("nl-ams-1")));
    let host = TestHost::new(script);
    let catalogue = block_on(two_zones().catalogue(&host, 0)).expect("a catalogue");
    let offers: Vec<(&str, &str)> =
        catalogue.offers.iter().map(|it| (it.server_type.as_str(), it.location.as_str())).collect();
    // Out of service, of another architecture, out of stock, with a GPU, without a disk of their own: the others.
    let types = ["DEV1-L", "DEV1-M", "DEV1-S"];
    let want: Vec<(&str, &str)> =
        [ZONE, "nl-ams-1"].iter().flat_map(|zone| types.map(|it| (it, *zone))).collect();
    assert_eq!(offers, want);
    let medium = catalogue.rank(mayfly::model::Size::Medium, None);
    assert_eq!(medium[0].server_type, "DEV1-M");
    assert_eq!(medium[0].price.map(|it| it.micros_per_hour), Some(25_560));
    assert_eq!(medium[0].memory_gib.to_string(), "4");
    assert_eq!(catalogue.locations[1].city, "Amsterdam");
}
