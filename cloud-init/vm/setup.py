"""Splits vm.json into one file per value, so that scripts read values and never parse or evaluate them.

Also derives what follows from them: the repository's host and folder, this VM's addresses. Talks to nobody but the
machine itself. Refuses a vm.json that does not keep its promises."""
import ipaddress
import os
import re
import secrets
import subprocess
import sys
import urllib.parse

import common

FIELDS = {
    "v": int, "worker": str, "vm": str, "capability": str, "deployment": str, "provider": str, "location": str, "name": str,
    "profile": str, "repo_url": str, "branch": str, "web_ui": str, "devcontainer_image": str, "trust_repo": bool,
    "idle_minutes": int, "created": int, "expires": int, "allow_from": list, "domain": str, "image": str, "sealed": str,
    "self_delete": str,
}
# Only for tests: "tls": "internal", and "acme_ca": the directory of a test CA.
OPTIONAL = {"tls": str, "acme_ca": str}


def repo_parts(url):
    """(host where https finds it: with https' own port, without ssh's; folder name) of an https, ssh or user@host:path URL."""
    scp = re.fullmatch(r"[A-Za-z0-9_.-]+@([A-Za-z0-9.-]+):(?!//)(.+)", url)
    if scp:
        host, path = scp[1], scp[2]
    else:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("https", "ssh"):
            raise ValueError("repo_url is neither https nor ssh")
        host, path = parts.netloc.rpartition("@")[2], parts.path
        if parts.scheme == "ssh":
            host = re.sub(r":\d*$", "", host)
    if not re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", host):
        raise ValueError("repo_url has no host")
    folder = re.sub(r"[^A-Za-z0-9._-]", "-", re.sub(r"\.git$", "", path.rstrip("/").rpartition("/")[2])).lstrip(".-")
    return host.lower(), folder[:64] or "workspace"


def translated():
    """The public IPv4 of a VM that carries a private one (EC2): cloud-init has asked for it at this boot."""
    data = common.load(f"{common.ROOT}/run/cloud-init/instance-data.json")
    try:
        return str(ipaddress.IPv4Address(data["ds"]["meta_data"]["public-ipv4"]))
    except (KeyError, TypeError, ValueError):
        return None


def addresses():
    """The VM's own public addresses, IPv4 first: what it would use to reach the outside."""
    found = []
    for family, far in (("-4", "1.1.1.1"), ("-6", "2606:4700:4700::1111")):
        done = subprocess.run(["ip", "-o", family, "route", "get", far], capture_output=True, text=True, check=False)
        source = re.search(r" src (\S+)", done.stdout)
        if done.returncode == 0 and source:
            is_private = family == "-4" and ipaddress.ip_address(source[1]).is_private
            found.append(is_private and translated() or source[1])
    return found


def write_addresses():
    """At every boot: where addresses are lent, a stop and a start bring another."""
    common.write(f"{common.ETC}/values/addresses", text(addresses()))


def check(machine):
    problems = [f"{name}: missing or not {kind.__name__}" for name, kind in FIELDS.items()
                if type(machine.get(name)) is not kind]
    problems += [f"{name}: not {kind.__name__}" for name, kind in OPTIONAL.items()
                 if name in machine and type(machine[name]) is not kind]
    if not problems and machine["v"] != 1:
        problems.append("v: unknown version")
    if problems:
        raise ValueError("; ".join(problems))


def derive(machine):
    out = {name: machine[name] for name in (*FIELDS, *OPTIONAL) if name in machine}
    out["allow_from"] = [str(ipaddress.ip_network(net, strict=False)) for net in machine["allow_from"]]
    host, folder = repo_parts(machine["repo_url"]) if machine["repo_url"] else ("", "workspace")
    out["repo_host"], out["repo_name"] = host, folder
    if not re.fullmatch(r"[a-z0-9-]*", machine["web_ui"]):
        raise ValueError("web_ui is no name")
    if not re.fullmatch(r"[A-Za-z0-9.-]*", machine["domain"]):
        raise ValueError("domain is no host name")
    return out


def text(thing):
    if isinstance(thing, bool):
        return "true" if thing else "false"
    return "\n".join(map(str, thing)) if isinstance(thing, list) else str(thing)


def main():
    os.umask(0o077)
    if sys.argv[1:] == ["addresses"]:
        write_addresses()
        return
    machine = common.vm()
    try:
        check(machine)
        values = derive(machine)
    except ValueError as error:
        sys.exit(f"setup: vm.json: {error}")
    for name in ("capability", "sealed"):  # read from vm.json where they are needed, and nowhere else
        del values[name]
    for name, thing in values.items():
        common.write(f"{common.ETC}/values/{name}", text(thing))
    write_addresses()
    key = f"{common.ETC}/secrets/session_key"
    if not common.read(key):
        common.write(key, secrets.token_urlsafe(32))


if __name__ == "__main__":
    main()
