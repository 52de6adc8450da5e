//! User data for every combination of options: what is in it, what is not, and how long it is. Each rendered file is
//! left in the target folder (`rendered/*.yaml`), where the cloud-init suite checks it against cloud-init's own schema.

#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly::providers::hetzner::USER_DATA_MAX_BYTES;
use mayfly::ssh_key::SshPublicKey;
use mayfly::user_data::{VmFile, render};
use mayfly::workspace::{Image, WebUi};
use proptest::prelude::*;
use serde_json::{Value, json};

use support::call::Call;
use support::creation::{
    address_ids, addresses, catalogue, create_server, find_firewall, request, signer, smooth, vm_id,
};
use support::host::TestHost;
use support::script::{Script, get};
use support::user_data::{file, holds_none_of, parse, vm_file};
use support::world::{NOW_SECS, REPO_URL, SSH_KEY, app};

/// The keys that we use, in their order; `ssh_authorized_keys` only with a key.
const KEYS: [&str; 10] = [
    "hostname",
    "fqdn",
    "manage_etc_hosts",
    "users",
    "ssh_pwauth",
    "disable_root",
    "chpasswd",
    "ssh_authorized_keys",
    "write_files",
    "runcmd",
];
/// Room that is kept below the limit for what is still to come, bytes.
const ROOM_BYTES: usize = 4096;
const GIT_TOKEN: &str = "secret-given-git-token-0123456789";
const API_KEY: &str = "secret-given-anthropic-key-0123456789";
const ENV_VALUE: &str = "secret-given-environment-value";

fn rendered() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rendered")
}

/// One combination: its name and its request.
struct Case {
    name: String,
    body: Value,
    has_key: bool,
    has_secrets: bool,
}

fn cases() -> Vec<Case> {
    let flags = 5;
    let mut cases = Vec::new();
    for image in Image::ALL {
        for web_ui in WebUi::ALL {
            for bits in 0..1_u32 << flags {
                let has = |bit: u32| bits & (1 << bit) != 0;
                let mut body =
                    json!({"repo_url": REPO_URL, "image": image.as_str(), "web_ui": web_ui.as_str()});
                let mut name = format!("{}.{}", image.as_str(), web_ui.as_str());
                let mut add = |bit: u32, word: &str, fields: Value| {
                    if has(bit) {
                        let _ = write!(name, ".{word}");
                        for (field, value) in fields.as_object().into_iter().flatten() {
                            body[field] = value.clone();
                        }
                    }
                };
                add(0, "key", json!({"ssh_public_key": SSH_KEY}));
                let env = json!({"NPM_TOKEN": ENV_VALUE});
                add(1, "secrets", json!({"git_token": GIT_TOKEN, "anthropic_api_key": API_KEY, "env": env}));
                add(
                    2,
                    "branch",
                    json!({"branch": "feature/a-b_c#1", "devcontainer_image": "ghcr.io/o/dev:1"}),
                );
                add(3, "networks", json!({"allow_from": ["203.0.113.0/24", "2001:db8::/32"]}));
                add(
                    4,
                    "own",
                    json!({"name": "my-box", "trust_repo": true, "idle_minutes": 1440, "max_hours": 168}),
                );
                cases.push(Case { name, body, has_key: has(0), has_secrets: has(1) });
            }
        }
    }
    cases
}

fn dry_run(body: &Value) -> Value {
    Call::post("/user-data").token().json(body).send(&app(), &TestHost::silent()).ok(200)
}

/// The user data that a creation sends.
fn sent(body: &Value) -> String {
    let host = TestHost::new(with_key_of(body));
    Call::post("/vms").token().json(body).send(&app(), &host).ok(201);
    let creation = host.requests().into_iter().find(|it| it.url.ends_with("/servers")).expect("a creation");
    let creation: Value = serde_json::from_slice(&creation.body).expect("JSON");
    creation["user_data"].as_str().expect("user data").to_owned()
}

/// A creation that meets nothing unusual, with the user's key or nobody's.
fn with_key_of(body: &Value) -> Script {
    if !body["ssh_public_key"].is_null() {
        return smooth();
    }
    let nobody = SshPublicKey::nobody(signer().derive("nobody", &[b"mayfly"])).md5_fingerprint();
    let key = get(format!("/ssh_keys?fingerprint={nobody}")).fixture(200, "list_ssh_keys.registered");
    Script::new()
        .side_by_side(catalogue())
        .side_by_side([key, find_firewall().fixture(200, "list_firewalls.ours")])
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses())
}

fn holds_no_secret(user_data: &str) {
    let given = [GIT_TOKEN, API_KEY, ENV_VALUE];
    holds_none_of(user_data, given.into_iter().chain(support::world::SECRETS));
}

fn top_level_keys(user_data: &str) -> Vec<String> {
    let config = parse(user_data);
    let mapping = config.as_mapping().expect("a mapping");
    mapping.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect()
}

/// What holds for every user data.
fn is_well_formed(user_data: &str, has_key: bool) {
    assert!(user_data.starts_with("#cloud-config\n"));
    assert!(!user_data.contains("{{") && !user_data.contains("{%"));
    let keys: Vec<&str> = KEYS.into_iter().filter(|it| has_key || *it != "ssh_authorized_keys").collect();
    assert_eq!(top_level_keys(user_data), keys);
    for key in keys {
        let begins = format!("{key}:");
        assert_eq!(user_data.lines().filter(|it| it.starts_with(&begins)).count(), 1, "{key} stands once");
    }
    let archive = STANDARD.decode(file(&parse(user_data), "/etc/mayfly/vm.tar.gz")).expect("base64");
    assert_eq!(archive.first_chunk(), Some(&[0x1f, 0x8b]), "gzip");
}

