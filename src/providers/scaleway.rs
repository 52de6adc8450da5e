//! Scaleway Instances: requests as values, answers read into our types, and the calls that send one through the other.
//! Creation is in `create`, ends in `end`, what is sold in `catalogue`, power and snapshots in `power`, security group and
//! leftovers in `shared`; how labels become tags is in `labels::pairs`.
//!
//! Everything is per zone, so our ids are `<zone>-<Scaleway's id>` and a listing asks all zones side by side. Facts are from
//! the Scaleway Instance API and its OpenAPI document (2026-11) unless a comment says otherwise. Recorded traffic of
//! Scaleway's own command line answers 201, 202 and 204 where the document says 200: any 2xx is success.

mod catalogue;
mod create;
mod end;
mod power;
mod schema;
mod shared;

use std::collections::BTreeMap;

use super::send::{absent_is_fine, clean, found, send_once, send_repeatable};
use super::{Error, ErrorKind, MAX_PAGES, RateBudget, side_by_side};
use crate::config::ScalewayConfig;
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::labels::{DEPLOYMENT, LabelChange, LabelSet, MANAGED_BY, OWNER, Selector, VM, VmLabels, pairs};
use crate::model::{ProviderName, Vm, VmId, VmState};
use crate::secret::Secret;
use crate::workspace::Market;

/// Largest user data, bytes. Scaleway documents no limit; this is what the narrower vendor with one of this order takes.
pub const USER_DATA_MAX_BYTES: usize = 32_768;
/// Largest page.
const PER_PAGE: usize = 100;
/// What disks and the snapshots of disks are labelled with: whose they are.
const OF_DISK: [&str; 4] = [MANAGED_BY, DEPLOYMENT, OWNER, VM];
/// Characters of a zone such as `fr-par-1`.
const ZONE_CHARS: usize = 8;
/// How much a listing has on all its pages.
const TOTAL_COUNT: &str = "x-total-count";
const NAME: ProviderName = ProviderName::Scaleway;

/// Access to one Scaleway project.
#[derive(Clone, Debug)]
pub struct Scaleway {
    api_url: String,
    secret_key: Secret,
    project: String,
    zones: Vec<String>,
}

impl Scaleway {
    /// Access as configured.
    pub fn new(config: &ScalewayConfig) -> Self {
        Self {
            api_url: config.api_url.clone(),
            secret_key: config.secret_key.clone(),
            project: config.project_id.clone(),
            zones: config.zones.clone(),
        }
    }

    /// How many zones are asked.
    pub fn zones(&self) -> usize {
        self.zones.len()
    }

    /// A page of what a zone has with all the tags of a selector: `servers`, `volumes`, `snapshots` or `security_groups`.
    pub fn list_request(&self, kind: &str, zone: &str, selector: &Selector, page: u32) -> Request {
        let tags =
            selector.pairs().map(|(key, value)| format!("{key}%3D{value}")).collect::<Vec<_>>().join("%2C");
        let project = &self.project;
        self.get_request(&instance(
            zone,
            &format!("/{kind}?project={project}&tags={tags}&page={page}&per_page={PER_PAGE}"),
        ))
    }

    /// One server.
    pub fn get_server_request(&self, native: &str) -> Request {
        self.get_request(&server_path(native))
    }

    /// Replaces all tags of a server.
    pub fn retag_request(&self, native: &str, tags: Vec<String>) -> Request {
        self.json_request(Method::Patch, &server_path(native), &schema::Tags { tags })
    }

