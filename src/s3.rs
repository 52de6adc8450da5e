//! An object store that speaks S3, as far as the Worker asks it itself: what is in it, a mark in it, forgetting what is there.
//! Backups come and go without the Worker: restic on the VM speaks to the store. Calls and answers are those of the Amazon S3
//! API Reference (2006-03-01), addressed by path, which every such store takes.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::bucket::{BucketError, Entry, PAGE, Page};
use crate::config::S3Config;
use crate::encoding::from_rfc3339;
use crate::http::{Host, Method, NoAnswer, PROVIDER_TIMEOUT_MS, Request};
use crate::sigv4::{self, Key};
use crate::xml::Element;

/// Longest code of an error that is repeated in the log.
const CODE_MAX_CHARS: usize = 40;

/// A store that is configured, and the way to it.
pub struct S3<'a, H> {
    config: &'a S3Config,
    host: &'a H,
}

impl<'a, H: Host> S3<'a, H> {
    /// Asks nothing yet.
    pub fn new(config: &'a S3Config, host: &'a H) -> Self {
        Self { config, host }
    }

    /// Lists what begins with a prefix (`ListObjectsV2`), in the order of keys.
    pub async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, BucketError> {
        parse_page(&self.send(list_request(self.config, prefix, cursor), &[200]).await?)
    }

    /// Stores an empty object, in place of one that may be there (`PutObject`): its time says something.
    pub async fn mark(&self, key: &str) -> Result<(), BucketError> {
        self.send(mark_request(self.config, key), &[200]).await.map(drop)
    }

    /// Deletes at most [`PAGE`] objects (`DeleteObjects`). One that is not there is no error.
    pub async fn delete(&self, keys: &[String]) -> Result<(), BucketError> {
        parse_deleted(&self.send(delete_request(self.config, keys), &[200]).await?)
    }

    async fn send(&self, mut request: Request, good: &[u16]) -> Result<Vec<u8>, BucketError> {
        request.headers.push(("x-amz-content-sha256", sigv4::hex(&Sha256::digest(&request.body))));
        let config = self.config;
        let key = Key {
            id: config.access_key_id.clone(),
            secret: config.secret_access_key.clone(),
            session_token: None,
        };
        sigv4::sign(&mut request, &key, &config.region, "s3", self.host.now_secs());
        let answer = self.host.send(request).await.map_err(|it| {
            failed(match it {
                NoAnswer::TimedOut => "S3 did not answer in time",
                NoAnswer::Broken => "S3 cannot be reached",
                NoAnswer::Spent => "no more calls may be made",
            })
        })?;
        if good.contains(&answer.status) {
            Ok(answer.body)
        } else {
            Err(refused(answer.status, &answer.body))
        }
    }
}

/// Where restic finds a workspace: its own word for a place in a store.
pub fn repository(config: &S3Config, place: &str) -> String {
    format!("s3:{}/{}/{place}", config.endpoint, config.bucket)
}

fn list_request(config: &S3Config, prefix: &str, cursor: Option<&str>) -> Request {
    let mut query = String::new();
    if let Some(cursor) = cursor {
        let _ = write!(query, "continuation-token={}&", encode(cursor));
    }
    // Sorted, as they are signed.
    let _ = write!(query, "list-type=2&max-keys={PAGE}&prefix={}", encode(prefix));
    request(Method::Get, format!("{}/{}?{query}", config.endpoint, config.bucket), Vec::new())
}

fn mark_request(config: &S3Config, key: &str) -> Request {
    let path: Vec<String> = key.split('/').map(encode).collect();
    request(Method::Put, format!("{}/{}/{}", config.endpoint, config.bucket, path.join("/")), Vec::new())
}

fn delete_request(config: &S3Config, keys: &[String]) -> Request {
    let mut body = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>".to_owned();
    for key in keys {
        let key = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(body, "<Object><Key>{key}</Key></Object>");
    }
    body.push_str("</Delete>");
    let url = format!("{}/{}?delete=", config.endpoint, config.bucket);
    let mut it = request(Method::Post, url, body.into_bytes());
    it.headers.push(("content-type", "application/xml".into()));
    it.headers.push(("content-md5", STANDARD.encode(Md5::digest(&it.body))));
    it
}

fn request(method: Method, url: String, body: Vec<u8>) -> Request {
    Request { method, url, headers: Vec::new(), body, timeout_ms: PROVIDER_TIMEOUT_MS }
}

