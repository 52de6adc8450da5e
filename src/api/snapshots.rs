//! Stored disks: taken after the VM has flushed and scrubbed its own, listed, deleted, and looked up for a new VM. What a VM
//! does when it is asked is `cloud-init/`'s, what a snapshot is at a vendor, the provider module's.
//!
//! A snapshot that was asked for is found again by a label with the time of the request, so that no memory is needed between
//! the VM's heartbeats, and none is taken twice.

use serde::{Deserialize, Serialize};

use super::auth::Authorized;
use super::lifecycle::{check, hears, write};
use super::vms::{ProviderError, find, visible};
use super::wire::{VmBody, json};
use super::{Ctx, Problem, golden, read_body};
use crate::encoding::rfc3339;
use crate::http::{Body, Host, Reply};
use crate::labels::{self, LabelSet, Selector};
use crate::life::{Action, Want};
use crate::model::{MonthlyPrice, Vm, VmState};
use crate::providers::{Error, Provider, Snapshot, side_by_side};
use crate::{Ready, reaper};

/// Longest description, characters.
const DESCRIPTION_MAX_CHARS: usize = 60;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotRequest {
    #[serde(default)]
    description: Option<String>,
}

/// A snapshot in our answers.
#[derive(Serialize)]
pub(super) struct SnapshotBody {
    id: String,
    provider: &'static str,
    owner: Option<String>,
    description: String,
    created_at: String,
    age_seconds: u64,
    size_gb: Option<f64>,
    min_disk_gb: f64,
    monthly_price: Option<MonthlyPrice>,
    is_ready: bool,
    is_clean: bool,
    is_golden: bool,
    profile: Option<String>,
    repo_url: Option<String>,
    expires_at: Option<String>,
    locations: Vec<String>,
}

#[derive(Serialize)]
struct Asked<'a> {
    vm: VmBody<'a>,
    snapshot: Option<SnapshotBody>,
    detail: String,
}

#[derive(Serialize)]
struct Listing {
    snapshots: Vec<SnapshotBody>,
    errors: Vec<ProviderError>,
}

#[derive(Serialize)]
struct Deletion {
    deleted: bool,
    already_gone: bool,
    id: String,
}

/// `POST /vms/{id}/snapshots`: a VM that can be asked prepares its disk first; the snapshot is taken when it says so, or when
/// its time is up. Of one that is stopped or cannot be asked it is taken at once, as it is.
pub(super) async fn take<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let body = read_body(body).await?;
    let description = description_of(&body)?;
    let (provider, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    check(Action::Snapshot, &vm)?;
    let description = description.unwrap_or_else(|| format!("{} {}", vm.name, rfc3339(ctx.now_secs)));
    if vm.state == VmState::Running && hears(ctx, &vm) {
        let deadline = ctx.now_secs + Want::PATIENCE_SECS;
        let mut changes = vec![(labels::WANT, Some(Want::Snapshot { deadline }.pack()))];
        changes.extend(labels::note(&description).ok_or_else(|| {
            Problem::invalid_field("description", "has too many characters that take more than one byte")
        })?);
        let vm = write(ctx, provider, &vm.id.native, &changes).await?;
        reaper::log_event(ctx.host, "snapshot_asked", &vm, "by a person");
        let detail =
            "The VM writes everything to its disk and takes its secrets off it; then the snapshot is taken.";
        return Ok(asked(ctx, &vm, None, detail));
    }
    let snapshot = order(ctx.ready, ctx.host, provider, &vm, &description, ctx.now_secs, false).await;
    let snapshot = snapshot.map_err(Problem::from)?.ok_or_else(Problem::vm_not_found)?;
    let detail = if vm.state == VmState::Stopped {
        "The VM is stopped: its disk is stored as it is, with the secrets that only its root can read."
    } else {
        "The VM could not be asked: its disk is stored as after a power cut, with the secrets that only its root can read."
    };
    Ok(asked(ctx, &vm, Some(SnapshotBody::new(provider, &snapshot, ctx.now_secs)), detail))
}

