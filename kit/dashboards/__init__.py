"""Writes `dashboards/<uid>.json` for Grafana from `dashboards/src/<name>.yaml`."""

import json

import yaml

from kit.dashboards import dashboard, links, slos
from kit.paths import DASHBOARDS

SOURCES = DASHBOARDS / "src"
PREFIX = "convoke-"


def sources() -> dict[str, dict]:
    """Every source by the uid of its dashboard, with the panels that stand for each SLO written out."""
    found = {}
    for path in sorted(SOURCES.glob("*.yaml")):
        found[PREFIX + path.stem] = slos.expand(yaml.safe_load(path.read_text()))
    return found


def build() -> dict[str, dict]:
    """Every dashboard by uid, as Grafana's classic model."""
    read = sources()
    places = links.places(read)
    return {uid: dashboard.build(uid, source, places) for uid, source in read.items()}


def outputs(_scale: float = 1.0) -> dict[str, str]:
    """The dashboards' files; the durations of the rules do not change them."""
    return {
        f"dashboards/{uid}.json": json.dumps(built, indent=2, ensure_ascii=False) + "\n"
        for uid, built in build().items()
    }
