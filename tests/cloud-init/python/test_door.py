"""The sign-in: links, password, lock-out, cookie, and what the HTTP side makes of them."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import threading
import time
import unittest
from unittest import mock

from support import MACHINE, Machine

KEY = base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()
NOW = 1_000_000.0


def link(vm=MACHINE["vm"], exp=NOW + 60, once="n1", key=b"k" * 32):
    told = base64.urlsafe_b64encode(json.dumps({"vm": vm, "exp": exp, "n": once}).encode()).rstrip(b"=").decode()
    mac = base64.urlsafe_b64encode(hmac.new(key, told.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    return f"{told}.{mac}"


class Decisions(Machine):
    def setUp(self):
        super().setUp()
        self.it = self.door.Door(MACHINE["vm"], "the password", KEY, "session key", f"{self.root}/run/mayfly/door/spent.json")

    def refused(self, words, call, *args):
        with self.assertRaises(self.door.Refused) as caught:
            call(*args)
        self.assertIn(words, str(caught.exception))

    def test_a_link_signs_in_once(self):
        token = link()
        self.it.link(token, NOW)
        self.refused("used already", self.it.link, token, NOW)

    def test_a_spent_link_stays_spent_for_another_door_process(self):
        token = link()
        self.it.link(token, NOW)
        again = self.door.Door(MACHINE["vm"], "p", KEY, "s", self.it.spent_file)
        self.refused("used already", again.link, token, NOW)

    def test_links_of_other_vms_other_keys_and_other_times_are_refused(self):
        self.refused("another workspace", self.it.link, link(vm="zyxwvutsrqponmlkjihgfedcba"), NOW)
        self.refused("not for this", self.it.link, link(key=b"x" * 32), NOW)
        self.refused("too old", self.it.link, link(exp=NOW - 1), NOW)
        self.refused("too old", self.it.link, link(exp=NOW + 99_999), NOW)
        self.refused("not for this", self.it.link, "", NOW)
        self.refused("not for this", self.it.link, "ünsinn.ünsinn", NOW)

    def test_a_door_without_a_link_key_takes_no_link(self):
        bare = self.door.Door(MACHINE["vm"], "p", "", "s", self.it.spent_file)
        self.refused("not for this", bare.link, link(key=b""), NOW)

    def at_once(self, attempt):
        """What eight attempts at the same moment came to."""
        gate, outcomes = threading.Barrier(8), []

        def one():
            gate.wait()
            try:
                attempt()
                outcomes.append("in")
            except self.door.Refused as refused:
                outcomes.append(str(refused))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def test_two_requests_at_once_spend_a_link_once(self):
        token = link(once="race")
        self.assertEqual(self.at_once(lambda: self.it.link(token, NOW)).count("in"), 1)

    def test_passwords_tried_at_the_same_moment_count_each(self):
        slowly = lambda given, right: time.sleep(0.05) or given == right
        with mock.patch.object(self.door.hmac, "compare_digest", slowly):
            outcomes = self.at_once(lambda: self.it.try_password("no", "198.51.100.1", NOW))
        self.assertEqual(outcomes.count("Wrong password."), self.door.TRIES)

    def test_five_wrong_passwords_lock_an_address_out_and_time_opens_it(self):
        for _ in range(self.door.TRIES):
            self.refused("Wrong password", self.it.try_password, "no", "198.51.100.1", NOW)
        self.refused("Too many", self.it.try_password, "the password", "198.51.100.1", NOW)
        self.it.try_password("the password", "198.51.100.2", NOW)
        self.it.try_password("the password", "198.51.100.1", NOW + self.door.LOCK_SECS + 1)

    def test_many_addresses_together_close_the_password_but_not_the_links(self):
        for number in range(self.door.TRIES_OF_ALL):
            self.refused("Wrong password", self.it.try_password, "no", f"198.51.100.{number}", NOW)
        self.refused("Too many", self.it.try_password, "the password", "203.0.113.1", NOW)
        self.it.link(link(), NOW)

    def test_no_password_configured_means_none_is_right(self):
        bare = self.door.Door(MACHINE["vm"], "", KEY, "s", self.it.spent_file)
        self.refused("Wrong password", bare.try_password, "", "198.51.100.1", NOW)

    def test_a_cookie_is_known_until_it_ends_and_only_with_its_own_end(self):
        cookie = self.it.cookie(NOW)
        self.assertTrue(self.it.knows(cookie, NOW))
        self.assertFalse(self.it.knows(cookie, NOW + self.door.SESSION_SECS + 1))
        end, _, mac = cookie.partition(".")
        self.assertFalse(self.it.knows(f"{int(end) + 1}.{mac}", NOW))
        for rubbish in ("", ".", "1.", "x.y", "٣.x", f"{end}.ü"):
            self.assertFalse(self.it.knows(rubbish, NOW), rubbish)

    def test_an_ipv6_network_is_one_visitor(self):
        self.assertEqual(self.door.visitor("2001:db8:1:2:3::4"), self.door.visitor("2001:db8:1:2:9::9"))
        self.assertNotEqual(self.door.visitor("198.51.100.1"), self.door.visitor("198.51.100.2"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("203.0.113.7")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Served(Machine):
    def setUp(self):
        super().setUp()
        path = f"{self.root}/run/mayfly/door/door.sock"
        self.door.Handler.door = self.door.Door(MACHINE["vm"], "the password", KEY, "session key", f"{self.root}/run/mayfly/door/s")
        server = self.door.Server(path, self.door.Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.path = path

    def ask(self, method, path, body=None, **headers):
        connection = UnixConnection(self.path)
        self.addCleanup(connection.close)
        headers = {key.replace("_", "-"): text for key, text in headers.items()}
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()

    def sign_in(self):
        status, headers, _ = self.ask("POST", "/_mayfly/in", {"password": "the password"}, X_Forwarded_For="198.51.100.1")
        self.assertEqual(status, 200)
        return headers["Set-Cookie"]

    def test_a_stranger_is_led_to_the_sign_in_and_a_script_gets_401(self):
        status, headers, _ = self.ask("GET", "/_mayfly/check", Accept="text/html", X_Forwarded_Uri="/a?b=c&d", X_Forwarded_Method="GET")
        self.assertEqual((status, headers["Location"]), (302, "/_mayfly/in?next=%2Fa%3Fb%3Dc%26d"))
        self.assertEqual(self.ask("GET", "/_mayfly/check", X_Forwarded_Method="GET")[0], 401)
        self.assertEqual(self.ask("GET", "/_mayfly/check", X_Forwarded_Method="POST", Accept="text/html")[0], 401)

    def test_the_cookie_is_host_only_secure_and_opens_the_check(self):
        cookie = self.sign_in()
        for part in ("__Host-mayfly=", "; Path=/;", "Secure", "HttpOnly", "SameSite=Lax"):
            self.assertIn(part, cookie)
        self.assertEqual(self.ask("GET", "/_mayfly/check", Cookie="a=b; " + cookie.partition(";")[0])[0], 204)
        self.assertEqual(self.ask("GET", "/_mayfly/check", Cookie="x__Host-mayfly=" + cookie.partition(";")[0].partition("=")[2])[0], 401)

    def test_another_sites_page_is_refused_even_with_the_cookie(self):
        cookie = self.sign_in().partition(";")[0]
        self.assertEqual(self.ask("GET", "/_mayfly/check", Cookie=cookie, Origin="https://evil.example", X_Forwarded_Host="203.0.113.7")[0], 403)
        self.assertEqual(self.ask("GET", "/_mayfly/check", Cookie=cookie, Origin="https://203.0.113.7", X_Forwarded_Host="203.0.113.7")[0], 204)
        self.assertEqual(self.ask("POST", "/_mayfly/in", {"password": "the password"}, Origin="https://evil.example")[0], 403)

    def test_only_json_signs_in(self):
        self.assertEqual(self.ask("POST", "/_mayfly/in", {"password": "the password"}, Content_Type="text/plain")[0], 403)
        for body in ([], "x", None, {"password": {"a": 1}}):
            self.assertIn(self.ask("POST", "/_mayfly/in", body, Content_Type="application/json")[0], (400, 403), body)

    def test_doing_something_marks_activity_and_looking_does_not(self):
        cookie = self.sign_in().partition(";")[0]
        mark = f"{self.root}/run/mayfly/door/active"
        os.remove(mark)  # the sign-in itself was something
        self.ask("GET", "/_mayfly/check", Cookie=cookie, X_Forwarded_Method="GET")
        self.assertFalse(os.path.exists(mark))
        self.ask("GET", "/_mayfly/check", X_Forwarded_Method="POST")
        self.assertFalse(os.path.exists(mark))
        self.ask("GET", "/_mayfly/check", Cookie=cookie, X_Forwarded_Method="POST")
        self.assertTrue(os.path.exists(mark))

    def test_the_status_page_is_for_those_signed_in_and_escapes_logs(self):
        self.put("var/log/mayfly/boot.log", "<script>alert(1)</script>")
        self.put("run/mayfly/public/boot.json", json.dumps({"phase": "clone", "reason": {"phase": "clone", "code": "auth_failed"}}))
        self.assertEqual(self.ask("GET", "/_mayfly/status")[0], 302)
        status, headers, text = self.ask("GET", "/_mayfly/status", Cookie=self.sign_in().partition(";")[0])
        self.assertEqual(status, 200)
        self.assertIn("auth_failed", text)
        self.assertNotIn("<script>alert", text)
        self.assertIn("script-src 'none'", headers["Content-Security-Policy"])

    def test_the_page_allows_its_own_script_alone(self):
        _, headers, text = self.ask("GET", "/_mayfly/in")
        script = text.partition("<script>")[2].rpartition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        self.assertIn(f"script-src 'sha256-{digest}'", headers["Content-Security-Policy"])

    def test_a_ui_whose_page_wants_a_cookie_gets_it(self):
        self.put("run/mayfly/public/ui-session.json", json.dumps({"cookies": ["of-the-ui=none; path=/"]}))
        _, _, text = self.ask("POST", "/_mayfly/in", {"password": "the password"})
        self.assertEqual(json.loads(text), {"cookies": ["of-the-ui=none; path=/"]})

    def test_the_ui_gets_a_session_of_its_own(self):
        url, calls = self.serve(lambda *_: (200, {"token": "jwt-of-the-ui"}))
        self.put("run/mayfly/public/ui-session.json", json.dumps(
            {"login": {"url": url + "/login", "body": {"username": "mayfly"}, "field": "token", "key": "auth-token"}}))
        _, _, text = self.ask("POST", "/_mayfly/in", {"password": "the password"})
        self.assertEqual(json.loads(text), {"storage": {"auth-token": "jwt-of-the-ui"}})
        self.assertEqual(calls[0][1], "/login")
        refused = self.ask("POST", "/_mayfly/in", {"password": "wrong"})
        self.assertEqual((refused[0], len(calls)), (403, 1))

    def test_too_large_a_body_is_not_read(self):
        connection = UnixConnection(self.path)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/_mayfly/in")
        connection.putheader("Content-Length", "5000")
        connection.endheaders()  # and nothing after: an answer comes all the same
        self.assertEqual(connection.getresponse().status, 413)


if __name__ == "__main__":
    unittest.main()
