//! What can be rented: locations, server types, their prices, and the system images, as of late 2026.
//!
//! Static data and its JSON. What is free right now is configuration and lives elsewhere.

use serde_json::{Value, json};

use crate::config::Config;

/// A place.
#[derive(Debug)]
pub(crate) struct Location {
    /// Id.
    pub id: u64,
    /// `fsn1`
    pub name: &'static str,
    description: &'static str,
    country: &'static str,
    city: &'static str,
    at: (f64, f64),
    zone: &'static str,
    /// Price level in percent of the European one.
    level: u64,
}

/// Every location.
pub(crate) static LOCATIONS: [Location; 6] = [
    Location {
        id: 1,
        name: "fsn1",
        description: "Falkenstein DC Park 1",
        country: "DE",
        city: "Falkenstein",
        at: (50.476_12, 12.370_071),
        zone: "eu-central",
        level: 100,
    },
    Location {
        id: 2,
        name: "nbg1",
        description: "Nuremberg DC Park 1",
        country: "DE",
        city: "Nuremberg",
        at: (49.452_102, 11.076_665),
        zone: "eu-central",
        level: 100,
    },
    Location {
        id: 3,
        name: "hel1",
        description: "Helsinki DC Park 1",
        country: "FI",
        city: "Helsinki",
        at: (60.169_855, 24.938_379),
        zone: "eu-central",
        level: 100,
    },
    Location {
        id: 4,
        name: "ash",
        description: "Ashburn, VA",
        country: "US",
        city: "Ashburn, VA",
        at: (39.045_821, -77.487_073),
        zone: "us-east",
        level: 108,
    },
    Location {
        id: 5,
        name: "hil",
        description: "Hillsboro, OR",
        country: "US",
        city: "Hillsboro, OR",
        at: (45.543_73, -122.960_13),
        zone: "us-west",
        level: 108,
    },
    Location {
        id: 6,
        name: "sin",
        description: "Singapore",
        country: "SG",
        city: "Singapore",
        at: (1.283_333, 103.833_333),
        zone: "ap-southeast",
        level: 165,
    },
];

impl Location {
    /// By id or name.
    pub(crate) fn find(reference: &str) -> Option<&'static Self> {
        LOCATIONS.iter().find(|l| l.name == reference || l.id.to_string() == reference)
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": self.description, "country": self.country,
            "city": self.city, "latitude": self.at.0, "longitude": self.at.1, "network_zone": self.zone,
        })
    }

    /// Whether it is in the European network zone.
    fn is_european(&self) -> bool {
        self.zone == "eu-central"
    }
}

/// A kind of server.
#[derive(Debug)]
pub(crate) struct ServerType {
    /// Id.
    pub id: u64,
    /// `cx23`
    pub name: &'static str,
    cores: u64,
    memory: u64,
    /// Gigabytes of the disk; an image must fit.
    pub disk: u64,
    /// `x86` or `arm`.
    pub architecture: &'static str,
    dedicated: bool,
    category: &'static str,
    /// Net price per month in Europe, in cents.
    month_cents: u64,
    europe_only: bool,
    /// No longer for sale.
    pub deprecated: bool,
}

const fn shared(id: u64, name: &'static str, size: (u64, u64, u64), month_cents: u64) -> ServerType {
    ServerType {
        id,
        name,
        cores: size.0,
        memory: size.1,
        disk: size.2,
        architecture: "x86",
        dedicated: false,
        category: "Shared vCPU",
        month_cents,
        europe_only: false,
        deprecated: false,
    }
}

const fn cost_optimized(id: u64, name: &'static str, size: (u64, u64, u64), month_cents: u64) -> ServerType {
    ServerType { category: "Cost-Optimized", europe_only: true, ..shared(id, name, size, month_cents) }
}

/// Every server type.
pub(crate) static SERVER_TYPES: [ServerType; 12] = [
    ServerType { deprecated: true, ..cost_optimized(104, "cx22", (2, 4, 40), 449) },
    cost_optimized(114, "cx23", (2, 4, 40), 549),
    cost_optimized(115, "cx33", (4, 8, 80), 849),
    cost_optimized(116, "cx43", (8, 16, 160), 1599),
    cost_optimized(117, "cx53", (16, 32, 320), 2949),
    shared(119, "cpx12", (1, 2, 40), 1049),
    shared(120, "cpx22", (2, 4, 80), 1949),
    shared(121, "cpx32", (4, 8, 160), 3549),
    shared(122, "cpx42", (8, 16, 320), 6949),
    ServerType { architecture: "arm", ..cost_optimized(45, "cax11", (2, 4, 40), 599) },
    ServerType { architecture: "arm", ..cost_optimized(93, "cax21", (4, 8, 80), 1049) },
    ServerType { dedicated: true, category: "General Purpose", ..shared(96, "ccx13", (2, 8, 80), 4299) },
];

/// Both dates are past: such a type is listed for those who have one, and refused to everyone else.
fn deprecation() -> Value {
    json!({ "announced": "2025-10-16T06:00:00Z", "unavailable_after": "2025-12-31T23:59:59Z" })
}

