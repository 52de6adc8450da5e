//! The part of the configuration that is policy: ceilings, and limits of what may be configured.

use super::Reader;
use crate::model::parse_micros;

/// How long a VM may stay stopped, hours: limits of `MAX_STOPPED_HOURS`.
pub const MAX_STOPPED_HOURS: std::ops::RangeInclusive<u32> = 1..=720;
/// Calls that one run of the cron may make: a request of a Worker may make 50 on the free plan and 1,000 on the paid one
/// (Cloudflare Workers, "Limits", subrequests).
pub const SUBREQUESTS: std::ops::RangeInclusive<u32> = 20..=1000;

/// The highest ceiling for a cost, whole units of its currency.
const COST_MAX: u64 = 1_000_000;
/// The highest ceiling for a number of VMs.
const VMS_MAX: u32 = 10_000;

/// Ceilings; `None` for no ceiling. Amounts are compared with the sum of the VMs' prices as they stand, whatever their
/// currencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// `MAX_VMS`: VMs of the deployment.
    pub vms: Option<u32>,
    /// `MAX_VMS_PER_OWNER`.
    pub vms_per_owner: Option<u32>,
    /// `MAX_HOURLY_COST`, millionths per hour.
    pub micros_per_hour: Option<u64>,
    /// `MAX_MONTHLY_COST`, millionths per month of 730 hours.
    pub micros_per_month: Option<u64>,
}

impl Ceilings {
    /// Whether any is set.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn ceilings(&mut self) -> Ceilings {
        Ceilings {
            vms: self.count("MAX_VMS"),
            vms_per_owner: self.count("MAX_VMS_PER_OWNER"),
            micros_per_hour: self.cost("MAX_HOURLY_COST"),
            micros_per_month: self.cost("MAX_MONTHLY_COST"),
        }
    }

    fn count(&mut self, key: &'static str) -> Option<u32> {
        self.get(key)?;
        Some(self.number(key, 0, 0..=VMS_MAX))
    }

    fn cost(&mut self, key: &'static str) -> Option<u64> {
        let text = self.get(key)?;
        let micros = parse_micros(&text).filter(|it| *it <= COST_MAX * 1_000_000);
        if micros.is_none() {
            self.problem(key, format!("must be an amount such as 0.50, at most {COST_MAX}"));
        }
        micros
    }
}
