//! What OVHcloud alone has: a price list of its own, servers that find no host, service accounts, signatures.

use mayfly::config::Config;
use mayfly::http::Response;
use mayfly::providers::{ErrorKind, Provider};
use serde_json::json;

use super::{
    IMAGE, KEY, NAME, NATIVES, Ovh, delete, done, get, gives, in_status, listed, looked_up, made, one_server,
    place, post, prepared, prices, settled, single, value,
};
use crate::hetzner::lost;
use crate::suite;
use crate::support::block_on;
use crate::support::host::TestHost;
use crate::support::script::{self, Exchange, Script};
use crate::support::world::{NOW_SECS, OVH_CLIENT_SECRET, OVH_PROJECT_ID, OVH_TOKEN_URL, Settings};
use crate::vendor::{Known, Vendor as _};

#[test]
fn what_is_sold_has_its_price_and_its_place() {
    let catalogue_of = |settings: Settings, subsidiary: &'static str| {
        let calls = [
            gives(get("/flavor"), 200, "list_flavors.catalogue"),
            gives(prices(subsidiary), 200, "get_prices.fr"),
        ];
        let app = settings.app();
        let host = TestHost::new(Script::new().side_by_side(calls));
        block_on(app.ready().expect("configured").providers[0].catalogue(&host, NOW_SECS))
            .expect("a catalogue")
    };
    let catalogue = catalogue_of(Ovh.settings(), "FR");
    let offers: Vec<(&str, &str, u64)> = catalogue
        .offers
        .iter()
        .map(|it| {
            (it.server_type.as_str(), it.location.as_str(), it.price.map_or(0, |it| it.micros_per_hour))
        })
        .collect();
    // Used up, for Windows, without a price, in a local zone: the others.
    let want = [
        ("d2-4", "gra11", 18_900),
        ("b3-8", "gra11", 50_800),
        ("d2-2", "gra11", 9900),
        ("d2-8", "gra11", 35_300),
        ("d2-4", "sbg5", 18_900),
        ("b3-8", "eu-west-par", 60_900),
    ];
    assert_eq!(offers, want);
    let places: Vec<(&str, &str)> =
        catalogue.locations.iter().map(|it| (it.name.as_str(), it.city.as_str())).collect();
    assert_eq!(places, [("eu-west-par", "Paris"), ("gra11", "Gravelines"), ("sbg5", "Strasbourg")]);

    let asked = Ovh.settings().with("OVH_REGIONS", "SBG5, EU-WEST-LZ-MRS-A").with("OVH_SUBSIDIARY", "WE");
    let catalogue = catalogue_of(asked, "WE");
    let places: Vec<&str> = catalogue.locations.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(places, ["sbg5", "eu-west-lz-mrs-a"], "as they were asked for");
}

#[test]
fn the_price_list_is_read_once_an_hour() {
    let provider = Ovh.provider();
    let flavors = || gives(get("/flavor"), 200, "list_flavors.catalogue");
    let read = |script, at| {
        let host = TestHost::new(script);
        block_on(provider.catalogue(&host, at)).expect("a catalogue").offers.len()
    };
    assert_eq!(read(Script::new().side_by_side(Ovh.catalogue()), NOW_SECS), 6);
    assert_eq!(read(Script::new().then(flavors()), NOW_SECS + 3599), 6);
    assert_eq!(read(Script::new().side_by_side(Ovh.catalogue()), NOW_SECS + 3600), 6);
}

#[test]
fn a_server_that_finds_no_host_is_deleted_and_the_next_place_tried() {
    let script = looked_up(prepared(), 0)
        .then(made(place(0, IMAGE, KEY)))
        .then(Ovh.get().gives(200, &in_status("BUILD")))
        .then(Ovh.get().gives(200, &in_status("ERROR")))
        .then(done(delete(&one_server())));
    let script = settled(looked_up(script, 1).then(made(place(1, IMAGE, KEY))));
    let created = suite::create_by(&Ovh, script).map_err(|(error, _)| error.sentence()).expect("a VM");
    let outcomes: Vec<&str> = created.attempts.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, ["provider_capacity", "created"]);
}

