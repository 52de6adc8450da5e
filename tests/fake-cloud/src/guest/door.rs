//! The door of a simulated VM, at `/guests/<its IPv4 address>/`: signing in, and the pages behind it.
//!
//! The real door is a VM's own; this one keeps its paths (`_mayfly/in`, `_mayfly/status`, `terminal/`) and its
//! rules. Pages are written in `pages`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::record::Record;
use super::{hex, link, pages};
use crate::answer::json_response;
use crate::cloud::Cloud;
use crate::fake::Fake;
use crate::query::Query;

/// Nothing but the door's own files, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const COOKIE_NAME: &str = "mayfly_door";
/// Wrong passwords in a row before the door stays shut for a while.
const MAX_WRONG: u32 = 10;
const SHUT_MS: u64 = 60_000;

/// Routes under `/guests`.
pub(crate) fn routes() -> Router<Arc<Fake>> {
    Router::new()
        .route(
            "/{ip}",
            get(async |Path(ip): Path<String>| {
                redirect(StatusCode::PERMANENT_REDIRECT, &format!("/guests/{ip}/"))
            }),
        )
        .route("/{ip}/", get(home))
        .route("/{ip}/_mayfly/in", get(sign_in_page).post(sign_in))
        .route("/{ip}/_mayfly/out", axum::routing::post(sign_out))
        .route("/{ip}/_mayfly/status", get(status))
        .route("/{ip}/_mayfly/door.js", get(async || asset("text/javascript; charset=utf-8", pages::SCRIPT)))
        .route("/{ip}/_mayfly/door.css", get(async || asset("text/css; charset=utf-8", pages::STYLE)))
        .route("/{ip}/terminal/", get(terminal))
}

/// What a request found at the address.
enum Visit<T> {
    /// No server with power and a guest is there.
    Nobody,
    /// Somebody is there, who does not know this browser.
    Stranger,
    /// Signed in.
    Welcome(T),
}

/// Whether the browser is signed in; a visit counts as activity.
fn visit<T>(fake: &Arc<Fake>, ip: &str, headers: &HeaderMap, look: impl FnOnce(&Record) -> T) -> Visit<T> {
    fake.with(|cloud| {
        let now_ms = cloud.now_ms;
        let Some(record) = find(cloud, ip) else { return Visit::Nobody };
        if !session(headers).is_some_and(|session| record.sessions.contains(session)) {
            return Visit::Stranger;
        }
        record.visits += 1;
        record.active_ms = now_ms;
        Visit::Welcome(look(record))
    })
}

fn find<'a>(cloud: &'a mut Cloud, ip: &str) -> Option<&'a mut Record> {
    let server = cloud.server_at(ip)?;
    cloud.guests.get_powered(server)
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

