//! Hetzner's module before a scripted network: whole request values, lists over several pages, the catalogue and its
//! ranking, and `GET /options`, which shows it. What the API makes of failures is in `api/`.

#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use mayfly::config::HetznerConfig;
use mayfly::http::{Method, Request};
use mayfly::labels::Selector;
use mayfly::model::{Currency, Size};
use mayfly::providers::hetzner::Hetzner;
use mayfly::providers::{Catalogue, ErrorKind, MAX_PAGES, Provider};
use mayfly::secret::Secret;
use mayfly::ssh_key::SshPublicKey;
use serde_json::{Value, json};

use support::block_on;
use support::call::Call;
use support::failure;
use support::fixtures::{Server, page, value};
use support::host::TestHost;
use support::script::{Exchange, Script, get};
use support::world::{HETZNER_API_URL, HETZNER_TOKEN, NOW_SECS, SSH_KEY, app, list_of, list_of_owner};

fn hetzner() -> Hetzner {
    Hetzner::new(&HetznerConfig {
        token: Secret::new(HETZNER_TOKEN),
        api_url: HETZNER_API_URL.into(),
        vm_token: None,
    })
}

fn ours() -> Selector {
    Selector::deployment("mayfly")
}

/// A request as it must be, whole.
fn request(method: Method, target: &str, body: &Value) -> Request {
    let mut headers = vec![("authorization", format!("Bearer {HETZNER_TOKEN}"))];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    if !body.is_empty() {
        headers.push(("content-type", "application/json".into()));
    }
    Request { method, url: format!("{HETZNER_API_URL}{target}"), headers, body, timeout_ms: 10_000 }
}

/// The same with its body as sorted JSON: the order of members is nobody's business.
fn sorted(mut request: Request) -> Request {
    if !request.body.is_empty() {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        request.body = body.to_string().into_bytes();
    }
    request
}

#[test]
fn requests_are_these_values() {
    let hetzner = hetzner();
    let key = SshPublicKey::parse(SSH_KEY).expect("a key");
    let labels = mayfly::labels::ours("mayfly");
    let as_json = json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly"});
    let rule = |port: &str, description: &str| {
        json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0", "::/0"],
               "description": description})
    };
    let map = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    for (got, method, target, body) in [
        (hetzner.list_request(&ours(), 7), Method::Get, list_of("servers", &[], 7), Value::Null),
        (hetzner.get_server_request("42"), Method::Get, "/servers/42".to_owned(), Value::Null),
        (hetzner.delete_request("42"), Method::Delete, "/servers/42".to_owned(), Value::Null),
        (
            hetzner.relabel_request("42", &map),
            Method::Put,
            "/servers/42".to_owned(),
            json!({"labels": {"a": "b"}}),
        ),
        (
            hetzner.server_types_request(3),
            Method::Get,
            "/server_types?page=3&per_page=50".to_owned(),
            Value::Null,
        ),
        (hetzner.locations_request(), Method::Get, "/locations?per_page=50".to_owned(), Value::Null),
        (hetzner.pricing_request(), Method::Get, "/pricing".to_owned(), Value::Null),
        (
            hetzner.find_ssh_key_request("fingerprint", &key.md5_fingerprint()),
            Method::Get,
            format!("/ssh_keys?fingerprint={}", support::creation::FINGERPRINT),
            Value::Null,
        ),
        (
            hetzner.create_ssh_key_request("mayfly-x", &key, &labels),
            Method::Post,
            "/ssh_keys".to_owned(),
            json!({"name": "mayfly-x", "public_key": SSH_KEY, "labels": as_json}),
        ),
        (
            hetzner.find_firewall_request("mayfly-mayfly", "mayfly"),
            Method::Get,
            format!("/firewalls?name=mayfly-mayfly&label_selector={}", support::world::selector(&[])),
            Value::Null,
        ),
        (
            hetzner.create_firewall_request("mayfly-mayfly", &labels),
            Method::Post,
            "/firewalls".to_owned(),
            json!({"name": "mayfly-mayfly", "labels": as_json,
                   "rules": [rule("443", "HTTPS"), rule("80", "ACME challenges"), rule("22", "SSH")]}),
        ),
    ] {
        // `assert_eq` shows no header and no body: the comparison is whole all the same.
        assert_eq!(
            sorted(got.clone()),
            request(method, &target, &body),
            "{}",
            String::from_utf8_lossy(&got.body)
        );
    }
}

#[test]
fn a_request_shows_neither_token_nor_body() {
    let shown = format!("{:?} {:?}", hetzner().pricing_request(), hetzner());
    assert!(!shown.contains(HETZNER_TOKEN), "{shown}");
}

