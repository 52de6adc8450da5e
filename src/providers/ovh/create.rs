//! Creation at OVHcloud: the SSH key before, then flavor and image of the region, the server, and a look whether it found a
//! host. The order of the steps and what becomes of failures is in `creation`.

use std::collections::BTreeMap;

use super::schema::{CreateInstance, Flavor, Image, Instance};
use super::shared::SharedKey;
use super::{Error, ErrorKind, NAME, Ovh, no_room, parse, region};
use crate::http::{Clock, Host, Http, Method, Random, Request};
use crate::labels::{Selector, packed_name};
use crate::model::{ProviderName, Vm};
use crate::providers::creation::{Rendered, Steps};
use crate::providers::{Offer, Plan, RateBudget, Source};
use crate::workspace::Image as Os;

/// Looks at a new server, and the first pause, which doubles. Whether there is a host for it is decided within seconds.
const LOOKS: u32 = 2;
const LOOK_PAUSE_MS: u32 = 1000;

impl Ovh {
    /// The flavors of one region, whose ids are its own.
    pub fn flavors_of_request(&self, location: &str) -> Request {
        self.get_request(&format!("/flavor?region={}", region(location)))
    }

    /// The images of one region, whose ids are its own, too.
    pub fn images_of_request(&self, location: &str) -> Request {
        self.get_request(&format!("/image?osType=linux&region={}", region(location)))
    }

    /// Creates a server, billed by the hour, with a public address.
    fn create_request(
        &self,
        name: &str,
        offer: &Offer,
        rendered: &Rendered,
        (flavor, image): (&str, &str),
        key: &SharedKey,
    ) -> Request {
        let region = region(&offer.location);
        // A region that is newer than the key does not have it. The user data brings it in any case.
        let has_key = key.regions.contains(&region);
        let body = CreateInstance {
            name,
            region: &region,
            flavor_id: flavor,
            image_id: image,
            ssh_key_id: has_key.then_some(key.id.as_str()),
            user_data: &rendered.user_data,
            monthly_billing: false,
        };
        self.json_request(Method::Post, "/instance", &body)
    }

    async fn flavor<H: Http + Random + Clock>(&self, host: &H, offer: &Offer) -> Result<String, Error> {
        let answer = self.send(host, self.flavors_of_request(&offer.location)).await?;
        let flavors = parse::<Vec<Flavor>>(&answer)?;
        let flavor = flavors.into_iter().find(|it| it.name == offer.server_type && it.available);
        let none = || Error::new(NAME, ErrorKind::Capacity, "has no server of this type there at the moment");
        flavor.map(|it| it.id).ok_or_else(none)
    }

    async fn image<H: Http + Random + Clock>(
        &self,
        host: &H,
        source: Source<'_>,
        location: &str,
    ) -> Result<String, Error> {
        let name = match source {
            Source::Snapshot(native) => return Ok(native.to_owned()),
            Source::Image(Os::Debian13) => "Debian 13",
            Source::Image(Os::Ubuntu2404) => "Ubuntu 24.04",
        };
        let answer = self.send(host, self.images_of_request(location)).await?;
        let is_it = |it: &Image| it.name == name && it.status == "active" && it.visibility == "public";
        let images = parse::<Vec<Image>>(&answer)?.into_iter().filter(is_it);
        let newest = images.max_by(|one, other| one.creation_date.cmp(&other.creation_date));
        // Another place may have it.
        let none = || Error::new(NAME, ErrorKind::Capacity, "has no image of this operating system there");
        newest.map(|it| it.id).ok_or_else(none)
    }
}

impl Steps for Ovh {
    type Needs = SharedKey;
    type Server = Instance;

    const NAME: ProviderName = NAME;

    async fn prepare<H: Host, R>(&self, host: &H, plan: &Plan<'_, R>) -> Result<SharedKey, Error> {
        self.ensure_ssh_key(host, plan.ssh_key, plan.deployment).await
    }

    fn renewed(before: SharedKey, mut again: SharedKey) -> SharedKey {
        again.is_new |= before.is_new && before.id == again.id;
        again
    }

    fn needs_vanished(error: &Error) -> bool {
        matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound)
            && ["sshkey", "ssh key", "key_name"]
                .iter()
                .any(|it| error.detail.to_ascii_lowercase().contains(it))
    }

    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &SharedKey,
    ) -> Result<Instance, Error> {
        let labels: BTreeMap<String, String> = rendered.labels.iter().cloned().collect();
        let name = packed_name::of_server(plan.name, &labels).ok_or_else(no_room)?;
        let flavor = self.flavor(host, offer);
        let image = self.image(host, plan.source, &offer.location);
        let (flavor, image) = futures_util::future::try_join(flavor, image).await?;
        let request = self.create_request(&name, offer, rendered, (&flavor, &image), needs);
        parse(&self.send_once(host, request).await?)
    }

    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<Instance, Error> {
        parse(&self.send(host, self.get_instance_request(native)).await?)
    }

    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        self.for_each(host, selector, sink).await
    }

    /// A server for which there is no host is accepted, and broken seconds later: then it is deleted, and another place may
    /// have one. What cannot be looked at is believed.
    async fn finish<H: Host>(
        &self,
        host: &H,
        server: Instance,
        _rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error> {
        let mut newest = server;
        for look in 0..LOOKS {
            if !newest.status.starts_with("BUILD") {
                break;
            }
            host.sleep_ms(LOOK_PAUSE_MS << look).await;
            match self.instance(host, &newest.id).await {
                Ok(Some(seen)) => newest = seen,
                _ => break,
            }
        }
        if newest.status != "ERROR" {
            return Ok((Vm::from(newest), Vec::new()));
        }
        if self.delete(host, &newest.id).await.is_err() {
            host.log(r#"{"event":"rollback_failed","kind":"server"}"#);
        }
        Err(Error::new(NAME, ErrorKind::Capacity, "found no host for the server"))
    }

    async fn take_back<H: Host>(&self, host: &H, needs: &SharedKey) {
        if needs.is_new && self.delete_ssh_key(host, &needs.id).await.is_err() {
            host.log(r#"{"event":"rollback_failed","kind":"ssh_key"}"#);
        }
    }
}
