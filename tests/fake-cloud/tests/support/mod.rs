//! What the tests share: a fake cloud in this process, and a client that shows answers and dropped connections.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::time::Duration;

use mayfly_fake_cloud::{Config, Options, Running, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The token that may do everything.
pub const TOKEN: &str = "test-token";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
    pub json: Value,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Status and error code.
    pub fn error(&self) -> (u16, &str) {
        (self.status, self.json["error"]["code"].as_str().unwrap_or_default())
    }
}

/// One request on its own connection, with the server's own name unless `headers` has another `host`; none if it was dropped without an answer.
pub async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let host = headers.iter().find(|(name, _)| *name == "host").map_or(address, |(_, host)| host);
    let headers = headers.iter().filter(|(name, _)| *name != "host");
    let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n{body}",
        body.len(),
        headers.concat(),
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut bytes = Vec::new();
    // A dropped connection may end in a reset.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let answer = String::from_utf8(bytes).expect("text");
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let json = serde_json::from_str(text).unwrap_or_default();
    Some(Answer { status, head: head.to_owned(), text: text.to_owned(), json })
}

/// A fake cloud and how to talk to it.
pub struct Cloud {
    pub running: Running,
}

impl Cloud {
    /// Fast, without guests.
    pub async fn start() -> Self {
        Self::with(Config { guests: false, action_ms: 10, ip_release_ms: 10, ..Config::default() }).await
    }

    pub async fn with(config: Config) -> Self {
        let options = Options { port: 0, token: TOKEN.to_owned(), config, verbose: false };
        Self { running: start(options).await.expect("a free port") }
    }

    pub fn address(&self) -> String {
        self.running.address.to_string()
    }

    /// A request to the API; none if the connection was dropped.
    pub async fn try_api(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        let token = format!("Bearer {TOKEN}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&self.address(), method, &format!("/v1{path}"), &[("authorization", &token)], &body).await
    }

    /// A request to DigitalOcean's API.
    pub async fn digitalocean(&self, method: &str, path: &str, body: Value) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/digitalocean/v2{path}");
        send(&self.address(), method, &path, &[("authorization", &token)], &body).await.expect("an answer")
    }

    /// A request to Scaleway's Instance API; text is sent as it is.
    pub async fn scaleway(&self, method: &str, path: &str, body: Value) -> Answer {
        let (body, content_type) = match body {
            Value::Null => (String::new(), "application/json"),
            Value::String(text) => (text, "text/plain"),
            other => (other.to_string(), "application/json"),
        };
        let path = format!("/scaleway/instance/v1/zones{path}");
        let headers = [("x-auth-token", TOKEN), ("content-type", content_type)];
        send(&self.address(), method, &path, &headers, &body).await.expect("an answer")
    }

    pub async fn api(&self, method: &str, path: &str, body: Value) -> Answer {
        self.try_api(method, path, &body).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.api("GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json
    }

    /// A request to the control API.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&self.address(), method, &format!("/_fake{path}"), &[], &body).await.expect("an answer")
    }

    pub async fn configure(&self, changes: Value) {
        assert_eq!(self.control("POST", "/config", changes).await.status, 200);
    }

    pub async fn state(&self) -> Value {
        self.control("GET", "/state", Value::Null).await.json
    }

    /// A creation that must succeed; the server's id.
    pub async fn create(&self, name: &str, more: Value) -> u64 {
        let answer = self.api("POST", "/servers", server(name, more)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json["server"]["id"].as_u64().expect("an id")
    }

    /// Waits until a server has this status; `gone` for no longer there.
    pub async fn until_status(&self, id: u64, status: &str) {
        eventually(status, async || {
            let answer = self.api("GET", &format!("/servers/{id}"), Value::Null).await;
            match answer.status {
                404 => status == "gone",
                _ => answer.json["server"]["status"] == status && answer.json["server"]["locked"] == false,
            }
        })
        .await;
    }
}

/// A body for `POST /servers`.
pub fn server(name: &str, more: Value) -> Value {
    let mut body = json!({ "name": name, "server_type": "cx23", "image": "debian-13", "location": "fsn1" });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// Looks again and again until it holds, and fails after a while.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// A Worker that answers the same to everything; its address.
pub async fn stand_in(answer: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = answer.to_string();
            tokio::spawn(async move {
                let mut buffer = [0_u8; 4096];
                let _ = stream.read(&mut buffer).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let text = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    url
}

/// User data with a guest of this Worker's, who is idle after a minute and has a credential of its own.
pub fn user_data(worker: &str) -> String {
    let vm = json!({
        "v": 1, "worker": worker, "vm": "abc", "capability": "c", "sealed": "", "web_ui": "cloudcli",
        "repo_url": "https://example.com/a", "idle_minutes": 1, "expires": 0, "self_delete": "provider",
    });
    let file = json!({ "path": "/etc/mayfly/vm.json", "content": vm.to_string() });
    format!("#cloud-config\n{}", json!({ "write_files": [file] }))
}