fn list_page(number: u32, servers: &[Server], next: Option<u32>, last: Option<u32>) -> Exchange {
    get(list_of("servers", &[], number)).gives(200, &page(servers, next, last))
}

/// The ids that a listing shows, and what it says is left of the rate limit.
fn ids(host: &TestHost) -> Result<(Vec<String>, Option<u32>), ErrorKind> {
    let mut ids = Vec::new();
    let shown = block_on(hetzner().for_each(host, &ours(), |vm| ids.push(vm.id.native.clone())));
    shown.map(|budget| (ids, budget)).map_err(|it| it.kind)
}

#[test]
fn pages_are_read_side_by_side_where_the_last_is_known_and_keep_their_order() {
    let server = |id| Server::ours().id(id);
    let script = Script::new()
        .then(
            list_page(1, &[server(1), Server::foreign().id(2)], Some(2), Some(4))
                .header("ratelimit-remaining", "3597"),
        )
        .side_by_side([
            list_page(2, &[server(3)], Some(3), Some(4)),
            list_page(3, &[Server::foreign().id(4), server(5)], Some(4), Some(4)),
            list_page(4, &[server(6)], None, Some(4)),
        ]);
    let host = TestHost::new(script);
    let want = ["1", "2", "3", "4", "5", "6"].map(str::to_owned).to_vec();
    assert_eq!(ids(&host), Ok((want, Some(3597))));
    assert_eq!(host.most_in_flight(), 3);
}

#[test]
fn the_api_shows_ours_from_between_foreign_servers_of_every_page() {
    let mine = |number: u32, servers: &[Server], next| {
        let target = list_of_owner("default").replace("page=1&", &format!("page={number}&"));
        get(target).gives(200, &page(servers, next, Some(2)))
    };
    let script = Script::new()
        .then(mine(1, &[Server::foreign(), Server::ours().id(1), Server::foreign()], Some(2)))
        .then(mine(2, &[Server::ours().id(2).label("mayfly-owner", "ann"), Server::ours().id(3)], None));
    let body = Call::get("/vms").token().send(&app(), &TestHost::new(script)).ok(200);
    let ids: Vec<&str> =
        body["vms"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, ["hetzner-1", "hetzner-3"]);
    assert_eq!(body["totals"]["count"], 2);
}

#[test]
fn pages_are_followed_where_the_last_is_not_known() {
    let script = Script::new()
        .then(list_page(1, &[Server::ours().id(1)], Some(2), None))
        .then(list_page(2, &[Server::ours().id(2)], Some(3), None))
        .then(list_page(3, &[], None, None));
    let host = TestHost::new(script);
    assert_eq!(ids(&host), Ok((vec!["1".to_owned(), "2".to_owned()], None)));
}

#[test]
fn pages_that_never_end_do() {
    let endless = (1..=MAX_PAGES).map(|it| list_page(it, &[], Some(it + 1), None));
    assert_eq!(ids(&TestHost::new(Script::new().in_order(endless))), Ok((Vec::new(), None)));
    // A last page of billions, and a next page that goes back.
    let many = (2..=MAX_PAGES).map(|it| list_page(it, &[], None, None));
    let script = Script::new().then(list_page(1, &[], Some(2), Some(u32::MAX))).side_by_side(many);
    assert_eq!(ids(&TestHost::new(script)), Ok((Vec::new(), None)));
    for (next, last) in [(1, None), (0, None), (1, Some(1)), (0, Some(3)), (1, Some(3))] {
        let script = Script::new().then(list_page(1, &[Server::ours()], Some(next), last));
        assert_eq!(ids(&TestHost::new(script)).map(|it| it.0.len()), Ok(1), "{next} {last:?}");
    }
}

#[test]
fn a_page_that_fails_fails_the_list_and_shows_no_half() {
    for failure in &failure::ALL {
        let pages = (0..failure.tries).map(|_| failure.of(get(list_of("servers", &[], 2))));
        let script = Script::new().then(list_page(1, &[Server::ours()], Some(2), Some(2))).in_order(pages);
        let error = ids(&TestHost::new(script)).expect_err(failure.what);
        assert_eq!(error.code(), failure.code);
    }
}

#[test]
fn strings_with_escapes_are_read_like_others() {
    let server = Server::ours().set("name", "a\"b\\c\u{e9}\n").label("mayfly-owner", "t\u{e9}st");
    let text = page(&[server], None, None).to_string().replace('é', "\\u00e9");
    let host = TestHost::new(Script::new().then(get(list_of("servers", &[], 1)).answers(200, text)));
    let mut shown = Vec::new();
    let listed = block_on(
        hetzner()
            .for_each(&host, &ours(), |vm| shown.push((vm.name.to_string(), vm.labels.owner.to_string()))),
    );
    assert!(listed.is_ok());
    assert_eq!(shown, [("a\"b\\cé\n".to_owned(), "tést".to_owned())]);
}

