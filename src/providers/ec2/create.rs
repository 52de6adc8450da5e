//! Creation at EC2: image, network and security group of the region, then the instance with its tags, its disk and its user data
//! in one call. The order of placements and what becomes of failures is in `creation`.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::catalogue::DISK_GIB;
use super::schema::{self, Image, Instance};
use super::{Ec2, Error, ErrorKind, NAME, Query, native, parse, split, tags_of};
use crate::encoding::base32;
use crate::http::{Clock, Host, Http, Random};
use crate::labels::{DEPLOYMENT, IDEM, LabelSet, MANAGED_BY, OWNER, PRICE, Selector, VM, pack_price};
use crate::model::{ProviderName, Vm};
use crate::providers::creation::{Rendered, Steps};
use crate::providers::send::malformed;
use crate::providers::{Offer, Plan, RateBudget, Source};
use crate::user_data;
use crate::workspace::{self, Market};

/// Whose images are Debian's and Ubuntu's (Debian wiki, "Cloud/AmazonEC2Image"; Ubuntu on AWS documentation, "Find Ubuntu images").
const DEBIAN: &str = "136693071363";
const CANONICAL: &str = "099720109477";
/// Looks for an instance that was just made, and the pause between them.
const LOOKS: u32 = 5;
const LOOK_PAUSE_MS: u32 = 500;
/// Looks for an instance that another try made; here the pause doubles.
const OTHERS_LOOKS: u32 = 3;
/// Seconds in which a repeated creation is one creation: longer than two that race, shorter than a VM's life.
const TOKEN_SECS: u64 = 60;

/// Security groups that this call made: a region is known only when a placement is tried.
pub(in crate::providers) struct Made(RefCell<Vec<String>>);

/// What an instance needs of its region.
struct Place {
    image: Image,
    group: String,
}

impl Ec2 {
    /// The images of an operating system, by whoever makes it.
    pub fn images_of_query(region: &str, image: workspace::Image) -> Query {
        let (owner, name) = match image {
            workspace::Image::Debian13 => (DEBIAN, "debian-13-amd64-*"),
            workspace::Image::Ubuntu2404 => {
                (CANONICAL, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*")
            }
        };
        Query::new(region, "DescribeImages")
            .with("Owner.1", owner)
            .filter("name", &[name])
            .filter("architecture", &["x86_64"])
            .filter("root-device-type", &["ebs"])
            .filter("state", &["available"])
    }

    /// Creates an instance. The operating system's shutdown ends it, so that it needs no credential for that; the metadata
    /// service wants a session (its second version), and its answers do not reach into containers.
    fn create_query<R>(
        &self,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        place: &Place,
        now_secs: u64,
    ) -> Query {
        let of_vm = [MANAGED_BY, DEPLOYMENT, OWNER, VM];
        let with_name = |it: &LabelSet| [it.clone(), vec![("Name".into(), plan.name.into())]].concat();
        let disk = rendered.labels.iter().filter(|(key, _)| of_vm.contains(&key.as_str())).cloned().collect();
        let user_data = STANDARD.encode(user_data::gzip(&rendered.user_data));
        let mut query = Query::new(&offer.location, "RunInstances")
            .with("ImageId", place.image.id.as_str())
            .with("InstanceType", offer.server_type.as_str())
            .with("MinCount", "1")
            .with("MaxCount", "1")
            .with("ClientToken", client_token(offer, rendered, now_secs))
            .with("InstanceInitiatedShutdownBehavior", "terminate")
            .with("MetadataOptions.HttpEndpoint", "enabled")
            .with("MetadataOptions.HttpTokens", "required")
            .with("MetadataOptions.HttpPutResponseHopLimit", "1")
            .with("BlockDeviceMapping.1.DeviceName", place.image.root_device.as_str())
            .with("BlockDeviceMapping.1.Ebs.VolumeSize", place.image.size_gib.max(DISK_GIB).to_string())
            .with("BlockDeviceMapping.1.Ebs.VolumeType", "gp3")
            .with("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true");
        query = match &self.subnet {
            None => query.with("SecurityGroupId.1", place.group.as_str()),
            // A subnet of one's own may give no address by itself.
            Some(subnet) => query
                .with("NetworkInterface.1.DeviceIndex", "0")
                .with("NetworkInterface.1.SubnetId", subnet.as_str())
                .with("NetworkInterface.1.AssociatePublicIpAddress", "true")
                .with("NetworkInterface.1.DeleteOnTermination", "true")
                .with("NetworkInterface.1.SecurityGroupId.1", place.group.as_str()),
        };
        if plan.market == Market::Spot {
            query = query
                .with("InstanceMarketOptions.MarketType", "spot")
                .with("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time")
                .with("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate");
        }
        query
            .tags(1, "instance", tags_of(&with_name(&rendered.labels)))
            .tags(2, "volume", tags_of(&with_name(&disk)))
            .with("UserData", user_data)
    }

    /// Image, network and group of a region, asked for side by side.
    async fn place_of<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        region: &str,
        made: &Made,
    ) -> Result<Place, Error> {
        let (image, vpc, groups) = futures_util::future::join3(
            self.image(host, plan.source, region),
            self.vpc(host, region),
            self.groups(host, region, plan.deployment),
        )
        .await;
        let (image, vpc) = (image?, vpc?);
        let group = match groups?.into_iter().find(|it| it.vpc == vpc) {
            Some(it) => self.reopened(host, region, it).await?,
            None => self.create_group(host, region, &vpc, plan.deployment, &plan.shared_labels).await?,
        };
        if group.is_new {
            made.0.borrow_mut().push(native(region, &group.id));
        }
        Ok(Place { image, group: group.id })
    }