    /// Writes labels as the tags of whatever has this path.
    fn tag_request(&self, path: &str, labels: &BTreeMap<String, String>) -> Request {
        let tags = pairs::pack(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        self.json_request(Method::Patch, path, &schema::Tags { tags })
    }

    /// Shows every matching VM to `sink`, zone after zone. A zone that fails does not hide the others' VMs, but the listing
    /// has failed.
    pub async fn for_each<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
        mut sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let zones = side_by_side(self.zones.iter().map(|zone| async move {
            let request = |page| self.list_request("servers", zone, selector, page);
            self.pages(host, request, |it| Ok(parse::<schema::Servers>(it)?.servers)).await
        }))
        .await;
        let mut failed = None;
        for zone in zones {
            match zone {
                Ok(servers) => servers.into_iter().for_each(|it| sink(&Vm::from(it))),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// One server by its id.
    pub async fn get<H: Http + Random>(&self, host: &H, native: &str) -> Result<Option<Vm<'static>>, Error> {
        Ok(self.server(host, native).await?.map(Vm::from))
    }

    /// Changes labels: read, change, write back whole, since a write replaces all tags.
    pub async fn relabel<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        let Some(server) = self.server(host, native).await? else { return Ok(false) };
        let is_changed = |tag: &str| changes.iter().any(|(key, _)| tag.split('=').next() == Some(key));
        let mut tags: Vec<String> = server.tags.iter().filter(|it| !is_changed(it)).cloned().collect();
        let new = changes.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        tags.extend(pairs::pack(new));
        let sorted = |tags: &[String]| {
            let mut tags = tags.to_vec();
            tags.sort();
            tags
        };
        if sorted(&tags) == sorted(&server.tags) {
            return Ok(true);
        }
        found(self.send(host, self.retag_request(native, tags)).await)
    }

    async fn server<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<schema::Server>, Error> {
        match self.send(host, self.get_server_request(native)).await {
            Ok(response) => Ok(Some(parse::<schema::ServerAnswer>(&response)?.server)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything on the pages of a listing. The first says how much there is, and the others are asked for side by side;
    /// where it does not, the next is asked for until one is not full.
    async fn pages<H: Http + Random, T>(
        &self,
        host: &H,
        request: impl Fn(u32) -> Request,
        read: impl Fn(&Response) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let first = self.send(host, request(1)).await?;
        let mut all = read(&first)?;
        let Some(total) = first.header(TOTAL_COUNT).and_then(|it| it.parse::<usize>().ok()) else {
            let mut page = 1;
            while all.len() == page as usize * PER_PAGE && page < MAX_PAGES {
                page += 1;
                all.extend(read(&self.send(host, request(page)).await?)?);
            }
            return Ok(all);
        };
        let last = u32::try_from(total.div_ceil(PER_PAGE)).unwrap_or(MAX_PAGES).min(MAX_PAGES);
        let others = side_by_side((2..=last).map(|page| {
            let (request, read) = (request(page), &read);
            async move { read(&self.send(host, request).await?) }
        }));
        for page in others.await {
            all.extend(page?);
        }
        Ok(all)
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>, content_type: &str) -> Request {
        let mut headers = vec![("x-auth-token", self.secret_key.expose().to_owned())];
        if !body.is_empty() {
            headers.push(("content-type", content_type.to_owned()));
        }
        let url = format!("{}{path}", self.api_url);
        Request { method, url, headers, body, timeout_ms: PROVIDER_TIMEOUT_MS }
    }

    fn get_request(&self, path: &str) -> Request {
        self.request(Method::Get, path, Vec::new(), "")
    }

    fn delete_path_request(&self, path: &str) -> Request {
        self.request(Method::Delete, path, Vec::new(), "")
    }

    fn json_request(&self, method: Method, path: &str, body: &impl serde::Serialize) -> Request {
        // Our schema types are structs of strings and numbers: they always serialise.
        self.request(method, path, serde_json::to_vec(body).unwrap_or_default(), "application/json")
    }

    /// For requests that may be repeated. A precondition is not met a moment later either.
    async fn send<H: Http + Random>(&self, host: &H, request: Request) -> Result<Response, Error> {
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() && kind != ErrorKind::Conflict;
        send_repeatable(host, NAME, request, parse_error, may_repeat).await
    }

    /// For requests that must not be.
    async fn send_once<H: Http>(&self, host: &H, request: Request) -> Result<Response, Error> {
        send_once(host, NAME, request, parse_error).await
    }
}

/// A path of a zone's Instance API.
fn instance(zone: &str, path: &str) -> String {
    format!("/instance/v1/zones/{zone}{path}")
}

/// A path of a zone's Block Storage API.
fn block(zone: &str, path: &str) -> String {
    format!("/block/v1alpha1/zones/{zone}{path}")
}

/// Zone and Scaleway's id. Ids come from [`ProviderName::is_native`] or from [`native`], so there is always a zone.
fn split(native: &str) -> (&str, &str) {
    let (zone, id) = native.split_at_checked(ZONE_CHARS).unwrap_or(("", native));
    (zone, id.trim_start_matches('-'))
}

fn native(zone: &str, id: &str) -> String {
    format!("{zone}-{id}")
}

fn server_path(native: &str) -> String {
    let (zone, id) = split(native);
    instance(zone, &format!("/servers/{id}"))
}

fn parse<'a, T: serde::Deserialize<'a>>(response: &'a Response) -> Result<T, Error> {
    super::send::parse(NAME, response)
}

fn tags_of(labels: &LabelSet) -> Vec<String> {
    pairs::pack(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn labels_of(tags: &[String]) -> BTreeMap<String, String> {
    pairs::read(tags.iter().map(String::as_str))
}

fn secs(date: Option<&str>) -> u64 {
    date.and_then(from_rfc3339).unwrap_or(0)
}

impl From<schema::Server> for Vm<'static> {
    fn from(server: schema::Server) -> Self {
        let state = match server.state.as_str() {
            "running" => VmState::Running,
            "starting" => VmState::Creating,
            "stopping" => VmState::Stopping,
            // In place it is switched off, too, and billed in full.
            "stopped" | "stopped in place" => VmState::Stopped,
            // `locked` and whatever comes later: nothing is done on its account.
            _ => VmState::Unknown,
        };
        let ipv4 = server.public_ips.into_iter().find(|it| it.family == "inet");
        Self {
            id: VmId { provider: NAME, native: native(&server.zone, &server.id) },
            name: server.name.into(),
            state,
            created_secs: secs(server.creation_date.as_deref()),
            ipv4: ipv4.map(|it| it.address.into()),
            ipv6: None,
            location: server.zone.into(),
            server_type: server.commercial_type.into(),
            market: Market::OnDemand,
            labels: VmLabels::from_map(labels_of(&server.tags)),
        }
    }
}

/// Reads an error: Scaleway's `type` decides, the status where there is none. Only its message, cleaned and cut, leaves.
fn parse_error(response: &Response) -> Error {
    let mut error = match serde_json::from_slice::<schema::ErrorAnswer>(&response.body) {
        Ok(answer) => error_of_body(&answer, response.status),
        Err(_) => error_of_status(response.status),
    };
    if error.kind == ErrorKind::NotFound && response.status >= 500 {
        // A failure is no proof that anything is gone, whatever it says.
        error.kind = ErrorKind::Unavailable;
    }
    error.retry_after_secs = match error.kind {
        ErrorKind::RateLimited => response.header("retry-after").and_then(|it| it.parse().ok()).or(Some(10)),
        ErrorKind::Locked | ErrorKind::Conflict => Some(5),
        _ => None,
    };
    error
}

fn error_of_body(body: &schema::ErrorAnswer, status: u16) -> Error {
    let kind = match body.r#type.as_str() {
        "denied_authentication" | "invalid_auth" => ErrorKind::Unauthorized,
        "permissions_denied" => ErrorKind::TokenReadonly,
        "out_of_stock" => ErrorKind::Capacity,
        "quotas_exceeded" => ErrorKind::Quota,
        "too_many_requests" => ErrorKind::RateLimited,
        "not_found" | "unknown_resource" => ErrorKind::NotFound,
        "transient_state" | "locked" | "resource_still_in_use" => ErrorKind::Locked,
        "precondition_failed" | "conflict" => ErrorKind::Conflict,
        "internal_error" | "internal" | "temporarily_unavailable" => ErrorKind::Unavailable,
        _ if status == 429 => ErrorKind::RateLimited,
        _ if status >= 500 => ErrorKind::Unavailable,
        // A type that a zone does not sell is an argument that is wrong.
        "invalid_arguments" if body.details.iter().any(|it| it.argument_name == "commercial_type") => {
            ErrorKind::Capacity
        }
        _ => ErrorKind::Invalid,
    };
    let detail = match kind {
        ErrorKind::Unauthorized => "refuses the key in SCALEWAY_SECRET_KEY".into(),
        ErrorKind::TokenReadonly => {
            "says that the key in SCALEWAY_SECRET_KEY may not do this; give it InstancesFullAccess in the project".into()
        }
        _ => {
            let more: Vec<String> =
                body.details.iter().map(|it| format!(" [{} {}]", it.argument_name, it.help_message)).collect();
            format!(
                "answered {}: {}{}",
                clean(&body.r#type, 40),
                clean(&body.message, 160),
                clean(&more.concat(), 120)
            )
        }
    };
    Error::new(NAME, kind, detail)
}

/// For answers that are not Scaleway's own JSON: a proxy's page, half a body. A 404 of such a kind is no proof that anything
/// is gone.
fn error_of_status(status: u16) -> Error {
    let kind = match status {
        401 | 403 => ErrorKind::Unauthorized,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    };
    Error::new(NAME, kind, format!("answered with status {status} and no error message"))
}
