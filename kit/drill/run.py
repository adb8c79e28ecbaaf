"""Runs one drill: quiet, fault, alarms, fault taken away, quiet; and says what was right and what was not."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.drill.drill import Drill
from kit.drill.pace import Pace
from kit.drill.scene import Scene
from kit.drill.staging import scene
from kit.drill.watch import TICKET
from kit.prometheus import QueryError

POLL = 0.2
# Seconds in which a process that was gone or held need not answer each probe.
COMES_BACK = 2.0


@dataclass
class Alarm:
    """What one alert did. Seconds of the drill, from the fault, or from its end."""

    alert: str
    severity: str
    expected: bool
    limit: float | None = None
    fired: float | None = None
    told: float | None = None
    cleared: float | None = None
    reason: str | None = None


@dataclass
class Outcome:
    """What was seen in one drill."""

    name: str
    scale: float
    seconds: float = 0
    alarms: list[Alarm] = field(default_factory=list)
    # What is wrong: the drill failed.
    findings: list[str] = field(default_factory=list)
    # Alerts nobody listed that people were told of.
    unlisted: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    broken_promises: list[str] = field(default_factory=list)
    acknowledged: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    probes: int = 0

    @property
    def good(self) -> bool:
        """Whether all was as it should be."""
        return not (self.findings or self.unlisted or self.missed or self.broken_promises)

    def write(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, file: Path) -> "Outcome":
        """What `write` wrote."""
        given: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**given, "alarms": [Alarm(**one) for one in given["alarms"]]})


def run(drill: Drill, pace: Pace, keep: Path | None = None) -> Outcome:
    """Runs it on a stack of its own."""
    pace = Pace(drill.scale, pace.interval) if drill.scale else pace
    outcome = Outcome(drill.name, pace.scale)
    began = time.monotonic()
    with scene(
        pace,
        drill.engine,
        drill.parts,
        drill.settings,
        drill.rate,
        scrape_interval=drill.scrape_interval,
        breaks=drill.breaks,
        keep=keep,
    ) as there:
        _Running(drill, there, outcome).run()
    outcome.seconds = time.monotonic() - began
    return outcome


def _nothing(_scene: Scene) -> Iterator[None]:
    yield


class _Running:
    def __init__(self, drill: Drill, there: Scene, outcome: Outcome) -> None:
        self.drill, self.scene, self.outcome, self.watch = drill, there, outcome, there.watch

    def run(self) -> None:
        self.watch.poll()
        if self.watch.now:
            self.outcome.findings.append(f"fired before the fault: {sorted(self.watch.now)}")
            return
        fault = (self.drill.fault or _nothing)(self.scene)
        self.scene.witness.alive = self.drill.serves
        began = time.monotonic()
        next(fault)
        try:
            self._alarms(began)
        finally:
            with contextlib.suppress(StopIteration):
                next(fault)
            self.scene.end_traffic()
        healed = time.monotonic()
        if not self.drill.serves:
            # What waited for it while it was away comes all at once.
            self._until(lambda: False, COMES_BACK)
        self.scene.witness.alive = True
        quiet = self._quiet()
        self.scene.witness.stop()
        self._judge(began, healed, quiet)

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        limit = time.monotonic() + seconds
        while True:
            # While it reads its configuration, or the machine is busy, it may not answer once.
            with contextlib.suppress(QueryError):
                self.watch.poll()
            if done():
                return True
            if time.monotonic() >= limit:
                return False
            time.sleep(POLL)

    def _alarms(self, began: float) -> None:
        """Waits for each alert that is expected, for as long as it may take, and a little longer for others."""
        pace = self.scene.pace
        for alert, within in sorted(self.drill.expects.items(), key=lambda pair: pace.seconds(pair[1])):
            self._until(lambda alert=alert: alert in self.watch.fired, began + pace.limit(within) - time.monotonic())  # type: ignore[misc]
        hold = time.monotonic() + pace.seconds(self.drill.hold)
        self._until(lambda: time.monotonic() >= hold, pace.seconds(self.drill.hold) + 1)

    def _quiet(self) -> bool:
        """Waits until nothing fires; of the objectives' longer windows only where the drill is about them."""
        pace = self.scene.pace
        settled = time.monotonic() + pace.seconds("2m")

        def quiet() -> bool:
            still = (
                self.watch.now if self.drill.patient else {one for one in self.watch.now if not one.endswith(TICKET)}
            )
            return not still and time.monotonic() >= settled

        return self._until(quiet, pace.limit(self.drill.clears))

    def _judge(self, began: float, healed: float, quiet: bool) -> None:
        outcome, drill, pace = self.outcome, self.drill, self.scene.pace
        told = self.watch.told()
        for alert in drill.expects:
            limit = pace.limit(drill.expects[alert])
            seen = self.watch.fired.get(alert)
            alarm = Alarm(alert, seen.severity if seen else "", True, limit)
            if seen is not None:
                alarm.fired = seen.first - began
            late = alarm.fired is None or alarm.fired > limit
            if late and alert != drill.misses:
                outcome.missed.append(alert)
            if not late and alert == drill.misses:
                outcome.findings.append(f"{alert} fired although its rule is broken: the drill would notice nothing")
            self._ends(alarm, healed, told, began)
        for alert, seen in self.watch.fired.items():
            if alert in drill.expects:
                continue
            alarm = Alarm(alert, seen.severity, False, fired=seen.first - began, reason=drill.listed.get(alert))
            # What an inhibition holds back nobody is told of.
            if alarm.reason is None and alert in told:
                outcome.unlisted.append(f"{alert} {seen.labels[0]}")
            self._ends(alarm, healed, told, began)
        if not quiet:
            outcome.findings.append(f"did not clear in time: {sorted(self.watch.now)}")
        self._promises()

    def _ends(self, alarm: Alarm, healed: float, told: dict[str, float], began: float) -> None:
        seen = self.watch.fired.get(alarm.alert)
        if seen is not None and alarm.alert not in self.watch.now:
            alarm.cleared = max(0.0, seen.last - healed)
        if alarm.alert in told:
            alarm.told = told[alarm.alert] - began
        self.outcome.alarms.append(alarm)

    def _promises(self) -> None:
        witness, outcome = self.scene.witness, self.outcome
        try:
            outcome.broken_promises += witness.lost()
        except (TimeoutError, IndexError) as error:
            outcome.broken_promises.append(f"what was acknowledged cannot be looked for: {error}")
        outcome.broken_promises += witness.report()
        outcome.acknowledged = len(witness.acknowledged)
        outcome.answers = {str(status): count for status, count in sorted(witness.answers.items())}
        outcome.probes = sum(witness.probes.values())
