//! Tells another program what happens to VMs: `WEBHOOK_URL` is called for every event of `KINDS`, signed and tried again. What is
//! an event is said where it happens (`reaper::log_event`); when a delivery may take its time, the edge decides.
//!
//! Form, headers and signature are those of the Standard Webhooks specification 1.0.0 (standardwebhooks.com), so that receivers find
//! a library. Nothing is stored: what cannot be delivered within half a minute is lost, and the log says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use crate::App;
use crate::encoding::{base32, rfc3339};
use crate::http::{Counted, Host, Log as _, Method, NoAnswer, Random as _, Request};
use crate::model::Vm;
use crate::secret::Secret;

/// Pauses before the second and later tries, milliseconds. With every try at its timeout a delivery ends within the 30 seconds
/// that Cloudflare gives a Worker after its answer (Workers documentation, "Context (ctx)", `waitUntil`).
const PAUSES_MS: [u32; 2] = [1_000, 5_000];
const TIMEOUT_MS: u32 = 7_000;

/// Events by their name in the log (with `phase` by its detail), and their type in a delivery.
const KINDS: [(&str, &str); 8] = [
    ("created", "vm.created"),
    ("ready", "vm.ready"),
    ("failed", "vm.failed"),
    ("attention", "vm.attention"),
    ("idle_warning", "vm.idle_warning"),
    ("unsaved", "vm.unsaved"),
    ("deleted", "vm.deleted"),
    ("delete_failed", "vm.delete_failed"),
];

/// Where events go, and what they are signed with.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Called by POST. May hold a secret, so it is never shown.
    pub url: Secret,
    /// The key behind `whsec_`.
    pub key: Vec<u8>,
}

/// Something that happened to a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    kind: &'static str,
    data: Data,
}

/// What is told of a VM: nothing that opens anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Data {
    id: String,
    name: String,
    provider: &'static str,
    owner: String,
    repo_url: Option<String>,
    detail: String,
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    timestamp: String,
    data: &'a Data,
}

impl Event {
    /// What the log calls by this name, if it is one that is told.
    pub fn of(name: &str, vm: &Vm<'_>, detail: &str) -> Option<Self> {
        let name = if name == "phase" { detail } else { name };
        let (_, kind) = KINDS.into_iter().find(|(known, _)| *known == name)?;
        let data = Data {
            id: vm.id.to_string(),
            name: vm.name.to_string(),
            provider: vm.id.provider.as_str(),
            owner: vm.labels.owner.to_string(),
            repo_url: vm.labels.repo.unpack(),
            detail: detail.to_owned(),
        };
        Some(Self { kind, data })
    }

    /// Its type in a delivery.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

/// Delivers events, one after the other, as they happened. Without a webhook there is nothing to do. Tries after the first take
/// no calls that are kept for later events.
pub async fn deliver<H: Host>(app: &App, host: &Counted<'_, H>, events: Vec<Event>) {
    let Ok(ready) = app.ready() else { return };
    let Some(config) = &ready.config.webhook else { return };
    // The one beyond those of the events.
    host.give_back();
    for event in events {
        host.give_back();
        let mut id = [0; 16];
        host.fill(&mut id);
        let id = format!("msg_{}", base32(&id));
        if let Err(detail) = send(config, host, &event, &id).await {
            #[derive(Serialize)]
            struct Line<'a> {
                event: &'static str,
                r#type: &'static str,
                id: &'a str,
                vm: &'a str,
                detail: &'a str,
            }
            let (kind, vm) = (event.kind, &event.data.id);
            let line = Line { event: "webhook_failed", r#type: kind, id: &id, vm, detail: &detail };
            host.log(&serde_json::to_string(&line).unwrap_or_default());
        }
    }
}

/// Tries until it is taken, refused for good, or tried often enough. The error is a text for the log.
async fn send(config: &WebhookConfig, host: &impl Host, event: &Event, id: &str) -> Result<(), String> {
    let timestamp = rfc3339(host.now_secs());
    let payload = Payload { r#type: event.kind, timestamp, data: &event.data };
    let body = serde_json::to_vec(&payload).unwrap_or_default();
    let mut pauses = PAUSES_MS.into_iter();
    loop {
        // The time is that of the try: receivers refuse what is old.
        let at = host.now_secs();
        let request = Request {
            method: Method::Post,
            url: config.url.expose().to_owned(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("user-agent", concat!("mayfly/", env!("CARGO_PKG_VERSION")).to_owned()),
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", at.to_string()),
                ("webhook-signature", signature(&config.key, id, at, &body)),
            ],
            body: body.clone(),
            timeout_ms: TIMEOUT_MS,
        };
        let why = match host.send(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Ok(()),
            Ok(answer) if is_passing(answer.status) => format!("status {}", answer.status),
            Ok(answer) => return Err(format!("status {}, not tried again", answer.status)),
            Err(NoAnswer::TimedOut) => "no answer in time".to_owned(),
            Err(NoAnswer::Broken) => "the connection failed".to_owned(),
            Err(NoAnswer::Spent) => return Err("no calls are left".to_owned()),
        };
        let Some(pause) = pauses.next() else { return Err(format!("{why}, {} times", PAUSES_MS.len() + 1)) };
        host.sleep_ms(pause).await;
    }
}

/// Whether another try may succeed where this one did not.
fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 409 | 425 | 429)
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks, "Signature scheme").
fn signature(key: &[u8], id: &str, at_secs: u64, body: &[u8]) -> String {
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(format!("{id}.{at_secs}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_specifications() {
        // The example in the specification's reference implementations.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert!([500, 503, 429, 408].into_iter().all(is_passing));
        assert!(![301, 400, 401, 404, 410].into_iter().any(is_passing));
    }
}
