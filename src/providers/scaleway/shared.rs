//! What servers of a zone share: the one security group, made when missing; and the leftovers that no server uses any more.
//! When to sweep is the reaper's business.

use super::catalogue::GB_BYTES;
use super::schema::{
    CreateSecurityGroup, ListedRule, ListedVolume, Rule, Rules, SecurityGroup, SecurityGroupAnswer,
    SecurityGroups, SetRules, Volumes,
};
use super::{
    Error, PER_PAGE, Scaleway, absent_is_fine, instance, labels_of, native, parse, secs, split, tags_of,
};
use crate::http::{Clock, Http, Method, Random, Request, Response};
use crate::labels::{LabelSet, Selector};
use crate::providers::{Billed, Leftover, side_by_side};
use crate::reaper::PERIOD_SECS;

/// Ports that are open to all: the door, its certificate challenges, SSH. Narrower rules are the host's own.
const OPEN_PORTS: [(u32, u16); 3] = [(1, DOOR_PORT), (2, 80), (3, 22)];
const DOOR_PORT: u16 = 443;

/// As many zones' groups are looked for in every run.
const FEW_ZONES: usize = 8;

/// A zone's security group, and whether this call made it: then a failure takes it back.
pub(super) struct Group {
    pub id: String,
    pub is_new: bool,
}

/// The id of no server.
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

impl Scaleway {
    /// Makes a security group: what no rule accepts is dropped on its way in.
    pub fn create_security_group_request(&self, zone: &str, name: &str, labels: &LabelSet) -> Request {
        let body = CreateSecurityGroup {
            name,
            project: &self.project,
            tags: tags_of(labels),
            stateful: true,
            inbound_default_policy: "drop",
            outbound_default_policy: "accept",
        };
        self.json_request(Method::Post, &instance(zone, "/security_groups"), &body)
    }

    /// A write to a server that there is not: refused with 403 if the key may only read.
    pub async fn probe_writing<H: Http>(&self, host: &H) -> Result<Response, Error> {
        let nothing = std::collections::BTreeMap::<&str, &str>::new();
        let zone = self.zones.first().map_or("", String::as_str);
        let path = instance(zone, &format!("/servers/{NO_UUID}"));
        self.send_once(host, self.json_request(Method::Patch, &path, &nothing)).await
    }

    /// Replaces all rules of a security group.
    pub fn set_rules_request(&self, zone: &str, group: &str) -> Request {
        let rule = |(position, port)| Rule {
            action: "accept",
            direction: "inbound",
            protocol: "TCP",
            ip_range: "0.0.0.0/0",
            dest_port_from: port,
            position,
        };
        let body = SetRules { rules: OPEN_PORTS.map(rule).into() };
        self.json_request(Method::Put, &instance(zone, &format!("/security_groups/{group}/rules")), &body)
    }

