//! Our JSON, as it goes out: the shapes of `openapi.json`. Times are RFC 3339, money is in whole units of its currency.
//! Deciding what goes in is the handlers' business.

use serde::Serialize;
use serde::ser::{Error as _, Serializer};
use serde_json::value::RawValue;

use crate::Ready;
use crate::cost::{Billing, is_stopped_billed};
use crate::encoding::from_base32;
use crate::http::Reply;
use crate::json::{Writer, member};
use crate::labels::{Certificate, Reason, Timing, Verdict};
use crate::life::Want;
use crate::model::{Phase, Size, Vm, VmState, expires_secs};
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

/// What a VM costs: per hour, until now, until it ends for idleness (where it would), until its expiry; millionths.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub per_hour: u64,
    pub so_far: u64,
    pub until_idle: Option<u64>,
    pub until_expiry: u64,
}

impl Cost {
    /// `None` where the price was not written down.
    pub(super) fn of(vm: &Vm<'_>, now_secs: u64) -> Option<Self> {
        let price = vm.labels.price?;
        let until = |secs: u64| Billing::of(vm.id.provider).amount(price, vm.created_secs, secs);
        let so_far = until(now_secs);
        if vm.state == VmState::Stopped && !is_stopped_billed(vm.id.provider) {
            return Some(Self { per_hour: 0, so_far, until_idle: None, until_expiry: so_far });
        }
        let expires = expires_secs(vm);
        Some(Self {
            per_hour: price.micros_per_hour,
            so_far,
            until_idle: idle_end(vm, now_secs).filter(|it| *it < expires).map(|it| until(it).max(so_far)),
            until_expiry: until(expires).max(so_far),
        })
    }
}

/// When a VM ends that nobody touches from now on.
fn idle_end(vm: &Vm<'_>, now_secs: u64) -> Option<u64> {
    let limit =
        vm.labels.idle_minutes.filter(|_| matches!(vm.state, VmState::Creating | VmState::Running))?;
    let idle = idle_deadline(vm, limit).max(now_secs);
    match Want::of(vm) {
        Some(Want::Keep { until }) => Some(idle.max(until)),
        Some(_) => None,
        None => Some(idle),
    }
}

fn idle_deadline(vm: &Vm<'_>, limit_minutes: u32) -> u64 {
    let active_secs = vm.labels.active_secs.unwrap_or(vm.created_secs);
    active_secs.saturating_add(u64::from(limit_minutes) * 60)
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

/// A VM in our answers. Its JSON is written by hand: a list of hundreds is what a page asks for every few seconds.
pub(super) struct VmBody<'a> {
    ready: &'a Ready,
    vm: &'a Vm<'a>,
    now_secs: u64,
}

