"""The smaller Python parts: values, the Worker's client, what the container gets, devcontainer rules, rules and Caddyfile."""
import base64
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import unittest
from unittest import mock

from support import MACHINE, Machine


def archive(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, (text, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), mode
            tar.addfile(info, io.BytesIO(text.encode()))
    return base64.b64encode(packed.getvalue()).decode()


class Values(Machine):
    def test_hosts_and_folders_of_repository_urls(self):
        for url, expected in {
            "https://github.com/o/r": ("github.com", "r"), "https://github.com/o/r.git": ("github.com", "r"),
            "https://user@Git.Example:8443/a/b/c.git/": ("git.example:8443", "c"), "git@github.com:o/r.git": ("github.com", "r"),
            "ssh://git@host.example:22/o/r": ("host.example", "r"),
            "https://h.example/..": ("h.example", "workspace"), "https://h.example/o/-rf": ("h.example", "rf"),
            "https://[2001:db8::1]/o/r": ("[2001:db8::1]", "r"),
        }.items():
            self.assertEqual(self.setup.repo_parts(url), expected, url)
        _, folder = self.setup.repo_parts("https://h.example/o/$(reboot)")
        self.assertRegex(folder, r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

    def test_other_schemes_are_refused(self):
        for url in ("file:///etc", "http://h.example/o/r", "ext::sh -c id", "git://h.example/r", "https:///r", "https://a b/r"):
            with self.assertRaises(ValueError, msg=url):
                self.setup.repo_parts(url)

    def test_a_value_per_file_root_only(self):
        with mock.patch.object(self.setup, "addresses", return_value=["203.0.113.7"]):
            self.setup.main()
        self.assertEqual(self.get("etc/mayfly/values/idle_minutes"), "30")
        self.assertEqual(self.get("etc/mayfly/values/trust_repo"), "false")
        self.assertEqual(self.get("etc/mayfly/values/repo_name"), "repo")
        self.assertEqual(self.get("etc/mayfly/values/addresses"), "203.0.113.7")
        for name in os.listdir(f"{self.root}/etc/mayfly/values"):
            self.assertEqual(stat.S_IMODE(os.stat(f"{self.root}/etc/mayfly/values/{name}").st_mode), 0o600, name)

    def route(self, address):
        """What `ip route get` says where the machine carries this address, and no IPv6."""
        def run(command, **_):
            found = f"1.1.1.1 via 172.31.16.1 dev ens5 src {address} uid 0" if "-4" in command else ""
            return subprocess.CompletedProcess(command, 0 if found else 2, found, "")
        return mock.patch.object(self.setup.subprocess, "run", run)

    def test_behind_a_translation_the_address_is_the_one_that_cloud_init_was_told(self):
        data = "run/cloud-init/instance-data.json"
        for own, told, want in (("172.31.20.7", {"public-ipv4": "198.51.100.9"}, "198.51.100.9"),
                                ("172.31.20.7", {}, "172.31.20.7"),
                                ("172.31.20.7", {"public-ipv4": "x; y"}, "172.31.20.7"),
                                ("198.51.100.7", {"public-ipv4": "198.51.100.9"}, "198.51.100.7")):
            self.put(data, json.dumps({"ds": {"meta_data": told}}))
            # The documentation's own networks count as private to Python.
            public = mock.patch.object(self.setup.ipaddress.IPv4Address, "is_private", own.startswith("172."))
            with self.route(own), public:
                self.assertEqual(self.setup.addresses(), [want], (own, told))
        self.put(data, "[]")
        with self.route("172.31.20.7"):
            self.assertEqual(self.setup.addresses(), ["172.31.20.7"])

    def test_each_boot_looks_at_the_addresses_again(self):
        self.put("etc/mayfly/values/addresses", "198.51.100.9")
        self.put("run/cloud-init/instance-data.json", json.dumps({"ds": {"meta_data": {"public-ipv4": "198.51.100.10"}}}))
        with self.route("172.31.20.7"), mock.patch.object(sys, "argv", ["setup.py", "addresses"]):
            self.setup.main()
        self.assertEqual(self.get("etc/mayfly/values/addresses"), "198.51.100.10")

    def test_a_vm_json_that_breaks_its_promises_stops_the_set_up(self):
        for change in ({"v": 2}, {"idle_minutes": "30"}, {"trust_repo": "no"}, {"allow_from": ["everywhere"]},
                       {"web_ui": "../../x"}, {"domain": "a b"}, {"expires": True}):
            self.put("etc/mayfly/vm.json", json.dumps({**MACHINE, **change}))
            with self.assertRaises(SystemExit, msg=change):
                self.setup.main()


class Client(Machine):
    ANSWER = {"password": "pa55word", "link_key": "a2V5", "git_token": "ghp_secret", "anthropic_api_key": "sk-ant-secret",
              "claude_code_oauth_token": "", "env": {"DB": "postgres-secret"}, "provider_credential": ""}

    def test_the_exchange_makes_root_only_files_and_unpacks_the_scripts(self):
        scripts = archive({"boot": ("#!/bin/sh\n", 0o755), "ui/cloudcli": ("x", 0o755)})
        _, calls = self.serve(lambda *_: (200, {**self.ANSWER, "workspace": scripts}))
        self.assertEqual(self.worker.boot(), 0)
        self.assertEqual(self.get("etc/mayfly/secrets/password"), "pa55word")
        self.assertTrue(os.access(f"{self.root}/opt/mayfly/workspace/boot", os.X_OK))
        for name in os.listdir(f"{self.root}/etc/mayfly/secrets"):
            self.assertEqual(stat.S_IMODE(os.stat(f"{self.root}/etc/mayfly/secrets/{name}").st_mode), 0o600, name)
        self.assertEqual(self.worker.boot(), 0)
        self.assertEqual(len(calls), 1, "a reboot asks for nothing")

    def test_the_exchange_is_retried_until_it_works(self):
        answers = [(503, {}), (403, {"code": "boot_closed"}), (200, {**self.ANSWER, "workspace": archive({"boot": ("", 0o755)})})]
        self.serve(lambda *_: answers.pop(0))
        with mock.patch.object(self.worker.time, "sleep"):
            self.assertEqual(self.worker.boot(), 0)

    def test_an_archive_that_leaves_its_folder_is_refused(self):
        self.serve(lambda *_: (200, {**self.ANSWER, "workspace": archive({"../../../evil": ("x", 0o755)})}))
        clock = iter(range(0, 10_000, 200))
        with mock.patch.object(self.worker.time, "sleep"), mock.patch.object(self.worker.time, "monotonic", lambda: next(clock)):
            self.assertEqual(self.worker.boot(), 1)
        self.assertFalse(os.path.exists(f"{self.root}/evil"))
        self.assertFalse(os.path.exists(f"{self.root}/etc/mayfly/secrets/password"))

    def test_no_secret_leaves_in_a_log(self):
        self.put("etc/mayfly/secrets/git_token", "ghp_secret")
        self.put("etc/mayfly/secrets/env.json", json.dumps({"DB": "postgres-secret"}))
        log = self.put("var/log/mayfly/clone.log", f"https://x:ghp_secret@h postgres-secret {MACHINE['capability']} fine")
        self.assertEqual(self.worker.tail(log), "https://x:[secret]@h [secret] [secret] fine")

    def test_the_tail_is_masked_before_it_is_cut(self):
        self.put("etc/mayfly/secrets/git_token", "ghp_0123456789")
        log = self.put("var/log/mayfly/clone.log", "ghp_0123456789" + "x" * (self.worker.LOG_TAIL_BYTES - 5))
        self.assertNotIn("6789", self.worker.tail(log))

    def test_a_failure_carries_phase_code_seconds_and_log(self):
        self.put("run/mayfly/seconds/docker", "12\n")
        log = self.put("var/log/mayfly/clone.log", "fatal: no")
        self.assertEqual(self.worker.body("failed", "clone", "auth_failed", log),
                         {"phase": "failed", "seconds": {"docker": 12}, "reason": {"phase": "clone", "code": "auth_failed"},
                          "log_tail": "fatal: no"})

    def test_ready_says_which_certificate_the_door_shows(self):
        self.assertNotIn("tls", self.worker.body("ready"), "while there is none")
        seen = {"tls": "self_signed", "sha256": "0" * 64}
        self.put("run/mayfly/public/tls.json", json.dumps({**seen, "more": 1}))
        self.assertEqual(self.worker.body("ready")["tls"], seen)
        self.assertNotIn("tls", self.worker.body("ui"))
        self.put("run/mayfly/public/tls.json", json.dumps({"tls": "", "sha256": ""}))
        self.assertNotIn("tls", self.worker.body("ready"))

    def test_a_report_that_nobody_took_is_kept_and_sent_again(self):
        answers = [(503, {}), (200, {})]
        _, calls = self.serve(lambda *_: answers.pop(0))
        self.assertFalse(self.worker.send({"phase": "failed", "seconds": {}}, tries=1))
        self.worker.resend()
        self.worker.resend()
        self.assertEqual([body["phase"] for *_, body in calls], ["failed", "failed"])

    def test_the_capability_does_not_follow_a_redirect(self):
        _, elsewhere = self.serve(lambda *_: (200, {}))
        target = self.common.vm()["worker"]
        self.serve(lambda *_: (302, {}, {"Location": target + "/stolen"}))
        self.assertEqual(self.common.worker("POST", "/vm/progress", {})[0], 302)
        self.assertEqual(elsewhere, [])

    def test_a_report_is_kept_before_it_is_sent_for_whoever_is_killed_meanwhile(self):
        kept = f"{self.root}/var/lib/mayfly/progress-pending"
        def answer(*_):
            self.assertEqual(self.get("var/lib/mayfly/progress-pending"), json.dumps({"phase": "failed", "seconds": {}}))
            return 200, {}
        self.serve(answer)
        self.assertTrue(self.worker.send({"phase": "failed", "seconds": {}}, tries=1))
        self.assertFalse(os.path.exists(kept))


class Share(Machine):
    def test_a_link_of_the_users_chooses_nothing_that_root_changes(self):
        target = f"{self.root}/of-root"
        os.makedirs(target, mode=0o755)
        os.makedirs(f"{self.root}/home/dev")
        os.symlink(target, f"{self.root}/home/dev/.claude")
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.share.main()
        self.assertEqual(stat.S_IMODE(os.stat(target).st_mode), 0o755)
        self.assertEqual(os.listdir(target), [])
        self.assertFalse(os.path.islink(f"{self.root}/home/dev/.claude"))

    def in_container(self, command):
        """What git says with the settings that a command in the container finds."""
        env = f". {self.root}/run/mayfly/agent/share/env.sh"
        return os.popen(f"{env}; cd /; git init -q {self.root}/r; git -C {self.root}/r {command}").read().strip()

    def test_git_in_the_container_reaches_the_repository_as_the_clone_did(self):
        self.put("etc/mayfly/values/repo_host", "github.com")
        self.put("etc/mayfly/values/repo_url", "git@github.com:o/r.git")
        self.put("etc/mayfly/secrets/password", "pa55word")
        os.makedirs(f"{self.root}/home/dev")
        key = "-----BEGIN OPENSSH PRIVATE KEY-----\nbase64\n-----END OPENSSH PRIVATE KEY-----\n"
        here, https = "git@github.com:o/r.git", "https://github.com/o/r.git"
        for credential, fetch, push, ssh in (("", https, here, ""), ("ghp_secret", https, https, ""),
                                             (key, here, here, "ssh -F /mnt/mayfly/git/ssh_config")):
            self.put("etc/mayfly/secrets/git_token", credential)
            self.share.main()
            self.in_container(f"remote add origin {here}")
            self.assertEqual(self.in_container("remote get-url origin"), fetch)
            self.assertEqual(self.in_container("remote get-url --push origin"), push)
            self.assertEqual(self.in_container("config core.sshCommand"), ssh)
            self.assertEqual("GH_TOKEN" in json.loads(self.get("run/mayfly/agent/env.json")), credential.startswith("ghp"))
        self.assertEqual(self.get("run/mayfly/agent/share/git/key"), key)
        self.assertNotIn("base64", self.get("run/mayfly/agent/share/env.sh") + self.get("run/mayfly/agent/git-settings"))
        self.assertTrue(self.get("run/mayfly/agent/share/git/ssh_config").startswith("Include ~/.ssh/config\nHost github.com\n"))

    def test_what_the_container_gets(self):
        self.put("etc/mayfly/values/repo_host", "github.com")
        self.put("etc/mayfly/values/repo_name", "repo")
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.put("etc/mayfly/secrets/provider_credential", "whole-project")
        self.put("etc/mayfly/secrets/git_token", "ghp_secret")
        self.put("etc/mayfly/secrets/anthropic_api_key", "sk-ant-0123456789abcdefghij")
        self.put("etc/mayfly/secrets/env.json", json.dumps({"A": "it's $(id) `x`\nnext", "bad name;id": "x"}))
        os.makedirs(f"{self.root}/home/dev")
        self.share.main()
        found = ""
        for folder, _, names in os.walk(f"{self.root}/run/mayfly/agent"):
            found += "".join(self.common.read(f"{folder}/{name}") for name in names)
        self.assertNotIn("whole-project", found)
        self.assertNotIn("pa55word", found)
        self.assertNotIn(MACHINE["capability"], found)
        self.assertNotIn("bad name", found)
        got = os.popen(f". {self.root}/run/mayfly/agent/share/env.sh; printf %s \"$A|$ANTHROPIC_API_KEY\"").read()
        self.assertEqual(got, "it's $(id) `x`\nnext|sk-ant-0123456789abcdefghij")
        self.assertEqual(self.in_container("config --get-all credential.https://github.com.helper"),
                         "/mnt/mayfly/git-credential /mnt/mayfly/git")
        hidden = json.loads(self.get("run/mayfly/agent/env.json"))
        self.assertEqual(hidden["GH_TOKEN"], "ghp_secret")
        self.assertNotIn("GIT_CONFIG_COUNT", hidden, "the CLI would hide every 1 in its log")
        claude = json.loads(self.get("home/dev/.claude/.claude.json"))
        self.assertTrue(claude["hasCompletedOnboarding"])
        self.assertTrue(claude["projects"][f"{self.root}/workspaces/repo"]["hasTrustDialogAccepted"])
        self.assertIn("Notification", json.loads(self.get("home/dev/.claude/settings.json"))["hooks"])

    def agent_of_the_worker(self):
        """A VM whose agent asks through the Worker, as the boot exchange and share.py leave it."""
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.put("etc/mayfly/secrets/anthropic_api_key", "mfc1.k1.first.sig")
        self.put("etc/mayfly/secrets/env.json", json.dumps({"ANTHROPIC_BASE_URL": "https://worker.example/vm/anthropic"}))
        os.makedirs(f"{self.root}/home/dev", exist_ok=True)
        self.share.main()

    def test_a_capability_in_place_of_the_key_is_a_file_that_can_be_renewed(self):
        self.agent_of_the_worker()
        env = json.loads(self.get("run/mayfly/agent/env.json"))
        self.assertEqual(set(env), {"ANTHROPIC_BASE_URL", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"})
        self.assertNotIn("mfc1.", self.get("run/mayfly/agent/share/env.sh"))
        settings = json.loads(self.get("run/mayfly/agent/share/agent-settings.json"))
        helper = settings["apiKeyHelper"].replace("/mnt/mayfly", f"{self.root}/run/mayfly/agent/share")
        self.assertEqual(os.popen(helper).read(), "mfc1.k1.first.sig")
        claude = self.get("home/dev/.claude/.claude.json")
        self.assertTrue(json.loads(claude)["hasCompletedOnboarding"])
        self.assertNotIn("mfc1", claude + self.get("home/dev/.claude/settings.json"), "it would be saved with the settings")

    def test_the_capability_is_renewed_and_what_fails_leaves_the_old_one(self):
        self.agent_of_the_worker()
        file = "run/mayfly/agent/share/agent-token"
        _, calls = self.serve(lambda *_: (200, {"token": "mfc1.k1.second.sig", "base_url": "x", "expires": 1}))
        self.assertEqual(self.agent.main(), 0)
        self.assertEqual([(method, path, body) for method, path, _, body in calls], [("POST", "/vm/token", {"scope": "agent"})])
        self.assertEqual(self.get(file), "mfc1.k1.second.sig")
        self.assertEqual(os.stat(f"{self.root}/{file}").st_mode & 0o777, 0o444)
        self.share.main()
        self.assertEqual(self.get(file), "mfc1.k1.second.sig", "the one of the boot is older")
        for answer in ((404, {"code": "vm_not_found"}), (200, {}), (200, {"token": 7}), (503, {})):
            self.serve(lambda *_, answer=answer: answer)
            self.assertEqual(self.agent.main(), 1)
            self.assertEqual(self.get(file), "mfc1.k1.second.sig")

    def test_whoever_has_a_key_of_their_own_asks_for_no_capability(self):
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.put("etc/mayfly/secrets/anthropic_api_key", "sk-ant-0123456789abcdefghij")
        os.makedirs(f"{self.root}/home/dev")
        self.share.main()
        _, calls = self.serve(lambda *_: (200, {"token": "mfc1.k1.second.sig"}))
        self.assertEqual(self.agent.main(), 0)
        self.assertEqual(calls, [])
        self.assertFalse(os.path.exists(f"{self.root}/run/mayfly/agent/share/agent-settings.json"))

    def test_without_a_credential_claude_asks_for_a_login_once(self):
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.put("etc/mayfly/secrets/env.json", json.dumps({"OTHER": "x"}))
        os.makedirs(f"{self.root}/home/dev")
        self.share.main()
        self.assertFalse(json.loads(self.get("home/dev/.claude/.claude.json"))["hasCompletedOnboarding"])
        for secret, env in (("token", {}), ("", {"ANTHROPIC_AUTH_TOKEN": "x"}), ("", {"CLAUDE_CODE_USE_BEDROCK": "1"})):
            os.remove(f"{self.root}/home/dev/.claude/.claude.json")
            self.put("etc/mayfly/secrets/claude_code_oauth_token", secret)
            self.put("etc/mayfly/secrets/env.json", json.dumps(env))
            self.share.main()
            self.assertTrue(json.loads(self.get("home/dev/.claude/.claude.json"))["hasCompletedOnboarding"])

    def test_a_users_settings_survive_a_reboot(self):
        self.put("etc/mayfly/secrets/password", "pa55word")
        self.put("home/dev/.claude/settings.json", '{"mine": 1}')
        self.share.main()
        self.assertEqual(self.get("home/dev/.claude/settings.json"), '{"mine": 1}')


class Devcontainers(Machine):
    def test_the_three_places_in_order(self):
        folder = f"{self.root}/workspaces/repo"
        os.makedirs(folder)
        self.assertEqual(self.devcontainer.choose(folder), "")
        self.put("workspaces/repo/.devcontainer/b/devcontainer.json", "{}")
        self.put("workspaces/repo/.devcontainer/a/devcontainer.json", "{}")
        self.assertEqual(self.devcontainer.choose(folder), f"{folder}/.devcontainer/a/devcontainer.json")
        self.put("workspaces/repo/.devcontainer.json", "{}")
        self.assertEqual(self.devcontainer.choose(folder), f"{folder}/.devcontainer.json")
        self.put("workspaces/repo/.devcontainer/devcontainer.json", "{}")
        self.assertEqual(self.devcontainer.choose(folder), f"{folder}/.devcontainer/devcontainer.json")

    def test_comments_and_trailing_commas(self):
        text = '{ // a comment\n "image": "x//y", /* and\n more */ "list": [1, 2, ], "s": "a /* b */, }", }'
        self.assertEqual(self.devcontainer.from_jsonc(text), {"image": "x//y", "list": [1, 2], "s": "a /* b */, }"})

    def test_what_reaches_for_the_host(self):
        for config, found in (
            ({"image": "x", "features": {}, "postCreateCommand": "make"}, []),
            ({"image": "x", "privileged": False, "capAdd": [], "mounts": ["source=v,target=/v,type=volume"]}, []),
            ({"image": "x", "privileged": True}, ["privileged"]),
            ({"initializeCommand": "id"}, ["initializeCommand"]),
            ({"runArgs": ["--pid=host"]}, ["runArgs"]),
            ({"mounts": ["source=/,target=/host,type=bind"]}, ["mounts"]),
            ({"mounts": [{"type": "bind", "source": "/", "target": "/h"}]}, ["mounts"]),
            ({"mounts": ["source=/etc,target=/v,type=volume"]}, ["mounts"]),
            ({"dockerComposeFile": "c.yml"}, ["dockerComposeFile"]),
            ({"workspaceMount": "source=/,target=/w,type=bind"}, ["workspaceMount"]),
            ({"build": {"dockerfile": "D", "options": ["--network=host"]}}, ["build.options"]),
            ({"containerEnv": {"K": "${localEnv:HOME}"}}, ["localEnv"]),
            ({"somethingNew": 1}, ["somethingNew"]),
            ({"mounts": None, "initializeCommand": "id"}, ["mounts", "initializeCommand"]),
            ({"mounts": [None]}, ["mounts"]),
            ({"mounts": ["type=volume,source=x,target=/h,volume-driver=local,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/"]}, ["mounts"]),
            ({"mounts": [{"type": "volume", "source": "x", "target": "/h", "volume-opt": "device=/"}]}, ["mounts"]),
            ({"mounts": [{"type": "volume", "source": ["/"], "target": "/h"}]}, ["mounts"]),
        ):
            self.assertEqual(self.devcontainer.reaches(config), found, config)

    def test_what_is_not_understood_is_not_harmless(self):
        for text in ("{", '{"a": ' * 5000, '{"image": "x", "mounts": 5}'):
            path = self.put("config.json", text)
            with mock.patch.object(self.devcontainer.sys, "argv", ["devcontainer.py", "reaches", path]), mock.patch("builtins.print") as said:
                self.devcontainer.main()
            self.assertTrue(said.call_args.args[0], text[:20])

    def test_what_an_images_metadata_asks_for_counts_too(self):
        self.assertEqual(self.devcontainer.metadata('[{"remoteUser": "dev"}, {"id": "f", "privileged": true}]'), ["privileged"])
        self.assertEqual(self.devcontainer.metadata(""), [])


class Rendering(Machine):
    def test_nobody_listed_means_everybody_and_a_list_means_nobody_else(self):
        self.assertIn("chain visitors {\n\t\taccept\n\t}", self.firewall.render([], "", 1000, 900))
        rules = self.firewall.render(["198.51.100.0/24", "2001:db8::/32"], "nameserver 10.0.0.2\nnameserver bad\n", 1000, 900)
        self.assertIn("elements = { 198.51.100.0/24 };", rules)
        self.assertIn("elements = { 2001:db8::/32 };", rules)
        self.assertIn("ip6 saddr @allow6 accept\n\t\tdrop", rules)
        self.assertIn("ip daddr 10.0.0.2 meta l4proto { tcp, udp } th dport 53 accept", rules)
        self.assertNotIn("bad", rules)

    def test_own_domain_comes_first_and_the_address_stays(self):
        text = self.caddyfile.render(["w.example.com", "203.0.113.7"], "redir * /x")
        self.assertIn("https://w.example.com, https://203.0.113.7 {", text)
        self.assertIn("default_sni w.example.com", text)
        self.assertIn("profile shortlived", text)
        self.assertNotIn("issuer acme", self.caddyfile.render(["203.0.113.7"], "", self_signed=True))
        self.assertIn("https://[2001:db8::1] {", self.caddyfile.render(["2001:db8::1"], ""))


class Scrub(Machine):
    def test_only_a_disk_that_is_for_everybody_loses_its_workspace(self):
        for repository, is_left in (("https://git.example/o/repo.git", True), ("", False)):
            self.put("etc/mayfly/values/repo_url", repository)
            work = self.put("workspaces/repo/work", "of somebody")
            self.assertTrue(self.scrub.away())
            self.assertEqual(os.path.exists(work), is_left, repository)


class Spot(Machine):
    def metadata(self, answers):
        url, calls = self.serve(lambda method, path, headers, body: answers.get((method, path), (404, {})))
        return mock.patch.object(self.spot, "METADATA", url + "/latest"), calls

    def test_a_notice_is_read_with_a_session(self):
        answers = {("PUT", "/latest/api/token"): (200, "session"),
                   ("GET", "/latest/meta-data/spot/instance-action"): (200, {"action": "terminate", "time": "2026-11-20T10:02:00Z"})}
        patch, calls = self.metadata(answers)
        with patch:
            self.assertEqual(self.spot.notice(), "terminate")
        sent = [{name.lower(): value for name, value in headers.items()} for _, _, headers, _ in calls]
        self.assertEqual(sent[0]["x-aws-ec2-metadata-token-ttl-seconds"], "60")
        self.assertEqual(sent[1]["x-aws-ec2-metadata-token"], '"session"')

    def test_nothing_said_is_nothing(self):
        for answers in ({}, {("PUT", "/latest/api/token"): (200, "session")},
                        {("PUT", "/latest/api/token"): (200, "session"),
                         ("GET", "/latest/meta-data/spot/instance-action"): (200, ["odd"])}):
            patch, _ = self.metadata(answers)
            with patch:
                self.assertIsNone(self.spot.notice())


class LogTail(Machine):
    def test_the_ends_of_what_is_written_now_go_without_secrets(self):
        _, calls = self.serve(lambda *_: (200, {"kept": True}))
        sent = {}
        self.assertTrue(self.logtail.send(sent))
        self.assertEqual(calls, [], "there is nothing to tell yet")
        self.put("etc/mayfly/secrets/git_token", "ghp_a-very-secret-token")
        self.put("var/log/mayfly/boot.log", "phase clone\n")
        self.put("var/log/mayfly/base.log", "old step\n", age=60, wall=1_000_000)
        self.put("var/log/mayfly/clone.log", "x" * 5000 + "\nwith ghp_a-very-secret-token\n")
        self.put("var/log/mayfly/idle.log", "verdict\n")
        self.assertTrue(self.logtail.send(sent))
        [(method, path, _, body)] = calls
        self.assertEqual((method, path, body["source"]), ("POST", "/vm/log", "boot"))
        self.assertTrue(body["tail"].startswith("phase clone\n\n--- clone.log\nxxx"), body["tail"][:60])
        self.assertTrue(body["tail"].endswith("\nwith [secret]\n"), body["tail"][-40:])
        self.assertLessEqual(len(body["tail"]), 4000)
        self.assertTrue(self.logtail.send(sent))
        self.assertEqual(len(calls), 1, "nothing is new")
        self.put("var/log/mayfly/devcontainer.log", "\U0001f600" * 3000)
        self.assertTrue(self.logtail.send(sent))
        self.assertEqual(calls[1][3]["source"], "build")
        self.assertLessEqual(len(calls[1][3]["tail"].encode()), 8192)

    def test_where_no_logs_are_kept_it_asks_once(self):
        _, calls = self.serve(lambda *_: (404, {"code": "log_not_kept"}))
        self.put("var/log/mayfly/boot.log", "phase clone\n")
        with mock.patch.object(self.logtail.sys, "argv", ["logtail.py", "follow"]):
            self.logtail.main()
        self.assertEqual(len(calls), 1)

    def test_a_worker_in_trouble_is_asked_again(self):
        answers = iter([(502, {}), (200, {"kept": True})])
        _, calls = self.serve(lambda *_: next(answers))
        self.put("var/log/mayfly/boot.log", "phase clone\n")
        sent = {}
        self.assertTrue(self.logtail.send(sent))
        self.assertTrue(self.logtail.send(sent))
        self.assertEqual((len(calls), list(sent)), (2, ["boot"]))


if __name__ == "__main__":
    unittest.main()
