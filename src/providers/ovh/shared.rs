//! What servers share: SSH keys, made when missing; and those that no server uses any more. Keys carry no labels, so a key of
//! ours is known by its name. When to sweep is the reaper's business.

use sha2::{Digest as _, Sha256};

use super::schema::{CreateSshKey, SshKey};
use super::{Error, ErrorKind, Ovh, absent_is_fine, parse};
use crate::encoding::base32;
use crate::http::{Clock, Http, Method, Random, Request, Response};
use crate::providers::{Billed, Leftover};
use crate::ssh_key::SshPublicKey;

/// Hexadecimal digits at the end of a key's name.
const KEY_NAME_DIGITS: usize = 16;

/// A key, and whether this call made it: then a failure takes it back.
pub(in crate::providers) struct SharedKey {
    pub(super) id: String,
    pub(super) regions: Vec<String>,
    pub(super) is_new: bool,
}

impl Ovh {
    /// All keys of the project.
    pub fn ssh_keys_request(&self) -> Request {
        self.get_request("/sshkey")
    }

    /// Registers a key in every region.
    pub fn create_ssh_key_request(&self, name: &str, key: &SshPublicKey) -> Request {
        let body = CreateSshKey { name, public_key: &key.to_openssh() };
        self.json_request(Method::Post, "/sshkey", &body)
    }

    /// A write that is refused whoever sends it, a key without a name: with 403 if it is not granted.
    pub async fn probe_writing<H: Http + Random + Clock>(&self, host: &H) -> Result<Response, Error> {
        let nothing = std::collections::BTreeMap::<&str, &str>::new();
        self.send_once(host, self.json_request(Method::Post, "/sshkey", &nothing)).await
    }

    /// A key that the user registered under another name serves as well, and stays theirs.
    pub(super) async fn ensure_ssh_key<H: Http + Random + Clock>(
        &self,
        host: &H,
        key: &SshPublicKey,
        deployment: &str,
    ) -> Result<SharedKey, Error> {
        if let Some(it) = self.find_ssh_key(host, key).await? {
            return Ok(shared(it, false));
        }
        let name = format!("{}{}", key_prefix(deployment), key.short_name());
        match self.send_once(host, self.create_ssh_key_request(&name, key)).await {
            Ok(response) => Ok(shared(parse(&response)?, true)),
            // Somebody else registered it meanwhile, or the answer to our own request was lost.
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                let held = |error: Error| match error.kind {
                    ErrorKind::AlreadyExists => Error { kind: ErrorKind::Conflict, ..error },
                    _ => error,
                };
                Ok(shared(self.find_ssh_key(host, key).await?.ok_or_else(|| held(error))?, false))
            }
            Err(error) => Err(error),
        }
    }

    async fn find_ssh_key<H: Http + Random + Clock>(
        &self,
        host: &H,
        key: &SshPublicKey,
    ) -> Result<Option<SshKey>, Error> {
        let is_it = |it: &SshKey| SshPublicKey::parse(&it.public_key).is_ok_and(|it| it == *key);
        Ok(self.ssh_keys(host).await?.into_iter().find(is_it))
    }

    async fn ssh_keys<H: Http + Random + Clock>(&self, host: &H) -> Result<Vec<SshKey>, Error> {
        let keys: Vec<SshKey> = parse(&self.send(host, self.ssh_keys_request()).await?)?;
        // Ids stand in paths; OVHcloud's are hexadecimal.
        let is_id = |it: &SshKey| !it.id.is_empty() && it.id.bytes().all(|it| it.is_ascii_alphanumeric());
        Ok(keys.into_iter().filter(is_id).collect())
    }

    /// Keys of ours when no VM is left to use them.
    pub async fn leftovers<H: Http + Random + Clock>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        if vms_left {
            return Ok(Vec::new());
        }
        let ours = self.ssh_keys(host).await?.into_iter().filter(|it| is_our_key(it, deployment));
        let leftover = |it: SshKey| {
            let billed = Billed::Nothing;
            Leftover { kind: "ssh_key", native: it.id, name: it.name, created_secs: 0, billed }
        };
        Ok(ours.map(leftover).collect())
    }

    /// Deletes a leftover; that it is gone already is success.
    pub async fn delete_leftover<H: Http + Random + Clock>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        self.delete_ssh_key(host, &leftover.native).await
    }

    pub(super) async fn delete_ssh_key<H: Http + Random + Clock>(
        &self,
        host: &H,
        id: &str,
    ) -> Result<(), Error> {
        let request = self.request(Method::Delete, &format!("/sshkey/{id}"), Vec::new());
        absent_is_fine(self.send(host, request).await)
    }
}

fn shared(key: SshKey, is_new: bool) -> SharedKey {
    SharedKey { id: key.id, regions: key.regions, is_new }
}

/// Key names hold letters, digits, spaces, `-` and `_` alone (OpenStack Compute API, "Create or import keypair"), deployments
/// dots as well.
fn key_prefix(deployment: &str) -> String {
    format!("mayfly-{}-", base32(&Sha256::digest(deployment.as_bytes())[..5]))
}

fn is_our_key(key: &SshKey, deployment: &str) -> bool {
    let digits = key.name.strip_prefix(&key_prefix(deployment));
    digits.is_some_and(|it| it.len() == KEY_NAME_DIGITS && it.bytes().all(|it| it.is_ascii_hexdigit()))
}
