//! Scaleway's API over HTTP: what is refused and how, what each state allows, and what stays when a server goes.

mod support;

use mayfly_fake_cloud::Config;
use serde_json::{Value, json};
use support::{Answer, Cloud, TOKEN, eventually, send};

const ZONE: &str = "/fr-par-1";

fn server(name: &str, more: Value) -> Value {
    let mut body = json!({
        "name": name, "commercial_type": "DEV1-S", "image": "debian_trixie", "dynamic_ip_required": true,
        "volumes": { "0": { "volume_type": "l_ssd", "size": 20_000_000_000_u64 } },
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.json["type"].as_str().unwrap_or_default())
}

async fn create(cloud: &Cloud, name: &str, more: Value) -> String {
    let answer = cloud.scaleway("POST", &format!("{ZONE}/servers"), server(name, more)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made = &answer.json["server"];
    assert_eq!(made["state"], "stopped");
    let has_dynamic = made["public_ips"].as_array().expect("a list").iter().any(|it| it["dynamic"] == true);
    assert!(!has_dynamic, "it comes with the power");
    made["id"].as_str().expect("an id").to_owned()
}

async fn act(cloud: &Cloud, id: &str, action: &str) -> Answer {
    cloud.scaleway("POST", &format!("{ZONE}/servers/{id}/action"), json!({ "action": action })).await
}

async fn until(cloud: &Cloud, id: &str, state: &str) -> Value {
    let path = format!("{ZONE}/servers/{id}");
    eventually(state, async || {
        let answer = cloud.scaleway("GET", &path, Value::Null).await;
        answer.json["server"]["state"] == state || (state == "gone" && answer.status == 404)
    })
    .await;
    cloud.scaleway("GET", &path, Value::Null).await.json["server"].clone()
}

#[tokio::test]
async fn refusals_are_in_the_vendors_words() {
    let cloud = Cloud::start().await;
    let read_only = format!("read-only-{TOKEN}");
    let unknown = format!("{ZONE}/servers/973b1d4a-3d01-4220-a4fa-7a2b89c8a557");
    for (method, path, token, expected) in [
        ("GET", "/fr-par-1/servers", "wrong", (401, "denied_authentication")),
        ("POST", "/fr-par-1/servers", read_only.as_str(), (403, "permissions_denied")),
        ("GET", "/fr-par-1/nonsense", TOKEN, (404, "unknown_resource")),
        ("GET", "/xx-yyy-1/servers", TOKEN, (400, "invalid_arguments")),
        ("GET", "/fr-par-1/servers?per_page=101", TOKEN, (400, "invalid_arguments")),
        ("GET", unknown.as_str(), TOKEN, (404, "not_found")),
        ("POST", "/fr-par-1/servers", TOKEN, (400, "invalid_request_error")),
    ] {
        let path = format!("/scaleway/instance/v1/zones{path}");
        let headers = [("x-auth-token", token)];
        let answer = send(&cloud.address(), method, &path, &headers, "").await.expect("an answer");
        assert_eq!(refusal(&answer), expected, "{method} {path}");
    }
    let bearer = [("authorization", "Bearer test-token")];
    let path = "/scaleway/instance/v1/zones/fr-par-1/servers";
    let answer = send(&cloud.address(), "GET", path, &bearer, "").await.expect("an answer");
    assert_eq!(answer.status, 401, "the token is no bearer");
    for (more, argument) in [
        (json!({ "labels": {} }), "labels"),
        (json!({ "tags": [1] }), "tags"),
        (json!({ "name": "" }), "name"),
        (json!({ "commercial_type": "START1-S" }), "commercial_type"),
        (
            json!({ "commercial_type": "COPARM1-2C-8G", "image": "5c0a11ce-0000-4000-8000-000000000005" }),
            "image",
        ),
        (json!({ "volumes": { "0": { "volume_type": "l_ssd", "size": 20_000_000_001_u64 } } }), "volumes"),
        (json!({ "user_data": "#cloud-config" }), "user_data"),
    ] {
        let answer = cloud.scaleway("POST", &format!("{ZONE}/servers"), server("a", more)).await;
        assert_eq!(refusal(&answer), (400, "invalid_arguments"));
        assert_eq!(answer.json["details"][0]["argument_name"], argument, "{}", answer.text);
    }
    let foreign = json!({ "project": "fa1e3217-dc80-42ac-85c3-3f034b78b552" });
    let answer = cloud.scaleway("POST", &format!("{ZONE}/servers"), server("a", foreign)).await;
    assert_eq!(refusal(&answer), (403, "permissions_denied"));
    assert_eq!(cloud.state().await["scaleway"]["servers"], json!([]));
}

#[tokio::test]
async fn each_state_allows_its_own() {
    let cloud = Cloud::start().await;
    let id = create(&cloud, "vm", json!({})).await;
    assert_eq!(refusal(&act(&cloud, &id, "terminate").await), (412, "precondition_failed"));
    assert_eq!(refusal(&act(&cloud, &id, "fly").await), (400, "invalid_arguments"));
    let path = format!("{ZONE}/servers/{id}");
    for (action, state, allows_delete) in [
        ("poweron", "running", false),
        ("stop_in_place", "stopped in place", false),
        ("poweron", "running", false),
        ("reboot", "running", false),
        ("poweroff", "stopped", true),
    ] {
        let task = act(&cloud, &id, action).await;
        assert_eq!((task.status, &task.json["task"]["status"]), (202, &json!("pending")), "{}", task.text);
        let server = until(&cloud, &id, state).await;
        assert_eq!(server["public_ips"].as_array().map(Vec::len), Some(usize::from(state != "stopped")));
        let actions = server["allowed_actions"].as_array().expect("a list");
        assert_eq!(actions.contains(&json!("terminate")), state == "running");
        if !allows_delete {
            let refused = cloud.scaleway("DELETE", &path, Value::Null).await;
            assert_eq!(refusal(&refused), (400, "resource_still_in_use"), "{state}");
        }
    }
    assert_eq!(cloud.scaleway("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(cloud.scaleway("DELETE", &path, Value::Null).await.status, 404);
    let id = create(&cloud, "slow", json!({})).await;
    cloud.configure(json!({ "action_ms": 600_000 })).await;
    assert_eq!(act(&cloud, &id, "poweron").await.status, 202);
    assert_eq!(refusal(&act(&cloud, &id, "poweroff").await), (409, "transient_state"));
}

#[tokio::test]
async fn a_delete_leaves_disks_and_addresses_and_a_termination_no_local_ones() {
    let cloud = Cloud::start().await;
    let ip = cloud.scaleway("POST", &format!("{ZONE}/ips"), json!({})).await;
    let ip = ip.json["ip"]["id"].as_str().expect("an id").to_owned();
    let volumes = json!({ "0": { "volume_type": "l_ssd" }, "1": { "volume_type": "sbs_volume", "size": 5_000_000_000_u64 } });
    let one = create(&cloud, "one", json!({ "volumes": volumes, "public_ips": [ip] })).await;
    assert_eq!(cloud.scaleway("DELETE", &format!("{ZONE}/servers/{one}"), Value::Null).await.status, 204);
    let state = cloud.state().await["scaleway"].clone();
    assert_eq!((&state["servers"], state["volumes"].as_array().map(Vec::len)), (&json!([]), Some(2)));
    assert_eq!((&state["ips"][0]["server"], &state["volumes"][0]["server"]), (&Value::Null, &Value::Null));

    let two = create(&cloud, "two", json!({ "volumes": volumes })).await;
    act(&cloud, &two, "poweron").await;
    let server = until(&cloud, &two, "running").await;
    let (local, block) = (&server["volumes"]["0"]["id"], &server["volumes"]["1"]["id"]);
    let tags = json!({ "tags": ["managed-by=mayfly"] });
    let path = format!("{ZONE}/volumes/{}", local.as_str().expect("an id"));
    assert_eq!(cloud.scaleway("PATCH", &path, tags).await.status, 200);
    assert_eq!(refusal(&cloud.scaleway("DELETE", &path, Value::Null).await), (400, "resource_still_in_use"));
    act(&cloud, &two, "terminate").await;
    until(&cloud, &two, "gone").await;
    assert_eq!(cloud.scaleway("GET", &path, Value::Null).await.status, 404);
    let path = format!("/scaleway/block/v1alpha1/zones/fr-par-1/volumes/{}", block.as_str().expect("an id"));
    let headers = [("x-auth-token", TOKEN)];
    let found = send(&cloud.address(), "GET", &path, &headers, "").await.expect("an answer");
    assert_eq!((found.status, &found.json["status"]), (200, &json!("available")));
    let deleted = send(&cloud.address(), "DELETE", &path, &headers, "").await.expect("an answer");
    assert_eq!(deleted.status, 204);
}

#[tokio::test]
async fn lists_are_paged_by_zone_and_tag() {
    let cloud = Cloud::start().await;
    for nth in 0..3 {
        create(&cloud, &format!("vm{nth}"), json!({ "tags": ["a=b", format!("nth={nth}")] })).await;
    }
    let list = |query: &str| {
        let path = format!("{ZONE}/servers?{query}");
        let cloud = &cloud;
        async move { cloud.scaleway("GET", &path, Value::Null).await }
    };
    let first = list("tags=a%3Db&per_page=2").await;
    assert_eq!(first.header("x-total-count"), Some("3"));
    assert!(first.header("link").is_some_and(|it| it.contains("page=2") && it.contains("rel=\"next\"")));
    assert_eq!(first.json["servers"].as_array().map(Vec::len), Some(2));
    let second = list("tags=a%3Db&per_page=2&page=2").await;
    assert_eq!(second.json["servers"][0]["name"], "vm0");
    assert_eq!(list("tags=a%3Db%2Cnth%3D1").await.json["servers"][0]["name"], "vm1");
    assert_eq!(list("tags=a").await.json["servers"], json!([]), "a tag is matched whole");
    let elsewhere = cloud.scaleway("GET", "/nl-ams-1/servers", Value::Null).await;
    assert_eq!((elsewhere.header("x-total-count"), &elsewhere.json["servers"]), (Some("0"), &json!([])));
}

#[tokio::test]
async fn capacity_quota_and_rate_are_limits() {
    let cloud = Cloud::start().await;
    let path = format!("{ZONE}/servers");
    let stock = format!("{ZONE}/products/servers/availability");
    for (free, listed, expected) in [
        (json!(false), "shortage", (403, "out_of_stock")),
        (json!("hidden"), "available", (403, "out_of_stock")),
        (json!("unsupported"), "available", (400, "invalid_arguments")),
    ] {
        cloud.configure(json!({ "capacity": { "DEV1-S": { "fr-par-1": free } } })).await;
        assert_eq!(refusal(&cloud.scaleway("POST", &path, server("a", json!({}))).await), expected);
        let stock = cloud.scaleway("GET", &stock, Value::Null).await.json;
        assert_eq!(stock["servers"]["DEV1-S"]["availability"], listed);
    }
    cloud.configure(json!({ "capacity": {}, "server_limit": 0 })).await;
    let refused = cloud.scaleway("POST", &path, server("a", json!({}))).await;
    assert_eq!(refusal(&refused), (403, "quotas_exceeded"));
    cloud.configure(json!({ "rate_limit": 0 })).await;
    assert_eq!(refusal(&cloud.scaleway("GET", &path, Value::Null).await), (429, "too_many_requests"));
}

#[tokio::test]
async fn a_backup_is_an_image_with_a_snapshot_behind_it() {
    let cloud = Cloud::start().await;
    let id = create(&cloud, "vm", json!({})).await;
    let backup = json!({ "action": "backup", "name": "kept" });
    let task = cloud.scaleway("POST", &format!("{ZONE}/servers/{id}/action"), backup).await.json;
    let image =
        task["task"]["href_result"].as_str().and_then(|it| it.strip_prefix("/images/")).expect("an image");
    let path = format!("{ZONE}/images/{image}");
    eventually("available", async || {
        cloud.scaleway("GET", &path, Value::Null).await.json["image"]["state"] == "available"
    })
    .await;
    let tagged = cloud.scaleway("PATCH", &path, json!({ "tags": ["a=b"] })).await.json;
    assert_eq!(tagged["image"]["tags"], json!(["a=b"]));
    let snapshot =
        format!("{ZONE}/snapshots/{}", tagged["image"]["root_volume"]["id"].as_str().expect("an id"));
    assert_eq!(cloud.scaleway("DELETE", &snapshot, Value::Null).await.status, 400, "the image needs it");
    create(&cloud, "copy", json!({ "image": image })).await;
    assert_eq!(cloud.scaleway("DELETE", &path, Value::Null).await.status, 204);
    let state = cloud.state().await["scaleway"].clone();
    assert_eq!((&state["images"], state["snapshots"].as_array().map(Vec::len)), (&json!([]), Some(1)));
    assert_eq!(cloud.scaleway("DELETE", &snapshot, Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_guest_reads_its_user_data_once_and_terminates_its_own_server() {
    let config =
        Config { boot_seconds: 0.05, action_ms: 10, minute_ms: 1, retry_ms: 10, ..Config::default() };
    let cloud = Cloud::with(config).await;
    let worker = support::stand_in(json!({
        "password": "p", "link_key": "", "env": {}, "provider_credential": TOKEN,
        "idle_minutes": 1, "expires": 0, "next_seconds": 0, "want": null,
    }))
    .await;
    let user_data = support::user_data(&worker);
    let late = create(&cloud, "late", json!({})).await;
    let path = |id: &str| format!("{ZONE}/servers/{id}/user_data/cloud-init");
    act(&cloud, &late, "poweron").await;
    until(&cloud, &late, "running").await;
    assert_eq!(cloud.scaleway("PATCH", &path(&late), json!(user_data)).await.status, 204);
    act(&cloud, &late, "reboot").await;
    until(&cloud, &late, "running").await;
    assert_eq!(cloud.state().await["scaleway"]["servers"][0]["guest"]["state"], "none", "it came too late");

    let id = create(&cloud, "vm", json!({})).await;
    let as_json = cloud.scaleway("PATCH", &path(&id), json!({ "text": user_data })).await;
    assert_eq!(refusal(&as_json), (400, "invalid_arguments"), "user data is plain text");
    assert_eq!(cloud.scaleway("PATCH", &path(&id), json!(user_data)).await.status, 204);
    act(&cloud, &id, "poweron").await;
    eventually("gone", async || {
        let answer = cloud.scaleway("GET", &format!("{ZONE}/servers/{id}"), Value::Null).await;
        answer.status == 404
    })
    .await;
    let log = cloud.control("GET", "/requests", Value::Null).await.json;
    let last = log["requests"].as_array().into_iter().flatten().rfind(|it| it["method"] == "POST");
    let expected = format!("/scaleway/instance/v1/zones/fr-par-1/servers/{id}/action");
    assert_eq!(last.expect("a request")["path"], expected);
    let volumes = cloud.state().await["scaleway"]["volumes"].clone();
    assert_eq!(volumes.as_array().map(Vec::len), Some(1), "only that of the server that stays");
}
