//! What providers sell, in our words, and the choice among it. Reading it from a vendor is the vendor's module's business.

use std::cmp::Ordering;

use crate::model::{Currency, Price, Size};

/// Where a VM may be placed, with what it costs there.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The provider's name of the type.
    pub server_type: String,
    /// Location.
    pub location: String,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Disk, GB as the provider counts them.
    pub disk_gb: f64,
    /// Server and public IPv4 address together, where the provider's API has both; `None` where it tells no price.
    pub price: Option<Price>,
    /// What the provider bills for a month at the most, millionths; it charges by the hour up to this. 0 without a price.
    pub micros_per_month: u64,
}

/// A place that a provider offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The provider's name.
    pub name: String,
    /// City.
    pub city: String,
    /// ISO 3166 country code.
    pub country: String,
}

/// What a provider sells today.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Currency of every price in it.
    pub currency: Currency,
    /// Places, in the provider's order.
    pub locations: Vec<Location>,
    /// Every type in every place where it can be ordered, on x86-64.
    pub offers: Vec<Offer>,
}

impl Catalogue {
    /// Offers that are large enough, cheapest first; what has no price comes last, the smaller first. Among equals the
    /// provider's order of places decides.
    pub fn rank(&self, size: Size, location: Option<&str>) -> Vec<&Offer> {
        let fits = |it: &&Offer| {
            it.memory_gib >= size.memory_gib()
                && it.vcpu >= size.vcpu()
                && location.is_none_or(|name| it.location == name)
        };
        let place = |it: &Offer| self.locations.iter().position(|place| place.name == it.location);
        let mut ranked: Vec<&Offer> = self.offers.iter().filter(fits).collect();
        let micros = |it: &Offer| it.price.map_or(u64::MAX, |it| it.micros_per_hour);
        ranked.sort_by(|a, b| {
            let by_size = || a.memory_gib.total_cmp(&b.memory_gib).then(a.vcpu.cmp(&b.vcpu));
            let by_price = micros(a).cmp(&micros(b));
            by_price
                .then_with(|| if a.price.is_none() { by_size() } else { Ordering::Equal })
                .then_with(|| place(a).cmp(&place(b)))
        });
        ranked
    }
}
