//! Scaleway's JSON, field for field as far as we read or write it (Scaleway Instance, Marketplace and Block Storage APIs,
//! 2026-11). What the fields mean to us is the parent's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct Servers {
    pub servers: Vec<Server>,
}

#[derive(Deserialize)]
pub(super) struct ServerAnswer {
    pub server: Server,
}

#[derive(Deserialize)]
pub(in crate::providers) struct Server {
    pub id: String,
    pub name: String,
    pub state: String,
    pub zone: String,
    pub commercial_type: String,
    pub creation_date: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub allowed_actions: Vec<String>,
    #[serde(default)]
    pub public_ips: Vec<Ip>,
    #[serde(default)]
    pub volumes: BTreeMap<String, Volume>,
}

#[derive(Deserialize)]
pub(in crate::providers) struct Ip {
    pub address: String,
    pub family: String,
}

#[derive(Deserialize)]
pub(in crate::providers) struct Volume {
    pub id: String,
    #[serde(rename = "volume_type")]
    pub kind: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Volumes {
    pub volumes: Vec<ListedVolume>,
}

/// As much of one as of a volume.
#[derive(Deserialize)]
pub(super) struct Snapshots {
    pub snapshots: Vec<ListedVolume>,
}

/// A local disk, or a snapshot of one.
#[derive(Deserialize)]
pub(super) struct ListedVolume {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub creation_date: Option<String>,
    /// Bytes.
    #[serde(default)]
    pub size: f64,
    /// Null where no server has it.
    pub server: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct SecurityGroups {
    pub security_groups: Vec<SecurityGroup>,
}

#[derive(Deserialize)]
pub(super) struct SecurityGroupAnswer {
    pub security_group: SecurityGroup,
}

#[derive(Deserialize)]
pub(super) struct SecurityGroup {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub creation_date: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Rules {
    pub rules: Vec<ListedRule>,
}

#[derive(Deserialize)]
pub(super) struct ListedRule {
    pub action: String,
    pub direction: String,
    /// Null for every port.
    pub dest_port_from: Option<u16>,
    /// Null for that one alone.
    pub dest_port_to: Option<u16>,
}

#[derive(Deserialize)]
pub(super) struct LocalImages {
    pub local_images: Vec<LocalImage>,
}

#[derive(Deserialize)]
pub(super) struct LocalImage {
    pub id: String,
    pub arch: String,
    #[serde(default)]
    pub compatible_commercial_types: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Products {
    pub servers: BTreeMap<String, Product>,
}

#[derive(Deserialize)]
pub(super) struct Product {
    pub ncpus: u32,
    /// Bytes.
    pub ram: f64,
    pub arch: String,
    pub hourly_price: f64,
    /// Null where there is no monthly price.
    pub monthly_price: Option<f64>,
    #[serde(default)]
    pub end_of_service: bool,
    pub volumes_constraint: Option<Constraint>,
    /// Number of GPUs; null or zero for none.
    pub gpu: Option<u32>,
}

/// Local storage, bytes; 0 where the type has none.
#[derive(Deserialize)]
pub(super) struct Constraint {
    pub max_size: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct Availabilities {
    pub servers: BTreeMap<String, Availability>,
}

#[derive(Deserialize)]
pub(super) struct Availability {
    pub availability: String,
}

#[derive(Deserialize)]
pub(super) struct Images {
    pub images: Vec<Image>,
}

#[derive(Deserialize)]
pub(super) struct ImageAnswer {
    pub image: Image,
}

#[derive(Deserialize)]
pub(super) struct Image {
    pub id: String,
    pub name: String,
    pub state: String,
    pub creation_date: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub root_volume: RootVolume,
    #[serde(default)]
    pub extra_volumes: BTreeMap<String, Volume>,
}

/// A snapshot, in spite of its name.
#[derive(Deserialize)]
pub(super) struct RootVolume {
    pub id: String,
    pub volume_type: String,
    #[serde(default)]
    pub size: f64,
}

#[derive(Deserialize)]
pub(super) struct TaskAnswer {
    pub task: Task,
}

#[derive(Deserialize)]
pub(super) struct Task {
    #[serde(default)]
    pub href_result: String,
}

/// `type` says what it is; arguments that are wrong are named in `details`.
#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub r#type: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub details: Vec<ErrorDetail>,
}

#[derive(Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(default)]
    pub argument_name: String,
    #[serde(default)]
    pub help_message: String,
}

#[derive(Serialize)]
pub(super) struct CreateServer<'a> {
    pub name: &'a str,
    pub commercial_type: &'a str,
    pub image: &'a str,
    pub project: &'a str,
    pub tags: Vec<String>,
    pub dynamic_ip_required: bool,
    pub volumes: BTreeMap<&'a str, NewVolume<'a>>,
    pub security_group: &'a str,
    pub boot_type: &'a str,
}

#[derive(Serialize)]
pub(super) struct NewVolume<'a> {
    /// Bytes.
    pub size: u64,
    pub volume_type: &'a str,
}

#[derive(Serialize)]
pub(super) struct Tags {
    pub tags: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct ServerAction<'a> {
    pub action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<&'a str, BackupVolume<'a>>,
}

#[derive(Serialize)]
pub(super) struct BackupVolume<'a> {
    pub volume_type: &'a str,
}

#[derive(Serialize)]
pub(super) struct CreateSecurityGroup<'a> {
    pub name: &'a str,
    pub project: &'a str,
    pub tags: Vec<String>,
    pub stateful: bool,
    pub inbound_default_policy: &'a str,
    pub outbound_default_policy: &'a str,
}

#[derive(Serialize)]
pub(super) struct SetRules<'a> {
    pub rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
pub(super) struct Rule<'a> {
    pub action: &'a str,
    pub direction: &'a str,
    pub protocol: &'a str,
    pub ip_range: &'a str,
    pub dest_port_from: u16,
    pub position: u32,
}
