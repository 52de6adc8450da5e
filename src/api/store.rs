//! Where backups are kept: the bucket that is bound, or a store that restic on the VM speaks to itself. Which one it is,
//! nobody beyond this file asks.

use super::Ctx;
use super::backup::not_configured;
use crate::api::Problem;
use crate::bucket::{Bucket, BucketError, Page};
use crate::http::{Counted, Host};
use crate::s3;

/// What can be asked of either.
pub(super) enum Store<'a, H, B> {
    R2(&'a B),
    S3(s3::S3<'a, Counted<'a, H>>),
}

/// Where backups are kept, as `GET /options` says it.
pub(super) fn kind<H>(ctx: &Ctx<'_, H>, bucket: &impl Bucket) -> &'static str {
    let config = &ctx.ready.config;
    match (&config.backup_s3, &config.backup_key) {
        (_, None) => "none",
        (Some(_), _) => "s3",
        (None, _) if bucket.is_bound() => "r2",
        (None, _) => "none",
    }
}

impl<'a, H: Host, B: Bucket> Store<'a, H, B> {
    /// A problem where there is neither.
    pub(super) fn of(ctx: &Ctx<'a, H>, bucket: &'a B) -> Result<Self, Problem> {
        match &ctx.ready.config.backup_s3 {
            Some(config) => Ok(Self::S3(s3::S3::new(config, ctx.host))),
            None if bucket.is_bound() => Ok(Self::R2(bucket)),
            None => Err(not_configured()),
        }
    }

    pub(super) async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        match self {
            Self::R2(bucket) => bucket.list(prefix, cursor).await,
            Self::S3(store) => store.list(prefix, cursor).await,
        }
    }

    pub(super) async fn mark(&self, key: &str) -> Result<(), BucketError> {
        match self {
            Self::R2(bucket) => bucket.put(key, &[]).await,
            Self::S3(store) => store.mark(key).await,
        }
    }

    pub(super) async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        match self {
            Self::R2(bucket) => bucket.delete(keys).await,
            Self::S3(store) => store.delete(keys).await,
        }
    }
}
