//! Answers that the core really gives, kept in `tests/e2e/openapi-samples.json`: the test fails when the core answers
//! otherwise, and `openapi.test.mjs` holds the same answers against the document.

use std::path::Path;

use mayfly::http::{NoAnswer, Reply};
use mayfly::keys::Scope;
use serde_json::{Map, Value, json};

use crate::world::{Call, Fault, START_SECS, TOKEN, WORKSPACE, World, app, app_with, call, capability};

const FILE: &str = "tests/e2e/openapi-samples.json";
const UPDATE: &str = "UPDATE_SAMPLES";
/// Becomes the request's id, which would be random without it.
const RAY: &str = "8f2c41d7be0a9c35-FRA";
const REPO: &str = r#"{"repo_url":"https://github.com/octocat/Hello-World"}"#;

struct Recorder {
    app: mayfly::App,
    world: World,
    samples: Map<String, Value>,
}

impl Recorder {
    fn record(&mut self, name: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &str) {
        self.world.seed(name);
        let headers = [headers, &[("cf-ray", RAY)]].concat();
        let reply =
            call(&self.app, &self.world, Call { method, target, headers: &headers, body: body.as_bytes() });
        self.keep(name, method, target, &reply);
    }

    fn keep(&mut self, name: &str, method: &str, target: &str, reply: &Reply) {
        let mut body: Value = match String::from_utf8_lossy(&reply.body) {
            text if text.is_empty() => Value::Null,
            text => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
        };
        // What depends on the scripts of cloud-init/ is cut: it changes with every one of them.
        if let Some(user_data) = body["user_data"].as_str() {
            let first = user_data.lines().next().unwrap_or_default().to_owned();
            body["bytes"] = first.len().into();
            body["user_data"] = first.into();
        }
        if let Some(workspace) = body["workspace"].as_str() {
            body["workspace"] = workspace[..8].into();
        }
        if body["code"] == "user_data_too_long" {
            let detail = body["detail"].as_str().unwrap_or_default();
            let (before, rest) = detail.split_once("have ").expect("a length");
            body["detail"] =
                format!("{before}have 36864{}", rest.trim_start_matches(char::is_numeric)).into();
        }
        let headers: Map<String, Value> =
            reply.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        let path = target.split('?').next();
        let sample = json!({ "method": method, "path": path, "status": reply.status, "headers": headers, "body": body });
        assert!(self.samples.insert(name.to_owned(), sample).is_none(), "{name} stands twice");
    }

    /// A call with the API token.
    fn ask(&mut self, name: &str, method: &str, target: &str, body: &str) {
        let bearer = format!("Bearer {TOKEN}");
        self.record(name, method, target, &[("authorization", &bearer)], body);
    }

