//! Bad input of every kind to the routes that read a body: 400, 413 or 422 with every problem named, and nothing asked
//! of the provider.

use serde_json::{Value, json};

use super::support::call::{Answer, Call, TestBody};
use super::support::creation::{private_key, request};
use super::support::host::TestHost;
use super::support::world::{SSH_KEY, app};

/// Both routes that read a workspace's description must refuse it in the same way.
fn refused(body: impl Fn() -> TestBody) -> Answer {
    let answers = ["/vms", "/user-data"]
        .map(|path| Call::post(path).token().body(body()).send(&app(), &TestHost::silent()));
    let [created, rendered] = answers;
    assert_eq!(created.json()["errors"], rendered.json()["errors"]);
    assert_eq!(created.kind(), rendered.kind());
    created
}

fn refused_json(body: &Value) -> Answer {
    refused(|| TestBody::Bytes(body.to_string().into_bytes()))
}

/// The usual request with one field changed.
fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut body = request();
    body[field] = value.into();
    body
}

/// A request of which one field is wrong.
fn one_problem(body: &Value, field: &str, detail: &str) {
    let answer = refused_json(body);
    answer.is_problem_with(
        400,
        "invalid_request",
        &format!("The field {field} {detail}."),
        &json!({"errors": [{"field": field, "detail": detail}]}),
    );
}

