//! What only EC2 has: several regions side by side, spot instances, networks, prices that are another service's. The suite's
//! promises are kept in the parent.

use mayfly::labels::{self, Selector};
use mayfly::model::{Size, VmState};
use mayfly::providers::{ErrorKind, Power, Provider, Source};
use mayfly::workspace::Image;
use serde_json::json;

use super::{
    Ec2, GROUP, ID, NATIVES, REGION, any_call, call, default_vpc, delete_group, filtered, gives, groups,
    list_call, making_the_group, place, prepared, servers,
};
use crate::suite::{self, Outcome};
use crate::support::block_on;
use crate::support::call::Call;
use crate::support::creation::signer;
use crate::support::fixtures::text_of;
use crate::support::host::TestHost;
use crate::support::script::{self, Exchange, Script};
use crate::support::world::{AWS_PRICING_API_URL, REPO_URL, Settings};
use crate::vendor::{Known, Vendor};

const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

/// Types of our sizes alone.
pub(super) fn types(region: &str) -> Exchange {
    any_call(region, "DescribeInstanceTypes").checked(|it| {
        let filter = |at: usize| {
            let values = (1..).map_while(|value| it[format!("Filter.{at}.Value.{value}")].as_str());
            (it[format!("Filter.{at}.Name")].as_str().unwrap_or_default(), values.collect::<Vec<_>>())
        };
        assert_eq!(filter(1), ("processor-info.supported-architecture", vec!["x86_64"]));
        assert_eq!(filter(2), ("current-generation", vec!["true"]));
        assert_eq!(filter(3), ("bare-metal", vec!["false"]));
        assert_eq!(filter(4), ("vcpu-info.default-vcpus", vec!["2", "4"]));
        assert_eq!(filter(5), ("memory-info.size-in-mib", vec!["2048", "4096", "8192"]));
        assert_eq!(it["MaxResults"], "100");
    })
}

/// Their prices, of all that have none of the GPUs.
pub(super) fn prices(region: &'static str) -> Exchange {
    script::post(format!("{AWS_PRICING_API_URL}/")).checked(move |it| {
        assert_eq!((&it["ServiceCode"], &it["FormatVersion"]), (&json!("AmazonEC2"), &json!("aws_v1")));
        let filters = it["Filters"].as_array().expect("filters");
        let value =
            |field: &str| filters.iter().find(|it| it["Field"] == field).map(|it| it["Value"].clone());
        assert_eq!(value("regionCode"), Some(json!(region)));
        assert_eq!(value("operatingSystem"), Some(json!("Linux")));
        let types = "c6a.large,t3a.small,t3a.medium,t3.medium,c6a.xlarge,c7i.xlarge";
        assert_eq!(value("instanceType"), Some(json!(types)));
        assert_eq!(it.get("NextToken"), None);
    })
}

fn provider_of(settings: &Settings) -> Provider {
    settings.app().ready().expect("configured").providers[0].clone()
}

fn two_regions() -> Provider {
    provider_of(&Ec2.settings().with("AWS_REGIONS", "place-1, place-2"))
}

fn failed(outcome: Outcome) -> (ErrorKind, String) {
    outcome.map(|it| it.vm.id).map_err(|(error, _)| (error.kind, error.detail)).expect_err("a failure")
}

#[test]
fn regions_are_asked_side_by_side_and_one_that_fails_hides_no_other() {
    let script = Script::new().side_by_side([
        gives(list_call("place-1", &[], None), 401, "error.auth_failure"),
        list_call("place-2", &[], None).answers(200, servers(&[Known::ours(1)], None)),
    ]);
    let host = TestHost::new(script);
    let mut shown = Vec::new();
    let (provider, ours) = (two_regions(), Selector::deployment("mayfly"));
    let listed = provider.for_each(&host, &ours, |it| {
        shown.push(it.id.native.clone());
    });
    assert_eq!(block_on(listed).map_err(|it| it.kind), Err(ErrorKind::Unauthorized));
    assert_eq!((shown, host.most_in_flight()), (vec!["place-2-i-0fedcba9876543210".to_owned()], 2));
    assert_eq!(provider.calls_per_list(), 2);
}

