"""The checks of the deployment files find what is wrong: each case spoils one thing in a copy of the real ones."""

import copy
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from kit.checks_deploy import addresses, health, pipelines, ports, sampling, services, settings
from kit.paths import DEPLOY
from kit.settings import unknown
from kit.tools import refusal

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
COLLECTOR = yaml.safe_load((DEPLOY / "otel-collector.yaml").read_text())
README = (DEPLOY / "README.md").read_text()
LISTENING = ports(COMPOSE, DEPLOY)


def spoilt(document: Any, change: Callable[[Any], Any]) -> Any:
    """A copy with one thing changed."""
    other = copy.deepcopy(document)
    change(other)
    return other


class Deployment(unittest.TestCase):
    def test_a_spoilt_service_is_found(self) -> None:
        cases = {
            "not pinned": lambda c: c["services"]["loki"].update(image="grafana/loki:latest"),
            "is not pinned": lambda c: c["services"]["loki"].update(image="registry.example.org:5000/loki"),
            "does not exist": lambda c: c["services"]["loki"]["volumes"].append("./no-such.yaml:/x:ro"),
            "dockerfile does not exist": lambda c: c["services"]["convoke"]["build"].update(dockerfile="no dockerfile"),
            "can be written to": lambda c: c["services"]["loki"].update(volumes=["./loki.yaml:/etc/loki/loki.yaml"]),
            "is not declared": lambda c: c["volumes"].pop("loki-data"),
            "not bound to the loopback": lambda c: c["services"]["grafana"].update(ports=["3000:3000"]),
            "it listens on": lambda c: c["services"]["grafana"].update(ports=["127.0.0.1:3000:3001"]),
            "which is no service": lambda c: c["services"].pop("postgres"),
            "which has no check": lambda c: c["services"]["postgres"].pop("healthcheck"),
            "nobody uses": lambda c: c["volumes"].update(forgotten=None),
        }
        for words, change in cases.items():
            with self.subTest(words):
                found = list(services(spoilt(COMPOSE, change), DEPLOY, LISTENING))
                self.assertTrue([text for text in found if words in text], found)

    def test_a_spoilt_health_check_is_found(self) -> None:
        self.assertEqual(list(health(COMPOSE)), [])
        cases = {
            "is not asked": lambda c: c["services"]["convoke"]["healthcheck"].update(test=["CMD", "curl", "localhost"]),
            "is given up before": lambda c: c["services"]["convoke"]["healthcheck"].update(timeout="3s"),
        }
        for words, change in cases.items():
            with self.subTest(words):
                found = list(health(spoilt(COMPOSE, change)))
                self.assertTrue([text for text in found if words in text], found)

    def test_the_real_addresses_settings_and_pipelines_are_right(self) -> None:
        self.assertEqual(list(addresses("compose", COMPOSE, LISTENING)), [])
        self.assertEqual(list(settings(COMPOSE, README)), [])
        self.assertEqual(list(pipelines(COLLECTOR)), [])

    def test_an_address_of_nobody_or_with_a_wrong_port_is_found(self) -> None:
        for text in ("http://tempos:4318", "http://tempo:4319", "convoke:8081", "postgres://u:p@postgres:5433/db"):
            with self.subTest(text):
                self.assertEqual(len(list(addresses("x", {"a": [text]}, LISTENING))), 1)

    def test_an_unknown_setting_or_an_unexplained_variable_is_found(self) -> None:
        environment = {"CONVOKE_LISTENS": "1", "CONVOKE_LISTEN": "${NOT_SAID}"}
        convoke = {"environment": environment, "stop_grace_period": "60s"}
        found = list(settings({"services": {"convoke": convoke}}, README))
        self.assertEqual(len(found), 2, found)

    def test_an_end_that_is_cut_off_is_found(self) -> None:
        short = spoilt(COMPOSE, lambda c: c["services"]["convoke"].update(stop_grace_period="40s"))
        self.assertEqual(len(list(settings(short, README))), 1)

    def test_an_unknown_setting_anywhere_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "deploy"
            folder.mkdir()
            (folder / "unit.conf").write_text(
                "CONVOKE_LISTENS=1\nOTEL_TRACE=2\nCONVOKE_LISTEN=3 # CONVOKE_* and OTEL_*\n"
            )
            found = list(unknown(folder))
        self.assertEqual([text.rpartition(" ")[2] for text in found], ["CONVOKE_LISTENS", "OTEL_TRACE"])

    def test_a_program_that_is_missing_is_a_finding(self) -> None:
        self.assertIn("is missing", refusal("no-such-program") or "")

    def test_a_part_of_the_collector_that_is_not_used_or_not_defined_is_found(self) -> None:
        unused = spoilt(COLLECTOR, lambda c: c["processors"].update(other={}))
        undefined = spoilt(COLLECTOR, lambda c: c["exporters"].pop("otlp_http/loki"))
        self.assertEqual(len(list(pipelines(unused))), 1)
        self.assertEqual(len(list(pipelines(undefined))), 1)

    def test_a_sampling_that_loses_what_matters_is_found(self) -> None:
        self.assertEqual(list(sampling(COLLECTOR)), [])
        cases: dict[str, Callable[[Any], Any]] = {
            "that failed": lambda c: c["processors"]["tail_sampling"]["policies"].pop(0),
            "slower than": lambda c: c["processors"]["tail_sampling"]["policies"][1]["latency"].update(
                threshold_ms=500
            ),
            "before its end": lambda c: c["processors"]["tail_sampling"].update(decision_wait="10s"),
            "between": lambda c: c["service"]["pipelines"]["traces"]["processors"].reverse(),
        }
        for words, change in cases.items():
            with self.subTest(words):
                found = list(sampling(spoilt(COLLECTOR, change)))
                self.assertTrue([text for text in found if words in text], found)


if __name__ == "__main__":
    unittest.main()
