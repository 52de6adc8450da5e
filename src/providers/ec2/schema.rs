//! EC2's XML and the Price List's JSON, field for field as far as we read or write them (Amazon EC2 API Reference, 2016-11-15;
//! AWS Price List Query API, 2017-10-15). What the fields mean to us is mostly the parent's business.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{NAME, native};
use crate::encoding::from_rfc3339;
use crate::labels::VmLabels;
use crate::model::{Vm, VmId, VmState};
use crate::workspace::Market;
use crate::xml::Element;

/// An instance.
#[derive(Clone, Debug)]
pub(in crate::providers) struct Instance {
    /// Region and id.
    pub native: String,
    pub region: String,
    /// Availability zone, which decides a spot instance's price.
    pub zone: String,
    pub server_type: String,
    pub state: VmState,
    /// Shown for about an hour after its end.
    pub is_terminated: bool,
    pub is_spot: bool,
    pub created_secs: u64,
    pub ipv4: Option<String>,
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    fn read(it: &Element<'_>, region: &str) -> Self {
        let state = it.text(&["instanceState", "name"]);
        // The launch is the last start; the root volume is attached once.
        let attached = it.items("blockDeviceMapping").map(|it| it.text(&["ebs", "attachTime"]));
        let times = attached.chain([it.text(&["launchTime"])]).filter_map(from_rfc3339);
        let ipv4 = it.text(&["ipAddress"]);
        Self {
            native: native(region, it.text(&["instanceId"])),
            region: region.to_owned(),
            zone: it.text(&["placement", "availabilityZone"]).to_owned(),
            server_type: it.text(&["instanceType"]).to_owned(),
            state: match state {
                "pending" => VmState::Creating,
                "running" => VmState::Running,
                "stopping" => VmState::Stopping,
                "stopped" => VmState::Stopped,
                "shutting-down" => VmState::Deleting,
                // Whatever comes later: nothing is done on its account.
                _ => VmState::Unknown,
            },
            is_terminated: state == "terminated",
            is_spot: it.text(&["instanceLifecycle"]) == "spot",
            created_secs: times.min().unwrap_or(0),
            ipv4: (!ipv4.is_empty()).then(|| ipv4.to_owned()),
            tags: tags(it),
        }
    }
}

impl From<Instance> for Vm<'static> {
    fn from(it: Instance) -> Self {
        Self {
            id: VmId { provider: NAME, native: it.native },
            name: Cow::Owned(it.tags.get("Name").cloned().unwrap_or_default()),
            state: it.state,
            created_secs: it.created_secs,
            ipv4: it.ipv4.map(Cow::Owned),
            // None is asked for: a subnet need not have a network of them.
            ipv6: None,
            location: Cow::Owned(it.region),
            server_type: Cow::Owned(it.server_type),
            market: if it.is_spot { Market::Spot } else { Market::OnDemand },
            labels: VmLabels::from_map(it.tags),
        }
    }
}

/// The instances in the answer of a listing, or of a creation. What has no id that can be ours is passed over.
pub(super) fn instances(root: &Element<'_>, region: &str) -> Vec<Instance> {
    let listed = root.items("reservationSet").flat_map(|it| it.items("instancesSet"));
    let made = root.items("instancesSet");
    let all = listed.chain(made).map(|it| Instance::read(it, region));
    all.filter(|it| NAME.is_native(&it.native)).collect()
}

pub(super) fn tags(it: &Element<'_>) -> BTreeMap<String, String> {
    let text = |it: &Element<'_>, name| it.text(&[name]).to_owned();
    it.items("tagSet").map(|it| (text(it, "key"), text(it, "value"))).collect()
}

/// `None` on the last page.
pub(super) fn next_token(root: &Element<'_>) -> Option<String> {
    Some(root.text(&["nextToken"]).to_owned()).filter(|it| !it.is_empty())
}

/// A machine image.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub id: String,
    pub created_at: String,
    pub state: String,
    pub description: String,
    pub root_device: String,
    /// Of its root volume, GiB.
    pub size_gib: u32,
    /// Behind its volumes.
    pub snapshots: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

pub(super) fn images(root: &Element<'_>) -> Vec<Image> {
    let text = |it: &Element<'_>, path: &[&str]| it.text(path).to_owned();
    let read = |it: &Element<'_>| {
        let root_device = text(it, &["rootDeviceName"]);
        let is_root = |disk: &&Element<'_>| disk.text(&["deviceName"]) == root_device;
        let size = it.items("blockDeviceMapping").find(is_root).map(|it| it.text(&["ebs", "volumeSize"]));
        let snapshots = it.items("blockDeviceMapping").map(|it| text(it, &["ebs", "snapshotId"]));
        Image {
            id: text(it, &["imageId"]),
            created_at: text(it, &["creationDate"]),
            state: text(it, &["imageState"]),
            description: text(it, &["description"]),
            size_gib: size.and_then(|it| it.parse().ok()).unwrap_or(0),
            snapshots: snapshots.filter(|it| !it.is_empty()).collect(),
            tags: tags(it),
            root_device,
        }
    };
    root.items("imagesSet").map(read).filter(|it| it.id.starts_with("ami-")).collect()
}

/// A security group.
pub(super) struct Group {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub tags: BTreeMap<String, String>,
    /// From and to, of each rule for what comes in; of a rule for everything, all.
    pub ports: Vec<(u16, u16)>,
}

