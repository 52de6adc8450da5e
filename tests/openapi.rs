//! Keeps `src/api/openapi.json` in step with the core: routes, access, availability, problems, fields and words of the one
//! must be those of the other. Whether real answers have the shapes it describes is checked by `openapi.test.mjs`, with the
//! answers that `openapi/samples.rs` keeps.

#[path = "openapi/fields.rs"]
mod fields;
#[path = "openapi/samples.rs"]
mod samples;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "support/store.rs"]
mod store;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "support/upstream.rs"]
mod upstream;
#[path = "openapi/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mayfly::api::{Access, Problem, ROUTES, Route, Row};
use mayfly::keys::Scope;
use mayfly::model::ProviderName;
use mayfly::providers::{Error, ErrorKind};
use serde_json::Value;

use world::{Call, TOKEN, World, app, call, capability};

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];
/// The document is part of the Worker.
const MAX_BYTES: usize = 136_000;

/// The document as the Worker serves it.
fn document() -> Value {
    let ask = Call { method: "GET", target: "/openapi.json", headers: &[], body: b"" };
    let reply = call(&app(), &World::new(), ask);
    assert_eq!(reply.status, 200);
    assert!(reply.body.len() < MAX_BYTES, "the document has {} bytes", reply.body.len());
    serde_json::from_slice(&reply.body).expect("the document is JSON")
}

/// Every operation as (method, path, operation), and the parameters of its path.
fn operations(document: &Value) -> Vec<(&str, &str, &Value, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.iter().filter_map(move |method| {
                Some((*method, path.as_str(), item.get(*method)?, &item["parameters"]))
            })
        })
        .collect()
}

/// Follows a reference, where it is one.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(pointer) => {
            let target = pointer.strip_prefix('#').and_then(|it| document.pointer(it));
            target.unwrap_or_else(|| panic!("{pointer} points nowhere"))
        }
        None => value,
    }
}

fn row_of(method: &str, path: &str) -> &'static Row {
    let path = path.strip_suffix("{path}").map_or(path.to_owned(), |it| format!("{it}*"));
    ROUTES
        .iter()
        .find(|row| row.path == path && row.method.as_str().eq_ignore_ascii_case(method))
        .unwrap_or_else(|| panic!("{method} {path} is documented, and no route"))
}

fn scope_word(scope: Scope) -> String {
    serde_json::to_value(scope).ok().and_then(|it| it.as_str().map(str::to_owned)).expect("a word")
}

/// A caller whom the row lets in.
fn bearer(row: &Row) -> Option<String> {
    match row.access {
        Access::Public => None,
        Access::Token => Some(format!("Bearer {TOKEN}")),
        Access::Capability(scopes) => Some(capability(&app(), "a-vm-of-a-test", scopes[0])),
    }
}

fn status_of(row: &Row, bearer: Option<&str>) -> u16 {
    let target = row.path.replace("{id}", "hetzner-1").replace('*', "x/y");
    let headers: Vec<(&str, &str)> = bearer.iter().map(|it| ("authorization", *it)).collect();
    let ask = Call { method: row.method.as_str(), target: &target, headers: &headers, body: b"{}" };
    call(&app(), &World::new(), ask).status
}

#[test]
fn routes_and_document_are_the_same() {
    let document = document();
    let documented = operations(&document);
    let mut ids = BTreeSet::new();
    for (method, path, operation, path_parameters) in &documented {
        let row = row_of(method, path);
        let security = operation.get("security").unwrap_or(&document["security"]);
        let expected = match row.access {
            Access::Public => serde_json::json!([]),
            Access::Token => serde_json::json!([{ "apiToken": [] }]),
            Access::Capability(scopes) => {
                let one = |it: &Scope| serde_json::json!({ "vmCapability": [scope_word(*it)] });
                scopes.iter().map(one).collect()
            }
        };
        assert_eq!(*security, expected, "who may call {method} {path}");
        let id = operation["operationId"].as_str().expect("an operationId");
        assert!(ids.insert(id), "{id} stands twice");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|it| it.len() > 4), "{text} of {id}");
        }
        let tags = document["tags"].as_array().expect("tags");
        assert!(tags.iter().any(|it| it["name"] == operation["tags"][0]), "the tag of {id}");
        let in_path: Vec<&str> = [*path_parameters, &operation["parameters"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|it| resolve(&document, it))
            .filter(|it| it["in"] == "path")
            .filter_map(|it| it["name"].as_str())
            .collect();
        let named: Vec<&str> =
            path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(in_path, named, "parameters of {path}");
    }
    for row in &ROUTES {
        let found =
            documented.iter().filter(|(method, path, ..)| std::ptr::eq(row_of(method, path), row)).count();
        assert_eq!(found, 1, "{} {} in the document", row.method.as_str(), row.path);
    }
    assert_eq!(document["info"]["version"], mayfly::VERSION);
}

