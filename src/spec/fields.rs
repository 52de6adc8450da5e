//! The fields of a request body, taken one by one: each checked for itself, every problem kept with its field. What they make together
//! is `spec`'s.

use serde_json::{Map, Value};

use super::{FieldProblem, Restore, STAND_IN_REPO, Start, parse};
use crate::backup;
use crate::config::Defaults;
use crate::deploy_key;
use crate::model::ProviderName;
use crate::repo_url::RepoUrl;
use crate::secret::Secret;
use crate::ssh_key::SshPublicKey;

/// Longest secret, characters.
const SECRET_MAX_CHARS: usize = 4096;
const SECRET_SHAPE: &str = "must be at most 4,096 printable ASCII characters without spaces";
const KEY_TOO_LONG: &str =
    "is a private key of more than 4,096 characters; an Ed25519 key ('ssh-keygen -t ed25519') is far shorter";
/// Environment variables at the most, and bytes of all their names and values together: they travel in the user data.
const ENV_MAX_VARS: usize = 50;
const ENV_MAX_BYTES: usize = 4096;
/// Networks in `allow_from` at the most.
const ALLOW_FROM_MAX: usize = 20;

/// The fields that have not been read yet, and what was wrong with the others.
pub(super) struct Fields {
    fields: Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl Fields {
    /// Nothing has been read yet.
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self { fields, problems: Vec::new() }
    }

    /// Whether a field is given, and not null.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|it| !it.is_null())
    }

    pub(super) fn problem(&mut self, field: &str, detail: impl Into<String>) {
        self.problems.push(FieldProblem { field: field.to_owned(), detail: detail.into() });
    }

    /// Takes a field out; null is the same as absent.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|it| !it.is_null())
    }

    /// A string that is not empty.
    pub(super) fn string(&mut self, field: &str) -> Option<String> {
        let Value::String(text) = self.take(field)? else {
            self.problem(field, "must be a string");
            return None;
        };
        Some(text).filter(|it| !it.is_empty())
    }

    pub(super) fn checked(
        &mut self,
        field: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<String> {
        let text = self.string(field)?;
        match check(&text) {
            Ok(()) => Some(text),
            Err(detail) => {
                self.problem(field, detail);
                None
            }
        }
    }

    pub(super) fn choice<T>(
        &mut self,
        field: &str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
        known: &[&str],
    ) -> T {
        let Some(text) = self.string(field) else { return default };
        parse(&text).unwrap_or_else(|| {
            self.problem(field, format!("must be one of {}", known.join(", ")));
            default
        })
    }

    pub(super) fn number(&mut self, field: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let Some(value) = self.take(field) else { return default };
        match value.as_u64().and_then(|it| u32::try_from(it).ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                self.problem(
                    field,
                    format!("must be a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    pub(super) fn boolean(&mut self, field: &str) -> bool {
        match self.take(field) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.problem(field, "must be true or false");
                false
            }
        }
    }

    pub(super) fn repo_url(&mut self) -> Option<RepoUrl> {
        let before = self.problems.len();
        let text = self.string("repo_url").unwrap_or_default();
        match RepoUrl::parse(&text) {
            Ok(url) => Some(url),
            Err(detail) => {
                // A wrong type has been reported already.
                if self.problems.len() == before {
                    self.problem("repo_url", detail);
                }
                self.read_the_rest();
                None
            }
        }
    }

    /// Without a repository there is no [`Spec`](super::Spec) to build, but every other field is still checked.
    pub(super) fn read_the_rest(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.insert("repo_url".into(), STAND_IN_REPO.into());
        let body = Value::Object(fields).to_string();
        if let Err(problems) = parse(body.as_bytes(), &Defaults::for_checks()) {
            self.problems.extend(problems);
        }
    }

    pub(super) fn start(&mut self) -> Start {
        let snapshot = self.checked("snapshot_id", check_snapshot_id);
        let golden = |it: &str| (it == "golden").then_some(Start::Golden);
        let from = self.choice("from", Start::Image, golden, &["golden"]);
        match (snapshot, from) {
            (None, from) => from,
            (Some(id), Start::Image) => Start::Snapshot(id),
            (Some(_), from) => {
                self.problem(
                    "from",
                    "cannot be given together with snapshot_id; both say what the disk begins as",
                );
                from
            }
        }
    }

    pub(super) fn restore(&mut self) -> Restore {
        let check = |it: &str| {
            let fits = matches!(it, "latest" | "none") || backup::is_id(it);
            fits.then_some(())
                .ok_or("must be latest, none or the id of a backup, as GET /workspaces tells it")
        };
        match self.checked("restore", check).as_deref() {
            None | Some("latest") => Restore::Latest,
            Some("none") => Restore::None,
            Some(id) => Restore::Backup(id.to_owned()),
        }
    }

    pub(super) fn branch(&mut self) -> String {
        self.checked("branch", check_branch).unwrap_or_default()
    }

    pub(super) fn ssh_public_key(&mut self) -> Option<SshPublicKey> {
        let text = self.string("ssh_public_key")?;
        SshPublicKey::parse(&text).map_err(|detail| self.problem("ssh_public_key", detail)).ok()
    }

    pub(super) fn secret(&mut self, field: &str) -> Secret {
        let check = |text: &str| {
            let fits = text.len() <= SECRET_MAX_CHARS && text.bytes().all(|it| it.is_ascii_graphic());
            fits.then_some(()).ok_or(SECRET_SHAPE)
        };
        Secret::new(self.checked(field, check).unwrap_or_default())
    }

    /// A token, or an SSH key in its place.
    pub(super) fn git_token(&mut self) -> Secret {
        let is_key =
            matches!(self.fields.get("git_token"), Some(Value::String(it)) if deploy_key::is_key(it));
        if !is_key {
            return self.secret("git_token");
        }
        let text = self.string("git_token").unwrap_or_default();
        let fits = (text.len() <= SECRET_MAX_CHARS).then_some(()).ok_or(KEY_TOO_LONG);
        match fits.and_then(|()| deploy_key::normal(&text)) {
            Ok(key) => Secret::new(key),
            Err(detail) => {
                self.problem("git_token", detail);
                Secret::default()
            }
        }
    }

    pub(super) fn env(&mut self) -> Vec<(String, Secret)> {
        let entries = match self.take("env") {
            None => return Vec::new(),
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                self.problem("env", "must be an object of names and strings");
                return Vec::new();
            }
        };
        let mut env = Vec::new();
        let mut bytes = 0;
        for (name, value) in entries {
            let name_fits = (1..=128).contains(&name.len())
                && !name.starts_with(|it: char| it.is_ascii_digit())
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
            match value {
                // Names come from the user: shown only where they are harmless.
                _ if !name_fits => {
                    self.problem("env", "has a name that is not letters, digits and '_' (not a digit first)");
                }
                Value::String(value) if !value.contains('\0') => {
                    bytes += name.len() + value.len();
                    env.push((name, Secret::new(value)));
                }
                _ => self.problem(&format!("env.{name}"), "must be a string without NUL"),
            }
        }
        if env.len() > ENV_MAX_VARS || bytes > ENV_MAX_BYTES {
            self.problem(
                "env",
                format!("may hold {ENV_MAX_VARS} variables and {ENV_MAX_BYTES} bytes at the most"),
            );
        }
        env
    }

    pub(super) fn allow_from(&mut self) -> Vec<String> {
        const DETAIL: &str =
            "must be a list of at most 20 networks such as [\"203.0.113.0/24\", \"2001:db8::/32\"]";
        let networks = match self.take("allow_from") {
            None => return Vec::new(),
            Some(Value::Array(networks)) if networks.len() <= ALLOW_FROM_MAX => networks,
            Some(_) => {
                self.problem("allow_from", DETAIL);
                return Vec::new();
            }
        };
        let read = |it: &Value| it.as_str().and_then(canonical_network);
        networks.iter().map(read).collect::<Option<Vec<String>>>().unwrap_or_else(|| {
            self.problem("allow_from", DETAIL);
            Vec::new()
        })
    }

    /// Unknown fields are refused: silently leaving one out could cost money or work.
    pub(super) fn finish(&mut self) -> Vec<FieldProblem> {
        for (field, _) in std::mem::take(&mut self.fields) {
            let shown: String = field.chars().filter(|it| !it.is_control()).take(64).collect();
            self.problem(&shown, "is not a field of this request");
        }
        std::mem::take(&mut self.problems)
    }
}

