//! The core's ports on Cloudflare's platform: outgoing requests, time, randomness, log lines. It retries nothing and
//! reads no status: what an answer means is the core's to say.

use js_sys::{JSON, Object, Promise, Reflect, Uint8Array};
use std::cell::RefCell;

use mayfly::access::{RsaKey, Signatures};
use mayfly::http::{Clock, Http, Log, NoAnswer, READ_HEADERS, Random, Request, Response};
use mayfly::webhook::Event;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, CryptoKey, RequestInit, WorkerGlobalScope, console};

use crate::convert::{lookup, object};

/// The platform, for one request or one run of the cron: the events of which a webhook is to be told.
#[derive(Default)]
pub(crate) struct Platform {
    events: RefCell<Vec<Event>>,
}

impl Platform {
    /// What happened, once.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        self.events.take()
    }
}

impl Http for Platform {
    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        fetch(&request).await.map_err(|error| no_answer(&error))
    }

    /// Not `worker::Delay`: it wakes whoever polled it first, which need not be who waits for it now.
    async fn sleep_ms(&self, ms: u32) {
        let timer = Promise::new(&mut |wake, _| {
            let ms = ms.try_into().unwrap_or(i32::MAX);
            global().set_timeout_with_callback_and_timeout_and_arguments_0(&wake, ms).expect("a timer");
        });
        timer.await.expect("a timer's promise is never rejected");
    }
}

pub(crate) fn global() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

async fn fetch(request: &Request) -> Result<Response, JsValue> {
    let init: RequestInit = object(&request.headers, |json| {
        // A redirect would carry the provider's credential to another address.
        json.raw(",\"redirect\":\"manual\",\"method\":").text(request.method.as_str());
    })?;
    if !request.body.is_empty() {
        init.set_body(&Uint8Array::from(request.body.as_slice()));
    }
    init.set_signal(Some(&AbortSignal::timeout_with_u32(request.timeout_ms)));
    let answer: web_sys::Response =
        global().fetch_with_str_and_init(&request.url, &init).await?.unchecked_into();
    let from = answer.headers();
    let headers = READ_HEADERS.iter().filter_map(|&name| Some((name, lookup(&from, name)?))).collect();
    // One read: `worker::Response` reads chunk by chunk, which costs 0.6 ms more per 150 KB.
    let body = Uint8Array::new(&answer.array_buffer()?.await?).to_vec();
    Ok(Response { status: answer.status(), headers, body })
}

/// The deadline's error is a `DOMException` named `TimeoutError`; everything else is a connection that failed.
fn no_answer(error: &JsValue) -> NoAnswer {
    let name = Reflect::get(error, &"name".into()).unwrap_or_default();
    if name.as_string().is_some_and(|it| it == "TimeoutError") {
        NoAnswer::TimedOut
    } else {
        NoAnswer::Broken
    }
}

impl Clock for Platform {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970")]
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }
}

impl Random for Platform {
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the platform has randomness");
    }
}

impl Signatures for Platform {
    async fn is_rs256(&self, key: &RsaKey, signed: &[u8], signature: &[u8]) -> bool {
        verify(key, signed, signature).await.is_ok_and(|it| it.is_truthy())
    }
}

/// The platform's own `RSASSA-PKCS1-v1_5`. The bytes are copied: the runtime reads them when this memory may have grown.
async fn verify(key: &RsaKey, signed: &[u8], signature: &[u8]) -> Result<JsValue, JsValue> {
    let subtle = global().crypto()?.subtle();
    let algorithm: Object = JSON::parse(r#"{"name":"RSASSA-PKCS1-v1_5","hash":"SHA-256"}"#)?.unchecked_into();
    let jwk = Object::new();
    for (name, value) in [("kty", "RSA"), ("alg", "RS256"), ("n", &key.n), ("e", &key.e)] {
        Reflect::set(&jwk, &name.into(), &value.into())?;
    }
    let usages = JSON::parse(r#"["verify"]"#)?;
    let key: CryptoKey =
        subtle.import_key_with_object("jwk", &jwk, &algorithm, false, &usages)?.await?.unchecked_into();
    let (signature, signed) = (Uint8Array::from(signature), Uint8Array::from(signed));
    subtle
        .verify_with_object_and_buffer_source_and_buffer_source(&algorithm, &key, &signature, &signed)?
        .await
}

impl Log for Platform {
    fn log(&self, line: &str) {
        console::log_1(&line.into());
    }

    fn tell(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}
