//! What a user asks for, read from a request's JSON: every field checked, every problem reported at once with its field,
//! defaults filled in. Nothing is asked of a provider here.

mod fields;

use serde_json::{Map, Value};

use fields::{Fields, check_location};

use crate::config::{Defaults, IDLE_MINUTES, MAX_HOURS};
use crate::cost::Billing;
use crate::deploy_key;
use crate::model::{ProviderName, Size};
use crate::name;
use crate::repo_url::RepoUrl;
use crate::secret::Secret;
use crate::ssh_key::SshPublicKey;
use crate::workspace::{Image, Market, Profile, WebUi, check_image_reference};

/// A valid repository, where the other fields alone are to be checked.
const STAND_IN_REPO: &str = "ssh://git@example.com/owner/name";
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

/// Which work of earlier VMs of the same owner and repository is put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restore {
    /// The newest backup, if there is one.
    #[default]
    Latest,
    /// None: the workspace begins with a clone.
    None,
    /// One backup, by its id.
    Backup(String),
}

impl Restore {
    /// As the VM is told; nothing where it does the usual.
    pub fn for_vm(&self) -> &str {
        match self {
            Self::Latest => "",
            Self::None => "none",
            Self::Backup(id) => id,
        }
    }
}

/// Secrets that came with the request. They travel sealed.
#[derive(Clone, Debug, Default)]
pub struct GivenSecrets {
    /// For cloning and pushing: a token for https, or an SSH key as [`deploy_key::normal`] leaves it.
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
    pub restore: Restore,
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
    let mut it = Fields::new(fields);
    let repo_url = it.repo_url();
    let is_provider_given = it.has("provider");
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
            git_token: it.git_token(),
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
        restore: it.restore(),
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
    if deploy_key::is_key(spec.secrets.git_token.expose()) && !spec.repo_url.is_ssh() {
        it.problem(
            "git_token",
            "is an SSH key, and repo_url is https: give the repository's ssh URL, such as git@github.com:owner/name, or a token",
        );
    }
    if spec.use_paid_hour && !Billing::of(spec.provider).has_whole_hours() {
        let detail = format!("is of no use: {} bills by the second", spec.provider.title());
        it.problem("use_paid_hour", detail);
    }
    if matches!(spec.restore, Restore::Backup(_)) && matches!(spec.start, Start::Snapshot(_)) {
        it.problem("restore", "cannot be a backup together with snapshot_id, whose disk has work of its own");
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fields::{canonical_network, check_branch};
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
    fn what_is_put_back_is_the_newest_nothing_or_one_backup() {
        let id = "0123456789abcdef".repeat(4);
        let with = |more: &str| format!(r#"{{"repo_url":"https://github.com/o/r"{more}}}"#);
        for (more, want) in [
            (String::new(), Restore::Latest),
            (r#","restore":null"#.into(), Restore::Latest),
            (r#","restore":"""#.into(), Restore::Latest),
            (r#","restore":"latest""#.into(), Restore::Latest),
            (r#","restore":"none""#.into(), Restore::None),
            (format!(r#","restore":"{id}""#), Restore::Backup(id.clone())),
            (r#","restore":"none","snapshot_id":"hetzner-1""#.into(), Restore::None),
            (format!(r#","restore":"{id}","from":"golden""#), Restore::Backup(id.clone())),
        ] {
            assert_eq!(read(&with(&more)).expect("valid").restore, want, "{more}");
        }
        for more in [
            format!(r#","restore":"{}""#, id.to_uppercase()),
            format!(r#","restore":"{}""#, &id[..8]),
            format!(r#","restore":"{id}0""#),
            r#","restore":"LATEST""#.into(),
            r#","restore":"--host=x""#.into(),
            r#","restore":true"#.into(),
            format!(r#","restore":"{id}","snapshot_id":"hetzner-1""#),
        ] {
            assert_eq!(fields(&with(&more)), ["restore"], "{more}");
        }
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
