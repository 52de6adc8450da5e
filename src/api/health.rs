//! How it goes: the providers' health for a person who has just given a token, and figures for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::auth::Authorized;
use super::vms::visible;
use super::wire::{json, money};
use super::{Ctx, Problem};
use crate::agent::Through;
use crate::bucket::Bucket;
use crate::http::{Clock as _, Host, Reply};
use crate::labels::Selector;
use crate::model::{VmState, expires_secs};
use crate::providers::{Provider, RateBudget, side_by_side};
use crate::reaper::tally::{self, Tally};

#[derive(Serialize)]
struct Health {
    providers: Vec<ProviderHealth>,
}

#[derive(Serialize)]
struct ProviderHealth {
    name: &'static str,
    title: &'static str,
    /// Whether it can be used: reached, and with a credential that may read and write.
    ok: bool,
    credential: &'static str,
    latency_ms: u64,
    rate_limit_remaining: RateBudget,
    error: Option<ErrorBody>,
}

#[derive(Serialize)]
struct ErrorBody {
    code: &'static str,
    detail: String,
}

/// `GET /health/providers`: each provider is asked for our VMs, and whether the credential may write.
pub(super) async fn providers<H: Host>(ctx: &Ctx<'_, H>, _who: &Authorized<'_>) -> Result<Reply, Problem> {
    let providers = side_by_side(ctx.ready.providers.iter().map(|it| one(ctx, it))).await;
    Ok(json(200, &Health { providers }))
}

async fn one<H: Host>(ctx: &Ctx<'_, H>, provider: &Provider) -> ProviderHealth {
    use crate::providers::ErrorKind::{TokenReadonly, Unauthorized};
    let began = ctx.host.now_ms();
    let ours = Selector::deployment(&ctx.ready.config.deployment);
    let listed = provider.for_each(ctx.host, &ours, |_| ()).await;
    let latency_ms = ctx.host.now_ms().saturating_sub(began);
    let (budget, error) = match listed {
        Ok(budget) => (budget, provider.may_write(ctx.host).await.err()),
        Err(error) => (None, Some(error)),
    };
    let credential = match error.as_ref().map(|it| it.kind) {
        None => "read_write",
        Some(TokenReadonly) => "read_only",
        Some(Unauthorized) => "refused",
        Some(_) => "unknown",
    };
    ProviderHealth {
        name: provider.name().as_str(),
        title: provider.name().title(),
        ok: error.is_none(),
        credential,
        latency_ms,
        rate_limit_remaining: budget,
        error: error.map(|it| ErrorBody { code: it.kind.code(), detail: format!("{}.", it.sentence()) }),
    }
}

