//! The user data of one VM: the template with its data. What runs on the VM are static files (`cloud-init/`); the only
//! variable parts are values in one JSON file, the host name and the user's SSH key. Secrets are in it only sealed.
//!
//! The limit is 32 KiB at Hetzner and half of that elsewhere, so the user data carries what must work without the Worker
//! (identity, idle check, the VM's end); the scripts that build the workspace come with the boot exchange.

use askama::Template as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::ssh_key::SshPublicKey;

/// `cloud-init/vm/`, packed at build time.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vm.tar.gz"));
/// `cloud-init/workspace/`, likewise.
const WORKSPACE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/workspace.tar.gz"));

/// The content of `/etc/mayfly/vm.json`. Empty strings and lists mean "not given".
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "each field is described where the VM's scripts read it; times are Unix seconds"
)]
pub struct VmFile<'a> {
    pub v: u32,
    pub worker: &'a str,
    pub vm: &'a str,
    pub capability: &'a str,
    pub deployment: &'a str,
    pub provider: &'a str,
    pub location: &'a str,
    pub name: &'a str,
    pub profile: &'a str,
    pub repo_url: &'a str,
    pub branch: &'a str,
    pub web_ui: &'a str,
    pub devcontainer_image: &'a str,
    pub trust_repo: bool,
    pub idle_minutes: u32,
    pub created: u64,
    pub expires: u64,
    pub allow_from: &'a [String],
    pub domain: &'a str,
    pub image: &'a str,
    pub sealed: &'a str,
    pub self_delete: &'a str,
}

#[derive(askama::Template)]
#[template(path = "user-data.yaml", config = "cloud-init/askama.toml")]
struct UserData<'a> {
    name: &'a str,
    authorized_keys: Vec<String>,
    vm_json: &'a str,
    archive: &'a str,
}

/// The scripts that build the workspace, as base64 of a tar.gz.
pub fn workspace_archive() -> String {
    STANDARD.encode(WORKSPACE)
}

/// Renders the cloud-config.
pub fn render(file: &VmFile<'_>, authorized_key: Option<&SshPublicKey>) -> String {
    // A struct of strings and numbers always serialises, and the template writes into a String, which cannot fail.
    let vm_json = serde_json::to_string(file).unwrap_or_default();
    let user_data = UserData {
        name: file.name,
        authorized_keys: authorized_key.map(SshPublicKey::to_openssh).into_iter().collect(),
        vm_json: &vm_json,
        archive: &STANDARD.encode(ARCHIVE),
    };
    user_data.render().unwrap_or_default()
}
