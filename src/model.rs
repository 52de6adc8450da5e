//! The words of the domain: a VM, its power state, the phase of its boot, sizes and prices. No I/O and no JSON.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::labels::VmLabels;
use crate::workspace::Market;

/// A cloud provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the providers")]
pub enum ProviderName {
    Hetzner,
    Scaleway,
    DigitalOcean,
    Ovh,
    Ec2,
}

impl ProviderName {
    /// Every provider that this build knows.
    pub const ALL: [Self; 5] = [Self::Hetzner, Self::Scaleway, Self::DigitalOcean, Self::Ovh, Self::Ec2];

    /// The name in the API and in ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hetzner => "hetzner",
            Self::Scaleway => "scaleway",
            Self::DigitalOcean => "digitalocean",
            Self::Ovh => "ovh",
            Self::Ec2 => "ec2",
        }
    }

    /// The name that people know it by.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hetzner => "Hetzner Cloud",
            Self::Scaleway => "Scaleway",
            Self::DigitalOcean => "DigitalOcean",
            Self::Ovh => "OVHcloud",
            Self::Ec2 => "AWS EC2",
        }
    }

    /// The inverse of [`ProviderName::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Whether a text can be one of the provider's own ids, so that it may stand in a path of its API.
    pub fn is_native(self, native: &str) -> bool {
        match self {
            // Hetzner: int64, at most 2^53 by its documentation. DigitalOcean: a smaller integer.
            Self::Hetzner | Self::DigitalOcean => {
                (1..=16).contains(&native.len())
                    && native.bytes().all(|it| it.is_ascii_digit())
                    && !native.starts_with('0')
            }
            // A zone such as `fr-par-1` and a UUID.
            Self::Scaleway => {
                let parts: Vec<&str> = native.split('-').collect();
                parts.len() == 8
                    && has(parts[0], 2, u8::is_ascii_lowercase)
                    && has(parts[1], 3, u8::is_ascii_lowercase)
                    && has(parts[2], 1, u8::is_ascii_digit)
                    && is_uuid(&parts[3..])
            }
            Self::Ovh => is_uuid(&native.split('-').collect::<Vec<_>>()),
            // A region such as `eu-central-1` and `i-` with 17 hexadecimal digits, of old instances 8.
            Self::Ec2 => native.rsplit_once("-i-").is_some_and(|(region, id)| {
                is_aws_region(region)
                    && matches!(id.len(), 8 | 17)
                    && id.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
            }),
        }
    }
}

fn has(part: &str, chars: usize, is: fn(&u8) -> bool) -> bool {
    part.len() == chars && part.as_bytes().iter().all(is)
}

/// The parts of a UUID (RFC 9562 section 4).
fn is_uuid(parts: &[&str]) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let fits = |(part, chars): (&&str, usize)| has(part, chars, u8::is_ascii_hexdigit);
    parts.len() == lengths.len() && parts.iter().zip(lengths).all(fits)
}

/// Whether a text can be a region of AWS, so that it may stand in a host's name. Which there are is AWS's to say.
pub fn is_aws_region(region: &str) -> bool {
    (5..=24).contains(&region.len())
        && region.starts_with(|it: char| it.is_ascii_lowercase())
        && region.ends_with(|it: char| it.is_ascii_digit())
        && region.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// A VM's id in our API: `<provider>-<provider's own id, after its zone where it needs one>`, opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmId {
    /// Where it lives.
    pub provider: ProviderName,
    /// The provider's id of the server.
    pub native: String,
}

impl VmId {
    /// `None` for what cannot be an id of ours; the caller answers 404.
    pub fn parse(id: &str) -> Option<Self> {
        let (provider, native) = id.split_once('-')?;
        let provider = ProviderName::parse(provider)?;
        provider.is_native(native).then(|| Self { provider, native: native.to_owned() })
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.provider.as_str(), self.native)
    }
}

/// State of the power, reduced from what the provider says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the states")]
pub enum VmState {
    Creating,
    Running,
    Stopping,
    Stopped,
    Deleting,
    Unknown,
}

impl VmState {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Unknown => "unknown",
        }
    }
}

