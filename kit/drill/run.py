"""Runs one drill: quiet, fault, alarms, fault taken away, quiet; and says what was right and what was not."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.drill.drill import Drill, severities
from kit.drill.pace import Pace
from kit.drill.scene import COMES_BACK, Scene
from kit.drill.staging import scene
from kit.drill.watch import TICKET

POLL = 0.2


@dataclass
class Alarm:
    """What one alert did. Seconds of the drill, from the fault, or from its end."""

    alert: str
    severity: str
    expected: bool
    limit: float | None = None
    fired: float | None = None
    told: float | None = None
    receiver: str | None = None
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

    def judge(self, drill: Drill) -> None:
        """Holds what the alerts did against what the drill says of them."""
        for alarm in self.alarms:
            in_time = alarm.fired is not None and alarm.limit is not None and alarm.fired <= alarm.limit
            if alarm.alert == drill.misses:
                if alarm.fired is not None:
                    self.findings.append(f"{alarm.alert} fired although its rule is broken: nothing would be noticed")
            elif alarm.expected and not in_time:
                self.missed.append(alarm.alert)
            elif alarm.expected and alarm.alert not in drill.held_back and alarm.receiver != alarm.severity:
                self.findings.append(
                    f"{alarm.alert} fired, and {alarm.receiver or 'nobody'} was told of a {alarm.severity}"
                )
            # What an inhibition holds back nobody is told of.
            elif not alarm.expected and alarm.told is not None and alarm.reason is None:
                self.unlisted.append(f"{alarm.alert} ({alarm.severity})")

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
        if self.watch.now:
            self.outcome.findings.append(f"fires before the fault: {sorted(self.watch.now)}")
            return
        # Until the first scrape there is no target.
        self.watch.forget()
        fault = (self.drill.fault or _nothing)(self.scene)
        witness = self.scene.witness
        witness.fault_begins()
        witness.alive = self.drill.serves
        began = time.monotonic()
        next(fault)
        try:
            self._alarms(began)
            if self.drill.misses:
                self._really_down()
        finally:
            with contextlib.suppress(StopIteration):
                next(fault)
            self.scene.end_traffic()
        healed = time.monotonic()
        if not self.drill.serves:
            # What waited for it while it was away comes all at once.
            time.sleep(COMES_BACK)
        witness.alive = True
        quiet = self._quiet()
        witness.stop()
        self._judge(began, healed, quiet)

    def _really_down(self) -> None:
        if self.scene.prometheus.value('max(up{job="convoke"})') != 0:
            self.outcome.findings.append("the fault that should be missed is not there")

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        limit = time.monotonic() + seconds
        while not done():
            if time.monotonic() >= limit:
                return False
            time.sleep(POLL)
        return True

    def _alarms(self, began: float) -> None:
        """Waits for each alert that is expected, for as long as it may take, and a little longer for others."""
        pace = self.scene.pace
        for alert, within in sorted(self.drill.expects.items(), key=lambda pair: pace.seconds(pair[1])):
            self._until(lambda alert=alert: alert in self.watch.fired, began + pace.limit(within) - time.monotonic())  # type: ignore[misc]
        time.sleep(pace.seconds(self.drill.hold))

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
        for alert in [*drill.expects, *(one for one in self.watch.fired | told if one not in drill.expects)]:
            seen, heard = self.watch.fired.get(alert), told.get(alert)
            alarm = Alarm(alert, severities()[alert], alert in drill.expects, reason=drill.listed.get(alert))
            if alarm.expected:
                alarm.limit = pace.limit(drill.expects[alert])
            if seen is not None:
                alarm.fired = seen.first - began
                alarm.cleared = None if alert in self.watch.now else max(0.0, seen.last - healed)
            if heard is not None:
                alarm.told, alarm.receiver = heard.at - began, heard.receiver
            outcome.alarms.append(alarm)
        outcome.judge(drill)
        if not quiet:
            outcome.findings.append(f"did not clear in time: {sorted(self.watch.now)}")
        outcome.findings += self.watch.faults()
        if not self.scene.load.running:
            outcome.findings.append(f"the load ended with {self.scene.load.exit_code}")
        self._promises()

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
