//! One history: random calls of six people in two deployments on one account, clocks that jump, faults, and Workers that die.
//! What must never happen is checked at every step; what must be so when the faults have stopped, at the end.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use mayfly::App;
use mayfly::http::{Body, BodyError, Counted, Head, Reply};
use mayfly::reaper;
use serde_json::{Value, json};

#[path = "vms.rs"]
mod vms;

use crate::account::{
    ADDRESS_MICROS_PER_HOUR, Account, BASE, Deleted, LOCATIONS, deployment, micros_per_hour,
};
use crate::chance::Chance;
use crate::rules::{is_given_up, is_path_broken, why_due};
use crate::support::store::Connection;
use crate::support::world::sha256_hex;

const START_SECS: u64 = 1_795_168_800;
const OWNERS: [&str; 3] = ["ann", "ben", "eve"];
const STEPS: u64 = 40;
/// The ceilings of the histories that have some. The hourly one lets a deployment have one VM of the dearest type, beside a small one.
const MAX_VMS: usize = 4;
const MAX_VMS_PER_OWNER: usize = 2;
const MAX_HOURLY_COST: &str = "0.06";
const MAX_HOURLY_MICROS: u64 = 60_000;

/// What somebody was told about a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Created, and nobody asked for its end.
    Wanted,
    /// Its deletion was confirmed.
    Gone,
    /// Its deletion was asked for and not confirmed, or its creation not answered.
    Open,
}

/// Who does something.
#[derive(Clone, Copy)]
struct Actor {
    deployment: usize,
    owner: &'static str,
}

pub(crate) struct History {
    chance: Chance,
    account: Account,
    apps: [App; 2],
    /// Whether there are ceilings.
    has_ceilings: bool,
    foreign: Value,
    /// By our id.
    fates: BTreeMap<String, Fate>,
    /// Deployment, owner and `Idempotency-Key` to the id that was answered.
    keys: BTreeMap<(usize, &'static str, u64), String>,
    /// Servers that are not heard of any more, and those whose boot goes on for ever.
    mute: BTreeSet<u64>,
    stuck: BTreeSet<u64>,
    /// No VM reaches the Worker.
    is_path_broken: bool,
    /// What was done, for whoever reads a failure.
    story: Vec<String>,
    /// How often what was answered.
    tally: BTreeMap<String, u64>,
}

struct NoBody(Vec<u8>);

impl Body for NoBody {
    async fn read(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        if self.0.len() > max_bytes { Err(BodyError::TooLong) } else { Ok(self.0.clone()) }
    }
}

fn token(deployment: usize, owner: &str) -> String {
    format!("token-of-{owner}-in-{deployment}-0123456789")
}

fn app(deployment: usize, has_ceilings: bool) -> App {
    let name = ["one", "two"][deployment];
    let digest = |owner: &&str| ((*owner).to_owned(), Value::from(sha256_hex(&token(deployment, owner))));
    let tokens = Value::Object(OWNERS.iter().map(digest).collect()).to_string();
    App::from_lookup(|key| {
        Some(match key {
            "DEPLOYMENT" => name.to_owned(),
            "API_TOKENS" => tokens.clone(),
            "SIGNING_KEY" => format!("k{deployment}:0123456789abcdef0123456789abcdef"),
            "PUBLIC_URL" => "https://mayfly.example.workers.dev".to_owned(),
            "HETZNER_TOKEN" => "hetzner-token-of-a-test".to_owned(),
            "HETZNER_API_URL" => BASE.to_owned(),
            "MAX_VMS" if has_ceilings => MAX_VMS.to_string(),
            "MAX_VMS_PER_OWNER" if has_ceilings => MAX_VMS_PER_OWNER.to_string(),
            "MAX_HOURLY_COST" if has_ceilings => MAX_HOURLY_COST.to_owned(),
            _ => return None,
        })
    })
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let account = Account::new(START_SECS, Chance::new(chance.below(u64::MAX)));
        let foreign = account.foreign();
        let has_ceilings = chance.below(2) == 0;
        let apps = [app(0, has_ceilings), app(1, has_ceilings)];
        assert!(apps.iter().all(|it| it.ready().is_ok()));
        Self {
            chance,
            account,
            apps,
            has_ceilings,
            foreign,
            fates: BTreeMap::new(),
            keys: BTreeMap::new(),
            mute: BTreeSet::new(),
            stuck: BTreeSet::new(),
            is_path_broken: false,
            story: Vec::new(),
            tally: BTreeMap::new(),
        }
    }

