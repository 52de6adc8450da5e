//! The tail of a VM's log while it boots: the VM sends it, the bucket keeps it, its owner reads it. Without a bucket the VM's own
//! status page is the place to look. What stands in it is the VM's business; secrets do not.

use serde::{Deserialize, Serialize};

use super::auth::{Authorized, VmIdentity};
use super::vm_side::read;
use super::vms::find;
use super::wire::{json, reply};
use super::{Ctx, Problem};
use crate::bucket::Bucket;
use crate::encoding::rfc3339;
use crate::http::{Caller, Host, Reply};

/// Longest tail that is kept, bytes.
const TAIL_MAX_BYTES: usize = 8192;
/// How long a log is kept after its last line, seconds.
const LIFE_SECS: u64 = 7 * 86_400;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Phases and steps.
    Boot,
    /// The devcontainer's build.
    Build,
}

impl Source {
    fn parse(word: &str) -> Option<Self> {
        [Self::Boot, Self::Build].into_iter().find(|it| it.as_str() == word)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Build => "build",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailRequest {
    source: String,
    tail: String,
}

/// The answer, stored as it is sent.
#[derive(Serialize)]
struct Kept<'a> {
    source: &'static str,
    saved_at: String,
    tail: &'a str,
}

#[derive(Serialize)]
struct Taken {
    kept: bool,
}

/// `POST /vm/log`: replaces the tail. No provider is asked: it is kept under the VM's own name and nowhere else.
pub(super) async fn keep<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    caller: &mut impl Caller,
) -> Result<Reply, Problem> {
    let request: TailRequest = read(caller).await?;
    let source = Source::parse(&request.source).ok_or_else(unknown_source)?;
    if request.tail.len() > TAIL_MAX_BYTES {
        return Err(Problem::invalid_field("tail", format!("must be at most {TAIL_MAX_BYTES} bytes")));
    }
    if !caller.is_bound() {
        return Err(not_kept());
    }
    let kept = Kept { source: source.as_str(), saved_at: rfc3339(ctx.now_secs), tail: &request.tail };
    // A struct of strings always serialises.
    let body = serde_json::to_vec(&kept).unwrap_or_default();
    let key = key(ctx, &who.claims().vm, source);
    caller.put(&key, &body).await.map_err(|it| super::backup::failed(ctx, it))?;
    Ok(json(200, &Taken { kept: true }))
}

/// `GET /vms/{id}/log`: the tail of one of the caller's VMs.
pub(super) async fn show<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
    bucket: &mut impl Bucket,
) -> Result<Reply, Problem> {
    let source = ctx.head.query.split('&').find_map(|it| it.strip_prefix("source="));
    let source = source.map_or(Some(Source::Boot), Source::parse).ok_or_else(unknown_source)?;
    let (_, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    if !bucket.is_bound() {
        return Err(not_kept());
    }
    let key = key(ctx, &vm.labels.vm, source);
    let sent = bucket.send(&key, None).await.map_err(|it| super::backup::failed(ctx, it))?;
    if sent.is_none() {
        return Err(Problem::new(404, "log_not_found", "The VM has not sent this log, or not yet."));
    }
    Ok(reply(200, Vec::new()))
}

/// Deletes logs of long ago. Whoever starts a VM does it for those before; what fails is tried with the next.
pub(super) async fn forget_old<H: Host>(ctx: &Ctx<'_, H>, bucket: &impl Bucket) {
    if !bucket.is_bound() {
        return;
    }
    let Ok(page) = bucket.list(&place(ctx), None).await else { return };
    let is_old = |stored_secs: u64| stored_secs.saturating_add(LIFE_SECS) < ctx.now_secs;
    let old = page.entries.into_iter().filter(|it| is_old(it.stored_secs)).map(|it| it.key);
    let old: Vec<String> = old.collect();
    if !old.is_empty() {
        let _ = bucket.delete(&old).await;
    }
}

/// No owner has this name, so no workspace lies here.
fn place<H>(ctx: &Ctx<'_, H>) -> String {
    format!("{}/~logs/", ctx.ready.config.deployment)
}

fn key<H>(ctx: &Ctx<'_, H>, vm: &str, source: Source) -> String {
    format!("{}{vm}/{}", place(ctx), source.as_str())
}

fn unknown_source() -> Problem {
    Problem::invalid_field("source", "must be boot or build")
}

fn not_kept() -> Problem {
    let detail = "No bucket keeps logs here. The VM's status page shows its log: open the VM and go to /_mayfly/status.";
    Problem::new(404, "log_not_kept", detail)
}
