//! Who is calling. Only here can the proofs be made that handlers ask for: [`Authorized`] for a person's or program's API
//! token, [`VmIdentity`] for a VM's capability.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Problem;
use crate::Ready;
use crate::http::Head;
use crate::keys::{Claims, Scope, SigningKey};
use crate::secret::TokenDigest;

/// Longest token that is looked at, characters. Ours have a few hundred at the most.
const TOKEN_MAX_CHARS: usize = 1024;

/// Proof that the caller has an API token, with the owner that it stands for.
pub(super) struct Authorized<'a> {
    owner: &'a str,
}

impl Authorized<'_> {
    /// The name in the owner label.
    pub(super) fn owner(&self) -> &str {
        self.owner
    }
}

/// Proof that the caller is a VM with a capability of the route's scope.
pub(super) struct VmIdentity<'a> {
    claims: Claims,
    key: &'a SigningKey,
}

impl VmIdentity<'_> {
    /// What the capability says.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The key that signed it: the VM's other secrets derive from the same.
    pub(super) fn key(&self) -> &SigningKey {
        self.key
    }
}

/// Checks an API token. Every configured digest is compared, so that the time tells nothing.
pub(super) fn authorize<'a>(ready: &'a Ready, head: &Head<'_>) -> Result<Authorized<'a>, Problem> {
    let presented = bearer(head)?;
    let digest = TokenDigest::of(&presented);
    let mut owner = None;
    for token in &ready.config.tokens {
        if token.digest == digest {
            owner = Some(token.owner.as_str());
        }
    }
    owner
        .map(|owner| Authorized { owner })
        .ok_or_else(|| Problem::unauthorized("The bearer token is not known here."))
}

/// Checks a capability and its scope. Whether the VM exists is the provider's to say.
pub(super) fn identify<'a>(
    ready: &'a Ready,
    head: &Head<'_>,
    scopes: &[Scope],
    now_secs: u64,
) -> Result<VmIdentity<'a>, Problem> {
    let presented = password(head).map_or_else(|| bearer(head), Ok)?;
    let config = &ready.config;
    let (claims, key) = config
        .keys
        .verify(&presented, &config.deployment, now_secs)
        .ok_or_else(|| Problem::unauthorized("The capability is not valid here, or no longer."))?;
    if !scopes.contains(&claims.scope) {
        return Err(Problem::new(403, "wrong_scope", "The capability is not good for this."));
    }
    Ok(VmIdentity { claims, key })
}

/// The password of `Authorization: Basic` (RFC 7617): restic knows no other way. The user's name says nothing.
fn password(head: &Head<'_>) -> Option<String> {
    let header = (head.header)("authorization")?;
    let (scheme, pair) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || header.len() > 2 * TOKEN_MAX_CHARS {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(pair.trim()).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    (!password.is_empty()).then(|| password.to_owned())
}

/// The token of `Authorization: Bearer` (RFC 6750 section 2.1); the scheme in any case (RFC 9110 section 11.1).
fn bearer(head: &Head<'_>) -> Result<String, Problem> {
    let header = (head.header)("authorization")
        .ok_or_else(|| Problem::unauthorized("Send the API token as 'Authorization: Bearer <token>'."))?;
    let (scheme, token) = header.split_once(' ').unwrap_or((&header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthorized("The scheme must be Bearer: 'Authorization: Bearer <token>'."));
    }
    let token = token.trim();
    if token.is_empty() || token.len() > TOKEN_MAX_CHARS {
        return Err(Problem::unauthorized("The bearer token is empty or far too long."));
    }
    Ok(token.to_owned())
}
