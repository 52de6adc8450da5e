//! Who may call what: no token, wrong tokens, and the full matrix of scopes and routes.

use mayfly::api::{Access, ROUTES, Row};
use mayfly::keys::{Claims, Keyring, Scope};
use serde_json::json;

use super::support::call::Call;
use super::support::host::TestHost;
use super::support::world::{API_TOKEN, NOW_SECS, Settings, app, capability, claims, example_of, keyring};

/// A call of a row, with texts in place of its placeholders.
fn call_of(row: &Row) -> Call {
    Call::new(row.method.as_str(), &example_of(row.path))
}

fn guarded() -> impl Iterator<Item = &'static Row> {
    ROUTES.iter().filter(|row| row.access != Access::Public)
}

#[test]
fn without_a_token_no_route_but_the_public_ones_answers() {
    for row in guarded() {
        let answer = call_of(row).send(&app(), &TestHost::silent());
        answer.is_problem(401, "unauthorized", "Send the API token as 'Authorization: Bearer <token>'.");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"mayfly\""), "{row:?}");
    }
}

#[test]
fn a_token_in_another_scheme_is_no_token() {
    for value in [
        format!("Basic {API_TOKEN}"),
        format!("Token {API_TOKEN}"),
        API_TOKEN.to_owned(),
        format!("BearerX {API_TOKEN}"),
        String::new(),
    ] {
        let answer = Call::get("/vms").header("authorization", &*value).send(&app(), &TestHost::silent());
        answer.is_problem(401, "unauthorized", "The scheme must be Bearer: 'Authorization: Bearer <token>'.");
    }
}

#[test]
fn a_wrong_token_is_refused_everywhere_and_never_repeated() {
    let almost = &API_TOKEN[..API_TOKEN.len() - 1];
    for row in guarded() {
        for wrong in ["wrong-token-with-enough-characters", almost, "ä", "mfc1.k1.e30.AAAA"] {
            let answer = call_of(row).bearer(wrong).send(&app(), &TestHost::silent());
            let detail = match row.access {
                Access::Capability(_) => "The capability is not valid here, or no longer.",
                _ => "The bearer token is not known here.",
            };
            answer.is_problem(401, "unauthorized", detail);
        }
    }
}

#[test]
fn an_empty_token_and_one_of_a_megabyte_are_refused_unread() {
    for row in guarded() {
        for token in [String::new(), "  ".to_owned(), "x".repeat(1_000_000)] {
            let answer = call_of(row).bearer(&token).send(&app(), &TestHost::silent());
            answer.is_problem(401, "unauthorized", "The bearer token is empty or far too long.");
        }
    }
}

#[test]
fn the_scheme_counts_in_any_case_and_with_more_spaces() {
    for value in [format!("bearer {API_TOKEN}"), format!("BEARER   {API_TOKEN} ")] {
        let answer =
            Call::post("/seal").header("authorization", value).bytes("").send(&app(), &TestHost::silent());
        assert_eq!(answer.kind(), (400, "invalid_request".to_owned()));
    }
}

/// How many pairs of the matrix a test saw: a table that lost its rows must not pass.
const PAIRS: usize = 4 * 12;

#[test]
fn a_capability_opens_the_routes_of_its_scope_and_no_other() {
    let mut pairs = 0;
    for row in &ROUTES {
        let Access::Capability(good) = row.access else { continue };
        for scope in Scope::ALL {
            pairs += 1;
            let host = TestHost::silent();
            let call = call_of(row).bearer(&capability(scope));
            if good.contains(&scope) {
                // Past the check the handler wants a body (or asks the provider): 401 and 403 are behind it.
                let host = TestHost::new(reaches_the_provider(row));
                let answer = call.bytes("{").send(&app(), &host);
                assert!(!matches!(answer.status, 401 | 403 | 501), "{row:?} {scope:?} {}", answer.text());
            } else {
                let answer = call.send(&app(), &host);
                answer.is_problem(403, "wrong_scope", "The capability is not good for this.");
            }
        }
    }
    assert_eq!(pairs, PAIRS);
}

fn reaches_the_provider(row: &Row) -> super::support::script::Script {
    use super::support::script::{Script, get};
    use super::support::world::list_of_vm;
    if row.path == "/vm" {
        return Script::new().then(get(list_of_vm()).fixture(200, "list_servers.empty"));
    }
    Script::new()
}

#[test]
fn a_capability_of_whatever_scope_opens_no_route_of_a_person() {
    let mut pairs = 0;
    for row in ROUTES.iter().filter(|row| row.access == Access::Token) {
        for scope in Scope::ALL {
            pairs += 1;
            let answer = call_of(row).bearer(&capability(scope)).send(&app(), &TestHost::silent());
            answer.is_problem(401, "unauthorized", "The bearer token is not known here.");
        }
    }
    assert_eq!(pairs, 4 * (ROUTES.len() - 12 - 2));
}

#[test]
fn an_api_token_opens_no_route_of_a_vm() {
    for row in ROUTES.iter().filter(|row| matches!(row.access, Access::Capability(_))) {
        let answer = call_of(row).token().send(&app(), &TestHost::silent());
        answer.is_problem(401, "unauthorized", "The capability is not valid here, or no longer.");
    }
}

#[test]
fn a_capability_counts_only_here_only_unchanged_and_only_until_its_end() {
    let sign = |claims: &Claims| keyring().signer().sign(claims);
    let good = claims(Scope::Backup);
    let other_deployment = sign(&Claims { deployment: "other".into(), ..good.clone() });
    let over = sign(&Claims { expires_secs: Some(NOW_SECS), ..good.clone() });
    let other_key = Keyring::parse("k1:ffffffffffffffffffffffffffffffff").expect("a keyring");
    let other_key = other_key.signer().sign(&good);
    let other_id = sign(&good).replacen(".k1.", ".k2.", 1);
    let (signed, _) = sign(&good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("parts");
    for (what, token) in [
        ("of another deployment", other_deployment),
        ("past its end", over),
        ("of another key", other_key),
        ("of another key id", other_id),
        ("without signature", format!("{signed}.")),
        ("with a scope that was changed", {
            let forged = mayfly::encoding::base64url(
                json!({"d": "mayfly", "v": "x", "p": "hetzner", "r": "fsn1", "s": "agent"})
                    .to_string()
                    .as_bytes(),
            );
            let signature = sign(&good).rsplit_once('.').map(|it| it.1.to_owned()).expect("a signature");
            format!("mfc1.k1.{forged}.{signature}")
        }),
    ] {
        let answer = Call::get("/vm/backup/x").bearer(&token).send(&app(), &TestHost::silent());
        answer.is_problem(401, "unauthorized", "The capability is not valid here, or no longer.");
        assert!(!answer.text().contains(&token), "{what}");
    }
    let alive = sign(&Claims { expires_secs: Some(NOW_SECS + 1), ..good });
    assert_eq!(Call::get("/vm/backup/x").bearer(&alive).send(&app(), &TestHost::silent()).status, 403);
}

#[test]
fn a_retired_signing_key_still_verifies_what_it_signed() {
    let app = Settings::usual()
        .with("SIGNING_KEY", "k2:ffffffffffffffffffffffffffffffff,k1:0123456789abcdef0123456789abcdef")
        .app();
    let answer =
        Call::get("/vm/anthropic/v1").bearer(&capability(Scope::Agent)).send(&app, &TestHost::silent());
    assert_eq!(answer.status, 404, "the capability is good, and there is nothing behind it");
}