/// `<provider>-<the provider's id>`; whether there is such a one is looked up.
fn check_snapshot_id(id: &str) -> Result<(), &'static str> {
    let fits = id.len() <= 120
        && id.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
        && id
            .split_once('-')
            .is_some_and(|(provider, native)| ProviderName::parse(provider).is_some() && !native.is_empty());
    fits.then_some(()).ok_or("must be the id of a snapshot, as GET /snapshots tells it")
}

/// A branch or tag by git-check-ref-format(1), narrowed to ASCII.
pub(super) fn check_branch(branch: &str) -> Result<(), &'static str> {
    let part_fits = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && part.strip_suffix(".lock").is_none()
    };
    let fits = branch.len() <= 255
        && !branch.contains("..")
        && branch.split('/').all(part_fits)
        && branch.bytes().all(|it| {
            it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-' | b'/' | b'+' | b'#' | b'@' | b'=')
        });
    (fits && branch != "@")
        .then_some(())
        .ok_or("must be a branch or tag name of letters, digits and . _ - / + # @ =")
}

pub(super) fn check_location(location: &str) -> Result<(), &'static str> {
    let fits = location.len() <= 32
        && location.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    fits.then_some(()).ok_or("must be a location's name, such as fsn1; GET /options lists them")
}

/// An address or network in CIDR notation (RFC 4632), written the one way that a firewall takes.
pub(super) fn canonical_network(text: &str) -> Option<String> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: std::net::IpAddr = address.parse().ok()?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => max,
        Some(prefix) => prefix.parse::<u8>().ok().filter(|it| *it <= max && !prefix.starts_with('+'))?,
    };
    Some(format!("{address}/{prefix}"))
}
