"""Lays out in /run (a tmpfs, gone at power-off) what others than root get of this VM's secrets, and answers Claude Code's
first-run questions. Runs at every boot. The originals stay in root-only files.

    /run/mayfly/git/        for git as `dev`: host, token or key, ssh_config, options
    /run/mayfly/agent/share mounted as /mnt/mayfly into the container; with agent-settings.json and agent-token where the
                            agent asks its model through the Worker
    /run/mayfly/agent/env.json                    for the devcontainer's own commands
    /run/mayfly/public/     what the door may show"""
import json
import os
import re
import shlex
import shutil

import common

HERE = os.environ.get("MAYFLY_HERE", "/opt/mayfly/workspace")
SHARE = f"{common.RUN}/agent/share"
SEEN_AS = "/mnt/mayfly/git"


def owned(path, user, group, mode):
    if os.path.islink(path):
        os.remove(path)  # whoever may write beside it would choose what root changes
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    if not common.ROOT:
        shutil.chown(path, user, group)


def file(path, text, mode, group=None):
    common.write(path, text, mode)
    if group and not common.ROOT:
        shutil.chown(path, "root", group)


def asks_worker():
    """Whether the agent asks its model through the Worker: a capability came in the key's place, and agent.py renews it."""
    return common.secret("anthropic_api_key").startswith("mfc1.")


def environment():
    """What commands in the container find set: the caller's own variables, then ours."""
    env = {key: text for key, text in common.load(f"{common.ETC}/secrets/env.json").items()
           if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key)}
    for name, variable in (("anthropic_api_key", "ANTHROPIC_API_KEY"), ("claude_code_oauth_token", "CLAUDE_CODE_OAUTH_TOKEN")):
        if common.secret(name):
            env[variable] = common.secret(name)
    if asks_worker():
        # It ends: Claude Code reads it from its file, every minute anew.
        del env["ANTHROPIC_API_KEY"]
        env["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"] = "60000"
    token, _ = git_credential()
    if token and common.value("repo_host") == "github.com":
        env.setdefault("GH_TOKEN", token)
    return env


def git_credential():
    """(token for https, key for ssh): one of them, or neither. A key is of use where git speaks ssh to the repository."""
    given = common.secret("git_token")
    if "PRIVATE KEY-----" not in given:
        return given, ""
    return "", "" if common.value("repo_url").startswith("https://") else given


def ssh_beginnings():
    """How URLs of repo_url's host begin that name it by ssh: as most do; and, since a token is of no use there, as its own."""
    url, host = common.value("repo_url"), common.value("repo_host")
    found = [f"git@{host}:", f"ssh://git@{host}/"] if host else []
    own = re.match(r"ssh://[^/]+/|(?!https:)[^/:]+:", url)
    if own and git_credential()[0] and own[0] not in found:
        found.append(own[0])
    return found


def git_pairs(helper, folder):
    """git's way to the repository, (name, value) each. No secret: git offers the helper or the key only for this host, and
    the helper looks again."""
    token, key = git_credential()
    host, pairs = common.value("repo_host"), []
    if key or folder != SEEN_AS:
        pairs.append(("core.sshCommand", f"ssh -F {folder}/ssh_config"))
    if not key:
        pairs += [(f"url.https://{host}/.insteadOf", it) for it in ssh_beginnings()]
    if not key and not token and folder == SEEN_AS:
        # Whoever pushes has a key of their own.
        pairs += [(f"url.{it}.pushInsteadOf", it) for it in ssh_beginnings()]
    if token:
        pairs.append((f"credential.https://{host}.helper", f"{helper} {folder}"))
    return pairs


def git_settings():
    pairs = git_pairs("/mnt/mayfly/git-credential", SEEN_AS)
    settings = {"GIT_CONFIG_COUNT": str(len(pairs))} if pairs else {}
    for number, (name, text) in enumerate(pairs):
        settings |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": text}
    return settings


def ssh_config(folder, first, last):
    """ssh offers the key to repo_url's host and to nobody else; a host that is seen for the first time is believed."""
    _, key = git_credential()
    name = re.sub(r":\d*$", "", common.value("repo_host")).strip("[]")
    own = f"Host {name}\n  IdentityFile {folder}/key\n  IdentitiesOnly yes\n" if key and name else ""
    return f"{first}{own}Host *\n  StrictHostKeyChecking accept-new\n{last}"


