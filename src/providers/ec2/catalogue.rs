//! What EC2 sells today: types of each region from the live API, on-demand prices from the Price List API, which is another
//! service, spot prices from EC2 itself. No type is named here; choosing one is `Catalogue::rank`'s business.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::{
    self, GetProducts, InstanceType, PricedProduct, ProductAttributes, ProductFilter, Products,
};
use super::{Ec2, Error, NAME, Query, parse, parse_error, send_repeatable};
use crate::http::{Clock, Http, Method, PROVIDER_TIMEOUT_MS, Random, Request};
use crate::model::{Currency, MONTH_HOURS, Price, Size, parse_micros};
use crate::providers::error::ErrorKind;
use crate::providers::{Catalogue, Location, MAX_PAGES, Offer, side_by_side};
use crate::sigv4;

/// Every instance's root volume, GiB.
pub(super) const DISK_GIB: u32 = 40;
/// Largest page of types and of products.
const PER_PAGE: u32 = 100;
/// Where the Price List API is signed for ("AWS Price List Query API endpoints": us-east-1 has the prices of all regions).
const PRICING_REGION: &str = "us-east-1";
/// Longest list in one filter, characters.
const FILTER_MAX_CHARS: usize = 1024;

/// Cities and countries ("AWS Regions"); a region that is not here is offered without them.
const PLACES: [(&str, &str, &str); 22] = [
    ("us-east-1", "Northern Virginia", "US"),
    ("us-east-2", "Ohio", "US"),
    ("us-west-1", "Northern California", "US"),
    ("us-west-2", "Oregon", "US"),
    ("ca-central-1", "Montréal", "CA"),
    ("sa-east-1", "São Paulo", "BR"),
    ("eu-central-1", "Frankfurt", "DE"),
    ("eu-central-2", "Zürich", "CH"),
    ("eu-north-1", "Stockholm", "SE"),
    ("eu-south-1", "Milan", "IT"),
    ("eu-south-2", "Aragón", "ES"),
    ("eu-west-1", "Dublin", "IE"),
    ("eu-west-2", "London", "GB"),
    ("eu-west-3", "Paris", "FR"),
    ("ap-northeast-1", "Tokyo", "JP"),
    ("ap-northeast-2", "Seoul", "KR"),
    ("ap-northeast-3", "Osaka", "JP"),
    ("ap-south-1", "Mumbai", "IN"),
    ("ap-southeast-1", "Singapore", "SG"),
    ("ap-southeast-2", "Sydney", "AU"),
    ("af-south-1", "Cape Town", "ZA"),
    ("il-central-1", "Tel Aviv", "IL"),
];

/// What a spot instance costs in a zone.
pub(super) struct ZonePrice {
    pub instance_type: String,
    pub zone: String,
    pub price: Price,
}

impl Ec2 {
    /// A page of a region's types of the sizes that we offer: EC2 has hundreds of others.
    pub fn types_query(region: &str, next_token: Option<&str>) -> Query {
        let vcpus: BTreeSet<u32> = Size::ALL.iter().map(|it| it.vcpu()).collect();
        let vcpus: Vec<String> = vcpus.iter().map(u32::to_string).collect();
        let memory: Vec<String> =
            Size::ALL.iter().map(|it| format!("{:.0}", it.memory_gib() * 1024.0)).collect();
        let texts = |it: &'_ [String]| it.to_vec();
        let query = Query::new(region, "DescribeInstanceTypes")
            .filter("processor-info.supported-architecture", &["x86_64"])
            .filter("current-generation", &["true"])
            .filter("bare-metal", &["false"])
            .filter("vcpu-info.default-vcpus", &texts(&vcpus).iter().map(String::as_str).collect::<Vec<_>>())
            .filter("memory-info.size-in-mib", &memory.iter().map(String::as_str).collect::<Vec<_>>())
            .with("MaxResults", PER_PAGE.to_string());
        next_token.into_iter().fold(query, |it, token| it.with("NextToken", token))
    }

    /// What spot instances of these types cost in each zone of a region now: a history from this moment on is the present.
    pub fn spot_prices_query(region: &str, types: &[&str], now_secs: u64, next_token: Option<&str>) -> Query {
        let query = Query::new(region, "DescribeSpotPriceHistory")
            .with_all("InstanceType", types.iter().copied())
            .with("ProductDescription.1", "Linux/UNIX")
            .with("StartTime", crate::encoding::rfc3339(now_secs))
            .with("MaxResults", super::PER_PAGE);
        next_token.into_iter().fold(query, |it, token| it.with("NextToken", token))
    }

