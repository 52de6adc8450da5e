//! OVHcloud's API over HTTP: who may ask, what is refused and how, what takes time, and what stays when an instance goes. Its own
//! client is held against it in `tests/e2e/ovh-client.test.mjs`.

mod support;

use mayfly_fake_cloud::Config;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use support::{Answer, Cloud, TOKEN, eventually, send};

const PROJECT: &str = "/ovh/v1/cloud/project/0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// Headers of a signature: by whom, with which secret, over which address and body, when.
fn signed(secret: &str, method: &str, address: &str, body: &str, time: u64) -> Vec<(&'static str, String)> {
    let text = [secret, "fake-consumer", method, address, body, &time.to_string()].join("+");
    let digest = Sha1::digest(text).iter().fold("$1$".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
    vec![
        ("x-ovh-application", "fake-application".to_owned()),
        ("x-ovh-consumer", "fake-consumer".to_owned()),
        ("x-ovh-timestamp", time.to_string()),
        ("x-ovh-signature", digest),
    ]
}

async fn with(
    cloud: &Cloud,
    method: &str,
    path: &str,
    headers: &[(&'static str, String)],
    body: &str,
) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    send(&cloud.address(), method, path, &headers, body).await.expect("an answer")
}

async fn time(cloud: &Cloud) -> u64 {
    let answer = with(cloud, "GET", "/ovh/v1/auth/time", &[], "").await;
    answer.json.as_u64().expect("a bare number")
}

/// A request about the project, signed as it must be.
async fn ask(cloud: &Cloud, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let path = format!("{PROJECT}{path}");
    let address = format!("http://{}{path}", cloud.address());
    let headers = signed(TOKEN, method, &address, &body, time(cloud).await);
    with(cloud, method, &path, &headers, &body).await
}

/// Status and class or code.
fn refusal(answer: &Answer) -> (u16, &str) {
    let code = answer.json["class"].as_str().or(answer.json["errorCode"].as_str());
    (answer.status, code.unwrap_or_default())
}

async fn wish(cloud: &Cloud, more: Value) -> Value {
    let find = async |kind: &str, name: &str| {
        let list = ask(cloud, "GET", &format!("/{kind}?region=GRA11"), Value::Null).await.json;
        let one = list.as_array().expect("a list").iter().find(|it| it["name"] == name).cloned();
        one.expect(name)["id"].clone()
    };
    let (flavor, image) = (find("flavor", "b3-8").await, find("image", "Debian 13").await);
    let mut wish = json!({ "name": "a", "region": "GRA11", "flavorId": flavor, "imageId": image });
    for (key, value) in more.as_object().into_iter().flatten() {
        wish[key] = value.clone();
    }
    wish
}

async fn until(cloud: &Cloud, path: &str, status: &str) {
    eventually(status, async || {
        let answer = ask(cloud, "GET", path, Value::Null).await;
        if answer.status == 404 { status == "gone" } else { answer.json["status"] == status }
    })
    .await;
}

#[tokio::test]
async fn only_what_was_signed_is_answered() {
    let cloud = Cloud::start().await;
    let path = format!("{PROJECT}/instance");
    let address = format!("http://{}{path}", cloud.address());
    let now = time(&cloud).await;
    let good = signed(TOKEN, "GET", &address, "", now);
    assert_eq!(with(&cloud, "GET", &path, &good, "").await.json, json!([]));
    for (what, method, path, headers, body) in [
        ("another secret", "GET", path.clone(), signed("x", "GET", &address, "", now), ""),
        ("another method", "DELETE", path.clone(), good.clone(), ""),
        ("another path", "GET", format!("{PROJECT}/snapshot"), good.clone(), ""),
        ("another query", "GET", format!("{path}?region=GRA11"), good.clone(), ""),
        ("another body", "GET", path.clone(), good.clone(), "{}"),
    ] {
        let answer = with(&cloud, method, &path, &headers, body).await;
        assert_eq!(refusal(&answer), (400, "Client::BadRequest"), "{what}");
        assert_eq!(answer.json["message"], "Invalid signature", "{what}");
    }
    let late = signed(TOKEN, "GET", &address, "", now - 1000);
    assert_eq!(refusal(&with(&cloud, "GET", &path, &late, "").await), (403, "QUERY_TIME_OUT"));
    assert_eq!(refusal(&with(&cloud, "GET", &path, &[], "").await), (403, "NOT_CREDENTIAL"));
    let reader = signed(&format!("read-only-{TOKEN}"), "POST", &address, "{}", now);
    assert_eq!(refusal(&with(&cloud, "POST", &path, &reader, "{}").await), (403, "NOT_GRANTED_CALL"));
}

#[tokio::test]
async fn a_service_account_gets_tokens_for_its_secret() {
    let cloud = Cloud::start().await;
    let grant = async |secret: &str| {
        let form =
            format!("grant_type=client_credentials&scope=all&client_id=fake-client&client_secret={secret}");
        with(&cloud, "POST", "/ovh/oauth2/token", &[], &form).await
    };
    let refused = grant("wrong").await;
    assert_eq!((refused.status, &refused.json["error"]), (401, &json!("invalid_client")));
    let granted = grant(TOKEN).await.json;
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let path = format!("{PROJECT}/instance");
    let token = granted["access_token"].as_str().expect("a token");
    assert_eq!(with(&cloud, "GET", &path, &bearer(token), "").await.json, json!([]));
    assert_eq!(with(&cloud, "GET", &path, &bearer("wrong"), "").await.status, 401);
}

#[tokio::test]
async fn what_the_schema_does_not_allow_is_refused() {
    let cloud = Cloud::start().await;
    for (what, more) in [
        ("no name", json!({ "name": "" })),
        ("a long name", json!({ "name": "n".repeat(256) })),
        ("a space at the end", json!({ "name": "n " })),
        ("an unknown field", json!({ "tags": ["a"] })),
        ("another region", json!({ "region": "SBG5" })),
        ("no such region", json!({ "region": "gra11" })),
        ("no such key", json!({ "sshKeyId": "6d65" })),
        ("long user data", json!({ "userData": "x".repeat(49_153) })),
        ("an image of nothing", json!({ "imageId": null })),
    ] {
        let answer = ask(&cloud, "POST", "/instance", wish(&cloud, more).await).await;
        assert_eq!(refusal(&answer), (400, "Client::BadRequest"), "{what}: {}", answer.text);
    }
    assert_eq!(ask(&cloud, "GET", "/instance?name=a", Value::Null).await.status, 400);
    assert_eq!(ask(&cloud, "GET", "/instance/none", Value::Null).await.status, 404);
    assert_eq!(ask(&cloud, "GET", "/nothing", Value::Null).await.json["class"], Value::Null);
    cloud.configure(json!({ "server_limit": 0 })).await;
    let answer = ask(&cloud, "POST", "/instance", wish(&cloud, json!({})).await).await;
    assert_eq!(refusal(&answer), (403, "Client::Forbidden"));
    assert!(answer.text.contains("Quota"), "{}", answer.text);
    assert_eq!(cloud.state().await["ovh"]["instances"], json!([]));
}

#[tokio::test]
async fn an_instance_without_a_host_is_accepted_and_broken_later() {
    let cloud = Cloud::start().await;
    cloud.configure(json!({ "capacity": { "b3-8": { "gra11": "hidden" } } })).await;
    let made = ask(&cloud, "POST", "/instance", wish(&cloud, json!({})).await).await;
    assert_eq!((made.status, &made.json["status"]), (200, &json!("BUILD")));
    let path = format!("/instance/{}", made.json["id"].as_str().expect("an id"));
    until(&cloud, &path, "ERROR").await;
    assert_eq!(ask(&cloud, "DELETE", &path, Value::Null).await.text, "null");
    until(&cloud, &path, "gone").await;
    cloud.configure(json!({ "capacity": { "b3-8": { "gra11": false } } })).await;
    let answer = ask(&cloud, "POST", "/instance", wish(&cloud, json!({})).await).await;
    assert!(answer.status == 400 && answer.text.contains("not available"), "{}", answer.text);
    let flavors = ask(&cloud, "GET", "/flavor?region=GRA11", Value::Null).await.json;
    let taken = flavors.as_array().into_iter().flatten().find(|it| it["name"] == "b3-8").expect("b3-8");
    assert_eq!(taken["available"], false);
}

#[tokio::test]
async fn names_change_power_changes_and_a_snapshot_outlives_its_instance() {
    let cloud = Cloud::start().await;
    let made = ask(&cloud, "POST", "/instance", wish(&cloud, json!({ "userData": "x" })).await).await;
    let path = format!("/instance/{}", made.json["id"].as_str().expect("an id"));
    until(&cloud, &path, "ACTIVE").await;
    assert_eq!(ask(&cloud, "POST", &format!("{path}/start"), Value::Null).await.status, 409);
    assert_eq!(ask(&cloud, "PUT", &path, json!({ "instanceName": "b_B-9" })).await.text, "null");
    assert_eq!(ask(&cloud, "PUT", &path, json!({ "name": "c" })).await.status, 400);
    assert_eq!(ask(&cloud, "GET", "/instance", Value::Null).await.json[0]["name"], "b_B-9");
    let snapshot = ask(&cloud, "POST", &format!("{path}/snapshot"), json!({ "snapshotName": "kept" })).await;
    assert_eq!(ask(&cloud, "DELETE", &path, Value::Null).await.status, 409);
    let kept = format!("/snapshot/{}", snapshot.json["snapshotId"].as_str().expect("an id"));
    until(&cloud, &kept, "active").await;
    ask(&cloud, "POST", &format!("{path}/stop"), Value::Null).await;
    until(&cloud, &path, "SHUTOFF").await;
    assert_eq!(ask(&cloud, "DELETE", &path, Value::Null).await.status, 200);
    until(&cloud, &path, "gone").await;
    assert_eq!(ask(&cloud, "DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(ask(&cloud, "DELETE", &kept, Value::Null).await.json["name"], "kept");
    assert_eq!(cloud.state().await["ovh"]["snapshots"], json!([]));
}

#[tokio::test]
async fn a_guest_with_a_signing_key_deletes_its_own_instance() {
    let config =
        Config { boot_seconds: 0.05, action_ms: 10, minute_ms: 1, retry_ms: 10, ..Config::default() };
    let cloud = Cloud::with(config).await;
    let credential = format!("fake-application:{TOKEN}:fake-consumer:http://{}{PROJECT}", cloud.address());
    let worker = support::stand_in(json!({
        "password": "p", "link_key": "", "env": {}, "provider_credential": credential,
        "idle_minutes": 1, "expires": 0, "next_seconds": 0, "want": null,
    }))
    .await;
    let vm = json!({
        "v": 1, "worker": worker, "vm": "abc", "capability": "c", "sealed": "", "web_ui": "cloudcli",
        "repo_url": "https://example.com/a", "idle_minutes": 1, "expires": 0, "self_delete": "provider",
    });
    let file = json!({ "path": "/etc/mayfly/vm.json", "content": vm.to_string() });
    let user_data = format!("#cloud-config\n{}", json!({ "write_files": [file] }));
    let made = ask(&cloud, "POST", "/instance", wish(&cloud, json!({ "userData": user_data })).await).await;
    let path = format!("/instance/{}", made.json["id"].as_str().expect("an id"));
    until(&cloud, &path, "gone").await;
    assert_eq!(cloud.state().await["guests"][0]["state"], "deleted");
    let log = cloud.control("GET", "/requests", Value::Null).await.json;
    let deletions = log["requests"].as_array().into_iter().flatten().filter(|it| it["method"] == "DELETE");
    let deletions: Vec<(&Value, &Value)> = deletions.map(|it| (&it["path"], &it["status"])).collect();
    assert_eq!(deletions, [(&json!(format!("{PROJECT}{path}")), &json!(200))]);
}
