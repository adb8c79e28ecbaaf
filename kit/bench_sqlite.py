"""SQLite alone: runs the statements of requests from one thread and says how long that took.

    .venv-bench/bin/python -m kit.bench_sqlite < TASK

The task is JSON: a file, seconds, how many requests share a commit (0 for requests that only read), and requests, each
a list of statements with their parameters, bytes as `{"hex": …}`. It needs a SQLite as new as the service's own, which
Python's is not everywhere.
"""

import itertools
import json
import re
import sys
import time
from typing import Any

PLACE = re.compile(r"\$(\d+)")


def connect(file: str) -> Any:
    """A connection as the service's own: `src/store/open.rs`."""
    import pysqlite3

    database = pysqlite3.connect(file, isolation_level=None, cached_statements=200)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000"):
        database.execute(f"PRAGMA {pragma}")
    return database


def numbered(text: str) -> str:
    """A statement with `?1` for `$1`, which SQLite would take for a name."""
    return PLACE.sub(r"?\1", text)


def decoded(value: Any) -> Any:
    """A parameter as SQLite takes it."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def run(task: dict[str, Any]) -> dict[str, float]:
    """Runs requests until time is over, each of them once: a new id can be used once only."""
    database = connect(task["file"])
    requests = [
        [(numbered(text), tuple(map(decoded, parameters))) for text, parameters in one] for one in task["requests"]
    ]
    batch = task["batch"]
    chosen = iter(requests) if batch else itertools.cycle(requests)
    done = rows = 0
    wall, processor = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < task["seconds"]:
        some = list(itertools.islice(chosen, batch or 1))
        if not some:
            break
        if batch:
            database.execute("BEGIN IMMEDIATE")
        for request in some:
            for text, parameters in request:
                rows += len(database.execute(text, parameters).fetchall())
        if batch:
            database.execute("COMMIT")
        done += len(some)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"requests": done, "seconds": wall, "processor": processor, "rows": rows}


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
