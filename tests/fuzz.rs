//! Random input over everything that comes from outside: providers' answers, our own requests and their heads,
//! capabilities, configuration and single texts. Nothing may panic, and every answer must be well-formed.
//!
//! `MAYFLY_FUZZ_SECS` is the time for all of it together, seconds: 20 unless it says otherwise, 120 for a thorough run.
//! A failure shows the number that makes it happen again.

#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use mayfly::http::{Clock, Counted, Http, Log, Method, NoAnswer, Random, Request, Response};
use mayfly::keys::Scope;
use mayfly::reaper;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use support::block_on;
use support::call::{Call, TestBody};
use support::fixtures;
use support::world::{API_TOKEN, NOW_SECS, PAGE_ORIGIN, SSH_KEY, Settings, app, capability};

/// The tests below; each gets its share of the time.
const TARGETS: u64 = 6;
const DEFAULT_SECS: u64 = 20;
/// Cases between two looks at the clock; as many run in any case.
const BATCH: u32 = 32;

/// Runs a check on random inputs until the share of the time is used up.
#[expect(clippy::disallowed_methods, reason = "the budget is real time")]
fn fuzz<S: Strategy>(strategy: &S, check: impl Fn(S::Value)) {
    let secs = std::env::var("MAYFLY_FUZZ_SECS").ok().and_then(|it| it.parse().ok()).unwrap_or(DEFAULT_SECS);
    let end = Instant::now() + Duration::from_millis(secs * 1000 / TARGETS);
    let mut cases = 0;
    while cases == 0 || Instant::now() < end {
        let config = Config { cases: BATCH, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(strategy, |input| {
            check(input);
            Ok(())
        });
        if let Err(why) = outcome {
            panic!("{why}");
        }
        cases += BATCH;
    }
    println!("{cases} cases");
}

/// A small generator (xorshift64*) from one number, so that one number repeats a whole case.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % end.max(1)
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn text(&mut self) -> String {
        const TEXTS: [&str; 18] = [
            "",
            "0",
            "-1",
            "18446744073709551615",
            "99999999999999999999",
            "2026-11-20T10:00:00Z",
            "null",
            "9999-12-31T23:59:59.999Z",
            "-9999-01-01T00:00:00Z",
            "0_x0",
            "0_hgit_a0",
            "1.EUR",
            "18446744073709551615.EUR",
            "d4294967296.c1",
            "a65536.k1",
            "ready",
            "203.0.113.7",
            "\u{0}\n\"\\🚀",
        ];
        if self.one_in(3) {
            let length = self.below(80);
            return (0..length)
                .filter_map(|_| char::from_u32(u32::try_from(self.below(0x3000)).ok()?))
                .collect();
        }
        self.pick(&TEXTS).to_owned()
    }

    fn value(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(self.pick(&[0_i64, 1, -1, i64::MAX, i64::MIN, 4711])),
            3 => json!(self.pick(&[u64::MAX, 1 << 53, 1 << 32])),
            4 => json!(self.pick(&[0.5, -0.0, 1e300, 1e-300])),
            5 => json!([]),
            6 => Value::Object(Map::new()),
            _ => json!(self.text()),
        }
    }

    /// Changes one place somewhere in the value.
    fn change(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) if !members.is_empty() && !self.one_in(12) => {
                let keys: Vec<String> = members.keys().cloned().collect();
                let key = self.pick(&keys);
                if self.one_in(10) {
                    members.remove(&key);
                } else if self.one_in(20) {
                    let extra = self.text();
                    let content = self.value();
                    members.insert(extra, content);
                } else if let Some(member) = members.get_mut(&key) {
                    self.change(member);
                }
            }
            Value::Array(items) if !items.is_empty() && !self.one_in(12) => {
                let at = self.below(items.len());
                if self.one_in(10) {
                    let copy = items[at].clone();
                    items.push(copy);
                } else {
                    self.change(&mut items[at]);
                }
            }
            other => *other = self.value(),
        }
    }

    /// Changes bytes: cut, flipped, doubled or put in.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(4) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            2 => {
                let tail = bytes[at..].to_vec();
                bytes.extend(tail);
            }
            _ => bytes.insert(at, self.pick(b"\0\"{}[],:\\\xff9")),
        }
    }
}

/// A provider that answers every call with something like what it should.
struct WildHost {
    dice: RefCell<Dice>,
}

impl WildHost {
    fn new(seed: u64) -> Self {
        Self { dice: RefCell::new(Dice::new(seed)) }
    }

