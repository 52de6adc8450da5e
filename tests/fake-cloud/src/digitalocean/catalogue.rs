//! What can be rented: regions, sizes with their prices, and the public images, as of late 2026.
//!
//! Static data and its JSON. What is free right now is configuration.

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::config::Config;

/// A place: name, slug, whether new droplets can be made there.
#[derive(Debug)]
pub(crate) struct Region {
    /// `fra1`
    pub slug: &'static str,
    name: &'static str,
    /// Closed regions are listed for those who have something there.
    pub available: bool,
}

const fn region(slug: &'static str, name: &'static str, available: bool) -> Region {
    Region { slug, name, available }
}

/// Every region.
pub(crate) static REGIONS: [Region; 7] = [
    region("nyc3", "New York 3", true),
    region("ams3", "Amsterdam 3", true),
    region("sfo3", "San Francisco 3", true),
    region("fra1", "Frankfurt 1", true),
    region("lon1", "London 1", true),
    region("sgp1", "Singapore 1", true),
    region("ams2", "Amsterdam 2", false),
];

impl Region {
    /// By slug.
    pub(crate) fn find(slug: &str) -> Option<&'static Self> {
        REGIONS.iter().find(|it| it.slug == slug)
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self, config: &Config) -> Value {
        let sizes = SIZES.iter().filter(|size| size.is_listed_in(self, config)).map(|size| size.slug);
        json!({
            "name": self.name, "slug": self.slug, "available": self.available,
            "features": ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"],
            "sizes": sizes.collect::<Vec<_>>(),
        })
    }
}

/// A kind of droplet.
#[derive(Debug)]
pub(crate) struct Size {
    /// `s-1vcpu-1gb`
    pub slug: &'static str,
    /// MiB.
    pub memory: u64,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// GB; an image must fit.
    pub disk: u64,
    /// US cents.
    month_cents: u16,
    description: &'static str,
    is_sold: bool,
}

const fn basic(slug: &'static str, size: (u64, u64, u64), month_cents: u16) -> Size {
    let (vcpus, memory, disk) = size;
    Size { slug, memory, vcpus, disk, month_cents, description: "Basic", is_sold: true }
}

/// Every size.
pub(crate) static SIZES: [Size; 10] = [
    basic("s-1vcpu-512mb-10gb", (1, 512, 10), 400),
    basic("s-1vcpu-1gb", (1, 1024, 25), 600),
    basic("s-1vcpu-2gb", (1, 2048, 50), 1200),
    basic("s-2vcpu-2gb", (2, 2048, 60), 1800),
    basic("s-2vcpu-4gb", (2, 4096, 80), 2400),
    basic("s-4vcpu-8gb", (4, 8192, 160), 4800),
    basic("s-8vcpu-16gb", (8, 16384, 320), 9600),
    Size { description: "CPU-Optimized", is_sold: false, ..basic("c-2", (2, 4096, 25), 4200) },
    Size { description: "General Purpose", ..basic("g-2vcpu-8gb", (2, 8192, 25), 6300) },
    Size { description: "H100 GPU - 1X", ..basic(GPU, (20, 245_760, 720), 60_000) },
];

/// The one with a GPU.
const GPU: &str = "gpu-h100x1-80gb";
/// Hours of a month that is billed by the hour.
const MONTH_HOURS: f32 = 672.0;

impl Size {
    /// By slug.
    pub(crate) fn find(slug: &str) -> Option<&'static Self> {
        SIZES.iter().find(|it| it.slug == slug)
    }

    /// Whether it is sold there at all.
    pub(crate) fn is_sold_in(&self, region: &Region) -> bool {
        self.is_sold && region.available && (self.slug != GPU || region.slug == "nyc3")
    }

    fn is_listed_in(&self, region: &Region, config: &Config) -> bool {
        self.is_sold_in(region) && config.is_listed_available(self.slug, region.slug)
    }

    /// As the API shows it. Prices are 32-bit floats, with their noise.
    pub(crate) fn to_json(&self, config: &Config) -> Value {
        let regions = REGIONS.iter().filter(|region| self.is_listed_in(region, config)).map(|it| it.slug);
        let month = f32::from(self.month_cents) / 100.0;
        let hour = (month / MONTH_HOURS * 100_000.0).round() / 100_000.0;
        let mut size = json!({
            "slug": self.slug, "memory": self.memory, "vcpus": self.vcpus, "disk": self.disk,
            "transfer": 4.0, "price_monthly": f64::from(month), "price_hourly": f64::from(hour),
            "regions": regions.collect::<Vec<_>>(), "available": self.is_sold,
            "description": self.description, "disk_info": self.disk_info(),
        });
        if self.slug == GPU {
            size["gpu_info"] =
                json!({ "count": 1, "model": "nvidia_h100", "vram": { "amount": 80, "unit": "gib" } });
        }
        size
    }

    /// As it stands in sizes and droplets.
    pub(crate) fn disk_info(&self) -> Value {
        json!([{ "type": "local", "size": { "amount": self.disk, "unit": "gib" } }])
    }
}

/// A public image: number, slug, distribution, name.
pub(crate) type PublicImage = (u64, &'static str, &'static str, &'static str);

/// Every public image.
pub(crate) static PUBLIC_IMAGES: [PublicImage; 4] = [
    (139_080_101, "debian-12-x64", "Debian", "12 x64"),
    (190_305_112, "debian-13-x64", "Debian", "13 x64"),
    (129_211_873, "ubuntu-22-04-x64", "Ubuntu", "22.04 (LTS) x64"),
    (162_198_412, "ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64"),
];

/// 2026-10-01, when the public images were made.
const PUBLIC_IMAGES_MS: u64 = 1_790_812_800_000;
/// GB that a public image needs.
pub(crate) const PUBLIC_MIN_DISK: u64 = 7;

/// A public image as the API shows it.
pub(crate) fn public_image((id, slug, distribution, name): PublicImage) -> Value {
    let regions = REGIONS.iter().filter(|it| it.available).map(|it| it.slug);
    json!({
        "id": id, "name": name, "distribution": distribution, "slug": slug, "public": true,
        "regions": regions.collect::<Vec<_>>(), "created_at": rfc3339(PUBLIC_IMAGES_MS),
        "min_disk_size": PUBLIC_MIN_DISK, "type": "base", "size_gigabytes": 0.6,
        "description": format!("{distribution} {name}"), "tags": [], "status": "available",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_the_published_ones_with_their_noise() {
        let size = Size::find("s-2vcpu-4gb").expect("in the catalogue").to_json(&Config::default());
        assert_eq!(size["price_monthly"], 24.0);
        assert_eq!(size["price_hourly"].as_f64(), Some(f64::from(0.035_71_f32)));
    }

    #[test]
    fn what_is_taken_is_not_listed() {
        let mut config = Config::default();
        config.apply(&json!({ "capacity": { "c-2": { "fra1": true }, "s-1vcpu-1gb": { "fra1": false, "lon1": "hidden" } } })).expect("valid");
        let size = Size::find("s-1vcpu-1gb").expect("in the catalogue").to_json(&config);
        assert_eq!(size["regions"], json!(["nyc3", "ams3", "sfo3", "lon1", "sgp1"]));
        let region = Region::find("fra1").expect("in the catalogue").to_json(&config);
        assert!(!region["sizes"].as_array().expect("sizes").contains(&json!("s-1vcpu-1gb")));
    }
}
