//! What keeping snapshots costs at EC2: sizes of the EBS snapshots behind images, and the region's price from the Price List
//! API. Making and deleting them is `power`'s business.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::parse_price;
use super::schema::{self, ProductFilter, Products};
use super::{Ec2, Error, NAME, Query, parse, parse_error, send_repeatable, split};
use crate::http::{Clock, Http, Random, Request};
use crate::model::{Currency, StoragePrice};
use crate::providers::error::ErrorKind;
use crate::providers::{Billed, Leftover, Snapshot, side_by_side};

/// Most values of a filter (EC2 API, "Filtering").
const FILTER_MAX_VALUES: usize = 200;
/// EBS's GB are GiB ("Amazon EBS pricing").
const GIB_BYTES: f64 = 1_073_741_824.0;

impl Ec2 {
    /// The EBS snapshots of these ids, as far as they are there.
    pub fn disks_query(region: &str, ids: &[&str]) -> Query {
        Query::new(region, "DescribeSnapshots").with("Owner.1", "self").filter("snapshot-id", ids)
    }

    /// What a region's gp3 disks cost, which is what ours are. Beside storage they are sold speed, under other usage types.
    pub fn disk_price_request(&self, region: &str, now_secs: u64) -> Request {
        let filters = [("regionCode", region), ("productFamily", "Storage"), ("volumeApiName", "gp3")];
        let filters = filters.map(|(field, value)| ProductFilter { r#type: "TERM_MATCH", field, value });
        self.products_request(filters.into(), None, now_secs)
    }

    /// What a gigabyte of disk costs for a month in each region that has some of these.
    pub async fn disk_prices<H: Http + Random + Clock>(
        &self,
        host: &H,
        found: &[Leftover],
    ) -> Result<BTreeMap<String, StoragePrice>, Error> {
        let billed = found.iter().filter(|it| matches!(it.billed, Billed::Disk(_)));
        let regions: BTreeSet<&str> = billed.map(|it| split(&it.native).0).collect();
        let prices = side_by_side(regions.into_iter().map(async |region: &str| {
            let request = self.disk_price_request(region, host.now_secs());
            let price = self.storage_price(host, request, "EBS:VolumeUsage.gp3").await?;
            Ok::<_, Error>(price.map(|it| (region.to_owned(), it)))
        }))
        .await;
        let prices: Vec<Option<(String, StoragePrice)>> = prices.into_iter().collect::<Result<_, _>>()?;
        Ok(prices.into_iter().flatten().collect())
    }

    /// What a region's EBS snapshots cost in their standard tier; other tiers have other usage types.
    pub fn snapshot_price_request(&self, region: &str, now_secs: u64) -> Request {
        let filters =
            [("regionCode", region), ("productFamily", "Storage Snapshot"), ("storageMedia", "Amazon S3")];
        let filters = filters.map(|(field, value)| ProductFilter { r#type: "TERM_MATCH", field, value });
        self.products_request(filters.into(), None, now_secs)
    }

    /// Fills in size and price. The size is that of all blocks in use: a disk's first snapshot is billed for it, a later one
    /// of the same disk for what changed (EC2 API, `Snapshot`, `FullSnapshotSizeInBytes`; "How EBS snapshots work").
    pub async fn price_snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        found: &mut [Snapshot],
    ) -> Result<(), Error> {
        let all: &[Snapshot] = found;
        let regions: BTreeSet<&str> = all.iter().flat_map(|it| &it.locations).map(String::as_str).collect();
        let known = side_by_side(regions.into_iter().map(async |region: &str| {
            let here = all.iter().filter(|it| it.locations.iter().any(|it| it == region));
            let ids: Vec<&str> = here.flat_map(|it| &it.billed_as).map(String::as_str).collect();
            let sizes = self.disk_sizes(host, region, &ids);
            let request = self.snapshot_price_request(region, host.now_secs());
            let price = self.storage_price(host, request, "EBS:SnapshotUsage");
            let (sizes, price) = futures_util::future::try_join(sizes, price).await?;
            Ok::<_, Error>((region.to_owned(), sizes, price))
        }))
        .await;
        for region in known {
            let (region, sizes, price) = region?;
            for it in found.iter_mut().filter(|it| it.locations.contains(&region)) {
                let bytes = it.billed_as.iter().map(|it| sizes.get(it).copied()).sum::<Option<f64>>();
                it.size_gb = bytes.map(|it| it / GIB_BYTES).filter(|it| *it > 0.0);
                it.price = price;
            }
        }
        Ok(())
    }

    /// Bytes by id; what EC2 does not know the size of is not there.
    async fn disk_sizes<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        ids: &[&str],
    ) -> Result<BTreeMap<String, f64>, Error> {
        let mut sizes = BTreeMap::new();
        for ids in ids.chunks(FILTER_MAX_VALUES) {
            let answer = self.send(host, &Self::disks_query(region, ids)).await?;
            sizes.extend(schema::disk_sizes(&parse(&answer)?));
        }
        Ok(sizes)
    }

    /// The price of a usage type. It begins with the region's short name, but for the oldest region.
    async fn storage_price<H: Http + Random + Clock>(
        &self,
        host: &H,
        request: Request,
        usage: &str,
    ) -> Result<Option<StoragePrice>, Error> {
        let answer = send_repeatable(host, NAME, request, parse_error, ErrorKind::is_repeatable).await?;
        let products: Products = crate::providers::send::parse(NAME, &answer)?;
        let priced = products.price_list.iter().filter_map(|it| parse_price(it, "GB-Mo"));
        let is_it = |it: &str| it.strip_suffix(usage).is_some_and(|it| it.is_empty() || it.ends_with('-'));
        let micros = priced.filter(|(it, _)| is_it(&it.usage_type)).map(|(_, micros)| micros).min();
        Ok(micros.map(|it| StoragePrice { micros_per_gb_month: it, currency: Currency::USD }))
    }
}
