//! Our JSON, as it goes out: the shapes of `openapi.json`. Times are RFC 3339, money is in whole units of its currency.
//! Deciding what goes in is the handlers' business.

use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use crate::Ready;
use crate::encoding::{from_base32, rfc3339};
use crate::http::Reply;
use crate::labels::{Reason, Timing, Verdict};
use crate::model::{Phase, Vm, VmState, expires_secs};
use crate::providers::Attempt;

/// A VM counts as alive for this long after its last heartbeat, seconds: heartbeats are written to the labels every ten
/// minutes at least, and one may be late.
pub(super) const FRESH_SECS: u64 = 25 * 60;

/// An answer with a JSON body.
pub(super) fn reply(status: u16, body: Vec<u8>) -> Reply {
    Reply { status, headers: vec![("content-type", "application/json".into())], body }
}

/// An answer whose body is `value`.
pub(super) fn json(status: u16, value: &impl Serialize) -> Reply {
    // Our own types always serialise.
    reply(status, serde_json::to_vec(value).unwrap_or_default())
}

/// Whole units of a currency.
#[expect(clippy::cast_precision_loss, reason = "exact up to nine billion units")]
pub(super) fn money(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

#[derive(Serialize)]
pub(super) struct VmBody<'a> {
    id: String,
    name: &'a str,
    provider: &'static str,
    location: &'a str,
    server_type: &'a str,
    size: Option<&'static str>,
    profile: Option<&'a str>,
    web_ui: Option<&'a str>,
    repo_url: Option<String>,
    branch: Option<String>,
    owner: &'a str,
    state: &'static str,
    phase: &'static str,
    services_ready: bool,
    attention: Option<&'a str>,
    created_at: String,
    age_seconds: u64,
    ipv4: Option<&'a str>,
    ipv6: Option<&'a str>,
    cost: Option<CostBody<'a>>,
    idle: Option<IdleBody<'a>>,
    expires_at: Option<String>,
    last_seen_at: Option<String>,
    boot: BootBody<'a>,
    urls: Urls,
    ssh: Option<SshBody>,
}

#[derive(Serialize)]
struct CostBody<'a> {
    currency: &'a str,
    per_hour: f64,
    so_far: f64,
    until_expiry: f64,
}

#[derive(Serialize)]
struct IdleBody<'a> {
    limit_minutes: u32,
    active_at: String,
    deadline: String,
    verdict: VerdictBody<'a>,
}

struct VerdictBody<'a>(&'a str);

#[derive(Serialize)]
struct SignalBody {
    signal: &'static str,
    age_minutes: u16,
}

#[derive(Serialize)]
struct BootBody<'a> {
    phases: PhasesBody<'a>,
    reason: Option<ReasonBody>,
}

struct PhasesBody<'a>(&'a str);

#[derive(Serialize)]
struct PhaseBody {
    phase: &'static str,
    seconds: u32,
}

#[derive(Serialize)]
struct ReasonBody {
    phase: &'static str,
    code: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
struct Urls {
    #[serde(skip_serializing_if = "Option::is_none")]
    web_ui: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

#[derive(Serialize)]
struct SshBody {
    command: String,
    host_key: Option<String>,
}

/// What an attempt looked like from outside.
#[derive(Serialize)]
pub(super) struct AttemptBody<'a> {
    server_type: &'a str,
    location: &'a str,
    outcome: &'a str,
}

impl<'a> From<&'a Attempt> for AttemptBody<'a> {
    fn from(it: &'a Attempt) -> Self {
        Self { server_type: &it.server_type, location: &it.location, outcome: it.outcome }
    }
}

impl Serialize for VerdictBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for (signal, age_minutes) in Verdict::unpack(self.0).iter() {
            seq.serialize_element(&SignalBody { signal: signal.as_str(), age_minutes })?;
        }
        seq.end()
    }
}

impl Serialize for PhasesBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for (phase, seconds) in Timing::unpack(self.0).iter() {
            seq.serialize_element(&PhaseBody { phase: phase.as_str(), seconds })?;
        }
        seq.end()
    }
}

