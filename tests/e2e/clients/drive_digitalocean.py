"""DigitalOcean's own Python client drives the fake through a droplet's life: DIGITALOCEAN_URL, DIGITALOCEAN_TOKEN, KEY.

Prints one line per step; ends with an error at the first thing that is not as the client understands it."""
import os
import sys
import time

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import HeadersPolicy
from pydo import Client

token = os.environ["DIGITALOCEAN_TOKEN"]
# Its own policy sends no token without TLS, which the fake does not speak.
policy = HeadersPolicy({"Authorization": f"Bearer {token}"})
client = Client(token=token, endpoint=os.environ["DIGITALOCEAN_URL"], authentication_policy=policy)


def step(name):
    print(name, flush=True)


def refused(status, call, *arguments, **named):
    """The call must be refused with this status. Some calls answer a refusal as a value."""
    try:
        answer = call(*arguments, **named)
    except HttpResponseError as error:
        assert error.status_code == status, (error.status_code, status)
        return error.message
    assert answer and answer.get("id"), answer
    return answer["message"]


def until(what, check):
    deadline = time.monotonic() + 30
    while not check():
        if time.monotonic() > deadline:
            sys.exit(f"not within 30 s: {what}")
        time.sleep(0.02)


def status(droplet):
    return client.droplets.get(droplet_id=droplet)["droplet"]["status"]


def act(droplet, kind, **more):
    action = client.droplet_actions.post(droplet_id=droplet, body={"type": kind, **more})["action"]
    assert action["status"] == "in-progress", action
    until(f"{kind} is completed", lambda: client.actions.get(action_id=action["id"])["action"]["status"] == "completed")


step("key")
key = client.ssh_keys.create(body={"name": "me", "public_key": os.environ["KEY"]})["ssh_key"]
assert client.ssh_keys.get(ssh_key_identifier=key["fingerprint"])["ssh_key"]["id"] == key["id"]

step("create")
made = []
for name in ("one", "two"):
    body = {"name": name, "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-13-x64", "ssh_keys": [key["id"]],
            "tags": ["env:test", name], "user_data": "#cloud-config\n"}
    made.append(client.droplets.create(body=body)["droplet"]["id"])
until("both are active", lambda: all(status(it) == "active" for it in made))

step("list")
page = client.droplets.list(tag_name="env:test", per_page=1)
assert len(page["droplets"]) == 1 and page["meta"]["total"] == 2, page
assert "page=2" in page["links"]["pages"]["next"], page["links"]
assert [it["name"] for it in client.droplets.list(tag_name="two")["droplets"]] == ["two"]
droplet = client.droplets.get(droplet_id=made[0])["droplet"]
assert sorted(it["type"] for it in droplet["networks"]["v4"]) == ["private", "public"], droplet["networks"]

step("power")
act(made[0], "shutdown")
assert status(made[0]) == "off"
act(made[0], "power_on")
act(made[0], "power_off")
assert status(made[0]) == "off"

step("snapshot")
act(made[0], "snapshot", name="kept")
image = client.images.list(private=True)["images"][0]
assert (image["name"], image["type"], image["status"]) == ("kept", "snapshot", "available"), image
client.tags.create(body={"name": "keep"})
client.tags.assign_resources(tag_id="keep", body={"resources": [{"resource_id": str(image["id"]), "resource_type": "image"}]})
assert client.images.list(tag_name="keep")["meta"]["total"] == 1

step("firewall")
everywhere = {"addresses": ["0.0.0.0/0", "::/0"]}
wall = client.firewalls.create(body={
    "name": "wall", "tags": ["env:test"],
    "inbound_rules": [{"protocol": "tcp", "ports": "22", "sources": everywhere}],
    "outbound_rules": [{"protocol": "tcp", "ports": "0", "destinations": everywhere}],
})["firewall"]
assert client.firewalls.list()["firewalls"][0]["id"] == wall["id"]

step("refusals")
wrong = {"name": "x", "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-13-x64", "tags": ["a=b"]}
assert "tags" in refused(422, client.droplets.create, body=wrong)
refused(404, client.droplets.get, droplet_id=1)

step("delete")
for it in made:
    client.droplets.destroy(droplet_id=it)
until("both are gone", lambda: client.droplets.list()["meta"]["total"] == 0)
client.images.delete(image_id=image["id"])
client.firewalls.delete(firewall_id=wall["id"])
client.ssh_keys.delete(ssh_key_identifier=key["fingerprint"])
for tag in client.tags.list()["tags"]:
    assert tag["resources"]["count"] == 0, tag
    client.tags.delete(tag_id=tag["name"])
step("done")
