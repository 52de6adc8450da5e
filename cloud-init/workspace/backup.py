"""Keeps the workspace with restic, in the Worker's bucket or in a store that speaks S3: saves it, verifies that, puts it back.

    backup.py tick       saves if somebody has worked since the last time; verifies and tidies up once a day
    backup.py last       before a stop or the end: saves and verifies, in bounded time
    backup.py restore    before the clone: puts back what the request wished, the newest state unless it said otherwise
    backup.py told-saved, told-unsaved    tells the Worker, if that is news
Exit status: 0 done, 75 there is nothing to do here (no backups; nothing to put back), else it failed.
The repository's password came with the boot exchange, a token for its place comes with every run. Neither is ever in an
argument or in the environment: restic reads files that only root can read, in a folder that is gone at power-off. The key of
an S3 store, from the exchange, too, is in restic's environment, which only root can read."""
import fcntl
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse

import common
import signals

PLACE = f"{common.RUN}/backup"
RECORD = f"{common.STATE}/backup.json"
NOTHING = 75
# All of `last`: whoever ends or stops the VM waits six minutes for it and for what comes after it.
LAST_SECS = 200
WAIT_SECS = 90  # `last` for a tick that is at it
TICK_SECS = 3000  # less than a token lives
RESTORE_SECS = 780
DAY_SECS = 86_400
PACK_MIB = "32"
# Of each VM's backups; and of all: VMs of a repository may have worked side by side, and none is the other's newer state.
KEEP = ("--keep-last", "1", "--keep-within-hourly", "2d", "--keep-within-daily", "14d", "--keep-within-weekly", "3m")
KEEP_OF_ALL = ("--keep-last", "5", "--keep-within", "3m")
# A tick may fail once or twice, and the next one have everything.
OVERDUE_SECS = 2700
# Of what git ignores, folders that a build makes again. Ignored files, such as .env, are saved.
MADE_AGAIN = {
    "node_modules", "bower_components", "jspm_packages", "target", "build", "dist", "obj", "__pycache__", "venv", ".venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".gradle", ".m2", ".next", ".nuxt", ".output",
    ".parcel-cache", ".turbo", ".svelte-kit", ".angular", ".cache", "coverage", ".nyc_output", "Pods", "DerivedData", "_build",
    ".stack-work", "dist-newstyle", ".dart_tool", "zig-cache", ".zig-cache", "zig-out", ".terraform",
}


class Failed(Exception):
    """Why nothing was saved or put back, for the log."""


class Absent(Failed):
    """There is no repository; whoever was refused or got no answer does not know that."""


def places():
    """What is kept, as far as it is there: the workspace, Claude's settings and transcripts, the shells' histories."""
    home = common.DEV_HOME
    return [path for path in (common.workspace(), f"{home}/.claude", f"{home}/.bash_history") if os.path.lexists(path)]


def s3_key():
    """For restic, where backups do not go through the Worker."""
    s3 = common.load(f"{PLACE}/token.json").get("s3")
    if not isinstance(s3, dict):
        return {}
    return {"AWS_ACCESS_KEY_ID": str(s3.get("access_key_id", "")), "AWS_SECRET_ACCESS_KEY": common.secret("backup_s3_secret"),
            "AWS_DEFAULT_REGION": str(s3.get("region", ""))}


def environment():
    return {**s3_key(), "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": "/root", "LANG": "C.UTF-8",
            "RESTIC_REPOSITORY_FILE": f"{PLACE}/repository", "RESTIC_PASSWORD_FILE": f"{common.ETC}/secrets/backup_password",
            "RESTIC_CACHE_DIR": f"{common.ROOT}/var/cache/mayfly-backup", "RESTIC_PACK_SIZE": PACK_MIB, "GOMAXPROCS": "2"}


class Restic:
    """Runs restic, all of its runs together in bounded time."""

    def __init__(self, secs, clock=time.monotonic):
        self.clock, self.end, self.unread = clock, clock() + secs, []

    def __call__(self, *args, may=(0,)):
        """Answers its standard output; fails with its last words."""
        left = self.end - self.clock()
        if left <= 0:
            raise Failed(f"restic {args[0]}: no time left")
        try:
            done = subprocess.run(["restic", *args], capture_output=True, text=True, errors="replace", timeout=left,
                                  env=environment(), stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"restic {args[0]}: not in time") from error
        except OSError as error:
            raise Failed(f"restic: {error}") from error
        if done.returncode not in may:
            words = " ".join(done.stderr.split()) or "no word"
            # 10 says it since restic 0.17; what an older one says of a store that it may not look into ends alike.
            is_absent = done.returncode == 10 or re.search(r"config file: .*(does not exist|no such file)", words)
            raise (Absent if is_absent else Failed)(f"restic {args[0]}: status {done.returncode}: {masked(words)[-300:]}")
        items = [parsed(line).get("item") for line in done.stderr.splitlines()] if done.returncode == 3 else []
        # A file that was gone before it was read is no loss.
        self.unread = sorted({it for it in items if isinstance(it, str) and os.path.lexists(it)})
        return done.stdout


