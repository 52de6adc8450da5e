//! Cloudflare's `Request` to the core's [`Head`] and [`Body`], the core's [`Reply`] to a `Response`. It leaves every
//! judgement to the core, and works on `web_sys` types: `worker`'s own copy all headers, and its `Url` is 170 KB.

use std::cell::{OnceCell, RefCell};

use js_sys::futures::future_to_promise;
use js_sys::{JSON, Reflect, Uint8Array};
use mayfly::App;
use mayfly::bucket::BINDING;
use mayfly::http::{Body, BodyError, Counted, Head, Reply};
use mayfly::json::Writer;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Request, Response, ResponseInit};
use worker::Env;

use crate::bucket::{self, R2};
use crate::host::Platform;
use crate::relay::Job;

/// A var or secret by name. Of bindings that are no text the configuration hears only that there is a bucket.
pub(crate) fn binding(env: &Env, key: &str) -> Option<String> {
    if key == BINDING {
        return bucket::bound(env).map(|_| key.to_owned());
    }
    Reflect::get(env, &key.into()).ok()?.as_string()
}

/// Lets the core answer one request.
pub(crate) async fn answer(
    app: &'static App,
    request: Request,
    env: Env,
    life: Life,
) -> Result<JsValue, JsValue> {
    let (method, url, headers) = (request.method(), request.url(), request.headers());
    let (origin, path, query) = split(&url);
    let header = |name: &str| lookup(&headers, name);
    let head = Head { method: &method, origin, path, query, header: &header };
    let platform = Platform::default();
    let mut caller =
        Incoming { request: &request, env: &env, bucket: OnceCell::new(), sent: None, later: Vec::new() };
    let reply = mayfly::api::handle(app, &platform, head, &mut caller).await;
    let events = platform.take_events();
    if !events.is_empty() {
        // The caller does not wait for whoever is told.
        life.wait_until(&future_to_promise(async move {
            mayfly::webhook::deliver(app, &Counted::new(&platform), events).await;
            Ok(JsValue::UNDEFINED)
        }));
    }
    for job in caller.later.drain(..) {
        life.wait_until(&future_to_promise(async move {
            job.await;
            Ok(JsValue::UNDEFINED)
        }));
    }
    response(&reply, caller.sent.as_ref())
}

#[wasm_bindgen]
extern "C" {
    /// The `ctx` of a request.
    pub type Life;
    /// Keeps the Worker alive for a promise after the answer.
    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &Life, promise: &js_sys::Promise);
}

/// Origin, path and query of an absolute URL as the runtime normalises it.
fn split(url: &str) -> (&str, &str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    let target = url[path..].split('#').next().unwrap_or_default();
    let (target, query) = target.split_once('?').unwrap_or((target, ""));
    (&url[..path], if target.is_empty() { "/" } else { target }, query)
}

/// What is to be answered in place of bytes: an object of the bucket, or another server's answer.
pub(crate) struct Sent {
    pub(crate) body: Option<ReadableStream>,
    pub(crate) headers: Vec<(String, String)>,
}

/// The caller's connection: a body that is still on the wire, the bucket, and what is to be answered.
pub(crate) struct Incoming<'a> {
    request: &'a Request,
    env: &'a Env,
    bucket: OnceCell<Option<R2>>,
    pub(crate) sent: Option<Sent>,
    /// What remains to be done while the answer goes out.
    pub(crate) later: Vec<Job>,
}

impl Body for Incoming<'_> {
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let length = self.request.headers().get("content-length").ok().flatten();
        match length.and_then(|it| it.parse::<u64>().ok()) {
            Some(length) if length > max_bytes as u64 => Err(BodyError::TooLong),
            // The runtime ends a body at its declared length, so this cannot grow past the limit.
            Some(_) => self.read_whole().await.ok_or(BodyError::Broken),
            None => self.read_chunks(max_bytes).await,
        }
    }
}

