//! EC2 before the suite: its fixtures, its calls in their order. One region is configured, so that the order is known; several
//! regions, spot instances and networks have tests of their own in `more`.

mod more;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly::labels::LabelSet;
use mayfly::model::VmState;
use mayfly::providers::{ErrorKind, Offer, Power};
use serde_json::{Value, json};

use super::hetzner::lost;
use super::suite::PLACES;
use super::support::fixtures::text_of;
use super::support::script::{self, Exchange, Script};
use super::support::world::{
    AWS_ACCESS_KEY_ID, AWS_PRICING_API_URL, AWS_SECRET_ACCESS_KEY, EC2_API_URL, Settings, VM,
};
use super::vendor::{Going, Known, Refusal, Vendor, of_vm};

pub(crate) struct Ec2;

const REGION: &str = "place-1";
const ID: &str = "i-0123456789abcdef0";
const OTHER_ID: &str = "i-0fedcba9876543210";
const NATIVES: [&str; 2] = ["place-1-i-0123456789abcdef0", "place-1-i-0fedcba9876543210"];
const GROUP: &str = "sg-0e1f2a3b4c5d6e7f8";
const VPC: &str = "vpc-0a1b2c3d4e5f60718";
const IMAGE: &str = "ami-0a1b2c3d4e5f60718";
const SNAPSHOT: &str = "place-1-ami-0fedcba9876543210";
const OURS: [(&str, &str); 2] = [("tag:managed-by", "mayfly"), ("tag:mayfly-deployment", "mayfly")];
const STATES: [&str; 5] = ["pending", "running", "stopping", "stopped", "shutting-down"];

/// A call whose parameters do not matter.
fn any_call(region: &str, action: &'static str) -> Exchange {
    script::post(format!("{}/", EC2_API_URL.replace("{region}", region))).action(action)
}

/// A call with exactly these parameters.
fn call(region: &str, action: &'static str, parameters: &[(&str, &str)]) -> Exchange {
    let mut all = json!({"Action": action, "Version": "2016-11-15"});
    for (name, value) in parameters {
        all[*name] = json!(value);
    }
    any_call(region, action).json(all)
}

/// A call with these filters, each of one value, and what goes with them.
fn filtered(region: &str, action: &'static str, filters: &[(&str, &str)], more: &[(&str, &str)]) -> Exchange {
    let mut named: Vec<(String, String)> = Vec::new();
    for (at, (name, value)) in filters.iter().enumerate() {
        named.push((format!("Filter.{}.Name", at + 1), (*name).to_owned()));
        named.push((format!("Filter.{}.Value.1", at + 1), (*value).to_owned()));
    }
    let named = named.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    call(region, action, &named.chain(more.iter().copied()).collect::<Vec<_>>())
}

fn gives(call: Exchange, status: u16, fixture: &str) -> Exchange {
    call.fixture_of("ec2", status, fixture)
}

fn tag_set(labels: &LabelSet) -> String {
    let foreign = vec![("Name".to_owned(), "web".to_owned()), ("mayfly-deployment".into(), "another".into())];
    let labels = if labels.is_empty() { &foreign } else { labels };
    let item =
        |(key, value): &(String, String)| format!("<item><key>{key}</key><value>{value}</value></item>");
    format!("<tagSet>{}</tagSet>", labels.iter().map(item).collect::<String>())
}

/// An answer with other tags.
fn with_tags(answer: &str, labels: &LabelSet) -> String {
    let (before, rest) = answer.split_once("<tagSet>").expect("tags");
    let (_, after) = rest.split_once("</tagSet>").expect("tags");
    format!("{before}{}{after}", tag_set(labels))
}

/// Reservations of one server each, as EC2 lists what was made one by one.
fn servers(servers: &[Known], next: Option<&str>) -> String {
    let one = text_of("ec2", "describe_instances.one");
    let (before, rest) = one.split_once("<reservationSet>").expect("reservations");
    let (reservation, after) = rest.split_once("</reservationSet>").expect("reservations");
    let server = |it: &Known| {
        let other = if it.index == 0 { ID } else { OTHER_ID };
        let text = with_tags(reservation, &it.labels).replace(ID, other);
        match it.state {
            VmState::Stopped => text
                .replace("<name>running</name>", "<name>stopped</name>")
                .replace("<code>16</code>", "<code>80</code>"),
            _ => text,
        }
    };
    let all: String = servers.iter().map(server).collect();
    let next = next.map_or(String::new(), |it| format!("<nextToken>{it}</nextToken>"));
    format!("{before}<reservationSet>{all}</reservationSet>{next}{after}")
}