#[test]
fn a_type_that_is_used_up_is_not_asked_for() {
    let region = |path: &str| get(&format!("{path}region=PLACE-1"));
    let script = prepared().side_by_side([
        gives(region("/flavor?"), 200, "list_flavors.none_available"),
        gives(region("/image?osType=linux&"), 200, "list_images.linux"),
    ]);
    let script = settled(looked_up(script, 1).then(made(place(1, IMAGE, KEY))));
    assert!(suite::create_by(&Ovh, script).is_ok());
}

#[test]
fn a_key_that_is_not_in_the_region_is_left_to_the_user_data() {
    let mut keys = value("list_ssh_keys.registered");
    keys[1]["regions"] = json!(["GRA11"]);
    let script = looked_up(Script::new().then(get("/sshkey").gives(200, &keys)), 0);
    let create = post("/instance").checked(|it| assert!(it.get("sshKeyId").is_none(), "{it}"));
    assert!(suite::create_by(&Ovh, settled(script.then(made(create)))).is_ok());
}

/// With a service account.
fn client() -> Provider {
    let app = Settings::usual().without("HETZNER_TOKEN").with_ovh_client().app();
    app.ready().expect("configured").providers[0].clone()
}

fn token() -> Exchange {
    let form = format!(
        "grant_type=client_credentials&scope=all&client_id=EU.mayfly&client_secret={OVH_CLIENT_SECRET}"
    );
    script::post(OVH_TOKEN_URL).text(form)
}

fn lists(provider: &Provider, host: &TestHost) -> Result<usize, ErrorKind> {
    let selector = mayfly::labels::Selector::deployment("mayfly");
    block_on(provider.find(host, &selector)).map(|it| it.len()).map_err(|it| it.kind)
}

#[test]
fn a_service_account_gets_a_token_and_keeps_it_while_it_lives() {
    let provider = client();
    assert_eq!(provider.calls_per_list(), 2);
    let list = || get("/instance").gives(200, &listed(&[Known::ours(0)]));
    let granted = || gives(token(), 200, "token.granted");
    let first = TestHost::new(Script::new().then(granted()).then(list()));
    assert_eq!(lists(&provider, &first), Ok(1));
    let sooner = TestHost::new(Script::new().then(list())).at(NOW_SECS + 3500);
    assert_eq!(lists(&provider, &sooner), Ok(1));
    let later = TestHost::new(Script::new().then(granted()).then(list())).at(NOW_SECS + 3600);
    assert_eq!(lists(&provider, &later), Ok(1));
    // One that was withdrawn is refused once.
    let refused = get("/instance").answers(401, "");
    let withdrawn = Script::new().then(refused).then(granted()).then(list());
    assert_eq!(lists(&provider, &TestHost::new(withdrawn).at(NOW_SECS + 3700)), Ok(1));
}

#[test]
fn a_token_that_is_not_given_says_nothing_about_servers() {
    for (status, body, kind, tries) in [
        (401, value("error.token_client").to_string(), ErrorKind::Unauthorized, 1),
        (
            404,
            r#"{"error":"not_found","error_description":"client does not exist"}"#.into(),
            ErrorKind::Unauthorized,
            1,
        ),
        (429, String::new(), ErrorKind::RateLimited, 1),
        (503, "<html>".into(), ErrorKind::Unavailable, 3),
        (200, "{}".into(), ErrorKind::Unavailable, 3),
    ] {
        let provider = client();
        let calls = (0..tries).map(|_| token().answers(status, &body));
        let host = TestHost::new(Script::new().in_order(calls));
        let deleted = block_on(provider.delete(&host, NATIVES[0]));
        assert_eq!(deleted.map_err(|it| it.kind), Err(kind), "{status} {body}");
    }
}