#[test]
fn a_body_that_is_not_json_is_refused_with_the_place() {
    for (body, place) in [
        ("", "line 1, column 0"),
        ("{", "line 1, column 1"),
        ("{\n\"repo_url\": }", "line 2, column 13"),
        ("repo_url=https://github.com/o/r", "line 1, column 1"),
        ("{\"repo_url\":\"\u{1}\"}", "line 1, column 14"),
    ] {
        let detail = format!("the body is not JSON: {place}");
        refused(|| TestBody::Bytes(body.into())).is_problem_with(
            400,
            "invalid_request",
            &format!("The request is not valid: {detail}."),
            &json!({"errors": [{"field": "", "detail": detail}]}),
        );
    }
    for bytes in [vec![0xff, 0xfe], b"{\"repo_url\":\"\xff\"}".to_vec(), vec![0; 100]] {
        assert_eq!(refused(|| TestBody::Bytes(bytes.clone())).kind(), (400, "invalid_request".to_owned()));
    }
    let deep = format!("{{\"env\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(refused(|| TestBody::Bytes(deep.clone().into_bytes())).status, 400);
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    let detail = "the body must be a JSON object such as {\"repo_url\": \"https://github.com/owner/name\"}";
    for body in ["[]", "null", "1", "\"https://github.com/o/r\"", "true", "[{\"repo_url\":\"x\"}]"] {
        refused(|| TestBody::Bytes(body.into())).is_problem_with(
            400,
            "invalid_request",
            &format!("The request is not valid: {detail}."),
            &json!({"errors": [{"field": "", "detail": detail}]}),
        );
    }
}

#[test]
fn a_body_of_two_megabytes_is_413_and_one_that_breaks_is_400() {
    let long = || TestBody::Bytes(vec![b' '; 2_000_000]);
    let limit = mayfly::api::BODY_MAX_BYTES;
    refused(long).is_problem(413, "body_too_long", &format!("The body is longer than {limit} bytes."));
    refused(|| TestBody::Broken).is_problem(400, "body_broken", "The body did not arrive whole.");
}

#[test]
fn a_body_is_not_read_before_the_token_is_known() {
    for path in ["/vms", "/user-data", "/vm/boot", "/vm/progress", "/vm/heartbeat"] {
        let answer =
            Call::post(path).bearer("wrong").body(TestBody::Unread).send(&app(), &TestHost::silent());
        assert_eq!(answer.status, 401);
    }
}

#[test]
fn unknown_fields_are_refused() {
    one_problem(&with("repo-url", "x"), "repo-url", "is not a field of this request");
    one_problem(&with("REPO_URL", "x"), "REPO_URL", "is not a field of this request");
    one_problem(&with("a\nb\u{7}", 1), "ab", "is not a field of this request");
    one_problem(&with(&"x".repeat(500), 1), &"x".repeat(64), "is not a field of this request");
    one_problem(
        &with("restore", "x"),
        "restore",
        "must be latest, none or the id of a backup, as GET /workspaces tells it",
    );
}

#[test]
fn what_the_disk_begins_as_is_said_once() {
    one_problem(&with("from", "silver"), "from", "must be one of golden");
    let mut both = with("from", "golden");
    both["snapshot_id"] = "hetzner-71".into();
    let detail = "cannot be given together with snapshot_id; both say what the disk begins as";
    one_problem(&both, "from", detail);
}

#[test]
fn a_paid_hour_is_used_only_where_hours_are_paid() {
    one_problem(&with("use_paid_hour", "yes"), "use_paid_hour", "must be true or false");
    let mut there = with("use_paid_hour", true);
    there["provider"] = "digitalocean".into();
    one_problem(&there, "use_paid_hour", "is of no use: DigitalOcean bills by the second");
}

#[test]
fn wrong_types_are_named_field_by_field() {
    for field in [
        "repo_url",
        "branch",
        "name",
        "provider",
        "size",
        "location",
        "profile",
        "web_ui",
        "ssh_public_key",
        "git_token",
        "anthropic_api_key",
        "claude_code_oauth_token",
        "image",
        "devcontainer_image",
        "from",
    ] {
        for value in [json!(7), json!(true), json!(["x"]), json!({"x": 1})] {
            one_problem(&with(field, value), field, "must be a string");
        }
    }
    for value in [json!("30"), json!(-1), json!(0), json!(1441), json!(30.5), json!(1e30), json!(u64::MAX)] {
        one_problem(&with("idle_minutes", value), "idle_minutes", "must be a whole number from 1 to 1440");
    }
    for value in [json!("12"), json!(0), json!(169), json!(null_free())] {
        one_problem(&with("max_hours", value), "max_hours", "must be a whole number from 1 to 168");
    }
    for value in [json!("true"), json!(1), json!([])] {
        one_problem(&with("trust_repo", value), "trust_repo", "must be true or false");
    }
    for value in [json!("A=b"), json!([]), json!(3)] {
        one_problem(&with("env", value), "env", "must be an object of names and strings");
    }
    let networks = "must be a list of at most 20 networks such as [\"203.0.113.0/24\", \"2001:db8::/32\"]";
    for value in [
        json!("203.0.113.0/24"),
        json!([1]),
        json!(["203.0.113.0/33"]),
        json!(["::/129"]),
        json!(["10.0.0.1/+8"]),
        json!(["0/0"]),
        json!(["any"]),
        json!(["10.0.0.1; reboot"]),
        json!(vec!["10.0.0.1"; 21]),
    ] {
        one_problem(&with("allow_from", value), "allow_from", networks);
    }
}

/// A number that is no whole number.
fn null_free() -> f64 {
    12.25
}

#[test]
fn every_problem_is_found_at_once() {
    let body = json!({
        "repo_url": "file:///etc/passwd", "branch": "-x", "name": "Not A Name", "size": "huge", "max_hours": 0,
        "ssh_public_key": "ssh-dss AAAA", "image": "windows", "env": {"1A": "x", "B": 3}, "surprise": true,
    });
    let answer = refused_json(&body);
    assert_eq!(answer.json()["detail"], "10 fields are not valid.");
    let errors = answer.json()["errors"].clone();
    let mut fields: Vec<&str> =
        errors.as_array().into_iter().flatten().filter_map(|it| it["field"].as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "branch",
            "env",
            "env.B",
            "image",
            "max_hours",
            "name",
            "repo_url",
            "size",
            "ssh_public_key",
            "surprise"
        ]
    );
}

#[test]
fn null_and_the_empty_string_are_not_given_but_a_repository_is_needed() {
    for value in [Value::Null, json!("")] {
        one_problem(
            &with("repo_url", value),
            "repo_url",
            "is required: a Git URL such as https://github.com/owner/name",
        );
    }
    one_problem(&json!({}), "repo_url", "is required: a Git URL such as https://github.com/owner/name");
}

