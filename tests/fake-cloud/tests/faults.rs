//! Faults: the answer that is sent, and above all whether the request had its effect.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Cloud, server};

async fn servers(cloud: &Cloud) -> usize {
    cloud.state().await["servers"].as_array().map_or(0, Vec::len)
}

async fn fault(cloud: &Cloud, fault: Value) {
    let answer = cloud.control("POST", "/faults", fault).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn a_connection_dropped_before_has_no_effect_and_after_it_has() {
    let cloud = Cloud::start().await;
    fault(&cloud, json!({ "method": "POST", "path": "/servers", "drop": "before" })).await;
    assert!(cloud.try_api("POST", "/servers", &server("a", json!({}))).await.is_none());
    assert_eq!(servers(&cloud).await, 0);
    fault(&cloud, json!({ "method": "POST", "path": "/servers", "drop": "after" })).await;
    assert!(cloud.try_api("POST", "/servers", &server("a", json!({}))).await.is_none());
    assert_eq!(servers(&cloud).await, 1);
    let again = cloud.api("POST", "/servers", server("a", json!({}))).await;
    assert_eq!(again.error(), (409, "uniqueness_error"));
    let log = cloud.control("GET", "/requests", Value::Null).await.json;
    let statuses: Vec<&Value> =
        log["requests"].as_array().into_iter().flatten().map(|r| &r["status"]).collect();
    assert_eq!(statuses, [&Value::Null, &Value::Null, &json!(409)]);
}

#[tokio::test]
async fn a_status_is_answered_instead_of_acting_or_after_it() {
    let cloud = Cloud::start().await;
    let headers = json!({ "retry-after": "7" });
    fault(
        &cloud,
        json!({ "path": "/servers", "status": 429, "code": "rate_limit_exceeded", "headers": headers }),
    )
    .await;
    let limited = cloud.api("POST", "/servers", server("a", json!({}))).await;
    assert_eq!(limited.error(), (429, "rate_limit_exceeded"));
    assert_eq!(limited.header("retry-after"), Some("7"));
    assert_eq!(limited.header("ratelimit-limit"), Some("3600"));
    assert_eq!(servers(&cloud).await, 0);

    fault(&cloud, json!({ "path": "/servers", "status": 504, "code": "timeout", "acts": true })).await;
    assert_eq!(cloud.api("POST", "/servers", server("a", json!({}))).await.error(), (504, "timeout"));
    assert_eq!(servers(&cloud).await, 1);

    fault(&cloud, json!({ "path": "/servers", "status": 502, "body": "<html>bad gateway" })).await;
    let raw = cloud.api("GET", "/servers", Value::Null).await;
    assert_eq!((raw.status, raw.text.as_str()), (502, "<html>bad gateway"));
}

#[tokio::test]
async fn faults_wait_their_turn_end_and_can_be_taken_back() {
    let cloud = Cloud::start().await;
    fault(&cloud, json!({ "path": "/locations", "after": 1, "times": 2, "status": 503 })).await;
    fault(&cloud, json!({ "path": "/pricing", "times": null, "status": 503 })).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(cloud.api("GET", "/locations", Value::Null).await.status);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
    assert_eq!(cloud.api("GET", "/pricing", Value::Null).await.status, 503);
    assert_eq!(cloud.control("DELETE", "/faults", Value::Null).await.status, 204);
    assert_eq!(cloud.api("GET", "/pricing", Value::Null).await.status, 200);
    assert_eq!(cloud.control("POST", "/faults", json!({ "path": "/x", "stauts": 500 })).await.status, 400);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "measures a delay")]
async fn a_delay_alone_only_delays() {
    let cloud = Cloud::start().await;
    fault(&cloud, json!({ "path": "/locations", "delay_ms": 150 })).await;
    let began = Instant::now();
    assert_eq!(cloud.api("GET", "/locations", Value::Null).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(150));
}