impl Serialize for VmBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::new();
        self.write(&mut json);
        let json = String::from_utf8(json).map_err(S::Error::custom)?;
        RawValue::from_string(json).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'a> VmBody<'a> {
    pub(super) fn new(ready: &'a Ready, vm: &'a Vm<'_>, now_secs: u64) -> Self {
        Self { ready, vm, now_secs }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { ready, vm, now_secs } = *self;
        let labels = &vm.labels;
        let fresh = labels.seen_secs.is_some_and(|it| now_secs.saturating_sub(it) <= FRESH_SECS);
        let want = Want::of(vm).filter(|it| !it.is_past(now_secs));
        let services_ready = labels.phase == Phase::Ready && fresh && vm.state == VmState::Running;
        let out = &mut Writer(out);
        out.raw("{\"id\":\"").part(vm.id.provider.as_str()).raw("-").part(&vm.id.native).raw("\"");
        member!(out, "name").text(&vm.name);
        member!(out, "provider").text(vm.id.provider.as_str());
        member!(out, "location").text(&vm.location);
        member!(out, "server_type").text(&vm.server_type);
        member!(out, "market").text(vm.market.as_str());
        member!(out, "size").text_or_null(labels.size.map(Size::as_str));
        member!(out, "profile").text_or_null(given(&labels.profile));
        member!(out, "web_ui").text_or_null(given(&labels.ui));
        member!(out, "repo_url").text_or_null(labels.repo.unpack().as_deref());
        member!(out, "branch").text_or_null(labels.branch.unpack().as_deref());
        member!(out, "owner").text(&labels.owner);
        member!(out, "state").text(vm.state.as_str());
        member!(out, "phase").text(labels.phase.as_str());
        member!(out, "services_ready").raw(if services_ready { "true" } else { "false" });
        member!(out, "attention").text_or_null(given(&labels.attention));
        member!(out, "want").text_or_null(want.map(Want::as_str));
        member!(out, "created_at").time(vm.created_secs);
        member!(out, "age_seconds").number(now_secs.saturating_sub(vm.created_secs));
        member!(out, "ipv4").text_or_null(vm.ipv4.as_deref());
        member!(out, "ipv6").text_or_null(vm.ipv6.as_deref());
        member!(out, "cost");
        write_cost(out, vm, now_secs);
        member!(out, "idle");
        write_idle(out, vm);
        member!(out, "expires_at").time(expires_secs(vm));
        member!(out, "last_seen_at");
        match labels.seen_secs {
            Some(secs) => out.time(secs),
            None => out.raw("null"),
        };
        member!(out, "boot");
        write_boot(out, vm);
        member!(out, "urls");
        write_urls(out, vm_origin(ready, vm).as_deref());
        member!(out, "ssh");
        write_ssh(out, vm);
        member!(out, "tls");
        write_tls(out, vm);
        out.raw("}");
    }
}

fn write_cost(out: &mut Writer<'_>, vm: &Vm<'_>, now_secs: u64) {
    let (Some(cost), Some(price)) = (Cost::of(vm, now_secs), vm.labels.price) else {
        out.raw("null");
        return;
    };
    out.raw("{\"currency\":").text(price.currency.as_str());
    member!(out, "per_hour").number(money(cost.per_hour));
    member!(out, "so_far").number(money(cost.so_far));
    member!(out, "until_idle");
    match cost.until_idle {
        Some(micros) => out.number(money(micros)),
        None => out.raw("null"),
    };
    member!(out, "until_expiry").number(money(cost.until_expiry)).raw("}");
}

fn write_idle(out: &mut Writer<'_>, vm: &Vm<'_>) {
    let Some(limit_minutes) = vm.labels.idle_minutes else {
        out.raw("null");
        return;
    };
    let active_secs = vm.labels.active_secs.unwrap_or(vm.created_secs);
    out.raw("{\"limit_minutes\":").number(limit_minutes);
    member!(out, "active_at").time(active_secs);
    member!(out, "deadline").time(idle_deadline(vm, limit_minutes));
    member!(out, "verdict").raw("[");
    for (at, (signal, age_minutes)) in Verdict::unpack(&vm.labels.why).iter().enumerate() {
        out.raw(if at > 0 { "," } else { "" }).raw("{\"signal\":").text(signal.as_str());
        member!(out, "age_minutes").number(age_minutes).raw("}");
    }
    out.raw("]}");
}

fn write_boot(out: &mut Writer<'_>, vm: &Vm<'_>) {
    out.raw("{\"phases\":[");
    for (at, (phase, seconds)) in Timing::unpack(&vm.labels.timing).iter().enumerate() {
        out.raw(if at > 0 { "," } else { "" }).raw("{\"phase\":").text(phase.as_str());
        member!(out, "seconds").number(seconds).raw("}");
    }
    out.raw("]");
    member!(out, "reason");
    match Reason::unpack(&vm.labels.reason) {
        Some(reason) => {
            out.raw("{\"phase\":").text(reason.phase.as_str());
            member!(out, "code").text(reason.code);
            member!(out, "detail").text(reason.detail()).raw("}");
        }
        None => _ = out.raw("null"),
    }
    out.raw("}");
}

