//! The core's port to the object store on an R2 bucket. Bodies go from the request to the bucket and from the bucket to the
//! response as the runtime's own streams: not a byte of them comes in here.

use js_sys::{Array, Date, Object, Promise, Reflect, Uint8Array};
use mayfly::bucket::{BINDING, Bucket, BucketError, Entry, PAGE, Page, Put, Span};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, ReadableStream};
use worker::Env;

use crate::convert::{Incoming, Sent};

#[wasm_bindgen]
extern "C" {
    /// Cloudflare's `R2Bucket`.
    #[derive(Clone)]
    pub(crate) type R2;
    #[wasm_bindgen(method, catch)]
    fn head(this: &R2, key: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn get(this: &R2, key: &str, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn put(this: &R2, key: &str, body: &JsValue, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn list(this: &R2, options: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &R2, keys: &Array) -> Result<Promise, JsValue>;
}

/// The bucket, where one is bound.
pub(crate) fn bound(env: &Env) -> Option<R2> {
    let bucket = Reflect::get(env, &BINDING.into()).ok()?;
    bucket.is_object().then(|| bucket.unchecked_into())
}

impl Bucket for Incoming<'_> {
    fn is_bound(&self) -> bool {
        self.bucket().is_some()
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, BucketError> {
        let object = run(self.r2()?.head(key)).await?;
        Ok((!object.is_null()).then(|| size_of(&object)))
    }

    async fn send(&mut self, key: &str, span: Option<Span>) -> Result<Option<u64>, BucketError> {
        let options = Object::new();
        if let Some(span) = span {
            let range = Object::new();
            match span {
                Span::Last(length) => set_number(&range, "suffix", length),
                Span::From { offset, length } => {
                    set_number(&range, "offset", offset);
                    if let Some(length) = length {
                        set_number(&range, "length", length);
                    }
                }
            }
            set(&options, "range", &range);
        }
        let object = run(self.r2()?.get(key, &options)).await?;
        if object.is_null() {
            return Ok(None);
        }
        let body = member(&object, "body").dyn_into::<ReadableStream>();
        let body = body.map_err(|_| BucketError::Failed("an object without a body".into()))?;
        self.sent = Some(Sent { body: Some(body), headers: Vec::new() });
        Ok(Some(size_of(&object)))
    }

    async fn receive(&mut self, key: &str, sha256: Option<&str>) -> Result<Put, BucketError> {
        let options = Object::new();
        let only_if = Headers::new().map_err(|it| error(&it))?;
        only_if.set("if-none-match", "*").map_err(|it| error(&it))?;
        set(&options, "onlyIf", &only_if);
        if let Some(sha256) = sha256 {
            set(&options, "sha256", &sha256.into());
        }
        // A request whose length is 0 has no body at all.
        let body = self.request().body().map_or_else(|| "".into(), JsValue::from);
        let object = run(self.r2()?.put(key, &body, &options)).await?;
        Ok(if object.is_null() { Put::Exists } else { Put::Stored })
    }

    async fn put(&self, key: &str, body: &[u8]) -> Result<(), BucketError> {
        put(self.r2()?, key, body).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        list(self.r2()?, prefix, cursor).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        delete(self.r2()?, keys).await
    }
}

/// As the core's [`Bucket::put`], for whoever outlives the caller's connection; so are the next two.
pub(crate) async fn put(r2: &R2, key: &str, body: &[u8]) -> Result<(), BucketError> {
    run(r2.put(key, &Uint8Array::from(body).into(), &JsValue::UNDEFINED)).await.map(drop)
}

pub(crate) async fn list(r2: &R2, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
    let options = Object::new();
    set(&options, "prefix", &prefix.into());
    set_number(&options, "limit", PAGE as u64);
    if let Some(cursor) = cursor {
        set(&options, "cursor", &cursor.into());
    }
    let listed = run(r2.list(&options)).await?;
    let entry = |object: JsValue| Entry {
        key: member(&object, "key").as_string().unwrap_or_default(),
        size: size_of(&object),
        stored_secs: member(&object, "uploaded").dyn_into().map_or(0, |it: Date| whole(it.get_time()) / 1000),
    };
    let entries = Array::from(&member(&listed, "objects")).iter().map(entry).collect();
    Ok(Page { entries, cursor: member(&listed, "cursor").as_string() })
}

pub(crate) async fn delete(r2: &R2, keys: &[String]) -> Result<(), BucketError> {
    let keys = keys.iter().map(JsValue::from).collect();
    run(r2.delete(&keys)).await.map(drop)
}

impl Incoming<'_> {
    fn r2(&self) -> Result<&R2, BucketError> {
        self.bucket().ok_or_else(|| BucketError::Failed("no bucket is bound".into()))
    }
}

/// Waits for what the bucket promised.
async fn run(promise: Result<Promise, JsValue>) -> Result<JsValue, BucketError> {
    promise.map_err(|it| error(&it))?.await.map_err(|it| error(&it))
}

/// R2's errors are texts that end in a code (R2 documentation, "Error codes").
fn error(error: &JsValue) -> BucketError {
    let text = member(error, "message").as_string().unwrap_or_default();
    if text.contains("(10039)") {
        BucketError::OutOfRange
    } else if text.contains("(10037)") {
        BucketError::WrongDigest
    } else {
        BucketError::Failed(text)
    }
}

fn member(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or_default()
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // A new plain object takes everything.
    let _ = Reflect::set(object, &name.into(), value);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of objects are far below 2^53, and what is above ends them all"
)]
fn set_number(object: &Object, name: &str, value: u64) {
    set(object, name, &(value as f64).into());
}

fn size_of(object: &JsValue) -> u64 {
    member(object, "size").as_f64().map_or(0, whole)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and times are whole and not negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}
