//! The user data of one VM: the template with its data. What runs on the VM are static files (`cloud-init/`); the only
//! variable parts are values in one JSON file, the host name and the user's SSH key. Secrets are in it only sealed.
//!
//! The limit is 32 KiB at Hetzner and half of that at EC2, so the user data carries what must work without the Worker
//! (identity, idle check, the VM's end); the scripts that build the workspace come with the boot exchange.

use askama::Template as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::ssh_key::SshPublicKey;

/// `cloud-init/vm/`, packed at build time.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vm.tar.gz"));
/// The base64 of `ARCHIVE`, as it stands in the user data, as a gzip member.
const ARCHIVE_MEMBER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vm.base64.gz"));
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

/// A user data as gzip, which cloud-init unpacks (cloud-init documentation, "User data formats"). It is several members one
/// after the other (RFC 1952 section 2.2): the archive, compressed when it was built, and around it the rest as it is. So no
/// compressor goes into the Worker, and most of what there is to win is won.
pub fn gzip(user_data: &str) -> Vec<u8> {
    let archive = STANDARD.encode(ARCHIVE);
    match user_data.split_once(&archive) {
        Some((before, after)) => {
            [member(before.as_bytes()), ARCHIVE_MEMBER.to_vec(), member(after.as_bytes())].concat()
        }
        None => member(user_data.as_bytes()),
    }
}

/// A gzip member of stored blocks (RFC 1951 section 3.2.4).
fn member(data: &[u8]) -> Vec<u8> {
    // Deflate, no flags, no time, no hint, system unknown.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks = data.len().div_ceil(usize::from(u16::MAX)).max(1);
    for at in 0..blocks {
        let start = at * usize::from(u16::MAX);
        let block = &data[start..data.len().min(start + usize::from(u16::MAX))];
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(at + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32(data).to_le_bytes());
    out.extend(u32::try_from(data.len() & 0xffff_ffff).unwrap_or(0).to_le_bytes());
    out
}

/// RFC 1952 section 8, a bit at a time: the text is short.
fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !data.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_usual_one() {
        // The check value of CRC-32 in every catalogue of them.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn long_texts_are_several_blocks() {
        let packed = member("x".repeat(70_000).as_bytes());
        assert_eq!(packed.len(), 10 + 2 * 5 + 70_000 + 8);
        assert_eq!((packed[10], packed[10 + 5 + 65_535]), (0, 1), "the last block says so");
        assert_eq!(member(b"")[10..15], [1, 0, 0, 0xff, 0xff]);
    }
}
