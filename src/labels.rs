//! The labels on our servers: the only state there is. Keys, values packed into the label alphabet, selectors, and the
//! rule of what is ours. Reading and writing them at a provider is the provider's module's business.
//!
//! The alphabet is Hetzner's: a value is empty or 1 to 63 characters of `[A-Za-z0-9._-]` that begins and ends with a letter
//! or digit (Hetzner Cloud API reference, "Labels"). Vendors with another one have a module here that packs labels into it.

mod pack;
pub mod packed_name;
pub mod pairs;
pub mod tags;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use pack::{Certificate, Reason, Signal, Timing, Verdict, pack_text, unpack_text};

use crate::model::{Currency, Phase, Price, Size, owned};

/// Longest label value, characters.
pub const VALUE_MAX_CHARS: usize = 63;

/// Marks a resource as made by Mayfly.
pub const MANAGED_BY: &str = "managed-by";
/// The value of [`MANAGED_BY`].
pub const MAYFLY: &str = "mayfly";
/// Which Mayfly made it: two in one account never touch each other.
pub const DEPLOYMENT: &str = "mayfly-deployment";
/// The VM's own random id.
pub const VM: &str = "mayfly-vm";
/// Name of the token that created it.
pub const OWNER: &str = "mayfly-owner";
/// Phase of the boot.
pub const PHASE: &str = "mayfly-phase";
/// Last heartbeat, Unix seconds.
pub const SEEN: &str = "mayfly-seen";
/// Last activity, Unix seconds.
pub const ACTIVE: &str = "mayfly-active";
/// Idle limit, minutes.
pub const IDLE: &str = "mayfly-idle";
/// Hard end of life, Unix seconds.
pub const EXPIRES: &str = "mayfly-expires";
/// What the VM is asked to do.
pub const WANT: &str = "mayfly-want";
/// Seconds per phase, packed.
pub const TIMING: &str = "mayfly-timing";
/// Why the boot failed, or what is wrong with a workspace that is ready.
pub const REASON: &str = "mayfly-reason";
/// The idle verdict, packed.
pub const WHY: &str = "mayfly-why";
/// `waiting` or `done`: the agent's own notification.
pub const ATTENTION: &str = "mayfly-attention";
/// Fingerprint of the `Idempotency-Key` that made it.
pub const IDEM: &str = "mayfly-idem";
/// Fingerprint of the request body that made it.
pub const BODY: &str = "mayfly-body";
/// Price per hour at creation.
pub const PRICE: &str = "mayfly-price";
/// SHA-256 of the SSH host key, base32.
pub const HOSTKEY: &str = "mayfly-hostkey";
/// The certificate that the VM's door shows: whose it is, and its SHA-256, packed.
pub const TLS: &str = "mayfly-tls";
/// The repository, packed; its further pieces are `mayfly-repo-1` and so on.
pub const REPO: &str = "mayfly-repo";
/// The branch, packed likewise.
pub const BRANCH: &str = "mayfly-branch";
/// Profile.
pub const PROFILE: &str = "mayfly-profile";
/// Web UI.
pub const UI: &str = "mayfly-ui";
/// Size that was asked for.
pub const SIZE: &str = "mayfly-size";
/// Hours that a run may last, and when the present one began if it is not the first, packed.
pub const RUN: &str = "mayfly-run";
/// Description of the snapshot that it was asked for, packed; its further pieces likewise.
pub const NOTE: &str = "mayfly-note";
/// On a snapshot: when it was asked for; whether the VM had prepared its disk.
pub const ASKED: &str = "mayfly-asked";
/// `yes` or `no`.
pub const CLEAN: &str = "mayfly-clean";
/// `yes` on a VM that is made for its disk alone, and on the golden snapshot of that disk.
pub const GOLDEN: &str = "mayfly-golden";
/// `yes` where an idle VM may use up the hour that is paid.
pub const PAID_HOUR: &str = "mayfly-paid";
/// The value of a label that is there or not.
pub const YES: &str = "yes";
/// When the reaper first missed it, Unix seconds.
pub const MISSED: &str = "mayfly-missed";
/// Id of the signing key from which the VM's password and link key derive.
pub const KEY_ID: &str = "mayfly-key";

/// Whether a string is a label value: what configuration and provider modules check before they use one.
pub fn is_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    bytes.len() <= VALUE_MAX_CHARS
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-'))
}

/// Labels to write, in a fixed order.
pub type LabelSet = Vec<(String, String)>;

