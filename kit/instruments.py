"""What the service emits: every metric with its kind and labels, and the values that its labels can take."""

import json
from dataclasses import dataclass
from functools import cache

import yaml

from kit.paths import DOCS, ROOT

SUFFIXES = ("_bucket", "_sum", "_count")
TARGET_LABELS = ("environment", "job", "instance")
# Made by Prometheus for every target.
SCRAPE_SERIES = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
VALUES = ROOT / "kit" / "label_values.yaml"


@dataclass(frozen=True)
class Instrument:
    """One metric as the service declares it."""

    name: str
    kind: str
    labels: tuple[str, ...]

    def series(self) -> list[str]:
        """The names under which it is exposed."""
        return [self.name + suffix for suffix in SUFFIXES] if self.kind == "histogram" else [self.name]


@cache
def instruments() -> dict[str, Instrument]:
    """Every metric by name, from `docs/metrics.json`, which the service writes."""
    rows = json.loads((DOCS / "metrics.json").read_text())
    return {row["name"]: Instrument(row["name"], row["kind"], tuple(row["labels"])) for row in rows}


@cache
def series() -> dict[str, tuple[str, ...]]:
    """Every series name of a target, and its labels besides those of the target."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(SCRAPE_SERIES, ())
    for one in instruments().values():
        for name in one.series():
            found[name] = (*one.labels, "le") if name.endswith("_bucket") else one.labels
    return found


def instrument_of(name: str) -> Instrument | None:
    """The metric to which a series belongs."""
    known = instruments()
    for suffix in ("", *SUFFIXES):
        base = name.removesuffix(suffix)
        if base in known and name in known[base].series():
            return known[base]
    return None


@cache
def label_values() -> dict[str, dict[str, frozenset[str]]]:
    """Per label, the values it can take: by metric name, or under `*` for every metric that has it."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for label, values in yaml.safe_load(VALUES.read_text()).items():
        by_metric = values if isinstance(values, dict) else {"*": values}
        found[label] = {metric: frozenset(map(str, listed)) for metric, listed in by_metric.items()}
    return found


def values_of(metric: str, label: str) -> frozenset[str] | None:
    """The values of a metric's label, or `None` when they are not bounded by a list (versions, environments)."""
    listed = label_values().get(label, {})
    return listed.get(metric, listed.get("*"))
