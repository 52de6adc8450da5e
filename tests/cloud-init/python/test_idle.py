"""Idle: every signal on its own, the decision, the clock, and one whole tick with a Worker that answers."""
import contextlib
import email.utils
import json
import os
import subprocess
import time
import types
import unittest
from unittest import mock

from support import Machine

WALL, BOOT = 2_000_000_000.0, 5_000.0


class Signals(Machine):
    def sample(self, past=None, wall=WALL, boot=BOOT):
        if not os.listdir(f"{self.root}/proc"):
            self.process(1, 0, "systemd", 0)
        return self.signals.Sample(past or {}, wall, boot)

    def after(self, seconds, first, change, signal):
        """What a signal says `seconds` after the first look and a change."""
        signal(first)
        change()
        return signal(self.sample(json.loads(json.dumps(first.keep)), WALL + seconds, BOOT + seconds))

    def spool(self, name, word, age=0):
        self.put(f"run/mayfly/agent/share/spool/{name}", word, age=age, wall=WALL)

    def test_agent_that_thinks_without_a_trace_is_at_work_while_it_lives(self):
        self.process(50, 1, "claude", 10)
        self.spool("s1", "working", age=40 * 60)
        self.assertEqual(self.signals.agent(self.sample()), 0)
        self.process(50, 1, "bash", 10)
        self.assertIsNone(self.signals.agent(self.sample()))

    def test_agent_that_waits_or_is_done_is_not_at_work(self):
        self.process(50, 1, "claude", 10)
        for word in ("waiting", "done", "working\0", "nonsense"):
            self.spool("s1", word)
            self.assertIsNone(self.signals.agent(self.sample()), word)

    def test_agent_whose_turn_never_ended_is_not_believed_for_ever(self):
        self.process(50, 1, "claude", 10)
        self.spool("s1", "working", age=self.signals.TURN_SECS + 60)
        self.assertIsNone(self.signals.agent(self.sample()))

    def test_a_tool_that_the_agent_runs_counts_through_its_cpu_time(self):
        self.process(50, 1, "claude", 10)
        self.process(51, 50, "sh", 0)
        self.process(52, 51, "pytest", 100)
        found = self.after(60, self.sample(), lambda: self.process(52, 51, "pytest", 100 + 10 * self.signals.TICKS), self.signals.agent)
        self.assertEqual(found, 0)

    def test_an_agent_that_only_blinks_is_not_at_work(self):
        self.process(50, 1, "claude", 10)
        found = self.after(60, self.sample(), lambda: self.process(50, 1, "claude", 10 + self.signals.TICKS), self.signals.agent)
        self.assertIsNone(found)

    def test_somebody_elses_cpu_is_not_the_agents(self):
        self.process(50, 1, "claude", 10)
        self.process(60, 1, "node", 0)
        found = self.after(60, self.sample(), lambda: self.process(60, 1, "node", 50 * self.signals.TICKS), self.signals.agent)
        self.assertIsNone(found)

    def test_links_in_the_spool_are_not_followed(self):
        os.makedirs(f"{self.root}/run/mayfly/agent/share/spool")
        os.symlink(self.put("etc/elsewhere", "working"), f"{self.root}/run/mayfly/agent/share/spool/s1")
        self.assertEqual(self.signals.spool(), [])

    def test_transcript_is_as_old_as_its_newest_file(self):
        self.put("home/dev/.claude/projects/a/1.jsonl", "", age=300, wall=WALL)
        self.put("home/dev/.claude/projects/a/2.jsonl", "", age=120, wall=WALL)
        self.put("home/dev/.claude/projects/a/other.txt", "", age=1, wall=WALL)
        self.assertAlmostEqual(self.signals.transcript(self.sample()), 120, delta=1)

    def test_files_are_the_workspaces_without_what_tools_make(self):
        self.put("etc/mayfly/values/repo_name", "repo")
        self.put("workspaces/repo/a.txt", "", age=600, wall=WALL)
        for path in (".git/index", "node_modules/x/y.js", "sub/target/z", ".venv/lib/q"):
            self.put(f"workspaces/repo/{path}", "", age=5, wall=WALL)
        self.assertAlmostEqual(self.signals.files(self.sample()), 600, delta=1)
        self.put("workspaces/repo/deep/er/b.txt", "", age=30, wall=WALL)
        self.assertAlmostEqual(self.signals.files(self.sample()), 30, delta=1)

    def test_files_from_the_future_are_no_evidence(self):
        self.put("etc/mayfly/values/repo_name", "repo")
        self.put("workspaces/repo/a.txt", "", age=-86400, wall=WALL)
        self.assertIsNone(self.signals.files(self.sample()))

    def test_no_workspace_yet_is_no_sign_of_work(self):
        self.assertIsNone(self.signals.files(self.sample()))
        self.assertIsNone(self.signals.transcript(self.sample()))

    def terminal(self, number, typed, printed):
        path = self.put(f"dev/pts/{number}", "")
        os.utime(path, (WALL - typed, WALL - printed))

    def ss(self, ports):
        """Stands in for `ss`: {port: {peer: bytes}}."""
        def run(command, **_):
            port = int(command[-1].split(":")[1].split()[0])
            lines = "".join(f"0 0 203.0.113.7:{port} {peer}\n\t cubic bytes_sent:9 bytes_received:{count} segs_out:1\n"
                            for peer, count in ports.get(port, {}).items())
            return types.SimpleNamespace(stdout=lines, returncode=0)
        return mock.patch.object(self.signals.subprocess, "run", run)

    def test_typing_counts_and_output_does_not(self):
        self.terminal(3, typed=1800, printed=1)
        with self.ss({}):
            self.assertAlmostEqual(self.signals.connection(self.sample()), 1800, delta=1)
            self.terminal(3, typed=7, printed=1)
            self.assertAlmostEqual(self.signals.connection(self.sample()), 7, delta=1)

    def test_a_terminal_of_ssh_is_sshs(self):
        self.process(1, 0, "systemd", 0)
        self.process(70, 1, "sshd-session", 0)
        self.process(71, 70, "bash", 0, terminal=(136 << 8) | 4)
        self.terminal(4, typed=20, printed=1)
        with self.ss({}):
            self.assertAlmostEqual(self.signals.ssh(self.sample()), 20, delta=1)
            self.assertIsNone(self.signals.connection(self.sample()))

    def test_an_open_but_silent_tab_is_not_activity_and_a_used_one_is(self):
        silent, used = {443: {"198.51.100.1:5": 90_000}}, {443: {"198.51.100.1:5": 120_000}}
        ping = {443: {"198.51.100.1:5": 90_400}}
        with self.ss(silent):
            first = self.sample()
            self.assertIsNone(self.signals.connection(first))
        past = json.loads(json.dumps(first.keep))
        with self.ss(ping):
            self.assertIsNone(self.signals.connection(self.sample(past, WALL + 60, BOOT + 60)))
        with self.ss(used):
            self.assertEqual(self.signals.connection(self.sample(past, WALL + 60, BOOT + 60)), 0)

    def test_a_silent_ssh_session_is_not_activity_and_an_editors_traffic_is(self):
        with self.ss({22: {"198.51.100.1:6": 50_000}}):
            first = self.sample()
            self.assertIsNone(self.signals.ssh(first))
        past = json.loads(json.dumps(first.keep))
        with self.ss({22: {"198.51.100.1:6": 50_300}}):
            self.assertIsNone(self.signals.ssh(self.sample(past, WALL + 60, BOOT + 60)))
        with self.ss({22: {"198.51.100.1:6": 90_000}}):
            self.assertEqual(self.signals.ssh(self.sample(past, WALL + 60, BOOT + 60)), 0)
        # Strangers who try the door are gone by the next look.
        with self.ss({22: {"198.51.100.1:6": 50_000, **{f"203.0.113.9:{port}": 4000 for port in range(9)}}}):
            self.assertIsNone(self.signals.ssh(self.sample(past, WALL + 60, BOOT + 60)))

    def test_without_ss_the_signal_is_unknown_and_not_silent(self):
        with mock.patch.object(self.signals.subprocess, "run", side_effect=FileNotFoundError("ss")):
            with self.assertRaises(OSError):
                self.signals.connection(self.sample())

    def test_something_done_in_the_ui_is_activity(self):
        self.put("run/mayfly/door/active", "", age=90, wall=WALL)
        with self.ss({}):
            self.assertAlmostEqual(self.signals.connection(self.sample()), 90, delta=1)

    def test_the_devcontainers_own_build_counts_while_its_process_lives(self):
        self.process(1, 0, "systemd", 0)
        self.process(80, 1, "boot", 0)
        self.put("run/mayfly/building", "80\n")
        self.assertEqual(self.signals.build(self.sample()), 0)
        self.put("run/mayfly/building", "81\n")
        self.assertIsNone(self.signals.build(self.sample()))

    def test_keep_alive_holds_until_its_time(self):
        self.put("var/lib/mayfly/keep-until", str(int(WALL) + 60))
        self.assertEqual(self.signals.keep(self.sample()), 0)
        self.put("var/lib/mayfly/keep-until", str(int(WALL) - 60))
        self.assertIsNone(self.signals.keep(self.sample()))


