"""The sign-in in front of everything that this VM shows: one-time links, a password, a cookie, the status page.

Caddy asks `/_mayfly/check` about every request (forward_auth) and sends `/_mayfly/*` here, over a unix socket. Holds the
password and the key of this VM's links, both given by systemd as credentials; knows nothing of the Worker or of UIs,
but that a UI may want a session of its own planted in the browser (public/ui-session.json)."""
import base64
import hashlib
import hmac
import http.server
import html
import json
import os
import re
import secrets
import socketserver
import threading
import time
import urllib.parse
import urllib.request

import common

COOKIE = "__Host-mayfly"
SESSION_SECS = 12 * 3600
LINK_MAX_SECS = 600  # of a link's own 60 s, with room for clocks that differ
TRIES = 5
LOCK_SECS = 900
TRIES_OF_ALL = 60  # many addresses together: the password closes, links go on
BODY_MAX_BYTES = 4096
PHASES = ("docker", "clone", "devcontainer", "ui")
LOGS = ("boot", "git", "clone", "devcontainer", "ui", "engine", "tools", "idle")

SCRIPT = """
const form = document.querySelector('form'), note = document.querySelector('[role=status]');
const next = new URLSearchParams(location.search).get('next') || '/';
async function signIn(body) {
  note.textContent = 'Signing in…';
  const answer = await fetch('/_mayfly/in', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)});
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) { note.textContent = told.detail || 'That did not work.'; form.hidden = false; return; }
  for (const [key, text] of Object.entries(told.storage || {})) localStorage.setItem(key, text);
  for (const text of told.cookies || []) document.cookie = text;
  location.replace(next.startsWith('/') && !next.startsWith('//') ? next : '/');
}
form.addEventListener('submit', event => { event.preventDefault(); signIn({password: form.password.value}); });
const token = location.hash.slice(1);
if (token) { history.replaceState(null, '', location.pathname + location.search); form.hidden = true; signIn({token}); }
"""
STYLE = """body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}
input,button{font:inherit;padding:.5rem .75rem}pre{overflow:auto;max-height:24rem;padding:1rem;border:1px solid}
th{text-align:left;font-weight:normal;opacity:.75;white-space:nowrap;padding-right:2rem;vertical-align:top}td{overflow-wrap:anywhere}"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style><main><h1>{title}</h1>{body}</main>"""
SIGN_IN = """<form><p><label for="password">Password of this workspace</label></p>
<input name="username" value="mayfly" autocomplete="username" hidden>
<p><input id="password" name="password" type="password" autocomplete="current-password" required autofocus> <button>Sign in</button></p></form>
<p role="status"></p><noscript>This page needs JavaScript.</noscript>"""


def credential(name):
    return common.read(f"{os.environ.get('CREDENTIALS_DIRECTORY', '/nowhere')}/{name}").strip()


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(key, text):
    return base64.urlsafe_b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()


class Refused(Exception):
    """A sign-in that did not work; its text is shown."""


