//! The Worker's configuration, from its vars and secrets: every key, its default and its limits. All problems are found
//! at once, each names its key, and none shows a value. Using the configuration is everybody else's business.

mod agent;
mod ec2;
mod ovh;
mod people;
mod policy;
mod s3;

use std::fmt::Display;
use std::str::FromStr;

pub use agent::{AGENT_UPSTREAM_URL, AgentConfig, AgentCredential, Budgets};
pub use ec2::{AWS_PRICING_API_URL, EC2_API_URL, Ec2Config};
pub use ovh::{OvhConfig, OvhCredential, SigningKey};
pub use people::{Limits, Person};
pub use policy::{Ceilings, MAX_STOPPED_HOURS, SUBREQUESTS};
pub use s3::S3Config;

use crate::access::AccessConfig;
use crate::deploy_key;
use crate::keys::Keyring;
use crate::labels;
use crate::model::{ProviderName, Size};
use crate::secret::Secret;
use crate::ssh_key::SshPublicKey;
use crate::webhook::WebhookConfig;
use crate::workspace::{Profile, WebUi};

/// Base of Hetzner Cloud's API.
pub const HETZNER_API_URL: &str = "https://api.hetzner.cloud/v1";
/// Base of Scaleway's APIs.
pub const SCALEWAY_API_URL: &str = "https://api.scaleway.com";
/// Every zone with instances (Scaleway Instance API, "Availability Zones").
pub const SCALEWAY_ZONES: [&str; 10] = [
    "fr-par-1", "fr-par-2", "fr-par-3", "nl-ams-1", "nl-ams-2", "nl-ams-3", "pl-waw-1", "pl-waw-2",
    "pl-waw-3", "it-mil-1",
];
/// Base of DigitalOcean's API.
pub const DIGITALOCEAN_API_URL: &str = "https://api.digitalocean.com/v2";
/// Stands for a server's id where a zone alone is checked.
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
/// Fewest characters of an API token outside a simulation.
pub const API_TOKEN_MIN_CHARS: usize = 16;
/// Owner of what the single `API_TOKEN` creates.
pub const DEFAULT_OWNER: &str = "default";

/// Limits of `idle_minutes`, in requests and as `IDLE_MINUTES`.
pub const IDLE_MINUTES: std::ops::RangeInclusive<u32> = 1..=1440;
/// Limits of `max_hours`, in requests and as `MAX_HOURS`.
pub const MAX_HOURS: std::ops::RangeInclusive<u32> = 1..=168;

/// What is wrong with one key. The text is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The var or secret.
    pub key: &'static str,
    /// What is wrong and what would be right; never the value.
    pub detail: String,
}

/// Access to Hetzner Cloud.
#[derive(Clone, Debug)]
pub struct HetznerConfig {
    /// Project token, read and write.
    pub token: Secret,
    /// Base URL without a slash at the end.
    pub api_url: String,
    /// A token for VMs, with which they delete themselves at the provider.
    pub vm_token: Option<Secret>,
}

/// Access to Scaleway.
#[derive(Clone, Debug)]
pub struct ScalewayConfig {
    /// Secret key of an API key that may do everything with instances in the project.
    pub secret_key: Secret,
    /// The project, a UUID.
    pub project_id: String,
    /// Zones that are asked; every one costs calls.
    pub zones: Vec<String>,
    /// Base URL without a slash at the end.
    pub api_url: String,
    /// A secret key for VMs, with which they terminate themselves at the provider.
    pub vm_secret_key: Option<Secret>,
}

/// Access to DigitalOcean.
#[derive(Clone, Debug)]
pub struct DigitalOceanConfig {
    /// Personal access token, read and write.
    pub token: Secret,
    /// Base URL without a slash at the end.
    pub api_url: String,
    /// A token for VMs, with which they delete themselves at the provider.
    pub vm_token: Option<Secret>,
}

