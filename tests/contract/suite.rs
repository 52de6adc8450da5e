//! The promises. Each takes a vendor, plays its script, and looks at what our side made of it.

use mayfly::http::{NoAnswer, Response};
use mayfly::labels::{self, LabelSet, Selector, VmLabels};
use mayfly::model::{Currency, Price, Size, VmState};
use mayfly::providers::{Created, Error, ErrorKind, Offer, Plan, Power, Provider, Source};
use mayfly::ssh_key::SshPublicKey;
use mayfly::workspace::{Image, Market};
use serde_json::json;

use super::support::block_on;
use super::support::call::Call;
use super::support::creation::{self, signer};
use super::support::host::TestHost;
use super::support::script::{self, Exchange, Script};
use super::support::user_data;
use super::support::world::{NOW_SECS, REPO_URL, SECRETS, SSH_KEY, VM};
use super::vendor::{Going, Known, Vendor, of_vm};

fn ours() -> Selector {
    Selector::deployment("mayfly")
}

/// The natives of ours in a listing, in its order.
fn listed(vendor: &impl Vendor, host: &TestHost) -> Result<Vec<String>, Error> {
    let mut natives = Vec::new();
    let sink = |vm: &mayfly::model::Vm<'_>| {
        if vm.labels.belongs_to("mayfly") {
            natives.push(vm.id.native.clone());
        }
    };
    block_on(vendor.provider().for_each(host, &ours(), sink)).map(|_| natives)
}

pub(crate) fn lists_ours_from_between_foreign_servers_of_every_page(vendor: &impl Vendor) {
    let pages: [&[Known]; 2] =
        [&[Known::ours(0), Known::foreign(1)], &[Known::foreign(0), Known::ours(1), Known::foreign(1)]];
    let host = TestHost::new(vendor.list(&pages));
    assert_eq!(listed(vendor, &host).expect("a list"), vendor.natives());
    let host = TestHost::new(vendor.list(&[&[]]));
    assert_eq!(listed(vendor, &host).expect("an empty list"), Vec::<String>::new());
    assert_eq!(host.requests().len(), vendor.provider().calls_per_list());
}

pub(crate) fn a_list_that_takes_longer_than_ten_seconds_has_timed_out<V: Vendor>(vendor: &V) {
    let pages: [&[Known]; 3] = [&[Known::ours(0)], &[Known::ours(1)], &[Known::foreign(0)]];
    let host = TestHost::new(vendor.list(&pages)).slow(V::SLOW_MS[0]);
    assert_eq!(listed(vendor, &host).map(|it| it.len()).map_err(|it| it.kind), Ok(2), "nine seconds");
    let host = TestHost::new(vendor.list(&pages)).slow(V::SLOW_MS[1]);
    let error = listed(vendor, &host).expect_err("more than ten seconds");
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(host.now_secs_of_clock() <= NOW_SECS + 11, "it waited on");
    host.forgive();
}

pub(crate) fn labels_come_back_whatever_they_say(vendor: &impl Vendor) {
    let mut set = of_vm(VM);
    set.retain(|(key, _)| key != labels::OWNER);
    for (key, value) in [
        (labels::OWNER, "Ann.B_c-D9"),
        (labels::SEEN, "1795168800"),
        (labels::IDEM, "abcdefghijklmnopqrstuvwxyz"),
        (labels::TIMING, "d12.c3.v40.u8"),
        (labels::REASON, "clone.auth_failed"),
        (labels::PROFILE, "coding"),
    ] {
        set.push((key.into(), value.into()));
    }
    set.extend(labels::pieces(labels::REPO, &vendor.long_repo()));
    let server = Known { labels: set.clone(), ..Known::ours(0) };
    let host = TestHost::new(Script::new().then(vendor.get().answers(200, vendor.one(&server))));
    let vm = block_on(vendor.provider().get(&host, vendor.natives()[0])).expect("an answer").expect("a VM");
    let mut want = VmLabels::default();
    for (key, value) in &set {
        want.take(key, value.as_str().into());
    }
    assert_eq!(vm.labels.repo.unpack(), want.repo.unpack());
    assert_eq!(want.repo.unpack(), Some(vendor.long_repo()));
    // The pieces may come in another order: compared above.
    assert_eq!(
        VmLabels { repo: labels::Pieces::default(), ..vm.labels },
        VmLabels { repo: labels::Pieces::default(), ..want }
    );
}

