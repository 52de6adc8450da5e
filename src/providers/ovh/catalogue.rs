//! What OVHcloud sells today: flavors of the project's regions from the live API, prices from the live price list. No flavor
//! is named here; choosing one is `Catalogue::rank`'s business.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::schema::{Flavor, PriceList};
use super::{Error, Ovh, location, parse};
use crate::http::{Clock, Http, Method, PROVIDER_TIMEOUT_MS, Random, Request};
use crate::model::{Currency, MONTH_HOURS, Price, StoragePrice};
use crate::providers::send::malformed;
use crate::providers::{Catalogue, Location, Offer};

/// Cities and countries of the regions, by the letters of their data centre ("Regions and availability").
const CITIES: [(&str, &str, &str); 17] = [
    ("gra", "Gravelines", "FR"),
    ("sbg", "Strasbourg", "FR"),
    ("rbx", "Roubaix", "FR"),
    ("par", "Paris", "FR"),
    ("de", "Frankfurt", "DE"),
    ("lim", "Frankfurt", "DE"),
    ("uk", "London", "GB"),
    ("eri", "London", "GB"),
    ("waw", "Warsaw", "PL"),
    ("mil", "Milan", "IT"),
    ("bhs", "Beauharnois", "CA"),
    ("tor", "Toronto", "CA"),
    ("sgp", "Singapore", "SG"),
    ("syd", "Sydney", "AU"),
    ("mum", "Mumbai", "IN"),
    ("va", "Vint Hill", "US"),
    ("or", "Hillsboro", "US"),
];
/// What the names of local zones hold. They differ in networks and images, so they are offered only where they are asked
/// for by name.
const LOCAL_ZONE: &str = "-lz-";
/// MiB that OVHcloud sells as a GB.
const GB_MIB: f64 = 1000.0;
/// Prices are in hundred-millionths.
const PER_MICRO: f64 = 100.0;
/// How long a price list is believed, seconds: it is large, and the same for everybody.
const PRICES_LIFE_SECS: u64 = 3600;

/// The price list that this instance of the Worker has read last.
#[derive(Clone, Debug, Default)]
pub(super) struct PriceCache(Arc<Mutex<Option<ReadPrices>>>);

/// A price list that was read, and until when it is believed.
#[derive(Clone, Debug)]
struct ReadPrices {
    end_secs: u64,
    prices: Arc<Prices>,
}

/// Prices per hour by plan, as the list has them.
#[derive(Debug)]
struct Prices {
    currency: Currency,
    per_hour: BTreeMap<String, f64>,
}

impl Ovh {
    /// All flavors of all the project's regions.
    pub fn flavors_request(&self) -> Request {
        self.get_request("/flavor")
    }

    /// The public price list.
    pub fn prices_request(&self) -> Request {
        let url = format!("{}/order/catalog/public/cloud?ovhSubsidiary={}", self.api_url, self.subsidiary);
        Request {
            method: Method::Get,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: PROVIDER_TIMEOUT_MS,
        }
    }

