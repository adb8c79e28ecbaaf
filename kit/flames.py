"""Draws where the processor's time of a request goes, as flame graphs, and sums it up by kinds of work.

The profile comes from the service's own ops listener, which needs no other tool and no privilege, while the benchmark's
load runs; what a request takes of the processor is measured right before, without a profile.

    python -m kit flames [--engine sqlite] [--operation get] [--events N] [--seconds 10] [--name before]
    python -m kit flames --table

With `--name` the drawing and the figures are put into docs/flames; `--table` puts those of before and after into
docs/performance.md.
"""

import argparse
import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from kit import bench_report
from kit.bench import raise_open_files
from kit.bench_operations import OPERATIONS
from kit.bench_report import show, table
from kit.bench_world import ENGINES, Running, Worlds, checked, load, measure, running
from kit.copy_bench import FailedError
from kit.flames_drawing import svg, tree
from kit.flames_frames import KINDS, kinds
from kit.flames_profile import FormatError, Sample, decode
from kit.paths import DOCS
from kit.process import StartError, http, scratch_folder, stopped_at_end

FLAMES = DOCS / "flames"
NAMES = ["before", "after"]
# The paths that the benchmark's promises are about.
HOTTEST = ["get", "page", "create"]
# Beyond about this the kernel's own ticks cost samples.
HZ = 199
# Of 0.3 %, the narrowest box, that leaves one sample.
FEW = 300


