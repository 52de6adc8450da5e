//! Cloudflare Access as identity: whose assertion is believed, which owner comes of it, and when the team's keys are asked for.
//! That the platform checks signatures as it should is tested on the platform (tests/e2e/access.test.mjs).

use mayfly::App;
use mayfly::encoding::base64url;
use mayfly::http::NoAnswer;
use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::fixtures::{Server, only};
use super::support::host::{TestHost, signature};
use super::support::script::{Exchange, Script, get};
use super::support::world::{
    ACCESS_AUD, ACCESS_TEAM, ANNS_TOKEN, NOW_SECS, ORIGIN, PAGE_ORIGIN, Settings, list_of_all, list_of_owner,
    sha256_hex,
};

const HEADER: &str = "cf-access-jwt-assertion";
const OWNER: &str = "ann.lee__example.com";

fn app() -> App {
    Settings::usual().with_access().app()
}

/// A modulus of 2048 bits, as good as any for [`TestHost`].
fn modulus(seed: u8) -> String {
    base64url(&[seed; 256])
}

fn jwk(kid: &str, seed: u8) -> Value {
    json!({"kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB", "n": modulus(seed)})
}

fn certs(keys: &[Value]) -> Exchange {
    let answer = json!({"keys": keys, "public_cert": {}, "public_certs": []});
    get(format!("{ACCESS_TEAM}/cdn-cgi/access/certs")).gives(200, &answer)
}

fn claims() -> Value {
    json!({"aud": [ACCESS_AUD], "email": "Ann.Lee@example.com", "exp": NOW_SECS + 60, "iat": NOW_SECS - 60,
        "nbf": NOW_SECS - 60, "iss": ACCESS_TEAM, "type": "app", "sub": "7335d417", "country": "DE"})
}

fn signed(header: &Value, claims: &Value, seed: u8) -> String {
    let signed =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = signature(&modulus(seed), &signed);
    format!("{signed}.{}", base64url(&signature))
}

fn token(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("claims").retain(|_, it| !it.is_null());
    signed(&json!({"alg": "RS256", "kid": "one", "typ": "JWT"}), &claims, 1)
}

fn ask(app: &App, token: &str, script: Script) -> Answer {
    Call::get("/vms").header(HEADER, token).send(app, &TestHost::new(script))
}

fn denied(app: &App, token: &str, script: Script, why: &str) {
    let answer = ask(app, token, script);
    answer.is_problem(401, "unauthorized", &format!("The token of Cloudflare Access {why}."));
    assert!(!answer.text().contains(token));
}

fn vms_of(owner: &str) -> Exchange {
    get(list_of_owner(owner)).gives(200, &only(&[]))
}

#[test]
fn whoever_access_let_in_is_the_owner_of_their_address() {
    let app = app();
    let script = Script::new()
        .then(certs(&[jwk("zero", 7), jwk("one", 1)]))
        .then(get(list_of_owner(OWNER)).gives(200, &only(&[Server::ours().label("mayfly-owner", OWNER)])));
    assert_eq!(ask(&app, &token(&json!({})), script).ok(200)["vms"][0]["owner"], OWNER);
    // The keys are known now; one audience may stand alone.
    let again = Script::new().then(vms_of(OWNER));
    ask(&app, &token(&json!({"aud": ACCESS_AUD, "nbf": null})), again).ok(200);
    let other = Script::new().then(vms_of("bob__example.com"));
    ask(&app, &token(&json!({"email": "bob@example.com"})), other).ok(200);
}

