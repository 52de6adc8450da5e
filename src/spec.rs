//! What a user asks for, read from a request's JSON: every field checked, every problem reported at once with its field,
//! defaults filled in. Nothing is asked of a provider here.

use serde_json::{Map, Value};

use crate::config::{Defaults, IDLE_MINUTES, MAX_HOURS};
use crate::cost::Billing;
use crate::model::{ProviderName, Size};
use crate::name;
use crate::repo_url::RepoUrl;
use crate::secret::Secret;
use crate::ssh_key::SshPublicKey;
use crate::workspace::{Image, Market, Profile, WebUi, check_image_reference};

/// Longest secret, characters.
const SECRET_MAX_CHARS: usize = 4096;
/// Environment variables at the most, and bytes of all their names and values together: they travel in the user data.
const ENV_MAX_VARS: usize = 50;
const ENV_MAX_BYTES: usize = 4096;
/// Networks in `allow_from` at the most.
const ALLOW_FROM_MAX: usize = 20;
/// A valid repository, where the other fields alone are to be checked.
const STAND_IN_REPO: &str = "https://example.com/owner/name";
/// How long the making of a golden snapshot may take, hours; and how long its VM may seem to do nothing, minutes.
const GOLDEN_HOURS: u32 = 3;
const GOLDEN_IDLE_MINUTES: u32 = 60;

/// One field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Name of the field; empty where the whole body is meant.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// Secrets that came with the request. They travel sealed.
#[derive(Clone, Debug, Default)]
pub struct GivenSecrets {
    /// For cloning and pushing.
    pub git_token: Secret,
    /// For Claude Code.
    pub anthropic_api_key: Secret,
    /// For Claude Code, instead of an API key.
    pub claude_code_oauth_token: Secret,
    /// Environment of the workspace; the values count as secrets.
    pub env: Vec<(String, Secret)>,
}

impl GivenSecrets {
    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        self.git_token.is_empty()
            && self.anthropic_api_key.is_empty()
            && self.claude_code_oauth_token.is_empty()
            && self.env.is_empty()
    }
}

/// What a disk begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The operating system's image.
    Image,
    /// A snapshot, by its id in our API.
    Snapshot(String),
    /// The newest golden snapshot of the profile.
    Golden,
}

/// A workspace to create, complete and valid.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "each field is the request field of its name in the README and in openapi.json"
)]
pub struct Spec {
    pub repo_url: RepoUrl,
    pub branch: String,
    pub name: Option<String>,
    pub provider: ProviderName,
    pub size: Size,
    pub location: Option<String>,
    pub profile: Profile,
    pub web_ui: WebUi,
    pub ssh_public_key: Option<SshPublicKey>,
    pub secrets: GivenSecrets,
    pub idle_minutes: u32,
    pub max_hours: u32,
    pub allow_from: Vec<String>,
    pub image: Image,
    pub market: Market,
    pub trust_repo: bool,
    pub devcontainer_image: String,
    pub start: Start,
    pub use_paid_hour: bool,
    /// It is made for its disk alone: no repository, nobody's key and no secret comes onto it.
    pub golden: bool,
}

