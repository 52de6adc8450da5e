//! What the tokens of each answer came to, as one empty object in the bucket whose key holds the figures, so that one list
//! tells everything of an owner. Old records are folded into one per VM, so that the list stays short.
//!
//! A key is `<deployment>/~agent/<owner>/<vm>/<window>-<random>.<figures>`, of a sum `<window>~<figures>.<tenths of its day>`:
//! everything of that VM up to the end of that window. `~agent` is nobody's name, and no repository of restic's is below it.
//! Nothing is added to a window that is over, so whoever folds it at whatever time gets the same sum under the same key:
//! two at once do no harm.

use std::collections::BTreeMap;

use super::Usage;
use crate::bucket::{Bucket, BucketError, Entry, PAGE, Page};
use crate::http::{Clock, Log, Random};

/// Seconds of a window. A day has a whole number of them.
const WINDOW_SECS: u64 = 600;
const DAY_SECS: u64 = 86_400;
/// A window is over so long after its end, seconds: whoever writes into it has done so, whatever their clock.
const GRACE_SECS: u64 = 120;
/// So many old records are folded.
const FOLD_AT: usize = 64;
/// One answer in so many looks whether there is something to fold.
const LOOKS_ONE_IN: u8 = 32;
/// Of a VM that was silent for so long nothing is kept: longer than a VM may live and be stopped.
const KEPT_SECS: u64 = 40 * DAY_SECS;

/// What of the bucket the records need.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Ledger {
    /// As [`Bucket::list`].
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError>;
    /// Stores an empty object, in place of one that may be there: its name says something.
    async fn mark(&self, key: &str) -> Result<(), BucketError>;
    /// As [`Bucket::delete`].
    async fn delete(&self, keys: &[String]) -> Result<(), BucketError>;
}

/// A caller's bucket as a ledger.
pub struct Through<'a, B>(pub &'a B);

impl<B: Bucket> Ledger for Through<'_, B> {
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        self.0.list(prefix, cursor).await
    }

    async fn mark(&self, key: &str) -> Result<(), BucketError> {
        self.0.put(key, &[]).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        self.0.delete(keys).await
    }
}

/// Where the tokens of an answer are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    place: String,
    vm: String,
}

impl Record {
    /// For a VM of an owner.
    pub fn new(deployment: &str, owner: &str, vm: &str) -> Self {
        Self { place: place(deployment, owner), vm: vm.to_owned() }
    }

    /// Writes them down, and now and then folds what is old. What cannot be written down stands in the log.
    pub async fn keep(&self, usage: Usage, ledger: &impl Ledger, host: &(impl Clock + Random + Log)) {
        let mut random = [0; 8];
        host.fill(&mut random);
        let Usage { input, output, cache_write, cache_read } = usage;
        let window = host.now_secs() / WINDOW_SECS;
        let random_hex = random.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let name = format!("{window:07}-{random_hex}.{input}.{output}.{cache_write}.{cache_read}");
        if let Err(error) = ledger.mark(&format!("{}{}/{name}", self.place, self.vm)).await {
            let detail = format!("{error:?}");
            let (vm, event) = (&self.vm, "agent_tokens_lost");
            let line = serde_json::json!({ "event": event, "vm": vm, "input": input, "output": output, "detail": detail });
            host.log(&line.to_string());
        } else if random[0] % LOOKS_ONE_IN == 0 {
            // What fails is tried by a later answer.
            let _ = tidy(&self.place, ledger, host.now_secs()).await;
        }
    }
}

/// What a VM's agent has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// In its life.
    pub life: Usage,
    /// Since midnight UTC, as it counts against a budget.
    pub today_tenths: u64,
}

/// The accounts of an owner's VMs, by the ids in their labels.
pub type Accounts = BTreeMap<String, Account>;

/// Reads the accounts of an owner, or of one VM alone.
pub async fn read(
    ledger: &impl Ledger,
    deployment: &str,
    owner: &str,
    vm: Option<&str>,
    now_secs: u64,
) -> Result<Accounts, BucketError> {
    let place = place(deployment, owner);
    let prefix = vm.map_or(place.clone(), |vm| format!("{place}{vm}/"));
    let today = now_secs / DAY_SECS;
    let books = books(&list(ledger, &prefix).await?, &place);
    Ok(books.into_iter().map(|(vm, book)| (vm, book.account(today))).collect())
}

fn place(deployment: &str, owner: &str) -> String {
    format!("{deployment}/~agent/{owner}/")
}

async fn list(ledger: &impl Ledger, prefix: &str) -> Result<Vec<Entry>, BucketError> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.list(prefix, cursor.as_deref()).await?;
        entries.extend(page.entries);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

