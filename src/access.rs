//! Cloudflare Access as identity: the JWT that Access adds to each request it lets through (Cloudflare One documentation,
//! "Validate JWTs"), checked against the team's keys. What somebody may do is not said in here; who may be believed is, and
//! which owner an e-mail address becomes.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::{Digest as _, Sha256};

use crate::encoding::{base32, from_base64url};
use crate::http::{Http, Method, Request};
use crate::labels;

/// The header that Access sets; whoever else sets it has no key.
pub const HEADER: &str = "cf-access-jwt-assertion";
/// Longest token that is looked at, bytes: claims may be added to it.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Longest e-mail address, bytes (RFC 5321 section 4.5.3.1.3).
const EMAIL_MAX_BYTES: usize = 254;
/// How long the team's keys are believed, seconds. Access rotates them every six weeks, and keeps the old one for a week.
const KEYS_LIFE_SECS: u64 = 3600;
/// An unknown key is asked after at most so often, seconds: anybody may name one.
const KEYS_PAUSE_SECS: u64 = 60;
/// After a failure the next question waits so long, seconds.
const RETRY_SECS: u64 = 5;
const KEYS_TIMEOUT_MS: u32 = 5_000;
const KEYS_MAX_BYTES: usize = 64 * 1024;
/// Bytes of a modulus: RS256 wants 2048 bits at the least (RFC 7518 section 3.3).
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Clocks of Access and of this Worker may differ so much, seconds. What is over is over.
const SKEW_SECS: u64 = 60;

/// A public RSA key as a JWK has it (RFC 7518 section 6.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaKey {
    kid: String,
    /// The modulus, base64url.
    pub n: String,
    /// The exponent, base64url.
    pub e: String,
}

/// Signatures of public keys, which the platform can check.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Signatures {
    /// Whether RSASSA-PKCS1-v1_5 with SHA-256 gives this signature for this key. A platform without it believes none.
    async fn is_rs256(&self, _key: &RsaKey, _signed: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

/// Where the team is, and for which applications its tokens count.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// `https://<team>.cloudflareaccess.com`, the issuer.
    pub team: String,
    /// The applications' tags.
    pub audiences: Vec<String>,
    keys: Arc<Mutex<Known>>,
}

/// What this instance of the Worker has read last.
#[derive(Debug, Default)]
struct Known {
    keys: Vec<RsaKey>,
    read_secs: Option<u64>,
    failed_secs: Option<u64>,
}

