"""Times `convoke copy` and checks that a round trip changes nothing.

A PostgreSQL is filled by SQL alone (`tests/copy_data.sql`) and copied to SQLite, to another PostgreSQL database and to
SQLite again. The reports' checksums must agree, and so must raw dumps of the two SQLite files, row by row. `--kill`
kills the second copy half-way and takes it up again.
"""

import argparse
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from kit.paths import ROOT
from kit.process import Program, StartError, scratch_folder, stopped_at_end, wait_until
from kit.stack import Postgres, convoke_binary, find

# Not copied: each database has its own.
OWN = {"_sqlx_migrations", "leases", "backups"}
ROW = re.compile(r"^(\w+) +(\d+)  ([0-9a-f]{64}) +([\d.]+) +(\d+)$", re.MULTILINE)
LONGEST = 3600


class FailedError(RuntimeError):
    """A command did not do what it should."""


def settings(folder: Path, database: str) -> dict[str, str]:
    """The environment of a command of the service."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "CONVOKE_DATA_DIR": str(folder),
        "CONVOKE_DATABASE_URL": database,
    }


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """What a program prints; raises `FailedError` with what it said."""
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)
    if ended.returncode != 0:
        raise FailedError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def fill(folder: Path, database: str, events: int) -> None:
    """Migrates an empty PostgreSQL database and fills it."""
    run(str(convoke_binary()), "migrate", environment=settings(folder, database))
    sql = str(ROOT / "tests" / "copy_data.sql")
    psql = find("psql", "postgresql-client")
    run(psql, "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-v", f"events={events}", "-f", sql, database)


def copy_command(source: str, target: str) -> list[str]:
    """The command line of a copy."""
    return [str(convoke_binary()), "copy", "--from", source, "--to", target]


def kill_half_way(folder: Path, source: str, target: str, of: int) -> int:
    """Begins a copy and kills it when some of the events are there; returns how many."""
    program = Program("copy", copy_command(source, target), folder / "copy.log", environment=settings(folder, source))
    psql = find("psql", "postgresql-client")

    def copied() -> int:
        asked = [psql, "--no-psqlrc", "-Atc", "SELECT count(*) FROM events", target]
        ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        return int(ended.stdout) if ended.returncode == 0 and ended.stdout.strip() else 0

    with program:
        wait_until("half of the events", lambda: copied() >= of // 2, LONGEST)
        program.kill()
    return copied()


def sums(report: str) -> dict[str, tuple[str, str]]:
    """Rows and checksum of each table in a report."""
    return {table: (rows, checksum) for table, rows, checksum, _, _ in ROW.findall(report)}


def dump(path: Path) -> dict[str, str]:
    """A digest of every row of each table of a SQLite file, as SQL literals in their own order. The names are the
    catalogue's."""
    digests = {}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        listed = database.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        for (table,) in listed.fetchall():
            if table in OWN or table.startswith("sqlite_schema"):
                continue
            columns = [name for (name,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')")]  # noqa: S608
            texts = ", ".join(f"quote({name})" for name in columns)
            order = ", ".join(str(n + 1) for n in range(len(columns)))
            digest = hashlib.sha256()
            for row in database.execute(f"SELECT {texts} FROM {table} ORDER BY {order}"):  # noqa: S608
                digest.update(repr(row).encode())
            digests[table] = digest.hexdigest()
    return digests


def bench(events: int, kill: bool, folder: Path) -> list[str]:
    """Copies three times; prints each report and returns what is wrong."""
    findings = []
    with stopped_at_end() as stops:
        server = Postgres(folder / "postgres", folder)
        stops.callback(server.program.stop)
        server.start()
        psql = find("psql", "postgresql-client")
        base = server.url.rpartition("/")[0]
        for name in ("origin", "there"):
            run(psql, "--no-psqlrc", "-qc", f"CREATE DATABASE {name}", server.url)
        origin, there = f"{base}/origin", f"{base}/there"
        before, after = folder / "before.db", folder / "after.db"
        start = time.monotonic()
        fill(folder, origin, events)
        print(f"{events} events made in {time.monotonic() - start:.1f} s", flush=True)
        reports = []
        for source, target in (
            (origin, f"sqlite://{before}"),
            (f"sqlite://{before}", there),
            (there, f"sqlite://{after}"),
        ):
            if kill and target == there:
                print(f"killed after {kill_half_way(folder, source, target, events)} events", flush=True)
            report = run(*copy_command(source, target), environment=settings(folder, source))
            print(report, flush=True)
            reports.append(sums(report))
        if int(reports[0].get("events", ("0", ""))[0]) != events:
            findings.append(f"{events} events were to be copied: {reports[0]}")
        for n, report in enumerate(reports[1:], 2):
            findings += [
                f"{table}: copy {n} says {report.get(table)}, the first {first}"
                for table, first in reports[0].items()
                if report.get(table) != first
            ]
        dumps = dump(before), dump(after)
        findings += [
            f"{table}: the raw dumps differ"
            for table in dumps[0] | dumps[1]
            if dumps[0].get(table) != dumps[1].get(table)
        ]
        print(f"raw dumps of {len(dumps[0])} tables compared")
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit copy_bench", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kill", action="store_true", help="kill the copy to PostgreSQL half-way and go on")
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as folder:
            findings = bench(options.events, options.kill, folder)
    except (FailedError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(findings) or "the round trip changed nothing")
    return 1 if findings else 0
