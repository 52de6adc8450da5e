//! How much the reaper has deleted and could not delete since there is a bucket: four sums in the name of one empty object,
//! for whoever draws or alerts on them. What one run did is the report's and the log's.

use super::Report;
use crate::agent::Ledger;
use crate::bucket::BucketError;
use crate::http::Log;

/// The sums. They only grow; two runs at the same moment may be counted as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// VMs that were deleted.
    pub vms: u64,
    /// Snapshots past their retention, or of no use any more.
    pub snapshots: u64,
    /// Addresses, volumes, keys, firewalls.
    pub leftovers: u64,
    /// Deletions that failed. One that fails in each run counts in each.
    pub failed: u64,
}

impl Tally {
    fn of(report: &Report) -> Self {
        let count = |is_it: fn(&str) -> bool| {
            u64::try_from(report.reaped.iter().filter(|it| is_it(it.kind)).count()).unwrap_or(u64::MAX)
        };
        let failed = report.failed.iter().filter(|it| it.kind != "list").count();
        Self {
            vms: count(|it| it == "vm"),
            snapshots: count(|it| it == "snapshot"),
            leftovers: count(|it| it != "vm" && it != "snapshot"),
            failed: u64::try_from(failed).unwrap_or(u64::MAX),
        }
    }

    fn both(self, other: Self, one: fn(u64, u64) -> u64) -> Self {
        Self {
            vms: one(self.vms, other.vms),
            snapshots: one(self.snapshots, other.snapshots),
            leftovers: one(self.leftovers, other.leftovers),
            failed: one(self.failed, other.failed),
        }
    }

    fn pack(self) -> String {
        format!("{}.{}.{}.{}", self.vms, self.snapshots, self.leftovers, self.failed)
    }

    /// What is no tally counts nothing.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.').map(|it| it.parse::<u64>().ok());
        let (vms, snapshots) = (parts.next()??, parts.next()??);
        let (leftovers, failed) = (parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { vms, snapshots, leftovers, failed })
    }
}

/// The sums so far, and the keys that they were read from.
async fn sums(ledger: &impl Ledger, deployment: &str) -> Result<(Tally, Vec<String>), BucketError> {
    let place = place(deployment);
    let page = ledger.list(&place, None).await?;
    let keys: Vec<String> = page.entries.into_iter().map(|it| it.key).collect();
    let known = keys.iter().filter_map(|it| Tally::parse(it.strip_prefix(&place)?));
    // Each is a sum: where an older one is left, the newer has it in it.
    let sum = known.fold(Tally::default(), |sum, it| sum.both(it, u64::max));
    Ok((sum, keys))
}

/// Reads the sums.
pub async fn read(ledger: &impl Ledger, deployment: &str) -> Result<Tally, BucketError> {
    sums(ledger, deployment).await.map(|it| it.0)
}

/// Adds what a run did. What cannot be written down stands in the log.
pub async fn add(report: &Report, ledger: &impl Ledger, deployment: &str, log: &impl Log) {
    let more = Tally::of(report);
    if report.dry_run || more == Tally::default() {
        return;
    }
    let written = async {
        let (sum, old) = sums(ledger, deployment).await?;
        let new = format!("{}{}", place(deployment), sum.both(more, u64::saturating_add).pack());
        ledger.mark(&new).await?;
        // What is left of them is less than what was written: it is no matter.
        if old.is_empty() { Ok(()) } else { ledger.delete(&old).await }
    };
    if let Err(error) = written.await {
        let detail = format!("{error:?}");
        log.log(
            &serde_json::json!({ "event": "tally_lost", "more": more.pack(), "detail": detail }).to_string(),
        );
    }
}

/// No owner has this name, so no workspace lies here.
fn place(deployment: &str) -> String {
    format!("{deployment}/~reaper/")
}