/// The encoding that is signed: everything but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn parse_page(body: &[u8]) -> Result<Page, BucketError> {
    let malformed = || failed("S3's list is none");
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let root = Element::parse(text).filter(|it| it.name() == "ListBucketResult").ok_or_else(malformed)?;
    let entry = |it: &Element<'_>| {
        Some(Entry {
            key: it.text(&["Key"]).to_owned(),
            size: it.text(&["Size"]).parse().ok()?,
            stored_secs: from_rfc3339(it.text(&["LastModified"]))?,
        })
    };
    let entries = root.all("Contents").map(entry).collect::<Option<Vec<Entry>>>().ok_or_else(malformed)?;
    let cursor = root.text(&["NextContinuationToken"]);
    let is_whole = root.text(&["IsTruncated"]) != "true";
    if !is_whole && cursor.is_empty() {
        return Err(malformed());
    }
    Ok(Page { entries, cursor: (!is_whole).then(|| cursor.to_owned()) })
}

/// With `Quiet` only what failed is named.
fn parse_deleted(body: &[u8]) -> Result<(), BucketError> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let root = Element::parse(text).filter(|it| it.name() == "DeleteResult");
    let root = root.ok_or_else(|| failed("S3's answer to a deletion is none"))?;
    match root.child("Error") {
        None => Ok(()),
        Some(error) => Err(failed(&format!("S3 did not delete: {}", code(error.text(&["Code"]))))),
    }
}

/// The code alone: the message may hold anything.
fn refused(status: u16, body: &[u8]) -> BucketError {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let root = Element::parse(text);
    let word = root.as_ref().map_or("", |it| it.text(&["Code"]));
    failed(&format!("S3 answered {status} {}", code(word)))
}

fn code(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).take(CODE_MAX_CHARS).collect()
}

fn failed(why: &str) -> BucketError {
    BucketError::Failed(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn config() -> S3Config {
        S3Config {
            endpoint: "https://s3.example:9000".into(),
            bucket: "kept".into(),
            region: "eu-central-1".into(),
            access_key_id: "AKID".into(),
            secret_access_key: Secret::new("secret"),
        }
    }

    #[test]
    fn requests_are_written_as_they_are_signed() {
        let list = list_request(&config(), "mayfly/ann/h~o~r=2b/", Some("a b+/="));
        assert_eq!(
            list.url,
            "https://s3.example:9000/kept?continuation-token=a%20b%2B%2F%3D&list-type=2&max-keys=1000&prefix=mayfly%2Fann%2Fh~o~r%3D2b%2F"
        );
        let mark = mark_request(&config(), "mayfly/ann/h~o~r=2b/pruned");
        assert_eq!(mark.url, "https://s3.example:9000/kept/mayfly/ann/h~o~r%3D2b/pruned");
        assert_eq!(
            repository(&config(), "mayfly/ann/h~o~r"),
            "s3:https://s3.example:9000/kept/mayfly/ann/h~o~r"
        );
        let delete = delete_request(&config(), &["a".into(), "b&<c>".into()]);
        let body = String::from_utf8(delete.body).expect("text");
        assert!(
            body.ends_with(
                "<Object><Key>a</Key></Object><Object><Key>b&amp;&lt;c&gt;</Key></Object></Delete>"
            )
        );
        assert!(delete.headers.iter().any(|(name, value)| *name == "content-md5" && value.len() == 24));
    }

    #[test]
    fn lists_are_read_page_by_page_and_nothing_else_passes_for_one() {
        let page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>kept</Name><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>n/1=</NextContinuationToken>\
            <Contents><Key>a/b</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size></Contents>\
            <Contents><Key>a/c&amp;d</Key><LastModified>2026-11-20T10:00:01Z</LastModified><Size>0</Size></Contents></ListBucketResult>";
        let read = parse_page(page.as_bytes()).expect("a page");
        assert_eq!(read.cursor.as_deref(), Some("n/1="));
        let entry = |key: &str, size, stored_secs| Entry { key: key.into(), size, stored_secs };
        assert_eq!(read.entries, [entry("a/b", 7, 1_795_168_800), entry("a/c&d", 0, 1_795_168_801)]);
        let last = page.replace(">true<", ">false<");
        assert_eq!(parse_page(last.as_bytes()).expect("a page").cursor, None);
        for bad in [
            "",
            "<html/>",
            "<Error><Code>NoSuchBucket</Code></Error>",
            &page.replace("n/1=", ""),
            &page.replace("<Size>7</Size>", ""),
            &page.replace("2026-11-20T10:00:01Z", "yesterday"),
        ] {
            assert!(parse_page(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_not_deleted_is_a_failure() {
        assert_eq!(parse_deleted(b"<DeleteResult/>"), Ok(()));
        let partly = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>m</Message></Error></DeleteResult>";
        assert_eq!(parse_deleted(partly.as_bytes()), Err(failed("S3 did not delete: AccessDenied")));
        assert!(parse_deleted(b"").is_err());
        let error = refused(
            403,
            b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>AKID</StringToSign></Error>",
        );
        assert_eq!(error, failed("S3 answered 403 SignatureDoesNotMatch"));
        assert_eq!(refused(502, b"rubbish"), failed("S3 answered 502 "));
    }
}