    /// A page of the on-demand prices of these types in a region: shared hardware, Linux, nothing installed.
    fn prices_request(&self, region: &str, types: &str, token: Option<&str>, now_secs: u64) -> Request {
        let filter = |r#type, field, value| ProductFilter { r#type, field, value };
        let filters = vec![
            filter("TERM_MATCH", "regionCode", region),
            filter("TERM_MATCH", "operatingSystem", "Linux"),
            filter("TERM_MATCH", "tenancy", "Shared"),
            filter("TERM_MATCH", "preInstalledSw", "NA"),
            filter("TERM_MATCH", "capacitystatus", "Used"),
            filter("ANY_OF", "instanceType", types),
        ];
        self.products_request(filters, token, now_secs)
    }

    /// A page of what the Price List has with these attributes.
    pub(super) fn products_request(
        &self,
        filters: Vec<ProductFilter<'_>>,
        next_token: Option<&str>,
        now_secs: u64,
    ) -> Request {
        let body = GetProducts {
            service_code: "AmazonEC2",
            format_version: "aws_v1",
            max_results: PER_PAGE,
            filters,
            next_token,
        };
        let mut request = Request {
            method: Method::Post,
            url: format!("{}/", self.pricing_api_url),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".into()),
                ("x-amz-target", "AWSPriceListService.GetProducts".into()),
            ],
            // A struct of strings and numbers always serialises.
            body: serde_json::to_vec(&body).unwrap_or_default(),
            timeout_ms: PROVIDER_TIMEOUT_MS,
        };
        sigv4::sign(&mut request, &self.key, PRICING_REGION, "pricing", now_secs);
        request
    }

    /// Reads everything of our sizes on x86-64. Prices are in US dollars without taxes, of the instance alone: disk and public
    /// address are priced apart. Where the Price List does not answer, an offer has no price. A region that does not answer
    /// offers nothing; that none does is an error.
    pub async fn catalogue<H: Http + Random + Clock>(
        &self,
        host: &H,
        _now_secs: u64,
    ) -> Result<Catalogue, Error> {
        let regions = side_by_side(self.regions.iter().map(|region| self.region_offers(host, region))).await;
        let mut offers = Vec::new();
        let mut failed = None;
        for region in regions {
            match region {
                Ok(region) => offers.extend(region),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if offers.is_empty() => Err(error),
            _ => {
                let locations = self.regions.iter().map(|it| location(it)).collect();
                Ok(Catalogue { currency: Currency::USD, locations, offers })
            }
        }
    }

    async fn region_offers<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
    ) -> Result<Vec<Offer>, Error> {
        let mut types = Vec::new();
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let answer = self.send(host, &Self::types_query(region, next.as_deref())).await?;
            let root = parse(&answer)?;
            types.extend(schema::instance_types(&root).into_iter().filter(|it| !it.has_gpu));
            next = schema::next_token(&root);
            if next.is_none() {
                break;
            }
        }
        // That there is no price hides nothing else.
        let prices = self.prices(host, region, &types).await.unwrap_or_default();
        let offer = |it: InstanceType| {
            let micros = prices.get(&it.name).copied();
            Offer {
                location: region.to_owned(),
                vcpu: it.vcpu,
                memory_gib: it.memory_mib / 1024.0,
                disk_gb: DISK_GIB.into(),
                price: micros.map(|it| Price { micros_per_hour: it, currency: Currency::USD }),
                micros_per_month: micros.unwrap_or(0).saturating_mul(MONTH_HOURS),
                server_type: it.name,
            }
        };
        Ok(types.into_iter().map(offer).collect())
    }

    /// Millionths of a dollar per hour, by type.
    async fn prices<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        types: &[InstanceType],
    ) -> Result<BTreeMap<String, u64>, Error> {
        let lists = side_by_side(lists_of(types).into_iter().map(async |names: String| {
            let mut found = Vec::new();
            let mut next: Option<String> = None;
            for _ in 0..MAX_PAGES {
                let request = self.prices_request(region, &names, next.as_deref(), host.now_secs());
                let answer =
                    send_repeatable(host, NAME, request, parse_error, ErrorKind::is_repeatable).await?;
                let page: Products = crate::providers::send::parse(NAME, &answer)?;
                found.extend(page.price_list.iter().filter_map(|it| price_of(it)));
                next = page.next_token.filter(|it| !it.is_empty());
                if next.is_none() {
                    break;
                }
            }
            Ok::<_, Error>(found)
        }))
        .await;
        let lists: Vec<Vec<(String, u64)>> = lists.into_iter().collect::<Result<_, _>>()?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// Offers as spot instances. EC2 chooses the zone, so the price is that of the dearest one until it is known; what has no
    /// spot price is not sold so.
    pub async fn spot_offers<H: Http + Random + Clock>(
        &self,
        host: &H,
        offers: &[&Offer],
    ) -> Result<Vec<Offer>, Error> {
        let regions: BTreeSet<&str> = offers.iter().map(|it| it.location.as_str()).collect();
        let priced = side_by_side(regions.into_iter().map(async |region: &str| {
            let here = offers.iter().filter(|it| it.location == region);
            let types: Vec<&str> = here.clone().map(|it| it.server_type.as_str()).collect();
            let prices = self.spot_prices(host, region, &types).await?;
            let offer = |it: &&Offer| {
                let of_type = prices.iter().filter(|price| price.instance_type == it.server_type);
                let price = of_type.map(|it| it.price).max_by_key(|it| it.micros_per_hour)?;
                let micros_per_month = price.micros_per_hour.saturating_mul(MONTH_HOURS);
                Some(Offer { price: Some(price), micros_per_month, ..(*it).clone() })
            };
            Ok::<_, Error>(here.filter_map(offer).collect::<Vec<_>>())
        }))
        .await;
        let mut found = Vec::new();
        let mut failed = None;
        for region in priced {
            match region {
                Ok(region) => found.extend(region),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        found.sort_by_key(|it| it.price.map(|it| it.micros_per_hour));
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The newest price of each type in each zone.
    pub(super) async fn spot_prices<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        types: &[&str],
    ) -> Result<Vec<ZonePrice>, Error> {
        let mut newest: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let query = Self::spot_prices_query(region, types, host.now_secs(), next.as_deref());
            let answer = self.send(host, &query).await?;
            let root = parse(&answer)?;
            for it in schema::spot_prices(&root) {
                let Some(micros) = parse_micros(&it.price) else { continue };
                let known = newest.entry((it.instance_type, it.zone)).or_insert((it.at_secs, micros));
                if it.at_secs > known.0 {
                    *known = (it.at_secs, micros);
                }
            }
            next = schema::next_token(&root);
            if next.is_none() {
                break;
            }
        }
        let price = |((instance_type, zone), (_, micros_per_hour))| ZonePrice {
            instance_type,
            zone,
            price: Price { micros_per_hour, currency: Currency::USD },
        };
        Ok(newest.into_iter().map(price).collect())
    }
}

/// Names with commas between them, as many as a filter takes.
fn lists_of(types: &[InstanceType]) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    for it in types {
        match lists.last_mut() {
            Some(list) if list.len() + 1 + it.name.len() <= FILTER_MAX_CHARS => {
                list.push(',');
                list.push_str(&it.name);
            }
            _ => lists.push(it.name.clone()),
        }
    }
    lists
}

/// Type and on-demand price of a product.
fn price_of(product: &str) -> Option<(String, u64)> {
    let (it, micros) = parse_price(product, "Hrs")?;
    Some((it.instance_type?.into_owned(), micros))
}

/// Attributes and on-demand price of a product, millionths of a dollar for a unit.
pub(super) fn parse_price<'a>(product: &'a str, unit: &str) -> Option<(ProductAttributes<'a>, u64)> {
    let it: PricedProduct<'_> = serde_json::from_str(product).ok()?;
    let mut prices = it.terms.on_demand.values().flat_map(|it| it.price_dimensions.values());
    let price = prices.find(|it| it.unit == unit)?;
    let micros = price.price_per_unit.get("USD").and_then(|it| parse_micros(it)).filter(|it| *it > 0)?;
    Some((it.product.attributes, micros))
}

fn location(region: &str) -> Location {
    let place = PLACES.iter().find(|(name, _, _)| *name == region);
    let (city, country) = place.map_or(("", ""), |(_, city, country)| (city, country));
    Location { name: region.to_owned(), city: city.to_owned(), country: country.to_owned() }
}
