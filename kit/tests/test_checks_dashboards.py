"""Each rule of the dashboards' lint is silent on a good dashboard, and finds what it is for in a bad one."""

import copy
import unittest
from collections.abc import Callable

from kit import checks_dashboards, checks_dashboards_own
from kit.dashboards import dashboard, links
from kit.paths import DASHBOARDS

SOURCE = {
    "title": "Good",
    "description": "A dashboard that no rule finds anything in.",
    "variables": ["route"],
    "rows": [
        {
            "title": "Row",
            "panels": [
                {
                    "title": "Requests",
                    "description": "Requests. Normal: some.",
                    "kind": "timeseries",
                    "unit": "reqps",
                    "links": [
                        {"dashboard": "convoke-api"},
                        {"logs": '{service_name="convoke"} | json | level="ERROR"'},
                        {"traces": '{resource.service.name="convoke" && status=error}'},
                    ],
                    "queries": [
                        {
                            "legend": "{{channel}}",
                            "expr": "sum by (channel) (rate(outbox_deliveries_total[$__rate_interval]))",
                        }
                    ],
                },
                {
                    "title": "Latency",
                    "description": "Latency. Normal: low.",
                    "kind": "timeseries",
                    "unit": "s",
                    "queries": [
                        {"legend": "p99", "quantile": 0.99, "of": "http_server_request_duration_seconds"},
                        {
                            "legend": "budget",
                            "expr": 'slo:error_budget_remaining:ratio{slo="a", environment=~"$environment"}',
                        },
                    ],
                },
            ],
        }
    ],
}
KNOWN = {"convoke-api": {}}


def good() -> dict:
    """A dashboard in which no rule finds anything."""
    return dashboard.build("good", copy.deepcopy(SOURCE), KNOWN)


def panel(made: dict, index: int = 1) -> dict:
    """A panel of it; 0 is the row."""
    return made["panels"][index]


def asks(expression: str, legend: str = "a legend") -> Callable[[dict], None]:
    """Makes the first panel ask something else."""

    def change(made: dict) -> None:
        panel(made)["targets"][0] |= {"expr": expression, "legendFormat": legend}

    return change


def variable(which: str, **values: object) -> Callable[[dict], None]:
    """Changes a variable."""

    def change(made: dict) -> None:
        next(one for one in made["templating"]["list"] if one["name"] == which).update(values)

    return change


def sets(index: int = 1, **values: object) -> Callable[[dict], None]:
    """Changes a panel."""

    def change(made: dict) -> None:
        panel(made, index).update(values)

    return change


def leads_to(url: str) -> Callable[[dict], None]:
    """Makes a link of the first panel lead elsewhere."""

    def change(made: dict) -> None:
        panel(made)["links"][0]["url"] = url

    return change


