//! Recorded answers from `tests/fixtures/`, and servers made from them. Each test says what it changes.

use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// The folder of the fixtures.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A fixture of Hetzner's, by its name without extension.
pub(crate) fn text(name: &str) -> String {
    text_of("hetzner", name)
}

/// A fixture of any provider.
pub(crate) fn text_of(provider: &str, name: &str) -> String {
    let file = |extension| folder().join(provider).join(format!("{name}.{extension}"));
    let path = [file("xml"), file("json")].into_iter().find(|it| it.exists()).unwrap_or_else(|| file("json"));
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The same as JSON.
pub(crate) fn value_of(provider: &str, name: &str) -> Value {
    serde_json::from_str(&text_of(provider, name)).expect("fixtures are JSON")
}

/// The same as JSON.
pub(crate) fn value(name: &str) -> Value {
    serde_json::from_str(&text(name)).expect("fixtures are JSON")
}

/// A server as Hetzner shows it.
#[derive(Clone)]
pub(crate) struct Server(Value);

impl Server {
    /// Ours, ready, an hour old, of the owner `default`.
    pub(crate) fn ours() -> Self {
        Self(value("get_server.ready")["server"].take())
    }

    /// Somebody else's, without a label of ours.
    pub(crate) fn foreign() -> Self {
        Self(value("get_server.foreign")["server"].take())
    }

    /// As the answer to a creation has it: without the addresses' ids.
    pub(crate) fn created() -> Self {
        Self(value("create_server.created")["server"].take())
    }

    pub(crate) fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    pub(crate) fn id(self, id: u64) -> Self {
        self.set("id", id)
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["labels"][key] = value.into();
        self
    }

    pub(crate) fn without_label(mut self, key: &str) -> Self {
        self.labels_mut().remove(key);
        self
    }

    pub(crate) fn labels(&self) -> Map<String, Value> {
        self.0["labels"].as_object().expect("labels").clone()
    }

    /// The labels with some of them changed: what a write must send.
    pub(crate) fn labels_with(&self, changes: &[(&str, &str)]) -> Value {
        let mut labels = self.labels();
        for (key, value) in changes {
            // An empty one is taken away.
            if value.is_empty() {
                labels.remove(*key);
            } else {
                labels.insert((*key).to_owned(), (*value).into());
            }
        }
        json!({ "labels": labels })
    }

    fn labels_mut(&mut self) -> &mut Map<String, Value> {
        self.0["labels"].as_object_mut().expect("labels")
    }

    pub(crate) fn ipv4(mut self, ip: Option<&str>) -> Self {
        self.0["public_net"]["ipv4"] = match ip {
            Some(ip) => json!({"id": 901, "ip": ip, "blocked": false, "dns_ptr": null}),
            None => Value::Null,
        };
        self
    }

    pub(crate) fn ipv6(mut self, ip: Option<&str>) -> Self {
        self.0["public_net"]["ipv6"] = match ip {
            Some(ip) => json!({"id": 902, "ip": ip, "blocked": false, "dns_ptr": []}),
            None => Value::Null,
        };
        self
    }

    /// The answer to a GET of this server, or to a PUT.
    pub(crate) fn one(&self) -> Value {
        json!({ "server": self.0 })
    }

    /// The answer to its creation.
    pub(crate) fn creation(&self) -> Value {
        let mut answer = value("create_server.created");
        answer["server"] = self.0.clone();
        answer
    }
}

/// A page of servers. `next` and `last` are the pagination's.
pub(crate) fn page(servers: &[Server], next: Option<u32>, last: Option<u32>) -> Value {
    let servers: Vec<&Value> = servers.iter().map(|it| &it.0).collect();
    let mut page = value("list_servers.empty");
    page["servers"] = json!(servers);
    page["meta"]["pagination"]["next_page"] = json!(next);
    page["meta"]["pagination"]["last_page"] = json!(last);
    page
}

/// The only page.
pub(crate) fn only(servers: &[Server]) -> Value {
    page(servers, None, Some(1))
}
