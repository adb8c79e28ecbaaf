"""Each check of rules finds what it is there for in a rule that is good but for one thing."""

import unittest
from dataclasses import replace
from typing import Any

from kit import checks_rules
from kit.paths import REPOSITORY_URL
from kit.ruleset import Rule, RuleSet

RUNBOOK = f"{REPOSITORY_URL}/docs/runbooks/ConvokeTest.md"
GOOD: dict[str, Any] = {
    "alert": "ConvokeTest",
    "expr": 'sum by (environment, channel) (increase(outbox_deliveries_total{job="convoke", outcome="dead"}[5m])) > 0',
    "for": "10m",
    "labels": {"severity": "ticket", "service": "convoke"},
    "annotations": {
        "summary": "Something is wrong",
        "description": "In {{ $labels.environment }} to {{ $labels.channel }}: {{ $value | humanize }}.",
        "runbook_url": RUNBOOK,
        "dashboard_url": "/d/convoke-delivery?viewPanel=3",
    },
}
RECORDED: dict[str, Any] = {
    "record": "slo:deliveries:increase5m",
    "expr": 'sum by (environment) (increase(outbox_deliveries_total{job="convoke"}[5m]))',
    "labels": {"slo": "test"},
}


def rule(body: dict[str, Any], group: str = "g", interval: str = "1m") -> Rule:
    """A rule of a file that is not there."""
    return Rule("test.rules.yaml", group, interval, body)


def rule_set(*rules: Rule) -> RuleSet:
    """What the good rule needs."""
    names = frozenset({"convoke-delivery"}), frozenset({"ConvokeTest"})
    return RuleSet(rules, "31d", frozenset({"region"}), *names)


def found(rules: RuleSet) -> set[str]:
    """The names of the checks that find something."""
    return {one.split(": ")[2] for one in checks_rules.findings(rules)}


def changed(**fields: Any) -> set[str]:
    """What is found in the good rule with some fields changed; `None` takes a field away."""
    body = {name: value for name, value in {**GOOD, **fields}.items() if value is not None}
    return found(rule_set(rule(body)))


def query(expr: str, description: str = "Wrong.") -> set[str]:
    """What is found in the good rule with another query."""
    return changed(expr=expr, annotations={**GOOD["annotations"], "description": description})


# Queries that are good but for what their check finds.
QUERIES = {
    "promql/syntax": ['sum by (environment (up{job="convoke"}) > 0'],
    "promql/aggregate": ['sum(increase(panics_total{job="convoke"}[5m])) > 0', 'max(up{job="convoke"}) == 0'],
    "promql/counter": ['panics_total{job="convoke"} > 3', 'max by (environment) (panics_total{job="convoke"}) > 3'],
    "promql/rate": [
        'rate(outbox_pending{job="convoke"}[5m]) > 1',
        'deriv(panics_total{job="convoke"}[5m]) > 1',
        'increase(panics_total{job="convoke"}[30s]) > 1',
        'rate(sum by (environment) (panics_total{job="convoke"})[5m:1m]) > 1',
    ],
    "promql/regexp": [
        'outbox_pending{job="convoke", channel=~"inbox"} > 1',
        'outbox_pending{job="convoke", channel=~"^in.+"} > 1',
        'outbox_pending{job="convoke", channel=~".+"} > 1',
    ],
    "promql/selector": ["up == 0", 'up{job="other"} == 0', 'up{job=~"convoke|other"} == 0'],
    "promql/series": [
        'no_such_metric{job="convoke"} > 0',
        'outbox_pending{job="convoke", http_route="/"} > 0',
        'outbox_pending{job="convoke", channel="inbxo"} > 0',
        'db_client_connection_count{job="convoke", state=~"idle|usde"} > 0',
        'rate(outbox_delivery_lag_seconds_bucket{job="convoke", le="30"}[5m]) > 0',
    ],
    "promql/vector_matching": [
        'outbox_pending{job="convoke"} / process_threads{job="convoke"} > 1',
        'process_threads{job="convoke"} / on (environment, channel) process_max_fds{job="convoke"} > 1',
        'process_threads{job="convoke"} > 1 and max by (environment) (outbox_pending{job="convoke"}) > 1',
    ],
    "promql/impossible": [
        'max by (environment, volume) (outbox_pending{job="convoke"}) > 1',
        '(2 > bool 1) * process_threads{job="convoke"} > 1',
    ],
    "promql/fragile": ['topk(3, outbox_pending{job="convoke"}) > 1'],
    "promql/nan": [
        'sum by (environment) (process_open_fds{job="convoke"} / process_max_fds{job="convoke"}) > 1',
    ],
    "promql/range_query": ['increase(panics_total{job="convoke"}[40d]) > 1'],
    "promql/offset": ['increase(panics_total{job="convoke"}[5m] offset 40d) > 1'],
    "alerts/comparison": [
        'outbox_pending{job="convoke"}',
        'outbox_pending{job="convoke"} > bool 3',
        'outbox_pending{job="convoke"} and outbox_pending{job="convoke"} > 3',
        'outbox_pending{job="convoke"} > 3 or outbox_pending{job="convoke"}',
    ],
}
# Fields likewise.
FIELDS = [
    ("alerts/absent", {"expr": 'absent(up{job="convoke"})', "for": "20s"}),
    ("alerts/annotation", {"annotations": {"summary": "Something is wrong"}}),
    ("alerts/annotation", {"annotations": {**GOOD["annotations"], "summary": " "}}),
    ("alerts/annotation", {"annotations": {**GOOD["annotations"], "summary": "More than {share:percent}"}}),
    ("alerts/external_labels", {"annotations": {**GOOD["annotations"], "summary": "{{ $externalLabels.zone }}"}}),
    ("alerts/for", {"for": "ten minutes"}),
    ("alerts/for", {"for": "0s"}),
    ("alerts/template", {"annotations": {**GOOD["annotations"], "summary": "{{ $labels.instance }}"}}),
    ("alerts/template", {"annotations": {**GOOD["annotations"], "summary": "{{ $value }} dead"}}),
    ("alerts/template", {"labels": {**GOOD["labels"], "value": "{{ $value }}"}}),
    ("labels/conflict", {"labels": {**GOOD["labels"], "region": "north"}}),
    ("rule/for", {"for": "10s"}),
    ("rule/for", {"for": "2h"}),
    ("rule/label", {"labels": {"severity": "page"}}),
    ("rule/label", {"labels": {"severity": "critical", "service": "convoke"}}),
    ("rule/link", {"annotations": {**GOOD["annotations"], "runbook_url": RUNBOOK.replace("Test", "Text")}}),
    ("rule/link", {"annotations": {**GOOD["annotations"], "dashboard_url": "/d/convoke-delivry"}}),
    ("rule/name", {"alert": "convoke_test"}),
    ("rule/reject", {"labels": {**GOOD["labels"], "instance": "a"}}),
]
# What takes more than one rule.
ELSEWHERE = {"group/interval", "rule/dependency", "rule/duplicate"}


