//! AWS EC2: calls as values, answers read into our types, and the functions that send one through the other. Creation is in
//! `create`, what is sold and for how much in `catalogue`, power and snapshots in `power`, network, security group and leftovers
//! in `shared`, the XML of answers in `schema`. Labels are EC2's tags as they are.
//!
//! Everything is per region, so our ids are `<region>-<EC2's id>` and a listing asks all regions side by side. Facts are from the
//! Amazon EC2 API Reference (2016-11-15) unless a comment says otherwise. EC2 is eventually consistent ("Ensure idempotency" and
//! "Eventual consistency" in its Developer Guide), and shows what was terminated for about an hour; here that is gone.

mod catalogue;
mod create;
mod power;
mod schema;
mod shared;
mod storage;

use std::fmt::Write as _;

use super::send::{absent_is_fine, clean, found, malformed, send_once, send_repeatable};
use super::{Error, ErrorKind, MAX_PAGES, RateBudget, side_by_side};
use crate::config::Ec2Config;
use crate::http::{Clock, Http, Method, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::labels::{LabelChange, LabelSet, Selector};
use crate::model::{ProviderName, Vm};
use crate::sigv4::{self, Key};
use crate::xml::Element;
use schema::Instance;

/// Largest user data, bytes before base64 ("Run commands when you launch an EC2 instance with user data input").
pub const USER_DATA_MAX_BYTES: usize = 16_384;
/// Largest page of most listings.
const PER_PAGE: &str = "1000";
/// A wait in which a bucket of request tokens fills again, where an answer names none, seconds ("Request throttling").
const RATE_LIMIT_WAIT_SECS: u32 = 5;
const NAME: ProviderName = ProviderName::Ec2;

/// Access to one AWS account.
#[derive(Clone, Debug)]
pub struct Ec2 {
    api_url: String,
    pricing_api_url: String,
    key: Key,
    regions: Vec<String>,
    subnet: Option<String>,
}

/// A call of the Query API, not yet signed: a signature is only good for minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    region: String,
    parameters: Vec<(String, String)>,
    filters: usize,
}

impl Query {
    fn new(region: &str, action: &str) -> Self {
        let parameters = vec![("Action".into(), action.into()), ("Version".into(), "2016-11-15".into())];
        Self { region: region.to_owned(), parameters, filters: 0 }
    }

    fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Several values of one parameter: `Name.1`, `Name.2`…
    fn with_all<V: Into<String>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        values
            .into_iter()
            .enumerate()
            .fold(self, |it, (at, value)| it.with(format!("{name}.{}", at + 1), value))
    }

    /// A filter that one of the values must meet.
    fn filter(mut self, name: impl Into<String>, values: &[&str]) -> Self {
        self.filters += 1;
        let prefix = format!("Filter.{}", self.filters);
        self.with(format!("{prefix}.Name"), name).with_all(&format!("{prefix}.Value"), values.iter().copied())
    }

    /// A filter per label of a selector.
    fn select(self, selector: &Selector) -> Self {
        selector.pairs().fold(self, |it, (key, value)| it.filter(format!("tag:{key}"), &[value]))
    }

    /// The tags of what a call makes, for the n-th kind of resource.
    fn tags<'a>(
        self,
        number: usize,
        resource_type: &str,
        tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let prefix = format!("TagSpecification.{number}");
        let with_type = self.with(format!("{prefix}.ResourceType"), resource_type);
        tags.into_iter().enumerate().fold(with_type, |it, (at, (key, value))| {
            let tag = format!("{prefix}.Tag.{}", at + 1);
            it.with(format!("{tag}.Key"), key).with(format!("{tag}.Value"), value)
        })
    }

    fn body(&self) -> Vec<u8> {
        let pair = |(name, value): &(String, String)| format!("{name}={}", encode(value));
        self.parameters.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes()
    }
}

