//! What droplets share: SSH keys and the one firewall, made when missing; and the leftovers that no droplet uses any more.
//! Keys carry no tags, so a key of ours is known by its name. When to sweep is the reaper's business.

use std::fmt::Display;

use super::schema::{
    Addresses, CreateFirewall, CreateSshKey, Firewall, FirewallAnswer, Firewalls, InboundRule, OutboundRule,
    SshKey, SshKeyAnswer, SshKeys, Tags,
};
use super::{DigitalOcean, Error, ErrorKind, PER_PAGE, absent_is_fine, found, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Host, Http, Method, Random, Request, Response};
use crate::labels::tags;
use crate::providers::{Billed, Leftover};
use crate::ssh_key::SshPublicKey;

/// Ports that are open to all: the door, its certificate challenges, SSH. Narrower rules are the host's own.
const OPEN_PORTS: [&str; 3] = ["443", "80", "22"];
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// Hexadecimal digits at the end of a key's name.
const KEY_NAME_DIGITS: usize = 16;

/// A shared resource, and whether this call made it: then a failure takes it back.
pub(super) struct Shared<I> {
    pub id: I,
    pub is_new: bool,
}

impl<I: PartialEq> Shared<I> {
    /// After a second look: what the first made and the second found again is still this call's to take back.
    pub(super) fn renewed(self, mut again: Self) -> Self {
        again.is_new |= self.is_new && self.id == again.id;
        again
    }
}

impl DigitalOcean {
    /// A key by its fingerprint.
    pub fn find_ssh_key_request(&self, fingerprint: &str) -> Request {
        self.get_request(&format!("/account/keys/{fingerprint}"))
    }

    /// Registers a key.
    pub fn create_ssh_key_request(&self, name: &str, key: &SshPublicKey) -> Request {
        let body = CreateSshKey { name, public_key: &key.to_openssh() };
        self.json_request(Method::Post, "/account/keys", &body)
    }

    /// A page of `account/keys`, `firewalls` or `tags`.
    pub fn page_request(&self, path: &str, page: u32) -> Request {
        self.get_request(&format!("/{path}?page={page}&per_page={PER_PAGE}"))
    }

    /// A write that is refused whoever sends it, a tag without a name: with 403 if the token may only read.
    pub async fn probe_writing<H: Http>(&self, host: &H) -> Result<Response, Error> {
        let nothing = std::collections::BTreeMap::<&str, &str>::new();
        self.send_once(host, self.json_request(Method::Post, "/tags", &nothing)).await
    }

    /// The one firewall. Without outbound rules nothing would leave the droplet.
    pub fn create_firewall_request(&self, name: &str, tag: &str) -> Request {
        let everywhere = || Addresses { addresses: EVERYWHERE };
        let inbound = |ports| InboundRule { protocol: "tcp", ports, sources: everywhere() };
        // `0` are all ports.
        let outbound = |protocol| OutboundRule { protocol, ports: "0", destinations: everywhere() };
        let body = CreateFirewall {
            name,
            inbound_rules: OPEN_PORTS.map(inbound).into(),
            outbound_rules: ["tcp", "udp", "icmp"].map(outbound).into(),
            tags: [tag],
        };
        self.json_request(Method::Post, "/firewalls", &body)
    }

