//! What can be rented: regions, flavors, images and the price list, as of late 2026.
//!
//! Static data and its JSON. What is free right now is configuration.

use serde_json::{Value, json};

use crate::config::{Capacity, Config};

/// A place: name, country, where its data centre stands.
#[derive(Debug)]
pub(crate) struct Region {
    /// `GRA11`
    pub name: &'static str,
    country: &'static str,
    continent: &'static str,
    centre: &'static str,
}

/// Every region of the project.
pub(crate) static REGIONS: [Region; 5] = [
    Region { name: "GRA11", country: "fr", continent: "EU", centre: "GRA" },
    Region { name: "SBG5", country: "fr", continent: "EU", centre: "SBG" },
    Region { name: "DE1", country: "de", continent: "EU", centre: "DE" },
    Region { name: "BHS5", country: "ca", continent: "NA", centre: "BHS" },
    Region { name: "EU-WEST-PAR", country: "fr", continent: "EU", centre: "PAR" },
];

impl Region {
    /// By name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        REGIONS.iter().find(|it| it.name == name)
    }

    fn at(&self) -> usize {
        REGIONS.iter().position(|it| it.name == self.name).unwrap_or(0)
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        let zones = if self.centre == "PAR" { json!(["eu-west-par-a", "eu-west-par-b"]) } else { json!([]) };
        json!({
            "name": self.name, "type": if self.centre == "PAR" { "region-3-az" } else { "region" },
            "status": "UP", "continentCode": self.continent, "countryCode": self.country,
            "datacenterLocation": self.centre, "ipCountries": [], "availabilityZones": zones,
            "services": [{ "name": "instance", "status": "UP", "endpoint": "https://compute.example.net" }],
        })
    }
}

/// A kind of server.
#[derive(Debug)]
pub(crate) struct Flavor {
    /// `b3-8`
    pub name: &'static str,
    vcpus: u64,
    ram: u64,
    /// GB; an image must fit.
    pub disk: u64,
    os: &'static str,
    /// Hundred-millionths of a euro per hour.
    price: u64,
}

const fn linux(name: &'static str, (vcpus, ram, disk): (u64, u64, u64), price: u64) -> Flavor {
    Flavor { name, vcpus, ram, disk, os: "linux", price }
}

/// Every flavor.
pub(crate) static FLAVORS: [Flavor; 8] = [
    linux("d2-2", (1, 2000, 25), 990_000),
    linux("d2-4", (2, 4000, 50), 1_890_000),
    linux("d2-8", (4, 8000, 50), 3_530_000),
    linux("c3-4", (2, 4000, 50), 4_540_000),
    linux("b3-8", (2, 8000, 50), 5_080_000),
    linux("b3-16", (4, 16_000, 100), 10_160_000),
    Flavor { os: "windows", ..linux("win-b3-8", (2, 8000, 50), 7_880_000) },
    Flavor { os: "baremetal-linux", ..linux("bm-s1", (8, 32_000, 500), 32_000_000) },
];

impl Flavor {
    /// By the id that it has in a region.
    pub(crate) fn find(id: &str) -> Option<(&'static Self, &'static Region)> {
        let both = |region| FLAVORS.iter().map(move |flavor| (flavor, region));
        REGIONS.iter().flat_map(both).find(|(flavor, region)| flavor.id(region) == id)
    }

    /// Its id in a region.
    pub(crate) fn id(&self, region: &Region) -> String {
        let at = FLAVORS.iter().position(|it| it.name == self.name).unwrap_or(0);
        format!("{:08x}-0000-4000-8000-00000000f1a0", (at + 1) << 8 | (region.at() + 1))
    }

    /// The plan by which a server of it is billed.
    pub(crate) fn plan(&self, region: &Region) -> String {
        format!("{}.consumption{}", self.name, if region.centre == "PAR" { ".3AZ" } else { "" })
    }

    /// Whether the list says that it can be had.
    pub(crate) fn is_listed(&self, region: &Region, config: &Config) -> bool {
        self.capacity(region, config) != Capacity::Taken
    }