    fn fixture(request: &Request) -> (u16, &'static str) {
        let path = request.url.split("/v1/").nth(1).unwrap_or_default();
        let kind = path.split(['/', '?']).next().unwrap_or_default();
        let is_one = path.contains('/');
        match (request.method, kind) {
            (Method::Get, "servers") if is_one => (200, "get_server.ready"),
            (Method::Get, "servers") => (200, "list_servers.empty"),
            (Method::Post, "servers") => (201, "create_server.created"),
            (Method::Delete, "servers") => (200, "delete_server.accepted"),
            (_, "servers") => (200, "get_server.foreign"),
            (Method::Get, "server_types") => (200, "list_server_types.catalogue"),
            (Method::Get, "locations") => (200, "list_locations.all"),
            (Method::Get, "pricing") => (200, "get_pricing.eur"),
            (Method::Get, "ssh_keys") => (200, "list_ssh_keys.registered"),
            (Method::Post, "ssh_keys") => (201, "create_ssh_key.created"),
            (Method::Get, "firewalls") => (200, "list_firewalls.ours"),
            (Method::Post, "firewalls") => (201, "create_firewall.created"),
            (Method::Get, "primary_ips") => (200, "list_primary_ips.mixed"),
            (Method::Put, "primary_ips") => (200, "update_primary_ip.labelled"),
            _ => (204, "error.not_found"),
        }
    }
}

impl Http for WildHost {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        const ERRORS: [&str; 8] = [
            "error.unauthorized",
            "error.conflict",
            "error.name_taken",
            "error.resource_unavailable",
            "error.ssh_key_gone",
            "error.locked",
            "error.rate_limit_exceeded",
            "error.not_found",
        ];
        let mut dice = self.dice.borrow_mut();
        let dice = &mut *dice;
        if dice.one_in(12) {
            return Err(dice.pick(&[NoAnswer::TimedOut, NoAnswer::Broken]));
        }
        let (mut status, name) = Self::fixture(&request);
        let mut value = fixtures::value(name);
        if name == "list_servers.empty" && !dice.one_in(3) {
            let ours = fixtures::value("get_server.ready")["server"].take();
            value["servers"] = (0..=dice.below(3)).map(|_| ours.clone()).collect();
        }
        if dice.one_in(6) {
            value = fixtures::value(dice.pick(&ERRORS));
            status = dice.pick(&[400, 401, 403, 404, 409, 412, 422, 423, 429, 500, 503, 302, 199]);
        }
        for _ in 0..dice.below(4) {
            dice.change(&mut value);
        }
        // Labels are where most of our own parsing begins.
        if let Some(labels) = value.pointer_mut("/servers/0/labels").or(None) {
            dice.change(labels);
        }
        let mut body = value.to_string().into_bytes();
        if dice.one_in(5) {
            dice.damage(&mut body);
        }
        let headers = [("retry-after", dice.text()), ("ratelimit-remaining", dice.text())];
        Ok(Response { status, headers: headers.into(), body })
    }

    async fn sleep_ms(&self, _ms: u32) {}
}

impl Clock for WildHost {
    fn now_ms(&self) -> u64 {
        NOW_SECS * 1000
    }
}

impl Random for WildHost {
    fn fill(&self, buffer: &mut [u8]) {
        let mut dice = self.dice.borrow_mut();
        buffer.fill_with(|| u8::try_from(dice.below(256)).unwrap_or(0));
    }
}

impl mayfly::access::Signatures for WildHost {}

impl Log for WildHost {
    fn log(&self, line: &str) {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it.is_object()), "{line}");
    }
}

fn create_body() -> Value {
    json!({
        "repo_url": "https://github.com/o/r", "branch": "main", "name": "my-box", "provider": "hetzner",
        "size": "small", "location": "fsn1", "profile": "coding", "web_ui": "ttyd", "ssh_public_key": SSH_KEY,
        "git_token": "t", "anthropic_api_key": "k", "claude_code_oauth_token": null, "env": {"A": "b"},
        "idle_minutes": 30, "max_hours": 12, "allow_from": ["203.0.113.0/24"], "image": "debian-13",
        "trust_repo": true, "devcontainer_image": "ghcr.io/o/dev:1", "snapshot_id": null,
    })
}