@dataclass(frozen=True)
class Flame:
    """Where the time of one operation went."""

    engine: str
    operation: str
    rate: float
    cpu_us: float
    events: int
    connections: int
    samples: dict[str, int]

    @property
    def count(self) -> int:
        """All samples."""
        return sum(self.samples.values())

    def share(self, kind: str) -> float:
        """A kind's part of the whole."""
        return self.samples.get(kind, 0) / self.count if self.count else 0.0

    def cell(self, kind: str) -> str:
        """A kind's processor time a request, and its part of the whole."""
        return f"{show(self.cpu_us * self.share(kind))} ({self.share(kind):.0%})"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kit flames", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: sqlite")
    parser.add_argument("--operation", choices=OPERATIONS, action="append", help=f"default: {', '.join(HOTTEST)}")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=int, choices=range(1, 61), default=10, metavar="1..60")
    parser.add_argument("--name", choices=NAMES, help="put drawing and figures into docs/flames under this name")
    parser.add_argument(
        "--keep", type=Path, help="keep databases and drawings in this folder, and take them from there"
    )
    parser.add_argument("--table", action="store_true", help="run nothing; put what is there into docs/performance.md")
    options = parser.parse_args(arguments)
    if options.table:
        if not (found := committed()):
            print(f"there is nothing in {FLAMES}; run with --name first", file=sys.stderr)
            return 1
        text = comparison(found)
        bench_report.write({"flames": text})
        print(text)
        return 0
    raise_open_files()
    try:
        with scratch_folder(options.keep) as folder:
            record(options, folder)
    except (FailedError, StartError, FormatError, TimeoutError, OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def record(options: argparse.Namespace, folder: Path) -> None:
    """Profiles what was asked for, one operation after the other, on one copy of the world for each engine."""
    told = bench_report.circumstances(options.seconds)
    with stopped_at_end() as stops:
        worlds = Worlds(folder, options.events, stops)
        worlds.make()
        for engine in options.engine or ["sqlite"]:
            with running(worlds, engine) as now:
                for operation in options.operation or HOTTEST:
                    flame, samples = burn(now, operation, options.connections, options.seconds)
                    drawing = draw(flame, samples, options.name)
                    print(f"\n{heading(flame)}\n\n{own_table(flame)}", flush=True)
                    if options.keep:
                        (folder / f"{engine}-{operation}.svg").write_text(drawing)
                    if options.name:
                        write(flame, drawing, options.name)
    print(f"\n{told}")


def burn(now: Running, operation: str, connections: int, seconds: int) -> tuple[Flame, list[Sample]]:
    """The processor time of a request, and then a profile."""
    plain = measure(now, operation, connections, seconds)
    checked(operation, plain.load)
    samples = profile(now, operation, connections, seconds)
    count = sum(one.count for one in samples)
    if count < FEW:
        print(f"{operation}: {count} samples are few; more --seconds give more", file=sys.stderr)
    flame = Flame(
        now.engine,
        operation,
        plain.load.rate,
        plain.service_us,
        now.worlds.events,
        connections,
        dict(kinds(samples)),
    )
    return flame, samples


def profile(now: Running, operation: str, connections: int, seconds: int) -> list[Sample]:
    """What the ops listener answers while a load lasts."""
    found: list[bytes] = []
    failures: list[Exception] = []

    def take() -> None:
        try:
            # The names are looked up afterwards.
            url = f"{now.service.ops_url}/debug/pprof/profile?seconds={seconds}&hz={HZ}"
            found.append(http(url, timeout=seconds + 60))
        except OSError as failure:
            failures.append(failure)

    taking = threading.Thread(target=take)
    taking.start()
    try:
        # Ends after the sampling does: an idle service would be sampled for what it does each second.
        checked(operation, load(now.service, operation, now.worlds.events, now.callers, connections, seconds + 1))
    finally:
        taking.join()
    if failures:
        raise StartError(f"no profile: {failures[0]}")
    samples = decode(found[0])
    if not samples:
        raise StartError(f"{operation}: the profile has no samples")
    return samples


def heading(flame: Flame) -> str:
    """What was measured, in a line."""
    return (
        f"{flame.engine} {flame.operation}: {flame.rate:.0f} requests a second, {show(flame.cpu_us)} µs of CPU each, "
        f"{flame.count} samples"
    )


def own_table(flame: Flame) -> str:
    """Where the time of one operation goes."""
    rows = [[kind, show(flame.cpu_us * flame.share(kind)), f"{flame.share(kind):.1%}"] for kind in KINDS]
    return table(["", "µs a request", "share"], [*rows, ["all", show(flame.cpu_us), ""]])


def draw(flame: Flame, samples: list[Sample], name: str | None) -> str:
    """The flame graph."""
    of = f"{flame.engine}, {flame.operation}{f', {name}' if name else ''}"
    title = f"Convoke on {of}: {flame.cpu_us:.0f} µs of CPU a request, {flame.connections} connections, "
    return svg(tree(samples), f"{title}{flame.events} events, {flame.count} samples", flame.cpu_us)


def write(flame: Flame, drawing: str, name: str) -> None:
    """Puts a drawing and its figures into docs/flames."""
    FLAMES.mkdir(exist_ok=True)
    file = FLAMES / f"{flame.engine}-{flame.operation}-{name}.svg"
    file.write_text(drawing)
    file.with_suffix(".json").write_text(json.dumps(asdict(flame), indent=2, ensure_ascii=False) + "\n")


def committed() -> dict[tuple[str, str], dict[str, Flame]]:
    """The figures in docs/flames, by engine and operation, then by name."""
    found: dict[tuple[str, str], dict[str, Flame]] = {}
    for engine in ENGINES:
        for operation in OPERATIONS:
            for name in NAMES:
                file = FLAMES / f"{engine}-{operation}-{name}.json"
                if file.exists():
                    found.setdefault((engine, operation), {})[name] = Flame(**json.loads(file.read_text()))
    return found


def comparison(found: dict[tuple[str, str], dict[str, Flame]]) -> str:
    """A table for each operation: before and after, side by side."""
    parts = []
    for (engine, operation), by_name in found.items():
        links = " · ".join(f"[{name}](flames/{engine}-{operation}-{name}.svg)" for name in by_name)
        rows = [
            [kind, *(one.cell(kind) for one in by_name.values()), change(by_name, kind)]
            for kind in KINDS
            if any(one.samples.get(kind) for one in by_name.values())
        ]
        rows.append(["all", *(show(one.cpu_us) for one in by_name.values()), change(by_name)])
        rows.append(["requests a second", *(f"{one.rate:.0f}" for one in by_name.values()), ""])
        rows.append(["samples", *(str(one.count) for one in by_name.values()), ""])
        head = [f"{engine} {operation}, µs of CPU a request", *by_name, "change"]
        parts.append(f"**{engine} {operation}**: {links}\n\n{table(head, rows)}")
    # Markers are lines of their own, and a table ends with an empty one.
    return "\n\n".join(parts)


def change(by_name: dict[str, Flame], kind: str | None = None) -> str:
    """What a request takes more or less of a kind, or of all, than before, in µs."""
    if by_name.keys() != set(NAMES):
        return "–"
    before, after = (by_name[name].cpu_us * (by_name[name].share(kind) if kind else 1) for name in NAMES)
    return f"{'+' if after >= before else '−'}{show(abs(after - before))}"