fn page(status: StatusCode, html: String) -> Response {
    secured((status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    secured(([(CONTENT_TYPE, kind)], text).into_response())
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    secured((status, [(LOCATION, to)]).into_response())
}

fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn nobody(ip: &str) -> Response {
    page(StatusCode::BAD_GATEWAY, pages::nobody(ip))
}

async fn home(State(fake): State<Arc<Fake>>, Path(ip): Path<String>, headers: HeaderMap) -> Response {
    match visit(&fake, &ip, &headers, |record| pages::home(&ip, record)) {
        Visit::Nobody => nobody(&ip),
        Visit::Stranger => page(StatusCode::UNAUTHORIZED, pages::sign_in(&ip, None)),
        Visit::Welcome(html) => page(StatusCode::OK, html),
    }
}

async fn terminal(State(fake): State<Arc<Fake>>, Path(ip): Path<String>, headers: HeaderMap) -> Response {
    match visit(&fake, &ip, &headers, |record| pages::terminal(&ip, record)) {
        Visit::Nobody => nobody(&ip),
        Visit::Stranger => redirect(StatusCode::SEE_OTHER, &format!("/guests/{ip}/_mayfly/in")),
        Visit::Welcome(html) => page(StatusCode::OK, html),
    }
}

/// JSON for whoever asks for it, else a page.
async fn status(State(fake): State<Arc<Fake>>, Path(ip): Path<String>, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let as_json = accepted.contains("application/json") && !accepted.contains("text/html");
    let look = |record: &Record| (pages::status(&ip, record), pages::status_json(record));
    match (visit(&fake, &ip, &headers, look), as_json) {
        (Visit::Nobody, _) => nobody(&ip),
        (Visit::Stranger, true) => {
            secured(json_response(StatusCode::UNAUTHORIZED, &serde_json::json!({ "code": "sign_in_needed" })))
        }
        (Visit::Stranger, false) => redirect(StatusCode::SEE_OTHER, &format!("/guests/{ip}/_mayfly/in")),
        (Visit::Welcome((_, json)), true) => secured(json_response(StatusCode::OK, &json)),
        (Visit::Welcome((html, _)), false) => page(StatusCode::OK, html),
    }
}

async fn sign_in_page(State(fake): State<Arc<Fake>>, Path(ip): Path<String>) -> Response {
    let is_somebody = fake.with(|cloud| find(cloud, &ip).is_some());
    if is_somebody { page(StatusCode::OK, pages::sign_in(&ip, None)) } else { nobody(&ip) }
}

/// Why the door stays shut.
enum Refusal {
    Nobody,
    /// The boot exchange has not happened: there is no password yet.
    TooEarly,
    TooOften,
    Wrong(&'static str),
}

/// A form with `password`, or with the `token` of a link; from the door's own page only.
async fn sign_in(
    State(fake): State<Arc<Fake>>,
    Path(ip): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return page(StatusCode::FORBIDDEN, pages::sign_in(&ip, Some("Please sign in on this page.")));
    }
    let form = Query::parse(&String::from_utf8_lossy(&body));
    let mut random = [0_u8; 16];
    if getrandom::fill(&mut random).is_err() {
        return page(StatusCode::INTERNAL_SERVER_ERROR, pages::sign_in(&ip, Some("No randomness.")));
    }
    let session = hex(&random);
    match fake.with(|cloud| open(cloud, &ip, &form, &session)) {
        Ok(()) => {
            let mut response = redirect(StatusCode::SEE_OTHER, &format!("/guests/{ip}/"));
            let cookie = format!("{COOKIE_NAME}={session}; Path=/guests/{ip}/; HttpOnly; SameSite=Strict");
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(Refusal::Nobody) => nobody(&ip),
        Err(Refusal::TooEarly) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            pages::sign_in(&ip, Some("The workspace is still booting. Try again in a moment.")),
        ),
        Err(Refusal::TooOften) => page(
            StatusCode::TOO_MANY_REQUESTS,
            pages::sign_in(&ip, Some("Too many wrong passwords. Try again in a minute.")),
        ),
        Err(Refusal::Wrong(why)) => page(StatusCode::UNAUTHORIZED, pages::sign_in(&ip, Some(why))),
    }
}

fn open(cloud: &mut Cloud, ip: &str, form: &Query, session: &str) -> Result<(), Refusal> {
    let now_ms = cloud.now_ms;
    let record = find(cloud, ip).ok_or(Refusal::Nobody)?;
    let secrets = record.secrets.as_ref().ok_or(Refusal::TooEarly)?;
    let vm = record.vm.as_ref().map(|vm| vm.vm.as_str()).unwrap_or_default();
    if let Some(token) = form.get("token") {
        let nonce = link::check(token, &secrets.link_key.0, vm, now_ms / 1000);
        let fresh = nonce.is_some_and(|nonce| record.used_links.insert(nonce));
        if !fresh {
            return Err(Refusal::Wrong(
                "This link is no longer valid. Ask for a new one, or use the password.",
            ));
        }
    } else {
        let (wrong, last_ms) = record.wrong_passwords;
        if wrong >= MAX_WRONG && now_ms < last_ms + SHUT_MS {
            return Err(Refusal::TooOften);
        }
        let password = &secrets.password.0;
        if password.is_empty() || form.get("password") != Some(password.as_str()) {
            record.wrong_passwords = (wrong + 1, now_ms);
            return Err(Refusal::Wrong("That is not the password."));
        }
    }
    record.wrong_passwords = (0, 0);
    record.sessions.insert(session.to_owned());
    record.active_ms = now_ms;
    Ok(())
}

async fn sign_out(State(fake): State<Arc<Fake>>, Path(ip): Path<String>, headers: HeaderMap) -> Response {
    fake.with(|cloud| {
        if let (Some(record), Some(session)) = (find(cloud, &ip), session(&headers)) {
            record.sessions.remove(session);
        }
    });
    let mut response = redirect(StatusCode::SEE_OTHER, &format!("/guests/{ip}/_mayfly/in"));
    let cookie = format!("{COOKIE_NAME}=; Path=/guests/{ip}/; HttpOnly; SameSite=Strict; Max-Age=0");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
