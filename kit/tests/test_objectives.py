"""The console knows the objectives too: what it was built with must be what `alerts/slo.yaml` says."""

import re
import unittest

import yaml

from kit.paths import ALERTS, ROOT


class Objectives(unittest.TestCase):
    """The constants of the service against the one file of objectives."""

    def setUp(self) -> None:
        self.slos = {one["name"]: one for one in yaml.safe_load((ALERTS / "slo.yaml").read_text())["slos"]}
        self.source = (ROOT / "src/telemetry/objectives.rs").read_text()

    def test_names_and_targets(self) -> None:
        known = re.findall(r'name: "([a-z-]+)",\s+title: "[^"]+",\s+target: ([\d.]+),', self.source)
        expected = {name: round(one["objective"] / 100, 6) for name, one in self.slos.items()}
        self.assertEqual({name: float(target) for name, target in known}, expected)

    def test_limits_of_latency_and_freshness(self) -> None:
        def bound(slo: str) -> float:
            return float(re.search(r'le="([\d.]+)"', self.slos[slo]["errors"])[1])

        def constant(pattern: str) -> float:
            return float(re.search(pattern, self.source)[1])

        self.assertEqual(
            constant(r"READ_LIMIT: Duration = Duration::from_millis\((\d+)\)") / 1000, bound("api-read-latency")
        )
        self.assertEqual(
            constant(r"WRITE_LIMIT: Duration = Duration::from_millis\((\d+)\)") / 1000, bound("api-write-latency")
        )
        self.assertEqual(constant(r"LAG_LIMIT_SECONDS: f64 = ([\d.]+)"), bound("delivery-freshness"))

    def test_routes_and_the_least_that_alerts(self) -> None:
        routes = re.search(r'ROUTES: &str = "([^"]+)"', self.source)[1]
        for name in ("api-availability", "api-read-latency", "api-write-latency"):
            for query in ("errors", "total"):
                self.assertIn(f'http_route=~"{routes}.+"', self.slos[name][query])
        least = int(re.search(r"MINIMUM_BAD: u64 = (\d+)", self.source)[1])
        self.assertEqual(least, yaml.safe_load((ALERTS / "slo.yaml").read_text())["minimum_errors"])

    def test_methods(self) -> None:
        for function, slo in (("is_read", "api-read-latency"), ("is_write", "api-write-latency")):
            listed = re.search(rf"fn {function}\(.*?matches!\(method, (.*?)\)", self.source, re.DOTALL)[1]
            asked = re.search(r'http_request_method=~"([^"]+)"', self.slos[slo]["errors"])[1]
            self.assertEqual(re.findall(r'"(\w+)"', listed), asked.split("|"))
