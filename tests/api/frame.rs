//! What is around every route: the public ones, unknown paths and methods, a Worker that is not configured, request ids
//! and CORS.

use mayfly::api::ROUTES;
use serde_json::{Value, json};

use super::support::call::Call;
use super::support::creation::private_key;
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::world::{HETZNER_TOKEN, PAGE_ORIGIN, Settings, app, example_of};

#[test]
fn healthz_says_what_runs_here() {
    let answer = Call::get("/healthz").send(&app(), &TestHost::silent());
    assert_eq!(
        answer.ok(200),
        json!({"status": "ok", "version": mayfly::VERSION, "access": false, "simulation": false})
    );
    let simulated = Settings::usual().with("SIMULATION", "1").app();
    assert_eq!(Call::get("/healthz").send(&simulated, &TestHost::silent()).ok(200)["simulation"], true);
}

#[test]
fn the_openapi_document_is_public_json() {
    let document = Call::get("/openapi.json").send(&app(), &TestHost::silent()).ok(200);
    assert!(document.is_object());
}

#[test]
fn every_request_leaves_one_line_without_what_it_was_about() {
    let list = |status, fixture| get("/servers/4711").fixture(status, fixture);
    for (call, script, method, route, status, calls) in [
        (Call::get("/healthz?x=secret"), Script::new(), "GET", "/healthz", 200, 0),
        (Call::get("/a-secret-path"), Script::new(), "GET", "none", 404, 0),
        (Call::new("SECRET", "/vms"), Script::new(), "other", "none", 405, 0),
        (Call::get("/vms/hetzner-4711"), Script::new(), "GET", "/vms/{id}", 401, 0),
        (
            Call::get("/vms/hetzner-4711").token(),
            Script::new().then(list(404, "error.not_found")),
            "GET",
            "/vms/{id}",
            404,
            1,
        ),
    ] {
        let host = TestHost::new(script);
        let answer = call.send(&app(), &host);
        let id = answer.header("x-request-id").expect("an id");
        let line = json!({"event": "request", "request_id": id, "method": method, "route": route, "status": status,
                          "duration_ms": 0, "subrequests": calls});
        assert_eq!(host.request_lines(), [line]);
    }
}

#[test]
fn an_unknown_path_is_404_with_and_without_a_token() {
    for path in [
        "/",
        "/vm",
        "/vmss",
        "/vms/",
        "/vms/../options",
        "/vms/hetzner-1/",
        "/vms/hetzner-1/open/x",
        "//vms",
        "/VMS",
        "/healthz/",
        "/.env",
        "/vm/",
        "/vms/%2e%2e/x",
    ] {
        for call in [Call::get(path), Call::get(path).token()] {
            let answer = call.send(&app(), &TestHost::silent());
            if path == "/vm" {
                assert_eq!(answer.status, 405);
            } else {
                answer.is_problem(404, "not_found", "There is no such path.");
            }
        }
    }
}

#[test]
fn a_wrong_method_is_405_and_names_the_right_ones_for_every_path() {
    let allowed = |path: &str| {
        let mut methods: Vec<&str> = Vec::new();
        for row in ROUTES.iter().filter(|row| row.path == path) {
            methods.push(row.method.as_str());
        }
        methods
    };
    for row in &ROUTES {
        let path = example_of(row.path);
        for method in ["PATCH", "PUT", "HEAD", "TRACE", "BREW", "OPTIONS", "get", ""] {
            if allowed(row.path).contains(&method) {
                continue;
            }
            let answer = Call::new(method, &path).token().send(&app(), &TestHost::silent());
            let is_agents = path.starts_with("/vm/anthropic/");
            let code = if is_agents { "invalid_request_error" } else { "method_not_allowed" };
            assert_eq!(answer.kind(), (405, code.to_owned()), "{method} {path}");
            let allow = answer.header("allow").expect("Allow");
            // `/snapshots/golden` is also an id of `/snapshots/{id}`.
            let more = if row.path == "/snapshots/golden" { vec!["DELETE"] } else { Vec::new() };
            let mut want = allowed(row.path);
            want.extend(more);
            let mut got: Vec<&str> = allow.split(", ").collect();
            want.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, want, "{path}");
        }
    }
    let answer = Call::new("PATCH", "/vms").send(&app(), &TestHost::silent());
    answer.is_problem(405, "method_not_allowed", "This path takes GET, POST, DELETE.");
}

#[test]
fn a_worker_without_configuration_lists_every_key_on_every_path() {
    let app = Settings::nothing().app();
    for target in ["/healthz", "/vms", "/nowhere", "/vm/boot"] {
        let answer = Call::get(target).token().send(&app, &TestHost::silent());
        answer.is_problem_with(
            503,
            "misconfigured",
            "The Worker's configuration is not complete; errors lists every key.",
            &json!({"errors": [
                {"field": "API_TOKEN", "detail": "is missing: the bearer token of the API (or API_TOKENS); `npm run setup` makes one"},
                {"field": "SIGNING_KEY", "detail": "is missing: kid:key with a random key; `npm run setup` makes one"},
                {"field": "HETZNER_TOKEN", "detail": "is missing: no provider is configured; create an API token (Read & Write) in a Hetzner Cloud project, or give another provider's (SCALEWAY_SECRET_KEY, DIGITALOCEAN_TOKEN, OVH_APPLICATION_SECRET, AWS_SECRET_ACCESS_KEY)"},
            ]}),
        );
    }
}

