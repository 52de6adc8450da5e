//! Creations that succeed: what is sent to the provider, call by call, and what the caller gets.

use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{
    self, FINGERPRINT, address_ids, addresses, catalogue, create_server, find_firewall, find_key,
    generated_name, labels_of_created, prepared, preparing, request, signer, smooth, vm_id,
};
use super::support::fixtures::Server;
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, get, post, put};
use super::support::world::{NOW_SECS, REPO_URL, SSH_KEY, Settings, app};

fn send(body: &Value, host: &TestHost) -> Answer {
    Call::post("/vms").token().json(body).send(&app(), host)
}

/// The request with which the server was created.
fn creation_of(host: &TestHost) -> Value {
    let made = host.requests().into_iter().find(|it| it.url.ends_with("/servers") && !it.body.is_empty());
    serde_json::from_slice(&made.expect("a creation").body).expect("JSON")
}

fn vm_file(creation: &Value) -> Value {
    super::support::user_data::vm_file(creation["user_data"].as_str().expect("user data"))
}

#[test]
fn a_repository_is_enough_and_the_answer_is_whole() {
    let host = TestHost::new(smooth());
    let answer = send(&request(), &host);
    let body = answer.ok(201);
    assert_eq!(answer.header("location"), Some("/vms/hetzner-4711"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(body["password"], signer().password(&vm_id()).expose());
    assert_eq!(body["password"].as_str().map(str::len), Some(23));
    assert_eq!(body["attempts"], json!([{"server_type": "cx23", "location": "fsn1", "outcome": "created"}]));
    assert_eq!(body["warnings"], json!([]));
    assert_eq!(
        body["vm"],
        json!({
            "id": "hetzner-4711", "name": generated_name(0), "provider": "hetzner", "location": "fsn1",
            "server_type": "cx23", "market": "on-demand", "size": "medium", "profile": "coding", "web_ui": "cloudcli",
            "repo_url": REPO_URL, "branch": null, "owner": "default", "state": "creating", "phase": "booting",
            "services_ready": false, "attention": null, "want": null, "created_at": "2026-11-20T10:00:00Z", "age_seconds": 0,
            "ipv4": "203.0.113.7", "ipv6": "2001:db8:47:11::/64",
            "cost": {"currency": "EUR", "per_hour": 0.011_424, "so_far": 0.011_424, "until_idle": 0.011_424, "until_expiry": 0.137_088},
            "idle": {"limit_minutes": 30, "active_at": "2026-11-20T10:00:00Z",
                     "deadline": "2026-11-20T10:30:00Z", "verdict": []},
            "expires_at": "2026-11-20T22:00:00Z", "last_seen_at": null,
            "boot": {"phases": [], "reason": null},
            "urls": {"web_ui": "https://203.0.113.7/", "terminal": "https://203.0.113.7/terminal/",
                     "status": "https://203.0.113.7/_mayfly/status"},
            "ssh": {"command": "ssh root@203.0.113.7", "host_key": null}, "tls": null,
        })
    );
    assert_eq!(
        host.log_lines(),
        [json!({"event": "created", "vm": generated_name(0), "id": "hetzner-4711", "owner": "default",
                "detail": "medium"})]
    );
    assert!(generated_name(0).starts_with("mayfly-hello-world-"));
}

#[test]
fn the_server_is_asked_for_whole() {
    let host = TestHost::new(smooth());
    send(&request(), &host).ok(201);
    let mut creation = creation_of(&host);
    let user_data = creation["user_data"].take();
    assert!(user_data.as_str().is_some_and(|it| it.starts_with("#cloud-config\n")));
    assert_eq!(
        creation,
        json!({
            "name": generated_name(0), "server_type": "cx23", "image": "debian-13", "location": "fsn1",
            "ssh_keys": ["ann-laptop"], "user_data": null, "labels": labels_of_created(&vm_id(), &json!({})),
            "firewalls": [{"firewall": 38}], "public_net": {"enable_ipv4": true, "enable_ipv6": true},
            "start_after_create": true,
        })
    );
}

#[test]
fn key_and_firewall_are_made_once_with_our_labels_and_only_three_ports() {
    let ours = json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly"});
    let rule = |port: &str, description: &str| {
        json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0", "::/0"],
               "description": description})
    };
    let making = vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().fixture(200, "list_firewalls.empty"),
        post("/ssh_keys")
            .json(json!({"name": "mayfly-f436d922e086a63e", "public_key": SSH_KEY, "labels": ours}))
            .fixture(201, "create_ssh_key.created"),
        post("/firewalls")
            .json(json!({"name": "mayfly-mayfly", "labels": ours,
                         "rules": [rule("443", "HTTPS"), rule("80", "ACME challenges"), rule("22", "SSH")]}))
            .fixture(201, "create_firewall.created"),
    ];
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(making)
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let host = TestHost::new(script);
    send(&request(), &host).ok(201);
    let creation = creation_of(&host);
    assert_eq!(creation["ssh_keys"], json!(["mayfly-0123456789abcdef"]), "by the name that the answer has");
    assert_eq!(creation["firewalls"], json!([{"firewall": 39}]));
}