class Door:
    """What is decided; no HTTP in here. `now` is an argument, so that time can be tested."""

    def __init__(self, vm_id, password, link_key, session_key, spent_file):
        self.vm_id, self.password, self.session_key, self.spent_file = vm_id, password, session_key.encode(), spent_file
        self.link_key = unbase64(link_key) if link_key else b""
        self.tries = {}
        self.tries_of_all = []
        self.lock = threading.Lock()  # two requests must not spend one link

    def cookie(self, now):
        end = str(int(now) + SESSION_SECS)
        return f"{end}.{sign(self.session_key, 'session ' + end)}"

    def knows(self, cookie, now):
        end, _, mac = cookie.partition(".")
        if not self.session_key or not end.isdigit() or not end.isascii():
            return False
        return hmac.compare_digest(mac.encode(), sign(self.session_key, "session " + end).encode()) and int(end) > now

    def link(self, token, now):
        """Signed, for this VM, in time, and not used before."""
        told, _, mac = token.partition(".")
        if not self.link_key or not hmac.compare_digest(mac.encode(), sign(self.link_key, told).encode()):
            raise Refused("This link is not for this workspace.")
        try:
            claim = json.loads(unbase64(told))
            vm_id, end, once = claim["vm"], int(claim["exp"]), str(claim["n"])
        except (ValueError, KeyError, TypeError):
            raise Refused("This link cannot be read.") from None
        if vm_id != self.vm_id:
            raise Refused("This link is for another workspace.")
        if not now < end <= now + LINK_MAX_SECS:
            raise Refused("This link is too old. Open the workspace again, or use its password.")
        with self.lock:
            spent = {key: text for key, text in common.load(self.spent_file).items() if text > now}
            if once in spent:
                raise Refused("This link was used already. Open the workspace again, or use its password.")
            spent[once] = end
            common.write(self.spent_file, json.dumps(spent))

    def try_password(self, password, address, now):
        with self.lock:
            self._try_password(password, address, now)

    def _try_password(self, password, address, now):
        self.tries_of_all = [then for then in self.tries_of_all if then > now - LOCK_SECS]
        mine = [then for then in self.tries.get(address, []) if then > now - LOCK_SECS]
        if len(mine) >= TRIES or len(self.tries_of_all) >= TRIES_OF_ALL:
            raise Refused("Too many attempts. Wait 15 minutes, or open the workspace from its page.")
        if self.password and hmac.compare_digest(password.encode(), self.password.encode()):
            self.tries.pop(address, None)
            return
        # Older addresses are forgotten, so that this cannot grow without end.
        self.tries = {key: times for key, times in self.tries.items() if times[-1] > now - LOCK_SECS}
        self.tries[address] = [*mine, now]
        self.tries_of_all.append(now)
        raise Refused("Wrong password.")


def visitor(address):
    """Who counts as one visitor: an IPv4 address, an IPv6 network."""
    return ":".join(address.split(":")[:4]) if ":" in address else address


def foreign(headers):
    """A request that another site's page makes in this browser (a WebSocket sends cookies without asking)."""
    origin = headers.get("Origin")
    if not origin:
        return False
    return urllib.parse.urlsplit(origin).netloc != headers.get("X-Forwarded-Host", headers.get("Host", ""))


