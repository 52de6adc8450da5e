//! The agent's way to its model: what goes out under whose key, what comes back, what never passes, and how a VM comes to
//! its capability. What is counted is in `agent_budget`.

use mayfly::http::NoAnswer;
use mayfly::keys::{Claims, Scope};
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::upstream::{Asked, Upstream};
use super::support::world::{NOW_SECS, ORIGIN, Settings, VM, capability, claims, keyring, list_of_vm};

pub(super) const KEY: &str = "secret-default-anthropic-key";
const OAUTH: &str = "secret-given-oauth-token";
const MESSAGES: &str = "/vm/anthropic/v1/messages";

/// Agents ask through the Worker.
pub(super) fn settings() -> Settings {
    Settings::usual().with("AGENT_PROXY", "on").with("ANTHROPIC_API_KEY", KEY)
}

pub(super) fn token_of(vm: &str, owner: &str) -> String {
    let (vm, owner) = (vm.to_owned(), owner.to_owned());
    let expires_secs = Some(NOW_SECS + 60);
    keyring().signer().sign(&Claims { vm, owner, expires_secs, ..claims(Scope::Agent) })
}

fn token() -> String {
    token_of(VM, "ann")
}

fn good() -> Upstream {
    Upstream::gives(200, &[("content-type", "application/json")], r#"{"type":"message"}"#)
}

fn send(call: Call, settings: &Settings, upstream: &Upstream) -> Answer {
    call.upstream(upstream).send(&settings.app(), &TestHost::silent())
}

fn ask(target: &str) -> Call {
    Call::post(target).header("x-api-key", token()).bytes(r#"{"model":"m"}"#)
}

fn header<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let mut found = asked.headers.iter().filter(|(it, _)| *it == name);
    let first = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} stands twice");
    first
}

