"""Signs of work that come with the workspace: builds, whatever computes hard, conversations of other agents."""
import json
import unittest

from support import Machine

WALL, BOOT = 2_000_000_000.0, 5_000.0


class Work(Machine):
    def setUp(self):
        super().setUp()
        self.process(1, 0, "systemd", 0)
        self.process(40, 1, "containerd-shim", 0)

    def sample(self, past=None, wall=WALL, boot=BOOT):
        return self.signals.Sample(past or {}, wall, boot)

    def after_a_minute(self, change):
        first = self.sample()
        self.work.build(first)
        change()
        return self.work.build(self.sample(json.loads(json.dumps(first.keep)), WALL + 60, BOOT + 60))

    def cpu(self, pid, parent, command, share):
        """A process that took this share of a core for a minute."""
        self.process(pid, parent, command, 0)
        return self.after_a_minute(lambda: self.process(pid, parent, command, int(60 * share * self.signals.TICKS)))

    def test_a_compiler_counts_through_its_cpu_time_wherever_it_runs(self):
        self.process(90, 1, "make", 0)
        self.assertIsNone(self.after_a_minute(lambda: None))
        self.assertEqual(self.cpu(91, 90, "anything", 0.1), 0)

    def test_whatever_computes_hard_in_a_container_is_work(self):
        for command in ("node", "java", "python3"):
            self.assertEqual(self.cpu(91, 40, command, 0.9), 0, command)

    def test_many_that_take_a_little_each_are_work_together(self):
        def run():
            for pid in range(100, 110):
                self.process(pid, 40, "jest-worker", 6 * self.signals.TICKS)
        self.assertEqual(self.after_a_minute(run), 0)

    def test_servers_that_wait_and_watchers_that_poll_are_not(self):
        self.assertIsNone(self.cpu(91, 40, "node", 0.3))

    def test_what_computes_beside_the_workspace_is_not(self):
        self.assertIsNone(self.cpu(91, 1, "dockerd", 0.9))

    def test_a_tool_of_openhands_agent_is_work(self):
        self.put("sys/fs/cgroup/system.slice/mayfly-ui.service/cgroup.procs", "60\n61\n62\n")
        self.process(60, 1, "python", 0)
        self.assertEqual(self.cpu(61, 1, "node", 0.9), 0)
        self.assertIsNone(self.cpu(63, 1, "node", 0.9))

    def test_steps_of_openhands_conversations_are_transcripts(self):
        root = "home/dev/.openhands/agent-canvas"
        self.put(f"{root}/settings.json", "", age=1, wall=WALL)
        self.assertIsNone(self.work.transcript(self.sample()))
        self.put(f"{root}/dev_conversations/1/events/event-1.json", "", age=90, wall=WALL)
        self.assertAlmostEqual(self.work.transcript(self.sample()), 90, delta=1)

    def test_the_idle_check_asks_them_too(self):
        state = {"seen": {"start": 0}, "sample": {}}
        self.put("home/dev/.openhands/agent-canvas/dev_conversations/1/events/event-1.json", "", age=90, wall=WALL)
        self.idle.look(state, WALL, BOOT)
        self.assertAlmostEqual(state["seen"]["transcript"], BOOT - 90, delta=1)
        self.idle.part = lambda _: None
        state = {"seen": {"start": 0}, "sample": {}}
        self.idle.look(state, WALL, BOOT)
        self.assertNotIn("transcript", state["seen"])


if __name__ == "__main__":
    unittest.main()
