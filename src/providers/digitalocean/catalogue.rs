//! What DigitalOcean sells today: sizes, regions and prices from the live API. No size is named here; choosing one is
//! `Catalogue::rank`'s business.

use super::schema::{Region, Regions, Sizes};
use super::{DigitalOcean, Error, PER_PAGE, parse};
use crate::http::{Http, Random, Request};
use crate::model::{Currency, Price};
use crate::providers::{Catalogue, Location, Offer};

/// Countries of the regions, by the letters before their number ("Regional Availability").
const COUNTRIES: [(&str, &str); 11] = [
    ("ams", "NL"),
    ("atl", "US"),
    ("blr", "IN"),
    ("fra", "DE"),
    ("lon", "GB"),
    ("nyc", "US"),
    ("ric", "US"),
    ("sfo", "US"),
    ("sgp", "SG"),
    ("syd", "AU"),
    ("tor", "CA"),
];

impl DigitalOcean {
    /// A page of the sizes with their prices and regions.
    pub fn sizes_request(&self, page: u32) -> Request {
        self.get_request(&format!("/sizes?page={page}&per_page={PER_PAGE}"))
    }

    /// A page of the regions.
    pub fn regions_request(&self, page: u32) -> Request {
        self.get_request(&format!("/regions?page={page}&per_page={PER_PAGE}"))
    }

    /// Reads everything that can be ordered: every size is x86-64. Prices are in US dollars without taxes, as DigitalOcean
    /// lists them; the address is included.
    pub async fn catalogue<H: Http + Random>(&self, host: &H, _now_secs: u64) -> Result<Catalogue, Error> {
        let (regions, sizes) = futures_util::future::try_join(self.regions(host), self.sizes(host)).await?;
        let mut offers = Vec::new();
        for size in sizes.into_iter().filter(|it| it.available && it.gpu_info.is_none()) {
            for region in size.regions.iter().filter(|slug| regions.iter().any(|it| it.slug == **slug)) {
                offers.push(Offer {
                    server_type: size.slug.clone(),
                    location: region.clone(),
                    vcpu: size.vcpus,
                    memory_gib: size.memory / 1024.0,
                    disk_gb: size.disk,
                    price: Some(Price {
                        micros_per_hour: micros(size.price_hourly),
                        currency: Currency::USD,
                    }),
                    micros_per_month: micros(size.price_monthly),
                });
            }
        }
        let locations = regions.into_iter().map(location).collect();
        Ok(Catalogue { currency: Currency::USD, locations, offers })
    }

    async fn regions<H: Http + Random>(&self, host: &H) -> Result<Vec<Region>, Error> {
        let request = |page| self.regions_request(page);
        let mut regions = self.pages(host, request, |it| Ok(parse::<Regions>(it)?.regions)).await?;
        regions.retain(|it| it.available);
        Ok(regions)
    }

    async fn sizes<H: Http + Random>(&self, host: &H) -> Result<Vec<super::schema::Size>, Error> {
        self.pages(host, |page| self.sizes_request(page), |it| Ok(parse::<Sizes>(it)?.sizes)).await
    }
}

fn location(region: Region) -> Location {
    let letters = region.slug.trim_end_matches(|it: char| it.is_ascii_digit());
    let country = COUNTRIES.iter().find(|(it, _)| *it == letters).map_or("", |(_, country)| country);
    let city = region.name.trim_end_matches(|it: char| it.is_ascii_digit() || it == ' ');
    Location { city: city.to_owned(), country: country.to_owned(), name: region.slug }
}

/// Prices are numbers with the noise of 32-bit floats: 0.007439999841 is 0.00744.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "prices are small and not negative"
)]
fn micros(price: f64) -> u64 {
    (price.max(0.0) * 1_000_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_of_floats_is_rounded_away() {
        assert_eq!(micros(0.007_439_999_841_153_62), 7_440);
        assert_eq!(micros(24.0), 24_000_000);
        assert_eq!(micros(-1.0), 0);
    }
}
