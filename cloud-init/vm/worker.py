"""What the VM says to the Worker outside of heartbeats.

    worker.py boot       fetch the secrets and the rest of the scripts, once; retried until the exchange closes
    worker.py progress PHASE [--at PHASE --code CODE] [--log FILE] [--host-key]
Secrets become files that only root reads. Heartbeats are idle.py's, the delete is end.py's."""
import argparse
import base64
import glob
import io
import json
import os
import subprocess
import sys
import tarfile
import time

import common

EXCHANGE_SECS = 600  # the Worker closes it then
LOG_TAIL_BYTES = 4000
PENDING = f"{common.STATE}/progress-pending"


def boot():
    if common.secret("password"):
        return 0  # a reboot needs no second exchange
    sealed, pause = common.vm().get("sealed", ""), 1
    end = time.monotonic() + EXCHANGE_SECS
    while time.monotonic() < end:
        status, answer, _ = common.worker("POST", "/vm/boot", {"sealed": sealed})
        if status == 200:
            try:
                keep(answer)
                return 0
            except (OSError, ValueError, tarfile.TarError) as error:
                answer = {"detail": f"not usable: {error}"}
        print(f"boot exchange: {status} {answer.get('code', '')} {answer.get('detail', '')}")
        if status in (400, 401, 403, 404, 422):
            # A server that was created seconds ago may not be listed yet: those answers count only when they stay.
            end = min(end, time.monotonic() + 60)
        time.sleep(pause)
        pause = min(pause * 2, 15)
    return 1


def keep(answer):
    """Unpacks the scripts and writes the secrets; the password last, because it says that all of them are there."""
    unpack(answer.get("workspace") or "")
    env = {str(key): str(text) for key, text in (answer.get("env") or {}).items()}
    common.write(f"{common.ETC}/secrets/env.json", json.dumps(env))
    for name in reversed(common.SECRETS):
        common.write(f"{common.ETC}/secrets/{name}", str(answer.get(name) or ""))


def unpack(archive):
    """The scripts that do not fit into the user data. Readable by all: none of them is a secret, and not only root runs them."""
    before = os.umask(0o022)
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive)), mode="r:gz") as files:
            files.extractall(f"{common.ROOT}/opt/mayfly/workspace", filter="data")
    finally:
        os.umask(before)


def masked(text):
    """Without any secret of this VM: a log leaves it."""
    hidden = [common.secret(name) for name in (*common.SECRETS, "session_key", "ui_key", "ui_password")]
    hidden += common.secret("git_token").splitlines()  # a key has several
    hidden += [common.vm().get("capability", ""), common.vm().get("sealed", "")]
    hidden += [str(secret) for secret in common.load(f"{common.ETC}/secrets/env.json").values()]
    for secret in sorted(set(hidden), key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, "[secret]")
    return text


def tail(path):
    return masked(common.read(path))[-LOG_TAIL_BYTES:]


def seconds():
    """Whole seconds per phase, as the boot script noted them."""
    found = {}
    for path in glob.glob(f"{common.RUN}/seconds/*"):
        number = common.read(path).strip()
        if number.isdigit():
            found[os.path.basename(path)] = int(number)
    return found


def host_key():
    done = subprocess.run(["ssh-keygen", "-lf", f"{common.ROOT}/etc/ssh/ssh_host_ed25519_key.pub"], capture_output=True,
                          text=True, check=False)
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and len(words) > 1 else ""


def body(phase, at="", code="", log="", with_host_key=False):
    report = {"phase": phase, "seconds": seconds()}
    if code:
        report["reason"] = {"phase": at or phase, "code": code}
    if log:
        report["log_tail"] = tail(log)
    if with_host_key and host_key():
        report["host_key"] = host_key()
    if phase == "ready" and certificate():
        report["tls"] = certificate()
    return report


def certificate():
    """What the door shows, as tls.py last saw it; nothing while there is none."""
    seen = common.load(f"{common.RUN}/public/tls.json")
    return {key: seen[key] for key in ("tls", "sha256")} if seen.get("tls") and seen.get("sha256") else None


def send(report, tries=4):
    """Delivers a report, or leaves it for the minute's tick: a failure must be heard, also when this is killed meanwhile."""
    if report["phase"] != "stopping":
        common.try_write(PENDING, json.dumps(report))
    pause = 1
    for left in range(tries, 0, -1):
        status, answer, _ = common.worker("POST", "/vm/progress", report)
        if status == 200:
            forget()
            return True
        print(f"progress {report['phase']}: {status} {answer.get('code', '')}")
        if status in (400, 401, 403, 404):
            break
        if left > 1:
            time.sleep(pause)
            pause *= 2
    return False


def forget():
    try:
        os.remove(PENDING)
    except OSError:
        pass


def resend():
    """Tries again what could not be delivered; called by the minute's tick."""
    report = common.load(PENDING)
    if report:
        send(report, tries=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("boot", "progress"))
    parser.add_argument("phase", nargs="?", default="")
    parser.add_argument("--at", default="")
    parser.add_argument("--code", default="")
    parser.add_argument("--log", default="")
    parser.add_argument("--host-key", action="store_true")
    args = parser.parse_args()
    os.umask(0o077)
    if args.what == "boot":
        sys.exit(boot())
    report = body(args.phase, args.at, args.code, args.log, args.host_key)
    common.try_write(f"{common.RUN}/public/boot.json", json.dumps({key: report[key] for key in report if key != "log_tail"}), 0o640)
    sys.exit(0 if send(report) else 1)


if __name__ == "__main__":
    main()
