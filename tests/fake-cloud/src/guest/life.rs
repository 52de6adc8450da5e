//! The life of a guest, from power to its own deletion, in the order in which a real VM goes through it.
//!
//! It knows nothing about the provider but its own server: whatever it reports goes to the Worker. When its
//! server loses power the task that runs this is aborted, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedReceiver;

use super::hex;
use super::record::{Order, Record, Secrets};
use super::vm_file::{Secret, VmFile};
use super::worker::{Call, Reply};
use crate::clock;
use crate::config::{Config, FailPhase};
use crate::fake::Fake;
use crate::ovh;
use crate::vendor::Vendor;

/// The phases with their share of the boot's time, in percent; power to the first of them takes the rest.
const PHASES: [(&str, u32); 4] = [("docker", 25), ("clone", 15), ("devcontainer", 35), ("ui", 15)];
const POWER_PERCENT: u32 = 10;
/// Reasons that go with `ready`: the workspace is there, only not as it was asked for.
const WARNINGS: [&str; 3] = ["fallback", "ui_down", "open_registration"];
const MAX_BACKOFF_DOUBLINGS: u32 = 5;

/// A guest that has power.
pub(crate) struct Life {
    fake: Arc<Fake>,
    server: u64,
    vm: VmFile,
    address: String,
    orders: UnboundedReceiver<Order>,
    boot_id: String,
    idle: bool,
    silent: bool,
    attention: Option<String>,
    announced_stop: bool,
}

impl Life {
    /// Ready to live.
    pub(crate) fn new(
        fake: Arc<Fake>,
        server: u64,
        vm: VmFile,
        address: String,
        orders: UnboundedReceiver<Order>,
    ) -> Self {
        let boot_id = hex(&Sha256::digest(format!("{server} {}", clock::now_ms())))[..32].to_owned();
        let (idle, silent, attention, announced_stop) = (false, false, None, false);
        Self { fake, server, vm, address, orders, boot_id, idle, silent, attention, announced_stop }
    }

