//! Random answers of every provider before its module: whatever comes, nothing panics, nothing runs without end, and a
//! deletion is reported only where the provider accepted it or has no such server. Hetzner behind the whole API is in `fuzz.rs`.

#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use std::cell::{Cell, RefCell};
use std::fs;

use mayfly::http::{Clock, Http, Log, NoAnswer, Random, Request, Response};
use mayfly::labels::{self, Selector};
use mayfly::model::{Currency, Price};
use mayfly::providers::{Offer, Plan, Power, Provider, Source};
use mayfly::ssh_key::SshPublicKey;
use mayfly::workspace::{Image, Market};
use proptest::prelude::*;
use serde_json::Value;

use support::block_on;
use support::fixtures::folder;
use support::world::{
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, DIGITALOCEAN_TOKEN, NOW_SECS, SCALEWAY_PROJECT_ID,
    SCALEWAY_SECRET_KEY, SSH_KEY, Settings, VM,
};

/// Calls of one operation at the most: a hundred pages, each tried three times, and what goes with them.
const MAX_CALLS: usize = 1000;

/// A fixture: JSON is changed by its members, any other text by its characters.
#[derive(Clone)]
enum Answer {
    Json(Value),
    Text(String),
}

/// Answers with any fixture of its provider, whole, changed or cut, and any status.
struct WildHost {
    /// Names without what stands between their words, and answers.
    answers: Vec<(String, Answer)>,
    seed: Cell<u64>,
    calls: Cell<usize>,
    /// Statuses of all answers.
    statuses: RefCell<Vec<u16>>,
}

impl WildHost {
    fn new(provider: &str, seed: u64) -> Self {
        let read = |it: fs::DirEntry| {
            let name = it.file_name().to_string_lossy().replace('_', "");
            let text = fs::read_to_string(it.path()).expect("a file");
            (name, serde_json::from_str(&text).map_or(Answer::Text(text), Answer::Json))
        };
        let mut files: Vec<_> = fs::read_dir(folder().join(provider)).expect("fixtures").flatten().collect();
        files.sort_by_key(fs::DirEntry::path);
        Self {
            answers: files.into_iter().map(read).collect(),
            seed: Cell::new(seed | 1),
            calls: Cell::new(0),
            statuses: RefCell::default(),
        }
    }

    fn below(&self, end: usize) -> usize {
        let mut it = self.seed.get();
        it ^= it << 13;
        it ^= it >> 7;
        it ^= it << 17;
        self.seed.set(it);
        usize::try_from(it >> 11).unwrap_or(0) % end.max(1)
    }

    /// An answer that has what is asked for, more often than not.
    fn answer(&self, request: &Request) -> Answer {
        let kind = request.url.split(['/', '?']).rfind(|it| it.len() > 3).unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body);
        let action = body.strip_prefix("Action=").and_then(|it| it.split('&').next()).unwrap_or("?");
        let fits = |(name, answer): &&(String, Answer)| match answer {
            Answer::Json(Value::Object(it)) => it.keys().any(|key| kind.starts_with(key.as_str())),
            // A list without a frame tells by its name alone what it is a list of.
            Answer::Json(_) => !kind.is_empty() && name.contains(kind),
            Answer::Text(it) => it.contains(&format!("<{action}Response")),
        };
        let fitting: Vec<&(String, Answer)> = self.answers.iter().filter(fits).collect();
        let from =
            if fitting.is_empty() || self.below(3) == 0 { self.answers.iter().collect() } else { fitting };
        from[self.below(from.len())].1.clone()
    }

    /// Cuts a piece out, or puts one in.
    fn change_text(&self, text: &mut String) {
        let pieces = [
            "",
            "<",
            "</item>",
            "<item>",
            "&",
            "terminated",
            "2026-13-45T",
            "18446744073709551616",
            "é",
            "-",
        ];
        let at = self.below(text.len());
        let end = (at + self.below(40)).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            text.replace_range(at..end, pieces[self.below(pieces.len())]);
        }
    }

    fn change(&self, value: &mut Value) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                let at = self.below(members.len());
                if let Some((_, member)) = members.iter_mut().nth(at) {
                    self.change(member);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let at = self.below(items.len());
                self.change(&mut items[at]);
            }
            other => {
                let texts = [
                    "",
                    ":",
                    "mayfly:a:b:n1:c:01:x:1y:2",
                    "mayfly:::m99999999999:::",
                    "é",
                    "0",
                    "=",
                    "a=b=c",
                    "x_wNSHAGAmayflyBAEQyFMdCVLY1z4RlOlbXxwCDAaAbDBrACgwHE",
                ];
                *other = match self.below(6) {
                    0 => Value::Null,
                    1 => u64::MAX.into(),
                    2 => (-1e300).into(),
                    3 => Value::Array(Vec::new()),
                    _ => texts[self.below(texts.len())].into(),
                };
            }
        }
    }
}

