//! What agents use: one record for each answer, budgets, what is shown of it, and how the records stay few.

use mayfly::agent::{Record, Through, Usage, read};
use serde_json::{Value, json};

use super::agent::{KEY, settings, token_of};
use super::support::block_on;
use super::support::call::{Answer, Call, TestBody};
use super::support::fixtures::{Server, only};
use super::support::host::TestHost;
use super::support::script::{Script, get};
use super::support::store::{Connection, Store};
use super::support::upstream::{Platform, Upstream};
use super::support::world::{NOW_SECS, ROOTS_TOKEN, Settings, VM, list_of_owner};

const MESSAGES: &str = "/vm/anthropic/v1/messages";
const ANSWER: &str =
    r#"{"type":"message","usage":{"input_tokens":100,"output_tokens":20,"cache_read_input_tokens":300}}"#;
/// What [`ANSWER`] counts against a budget.
const TOKENS: u64 = 150;
const DAY_SECS: u64 = 86_400;

fn counting() -> Settings {
    settings().with("BACKUPS", "BACKUPS")
}

fn turn(settings: &Settings, store: &Store, token: &str, at: u64) -> Answer {
    let upstream = Upstream::gives(200, &[("content-type", "application/json")], ANSWER);
    upstream.at(at);
    let call = Call::post(MESSAGES).header("x-api-key", token).bytes("{}");
    call.store(store).upstream(&upstream).send(&settings.app(), &TestHost::silent().at(at))
}

#[test]
fn each_answer_is_one_empty_object_out_of_the_reach_of_workspaces() {
    let store = Store::new();
    for _ in 0..3 {
        assert_eq!(turn(&counting(), &store, &token_of(VM, "ann"), NOW_SECS).status, 200);
    }
    let keys = store.keys();
    assert_eq!(keys.len(), 3, "{keys:?}");
    let place = format!("mayfly/~agent/ann/{VM}/");
    assert!(keys.iter().all(|it| it.starts_with(&place) && it.ends_with(".100.20.0.300")), "{keys:?}");
    let list = Call::get("/workspaces").anns().store(&store).send(&counting().app(), &TestHost::silent());
    assert_eq!(list.ok(200)["workspaces"], json!([]));
    for name in ["~agent", "agent", "..", "%7Eagent", VM] {
        let call = Call::delete(&format!("/workspaces/{name}")).anns().store(&store);
        let _ = call.send(&counting().app(), &TestHost::silent());
    }
    assert_eq!(store.keys(), keys, "nobody forgets what they used");
}

#[test]
fn what_uses_nothing_leaves_no_record() {
    let store = Store::new();
    for (path, status, body) in [
        ("v1/messages", 429, ANSWER),
        ("v1/messages", 529, ANSWER),
        ("v1/messages", 200, "{}"),
        ("v1/messages/count_tokens", 200, ANSWER),
    ] {
        let upstream = Upstream::gives(status, &[("content-type", "application/json")], body);
        let call = Call::post(&format!("/vm/anthropic/{path}")).header("x-api-key", token_of(VM, "ann"));
        let call = call.bytes("{}").store(&store).upstream(&upstream);
        assert_eq!(call.send(&counting().app(), &TestHost::silent()).status, status);
    }
    assert!(store.keys().is_empty(), "{:?}", store.keys());
}

#[test]
fn a_vms_budget_is_for_its_life_and_for_no_other() {
    let budget = counting().with("AGENT_BUDGET_VM_TOKENS", (2 * TOKENS).to_string());
    let store = Store::new();
    let token = token_of(VM, "ann");
    assert_eq!(turn(&budget, &store, &token, NOW_SECS - DAY_SECS).status, 200);
    assert_eq!(turn(&budget, &store, &token, NOW_SECS).status, 200);
    let spent = turn(&budget, &store, &token, NOW_SECS);
    let why = "This workspace's 300 tokens (AGENT_BUDGET_VM_TOKENS) are used up: a new one has its own.";
    spent.is_problem(429, "", why);
    assert_eq!(
        spent.header("x-should-retry"),
        Some("false"),
        "a client that tries again would do so for ever"
    );
    assert_eq!(turn(&budget, &store, &token_of("another", "ann"), NOW_SECS).status, 200);
    let more = counting().with("AGENT_BUDGET_VM_TOKENS", (2 * TOKENS + 1).to_string());
    assert_eq!(turn(&more, &store, &token, NOW_SECS).status, 200);
}