    /// Reads everything that can be ordered for Linux: every flavor is x86-64. Prices are without taxes, as the price list
    /// has them. A flavor that has no price is not offered.
    pub async fn catalogue<H: Http + Random + Clock>(
        &self,
        host: &H,
        now_secs: u64,
    ) -> Result<Catalogue, Error> {
        let flavors = async {
            let answer = self.send(host, self.flavors_request()).await?;
            parse::<Vec<Flavor>>(&answer)
        };
        let (flavors, prices) = futures_util::future::try_join(flavors, self.prices(host, now_secs)).await?;
        let is_ours =
            |it: &Flavor| it.available && it.os_type == "linux" && self.is_offered(&location(&it.region));
        let mut offers = Vec::new();
        for flavor in flavors.into_iter().filter(is_ours) {
            let plan = flavor.plan_codes.hourly.as_ref();
            let Some(price) = plan.and_then(|it| prices.per_hour.get(it)) else { continue };
            let micros_per_hour = micros(*price);
            offers.push(Offer {
                server_type: flavor.name,
                location: location(&flavor.region),
                vcpu: flavor.vcpus,
                memory_gib: flavor.ram / GB_MIB,
                disk_gb: flavor.disk,
                price: Some(Price { micros_per_hour, currency: prices.currency }),
                micros_per_month: micros_per_hour.saturating_mul(MONTH_HOURS),
            });
        }
        let mut names: Vec<&str> = offers.iter().map(|it| it.location.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        // As configured, where something is configured: among equal prices the order decides.
        names.sort_by_key(|name| self.regions.iter().position(|it| it == name));
        let locations = names.into_iter().map(place).collect();
        Ok(Catalogue { currency: prices.currency, locations, offers })
    }

    fn is_offered(&self, location: &str) -> bool {
        if self.regions.is_empty() {
            return !location.contains(LOCAL_ZONE);
        }
        self.regions.iter().any(|it| it == location)
    }

    /// What a gigabyte of what a plan sells costs for a month; `None` where the list has no such plan.
    pub(super) async fn storage_price<H: Http + Random + Clock>(
        &self,
        host: &H,
        plan: &str,
    ) -> Result<Option<StoragePrice>, Error> {
        let prices = self.prices(host, host.now_secs()).await?;
        let price = prices.per_hour.get(plan);
        #[expect(clippy::cast_precision_loss, reason = "a month has few hours")]
        let monthly = |per_hour: &f64| micros(per_hour * MONTH_HOURS as f64);
        Ok(price.map(|it| StoragePrice { micros_per_gb_month: monthly(it), currency: prices.currency }))
    }

    async fn prices<H: Http + Random + Clock>(&self, host: &H, now_secs: u64) -> Result<Arc<Prices>, Error> {
        let known = self.prices.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|it| now_secs < it.end_secs) {
            return Ok(known.prices);
        }
        let answer = self.send(host, self.prices_request()).await?;
        let list = parse::<PriceList<'_>>(&answer)?;
        let currency = Currency::parse(&list.locale.currency_code).ok_or_else(|| malformed(super::NAME))?;
        // The first price of a plan is the one for any quantity.
        let price = |it: &super::schema::Addon<'_>| {
            let price = it.pricings.as_ref()?.first()?.price;
            let price = price.filter(|it| *it > 0.0)?;
            Some((it.plan_code.clone().into_owned(), price))
        };
        let is_hourly = |it: &&super::schema::Addon<'_>| it.plan_code.contains(".consumption");
        let per_hour = list.addons.iter().filter(is_hourly).filter_map(price).collect();
        let prices = Arc::new(Prices { currency, per_hour });
        let read = ReadPrices { end_secs: now_secs + PRICES_LIFE_SECS, prices: prices.clone() };
        *self.prices.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(prices)
    }
}

fn place(name: &str) -> Location {
    let centre = |part: &str| part.trim_end_matches(|it: char| it.is_ascii_digit()).to_owned();
    let known = name.split('-').map(centre).find_map(|part| CITIES.iter().find(|(it, _, _)| *it == part));
    let (city, country) = known.map_or(("", ""), |(_, city, country)| (city, country));
    Location { name: name.to_owned(), city: city.to_owned(), country: country.to_owned() }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "prices are small and not negative"
)]
fn micros(price: f64) -> u64 {
    (price.max(0.0) / PER_MICRO).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_stand_where_their_data_centres_do() {
        for (name, city) in [
            ("gra11", "Gravelines"),
            ("eu-west-par", "Paris"),
            ("de1", "Frankfurt"),
            ("us-east-va-1", "Vint Hill"),
        ] {
            assert_eq!(place(name).city, city, "{name}");
        }
        assert_eq!(
            place("moon-1"),
            Location { name: "moon-1".into(), city: String::new(), country: String::new() }
        );
    }
}