/// Phase of the boot, as the VM reported it. Order matters: phases only advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the phases")]
pub enum Phase {
    #[default]
    Booting,
    Docker,
    Clone,
    Devcontainer,
    Ui,
    Ready,
    Failed,
    Stopping,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] = [
        Self::Booting,
        Self::Docker,
        Self::Clone,
        Self::Devcontainer,
        Self::Ui,
        Self::Ready,
        Self::Failed,
        Self::Stopping,
    ];

    /// The word in the API and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Docker => "docker",
            Self::Clone => "clone",
            Self::Devcontainer => "devcontainer",
            Self::Ui => "ui",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
        }
    }

    /// The inverse of [`Phase::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// What the phase becomes when a VM reports `next`: phases advance, `ready` and `failed` are final for a boot,
    /// and a new boot begins at `booting`.
    #[must_use]
    pub fn advanced_to(self, next: Self) -> Self {
        match (self, next) {
            (_, Self::Booting) => Self::Booting,
            (Self::Ready | Self::Failed, Self::Stopping) => Self::Stopping,
            (Self::Ready | Self::Failed, _) => self,
            _ => self.max(next),
        }
    }
}

/// What a user asks for; at least this much memory and this many virtual CPUs, on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the sizes")]
pub enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    /// Every size, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// The word in the API and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// The inverse of [`Size::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Least memory, GiB.
    pub fn memory_gib(self) -> f64 {
        match self {
            Self::Small => 2.0,
            Self::Medium => 4.0,
            Self::Large => 8.0,
        }
    }

    /// Fewest virtual CPUs.
    pub fn vcpu(self) -> u32 {
        match self {
            Self::Small | Self::Medium => 2,
            Self::Large => 4,
        }
    }
}

/// An amount of money per hour in millionths of the currency's unit: small prices stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Millionths of the currency's unit per hour; with taxes where the provider's API has them.
    pub micros_per_hour: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// An ISO 4217 currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The US dollar.
    pub const USD: Self = Self(*b"USD");

    /// `None` unless three capital letters.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Hours of a month, as vendors' price lists have them.
pub const MONTH_HOURS: u64 = 730;

/// What something costs for a month of 730 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthlyPrice {
    /// Millionths of the currency's unit.
    pub micros: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Serialize for MonthlyPrice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "amounts of money are far below 2^53 millionths")]
        let amount = self.micros as f64 / 1_000_000.0;
        let mut fields = serializer.serialize_struct("MonthlyPrice", 2)?;
        fields.serialize_field("currency", self.currency.as_str())?;
        fields.serialize_field("amount", &amount)?;
        fields.end()
    }
}

impl Price {
    /// The same for a month.
    pub fn monthly(self) -> MonthlyPrice {
        MonthlyPrice { micros: self.micros_per_hour.saturating_mul(MONTH_HOURS), currency: self.currency }
    }
}

/// What keeping a gigabyte for a month costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoragePrice {
    /// Millionths per gigabyte and month.
    pub micros_per_gb_month: u64,
    /// Of what.
    pub currency: Currency,
}

impl StoragePrice {
    /// What so many gigabytes cost for a month.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are a few hundred gigabytes, prices some cents; the cast saturates"
    )]
    pub fn monthly(self, gigabytes: f64) -> MonthlyPrice {
        let micros = (self.micros_per_gb_month as f64 * gigabytes.max(0.0)).round() as u64;
        MonthlyPrice { micros, currency: self.currency }
    }
}

/// Reads a decimal price such as `0.0104720000000000` into millionths, rounded to the nearest.
pub fn parse_micros(decimal: &str) -> Option<u64> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    if whole.is_empty() && fraction.is_empty()
        || whole.len() > 9
        || !fraction.bytes().all(|it| it.is_ascii_digit())
    {
        return None;
    }
    let whole: u64 =
        if whole.is_empty() { 0 } else { whole.parse().ok().filter(|_| !whole.starts_with('+'))? };
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + u64::from(fraction.as_bytes().get(place).map_or(0, |it| it - b'0'));
    }
    let round_up = fraction.as_bytes().get(6).is_some_and(|it| *it >= b'5');
    Some(whole * 1_000_000 + micros + u64::from(round_up))
}

/// A rented server that carries a workspace, with what its labels say.
#[derive(Clone, Debug)]
pub struct Vm<'a> {
    /// Id in our API.
    pub id: VmId,
    /// Host name, unique in the provider's project.
    pub name: Cow<'a, str>,
    /// Power.
    pub state: VmState,
    /// Creation, seconds since the Unix epoch.
    pub created_secs: u64,
    /// Public IPv4 address.
    pub ipv4: Option<Cow<'a, str>>,
    /// Public IPv6 network or address, as the provider writes it.
    pub ipv6: Option<Cow<'a, str>>,
    /// Where it stands.
    pub location: Cow<'a, str>,
    /// The provider's name of its type.
    pub server_type: Cow<'a, str>,
    /// How it is rented.
    pub market: Market,
    /// What we wrote on it.
    pub labels: VmLabels<'a>,
}