fn catalogue_from(types: &Value, pricing: &Value) -> Result<Catalogue, ErrorKind> {
    let script = Script::new().side_by_side([
        get("/server_types?page=1&per_page=50").gives(200, types),
        get("/locations?per_page=50").fixture(200, "list_locations.all"),
        get("/pricing").gives(200, pricing),
    ]);
    let host = TestHost::new(script);
    block_on(hetzner().catalogue(&host, NOW_SECS)).map_err(|it| it.kind)
}

fn types() -> Value {
    value("list_server_types.catalogue")
}

fn pricing() -> Value {
    value("get_pricing.eur")
}

fn catalogue() -> Catalogue {
    catalogue_from(&types(), &pricing()).expect("a catalogue")
}

/// Type, place and price in millionths.
fn ranked(catalogue: &Catalogue, size: Size, location: Option<&str>) -> Vec<(String, String, u64)> {
    let offer = |it: &mayfly::providers::Offer| {
        (it.server_type.clone(), it.location.clone(), it.price.expect("a price").micros_per_hour)
    };
    catalogue.rank(size, location).into_iter().map(offer).collect()
}

fn named(rows: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    rows.iter().map(|(server_type, place, price)| ((*server_type).into(), (*place).into(), *price)).collect()
}

/// 0.010472 for a cx23 and 0.000952 for its address, both gross.
const MEDIUM: [(&str, &str, u64); 7] = [
    ("cx23", "fsn1", 11_424),
    ("cx23", "nbg1", 11_424),
    ("cx33", "fsn1", 17_136),
    ("cx33", "hel1", 17_136),
    ("cpx22", "ash", 30_852),
    ("cpx22", "fsn1", 38_052),
    ("ccx13", "fsn1", 82_852),
];

#[test]
fn sizes_rank_by_price_then_by_the_providers_order_of_places() {
    let catalogue = catalogue();
    assert_eq!(catalogue.currency, Currency::EUR);
    assert_eq!(ranked(&catalogue, Size::Medium, None), named(&MEDIUM));
    // A deprecated type is sold until its end; 2 GiB are enough for small alone.
    let mut small = vec![("cpx11", "fsn1", 9_052)];
    small.extend(MEDIUM);
    assert_eq!(ranked(&catalogue, Size::Small, None), named(&small));
    // Four virtual CPUs and 8 GiB: the dedicated type has two.
    assert_eq!(ranked(&catalogue, Size::Large, None), named(&[MEDIUM[2], MEDIUM[3]]));
}

#[test]
fn a_location_narrows_the_ranking() {
    let catalogue = catalogue();
    assert_eq!(ranked(&catalogue, Size::Medium, Some("hel1")), named(&[MEDIUM[3]]));
    assert_eq!(ranked(&catalogue, Size::Medium, Some("ash")), named(&[MEDIUM[4]]));
    for nothing in ["sin", "moon1", ""] {
        assert_eq!(ranked(&catalogue, Size::Medium, Some(nothing)), [], "{nothing}");
    }
}

#[test]
fn what_cannot_be_ordered_is_not_offered() {
    let offers = catalogue().offers;
    let has = |server_type: &str, place: &str| {
        offers.iter().any(|it| it.server_type == server_type && it.location == place)
    };
    for (server_type, place, why) in [
        ("cax11", "fsn1", "another architecture"),
        ("cx23", "hel1", "not available"),
        ("cx33", "nbg1", "deprecated and over"),
        ("ccx13", "sin", "no price"),
    ] {
        assert!(!has(server_type, place), "{why}");
    }
    assert!(has("cpx11", "fsn1"), "deprecated, but not over yet");
}

#[test]
fn a_type_is_sold_until_the_second_of_its_end() {
    let ends = |at: &str| {
        let mut types = types();
        types["server_types"][0]["locations"][0]["deprecation"]["unavailable_after"] = at.into();
        ranked(&catalogue_from(&types, &pricing()).expect("a catalogue"), Size::Small, Some("fsn1"))[0]
            .0
            .clone()
    };
    assert_eq!(ends("2026-11-20T10:00:01Z"), "cpx11");
    assert_eq!(ends("2026-11-20T10:00:00Z"), "cx23");
    assert_eq!(ends("some day"), "cx23", "a date that nobody can read is no promise");
}

