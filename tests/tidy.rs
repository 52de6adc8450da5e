//! Invariants that a search through the text can check: how files open, who may name the platform, what scripts must not
//! contain. What the compiler and the linters check is left to them.

use std::fs;
use std::path::{Path, PathBuf};

use mayfly::api::ROUTES;
use serde_json::Value;

/// Lines of a source file at the most.
const MAX_LINES: usize = 500;
/// Folders that no person writes.
const MADE: [&str; 8] =
    [".git", ".cache", ".wrangler", "target", "build", "node_modules", "artifacts", "__pycache__"];
/// Lock files name the registries that their tools use.
const LOCKS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().is_ok_and(|it| it.is_symlink()) {
            continue;
        }
        if path.is_dir() {
            if !MADE.iter().any(|it| name == *it) {
                collect(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// Every text file that people write: its path from the root, and its text.
fn texts() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    collect(&root(), &mut paths);
    paths.sort();
    let text = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        // Secrets of whoever works here are nobody's to read.
        if name.starts_with(".dev.vars") || name.starts_with(".secrets") {
            return None;
        }
        Some((name, fs::read_to_string(&path).ok()?))
    };
    let texts: Vec<(String, String)> = paths.into_iter().filter_map(text).collect();
    assert!(texts.len() > 100, "the search found only {} files", texts.len());
    texts
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|it| extensions.iter().any(|known| it == *known))
}

fn is_rust(name: &str) -> bool {
    has_extension(name, &["rs"])
}

