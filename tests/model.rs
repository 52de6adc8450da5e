//! Thousands of random histories on one account: nobody's things are touched but one's own, nothing is said to be gone that is
//! not, and in the end nothing of ours is left behind.
//!
//! `MODEL_HISTORIES` says how many, `MODEL_SEED` where they begin; a failure names its seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "support/mod.rs"]
mod support;

#[path = "model/account.rs"]
mod account;
#[path = "model/chance.rs"]
mod chance;
#[path = "model/history.rs"]
mod history;
#[path = "model/rules.rs"]
mod rules;

const HISTORIES: u64 = 500;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => default,
    }
}

/// What must have happened in a good number of histories, or they prove nothing.
const HAPPENINGS: [&str; 22] = [
    "POST /vms 201",
    "POST /vms 200",
    "POST /vms died",
    "POST /vms 503",
    "POST /vms 429",
    "no room at the first place",
    "DELETE /vms/{id} 200",
    "DELETE /vms/{id} 404",
    "DELETE /vms/{id} 504",
    "DELETE /vms?confirm=all 200",
    "POST /vms/{id}/stop 202",
    "POST /vms/{id}/start 202",
    "POST /vms/{id}/extend 200",
    "POST /vms/{id}/snapshots 202",
    "DELETE /snapshots/{id} 200",
    "DELETE /vm 200",
    "POST /snapshots/golden 202",
    "reaped: expired",
    "reaped: silent",
    "reaped: never ready",
    "broken path",
    "cron died",
];

#[test]
fn whatever_happens_the_account_holds_what_its_people_want() {
    let (first, count) = (number("MODEL_SEED", 1), number("MODEL_HISTORIES", HISTORIES));
    let next = AtomicU64::new(first);
    let tally = Mutex::new(BTreeMap::new());
    let play = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let played = catch_unwind(AssertUnwindSafe(|| history::History::new(seed).play()));
            let Ok(happened) = played else {
                eprintln!("replay: npm run test:model -- --histories 1 --seed {seed}");
                next.store(first + count, Ordering::Relaxed);
                panic!("seed {seed}");
            };
            let mut tally = tally.lock().expect("whole");
            for (what, times) in happened {
                *tally.entry(what).or_insert(0) += times;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(play);
        }
    });
    let tally: BTreeMap<String, u64> = tally.into_inner().expect("whole");
    println!("{count} histories from seed {first}: {tally:#?}");
    if count >= HISTORIES {
        let never: Vec<&str> = HAPPENINGS.into_iter().filter(|it| !tally.contains_key(*it)).collect();
        assert!(never.is_empty(), "in no history: {never:?}");
    }
}