#[test]
fn a_key_or_firewall_that_somebody_else_makes_meanwhile_serves_as_well() {
    let meanwhile = vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().fixture(200, "list_firewalls.empty"),
        post("/ssh_keys").fixture(409, "error.key_taken"),
        post("/firewalls").fixture(409, "error.name_taken"),
        find_key().fixture(200, "list_ssh_keys.registered"),
        find_firewall().fixture(200, "list_firewalls.ours"),
    ];
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(meanwhile)
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    send(&request(), &TestHost::new(script)).ok(201);
}

#[test]
fn without_a_key_of_the_user_the_server_gets_one_that_nobody_has() {
    use mayfly::ssh_key::SshPublicKey;
    let nobody = SshPublicKey::nobody(signer().derive("nobody", &[b"mayfly"]));
    let find_nobody = get(format!("/ssh_keys?fingerprint={}", nobody.md5_fingerprint()));
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side([
            find_nobody.fixture(200, "list_ssh_keys.empty"),
            find_firewall().fixture(200, "list_firewalls.ours"),
            post("/ssh_keys")
                .checked(move |it| assert_eq!(it["public_key"], nobody.to_openssh()))
                .fixture(201, "create_ssh_key.created"),
        ])
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let host = TestHost::new(script);
    send(&json!({"repo_url": REPO_URL}), &host).ok(201);
    let user_data = creation_of(&host)["user_data"].as_str().map(str::to_owned).expect("user data");
    assert!(!user_data.contains("ssh_authorized_keys"), "a key that nobody has lets nobody in");
}

#[test]
fn the_configured_key_stands_in_for_the_users() {
    let app = Settings::usual().with("SSH_PUBLIC_KEY", SSH_KEY).app();
    let host = TestHost::new(smooth());
    Call::post("/vms").token().json(&json!({"repo_url": REPO_URL})).send(&app, &host).ok(201);
    assert!(creation_of(&host)["user_data"].as_str().is_some_and(|it| it.contains(SSH_KEY)));
    assert_eq!(FINGERPRINT.len(), 47);
}

#[test]
fn addresses_get_our_labels_and_go_with_the_server() {
    let labels = json!({"managed-by": "mayfly", "mayfly-deployment": "mayfly", "mayfly-vm": vm_id(),
                        "mayfly-owner": "default"});
    let label = |id: u32| {
        put(format!("/primary_ips/{id}"))
            .json(json!({"auto_delete": true, "labels": labels}))
            .fixture(200, "update_primary_ip.labelled")
    };
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side([label(901), label(902)]);
    let host = TestHost::new(script);
    assert_eq!(send(&request(), &host).ok(201)["warnings"], json!([]));
}

#[test]
fn an_answer_that_has_the_addresses_ids_saves_the_second_look() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(
            post("/servers")
                .computes(201, |it| Server::ours().set("labels", it["labels"].clone()).creation()),
        )
        .side_by_side(addresses());
    send(&request(), &TestHost::new(script)).ok(201);
}

#[test]
fn addresses_that_cannot_be_labelled_are_a_warning_and_no_failure() {
    let unlabelled = |ids: Exchange, puts: Vec<Exchange>| {
        Script::new()
            .side_by_side(catalogue())
            .side_by_side(prepared())
            .then(create_server())
            .then(ids)
            .side_by_side(puts)
    };
    for (script, warnings) in [
        (
            unlabelled(get("/servers/4711").fixture(401, "error.unauthorized"), Vec::new()),
            json!(["the server's addresses could not be read, so they carry no label"]),
        ),
        (
            unlabelled(
                address_ids(),
                vec![
                    put("/primary_ips/901").fixture(200, "update_primary_ip.labelled"),
                    put("/primary_ips/902").fixture(423, "error.locked"),
                ],
            ),
            json!([
                "an address could not be labelled: Hetzner Cloud answered locked: server is locked by another action"
            ]),
        ),
    ] {
        assert_eq!(send(&request(), &TestHost::new(script)).ok(201)["warnings"], warnings);
    }
}

