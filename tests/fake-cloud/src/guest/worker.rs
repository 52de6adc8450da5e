//! The guest's HTTP: one request, one answer, no TLS.
//!
//! A request that has begun goes on even if its guest loses power: on a real network nobody tells the other side.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

const TIMEOUT_SECS: u64 = 30;
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status.
    pub status: u16,
    /// Its JSON, or null.
    pub body: Value,
    /// Seconds to wait, if it says so.
    pub retry_after: Option<u64>,
}

/// A request to be made.
#[derive(Debug)]
pub(crate) struct Call {
    /// Method.
    pub method: Method,
    /// Where, with scheme and path.
    pub url: String,
    /// Where the credential goes; as a bearer if it is `authorization`.
    pub header: &'static HeaderName,
    /// What to authenticate with.
    pub credential: super::vm_file::Secret,
    /// What goes with the credential.
    pub more: Vec<(HeaderName, String)>,
    /// The guest's own address, which the edge in front of a real Worker would know.
    pub address: String,
    /// JSON.
    pub body: Option<Value>,
}

impl Call {
    /// Makes it; the error says why there is no answer, without any secret.
    pub(crate) async fn make(self) -> Result<Reply, String> {
        let made = tokio::spawn(tokio::time::timeout(Duration::from_secs(TIMEOUT_SECS), self.exchange()));
        match made.await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(format!("no answer within {TIMEOUT_SECS} s")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn exchange(self) -> Result<Reply, String> {
        let rest = self.url.strip_prefix("http://").ok_or("only http is spoken in the simulation")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let target = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let stream = TcpStream::connect(target).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let scheme = if *self.header == AUTHORIZATION { "Bearer " } else { "" };
        let mut request = Request::builder()
            .method(self.method)
            .uri(path)
            .header(HOST, authority)
            .header(self.header, format!("{scheme}{}", self.credential.0))
            .header("cf-connecting-ip", self.address)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in self.more {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| "the request cannot be written".to_owned())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or_default(), retry_after })
    }
}
