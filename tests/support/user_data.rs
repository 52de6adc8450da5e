//! User data read back: the cloud-config as YAML, and the file of the VM in it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::Value;

/// The one document of a user data; fails on anything that is not YAML and on a key that stands twice.
pub(crate) fn parse(user_data: &str) -> Yaml<'_> {
    let mut documents = Yaml::load_from_str(user_data).unwrap_or_else(|why| panic!("{why} in {user_data}"));
    assert_eq!(documents.len(), 1, "one document");
    documents.remove(0)
}

/// The content of a file in `write_files`.
pub(crate) fn file<'a>(config: &'a Yaml<'_>, path: &str) -> &'a str {
    let files = config["write_files"].as_vec().expect("write_files");
    let file = files.iter().find(|it| it["path"].as_str() == Some(path));
    file.unwrap_or_else(|| panic!("no file {path}"))["content"].as_str().expect("a content")
}

/// `/etc/mayfly/vm.json`.
pub(crate) fn vm_file(user_data: &str) -> Value {
    serde_json::from_str(file(&parse(user_data), "/etc/mayfly/vm.json")).expect("vm.json is JSON")
}

/// Every way in which a secret could stand in a text: plain, hexadecimal, and base64 at each of the three offsets.
fn traces(secret: &str) -> Vec<String> {
    let mut traces = vec![secret.to_owned(), secret.chars().rev().collect()];
    let hex = secret.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    traces.extend([hex.to_uppercase(), hex]);
    for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
        for offset in 0..3 {
            let encoded = engine.encode(format!("{}{secret}", "x".repeat(offset)));
            // Characters at both ends depend on the neighbours.
            let inner = encoded.trim_end_matches('=');
            traces.push(inner[4..inner.len() - 2].to_owned());
        }
    }
    traces
}

/// Fails if one of these secrets stands in a text, whatever its encoding.
pub(crate) fn holds_none_of<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) {
    for secret in secrets {
        for trace in traces(secret) {
            assert!(!text.contains(&trace), "{secret} is there as {trace}");
        }
    }
}
