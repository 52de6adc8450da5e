//! Capabilities for backups and for the agent: a VM asks for one whenever it has something to save, and before the agent's is
//! over. The password of backups is none of this: that comes with the boot exchange alone.

use serde::{Deserialize, Serialize};

use super::agent;
use super::auth::VmIdentity;
use super::store::{self, Store};
use super::vm_side::{Found, find, gone, read};
use super::wire::json;
use super::{Ctx, Problem};
use crate::backup::{self, Kind};
use crate::bucket::{Bucket, BucketError, Entry};
use crate::http::{Caller, Host, Reply};
use crate::keys::{Claims, Scope};
use crate::s3;

/// How long they live, seconds.
const LIFE_SECS: u64 = 3600;
/// Old backups go at most this often, seconds.
const PRUNE_INTERVAL_SECS: u64 = 86_400;
/// And only when a backup was made so many seconds ago at the most.
const FRESH_SECS: u64 = 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    scope: String,
}

/// Where restic is to go, and what lets it in. A store beside the Worker has a key instead of a token: what is public of
/// it is here, and its secret came with the boot exchange.
#[derive(Serialize)]
struct TokenAnswer {
    token: String,
    repository: String,
    expires: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3: Option<S3Key>,
}

#[derive(Serialize)]
struct S3Key {
    access_key_id: String,
    region: String,
}

#[derive(Serialize)]
struct AgentAnswer {
    token: String,
    base_url: String,
    expires: u64,
}

/// `POST /vm/token`: a capability for this VM's workspace, for an hour. One for pruning is given once a day, after a backup.
/// Or one for its agent, for half an hour: a VM that is gone gets no other.
pub(super) async fn issue<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    caller: &mut impl Caller,
) -> Result<Reply, Problem> {
    let request: TokenRequest = read(caller).await?;
    let scope = match request.scope.as_str() {
        "backup" => Scope::Backup,
        "prune" => Scope::Prune,
        "agent" => Scope::Agent,
        _ => return Err(Problem::invalid_field("scope", "must be agent, backup or prune")),
    };
    let Found { vm, .. } = find(ctx, who).await?.ok_or_else(gone)?;
    if scope == Scope::Agent {
        let agent::Grant { token, expires, base_url } =
            agent::grant(ctx, who.claims(), &vm).ok_or_else(|| {
                Problem::new(404, "agent_proxy_off", "The agent of this VM asks no model through the Worker.")
            })?;
        return Ok(json(200, &AgentAnswer { token, base_url, expires }));
    }
    let config = &ctx.ready.config;
    let workspace = backup::workspace_of(who.claims(), &vm);
    let (true, Some(workspace)) = (store::kind(ctx, caller) != "none", workspace) else {
        return Err(super::backup::not_configured());
    };
    let place = format!("{}/{workspace}", config.deployment);
    if scope == Scope::Prune {
        check_due(ctx, &place, &Store::of(ctx, caller)?).await?;
    }
    let expires = ctx.now_secs + LIFE_SECS;
    if let Some(config) = &config.backup_s3 {
        let s3 = S3Key { access_key_id: config.access_key_id.clone(), region: config.region.clone() };
        let repository = s3::repository(config, &place);
        return Ok(json(200, &TokenAnswer { token: String::new(), repository, expires, s3: Some(s3) }));
    }
    let repository = format!("{}/vm/backup/{workspace}/", ctx.ready.public_url(ctx.head.origin));
    let claims = Claims { scope, expires_secs: Some(expires), workspace, ..who.claims().clone() };
    let token = config.keys.signer().sign(&claims);
    Ok(json(200, &TokenAnswer { token, repository, expires, s3: None }))
}

/// The mark of the last time lies where no client reaches: it is none of restic's names.
async fn check_due<H: Host, B: Bucket>(
    ctx: &Ctx<'_, H>,
    place: &str,
    bucket: &Store<'_, H, B>,
) -> Result<(), Problem> {
    let failed = |it: BucketError| super::backup::failed(ctx, it);
    let mark = format!("{place}/pruned");
    let marked = bucket.list(&mark, None).await.map_err(failed)?.entries.iter().map(stored).max();
    let snapshots = format!("{place}/{}/", Kind::Snapshots.as_str());
    let (mut newest, mut cursor) = (None, None);
    loop {
        let page = bucket.list(&snapshots, cursor.as_deref()).await.map_err(failed)?;
        newest = newest.max(page.entries.iter().map(stored).max());
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let not_due =
        |why: &str| Err(Problem::new(409, "prune_not_due", format!("Nothing is pruned now: {why}.")));
    if newest.is_none_or(|it| it.saturating_add(FRESH_SECS) < ctx.now_secs) {
        return not_due("there is no backup of the last hour");
    }
    if marked.is_some_and(|it| it.saturating_add(PRUNE_INTERVAL_SECS) > ctx.now_secs) {
        return not_due("that was done less than a day ago");
    }
    bucket.mark(&mark).await.map_err(failed)
}

fn stored(entry: &Entry) -> u64 {
    entry.stored_secs
}
