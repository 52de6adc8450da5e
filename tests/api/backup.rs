//! The backup store over a bucket in memory: restic's protocol, whose workspace is whose, what stays.

use mayfly::http::Clock as _;
use mayfly::keys::{Claims, Scope};
use serde_json::json;

use super::support::call::{Answer, Call, TestBody};
use super::support::host::TestHost;
use super::support::store::Store;
use super::support::world::{API_TOKEN, NOW_SECS, app, claims, keyring, sha256_hex};

const OURS: &str = "ann/github.com~octo~Hello-World";
const V2: &str = "application/vnd.x.restic.rest.v2";

fn token(scope: Scope) -> String {
    let expires_secs = Some(NOW_SECS + 3600);
    keyring().signer().sign(&Claims { workspace: OURS.into(), expires_secs, ..claims(scope) })
}

fn basic(password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("mayfly:{password}")))
}

/// A request of restic's, as it sends it.
fn ask(method: &str, path: &str, scope: Scope) -> Call {
    Call::new(method, &format!("/vm/backup/{OURS}/{path}")).header("authorization", basic(&token(scope)))
}

fn send(call: Call, store: &Store) -> Answer {
    call.store(store).send(&app(), &TestHost::silent())
}

fn write(path: &str, body: &str, scope: Scope) -> Call {
    ask("POST", path, scope).header("content-length", body.len().to_string()).bytes(body)
}

/// A stored object's path.
fn stored(store: &Store, kind: &str, body: &str) -> String {
    let path = format!("{kind}/{}", sha256_hex(body));
    assert_eq!(send(write(&path, body, Scope::Backup), store).ok(200), json!({ "created": true }));
    path
}

#[test]
fn a_repository_whose_making_was_cut_off_is_made_anew() {
    let make = |store: &Store| {
        assert_eq!(send(ask("POST", "?create=true", Scope::Backup), store).ok(200)["created"], true);
        store.keys().len()
    };
    let with_key = |age_secs: u64| {
        let store = Store::new();
        store.at(NOW_SECS - age_secs);
        stored(&store, "keys", "a key");
        store
    };
    let old = with_key(600);
    old.put("mayfly/ben/github.com~octo~Hello-World/keys/0", Vec::new());
    assert_eq!(make(&old), 1, "only its own key went");
    assert_eq!(make(&with_key(599)), 1, "somebody may be at it");
    for other in ["config", "snapshots/0"] {
        let whole = with_key(6000);
        whole.put(&format!("mayfly/{OURS}/{other}"), Vec::new());
        assert_eq!(make(&whole), 2, "{other} is there: it is nobody's beginning");
    }
}

