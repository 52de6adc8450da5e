//! What earlier tries with the same key have left: which of several VMs stays, and what becomes of one that was cut off, where
//! creating a server and switching it on are two calls, and that is switched off and knows nothing. Whose they are, and what is
//! answered, is `create`'s business.

use super::{Ctx, Problem};
use crate::http::{Clock as _, Host, Http as _};
use crate::life::Run;
use crate::model::{Phase, Vm, VmState};
use crate::providers::Provider;
use crate::reaper;

/// How long a request may be at work on a server that it made, seconds; looks at one, and the pause between them.
const MAKING_SECS: u64 = 60;
const MAKING_LOOKS: u32 = 3;
const MAKING_PAUSE_MS: u32 = 1000;

/// Of several VMs that one key made the oldest that was started stays; the younger go, and nobody has been told of them. A
/// failure is the caller's to see: its next try settles the rest. `own`: what the caller has just started itself.
pub(super) async fn settle<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    known: Vec<Vm<'static>>,
    body: &str,
    own: Option<&Vm<'_>>,
) -> Result<Option<Vm<'static>>, Problem> {
    let (own, others) = known.into_iter().partition::<Vec<_>, _>(|it| own.is_some_and(|own| own.id == it.id));
    let mut known = without(ctx, provider, others, body).await?;
    known.extend(own);
    // Ids grow with time; a longer one is younger.
    known.sort_by(|a, b| {
        let age = |it: &Vm<'_>| (it.created_secs, it.id.native.len());
        age(a).cmp(&age(b)).then_with(|| a.id.native.cmp(&b.id.native))
    });
    // A VM that a listing shows twice is one.
    known.dedup_by(|a, b| a.id == b.id);
    let mut known = known.into_iter();
    let oldest = known.next();
    for younger in known {
        provider.delete(ctx.host, &younger.id.native).await?;
        reaper::log_event(ctx.host, "deleted", &younger, "made twice");
    }
    Ok(oldest)
}

/// What a key made from this body, without what a try that was cut off has left: that is deleted, to be made anew. The request
/// of a young one may be at work on it still: it is waited for a little, then the caller is asked to come again.
async fn without<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    known: Vec<Vm<'static>>,
    body: &str,
) -> Result<Vec<Vm<'static>>, Problem> {
    let mut whole = Vec::new();
    for vm in known {
        let mut vm = Some(vm);
        for look in 0..=MAKING_LOOKS {
            let Some(it) = vm.as_ref().filter(|it| was_never_started(it) && it.labels.body == body) else {
                break;
            };
            let wait_secs = (it.created_secs + MAKING_SECS).saturating_sub(ctx.host.now_secs());
            if wait_secs == 0 {
                provider.delete(ctx.host, &it.id.native).await?;
                reaper::log_event(ctx.host, "deleted", it, "never started");
                vm = None;
            } else if look == MAKING_LOOKS {
                let detail = "A request with this Idempotency-Key is still being worked on.";
                let wait_secs = u32::try_from(wait_secs).unwrap_or(u32::MAX);
                return Err(Problem::new(409, "still_creating", detail).with_retry_after(wait_secs));
            } else {
                ctx.host.sleep_ms(MAKING_PAUSE_MS).await;
                vm = provider.get(ctx.host, &it.id.native).await?;
            }
        }
        whole.extend(vm);
    }
    Ok(whole)
}

/// Switched off or on its way there, as one is that is taken back; and as it was created: neither the VM nor anybody else has
/// written a label since.
fn was_never_started(vm: &Vm<'_>) -> bool {
    let labels = &vm.labels;
    let run = Run::parse(&labels.run);
    let end = labels.active_secs.zip(run.hours).map(|(made, hours)| made + u64::from(hours) * 3600);
    matches!(vm.state, VmState::Stopped | VmState::Stopping)
        && labels.phase == Phase::Booting
        && labels.seen_secs.is_none()
        && run.started_secs.is_none()
        && labels.expires_secs == end
}
