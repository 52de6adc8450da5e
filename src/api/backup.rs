//! The backup store: restic's REST protocol, version 2, over the bucket. A capability names one workspace and so the only
//! place that it reaches; no provider is asked. Nothing is overwritten, and little can be deleted.
//!
//! Objects but the `config` are named by their SHA-256: the bucket checks it, so one that is there already is the same.

use serde::Serialize;

use super::auth::VmIdentity;
use super::wire::json;
use super::{Ctx, Problem};
use crate::backup::{Kind, OBJECT_MAX_BYTES, Target};
use crate::bucket::{Bucket, BucketError, Entry, Put, Span};
use crate::http::{Host, Log, Reply};
use crate::keys::Scope;

/// Media types that name the protocol's versions, in `Accept` and as the answer's `Content-Type`.
const V1: &str = "application/vnd.x.restic.rest.v1";
const V2: &str = "application/vnd.x.restic.rest.v2";
/// Media type of objects.
const OCTETS: &str = "application/octet-stream";

/// How long somebody may be at making a repository, seconds.
const MAKING_SECS: u64 = 600;

#[derive(Serialize)]
struct Created {
    created: bool,
}

#[derive(Serialize)]
struct Deleted {
    deleted: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    size: u64,
}

/// `GET` and `HEAD`: an object, a part of it, its size, or a list.
pub(super) async fn read<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    path: &str,
    bucket: &mut impl Bucket,
) -> Result<Reply, Problem> {
    let (target, key) = place(ctx, who, path, bucket)?;
    match target {
        Target::Repository => Err(Problem::method_not_allowed("POST".to_owned())),
        Target::List(kind) => list(ctx, &key, kind, bucket).await,
        Target::Config | Target::Object(..) if ctx.head.method == "HEAD" => {
            let size = bucket.size(&key).await.map_err(|it| failed(ctx, it))?.ok_or_else(no_object)?;
            Ok(octets(200, vec![("content-length", size.to_string())]))
        }
        Target::Config | Target::Object(..) => {
            let span = (ctx.head.header)("range").as_deref().and_then(parse_range);
            let size = bucket.send(&key, span).await.map_err(|it| failed(ctx, it))?.ok_or_else(no_object)?;
            Ok(match span {
                None => octets(200, Vec::new()),
                Some(span) => octets(206, vec![("content-range", content_range(span, size))]),
            })
        }
    }
}

/// `POST`: a new object, or the repository itself, which needs nothing to be made.
pub(super) async fn write<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    path: &str,
    bucket: &mut impl Bucket,
) -> Result<Reply, Problem> {
    let (target, key) = place(ctx, who, path, bucket)?;
    let sha256 = match target {
        Target::Repository if ctx.head.query == "create=true" => {
            forget_half_made(ctx, &key, bucket).await.map_err(|it| failed(ctx, it))?;
            return Ok(json(200, &Created { created: true }));
        }
        Target::Repository => {
            return Err(Problem::invalid_field("create", "must be true: POST …/?create=true"));
        }
        Target::List(_) => return Err(Problem::method_not_allowed("GET".to_owned())),
        Target::Config => None,
        Target::Object(_, id) => Some(id),
    };
    let length = (ctx.head.header)("content-length").and_then(|it| it.parse::<u64>().ok());
    let length = length
        .ok_or_else(|| Problem::new(411, "length_required", "An object needs its length: Content-Length."))?;
    if length > OBJECT_MAX_BYTES {
        let detail =
            format!("The object is longer than {OBJECT_MAX_BYTES} bytes: use a smaller --pack-size.");
        return Err(Problem::new(413, "body_too_long", detail));
    }
    let put = bucket.receive(&key, sha256).await.map_err(|it| failed(ctx, it))?;
    match (put, target) {
        (Put::Exists, Target::Config) => {
            Err(Problem::new(403, "object_exists", "The repository has a config; nothing is overwritten."))
        }
        (put, _) => Ok(json(200, &Created { created: put == Put::Stored })),
    }
}

/// restic makes a repository's key first and its config next, and makes none where it finds a key. A key without a config, of a
/// making that was cut off, would be in the way for ever: nothing can be read with it, so it goes. A young one may be at
/// work, and where a snapshot is, a config is only out of sight.
async fn forget_half_made<H: Host>(
    ctx: &Ctx<'_, H>,
    key: &str,
    bucket: &impl Bucket,
) -> Result<(), BucketError> {
    let place = key.trim_end_matches('/');
    let keys = bucket.list(&format!("{place}/{}/", Kind::Keys.as_str()), None).await?.entries;
    let is_at_work = keys.iter().any(|it| it.stored_secs + MAKING_SECS > ctx.now_secs);
    if keys.is_empty() || is_at_work || bucket.size(&format!("{place}/config")).await?.is_some() {
        return Ok(());
    }
    let snapshots = bucket.list(&format!("{place}/{}/", Kind::Snapshots.as_str()), None).await?.entries;
    if snapshots.is_empty() {
        bucket.delete(&keys.into_iter().map(|it| it.key).collect::<Vec<String>>()).await?;
    }
    Ok(())
}

/// `DELETE`: locks; with a `prune` capability also what restic takes out of use. Never what makes a repository readable.
pub(super) async fn delete<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    path: &str,
    bucket: &mut impl Bucket,
) -> Result<Reply, Problem> {
    let (target, key) = place(ctx, who, path, bucket)?;
    let may = match target {
        Target::Repository | Target::List(_) => {
            return Err(Problem::method_not_allowed("GET, POST".to_owned()));
        }
        Target::Config | Target::Object(Kind::Keys, _) => false,
        Target::Object(Kind::Locks, _) => true,
        Target::Object(Kind::Data | Kind::Index | Kind::Snapshots, _) => who.claims().scope == Scope::Prune,
    };
    if !may {
        return Err(Problem::new(403, "wrong_scope", "The capability is not good for deleting this."));
    }
    bucket.delete(&[key]).await.map_err(|it| failed(ctx, it))?;
    Ok(json(200, &Deleted { deleted: true }))
}

