//! The model's API for the native tests: one planned answer, and what was asked for it. Like the edge it counts an answer's
//! tokens when it has gone by.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mayfly::agent::{Meter, Through};
use mayfly::bucket::Bucket;
use mayfly::http::{Clock, Log, NoAnswer, Random};
use mayfly::relay::Onward;

/// Clones are the same API.
#[derive(Clone, Default)]
pub(crate) struct Upstream(Rc<Inner>);

#[derive(Default)]
struct Inner {
    answer: RefCell<Option<Planned>>,
    asked: RefCell<Vec<Asked>>,
    platform: Platform,
}

type Planned = Result<Told, NoAnswer>;

/// An answer.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request, as it would go out.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
}

impl Upstream {
    /// Answers everything like this.
    pub(crate) fn gives(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::default().plan(Ok(Told { status, headers, body: body.into() }))
    }

    /// Never answers.
    pub(crate) fn fails(why: NoAnswer) -> Self {
        Self::default().plan(Err(why))
    }

    fn plan(self, answer: Planned) -> Self {
        *self.0.answer.borrow_mut() = Some(answer);
        self
    }

    /// What is written down is of this time.
    pub(crate) fn at(&self, now_secs: u64) {
        self.0.platform.now_secs.set(now_secs);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.asked.borrow().clone()
    }

    /// What a connection to it does with a request.
    pub(crate) async fn answer(&self, onward: Onward, body: Vec<u8>, bucket: &impl Bucket) -> Planned {
        assert!(onward.headers.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
        let line = format!("{} {}", onward.method.as_str(), onward.url);
        let (headers, timeout_ms) = (onward.headers, onward.timeout_ms);
        self.0.asked.borrow_mut().push(Asked { line, headers, body, timeout_ms });
        let answer = self.0.answer.borrow().clone().expect("no answer was planned");
        let mut told = answer?;
        if let (Some(record), 200) = (&onward.record, told.status) {
            let content_type = told.headers.iter().find(|it| it.0 == "content-type");
            let mut meter = Meter::of(content_type.map_or("", |it| &it.1));
            told.body.chunks(7).for_each(|it| meter.take(it));
            if let Some(usage) = meter.finish() {
                record.keep(usage, &Through(bucket), &self.0.platform).await;
            }
        }
        told.headers.retain(|(name, _)| (onward.passes_back)(name));
        Ok(told)
    }
}

thread_local! {
    /// How often randomness was asked for in this test: no two get the same.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// A clock that stands, and counted randomness.
#[derive(Default)]
pub(crate) struct Platform {
    pub(crate) now_secs: Cell<u64>,
    pub(crate) lines: RefCell<Vec<String>>,
}

impl Clock for Platform {
    fn now_ms(&self) -> u64 {
        self.now_secs.get() * 1000
    }
}

impl Random for Platform {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
        for (byte, drawn) in buffer.iter_mut().zip(DRAWN.replace(DRAWN.get() + 1).to_le_bytes()) {
            *byte = drawn;
        }
    }
}

impl Log for Platform {
    fn log(&self, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}