/// Goes on with a snapshot that a VM was asked for. `is_clean`: the VM says that its disk is prepared. Answers whether it is
/// done, so that the VM need not wait any longer.
pub(crate) async fn go_on<H: Host>(
    ready: &Ready,
    host: &H,
    provider: &Provider,
    vm: &Vm<'_>,
    deadline: u64,
    is_clean: bool,
) -> Result<bool, Error> {
    if let Some(known) = of_request(ready, host, provider, vm, deadline).await? {
        return Ok(known.is_ready);
    }
    let description = match vm.labels.note.unpack() {
        Some(note) => note,
        None if vm.labels.golden => format!("golden {}", vm.labels.profile),
        None => vm.name.to_string(),
    };
    let taken = order(ready, host, provider, vm, &description, deadline, is_clean).await?;
    // A VM that is gone waits for nothing.
    Ok(taken.is_none())
}

/// The snapshot that was taken for a request, if it was.
pub(crate) async fn of_request<H: Host>(
    ready: &Ready,
    host: &H,
    provider: &Provider,
    vm: &Vm<'_>,
    deadline: u64,
) -> Result<Option<Snapshot>, Error> {
    let ours = Selector::deployment(&ready.config.deployment).and(labels::VM, &vm.labels.vm);
    let asked = deadline.to_string();
    let known = provider.snapshots(host, &ours).await?;
    Ok(known.into_iter().find(|it| it.labels.get(labels::ASKED) == Some(&asked)))
}

async fn order<H: Host>(
    ready: &Ready,
    host: &H,
    provider: &Provider,
    vm: &Vm<'_>,
    description: &str,
    asked: u64,
    is_clean: bool,
) -> Result<Option<Snapshot>, Error> {
    let labels = labels_of(ready, vm, asked, is_clean, host.now_secs());
    let snapshot = provider.snapshot(host, &vm.id.native, description, &labels).await?;
    reaper::log_event(host, "snapshot", vm, if is_clean { "clean" } else { "unclean" });
    Ok(snapshot)
}

fn labels_of(ready: &Ready, vm: &Vm<'_>, asked: u64, is_clean: bool, now_secs: u64) -> LabelSet {
    let mut set = labels::ours(&ready.config.deployment);
    let mut put = |key: &str, value: String| set.push((key.to_owned(), value));
    put(labels::VM, vm.labels.vm.to_string());
    put(labels::OWNER, vm.labels.owner.to_string());
    put(labels::PROFILE, vm.labels.profile.to_string());
    put(labels::ASKED, asked.to_string());
    put(labels::CLEAN, if is_clean { labels::YES } else { "no" }.to_owned());
    if vm.labels.golden {
        put(labels::GOLDEN, labels::YES.to_owned());
    }
    if let Some(days) = ready.config.snapshot_days {
        put(labels::EXPIRES, (now_secs + u64::from(days) * 86_400).to_string());
    }
    if let Some(repo) = vm.labels.repo.unpack() {
        set.extend(labels::pieces(labels::REPO, &repo));
    }
    set
}

/// `GET /snapshots`: those that the caller sees, at all providers, and the golden ones, which are for everybody.
pub(super) async fn list<H: Host>(ctx: &Ctx<'_, H>, who: &Authorized<'_>) -> Result<Reply, Problem> {
    let deployment = Selector::deployment(&ctx.ready.config.deployment);
    let is_shown = |it: &Snapshot| {
        who.is_admin() || it.labels.get(labels::OWNER).is_some_and(|it| who.sees(it)) || golden::is_golden(it)
    };
    let look = async |provider: &Provider| {
        let mut found = provider.snapshots(ctx.host, &deployment).await?;
        found.retain(is_shown);
        // Without a price the list is as good.
        let _ = provider.price_snapshots(ctx.host, &mut found).await;
        Ok(found)
    };
    let found = side_by_side(ctx.ready.providers.iter().map(look)).await;
    let mut listing = Listing { snapshots: Vec::new(), errors: Vec::new() };
    for (provider, found) in ctx.ready.providers.iter().zip(found) {
        match found {
            Ok(found) => {
                let shown = found.iter().map(|it| SnapshotBody::new(provider, it, ctx.now_secs));
                listing.snapshots.extend(shown);
            }
            Err(error) => listing.errors.push(ProviderError::from(&error)),
        }
    }
    Ok(json(200, &listing))
}

