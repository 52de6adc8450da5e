//! OVHcloud's JSON, field for field as far as we read or write it (OVHcloud API, `/v1/cloud` and
//! `/v1/order/catalog/public/cloud`, 2026-11). What the fields mean to us is the parent's business.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::providers) struct Instance {
    pub id: String,
    pub name: String,
    pub status: String,
    pub region: String,
    pub created: String,
    pub flavor_id: String,
    /// One server has it, a list has not.
    pub flavor: Option<FlavorName>,
    pub plan_code: Option<String>,
    /// Empty until it is built.
    #[serde(default)]
    pub ip_addresses: Vec<IpAddress>,
}

#[derive(Deserialize)]
pub(in crate::providers) struct FlavorName {
    pub name: String,
}

#[derive(Deserialize)]
pub(in crate::providers) struct IpAddress {
    pub ip: String,
    pub r#type: String,
    pub version: u8,
}

/// OVHcloud's own errors have a message and mostly a class or a code; those of its token endpoint are RFC 6749's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorAnswer {
    pub class: Option<String>,
    pub error_code: Option<String>,
    pub message: Option<String>,
    pub error: Option<String>,
    #[serde(rename = "error_description")]
    pub error_description: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub access_token: String,
    pub expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Flavor {
    pub id: String,
    pub name: String,
    pub region: String,
    pub os_type: String,
    pub vcpus: u32,
    /// MiB, of which OVHcloud sells a thousand as a GB.
    pub ram: f64,
    /// GB.
    pub disk: f64,
    pub available: bool,
    pub plan_codes: PlanCodes,
}

#[derive(Deserialize)]
pub(super) struct PlanCodes {
    pub hourly: Option<String>,
}

/// An image or a snapshot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Image {
    pub id: String,
    pub name: String,
    pub region: String,
    pub status: String,
    pub visibility: String,
    pub creation_date: String,
    /// GB; 0 for any.
    pub min_disk: f64,
    /// GB.
    pub size: f64,
    pub plan_code: Option<String>,
}

/// The price list. It has thousands of entries, of which a few are wanted.
#[derive(Deserialize)]
pub(super) struct PriceList<'a> {
    #[serde(borrow)]
    pub locale: Locale<'a>,
    #[serde(borrow)]
    pub addons: Vec<Addon<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Locale<'a> {
    #[serde(borrow)]
    pub currency_code: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Addon<'a> {
    #[serde(borrow)]
    pub plan_code: Cow<'a, str>,
    pub pricings: Option<Vec<Pricing>>,
}

#[derive(Deserialize)]
pub(super) struct Pricing {
    /// Hundred-millionths of the currency's unit, without taxes.
    pub price: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SshKey {
    pub id: String,
    pub name: String,
    pub public_key: String,
    /// Where it can be used.
    #[serde(default)]
    pub regions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotAnswer {
    pub snapshot_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateInstance<'a> {
    pub name: &'a str,
    pub region: &'a str,
    pub flavor_id: &'a str,
    pub image_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key_id: Option<&'a str>,
    pub user_data: &'a str,
    pub monthly_billing: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rename<'a> {
    pub instance_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateSnapshot<'a> {
    pub snapshot_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateSshKey<'a> {
    pub name: &'a str,
    pub public_key: &'a str,
}
