//! The boot exchange: what it gives to a VM, and everything that closes it.

use mayfly::keys::Scope;
use serde_json::{Value, json};

use super::support::call::{Answer, Call, TestBody};
use super::support::creation::{private_key, request, signer, smooth};
use super::support::failure;
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Exchange, Script, get};
use super::support::world::{NOW_SECS, Settings, VM, app, capability, claims, keyring, list_of_vm};

const IPV4: &str = "203.0.113.7";

/// Our VM a minute after its creation.
fn booting() -> Server {
    Server::ours().label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z")
}

fn found(server: &Server) -> Exchange {
    get(list_of_vm()).gives(200, &only(std::slice::from_ref(server)))
}

fn exchange(app: &mayfly::App, host: &TestHost, address: &str, sealed: &str) -> Answer {
    Call::post("/vm/boot")
        .bearer(&capability(Scope::Vm))
        .header("cf-connecting-ip", address)
        .json(&json!({ "sealed": sealed }))
        .reveals()
        .send(app, host)
}

fn boot(server: &Server, address: &str) -> Answer {
    exchange(&app(), &TestHost::new(Script::new().then(found(server))), address, "")
}

fn seal(plain: &Value, deployment: &str, vm: &str) -> String {
    signer().seal(plain.to_string().as_bytes(), deployment, vm, [7; 12])
}

fn secrets() -> Value {
    json!({"git_token": "secret-given-git", "anthropic_api_key": "", "claude_code_oauth_token": "secret-given-oauth",
           "env": {"NPM_TOKEN": "secret-given-npm"}})
}

/// Defaults for every secret.
fn configured() -> mayfly::App {
    Settings::usual()
        .with("GIT_TOKEN", "secret-default-git-token")
        .with("ANTHROPIC_API_KEY", "secret-default-anthropic-key")
        .with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner")
        .app()
}

/// The exchange without the workspace's scripts, which come with it: an archive for everybody.
fn secrets_of(answer: &Answer) -> Value {
    use base64::Engine as _;
    let mut body = answer.ok(200);
    let workspace = body.as_object_mut().and_then(|it| it.remove("workspace")).expect("the scripts");
    let archive = base64::engine::general_purpose::STANDARD.decode(workspace.as_str().expect("text"));
    assert_eq!(archive.expect("base64").first_chunk(), Some(&[0x1f, 0x8b]), "gzip");
    body
}

#[test]
fn a_vm_without_given_secrets_gets_its_own_and_the_defaults() {
    let own = json!({
        "password": signer().password(VM).expose(),
        "link_key": mayfly::encoding::base64url(&signer().link_key(VM)),
        "git_token": "", "anthropic_api_key": "", "claude_code_oauth_token": "", "env": {},
        "provider_credential": "", "backup_password": "", "backup_s3_secret": "", "restore": "",
    });
    assert_eq!(secrets_of(&boot(&booting(), IPV4)), own);
    let mut want = own;
    want["git_token"] = "secret-default-git-token".into();
    want["anthropic_api_key"] = "secret-default-anthropic-key".into();
    want["provider_credential"] = "secret-vm-token-of-hetzner".into();
    let host = TestHost::new(Script::new().then(found(&booting())));
    assert_eq!(secrets_of(&exchange(&configured(), &host, IPV4, "")), want);
}

#[test]
fn given_secrets_go_before_the_defaults() {
    let host = TestHost::new(Script::new().then(found(&booting())));
    let got = exchange(&configured(), &host, IPV4, &seal(&secrets(), "mayfly", VM)).ok(200);
    assert_eq!(got["git_token"], "secret-given-git");
    assert_eq!(got["claude_code_oauth_token"], "secret-given-oauth");
    assert_eq!(got["anthropic_api_key"], "", "one credential for the agent, the one that was chosen");
    assert_eq!(got["env"], json!({"NPM_TOKEN": "secret-given-npm"}));
}

#[test]
fn a_given_environment_alone_leaves_the_defaults() {
    let plain =
        json!({"git_token": "", "anthropic_api_key": "", "claude_code_oauth_token": "", "env": {"A": "b"}});
    let host = TestHost::new(Script::new().then(found(&booting())));
    let got = exchange(&configured(), &host, IPV4, &seal(&plain, "mayfly", VM)).ok(200);
    assert_eq!(got["anthropic_api_key"], "secret-default-anthropic-key");
    assert_eq!(got["git_token"], "secret-default-git-token");
    assert_eq!(got["env"], json!({"A": "b"}));
}