    /// The newest image of an operating system, or a snapshot.
    async fn image<H: Http + Random + Clock>(
        &self,
        host: &H,
        source: Source<'_>,
        region: &str,
    ) -> Result<Image, Error> {
        let image = match source {
            Source::Image(image) => {
                let answer = self.send(host, &Self::images_of_query(region, image)).await?;
                let images = schema::images(&parse(&answer)?).into_iter();
                images.filter(|it| it.state == "available").max_by(|a, b| a.created_at.cmp(&b.created_at))
            }
            Source::Snapshot(id) if split(id).0 == region => self.image_of(host, id).await?,
            Source::Snapshot(_) => None,
        };
        let image = image.filter(|it| !it.root_device.is_empty());
        // Another region may have it.
        image.ok_or_else(|| Error::new(NAME, ErrorKind::Capacity, format!("has no such image in {region}")))
    }

    /// Waits until a listing shows what another try with the same key has made: the caller looks for it next.
    async fn others_appears<H: Host>(&self, host: &H, deployment: &str, region: &str, rendered: &Rendered) {
        let Some(idem) = label(rendered, IDEM) else { return };
        let query = Self::list_query(region, &Selector::deployment(deployment).and(IDEM, idem), None);
        for look in 0..OTHERS_LOOKS {
            host.sleep_ms(LOOK_PAUSE_MS << look).await;
            let Ok(answer) = self.send(host, &query).await else { continue };
            if parse(&answer).is_ok_and(|it| !schema::instances(&it, region).is_empty()) {
                return;
            }
        }
    }

    /// The instance as the listing shows it, as soon as it does: who asks for it afterwards must find it.
    async fn appear<H: Host>(&self, host: &H, made: Instance) -> Instance {
        for look in 0..LOOKS {
            if look > 0 {
                host.sleep_ms(LOOK_PAUSE_MS).await;
            }
            if let Ok(Some(it)) = self.instance(host, &made.native).await {
                return it;
            }
        }
        made
    }
}

/// Two creations with the same key and the same placement at the same time are one to EC2: the second is refused, because its
/// user data is another, and finds the first by its labels.
fn client_token(offer: &Offer, rendered: &Rendered, now_secs: u64) -> String {
    let identity = label(rendered, IDEM).or_else(|| label(rendered, VM)).unwrap_or_default();
    let minute = (now_secs / TOKEN_SECS).to_string();
    let parts = [identity, &offer.location, &offer.server_type, &minute];
    base32(&Sha256::digest(parts.join("\n")))
}

