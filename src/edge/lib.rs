//! The Worker: the two events that Cloudflare sends, converted and handed to the core. It decides nothing: routes,
//! status codes and texts are the core's; the platform's ports are in `host`, `bucket` and `relay`, the conversions in `convert`.
//! `build/worker.js`, written by `cargo xtask build`, calls the functions below and replaces an instance that panicked.

mod bucket;
mod convert;
mod host;
mod relay;

use std::cell::OnceCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use js_sys::futures::future_to_promise;
use mayfly::App;
use mayfly::http::Counted;
use mayfly::reaper::tally;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::Request;
use worker::Env;

use crate::host::Platform;

thread_local! {
    /// Vars and secrets cannot change while an isolate lives, so they are read and checked once.
    static APP: OnceCell<&'static App> = const { OnceCell::new() };
}

fn app(env: &Env) -> &'static App {
    APP.with(|it| *it.get_or_init(|| Box::leak(Box::new(App::from_lookup(|key| convert::binding(env, key))))))
}

/// A request. The result is a `Response`, or a promise of one.
#[wasm_bindgen]
pub fn fetch(request: Request, env: Env, life: convert::Life) -> Result<JsValue, JsValue> {
    let app = app(&env);
    now_or_promise(Box::pin(convert::answer(app, request, env, life)))
}

/// The cron trigger.
#[wasm_bindgen]
pub fn scheduled(env: &Env) -> Result<JsValue, JsValue> {
    let app = app(env);
    let bucket = bucket::bound(env).map(relay::Kept);
    now_or_promise(Box::pin(async move {
        let platform = Platform::default();
        let counted = Counted::new(&platform);
        let report = mayfly::reaper::run(app, &counted).await;
        if let (Some(bucket), Ok(ready)) = (bucket, app.ready()) {
            tally::add(&report, &bucket, &ready.config.deployment, &counted).await;
        }
        mayfly::webhook::deliver(app, &counted, platform.take_events()).await;
        Ok(JsValue::UNDEFINED)
    }))
}

/// An answer that waits for nothing is there at the first poll; it needs no promise and no turn of the event loop.
fn now_or_promise(
    mut future: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>,
) -> Result<JsValue, JsValue> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Ok(future_to_promise(future).into()),
    }
}