impl ServerType {
    /// By id or name.
    pub(crate) fn find(reference: &str) -> Option<&'static Self> {
        SERVER_TYPES.iter().find(|t| t.name == reference || t.id.to_string() == reference)
    }

    /// Whether it is sold there at all.
    pub(crate) fn is_supported_in(&self, location: &Location) -> bool {
        !self.europe_only || location.is_european()
    }

    /// As the API shows it; what is available comes from the configuration.
    pub(crate) fn to_json(&self, config: &Config) -> Value {
        let deprecation = if self.deprecated { deprecation() } else { Value::Null };
        let locations: Vec<Value> = LOCATIONS
            .iter()
            .filter(|location| self.is_supported_in(location))
            .map(|location| {
                json!({
                    "id": location.id,
                    "name": location.name,
                    "deprecation": deprecation,
                    "recommended": !self.deprecated && location.name == "nbg1",
                    "available": !self.deprecated && config.is_listed_available(self.name, location.name),
                })
            })
            .collect();
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(),
            "cores": self.cores, "memory": self.memory, "disk": self.disk,
            "architecture": self.architecture,
            "cpu_type": if self.dedicated { "dedicated" } else { "shared" },
            "category": self.category, "storage_type": "local",
            "deprecated": self.deprecated, "deprecation": deprecation,
            "prices": self.prices(), "locations": locations,
        })
    }

    /// One entry per location, also where it cannot be ordered: so does the real list.
    fn prices(&self) -> Vec<Value> {
        LOCATIONS
            .iter()
            .map(|location| {
                let month = self.month_cents * location.level;
                // A month is billed as 624 hours at most.
                let hour = (month + 312) / 624;
                let traffic_tb: u64 = if location.is_european() { 20 } else { 1 };
                json!({
                    "location": location.name,
                    "price_hourly": price(hour),
                    "price_monthly": price(month),
                    "included_traffic": traffic_tb << 40,
                    "price_per_tb_traffic": price(10_000),
                })
            })
            .collect()
    }
}

/// Net and gross (19 % VAT) as decimal strings, from ten-thousandths of a euro.
fn price(net: u64) -> Value {
    let gross = net * 119;
    json!({
        "net": format!("{}.{:04}000000", net / 10_000, net % 10_000),
        "gross": format!("{}.{:06}0000000000", gross / 1_000_000, gross % 1_000_000),
    })
}

/// The answer of `/pricing`, its outer object included.
pub(crate) fn pricing() -> Value {
    let everywhere = |with_hour: bool, month: u64| -> Vec<Value> {
        LOCATIONS
            .iter()
            .map(|location| {
                let mut entry = json!({ "location": location.name, "price_monthly": price(month) });
                if with_hour {
                    entry["price_hourly"] = price(month / 624);
                }
                entry
            })
            .collect()
    };
    let server_types: Vec<Value> = SERVER_TYPES
        .iter()
        .map(|kind| json!({ "id": kind.id, "name": kind.name, "prices": kind.prices() }))
        .collect();
    json!({ "pricing": {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "primary_ips": [
            { "type": "ipv4", "prices": everywhere(true, 5000) },
            { "type": "ipv6", "prices": everywhere(true, 0) },
        ],
        "floating_ips": [
            { "type": "ipv4", "prices": everywhere(false, 30000) },
            { "type": "ipv6", "prices": everywhere(false, 10000) },
        ],
        "floating_ip": { "price_monthly": price(30000) },
        "image": { "price_per_gb_month": price(143) },
        "volume": { "price_per_gb_month": price(572) },
        "server_backup": { "percentage": "20.00" },
        "server_types": server_types,
        "load_balancer_types": [],
    } })
}

/// A system image: id, name, description, flavour, version, architecture, deprecated.
pub(crate) type SystemImage =
    (u64, &'static str, &'static str, &'static str, &'static str, &'static str, bool);

/// Every system image.
pub(crate) static SYSTEM_IMAGES: [SystemImage; 7] = [
    (45_557_056, "debian-11", "Debian 11", "debian", "11", "x86", true),
    (114_690_387, "debian-12", "Debian 12", "debian", "12", "x86", false),
    (114_690_389, "debian-12", "Debian 12", "debian", "12", "arm", false),
    (161_547_269, "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", "x86", false),
    (161_547_270, "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", "arm", false),
    (310_557_660, "debian-13", "Debian 13", "debian", "13", "x86", false),
    (310_557_661, "debian-13", "Debian 13", "debian", "13", "arm", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_the_published_ones_to_the_digit() {
        let cx23 = ServerType::find("cx23").expect("in the catalogue").prices().remove(0);
        assert_eq!(cx23["price_hourly"], json!({ "net": "0.0088000000", "gross": "0.0104720000000000" }));
        assert_eq!(cx23["price_monthly"], json!({ "net": "5.4900000000", "gross": "6.5331000000000000" }));
    }

    #[test]
    fn a_price_is_listed_where_the_type_is_not_sold() {
        let cx23 = ServerType::find("114").expect("found by its id").to_json(&Config::default());
        assert_eq!(cx23["prices"].as_array().map(Vec::len), Some(6));
        assert_eq!(cx23["locations"].as_array().map(Vec::len), Some(3));
    }
}
