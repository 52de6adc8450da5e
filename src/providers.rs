//! The providers behind one interface: `enum Provider` dispatches, each module speaks its vendor's API. What a VM means
//! and who may touch it is decided by the callers.

pub mod digitalocean;
pub mod ec2;
pub mod error;
pub mod hetzner;
pub mod ovh;
pub mod scaleway;

mod catalogue;
mod creation;
mod send;

use std::collections::BTreeMap;
use std::future::Future;

pub use catalogue::{Catalogue, Location, Offer};
pub use creation::{Attempt, Created, Plan, Source};
pub use error::{Error, ErrorKind};

use crate::config::Config;
use crate::http::{Clock, Host, Http, PROVIDER_TIMEOUT_MS, Random};
use crate::labels::{LabelChange, LabelSet, Selector};
use crate::model::{Currency, MonthlyPrice, ProviderName, StoragePrice, Vm};
use crate::user_data;
use send::Within;

/// Pages of one listing at the most: a provider whose pages never end must not hold a request for ever.
pub const MAX_PAGES: u32 = 100;

/// Requests that the provider still answers, where it says so.
pub type RateBudget = Option<u32>;

/// Something of ours at a provider that is not a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The provider's word for it, such as `primary_ip`, `ssh_key`, `firewall` or `tag`.
    pub kind: &'static str,
    /// The provider's id.
    pub native: String,
    /// The provider's name of it.
    pub name: String,
    /// Creation, Unix seconds; 0 where the provider does not tell.
    pub created_secs: u64,
    /// What it is billed by.
    pub billed: Billed,
}

/// What the bill of a leftover follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// It is free.
    Nothing,
    /// A public IPv4 address, by the hour.
    Ipv4,
    /// So many gigabytes of disk.
    Disk(u32),
}

/// What is done to a server's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Switches it on.
    Start,
    /// Asks its operating system to shut down, where the provider can; success means that it was asked.
    Stop,
    /// Switches it off at once.
    Cut,
}

/// A stored disk of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The provider's id, opaque; empty on a new one where the provider gives it only when it is complete.
    pub native: String,
    /// The description that it was made with; a name where the provider keeps no description.
    pub description: String,
    /// Creation, Unix seconds; 0 where the answer to its creation does not tell.
    pub created_secs: u64,
    /// Whether a VM can be created from it already.
    pub is_ready: bool,
    /// Smallest disk that it fits, GB as the provider counts them.
    pub min_disk_gb: f64,
    /// What is billed, GB; `None` until the provider knows.
    pub size_gb: Option<f64>,
    /// What stands on the bill for it where that is not itself: a plan at OVHcloud, EBS snapshots at EC2.
    pub billed_as: Vec<String>,
    /// What keeping it costs; `None` in a list, see [`Provider::price_snapshots`].
    pub price: Option<StoragePrice>,
    /// Where a VM can be created from it; empty for everywhere.
    pub locations: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Snapshot {
    /// What it costs for a month, as far as size and price are known.
    pub fn monthly_price(&self) -> Option<MonthlyPrice> {
        Some(self.price?.monthly(self.size_gb?))
    }
}

/// A configured provider.
#[derive(Clone, Debug)]
pub enum Provider {
    /// Hetzner Cloud.
    Hetzner(hetzner::Hetzner),
    /// Scaleway.
    Scaleway(scaleway::Scaleway),
    /// DigitalOcean.
    DigitalOcean(digitalocean::DigitalOcean),
    /// OVHcloud Public Cloud.
    Ovh(ovh::Ovh),
    /// AWS EC2.
    Ec2(ec2::Ec2),
}

/// Lets whichever provider it is answer.
macro_rules! each {
    ($provider:expr, $it:ident => $answer:expr) => {
        match $provider {
            Provider::Hetzner($it) => $answer,
            Provider::Scaleway($it) => $answer,
            Provider::DigitalOcean($it) => $answer,
            Provider::Ovh($it) => $answer,
            Provider::Ec2($it) => $answer,
        }
    };
}

impl Provider {
    /// Every provider whose secrets are configured.
    pub fn configured(config: &Config) -> Vec<Self> {
        let hetzner = config.hetzner.as_ref().map(|it| Self::Hetzner(hetzner::Hetzner::new(it)));
        let scaleway = config.scaleway.as_ref().map(|it| Self::Scaleway(scaleway::Scaleway::new(it)));
        let digitalocean = config.digitalocean.as_ref();
        let digitalocean = digitalocean.map(|it| Self::DigitalOcean(digitalocean::DigitalOcean::new(it)));
        let ovh = config.ovh.as_ref().map(|it| Self::Ovh(ovh::Ovh::new(it)));
        let ec2 = config.ec2.as_ref().map(|it| Self::Ec2(ec2::Ec2::new(it)));
        hetzner.into_iter().chain(scaleway).chain(digitalocean).chain(ovh).chain(ec2).collect()
    }

