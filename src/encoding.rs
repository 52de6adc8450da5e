//! Base32 and base64url, and RFC 3339 times: the few encodings that labels, tokens and answers share.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 4648 base32 alphabet in small letters, so that the result is a label and a host name.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Base32 without padding: 16 bytes give 26 characters.
pub fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(BASE32[(buffer >> bits) as usize & 31].into());
        }
    }
    if bits > 0 {
        out.push(BASE32[(buffer << (5 - bits)) as usize & 31].into());
    }
    out
}

/// The inverse of [`base32`]; `None` for other characters.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0);
    for it in text.bytes() {
        let value = BASE32.iter().position(|known| *known == it)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
        }
    }
    Some(out)
}

/// Base64 for URLs without padding (RFC 4648 section 5).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`base64url`].
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `2026-11-20T10:00:00Z`; times past the year 9999 are shown as the epoch.
pub fn rfc3339(secs: u64) -> String {
    i64::try_from(secs)
        .ok()
        .and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok())
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".into())
}

/// Seconds since the Unix epoch of an RFC 3339 time.
pub fn from_rfc3339(text: &str) -> Option<u64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|it| u64::try_from(it.unix_timestamp()).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_agrees_with_the_rfc() {
        // RFC 4648 section 10.
        for (plain, encoded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(plain.as_bytes()), encoded);
        }
        assert_eq!(base32(&[0xff; 16]).len(), 26);
        assert_eq!(from_base32("MZXQ"), None);
    }

    #[test]
    fn times_go_both_ways() {
        assert_eq!(rfc3339(1_795_168_800), "2026-11-20T10:00:00Z");
        assert_eq!(from_rfc3339("2026-11-20T11:00:00.5+01:00"), Some(1_795_168_800));
        assert_eq!(from_rfc3339("yesterday"), None);
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn base32_goes_both_ways(bytes: Vec<u8>) {
            prop_assert_eq!(from_base32(&base32(&bytes)), Some(bytes));
        }

        #[test]
        fn decoding_garbage_never_panics(text in "\\PC{0,80}") {
            let _ = (from_base32(&text), from_base64url(&text), from_rfc3339(&text));
        }
    }
}
