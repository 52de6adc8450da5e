//! Labels packed into the name of a server or snapshot, for OVHcloud, whose API v1 knows no labels or tags, and read back.
//! When a name is written is the provider's module's business.
//!
//! A name is at most 255 characters (OpenStack Compute API, "Create Server", `name`; Image API, "Create image", `name`).
//! Host names that OpenStack derives from names must not end in a number behind a dot, and dots are rare enough to do
//! without, so what is written has the alphabet of base64url alone (RFC 4648 section 5).
//!
//! `<host name>_<sum><entries>`, for a snapshot `mayfly_<sum><entries> <description>`: what people read stays readable. What
//! stands before the first `_` may be changed by hand, the rest may not: the sum would not hold, and the server would not be
//! ours any more. Every entry says with its first character which label it is, and ends where its form says.
//!
//! What does not fit is left out: the labels are written in the order of `TABLE`, and one that has no room any more is
//! passed over. The first four always have room, however long deployment and owner are, beside a name of 63 characters.

mod form;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    ACTIVE, ASKED, ATTENTION, BODY, BRANCH, CLEAN, DEPLOYMENT, EXPIRES, GOLDEN, HOSTKEY, IDEM, IDLE, KEY_ID,
    MANAGED_BY, MAYFLY, MISSED, OWNER, PAID_HOUR, PHASE, PRICE, PROFILE, REASON, REPO, RUN, SEEN, SIZE,
    TIMING, TLS, UI, VM, WANT, WHY,
};
use crate::encoding::base64url;
use form::{Form, OTHER, Reader, digit, plain};

/// Longest name, characters.
pub const NAME_MAX_CHARS: usize = 255;
/// Characters of the sum: 24 bits tell our names from other people's.
const SUM_CHARS: usize = 4;

/// Labels by their importance. Their places are what names hold: new ones go to the end.
const TABLE: [(&str, Form); 31] = [
    (DEPLOYMENT, Form::Plain),
    (VM, Form::Bytes(16)),
    (OWNER, Form::Plain),
    (EXPIRES, Form::Number(6)),
    (IDEM, Form::Bytes(16)),
    (BODY, Form::Bytes(16)),
    (KEY_ID, Form::Plain),
    (PHASE, Form::Word),
    (WANT, Form::Plain),
    (RUN, Form::Plain),
    (ACTIVE, Form::Number(6)),
    (SEEN, Form::Number(6)),
    (IDLE, Form::Number(2)),
    (MISSED, Form::Number(6)),
    (ASKED, Form::Number(6)),
    (CLEAN, Form::Plain),
    (PRICE, Form::Price),
    (REASON, Form::Plain),
    (ATTENTION, Form::Word),
    (PROFILE, Form::Word),
    (UI, Form::Word),
    (SIZE, Form::Word),
    (REPO, Form::Text),
    // Nobody vouches for a certificate of its own but its SHA-256.
    (TLS, Form::Certificate("s.")),
    (HOSTKEY, Form::Bytes(32)),
    (TIMING, Form::Plain),
    (BRANCH, Form::Text),
    (TLS, Form::Certificate("t.")),
    (WHY, Form::Plain),
    (GOLDEN, Form::Plain),
    (PAID_HOUR, Form::Plain),
];
/// Labels without which nothing is written.
const REQUIRED: usize = 4;

/// The name of a server that carries labels; `None` where even the first four do not fit.
pub fn of_server(host_name: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    pack(labels, host_name, "")
}

/// The name of a snapshot that carries labels; `None` where it would be too long.
pub fn of_snapshot(description: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    // Nobody keeps a space at the end of a name.
    let back = if description.is_empty() { String::new() } else { format!(" {description}") };
    pack(labels, MAYFLY, &back)
}

/// What stands before and behind the labels, and the labels; `None` for names that are not ours.
pub fn read(name: &str) -> Option<(&str, BTreeMap<String, String>, &str)> {
    let (front, rest) = name.split_once('_')?;
    let (packed, back) = rest.split_once(' ').unwrap_or((rest, ""));
    let (its_sum, entries) = packed.split_at_checked(SUM_CHARS)?;
    if sum(entries) != its_sum {
        return None;
    }
    let mut labels = BTreeMap::from([(MANAGED_BY.to_owned(), MAYFLY.to_owned())]);
    let mut reader = Reader(entries);
    while !reader.0.is_empty() {
        labels.extend(reader.entry()?);
    }
    Some((front, labels, back))
}