/// A call of any route that does something, with a good body.
fn good_call(dice: &mut Dice) -> (&'static str, &'static str, Value) {
    dice.pick(&[
        ("GET", "/vms", Value::Null),
        ("GET", "/options", Value::Null),
        ("GET", "/vms/hetzner-4711", Value::Null),
        ("DELETE", "/vms/hetzner-4711", Value::Null),
        ("POST", "/vms/hetzner-4711/open", Value::Null),
        ("POST", "/reap", Value::Null),
        ("POST", "/vms", create_body()),
        ("POST", "/user-data", create_body()),
        ("POST", "/vm/boot", json!({"sealed": ""})),
        (
            "POST",
            "/vm/progress",
            json!({"phase": "failed", "seconds": {"docker": 12}, "host_key": null,
                                        "reason": {"phase": "clone", "code": "timeout"}}),
        ),
        (
            "POST",
            "/vm/heartbeat",
            json!({"active": NOW_SECS, "verdict": {"agent": 0, "ssh": null},
                                         "load": 0.4, "attention": "waiting", "boot_id": "x"}),
        ),
        ("DELETE", "/vm", Value::Null),
    ])
}

fn authorized(call: Call, path: &str) -> Call {
    let is_vms = path == "/vm" || path.starts_with("/vm/");
    let call = call.header("cf-connecting-ip", "203.0.113.7").reveals();
    if is_vms { call.bearer(&capability(Scope::Vm)) } else { call.token() }
}

#[test]
fn whatever_the_provider_answers_the_caller_gets_a_well_formed_answer() {
    let app = app();
    fuzz(&any::<u64>(), |seed| {
        let mut dice = Dice::new(seed);
        let (method, path, body) = good_call(&mut dice);
        let mut call = authorized(Call::new(method, path), path).json(&body);
        if dice.one_in(3) {
            call = call.header("idempotency-key", "k");
        }
        let answer = call.send(&app, &WildHost::new(seed));
        assert!(answer.status < 600);
        block_on(reaper::run(&app, &Counted::new(&WildHost::new(seed))));
    });
}

#[test]
fn whatever_the_body_the_caller_gets_a_well_formed_answer() {
    let app = app();
    fuzz(&any::<u64>(), |seed| {
        let mut dice = Dice::new(seed);
        let (method, path, mut body) = good_call(&mut dice);
        for _ in 0..=dice.below(4) {
            dice.change(&mut body);
        }
        let mut bytes = body.to_string().into_bytes();
        if dice.one_in(2) {
            dice.damage(&mut bytes);
        }
        let call = authorized(Call::new(method, path), path).bytes(bytes);
        assert!(call.send(&app, &WildHost::new(seed)).status < 600);
    });
}

#[test]
fn whatever_the_head_the_caller_gets_a_well_formed_answer() {
    let app = app();
    let path = prop_oneof![
        "(/[a-z0-9%.{}*-]{0,12}){0,5}",
        "/(vms|vm|snapshots|workspaces|orphans)/?\\PC{0,40}",
        "\\PC{0,40}"
    ];
    let header = prop_oneof!["\\PC{0,60}", Just(PAGE_ORIGIN.to_owned()), Just(format!("Bearer {API_TOKEN}"))];
    let method = prop_oneof!["(GET|POST|PUT|PATCH|DELETE|OPTIONS|HEAD)", "\\PC{0,8}"];
    let input = (method, path, "\\PC{0,30}", proptest::collection::vec(header, 6), any::<u64>());
    fuzz(&input, |(method, path, query, headers, seed)| {
        let names = [
            "authorization",
            "origin",
            "cf-ray",
            "access-control-request-method",
            "idempotency-key",
            "cf-connecting-ip",
        ];
        let call = Call::new(&method, &format!("{}?{query}", path.replace('?', ""))).body(TestBody::Broken);
        let call = names.into_iter().zip(headers).fold(call, |call, (name, value)| call.header(name, value));
        let answer = call.reveals().send(&app, &WildHost::new(seed));
        assert!(answer.header("access-control-allow-origin").is_none_or(|it| it == PAGE_ORIGIN));
    });
}

#[test]
fn no_capability_counts_but_the_one_that_was_signed() {
    let app = app();
    let good = capability(Scope::Backup);
    fuzz(&(any::<u64>(), "\\PC{0,120}"), |(seed, garbage)| {
        let mut dice = Dice::new(seed);
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=dice.below(3) {
            dice.damage(&mut bytes);
        }
        for token in
            [String::from_utf8_lossy(&bytes).into_owned(), garbage, format!("mfc1.k1.{}", dice.text())]
        {
            let answer = Call::get("/vm/backup/x").bearer(&token).send(&app, &WildHost::new(seed));
            assert_eq!(answer.status, if token.trim() == good { 403 } else { 401 }, "{token}");
        }
    });
}

