//! Labels and label selectors: their syntax, and which labels a selector matches.
//!
//! What is done with them is the handlers' matter.

use std::collections::BTreeMap;

use serde_json::Value;

/// The labels of a resource.
pub(crate) type Labels = BTreeMap<String, String>;

/// Part of a key or value: 1 to 63 letters and digits, with `-`, `_` and `.` inside.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| inner(*b))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// A DNS name: labels of letters, digits and inner dashes. Names of servers and prefixes of keys are such.
pub(crate) fn is_hostname(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// `[prefix/]name`; the prefix `hetzner.cloud` is the vendor's.
pub(crate) fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_hostname(prefix) && prefix != "hetzner.cloud" && is_name(name),
        None => is_name(text),
    }
}

/// Empty, or like a name.
pub(crate) fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

/// Reads the `labels` of a request body.
pub(crate) fn parse_labels(value: &Value) -> Result<Labels, String> {
    let object = value.as_object().ok_or("labels must be an object of strings")?;
    let mut labels = Labels::new();
    for (key, value) in object {
        let value = value.as_str().ok_or_else(|| format!("the value of label '{key}' must be a string"))?;
        if !is_key(key) {
            return Err(format!("label key '{key}' is not correctly formatted"));
        }
        if !is_value(value) {
            return Err(format!("label value '{value}' (key: {key}) is not correctly formatted"));
        }
        labels.insert(key.clone(), value.to_owned());
    }
    Ok(labels)
}

/// One term of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Equal(String, String),
    NotEqual(String, String),
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// A parsed label selector: all of its terms must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Term>);

impl Selector {
    /// Reads a selector; the error says what is wrong with it. An empty selector matches everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        split_terms(text)?.into_iter().map(parse_term).collect::<Result<_, _>>().map(Self)
    }

    /// Whether these labels fulfil every term. `!=` and `notin` also hold where the key is missing.
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::Equal(key, value) => labels.get(key) == Some(value),
            Term::NotEqual(key, value) => labels.get(key) != Some(value),
            Term::Exists(key) => labels.contains_key(key),
            Term::Missing(key) => !labels.contains_key(key),
            Term::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Term::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        })
    }
}

/// Splits at the commas outside parentheses.
fn split_terms(text: &str) -> Result<Vec<&str>, String> {
    let mut terms = Vec::new();
    let (mut start, mut depth) = (0, 0_u8);
    for (at, c) in text.char_indices() {
        match c {
            '(' if depth == 0 => depth = 1,
            ')' if depth == 1 => depth = 0,
            '(' | ')' => return Err("unbalanced parentheses".to_owned()),
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err("unbalanced parentheses".to_owned());
    }
    terms.push(&text[start..]);
    Ok(terms)
}

fn parse_term(text: &str) -> Result<Term, String> {
    let text = text.trim();
    if let Some(list) = text.strip_suffix(')') {
        return parse_set(list);
    }
    // `!=` before `=`: the longer operator wins. A leading `!` is the other meaning of the mark.
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Term::NotEqual(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Term::Equal(key_of(key)?, value_of(value)?));
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(Term::Missing(key_of(key)?)),
        None => Ok(Term::Exists(key_of(text)?)),
    }
}

/// `key in (a,b` or `key notin (a,b`, the closing parenthesis already gone.
fn parse_set(text: &str) -> Result<Term, String> {
    let (head, list) = text.split_once('(').ok_or("unbalanced parentheses")?;
    let (key, operator) =
        head.trim().split_once(char::is_whitespace).ok_or("expected 'in' or 'notin' before the list")?;
    let values = list.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
    match operator.trim() {
        "in" => Ok(Term::In(key_of(key)?, values)),
        "notin" => Ok(Term::NotIn(key_of(key)?, values)),
        other => Err(format!("unknown operator '{other}'")),
    }
}

fn key_of(text: &str) -> Result<String, String> {
    let key = text.trim();
    if is_key(key) { Ok(key.to_owned()) } else { Err(format!("'{key}' is not a label key")) }
}

fn value_of(text: &str) -> Result<String, String> {
    let value = text.trim();
    if is_value(value) { Ok(value.to_owned()) } else { Err(format!("'{value}' is not a label value")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_selector_matches_what_the_documentation_says() {
        let web = labels(&[("env", "prod"), ("tier", "web"), ("example.com/x", "")]);
        let cases = [
            ("env=prod", true),
            ("env==prod", true),
            ("env=dev", false),
            ("env!=dev", true),
            ("env!=prod", false),
            ("missing!=prod", true),
            ("env", true),
            ("!env", false),
            ("!missing", true),
            ("env in (dev,prod)", true),
            ("env in (dev, test)", false),
            ("missing in (a)", false),
            ("env notin (dev,test)", true),
            ("env notin (prod)", false),
            ("missing notin (a)", true),
            ("env=prod,tier=web", true),
            ("env=prod, tier=db", false),
            ("env in (prod,dev),tier notin (db),!gone", true),
            ("example.com/x", true),
            ("example.com/x=", true),
            ("", true),
        ];
        for (selector, expected) in cases {
            assert_eq!(Selector::parse(selector).map(|s| s.matches(&web)), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn a_wrong_selector_is_refused() {
        for selector in [
            "=x",
            "a=b c",
            "a in b",
            "a in (b",
            "a)b(",
            "a around (b)",
            "a=b,,c",
            "a=b,",
            "!!a",
            "ü=1",
            "a=1:2",
        ] {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn label_syntax_is_hetzners() {
        let long = "a".repeat(63);
        let too_long = "a".repeat(64);
        for value in ["", "a", "A-b_c.9", "1700000000", long.as_str()] {
            assert!(is_value(value), "{value}");
        }
        for value in ["a:b", "a/b", "a@b", "a b", "-a", "a-", ".a", "a_", "ä", "a=b", too_long.as_str()] {
            assert!(!is_value(value), "{value}");
        }
        for key in ["managed-by", "example.com/name", "a"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "hetzner.cloud/x", "a/b/c", "-a", "exa_mple/x"] {
            assert!(!is_key(key), "{key}");
        }
    }

    #[test]
    fn host_names_follow_rfc_1123() {
        for name in ["a", "mayfly-repo-abcd", "a.b-c.D9"] {
            assert!(is_hostname(name), "{name}");
        }
        for name in ["", "-a", "a-", "a_b", "a..b", ".a", "a.", "ä", "a b"] {
            assert!(!is_hostname(name), "{name}");
        }
    }
}
