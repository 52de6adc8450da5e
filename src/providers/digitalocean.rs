//! DigitalOcean: requests as values, answers read into our types, and the calls that send one through the other. Creation is
//! in `create`, what is sold in `catalogue`, power and snapshots in `power`, keys, firewall and leftovers in `shared`; how
//! labels become tags is in `labels::tags`.
//!
//! Facts are from the DigitalOcean API reference and its OpenAPI document (2026-11) unless a comment says otherwise. Nothing
//! is ever deleted by tag: that call takes every droplet that carries it.

mod catalogue;
mod create;
mod power;
mod schema;
mod shared;

use std::collections::BTreeMap;

use super::send::{absent_is_fine, clean, found, send_once, send_repeatable};
use super::{Error, ErrorKind, MAX_PAGES, RateBudget, side_by_side};
use crate::config::DigitalOceanConfig;
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::labels::tags::{self, Group};
use crate::labels::{LabelChange, Selector, VmLabels};
use crate::model::{ProviderName, Vm, VmId, VmState};
use crate::secret::Secret;
use crate::workspace::Market;

/// Largest user data, bytes ("Create a New Droplet", `user_data`: 64 KiB).
pub const USER_DATA_MAX_BYTES: usize = 65_536;
/// Largest page.
const PER_PAGE: u32 = 200;
/// A wait that is long enough for the limit of 250 requests a minute, where an answer names none, seconds.
const RATE_LIMIT_WAIT_SECS: u32 = 60;
const NAME: ProviderName = ProviderName::DigitalOcean;

/// Access to one DigitalOcean team.
#[derive(Clone, Debug)]
pub struct DigitalOcean {
    api_url: String,
    token: Secret,
}

impl DigitalOcean {
    /// Access as configured.
    pub fn new(config: &DigitalOceanConfig) -> Self {
        Self { api_url: config.api_url.clone(), token: config.token.clone() }
    }

    /// A page of the droplets of a deployment: one tag is all that a listing can ask for.
    pub fn list_request(&self, deployment: &str, page: u32) -> Request {
        let tag = tags::deployment_tag(deployment);
        self.get_request(&format!("/droplets?tag_name={tag}&page={page}&per_page={PER_PAGE}"))
    }

    /// One droplet.
    pub fn get_droplet_request(&self, native: &str) -> Request {
        self.get_request(&format!("/droplets/{native}"))
    }