fn write_urls(out: &mut Writer<'_>, origin: Option<&str>) {
    let Some(origin) = origin else {
        out.raw("{}");
        return;
    };
    out.raw("{\"web_ui\":\"").part(origin).raw("/\"");
    member!(out, "terminal").raw("\"").part(origin).raw("/terminal/\"");
    member!(out, "status").raw("\"").part(origin).raw("/_mayfly/status\"}");
}

fn write_ssh(out: &mut Writer<'_>, vm: &Vm<'_>) {
    let Some(ipv4) = &vm.ipv4 else {
        out.raw("null");
        return;
    };
    out.raw("{\"command\":\"ssh root@").part(ipv4).raw("\"");
    member!(out, "host_key").text_or_null(host_key(&vm.labels.hostkey).as_deref()).raw("}");
}

fn write_tls(out: &mut Writer<'_>, vm: &Vm<'_>) {
    let Some(certificate) = Certificate::unpack(&vm.labels.tls) else {
        out.raw("null");
        return;
    };
    out.raw("{\"state\":\"").part(certificate.state()).raw("\"");
    member!(out, "sha256").raw("\"").part(&certificate.sha256_hex()).raw("\"}");
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::App;
    use crate::labels::VmLabels;
    use crate::model::{ProviderName, VmId};
    use crate::workspace::Market;

    const NOW_SECS: u64 = 1_795_168_800;

    fn app() -> App {
        App::from_lookup(|key| match key {
            "API_TOKEN" => Some("0123456789abcdef".into()),
            "SIGNING_KEY" => Some(format!("k1:{}", "x".repeat(32))),
            "HETZNER_TOKEN" => Some("t".into()),
            _ => None,
        })
    }

    fn vm(provider: ProviderName, state: VmState, labels: VmLabels<'static>) -> Vm<'static> {
        Vm {
            id: VmId { provider, native: "4711".into() },
            name: "mayfly-r-\"abcd".into(),
            state,
            created_secs: NOW_SECS - 3601,
            ipv4: None,
            ipv6: None,
            location: "fsn1".into(),
            server_type: "cx23".into(),
            market: Market::OnDemand,
            labels,
        }
    }

    fn shown(labels: &[(&str, &'static str)], ipv4: Option<&'static str>) -> Value {
        let mut read = VmLabels::default();
        for (key, value) in labels {
            read.take(key, (*value).into());
        }
        let ipv6 = ipv4.map(|_| "2001:db8::/64".into());
        let vm = Vm { ipv4: ipv4.map(Into::into), ipv6, ..vm(ProviderName::Hetzner, VmState::Running, read) };
        let app = app();
        let body = VmBody::new(app.ready().expect("a configuration"), &vm, NOW_SECS);
        let mut written = Vec::new();
        body.write(&mut written);
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        assert_eq!(serde_json::to_value(&body).expect("JSON"), written);
        written
    }

    #[test]
    fn everything_that_is_known_is_shown() {
        let labels = [
            ("mayfly-owner", "ann"),
            ("mayfly-phase", "ready"),
            ("mayfly-seen", "1795168790"),
            ("mayfly-active", "1795168740"),
            ("mayfly-idle", "30"),
            ("mayfly-expires", "1795172400"),
            ("mayfly-timing", "d12.c3"),
            ("mayfly-reason", "ui.ui_down"),
            ("mayfly-tls", concat!("s.", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaa")),
            ("mayfly-why", "a0.f12"),
            ("mayfly-attention", "waiting"),
            ("mayfly-price", "10472.EUR"),
            ("mayfly-hostkey", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ("mayfly-repo", "0github.com_so_sr0"),
            ("mayfly-branch", "0_hmain0"),
            ("mayfly-profile", "coding"),
            ("mayfly-ui", "ttyd"),
            ("mayfly-size", "small"),
        ];
        let expected = json!({
            "id": "hetzner-4711", "name": "mayfly-r-\"abcd", "provider": "hetzner", "location": "fsn1",
            "server_type": "cx23", "market": "on-demand", "size": "small", "profile": "coding", "web_ui": "ttyd",
            "repo_url": "https://github.com/o/r", "branch": "main", "owner": "ann", "state": "running",
            "phase": "ready", "services_ready": true, "attention": "waiting", "want": null,
            "created_at": "2026-11-20T08:59:59Z", "age_seconds": 3601,
            "ipv4": "203.0.113.7", "ipv6": "2001:db8::/64",
            "cost": {"currency": "EUR", "per_hour": 0.010_472, "so_far": 0.020_944, "until_idle": 0.020_944, "until_expiry": 0.031_416},
            "idle": {"limit_minutes": 30, "active_at": "2026-11-20T09:59:00Z", "deadline": "2026-11-20T10:29:00Z",
                "verdict": [{"signal": "agent", "age_minutes": 0}, {"signal": "files", "age_minutes": 12}]},
            "expires_at": "2026-11-20T11:00:00Z", "last_seen_at": "2026-11-20T09:59:50Z",
            "boot": {"phases": [{"phase": "docker", "seconds": 12}, {"phase": "clone", "seconds": 3}],
                "reason": {"phase": "ui", "code": "ui_down", "detail": "the web UI did not come up; the terminal did"}},
            "urls": {"web_ui": "https://203.0.113.7/", "terminal": "https://203.0.113.7/terminal/",
                "status": "https://203.0.113.7/_mayfly/status"},
            "ssh": {"command": "ssh root@203.0.113.7",
                "host_key": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
            "tls": {"state": "self_signed", "sha256": "00".repeat(32)},
        });
        assert_eq!(shown(&labels, Some("203.0.113.7")), expected);
    }

    #[test]
    fn costs_follow_what_is_billed() {
        use ProviderName::{DigitalOcean, Ec2, Hetzner, Scaleway};
        let cost = |provider, state, want: &'static str| {
            let mut labels = VmLabels::default();
            for (key, value) in [
                ("mayfly-price", "36000.EUR"),
                ("mayfly-idle", "30"),
                ("mayfly-active", "1795168200"),
                ("mayfly-expires", "1795183200"),
                ("mayfly-want", want),
            ] {
                labels.take(key, value.into());
            }
            let cost = Cost::of(&vm(provider, state, labels), NOW_SECS).expect("a price");
            (cost.per_hour, cost.so_far, cost.until_idle, cost.until_expiry)
        };
        // Created an hour and a second ago, idle in 20 minutes, over in four hours.
        let (running, stopped) = (VmState::Running, VmState::Stopped);
        assert_eq!(cost(Hetzner, running, ""), (36_000, 72_000, Some(72_000), 216_000));
        assert_eq!(cost(DigitalOcean, running, ""), (36_000, 36_010, Some(48_010), 180_010));
        // What was asked of it moves that end, or takes it away.
        assert_eq!(cost(DigitalOcean, running, "keep-1795170600").2, Some(54_010));
        assert_eq!(cost(DigitalOcean, running, "keep-1795183200").2, None);
        assert_eq!(cost(DigitalOcean, running, "stop-1795170600").2, None);
        // Standing still costs at some.
        assert_eq!(cost(Hetzner, stopped, ""), (36_000, 72_000, None, 216_000));
        assert_eq!(cost(Scaleway, stopped, ""), (0, 72_000, None, 72_000));
        assert_eq!(cost(Ec2, stopped, ""), (0, 36_010, None, 36_010));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let vm = shown(&[], None);
        for name in [
            "size",
            "profile",
            "web_ui",
            "repo_url",
            "branch",
            "attention",
            "ipv4",
            "ipv6",
            "cost",
            "idle",
            "ssh",
        ] {
            assert_eq!(vm[name], Value::Null, "{name}");
        }
        assert_eq!(vm["last_seen_at"], Value::Null);
        assert_eq!(vm["boot"], json!({"phases": [], "reason": null}));
        assert_eq!(vm["urls"], json!({}));
        assert_eq!(vm["phase"], "booting");
    }
}