/// Why nobody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The token is not good; a sentence.
    Token(&'static str),
    /// The team's keys could not be read.
    NoKeys,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// RFC 7515 section 4.1.11: what it names must be understood, and nothing of it is.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    email: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    alg: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl AccessConfig {
    /// Nothing has been asked of the team yet.
    pub fn new(team: String, audiences: Vec<String>) -> Self {
        Self { team, audiences, keys: Arc::default() }
    }

    /// The e-mail address of whoever came through Access with this token.
    pub async fn email<H: Http + Signatures>(
        &self,
        host: &H,
        token: &str,
        now_secs: u64,
    ) -> Result<String, Denied> {
        let malformed = Denied::Token("is no JWT");
        if token.len() > TOKEN_MAX_BYTES {
            return Err(malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let header: Header = part(header).ok_or(malformed)?;
        // The one algorithm that is meant: neither none, nor one for which the public key would be the secret.
        if header.alg != "RS256" || header.crit.is_some() {
            return Err(Denied::Token("is not signed with RS256"));
        }
        let signature = from_base64url(signature).ok_or(malformed)?;
        let key = self.key(host, &header.kid, now_secs).await?;
        if !host.is_rs256(&key, signed.as_bytes(), &signature).await {
            return Err(Denied::Token("has a signature that is not the team's"));
        }
        let claims: Claims = part(claims).ok_or(Denied::Token("lacks a claim"))?;
        self.check(claims, now_secs)
    }

    fn check(&self, claims: Claims, now_secs: u64) -> Result<String, Denied> {
        if claims.iss != self.team {
            return Err(Denied::Token("is of another team"));
        }
        let is_ours = |it: &String| self.audiences.contains(it);
        let is_for_us = match &claims.aud {
            Audience::One(one) => is_ours(one),
            Audience::Several(several) => several.iter().any(is_ours),
        };
        if !is_for_us {
            return Err(Denied::Token("is for another application"));
        }
        if claims.exp <= now_secs {
            return Err(Denied::Token("has expired"));
        }
        if claims.nbf > now_secs.saturating_add(SKEW_SECS) {
            return Err(Denied::Token("is not valid yet"));
        }
        if owner_of(&claims.email).is_none() {
            // Service tokens have a name instead.
            return Err(Denied::Token("names no e-mail address; programs use an API token"));
        }
        Ok(claims.email)
    }

    /// The team's key of an id: the one that is known, or as the team says now.
    async fn key<H: Http>(&self, host: &H, kid: &str, now_secs: u64) -> Result<RsaKey, Denied> {
        let unknown = Denied::Token("is signed with a key that the team does not have");
        let find = |keys: &[RsaKey]| keys.iter().find(|it| it.kid == kid).cloned();
        let since = |then: Option<u64>| then.map(|it| now_secs.saturating_sub(it));
        {
            let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(age) = since(known.read_secs).filter(|it| *it < KEYS_LIFE_SECS) {
                match find(&known.keys) {
                    Some(key) => return Ok(key),
                    None if age < KEYS_PAUSE_SECS => return Err(unknown),
                    None => {}
                }
            }
            if since(known.failed_secs).is_some_and(|it| it < RETRY_SECS) {
                return Err(Denied::NoKeys);
            }
        }
        let read = self.read_keys(host).await;
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = read else {
            known.failed_secs = Some(now_secs);
            return Err(Denied::NoKeys);
        };
        *known = Known { keys, read_secs: Some(now_secs), failed_secs: None };
        find(&known.keys).ok_or(unknown)
    }

    async fn read_keys<H: Http>(&self, host: &H) -> Option<Vec<RsaKey>> {
        let request = Request {
            method: Method::Get,
            url: format!("{}/cdn-cgi/access/certs", self.team),
            headers: vec![("accept", "application/json".into())],
            body: Vec::new(),
            timeout_ms: KEYS_TIMEOUT_MS,
        };
        let response = host.send(request).await.ok()?;
        if response.status != 200 || response.body.len() > KEYS_MAX_BYTES {
            return None;
        }
        let set: KeySet = serde_json::from_slice(&response.body).ok()?;
        let keys: Vec<RsaKey> = set.keys.into_iter().filter_map(Jwk::for_rs256).collect();
        // A team always has a key: without one the answer was somebody else's.
        (!keys.is_empty()).then_some(keys)
    }
}

impl Jwk {
    fn for_rs256(self) -> Option<RsaKey> {
        let is_rsa = self.kty == "RSA" && self.alg.is_none_or(|it| it == "RS256");
        let modulus = from_base64url(&self.n)?;
        let fits = is_rsa && MODULUS_BYTES.contains(&modulus.len()) && modulus[0] != 0 && !self.e.is_empty();
        fits.then_some(RsaKey { kid: self.kid, n: self.n, e: self.e })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&from_base64url(text)?).ok()
}

/// The owner that an e-mail address becomes, in small letters: `ann.lee@example.com` is `ann.lee__example.com`. What a label's
/// value cannot hold is `_` and two hexadecimal digits, so that no two addresses are one owner; one that does not fit at all is
/// `email-` and 128 bits of its SHA-256, which no other can be, having no `_`. `None` for what is no address.
pub fn owner_of(email: &str) -> Option<String> {
    let email = email.to_ascii_lowercase();
    let (local, domain) = email.rsplit_once('@')?;
    let is_address = !local.is_empty()
        && !domain.is_empty()
        && email.len() <= EMAIL_MAX_BYTES
        && !email.contains(|it: char| it.is_control() || it.is_whitespace());
    if !is_address {
        return None;
    }
    let mut owner = String::with_capacity(email.len() + 1);
    for byte in email.bytes() {
        match byte {
            b'@' => owner.push_str("__"),
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => owner.push(byte.into()),
            _ => {
                owner.push('_');
                owner.extend(
                    [byte >> 4, byte & 15].map(|it| char::from(b"0123456789abcdef"[usize::from(it)])),
                );
            }
        }
    }
    if labels::is_value(&owner) {
        return Some(owner);
    }
    Some(format!("email-{}", base32(&Sha256::digest(email.as_bytes())[..16])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_an_owner_that_one_can_read() {
        for (email, owner) in [
            ("ann.lee@example.com", "ann.lee__example.com"),
            ("Ann.Lee@Example.COM", "ann.lee__example.com"),
            ("ann+x_y@example.com", "ann_2bx_5fy__example.com"),
            ("a@b@example.com", "a__b__example.com"),
            ("jürgen@example.com", "j_c3_bcrgen__example.com"),
        ] {
            assert_eq!(owner_of(email).as_deref(), Some(owner), "{email}");
        }
        let long = format!("{}@example.com", "a".repeat(60));
        for email in [long.as_str(), "_x@example.com", "-x@example.com"] {
            let owner = owner_of(email).expect("an owner");
            assert!(owner.len() == 32 && owner.starts_with("email-") && labels::is_value(&owner), "{owner}");
        }
        for bad in ["", "@", "ann", "ann@", "@example.com", "a b@example.com", "a\n@example.com"] {
            assert_eq!(owner_of(bad), None, "{bad:?}");
        }
        assert_eq!(owner_of(&format!("{}@example.com", "a".repeat(250))), None);
    }

    proptest! {
        #[test]
        fn two_addresses_are_two_owners(
            one in "[a-z_+.@-]{1,4}@[a-z_.]{1,4}", other in "[a-z_+.@-]{1,4}@[a-z_.]{1,4}"
        ) {
            let owners = (owner_of(&one), owner_of(&other));
            prop_assert_eq!(one == other, owners.0 == owners.1, "{:?}", owners);
        }

        #[test]
        fn every_owner_is_a_labels_value(email in "\\PC{1,40}@\\PC{1,40}") {
            let owner = owner_of(&email);
            prop_assert!(owner.is_none_or(|it| !it.is_empty() && labels::is_value(&it)));
        }
    }
}
