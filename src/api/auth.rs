//! Who is calling. Only here can the proofs be made that handlers ask for: [`Authorized`] for a person's or program's API
//! token or identity in Cloudflare Access, [`VmIdentity`] for a VM's capability.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Ctx, Problem};
use crate::Ready;
use crate::access::{self, AccessConfig, Denied};
use crate::config::Limits;
use crate::http::{Head, Host};
use crate::keys::{Claims, Scope, SigningKey};
use crate::secret::TokenDigest;

/// Longest token that is looked at, characters. Ours have a few hundred at the most.
const TOKEN_MAX_CHARS: usize = 1024;

/// Proof that the caller has an API token or came through Access, with the owner that this stands for.
pub(super) struct Authorized<'a> {
    owner: Cow<'a, str>,
    is_admin: bool,
    limits: Limits,
}

impl Authorized<'_> {
    /// The name in the owner label of what the caller makes.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Whether what other owners have is theirs to see and to touch.
    pub(super) fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Whether what carries this owner label exists for the caller.
    pub(super) fn sees(&self, owner: &str) -> bool {
        self.is_admin || self.owner == owner
    }

    /// The one owner beyond whom the caller sees nothing; `None` for an admin.
    pub(super) fn only(&self) -> Option<&str> {
        (!self.is_admin).then_some(&*self.owner)
    }

    /// What the caller may have.
    pub(super) fn limits(&self) -> Limits {
        self.limits
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

/// Finds out who calls. A token counts before what Access says: it was given on purpose.
pub(super) async fn authorize<'a, H: Host>(ctx: &Ctx<'a, H>) -> Result<Authorized<'a>, Problem> {
    let (ready, head) = (ctx.ready, &ctx.head);
    let assertion = || (head.header)(access::HEADER).filter(|it| !it.is_empty());
    match (&ready.config.access, (head.header)("authorization")) {
        (Some(access), None) => match assertion() {
            Some(assertion) => by_access(ctx, access, &assertion).await,
            None => Err(Problem::unauthorized(
                "Come through Cloudflare Access, or send an API token as 'Authorization: Bearer <token>'.",
            )),
        },
        _ => by_token(ready, head),
    }
}

/// Checks Access's assertion. A browser sends what makes Access add it with every request, whoever's page caused that: so the
/// page must be one that may call.
async fn by_access<'a, H: Host>(
    ctx: &Ctx<'a, H>,
    access: &AccessConfig,
    assertion: &str,
) -> Result<Authorized<'a>, Problem> {
    let config = &ctx.ready.config;
    let is_ours = |it: &String| it == ctx.head.origin || super::is_allowed(&config.allowed_origins, it);
    if (ctx.head.header)("origin").is_some_and(|it| !is_ours(&it)) {
        return Err(Problem::unauthorized(
            "Cloudflare Access says who you are, but not that this page may act for you: its origin is not in ALLOWED_ORIGINS.",
        ));
    }
    let email = access.email(ctx.host, assertion, ctx.now_secs).await.map_err(|denied| match denied {
        Denied::Token(why) => Problem::unauthorized(&format!("The token of Cloudflare Access {why}.")),
        Denied::NoKeys => Problem::new(
            503,
            "access_unavailable",
            "Cloudflare Access's keys cannot be read at the moment; try again, or send an API token.",
        )
        .with_retry_after(5),
    })?;
    let owner = access::owner_of(&email)
        .ok_or_else(|| Problem::unauthorized("The token of Cloudflare Access names nobody."))?;
    let known = config.people.iter().find(|it| it.owner == owner);
    let (is_admin, limits) = known.map(|it| (it.is_admin, it.limits)).unwrap_or_default();
    Ok(Authorized { owner: Cow::Owned(owner), is_admin, limits })
}

/// Checks an API token. Every configured digest is compared, so that the time tells nothing.
fn by_token<'a>(ready: &'a Ready, head: &Head<'_>) -> Result<Authorized<'a>, Problem> {
    let presented = bearer(head)?;
    let digest = TokenDigest::of(&presented);
    let mut found = None;
    for person in &ready.config.people {
        if person.digest == Some(digest) {
            found = Some(person);
        }
    }
    found
        .map(|it| Authorized { owner: Cow::Borrowed(&it.owner), is_admin: it.is_admin, limits: it.limits })
        .ok_or_else(|| Problem::unauthorized("The bearer token is not known here."))
}

/// Checks a capability and its scope. Whether the VM exists is the provider's to say.
pub(super) fn identify<'a>(
    ready: &'a Ready,
    head: &Head<'_>,
    scopes: &[Scope],
    now_secs: u64,
) -> Result<VmIdentity<'a>, Problem> {
    let presented = api_key(head, scopes).or_else(|| password(head)).map_or_else(|| bearer(head), Ok)?;
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

/// What Claude Code sends in place of a key of Anthropic's, before or beside a bearer token.
fn api_key(head: &Head<'_>, scopes: &[Scope]) -> Option<String> {
    let key = scopes.contains(&Scope::Agent).then(|| (head.header)("x-api-key"))??;
    (1..=TOKEN_MAX_CHARS).contains(&key.len()).then_some(key)
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