/// The encoding of forms: everything but the unreserved characters of RFC 3986 is percent-encoded, a space is a plus. Any that
/// means the same would do for AWS, which signs what is sent; a simulator may encode anew.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else if byte == b' ' {
            out.push('+');
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Ec2 {
    /// Access as configured.
    pub fn new(config: &Ec2Config) -> Self {
        Self {
            api_url: config.api_url.clone(),
            pricing_api_url: config.pricing_api_url.clone(),
            key: Key {
                id: config.access_key_id.clone(),
                secret: config.secret_access_key.clone(),
                session_token: config.session_token.clone(),
            },
            regions: config.regions.clone(),
            subnet: config.subnet_id.clone(),
        }
    }

    /// How many regions are asked.
    pub fn regions(&self) -> usize {
        self.regions.len()
    }

    /// A page of a region's instances with all the tags of a selector, but for what is terminated.
    pub fn list_query(region: &str, selector: &Selector, next_token: Option<&str>) -> Query {
        let query = Query::new(region, "DescribeInstances")
            .select(selector)
            .filter("instance-state-name", &["pending", "running", "stopping", "stopped", "shutting-down"])
            .with("MaxResults", PER_PAGE);
        next_token.into_iter().fold(query, |it, token| it.with("NextToken", token))
    }

    /// One instance.
    pub fn get_query(native: &str) -> Query {
        let (region, id) = split(native);
        Query::new(region, "DescribeInstances").with("InstanceId.1", id)
    }

    /// Terminates one instance. Its root volume and its address go with it.
    pub fn delete_query(native: &str) -> Query {
        let (region, id) = split(native);
        Query::new(region, "TerminateInstances").with("InstanceId.1", id)
    }

    /// Shows every matching VM to `sink`, region after region. A region that fails does not hide the others' VMs, but the
    /// listing has failed.
    pub async fn for_each<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
        mut sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        let regions = side_by_side(self.regions.iter().map(|region| async move {
            let mut instances = Vec::new();
            let mut next = None;
            for _ in 0..MAX_PAGES {
                let query = Self::list_query(region, selector, next.as_deref());
                let answer = self.send(host, &query).await?;
                let root = parse(&answer)?;
                instances.extend(schema::instances(&root, region));
                next = schema::next_token(&root);
                if next.is_none() {
                    break;
                }
            }
            Ok::<_, Error>(instances)
        }))
        .await;
        let mut failed = None;
        for region in regions {
            match region {
                Ok(instances) => instances
                    .into_iter()
                    .filter(|it| !it.is_terminated && selector.matches(&it.tags))
                    .for_each(|it| sink(&Vm::from(it))),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// One instance by its id.
    pub async fn get<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<Vm<'static>>, Error> {
        Ok(self.instance(host, native).await?.map(Vm::from))
    }

    /// Terminates an instance, whatever it does; that it is gone already is success.
    pub async fn delete<H: Http + Random + Clock>(&self, host: &H, native: &str) -> Result<(), Error> {
        absent_is_fine(self.send(host, &Self::delete_query(native)).await)
    }

    /// Changes labels: what is so already is not written, and each other tag stays as it is.
    pub async fn relabel<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        changes: &[LabelChange],
    ) -> Result<bool, Error> {
        let Some(instance) = self.instance(host, native).await? else { return Ok(false) };
        let new = changes.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let new: Vec<(&str, &str)> =
            new.filter(|(key, value)| instance.tags.get(*key).map(String::as_str) != Some(*value)).collect();
        let old = changes.iter().filter(|(key, value)| value.is_none() && instance.tags.contains_key(*key));
        let old: Vec<&str> = old.map(|(key, _)| *key).collect();
        if !new.is_empty() && !found(self.send(host, &Self::tag_query(native, &new)).await)? {
            return Ok(false);
        }
        if !old.is_empty() && !found(self.send(host, &Self::untag_query(native, &old)).await)? {
            return Ok(false);
        }
        Ok(true)
    }

    /// A write to an instance that there is not: refused with 403 if the key may not write.
    pub async fn probe_writing<H: Http + Random + Clock>(&self, host: &H) -> Result<Response, Error> {
        let region = self.regions.first().map_or("", String::as_str);
        let nobody = format!("{region}-i-{:017}", 0);
        self.send(host, &Self::tag_query(&nobody, &[("mayfly-probe", "1")])).await
    }

    /// Writes tags of anything that has an id; others stay.
    pub fn tag_query(native: &str, tags: &[(&str, &str)]) -> Query {
        let (region, id) = split(native);
        let query = Query::new(region, "CreateTags").with("ResourceId.1", id);
        tags.iter().enumerate().fold(query, |it, (at, (key, value))| {
            it.with(format!("Tag.{}.Key", at + 1), *key).with(format!("Tag.{}.Value", at + 1), *value)
        })
    }

    /// Takes tags away, whatever their values.
    pub fn untag_query(native: &str, keys: &[&str]) -> Query {
        let (region, id) = split(native);
        let query = Query::new(region, "DeleteTags").with("ResourceId.1", id);
        keys.iter().enumerate().fold(query, |it, (at, key)| it.with(format!("Tag.{}.Key", at + 1), *key))
    }

    /// `None` where there is none, or none any more.
    async fn instance<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<Option<Instance>, Error> {
        let answer = match self.send(host, &Self::get_query(native)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let (region, _) = split(native);
        let found = schema::instances(&parse(&answer)?, region).into_iter().find(|it| it.native == native);
        Ok(found.filter(|it| !it.is_terminated))
    }

    /// The request of a call, signed.
    fn request(&self, query: &Query, now_secs: u64) -> Request {
        let mut request = Request {
            method: Method::Post,
            url: format!("{}/", self.api_url.replace("{region}", &query.region)),
            headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
            body: query.body(),
            timeout_ms: PROVIDER_TIMEOUT_MS,
        };
        sigv4::sign(&mut request, &self.key, &query.region, "ec2", now_secs);
        request
    }

    /// For calls that may be repeated.
    async fn send<H: Http + Random + Clock>(&self, host: &H, query: &Query) -> Result<Response, Error> {
        let request = self.request(query, host.now_secs());
        send_repeatable(host, NAME, request, parse_error, ErrorKind::is_repeatable).await
    }

    /// For calls that must not be.
    async fn send_once<H: Http + Clock>(&self, host: &H, query: &Query) -> Result<Response, Error> {
        send_once(host, NAME, self.request(query, host.now_secs()), parse_error).await
    }
}

/// Region and EC2's id. Ids come from [`ProviderName::is_native`] or from [`native`], so there is always a region. An id has two
/// parts itself: `i-…`, `ami-…`, `vol-…`, `sg-…`.
pub(super) fn split(native: &str) -> (&str, &str) {
    let mut dashes = native.rmatch_indices('-').skip(1);
    let at = dashes.next().map_or(native.len(), |(at, _)| at);
    (&native[..at], native[at..].trim_start_matches('-'))
}

fn native(region: &str, id: &str) -> String {
    format!("{region}-{id}")
}

/// The XML of an answer that is no error.
fn parse(response: &Response) -> Result<Element<'_>, Error> {
    let text = std::str::from_utf8(&response.body).ok();
    let root = text.and_then(Element::parse).filter(|it| it.name().ends_with("Response"));
    root.ok_or_else(|| malformed(NAME))
}

