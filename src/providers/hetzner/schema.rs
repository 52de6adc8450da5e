//! Hetzner Cloud's JSON, field for field as far as we read or write it (Hetzner Cloud API reference, 2026-11). Strings
//! are borrowed from the answer where they can be. What the fields mean to us is the parent's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::labels::VmLabels;

#[derive(Deserialize)]
pub(super) struct Servers<'a> {
    #[serde(borrow)]
    pub servers: Vec<Server<'a>>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct ServerAnswer<'a> {
    #[serde(borrow)]
    pub server: Server<'a>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub pagination: Pagination,
}

#[derive(Deserialize)]
pub(super) struct Pagination {
    pub next_page: Option<u32>,
    pub last_page: Option<u32>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the vendor's names")]
pub(super) struct Server<'a> {
    pub id: u64,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub status: Text<'a>,
    #[serde(borrow)]
    pub created: Text<'a>,
    #[serde(borrow)]
    pub public_net: PublicNet<'a>,
    #[serde(borrow)]
    pub server_type: Named<'a>,
    #[serde(borrow)]
    pub location: Named<'a>,
    #[serde(borrow)]
    pub labels: Labels<'a>,
}

#[derive(Deserialize)]
pub(super) struct PublicNet<'a> {
    #[serde(borrow)]
    pub ipv4: Option<Address<'a>>,
    #[serde(borrow)]
    pub ipv6: Option<Address<'a>>,
}

/// The id is not in every answer to a creation, although later answers have it.
#[derive(Deserialize)]
pub(super) struct Address<'a> {
    pub id: Option<u64>,
    #[serde(borrow)]
    pub ip: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// A string that is borrowed unless the JSON escapes something in it.
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A server's labels, sorted into our fields while they are read: no map in between.
pub(super) struct Labels<'a>(pub VmLabels<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut labels = VmLabels::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let value = map.next_value::<Text<'de>>()?;
                    labels.take(&key.0, value.0);
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_map(LabelsVisitor)
    }
}

/// All labels of a server, ours or not: what a write must send back.
#[derive(Deserialize)]
pub(super) struct LabelsAnswer {
    pub server: Labelled,
}

#[derive(Deserialize)]
pub(super) struct Labelled {
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub error: ErrorBody,
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default, deserialize_with = "lenient")]
    pub details: ErrorDetails,
}

/// `fields` for `invalid_input` and `uniqueness_error`, `limits` for `resource_limit_exceeded`; often null.
#[derive(Default, Deserialize)]
pub(super) struct ErrorDetails {
    #[serde(default)]
    pub fields: Vec<OwnedNamed>,
    #[serde(default)]
    pub limits: Vec<OwnedNamed>,
}

#[derive(Deserialize)]
pub(super) struct OwnedNamed {
    #[serde(default)]
    pub name: String,
}

/// Details have many shapes; one that we do not know must not hide the error itself.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorDetails, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Known(ErrorDetails),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Known(details) => details,
        Either::Other(_) => ErrorDetails::default(),
    })
}

#[derive(Deserialize)]
pub(super) struct ServerTypes {
    pub server_types: Vec<ServerType>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct ServerType {
    pub name: String,
    pub cores: f64,
    pub memory: f64,
    pub disk: f64,
    pub architecture: String,
    pub prices: Vec<TypePrice>,
    pub locations: Vec<TypeLocation>,
}

#[derive(Deserialize)]
pub(super) struct TypePrice {
    pub location: String,
    pub price_hourly: Amount,
    pub price_monthly: Amount,
}

#[derive(Deserialize)]
pub(super) struct Amount {
    pub gross: String,
}

#[derive(Deserialize)]
pub(super) struct TypeLocation {
    pub name: String,
    pub available: bool,
    pub deprecation: Option<Deprecation>,
}

#[derive(Deserialize)]
pub(super) struct Deprecation {
    pub unavailable_after: String,
}

#[derive(Deserialize)]
pub(super) struct Locations {
    pub locations: Vec<Location>,
}

#[derive(Deserialize)]
pub(super) struct Location {
    pub name: String,
    pub city: String,
    pub country: String,
}

#[derive(Deserialize)]
pub(super) struct PricingAnswer {
    pub pricing: Pricing,
}

#[derive(Deserialize)]
pub(super) struct Pricing {
    pub currency: String,
    pub primary_ips: Vec<PrimaryIpPricing>,
}

#[derive(Deserialize)]
pub(super) struct ImagePricingAnswer {
    pub pricing: WithImages,
}

#[derive(Deserialize)]
pub(super) struct WithImages {
    pub currency: String,
    pub image: ImagePricing,
}

#[derive(Deserialize)]
pub(super) struct ImagePricing {
    pub price_per_gb_month: Amount,
}

#[derive(Deserialize)]
pub(super) struct PrimaryIpPricing {
    pub r#type: String,
    pub prices: Vec<TypePrice>,
}

#[derive(Deserialize)]
pub(super) struct SshKeys {
    pub ssh_keys: Vec<Resource>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct SshKeyAnswer {
    pub ssh_key: Resource,
}

#[derive(Deserialize)]
pub(super) struct Firewalls {
    pub firewalls: Vec<Resource>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct FirewallAnswer {
    pub firewall: Resource,
}

#[derive(Deserialize)]
pub(super) struct PrimaryIps {
    pub primary_ips: Vec<PrimaryIp>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct PrimaryIp {
    #[serde(flatten)]
    pub resource: Resource,
    pub assignee_id: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Images {
    pub images: Vec<SnapshotImage>,
    pub meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct ImageAnswer {
    pub image: SnapshotImage,
}

/// An image of type `snapshot`. Its name is always null, its size null until it is available.
#[derive(Deserialize)]
pub(super) struct SnapshotImage {
    pub id: u64,
    pub status: String,
    #[serde(default)]
    pub description: String,
    pub created: String,
    pub disk_size: f64,
    pub image_size: Option<f64>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What keys, firewalls and addresses have in common.
#[derive(Deserialize)]
pub(super) struct Resource {
    pub id: u64,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub created: String,
    /// Addresses have one.
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(super) struct CreateServer<'a> {
    pub name: &'a str,
    pub server_type: &'a str,
    pub image: &'a str,
    pub location: &'a str,
    pub ssh_keys: [&'a str; 1],
    pub user_data: &'a str,
    pub labels: BTreeMap<&'a str, &'a str>,
    pub firewalls: [FirewallRef; 1],
    pub public_net: PublicNetRequest,
    pub start_after_create: bool,
}

#[derive(Serialize)]
pub(super) struct FirewallRef {
    pub firewall: u64,
}

#[derive(Serialize)]
pub(super) struct PublicNetRequest {
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
}

#[derive(Serialize)]
pub(super) struct CreateSshKey<'a> {
    pub name: &'a str,
    pub public_key: &'a str,
    pub labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
pub(super) struct CreateFirewall<'a> {
    pub name: &'a str,
    pub labels: BTreeMap<&'a str, &'a str>,
    pub rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
pub(super) struct Rule<'a> {
    pub direction: &'a str,
    pub protocol: &'a str,
    pub port: &'a str,
    pub source_ips: [&'a str; 2],
    pub description: &'a str,
}

#[derive(Serialize)]
pub(super) struct CreateImage<'a> {
    pub r#type: &'a str,
    pub description: &'a str,
    pub labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
pub(super) struct UpdateLabels<'a> {
    pub labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
pub(super) struct UpdatePrimaryIp<'a> {
    pub auto_delete: bool,
    pub labels: BTreeMap<&'a str, &'a str>,
}