/// Defaults for every workspace.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the key of its name in the README")]
pub struct Defaults {
    pub provider: ProviderName,
    pub size: Size,
    pub profile: Profile,
    pub web_ui: WebUi,
    pub devcontainer_image: String,
    pub idle_minutes: u32,
    pub max_hours: u32,
    pub max_stopped_hours: u32,
    pub anthropic_api_key: Secret,
    pub claude_code_oauth_token: Secret,
    pub git_token: Secret,
    pub ssh_public_key: Option<SshPublicKey>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DEPLOYMENT`: which Mayfly this is; a label value.
    pub deployment: String,
    /// `API_TOKEN`, `API_TOKENS` and `ACCESS_ADMINS`.
    pub people: Vec<Person>,
    /// `ACCESS_TEAM_DOMAIN` and `ACCESS_AUD`: Cloudflare Access, where it says who somebody is.
    pub access: Option<AccessConfig>,
    /// `SIGNING_KEY`.
    pub keys: Keyring,
    /// `BACKUP_KEY`: what the passwords of backups derive from.
    pub backup_key: Option<Secret>,
    /// `BACKUP_S3_BUCKET` and friends: where VMs keep backups without the Worker.
    pub backup_s3: Option<S3Config>,
    /// `PUBLIC_URL`: where VMs find the Worker.
    pub public_url: Option<String>,
    /// `ALLOWED_ORIGINS`: origins of the page; one may have a `*` as its first host label.
    pub allowed_origins: Vec<String>,
    /// `HETZNER_TOKEN` and friends.
    pub hetzner: Option<HetznerConfig>,
    /// `SCALEWAY_SECRET_KEY` and friends.
    pub scaleway: Option<ScalewayConfig>,
    /// `DIGITALOCEAN_TOKEN` and friends.
    pub digitalocean: Option<DigitalOceanConfig>,
    /// `OVH_APPLICATION_SECRET` or `OVH_CLIENT_SECRET`, and friends.
    pub ovh: Option<OvhConfig>,
    /// `AWS_SECRET_ACCESS_KEY` and friends.
    pub ec2: Option<Ec2Config>,
    /// Defaults for workspaces.
    pub defaults: Defaults,
    /// `AGENT_PROXY` and friends: the agents' way to their model, where it is the Worker's.
    pub agent: Option<AgentConfig>,
    /// `MAX_VMS` and friends.
    pub ceilings: Ceilings,
    /// `SNAPSHOT_DAYS`: how long snapshots are kept, days; `None` for ever.
    pub snapshot_days: Option<u32>,
    /// `WEBHOOK_URL` and `WEBHOOK_SECRET`: who is told of events.
    pub webhook: Option<WebhookConfig>,
    /// `SUBREQUESTS`: calls that one run of the cron may make.
    pub subrequests: u32,
    /// `DOMAIN`: VMs are `<name>.<DOMAIN>` where the user's DNS says so.
    pub domain: String,
    /// `VM_ORIGIN`: replaces `https://<ip>` in links to VMs; for the simulation and tests.
    pub vm_origin: Option<String>,
    /// `SIMULATION`: the provider is a fake cloud, and the page says so.
    pub simulation: bool,
}

impl Config {
    /// Reads the configuration through a lookup of vars and secrets.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigProblem>> {
        let mut it = Reader { lookup, problems: Vec::new() };
        let simulation = it.boolean("SIMULATION");
        let access = it.access(simulation);
        let config = Self {
            deployment: it.deployment(),
            people: it.people(simulation, access.is_some()),
            access,
            keys: it.keys(),
            backup_key: it.backup_key(),
            backup_s3: it.s3(),
            public_url: it.url("PUBLIC_URL"),
            allowed_origins: it.origins(),
            hetzner: it.hetzner(),
            scaleway: it.scaleway(),
            digitalocean: it.digitalocean(),
            ovh: it.ovh(),
            ec2: it.ec2(),
            defaults: it.defaults(),
            agent: it.agent(),
            ceilings: it.ceilings(),
            snapshot_days: Some(it.number("SNAPSHOT_DAYS", 30, 0..=3650)).filter(|it| *it > 0),
            webhook: it.webhook(simulation),
            subrequests: it.number("SUBREQUESTS", 50, SUBREQUESTS),
            domain: it.domain(),
            vm_origin: it.url("VM_ORIGIN"),
            simulation,
        };
        let configured = config.providers();
        if configured.is_empty() {
            it.problem("HETZNER_TOKEN", "is missing: no provider is configured; create an API token (Read & Write) in a Hetzner Cloud project, or give another provider's (SCALEWAY_SECRET_KEY, DIGITALOCEAN_TOKEN, OVH_APPLICATION_SECRET, AWS_SECRET_ACCESS_KEY)");
        } else if !configured.contains(&config.defaults.provider) {
            it.problem(
                "DEFAULT_PROVIDER",
                format!("is {}, whose secrets are not configured", config.defaults.provider.as_str()),
            );
        }
        if it.problems.is_empty() { Ok(config) } else { Err(it.problems) }
    }

    /// The providers whose secrets are there.
    pub fn providers(&self) -> Vec<ProviderName> {
        let is_configured = |name: &ProviderName| match name {
            ProviderName::Hetzner => self.hetzner.is_some(),
            ProviderName::Scaleway => self.scaleway.is_some(),
            ProviderName::DigitalOcean => self.digitalocean.is_some(),
            ProviderName::Ovh => self.ovh.is_some(),
            ProviderName::Ec2 => self.ec2.is_some(),
        };
        ProviderName::ALL.into_iter().filter(is_configured).collect()
    }

    /// The credential with which a VM deletes itself at its provider, where one is configured.
    pub fn vm_credential(&self, provider: ProviderName) -> Option<&Secret> {
        match provider {
            ProviderName::Hetzner => self.hetzner.as_ref()?.vm_token.as_ref(),
            ProviderName::Scaleway => self.scaleway.as_ref()?.vm_secret_key.as_ref(),
            ProviderName::DigitalOcean => self.digitalocean.as_ref()?.vm_token.as_ref(),
            ProviderName::Ovh => self.ovh.as_ref()?.vm_credential.as_ref(),
            // An instance needs none: its own shutdown ends it.
            ProviderName::Ec2 => None,
        }
    }
}

