//! What is kept of workspaces: a list with sizes, and forgetting one. Both are read off the bucket; what is in a backup only
//! its VM can read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::auth::Authorized;
use super::backup::failed;
use super::store::Store;
use super::wire::json;
use super::{Ctx, Problem};
use crate::backup::{self, Kind, Target};
use crate::bucket::{Bucket, BucketError};
use crate::encoding::rfc3339;
use crate::http::{Host, Reply};
use crate::labels::is_value;

#[derive(Serialize)]
struct List {
    workspaces: Vec<Workspace>,
    size_bytes: u64,
}

#[derive(Serialize)]
struct Workspace {
    name: String,
    owner: String,
    repository: String,
    size_bytes: u64,
    /// The newest last.
    snapshots: Vec<Kept>,
}

#[derive(Serialize)]
struct Kept {
    id: String,
    saved_at: String,
    #[serde(skip)]
    saved_secs: u64,
}

#[derive(Serialize)]
struct Deletion {
    deleted: bool,
    already_gone: bool,
    name: String,
}

/// `GET /workspaces`: the caller's own by name; an admin's list has everybody's.
pub(super) async fn list<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let (store, place) = (Store::of(ctx, bucket)?, place(ctx, who.only()));
    let mut found: BTreeMap<(String, String), Workspace> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = store.list(&place, cursor.as_deref()).await.map_err(|it| failed(ctx, it))?;
        for entry in page.entries {
            let rest = entry.key.strip_prefix(&place).unwrap_or_default();
            let (owner, rest) = match who.only() {
                Some(owner) => (owner, rest),
                None => rest.split_once('/').unwrap_or_default(),
            };
            // Beside workspaces lie logs, which have no names of repositories.
            let Some((name, path)) = rest.split_once('/').filter(|(name, _)| name.contains('~')) else {
                continue;
            };
            let key = (name.to_owned(), owner.to_owned());
            let workspace = found.entry(key).or_insert_with(|| Workspace {
                name: name.to_owned(),
                owner: owner.to_owned(),
                repository: backup::repository(name),
                size_bytes: 0,
                snapshots: Vec::new(),
            });
            workspace.size_bytes += entry.size;
            if let Some(Target::Object(Kind::Snapshots, id)) = Target::parse(path) {
                let saved_secs = entry.stored_secs;
                let kept = Kept { id: id.to_owned(), saved_at: rfc3339(saved_secs), saved_secs };
                workspace.snapshots.push(kept);
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut workspaces: Vec<Workspace> = found.into_values().collect();
    for it in &mut workspaces {
        it.snapshots.sort_by_key(|it| it.saved_secs);
    }
    let size_bytes = workspaces.iter().map(|it| it.size_bytes).sum();
    Ok(json(200, &List { workspaces, size_bytes }))
}

/// `DELETE /workspaces/{name}`: all that is kept of it. A VM of it that still runs begins anew with its next backup. An admin
/// may name whose it is.
pub(super) async fn delete<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    name: &str,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    // Clients may write the two marks of a name in either way.
    let name = ["%3D", "%3d"].iter().fold(name.to_owned(), |name, it| name.replace(it, "="));
    let name = ["%7E", "%7e"].iter().fold(name, |name, it| name.replace(it, "~"));
    let owner = ctx.head.query.split('&').find_map(|it| it.strip_prefix("owner="));
    let owner = owner.unwrap_or(who.owner());
    if !who.sees(owner) || owner.is_empty() || !is_value(owner) {
        return Err(Problem::invalid_field("owner", "must be yourself; only an admin may name others"));
    }
    let (store, prefix) = (Store::of(ctx, bucket)?, format!("{}{name}/", place(ctx, Some(owner))));
    let failed = |it: BucketError| failed(ctx, it);
    let mut already_gone = true;
    loop {
        let page = store.list(&prefix, None).await.map_err(failed)?;
        let keys: Vec<String> = page.entries.into_iter().map(|it| it.key).collect();
        if keys.is_empty() {
            return Ok(json(200, &Deletion { deleted: true, already_gone, name }));
        }
        already_gone = false;
        store.delete(&keys).await.map_err(failed)?;
    }
}

/// Where everything of an owner lies, or of all.
fn place<H>(ctx: &Ctx<'_, H>, owner: Option<&str>) -> String {
    let deployment = &ctx.ready.config.deployment;
    owner.map_or_else(|| format!("{deployment}/"), |it| format!("{deployment}/{it}/"))
}
