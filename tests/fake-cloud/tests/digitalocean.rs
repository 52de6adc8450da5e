//! DigitalOcean's API over HTTP: what is refused and how, what takes time, and what stays when a droplet goes.

mod support;

use mayfly_fake_cloud::Config;
use serde_json::{Value, json};
use support::{Answer, Cloud, TOKEN, eventually, send};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here";
const FINGERPRINT: &str = "c3:d7:01:f0:d2:c2:0d:9f:da:b1:04:f0:83:9e:ff:2c";

fn droplet(name: &str, more: Value) -> Value {
    let mut body = json!({ "name": name, "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-13-x64" });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn refusal(answer: &Answer) -> (u16, &str, &str) {
    let text = |key: &str| answer.json[key].as_str().unwrap_or_default();
    (answer.status, text("id"), text("message"))
}

async fn create(cloud: &Cloud, name: &str, more: Value) -> u64 {
    let answer = cloud.digitalocean("POST", "/droplets", droplet(name, more)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json["droplet"]["status"], "new");
    assert_eq!(answer.json["droplet"]["networks"]["v4"], json!([]));
    answer.json["droplet"]["id"].as_u64().expect("an id")
}

async fn until(cloud: &Cloud, id: u64, status: &str) {
    eventually(status, async || {
        let answer = cloud.digitalocean("GET", &format!("/droplets/{id}"), Value::Null).await;
        let droplet = &answer.json["droplet"];
        (answer.status == 404 && status == "gone")
            || (droplet["status"] == status && droplet["locked"] == false)
    })
    .await;
}

#[tokio::test]
async fn refusals_are_in_the_vendors_words() {
    let cloud = Cloud::start().await;
    let full = format!("Bearer {TOKEN}");
    let read_only = format!("Bearer read-only-{TOKEN}");
    for (method, path, token, expected) in [
        ("GET", "/droplets", "Bearer wrong", (401, "unauthorized")),
        ("POST", "/tags", &read_only, (403, "forbidden")),
        ("GET", "/nonsense", &full, (404, "not_found")),
        ("GET", "/droplets/7", &full, (404, "not_found")),
        ("GET", "/droplets/seven", &full, (404, "not_found")),
        ("GET", "/droplets?per_page=201", &full, (400, "bad_request")),
        ("PATCH", "/droplets", &full, (405, "method_not_allowed")),
        ("POST", "/droplets", &full, (400, "bad_request")),
    ] {
        let path = format!("/digitalocean/v2{path}");
        let headers = [("authorization", token)];
        let answer = send(&cloud.address(), method, &path, &headers, "").await.expect("an answer");
        let (status, id, message) = refusal(&answer);
        assert_eq!((status, id), expected, "{method} {path}");
        assert!(!message.is_empty());
    }
    for (more, words) in [
        (json!({ "tags": ["managed-by=mayfly"] }), "tags may only contain"),
        (json!({ "tags": ["v1.2"] }), "tags may only contain"),
        (json!({ "name": "a_b" }), "hostname characters"),
        (json!({ "labels": {} }), "labels unknown field"),
        (json!({ "size": "s-9" }), "invalid size"),
        (json!({ "region": "xyz1" }), "invalid region"),
        (json!({ "region": "ams2" }), "not available"),
        (json!({ "size": "c-2" }), "Size is not available in this region."),
        (json!({ "image": "debian-99" }), "invalid image"),
        (json!({ "ssh_keys": [7] }), "invalid key identifiers"),
        (json!({ "user_data": "x".repeat(65_537) }), "user_data"),
    ] {
        let answer = cloud.digitalocean("POST", "/droplets", droplet("a", more)).await;
        let (status, id, message) = refusal(&answer);
        assert_eq!((status, id), (422, "unprocessable_entity"));
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(cloud.state().await["digitalocean"]["droplets"], json!([]));
}

#[tokio::test]
async fn capacity_quota_and_rate_are_limits() {
    let cloud = Cloud::start().await;
    cloud.configure(json!({ "capacity": { "s-1vcpu-1gb": { "fra1": "hidden" } } })).await;
    let answer = cloud.digitalocean("POST", "/droplets", droplet("a", json!({}))).await;
    assert_eq!(refusal(&answer), (422, "unprocessable_entity", "Size is not available in this region."));
    cloud.configure(json!({ "capacity": {}, "server_limit": 1 })).await;
    create(&cloud, "a", json!({})).await;
    let answer = cloud.digitalocean("POST", "/droplets", droplet("b", json!({}))).await;
    assert!(refusal(&answer).2.contains("droplet limit"));
    cloud.configure(json!({ "rate_limit": 1 })).await;
    assert_eq!(
        cloud.digitalocean("GET", "/sizes", Value::Null).await.header("ratelimit-remaining"),
        Some("0")
    );
    let answer = cloud.digitalocean("GET", "/sizes", Value::Null).await;
    assert_eq!(refusal(&answer).1, "too_many_requests");
    assert!(answer.header("retry-after").is_some_and(|it| it.parse::<u64>().is_ok_and(|it| it > 0)));
    assert_eq!(cloud.api("GET", "/locations", Value::Null).await.status, 200, "each vendor counts its own");
}

#[tokio::test]
async fn pages_have_whole_addresses_and_only_where_there_are_pages() {
    let cloud = Cloud::start().await;
    for nth in 0..3 {
        create(&cloud, &format!("vm{nth}"), json!({ "tags": ["Env:Prod"] })).await;
    }
    let list = |query: &str| {
        let path = format!("/droplets?{query}");
        let cloud = &cloud;
        async move { cloud.digitalocean("GET", &path, Value::Null).await.json }
    };
    let first = list("tag_name=env%3Aprod&per_page=2").await;
    assert_eq!((first["droplets"].as_array().map(Vec::len), &first["meta"]["total"]), (Some(2), &json!(3)));
    let next = first["links"]["pages"]["next"].as_str().expect("a next page");
    let base = format!("http://{}/digitalocean/v2/droplets?", cloud.address());
    assert_eq!(next, format!("{base}page=2&per_page=2&tag_name=env%3Aprod"));
    let second = list("page=2&per_page=2&tag_name=env%3Aprod").await;
    assert_eq!(second["droplets"][0]["name"], "vm2");
    assert_eq!(second["links"]["pages"].get("next"), None);
    assert!(second["links"]["pages"]["prev"].is_string());
    assert_eq!(list("per_page=200").await["links"], json!({}));
    assert_eq!(second["droplets"][0]["tags"], json!(["Env:Prod"]), "a tag keeps its first spelling");
}

#[tokio::test]
async fn a_droplet_lives_and_its_snapshot_outlives_it() {
    let cloud = Cloud::start().await;
    let key = json!({ "name": "me", "public_key": KEY });
    assert_eq!(cloud.digitalocean("POST", "/account/keys", key.clone()).await.status, 201);
    assert!(refusal(&cloud.digitalocean("POST", "/account/keys", key).await).2.contains("already in use"));
    let found = cloud.digitalocean("GET", &format!("/account/keys/{FINGERPRINT}"), Value::Null).await;
    assert_eq!(found.json["ssh_key"]["name"], "me");
    let id = create(&cloud, "vm", json!({ "ssh_keys": [FINGERPRINT], "user_data": "#cloud-config\n" })).await;
    let path = format!("/droplets/{id}");
    until(&cloud, id, "active").await;
    let seen = cloud.state().await["digitalocean"]["droplets"][0].clone();
    assert_eq!((&seen["user_data_bytes"], &seen["ssh_key_names"]), (&json!(14), &json!(["me"])));
    assert_eq!(seen["networks"]["v4"][1]["type"], "public");
    let actions = format!("{path}/actions");
    for (action, status) in [("shutdown", "off"), ("power_on", "active"), ("power_off", "off")] {
        let answer = cloud.digitalocean("POST", &actions, json!({ "type": action })).await;
        assert_eq!((answer.status, &answer.json["action"]["status"]), (201, &json!("in-progress")));
        until(&cloud, id, status).await;
    }
    cloud.digitalocean("POST", &actions, json!({ "type": "snapshot", "name": "kept" })).await;
    until(&cloud, id, "off").await;
    let images = cloud.digitalocean("GET", "/images?private=true", Value::Null).await.json;
    let image = images["images"][0]["id"].as_u64().expect("a snapshot");
    cloud.digitalocean("POST", "/tags", json!({ "name": "t" })).await;
    let resources = json!({ "resources": [{ "resource_id": image.to_string(), "resource_type": "image" }] });
    assert_eq!(cloud.digitalocean("POST", "/tags/t/resources", resources).await.status, 204);
    assert_eq!(cloud.digitalocean("DELETE", &path, Value::Null).await.status, 204);
    until(&cloud, id, "gone").await;
    assert_eq!(cloud.digitalocean("DELETE", &path, Value::Null).await.status, 404);
    let small = json!({ "image": image, "size": "s-1vcpu-512mb-10gb" });
    assert_eq!(cloud.digitalocean("POST", "/droplets", droplet("copy", small)).await.status, 422);
    let elsewhere = json!({ "image": image, "region": "nyc3" });
    assert_eq!(cloud.digitalocean("POST", "/droplets", droplet("copy", elsewhere)).await.status, 422);
    create(&cloud, "copy", json!({ "image": image })).await;
    assert_eq!(cloud.digitalocean("DELETE", "/tags/t", Value::Null).await.status, 204);
    assert_eq!(cloud.digitalocean("DELETE", &format!("/images/{image}"), Value::Null).await.status, 204);
    assert_eq!(cloud.state().await["digitalocean"]["images"], json!([]));
}

#[tokio::test]
async fn nothing_is_done_to_a_droplet_while_something_is_being_done() {
    let cloud = Cloud::start().await;
    cloud.configure(json!({ "action_ms": 600_000 })).await;
    let id = create(&cloud, "slow", json!({})).await;
    let pending = (422, "unprocessable_entity", "Droplet already has a pending event.");
    let path = format!("/droplets/{id}");
    assert_eq!(refusal(&cloud.digitalocean("DELETE", &path, Value::Null).await), pending);
    let off = json!({ "type": "power_off" });
    assert_eq!(refusal(&cloud.digitalocean("POST", &format!("{path}/actions"), off).await), pending);
}

#[tokio::test]
async fn a_firewall_takes_only_tags_that_exist() {
    let cloud = Cloud::start().await;
    let everywhere = json!({ "addresses": ["0.0.0.0/0", "::/0"] });
    let wall = |name: &str, ports: &str| {
        json!({ "name": name, "tags": ["web"],
            "inbound_rules": [{ "protocol": "tcp", "ports": ports, "sources": everywhere }] })
    };
    assert!(refusal(&cloud.digitalocean("POST", "/firewalls", wall("wall", "22")).await).2.contains("web"));
    cloud.digitalocean("POST", "/tags", json!({ "name": "web" })).await;
    assert_eq!(cloud.digitalocean("POST", "/firewalls", wall("wall", "99999")).await.status, 422);
    let made = cloud.digitalocean("POST", "/firewalls", wall("wall", "22")).await;
    assert_eq!((made.status, &made.json["firewall"]["status"]), (202, &json!("waiting")));
    assert_eq!(cloud.digitalocean("POST", "/firewalls", wall("wall", "80")).await.status, 409);
    let path = format!("/firewalls/{}", made.json["firewall"]["id"].as_str().expect("an id"));
    assert_eq!(cloud.digitalocean("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(cloud.digitalocean("DELETE", &path, Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_guest_with_a_credential_deletes_its_own_droplet() {
    let config =
        Config { boot_seconds: 0.05, action_ms: 10, minute_ms: 1, retry_ms: 10, ..Config::default() };
    let cloud = Cloud::with(config).await;
    let worker = support::stand_in(json!({
        "password": "p", "link_key": "", "env": {}, "provider_credential": TOKEN,
        "idle_minutes": 1, "expires": 0, "next_seconds": 0, "want": null,
    }))
    .await;
    let user_data = support::user_data(&worker);
    let id = create(&cloud, "vm", json!({ "user_data": user_data })).await;
    until(&cloud, id, "gone").await;
    let state = cloud.state().await;
    assert_eq!(state["guests"][0]["state"], "deleted");
    let log = cloud.control("GET", "/requests", Value::Null).await.json;
    let deletions = log["requests"].as_array().into_iter().flatten().filter(|it| it["method"] == "DELETE");
    let paths: Vec<&Value> = deletions.map(|it| &it["path"]).collect();
    assert_eq!(paths, [&json!(format!("/digitalocean/v2/droplets/{id}"))]);
}

#[tokio::test]
async fn faults_strike_where_they_are_asked_to() {
    let cloud = Cloud::start().await;
    let fault = json!({ "path": "/digitalocean/v2/droplets", "status": 503, "code": "service_unavailable" });
    assert_eq!(cloud.control("POST", "/faults", fault).await.status, 201);
    assert_eq!(cloud.api("GET", "/servers", Value::Null).await.status, 200);
    let struck = cloud.digitalocean("GET", "/droplets", Value::Null).await;
    assert_eq!((struck.status, refusal(&struck).1), (503, "service_unavailable"));
    assert_eq!(cloud.digitalocean("GET", "/droplets", Value::Null).await.status, 200);
}