#[test]
fn what_is_said_to_be_missing_is_missing_and_the_rest_is_there() {
    let document = document();
    for (method, path, operation, _) in operations(&document) {
        let row = row_of(method, path);
        let status = status_of(row, bearer(row).as_deref());
        let said = operation.get("x-available").is_none_or(|it| *it != false);
        assert_eq!(status != 501, said, "{method} {path} answered {status}");
        assert_eq!(operation["responses"].get("501").is_some(), status == 501, "the 501 of {method} {path}");
    }
}

#[test]
fn refusals_that_every_route_of_a_kind_gives_are_documented() {
    let document = document();
    for (method, path, operation, _) in operations(&document) {
        let row = row_of(method, path);
        let has = |status: &str| operation["responses"].get(status).is_some();
        assert_eq!(status_of(row, None) == 401, has("401"), "the 401 of {method} {path}");
        let wrong = |scopes: &[Scope]| Scope::ALL.into_iter().find(|it| !scopes.contains(it));
        let wrong = if let Access::Capability(scopes) = row.access { wrong(scopes) } else { None };
        let wrong = capability(&app(), "a-vm-of-a-test", wrong.unwrap_or(Scope::Prune));
        assert_eq!(status_of(row, Some(&wrong)) == 403, has("403"), "the 403 of {method} {path}");
        assert!(has("503"), "a Worker that is not configured answers 503 to {method} {path}");
        let takes_body = operation.get("requestBody").is_some();
        assert_eq!(has("413"), takes_body, "the body of {method} {path}");
        let asks =
            operation["parameters"].as_array().is_some_and(|it| it.iter().any(|it| it["in"] == "query"));
        assert!(if takes_body { has("400") } else { asks || !has("400") }, "the 400 of {method} {path}");
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let response = resolve(&document, response);
            assert!(response["headers"].get("x-request-id").is_some(), "{status} of {method} {path}");
            let problem = status.starts_with(['4', '5']);
            let kind = match row.route {
                _ if problem && row.route == Route::VmAnthropic => "application/json",
                _ if problem => "application/problem+json",
                Route::Metrics => "text/plain",
                Route::VmBackup => "application/octet-stream",
                _ => "application/json",
            };
            assert!(response["content"].get(kind).is_some(), "{status} of {method} {path}");
        }
    }
}

#[test]
fn references_resolve_and_components_are_used() {
    fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|it| collect(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
            _ => {}
        }
    }
    /// What any path may answer, so that no operation names it.
    const FRAME: [&str; 2] = ["#/components/responses/NoSuchPath", "#/components/responses/MethodNotAllowed"];
    let document = document();
    let mut found = BTreeSet::new();
    collect(&document, &mut found);
    for pointer in &found {
        assert!(document.pointer(pointer.trim_start_matches('#')).is_some(), "{pointer} points nowhere");
    }
    for kind in ["schemas", "responses", "parameters", "headers", "examples"] {
        for name in document["components"][kind].as_object().expect(kind).keys() {
            let pointer = format!("#/components/{kind}/{name}");
            assert!(
                found.contains(pointer.as_str()) || FRAME.contains(&pointer.as_str()),
                "{pointer} is used by nobody"
            );
        }
    }
}

