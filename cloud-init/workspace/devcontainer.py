"""Which devcontainer.json a workspace uses, and whether it may be used.

    devcontainer.py choose FOLDER       prints the repository's own, nothing when it has none
    devcontainer.py default FILE        writes the default to FILE
    devcontainer.py reaches FILE        prints what in it reaches for the host, nothing when nothing does
    devcontainer.py metadata            the same for an image's metadata label, on standard input
The VM is the boundary: a repository gets what it asks for. Only where a provider's credential is on the VM, and the
request did not trust the repository, does what reaches for the host count."""
import glob
import json
import os
import re
import sys

import common

# Everything else may be used without trust. Features and images bring metadata of their own: checked once built.
HARMLESS = {
    "$schema", "name", "image", "build", "dockerFile", "context", "features", "overrideFeatureInstallOrder", "forwardPorts",
    "portsAttributes", "otherPortsAttributes", "containerEnv", "remoteEnv", "containerUser", "remoteUser", "userEnvProbe",
    "updateRemoteUserUID", "overrideCommand", "shutdownAction", "init", "customizations", "settings", "extensions",
    "hostRequirements", "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand",
    "postAttachCommand", "waitFor", "secrets", "id", "version", "documentationURL", "licenseURL", "description",
    "options", "installsAfter", "dependsOn", "entrypoint", "legacyIds", "deprecated", "keywords",
}


def choose(folder):
    """The three places, in the order of the specification; of several folders the first by name."""
    for path in (f"{folder}/.devcontainer/devcontainer.json", f"{folder}/.devcontainer.json",
                 *sorted(glob.glob(f"{glob.escape(folder)}/.devcontainer/*/devcontainer.json"))):
        if os.path.isfile(path):
            return path
    return ""


def default(image):
    return {"name": "Mayfly", "image": image, "init": True, "customizations": {"vscode": {"extensions": ["anthropic.claude-code"]}}}


def from_jsonc(text):
    """JSON with comments and trailing commas, as editors write devcontainer.json."""
    kept = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda found: found[1] or " ", text, flags=re.S)
    return json.loads(re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', lambda found: found[1] or "", kept, flags=re.S))


def reaches(config):
    """What asks for more than a container of its own."""
    if not isinstance(config, dict):
        return ["not an object"]
    found = []
    for key, wish in config.items():
        if key in HARMLESS or (key == "privileged" and wish is False) or (key in ("capAdd", "securityOpt") and wish == []):
            continue
        if key == "mounts" and isinstance(wish, list) and all(is_volume(mount) for mount in wish):
            continue
        if key == "workspaceFolder" and isinstance(wish, str):
            continue
        found.append(key)
    build = config.get("build")
    if isinstance(build, dict) and build.get("options"):
        found.append("build.options")
    if "${localEnv:" in json.dumps(config):
        found.append("localEnv")
    return found


def is_volume(mount):
    """One of Docker's own. A volume's driver may make a mount of the host's of it."""
    fields = mount if isinstance(mount, dict) else dict(part.partition("=")[::2] for part in str(mount).split(","))
    plain = {"type", "source", "src", "target", "dst", "destination", "readonly", "ro"}
    return (set(fields) <= plain and fields.get("type") == "volume"
            and all(isinstance(fields.get(name, ""), str) and "/" not in fields.get(name, "") for name in ("source", "src")))


def metadata(text):
    """The label of a built image: a list, one object per feature and layer."""
    layers = json.loads(text or "[]")
    return sorted({key for layer in (layers if isinstance(layers, list) else [layers]) for key in reaches(layer)})


def main():
    what, *rest = sys.argv[1:]
    if what == "choose":
        print(choose(rest[0]), end="")
    elif what == "default":
        image = common.value("devcontainer_image") or rest[1]
        common.write(rest[0], json.dumps(default(image)), 0o644)
    elif what in ("reaches", "metadata"):
        try:
            found = reaches(from_jsonc(common.read(rest[0]))) if what == "reaches" else metadata(sys.stdin.read().strip())
        except Exception:  # whatever it is, it is nothing that was understood
            found = ["unreadable"]
        print(" ".join(found), end="")
    else:
        sys.exit(f"devcontainer.py: {what}?")


if __name__ == "__main__":
    main()
