"""Backups on the VM, by restic itself: what is saved and what is not, what comes back, and that no failure passes for success.

The repository is a folder here; the Worker's part of it has tests of its own."""
import datetime
import glob
import json
import os
import shutil
import subprocess
import unittest
from unittest import mock

from support import MACHINE, Machine

MINUTE = 60


@unittest.skipUnless(shutil.which("restic"), "no restic here")
class Backups(Machine):
    def setUp(self):
        super().setUp()
        self.put("etc/mayfly/secrets/backup_password", "the password of the repository")
        self.put("etc/mayfly/values/repo_name", "repo")
        self.repository = f"{self.root}/repository"
        self.scopes = []
        self.gives = {"backup": True, "prune": True}

        def connect(scope="backup"):
            self.scopes.append(scope)
            if not self.gives[scope]:
                if scope == "prune":
                    return False
                raise self.backup.Failed("no token: 503 backups_not_configured")
            self.put("run/mayfly/backup/repository", self.repository)
            return True
        patch = mock.patch.object(self.backup, "connect", connect)
        patch.start()
        self.addCleanup(patch.stop)
        self.now = 1000.0
        patch = mock.patch.object(self.signals, "boot_seconds", lambda: self.now)
        patch.start()
        self.addCleanup(patch.stop)
        self.workspace = f"{self.root}/workspaces/repo"
        os.makedirs(self.workspace)
        subprocess.run(["git", "init", "-q", "-b", "main", self.workspace], check=True)
        self.put("workspaces/repo/tracked", "one")
        self.put("home/dev/.claude/projects/x/session.jsonl", '{"said": "hello"}\n')
        self.put("home/dev/.claude/.credentials.json", "a login made by hand")
        self.put("home/dev/.bash_history", "make\n")
        self.put("home/dev/.claude/.bash_history", "cargo test\n")

    def run_backup(self, what, expect=0):
        with mock.patch("builtins.print") as said:
            status = self.backup.main(what, patience=1)
        self.said = " ".join(str(it) for call in said.call_args_list for it in call.args)
        self.assertEqual(status, expect, self.said)

    def restic_that_cannot_read(self, *paths):
        """restic as it is, and its words for files that it could not read."""
        told = "".join(json.dumps({"message_type": "error", "error": {"Op": "read", "Err": 5}, "during": "archival", "item": it}) + "\n" for it in paths)
        self.put("bin/told", told)
        self.put("bin/restic", f'#!/bin/sh\n{shutil.which("restic")} "$@" || exit\n[ "$1" != backup ] || {{ cat {self.root}/bin/told >&2; exit 3; }}\n')
        os.chmod(f"{self.root}/bin/restic", 0o755)
        return mock.patch.dict(os.environ, {"PATH": f"{self.root}/bin:{os.environ['PATH']}"})

    def test_a_file_that_cannot_be_read_is_not_saved_and_one_that_is_gone_is_no_loss(self):
        with self.restic_that_cannot_read(f"{self.workspace}/gone"):
            self.run_backup("last")
        with self.restic_that_cannot_read(f"{self.workspace}/gone", f"{self.workspace}/tracked"):
            self.run_backup("last", expect=1)
        self.assertIn(f"but for 1 that cannot be read: {self.workspace}/tracked", self.said)
        self.assertEqual(len(self.snapshots()), 2, "what could be read is kept")
        self.run_backup("last")

    def snapshots(self):
        env = {**self.backup.environment(), "PATH": os.environ["PATH"]}
        done = subprocess.run(["restic", "snapshots", "--json", "--no-lock"], env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def lose(self):
        shutil.rmtree(f"{self.root}/workspaces")
        shutil.rmtree(f"{self.root}/home")

    def test_what_was_saved_comes_back_at_the_same_place(self):
        self.put("workspaces/repo/new/untracked", "two")
        self.put("workspaces/repo/.env", "KEY=value")
        os.chmod(f"{self.workspace}/.env", 0o600)
        os.symlink("tracked", f"{self.workspace}/link")
        os.chown(f"{self.workspace}/tracked", 1000, 1000)
        self.run_backup("last")
        self.assertIn("verified", self.said)
        self.lose()
        self.run_backup("restore")
        self.assertEqual(self.get("workspaces/repo/new/untracked"), "two")
        self.assertEqual(os.stat(f"{self.workspace}/.env").st_mode & 0o777, 0o600)
        self.assertEqual(os.readlink(f"{self.workspace}/link"), "tracked")
        self.assertEqual(os.stat(f"{self.workspace}/tracked").st_uid, 1000)
        self.assertEqual(self.get("home/dev/.claude/projects/x/session.jsonl"), '{"said": "hello"}\n')
        self.assertEqual(self.get("home/dev/.claude/.credentials.json"), "a login made by hand")
        self.assertEqual(self.get("home/dev/.bash_history"), "make\n")
        self.assertEqual(self.get("home/dev/.claude/.bash_history"), "cargo test\n")
        self.assertTrue(os.path.isdir(f"{self.workspace}/.git"))

    def test_only_ignored_folders_that_a_build_makes_again_are_left_out(self):
        self.put("workspaces/repo/.gitignore", "node_modules\nsecret*\n/target/\nbuild\n*.log\n")
        for path in ("node_modules/a/b", "sub/node_modules/c", "target/debug/x", "build", "secrets/key", "run.log",
                     "o[d]d/node_modules/y", "dist/kept"):
            self.put(f"workspaces/repo/{path}", "x")
        self.run_backup("last")
        self.lose()
        self.run_backup("restore")
        there = sorted(os.path.relpath(path, self.workspace) for path in glob.glob(f"{self.workspace}/**", recursive=True)
                       if os.path.isfile(path))
        # `build` is a file here, and `dist` is not ignored.
        self.assertEqual(there, ["build", "dist/kept", "run.log", "secrets/key", "tracked"])

    def test_a_workspace_that_git_cannot_read_is_saved_whole(self):
        self.put("workspaces/repo/.gitignore", "node_modules\n")
        self.put("workspaces/repo/node_modules/x", "x")
        self.assertEqual(self.backup.excludes(), [f"{self.workspace}/node_modules"])
        self.put("workspaces/repo/.git/config", "rubbish [")
        self.assertEqual(self.backup.excludes(), [])

    def pretend(self):
        """No restic: only how often what was asked of it. Answers the list of saves and of restic's commands."""
        saves, commands = [], []

        def save(_restic):
            saves.append(self.now)
            return "0123456789abcdef"
        for patch in (mock.patch.object(self.backup, "save", save), mock.patch.object(self.backup, "verify", lambda *_: None),
                      mock.patch.object(self.backup.Restic, "__call__", lambda _, *args, **more: commands.append(args[0]))):
            patch.start()
            self.addCleanup(patch.stop)
        return saves, commands

    def test_a_tick_saves_when_somebody_has_worked_since(self):
        saves, _ = self.pretend()
        idle = {"boot_id": "b", "seen": {"files": 900}}
        self.put("run/mayfly/idle.json", json.dumps(idle))
        self.run_backup("tick")
        self.now += 15 * MINUTE
        self.run_backup("tick")
        self.assertEqual(len(saves), 1, "nobody has worked")
        self.put("run/mayfly/idle.json", json.dumps({**idle, "seen": {"files": self.now - MINUTE}}))
        self.run_backup("tick")
        self.assertEqual(len(saves), 2)
        self.put("run/mayfly/idle.json", json.dumps({**idle, "boot_id": "another boot", "seen": {"files": 5}}))
        self.run_backup("tick")
        self.assertEqual(len(saves), 3)

    def test_old_backups_go_once_a_day_when_the_worker_agrees(self):
        saves, commands = self.pretend()
        self.gives["prune"] = False
        self.run_backup("tick")
        self.assertEqual((self.scopes, commands), (["backup", "prune"], []))
        self.gives["prune"] = True
        self.run_backup("tick")
        self.assertIn("tidied", self.said)
        self.assertEqual(commands, ["forget", "forget"])
        self.assertEqual(self.scopes[2:], ["backup", "prune", "backup"], "it goes on with what can delete nothing")
        self.scopes.clear()
        self.run_backup("tick")
        self.run_backup("last")
        self.assertEqual((self.scopes, commands, len(saves)), (["backup", "backup"], ["forget", "forget"], 4))

    def test_tidying_takes_no_vm_s_last_state_away(self):
        self.backup.connect()
        restic = self.backup.Restic(300)
        restic("init")

        def saved(vm, age_days):
            when = datetime.datetime.now() - datetime.timedelta(days=age_days)
            restic("backup", "--host", "mayfly", "--tag", f"vm-{vm}", "--time", when.strftime("%Y-%m-%d %H:%M:%S"), self.workspace)
        # Two VMs side by side, then one that went on for days; and one of long ago.
        for vm, age in (("long-ago", 120), ("one", 20.02), ("two", 20.01), ("two", 20), *(("three", 4 + it / 1000) for it in range(20))):
            saved(vm, age)
        self.backup.tidy(restic)
        kept = [it["tags"][0].removeprefix("vm-") for it in self.snapshots()]
        self.assertIn("one", kept)
        self.assertIn("two", kept)
        self.assertNotIn("long-ago", kept, "three months are enough")
        self.assertLess(kept.count("three"), 20)

    def test_what_is_saved_nowhere_is_told_once_and_its_end_too(self):
        told = []

        def worker(method, path, body=None, timeout=20):
            told.append((path, body["saved"]))
            return (200 if self.hears else 503), {}, {}
        patch = mock.patch.object(self.common, "worker", worker)
        patch.start()
        self.addCleanup(patch.stop)
        self.hears = True
        self.backup.tell(is_saved=True)
        self.assertEqual(told, [], "that is no news")
        self.hears = False
        self.backup.tell(is_saved=False)
        self.hears = True
        self.backup.tell(is_saved=False)
        self.backup.tell(is_saved=False)
        self.assertEqual(told, [("/vm/progress", False)] * 2, "again until it is heard, then no more")
        self.run_backup("last")
        self.assertEqual(told[2:], [("/vm/progress", True)])
        # A tick that fails is told when it has failed for long.
        self.gives["backup"] = False
        self.run_backup("tick", expect=1)
        self.assertEqual(len(told), 3)
        record = self.common.load(self.backup.RECORD)
        self.put("var/lib/mayfly/backup.json", json.dumps({**record, "saved": record["saved"] - self.backup.OVERDUE_SECS - 1}))
        self.run_backup("tick", expect=1)
        self.assertEqual(told[3:], [("/vm/progress", False)])

    def test_a_failure_is_never_a_success(self):
        self.gives["backup"] = False
        self.run_backup("last", expect=1)
        self.gives["backup"] = True
        self.run_backup("last")
        real = self.backup.Restic.__call__

        def damaged(command, answer):
            def call(restic, *args, **more):
                if args[0] != command:
                    return real(restic, *args, **more)
                if answer is None:
                    raise self.backup.Failed(f"restic {command}: status 1: pack is missing")
                return answer
            return mock.patch.object(self.backup.Restic, "__call__", call)
        for command, answer in (("check", None), ("snapshots", "[]"), ("backup", '{"message_type": "status"}')):
            with damaged(command, answer):
                self.run_backup("last", expect=1)
            self.assertNotIn("verified", self.said)
        self.put("etc/mayfly/secrets/backup_password", "another password")
        self.run_backup("last", expect=1)
        with mock.patch.object(self.backup, "LAST_SECS", 0):
            self.run_backup("last", expect=1)
        self.assertIn("no time left", self.said)

    def test_without_backups_and_without_a_backup_there_is_nothing_to_do(self):
        self.lose()
        self.run_backup("restore", expect=75)
        os.remove(f"{self.root}/etc/mayfly/secrets/backup_password")
        for what in ("tick", "last", "restore"):
            self.run_backup(what, expect=75)
        self.assertEqual(self.scopes, ["backup"])

    def test_what_was_wished_is_put_back(self):
        self.run_backup("last")
        first = self.snapshots()[0]["id"]
        self.put("workspaces/repo/tracked", "two")
        self.run_backup("last")
        for wish, text in ((first, "one"), ("", "two")):
            self.lose()
            self.put("etc/mayfly/secrets/restore", wish)
            self.run_backup("restore")
            self.assertEqual(self.get("workspaces/repo/tracked"), text)
        self.run_backup("restore", expect=75)  # a reboot: what is there stays
        self.lose()
        self.put("etc/mayfly/secrets/restore", "none")
        self.run_backup("restore", expect=75)
        self.put("etc/mayfly/secrets/restore", "0" * 64)
        self.run_backup("restore", expect=1)

    def test_what_else_is_in_the_snapshot_is_not_put_back(self):
        self.run_backup("last")
        env = {**self.backup.environment(), "PATH": os.environ["PATH"]}
        self.put("etc/cron.d/evil", "* * * * * root true\n")
        subprocess.run(["restic", "backup", "--host", "mayfly", f"{self.root}/etc/cron.d", self.workspace], env=env, check=True,
                       capture_output=True)
        self.lose()
        os.remove(f"{self.root}/etc/cron.d/evil")
        self.run_backup("restore")
        self.assertTrue(os.path.exists(f"{self.workspace}/tracked"))
        self.assertFalse(os.path.exists(f"{self.root}/etc/cron.d/evil"))

    def test_one_at_a_time_and_the_last_one_does_not_wait_for_ever(self):
        import fcntl
        stopped = []
        saves, _ = self.pretend()
        with open(self.put("run/mayfly/backup/lock", ""), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run_backup("tick")
            self.assertEqual(saves, [])

            def stop(command, **_):
                stopped.append(command)
                fcntl.flock(lock, fcntl.LOCK_UN)
            real = subprocess.run
            with mock.patch.object(subprocess, "run", lambda command, **more: stop(command) if command[0] == "systemctl" else real(command, **more)):
                self.run_backup("last")
        self.assertEqual(stopped, [["systemctl", "stop", "mayfly-backup.service"]])
        self.assertEqual(len(saves), 1)


class Tokens(Machine):
    def test_the_token_is_in_files_of_roots_alone_and_in_nobodys_arguments(self):
        self.put("etc/mayfly/secrets/backup_password", "the password")
        token = "mfc1.k1.abc-DEF_123.sig"
        _, calls = self.serve(lambda *_: (200, {"token": token, "repository": "https://w.example/vm/backup/ann/h~o~r/", "expires": 1}))
        self.assertTrue(self.backup.connect())
        method, path, headers, body = calls[0]
        self.assertEqual((method, path, body), ("POST", "/vm/token", {"scope": "backup"}))
        self.assertEqual(headers["Authorization"], "Bearer " + MACHINE["capability"])
        self.assertEqual(self.get("run/mayfly/backup/repository"), f"rest:https://mayfly:{token}@w.example/vm/backup/ann/h~o~r/")
        folder = f"{self.root}/run/mayfly/backup"
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        for name in os.listdir(folder):
            self.assertEqual(os.stat(f"{folder}/{name}").st_mode & 0o777, 0o600, name)
        self.assertNotIn(token, " ".join(self.backup.environment().values()))
        self.assertEqual(self.backup.masked(f"dial https://x:{token}@y"), "dial https://x:[token]@y")

    def test_the_key_of_an_s3_store_is_in_restics_environment_alone(self):
        self.put("etc/mayfly/secrets/backup_password", "the password")
        self.put("etc/mayfly/secrets/backup_s3_secret", "the/secret+of=the key")
        place = "s3:https://s3.example/kept/mayfly/ann/h~o~r"
        self.serve(lambda *_: (200, {"token": "", "repository": place, "expires": 1, "s3": {"access_key_id": "AKID", "region": "eu-central-1"}}))
        self.assertTrue(self.backup.connect())
        self.assertEqual(self.get("run/mayfly/backup/repository"), place)
        env = self.backup.environment()
        self.assertEqual({key: env[key] for key in env if key.startswith("AWS_")}, {
            "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "the/secret+of=the key", "AWS_DEFAULT_REGION": "eu-central-1"})
        for name in os.listdir(f"{self.root}/run/mayfly/backup"):
            self.assertNotIn("the/secret", self.get(f"run/mayfly/backup/{name}"), name)
        self.assertEqual(self.backup.masked("403 the/secret+of=the key"), "403 [token]")
        # A Worker that has a bucket of its own again: the key goes with the answer.
        self.serve(lambda *_: (200, {"token": "t", "repository": "https://w.example/vm/backup/ann/h~o~r/", "expires": 1}))
        self.assertTrue(self.backup.connect())
        self.assertFalse([key for key in self.backup.environment() if key.startswith("AWS_")])

    def test_a_refusal_is_a_failure_but_for_tidying_up(self):
        for status, answer in ((404, {"code": "backups_not_configured"}), (409, {"code": "prune_not_due"}), (200, {}),
                               (200, {"token": "t", "repository": "file:///etc"}), (0, {}),
                               (200, {"token": "t", "repository": "s3:https://s3.example/b/x"}), (200, {"repository": "https://w.example/x/"}),
                               (200, {"token": "t", "repository": "s3:/etc", "s3": {"access_key_id": "A", "region": "r"}})):
            self.serve(lambda *_, answer=(status or 503, answer): answer)
            self.assertFalse(self.backup.connect("prune"))
            with self.assertRaises(self.backup.Failed):
                self.backup.connect()


if __name__ == "__main__":
    unittest.main()