class Decision(Machine):
    def decide(self, seen_age, unknown=(), idle_minutes=30, now=1_000, expires=100_000):
        return self.idle.decide({"seen": {"files": BOOT - seen_age}}, list(unknown), BOOT, now, idle_minutes, expires)[0]

    def test_work_keeps_then_a_warning_then_the_end(self):
        self.assertEqual(self.decide(0), "live")
        self.assertEqual(self.decide(24 * 60), "live")
        self.assertEqual(self.decide(26 * 60), "warn")
        self.assertEqual(self.decide(30 * 60), "idle")

    def test_the_newest_sign_decides(self):
        state = {"seen": {"files": BOOT - 9_000, "agent": BOOT - 60, "start": -600}}
        self.assertEqual(self.idle.decide(state, [], BOOT, 1_000, 30, 0)[0], "live")

    def test_a_blind_eye_doubles_the_patience_and_is_not_patience_without_end(self):
        self.assertEqual(self.decide(40 * 60, ["ssh"]), "live")
        self.assertEqual(self.decide(60 * 60, ["ssh"]), "idle")

    def test_the_expiry_holds_whatever_works(self):
        # Five minutes before its expiry, when the Worker would end it.
        self.assertEqual(self.decide(0, now=100_000 - 300), "expired")
        self.assertEqual(self.decide(0, now=100_000 - 420), "warn")
        self.assertEqual(self.decide(0, now=10**12, expires=0), "live")

    def test_a_new_vm_is_as_old_as_its_creation_within_reason(self):
        started = self.idle.fresh({"created": WALL - BOOT - 120}, WALL, BOOT)["seen"]["start"]
        self.assertEqual(started, -120)
        self.assertEqual(self.idle.fresh({"created": WALL - 10**7}, WALL, BOOT)["seen"]["start"], -600)
        self.assertEqual(self.idle.fresh({"created": WALL + 10**7}, WALL, BOOT)["seen"]["start"], 0)

    def test_a_restarted_vm_counts_from_its_start(self):
        self.put("var/lib/mayfly/booted", "earlier")
        fresh = self.idle.fresh({"created": WALL - 10**6}, WALL, BOOT)
        self.assertEqual((fresh["seen"]["start"], fresh["restarted"]), (0, True))
        self.put("var/lib/mayfly/booted", self.idle.boot_id())
        self.assertFalse(self.idle.fresh({"created": WALL - 10**6}, WALL, BOOT)["restarted"], "only its state is lost")

    def test_the_workers_clock_wins_over_a_wall_clock_that_jumped(self):
        state = {"anchor": {"true": 1_000.0, "boot": BOOT - 60}}
        self.assertEqual(self.idle.clock(state, 9e9, BOOT), 1_060)
        self.assertEqual(self.idle.clock({}, 77, BOOT), 77)