#[test]
fn a_question_goes_out_as_it_is_under_the_workers_key() {
    let upstream = good();
    let call = ask("/vm/anthropic/v1/messages?beta=true")
        .bearer(&token())
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "a-1,b-2")
        .header("content-type", "application/json")
        .header("user-agent", "claude-cli/2.1")
        .header("cookie", "session=1")
        .header("connection", "keep-alive, x-app")
        .header("host", "mayfly.example")
        .header("cf-connecting-ip", "203.0.113.7")
        .header("accept-encoding", "gzip, br")
        .header("x-forwarded-for", "203.0.113.7");
    let answer = send(call, &settings(), &upstream);
    assert_eq!((answer.status, answer.text()), (200, r#"{"type":"message"}"#));
    let [asked] = &upstream.asked()[..] else { panic!("one question") };
    assert_eq!(asked.line, "POST https://api.anthropic.com/v1/messages?beta=true");
    assert_eq!(asked.body, br#"{"model":"m"}"#);
    assert_eq!(asked.timeout_ms, 600_000);
    let mut names: Vec<&str> = asked.headers.iter().map(|it| it.0).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["accept-encoding", "anthropic-beta", "anthropic-version", "content-type", "user-agent", "x-api-key"]
    );
    assert_eq!(header(asked, "x-api-key"), Some(KEY));
    assert_eq!(header(asked, "anthropic-beta"), Some("a-1,b-2"));
    assert_eq!(header(asked, "accept-encoding"), Some("identity"));
}

#[test]
fn an_oauth_token_is_a_bearer_with_its_beta() {
    let settings = settings().without("ANTHROPIC_API_KEY").with("CLAUDE_CODE_OAUTH_TOKEN", OAUTH);
    for (betas, want) in [(None, "oauth-2025-04-20"), (Some("a-1"), "a-1,oauth-2025-04-20")] {
        let upstream = good();
        let call = betas.into_iter().fold(ask(MESSAGES), |call, it| call.header("anthropic-beta", it));
        assert_eq!(send(call, &settings, &upstream).status, 200);
        let asked = &upstream.asked()[0];
        assert_eq!(header(asked, "authorization"), Some(format!("Bearer {OAUTH}").as_str()));
        assert_eq!(header(asked, "anthropic-beta"), Some(want));
        assert_eq!(header(asked, "x-api-key"), None);
    }
}

#[test]
fn a_capability_counts_in_either_header() {
    for call in [
        Call::post(MESSAGES).bearer(&token()),
        Call::post(MESSAGES).header("x-api-key", token()),
        Call::post(MESSAGES).header("x-api-key", token()).bearer("something else"),
        Call::post(MESSAGES).header("x-api-key", "").bearer(&token()),
    ] {
        assert_eq!(send(call.bytes("{}"), &settings(), &good()).status, 200);
    }
}

#[test]
fn other_questions_that_are_counted_or_free_pass_too() {
    let settings = settings().with("AGENT_UPSTREAM_URL", "https://gateway.example/anthropic/");
    let settings = settings.with("AGENT_TIMEOUT_SECONDS", "30");
    for (method, path) in [
        ("POST", "v1/messages/count_tokens?beta=true"),
        ("GET", "v1/models?limit=1000"),
        ("GET", "v1/models/claude-opus-4-5"),
    ] {
        let upstream = good();
        let call = Call::new(method, &format!("/vm/anthropic/{path}")).header("x-api-key", token()).bytes("");
        assert_eq!(send(call, &settings, &upstream).status, 200, "{path}");
        let asked = &upstream.asked()[0];
        assert_eq!(asked.line, format!("{method} https://gateway.example/anthropic/{path}"));
        assert_eq!(asked.timeout_ms, 30_000);
    }
}

#[test]
fn nothing_else_of_the_api_is_there_and_tricks_find_nothing() {
    for (method, path, status) in [
        ("POST", "v1/messages/batches", 404),
        ("GET", "v1/files", 404),
        ("GET", "v1/organizations/me", 404),
        ("POST", "v1/complete", 404),
        ("GET", "", 404),
        ("GET", "api/hello", 404),
        ("POST", "v1/messages/../files", 404),
        ("POST", "v1/messages/%2e%2e/files", 404),
        ("POST", "v1//messages", 404),
        ("POST", "/v1/messages", 404),
        ("POST", "v1/messages/", 404),
        ("POST", "V1/MESSAGES", 404),
        ("POST", "v1/%6Dessages", 404),
        ("GET", "v1/models/..", 404),
        ("GET", "v1/models/%2E%2E%2Ffiles", 404),
        ("GET", "v1/models/a@evil.example", 404),
        ("GET", "v1/messages", 405),
        ("POST", "v1/models", 405),
        ("DELETE", "v1/messages", 405),
        ("PUT", "v1/messages", 405),
        ("POST", "v1/messages?x=1", 400),
        ("POST", "v1/messages?beta=true&beta=%0d", 400),
    ] {
        let upstream = good();
        let call =
            Call::new(method, &format!("/vm/anthropic/{path}")).header("x-api-key", token()).bytes("{}");
        let answer = send(call, &settings(), &upstream);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(upstream.asked().is_empty(), "{method} {path}");
    }
    let long = ask(MESSAGES).header("content-length", "33554433");
    send(long, &settings(), &good()).is_problem(413, "", "The request is longer than 32 MB.");
}

#[test]
fn refusals_have_the_shape_of_the_apis_own() {
    let no_token = send(Call::post(MESSAGES), &settings(), &good());
    assert_eq!(no_token.json()["error"]["type"], "authentication_error");
    let api_token = Call::post(MESSAGES).header("x-api-key", super::support::world::API_TOKEN);
    assert_eq!(send(api_token, &settings(), &good()).status, 401);
    for scope in [Scope::Vm, Scope::Backup, Scope::Prune] {
        let call = Call::post(MESSAGES).header("x-api-key", capability(scope));
        let answer = send(call, &settings(), &good());
        assert_eq!((answer.status, &answer.json()["error"]["type"]), (403, &json!("permission_error")));
    }
    let nobodys = Call::post(MESSAGES).header("x-api-key", capability(Scope::Agent));
    let why = "The capability does not say in whose name it asks.";
    send(nobodys, &settings(), &good()).is_problem(403, "", why);
    let late = ask(MESSAGES).send(&settings().app(), &TestHost::silent().at(NOW_SECS + 60));
    late.is_problem(401, "", "The capability is not valid here, or no longer.");
    let off = send(ask(MESSAGES), &Settings::usual().with("ANTHROPIC_API_KEY", KEY), &good());
    off.is_problem(404, "", "This Worker asks no model: AGENT_PROXY is not on.");
    let broken = send(ask(MESSAGES), &settings().without("SIGNING_KEY"), &good());
    assert_eq!((broken.status, &broken.json()["error"]["type"]), (503, &json!("api_error")));
}

#[test]
fn what_the_api_says_is_passed_on_with_what_its_client_goes_by() {
    let headers = [
        ("content-type", "application/json"),
        ("request-id", "req_1"),
        ("retry-after", "7"),
        ("x-should-retry", "true"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-organization-id", "whose"),
        ("set-cookie", "a=b"),
        ("connection", "close"),
        ("location", "https://evil.example"),
    ];
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for status in [400, 403, 404, 429, 500, 503, 529] {
        let answer = send(ask(MESSAGES), &settings(), &Upstream::gives(status, &headers, body));
        assert_eq!((answer.status, answer.text()), (status, body));
        let passed: Vec<&str> = answer.passed.iter().map(|it| it.0.as_str()).collect();
        let want = [
            "content-type",
            "request-id",
            "retry-after",
            "x-should-retry",
            "anthropic-ratelimit-tokens-remaining",
        ];
        assert_eq!(passed, want);
    }
}

#[test]
fn an_api_that_cannot_be_asked_is_a_bad_gateway() {
    for (upstream, status, why) in [
        (Upstream::fails(NoAnswer::TimedOut), 504, "The model's API did not begin to answer within 600 s."),
        (Upstream::fails(NoAnswer::Broken), 502, "The model's API cannot be reached."),
        (Upstream::gives(401, &[], "{}"), 502, "The model's API refuses the Worker's key."),
        (Upstream::gives(307, &[("location", "x")], ""), 502, "The model's API is at another address."),
    ] {
        let host = TestHost::silent();
        let answer = ask(MESSAGES).upstream(&upstream).send(&settings().app(), &host);
        answer.is_problem(status, "", why);
        assert!(host.log_lines().iter().any(|it| it["event"] == "problem"), "whoever runs it hears of it");
        assert!(answer.passed.is_empty());
    }
}

fn boot(settings: &Settings, sealed: &Value, server: Server) -> Value {
    let server = server.label("mayfly-phase", "docker").set("created", "2026-11-20T09:59:00Z");
    let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(&[server]))));
    let sealed = keyring().signer().seal(sealed.to_string().as_bytes(), "mayfly", VM, [7; 12]);
    let call =
        Call::post("/vm/boot").bearer(&capability(Scope::Vm)).header("cf-connecting-ip", "203.0.113.7");
    call.json(&json!({ "sealed": sealed })).reveals().send(&settings.app(), &host).ok(200)
}

