//! Creation at DigitalOcean: key and firewall before, then the droplet with all its tags. The order of the steps and what
//! becomes of failures is in `creation`.

use super::schema::{CreateDroplet, ImageRef};
use super::shared::Shared;
use super::{DigitalOcean, Error, ErrorKind, NAME, parse_droplet};
use crate::http::{Host, Method, Request};
use crate::labels::{Selector, tags};
use crate::model::{ProviderName, Vm};
use crate::providers::creation::{Rendered, Steps};
use crate::providers::{Offer, Plan, RateBudget, Source};
use crate::workspace::Image;

/// What a droplet needs before it is created. The firewall applies by the deployment's tag, so the droplet need not name it.
pub(in crate::providers) struct Prepared {
    key: Shared<u64>,
    firewall: Shared<String>,
}

impl DigitalOcean {
    /// Creates a droplet in one region.
    fn create_request<R>(
        &self,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        prepared: &Prepared,
    ) -> Request {
        let body = CreateDroplet {
            name: plan.name,
            region: &offer.location,
            size: &offer.server_type,
            image: match plan.source {
                Source::Image(Image::Debian13) => ImageRef::Slug("debian-13-x64"),
                Source::Image(Image::Ubuntu2404) => ImageRef::Slug("ubuntu-24-04-x64"),
                // What is not a number is no image: 0 is refused like one that is gone.
                Source::Snapshot(native) => ImageRef::Id(native.parse().unwrap_or(0)),
            },
            ssh_keys: [prepared.key.id],
            user_data: &rendered.user_data,
            tags: tags::all(&rendered.labels),
            ipv6: false,
            monitoring: false,
            backups: false,
            with_droplet_agent: false,
        };
        self.json_request(Method::Post, "/droplets", &body)
    }
}

impl Steps for DigitalOcean {
    type Needs = Prepared;
    type Server = Vm<'static>;

    const NAME: ProviderName = NAME;

    async fn prepare<H: Host, R>(&self, host: &H, plan: &Plan<'_, R>) -> Result<Prepared, Error> {
        let key = self.ensure_ssh_key(host, plan.ssh_key, plan.deployment).await?;
        match self.ensure_firewall(host, plan.deployment).await {
            Ok(firewall) => Ok(Prepared { key, firewall }),
            Err(error) => {
                self.take_back_shared(host, "ssh_key", &key).await;
                Err(error)
            }
        }
    }

    fn renewed(before: Prepared, again: Prepared) -> Prepared {
        Prepared { key: before.key.renewed(again.key), firewall: before.firewall.renewed(again.firewall) }
    }

    fn needs_vanished(error: &Error) -> bool {
        // "512190 are invalid key identifiers for Droplet creation."
        let says = |words: &str| error.detail.to_ascii_lowercase().contains(words);
        error.kind == ErrorKind::Invalid && (says("ssh key") || says("key identifier"))
    }

    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &Prepared,
    ) -> Result<Vm<'static>, Error> {
        let request = self.create_request(plan, offer, rendered, needs);
        parse_droplet(&self.send_once(host, request).await?)
    }

    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<Vm<'static>, Error> {
        parse_droplet(&self.send(host, self.get_droplet_request(native)).await?)
    }

    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        self.for_each(host, selector, sink).await
    }

    async fn finish<H: Host>(
        &self,
        _host: &H,
        server: Vm<'static>,
        _rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error> {
        Ok((server, Vec::new()))
    }

    async fn take_back<H: Host>(&self, host: &H, needs: &Prepared) {
        self.take_back_shared(host, "ssh_key", &needs.key).await;
        self.take_back_shared(host, "firewall", &needs.firewall).await;
    }
}
