//! Power and snapshots at Scaleway: a snapshot is an image with one snapshot per local disk behind it. Each can outlive the
//! other's end, so both are marked as ours: an image by its name from the beginning and by tags soon after, the snapshots
//! behind it by tags before it is deleted. When to stop a server, and whose snapshots may be deleted, is decided by the callers.

use std::collections::BTreeMap;

use super::catalogue::GB_BYTES;
use super::schema::{
    BackupVolume, Image, ImageAnswer, Images, ListedVolume, ServerAction, Snapshots, TaskAnswer,
};
use super::{
    Error, ErrorKind, OF_DISK, PER_PAGE, Scaleway, absent_is_fine, block, found, instance, labels_of, native,
    parse, secs, server_path, split,
};
use crate::http::{Http, Method, Random, Request};
use crate::labels::{DEPLOYMENT, LabelSet, MANAGED_BY, MAYFLY, REPO, Selector, tags};
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

    /// A page of all images of the project: a backup has no tags before it gets them.
    pub fn images_request(&self, zone: &str, page: u32) -> Request {
        let project = &self.project;
        self.get_request(&instance(
            zone,
            &format!("/images?project={project}&page={page}&per_page={PER_PAGE}"),
        ))
    }

    /// Begins a snapshot of the local disks, sent once: two would both be billed. A backup takes no tags; its name says whose it
    /// is, should the answer be lost, and who lists it without tags writes them.
    pub async fn snapshot<H: Http + Random>(
        &self,
        host: &H,
        id: &str,
        description: &str,
        labels: &LabelSet,
    ) -> Result<Option<Snapshot>, Error> {
        let Some(server) = self.server(host, id).await? else { return Ok(None) };
        let labels: BTreeMap<String, String> = labels.iter().cloned().collect();
        let local = server.volumes.values().filter(|it| it.kind == "l_ssd");
        let volumes = local.map(|it| (it.id.as_str(), BackupVolume { volume_type: "l_ssd" })).collect();
        let name = name_of(description, &labels);
        let body = ServerAction { action: "backup", name: Some(&name), volumes };
        let request = self.json_request(Method::Post, &format!("{}/action", server_path(id)), &body);
        let answer = match self.send_once(host, request).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let task = parse::<TaskAnswer>(&answer)?.task;
        let image = task.href_result.strip_prefix("/images/").ok_or_else(|| malformed(super::NAME))?;
        let (zone, _) = split(id);
        let image = native(zone, image);
        let _ = self.send(host, self.tag_request(&image_path(&image), &labels)).await;
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
            labels,
        }))
    }

    /// The matching snapshots of all zones. Those that have no tags yet get them now.
    pub async fn snapshots<H: Http + Random>(
        &self,
        host: &H,
        selector: &Selector,
    ) -> Result<Vec<Snapshot>, Error> {
        let zones = side_by_side(self.zones.iter().map(|zone| async move {
            let mut found = Vec::new();
            for image in self.images(host, zone).await? {
                let is_tagged = labels_of(&image.tags).contains_key(DEPLOYMENT);
                let snapshot = snapshot(zone, image, selector.deployment_name());
                if !selector.matches(&snapshot.labels) {
                    continue;
                }
                if !is_tagged {
                    // Its name says whose it is, and the next list tries again.
                    let request = self.tag_request(&image_path(&snapshot.native), &snapshot.labels);
                    let _ = self.send(host, request).await;
                }
                found.push(snapshot);
            }
            Ok(found)
        }))
        .await;
        let zones: Vec<Vec<Snapshot>> = zones.into_iter().collect::<Result<_, _>>()?;
        Ok(zones.into_iter().flatten().collect())
    }

    /// All images of the project in a zone.
    async fn images<H: Http + Random>(&self, host: &H, zone: &str) -> Result<Vec<Image>, Error> {
        let request = |page| self.images_request(zone, page);
        self.pages(host, request, |it| Ok(parse::<Images>(it)?.images)).await
    }

    /// Deletes an image, then the snapshots behind it, which would stay and be billed, and cannot go before. They are tagged
    /// first: whatever happens in between, they are found as leftovers. That an image is gone already is success.
    pub async fn delete_snapshot<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let path = image_path(native);
        let image = match self.send(host, self.get_request(&path)).await {
            Ok(response) => parse::<ImageAnswer>(&response)?.image,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (zone, _) = split(native);
        let mut labels = labels_of(&image.tags);
        labels.retain(|key, _| OF_DISK.contains(&key.as_str()));
        if !labels.contains_key(DEPLOYMENT) {
            return Err(Error::new(super::NAME, ErrorKind::Locked, "has not taken the image's tags yet"));
        }
        for (id, _) in image.snapshots().filter(|(_, is_local)| *is_local) {
            absent_is_fine(self.send(host, self.tag_request(&snapshot_path(zone, id), &labels)).await)?;
        }
        absent_is_fine(self.send(host, self.delete_path_request(&path)).await)?;
        for (id, is_local) in image.snapshots() {
            let path =
                if is_local { snapshot_path(zone, id) } else { block(zone, &format!("/snapshots/{id}")) };
            self.delete_when_free(host, &path).await?;
        }
        Ok(())
    }

    /// Snapshots of ours whose image is gone: their deletion was interrupted.
    pub(super) async fn free_snapshots<H: Http + Random>(
        &self,
        host: &H,
        zone: &str,
        ours: &Selector,
    ) -> Result<Vec<ListedVolume>, Error> {
        let request = |page| self.list_request("snapshots", zone, ours, page);
        let mut found = self.pages(host, request, |it| Ok(parse::<Snapshots>(it)?.snapshots)).await?;
        found.retain(|it| ours.matches(&labels_of(&it.tags)));
        if !found.is_empty() {
            let images = self.images(host, zone).await?;
            let used: Vec<&str> = images.iter().flat_map(|it| it.snapshots().map(|(id, _)| id)).collect();
            found.retain(|it| !used.contains(&it.id.as_str()));
        }
        Ok(found)
    }
}