struct Reader<L> {
    lookup: L,
    problems: Vec<ConfigProblem>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn get(&self, key: &str) -> Option<String> {
        (self.lookup)(key).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())
    }

    fn secret(&self, key: &str) -> Secret {
        Secret::new(self.get(key).unwrap_or_default())
    }

    fn problem(&mut self, key: &'static str, detail: impl Into<String>) {
        self.problems.push(ConfigProblem { key, detail: detail.into() });
    }

    fn boolean(&mut self, key: &'static str) -> bool {
        match self.get(key).as_deref() {
            None | Some("0" | "false" | "off") => false,
            Some("1" | "true" | "on") => true,
            Some(_) => {
                self.problem(key, "must be 1 or 0");
                false
            }
        }
    }

    fn number<N: FromStr + PartialOrd + Display>(
        &mut self,
        key: &'static str,
        default: N,
        range: std::ops::RangeInclusive<N>,
    ) -> N {
        let Some(text) = self.get(key) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.problem(
                    key,
                    format!("must be a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
        known: &[&str],
    ) -> T {
        let Some(text) = self.get(key) else { return default };
        parse(&text).unwrap_or_else(|| {
            self.problem(key, format!("must be one of {}", known.join(", ")));
            default
        })
    }

    fn url(&mut self, key: &'static str) -> Option<String> {
        let url = self.get(key)?;
        let url = url.trim_end_matches('/').to_owned();
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let fits = host.is_some_and(|it| {
            !it.is_empty()
                && it.bytes().all(|it| {
                    it.is_ascii_graphic() && !matches!(it, b'"' | b'\\' | b'\'' | b'<' | b'>' | b'?' | b'#')
                })
        });
        if fits {
            return Some(url);
        }
        self.problem(
            key,
            "must be a URL such as https://mayfly.example.workers.dev, without query or fragment",
        );
        None
    }

    fn deployment(&mut self) -> String {
        let name = self.get("DEPLOYMENT").unwrap_or_else(|| labels::MAYFLY.into());
        if !labels::is_value(&name) {
            self.problem(
                "DEPLOYMENT",
                "must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends",
            );
        }
        name
    }

    fn keys(&mut self) -> Keyring {
        let parsed = match self.get("SIGNING_KEY") {
            None => Err("is missing: kid:key with a random key; `npm run setup` makes one".to_owned()),
            Some(text) => Keyring::parse(&text),
        };
        parsed.unwrap_or_else(|detail| {
            self.problem("SIGNING_KEY", detail);
            // Never used: a problem was recorded, so no `Config` comes out of this.
            Keyring::parse("none:00000000000000000000000000000000").expect("a valid keyring")
        })
    }

    /// A token that goes into a header; `None` where its provider is not configured.
    fn token(&mut self, key: &'static str) -> Option<Secret> {
        let token = self.get(key)?;
        if !token.bytes().all(|it| it.is_ascii_graphic()) {
            self.problem(key, "contains a character that no token has");
        }
        Some(Secret::new(token))
    }

    fn hetzner(&mut self) -> Option<HetznerConfig> {
        let api_url = self.url("HETZNER_API_URL").unwrap_or_else(|| HETZNER_API_URL.into());
        let token = self.token("HETZNER_TOKEN")?;
        let vm_token = self.token("HETZNER_VM_TOKEN");
        Some(HetznerConfig { token, api_url, vm_token })
    }

    fn scaleway(&mut self) -> Option<ScalewayConfig> {
        let api_url = self.url("SCALEWAY_API_URL").unwrap_or_else(|| SCALEWAY_API_URL.into());
        let zones = self
            .get("SCALEWAY_ZONES")
            .map_or_else(|| SCALEWAY_ZONES.map(str::to_owned).to_vec(), |it| names(&it));
        // Whether a zone exists is the vendor's to say: new ones come.
        let is_zone =
            |it: &String| it.len() == 8 && ProviderName::Scaleway.is_native(&format!("{it}-{NO_UUID}"));
        if !zones.iter().all(is_zone) {
            self.problem("SCALEWAY_ZONES", "must be zones separated by commas, such as fr-par-1,nl-ams-1");
        }
        let secret_key = self.token("SCALEWAY_SECRET_KEY")?;
        let project_id = self.get("SCALEWAY_PROJECT_ID").unwrap_or_default();
        let is_uuid = ProviderName::Scaleway.is_native(&format!("{}-{project_id}", SCALEWAY_ZONES[0]));
        if !is_uuid {
            self.problem(
                "SCALEWAY_PROJECT_ID",
                "must be the project's id, a UUID, as Scaleway's console shows it",
            );
        }
        let vm_secret_key = self.token("SCALEWAY_VM_SECRET_KEY");
        Some(ScalewayConfig { secret_key, project_id, zones, api_url, vm_secret_key })
    }

    fn digitalocean(&mut self) -> Option<DigitalOceanConfig> {
        let api_url = self.url("DIGITALOCEAN_API_URL").unwrap_or_else(|| DIGITALOCEAN_API_URL.into());
        let token = self.token("DIGITALOCEAN_TOKEN")?;
        Some(DigitalOceanConfig { token, api_url, vm_token: self.token("DIGITALOCEAN_VM_TOKEN") })
    }

    /// Without a word about it the first provider that is configured.
    fn default_provider(&mut self) -> ProviderName {
        let secrets = |name: ProviderName| -> &[&str] {
            match name {
                ProviderName::Hetzner => &["HETZNER_TOKEN"],
                ProviderName::Scaleway => &["SCALEWAY_SECRET_KEY"],
                ProviderName::DigitalOcean => &["DIGITALOCEAN_TOKEN"],
                ProviderName::Ovh => &["OVH_APPLICATION_SECRET", "OVH_CLIENT_SECRET"],
                ProviderName::Ec2 => &["AWS_SECRET_ACCESS_KEY"],
            }
        };
        let is_there = |name: &ProviderName| secrets(*name).iter().any(|it| self.get(it).is_some());
        let first = ProviderName::ALL.into_iter().find(is_there);
        let first = first.unwrap_or(ProviderName::Hetzner);
        let known = ProviderName::ALL.map(ProviderName::as_str);
        self.choice("DEFAULT_PROVIDER", first, ProviderName::parse, &known)
    }

    fn defaults(&mut self) -> Defaults {
        let key = self.get("SSH_PUBLIC_KEY").map(|it| SshPublicKey::parse(&it)).transpose();
        let ssh_public_key = key.unwrap_or_else(|detail| {
            self.problem("SSH_PUBLIC_KEY", detail);
            None
        });
        let devcontainer_image = self.get("DEFAULT_DEVCONTAINER_IMAGE").unwrap_or_default();
        if let Err(detail) = crate::workspace::check_image_reference(&devcontainer_image) {
            self.problem("DEFAULT_DEVCONTAINER_IMAGE", detail);
        }
        Defaults {
            provider: self.default_provider(),
            size: self.choice("DEFAULT_SIZE", Size::Medium, Size::parse, &Size::ALL.map(Size::as_str)),
            profile: Profile::Coding,
            web_ui: self.choice(
                "DEFAULT_WEB_UI",
                WebUi::Cloudcli,
                WebUi::parse,
                &WebUi::ALL.map(WebUi::as_str),
            ),
            devcontainer_image,
            idle_minutes: self.number("IDLE_MINUTES", 30, IDLE_MINUTES),
            max_hours: self.number("MAX_HOURS", 12, MAX_HOURS),
            max_stopped_hours: self.number("MAX_STOPPED_HOURS", 72, MAX_STOPPED_HOURS),
            anthropic_api_key: self.secret("ANTHROPIC_API_KEY"),
            claude_code_oauth_token: self.secret("CLAUDE_CODE_OAUTH_TOKEN"),
            git_token: self.git_token(),
            ssh_public_key,
        }
    }

    /// A token, or an SSH key for repositories that are named by ssh.
    fn git_token(&mut self) -> Secret {
        let given = self.secret("GIT_TOKEN");
        if !deploy_key::is_key(given.expose()) {
            return given;
        }
        match deploy_key::normal(given.expose()) {
            Ok(key) => Secret::new(key),
            Err(detail) => {
                self.problem("GIT_TOKEN", detail);
                Secret::default()
            }
        }
    }

    fn domain(&mut self) -> String {
        let domain = self.get("DOMAIN").unwrap_or_default();
        let fits = domain.is_empty()
            || domain.contains('.') && domain.split('.').all(|it| crate::name::check(it).is_ok());
        if !fits {
            self.problem("DOMAIN", "must be a domain name in small letters, such as dev.example.com");
        }
        domain
    }
}
/// What stands between commas, each once: whoever is asked twice tells of everything twice.
fn names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if !names.iter().any(|it| it == name) {
            names.push(name.to_owned());
        }
    }
    names
}