#[test]
fn what_was_terminated_is_gone_and_what_is_ending_is_being_deleted() {
    let in_state = |state: &str| {
        let answer = Ec2.one(&Known::ours(0));
        answer.replace("<name>running</name>", &format!("<name>{state}</name>"))
    };
    for (state, want) in [
        ("terminated", None),
        ("shutting-down", Some(VmState::Deleting)),
        ("pending", Some(VmState::Creating)),
        ("stopping", Some(VmState::Stopping)),
        ("something-new", Some(VmState::Unknown)),
    ] {
        let host = TestHost::new(Script::new().then(Ec2.get().answers(200, in_state(state))));
        let vm = block_on(Ec2.provider().get(&host, NATIVES[0])).expect("an answer");
        assert_eq!(vm.map(|it| it.state), want, "{state}");
        let host =
            TestHost::new(Script::new().then(list_call(REGION, &[], None).answers(200, in_state(state))));
        let found = block_on(Ec2.provider().find(&host, &Selector::deployment("mayfly"))).expect("a list");
        assert_eq!(found.first().map(|it| it.state), want, "{state}");
    }
}

#[test]
fn a_restart_makes_no_vm_younger() {
    let later = Ec2
        .one(&Known::ours(0))
        .replace("<launchTime>2026-11-20T09:00:00", "<launchTime>2026-11-20T09:50:00");
    let host = TestHost::new(Script::new().then(Ec2.get().answers(200, later)));
    let vm = block_on(Ec2.provider().get(&host, NATIVES[0])).expect("an answer").expect("a VM");
    assert_eq!(vm.created_secs, crate::support::world::NOW_SECS - 3599, "the root volume's attachment");
}

#[test]
fn offers_without_a_price_come_last() {
    let host = TestHost::new(Script::new().side_by_side(Ec2.catalogue()));
    let catalogue = block_on(Ec2.provider().catalogue(&host, 0)).expect("a catalogue");
    let shown = |size| -> Vec<(String, Option<u64>)> {
        let ranked = catalogue.rank(size, None).into_iter();
        ranked.map(|it| (it.server_type.clone(), it.price.map(|it| it.micros_per_hour))).collect()
    };
    let large = [("c6a.xlarge".to_owned(), Some(174_600)), ("c7i.xlarge".to_owned(), None)];
    assert_eq!(shown(Size::Large), large);
    assert_eq!(shown(Size::Medium)[0], ("t3a.medium".to_owned(), Some(43_200)));
    assert_eq!(shown(Size::Small)[0], ("t3a.small".to_owned(), Some(21_600)));
}

#[test]
fn without_the_price_list_everything_is_offered_without_a_price() {
    for refused in [
        gives(prices(REGION), 400, "error.pricing_denied"),
        prices(REGION).answers(200, "{\"PriceList\":[\"{\"]}"),
        prices(REGION).lost(mayfly::http::NoAnswer::TimedOut),
    ] {
        let script = Script::new().then(gives(types(REGION), 200, "describe_instance_types.catalogue"));
        let host = TestHost::new(script.then(refused));
        let answer = Call::get("/options").token().send(&Ec2.settings().app(), &host).ok(200);
        let sizes = answer["providers"][0]["sizes"].as_array().expect("sizes");
        assert_eq!(sizes.len(), 3);
        for it in sizes {
            assert_eq!((&it["price_per_hour"], &it["scenarios"]), (&json!(null), &json!(null)), "{it}");
            assert_eq!(it["offers"][0]["price_per_hour"], json!(null));
        }
        // The smallest that fits, where nothing tells the cheapest.
        assert_eq!(sizes[0]["server_type"], "t3a.small");
    }
}