def masked(text):
    """Without the token: restic's errors may name the address."""
    for secret in (common.load(f"{PLACE}/token.json").get("token", ""), common.secret("backup_s3_secret")):
        text = text.replace(secret, "[token]") if secret else text
    return text


def connect(scope="backup"):
    """Gets a fresh token. Answers whether it was given; a refusal to tidy up is none for the backup."""
    status, answer, _ = common.worker("POST", "/vm/token", {"scope": scope}, timeout=30)
    repository = repository_of(answer) if status == 200 else None
    if not repository:
        if scope == "prune":
            return False
        raise Failed(f"no token: {status} {answer.get('code', '')} {answer.get('detail', '')}")
    os.makedirs(PLACE, mode=0o700, exist_ok=True)
    os.chmod(PLACE, 0o700)
    common.write(f"{PLACE}/token.json", json.dumps({name: answer.get(name) for name in ("token", "s3") if answer.get(name)}))
    common.write(f"{PLACE}/repository", repository)
    return True


def repository_of(answer):
    """The Worker's answer as restic writes a repository; nothing where it is none."""
    token, given = answer.get("token"), str(answer.get("repository", ""))
    url = urllib.parse.urlsplit(given.removeprefix("s3:"))
    if url.scheme not in ("http", "https") or not url.netloc:
        return None
    if given.startswith("s3:"):
        return given if isinstance(answer.get("s3"), dict) else None
    return "rest:" + url._replace(netloc=f"mayfly:{token}@{url.netloc}").geturl() if token else None


def glob_escaped(path):
    return "".join(f"[{it}]" if it in "*?[" else "\\\\" if it == "\\" else it for it in path).replace("$", "$$")