impl Vm<'_> {
    /// The same VM, independent of the answer that it was read from.
    pub fn into_owned(self) -> Vm<'static> {
        Vm {
            id: self.id,
            name: owned(self.name),
            state: self.state,
            created_secs: self.created_secs,
            ipv4: self.ipv4.map(owned),
            ipv6: self.ipv6.map(owned),
            location: owned(self.location),
            server_type: owned(self.server_type),
            market: self.market,
            labels: self.labels.into_owned(),
        }
    }
}

/// The hard end of a VM's life, Unix seconds. A VM of ours whose label is lost ends where the longest allowed life would.
pub fn expires_secs(vm: &Vm<'_>) -> u64 {
    vm.labels
        .expires_secs
        .unwrap_or_else(|| vm.created_secs + u64::from(*crate::config::MAX_HOURS.end()) * 3600)
}

/// A text independent of what it was read from.
pub(crate) fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_advance_and_a_new_boot_begins_again() {
        assert_eq!(Phase::Docker.advanced_to(Phase::Clone), Phase::Clone);
        assert_eq!(Phase::Ui.advanced_to(Phase::Docker), Phase::Ui);
        assert_eq!(Phase::Ready.advanced_to(Phase::Failed), Phase::Ready);
        assert_eq!(Phase::Failed.advanced_to(Phase::Ready), Phase::Failed);
        assert_eq!(Phase::Clone.advanced_to(Phase::Failed), Phase::Failed);
        assert_eq!(Phase::Ready.advanced_to(Phase::Booting), Phase::Booting);
    }

    #[test]
    fn ids_are_parsed_strictly() {
        assert_eq!(VmId::parse("hetzner-4711").map(|it| it.to_string()).as_deref(), Some("hetzner-4711"));
        let scaleway = "scaleway-fr-par-1-973b1d4a-3d01-4220-a4fa-7a2b89c8a557";
        assert_eq!(VmId::parse(scaleway).map(|it| it.to_string()).as_deref(), Some(scaleway));
        let ovh = "ovh-973b1d4a-3d01-4220-a4fa-7a2b89c8a557";
        assert_eq!(VmId::parse(ovh).map(|it| it.to_string()).as_deref(), Some(ovh));
        let ec2 = "ec2-eu-central-1-i-0123456789abcdef0";
        assert_eq!(VmId::parse(ec2).map(|it| it.to_string()).as_deref(), Some(ec2));
        for bad in [
            "ec2-eu-central-1",
            "ec2-eu-central-1-ami-0123456789abcdef0",
            "ec2-eu-central-1-i-0123456789abcdef",
            "ec2-EU-central-1-i-01234567",
            "ec2-x.y/eu-central-1-i-01234567",
            "",
            "hetzner",
            "hetzner-",
            "hetzner-0",
            "hetzner-../1",
            "hetzner-1a",
            "ec2-i-123",
            "4711",
            "hetzner-12345678901234567",
            "digitalocean-",
            "digitalocean-x",
            "scaleway-973b1d4a-3d01-4220-a4fa-7a2b89c8a557",
            "scaleway-fr-par-1",
            "scaleway-fr-par-1-973b1d4a-3d01-4220-a4fa-7a2b89c8a55/",
            "scaleway-../par-1-973b1d4a-3d01-4220-a4fa-7a2b89c8a557",
            "ovh-4711",
            "ovh-973b1d4a-3d01-4220-a4fa-7a2b89c8a55",
            "ovh-973b1d4a-3d01-4220-a4fa-7a2b89c8a557-0",
            "ovh-973b1d4a-3d01-4220-a4fa-../89c8a557",
        ] {
            assert_eq!(VmId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn keeping_costs_by_the_gigabyte() {
        // 2.3 GB at 0.0143 a month are 0.03289.
        let price = StoragePrice { micros_per_gb_month: 14_300, currency: Currency::EUR };
        assert_eq!(price.monthly(2.3).micros, 32_890);
        assert_eq!([0.0, -1.0, f64::NAN].map(|it| price.monthly(it).micros), [0, 0, 0]);
    }

    #[test]
    fn prices_are_exact() {
        assert_eq!(parse_micros("0.0104720000000000"), Some(10_472));
        assert_eq!(parse_micros("6.5331"), Some(6_533_100));
        assert_eq!(parse_micros("0.0000005"), Some(1));
        assert_eq!(parse_micros("12"), Some(12_000_000));
        for bad in ["", ".", "1,2", "-1", "+1", "1e3", "1.-2", "9999999999"] {
            assert_eq!(parse_micros(bad), None, "{bad}");
        }
    }
}
