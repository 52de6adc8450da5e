//! The core's port to another server: bodies go from one connection to the other as the runtime's own streams. Where an
//! answer's tokens are counted, a second branch of it is looked at a few times a second, however many events it has: a look
//! at each costs ten times the CPU, and one that waits for more would hold the caller's branch up.

use std::future::Future;
use std::pin::Pin;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use mayfly::agent::{Ledger, Meter, Record};
use mayfly::bucket::{BucketError, Page};
use mayfly::http::{Http as _, NoAnswer};
use mayfly::relay::{Onward, Relay};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, ReadableStream, RequestInit, Response};

use crate::bucket::{self, R2};
use crate::convert::{Incoming, Sent, lookup, object};
use crate::host::{Platform, global};

/// The pause between two looks.
const LOOK_EVERY_MS: u32 = 250;
/// Bytes of one look at the most; what is more is there at the next, which is then at once.
const LOOK_BYTES: u32 = 64 * 1024;

#[wasm_bindgen]
extern "C" {
    /// Both ends of a pipe of the runtime's own.
    type IdentityTransformStream;
    #[wasm_bindgen(constructor)]
    fn new() -> IdentityTransformStream;
    #[wasm_bindgen(method, getter)]
    fn readable(this: &IdentityTransformStream) -> ReadableStream;
    #[wasm_bindgen(method, getter)]
    fn writable(this: &IdentityTransformStream) -> JsValue;

    /// A `ReadableStream` with what `web_sys` leaves to features.
    type Stream;
    #[wasm_bindgen(method, catch)]
    fn tee(this: &Stream) -> Result<Array, JsValue>;
    #[wasm_bindgen(method, js_name = pipeTo)]
    fn pipe_to(this: &Stream, to: &JsValue) -> Promise;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Stream, options: &JsValue) -> Result<Reader, JsValue>;

    /// A `ReadableStreamBYOBReader`.
    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader, into: &Uint8Array) -> Promise;
}

/// What goes on after the answer has begun.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()>>>;

impl Relay for Incoming<'_> {
    async fn relay(&mut self, onward: Onward) -> Result<u16, NoAnswer> {
        let controller = AbortController::new().map_err(|_| NoAnswer::Broken)?;
        let answer = begin(&onward, self.request().body(), &controller).await?;
        let headers = passed(&answer, onward.passes_back);
        let mut body = answer.body();
        if let (Some(record), Some(bucket), Some(whole), 200) =
            (onward.record, self.bucket(), &body, answer.status())
        {
            let content_type = lookup(&answer.headers(), "content-type").unwrap_or_default();
            let ledger = Kept(bucket.clone());
            let (caller, jobs) = counted(whole, Meter::of(&content_type), record, ledger, controller)?;
            body = Some(caller);
            self.later = jobs;
        }
        self.sent = Some(Sent { body, headers });
        Ok(answer.status())
    }
}

/// Sends the request. The deadline is for the beginning of the answer: what comes then takes its time.
async fn begin(
    onward: &Onward,
    body: Option<ReadableStream>,
    controller: &AbortController,
) -> Result<Response, NoAnswer> {
    let init: Result<RequestInit, JsValue> = object(&onward.headers, |json| {
        // A redirect would carry the key to another address.
        json.raw(",\"redirect\":\"manual\",\"method\":").text(onward.method.as_str());
    });
    let init = init.map_err(|_| NoAnswer::Broken)?;
    if let Some(body) = body {
        init.set_body(&body);
    }
    init.set_signal(Some(&controller.signal()));
    let is_late = std::rc::Rc::new(std::cell::Cell::new(false));
    let late = {
        let (controller, is_late) = (controller.clone(), is_late.clone());
        Closure::once(move || {
            is_late.set(true);
            controller.abort();
        })
    };
    let ms = onward.timeout_ms.try_into().unwrap_or(i32::MAX);
    let callback = late.as_ref().unchecked_ref();
    let timer = global().set_timeout_with_callback_and_timeout_and_arguments_0(callback, ms);
    let timer = timer.map_err(|_| NoAnswer::Broken)?;
    let answer = global().fetch_with_str_and_init(&onward.url, &init).await;
    global().clear_timeout_with_handle(timer);
    let failed = |_| if is_late.get() { NoAnswer::TimedOut } else { NoAnswer::Broken };
    answer.map(JsCast::unchecked_into).map_err(failed)
}

/// Those of an answer's headers that reach the caller.
fn passed(answer: &Response, passes_back: fn(&str) -> bool) -> Vec<(String, String)> {
    let entries = js_sys::try_iter(&answer.headers()).ok().flatten();
    let text = |pair: &Array, at| pair.get(at).as_string().unwrap_or_default();
    entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|it| Array::from(&it))
        .map(|pair| (text(&pair, 0), text(&pair, 1)))
        .filter(|(name, _)| passes_back(name))
        .collect()
}

/// The caller's branch of an answer, and the jobs beside it: one counts the other branch. A caller that goes away ends the answer: what
/// nobody reads is not to be written on.
fn counted(
    whole: &ReadableStream,
    meter: Meter,
    record: Record,
    ledger: Kept,
    controller: AbortController,
) -> Result<(ReadableStream, Vec<Job>), NoAnswer> {
    let branches = whole.unchecked_ref::<Stream>().tee().map_err(|_| NoAnswer::Broken)?;
    let branch = |at| branches.get(at).unchecked_into::<Stream>();
    let pipe = IdentityTransformStream::new();
    let piped = branch(0).pipe_to(&pipe.writable());
    let mode = Object::new();
    let _ = Reflect::set(&mode, &"mode".into(), &"byob".into());
    let reader = branch(1).reader(&mode).map_err(|_| NoAnswer::Broken)?;
    let read = async move {
        let usage = look(reader, meter).await.finish();
        if let Some(usage) = usage {
            record.keep(usage, &ledger, &Platform::default()).await;
        }
    };
    let watch = async move {
        if piped.await.is_err() {
            controller.abort();
        }
    };
    Ok((pipe.readable(), vec![Box::pin(read), Box::pin(watch)]))
}

/// Shows the meter everything of a branch, until its end or until it breaks.
async fn look(reader: Reader, mut meter: Meter) -> Meter {
    let mut into = Uint8Array::new_with_length(LOOK_BYTES);
    loop {
        let Ok(chunk) = reader.read(&into).await else { return meter };
        let part = |name: &str| Reflect::get(&chunk, &name.into()).unwrap_or_default();
        let Ok(bytes) = part("value").dyn_into::<Uint8Array>() else { return meter };
        meter.take(&bytes.to_vec());
        if part("done").is_truthy() {
            return meter;
        }
        let is_full = bytes.length() == LOOK_BYTES;
        into = Uint8Array::new(&bytes.buffer());
        if !is_full {
            Platform::default().sleep_ms(LOOK_EVERY_MS).await;
        }
    }
}

/// The bucket for as long as a job goes on that is no caller's.
pub(crate) struct Kept(pub(crate) R2);

impl Ledger for Kept {
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        bucket::list(&self.0, prefix, cursor).await
    }

    async fn mark(&self, key: &str) -> Result<(), BucketError> {
        bucket::put(&self.0, key, &[]).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        bucket::delete(&self.0, keys).await
    }
}
