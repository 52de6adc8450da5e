//! What Scaleway sells today: types, prices and stock of each zone from the live API. No type is named here; choosing one is
//! `Catalogue::rank`'s business.

use std::collections::BTreeMap;

use super::schema::{Availabilities, Availability, Product, Products};
use super::{Error, PER_PAGE, Scaleway, instance, parse};
use crate::http::{Http, Random, Request};
use crate::model::{Currency, Price};
use crate::providers::{Catalogue, Location, Offer, side_by_side};

/// Cities and countries of the regions, by the beginning of their zones' names ("Account reference: Zones and regions").
const REGIONS: [(&str, &str, &str); 4] = [
    ("fr-par", "Paris", "FR"),
    ("nl-ams", "Amsterdam", "NL"),
    ("pl-waw", "Warsaw", "PL"),
    ("it-mil", "Milan", "IT"),
];
const GIB_BYTES: f64 = 1_073_741_824.0;
pub(super) const GB_BYTES: f64 = 1_000_000_000.0;
/// Hours of the month that Scaleway's monthly prices are for.
const MONTH_HOURS: f64 = 730.0;

impl Scaleway {
    /// A page of a zone's types with their prices.
    pub fn products_request(&self, zone: &str, page: u32) -> Request {
        self.get_request(&instance(zone, &format!("/products/servers?page={page}&per_page={PER_PAGE}")))
    }

    /// A page of a zone's stock.
    pub fn availability_request(&self, zone: &str, page: u32) -> Request {
        self.get_request(&instance(
            zone,
            &format!("/products/servers/availability?page={page}&per_page={PER_PAGE}"),
        ))
    }

    /// Reads everything that can be ordered on x86-64 with a disk of its own: what has none gets a volume that outlives its
    /// server and has a price of its own. Prices are in euros without taxes and without the public address, which Scaleway's
    /// API does not price. A zone that does not answer offers nothing; that none does is an error.
    pub async fn catalogue<H: Http + Random>(&self, host: &H, _now_secs: u64) -> Result<Catalogue, Error> {
        let zones = side_by_side(self.zones.iter().map(|zone| self.zone_offers(host, zone))).await;
        let mut offers = Vec::new();
        let mut failed = None;
        for zone in zones {
            match zone {
                Ok(zone) => offers.extend(zone),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if offers.is_empty() => Err(error),
            _ => {
                let locations = self.zones.iter().map(|it| location(it)).collect();
                Ok(Catalogue { currency: Currency::EUR, locations, offers })
            }
        }
    }

    async fn zone_offers<H: Http + Random>(&self, host: &H, zone: &str) -> Result<Vec<Offer>, Error> {
        let (products, stock) =
            futures_util::future::try_join(self.products(host, zone), self.stock(host, zone)).await?;
        let in_stock = |name: &str| stock.get(name).is_none_or(|it| it != "shortage");
        let is_ours = |it: &Product| it.arch == "x86_64" && !it.end_of_service && it.gpu.unwrap_or(0) == 0;
        let offer = |(name, it): (String, Product)| {
            let disk_bytes = it.volumes_constraint.as_ref().and_then(|it| it.max_size).unwrap_or(0.0);
            let is_offered = is_ours(&it) && in_stock(&name) && disk_bytes > 0.0;
            is_offered.then(|| Offer {
                server_type: name,
                location: zone.to_owned(),
                vcpu: it.ncpus,
                memory_gib: it.ram / GIB_BYTES,
                disk_gb: disk_bytes / GB_BYTES,
                price: Some(Price { micros_per_hour: micros(it.hourly_price), currency: Currency::EUR }),
                micros_per_month: micros(it.monthly_price.unwrap_or(it.hourly_price * MONTH_HOURS)),
            })
        };
        Ok(products.into_iter().filter_map(offer).collect())
    }

    async fn products<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
    ) -> Result<Vec<(String, Product)>, Error> {
        let request = |page| self.products_request(zone, page);
        self.pages(host, request, |it| Ok(parse::<Products>(it)?.servers.into_iter().collect())).await
    }

    async fn stock<H: Http + Random>(&self, host: &H, zone: &str) -> Result<BTreeMap<String, String>, Error> {
        let request = |page| self.availability_request(zone, page);
        let stock =
            self.pages(host, request, |it| Ok(parse::<Availabilities>(it)?.servers.into_iter().collect()));
        let of_type = |(name, it): (String, Availability)| (name, it.availability);
        Ok(stock.await?.into_iter().map(of_type).collect())
    }
}

fn location(zone: &str) -> Location {
    let region = REGIONS.iter().find(|(prefix, _, _)| zone.starts_with(prefix));
    let (city, country) = region.map_or(("", ""), |(_, city, country)| (city, country));
    Location { name: zone.to_owned(), city: city.to_owned(), country: country.to_owned() }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "prices are small and not negative"
)]
fn micros(price: f64) -> u64 {
    (price.max(0.0) * 1_000_000.0).round() as u64
}
