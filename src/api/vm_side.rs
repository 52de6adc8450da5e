//! What VMs say to the Worker, and what they get: boot exchange, progress, heartbeat, their own deletion. Each acts on
//! the VM that its capability names and on nothing else. What a VM makes of the answers is in `cloud-init/`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::agent;
use super::auth::VmIdentity;
use super::wire::json;
use super::{Ctx, Problem, read_body, store};
use crate::backup;
use crate::cost::Billing;
use crate::encoding::{base32, base64url};
use crate::http::{Body, Caller, Host, Reply};
use crate::labels::{self, Certificate, LabelChange, Reason, Selector, Signal, Timing, Verdict};
use crate::life::Want;
use crate::model::{Phase, ProviderName, Vm, expires_secs};
use crate::providers::{Provider, RateBudget};
use crate::reaper;

/// The boot exchange closes this long after the VM's creation, seconds.
const BOOT_OPEN_SECS: u64 = 600;
/// `seen` and `active` are written at most this often, seconds: every write costs two of the provider's calls.
const WRITE_INTERVAL_SECS: u64 = 600;
/// When to come next, seconds: usually; while something is wanted of the VM; when the rate limit runs low.
const NEXT_SECS: u32 = 300;
const NEXT_WANTED_SECS: u32 = 20;
const NEXT_SPARING_SECS: u32 = 900;
/// Below this many calls left of a provider's hour (Hetzner's has 3,600, DigitalOcean's 5,000), heartbeats become rarer.
const RATE_BUDGET_LOW: u32 = 600;
/// A VM's clock may be this far ahead of ours, seconds.
const CLOCK_SKEW_SECS: u64 = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootRequest {
    #[serde(default)]
    sealed: String,
}

/// Secrets for the VM, the request's own before the Worker's defaults, empty where there is none; and the scripts that
/// build the workspace.
#[derive(Default, Serialize)]
struct BootAnswer {
    password: String,
    link_key: String,
    git_token: String,
    anthropic_api_key: String,
    claude_code_oauth_token: String,
    env: BTreeMap<String, String>,
    provider_credential: String,
    backup_password: String,
    backup_s3_secret: String,
    restore: String,
    workspace: String,
}