fn tags_of(labels: &LabelSet) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Reads an error: EC2's code decides, the status where there is none. Only its message, cleaned and cut, leaves.
fn parse_error(response: &Response) -> Error {
    let text = std::str::from_utf8(&response.body).ok();
    let root = text.and_then(Element::parse);
    let said = root.as_ref().map(|it| {
        let part = |name| it.text(&["Errors", "Error", name]);
        (part("Code"), part("Message"))
    });
    let Some((code, message)) = said.filter(|(code, _)| !code.is_empty()) else {
        return error_of_status(response.status);
    };
    let mut kind = kind_of(code, message, response.status);
    if kind == ErrorKind::NotFound && response.status >= 500 {
        // A failure is no proof that anything is gone, whatever it says.
        kind = ErrorKind::Unavailable;
    }
    let detail = match kind {
        ErrorKind::Unauthorized => {
            format!("refuses the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({})", clean(code, 40))
        }
        ErrorKind::TokenReadonly => format!(
            "says that the key in AWS_ACCESS_KEY_ID may not do this ({}); the README lists what it must be allowed",
            clean(code, 40)
        ),
        _ => format!("answered {}: {}", clean(code, 60), clean(message, 200)),
    };
    let mut error = Error::new(NAME, kind, detail);
    error.retry_after_secs = match kind {
        ErrorKind::RateLimited => Some(RATE_LIMIT_WAIT_SECS),
        // What an instance never allows is no matter of waiting.
        ErrorKind::Locked if code == "UnsupportedOperation" => None,
        ErrorKind::Locked | ErrorKind::Conflict => Some(5),
        _ => None,
    };
    error
}