#[test]
fn what_is_written_comes_back_whole_in_parts_and_as_a_size() {
    let store = Store::new();
    assert_eq!(send(ask("POST", "?create=true", Scope::Backup), &store).ok(200), json!({ "created": true }));
    let path = stored(&store, "data", "0123456789");
    assert_eq!(store.keys(), [format!("mayfly/{OURS}/{path}")]);
    let whole = send(ask("GET", &path, Scope::Backup), &store);
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    for (range, text, content_range) in [
        ("bytes=0-", "0123456789", "bytes 0-9/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
    ] {
        let part = send(ask("GET", &path, Scope::Backup).header("range", range), &store);
        assert_eq!((part.status, part.text()), (206, text), "{range}");
        assert_eq!(part.header("content-range"), Some(content_range));
    }
    let beyond = send(ask("GET", &path, Scope::Backup).header("range", "bytes=10-"), &store);
    beyond.is_problem(416, "out_of_range", "The object ends before the range begins.");
    let size = send(ask("HEAD", &path, Scope::Backup), &store);
    assert_eq!((size.status, size.header("content-length"), size.text()), (200, Some("10"), ""));
    for method in ["GET", "HEAD"] {
        let none = send(ask(method, &format!("data/{}", sha256_hex("x")), Scope::Backup), &store);
        none.is_problem(404, "object_not_found", "There is no such object.");
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_is_stored_under_a_wrong_name() {
    let store = Store::new();
    assert_eq!(send(write("config", "first", Scope::Backup), &store).status, 200);
    for scope in [Scope::Backup, Scope::Prune] {
        let again = send(write("config", "second", scope), &store);
        again.is_problem(403, "object_exists", "The repository has a config; nothing is overwritten.");
    }
    assert_eq!(send(ask("GET", "config", Scope::Backup), &store).text(), "first");
    // A repetition of what is there: the answer to the first may have been lost on its way.
    let path = stored(&store, "snapshots", "a snapshot");
    let again = send(write(&path, "a snapshot", Scope::Backup), &store);
    assert_eq!(again.ok(200), json!({ "created": false }));
    let before = store.keys();
    let wrong = send(write(&format!("data/{}", sha256_hex("one")), "another", Scope::Backup), &store);
    wrong.is_problem(400, "body_broken", "The body is not what its name says; nothing was stored.");
    let half =
        ask("POST", &format!("data/{}", sha256_hex("one")), Scope::Backup).header("content-length", "3");
    assert_eq!(send(half.body(TestBody::Broken), &store).kind(), (502, "bucket_failed".to_owned()));
    assert_eq!(store.keys(), before);
}

#[test]
fn lists_have_every_object_of_a_kind_and_of_no_other_workspace() {
    let store = Store::new();
    assert_eq!(send(ask("GET", "data/", Scope::Backup).header("accept", V2), &store).json(), json!([]));
    let mut want: Vec<(String, usize)> = Vec::new();
    for nth in 0..2500_usize {
        let body = "x".repeat(nth % 7);
        let name = sha256_hex(&format!("{nth}"));
        store.put(&format!("mayfly/{OURS}/data/{name}"), body.clone().into());
        want.push((name, body.len()));
    }
    want.sort();
    store.put(&format!("mayfly/{OURS}/index/{}", sha256_hex("i")), Vec::new());
    store.put(&format!("mayfly/{OURS}-2/data/{}", sha256_hex("o")), Vec::new());
    store.put(&format!("other/{OURS}/data/{}", sha256_hex("o")), Vec::new());
    let second = send(ask("GET", "data/", Scope::Backup).header("accept", V2), &store);
    assert_eq!((second.status, second.header("content-type")), (200, Some(V2)));
    let sized: Vec<_> = want.iter().map(|(name, size)| json!({ "name": name, "size": size })).collect();
    assert_eq!(second.json(), json!(sized));
    let first = send(ask("GET", "data/", Scope::Backup), &store);
    assert_eq!(first.header("content-type"), Some("application/vnd.x.restic.rest.v1"));
    assert_eq!(first.json(), json!(want.iter().map(|(name, _)| name).collect::<Vec<_>>()));
}

#[test]
fn a_backup_takes_away_its_locks_and_pruning_what_is_not_needed_to_read() {
    let store = Store::new();
    let kinds = ["data", "index", "keys", "locks", "snapshots"];
    let mut paths: Vec<String> = kinds.iter().map(|kind| stored(&store, kind, kind)).collect();
    assert_eq!(send(write("config", "config", Scope::Backup), &store).status, 200);
    paths.push("config".to_owned());
    for (scope, gone) in [(Scope::Backup, vec!["locks"]), (Scope::Prune, vec!["data", "index", "snapshots"])]
    {
        for path in &paths {
            let kind = path.split('/').next().expect("a kind");
            let was = store.keys().len();
            let answer = send(ask("DELETE", path, scope), &store);
            if kind == "locks" || gone.contains(&kind) {
                assert_eq!(answer.ok(200), json!({ "deleted": true }), "{scope:?} {path}");
            } else {
                answer.is_problem(403, "wrong_scope", "The capability is not good for deleting this.");
                assert_eq!(store.keys().len(), was);
            }
        }
    }
    assert_eq!(store.keys().len(), 2, "{:?}", store.keys());
    // Already gone is success: the first answer may have been lost.
    assert_eq!(send(ask("DELETE", &paths[0], Scope::Prune), &store).status, 200);
}

/// What somebody could try in place of the path of an object.
fn tricks(victim: &str, id: &str) -> Vec<String> {
    [
        format!("{OURS}/../{victim}/config"),
        format!("{OURS}/..%2f..%2f{victim}/config"),
        format!("{OURS}/%2e%2e/{victim}/config"),
        format!("{OURS}//config"),
        format!("{OURS}/./config"),
        format!("{OURS}/config/"),
        format!("{OURS}/config%00"),
        format!("{OURS}/%63onfig"),
        format!("{OURS}/CONFIG"),
        format!("{OURS}/data/../config"),
        format!("{OURS}/data//{id}"),
        format!("{OURS}/data/{}", id.to_uppercase()),
        format!("{OURS}/data/{id}/../../config"),
        format!("{OURS}/data/{id}%20"),
        format!("{OURS}/data/%{:x}{}", id.as_bytes()[0], &id[1..]),
        format!("{OURS}/data\\{id}"),
        format!("{OURS}/pruned"),
        OURS.to_owned(),
    ]
    .into()
}

#[test]
fn another_workspace_is_closed_on_every_path_and_tricks_find_nothing() {
    let store = Store::new();
    let victim = "bob/github.com~octo~Hello-World";
    let id = sha256_hex("secret");
    for workspace in [victim, OURS] {
        store.put(&format!("mayfly/{workspace}/config"), b"secret".into());
        store.put(&format!("mayfly/{workspace}/data/{id}"), b"secret".into());
    }
    let before = store.keys();
    let from = |method: &str, path: &str, scope| {
        let call = Call::new(method, &format!("/vm/backup/{path}"));
        let call =
            call.header("authorization", basic(&token(scope))).header("content-length", "6").bytes("secret");
        send(call, &store)
    };
    for scope in [Scope::Backup, Scope::Prune] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let elsewhere = [
                victim,
                "ann",
                "",
                "/",
                &format!("{OURS}-2"),
                "ann/github.com~octo",
                "..",
                &format!("/{OURS}"),
            ];
            for other in elsewhere {
                for rest in
                    ["", "/", "/config", "/data/", &format!("/data/{id}"), &format!("/locks/{id}"), "/x"]
                {
                    let answer = from(method, &format!("{other}{rest}"), scope);
                    answer.is_problem(403, "wrong_workspace", "The capability is for another workspace.");
                }
            }
            for path in tricks(victim, &id) {
                let answer = from(method, &path, scope);
                assert!(matches!(answer.status, 403 | 404), "{method} {path}: {}", answer.text());
            }
        }
    }
    assert_eq!(store.keys(), before);
}

#[test]
fn a_capability_that_names_no_workspace_opens_none() {
    let store = Store::new();
    let blank = keyring().signer().sign(&Claims { workspace: String::new(), ..claims(Scope::Backup) });
    for path in ["", "/", "config", "/config", "mayfly/config"] {
        let call = Call::get(&format!("/vm/backup/{path}")).header("authorization", basic(&blank));
        assert_eq!(send(call, &store).kind(), (403, "wrong_workspace".to_owned()), "{path}");
    }
}

#[test]
fn the_token_is_basics_password_and_only_a_living_one_counts() {
    let store = Store::new();
    assert_eq!(send(ask("GET", "locks/", Scope::Backup), &store).status, 200);
    let path = format!("/vm/backup/{OURS}/locks/");
    let good = token(Scope::Backup);
    for (header, status) in [
        (format!("bearer {good}"), 200),
        (basic(&good).replacen("Basic", "basic", 1), 200),
        (basic(API_TOKEN), 401),
        (basic(""), 401),
        (basic(&"x".repeat(1_000_000)), 401),
        ("Basic".to_owned(), 401),
        ("Basic ****".to_owned(), 401),
        (format!("Basic {good}"), 401),
    ] {
        let answer = send(Call::get(&path).header("authorization", &*header), &store);
        assert_eq!(answer.status, status, "{}", &header[..header.len().min(40)]);
        assert!(!answer.text().contains(&good));
    }
    let late = TestHost::silent().at(NOW_SECS + 3600);
    assert_eq!(late.now_secs(), NOW_SECS + 3600);
    assert_eq!(ask("GET", "locks/", Scope::Backup).store(&store).send(&app(), &late).status, 401);
}

#[test]
fn a_body_needs_a_length_that_cloudflare_takes() {
    let store = Store::new();
    let path = format!("data/{}", sha256_hex("x"));
    for length in ["", "-1", "1e3", "many"] {
        let answer = send(ask("POST", &path, Scope::Backup).header("content-length", length), &store);
        answer.is_problem(411, "length_required", "An object needs its length: Content-Length.");
    }
    assert_eq!(send(ask("POST", &path, Scope::Backup), &store).status, 411);
    let answer = send(ask("POST", &path, Scope::Backup).header("content-length", "95000001"), &store);
    assert_eq!(answer.kind(), (413, "body_too_long".to_owned()));
    assert!(store.keys().is_empty());
}

#[test]
fn what_makes_no_sense_says_what_would() {
    let store = Store::new();
    let create = send(ask("POST", "", Scope::Backup), &store);
    assert_eq!(create.kind(), (400, "invalid_request".to_owned()));
    for (method, path, allow) in [("GET", "", "POST"), ("POST", "data/", "GET"), ("DELETE", "", "GET, POST")]
    {
        let answer = send(ask(method, path, Scope::Prune), &store);
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
}

#[test]
fn without_a_bucket_the_answer_says_what_to_configure() {
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let answer = ask(method, "config", Scope::Backup).send(&app(), &TestHost::silent());
        answer.is_problem(
            404,
            "backups_not_configured",
            "There are no backups here: they take BACKUP_KEY, and an R2 bucket, bound as BACKUPS in wrangler.toml, or BACKUP_S3_BUCKET.",
        );
    }
}

#[test]
fn a_bucket_that_fails_is_told_apart_from_an_object_that_is_not_there() {
    let store = Store::new();
    let path = stored(&store, "locks", "lock");
    store.fail();
    let call =
        |method: &str, path: &str| ask(method, path, Scope::Backup).header("content-length", "1").bytes("x");
    for (method, path) in
        [("GET", &*path), ("HEAD", &path), ("GET", "locks/"), ("POST", &path), ("DELETE", &path)]
    {
        let host = TestHost::silent();
        let answer = call(method, path).store(&store).send(&app(), &host);
        answer.is_problem(502, "bucket_failed", "The bucket did not do it; nothing was changed. Try again.");
        let lines = host.log_lines();
        assert!(
            lines.iter().any(|it| it["event"] == "bucket" && it["detail"] == "broken by the test"),
            "{lines:?}"
        );
    }
}