    /// Which one it is.
    pub fn name(&self) -> ProviderName {
        match self {
            Self::Hetzner(_) => ProviderName::Hetzner,
            Self::Scaleway(_) => ProviderName::Scaleway,
            Self::DigitalOcean(_) => ProviderName::DigitalOcean,
            Self::Ovh(_) => ProviderName::Ovh,
            Self::Ec2(_) => ProviderName::Ec2,
        }
    }

    /// Largest user data, bytes.
    pub fn user_data_max_bytes(&self) -> usize {
        match self {
            Self::Hetzner(_) => hetzner::USER_DATA_MAX_BYTES,
            Self::Scaleway(_) => scaleway::USER_DATA_MAX_BYTES,
            Self::DigitalOcean(_) => digitalocean::USER_DATA_MAX_BYTES,
            Self::Ovh(_) => ovh::USER_DATA_MAX_BYTES,
            Self::Ec2(_) => ec2::USER_DATA_MAX_BYTES,
        }
    }

    /// How much of that a text takes, bytes: EC2 gets it compressed.
    pub fn user_data_bytes(&self, user_data: &str) -> usize {
        match self {
            Self::Ec2(_) => user_data::gzip(user_data).len(),
            _ => user_data.len(),
        }
    }

    /// Fills in what keeping each of its snapshots costs, and the size where the list does not tell it. Where the provider has
    /// one price everywhere and no call for it, that is here: DigitalOcean's is USD 0.06 per GiB and month (documentation,
    /// "Snapshots Pricing"), Scaleway's of a local volume EUR 0.000044 per GB and hour (Product Catalog API, documentation,
    /// `/storage/snapshot/local_storage`; a month has 730 hours).
    pub async fn price_snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        found: &mut [Snapshot],
    ) -> Result<(), Error> {
        let host = &Within::new(host, PROVIDER_TIMEOUT_MS);
        let everywhere = match self {
            _ if found.is_empty() => return Ok(()),
            Self::Hetzner(it) => it.snapshot_price(host).await?,
            Self::DigitalOcean(_) => {
                Some(StoragePrice { micros_per_gb_month: 60_000, currency: Currency::USD })
            }
            Self::Scaleway(_) => Some(StoragePrice { micros_per_gb_month: 32_120, currency: Currency::EUR }),
            Self::Ovh(it) => return it.price_snapshots(host, found).await,
            Self::Ec2(it) => return it.price_snapshots(host, found).await,
        };
        for it in found {
            it.price = everywhere;
        }
        Ok(())
    }

    /// What each of these leftovers of its costs for a month, `None` where that is not known. Scaleway's local volumes cost
    /// what their snapshots do (see [`Self::price_snapshots`]; its SKU is `/storage/local/ssd/storage`).
    pub async fn leftover_prices<H: Http + Random + Clock>(
        &self,
        host: &H,
        found: &[Leftover],
    ) -> Result<Vec<Option<MonthlyPrice>>, Error> {
        let host = &Within::new(host, PROVIDER_TIMEOUT_MS);
        let has = |what: fn(Billed) -> bool| found.iter().any(|it| what(it.billed));
        let address = match self {
            Self::Hetzner(it) if has(|it| it == Billed::Ipv4) => it.ipv4_price(host).await?,
            _ => None,
        };
        let regions = match self {
            Self::Ec2(it) if has(|it| matches!(it, Billed::Disk(_))) => it.disk_prices(host, found).await?,
            _ => BTreeMap::new(),
        };
        let currency = match self {
            Self::Ec2(_) | Self::DigitalOcean(_) => Currency::USD,
            _ => Currency::EUR,
        };
        let local = StoragePrice { micros_per_gb_month: 32_120, currency: Currency::EUR };
        let price = |it: &Leftover| match (it.billed, self) {
            (Billed::Nothing, _) => Some(MonthlyPrice { micros: 0, currency }),
            (Billed::Ipv4, _) => address,
            (Billed::Disk(gb), Self::Scaleway(_)) => Some(local.monthly(gb.into())),
            (Billed::Disk(gb), _) => Some(regions.get(ec2::split(&it.native).0)?.monthly(gb.into())),
        };
        Ok(found.iter().map(price).collect())
    }

    /// Whether it sells what it may take back at any time, for less.
    pub fn has_spot(&self) -> bool {
        matches!(self, Self::Ec2(_))
    }

    /// Whether a server ends, and its bill with it, when its own operating system shuts it down.
    pub fn ends_on_shutdown(&self) -> bool {
        matches!(self, Self::Ec2(_))
    }

    /// Whether labels may find no room, or lose it to others as a VM goes on (`labels::packed_name`).
    pub fn may_drop_labels(&self) -> bool {
        matches!(self, Self::Ovh(_))
    }

    /// Whether it puts a firewall of its own before a VM; the host's is there in any case.
    pub fn has_firewall(&self) -> bool {
        !matches!(self, Self::Ovh(_))
    }

    /// Calls that one listing takes while everything fits on one page: a Worker may make 50 per request on the free plan
    /// (Cloudflare Workers, "Limits", subrequests).
    pub fn calls_per_list(&self) -> usize {
        match self {
            Self::Hetzner(_) | Self::DigitalOcean(_) => 1,
            Self::Scaleway(it) => it.zones(),
            Self::Ovh(it) => it.calls_per_list(),
            Self::Ec2(it) => it.regions(),
        }
    }

    /// Shows every matching VM to `sink`, page by page, without keeping any. Answers with what the provider says is left
    /// of its rate limit. All pages together take ten seconds at the most, then the listing has timed out.
    pub async fn for_each<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let host = &Within::new(host, PROVIDER_TIMEOUT_MS);
        each!(self, it => it.for_each(host, selector, sink).await)
    }

    /// The matching VMs; for selectors that few match.
    pub async fn find<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Vm<'static>>, Error> {
        let mut found = Vec::new();
        self.for_each(host, selector, |vm| found.push(vm.clone().into_owned())).await?;
        Ok(found)
    }

    /// One server by the provider's id, whoever owns it; `None` where there is none.
    pub async fn get<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<Vm<'static>>, Error> {
        each!(self, it => it.get(host, native).await)
    }

    /// What can be ordered at `now_secs`.
    pub async fn catalogue<H: Http + Random + Clock>(
        &self,
        host: &H,
        now_secs: u64,
    ) -> Result<Catalogue, Error> {
        each!(self, it => it.catalogue(host, now_secs).await)
    }

    /// Offers with their price on the spot market, cheapest first; none where the provider has no such market.
    pub async fn spot_offers<H: Http + Random + Clock>(
        &self,
        host: &H,
        offers: &[&Offer],
    ) -> Result<Vec<Offer>, Error> {
        match self {
            Self::Ec2(it) => it.spot_offers(host, offers).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Creates a VM and what it needs. What this call made is taken back when it fails.
    pub async fn create<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
    ) -> Result<Created, (Error, Vec<Attempt>)>
    where
        R: Fn(&Offer) -> (LabelSet, String),
    {
        each!(self, it => creation::create(it, host, plan).await)
    }

    /// Deletes a server. `Ok` only when the provider accepted it or says that there is none.
    pub async fn delete<H: Http + Random + Clock>(&self, host: &H, native: &str) -> Result<(), Error> {
        each!(self, it => it.delete(host, native).await)
    }

    /// Changes some labels and leaves the others. `false` where there is no such server.
    pub async fn relabel<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        each!(self, it => it.relabel(host, native, changes).await)
    }

    /// Changes the power; success means that the provider accepted it. `false` where there is no such server.
    pub async fn power<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        power: Power,
    ) -> Result<bool, Error> {
        each!(self, it => it.power(host, native, power).await)
    }

    /// Begins a snapshot of a server's disk; `None` where there is no such server. Whoever wants more than a disk after a
    /// power cut stops the server first. The labels must name the deployment: without it nobody finds the snapshot again.
    pub async fn snapshot<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        each!(self, it => it.snapshot(host, native, description, labels).await)
    }

    /// The matching snapshots, newest first.
    pub async fn snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let host = &Within::new(host, PROVIDER_TIMEOUT_MS);
        let mut found = each!(self, it => it.snapshots(host, selector).await)?;
        // What a provider sends beside what it was asked for is not ours to show.
        found.retain(|it| selector.matches(&it.labels));
        found.sort_by_key(|it| std::cmp::Reverse(it.created_secs));
        Ok(found)
    }

    /// Deletes a snapshot by its id, whoever owns it; that it is gone already is success.
    pub async fn delete_snapshot<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<(), Error> {
        each!(self, it => it.delete_snapshot(host, native).await)
    }

    /// What of ours no VM uses: what came with a single VM at any time, what VMs share when no VM of the deployment is left.
    pub async fn leftovers<H: Http + Random + Clock>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        each!(self, it => it.leftovers(host, deployment, vms_left).await)
    }

    /// Whether the credential may write: asks for something that cannot be made, so that nothing is. A refusal of the content
    /// means that the credential would have done.
    pub async fn may_write<H: Http + Random + Clock>(&self, host: &H) -> Result<(), Error> {
        match each!(self, it => it.probe_writing(host).await) {
            Err(error) if !matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes one leftover.
    pub async fn delete_leftover<H: Http + Random + Clock>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        each!(self, it => it.delete_leftover(host, leftover).await)
    }
}

/// Runs futures side by side.
pub async fn side_by_side<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(futures).await
}