def git_folder(folder, seen_as, mode, group, first="", last=""):
    token, key = git_credential()
    for name, text in (("host", common.value("repo_host")), ("token", token), ("key", key),
                       ("ssh_config", ssh_config(seen_as, first, last))):
        file(f"{folder}/{name}", text, mode, group)
    if not common.ROOT:
        # ssh refuses a key that others may read where whoever reads it owns it: nobody does, root in the container included.
        shutil.chown(f"{folder}/key", "nobody")


def container_share():
    owned(f"{common.RUN}/agent", "root", "dev", 0o750)  # on the VM, only `dev` passes here; the container sees below it
    owned(SHARE, "root", "root", 0o755)
    owned(f"{SHARE}/git", "root", "root", 0o755)
    owned(f"{SHARE}/spool", "root", "root", 0o1777)
    env, git = environment(), git_settings()
    file(f"{SHARE}/env.sh", "".join(f"export {key}={shlex.quote(text)}\n" for key, text in {**env, **git}.items()), 0o444)
    # One setting per line, for --remote-env. Not among the secrets: the CLI hides those in its log, and "1" is everywhere.
    file(f"{common.RUN}/agent/git-settings", "".join(f"{key}={text}\n" for key, text in git.items()), 0o640)
    file(f"{common.RUN}/agent/env.json", json.dumps(env), 0o640, "dev")
    git_folder(f"{SHARE}/git", SEEN_AS, 0o444, None, first="Include ~/.ssh/config\n")
    if asks_worker() and not os.path.exists(f"{SHARE}/agent-token"):
        file(f"{SHARE}/agent-token", common.secret("anthropic_api_key"), 0o444)
        file(f"{SHARE}/agent-settings.json", json.dumps({"apiKeyHelper": "cat /mnt/mayfly/agent-token"}), 0o444)
    for source in ("container/enter", "container/hook", "git-credential"):
        file(f"{SHARE}/{os.path.basename(source)}", common.read(f"{HERE}/{source}"), 0o755)


def for_git():
    owned(f"{common.RUN}/git", "root", "dev", 0o750)
    git_folder(f"{common.RUN}/git", f"{common.RUN}/git", 0o640, "dev", last="  BatchMode yes\n")
    pairs = git_pairs(f"{HERE}/git-credential", f"{common.RUN}/git")
    file(f"{common.RUN}/git/options", "".join(f"{name}={text}\n" for name, text in pairs), 0o640, "dev")


def hooks():
    def run(word):
        return [{"hooks": [{"type": "command", "command": f"/mnt/mayfly/hook {word}", "timeout": 5}]}]
    return {"UserPromptSubmit": run("working"), "PreToolUse": run("working"), "PostToolUse": run("working"),
            "Notification": run("waiting"), "Stop": run("done"), "SessionEnd": run("done")}


def claude_home():
    """Once: settings are the user's from then on."""
    home, folder = f"{common.DEV_HOME}/.claude", common.workspace()
    owned(home, "dev", "dev", 0o700)
    if not os.path.exists(f"{home}/settings.json"):
        file(f"{home}/settings.json", json.dumps({"hooks": hooks()}, indent=1), 0o600)
    if not os.path.exists(f"{home}/.claude.json"):
        key = common.secret("anthropic_api_key")
        # Without any credential its first start asks for a login, which is part of that onboarding.
        has_credential = any(name.startswith(("ANTHROPIC_", "CLAUDE_CODE_")) for name in environment())
        answers = {"hasCompletedOnboarding": has_credential, "bypassPermissionsModeAccepted": True, "theme": "dark",
                   "projects": {folder: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}}}
        if key and not asks_worker():  # otherwise an interactive session asks whether to use the key, and ignores it by default
            answers["customApiKeyResponses"] = {"approved": [key[-20:]], "rejected": []}
        file(f"{home}/.claude.json", json.dumps(answers), 0o600)
    if not common.ROOT:
        for name in ("settings.json", ".claude.json"):
            os.chown(f"{home}/{name}", os.stat(home).st_uid, os.stat(home).st_gid, follow_symlinks=False)


def main():
    os.umask(0o022)
    owned(common.RUN, "root", "root", 0o755)
    owned(f"{common.RUN}/seconds", "root", "root", 0o755)
    owned(f"{common.RUN}/public", "root", "mayfly-door", 0o2750)
    owned(f"{common.RUN}/door", "mayfly-door", "mayfly-door", 0o750)
    owned(common.LOG, "root", "mayfly-door", 0o2750)
    if common.secret("password"):
        for_git()
        container_share()
        claude_home()


if __name__ == "__main__":
    main()
