//! The entries of a packed name: each label in the shortest form that holds its value, and read back. Which labels there are,
//! and which go first, is the parent's business.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::TABLE;
use crate::encoding::{base32, base64url, from_base32, from_base64url};
use crate::labels::{pieces, unpack_text};

/// The digits of numbers: those of base64url.
pub(super) const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Stands before a value that is written as it is although its label has a shorter form.
const PLAIN: usize = 32;
/// The entry of a label that the table does not know: its key, then its value.
pub(super) const OTHER: usize = 31;
/// Longest packed text of several labels, characters: what two digits count.
const TEXT_MAX_CHARS: usize = 4095;

/// How a label's value is written.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Length, stand-in for the dot, characters.
    Plain,
    /// Bytes that are base32 in the label, so many.
    Bytes(usize),
    /// A certificate whose label begins with this, and its SHA-256.
    Certificate(&'static str),
    /// A number of so many digits.
    Number(usize),
    /// One of [`WORDS`].
    Word,
    /// `10472.EUR`.
    Price,
    /// A text packed over several labels.
    Text,
}

/// Values that take one character. Their places are what names hold: new ones go to the end.
pub(super) const WORDS: [&str; 24] = [
    "booting",
    "docker",
    "clone",
    "devcontainer",
    "ui",
    "ready",
    "failed",
    "stopping",
    "stop",
    "snapshot",
    "waiting",
    "done",
    "coding",
    "cloudcli",
    "ttyd",
    "code-server",
    "openhands",
    "claude-code-web",
    "cui",
    "small",
    "medium",
    "large",
    "desktop",
    "runner",
];

/// What stands often in a repository's address, after `_`. The empty one marks a text that is no `https://` address.
const SHORT: [(char, &str); 10] = [
    ('h', ""),
    ('G', "github.com/"),
    ('L', "gitlab.com/"),
    ('B', "bitbucket.org/"),
    ('g', ".git"),
    ('s', "/"),
    ('d', "."),
    ('c', ":"),
    ('a', "@"),
    ('u', "_"),
];
const USUAL: &str = "https://";

/// One label; `None` for what this row of the table cannot hold.
pub(super) fn entry(
    place: usize,
    key: &str,
    form: Form,
    value: &str,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let head = digit(place);
    let short = match form {
        Form::Plain => return plain(value).map(|it| format!("{head}{it}")),
        Form::Certificate(_) | Form::Text => None,
        Form::Bytes(count) => bytes(value, count),
        Form::Number(digits) => number(value, digits),
        Form::Word => WORDS.iter().position(|it| *it == value).map(|it| digit(it).to_string()),
        Form::Price => {
            value.split_once('.').filter(|(_, it)| it.len() == 3).and_then(|(micros, currency)| {
                let is_currency = currency.bytes().all(|it| it.is_ascii_uppercase());
                is_currency.then(|| number(micros, 6)).flatten().map(|it| format!("{it}{currency}"))
            })
        }
    };
    match form {
        Form::Certificate(kind) => bytes(value.strip_prefix(kind)?, 32).map(|it| format!("{head}{it}")),
        Form::Text => text(key, labels).map(|it| format!("{head}{it}")),
        _ => match short {
            Some(short) => Some(format!("{head}{short}")),
            None => plain(value).map(|it| format!("{}{it}", digit(PLAIN + place))),
        },
    }
}

/// Length, the character that stands for the dot, and the characters. There is always one left to stand for it: a value
/// has 63 characters at the most, so of all 65 that may stand in one, two do not.
pub(super) fn plain(value: &str) -> Option<String> {
    let fits = value.len() < DIGITS.len()
        && value.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-'));
    let stand_in = DIGITS.iter().find(|it| !value.as_bytes().contains(it)).filter(|_| fits)?;
    let stand_in = char::from(*stand_in);
    Some(format!("{}{stand_in}{}", digit(value.len()), value.replace('.', &stand_in.to_string())))
}

/// Base32 of so many bytes, as base64url.
fn bytes(value: &str, count: usize) -> Option<String> {
    let bytes = from_base32(value).filter(|it| it.len() == count)?;
    // Unused bits could make two spellings of the same bytes.
    (base32(&bytes) == value).then(|| base64url(&bytes))
}

fn number(value: &str, digits: usize) -> Option<String> {
    let mut left: u64 = value.parse().ok()?;
    if left.to_string() != value || left >> (6 * digits) > 0 {
        return None;
    }
    let mut out = vec!['A'; digits];
    for place in out.iter_mut().rev() {
        *place = digit((left & 63) as usize);
        left >>= 6;
    }
    Some(out.into_iter().collect())
}

