//! What only Scaleway has: several zones side by side. The suite's promises are kept in the parent.

use mayfly::providers::{ErrorKind, Provider};

use super::{OURS, Scaleway, ZONE, catalogue_of, gives, list_page, servers};
use crate::support::block_on;
use crate::support::host::TestHost;
use crate::support::script::Script;
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
    let selector = mayfly::labels::Selector::deployment("mayfly");
    let listed = block_on(two_zones().for_each(&host, &selector, |_| shown += 1));
    assert_eq!(listed.map_err(|it| it.kind), Err(ErrorKind::Unauthorized));
    assert_eq!((shown, host.most_in_flight()), (1, 2));
}

#[test]
fn the_pages_after_the_first_are_asked_for_side_by_side() {
    let pages: [&[Known]; 4] = [&[Known::ours(0)], &[], &[], &[Known::ours(1)]];
    let listed = |script| {
        let host = TestHost::new(script);
        let found =
            block_on(Scaleway.provider().find(&host, &mayfly::labels::Selector::deployment("mayfly")));
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