    /// The key's number. A key that the user registered under another name serves as well, and stays theirs.
    pub(super) async fn ensure_ssh_key<H: Http + Random>(
        &self,
        host: &H,
        key: &SshPublicKey,
        deployment: &str,
    ) -> Result<Shared<u64>, Error> {
        if let Some(id) = self.find_ssh_key(host, key).await? {
            return Ok(Shared { id, is_new: false });
        }
        let name = format!("{}{}", key_prefix(deployment), key.short_name());
        match self.send_once(host, self.create_ssh_key_request(&name, key)).await {
            Ok(response) => Ok(Shared { id: parse::<SshKeyAnswer>(&response)?.ssh_key.id, is_new: true }),
            // Somebody else registered it meanwhile, or the answer to our own request was lost.
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                let id = self.find_ssh_key(host, key).await?.ok_or_else(|| held_by_another(error))?;
                Ok(Shared { id, is_new: false })
            }
            Err(error) => Err(error),
        }
    }

    async fn find_ssh_key<H: Http + Random>(
        &self,
        host: &H,
        key: &SshPublicKey,
    ) -> Result<Option<u64>, Error> {
        match self.send(host, self.find_ssh_key_request(&key.md5_fingerprint())).await {
            Ok(response) => Ok(Some(parse::<SshKeyAnswer>(&response)?.ssh_key.id)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The firewall's id. It applies to whatever carries the deployment's tag, from the first moment.
    pub(super) async fn ensure_firewall<H: Http + Random>(
        &self,
        host: &H,
        deployment: &str,
    ) -> Result<Shared<String>, Error> {
        if let Some(it) = self.find_firewall(host, deployment).await? {
            return Ok(Shared { id: it.id, is_new: false });
        }
        let tag = tags::deployment_tag(deployment);
        // A firewall takes only tags that exist.
        match self.send(host, self.create_tag_request(&tag)).await {
            Err(error) if !matches!(error.kind, ErrorKind::AlreadyExists | ErrorKind::Invalid) => {
                return Err(error);
            }
            _ => {}
        }
        let request = self.create_firewall_request(&firewall_name(deployment), &tag);
        match self.send_once(host, request).await {
            Ok(response) => Ok(Shared { id: parse::<FirewallAnswer>(&response)?.firewall.id, is_new: true }),
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                let it = self.find_firewall(host, deployment).await?.ok_or_else(|| held_by_another(error))?;
                Ok(Shared { id: it.id, is_new: false })
            }
            Err(error) => Err(error),
        }
    }

    async fn find_firewall<H: Http + Random>(
        &self,
        host: &H,
        deployment: &str,
    ) -> Result<Option<Firewall>, Error> {
        Ok(self.firewalls(host).await?.into_iter().find(|it| is_our_firewall(it, deployment)))
    }

    async fn firewalls<H: Http + Random>(&self, host: &H) -> Result<Vec<Firewall>, Error> {
        let request = |page| self.page_request("firewalls", page);
        self.pages(host, request, |it| Ok(parse::<Firewalls>(it)?.firewalls)).await
    }

    /// Tags that only one droplet carried; keys and the firewall of ours when no VM is left to use them.
    pub async fn leftovers<H: Http + Random>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        let own = tags::own_prefix(deployment);
        let request = |page| self.page_request("tags", page);
        let all = self.pages(host, request, |it| Ok(parse::<Tags>(it)?.tags)).await?.into_iter();
        let unused = all.filter(|it| it.name.starts_with(&own) && it.resources.count == 0);
        let mut found: Vec<Leftover> = unused.map(|it| leftover("tag", &it.name, &it.name, 0)).collect();
        if vms_left {
            return Ok(found);
        }
        let request = |page| self.page_request("account/keys", page);
        let keys = self.pages(host, request, |it| Ok(parse::<SshKeys>(it)?.ssh_keys)).await?.into_iter();
        let ours = keys.filter(|it| is_our_key(it, deployment));
        found.extend(ours.map(|it| leftover("ssh_key", &it.id, &it.name, 0)));
        let ours = self.firewalls(host).await?.into_iter().filter(|it| is_our_firewall(it, deployment));
        let secs = |it: &Firewall| from_rfc3339(&it.created_at).unwrap_or(0);
        found.extend(ours.map(|it| leftover("firewall", &it.id, &it.name, secs(&it))));
        Ok(found)
    }

    /// Deletes a leftover; that it is gone already is success.
    pub async fn delete_leftover<H: Http + Random>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        self.delete_shared(host, leftover.kind, &leftover.native).await
    }

    /// Deletes what this call made. What cannot be deleted now is known by its name: the reaper finds it.
    pub(super) async fn take_back_shared<H: Host, I: Display>(
        &self,
        host: &H,
        kind: &'static str,
        shared: &Shared<I>,
    ) {
        if shared.is_new && self.delete_shared(host, kind, &shared.id).await.is_err() {
            host.log(&format!(r#"{{"event":"rollback_failed","kind":"{kind}"}}"#));
        }
    }

    async fn delete_shared<H: Http + Random>(
        &self,
        host: &H,
        kind: &str,
        id: &impl Display,
    ) -> Result<(), Error> {
        let path = match kind {
            "ssh_key" => format!("/account/keys/{id}"),
            "firewall" => format!("/firewalls/{id}"),
            _ => format!("/tags/{id}"),
        };
        absent_is_fine(self.send(host, self.request(Method::Delete, &path, Vec::new())).await)
    }

    /// Puts a tag that exists on something; `false` where either is gone.
    pub(super) async fn tag<H: Http + Random>(
        &self,
        host: &H,
        tag: &str,
        kind: &str,
        native: &str,
    ) -> Result<bool, Error> {
        found(self.send(host, self.tag_request(tag, kind, native)).await)
    }
}

fn leftover(kind: &'static str, native: &impl Display, name: &str, created_secs: u64) -> Leftover {
    Leftover {
        kind,
        native: native.to_string(),
        name: name.to_owned(),
        created_secs,
        billed: Billed::Nothing,
    }
}

fn key_prefix(deployment: &str) -> String {
    format!("mayfly-{deployment}-")
}

/// Whole names only: another deployment's may begin with this one's.
fn is_our_key(key: &SshKey, deployment: &str) -> bool {
    let digits = key.name.strip_prefix(&key_prefix(deployment));
    digits.is_some_and(|it| it.len() == KEY_NAME_DIGITS && it.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// Names hold letters, digits, `.` and `-` alone; the tag tells two deployments apart whose names become the same.
fn firewall_name(deployment: &str) -> String {
    format!("mayfly-{}", deployment.replace('_', "."))
}

fn is_our_firewall(firewall: &Firewall, deployment: &str) -> bool {
    let tag = tags::deployment_tag(deployment);
    firewall.name == firewall_name(deployment) && firewall.tags.iter().flatten().any(|it| *it == tag)
}

/// The name of a shared resource is held by one that is not ours: no other name of the VM would help.
fn held_by_another(error: Error) -> Error {
    match error.kind {
        ErrorKind::AlreadyExists => Error { kind: ErrorKind::Conflict, ..error },
        _ => error,
    }
}