class Ticks(Machine):
    def setUp(self):
        super().setUp()
        self.process(1, 0, "systemd", 0)
        self.ended = []
        self.answer = {"next_seconds": 300, "want": None}
        self.date = 1_000_100
        self.url, self.calls = self.serve(lambda method, path, headers, body: (
            200, self.answer, {"Date": email.utils.formatdate(self.date, usegmt=True)}))
        for patch in (mock.patch.object(self.signals, "ALL", {"files": lambda sample: None}),
                      mock.patch.object(self.end, "end", lambda machine, why, **_: self.ended.append(why)),
                      mock.patch.object(self.idle, "warn", lambda *args: self.ended.append("warned")),
                      mock.patch.object(time, "time", lambda: 1_000_100.0),
                      mock.patch.object(self.signals, "boot_seconds", lambda: BOOT)):
            patch.start()
            self.addCleanup(patch.stop)

    def state(self, idle_for, **more):
        return {"boot_id": "b", "seen": {"start": BOOT - idle_for}, "sample": {}, "beat_at": 0, **more}

    def tick(self, state):
        self.idle.tick(state, self.common.vm())
        return state

    def beats(self):
        return [body for _, path, _, body in self.calls if path == "/vm/heartbeat"]

    def test_a_heartbeat_says_why_and_takes_the_next_time_from_the_answer(self):
        self.answer["next_seconds"] = 20
        state = self.tick(self.state(120))
        self.assertEqual(self.beats()[0]["verdict"], {"files": None})
        self.assertEqual(self.beats()[0]["active"], 1_000_100 - 120)
        self.assertEqual(state["beat_at"], BOOT + 20)
        self.tick(state)
        self.assertEqual(len(self.beats()), 1)

    def test_a_certificate_that_comes_later_is_told_at_once(self):
        own, trusted = {"tls": "self_signed", "sha256": "a" * 64}, {"tls": "trusted", "sha256": "b" * 64}
        self.put("run/mayfly/public/tls.json", json.dumps(own))
        looks = [own, trusted]
        def run(command, **_):
            self.assertTrue(command[1].endswith("/tls.py"))
            return subprocess.CompletedProcess(command, 0, json.dumps(looks.pop(0)), "")
        with mock.patch.object(subprocess, "run", run):
            state = self.tick(self.state(120))
            state = self.tick(state)
            self.tick(state)
        self.assertEqual([beat["tls"] for beat in self.beats()], [own, trusted])
        self.assertEqual(looks, [], "and one that is trusted is not looked at again")

    def test_a_door_that_shows_nothing_is_no_news(self):
        self.tick(self.state(120, beat_at=1e9, attention=None))
        self.assertEqual(self.beats(), [])

    def test_idle_ends_and_the_worker_hears_of_it_first(self):
        self.tick(self.state(31 * 60, beat_at=1e9))
        self.assertEqual(self.ended, ["idle"])
        self.assertEqual(len(self.beats()), 1)

    def test_the_answer_may_save_the_vm_at_the_last_moment(self):
        self.answer["want"] = f"keep-{1_000_100 + 3600}"
        with mock.patch.object(self.signals, "ALL", {"keep": self.signals.keep}):
            self.tick(self.state(31 * 60))
        self.assertEqual(self.ended, [])

    def test_a_longer_limit_in_the_answer_counts_at_once(self):
        self.answer["idle_minutes"] = 120
        self.tick(self.state(31 * 60))
        self.assertEqual(self.ended, [])

    def test_the_warning_comes_once(self):
        state = self.state(27 * 60)
        self.tick(state)
        self.tick(state)
        self.assertEqual(self.ended, ["warned"])

    def test_a_wall_clock_a_day_ahead_does_not_expire_a_vm_that_the_worker_knows_better(self):
        with mock.patch.object(time, "time", lambda: 1_000_100.0 + 86_400):
            self.tick(self.state(60))
        self.assertEqual(self.ended, [])

    def test_expiry_by_the_workers_word(self):
        self.answer["expires"] = 1_000_000
        self.tick(self.state(60))
        self.assertEqual(self.ended, ["expired"])

    def test_a_silent_worker_neither_keeps_nor_stops_the_end(self):
        self.put("etc/mayfly/vm.json", json.dumps({**self.common.vm(), "worker": "http://127.0.0.1:9"}))
        self.tick(self.state(31 * 60))
        self.assertEqual(self.ended, ["idle"])

    def test_an_end_that_nobody_heard_is_tried_again_by_the_next_tick(self):
        state = self.state(31 * 60)
        self.tick(state)
        self.tick(state)
        self.assertEqual(self.ended, ["idle", "idle"])

    def test_work_that_cannot_be_saved_is_looked_at_again_later_and_shown(self):
        with mock.patch.object(self.end, "end", lambda machine, why, **_: self.ended.append(why) or "unpushed work"):
            state = self.tick(self.state(31 * 60))
            self.tick(state)
        self.assertEqual(self.ended, ["idle"])
        self.assertIn("unpushed work", self.get("run/mayfly/public/idle.json"))

    def test_a_signal_that_breaks_is_unknown_and_the_others_go_on(self):
        def broken(sample):
            raise RuntimeError("no")
        with mock.patch.object(self.signals, "ALL", {"ssh": broken, "files": lambda sample: 60}):
            state = self.tick(self.state(45 * 60))
        self.assertEqual(self.ended, [])
        self.assertEqual(state["seen"]["files"], BOOT - 60)

    def test_even_without_a_proc_to_look_at_a_vm_ends(self):
        os.remove(f"{self.root}/proc/1/stat")
        with mock.patch.object(self.signals, "ALL", {"agent": self.signals.agent}):
            self.tick(self.state(45 * 60))
            self.assertEqual(self.ended, [])
            self.tick(self.state(61 * 60))
        self.assertEqual(self.ended, ["idle"])

    def test_a_full_disk_only_makes_it_forget(self):
        def full(*_):
            raise OSError(28, "No space left on device")
        with mock.patch.object(self.common, "write", full):
            self.tick(self.state(31 * 60))
        self.assertEqual(self.ended, ["idle"])

    def test_a_full_disk_does_not_stop_the_end_at_its_log(self):
        os.makedirs(f"{self.root}/var/log/mayfly")
        os.symlink("/dev/full", f"{self.root}/var/log/mayfly/idle.log")
        with contextlib.redirect_stdout(self.idle.Log()):
            self.answer = {"next_seconds": 300, "want": "something new"}  # which is worth a line
            self.tick(self.state(31 * 60))
            print("flushed", flush=True)
        self.assertEqual(self.ended, ["idle"])

    def test_the_log_has_what_is_said(self):
        os.makedirs(f"{self.root}/var/log/mayfly")
        with contextlib.redirect_stdout(self.idle.Log()):
            print("one")
            print("two")
        self.assertEqual(self.get("var/log/mayfly/idle.log"), "one\ntwo\n")

    def test_attention_is_told_at_once_and_taken_back(self):
        state = self.tick(self.state(60))
        self.put("run/mayfly/agent/share/spool/s1", "waiting")
        self.tick(state)
        self.put("run/mayfly/agent/share/spool/s1", "working")
        self.tick(state)
        self.assertEqual([beat["attention"] for beat in self.beats()], [None, "waiting", None])

    def test_the_watch_tells_each_change_once_and_outlives_an_error(self):
        self.put("run/mayfly/agent/share/spool/s1", "waiting")
        rounds = iter((lambda: None,
                       lambda: self.put("run/mayfly/agent/share/spool/s1", "done"),
                       lambda: os.rename(f"{self.root}/etc/mayfly/vm.json", f"{self.root}/etc/mayfly/away")
                       or self.put("run/mayfly/agent/share/spool/s1", "working"),
                       lambda: os.rename(f"{self.root}/etc/mayfly/away", f"{self.root}/etc/mayfly/vm.json")
                       or self.put("run/mayfly/agent/share/spool/s1", "waiting")))

        def pause(secs):
            self.assertEqual(secs, 1)
            try:
                next(rounds)()
            except StopIteration:
                raise KeyboardInterrupt from None
        with self.assertRaises(KeyboardInterrupt):
            self.idle.watch(pause)
        self.assertEqual([beat["attention"] for beat in self.beats()], ["waiting", "done", "waiting"])

    def test_a_vm_that_shall_stop_saves_its_work_once_says_so_each_time_and_does_not_end(self):
        self.answer = {"next_seconds": 20, "want": "stop"}
        state = self.state(31 * 60)
        with mock.patch.object(self.end, "rescue", mock.Mock(return_value=None)) as rescue:
            self.tick(state)
            state["beat_at"] = 0
            self.tick(state)
        rescue.assert_called_once_with()
        self.assertEqual([body["phase"] for _, path, _, body in self.calls if path == "/vm/progress"], ["stopping"] * 2)
        self.assertEqual(self.ended, [])

    def test_a_started_vm_does_not_end_by_the_expiry_of_its_first_life(self):
        state = {**self.state(60), "restarted": True}
        self.answer = {"next_seconds": 300, "want": None}
        self.put("etc/mayfly/vm.json", json.dumps({**self.common.vm(), "expires": 1_000_000}))
        with mock.patch.object(self.idle, "RESTART_GRACE_SECS", BOOT + 1):
            self.tick(state)
        self.assertEqual(self.ended, [])
        self.tick(state)
        self.assertEqual(self.ended, ["expired"])

    def test_a_vm_that_shall_be_stored_takes_its_secrets_off_the_disk_until_it_is(self):
        self.put("etc/mayfly/secrets/git_token", "secret-git")
        self.put("etc/mayfly/secrets/env.json", '{"A": "secret-env"}')
        self.answer = {"next_seconds": 20, "want": "snapshot"}
        state = self.state(60)
        self.tick(state)
        self.assertEqual(os.listdir(f"{self.root}/etc/mayfly/secrets"), [])
        self.assertEqual([body["done"] for body in self.beats()], [None, "snapshot"])
        # A Worker that is silent for a moment is no word that it is done.
        with mock.patch.object(self.common, "worker", lambda *_: (0, {}, {})):
            state["beat_at"] = 0
            self.tick(state)
        self.assertEqual(os.listdir(f"{self.root}/etc/mayfly/secrets"), [])
        self.answer = {"next_seconds": 300, "want": None}
        state["beat_at"] = 0
        self.tick(state)
        self.assertEqual(self.common.secret("git_token"), "secret-git")
        self.assertEqual(self.common.load(f"{self.root}/etc/mayfly/secrets/env.json"), {"A": "secret-env"})
        self.assertEqual(os.stat(f"{self.root}/etc/mayfly/secrets/git_token").st_mode & 0o777, 0o600)
        self.tick({**state, "beat_at": 0})
        self.assertIsNone(self.beats()[-1]["done"])

    def test_a_snapshot_that_takes_too_long_is_not_waited_for(self):
        self.put("etc/mayfly/secrets/git_token", "secret-git")
        self.answer = {"next_seconds": 20, "want": "snapshot"}
        state = self.state(60)
        self.tick(state)
        state.update(scrubbed=BOOT - 1801, beat_at=0)
        self.tick(state)
        self.assertEqual(self.common.secret("git_token"), "secret-git")

    def test_without_the_workspaces_part_the_secrets_stay_and_the_disk_is_never_ready(self):
        self.put("etc/mayfly/secrets/git_token", "secret-git")
        self.answer = {"next_seconds": 20, "want": "snapshot"}
        with mock.patch.object(self.idle, "part", lambda name: None):
            self.tick(self.state(60))
        self.assertEqual(self.common.secret("git_token"), "secret-git")
        self.assertEqual([beat["done"] for beat in self.beats()], [None] * len(self.beats()))
        self.assertIsNone(self.idle.part("no-such-part"))

    def test_a_machine_that_is_taken_back_saves_its_work_once(self):
        state, machine = self.state(60), {**self.common.vm(), "provider": "ec2"}
        with mock.patch.object(self.spot, "notice", lambda: "terminate"), \
                mock.patch.object(self.end, "rescue", mock.Mock(return_value=None)) as rescue:
            self.idle.tick(state, machine)
            self.idle.tick(state, machine)
        rescue.assert_called_once_with()
        self.assertIn("warned", self.ended)
        with mock.patch.object(self.spot, "notice", mock.Mock()) as notice:
            self.tick(self.state(60))
        notice.assert_not_called()  # elsewhere there is nobody to ask

    def test_an_hour_that_is_paid_is_used_up_while_it_is_idle(self):
        self.answer = {"next_seconds": 300, "want": f"wait-{int(WALL) + 600}"}
        state = self.state(31 * 60)
        self.tick(state)
        self.assertNotIn("idle", self.ended)
        self.assertGreaterEqual(state["rescue_at"], BOOT + 590)
        # The Worker has nothing to say any more, and its time is up.
        self.answer = {"next_seconds": 300, "want": None}
        state["rescue_at"] = BOOT - 1
        self.tick(state)
        self.assertIn("idle", self.ended)

    def test_a_warning_is_told_once(self):
        state = self.state(27 * 60)
        self.tick(state)
        self.assertIn("warned", self.ended)
        self.tick(state)
        self.tick(state)
        told = [beat["ending"] for beat in self.beats() if beat.get("ending")]
        self.assertEqual(len(told), 1)
        self.assertTrue(0 < told[0] <= 300, told)

    def test_rubbish_is_not_obeyed(self):
        for rubbish in (None, "", "keep-", "keep-x", "rm -rf", 7, {"a": 1}):
            self.assertTrue(self.idle.obey(rubbish, {}), rubbish)
        self.assertFalse(os.path.exists(f"{self.root}/var/lib/mayfly/keep-until"))


if __name__ == "__main__":
    unittest.main()