class Checks(unittest.TestCase):
    def test_a_good_rule_is_good(self) -> None:
        self.assertEqual(checks_rules.findings(rule_set(rule(RECORDED), rule(GOOD))), [])

    def test_every_check_has_a_case_below(self) -> None:
        cases = {*QUERIES, *(name for name, _ in FIELDS), *ELSEWHERE}
        self.assertEqual(set(checks_rules.CHECKS) - cases, set())

    def test_queries(self) -> None:
        for name, queries in QUERIES.items():
            for expr in queries:
                with self.subTest(name, expr=expr):
                    self.assertIn(name, query(expr))

    def test_a_quotient_of_aggregations_is_fragile_only_without_for(self) -> None:
        part = 'sum by (environment) (increase(outbox_deliveries_total{job="convoke"}[5m]))'
        texts = {**GOOD["annotations"], "description": "Wrong."}
        quotient = f"{part} / {part} > 1"
        self.assertEqual(changed(expr=quotient, annotations=texts), set())
        self.assertEqual(changed(expr=quotient, annotations=texts, **{"for": None}), {"promql/fragile"})

    def test_unless_is_a_condition_without_a_comparison(self) -> None:
        up_and_built = 'up{job="convoke"} %s on (environment, instance) build_info{job="convoke"}'
        self.assertNotIn("alerts/comparison", query(up_and_built % "unless"))
        self.assertIn("alerts/comparison", query(up_and_built % "and"))

    def test_fields(self) -> None:
        for name, fields in FIELDS:
            with self.subTest(name, fields=fields):
                # A `for` that cannot be read is compared by no other check.
                only = [name] if fields.get("for") == "ten minutes" else None
                body = {**GOOD, **fields}
                rules = rule_set(rule(body))
                self.assertTrue(any(f": {name}: " in one for one in checks_rules.findings(rules, only)))

    def test_a_group_that_waits_long(self) -> None:
        self.assertEqual(found(rule_set(rule(RECORDED, interval="10m"))), {"group/interval"})

    def test_a_rule_that_stands_twice(self) -> None:
        self.assertEqual(found(rule_set(rule(GOOD), rule({**GOOD, "for": "5m"}))), {"rule/duplicate"})

    def test_what_is_read_is_recorded_before_in_the_same_group(self) -> None:
        expr = 'slo:deliveries:increase5m{slo="test"} > 0'
        texts = {**GOOD["annotations"], "description": "Wrong."}
        labels = {**GOOD["labels"], "slo": "test", "long_window": "1h", "short_window": "5m"}
        reader = {**GOOD, "expr": expr, "labels": labels, "annotations": texts}
        good = rule_set(rule(RECORDED), rule(reader))
        self.assertEqual(found(good), set())
        for rules in ((rule(reader), rule(RECORDED)), (rule(RECORDED, "other"), rule(reader))):
            self.assertEqual(found(rule_set(*rules)), {"rule/dependency"})
        self.assertIn("rule/dependency", found(rule_set(rule(reader))))

    def test_recordings_are_named_by_level_and_operation(self) -> None:
        self.assertEqual(found(rule_set(rule({**RECORDED, "record": "deliveries_5m"}))), {"rule/name"})

    def test_retention_is_that_of_the_configuration(self) -> None:
        body = {**GOOD, "expr": GOOD["expr"].replace("[5m]", "[20d]")}
        self.assertEqual(found(rule_set(rule(body))), set())
        shorter = replace(rule_set(rule(body)), retention="15d")
        self.assertEqual(found(shorter), {"promql/range_query", "promql/offset"})


if __name__ == "__main__":
    unittest.main()