impl Image {
    /// The snapshots behind it, and whether each is of a local disk.
    fn snapshots(&self) -> impl Iterator<Item = (&str, bool)> {
        let root = (&self.root_volume.id, &self.root_volume.volume_type);
        let extra = self.extra_volumes.values().map(|it| (&it.id, &it.kind));
        let is_local = |kind: &str| !kind.starts_with("sbs");
        std::iter::once(root).chain(extra).map(move |(id, kind)| (id.as_str(), is_local(kind)))
    }
}

/// `before the upgrade mayfly:<scope>:vm:1abc:2`: what people read, then what we read. The repository takes much room, and
/// nothing is found by it.
fn name_of(description: &str, labels: &BTreeMap<String, String>) -> String {
    let deployment = labels.get(DEPLOYMENT).map_or("", String::as_str);
    let is_named = |key: &str| ![MANAGED_BY, DEPLOYMENT].contains(&key) && !key.starts_with(REPO);
    let own = labels.iter().filter(|(key, _)| is_named(key));
    format!("{description} {}{}", tags::own_prefix(deployment), tags::text(own))
}

fn image_path(native: &str) -> String {
    let (zone, id) = split(native);
    instance(zone, &format!("/images/{id}"))
}

fn snapshot_path(zone: &str, id: &str) -> String {
    instance(zone, &format!("/snapshots/{id}"))
}

/// By the tags; of an image that has none of ours, by the name.
fn snapshot(zone: &str, image: Image, deployment: &str) -> Snapshot {
    let mut labels = labels_of(&image.tags);
    let mut description = image.name;
    if let Some((said, text)) = description.rsplit_once(&format!(" {}", tags::own_prefix(deployment))) {
        if !labels.contains_key(DEPLOYMENT) {
            labels = tags::read_text(text);
            labels.insert(MANAGED_BY.to_owned(), MAYFLY.to_owned());
            labels.insert(DEPLOYMENT.to_owned(), deployment.to_owned());
        }
        let end = said.len();
        description.truncate(end);
    }
    let size_gb = image.root_volume.size / GB_BYTES;
    Snapshot {
        native: native(zone, &image.id),
        description,
        created_secs: secs(image.creation_date.as_deref()),
        is_ready: image.state == "available",
        min_disk_gb: size_gb,
        // The whole disk is billed, however little is on it.
        size_gb: Some(size_gb),
        billed_as: Vec::new(),
        price: None,
        locations: vec![zone.to_owned()],
        labels,
    }
}
