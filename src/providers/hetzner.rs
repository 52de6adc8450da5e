//! Hetzner Cloud: requests as values, answers read into our types, and the calls that send one through the other. Creation
//! is in `create`, what is sold in `catalogue`, power and snapshots in `power`, keys, firewall and leftovers in
//! `shared`.
//!
//! Facts are from the Hetzner Cloud API reference and its OpenAPI document (2026-11) unless a comment says otherwise.

mod catalogue;
mod create;
mod power;
mod schema;
mod shared;

use std::collections::BTreeMap;

use super::send::{absent_is_fine, clean, found, send_once, send_repeatable};
use super::{Error, ErrorKind, MAX_PAGES, RateBudget, side_by_side};
use crate::config::HetznerConfig;
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::labels::{LabelChange, LabelSet, Selector};
use crate::model::{ProviderName, Vm, VmId, VmState};
use crate::secret::Secret;
use crate::workspace::Market;

/// Largest user data, bytes ("Create a Server", `user_data`: 32 KiB).
pub const USER_DATA_MAX_BYTES: usize = 32_768;
/// Largest page.
const PER_PAGE: u32 = 50;
const NAME: ProviderName = ProviderName::Hetzner;

/// Access to one Hetzner Cloud project.
#[derive(Clone, Debug)]
pub struct Hetzner {
    api_url: String,
    token: Secret,
}

impl Hetzner {
    /// Access as configured.
    pub fn new(config: &HetznerConfig) -> Self {
        Self { api_url: config.api_url.clone(), token: config.token.clone() }
    }

    /// A page of the servers that match.
    pub fn list_request(&self, selector: &Selector, page: u32) -> Request {
        self.get_request(&format!(
            "/servers?label_selector={}&page={page}&per_page={PER_PAGE}",
            selector.to_query()
        ))
    }

    /// One server.
    pub fn get_server_request(&self, native: &str) -> Request {
        self.get_request(&format!("/servers/{native}"))
    }

