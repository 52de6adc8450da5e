//! What a VM costs by its provider's rules of billing: in which steps time is counted, what is due at the least, what a VM that stands
//! still goes on costing, and until when an hour is paid anyway. Prices themselves come from the providers, by the hour.

use crate::model::{Price, ProviderName};

const HOUR: u64 = 3600;
/// An hour that is paid is used until this minute of it; the rest is for the deletion itself.
const USED_SECS: u64 = 50 * 60;

/// The steps in which a provider counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// Every hour that has begun since the creation.
    StartedHour,
    /// Every hour of the clock in which it existed.
    ClockHour,
    /// Seconds, from a least time and a least amount on.
    Second {
        /// Seconds that are due at the least.
        min_secs: u64,
        /// Millionths that are due at the least.
        min_micros: u64,
    },
}

impl Billing {
    /// The rules of a provider:
    /// - Hetzner Cloud docs, "Billing FAQ": every started hour;
    /// - Scaleway documentation, "Instances FAQ": CPU Instances by the hour, each resource for 60 minutes at the least;
    /// - OVHcloud, "Public Cloud Billing": every hour of use, whenever in it the instance was created;
    /// - DigitalOcean, Droplet pricing since 2026-01-01: by the second, 60 seconds or USD 0.01 at the least;
    /// - Amazon EC2, "On-Demand Pricing": Linux by the second, 60 seconds at the least.
    pub fn of(provider: ProviderName) -> Self {
        match provider {
            ProviderName::Hetzner | ProviderName::Scaleway => Self::StartedHour,
            ProviderName::Ovh => Self::ClockHour,
            ProviderName::DigitalOcean => Self::Second { min_secs: 60, min_micros: 10_000 },
            ProviderName::Ec2 => Self::Second { min_secs: 60, min_micros: 0 },
        }
    }

    /// What is due for the time from one moment to another, millionths.
    pub fn amount(self, price: Price, from_secs: u64, to_secs: u64) -> u64 {
        let secs = to_secs.saturating_sub(from_secs);
        let hourly = price.micros_per_hour;
        match self {
            Self::StartedHour => secs.div_ceil(HOUR).max(1).saturating_mul(hourly),
            Self::ClockHour => {
                let last = to_secs.max(from_secs.saturating_add(1)) - 1;
                (last / HOUR).saturating_sub(from_secs / HOUR).saturating_add(1).saturating_mul(hourly)
            }
            Self::Second { min_secs, min_micros } => {
                let exact = u128::from(secs.max(min_secs)) * u128::from(hourly);
                u64::try_from(exact.div_ceil(u128::from(HOUR))).unwrap_or(u64::MAX).max(min_micros)
            }
        }
    }

    /// Until when a VM may go on at no extra cost: minute 50 of the hour that is paid. `None` where that minute is over, and where
    /// no hours are paid whole.
    pub fn paid_until(self, created_secs: u64, now_secs: u64) -> Option<u64> {
        let hour_began = match self {
            Self::StartedHour => now_secs - now_secs.saturating_sub(created_secs) % HOUR,
            Self::ClockHour => now_secs - now_secs % HOUR,
            Self::Second { .. } => return None,
        };
        let until = hour_began.saturating_add(USED_SECS);
        (now_secs < until).then_some(until)
    }

    /// Whether hours are paid whole.
    pub fn has_whole_hours(self) -> bool {
        !matches!(self, Self::Second { .. })
    }
}

