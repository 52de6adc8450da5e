//! The API over HTTP: who is let in, what is refused and how, and what takes time.

mod support;

use serde_json::{Value, json};
use support::{Cloud, TOKEN, eventually, send, server};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here";

#[tokio::test]
async fn tokens_paths_and_methods_are_told_apart() {
    let cloud = Cloud::start().await;
    let read_only = format!("Bearer read-only-{TOKEN}");
    let full = format!("Bearer {TOKEN}");
    let cases = [
        ("GET", "/v1/servers", "", (401, "unauthorized")),
        ("GET", "/v1/servers", "Bearer wrong", (401, "unauthorized")),
        ("GET", "/v1/servers", TOKEN, (401, "unauthorized")),
        ("GET", "/v1/nonsense", "", (404, "not_found")),
        ("GET", "/nonsense", "", (404, "not_found")),
        ("PATCH", "/v1/servers", "", (401, "unauthorized")),
        ("PATCH", "/v1/servers", &full, (405, "method_not_allowed")),
        ("GET", "/v1/datacenters", &full, (410, "deprecated_api_endpoint")),
        ("GET", "/v1/servers/7", &full, (404, "not_found")),
        ("GET", "/v1/servers/abc", &full, (422, "invalid_input")),
        ("GET", "/v1/actions", &full, (422, "invalid_input")),
        ("POST", "/v1/ssh_keys", &read_only, (403, "token_readonly")),
        ("POST", "/v1/ssh_keys", &full, (400, "json_error")),
    ];
    for (method, path, token, expected) in cases {
        let headers = [("authorization", token)];
        let headers = if token.is_empty() { &headers[..0] } else { &headers[..] };
        let answer = send(&cloud.address(), method, path, headers, "").await.expect("an answer");
        assert_eq!(answer.error(), expected, "{method} {path}");
        assert!(answer.json["error"]["message"].is_string());
        assert!(answer.json["error"].get("details").is_some());
    }
    let listed = send(&cloud.address(), "GET", "/v1/servers", &[("authorization", &read_only)], "").await;
    assert_eq!(listed.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_write_probe_tells_read_only_tokens_apart() {
    let cloud = Cloud::start().await;
    let probe = cloud.api("POST", "/ssh_keys", json!({})).await;
    assert_eq!(probe.error(), (422, "invalid_input"));
    let fields: Vec<&str> = probe.json["error"]["details"]["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| field["name"].as_str())
        .collect();
    assert_eq!(fields, ["name", "public_key"]);
}

#[tokio::test]
async fn the_rate_limit_is_in_the_headers_and_then_in_the_way() {
    let cloud = Cloud::start().await;
    cloud.configure(json!({ "rate_limit": 3 })).await;
    for remaining in ["2", "1", "0"] {
        let answer = cloud.api("GET", "/locations", Value::Null).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-limit"), Some("3"));
        assert_eq!(answer.header("ratelimit-remaining"), Some(remaining));
    }
    let refused = cloud.api("GET", "/locations", Value::Null).await;
    assert_eq!(refused.error(), (429, "rate_limit_exceeded"));
    assert!(refused.header("ratelimit-reset").is_some_and(|reset| reset.parse::<u64>().is_ok()));
}

#[tokio::test]
async fn lists_are_paged_filtered_and_sorted() {
    let cloud = Cloud::start().await;
    for nth in 0..27 {
        cloud
            .create(&format!("vm-{nth:02}"), json!({ "labels": { "nth": nth.to_string(), "kind": "x" } }))
            .await;
    }
    let first = cloud.get("/servers?sort=name").await;
    assert_eq!(first["servers"].as_array().map(Vec::len), Some(25), "the default page hides the rest");
    assert_eq!(
        first["meta"]["pagination"],
        json!({ "page": 1, "per_page": 25, "previous_page": null, "next_page": 2, "last_page": 2, "total_entries": 27 })
    );
    let second = cloud.get("/servers?sort=name&page=2").await;
    assert_eq!(second["servers"][1]["name"], "vm-26");
    assert_eq!(second["meta"]["pagination"]["next_page"], Value::Null);
    let chosen = cloud.get("/servers?label_selector=kind%3Dx%2Cnth%20in%20%283%2C%205%29&sort=id:desc").await;
    let names: Vec<&Value> = chosen["servers"].as_array().into_iter().flatten().map(|s| &s["name"]).collect();
    assert_eq!(names, ["vm-05", "vm-03"]);
    assert_eq!(cloud.api("GET", "/servers?label_selector=a%3D%3D%3Db", Value::Null).await.status, 422);
    assert_eq!(cloud.api("GET", "/servers?per_page=51", Value::Null).await.status, 422);
}

#[tokio::test]
async fn a_wrong_creation_is_refused_as_the_real_one_refuses_it() {
    let cloud = Cloud::start().await;
    cloud.create("taken", json!({})).await;
    let capacity = json!({ "cx33": { "fsn1": false, "nbg1": "hidden", "hel1": "unsupported" } });
    cloud.configure(json!({ "capacity": capacity })).await;
    let invalid = (422, "invalid_input");
    let cases = [
        ("taken", json!({}), (409, "uniqueness_error")),
        ("under_score", json!({}), invalid),
        ("x", json!({ "server_type": "cx22" }), invalid),
        ("x", json!({ "server_type": "cx99" }), invalid),
        ("x", json!({ "location": "ash" }), invalid),
        ("x", json!({ "location": "mars" }), invalid),
        ("x", json!({ "server_type": "cx33" }), (412, "resource_unavailable")),
        ("x", json!({ "server_type": "cx33", "location": "nbg1" }), (412, "resource_unavailable")),
        ("x", json!({ "server_type": "cx33", "location": "hel1" }), invalid),
        ("x", json!({ "image": "debian-11" }), invalid),
        ("x", json!({ "image": "161547270" }), invalid),
        ("x", json!({ "datacenter": "fsn1-dc14" }), invalid),
        ("x", json!({ "nonsense": 1 }), invalid),
        ("x", json!({ "firewalls": [38] }), invalid),
        ("x", json!({ "firewalls": [{ "firewall": 38 }] }), invalid),
        ("x", json!({ "ssh_keys": ["missing"] }), invalid),
        ("x", json!({ "labels": { "at": "2026-11-20T10:00:00Z" } }), invalid),
        ("x", json!({ "labels": { "hetzner.cloud/x": "y" } }), invalid),
        ("x", json!({ "labels": { "n": 1 } }), invalid),
        ("x", json!({ "user_data": "x".repeat(32_769) }), invalid),
        ("x", json!({ "public_net": { "enable_ipv4": false, "enable_ipv6": false } }), invalid),
        ("x", json!({ "start_after_create": "yes" }), invalid),
    ];
    for (name, more, expected) in cases {
        let answer = cloud.api("POST", "/servers", server(name, more.clone())).await;
        assert_eq!(answer.error(), expected, "{name} {more}");
    }
    cloud.configure(json!({ "server_limit": 1 })).await;
    let answer = cloud.api("POST", "/servers", server("x", json!({}))).await;
    assert_eq!(answer.error(), (403, "resource_limit_exceeded"));
    assert_eq!(cloud.state().await["created_ever"]["servers"], 1, "nothing was made");
    let kinds = cloud.get("/server_types?name=cx33").await;
    let available: Vec<&Value> = kinds["server_types"][0]["locations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|l| &l["available"])
        .collect();
    assert_eq!(available, [false, true, true], "the list is only a hint");
}

#[tokio::test]
async fn a_server_comes_up_over_time_and_takes_its_address_with_it() {
    let cloud = Cloud::start().await;
    let key = cloud.api("POST", "/ssh_keys", json!({ "name": "k", "public_key": KEY })).await;
    let key_id = key.json["ssh_key"]["id"].clone();
    let wall =
        cloud.api("POST", "/firewalls", json!({ "name": "wall" })).await.json["firewall"]["id"].clone();
    cloud.configure(json!({ "action_ms": 300, "ip_release_ms": 100 })).await;
    // Integers where the document says string: the real API and its own client do so.
    let more = json!({
        "server_type": 114, "ssh_keys": [key_id], "firewalls": [{ "firewall": wall }],
        "user_data": "x".repeat(32_768), "labels": { "a": "1", "b": "2" },
    });
    let made = cloud.api("POST", "/servers", server("vm", more)).await;
    assert_eq!((made.status, &made.json["root_password"]), (201, &Value::Null));
    let shown = &made.json["server"];
    assert_eq!(shown["status"], "initializing");
    assert_eq!(shown["public_net"]["ipv4"].get("id"), None, "the answer of a creation lacks it");
    assert_eq!(made.json["next_actions"][0]["command"], "start_server");
    let id = shown["id"].as_u64().expect("an id");
    let path = format!("/servers/{id}");
    assert_eq!(cloud.api("DELETE", &path, Value::Null).await.error(), (423, "locked"));
    cloud.until_status(id, "running").await;

    let address = cloud.get("/primary_ips").await["primary_ips"][0].clone();
    assert_eq!((&address["auto_delete"], &address["labels"]), (&json!(true), &json!({})));
    let address_path = format!("/primary_ips/{}", address["id"]);
    assert_eq!(cloud.api("DELETE", &address_path, Value::Null).await.error(), (422, "must_be_unassigned"));

    let labelled = cloud.api("PUT", &path, json!({ "labels": { "c": "3" } })).await;
    assert_eq!(labelled.json["server"]["labels"], json!({ "c": "3" }), "the set is replaced");

    let wall_path = format!("/firewalls/{wall}");
    assert_eq!(cloud.api("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(cloud.get(&path).await["server"]["status"], "deleting");
    assert_eq!(cloud.api("DELETE", &wall_path, Value::Null).await.error(), (422, "resource_in_use"));
    cloud.until_status(id, "gone").await;
    assert_eq!(cloud.api("DELETE", &wall_path, Value::Null).await.status, 204);
    eventually("the addresses go", async || cloud.get("/primary_ips").await["primary_ips"] == json!([]))
        .await;
    assert_eq!(cloud.state().await["created_ever"]["primary_ips"], 2);
}

#[tokio::test]
async fn keys_are_unique_by_name_and_by_blob() {
    let cloud = Cloud::start().await;
    let create = async |name: &str, key: &str| {
        cloud.api("POST", "/ssh_keys", json!({ "name": name, "public_key": key })).await
    };
    assert_eq!(create("k", KEY).await.status, 201);
    let again = create("other", &KEY.replace("me@here", "elsewhere")).await;
    assert_eq!(again.error(), (409, "uniqueness_error"));
    assert_eq!(again.json["error"]["details"]["fields"][0]["name"], "public_key");
    assert_eq!(create("k", "ssh-ed25519 AAAA").await.error(), (422, "invalid_input"));
    let fingerprint = "c3:d7:01:f0:d2:c2:0d:9f:da:b1:04:f0:83:9e:ff:2c";
    let found = cloud.get(&format!("/ssh_keys?fingerprint={fingerprint}")).await;
    assert_eq!(found["ssh_keys"][0]["name"], "k");
}

#[tokio::test]
async fn a_snapshot_locks_its_server_and_outlives_it() {
    let cloud = Cloud::start().await;
    let id = cloud.create("vm", json!({ "server_type": "cx33" })).await;
    cloud.until_status(id, "running").await;
    cloud.configure(json!({ "action_ms": 200 })).await;
    let path = format!("/servers/{id}");
    let body = json!({ "type": "snapshot", "description": "d", "labels": { "of": "vm" } });
    let made = cloud.api("POST", &format!("{path}/actions/create_image"), body).await;
    let image = &made.json["image"];
    assert_eq!((&image["status"], &image["name"]), (&json!("creating"), &Value::Null));
    assert_eq!(cloud.api("DELETE", &path, Value::Null).await.error(), (423, "locked"));
    cloud.until_status(id, "running").await;
    cloud.configure(json!({ "action_ms": 10 })).await;
    cloud.api("DELETE", &path, Value::Null).await;
    cloud.until_status(id, "gone").await;
    let listed = cloud.get("/images?type=snapshot&label_selector=of%3Dvm").await;
    assert_eq!(listed["images"][0]["status"], "available");
    let from = json!({ "image": image["id"].to_string() });
    let small = cloud.api("POST", "/servers", server("small", from.clone())).await;
    assert_eq!(small.error(), (422, "invalid_input"), "its disk is too small");
    let mut from = from;
    from["server_type"] = json!("cx33");
    cloud.create("copy", from).await;
}

#[tokio::test]
async fn power_and_failing_actions_do_what_they_say() {
    let cloud = Cloud::start().await;
    let id = cloud.create("vm", json!({})).await;
    let act = async |name: &str| {
        let answer = cloud.api("POST", &format!("/servers/{id}/actions/{name}"), Value::Null).await;
        assert_eq!(answer.status, 201, "{name}: {}", answer.text);
        answer.json["action"]["id"].as_u64().expect("an action")
    };
    cloud.until_status(id, "running").await;
    act("shutdown").await;
    cloud.until_status(id, "off").await;
    act("poweron").await;
    cloud.until_status(id, "running").await;
    cloud.configure(json!({ "ignore_acpi": true, "fail_action": "stop_server" })).await;
    act("shutdown").await;
    cloud.until_status(id, "running").await;
    let failed = act("poweroff").await;
    cloud.until_status(id, "running").await;
    let action = cloud.get(&format!("/actions/{failed}")).await["action"].clone();
    assert_eq!((&action["status"], &action["error"]["code"]), (&json!("error"), &json!("action_failed")));
    act("poweroff").await;
    cloud.until_status(id, "off").await;
}

#[tokio::test]
async fn the_control_api_resets_and_keeps_browsers_and_tokens_out() {
    let cloud = Cloud::start().await;
    let first = cloud.create("vm", json!({})).await;
    let log = cloud.control("GET", "/requests", Value::Null).await;
    assert_eq!(log.json["requests"][0]["path"], "/servers");
    assert!(!log.text.contains(TOKEN) && !cloud.state().await.to_string().contains(TOKEN));
    for header in [("origin", "https://evil.example"), ("host", "rebound.example:80")] {
        let browser = send(&cloud.address(), "POST", "/_fake/reset", &[header], "").await;
        assert_eq!(browser.expect("an answer").status, 403, "{header:?}");
    }
    assert_eq!(cloud.control("POST", "/reset", Value::Null).await.status, 200);
    let state = cloud.state().await;
    assert_eq!((&state["servers"], &state["created_ever"]), (&json!([]), &json!({})));
    assert!(cloud.create("vm", json!({})).await > first, "ids go on");
}
