"""Every minute (cron, and a timer should cron be dead): looks for work, tells the Worker, warns, and ends the VM.

    idle.py tick
    idle.py watch       for ever: the heartbeat alone, at once, when the agent waits or is done
The signals are signals.py's, the end is end.py's. Ages count on the clock that runs since boot: a wall clock that jumps
makes nobody idle. The wall clock that matters for the expiry is the Worker's, from its last answer."""
import email.utils
import fcntl
import importlib
import io
import json
import os
import subprocess
import sys
import time
import types

import common
import end
import signals
import worker

WARN_SECS = 300
BEAT_SECS = 300
WATCH_SECS = 1
# A VM that was stopped and started has a new expiry, which the Worker knows. Without its word the old one counts only
# after this time.
RESTART_GRACE_SECS = 3600
# How often work that cannot be saved is looked at again.
RESCUE_SECS = 600
# Longer no snapshot takes that a VM waits for without its secrets.
SCRUBBED_SECS = 1800
# Nobody said what is wanted.
UNHEARD = object()
STATE_FILE = f"{common.RUN}/idle.json"


def part(name):
    """A module that comes with the workspace; None while it is not there."""
    if end.HERE not in sys.path:
        sys.path.append(end.HERE)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def boot_id():
    return common.read("/proc/sys/kernel/random/boot_id").strip()


def clock(state, wall, boot):
    """The time, by the Worker's last answer and the seconds since; by our own clock when there is none of this boot."""
    anchor = state.get("anchor")
    return anchor["true"] + boot - anchor["boot"] if anchor else wall


def fresh(machine, wall, boot):
    """The state of a boot that was not looked at yet. The clock starts at creation, so a boot that hangs is idle too; a
    later boot is somebody's start, and counts from itself."""
    first = common.read(f"{common.STATE}/booted").strip() in ("", boot_id())
    # A clock that is wrong at boot must not make a new VM old: from creation to boot it takes minutes.
    before = min(max(wall - machine.get("created", wall) - boot, 0), 600) if first else 0
    return {"boot_id": boot_id(), "seen": {"start": -before}, "sample": {}, "beat_at": 0, "restarted": not first}


def expiry(state, machine, boot):
    """The hard end as the Worker said it last in this boot, else as it was at creation; 0 while nobody knows."""
    if "expires" not in state and state.get("restarted") and boot < RESTART_GRACE_SECS:
        return 0
    return state.get("expires", machine.get("expires", 0))


def look(state, wall, boot):
    """Takes every signal; one that fails is unknown. Updates `seen`: seconds since boot of each one's last work."""
    sample = signals.Sample(state.get("sample", {}), wall, boot)
    unknown = []
    for name, signal in [*signals.ALL.items(), *getattr(part("work"), "MORE", {}).items()]:
        try:
            since = signal(sample)
        except Exception as error:  # whatever it is, one blind eye must not end or keep a VM
            unknown.append(name)
            print(f"signal {name}: {type(error).__name__}: {error}")
            continue
        if since is not None:
            state["seen"][name] = max(state["seen"].get(name, -1e9), boot - since)
    state["sample"] = sample.keep
    return unknown


