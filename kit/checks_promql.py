"""pint's checks of queries, `promql/*`, each under its name there; see `kit.checks_rules` for the table of all."""

import json
import re
from collections.abc import Iterator
from functools import cache

import promql_parser as parser

from kit import durations
from kit.dashboards.promql import selectors
from kit.instruments import instrument_of, values_of
from kit.paths import DOCS
from kit.ruleset import Rule, RuleSet, is_counter

Finding = tuple[Rule, str]
SCRAPE_INTERVAL = "15s"
# What may stand directly on a counter.
OF_COUNTERS = {"rate", "irate", "increase", "resets", "changes", "absent", "absent_over_time", "timestamp"}
RATES = {"rate", "irate", "increase"}
OF_GAUGES = {"deriv", "delta", "idelta", "predict_linear"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
SETS = {"and", "or", "unless"}
REGEXPS = (parser.MatchOp.Re, parser.MatchOp.NotRe)
# Every row of these is in every query: what a scrape of another job has under the same name is not ours.
JOB = "convoke"


def _calls(rules: RuleSet, rule: Rule) -> Iterator[parser.Call]:
    return (node for node, _ in rules.nodes(rule) if isinstance(node, parser.Call))


def _binaries(rules: RuleSet, rule: Rule) -> Iterator[parser.BinaryExpr]:
    return (node for node, _ in rules.nodes(rule) if isinstance(node, parser.BinaryExpr))


def syntax(rules: RuleSet) -> Iterator[Finding]:
    """The query parses, by two parsers: this one here, and Prometheus's own in `promtool check rules`."""
    for rule in rules.rules:
        try:
            rules.tree(rule)
        except ValueError as error:
            yield rule, f"is no PromQL: {error}"


def aggregate(rules: RuleSet) -> Iterator[Finding]:
    """The result keeps `environment`, so that two installations are never taken for one."""
    for rule in rules.rules:
        labels = rules.labels(rules.tree(rule))
        has_series = any(one.name for one in rules.selectors(rule))
        absent = any(call.func.name == "absent" for call in _calls(rules, rule))
        if has_series and not absent and "environment" not in (labels or ()):
            yield rule, "loses the label environment"


def counter(rules: RuleSet) -> Iterator[Finding]:
    """A counter's own value means nothing: it stands in rate(), increase() or their like, or is only counted."""
    for rule in rules.rules:
        for node, above in rules.nodes(rule):
            if not isinstance(node, parser.VectorSelector) or not is_counter(node.name or ""):
                continue
            counted = above and isinstance(above[-1], parser.AggregateExpr) and str(above[-1].op) in {"count", "group"}
            rated = any(isinstance(one, parser.Call) and one.func.name in OF_COUNTERS for one in above)
            if not counted and not rated:
                yield rule, f"uses the bare value of the counter {node.name}"


def rate(rules: RuleSet) -> Iterator[Finding]:
    """rate() and its like stand on counters, over four scrapes or more; deriv() and its like on gauges."""
    least = 4 * durations.milliseconds(SCRAPE_INTERVAL)
    for rule in rules.rules:
        for call in _calls(rules, rule):
            name = call.func.name
            if name not in RATES | OF_GAUGES:
                continue
            for selector in selectors(call):
                if name in RATES and not is_counter(selector.name or ""):
                    yield rule, f"{name}() of {selector.name}, which is no counter"
                if name in OF_GAUGES and is_counter(selector.name or ""):
                    yield rule, f"{name}() of {selector.name}, which is a counter"
            if any(isinstance(one, parser.SubqueryExpr) for one in call.args):
                yield rule, f"{name}() of a subquery: a sum of counters has no resets to see"
            for one in call.args:
                if isinstance(one, parser.MatrixSelector) and one.range.total_seconds() * 1000 < least:
                    yield rule, f"{name}() over less than four scrapes of {SCRAPE_INTERVAL}"


def regexp(rules: RuleSet) -> Iterator[Finding]:
    """A regular expression is needed, is not anchored again, and tells something."""
    for rule in rules.rules:
        for selector in rules.selectors(rule):
            for one in (one for one in selector.matchers.matchers if one.op in REGEXPS):
                if re.escape(one.value).replace("\\-", "-") == one.value:
                    yield rule, f'{one.name}=~"{one.value}" has no pattern: use ='
                if one.value.startswith("^") or one.value.endswith("$"):
                    yield rule, f'{one.name}=~"{one.value}" is anchored anyway'
                if one.value in (".*", ".+"):
                    yield rule, f'{one.name}=~"{one.value}" selects all or nothing'


def selector(rules: RuleSet) -> Iterator[Finding]:
    """What is scraped is selected by job; what is recorded has been."""
    for rule in rules.rules:
        for one in rules.selectors(rule):
            jobs = [(match.op, match.value) for match in one.matchers.matchers if match.name == "job"]
            if one.name not in rules.recorded and jobs != [(parser.MatchOp.Equal, JOB)]:
                yield rule, f'{one.name} is not selected by job="{JOB}"'


def _possible(matcher: parser.Matcher, values: frozenset[str]) -> str | None:
    """What of a matcher no value can meet."""
    if matcher.op in (parser.MatchOp.Equal, parser.MatchOp.NotEqual):
        return None if matcher.value in values else matcher.value
    alternatives = [matcher.value] if "(" in matcher.value else matcher.value.split("|")
    for pattern in alternatives:
        if not any(re.fullmatch(pattern, value) for value in values):
            return pattern
    return None


def series(rules: RuleSet) -> Iterator[Finding]:
    """Every series is one of the service's, of Prometheus's for each target, or recorded here; it has the labels that
    are asked for, and they can take the values."""
    for rule in rules.rules:
        for one in rules.selectors(rule):
            labels = rules.labels_of(one.name or "")
            if labels is None:
                yield rule, f"{one.name} is no series of ours"
                continue
            for matcher in one.matchers.matchers:
                if matcher.name not in labels:
                    yield rule, f"{one.name} has no label {matcher.name}"
                    continue
                instrument = instrument_of(one.name or "")
                values = values_of(instrument.name, matcher.name) if instrument else None
                if matcher.name == "le" and instrument:
                    values = bounds(instrument.name)
                if values is not None and (missing := _possible(matcher, values)) is not None:
                    yield rule, f'{one.name} never has {matcher.name}="{missing}"'


@cache
def bounds(name: str) -> frozenset[str]:
    """The values of a histogram's `le`."""
    rows = json.loads((DOCS / "metrics.json").read_text())
    return frozenset(f"{bound:g}" for row in rows if row["name"] == name for bound in row["buckets"]) | {"+Inf"}


def _matched(rules: RuleSet, node: parser.BinaryExpr) -> tuple[set[str], set[str], set[str] | None, bool] | None:
    """The labels of both sides, those listed by on() or ignoring(), and whether it is on()."""
    left, right = rules.labels(node.lhs), rules.labels(node.rhs)
    if left is None or right is None:
        return None
    matching = node.modifier.matching if node.modifier else None
    if matching is None:
        return left, right, None, False
    return left, right, set(matching.labels), matching.type == parser.LabelModifierType.Include


def vector_matching(rules: RuleSet) -> Iterator[Finding]:
    """Both sides of an operator have the labels that they are matched on, and no others besides."""
    for rule in rules.rules:
        for node in _binaries(rules, rule):
            found = _matched(rules, node)
            if found is None:
                continue
            left, right, listed, is_on = found
            if is_on:
                if missing := (listed or set()) - (left & right):
                    yield rule, f"{node.op} on ({', '.join(sorted(missing))}), which one side has not"
            elif left - (listed or set()) != right - (listed or set()):
                differing = (left ^ right) - (listed or set())
                yield rule, f"{node.op} between sides that differ in {', '.join(sorted(differing))}"


def impossible(rules: RuleSet) -> Iterator[Finding]:
    """No aggregation, on() or group_left() names a label that is gone by then; no two numbers are compared."""
    for rule in rules.rules:
        for node, _ in rules.nodes(rule):
            if isinstance(node, parser.AggregateExpr) and node.modifier is not None:
                inside = rules.labels(node.expr) or set()
                by = node.modifier.type == parser.AggModifierType.By
                for label in set(node.modifier.labels) - inside if by else ():
                    yield rule, f"{node.op} by ({label}), which is not there"
            if isinstance(node, parser.BinaryExpr) and str(node.op) in COMPARISONS:
                sides = (rules.labels(node.lhs), rules.labels(node.rhs))
                if sides == (None, None):
                    yield rule, "compares two numbers"


def fragile(rules: RuleSet) -> Iterator[Finding]:
    """No sample of series that changes by the minute; a quotient of two aggregations holds for a while."""
    for rule in rules.alerts:
        for node, _ in rules.nodes(rule):
            if isinstance(node, parser.AggregateExpr) and str(node.op) in {"topk", "bottomk", "limitk", "limit_ratio"}:
                yield rule, f"{node.op} gives other series each time"
            if isinstance(node, parser.BinaryExpr) and str(node.op) not in COMPARISONS | SETS:
                sides = (_aggregates(node.lhs), _aggregates(node.rhs))
                if all(sides) and "for" not in rule.body:
                    yield rule, "a quotient of aggregations without `for`"


def _aggregates(node: object) -> bool:
    while isinstance(node, parser.ParenExpr):
        node = node.expr
    return isinstance(node, parser.AggregateExpr)


def nan(rules: RuleSet) -> Iterator[Finding]:
    """No quotient inside an aggregation: one 0 / 0 would make NaN of the whole."""
    for rule in rules.rules:
        for node, above in rules.nodes(rule):
            inside = any(isinstance(one, parser.AggregateExpr) and str(one.op) in {"sum", "avg"} for one in above)
            if isinstance(node, parser.BinaryExpr) and str(node.op) in {"/", "%"} and inside:
                yield rule, f"{node.op} inside an aggregation"


def range_query(rules: RuleSet) -> Iterator[Finding]:
    """No window, subquery or offset is longer than Prometheus keeps its data, by `deploy/prometheus.yaml`."""
    kept = durations.milliseconds(rules.retention) / 1000
    for rule in rules.rules:
        for node, _ in rules.nodes(rule):
            ranged = node.range.total_seconds() if isinstance(node, parser.MatrixSelector | parser.SubqueryExpr) else 0
            offset = getattr(node, "offset", None)
            back = abs(offset.total_seconds()) if offset is not None else 0
            if max(ranged, back) > kept:
                yield rule, f"looks further back than the {rules.retention} that are kept"


CHECKS = {
    "promql/syntax": syntax,
    "promql/aggregate": aggregate,
    "promql/counter": counter,
    "promql/rate": rate,
    "promql/regexp": regexp,
    "promql/selector": selector,
    "promql/series": series,
    "promql/vector_matching": vector_matching,
    "promql/impossible": impossible,
    "promql/fragile": fragile,
    "promql/nan": nan,
    "promql/range_query": range_query,
    "promql/offset": range_query,
}