impl BootAnswer {
    /// What every VM gets.
    fn bare(who: &VmIdentity<'_>) -> Self {
        Self {
            password: who.key().password(&who.claims().vm).expose().to_owned(),
            link_key: base64url(&who.key().link_key(&who.claims().vm)),
            workspace: crate::user_data::workspace_archive(),
            ..Self::default()
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Unsealed {
    git_token: String,
    anthropic_api_key: String,
    claude_code_oauth_token: String,
    env: BTreeMap<String, String>,
    restore: String,
}

#[derive(Deserialize)]
struct ProgressRequest {
    phase: String,
    #[serde(default)]
    seconds: BTreeMap<String, u32>,
    reason: Option<ReasonRequest>,
    host_key: Option<String>,
    tls: Option<TlsRequest>,
    /// Whether what the workspace holds is saved somewhere, said when that changes.
    saved: Option<bool>,
}

/// The certificate that the door shows now.
#[derive(Deserialize)]
struct TlsRequest {
    tls: String,
    sha256: String,
}

#[derive(Deserialize)]
struct ReasonRequest {
    phase: String,
    code: String,
}

#[derive(Serialize)]
struct ProgressAnswer {
    phase: &'static str,
    next_seconds: u32,
    want: Option<String>,
}

#[derive(Deserialize)]
struct HeartbeatRequest {
    active: u64,
    #[serde(default)]
    verdict: BTreeMap<String, Option<u64>>,
    attention: Option<String>,
    tls: Option<TlsRequest>,
    /// What of the wishes is done.
    done: Option<String>,
    /// The VM has warned whoever is on it: it ends after so many seconds. Said once.
    ending: Option<u64>,
}

#[derive(Serialize)]
struct HeartbeatAnswer {
    next_seconds: u32,
    want: Option<String>,
    expires: u64,
    idle_minutes: u32,
}

#[derive(Serialize)]
struct DeletedAnswer {
    deleted: bool,
    already_gone: bool,
}

/// The server that a capability names.
pub(super) struct Found<'a> {
    provider: &'a Provider,
    pub(super) vm: Vm<'static>,
    rate_budget: RateBudget,
}

/// `POST /vm/boot`: the VM fetches its secrets. Open only to the server's own address, before the repository's code runs,
/// in the first ten minutes.
pub(super) async fn boot<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    body: &mut impl Caller,
) -> Result<Reply, Problem> {
    let request: BootRequest = read(body).await?;
    let Found { provider, vm, .. } = find(ctx, who).await?.ok_or_else(gone)?;
    let closed =
        |why: &str| Err(Problem::new(403, "boot_closed", format!("The boot exchange is closed: {why}.")));
    if vm.labels.phase >= Phase::Devcontainer {
        return closed("the VM's own setup is done");
    }
    if ctx.now_secs > vm.created_secs.saturating_add(BOOT_OPEN_SECS) {
        return closed("the VM was created more than ten minutes ago");
    }
    if !(ctx.head.header)("cf-connecting-ip").is_some_and(|it| is_own_address(&vm, &it)) {
        return closed("the caller's address is not the server's own");
    }
    super::log::forget_old(ctx, body).await;
    let config = &ctx.ready.config;
    let unsealed = if request.sealed.is_empty() {
        Unsealed::default()
    } else {
        let plain = config.keys.open(&request.sealed, &config.deployment, &who.claims().vm);
        plain.and_then(|it| serde_json::from_slice(&it).ok()).ok_or_else(|| {
            Problem::invalid_field(
                "sealed",
                "cannot be opened: it was sealed for another VM, or with a key that is gone",
            )
        })?
    };
    let or = |given: String, default: &crate::secret::Secret| {
        if given.is_empty() { default.expose().to_owned() } else { given }
    };
    if vm.labels.golden {
        // Its disk is stored: nothing comes onto it that opens anything but this VM's own door.
        return Ok(json(200, &BootAnswer::bare(who)));
    }
    let defaults = &config.defaults;
    // One credential for the agent: what the request chose hides both defaults.
    let chosen = !unsealed.anthropic_api_key.is_empty() || !unsealed.claude_code_oauth_token.is_empty();
    let mut env = unsealed.env;
    let granted = agent::grant(ctx, who.claims(), &vm).filter(|_| !chosen && agent::is_ours(env.keys()));
    let (api_key, oauth_token) = if chosen {
        (unsealed.anthropic_api_key, unsealed.claude_code_oauth_token)
    } else if let Some(granted) = granted {
        // The Worker's key stays here: what stands in its place is good for asking through us, and renewed (`token`).
        env.insert("ANTHROPIC_BASE_URL".to_owned(), granted.base_url);
        (granted.token, String::new())
    } else if config.agent.is_some() || !agent::is_ours(env.keys()) {
        // Where the way to the model is the request's own, so is its key: the Worker's would be sent to anybody.
        (String::new(), String::new())
    } else {
        (defaults.anthropic_api_key.expose().to_owned(), defaults.claude_code_oauth_token.expose().to_owned())
    };
    let credential = config.vm_credential(provider.name()).map(|it| it.expose().to_owned());
    let backup_key = config.backup_key.as_ref().filter(|_| store::kind(ctx, body) != "none");
    let workspace = backup::workspace_of(who.claims(), &vm);
    let backup_password = backup_key.zip(workspace).map(|(key, it)| backup::password(key, &it));
    // Nothing to save there, nothing to get in with.
    let backup_s3 = config.backup_s3.as_ref().filter(|_| backup_password.is_some());
    Ok(json(
        200,
        &BootAnswer {
            git_token: or(unsealed.git_token, &defaults.git_token),
            anthropic_api_key: api_key,
            claude_code_oauth_token: oauth_token,
            env,
            provider_credential: credential.unwrap_or_default(),
            backup_password: backup_password.map(|it| it.expose().to_owned()).unwrap_or_default(),
            backup_s3_secret: backup_s3
                .map(|it| it.secret_access_key.expose().to_owned())
                .unwrap_or_default(),
            restore: unsealed.restore,
            ..BootAnswer::bare(who)
        },
    ))
}

/// `POST /vm/progress`: a phase of the boot begins, or the boot has failed. Always written to the labels.
pub(super) async fn progress<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let request: ProgressRequest = read(body).await?;
    let reported =
        Phase::parse(&request.phase).ok_or_else(|| Problem::invalid_field("phase", "is not a phase"))?;
    let reason = request.reason.map(|it| {
        let phase = Phase::parse(&it.phase)
            .ok_or_else(|| Problem::invalid_field("reason.phase", "is not a phase"))?;
        Reason::new(phase, &it.code)
            .ok_or_else(|| Problem::invalid_field("reason.code", "is not a known code"))
    });
    let reason = reason.transpose()?;
    if reported == Phase::Failed && reason.is_none() {
        return Err(Problem::invalid_field("reason", "is required with phase failed"));
    }
    let host_key = request.host_key.as_deref().map(|it| {
        host_key_label(it)
            .ok_or_else(|| Problem::invalid_field("host_key", "must be SHA256:… as ssh-keygen -l prints it"))
    });
    let host_key = host_key.transpose()?;
    let tls = request.tls.as_ref().map(certificate_label).transpose()?;
    let Found { provider, vm, .. } = find(ctx, who).await?.ok_or_else(gone)?;
    let is_new_boot = reported == Phase::Booting && vm.labels.phase != Phase::Booting;
    let phase = vm.labels.phase.advanced_to(reported);
    let mut timing = if is_new_boot { Timing::default() } else { Timing::unpack(&vm.labels.timing) };
    for (name, secs) in &request.seconds {
        if let Some(phase) = Phase::parse(name) {
            timing.set(phase, *secs);
        }
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    let mut changes: Vec<LabelChange> = vec![
        (labels::PHASE, Some(phase.as_str().to_owned())),
        (labels::SEEN, Some(ctx.now_secs.to_string())),
        (labels::TIMING, given(timing.pack())),
    ];
    let why = reason.as_ref().map(Reason::pack);
    // A late report of a boot that has ended changes nothing about how it ended.
    if is_new_boot || phase == reported {
        if let Some(reason) = reason {
            changes.push((labels::REASON, Some(reason.pack())));
        } else if is_new_boot {
            changes.push((labels::REASON, None));
        }
    }
    if let Some(host_key) = host_key {
        changes.push((labels::HOSTKEY, Some(host_key)));
    }
    if tls.is_some() {
        changes.push((labels::TLS, tls));
    }
    let was_unsaved = vm.labels.is_unsaved();
    let is_unsaved_now = request.saved == Some(false) && !was_unsaved;
    if is_unsaved_now {
        changes.push((labels::REASON, Reason::new(Phase::Ready, Reason::NOT_SAVED).map(|it| it.pack())));
    } else if request.saved == Some(true) && was_unsaved {
        changes.push((labels::REASON, None));
    }
    if vm.labels.golden && phase == Phase::Ready && vm.labels.want.is_empty() {
        // What it was made for.
        let deadline = ctx.now_secs + Want::PATIENCE_SECS;
        changes.push((labels::WANT, Some(Want::Snapshot { deadline }.pack())));
    }
    if !provider.relabel(ctx.host, &vm.id.native, &changes).await? {
        return Err(gone());
    }
    if phase != vm.labels.phase {
        let (event, detail) = match &why {
            Some(why) if phase == Phase::Failed => ("failed", why.as_str()),
            _ => ("phase", phase.as_str()),
        };
        reaper::log_event(ctx.host, event, &vm, detail);
    }
    if is_unsaved_now {
        reaper::log_event(ctx.host, "unsaved", &vm, "its last work is saved nowhere");
    }
    let want = Want::of(&vm);
    if reported == Phase::Stopping && matches!(want, Some(Want::Stop { .. })) {
        // Its work is saved. If this fails, the cron does it.
        let _ = super::lifecycle::switch_off(ctx, provider, &vm).await;
    }
    let want = want.map(Want::for_vm);
    Ok(json(200, &ProgressAnswer { phase: phase.as_str(), next_seconds: NEXT_WANTED_SECS, want }))
}

/// `POST /vm/heartbeat`: the VM lives, and says why it is not idle.
pub(super) async fn heartbeat<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let request: HeartbeatRequest = read(body).await?;
    let attention = match request.attention.as_deref() {
        None => None,
        Some(it @ ("waiting" | "done")) => Some(it.to_owned()),
        Some(_) => return Err(Problem::invalid_field("attention", "must be waiting, done or null")),
    };
    let tls = request.tls.as_ref().map(certificate_label).transpose()?;
    let Found { provider, vm, rate_budget } = find(ctx, who).await?.ok_or_else(gone)?;
    let mut verdict = Verdict::default();
    for (name, minutes) in request.verdict {
        let signal = Signal::ALL.into_iter().find(|it| it.as_str() == name);
        if let (Some(signal), Some(minutes)) = (signal, minutes) {
            verdict.set(signal, minutes);
        }
    }
    // A clock that runs ahead must not keep the VM for ever, and activity never goes back.
    let before = vm.labels.active_secs.unwrap_or(vm.created_secs);
    let active = if request.active > ctx.now_secs + CLOCK_SKEW_SECS { ctx.now_secs } else { request.active }
        .max(before);
    let is_due =
        |label: Option<u64>, now: u64| label.is_none_or(|it| now >= it.saturating_add(WRITE_INTERVAL_SECS));
    let attention_changed = attention.as_deref().unwrap_or_default() != vm.labels.attention;
    let is_waiting = attention.as_deref() == Some("waiting");
    let tls = tls.filter(|it| *it != vm.labels.tls);
    let idle_secs = u64::from(vm.labels.idle_minutes.unwrap_or(ctx.ready.config.defaults.idle_minutes)) * 60;
    // It was about to end, and somebody came back.
    let is_back = vm.labels.phase == Phase::Stopping
        && active.saturating_add(idle_secs) > ctx.now_secs + CLOCK_SKEW_SECS
        && !matches!(Want::of(&vm), Some(Want::Stop { .. } | Want::Snapshot { .. }));
    let is_news = attention_changed || tls.is_some() || is_back;
    if is_due(vm.labels.seen_secs, ctx.now_secs) || is_due(Some(before), active) || is_news {
        let why = verdict.pack();
        let mut changes = vec![
            (labels::SEEN, Some(ctx.now_secs.to_string())),
            (labels::ACTIVE, Some(active.to_string())),
            (labels::WHY, (!why.is_empty()).then_some(why)),
            (labels::ATTENTION, attention),
        ];
        if tls.is_some() {
            changes.push((labels::TLS, tls));
        }
        if is_back {
            changes.push((labels::PHASE, Some(Phase::Ready.as_str().to_owned())));
        }
        if !provider.relabel(ctx.host, &vm.id.native, &changes).await? {
            return Err(gone());
        }
    }
    if is_waiting && attention_changed {
        reaper::log_event(ctx.host, "attention", &vm, "the agent waits for an answer");
    }
    if let Some(secs) = request.ending {
        reaper::log_event(ctx.host, "idle_warning", &vm, &format!("ends in {} minutes", secs.div_ceil(60)));
    }
    let mut want = Want::of(&vm).filter(|it| !it.is_past(ctx.now_secs));
    if let (Some(Want::Snapshot { deadline }), Some("snapshot")) = (want, request.done.as_deref()) {
        // What fails is tried again with the next heartbeat, and by the cron when the VM's time is up.
        let stored = super::go_on(ctx.ready, ctx.host, provider, &vm, deadline, true).await;
        if matches!(stored, Ok(true)) && vm.labels.golden {
            super::vms::end(ctx, provider, &vm, "its disk is stored").await?;
        } else if matches!(stored, Ok(true)) {
            provider.relabel(ctx.host, &vm.id.native, &[(labels::WANT, None)]).await?;
            want = None;
        }
    }
    let idle_minutes = vm.labels.idle_minutes.unwrap_or(ctx.ready.config.defaults.idle_minutes);
    // The VM decides; its clock and ours need not agree to the minute.
    let is_idle = active.saturating_add(idle_secs) <= ctx.now_secs + CLOCK_SKEW_SECS;
    if want.is_none() && is_idle && vm.labels.paid_hour {
        let billing = Billing::of(vm.id.provider);
        want = billing.paid_until(vm.created_secs, ctx.now_secs).map(|until| Want::Wait { until });
    }
    let next_seconds = match want {
        Some(Want::Stop { .. } | Want::Snapshot { .. }) => NEXT_WANTED_SECS,
        _ if rate_budget.is_some_and(|it| it < RATE_BUDGET_LOW) => NEXT_SPARING_SECS,
        _ => NEXT_SECS,
    };
    let want = want.map(Want::for_vm);
    Ok(json(200, &HeartbeatAnswer { next_seconds, want, expires: expires_secs(&vm), idle_minutes }))
}

