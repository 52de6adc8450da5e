//! A scripted provider: the calls that must come, in their order, each with its answer. A call that is missing, extra or
//! different fails the test. Groups hold calls that run side by side, whose order is nobody's business.

use std::cell::RefCell;
use std::collections::VecDeque;

use mayfly::http::{Method, NoAnswer, Request, Response};
use serde_json::Value;

use super::fixtures;
use super::world::HETZNER_API_URL;

/// The calls in their order.
#[derive(Default)]
pub(crate) struct Script {
    steps: RefCell<VecDeque<Vec<Exchange>>>,
    seen: RefCell<Vec<Request>>,
}

/// One call with its answer.
pub(crate) struct Exchange {
    method: Method,
    target: String,
    /// The call of a query API, where all have the same address.
    action: Option<&'static str>,
    body: Want,
    answer: Result<Response, NoAnswer>,
    computed: Option<Compute>,
}

/// Makes an answer's body from the request's JSON.
type Compute = Box<dyn Fn(&Value) -> String>;

/// What a call's body must be.
enum Want {
    Nothing,
    Anything,
    Json(Value),
    Text(String),
    Checked(Box<dyn Fn(&Value)>),
}

pub(crate) fn get(target: impl Into<String>) -> Exchange {
    Exchange::new(Method::Get, target.into())
}

pub(crate) fn post(target: impl Into<String>) -> Exchange {
    Exchange::new(Method::Post, target.into()).checked(|_| ())
}

pub(crate) fn put(target: impl Into<String>) -> Exchange {
    Exchange::new(Method::Put, target.into()).checked(|_| ())
}

pub(crate) fn patch(target: impl Into<String>) -> Exchange {
    Exchange::new(Method::Patch, target.into()).checked(|_| ())
}

pub(crate) fn delete(target: impl Into<String>) -> Exchange {
    Exchange::new(Method::Delete, target.into())
}

impl Exchange {
    fn new(method: Method, target: String) -> Self {
        let answer = Ok(Response { status: 200, ..Response::default() });
        Self { method, target, action: None, body: Want::Nothing, answer, computed: None }
    }

    /// The body must be a form of a query API's call.
    pub(crate) fn action(self, action: &'static str) -> Self {
        Self { action: Some(action), ..self }
    }

    /// The body must be this JSON, or the form with these names and values.
    pub(crate) fn json(self, body: Value) -> Self {
        Self { body: Want::Json(body), ..self }
    }

    /// The body must be this text.
    pub(crate) fn text(self, body: impl Into<String>) -> Self {
        Self { body: Want::Text(body.into()), ..self }
    }

    /// There must be no body.
    pub(crate) fn nothing(self) -> Self {
        Self { body: Want::Nothing, ..self }
    }

    /// The body does not matter.
    pub(crate) fn anything(self) -> Self {
        Self { body: Want::Anything, ..self }
    }

    /// The body must be JSON that passes the check.
    pub(crate) fn checked(self, check: impl Fn(&Value) + 'static) -> Self {
        Self { body: Want::Checked(Box::new(check)), ..self }
    }

    /// Answers with a body.
    pub(crate) fn answers(self, status: u16, body: impl AsRef<[u8]>) -> Self {
        let headers = self.answer.map(|it| it.headers).unwrap_or_default();
        Self { answer: Ok(Response { status, headers, body: body.as_ref().to_vec() }), ..self }
    }

    /// Answers with JSON.
    pub(crate) fn gives(self, status: u16, body: &Value) -> Self {
        self.answers(status, body.to_string())
    }

    /// Answers with JSON made from the request's.
    pub(crate) fn computes(self, status: u16, answer: impl Fn(&Value) -> Value + 'static) -> Self {
        self.writes(status, move |it| answer(it).to_string())
    }

    /// Answers with a text made from the request's JSON or form.
    pub(crate) fn writes(self, status: u16, answer: impl Fn(&Value) -> String + 'static) -> Self {
        Self { computed: Some(Box::new(answer)), ..self.answers(status, "") }
    }

    /// Answers with a fixture.
    pub(crate) fn fixture(self, status: u16, name: &str) -> Self {
        self.answers(status, fixtures::text(name))
    }

