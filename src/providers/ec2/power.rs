//! Power and snapshots at EC2: a snapshot is a machine image with an EBS snapshot per disk behind it. When to stop an instance,
//! and whose snapshots may be deleted, is decided by the callers.

use super::schema::{self, Image};
use super::{Ec2, Error, ErrorKind, NAME, Query, absent_is_fine, found, native, parse, split, tags_of};
use crate::encoding::{base32, from_rfc3339};
use crate::http::{Clock, Http, Random};
use crate::labels::{DEPLOYMENT, LabelSet, Selector};
use crate::providers::send::malformed;
use crate::providers::{Power, Snapshot, side_by_side};

/// Longest description of an image, characters.
const DESCRIPTION_MAX_CHARS: usize = 255;

impl Ec2 {
    /// Changes the power. An instance that is stopped through the API stays, whatever its own shutdown would do to it.
    pub fn power_query(id: &str, power: Power) -> Query {
        let (region, id) = split(id);
        let query = |action| Query::new(region, action).with("InstanceId.1", id);
        match power {
            Power::Start => query("StartInstances"),
            Power::Stop => query("StopInstances"),
            Power::Cut => query("StopInstances").with("Force", "true"),
        }
    }

    /// Begins an image of a running or stopped instance, without stopping it. Image and snapshots carry the labels from their
    /// first moment.
    pub fn snapshot_query(id: &str, name: &str, description: &str, labels: &LabelSet) -> Query {
        let (region, id) = split(id);
        Query::new(region, "CreateImage")
            .with("InstanceId", id)
            .with("Name", name)
            .with("Description", description)
            .with("NoReboot", "true")
            .tags(1, "image", tags_of(labels))
            .tags(2, "snapshot", tags_of(labels))
    }

    /// The account's own images with all the tags of a selector.
    pub fn snapshots_query(region: &str, selector: &Selector) -> Query {
        Query::new(region, "DescribeImages").with("Owner.1", "self").select(selector)
    }

    /// One image.
    pub fn image_query(id: &str) -> Query {
        let (region, id) = split(id);
        Query::new(region, "DescribeImages").with("ImageId.1", id)
    }

    /// Changes the power.
    pub async fn power<H: Http + Random + Clock>(
        &self,
        host: &H,
        id: &str,
        power: Power,
    ) -> Result<bool, Error> {
        found(self.send(host, &Self::power_query(id, power)).await)
    }

    /// Begins a snapshot, sent once: two would both be billed.
    pub async fn snapshot<H: Http + Random + Clock>(
        &self,
        host: &H,
        id: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        if description.chars().count() > DESCRIPTION_MAX_CHARS || !description.is_ascii() {
            let detail = "takes descriptions of snapshots of at most 255 ASCII characters";
            return Err(Error::new(NAME, ErrorKind::Invalid, detail));
        }
        // Names are unique in the account and the region.
        let mut random = [0; 10];
        host.fill(&mut random);
        let deployment = labels.iter().find(|(key, _)| key == DEPLOYMENT).map_or("", |(_, value)| value);
        let name = format!("mayfly-{deployment}-{}", base32(&random));
        let answer = match self.send_once(host, &Self::snapshot_query(id, &name, description, labels)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let root = parse(&answer)?;
        let image = Some(root.text(&["imageId"])).filter(|it| it.starts_with("ami-"));
        let (region, _) = split(id);
        Ok(Some(Snapshot {
            native: native(region, image.ok_or_else(|| malformed(NAME))?),
            description: description.to_owned(),
            created_secs: 0,
            is_ready: false,
            min_disk_gb: 0.0,
            size_gb: None,
            billed_as: Vec::new(),
            price: None,
            locations: vec![region.to_owned()],
            labels: labels.iter().cloned().collect(),
        }))
    }

    /// The matching snapshots of all regions.
    pub async fn snapshots<H: Http + Random + Clock>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let regions = side_by_side(self.regions.iter().map(|region| async move {
            let answer = self.send(host, &Self::snapshots_query(region, selector)).await?;
            let images = schema::images(&parse(&answer)?);
            Ok::<_, Error>(images.into_iter().map(|it| snapshot(region, it)).collect::<Vec<_>>())
        }))
        .await;
        let regions: Vec<Vec<Snapshot>> = regions.into_iter().collect::<Result<_, _>>()?;
        Ok(regions.into_iter().flatten().collect())
    }

    /// Deletes an image with the snapshots behind it, which would stay; that they are gone already is success.
    pub async fn delete_snapshot<H: Http + Random + Clock>(&self, host: &H, id: &str) -> Result<(), Error> {
        let Some(image) = self.image_of(host, id).await? else { return Ok(()) };
        let (region, ami) = split(id);
        let deregister = Query::new(region, "DeregisterImage")
            .with("ImageId", ami)
            .with("DeleteAssociatedSnapshots", "true");
        absent_is_fine(self.send(host, &deregister).await)?;
        // Where the deregistration left them: nobody could find them later.
        for snapshot in image.snapshots {
            let delete = Query::new(region, "DeleteSnapshot").with("SnapshotId", snapshot);
            absent_is_fine(self.send(host, &delete).await)?;
        }
        Ok(())
    }

    /// An image by its id; `None` where there is none, or none any more.
    pub(super) async fn image_of<H: Http + Random + Clock>(
        &self,
        host: &H,
        id: &str,
    ) -> Result<Option<Image>, Error> {
        let answer = match self.send(host, &Self::image_query(id)).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let (_, ami) = split(id);
        let image = schema::images(&parse(&answer)?).into_iter().find(|it| it.id == ami);
        Ok(image.filter(|it| it.state != "deregistered"))
    }
}

fn snapshot(region: &str, image: Image) -> Snapshot {
    Snapshot {
        native: native(region, &image.id),
        description: image.description,
        created_secs: from_rfc3339(&image.created_at).unwrap_or(0),
        is_ready: image.state == "available",
        min_disk_gb: image.size_gib.into(),
        // Billed by the blocks that are kept, which this call does not tell.
        size_gb: None,
        billed_as: image.snapshots,
        price: None,
        locations: vec![region.to_owned()],
        labels: image.tags,
    }
}