#[test]
fn what_a_token_lacks_is_told_and_nobody_is_recognised() {
    let app = app();
    ask(&app, &token(&json!({})), Script::new().then(certs(&[jwk("one", 1)])).then(vms_of(OWNER))).ok(200);
    for (changes, why) in [
        (json!({"iss": "https://another.cloudflareaccess.com"}), "is of another team"),
        (json!({"iss": format!("{ACCESS_TEAM}/")}), "is of another team"),
        (json!({"aud": ["0".repeat(64)]}), "is for another application"),
        (json!({"aud": []}), "is for another application"),
        (json!({"exp": NOW_SECS}), "has expired"),
        (json!({"nbf": NOW_SECS + 61}), "is not valid yet"),
        (json!({"exp": null}), "lacks a claim"),
        (json!({"aud": null}), "lacks a claim"),
        (json!({"exp": "tomorrow"}), "lacks a claim"),
        (
            json!({"email": null, "common_name": "x.access"}),
            "names no e-mail address; programs use an API token",
        ),
        (json!({"email": ""}), "names no e-mail address; programs use an API token"),
        (json!({"email": "ann"}), "names no e-mail address; programs use an API token"),
    ] {
        denied(&app, &token(&changes), Script::new(), why);
    }
    let header = |header: Value| signed(&header, &claims(), 1);
    let rs256 = "is not signed with RS256";
    for (token, why) in [
        (header(json!({"alg": "none", "kid": "one"})), rs256),
        (header(json!({"alg": "HS256", "kid": "one"})), rs256),
        (header(json!({"alg": "RS512", "kid": "one"})), rs256),
        (header(json!({"alg": "rs256", "kid": "one"})), rs256),
        (header(json!({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": false})), rs256),
        (header(json!({"kid": "one"})), "is no JWT"),
        (header(json!({"alg": "RS256", "kid": "two"})), "is signed with a key that the team does not have"),
        (header(json!({"alg": "RS256"})), "is signed with a key that the team does not have"),
        (
            signed(&json!({"alg": "RS256", "kid": "one"}), &claims(), 2),
            "has a signature that is not the team's",
        ),
        (
            header(json!({"alg": "RS256", "kid": "one"}))
                .rsplit_once('.')
                .map(|it| format!("{}.", it.0))
                .expect("parts"),
            "has a signature that is not the team's",
        ),
        ("x".to_owned(), "is no JWT"),
        ("..".to_owned(), "is no JWT"),
        ("x".repeat(20_000), "is no JWT"),
        (ANNS_TOKEN.to_owned(), "is no JWT"),
    ] {
        denied(&app, &token, Script::new(), why);
    }
}

#[test]
fn an_unknown_key_is_asked_after_once_a_minute_and_every_key_once_an_hour() {
    let app = app();
    let at = |secs: u64, kid: &str, seed: u8, script: Script| {
        let claims = json!({"aud": ACCESS_AUD, "email": "ann.lee@example.com", "exp": NOW_SECS + 9000, "iss": ACCESS_TEAM});
        let token = signed(&json!({"alg": "RS256", "kid": kid}), &claims, seed);
        let host = TestHost::new(script).at(NOW_SECS + secs);
        Call::get("/vms").header(HEADER, token).send(&app, &host).status
    };
    let (one, two) = ([jwk("one", 1)], [jwk("two", 2), jwk("one", 1)]);
    assert_eq!(at(0, "one", 1, Script::new().then(certs(&one)).then(vms_of(OWNER))), 200);
    // Rotated: until a minute is over the new key is unknown, and nobody is asked.
    assert_eq!(at(59, "two", 2, Script::new()), 401);
    assert_eq!(at(60, "two", 2, Script::new().then(certs(&two)).then(vms_of(OWNER))), 200);
    assert_eq!(at(61, "three", 3, Script::new()), 401);
    assert_eq!(at(3659, "one", 1, Script::new().then(vms_of(OWNER))), 200);
    // An hour later the team is asked again, and a key that it took back is no key any more.
    assert_eq!(at(3660, "one", 1, Script::new().then(certs(&two[..1]))), 401);
    assert_eq!(at(3661, "two", 2, Script::new().then(vms_of(OWNER))), 200);
}

#[test]
fn keys_that_cannot_be_read_are_no_fault_of_the_callers() {
    let url = || get(format!("{ACCESS_TEAM}/cdn-cgi/access/certs"));
    let small = json!({"kid": "one", "kty": "RSA", "e": "AQAB", "n": base64url(&[1; 128])});
    let symmetric = json!({"kid": "one", "kty": "oct", "alg": "HS256", "k": "AAAA"});
    let unfit = |key: Value| url().gives(200, &json!({"keys": [key]}));
    for failing in [
        url().lost(NoAnswer::Broken),
        url().lost(NoAnswer::TimedOut),
        url().answers(500, "{}"),
        url().answers(302, ""),
        url().answers(200, "<html>"),
        url().gives(200, &json!({"keys": []})),
        unfit(small),
        unfit(symmetric),
        url().answers(200, format!("{}{}", json!({"keys": [jwk("one", 1)]}), " ".repeat(70_000))),
    ] {
        let app = app();
        let answer = ask(&app, &token(&json!({})), Script::new().then(failing));
        assert_eq!(answer.kind(), (503, "access_unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("5"));
        // Nobody is asked again at once, and then it works.
        assert_eq!(ask(&app, &token(&json!({})), Script::new()).status, 503);
        let host =
            TestHost::new(Script::new().then(certs(&[jwk("one", 1)])).then(vms_of(OWNER))).at(NOW_SECS + 5);
        Call::get("/vms").header(HEADER, token(&json!({}))).send(&app, &host).ok(200);
    }
}

#[test]
fn a_token_counts_beside_it_and_before_it() {
    let app = app();
    let anns = Call::get("/vms").anns().header(HEADER, "whatever");
    anns.send(&app, &TestHost::new(Script::new().then(vms_of("ann")))).ok(200);
    let wrong = Call::get("/vms").bearer("a-wrong-token-of-some-length").header(HEADER, token(&json!({})));
    wrong.send(&app, &TestHost::silent()).is_problem(
        401,
        "unauthorized",
        "The bearer token is not known here.",
    );
    Call::get("/vms").send(&app, &TestHost::silent()).is_problem(
        401,
        "unauthorized",
        "Come through Cloudflare Access, or send an API token as 'Authorization: Bearer <token>'.",
    );
    // Without a configuration the header says nothing, whoever sent it.
    let plain = Settings::usual().app();
    let answer = ask(&plain, &token(&json!({})), Script::new());
    answer.is_problem(401, "unauthorized", "Send the API token as 'Authorization: Bearer <token>'.");
    // And no route of a VM's is anybody's.
    let vm = Call::post("/vm/boot").header(HEADER, token(&json!({}))).send(&app, &TestHost::silent());
    assert_eq!(vm.status, 401);
}

#[test]
fn a_page_that_may_not_call_acts_for_nobody() {
    let app = app();
    ask(&app, &token(&json!({})), Script::new().then(certs(&[jwk("one", 1)])).then(vms_of(OWNER))).ok(200);
    let from = |origin: &str, script: Script| {
        let call =
            Call::delete("/vms?confirm=all").header(HEADER, token(&json!({}))).header("origin", origin);
        call.send(&app, &TestHost::new(script))
    };
    for origin in
        ["https://evil.example", "null", "https://mayfly.pages.dev.evil.example", "http://mayfly.pages.dev"]
    {
        let answer = from(origin, Script::new());
        assert_eq!(answer.kind(), (401, "unauthorized".to_owned()), "{origin}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    for origin in [ORIGIN, PAGE_ORIGIN] {
        let nothing =
            Script::new().then(vms_of(OWNER)).then(super::snapshots::images(&[("mayfly-owner", OWNER)], &[]));
        from(origin, nothing).ok(200);
    }
    let page = Call::new("OPTIONS", "/vms")
        .header("access-control-request-method", "GET")
        .header("origin", PAGE_ORIGIN);
    assert_eq!(page.send(&app, &TestHost::silent()).header("access-control-allow-credentials"), Some("true"));
    // Nowhere else is a browser told to send its cookies.
    let call = Call::get("/healthz").header("origin", PAGE_ORIGIN);
    let plain = call.send(&Settings::usual().app(), &TestHost::silent());
    assert_eq!(plain.header("access-control-allow-credentials"), None);
    assert_eq!(plain.ok(200)["access"], false);
}

#[test]
fn admins_and_ceilings_go_by_the_address() {
    let tokens =
        json!({"bob@example.com": {"max_vms": 0}, "cyd@example.com": {"sha256": sha256_hex(ANNS_TOKEN)}});
    let app = Settings::usual()
        .with_access()
        .with("ACCESS_ADMINS", "Ann.Lee@Example.com, dan@example.com")
        .with("API_TOKENS", tokens.to_string())
        .app();
    let all = || get(list_of_all()).gives(200, &only(&[Server::ours()]));
    let seen = ask(&app, &token(&json!({})), Script::new().then(certs(&[jwk("one", 1)])).then(all()));
    assert_eq!(seen.ok(200)["totals"]["count"], 1, "an admin sees everybody's");
    let bobs = token(&json!({"email": "bob@example.com"}));
    let script = Script::new().side_by_side(super::support::creation::catalogue()).then(all());
    let refused =
        Call::post("/vms").header(HEADER, bobs).json(&json!({"repo_url": "https://github.com/o/r"}));
    let refused = refused.send(&app, &TestHost::new(script));
    assert_eq!(refused.kind(), (429, "ceiling_reached".to_owned()));
    // A token of the same person is the same owner.
    Call::get("/vms")
        .anns()
        .send(&app, &TestHost::new(Script::new().then(vms_of("cyd__example.com"))))
        .ok(200);
}

#[test]
fn a_configuration_of_access_that_is_not_whole_or_not_right_is_told() {
    let problems = |settings: Settings| {
        let answer = Call::get("/vms").token().send(&settings.app(), &TestHost::silent());
        assert_eq!(answer.kind(), (503, "misconfigured".to_owned()));
        let errors = answer.json()["errors"].as_array().cloned().expect("errors");
        errors.iter().map(|it| it["field"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let (usual, whole) = (Settings::usual, || Settings::usual().with_access());
    assert_eq!(problems(whole().without("ACCESS_AUD")), ["ACCESS_AUD"]);
    assert_eq!(problems(whole().without("ACCESS_TEAM_DOMAIN")), ["ACCESS_TEAM_DOMAIN"]);
    assert_eq!(problems(usual().with("ACCESS_ADMINS", "a@b.example")), ["ACCESS_TEAM_DOMAIN"]);
    for team in [
        "riverside",
        "http://riverside.cloudflareaccess.com",
        "https://",
        "https://a.example/x",
        "https://A.example",
    ] {
        assert_eq!(problems(whole().with("ACCESS_TEAM_DOMAIN", team)), ["ACCESS_TEAM_DOMAIN"], "{team}");
    }
    assert_eq!(problems(whole().with("ACCESS_AUD", "my application")), ["ACCESS_AUD"]);
    assert_eq!(problems(whole().with("ACCESS_ADMINS", "ann")), ["ACCESS_ADMINS"]);
    let two = json!({"a@b.example": {}, "A@b.example": {}}).to_string();
    assert_eq!(problems(whole().with("API_TOKENS", two)), ["API_TOKENS"]);
    assert_eq!(problems(usual().with("API_TOKENS", r#"{"a@b.example":{}}"#)), ["API_TOKENS"], "no Access");
    // Access alone is enough: nobody needs a token then.
    let alone = Settings::usual().without("API_TOKEN").without("API_TOKENS").with_access().app();
    assert!(alone.ready().is_ok());
}
