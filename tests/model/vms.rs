//! What VMs do of their own accord in a history: report, fall silent, never get ready, end themselves; and the way to the Worker,
//! which breaks for all of them.

use std::collections::BTreeSet;

use mayfly::keys::{Claims, Scope};
use mayfly::reaper;
use serde_json::{Value, json};

use super::{Fate, History};
use crate::account::deployment;

impl History {
    /// One VM ends itself.
    pub(super) fn vm_ends(&mut self) {
        let servers = self.account.ours("servers");
        if servers.is_empty() {
            return;
        }
        let server = self.chance.pick(&servers).clone();
        let id = format!("hetzner-{}", server["id"]);
        let answer = self.of_vm(&server, "DELETE", "/vm", None);
        let fate = if matches!(answer, Some((200, _))) { Fate::Gone } else { Fate::Open };
        self.fates.insert(id.clone(), fate);
        self.count(format!(
            "DELETE /vm {}",
            answer.as_ref().map_or("died".to_owned(), |it| it.0.to_string())
        ));
        self.story.push(format!("{id} ends itself: {:?}", answer.map(|it| it.0)));
        let native = server["id"].as_u64();
        self.check_deletions(None, |it| Some(it.id) == native);
    }

    pub(super) fn of_vm(
        &self,
        server: &Value,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let name = deployment(server).expect("ours");
        let at = usize::from(name == "two");
        let config = &self.apps[at].ready().expect("configured").config;
        let capability = config.keys.signer().sign(&Claims {
            deployment: name.to_owned(),
            vm: server["labels"]["mayfly-vm"].as_str().expect("an identity").to_owned(),
            provider: "hetzner".into(),
            region: "fsn1".into(),
            scope: Scope::Vm,
            expires_secs: None,
            workspace: String::new(),
            owner: String::new(),
        });
        let bearer = format!("Bearer {capability}");
        self.send(at, method, path, body, &|name| (name == "authorization").then(|| bearer.clone()))
    }

    /// A VM falls silent for good, or never gets ready, or the way of all of them to the Worker breaks, or mends.
    pub(super) fn something_breaks(&mut self) {
        let servers = self.account.ours("servers");
        let Some(id) = (!servers.is_empty()).then(|| self.chance.pick(&servers)["id"].as_u64()).flatten()
        else {
            return;
        };
        match self.chance.below(4) {
            0 => _ = self.mute.insert(id),
            1 => _ = self.stuck.insert(id),
            2 => self.is_path_broken = false,
            _ => {
                self.is_path_broken = true;
                self.account.pass(4 * 3600);
            }
        }
        let Self { mute, stuck, is_path_broken, .. } = &*self;
        self.story.push(format!("mute {mute:?}, stuck {stuck:?}, broken {is_path_broken}"));
        for _ in 0..3 {
            self.cron(0);
            self.cron(1);
            self.account.pass(reaper::PERIOD_SECS);
        }
    }

    /// Most VMs that run report; some do not.
    pub(super) fn heartbeats(&mut self) {
        for server in self.account.ours("servers") {
            if server["status"] == "running" && !self.is_path_broken && self.chance.below(5) > 0 {
                self.beat(&server);
            }
        }
        self.check_deletions(None, |_| false);
    }

    pub(super) fn beat(&self, server: &Value) {
        let is_in = |set: &BTreeSet<u64>| server["id"].as_u64().is_some_and(|it| set.contains(&it));
        if is_in(&self.mute) {
            return;
        }
        if is_in(&self.stuck)
            && !matches!(server["labels"]["mayfly-phase"].as_str(), Some("ready" | "failed"))
        {
            self.of_vm(server, "POST", "/vm/progress", Some(&json!({"phase": "clone"})));
            return;
        }
        if server["labels"]["mayfly-phase"] == "booting" {
            self.of_vm(server, "POST", "/vm/progress", Some(&json!({"phase": "ready"})));
        }
        let want = server["labels"]["mayfly-want"].as_str().unwrap_or_default();
        let done = want.starts_with("snapshot").then_some("snapshot");
        let beat = json!({"active": self.account.now_secs(), "verdict": {}, "attention": null, "done": done});
        self.of_vm(server, "POST", "/vm/heartbeat", Some(&beat));
        if want.starts_with("stop") {
            self.of_vm(server, "POST", "/vm/progress", Some(&json!({"phase": "stopping"})));
        }
    }
}
