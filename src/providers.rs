//! The providers behind one interface: `enum Provider` dispatches, each module speaks its vendor's API. What a VM means
//! and who may touch it is decided by the callers.

pub mod error;
pub mod hetzner;

use std::future::Future;

pub use error::{Error, ErrorKind};

use crate::config::Config;
use crate::http::{Host, Http, NoAnswer, Random, Request, Response};
use crate::labels::{LabelChange, LabelSet, Selector};
use crate::model::{Currency, Price, ProviderName, Size, Vm};
use crate::ssh_key::SshPublicKey;
use crate::workspace::Image;

/// Pages of one listing at the most: a provider whose pages never end must not hold a request for ever.
pub const MAX_PAGES: u32 = 100;
/// How often a request that may be repeated is sent at the most.
const MAX_TRIES: u32 = 3;

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
    /// Server and public IPv4 address together.
    pub price: Price,
    /// What the provider bills for a month at the most, millionths; it charges by the hour up to this.
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
    /// Offers that are large enough, cheapest first; among equal prices the provider's order of places decides.
    pub fn rank(&self, size: Size, location: Option<&str>) -> Vec<&Offer> {
        let fits = |it: &&Offer| {
            it.memory_gib >= size.memory_gib()
                && it.vcpu >= size.vcpu()
                && location.is_none_or(|name| it.location == name)
        };
        let place = |it: &Offer| self.locations.iter().position(|place| place.name == it.location);
        let mut ranked: Vec<&Offer> = self.offers.iter().filter(fits).collect();
        ranked.sort_by_key(|it| (it.price.micros_per_hour, place(it)));
        ranked
    }
}

/// Requests that the provider still answers, where it says so.
pub type RateBudget = Option<u32>;

/// What to create. Labels and user data depend on the placement: the price is a label, and the capability in the user
/// data names the location.
pub struct Plan<'a, R> {
    /// Host name.
    pub name: &'a str,
    /// Operating system.
    pub image: Image,
    /// The user's key, or nobody's.
    pub ssh_key: &'a SshPublicKey,
    /// Placements, tried in this order when capacity is refused.
    pub offers: &'a [Offer],
    /// Labels of what the VM shares with others: key and firewall.
    pub shared_labels: LabelSet,
    /// The deployment's name, for the names of shared resources.
    pub deployment: &'a str,
    /// Finds the server again when the answer to its creation was lost.
    pub identity: Selector,
    /// Labels and user data for one placement.
    pub render: R,
}

/// One try to place a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Type that was asked for.
    pub server_type: String,
    /// Location that was asked for.
    pub location: String,
    /// `created`, `adopted` or the error's code.
    pub outcome: &'static str,
}

/// A VM that exists now.
#[derive(Debug)]
pub struct Created {
    /// The VM.
    pub vm: Vm<'static>,
    /// Every placement that was tried, the last one successful.
    pub attempts: Vec<Attempt>,
    /// What could not be done and does not stop the VM from working.
    pub warnings: Vec<String>,
}

/// Something of ours at a provider that is not a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// `primary_ip`, `ssh_key` or `firewall`.
    pub kind: &'static str,
    /// The provider's id.
    pub native: String,
    /// The provider's name of it.
    pub name: String,
    /// Creation, Unix seconds.
    pub created_secs: u64,
}

/// A configured provider.
#[derive(Clone, Debug)]
pub enum Provider {
    /// Hetzner Cloud.
    Hetzner(hetzner::Hetzner),
}

impl Provider {
    /// Every provider whose secrets are configured.
    pub fn configured(config: &Config) -> Vec<Self> {
        config.hetzner.iter().map(|it| Self::Hetzner(hetzner::Hetzner::new(it))).collect()
    }

    /// Which one it is.
    pub fn name(&self) -> ProviderName {
        match self {
            Self::Hetzner(_) => ProviderName::Hetzner,
        }
    }

    /// Largest user data, bytes.
    pub fn user_data_max_bytes(&self) -> usize {
        match self {
            Self::Hetzner(_) => hetzner::USER_DATA_MAX_BYTES,
        }
    }

