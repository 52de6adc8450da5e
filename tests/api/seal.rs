//! Sealed secrets: what is sealed for an owner reaches that owner's VM as if it had been typed, and nobody else's.

use serde_json::{Value, json};

use super::support::call::{Answer, Call};
use super::support::creation::{request, smooth};
use super::support::host::TestHost;
use super::support::world::{ANNS_TOKEN, API_TOKEN, ROOTS_TOKEN, SIGNING_KEY, Settings, app};

const SECRET: &str = "secret-given-anthropic";
const REFUSED: &str = "is sealed, and does not open here for you: it is damaged, of another owner or deployment, or its key is gone; give the secret itself";

fn seal(settings: &Settings, token: &str, secret: &str, seed: u64) -> String {
    let body = json!({"secret": secret});
    let call = Call::post("/seal").bearer(token).json(&body);
    let answer = call.send(&settings.app(), &TestHost::silent().seeded(seed)).ok(200);
    answer["sealed"].as_str().expect("a text").to_owned()
}

fn create(settings: &Settings, token: &str, more: &Value, host: &TestHost) -> Answer {
    let mut body = request();
    for (key, value) in more.as_object().expect("fields") {
        body[key] = value.clone();
    }
    Call::post("/vms").bearer(token).json(&body).send(&settings.app(), host)
}

/// What the VM's part of the user data opens to.
fn given(settings: &Settings, token: &str, more: &Value) -> Value {
    let host = TestHost::new(smooth());
    create(settings, token, more, &host).ok(201);
    let sent = host.requests().into_iter().find(|it| it.url.ends_with("/servers")).expect("a creation");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    let user_data = sent["user_data"].as_str().expect("user data");
    let file = super::support::user_data::vm_file(user_data);
    let app = settings.app();
    let keys = &app.ready().expect("a configuration").config.keys;
    let (sealed, vm) = (file["sealed"].as_str().expect("a text"), file["vm"].as_str().expect("an id"));
    let plain = keys.open(sealed, "mayfly", vm).expect("sealed for this VM");
    serde_json::from_slice(&plain).expect("JSON")
}

#[test]
fn a_sealed_secret_is_as_good_as_the_secret_itself() {
    let settings = Settings::usual();
    let [key, git, of_env] = [(SECRET, 1), ("secret-given-git", 2), ("secret-given ümläut\nof two lines", 3)]
        .map(|(it, seed)| seal(&settings, API_TOKEN, it, seed));
    let body = json!({"anthropic_api_key": key, "git_token": git, "env": {"A": of_env, "B": "plain"}});
    let got = given(&settings, API_TOKEN, &body);
    assert_eq!(got["anthropic_api_key"], SECRET);
    assert_eq!(got["git_token"], "secret-given-git");
    assert_eq!(got["env"], json!({"A": "secret-given ümläut\nof two lines", "B": "plain"}));
    let oauth = seal(&settings, API_TOKEN, "secret-given-oauth", 4);
    let got = given(&settings, API_TOKEN, &json!({"claude_code_oauth_token": oauth}));
    assert_eq!(got["claude_code_oauth_token"], "secret-given-oauth");
    // Sealed twice it is another text each time, and nothing of the secret is in either.
    assert_ne!(key, seal(&settings, API_TOKEN, SECRET, 5));
    assert!(!key.contains("secret"));
}

#[test]
fn it_opens_after_the_key_was_rotated_and_not_without_its_key() {
    let old = Settings::usual();
    let sealed = json!({"git_token": seal(&old, API_TOKEN, "secret-given-git", 1)});
    let rotated = format!("k2:ffffffffffffffffffffffffffffffff,{SIGNING_KEY}");
    let rotated = Settings::usual().with("SIGNING_KEY", rotated);
    let got = given(&rotated, API_TOKEN, &sealed);
    assert_eq!(got["git_token"], "secret-given-git");
    assert!(seal(&rotated, API_TOKEN, SECRET, 2).starts_with("mfs1.k2."));
    let gone = Settings::usual().with("SIGNING_KEY", "k2:ffffffffffffffffffffffffffffffff");
    let answer = create(&gone, API_TOKEN, &sealed, &TestHost::silent());
    assert_eq!(answer.json()["errors"], json!([{"field": "git_token", "detail": REFUSED}]));
}