/// "Error codes for the Amazon EC2 API".
fn kind_of(code: &str, message: &str, status: u16) -> ErrorKind {
    match code {
        "AuthFailure"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "RequestExpired"
        | "ExpiredToken"
        | "Blocked"
        | "OptInRequired" => ErrorKind::Unauthorized,
        "UnauthorizedOperation" | "AccessDenied" => ErrorKind::TokenReadonly,
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "SpotMaxPriceTooLow"
        // A type that this zone does not have, whatever the region's list says.
        | "Unsupported" => ErrorKind::Capacity,
        "InvalidParameterValue" if message.contains("instance type") || message.contains("InstanceType") => {
            ErrorKind::Capacity
        }
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException" => {
            ErrorKind::RateLimited
        }
        "MaxSpotInstanceCountExceeded" | "PendingVerification" => ErrorKind::Quota,
        _ if code.ends_with("LimitExceeded") => ErrorKind::Quota,
        "IncorrectInstanceState"
        | "IncorrectState"
        | "IncorrectSpotRequestState"
        | "DependencyViolation"
        | "InvalidGroup.InUse"
        | "InvalidSnapshot.InUse"
        | "VolumeInUse"
        | "OperationNotPermitted"
        | "UnsupportedOperation" => ErrorKind::Locked,
        "ConcurrentTagAccess" => ErrorKind::Conflict,
        "IdempotentParameterMismatch" => ErrorKind::AlreadyExists,
        "InvalidAMIID.Unavailable" => ErrorKind::NotFound,
        _ if code.ends_with(".Duplicate") => ErrorKind::AlreadyExists,
        _ if code.ends_with(".NotFound") => ErrorKind::NotFound,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => ErrorKind::Unavailable,
        _ if status >= 500 => ErrorKind::Unavailable,
        _ if status == 429 => ErrorKind::RateLimited,
        _ => ErrorKind::Invalid,
    }
}

/// For answers that are not EC2's own XML: a proxy's page, half a body. A 404 of such a kind is no proof that anything is gone.
fn error_of_status(status: u16) -> Error {
    let kind = match status {
        401 | 403 => ErrorKind::Unauthorized,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Malformed,
    };
    let mut error = Error::new(NAME, kind, format!("answered with status {status} and no error message"));
    error.retry_after_secs = (kind == ErrorKind::RateLimited).then_some(RATE_LIMIT_WAIT_SECS);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_region() {
        for (region, id) in [
            ("eu-central-1", "i-0123456789abcdef0"),
            ("us-gov-west-1", "ami-01234567"),
            ("ap-southeast-2", "vol-0123456789abcdef0"),
        ] {
            assert_eq!(split(&native(region, id)), (region, id));
        }
        assert_eq!(split("nonsense"), ("nonsense", ""));
        assert_eq!(split(""), ("", ""));
    }

    #[test]
    fn parameters_are_numbered_and_encoded() {
        let query = Query::new("r", "X").filter("tag:a", &["b c", "é"]).filter("d", &["e"]).tags(
            2,
            "volume",
            [("k", "v/+")],
        );
        let want = "Action=X&Version=2016-11-15&Filter.1.Name=tag%3Aa&Filter.1.Value.1=b+c&Filter.1.Value.2=%C3%A9\
            &Filter.2.Name=d&Filter.2.Value.1=e&TagSpecification.2.ResourceType=volume&TagSpecification.2.Tag.1.Key=k\
            &TagSpecification.2.Tag.1.Value=v%2F%2B";
        assert_eq!(String::from_utf8(query.body()).expect("ASCII"), want);
    }

    #[test]
    fn a_key_shows_no_secret() {
        let secret = crate::secret::Secret::new("hunter2");
        let key = Key { id: "AKIDEXAMPLE".into(), secret: secret.clone(), session_token: Some(secret) };
        assert!(!format!("{key:?}").contains("hunter2"));
    }
}
