"""Holds everything that the kit names against a running service that is under load, closed in both directions:

- every declared metric is exposed with exactly its labels, and nothing else is;
- every selector of a dashboard, a rule or a runbook finds a series, label values included, on one engine at least;
- every query of every panel and runbook runs, and every panel shows data or a primed zero;
- no rule fails, and no alert fires.

That a dashboard shows every metric is `lint`'s to say. Spans and log fields are held to their declaration by the
service's own tests (`cargo test --test it monitoring`).
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser as parser
import yaml

from kit import runbooks
from kit.dashboards import promql
from kit.instruments import SCRAPE_SERIES, TARGET_LABELS, instrument_of, series, values_of
from kit.load import ENGINES, k6
from kit.observe import firing, watch
from kit.panels import built_in, check_panels, queries, substitute
from kit.paths import ALERTS, DASHBOARDS
from kit.process import Program, StartError
from kit.prometheus import PrometheusClient, QueryError
from kit.stack import Stack, stack

# What Prometheus adds to each target.
OF_PROMETHEUS = {*SCRAPE_SERIES, "scrape_samples_post_metric_relabeling", "scrape_series_added"}
# What a healthy service does not have, each with the reason; any other selector must find a series.
ABSENT = {
    r"ALERTS\b.*": "nothing is pending or firing",
    r"k6_dropped_iterations_total\b.*": "k6 reports it once an arrival was dropped",
    r'db_client_operation_duration_seconds_\w+\{.*error_type!="".*\}': (
        "an operation has a series for an error once it failed with it; db_client_operation_errors_total is primed"
    ),
}
OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def rule_expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the shipped rules, with where it stands."""
    for path in sorted(ALERTS.glob("*.rules.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield f"{path.name}: {rule.get('alert') or rule['record']}", rule["expr"]


def expressions() -> Iterator[tuple[str, str]]:
    """Everything that the kit asks of a Prometheus, variables filled in."""
    yield from rule_expressions()
    values = built_in(time.time())
    for path in sorted(DASHBOARDS.glob("*.json")):
        yield from ((f"{one.dashboard}: {one.place}", one.expression) for one in queries(path, values))
    yield from ((where, substitute(expression, values)) for where, expression in runbooks.queries())


def bare(selector: parser.VectorSelector) -> str:
    """A selector without range, offset and `@`."""
    matchers = [f"{one.name}{OPERATORS[str(one.op)]}{json.dumps(one.value)}" for one in selector.matchers.matchers]
    return f"{selector.name or ''}{{{', '.join(sorted(matchers))}}}"


def undeclared(prometheus: PrometheusClient) -> list[str]:
    """The difference between what is declared and what was scraped: names, labels, label values."""
    found: dict[str, set[str]] = {}
    wrong = set()
    for labels in prometheus.series('{job="convoke"}'):
        name = labels.pop("__name__")
        if name in OF_PROMETHEUS or name.startswith("ALERTS"):
            continue
        own = {label: value for label, value in labels.items() if label not in TARGET_LABELS}
        found.setdefault(name, set()).update(own)
        instrument = instrument_of(name)
        for label, value in own.items():
            known = values_of(instrument.name, label) if instrument else None
            if known is not None and value not in known:
                wrong.add(f'{name} has {label}="{value}", which kit/label_values.yaml does not list')
    declared = {name: set(labels) for name, labels in series().items() if name not in OF_PROMETHEUS}
    wrong |= {f"{name} is declared and not exposed" for name in declared.keys() - found.keys()}
    wrong |= {f"{name} is exposed and not declared" for name in found.keys() - declared.keys()}
    for name in declared.keys() & found.keys():
        if extra := found[name] - declared[name]:
            wrong.add(f"{name} has labels that are not declared: {sorted(extra)}")
        # For Prometheus a label that is empty is absent: an operation's error_type until the first one fails.
        if missing := declared[name] - found[name] - {"error_type"}:
            wrong.add(f"{name} never has its labels {sorted(missing)}")
    return sorted(wrong)


def unresolved(prometheus: PrometheusClient) -> tuple[int, dict[str, str]]:
    """How many selectors the kit has, and those that find nothing, each with where it stands."""
    asked: dict[str, set[str]] = {}
    for where, expression in expressions():
        for selector in promql.selectors(parser.parse(expression)):
            asked.setdefault(bare(selector), set()).add(where)
    empty = {}
    for selector, places in sorted(asked.items()):
        if any(re.fullmatch(pattern, selector) for pattern in ABSENT):
            continue
        if not prometheus.query(f"count(last_over_time({selector}[10m]))"):
            empty[selector] = ", ".join(sorted(places))
    return len(asked), empty


def failing_runbooks(prometheus: PrometheusClient) -> tuple[int, list[str]]:
    """How many queries the runbooks have, and those that Prometheus refuses."""
    wrong, values, sent = [], built_in(time.time()), 0
    for where, expression in runbooks.queries():
        sent += 1
        try:
            prometheus.query(substitute(expression, values))
        except QueryError as error:
            wrong.append(f"{where}: {error}")
    return sent, wrong


@dataclass
class Seen:
    """What was seen of one engine."""

    findings: list[str]
    empty: dict[str, str] = field(default_factory=dict)


def check(prometheus: PrometheusClient) -> Seen:
    """Everything that is wrong with a service to which nothing was done."""
    findings = undeclared(prometheus)
    print(f"{len(series())} series names declared; {len(findings)} differences from what is exposed")
    asked, empty = unresolved(prometheus)
    print(f"{asked} selectors of dashboards, rules and runbooks; {len(empty)} find nothing on this engine")
    counted = [
        ("queries of runbooks", failing_runbooks(prometheus)),
        ("queries of dashboards", check_panels(prometheus)),
    ]
    for what, (count, wrong) in counted:
        print(f"{count} {what}; {len(wrong)} find nothing or fail")
        findings += wrong
    rules, alerts = prometheus.rules(), prometheus.alerts()
    findings += [f"rule {rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    findings += firing(alerts)
    print(f"{len(rules)} rules evaluated; {len(alerts)} alerts pending or firing")
    return Seen(findings, empty)


def under_load(running: Stack, seconds: float) -> Seen:
    """Waits under a light load of k6's, and says what is wrong then."""
    load: Program = k6(running, "soak", "contract", {"RATE": "10", "DURATION": "1h"})
    running.also(load)
    running.prometheus.wait_scraped()
    ended = watch(running, load, seconds)
    return Seen(ended) if ended else check(running.prometheus)


def main(arguments: list[str]) -> int:
    parser_ = argparse.ArgumentParser(prog="python -m kit contract", description=__doc__)
    parser_.add_argument("--engine", choices=ENGINES, action="append", help="may be repeated; both if not given")
    parser_.add_argument("--for", dest="seconds", type=float, default=90, help="of load before the checks")
    options = parser_.parse_args(arguments)
    findings: list[str] = []
    empty: list[dict[str, str]] = []
    try:
        for engine in options.engine or ENGINES:
            print(f"=== {engine}", flush=True)
            # Alertmanager has no part in it.
            with stack(engine, interval="5s", alertmanager=None) as running:
                seen = under_load(running, options.seconds)
            findings += [f"{engine}: {one}" for one in seen.findings]
            empty.append(seen.empty)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    # Some series are one engine's only, as are the queries about them.
    nowhere = set.intersection(*(set(one) for one in empty)) if empty else set()
    findings += [f"{selector} finds nothing; asked for by {empty[0][selector]}" for selector in sorted(nowhere)]
    print("\n".join(findings) or "what is named is there, and what is there is named")
    return 1 if findings else 0