#[test]
fn whatever_the_configuration_the_worker_answers_and_shows_no_value() {
    const KEYS: &str = "\
        ACCESS_TEAM_DOMAIN ACCESS_AUD ACCESS_ADMINS BACKUP_KEY API_TOKEN API_TOKENS SIGNING_KEY \
        PUBLIC_URL ALLOWED_ORIGINS HETZNER_TOKEN HETZNER_API_URL HETZNER_VM_TOKEN SCALEWAY_SECRET_KEY \
        SCALEWAY_PROJECT_ID SCALEWAY_ZONES SCALEWAY_VM_SECRET_KEY DIGITALOCEAN_VM_TOKEN \
        DIGITALOCEAN_TOKEN DIGITALOCEAN_API_URL OVH_ENDPOINT OVH_APPLICATION_KEY \
        OVH_APPLICATION_SECRET OVH_CONSUMER_KEY OVH_CLIENT_ID OVH_CLIENT_SECRET OVH_PROJECT_ID \
        OVH_REGIONS OVH_VM_APPLICATION_SECRET AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY \
        AWS_SESSION_TOKEN AWS_REGIONS AWS_SUBNET_ID EC2_API_URL DEPLOYMENT SSH_PUBLIC_KEY \
        DEFAULT_SIZE DEFAULT_PROVIDER DEFAULT_WEB_UI DEFAULT_DEVCONTAINER_IMAGE IDLE_MINUTES \
        MAX_HOURS DOMAIN VM_ORIGIN SIMULATION GIT_TOKEN BACKUP_S3_ENDPOINT BACKUP_S3_BUCKET \
        BACKUP_S3_REGION BACKUP_S3_ACCESS_KEY_ID BACKUP_S3_SECRET_ACCESS_KEY";
    let keys: Vec<&str> = KEYS.split(' ').collect();
    fuzz(&(any::<u64>(), "\\PC{20,60}"), |(seed, value)| {
        let mut dice = Dice::new(seed);
        let mut settings = Settings::usual();
        for _ in 0..=dice.below(4) {
            settings = settings.with(dice.pick(&keys), value.clone());
        }
        let app = settings.app();
        let answer = Call::get("/healthz").send(&app, &WildHost::new(seed));
        assert!(matches!(answer.status, 200 | 503));
        assert!(!answer.text().contains(value.trim()), "{}", answer.text());
    });
}

#[test]
fn every_reader_of_a_text_takes_any_text() {
    use mayfly::labels::{Reason, Timing, Verdict, VmLabels, is_value, pack_text, unpack_text};
    use mayfly::model::{Currency, Phase, Size, VmId, parse_micros};
    use mayfly::{encoding, name, repo_url::RepoUrl, ssh_key::SshPublicKey, workspace};
    let text = prop_oneof![
        "\\PC{0,120}",
        "(https://|ssh://|git@)?[a-z0-9.:@/\\[\\]_~+-]{0,80}",
        "(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]{0,120}",
        "0[a-z0-9_.-]{0,62}0",
        "[a-z][0-9]{0,12}(\\.[a-z][0-9]{0,12}){0,8}",
        "[0-9.+-]{0,24}",
    ];
    fuzz(&(text, any::<u64>()), |(text, seed)| {
        if let Ok(url) = RepoUrl::parse(&text) {
            assert_eq!(url.as_str(), text);
            assert!(
                name::check(&name::generate(url.name(), seed.to_be_bytes()[..4].try_into().expect("4")))
                    .is_ok()
            );
        }
        if let Ok(key) = SshPublicKey::parse(&text) {
            assert_eq!(SshPublicKey::parse(&key.to_openssh()), Ok(key));
        }
        if let Some(id) = VmId::parse(&text) {
            assert_eq!(id.to_string(), text);
        }
        let pieces = pack_text(&text);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert!(pieces.iter().all(|it| is_value(it)));
        assert_eq!(unpack_text(&pieces).as_deref(), Some(text.as_str()));
        assert!(is_value(&Timing::unpack(&text).pack()) && is_value(&Verdict::unpack(&text).pack()));
        if let Some(reason) = Reason::unpack(&text) {
            assert_eq!(Reason::unpack(&reason.pack()), Some(reason));
        }
        let mut labels = VmLabels::default();
        for key in [
            "phase", "seen", "active", "idle", "expires", "price", "size", "repo", "repo-1", "branch-x",
            &text,
        ] {
            labels.take(&format!("mayfly-{key}"), text.as_str().into());
        }
        let _ = (labels.repo.unpack(), labels.branch.unpack(), labels.belongs_to(&text));
        let _ = (unpack_text(&[&text]), Currency::parse(&text), Phase::parse(&text), Size::parse(&text));
        let _ = (parse_micros(&text), encoding::from_rfc3339(&text), encoding::from_base32(&text));
        let _ =
            (workspace::check_image_reference(&text), name::check(&text), encoding::from_base64url(&text));
    });
}