    /// Answers with a fixture of another provider than Hetzner.
    pub(crate) fn fixture_of(self, provider: &str, status: u16, name: &str) -> Self {
        self.answers(status, fixtures::text_of(provider, name))
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.answer = self.answer.map(|mut it| {
            it.headers.push((name, value.to_owned()));
            it
        });
        self
    }

    /// No answer arrives.
    pub(crate) fn lost(self, why: NoAnswer) -> Self {
        Self { answer: Err(why), ..self }
    }

    fn is_for(&self, request: &Request) -> bool {
        let url = &request.url;
        // Whole, or a path of Hetzner's API.
        self.method == request.method
            && self.action.is_none_or(|it| request.body.starts_with(format!("Action={it}&").as_bytes()))
            && (*url == self.target || url.strip_prefix(HETZNER_API_URL) == Some(&self.target))
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.method.as_str(), self.target, self.action.unwrap_or_default())
    }

    fn check_body(&self, request: &Request) {
        let name = self.name();
        if let Want::Nothing = self.body {
            assert!(request.body.is_empty(), "{name} came with a body");
            return;
        }
        if let Want::Anything = self.body {
            return;
        }
        if let Want::Text(want) = &self.body {
            assert_eq!(String::from_utf8_lossy(&request.body), *want, "the body of {name}");
            return;
        }
        let got = read(&request.body).unwrap_or_else(|| panic!("{name} came with a body that is not JSON"));
        match &self.body {
            Want::Json(want) => assert_eq!(got, *want, "the body of {name}"),
            Want::Checked(check) => check(&got),
            Want::Nothing | Want::Anything | Want::Text(_) => {}
        }
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Next comes this call.
    pub(crate) fn then(self, exchange: Exchange) -> Self {
        self.side_by_side([exchange])
    }

    /// Next come these calls, in whatever order.
    pub(crate) fn side_by_side(self, group: impl IntoIterator<Item = Exchange>) -> Self {
        let group: Vec<Exchange> = group.into_iter().collect();
        if !group.is_empty() {
            self.steps.borrow_mut().push_back(group);
        }
        self
    }

    /// Next comes what another script says.
    pub(crate) fn append(self, other: &Self) -> Self {
        self.steps.borrow_mut().append(&mut other.steps.borrow_mut());
        self
    }

    /// Next come these calls, in this order.
    pub(crate) fn in_order(self, exchanges: impl IntoIterator<Item = Exchange>) -> Self {
        exchanges.into_iter().fold(self, Self::then)
    }

    /// Answers the next call.
    pub(crate) fn answer(&self, request: Request) -> Result<Response, NoAnswer> {
        let mut steps = self.steps.borrow_mut();
        let Some(group) = steps.front_mut() else {
            panic!("nothing more was to be asked, but {request:?} came")
        };
        let Some(at) = group.iter().position(|it| it.is_for(&request)) else {
            let wanted: Vec<String> = group.iter().map(Exchange::name).collect();
            panic!("{request:?} came instead of {}", wanted.join(" or "))
        };
        let exchange = group.remove(at);
        if group.is_empty() {
            steps.pop_front();
        }
        exchange.check_body(&request);
        let computed =
            exchange.computed.as_ref().map(|it| it(&read(&request.body).unwrap_or(Value::Null)).into_bytes());
        self.seen.borrow_mut().push(request);
        exchange.answer.map(|it| Response { body: computed.unwrap_or(it.body), ..it })
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.borrow().clone()
    }

    /// The calls that have not come need not come any more.
    pub(crate) fn forgive(&self) {
        self.steps.borrow_mut().clear();
    }

    /// Fails unless every call came.
    pub(crate) fn finish(&self) {
        let missing: Vec<String> = self.steps.borrow().iter().flatten().map(Exchange::name).collect();
        assert!(missing.is_empty(), "these calls never came: {}", missing.join(", "));
    }
}

/// A body's JSON; a form as an object of strings.
pub(crate) fn read(body: &[u8]) -> Option<Value> {
    if !body.starts_with(b"Action=") {
        return serde_json::from_slice(body).ok();
    }
    let pair = |it: &str| {
        let (name, value) = it.split_once('=')?;
        Some((name.to_owned(), Value::String(decoded(value)?)))
    };
    std::str::from_utf8(body).ok()?.split('&').map(pair).collect::<Option<_>>().map(Value::Object)
}

/// A form's encoding undone.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
