//! Golden snapshots: a disk with everything installed, and no workspace and no secret on it, from which VMs of a profile start
//! quickly. A VM is made for it, boots, prepares its disk, is stored and deleted. Its labels say how far that is; VM and cron drive
//! it on, so that no Worker need live so long. What is on the disk is `cloud-init/`'s.

use serde::Serialize;

use super::auth::Authorized;
use super::create::{Made, idempotency, make};
use super::wire::{AttemptBody, VmBody, json};
use super::{Ctx, Problem, read_body};
use crate::Ready;
use crate::http::{Body, Host, Reply};
use crate::labels::{self, Selector};
use crate::providers::{Error, Provider, Snapshot};
use crate::spec;
use crate::workspace::Profile;

#[derive(Serialize)]
struct Baking<'a> {
    vm: VmBody<'a>,
    attempts: Vec<AttemptBody<'a>>,
    warnings: Vec<String>,
    detail: &'static str,
}

/// `POST /snapshots/golden`: makes the VM. While it lives the same request makes no second one.
pub(super) async fn bake<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let body = read_body(body).await?;
    let spec = spec::parse_golden(&body, &ctx.ready.config.defaults).map_err(Problem::invalid)?;
    let key = format!("golden {} {}", spec.provider.as_str(), spec.profile.as_str());
    let made = make(ctx, who, &spec, Some(&idempotency(ctx, who, &key, &body))).await?;
    let (vm, attempts, warnings, detail) = match &made {
        Made::New(it) => (
            &it.vm,
            it.attempts.iter().map(AttemptBody::from).collect(),
            it.warnings.clone(),
            "The VM installs everything, its disk is stored, and it is deleted. GET /snapshots shows when the snapshot is ready.",
        ),
        Made::Known(vm) => (vm, Vec::new(), Vec::new(), "It is being made already."),
    };
    Ok(json(202, &Baking { vm: VmBody::new(ctx.ready, vm, ctx.now_secs), attempts, warnings, detail }))
}

/// The deployment's golden snapshots of a provider, newest first, with their profiles.
pub(crate) async fn all<H: Host>(
    ready: &Ready,
    host: &H,
    provider: &Provider,
) -> Result<Vec<Snapshot>, Error> {
    let golden = Selector::deployment(&ready.config.deployment).and(labels::GOLDEN, labels::YES);
    let mut found = provider.snapshots(host, &golden).await?;
    // What the provider sends beside is none.
    found.retain(is_golden);
    found.sort_by(|a, b| (b.created_secs, &b.native).cmp(&(a.created_secs, &a.native)));
    Ok(found)
}

/// The newest one of a profile that is ready.
pub(super) async fn newest<H: Host>(
    ready: &Ready,
    host: &H,
    provider: &Provider,
    profile: Profile,
) -> Result<Option<Snapshot>, Error> {
    let is_fit = |it: &Snapshot| {
        it.is_ready && it.labels.get(labels::PROFILE).is_some_and(|it| it == profile.as_str())
    };
    Ok(all(ready, host, provider).await?.into_iter().find(is_fit))
}

/// Whether a snapshot is golden: its disk was prepared, or it would not be one.
pub(crate) fn is_golden(it: &Snapshot) -> bool {
    [labels::GOLDEN, labels::CLEAN]
        .into_iter()
        .all(|key| it.labels.get(key).is_some_and(|it| it == labels::YES))
}
