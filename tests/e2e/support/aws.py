"""moto, the simulator of AWS's APIs, with signatures and permissions checked, for ec2-moto.test.mjs; and the state that it holds,
asked for through AWS's own client, boto3. Knows nothing of Mayfly.

Its argument is the IAM policy of the user whose key it makes, in JSON; moto looks at actions and passes conditions over. Prints one JSON line when it listens: {"url", "key": {"id", "secret"}, "powerless": {…}}. Then every line on stdin is answered by
one: `state <region>` with what there is, `user-data <region> <instance>` with an instance's user data (base64), and
`foreign <region>` with an instance that somebody else made. Ends with its stdin."""
import json
import os
import sys
import tempfile
import urllib.request

DEBIAN, CANONICAL = "136693071363", "099720109477"


def image(number, owner, name, created):
    """An image as its maker publishes it; moto brings only Amazon's own."""
    return {
        "ami_id": f"ami-{number:017x}", "name": name, "owner_id": owner, "public": True, "architecture": "x86_64",
        "virtualization_type": "hvm", "hypervisor": "xen", "state": "available", "image_type": "machine",
        "root_device_type": "ebs", "root_device_name": "/dev/xvda" if owner == DEBIAN else "/dev/sda1",
        "description": name, "creation_date": created, "platform": None, "sriov": "simple",
    }


IMAGES = [
    image(1, DEBIAN, "debian-13-amd64-20250814-2205", "2025-08-14T21:40:11.000Z"),
    image(2, DEBIAN, "debian-13-amd64-20261103-2650", "2026-11-03T08:12:40.000Z"),
    image(3, DEBIAN, "debian-12-amd64-20261110-2655", "2026-11-10T08:12:40.000Z"),
    image(4, CANONICAL, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261101", "2026-11-01T02:00:00.000Z"),
]

def add_what_moto_lacks():
    """CreateImage takes tags for the snapshots behind the image, and refuses a name that is taken."""
    from moto.ec2.models.amis import AmiBackend
    create = AmiBackend.create_image

    def create_image(self, instance_id, name, description, tag_specifications):
        own = [it for it in tag_specifications if it["ResourceType"] != "snapshot"]
        made = create(self, instance_id, name, description, own)
        for it in tag_specifications:
            if it["ResourceType"] == "snapshot":
                made.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in it["Tags"]})
        return made

    AmiBackend.create_image = create_image


def client(service, region, url, key):
    import boto3
    return boto3.client(service, region_name=region, endpoint_url=url, aws_access_key_id=key["id"],
                        aws_secret_access_key=key["secret"])


def user(iam, name, allowed):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(allowed))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def policy(actions):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}


def tags(it):
    return {tag["Key"]: tag["Value"] for tag in it.get("Tags", [])}


def state(ec2):
    def instance(it):
        behavior = ec2.describe_instance_attribute(InstanceId=it["InstanceId"], Attribute="instanceInitiatedShutdownBehavior")
        return {
            "id": it["InstanceId"], "state": it["State"]["Name"], "type": it["InstanceType"], "image": it["ImageId"],
            "address": it.get("PublicIpAddress"), "tags": tags(it), "metadata": it.get("MetadataOptions", {}),
            "groups": [group["GroupId"] for group in it["SecurityGroups"]], "lifecycle": it.get("InstanceLifecycle"),
            "shutdown": behavior["InstanceInitiatedShutdownBehavior"].get("Value"),
            "disks": [disk["Ebs"] for disk in it["BlockDeviceMappings"]], "zone": it["Placement"]["AvailabilityZone"],
        }
    reservations = ec2.describe_instances()["Reservations"]
    instances = [it for reservation in reservations for it in reservation["Instances"]]
    groups = [it for it in ec2.describe_security_groups()["SecurityGroups"] if it["GroupName"] != "default"]
    ports = lambda it: sorted((rule["FromPort"], network["CidrIp"]) for rule in it["IpPermissions"] for network in rule["IpRanges"])
    return {
        "instances": [instance(it) for it in instances],
        "volumes": [{"id": it["VolumeId"], "size": it["Size"], "type": it["VolumeType"], "tags": tags(it)}
                    for it in ec2.describe_volumes()["Volumes"]],
        "groups": [{"id": it["GroupId"], "name": it["GroupName"], "tags": tags(it), "ports": ports(it)} for it in groups],
        "images": [{"id": it["ImageId"], "description": it["Description"], "tags": tags(it)}
                   for it in ec2.describe_images(Owners=["self"])["Images"]],
        "snapshots": [{"id": it["SnapshotId"], "tags": tags(it)}
                      for it in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] if it.get("Tags")],
    }


def foreign(ec2):
    """An instance of another Mayfly in the same account."""
    made = ec2.run_instances(ImageId=IMAGES[0]["ami_id"], InstanceType="t3.nano", MinCount=1, MaxCount=1, TagSpecifications=[{
        "ResourceType": "instance",
        "Tags": [{"Key": "managed-by", "Value": "mayfly"}, {"Key": "mayfly-deployment", "Value": "another"},
                 {"Key": "mayfly-vm", "Value": "z" * 26}, {"Key": "mayfly-owner", "Value": "default"}],
    }])
    return {"id": made["Instances"][0]["InstanceId"]}


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(IMAGES, file)
        file.flush()
        os.environ["MOTO_AMIS_PATH"] = file.name
        from moto.server import ThreadedMotoServer
        import moto.ec2.models.amis  # noqa: F401  (reads the images now)
    add_what_moto_lacks()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    nobody = {"id": "AKIAIOSFODNN7EXAMPLE", "secret": "nobody"}
    iam = client("iam", "us-east-1", url, nobody)
    told = {"url": url, "key": user(iam, "mayfly", json.loads(sys.argv[1])), "powerless": user(iam, "powerless", policy(["s3:ListBucket"]))}
    root = user(iam, "root", policy(["*"]))
    # From here on every signature and every permission is checked.
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST")).read()
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        command, region, *rest = line.split()
        ec2 = client("ec2", region, url, root)
        if command == "state":
            answer = state(ec2)
        elif command == "foreign":
            answer = foreign(ec2)
        else:
            found = ec2.describe_instance_attribute(InstanceId=rest[0], Attribute="userData")
            answer = {"user_data": found["UserData"]["Value"]}
        print(json.dumps(answer, default=str), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