#[test]
fn repository_urls_that_could_be_more_than_a_url_are_refused() {
    const CHARACTER: &str =
        "contains a character that no Git URL needs; letters, digits and - . _ ~ / : @ + are allowed";
    const SPACE: &str = "contains white space or a control character";
    const FORM: &str = "must begin with https:// or ssh://, or have the form user@host:path";
    const PRIVATE: &str = "names a private, loopback or link-local address; the host must be public";
    let long = format!("https://github.com/o/{}", "r".repeat(3000 - 21));
    for (url, detail) in [
        ("https://github.com/o/r;reboot", CHARACTER),
        ("https://github.com/o/$(reboot)", CHARACTER),
        ("https://github.com/o/`id`", CHARACTER),
        ("https://github.com/o/\"r\"", CHARACTER),
        ("https://github.com/o/'r'", CHARACTER),
        ("https://github.com/o/r\\", CHARACTER),
        ("https://github.com/o/r|cat", CHARACTER),
        ("https://github.com/o/r?x=1", CHARACTER),
        ("https://github.com/o/réponse", CHARACTER),
        ("https://github.com/o/r\nrm -rf /", SPACE),
        ("https://github.com/o/r x", SPACE),
        ("https://github.com/o/r\u{0}", SPACE),
        ("https://github.com/o/r\r\n", SPACE),
        ("--upload-pack=touch", FORM),
        ("--upload-pack=touch@github.com:o/r", CHARACTER),
        ("file:///etc/passwd", FORM),
        ("http://github.com/o/r", FORM),
        ("git://github.com/o/r", FORM),
        ("/srv/git/r", FORM),
        ("owner/name", FORM),
        ("https://169.254.169.254/o/r", PRIVATE),
        ("ssh://git@169.254.169.254/o/r", PRIVATE),
        ("git@169.254.169.254:o/r", PRIVATE),
        ("https://[fd00::1]/o/r", PRIVATE),
        ("https://127.0.0.1/o/r", PRIVATE),
        (
            "https://user:secret-given-pw@github.com/o/r",
            "holds a user name or password; give a credential as git_token instead",
        ),
        ("https://github.com/", "names no repository after the host"),
        ("https://github.com/../etc", "has a path segment that is '.', '..' or begins with '-'"),
        (long.as_str(), "is longer than 255 characters"),
    ] {
        let answer = refused_json(&with("repo_url", url));
        // `--upload-pack=touch` fails on its `=` before its form is looked at.
        let detail = if url.contains('=') { CHARACTER } else { detail };
        assert_eq!(answer.json()["errors"], json!([{"field": "repo_url", "detail": detail}]), "{url}");
    }
}

#[test]
fn names_must_be_host_names() {
    let form = "must be a host name: small letters, digits and '-', not at either end";
    for name in ["MyBox", "box🚀", "-box", "box-", "my_box", "my.box", "my box", "box\n", "bóx", "../x"] {
        one_problem(&with("name", name), "name", form);
    }
    one_problem(&with("name", "n".repeat(70)), "name", "must have 1 to 63 characters");
}

#[test]
fn branches_and_locations_and_images_are_checked() {
    let branch = "must be a branch or tag name of letters, digits and . _ - / + # @ =";
    for bad in [
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a//b",
        "/a",
        "a/",
        ".a",
        "a.lock",
        "@",
        "a;b",
        "a\nb",
        "$(x)",
    ] {
        one_problem(&with("branch", bad), "branch", branch);
    }
    let location = "must be a location's name, such as fsn1; GET /options lists them";
    for bad in ["FSN1", "fsn1&x=1", "fsn 1", "../x", &"l".repeat(33)] {
        one_problem(&with("location", bad), "location", location);
    }
    let image = "must be a container image such as mcr.microsoft.com/devcontainers/base:ubuntu";
    for bad in ["-v", "/x", "a b", "a;b", "a$b", "a\nb", "a\"b"] {
        one_problem(&with("devcontainer_image", bad), "devcontainer_image", image);
    }
    for (field, known) in [
        ("size", "small, medium, large"),
        ("provider", "hetzner, scaleway, digitalocean, ovh, ec2"),
        ("profile", "coding"),
        ("image", "debian-13, ubuntu-24.04"),
        ("web_ui", "cloudcli, ttyd, code-server, openhands, claude-code-web, cui"),
    ] {
        one_problem(&with(field, "nonesuch"), field, &format!("must be one of {known}"));
    }
}

#[test]
fn a_private_key_is_refused_by_name_and_never_repeated() {
    let private =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-given-private-key\n-----END OPENSSH PRIVATE KEY-----";
    one_problem(
        &with("ssh_public_key", private),
        "ssh_public_key",
        "is a private key; give the public key, the file that ends in .pub (and replace this one: it has been shown)",
    );
    for (key, detail) in [
        ("ssh-dss AAAA", "must be a public key in OpenSSH's format, such as 'ssh-ed25519 AAAA… me@laptop'"),
        ("ssh-ed25519", "has no base64 key after its kind"),
        (&SSH_KEY[..40], "is cut short or damaged: its key does not match its kind"),
        (&format!("{SSH_KEY}\n{SSH_KEY}"), "must be one line of at most 4,096 characters"),
    ] {
        one_problem(&with("ssh_public_key", key), "ssh_public_key", detail);
    }
}

