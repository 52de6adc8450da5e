//! A bucket in memory, with R2's rules: what is there is not overwritten, a digest is checked, a page has so many objects.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use mayfly::bucket::{Bucket, BucketError, Entry, PAGE, Page, Put, Span};
use mayfly::http::{Body, BodyError, NoAnswer};
use mayfly::relay::{Onward, Relay};
use sha2::{Digest as _, Sha256};

use super::upstream::Upstream;

/// The objects; clones are the same bucket.
#[derive(Clone, Default)]
pub(crate) struct Store(Rc<Inner>);

#[derive(Default)]
struct Inner {
    objects: RefCell<BTreeMap<String, (Vec<u8>, u64)>>,
    broken: Cell<bool>,
    now_secs: Cell<u64>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// From now on nothing works.
    pub(crate) fn fail(&self) {
        self.0.broken.set(true);
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.objects.borrow().keys().cloned().collect()
    }

    pub(crate) fn put(&self, key: &str, body: Vec<u8>) {
        self.0.objects.borrow_mut().insert(key.to_owned(), (body, self.0.now_secs.get()));
    }

    /// What is stored from now on is of this time.
    pub(crate) fn at(&self, now_secs: u64) {
        self.0.now_secs.set(now_secs);
    }

    fn check(&self) -> Result<(), BucketError> {
        if self.0.broken.get() { Err(BucketError::Failed("broken by the test".into())) } else { Ok(()) }
    }

    fn size(&self, key: &str) -> Result<Option<u64>, BucketError> {
        self.check()?;
        Ok(self.0.objects.borrow().get(key).map(|(body, _)| body.len() as u64))
    }

    fn part(&self, key: &str, span: Option<Span>) -> Result<Option<(Vec<u8>, u64)>, BucketError> {
        self.check()?;
        let objects = self.0.objects.borrow();
        let Some((body, _)) = objects.get(key) else { return Ok(None) };
        let index = |it: u64| usize::try_from(it).unwrap_or(usize::MAX).min(body.len());
        let (start, end) = match span {
            None => (0, body.len()),
            Some(Span::From { offset, .. }) if offset >= body.len() as u64 => {
                return Err(BucketError::OutOfRange);
            }
            Some(Span::From { offset, length }) => {
                (index(offset), length.map_or(body.len(), |it| index(offset.saturating_add(it))))
            }
            Some(Span::Last(length)) => (body.len() - index(length), body.len()),
        };
        Ok(Some((body[start..end].to_vec(), body.len() as u64)))
    }

    fn put_new(&self, key: &str, body: Vec<u8>, sha256: Option<&str>) -> Result<Put, BucketError> {
        self.check()?;
        if self.0.objects.borrow().contains_key(key) {
            return Ok(Put::Exists);
        }
        let digest = Sha256::digest(&body).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        if sha256.is_some_and(|it| it != digest) {
            return Err(BucketError::WrongDigest);
        }
        self.put(key, body);
        Ok(Put::Stored)
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        self.check()?;
        let objects = self.0.objects.borrow();
        let found = objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && cursor.is_none_or(|cursor| key.as_str() > cursor));
        let entry = |(key, (body, stored_secs)): (&String, &(Vec<u8>, u64))| Entry {
            key: key.clone(),
            size: body.len() as u64,
            stored_secs: *stored_secs,
        };
        let mut entries: Vec<Entry> = found.take(PAGE + 1).map(entry).collect();
        let more = entries.len() > PAGE;
        entries.truncate(PAGE);
        let cursor = entries.last().filter(|_| more).map(|it| it.key.clone());
        Ok(Page { entries, cursor })
    }

    fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        self.check()?;
        assert!((1..=PAGE).contains(&keys.len()), "R2 takes 1 to {PAGE} keys, not {}", keys.len());
        self.0.objects.borrow_mut().retain(|key, _| !keys.contains(key));
        Ok(())
    }
}

/// A caller's connection: the body, and the bucket where there is one.
pub(crate) struct Connection<B> {
    pub(crate) body: B,
    pub(crate) store: Option<Store>,
    /// The object, or another server's answer, that was to be the answer's body.
    pub(crate) sent: Vec<u8>,
    /// Another server, and those of its headers that were to be the answer's.
    pub(crate) upstream: Upstream,
    pub(crate) passed: Vec<(String, String)>,
}

impl<B: Body> Relay for Connection<B> {
    async fn relay(&mut self, onward: Onward) -> Result<u16, NoAnswer> {
        let body = self.body.read(usize::MAX).await.map_err(|_| NoAnswer::Broken)?;
        let told = self.upstream.clone().answer(onward, body, self).await?;
        (self.sent, self.passed) = (told.body, told.headers);
        Ok(told.status)
    }
}

impl<B: Body> Body for Connection<B> {
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.body.read(max_bytes).await
    }
}

impl<B: Body> Bucket for Connection<B> {
    fn is_bound(&self) -> bool {
        self.store.is_some()
    }

    async fn size(&self, key: &str) -> Result<Option<u64>, BucketError> {
        self.bound().size(key)
    }

    async fn send(&mut self, key: &str, span: Option<Span>) -> Result<Option<u64>, BucketError> {
        let Some((part, size)) = self.bound().part(key, span)? else { return Ok(None) };
        self.sent = part;
        Ok(Some(size))
    }

    async fn receive(&mut self, key: &str, sha256: Option<&str>) -> Result<Put, BucketError> {
        let body = self.body.read(usize::MAX).await.map_err(|it| BucketError::Failed(format!("{it:?}")))?;
        self.bound().put_new(key, body, sha256)
    }

    async fn put(&self, key: &str, body: &[u8]) -> Result<(), BucketError> {
        self.bound().check()?;
        self.bound().put(key, body.to_vec());
        Ok(())
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        self.bound().list(prefix, cursor)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        self.bound().delete(keys)
    }
}

impl<B> Connection<B> {
    fn bound(&self) -> &Store {
        self.store.as_ref().expect("the bucket is asked only where there is one")
    }
}
