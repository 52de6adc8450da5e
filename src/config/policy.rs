//! The part of the configuration that is policy: ceilings, whose pages may call, who is told, and limits of what may be configured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Reader;
use crate::keys::KEY_MIN_CHARS;
use crate::model::parse_micros;
use crate::secret::Secret;
use crate::webhook::WebhookConfig;

/// How long a VM may stay stopped, hours: limits of `MAX_STOPPED_HOURS`.
pub const MAX_STOPPED_HOURS: std::ops::RangeInclusive<u32> = 1..=720;
/// Calls that one run of the cron may make: a request of a Worker may make 50 on the free plan and 1,000 on the paid one
/// (Cloudflare Workers, "Limits", subrequests).
pub const SUBREQUESTS: std::ops::RangeInclusive<u32> = 20..=1000;

/// Bytes of a webhook's key (Standard Webhooks, "Signature scheme").
const WEBHOOK_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The highest ceiling for a cost, whole units of its currency.
pub(super) const COST_MAX: u64 = 1_000_000;
/// The highest ceiling for a number of VMs.
pub(super) const VMS_MAX: u32 = 10_000;

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

    pub(super) fn webhook(&mut self, simulation: bool) -> Option<WebhookConfig> {
        let url = self.get("WEBHOOK_URL");
        let secret = self.get("WEBHOOK_SECRET");
        let key =
            secret.as_deref().and_then(|it| STANDARD.decode(it.strip_prefix("whsec_").unwrap_or(it)).ok());
        let key = key.filter(|it| WEBHOOK_KEY_BYTES.contains(&it.len()));
        match (&url, &secret) {
            (None, None) => return None,
            (None, Some(_)) => self.problem("WEBHOOK_URL", "is missing, though there is a WEBHOOK_SECRET"),
            (Some(_), None) => self.problem(
                "WEBHOOK_SECRET",
                "is missing: deliveries are signed with it; `echo whsec_$(openssl rand -base64 32)` makes one",
            ),
            (Some(_), Some(_)) if key.is_none() => {
                self.problem("WEBHOOK_SECRET", "must be whsec_ and the base64 of 24 to 64 random bytes");
            }
            _ => {}
        }
        let url = url?;
        let rest =
            url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|_| simulation));
        let is_url = rest.is_some_and(|it| {
            !it.starts_with('/') && !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic() && it != b'#')
        });
        if !is_url {
            self.problem("WEBHOOK_URL", "must be an https URL");
        }
        Some(WebhookConfig { url: Secret::new(url), key: key? })
    }

    /// Whoever loses it loses every backup: one that is too short is refused, not lengthened.
    pub(super) fn backup_key(&mut self) -> Option<Secret> {
        let key = self.get("BACKUP_KEY")?;
        if key.len() < KEY_MIN_CHARS {
            self.problem(
                "BACKUP_KEY",
                format!("has fewer than {KEY_MIN_CHARS} characters; `npm run setup` makes one"),
            );
        }
        Some(Secret::new(key))
    }

    pub(super) fn origins(&mut self) -> Vec<String> {
        let text = self.get("ALLOWED_ORIGINS").unwrap_or_default();
        let origins: Vec<String> =
            text.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
        let fits = |origin: &String| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let host = host.map(|it| it.strip_prefix("*.").unwrap_or(it));
            host.is_some_and(|it| it.contains('.') || it.starts_with("localhost"))
                && host.is_some_and(|it| {
                    it.bytes().all(|it| {
                        it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'.' | b'-' | b':')
                    })
                })
        };
        if !origins.iter().all(fits) {
            self.problem("ALLOWED_ORIGINS", "must be origins separated by commas, such as https://mayfly.pages.dev or https://*.mayfly.pages.dev");
        }
        origins
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
