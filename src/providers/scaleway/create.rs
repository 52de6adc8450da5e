//! Creation at Scaleway: security group and image of the zone, the server, which is born switched off, then its user data, its
//! disk's tags and the power. The order of placements and what becomes of failures is in `creation`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::schema::{CreateServer, LocalImages, NewVolume, Server, ServerAnswer, Tags};
use super::{
    Error, ErrorKind, NAME, OF_DISK, Scaleway, instance, native, parse, server_path, split, tags_of,
};
use crate::http::{Host, Http, Method, Random, Request};
use crate::labels::{LabelSet, Selector};
use crate::model::{ProviderName, Vm, VmState};
use crate::providers::creation::{Rendered, Steps};
use crate::providers::{Offer, Plan, Power, RateBudget, Source};
use crate::workspace::Image;

/// Security groups that this call made, by zone: a zone is known only when a placement is tried.
pub(in crate::providers) struct Made(RefCell<Vec<(String, String)>>);

impl Scaleway {
    /// The images of an operating system in a zone, for types with a disk of their own.
    pub fn images_of_request(&self, zone: &str, image: Image) -> Request {
        let label = match image {
            Image::Debian13 => "debian_trixie",
            Image::Ubuntu2404 => "ubuntu_noble",
        };
        self.get_request(&format!(
            "/marketplace/v2/local-images?image_label={label}&zone={zone}&type=instance_local&order_by=type_asc"
        ))
    }

    /// Sets the user data: plain text, the only body that is not JSON. To be set before the first start.
    pub fn user_data_request(&self, native: &str, user_data: &str) -> Request {
        let path = format!("{}/user_data/cloud-init", server_path(native));
        self.request(Method::Patch, &path, user_data.as_bytes().to_vec(), "text/plain")
    }

    /// Creates a server, switched off.
    fn create_request<R>(
        &self,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        image: &str,
        security_group: &str,
    ) -> Request {
        let root = NewVolume { size: bytes(offer.disk_gb), volume_type: "l_ssd" };
        let body = CreateServer {
            name: plan.name,
            commercial_type: &offer.server_type,
            image,
            project: &self.project,
            tags: tags_of(&rendered.labels),
            dynamic_ip_required: true,
            volumes: BTreeMap::from([("0", root)]),
            security_group,
            boot_type: "local",
        };
        self.json_request(Method::Post, &instance(&offer.location, "/servers"), &body)
    }

    /// The id of an operating system's image for a type in a zone.
    async fn image<H: Http + Random>(&self, host: &H, image: Image, offer: &Offer) -> Result<String, Error> {
        let answer = self.send(host, self.images_of_request(&offer.location, image)).await?;
        let images = parse::<LocalImages>(&answer)?.local_images;
        let fits = |types: &[String]| types.is_empty() || types.contains(&offer.server_type);
        let image =
            images.into_iter().find(|it| it.arch == "x86_64" && fits(&it.compatible_commercial_types));
        // Another place may have it.
        let none = || Error::new(NAME, ErrorKind::Capacity, "has no image of this operating system there");
        image.map(|it| it.id).ok_or_else(none)
    }

    /// User data, tags of the disk, power. A disk outlives its server where the server is deleted in another way than ours.
    async fn boot<H: Host>(
        &self,
        host: &H,
        server: &Server,
        rendered: &Rendered,
    ) -> Result<Vec<String>, Error> {
        let id = native(&server.zone, &server.id);
        let of_disk = rendered.labels.iter().filter(|(key, _)| OF_DISK.contains(&key.as_str())).cloned();
        let of_disk: LabelSet = of_disk.collect();
        self.send(host, self.user_data_request(&id, &rendered.user_data)).await?;
        let mut warnings = Vec::new();
        for volume in server.volumes.values().filter(|it| it.kind == "l_ssd") {
            let path = instance(&server.zone, &format!("/volumes/{}", volume.id));
            let request = self.json_request(Method::Patch, &path, &Tags { tags: tags_of(&of_disk) });
            if let Err(error) = self.send(host, request).await {
                warnings.push(format!("the disk could not be labelled: {}", error.sentence()));
            }
        }
        match self.send_once(host, self.power_request(&id, Power::Start)).await {
            Ok(_) => Ok(warnings),
            // What runs all the same stays: somebody who sent the same request may have been told of it.
            Err(error) if error.kind.may_have_acted() => match self.read(host, &id).await.map(Vm::from) {
                Ok(vm) if vm.state != VmState::Stopped => Ok(warnings),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "disks are far below 2^53 bytes")]
fn bytes(disk_gb: f64) -> u64 {
    (disk_gb.max(0.0) * 1_000_000_000.0).round() as u64
}

impl Steps for Scaleway {
    type Needs = Made;
    type Server = Server;

    const NAME: ProviderName = NAME;

    async fn prepare<H: Host, R>(&self, _host: &H, _plan: &Plan<'_, R>) -> Result<Made, Error> {
        Ok(Made(RefCell::default()))
    }

    fn renewed(before: Made, _again: Made) -> Made {
        before
    }

    /// What a zone needs is looked for with every placement.
    fn needs_vanished(_error: &Error) -> bool {
        false
    }

    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &Made,
    ) -> Result<Server, Error> {
        let zone = &offer.location;
        let image = match plan.source {
            Source::Image(image) => self.image(host, image, offer).await?,
            Source::Snapshot(native) => split(native).1.to_owned(),
        };
        let group = self.ensure_security_group(host, zone, plan.deployment, &plan.shared_labels).await?;
        if group.is_new {
            needs.0.borrow_mut().push((zone.clone(), group.id.clone()));
        }
        let request = self.create_request(plan, offer, rendered, &image, &group.id);
        Ok(parse::<ServerAnswer>(&self.send_once(host, request).await?)?.server)
    }

    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<Server, Error> {
        Ok(parse::<ServerAnswer>(&self.send(host, self.get_server_request(native)).await?)?.server)
    }

    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        self.for_each(host, selector, sink).await
    }

    /// A server that cannot be booted is deleted again; where that fails, too, its labels expire it.
    async fn finish<H: Host>(
        &self,
        host: &H,
        server: Server,
        rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error> {
        match self.boot(host, &server, rendered).await {
            Ok(warnings) => Ok((Vm { state: VmState::Creating, ..Vm::from(server) }, warnings)),
            Err(error) => {
                if self.delete(host, &native(&server.zone, &server.id)).await.is_err() {
                    host.log(r#"{"event":"rollback_failed","kind":"server"}"#);
                }
                Err(error)
            }
        }
    }

    async fn take_back<H: Host>(&self, host: &H, needs: &Made) {
        let made = needs.0.take();
        for (zone, id) in made {
            if self.delete_security_group(host, &zone, &id).await.is_err() {
                host.log(r#"{"event":"rollback_failed","kind":"security_group"}"#);
            }
        }
    }
}
