//! `/etc/mayfly/vm.json`, as the guest finds it in its user data.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

const PATH: &str = "/etc/mayfly/vm.json";

/// A value that no output shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the file says, as far as a simulation needs it.
#[derive(Debug, Clone)]
pub(crate) struct VmFile {
    /// The Worker's address.
    pub worker: String,
    /// Identity of the VM.
    pub vm: String,
    /// What it authenticates with.
    pub capability: Secret,
    /// Secrets that only the Worker can open.
    pub sealed: Secret,
    /// The repository.
    pub repo_url: String,
    /// The web UI.
    pub web_ui: String,
    /// Minutes without activity.
    pub idle_minutes: u64,
    /// Hard end of life, in Unix seconds; 0 for none.
    pub expires: u64,
    /// `worker`, `provider` or `shutdown`.
    pub self_delete: String,
}

impl VmFile {
    /// The error says why this user data makes no guest.
    pub(crate) fn from_user_data(user_data: &str) -> Result<Self, String> {
        if !user_data.starts_with("#cloud-config") {
            return Err("the user data is no cloud-config".to_owned());
        }
        let documents = YamlLoader::load_from_str(user_data)
            .map_err(|error| format!("the user data is no YAML: {error}"))?;
        let files = documents.first().and_then(|document| document["write_files"].as_vec());
        let entry = files.into_iter().flatten().find(|file| file["path"].as_str() == Some(PATH));
        let entry = entry.ok_or_else(|| format!("the user data writes no {PATH}"))?;
        Self::parse(&content(entry)?)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: Value =
            serde_json::from_str(text).map_err(|error| format!("{PATH} is no JSON: {error}"))?;
        let text = |key: &str| {
            let value = file[key].as_str().ok_or_else(|| format!("{PATH}: {key} is no string"));
            value.map(str::to_owned)
        };
        let number = |key: &str| file[key].as_u64().ok_or_else(|| format!("{PATH}: {key} is no number"));
        if file["v"] != 1 {
            return Err(format!("{PATH}: v is not 1"));
        }
        Ok(Self {
            worker: text("worker")?,
            vm: text("vm")?,
            capability: Secret(text("capability")?),
            sealed: Secret(text("sealed")?),
            repo_url: text("repo_url")?,
            web_ui: text("web_ui")?,
            idle_minutes: number("idle_minutes")?,
            expires: number("expires")?,
            self_delete: text("self_delete")?,
        })
    }
}

/// The content of a `write_files` entry, decoded.
fn content(entry: &Yaml) -> Result<String, String> {
    let text = entry["content"].as_str().ok_or_else(|| format!("{PATH} has no content"))?;
    match entry["encoding"].as_str() {
        None | Some("text/plain") => Ok(text.to_owned()),
        Some("b64" | "base64") => {
            let packed: String = text.split_whitespace().collect();
            let bytes = BASE64_STANDARD.decode(packed).map_err(|_| format!("{PATH} is no base64"))?;
            String::from_utf8(bytes).map_err(|_| format!("{PATH} is no UTF-8"))
        }
        Some(other) => Err(format!("{PATH} has the unknown encoding {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"v":1,"worker":"http://127.0.0.1:1","vm":"abc","capability":"c\"'x","sealed":"",
        "repo_url":"https://example.com/a","web_ui":"cloudcli","idle_minutes":30,"expires":9,"self_delete":"worker"}"#;

    #[test]
    fn the_file_is_found_plain_and_encoded() {
        let plain = serde_json::to_string(FILE).expect("a string");
        let packed = BASE64_STANDARD.encode(FILE);
        for entry in [format!("content: {plain}"), format!("encoding: b64\n    content: {packed}")] {
            let text = format!(
                "#cloud-config\nwrite_files:\n  - path: /other\n    content: x\n  - path: {PATH}\n    {entry}\n"
            );
            let file = VmFile::from_user_data(&text).expect("a guest's user data");
            assert_eq!((file.vm.as_str(), file.capability.0.as_str(), file.expires), ("abc", "c\"'x", 9));
            assert!(!format!("{file:?}").contains("c\\\"'x"), "secrets are masked");
        }
    }

    #[test]
    fn other_user_data_makes_no_guest() {
        for text in [
            "",
            "#!/bin/sh\n",
            "#cloud-config\npackages: [git]\n",
            "#cloud-config\n{",
            "#cloud-config\nwrite_files:\n  - path: /etc/mayfly/vm.json\n    content: '{}'\n",
        ] {
            assert!(VmFile::from_user_data(text).is_err(), "{text}");
        }
    }
}
