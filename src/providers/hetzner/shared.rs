//! What VMs at Hetzner share: SSH keys and the one firewall, both labelled, made when missing; and the leftovers that no VM
//! uses any more. When to sweep is the reaper's business.

use super::schema::{
    CreateFirewall, CreateSshKey, FirewallAnswer, Firewalls, Meta, PrimaryIps, Resource, Rule, SshKeyAnswer,
    SshKeys,
};
use super::{Error, ErrorKind, Hetzner, MAX_PAGES, NAME, PER_PAGE, absent_is_fine, as_map, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, Random, Request, Response};
use crate::labels::{LabelSet, Selector};
use crate::providers::{Billed, Leftover};
use crate::ssh_key::SshPublicKey;

/// Ports that are open to all: the door, its certificate challenges, SSH. Narrower rules are the host's own.
const OPEN_PORTS: [(&str, &str); 3] = [("443", "HTTPS"), ("80", "ACME challenges"), ("22", "SSH")];
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// A shared resource, and whether this call made it: then a failure takes it back.
pub(super) struct Shared<T> {
    pub value: T,
    pub id: u64,
    pub is_new: bool,
}

impl Hetzner {
    /// Keys of a name or fingerprint.
    pub fn find_ssh_key_request(&self, field: &str, value: &str) -> Request {
        // Names are ours and fingerprints hexadecimal with colons, which a query may hold (RFC 3986 section 3.4).
        self.get_request(&format!("/ssh_keys?{field}={value}"))
    }

    /// Registers a key.
    pub fn create_ssh_key_request(&self, name: &str, key: &SshPublicKey, labels: &LabelSet) -> Request {
        let body = CreateSshKey { name, public_key: &key.to_openssh(), labels: as_map(labels) };
        self.json_request(Method::Post, "/ssh_keys", &body)
    }

    /// The firewall of a name, if it is ours.
    pub fn find_firewall_request(&self, name: &str, deployment: &str) -> Request {
        let selector = Selector::deployment(deployment).to_query();
        self.get_request(&format!("/firewalls?name={name}&label_selector={selector}"))
    }

    /// The one firewall: without an inbound rule everything else is dropped; without an outbound one everything passes.
    pub fn create_firewall_request(&self, name: &str, labels: &LabelSet) -> Request {
        let rule = |(port, description)| Rule {
            direction: "in",
            protocol: "tcp",
            port,
            source_ips: EVERYWHERE,
            description,
        };
        let body = CreateFirewall { name, labels: as_map(labels), rules: OPEN_PORTS.map(rule).into() };
        self.json_request(Method::Post, "/firewalls", &body)
    }

    /// A write that is refused whoever sends it, a key without content: with 403 if the token may only read.
    pub async fn probe_writing<H: Http>(&self, host: &H) -> Result<Response, Error> {
        let nothing = std::collections::BTreeMap::<&str, &str>::new();
        self.send_once(host, self.json_request(Method::Post, "/ssh_keys", &nothing)).await
    }

