//! Several providers in one Mayfly: which are configured, lists side by side, and what is said of one that fails.

use mayfly::http::NoAnswer;
use mayfly::labels::tags;
use mayfly::model::ProviderName;
use serde_json::{Value, json};

use super::support::call::Call;
use super::support::creation;
use super::support::fixtures::{Server, only, value_of};
use super::support::host::TestHost;
use super::support::script::{self, Exchange, Script, get};
use super::support::world::{
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, DIGITALOCEAN_API_URL, DIGITALOCEAN_TOKEN, HETZNER_TOKEN,
    NOW_SECS, OVH_API_URL, OVH_PROJECT_ID, SCALEWAY_PROJECT_ID, SCALEWAY_SECRET_KEY, Settings, VM,
    list_of_owner,
};

fn both() -> Settings {
    Settings::usual()
        .with("DIGITALOCEAN_TOKEN", DIGITALOCEAN_TOKEN)
        .with("DIGITALOCEAN_API_URL", DIGITALOCEAN_API_URL)
}

fn hetzner() -> Exchange {
    get(list_of_owner("default"))
}

fn digitalocean() -> Exchange {
    let target = "/droplets?tag_name=mayfly-deployment:mayfly&page=1&per_page=200";
    script::get(format!("{DIGITALOCEAN_API_URL}{target}"))
}

fn droplets() -> Value {
    let mut labels = mayfly::labels::ours("mayfly");
    for (key, value) in [("mayfly-vm", VM), ("mayfly-owner", "default"), ("mayfly-price", "35710.USD")] {
        labels.push((key.into(), value.into()));
    }
    labels.push(("mayfly-expires".into(), (NOW_SECS + 3600).to_string()));
    let mut droplet = value_of("digitalocean", "get_droplet.ready")["droplet"].take();
    droplet["tags"] = tags::all(&labels).into();
    let mut others = droplet.clone();
    labels.retain(|(key, _)| key != "mayfly-owner");
    labels.push(("mayfly-owner".into(), "ann".into()));
    others["tags"] = tags::all(&labels).into();
    json!({"droplets": [others, droplet], "links": {}, "meta": {"total": 2}})
}

fn list(script: Script) -> Value {
    Call::get("/vms").token().send(&both().app(), &TestHost::new(script)).ok(200)
}