#[test]
fn a_key_in_the_place_of_a_git_token_is_checked() {
    let by_ssh = |key: &str| {
        let mut body = with("git_token", key);
        body["repo_url"] = "git@github.com:o/r".into();
        body
    };
    one_problem(
        &with("git_token", private_key("none", "\n")),
        "git_token",
        "is an SSH key, and repo_url is https: give the repository's ssh URL, such as git@github.com:owner/name, or a token",
    );
    for (bad, detail) in [
        (
            private_key("aes256-ctr", "\n"),
            "is a private key with a passphrase, which nobody could type on the VM; make one without",
        ),
        (
            private_key("none", "\n").replace("OPENSSH", "RSA"),
            "is a private key that is cut short or not in OpenSSH's own format; 'ssh-keygen -p -f the-file' rewrites it",
        ),
        (
            private_key("none", "\n").replace('b', "!"),
            "is a private key that is damaged: what is between its first and last line is no key",
        ),
        (
            private_key("none", &"\n".repeat(2000)),
            "is a private key of more than 4,096 characters; an Ed25519 key ('ssh-keygen -t ed25519') is far shorter",
        ),
    ] {
        one_problem(&by_ssh(&bad), "git_token", detail);
    }
}

#[test]
fn secrets_and_environment_are_checked_and_never_repeated() {
    let secret = "must be at most 4,096 printable ASCII characters without spaces";
    for field in ["git_token", "anthropic_api_key", "claude_code_oauth_token"] {
        for bad in [
            "secret-given-a b",
            "secret-given-\n",
            "secret-given-ü",
            &format!("secret-given-{}", "x".repeat(4096)),
        ] {
            one_problem(&with(field, bad), field, secret);
        }
    }
    let mut both = with("anthropic_api_key", "secret-given-1");
    both["claude_code_oauth_token"] = "secret-given-2".into();
    one_problem(
        &both,
        "claude_code_oauth_token",
        "cannot be given together with anthropic_api_key; Claude Code uses one of them",
    );
    let names = "has a name that is not letters, digits and '_' (not a digit first)";
    for name in ["", "1A", "A-B", "A B", "A=B", "Ä", "$(x)", &"A".repeat(129)] {
        one_problem(&with("env", json!({name: "secret-given-x"})), "env", names);
    }
    one_problem(&with("env", json!({"A": "secret-given-\0"})), "env.A", "must be a string without NUL");
    one_problem(&with("env", json!({"A": 1})), "env.A", "must be a string without NUL");
    let many: serde_json::Map<String, Value> = (0..51).map(|it| (format!("A{it}"), json!("x"))).collect();
    for env in [Value::Object(many), json!({"A": "secret-given-".repeat(400)})] {
        one_problem(&with("env", env), "env", "may hold 50 variables and 4096 bytes at the most");
    }
}

#[test]
fn an_idempotency_key_must_be_printable_and_short() {
    for key in [String::new(), "ä".to_owned(), "a\nb".to_owned(), "k".repeat(256)] {
        let answer = Call::post("/vms")
            .token()
            .header("idempotency-key", key)
            .json(&request())
            .send(&app(), &TestHost::silent());
        let detail = "must be 1 to 255 printable ASCII characters";
        answer.is_problem_with(
            400,
            "invalid_request",
            &format!("The field Idempotency-Key {detail}."),
            &json!({"errors": [{"field": "Idempotency-Key", "detail": detail}]}),
        );
    }
}

#[test]
fn user_data_over_the_limit_is_refused_before_any_call() {
    // Each of these characters takes six bytes of JSON and eight of user data.
    let body = with("env", json!({"A": "\u{1}".repeat(4095)}));
    let answer = Call::post("/vms").token().json(&body).send(&app(), &TestHost::silent());
    assert_eq!(answer.kind(), (422, "user_data_too_long".to_owned()));
    let body = answer.json();
    let detail = body["detail"].as_str().expect("a sentence");
    let bytes = detail
        .strip_prefix("The user data would have ")
        .and_then(|it| {
            it.strip_suffix(
                " bytes; Hetzner Cloud takes 32768. Give fewer or shorter env values, secrets and keys.",
            )
        })
        .and_then(|it| it.parse::<usize>().ok());
    assert!(bytes.is_some_and(|it| it > 32_768), "{detail}");
}
