//! The reaper: deletes what should be gone, by label, from the Worker's cron and on demand. It keeps nothing between its
//! runs: what it could not delete carries its label still, and is tried again.

use serde::Serialize;

use crate::http::{Host, Log};
use crate::labels::Selector;
use crate::model::{Vm, VmState};
use crate::providers::{Leftover, Provider};
use crate::{App, Ready};

/// Deletions of one run at the most: a Worker's request may make 50 calls on the free plan.
const MAX_DELETIONS: usize = 25;
/// Keys and firewalls younger than this may be waiting for the VM that they were made for, seconds. One that is taken away
/// too early is made again by the creation that misses it.
const SHARED_MIN_AGE_SECS: u64 = 60;

/// What a run did, or would do.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether it only looked.
    pub dry_run: bool,
    /// What was deleted, or would be.
    pub reaped: Vec<Item>,
    /// What could not be deleted or looked at; the next run tries again.
    pub failed: Vec<Item>,
    /// How many VMs of other owners were among them, where the report is for one owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_others: Option<usize>,
}

impl Report {
    /// The report as one owner may see it: other people's VMs are only counted.
    #[must_use]
    pub fn for_owner(mut self, owner: &str) -> Self {
        let is_visible = |it: &Item| it.owner.as_deref().is_none_or(|it| it == owner);
        let before = self.reaped.len() + self.failed.len();
        self.reaped.retain(is_visible);
        self.failed.retain(is_visible);
        self.of_others = Some(before - self.reaped.len() - self.failed.len());
        self
    }
}

/// One resource in a report.
#[derive(Debug, Serialize)]
pub struct Item {
    /// Whose it is.
    pub provider: &'static str,
    /// `vm`, or a leftover's kind; `list` where not even the list could be had.
    pub kind: &'static str,
    /// Our id for VMs, the provider's for others.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why it goes, or why it could not.
    pub reason: String,
    /// Whose VM it is; what VMs share belongs to nobody.
    #[serde(skip)]
    pub owner: Option<String>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    event: &'a str,
    vm: &'a str,
    id: String,
    owner: &'a str,
    detail: &'a str,
}

/// One run of the cron. A Worker that is not configured has nothing to reap with.
pub async fn run(app: &App, host: &impl Host) {
    let Ok(ready) = app.ready() else {
        host.log(r#"{"event":"reaper","detail":"the Worker is not configured"}"#);
        return;
    };
    let report = sweep(ready, host, false).await;
    if !report.reaped.is_empty() || !report.failed.is_empty() {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            #[serde(flatten)]
            report: &'a Report,
        }
        host.log(&serde_json::to_string(&Line { event: "reaper", report: &report }).unwrap_or_default());
    }
}

/// Looks at every provider, expired VMs first.
pub async fn sweep(ready: &Ready, host: &impl Host, dry_run: bool) -> Report {
    let mut report = Report { dry_run, ..Report::default() };
    for provider in &ready.providers {
        sweep_one(ready, host, provider, &mut report).await;
    }
    report
}

async fn sweep_one(ready: &Ready, host: &impl Host, provider: &Provider, report: &mut Report) {
    let deployment = &ready.config.deployment;
    let selector = Selector::deployment(deployment);
    let now_secs = host.now_secs();
    let item = |kind, id: String, name: &str, reason: &str| Item {
        provider: provider.name().as_str(),
        kind,
        id,
        name: name.to_owned(),
        reason: reason.to_owned(),
        owner: None,
    };
    let mut expired: Vec<Vm<'static>> = Vec::new();
    let mut vms = 0_usize;
    let listed = provider.for_each(host, &selector, |vm| {
        if vm.labels.belongs_to(deployment) {
            vms += 1;
            if crate::model::expires_secs(vm) <= now_secs && vm.state != VmState::Deleting {
                expired.push(vm.clone().into_owned());
            }
        }
    });
    if let Err(error) = listed.await {
        report.failed.push(item("list", String::new(), "vms", &error.sentence()));
        return;
    }
    for vm in expired {
        if report.reaped.len() + report.failed.len() >= MAX_DELETIONS {
            return;
        }
        let outcome = if report.dry_run { Ok(()) } else { provider.delete(host, &vm.id.native).await };
        let (list, reason) = match outcome {
            Ok(()) => (&mut report.reaped, "expired".to_owned()),
            Err(error) => (&mut report.failed, error.sentence()),
        };
        let owner = Some(vm.labels.owner.to_string());
        list.push(Item { owner, ..item("vm", vm.id.to_string(), &vm.name, &reason) });
    }
    let leftovers = match provider.leftovers(host, deployment, vms > 0).await {
        Ok(leftovers) => leftovers,
        Err(error) => {
            report.failed.push(item("list", String::new(), "leftovers", &error.sentence()));
            return;
        }
    };
    for leftover in leftovers.into_iter().filter(|it| is_old_enough(it, now_secs)) {
        if report.reaped.len() + report.failed.len() >= MAX_DELETIONS {
            return;
        }
        let outcome = if report.dry_run { Ok(()) } else { provider.delete_leftover(host, &leftover).await };
        let (list, reason) = match outcome {
            Ok(()) => (&mut report.reaped, "belongs to no VM".to_owned()),
            Err(error) => (&mut report.failed, error.sentence()),
        };
        list.push(item(leftover.kind, leftover.native.clone(), &leftover.name, &reason));
    }
}

/// An unassigned address has lost its server; a key or firewall may be waiting for its first.
fn is_old_enough(leftover: &Leftover, now_secs: u64) -> bool {
    leftover.kind == "primary_ip" || now_secs >= leftover.created_secs + SHARED_MIN_AGE_SECS
}

/// One line about a VM's life.
pub(crate) fn log_event(log: &impl Log, event: &str, vm: &Vm<'_>, detail: &str) {
    let line = EventLine { event, vm: &vm.name, id: vm.id.to_string(), owner: &vm.labels.owner, detail };
    log.log(&serde_json::to_string(&line).unwrap_or_default());
}
