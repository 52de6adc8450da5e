"""The end of the VM: saves what is not pushed, then deletes the VM by the narrowest way that works, again and again.

Ways: the provider's own delete with the VM's credential; the Worker with the VM's capability; a plain shutdown where
the provider terminates on it. An answer is only ever "accepted": that the VM is gone is nothing that it could say."""
import hashlib
import os
import re
import subprocess
import time

import common
import worker

HETZNER = "https://api.hetzner.cloud/v1/servers/"
DIGITALOCEAN = "https://api.digitalocean.com/v2/droplets/"
SCALEWAY = "https://api.scaleway.com/instance/v1/zones/"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# One tick tries this long; then the next one looks again whether the VM is still idle.
ROUND_SECS = 600
FIRST_PAUSE_SECS = 10
LONGEST_PAUSE_SECS = 120
HERE = os.environ.get("MAYFLY_HERE", "/opt/mayfly/workspace")


def instance_id():
    """The provider's id of this VM, as recorded when it was set up: the metadata is closed by now."""
    return common.read(f"{common.STATE}/instance-id").strip()


def signed(credential, own, now):
    """Address and headers of OVHcloud's delete: what signs it comes with the project's address."""
    application, secret, consumer, project = credential.split(":", 3)
    url = f"{project}/instance/{own}"
    text = "+".join((secret, consumer, "DELETE", url, "", str(now)))
    return url, {"X-Ovh-Application": application, "X-Ovh-Consumer": consumer, "X-Ovh-Timestamp": str(now),
                 "X-Ovh-Signature": "$1$" + hashlib.sha1(text.encode()).hexdigest()}


def by_provider(machine):
    credential, own, zone = common.secret("provider_credential"), instance_id(), str(machine.get("location", ""))
    provider = machine.get("provider") if credential else None
    if provider in ("hetzner", "digitalocean") and re.fullmatch("[0-9]+", own):
        base = HETZNER if provider == "hetzner" else DIGITALOCEAN
        status, answer, _ = common.request("DELETE", base + own, credential, timeout=30)
    elif provider == "scaleway" and re.fullmatch(UUID, own) and re.fullmatch("[a-z]{2}-[a-z]{3}-[0-9]", zone):
        # A running server cannot be deleted, only terminated, which takes its local disk and its address along.
        status, answer, _ = common.request("POST", f"{SCALEWAY}{zone}/servers/{own}/action", credential,
                                           {"action": "terminate"}, timeout=30, token_header="X-Auth-Token")
    elif provider == "ovh" and re.fullmatch(UUID, own) and credential.count(":") >= 4:
        url, headers = signed(credential, own, int(time.time()))
        status, answer, _ = common.request("DELETE", url, "", timeout=30, more=headers)
    else:
        return False, "no way for this provider"
    error = answer.get("error") if isinstance(answer.get("error"), dict) else answer
    code = error.get("code") or error.get("id") or error.get("type") or error.get("errorCode") or ""
    return status in (200, 201, 202, 204, 404), f"{status} {code}"


def by_worker(_machine):
    status, answer, _ = common.worker("DELETE", "/vm", timeout=60)
    return status == 200 and answer.get("deleted") is True, f"{status} {answer.get('code', '')}"


def by_shutdown(_machine):
    done = subprocess.run(["systemctl", "poweroff"], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr.strip()[:200]


def ways(machine):
    """In the order in which they are tried. The Worker is always among them."""
    if machine.get("self_delete") == "shutdown":
        return [by_shutdown, by_worker]
    if common.secret("provider_credential"):
        return [by_provider, by_worker]
    return [by_worker]


def rescue():
    """What is not pushed goes to a branch of its own. Answers None, or why it could not be saved."""
    if not os.path.isdir(common.workspace()):
        return None
    try:
        done = subprocess.run([f"{HERE}/rescue"], capture_output=True, text=True, timeout=400, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"the rescue did not run ({type(error).__name__})"
    print(done.stdout, end="")
    return {0: None, 75: "there is unpushed work and no Git credential"}.get(done.returncode, "the work could not be saved")


def end(machine, why, sleep=time.sleep, clock=time.monotonic, again=lambda: False):
    """Answers why the VM stays, when it does: unsaved work waits for the expiry, and for nothing after it. `again`: whether
    somebody works here again; then it stays, too."""
    unsaved = rescue()
    if again():
        return None
    if unsaved and why != "expired":
        print(f"idle, but {unsaved}: waiting for the expiry")
        return unsaved
    print(f"ending: {why}" + (f"; {unsaved}" if unsaved else ""))
    worker.send({"phase": "stopping", "seconds": {}}, tries=1)
    pause, stop, order = FIRST_PAUSE_SECS, clock() + ROUND_SECS, ways(machine)
    while True:
        for way in list(order):
            # A way that was accepted and left us alive goes to the end of the line, like one that was refused.
            order = [*order[1:], way]
            try:
                accepted, told = way(machine)
            except (OSError, subprocess.SubprocessError) as error:
                accepted, told = False, type(error).__name__
            print(f"{way.__name__}: {'accepted' if accepted else 'refused'} ({told})")
            if accepted:
                break
        if clock() + pause >= stop:
            return None
        sleep(pause)
        if again():
            return None
        pause = min(pause * 2, LONGEST_PAUSE_SECS)


if __name__ == "__main__":
    raise SystemExit("end.py is idle.py's")