/// `DELETE /vm`: the VM ends itself. Success means that the provider accepted it; anything else is a problem, and the VM
/// tries again.
pub(super) async fn delete<H: Host>(ctx: &Ctx<'_, H>, who: &VmIdentity<'_>) -> Result<Reply, Problem> {
    let Some(Found { provider, vm, .. }) = find(ctx, who).await? else {
        return Ok(json(200, &DeletedAnswer { deleted: true, already_gone: true }));
    };
    super::vms::end(ctx, provider, &vm, "itself").await?;
    Ok(json(200, &DeletedAnswer { deleted: true, already_gone: false }))
}

/// Finds the server by the identity label; its provider's id was not known when the capability was signed.
pub(super) async fn find<'a, H: Host>(
    ctx: &Ctx<'a, H>,
    who: &VmIdentity<'_>,
) -> Result<Option<Found<'a>>, Problem> {
    let claims = who.claims();
    let provider = ProviderName::parse(&claims.provider).and_then(|it| ctx.ready.provider(it));
    let provider = provider.ok_or_else(|| {
        Problem::new(503, "provider_not_configured", "The VM's provider is not configured in this Worker.")
    })?;
    let selector = Selector::deployment(&claims.deployment).and(labels::VM, &claims.vm);
    let mut found = None;
    let rate_budget = provider
        .for_each(ctx.host, &selector, |vm| {
            if vm.labels.belongs_to(&claims.deployment) && vm.labels.vm == claims.vm {
                found = Some(vm.clone().into_owned());
            }
        })
        .await?;
    Ok(found.map(|vm| Found { provider, vm, rate_budget }))
}