#[test]
fn a_misconfigured_worker_names_every_key_and_shows_no_value() {
    const BAD: &str = "!bad value!";
    let keys = [
        "SIMULATION",
        "DEPLOYMENT",
        "API_TOKENS",
        "SIGNING_KEY",
        "PUBLIC_URL",
        "ALLOWED_ORIGINS",
        "HETZNER_API_URL",
        "HETZNER_TOKEN",
        "SCALEWAY_API_URL",
        "SCALEWAY_SECRET_KEY",
        "SCALEWAY_PROJECT_ID",
        "SCALEWAY_ZONES",
        "DIGITALOCEAN_API_URL",
        "DIGITALOCEAN_TOKEN",
        "OVH_ENDPOINT",
        "OVH_API_URL",
        "OVH_TOKEN_URL",
        "OVH_REGIONS",
        "OVH_SUBSIDIARY",
        "OVH_APPLICATION_SECRET",
        "OVH_APPLICATION_KEY",
        "OVH_CONSUMER_KEY",
        "OVH_PROJECT_ID",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGIONS",
        "AWS_SUBNET_ID",
        "EC2_API_URL",
        "AWS_PRICING_API_URL",
        "SSH_PUBLIC_KEY",
        "DEFAULT_DEVCONTAINER_IMAGE",
        "DEFAULT_PROVIDER",
        "DEFAULT_SIZE",
        "DEFAULT_WEB_UI",
        "IDLE_MINUTES",
        "MAX_HOURS",
        "DOMAIN",
        "VM_ORIGIN",
        "ACCESS_TEAM_DOMAIN",
        "ACCESS_AUD",
        "ACCESS_ADMINS",
    ];
    let settings = keys.into_iter().fold(Settings::nothing(), |it, key| it.with(key, BAD));
    let answer =
        Call::get("/vms").token().send(&settings.with("API_TOKEN", "short").app(), &TestHost::silent());
    assert_eq!(answer.kind(), (503, "misconfigured".to_owned()));
    let errors = answer.json()["errors"].as_array().cloned().expect("errors");
    let named: Vec<&str> = errors.iter().filter_map(|it| it["field"].as_str()).collect();
    for key in keys.into_iter().chain(["API_TOKEN"]) {
        assert!(named.contains(&key), "{key} is not among {named:?}");
    }
    assert!(!answer.text().contains("bad value"), "{}", answer.text());
}

