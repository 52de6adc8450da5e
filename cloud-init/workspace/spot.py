"""What EC2 says before it takes a spot instance back: two minutes' notice in the instance metadata (Amazon EC2 User Guide, "Spot
Instance interruption notices"). What is done about it is idle.py's."""
import http.client
import json
import socket
import urllib.parse

METADATA = "http://169.254.169.254/latest"
TIMEOUT_SECS = 3
# At EC2 the firewall lets root ask the metadata with this mark (firewall.py). Containers have networks of their own, whose way there
# is closed whatever they set.
MARK = 0x6d66


class Marked(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket()
        self.sock.settimeout(TIMEOUT_SECS)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        except PermissionError:
            pass  # the firewall's answer is the answer
        if self.source_address:
            self.sock.bind(self.source_address)
        self.sock.connect((self.host, self.port))


def ask(method, path, headers):
    url = urllib.parse.urlsplit(METADATA)
    asked = Marked(url.hostname, url.port or 80)
    try:
        asked.request(method, url.path + path, headers=headers)
        answer = asked.getresponse()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return answer.read(4096).decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        asked.close()


def notice():
    """`terminate`, `stop` or `hibernate`; None while nothing is said, or nobody answers."""
    try:
        token = ask("PUT", "/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        told = json.loads(ask("GET", "/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token}))
    except (OSError, ValueError):  # 404 is how it says nothing
        return None
    return str(told.get("action", "")) or None if isinstance(told, dict) else None