def ui_session():
    """The UI's own session, as its file says how to get one: what the browser stores, and cookies."""
    wish = common.load(f"{common.RUN}/public/ui-session.json")
    login = wish.get("login")
    if login:
        status, answer, _ = common.request("POST", login["url"], "", login["body"], timeout=5)
        if status == 200 and isinstance(answer.get(login["field"]), str):
            return {"storage": {login["key"]: answer[login["field"]]}}
    return {"cookies": wish["cookies"]} if "cookies" in wish else {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door = None

    def address_string(self):  # a unix socket has none
        return "door"

    def log_message(self, format, *args):  # addresses and paths are nobody's business
        pass

    def answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        if body or status != 204:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def page(self, title, body, script=""):
        allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" if script else "'none'"
        policy = (f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; connect-src 'self'; "
                  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
        text = PAGE.format(title=html.escape(title), style=STYLE, body=body) + (f"<script>{script}</script>" if script else "")
        self.answer(200, text.encode(), "text/html; charset=utf-8", Content_Security_Policy=policy)

    def known(self):
        found = re.search(rf"(?:^|; *){COOKIE}=([^;]*)", self.headers.get("Cookie", ""))
        return bool(found) and self.door.knows(found[1], time.time())

    def path_only(self):
        return self.path.partition("?")[0]

    def do_GET(self):
        path = self.path_only()
        if path == "/_mayfly/check":
            self.check()
        elif path == "/_mayfly/in":
            self.page("Sign in", SIGN_IN, SCRIPT)
        elif path == "/_mayfly/status":
            self.status()
        else:
            self.answer(404, b'{"detail":"not found"}')

    def check(self):
        method, target = self.headers.get("X-Forwarded-Method", "GET"), self.headers.get("X-Forwarded-Uri", "/")
        if foreign(self.headers):
            self.answer(403, b'{"detail":"another site asked"}')
        elif self.known():
            if method not in ("GET", "HEAD", "OPTIONS"):
                # Somebody did something: the idle monitor looks at this file's time.
                # Many at once, so nothing is written and renamed.
                with open(f"{common.RUN}/door/active", "a", encoding="utf-8"):
                    os.utime(f"{common.RUN}/door/active")
            self.answer(204)
        elif method == "GET" and "text/html" in self.headers.get("Accept", ""):
            self.answer(302, Location="/_mayfly/in?next=" + urllib.parse.quote(target, safe=""))
        else:
            self.answer(401, b'{"detail":"sign in first"}')

    def status(self):
        if not self.known():
            self.answer(302, Location="/_mayfly/in?next=%2F_mayfly%2Fstatus")
            return
        state = {"boot": common.load(f"{common.RUN}/public/boot.json"), "idle": common.load(f"{common.RUN}/public/idle.json"),
                 "tls": common.load(f"{common.RUN}/public/tls.json")}
        if "application/json" in self.headers.get("Accept", ""):
            self.answer(200, json.dumps(state).encode())
            return
        took = state["boot"].get("seconds") or {}
        rows = [("Phase", state["boot"].get("phase", "booting")), ("Reason", (state["boot"].get("reason") or {}).get("code", "")),
                ("Boot", ", ".join(f"{name} {took[name]} s" for name in PHASES if name in took)),
                *((f"Idle: {name}", "no sign" if text is None else f"{text} min ago")
                  for name, text in (state["idle"].get("verdict") or {}).items()),
                ("Ends", state["idle"].get("says", "")), ("Certificate", state["tls"].get("tls", "")),
                ("Its SHA-256", state["tls"].get("sha256", ""))]
        body = "<table>" + "".join(f"<tr><th scope=row>{html.escape(name)}<td>{html.escape(str(text))}"
                                   for name, text in rows if text != "") + "</table>"
        body += '<p><a href="/">Web UI</a> · <a href="/terminal/">Terminal</a></p>'
        for name in LOGS:
            log = common.read(f"{common.LOG}/{name}.log")[-8000:]
            if log:
                body += f"<details><summary>{name}.log</summary><pre tabindex=0>{html.escape(log)}</pre></details>"
        self.page("This workspace", body)

    def do_POST(self):
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > BODY_MAX_BYTES:
            self.close_connection = True
            self.answer(413, b'{"detail":"too much"}')
            return
        body = self.rfile.read(int(size))
        path = self.path_only()
        if foreign(self.headers) or "application/json" not in self.headers.get("Content-Type", ""):
            self.answer(403, b'{"detail":"another site asked"}')
        elif path == "/_mayfly/in":
            self.sign_in(body)
        elif path == "/_mayfly/out":
            self.answer(204, Set_Cookie=f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
        else:
            self.answer(404, b'{"detail":"not found"}')

    def sign_in(self, body):
        now = time.time()
        address = visitor(self.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip())
        try:
            told = json.loads(body)
            if isinstance(told.get("token"), str):
                self.door.link(told["token"], now)
            else:
                self.door.try_password(str(told.get("password", "")), address, now)
        except Refused as refused:
            self.answer(403, json.dumps({"detail": str(refused)}).encode())
            return
        except (ValueError, AttributeError):
            self.answer(400, b'{"detail":"not understood"}')
            return
        common.write(f"{common.RUN}/door/active", "")
        cookie = f"{COOKIE}={self.door.cookie(now)}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={SESSION_SECS}"
        self.answer(200, json.dumps(ui_session()).encode(), Set_Cookie=cookie)


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    socket = f"{common.RUN}/door/door.sock"
    if os.path.exists(socket):
        os.unlink(socket)
    Handler.door = Door(os.environ.get("MAYFLY_VM", ""), credential("password"), credential("link_key"),
                        credential("session_key") or secrets.token_urlsafe(32), f"{common.RUN}/door/spent.json")
    os.umask(0o077)
    with Server(socket, Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