impl Http for WildHost {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        self.calls.set(self.calls.get() + 1);
        assert!(self.calls.get() <= MAX_CALLS, "{request:?} and a thousand before it");
        if self.below(15) == 0 {
            return Err([NoAnswer::TimedOut, NoAnswer::Broken][self.below(2)]);
        }
        let mut answer = self.answer(&request);
        for _ in 0..self.below(4) {
            match &mut answer {
                Answer::Json(value) => self.change(value),
                Answer::Text(text) => self.change_text(text),
            }
        }
        let status =
            [200, 201, 202, 204, 200, 200, 200, 400, 401, 403, 404, 409, 412, 422, 423, 429, 500, 503]
                [self.below(18)];
        let mut body = match answer {
            Answer::Json(value) => value.to_string().into_bytes(),
            Answer::Text(text) => text.into_bytes(),
        };
        if self.below(8) == 0 {
            body.truncate(self.below(body.len()));
        }
        self.statuses.borrow_mut().push(status);
        Ok(Response { status, headers: vec![("retry-after", "soon".into())], body })
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
        buffer.fill_with(|| u8::try_from(self.below(256)).unwrap_or(0));
    }
}

impl mayfly::access::Signatures for WildHost {}

impl Log for WildHost {
    fn log(&self, line: &str) {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it.is_object()), "{line}");
    }
}

fn providers() -> Vec<(Provider, &'static str, &'static str)> {
    let settings = Settings::usual()
        .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
        .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
        .with("SCALEWAY_ZONES", "fr-par-1,nl-ams-1")
        .with("DIGITALOCEAN_TOKEN", DIGITALOCEAN_TOKEN)
        .with_ovh()
        .with("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID)
        .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
        .with("AWS_REGIONS", "eu-central-1,us-east-1");
    let app = settings.app();
    let all = app.ready().expect("configured").providers.clone();
    let natives = [
        "4711",
        "fr-par-1-973b1d4a-3d01-4220-a4fa-7a2b89c8a557",
        "3164444",
        "2f1e1c6a-8a43-4f0c-9c3b-6a4d3f1b7e21",
        "eu-central-1-i-0123456789abcdef0",
    ];
    all.into_iter().zip(natives).map(|(it, native)| (it.clone(), it.name().as_str(), native)).collect()
}

fn every_operation(provider: &Provider, folder: &str, native: &str, seed: u64) {
    let host = || WildHost::new(folder, seed);
    let ours = Selector::deployment("mayfly");
    let _ = block_on(provider.find(&host(), &ours));
    let _ = block_on(provider.get(&host(), native));
    if let Ok(catalogue) = block_on(provider.catalogue(&host(), NOW_SECS)) {
        let offers: Vec<&Offer> = catalogue.offers.iter().collect();
        let _ = block_on(provider.spot_offers(&host(), &offers));
    }
    let changes = [(labels::PHASE, Some("ready".to_owned())), (labels::WANT, None)];
    let _ = block_on(provider.relabel(&host(), native, &changes));
    for power in [Power::Start, Power::Stop, Power::Cut] {
        let _ = block_on(provider.power(&host(), native, power));
    }
    let _ = block_on(provider.snapshot(&host(), native, "x", &labels::ours("mayfly")));
    let _ = block_on(provider.snapshots(&host(), &ours));
    let _ = block_on(provider.delete_snapshot(&host(), native));
    for leftover in block_on(provider.leftovers(&host(), "mayfly", false)).unwrap_or_default() {
        let _ = block_on(provider.delete_leftover(&host(), &leftover));
    }
    let deleting = host();
    if block_on(provider.delete(&deleting, native)).is_ok() {
        let statuses = deleting.statuses.borrow();
        let last = statuses.last().copied().unwrap_or(0);
        // A refusal is believed where its body says that there is no such server, whatever its status.
        assert!((200..300).contains(&last) || (400..500).contains(&last), "{statuses:?}");
    }
    let offer = Offer {
        server_type: "DEV1-M".into(),
        location: "fr-par-1".into(),
        vcpu: 2,
        memory_gib: 4.0,
        disk_gb: 40.0,
        price: Some(Price { micros_per_hour: 1, currency: Currency::EUR }),
        micros_per_month: 1,
    };
    let mut set = labels::ours("mayfly");
    set.push((labels::VM.into(), VM.into()));
    let plan = Plan {
        name: "x",
        source: Source::Image(Image::Debian13),
        market: Market::OnDemand,
        ssh_key: &SshPublicKey::parse(SSH_KEY).expect("a key"),
        offers: &[offer.clone(), offer],
        shared_labels: labels::ours("mayfly"),
        deployment: "mayfly",
        identity: ours.and(labels::VM, VM),
        render: |_: &Offer| (set.clone(), "#cloud-config\n".to_owned()),
    };
    if let Err((_, attempts)) = block_on(provider.create(&host(), &plan)) {
        assert!(attempts.len() <= 2);
    }
}

#[test]
fn wild_answers_harm_no_provider() {
    let providers = providers();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&any::<u64>(), |seed| {
        for (provider, folder, native) in &providers {
            every_operation(provider, folder, native, seed);
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
}