impl Group {
    /// Whether somebody may come in there. Who is its owner's business.
    pub(super) fn is_open(&self, port: u16) -> bool {
        self.ports.iter().any(|(from, to)| (*from..=*to).contains(&port))
    }
}

pub(super) fn groups(root: &Element<'_>) -> Vec<Group> {
    let port = |it: &Element<'_>, name: &str| it.text(&[name]).parse().ok();
    let range = |it: &Element<'_>| match it.text(&["ipProtocol"]) {
        "-1" => Some((0, u16::MAX)),
        "tcp" => Some((port(it, "fromPort")?, port(it, "toPort")?)),
        _ => None,
    };
    let read = |it: &Element<'_>| Group {
        id: it.text(&["groupId"]).to_owned(),
        name: it.text(&["groupName"]).to_owned(),
        vpc: it.text(&["vpcId"]).to_owned(),
        tags: tags(it),
        ports: it.items("ipPermissions").filter_map(range).collect(),
    };
    root.items("securityGroupInfo").map(read).filter(|it| it.id.starts_with("sg-")).collect()
}

/// A disk without an instance.
pub(super) struct Volume {
    pub id: String,
    pub is_free: bool,
    pub created_secs: u64,
    pub size_gib: u32,
    pub tags: BTreeMap<String, String>,
}

pub(super) fn volumes(root: &Element<'_>) -> Vec<Volume> {
    let read = |it: &Element<'_>| Volume {
        id: it.text(&["volumeId"]).to_owned(),
        is_free: it.text(&["status"]) == "available",
        created_secs: from_rfc3339(it.text(&["createTime"])).unwrap_or(0),
        size_gib: it.text(&["size"]).parse().unwrap_or(0),
        tags: tags(it),
    };
    root.items("volumeSet").map(read).filter(|it| it.id.starts_with("vol-")).collect()
}

/// Ids of EBS snapshots, and how many bytes are in use on their disk where EC2 tells.
pub(super) fn disk_sizes(root: &Element<'_>) -> impl Iterator<Item = (String, f64)> {
    let bytes = |it: &Element<'_>| it.text(&["fullSnapshotSizeInBytes"]).parse::<f64>().ok();
    root.items("snapshotSet").filter_map(move |it| Some((it.text(&["snapshotId"]).to_owned(), bytes(it)?)))
}

/// A type of instances.
pub(super) struct InstanceType {
    pub name: String,
    pub vcpu: u32,
    pub memory_mib: f64,
    pub has_gpu: bool,
}

pub(super) fn instance_types(root: &Element<'_>) -> Vec<InstanceType> {
    let read = |it: &Element<'_>| {
        let number = |path: &[&str]| it.text(path).parse::<u32>().ok();
        Some(InstanceType {
            name: Some(it.text(&["instanceType"]).to_owned()).filter(|it| !it.is_empty())?,
            vcpu: number(&["vCpuInfo", "defaultVCpus"])?,
            memory_mib: number(&["memoryInfo", "sizeInMiB"])?.into(),
            has_gpu: it.child("gpuInfo").is_some(),
        })
    };
    root.items("instanceTypeSet").filter_map(read).collect()
}

/// What a spot instance of a type costs per hour in a zone.
pub(super) struct SpotPrice {
    pub instance_type: String,
    pub zone: String,
    /// Decimal, US dollars.
    pub price: String,
    pub at_secs: u64,
}

pub(super) fn spot_prices(root: &Element<'_>) -> Vec<SpotPrice> {
    let read = |it: &Element<'_>| SpotPrice {
        instance_type: it.text(&["instanceType"]).to_owned(),
        zone: it.text(&["availabilityZone"]).to_owned(),
        price: it.text(&["spotPrice"]).to_owned(),
        at_secs: from_rfc3339(it.text(&["timestamp"])).unwrap_or(0),
    };
    root.items("spotPriceHistorySet").map(read).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetProducts<'a> {
    pub service_code: &'a str,
    pub format_version: &'a str,
    pub max_results: u32,
    pub filters: Vec<ProductFilter<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProductFilter<'a> {
    pub r#type: &'a str,
    pub field: &'a str,
    pub value: &'a str,
}

/// Each product is JSON inside a string.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Products {
    #[serde(default)]
    pub price_list: Vec<String>,
    pub next_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PricedProduct<'a> {
    #[serde(borrow)]
    pub product: Product<'a>,
    pub terms: Terms,
}

#[derive(Deserialize)]
pub(super) struct Product<'a> {
    #[serde(borrow)]
    pub attributes: ProductAttributes<'a>,
}

#[derive(Deserialize)]
pub(super) struct ProductAttributes<'a> {
    #[serde(rename = "instanceType", borrow)]
    pub instance_type: Option<Cow<'a, str>>,
    #[serde(rename = "usagetype", borrow, default)]
    pub usage_type: Cow<'a, str>,
}

/// Reserved terms are passed over.
#[derive(Deserialize)]
pub(super) struct Terms {
    #[serde(rename = "OnDemand", default)]
    pub on_demand: BTreeMap<String, Term>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Term {
    pub price_dimensions: BTreeMap<String, PriceDimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceDimension {
    pub unit: String,
    /// Decimals by currency.
    pub price_per_unit: BTreeMap<String, String>,
}
