//! What instances of a region share: the network that they stand in and the one security group, made when missing; and the
//! leftovers that no instance uses any more. When to sweep is the reaper's business.

use super::schema::{self, Group};
use super::{
    Ec2, Error, ErrorKind, NAME, Query, absent_is_fine, native, parse, parse_error, send_repeatable, split,
    tags_of,
};
use crate::http::{Clock, Http, Random};
use crate::labels::{LabelSet, Selector};
use crate::providers::send::malformed;
use crate::providers::{Billed, Leftover, side_by_side};

/// Ports that are open to all: the door, its certificate challenges, SSH. Narrower rules are the host's own.
const OPEN_PORTS: [u16; 3] = [DOOR_PORT, 80, 22];
const DOOR_PORT: u16 = 443;

/// A region's security group, and whether this call made it: then a failure takes it back.
pub(super) struct Shared {
    pub id: String,
    pub is_new: bool,
}

impl Ec2 {
    /// The VPC of a subnet.
    pub fn subnet_query(region: &str, subnet: &str) -> Query {
        Query::new(region, "DescribeSubnets").with("SubnetId.1", subnet)
    }

    /// The default VPC.
    pub fn default_vpc_query(region: &str) -> Query {
        Query::new(region, "DescribeVpcs").filter("is-default", &["true"])
    }

    /// The security groups of a deployment.
    pub fn groups_query(region: &str, ours: &Selector) -> Query {
        Query::new(region, "DescribeSecurityGroups").select(ours)
    }

    /// Makes a security group: what no rule accepts is dropped on its way in, and everything may leave.
    pub fn create_group_query(region: &str, vpc: &str, name: &str, labels: &LabelSet) -> Query {
        Query::new(region, "CreateSecurityGroup")
            .with("GroupName", name)
            .with("GroupDescription", "Mayfly: web, certificate challenges and SSH")
            .with("VpcId", vpc)
            .tags(1, "security-group", tags_of(labels))
    }

    /// Opens ports.
    pub fn open_ports_query(region: &str, group: &str, ports: &[u16]) -> Query {
        let query = Query::new(region, "AuthorizeSecurityGroupIngress").with("GroupId", group);
        ports.iter().enumerate().fold(query, |it, (at, port)| {
            let rule = format!("IpPermissions.{}", at + 1);
            it.with(format!("{rule}.IpProtocol"), "tcp")
                .with(format!("{rule}.FromPort"), port.to_string())
                .with(format!("{rule}.ToPort"), port.to_string())
                .with(format!("{rule}.IpRanges.1.CidrIp"), "0.0.0.0/0")
                .with(format!("{rule}.Ipv6Ranges.1.CidrIpv6"), "::/0")
        })
    }

