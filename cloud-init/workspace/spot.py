"""What EC2 says before it takes a spot instance back: two minutes' notice in the instance metadata (Amazon EC2 User Guide, "Spot
Instance interruption notices"). What is done about it is idle.py's."""
import json
import urllib.error
import urllib.request

METADATA = "http://169.254.169.254/latest"
TIMEOUT_SECS = 3


def ask(method, path, headers):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(METADATA + path, headers=headers, method=method)
    with opener.open(request, timeout=TIMEOUT_SECS) as answer:
        return answer.read(4096).decode(errors="replace")


def notice():
    """`terminate`, `stop` or `hibernate`; None while nothing is said, or nobody answers."""
    try:
        token = ask("PUT", "/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        told = json.loads(ask("GET", "/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}))
    except (OSError, ValueError):  # 404 is how it says nothing
        return None
    return str(told.get("action", "")) or None if isinstance(told, dict) else None
