//! Links that sign a browser in: checking the token that the Worker signed.
//!
//! That each is used once only is remembered elsewhere.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The token's random part, if the token is genuine, for this VM, and still valid.
pub(crate) fn check(token: &str, link_key: &str, vm: &str, now_secs: u64) -> Option<String> {
    let (claims, signature) = token.split_once('.')?;
    let key = BASE64_URL_SAFE_NO_PAD.decode(link_key.trim_end_matches('=')).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(claims.as_bytes());
    mac.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let valid = claims["vm"].as_str() == Some(vm) && claims["exp"].as_u64().is_some_and(|exp| exp > now_secs);
    claims["n"].as_str().filter(|n| valid && !n.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(claims: &str, key: &[u8]) -> String {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(claims.as_bytes());
        format!("{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn only_a_genuine_token_for_this_vm_and_time_passes() {
        let (key, other) = ([7_u8; 32], [8_u8; 32]);
        let shared = BASE64_URL_SAFE_NO_PAD.encode(key);
        let good = r#"{"vm":"a","exp":100,"n":"x"}"#;
        assert_eq!(check(&sign(good, &key), &shared, "a", 99).as_deref(), Some("x"));
        assert_eq!(check(&sign(good, &key), &shared, "a", 100), None, "expired");
        assert_eq!(check(&sign(good, &key), &shared, "b", 99), None, "another VM's");
        assert_eq!(check(&sign(good, &other), &shared, "a", 99), None, "signed with another key");
        assert_eq!(check(&sign(r#"{"vm":"a","exp":100}"#, &key), &shared, "a", 99), None, "without a nonce");
        for text in ["", ".", "a.b", &format!("{}x", sign(good, &key))] {
            assert_eq!(check(text, &shared, "a", 99), None, "{text}");
        }
    }
}
