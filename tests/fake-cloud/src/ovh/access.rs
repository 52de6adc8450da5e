//! Who may ask: requests are signed with an application's key, or carry a token that a service account has got.
//!
//! Signatures are over exactly what was sent ("First Steps with the OVHcloud APIs", "Signing requests"), so the whole request is
//! looked at. Keys and the account's id are fixed; their secret is the fake cloud's token.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use sha1::{Digest, Sha1};

use super::by_code;
use crate::answer::json_response;
use crate::clock;
use crate::fake::Fake;
use crate::query::Query;
use crate::vendor::{Refusal, Vendor};

/// The application.
const APPLICATION: &str = "fake-application";
/// What its owner has granted it.
const CONSUMER: &str = "fake-consumer";
/// The service account.
const CLIENT: &str = "fake-client";
/// How far a signature's time may be from ours.
const SKEW_SECS: u64 = 300;
/// Life of a token.
const TOKEN_SECS: u64 = 3600;
/// Largest body that is read to check its signature.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Tokens of the service account: what each stands for, and until when.
pub(crate) type Tokens = BTreeMap<String, (String, u64)>;

/// The secret that a request proves to know, and the request; or why it does not.
pub(crate) async fn secret_of(fake: &Arc<Fake>, request: Request) -> Result<(String, Request), Response> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let text = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let secret = if let Some(token) = text(AUTHORIZATION.as_str()).strip_prefix("Bearer ") {
        by_token(fake, token)?
    } else {
        // The prefix is taken off before a request comes here.
        let address = format!("http://{}{}{}", text(HOST.as_str()), Vendor::Ovh.prefix(), parts.uri);
        by_signature(fake, &parts.headers, &parts.method, &address, &body)?
    };
    Ok((secret, Request::from_parts(parts, Body::from(body))))
}

fn by_token(fake: &Arc<Fake>, token: &str) -> Result<String, Response> {
    let now_secs = clock::now_ms() / 1000;
    let known = fake.with(|cloud| cloud.ovh.tokens.get(token).cloned());
    let known = known.filter(|(_, end_secs)| now_secs < *end_secs).map(|(secret, _)| secret);
    known.ok_or_else(|| {
        let body = json!({ "class": "Client::Unauthorized", "message": "Invalid token" });
        json_response(StatusCode::UNAUTHORIZED, &body)
    })
}

fn by_signature(
    fake: &Arc<Fake>,
    headers: &HeaderMap,
    method: &Method,
    address: &str,
    body: &Bytes,
) -> Result<String, Response> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let no = |code, message| by_code(StatusCode::FORBIDDEN, code, message);
    if text("x-ovh-signature").is_empty() {
        return Err(super::refuse(Refusal::NoToken));
    }
    if text("x-ovh-application") != APPLICATION {
        return Err(no("INVALID_KEY", "Invalid application key"));
    }
    if text("x-ovh-consumer") != CONSUMER {
        return Err(no("INVALID_CREDENTIAL", "This credential is not valid"));
    }
    let time = text("x-ovh-timestamp");
    let now_secs = clock::now_ms() / 1000;
    if !time.parse().is_ok_and(|it: u64| it.abs_diff(now_secs) <= SKEW_SECS) {
        return Err(no("QUERY_TIME_OUT", "Query out of time"));
    }
    let body = String::from_utf8_lossy(body);
    let secret = secrets(fake).into_iter().find(|secret| {
        let signed = [secret, CONSUMER, method.as_str(), address, &body, time].join("+");
        text("x-ovh-signature") == signature(&signed)
    });
    secret.ok_or_else(|| {
        let body = json!({ "class": "Client::BadRequest", "message": "Invalid signature" });
        json_response(StatusCode::BAD_REQUEST, &body)
    })
}

/// Those that may do everything, and may only read.
fn secrets(fake: &Arc<Fake>) -> [String; 2] {
    [fake.options.token.clone(), format!("read-only-{}", fake.options.token)]
}

fn signature(text: &str) -> String {
    Sha1::digest(text).iter().fold("$1$".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// What a guest that has been given a signing key sends to delete itself: the key, and the headers beside it. The credential
/// is three keys and the project's address, with `:` between them.
pub(crate) fn signed(
    credential: &str,
    method: &Method,
    address: &str,
) -> (String, Vec<(HeaderName, String)>) {
    let parts: Vec<&str> = credential.splitn(4, ':').collect();
    let [application, secret, consumer, ..] = parts[..] else { return (String::new(), Vec::new()) };
    let time = (clock::now_ms() / 1000).to_string();
    let text = [secret, consumer, method.as_str(), address, "", &time].join("+");
    let headers = vec![
        (HeaderName::from_static("x-ovh-consumer"), consumer.to_owned()),
        (HeaderName::from_static("x-ovh-timestamp"), time),
        (HeaderName::from_static("x-ovh-signature"), signature(&text)),
    ];
    (application.to_owned(), headers)
}

/// `POST /ovh/oauth2/token`: a token for the service account (RFC 6749 section 4.4), by its form's fields or Basic.
pub(crate) async fn grant(State(fake): State<Arc<Fake>>, headers: HeaderMap, body: Bytes) -> Response {
    let refuse = |status, error: &str, why: &str| {
        json_response(status, &json!({ "error": error, "error_description": why }))
    };
    let form = Query::parse(&String::from_utf8_lossy(&body));
    if form.get("grant_type") != Some("client_credentials") {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials");
    }
    if form.get("scope") != Some("all") {
        return refuse(StatusCode::BAD_REQUEST, "invalid_scope", "the scope is all");
    }
    let basic = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()?.strip_prefix("Basic "));
    let basic = basic.and_then(|it| String::from_utf8(BASE64_STANDARD.decode(it).ok()?).ok());
    let basic = basic.as_deref().and_then(|it| it.split_once(':'));
    let client = basic.or_else(|| form.get("client_id").zip(form.get("client_secret")));
    let known = client.filter(|(id, _)| *id == CLIENT);
    let Some(secret) = known.and_then(|(_, it)| secrets(&fake).into_iter().find(|secret| secret == it))
    else {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    };
    let mut bytes = [0_u8; 24];
    if getrandom::fill(&mut bytes).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "no randomness");
    }
    let token = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let end_secs = clock::now_ms() / 1000 + TOKEN_SECS;
    fake.with(|cloud| cloud.ovh.tokens.insert(token.clone(), (secret, end_secs)));
    let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECS - 1, "scope": "all" });
    json_response(StatusCode::OK, &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "First Steps with the OVHcloud APIs".
    #[test]
    fn the_vendors_example_has_the_vendors_signature() {
        let text = "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF+MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1+GET+https://eu.api.ovh.com/1.0/domains/++1366560945";
        assert_eq!(signature(text), "$1$d3705e8afb27a0d2970a322b96550abfc67bb798");
    }
}