    /// The VPC that new instances stand in.
    pub(super) async fn vpc<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
    ) -> Result<String, Error> {
        let (query, set) = match &self.subnet {
            Some(subnet) => (Self::subnet_query(region, subnet), "subnetSet"),
            None => (Self::default_vpc_query(region), "vpcSet"),
        };
        let answer = self.send(host, &query).await?;
        let root = parse(&answer)?;
        let vpc = root.items(set).map(|it| it.text(&["vpcId"])).find(|it| it.starts_with("vpc-"));
        vpc.map(str::to_owned).ok_or_else(|| {
            let detail = format!(
                "has no default VPC in {region}: create one (aws ec2 create-default-vpc --region {region}), or name a subnet that \
                 reaches the internet in AWS_SUBNET_ID"
            );
            Error::new(NAME, ErrorKind::Invalid, detail)
        })
    }

    /// The security groups of a deployment in a region, in whatever VPC.
    pub(super) async fn groups<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        deployment: &str,
    ) -> Result<Vec<Group>, Error> {
        let ours = Selector::deployment(deployment);
        let answer = self.send(host, &Self::groups_query(region, &ours)).await?;
        let mut groups = schema::groups(&parse(&answer)?);
        groups.retain(|it| ours.matches(&it.tags));
        Ok(groups)
    }

    /// Makes the group of a VPC. Its name is unique there: who comes second finds the first one's.
    pub(super) async fn create_group<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        vpc: &str,
        deployment: &str,
        labels: &LabelSet,
    ) -> Result<Shared, Error> {
        let query = Self::create_group_query(region, vpc, &format!("mayfly-{deployment}"), labels);
        let id = match self.send_once(host, &query).await {
            Ok(answer) => parse(&answer)?.text(&["groupId"]).to_owned(),
            Err(error) if error.kind == ErrorKind::AlreadyExists || error.kind.may_have_acted() => {
                let groups = self.groups(host, region, deployment).await?;
                let found = groups.into_iter().find(|it| it.vpc == vpc);
                return self.reopened(host, region, found.ok_or_else(|| held_by_another(error))?).await;
            }
            Err(error) => return Err(error),
        };
        if !id.starts_with("sg-") {
            return Err(malformed(NAME));
        }
        if let Err(error) = self.open_ports(host, region, &id, &OPEN_PORTS).await {
            // Without rules nobody could reach what is behind it.
            let _ = self.delete_shared(host, "security_group", &native(region, &id)).await;
            return Err(error);
        }
        Ok(Shared { id, is_new: true })
    }

    /// A group that was found. Whoever made it may have been cut off before its ports were open, or be about to open them; rules
    /// that were narrowed stay.
    pub(super) async fn reopened<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        group: Group,
    ) -> Result<Shared, Error> {
        if !group.is_open(DOOR_PORT) {
            let closed: Vec<u16> = OPEN_PORTS.into_iter().filter(|it| !group.is_open(*it)).collect();
            self.open_ports(host, region, &group.id, &closed).await?;
        }
        Ok(Shared { id: group.id, is_new: false })
    }

    async fn open_ports<H: Http + Random + Clock>(
        &self,
        host: &H,
        region: &str,
        group: &str,
        ports: &[u16],
    ) -> Result<(), Error> {
        let request = self.request(&Self::open_ports_query(region, group, ports), host.now_secs());
        // It may take a moment until a group is known everywhere.
        let may_repeat = |kind: ErrorKind| kind.is_repeatable() || kind == ErrorKind::NotFound;
        match send_repeatable(host, NAME, request, parse_error, may_repeat).await {
            // Of two tries, or two callers, the first has written the rules: InvalidPermission.Duplicate.
            Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// Disks of ours without an instance; security groups of ours when no VM is left to use them.
    pub async fn leftovers<H: Http + Random + Clock>(
        &self,
        host: &H,
        deployment: &str,
        vms_left: bool,
    ) -> Result<Vec<Leftover>, Error> {
        let ours = &Selector::deployment(deployment);
        let regions = side_by_side(self.regions.iter().map(|region| async move {
            let query = Query::new(region, "DescribeVolumes").select(ours).filter("status", &["available"]);
            let answer = self.send(host, &query).await?;
            let mut free = schema::volumes(&parse(&answer)?);
            free.retain(|it| it.is_free && ours.matches(&it.tags));
            let volume = |it: schema::Volume| {
                let name = it.tags.get("Name").cloned();
                let billed = Billed::Disk(it.size_gib);
                Leftover { billed, ..leftover("volume", region, &it.id, name, it.created_secs) }
            };
            let mut found: Vec<Leftover> = free.into_iter().map(volume).collect();
            if !vms_left {
                let groups = self.groups(host, region, deployment).await?;
                let group = |it: Group| leftover("security_group", region, &it.id, Some(it.name), 0);
                found.extend(groups.into_iter().map(group));
            }
            Ok::<_, Error>(found)
        }))
        .await;
        let regions: Vec<Vec<Leftover>> = regions.into_iter().collect::<Result<_, _>>()?;
        Ok(regions.into_iter().flatten().collect())
    }

    /// Deletes a leftover; that it is gone already is success.
    pub async fn delete_leftover<H: Http + Random + Clock>(
        &self,
        host: &H,
        leftover: &Leftover,
    ) -> Result<(), Error> {
        self.delete_shared(host, leftover.kind, &leftover.native).await
    }

    pub(super) async fn delete_shared<H: Http + Random + Clock>(
        &self,
        host: &H,
        kind: &str,
        native: &str,
    ) -> Result<(), Error> {
        let (region, id) = split(native);
        let query = match kind {
            "security_group" => Query::new(region, "DeleteSecurityGroup").with("GroupId", id),
            _ => Query::new(region, "DeleteVolume").with("VolumeId", id),
        };
        absent_is_fine(self.send(host, &query).await)
    }
}

fn leftover(kind: &'static str, region: &str, id: &str, name: Option<String>, created_secs: u64) -> Leftover {
    let name = name.unwrap_or_default();
    Leftover { kind, native: native(region, id), name, created_secs, billed: Billed::Nothing }
}

/// The name of the group is held by one that is not ours: no other name of the VM would help.
fn held_by_another(error: Error) -> Error {
    match error.kind {
        ErrorKind::AlreadyExists => Error { kind: ErrorKind::Conflict, ..error },
        _ => error,
    }
}