#[test]
fn a_creation_that_another_try_made_waits_until_that_is_listed() {
    const KEY: &str = "the-same-click";
    let mut its = Known::ours(1);
    let idem = signer().fingerprint("idem", &[b"default", KEY.as_bytes()]);
    let body = json!({"repo_url": REPO_URL, "location": REGION});
    its.labels.push((labels::IDEM.into(), idem.clone()));
    its.labels.push((labels::BODY.into(), signer().fingerprint("body", &[body.to_string().as_bytes()])));
    let made = |is_listed: bool| {
        let call = Ec2.made_by_key("default", &idem, &its);
        if is_listed { call } else { call.answers(200, servers(&[], None)) }
    };
    let look = |is_listed: bool| {
        let call = list_call(REGION, &[("tag:mayfly-idem", &idem)], None);
        call.answers(200, servers(if is_listed { std::slice::from_ref(&its) } else { &[] }, None))
    };
    let script = |looks: &[bool], at_last: bool| {
        Script::new()
            .side_by_side(Ec2.catalogue().into_iter().chain([made(false)]))
            .side_by_side(prepared(REGION))
            .then(gives(any_call(REGION, "RunInstances"), 400, "error.idempotent_mismatch"))
            .in_order(looks.iter().map(|it| look(*it)))
            .then(made(at_last))
    };
    let send = |script: Script| {
        let host = TestHost::new(script);
        let call = Call::post("/vms").token().header("idempotency-key", KEY).json(&body);
        let answer = call.send(&Ec2.settings().app(), &host);
        host.finish();
        (answer, host.sleeps_ms())
    };
    let (answer, sleeps_ms) = send(script(&[false, false, true], true));
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(answer.ok(200)["vm"]["id"], json!(format!("ec2-{}", NATIVES[1])));
    assert_eq!(sleeps_ms, [500, 1000, 2000]);
    let (answer, _) = send(script(&[false; 3], false));
    assert_eq!(answer.kind(), (409, "provider_conflict".to_owned()), "and no name is taken");
}

#[test]
fn without_a_default_vpc_it_is_said_what_to_do() {
    let mut calls = prepared(REGION);
    calls[1] = gives(default_vpc(REGION), 200, "describe_vpcs.none");
    let (kind, detail) = failed(suite::create_by(&Ec2, Script::new().side_by_side(calls)));
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(detail.contains("no default VPC in place-1") && detail.contains("AWS_SUBNET_ID"), "{detail}");
}

const SUBNET: &str = "subnet-0f1e2d3c4b5a69788";

#[test]
fn a_subnet_of_ones_own_gives_a_public_address() {
    let mut calls = prepared(REGION);
    let subnet = call(REGION, "DescribeSubnets", &[("SubnetId.1", SUBNET)]);
    calls[1] = gives(subnet, 200, "describe_subnets.one");
    let run = any_call(REGION, "RunInstances").checked(|it| {
        for (name, value) in [
            ("NetworkInterface.1.DeviceIndex", "0"),
            ("NetworkInterface.1.SubnetId", SUBNET),
            ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
            ("NetworkInterface.1.DeleteOnTermination", "true"),
            ("NetworkInterface.1.SecurityGroupId.1", GROUP),
        ] {
            assert_eq!(it[name], value, "{name}");
        }
        assert_eq!(it.get("SecurityGroupId.1"), None);
    });
    let script = Script::new()
        .side_by_side(calls)
        .then(gives(run, 200, "run_instances.pending"))
        .then(Ec2.get().answers(200, Ec2.one(&Known::ours(0))));
    let provider = provider_of(&Ec2.settings().with("AWS_SUBNET_ID", SUBNET));
    let debian = Source::Image(Image::Debian13);
    let created = suite::create_at(&provider, &TestHost::new(script), debian, &suite::PLACES);
    assert_eq!(created.map(|it| it.vm.id.native).map_err(|it| it.0), Ok(NATIVES[0].to_owned()));
}

#[test]
fn who_comes_second_finds_the_first_ones_group() {
    let region = REGION;
    let mut calls = prepared(region);
    calls[2] = gives(groups(region), 200, "describe_security_groups.empty");
    let duplicate = || gives(any_call(region, "CreateSecurityGroup"), 400, "error.group_duplicate");
    let script = Script::new()
        .side_by_side(calls)
        .then(duplicate())
        .then(gives(groups(region), 200, "describe_security_groups.ours"))
        .then(gives(place(0, IMAGE), 400, "error.vcpu_limit"));
    assert_eq!(failed(suite::create_by(&Ec2, script)).0, ErrorKind::Quota, "and takes nothing back");
    // The name is somebody else's.
    let mut calls = prepared(region);
    calls[2] = gives(groups(region), 200, "describe_security_groups.empty");
    let script = Script::new().side_by_side(calls).then(duplicate()).then(gives(
        groups(region),
        200,
        "describe_security_groups.empty",
    ));
    assert_eq!(failed(suite::create_by(&Ec2, script)).0, ErrorKind::Conflict);
}