/// `DELETE /snapshots/{id}`: only what the list of the caller's snapshots has is deleted; what it has not is gone.
pub(super) async fn delete<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Reply, Problem> {
    let answer = |already_gone| Ok(json(200, &Deletion { deleted: true, already_gone, id: id.to_owned() }));
    let Some((provider, snapshot)) = lookup(ctx, who, id).await? else { return answer(true) };
    provider.delete_snapshot(ctx.host, &snapshot.native).await?;
    answer(false)
}

/// A snapshot that the caller may use and delete, by its id; `None` where there is no such one.
pub(super) async fn lookup<'a, H: Host>(
    ctx: &Ctx<'a, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Option<(&'a Provider, Snapshot)>, Problem> {
    let of_id = |it: &&Provider| id.strip_prefix(it.name().as_str()).is_some_and(|it| it.starts_with('-'));
    let Some(provider) = ctx.ready.providers.iter().find(of_id) else { return Ok(None) };
    let found = provider.snapshots(ctx.host, &visible(ctx.ready, who)).await?;
    Ok(found.into_iter().find(|it| id_of(provider, it) == id).map(|it| (provider, it)))
}

fn id_of(provider: &Provider, snapshot: &Snapshot) -> String {
    format!("{}-{}", provider.name().as_str(), snapshot.native)
}

fn description_of(body: &[u8]) -> Result<Option<String>, Problem> {
    if body.is_empty() {
        return Ok(None);
    }
    // An array would pass for a struct.
    let fields = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    let request = fields.and_then(|it| serde_json::from_value::<SnapshotRequest>(it.into()));
    let fits = |it: &String| {
        (1..=DESCRIPTION_MAX_CHARS).contains(&it.chars().count()) && !it.chars().any(char::is_control)
    };
    match request {
        Ok(SnapshotRequest { description: None }) => Ok(None),
        Ok(SnapshotRequest { description: Some(it) }) if fits(&it) => Ok(Some(it)),
        _ => {
            let detail =
                format!("must be a text of 1 to {DESCRIPTION_MAX_CHARS} characters, and the only field");
            Err(Problem::invalid_field("description", detail))
        }
    }
}

fn asked<H>(ctx: &Ctx<'_, H>, vm: &Vm<'_>, snapshot: Option<SnapshotBody>, detail: &str) -> Reply {
    json(202, &Asked { vm: VmBody::new(ctx.ready, vm, ctx.now_secs), snapshot, detail: detail.to_owned() })
}

impl SnapshotBody {
    fn new(provider: &Provider, it: &Snapshot, now_secs: u64) -> Self {
        let labels = labels::VmLabels::from_map(it.labels.clone());
        Self {
            id: id_of(provider, it),
            provider: provider.name().as_str(),
            owner: Some(labels.owner.to_string()).filter(|it| !it.is_empty()),
            description: it.description.clone(),
            created_at: rfc3339(it.created_secs),
            age_seconds: now_secs.saturating_sub(it.created_secs),
            size_gb: it.size_gb,
            min_disk_gb: it.min_disk_gb,
            monthly_price: it.monthly_price(),
            is_ready: it.is_ready,
            is_clean: it.labels.get(labels::CLEAN).is_some_and(|it| it == labels::YES),
            is_golden: golden::is_golden(it),
            profile: Some(labels.profile.to_string()).filter(|it| !it.is_empty()),
            repo_url: labels.repo.unpack(),
            expires_at: labels.expires_secs.map(rfc3339),
            locations: it.locations.clone(),
        }
    }
}
