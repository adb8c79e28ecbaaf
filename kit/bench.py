"""Measures Convoke on each engine: rate, latency, processor time and memory of each operation, in a closed loop.

    python -m kit bench [--events N] [--engine sqlite] [--operation get] [--connections 32] [--seconds 8]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from kit.bench_world import OPERATIONS, fill, measure, table, tokens
from kit.copy_bench import FailedError, run
from kit.process import StartError, scratch_folder, stopped_at_end
from kit.stack import RAISED_LIMITS, Postgres, Service, convoke_binary

ENGINES = ["sqlite", "postgres"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit bench", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--operation", choices=OPERATIONS, action="append")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--keep", type=Path, help="keep the filled databases in this folder, and take them from there")
    options = parser.parse_args(arguments)
    try:
        with scratch_folder(options.keep) as folder:
            bench(options, folder)
    except (FailedError, StartError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def bench(options: argparse.Namespace, folder: Path) -> None:
    """Fills what is not filled yet, and measures."""
    with stopped_at_end() as stops:
        server = Postgres(folder / f"postgres-{options.events}", folder)
        filled = server.folder.exists()
        stops.callback(server.program.stop)
        server.start()
        file = folder / f"world-{options.events}.db"
        databases = {"postgres": server.url, "sqlite": f"sqlite://{file}"}
        services = {}
        for engine in ENGINES:
            data = folder / f"data-{engine}"
            data.mkdir(exist_ok=True)
            services[engine] = Service(data, folder, databases[engine], dict(RAISED_LIMITS), (0, 0))
            stops.callback(services[engine].program.stop)
        if not filled:
            services["postgres"].start()
            services["postgres"].program.stop()
            fill(services["postgres"], folder, server.url, options.events)
            command = [str(convoke_binary()), "copy", "--from", server.url, "--to", databases["sqlite"]]
            run(*command, environment=services["sqlite"].settings)
        rows = []
        for engine in options.engine or ENGINES:
            service = services[engine]
            service.start()
            callers = tokens(service, folder)
            database = server.program if engine == "postgres" else None
            for operation in options.operation or OPERATIONS:
                seen = measure(
                    service, database, operation, options.events, callers, options.connections, options.seconds
                )
                rows.append([
                    f"{engine} {operation}",
                    f"{seen.load.rate:.0f}",
                    f"{seen.load.p50_us / 1000:.2f}",
                    f"{seen.load.p99_us / 1000:.2f}",
                    f"{seen.service_us:.0f}",
                    f"{seen.database_us:.0f}",
                    f"{seen.memory_mib:.0f}",
                ])
                print(" ".join(rows[-1]), flush=True)
            service.program.stop()
            service.program.log.unlink()
    head = ["operation", "req/s", "p50 ms", "p99 ms", "service µs", "PostgreSQL µs", "peak MiB"]
    print(table(head, rows))
