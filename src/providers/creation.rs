//! Creation at any provider: the order of its steps, placements one after the other, rollback, and the search for a server
//! whose answer was lost. What a step sends is the vendor's module's business.

use super::RateBudget;
use super::catalogue::Offer;
use super::error::{Error, ErrorKind};
use crate::http::Host;
use crate::labels::{LabelSet, Selector, VM};
use crate::model::{ProviderName, Vm};
use crate::ssh_key::SshPublicKey;
use crate::workspace::{Image, Market};

/// How often a lost server is looked for, and the first pause, which doubles.
const LOOKUPS: u32 = 3;
const LOOKUP_PAUSE_MS: u32 = 500;

/// What to create. Labels and user data depend on the placement: the price is a label, and the capability in the user
/// data names the location.
pub struct Plan<'a, R> {
    /// Host name.
    pub name: &'a str,
    /// What its disk begins as.
    pub source: Source<'a>,
    /// How it is rented; only what the provider has is asked for.
    pub market: Market,
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

/// What a VM's disk begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A fresh operating system.
    Image(Image),
    /// A snapshot, by the provider's id.
    Snapshot(&'a str),
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

/// What a vendor does at each step of a creation; [`create`] puts the steps in their order.
pub(super) trait Steps {
    /// What a server needs before it is created.
    type Needs;
    /// A server as the vendor's answer describes it.
    type Server;

    /// Whose steps they are.
    const NAME: ProviderName;

    /// Finds or makes what the server needs; what was made before a failure is taken back.
    async fn prepare<H: Host, R>(&self, host: &H, plan: &Plan<'_, R>) -> Result<Self::Needs, Error>;

    /// After a second look: what the first made and the second found again is still this call's to take back.
    fn renewed(before: Self::Needs, again: Self::Needs) -> Self::Needs;

    /// Whether a refusal says that what was prepared vanished meanwhile, so that preparing again helps.
    fn needs_vanished(error: &Error) -> bool;

    /// Creates the server, sent once.
    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &Self::Needs,
    ) -> Result<Self::Server, Error>;

    /// Looks for a server by its id; the listing's own word is not enough where more than a [`Vm`] is wanted.
    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<Self::Server, Error>;

    /// The matching VMs, each shown to `sink`.
    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error>;

    /// What is left to do once there is a server. On an error the server is gone again, or carries our labels still.
    async fn finish<H: Host>(
        &self,
        host: &H,
        server: Self::Server,
        rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error>;

    /// Deletes what this call made. What cannot be deleted now carries our labels: the reaper finds it.
    async fn take_back<H: Host>(&self, host: &H, needs: &Self::Needs);
}

/// Labels and user data for one placement.
pub(super) struct Rendered {
    /// Labels of the server.
    pub labels: LabelSet,
    /// User data, plain text.
    pub user_data: String,
}

/// Creates a VM: prepares, then asks for one placement after the other until one is accepted, then finishes. What was made
/// before a failure is taken back; a server whose answer was lost is found by its labels.
pub(super) async fn create<S: Steps, H: Host, R>(
    vendor: &S,
    host: &H,
    plan: &Plan<'_, R>,
) -> Result<Created, (Error, Vec<Attempt>)>
where
    R: Fn(&Offer) -> (LabelSet, String),
{
    let mut attempts = Vec::new();
    let mut needs = vendor.prepare(host, plan).await.map_err(|error| (error, Vec::new()))?;
    let mut last =
        Error::new(S::NAME, ErrorKind::Capacity, "offers no server type of this size there at the moment");
    let mut prepared_again = false;
    let mut offers = plan.offers.iter().peekable();
    while let Some(offer) = offers.peek().copied() {
        let (labels, user_data) = (plan.render)(offer);
        let rendered = Rendered { labels, user_data };
        let placed = vendor.place(host, plan, offer, &rendered, &needs).await;
        let placed = match placed {
            Ok(server) => Ok((server, "created")),
            Err(error) if error.kind.may_have_acted() => {
                find_lost(vendor, host, plan, &rendered.labels, error).await
            }
            Err(error) => Err(error),
        };
        let finished = match placed {
            Ok((server, outcome)) => {
                vendor.finish(host, server, &rendered).await.map(|(vm, warnings)| (vm, warnings, outcome))
            }
            Err(error) => Err(error),
        };
        let mut attempt = |outcome| {
            attempts.push(Attempt {
                server_type: offer.server_type.clone(),
                location: offer.location.clone(),
                outcome,
            });
        };
        match finished {
            Ok((vm, warnings, outcome)) => {
                attempt(outcome);
                return Ok(Created { vm, attempts, warnings });
            }
            Err(error) if S::needs_vanished(&error) && !prepared_again => {
                prepared_again = true;
                match vendor.prepare(host, plan).await {
                    Ok(again) => needs = S::renewed(needs, again),
                    Err(error) => {
                        vendor.take_back(host, &needs).await;
                        return Err((error, attempts));
                    }
                }
            }
            Err(error) => {
                attempt(error.kind.code());
                let next_place = error.kind == ErrorKind::Capacity;
                last = error;
                if !next_place {
                    break;
                }
                offers.next();
            }
        }
    }
    vendor.take_back(host, &needs).await;
    Err((last, attempts))
}

/// Looks for a server whose creation was not answered, by the identity label that only it can carry.
async fn find_lost<S: Steps, H: Host, R>(
    vendor: &S,
    host: &H,
    plan: &Plan<'_, R>,
    labels: &LabelSet,
    error: Error,
) -> Result<(S::Server, &'static str), Error> {
    for look in 0..LOOKUPS {
        host.sleep_ms(LOOKUP_PAUSE_MS << look).await;
        let mut native = None;
        let identity = labels.iter().find(|(key, _)| key == VM).map(|(_, value)| value.as_str());
        let listed = vendor.list(host, &plan.identity, |vm| {
            // What is sent beside the one that was asked for is somebody else's.
            if vm.labels.belongs_to(plan.deployment) && Some(vm.labels.vm.as_ref()) == identity {
                native = Some(vm.id.native.clone());
            }
        });
        let listed = listed.await;
        if let (Ok(_), Some(native)) = (listed, native) {
            // Read again by id: the listing's answer is gone, and it does not hold all that is wanted.
            return vendor.read(host, &native).await.map(|it| (it, "adopted"));
        }
    }
    Err(error)
}
