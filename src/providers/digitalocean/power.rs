//! Power and snapshots at DigitalOcean. An image gets its number only when it is complete and takes no tags before, so a
//! snapshot's labels are in its name from the beginning, and its deployment's tag follows when it is listed. When to stop a
//! droplet, and whose snapshots may be deleted, is decided by the callers.

use std::collections::BTreeMap;

use super::schema::{Action, Image, Images};
use super::{DigitalOcean, Error, ErrorKind, NAME, PER_PAGE, absent_is_fine, found, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, Random, Request};
use crate::labels::{DEPLOYMENT, LabelSet, MANAGED_BY, MAYFLY, Selector, tags};
use crate::providers::{Power, Snapshot};

/// Longest name that is asked for, characters; the vendor documents no limit.
const NAME_MAX_CHARS: usize = 1024;

impl DigitalOcean {
    /// Changes the power. `shutdown` asks the operating system: that it was asked is all that the answer says.
    pub fn power_request(&self, native: &str, power: Power) -> Request {
        let action = match power {
            Power::Start => "power_on",
            Power::Stop => "shutdown",
            Power::Cut => "power_off",
        };
        self.action_request(native, &Action { r#type: action, name: None })
    }

    /// Begins a snapshot; it survives its droplet.
    pub fn snapshot_request(&self, native: &str, name: &str) -> Request {
        self.action_request(native, &Action { r#type: "snapshot", name: Some(name) })
    }

    /// A page of the team's own images.
    pub fn images_request(&self, page: u32) -> Request {
        self.get_request(&format!("/images?private=true&page={page}&per_page={PER_PAGE}"))
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/images/{native}"), Vec::new())
    }

    fn action_request(&self, native: &str, action: &Action<'_>) -> Request {
        self.json_request(Method::Post, &format!("/droplets/{native}/actions"), action)
    }

    /// Changes the power.
    pub async fn power<H: Http + Random>(&self, host: &H, native: &str, power: Power) -> Result<bool, Error> {
        found(self.send(host, self.power_request(native, power)).await)
    }

    /// Begins a snapshot, sent once: two would both be billed. Its number is not known before it is complete.
    pub async fn snapshot<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        let labels: BTreeMap<String, String> = labels.iter().cloned().collect();
        let name = name_of(description, &labels);
        if name.len() > NAME_MAX_CHARS {
            return Err(Error::new(NAME, ErrorKind::Invalid, "takes no snapshot with so long a description"));
        }
        if !found(self.send_once(host, self.snapshot_request(native, &name)).await)? {
            return Ok(None);
        }
        Ok(Some(Snapshot {
            native: String::new(),
            description: description.to_owned(),
            created_secs: 0,
            is_ready: false,
            min_disk_gb: 0.0,
            size_gb: None,
            billed_as: Vec::new(),
            price: None,
            locations: Vec::new(),
            labels,
        }))
    }

    /// The matching snapshots. Those that have no tag yet get it now.
    pub async fn snapshots<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let deployment = selector.deployment_name();
        let tag = tags::deployment_tag(deployment);
        let mut all = Vec::new();
        let images = self.pages(host, |page| self.images_request(page), |it| Ok(parse::<Images>(it)?.images));
        for image in images.await?.into_iter().filter(|it| it.r#type == "snapshot") {
            let is_tagged = image.tags.contains(&tag);
            let Some(snapshot) = snapshot(image, deployment) else { continue };
            if snapshot.is_ready && !is_tagged {
                // For people in the console; the name says whose it is, and the next list tries again.
                let _ = self.tag(host, &tag, "image", &snapshot.native).await;
            }
            all.push(snapshot);
        }
        Ok(all)
    }

    /// Deletes a snapshot; that it is gone already is success.
    pub async fn delete_snapshot<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        absent_is_fine(self.send(host, self.delete_snapshot_request(native)).await)
    }
}

/// `before the upgrade mayfly:<scope>:owner:1ann:2`: what people read, then what we read.
fn name_of(description: &str, labels: &BTreeMap<String, String>) -> String {
    let deployment = labels.get(DEPLOYMENT).map_or("", String::as_str);
    let own = labels.iter().filter(|(key, _)| ![MANAGED_BY, DEPLOYMENT].contains(&key.as_str()));
    format!("{description} {}{}", tags::own_prefix(deployment), tags::text(own))
}

/// `None` for images that are not this deployment's.
fn snapshot(image: Image, deployment: &str) -> Option<Snapshot> {
    let (description, text) = image.name.rsplit_once(&format!(" {}", tags::own_prefix(deployment)))?;
    let mut labels = tags::read_text(text);
    labels.insert(MANAGED_BY.to_owned(), MAYFLY.to_owned());
    labels.insert(DEPLOYMENT.to_owned(), deployment.to_owned());
    Some(Snapshot {
        native: image.id.to_string(),
        description: description.to_owned(),
        created_secs: from_rfc3339(&image.created_at).unwrap_or(0),
        is_ready: image.status == "available",
        min_disk_gb: image.min_disk_size.unwrap_or(0.0),
        size_gb: image.size_gigabytes,
        billed_as: Vec::new(),
        price: None,
        locations: image.regions,
        labels,
    })
}
