//! Faults that a test switches on for a route: what they match and what they do.
//!
//! Reading and matching only; `front` carries them out.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

/// Where a connection is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// The request has no effect.
    Before,
    /// The request has its effect; only the answer is lost.
    After,
}

/// What the error of a fault says.
pub(crate) const FAULT: &str = "this is a fault that a test asked for";

/// A fault.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    method: Option<String>,
    path: String,
    /// Matching requests to let through first.
    after: u64,
    /// Times it still strikes; none: for ever.
    times: Option<u64>,
    /// The status of the answer.
    pub status: Option<StatusCode>,
    /// The error code of the answer.
    pub code: String,
    /// The whole body instead of an error in the vendor's shape.
    pub body: Option<String>,
    /// Wait first.
    pub delay_ms: u64,
    /// Drop the connection.
    pub drop: Option<Drop>,
    /// The request has its effect before the fault's status is answered.
    pub acts: bool,
    /// More headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    /// Reads one from the control API; the error says which field is wrong.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        let mut left = value.as_object().cloned().ok_or("an object is expected")?;
        let path = text(&mut left, "path")?.ok_or("path: missing")?;
        let path = path.strip_prefix("/v1").unwrap_or(&path).to_owned();
        let method = text(&mut left, "method")?.filter(|method| method != "*");
        // Absent is once; null is for ever.
        let times = match left.remove("times") {
            None => Some(1),
            Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().ok_or("times: not a number")?),
        };
        let status = match left.remove("status") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let status = value.as_u64().and_then(|n| u16::try_from(n).ok());
                Some(status.and_then(|n| StatusCode::from_u16(n).ok()).ok_or("status: not a status")?)
            }
        };
        let drop = match text(&mut left, "drop")?.as_deref() {
            None => None,
            Some("before") => Some(Drop::Before),
            Some("after") => Some(Drop::After),
            Some(_) => return Err("drop: must be before or after".to_owned()),
        };
        let acts = match left.remove("acts") {
            None => false,
            Some(value) => value.as_bool().ok_or("acts: not a boolean")?,
        };
        let fault = Self {
            method,
            path,
            after: number(&mut left, "after")?,
            times,
            status,
            code: text(&mut left, "code")?.unwrap_or_else(|| "server_error".to_owned()),
            body: text(&mut left, "body")?,
            delay_ms: number(&mut left, "delay_ms")?,
            drop,
            acts,
            headers: headers(left.remove("headers"))?,
        };
        match left.keys().next() {
            Some(unknown) => Err(format!("{unknown}: unknown")),
            None if status.is_none() && drop.is_none() && fault.delay_ms == 0 => {
                Err("status, drop or delay_ms is needed".to_owned())
            }
            None => Ok(fault),
        }
    }

    /// Whether it strikes this request; counts it if so.
    fn strikes(&mut self, method: &str, path: &str) -> bool {
        let matches = self.method.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(method))
            && matches_path(&self.path, path);
        if !matches || self.times == Some(0) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times = self.times.map(|times| times - 1);
        true
    }

    /// As `/_fake/state` shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "method": self.method, "path": self.path, "after": self.after, "times": self.times })
    }
}

/// The first fault that strikes; those that are used up go away.
pub(crate) fn strike(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<Fault> {
    let at = faults.iter_mut().position(|fault| fault.strikes(method, path))?;
    let fault = faults[at].clone();
    faults.retain(|fault| fault.times != Some(0));
    Some(fault)
}

/// Segment by segment; `*` or `{name}` stands for any one segment, a last `**` for all that follow.
fn matches_path(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        let Some(segment) = segments.next() else { return false };
        let any = wanted == "*" || (wanted.starts_with('{') && wanted.ends_with('}'));
        if !any && wanted != segment {
            return false;
        }
    }
    segments.next().is_none()
}

fn text(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name}: not a string")),
    }
}

fn number(object: &mut Map<String, Value>, name: &str) -> Result<u64, String> {
    let value = object.remove(name);
    value.map_or(Ok(0), |value| value.as_u64().ok_or_else(|| format!("{name}: not a number")))
}

fn headers(value: Option<Value>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let object = value.as_object().ok_or("headers: not an object")?;
    let header = |(name, value): (&String, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((name.parse().ok()?, text.parse().ok()?))
    };
    object.iter().map(|entry| header(entry).ok_or_else(|| format!("headers: {}", entry.0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_should() {
        let fault = json!({ "method": "post", "path": "/v1/servers", "after": 1, "times": 2, "status": 502 });
        let mut faults = vec![Fault::parse(&fault).expect("valid")];
        let struck: Vec<bool> = (0..5).map(|_| strike(&mut faults, "POST", "/servers").is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_fault_without_end_strikes_for_ever() {
        let mut faults =
            vec![Fault::parse(&json!({ "path": "/servers", "times": null, "status": 502 })).expect("valid")];
        assert!((0..9).all(|_| strike(&mut faults, "GET", "/servers").is_some()));
        assert!(strike(&mut faults, "GET", "/servers/1").is_none());
    }

    #[test]
    fn paths_match_by_segment() {
        assert!(matches_path("/servers/{id}/actions/*", "/servers/12/actions/poweron"));
        assert!(matches_path("/servers/**", "/servers/12/actions/poweron"));
        assert!(!matches_path("/servers/{id}", "/servers/12/actions/poweron"));
        assert!(!matches_path("/servers/{id}", "/servers"));
        assert!(!matches_path("/servers", "/ssh_keys"));
    }

    #[test]
    fn what_makes_no_fault_is_refused() {
        for value in [
            json!({}),
            json!({ "path": "/servers" }),
            json!({ "path": "/servers", "status": 42 }),
            json!({ "path": "/servers", "status": 500, "nonsense": 1 }),
            json!({ "path": "/servers", "drop": "sometimes" }),
        ] {
            assert!(Fault::parse(&value).is_err(), "{value}");
        }
    }
}
