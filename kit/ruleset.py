"""The committed rules as the checks read them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import promql_parser as parser
import yaml

from kit.dashboards import promql
from kit.instruments import TARGET_LABELS, instrument_of, series
from kit.paths import ALERTS


@dataclass(frozen=True)
class Rule:
    """One rule with the place it stands in."""

    file: str
    group: str
    interval: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """The alert's name, or the recorded series'."""
        return self.body.get("alert") or self.body["record"]

    @property
    def is_alert(self) -> bool:
        """Whether it is an alert, and not a recording."""
        return "alert" in self.body

    @property
    def labels(self) -> dict[str, str]:
        """The labels that it sets."""
        return self.body.get("labels", {})

    @property
    def annotations(self) -> dict[str, str]:
        """The texts of an alert."""
        return self.body.get("annotations", {})

    def __str__(self) -> str:
        return f"alerts/{self.file}: {self.name}"


@dataclass(frozen=True)
class RuleSet:
    """All rules, and what they are checked against."""

    rules: tuple[Rule, ...]
    retention: str = "31d"
    external_labels: frozenset[str] = frozenset()
    dashboards: frozenset[str] = frozenset()
    runbooks: frozenset[str] = frozenset()
    _trees: dict[str, parser.Expr] = field(default_factory=dict)

    @property
    def alerts(self) -> list[Rule]:
        """The alerts."""
        return [rule for rule in self.rules if rule.is_alert]

    def tree(self, rule: Rule) -> parser.Expr:
        """The rule's query, parsed; `ValueError` when it is none."""
        expr = rule.body["expr"]
        if expr not in self._trees:
            self._trees[expr] = parser.parse(expr)
        return self._trees[expr]

    def nodes(self, rule: Rule) -> Iterator[tuple[object, tuple[object, ...]]]:
        """Every part of a rule's query with what is above it."""
        return promql.walk(self.tree(rule))

    def selectors(self, rule: Rule) -> list[parser.VectorSelector]:
        """Every selector of a rule's query."""
        return promql.selectors(self.tree(rule))

    @cached_property
    def recorded(self) -> dict[str, set[str]]:
        """Every recorded series with the labels it has."""
        found: dict[str, set[str]] = {}
        for rule in self.rules:
            if not rule.is_alert:
                labels = self.labels(self.tree(rule), found) or set()
                found.setdefault(rule.name, set()).update(labels | set(rule.labels))
        return found

    def labels_of(self, name: str, recorded: dict[str, set[str]] | None = None) -> set[str] | None:
        """The labels of a series, recorded or scraped; `None` when there is no such series."""
        known = self.recorded if recorded is None else recorded
        if name in known:
            return known[name]
        return {*series()[name], *TARGET_LABELS} if name in series() else None

    def labels(self, node: object, recorded: dict[str, set[str]] | None = None) -> set[str] | None:
        """The labels that a query's result has; `None` for a plain number."""
        return promql.result_labels(node, lambda name: self.labels_of(name, recorded))


def is_counter(name: str) -> bool:
    """Whether a series only grows: a counter, or part of a histogram."""
    instrument = instrument_of(name)
    return instrument is not None and instrument.kind in ("counter", "histogram")


def rules_in(folder: Path) -> tuple[Rule, ...]:
    """The rules of a folder's files."""
    return tuple(
        Rule(file.name, group["name"], group.get("interval", ""), rule)
        for file in sorted(folder.glob("*.rules.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    )


@cache
def committed_rules() -> tuple[Rule, ...]:
    """The rules that are shipped."""
    return rules_in(ALERTS)