#[test]
fn an_owners_budget_is_for_all_vms_and_for_today() {
    let budget = counting().with("AGENT_BUDGET_OWNER_DAILY_TOKENS", (2 * TOKENS).to_string());
    let store = Store::new();
    let midnight = NOW_SECS - NOW_SECS % DAY_SECS;
    assert_eq!(turn(&budget, &store, &token_of("one", "ann"), midnight - 1).status, 200);
    assert_eq!(turn(&budget, &store, &token_of("one", "ann"), NOW_SECS).status, 200);
    assert_eq!(turn(&budget, &store, &token_of("two", "ann"), NOW_SECS).status, 200);
    let spent = turn(&budget, &store, &token_of("three", "ann"), NOW_SECS);
    let why = "Today's 300 tokens (AGENT_BUDGET_OWNER_DAILY_TOKENS) are used up until midnight UTC.";
    spent.is_problem(429, "", why);
    assert_eq!(spent.header("retry-after"), Some((midnight + DAY_SECS - NOW_SECS).to_string().as_str()));
    assert_eq!(turn(&budget, &store, &token_of("four", "bob"), NOW_SECS).status, 200);
    // Counting tokens is free, at the API and here.
    let upstream = Upstream::gives(200, &[], "{}");
    let free =
        Call::post("/vm/anthropic/v1/messages/count_tokens").header("x-api-key", token_of("one", "ann"));
    assert_eq!(
        free.bytes("{}").store(&store).upstream(&upstream).send(&budget.app(), &TestHost::silent()).status,
        200
    );
}

#[test]
fn a_budget_that_cannot_be_read_is_no_leave_to_spend() {
    let budget = counting().with("AGENT_BUDGET_VM_TOKENS", "1000");
    let store = Store::new();
    store.fail();
    assert_eq!(turn(&budget, &store, &token_of(VM, "ann"), NOW_SECS).status, 502);
    // Without a budget nobody waits for the bucket.
    assert_eq!(turn(&counting(), &store, &token_of(VM, "ann"), NOW_SECS).status, 200);
}

#[test]
fn what_was_used_is_shown_where_it_is_counted() {
    let store = Store::new();
    let settings =
        counting().with("AGENT_BUDGET_VM_TOKENS", "9000").with("AGENT_BUDGET_OWNER_DAILY_TOKENS", "5000");
    turn(&settings, &store, &token_of(VM, "default"), NOW_SECS - DAY_SECS);
    turn(&settings, &store, &token_of(VM, "default"), NOW_SECS);
    let show = |settings: &Settings| {
        let server = get("/servers/4711").gives(200, &Server::ours().one());
        let call = Call::get("/vms/hetzner-4711").token().store(&store);
        call.send(&settings.app(), &TestHost::new(Script::new().then(server))).ok(200)
    };
    let want = json!({
        "input_tokens": 200, "output_tokens": 40, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 600,
        "tokens": 2 * TOKENS, "tokens_today": TOKENS, "budget": 9000,
    });
    assert_eq!(show(&settings)["agent"], want);
    assert_eq!(show(&Settings::usual())["agent"], Value::Null);
    let listed = get(list_of_owner("default")).gives(200, &only(&[Server::ours()]));
    let call = Call::get("/metrics").token().store(&store);
    let text = call.send(&settings.app(), &TestHost::new(Script::new().then(listed)));
    for line in [
        "mayfly_agent_tokens_today{owner=\"default\"} 150",
        "mayfly_agent_budget_tokens{owner=\"default\"} 5000",
    ] {
        assert!(text.text().lines().any(|it| it == line), "{line} in {}", text.text());
    }
}