fn label<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a str> {
    rendered.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The only instance of an answer.
fn only(root: &super::Element<'_>, region: &str) -> Result<Instance, Error> {
    let mut instances = schema::instances(root, region).into_iter();
    instances.next().filter(|_| instances.next().is_none()).ok_or_else(|| malformed(NAME))
}

impl Steps for Ec2 {
    type Needs = Made;
    type Server = Instance;

    const NAME: ProviderName = NAME;

    async fn prepare<H: Host, R>(&self, _host: &H, _plan: &Plan<'_, R>) -> Result<Made, Error> {
        Ok(Made(RefCell::default()))
    }

    fn renewed(before: Made, _again: Made) -> Made {
        before
    }

    /// The reaper took the group away meanwhile: it is looked for with every placement.
    fn needs_vanished(error: &Error) -> bool {
        error.kind == ErrorKind::NotFound && error.detail.contains("InvalidGroup")
    }

    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &Made,
    ) -> Result<Instance, Error> {
        let region = &offer.location;
        let place = self.place_of(host, plan, region, needs).await?;
        let query = self.create_query(plan, offer, rendered, &place, host.now_secs());
        match self.send_once(host, &query).await {
            // Names are not unique: another try with the same token has made an instance.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                self.others_appears(host, plan.deployment, region, rendered).await;
                Err(Error { kind: ErrorKind::Conflict, ..error })
            }
            answer => only(&parse(&answer?)?, region),
        }
    }

    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<Instance, Error> {
        let answer = self.send(host, &Self::get_query(native)).await?;
        only(&parse(&answer)?, split(native).0)
    }

    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        self.for_each(host, selector, sink).await
    }

    /// A spot instance's price is that of its zone, which EC2 has chosen.
    async fn finish<H: Host>(
        &self,
        host: &H,
        made: Instance,
        _rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error> {
        let mut instance = self.appear(host, made).await;
        let mut warnings = Vec::new();
        if instance.is_spot {
            match self.charge(host, &instance).await {
                Ok(Some(price)) => _ = instance.tags.insert(PRICE.into(), price),
                Ok(None) => {}
                Err(error) => {
                    warnings.push(format!("the spot price of its zone is not known: {}", error.sentence()));
                }
            }
        }
        Ok((Vm::from(instance), warnings))
    }

    async fn take_back<H: Host>(&self, host: &H, needs: &Made) {
        let made = needs.0.take();
        for id in made {
            if self.delete_shared(host, "security_group", &id).await.is_err() {
                host.log(r#"{"event":"rollback_failed","kind":"security_group"}"#);
            }
        }
    }
}

impl Ec2 {
    /// Writes the price that a spot instance is charged; `None` where EC2 tells none, or it is written already.
    async fn charge<H: Host>(&self, host: &H, instance: &Instance) -> Result<Option<String>, Error> {
        let prices = self.spot_prices(host, &instance.region, &[&instance.server_type]).await?;
        let price = prices.into_iter().find(|it| it.zone == instance.zone).map(|it| pack_price(it.price));
        let Some(price) = price.filter(|it| instance.tags.get(PRICE) != Some(it)) else { return Ok(None) };
        self.send(host, &Self::tag_query(&instance.native, &[(PRICE, &price)])).await?;
        Ok(Some(price))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_in_one_place_and_minute_has_one_token() {
        let token = |labels: &[(&str, &str)], location: &str, server_type: &str, now_secs: u64| {
            let offer = Offer {
                server_type: server_type.into(),
                location: location.into(),
                vcpu: 2,
                memory_gib: 4.0,
                disk_gb: 40.0,
                price: None,
                micros_per_month: 0,
            };
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            client_token(&offer, &Rendered { labels, user_data: now_secs.to_string() }, now_secs)
        };
        let at = 20 * TOKEN_SECS;
        let first = token(&[(IDEM, "click"), (VM, "a")], "place-1", "type-1", at);
        // The second try is another VM with other user data.
        assert_eq!(token(&[(IDEM, "click"), (VM, "b")], "place-1", "type-1", at + TOKEN_SECS - 1), first);
        let without_key = token(&[(VM, "a")], "place-1", "type-1", at);
        assert_eq!(token(&[(VM, "a")], "place-1", "type-1", at), without_key);
        let others = [
            without_key,
            token(&[(VM, "b")], "place-1", "type-1", at),
            token(&[(IDEM, "another"), (VM, "a")], "place-1", "type-1", at),
            token(&[(IDEM, "click"), (VM, "a")], "place-2", "type-1", at),
            token(&[(IDEM, "click"), (VM, "a")], "place-1", "type-2", at),
            token(&[(IDEM, "click"), (VM, "a")], "place-1", "type-1", at + TOKEN_SECS),
        ];
        let all: std::collections::BTreeSet<&String> = others.iter().chain([&first]).collect();
        assert_eq!(all.len(), 7, "{all:?}");
    }
}
