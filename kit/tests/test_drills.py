"""Drills: that each can be held and every alert has one, what the clock scales, and how an outcome is judged."""

import json
import socket
import threading
import time
import unittest
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPMessage
from typing import Any

import kit.drill.catalogue  # noqa: F401  (registers the drills)
from kit.drill.drill import REGISTRY, Drill, add, drills_of, severities
from kit.drill.matrix import controls, not_drilled, panel, paper, summary
from kit.drill.pace import Pace
from kit.drill.proxy import Proxy
from kit.drill.run import Alarm, Outcome
from kit.drill.scene import PARTS
from kit.drill.staging import rules
from kit.drill.watch import Hook, key
from kit.drill.witness import Witness
from kit.process import http, scratch_folder, wait_until
from kit.ruleset import committed_rules, rules_in


class Catalogue(unittest.TestCase):
    def test_every_alert_is_expected_by_a_drill(self) -> None:
        self.assertEqual(not_drilled(), [])
        for alert in {rule.name for rule in committed_rules() if rule.is_alert}:
            self.assertTrue(drills_of(alert), alert)
            self.assertIn("](../dashboards/", panel(alert))

    def test_a_drill_asks_for_nothing_that_is_not_there(self) -> None:
        for one in REGISTRY.values():
            self.assertLessEqual(one.parts, PARTS.keys(), one.name)
            self.assertTrue(one.expects or one.hold, one.name)
        with self.assertRaises(ValueError):
            add(Drill("new", "a fault", None, expects={"ConvokeNoSuchAlert": "1m"}))
        with self.assertRaises(ValueError):
            add(Drill("control", "a second one of that name", None))
        # A page wakes somebody: it is expected, or it must not fire.
        with self.assertRaises(ValueError):
            add(Drill("new", "a fault", None, also={"ConvokeDown": "it is down"}))

    def test_five_and_a_broken_rule_run_in_the_tests(self) -> None:
        core = [one for one in REGISTRY.values() if one.core]
        self.assertGreaterEqual(len([one for one in core if one.fault and not one.misses]), 5)
        self.assertTrue(any(one.misses for one in core))
        self.assertTrue(any(one.fault is None for one in core))

    def test_the_ticket_of_an_objective_is_a_consequence_of_its_page(self) -> None:
        listed = Drill("x", "y", None, expects={"ConvokeApiAvailabilityBudgetBurn": "5m"}).listed
        self.assertEqual(list(listed), ["ConvokeApiAvailabilityBudgetBurn (ticket)"])


class Clock(unittest.TestCase):
    def test_rules_and_routing_are_those_that_are_shipped_but_for_durations(self) -> None:
        pace = Pace(1 / 60)
        with scratch_folder() as folder:
            drilled = rules_in(rules(folder, pace, None))
        self.assertEqual([rule.name for rule in drilled], [rule.name for rule in committed_rules()])
        down = next(rule for rule in drilled if rule.name == "ConvokeDown")
        self.assertEqual(down.body["for"], "2s")
        routing = pace.alertmanager("http://127.0.0.1:1")
        self.assertEqual(routing["route"]["group_wait"], "500ms")
        self.assertEqual(routing["receivers"][0]["webhook_configs"][0]["url"], "http://127.0.0.1:1/page")

    def test_a_rule_is_broken_in_one_place_or_not_at_all(self) -> None:
        with scratch_folder() as folder:
            broken = rules_in(rules(folder, Pace(), REGISTRY["broken-rule"].breaks))
            different = [
                one.name
                for one, other in zip(broken, rules_in(rules(folder, Pace(), None)), strict=True)
                if one.body != other.body
            ]
            self.assertEqual(different, ["ConvokeDown"])
            with self.assertRaises(ValueError):
                rules(folder, Pace(), ("no rule says this", "x"))

    def test_limits_and_real_times(self) -> None:
        self.assertEqual(Pace(0.025).limit("4m"), 16)
        self.assertEqual(Pace(0.025).real(3), 120)


def _echo() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(link,), daemon=True).start()

        def answer(link: socket.socket) -> None:
            with link:
                while part := link.recv(100):
                    link.sendall(part)

        threading.Thread(target=serve, daemon=True).start()
        yield server


class Cut(unittest.TestCase):
    def setUp(self) -> None:
        self._servers = _echo()
        self.proxy = Proxy(next(self._servers).getsockname()[1])
        self.addCleanup(self._servers.close)
        self.addCleanup(self.proxy.stop)

    def link(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.proxy.port), 0.5)
        self.addCleanup(made.close)
        return made

    def said(self, link: socket.socket) -> bytes:
        link.sendall(b"hello")
        return link.recv(100)

    def test_it_passes_on_is_slow_deaf_and_away_and_heals(self) -> None:
        link = self.link()
        self.assertEqual(self.said(link), b"hello")
        self.proxy.delay(0.2)
        began = time.monotonic()
        self.assertEqual(self.said(link), b"hello")
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        self.proxy.heal()
        self.proxy.black_hole()
        time.sleep(0.05)
        with self.assertRaises(TimeoutError):
            self.said(link)
        self.proxy.heal()
        self.assertEqual(link.recv(100), b"hello")
        self.proxy.refuse()
        # Cut: at its end, or reset.
        with self.assertRaises(OSError):
            if not self.said(link):
                raise OSError
        with self.assertRaises(ConnectionRefusedError):
            self.link()
        self.proxy.heal()
        self.assertEqual(self.said(self.link()), b"hello")