    /// Whether it can. Tests name places as our API does, in small letters.
    pub(crate) fn capacity(&self, region: &Region, config: &Config) -> Capacity {
        config.capacity(self.name, &region.name.to_ascii_lowercase())
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self, region: &Region, config: &Config) -> Value {
        let capability = |name: &str| json!({ "name": name, "enabled": true });
        let capabilities = ["resize", "snapshot", "volume", "failoverip"].map(capability);
        let license = (self.os == "windows").then(|| format!("{}.license", self.name));
        json!({
            "id": self.id(region), "name": self.name, "region": region.name, "vcpus": self.vcpus,
            "ram": self.ram, "disk": self.disk, "type": "ovh.ssd.eg", "osType": self.os,
            "inboundBandwidth": 500, "outboundBandwidth": 500, "quota": config.server_limit,
            "available": self.is_listed(region, config),
            "capabilities": capabilities,
            "planCodes": { "hourly": self.plan(region), "monthly": null, "license": license },
        })
    }
}

/// Images: name, kind of system, its user.
pub(crate) static IMAGES: [(&str, &str, &str); 5] = [
    ("Debian 12", "linux", "debian"),
    ("Debian 13", "linux", "debian"),
    ("Debian 13 - Docker", "linux", "debian"),
    ("Ubuntu 24.04", "linux", "ubuntu"),
    ("Windows Server 2025 Standard (Desktop)", "windows", "admin"),
];

/// Every public image of a region.
pub(crate) fn images_of(region: &'static Region) -> impl Iterator<Item = Value> {
    IMAGES.iter().enumerate().map(move |(at, (name, kind, user))| {
        json!({
            "id": format!("{:08x}-0000-4000-8000-0000000013a6", (at + 1) << 8 | (region.at() + 1)),
            "name": name, "region": region.name, "visibility": "public", "type": kind, "user": user,
            "status": "active", "creationDate": "2026-09-02T08:15:41Z", "minDisk": 0, "minRam": 0,
            "size": 2.0, "flavorType": null, "planCode": null, "tags": [],
        })
    })
}

/// What a gigabyte of a snapshot costs for an hour, hundred-millionths.
const SNAPSHOT_GB_HOUR: u64 = 1389;

/// The price list, with more in it than instances.
pub(crate) fn prices(subsidiary: &str, currency: &str) -> Value {
    let addon = |plan: String, name: &str, unit: &str, price: u64| {
        json!({
            "planCode": plan, "invoiceName": name, "product": "publiccloud-instance",
            "pricings": [{
                "phase": 0, "capacities": ["consumption"], "commitment": 0, "interval": 1,
                "intervalUnit": unit, "price": price, "tax": 0, "mode": "default", "type": "consumption",
            }],
            "blobs": { "tags": ["active"], "commercial": { "brick": "instance" } },
        })
    };
    let hourly = FLAVORS.iter().flat_map(|it| {
        let zones = it.price + it.price / 5;
        [("", it.price), (".3AZ", zones)].map(|(suffix, price)| (it, suffix, price))
    });
    let hourly = hourly
        .map(|(it, suffix, price)| addon(format!("{}.consumption{suffix}", it.name), it.name, "hour", price));
    let monthly = FLAVORS
        .iter()
        .map(|it| addon(format!("{}.monthly.postpaid", it.name), it.name, "month", it.price * 365));
    let snapshot = addon("snapshot.consumption".into(), "Snapshot", "hour", SNAPSHOT_GB_HOUR);
    json!({
        "catalogId": 4711,
        "locale": { "currencyCode": currency, "subsidiary": subsidiary, "taxRate": 20 },
        "plans": [{ "planCode": "project", "invoiceName": "Public Cloud Project", "addonFamilies": [] }],
        "products": [{ "name": "publiccloud-instance", "description": "Public Cloud instance" }],
        "addons": hourly.chain(monthly).chain([snapshot]).collect::<Vec<_>>(), "planFamilies": [],
    })
}
