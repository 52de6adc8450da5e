//! The part of the configuration that is people: whose tokens open the API, who is an admin, what each may have, and whether
//! Cloudflare Access says who somebody is.

use serde_json::{Map, Value};

use super::policy::{COST_MAX, VMS_MAX};
use super::{API_TOKEN_MIN_CHARS, DEFAULT_OWNER, Reader};
use crate::access::{self, AccessConfig};
use crate::labels;
use crate::model::parse_micros;
use crate::secret::TokenDigest;

const KEY: &str = "API_TOKENS";
/// What an entry may say beside its digest.
const FIELDS: &str = "sha256, admin, max_vms, max_hourly_cost";

/// A person or program that may call the API.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name that becomes the owner label.
    pub owner: String,
    /// What the presented token must hash to; `None` for somebody who comes through Access alone.
    pub digest: Option<TokenDigest>,
    /// Whether everybody's VMs, snapshots and workspaces are theirs to see and to touch.
    pub is_admin: bool,
    /// What they may have.
    pub limits: Limits,
}

/// Ceilings of one owner; `None` for none of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `max_vms`: takes the place of `MAX_VMS_PER_OWNER`.
    pub vms: Option<u32>,
    /// `max_hourly_cost`: what all their VMs may cost, millionths per hour.
    pub micros_per_hour: Option<u64>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn access(&mut self, simulation: bool) -> Option<AccessConfig> {
        let team = self.get("ACCESS_TEAM_DOMAIN");
        let audiences = self.get("ACCESS_AUD");
        let (Some(team), Some(audiences)) = (&team, &audiences) else {
            if audiences.is_some() || self.get("ACCESS_ADMINS").is_some() {
                self.problem("ACCESS_TEAM_DOMAIN", "is missing: https://<team>.cloudflareaccess.com");
            }
            if team.is_some() {
                self.problem(
                    "ACCESS_AUD",
                    "is missing: the Application Audience (AUD) Tag of the application in Access",
                );
            }
            return None;
        };
        let team = team.trim_end_matches('/').to_owned();
        let host =
            team.strip_prefix("https://").or_else(|| team.strip_prefix("http://").filter(|_| simulation));
        let is_host = |it: &str| {
            it.bytes().all(|it| {
                it.is_ascii_lowercase()
                    || it.is_ascii_digit()
                    || matches!(it, b'.' | b'-')
                    || simulation && it == b':'
            })
        };
        if !host.is_some_and(|it| it.contains('.') && is_host(it)) {
            self.problem(
                "ACCESS_TEAM_DOMAIN",
                "must be https://<team>.cloudflareaccess.com, in small letters",
            );
        }
        let audiences: Vec<String> = audiences.split(',').map(|it| it.trim().to_owned()).collect();
        let is_tag = |it: &String| it.len() == 64 && it.bytes().all(|it| it.is_ascii_hexdigit());
        if !audiences.iter().all(is_tag) {
            self.problem("ACCESS_AUD", "must be the Application Audience (AUD) Tag of the application in Access, 64 hexadecimal digits; several separated by commas");
        }
        Some(AccessConfig::new(team, audiences))
    }

    pub(super) fn people(&mut self, simulation: bool, has_access: bool) -> Vec<Person> {
        let mut people = Vec::new();
        let single = self.get("API_TOKEN");
        let several = self.get(KEY);
        if single.is_none() && several.is_none() && !has_access {
            self.problem(
                "API_TOKEN",
                "is missing: the bearer token of the API (or API_TOKENS); `npm run setup` makes one",
            );
        }
        if let Some(token) = single {
            if token.len() < API_TOKEN_MIN_CHARS && !simulation {
                self.problem("API_TOKEN", format!("has fewer than {API_TOKEN_MIN_CHARS} characters"));
            }
            people.push(Person {
                owner: DEFAULT_OWNER.into(),
                digest: Some(TokenDigest::of(&token)),
                is_admin: false,
                limits: Limits::default(),
            });
        }
        self.entries(several, has_access, &mut people);
        self.admins(&mut people);
        people
    }

    /// `API_TOKENS`.
    fn entries(&mut self, several: Option<String>, has_access: bool, people: &mut Vec<Person>) {
        let Some(several) = several else { return };
        let Ok(Value::Object(entries)) = serde_json::from_str(&several) else {
            self.problem(
                KEY,
                "must be a JSON object of names and SHA-256 digests: {\"ann\": \"<64 hexadecimal digits>\"}",
            );
            return;
        };
        if entries.is_empty() {
            self.problem(KEY, "names nobody");
        }
        for (index, (name, entry)) in entries.into_iter().enumerate() {
            if let Some(person) = self.person(index, name, entry, has_access, people) {
                people.push(person);
            }
        }
    }

    /// `ACCESS_ADMINS`: e-mail addresses.
    fn admins(&mut self, people: &mut Vec<Person>) {
        let Some(admins) = self.get("ACCESS_ADMINS") else { return };
        for email in admins.split(',').map(str::trim) {
            let Some(owner) = access::owner_of(email) else {
                self.problem("ACCESS_ADMINS", "must be e-mail addresses separated by commas");
                return;
            };
            match people.iter_mut().find(|it| it.owner == owner) {
                Some(known) => known.is_admin = true,
                None => {
                    people.push(Person { owner, digest: None, is_admin: true, limits: Limits::default() });
                }
            }
        }
    }

    /// One entry of `API_TOKENS`: a digest, or an object with one. Whoever comes through Access is named by an e-mail address,
    /// and needs no token beside.
    fn person(
        &mut self,
        index: usize,
        name: String,
        entry: Value,
        has_access: bool,
        known: &[Person],
    ) -> Option<Person> {
        let email_owner = access::owner_of(&name).filter(|_| has_access);
        let is_email = email_owner.is_some();
        let name = email_owner.unwrap_or(name);
        if name.is_empty() || !labels::is_value(&name) {
            // What stands in a name's place may be a token.
            let detail =
                format!("entry {} needs a name of 1 to 63 letters, digits, '-', '_' or '.'", index + 1);
            self.problem(KEY, detail);
            return None;
        }
        if known.iter().any(|it| it.owner == name) {
            let detail = if name == DEFAULT_OWNER {
                format!("the name '{name}' belongs to API_TOKEN")
            } else {
                format!("'{name}' stands twice")
            };
            self.problem(KEY, detail);
            return None;
        }
        let mut fields = match entry {
            Value::Object(fields) => fields,
            digest => Map::from_iter([("sha256".to_owned(), digest)]),
        };
        let given = fields.remove("sha256");
        let digest = given.as_ref().and_then(Value::as_str).and_then(TokenDigest::from_hex);
        let is_needed = !is_email || given.is_some();
        if digest.is_none() && is_needed {
            let detail = format!("'{name}' needs the SHA-256 of the token as 64 hexadecimal digits");
            self.problem(KEY, detail);
        }
        if let Some(other) = known.iter().find(|it| it.digest.is_some() && it.digest == digest) {
            self.problem(KEY, format!("'{name}' has the same token as '{}'", other.owner));
        }
        let is_admin = match fields.remove("admin") {
            None => false,
            Some(Value::Bool(is_admin)) => is_admin,
            Some(_) => {
                self.problem(KEY, format!("admin of '{name}' must be true or false"));
                false
            }
        };
        let limits = self.limits(&name, &mut fields);
        if !fields.is_empty() {
            let detail = format!("'{name}' has a field that is not one of {FIELDS}");
            self.problem(KEY, detail);
        }
        (digest.is_some() || !is_needed).then_some(Person { owner: name, digest, is_admin, limits })
    }

    fn limits(&mut self, name: &str, fields: &mut Map<String, Value>) -> Limits {
        let mut limits = Limits::default();
        if let Some(given) = fields.remove("max_vms") {
            limits.vms = given.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| *it <= VMS_MAX);
            if limits.vms.is_none() {
                let detail = format!("max_vms of '{name}' must be a whole number from 0 to {VMS_MAX}");
                self.problem(KEY, detail);
            }
        }
        if let Some(given) = fields.remove("max_hourly_cost") {
            let text = given.is_number().then(|| given.to_string());
            let micros = text.and_then(|it| parse_micros(&it));
            limits.micros_per_hour = micros.filter(|it| *it <= COST_MAX * 1_000_000);
            if limits.micros_per_hour.is_none() {
                let detail =
                    format!("max_hourly_cost of '{name}' must be an amount such as 0.50, at most {COST_MAX}");
                self.problem(KEY, detail);
            }
        }
        limits
    }
}
