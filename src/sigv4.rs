//! Signature Version 4: how AWS, and every object store that speaks S3, knows who sends a request ("Create a signed AWS API
//! request", AWS Identity and Access Management User Guide). All headers of a request are signed; path and query are as they
//! are signed already: encoded, the query sorted. What is sent, and with whose key, is decided by the callers.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::encoding::rfc3339;
use crate::http::Request;
use crate::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    /// Only temporary keys have one.
    pub(crate) session_token: Option<Secret>,
}

/// Adds date, token and signature for one service of one region. A signature is good for five minutes.
pub(crate) fn sign(request: &mut Request, key: &Key, region: &str, service: &str, now_secs: u64) {
    // `20150830T123600Z`
    let date: String = rfc3339(now_secs).chars().filter(|it| !matches!(it, '-' | ':')).collect();
    let scope = format!("{}/{region}/{service}/aws4_request", &date[..8]);
    if let Some(token) = &key.session_token {
        request.headers.push(("x-amz-security-token", token.expose().to_owned()));
    }
    request.headers.push(("x-amz-date", date.clone()));
    let (canonical, signed_headers) = canonical(request);
    let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", key.secret.expose());
    let signing_key = [&date[..8], region, service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(&hmac(&signing_key, to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        key.id
    );
    request.headers.push(("authorization", authorization));
}

/// The request in the one spelling that is signed, and the names of its headers. Whoever sends it adds the host by its URL.
fn canonical(request: &Request) -> (String, String) {
    let (_, rest) = request.url.split_once("://").unwrap_or(("", &request.url));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let mut headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (*name, value.trim())).collect();
    headers.push(("host", host));
    headers.sort_unstable();
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let lines = lines.concat();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let method = request.method.as_str();
    let text =
        format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", hex(&Sha256::digest(&request.body)));
    (text, names)
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|it| [it >> 4, it & 15]).map(|it| char::from(DIGITS[usize::from(it)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    /// Of AWS's "Signature Version 4 test suite": key, host, date, region and service of every case.
    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const HOST: &str = "https://example.amazonaws.com";
    /// 2015-08-30T12:36:00Z.
    const NOW_SECS: u64 = 1_440_938_160;

    fn authorization(method: Method, content_type: Option<&str>, body: &str, token: Option<&str>) -> String {
        authorization_of("/", method, content_type, body, token)
    }

    fn authorization_of(
        target: &str,
        method: Method,
        content_type: Option<&str>,
        body: &str,
        token: Option<&str>,
    ) -> String {
        let headers = content_type.map(|it| ("content-type", it.to_owned())).into_iter().collect();
        let body = body.as_bytes().to_vec();
        let mut request = Request { method, url: format!("{HOST}{target}"), headers, body, timeout_ms: 1 };
        let key = Key { id: ID.into(), secret: Secret::new(SECRET), session_token: token.map(Secret::new) };
        sign(&mut request, &key, "us-east-1", "service", NOW_SECS);
        let value = |name: &str| request.headers.iter().find(|(it, _)| *it == name).map(|(_, it)| it.clone());
        assert_eq!(value("x-amz-date").as_deref(), Some("20150830T123600Z"));
        assert_eq!(value("x-amz-security-token").as_deref(), token);
        value("authorization").expect("a signature")
    }

    fn signed_as(headers: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        )
    }

    #[test]
    fn signatures_are_those_of_awss_test_suite() {
        // get-vanilla
        let want = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(authorization(Method::Get, None, "", None), signed_as("host;x-amz-date", want));
        // post-vanilla
        let want = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        assert_eq!(authorization(Method::Post, None, "", None), signed_as("host;x-amz-date", want));
        // get-vanilla-query-order-key-case, get-vanilla-query-unreserved, get-unreserved
        let want = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        let query = "/?Param1=value1&Param2=value2";
        assert_eq!(authorization_of(query, Method::Get, None, "", None), signed_as("host;x-amz-date", want));
        let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let want = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197";
        let query = format!("/?{unreserved}={unreserved}");
        assert_eq!(authorization_of(&query, Method::Get, None, "", None), signed_as("host;x-amz-date", want));
        let want = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f";
        assert_eq!(
            authorization_of(&format!("/{unreserved}"), Method::Get, None, "", None),
            signed_as("host;x-amz-date", want)
        );
        // post-x-www-form-urlencoded
        let want = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let form = Some("application/x-www-form-urlencoded");
        let signed = authorization(Method::Post, form, "Param1=value1", None);
        assert_eq!(signed, signed_as("content-type;host;x-amz-date", want));
        // post-sts-header-before
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let want = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        let signed = authorization(Method::Post, None, "", Some(token));
        assert_eq!(signed, signed_as("host;x-amz-date;x-amz-security-token", want));
    }

    #[test]
    fn the_host_has_its_port_and_the_path_is_signed() {
        let request = |url: &str| Request {
            method: Method::Post,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 1,
        };
        let (text, names) = canonical(&request("http://127.0.0.1:5000"));
        assert!(text.starts_with("POST\n/\n\nhost:127.0.0.1:5000\n"), "{text}");
        assert_eq!(names, "host");
        assert!(canonical(&request("http://h/ec2/x")).0.starts_with("POST\n/ec2/x\n\nhost:h\n"));
    }
}
