//! The object store as a port: what backups ask of it. The bytes of objects never pass through the core: the port moves
//! them between the caller's connection and the bucket. Which keys there are is `backup`'s to say.

/// Name of the binding.
pub const BINDING: &str = "BACKUPS";
/// Objects of one listing at the most.
pub const PAGE: usize = 1000;

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// From a byte on: so many, or all that follow.
    From {
        /// The first byte.
        offset: u64,
        /// How many at the most; never 0.
        length: Option<u64>,
    },
    /// So many at the end; never 0.
    Last(u64),
}

/// What became of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is there, whole.
    Stored,
    /// There was one of this key, and it stays as it is.
    Exists,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was stored, Unix seconds.
    pub stored_secs: u64,
}

/// A page of a listing, in the order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most [`PAGE`].
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
}

/// Why the bucket did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketError {
    /// The object ends before the span begins.
    OutOfRange,
    /// The body is not what its SHA-256 says; nothing was stored.
    WrongDigest,
    /// The caller's body broke off, or the bucket failed; nothing was stored. The text is for the log.
    Failed(String),
}

/// The bucket, as one caller's connection reaches it.
#[expect(async_fn_in_trait, reason = "futures need not be Send: a Worker has one thread")]
pub trait Bucket {
    /// Whether there is one. Nothing else may be called without.
    fn is_bound(&self) -> bool;
    /// An object's size, if there is one.
    async fn size(&self, key: &str) -> Result<Option<u64>, BucketError>;
    /// Makes the object, or a part of it, the body of the answer. Resolves to the size of the whole.
    async fn send(&mut self, key: &str, span: Option<Span>) -> Result<Option<u64>, BucketError>;
    /// Stores the caller's body, unless an object of the key is there; with a SHA-256 (hexadecimal) only if it is the body's.
    async fn receive(&mut self, key: &str, sha256: Option<&str>) -> Result<Put, BucketError>;
    /// Stores a small object, in place of one that may be there.
    async fn put(&self, key: &str, body: &[u8]) -> Result<(), BucketError>;
    /// Lists what begins with a prefix.
    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError>;
    /// Deletes at most [`PAGE`] objects. One that is not there is no error.
    async fn delete(&self, keys: &[String]) -> Result<(), BucketError>;
}
