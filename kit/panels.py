"""The queries of the dashboards, as Grafana would send them, and whether each returns something."""

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.paths import DASHBOARDS
from kit.prometheus import PrometheusClient, QueryError

_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]|\$(\w+)")
_LABEL_VALUES = re.compile(r"^label_values\((?:(.*),)?\s*(\w+)\s*\)$", re.DOTALL)


@dataclass(frozen=True)
class Query:
    """One query of a dashboard."""

    dashboard: str
    place: str
    expression: str
    # An annotation is empty when nothing happened; a panel never is.
    may_be_empty: bool = False


def built_in(now: float, seconds: float = 900, rate_interval: str = "1m") -> dict[str, str]:
    """Grafana's own variables for a view of the last `seconds`."""
    return {
        "__rate_interval": rate_interval,
        "__interval": "15s",
        "__interval_ms": "15000",
        "__range": f"{seconds:.0f}s",
        "__range_s": f"{seconds:.0f}",
        "__range_ms": f"{seconds * 1000:.0f}",
        "__from": f"{(now - seconds) * 1000:.0f}",
        "__to": f"{now * 1000:.0f}",
    }


def variables(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """A dashboard's own variables with "All" chosen, or what is written in them."""
    chosen = {}
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable["type"] == "query" or variable.get("includeAll"):
            chosen[variable["name"]] = variable.get("allValue") or ".+"
        else:
            value = variable.get("current", {}).get("value") or variable.get("query", "")
            chosen[variable["name"]] = value if isinstance(value, str) else "|".join(map(str, value))
    return chosen


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """Fills variables in; raises `KeyError` for one that nobody has defined."""
    return _VARIABLE.sub(lambda name: values[name[1] or name[2] or name[3]], expression)


def _panels(panels: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def _is_prometheus(*places: Mapping[str, Any]) -> bool:
    for place in places:
        if source := place.get("datasource"):
            return source.get("type") == "prometheus" if isinstance(source, Mapping) else True
    return True


def queries(path: Path, values: Mapping[str, str]) -> Iterator[Query]:
    """Every Prometheus query of a dashboard, its variables filled in; `values` win over the dashboard's own."""
    dashboard = json.loads(path.read_text())
    filled = variables(dashboard) | dict(values)
    name = path.stem
    for panel in _panels(dashboard.get("panels", [])):
        for target in panel.get("targets", []):
            if "expr" in target and _is_prometheus(target, panel):
                place = f"panel {panel['id']} {panel.get('title', '')!r} {target.get('refId', '')}"
                yield Query(name, place, substitute(target["expr"], filled))
    for annotation in dashboard.get("annotations", {}).get("list", []):
        expression = annotation.get("expr") or annotation.get("target", {}).get("expr")
        if expression and _is_prometheus(annotation):
            place = f"annotation {annotation['name']!r}"
            yield Query(name, place, substitute(expression, filled), may_be_empty=True)
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable["type"] == "query":
            definition = variable["query"]
            definition = definition["query"] if isinstance(definition, Mapping) else definition
            if found := _LABEL_VALUES.match(definition):
                selector = substitute(found[1] or f'{{{found[2]}!=""}}', filled)
                expression = f"count by ({found[2]}) ({selector})"
                yield Query(name, f"variable {variable['name']!r}", expression)


def check_panels(prometheus: PrometheusClient, dashboards: Iterable[Path] | None = None) -> tuple[int, list[str]]:
    """Sends every query of the dashboards (all of `dashboards/` if none is named), as of now. Returns how many were
    sent, and those that failed, gave nothing, or gave nothing but NaN."""
    now = time.time()
    findings = []
    sent = 0
    for path in sorted(DASHBOARDS.glob("*.json")) if dashboards is None else dashboards:
        for query in queries(path, built_in(now)):
            sent += 1
            where = f"{query.dashboard}: {query.place}"
            try:
                series = prometheus.query(query.expression, now)
            except QueryError as error:
                findings.append(f"{where}: {error}\n    {query.expression}")
                continue
            if query.may_be_empty:
                continue
            if not series:
                findings.append(f"{where}: no series\n    {query.expression}")
            elif all(math.isnan(one.value) for one in series):
                findings.append(f"{where}: {len(series)} series, all NaN\n    {query.expression}")
    return sent, findings
