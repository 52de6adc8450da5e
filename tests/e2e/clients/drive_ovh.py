"""OVHcloud's own client for Python against the fake cloud: a life of an instance, by signature and by a service account's token.

Arguments: the fake cloud's address and its token. Prints what it saw as JSON; what it saw is judged by ../ovh-client.test.mjs."""
import json
import os
import sys
import time

# The fake cloud speaks no TLS.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import ovh  # noqa: E402
from ovh import client as module  # noqa: E402

ADDRESS, TOKEN = sys.argv[1:3]
PROJECT = "/cloud/project/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here"
# The client knows the vendor's addresses by name.
module.ENDPOINTS["ovh-eu"] = f"{ADDRESS}/ovh/v1"
module.OAUTH2_TOKEN_URLS["ovh-eu"] = f"{ADDRESS}/ovh/oauth2/token"
KEYS = {"application_key": "fake-application", "application_secret": TOKEN, "consumer_key": "fake-consumer"}


def refusal(call, *args, **more):
    """The client's name of an error, and the message."""
    try:
        call(*args, **more)
    except ovh.exceptions.APIError as error:
        return [type(error).__name__, str(error).splitlines()[0]]
    return None


def until(api, path, status):
    deadline = time.monotonic() + 20
    while True:
        seen = api.get(path)
        if seen["status"] == status:
            return seen
        assert time.monotonic() < deadline, f"{path} is {seen['status']} and not {status}"
        time.sleep(0.05)


def until_gone(api, path):
    deadline = time.monotonic() + 20
    while refusal(api.get, path) is None:
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.05)
    return refusal(api.get, path)


def life(api):
    """Everything that Mayfly does at OVHcloud, once."""
    seen = {"projects": api.get("/cloud/project"), "regions": api.get(f"{PROJECT}/region")}
    flavors = api.get(f"{PROJECT}/flavor", region="GRA11")
    images = api.get(f"{PROJECT}/image", region="GRA11", osType="linux")
    flavor = next(it for it in flavors if it["name"] == "b3-8")
    image = next(it for it in images if it["name"] == "Debian 13")
    prices = {it["planCode"]: it for it in api.get("/order/catalog/public/cloud", ovhSubsidiary="FR", _need_auth=False)["addons"]}
    seen["price"] = prices[flavor["planCodes"]["hourly"]]["pricings"][0]["price"]
    key = api.post(f"{PROJECT}/sshkey", name="me", publicKey=KEY)
    seen["key"] = [key["name"], key["publicKey"] == KEY, len(key["regions"])]
    seen["key_again"] = refusal(api.post, f"{PROJECT}/sshkey", name="me", publicKey=KEY)
    wish = {"name": "a", "region": "GRA11", "flavorId": flavor["id"], "imageId": image["id"], "sshKeyId": key["id"]}
    seen["wrong"] = [
        refusal(api.post, f"{PROJECT}/instance", **{**wish, "region": "SBG5"}),
        refusal(api.post, f"{PROJECT}/instance", **{**wish, "imageId": "none"}),
        refusal(api.post, f"{PROJECT}/instance", **wish, tags=["a"]),
        refusal(api.post, f"{PROJECT}/instance", **{**wish, "name": "n" * 256}),
        refusal(api.get, "/cloud/project/another/instance"),
    ]
    instance = api.post(f"{PROJECT}/instance", **wish, userData="#cloud-config\n")
    path = f"{PROJECT}/instance/{instance['id']}"
    seen["built"] = [instance["status"], instance["ipAddresses"]]
    ready = until(api, path, "ACTIVE")
    seen["ready"] = [sorted(it["version"] for it in ready["ipAddresses"]), ready["planCode"], ready["sshKey"]["name"]]
    seen["start"] = refusal(api.post, f"{path}/start")
    api.post(f"{path}/stop")
    until(api, path, "SHUTOFF")
    api.post(f"{path}/start")
    until(api, path, "ACTIVE")
    api.put(path, instanceName="mayfly-é_" + "n" * 246)
    seen["renamed"] = [len(it["name"]) for it in api.get(f"{PROJECT}/instance") if it["id"] == instance["id"]]
    snapshot = api.post(f"{path}/snapshot", snapshotName="kept")["snapshotId"]
    seen["busy"] = refusal(api.delete, path)
    kept = until(api, f"{PROJECT}/snapshot/{snapshot}", "active")
    seen["snapshot"] = [kept["name"], kept["region"], kept["visibility"], kept["minDisk"]]
    api.delete(path)
    seen["gone"] = until_gone(api, path)
    copy = api.post(f"{PROJECT}/instance", **{**wish, "imageId": snapshot})
    until(api, f"{PROJECT}/instance/{copy['id']}", "ACTIVE")
    api.delete(f"{PROJECT}/instance/{copy['id']}")
    until_gone(api, f"{PROJECT}/instance/{copy['id']}")
    api.delete(f"{PROJECT}/snapshot/{snapshot}")
    api.delete(f"{PROJECT}/sshkey/{key['id']}")
    seen["left"] = [api.get(f"{PROJECT}/{kind}") for kind in ("instance", "snapshot", "sshkey")]
    return seen


def main():
    def with_keys(**more):
        return ovh.Client(endpoint="ovh-eu", **{**KEYS, **more})

    signed = with_keys()
    account = ovh.Client(endpoint="ovh-eu", client_id="fake-client", client_secret=TOKEN)
    read_only = with_keys(application_secret=f"read-only-{TOKEN}")
    print(json.dumps({
        "time_delta": signed.time_delta,
        "signed": life(signed),
        "account": life(account),
        "refused": {
            "signature": refusal(with_keys(application_secret="wrong").get, "/cloud/project"),
            "application": refusal(with_keys(application_key="wrong").get, "/cloud/project"),
            "consumer": refusal(with_keys(consumer_key="wrong").get, "/cloud/project"),
            "read_only": [read_only.get(f"{PROJECT}/instance"), refusal(read_only.post, f"{PROJECT}/sshkey", name="x", publicKey=KEY)],
        },
    }))


main()
