"""Counts the processor instructions of a request and compares them with what is committed.

The service runs in callgrind on SQLite; instructions, unlike time, do not depend on what else the machine does.
A figure beyond the tolerance fails, in either direction: a gain is committed, too, by `--write`.

    python -m kit instructions [--write]
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.paths import LOAD_TESTS
from kit.process import StartError, scratch_folder, stopped_at_end
from kit.stack import RAISED_LIMITS, Service, find

COMMITTED = LOAD_TESTS / "bench" / "instructions.json"
# Threads wake one another in another order in each run, and what is done each second falls on more or fewer requests.
TOLERANCE = 0.15
EVENT = {
    "title": "Harbour meeting",
    "description": "What there is to talk about. " * 7,
    "start": {"date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-04T20:00:00", "time_zone": "Europe/Berlin"},
    "capacity": 50,
    "visibility": "public",
    "tags": ["harbour", "talk"],
    "metadata": {"room": 7, "catering": True},
}
SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class Client:
    """One kept connection."""

    def __init__(self, service: Service) -> None:
        self._connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
        self._headers = {"content-type": "application/json"}
        account = {"email": "ada@example.org", "password": "correct horse battery"}
        self.must("POST", "/auth/register", account | {"display_name": "Ada"})
        token = self.must("POST", "/auth/login", account)["access_token"]
        self._headers["authorization"] = f"Bearer {token}"

    def must(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer, which is a success."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", text, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise StartError(f"{method} {path}: {answer.status} {said.decode()}")
        return json.loads(said) if said else None


def control(*arguments: str) -> None:
    """A command to callgrind."""
    command = [find("callgrind_control", "valgrind"), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode != 0:
        raise StartError(f"callgrind_control: {ended.stdout}{ended.stderr}")


class Counter:
    """Counts what a process does between two moments."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.pid, self.folder = str(service.program.pid), folder

    def each(self, work: Callable[[int], object], times: int) -> int:
        """Instructions that a piece of work takes, done so many times."""
        for n in range(3):
            work(n)
        control("-z", self.pid)
        for n in range(times):
            work(n)
        before = set(self.folder.glob("callgrind.out.*"))
        control("-d", self.pid)
        fresh = set(self.folder.glob("callgrind.out.*")) - before
        total = sum(int(count) for file in fresh for count in SUMMARY.findall(file.read_text())[:1])
        if not total:
            raise StartError("callgrind has counted nothing")
        return total // times


def count(folder: Path) -> dict[str, int]:
    """Instructions a request of each operation, in the build that CONVOKE_BIN names or cargo made last."""
    settings = RAISED_LIMITS | {"CONVOKE_PASSWORD_HASH_MEMORY": "7168", "CONVOKE_REQUEST_TIMEOUT": "2m"}
    with stopped_at_end() as stops:
        data = folder / "data"
        data.mkdir()
        service = Service(data, folder, None, settings, (0, 0))
        valgrind = [find("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out"]
        service.program.command = [*valgrind, *service.program.command]
        stops.callback(service.program.stop)
        service.start()
        client, counter = Client(service), Counter(service, folder)
        ids = [client.must("POST", "/events/", EVENT)["id"] for _ in range(50)]
        me = client.must("GET", "/users/me")["id"]
        statuses = ["accepted", "declined", "tentative"]

        def answer(n: int) -> object:
            path = f"/events/{ids[n % len(ids)]}/participants/{me}/status"
            return client.must("PATCH", path, {"status": statuses[n // len(ids) % 3]})

        return {
            "get": counter.each(lambda n: client.must("GET", f"/events/{ids[n % len(ids)]}"), 60),
            "page": counter.each(lambda _: client.must("GET", "/events/?limit=50"), 15),
            "create": counter.each(lambda _: client.must("POST", "/events/", EVENT), 30),
            "answer": counter.each(answer, 30),
        }


def compare(counted: dict[str, int], committed: dict[str, int]) -> list[str]:
    """What is beyond the tolerance."""
    findings = []
    for operation, now in counted.items():
        before = committed.get(operation)
        if before is None:
            findings.append(f"{operation}: there is no committed figure")
        elif abs(now / before - 1) > TOLERANCE:
            findings.append(
                f"{operation}: {now:,} instructions a request, committed are {before:,}: {now / before:.2f} of it"
            )
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit to what is counted")
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as folder:
            counted = count(folder)
    except (StartError, TimeoutError, OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    for operation, number in counted.items():
        print(f"{operation:<8}{number:>14,} instructions a request")
    if options.write:
        COMMITTED.write_text(json.dumps(counted, indent=2) + "\n")
        return 0
    findings = compare(counted, json.loads(COMMITTED.read_text()))
    print("\n".join(findings) or f"within {TOLERANCE:.0%} of what is committed")
    return 1 if findings else 0
