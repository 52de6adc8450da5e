//! What a new workspace begins with: whether the backup that a request names is there. Putting it back is its VM's business.

use super::auth::Authorized;
use super::backup::failed;
use super::store::{self, Store};
use super::{Ctx, Problem};
use crate::backup::{self, Kind};
use crate::bucket::Bucket;
use crate::http::Host;
use crate::spec::{Restore, Spec};

/// Refuses a backup that is not there: its VM would begin without the work that was asked for. The newest one is put back
/// if there is one, so there is nothing to look for.
pub(super) async fn check<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    spec: &Spec,
    bucket: &impl Bucket,
) -> Result<(), Problem> {
    let Restore::Backup(id) = &spec.restore else { return Ok(()) };
    let refused = |detail: &str| Err(Problem::invalid_field("restore", detail));
    if store::kind(ctx, bucket) == "none" {
        return refused("must be latest or none: this deployment keeps no backups");
    }
    let workspace = backup::workspace(who.owner(), &spec.repo_url);
    let key = format!("{}/{workspace}/{}/{id}", ctx.ready.config.deployment, Kind::Snapshots.as_str());
    let found = Store::of(ctx, bucket)?.list(&key, None).await.map_err(|it| failed(ctx, it))?;
    if found.entries.iter().any(|it| it.key == key) {
        return Ok(());
    }
    refused("is no backup of this repository; GET /workspaces lists those that there are")
}