fn list_call(region: &str, narrower: &[(&str, &str)], next: Option<&str>) -> Exchange {
    let mut more = vec![("MaxResults", "1000")];
    let filters = [&OURS, narrower].concat();
    let number = filters.len() + 1;
    let name = format!("Filter.{number}.Name");
    let values: Vec<String> = (1..=5).map(|at| format!("Filter.{number}.Value.{at}")).collect();
    more.push((&name, "instance-state-name"));
    more.extend(values.iter().map(String::as_str).zip(STATES));
    more.extend(next.map(|it| ("NextToken", it)));
    filtered(region, "DescribeInstances", &filters, &more)
}

fn get_in(region: &str) -> Exchange {
    call(region, "DescribeInstances", &[("InstanceId.1", ID)])
}

fn groups(region: &str) -> Exchange {
    filtered(region, "DescribeSecurityGroups", &OURS, &[])
}

fn default_vpc(region: &str) -> Exchange {
    filtered(region, "DescribeVpcs", &[("is-default", "true")], &[])
}

fn debian(region: &str) -> Exchange {
    let filters = [
        ("name", "debian-13-amd64-*"),
        ("architecture", "x86_64"),
        ("root-device-type", "ebs"),
        ("state", "available"),
    ];
    let call = filtered(region, "DescribeImages", &filters, &[("Owner.1", "136693071363")]);
    gives(call, 200, "describe_images.debian")
}

/// Image, network and group are there.
fn prepared(region: &str) -> Vec<Exchange> {
    vec![
        debian(region),
        gives(default_vpc(region), 200, "describe_vpcs.default"),
        gives(groups(region), 200, "describe_security_groups.ours"),
    ]
}

/// The call that creates an instance in the n-th place, and what must be in it.
fn place(index: usize, image: &'static str) -> Exchange {
    let (server_type, region) = PLACES[index];
    any_call(region, "RunInstances").checked(move |it| {
        for (name, value) in [
            ("ImageId", image),
            ("InstanceType", server_type),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("SecurityGroupId.1", GROUP),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("MetadataOptions.HttpEndpoint", "enabled"),
            ("MetadataOptions.HttpTokens", "required"),
            ("MetadataOptions.HttpPutResponseHopLimit", "1"),
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "40"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
            ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ] {
            assert_eq!(it[name], value, "{name}");
        }
        assert_eq!(it["InstanceMarketOptions.MarketType"], Value::Null);
        let name = ("Name".to_owned(), "mayfly-hello-world-abcd".to_owned());
        let mut want = of_vm(VM);
        want.push(name.clone());
        assert_eq!(tags_of(it, 1, "instance"), want);
        let mut want = want[..4].to_vec();
        want.push(name);
        assert_eq!(tags_of(it, 2, "volume"), want, "whose the disk is");
        let token = it["ClientToken"].as_str().expect("a token");
        assert!((32..=64).contains(&token.len()), "{token}");
        let user_data = STANDARD.decode(it["UserData"].as_str().expect("user data")).expect("base64");
        assert!(user_data.starts_with(&[0x1f, 0x8b]), "gzip");
        let text = format!("#cloud-config\n# {region}\n").into_bytes();
        assert!(user_data.windows(text.len()).any(|it| it == text));
    })
}

/// The tags of the n-th kind of resource in a call.
fn tags_of(it: &Value, number: usize, resource_type: &str) -> LabelSet {
    let prefix = format!("TagSpecification.{number}");
    assert_eq!(it[format!("{prefix}.ResourceType")], resource_type);
    let part = |at: usize, part: &str| it[format!("{prefix}.Tag.{at}.{part}")].as_str().map(str::to_owned);
    (1..).map_while(|at| Some((part(at, "Key")?, part(at, "Value")?))).collect()
}

/// The instance, first as its creation shows it, then as a listing does: not at once.
fn made(script: Script, index: usize, image: &'static str) -> Script {
    let region = PLACES[index].1;
    let pending = with_tags(&text_of("ec2", "run_instances.pending"), &of_vm(VM));
    script
        .then(place(index, image).answers(200, pending))
        .then(gives(get_in(region), 400, "error.not_found"))
        .then(get_in(region).answers(200, servers(&[Known::ours(0)], None)))
}