fn given(more: &Value) -> Value {
    let mut secrets =
        json!({"git_token": "", "anthropic_api_key": "", "claude_code_oauth_token": "", "env": {}});
    for (name, value) in more.as_object().expect("members") {
        secrets[name] = value.clone();
    }
    secrets
}

#[test]
fn a_vm_gets_a_capability_in_place_of_the_key() {
    let got = boot(&settings(), &given(&json!({"env": {"A": "b"}})), Server::ours());
    assert!(!got.to_string().contains(KEY), "the key stays with the Worker");
    assert_eq!(got["env"], json!({"A": "b", "ANTHROPIC_BASE_URL": format!("{ORIGIN}/vm/anthropic")}));
    assert_eq!(got["claude_code_oauth_token"], "");
    let token = got["anthropic_api_key"].as_str().expect("a token");
    let (claims, _) = keyring().verify(token, "mayfly", NOW_SECS).expect("a capability");
    assert_eq!((claims.scope, claims.vm.as_str(), claims.owner.as_str()), (Scope::Agent, VM, "default"));
    assert_eq!(claims.expires_secs, Some(NOW_SECS + 1800));
    let call = Call::post(MESSAGES).header("x-api-key", token).bytes("{}");
    assert_eq!(send(call, &settings(), &good()).status, 200);
    let oauth = settings().with("CLAUDE_CODE_OAUTH_TOKEN", OAUTH);
    assert!(!boot(&oauth, &given(&json!({})), Server::ours()).to_string().contains(OAUTH));
    let elsewhere = settings().with("PUBLIC_URL", "https://worker.example");
    let got = boot(&elsewhere, &given(&json!({})), Server::ours());
    assert_eq!(got["env"]["ANTHROPIC_BASE_URL"], "https://worker.example/vm/anthropic");
}

