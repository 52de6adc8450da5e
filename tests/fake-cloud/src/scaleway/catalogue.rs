//! What can be rented: zones, types with their prices and local disks, and the images of the marketplace, as of late 2026.
//!
//! Static data and its JSON. What is free right now is configuration.

use serde_json::{Value, json};

use crate::config::{Capacity, Config};

/// Every zone.
pub(crate) const ZONES: [&str; 10] = [
    "fr-par-1", "fr-par-2", "fr-par-3", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2",
    "pl-waw-3", "it-mil-1",
];

/// A kind of server.
#[derive(Debug)]
pub(crate) struct Type {
    /// `DEV1-S`
    pub name: &'static str,
    ncpus: u64,
    ram_gib: u64,
    /// GB of local disks; 0 where there are none, and the disk is a volume of block storage.
    pub local_gb: u64,
    /// Millionths of a euro.
    hour_micros: u32,
    /// `x86_64` or `arm64`.
    pub arch: &'static str,
    gpu: u64,
    /// No longer for sale.
    pub end_of_service: bool,
    /// The only zones that have it; none for all.
    zones: &'static [&'static str],
}

const fn local(name: &'static str, ncpus: u64, ram_gib: u64, local_gb: u64, hour_micros: u32) -> Type {
    let zones = &[];
    Type { name, ncpus, ram_gib, local_gb, hour_micros, arch: "x86_64", gpu: 0, end_of_service: false, zones }
}

/// Every type.
pub(crate) static TYPES: [Type; 11] = [
    Type { zones: &["fr-par-1", "nl-ams-1"], ..local("STARDUST1-S", 1, 1, 10, 4_590) },
    Type { end_of_service: true, ..local("START1-S", 2, 2, 50, 7_700) },
    local("DEV1-S", 2, 2, 20, 13_680),
    local("DEV1-M", 3, 4, 40, 25_560),
    local("DEV1-L", 4, 8, 80, 49_520),
    local("DEV1-XL", 4, 12, 120, 71_080),
    local("GP1-XS", 4, 16, 150, 91_000),
    local("PLAY2-NANO", 2, 8, 0, 27_000),
    local("PRO2-XS", 4, 16, 0, 110_000),
    Type { arch: "arm64", ..local("COPARM1-2C-8G", 2, 8, 0, 42_600) },
    Type { gpu: 1, zones: &["fr-par-1", "fr-par-2"], ..local("RENDER-S", 10, 42, 400, 1_242_400) },
];

const GB: u64 = 1_000_000_000;

impl Type {
    /// By name, where a zone sells it.
    pub(crate) fn find(name: &str, zone: &str, config: &Config) -> Option<&'static Self> {
        let found = TYPES.iter().find(|it| it.name == name && it.is_in(zone) && !it.end_of_service);
        found.filter(|it| config.capacity(it.name, zone) != Capacity::Unsupported)
    }

    /// Whether a zone has it at all.
    pub(crate) fn is_in(&self, zone: &str) -> bool {
        self.zones.is_empty() || self.zones.contains(&zone)
    }

    /// Bytes of local disks that it must have, and may have.
    pub(crate) fn local_bytes(&self) -> u64 {
        self.local_gb * GB
    }

    /// As the list of products shows it.
    pub(crate) fn to_json(&self) -> Value {
        let hour = f64::from(self.hour_micros) / 1_000_000.0;
        let local_range = json!({ "min_size": GB, "max_size": 800 * GB });
        json!({
            "alt_names": [], "arch": self.arch, "ncpus": self.ncpus, "ram": self.ram_gib << 30,
            "gpu": self.gpu, "mig_profile": null, "hourly_price": hour,
            "monthly_price": (hour * 73_000.0).round() / 100.0, "end_of_service": self.end_of_service,
            "volumes_constraint": { "min_size": 0, "max_size": self.local_bytes() },
            "per_volume_constraint": { "l_ssd": local_range },
            "capabilities": { "boot_types": ["local", "rescue"], "block_storage": true },
            "network": { "ipv6_support": true, "sum_internet_bandwidth": 300_000_000 },
            "block_bandwidth": 104_857_600, "scratch_storage_max_size": 0,
            "scratch_storage_max_volumes_count": 0,
        })
    }

    /// What the list of stocks says.
    pub(crate) fn stock(&self, zone: &str, config: &Config) -> &'static str {
        match config.capacity(self.name, zone) {
            Capacity::Taken => "shortage",
            _ if self.name == "DEV1-M" => "scarce",
            _ => "available",
        }
    }
}

/// The images of the marketplace: label and name.
const OS: [(&str, &str); 4] = [
    ("debian_bookworm", "Debian Bookworm"),
    ("debian_trixie", "Debian Trixie"),
    ("ubuntu_jammy", "Ubuntu 22.04 Jammy Jellyfish"),
    ("ubuntu_noble", "Ubuntu 24.04 Noble Numbat"),
];

/// An image of the marketplace in one zone.
#[derive(Debug)]
pub(crate) struct LocalImage {
    /// Id.
    pub id: String,
    /// `debian_trixie`
    pub label: &'static str,
    /// For people.
    pub name: &'static str,
    /// For types of this architecture.
    pub arch: &'static str,
    /// Whether its disk is block storage.
    pub is_block: bool,
}

impl LocalImage {
    /// All of a zone.
    pub(crate) fn of_zone(zone: &str) -> Vec<Self> {
        let nth = ZONES.iter().position(|it| *it == zone).unwrap_or_default();
        let mut images = Vec::new();
        for (at, (label, name)) in OS.into_iter().enumerate() {
            for (variant, (arch, is_block)) in
                [("arm64", false), ("x86_64", false), ("arm64", true), ("x86_64", true)]
                    .into_iter()
                    .enumerate()
            {
                let id = format!("5c0a11ce-{nth:04x}-4000-8000-{:012x}", at * 4 + variant);
                images.push(Self { id, label, name, arch, is_block });
            }
        }
        images
    }

    /// `instance_sbs` or `instance_local`.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_block { "instance_sbs" } else { "instance_local" }
    }

    /// Whether it goes with a type.
    pub(crate) fn fits(&self, kind: &Type) -> bool {
        kind.arch == self.arch && (self.is_block || kind.local_gb > 0)
    }

    /// As the marketplace shows it.
    pub(crate) fn to_json(&self, zone: &str) -> Value {
        let types = TYPES.iter().filter(|it| it.is_in(zone) && self.fits(it)).map(|it| it.name);
        json!({
            "id": self.id, "arch": self.arch, "zone": zone, "label": self.label, "type": self.kind(),
            "compatible_commercial_types": types.collect::<Vec<_>>(),
        })
    }
}
