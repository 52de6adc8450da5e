//! Labels as flat tags `key=value`, as Scaleway keeps them, and read back. A listing asks for several tags with commas between
//! them (Scaleway Instance API, `tags` of "List all Instances"), so a tag must not hold one; no label does.

use std::collections::BTreeMap;

/// One tag per label.
pub fn pack<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The labels that tags say; of tags without `=`, which are not ours, none.
pub fn read<'a>(tags: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let pair = |it: &'a str| it.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    tags.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::labels::{OWNER, REPO, SEEN, ours, pieces};

    proptest! {
        #[test]
        fn any_owner_repository_and_time_survives_and_holds_no_comma(
            owner in "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", repo in ".{0,300}", at in any::<u64>(),
        ) {
            let mut set = ours("mayfly");
            set.push((OWNER.into(), owner));
            set.push((SEEN.into(), at.to_string()));
            set.extend(pieces(REPO, &repo));
            let map: BTreeMap<String, String> = set.into_iter().collect();
            let tags = pack(map.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            prop_assert!(tags.iter().all(|it| !it.contains(',') && it.bytes().all(|it| it.is_ascii_graphic())));
            prop_assert_eq!(read(tags.iter().map(String::as_str)), map);
        }
    }
}
