//! JSON of which little is wanted, read fast: a provider's answer holds kilobytes per server, and a list of VMs needs a
//! twentieth of them. This is a `serde` deserializer that passes over what a type does not ask for with a look at quotes
//! and brackets alone. Writing is in `write`; what the members mean is the callers' business.

mod write;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

pub use write::Writer;
pub(crate) use write::member;

/// Deepest nesting of what is read, as in `serde_json`.
const DEPTH_MAX: u8 = 128;

/// The text is not JSON, or not of the type that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed JSON")
    }
}

impl std::error::Error for Malformed {}

impl de::Error for Malformed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Reads a whole text. As strict as `serde_json` in what `T` asks for; in the rest only strings and brackets must end.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    let mut reader = Reader { text, bytes, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader)?;
    reader.next_byte();
    if reader.at == bytes.len() { Ok(value) } else { Err(Malformed) }
}

/// Stands for the end of the text; no JSON holds it outside of strings.
const END: u8 = 0;

struct Reader<'de> {
    text: &'de str,
    /// The same text.
    bytes: &'de [u8],
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    /// The next byte that is no white space, which is not consumed.
    fn next_byte(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return *byte,
                None => return END,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next_byte() != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'de, str>, Malformed> {
        self.take(b'"')?;
        let start = self.at;
        let end = next_special(self.bytes, start).ok_or(Malformed)?;
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        // Escapes are rare enough to be left to who knows them all.
        self.at = after_string(self.bytes, end)?;
        serde_json::from_str(&self.text[start - 1..self.at]).map(Cow::Owned).map_err(|_| Malformed)
    }

    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Malformed> {
        let rest = &self.text[self.at..];
        let is_part = |it: u8| it.is_ascii_digit() || matches!(it, b'.' | b'e' | b'E' | b'+' | b'-');
        let length = rest.bytes().position(|it| !is_part(it)).unwrap_or(rest.len());
        let digits = &rest[..length];
        self.at += length;
        if !digits.starts_with('0')
            && digits.bytes().all(|it| it.is_ascii_digit())
            && let Ok(number) = digits.parse()
        {
            return visitor.visit_u64(number);
        }
        let number: serde_json::Number = serde_json::from_str(digits).map_err(|_| Malformed)?;
        match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => visitor.visit_u64(number),
            (_, Some(number), _) => visitor.visit_i64(number),
            (_, _, Some(number)) => visitor.visit_f64(number),
            _ => Err(Malformed),
        }
    }

    /// Goes past one value of any kind.
    fn skip(&mut self) -> Result<(), Malformed> {
        self.at = match self.next_byte() {
            b'"' => after_string(self.bytes, self.at + 1)?,
            b'{' | b'[' => after_brackets(self.bytes, self.at)?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let is_end = |it: &u8| matches!(it, b',' | b'}' | b']' | ..=b' ');
                self.bytes[self.at..].iter().position(is_end).map_or(self.bytes.len(), |it| self.at + it)
            }
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Malformed) } else { Ok(()) }
    }
}

