"""What is asked of a Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/."""

import json
import math
import urllib.error
import urllib.parse
from dataclasses import dataclass
from typing import Any

from kit.process import http


class QueryError(RuntimeError):
    """Prometheus refused a query, or could not be asked."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels (`__name__` among them, if any) and its points, (Unix seconds, value)."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def value(self) -> float:
        """The last value."""
        return self.points[-1][1]


class PrometheusClient:
    """Asks a Prometheus at an address such as `http://127.0.0.1:9090`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str | float | list[str] | None) -> Any:
        """The `data` of an answer of the API; raises `QueryError` with Prometheus's own words."""
        given = {name: value for name, value in parameters.items() if value is not None}
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(given, doseq=True)}"
        try:
            body = json.loads(http(address, timeout=30))
        except urllib.error.HTTPError as error:
            raise QueryError(error.read().decode(errors="replace")) from error
        except OSError as error:
            raise QueryError(f"{address}: {error}") from error
        if body.get("warnings"):
            raise QueryError("; ".join(body["warnings"]))
        return body["data"]

    def query(self, expression: str, time: float | None = None) -> list[Series]:
        """An instant query, now or at a time. A scalar is one series without labels."""
        data = self.get("query", query=expression, time=time)
        if data["resultType"] in ("scalar", "string"):
            return [Series({}, [_point(data["result"])])]
        return [Series(one["metric"], [_point(one["value"])]) for one in data["result"]]

    def value(self, expression: str, time: float | None = None) -> float:
        """The value of a query that gives exactly one series."""
        found = self.query(expression, time)
        if len(found) != 1:
            raise QueryError(f"{expression}: {len(found)} series, not one")
        return found[0].value

    def query_range(self, expression: str, start: float, end: float, step: float = 15) -> list[Series]:
        """A range query; times and step in seconds."""
        data = self.get("query_range", query=expression, start=start, end=end, step=step)
        return [Series(one["metric"], [_point(point) for point in one["values"]]) for one in data["result"]]

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series that an expression selects."""
        return self.get("query_exemplars", query=expression, start=start, end=end)

    def series(self, *selectors: str) -> list[dict[str, str]]:
        """The label sets that selectors match."""
        return self.get("series", **{"match[]": list(selectors)})

    def alerts(self, state: str | None = None) -> list[dict[str, Any]]:
        """Alerts pending and firing, or those of one state."""
        found = self.get("alerts")["alerts"]
        return [alert for alert in found if state in (None, alert["state"])]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, its group's name added as `group`."""
        return [rule | {"group": group["name"]} for group in self.get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """The active targets."""
        return self.get("targets", state="active")["activeTargets"]


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), math.nan if pair[1] == "NaN" else float(pair[1])
