//! DigitalOcean's JSON, field for field as far as we read or write it (DigitalOcean API reference, 2026-11). What the fields
//! mean to us is the parent's business.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct Droplets {
    pub droplets: Vec<Droplet>,
}

#[derive(Deserialize)]
pub(super) struct DropletAnswer {
    pub droplet: Droplet,
}

/// What stands around every page of a listing.
#[derive(Deserialize)]
pub(super) struct Frame {
    #[serde(default)]
    pub links: Links,
    #[serde(default)]
    pub meta: Meta,
}

#[derive(Default, Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    pub pages: Pages,
}

/// The pages' addresses: all that we need of them is whether there is a next one.
#[derive(Default, Deserialize)]
pub(super) struct Pages {
    pub next: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
pub(super) struct Meta {
    /// On all pages together.
    #[serde(default)]
    pub total: usize,
}

#[derive(Deserialize)]
pub(super) struct Droplet {
    pub id: u64,
    pub name: String,
    pub status: String,
    pub created_at: String,
    pub size_slug: String,
    pub region: Slug,
    pub networks: Networks,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Slug {
    pub slug: String,
}

/// Empty until the droplet has its addresses.
#[derive(Deserialize)]
pub(super) struct Networks {
    #[serde(default)]
    pub v4: Vec<Address>,
}

#[derive(Deserialize)]
pub(super) struct Address {
    pub ip_address: String,
    pub r#type: String,
}

/// Tags answer with `error`, everything else with `id` and `message`.
#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub id: Option<String>,
    pub error: Option<String>,
    pub message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Sizes {
    pub sizes: Vec<Size>,
}

#[derive(Deserialize)]
pub(super) struct Size {
    pub slug: String,
    pub memory: f64,
    pub vcpus: u32,
    pub disk: f64,
    pub price_hourly: f64,
    pub price_monthly: f64,
    pub regions: Vec<String>,
    pub available: bool,
    pub gpu_info: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Regions {
    pub regions: Vec<Region>,
}

#[derive(Deserialize)]
pub(super) struct Region {
    pub slug: String,
    pub name: String,
    pub available: bool,
}

#[derive(Deserialize)]
pub(super) struct SshKeys {
    pub ssh_keys: Vec<SshKey>,
}

#[derive(Deserialize)]
pub(super) struct SshKeyAnswer {
    pub ssh_key: SshKey,
}

#[derive(Deserialize)]
pub(super) struct SshKey {
    pub id: u64,
    pub name: String,
}

#[derive(Deserialize)]
pub(super) struct Firewalls {
    pub firewalls: Vec<Firewall>,
}

#[derive(Deserialize)]
pub(super) struct FirewallAnswer {
    pub firewall: Firewall,
}

#[derive(Deserialize)]
pub(super) struct Firewall {
    pub id: String,
    pub name: String,
    pub created_at: String,
    /// Null where none was given.
    pub tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Tags {
    pub tags: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub name: String,
    pub resources: Count,
}

#[derive(Deserialize)]
pub(super) struct Count {
    pub count: u64,
}

#[derive(Deserialize)]
pub(super) struct Images {
    pub images: Vec<Image>,
}

#[derive(Deserialize)]
pub(super) struct Image {
    pub id: u64,
    pub name: String,
    pub r#type: String,
    pub status: String,
    pub created_at: String,
    pub min_disk_size: Option<f64>,
    pub size_gigabytes: Option<f64>,
    #[serde(default)]
    pub regions: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the vendor's fields")]
pub(super) struct CreateDroplet<'a> {
    pub name: &'a str,
    pub region: &'a str,
    pub size: &'a str,
    pub image: ImageRef<'a>,
    pub ssh_keys: [u64; 1],
    pub user_data: &'a str,
    pub tags: Vec<String>,
    pub ipv6: bool,
    pub monitoring: bool,
    pub backups: bool,
    pub with_droplet_agent: bool,
}

/// Public images by their slug, one's own by their number.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ImageRef<'a> {
    Slug(&'a str),
    Id(u64),
}

#[derive(Serialize)]
pub(super) struct CreateSshKey<'a> {
    pub name: &'a str,
    pub public_key: &'a str,
}

#[derive(Serialize)]
pub(super) struct CreateFirewall<'a> {
    pub name: &'a str,
    pub inbound_rules: Vec<InboundRule<'a>>,
    pub outbound_rules: Vec<OutboundRule<'a>>,
    pub tags: [&'a str; 1],
}

#[derive(Serialize)]
pub(super) struct InboundRule<'a> {
    pub protocol: &'a str,
    pub ports: &'a str,
    pub sources: Addresses<'a>,
}

#[derive(Serialize)]
pub(super) struct OutboundRule<'a> {
    pub protocol: &'a str,
    pub ports: &'a str,
    pub destinations: Addresses<'a>,
}

#[derive(Serialize)]
pub(super) struct Addresses<'a> {
    pub addresses: [&'a str; 2],
}

#[derive(Serialize)]
pub(super) struct CreateTag<'a> {
    pub name: &'a str,
}

#[derive(Serialize)]
pub(super) struct TagResources<'a> {
    pub resources: [TaggedResource<'a>; 1],
}

#[derive(Serialize)]
pub(super) struct TaggedResource<'a> {
    pub resource_id: &'a str,
    pub resource_type: &'a str,
}

#[derive(Serialize)]
pub(super) struct Action<'a> {
    pub r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}
