//! JSON on its way out, appended to a buffer piece by piece: for what is written too often for a serializer that knows
//! nothing about it. That commas and brackets are where they belong is the callers' business.

use super::next_special;
use crate::encoding::push_rfc3339;

/// Appends `,"name":` to a [`Writer`], which then waits for the value. The first member of an object is written raw.
macro_rules! member {
    ($writer:expr, $name:literal) => {
        $writer.raw(concat!(",\"", $name, "\":"))
    };
}
pub(crate) use member;

/// JSON on its way out, appended to a buffer.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A piece of JSON as it is.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A string of any characters.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.raw("\"").part(text).raw("\"")
    }

    /// A part of a string: what needs no quotes of its own.
    pub fn part(&mut self, text: &str) -> &mut Self {
        if next_special(text.as_bytes(), 0).is_some() {
            // Strings always serialise.
            let quoted = serde_json::to_string(text).unwrap_or_default();
            return self.raw(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        }
        self.raw(text)
    }

    /// A string, or null.
    pub fn text_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.raw("null"),
        }
    }

    /// A number.
    pub fn number(&mut self, number: impl serde::Serialize) -> &mut Self {
        // Writing a number into a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *self.0, &number);
        self
    }

    /// A time, as RFC 3339.
    pub fn time(&mut self, secs: u64) -> &mut Self {
        self.raw("\"");
        push_rfc3339(self.0, secs);
        self.raw("\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn writes_what_serde_json_writes(text: String) {
            let mut json = Vec::new();
            Writer(&mut json).text(&text);
            prop_assert_eq!(json, serde_json::to_vec(&text).unwrap());
        }
    }
}