pub(super) async fn read<T: for<'de> Deserialize<'de>>(body: &mut impl Body) -> Result<T, Problem> {
    let bytes = read_body(body).await?;
    // The scripts are ours: what is wrong is a position, not something for a form.
    serde_json::from_slice(&bytes).map_err(|error| {
        let what =
            if error.is_data() { "has a field that is missing or of the wrong type" } else { "is not JSON" };
        Problem::invalid_field(
            "",
            format!("the body {what}: line {}, column {}", error.line(), error.column()),
        )
    })
}

pub(super) fn gone() -> Problem {
    Problem::new(404, "vm_not_found", "No server carries this VM's label.")
}

/// Whether a caller's address is the server's: its IPv4 address, or any of its IPv6 network. That is a whole /64, unless
/// the provider's answer names a longer prefix: then strangers have addresses in the same /64.
fn is_own_address(vm: &Vm<'_>, caller: &str) -> bool {
    match caller.parse() {
        Ok(IpAddr::V4(caller)) => vm.ipv4.as_deref().and_then(|it| it.parse().ok()) == Some(caller),
        Ok(IpAddr::V6(caller)) => {
            let Some(own) = vm.ipv6.as_deref() else { return false };
            let (own, prefix) = own.split_once('/').unwrap_or((own, ""));
            let host_bits = 128 - prefix.parse().unwrap_or(64).clamp(64, 128);
            let network = |it: Ipv6Addr| u128::from(it).checked_shr(host_bits);
            own.parse().is_ok_and(|own| network(own) == network(caller))
        }
        Err(_) => false,
    }
}

fn certificate_label(it: &TlsRequest) -> Result<String, Problem> {
    Certificate::parse(&it.tls, &it.sha256).map(|it| it.pack()).ok_or_else(|| {
        Problem::invalid_field(
            "tls",
            "must be trusted or self_signed, with a SHA-256 of 64 hexadecimal digits",
        )
    })
}

/// `SHA256:` and base64 without padding, as a label: base32.
fn host_key_label(fingerprint: &str) -> Option<String> {
    use base64::Engine as _;
    let digest = fingerprint.strip_prefix("SHA256:")?;
    let digest = base64::engine::general_purpose::STANDARD_NO_PAD.decode(digest).ok()?;
    (digest.len() == 32).then(|| base32(&digest))
}
