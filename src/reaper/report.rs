//! What a run of the reaper did, as people and logs see it.

use serde::Serialize;

use crate::model::{MonthlyPrice, Vm};
use crate::providers::{Leftover, Provider, Snapshot};

/// What a run did, or would do.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether it only looked.
    pub dry_run: bool,
    /// What was deleted, or would be.
    pub reaped: Vec<Item>,
    /// What could not be deleted or looked at; the next run tries again.
    pub failed: Vec<Item>,
    /// What else whoever runs the Worker should know, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How many VMs and snapshots of other owners are due and were left alone, where the run was for one owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_others: Option<usize>,
}

impl Report {
    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        self.reaped.is_empty() && self.failed.is_empty() && self.notes.is_empty()
    }

    /// Notes that so much of another owner's is due.
    pub(super) fn leave(&mut self, count: usize) {
        *self.of_others.get_or_insert(0) += count;
    }

    /// How much was tried.
    pub(super) fn tried(&self) -> usize {
        self.reaped.len() + self.failed.len()
    }
}

/// One resource in a report.
#[derive(Debug, Serialize)]
pub struct Item {
    /// Whose it is.
    pub provider: &'static str,
    /// `vm`, `snapshot`, or a leftover's kind; `list` where not even the list could be had.
    pub kind: &'static str,
    /// Our id for VMs, the provider's for others.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why it goes, or why it could not.
    pub reason: String,
    /// What it costs for a month; absent where nobody asked or the provider does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_price: Option<MonthlyPrice>,
}

impl Item {
    /// A VM.
    pub(super) fn vm(vm: &Vm<'_>, reason: String) -> Self {
        Self {
            provider: vm.id.provider.as_str(),
            kind: "vm",
            id: vm.id.to_string(),
            name: vm.name.to_string(),
            reason,
            monthly_price: None,
        }
    }

    /// Something that no VM uses.
    pub(super) fn leftover(provider: &Provider, it: &Leftover, reason: String) -> Self {
        Self {
            provider: provider.name().as_str(),
            kind: it.kind,
            id: it.native.clone(),
            name: it.name.clone(),
            reason,
            monthly_price: None,
        }
    }

    /// A stored disk.
    pub(super) fn snapshot(provider: &Provider, it: &Snapshot, reason: String) -> Self {
        Self {
            provider: provider.name().as_str(),
            kind: "snapshot",
            id: it.native.clone(),
            name: it.description.clone(),
            reason,
            monthly_price: None,
        }
    }

    /// A list that could not be had.
    pub(super) fn list(provider: &Provider, what: &str, reason: String) -> Self {
        Self {
            provider: provider.name().as_str(),
            kind: "list",
            id: String::new(),
            name: what.to_owned(),
            reason,
            monthly_price: None,
        }
    }
}