def excludes():
    """Ignored folders that a build makes again. What git cannot tell is saved."""
    folder = common.workspace()
    git = ["git", "-C", folder, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "ls-files", "--others", "--ignored",
           "--exclude-standard", "--directory", "-z"]
    as_dev = ["setpriv", "--reuid", "dev", "--regid", "dev", "--init-groups", "env", "-i", f"HOME={common.DEV_HOME}", "PATH=/usr/bin:/bin"]
    try:
        done = subprocess.run(git if common.ROOT else [*as_dev, *git], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    if done.returncode != 0:
        return []
    found = [os.fsdecode(it) for it in done.stdout.split(b"\0") if it.endswith(b"/")]
    return [glob_escaped(f"{folder}/{it.rstrip('/')}") for it in found
            if os.path.basename(it.rstrip("/")) in MADE_AGAIN and "\n" not in it]


def save(restic):
    """Saves, and answers the snapshot's id. A repository is made when there is none."""
    try:
        restic("unlock")  # of locks only those that nobody holds any more
    except Absent:
        restic("init")
    common.write(f"{PLACE}/excludes", "".join(f"{it}\n" for it in excludes()))
    tags = ["--tag", f"vm-{common.vm().get('vm', '')}"]
    # One host's name for all VMs: each goes on from what the one before it saved. 3: there were files that could not be read.
    out = restic("backup", "--json", "--host", "mayfly", *tags, "--exclude-file", f"{PLACE}/excludes", "--", *places(), may=(0, 3))
    for line in reversed(out.splitlines()):
        told = parsed(line)
        if told.get("message_type") == "summary" and told.get("snapshot_id"):
            return told["snapshot_id"]
    raise Failed("restic backup: no snapshot")


def parsed(line):
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def verify(restic, snapshot):
    """The snapshot is in the list, and everything that it needs is there. What is stored was checked when it was."""
    listed = json.loads(restic("snapshots", "--no-lock", "--json", snapshot) or "[]")
    if not listed:
        raise Failed(f"the snapshot {snapshot} is not in the list")
    restic("check", "--no-lock", "--with-cache")


def tidy(restic):
    """At most once a day, and only when the Worker agrees: takes old snapshots away, and what only they needed."""
    if not connect("prune"):
        return False
    try:
        restic("forget", "--host", "mayfly", "--group-by", "host,tags", *KEEP)
        restic("forget", "--prune", "--host", "mayfly", "--group-by", "host", *KEEP_OF_ALL)
    finally:
        connect()
    return True


def worked_since(record):
    """Whether somebody has worked since the last backup of this boot, as the idle check saw it."""
    state = common.load(f"{common.RUN}/idle.json")
    seen = [it for it in (state.get("seen") or {}).values() if isinstance(it, (int, float))]
    if record.get("boot_id") != state.get("boot_id") or not seen:
        return True
    return max(seen) >= record.get("at", 0)


def keep(is_last):
    """The tick's and the last backup. What is known of it is in RECORD and, for people, in the log."""
    record = common.load(RECORD)
    if not is_last and not worked_since(record):
        return 0
    at = signals.boot_seconds()
    restic = Restic(LAST_SECS if is_last else TICK_SECS)
    connect()
    snapshot = save(restic)
    if restic.unread:
        raise Failed(f"saved as {snapshot[:8]}, but for {len(restic.unread)} that cannot be read: {', '.join(restic.unread[:3])}")
    now = int(time.time())
    is_due = now - record.get("tidied", 0) > DAY_SECS
    if is_last or is_due:
        verify(restic, snapshot)
        record["verified"] = now
    record.update(saved=now, snapshot=snapshot, at=at, boot_id=common.load(f"{common.RUN}/idle.json").get("boot_id"))
    print(f"saved as {snapshot[:8]}" + (", verified" if is_last or is_due else ""), flush=True)
    common.try_write(RECORD, json.dumps(record))
    tell(is_saved=True)
    if is_due and not is_last and tidy(restic):
        common.try_write(RECORD, json.dumps({**record, "tidied": now}))
        print("old backups are tidied up")
    return 0


def restore():
    wish = common.secret("restore") or "latest"
    if wish == "none" or os.path.exists(f"{common.workspace()}/.git"):
        return NOTHING
    restic = Restic(RESTORE_SECS)
    connect()
    try:
        found = json.loads(restic("snapshots", "--no-lock", "--json", "--host", "mayfly", "--latest", "1") or "[]")
    except Absent:
        return NOTHING  # nothing was ever saved
    snapshot = wish if wish != "latest" else max(found, key=lambda it: it["time"], default={}).get("id")
    if not snapshot:
        return NOTHING
    wanted = [it for path in (common.workspace(), f"{common.DEV_HOME}/.claude", f"{common.DEV_HOME}/.bash_history")
              for it in ("--include", path)]
    restic("restore", "--no-lock", snapshot, "--target", "/", *wanted)
    if not os.path.isdir(common.workspace()):
        raise Failed(f"{snapshot[:8]} holds no {common.workspace()}")
    print(f"restored {snapshot[:8]}")
    return 0


def started():
    """When this VM was set up, as far as backups go."""
    try:
        return os.stat(f"{common.ETC}/secrets/backup_password").st_mtime
    except OSError:
        return time.time()


def tell(is_saved):
    """Tells the Worker when work begins to be saved nowhere, and when it is saved again. The phase is no news."""
    mark = f"{common.RUN}/unsaved"
    if is_saved != os.path.exists(mark):
        return
    status, answer, _ = common.worker("POST", "/vm/progress", {"phase": "docker", "seconds": {}, "saved": is_saved})
    if status != 200:
        print(f"not told: {status} {answer.get('code', '')}", flush=True)
    elif is_saved:
        os.remove(mark)
    else:
        common.try_write(mark, "")


def alone(lock, patience):
    """One at a time. Answers whether it is this one's turn."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        time.sleep(0.5)


def main(what, patience=WAIT_SECS):
    os.umask(0o077)
    if not common.secret("backup_password"):
        return NOTHING
    os.makedirs(PLACE, mode=0o700, exist_ok=True)
    with open(f"{PLACE}/lock", "w", encoding="utf-8") as lock:
        if not alone(lock, 0 if what == "tick" else patience):
            if what == "tick":
                return 0
            # A tick that takes longer than whoever ends the VM can wait: what it has stored is not stored again.
            subprocess.run(["systemctl", "stop", "mayfly-backup.service"], timeout=30, check=False)
            if not alone(lock, 15):
                print(f"backup {what}: another one does not end", flush=True)
                return 1
        try:
            return restore() if what == "restore" else keep(what == "last")
        except (Failed, OSError, ValueError) as why:
            print(f"backup {what}: {why}", flush=True)
            if what == "tick" and time.time() - common.load(RECORD).get("saved", started()) > OVERDUE_SECS:
                tell(is_saved=False)
            return 1


if __name__ == "__main__":
    if sys.argv[1:] in (["told-saved"], ["told-unsaved"]):
        sys.exit(tell(is_saved=sys.argv[1] == "told-saved"))
    if sys.argv[1:] not in (["tick"], ["last"], ["restore"]):
        sys.exit("backup.py tick|last|restore|told-saved|told-unsaved")
    sys.exit(main(sys.argv[1]))