#[test]
fn every_combination_renders_to_well_formed_user_data_without_secrets() {
    let folder = rendered();
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let cases = cases();
    assert_eq!(cases.len(), 2 * 6 * 32);
    let mut largest = (0, String::new());
    for case in cases {
        let answer = dry_run(&case.body);
        let user_data = answer["user_data"].as_str().expect("user data");
        is_well_formed(user_data, case.has_key);
        holds_no_secret(user_data);
        let file = vm_file(user_data);
        assert_eq!(file["capability"], "******");
        assert_eq!(file["sealed"], if case.has_secrets { "******" } else { "" });
        for (field, given) in case.body.as_object().into_iter().flatten() {
            let secret = ["git_token", "anthropic_api_key", "env", "ssh_public_key", "max_hours"];
            if !secret.contains(&field.as_str()) {
                assert_eq!(file[field], *given, "{field} of {}", case.name);
            }
        }
        assert_eq!(answer["limit_bytes"], USER_DATA_MAX_BYTES);
        let bytes = usize::try_from(answer["bytes"].as_u64().expect("bytes")).expect("a size");
        if bytes > largest.0 {
            largest = (bytes, case.name.clone());
        }
        fs::write(folder.join(format!("{}.yaml", case.name)), user_data).expect("written");
    }
    println!("largest user data: {} of {USER_DATA_MAX_BYTES} bytes ({})", largest.0, largest.1);
    assert!(largest.0 + ROOM_BYTES <= USER_DATA_MAX_BYTES, "{} bytes leave too little room", largest.0);
}

#[test]
fn a_creation_sends_what_the_dry_run_shows_with_nothing_masked() {
    for case in cases().into_iter().filter(|it| it.name.starts_with("debian-13.cloudcli")) {
        let user_data = sent(&case.body);
        let shown = dry_run(&case.body);
        is_well_formed(&user_data, case.has_key);
        holds_no_secret(&user_data);
        let (mut real, mut dry) =
            (vm_file(&user_data), vm_file(shown["user_data"].as_str().expect("user data")));
        assert_eq!(real["vm"], vm_id());
        assert_eq!(real["sealed"].as_str().is_some_and(|it| it.starts_with("k1.")), case.has_secrets);
        assert!(real["capability"].as_str().is_some_and(|it| it.starts_with("mfc1.k1.")));
        for field in ["capability", "sealed", "vm", "name"] {
            real[field].take();
            dry[field].take();
        }
        assert_eq!(real, dry, "{}", case.name);
        // The dry run's length is that of the longest location's name.
        let bytes = usize::try_from(shown["bytes"].as_u64().expect("bytes")).expect("a size");
        assert!((user_data.len()..user_data.len() + 32).contains(&bytes), "{} {bytes}", user_data.len());
    }
}

#[test]
fn a_dry_run_asks_nobody_and_reveals_no_key_of_ours() {
    let answer = dry_run(&request());
    assert_eq!(answer.as_object().map(serde_json::Map::len), Some(3));
    assert!(!answer.to_string().contains("mfc1."));
}

#[test]
fn a_key_that_stands_twice_is_noticed() {
    for twice in ["a: 1\na: 2\n", "x:\n  a: 1\n  a: 2\n"] {
        let noticed = std::panic::catch_unwind(|| top_level_keys(twice));
        assert!(noticed.is_err(), "{twice:?} passed");
    }
}

fn vm_file_of<'a>(text: &'a str, networks: &'a [String]) -> VmFile<'a> {
    VmFile {
        v: 1,
        worker: text,
        vm: text,
        capability: text,
        deployment: text,
        provider: text,
        location: text,
        name: text,
        profile: text,
        repo_url: text,
        branch: text,
        web_ui: text,
        devcontainer_image: text,
        trust_repo: true,
        idle_minutes: u32::MAX,
        created: NOW_SECS,
        expires: NOW_SECS,
        allow_from: networks,
        domain: text,
        image: text,
        sealed: text,
        self_delete: text,
    }
}

/// Renders a text in every place and reads every place back.
fn survives(text: &str) {
    let networks = [text.to_owned(), String::new()];
    let user_data = render(&vm_file_of(text, &networks), None);
    let config = parse(&user_data);
    assert_eq!(config["hostname"].as_str(), Some(text));
    assert_eq!(config["fqdn"].as_str(), Some(text));
    let got = vm_file(&user_data);
    let want = serde_json::to_value(vm_file_of(text, &networks)).expect("JSON");
    assert_eq!(got, want);
    let keys: Vec<&str> = KEYS.into_iter().filter(|it| *it != "ssh_authorized_keys").collect();
    assert_eq!(top_level_keys(&user_data), keys, "{text:?}");
}

#[test]
fn nasty_texts_come_back_exactly_and_stay_data() {
    for text in [
        "",
        " ",
        "x\nruncmd: [touch /tmp/pwned]\n",
        "\"\nwrite_files: []\n\"",
        "'single' \"double\" `back` \\ backslash \\n",
        "{{ 7*7 }} {% raw %} {# note #}",
        "# no comment",
        "key: value",
        "- item",
        "&anchor *alias !!tag",
        "%YAML 1.2\n---\n...",
        "\u{1}\u{8}\t\r\n\u{1b}",
        "<script>&amp;</script>",
        "ünïcödé 日本 🚀",
        "\u{2028}\u{2029}\u{feff}",
        "$(reboot) ${HOME} `id` ; rm -rf /",
        "yes",
        "null",
        "0x10",
        "1e3",
        "~",
        "EOF\nEOF",
        "## template: jinja",
    ] {
        survives(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_printable_text_comes_back_exactly(text in "[\\PC\\n\\t\"'\\\\{}%#:&*!|>-]{0,80}") {
        survives(&text);
    }
}
