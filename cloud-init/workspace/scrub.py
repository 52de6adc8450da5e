"""Takes the secrets off the disk while it is being stored, and puts them back. Meanwhile they are in memory; a reboot in
these minutes loses them, and the workspace goes on without. When that is, the Worker says (idle.py)."""
import os
import shutil

import common

SECRETS_DIR = f"{common.ETC}/secrets"
HELD = f"{common.RUN}/held"


def away():
    """Answers whether the disk is ready to be stored."""
    try:
        if os.path.isdir(SECRETS_DIR):
            os.makedirs(HELD, mode=0o700, exist_ok=True)
            for name in os.listdir(SECRETS_DIR):
                copy = f"{HELD}/{name}"
                shutil.copy2(f"{SECRETS_DIR}/{name}", copy)
                # What is removed may stay in the blocks of the disk: overwritten first.
                size = os.path.getsize(f"{SECRETS_DIR}/{name}")
                with open(f"{SECRETS_DIR}/{name}", "r+b") as file:
                    file.write(bytes(size))
                    os.fsync(file.fileno())
                os.remove(f"{SECRETS_DIR}/{name}")
    except OSError as error:
        print(f"secrets cannot be taken off the disk: {error}")
        back()
        return False
    if not common.value("repo_url"):
        # Made for its disk alone: the folder that the container was built in is nobody's workspace.
        shutil.rmtree(f"{common.ROOT}/workspaces", ignore_errors=True)
    os.sync()
    return True


def back():
    """Puts back what is held; what cannot be put back stays held."""
    if not os.path.isdir(HELD):
        return
    os.makedirs(SECRETS_DIR, mode=0o700, exist_ok=True)
    for name in os.listdir(HELD):
        try:
            common.write(f"{SECRETS_DIR}/{name}", common.read(f"{HELD}/{name}"))
            os.remove(f"{HELD}/{name}")
        except OSError as error:
            print(f"{name}: {error}")