    /// Deletes a server; attached resources are detached, not deleted.
    pub fn delete_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/servers/{native}"), Vec::new())
    }

    /// Replaces the whole label set of a server.
    pub fn relabel_request(&self, native: &str, labels: &BTreeMap<String, String>) -> Request {
        let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.json_request(Method::Put, &format!("/servers/{native}"), &schema::UpdateLabels { labels })
    }

    /// Shows every matching VM to `sink`. The first answer tells how many pages there are; the others are asked for side
    /// by side.
    pub async fn for_each<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
        mut sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let first = self.send(host, self.list_request(selector, 1)).await?;
        let pagination = parse_list(&first, &mut sink)?;
        let budget = first.header("ratelimit-remaining").and_then(|it| it.parse().ok());
        drop(first);
        // A page that does not go on would be shown twice.
        let Some(next) = pagination.next_page.filter(|it| *it > 1) else { return Ok(budget) };
        if let Some(last) = pagination.last_page {
            let pages = next..=last.min(MAX_PAGES);
            let answers =
                side_by_side(pages.map(|page| self.send(host, self.list_request(selector, page)))).await;
            for answer in answers {
                parse_list(&answer?, &mut sink)?;
            }
            return Ok(budget);
        }
        // `last_page` may be null by the specification: then there is nothing but to follow.
        let mut next = Some(next);
        while let Some(page) = next.filter(|it| *it <= MAX_PAGES) {
            let answer = self.send(host, self.list_request(selector, page)).await?;
            next = parse_list(&answer, &mut sink)?.next_page.filter(|it| *it > page);
        }
        Ok(budget)
    }

    /// One server by its id.
    pub async fn get<H: Http + Random>(&self, host: &H, native: &str) -> Result<Option<Vm<'static>>, Error> {
        match self.send(host, self.get_server_request(native)).await {
            Ok(response) => parse_server(&response).map(|it| Some(it.vm)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a server; that it is gone already is success. A repeated DELETE does no harm, and a lock of a moment (the
    /// server is being created) is waited for.
    pub async fn delete<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() || kind == ErrorKind::Locked;
        absent_is_fine(
            send_repeatable(host, NAME, self.delete_request(native), parse_error, may_repeat).await,
        )
    }

    /// Changes labels: read, change, write back whole, since a write replaces the set.
    pub async fn relabel<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        let answer = match self.send(host, self.get_server_request(native)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
            answer => answer?,
        };
        let mut labels = parse::<schema::LabelsAnswer>(&answer)?.server.labels;
        let before = labels.clone();
        for (key, value) in changes {
            match value {
                Some(value) => labels.insert((*key).to_owned(), value.clone()),
                None => labels.remove(*key),
            };
        }
        if labels == before {
            return Ok(true);
        }
        found(self.send(host, self.relabel_request(native, &labels)).await)
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request {
        let mut headers = vec![("authorization", format!("Bearer {}", self.token.expose()))];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".into()));
        }
        Request {
            method,
            url: format!("{}{path}", self.api_url),
            headers,
            body,
            timeout_ms: PROVIDER_TIMEOUT_MS,
        }
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

fn as_map(labels: &LabelSet) -> BTreeMap<&str, &str> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// A server with the ids of its addresses.
pub(in crate::providers) struct ParsedServer {
    vm: Vm<'static>,
    primary_ips: Vec<u64>,
}

fn parse<'a, T: serde::Deserialize<'a>>(response: &'a Response) -> Result<T, Error> {
    super::send::parse(NAME, response)
}

/// Not generic, so that it is compiled with this crate, for speed; the edge's copies of generic code are for size.
fn parse_page(response: &Response) -> Result<schema::Servers<'_>, Error> {
    parse(response)
}

/// Reads a page of servers and shows each to `sink`.
fn parse_list(response: &Response, sink: &mut impl FnMut(&Vm<'_>)) -> Result<schema::Pagination, Error> {
    let page = parse_page(response)?;
    for server in page.servers {
        sink(&server.into());
    }
    Ok(page.meta.pagination)
}

fn parse_server(response: &Response) -> Result<ParsedServer, Error> {
    let server = parse::<schema::ServerAnswer<'_>>(response)?.server;
    let addresses = [&server.public_net.ipv4, &server.public_net.ipv6];
    let primary_ips = addresses.into_iter().flatten().filter_map(|it| it.id).collect();
    Ok(ParsedServer { vm: Vm::from(server).into_owned(), primary_ips })
}

impl<'a> From<schema::Server<'a>> for Vm<'a> {
    fn from(server: schema::Server<'a>) -> Self {
        let state = match server.status.0.as_ref() {
            "running" => VmState::Running,
            "initializing" | "starting" => VmState::Creating,
            "stopping" => VmState::Stopping,
            "off" => VmState::Stopped,
            "deleting" => VmState::Deleting,
            // `migrating`, `rebuilding`, `unknown` and whatever comes later: nothing is done on their account.
            _ => VmState::Unknown,
        };
        Self {
            id: VmId { provider: NAME, native: server.id.to_string() },
            name: server.name.0,
            state,
            created_secs: from_rfc3339(&server.created.0).unwrap_or(0),
            ipv4: server.public_net.ipv4.map(|it| it.ip.0),
            ipv6: server.public_net.ipv6.map(|it| it.ip.0),
            location: server.location.name.0,
            server_type: server.server_type.name.0,
            market: Market::OnDemand,
            labels: server.labels.0,
        }
    }
}

/// Reads an error: the status gives a first guess, Hetzner's code refines it. Only its message, cleaned and cut, leaves.
fn parse_error(response: &Response) -> Error {
    let mut error = match serde_json::from_slice::<schema::ErrorAnswer>(&response.body) {
        Ok(answer) => error_of_body(&answer.error),
        Err(_) => error_of_status(response.status),
    };
    if error.kind == ErrorKind::NotFound && response.status >= 500 {
        // A failure is no proof that anything is gone, whatever it says.
        error.kind = ErrorKind::Unavailable;
    }
    if error.kind == ErrorKind::RateLimited {
        // The budget refills by one request a second ("Rate Limiting"); without a header a short wait helps already.
        error.retry_after_secs = response.header("retry-after").and_then(|it| it.parse().ok()).or(Some(10));
    } else if matches!(error.kind, ErrorKind::Locked | ErrorKind::Conflict) {
        error.retry_after_secs = Some(5);
    }
    error
}

fn error_of_body(body: &schema::ErrorBody) -> Error {
    let field = |name: &str| body.details.fields.iter().any(|it| it.name == name);
    let message = body.message.to_ascii_lowercase();
    let kind = match body.code.as_str() {
        "unauthorized" | "forbidden" => ErrorKind::Unauthorized,
        "token_readonly" => ErrorKind::TokenReadonly,
        "resource_unavailable" | "placement_error" => ErrorKind::Capacity,
        // Types that cannot be ordered in a place are listed as available there all the same (seen 2026-06 and 2026-09).
        "invalid_input"
            if field("location")
                || field("server_type")
                || message.contains("unsupported location")
                || message.contains("deprecated") =>
        {
            ErrorKind::Capacity
        }
        "resource_limit_exceeded" => ErrorKind::Quota,
        "rate_limit_exceeded" => ErrorKind::RateLimited,
        "conflict" => ErrorKind::Conflict,
        "uniqueness_error" => ErrorKind::AlreadyExists,
        "not_found" => ErrorKind::NotFound,
        "locked" | "protected" | "resource_in_use" | "must_be_unassigned" => ErrorKind::Locked,
        "server_error" | "service_error" | "bad_gateway" | "unavailable" | "timeout" | "maintenance" => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Invalid,
    };
    let detail = match kind {
        ErrorKind::Unauthorized => "refuses the token in HETZNER_TOKEN".into(),
        ErrorKind::TokenReadonly => {
            "says that the token in HETZNER_TOKEN may only read; create one with Read & Write".into()
        }
        _ => {
            let fields: Vec<&str> =
                body.details.fields.iter().chain(&body.details.limits).map(|it| it.name.as_str()).collect();
            let fields = if fields.is_empty() { String::new() } else { format!(" [{}]", fields.join(", ")) };
            format!("answered {}: {}{}", clean(&body.code, 40), clean(&body.message, 160), clean(&fields, 80))
        }
    };
    Error::new(NAME, kind, detail)
}

/// For answers that are not Hetzner's own JSON: a proxy's page, half a body. A 404 of such a kind is no proof that
/// anything is gone.
fn error_of_status(status: u16) -> Error {
    let kind = match status {
        401 | 403 => ErrorKind::Unauthorized,
        409 => ErrorKind::Conflict,
        423 => ErrorKind::Locked,
        429 => ErrorKind::RateLimited,
        412 | 500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    };
    Error::new(NAME, kind, format!("answered with status {status} and no error message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn codes_count_more_than_status() {
        for (status, code, kind) in [
            (403, "token_readonly", ErrorKind::TokenReadonly),
            (401, "token_readonly", ErrorKind::TokenReadonly),
            (401, "unauthorized", ErrorKind::Unauthorized),
            (403, "resource_limit_exceeded", ErrorKind::Quota),
            (404, "not_found", ErrorKind::NotFound),
            (409, "uniqueness_error", ErrorKind::AlreadyExists),
            (409, "conflict", ErrorKind::Conflict),
            (412, "resource_unavailable", ErrorKind::Capacity),
            (422, "invalid_input", ErrorKind::Invalid),
            (423, "locked", ErrorKind::Locked),
            (429, "rate_limit_exceeded", ErrorKind::RateLimited),
            (503, "unavailable", ErrorKind::Unavailable),
            (418, "brand_new_code", ErrorKind::Invalid),
        ] {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"m","details":null}}}}"#);
            assert_eq!(parse_error(&answer(status, &body)).kind, kind, "{code}");
        }
    }

    #[test]
    fn a_place_that_does_not_sell_the_type_is_like_no_capacity() {
        let body = r#"{"error":{"code":"invalid_input","message":"unsupported location for server type","details":{"fields":[{"name":"location","messages":["x"]}]}}}"#;
        assert_eq!(parse_error(&answer(422, body)).kind, ErrorKind::Capacity);
    }

    #[test]
    fn foreign_pages_prove_nothing_and_do_not_leak() {
        let page = "<html><body>secret of a proxy</body></html>";
        for (status, kind) in [
            (404, ErrorKind::Malformed),
            (500, ErrorKind::Unavailable),
            (502, ErrorKind::Unavailable),
            (401, ErrorKind::Unauthorized),
            (429, ErrorKind::RateLimited),
        ] {
            let error = parse_error(&answer(status, page));
            assert_eq!(error.kind, kind, "{status}");
            assert!(!error.sentence().contains("proxy"));
        }
    }

    #[test]
    fn unknown_details_do_not_hide_the_error() {
        let body = r#"{"error":{"code":"conflict","message":"a\nb","details":[1,"x"]}}"#;
        let error = parse_error(&answer(409, body));
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(error.sentence(), "Hetzner Cloud answered conflict: ab");
    }
}