#[test]
fn what_a_creation_sealed_the_exchange_of_its_vm_opens() {
    let mut body = request();
    let key = private_key("none", "\n");
    body["repo_url"] = "git@github.com:o/r".into();
    // As a form's field of one line sends it.
    body["git_token"] = key.replace('\n', "").into();
    body["env"] = json!({"A": "secret-given-with \"quotes\",\nlines and ümläuts", "EMPTY": ""});
    let host = TestHost::new(smooth());
    let password = Call::post("/vms").token().json(&body).send(&app(), &host).ok(201)["password"].clone();
    let sent = host.requests().into_iter().find(|it| it.url.ends_with("/servers")).expect("a creation");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    let file = super::support::user_data::vm_file(sent["user_data"].as_str().expect("user data"));
    let vm = file["vm"].as_str().expect("an id");

    let server = booting().label("mayfly-vm", vm);
    let target = list_of_vm().replace(VM, vm);
    let host = TestHost::new(Script::new().then(get(target).gives(200, &only(&[server]))));
    let got = Call::post("/vm/boot")
        .bearer(file["capability"].as_str().expect("a capability"))
        .header("cf-connecting-ip", IPV4)
        .json(&json!({"sealed": file["sealed"]}))
        .reveals()
        .send(&app(), &host)
        .ok(200);
    assert_eq!(got["password"], password, "the one that the creation showed");
    assert_eq!(got["git_token"], key, "as ssh-keygen writes it");
    assert_eq!(got["env"], body["env"]);
}

#[test]
fn sealed_secrets_open_only_for_their_vm_their_deployment_and_unchanged() {
    let good = seal(&secrets(), "mayfly", VM);
    let mut flipped = good.clone();
    let last = if flipped.pop() == Some('A') { 'Q' } else { 'A' };
    flipped.push(last);
    for (what, sealed) in [
        ("another VM's", seal(&secrets(), "mayfly", "zzzzzzzzzzzzzzzzzzzzzzzzzz")),
        ("another deployment's", seal(&secrets(), "other", VM)),
        ("changed", flipped),
        ("cut", good[..good.len() - 9].to_owned()),
        ("of a key that is gone", good.replacen("k1.", "k9.", 1)),
        ("no ciphertext", "k1.AAAA".into()),
        ("nothing like it", "hunter2".into()),
        ("not our JSON", signer().seal(b"[1]", "mayfly", VM, [7; 12])),
    ] {
        let host = TestHost::new(Script::new().then(found(&booting())));
        let answer = exchange(&app(), &host, IPV4, &sealed);
        let detail = "cannot be opened: it was sealed for another VM, or with a key that is gone";
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{what}");
        assert_eq!(answer.json()["errors"], json!([{"field": "sealed", "detail": detail}]), "{what}");
    }
}

#[test]
fn the_exchange_closes_when_the_vms_own_setup_is_done() {
    for phase in ["booting", "docker", "clone"] {
        assert_eq!(boot(&booting().label("mayfly-phase", phase), IPV4).status, 200, "{phase}");
    }
    for phase in ["devcontainer", "ui", "ready", "failed", "stopping"] {
        boot(&booting().label("mayfly-phase", phase), IPV4).is_problem(
            403,
            "boot_closed",
            "The boot exchange is closed: the VM's own setup is done.",
        );
    }
}

#[test]
fn the_exchange_closes_ten_minutes_after_the_creation() {
    assert_eq!(boot(&booting().set("created", "2026-11-20T09:50:00Z"), IPV4).status, 200);
    for created in ["2026-11-20T09:49:59Z", "2026-11-19T10:00:00Z", "yesterday"] {
        boot(&booting().set("created", created), IPV4).is_problem(
            403,
            "boot_closed",
            "The boot exchange is closed: the VM was created more than ten minutes ago.",
        );
    }
}