/// No group is there; one is made and its ports are opened.
fn making_the_group(region: &str) -> Script {
    let labels = [("managed-by", "mayfly"), ("mayfly-deployment", "mayfly")];
    let create = call(
        region,
        "CreateSecurityGroup",
        &[
            ("GroupName", "mayfly-mayfly"),
            ("GroupDescription", "Mayfly: web, certificate challenges and SSH"),
            ("VpcId", VPC),
            ("TagSpecification.1.ResourceType", "security-group"),
            ("TagSpecification.1.Tag.1.Key", labels[0].0),
            ("TagSpecification.1.Tag.1.Value", labels[0].1),
            ("TagSpecification.1.Tag.2.Key", labels[1].0),
            ("TagSpecification.1.Tag.2.Value", labels[1].1),
        ],
    );
    let ports = any_call(region, "AuthorizeSecurityGroupIngress").checked(|it| {
        assert_eq!(it["GroupId"], GROUP);
        for (at, port) in ["443", "80", "22"].iter().enumerate() {
            let rule = |name: &str| it[format!("IpPermissions.{}.{name}", at + 1)].clone();
            assert_eq!((rule("FromPort"), rule("ToPort")), (json!(port), json!(port)));
            assert_eq!(rule("IpProtocol"), "tcp");
            assert_eq!(rule("IpRanges.1.CidrIp"), "0.0.0.0/0");
            assert_eq!(rule("Ipv6Ranges.1.CidrIpv6"), "::/0");
        }
        assert_eq!(it["IpPermissions.4.FromPort"], Value::Null);
    });
    Script::new()
        .side_by_side([
            debian(region),
            gives(default_vpc(region), 200, "describe_vpcs.default"),
            gives(groups(region), 200, "describe_security_groups.empty"),
        ])
        .then(gives(create, 200, "create_security_group.created"))
        .then(gives(ports, 200, "authorize_ingress.done"))
}

fn delete_group(region: &str) -> Exchange {
    let delete = call(region, "DeleteSecurityGroup", &[("GroupId", GROUP)]);
    gives(delete, 200, "delete_security_group.done")
}

fn image_call() -> Exchange {
    call(REGION, "DescribeImages", &[("ImageId.1", "ami-0fedcba9876543210")])
}

impl Vendor for Ec2 {
    const FIXTURES: &'static str = "ec2";

