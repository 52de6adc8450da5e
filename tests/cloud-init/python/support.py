"""What the Python tests share: a VM's files below a temporary root, and a Worker that answers what the test says."""
import http.server
import importlib
import json
import os
import tempfile
import threading
import unittest

MACHINE = {
    "v": 1, "worker": "", "vm": "abcdefghijklmnopqrstuvwxyz", "capability": "capability-of-this-vm", "deployment": "mayfly",
    "provider": "hetzner", "location": "fsn1", "name": "mayfly-repo-abcd", "profile": "coding",
    "repo_url": "https://git.example/o/repo.git", "branch": "", "web_ui": "cloudcli", "devcontainer_image": "", "trust_repo": False,
    "idle_minutes": 30, "created": 1_000_000, "expires": 1_043_200, "allow_from": [], "domain": "", "image": "debian-13",
    "sealed": "", "self_delete": "worker",
}
MODULES = ("common", "worker", "signals", "end", "scrub", "spot", "work", "idle", "setup", "share", "agent", "devcontainer", "firewall", "caddyfile", "door",
           "backup", "logtail")


class Machine(unittest.TestCase):
    """A test with a root of its own; every module of ours is loaded anew below it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.environ["MAYFLY_ROOT"] = self.root
        self.addCleanup(os.environ.pop, "MAYFLY_ROOT")
        self.modules = {name: importlib.reload(importlib.import_module(name)) for name in MODULES}
        self.put("etc/mayfly/vm.json", json.dumps(MACHINE))
        for folder in ("run/mayfly/public", "run/mayfly/door", "proc", "dev/pts"):
            os.makedirs(f"{self.root}/{folder}")

    def __getattr__(self, name):
        if name in MODULES:
            return self.modules[name]
        raise AttributeError(name)

    def put(self, path, text, age=None, wall=None):
        full = f"{self.root}/{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        if age is not None:
            os.utime(full, (wall - age, wall - age))
        return full

    def get(self, path):
        with open(f"{self.root}/{path}", encoding="utf-8") as file:
            return file.read()

    def process(self, pid, parent, command, ticks, terminal=0):
        fields = ["S", parent, 0, 0, terminal, 0, 0, 0, 0, 0, 0, ticks, 0, 0, 0, 0, 0, 0, 0, 77, 0]
        self.put(f"proc/{pid}/stat", f"{pid} ({command}) " + " ".join(map(str, fields)))

    def serve(self, answer):
        """answer(method, path, headers, body) -> (status, object[, headers]); sets vm.json's worker to it."""
        calls = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                calls.append((self.command, self.path, dict(self.headers), json.loads(raw or b"null")))
                status, body, *more = answer(*calls[-1])
                data = json.dumps(body).encode()
                self.send_response_only(status)  # the test says the date, or nobody
                for key, text in (more[0] if more else {}).items():
                    self.send_header(key, text)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_DELETE = do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        self.put("etc/mayfly/vm.json", json.dumps({**MACHINE, "worker": url}))
        return url, calls
