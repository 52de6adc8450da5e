//! The reaper: deletes what should be gone, by label, from the Worker's cron and on demand. What a VM deserves is `life`'s to
//! say. It keeps nothing between its runs: what it could not delete carries its label still, and is tried again.
//!
//! A run may make so many calls and no more. It is a fixed sweep: the VMs of every provider, then what no VM uses, then
//! snapshots past their date. Which provider and which VM comes first follows from the clock, and every other run changes the
//! last two and keeps half of its calls and deletions for them, so that nothing is always what no calls are left for.

mod report;
pub mod tally;

use serde::Serialize;

use crate::http::{Clock as _, Counted, Host, Log};
use crate::labels::{self, Selector};
use crate::life::{self, Verdict};
use crate::model::{Price, Vm, VmState};
use crate::providers::{Error, ErrorKind, Leftover, Power, Provider, Snapshot};
use crate::webhook::Event;
use crate::{App, Ready};

pub use report::{Item, Report};

/// The pause between two runs of the cron, seconds (`wrangler.toml`).
pub const PERIOD_SECS: u64 = 600;
/// Deletions of one run at the most.
const MAX_DELETIONS: usize = 25;
/// Keys and firewalls younger than this may be waiting for the VM that they were made for, seconds. One that is taken away
/// too early is made again by the creation that misses it.
const SHARED_MIN_AGE_SECS: u64 = 60;

#[derive(Serialize)]
struct EventLine<'a> {
    event: &'a str,
    vm: &'a str,
    id: String,
    owner: &'a str,
    detail: &'a str,
}

/// What one provider's list says.
struct Seen {
    /// VMs of ours, whatever their state.
    vms: usize,
    /// Those that should be heard of.
    running: usize,
    /// Those for whom something is due.
    due: Vec<(Vm<'static>, Verdict)>,
}

/// One run of the cron. A Worker that is not configured has nothing to reap with.
pub async fn run<H: Host>(app: &App, host: &Counted<'_, H>) -> Report {
    let Ok(ready) = app.ready() else {
        host.log(r#"{"event":"reaper","detail":"the Worker is not configured"}"#);
        return Report::default();
    };
    let report = sweep(ready, host, false, None).await;
    if !report.is_empty() {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            #[serde(flatten)]
            report: &'a Report,
        }
        host.log(&serde_json::to_string(&Line { event: "reaper", report: &report }).unwrap_or_default());
    }
    report
}

/// One whole run; for one owner, what is another's is counted and left alone.
pub async fn sweep<H: Host>(
    ready: &Ready,
    host: &Counted<'_, H>,
    dry_run: bool,
    only: Option<&str>,
) -> Report {
    host.limit_to(ready.config.subrequests);
    if ready.config.webhook.is_some() {
        host.keep_for_events();
    }
    let report = Report { dry_run, ..Report::default() };
    let now_secs = host.now_secs();
    let mut sweep = Sweep { ready, host, only, now_secs, deletions: MAX_DELETIONS, report };
    sweep.all().await;
    sweep.report
}

/// A run at work.
struct Sweep<'a, H> {
    ready: &'a Ready,
    host: &'a H,
    only: Option<&'a str>,
    now_secs: u64,
    /// How many may be tried by now.
    deletions: usize,
    report: Report,
}

impl<H: Host> Sweep<'_, Counted<'_, H>> {
    async fn all(&mut self) {
        let mut providers: Vec<&Provider> = self.ready.providers.iter().collect();
        let run = usize::try_from(self.now_secs / PERIOD_SECS).unwrap_or(0);
        let is_other = run % 2 == 1;
        rotate(&mut providers, run);
        let mut seen = Vec::new();
        for provider in &providers {
            match self.look(provider).await {
                Ok(it) => seen.push((*provider, it)),
                Err(error) => self.cannot_list(provider, "vms", &error),
            }
        }
        let path_is_broken = self.is_path_broken(&seen);
        let kept = if is_other { self.host.left() / 2 } else { 0 };
        self.deletions = if is_other { MAX_DELETIONS / 2 } else { MAX_DELETIONS };
        for (provider, it) in &mut seen {
            if is_other {
                rotate(&mut it.due, run / 2);
            }
            for (vm, verdict) in &it.due {
                if self.host.left() > kept {
                    self.act(provider, vm, *verdict, path_is_broken).await;
                }
            }
        }
        if !self.may_delete() {
            self.report.notes.push(format!("More than {} are due; the next run goes on.", self.deletions));
        }
        self.deletions = MAX_DELETIONS;
        if is_other {
            self.all_snapshots(&seen).await;
            self.all_leftovers(&seen).await;
        } else if self.may_delete() {
            self.all_leftovers(&seen).await;
            self.all_snapshots(&seen).await;
        } else {
            return;
        }
        if self.host.left() == 0 {
            self.report.notes.push("The calls of this run are used up; the next run goes on.".into());
        }
    }

