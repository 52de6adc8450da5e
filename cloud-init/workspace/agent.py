"""Renews the capability with which the agent asks its model through the Worker, long before it ends. A timer's, every ten
minutes; Claude Code reads the file that is written here (share.py). A VM that is gone gets no other."""
import os
import sys

import common
import share


def main():
    if not os.path.exists(f"{share.SHARE}/agent-settings.json"):
        return 0
    status, answer, _ = common.worker("POST", "/vm/token", {"scope": "agent"})
    token = answer.get("token")
    if status != 200 or not isinstance(token, str) or not token:
        print(f"agent: {status} {answer.get('code', '')} {answer.get('detail', '')}")
        return 1
    common.write(f"{share.SHARE}/agent-token", token, 0o444)
    return 0


if __name__ == "__main__":
    sys.exit(main())
