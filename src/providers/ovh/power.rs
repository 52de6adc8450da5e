//! Power and snapshots at OVHcloud. Snapshots have no labels either: their names carry them. When to stop a server, and whose
//! snapshots may be deleted, is decided by the callers.

use std::collections::BTreeMap;

use super::schema::{CreateSnapshot, Image, SnapshotAnswer};
use super::{Error, ErrorKind, NAME, Ovh, absent_is_fine, found, location, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Clock, Http, Method, Random, Request};
use crate::labels::{LabelSet, Selector, packed_name};
use crate::providers::{Power, Snapshot};

/// What a server's snapshot is in the price list, where the snapshot does not say it.
const PLAN: &str = "snapshot.consumption";

impl Ovh {
    /// Changes the power. `stop` asks the operating system and switches off what does not obey; what is switched off is
    /// billed in full.
    pub fn power_request(&self, native: &str, power: Power) -> Request {
        let action = match power {
            Power::Start => "start",
            Power::Stop | Power::Cut => "stop",
        };
        self.request(Method::Post, &format!("/instance/{native}/{action}"), Vec::new())
    }

    /// Begins a snapshot; it survives its server.
    pub fn snapshot_request(&self, native: &str, name: &str) -> Request {
        let body = CreateSnapshot { snapshot_name: name };
        self.json_request(Method::Post, &format!("/instance/{native}/snapshot"), &body)
    }

    /// All snapshots of the project.
    pub fn snapshots_request(&self) -> Request {
        self.get_request("/snapshot")
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/snapshot/{native}"), Vec::new())
    }

    /// Changes the power.
    pub async fn power<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        power: Power,
    ) -> Result<bool, Error> {
        found(self.send(host, self.power_request(native, power)).await)
    }

    /// Begins a snapshot, sent once: two would both be billed.
    pub async fn snapshot<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        let labels: BTreeMap<String, String> = labels.iter().cloned().collect();
        let too_long =
            || Error::new(NAME, ErrorKind::Invalid, "takes no snapshot with so long a description");
        let name = packed_name::of_snapshot(description, &labels).ok_or_else(too_long)?;
        // It can be used in the region of its server alone, and the answer to its creation does not tell that.
        let Some(server) = self.instance(host, native).await? else { return Ok(None) };
        let answer = match self.send_once(host, self.snapshot_request(native, &name)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        Ok(Some(Snapshot {
            native: parse::<SnapshotAnswer>(&answer)?.snapshot_id,
            description: description.to_owned(),
            created_secs: 0,
            is_ready: false,
            min_disk_gb: 0.0,
            size_gb: None,
            billed_as: Vec::new(),
            price: None,
            locations: vec![location(&server.region)],
            labels,
        }))
    }

    /// The matching snapshots of all regions.
    pub async fn snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let answer = self.send(host, self.snapshots_request()).await?;
        let all = parse::<Vec<Image>>(&answer)?.into_iter().filter_map(snapshot);
        Ok(all.filter(|it| selector.matches(&it.labels)).collect())
    }

    /// Fills in what each costs, without taxes, from the public price list.
    pub async fn price_snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        found: &mut [Snapshot],
    ) -> Result<(), Error> {
        for it in found {
            if let [plan] = it.billed_as.as_slice() {
                it.price = self.storage_price(host, plan).await?;
            }
        }
        Ok(())
    }

    /// Deletes a snapshot; that it is gone already is success.
    pub async fn delete_snapshot<H: Http + Random + Clock>(
        &self,
        host: &H,
        native: &str,
    ) -> Result<(), Error> {
        absent_is_fine(self.send(host, self.delete_snapshot_request(native)).await)
    }
}

/// `None` for what is not ours.
fn snapshot(image: Image) -> Option<Snapshot> {
    let (_, labels, description) = packed_name::read(&image.name)?;
    Some(Snapshot {
        native: image.id,
        description: description.to_owned(),
        created_secs: from_rfc3339(&image.creation_date).unwrap_or(0),
        is_ready: image.status == "active",
        min_disk_gb: image.min_disk,
        size_gb: (image.size > 0.0).then_some(image.size),
        billed_as: vec![image.plan_code.unwrap_or_else(|| PLAN.to_owned())],
        price: None,
        locations: vec![location(&image.region)],
        labels,
    })
}