#[test]
fn an_admin_sees_what_others_agents_have_used_of_their_own_account() {
    let store = Store::new();
    let settings = counting().with_admin("");
    turn(&settings, &store, &token_of(VM, "ann"), NOW_SECS);
    let server = get("/servers/4711").gives(200, &Server::ours().label("mayfly-owner", "ann").one());
    let call = Call::get("/vms/hetzner-4711").bearer(ROOTS_TOKEN).store(&store);
    let shown = call.send(&settings.app(), &TestHost::new(Script::new().then(server))).ok(200);
    assert_eq!((&shown["vm"]["owner"], &shown["agent"]["tokens"]), (&json!("ann"), &json!(TOKENS)));
}

fn connection(store: &Store) -> Connection<TestBody> {
    let (body, store, upstream) = (TestBody::Unread, Some(store.clone()), Upstream::default());
    Connection { body, store, sent: Vec::new(), upstream, passed: Vec::new() }
}

const ONE: Usage = Usage { input: 10, output: 3, cache_write: 2, cache_read: 50 };

#[test]
fn thousands_of_answers_fit_on_one_page_and_none_is_lost() {
    let (store, host) = (Store::new(), Platform::default());
    let bucket = connection(&store);
    let record = Record::new("mayfly", "ann", "vm");
    let begin = NOW_SECS - NOW_SECS % DAY_SECS - DAY_SECS / 2;
    let mut most = 0;
    for nth in 0..6000_u64 {
        host.now_secs.set(begin + nth * 12);
        block_on(record.keep(ONE, &Through(&bucket), &host));
        most = most.max(store.keys().len());
        if nth % 500 == 499 {
            let accounts = block_on(read(&Through(&bucket), "mayfly", "ann", None, host.now_secs.get()));
            let account = accounts.expect("accounts")["vm"];
            let count = nth + 1;
            let life = Usage {
                input: 10 * count,
                output: 3 * count,
                cache_write: 2 * count,
                cache_read: 50 * count,
            };
            assert_eq!(account.life, life);
            let today = (0..count)
                .filter(|it| (begin + it * 12) / DAY_SECS == host.now_secs.get() / DAY_SECS)
                .count();
            assert_eq!(account.today_tenths, today as u64 * ONE.tenths());
        }
    }
    assert!(most < 300, "{most} objects at once");
    // A VM that is long gone leaves nothing.
    host.now_secs.set(begin + 60 * DAY_SECS);
    let other = Record::new("mayfly", "ann", "other");
    for _ in 0..32 {
        block_on(other.keep(ONE, &Through(&bucket), &host));
    }
    assert!(store.keys().iter().all(|it| it.contains("/other/")), "{:?}", store.keys());
}

#[test]
fn whoever_folds_meanwhile_changes_no_figure() {
    let (store, host) = (Store::new(), Platform::default());
    let bucket = connection(&store);
    let record = Record::new("mayfly", "ann", "vm");
    host.now_secs.set(NOW_SECS);
    // Old records that somebody else sees, too.
    let window = NOW_SECS / 600;
    let old: Vec<String> = (0..200)
        .map(|nth| format!("mayfly/~agent/ann/vm/{:07}-{nth:016x}.10.3.2.50", window - 9 + nth % 4))
        .collect();
    for key in &old {
        store.put(key, Vec::new());
    }
    let account =
        || block_on(read(&Through(&bucket), "mayfly", "ann", Some("vm"), NOW_SECS)).expect("accounts")["vm"];
    let before = account();
    for _ in 0..32 {
        block_on(record.keep(Usage::default(), &Through(&bucket), &host));
    }
    let sums: Vec<String> =
        store.keys().into_iter().filter(|it| it.contains("/vm/") && it[20..].contains('~')).collect();
    assert_eq!((sums.len(), account()), (1, before));
    // Somebody has put the same sum there and has not deleted what it stands for; or is behind and puts an older one.
    for key in &old {
        store.put(key, Vec::new());
    }
    store.put(&format!("mayfly/~agent/ann/vm/{:07}~1.1.1.1.1", window - 8), Vec::new());
    assert_eq!(account(), before);
    for _ in 0..32 {
        block_on(record.keep(Usage::default(), &Through(&bucket), &host));
    }
    assert_eq!(account(), before);
    assert!(store.keys().iter().all(|it| !old.contains(it)));
    // What is no record counts for nothing.
    for name in [
        "x",
        "-",
        "~",
        "1-2",
        "9999999~1.2.3.4",
        "9999999-a.1.2.3",
        "9999999-a.1.2.3.x",
        "9999999-a.1.2.3.4.5",
    ] {
        store.put(&format!("mayfly/~agent/ann/vm/{name}"), Vec::new());
    }
    assert_eq!(account(), before);
}