/// Reads a request body.
pub fn parse(body: &[u8], defaults: &Defaults) -> Result<Spec, Vec<FieldProblem>> {
    let whole = |detail: &str| vec![FieldProblem { field: String::new(), detail: detail.to_owned() }];
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => {
            return Err(whole(
                "the body must be a JSON object such as {\"repo_url\": \"https://github.com/owner/name\"}",
            ));
        }
        Err(error) => {
            return Err(whole(&format!(
                "the body is not JSON: line {}, column {}",
                error.line(),
                error.column()
            )));
        }
    };
    let mut it = Fields { fields, problems: Vec::new() };
    let repo_url = it.repo_url();
    let is_provider_given = it.fields.get("provider").is_some_and(|it| !it.is_null());
    let mut spec = Spec {
        branch: it.branch(),
        name: it.checked("name", name::check).map(Some).unwrap_or_default(),
        provider: it.choice(
            "provider",
            defaults.provider,
            ProviderName::parse,
            &ProviderName::ALL.map(ProviderName::as_str),
        ),
        size: it.choice("size", defaults.size, Size::parse, &Size::ALL.map(Size::as_str)),
        location: it.checked("location", check_location),
        profile: it.choice("profile", defaults.profile, Profile::parse, &Profile::ALL.map(Profile::as_str)),
        web_ui: it.choice("web_ui", defaults.web_ui, WebUi::parse, &WebUi::ALL.map(WebUi::as_str)),
        ssh_public_key: it.ssh_public_key().or_else(|| defaults.ssh_public_key.clone()),
        secrets: GivenSecrets {
            git_token: it.secret("git_token"),
            anthropic_api_key: it.secret("anthropic_api_key"),
            claude_code_oauth_token: it.secret("claude_code_oauth_token"),
            env: it.env(),
        },
        idle_minutes: it.number("idle_minutes", defaults.idle_minutes, IDLE_MINUTES),
        max_hours: it.number("max_hours", defaults.max_hours, MAX_HOURS),
        allow_from: it.allow_from(),
        image: it.choice("image", Image::Debian13, Image::parse, &Image::ALL.map(Image::as_str)),
        market: it.choice("market", Market::OnDemand, Market::parse, &Market::ALL.map(Market::as_str)),
        trust_repo: it.boolean("trust_repo"),
        devcontainer_image: it
            .checked("devcontainer_image", check_image_reference)
            .unwrap_or_else(|| defaults.devcontainer_image.clone()),
        start: it.start(),
        use_paid_hour: it.boolean("use_paid_hour"),
        golden: false,
        // Stands in until the problems have been looked at.
        repo_url: match repo_url {
            Some(repo_url) => repo_url,
            None => return Err(it.finish()),
        },
    };
    if !spec.secrets.anthropic_api_key.is_empty() && !spec.secrets.claude_code_oauth_token.is_empty() {
        it.problem(
            "claude_code_oauth_token",
            "cannot be given together with anthropic_api_key; Claude Code uses one of them",
        );
    }
    if spec.use_paid_hour && !Billing::of(spec.provider).has_whole_hours() {
        let detail = format!("is of no use: {} bills by the second", spec.provider.title());
        it.problem("use_paid_hour", detail);
    }
    let provider_of_snapshot = match &spec.start {
        Start::Snapshot(id) => id.split_once('-').and_then(|(it, _)| ProviderName::parse(it)),
        Start::Image | Start::Golden => None,
    };
    if let Some(provider) = provider_of_snapshot {
        if is_provider_given && provider != spec.provider {
            it.problem("snapshot_id", format!("is of {}, and provider is another", provider.as_str()));
        }
        spec.provider = provider;
    }
    let problems = it.finish();
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

/// Reads the body of `POST /snapshots/golden`: where a VM is made for its disk alone, and what is installed on it.
pub fn parse_golden(body: &[u8], defaults: &Defaults) -> Result<Spec, Vec<FieldProblem>> {
    const FIELDS: [&str; 6] = ["provider", "profile", "size", "location", "web_ui", "image"];
    let fields = if body.is_empty() { Ok(Map::new()) } else { serde_json::from_slice(body) };
    let Ok(mut fields) = fields else {
        let detail = "the body must be a JSON object such as {\"profile\": \"coding\"}".to_owned();
        return Err(vec![FieldProblem { field: String::new(), detail }]);
    };
    let unknown = |it: &&String| !FIELDS.contains(&it.as_str());
    let mut problems: Vec<FieldProblem> = fields
        .keys()
        .filter(unknown)
        .map(|it| FieldProblem {
            field: it.clone(),
            detail: format!("is not a field of a golden snapshot; there are {}", FIELDS.join(", ")),
        })
        .collect();
    fields.retain(|it, _| FIELDS.contains(&it.as_str()));
    // A small disk fits everywhere.
    fields.entry("size").or_insert_with(|| Size::Small.as_str().into());
    fields.insert("repo_url".into(), STAND_IN_REPO.into());
    match parse(Value::Object(fields).to_string().as_bytes(), defaults) {
        Ok(spec) if problems.is_empty() => Ok(Spec {
            repo_url: RepoUrl::none(),
            name: None,
            ssh_public_key: None,
            idle_minutes: GOLDEN_IDLE_MINUTES,
            max_hours: GOLDEN_HOURS,
            golden: true,
            ..spec
        }),
        Ok(_) => Err(problems),
        Err(others) => {
            problems.extend(others);
            Err(problems)
        }
    }
}