#[test]
fn a_key_of_ones_own_goes_its_own_way() {
    for own in [
        json!({"anthropic_api_key": "secret-given-key"}),
        json!({"claude_code_oauth_token": "secret-given-oauth"}),
    ] {
        let got = boot(&settings(), &given(&own), Server::ours());
        assert_eq!(got["env"], json!({}));
        let (name, value) = own.as_object().and_then(|it| it.iter().next()).expect("a key");
        assert_eq!(got[name], *value);
        assert!(!got.to_string().contains("mfc1."));
    }
    // A capability goes to no other address, and beside no other key.
    for name in ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]
    {
        let own = json!({"env": {name: "https://gateway.example"}});
        let got = boot(&settings(), &given(&own), Server::ours());
        assert_eq!(got["env"], own["env"]);
        assert!(!got.to_string().contains("mfc1."), "{name}");
        // Nor does the Worker's key, whether its agents ask through it or not.
        for off in ["on", "off"] {
            let oauth = settings().with("CLAUDE_CODE_OAUTH_TOKEN", OAUTH).with("AGENT_PROXY", off);
            let got = boot(&oauth, &given(&own), Server::ours()).to_string();
            assert!(!got.contains(KEY) && !got.contains(OAUTH), "{name} {off}");
        }
    }
    let golden = boot(&settings(), &given(&json!({})), Server::ours().label("mayfly-golden", "yes"));
    assert!(!golden.to_string().contains("mfc1.") && !golden.to_string().contains(KEY));
}

fn renew(settings: &Settings, servers: &[Server]) -> Answer {
    let host = TestHost::new(Script::new().then(get(list_of_vm()).gives(200, &only(servers))));
    let call = Call::post("/vm/token").bearer(&capability(Scope::Vm));
    call.json(&json!({"scope": "agent"})).send(&settings.app(), &host)
}

#[test]
fn a_capability_is_renewed_for_as_long_as_there_is_the_vm() {
    let got = renew(&settings(), &[Server::ours().label("mayfly-owner", "ann")]).ok(200);
    assert_eq!(got["expires"], NOW_SECS + 1800);
    assert_eq!(got["base_url"], format!("{ORIGIN}/vm/anthropic"));
    let (claims, _) =
        keyring().verify(got["token"].as_str().expect("a token"), "mayfly", NOW_SECS).expect("one");
    assert_eq!((claims.scope, claims.owner.as_str()), (Scope::Agent, "ann"));
    renew(&settings(), &[]).is_problem(404, "vm_not_found", "No server carries this VM's label.");
    let off = renew(&Settings::usual(), &[Server::ours()]);
    off.is_problem(404, "agent_proxy_off", "The agent of this VM asks no model through the Worker.");
}
