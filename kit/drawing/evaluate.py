"""A panel's queries, asked of a Prometheus as Grafana would ask them."""

import math
import re
from dataclasses import dataclass, field

from kit.prometheus import PrometheusClient

CHOSEN = {"environment": ".*", "job": "convoke", "instance": ".+", "route": ".+"}


@dataclass(frozen=True)
class Window:
    """The time range of a picture."""

    start: float
    end: float
    step: float
    interval: float

    def fill(self, expression: str) -> str:
        """The expression with all variables filled in."""
        rate = max(self.step + self.interval, 4 * self.interval)
        values = {
            "__rate_interval": f"{rate:.0f}s",
            "__range": f"{self.end - self.start:.0f}s",
            "__from": f"{self.start * 1000:.0f}",
            "__to": f"{self.end * 1000:.0f}",
            **CHOSEN,
        }
        return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match.group(1)], expression)


@dataclass
class Line:
    """One series of a panel: its name and unit, its points and its exemplars, as (Unix seconds, value)."""

    name: str
    query: dict
    labels: dict[str, str]
    points: list[tuple[float, float]]
    unit: str = "none"
    color: str = ""
    exemplars: list[tuple[float, float]] = field(default_factory=list)

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [value for _, value in self.points if math.isfinite(value)]

    @property
    def last(self) -> float:
        """The last value that is a number."""
        return self.numbers[-1] if self.numbers else math.nan


def legend(template: str, labels: dict[str, str]) -> str:
    """A series' name."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match.group(1), ""), template).strip() or "Value"


def override(panel: dict, name: str, prop: str) -> object:
    """What a panel says of one of its series by name."""
    for one in panel["fieldConfig"]["overrides"]:
        if re.fullmatch(re.sub(r"\\\{\\\{.*?\\\}\\\}", ".*", re.escape(one["matcher"]["options"])), name):
            for given in one["properties"]:
                if given["id"] == prop:
                    return given["value"]
    return None


def _exemplars(client: PrometheusClient, expression: str, window: Window) -> list[tuple[float, float]]:
    found = client.exemplars(expression, window.start, window.end)
    return [(one["timestamp"], float(one["value"])) for series in found for one in series["exemplars"]]


def lines(client: PrometheusClient, panel: dict, window: Window) -> list[Line]:
    """Every series of a panel, in the order of its queries; raises `QueryError` when Prometheus refuses one."""
    found = []
    for target in panel["targets"]:
        expression = window.fill(target["expr"])
        if target["instant"]:
            answer = client.query(expression, window.end)
        else:
            answer = client.query_range(expression, window.start, window.end, window.step)
        for one in answer:
            name = legend(target["legendFormat"], one.labels)
            unit = override(panel, name, "unit") or panel["fieldConfig"]["defaults"]["unit"]
            found.append(Line(name, target, one.labels, one.points, str(unit)))
        if target.get("exemplar") and answer and found[-1].query is target:
            found[-1].exemplars = _exemplars(client, expression, window)
    return found