impl Incoming<'_> {
    pub(crate) fn request(&self) -> &Request {
        self.request
    }

    /// Looked for when it is wanted: most requests do not.
    pub(crate) fn bucket(&self) -> Option<&R2> {
        self.bucket.get_or_init(|| bucket::bound(self.env)).as_ref()
    }

    async fn read_whole(&self) -> Option<Vec<u8>> {
        let buffer = self.request.array_buffer().ok()?.await.ok()?;
        Some(Uint8Array::new(&buffer).to_vec())
    }

    /// A body of unknown length, given up as soon as it is too long.
    async fn read_chunks(&self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let Some(stream) = self.request.body() else { return Ok(Vec::new()) };
        let reader = ReadableStreamDefaultReader::new(&stream).map_err(|_| BodyError::Broken)?;
        let mut bytes = Vec::new();
        loop {
            let chunk = reader.read().await.map_err(|_| BodyError::Broken)?;
            let part = |name: &str| Reflect::get(&chunk, &name.into()).unwrap_or_default();
            if part("done").is_truthy() {
                return Ok(bytes);
            }
            let value = part("value").dyn_into::<Uint8Array>().map_err(|_| BodyError::Broken)?;
            if bytes.len() + value.length() as usize > max_bytes {
                // Not cancelled: the runtime would break the connection off before the caller has its answer.
                return Err(BodyError::TooLong);
            }
            bytes.extend(value.to_vec());
        }
    }
}

fn response(reply: &Reply, sent: Option<&Sent>) -> Result<JsValue, JsValue> {
    let init: ResponseInit = object(&reply.headers, |json| {
        json.raw(",\"status\":").number(reply.status);
    })?;
    if let Some(sent) = sent.filter(|_| reply.body.is_empty()) {
        let answer = Response::new_with_opt_readable_stream_and_init(sent.body.as_ref(), &init)?;
        for (name, value) in &sent.headers {
            answer.headers().set(name, value)?;
        }
        return Ok(answer.into());
    }
    // 204 and 304 must have no body at all, not an empty one. The copy is needed: the runtime keeps the buffer.
    let body = (!reply.body.is_empty()).then(|| Uint8Array::from(reply.body.as_slice()));
    Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init).map(Into::into)
}

#[wasm_bindgen]
extern "C" {
    /// `Headers`, asked by names that are JavaScript's own strings already.
    type HeadersByName;
    #[wasm_bindgen(method, catch)]
    fn get(this: &HeadersByName, name: &JsValue) -> Result<Option<String>, JsValue>;
}

thread_local! {
    /// The few names that the core asks for, as JavaScript's strings: making one costs as much as the question.
    static NAMES: RefCell<Vec<(String, JsValue)>> = const { RefCell::new(Vec::new()) };
}

/// One header by its lower-case name.
pub(crate) fn lookup(headers: &web_sys::Headers, name: &str) -> Option<String> {
    let headers: &HeadersByName = headers.unchecked_ref();
    NAMES.with_borrow_mut(|names| {
        let at = names.iter().position(|(it, _)| it == name).unwrap_or_else(|| {
            names.push((name.to_owned(), name.into()));
            names.len() - 1
        });
        headers.get(&names[at].1).ok().flatten()
    })
}

/// A `ResponseInit` or `RequestInit` of these headers, and of the members that `more` writes: one text for JavaScript to
/// parse. Every string and every member set on its own would cost a call out of the instance.
pub(crate) fn object<T: JsCast>(
    headers: &[(&'static str, String)],
    more: impl FnOnce(&mut Writer<'_>),
) -> Result<T, JsValue> {
    let mut bytes = Vec::with_capacity(512);
    let mut json = Writer(&mut bytes);
    json.raw("{\"headers\":{");
    for (at, (name, value)) in headers.iter().enumerate() {
        json.raw(if at > 0 { "," } else { "" }).text(name).raw(":").text(value);
    }
    json.raw("}");
    more(&mut json);
    json.raw("}");
    // The writer writes nothing but UTF-8.
    let text = str::from_utf8(&bytes).unwrap_or_default();
    JSON::parse(text).map(JsCast::unchecked_into)
}