def verdict(state, boot):
    """Minutes since each signal's last work; None when it never saw any."""
    seen = state["seen"]
    return {name: max(int((boot - seen[name]) // 60), 0) if name in seen else None for name in signals.ALL}


def decide(state, unknown, boot, now, idle_minutes, expires):
    """("live"|"warn"|"idle"|"expired", seconds left). A blind eye doubles the patience; the expiry holds in any case."""
    patience = idle_minutes * 60 * (2 if unknown else 1)
    left_idle = patience - (boot - max(state["seen"].values()))
    # The Worker ends it at its expiry; what there is to save is saved before.
    left_life = expires - now - 300 if expires else float("inf")
    if left_life <= 0:
        return "expired", 0
    if left_idle <= 0:
        return "idle", 0
    left = min(left_idle, left_life)
    return ("warn" if left <= min(WARN_SECS, idle_minutes * 60 / 3) else "live"), int(left)


def attention():
    """What the agent's newest session says of itself."""
    told = signals.spool()
    return told[0][1] if told and told[0][1] != "working" else None


def heartbeat(state, boot, now):
    """Tells the Worker and takes its answer: expiry, idle limit, wishes, when to come next."""
    body = {"active": int(now - (boot - max(state["seen"].values()))), "verdict": verdict(state, boot),
            "load": round(os.getloadavg()[0], 2), "attention": attention(), "boot_id": boot_id(),
            "tls": worker.certificate(), "done": "snapshot" if state.get("scrubbed") else None, "ending": state.get("ending")}
    sent = signals.boot_seconds()
    status, answer, headers = common.worker("POST", "/vm/heartbeat", body)
    state["attention"], state["tls"] = body["attention"], body["tls"]
    if status != 200:
        print(f"heartbeat: {status} {answer.get('code', '')} {answer.get('detail', '')}")
        state["beat_at"] = boot + 60
        return UNHEARD
    state.pop("ending", None)
    date = email.utils.parsedate_to_datetime(headers["Date"]).timestamp() if headers.get("Date") else None
    if date:
        state["anchor"] = {"true": date, "boot": sent}
    for name, kind in (("expires", int), ("idle_minutes", int)):
        if type(answer.get(name)) is kind and answer[name] > 0:
            state[name] = answer[name]
    pause = answer.get("next_seconds")
    state["beat_at"] = boot + (min(max(pause, 10), 3600) if type(pause) is int else BEAT_SECS)
    return answer.get("want")


def obey(want, state):
    """What the Worker asks for. Answers whether the VM goes on."""
    now, since, scrub = signals.boot_seconds(), state.get("scrubbed"), part("scrub")
    if want is UNHEARD and (since is None or now < since + SCRUBBED_SECS):
        return True
    if want != "stop":
        state.pop("saved", None)
    if want == "snapshot" and (since is None or now < since + SCRUBBED_SECS):
        if since is None and scrub and scrub.away():
            state["scrubbed"], state["beat_at"] = now, 0
        return True
    state.pop("scrubbed", None)
    if scrub:
        scrub.back()
    if isinstance(want, str) and want.startswith("keep-") and want[5:].isdigit():
        common.try_write(f"{common.STATE}/keep-until", want[5:])
    elif isinstance(want, str) and want.startswith("wait-") and want[5:].isdigit():
        # The hour is paid.
        state["rescue_at"] = now + max(int(want[5:]) - clock(state, time.time(), now), 0)
    elif want == "stop":
        # Not switched off from here: where a shutdown from inside ends the VM for good, that would be the end of its disk.
        if not state.get("saved"):
            unsaved = end.rescue()
            print(f"stopping, as asked{f'; {unsaved}' if unsaved else ''}")
            state["saved"] = True
        os.sync()
        worker.send({"phase": "stopping", "seconds": {}}, tries=2)
        return False
    return True


def warn(minutes, why):
    text = f"This workspace ends in about {minutes} min ({why}). Typing keeps it, unless it expires."
    for command in (["wall", text], ["setpriv", "--reuid", "dev", "--regid", "dev", "--clear-groups", "tmux", "-L", "mayfly",
                                     "display-message", "-d", "30000", text]):
        try:
            subprocess.run(command, timeout=10, check=False, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            continue


def show(state, boot, outcome, left):
    says = {"idle": "now: idle", "expired": "now: expired"}.get(outcome, f"in {left // 60} min, if nothing happens")
    if state.get("unsaved"):
        says = f"at its expiry: {state['unsaved']}"
    common.try_write(f"{common.RUN}/public/idle.json", json.dumps({"verdict": verdict(state, boot), "says": says}), 0o640)


def look_at_certificate():
    """The door goes on trying for one that is trusted; whoever compares fingerprints must know when it changes."""
    seen = worker.certificate()
    if not seen or seen["tls"] == "trusted":
        return
    host = common.value("domain") or common.value("addresses").partition("\n")[0]
    try:
        done = subprocess.run([sys.executable, f"{end.HERE}/tls.py", host], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"certificate: {type(error).__name__}")
        return
    if done.returncode == 0 and done.stdout.strip():
        common.try_write(f"{common.RUN}/public/tls.json", done.stdout, 0o640)


def look_for_notice(state):
    """A machine that is about to be taken back saves its work while it can, once."""
    spot = part("spot")
    if state.get("notice") or not spot or not (told := spot.notice()):
        return
    state["notice"] = told
    warn(2, "the provider takes this machine back")
    unsaved = end.rescue()
    print(f"the provider takes this machine back ({told}): {unsaved or 'the work is saved'}")
    worker.send({"phase": "stopping", "seconds": {}}, tries=1)


def tick(state, machine):
    wall, boot = time.time(), signals.boot_seconds()
    if machine.get("provider") == "ec2":
        look_for_notice(state)
    worker.resend()
    look_at_certificate()
    unknown = look(state, wall, boot)
    def outlook():
        return decide(state, unknown, boot, clock(state, wall, boot), state.get("idle_minutes", machine.get("idle_minutes", 30)),
                      expiry(state, machine, boot))

    outcome, left = outlook()
    is_news = attention() != state.get("attention") or worker.certificate() != state.get("tls")
    if boot >= state["beat_at"] or outcome != "live" or is_news:
        # Before the end always: the answer may be "keep".
        goes_on = obey(heartbeat(state, boot, clock(state, wall, boot)), state)
        if goes_on and state.get("beat_at") == 0:
            # What was asked for is done: that is told at once.
            goes_on = obey(heartbeat(state, boot, clock(state, wall, boot)), state)
        if not goes_on:
            remember(state)
            return
        if signals.keep(types.SimpleNamespace(wall=wall)) is not None:
            state["seen"]["keep"] = boot
        outcome, left = outlook()
    if outcome == "live":
        for name in ("warned", "ending", "unsaved", "rescue_at"):
            state.pop(name, None)
    elif outcome == "warn" and not state.get("warned"):
        state["warned"], state["ending"] = True, left
        warn(max(left // 60, 1), "nobody works here" if not state.get("unsaved") else "it expires")
    show(state, boot, outcome, left)
    remember(state)
    if outcome == "expired" or (outcome == "idle" and boot >= state.get("rescue_at", 0)):
        def again():
            nonlocal wall, boot, unknown
            wall, boot = time.time(), signals.boot_seconds()
            unknown = look(state, wall, boot)
            return outlook()[0] not in ("idle", "expired")
        state["unsaved"] = end.end(machine, outcome, again=again)
        # A round that nobody heard is followed by the next one at once.
        state["rescue_at"] = signals.boot_seconds() + (RESCUE_SECS if state["unsaved"] else 0)
        show(state, boot, outcome, left)
        remember(state)


def remember(state):
    common.try_write(STATE_FILE, json.dumps(state))
    common.try_write(f"{common.STATE}/booted", boot_id())


def load_state(machine):
    state = common.load(STATE_FILE)
    return state if state.get("boot_id") == boot_id() else fresh(machine, time.time(), signals.boot_seconds())


def beat():
    """Only what the agent says of itself, if it is news."""
    if attention() == common.load(STATE_FILE).get("attention"):
        return
    with open(f"{common.RUN}/idle.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine, boot = common.vm(), signals.boot_seconds()
        state = load_state(machine)
        if attention() != state.get("attention"):
            obey(heartbeat(state, boot, clock(state, time.time(), boot)), state)
            remember(state)


def watch(pause=time.sleep):
    """A look at a few files in memory each second. Systemd's own watch loses what changes while its service runs."""
    while True:
        try:
            beat()
        except Exception as error:  # the minute's tick tells it then
            print(f"watch: {type(error).__name__}: {error}")
        pause(WATCH_SECS)


class Log(io.TextIOBase):
    """What a full or read-only disk does not take is lost: there is no log then, but there is an end."""

    def write(self, text):
        try:
            with open(f"{common.LOG}/idle.log", "a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            pass
        return len(text)


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "tick"
    os.makedirs(common.RUN, exist_ok=True)
    sys.stdout = Log()
    if what == "watch":
        watch()
    with open(f"{common.RUN}/idle.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # the tick before this one is still at it
        machine = common.vm()
        tick(load_state(machine), machine)


if __name__ == "__main__":
    main()
