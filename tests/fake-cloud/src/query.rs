//! Query strings and lists: decoding, filters, sorting, pages.
//!
//! Works on resources that are already JSON; which filters a list has is the caller's matter.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::labels::{Selector, parse_labels};

/// A decoded query string; a name may occur several times.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=1&b=x%20y`.
    pub(crate) fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The last value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Everything but these names, as it goes on in a query string.
    pub(crate) fn without(&self, names: &[&str]) -> String {
        let others = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        let parts: Vec<String> =
            others.map(|(name, value)| format!("&{}={}", encode(name), encode(value))).collect();
        parts.concat()
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|n| *n >= 1)
            .ok_or_else(|| ApiError::invalid(name, "must be a positive integer"))
    }
}

/// Percent-decoding with `+` as a space; what is not UTF-8 becomes replacement characters.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encoding of whatever is not unreserved.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |out, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out + &char::from(byte).to_string()
        }
        _ => out + &format!("%{byte:02X}"),
    })
}

/// What a list can be asked for.
pub(crate) struct Listing {
    /// The key of the array in the answer.
    pub key: &'static str,
    /// Fields one may sort by; empty where the API does not sort.
    pub sort: &'static [&'static str],
    /// Query parameters that keep the resources whose field of that name is one of the given values,
    /// each with its closed set of values (empty: anything).
    pub filters: &'static [(&'static str, &'static [&'static str])],
    /// Whether `label_selector` is understood.
    pub labels: bool,
}

/// The largest page that Hetzner gives.
const MAX_PER_PAGE: u64 = 50;
const DEFAULT_PER_PAGE: u64 = 25;

impl Listing {
    /// Filters, sorts and cuts the page out. `page_cap` makes pages smaller than asked for (a test's wish).
    pub(crate) fn answer(
        &self,
        query: &Query,
        mut items: Vec<Value>,
        page_cap: u64,
    ) -> Result<Value, ApiError> {
        for (name, allowed) in self.filters {
            let wanted: Vec<&str> = query.all(name).collect();
            if let Some(wrong) = wanted.iter().find(|w| !allowed.is_empty() && !allowed.contains(w)) {
                return Err(ApiError::invalid(
                    name,
                    format!("'{wrong}' is not one of {}", allowed.join(", ")),
                ));
            }
            if !wanted.is_empty() {
                items.retain(|item| match &item[*name] {
                    Value::String(text) => wanted.contains(&text.as_str()),
                    Value::Null => false,
                    other => wanted.contains(&other.to_string().as_str()),
                });
            }
        }
        if let Some(text) = query.get("label_selector").filter(|_| self.labels) {
            let selector = Selector::parse(text).map_err(|why| ApiError::invalid("label_selector", why))?;
            items.retain(|item| parse_labels(&item["labels"]).is_ok_and(|labels| selector.matches(&labels)));
        }
        self.sort(query, &mut items)?;
        let per_page = query.number("per_page", DEFAULT_PER_PAGE)?;
        if per_page > MAX_PER_PAGE {
            return Err(ApiError::invalid("per_page", format!("must be at most {MAX_PER_PAGE}")));
        }
        Ok(paginate(self.key, items, query.number("page", 1)?, per_page.min(page_cap)))
    }

    fn sort(&self, query: &Query, items: &mut [Value]) -> Result<(), ApiError> {
        let wishes: Vec<&str> = query.all("sort").collect();
        // The first wish weighs most, so it is applied last: the sort is stable.
        for wish in wishes.iter().rev().filter(|_| !self.sort.is_empty()) {
            let (field, order) = wish.split_once(':').unwrap_or((wish, "asc"));
            if !self.sort.contains(&field) || !matches!(order, "asc" | "desc") {
                return Err(ApiError::invalid("sort", format!("'{wish}' is not supported")));
            }
            items.sort_by(|a, b| {
                let by = match (a[field].as_u64(), b[field].as_u64()) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    _ => a[field].as_str().cmp(&b[field].as_str()),
                };
                if order == "desc" { by.reverse() } else { by }
            });
        }
        Ok(())
    }
}

fn paginate(key: &str, items: Vec<Value>, page: u64, per_page: u64) -> Value {
    let total = items.len() as u64;
    let last = total.div_ceil(per_page).max(1);
    let skip = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
    let take = usize::try_from(per_page).unwrap_or(usize::MAX);
    let shown: Vec<Value> = items.into_iter().skip(skip).take(take).collect();
    let mut body = json!({
        "meta": { "pagination": {
            "page": page,
            "per_page": per_page,
            "previous_page": (page > 1).then(|| page - 1),
            "next_page": (page < last).then(|| page + 1),
            "last_page": last,
            "total_entries": total,
        } }
    });
    body[key] = Value::Array(shown);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing = Listing {
        key: "things",
        sort: &["id", "name"],
        filters: &[("name", &[]), ("kind", &["a", "b"])],
        labels: true,
    };

    fn things() -> Vec<Value> {
        (1..=5)
            .map(|id| json!({ "id": id, "name": format!("n{}", 9 - id), "kind": "a", "labels": {} }))
            .collect()
    }

    fn ids(query: &str, cap: u64) -> Vec<u64> {
        let body = LISTING.answer(&Query::parse(query), things(), cap).expect("a valid query");
        body["things"].as_array().into_iter().flatten().filter_map(|t| t["id"].as_u64()).collect()
    }

    #[test]
    fn pages_say_where_they_are() {
        let body = LISTING.answer(&Query::parse("page=2&per_page=2"), things(), 50).expect("a page");
        let expected = json!({ "page": 2, "per_page": 2, "previous_page": 1, "next_page": 3, "last_page": 3, "total_entries": 5 });
        assert_eq!(body["meta"]["pagination"], expected);
        let last = LISTING.answer(&Query::parse("page=3&per_page=2"), things(), 50).expect("a page");
        assert_eq!(last["meta"]["pagination"]["next_page"], Value::Null);
        assert_eq!(ids("page=3&per_page=2", 50), [5]);
        assert_eq!(ids("per_page=50", 2), [1, 2], "a test may make pages smaller");
        assert_eq!(ids("page=9", 50), Vec::<u64>::new());
    }

    #[test]
    fn lists_sort_and_filter() {
        assert_eq!(ids("sort=name", 50), [5, 4, 3, 2, 1]);
        assert_eq!(ids("sort=id:desc", 50), [5, 4, 3, 2, 1]);
        assert_eq!(ids("name=n7", 50), [2]);
        assert_eq!(ids("kind=b", 50), Vec::<u64>::new());
        assert_eq!(ids("kind=b&kind=a&label_selector=%21x", 50).len(), 5);
    }

    #[test]
    fn wrong_queries_are_refused() {
        for query in
            ["page=0", "page=x", "per_page=51", "sort=size", "sort=id:up", "kind=c", "label_selector=a%3D%3A"]
        {
            let refused = LISTING.answer(&Query::parse(query), things(), 50).expect_err(query);
            assert_eq!((refused.status.as_u16(), refused.code), (422, "invalid_input"), "{query}");
        }
    }

    #[test]
    fn query_strings_are_decoded() {
        let query = Query::parse("a=x%20y+z&b=1&b=2&c&d=%zz");
        assert_eq!(query.get("a"), Some("x y z"));
        assert_eq!(query.all("b").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("c"), Some(""));
        assert_eq!(query.get("d"), Some("%zz"));
    }
}