/// VMs of one provider, phase and owner.
#[derive(Default)]
struct Figures {
    vms: BTreeMap<(&'static str, &'static str, &'static str, String), u64>,
    micros_per_hour: BTreeMap<(&'static str, String, String), u64>,
    overdue: BTreeMap<&'static str, u64>,
    up: BTreeMap<&'static str, bool>,
}

/// `GET /metrics`: the VMs that the caller sees in Prometheus' text format (version 0.0.4), as gauges, for there is no memory between two
/// requests; with a bucket also how much the reaper has deleted so far, and could not.
pub(super) async fn metrics<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let selector = visible(ctx.ready, who);
    let found = side_by_side(ctx.ready.providers.iter().map(|provider| {
        let selector = &selector;
        async move {
            let mut figures = Figures::default();
            let name = provider.name().as_str();
            let listed = provider.for_each(ctx.host, selector, |vm| {
                if !vm.labels.belongs_to(&ctx.ready.config.deployment) || !who.sees(&vm.labels.owner) {
                    return;
                }
                let owner = vm.labels.owner.to_string();
                let key = (name, vm.labels.phase.as_str(), vm.state.as_str(), owner.clone());
                *figures.vms.entry(key).or_default() += 1;
                if let Some(price) = vm.labels.price {
                    let key = (name, owner, price.currency.as_str().to_owned());
                    let sum = figures.micros_per_hour.entry(key).or_default();
                    *sum = sum.saturating_add(price.micros_per_hour);
                }
                let is_overdue = expires_secs(vm) <= ctx.now_secs && vm.state != VmState::Deleting;
                *figures.overdue.entry(name).or_default() += u64::from(is_overdue);
            });
            let is_up = listed.await.is_ok();
            figures.up.insert(name, is_up);
            figures
        }
    }))
    .await;
    let mut all = Figures::default();
    for it in found {
        all.vms.extend(it.vms);
        all.micros_per_hour.extend(it.micros_per_hour);
        all.overdue.extend(it.overdue);
        all.up.extend(it.up);
    }
    let mut text = all.text();
    if let Some((tokens, budget)) = super::agent::used_today(ctx, who, bucket).await {
        write_tokens(&mut text, who.owner(), tokens, budget);
    }
    if bucket.is_bound()
        && let Ok(sums) = tally::read(&Through(bucket), &ctx.ready.config.deployment).await
    {
        write_reaped(&mut text, sums);
    }
    let headers = vec![("content-type", "text/plain; version=0.0.4; charset=utf-8".into())];
    Ok(Reply { status: 200, headers, body: text.into_bytes() })
}

fn write_tokens(out: &mut String, owner: &str, tokens: u64, budget: Option<u64>) {
    let mut one = |name: &str, help: &str, value: u64| {
        head(out, name, help);
        let _ = writeln!(out, "{name}{{owner=\"{owner}\"}} {value}");
    };
    one(
        "mayfly_agent_tokens_today",
        "Tokens of the agents' answers since midnight UTC, as a budget counts them.",
        tokens,
    );
    if let Some(budget) = budget {
        one("mayfly_agent_budget_tokens", "How many there may be in a day.", budget);
    }
}

fn write_reaped(out: &mut String, sums: Tally) {
    typed(out, "mayfly_reaped_total", "What the reaper has deleted.", "counter");
    for (kind, count) in [("vm", sums.vms), ("snapshot", sums.snapshots), ("leftover", sums.leftovers)] {
        let _ = writeln!(out, "mayfly_reaped_total{{kind=\"{kind}\"}} {count}");
    }
    let help = "Deletions of the reaper that failed; each is tried again and counts again.";
    typed(out, "mayfly_failed_deletes_total", help, "counter");
    let _ = writeln!(out, "mayfly_failed_deletes_total {}", sums.failed);
}

fn head(out: &mut String, name: &str, help: &str) {
    typed(out, name, help, "gauge");
}

fn typed(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

impl Figures {
    /// Owners, phases and states are words without quotes or backslashes: nothing needs escaping.
    fn text(&self) -> String {
        let mut out = String::new();
        head(&mut out, "mayfly_vms", "VMs that exist.");
        for ((provider, phase, state, owner), count) in &self.vms {
            let _ = writeln!(
                out,
                "mayfly_vms{{provider=\"{provider}\",phase=\"{phase}\",state=\"{state}\",owner=\"{owner}\"}} {count}"
            );
        }
        head(&mut out, "mayfly_cost_per_hour", "Sum of the prices per hour that are written on the VMs.");
        for ((provider, owner, currency), micros) in &self.micros_per_hour {
            let cost = money(*micros);
            let _ = writeln!(
                out,
                "mayfly_cost_per_hour{{provider=\"{provider}\",owner=\"{owner}\",currency=\"{currency}\"}} {cost}"
            );
        }
        head(
            &mut out,
            "mayfly_vms_overdue",
            "VMs past their end that are still there: their deletion fails.",
        );
        for (provider, count) in &self.overdue {
            let _ = writeln!(out, "mayfly_vms_overdue{{provider=\"{provider}\"}} {count}");
        }
        head(&mut out, "mayfly_provider_up", "Whether the provider listed the VMs.");
        for (provider, is_up) in &self.up {
            let _ = writeln!(out, "mayfly_provider_up{{provider=\"{provider}\"}} {}", u8::from(*is_up));
        }
        out
    }
}