/// Fails with everything that was found, not with the first.
fn nothing_in(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Lines that hold a needle, as `file:line: text`.
fn lines_with(files: &[(String, String)], needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files {
        for (at, line) in text.lines().enumerate() {
            if needles.iter().any(|it| line.contains(it)) {
                found.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn every_rust_file_opens_with_what_it_is() {
    let silent: Vec<String> = texts()
        .into_iter()
        .filter(|(name, text)| is_rust(name) && !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    nothing_in(&silent, "these begin without //!");
}

#[test]
fn only_the_edge_names_the_platform() {
    let core: Vec<(String, String)> = texts()
        .into_iter()
        .filter(|(name, _)| is_rust(name) && name.starts_with("src/"))
        .filter(|(name, _)| !name.starts_with("src/edge/") && !name.starts_with("src/xtask/"))
        .collect();
    assert!(core.len() > 20, "the core has more files than these");
    let names = ["worker::", "wasm_bindgen", "js_sys", "web_sys", "getrandom", "use worker"];
    nothing_in(&lines_with(&core, &names), "only src/edge may name the platform");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let dependencies =
        manifest.split("[dependencies]").nth(1).and_then(|it| it.split("\n[").next()).expect("a table");
    for name in ["worker", "wasm-bindgen", "js-sys", "web-sys", "getrandom"] {
        assert!(
            !dependencies.lines().any(|it| it.split([' ', '=', '.']).next() == Some(name)),
            "the core depends on {name}"
        );
    }
}

#[test]
fn the_core_knows_no_clock_and_no_environment() {
    let core: Vec<(String, String)> = texts()
        .into_iter()
        .filter(|(name, _)| is_rust(name) && name.starts_with("src/") && name != "src/build.rs")
        .filter(|(name, _)| !name.starts_with("src/edge/") && !name.starts_with("src/xtask/"))
        .collect();
    let names = [
        "SystemTime",
        "Instant::",
        "std::time::Instant",
        "now_utc",
        "now_local",
        "env::var",
        "std::net::Tcp",
    ];
    nothing_in(&lines_with(&core, &names), "time and environment are arguments of the core");
}

#[test]
fn only_schema_wire_and_the_named_files_turn_providers_json_into_types() {
    let providers: Vec<(String, String)> = texts()
        .into_iter()
        .filter(|(name, _)| name.starts_with("src/providers") && !name.ends_with("/schema.rs"))
        .collect();
    nothing_in(
        &lines_with(&providers, &["derive(Deserialize", "derive(Serialize"]),
        "a vendor's JSON is in its schema.rs",
    );
}

#[test]
fn scripts_and_units_hold_no_placeholder() {
    let scripts: Vec<(String, String)> =
        texts().into_iter().filter(|(name, _)| name.starts_with("cloud-init/vm/")).collect();
    assert!(scripts.len() > 5, "cloud-init/vm has more files than these");
    nothing_in(&lines_with(&scripts, &["{{", "{%"]), "only cloud-init/user-data.yaml is a template");
}

#[test]
fn every_value_of_the_template_goes_through_json() {
    let template = fs::read_to_string(root().join("cloud-init/user-data.yaml")).expect("the template");
    let values: Vec<&str> =
        template.split("{{").skip(1).filter_map(|it| it.split("}}").next()).map(str::trim).collect();
    assert!(values.len() >= 4, "{values:?}");
    for value in values {
        assert!(value.ends_with("|json"), "{value}");
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let source = ["rs", "js", "mjs", "sh", "css", "html", "py"];
    let long: Vec<String> = texts()
        .into_iter()
        .filter(|(name, text)| has_extension(name, &source) && text.lines().count() > MAX_LINES)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    nothing_in(&long, "more than 500 lines");
}

#[test]
fn no_line_ends_in_white_space_and_every_file_in_a_line() {
    let mut found = Vec::new();
    for (name, text) in texts() {
        for (at, line) in text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                found.push(format!("{name}:{}", at + 1));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            found.push(format!("{name}: ends without a line break or with several"));
        }
    }
    nothing_in(&found, "white space at the end");
}

#[test]
fn the_repository_refers_to_nothing_beside_it() {
    // Tests may look for documents beside the repository, and say so where they are missing.
    let files: Vec<(String, String)> =
        texts().into_iter().filter(|(name, _)| !name.starts_with("tests/") && name != ".ci/run").collect();
    nothing_in(&lines_with(&files, &[concat!("../", "shared")]), "beside the repository is nobody's");
}

#[test]
fn no_text_names_a_registrys_host() {
    let hosts = [
        concat!("registry.", "npmjs.org"),
        concat!("crates", ".io/api"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("pypi", ".org"),
        concat!("files.", "pythonhosted.org"),
        concat!("proxy.", "golang.org"),
    ];
    let files: Vec<(String, String)> =
        texts().into_iter().filter(|(name, _)| !LOCKS.iter().any(|it| name.ends_with(it))).collect();
    nothing_in(&lines_with(&files, &hosts), "tools know their registries");
}

#[test]
fn every_fixture_is_used_and_what_is_json_reads_as_such() {
    let tests: String = texts()
        .into_iter()
        .filter(|(name, _)| is_rust(name) && name.starts_with("tests/"))
        .map(|(_, text)| text)
        .collect();
    let mut fixtures = Vec::new();
    collect(&root().join("tests/fixtures"), &mut fixtures);
    let mut unused = Vec::new();
    for path in fixtures.iter().filter(|it| it.extension().is_some_and(|it| it == "json" || it == "xml")) {
        let text = fs::read_to_string(path).expect("text");
        let is_xml = path.extension().is_some_and(|it| it == "xml");
        assert!(is_xml || serde_json::from_str::<Value>(&text).is_ok(), "{}", path.display());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !tests.contains(&format!("\"{stem}\"")) {
            unused.push(stem);
        }
    }
    nothing_in(&unused, "no test uses these fixtures");
}

#[test]
fn every_route_is_documented() {
    let document = fs::read_to_string(root().join("src/api/openapi.json")).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let mut missing = Vec::new();
    for row in &ROUTES {
        let name = format!("{} {}", row.method.as_str(), row.path);
        let mut paths = document["paths"].as_object().into_iter().flatten();
        let path = paths.find(|(path, _)| shape(path) == shape(row.path)).map_or(&Value::Null, |it| it.1);
        let operation = &path[row.method.as_str().to_ascii_lowercase()];
        if operation.is_null() {
            missing.push(format!("openapi.json: {name}"));
        }
        // The README tells of what works.
        let told = readme.contains(&format!("`{name}")) || readme.contains(&format!("`{}`", row.path));
        if operation["x-available"] != false && !told {
            missing.push(format!("README.md: {name}"));
        }
    }
    nothing_in(&missing, "routes without documentation");
}

/// A path with its placeholders made equal: `{name}` and `*` are one segment or more.
fn shape(path: &str) -> String {
    let segment = |it: &str| if it.starts_with('{') || it == "*" { "{}".to_owned() } else { it.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}