fn ids(body: &Value) -> Vec<&str> {
    body["vms"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect()
}

#[test]
fn a_provider_is_there_when_its_secret_is() {
    let providers = |settings: Settings| -> Vec<ProviderName> {
        let app = settings.app();
        app.ready().expect("configured").providers.iter().map(mayfly::providers::Provider::name).collect()
    };
    assert_eq!(providers(both()), [ProviderName::Hetzner, ProviderName::DigitalOcean]);
    let all = both()
        .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
        .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
        .with_ovh()
        .with("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID)
        .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
        .with("AWS_REGIONS", "eu-central-1, us-east-1");
    assert_eq!(providers(all.clone()), ProviderName::ALL);
    for (key, value) in [
        ("AWS_REGIONS", ""),
        ("AWS_REGIONS", "eu-central-1,"),
        ("AWS_REGIONS", "example.com/eu-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SUBNET_ID", "subnet-0123456789abcdef0"),
        ("AWS_SUBNET_ID", "vpc-0123456789abcdef0"),
    ] {
        let app = all.clone().with(key, value).app();
        let keys: Vec<&str> = app.ready().expect_err(value).iter().map(|it| it.key).collect();
        assert_eq!(keys, [key], "{value}");
    }
    let app = all.clone().with("AWS_REGIONS", "eu-central-1").with("AWS_SUBNET_ID", "subnet-01ab").app();
    assert!(app.ready().is_ok(), "one region, one subnet");
    let app = all.with("SCALEWAY_PROJECT_ID", "mine").with("SCALEWAY_ZONES", "paris").app();
    let keys: Vec<&str> = app.ready().expect_err("wrong values").iter().map(|it| it.key).collect();
    assert_eq!(keys, ["SCALEWAY_ZONES", "SCALEWAY_PROJECT_ID"]);
    let app = both().without("HETZNER_TOKEN").app();
    let config = &app.ready().expect("configured").config;
    assert_eq!(config.defaults.provider, ProviderName::DigitalOcean, "the first that is configured");
    assert_eq!(config.providers(), [ProviderName::DigitalOcean]);
    for ovh in [Settings::usual().with_ovh(), Settings::usual().with_ovh_client()] {
        let app = ovh.without("HETZNER_TOKEN").app();
        let config = &app.ready().expect("configured").config;
        assert_eq!(config.defaults.provider, ProviderName::Ovh, "either credential");
    }
    let app = both().without("HETZNER_TOKEN").with("DEFAULT_PROVIDER", "hetzner").app();
    let problems = app.ready().expect_err("a default that is not configured");
    assert_eq!(problems.iter().map(|it| it.key).collect::<Vec<_>>(), ["DEFAULT_PROVIDER"]);
}

#[test]
fn all_providers_are_asked_side_by_side() {
    let script = Script::new().side_by_side([
        hetzner().gives(200, &only(&[Server::ours()])),
        digitalocean().gives(200, &droplets()),
    ]);
    let host = TestHost::new(script);
    let body = Call::get("/vms").token().send(&both().app(), &host).ok(200);
    assert_eq!(ids(&body), ["hetzner-4711", "digitalocean-3164444"]);
    assert_eq!(host.most_in_flight(), 2);
    assert_eq!(body["errors"], json!([]));
    assert_eq!(body["totals"]["count"], 2);
    assert_eq!(body["vms"][1]["cost"]["currency"], "USD");
    assert_eq!(body["vms"][1]["ipv4"], "203.0.113.7");
}

#[test]
fn one_that_hangs_or_fails_hides_nobodys_vms() {
    let hang = Script::new()
        .side_by_side([hetzner().lost(NoAnswer::TimedOut), digitalocean().gives(200, &droplets())]);
    let body = list(hang);
    assert_eq!(ids(&body), ["digitalocean-3164444"]);
    let error = json!({"provider": "hetzner", "code": "provider_timed_out",
                       "detail": "Hetzner Cloud did not answer in time."});
    assert_eq!(body["errors"], json!([error]));

    let refused = digitalocean().fixture_of("digitalocean", 401, "error.unauthorized");
    let body = list(Script::new().side_by_side([hetzner().gives(200, &only(&[Server::ours()])), refused]));
    assert_eq!(ids(&body), ["hetzner-4711"]);
    let error = json!({"provider": "digitalocean", "code": "provider_unauthorized",
                       "detail": "DigitalOcean refuses the token in DIGITALOCEAN_TOKEN."});
    assert_eq!(body["errors"], json!([error]));
}

#[test]
fn a_list_makes_as_many_calls_as_options_say() {
    let scaleway = |zones: &str| {
        Settings::usual()
            .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
            .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
            .with("SCALEWAY_ZONES", zones)
    };
    let calls = |settings: Settings| -> Vec<usize> {
        let app = settings.app();
        let providers = &app.ready().expect("configured").providers;
        providers.iter().map(mayfly::providers::Provider::calls_per_list).collect()
    };
    assert_eq!(calls(scaleway("fr-par-1,nl-ams-1")), [1, 2]);
    // A zone that is named twice is asked once: its VMs are there once.
    assert_eq!(calls(scaleway("fr-par-1, nl-ams-1,fr-par-1")), [1, 2]);
    // Without a word about zones all ten are asked, and the list stays within the free plan's 50.
    let zones = scaleway("").with("DIGITALOCEAN_TOKEN", DIGITALOCEAN_TOKEN);
    assert_eq!(calls(zones), [1, 10, 1]);
}

#[test]
fn ids_of_a_provider_that_is_not_configured_are_of_no_vm() {
    let answer = Call::get("/vms/digitalocean-1").token().send(&Settings::usual().app(), &TestHost::silent());
    assert_eq!(answer.kind(), (404, "vm_not_found".to_owned()));
}

#[test]
fn each_provider_has_its_own_credential_for_vms() {
    let config = |key: &'static str| {
        let settings = both()
            .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
            .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
            .with_ovh()
            .with("OVH_VM_APPLICATION_KEY", "vm-key")
            .with("OVH_VM_CONSUMER_KEY", "vm-consumer")
            .with(key, "secret-vm-token-of-hetzner");
        settings.app()
    };
    for (key, its) in [
        ("HETZNER_VM_TOKEN", ProviderName::Hetzner),
        ("SCALEWAY_VM_SECRET_KEY", ProviderName::Scaleway),
        ("DIGITALOCEAN_VM_TOKEN", ProviderName::DigitalOcean),
        ("OVH_VM_APPLICATION_SECRET", ProviderName::Ovh),
    ] {
        let app = config(key);
        let config = &app.ready().expect("configured").config;
        for name in ProviderName::ALL {
            assert_eq!(config.vm_credential(name).is_some(), name == its, "{key} {name:?}");
        }
    }
    // A signature is over the whole address, which the VM does not know otherwise.
    let app = config("OVH_VM_APPLICATION_SECRET");
    let config = &app.ready().expect("configured").config;
    let credential = config.vm_credential(ProviderName::Ovh).expect("a credential").expose();
    let address = format!("{OVH_API_URL}/cloud/project/{OVH_PROJECT_ID}");
    assert_eq!(credential, format!("vm-key:secret-vm-token-of-hetzner:vm-consumer:{address}"));
}

#[test]
fn options_say_where_the_host_has_the_only_firewall() {
    let project = format!("{OVH_API_URL}/cloud/project/{OVH_PROJECT_ID}");
    let prices = format!("{OVH_API_URL}/order/catalog/public/cloud?ovhSubsidiary=FR");
    let calls = creation::catalogue().into_iter().chain([
        script::get(format!("{project}/flavor")).fixture_of("ovh", 200, "list_flavors.catalogue"),
        script::get(prices).fixture_of("ovh", 200, "get_prices.fr"),
    ]);
    let host = TestHost::new(Script::new().side_by_side(calls));
    let body = Call::get("/options").token().send(&Settings::usual().with_ovh().app(), &host).ok(200);
    let firewalls: Vec<(&Value, &Value)> =
        body["providers"].as_array().into_iter().flatten().map(|it| (&it["name"], &it["firewall"])).collect();
    assert_eq!(firewalls, [(&json!("hetzner"), &json!(true)), (&json!("ovh"), &json!(false))]);
    let medium = &body["providers"][1]["sizes"][1];
    assert_eq!((&medium["server_type"], &medium["price_per_hour"]), (&json!("d2-4"), &json!(0.0189)));
}

#[test]
fn a_vms_boot_gets_no_credential_of_the_workers() {
    let request = json!({"repo_url": super::support::world::REPO_URL, "provider": "digitalocean"});
    let app = both().with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner").app();
    let answer = Call::post("/user-data").token().json(&request).send(&app, &TestHost::silent()).ok(200);
    assert_eq!(answer["limit_bytes"], 65_536);
    let text = answer["user_data"].as_str().expect("text");
    for secret in [HETZNER_TOKEN, DIGITALOCEAN_TOKEN, "secret-vm-token-of-hetzner"] {
        assert!(!text.contains(secret));
    }
    let file = super::support::user_data::vm_file(text);
    assert_eq!((&file["provider"], &file["self_delete"]), (&json!("digitalocean"), &json!("worker")));
}

#[test]
fn an_instance_gets_its_user_data_compressed_and_ends_itself() {
    let app = Settings::usual()
        .with("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID)
        .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
        .with("AWS_REGIONS", "eu-central-1")
        .app();
    let dry_run = |request: &Value| {
        Call::post("/user-data").token().json(request).send(&app, &TestHost::silent()).ok(200)
    };
    let mut request = json!({"repo_url": super::support::world::REPO_URL, "provider": "ec2",
        "ssh_public_key": super::support::world::SSH_KEY});
    let answer = dry_run(&request);
    assert_eq!(answer["limit_bytes"], 16_384);
    let text = answer["user_data"].as_str().expect("text");
    let bytes = usize::try_from(answer["bytes"].as_u64().expect("a length")).expect("small");
    assert!(bytes < text.len() * 9 / 10, "{bytes} of {}", text.len());
    assert!(!text.contains(AWS_SECRET_ACCESS_KEY));
    let file = super::support::user_data::vm_file(text);
    assert_eq!((&file["provider"], &file["self_delete"]), (&json!("ec2"), &json!("shutdown")));
    // The secrets of an ordinary request fit, and there is room.
    request["anthropic_api_key"] = format!("secret-given-{}", "k".repeat(95)).into();
    request["git_token"] = format!("secret-given-{}", "t".repeat(80)).into();
    let answer = dry_run(&request);
    let bytes = answer["bytes"].as_u64().expect("a length");
    println!("user data with secrets at EC2: {bytes} of 16384 bytes");
    assert!(bytes + 2048 <= 16_384, "{bytes} bytes leave too little room for longer keys and env");
    // What does not fit is refused before EC2 is asked for anything.
    request["env"] = json!({"LONG": "x".repeat(4000)});
    let refused = Call::post("/vms").token().json(&request).send(&app, &TestHost::silent());
    assert_eq!(refused.kind(), (422, "user_data_too_long".to_owned()));
}