pub(crate) fn gets_a_server_or_knows_that_there_is_none(vendor: &impl Vendor) {
    let provider = vendor.provider();
    let native = vendor.natives()[0];
    for state in [VmState::Running, VmState::Stopped] {
        let answer = vendor.one(&Known { state, ..Known::ours(0) });
        let host = TestHost::new(Script::new().then(vendor.get().answers(200, answer)));
        let vm = block_on(provider.get(&host, native)).expect("an answer").expect("a VM");
        assert_eq!((vm.id.provider, vm.id.native.as_str(), vm.state), (provider.name(), native, state));
        assert_eq!(vm.ipv4.as_deref(), Some("203.0.113.7"));
        assert_eq!(vm.created_secs, NOW_SECS - 3600);
        assert_eq!(mayfly::model::VmId::parse(&vm.id.to_string()), Some(vm.id));
    }
    let host = TestHost::new(Script::new().then(vendor.gone(vendor.get())));
    assert!(block_on(provider.get(&host, native)).expect("an answer").is_none());
}

pub(crate) fn tells_refusals_apart<V: Vendor>(vendor: &V) {
    let refusals = vendor.refusals();
    for kind in [
        ErrorKind::Unauthorized,
        ErrorKind::Capacity,
        ErrorKind::Quota,
        ErrorKind::RateLimited,
        ErrorKind::Invalid,
        ErrorKind::Locked,
    ] {
        assert!(refusals.iter().any(|it| it.kind == kind), "no refusal is {kind:?}");
    }
    for refusal in refusals {
        let is_repeated =
            refusal.kind.is_repeatable() && !(V::CONFLICTS_STAY && refusal.kind == ErrorKind::Conflict);
        let tries = if is_repeated { 3 } else { 1 };
        let call = || {
            let call = vendor.get();
            let call = match refusal.header {
                Some((name, value)) => call.header(name, value),
                None => call,
            };
            call.fixture_of(vendor_folder(vendor), refusal.status, refusal.fixture)
        };
        let host = TestHost::new(Script::new().in_order((0..tries).map(|_| call())));
        let error = block_on(vendor.provider().get(&host, vendor.natives()[0])).expect_err(refusal.fixture);
        assert_eq!(error.kind, refusal.kind, "{}", refusal.fixture);
        assert_eq!(error.retry_after_secs, refusal.retry_after, "{}", refusal.fixture);
        let sentence = error.sentence();
        assert!(!SECRETS.iter().any(|it| sentence.contains(it)), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

/// By a write that cannot succeed: it makes nothing, and who may write is refused for its content.
pub(crate) fn knows_a_credential_that_may_only_read(vendor: &impl Vendor) {
    let asked = |probe: Exchange| {
        let host = TestHost::new(Script::new().then(probe));
        let may = block_on(vendor.provider().may_write(&host)).map_err(|it| it.kind);
        host.finish();
        may
    };
    assert_eq!(asked(vendor.gone(vendor.probe())), Ok(()));
    let refusals = vendor.refusals();
    for (kind, want) in [
        (ErrorKind::Invalid, Ok(())),
        (ErrorKind::TokenReadonly, Err(ErrorKind::TokenReadonly)),
        (ErrorKind::Unauthorized, Err(ErrorKind::Unauthorized)),
        (ErrorKind::RateLimited, Err(ErrorKind::RateLimited)),
    ] {
        let refusal = refusals.iter().find(|it| it.kind == kind).unwrap_or_else(|| panic!("{kind:?}"));
        let probe = vendor.probe().fixture_of(vendor_folder(vendor), refusal.status, refusal.fixture);
        assert_eq!(asked(probe), want, "{}", refusal.fixture);
    }
    assert_eq!(asked(vendor.probe().lost(NoAnswer::TimedOut)), Err(ErrorKind::TimedOut));
}

fn vendor_folder<V: Vendor>(_: &V) -> &'static str {
    V::FIXTURES
}

const HTML: &str = "<html><body>proxy-7.internal says no</body></html>";

pub(crate) fn repeats_only_what_may_be_repeated(vendor: &impl Vendor) {
    for (status, body, kind, tries) in [
        (500, HTML, ErrorKind::Unavailable, 3),
        (503, HTML, ErrorKind::Unavailable, 3),
        (404, HTML, ErrorKind::Malformed, 1),
        (200, r#"{"half":["#, ErrorKind::Malformed, 1),
        (200, "{}", ErrorKind::Malformed, 1),
        (429, "", ErrorKind::RateLimited, 1),
    ] {
        let calls = (0..tries).map(|_| vendor.get().answers(status, body));
        let host = TestHost::new(Script::new().in_order(calls));
        let error = block_on(vendor.provider().get(&host, vendor.natives()[0])).expect_err("a failure");
        assert_eq!(error.kind, kind, "{status} {body}");
        assert!(!error.sentence().contains("proxy"), "{}", error.sentence());
        assert_eq!(host.sleeps_ms().len(), tries - 1);
        assert!(host.sleeps_ms().windows(2).all(|it| it[0] < it[1]), "{:?}", host.sleeps_ms());
    }
}

pub(crate) fn a_hang_and_a_broken_line_are_told_apart(vendor: &impl Vendor) {
    for (why, kind, tries) in
        [(NoAnswer::TimedOut, ErrorKind::TimedOut, 1), (NoAnswer::Broken, ErrorKind::Unavailable, 3)]
    {
        let host = TestHost::new(Script::new().in_order((0..tries).map(|_| vendor.get().lost(why))));
        let error = block_on(vendor.provider().get(&host, vendor.natives()[0])).expect_err("no answer");
        assert_eq!(error.kind, kind);
    }
}

/// The vendors' scripts know these two places by their names.
pub(crate) const PLACES: [(&str, &str); 2] = [("type-1", "place-1"), ("type-2", "place-2")];

/// A VM, or the error with place and outcome of each attempt.
pub(crate) type Outcome = Result<Created, (Error, Vec<(String, &'static str)>)>;

fn create(vendor: &impl Vendor, going: Going) -> (Outcome, TestHost) {
    let source = match going {
        Going::FromSnapshot => Source::Snapshot(vendor.snapshot_native()),
        _ => Source::Image(Image::Debian13),
    };
    let host = TestHost::new(vendor.creation(going));
    (create_at(&vendor.provider(), &host, source, &PLACES), host)
}

/// A creation with a script of its own.
pub(crate) fn create_by(vendor: &impl Vendor, script: Script) -> Outcome {
    create_at(&vendor.provider(), &TestHost::new(script), Source::Image(Image::Debian13), &PLACES)
}

/// A creation in the first of these places that takes it.
pub(crate) fn create_at(
    provider: &Provider,
    host: &TestHost,
    source: Source<'_>,
    places: &[(&str, &str)],
) -> Outcome {
    let offer = |(server_type, location): (&str, &str)| Offer {
        server_type: server_type.into(),
        location: location.into(),
        vcpu: 2,
        memory_gib: 4.0,
        disk_gb: 40.0,
        price: Some(Price { micros_per_hour: 11_424, currency: Currency::EUR }),
        micros_per_month: 7_000_000,
    };
    let offers: Vec<Offer> = places.iter().copied().map(offer).collect();
    let key = SshPublicKey::parse(SSH_KEY).expect("a key");
    let render = |offer: &Offer| -> (LabelSet, String) {
        (of_vm(VM), format!("#cloud-config\n# {}\n", offer.location))
    };
    let plan = Plan {
        name: "mayfly-hello-world-abcd",
        source,
        market: Market::OnDemand,
        ssh_key: &key,
        offers: &offers,
        shared_labels: labels::ours("mayfly"),
        deployment: "mayfly",
        identity: ours().and(labels::VM, VM),
        render,
    };
    block_on(provider.create(host, &plan)).map_err(|(error, attempts)| {
        (error, attempts.into_iter().map(|it| (it.location, it.outcome)).collect())
    })
}

/// A creation that must succeed, and the outcomes of its attempts.
fn created(vendor: &impl Vendor, going: Going) -> Vec<(String, &'static str)> {
    let (created, _host) = create(vendor, going);
    let created = created.unwrap_or_else(|(error, _)| panic!("{}", error.sentence()));
    let location = &created.attempts.last().expect("an attempt").location;
    assert_eq!(created.vm.id.native, vendor.native_in(location));
    assert!(created.vm.labels.belongs_to("mayfly"));
    assert_eq!(created.vm.labels.vm, VM);
    assert_eq!(created.warnings, Vec::<String>::new());
    created.attempts.into_iter().map(|it| (it.location, it.outcome)).collect()
}

/// With the secrets of every provider and a request that brings its own: none is in what a real creation sends.
pub(crate) fn no_credential_is_in_user_data(vendor: &impl Vendor) {
    let host = TestHost::new(Script::new().side_by_side(vendor.catalogue()));
    let catalogue = block_on(vendor.provider().catalogue(&host, NOW_SECS)).expect("a catalogue");
    let offers = catalogue.rank(Size::Medium, None);
    let provider = vendor.provider().name().as_str();
    let settings = vendor.settings().with_all_secrets();
    let given = json!({"repo_url": REPO_URL, "provider": provider, "ssh_public_key": SSH_KEY, "location": offers[0].location,
                       "git_token": "secret-given-git-token-0123456789", "env": {"A": "secret-given-value-of-a-variable"},
                       "anthropic_api_key": "secret-given-anthropic-key-0123456789"});
    let script = Script::new().side_by_side(vendor.catalogue());
    let host = TestHost::new(script.append(&vendor.creation_until_user_data(offers[0])));
    let answer = Call::post("/vms").token().json(&given).send(&settings.app(), &host);
    assert_eq!(answer.kind(), (503, "provider_quota".to_owned()));
    let mut carried = 0;
    for request in host.requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let user_data = script::read(&request.body).and_then(|it| vendor.user_data_of(&it));
        carried += usize::from(user_data.as_ref().unwrap_or(&text).contains("#cloud-config\n"));
        for it in user_data.into_iter().chain([text, request.url]) {
            user_data::holds_none_of(&it, SECRETS);
        }
    }
    assert_eq!(carried, 1, "a call that carries user data");
}

pub(crate) fn creates(vendor: &impl Vendor) {
    assert_eq!(created(vendor, Going::Smoothly), [("place-1".to_owned(), "created")]);
}

pub(crate) fn creates_from_a_snapshot(vendor: &impl Vendor) {
    assert_eq!(created(vendor, Going::FromSnapshot), [("place-1".to_owned(), "created")]);
}

pub(crate) fn tries_the_next_place_when_capacity_is_refused(vendor: &impl Vendor) {
    let want = [("place-1".to_owned(), "provider_capacity"), ("place-2".to_owned(), "created")];
    assert_eq!(created(vendor, Going::SecondPlace), want);
}

pub(crate) fn takes_back_what_it_made_when_the_quota_is_used_up(vendor: &impl Vendor) {
    let (created, host) = create(vendor, Going::Quota);
    let (error, attempts) = created.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Quota);
    assert_eq!(attempts, [("place-1".to_owned(), "provider_quota")]);
    assert!(host.sleeps_ms().is_empty(), "a creation is never repeated");
}

pub(crate) fn finds_a_server_whose_answer_was_lost(vendor: &impl Vendor) {
    let page = Response { status: 502, headers: Vec::new(), body: HTML.into() };
    for answer in [Err(NoAnswer::TimedOut), Err(NoAnswer::Broken), Ok(page)] {
        assert_eq!(created(vendor, Going::Lost(answer)), [("place-1".to_owned(), "adopted")]);
    }
}

pub(crate) fn deletes_running_stopped_and_gone_servers(vendor: &impl Vendor) {
    for state in [Some(VmState::Running), Some(VmState::Stopped), None] {
        let host = TestHost::new(vendor.deletion(state));
        let deleted = block_on(vendor.provider().delete(&host, vendor.natives()[0]));
        assert_eq!(deleted, Ok(()), "{state:?}");
    }
}

pub(crate) fn starts_stops_and_cuts(vendor: &impl Vendor) {
    for power in [Power::Start, Power::Stop, Power::Cut] {
        for gone in [false, true] {
            let host = TestHost::new(vendor.power(power, gone));
            let switched = block_on(vendor.provider().power(&host, vendor.natives()[0], power));
            assert_eq!(switched, Ok(!gone), "{power:?}");
        }
    }
}

pub(crate) fn changes_some_labels_and_leaves_the_others(vendor: &impl Vendor) {
    let changes = [(labels::PHASE, Some("ready".to_owned())), (labels::PRICE, None)];
    for gone in [false, true] {
        let host = TestHost::new(vendor.relabelling(gone));
        let there = block_on(vendor.provider().relabel(&host, vendor.natives()[0], &changes));
        assert_eq!(there, Ok(!gone));
    }
    // What is so already is not written.
    let script = Script::new().then(vendor.get().answers(200, vendor.one(&Known::ours(0))));
    let same = [(labels::PHASE, Some("booting".to_owned())), (labels::WANT, None)];
    let host = TestHost::new(script);
    assert_eq!(block_on(vendor.provider().relabel(&host, vendor.natives()[0], &same)), Ok(true));
}

pub(crate) fn snapshots_are_made_listed_and_deleted(vendor: &impl Vendor) {
    let provider = vendor.provider();
    let native = vendor.natives()[0];
    let mut labels = labels::ours("mayfly");
    labels.push((labels::OWNER.into(), "default".into()));
    let host = TestHost::new(vendor.snapshot(false));
    let made = block_on(provider.snapshot(&host, native, "before the upgrade", &labels));
    let made = made.expect("an answer").expect("a snapshot");
    assert_eq!(made.description, "before the upgrade");
    assert!(!made.is_ready);
    assert!(ours().matches(&made.labels), "{:?}", made.labels);
    let host = TestHost::new(vendor.snapshot(true));
    assert_eq!(block_on(provider.snapshot(&host, native, "x", &labels)), Ok(None));

    let host = TestHost::new(vendor.snapshots());
    let list = block_on(provider.snapshots(&host, &ours().and(labels::OWNER, "default"))).expect("a list");
    let [only] = list.as_slice() else { panic!("one is ours: {list:?}") };
    assert_eq!(only.native, vendor.snapshot_native());
    assert_eq!(only.description, "before the upgrade");
    assert!(only.is_ready);
    assert_eq!(only.created_secs, NOW_SECS - 1800);
    assert_eq!((only.min_disk_gb, only.size_gb), vendor.snapshot_sizes());

    let (script, (size_gb, micros, currency)) = vendor.snapshot_price();
    let (host, mut priced) = (TestHost::new(script), list.clone());
    assert_eq!(block_on(provider.price_snapshots(&host, &mut priced)), Ok(()));
    let price = priced[0].price.expect("a price");
    assert_eq!(priced[0].size_gb, Some(size_gb));
    assert_eq!((price.micros_per_gb_month, price.currency.as_str()), (micros, currency));
    let host = TestHost::new(Script::new());
    assert_eq!(block_on(provider.price_snapshots(&host, &mut [])), Ok(()), "nothing to ask for");

    let host = TestHost::new(vendor.snapshot_deletions());
    for _ in 0..2 {
        assert_eq!(block_on(provider.delete_snapshot(&host, vendor.snapshot_native())), Ok(()));
    }
}

pub(crate) fn leftovers_are_ours_alone(vendor: &impl Vendor) {
    let (script, want) = vendor.leftovers();
    let host = TestHost::new(script);
    let found = block_on(vendor.provider().leftovers(&host, "mayfly", false)).expect("leftovers");
    let kinds: Vec<&str> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, want);
    let (script, want) = vendor.leftover_prices();
    let prices = block_on(vendor.provider().leftover_prices(&TestHost::new(script), &found)).expect("prices");
    let told = prices.iter().flatten().map(|it| (it.micros, it.currency.as_str()));
    assert_eq!((told.collect::<Vec<_>>(), prices.len()), (want, found.len()));
}

pub(crate) fn the_same_key_makes_no_second_vm(vendor: &impl Vendor) {
    const KEY: &str = "the-same-click";
    let body = creation::request();
    let idem = signer().fingerprint("idem", &[b"default", KEY.as_bytes()]);
    let mut server = Known::ours(0);
    server.labels.push((labels::IDEM.into(), idem.clone()));
    let fingerprint = signer().fingerprint("body", &[body.to_string().as_bytes()]);
    server.labels.push((labels::BODY.into(), fingerprint));
    let script = || {
        let known = vendor.made_by_key("default", &idem, &server);
        Script::new().side_by_side(vendor.catalogue().into_iter().chain([known]))
    };
    let send = |body: &serde_json::Value| {
        // Each in an instance of the Worker of its own: it may keep what it read of the catalogue.
        let app = vendor.settings().app();
        let call = Call::post("/vms").token().header("idempotency-key", KEY).json(body);
        call.send(&app, &TestHost::new(script()))
    };
    let answer = send(&body);
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    let id = format!("{}-{}", vendor.provider().name().as_str(), vendor.natives()[0]);
    assert_eq!(answer.ok(200)["vm"]["id"], json!(id));
    let mut other = body.clone();
    other["size"] = "large".into();
    assert_eq!(send(&other).kind(), (422, "idempotency_key_reused".to_owned()));
}

pub(crate) fn sells_every_size(vendor: &impl Vendor) {
    let host = TestHost::new(Script::new().side_by_side(vendor.catalogue()));
    let catalogue = block_on(vendor.provider().catalogue(&host, NOW_SECS)).expect("a catalogue");
    for size in Size::ALL {
        let ranked = catalogue.rank(size, None);
        assert!(!ranked.is_empty(), "nothing is {}", size.as_str());
        let micros = |it: &Offer| it.price.map(|it| it.micros_per_hour);
        assert!(micros(ranked[0]).is_some_and(|it| it > 0), "the cheapest has no price");
        for pair in ranked.windows(2) {
            let (one, next) = (micros(pair[0]), micros(pair[1]));
            assert!(next.is_none() || one.is_some() && one <= next, "{one:?} {next:?}");
        }
        for it in ranked {
            assert!(it.memory_gib >= size.memory_gib() && it.vcpu >= size.vcpu(), "{it:?}");
            assert!(catalogue.locations.iter().any(|place| place.name == it.location), "{it:?}");
            assert!(micros(it).is_none_or(|hour| hour > 0 && it.micros_per_month >= hour), "{it:?}");
        }
    }
}
