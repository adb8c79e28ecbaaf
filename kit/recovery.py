"""Rehearses a recovery on each engine, and prints how long each step took.

A database of `--events` events is backed up, tried, lost and restored into an empty one, and the service started
on it until it is ready. What it must find again is counted before and after.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from kit.copy_bench import FailedError, fill, run
from kit.process import Program, StartError, answers, free_port, scratch_folder, stopped_at_end, wait_until
from kit.stack import Postgres, convoke_binary, find

KEY = "a-fixed-key-for-a-rehearsal-which-is-long-enough-0123456789"
CAME_BACK = re.compile(r"(?:holds|came back): (\d+) rows and (\d+) files")


def settings(folder: Path, database: str) -> dict[str, str]:
    """The environment of a command of the service, whose data are in a folder of their own."""
    folder.mkdir(exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", ""),
        "CONVOKE_DATA_DIR": str(folder),
        "CONVOKE_DATABASE_URL": database,
        "CONVOKE_SECRET_KEY": KEY,
        "CONVOKE_LISTEN": "127.0.0.1:0",
        "CONVOKE_OPS_LISTEN": f"127.0.0.1:{free_port()}",
    }


def timed(*arguments: str, environment: dict[str, str]) -> tuple[str, float]:
    """What a command of Convoke's prints, and the seconds it took."""
    start = time.monotonic()
    said = run(str(convoke_binary()), *arguments, environment=environment)
    return said, time.monotonic() - start


def rows(said: str) -> int:
    """The rows that a command tells of."""
    found = CAME_BACK.search(said)
    if not found:
        raise FailedError(f"it does not say what there is:\n{said}")
    return int(found[1])


def until_ready(folder: Path, environment: dict[str, str]) -> float:
    """Starts the service and waits until it is ready; the seconds that took."""

    url = f"http://{environment['CONVOKE_OPS_LISTEN']}/readyz"
    start = time.monotonic()
    command = [str(convoke_binary()), "serve"]
    with Program("convoke", command, folder / "convoke.log", environment=environment):
        wait_until("the service is ready", lambda: answers(url), 120)
        return time.monotonic() - start


def rehearse(engine: str, folder: Path, full: str, empty: str) -> tuple[list[str], str | None]:
    """One engine: the cells of its line, and what is wrong."""
    before, after = settings(folder / f"{engine}-lost", full), settings(folder / f"{engine}-new", empty)
    said, made = timed("backup", "--to", str(folder / engine), environment=before)
    kept, path = rows(said), Path(said.strip().splitlines()[-1])
    _, tried = timed("backup", "verify", str(path), environment=before)
    said, restored = timed("restore", str(path), environment=after)
    ready = until_ready(folder, after)
    size = f"{path.stat().st_size / 1024**2:.0f} MiB"
    cells = [engine, f"{kept}", size, *(f"{one:.1f} s" for one in (made, tried, restored, ready, restored + ready))]
    return cells, None if rows(said) == kept else f"{engine}: {kept} rows were kept and {rows(said)} came back"


def drill(events: int, folder: Path) -> list[str]:
    """Both engines; prints a line for each and returns what is wrong."""
    findings = []
    with stopped_at_end() as stops:
        server = Postgres(folder / "postgres", folder)
        stops.callback(server.program.stop)
        server.start()
        psql, base = find("psql", "postgresql-client"), server.url.rpartition("/")[0]
        for name in ("lost", "new"):
            run(psql, "--no-psqlrc", "-qc", f"CREATE DATABASE {name}", server.url)
        fill(folder, f"{base}/lost", events)
        file = folder / "lost.db"
        filled = settings(folder / "filling", f"{base}/lost")
        run(str(convoke_binary()), "copy", "--from", f"{base}/lost", "--to", f"sqlite://{file}", environment=filled)
        print("| engine | rows | backup | made in | tried in | restored in | ready in | recovery time |")
        print("|---|---|---|---|---|---|---|---|")
        for engine, full, empty in (
            ("PostgreSQL", f"{base}/lost", f"{base}/new"),
            ("SQLite", f"sqlite://{file}", f"sqlite://{folder}/new.db"),
        ):
            cells, wrong = rehearse(engine, folder, full, empty)
            print(f"| {' | '.join(cells)} |", flush=True)
            findings += [wrong] if wrong else []
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit recovery", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as folder:
            findings = drill(options.events, folder)
    except (FailedError, StartError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(findings) or "every row came back")
    return 1 if findings else 0
