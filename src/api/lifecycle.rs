//! `POST /vms/{id}/stop`, `/start` and `/extend`: what a person does with a VM between its creation and its end. What is
//! allowed when is `life`'s; what a VM that is asked to stop makes of it, `cloud-init/`'s; what becomes of one that never
//! answers, the reaper's.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::auth::Authorized;
use super::vms::find;
use super::wire::{FRESH_SECS, VmBody, json, money};
use super::{Ctx, Problem, read_body};
use crate::config::{MAX_HOURS, MAX_STOPPED_HOURS};
use crate::cost::is_stopped_billed;
use crate::encoding::rfc3339;
use crate::http::{Body, Host, Reply};
use crate::labels::{self, LabelChange};
use crate::life::{Action, Run, Want};
use crate::model::{Phase, Vm, VmState, expires_secs};
use crate::providers::{Power, Provider};
use crate::reaper;
use crate::workspace::Market;

/// How often a change that somebody else's write undid is written again.
const WRITES: u32 = 3;
/// The longest extension that makes sense, minutes.
const EXTEND_MAX_MINUTES: u32 = *MAX_HOURS.end() * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendRequest {
    minutes: u32,
}

#[derive(Serialize)]
struct Acted<'a> {
    vm: VmBody<'a>,
    /// What happens next, for people.
    detail: String,
}

/// `POST /vms/{id}/stop`: the VM is asked to save its work and is switched off when it says so, or when its time is up. One
/// that cannot be asked is switched off at once. From now on it may stand still for `MAX_STOPPED_HOURS`.
pub(super) async fn stop<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Reply, Problem> {
    let (provider, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    check(Action::Stop, &vm)?;
    if matches!(Want::of(&vm), Some(Want::Stop { .. })) {
        return Ok(acted(ctx, 202, &vm, "It has been asked already."));
    }
    let hears = hears(ctx, &vm);
    let deadline = ctx.now_secs + if hears { Want::PATIENCE_SECS } else { 0 };
    let hours = u64::from(ctx.ready.config.defaults.max_stopped_hours);
    let expires = ctx.now_secs + hours * 3600;
    let changes =
        [(labels::WANT, Some(Want::Stop { deadline }.pack())), (labels::EXPIRES, Some(expires.to_string()))];
    let vm = write(ctx, provider, &vm.id.native, &changes).await?;
    reaper::log_event(ctx.host, "stop_asked", &vm, if hears { "by a person" } else { "cannot be asked" });
    let until = format!(
        "It may stay stopped until {}; then it is deleted. {}",
        rfc3339(expires),
        cost_of_standing(&vm)
    );
    if hears {
        return Ok(acted(ctx, 202, &vm, &format!("The VM saves its work first. {until}")));
    }
    switch_off(ctx, provider, &vm).await?;
    Ok(acted(ctx, 202, &vm, &format!("The VM could not be asked to save its work first. {until}")))
}

/// What a VM costs while it is stopped, in a sentence.
fn cost_of_standing(vm: &Vm<'_>) -> String {
    let title = vm.id.provider.title();
    match vm.labels.price.filter(|_| is_stopped_billed(vm.id.provider)) {
        Some(price) => {
            let amount = money(price.micros_per_hour);
            format!(
                "{title} bills a stopped VM like one that runs: {} {amount} per hour.",
                price.currency.as_str()
            )
        }
        None if is_stopped_billed(vm.id.provider) => {
            format!("{title} bills a stopped VM like one that runs.")
        }
        None => format!("While it is stopped, {title} bills its disk and address, and not the machine."),
    }
}

/// Asks the provider to shut a VM down that has said that its work is saved, or that cannot say so.
pub(super) async fn switch_off<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    vm: &Vm<'_>,
) -> Result<(), Problem> {
    match provider.power(ctx.host, &vm.id.native, Power::Stop).await {
        Ok(true) => {
            reaper::log_event(ctx.host, "stopped", vm, "shutting down");
            Ok(())
        }
        Ok(false) => Err(Problem::vm_not_found()),
        Err(error) => Err(Problem::from(error).and("The Worker's cron tries again.")),
    }
}

