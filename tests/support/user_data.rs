//! User data read back: the cloud-config as YAML, and the file of the VM in it.

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
