//! Capabilities for backups: a VM asks for one whenever it has something to save. The repository's password is none of this:
//! that comes with the boot exchange alone.

use serde::{Deserialize, Serialize};

use super::auth::VmIdentity;
use super::vm_side::{Found, find, gone, read};
use super::wire::json;
use super::{Ctx, Problem};
use crate::backup::{self, Kind};
use crate::bucket::{Bucket, BucketError, Entry};
use crate::http::{Caller, Host, Reply};
use crate::keys::{Claims, Scope};

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

#[derive(Serialize)]
struct TokenAnswer {
    token: String,
    repository: String,
    expires: u64,
}

/// `POST /vm/token`: a capability for this VM's workspace, for an hour. One for pruning is given once a day, after a backup.
pub(super) async fn issue<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    caller: &mut impl Caller,
) -> Result<Reply, Problem> {
    let request: TokenRequest = read(caller).await?;
    let scope = match request.scope.as_str() {
        "backup" => Scope::Backup,
        "prune" => Scope::Prune,
        _ => return Err(Problem::invalid_field("scope", "must be backup or prune")),
    };
    let Found { vm, .. } = find(ctx, who).await?.ok_or_else(gone)?;
    let config = &ctx.ready.config;
    let workspace = backup::workspace_of(&vm);
    let (true, true, Some(workspace)) = (config.backup_key.is_some(), caller.is_bound(), workspace) else {
        return Err(super::backup::not_configured());
    };
    if scope == Scope::Prune {
        let place = format!("{}/{workspace}", config.deployment);
        check_due(ctx, &place, caller).await?;
    }
    let expires = ctx.now_secs + LIFE_SECS;
    let repository = format!("{}/vm/backup/{workspace}/", ctx.ready.public_url(ctx.head.origin));
    let claims = Claims { scope, expires_secs: Some(expires), workspace, ..who.claims().clone() };
    let token = config.keys.signer().sign(&claims);
    Ok(json(200, &TokenAnswer { token, repository, expires }))
}

/// The mark of the last time lies where no client reaches: it is none of restic's names.
async fn check_due<H: Host>(ctx: &Ctx<'_, H>, place: &str, bucket: &impl Bucket) -> Result<(), Problem> {
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
    bucket.put(&mark, &[]).await.map_err(failed)
}

fn stored(entry: &Entry) -> u64 {
    entry.stored_secs
}