    /// Shows every matching VM to `sink`, page by page, without keeping any. Answers with what the provider says is left
    /// of its rate limit.
    pub async fn for_each<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        match self {
            Self::Hetzner(it) => it.for_each(host, selector, sink).await,
        }
    }

    /// The matching VMs; for selectors that few match.
    pub async fn find<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Vm<'static>>, Error> {
        let mut found = Vec::new();
        self.for_each(host, selector, |vm| found.push(vm.clone().into_owned())).await?;
        Ok(found)
    }

    /// One server by the provider's id, whoever owns it; `None` where there is none.
    pub async fn get<H: Http + Random>(&self, host: &H, native: &str) -> Result<Option<Vm<'static>>, Error> {
        match self {
            Self::Hetzner(it) => it.get(host, native).await,
        }
    }

    /// What can be ordered at `now_secs`.
    pub async fn catalogue<H: Http + Random>(&self, host: &H, now_secs: u64) -> Result<Catalogue, Error> {
        match self {
            Self::Hetzner(it) => it.catalogue(host, now_secs).await,
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
        match self {
            Self::Hetzner(it) => it.create(host, plan).await,
        }
    }

    /// Deletes a server. `Ok` only when the provider accepted it or says that there is none.
    pub async fn delete<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        match self {
            Self::Hetzner(it) => it.delete(host, native).await,
        }
    }

    /// Changes some labels and leaves the others. `false` where there is no such server.
    pub async fn relabel<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        match self {
            Self::Hetzner(it) => it.relabel(host, native, changes).await,
        }
    }

    /// What of ours no VM uses: addresses at any time, keys and firewall when no VM of the deployment is left.
    pub async fn leftovers<H: Http + Random>(
        &self,
        host: &H,
        deployment: &Selector,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        match self {
            Self::Hetzner(it) => it.leftovers(host, deployment, vms_left).await,
        }
    }

    /// Deletes one leftover.
    pub async fn delete_leftover<H: Http + Random>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        match self {
            Self::Hetzner(it) => it.delete_leftover(host, leftover).await,
        }
    }
}

/// Sends a request that may safely be repeated, and repeats it where the vendor says so: serially, few times, with a
/// growing and jittered pause. Rate limits are not waited for; the caller is told how long they last.
async fn send_repeatable<H: Http + Random>(
    host: &H,
    provider: ProviderName,
    request: Request,
    parse_error: impl Fn(&Response) -> Error,
    may_repeat: impl Fn(ErrorKind) -> bool,
) -> Result<Response, Error> {
    let mut tried = 1;
    loop {
        let error = match host.send(request.clone()).await {
            Ok(response) if (200..300).contains(&response.status) => return Ok(response),
            Ok(response) => parse_error(&response),
            Err(no_answer) => Error::no_answer(provider, no_answer),
        };
        // A time-out has used up the caller's patience already.
        let patient = error.kind != ErrorKind::TimedOut;
        if tried == MAX_TRIES || !may_repeat(error.kind) || !patient {
            return Err(error);
        }
        host.sleep_ms(backoff_ms(host, tried)).await;
        tried += 1;
    }
}

/// 250 ms, 500 ms, 1 s…, each up to half as long again.
fn backoff_ms<H: Random>(host: &H, tried: u32) -> u32 {
    let mut byte = [0];
    host.fill(&mut byte);
    let base = 250 << (tried - 1).min(5);
    base + base * u32::from(byte[0]) / 512
}

/// Sends once and turns everything that is not a 2xx answer into an error.
async fn send_once<H: Http>(
    host: &H,
    provider: ProviderName,
    request: Request,
    parse_error: impl Fn(&Response) -> Error,
) -> Result<Response, Error> {
    match host.send(request).await {
        Ok(response) if (200..300).contains(&response.status) => Ok(response),
        Ok(response) => Err(parse_error(&response)),
        Err(no_answer) => Err(Error::no_answer(provider, no_answer)),
    }
}

impl Error {
    /// No answer arrived.
    pub fn no_answer(provider: ProviderName, no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::TimedOut => Self::new(provider, ErrorKind::TimedOut, "did not answer in time"),
            NoAnswer::Broken => Self::new(provider, ErrorKind::Unavailable, "could not be reached"),
        }
    }
}

/// Runs futures side by side.
pub async fn side_by_side<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(futures).await
}
