"""Rolls two replicas from the previous release to this one under load, on PostgreSQL, and counts failed requests."""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.paths import ROOT
from kit.process import StartError, scratch_folder, stopped_at_end, wait_until
from kit.process import http as fetch
from kit.stack import RAISED_LIMITS, Postgres, Service, find

MIGRATIONS = "migrations/postgres"
EVENT = {
    "title": "Rolled over",
    "start": {"date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin"},
    "end": {"date_time": "2031-03-04T20:00:00", "time_zone": "Europe/Berlin"},
}


def _git(*arguments: str) -> str:
    return subprocess.run([find("git", "git"), *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _migrations(commit: str) -> int:
    return _git("ls-tree", "--name-only", commit, f"{MIGRATIONS}/").count(".sql")


def previous() -> str:
    """The last commit that brings one migration less than this one."""
    wanted = _migrations("HEAD") - 1
    for commit in _git("rev-list", "HEAD", "--", MIGRATIONS).split():
        with contextlib.suppress(subprocess.CalledProcessError):
            parent = _git("rev-parse", f"{commit}^").strip()
            if _migrations(parent) == wanted:
                return parent
    raise StartError(f"no commit has {wanted} migrations; name one by --from")


def build(source: Path, target: Path, binary: Path) -> None:
    """Builds the sources in the common target folder and takes the binary away."""
    command = [find("cargo", "cargo"), "build", "--locked", "--bin", "convoke", "--target-dir", str(target)]
    subprocess.run(command, cwd=source, check=True)
    shutil.copy2(target / "debug" / "convoke", binary)


@contextlib.contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """The sources of a commit."""
    _git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


class Client:
    """One kept connection, to whichever replica takes it: who refuses a connection is passed over, nothing else is."""

    def __init__(self, replicas: list[Service], first: int = 0) -> None:
        self.replicas = replicas
        self.at = first
        self.token = ""
        self._connection: http.client.HTTPConnection | None = None

    def _connect(self) -> http.client.HTTPConnection:
        for _ in range(2 * len(self.replicas)):
            address = self.replicas[self.at].url.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.at = (self.at + 1) % len(self.replicas)
                continue
            return connection
        raise ConnectionRefusedError("no replica takes connections")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """The status and the body of the answer."""
        if self._connection is None or self._connection.sock is None:
            # The last answer said `Connection: close`, or there was none.
            self._connection = self._connect()
        headers = {"content-type": "application/json"} if body is not None else {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        self._connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def log_in(self, name: str) -> None:
        """Makes an account, and logs in."""
        account = {"email": f"{name}@example.org", "password": "correct horse battery"}
        self.ask("POST", "/auth/register", account | {"display_name": name})
        self.token = self.ask("POST", "/auth/login", account)[1]["access_token"]


@dataclass
class Tally:
    """What a load came to."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def load(client: Client, stop: threading.Event, tally: Tally) -> None:
    """Creates, reads and lists until it is told to stop."""
    while not stop.is_set():
        steps: list[tuple[str, str, dict[str, Any] | None, int]] = [
            ("POST", "/events/", EVENT, 201),
            ("GET", "/events/?q=rolled&limit=5", None, 200),
        ]
        if tally.events:
            steps.append(("PATCH", f"/events/{tally.events[-1]}", {"title": "Rolled over again"}, 200))
        for method, path, body, wanted in steps:
            try:
                status, answer = client.ask(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                tally.failed.append(f"{method} {path}: {error!r}")
                client._connection = None
                continue
            tally.answered += 1
            if status != wanted:
                tally.failed.append(f"{method} {path}: {status} {answer}")
            elif method == "POST":
                tally.events.append(answer["id"])
        time.sleep(0.02)


def roll(replicas: list[Service], binary: Path, tallies: list[Tally], seconds: float) -> None:
    """Restarts each with the new binary; both versions serve in between."""

    def served() -> int:
        return sum(tally.answered for tally in tallies)

    for number, replica in enumerate(replicas, 1):
        before, began = served(), time.monotonic()
        replica.program.stop(60)
        if replica.program.exit_code != 0:
            raise StartError(f"replica {number} ended with {replica.program.exit_code}")
        replica.program.command[0] = str(binary)
        replica.start()
        took = time.monotonic() - began
        answers = served() - before
        print(
            f"replica {number} is back in {took:.1f} s as {revision(replica)}; {answers} answers meanwhile", flush=True
        )
        until = time.monotonic() + seconds
        wait_until("the load goes on", lambda until=until: time.monotonic() >= until, seconds + 30)  # type: ignore[misc]


def revision(replica: Service) -> str:
    """What build it is, and which migrations it sees."""
    version = json.loads(fetch(f"{replica.ops_url}/version"))
    return f"{version['version']} {version['revision']}"


def drill(old: Path, new: Path, folder: Path, seconds: float) -> list[str]:
    """What failed."""
    with stopped_at_end() as stops:
        logs = folder / "logs"
        logs.mkdir()
        postgres = Postgres(folder / "postgres", logs)
        stops.callback(postgres.program.stop)
        postgres.start()
        key = "upgrade-drill-" + "k7Qz9xWv" * 4
        settings = RAISED_LIMITS | {"CONVOKE_SHUTDOWN_GRACE": "2s", "CONVOKE_SECRET_KEY": key}
        replicas = []
        for name in ("a", "b"):
            place = folder / name
            (place / "logs").mkdir(parents=True)
            replica = Service(place, place / "logs", postgres.url, settings, (0, 0))
            replica.program.command[0] = str(old)
            stops.callback(replica.program.stop)
            replica.start()
            replicas.append(replica)
        print(f"two replicas of {revision(replicas[0])}", flush=True)
        stop, tallies, threads = threading.Event(), [], []
        for number in range(4):
            client, tally = Client(replicas, number % 2), Tally()
            client.log_in(f"user-{number}")
            threads.append(threading.Thread(target=load, args=(client, stop, tally)))
            tallies.append((client, tally))
        for thread in threads:
            thread.start()
        try:
            time.sleep(seconds)
            roll(replicas, new, [tally for _, tally in tallies], seconds)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        failed = [failure for _, tally in tallies for failure in tally.failed]
        for client, tally in tallies:
            for event in tally.events:
                status, _ = client.ask("GET", f"/events/{event}")
                if status != 200:
                    failed.append(f"acknowledged and lost: {event} ({status})")
        answered = sum(tally.answered for _, tally in tallies)
        made = sum(len(tally.events) for _, tally in tallies)
        print(f"{answered} requests answered, {made} events acknowledged and all looked for, {len(failed)} failed")
        return failed


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit upgrade_drill", description=__doc__)
    parser.add_argument(
        "--from", dest="ref", help="the release to come from (default: the last with one migration less)"
    )
    parser.add_argument("--seconds", type=float, default=5, help="load before, between and after the restarts")
    options = parser.parse_args(arguments)
    target = ROOT / "target"
    with scratch_folder() as folder:
        old, new = folder / "convoke-old", folder / "convoke-new"
        commit = options.ref or previous()
        with checked_out(commit, folder / "sources") as sources:
            build(sources, target, old)
        build(ROOT, target, new)
        release = _git("rev-parse", "--short", commit).strip()
        print(f"from {release} ({_migrations(commit)} migrations) to {_migrations('HEAD')} migrations", flush=True)
        failed = drill(old, new, folder, options.seconds)
    for failure in failed[:20]:
        print(failure, file=sys.stderr)
    return 1 if failed else 0
