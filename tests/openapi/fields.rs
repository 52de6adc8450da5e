//! Fields, limits and words: what the document says of them, against what the core accepts.

use std::collections::BTreeSet;

use mayfly::labels::{Reason, Signal};
use mayfly::model::{Phase, ProviderName, Size};
use mayfly::spec::{self, FieldProblem};
use mayfly::workspace::{Image, Profile, WebUi};
use serde_json::{Map, Value, json};

use crate::world::app;

fn schema(name: &str) -> Value {
    crate::document()["components"]["schemas"][name].clone()
}

/// What is wrong with a request that has this one field, beside a good `repo_url`.
fn problems(field: &str, value: &Value) -> Vec<FieldProblem> {
    let mut body = Map::from_iter([("repo_url".to_owned(), json!("https://github.com/owner/name"))]);
    body.insert(field.to_owned(), value.clone());
    let app = app();
    let defaults = &app.ready().expect("a configured app").config.defaults;
    spec::parse(Value::Object(body).to_string().as_bytes(), defaults).err().unwrap_or_default()
}

fn is_unknown(field: &str) -> bool {
    problems(field, &json!("x")).iter().any(|it| it.detail.contains("is not a field"))
}

/// Every name that stands in quotes in the reader of requests: no field of it can be missing here.
fn words_of_source() -> BTreeSet<&'static str> {
    let source = concat!(include_str!("../../src/spec/fields.rs"), include_str!("../../src/spec.rs"));
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_name = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    source.split('"').filter(is_name).collect()
}

#[test]
fn the_create_request_has_these_fields_and_no_others() {
    let schema = schema("CreateVm");
    let documented = schema["properties"].as_object().expect("properties");
    for field in documented.keys() {
        assert!(!is_unknown(field), "{field} is documented, and the core does not know it");
    }
    assert!(is_unknown("no_such_field") && schema["additionalProperties"] == false);
    let read: BTreeSet<&str> = words_of_source().into_iter().filter(|it| !is_unknown(it)).collect();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), read);
}

#[test]
fn every_field_has_an_example_and_is_null_where_it_says_so() {
    let schema = schema("CreateVm");
    for (field, it) in schema["properties"].as_object().expect("properties") {
        assert!(it["examples"].is_array(), "{field} has no example");
        let nullable =
            it["type"] == "null" || it["type"].as_array().is_some_and(|it| it.contains(&json!("null")));
        assert_eq!(problems(field, &Value::Null).is_empty(), nullable, "null as {field}");
    }
}

#[test]
fn examples_are_accepted_and_every_limit_is_the_cores() {
    let schema = schema("CreateVm");
    for (field, it) in schema["properties"].as_object().expect("properties") {
        let good = |value: &Value| problems(field, value).is_empty();
        for example in it["examples"].as_array().into_iter().flatten() {
            assert!(good(example), "{field}: {example}");
        }
        let example = &it["examples"][0];
        for word in it["enum"].as_array().into_iter().flatten() {
            assert!(good(word), "{field}: {word}");
        }
        if it["enum"].is_array() {
            assert!(!good(&json!("no-such-choice")), "{field} takes every word");
        }
        if let Some(least) = it["minimum"].as_u64() {
            let most = it["maximum"].as_u64().expect("a maximum");
            assert!(good(&json!(least)) && good(&json!(most)), "{field}: {least} to {most}");
            assert!(!good(&json!(least - 1)) && !good(&json!(most + 1)), "{field}: {least} to {most}");
        }
        if let Some(most) = it["maxLength"].as_u64() {
            let long = |more: u64| {
                let text = example.as_str().expect("an example").to_owned();
                let missing = usize::try_from(most + more).expect("a length") - text.len();
                json!(text + &"a".repeat(missing))
            };
            assert!(good(&long(0)) && !good(&long(1)), "{field} has another limit than {most} characters");
        }
        if let Some(most) = it["maxItems"].as_u64() {
            let many = |count: u64| json!(vec![example[0].clone(); usize::try_from(count).expect("a count")]);
            assert!(good(&many(most)) && !good(&many(most + 1)), "{field} has another limit than {most}");
        }
        if let Some(most) = it["maxProperties"].as_u64() {
            let many =
                |count: u64| -> Value { (0..count).map(|it| (format!("V{it}"), json!("x"))).collect() };
            assert!(good(&many(most)) && !good(&many(most + 1)), "{field} has another limit than {most}");
        }
    }
}

#[test]
fn words_are_the_cores() {
    let document = crate::document();
    let is = |pointer: &str, words: &[&str]| {
        let documented = document.pointer(&format!("/components/schemas/{pointer}/enum"));
        let documented =
            documented.and_then(Value::as_array).unwrap_or_else(|| panic!("no words at {pointer}"));
        let documented: Vec<&str> = documented.iter().filter_map(Value::as_str).collect();
        assert_eq!(documented, words, "{pointer}");
    };
    let (sizes, uis) = (Size::ALL.map(Size::as_str), WebUi::ALL.map(WebUi::as_str));
    let images = Image::ALL.map(Image::as_str);
    is("CreateVm/properties/size", &sizes);
    is("CreateVm/properties/web_ui", &uis);
    is("CreateVm/properties/image", &images);
    is("CreateVm/properties/profile", &Profile::ALL.map(Profile::as_str));
    is("CreateVm/properties/provider", &ProviderName::ALL.map(ProviderName::as_str));
    is("Vm/properties/provider", &ProviderName::ALL.map(ProviderName::as_str));
    is("Vm/properties/size", &sizes);
    is("OptionsSize/properties/size", &sizes);
    is("Options/properties/defaults/properties/size", &sizes);
    is("Options/properties/defaults/properties/web_ui", &uis);
    is("Options/properties/defaults/properties/image", &images);
    is("OptionsProvider/properties/images/items", &images);
    is("Phase", &Phase::ALL.map(Phase::as_str));
    is("ReasonCode", &Reason::CODES.map(|(code, _)| code));
    let signals = Signal::ALL.map(Signal::as_str);
    is("Idle/properties/verdict/items/properties/signal", &signals);
    let heartbeat = document.pointer("/components/schemas/Heartbeat/properties/verdict/properties");
    let heartbeat = heartbeat.and_then(Value::as_object).expect("the verdict of a heartbeat");
    assert_eq!(heartbeat.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(signals));
    for (index, state) in every_state().into_iter().enumerate() {
        let pointer = format!("/components/schemas/Vm/properties/state/enum/{index}");
        assert_eq!(document.pointer(&pointer).and_then(Value::as_str), Some(state));
    }
}

/// The match has no arm for the rest: a new state does not compile until it is here.
fn every_state() -> Vec<&'static str> {
    use mayfly::model::VmState::{self, Creating, Deleting, Running, Stopped, Stopping, Unknown};
    let next = |it: VmState| match it {
        Creating => Some(Running),
        Running => Some(Stopping),
        Stopping => Some(Stopped),
        Stopped => Some(Deleting),
        Deleting => Some(Unknown),
        Unknown => None,
    };
    std::iter::successors(Some(Creating), |it| next(*it)).map(VmState::as_str).collect()
}
