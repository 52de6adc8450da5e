//! Labels in the alphabet of DigitalOcean's tags, and read back. Which tag goes on which resource, and when an old one is
//! taken away, is the provider's module's business.
//!
//! A tag is 1 to 255 characters of `[A-Za-z0-9_:-]`. It is an object of the account, shared by whatever carries it, and "case
//! stable": its first spelling stays (DigitalOcean API reference, "Tags"). So nothing is written in capitals, and what changes
//! is kept in few tags that name their one VM, not in one tag per label.
//!
//! `mayfly:<scope>:<vm>:<group><version>:<sum>:<at><count>:<text>` is piece `at` of `count` of a text that holds the labels of
//! a group. Of several versions the newest whole one counts: a write adds its tags before it takes the old ones away.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    ACTIVE, ATTENTION, DEPLOYMENT, EXPIRES, HOSTKEY, LabelSet, MANAGED_BY, MISSED, NOTE, PHASE, REASON, RUN,
    SEEN, TIMING, TLS, VM, WANT, WHY,
};
use crate::encoding::base32;

/// Longest tag, characters.
pub const TAG_MAX_CHARS: usize = 255;
/// Characters of a text in one tag: the frame before it has at most 60, and there is room to spare.
const PIECE_CHARS: usize = 180;
/// What the tags of a single resource begin with.
const OWN: &str = "mayfly";
/// Stands for the VM on resources that belong to none.
const NO_VM: &str = "none";
/// Our keys without this are shorter.
const PREFIX: &str = "mayfly-";
/// Digits of a piece's number.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Labels that change while a VM lives; the others are written once.
const CHANGING: [&str; 13] =
    [PHASE, SEEN, ACTIVE, EXPIRES, WANT, TIMING, REASON, WHY, ATTENTION, HOSTKEY, TLS, RUN, MISSED];

/// A part of a resource's labels that is written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What is written at creation and stays.
    Made,
    /// What changes.
    Now,
}

impl Group {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Made, Self::Now];

    fn letter(self) -> char {
        match self {
            Self::Made => 'm',
            Self::Now => 'n',
        }
    }

    /// Where a label belongs; `None` for those that are tags of their own.
    fn of(key: &str) -> Option<Self> {
        match key {
            MANAGED_BY | DEPLOYMENT | VM => None,
            _ if CHANGING.contains(&key) || key.starts_with(NOTE) => Some(Self::Now),
            _ => Some(Self::Made),
        }
    }
}

/// The tags by which everything of a deployment is found: they are shared and never change.
pub fn shared(deployment: &str) -> [String; 2] {
    [format!("{MANAGED_BY}:{}", super::MAYFLY), deployment_tag(deployment)]
}

/// The tag of a deployment: what is listed by, and what the firewall applies to.
pub fn deployment_tag(deployment: &str) -> String {
    format!("{DEPLOYMENT}:{}", escape(deployment))
}

/// What every own tag of a deployment begins with.
pub fn own_prefix(deployment: &str) -> String {
    let digest = Sha256::digest(deployment.as_bytes());
    format!("{OWN}:{}:", base32(&digest[..5]))
}

/// All tags of a new resource.
pub fn all(labels: &LabelSet) -> Vec<String> {
    let map: BTreeMap<String, String> = labels.iter().cloned().collect();
    let deployment = map.get(DEPLOYMENT).map_or("", String::as_str);
    let own = Group::ALL.into_iter().flat_map(|group| own(&map, group, 0));
    shared(deployment).into_iter().chain(own).collect()
}

/// The own tags of one group, in this version.
pub fn own(labels: &BTreeMap<String, String>, group: Group, version: u32) -> Vec<String> {
    let text = text(labels.iter().filter(|(key, _)| Group::of(key) == Some(group)));
    let deployment = labels.get(DEPLOYMENT).map_or("", String::as_str);
    let vm = labels
        .get(VM)
        .filter(|it| !it.is_empty())
        .map_or(NO_VM.to_owned(), |it| escape(it).replace(':', "-"));
    let frame = format!("{}{vm}:{}{version}:{}", own_prefix(deployment), group.letter(), sum(&text));
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(PIECE_CHARS).collect();
    // An empty group is one empty piece, so that its version counts.
    let pieces = if pieces.is_empty() { vec![&b""[..]] } else { pieces };
    let digit = |it: usize| char::from(DIGITS[it % DIGITS.len()]);
    let piece = |(at, piece): (usize, &&[u8])| {
        format!("{frame}:{}{}:{}", digit(at), digit(pieces.len()), String::from_utf8_lossy(piece))
    };
    pieces.iter().enumerate().map(piece).collect()
}