#[test]
fn a_group_whose_ports_cannot_be_opened_does_not_stay() {
    let mut calls = prepared(REGION);
    calls[2] = gives(groups(REGION), 200, "describe_security_groups.empty");
    let denied = any_call(REGION, "AuthorizeSecurityGroupIngress");
    let script = Script::new()
        .side_by_side(calls)
        .then(gives(any_call(REGION, "CreateSecurityGroup"), 200, "create_security_group.created"))
        .then(gives(denied, 403, "error.unauthorized_operation"))
        .then(delete_group(REGION));
    assert_eq!(failed(suite::create_by(&Ec2, script)).0, ErrorKind::TokenReadonly);
}

#[test]
fn a_group_that_was_left_without_its_rules_gets_them() {
    let open = text_of("ec2", "describe_security_groups.ours");
    let (before, ours) = open.rsplit_once("<fromPort>443</fromPort>").expect("a rule");
    let ours = ours.replacen("<toPort>443</toPort>", "<toPort>22</toPort>", 1);
    let only_ssh = format!("{before}<fromPort>22</fromPort>{ours}");
    let outcome = |listed: String, ports: &'static [&'static str], answer: &str| {
        let mut calls = prepared(REGION);
        calls[2] = groups(REGION).answers(200, listed);
        let authorize = any_call(REGION, "AuthorizeSecurityGroupIngress").checked(move |it| {
            assert_eq!(it["GroupId"], GROUP);
            let sent = (1..).map_while(|at| it[format!("IpPermissions.{at}.FromPort")].as_str());
            assert_eq!(sent.collect::<Vec<_>>(), ports);
        });
        let status = if answer.starts_with("error") { 400 } else { 200 };
        let script = Script::new()
            .side_by_side(calls)
            .in_order((!ports.is_empty()).then(|| gives(authorize, status, answer)))
            .then(gives(place(0, IMAGE), 400, "error.vcpu_limit"));
        failed(suite::create_by(&Ec2, script)).0
    };
    let none = |text: &str| text.replace("<ipProtocol>tcp</ipProtocol>", "<ipProtocol>icmp</ipProtocol>");
    assert_eq!(outcome(none(&open), &["443", "80", "22"], "authorize_ingress.done"), ErrorKind::Quota);
    assert_eq!(outcome(only_ssh, &["443", "80"], "authorize_ingress.done"), ErrorKind::Quota);
    // Its maker has opened them meanwhile.
    assert_eq!(outcome(none(&open), &["443", "80", "22"], "error.permission_duplicate"), ErrorKind::Quota);
    // What somebody narrowed stays so.
    let all = open.replace("<ipProtocol>tcp</ipProtocol>", "<ipProtocol>-1</ipProtocol>");
    assert_eq!(outcome(all, &[], ""), ErrorKind::Quota);
    assert_eq!(outcome(open.replace("0.0.0.0/0", "203.0.113.0/24"), &[], ""), ErrorKind::Quota);
}

#[test]
fn a_group_that_the_reaper_took_is_made_again() {
    let script = Script::new().side_by_side(prepared(REGION)).then(gives(
        place(0, IMAGE),
        400,
        "error.group_not_found",
    ));
    let again = making_the_group(REGION);
    let script = script
        .append(&again)
        .then(gives(place(0, IMAGE), 400, "error.vcpu_limit"))
        .then(delete_group(REGION));
    assert_eq!(failed(suite::create_by(&Ec2, script)).0, ErrorKind::Quota);
}

/// What spot instances of all types cost now.
fn spot_prices(types: &[&str]) -> Exchange {
    let names: Vec<String> = (1..=types.len()).map(|at| format!("InstanceType.{at}")).collect();
    let mut parameters: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(types.iter().copied()).collect();
    parameters.extend([
        ("ProductDescription.1", "Linux/UNIX"),
        ("StartTime", "2026-11-20T10:00:00Z"),
        ("MaxResults", "1000"),
    ]);
    gives(call(REGION, "DescribeSpotPriceHistory", &parameters), 200, "describe_spot_price_history.now")
}