/// A change of labels: `None` takes the label away.
pub type LabelChange = (&'static str, Option<String>);

/// The labels that every resource of a deployment carries.
pub fn ours(deployment: &str) -> LabelSet {
    vec![(MANAGED_BY.into(), MAYFLY.into()), (DEPLOYMENT.into(), deployment.into())]
}

/// A query by labels: all pairs must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<(&'static str, String)>);

impl Selector {
    /// Everything of this deployment. There is no selector without it.
    pub fn deployment(deployment: &str) -> Self {
        Self(vec![(MANAGED_BY, MAYFLY.into()), (DEPLOYMENT, deployment.into())])
    }

    /// Narrows the query.
    #[must_use]
    pub fn and(mut self, key: &'static str, value: &str) -> Self {
        self.0.push((key, value.to_owned()));
        self
    }

    /// Keys and values, all of which must hold.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The deployment that it is confined to.
    pub fn deployment_name(&self) -> &str {
        self.0.iter().find(|(key, _)| *key == DEPLOYMENT).map_or("", |(_, value)| value.as_str())
    }

    /// Whether a resource's labels are among what the query asks for.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| labels.get(*key) == Some(value))
    }

    /// `k==v,k==v`, percent-encoded for a query string. Label characters need no encoding.
    pub fn to_query(&self) -> String {
        let mut out = String::new();
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "%2C" };
            let _ = write!(out, "{comma}{key}%3D%3D{value}");
        }
        out
    }
}

/// What our labels on one server say. Fields that are packed stay so until somebody shows them.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each field is the label of its name, documented above")]
pub struct VmLabels<'a> {
    pub managed: bool,
    pub deployment: Cow<'a, str>,
    pub vm: Cow<'a, str>,
    pub owner: Cow<'a, str>,
    pub phase: Phase,
    pub seen_secs: Option<u64>,
    pub active_secs: Option<u64>,
    pub idle_minutes: Option<u32>,
    pub expires_secs: Option<u64>,
    pub want: Cow<'a, str>,
    pub timing: Cow<'a, str>,
    pub reason: Cow<'a, str>,
    pub why: Cow<'a, str>,
    pub attention: Cow<'a, str>,
    pub idem: Cow<'a, str>,
    pub body: Cow<'a, str>,
    pub price: Option<Price>,
    pub hostkey: Cow<'a, str>,
    pub tls: Cow<'a, str>,
    pub repo: Pieces<'a>,
    pub branch: Pieces<'a>,
    pub profile: Cow<'a, str>,
    pub ui: Cow<'a, str>,
    pub size: Option<Size>,
    pub key_id: Cow<'a, str>,
    pub run: Cow<'a, str>,
    pub missed_secs: Option<u64>,
    pub note: Pieces<'a>,
    pub golden: bool,
    pub paid_hour: bool,
}

/// A text packed over several labels, in whatever order the provider lists them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pieces<'a>(Vec<(u8, Cow<'a, str>)>);

impl Pieces<'_> {
    fn into_owned(self) -> Pieces<'static> {
        Pieces(self.0.into_iter().map(|(index, value)| (index, owned(value))).collect())
    }

    /// The text; `None` where it is missing or was not packed by us.
    pub fn unpack(&self) -> Option<String> {
        match self.0.as_slice() {
            [] => None,
            [(0, only)] => unpack_text(&[only]),
            pieces => {
                let mut sorted: Vec<&(u8, Cow<'_, str>)> = pieces.iter().collect();
                sorted.sort_by_key(|(index, _)| *index);
                let whole = sorted.iter().enumerate().all(|(at, (index, _))| at == usize::from(*index));
                let values: Vec<&str> = sorted.iter().map(|(_, value)| value.as_ref()).collect();
                whole.then(|| unpack_text(&values)).flatten()
            }
        }
    }
}

impl<'a> VmLabels<'a> {
    /// Whether the VM has told that its last work is saved nowhere.
    pub fn is_unsaved(&self) -> bool {
        Reason::unpack(&self.reason).is_some_and(|it| it.code == Reason::NOT_SAVED)
    }

    /// Takes one label of a server in; labels that are not ours are passed over.
    pub fn take(&mut self, key: &str, value: Cow<'a, str>) {
        let Some(ours) = key.strip_prefix("mayfly-") else {
            if key == MANAGED_BY {
                self.managed = value == MAYFLY;
            }
            return;
        };
        match ours {
            "deployment" => self.deployment = value,
            "vm" => self.vm = value,
            "owner" => self.owner = value,
            "phase" => self.phase = Phase::parse(&value).unwrap_or_default(),
            "seen" => self.seen_secs = value.parse().ok(),
            "active" => self.active_secs = value.parse().ok(),
            "idle" => self.idle_minutes = value.parse().ok(),
            "expires" => self.expires_secs = value.parse().ok(),
            "want" => self.want = value,
            "timing" => self.timing = value,
            "reason" => self.reason = value,
            "why" => self.why = value,
            "attention" => self.attention = value,
            "idem" => self.idem = value,
            "body" => self.body = value,
            "price" => self.price = parse_price(&value),
            "hostkey" => self.hostkey = value,
            "tls" => self.tls = value,
            "profile" => self.profile = value,
            "ui" => self.ui = value,
            "size" => self.size = Size::parse(&value),
            "key" => self.key_id = value,
            "run" => self.run = value,
            "missed" => self.missed_secs = value.parse().ok(),
            "golden" => self.golden = value == YES,
            "paid" => self.paid_hour = value == YES,
            _ => {
                if let Some(index) = piece_index(ours, "repo") {
                    self.repo.0.push((index, value));
                } else if let Some(index) = piece_index(ours, "branch") {
                    self.branch.0.push((index, value));
                } else if let Some(index) = piece_index(ours, "note") {
                    self.note.0.push((index, value));
                }
            }
        }
    }