/// The newest version of a group among tags, for the next one to be newer.
pub fn newest(tags: &[String], group: Group) -> u32 {
    tags.iter()
        .filter_map(|it| Own::parse(it))
        .filter(|it| it.group == group)
        .map(|it| it.version)
        .max()
        .unwrap_or(0)
}

/// Whether a tag is an own one of this group.
pub fn is_of(tag: &str, group: Group) -> bool {
    Own::parse(tag).is_some_and(|it| it.group == group)
}

/// The labels that tags say; tags that are not ours are passed over.
pub fn read<'a>(tags: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut versions: BTreeMap<(char, u32, &str), BTreeMap<usize, Own<'_>>> = BTreeMap::new();
    for tag in tags {
        if let Some(own) = Own::parse(tag) {
            let version = versions.entry((own.group.letter(), own.version, own.sum)).or_default();
            version.insert(own.at, own);
        } else if let Some((key @ (MANAGED_BY | DEPLOYMENT), value)) = tag.split_once(':') {
            labels.extend(unescape(value).map(|value| (key.to_owned(), value)));
        }
    }
    // In order of version: what comes later replaces what came before.
    let mut newest: BTreeMap<char, (String, &str)> = BTreeMap::new();
    for ((letter, _, sum_of_text), pieces) in &versions {
        let Some(count) = pieces.values().next().map(|it| it.count) else { continue };
        let text: String = pieces.values().map(|it| it.text).collect();
        if pieces.len() == count && pieces.values().all(|it| it.count == count) && sum(&text) == *sum_of_text
        {
            let vm = pieces.values().next().map_or("", |it| it.vm);
            newest.insert(*letter, (text, vm));
        }
    }
    for (text, vm) in newest.into_values() {
        if vm != NO_VM {
            labels.insert(VM.to_owned(), vm.to_owned());
        }
        labels.extend(read_text(&text));
    }
    labels
}

/// Labels as one text in the tag alphabet: keys without their usual prefix, `:1` before a value, `:2` after it.
pub fn text<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pair = |(key, value): (&String, &String)| {
        format!("{}:1{}:2", escape(key.strip_prefix(PREFIX).unwrap_or(key)), escape(value))
    };
    labels.into_iter().map(pair).collect()
}

/// The inverse of [`text`]; what cannot be read is left out.
pub fn read_text(text: &str) -> BTreeMap<String, String> {
    let pair = |it: &str| {
        let (key, value) = it.split_once(":1")?;
        Some((format!("{PREFIX}{}", unescape(key)?), unescape(value)?))
    };
    text.split(":2").filter_map(pair).collect()
}

/// A piece of a group.
struct Own<'a> {
    vm: &'a str,
    group: Group,
    version: u32,
    sum: &'a str,
    at: usize,
    count: usize,
    text: &'a str,
}

