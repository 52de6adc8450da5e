//! Power and snapshots at Scaleway: a snapshot is an image with one snapshot per disk behind it. When to stop a server, and
//! whose snapshots may be deleted, is decided by the callers.

use std::collections::BTreeMap;

use super::catalogue::GB_BYTES;
use super::schema::{BackupVolume, Image, ImageAnswer, Images, ServerAction, Tags, TaskAnswer};
use super::{
    Error, ErrorKind, Scaleway, absent_is_fine, block, found, instance, labels_of, native, parse, secs,
    server_path, split, tags_of,
};
use crate::http::{Http, Method, Random, Request};
use crate::labels::{LabelSet, Selector};
use crate::providers::send::malformed;
use crate::providers::{Power, Snapshot, side_by_side};

impl Scaleway {
    /// Changes the power. Only `poweroff` stops the bill: what its own system shuts down stands by "in place".
    pub fn power_request(&self, native: &str, power: Power) -> Request {
        let action = match power {
            Power::Start => "poweron",
            Power::Stop | Power::Cut => "poweroff",
        };
        self.action_request(native, action)
    }

    /// An action without arguments.
    pub fn action_request(&self, native: &str, action: &str) -> Request {
        let body = ServerAction { action, name: None, volumes: BTreeMap::new() };
        self.json_request(Method::Post, &format!("{}/action", server_path(native)), &body)
    }

    /// Changes the power.
    pub async fn power<H: Http + Random>(&self, host: &H, native: &str, power: Power) -> Result<bool, Error> {
        found(self.send(host, self.power_request(native, power)).await)
    }

    /// Begins a snapshot, sent once: two would both be billed. Its labels follow, since a backup takes none; where they cannot
    /// be written the snapshot is taken back.
    pub async fn snapshot<H: Http + Random>(
        &self,
        host: &H,
        id: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        let Some(server) = self.server(host, id).await? else { return Ok(None) };
        let kind = |volume_type: &str| if volume_type == "sbs_volume" { "sbs_snapshot" } else { "l_ssd" };
        let volume = |it: &'_ super::schema::Volume| BackupVolume { volume_type: kind(&it.volume_type) };
        let volumes = server.volumes.values().map(|it| (it.id.as_str(), volume(it))).collect();
        let body = ServerAction { action: "backup", name: Some(description), volumes };
        let request = self.json_request(Method::Post, &format!("{}/action", server_path(id)), &body);
        let answer = match self.send_once(host, request).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let task = parse::<TaskAnswer>(&answer)?.task;
        let image = task.href_result.strip_prefix("/images/").ok_or_else(|| malformed(super::NAME))?;
        let (zone, _) = split(id);
        let image = native(zone, image);
        let path = image_path(&image);
        let tagged = self.json_request(Method::Patch, &path, &Tags { tags: tags_of(labels) });
        if let Err(error) = self.send(host, tagged).await {
            let _ = self.delete_snapshot(host, &image).await;
            return Err(error);
        }
        Ok(Some(Snapshot {
            native: image,
            description: description.to_owned(),
            created_secs: 0,
            is_ready: false,
            min_disk_gb: 0.0,
            size_gb: None,
            billed_as: Vec::new(),
            price: None,
            locations: vec![zone.to_owned()],
            labels: labels.iter().cloned().collect(),
        }))
    }

    /// The matching snapshots of all zones.
    pub async fn snapshots<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let zones = side_by_side(self.zones.iter().map(|zone| async move {
            let request = |page| self.list_request("images", zone, selector, page);
            let images = self.pages(host, request, |it| Ok(parse::<Images>(it)?.images)).await?;
            Ok(images.into_iter().map(|it| snapshot(zone, it)).collect())
        }))
        .await;
        let zones: Vec<Vec<Snapshot>> = zones.into_iter().collect::<Result<_, _>>()?;
        Ok(zones.into_iter().flatten().collect())
    }

    /// Deletes an image, then the snapshots behind it, which would stay; that they are gone already is success.
    pub async fn delete_snapshot<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let path = image_path(native);
        let image = match self.send(host, self.get_request(&path)).await {
            Ok(response) => parse::<ImageAnswer>(&response)?.image,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        absent_is_fine(self.send(host, self.delete_path_request(&path)).await)?;
        let (zone, _) = split(native);
        let root = (&image.root_volume.id, &image.root_volume.volume_type);
        let extra = image.extra_volumes.values().map(|it| (&it.id, &it.volume_type));
        for (id, volume_type) in std::iter::once(root).chain(extra) {
            let path = format!("/snapshots/{id}");
            let path =
                if volume_type.starts_with("sbs") { block(zone, &path) } else { instance(zone, &path) };
            absent_is_fine(self.send(host, self.delete_path_request(&path)).await)?;
        }
        Ok(())
    }
}

fn image_path(native: &str) -> String {
    let (zone, id) = split(native);
    instance(zone, &format!("/images/{id}"))
}

fn snapshot(zone: &str, image: Image) -> Snapshot {
    let size_gb = image.root_volume.size / GB_BYTES;
    Snapshot {
        native: native(zone, &image.id),
        description: image.name,
        created_secs: secs(image.creation_date.as_deref()),
        is_ready: image.state == "available",
        min_disk_gb: size_gb,
        // The whole disk is billed, however little is on it.
        size_gb: Some(size_gb),
        billed_as: Vec::new(),
        price: None,
        locations: vec![zone.to_owned()],
        labels: labels_of(&image.tags),
    }
}