    /// Deletes one droplet.
    pub fn delete_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/droplets/{native}"), Vec::new())
    }

    /// Makes a tag; one that is there already stays.
    pub fn create_tag_request(&self, name: &str) -> Request {
        self.json_request(Method::Post, "/tags", &schema::CreateTag { name })
    }

    /// Puts a tag on a droplet or image.
    pub fn tag_request(&self, tag: &str, kind: &str, native: &str) -> Request {
        let resources = [schema::TaggedResource { resource_id: native, resource_type: kind }];
        self.json_request(
            Method::Post,
            &format!("/tags/{tag}/resources"),
            &schema::TagResources { resources },
        )
    }

    /// Deletes a tag, and takes it off whatever carries it; the carriers stay.
    pub fn delete_tag_request(&self, tag: &str) -> Request {
        self.request(Method::Delete, &format!("/tags/{tag}"), Vec::new())
    }

    /// Shows every matching VM to `sink`. What a listing cannot ask for is sorted out here.
    pub async fn for_each<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
        mut sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let deployment = selector.deployment_name();
        let budget = std::cell::Cell::new(None);
        let read = |answer: &Response| {
            let left = answer.header("ratelimit-remaining").and_then(|it| it.parse().ok());
            budget.set(left.or(budget.get()));
            Ok(parse::<schema::Droplets>(answer)?.droplets)
        };
        for droplet in self.pages(host, |page| self.list_request(deployment, page), read).await? {
            let labels = labels_of(&droplet.tags);
            if selector.matches(&labels) {
                sink(&vm(droplet, labels));
            }
        }
        Ok(budget.get())
    }

    /// Everything on the pages of a listing. The first says how much there is, and the others are asked for side by side; what is
    /// still to come after them, since it has grown meanwhile, follows page by page.
    async fn pages<H: Http + Random, T>(
        &self,
        host: &H,
        request: impl Fn(u32) -> Request,
        read: impl Fn(&Response) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let first = self.send(host, request(1)).await?;
        let mut all = read(&first)?;
        let frame: schema::Frame = parse(&first)?;
        if frame.links.pages.next.is_none() {
            return Ok(all);
        }
        let last = u32::try_from(frame.meta.total.div_ceil(all.len().max(1))).unwrap_or(MAX_PAGES);
        let mut last = last.clamp(2, MAX_PAGES);
        let mut answers = side_by_side((2..=last).map(|page| self.send(host, request(page)))).await;
        loop {
            let mut has_more = false;
            for answer in answers {
                let answer = answer?;
                all.extend(read(&answer)?);
                has_more = parse::<schema::Frame>(&answer)?.links.pages.next.is_some();
            }
            if !has_more || last == MAX_PAGES {
                return Ok(all);
            }
            last += 1;
            answers = vec![self.send(host, request(last)).await];
        }
    }

    /// One droplet by its id.
    pub async fn get<H: Http + Random>(&self, host: &H, native: &str) -> Result<Option<Vm<'static>>, Error> {
        match self.send(host, self.get_droplet_request(native)).await {
            Ok(response) => parse_droplet(&response).map(Some),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a droplet, switched on or off; its tags are leftovers then. That it is gone already is success.
    pub async fn delete<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() || kind == ErrorKind::Locked;
        absent_is_fine(
            send_repeatable(host, NAME, self.delete_request(native), parse_error, may_repeat).await,
        )
    }

    /// Changes labels: reads them all, puts the new tags of the groups that change on the droplet, then deletes the old ones.
    pub async fn relabel<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        let answer = match self.send(host, self.get_droplet_request(native)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
            answer => answer?,
        };
        let old = parse::<schema::DropletAnswer>(&answer)?.droplet.tags;
        let before = labels_of(&old);
        let mut labels = before.clone();
        for (key, value) in changes {
            match value {
                Some(value) => labels.insert((*key).to_owned(), value.clone()),
                None => labels.remove(*key),
            };
        }
        for group in Group::ALL {
            if tags::own(&labels, group, 0) == tags::own(&before, group, 0) {
                continue;
            }
            for tag in tags::own(&labels, group, tags::newest(&old, group).saturating_add(1)) {
                self.send(host, self.create_tag_request(&tag)).await?;
                if !found(self.send(host, self.tag_request(&tag, "droplet", native)).await)? {
                    return self.vanished(host, native).await;
                }
            }
            for tag in old.iter().filter(|it| tags::is_of(it, group)) {
                // One that stays is older than the new ones, and the next change tries again.
                let _ = self.send(host, self.delete_tag_request(tag)).await;
            }
        }
        Ok(true)
    }

    /// A tag could not be put on a droplet: either is gone.
    async fn vanished<H: Http + Random>(&self, host: &H, native: &str) -> Result<bool, Error> {
        match self.get(host, native).await? {
            None => Ok(false),
            Some(_) => Err(Error::new(NAME, ErrorKind::Conflict, "lost a tag while it was being written")),
        }
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request {
        let mut headers = vec![("authorization", format!("Bearer {}", self.token.expose()))];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".into()));
        }
        let url = format!("{}{path}", self.api_url);
        Request { method, url, headers, body, timeout_ms: PROVIDER_TIMEOUT_MS }
    }

    fn get_request(&self, path: &str) -> Request {
        self.request(Method::Get, path, Vec::new())
    }

    fn json_request(&self, method: Method, path: &str, body: &impl serde::Serialize) -> Request {
        // Our schema types are structs of strings and numbers: they always serialise.
        self.request(method, path, serde_json::to_vec(body).unwrap_or_default())
    }

    /// For requests that may be repeated.
    async fn send<H: Http + Random>(&self, host: &H, request: Request) -> Result<Response, Error> {
        send_repeatable(host, NAME, request, parse_error, ErrorKind::is_repeatable).await
    }

    /// For requests that must not be.
    async fn send_once<H: Http>(&self, host: &H, request: Request) -> Result<Response, Error> {
        send_once(host, NAME, request, parse_error).await
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(response: &'a Response) -> Result<T, Error> {
    super::send::parse(NAME, response)
}

fn parse_droplet(response: &Response) -> Result<Vm<'static>, Error> {
    let droplet = parse::<schema::DropletAnswer>(response)?.droplet;
    let labels = labels_of(&droplet.tags);
    Ok(vm(droplet, labels))
}