impl<'a> Own<'a> {
    fn parse(tag: &'a str) -> Option<Self> {
        let mut parts = tag.splitn(7, ':');
        let (own, _scope, vm) = (parts.next()?, parts.next()?, parts.next()?);
        let (version, sum, number, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let group = Group::ALL.into_iter().find(|it| version.starts_with(it.letter()))?;
        let digit = |at: usize| {
            let byte = number.as_bytes().get(at)?;
            DIGITS.iter().position(|it| it == byte)
        };
        let is_ours = own == OWN && number.len() == 2;
        is_ours.then_some(())?;
        Some(Self {
            vm,
            group,
            version: version.get(1..)?.parse().ok()?,
            sum,
            at: digit(0)?,
            count: digit(1)?,
            text,
        })
    }
}

/// Tells two texts of the same version apart, which two writers at the same moment would make.
fn sum(text: &str) -> String {
    base32(&Sha256::digest(text.as_bytes())[..5])
}

/// Small letters, digits, `-` and `_` stand for themselves; a capital is `:` and its small letter, `.` is `:0`.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for it in value.chars() {
        match it {
            'A'..='Z' => out.extend([':', it.to_ascii_lowercase()]),
            '.' => out.push_str(":0"),
            _ => out.push(it),
        }
    }
    out
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(it) = chars.next() {
        out.push(match it {
            ':' => match chars.next()? {
                '0' => '.',
                letter @ 'a'..='z' => letter.to_ascii_uppercase(),
                _ => return None,
            },
            it => it,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::labels::{BODY, IDEM, OWNER, REPO, is_value, ours, pieces};

    /// By the pattern of the vendor's document, and without capitals.
    fn is_tag(tag: &str) -> bool {
        (1..=TAG_MAX_CHARS).contains(&tag.len())
            && tag.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_:-".contains(&it))
    }

    fn refs(tags: &[String]) -> impl Iterator<Item = &str> {
        tags.iter().map(String::as_str)
    }

    const VALUE: &str = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?";

    proptest! {
        #[test]
        fn any_owner_repository_and_time_survives_inside_the_vendors_syntax(
            deployment in VALUE, owner in VALUE, repo in "(https://)?.{0,300}", at in any::<u64>(), version in any::<u32>(),
        ) {
            let mut set = ours(&deployment);
            set.push((VM.into(), "abcdefghijklmnopqrstuvwxyz".into()));
            set.push((OWNER.into(), owner));
            set.push((SEEN.into(), at.to_string()));
            set.extend(pieces(REPO, &repo));
            prop_assert!(set.iter().all(|(_, value)| is_value(value)));
            let tags = all(&set);
            prop_assert!(tags.iter().all(|it| is_tag(it)), "{:?}", tags);
            let map: BTreeMap<String, String> = set.into_iter().collect();
            prop_assert_eq!(&read(refs(&tags)), &map);
            prop_assert!(own(&map, Group::Now, version).iter().all(|it| is_tag(it)));
        }

        #[test]
        fn reading_garbage_never_panics(tags in prop::collection::vec("(mayfly:)?[a-z0-9:_-]{0,80}|.{0,80}", 0..6)) {
            let _ = read(refs(&tags));
        }
    }

    fn labels(phase: &str) -> BTreeMap<String, String> {
        let mut map: BTreeMap<String, String> = ours("mayfly").into_iter().collect();
        for (key, value) in [(VM, "vmvmvm"), (PHASE, phase), (OWNER, "Ann.B"), (IDEM, "i"), (BODY, "b")] {
            map.insert(key.into(), value.into());
        }
        map
    }

    #[test]
    fn the_newest_whole_version_counts() {
        let made = all(&labels("booting").into_iter().collect());
        let newer = own(&labels("ready"), Group::Now, 1);
        let both: Vec<String> = made.iter().chain(&newer).cloned().collect();
        assert_eq!(read(refs(&both)), labels("ready"));
        assert_eq!(newest(&both, Group::Now), 1);
        assert_eq!(newest(&both, Group::Made), 0);

        let mut long = labels("ready");
        long.insert(REASON.into(), "a".repeat(63));
        long.insert(WHY.into(), "b".repeat(63));
        long.insert(WANT.into(), "c".repeat(63));
        let mut half = own(&long, Group::Now, 2);
        assert!(half.len() > 1, "{half:?}");
        half.pop();
        let with_half: Vec<String> = both.iter().chain(&half).cloned().collect();
        assert_eq!(read(refs(&with_half)), labels("ready"), "half a write is none");
    }

    #[test]
    fn two_writers_at_the_same_moment_leave_one_of_their_texts_whole() {
        let made = all(&labels("booting").into_iter().collect());
        let (one, other) = (own(&labels("clone"), Group::Now, 1), own(&labels("docker"), Group::Now, 1));
        let tags: Vec<String> = made.into_iter().chain(one).chain(other).collect();
        let read = read(refs(&tags));
        assert!([labels("clone"), labels("docker")].contains(&read), "{read:?}");
    }

    #[test]
    fn spellings_that_differ_in_capitals_alone_are_different_tags() {
        assert_eq!(deployment_tag("Dev.eu"), "mayfly-deployment::dev:0eu");
        assert_ne!(deployment_tag("Dev").to_ascii_lowercase(), deployment_tag("dev").to_ascii_lowercase());
    }
}
