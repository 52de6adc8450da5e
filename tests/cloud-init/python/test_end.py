"""The end: in which order, with which second way, and never a success that was none."""
import subprocess
import unittest
from unittest import mock

from support import MACHINE, Machine


class Ends(Machine):
    def setUp(self):
        super().setUp()
        self.time = 0.0
        self.said = []
        for patch in (mock.patch.object(self.worker, "send", lambda *args, **more: self.said.append(args[0]["phase"])),
                      mock.patch.object(self.end, "rescue", lambda: None)):
            patch.start()
            self.addCleanup(patch.stop)
        self.put("var/lib/mayfly/instance-id", "4711\n")

    def run_end(self, machine, why="idle"):
        def sleep(seconds):
            self.time += seconds
        return self.end.end(machine, why, sleep=sleep, clock=lambda: self.time)

    def provider(self, *statuses):
        """Answers of the provider in turn, the last one for ever; records every call."""
        calls, left = [], list(statuses)

        def request(method, url, token, body=None, timeout=20):
            calls.append((method, url, token))
            return (left.pop(0) if len(left) > 1 else left[0]), {}, {}
        patch = mock.patch.object(self.common, "request", request)
        patch.start()
        self.addCleanup(patch.stop)
        return calls

    def test_the_worker_is_the_way_without_a_credential(self):
        url, calls = self.serve(lambda *_: (200, {"deleted": True}))
        self.run_end(self.common.vm())
        self.assertEqual({(method, path) for method, path, *_ in calls}, {("DELETE", "/vm")})
        self.assertTrue(all(headers["Authorization"] == "Bearer " + MACHINE["capability"] for _, _, headers, _ in calls))
        self.assertEqual(self.said, ["stopping"])

    def test_a_refusal_is_repeated_with_growing_pauses_and_never_success(self):
        pauses = []
        url, calls = self.serve(lambda *_: (503, {"code": "provider_unavailable"}))
        self.end.end(self.common.vm(), "idle", sleep=lambda s: (pauses.append(s), setattr(self, "time", self.time + s)), clock=lambda: self.time)
        self.assertEqual(pauses[:4], [10, 20, 40, 80])
        self.assertEqual(max(pauses), self.end.LONGEST_PAUSE_SECS)
        self.assertEqual(len(calls), len(pauses) + 1)
        self.assertLess(sum(pauses), self.end.ROUND_SECS)

    def test_somebody_who_comes_back_keeps_it(self):
        url, calls = self.serve(lambda *_: (503, {"code": "provider_unavailable"}))
        self.assertIsNone(self.end.end(self.common.vm(), "idle", again=lambda: True))
        self.assertEqual((calls, self.said), ([], []), "after the rescue nothing is asked for")
        looks = iter([False, True])
        self.end.end(self.common.vm(), "idle", sleep=lambda _: None, clock=lambda: 0.0, again=lambda: next(looks))
        self.assertEqual(len(calls), 1, "and nothing after a refusal")

    def test_only_deleted_true_counts_as_accepted(self):
        for status, body, accepted in ((200, {"deleted": True}, True), (200, {}, False), (200, {"deleted": "yes"}, False),
                                       (404, {"code": "vm_not_found"}, False), (401, {}, False), (502, {}, False)):
            self.serve(lambda *_, answer=(status, body): answer)
            self.assertEqual(self.end.by_worker({})[0], accepted, (status, body))

    def test_a_dead_network_is_a_refusal(self):
        self.put("etc/mayfly/vm.json", '{"worker": "http://127.0.0.1:9", "capability": "c"}')
        self.assertFalse(self.end.by_worker({})[0])

    def test_with_a_credential_the_provider_comes_first(self):
        self.put("etc/mayfly/secrets/provider_credential", "vm-credential")
        calls = self.provider(204)
        self.assertEqual(self.end.by_provider(MACHINE)[0], True)
        self.assertEqual(calls, [("DELETE", "https://api.hetzner.cloud/v1/servers/4711", "vm-credential")])
        self.assertEqual([way.__name__ for way in self.end.ways(MACHINE)], ["by_provider", "by_worker"])

    def test_each_provider_is_asked_in_its_own_way(self):
        self.put("etc/mayfly/secrets/provider_credential", "vm-credential")
        calls = []

        def request(method, url, token, body=None, timeout=20, token_header=None):
            calls.append((method, url, token, body, token_header))
            return 202, {}, {}
        patch = mock.patch.object(self.common, "request", request)
        patch.start()
        self.addCleanup(patch.stop)
        self.assertTrue(self.end.by_provider({**MACHINE, "provider": "digitalocean"})[0])
        own = "973b1d4a-3d01-4220-a4fa-7a2b89c8a557"
        self.put("var/lib/mayfly/instance-id", own + "\n")
        scaleway = {**MACHINE, "provider": "scaleway", "location": "fr-par-1"}
        self.assertTrue(self.end.by_provider(scaleway)[0])
        self.assertEqual(calls, [
            ("DELETE", "https://api.digitalocean.com/v2/droplets/4711", "vm-credential", None, None),
            ("POST", f"https://api.scaleway.com/instance/v1/zones/fr-par-1/servers/{own}/action", "vm-credential",
             {"action": "terminate"}, "X-Auth-Token"),
        ])
        self.assertFalse(self.end.by_provider({**scaleway, "location": "fr-par-1/x"})[0])
        self.assertFalse(self.end.by_provider({**MACHINE, "provider": "digitalocean"})[0])
        self.assertFalse(self.end.by_provider({**scaleway, "provider": "elsewhere"})[0])
        self.assertEqual(len(calls), 2)

    def test_a_delete_at_ovhcloud_is_signed(self):
        own = "2f1e1c6a-8a43-4f0c-9c3b-6a4d3f1b7e21"
        self.put("var/lib/mayfly/instance-id", own + "\n")
        url, calls = self.serve(lambda *_: (200, None))
        keys = "7kbG7Bk7S9Nt7ZSV:EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF:MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1"
        self.put("etc/mayfly/secrets/provider_credential", f"{keys}:{url}/cloud/project/p")
        ovh = {**MACHINE, "provider": "ovh"}
        self.assertTrue(self.end.by_provider(ovh)[0])
        [(method, path, headers, body)] = calls
        self.assertEqual((method, path, body), ("DELETE", f"/cloud/project/p/instance/{own}", None))
        headers = {name.title(): text for name, text in headers.items()}
        self.assertNotIn("Authorization", headers)
        self.assertEqual(headers["X-Ovh-Application"], "7kbG7Bk7S9Nt7ZSV")
        signed = self.end.signed(f"{keys}:{url}/cloud/project/p", own, headers["X-Ovh-Timestamp"])[1]
        self.assertEqual(headers["X-Ovh-Signature"], signed["X-Ovh-Signature"])
        # Made with OVHcloud's own client for Python, ovh 1.2.0.
        _, known = self.end.signed(f"{keys}:https://eu.api.ovh.com/v1/cloud/project/0123456789abcdef0123456789abcdef", own, 1795168800)
        self.assertEqual(known["X-Ovh-Signature"], "$1$8d2ec2f26da3f9054bfe5c40d6d625b7e9e2830d")
        self.put("etc/mayfly/secrets/provider_credential", "half:a:credential")
        self.assertFalse(self.end.by_provider(ovh)[0])
        self.put("etc/mayfly/secrets/provider_credential", f"{keys}:{url}/cloud/project/p")
        self.put("var/lib/mayfly/instance-id", "../x\n")
        self.assertFalse(self.end.by_provider(ovh)[0])
        self.assertEqual(len(calls), 1)

    def test_when_the_provider_refuses_the_worker_is_asked_at_once(self):
        self.put("etc/mayfly/secrets/provider_credential", "vm-credential")
        calls = self.provider(403)
        self.run_end(MACHINE)
        self.assertEqual(calls[0][1].partition("/v1")[0], "https://api.hetzner.cloud")
        self.assertEqual(calls[1][1], "/vm")

    def test_a_way_that_was_accepted_and_left_us_alive_is_not_believed_twice(self):
        self.put("etc/mayfly/secrets/provider_credential", "vm-credential")
        calls = self.provider(404)
        self.run_end(MACHINE)
        self.assertEqual([url.rpartition("/")[2] for _, url, _ in calls[:3]], ["4711", "vm", "4711"])

    def test_an_instance_id_that_is_no_number_goes_into_no_url(self):
        self.put("etc/mayfly/secrets/provider_credential", "vm-credential")
        self.put("var/lib/mayfly/instance-id", "../1\n")
        calls = self.provider(204)
        self.assertFalse(self.end.by_provider(MACHINE)[0])
        self.assertEqual(calls, [])

    def test_plain_shutdown_where_the_provider_terminates_on_it_and_the_worker_after(self):
        machine = {**MACHINE, "self_delete": "shutdown"}
        self.assertEqual([way.__name__ for way in self.end.ways(machine)], ["by_shutdown", "by_worker"])
        with mock.patch.object(self.end.subprocess, "run", return_value=subprocess.CompletedProcess([], 1, "", "no")):
            self.assertFalse(self.end.by_shutdown(machine)[0])

    def test_unsaved_work_waits_for_the_expiry_and_only_for_it(self):
        url, calls = self.serve(lambda *_: (200, {"deleted": True}))
        with mock.patch.object(self.end, "rescue", lambda: "unpushed work could not be pushed"):
            self.assertIn("unpushed", self.run_end(self.common.vm(), "idle"))
            self.assertEqual(calls, [])
            self.run_end(self.common.vm(), "expired")
        self.assertTrue(calls)


class Rescues(Machine):
    def test_what_the_rescue_says_decides(self):
        self.put("etc/mayfly/values/repo_name", "repo")
        self.put("workspaces/repo/.git/HEAD", "")
        for status, stays in ((0, False), (75, True), (1, True), (128, True)):
            done = subprocess.CompletedProcess([], status, "", "")
            with mock.patch.object(self.end.subprocess, "run", return_value=done):
                self.assertEqual(self.end.rescue() is not None, stays, status)
        with mock.patch.object(self.end.subprocess, "run", side_effect=subprocess.TimeoutExpired("rescue", 1)):
            self.assertIsNotNone(self.end.rescue())

    def test_without_a_workspace_there_is_nothing_to_rescue(self):
        self.assertIsNone(self.end.rescue())

    def test_a_workspace_without_a_repository_is_saved_as_well(self):
        self.put("workspaces/" + self.common.value("repo_name") + "/file", "work")
        with mock.patch.object(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, stdout="")):
            self.assertEqual(self.end.rescue(), "the work could not be saved")


if __name__ == "__main__":
    unittest.main()
