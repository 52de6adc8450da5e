"""The signs of work on this VM, one small function each. Each answers how many seconds ago it last saw work, or None for
"no sign of it", and raises when it cannot tell. What follows from them is idle.py's.

Counters (CPU time, bytes) say something only beside their last sample: `past` holds it, `now_` is what to keep."""
import functools
import os
import re
import subprocess
import time

import common

TICKS = os.sysconf("SC_CLK_TCK")
PROC = common.ROOT + "/proc"
PTS = common.ROOT + "/dev/pts"
SPOOL = f"{common.RUN}/agent/share/spool"
# A silent agent and its interface use less; a compiler uses far more.
BUSY_SHARE = 0.05
# Pings of an open tab and keep-alives of SSH stay below; a page that is used does not.
WEB_BYTES_PER_MINUTE = 4096
SSH_BYTES_PER_MINUTE = 4096
# A turn without a word for longer is one whose end was never told (the agent was killed).
TURN_SECS = 6 * 3600
PRUNED = (".git", "node_modules", "target", "dist", ".venv", "venv", "__pycache__", ".cache", ".next", ".pytest_cache",
          ".mypy_cache", ".gradle", ".tox")


class Sample:
    """One look at the machine: wall clock, seconds since boot, processes; and the counters kept for the next look."""

    def __init__(self, past, wall, boot):
        self.past, self.wall, self.boot, self.keep = past, wall, boot, {"boot": boot}

    @functools.cached_property
    def processes(self):  # not before a signal asks: whoever cannot look is blind alone
        return processes()

    def minutes(self):
        return max((self.boot - self.past.get("boot", self.boot)) / 60, 0)

    def age(self, moment):
        """Seconds since a file's time. A time in the future is no evidence (a clock jumped, or somebody lied)."""
        since = self.wall - moment
        return None if since < -60 else max(since, 0)


def processes():
    """{pid: (parent, command, CPU ticks, terminal, start)} of all, the containers' included."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            stat = common.read(f"{PROC}/{name}/stat")
            head, _, rest = stat.rpartition(")")
            fields = rest.split()
            if len(fields) > 20:
                found[int(name)] = (int(fields[1]), head.partition("(")[2], int(fields[11]) + int(fields[12]), int(fields[4]),
                                    fields[19])
    if not found:
        raise OSError("no processes to be seen")
    return found


def descendants(found, roots):
    children = {}
    for pid, process in found.items():
        children.setdefault(process[0], []).append(pid)
    tree, todo = set(), list(roots)
    while todo:
        pid = todo.pop()
        if pid not in tree:
            tree.add(pid)
            todo.extend(children.get(pid, ()))
    return tree


def busy(sample, name, pids, share=BUSY_SHARE):
    """Whether these processes used CPU since the last look: those that were there by their growth, new ones by all of it."""
    ticks = {f"{pid}/{sample.processes[pid][4]}": sample.processes[pid][2] for pid in pids}
    sample.keep[name] = ticks
    if name not in sample.past or not sample.minutes():
        return False
    used = sum(max(now - sample.past[name].get(key, 0), 0) for key, now in ticks.items()) / TICKS
    return used / (sample.minutes() * 60) > share


def grew(sample, name, total, per_minute):
    """Whether counters of bytes that were there at the last look grew by more than silence explains: whoever knocks is gone by then."""
    sample.keep[name] = total
    if name not in sample.past:
        return False
    return sum(max(now - sample.past[name].get(key, now), 0) for key, now in total.items()) > per_minute * max(sample.minutes(), 1)


def agents(sample):
    return [pid for pid, process in sample.processes.items() if process[1] == "claude"]


def spool():
    """[(time, word)] of the agent's sessions, newest first. Written by code of the repository: words from a list, no links."""
    found = []
    for entry in list(os.scandir(SPOOL))[:200] if os.path.isdir(SPOOL) else []:
        if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
            word = common.read(entry.path)[:16].strip()
            if word in ("working", "waiting", "done"):
                found.append((entry.stat(follow_symlinks=False).st_mtime, word))
    return sorted(found, reverse=True)