/// Where a string ends whose inside goes on at `at`.
fn after_string(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        at = next_special(bytes, at).ok_or(Malformed)?;
        match bytes[at] {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The first byte from `at` on that a string cannot hold as it is: quote, backslash, control character.
fn next_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(eight) = bytes.get(at..)?.first_chunk() {
        let word = u64::from_le_bytes(*eight);
        // The lowest mark is right in any case; those above it may be carried into, which nobody looks at.
        let zero = |it: u64| it.wrapping_sub(ONES) & !it;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks =
            (zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control)
                & MARKS;
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes[at..].iter().position(|it| matches!(it, b'"' | b'\\' | ..b' ')).map(|it| at + it)
}

/// Where an object or array ends that begins at `at`. Eight bytes at a time: nearly all that a provider sends is passed
/// over here.
fn after_brackets(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    let mut open = 1;
    at += 1;
    // All marks inside of a string, none outside.
    let mut inside = 0;
    loop {
        if let Some(eight) = bytes.get(at..).and_then(|it| it.first_chunk()) {
            let word = u64::from_le_bytes(*eight);
            let lower = word | (ONES * 0x20);
            let mut strings = equal(word, b'"');
            for shift in [8, 16, 32] {
                strings ^= strings << shift;
            }
            strings ^= inside;
            // In ASCII the square brackets are the curly ones without this bit.
            let opening = equal(lower, b'{') & !strings;
            let closing = (equal(lower, b'}') & !strings).count_ones();
            if closing < open && equal(word, b'\\') == 0 {
                open = open + opening.count_ones() - closing;
                inside = if strings >> 63 == 1 { MARKS } else { 0 };
                at += 8;
                continue;
            }
        }
        // An escape, perhaps the end, or the last few bytes.
        let until = at + 8;
        while at < until {
            match (bytes.get(at).ok_or(Malformed)?, inside) {
                (b'\\', MARKS) => at += 1,
                (b'"', _) => inside ^= MARKS,
                (b'{' | b'[', 0) => open += 1,
                (b'}' | b']', 0) if open == 1 => return Ok(at + 1),
                (b'}' | b']', 0) => open -= 1,
                _ => {}
            }
            at += 1;
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const MARKS: u64 = ONES * 0x80;

/// Marks the bytes of a word that are `byte`, exactly those.
fn equal(word: u64, byte: u8) -> u64 {
    let differences = word ^ (ONES * u64::from(byte));
    !(((differences & !MARKS) + !MARKS) | differences) & MARKS
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.next_byte() {
            b'"' => self.deserialize_str(visitor),
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b'-' | b'0'..=b'9' => self.number(visitor),
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            _ => Err(Malformed),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.take(b'{')?;
        self.at -= 1;
        self.deeper()?;
        let value = visitor.visit_map(Items { reader: self, is_first: true })?;
        self.depth -= 1;
        self.take(b'}').map(|()| value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.take(b'[')?;
        self.at -= 1;
        self.deeper()?;
        let value = visitor.visit_seq(Items { reader: self, is_first: true })?;
        self.depth -= 1;
        self.take(b']').map(|()| value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if self.next_byte() == b'n' {
            return self.word("null").and_then(|()| visitor.visit_none());
        }
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.skip().and_then(|()| visitor.visit_unit())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct enum
    }
}

/// The inside of an object or array; the closing bracket is left where it is.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    is_first: bool,
}

impl Items<'_, '_> {
    /// Whether another item follows, with the comma before it consumed.
    fn goes_on(&mut self, end: u8) -> Result<bool, Malformed> {
        if self.reader.next_byte() == end {
            return Ok(false);
        }
        if !std::mem::take(&mut self.is_first) {
            self.reader.take(b',')?;
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Malformed> {
        if !self.goes_on(b'}')? {
            return Ok(None);
        }
        if self.reader.next_byte() != b'"' {
            return Err(Malformed);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        self.reader.take(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Malformed;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Malformed> {
        if !self.goes_on(b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::IgnoredAny;
    use serde_json::{Map, Value};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wanted {
        wanted: Option<Vec<f64>>,
        text: Option<String>,
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|it| it.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(value in any_value()) {
            for text in [value.to_string(), format!(" {value:#}\n")] {
                prop_assert_eq!(from_slice::<Value>(text.as_bytes()), Ok(serde_json::from_str(&text).unwrap()));
                prop_assert!(from_slice::<IgnoredAny>(text.as_bytes()).is_ok());
            }
        }

        #[test]
        fn refuses_what_serde_json_refuses(text in r#"[\[\]{}",:tfnulrase0-9.eE+\\ \t-]{0,24}"#) {
            prop_assert_eq!(from_slice::<Value>(text.as_bytes()).ok(), serde_json::from_str(&text).ok());
        }

        #[test]
        fn refuses_half_a_text(value in any_value(), share in 0.0..1.0) {
            let text = format!("{{\"a\":{value}}}");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let half = &text.as_bytes()[..(text.len() as f64 * share) as usize];
            prop_assert!(from_slice::<Value>(half).is_err());
            prop_assert!(from_slice::<IgnoredAny>(half).is_err());
            prop_assert!(from_slice::<Wanted>(half).is_err());
        }

        #[test]
        fn passes_over_what_nobody_asks_for(
            around in prop::collection::vec(("[a-s]{1,3}", any_value()), 0..6),
            wanted in prop::option::of(prop::collection::vec(0_u32..9, 0..3)),
            text in any::<Option<String>>(),
        ) {
            let mut members: Map<String, Value> = around.into_iter().collect();
            members.insert("wanted".into(), wanted.into());
            members.insert("text".into(), text.into());
            let json = Value::from(members).to_string();
            prop_assert_eq!(from_slice::<Wanted>(json.as_bytes()), Ok(serde_json::from_str(&json).unwrap()));
        }

        #[test]
        fn bytes_that_are_no_text_never_panic(bytes: Vec<u8>) {
            prop_assert_eq!(from_slice::<Value>(&bytes).ok(), serde_json::from_slice(&bytes).ok());
            let _ = from_slice::<IgnoredAny>(&bytes);
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(from_slice::<Value>(deep.as_bytes()), Err(Malformed));
        assert!(from_slice::<IgnoredAny>(deep.as_bytes()).is_ok(), "what is passed over takes no stack");
        let fits = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(from_slice::<Value>(fits.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in
            ["", "{", "{}}", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\" 1}", "\"\n\"", "01", "1\0", "nul", "-"]
        {
            assert_eq!(from_slice::<Value>(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
    }
}
