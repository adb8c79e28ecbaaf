"""Writes `docs/drills.md`: what each fault raised, when, and whether it cleared."""

import json
from functools import cache
from typing import Any

from kit.dashboards import promql
from kit.drill.drill import REGISTRY, Drill, severities
from kit.drill.pace import ALLOWANCE, Pace
from kit.drill.run import Alarm, Outcome
from kit.drill.watch import TICKET
from kit.instruments import instrument_of
from kit.paths import DASHBOARDS, DOCS
from kit.ruleset import committed_rules
from kit.slo import source as slo_source

PAPER = DOCS / "drills.md"


def _panels(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for panel in node.get("panels", []):
        found += [panel, *_panels(panel)]
    return found


def _base(name: str) -> str:
    """A metric's name without what a histogram adds to it."""
    instrument = instrument_of(name)
    return instrument.name if instrument else name


@cache
def panel(alert: str) -> str:
    """The dashboard that the alert's rule names, and the panel on it that shows most of what the rule asks."""
    rule = next(one for one in committed_rules() if one.is_alert and one.name == alert)
    uid = rule.annotations["dashboard_url"].rpartition("/")[2]
    board = json.loads((DASHBOARDS / f"{uid}.json").read_text())
    named = {selector.name for selector in promql.selectors(promql.parse(rule.body["expr"])) if selector.name}
    # A panel that asks for the same part of a histogram comes first.
    asked = [*named, *map(_base, named)]
    if slo := rule.labels.get("slo"):
        # Panels ask for one objective by its label, or for what it counts.
        counted = next(one for one in slo_source().slos if one.name == slo).total
        query = promql.parse(counted.replace("{window}", "5m"))
        asked += [f'slo="{slo}"', *(_base(one.name) for one in promql.selectors(query) if one.name)]

    def shown(one: dict[str, Any]) -> int:
        queries = " ".join(target.get("expr", "") for target in one.get("targets", []))
        return sum(name in queries for name in asked)

    best = max(_panels(board), key=shown)
    if not shown(best):
        raise ValueError(f"no panel of {uid} shows what {alert} asks")
    title = best["title"]
    return f"[{board['title']}](../dashboards/{uid}.json): {title}"


def not_drilled() -> list[str]:
    """Alerts that no drill expects."""
    expected = {alert for one in REGISTRY.values() for alert in one.expects if alert != one.misses}
    return sorted(severities().keys() - expected)


def in_words(seconds: float) -> str:
    """A length of time."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _times(seconds: float | None, pace: Pace) -> str:
    return "**no**" if seconds is None else f"{seconds:.1f} s ({in_words(pace.real(seconds))})"


def _row(drill: Drill, alarm: Alarm, others: str, first: bool, pace: Pace) -> list[str]:
    name = alarm.alert.removesuffix(TICKET)
    limit = pace.limit(drill.expects[alarm.alert])
    how = alarm.severity if alarm.told is not None else f"{alarm.severity}, held back"
    own = f" (on a clock of its own: 1/{1 / drill.scale:g})" if drill.scale else ""
    return [
        f"`{drill.name}`: {drill.title}{own}" if first else "",
        f"[{alarm.alert}](runbooks/{name}.md), {how}",
        f"{_times(alarm.fired, pace)} of {limit:.0f} s",
        others if first else "",
        _times(alarm.cleared, pace),
        panel(name),
    ]


def _others(drill: Drill, outcome: Outcome) -> str:
    """What fired besides: held back by an inhibition, or told."""
    found = []
    for alarm in outcome.alarms:
        if alarm.alert in drill.expects:
            continue
        if alarm.told is None:
            found.append(f"{alarm.alert} (held back)")
        else:
            found.append(f"{alarm.alert} ({drill.listed.get(alarm.alert, '**not listed**')})")
    return "; ".join(found) or "none"


def _alarms(drill: Drill, outcome: Outcome) -> list[Alarm]:
    """One for each alert that is expected, also where the drill could not be held."""
    seen = {one.alert: one for one in outcome.alarms}
    return [seen.get(alert, Alarm(alert, severities()[alert], True)) for alert in drill.expects]


def table(outcomes: dict[str, Outcome], common: Pace) -> str:
    """The matrix."""
    head = ["fault", "expected alert", "fired after (shipped clock) of", "others that fired", "cleared after", "panel"]
    rows = [head, ["---"] * len(head)]
    for drill in REGISTRY.values():
        if drill.name not in outcomes or not _expected(drill):
            continue
        outcome = outcomes[drill.name]
        pace = Pace(drill.scale or common.scale, common.interval)
        others = _others(drill, outcome)
        rows += [_row(drill, one, others, not number, pace) for number, one in enumerate(_alarms(drill, outcome))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _expected(drill: Drill) -> bool:
    return bool(drill.expects) and drill.misses is None


def controls(outcomes: dict[str, Outcome]) -> str:
    """What must raise no alarm, and what must be noticed."""
    rows = ["| control | seen |", "|---|---|"]
    for drill in REGISTRY.values():
        outcome = outcomes.get(drill.name)
        if outcome is None or _expected(drill):
            continue
        fired = [one.alert for one in outcome.alarms if one.fired is not None or one.told is not None]
        seen = f"fired: {', '.join(fired)}" if fired else "nothing fired"
        if drill.misses:
            seen = f"{drill.misses} did not fire, which is what the drill looks for"
        if not outcome.good:
            seen = "**failed**"
        rows.append(f"| `{drill.name}`: {drill.title} | {seen} |")
    return "\n".join(rows)


def summary(outcomes: dict[str, Outcome]) -> str:
    """Recall and precision."""
    held = [(REGISTRY[name], outcome) for name, outcome in outcomes.items()]
    expected = [(drill, one) for drill, outcome in held if _expected(drill) for one in _alarms(drill, outcome)]
    missed = {(outcome.name, alert) for _, outcome in held for alert in outcome.missed}
    raised = [one for drill, one in expected if one.fired is not None and (drill.name, one.alert) not in missed]
    told = [(drill, one) for drill, outcome in held for one in outcome.alarms if one.told is not None]
    known = [one for drill, one in told if one.alert in drill.expects or one.alert in drill.listed]
    pages = [one for _, one in told if one.severity == "page"]
    known_pages = [one for drill, one in told if one.severity == "page" and one.alert in drill.expects]
    acknowledged = sum(outcome.acknowledged for outcome in outcomes.values())
    probes = sum(outcome.probes for outcome in outcomes.values())
    broken = sum(len(outcome.broken_promises) for outcome in outcomes.values())
    known_share, page_share = _share(known, told), _share(known_pages, pages)
    failed = ", ".join(outcome.name for outcome in outcomes.values() if not outcome.good)
    return f"""\
- Recall: {len(raised)} of {len(expected)} expected alerts fired within their time ({_share(raised, expected)}).
- Precision: of {len(told)} alerts that people were told of, {len(known)} were expected, or tickets listed beforehand as
  true consequences ({known_share}); of {len(pages)} pages, {len(known_pages)} were expected ({page_share}).
- Promises: {acknowledged} writes were acknowledged in all drills together, before, during and after their faults, and
  looked for at the end; {probes} probes of `/livez` and `/metrics` were answered; {broken} promises were broken.
- Drills that failed: {failed or "none"}."""


def _share(part: list[Any], whole: list[Any]) -> str:
    return f"{len(part) / len(whole):.0%}" if whole else "of none"


def paper(outcomes: dict[str, Outcome], pace: Pace, took: str) -> str:
    """The whole document."""
    missing = not_drilled()
    return f"""# Fire drills

<!-- Written by `make drills`; run it again instead of changing it. -->

Each fault is put into the real service, under a steady load of k6, with a real Prometheus with the shipped rules and a
real Alertmanager with the shipped routing, whose notifications are received. `make drill NAME=…` holds one of them.
{pace.stated()}

An alert must fire within the time that its drill states on the shipped clock, scaled, and {ALLOWANCE:g} s for what no
rule's clock knows of: starts, the service's time limits, the polling of this run. "Fired" counts from when the drill
begins to put the fault in, "cleared" from when it is wholly taken away, by Prometheus; in brackets the same on the
shipped clock. An expected alert must also have been told to the receiver of its severity, unless another one holds it
back. Tickets of an objective look back for hours: where they are a consequence only, the drill does not wait for their
end; those that expect them do. Meanwhile a client writes and reads, and probes are sent: every error must be a problem
document, no request may stay unanswered while the process is there, and what was acknowledged must be there at the end.

{table(outcomes, pace)}

{controls(outcomes)}

{summary(outcomes)}
- Of {len(severities())} alerts these are in no drill: {", ".join(missing) or "none"}.
- {len(outcomes)} drills {took}.
"""
