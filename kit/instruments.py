"""What the service emits: every metric with its kind and labels, and the values that its labels can take."""

import json
import re
from dataclasses import dataclass
from functools import cache

import yaml

from kit.paths import DOCS, ROOT

SUFFIXES = ("_bucket", "_sum", "_count")
TARGET_LABELS = ("environment", "job", "instance")
# Made by Prometheus for every target.
SCRAPE_SERIES = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
# Until `docs/metrics.json` is there.
ADDITIONS = {
    "db_client_operation_errors_total": ("counter", ("db_system_name", "error_type")),
    "readiness_check_status": ("gauge", ("check",)),
    "db_schema_pending_migrations": ("gauge", ()),
    "system_filesystem_available_bytes": ("gauge", ("volume",)),
    "system_filesystem_size_bytes": ("gauge", ("volume",)),
    "system_clock_time_seconds": ("gauge", ()),
    "process_memory_limit_bytes": ("gauge", ()),
    "config_info": ("gauge", ("deployment_environment_name", "db_system_name", "rate_limit")),
}
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


def _from_json() -> list[Instrument]:
    rows = json.loads((DOCS / "metrics.json").read_text())
    return [Instrument(row["name"], row["kind"], tuple(row["labels"])) for row in rows]


def _from_table() -> list[Instrument]:
    found = []
    for line in (DOCS / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 5 and cells[1].startswith("`"):
            found.append(Instrument(cells[1].strip("`"), cells[2], tuple(re.findall(r"`([^`]+)`", cells[4]))))
    return found + [Instrument(name, kind, labels) for name, (kind, labels) in ADDITIONS.items()]


@cache
def instruments() -> dict[str, Instrument]:
    """Every metric by name, from `docs/metrics.json`, else from the table in `docs/metrics.md`."""
    found = _from_json() if (DOCS / "metrics.json").exists() else _from_table()
    return {one.name: one for one in found}


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


def differences(exposition: str) -> list[str]:
    """Where `label_values.yaml` and a running service's exposition disagree: values shown but not listed."""
    found = set()
    for line in exposition.splitlines():
        match = re.match(r"(\w+)\{(.*)\} ", line)
        instrument = instrument_of(match.group(1)) if match else None
        if match is None or instrument is None:
            continue
        for label, value in re.findall(r'(\w+)="([^"]*)"', match.group(2)):
            values = values_of(instrument.name, label)
            if label not in ("le", *TARGET_LABELS) and values is not None and value not in values:
                found.add(f'{instrument.name} has {label}="{value}", which kit/label_values.yaml does not list')
    return sorted(found)