    /// The key's name in the project. A key that the user registered under another name serves as well, and stays theirs.
    pub(super) async fn ensure_ssh_key<H: Http + Random>(
        &self,
        host: &H,
        key: &SshPublicKey,
        labels: &LabelSet,
    ) -> Result<Shared<String>, Error> {
        let known = |it: Resource| Shared { value: it.name, id: it.id, is_new: false };
        let by_fingerprint = self.find_ssh_key_request("fingerprint", &key.md5_fingerprint());
        if let Some(key) = self.first_key(host, by_fingerprint.clone()).await? {
            return Ok(known(key));
        }
        let name = format!("mayfly-{}", key.short_name());
        match self.send_once(host, self.create_ssh_key_request(&name, key, labels)).await {
            Ok(response) => {
                let made: SshKeyAnswer = parse(&response)?;
                Ok(Shared { value: made.ssh_key.name, id: made.ssh_key.id, is_new: true })
            }
            // Somebody else registered it meanwhile, or the answer to our own request was lost.
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                self.first_key(host, by_fingerprint).await?.map(known).ok_or_else(|| held_by_another(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The firewall's id.
    pub(super) async fn ensure_firewall<H: Http + Random>(
        &self,
        host: &H,
        deployment: &str,
        labels: &LabelSet,
    ) -> Result<Shared<()>, Error> {
        let name = format!("mayfly-{deployment}");
        let find = || self.find_firewall_request(&name, deployment);
        let known = |it: &Resource| Shared { value: (), id: it.id, is_new: false };
        let first =
            |response: &Response| Ok::<_, Error>(parse::<Firewalls>(response)?.firewalls.first().map(known));
        if let Some(firewall) = first(&self.send(host, find()).await?)? {
            return Ok(firewall);
        }
        match self.send_once(host, self.create_firewall_request(&name, labels)).await {
            Ok(response) => {
                let made: FirewallAnswer = parse(&response)?;
                Ok(Shared { value: (), id: made.firewall.id, is_new: true })
            }
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                first(&self.send(host, find()).await?)?.ok_or_else(|| held_by_another(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Unassigned addresses of ours; keys and firewalls of ours when no VM is left to use them.
    pub async fn leftovers<H: Http + Random>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        let deployment = &Selector::deployment(deployment);
        let mut found = Vec::new();
        let read_ips = |response: &Response, found: &mut Vec<Leftover>| {
            let page: PrimaryIps = parse(response)?;
            let free = page.primary_ips.into_iter().filter(|it| it.assignee_id.is_none());
            found.extend(free.filter_map(|it| leftover(deployment, "primary_ip", it.resource)));
            Ok(page.meta)
        };
        self.each_page(host, "/primary_ips", deployment, &mut found, read_ips).await?;
        if vms_left {
            return Ok(found);
        }
        let read_keys = |response: &Response, found: &mut Vec<Leftover>| {
            let page: SshKeys = parse(response)?;
            found.extend(page.ssh_keys.into_iter().filter_map(|it| leftover(deployment, "ssh_key", it)));
            Ok(page.meta)
        };
        self.each_page(host, "/ssh_keys", deployment, &mut found, read_keys).await?;
        let read_firewalls = |response: &Response, found: &mut Vec<Leftover>| {
            let page: Firewalls = parse(response)?;
            found.extend(page.firewalls.into_iter().filter_map(|it| leftover(deployment, "firewall", it)));
            Ok(page.meta)
        };
        self.each_page(host, "/firewalls", deployment, &mut found, read_firewalls).await?;
        Ok(found)
    }

    /// Deletes a leftover; that it is gone already is success.
    pub async fn delete_leftover<H: Http + Random>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        self.delete_shared(host, &format!("/{}s/{}", leftover.kind, leftover.native)).await
    }

    /// Deletes a key or firewall by its path.
    pub(super) async fn delete_shared<H: Http + Random>(&self, host: &H, path: &str) -> Result<(), Error> {
        absent_is_fine(self.send(host, self.request(Method::Delete, path, Vec::new())).await)
    }

    async fn first_key<H: Http + Random>(
        &self,
        host: &H,
        request: Request,
    ) -> Result<Option<Resource>, Error> {
        Ok(parse::<SshKeys>(&self.send(host, request).await?)?.ssh_keys.into_iter().next())
    }

    async fn each_page<H: Http + Random>(
        &self,
        host: &H,
        path: &str,
        selector: &Selector,
        found: &mut Vec<Leftover>,
        read: impl Fn(&Response, &mut Vec<Leftover>) -> Result<Meta, Error>,
    ) -> Result<(), Error> {
        let mut next = Some(1);
        while let Some(page) = next.filter(|it| *it <= MAX_PAGES) {
            let request = self.get_request(&format!(
                "{path}?label_selector={}&page={page}&per_page={PER_PAGE}",
                selector.to_query()
            ));
            next =
                read(&self.send(host, request).await?, found)?.pagination.next_page.filter(|it| *it > page);
        }
        Ok(())
    }
}

/// `None` for what the provider sends beside what it was asked for: only what carries our labels is ever deleted.
fn leftover(deployment: &Selector, kind: &'static str, it: Resource) -> Option<Leftover> {
    deployment.matches(&it.labels).then(|| Leftover {
        kind,
        native: it.id.to_string(),
        name: it.name,
        created_secs: from_rfc3339(&it.created).unwrap_or(0),
        billed: if it.r#type == "ipv4" { Billed::Ipv4 } else { Billed::Nothing },
    })
}

/// Refused because a key or firewall vanished between our look and the creation: the reaper of the same deployment may
/// have taken it, and making it again helps.
pub(super) fn shared_vanished(error: &Error) -> bool {
    let text = error.detail.to_ascii_lowercase();
    let named = ["ssh_key", "ssh key", "firewall"].iter().any(|it| text.contains(it));
    error.provider == NAME && matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) && named
}

/// The name of a shared resource is held by one that is not ours: no other name of the VM would help.
fn held_by_another(error: Error) -> Error {
    match error.kind {
        ErrorKind::AlreadyExists => Error { kind: ErrorKind::Conflict, ..error },
        _ => error,
    }
}
