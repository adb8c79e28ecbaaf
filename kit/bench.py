"""Measures Convoke on each engine: rate, latency, processor time and memory of each operation, in a closed loop.

    python -m kit bench [--part limits] [--part peers] [--events N] [--engine sqlite] [--operation get] [--seconds 8]

Parts: `limits` (the same statements by pgbench and by SQLite alone, and a handler that only serialises), `many` (256
connections), `modes` (telemetry off, default, everything), `peers` (PocketBase), `growth` (see bench_growth.py),
`sizes` (of growth, what the number of events does).
"""

import argparse
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from kit import bench_report
from kit.bench_limits import Captured, Limit, bare, capture, pgbench, sqlite
from kit.bench_modes import MODES, NoSwitchError, Taken, measure_modes, mode, modes_table, modes_targets
from kit.bench_operations import OPERATIONS, WRITES, operations
from kit.bench_report import Target, ratio, show, table, targets_table
from kit.bench_world import ENGINES, Figures, Running, Worlds, batch_size, measure, running
from kit.copy_bench import FailedError
from kit.process import StartError, scratch_folder, stopped_at_end

PARTS = ["limits", "many", "modes", "peers", "growth", "sizes"]
MANY = 256
# Connections of the service's pool (CONVOKE_DATABASE_MAX_CONNECTIONS), and as many as the load has.
CLIENTS = (10, 32)
OF_PGBENCH = {"get": 0.40, "page": 0.35, "answer": 0.50, "create": 0.50}
OF_BARE = {"get": 7.0, "page": 4.5}
MEMORY_MIB = 150