    fn settings(&self) -> Settings {
        Settings::usual()
            .without("HETZNER_TOKEN")
            .with("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID)
            .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
            .with("AWS_REGIONS", REGION)
            .with("EC2_API_URL", EC2_API_URL)
            .with("AWS_PRICING_API_URL", AWS_PRICING_API_URL)
    }

    fn natives(&self) -> [&'static str; 2] {
        NATIVES
    }

    fn native_in(&self, location: &str) -> String {
        format!("{location}-{ID}")
    }

    fn list(&self, pages: &[&[Known]]) -> Script {
        let tokens: Vec<String> = (0..pages.len()).map(|at| format!("page-{at}")).collect();
        let calls = pages.iter().enumerate().map(|(at, page)| {
            let token = (at > 0).then(|| tokens[at].as_str());
            let next = tokens.get(at + 1).map(String::as_str);
            list_call(REGION, &[], token).answers(200, servers(page, next))
        });
        Script::new().in_order(calls)
    }

    fn get(&self) -> Exchange {
        get_in(REGION)
    }

    fn one(&self, it: &Known) -> String {
        servers(std::slice::from_ref(it), None)
    }

    fn gone(&self, call: Exchange) -> Exchange {
        gives(call, 400, "error.not_found")
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal =
            |status, fixture, kind, retry_after| Refusal { status, fixture, header: None, kind, retry_after };
        vec![
            refusal(401, "error.auth_failure", ErrorKind::Unauthorized, None),
            refusal(403, "error.unauthorized_operation", ErrorKind::TokenReadonly, None),
            refusal(500, "error.insufficient_capacity", ErrorKind::Capacity, None),
            refusal(400, "error.unsupported_type", ErrorKind::Capacity, None),
            refusal(400, "error.vcpu_limit", ErrorKind::Quota, None),
            refusal(400, "error.instance_limit", ErrorKind::Quota, None),
            refusal(503, "error.request_limit", ErrorKind::RateLimited, Some(5)),
            refusal(400, "error.incorrect_state", ErrorKind::Locked, Some(5)),
            refusal(400, "error.dependency", ErrorKind::Locked, Some(5)),
            // Waiting does not help.
            refusal(400, "error.stop_spot", ErrorKind::Locked, None),
            refusal(400, "error.idempotent_mismatch", ErrorKind::AlreadyExists, None),
            refusal(400, "error.invalid_parameter", ErrorKind::Invalid, None),
            refusal(503, "error.unavailable", ErrorKind::Unavailable, None),
        ]
    }

    fn creation(&self, going: Going) -> Script {
        let [first, second] = PLACES.map(|it| it.1);
        let there = |region| Script::new().side_by_side(prepared(region));
        match going {
            Going::Smoothly => made(there(first), 0, IMAGE),
            Going::FromSnapshot => {
                let mut calls = prepared(first);
                calls[0] = gives(image_call(), 200, "describe_images.snapshot");
                made(Script::new().side_by_side(calls), 0, "ami-0fedcba9876543210")
            }
            Going::SecondPlace => {
                let refused = gives(place(0, IMAGE), 500, "error.insufficient_capacity");
                made(there(first).then(refused).side_by_side(prepared(second)), 1, IMAGE)
            }
            Going::Quota => making_the_group(first)
                .then(gives(place(0, IMAGE), 400, "error.vcpu_limit"))
                .then(delete_group(first)),
            Going::Lost(answer) => {
                let look = || list_call(first, &[("tag:mayfly-vm", VM)], None);
                let ours = || self.get().answers(200, self.one(&Known::ours(0)));
                there(first)
                    .then(lost(place(0, IMAGE), answer))
                    .then(gives(look(), 200, "describe_instances.empty"))
                    .then(look().answers(200, servers(&[Known::foreign(1), Known::ours(0)], None)))
                    .then(ours())
                    .then(ours())
            }
        }
    }

    fn creation_until_user_data(&self, offer: &Offer) -> Script {
        let run = gives(any_call(&offer.location, "RunInstances"), 400, "error.vcpu_limit");
        Script::new().side_by_side(prepared(&offer.location)).then(run)
    }

    /// Compressed in blocks that are stored as they are; the only other block is a constant of the program.
    fn user_data_of(&self, call: &Value) -> Option<String> {
        let packed = STANDARD.decode(call["UserData"].as_str()?).expect("base64");
        assert!(packed.starts_with(&[0x1f, 0x8b]), "gzip");
        Some(String::from_utf8_lossy(&packed).into_owned())
    }

    fn probe(&self) -> Exchange {
        let tag = [("Tag.1.Key", "mayfly-probe"), ("Tag.1.Value", "1")];
        call(REGION, "CreateTags", &[&[("ResourceId.1", "i-00000000000000000")], &tag[..]].concat())
    }

    fn deletion(&self, state: Option<VmState>) -> Script {
        let call = call(REGION, "TerminateInstances", &[("InstanceId.1", ID)]);
        Script::new().then(match state {
            Some(_) => gives(call, 200, "terminate_instances.accepted"),
            None => self.gone(call),
        })
    }

    fn power(&self, power: Power, gone: bool) -> Script {
        let id = ("InstanceId.1", ID);
        let (call, fixture) = match power {
            Power::Start => (call(REGION, "StartInstances", &[id]), "start_instances.accepted"),
            Power::Stop => (call(REGION, "StopInstances", &[id]), "stop_instances.accepted"),
            Power::Cut => {
                (call(REGION, "StopInstances", &[id, ("Force", "true")]), "stop_instances.accepted")
            }
        };
        Script::new().then(if gone { self.gone(call) } else { gives(call, 200, fixture) })
    }

    fn relabelling(&self, gone: bool) -> Script {
        if gone {
            return Script::new().then(self.gone(self.get()));
        }
        let resource = ("ResourceId.1", ID);
        let tag = [resource, ("Tag.1.Key", "mayfly-phase"), ("Tag.1.Value", "ready")];
        let untag = [resource, ("Tag.1.Key", "mayfly-price")];
        Script::new()
            .then(self.get().answers(200, self.one(&Known::ours(0))))
            .then(gives(call(REGION, "CreateTags", &tag), 200, "create_tags.done"))
            .then(gives(call(REGION, "DeleteTags", &untag), 200, "delete_tags.done"))
    }

    fn snapshot(&self, gone: bool) -> Script {
        let call = any_call(REGION, "CreateImage").checked(|it| {
            assert_eq!(it["InstanceId"], ID);
            assert_eq!(it["NoReboot"], "true");
            let name = it["Name"].as_str().expect("a name");
            assert!(name.starts_with("mayfly-mayfly-") && name.len() == 30, "{name}");
            let mut want = mayfly::labels::ours("mayfly");
            want.push(("mayfly-owner".into(), "default".into()));
            assert_eq!(tags_of(it, 1, "image"), want);
            assert_eq!(tags_of(it, 2, "snapshot"), want);
        });
        Script::new().then(if gone { self.gone(call) } else { gives(call, 200, "create_image.created") })
    }

    fn snapshots(&self) -> Script {
        let filters = [&OURS[..], &[("tag:mayfly-owner", "default")]].concat();
        let call = filtered(REGION, "DescribeImages", &filters, &[("Owner.1", "self")]);
        Script::new().then(gives(call, 200, "describe_images.mixed"))
    }

    fn snapshot_deletions(&self) -> Script {
        let image = ("ImageId", "ami-0fedcba9876543210");
        let deregister = call(REGION, "DeregisterImage", &[image, ("DeleteAssociatedSnapshots", "true")]);
        let delete = call(REGION, "DeleteSnapshot", &[("SnapshotId", "snap-0fedcba9876543210")]);
        Script::new()
            .then(gives(image_call(), 200, "describe_images.snapshot"))
            .then(gives(deregister, 200, "deregister_image.done"))
            .then(gives(delete, 200, "delete_snapshot.done"))
            .then(gives(image_call(), 400, "error.image_not_found"))
    }

    fn snapshot_native(&self) -> &'static str {
        SNAPSHOT
    }

