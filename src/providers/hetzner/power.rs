//! Power and snapshots at Hetzner. When to stop a server, and whose snapshots may be deleted, is decided by the callers.

use super::schema::{CreateImage, ImageAnswer, Images, SnapshotImage};
use super::{Error, Hetzner, MAX_PAGES, PER_PAGE, absent_is_fine, as_map, found, parse};
use crate::encoding::from_rfc3339;
use crate::http::{Http, Method, Random, Request};
use crate::labels::{LabelSet, Selector};
use crate::providers::{ErrorKind, Power, Snapshot};

impl Hetzner {
    /// Changes the power. `shutdown` is an ACPI signal: that it was sent is all that the answer says.
    pub fn power_request(&self, native: &str, power: Power) -> Request {
        let action = match power {
            Power::Start => "poweron",
            Power::Stop => "shutdown",
            Power::Cut => "poweroff",
        };
        self.request(Method::Post, &format!("/servers/{native}/actions/{action}"), Vec::new())
    }

    /// Begins a snapshot; it survives its server.
    pub fn snapshot_request(&self, native: &str, description: &str, labels: &LabelSet) -> Request {
        let body = CreateImage { r#type: "snapshot", description, labels: as_map(labels) };
        self.json_request(Method::Post, &format!("/servers/{native}/actions/create_image"), &body)
    }

    /// A page of the snapshots that match, newest first.
    pub fn snapshots_request(&self, selector: &Selector, page: u32) -> Request {
        self.get_request(&format!(
            "/images?type=snapshot&label_selector={}&sort=created:desc&page={page}&per_page={PER_PAGE}",
            selector.to_query()
        ))
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot_request(&self, native: &str) -> Request {
        self.request(Method::Delete, &format!("/images/{native}"), Vec::new())
    }

    /// Changes the power; switching twice into the same direction does no harm.
    pub async fn power<H: Http + Random>(&self, host: &H, native: &str, power: Power) -> Result<bool, Error> {
        found(self.send(host, self.power_request(native, power)).await)
    }

    /// Begins a snapshot. Sent once: two would both be billed.
    pub async fn snapshot<H: Http + Random>(
        &self,
        host: &H,
        native: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        match self.send_once(host, self.snapshot_request(native, description, labels)).await {
            Ok(response) => Ok(Some(parse::<ImageAnswer>(&response)?.image.into())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The matching snapshots.
    pub async fn snapshots<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let mut all = Vec::new();
        let mut next = Some(1);
        while let Some(page) = next.filter(|it| *it <= MAX_PAGES) {
            let answer = self.send(host, self.snapshots_request(selector, page)).await?;
            let answer: Images = parse(&answer)?;
            all.extend(answer.images.into_iter().map(Snapshot::from));
            next = answer.meta.pagination.next_page.filter(|it| *it > page);
        }
        Ok(all)
    }

    /// Deletes a snapshot; that it is gone already is success.
    pub async fn delete_snapshot<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        absent_is_fine(self.send(host, self.delete_snapshot_request(native)).await)
    }
}

impl From<SnapshotImage> for Snapshot {
    fn from(image: SnapshotImage) -> Self {
        Self {
            native: image.id.to_string(),
            description: image.description,
            created_secs: from_rfc3339(&image.created).unwrap_or(0),
            is_ready: image.status == "available",
            min_disk_gb: image.disk_size,
            size_gb: image.image_size,
            billed_as: Vec::new(),
            price: None,
            locations: Vec::new(),
            labels: image.labels,
        }
    }
}