fn labels_of(tags: &[String]) -> BTreeMap<String, String> {
    tags::read(tags.iter().map(String::as_str))
}

fn vm(droplet: schema::Droplet, labels: BTreeMap<String, String>) -> Vm<'static> {
    let state = match droplet.status.as_str() {
        "new" => VmState::Creating,
        "active" => VmState::Running,
        "off" => VmState::Stopped,
        // `archive` and whatever comes later: nothing is done on its account.
        _ => VmState::Unknown,
    };
    let public = droplet.networks.v4.into_iter().find(|it| it.r#type == "public");
    Vm {
        id: VmId { provider: NAME, native: droplet.id.to_string() },
        name: droplet.name.into(),
        state,
        created_secs: from_rfc3339(&droplet.created_at).unwrap_or(0),
        ipv4: public.map(|it| it.ip_address.into()),
        // None is asked for: a droplet's addresses are 16 of a network of 64 bits that strangers have addresses in, too.
        ipv6: None,
        location: droplet.region.slug.into(),
        server_type: droplet.size_slug.into(),
        market: Market::OnDemand,
        labels: VmLabels::from_map(labels),
    }
}

/// Reads an error: the status decides, and where it says too little, DigitalOcean's sentence, since most refusals have the
/// same `id` `unprocessable_entity`. Only the sentence, cleaned and cut, leaves.
fn parse_error(response: &Response) -> Error {
    let answer = serde_json::from_slice::<schema::ErrorAnswer>(&response.body).ok();
    let said = answer.map(|it| (it.id.or(it.error).unwrap_or_default(), it.message.unwrap_or_default()));
    let Some((id, message)) = said.filter(|(id, _)| !id.is_empty()) else {
        return error_of_status(response);
    };
    let kind = kind_of(response.status, &message.to_ascii_lowercase());
    let detail = match kind {
        ErrorKind::Unauthorized => "refuses the token in DIGITALOCEAN_TOKEN".into(),
        ErrorKind::TokenReadonly => {
            "says that the token in DIGITALOCEAN_TOKEN may not do this; create one with full access".into()
        }
        _ => format!("answered {}: {}", clean(&id, 40), clean(&message, 160)),
    };
    with_wait(Error::new(NAME, kind, detail), response)
}

/// The sentences are those that clients of the API have reported.
fn kind_of(status: u16, message: &str) -> ErrorKind {
    let says = |words: &[&str]| words.iter().any(|it| message.contains(it));
    match status {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::TokenReadonly,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::AlreadyExists,
        423 => ErrorKind::Locked,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ if says(&["droplet limit", "limit exceeded", "restricted"]) => ErrorKind::Quota,
        _ if says(&["pending event", "currently locked"]) => ErrorKind::Locked,
        _ if says(&["already in use", "already exists", "must be unique", "duplicate"]) => {
            ErrorKind::AlreadyExists
        }
        // Sizes are listed as available in regions that are out of them all the same.
        _ if says(&["size", "region"]) && says(&["unavailable", "not available"]) => ErrorKind::Capacity,
        _ => ErrorKind::Invalid,
    }
}

/// For answers that are not DigitalOcean's own JSON: a proxy's page, half a body. A 404 of such a kind is no proof that
/// anything is gone.
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
