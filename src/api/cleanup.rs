//! Getting rid of things: what still bills without a VM, and everything at once. The rules of what may go are the reaper's.

use serde::Serialize;

use super::auth::Authorized;
use super::vms::{end, mine};
use super::wire::json;
use super::{Ctx, Problem};
use crate::agent::Through;
use crate::bucket::Bucket;
use crate::http::{Host, Reply};
use crate::labels::{self, Selector};
use crate::model::{Vm, VmState};
use crate::providers::{Provider, side_by_side};
use crate::reaper::{self, Item, Report, tally};

/// VMs that one call deletes at the most: a request may make so many calls and no more.
const MAX_PER_CALL: usize = 20;

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "as in openapi.json")]
struct Orphans {
    orphans: Vec<Item>,
    errors: Vec<Item>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Everything {
    deleted: Vec<Gone>,
    failed: Vec<Failed>,
    /// What is left for the next call.
    remaining: usize,
    detail: &'static str,
}

#[derive(Serialize)]
struct Gone {
    kind: &'static str,
    id: String,
    name: String,
}

#[derive(Serialize)]
struct Failed {
    kind: &'static str,
    id: String,
    name: String,
    code: &'static str,
    detail: String,
}

/// A run of the reaper as the caller may ask for it: on what is the caller's own and nobody's, an admin's on everything.
pub(super) async fn sweep<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    dry_run: bool,
    bucket: &impl Bucket,
) -> Report {
    let mut report = reaper::sweep(ctx.ready, ctx.host, dry_run, who.only()).await;
    if bucket.is_bound() {
        tally::add(&report, &Through(bucket), &ctx.ready.config.deployment, ctx.host).await;
    }
    report.of_others.get_or_insert(0);
    report
}

/// `GET /orphans`: what of ours should be gone and is not: VMs past their end, and what no VM uses.
pub(super) async fn orphans<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let report = sweep(ctx, who, true, bucket).await;
    Ok(json(200, &Orphans { orphans: report.reaped, errors: report.failed, notes: report.notes }))
}

/// `DELETE /orphans`: the same as the reaper's own run.
pub(super) async fn delete_orphans<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    Ok(json(200, &sweep(ctx, who, false, bucket).await))
}

/// `DELETE /vms?confirm=all`: every VM and snapshot of the caller's, one by one. What cannot be deleted is reported, and the
/// call may be repeated until nothing remains. An admin's are an admin's own: nobody ends everybody's work by one call.
pub(super) async fn everything<H: Host>(ctx: &Ctx<'_, H>, who: &Authorized<'_>) -> Result<Reply, Problem> {
    if !ctx.head.query.split('&').any(|it| it == "confirm=all") {
        return Err(Problem::invalid_field(
            "confirm",
            "must be all: this deletes every VM and snapshot of yours",
        ));
    }
    let mut answer = Everything { deleted: Vec::new(), failed: Vec::new(), remaining: 0, detail: "" };
    let vms = side_by_side(ctx.ready.providers.iter().map(|it| vms_of(ctx, it, who))).await;
    for (provider, vms) in ctx.ready.providers.iter().zip(vms) {
        match vms {
            Ok(vms) => delete_vms(ctx, provider, &vms, &mut answer).await,
            Err(problem) => answer.cannot_list(provider, "vms", &problem),
        }
    }
    for provider in &ctx.ready.providers {
        delete_snapshots(ctx, provider, who, &mut answer).await;
    }
    answer.detail = match (answer.remaining + answer.failed.len(), answer.deleted.len()) {
        (0, 0) => "There is nothing of yours left.",
        (0, _) => "All of it is deleted. Keys and firewalls go with the cron's next runs.",
        _ => "Not all of it is deleted: send the request again.",
    };
    Ok(json(200, &answer))
}

impl Everything {
    fn done(&self) -> usize {
        self.deleted.len() + self.failed.len()
    }

    fn cannot_list(&mut self, provider: &Provider, what: &str, problem: &Problem) {
        self.failed.push(Failed {
            kind: "list",
            id: String::new(),
            name: format!("{what} at {}", provider.name().title()),
            code: problem.code(),
            detail: problem.detail().to_owned(),
        });
    }
}

async fn vms_of<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    who: &Authorized<'_>,
) -> Result<Vec<Vm<'static>>, Problem> {
    let mut found = provider.find(ctx.host, &mine(ctx.ready, who)).await?;
    found.retain(|vm| {
        vm.labels.belongs_to(&ctx.ready.config.deployment)
            && vm.labels.owner == who.owner()
            && vm.state != VmState::Deleting
    });
    Ok(found)
}

async fn delete_vms<H: Host>(ctx: &Ctx<'_, H>, provider: &Provider, vms: &[Vm<'_>], answer: &mut Everything) {
    for vm in vms {
        if answer.done() >= MAX_PER_CALL {
            answer.remaining += 1;
            continue;
        }
        let (id, name) = (vm.id.to_string(), vm.name.to_string());
        match end(ctx, provider, vm, "everything").await {
            Ok(()) => answer.deleted.push(Gone { kind: "vm", id, name }),
            Err(problem) => {
                let (code, detail) = (problem.code(), problem.detail().to_owned());
                answer.failed.push(Failed { kind: "vm", id, name, code, detail });
            }
        }
    }
}

async fn delete_snapshots<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    who: &Authorized<'_>,
    answer: &mut Everything,
) {
    let ours = Selector::deployment(&ctx.ready.config.deployment).and(labels::OWNER, who.owner());
    let snapshots = match provider.snapshots(ctx.host, &ours).await {
        Ok(snapshots) => snapshots,
        Err(error) => return answer.cannot_list(provider, "snapshots", &error.into()),
    };
    for snapshot in snapshots {
        if answer.done() >= MAX_PER_CALL {
            answer.remaining += 1;
            continue;
        }
        let (id, name) = (snapshot.native, snapshot.description);
        match provider.delete_snapshot(ctx.host, &id).await {
            Ok(()) => answer.deleted.push(Gone { kind: "snapshot", id, name }),
            Err(error) => {
                let (code, detail) = (error.kind.code(), format!("{}.", error.sentence()));
                answer.failed.push(Failed { kind: "snapshot", id, name, code, detail });
            }
        }
    }
}