    /// Labels out of a map.
    pub fn from_map(map: BTreeMap<String, String>) -> VmLabels<'static> {
        let mut labels = VmLabels::default();
        for (key, value) in map {
            labels.take(&key, Cow::Owned(value));
        }
        labels
    }

    /// The same labels, independent of the answer that they were read from.
    pub fn into_owned(self) -> VmLabels<'static> {
        VmLabels {
            managed: self.managed,
            deployment: owned(self.deployment),
            vm: owned(self.vm),
            owner: owned(self.owner),
            phase: self.phase,
            seen_secs: self.seen_secs,
            active_secs: self.active_secs,
            idle_minutes: self.idle_minutes,
            expires_secs: self.expires_secs,
            want: owned(self.want),
            timing: owned(self.timing),
            reason: owned(self.reason),
            why: owned(self.why),
            attention: owned(self.attention),
            idem: owned(self.idem),
            body: owned(self.body),
            price: self.price,
            hostkey: owned(self.hostkey),
            tls: owned(self.tls),
            repo: self.repo.into_owned(),
            branch: self.branch.into_owned(),
            profile: owned(self.profile),
            ui: owned(self.ui),
            size: self.size,
            key_id: owned(self.key_id),
            run: owned(self.run),
            missed_secs: self.missed_secs,
            note: self.note.into_owned(),
            golden: self.golden,
            paid_hour: self.paid_hour,
        }
    }

    /// The ownership rule, in one place: a server is ours if it says so and names this deployment and an identity.
    pub fn belongs_to(&self, deployment: &str) -> bool {
        self.managed && self.deployment == deployment && !self.vm.is_empty()
    }
}

fn piece_index(key: &str, name: &str) -> Option<u8> {
    let rest = key.strip_prefix(name)?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('-')?.parse().ok().filter(|it| *it > 0) }
}

/// Labels for a text of any length, `key`, `key-1`, `key-2`…
pub fn pieces(key: &str, text: &str) -> LabelSet {
    let name = |index| if index == 0 { key.to_owned() } else { format!("{key}-{index}") };
    pack_text(text).into_iter().enumerate().map(|(index, value)| (name(index), value)).collect()
}

/// Pieces of a note at the most.
const NOTE_KEYS: [&str; 4] = [NOTE, "mayfly-note-1", "mayfly-note-2", "mayfly-note-3"];

/// The changes that write a note, and take away what is left of a longer one; `None` for one that is too long.
pub fn note(text: &str) -> Option<Vec<LabelChange>> {
    let mut pieces = pack_text(text).into_iter();
    let changes = NOTE_KEYS.map(|key| (key, pieces.next())).to_vec();
    pieces.next().is_none().then_some(changes)
}

/// `10472.EUR`: millionths per hour and currency.
pub fn pack_price(price: Price) -> String {
    format!("{}.{}", price.micros_per_hour, price.currency.as_str())
}

fn parse_price(value: &str) -> Option<Price> {
    let (micros, currency) = value.split_once('.')?;
    Some(Price { micros_per_hour: micros.parse().ok()?, currency: Currency::parse(currency)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &LabelSet) -> VmLabels<'_> {
        let mut read = VmLabels::default();
        labels.iter().rev().for_each(|(key, value)| read.take(key, value.as_str().into()));
        read
    }

    #[test]
    fn a_server_is_ours_only_with_our_three_labels() {
        let mut labels = ours("a");
        assert!(!read(&labels).belongs_to("a"), "no identity");
        labels.push((VM.into(), "x".into()));
        assert!(read(&labels).belongs_to("a"));
        assert!(!read(&labels).belongs_to("b"));
        labels[0].1 = "terraform".into();
        assert!(!read(&labels).belongs_to("a"));
    }

    #[test]
    fn selectors_always_name_the_deployment() {
        let selector = Selector::deployment("mayfly").and(OWNER, "ann");
        assert_eq!(
            selector.to_query(),
            "managed-by%3D%3Dmayfly%2Cmayfly-deployment%3D%3Dmayfly%2Cmayfly-owner%3D%3Dann"
        );
    }

    #[test]
    fn long_repositories_come_back_from_several_labels_in_any_order() {
        let url = format!("https://git.example.com/{}/r", "group/".repeat(30));
        let labels = pieces(REPO, &url);
        assert!(labels.len() > 2 && labels.iter().all(|(key, value)| is_value(value) && is_value(key)));
        assert_eq!(read(&labels).repo.unpack().as_deref(), Some(url.as_str()));
        let mut gap = labels.clone();
        gap.remove(1);
        assert_eq!(read(&gap).repo.unpack(), None, "a missing piece is no text");
    }

    #[test]
    fn prices_survive() {
        let price = Price { micros_per_hour: 11_273, currency: Currency::EUR };
        assert!(is_value(&pack_price(price)));
        assert_eq!(parse_price(&pack_price(price)), Some(price));
        assert_eq!(parse_price("free"), None);
    }
}
