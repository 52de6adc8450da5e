"""Scaleway's own Python client drives the fake through a server's life: SCW_URL, SCW_SECRET, SCW_PROJECT.

Prints one line per step; ends with an error at the first thing that is not as the client understands it."""
import os
import sys
import time

from scaleway import Client
from scaleway.block.v1 import BlockV1API
from scaleway.instance.v1 import (
    SecurityGroupPolicy, SecurityGroupRuleAction, SecurityGroupRuleDirection,
    ServerAction, ServerActionRequestVolumeBackupTemplate, ServerState,
    SetSecurityGroupRulesRequestRule, SnapshotVolumeType, VolumeServerTemplate, VolumeVolumeType,
)
from scaleway.instance.v1.custom_api import InstanceUtilsV1API
from scaleway.marketplace.v2 import LocalImageType, MarketplaceV2API
from scaleway_core.api import ScalewayException

project = os.environ["SCW_PROJECT"]
client = Client(access_key="SCWXXXXXXXXXXXXXXXXX", secret_key=os.environ["SCW_SECRET"], api_url=os.environ["SCW_URL"],
                default_project_id=project, default_zone="nl-ams-1", default_region="nl-ams")
client.validate()
instance = InstanceUtilsV1API(client)
block = BlockV1API(client)
marketplace = MarketplaceV2API(client)


def step(name):
    print(name, flush=True)


def refused(status, call, *arguments, **named):
    """The call must be refused with this status; answers the type of the refusal."""
    try:
        call(*arguments, **named)
    except ScalewayException as error:
        assert error.status_code == status, (error.status_code, status, str(error))
        return error.response.json()["type"]
    sys.exit(f"not refused with {status}")


def until(what, check):
    deadline = time.monotonic() + 30
    while not check():
        if time.monotonic() > deadline:
            sys.exit(f"not within 30 s: {what}")
        time.sleep(0.02)


def get(server):
    return instance.get_server(server_id=server).server


def act(server, action, state):
    task = instance.server_action(server_id=server, action=action).task
    assert task.href_result == f"/servers/{server}", task
    until(f"{action} is done", lambda: get(server).state == state)


step("types")
types = instance.list_servers_types(per_page=100).servers
assert types["DEV1-S"].hourly_price > 0 and types["PLAY2-NANO"].volumes_constraint.max_size == 0
assert instance.get_server_types_availability(per_page=100).servers["DEV1-S"].availability == "available"
local = marketplace.list_local_images(image_label="debian_trixie", zone="nl-ams-1", type_=LocalImageType.INSTANCE_LOCAL).local_images
image = next(it for it in local if it.arch == "x86_64" and "DEV1-S" in it.compatible_commercial_types)

step("security group")
group = instance.create_security_group(
    name="wall", description="", project=project, stateful=True, tags=["wall"],
    inbound_default_policy=SecurityGroupPolicy.DROP, outbound_default_policy=SecurityGroupPolicy.ACCEPT,
).security_group
# The client writes the document's "TCP" as "tcp", and none as 0: the fake takes what the document says.
rule = SetSecurityGroupRulesRequestRule(
    action=SecurityGroupRuleAction.ACCEPT, protocol="TCP", direction=SecurityGroupRuleDirection.INBOUND,
    ip_range="0.0.0.0/0", dest_port_from=22, dest_port_to=None, position=1,
)
assert len(instance.set_security_group_rules(security_group_id=group.id, rules=[rule]).rules) == 1
assert [it.id for it in instance.list_security_groups(tags=["wall"]).security_groups] == [group.id]

step("create")
made = []
for name in ("one", "two", "three"):
    disk = VolumeServerTemplate(size=20_000_000_000, volume_type=VolumeVolumeType.L_SSD)
    made.append(instance.create_server(
        name=name, commercial_type="DEV1-S", image=image.id, project=project, tags=["env=test", name], protected=False,
        dynamic_ip_required=True, security_group=group.id, volumes={"0": disk},
    ).server)
one = made[0].id
assert made[0].state == ServerState.STOPPED and made[0].allowed_actions == [ServerAction.POWERON, ServerAction.BACKUP]
instance.set_server_user_data(server_id=one, key="cloud-init", content=b"#cloud-config\n")
assert instance.list_server_user_data(server_id=one).user_data == ["cloud-init"]

step("list")
assert len(instance.list_servers_all(tags=["env=test"], per_page=2)) == 3
assert [it.name for it in instance.list_servers(tags=["env=test", "two"]).servers] == ["two"]
assert instance.list_servers(zone="fr-par-1").servers == []

step("power")
act(one, ServerAction.POWERON, ServerState.RUNNING)
server = get(one)
assert server.public_ips[0].dynamic and server.public_ips[0].address.count(".") == 3, server.public_ips
assert refused(400, instance.delete_server, server_id=one) == "resource_still_in_use"
act(one, ServerAction.REBOOT, ServerState.RUNNING)
# So says the document; the client knows it as "stopped_in_place".
act(one, ServerAction.STOP_IN_PLACE, "stopped in place")
assert refused(400, instance.delete_server, server_id=one) == "resource_still_in_use"
act(one, ServerAction.POWEROFF, ServerState.STOPPED)
assert get(one).public_ips == []
assert refused(412, instance.server_action, server_id=one, action=ServerAction.TERMINATE) == "precondition_failed"

step("backup")
volume = get(one).volumes["0"].id
wanted = {volume: ServerActionRequestVolumeBackupTemplate(volume_type=SnapshotVolumeType.L_SSD)}
task = instance.server_action(server_id=one, action=ServerAction.BACKUP, name="kept", volumes=wanted).task
backup = task.href_result.removeprefix("/images/")
until("the image is there", lambda: instance.get_image(image_id=backup).image.state == "available")
snapshot = instance.get_image(image_id=backup).image.root_volume.id

step("block storage")
play = instance.create_server(name="play", commercial_type="PLAY2-NANO", image="debian_trixie", project=project, protected=False).server
sbs = play.volumes["0"].id
assert block.get_volume(volume_id=sbs).status == "in_use"
refused(404, instance.get_volume, volume_id=sbs)
instance.delete_server(server_id=play.id)
until("the volume is free", lambda: block.get_volume(volume_id=sbs).status == "available")
block.delete_volume(volume_id=sbs)

step("refusals")
wrong = {"name": "x", "image": image.id, "project": project, "protected": False}
assert refused(400, instance.create_server, commercial_type="START1-S", **wrong) == "invalid_arguments"
assert refused(404, instance.get_server, server_id="973b1d4a-3d01-4220-a4fa-7a2b89c8a557") == "not_found"
refused(400, instance.delete_security_group, security_group_id=group.id)

step("delete")
instance.delete_server(server_id=one)
left = instance.get_volume(volume_id=volume).volume
assert left.server is None, "a local disk outlives its server"
instance.delete_volume(volume_id=volume)
two = made[1].id
instance.server_action(server_id=two, action=ServerAction.POWERON)
until("it runs", lambda: get(two).state == ServerState.RUNNING)
instance.server_action(server_id=two, action=ServerAction.TERMINATE)
until("it is gone", lambda: [it.name for it in instance.list_servers().servers] == ["three"])
refused(404, instance.get_volume, volume_id=made[1].volumes["0"].id)
instance.delete_server(server_id=made[2].id)
instance.delete_volume(volume_id=made[2].volumes["0"].id)
instance.delete_image(image_id=backup)
instance.delete_snapshot(snapshot_id=snapshot)
instance.delete_security_group(security_group_id=group.id)
step("done")
