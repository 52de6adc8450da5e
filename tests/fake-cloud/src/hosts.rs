//! Servers whoever's they are: what a guest, its door and the control API need to know of one.
//!
//! How each vendor's servers live is in `cloud` and in the vendors' modules.

use hyper::Method;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::vendor::Vendor;
use crate::{digitalocean, ovh, scaleway};

/// A server as its guest sees it.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    /// What cloud-init reads.
    pub user_data: &'a str,
    /// The address that it is known by outside; empty without one.
    pub address: String,
    /// Whether it has power.
    pub is_running: bool,
}

/// The call by which a server ends itself with a credential of its own.
#[derive(Debug)]
pub(crate) struct OwnEnd {
    /// Whose API.
    pub vendor: Vendor,
    /// Method.
    pub method: Method,
    /// Path, with the vendor's prefix.
    pub path: String,
    /// JSON.
    pub body: Option<Value>,
}

impl Cloud {
    /// A server, whoever's.
    pub(crate) fn host(&self, server: u64) -> Option<Host<'_>> {
        if let Some(it) = self.servers.get(&server) {
            let address = self.address_of(server).unwrap_or_default();
            return Some(Host { user_data: &it.user_data, address, is_running: it.status == "running" });
        }
        if let Some(it) = self.ovh.instances.get(&server) {
            let address = it.addresses.as_ref().map(|(ipv4, _)| ipv4.clone()).unwrap_or_default();
            return Some(Host { user_data: &it.user_data, address, is_running: it.status == "ACTIVE" });
        }
        if let Some(it) = self.scaleway.servers.get(&server) {
            let given = it.booted_with.as_ref().or_else(|| it.user_data.get("cloud-init"));
            let flexible = self.scaleway.ips.values().find(|ip| ip.server == Some(server));
            let address = it.dynamic_ip.as_ref().or_else(|| flexible.map(|ip| &ip.address));
            return Some(Host {
                user_data: given.map_or("", String::as_str),
                address: address.cloned().unwrap_or_default(),
                is_running: it.state == "running",
            });
        }
        let droplet = self.digitalocean.droplets.get(&server)?;
        Some(Host {
            user_data: &droplet.user_data,
            address: droplet.ipv4.clone().unwrap_or_default(),
            is_running: droplet.status == "active",
        })
    }

    /// The id that guests and tests know a server by: the vendor's own.
    pub(crate) fn server_named(&self, reference: &str) -> Option<u64> {
        let id = reference.parse().ok().or_else(|| scaleway::server_number(reference));
        let id = id.or_else(|| ovh::id_of(reference))?;
        self.host(id).map(|_| id)
    }

    /// Servers that have power.
    pub(crate) fn powered(&self) -> Vec<u64> {
        let ids = self.servers.keys().chain(self.digitalocean.droplets.keys());
        let ids = ids.chain(self.scaleway.servers.keys()).chain(self.ovh.instances.keys());
        ids.copied().filter(|id| self.host(*id).is_some_and(|host| host.is_running)).collect()
    }

    /// The server that has this IPv4 address.
    pub(crate) fn server_at(&self, ipv4: &str) -> Option<u64> {
        if let Some(ip) = self.primary_ips.values().find(|ip| ip.kind == "ipv4" && ip.ip == ipv4) {
            return ip.assignee.filter(|id| self.servers.contains_key(id));
        }
        let others = self.digitalocean.droplets.keys().chain(self.scaleway.servers.keys());
        let mut others = others.chain(self.ovh.instances.keys()).copied();
        others.find(|id| self.host(*id).is_some_and(|host| host.address == ipv4))
    }

    /// The system of a server goes down by itself: because the guest chose to.
    pub(crate) fn shut_down(&mut self, server: u64) {
        if self.servers.contains_key(&server) {
            self.shut_down_server(server);
        } else {
            digitalocean::shut_down(self, server);
            scaleway::shut_down(self, server);
            ovh::shut_down(self, server);
        }
    }

    /// How a server deletes itself at its vendor.
    pub(crate) fn own_end(&self, server: u64) -> OwnEnd {
        if self.ovh.instances.contains_key(&server) {
            let vendor = Vendor::Ovh;
            let path =
                format!("{}/cloud/project/{}/instance/{}", vendor.prefix(), ovh::PROJECT, ovh::uuid(server));
            return OwnEnd { vendor, method: Method::DELETE, path, body: None };
        }
        if self.scaleway.servers.contains_key(&server) {
            let (zone, id) = (self.scaleway.servers[&server].zone, scaleway::uuid_of_server(server));
            let vendor = Vendor::Scaleway;
            let path = format!("{}/instance/v1/zones/{zone}/servers/{id}/action", vendor.prefix());
            // One that has power can only be terminated.
            let body = Some(json!({ "action": "terminate" }));
            return OwnEnd { vendor, method: Method::POST, path, body };
        }
        let is_droplet = self.digitalocean.droplets.contains_key(&server);
        let (vendor, kind) =
            if is_droplet { (Vendor::DigitalOcean, "droplets") } else { (Vendor::Hetzner, "servers") };
        let path = format!("{}/{kind}/{server}", vendor.prefix());
        OwnEnd { vendor, method: Method::DELETE, path, body: None }
    }
}
