//! OVHcloud Public Cloud: requests as values, answers read into our types, and the calls that send one through the other.
//! Creation is in `create`, what is sold in `catalogue`, power and snapshots in `power`, SSH keys and leftovers in `shared`,
//! how requests prove whose they are in `sign`; how labels become names is in `labels::packed_name`.
//!
//! Facts are from the OVHcloud API's own schema (`/v1/cloud`, 2026-11) unless a comment says otherwise. This API has no
//! labels, so a server's name carries them; its answers have no pages; it has no firewall. Regions are written in capitals
//! there and in small letters here, like everybody's locations.

mod catalogue;
mod create;
mod power;
mod schema;
mod shared;
mod sign;

use std::collections::BTreeMap;

use super::send::{absent_is_fine, clean, found, send_once, send_repeatable};
use super::{Error, ErrorKind, RateBudget};
use crate::config::OvhConfig;
use crate::encoding::from_rfc3339;
use crate::http::{Clock, Http, Method, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::labels::{LabelChange, Selector, VmLabels, packed_name};
use crate::model::{ProviderName, Vm, VmId, VmState};
use crate::workspace::Market;
use catalogue::PriceCache;
use sign::{Access, Signing};

/// Largest user data, bytes: OpenStack takes 65,535 characters of base64 (Compute API, "Create Server", `user_data`), and
/// OVHcloud hands it the text.
pub const USER_DATA_MAX_BYTES: usize = 65_535 / 4 * 3;
/// A wait where an answer names none, seconds.
const RATE_LIMIT_WAIT_SECS: u32 = 10;
const NAME: ProviderName = ProviderName::Ovh;

/// Access to one Public Cloud project.
#[derive(Clone, Debug)]
pub struct Ovh {
    api_url: String,
    project: String,
    regions: Vec<String>,
    subsidiary: String,
    access: Access,
    prices: PriceCache,
}

impl Ovh {
    /// Access as configured.
    pub fn new(config: &OvhConfig) -> Self {
        Self {
            api_url: config.api_url.clone(),
            project: config.project_id.clone(),
            regions: config.regions.clone(),
            subsidiary: config.subsidiary.clone(),
            access: Access::new(&config.credential),
            prices: PriceCache::default(),
        }
    }

    /// A service account may need a token first.
    pub fn calls_per_list(&self) -> usize {
        1 + self.access.calls_before()
    }

    /// All servers of the project: there is nothing that a listing can ask for, and there are no pages.
    pub fn list_request(&self) -> Request {
        self.get_request("/instance")
    }

    /// One server.
    pub fn get_instance_request(&self, native: &str) -> Request {
        self.get_request(&format!("/instance/{native}"))
    }

    /// Deletes one server, switched on or off.
    pub fn delete_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/instance/{native}"), Vec::new())
    }

    /// Gives a server another name.
    pub fn rename_request(&self, native: &str, name: &str) -> Request {
        let body = schema::Rename { instance_name: name };
        self.json_request(Method::Put, &format!("/instance/{native}"), &body)
    }

    /// Shows every matching VM to `sink`.
    pub async fn for_each<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
        mut sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let answer = self.send(host, self.list_request()).await?;
        for instance in parse::<Vec<schema::Instance>>(&answer)? {
            let (name, labels) = read_name(&instance.name);
            if selector.matches(&labels) {
                sink(&vm(instance, name, labels));
            }
        }
        Ok(None)
    }

    /// One server by its id.
    pub async fn get<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<Vm<'static>>, Error> {
        Ok(self.instance(host, native).await?.map(Vm::from))
    }

    /// Deletes a server, switched on or off; its address goes with it. That it is gone already is success.
    pub async fn delete<H: Http + Random + Clock>(&self, host: &H, native: &str) -> Result<(), Error> {
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() || kind == ErrorKind::Locked;
        let host = &Signing::new(host, &self.access);
        absent_is_fine(
            send_repeatable(host, NAME, self.delete_request(native), parse_error, may_repeat).await,
        )
    }

    /// Changes labels: read, change, write back whole, since a name is one.
    pub async fn relabel<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        let Some(instance) = self.instance(host, native).await? else { return Ok(false) };
        let (name, mut labels) = read_name(&instance.name);
        if labels.is_empty() {
            // Somebody has renamed it: it is not ours any more.
            return Ok(false);
        }
        for (key, value) in changes {
            match value {
                Some(value) => labels.insert((*key).to_owned(), value.clone()),
                None => labels.remove(*key),
            };
        }
        let new = packed_name::of_server(&name, &labels).ok_or_else(no_room)?;
        if new == instance.name {
            return Ok(true);
        }
        found(self.send(host, self.rename_request(native, &new)).await)
    }

    async fn instance<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<schema::Instance>, Error> {
        match self.send(host, self.get_instance_request(native)).await {
            Ok(response) => parse(&response).map(Some),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A request for something of the project's. What proves whose it is comes when it is sent.
    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request {
        let mut headers = Vec::new();
        if !body.is_empty() {
            headers.push(("content-type", "application/json".into()));
        }
        let url = format!("{}/cloud/project/{}{path}", self.api_url, self.project);
        Request { method, url, headers, body, timeout_ms: PROVIDER_TIMEOUT_MS }
    }

    fn get_request(&self, path: &str) -> Request {
        self.request(Method::Get, path, Vec::new())
    }

    fn json_request(&self, method: Method, path: &str, body: &impl serde::Serialize) -> Request {
        // Our schema types are structs of strings and numbers: they always serialise.
        self.request(method, path, serde_json::to_vec(body).unwrap_or_default())
    }

    /// For requests that may be repeated; each try is signed anew.
    async fn send<H: Http + Random + Clock>(&self, host: &H, request: Request) -> Result<Response, Error> {
        let host = &Signing::new(host, &self.access);
        // A server in another state is in it a moment later, too.
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() && kind != ErrorKind::Conflict;
        send_repeatable(host, NAME, request, parse_error, may_repeat).await
    }

    /// For requests that must not be.
    async fn send_once<H: Http + Clock>(&self, host: &H, request: Request) -> Result<Response, Error> {
        send_once(&Signing::new(host, &self.access), NAME, request, parse_error).await
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(response: &'a Response) -> Result<T, Error> {
    super::send::parse(NAME, response)
}

/// The host name and the labels; of a name that is not ours all of it, and none.
fn read_name(name: &str) -> (String, BTreeMap<String, String>) {
    match packed_name::read(name) {
        Some((front, labels, _)) => (front.to_owned(), labels),
        None => (name.to_owned(), BTreeMap::new()),
    }
}

fn no_room() -> Error {
    Error::new(NAME, ErrorKind::Invalid, "takes no name that holds all of deployment, owner and identity")
}

/// A region as locations are written.
fn location(region: &str) -> String {
    region.to_ascii_lowercase()
}

/// A location as OVHcloud writes regions.
fn region(location: &str) -> String {
    location.to_ascii_uppercase()
}

impl From<schema::Instance> for Vm<'static> {
    fn from(instance: schema::Instance) -> Self {
        let (name, labels) = read_name(&instance.name);
        vm(instance, name, labels)
    }
}

fn vm(instance: schema::Instance, name: String, labels: BTreeMap<String, String>) -> Vm<'static> {
    let state = match instance.status.as_str() {
        "BUILD" | "BUILDING" | "REBUILD" | "RESUMING" | "UNSHELVING" => VmState::Creating,
        "ACTIVE" | "REBOOT" | "HARD_REBOOT" | "PASSWORD" | "SNAPSHOTTING" => VmState::Running,
        "SHELVING" => VmState::Stopping,
        "SHUTOFF" | "STOPPED" | "SHELVED" | "SHELVED_OFFLOADED" | "SUSPENDED" | "PAUSED" => VmState::Stopped,
        "DELETING" | "DELETED" | "SOFT_DELETED" => VmState::Deleting,
        // `ERROR`, rescue and whatever comes later: nothing is done on its account.
        _ => VmState::Unknown,
    };
    let public = |version: u8| {
        let is_it = |it: &&schema::IpAddress| it.version == version && it.r#type == "public";
        instance.ip_addresses.iter().find(is_it).map(|it| it.ip.clone())
    };
    let (ipv4, ipv6) = (public(4), public(6));
    // The list names no flavor, but the plan, which begins with its name: `b3-8.consumption`.
    let plan = instance.plan_code.as_deref().and_then(|it| it.split_once('.')).map(|(it, _)| it.to_owned());
    let server_type = instance.flavor.map(|it| it.name).or(plan).unwrap_or(instance.flavor_id);
    Vm {
        id: VmId { provider: NAME, native: instance.id },
        name: name.into(),
        state,
        created_secs: from_rfc3339(&instance.created).unwrap_or(0),
        ipv4: ipv4.map(Into::into),
        // One address of a network that strangers have addresses in, too.
        ipv6: ipv6.map(|it| format!("{it}/128").into()),
        location: location(&instance.region).into(),
        server_type: server_type.into(),
        market: Market::OnDemand,
        labels: VmLabels::from_map(labels),
    }
}

/// Reads an error: its code and the status decide, and where they say too little, its sentence. Only that, cleaned and cut,
/// leaves.
fn parse_error(response: &Response) -> Error {
    let answer = serde_json::from_slice::<schema::ErrorAnswer>(&response.body).ok();
    let Some(answer) = answer.filter(|it| it.message.is_some() || it.error.is_some()) else {
        return error_of_status(response);
    };
    let message = answer.message.or(answer.error_description).unwrap_or_default();
    let code = answer.error_code.or(answer.class).or(answer.error).unwrap_or_default();
    let said = message.to_ascii_lowercase();
    if response.status == 404 && ["servicename", "this service"].iter().any(|it| said.contains(it)) {
        return Error::new(NAME, ErrorKind::Invalid, "does not know the project in OVH_PROJECT_ID");
    }
    let kind = kind_of(response.status, &code, &said);
    let detail = match kind {
        ErrorKind::Unauthorized => {
            format!("refuses the credential ({}); see OVH_* in the README", clean(&code, 40))
        }
        ErrorKind::TokenReadonly => {
            format!(
                "says that the credential may not do this ({}); grant it all of the project",
                clean(&code, 40)
            )
        }
        _ => format!("answered {}: {}", clean(&code, 60), clean(&message, 160)),
    };
    with_wait(Error::new(NAME, kind, detail), response)
}

/// Codes are OVHcloud's own ("First Steps with the OVHcloud APIs", and its clients), sentences those of OpenStack's Compute
/// service behind it, as clients have reported them.
fn kind_of(status: u16, code: &str, said: &str) -> ErrorKind {
    let says = |words: &[&str]| words.iter().any(|it| said.contains(it));
    let is_signing =
        ["NOT_CREDENTIAL", "INVALID_CREDENTIAL", "INVALID_KEY", "INVALID_SIGNATURE", "QUERY_TIME_OUT"];
    match status {
        401 => ErrorKind::Unauthorized,
        400 | 403 if is_signing.contains(&code) || says(&["invalid signature"]) => ErrorKind::Unauthorized,
        // Of another thing's absence, such as a wrong address, it says nothing about the one that was asked for.
        404 if code.starts_with("Client::NotFound")
            || says(&["not found", "does not exist", "not exist"]) =>
        {
            ErrorKind::NotFound
        }
        404 => ErrorKind::Malformed,
        409 if says(&["already exist", "already used"]) => ErrorKind::AlreadyExists,
        409 if says(&["task_state", "locked"]) => ErrorKind::Locked,
        409 => ErrorKind::Conflict,
        423 => ErrorKind::Locked,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ if says(&["quota"]) => ErrorKind::Quota,
        403 => ErrorKind::TokenReadonly,
        _ if says(&["no valid host", "not available", "unavailable", "out of stock", "not enough"]) => {
            ErrorKind::Capacity
        }
        _ => ErrorKind::Invalid,
    }
}

/// For answers that are not OVHcloud's own JSON: a proxy's page, half a body. A 404 of such a kind is no proof that anything
/// is gone.
fn error_of_status(response: &Response) -> Error {
    let kind = match response.status {
        401 | 403 => ErrorKind::Unauthorized,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    };
    let detail = format!("answered with status {} and no error message", response.status);
    with_wait(Error::new(NAME, kind, detail), response)
}

fn with_wait(mut error: Error, response: &Response) -> Error {
    error.retry_after_secs = match error.kind {
        ErrorKind::RateLimited => {
            response.header("retry-after").and_then(|it| it.parse().ok()).or(Some(RATE_LIMIT_WAIT_SECS))
        }
        ErrorKind::Locked | ErrorKind::Conflict => Some(5),
        _ => None,
    };
    error
}
