//! What the native tests share: a host without a world around it, a scripted provider, calls to the API and the fixtures.
//! Each test binary uses its part. What is right and wrong is said by the tests, not here.

pub(crate) mod call;
pub(crate) mod creation;
pub(crate) mod failure;
pub(crate) mod fixtures;
pub(crate) mod host;
pub(crate) mod script;
pub(crate) mod store;
pub(crate) mod upstream;
pub(crate) mod user_data;
pub(crate) mod world;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Polls at the most: every wait of the tests' host ends after one more poll.
const MAX_POLLS: u32 = 100_000;

/// Runs a future whose every wait is the tests' own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MAX_POLLS {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the future was not ready after {MAX_POLLS} polls")
}

/// Is pending once, so that whatever runs side by side really does.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        // Collections of futures poll only those that were woken.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