/// What a VM costs: per hour, until now, until its expiry; millionths.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub per_hour: u64,
    pub so_far: u64,
    pub until_expiry: u64,
}

impl Cost {
    /// `None` where the price was not written down.
    pub(super) fn of(vm: &Vm<'_>, now_secs: u64) -> Option<Self> {
        let price = vm.labels.price?;
        let until = |secs: u64| price.whole_hours(secs.saturating_sub(vm.created_secs));
        let so_far = until(now_secs);
        Some(Self {
            per_hour: price.micros_per_hour,
            so_far,
            until_expiry: until(expires_secs(vm)).max(so_far),
        })
    }
}

/// The base of a VM's own addresses: its name under the configured domain, else its IP address.
pub(super) fn vm_origin(ready: &Ready, vm: &Vm<'_>) -> Option<String> {
    let ipv4 = vm.ipv4.as_deref()?;
    Some(match &ready.config.vm_origin {
        Some(template) => template.replace("{ipv4}", ipv4),
        None if !ready.config.domain.is_empty() => format!("https://{}.{}", vm.name, ready.config.domain),
        None => format!("https://{ipv4}"),
    })
}

impl<'a> VmBody<'a> {
    pub(super) fn new(ready: &Ready, vm: &'a Vm<'_>, now_secs: u64) -> Self {
        let labels = &vm.labels;
        let fresh = labels.seen_secs.is_some_and(|it| now_secs.saturating_sub(it) <= FRESH_SECS);
        let origin = vm_origin(ready, vm);
        let url = |path: &str| origin.as_ref().map(|it| format!("{it}{path}"));
        let active_secs = labels.active_secs.unwrap_or(vm.created_secs);
        Self {
            id: vm.id.to_string(),
            name: &vm.name,
            provider: vm.id.provider.as_str(),
            location: &vm.location,
            server_type: &vm.server_type,
            size: labels.size.map(crate::model::Size::as_str),
            profile: given(&labels.profile),
            web_ui: given(&labels.ui),
            repo_url: labels.repo.unpack(),
            branch: labels.branch.unpack(),
            owner: &labels.owner,
            state: vm.state.as_str(),
            phase: labels.phase.as_str(),
            services_ready: labels.phase == Phase::Ready && fresh && vm.state == VmState::Running,
            attention: given(&labels.attention),
            created_at: rfc3339(vm.created_secs),
            age_seconds: now_secs.saturating_sub(vm.created_secs),
            ipv4: vm.ipv4.as_deref(),
            ipv6: vm.ipv6.as_deref(),
            cost: Cost::of(vm, now_secs).and_then(|it| {
                Some(CostBody {
                    currency: labels.price.as_ref()?.currency.as_str(),
                    per_hour: money(it.per_hour),
                    so_far: money(it.so_far),
                    until_expiry: money(it.until_expiry),
                })
            }),
            idle: labels.idle_minutes.map(|limit_minutes| IdleBody {
                limit_minutes,
                active_at: rfc3339(active_secs),
                deadline: rfc3339(active_secs.saturating_add(u64::from(limit_minutes) * 60)),
                verdict: VerdictBody(&labels.why),
            }),
            expires_at: Some(rfc3339(expires_secs(vm))),
            last_seen_at: labels.seen_secs.map(rfc3339),
            boot: BootBody {
                phases: PhasesBody(&labels.timing),
                reason: Reason::unpack(&labels.reason).map(|it| ReasonBody {
                    phase: it.phase.as_str(),
                    code: it.code,
                    detail: it.detail(),
                }),
            },
            urls: Urls { web_ui: url("/"), terminal: url("/terminal/"), status: url("/_mayfly/status") },
            ssh: vm
                .ipv4
                .as_deref()
                .map(|it| SshBody { command: format!("ssh root@{it}"), host_key: host_key(&labels.hostkey) }),
        }
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `SHA256:…` as ssh shows it, from the label's base32.
fn host_key(label: &str) -> Option<String> {
    use base64::Engine as _;
    let digest = from_base32(label).filter(|it| it.len() == 32)?;
    Some(format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest)))
}
