//! What the reaper may take, told again: an account of the rules that shares nothing with theirs.

use crate::account::Deleted;

/// Silence that the reaper may act on: two hours, and the shortest idle limit.
const SILENT_SECS: u64 = 2 * 3600;
const BOOT_SECS: u64 = 3 * 3600;

/// Whether it was made for its disk, and did not prepare it in time.
pub(crate) fn is_given_up(it: &Deleted) -> bool {
    let labels = &it.server["labels"];
    let want = labels["mayfly-want"].as_str().unwrap_or_default();
    let deadline = want.strip_prefix("snapshot-").and_then(|it| it.parse::<u64>().ok());
    labels["mayfly-golden"] == "yes" && deadline.is_some_and(|it_is| it_is <= it.now_secs)
}

/// Whether the labels of a server let the reaper take it: an account of the rules that shares nothing with theirs.
pub(crate) fn is_due(it: &Deleted) -> bool {
    let label = |key: &str| it.server["labels"][key].as_str().unwrap_or_default();
    let number = |key: &str| label(key).parse::<u64>().ok();
    let expired = number("mayfly-expires").is_none_or(|expires| expires <= it.now_secs);
    let created =
        mayfly::encoding::from_rfc3339(it.server["created"].as_str().unwrap_or_default()).unwrap_or(0);
    let started = label("mayfly-run").split_once('.').and_then(|(_, it)| it.parse().ok()).unwrap_or(created);
    let runs = it.server["status"] == "running";
    let is_up = matches!(label("mayfly-phase"), "ready" | "failed");
    let heard = number("mayfly-seen").unwrap_or(started).max(started);
    let silent = number("mayfly-missed").is_some() && it.now_secs > heard + SILENT_SECS;
    expired || runs && (silent || !is_up && it.now_secs >= started + BOOT_SECS)
}