@dataclass
class Found:
    """All that was measured in one run."""

    figures: dict[tuple[str, str], Figures] = field(default_factory=dict)
    many: dict[tuple[str, str], Figures] = field(default_factory=dict)
    batches: dict[str, float] = field(default_factory=dict)
    pgbench: dict[tuple[str, int], Limit] = field(default_factory=dict)
    sqlite: dict[tuple[str, str], Limit] = field(default_factory=dict)
    bare: dict[tuple[str, str], Limit] = field(default_factory=dict)
    modes: dict[str, Taken] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rate(self, engine: str, operation: str) -> float | None:
        """Requests a second."""
        seen = self.figures.get((engine, operation))
        return seen.load.rate if seen else None

    def pgbench_best(self, operation: str) -> Limit | None:
        """The faster of pgbench's runs: the limit."""
        runs = [limit for (name, _), limit in self.pgbench.items() if name == operation]
        return max(runs, key=lambda one: one.rate, default=None)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kit bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--operation", choices=OPERATIONS, action="append")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--part", choices=PARTS, action="append", default=[])
    parser.add_argument("--size", type=int, action="append", help="numbers of events for growth")
    parser.add_argument("--shrink", type=int, default=1, help="divides what is large in growth, for a trial")
    parser.add_argument("--only", action="store_true", help="the parts alone, without the plain figures")
    parser.add_argument("--telemetry", choices=MODES, default="default")
    parser.add_argument("--keep", type=Path, help="keep the filled databases in this folder, and take them from there")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args(arguments)
    options.engine = options.engine or ENGINES
    options.operation = options.operation or OPERATIONS
    raise_open_files()
    try:
        with scratch_folder(options.keep) as folder:
            sections = bench(options, folder)
    except (FailedError, StartError, NoSwitchError, TimeoutError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    for text in sections.values():
        print(f"\n{text}")
    if options.write:
        bench_report.write(sections)
    return 0


def raise_open_files() -> None:
    """As many open files as this process may have; what it starts inherits that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def bench(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Measures what was asked for; returns the sections of the paper."""
    if "growth" in options.part or "sizes" in options.part:
        from kit.bench_growth import growth

        return growth(options, folder, sizes_alone="growth" not in options.part)
    found = Found()
    told = bench_report.circumstances(options.seconds)
    with stopped_at_end() as stops:
        worlds = Worlds(folder, options.events, stops)
        worlds.make()
        captured = {}
        if "limits" in options.part:
            known = operations(options.events)
            captured = capture(worlds, [known[name] for name in options.operation])
        for engine in [] if options.only else options.engine:
            figures(options, worlds, engine, captured, found)
        if "modes" in options.part:
            for engine in options.engine:
                found.modes[engine] = measure_modes(worlds, engine, options.connections, options.seconds / 2)
        sections = {} if options.only else report(options, found)
        for engine, taken in found.modes.items():
            sections[f"modes {engine}"] = (
                f"{modes_table(taken)}\n\n{targets_table(modes_targets(taken, engine))}\n\n{told}"
            )
        if "peers" in options.part:
            from kit.bench_peers import peers

            sections |= peers(options, worlds, stops)
    for name in ("targets", "peers"):
        if name in sections:
            sections[name] += f"\n\n{told}"
    return sections


def figures(
    options: argparse.Namespace, worlds: Worlds, engine: str, captured: dict[str, Captured], found: Found
) -> None:
    """Each operation, one after the other, on one copy of the world, and right behind it its limit: what else the
    machine does is then alike."""
    with mode(options.telemetry) as settings, running(worlds, engine, settings) as now:
        for operation in options.operation:
            batches = batch_size(now.service)
            seen = measure(now, operation, options.connections, options.seconds)
            found.figures[engine, operation] = seen
            print(engine, *figure_cells(operation, seen), flush=True)
            if operation in WRITES and engine == "sqlite":
                found.batches[operation] = batch_size(now.service, batches).mean
            if operation in captured:
                limit(options, now, captured[operation], operation, found)
        if "many" in options.part:
            for operation in options.operation:
                seen = found.many[engine, operation] = measure(now, operation, MANY, options.seconds)
                print(engine, MANY, *figure_cells(operation, seen), flush=True)


def limit(options: argparse.Namespace, now: Running, captured: Captured, operation: str, found: Found) -> None:
    """What a handler that only serialises makes of the same answers, and the database of the same statements alone; the
    service is idle meanwhile."""
    worlds, engine = now.worlds, now.engine
    if operation in OF_BARE:
        with bare(now) as loaded:
            found.bare[engine, operation] = loaded(operation, options.connections, options.seconds)
            print("bare", operation, found.bare[engine, operation], flush=True)
    if engine == "postgres":
        for clients in CLIENTS:
            found.pgbench[operation, clients] = pgbench(worlds, operation, captured.scripts, clients, options.seconds)
            print("pgbench", operation, clients, found.pgbench[operation, clients], flush=True)
    elif captured.missing:
        found.notes.append(f"SQLite alone was not measured on {operation}: {captured.missing}.")
        print(found.notes[-1], flush=True)
    else:
        batches = {"alone": 0}
        if operation in WRITES:
            batches = {"alone": 1, "batched": max(1, round(found.batches[operation]))}
        for name, batch in batches.items():
            known = operations(worlds.events)[operation]
            found.sqlite[operation, name] = sqlite(worlds, known, captured.makers, batch, options.seconds)
            print("SQLite", operation, batch, found.sqlite[operation, name], flush=True)


def figure_cells(name: str, seen: Figures) -> list[str]:
    """A line of the table of figures."""
    load = seen.load
    return [
        name,
        f"{load.rate:.0f}",
        f"{load.p50_us / 1000:.2f}",
        f"{load.p99_us / 1000:.2f}",
        f"{seen.service_us:.0f}",
        f"{seen.database_us:.0f}",
        f"{seen.memory_mib:.0f}",
        f"{load.bytes / max(1, load.requests):.0f}",
        str(load.errors),
    ]


def report(options: argparse.Namespace, found: Found) -> dict[str, str]:
    """The sections of the paper."""
    head = [
        "operation",
        "req/s",
        "p50 ms",
        "p99 ms",
        "service µs",
        "PostgreSQL µs",
        "peak MiB",
        "bytes an answer",
        "errors",
    ]
    rows = [figure_cells(f"{engine} {name}", seen) for (engine, name), seen in found.figures.items()]
    sections = {"figures": table(head, rows)}
    targets: list[Target] = []
    if "limits" in options.part:
        sections["limits"] = "\n\n".join([limits_table(options, found), *found.notes])
        targets += limit_targets(found)
    if found.many:
        rows = [figure_cells(f"{engine} {name}", seen) for (engine, name), seen in found.many.items()]
        sections["many"] = table(head, rows)
        targets += [
            Target(f"{engine} {name}: p99 ÷ p50 with {MANY} connections", 10, seen.load.tail(MANY))
            for (engine, name), seen in found.many.items()
        ]
    errors = sum(seen.load.errors for part in (found.figures, found.many) for seen in part.values())
    targets.append(Target("requests that failed", 0, errors, unit=""))
    for engine in options.engine:
        most = max(
            seen.memory_mib for (there, _), seen in [*found.figures.items(), *found.many.items()] if there == engine
        )
        targets.append(Target(f"{engine}: most memory with {options.events} events", MEMORY_MIB, most, unit="MiB"))
    sections["targets"] = targets_table(targets)
    return sections


def limits_table(options: argparse.Namespace, found: Found) -> str:
    """What the service reaches of each limit."""
    rows = []
    for name in options.operation:
        best = found.pgbench_best(name)
        alone, batched = (found.sqlite.get((name, kind)) for kind in ("alone", "batched"))
        rows.append(
            [
                name,
                *(show(limit.rate if (limit := found.pgbench.get((name, n))) else None) for n in CLIENTS),
                show(best.cpu_us if best else None),
                show(ratio(found.rate("postgres", name), best.rate if best else None)),
                show(alone.rate if alone else None),
                show(batched.rate if batched else None),
                show(found.batches.get(name)),
                show(ratio(found.rate("sqlite", name), (batched or alone).rate if alone else None)),
                *(show(limit.cpu_us if (limit := found.bare.get((engine, name))) else None) for engine in ENGINES),
            ]
        )
    head = ["operation", *(f"pgbench {n}" for n in CLIENTS), "its PostgreSQL µs", "Convoke ÷ pgbench", "SQLite alone"]
    head += ["SQLite batched", "writes a commit", "Convoke ÷ SQLite"]
    head += [f"bare handler's µs beside {engine}" for engine in ENGINES]
    return table(head, rows)


def limit_targets(found: Found) -> list[Target]:
    """The promises about limits."""
    targets = []
    for name, bound in OF_PGBENCH.items():
        best = found.pgbench_best(name)
        share = ratio(found.rate("postgres", name), best.rate if best else None)
        targets.append(Target(f"postgres {name}: requests a second ÷ pgbench's", bound, share, at_least=True))
    for engine in ENGINES:
        for name, bound in OF_BARE.items():
            seen = found.figures.get((engine, name))
            beside = found.bare.get((engine, name))
            share = ratio(seen.service_us if seen else None, beside.cpu_us if beside else None)
            targets.append(Target(f"{engine} {name}: CPU ÷ a handler that only serialises", bound, share))
    return targets