/// The fields that have not been read yet, and what was wrong with the others.
struct Fields {
    fields: Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl Fields {
    fn problem(&mut self, field: &str, detail: impl Into<String>) {
        self.problems.push(FieldProblem { field: field.to_owned(), detail: detail.into() });
    }

    /// Takes a field out; null is the same as absent.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|it| !it.is_null())
    }

    /// A string that is not empty.
    fn string(&mut self, field: &str) -> Option<String> {
        let Value::String(text) = self.take(field)? else {
            self.problem(field, "must be a string");
            return None;
        };
        Some(text).filter(|it| !it.is_empty())
    }

    fn checked(&mut self, field: &str, check: impl Fn(&str) -> Result<(), &'static str>) -> Option<String> {
        let text = self.string(field)?;
        match check(&text) {
            Ok(()) => Some(text),
            Err(detail) => {
                self.problem(field, detail);
                None
            }
        }
    }

    fn choice<T>(&mut self, field: &str, default: T, parse: impl Fn(&str) -> Option<T>, known: &[&str]) -> T {
        let Some(text) = self.string(field) else { return default };
        parse(&text).unwrap_or_else(|| {
            self.problem(field, format!("must be one of {}", known.join(", ")));
            default
        })
    }

    fn number(&mut self, field: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
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

    fn boolean(&mut self, field: &str) -> bool {
        match self.take(field) {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(_) => {
                self.problem(field, "must be true or false");
                false
            }
        }
    }

    fn repo_url(&mut self) -> Option<RepoUrl> {
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

    /// Without a repository there is no [`Spec`] to build, but every other field is still checked.
    fn read_the_rest(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.insert("repo_url".into(), STAND_IN_REPO.into());
        let body = Value::Object(fields).to_string();
        if let Err(problems) = parse(body.as_bytes(), &Defaults::for_checks()) {
            self.problems.extend(problems);
        }
    }

    fn start(&mut self) -> Start {
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

    fn branch(&mut self) -> String {
        self.checked("branch", check_branch).unwrap_or_default()
    }

    fn ssh_public_key(&mut self) -> Option<SshPublicKey> {
        let text = self.string("ssh_public_key")?;
        SshPublicKey::parse(&text).map_err(|detail| self.problem("ssh_public_key", detail)).ok()
    }

    fn secret(&mut self, field: &str) -> Secret {
        let check = |text: &str| {
            let fits = text.len() <= SECRET_MAX_CHARS && text.bytes().all(|it| it.is_ascii_graphic());
            fits.then_some(()).ok_or("must be at most 4,096 printable ASCII characters without spaces")
        };
        Secret::new(self.checked(field, check).unwrap_or_default())
    }

    fn env(&mut self) -> Vec<(String, Secret)> {
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

    fn allow_from(&mut self) -> Vec<String> {
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

    /// Fields of later work and unknown fields are refused: silently leaving one out could cost money or work.
    fn finish(&mut self) -> Vec<FieldProblem> {
        const LATER: [&str; 1] = ["restore"];
        for (field, value) in std::mem::take(&mut self.fields) {
            if LATER.contains(&field.as_str()) {
                if !value.is_null() {
                    self.problem(&field, "is not available yet");
                }
            } else {
                let shown: String = field.chars().filter(|it| !it.is_control()).take(64).collect();
                self.problem(&shown, "is not a field of this request");
            }
        }
        std::mem::take(&mut self.problems)
    }
}

impl Defaults {
    /// Defaults for checking fields whose defaults do not matter.
    fn for_checks() -> Self {
        Self {
            provider: ProviderName::Hetzner,
            size: Size::Medium,
            profile: Profile::Coding,
            web_ui: WebUi::Cloudcli,
            devcontainer_image: String::new(),
            idle_minutes: *IDLE_MINUTES.start(),
            max_hours: *MAX_HOURS.start(),
            max_stopped_hours: 1,
            anthropic_api_key: Secret::default(),
            claude_code_oauth_token: Secret::default(),
            git_token: Secret::default(),
            ssh_public_key: None,
        }
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
fn check_branch(branch: &str) -> Result<(), &'static str> {
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

fn check_location(location: &str) -> Result<(), &'static str> {
    let fits = location.len() <= 32
        && location.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    fits.then_some(()).ok_or("must be a location's name, such as fsn1; GET /options lists them")
}

/// An address or network in CIDR notation (RFC 4632), written the one way that a firewall takes.
fn canonical_network(text: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<Spec, Vec<FieldProblem>> {
        parse(body.as_bytes(), &Defaults { idle_minutes: 30, max_hours: 12, ..Defaults::for_checks() })
    }

    fn fields(body: &str) -> Vec<String> {
        read(body).expect_err(body).into_iter().map(|it| it.field).collect()
    }

    #[test]
    fn a_repository_is_enough() {
        let spec = read(r#"{"repo_url":"https://github.com/o/r"}"#).expect("valid");
        assert_eq!(
            (spec.size, spec.idle_minutes, spec.max_hours, spec.image),
            (Size::Medium, 30, 12, Image::Debian13)
        );
        assert!(spec.secrets.is_empty() && spec.name.is_none() && spec.branch.is_empty());
    }

    #[test]
    fn every_problem_is_reported_at_once_also_without_a_repository() {
        let rest = r#""size":"huge","name":"UP","idle_minutes":0,"max_hours":"x","trust_repo":1,"typo":1,"env":[],"allow_from":["x"]"#;
        let expected =
            ["allow_from", "env", "idle_minutes", "max_hours", "name", "size", "trust_repo", "typo"];
        let mut found = fields(&format!(r#"{{"repo_url":"https://github.com/o/r",{rest}}}"#));
        found.sort();
        assert_eq!(found, expected);
        let mut found = fields(&format!("{{{rest}}}"));
        found.retain(|it| it != "repo_url");
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn bodies_that_are_no_objects_say_so() {
        for body in ["", "{", "[]", "\"x\"", "null", "{\"repo_url\":}"] {
            assert_eq!(fields(body), [""], "{body}");
        }
    }

    #[test]
    fn fields_of_later_work_are_refused_unless_null() {
        let ok = r#"{"repo_url":"https://github.com/o/r","snapshot_id":null,"restore":null}"#;
        assert!(read(ok).is_ok());
        assert_eq!(fields(r#"{"repo_url":"https://github.com/o/r","restore":"latest"}"#), ["restore"]);
    }

    #[test]
    fn problems_never_repeat_a_value() {
        let body = r#"{"repo_url":"https://x:hunter2@h.example/r","git_token":"hunter2 hunter2","env":{"A":7},"ssh_public_key":"hunter2"}"#;
        let shown = format!("{:?}", read(body).expect_err("invalid"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn branches_are_refs() {
        for good in ["main", "feature/a-b_c", "v1.0", "user@x", "a+b#1"] {
            assert_eq!(check_branch(good), Ok(()), "{good}");
        }
        for bad in [
            "-x", "a..b", "a b", "/a", "a/", "a//b", ".a", "a.lock", "a~1", "a:b", "@", "a\n", "$(x)", "a/-b",
        ] {
            assert!(check_branch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_written_one_way() {
        assert_eq!(canonical_network("203.0.113.7").as_deref(), Some("203.0.113.7/32"));
        assert_eq!(canonical_network("2001:DB8::/32").as_deref(), Some("2001:db8::/32"));
        for bad in ["", "x", "1.2.3.4/33", "1.2.3.4/+1", "1.2.3/24", "1.2.3.4/24; drop"] {
            assert_eq!(canonical_network(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(body: Vec<u8>, text in "\\PC{0,60}", number: f64) {
            let _ = read(&String::from_utf8_lossy(&body));
            let value = serde_json::json!({ "repo_url": text, "branch": text, "idle_minutes": number, text.as_str(): text, "env": { "A": text } });
            let _ = read(&value.to_string());
        }
    }
}