/// Folds what is old and deletes what is folded, or is nobody's any more.
async fn tidy(place: &str, ledger: &impl Ledger, now_secs: u64) -> Result<(), BucketError> {
    let entries = list(ledger, place).await?;
    let mut gone: Vec<String> = Vec::new();
    for (vm, book) in books(&entries, place) {
        let (kept, through) = match book.fold(now_secs) {
            Fold::Not => continue,
            Fold::Away => (None, u64::MAX),
            Fold::Into(name) => (Some(format!("{place}{vm}/{name}")), over(now_secs)),
        };
        if let Some(key) = &kept {
            ledger.mark(key).await?;
        }
        let old = book.keys.iter().filter(|(window, key)| *window <= through && kept.as_ref() != Some(key));
        gone.extend(old.map(|(_, key)| key.clone()));
    }
    for keys in gone.chunks(PAGE) {
        ledger.delete(keys).await?;
    }
    Ok(())
}

/// The newest window that is over.
fn over(now_secs: u64) -> u64 {
    (now_secs.saturating_sub(GRACE_SECS) / WINDOW_SECS).saturating_sub(1)
}

fn day_of(window: u64) -> u64 {
    window / (DAY_SECS / WINDOW_SECS)
}

/// What is to be done about a VM's records.
enum Fold {
    Not,
    /// A sum of this name stands for all that is over.
    Into(String),
    /// Nothing is to stand for them any more.
    Away,
}

/// What the keys of a VM say.
#[derive(Default)]
struct Book {
    /// Of the newest sum: its window, everything until then, and what of it was on the window's day.
    sum: Option<(u64, Usage, u64)>,
    /// One for each answer, with its window.
    records: Vec<(u64, Usage)>,
    keys: Vec<(u64, String)>,
}

/// By VM; what is no key of ours counts for nothing.
fn books(entries: &[Entry], place: &str) -> BTreeMap<String, Book> {
    let mut books: BTreeMap<String, Book> = BTreeMap::new();
    for Entry { key, .. } in entries {
        let Some((vm, name)) = key.strip_prefix(place).and_then(|it| it.split_once('/')) else { continue };
        let Some((window, usage, day_tenths)) = parse(name) else { continue };
        let book = books.entry(vm.to_owned()).or_default();
        book.keys.push((window, key.clone()));
        match day_tenths {
            None => book.records.push((window, usage)),
            Some(tenths) if book.sum.is_none_or(|it| it.0 < window) => {
                book.sum = Some((window, usage, tenths));
            }
            Some(_) => {}
        }
    }
    books
}

/// Window, figures, and of a sum the tenths of its day.
fn parse(name: &str) -> Option<(u64, Usage, Option<u64>)> {
    let at = name.find(['-', '~'])?;
    let window = name[..at].parse().ok()?;
    let is_sum = name[at..].starts_with('~');
    let mut parts = name[at + 1..].split('.');
    if !is_sum {
        parts.next()?;
    }
    let mut figure = || parts.next()?.parse().ok();
    let usage = Usage { input: figure()?, output: figure()?, cache_write: figure()?, cache_read: figure()? };
    let tenths = if is_sum { Some(figure()?) } else { None };
    parts.next().is_none().then_some((window, usage, tenths))
}

impl Book {
    /// The records that the sum does not have: its own are there until somebody has deleted them.
    fn fresh(&self) -> impl Iterator<Item = &(u64, Usage)> {
        self.records.iter().filter(|(window, _)| self.sum.is_none_or(|it| *window > it.0))
    }

    fn account(&self, today: u64) -> Account {
        let mut account = Account::default();
        if let Some((window, life, tenths)) = self.sum {
            account.life = life;
            account.today_tenths = if day_of(window) == today { tenths } else { 0 };
        }
        for (window, usage) in self.fresh() {
            account.life = account.life.plus(*usage);
            if day_of(*window) == today {
                account.today_tenths = account.today_tenths.saturating_add(usage.tenths());
            }
        }
        account
    }

    fn fold(&self, now_secs: u64) -> Fold {
        let newest = self.keys.iter().map(|(window, _)| *window).max().unwrap_or_default();
        if newest.saturating_mul(WINDOW_SECS).saturating_add(KEPT_SECS) < now_secs {
            return Fold::Away;
        }
        let through = over(now_secs);
        if self.keys.iter().filter(|(window, _)| *window <= through).count() < FOLD_AT {
            return Fold::Not;
        }
        // A sum that somebody with a faster clock made is right, too; it is folded when it is over here.
        if self.sum.is_some_and(|it| it.0 > through) {
            return Fold::Not;
        }
        let day = day_of(through);
        let (mut life, mut tenths) = (Usage::default(), 0_u64);
        if let Some((window, sum, of_its_day)) = self.sum {
            life = sum;
            tenths = if day_of(window) == day { of_its_day } else { 0 };
        }
        for (window, usage) in self.fresh().filter(|(window, _)| *window <= through) {
            life = life.plus(*usage);
            if day_of(*window) == day {
                tenths = tenths.saturating_add(usage.tenths());
            }
        }
        let Usage { input, output, cache_write, cache_read } = life;
        Fold::Into(format!("{through:07}~{input}.{output}.{cache_write}.{cache_read}.{tenths}"))
    }
}