class Told(unittest.TestCase):
    def test_a_notification_is_taken_apart(self) -> None:
        hook = Hook()
        self.addCleanup(hook.stop)
        labels = {"alertname": "ConvokeX", "slo": "s", "severity": "ticket"}
        http(
            f"{hook.url}/ticket",
            json.dumps({"alerts": [{"labels": labels, "status": "firing"}]}).encode(),
        )
        wait_until("the notification", lambda: bool(hook.told), 5)
        self.assertEqual((hook.told[0].receiver, hook.told[0].alert), ("ticket", "ConvokeX (ticket)"))
        self.assertEqual(key({"alertname": "ConvokeX", "slo": "s", "severity": "page"}), "ConvokeX")


class Judged(unittest.TestCase):
    def judge(self, status: int, kind: str, text: bytes) -> list[str]:
        caller: Any = None
        witness = Witness(caller)
        headers = HTTPMessage()
        Message.add_header(headers, "content-type", kind)
        witness.judge("GET /", status, headers, text)
        return witness.findings

    def test_an_error_must_be_a_problem_document(self) -> None:
        good = b'{"type":"about:blank","title":"Busy","status":503}'
        self.assertEqual(self.judge(503, "application/problem+json", good), [])
        self.assertEqual(self.judge(200, "text/html", b"anything"), [])
        for status, kind, text in (
            (503, "text/plain", good),
            (500, "application/problem+json", good),
            (503, "application/problem+json", b"<html>"),
            (503, "application/problem+json", b'{"status":503}'),
        ):
            self.assertEqual(len(self.judge(status, kind, text)), 1, (status, kind, text))

    def test_a_witness_who_saw_nothing_shows_nothing(self) -> None:
        caller: Any = None
        self.assertEqual(len(Witness(caller).report()), 2)

    def judged(self, name: str, *alarms: Alarm) -> Outcome:
        outcome = Outcome(name, 0.025, alarms=list(alarms), acknowledged=7)
        outcome.judge(REGISTRY[name])
        return outcome

    def test_an_alert_must_fire_in_time_and_its_receiver_be_told(self) -> None:
        def down(fired: float | None, receiver: str | None) -> Alarm:
            return Alarm("ConvokeDown", "page", True, 16, fired, fired, receiver)

        self.assertTrue(self.judged("service-killed", down(4.0, "page")).good)
        self.assertEqual(self.judged("service-killed", down(17.0, "page")).missed, ["ConvokeDown"])
        self.assertEqual(self.judged("service-killed", down(None, None)).missed, ["ConvokeDown"])
        for receiver in (None, "ticket"):
            self.assertEqual(len(self.judged("service-killed", down(4.0, receiver)).findings), 1)
        # The one whose rule is broken must not.
        self.assertTrue(self.judged("broken-rule", down(None, None)).good)
        self.assertFalse(self.judged("broken-rule", down(4.0, "page")).good)

    def test_what_is_held_back_is_neither_expected_to_be_told_nor_a_stray(self) -> None:
        behind = [
            Alarm("ConvokeNoReplicaReady", "page", True, 18, 5.0, 5.0, "page"),
            Alarm("ConvokeMigrationMissing", "ticket", True, 37, 24.0),
            Alarm("ConvokeNotReady", "ticket", True, 22, 9.0),
            Alarm("ConvokeRouteErrors", "ticket", False, None, 9.0),
        ]
        self.assertTrue(self.judged("schema-behind", *behind).good)
        behind[-1].told = 10.0
        self.assertEqual(len(self.judged("schema-behind", *behind).unlisted), 1)

    def test_recall_and_precision(self) -> None:
        down = Alarm("ConvokeDown", "page", True, 16, 4.0, 5.0, "page", 1.0)
        late = Alarm("ConvokeDown", "page", True, 16, 17.0, 18.0, "page", 1.0)
        stray = Alarm("ConvokeRouteErrors", "ticket", False, None, 3.0, 4.0, "ticket", 1.0)
        good = {"service-killed": self.judged("service-killed", down)}
        self.assertIn("1 of 1 expected alerts fired within their time (100%)", summary(good))
        bad = {"service-killed": self.judged("service-killed", late, stray)}
        self.assertIn("0 of 1 expected", summary(bad))
        self.assertIn("of 2 alerts that people were told of, 1 were", summary(bad))
        self.assertIn("Drills that failed: service-killed", summary(bad))
        text = paper(good | {"control": Outcome("control", 0.025)}, Pace(), "took a minute")
        self.assertIn("| 4.0 s (2 min 40 s) of 16 s |", text)
        self.assertIn("nothing fired", controls({"control": Outcome("control", 0.025)}))

    def test_a_drill_that_could_not_be_held_is_told_of(self) -> None:
        broken = {"service-killed": Outcome("service-killed", 0, findings=["no port"])}
        self.assertIn("0 of 1 expected", summary(broken))
        self.assertIn("**no** of 16 s", paper(broken, Pace(), "took a minute"))
        self.assertIn("**failed**", controls({"control": Outcome("control", 0, findings=["no port"])}))

    def test_an_outcome_is_read_as_it_was_written(self) -> None:
        outcome = Outcome("control", 0.025, alarms=[Alarm("ConvokeDown", "page", False)], missed=["x"])
        with scratch_folder() as folder:
            outcome.write(folder / "o.json")
            self.assertEqual(Outcome.read(folder / "o.json"), outcome)
        self.assertFalse(outcome.good)

    def test_every_severity_has_a_name_of_its_own(self) -> None:
        found = severities()
        self.assertEqual(found["ConvokeApiAvailabilityBudgetBurn"], "page")
        self.assertEqual(found["ConvokeApiAvailabilityBudgetBurn (ticket)"], "ticket")