#[test]
fn what_does_not_open_is_named_beside_all_other_problems_and_nothing_is_made() {
    let settings = Settings::usual().with_admin("");
    let anns = seal(&settings, ANNS_TOKEN, SECRET, 1);
    let elsewhere = seal(&settings.clone().with("DEPLOYMENT", "mayfly-2"), API_TOKEN, SECRET, 2);
    let mut broken = seal(&settings, API_TOKEN, SECRET, 3);
    broken.pop();
    for (who, token) in [("default", API_TOKEN), ("an admin", ROOTS_TOKEN)] {
        let body = json!({"git_token": anns, "anthropic_api_key": elsewhere, "size": "huge",
            "env": {"A": broken, "B": "mfs1.", "a b": "mfs1.x"}});
        let answer = create(&settings, token, &body, &TestHost::silent());
        let errors = answer.json()["errors"].clone();
        let named = |detail: &str| -> Vec<String> {
            let all = errors.as_array().expect("errors").iter();
            all.filter(|it| it["detail"] == detail)
                .filter_map(|it| it["field"].as_str().map(str::to_owned))
                .collect()
        };
        let mut refused = named(REFUSED);
        refused.sort();
        assert_eq!(refused, ["anthropic_api_key", "env", "env.A", "env.B", "git_token"], "{who}");
        assert_eq!(named("must be one of small, medium, large"), ["size"]);
        assert_eq!(errors.as_array().map(Vec::len), Some(7), "{errors}");
        assert!(!answer.text().contains(&anns[20..]), "no value in an answer");
    }
    let dry = Call::post("/user-data")
        .token()
        .json(&json!({"repo_url": "https://h.example/a/b", "git_token": anns}));
    assert_eq!(dry.send(&app(), &TestHost::silent()).json()["errors"][0]["field"], "git_token");
}

#[test]
fn what_was_sealed_must_be_what_its_field_takes() {
    let settings = Settings::usual();
    let sealed = seal(&settings, API_TOKEN, "secret-given with spaces", 1);
    let answer = create(&settings, API_TOKEN, &json!({"git_token": sealed}), &TestHost::silent());
    assert_eq!(
        answer.json()["errors"],
        json!([{"field": "git_token", "detail": "must be at most 4,096 printable ASCII characters without spaces"}])
    );
    let both = json!({"anthropic_api_key": seal(&settings, API_TOKEN, SECRET, 2),
        "claude_code_oauth_token": seal(&settings, API_TOKEN, SECRET, 3)});
    let answer = create(&settings, API_TOKEN, &both, &TestHost::silent());
    assert_eq!(answer.json()["errors"][0]["field"], "claude_code_oauth_token");
}

#[test]
fn what_is_sealed_has_a_length_and_comes_alone() {
    let ask = |body: &str| Call::post("/seal").token().bytes(body).send(&app(), &TestHost::silent());
    let long = |length: usize| json!({"secret": "x".repeat(length)}).to_string();
    let sealed = ask(&long(3000)).ok(200)["sealed"].as_str().map(str::len);
    // What comes of the longest is no longer than a secret may be.
    assert!(sealed.is_some_and(|it| (4000..=4096).contains(&it)), "{sealed:?}");
    let anothers = json!({"secret": seal(&Settings::usual(), API_TOKEN, "x", 1)}).to_string();
    for (body, detail) in [
        (String::new(), "must be a string, and the only field"),
        ("[\"x\"]".to_owned(), "must be a string, and the only field"),
        ("{}".to_owned(), "must be a string, and the only field"),
        (r#"{"secret":7}"#.to_owned(), "must be a string, and the only field"),
        (r#"{"secret":"x","more":1}"#.to_owned(), "must be a string, and the only field"),
        (r#"{"secret":""}"#.to_owned(), "must have 1 to 3,000 bytes and no NUL"),
        (r#"{"secret":"a\u0000b"}"#.to_owned(), "must have 1 to 3,000 bytes and no NUL"),
        (long(3001), "must have 1 to 3,000 bytes and no NUL"),
        (json!({"secret": "ü".repeat(1501)}).to_string(), "must have 1 to 3,000 bytes and no NUL"),
        (anothers, "is sealed already"),
    ] {
        let answer = ask(&body);
        assert_eq!(answer.json()["errors"], json!([{"field": "secret", "detail": detail}]), "{body:.40}");
    }
    assert_eq!(Call::post("/seal").bytes("{}").send(&app(), &TestHost::silent()).status, 401);
}
