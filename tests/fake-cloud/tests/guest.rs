//! Guests: their life against a small stand-in for the Worker, and their doors.

mod support;

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mayfly_fake_cloud::Config;
use serde_json::{Value, json};
use support::{Answer, Cloud, TOKEN, eventually, send};
use tokio::net::TcpListener;

const LINK_KEY: [u8; 32] = [7; 32];
const REPO: &str = "https://example.com/<script>alert(1)</script>";

/// What the stand-in was asked, and what it answers.
#[derive(Default)]
struct Script {
    /// `METHOD path`, address, bearer, body.
    calls: Vec<(String, String, String, Value)>,
    /// Merged into the answers to reports.
    answer: Value,
    /// Refusals of the next deletions.
    refusals: u32,
    /// Where the fake cloud is, and which server to delete there.
    cloud: String,
}

/// A stand-in for the Worker.
#[derive(Clone)]
struct Worker {
    url: String,
    script: Arc<Mutex<Script>>,
}

impl Worker {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let worker = Self { url, script: Arc::default() };
        let copy = worker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let worker = copy.clone();
                let service = hyper::service::service_fn(move |request| {
                    let worker = worker.clone();
                    async move { Ok::<_, hyper::Error>(worker.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        worker
    }

    fn script<R>(&self, work: impl FnOnce(&mut Script) -> R) -> R {
        work(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn calls(&self, what: &str) -> Vec<Value> {
        self.script(|script| {
            script.calls.iter().filter(|call| call.0 == what).map(|call| call.3.clone()).collect()
        })
    }

    fn phases(&self) -> Vec<String> {
        let phase = |body: &Value| body["phase"].as_str().unwrap_or_default().to_owned();
        self.calls("POST /vm/progress").iter().map(phase).collect()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let header = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let what = format!("{} {}", request.method(), request.uri());
        let (address, bearer) = (header("cf-connecting-ip"), header("authorization"));
        let bytes = request.into_body().collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        let (cloud, refused, mut report) = self.script(|script| {
            script.calls.push((what.clone(), address.clone(), bearer, body));
            let refused = what == "DELETE /vm" && script.refusals > 0;
            script.refusals -= u32::from(refused);
            (script.cloud.clone(), refused, script.answer.clone())
        });
        let (status, body) = match what.as_str() {
            "POST /vm/boot" => {
                let link_key = BASE64_URL_SAFE_NO_PAD.encode(LINK_KEY);
                (
                    200,
                    json!({ "password": "pass+word", "link_key": link_key, "git_token": "t", "env": { "A": "b" },
                    "anthropic_api_key": "", "claude_code_oauth_token": "", "provider_credential": TOKEN }),
                )
            }
            "DELETE /vm" if refused => (503, json!({ "code": "provider_unavailable" })),
            "DELETE /vm" => {
                let token = format!("Bearer {TOKEN}");
                let headers = [("authorization", token.as_str())];
                let listed = send(&cloud, "GET", "/v1/servers", &headers, "").await.expect("an answer").json;
                let mut servers = listed["servers"].as_array().into_iter().flatten();
                let own =
                    servers.find(|s| s["public_net"]["ipv4"]["ip"] == json!(address)).expect("the caller");
                send(&cloud, "DELETE", &format!("/v1/servers/{}", own["id"]), &headers, "").await;
                (200, json!({ "deleted": true }))
            }
            _ => {
                if report.is_null() {
                    report = json!({ "next_seconds": 0, "want": null });
                }
                (200, report)
            }
        };
        let response = Response::builder().status(status).body(Full::from(body.to_string()));
        response.expect("a response")
    }
}

fn user_data(worker: &Worker, more: Value) -> String {
    let mut file = json!({
        "v": 1, "worker": worker.url, "vm": "vmid", "capability": "cap", "deployment": "mayfly",
        "provider": "hetzner", "location": "fsn1", "name": "vm", "profile": "coding", "repo_url": REPO,
        "branch": "", "web_ui": "cloudcli", "idle_minutes": 30, "created": 1, "expires": 4_000_000_000_u64,
        "sealed": "sealed-text", "self_delete": "worker",
    });
    if let (Some(file), Value::Object(more)) = (file.as_object_mut(), more) {
        file.extend(more);
    }
    let content = json!(file.to_string());
    format!(
        "#cloud-config\nwrite_files:\n  - path: /etc/mayfly/vm.json\n    permissions: '0600'\n    content: {content}\n"
    )
}

/// A fake cloud whose guests live fast, a Worker, and one server.
async fn workspace(config: Value, vm_file: Value) -> (Cloud, Worker, u64) {
    let worker = Worker::start().await;
    let cloud = Cloud::with(Config { action_ms: 10, ip_release_ms: 10, ..Config::default() }).await;
    cloud.configure(json!({ "boot_seconds": 0.05, "heartbeat_min_ms": 10, "retry_ms": 10 })).await;
    if !config.is_null() {
        cloud.configure(config).await;
    }
    worker.script(|script| script.cloud = cloud.address());
    let id = cloud.create("vm", json!({ "user_data": user_data(&worker, vm_file) })).await;
    (cloud, worker, id)
}

async fn guest(cloud: &Cloud) -> Value {
    cloud.state().await["guests"][0].clone()
}

async fn until_ready(cloud: &Cloud) {
    eventually("ready", async || guest(cloud).await["phase"] == "ready").await;
}

#[tokio::test]
async fn a_guest_boots_beats_and_deletes_itself() {
    let (cloud, worker, id) = workspace(Value::Null, Value::Null).await;
    eventually("beats", async || worker.calls("POST /vm/heartbeat").len() > 2).await;
    assert_eq!(worker.phases(), ["docker", "clone", "devcontainer", "ui", "ready"]);
    let (what, address, bearer, body) = worker.script(|script| script.calls[0].clone());
    let (what, address, bearer) = (what.as_str(), address.as_str(), bearer.as_str());
    assert_eq!((what, address, bearer), ("POST /vm/boot", "203.0.113.1", "Bearer cap"));
    assert_eq!(body, json!({ "sealed": "sealed-text" }));
    let reports = worker.calls("POST /vm/progress");
    assert!(reports[0]["host_key"].as_str().is_some_and(|key| key.starts_with("SHA256:")));
    let timed: Vec<&String> = reports[4]["seconds"].as_object().into_iter().flat_map(|s| s.keys()).collect();
    assert_eq!(timed, ["clone", "devcontainer", "docker", "ui"]);
    let beat = worker.calls("POST /vm/heartbeat").remove(0);
    assert!(beat["active"].is_u64() && beat["verdict"]["agent"] == 0 && beat["boot_id"].is_string());
    assert_eq!(guest(&cloud).await["given"], json!(["git_token", "A"]));

    worker.script(|script| script.refusals = 2);
    cloud.control("POST", &format!("/guests/{id}"), json!({ "idle": true })).await;
    cloud.until_status(id, "gone").await;
    let ended = guest(&cloud).await;
    assert_eq!((&ended["state"], &ended["delete_attempts"]), (&json!("deleted"), &json!(3)));
    assert_eq!(ended["last_error"], "delete: 503 provider_unavailable");
    let last = worker.calls("POST /vm/heartbeat").pop().expect("a heartbeat");
    assert_eq!(last["verdict"]["agent"], 30, "it says why");
}

#[tokio::test]
async fn idleness_and_the_end_of_life_come_by_the_clock() {
    let soon = json!({ "minute_ms": 5 });
    let (cloud, worker, id) = workspace(soon, Value::Null).await;
    cloud.until_status(id, "gone").await;
    assert!(worker.phases().contains(&"ready".to_owned()));
    let (cloud, worker, id) = workspace(Value::Null, json!({ "expires": 1 })).await;
    cloud.until_status(id, "gone").await;
    assert_eq!(worker.calls("DELETE /vm").len(), 1);
}

#[tokio::test]
async fn a_kept_guest_stays() {
    let (cloud, worker, id) = workspace(Value::Null, Value::Null).await;
    until_ready(&cloud).await;
    worker.script(|script| script.answer = json!({ "next_seconds": 0, "want": "keep-3999999999" }));
    eventually("kept", async || guest(&cloud).await["want"] == "keep-3999999999").await;
    cloud.configure(json!({ "minute_ms": 1 })).await;
    let beats = worker.calls("POST /vm/heartbeat").len();
    eventually("beats on", async || worker.calls("POST /vm/heartbeat").len() > beats + 5).await;
    assert!(worker.calls("DELETE /vm").is_empty());
    worker.script(|script| script.answer = Value::Null);
    cloud.until_status(id, "gone").await;
}

#[tokio::test]
async fn a_failing_phase_is_reported_and_the_guest_lives_on() {
    let fail = json!({ "fail_phase": { "phase": "clone", "code": "auth_failed" } });
    let (_cloud, worker, _) = workspace(fail, Value::Null).await;
    eventually("beats", async || !worker.calls("POST /vm/heartbeat").is_empty()).await;
    assert_eq!(worker.phases(), ["docker", "clone", "failed"]);
    let report = worker.calls("POST /vm/progress").remove(2);
    assert_eq!(report["reason"], json!({ "phase": "clone", "code": "auth_failed" }));
    assert!(report["log_tail"].is_string());

    let warn = json!({ "fail_phase": { "phase": "devcontainer", "code": "fallback" } });
    let (cloud, worker, _) = workspace(warn, Value::Null).await;
    until_ready(&cloud).await;
    eventually("told", async || worker.phases().last().is_some_and(|phase| phase == "ready")).await;
    let report = worker.calls("POST /vm/progress").pop().expect("a report");
    assert_eq!(report["reason"]["code"], "fallback");
}

#[tokio::test]
async fn a_wish_to_stop_is_acknowledged_and_a_start_boots_again_with_the_same_disk() {
    let (cloud, worker, id) = workspace(Value::Null, Value::Null).await;
    until_ready(&cloud).await;
    worker.script(|script| script.answer = json!({ "next_seconds": 0, "want": "stop" }));
    eventually("stopping", async || worker.phases().last().is_some_and(|phase| phase == "stopping")).await;
    cloud.api("POST", &format!("/servers/{id}/actions/poweroff"), Value::Null).await;
    cloud.until_status(id, "off").await;
    assert_eq!(guest(&cloud).await["state"], "off");
    worker.script(|script| script.answer = Value::Null);
    cloud.api("POST", &format!("/servers/{id}/actions/poweron"), Value::Null).await;
    until_ready(&cloud).await;
    let again = guest(&cloud).await;
    assert_eq!((&again["boots"], &again["exchanges"]), (&json!(2), &json!(1)));
    assert_eq!(worker.phases().iter().filter(|phase| *phase == "stopping").count(), 1);
}

#[tokio::test]
async fn orders_are_followed() {
    let (cloud, worker, id) = workspace(Value::Null, Value::Null).await;
    until_ready(&cloud).await;
    let order = async |order: Value| cloud.control("POST", &format!("/guests/{id}"), order).await;
    cloud.configure(json!({ "heartbeat_max_ms": 60_000, "heartbeat_min_ms": 60_000 })).await;
    eventually("one more", async || !worker.calls("POST /vm/heartbeat").is_empty()).await;
    order(json!({ "attention": "waiting" })).await;
    let waiting = |beat: &Value| beat["attention"] == "waiting";
    eventually("sent at once", async || worker.calls("POST /vm/heartbeat").last().is_some_and(waiting)).await;
    order(json!({ "silent": true })).await;
    order(json!({ "idle": true })).await;
    let beats = worker.calls("POST /vm/heartbeat").len();
    order(json!({ "beat": true })).await;
    order(json!({ "silent": false })).await;
    cloud.until_status(id, "gone").await;
    assert_eq!(worker.calls("POST /vm/heartbeat").len(), beats + 1, "silence was kept");
    assert_eq!(order(json!({ "idle": true })).await.status, 404);
    assert_eq!(order(json!({ "dance": true })).await.status, 400);
}

#[tokio::test]
async fn a_guest_with_a_credential_deletes_itself_at_the_provider() {
    let (cloud, worker, id) =
        workspace(Value::Null, json!({ "self_delete": "provider", "expires": 1 })).await;
    cloud.until_status(id, "gone").await;
    assert!(worker.calls("DELETE /vm").is_empty());
}

#[tokio::test]
async fn other_user_data_has_no_guest() {
    let (cloud, _, _) = workspace(json!({ "guests": false }), Value::Null).await;
    assert_eq!(guest(&cloud).await, Value::Null);
    cloud.configure(json!({ "guests": true })).await;
    let id = cloud.create("plain", json!({ "user_data": "#!/bin/sh\n" })).await;
    cloud.until_status(id, "running").await;
    let state = cloud.state().await;
    assert_eq!(state["servers"][1]["guest"]["state"], "none");
    assert_eq!(state["servers"][1]["user_data_bytes"], 10);
    eventually("the first one lives", async || guest(&cloud).await["phase"] == "ready").await;
}

async fn knock(cloud: &Cloud, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/guests/203.0.113.1/{path}");
    send(&cloud.address(), method, &path, headers, body).await.expect("an answer")
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.ends_with("; Path=/guests/203.0.113.1/; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_door_opens_for_the_password_only() {
    let (cloud, _worker, id) = workspace(Value::Null, Value::Null).await;
    until_ready(&cloud).await;
    let closed = knock(&cloud, "GET", "", &[], "").await;
    assert_eq!(closed.status, 401);
    assert!(!closed.text.contains("example.com"), "nothing shows before the door");
    assert!(closed.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")));
    assert_eq!(knock(&cloud, "GET", "_mayfly/status", &[], "").await.status, 303);
    assert_eq!(knock(&cloud, "POST", "_mayfly/in", &[], "password=wrong").await.status, 401);
    let foreign = [("sec-fetch-site", "cross-site")];
    assert_eq!(knock(&cloud, "POST", "_mayfly/in", &foreign, "password=pass%2Bword").await.status, 403);
    let open = knock(&cloud, "POST", "_mayfly/in", &[], "password=pass%2Bword").await;
    assert_eq!(open.status, 303);
    let cookie = cookie(&open);
    let home = knock(&cloud, "GET", "", &[("cookie", &cookie)], "").await;
    assert_eq!(home.status, 200);
    assert!(home.text.contains("https://example.com/&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(home.text.contains("simulated workspace"));
    assert_eq!(knock(&cloud, "GET", "terminal/", &[("cookie", &cookie)], "").await.status, 200);
    let headers = [("cookie", cookie.as_str()), ("accept", "application/json")];
    let status = knock(&cloud, "GET", "_mayfly/status", &headers, "").await;
    assert_eq!((&status.json["phase"], &status.json["simulation"]), (&json!("ready"), &json!(true)));
    assert_eq!(guest(&cloud).await["visits"], 3);
    assert_eq!(knock(&cloud, "POST", "_mayfly/out", &[("cookie", &cookie)], "").await.status, 303);
    assert_eq!(knock(&cloud, "GET", "", &[("cookie", &cookie)], "").await.status, 401);
    for _ in 0..10 {
        knock(&cloud, "POST", "_mayfly/in", &[], "password=wrong").await;
    }
    assert_eq!(knock(&cloud, "POST", "_mayfly/in", &[], "password=pass%2Bword").await.status, 429);
    cloud.api("DELETE", &format!("/servers/{id}"), Value::Null).await;
    assert_eq!(knock(&cloud, "GET", "", &[("cookie", &cookie)], "").await.status, 502);
}

#[tokio::test]
async fn a_link_opens_the_door_once() {
    let (cloud, _worker, _) = workspace(Value::Null, Value::Null).await;
    until_ready(&cloud).await;
    let sign = |vm: &str| {
        let claims = json!({ "vm": vm, "exp": 4_000_000_000_u64, "n": "once" }).to_string();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&LINK_KEY).expect("any length");
        mac.update(claims.as_bytes());
        format!("token={claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let page = knock(&cloud, "GET", "_mayfly/in", &[], "").await;
    assert!(page.text.contains(r#"<script src="/guests/203.0.113.1/_mayfly/door.js" defer></script>"#));
    assert_eq!(knock(&cloud, "GET", "_mayfly/door.js", &[], "").await.status, 200);
    assert_eq!(knock(&cloud, "POST", "_mayfly/in", &[], &sign("another")).await.status, 401);
    let open = knock(&cloud, "POST", "_mayfly/in", &[], &sign("vmid")).await;
    assert_eq!(open.status, 303);
    assert_eq!(knock(&cloud, "GET", "", &[("cookie", &cookie(&open))], "").await.status, 200);
    assert_eq!(knock(&cloud, "POST", "_mayfly/in", &[], &sign("vmid")).await.status, 401, "used");
}