    /// Plays it to its end; panics where a promise is broken, with the story. Answers how often what happened.
    pub(crate) fn play(mut self) -> BTreeMap<String, u64> {
        self.account.faults.set([0, 10, 30][usize::try_from(self.chance.below(3)).expect("small")]);
        for _ in 0..STEPS {
            self.step();
            self.account.pass(1 + self.chance.below(90));
        }
        self.account.faults.set(0);
        self.is_path_broken = false;
        self.settle(1);
        self.check_wishes();
        // What VMs shared costs nothing, and goes when the last of them is seen to be gone.
        let used = self.account.ours("servers");
        self.settle(1);
        self.check_shared(&used);
        self.clear();
        if self.account.refused.get() > 0 {
            self.count("no room at the first place".to_owned());
        }
        self.tally
    }

    fn count(&mut self, what: String) {
        *self.tally.entry(what).or_insert(0) += 1;
    }

    fn step(&mut self) {
        let who = Actor {
            deployment: usize::try_from(self.chance.below(2)).expect("small"),
            owner: self.chance.pick::<&str>(&OWNERS),
        };
        if self.chance.below(10) == 0 {
            self.account.dies_at.set(Some(u32::try_from(self.chance.below(8)).expect("small")));
        }
        match self.chance.below(18) {
            0..=3 => self.create(who),
            4 => self.delete(who),
            5 => self.on_own(who, "stop", None),
            6 => self.on_own(who, "start", None),
            7 => {
                let minutes = 1 + self.chance.below(600);
                self.on_own(who, "extend", Some(&json!({"minutes": minutes})));
            }
            8 => self.on_own(who, "snapshots", Some(&json!({"description": "a state"}))),
            9 => self.delete_snapshot(who),
            10 => self.vm_ends(),
            11 => self.look(who),
            12 => self.cron(who.deployment),
            13 => self
                .account
                .pass([600, 3600, 5 * 3600][usize::try_from(self.chance.below(3)).expect("small")]),
            14 if self.chance.below(4) == 0 => self.delete_all(who),
            14 => _ = self.call(who, "POST", "/snapshots/golden", Some(&json!({})), None),
            15 => self.something_breaks(),
            _ => self.heartbeats(),
        }
        self.account.dies_at.set(None);
    }

    /// A call of a person; nothing where the Worker died on the way.
    fn call(
        &mut self,
        who: Actor,
        method: &str,
        target: &str,
        body: Option<&Value>,
        key: Option<u64>,
    ) -> Option<(u16, Value)> {
        let token = format!("Bearer {}", token(who.deployment, who.owner));
        let key = key.map(|it| format!("key-{it}"));
        let header = |name: &str| match name {
            "authorization" => Some(token.clone()),
            "idempotency-key" => key.clone(),
            _ => None,
        };
        let answer = self.send(who.deployment, method, target, body, &header);
        let told =
            answer.as_ref().map_or("died".to_owned(), |(status, body)| format!("{status} {}", body["code"]));
        self.story.push(format!("{} {}: {method} {target} {key:?}: {told}", who.deployment, who.owner));
        let outcome = answer.as_ref().map_or("died".to_owned(), |it| it.0.to_string());
        let route: Vec<&str> =
            target.split('/').map(|it| if it.contains("hetzner-") { "{id}" } else { it }).collect();
        self.count(format!("{method} {} {outcome}", route.join("/")));
        self.check_deletions(Some(who), |_| false);
        answer
    }

