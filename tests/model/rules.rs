//! What the reaper may take, told again: an account of the rules that shares nothing with theirs.

use serde_json::Value;

use crate::account::Deleted;

/// Silence that the reaper may act on, beside the idle limit: two hours and two pauses between heartbeats.
const SILENT_SECS: u64 = 2 * 3600 + 2 * 900;
/// And it looks again.
const SECOND_LOOK_SECS: u64 = 20 * 60;
const BOOT_SECS: u64 = 3 * 3600;

/// Whether it was made for its disk, and did not prepare it in time.
pub(crate) fn is_given_up(it: &Deleted) -> bool {
    let labels = &it.server["labels"];
    let want = labels["mayfly-want"].as_str().unwrap_or_default();
    let deadline = want.strip_prefix("snapshot-").and_then(|it| it.parse::<u64>().ok());
    labels["mayfly-golden"] == "yes" && deadline.is_some_and(|it_is| it_is <= it.now_secs)
}

/// Why the labels of a server let the reaper take it, if they do; `path_is_broken`: what is silent stays then.
pub(crate) fn why_due(server: &Value, now_secs: u64, path_is_broken: bool) -> Option<&'static str> {
    let label = |key: &str| server["labels"][key].as_str().unwrap_or_default();
    if label("mayfly-expires").parse::<u64>().is_ok_and(|it| it > now_secs) {
        let is_missed =
            label("mayfly-missed").parse::<u64>().is_ok_and(|it| now_secs >= it + SECOND_LOOK_SECS);
        return match silence_secs(server, now_secs) {
            Some(Silence::TooLong) if is_missed && !path_is_broken => Some("silent"),
            Some(Silence::Speaks { has_booted: false }) if now_secs >= began(server) + BOOT_SECS => {
                Some("never ready")
            }
            _ => None,
        };
    }
    Some("expired")
}

/// When most VMs of a deployment are silent it is not they.
pub(crate) fn is_path_broken(servers: &[Value], name: &str, now_secs: u64) -> bool {
    let ours =
        servers.iter().filter(|it| it["labels"]["mayfly-deployment"] == name && it["status"] == "running");
    let heard: Vec<bool> = ours
        .map(|it| {
            // What was asked to stop or to store its disk has other limits, and what is over is no witness.
            let is_silent = matches!(silence_secs(it, now_secs), Some(Silence::TooLong));
            let labels = &it["labels"];
            let want = labels["mayfly-want"].as_str().unwrap_or_default();
            let expires =
                labels["mayfly-expires"].as_str().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
            !is_silent || want.starts_with("stop") || want.starts_with("snapshot") || expires <= now_secs
        })
        .collect();
    let silent = heard.iter().filter(|it| !**it).count();
    silent > 1 && silent * 2 > heard.len()
}

/// What is heard of a VM that runs.
enum Silence {
    TooLong,
    Speaks { has_booted: bool },
}

fn began(server: &Value) -> u64 {
    let run = server["labels"]["mayfly-run"].as_str().unwrap_or_default();
    let created = mayfly::encoding::from_rfc3339(server["created"].as_str().unwrap_or_default()).unwrap_or(0);
    run.split_once('.').and_then(|(_, it)| it.parse().ok()).unwrap_or(created)
}

fn silence_secs(server: &Value, now_secs: u64) -> Option<Silence> {
    if server["status"] != "running" {
        return None;
    }
    let number = |key: &str| server["labels"][key].as_str().and_then(|it| it.parse::<u64>().ok());
    let has_booted = matches!(server["labels"]["mayfly-phase"].as_str(), Some("ready" | "failed"));
    let heard = number("mayfly-seen").unwrap_or_default().max(began(server));
    let idle = number("mayfly-idle").unwrap_or(30) * 60;
    let is_late = !has_booted && now_secs >= began(server) + BOOT_SECS;
    let limit = if is_late { SILENT_SECS } else { SILENT_SECS + idle };
    Some(if now_secs >= heard + limit { Silence::TooLong } else { Silence::Speaks { has_booted } })
}