#[test]
fn what_was_asked_for_reaches_labels_and_file() {
    let body = json!({
        "repo_url": "git@github.com:octo/Hello-World.git", "branch": "feature/a-b_c", "name": "my-box",
        "size": "large", "location": "hel1", "web_ui": "ttyd", "image": "ubuntu-24.04", "idle_minutes": 90,
        "max_hours": 3, "trust_repo": true, "devcontainer_image": "ghcr.io/o/dev:1", "ssh_public_key": SSH_KEY,
        "allow_from": ["203.0.113.0/24", "2001:DB8::1"],
    });
    let host = TestHost::new(smooth());
    send(&body, &host).ok(201);
    let creation = creation_of(&host);
    for (field, want) in
        [("name", "my-box"), ("server_type", "cx33"), ("location", "hel1"), ("image", "ubuntu-24.04")]
    {
        assert_eq!(creation[field], want);
    }
    let want = json!({
        "mayfly-idle": "90", "mayfly-expires": (NOW_SECS + 3 * 3600).to_string(), "mayfly-price": "17136.EUR",
        "mayfly-ui": "ttyd", "mayfly-size": "large", "mayfly-repo": "0_hgit_agithub.com_cocto_sHello-World.git0",
        "mayfly-branch": "0_hfeature_sa-b_uc0", "mayfly-run": "3",
    });
    assert_eq!(creation["labels"], labels_of_created(&vm_id(), &want));
    let file = vm_file(&creation);
    let capability = file["capability"].as_str().map(str::to_owned).expect("a capability");
    assert_eq!(
        file,
        json!({
            "v": 1, "worker": "https://mayfly.example.workers.dev", "vm": vm_id(), "capability": capability,
            "deployment": "mayfly", "provider": "hetzner", "location": "hel1", "name": "my-box",
            "profile": "coding", "repo_url": "git@github.com:octo/Hello-World.git", "branch": "feature/a-b_c",
            "web_ui": "ttyd", "devcontainer_image": "ghcr.io/o/dev:1", "trust_repo": true, "idle_minutes": 90,
            "created": NOW_SECS, "expires": NOW_SECS + 3 * 3600,
            "allow_from": ["203.0.113.0/24", "2001:db8::1/128"], "domain": "", "image": "ubuntu-24.04",
            "sealed": "", "self_delete": "worker",
        })
    );
}

#[test]
fn the_capability_in_the_user_data_is_the_vms_and_names_the_place_of_its_attempt() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(post("/servers").fixture(412, "error.resource_unavailable"))
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let host = TestHost::new(script);
    send(&request(), &host).ok(201);
    let places: Vec<String> = host
        .requests()
        .iter()
        .filter(|it| it.url.ends_with("/servers"))
        .map(|it| {
            let creation: Value = serde_json::from_slice(&it.body).expect("JSON");
            let file = vm_file(&creation);
            assert_eq!(file["location"], creation["location"]);
            let token = file["capability"].as_str().expect("a capability");
            let keyring = super::support::world::keyring();
            let (claims, _) = keyring.verify(token, "mayfly", NOW_SECS).expect("a valid capability");
            assert_eq!(claims.scope, mayfly::keys::Scope::Vm);
            assert_eq!((claims.vm, claims.expires_secs), (vm_id(), None));
            claims.region
        })
        .collect();
    assert_eq!(places, ["fsn1", "nbg1"]);
}

#[test]
fn a_configured_address_and_vm_credential_decide_how_the_vm_reports_and_ends() {
    let app = Settings::usual()
        .with("PUBLIC_URL", "https://mayfly.example.com/")
        .with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner")
        .app();
    let host = TestHost::new(smooth());
    Call::post("/vms").token().json(&request()).send(&app, &host).ok(201);
    let creation = creation_of(&host);
    let file = vm_file(&creation);
    assert_eq!(file["worker"], "https://mayfly.example.com");
    assert_eq!(file["self_delete"], "provider");
    assert!(!creation.to_string().contains("secret-vm-token"), "the credential is fetched, never sent along");
}

#[test]
fn catalogue_and_preparations_run_side_by_side() {
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(preparing())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let host = TestHost::new(script);
    send(&request(), &host).ok(201);
    assert_eq!(host.most_in_flight(), 3);
    assert_eq!(host.requests().len(), 3 + 4 + 1 + 1 + 2, "a creation takes no more calls than these");
    assert!(host.sleeps_ms().is_empty());
}

#[test]
fn a_generated_name_that_is_taken_is_replaced_by_another() {
    let taken = || post("/servers").fixture(409, "error.name_taken");
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(taken())
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses());
    let host = TestHost::new(script);
    assert_eq!(send(&request(), &host).ok(201)["vm"]["name"], generated_name(1));
    assert_ne!(generated_name(0), generated_name(1));

    let script = (0..3).fold(Script::new().side_by_side(catalogue()), |script, _| {
        script.side_by_side(prepared()).then(taken())
    });
    let attempts = json!([{"server_type": "cx23", "location": "fsn1", "outcome": "provider_already_exists"}]);
    send(&request(), &TestHost::new(script)).is_problem_with(
        409,
        "name_taken",
        &format!("The name {} is taken in this account.", generated_name(2)),
        &json!({"attempts": attempts}),
    );
}

#[test]
fn a_name_of_the_users_that_is_taken_is_the_users_to_change() {
    let mut body = request();
    body["name"] = "my-box".into();
    let script = Script::new()
        .side_by_side(catalogue())
        .side_by_side(preparing())
        .then(post("/servers").fixture(409, "error.name_taken"))
        .in_order(creation::taken_back());
    send(&body, &TestHost::new(script)).is_problem_with(
        409,
        "name_taken",
        "The name my-box is taken in this account.",
        &json!({"attempts": [{"server_type": "cx23", "location": "fsn1", "outcome": "provider_already_exists"}]}),
    );
}