#[test]
fn every_try_is_signed_anew() {
    let broken = Response { status: 503, ..Response::default() };
    let calls = (0..3).map(|_| lost(Ovh.get(), Ok(broken.clone())));
    // The host checks each signature against its clock, which goes on.
    let host = TestHost::new(Script::new().in_order(calls)).slow(2000);
    assert!(block_on(Ovh.provider().get(&host, NATIVES[0])).is_err());
    let times: Vec<String> = host
        .requests()
        .iter()
        .flat_map(|it| it.headers.iter().filter(|(name, _)| *name == "x-ovh-timestamp"))
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(times, [NOW_SECS, NOW_SECS + 2, NOW_SECS + 4].map(|it| it.to_string()));
}

#[test]
fn addresses_are_the_servers_alone() {
    let host = TestHost::new(Script::new().then(Ovh.get().answers(200, Ovh.one(&Known::ours(0)))));
    let vm = block_on(Ovh.provider().get(&host, NATIVES[0])).expect("an answer").expect("a VM");
    assert_eq!(vm.ipv6.as_deref(), Some("2001:db8:1:2::7a5/128"), "its /64 is not its own");
    assert_eq!((vm.server_type.as_ref(), vm.location.as_ref(), vm.name.as_ref()), ("b3-8", "gra11", NAME));
}

#[test]
fn a_server_that_somebody_renamed_is_left_alone() {
    let mut renamed = single(&Known::ours(0));
    renamed["name"] = "mine now".into();
    let host = TestHost::new(Script::new().then(Ovh.get().gives(200, &renamed)));
    let changes = [(mayfly::labels::PHASE, Some("ready".to_owned()))];
    assert_eq!(block_on(Ovh.provider().relabel(&host, NATIVES[0], &changes)), Ok(false));
}

#[test]
fn configurations_are_checked() {
    let keys = |settings: Settings| -> Vec<&'static str> {
        match settings.app().ready() {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|it| it.key).collect(),
        }
    };
    assert_eq!(keys(Ovh.settings()), Vec::<&str>::new());
    for (key, bad) in [
        ("OVH_ENDPOINT", "ovh-mars"),
        ("OVH_PROJECT_ID", "mine"),
        ("OVH_REGIONS", "GRA 11"),
        ("OVH_SUBSIDIARY", "france"),
        ("OVH_API_URL", "ovh.test"),
        ("OVH_CLIENT_SECRET", "beside-the-other"),
    ] {
        assert!(keys(Ovh.settings().with(key, bad)).contains(&key), "{key}");
    }
    for key in ["OVH_APPLICATION_KEY", "OVH_CONSUMER_KEY", "OVH_PROJECT_ID"] {
        assert_eq!(keys(Ovh.settings().without(key)), [key]);
    }
    let half = Ovh.settings().with("OVH_VM_APPLICATION_SECRET", "secret-vm-token-of-hetzner");
    assert_eq!(keys(half), ["OVH_VM_APPLICATION_KEY", "OVH_VM_CONSUMER_KEY"]);

    let lookup = |endpoint: &'static str| {
        Config::from_lookup(move |key| match key {
            "API_TOKEN" => Some("test-token-of-the-default-owner".into()),
            "SIGNING_KEY" => Some("k1:0123456789abcdef0123456789abcdef".into()),
            "OVH_APPLICATION_KEY" | "OVH_APPLICATION_SECRET" | "OVH_CONSUMER_KEY" => Some("x".into()),
            "OVH_PROJECT_ID" => Some(OVH_PROJECT_ID.into()),
            "OVH_ENDPOINT" => Some(endpoint.into()),
            _ => None,
        })
    };
    for (endpoint, url, subsidiary) in [
        ("ovh-eu", "https://eu.api.ovh.com/v1", "FR"),
        ("ovh-ca", "https://ca.api.ovh.com/v1", "CA"),
        ("ovh-us", "https://api.us.ovhcloud.com/v1", "US"),
    ] {
        let config = lookup(endpoint).expect("a configuration").ovh.expect("OVHcloud");
        assert_eq!((config.api_url.as_str(), config.subsidiary.as_str()), (url, subsidiary));
    }
}