    fn snapshot_sizes(&self) -> (f64, Option<f64>) {
        (40.0, None)
    }

    fn snapshot_price(&self) -> (Script, (f64, u64, &'static str)) {
        let filter = [("snapshot-id", "snap-0fedcba9876543210")];
        let sizes = filtered(REGION, "DescribeSnapshots", &filter, &[("Owner.1", "self")]);
        let price = storage_price("Storage Snapshot", ("storageMedia", "Amazon S3"));
        let script = Script::new().side_by_side([
            gives(sizes, 200, "describe_snapshots.sizes"),
            gives(price, 200, "get_products.snapshots"),
        ]);
        (script, (2.5, 54_000, "USD"))
    }

    fn leftovers(&self) -> (Script, Vec<&'static str>) {
        let filters = [&OURS[..], &[("status", "available")]].concat();
        let volumes = filtered(REGION, "DescribeVolumes", &filters, &[]);
        let script = Script::new().then(gives(volumes, 200, "describe_volumes.mixed")).then(gives(
            groups(REGION),
            200,
            "describe_security_groups.ours",
        ));
        (script, vec!["volume", "security_group"])
    }

    fn leftover_prices(&self) -> (Script, Vec<(u64, &'static str)>) {
        // 40 GiB at USD 0.0952.
        let price = storage_price("Storage", ("volumeApiName", "gp3"));
        let script = Script::new().then(gives(price, 200, "get_products.disks"));
        (script, vec![(3_808_000, "USD"), (0, "USD")])
    }

    fn catalogue(&self) -> Vec<Exchange> {
        vec![
            gives(more::types(REGION), 200, "describe_instance_types.catalogue"),
            gives(more::prices(REGION), 200, "get_products.catalogue"),
        ]
    }

    fn made_by_key(&self, owner: &str, idem: &str, it: &Known) -> Exchange {
        let narrower = [("tag:mayfly-owner", owner), ("tag:mayfly-idem", idem)];
        list_call(REGION, &narrower, None).answers(200, servers(std::slice::from_ref(it), None))
    }
}

/// A question to the Price List for what a region stores.
fn storage_price(family: &'static str, more: (&'static str, &'static str)) -> Exchange {
    script::post(format!("{AWS_PRICING_API_URL}/")).checked(move |it| {
        let filters = it["Filters"].as_array().expect("filters").iter();
        let fields: Vec<_> = filters.map(|it| (it["Field"].clone(), it["Value"].clone())).collect();
        let want = [("regionCode", REGION), ("productFamily", family), more];
        assert_eq!(fields, want.map(|(field, value)| (json!(field), json!(value))));
    })
}