fn pack(labels: &BTreeMap<String, String>, front: &str, back: &str) -> Option<String> {
    let room = NAME_MAX_CHARS.checked_sub(front.len() + 1 + SUM_CHARS + back.len())?;
    let mut entries = String::new();
    for (place, (key, form)) in TABLE.iter().enumerate() {
        let Some(value) = labels.get(*key) else { continue };
        match form::entry(place, key, *form, value, labels) {
            Some(entry) if entries.len() + entry.len() <= room => entries.push_str(&entry),
            _ if place < REQUIRED => return None,
            _ => {}
        }
    }
    for (key, value) in labels.iter().filter(|(key, _)| !is_known(key)) {
        let entry = plain(key).zip(plain(value)).map(|(key, value)| format!("{}{key}{value}", digit(OTHER)));
        entries.extend(entry.filter(|it| entries.len() + it.len() <= room));
    }
    Some(format!("{front}_{}{entries}{back}", sum(&entries)))
}

/// Known labels, and the further pieces of those that have some.
fn is_known(key: &str) -> bool {
    let is_piece = |of: &str| {
        let number = key.strip_prefix(of).and_then(|it| it.strip_prefix('-'));
        number.is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
    };
    key == MANAGED_BY || TABLE.iter().any(|(it, _)| *it == key) || is_piece(REPO) || is_piece(BRANCH)
}

