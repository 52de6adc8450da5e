//! The whole route table, in one place. Here 404 and 405 are told apart; what a route does is its handler's business.

use super::Problem;
use crate::http::{Method, Reply};
use crate::keys::Scope;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Who has an API token.
    Token,
    /// A VM's capability of one of these scopes.
    Capability(&'static [Scope]),
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the operations; the table below has their paths")]
pub enum Route {
    Healthz,
    Openapi,
    Options,
    ProviderHealth,
    ListVms,
    CreateVm,
    DeleteAllVms,
    GetVm,
    DeleteVm,
    StartVm,
    StopVm,
    ExtendVm,
    OpenVm,
    VmLog,
    SnapshotVm,
    ListSnapshots,
    DeleteSnapshot,
    GoldenSnapshot,
    ListWorkspaces,
    DeleteWorkspace,
    UserData,
    ListOrphans,
    DeleteOrphans,
    Reap,
    Seal,
    Metrics,
    VmBoot,
    VmProgress,
    VmHeartbeat,
    VmLogWrite,
    VmToken,
    VmDelete,
    VmBackup,
    VmBackupWrite,
    VmBackupDelete,
    VmAnthropic,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Method.
    pub method: Method,
    /// Path; a `{…}` stands for one segment, a `*` at the end for the rest.
    pub path: &'static str,
    /// What it does.
    pub route: Route,
    /// Who may call it.
    pub access: Access,
}

const fn row(method: Method, path: &'static str, route: Route, access: Access) -> Row {
    Row { method, path, route, access }
}

/// The VM itself; its backups; its agent.
const VM: Access = Access::Capability(&[Scope::Vm]);
const BACKUP: Access = Access::Capability(&[Scope::Backup, Scope::Prune]);
const AGENT: Access = Access::Capability(&[Scope::Agent]);

/// Every route of the API.
pub const ROUTES: [Row; 38] = {
    use Access::{Public, Token};
    use Method::{Delete, Get, Head, Post};
    [
        row(Get, "/healthz", Route::Healthz, Public),
        row(Get, "/openapi.json", Route::Openapi, Public),
        row(Get, "/vms", Route::ListVms, Token),
        row(Post, "/vms", Route::CreateVm, Token),
        row(Delete, "/vms", Route::DeleteAllVms, Token),
        row(Get, "/vms/{id}", Route::GetVm, Token),
        row(Delete, "/vms/{id}", Route::DeleteVm, Token),
        row(Post, "/vms/{id}/start", Route::StartVm, Token),
        row(Post, "/vms/{id}/stop", Route::StopVm, Token),
        row(Post, "/vms/{id}/extend", Route::ExtendVm, Token),
        row(Post, "/vms/{id}/open", Route::OpenVm, Token),
        row(Get, "/vms/{id}/log", Route::VmLog, Token),
        row(Post, "/vms/{id}/snapshots", Route::SnapshotVm, Token),
        row(Get, "/options", Route::Options, Token),
        row(Get, "/health/providers", Route::ProviderHealth, Token),
        row(Get, "/snapshots", Route::ListSnapshots, Token),
        row(Delete, "/snapshots/{id}", Route::DeleteSnapshot, Token),
        row(Post, "/snapshots/golden", Route::GoldenSnapshot, Token),
        row(Get, "/workspaces", Route::ListWorkspaces, Token),
        row(Delete, "/workspaces/{name}", Route::DeleteWorkspace, Token),
        row(Post, "/user-data", Route::UserData, Token),
        row(Get, "/orphans", Route::ListOrphans, Token),
        row(Delete, "/orphans", Route::DeleteOrphans, Token),
        row(Post, "/reap", Route::Reap, Token),
        row(Post, "/seal", Route::Seal, Token),
        row(Get, "/metrics", Route::Metrics, Token),
        row(Post, "/vm/boot", Route::VmBoot, VM),
        row(Post, "/vm/progress", Route::VmProgress, VM),
        row(Post, "/vm/heartbeat", Route::VmHeartbeat, VM),
        row(Post, "/vm/token", Route::VmToken, VM),
        row(Post, "/vm/log", Route::VmLogWrite, VM),
        row(Delete, "/vm", Route::VmDelete, VM),
        row(Get, "/vm/backup/*", Route::VmBackup, BACKUP),
        row(Head, "/vm/backup/*", Route::VmBackup, BACKUP),
        row(Post, "/vm/backup/*", Route::VmBackupWrite, BACKUP),
        row(Delete, "/vm/backup/*", Route::VmBackupDelete, BACKUP),
        row(Get, "/vm/anthropic/*", Route::VmAnthropic, AGENT),
        row(Post, "/vm/anthropic/*", Route::VmAnthropic, AGENT),
    ]
};

/// Finds the route and the text of its `{id}`.
pub(super) fn resolve<'p>(method: &str, path: &'p str) -> Result<(&'static Row, &'p str), Problem> {
    let method = Method::parse(method);
    let mut known = false;
    for row in &ROUTES {
        if let Some(id) = matches(row.path, path) {
            if Some(row.method) == method {
                return Ok((row, id));
            }
            known = true;
        }
    }
    Err(if known { Problem::method_not_allowed(allowed(path)) } else { Problem::no_such_path() })
}