M = 'environment=~"$environment", job=~"$job", instance=~"$instance"'
BAD: list[tuple[str, Callable[[dict], None]]] = [
    ("template-datasource-rule", variable("datasource", name="prometheus")),
    ("template-datasource-rule", variable("datasource", label="Prometheus")),
    ("template-job-rule", variable("job", allValue=".*")),
    ("template-job-rule", variable("job", name="jobs")),
    ("template-job-rule", variable("job", datasource={"uid": "prometheus"})),
    ("template-instance-rule", variable("instance", multi=False)),
    ("template-instance-rule", variable("instance", label="instance")),
    ("template-label-promql-rule", variable("job", query="label_values(up{, job)")),
    ("template-label-promql-rule", variable("job", query="values(up, job)")),
    ("template-on-time-change-reload-rule", variable("route", refresh=1)),
    ("panel-datasource-rule", sets(datasource={"type": "prometheus", "uid": "prometheus"})),
    ("panel-datasource-rule", lambda made: panel(made)["targets"][0].pop("datasource")),
    ("panel-title-description-rule", sets(description="")),
    ("panel-title-description-rule", sets(title="")),
    ("panel-units-rule", lambda made: panel(made)["fieldConfig"]["defaults"].pop("unit")),
    ("panel-units-rule", lambda made: panel(made)["fieldConfig"]["defaults"].update(unit="seconds")),
    ("panel-no-targets-rule", sets(targets=[])),
    ("target-logql-rule", leads_to(links.explore_url("loki", {"expr": "{service_name=convoke}"}))),
    ("target-logql-rule", leads_to(links.explore_url("tempo", {"query": "{ status = broken }"}))),
    ("target-logql-auto-rule", leads_to(links.explore_url("loki", {"expr": 'rate({service_name="convoke"}[5m])'}))),
    ("target-promql-rule", asks("sum by (")),
    ("target-promql-rule", asks(f"rate(panics_total{{{M}}}[$__nothing])")),
    ("target-rate-interval-rule", asks(f"sum(rate(panics_total{{{M}}}[5m]))")),
    ("target-rate-interval-rule", asks(f"panics_total{{{M}}}[5m]")),
    ("target-job-rule", asks(f"sum(up{{{M.replace('$job', 'convoke')}}})")),
    ("target-instance-rule", asks('sum(up{environment=~"$environment", job=~"$job"})')),
    ("target-instance-rule", asks(f"sum(up{{{M.replace('instance=~', 'instance=')}}})")),
    ("target-environment-rule", asks('sum(up{job=~"$job", instance=~"$instance"})')),
    ("target-counter-agg-rule", asks(f"sum(panics_total{{{M}}})")),
    ("target-counter-agg-rule", asks(f"sum(outbox_delivery_lag_seconds_count{{{M}}})")),
    ("target-counter-agg-rule", asks(f"sum(delta(panics_total{{{M}}}[$__rate_interval]))")),
    ("uneditable-dashboard", lambda made: made.update(editable=True)),
    ("series-of-no-target-rule", asks('slo:error_budget_remaining:ratio{slo="a"}')),
    ("series-of-no-target-rule", asks("slo:error_budget:ratio")),
    ("series-of-no-target-rule", asks("sum(ALERTS)")),
    ("panel-legend-rule", asks(f"sum(up{{{M}}})", "")),
    ("panel-legend-rule", asks(f"sum(up{{{M}}})", "{{instance}}")),
    ("panel-description-rule", sets(description="Requests.")),
    ("panel-place-rule", sets(gridPos={"h": 8, "w": 25, "x": 0, "y": 1})),
    ("panel-place-rule", sets(gridPos={"h": 8, "w": 12, "x": 0, "y": 1})),
    ("unique-rule", sets(2, title="Requests")),
    ("unique-rule", lambda made: panel(made, 2).update(id=panel(made)["id"])),
    ("unique-rule", lambda made: panel(made, 2)["targets"][1].update(refId="A")),
    ("links-rule", leads_to("/d/convoke-nothing?x")),
    ("links-rule", leads_to("/d/convoke-api?viewPanel=panel-0")),
    ("links-rule", leads_to(f"{checks_dashboards_own.REPOSITORY_URL}/docs/runbooks/Nothing.md")),
    ("links-rule", leads_to("https://example.org/")),
    ("known-series-rule", asks(f"sum(rate(panics_seen_total{{{M}}}[$__rate_interval]))")),
    ("known-series-rule", asks(f'sum(rate(panics_total{{{M}, route="a"}}[$__rate_interval]))')),
    ("known-series-rule", asks(f'sum(outbox_dead{{{M}, channel="pigeon"}})')),
    ("known-series-rule", asks(f'sum(rate(outbox_deliveries_total{{{M}, outcome=~"lost|dead"}}[$__rate_interval]))')),
    ("known-series-rule", asks(f"sum by (route) (up{{{M}}})")),
    ("known-series-rule", asks('slo:nothing:ratio{slo="a", environment=~"$environment"}')),
    ("known-series-rule", lambda made: made["annotations"]["list"][1].update(expr="builds_info")),
]


class Rules(unittest.TestCase):
    """The rules one by one."""

    def test_a_good_dashboard_has_no_findings(self) -> None:
        self.assertEqual(checks_dashboards.findings(good()), [])

    def test_each_bad_example_is_found_by_its_rule(self) -> None:
        for name, spoil in BAD:
            with self.subTest(name):
                made = good()
                spoil(made)
                found = [one for one in checks_dashboards.findings(made) if f": {name}: " in one]
                self.assertNotEqual(found, [], "nothing was found")

    def test_every_rule_has_a_bad_example(self) -> None:
        self.assertEqual(set(checks_dashboards.CHECKS), {name for name, _ in BAD})

    def test_the_readme_names_every_rule(self) -> None:
        text = (DASHBOARDS / "README.md").read_text()
        self.assertEqual([name for name in checks_dashboards.CHECKS if f"`{name}`" not in text], [])

    def test_panels_in_collapsed_rows_are_looked_at(self) -> None:
        made = good()
        row, *rest = made["panels"]
        row["collapsed"], row["panels"], made["panels"] = True, rest, [row]
        rest[0]["targets"][0]["expr"] = "sum by ("
        self.assertTrue(any("target-promql-rule" in one for one in checks_dashboards.findings(made)))


class Across(unittest.TestCase):
    """What only all dashboards together show."""

    def test_a_metric_on_no_dashboard_is_found(self) -> None:
        self.assertTrue(
            any("outbox_dead is on no dashboard" in one for one in checks_dashboards_own.across({"good": good()}))
        )

    def test_a_uid_other_than_the_file_is_found(self) -> None:
        found = checks_dashboards_own.across({"other": good()})
        self.assertIn("dashboards/other.json: has the uid good", found)

    def test_every_metric_is_on_a_committed_dashboard(self) -> None:
        self.assertEqual(checks_dashboards_own.across(checks_dashboards_own.committed()), [])


if __name__ == "__main__":
    unittest.main()