/// What a path means, and its key. Whoever asks outside of their workspace hears nothing of what is there.
fn place<'p, H>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    path: &'p str,
    bucket: &impl Bucket,
) -> Result<(Target<'p>, String), Problem> {
    let claims = who.claims();
    let rest = path.strip_prefix(claims.workspace.as_str()).and_then(|it| it.strip_prefix('/'));
    let (false, Some(rest)) = (claims.workspace.is_empty(), rest) else {
        return Err(Problem::new(403, "wrong_workspace", "The capability is for another workspace."));
    };
    let target = Target::parse(rest).ok_or_else(Problem::no_such_path)?;
    if !bucket.is_bound() || ctx.ready.config.backup_s3.is_some() {
        return Err(not_configured());
    }
    Ok((target, format!("{}/{path}", ctx.ready.config.deployment)))
}

/// All objects of a kind, as restic wants them: version 2 with sizes, version 1 without.
async fn list<H: Host>(
    ctx: &Ctx<'_, H>,
    prefix: &str,
    kind: Kind,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let version = if (ctx.head.header)("accept").as_deref() == Some(V2) { V2 } else { V1 };
    let mut body = vec![b'['];
    let mut cursor = None;
    loop {
        let page = bucket.list(prefix, cursor.as_deref()).await.map_err(|it| failed(ctx, it))?;
        for Entry { key, size, .. } in &page.entries {
            let name = key.strip_prefix(prefix).unwrap_or_default();
            // Nothing else can be there: whatever is, was stored under such a name.
            if Target::parse(&format!("{}/{name}", kind.as_str())).is_none() {
                continue;
            }
            if body.len() > 1 {
                body.push(b',');
            }
            let item = if version == V2 {
                serde_json::to_vec(&Listed { name, size: *size })
            } else {
                serde_json::to_vec(name)
            };
            body.extend(item.unwrap_or_default());
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    body.push(b']');
    Ok(Reply { status: 200, headers: vec![("content-type", version.to_owned())], body })
}

fn octets(status: u16, more: Vec<(&'static str, String)>) -> Reply {
    let headers = [vec![("content-type", OCTETS.to_owned())], more].concat();
    Reply { status, headers, body: Vec::new() }
}

/// One range of bytes (RFC 9110 section 14.1.2). What is anything else does not count: the whole object is right, too.
fn parse_range(text: &str) -> Option<Span> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |it: &str| {
        let digits = it.bytes().all(|it| it.is_ascii_digit());
        if digits { it.parse::<u64>().ok() } else { None }
    };
    if first.is_empty() {
        return number(last).filter(|it| *it > 0).map(Span::Last);
    }
    let offset = number(first)?;
    if last.is_empty() {
        return Some(Span::From { offset, length: None });
    }
    let length = number(last)?.checked_sub(offset)?.checked_add(1)?;
    Some(Span::From { offset, length: Some(length) })
}

/// Which bytes of how many an answer has.
fn content_range(span: Span, size: u64) -> String {
    let (first, last) = match span {
        Span::From { offset, length } => {
            (offset, length.map_or(size, |it| size.min(offset.saturating_add(it))))
        }
        Span::Last(length) => (size.saturating_sub(length), size),
    };
    format!("bytes {first}-{}/{size}", last.saturating_sub(1))
}

/// What is missing, for whoever configures the Worker.
pub(super) fn not_configured() -> Problem {
    let detail = "There are no backups here: they take BACKUP_KEY, and an R2 bucket, bound as BACKUPS in wrangler.toml, or BACKUP_S3_BUCKET.";
    Problem::new(404, "backups_not_configured", detail)
}

fn no_object() -> Problem {
    Problem::new(404, "object_not_found", "There is no such object.")
}

pub(super) fn failed<H: Host>(ctx: &Ctx<'_, H>, error: BucketError) -> Problem {
    match error {
        BucketError::OutOfRange => {
            Problem::new(416, "out_of_range", "The object ends before the range begins.")
        }
        BucketError::WrongDigest => {
            Problem::new(400, "body_broken", "The body is not what its name says; nothing was stored.")
        }
        BucketError::Failed(why) => {
            let line = serde_json::json!({ "event": "bucket", "detail": why });
            ctx.host.log(&line.to_string());
            Problem::new(502, "bucket_failed", "The bucket did not do it; nothing was changed. Try again.")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_and_answered_as_rfc_9110_says() {
        let from = |offset, length| Some(Span::From { offset, length });
        for (text, span, answer) in [
            ("bytes=0-", from(0, None), "bytes 0-99/100"),
            ("bytes=10-19", from(10, Some(10)), "bytes 10-19/100"),
            ("bytes=90-200", from(90, Some(111)), "bytes 90-99/100"),
            ("bytes=-30", Some(Span::Last(30)), "bytes 70-99/100"),
            ("bytes=-300", Some(Span::Last(300)), "bytes 0-99/100"),
        ] {
            assert_eq!(parse_range(text), span, "{text}");
            assert_eq!(span.map(|it| content_range(it, 100)).as_deref(), Some(answer));
        }
        for text in
            ["", "bytes=", "bytes=-", "bytes=-0", "bytes=9-8", "bytes=1-2,4-5", "bytes=+1-2", "lines=1-2"]
        {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_range_panics(text in "(bytes=)?[0-9-]{0,45}", size in any::<u64>()) {
            if let Some(span) = parse_range(&text) {
                content_range(span, size);
            }
        }
    }
}