    /// A call with an API token and a key.
    fn repeat(&mut self, name: &str, body: &str) {
        let bearer = format!("Bearer {TOKEN}");
        let headers =
            [("authorization", bearer.as_str()), ("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
        self.record(name, "POST", "/vms", &headers, body);
    }

    /// A call from the newest VM.
    fn report(&mut self, name: &str, method: &str, target: &str, body: &str) {
        let bearer = capability(&self.app, &self.world.label("mayfly-vm"), Scope::Vm);
        let headers = [("authorization", bearer.as_str()), ("cf-connecting-ip", "203.0.113.7")];
        self.record(name, method, target, &headers, body);
    }

    fn fault(&mut self, what: &'static str, answer: Result<(u16, &'static str), NoAnswer>) {
        *self.world.faults.borrow_mut() = vec![Fault { what, answer }];
    }

    fn pass(&self, secs: u64) {
        self.world.now_secs.set(self.world.now_secs.get() + secs);
    }
}

/// One VM's whole life.
fn life(it: &mut Recorder) {
    it.ask("options", "GET", "/options", "");
    it.ask("list_empty", "GET", "/vms", "");
    it.repeat("create", REPO);
    it.repeat("create_replayed", REPO);
    it.repeat("create_key_reused", r#"{"repo_url":"https://github.com/octocat/Spoon-Knife"}"#);
    it.pass(20);
    it.report("vm_boot", "POST", "/vm/boot", r#"{"sealed":""}"#);
    let progress = r#"{"phase":"clone","seconds":{"docker":12},"host_key":"SHA256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    it.report("vm_progress", "POST", "/vm/progress", progress);
    it.world.servers.borrow_mut()[0]["status"] = "running".into();
    it.pass(60);
    let progress = r#"{"phase":"ready","seconds":{"docker":12,"clone":3,"devcontainer":41,"ui":9},"reason":{"phase":"ui","code":"ui_down"}}"#;
    it.report("vm_progress_ready", "POST", "/vm/progress", progress);
    it.report("vm_boot_closed", "POST", "/vm/boot", r#"{"sealed":""}"#);
    it.pass(4000);
    let active = START_SECS + 4000;
    let heartbeat = format!(
        r#"{{"active":{active},"verdict":{{"agent":1,"transcript":1,"files":12,"build":null}},"load":0.42,"attention":"waiting"}}"#
    );
    it.report("vm_heartbeat", "POST", "/vm/heartbeat", &heartbeat);
    it.report("vm_token", "POST", "/vm/token", r#"{"scope":"backup"}"#);
    it.report("vm_token_not_due", "POST", "/vm/token", r#"{"scope":"prune"}"#);
    it.report("vm_heartbeat_bad", "POST", "/vm/heartbeat", r#"{"active":1,"attention":"maybe"}"#);
    it.ask("get", "GET", "/vms/hetzner-4711", "");
    it.ask("list", "GET", "/vms", "");
    it.ask("open", "POST", "/vms/hetzner-4711/open", "");
    it.ask("log_none", "GET", "/vms/hetzner-4711/log", "");
    it.report("vm_log", "POST", "/vm/log", r#"{"source":"boot","tail":"phase docker\n"}"#);
    it.report("vm_log_odd", "POST", "/vm/log", r#"{"source":"idle","tail":""}"#);
    it.ask("log", "GET", "/vms/hetzner-4711/log?source=boot", "");
    it.ask("log_odd", "GET", "/vms/hetzner-4711/log?source=container", "");
    it.ask("extend", "POST", "/vms/hetzner-4711/extend", r#"{"minutes":60}"#);
    it.ask("extend_too_far", "POST", "/vms/hetzner-4711/extend", r#"{"minutes":10080}"#);
    it.ask("start_running", "POST", "/vms/hetzner-4711/start", "");
    it.ask("stop", "POST", "/vms/hetzner-4711/stop", "");
    it.world.servers.borrow_mut()[0]["status"] = "off".into();
    it.ask("start", "POST", "/vms/hetzner-4711/start", "");
    it.world.servers.borrow_mut()[0]["status"] = "running".into();
    it.ask("snapshot", "POST", "/vms/hetzner-4711/snapshots", r#"{"description":"before the merge"}"#);
    it.ask("snapshots", "GET", "/snapshots", "");
    it.ask("snapshot_gone", "DELETE", "/snapshots/hetzner-71", "");
    it.ask("golden_bad", "POST", "/snapshots/golden", r#"{"profile":"cooking","git_token":"t"}"#);
    let from_golden = r#"{"repo_url":"https://github.com/octocat/Hello-World","from":"golden"}"#;
    it.ask("create_from_no_golden", "POST", "/vms", from_golden);
    it.ask("metrics", "GET", "/metrics", "");
    it.ask("health_providers", "GET", "/health/providers", "");
    let name_taken = r#"{"error":{"code":"uniqueness_error","message":"server name is already used"}}"#;
    it.fault("POST /servers", Ok((409, name_taken)));
    it.ask(
        "create_name_taken",
        "POST",
        "/vms",
        r#"{"repo_url":"https://github.com/octocat/Hello-World","name":"taken"}"#,
    );
    it.world.faults.borrow_mut().clear();
    it.world.servers.borrow_mut()[0]["public_net"] = json!({ "ipv4": null, "ipv6": null });
    it.ask("get_without_address", "GET", "/vms/hetzner-4711", "");
    it.ask("open_without_address", "POST", "/vms/hetzner-4711/open", "");
    it.pass(12 * 3600);
    it.ask("reap_dry_run", "POST", "/reap?dry_run=1", "");
    it.ask("orphans", "GET", "/orphans", "");
    it.ask("delete", "DELETE", "/vms/hetzner-4711", "");
    it.ask("delete_again", "DELETE", "/vms/hetzner-4711", "");
    it.ask("get_gone", "GET", "/vms/hetzner-4711", "");
    it.ask("reap", "POST", "/reap", "");
    it.report("vm_delete_gone", "DELETE", "/vm", "");
    it.ask("create_second", "POST", "/vms", REPO);
    it.report("vm_delete", "DELETE", "/vm", "");
    it.ask("create_third", "POST", "/vms", REPO);
    it.ask("delete_all", "DELETE", "/vms?confirm=all", "");
    it.ask("delete_all_unconfirmed", "DELETE", "/vms", "");
    it.ask("delete_orphans", "DELETE", "/orphans", "");
    it.report("vm_progress_gone", "POST", "/vm/progress", r#"{"phase":"docker"}"#);
}

/// What is refused before a provider is asked.
fn refusals(it: &mut Recorder) {
    it.ask("create_invalid", "POST", "/vms", r#"{"repo_url":"/srv/git","size":"huge","typo":1}"#);
    it.ask("create_no_json", "POST", "/vms", "repo_url=x");
    it.ask("create_too_long", "POST", "/vms", &" ".repeat(70_000));
    // 4,000 names of variables' worth do not fit: three secrets of the longest kind do not either.
    let secret = "s".repeat(4096);
    let keys = format!(
        r#"{{"repo_url":"https://github.com/o/r","git_token":"{secret}","anthropic_api_key":"{secret}"}}"#
    );
    it.ask("user_data", "POST", "/user-data", &keys);
    // The largest environment, of characters that take six bytes each in JSON.
    let long =
        json!({ "repo_url": "https://github.com/o/r", "env": { "E": "\u{1}".repeat(4095) } }).to_string();
    it.ask("create_user_data_too_long", "POST", "/vms", &long);
    it.ask("user_data_invalid", "POST", "/user-data", "{}");
    it.record("healthz", "GET", "/healthz", &[], "");
    it.record("no_token", "GET", "/vms", &[], "");
    it.record("bad_token", "GET", "/vms", &[("authorization", "Bearer not-the-token")], "");
    let backup = capability(&it.app, "vm", Scope::Backup);
    it.record("wrong_scope", "DELETE", "/vm", &[("authorization", &backup)], "");
    let agent = capability(&it.app, "vm", Scope::Agent);
    it.record("agent_off", "POST", "/vm/anthropic/v1/messages", &[("x-api-key", &agent)], "{}");
    it.record("agent_wrong_scope", "GET", "/vm/anthropic/v1/models", &[("x-api-key", &backup)], "");
    it.ask("no_such_path", "GET", "/nowhere", "");
    it.ask("wrong_method", "PATCH", "/vms", "");
    it.ask("other_vm", "GET", "/vms/ec2-i-123", "");
    it.ask("seal", "POST", "/seal", r#"{"secret":"sk-ant-api03-EXAMPLE"}"#);
    it.ask("seal_invalid", "POST", "/seal", r#"{"secret":""}"#);
    let agent = capability(&it.app, "vm", Scope::Agent);
    it.record("agent_no_such_path", "POST", "/vm/anthropic/v1", &[("authorization", &agent)], "");
    it.record("preflight", "OPTIONS", "/vms", &[("access-control-request-method", "POST")], "");
}

/// A repository of backups, from its beginning.
fn backups(it: &mut Recorder) {
    let backup = capability(&it.app, "vm", Scope::Backup);
    let mut ask = |name: &str, method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let length = body.len().to_string();
        let headers = [&[("authorization", backup.as_str()), ("content-length", &length)], more].concat();
        it.record(name, method, &format!("/vm/backup/{WORKSPACE}/{path}"), &headers, body);
    };
    let (v1, v2) = ("application/vnd.x.restic.rest.v1", "application/vnd.x.restic.rest.v2");
    // The SHA-256 of "abc" (FIPS 180-4, examples).
    let lock = "locks/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    ask("backup_create", "POST", "?create=true", &[], "");
    ask("backup_none", "GET", "config", &[], "");
    ask("backup_config", "POST", "config", &[], "a config");
    ask("backup_config_again", "POST", "config", &[], "another");
    ask("backup_size", "HEAD", "config", &[], "");
    ask("backup_lock", "POST", lock, &[], "abc");
    ask("backup_wrong_body", "POST", &lock.replace("locks", "data"), &[], "abd");
    ask("backup_list", "GET", "locks/", &[("accept", v2)], "");
    ask("backup_list_v1", "GET", "locks/", &[("accept", v1)], "");
    ask("backup_read", "GET", lock, &[], "");
    ask("backup_part", "GET", lock, &[("range", "bytes=1-")], "");
    ask("backup_beyond", "GET", lock, &[("range", "bytes=3-")], "");
    ask("backup_delete_config", "DELETE", "config", &[], "");
    ask("backup_unlock", "DELETE", lock, &[], "");
    ask("backup_snapshot", "POST", &lock.replace("locks", "snapshots"), &[], "abc");
    ask("backup_elsewhere", "GET", "../x/config", &[], "");
}

/// What is kept, and no more.
fn workspaces(it: &mut Recorder) {
    it.ask("workspaces", "GET", "/workspaces", "");
    it.ask("workspace_delete", "DELETE", "/workspaces/github.com~octocat~Hello-World", "");
    it.ask("workspace_gone", "DELETE", "/workspaces/github.com~octocat~Hello-World", "");
}

/// What is answered when the provider is in trouble.
fn troubles(it: &mut Recorder) {
    let error = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"as a test wants it"}}}}"#);
    for (name, status, code) in [
        ("unauthorized", 401, "unauthorized"),
        ("capacity", 412, "resource_unavailable"),
        ("quota", 403, "resource_limit_exceeded"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("locked", 423, "locked"),
        ("not_found", 404, "not_found"),
        ("unavailable", 503, "unavailable"),
    ] {
        it.fault("POST /servers", Ok((status, error(code).leak())));
        it.ask(&format!("create_provider_{name}"), "POST", "/vms", REPO);
    }
    it.fault("GET /servers", Err(NoAnswer::TimedOut));
    it.ask("get_provider_timed_out", "GET", "/vms/hetzner-1", "");
    it.ask("list_provider_timed_out", "GET", "/vms", "");
    it.ask("reap_provider_timed_out", "POST", "/reap", "");
    it.report("vm_provider_timed_out", "DELETE", "/vm", "");
    it.fault("GET /", Ok((429, error("rate_limit_exceeded").leak())));
    it.ask("options_provider_rate_limited", "GET", "/options", "");
    it.world.faults.borrow_mut().clear();
    let full = app_with(|key| (key == "MAX_VMS").then(|| "0".to_owned()));
    let token = format!("Bearer {TOKEN}");
    let headers = [("cf-ray", RAY), ("authorization", token.as_str())];
    let ask = Call { method: "POST", target: "/vms", headers: &headers, body: REPO.as_bytes() };
    let reply = call(&full, &it.world, ask);
    it.keep("create_ceiling_reached", "POST", "/vms", &reply);
    let broken = app_with(|key| (key == "API_TOKEN").then(|| "short".to_owned()));
    let ask = Call { method: "GET", target: "/healthz", headers: &[("cf-ray", RAY)], body: b"" };
    let reply = call(&broken, &it.world, ask);
    it.keep("misconfigured", "GET", "/healthz", &reply);
}

#[test]
fn the_kept_samples_are_what_the_core_answers() {
    let mut it = Recorder { app: app(), world: World::new(), samples: Map::new() };
    refusals(&mut it);
    life(&mut it);
    it.world.store.at(START_SECS);
    backups(&mut it);
    workspaces(&mut it);
    troubles(&mut it);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let fresh = serde_json::to_string_pretty(&it.samples).expect("JSON") + "\n";
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &fresh).expect("the samples can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    for (name, sample) in &it.samples {
        assert_eq!(
            kept[name], *sample,
            "the answer '{name}' in {FILE} is not what the core gives: if the new one is meant, run {UPDATE}=1 cargo test --test openapi"
        );
    }
    assert_eq!(
        kept.as_object().map(Map::len),
        Some(it.samples.len()),
        "{FILE} holds samples that nothing makes"
    );
}
