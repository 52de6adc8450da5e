//! How requests to OVHcloud prove whose they are: every try of one is signed, or carries the token of a service account.
//! Where a token is refused once, another one is got. What is sent is everybody else's business.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest as _, Sha1};

use super::schema::TokenAnswer;
use crate::config::{OvhCredential, SigningKey};
use crate::http::{Clock, Http, Method, NoAnswer, PROVIDER_TIMEOUT_MS, Random, Request, Response};
use crate::secret::Secret;

/// A token is not used any more when it has this long to live, seconds.
const TOKEN_SPARE_SECS: u64 = 60;
/// The longest that a token is believed to live, seconds.
const TOKEN_LIFE_MAX_SECS: u64 = 3600;

/// What a request needs before it is sent.
#[derive(Clone, Debug)]
pub(super) enum Access {
    Key(SigningKey),
    Client(Client),
}

/// A service account, with the token that this instance of the Worker has got for it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    id: String,
    secret: Secret,
    token_url: String,
    token: Arc<Mutex<Option<Token>>>,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    end_secs: u64,
}

impl Access {
    pub(super) fn new(credential: &OvhCredential) -> Self {
        match credential.clone() {
            OvhCredential::Key(key) => Self::Key(key),
            OvhCredential::Client { id, secret, token_url } => {
                Self::Client(Client { id, secret, token_url, token: Arc::default() })
            }
        }
    }

    /// Calls that may be needed before the first.
    pub(super) fn calls_before(&self) -> usize {
        usize::from(matches!(self, Self::Client(_)))
    }
}

/// A host whose requests prove whose they are.
pub(super) struct Signing<'a, H> {
    host: &'a H,
    access: &'a Access,
}

impl<'a, H> Signing<'a, H> {
    pub(super) fn new(host: &'a H, access: &'a Access) -> Self {
        Self { host, access }
    }
}

impl<H: Http + Clock> Http for Signing<'_, H> {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        match self.access {
            Access::Key(key) => self.host.send(signed(key, request, self.host.now_secs())).await,
            Access::Client(client) => client.send(self.host, request).await,
        }
    }

    async fn sleep_ms(&self, ms: u32) {
        self.host.sleep_ms(ms).await;
    }
}

impl<H: Random> Random for Signing<'_, H> {
    fn fill(&self, buffer: &mut [u8]) {
        self.host.fill(buffer);
    }
}

impl Client {
    async fn send<H: Http + Clock>(&self, host: &H, request: Request) -> Result<Response, NoAnswer> {
        let known = self.known(host.now_secs());
        let is_known = known.is_some();
        let token = match known {
            Some(token) => token,
            None => match self.fetch(host, request.timeout_ms).await? {
                Ok(token) => token,
                Err(refusal) => return Ok(refusal),
            },
        };
        let answer = host.send(with_token(request.clone(), &token)).await?;
        if answer.status != 401 || !is_known {
            return Ok(answer);
        }
        // It was withdrawn. A request that was refused for its token has done nothing.
        match self.fetch(host, request.timeout_ms).await? {
            Ok(token) => host.send(with_token(request, &token)).await,
            Err(refusal) => Ok(refusal),
        }
    }