/// A text of several labels: its length in two digits, then its characters, of which `_` begins what stands for others.
fn text(key: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let mut set = Vec::new();
    while let Some((its_key, value)) = labels.get_key_value(&piece_key(key, set.len())) {
        set.push((its_key.clone(), value.clone()));
    }
    let values: Vec<&str> = set.iter().map(|(_, value)| value.as_str()).collect();
    let text = unpack_text(&values)?;
    if pieces(key, &text) != set {
        return None;
    }
    let mut out = String::new();
    let mut rest = text.strip_prefix(USUAL).unwrap_or_else(|| {
        out.push_str("_h");
        &text
    });
    while let Some(first) = rest.chars().next() {
        let short = SHORT.iter().find(|(_, it)| !it.is_empty() && rest.starts_with(it));
        let taken = match short {
            Some((letter, it)) => {
                out.extend(['_', *letter]);
                it.len()
            }
            None if first.is_ascii_alphanumeric() || first == '-' => {
                out.push(first);
                1
            }
            None => {
                for byte in first.to_string().bytes() {
                    let _ = write!(out, "_x{byte:02x}");
                }
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    let length = out.len();
    (length <= TEXT_MAX_CHARS).then(|| format!("{}{}{out}", digit(length >> 6), digit(length)))
}

fn piece_key(key: &str, index: usize) -> String {
    if index == 0 { key.to_owned() } else { format!("{key}-{index}") }
}

/// The inverse of what [`text`] writes after the length.
fn expand(packed: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let rest = packed.strip_prefix("_h").unwrap_or_else(|| {
        bytes.extend_from_slice(USUAL.as_bytes());
        packed
    });
    let mut chars = rest.chars();
    while let Some(it) = chars.next() {
        match it {
            '_' => match chars.next()? {
                'x' => {
                    let pair = chars.as_str().get(..2)?;
                    bytes.push(u8::from_str_radix(pair, 16).ok()?);
                    chars = chars.as_str()[2..].chars();
                }
                letter => bytes.extend_from_slice(SHORT.iter().find(|(it, _)| *it == letter)?.1.as_bytes()),
            },
            it => bytes.extend_from_slice(it.to_string().as_bytes()),
        }
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn digit(value: usize) -> char {
    char::from(DIGITS[value % DIGITS.len()])
}

/// What is left of the entries.
pub(super) struct Reader<'a>(pub(super) &'a str);

impl<'a> Reader<'a> {
    fn take(&mut self, chars: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(chars)?;
        self.0 = rest;
        Some(taken)
    }

    fn digit(&mut self) -> Option<usize> {
        let byte = *self.take(1)?.as_bytes().first()?;
        DIGITS.iter().position(|it| *it == byte)
    }

    fn number(&mut self, digits: usize) -> Option<u64> {
        (0..digits).try_fold(0, |sum, _| Some(sum << 6 | self.digit()? as u64))
    }

    fn plain(&mut self) -> Option<String> {
        let length = self.digit()?;
        let stand_in = self.take(1)?;
        Some(self.take(length)?.replace(stand_in, "."))
    }

    fn bytes(&mut self, count: usize) -> Option<String> {
        let bytes = from_base64url(self.take((count * 8).div_ceil(6))?)?;
        Some(base32(&bytes))
    }

    /// One label, or all those of a text.
    pub(super) fn entry(&mut self) -> Option<Vec<(String, String)>> {
        let head = self.digit()?;
        if head == OTHER {
            return Some(vec![(self.plain()?, self.plain()?)]);
        }
        let (key, form) = TABLE.get(head % PLAIN)?;
        let value = match form {
            _ if head >= PLAIN => self.plain()?,
            Form::Plain => self.plain()?,
            Form::Bytes(count) => self.bytes(*count)?,
            Form::Certificate(kind) => format!("{kind}{}", self.bytes(32)?),
            Form::Number(digits) => self.number(*digits)?.to_string(),
            Form::Word => (*WORDS.get(self.digit()?)?).to_owned(),
            Form::Price => format!("{}.{}", self.number(6)?, self.take(3)?),
            Form::Text => {
                let length = usize::try_from(self.number(2)?).ok()?;
                return Some(pieces(key, &expand(self.take(length)?)?));
            }
        };
        Some(vec![((*key).to_owned(), value)])
    }
}
