"""Runs fire drills: one fault at a time on a stack of its own, several stacks side by side."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import kit.drill.catalogue  # noqa: F401  (registers the drills)
from kit.drill.drill import REGISTRY, Drill
from kit.drill.matrix import PAPER, in_words, not_drilled, paper, summary
from kit.drill.pace import INTERVAL, SCALE, Pace
from kit.drill.run import Outcome, run
from kit.paths import ROOT
from kit.process import Program, StartError, stopped_at_end

LANES = 4
ROOM = 4 * 2**30
SHARED = Path("/dev/shm")  # noqa: S108
# Of one drill, in seconds.
LONGEST = 1500
# And to stop all that it started.
STOPPING = 90


@dataclass
class Lane:
    """One drill in a process of its own."""

    drill: Drill
    program: Program
    result: Path
    began: float


def tell(drill: Drill, outcome: Outcome) -> str:
    """What one drill came to."""
    lines = [f"{'passed' if outcome.good else 'FAILED'}  {drill.name} in {outcome.seconds:.0f} s: {drill.title}"]
    for one in outcome.alarms:
        fired = "did not fire" if one.fired is None else f"fired after {one.fired:.1f} s"
        limit = f" of {one.limit:.0f} s" if one.limit is not None else ""
        told = "told" if one.told is not None else "held back"
        cleared = "still fires" if one.cleared is None else f"cleared after {one.cleared:.1f} s"
        ended = cleared if one.fired is not None else ""
        why = "" if one.expected or one.told is None else f" [{one.reason or 'NOT LISTED'}]"
        lines.append(f"    {one.alert} ({one.severity}): {fired}{limit}, {told}, {ended}{why}")
    asked = ", ".join(f"{count} × {status}" for status, count in outcome.answers.items())
    lines.append(f"    witness: {asked}; {outcome.acknowledged} acknowledged; {outcome.probes} probes")
    lines += [f"    missed: {one}" for one in outcome.missed]
    lines += [f"    not listed: {one}" for one in outcome.unlisted]
    lines += [f"    promise broken: {one}" for one in outcome.broken_promises]
    lines += [f"    {one}" for one in outcome.findings]
    return "\n".join(lines)


def _begin(drill: Drill, pace: Pace, folder: Path) -> Lane:
    result, place = folder / f"{drill.name}.json", folder / drill.name
    # What an earlier run left must not pass for this one's.
    result.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    command = [sys.executable, "-m", "kit", "drills", drill.name, "--result", str(result), "--keep", str(place)]
    command += ["--scale", str(pace.scale), "--interval", pace.interval]
    program = Program(drill.name, command, folder / f"{drill.name}.log", stop_signal=signal.SIGTERM, folder=ROOT)
    program.start()
    return Lane(drill, program, result, time.monotonic())


def _end(lane: Lane) -> Outcome | None:
    """What a drill that has ended came to; `None` while it runs."""
    if lane.program.running and time.monotonic() - lane.began < LONGEST:
        return None
    code = lane.program.stop(STOPPING)
    if lane.result.exists():
        outcome = Outcome.read(lane.result)
        if outcome.good:
            shutil.rmtree(lane.result.with_suffix(""), ignore_errors=True)
        return outcome
    ended = lane.program.output()[-1500:]
    return Outcome(lane.drill.name, 0, findings=[f"it ended with {code}:\n{ended}"])


def all_of(drills: list[Drill], pace: Pace, lanes: int, folder: Path) -> dict[str, Outcome]:
    """Runs drills side by side, those that wait longest first."""
    waiting = sorted(drills, key=lambda one: (not one.patient, -pace.seconds(one.clears)))
    running: list[Lane] = []
    found: dict[str, Outcome] = {}
    with stopped_at_end() as stops:
        while waiting or running:
            while waiting and len(running) < lanes:
                running.append(_begin(waiting.pop(0), pace, folder))
                stops.callback(running[-1].program.stop, STOPPING)
            for lane in list(running):
                if (outcome := _end(lane)) is not None:
                    running.remove(lane)
                    found[lane.drill.name] = outcome
                    print(tell(lane.drill, outcome), flush=True)
            time.sleep(0.2)
    return found


def _memory() -> Path | None:
    """A folder in memory, if there is room: drills side by side would wait for one another's writes to one disk."""
    good = SHARED.is_dir() and os.access(SHARED, os.W_OK) and shutil.disk_usage(SHARED).free > ROOM
    return SHARED if good else None


def _held(folder: Path) -> dict[str, Outcome]:
    """What has passed in an earlier run."""
    found = {one.name: folder / f"{one.name}.json" for one in REGISTRY.values()}
    read = {name: Outcome.read(file) for name, file in found.items() if file.exists()}
    return {name: outcome for name, outcome in read.items() if outcome.good}


def _chosen(options: argparse.Namespace) -> list[Drill]:
    if options.core:
        return [one for one in REGISTRY.values() if one.core]
    return [REGISTRY[name] for name in options.names] or list(REGISTRY.values())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit drills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all if none is named")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--core", action="store_true", help="those that `make test` runs")
    parser.add_argument("--lanes", type=int, default=LANES, help="drills side by side")
    parser.add_argument("--scale", type=float, default=SCALE, help="the factor for every duration of the rules")
    parser.add_argument("--interval", default=INTERVAL, help="between two scrapes, and two evaluations")
    parser.add_argument("--write", action="store_true", help="write docs/drills.md")
    parser.add_argument("--out", type=Path, help="the folder for logs and results; a new one, in memory, if not given")
    parser.add_argument("--again", action="store_true", help="leave out what has passed in the folder of --out already")
    parser.add_argument("--result", type=Path, help="run the one drill here, and put what it came to into this file")
    parser.add_argument("--keep", type=Path, help="the folder for that drill's logs and data")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{one.name:24} {one.title}" for one in REGISTRY.values()))
        return 0
    if unknown := [name for name in options.names if name not in REGISTRY]:
        parser.error(f"there is no drill {', '.join(unknown)}; they are: {', '.join(REGISTRY)}")
    if options.write and (options.names or options.core):
        parser.error("--write is for all drills together")
    pace = Pace(options.scale, options.interval)
    if options.result is not None:
        (drill,) = _chosen(options)
        try:
            outcome = run(drill, pace, options.keep)
        except (StartError, TimeoutError, OSError) as error:
            outcome = Outcome(drill.name, pace.scale, findings=[f"it could not be held: {error!r}"])
        outcome.write(options.result)
        return 0 if outcome.good else 1
    folder = (options.out or Path(tempfile.mkdtemp(prefix="convoke-drills.", dir=_memory()))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # PostgreSQL's own user must reach its data below it.
    folder.chmod(0o755)
    print(f"{pace.stated()}\nLogs: {folder}", flush=True)
    began = time.monotonic()
    held = _held(folder) if options.again else {}
    outcomes = held | all_of([one for one in _chosen(options) if one.name not in held], pace, options.lanes, folder)
    took = f"took {in_words(time.monotonic() - began)}"
    if held:
        took = f"were held, {len(held)} of them in an earlier run"
    print(summary(outcomes))
    if options.write:
        PAPER.write_text(paper(outcomes, pace, took))
    bad = [name for name, outcome in outcomes.items() if not outcome.good]
    if not bad and options.out is None:
        shutil.rmtree(folder, ignore_errors=True)
    if len(outcomes) == len(REGISTRY):
        bad += [f"{alert} is in no drill" for alert in not_drilled()]
    print(f"{len(outcomes)} drills {took}; failed: {', '.join(bad) or 'none'}")
    return 1 if bad else 0
