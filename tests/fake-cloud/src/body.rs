//! Strict reading of a request body: each field is taken once with its type, and what is left over is unknown.
//!
//! All problems are collected; what a vendor answers to them is in its own errors.

use serde_json::{Map, Value};

use crate::labels::{Labels, parse_labels};

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problems {
    /// It is not a JSON object.
    NotJson,
    /// These fields, each with what is wrong with it.
    Fields(Vec<(String, String)>),
}

/// The fields of a body (or of an object inside it) that have not been read yet.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    prefix: String,
    problems: Vec<(String, String)>,
}

impl Fields {
    /// Parses the body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problems> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Self { left, prefix: String::new(), problems: Vec::new() }),
            _ => Err(Problems::NotJson),
        }
    }

    /// Like `parse`, for routes whose body may be absent.
    pub(crate) fn parse_optional(body: &[u8]) -> Result<Self, Problems> {
        if body.is_empty() { Self::parse(b"{}") } else { Self::parse(body) }
    }

    /// The fields of an object inside this one; anything else is a problem and reads as empty.
    pub(crate) fn nested(&mut self, name: &str, value: Value) -> Self {
        let prefix = format!("{}{name}.", self.prefix);
        let left = if let Value::Object(left) = value {
            left
        } else {
            self.problem(name, "must be an object");
            Map::new()
        };
        Self { left, prefix, problems: Vec::new() }
    }

    /// Takes the problems of a nested object over, its unknown fields included.
    pub(crate) fn absorb(&mut self, nested: Self) {
        self.problems.extend(nested.into_problems());
    }

    /// Notes a problem.
    pub(crate) fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push((format!("{}{name}", self.prefix), message.into()));
    }

    /// The raw value, if given.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    fn typed<T>(&mut self, name: &str, kind: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.take(name)?;
        let read = read(&value);
        if read.is_none() {
            self.problem(name, format!("must be {kind}"));
        }
        read
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A string that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> String {
        if !self.left.contains_key(name) {
            self.problem(name, "missing data for required field");
        }
        self.text(name).unwrap_or_default()
    }

    /// An id or a name. The document says string; the real API takes integers too, and its own client sends them.
    pub(crate) fn reference(&mut self, name: &str) -> Option<String> {
        self.typed(name, "an id or a name", reference_of)
    }

    /// An id or a name that must be there.
    pub(crate) fn required_reference(&mut self, name: &str) -> String {
        if !self.left.contains_key(name) {
            self.problem(name, "missing data for required field");
        }
        self.reference(name).unwrap_or_default()
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    /// A non-negative integer.
    pub(crate) fn number(&mut self, name: &str) -> Option<u64> {
        self.typed(name, "an integer", Value::as_u64)
    }

    /// A non-negative integer, or null for none.
    pub(crate) fn nullable_number(&mut self, name: &str) -> Option<u64> {
        if self.left.get(name).is_some_and(Value::is_null) {
            self.left.remove(name);
        }
        self.number(name)
    }

    /// An array.
    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        self.typed(name, "an array", |v| v.as_array().cloned())
    }

    /// Labels, checked.
    pub(crate) fn labels(&mut self, name: &str) -> Option<Labels> {
        let value = self.take(name)?;
        parse_labels(&value).map_err(|why| self.problem(name, why)).ok()
    }

    fn into_problems(mut self) -> Vec<(String, String)> {
        let unknown: Vec<String> = self.left.keys().cloned().collect();
        for name in unknown {
            self.problem(&name, "unknown field");
        }
        self.problems
    }

    /// Ends the reading: an error if anything was wrong.
    pub(crate) fn finish(self) -> Result<(), Problems> {
        let problems = self.into_problems();
        if problems.is_empty() { Ok(()) } else { Err(Problems::Fields(problems)) }
    }
}

/// A string, or an integer as a string.
pub(crate) fn reference_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}
