"""Thresholds of panels: numbers, or those of the alerts, so that a line on a panel is where its alert is."""

from functools import cache

import promql_parser
import yaml

from kit.paths import ALERTS


def _number(value: object) -> float:
    """A value of an alert: a number, or a duration in seconds."""
    return value if isinstance(value, int | float) else promql_parser.parse_duration(str(value)).total_seconds()


@cache
def _values() -> dict[str, dict]:
    source = yaml.safe_load((ALERTS / "causes.yaml").read_text())
    return {alert["alert"]: alert.get("values", {}) for group in source["groups"] for alert in group["alerts"]}


@cache
def _burns() -> dict[str, float]:
    return {one["long"]: one["factor"] for one in yaml.safe_load((ALERTS / "slo.yaml").read_text())["burns"]}


def number(value: object) -> float:
    """A number, or `{alert: NAME, value: KEY}` of `alerts/causes.yaml`, or `{burn: 1h}` of `alerts/slo.yaml`."""
    match value:
        case {"alert": name, "value": key}:
            if key not in _values().get(name, {}):
                raise ValueError(f"a threshold of the alert {name}, which has no value {key}")
            return _number(_values()[name][key])
        case {"burn": window}:
            return _burns()[window]
        case int() | float():
            return value
    raise ValueError(f"no threshold: {value}")


def steps(thresholds: dict) -> list[dict]:
    """Grafana's steps: the base color, then each color from its value on, in rising order."""
    found = [{"color": color, "value": number(value)} for color, value in thresholds.items() if color != "base"]
    base = {"color": thresholds.get("base", "green"), "value": None}
    return [base, *sorted(found, key=lambda step: step["value"])]
