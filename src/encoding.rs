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
        let value = match it {
            b'a'..=b'z' => it - b'a',
            b'2'..=b'7' => it - b'2' + 26,
            _ => return None,
        };
        buffer = (buffer << 5) | u32::from(value);
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
    let mut out = Vec::with_capacity(20);
    push_rfc3339(&mut out, secs);
    // Only ASCII was written.
    String::from_utf8(out).unwrap_or_default()
}

/// The same, appended to a buffer. Written out because a list of VMs shows many times, and a formatter that knows every
/// format takes longer than all the rest of it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the days of 10,000 years and the seconds of a day; a digit"
)]
pub(crate) fn push_rfc3339(out: &mut Vec<u8>, secs: u64) {
    /// The first second of the year 10000.
    const END_SECS: u64 = 253_402_300_800;
    let secs = if secs < END_SECS { secs } else { 0 };
    let (days, time) = ((secs / 86_400) as u32, (secs % 86_400) as u32);
    // Days in eras of 400 years that begin on 1 March, so that the leap day comes last: H. Hinnant, "chrono-Compatible
    // Low-Level Date Algorithms", civil_from_days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let digit = |number: u32| b'0' + (number % 10) as u8;
    out.extend_from_slice(&[
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
        b'T',
        digit(time / 36_000),
        digit(time / 3600),
        b':',
        digit(time % 3600 / 600),
        digit(time % 3600 / 60),
        b':',
        digit(time % 60 / 10),
        digit(time % 60),
        b'Z',
    ]);
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
        fn times_agree_with_the_time_crate(secs in prop_oneof![0..=253_402_300_799_u64, any::<u64>()]) {
            let shown = i64::try_from(secs).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
            let shown = shown.and_then(|it| it.format(&Rfc3339).ok());
            prop_assert_eq!(rfc3339(secs), shown.unwrap_or_else(|| "1970-01-01T00:00:00Z".into()));
        }

        #[test]
        fn decoding_garbage_never_panics(text in "\\PC{0,80}") {
            let _ = (from_base32(&text), from_base64url(&text), from_rfc3339(&text));
        }
    }
}
