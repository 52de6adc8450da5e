//! What the suite needs to know of a vendor: its servers as its API shows them, and the calls of each promise.

use mayfly::http::{NoAnswer, Response};
use mayfly::labels::{self, LabelSet};
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power, Provider};
use serde_json::Value;

use super::support::script::{Exchange, Script};
use super::support::world::{NOW_SECS, Settings, VM};

/// A server that the vendor knows.
#[derive(Clone)]
pub(crate) struct Known {
    /// First or second of the vendor's ids.
    pub(crate) index: usize,
    /// Labels; none for somebody else's.
    pub(crate) labels: LabelSet,
    pub(crate) state: VmState,
}

impl Known {
    /// Ours, running.
    pub(crate) fn ours(index: usize) -> Self {
        Self { index, labels: of_vm(VM), state: VmState::Running }
    }

    /// Somebody else's.
    pub(crate) fn foreign(index: usize) -> Self {
        Self { index, labels: Vec::new(), state: VmState::Running }
    }
}

/// Labels of a VM with this identity.
pub(crate) fn of_vm(vm: &str) -> LabelSet {
    let mut set = labels::ours("mayfly");
    set.push((labels::VM.into(), vm.into()));
    set.push((labels::OWNER.into(), "default".into()));
    set.push((labels::PHASE.into(), "booting".into()));
    set.push((labels::EXPIRES.into(), (NOW_SECS + 3600).to_string()));
    set.push((labels::PRICE.into(), "11424.EUR".into()));
    set
}

/// A way to refuse a request.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Name of the fixture.
    pub(crate) fixture: &'static str,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) kind: ErrorKind,
    pub(crate) retry_after: Option<u32>,
}

/// How a creation goes.
pub(crate) enum Going {
    /// Well.
    Smoothly,
    /// From a snapshot.
    FromSnapshot,
    /// The first place has no capacity, the second has.
    SecondPlace,
    /// The quota is used up, after key and firewall were made.
    Quota,
    /// The answer is lost, the server is found.
    Lost(Result<Response, NoAnswer>),
}

/// One vendor before the suite.
pub(crate) trait Vendor {
    /// Folder of its fixtures.
    const FIXTURES: &'static str;

    /// How slow an answer may be for a list of three pages to take less than ten seconds, and more.
    const SLOW_MS: [u64; 2] = [3000, 6000];

    /// Whether what it calls a conflict is still one a moment later.
    const CONFLICTS_STAY: bool = false;

    /// A Mayfly with this provider alone.
    fn settings(&self) -> Settings;

    /// The provider's ids of its servers, as they stand in our ids.
    fn natives(&self) -> [&'static str; 2];

    /// A repository that is long for this vendor, and still has room.
    fn long_repo(&self) -> String {
        format!("git@Git.example.com:{}r.git", "Group_x/".repeat(20))
    }

    /// The first of them where a VM was placed there.
    fn native_in(&self, _location: &str) -> String {
        self.natives()[0].to_owned()
    }

    /// A listing of the deployment, ours and foreign ones mixed, over these pages.
    fn list(&self, pages: &[&[Known]]) -> Script;

    /// One call that reads the first server.
    fn get(&self) -> Exchange;

    /// Its answer.
    fn one(&self, server: &Known) -> String;

    /// The answer to a call about something that there is not.
    fn gone(&self, call: Exchange) -> Exchange;

    fn refusals(&self) -> Vec<Refusal>;

    /// The calls of a creation.
    fn creation(&self, going: Going) -> Script;

    /// The calls of a creation there, up to the one that carries the user data, which is refused.
    fn creation_until_user_data(&self, offer: &Offer) -> Script;

    /// The user data in a call, where it is one that carries it.
    fn user_data_of(&self, call: &Value) -> Option<String> {
        call["user_data"].as_str().map(str::to_owned)
    }

    /// The write by which it is known whether a credential may do more than read.
    fn probe(&self) -> Exchange;

    /// The calls of a deletion of the first server; a state for what it is in, nothing for gone.
    fn deletion(&self, state: Option<VmState>) -> Script;

    /// The calls of a change of the power of the first server, or of one that is gone.
    fn power(&self, power: Power, gone: bool) -> Script;

    /// The calls of a change of the phase to `ready` and of taking the price away.
    fn relabelling(&self, gone: bool) -> Script;

    /// Snapshot made; snapshots listed, with a foreign one among them; one deleted, twice.
    fn snapshot(&self, gone: bool) -> Script;
    fn snapshots(&self) -> Script;
    fn snapshot_deletions(&self) -> Script;
    /// The id of the one snapshot of ours.
    fn snapshot_native(&self) -> &'static str;

    /// Smallest disk and billed size of it, GB.
    fn snapshot_sizes(&self) -> (f64, Option<f64>) {
        (40.0, Some(2.3))
    }

    /// The calls for its price; its billed size, GB, and what a gigabyte of it costs for a month, millionths.
    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str));

    /// The search for leftovers when no VM is left, with foreign things among them; and the kinds that are ours.
    fn leftovers(&self) -> (Script, Vec<&'static str>);

    /// The calls for their prices; what each costs for a month, millionths.
    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>);

    /// Everything that is sold.
    fn catalogue(&self) -> Vec<Exchange>;

    /// The look for what a repeated request made, with this server as its answer.
    fn made_by_key(&self, owner: &str, idem: &str, server: &Known) -> Exchange;

    /// The provider itself.
    fn provider(&self) -> Provider {
        let app = self.settings().app();
        let ready = app.ready().expect("a configured Mayfly");
        assert_eq!(ready.providers.len(), 1);
        ready.providers[0].clone()
    }
}