    fn known(&self, now_secs: u64) -> Option<Secret> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().filter(|it| now_secs < it.end_secs).map(|it| it.text.clone())
    }

    /// A new token; or the refusal, as an answer that says nothing about what was to be asked.
    async fn fetch<H: Http + Clock>(
        &self,
        host: &H,
        timeout_ms: u32,
    ) -> Result<Result<Secret, Response>, NoAnswer> {
        let mut answer = host.send(self.token_request(timeout_ms)).await?;
        if (400..500).contains(&answer.status) && answer.status != 429 {
            answer.status = 401;
        }
        if !(200..300).contains(&answer.status) {
            return Ok(Err(answer));
        }
        let Ok(token) = serde_json::from_slice::<TokenAnswer>(&answer.body) else {
            return Ok(Err(Response { status: 502, headers: Vec::new(), body: Vec::new() }));
        };
        let text = Secret::new(token.access_token);
        let life_secs = token.expires_in.min(TOKEN_LIFE_MAX_SECS).saturating_sub(TOKEN_SPARE_SECS);
        let kept = Token { text: text.clone(), end_secs: host.now_secs() + life_secs };
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(Ok(text))
    }

    /// RFC 6749 section 4.4.2, with the one scope that OVHcloud has.
    fn token_request(&self, timeout_ms: u32) -> Request {
        let body = format!(
            "grant_type=client_credentials&scope=all&client_id={}&client_secret={}",
            form(&self.id),
            form(self.secret.expose())
        );
        Request {
            method: Method::Post,
            url: self.token_url.clone(),
            headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
            body: body.into_bytes(),
            timeout_ms: timeout_ms.min(PROVIDER_TIMEOUT_MS),
        }
    }
}

fn with_token(mut request: Request, token: &Secret) -> Request {
    request.headers.push(("authorization", format!("Bearer {}", token.expose())));
    request
}

/// The text of a form's field (RFC 3986 section 2.1).
fn form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn signed(key: &SigningKey, mut request: Request, now_secs: u64) -> Request {
    let signature = signature(key, request.method, &request.url, &request.body, now_secs);
    request.headers.extend([
        ("x-ovh-application", key.application_key.expose().to_owned()),
        ("x-ovh-consumer", key.consumer_key.expose().to_owned()),
        ("x-ovh-timestamp", now_secs.to_string()),
        ("x-ovh-signature", signature),
    ]);
    request
}

/// `$1$` and the SHA-1 of secret, consumer key, method, address, body and time, with `+` between them ("First Steps with the
/// OVHcloud APIs", "Signing requests").
fn signature(key: &SigningKey, method: Method, url: &str, body: &[u8], now_secs: u64) -> String {
    let mut sha1 = Sha1::new();
    for part in [key.application_secret.expose(), key.consumer_key.expose(), method.as_str(), url] {
        sha1.update(part);
        sha1.update("+");
    }
    sha1.update(body);
    sha1.update(format!("+{now_secs}"));
    sha1.finalize().iter().fold("$1$".to_owned(), |out, byte| out + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(application_secret: &str, consumer_key: &str) -> SigningKey {
        SigningKey {
            application_key: Secret::new("7kbG7Bk7S9Nt7ZSV"),
            application_secret: Secret::new(application_secret),
            consumer_key: Secret::new(consumer_key),
        }
    }

    /// "First Steps with the OVHcloud APIs".
    #[test]
    fn the_vendors_example_has_the_vendors_signature() {
        let key = key("EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF", "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1");
        let url = "https://eu.api.ovh.com/1.0/domains/";
        let want = "$1$d3705e8afb27a0d2970a322b96550abfc67bb798";
        assert_eq!(signature(&key, Method::Get, url, b"", 1_366_560_945), want);
    }

    /// What `ovh` 1.2.0, OVHcloud's own client for Python, sends for the same requests at the same time.
    #[test]
    fn signatures_are_those_of_the_vendors_own_client() {
        let key = key("EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF", "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1");
        let url = "https://eu.api.ovh.com/v1/cloud/project/0123456789abcdef0123456789abcdef/instance";
        let body = br#"{"name":"a_b","region":"GRA11"}"#;
        for (method, url, body, want) in [
            (
                Method::Get,
                format!("{url}?region=GRA11"),
                b"".as_slice(),
                "$1$4747e59bf236c9ddbaf0ae9e05f835786072705a",
            ),
            (Method::Post, url.to_owned(), body.as_slice(), "$1$4afa29e858f54a0a143ed7263256fe6d0b6ded7a"),
        ] {
            assert_eq!(signature(&key, method, &url, body, 1_795_168_800), want);
        }
    }

    #[test]
    fn form_fields_are_encoded() {
        assert_eq!(form("a-Z_0.~ &=+%é"), "a-Z_0.~%20%26%3D%2B%25%C3%A9");
    }
}