#[test]
fn the_exchange_is_open_only_from_the_servers_own_addresses() {
    for own in [IPV4, "2001:db8:47:11::1", "2001:db8:47:11:ffff:ffff:ffff:ffff", "2001:DB8:47:11:0::2"] {
        assert_eq!(boot(&booting(), own).status, 200, "{own}");
    }
    let foreign = [
        "203.0.113.8",
        "2001:db8:47:12::1",
        "::ffff:203.0.113.7",
        "10.0.0.2",
        "",
        "203.0.113.7, 10.0.0.1",
        "203.0.113.7 ",
        "localhost",
    ];
    for address in foreign {
        boot(&booting(), address).is_problem(
            403,
            "boot_closed",
            "The boot exchange is closed: the caller's address is not the server's own.",
        );
    }
    for server in [booting().ipv4(None).ipv6(None), booting().ipv4(None).ipv6(Some("garbage"))] {
        for address in [IPV4, "2001:db8:47:11::1", "::1", "0.0.0.0", "::"] {
            assert_eq!(boot(&server, address).kind(), (403, "boot_closed".to_owned()), "{address}");
        }
    }
    // Of a network that it shares with strangers a server has one address.
    let shared = booting().ipv4(None).ipv6(Some("2001:db8:47:11::7/128"));
    assert_eq!(boot(&shared, "2001:db8:47:11::8").kind(), (403, "boot_closed".to_owned()));
    boot(&shared, "2001:db8:47:11::7").ok(200);
    let host = TestHost::new(Script::new().then(found(&booting())));
    let answer = Call::post("/vm/boot").bearer(&capability(Scope::Vm)).bytes("{}").send(&app(), &host);
    assert_eq!(answer.kind(), (403, "boot_closed".to_owned()), "no address at all");
}

#[test]
fn a_body_that_is_not_the_exchanges_is_refused_before_any_call() {
    for body in ["", "{", "[]x", "{\"sealed\":1}", "{\"sealed\":\"\",\"more\":1}", "null", "\"x\""] {
        let answer = Call::post("/vm/boot")
            .bearer(&capability(Scope::Vm))
            .bytes(body)
            .send(&app(), &TestHost::silent());
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()), "{body}");
    }
    for (body, status) in [(TestBody::Bytes(vec![b' '; 2_000_000]), 413), (TestBody::Broken, 400)] {
        let answer = Call::post("/vm/boot")
            .bearer(&capability(Scope::Vm))
            .body(body)
            .send(&app(), &TestHost::silent());
        assert_eq!(answer.status, status);
    }
}

#[test]
fn a_capability_without_a_server_gets_nothing() {
    let others = [
        Vec::new(),
        vec![Server::foreign()],
        vec![booting().label("mayfly-vm", "zzzzzzzzzzzzzzzzzzzzzzzzzz")],
        vec![booting().label("mayfly-deployment", "other")],
        vec![booting().label("managed-by", "terraform")],
    ];
    for servers in others {
        let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&servers))));
        exchange(&app(), &host, IPV4, "").is_problem(
            404,
            "vm_not_found",
            "No server carries this VM's label.",
        );
    }
}

#[test]
fn a_provider_that_fails_opens_nothing() {
    for failure in &failure::ALL {
        let calls = (0..failure.tries).map(|_| failure.of(get(list_of_vm())));
        let host = TestHost::new(Script::new().in_order(calls));
        let answer = exchange(&app(), &host, IPV4, "");
        assert_eq!(answer.kind(), (failure.status, failure.code.to_owned()), "{}", failure.what);
    }
}

#[test]
fn a_capability_for_a_provider_that_is_not_configured_says_so() {
    let mut other = claims(Scope::Vm);
    other.provider = "scaleway".into();
    let token = keyring().signer().sign(&other);
    let answer = Call::post("/vm/boot").bearer(&token).bytes("{}").send(&app(), &TestHost::silent());
    answer.is_problem(503, "provider_not_configured", "The VM's provider is not configured in this Worker.");
}

#[test]
fn after_a_key_rotation_the_vm_keeps_its_password() {
    let rotated = Settings::usual()
        .with("SIGNING_KEY", "k2:ffffffffffffffffffffffffffffffff,k1:0123456789abcdef0123456789abcdef")
        .app();
    let host = TestHost::new(Script::new().then(found(&booting())));
    let got = exchange(&rotated, &host, IPV4, &seal(&secrets(), "mayfly", VM)).ok(200);
    assert_eq!(got["password"], signer().password(VM).expose());
    assert_eq!(got["git_token"], "secret-given-git");
    assert_eq!(NOW_SECS % 60, 0);
}