/// Whether a VM that is stopped through the provider's API costs as much as one that runs. Elsewhere its disk and address go on
/// costing, and the machine does not (Scaleway documentation, "Understanding Instance pricing"; Amazon EC2 User Guide, "Instance
/// lifecycle").
pub fn is_stopped_billed(provider: ProviderName) -> bool {
    !matches!(provider, ProviderName::Scaleway | ProviderName::Ec2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Currency;

    /// 2026-11-20 10:00:00 UTC.
    const TEN: u64 = 1_795_168_800;
    const MINUTE: u64 = 60;

    fn due(provider: ProviderName, micros_per_hour: u64, from: u64, to: u64) -> u64 {
        let price = Price { micros_per_hour, currency: Currency::EUR };
        Billing::of(provider).amount(price, from, to)
    }

    #[test]
    fn a_started_hour_is_due_whole() {
        // At Hetzner, 0.0104 an hour: made at 10:40 and deleted at 11:30, that is 50 minutes, one hour, 0.0104; deleted at 11:41 it
        // is 61 minutes, two hours, 0.0208. Scaleway counts likewise.
        for provider in [ProviderName::Hetzner, ProviderName::Scaleway] {
            let made = TEN + 40 * MINUTE;
            assert_eq!(due(provider, 10_400, made, TEN + 90 * MINUTE), 10_400);
            assert_eq!(due(provider, 10_400, made, made + HOUR), 10_400);
            assert_eq!(due(provider, 10_400, made, TEN + 101 * MINUTE), 20_800);
            assert_eq!(due(provider, 10_400, made, made), 10_400, "the first hour in any case");
        }
    }

    #[test]
    fn an_hour_of_the_clock_is_due_whole() {
        // At OVHcloud, 0.0500 an hour: made at 10:40 and deleted at 11:30, that is in two hours of the clock, 0.1000.
        let made = TEN + 40 * MINUTE;
        assert_eq!(due(ProviderName::Ovh, 50_000, made, TEN + 90 * MINUTE), 100_000);
        assert_eq!(due(ProviderName::Ovh, 50_000, made, TEN + 60 * MINUTE), 50_000);
        assert_eq!(due(ProviderName::Ovh, 50_000, TEN, TEN + HOUR), 50_000);
        assert_eq!(due(ProviderName::Ovh, 50_000, made, made), 50_000);
    }

    #[test]
    fn seconds_are_due_from_a_minute_on() {
        // At EC2, 0.0480 an hour: 50 minutes are 0.0400, half a minute is a whole one, 0.0008.
        assert_eq!(due(ProviderName::Ec2, 48_000, TEN, TEN + 50 * MINUTE), 40_000);
        assert_eq!(due(ProviderName::Ec2, 48_000, TEN, TEN + 30), 800);
        // At DigitalOcean, 0.0360 an hour: 50 minutes are 0.0300; ten minutes are 0.0060, of which 0.0100 is due.
        assert_eq!(due(ProviderName::DigitalOcean, 36_000, TEN, TEN + 50 * MINUTE), 30_000);
        assert_eq!(due(ProviderName::DigitalOcean, 36_000, TEN, TEN + 10 * MINUTE), 10_000);
    }

    #[test]
    fn a_paid_hour_is_used_until_its_minute_fifty() {
        // Made at 10:40 at Hetzner: at 11:20 the first hour runs until 11:40, so it may go on until 11:30; at 11:35 no more; at
        // 11:41 the second hour has begun, until 12:30.
        let made = TEN + 40 * MINUTE;
        let until = |provider, minutes| Billing::of(provider).paid_until(made, TEN + minutes * MINUTE);
        assert_eq!(until(ProviderName::Hetzner, 80), Some(TEN + 90 * MINUTE));
        assert_eq!(until(ProviderName::Hetzner, 95), None);
        assert_eq!(until(ProviderName::Hetzner, 101), Some(TEN + 150 * MINUTE));
        // At OVHcloud it is the clock's hour: at 11:20 until 11:50.
        assert_eq!(until(ProviderName::Ovh, 80), Some(TEN + 110 * MINUTE));
        assert_eq!(until(ProviderName::Ovh, 115), None);
        assert_eq!(until(ProviderName::Ec2, 80), None);
    }

    #[test]
    fn absurd_times_and_prices_add_up_to_no_overflow() {
        for provider in ProviderName::ALL {
            due(provider, u64::MAX, 0, u64::MAX);
            due(provider, u64::MAX, u64::MAX - 1, 0);
            Billing::of(provider).paid_until(u64::MAX, TEN);
        }
    }
}
