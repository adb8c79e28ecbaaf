"""Writes the alerts on causes from `alerts/causes.yaml`.

`scale` multiplies what the source writes as a duration: `for`, windows, horizons and ages. Numbers stay as they
are: shares, counts, and times that measure how fast the service is (a slow query is slow at any scale).
"""

import re
from functools import cache
from typing import Any

import yaml

from kit import durations
from kit.paths import ALERTS
from kit.rule_files import Rule, annotations, as_written, rule_file

Values = dict[str, str | float]

# `{name}` or `{name:format}`, and neither a matcher `{job="…"}` nor a template `{{ $labels.job }}`.
_PLACE = re.compile(r"(?<!\{)\{([a-z_]+)(?::([a-z]+))?\}(?!\})")
_KEYS = {"alert", "severity", "summary", "description", "expr", "for", "values", "dashboard"}


@cache
def source() -> dict[str, list[dict[str, Any]]]:
    """The alerts by group, as `alerts/causes.yaml` says."""
    found = yaml.safe_load((ALERTS / "causes.yaml").read_text())
    groups = {group["name"]: group["alerts"] for group in found["groups"]}
    for alert in (one for alerts in groups.values() for one in alerts):
        if unknown := alert.keys() - _KEYS:
            raise ValueError(f"{alert['alert']}: unknown keys {sorted(unknown)}")
    return groups


def values(alert: str, scale: float = 1.0) -> Values:
    """The values of an alert by name, `for` among them: what its query compares with, for the dashboards' lines too."""
    given = next(one for alerts in source().values() for one in alerts if one["alert"] == alert)
    found = dict(given.get("values", {}))
    if "for" in given:
        found["for"] = given["for"]
    return {name: durations.scaled(one, scale) if durations.is_duration(one) else one for name, one in found.items()}


def _written(value: str | float, form: str | None) -> str:
    if form is None:
        return str(value)
    if form == "seconds":
        return durations.seconds(str(value))
    if form == "percent":
        return f"{float(value) * 100:g} %"
    raise ValueError(f"no such format: {form}")


def _filled(text: str, known: Values) -> str:
    return _PLACE.sub(lambda place: _written(known[place[1]], place[2]), text)


def _rule(given: dict[str, Any], scale: float) -> Rule:
    name = given["alert"]
    known = values(name, scale)
    places = {place[1] for text in (given["expr"], given["description"]) for place in _PLACE.finditer(text)}
    if unused := known.keys() - places - {"for"}:
        raise ValueError(f"{name}: values without a use: {sorted(unused)}")
    rule: Rule = {"alert": name, "expr": _filled(as_written(given["expr"]), known)}
    if "for" in known:
        rule["for"] = known["for"]
    rule["labels"] = {"severity": given["severity"], "service": "convoke"}
    description = _filled(given["description"], known)
    rule["annotations"] = annotations(name, given["summary"], description, given["dashboard"])
    return rule


def groups(scale: float) -> list[dict[str, Any]]:
    """The groups of alerts, evaluated at the interval that Prometheus is set to."""
    return [{"name": name, "rules": [_rule(one, scale) for one in alerts]} for name, alerts in source().items()]


def outputs(scale: float) -> dict[str, str]:
    """`alerts/causes.rules.yaml`."""
    return {"alerts/causes.rules.yaml": rule_file("alerts/causes.yaml", groups(scale))}