#[test]
fn names_and_digests_of_tokens_are_checked_one_by_one() {
    for (tokens, detail) in [
        ("[]", "must be a JSON object of names and SHA-256 digests: {\"ann\": \"<64 hexadecimal digits>\"}"),
        ("{}", "names nobody"),
        (r#"{"ann":"tooshort"}"#, "'ann' needs the SHA-256 of the token as 64 hexadecimal digits"),
        (r#"{"ann":7}"#, "'ann' needs the SHA-256 of the token as 64 hexadecimal digits"),
        (r#"{"a b":"00"}"#, "entry 1 needs a name of 1 to 63 letters, digits, '-', '_' or '.'"),
        (r#"{"default":"00"}"#, "the name 'default' belongs to API_TOKEN"),
    ] {
        let app = Settings::usual().with("API_TOKENS", tokens).app();
        let answer = Call::get("/vms").token().send(&app, &TestHost::silent());
        assert_eq!(answer.json()["errors"], json!([{"field": "API_TOKENS", "detail": detail}]), "{tokens}");
    }
}

#[test]
fn a_key_for_every_workspace_is_checked_as_a_given_one() {
    let told = |key: &str| {
        let app = Settings::usual().with("GIT_TOKEN", key).app();
        Call::get("/vms").token().send(&app, &TestHost::silent()).json()["errors"].clone()
    };
    assert_eq!(
        told(&private_key("aes256-ctr", "\n")),
        json!([{"field": "GIT_TOKEN",
                "detail": "is a private key with a passphrase, which nobody could type on the VM; make one without"}])
    );
    let app = Settings::usual().with("GIT_TOKEN", private_key("none", "\n")).app();
    // The path is looked at once the configuration is right.
    assert_eq!(Call::get("/nowhere").token().send(&app, &TestHost::silent()).kind().0, 404);
}

#[test]
fn request_ids_are_cloudflares_or_random() {
    let host = TestHost::silent();
    let id = |call: Call| call.send(&app(), &host).header("x-request-id").map(str::to_owned).expect("an id");
    assert_eq!(id(Call::get("/healthz").header("cf-ray", "8f1a2b3c4d5e6f70-FRA")), "8f1a2b3c4d5e6f70-FRA");
    let (first, second) = (id(Call::get("/healthz")), id(Call::get("/healthz")));
    assert_ne!(first, second);
    for bad in ["a b", "<script>", "", &"x".repeat(41), "a\nb"] {
        let id = id(Call::get("/nowhere").header("cf-ray", bad));
        assert!(id.len() == 16 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{id}");
    }
}

/// The CORS headers of an answer.
fn cors(call: Call, settings: &Settings) -> (u16, Value) {
    let answer = call.send(&settings.app(), &TestHost::silent());
    let header = |name| answer.header(name);
    let headers = json!({
        "origin": header("access-control-allow-origin"),
        "methods": header("access-control-allow-methods"),
        "headers": header("access-control-allow-headers"),
        "exposed": header("access-control-expose-headers"),
        "max_age": header("access-control-max-age"),
        "vary": header("vary"),
        "credentials": header("access-control-allow-credentials"),
    });
    (answer.status, headers)
}

const EXPOSED: &str = "location, retry-after, x-request-id, idempotent-replayed";

#[test]
fn the_page_may_read_answers_and_refusals() {
    let want = |origin: &str| {
        json!({"origin": origin, "exposed": EXPOSED, "vary": "origin", "methods": null, "headers": null,
               "max_age": null, "credentials": null})
    };
    for (origin, target, status) in [
        (PAGE_ORIGIN, "/healthz", 200),
        ("https://a1b2c3.mayfly.pages.dev", "/healthz", 200),
        (PAGE_ORIGIN, "/vms", 401),
        (PAGE_ORIGIN, "/nowhere", 404),
    ] {
        let got = cors(Call::get(target).header("origin", origin), &Settings::usual());
        assert_eq!(got, (status, want(origin)), "{origin} {target}");
    }
}

#[test]
fn other_origins_get_no_permission() {
    let nothing = json!({"origin": null, "exposed": null, "vary": "origin", "methods": null, "headers": null,
                         "max_age": null, "credentials": null});
    for origin in [
        "https://evil.example",
        "http://mayfly.pages.dev",
        "https://mayfly.pages.dev.evil.example",
        "https://a.b.mayfly.pages.dev",
        "https://mayfly.pages.dev:444",
        "null",
        "",
        "*",
    ] {
        let got = cors(Call::get("/healthz").header("origin", origin), &Settings::usual());
        assert_eq!(got, (200, nothing.clone()), "{origin}");
    }
}

#[test]
fn a_preflight_is_answered_for_every_path_without_a_token() {
    for row in &ROUTES {
        let path = example_of(row.path);
        let call = Call::new("OPTIONS", &path)
            .header("origin", PAGE_ORIGIN)
            .header("access-control-request-method", row.method.as_str());
        let (status, headers) = cors(call, &Settings::usual());
        assert_eq!(status, 204, "{path}");
        assert_eq!(
            headers,
            json!({"origin": PAGE_ORIGIN, "methods": "GET, POST, PUT, PATCH, DELETE",
                   "headers": "authorization, content-type, idempotency-key", "exposed": EXPOSED,
                   "max_age": "86400", "vary": "origin", "credentials": null})
        );
    }
}

#[test]
fn a_preflight_from_elsewhere_or_to_nowhere_permits_nothing() {
    let preflight = |path: &str, origin: &str| {
        let call = Call::new("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", "GET");
        let (status, headers) = cors(call, &Settings::usual());
        (status, headers["origin"].clone(), headers["methods"].clone())
    };
    assert_eq!(preflight("/vms", "https://evil.example"), (204, Value::Null, Value::Null));
    assert_eq!(preflight("/nowhere", "https://evil.example").0, 404);
    let none = Settings::usual().with("ALLOWED_ORIGINS", "");
    let call = Call::get("/healthz").header("origin", PAGE_ORIGIN);
    assert_eq!(cors(call, &none).1["origin"], Value::Null, "no origin is allowed by default");
}

#[test]
fn failures_of_the_worker_are_logged_without_what_they_are_about() {
    use super::support::script::{Script, get};
    let host = TestHost::new(Script::new().then(get("/servers/4711").fixture(401, "error.unauthorized")));
    let answer = Call::get("/vms/hetzner-4711").token().send(&app(), &host);
    assert_eq!(answer.status, 502);
    assert_eq!(
        host.log_lines(),
        [
            json!({"event": "problem", "request_id": answer.header("x-request-id"), "method": "GET", "status": 502,
                "code": "provider_unauthorized", "detail": "Hetzner Cloud refuses the token in HETZNER_TOKEN."})
        ]
    );
    assert!(!answer.text().contains(HETZNER_TOKEN));
    let host = TestHost::silent();
    Call::get("/nowhere").send(&app(), &host);
    assert!(host.log_lines().is_empty(), "a caller's mistakes are not ours to log");
}