fn sum(entries: &str) -> String {
    base64url(&Sha256::digest(entries.as_bytes())[..SUM_CHARS * 6 / 8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::form::{DIGITS, WORDS};
    use super::*;
    use crate::encoding::base32;
    use crate::labels::{Certificate, is_value, ours, pieces};
    use crate::model::{Phase, Size};
    use crate::workspace::{Profile, WebUi};

    const VALUE: &str = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?";
    const HOST_NAME: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
    const ID: &str = "[a-z2-7]{25}[aeimquy4]";

    fn map<'a>(set: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
        let mut map: BTreeMap<String, String> = ours("mayfly").into_iter().collect();
        map.extend(set.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        map
    }

    /// As they are when a workspace is ready.
    fn usual() -> BTreeMap<String, String> {
        let mut labels = map([
            (VM, "abcdefghijklmnopqrstuvwxy4"),
            (OWNER, "default"),
            (EXPIRES, "1795172400"),
            (IDEM, "bbcdefghijklmnopqrstuvwxy4"),
            (BODY, "cbcdefghijklmnopqrstuvwxy4"),
            (KEY_ID, "k1"),
            (PHASE, "ready"),
            (ACTIVE, "1795168800"),
            (SEEN, "1795168800"),
            (IDLE, "30"),
            (PRICE, "11424.EUR"),
            (PROFILE, "coding"),
            (UI, "cloudcli"),
            (SIZE, "medium"),
            (TIMING, "d12.c3.v40.u8"),
        ]);
        labels.insert(HOSTKEY.into(), base32(&[7; 32]));
        labels.extend(pieces(REPO, "https://github.com/octo/Hello-World"));
        labels
    }

    fn is_name(name: &str) -> bool {
        name.len() <= NAME_MAX_CHARS
            && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    }

    proptest! {
        #[test]
        fn identity_owner_and_expiry_survive_beside_anything(
            name in HOST_NAME, deployment in VALUE, owner in VALUE, vm in ID, repo in "(https://)?.{0,300}",
            expires in 0..68_000_000_000_u64, reason in VALUE, other in VALUE,
        ) {
            let expires = expires.to_string();
            let mut labels = usual();
            let first = [(DEPLOYMENT, &deployment), (VM, &vm), (OWNER, &owner), (EXPIRES, &expires)];
            for (key, value) in first.into_iter().chain([(REASON, &reason), ("mayfly-other", &other)]) {
                labels.insert(key.into(), value.clone());
            }
            labels.retain(|key, _| !key.starts_with(REPO));
            labels.extend(pieces(REPO, &repo));
            let packed = of_server(&name, &labels).expect("room for the first four");
            prop_assert!(is_name(&packed), "{}", packed);
            let (front, read, back) = read(&packed).expect("ours");
            prop_assert_eq!((front, back), (name.as_str(), ""));
            for (key, value) in first {
                prop_assert_eq!(read.get(key), Some(value));
            }
            // What is there is what was written, and of a text all or nothing.
            for (key, value) in &read {
                prop_assert_eq!(labels.get(key), Some(value));
            }
            let repos = |it: &BTreeMap<String, String>| it.keys().filter(|it| it.starts_with(REPO)).count();
            prop_assert!([0, repos(&labels)].contains(&repos(&read)));
        }

        #[test]
        fn single_labels_survive_whatever_they_say(
            place in 0..TABLE.len(),
            value in prop_oneof![VALUE, ID, "[a-z2-7]{52}", "[ts].[a-z2-7]{52}", "[0-9]{1,20}", "[0-9]{1,12}.[A-Z]{3}"],
        ) {
            let (key, form) = TABLE[place];
            prop_assume!(is_value(&value) && !matches!(form, Form::Text | Form::Certificate(_)));
            let labels = map([(key, value.as_str())]);
            let packed = of_server("x", &labels).expect("room");
            prop_assert_eq!(read(&packed).map(|it| it.1), Some(labels));
        }

        #[test]
        fn texts_survive_whatever_they_say(repo in "(https://(github.com/)?)?[a-zA-Z0-9._/:@~é-]{0,60}") {
            let mut labels = map([]);
            labels.extend(pieces(REPO, &repo));
            let packed = of_server("x", &labels).expect("room");
            prop_assert_eq!(read(&packed).map(|it| it.1), Some(labels));
        }

        #[test]
        fn descriptions_survive_and_say_nothing_about_labels(description in ".{0,60}|[a-z]_[A-Za-z0-9_-]{0,40} x") {
            let labels = map([(OWNER, "ann")]);
            let packed = of_snapshot(&description, &labels).expect("room");
            prop_assert_eq!(read(&packed), Some(("mayfly", labels, description.as_str())));
        }

        #[test]
        fn reading_garbage_never_panics(name in "[a-z]_[A-Za-z0-9_-]{0,80}|.{0,80}", entries in "[A-Za-z0-9_-]{0,60}|.{0,20}") {
            let _ = read(&name);
            let _ = read(&format!("x_{}{entries}", sum(&entries)));
        }

        #[test]
        fn a_name_that_was_changed_is_not_ours(at in 0_usize..200, to in "[A-Za-z0-9-]") {
            let packed = of_server("box", &usual()).expect("room");
            let at = 4 + at % (packed.len() - 4);
            let mut changed = packed.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == packed || read(&changed).is_none(), "{}", changed);
        }
    }

    #[test]
    fn all_that_a_ready_workspace_says_fits() {
        let packed = of_server("mayfly-hello-world-abcd", &usual()).expect("room");
        assert_eq!(read(&packed).map(|it| it.1), Some(usual()), "{} characters", packed.len());
        assert!(packed.starts_with("mayfly-hello-world-abcd_"), "people know it by its name");
    }

    #[test]
    fn what_does_not_fit_goes_in_the_order_of_the_table() {
        let mut labels = usual();
        labels.insert(WHY.into(), "a0.t1.f12.c3.s4.b5.k6".into());
        labels.extend(pieces(BRANCH, &"b".repeat(60)));
        let trusted = Certificate { is_trusted: true, sha256: [9; 32] }.pack();
        labels.insert(TLS.into(), trusted);
        let read_back = |labels: &BTreeMap<String, String>| {
            let packed = of_server("mayfly-hello-world-abcd", labels).expect("room");
            read(&packed).expect("ours").1
        };
        let left = read_back(&labels);
        assert!([REPO, HOSTKEY, TIMING].iter().all(|it| left.contains_key(*it)), "{left:?}");
        assert!([WHY, BRANCH, TLS].iter().all(|it| !left.contains_key(*it)), "{left:?}");
        // Without a certificate that others vouch for its SHA-256 goes before the key of SSH.
        labels.insert(TLS.into(), Certificate { is_trusted: false, sha256: [9; 32] }.pack());
        let left = read_back(&labels);
        assert!(left.contains_key(TLS) && !left.contains_key(HOSTKEY), "{left:?}");
        // A long repository goes alone.
        labels.retain(|key, _| !key.starts_with(REPO));
        labels.extend(pieces(REPO, &format!("https://git.example.com/{}", "group/".repeat(30))));
        let left = read_back(&labels);
        assert!(!left.keys().any(|it| it.starts_with(REPO)) && left.contains_key(TLS), "{left:?}");
        assert_eq!(left.get(SIZE), labels.get(SIZE));
    }

    #[test]
    fn the_words_that_labels_hold_take_one_character() {
        let words = Phase::ALL.map(Phase::as_str).into_iter().chain(Size::ALL.map(Size::as_str));
        let words = words.chain(WebUi::ALL.map(WebUi::as_str)).chain(Profile::ALL.map(Profile::as_str));
        for word in words.chain(["stop", "snapshot", "waiting", "done"]) {
            assert!(WORDS.contains(&word), "{word}");
        }
        assert!(TABLE.len() <= OTHER && WORDS.len() <= DIGITS.len());
    }

    #[test]
    fn other_peoples_names_are_not_ours() {
        for name in ["", "web-1", "db_1", "mayfly-x", "mayfly_", "mayfly-x_AAAAAAAAAAA", "_", "é_é"] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    /// Names are what servers carry for days: what an older build wrote must be read by this one.
    #[test]
    fn what_is_written_stays_readable() {
        let labels =
            map([(VM, "abcdefghijklmnopqrstuvwxy4"), (OWNER, "a.b"), (EXPIRES, "1795172400"), (PHASE, "ui")]);
        let packed = of_server("box", &labels).expect("room");
        assert_eq!(packed, "box_wNSHAGAmayflyBAEQyFMdCVLY1z4RlOlbXxwCDAaAbDBrACgwHE");
        assert_eq!(read(&packed).map(|it| it.1), Some(labels));
    }
}