    /// Boots, beats, and deletes itself in the end.
    pub(crate) async fn live(mut self) {
        self.boot().await;
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.take(order);
            }
            let pause_ms = if self.silent { self.config().heartbeat_max_ms } else { self.beat().await };
            if !self.silent && self.is_over() {
                self.delete_itself().await;
            }
            // At the end nothing more falls due: what was refused is tried again at the usual pace.
            let end_ms = self.ms_to_the_end();
            self.wait(if end_ms == 0 { pause_ms } else { pause_ms.min(end_ms) }).await;
        }
    }

    fn config(&self) -> Config {
        self.fake.with(|cloud| cloud.config.clone())
    }

    /// Works on the own record; the default if it is gone.
    fn note<R: Default>(&self, work: impl FnOnce(&mut Record) -> R) -> R {
        self.fake.with(|cloud| cloud.guests.get(self.server).map(work).unwrap_or_default())
    }

    /// Sleeps, but wakes for an order.
    async fn wait(&mut self, ms: u64) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            Some(order) = self.orders.recv() => self.take(order),
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Idle(idle) => self.idle = idle,
            Order::Active => {
                self.idle = false;
                let now_ms = clock::now_ms();
                self.note(|record| record.active_ms = now_ms);
            }
            Order::Attention(attention) => self.attention = attention,
            Order::Silent(silent) => self.silent = silent,
            Order::Beat => {}
        }
    }

    /// Secrets first, then phase by phase; a failure ends the boot but not the life.
    async fn boot(&mut self) {
        self.boot_pause(POWER_PERCENT).await;
        if self.note(|record| record.secrets.is_none()) && !self.exchange().await {
            let reason = json!({ "phase": "booting", "code": "internal" });
            return self.progress("failed", &Map::new(), Some(reason)).await;
        }
        let fails: Option<FailPhase> = self.config().fail_phase;
        let mut seconds = Map::new();
        for (phase, percent) in PHASES {
            self.progress(phase, &seconds, None).await;
            let began_ms = clock::now_ms();
            self.boot_pause(percent).await;
            seconds.insert(phase.to_owned(), json!((clock::now_ms() - began_ms).div_ceil(1000)));
            if let Some(fail) = fails.as_ref().filter(|f| f.phase == phase && !is_warning(&f.code)) {
                return self.progress("failed", &seconds, Some(reason(fail))).await;
            }
        }
        let warning = fails.filter(|fail| is_warning(&fail.code));
        self.progress("ready", &seconds, warning.as_ref().map(reason)).await;
    }

    /// A share of the boot's time; orders do not cut it short.
    async fn boot_pause(&mut self, percent: u32) {
        let whole = Duration::from_secs_f64(self.config().boot_seconds);
        let pause = tokio::time::sleep(whole * percent / 100);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                Some(order) = self.orders.recv() => self.take(order),
            }
        }
    }

    /// `POST /vm/boot`, until it is answered or refused.
    async fn exchange(&mut self) -> bool {
        while self.silent {
            self.wait(self.config().heartbeat_max_ms).await;
        }
        let body = json!({ "sealed": self.vm.sealed.0 });
        let Some(reply) = self.call_until_answered(Method::POST, "/vm/boot", &body).await else {
            return false;
        };
        let text = |key: &str| Secret(reply.body[key].as_str().unwrap_or_default().to_owned());
        let credentials = ["git_token", "anthropic_api_key", "claude_code_oauth_token"];
        let mut given: Vec<String> =
            credentials.iter().filter(|key| !text(key).0.is_empty()).map(|key| (*key).to_owned()).collect();
        given.extend(reply.body["env"].as_object().into_iter().flat_map(|env| env.keys().cloned()));
        let secrets = Secrets {
            password: text("password"),
            link_key: text("link_key"),
            provider_credential: text("provider_credential"),
            given,
        };
        self.note(|record| {
            record.exchanges += 1;
            record.secrets = Some(secrets);
        });
        true
    }

    async fn progress(&mut self, phase: &'static str, seconds: &Map<String, Value>, reason: Option<Value>) {
        let now_ms = clock::now_ms();
        self.note(|record| {
            record.phase = phase;
            record.entered.push((phase, now_ms));
        });
        if self.silent {
            return;
        }
        let mut body = json!({ "phase": phase, "seconds": seconds });
        if phase == "docker" {
            body["host_key"] = json!(host_key(self.server));
        }
        if phase == "ready" {
            body["tls"] = json!({ "tls": "trusted", "sha256": certificate(self.server) });
        }
        if let Some(reason) = reason {
            let code = reason["code"].as_str().unwrap_or_default().to_owned();
            body["log_tail"] = json!(format!("simulated: {phase}: {code}\n"));
            body["reason"] = reason;
        }
        if let Some(reply) = self.call_until_answered(Method::POST, "/vm/progress", &body).await {
            self.obey(&reply);
        }
    }

    /// `POST /vm/heartbeat` once; the pause until the next.
    async fn beat(&mut self) -> u64 {
        if self.wants("stop") && !self.announced_stop {
            self.announced_stop = true;
            self.progress("stopping", &Map::new(), None).await;
        }
        let config = self.config();
        let now_ms = clock::now_ms();
        let (active_ms, visits, keep) =
            self.note(|record| (record.active_ms, record.visits, keep_until(record.want.as_deref())));
        let age =
            if self.idle { self.idle_minutes() } else { now_ms.saturating_sub(active_ms) / config.minute_ms };
        let active = if self.idle { now_ms / 1000 - age * 60 } else { active_ms / 1000 };
        let body = json!({
            "active": active,
            "verdict": {
                "agent": age, "transcript": null, "files": null, "ssh": null, "build": null,
                "connection": (visits > 0).then_some(age),
                "keep": keep.filter(|until| until * 1000 > now_ms).map(|_| 0),
            },
            "load": 0.42, "attention": self.attention, "boot_id": self.boot_id,
            // It has no secrets to take off its disk.
            "done": self.wants("snapshot").then_some("snapshot"),
        });
        let reply = self.call(Method::POST, "/vm/heartbeat", Some(body)).await;
        let Ok(reply) = reply.inspect_err(|why| self.note(|record| record.last_error = Some(why.clone())))
        else {
            return config.retry_ms;
        };
        if reply.status != 200 {
            self.note_refusal("heartbeat", &reply);
            return reply.retry_after.map_or(config.retry_ms * 4, |secs| secs * 1000);
        }
        self.note(|record| record.heartbeats += 1);
        self.obey(&reply);
        let asked_ms = reply.body["next_seconds"].as_u64().unwrap_or(60) * 1000;
        asked_ms.clamp(config.heartbeat_min_ms, config.heartbeat_max_ms.max(config.heartbeat_min_ms))
    }

    /// What the answers to reports may say.
    fn obey(&mut self, reply: &Reply) {
        let body = &reply.body;
        let want = body["want"].as_str().map(str::to_owned);
        self.note(|record| {
            record.want = want;
            record.idle_minutes = body["idle_minutes"].as_u64().unwrap_or(record.idle_minutes);
            record.expires = body["expires"].as_u64().unwrap_or(record.expires);
        });
        // The Worker gave the wish up: the next one is announced again.
        self.announced_stop &= self.wants("stop");
    }

    fn wants(&self, what: &str) -> bool {
        self.note(|record| record.want.as_deref() == Some(what))
    }

    fn idle_minutes(&self) -> u64 {
        self.note(|record| record.idle_minutes)
    }

    /// Until idleness or the end of life, whichever comes first.
    fn ms_to_the_end(&self) -> u64 {
        let minute_ms = self.config().minute_ms;
        let now_ms = clock::now_ms();
        let end_ms = self.note(|record| {
            let idle_ms = record.active_ms + record.idle_minutes * minute_ms;
            let kept_ms = keep_until(record.want.as_deref()).unwrap_or_default() * 1000;
            let expires_ms = if record.expires == 0 { u64::MAX } else { record.expires * 1000 };
            idle_ms.max(kept_ms).min(expires_ms)
        });
        if self.idle { 0 } else { end_ms.saturating_sub(now_ms) }
    }

    /// A wish to stop comes first: what the Worker began, it finishes.
    fn is_over(&self) -> bool {
        self.ms_to_the_end() == 0 && !self.wants("stop") && !self.wants("snapshot")
    }

    /// In the way that the file says, then through the Worker, until the power is gone.
    async fn delete_itself(&mut self) {
        if self.vm.self_delete == "shutdown" {
            self.fake.with(|cloud| cloud.shut_down(self.server));
        } else if self.vm.self_delete == "provider" && self.delete_at_provider().await {
            return;
        }
        for attempt in 0.. {
            self.note(|record| record.delete_attempts += 1);
            let reply = self.call(Method::DELETE, "/vm", None).await;
            let asked_ms = match reply {
                // No server carries the label, or the capability is worth nothing: nobody will ever do it.
                Ok(reply) if matches!(reply.status, 401 | 403 | 404) => {
                    return self.note_refusal("delete", &reply);
                }
                Ok(reply) => {
                    if reply.status != 200 {
                        self.note_refusal("delete", &reply);
                    }
                    reply.retry_after.map(|secs| secs * 1000)
                }
                Err(why) => {
                    self.note(|record| record.last_error = Some(why));
                    None
                }
            };
            if self.pause_between_deletes(attempt, asked_ms).await {
                return;
            }
        }
    }

    /// Backoff; true if there is activity again, so that it is not to be deleted any more.
    async fn pause_between_deletes(&mut self, attempt: u32, asked_ms: Option<u64>) -> bool {
        let config = self.config();
        let backoff_ms = config.retry_ms << attempt.min(MAX_BACKOFF_DOUBLINGS);
        self.wait(asked_ms.unwrap_or(backoff_ms).min(config.heartbeat_max_ms.max(config.retry_ms))).await;
        !self.is_over()
    }

    /// With a credential of its own, as where one is configured for VMs.
    async fn delete_at_provider(&mut self) -> bool {
        let credential =
            self.note(|record| record.secrets.clone().map(|secrets| secrets.provider_credential));
        let Some(credential) = credential.filter(|credential| !credential.0.is_empty()) else { return false };
        self.note(|record| record.delete_attempts += 1);
        let end = self.fake.with(|cloud| cloud.own_end(self.server));
        let url = format!("http://{}{}", self.fake.address, end.path);
        let (method, body) = (end.method, end.body);
        let header = end.vendor.token_header();
        let (credential, more) = if end.vendor == Vendor::Ovh {
            let (application, signature) = ovh::access::signed(&credential.0, &method, &url);
            (Secret(application), signature)
        } else {
            (credential, Vec::new())
        };
        let call = Call { method, url, header, credential, more, address: self.address.clone(), body };
        matches!(call.make().await, Ok(reply) if (200..300).contains(&reply.status))
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, String> {
        let url = format!("{}{path}", self.vm.worker.trim_end_matches('/'));
        let (credential, address) = (self.vm.capability.clone(), self.address.clone());
        let header = &AUTHORIZATION;
        Call { method, url, header, credential, more: Vec::new(), address, body }.make().await
    }

    /// Tries again until there is a 200 or a refusal that will not change.
    async fn call_until_answered(&mut self, method: Method, path: &str, body: &Value) -> Option<Reply> {
        for attempt in 0_u32.. {
            let retry_after = match self.call(method.clone(), path, Some(body.clone())).await {
                Ok(reply) if reply.status == 200 => return Some(reply),
                Ok(reply) => {
                    self.note_refusal(path, &reply);
                    if matches!(reply.status, 400 | 401 | 403 | 422) {
                        return None;
                    }
                    reply.retry_after
                }
                Err(why) => {
                    self.note(|record| record.last_error = Some(why));
                    None
                }
            };
            let config = self.config();
            let backoff_ms = config.retry_ms << attempt.min(MAX_BACKOFF_DOUBLINGS);
            let asked_ms = retry_after.map_or(backoff_ms, |secs| secs * 1000);
            tokio::time::sleep(Duration::from_millis(asked_ms.min(config.heartbeat_max_ms))).await;
        }
        None
    }

    fn note_refusal(&self, what: &str, reply: &Reply) {
        let code = reply.body["code"].as_str().unwrap_or("no code");
        let text = format!("{what}: {} {code}", reply.status);
        self.note(|record| record.last_error = Some(text));
    }
}

fn is_warning(code: &str) -> bool {
    WARNINGS.contains(&code)
}

fn reason(fail: &FailPhase) -> Value {
    json!({ "phase": fail.phase, "code": fail.code })
}

/// `keep-<unix>`
fn keep_until(want: Option<&str>) -> Option<u64> {
    want?.strip_prefix("keep-")?.parse().ok()
}

/// SHA-256 of a certificate that there is not, in hexadecimal.
fn certificate(server: u64) -> String {
    let digest = Sha256::digest(format!("certificate of {server}"));
    digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Made up, but always the same for a server.
fn host_key(server: u64) -> String {
    use base64::Engine;
    let digest = Sha256::digest(format!("host key of {server}"));
    format!("SHA256:{}", base64::prelude::BASE64_STANDARD_NO_PAD.encode(digest))
}