#[test]
fn what_cannot_be_written_down_stands_in_the_log() {
    let (store, host) = (Store::new(), Platform::default());
    store.fail();
    block_on(Record::new("mayfly", "ann", "vm").keep(ONE, &Through(&connection(&store)), &host));
    let lines = host.lines.borrow();
    let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(
        (&line["event"], &line["input"], &line["output"]),
        (&json!("agent_tokens_lost"), &json!(10), &json!(3))
    );
}

#[test]
fn a_configuration_that_cannot_keep_its_word_says_so() {
    let problems = |settings: Settings| {
        let answer = Call::get("/healthz").send(&settings.app(), &TestHost::silent());
        let problems = answer.json()["errors"].as_array().cloned().unwrap_or_default();
        problems
            .iter()
            .map(|it| format!("{} {}", it["field"], it["detail"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let on = settings();
    assert_eq!(problems(on.clone()), Vec::<String>::new());
    for (settings, want) in [
        (on.clone().with("AGENT_PROXY", "maybe"), "AGENT_PROXY must be 1 or 0"),
        (on.clone().without("ANTHROPIC_API_KEY"), "AGENT_PROXY is on, and there is no ANTHROPIC_API_KEY"),
        (on.clone().with("ANTHROPIC_API_KEY", "a b"), "ANTHROPIC_API_KEY contains a character"),
        (
            on.clone().with("AGENT_UPSTREAM_URL", "http://gateway.example"),
            "AGENT_UPSTREAM_URL must be an https URL",
        ),
        (
            on.clone().with("AGENT_UPSTREAM_URL", "http://127.0.0.1.evil.example"),
            "AGENT_UPSTREAM_URL must be an https",
        ),
        (
            on.clone().with("AGENT_UPSTREAM_URL", "http://localhost@evil.example:1"),
            "AGENT_UPSTREAM_URL must be an https",
        ),
        (on.clone().with("AGENT_UPSTREAM_URL", "ftp://x"), "AGENT_UPSTREAM_URL must be a URL"),
        (
            on.clone().with("AGENT_TIMEOUT_SECONDS", "0"),
            "AGENT_TIMEOUT_SECONDS must be a whole number from 1 to 900",
        ),
        (on.clone().with("AGENT_BUDGET_VM_TOKENS", "9"), "AGENT_BUDGET_VM_TOKENS needs an R2 bucket"),
        (
            on.clone().with("AGENT_BUDGET_OWNER_DAILY_TOKENS", "9"),
            "AGENT_BUDGET_OWNER_DAILY_TOKENS needs an R2 bucket",
        ),
        (
            counting().with("AGENT_BUDGET_VM_TOKENS", "many"),
            "AGENT_BUDGET_VM_TOKENS must be a whole number from 1",
        ),
        (
            counting().with("AGENT_BUDGET_VM_TOKENS", "9").without("AGENT_PROXY"),
            "AGENT_BUDGET_VM_TOKENS is set, and AGENT_PROXY",
        ),
    ] {
        let found = problems(settings);
        assert!(found.len() == 1 && found[0].starts_with(want), "{want}: {found:?}");
        assert!(!found[0].contains(KEY));
    }
    for url in ["http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:9", "https://gateway.example/a"]
    {
        assert_eq!(problems(on.clone().with("AGENT_UPSTREAM_URL", url)), Vec::<String>::new(), "{url}");
    }
}