/// The codes of every status, over all responses.
fn documented_codes(document: &Value) -> BTreeMap<u16, BTreeSet<String>> {
    let mut codes: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    let shared = ["NoSuchPath", "MethodNotAllowed"].map(|it| &document["components"]["responses"][it]);
    let of_operations = operations(document).into_iter().flat_map(|(_, _, operation, _)| {
        operation["responses"].as_object().expect("responses").iter().map(|(status, it)| (status.clone(), it))
    });
    let frame = [("404".to_owned(), shared[0]), ("405".to_owned(), shared[1])];
    for (status, response) in of_operations.chain(frame) {
        let response = resolve(document, response);
        let schema = &response["content"]["application/problem+json"]["schema"]["properties"]["code"];
        let listed = schema["enum"].as_array().cloned().unwrap_or_else(|| vec![schema["const"].clone()]);
        let status: u16 = status.parse().expect("a status");
        codes
            .entry(status)
            .or_default()
            .extend(listed.iter().filter_map(|it| it.as_str().map(str::to_owned)));
    }
    codes.retain(|_, codes| !codes.is_empty());
    codes
}

/// Every `…::new(<status>, "<code>"` of the API's source.
fn codes_of_source() -> BTreeMap<u16, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join("api.rs")];
    files
        .extend(std::fs::read_dir(root.join("api")).expect("src/api").map(|it| it.expect("an entry").path()));
    let mut codes: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|it| it.extension().is_some_and(|it| it == "rs")) {
        let source = std::fs::read_to_string(file).expect("a source file");
        for call in source.split("::new(").skip(1) {
            let mut arguments = call.trim_start().splitn(3, ',');
            let (Some(status), Some(code)) = (arguments.next(), arguments.next()) else { continue };
            let code = code.trim().strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            if let (Ok(status), Some(code)) = (status.parse(), code) {
                codes.entry(status).or_default().insert(code.to_owned());
            }
        }
    }
    assert!(codes.values().map(BTreeSet::len).sum::<usize>() > 10, "the source could not be read: {codes:?}");
    codes
}

/// Every kind of provider error with the status that it becomes.
fn codes_of_providers() -> Vec<(u16, &'static str)> {
    use ErrorKind::{
        AlreadyExists, Capacity, Conflict, Invalid, Locked, Malformed, NotFound, Quota, RateLimited,
        TimedOut, TokenReadonly, Unauthorized, Unavailable,
    };
    let kinds = [
        AlreadyExists,
        Capacity,
        Conflict,
        Invalid,
        Locked,
        Malformed,
        NotFound,
        Quota,
        RateLimited,
        TimedOut,
        TokenReadonly,
        Unauthorized,
        Unavailable,
    ];
    let source = include_str!("../src/providers/error.rs");
    assert_eq!(
        source.matches("=> \"provider_").count(),
        kinds.len(),
        "a kind of error is missing in this list"
    );
    let problem = |kind| Problem::from(Error::new(ProviderName::Hetzner, kind, "x"));
    kinds.map(problem).iter().map(|it| (it.status(), it.code())).collect()
}

#[test]
fn every_code_is_documented_with_its_status() {
    let document = document();
    let mut expected = codes_of_source();
    for (status, code) in codes_of_providers() {
        expected.entry(status).or_default().insert(code.to_owned());
    }
    assert_eq!(documented_codes(&document), expected);
    let words = |pointer: &str| -> BTreeSet<String> {
        let words = document.pointer(pointer).and_then(Value::as_array).expect(pointer);
        words.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let all: BTreeSet<String> = expected.into_values().flatten().collect();
    assert_eq!(words("/components/schemas/Problem/properties/code/enum"), all);
    let of_providers: BTreeSet<String> =
        codes_of_providers().iter().map(|(_, it)| (*it).to_owned()).collect();
    assert_eq!(words("/components/schemas/ProviderError/properties/code/enum"), of_providers);
    let outcomes = words("/components/schemas/Attempt/properties/outcome/enum");
    assert!(
        of_providers.is_subset(&outcomes) && outcomes.contains("created") && outcomes.contains("adopted")
    );
}
