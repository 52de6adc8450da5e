//! The pages of a simulated VM's door. Every value in them goes through `escape`.

use serde_json::{Value, json};

use super::record::Record;
use crate::clock::rfc3339;

/// Posts a link's token: it is in the fragment, so that no log or preview sees it.
pub(crate) const SCRIPT: &str = r#"// Signs in with the token behind the #, then forgets it.
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", location.pathname);
  const form = document.querySelector("form");
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "token";
  field.value = token;
  form.replaceChildren(field);
  form.submit();
}
"#;

/// One sheet for all pages.
pub(crate) const STYLE: &str = r":root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
.note { border: 1px solid; border-radius: 0.5rem; padding: 0.75rem 1rem; }
.problem { font-weight: 600; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem; overflow-wrap: anywhere; }
input, button { font: inherit; padding: 0.4rem 0.6rem; }
nav a { margin-right: 1rem; }
pre { overflow: auto; padding: 0.75rem; border: 1px solid; border-radius: 0.5rem; }
";

/// Text that is safe in HTML, attribute values included.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn document(ip: &str, title: &str, main: &str) -> String {
    let (ip, title) = (escape(ip), escape(title));
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="stylesheet" href="/guests/{ip}/_mayfly/door.css">
</head>
<body>
<main>
<h1>{title}</h1>
{main}
</main>
</body>
</html>
"#
    )
}

fn navigation(ip: &str) -> String {
    let ip = escape(ip);
    format!(
        r#"<nav><a href="/guests/{ip}/">Workspace</a><a href="/guests/{ip}/terminal/">Terminal</a><a href="/guests/{ip}/_mayfly/status">Status</a></nav>
<form method="post" action="/guests/{ip}/_mayfly/out"><button>Sign out</button></form>"#
    )
}

fn facts(record: &Record) -> String {
    let vm = record.vm.as_ref();
    let entries = [
        ("Repository", vm.map(|vm| vm.repo_url.clone()).unwrap_or_default()),
        ("Phase", record.phase.to_owned()),
        ("Web UI", vm.map(|vm| vm.web_ui.clone()).unwrap_or_default()),
    ];
    let row = |(name, value): &(&str, String)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    format!("<dl>{}</dl>", entries.iter().map(row).collect::<String>())
}

/// Behind the door, in place of the web UI.
pub(crate) fn home(ip: &str, record: &Record) -> String {
    let main = format!(
        r#"<p class="note">This is a simulated workspace: no server was rented, nothing was cloned and nothing is billed.
A real one shows its web UI here.</p>
{}
<h2>Leaving the simulation</h2>
<p>Give the Worker a real <code>HETZNER_TOKEN</code>, take <code>HETZNER_API_URL</code> and <code>VM_ORIGIN</code> away,
and set <code>PUBLIC_URL</code> to an address that a VM can reach, as after a deployment.</p>
{}"#,
        facts(record),
        navigation(ip)
    );
    document(ip, "Simulated workspace", &main)
}

/// In place of the terminal.
pub(crate) fn terminal(ip: &str, record: &Record) -> String {
    let main = format!(
        "<p class=\"note\">This is a simulated workspace: a real one has a terminal here.</p>\n<pre>$ git remote get-url origin\n{}\n$ _</pre>\n{}",
        escape(record.vm.as_ref().map_or("", |vm| vm.repo_url.as_str())),
        navigation(ip)
    );
    document(ip, "Simulated terminal", &main)
}

/// Phases and the idle clock, for people.
pub(crate) fn status(ip: &str, record: &Record) -> String {
    let row = |(phase, at): &(&'static str, u64)| {
        format!("<dt>{}</dt><dd>{}</dd>", escape(phase), escape(&rfc3339(*at)))
    };
    let phases: String = record.entered.iter().map(row).collect();
    let main = format!(
        "{}<h2>Phases</h2><dl>{phases}</dl><h2>Last activity</h2><p>{}, limit {} minutes</p>{}",
        facts(record),
        escape(&rfc3339(record.active_ms)),
        record.idle_minutes,
        navigation(ip)
    );
    document(ip, "Status", &main)
}

/// The same for programs.
pub(crate) fn status_json(record: &Record) -> Value {
    let phases: Vec<Value> =
        record.entered.iter().map(|(phase, at)| json!({ "phase": phase, "at": rfc3339(*at) })).collect();
    json!({
        "simulation": true, "phase": record.phase, "phases": phases,
        "repo_url": record.vm.as_ref().map(|vm| &vm.repo_url),
        "idle": { "active_at": rfc3339(record.active_ms), "limit_minutes": record.idle_minutes },
    })
}

/// Before the door.
pub(crate) fn sign_in(ip: &str, problem: Option<&str>) -> String {
    let problem = problem.map(|why| format!("<p class=\"problem\" role=\"alert\">{}</p>", escape(why)));
    let ip_text = escape(ip);
    let main = format!(
        r#"{}
<form method="post" action="/guests/{ip_text}/_mayfly/in">
<p><label>Password <input name="password" type="password" autocomplete="current-password" required autofocus></label>
<button>Sign in</button></p>
</form>
<p class="note">This is a simulated workspace.</p>
<script src="/guests/{ip_text}/_mayfly/door.js" defer></script>"#,
        problem.unwrap_or_default()
    );
    document(ip, "Sign in", &main)
}

/// Where no guest is.
pub(crate) fn nobody(ip: &str) -> String {
    let main = format!(
        "<p>No simulated workspace answers at {}. It is off, deleted, or its user data has no guest.</p>",
        escape(ip)
    );
    document(ip, "Nobody is here", &main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place_in_the_page() {
        let html = nobody("<script>\"'&");
        assert!(html.contains("&lt;script&gt;&quot;&#39;&amp;"));
        assert!(!html.contains("<script>"));
    }
}
