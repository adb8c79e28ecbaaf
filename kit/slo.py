"""Writes the recording rules and burn-rate alerts of the service level objectives from `alerts/slo.yaml`.

`scale` multiplies every duration: recording window and interval, windows, and the period. Burn rates and counts are not
durations, and stay: a fault of the same share fires the same alert, sooner.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import yaml

from kit import durations
from kit.paths import ALERTS
from kit.rule_files import Rule, annotations, as_written, rule_file

ERRORS = "slo:sli_errors:increase5m"
TOTAL = "slo:sli_total:increase5m"


@dataclass(frozen=True)
class Slo:
    """One objective; `errors` and `total` are queries with `{window}`."""

    name: str
    alert: str
    title: str
    objective: Decimal
    description: str
    bad: str
    events: str
    errors: str
    total: str
    k6: dict[str, str]
    dashboard: str

    @property
    def target(self) -> Decimal:
        """The objective as a share, such as 0.999."""
        return (self.objective / 100).normalize()

    @property
    def budget(self) -> Decimal:
        """The share of events that may be bad."""
        return (1 - self.target).normalize()


@dataclass(frozen=True)
class Burn:
    """A pair of windows and the burn rate at which it alerts."""

    severity: str
    long: str
    short: str
    factor: Decimal


@dataclass(frozen=True)
class Source:
    """What `alerts/slo.yaml` says."""

    period: str
    window: str
    every: str
    windows: tuple[str, ...]
    burns: tuple[Burn, ...]
    minimum_errors: int
    slos: tuple[Slo, ...]


@cache
def source() -> Source:
    """Reads `alerts/slo.yaml`."""
    found: dict[str, Any] = yaml.safe_load((ALERTS / "slo.yaml").read_text())
    slos = [{**one, "objective": Decimal(str(one["objective"]))} for one in found["slos"]]
    burns = [{**one, "factor": Decimal(str(one["factor"]))} for one in found["burns"]]
    recording = found["recording"]
    return Source(
        period=found["period"],
        window=recording["window"],
        every=recording["every"],
        windows=tuple(found["windows"]),
        burns=tuple(Burn(**one) for one in burns),
        minimum_errors=found["minimum_errors"],
        slos=tuple(Slo(**one) for one in slos),
    )


def ratio(window: str) -> str:
    """The name of the recorded share of bad events over a window; the name keeps the unscaled window."""
    return f"slo:sli_error:ratio_rate{window}"


def _recordings(scale: float) -> list[Rule]:
    given = source()
    rules: list[Rule] = []
    for slo in given.slos:
        labels = {"slo": slo.name}
        for record, query in ((ERRORS, slo.errors), (TOTAL, slo.total)):
            expr = as_written(query).replace("{window}", durations.scaled(given.window, scale))
            rules.append({"record": record, "expr": expr, "labels": labels})
    for window in given.windows:
        # Fewer than one event counts as one, so that without traffic the share is 0 and not NaN.
        if window == given.window:
            expr = f"{ERRORS} / clamp_min({TOTAL}, 1)"
        else:
            span = durations.scaled(window, scale)
            expr = f"sum_over_time({ERRORS}[{span}]) / clamp_min(sum_over_time({TOTAL}[{span}]), 1)"
        rules.append({"record": ratio(window), "expr": expr})
    for slo in given.slos:
        labels = {"slo": slo.name}
        rules.append({"record": "slo:objective:ratio", "expr": f"vector({slo.target})", "labels": labels})
        rules.append({"record": "slo:error_budget:ratio", "expr": f"vector({slo.budget})", "labels": labels})
    per_budget = "/ on (slo) group_left () slo:error_budget:ratio"
    rules.append({"record": "slo:current_burn_rate:ratio", "expr": f"{ratio(given.window)} {per_budget}"})
    spent = f"{ratio(given.period)} {per_budget}"
    rules.append({"record": "slo:error_budget_remaining:ratio", "expr": f"1 - {spent}"})
    return rules


def _alert(slo: Slo, burn: Burn, scale: float) -> Rule:
    given = source()
    long, short = (durations.scaled(one, scale) for one in (burn.long, burn.short))
    limit = (burn.factor * slo.budget).normalize()
    selector = f'{{slo="{slo.name}"}}'
    repeats = durations.milliseconds(given.window) // durations.milliseconds(given.every)
    expr = (
        f"{ratio(burn.long)}{selector} > {limit}\n"
        f"and {ratio(burn.short)}{selector} > {limit}\n"
        f"and sum_over_time({ERRORS}{selector}[{long}]) / {repeats} >= {given.minimum_errors}"
    )
    # Rounded up to whole hours: the alert fires above the factor, so that the budget lasts for less than this.
    hours = math.ceil(durations.milliseconds(given.period) / burn.factor / 3_600_000)
    left = durations.written(hours * 3_600_000)
    where = "{{ $labels.environment }}"
    times = "" if burn.factor == 1 else f"{burn.factor} times "
    description = (
        f"In {where}, {{{{ $value | humanizePercentage }}}} of all {slo.events} within {long} {slo.bad}: more than "
        f"{times}what the objective of {slo.objective} % allows, within the last {short} too, and "
        f"{given.minimum_errors} or more in number. At that rate the whole error budget "
        f"of {given.period} lasts less than {left}."
    )
    summary = f"{slo.title}: the error budget burns {burn.factor} times too fast"
    if burn.factor == 1:
        summary = f"{slo.title}: the error budget will not last"
    return {
        "alert": slo.alert,
        "expr": expr,
        "labels": {
            "severity": burn.severity,
            "service": "convoke",
            "slo": slo.name,
            "long_window": burn.long,
            "short_window": burn.short,
        },
        "annotations": annotations(slo.alert, summary, description, slo.dashboard),
    }


def groups(scale: float) -> list[dict[str, Any]]:
    """The one group of rules: in order, so that no rule reads what another will only record a turn later."""
    alerts = [_alert(slo, burn, scale) for slo in source().slos for burn in source().burns]
    interval = durations.scaled(source().every, scale)
    return [{"name": "convoke-slo", "interval": interval, "rules": _recordings(scale) + alerts}]


def outputs(scale: float) -> dict[str, str]:
    """`alerts/slo.rules.yaml`."""
    return {"alerts/slo.rules.yaml": rule_file("alerts/slo.yaml", groups(scale))}