#[test]
fn a_spot_instance_shows_the_price_of_its_zone() {
    let one = text_of("ec2", "describe_instances.spot");
    let run = any_call(REGION, "RunInstances").checked(|it| {
        for (name, value) in [
            ("MarketType", "spot"),
            ("SpotOptions.SpotInstanceType", "one-time"),
            ("SpotOptions.InstanceInterruptionBehavior", "terminate"),
        ] {
            assert_eq!(it[format!("InstanceMarketOptions.{name}")], value, "{name}");
        }
        // The cheapest on-demand type is not the cheapest here; the dearest zone's price until the zone is known.
        assert_eq!(it["InstanceType"], "c6a.large");
        assert!(it.as_object().expect("a form").values().any(|it| it == "16500.USD"), "{it}");
    });
    let tag = [("ResourceId.1", ID), ("Tag.1.Key", labels::PRICE), ("Tag.1.Value", "14100.USD")];
    let script = Script::new()
        .side_by_side(Ec2.catalogue())
        .then(spot_prices(&["t3a.medium", "t3.medium", "c6a.large", "c6a.xlarge", "c7i.xlarge"]))
        .side_by_side(prepared(REGION))
        .then(gives(run, 200, "run_instances.pending"))
        .then(Ec2.get().answers(200, one.replace("t3a.medium", "c6a.large")))
        .then(spot_prices(&["c6a.large"]))
        .then(gives(call(REGION, "CreateTags", &tag), 200, "create_tags.done"));
    let body = json!({"repo_url": REPO_URL, "market": "spot"});
    let host = TestHost::new(script);
    let answer = Call::post("/vms").token().json(&body).send(&Ec2.settings().app(), &host).ok(201);
    assert_eq!(answer["vm"]["cost"]["per_hour"], 0.0141);
    assert_eq!(answer["vm"]["cost"]["currency"], "USD");
    assert_eq!(answer["warnings"], json!([]));
}

#[test]
fn a_spot_instance_cannot_be_stopped_and_says_why() {
    let stop = call(REGION, "StopInstances", &[("InstanceId.1", ID)]);
    let host = TestHost::new(Script::new().then(gives(stop, 400, "error.stop_spot")));
    let error = block_on(Ec2.provider().power(&host, NATIVES[0], Power::Stop)).expect_err("a refusal");
    assert!(error.detail.contains("one-time Spot Instance request"), "{}", error.detail);
    let problem = mayfly::api::Problem::from(error);
    assert_eq!(problem.status(), 409);
    // Whoever asks for it through the API is told so before anything is written: its end stays where it was.
    let host =
        TestHost::new(Script::new().then(Ec2.get().answers(200, text_of("ec2", "describe_instances.spot"))));
    let answer =
        Call::post(&format!("/vms/ec2-{}/stop", NATIVES[0])).token().send(&Ec2.settings().app(), &host);
    assert_eq!(answer.kind(), (409, "wrong_state".to_owned()), "{}", answer.text());
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("spot instance, which cannot be stopped. Possible: "), "{detail}");
    assert!(!detail.contains("Possible: stop"), "{detail}");
}

#[test]
fn others_have_no_spot_market() {
    let body = json!({"repo_url": REPO_URL, "market": "spot"});
    let answer = Call::post("/vms").token().json(&body).send(&Settings::usual().app(), &TestHost::silent());
    assert_eq!(answer.status, 400);
    let body = answer.json();
    let error = json!([{"field": "market", "detail": "must be on-demand: Hetzner Cloud has no spot market"}]);
    assert_eq!((&body["code"], &body["errors"]), (&json!("invalid_request"), &error));
}

#[test]
fn a_snapshot_is_created_from_where_it_is() {
    // In another region than its own nothing is asked for: it is not there.
    let filters = [("is-default", "true")];
    let script = Script::new().side_by_side([
        gives(filtered("place-2", "DescribeVpcs", &filters, &[]), 200, "describe_vpcs.default"),
        gives(groups("place-2"), 200, "describe_security_groups.ours"),
    ]);
    let source = Source::Snapshot(Ec2.snapshot_native());
    let outcome = suite::create_at(&Ec2.provider(), &TestHost::new(script), source, &suite::PLACES[1..]);
    assert_eq!(failed(outcome).0, ErrorKind::Capacity);
}
