"""What the Python parts share: places, values, small files, calls to the Worker. Decides nothing.

MAYFLY_ROOT puts everything below another root, for tests."""
import json
import os
import urllib.error
import urllib.request

ROOT = os.environ.get("MAYFLY_ROOT", "")
ETC, STATE, RUN, LOG = (ROOT + path for path in ("/etc/mayfly", "/var/lib/mayfly", "/run/mayfly", "/var/log/mayfly"))
DEV_HOME = ROOT + "/home/dev"
SECRETS = ("password", "link_key", "git_token", "anthropic_api_key", "claude_code_oauth_token", "provider_credential",
           "backup_password", "backup_s3_secret", "restore")


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return default


def write(path, text, mode=0o600):
    """Replaces a file in one step, so that nobody reads half of it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{os.getpid()}.part"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(part, mode)
    os.replace(part, path)


def try_write(path, text, mode=0o600):
    """For what may be lost: a full disk or a read-only root must not stop whoever writes."""
    try:
        write(path, text, mode)
    except OSError as error:
        print(f"{path}: {error}")


def load(path):
    try:
        found = json.loads(read(path, "{}"))
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def value(name):
    return read(f"{ETC}/values/{name}")


def secret(name):
    return read(f"{ETC}/secrets/{name}")


def vm():
    return load(f"{ETC}/vm.json")


def workspace():
    return f"{ROOT}/workspaces/{value('repo_name')}"


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):  # the capability is for the Worker alone
        return None


def request(method, url, token, body=None, timeout=20, token_header=None, more=None):
    """One call. Answers (status, object, headers); status 0 when nothing answered. Without a token it has no credential."""
    credential = {token_header or "Authorization": token if token_header else f"Bearer {token}"} if token else {}
    headers = {**credential, **(more or {}), "Accept": "application/json", "User-Agent": "mayfly-vm"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _StayHere())
    try:
        with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=timeout) as answer:
            status, raw, got = answer.status, answer.read(1 << 20), answer.headers
    except urllib.error.HTTPError as error:
        status, raw, got = error.code, error.read(1 << 16), error.headers
    except (OSError, ValueError) as error:
        return 0, {"detail": str(error)}, {}
    try:
        answer = json.loads(raw or b"{}")
    except ValueError:
        answer = {}
    return status, answer if isinstance(answer, dict) else {}, got


def worker(method, path, body=None, timeout=20):
    machine = vm()
    return request(method, machine.get("worker", "").rstrip("/") + path, machine.get("capability", ""), body, timeout)
