"""Sends the ends of the boot's logs to the Worker, which keeps them for the page where it has a place for them.

    logtail.py follow    while the boot goes on, whenever there is something new
    logtail.py once      the last word

Nothing waits for it, and nothing depends on it. Secrets are masked as in reports (worker.py)."""
import glob
import os
import sys
import time

import common
import worker

INTERVAL_SECS = 5
TAIL_CHARS = 4000
# In bytes, as the Worker counts; a character has four at the most.
TAIL_MAX_BYTES = 8000
BUILD = f"{common.LOG}/devcontainer.log"
# Shown on their own, or no steps of the boot.
NOT_STEPS = ("boot", "devcontainer", "idle", "exchange", "backup")


def newest_step():
    """The log of the step that wrote last: beside the phases it is what people want to see."""
    steps = [path for path in glob.glob(f"{common.LOG}/*.log") if os.path.basename(path)[:-4] not in NOT_STEPS]
    return max(steps, key=os.path.getmtime, default="")


def end_of(text):
    while len(text.encode()) > TAIL_MAX_BYTES:
        text = text[len(text) // 8 + 1:]
    return text


def tails():
    """Ends by source; a source that has nothing to say is not there."""
    boot, step = common.read(f"{common.LOG}/boot.log"), newest_step()
    if step:
        boot += f"\n--- {os.path.basename(step)}\n{common.read(step)[-TAIL_CHARS // 2:]}"
    found = {"boot": boot, "build": common.read(BUILD)}
    return {source: end_of(worker.masked(text)[-TAIL_CHARS:]) for source, text in found.items() if text}


def send(sent):
    """Sends what is new. False when the Worker keeps no logs."""
    for source, tail in tails().items():
        if sent.get(source) == tail:
            continue
        status, _, _ = common.worker("POST", "/vm/log", {"source": source, "tail": tail})
        if status in (400, 401, 403, 404, 405, 501):
            return False
        if status == 200:
            sent[source] = tail
    return True


def main():
    sent = {}
    if sys.argv[1:] == ["once"]:
        send(sent)
        return
    while send(sent):
        time.sleep(INTERVAL_SECS)


if __name__ == "__main__":
    main()