/// A browser asks before it sends a request with a token: any path of the table may be asked for.
pub(super) fn preflight(path: &str) -> Result<Reply, Problem> {
    if ROUTES.iter().any(|row| matches(row.path, path).is_some()) {
        return Ok(Reply { status: 204, headers: Vec::new(), body: Vec::new() });
    }
    Err(Problem::no_such_path())
}

fn allowed(path: &str) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for row in ROUTES.iter().filter(|row| matches(row.path, path).is_some()) {
        if !methods.contains(&row.method.as_str()) {
            methods.push(row.method.as_str());
        }
    }
    methods.join(", ")
}

/// The text in place of `{…}` or `*`, or an empty one; `None` where the path is another.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    if let Some(start) = pattern.strip_suffix('*') {
        return path.strip_prefix(start);
    }
    let Some((before, parameter)) = pattern.split_once('{') else { return (pattern == path).then_some("") };
    let (_, after) = parameter.split_once('}')?;
    let rest = path.strip_prefix(before)?;
    let (id, tail) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    (tail == after && !id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_paths_and_wrong_methods_are_told_apart() {
        assert_eq!(
            resolve("GET", "/vms/hetzner-1").map(|(row, id)| (row.route, id)).ok(),
            Some((Route::GetVm, "hetzner-1"))
        );
        assert_eq!(
            resolve("POST", "/vm/backup/a/b").map(|(row, id)| (row.route, id)).ok(),
            Some((Route::VmBackupWrite, "a/b"))
        );
        for path in [
            "/",
            "",
            "/vms/",
            "/vms/a/b",
            "/vmss",
            "/vms/hetzner-1/",
            "/VMS",
            "//vms",
            "/vms/../options",
            "/healthz/x",
        ] {
            assert_eq!(resolve("GET", path).err().map(|it| it.status()), Some(404), "{path}");
        }
        assert_eq!(resolve("PATCH", "/vms").err().map(|it| it.status()), Some(405));
        assert_eq!(resolve("BREW", "/vms").err().map(|it| it.status()), Some(405));
        assert_eq!(allowed("/vms"), "GET, POST, DELETE");
        assert_eq!(allowed("/snapshots/golden"), "DELETE, POST");
    }

    #[test]
    fn no_two_rows_are_the_same() {
        for (at, row) in ROUTES.iter().enumerate() {
            assert!(!ROUTES[..at].iter().any(|it| it.method == row.method && it.path == row.path), "{row:?}");
        }
    }

    proptest! {
        #[test]
        fn resolving_never_panics(method in "[A-Z]{0,8}", path in "\\PC{0,60}") {
            let _ = resolve(&method, &path);
        }
    }
}