    /// The group of a zone. Names are not unique: two calls at the same moment may make two, and the reaper takes both when no
    /// VM is left.
    pub(super) async fn ensure_security_group<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
        deployment: &str,
        labels: &LabelSet,
    ) -> Result<Group, Error> {
        let ours = Selector::deployment(deployment);
        if let Some(it) = self.groups(host, zone, &ours).await?.into_iter().next() {
            // Whoever made it may have been cut off before it had its rules: nobody could reach what is behind it.
            if !self.is_door_open(host, zone, &it.id).await? {
                self.send(host, self.set_rules_request(zone, &it.id)).await?;
            }
            return Ok(Group { id: it.id, is_new: false });
        }
        let request = self.create_security_group_request(zone, &format!("mayfly-{deployment}"), labels);
        let answer = self.send_once(host, request).await?;
        let id = parse::<SecurityGroupAnswer>(&answer)?.security_group.id;
        if let Err(error) = self.send(host, self.set_rules_request(zone, &id)).await {
            // Without rules nobody could reach what is behind it.
            let _ = self.delete_security_group(host, zone, &id).await;
            return Err(error);
        }
        Ok(Group { id, is_new: true })
    }

    /// Whether a group lets anybody in at the door. Whom is its owner's business: rules that were narrowed stay.
    async fn is_door_open<H: Http + Random>(&self, host: &H, zone: &str, group: &str) -> Result<bool, Error> {
        let path = instance(zone, &format!("/security_groups/{group}/rules?page=1&per_page={PER_PAGE}"));
        let rules = parse::<Rules>(&self.send(host, self.get_request(&path)).await?)?.rules;
        let is_door = |it: &ListedRule| {
            let Some(from) = it.dest_port_from else { return true };
            (from..=it.dest_port_to.unwrap_or(from)).contains(&DOOR_PORT)
        };
        Ok(rules.iter().any(|it| it.action == "accept" && it.direction == "inbound" && is_door(it)))
    }

    pub(super) async fn delete_security_group<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
        id: &str,
    ) -> Result<(), Error> {
        let path = instance(zone, &format!("/security_groups/{id}"));
        absent_is_fine(self.send(host, self.delete_path_request(&path)).await)
    }

    /// Disks of ours without a server and snapshots without an image; security groups of ours when no VM is left to use them.
    /// Of many zones a run of the free plan has calls for all lists, but none left to delete with; so the groups there, which
    /// are free, are looked for in every other period.
    pub async fn leftovers<H: Http + Random + Clock>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        let ours = &Selector::deployment(deployment);
        let is_turn = self.zones.len() <= FEW_ZONES || (host.now_secs() / PERIOD_SECS).is_multiple_of(2);
        let zones = side_by_side(self.zones.iter().map(|zone| async move {
            let mut found = self.free_volumes(host, zone, ours).await?;
            let snapshots = self.free_snapshots(host, zone, ours).await?;
            found.extend(snapshots.into_iter().map(|it| stored("snapshot", zone, it)));
            if !vms_left && is_turn {
                let group = |it: SecurityGroup| {
                    leftover("security_group", zone, &it.id, it.name, it.creation_date.as_deref())
                };
                found.extend(self.groups(host, zone, ours).await?.into_iter().map(group));
            }
            Ok::<_, Error>(found)
        }))
        .await;
        let zones: Vec<Vec<Leftover>> = zones.into_iter().collect::<Result<_, _>>()?;
        Ok(zones.into_iter().flatten().collect())
    }

    async fn free_volumes<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
        ours: &Selector,
    ) -> Result<Vec<Leftover>, Error> {
        let request = |page| self.list_request("volumes", zone, ours, page);
        let mut free = self.pages(host, request, |it| Ok(parse::<Volumes>(it)?.volumes)).await?;
        free.retain(|it| it.server.is_none() && ours.matches(&labels_of(&it.tags)));
        Ok(free.into_iter().map(|it| stored("volume", zone, it)).collect())
    }

    async fn groups<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
        ours: &Selector,
    ) -> Result<Vec<SecurityGroup>, Error> {
        let request = |page| self.list_request("security_groups", zone, ours, page);
        let mut groups =
            self.pages(host, request, |it| Ok(parse::<SecurityGroups>(it)?.security_groups)).await?;
        groups.retain(|it| ours.matches(&labels_of(&it.tags)));
        Ok(groups)
    }

    /// Deletes a leftover; that it is gone already is success.
    pub async fn delete_leftover<H: Http + Random>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        let (zone, id) = split(&leftover.native);
        let path = instance(zone, &format!("/{}s/{id}", leftover.kind));
        absent_is_fine(self.send(host, self.delete_path_request(&path)).await)
    }
}

/// What is billed by its size.
fn stored(kind: &'static str, zone: &str, it: ListedVolume) -> Leftover {
    let billed = Billed::Disk(gigabytes(it.size));
    Leftover { billed, ..leftover(kind, zone, &it.id, it.name, it.creation_date.as_deref()) }
}

fn leftover(kind: &'static str, zone: &str, id: &str, name: String, created: Option<&str>) -> Leftover {
    Leftover { kind, native: native(zone, id), name, created_secs: secs(created), billed: Billed::Nothing }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn gigabytes(bytes: f64) -> u32 {
    (bytes / GB_BYTES).ceil() as u32
}
