"""cloudflare/pint's checks of Prometheus rules, written anew; none is waived.

| pint | here |
|---|---|
| `alerts/absent` `annotation` `comparison` `external_labels` `for` `template` | below |
| `group/interval` `labels/conflict` | below |
| `promql/*` | `kit.checks_promql`, from the list of instruments; `contract` asks a live server too |
| `rule/dependency` `duplicate` `for` `label` `link` `name` `reject` | below |
| `yaml/parse` | `promtool check rules`, which also parses every template |
| `alerts/count` | `python -m kit contract`: none may fire on a healthy service |
| `query/cost` | not a check: it prints the cost on a given server |
| `promql/features` | `promtool` 2.42 without feature flags parses every rule |
| `ignore/file` `pint/comment` `rule/owner` `rule/report` | about pint's own comments, of which there are none |
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator

import promql_parser as parser
import yaml

from kit import checks_promql, durations
from kit.checks_promql import COMPARISONS, SCRAPE_INTERVAL, SETS, Finding
from kit.dashboards.promql import walk
from kit.paths import DASHBOARDS, DEPLOY, REPOSITORY_URL, RUNBOOKS
from kit.ruleset import Rule, RuleSet, committed_rules

ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
SEVERITIES = {"page", "ticket"}
BURN_LABELS = {"slo", "long_window", "short_window"}
RESERVED = {"alertname", "environment", "job", "instance"}
_REFERENCE = re.compile(r"\$labels\.(\w+)")
_EXTERNAL = re.compile(r"\$externalLabels\.(\w+)")
_RAW_VALUE = re.compile(r"\{\{\s*\$value\s*\}\}")


def _longer(duration: str, other: str) -> bool:
    return durations.milliseconds(duration) > durations.milliseconds(other)


def alerts_absent(rules: RuleSet) -> Iterator[Finding]:
    """absent() waits for two scrapes or more: after a restart Prometheus has nothing at first."""
    for rule in rules.alerts:
        calls = (node for node, _ in rules.nodes(rule) if isinstance(node, parser.Call))
        is_absent = any(call.func.name.startswith("absent") for call in calls)
        least = durations.scaled(SCRAPE_INTERVAL, 2)
        if is_absent and _longer(least, rule.body.get("for", "0s")):
            yield rule, f"absent() without `for` of at least {least}"


def alerts_annotation(rules: RuleSet) -> Iterator[Finding]:
    """Every alert has the same annotations, none empty."""
    for rule in rules.alerts:
        if rule.annotations.keys() != ANNOTATIONS:
            yield rule, f"has the annotations {sorted(rule.annotations)}"
        for name, text in rule.annotations.items():
            if not text.strip() or re.search(r"(?<!\{)\{\w+(:\w+)?\}(?!\})", text):
                yield rule, f"the annotation {name} is empty or not filled in"


def _compares(node: object) -> bool:
    while isinstance(node, parser.ParenExpr):
        node = node.expr
    if isinstance(node, parser.Call):
        return node.func.name.startswith("absent")
    if not isinstance(node, parser.BinaryExpr):
        return False
    if str(node.op) == "or":
        return _compares(node.lhs) and _compares(node.rhs)
    if str(node.op) == "unless":
        # What is there, unless something else is: a condition by itself.
        return True
    if str(node.op) in SETS:
        return _compares(node.lhs)
    return str(node.op) in COMPARISONS and not (node.modifier and node.modifier.return_bool)


def alerts_comparison(rules: RuleSet) -> Iterator[Finding]:
    """An alert compares: whatever its query returns would fire."""
    for rule in rules.alerts:
        if not _compares(rules.tree(rule)):
            yield rule, "returns series without a condition"


def alerts_external_labels(rules: RuleSet) -> Iterator[Finding]:
    """A text names no external label that Prometheus is not set to have."""
    for rule in rules.alerts:
        for text in (*rule.annotations.values(), *rule.labels.values()):
            for label in set(_EXTERNAL.findall(text)) - rules.external_labels:
                yield rule, f"names the external label {label}, which is not configured"


def alerts_for(rules: RuleSet) -> Iterator[Finding]:
    """`for` is a duration, and left out when it is none."""
    for rule in rules.alerts:
        if "for" in rule.body and not durations.is_duration(rule.body["for"]):
            yield rule, f"`for` is no duration: {rule.body['for']}"
        elif durations.milliseconds(rule.body.get("for", "1s")) == 0:
            yield rule, "`for` of nothing"


def alerts_template(rules: RuleSet) -> Iterator[Finding]:
    """Texts name labels that the alert has, and write values as people read them; labels have no values."""
    for rule in rules.alerts:
        known = (rules.labels(rules.tree(rule)) or set()) | rule.labels.keys()
        for text in rule.annotations.values():
            for label in set(_REFERENCE.findall(text)) - known:
                yield rule, f"names the label {label}, which it has not"
            rated = any(
                isinstance(node, parser.Call) and node.func.name in {"rate", "irate", "increase", "deriv"}
                for node, _ in rules.nodes(rule)
            )
            if rated and _RAW_VALUE.search(text) and not _counts(rules, rule):
                yield rule, "writes the value of a rate without humanize"
        if any("$value" in text or ".Value" in text for text in rule.labels.values()):
            yield rule, "has its value in a label: each value would be an alert of its own"


def _counts(rules: RuleSet, rule: Rule) -> bool:
    """Whether the value shown, that of the leftmost operand, is no rate."""
    node: object = rules.tree(rule)
    while isinstance(node, parser.BinaryExpr | parser.ParenExpr):
        node = node.lhs if isinstance(node, parser.BinaryExpr) else node.expr
    return not any(
        isinstance(one, parser.Call) and one.func.name in {"rate", "irate", "increase", "deriv"}
        for one, _ in walk(node)
    )


def group_interval(rules: RuleSet) -> Iterator[Finding]:
    """No group waits longer than Prometheus looks back for a sample."""
    for rule in rules.rules:
        if rule.interval and _longer(rule.interval, "5m"):
            yield rule, f"is evaluated only every {rule.interval}"


def labels_conflict(rules: RuleSet) -> Iterator[Finding]:
    """No rule sets a label that Prometheus adds."""
    for rule in rules.rules:
        for label in rule.labels.keys() & rules.external_labels:
            yield rule, f"sets {label}, which is an external label"


def rule_dependency(rules: RuleSet) -> Iterator[Finding]:
    """What a rule reads of others is recorded, before it and in its own group."""
    place = {rule.name: (rule.file, rule.group) for rule in rules.rules if not rule.is_alert}
    seen: set[str] = set()
    for rule in rules.rules:
        for name in {one.name for one in rules.selectors(rule) if ":" in (one.name or "")}:
            if name not in place:
                yield rule, f"reads {name}, which nobody records"
            elif place[name] != (rule.file, rule.group) or name not in seen:
                yield rule, f"reads {name}, which is recorded later or in another group"
        seen.add(rule.name)


def rule_duplicate(rules: RuleSet) -> Iterator[Finding]:
    """No rule stands twice, and no two record the same series."""
    keys = Counter((rule.name, tuple(sorted(rule.labels.items()))) for rule in rules.rules)
    for rule in rules.rules:
        if keys[rule.name, tuple(sorted(rule.labels.items()))] > 1:
            yield rule, "stands twice, with the same labels"


def rule_for(rules: RuleSet) -> Iterator[Finding]:
    """Nobody waits for less than a minute, nor for more than an hour."""
    for rule in rules.alerts:
        duration = rule.body.get("for")
        if duration and (_longer("1m", duration) or _longer(duration, "1h")):
            yield rule, f"waits for {duration}"


def rule_label(rules: RuleSet) -> Iterator[Finding]:
    """Every alert says how urgent it is, and of which service; a burn-rate alert, of which objective and windows."""
    for rule in rules.alerts:
        wanted = {"severity", "service"} | (BURN_LABELS if "slo:" in rule.body["expr"] else set())
        if rule.labels.keys() != wanted:
            yield rule, f"has the labels {sorted(rule.labels)}, not {sorted(wanted)}"
        if rule.labels.get("severity") not in SEVERITIES or rule.labels.get("service") != "convoke":
            yield rule, "has another severity or service"


def rule_link(rules: RuleSet) -> Iterator[Finding]:
    """The runbook and the dashboard are there."""
    for rule in rules.alerts:
        wanted = f"{REPOSITORY_URL}/docs/runbooks/{rule.name}.md"
        if rule.annotations.get("runbook_url") != wanted or rule.name not in rules.runbooks:
            yield rule, "has no runbook"
        uid = re.fullmatch(r"/d/([\w-]+)(\?viewPanel=\d+)?", rule.annotations.get("dashboard_url", ""))
        if uid is None or uid[1] not in rules.dashboards:
            yield rule, f"leads to no dashboard: {rule.annotations.get('dashboard_url')}"


def rule_name(rules: RuleSet) -> Iterator[Finding]:
    """Alerts are named after the service, recordings level:metric:operation."""
    for rule in rules.rules:
        pattern = r"Convoke([A-Z][a-z0-9]+)+" if rule.is_alert else r"slo:[a-z_]+:[a-z0-9_]+"
        if not re.fullmatch(pattern, rule.name):
            yield rule, "is not named as the others"


def rule_reject(rules: RuleSet) -> Iterator[Finding]:
    """No rule sets a label that says where a series comes from."""
    for rule in rules.rules:
        for label in rule.labels.keys() & RESERVED:
            yield rule, f"sets the label {label}"


CHECKS: dict[str, Callable[[RuleSet], Iterator[Finding]]] = {
    **checks_promql.CHECKS,
    "alerts/absent": alerts_absent,
    "alerts/annotation": alerts_annotation,
    "alerts/comparison": alerts_comparison,
    "alerts/external_labels": alerts_external_labels,
    "alerts/for": alerts_for,
    "alerts/template": alerts_template,
    "group/interval": group_interval,
    "labels/conflict": labels_conflict,
    "rule/dependency": rule_dependency,
    "rule/duplicate": rule_duplicate,
    "rule/for": rule_for,
    "rule/label": rule_label,
    "rule/link": rule_link,
    "rule/name": rule_name,
    "rule/reject": rule_reject,
}


def findings(rules: RuleSet, names: list[str] | None = None) -> list[str]:
    """What the checks find; where a query does not parse, that alone."""
    broken = [f"{rule}: promql/syntax: {what}" for rule, what in checks_promql.syntax(rules)]
    if broken:
        return broken
    return [f"{rule}: {name}: {what}" for name in names or CHECKS for rule, what in CHECKS[name](rules)]


def committed() -> RuleSet:
    """The rules that are shipped, and what is shipped with them."""
    text = (DEPLOY / "prometheus.yaml").read_text()
    retention = re.search(r"--storage\.tsdb\.retention\.time=(\w+)", text)
    if retention is None:
        raise ValueError("deploy/prometheus.yaml does not say how long data is kept")
    return RuleSet(
        committed_rules(),
        retention[1],
        frozenset(yaml.safe_load(text)["global"].get("external_labels", {})),
        frozenset(file.stem for file in DASHBOARDS.glob("*.json")),
        frozenset(file.stem for file in RUNBOOKS.glob("*.md")),
    )


def check() -> list[str]:
    """What is wrong with the committed rules."""
    return findings(committed())
