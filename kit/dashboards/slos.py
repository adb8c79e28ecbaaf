"""Panels written once for every SLO: `each: slo` in a panel repeats it for each objective of `alerts/slo.yaml`."""

import re

import yaml

from kit.paths import ALERTS

_FIELD = re.compile(r"<slo\.(\w+)>")


def objectives() -> list[dict]:
    """The SLOs, in the order of their file."""
    return yaml.safe_load((ALERTS / "slo.yaml").read_text())["slos"]


def _fill(value: object, slo: dict) -> object:
    if isinstance(value, str):
        return _FIELD.sub(lambda match: str(slo[match.group(1)]), value)
    if isinstance(value, list):
        return [_fill(one, slo) for one in value]
    if isinstance(value, dict):
        return {key: _fill(one, slo) for key, one in value.items()}
    return value


def expand(source: dict) -> dict:
    """A source in which every panel stands for itself."""
    for row in source["rows"]:
        panels = []
        for panel in row["panels"]:
            if panel.pop("each", None) == "slo":
                panels += [_fill(panel, slo) for slo in objectives()]
            else:
                panels.append(panel)
        row["panels"] = panels
    return source
