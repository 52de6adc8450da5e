//! What Hetzner sells today: types, places and prices from the live API. No type is named here; choosing one is
//! `Catalogue::rank`'s business.

use super::schema::{
    Amount, ImagePricingAnswer, Locations, PricingAnswer, ServerType, ServerTypes, TypeLocation, TypePrice,
};
use super::{Error, ErrorKind, Hetzner, MAX_PAGES, NAME, PER_PAGE, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Http, Random, Request};
use crate::model::{Currency, MonthlyPrice, Price, StoragePrice, parse_micros};
use crate::providers::{Catalogue, Location, Offer};

impl Hetzner {
    /// A page of the server types with their prices and places.
    pub fn server_types_request(&self, page: u32) -> Request {
        self.get_request(&format!("/server_types?page={page}&per_page={PER_PAGE}"))
    }

    /// The places; there are few enough for one page.
    pub fn locations_request(&self) -> Request {
        self.get_request(&format!("/locations?per_page={PER_PAGE}"))
    }

    /// Currency and the price of addresses.
    pub fn pricing_request(&self) -> Request {
        self.get_request("/pricing")
    }

    /// What a gigabyte of a snapshot costs for a month.
    pub async fn snapshot_price<H: Http + Random>(&self, host: &H) -> Result<Option<StoragePrice>, Error> {
        let pricing = parse::<ImagePricingAnswer>(&self.send(host, self.pricing_request()).await?)?.pricing;
        let micros = parse_micros(&pricing.image.price_per_gb_month.gross);
        let currency = Currency::parse(&pricing.currency);
        Ok(currency
            .zip(micros)
            .map(|(currency, micros)| StoragePrice { micros_per_gb_month: micros, currency }))
    }

    /// What an IPv4 address costs for a month, in the dearest place; IPv6 is free.
    pub async fn ipv4_price<H: Http + Random>(&self, host: &H) -> Result<Option<MonthlyPrice>, Error> {
        let pricing = parse::<PricingAnswer>(&self.send(host, self.pricing_request()).await?)?.pricing;
        let prices = pricing.primary_ips.iter().filter(|it| it.r#type == "ipv4").flat_map(|it| &it.prices);
        let micros = prices.filter_map(|it| parse_micros(&it.price_monthly.gross)).max();
        Ok(Currency::parse(&pricing.currency)
            .zip(micros)
            .map(|(currency, micros)| MonthlyPrice { micros, currency }))
    }

    /// Reads everything that can be ordered on x86-64 at `now_secs`.
    pub async fn catalogue<H: Http + Random>(&self, host: &H, now_secs: u64) -> Result<Catalogue, Error> {
        let (types, locations, pricing) = futures_util::future::try_join3(
            self.server_types(host),
            async { parse::<Locations>(&self.send(host, self.locations_request()).await?) },
            async {
                parse::<PricingAnswer>(&self.send(host, self.pricing_request()).await?).map(|it| it.pricing)
            },
        )
        .await?;
        let malformed =
            |what: &str| Error::new(NAME, ErrorKind::Malformed, format!("names a {what} that is not one"));
        let currency = Currency::parse(&pricing.currency).ok_or_else(|| malformed("currency"))?;
        let ipv4 = pricing.primary_ips.iter().find(|it| it.r#type == "ipv4").map_or(&[][..], |it| &it.prices);
        let mut offers = Vec::new();
        for it in types.iter().filter(|it| it.architecture == "x86") {
            for place in it.locations.iter().filter(|place| can_be_ordered(place, now_secs)) {
                // Without a price in a place the type is not sold there.
                let Some(server) = it.prices.iter().find(|price| price.location == place.name) else {
                    continue;
                };
                let address = ipv4.iter().find(|price| price.location == place.name);
                let sum = |amount: fn(&TypePrice) -> &Amount| {
                    let parts =
                        std::iter::once(server).chain(address).map(|it| parse_micros(&amount(it).gross));
                    parts.sum::<Option<u64>>().ok_or_else(|| malformed("price"))
                };
                offers.push(Offer {
                    server_type: it.name.clone(),
                    location: place.name.clone(),
                    vcpu: whole(it.cores),
                    memory_gib: it.memory,
                    disk_gb: it.disk,
                    price: Some(Price { micros_per_hour: sum(|it| &it.price_hourly)?, currency }),
                    micros_per_month: sum(|it| &it.price_monthly)?,
                });
            }
        }
        let location =
            |it: super::schema::Location| Location { name: it.name, city: it.city, country: it.country };
        Ok(Catalogue { currency, locations: locations.locations.into_iter().map(location).collect(), offers })
    }

    async fn server_types<H: Http + Random>(&self, host: &H) -> Result<Vec<ServerType>, Error> {
        let mut types = Vec::new();
        let mut next = Some(1);
        while let Some(page) = next.filter(|it| *it <= MAX_PAGES) {
            let answer: ServerTypes = parse(&self.send(host, self.server_types_request(page)).await?)?;
            types.extend(answer.server_types);
            next = answer.meta.pagination.next_page.filter(|it| *it > page);
        }
        Ok(types)
    }
}

fn can_be_ordered(place: &TypeLocation, now_secs: u64) -> bool {
    let over = |it: &super::schema::Deprecation| {
        from_rfc3339(&it.unavailable_after).is_none_or(|end| end <= now_secs)
    };
    place.available && !place.deprecation.as_ref().is_some_and(over)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cores are small whole numbers")]
fn whole(number: f64) -> u32 {
    number.max(0.0) as u32
}