def agent(sample):
    """The agent is in a turn (its hooks say so, and it lives), or it or a tool that it runs uses CPU."""
    roots = agents(sample)
    cpu = busy(sample, "agent", descendants(sample.processes, roots))
    turns = [sample.age(moment) for moment, word in spool() if word == "working"]
    thinking = any(since is not None and since < TURN_SECS for since in turns)
    return 0 if roots and (cpu or thinking) else None


def transcript(sample):
    """What the agent writes down of its conversations."""
    return newest(sample, f"{common.DEV_HOME}/.claude/projects", ["-name", "*.jsonl"])


def files(sample):
    """Files of the workspace, without what tools generate."""
    prune = ["("]
    for name in PRUNED:
        prune += ["-name", name, "-o"]
    return newest(sample, common.workspace(), [*prune[:-1], ")", "-prune", "-o", "-type", "f"])


def newest(sample, folder, test):
    if not os.path.isdir(folder):
        return None
    done = subprocess.run(["find", folder, "-xdev", *test, "-printf", "%T@\n"], capture_output=True, text=True, timeout=40,
                          check=False)
    ages = [sample.age(float(line)) for line in done.stdout.split()]
    return min((since for since in ages if since is not None), default=None)


def terminals(sample):
    """{number: seconds since somebody typed}: a terminal's device is read only when there is input."""
    ages = {}
    for name in os.listdir(PTS):
        if name.isdigit():
            try:
                ages[int(name)] = sample.age(os.stat(f"{PTS}/{name}").st_atime)
            except FileNotFoundError:
                continue
    return {number: since for number, since in ages.items() if since is not None}


def ssh_terminals(sample):
    """The numbers of those that belong to SSH sessions."""
    servers = [pid for pid, process in sample.processes.items() if process[1].startswith("sshd")]
    # Device numbers: 136 to 143 are the majors of /dev/pts, 256 terminals each.
    devices = [sample.processes[pid][3] for pid in descendants(sample.processes, servers)]
    return {((device >> 8 & 0xfff) - 136) * 256 + (device & 0xff) for device in devices if 136 <= device >> 8 & 0xfff <= 143}


def received(port):
    """Bytes that came in, per open connection to a port of this VM."""
    done = subprocess.run(["ss", "-tinH", "state", "established", f"( sport = :{port} )"], capture_output=True, text=True, timeout=20,
                          check=True)
    total, peer = {}, ""
    for line in done.stdout.splitlines():
        if not line.startswith((" ", "\t")):
            peer = " ".join(line.split()[-2:])
        count = re.search(r"bytes_received:(\d+)", line)
        if count:
            total[peer] = int(count[1])
    return total


def connection(sample):
    """Typing in a browser's terminal, doing something in the UI, or more bytes than an open tab makes."""
    ours = ssh_terminals(sample)
    ages = [since for number, since in terminals(sample).items() if number not in ours]
    try:
        ages.append(sample.age(os.stat(f"{common.RUN}/door/active").st_mtime))
    except FileNotFoundError:
        pass
    if grew(sample, "web", received(443), WEB_BYTES_PER_MINUTE):
        ages.append(0)
    return min((since for since in ages if since is not None), default=None)


def ssh(sample):
    """Typing in an SSH session, or an editor's traffic over one."""
    ours = ssh_terminals(sample)
    ages = [since for number, since in terminals(sample).items() if number in ours]
    if grew(sample, "ssh", received(22), SSH_BYTES_PER_MINUTE):
        ages.append(0)
    return min(ages, default=None)


def build(sample):
    """The devcontainer's own build (bounded in time by its phase)."""
    builder = common.read(f"{common.RUN}/building").strip()
    return 0 if builder.isdigit() and int(builder) in sample.processes else None


def keep(sample):
    """Asked for through the API."""
    until = common.read(f"{common.STATE}/keep-until").strip()
    return 0 if until.isdigit() and int(until) > sample.wall else None


ALL = {"agent": agent, "transcript": transcript, "files": files, "connection": connection, "ssh": ssh, "build": build, "keep": keep}


def boot_seconds():
    return time.clock_gettime(time.CLOCK_BOOTTIME)