    fn send(
        &self,
        deployment: usize,
        method: &str,
        target: &str,
        body: Option<&Value>,
        header: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(u16, Value)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let head = Head { method, origin: "https://mayfly.example.workers.dev", path, query, header };
        let body = NoBody(body.map(|it| it.to_string().into_bytes()).unwrap_or_default());
        let upstream = crate::support::upstream::Upstream::default();
        let mut caller = Connection { body, store: None, sent: Vec::new(), upstream, passed: Vec::new() };
        let reply: Reply =
            mayfly::api::handle(&self.apps[deployment], &self.account, head, &mut caller).now_or_never()?;
        Some((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
    }

    fn create(&mut self, who: Actor) {
        let key = (self.chance.below(2) == 0).then(|| self.chance.below(3));
        let mut body = json!({"repo_url": "https://github.com/octo/Hello-World", "max_hours": if who.owner == "ann" { 5 } else { 30 }});
        if key.is_none() && self.chance.below(4) == 0 {
            body["from"] = "golden".into();
        }
        // One key is for one request: the size is the owner's.
        body["size"] = if who.owner == "ben" { "medium" } else { "small" }.into();
        let full = [None, Some(LOCATIONS[0]), Some(LOCATIONS[1])];
        self.account.full.set(*self.chance.pick(&full));
        let Some((status, answer)) = self.call(who, "POST", "/vms", Some(&body), key) else { return };
        if status != 200 && status != 201 {
            return;
        }
        let id = answer["vm"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(answer["vm"]["owner"], who.owner, "{}", self.told());
        if let Some(key) = key {
            let before = self.keys.insert((who.deployment, who.owner, key), id.clone());
            let is_wanted = |it: &String| self.fates.get(it) == Some(&Fate::Wanted) && self.exists(it);
            if let Some(before) = before.filter(is_wanted) {
                assert_eq!(before, id, "one key made two VMs\n{}", self.told());
            }
        }
        self.fates.entry(id).or_insert(Fate::Wanted);
        if self.has_ceilings && status == 201 {
            self.check_ceilings(who);
        }
    }

    /// After a VM was created, by people who ask one after the other.
    fn check_ceilings(&self, who: Actor) {
        let mut vms = self.account.ours("servers");
        vms.retain(|it| deployment(it) == Some(["one", "two"][who.deployment]));
        let of_owner = vms.iter().filter(|it| it["labels"]["mayfly-owner"] == who.owner).count();
        let micros: u64 = vms.iter().map(|it| micros_per_hour(it) + ADDRESS_MICROS_PER_HOUR).sum();
        let is_below = vms.len() <= MAX_VMS && of_owner <= MAX_VMS_PER_OWNER && micros <= MAX_HOURLY_MICROS;
        assert!(is_below, "{} VMs, {of_owner} of theirs, for {micros}\n{}", vms.len(), self.told());
    }

    /// Usually a VM and its owner; now and then somebody else's VM, or one that is gone.
    fn own(&mut self, who: Actor) -> Option<(Actor, String)> {
        let servers = self.account.ours("servers");
        if servers.is_empty() || self.chance.below(8) == 0 {
            let ids: Vec<String> = self.fates.keys().cloned().collect();
            return (!ids.is_empty()).then(|| (who, self.chance.pick(&ids).clone()));
        }
        let server = self.chance.pick(&servers);
        let deployment = usize::from(deployment(server) == Some("two"));
        let owner = OWNERS.into_iter().find(|it| server["labels"]["mayfly-owner"] == *it)?;
        Some((Actor { deployment, owner }, format!("hetzner-{}", server["id"])))
    }

    fn is_own(&self, who: Actor, id: &str) -> bool {
        let name = ["one", "two"][who.deployment];
        self.account.ours("servers").iter().any(|it| {
            format!("hetzner-{}", it["id"]) == id
                && deployment(it) == Some(name)
                && it["labels"]["mayfly-owner"] == who.owner
        })
    }

    fn exists(&self, id: &str) -> bool {
        self.account.ours("servers").iter().any(|it| format!("hetzner-{}", it["id"]) == id)
    }

    fn delete(&mut self, who: Actor) {
        let Some((who, id)) = self.own(who) else { return };
        let (was_own, was_there) = (self.is_own(who, &id), self.exists(&id));
        let answer = self.call(who, "DELETE", &format!("/vms/{id}"), None, None);
        match answer {
            Some((200, _)) if was_own => _ = self.fates.insert(id, Fate::Gone),
            Some((404, _)) => assert!(!was_own, "{id} is not found by its owner\n{}", self.told()),
            _ if was_own => _ = self.fates.insert(id, Fate::Open),
            Some((200, _)) => {
                assert!(!was_there, "{id} of somebody else is said to be deleted\n{}", self.told());
            }
            _ => {}
        }
    }

    fn on_own(&mut self, who: Actor, action: &str, body: Option<&Value>) {
        let Some((who, id)) = self.own(who) else { return };
        let was_own = self.is_own(who, &id);
        let answer = self.call(who, "POST", &format!("/vms/{id}/{action}"), body, None);
        if let Some((status, _)) = answer {
            assert!(was_own || status >= 400, "somebody else's VM was touched\n{}", self.told());
        }
    }

    fn delete_snapshot(&mut self, who: Actor) {
        let Some((200, list)) = self.call(who, "GET", "/snapshots", None, None) else { return };
        let Some(first) = list["snapshots"].as_array().and_then(|it| it.first()) else { return };
        let id = first["id"].as_str().expect("an id").to_owned();
        self.call(who, "DELETE", &format!("/snapshots/{id}"), None, None);
    }

    fn look(&mut self, who: Actor) {
        let Some((200, list)) = self.call(who, "GET", "/vms", None, None) else { return };
        for vm in list["vms"].as_array().expect("a list") {
            assert_eq!(vm["owner"], who.owner, "{}", self.told());
        }
    }

    fn delete_all(&mut self, who: Actor) {
        let mine: Vec<String> = self.fates.keys().filter(|it| self.is_own(who, it)).cloned().collect();
        let answer = self.call(who, "DELETE", "/vms?confirm=all", None, None);
        let deleted: BTreeSet<String> = answer
            .and_then(|(_, body)| body["deleted"].as_array().cloned())
            .unwrap_or_default()
            .iter()
            .filter_map(|it| it["id"].as_str().map(str::to_owned))
            .collect();
        for id in mine {
            let fate = if deleted.contains(&id) { Fate::Gone } else { Fate::Open };
            self.fates.insert(id, fate);
        }
    }

    fn cron(&mut self, deployment: usize) {
        let name = ["one", "two"][deployment];
        let (broken, now) = (
            is_path_broken(&self.account.ours("servers"), name, self.account.now_secs()),
            self.account.now_secs(),
        );
        let done = reaper::run(&self.apps[deployment], &Counted::new(&self.account)).now_or_never();
        self.story.push(format!("{deployment}: cron {}", if done.is_some() { "" } else { "died" }));
        if done.is_none() {
            self.count("cron died".to_owned());
        }
        if broken {
            self.count("broken path".to_owned());
        }
        let reaped: Vec<Deleted> = self.account.deleted.borrow().clone();
        for why in reaped.iter().filter_map(|it| why_due(&it.server, now, broken)) {
            self.count(format!("reaped: {why}"));
        }
        self.check_deletions(None, |it| {
            crate::account::deployment(&it.server) == Some(name)
                && (why_due(&it.server, it.now_secs, broken).is_some() || is_given_up(it))
        });
    }

    /// Every server that was deleted since the last look was deleted rightly: of its owner's own, or as `is_right` says.
    fn check_deletions(&mut self, who: Option<Actor>, is_right: impl Fn(&Deleted) -> bool) {
        for it in self.account.deleted.take() {
            self.story.push(format!("{} is deleted", it.id));
            let of_own = who.is_some_and(|who| {
                deployment(&it.server) == Some(["one", "two"][who.deployment])
                    && it.server["labels"]["mayfly-owner"] == who.owner
            });
            assert!(
                of_own || is_right(&it) || who.is_none() && self.is_stored(&it),
                "{} was deleted by whom it is not\n{}\n{}",
                it.id,
                it.server,
                self.told()
            );
            let id = format!("hetzner-{}", it.id);
            if !of_own && self.fates.get(&id) == Some(&Fate::Wanted) {
                // It was due, and is not wanted any more.
                self.fates.insert(id, Fate::Open);
            }
        }
        assert_eq!(
            self.account.foreign(),
            self.foreign,
            "somebody else's things were touched\n{}",
            self.told()
        );
    }

    /// The faults have stopped; so many periods of the reaper pass, and every VM that runs is heard of.
    fn settle(&mut self, periods: u32) {
        for _ in 0..periods {
            for server in self.account.ours("servers") {
                if server["status"] == "running" {
                    self.beat(&server);
                }
            }
            self.check_deletions(None, |_| false);
            for deployment in 0..2 {
                self.cron(deployment);
            }
            self.account.pass(reaper::PERIOD_SECS);
        }
    }

    /// Whether it was made for its disk, and that is stored.
    fn is_stored(&self, it: &Deleted) -> bool {
        let labels = &it.server["labels"];
        let is_its = |image: &Value| {
            image["labels"]["mayfly-vm"] == labels["mayfly-vm"]
                && image["labels"]["mayfly-golden"] == "yes"
                && image["labels"]["mayfly-clean"] == "yes"
                && image["status"] == "available"
        };
        labels["mayfly-golden"] == "yes" && self.account.ours("images").iter().any(is_its)
    }

    fn check_wishes(&self) {
        for (id, fate) in &self.fates {
            match fate {
                Fate::Wanted => assert!(self.exists(id), "{id} is wanted and gone\n{}", self.told()),
                Fate::Gone => assert!(!self.exists(id), "{id} was said to be gone\n{}", self.told()),
                Fate::Open => {}
            }
        }
        // Whatever was due when the reaper looked is gone.
        let then_secs = self.account.now_secs() - reaper::PERIOD_SECS;
        for server in self.account.ours("servers") {
            let labels = &server["labels"];
            let name = deployment(&server).expect("ours");
            let broken = is_path_broken(&self.account.ours("servers"), name, then_secs);
            // What is asked to stop or to store its disk has its time for that.
            let is_asked = labels["mayfly-want"].as_str().is_some_and(|it| !it.is_empty());
            let due = why_due(&server, then_secs, broken).filter(|why| *why == "expired" || !is_asked);
            assert!(due.is_none(), "{server} is still there: {due:?}\n{}", self.told());
            assert!(labels["mayfly-vm"].is_string() && labels["mayfly-owner"].is_string());
        }
        for ip in self.account.ours("primary_ips") {
            assert!(!ip["assignee_id"].is_null(), "{ip} belongs to no server\n{}", self.told());
        }
    }

    fn check_shared(&self, servers: &[Value]) {
        for thing in ["ssh_keys", "firewalls"].into_iter().flat_map(|it| self.account.ours(it)) {
            let is_used = servers.iter().any(|it| deployment(it) == deployment(&thing));
            assert!(is_used, "{thing} is for no server\n{}", self.told());
        }
    }

    /// Everybody deletes all that is theirs: some periods later the account holds only what was there before us.
    fn clear(&mut self) {
        for deployment in 0..2 {
            for owner in OWNERS {
                let who = Actor { deployment, owner };
                let mut rounds = 0;
                while self.call(who, "DELETE", "/vms?confirm=all", None, None).expect("alive").1["detail"]
                    != "There is nothing of yours left."
                {
                    rounds += 1;
                    assert!(rounds < 10, "it never ends\n{}", self.told());
                    self.account.pass(5);
                }
            }
        }
        self.settle(6);
        for kind in crate::account::KINDS {
            let left = self.account.ours(kind);
            assert!(left.is_empty(), "{kind} are left: {left:?}\n{}", self.told());
        }
    }

    fn told(&self) -> String {
        self.story.join("\n")
    }
}