    /// Only where the VMs are known is it known what no VM uses.
    async fn all_leftovers(&mut self, seen: &[(&Provider, Seen)]) {
        for (provider, it) in seen {
            self.leftovers(provider, it.vms > 0).await;
        }
    }

    async fn all_snapshots(&mut self, seen: &[(&Provider, Seen)]) {
        for (provider, _) in seen {
            self.snapshots(provider).await;
        }
    }

    async fn look(&self, provider: &Provider) -> Result<Seen, Error> {
        let config = &self.ready.config;
        let mut seen = Seen { vms: 0, running: 0, due: Vec::new() };
        let ours = Selector::deployment(&config.deployment);
        let listed = provider.for_each(self.host, &ours, |vm| {
            if !vm.labels.belongs_to(&config.deployment) {
                return;
            }
            seen.vms += 1;
            seen.running += usize::from(vm.state == VmState::Running);
            let verdict = life::judge(vm, config.defaults.idle_minutes, self.now_secs);
            if verdict != Verdict::Lives {
                seen.due.push((vm.clone().into_owned(), verdict));
            }
        });
        listed.await?;
        Ok(seen)
    }

    /// When most VMs fall silent together, the path to them is broken, and not they.
    fn is_path_broken(&mut self, seen: &[(&Provider, Seen)]) -> bool {
        let is_silent =
            |it: &&(Vm<'_>, Verdict)| matches!(it.1, Verdict::Missed | Verdict::Waiting | Verdict::Silent);
        let silent: usize = seen.iter().map(|(_, it)| it.due.iter().filter(is_silent).count()).sum();
        let running: usize = seen.iter().map(|(_, it)| it.running).sum();
        let is_broken = silent > 1 && silent * 2 > running;
        if is_broken {
            self.report.notes.push(format!(
                "{silent} of {running} running VMs are silent. That looks like a broken path to this Worker and not like \
                 broken VMs: none of them is deleted before its expiry. Is PUBLIC_URL right, and reachable from them?"
            ));
        }
        is_broken
    }

    async fn act(&mut self, provider: &Provider, vm: &Vm<'_>, verdict: Verdict, path_is_broken: bool) {
        if self.is_anothers(&vm.labels.owner) {
            let is_due = matches!(verdict, Verdict::Expired | Verdict::NeverReady)
                || verdict == Verdict::Silent && !path_is_broken;
            self.report.leave(usize::from(is_due));
            return;
        }
        let why = match verdict {
            Verdict::Lives | Verdict::Waiting => return,
            Verdict::Expired if vm.state == VmState::Stopped => "stopped past its date",
            Verdict::Expired if vm.labels.is_unsaved() => "expired; its last work was not saved",
            Verdict::Expired => "expired",
            Verdict::NeverReady => "its boot never came to an end",
            Verdict::Silent if path_is_broken => return,
            Verdict::Silent => "silent",
            Verdict::Missed => {
                if !path_is_broken && !self.report.dry_run {
                    self.mark(provider, vm).await;
                }
                return;
            }
            Verdict::StopNow => return self.switch(provider, vm, Power::Stop).await,
            Verdict::CutNow => return self.switch(provider, vm, Power::Cut).await,
            Verdict::SnapshotNow { deadline } => return self.snapshot(provider, vm, deadline).await,
        };
        self.delete(provider, vm, why).await;
    }

    async fn delete(&mut self, provider: &Provider, vm: &Vm<'_>, why: &str) {
        if !self.may_delete() {
            return;
        }
        if self.report.dry_run {
            let monthly_price = vm.labels.price.map(Price::monthly);
            self.report.reaped.push(Item { monthly_price, ..Item::vm(vm, why.into()) });
            return;
        }
        match provider.delete(self.host, &vm.id.native).await {
            Ok(()) => {
                log_event(self.host, "deleted", vm, why);
                self.report.reaped.push(Item::vm(vm, why.into()));
            }
            Err(error) => {
                if error.kind == ErrorKind::Spent {
                    return;
                }
                log_event(self.host, "delete_failed", vm, error.kind.code());
                self.report.failed.push(Item::vm(vm, error.sentence()));
            }
        }
    }

    /// Notes that a VM was missed; if that fails, it is missed again by the next run.
    async fn mark(&self, provider: &Provider, vm: &Vm<'_>) {
        let missed = [(labels::MISSED, Some(self.now_secs.to_string()))];
        if provider.relabel(self.host, &vm.id.native, &missed).await.is_ok_and(|it| it) {
            log_event(self.host, "missed", vm, "no heartbeat");
        }
    }

    /// A VM that was asked to stop, and has had its time.
    async fn switch(&mut self, provider: &Provider, vm: &Vm<'_>, power: Power) {
        if self.report.dry_run {
            return;
        }
        let how = if power == Power::Cut { "without its consent" } else { "shutting down" };
        match provider.power(self.host, &vm.id.native, power).await {
            Ok(_) => log_event(self.host, "stopped", vm, how),
            Err(error) => {
                let reason = format!("cannot be stopped: {}", error.sentence());
                self.report.failed.push(Item::vm(vm, reason));
            }
        }
    }

    /// A VM that was asked to prepare its disk, and has had its time: it is not waited for any longer.
    async fn snapshot(&mut self, provider: &Provider, vm: &Vm<'_>, deadline: u64) {
        if vm.labels.golden {
            return self.golden(provider, vm, deadline).await;
        }
        if self.report.dry_run {
            return;
        }
        if let Err(error) = crate::api::go_on(self.ready, self.host, provider, vm, deadline, false).await {
            let reason = format!("its disk cannot be stored: {}", error.sentence());
            self.report.failed.push(Item::vm(vm, reason));
            return;
        }
        // If this fails, the next run finds the snapshot and does it again.
        let _ = provider.relabel(self.host, &vm.id.native, &[(labels::WANT, None)]).await;
    }

    /// A VM that was made for its disk: it goes when that is stored, and if it could not prepare it.
    async fn golden(&mut self, provider: &Provider, vm: &Vm<'_>, deadline: u64) {
        let why = match crate::api::of_request(self.ready, self.host, provider, vm, deadline).await {
            Ok(Some(snapshot)) if !snapshot.is_ready => return,
            Ok(Some(_)) => "its disk is stored",
            Ok(None) => "it did not prepare its disk; there is no golden snapshot",
            Err(error) => {
                let reason = format!("its snapshot cannot be looked up: {}", error.sentence());
                return self.report.failed.push(Item::vm(vm, reason));
            }
        };
        self.delete(provider, vm, why).await;
    }

    async fn leftovers(&mut self, provider: &Provider, vms_left: bool) {
        let deployment = &self.ready.config.deployment;
        let leftovers = match provider.leftovers(self.host, deployment, vms_left).await {
            Ok(leftovers) => leftovers,
            Err(error) => return self.cannot_list(provider, "leftovers", &error),
        };
        let mut leftovers = leftovers;
        leftovers.retain(|it| is_old_enough(it, self.now_secs));
        // Who looks wants to know what it costs; the list is as good without.
        let mut prices = Vec::new();
        if self.report.dry_run {
            prices = provider.leftover_prices(self.host, &leftovers).await.unwrap_or_default();
        }
        let mut prices = prices.into_iter();
        for leftover in &leftovers {
            let price = prices.next().flatten();
            if !self.may_delete() {
                return;
            }
            let outcome = if self.report.dry_run {
                Ok(())
            } else {
                provider.delete_leftover(self.host, leftover).await
            };
            match outcome {
                Ok(()) => {
                    let item = Item::leftover(provider, leftover, "belongs to no VM".into());
                    self.report.reaped.push(Item { monthly_price: price, ..item });
                }
                Err(error) => {
                    self.report.failed.push(Item::leftover(provider, leftover, error.sentence()));
                }
            }
        }
    }

    async fn snapshots(&mut self, provider: &Provider) {
        let ours = Selector::deployment(&self.ready.config.deployment);
        let snapshots = match provider.snapshots(self.host, &ours).await {
            Ok(snapshots) => snapshots,
            Err(error) => return self.cannot_list(provider, "snapshots", &error),
        };
        let mut due = due(snapshots, self.now_secs);
        if self.report.dry_run {
            let mut priced: Vec<Snapshot> = due.iter().map(|(it, _)| it.clone()).collect();
            let _ = provider.price_snapshots(self.host, &mut priced).await;
            due = priced.into_iter().zip(due).map(|(it, (_, why))| (it, why)).collect();
        }
        for (snapshot, why) in &due {
            if !self.may_delete() {
                return;
            }
            if snapshot.labels.get(labels::OWNER).is_some_and(|it| self.is_anothers(it)) {
                self.report.leave(1);
                continue;
            }
            let outcome = if self.report.dry_run {
                Ok(())
            } else {
                provider.delete_snapshot(self.host, &snapshot.native).await
            };
            match outcome {
                Ok(()) => {
                    let item = Item::snapshot(provider, snapshot, (*why).into());
                    self.report.reaped.push(Item { monthly_price: snapshot.monthly_price(), ..item });
                }
                Err(error) => self.report.failed.push(Item::snapshot(provider, snapshot, error.sentence())),
            }
        }
    }

    fn may_delete(&self) -> bool {
        self.report.tried() < self.deletions
    }

    fn is_anothers(&self, owner: &str) -> bool {
        self.only.is_some_and(|it| it != owner)
    }

    /// That there were no calls left is said once, and not for each list.
    fn cannot_list(&mut self, provider: &Provider, what: &str, error: &Error) {
        if error.kind != ErrorKind::Spent {
            self.report.failed.push(Item::list(provider, what, error.sentence()));
        }
    }
}

/// Lets each come first in its turn.
fn rotate<T>(list: &mut [T], by: usize) {
    if !list.is_empty() {
        list.rotate_left(by % list.len());
    }
}

/// The snapshots that go, and why: those past their date, and golden ones in whose place a newer one is ready.
fn due(snapshots: Vec<Snapshot>, now_secs: u64) -> Vec<(Snapshot, &'static str)> {
    let is_past = |expires: &String| expires.parse().is_ok_and(|it: u64| it <= now_secs);
    let replaces = |new: &Snapshot, old: &Snapshot| {
        new.is_ready
            && new.created_secs > old.created_secs
            && crate::api::is_golden(new)
            && [labels::PROFILE, labels::OWNER]
                .into_iter()
                .all(|key| new.labels.get(key) == old.labels.get(key))
            && new.locations == old.locations
    };
    let why = |it: &Snapshot| {
        if it.labels.get(labels::EXPIRES).is_some_and(is_past) {
            Some("past its date")
        } else if crate::api::is_golden(it) && snapshots.iter().any(|new| replaces(new, it)) {
            Some("a newer golden snapshot is ready")
        } else {
            None
        }
    };
    let whys: Vec<_> = snapshots.iter().map(why).collect();
    snapshots.into_iter().zip(whys).filter_map(|(it, why)| Some((it, why?))).collect()
}

/// An unassigned address has lost its server; a key or firewall may be waiting for its first.
pub(crate) fn is_old_enough(leftover: &Leftover, now_secs: u64) -> bool {
    leftover.kind == "primary_ip" || now_secs >= leftover.created_secs.saturating_add(SHARED_MIN_AGE_SECS)
}

/// One line about a VM's life.
pub(crate) fn log_event(log: &impl Log, event: &str, vm: &Vm<'_>, detail: &str) {
    let line = EventLine { event, vm: &vm.name, id: vm.id.to_string(), owner: &vm.labels.owner, detail };
    log.log(&serde_json::to_string(&line).unwrap_or_default());
    if let Some(event) = Event::of(event, vm, detail) {
        log.tell(event);
    }
}