/// `POST /vms/{id}/start`: switches a stopped VM on, for as many hours as it was created for.
pub(super) async fn start<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Reply, Problem> {
    let (provider, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    check(Action::Start, &vm)?;
    let hours = Run::parse(&vm.labels.run).hours.unwrap_or(ctx.ready.config.defaults.max_hours);
    let run = Run { hours: Some(hours), started_secs: Some(ctx.now_secs) };
    let old = expires_secs(&vm).to_string();
    // First the labels: a VM that runs and is past its date would be deleted.
    let changes = [
        (labels::WANT, None),
        (labels::PHASE, Some(Phase::Booting.as_str().to_owned())),
        (labels::EXPIRES, Some((ctx.now_secs + u64::from(hours) * 3600).to_string())),
        (labels::ACTIVE, Some(ctx.now_secs.to_string())),
        (labels::RUN, Some(run.pack())),
        (labels::ATTENTION, None),
        (labels::TIMING, None),
        (labels::REASON, None),
        (labels::MISSED, None),
    ];
    let vm = write(ctx, provider, &vm.id.native, &changes).await?;
    match provider.power(ctx.host, &vm.id.native, Power::Start).await {
        Ok(true) => {}
        Ok(false) => return Err(Problem::vm_not_found()),
        Err(error) => {
            // It stands still as before, and its date is what it was. If even that cannot be written, it lives longer
            // than it should, but not for ever.
            let back = [(labels::EXPIRES, Some(old))];
            let _ = provider.relabel(ctx.host, &vm.id.native, &back).await;
            return Err(error.into());
        }
    }
    reaper::log_event(ctx.host, "started", &vm, "by a person");
    Ok(acted(ctx, 202, &vm, &format!("The VM starts, for {hours} hours at the most.")))
}

/// `POST /vms/{id}/extend`: moves the hard end back, and keeps the VM from ending for idleness meanwhile.
pub(super) async fn extend<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let body = read_body(body).await?;
    // An array would pass for a struct.
    let fields = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body);
    let request = fields.and_then(|it| serde_json::from_value::<ExtendRequest>(it.into()));
    let minutes = match request {
        Ok(it) if (1..=EXTEND_MAX_MINUTES).contains(&it.minutes) => it.minutes,
        _ => {
            let detail = format!("must be a whole number from 1 to {EXTEND_MAX_MINUTES}, and the only field");
            return Err(Problem::invalid_field("minutes", detail));
        }
    };
    let (provider, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    check(Action::Extend, &vm)?;
    let is_stopped = vm.state == VmState::Stopped;
    let most_hours = if is_stopped { *MAX_STOPPED_HOURS.end() } else { *MAX_HOURS.end() };
    let seconds = u64::from(minutes) * 60;
    let expires = expires_secs(&vm).max(ctx.now_secs).saturating_add(seconds);
    let latest = ctx.now_secs + u64::from(most_hours) * 3600;
    if expires > latest {
        let detail = format!(
            "would make it end at {}; {most_hours} hours from now, {}, is the latest",
            rfc3339(expires),
            rfc3339(latest)
        );
        return Err(Problem::invalid_field("minutes", detail));
    }
    // What was promised before stays.
    let kept = match Want::of(&vm) {
        Some(Want::Keep { until }) => until,
        _ => 0,
    };
    let until = kept.max(ctx.now_secs + seconds);
    let mut changes = vec![(labels::EXPIRES, Some(expires.to_string()))];
    if !is_stopped {
        changes.push((labels::WANT, Some(Want::Keep { until }.pack())));
    }
    let vm = write(ctx, provider, &vm.id.native, &changes).await?;
    reaper::log_event(ctx.host, "extended", &vm, &format!("{minutes} minutes"));
    let mut detail = format!("It ends at {} at the latest.", rfc3339(expires));
    if !is_stopped {
        let _ = write!(detail, " Until {} it does not end for idleness.", rfc3339(until));
    }
    Ok(acted(ctx, 200, &vm, &detail))
}

/// Whether a VM hears what it is asked: its boot has ended, and its last heartbeat is not long ago.
pub(super) fn hears<H>(ctx: &Ctx<'_, H>, vm: &Vm<'_>) -> bool {
    matches!(vm.labels.phase, Phase::Ready | Phase::Failed)
        && vm.labels.seen_secs.is_some_and(|it| ctx.now_secs.saturating_sub(it) <= FRESH_SECS)
}

/// A 409 that says what would be possible.
pub(super) fn check(action: Action, vm: &Vm<'_>) -> Result<(), Problem> {
    if action.is_allowed(vm) {
        return Ok(());
    }
    let possible = Action::allowed(vm).join(", ");
    if action == Action::Stop && vm.market == Market::Spot {
        // `StopInstances` refuses those of one-time requests (EC2 User Guide, "Stop a Spot Instance").
        let detail = format!("The VM is a spot instance, which cannot be stopped. Possible: {possible}.");
        return Err(Problem::new(409, "wrong_state", detail));
    }
    let asked = match Want::of(vm) {
        Some(Want::Stop { .. }) if vm.state == VmState::Running => ", and has been asked to stop",
        Some(Want::Snapshot { .. }) if vm.state == VmState::Running => ", and a snapshot of it is being made",
        _ => "",
    };
    let detail = format!(
        "The VM is {}{asked}: {} is not possible now. Possible: {possible}.",
        vm.state.as_str(),
        action.as_str()
    );
    Err(Problem::new(409, "wrong_state", detail))
}

/// Writes a change that must not be lost and looks whether it is there: a report of the VM that was under way at the same moment may
/// have written the labels as they were before. Answers with the VM as it is then.
pub(super) async fn write<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    native: &str,
    changes: &[LabelChange],
) -> Result<Vm<'static>, Problem> {
    // What of the change can be read back on its own.
    let is_written = |it: &Vm<'_>| {
        changes.iter().all(|(key, value)| match (*key, value) {
            (labels::EXPIRES, Some(value)) => {
                it.labels.expires_secs.is_some_and(|it| it.to_string() == *value)
            }
            (labels::WANT, value) => it.labels.want == value.as_deref().unwrap_or_default(),
            _ => true,
        })
    };
    for _ in 0..WRITES {
        if !provider.relabel(ctx.host, native, changes).await? {
            return Err(Problem::vm_not_found());
        }
        let now = provider.get(ctx.host, native).await?.ok_or_else(Problem::vm_not_found)?;
        if is_written(&now) {
            return Ok(now);
        }
    }
    Err(Problem::new(
        409,
        "changed_meanwhile",
        "Something else changes this VM's labels at the moment; try again.",
    )
    .with_retry_after(5))
}

fn acted<H>(ctx: &Ctx<'_, H>, status: u16, vm: &Vm<'_>, detail: &str) -> Reply {
    json(status, &Acted { vm: VmBody::new(ctx.ready, vm, ctx.now_secs), detail: detail.to_owned() })
}
