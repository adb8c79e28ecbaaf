"""The limits of each operation: what pgbench, SQLite and a handler that only serialises make of the same work."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from kit.bench_capture import Span, Statement, logged, of_request, send, spans
from kit.bench_operations import PERSON, WRITES, Operation, Request, operations
from kit.bench_plain import plain_writes
from kit.bench_replay import Maker, Script, UnknownParametersError, pgbench_script, sqlite_statements
from kit.bench_world import ENGINES, PLACE, Running, Worlds, cpu_seconds, running, wrk
from kit.copy_bench import FailedError, run
from kit.paths import ROOT
from kit.process import Program, StartError, wait_until
from kit.stack import convoke_binary, find
from kit.trace_sink import trace_sink

BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
# Requests prepared for SQLite, made before the clock runs.
PREPARED = 20_000
TRACED = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "100"}


@dataclass(frozen=True)
class Limit:
    """What something did at the most."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class Captured:
    """What the requests of one operation ran on each engine."""

    scripts: list[Script]
    makers: list[Maker]
    # Why SQLite alone cannot be measured.
    missing: str | None


def capture(worlds: Worlds, chosen: list[Operation]) -> dict[str, Captured]:
    """Sends the requests of each operation on both engines."""
    traces: dict[tuple[str, str, int], str] = {}
    units: dict[tuple[str, int], list[list[Statement]]] = {}
    seen: dict[str, list[Span]] = {}
    for engine in ENGINES:
        exports: list[bytes] = []
        with (
            trace_sink(exports) as sink,
            running(worlds, engine, TRACED | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink}) as now,
        ):
            url, token = now.service.url, now.callers.read_text().split()[PERSON]
            for operation in chosen:
                for request in operation.before:
                    send(url, request, token)
                for n, request in enumerate(operation.requests):
                    with worlds.logging() if engine == "postgres" else contextlib.nullcontext() as said:
                        # So that who asks is known from the cache, as under load.
                        send(url, Request("GET", "/api/v1/users/me"), token)
                        traces[engine, operation.name, n], _ = send(url, request, token)
                    if said is not None:
                        units[operation.name, n] = logged(said())
        seen |= spans(exports)
    found = {}
    for operation in chosen:
        scripts: list[Script] = []
        makers: list[Maker] = plain_writes(operation) if operation.name in WRITES else []
        missing = None
        for n in range(len(operation.requests)):
            there = seen[traces["postgres", operation.name, n]]
            known = of_request(units[operation.name, n], there)
            scripts.append(pgbench_script(operation, known, f"c{n}x"))
            if operation.name in WRITES:
                continue
            try:
                here = seen[traces["sqlite", operation.name, n]]
                makers.append(sqlite_statements(operation, here, known, there))
            except UnknownParametersError as error:
                missing = str(error)
        found[operation.name] = Captured(scripts, makers, missing)
    return found


def pgbench(worlds: Worlds, operation: str, scripts: list[Script], clients: int, seconds: float) -> Limit:
    """The same statements without a service: on a fresh copy, if they write."""
    name = "limits"
    if operation in WRITES or name not in worlds.psql("SELECT datname FROM pg_database").split():
        worlds.copy("postgres", name)
    command = [find("pgbench", "postgresql-client"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2"]
    for n, script in enumerate(scripts):
        file = worlds.folder / f"{operation}-{n}.pgbench"
        file.write_text(script.text)
        command += ["-f", str(file)]
        command += [part for pair in script.variables.items() for part in ("-D", "=".join(pair))]
    url = f"{worlds.server.url.rpartition('/')[0]}/{name}"

    def ran(seconds: float) -> Limit:
        before = cpu_seconds(worlds.server.program, family=True)
        said = run(*command, "-T", f"{max(1, round(seconds))}", url)
        # What a session took is its server's when it has ended.
        sessions = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
        wait_until("the end of pgbench's sessions", lambda: not worlds.psql(sessions).strip(), 30)
        return Limit(*pgbench_said(said, cpu_seconds(worlds.server.program, family=True) - before))

    run(*command, "-T", "2", url)
    return ran(seconds)


def pgbench_said(said: str, taken: float) -> tuple[float, float]:
    """Transactions a second, and the server's µs each."""
    done = re.search(r"^number of transactions actually processed: (\d+)", said, re.MULTILINE)
    rate = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", said, re.MULTILINE)
    if not done or not rate or not int(done[1]) or (failed and int(failed[1])):
        raise StartError(f"pgbench:\n{said}")
    return float(rate[1]), taken / int(done[1]) * 1e6


def sqlite(worlds: Worlds, operation: Operation, makers: list[Maker], batch: int, seconds: float) -> Limit:
    """The same statements on a copy of the file from one thread; `batch` of them a commit, or 0 when they only read."""
    file = worlds.copy("sqlite", "limits").removeprefix("sqlite://")
    random = Random(20261122)  # noqa: S311
    requests = [makers[n % len(makers)](random) for n in range(PREPARED if batch else PREPARED // 10)]
    task = {"file": file, "seconds": seconds, "batch": batch, "requests": requests}
    if not BENCH_PYTHON.exists():
        raise StartError(f"{BENCH_PYTHON} is missing; run: tests/install.sh bench")
    ended = subprocess.run(
        [str(BENCH_PYTHON), "-m", "kit.bench_sqlite"],
        input=json.dumps(task, default=lambda value: {"hex": value.hex()}),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=ROOT,
    )
    if ended.returncode != 0:
        raise FailedError(f"SQLite on the statements of {operation.name}:\n{ended.stderr}")
    said = json.loads(ended.stdout)
    return Limit(said["requests"] / said["seconds"], said["processor"] / said["requests"] * 1e6)


@contextlib.contextmanager
def bare(now: Running) -> Iterator[Callable[[str, int, float], Limit]]:
    """A handler that serialises the bodies of `get` and `page`; yields what loads it."""
    binary = Path(os.environ.get("BARE_BIN") or convoke_binary().parent / "examples" / "bare").resolve()
    if not binary.exists():
        raise StartError(f"{binary} is missing; run: cargo build --release --example bare")
    token = now.callers.read_text().split()[PERSON]
    known = operations(now.worlds.events)
    files = []
    for name in ("get", "page"):
        files.append(now.worlds.folder / f"{name}.json")
        files[-1].write_bytes(send(now.service.url, known[name].requests[0], token)[1])
    with Program("bare", [str(binary), *map(str, files)], now.worlds.folder / "bare.log") as program:
        program.wait_ready(lambda: program.output().startswith("http://"), 10)
        url = program.output().strip()

        def loaded(name: str, connections: int, seconds: float) -> Limit:
            wrk(f"{url}/{name}", PLACE / "plain.lua", [], connections, min(1.0, seconds))
            before = cpu_seconds(program)
            seen = wrk(f"{url}/{name}", PLACE / "plain.lua", [], connections, seconds)
            if seen.refused or seen.broken:
                raise StartError(f"the bare handler refused {seen.refused} and broke {seen.broken}")
            return Limit(seen.rate, (cpu_seconds(program) - before) / seen.requests * 1e6)

        yield loaded