#[test]
fn without_a_price_for_addresses_the_server_alone_is_priced() {
    let mut pricing = pricing();
    pricing["pricing"]["primary_ips"] = json!([]);
    let catalogue = catalogue_from(&types(), &pricing).expect("a catalogue");
    assert_eq!(ranked(&catalogue, Size::Medium, None)[0], ("cx23".into(), "fsn1".into(), 10_472));
}

#[test]
fn prices_and_currencies_that_are_none_are_malformed() {
    let mut bad_price = types();
    bad_price["server_types"][2]["prices"][0]["price_hourly"]["gross"] = "cheap".into();
    assert_eq!(catalogue_from(&bad_price, &pricing()).err(), Some(ErrorKind::Malformed));
    for (path, bad) in
        [("/pricing/currency", "euro"), ("/pricing/primary_ips/1/prices/0/price_hourly/gross", "-1")]
    {
        let mut pricing = pricing();
        *pricing.pointer_mut(path).expect("a member") = bad.into();
        assert_eq!(catalogue_from(&types(), &pricing).err(), Some(ErrorKind::Malformed), "{path}");
    }
}

#[test]
fn types_come_from_every_page() {
    let mut first = types();
    let last = first["server_types"].as_array_mut().expect("types").split_off(2);
    first["meta"]["pagination"]["next_page"] = 2.into();
    let mut second = types();
    second["server_types"] = last.into();
    let script = Script::new().side_by_side([
        get("/server_types?page=1&per_page=50").gives(200, &first),
        get("/server_types?page=2&per_page=50").gives(200, &second),
        get("/locations?per_page=50").fixture(200, "list_locations.all"),
        get("/pricing").fixture(200, "get_pricing.eur"),
    ]);
    let host = TestHost::new(script);
    let catalogue = block_on(hetzner().catalogue(&host, NOW_SECS)).expect("a catalogue");
    assert_eq!(ranked(&catalogue, Size::Medium, None), named(&MEDIUM));
}

fn options(script: Script) -> Value {
    Call::get("/options").token().send(&app(), &TestHost::new(script)).ok(200)
}

#[test]
fn options_show_every_size_with_prices_and_three_scenarios() {
    let body = options(Script::new().side_by_side(support::creation::catalogue()));
    let provider = &body["providers"][0];
    assert_eq!(provider["currency"], "EUR");
    assert_eq!(provider["images"], json!(["debian-13", "ubuntu-24.04"]));
    assert_eq!(provider["locations"][0], json!({"name": "fsn1", "city": "Falkenstein", "country": "DE"}));
    let offer = |server_type: &str, location: &str, vcpu: u32, memory: f64, price: f64| {
        json!({"server_type": server_type, "location": location, "vcpu": vcpu, "memory_gib": memory,
               "price_per_hour": price})
    };
    assert_eq!(
        provider["sizes"][2],
        json!({"size": "large", "server_type": "cx33", "vcpu": 4, "memory_gib": 8.0, "disk_gb": 80.0,
               "location": "fsn1", "price_per_hour": 0.017_136,
               "scenarios": {"hours_4_days_20": 1.370_88, "hours_8_days_20": 2.741_76, "always_on": 10.698_1},
               "offers": [offer("cx33", "fsn1", 4, 8.0, 0.017_136), offer("cx33", "hel1", 4, 8.0, 0.017_136)]})
    );
    let sizes: Vec<&Value> =
        provider["sizes"].as_array().into_iter().flatten().map(|it| &it["size"]).collect();
    assert_eq!(sizes, ["small", "medium", "large"]);
    assert_eq!(body["errors"], json!([]));
    assert_eq!(body["owner"], "default");
    assert_eq!(body["simulation"], Value::Null);
    assert_eq!(
        body["configured"],
        json!({"anthropic_api_key": false, "claude_code_oauth_token": false, "git_token": false, "ssh_public_key": false})
    );
}

#[test]
fn options_without_the_provider_say_what_failed() {
    for failure in &failure::ALL {
        let pricing = (0..failure.tries).map(|_| failure.of(get("/pricing")));
        let script = Script::new().side_by_side(pricing.chain([
            get("/server_types?page=1&per_page=50").fixture(200, "list_server_types.catalogue"),
            get("/locations?per_page=50").fixture(200, "list_locations.all"),
        ]));
        let body = options(script);
        assert_eq!(body["providers"], json!([]), "{}", failure.what);
        assert_eq!(body["errors"][0]["code"], failure.code);
        assert_eq!(body["defaults"]["provider"], "hetzner", "the form still has its defaults");
    }
}

#[test]
fn a_provider_exists_when_its_secrets_do() {
    let ready = app();
    let providers = &ready.ready().expect("configured").providers;
    assert!(matches!(providers.as_slice(), [Provider::Hetzner(_)]));
    assert_eq!(providers[0].user_data_max_bytes(), 32_768);
}
