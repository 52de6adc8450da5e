//! Backups as names: which workspace a repository is, where its objects lie in the bucket, the password of its contents. What restic sends and gets is `api::backup`'s business; encryption and deduplication are restic's own.
//!
//! A key is `<deployment>/<owner>/<name>/` and then as restic's REST protocol names things below a repository.

use std::fmt::Write as _;

use crate::encoding::base64url;
use crate::keys::{self, Claims};
use crate::model::Vm;
use crate::repo_url::RepoUrl;
use crate::secret::Secret;

/// Largest body that is stored, bytes. Cloudflare takes 100 MB; restic's packs have 32 MiB and a little.
pub const OBJECT_MAX_BYTES: u64 = 95_000_000;

/// What the objects of a repository are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are restic's")]
pub enum Kind {
    Data,
    Index,
    Keys,
    Locks,
    Snapshots,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Data, Self::Index, Self::Keys, Self::Locks, Self::Snapshots];

    /// The word in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Index => "index",
            Self::Keys => "keys",
            Self::Locks => "locks",
            Self::Snapshots => "snapshots",
        }
    }
}

/// What a path below a repository names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The repository itself: the empty path.
    Repository,
    /// Its one file without a digest for a name.
    Config,
    /// All objects of a kind.
    List(Kind),
    /// One object; its name is the SHA-256 of what is in it, in lower-case hexadecimal.
    Object(Kind, &'a str),
}

impl<'a> Target<'a> {
    /// Reads a path as it stands in the request line. There is one way to write each: nothing is decoded or collapsed.
    pub fn parse(path: &'a str) -> Option<Self> {
        if path.is_empty() {
            return Some(Self::Repository);
        }
        if path == "config" {
            return Some(Self::Config);
        }
        let (kind, id) = path.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|it| it.as_str() == kind)?;
        match id {
            "" => Some(Self::List(kind)),
            _ if is_id(id) => Some(Self::Object(kind, id)),
            _ => None,
        }
    }
}

/// Whether this is the form of an object's name, and so of a backup's id: a SHA-256 in lower-case hexadecimal.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of the workspace that an owner has of a repository: host and path, however the URL was written.
/// `github.com~octo~Hello-World`; what is neither letter nor digit nor one of `.-_` is `=` and two hexadecimal digits.
pub fn name(repo: &RepoUrl) -> String {
    let mut name = String::with_capacity(repo.as_str().len());
    escape(&mut name, repo.host());
    for part in repo.path().split('/').filter(|it| !it.is_empty()) {
        name.push('~');
        escape(&mut name, part);
    }
    name
}

/// What a capability for backups names: the workspace's place below the deployment.
pub fn workspace(owner: &str, repo: &RepoUrl) -> String {
    format!("{owner}/{}", name(repo))
}

/// The same for a VM: what its capability says, else what its labels do; `None` where neither tells.
pub fn workspace_of(claims: &Claims, vm: &Vm<'_>) -> Option<String> {
    if !claims.workspace.is_empty() {
        return Some(claims.workspace.clone());
    }
    let repo = RepoUrl::parse(&vm.labels.repo.unpack()?).ok()?;
    (!vm.labels.owner.is_empty()).then(|| workspace(&vm.labels.owner, &repo))
}

/// The password of a workspace's repository: every VM of it gets the same, and nobody stores it.
pub fn password(key: &Secret, workspace: &str) -> Secret {
    let bytes = keys::derive(key.expose().as_bytes(), "backup", &[workspace.as_bytes()]);
    Secret::new(base64url(&bytes))
}

/// The repository of a name: host and path. What is no name of ours comes back as it is.
pub fn repository(name: &str) -> String {
    let mut parts = name.replace('~', "/");
    let mut from = 0;
    while let Some(at) = parts[from..].find('=').map(|at| from + at) {
        let byte = parts.get(at + 1..at + 3).and_then(|it| u8::from_str_radix(it, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii_graphic) {
            parts.replace_range(at..at + 3, &char::from(byte).to_string());
        }
        from = at + 1;
    }
    parts
}

fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            out.push(byte.into());
        } else {
            let _ = write!(out, "={byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name_of(url: &str) -> String {
        name(&RepoUrl::parse(url).unwrap_or_else(|why| panic!("{url} {why}")))
    }

    #[test]
    fn a_repository_is_one_workspace_however_it_is_written() {
        for url in [
            "https://github.com/octo/Hello-World",
            "https://GitHub.com/octo/Hello-World.git",
            "https://github.com//octo/Hello-World.git/",
            "ssh://git@github.com:22/octo/Hello-World",
            "git@github.com:octo/Hello-World.git",
            "git@github.com:/octo/Hello-World",
        ] {
            assert_eq!(name_of(url), "github.com~octo~Hello-World", "{url}");
        }
        assert_eq!(name_of("https://git.sr.ht/~ann/x+y"), "git.sr.ht~=7eann~x=2by");
        assert_ne!(name_of("https://git.sr.ht/a/b"), name_of("https://git.sr.ht/a~b"));
        assert_eq!(repository("git.sr.ht~=7eann~x=2by"), "git.sr.ht/~ann/x+y");
        assert_eq!(repository("=~=3=zz=3d=7e=c3="), "=/=3=zz=~=c3=");
        assert_eq!(name_of("https://[2606:4700::1]/a/b"), "=5b2606=3a4700=3a=3a1=5d~a~b");
    }

    #[test]
    fn a_target_has_one_way_to_be_written() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(Target::parse(""), Some(Target::Repository));
        assert_eq!(Target::parse("config"), Some(Target::Config));
        assert_eq!(Target::parse("locks/"), Some(Target::List(Kind::Locks)));
        assert_eq!(Target::parse(&format!("data/{id}")), Some(Target::Object(Kind::Data, &id)));
        for path in [
            "/".to_owned(),
            "config/".to_owned(),
            "Config".to_owned(),
            "data".to_owned(),
            "data//".to_owned(),
            format!("/data/{id}"),
            format!("data//{id}"),
            format!("data/./{id}"),
            format!("data/../keys/{id}"),
            format!("data%2f{id}"),
            format!("data/{}", id.to_uppercase()),
            format!("data/{}", &id[1..]),
            format!("data/{id}0"),
            format!("data/{id}/"),
            format!("other/{id}"),
            format!("data/%30{}", &id[1..]),
        ] {
            assert_eq!(Target::parse(&path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,40}|[=~0-9a-f]{0,20}") {
            let _ = repository(&name);
        }

        #[test]
        fn whatever_the_path_a_target_says_it_again(path in "\\PC{0,80}|(data|keys|locks)/[0-9a-fA-F]{60,66}") {
            let again = Target::parse(&path).map(|it| match it {
                Target::Repository => String::new(),
                Target::Config => "config".to_owned(),
                Target::List(kind) => format!("{}/", kind.as_str()),
                Target::Object(kind, id) => format!("{}/{id}", kind.as_str()),
            });
            prop_assert!(again.is_none_or(|it| it == path));
        }

        #[test]
        fn names_are_one_segment(url in "(https://|ssh://|git@)[a-z]{1,9}[.:]com[/:][A-Za-z0-9.~+_@/-]{1,40}") {
            if let Ok(url) = RepoUrl::parse(&url) {
                let (url, name) = (&url, name(&url));
                let path = url.path().split('/').filter(|it| !it.is_empty()).collect::<Vec<_>>().join("/");
                prop_assert_eq!(repository(&name), format!("{}/{path}", url.host()));
                prop_assert!(name.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_~=".contains(&it)));
                prop_assert!(name.contains('~') && !name.starts_with('.'));
            }
        }
    }
}
