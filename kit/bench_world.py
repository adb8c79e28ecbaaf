"""What the benchmark measures with: a world of events in a database, a load by wrk, and what processes take for it."""

import itertools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kit.copy_bench import run
from kit.paths import LOAD_TESTS
from kit.process import Program, StartError, http
from kit.stack import Service, find

PLACE = LOAD_TESTS / "bench"
PASSWORD = "correct horse battery staple"  # noqa: S105
# People who send requests; `fill.sql` gives each a full inbox.
CALLERS = 64
TICKS = os.sysconf("SC_CLK_TCK")
OPERATIONS = ["get", "page", "window", "search", "inbox", "answer", "create"]


def fill(service: Service, folder: Path, database: str, events: int) -> None:
    """Fills a database that a service, now stopped, has migrated. Everybody's password is that of one real account."""
    environment = service.settings | {"CONVOKE_DATABASE_URL": database}
    command = [service.program.command[0], "user", "create", "first@example.org", "--name", "First"]
    made = subprocess.run(
        command, env=environment, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=60, check=False
    )
    if made.returncode != 0:
        raise StartError(f"no account can be made: {made.stderr}")
    psql = [find("psql", "postgresql-client"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", database]
    digest = run(*psql, "-c", "SELECT password_hash FROM users").strip()
    run(*psql, "-v", f"events={events}", "-v", f"hash={digest}", "-f", str(PLACE / "fill.sql"))


def tokens(service: Service, folder: Path) -> Path:
    """A file with an access token of each caller."""
    found = []
    for person in range(CALLERS):
        account = {"email": f"person{person}@example.org", "password": PASSWORD}
        answer = http(
            f"{service.url}/api/v1/auth/login", json.dumps(account).encode(), {"content-type": "application/json"}, 30
        )
        found.append(json.loads(answer)["access_token"])
    file = folder / "tokens"
    file.write_text("\n".join(found) + "\n")
    return file


@dataclass(frozen=True)
class Load:
    """What wrk saw of one load."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    bytes: int
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def wrk(url: str, script: Path, arguments: list[str], connections: int, seconds: float) -> Load:
    """A closed loop: each connection sends its next request when the last is answered."""
    command = [find("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script)]
    said = run(*command, url, "--", *arguments)
    return Load(**json.loads(said.strip().splitlines()[-1]))


def load(service: Service, operation: str, events: int, callers: Path, connections: int, seconds: float) -> Load:
    """One operation of the API."""
    arguments = [operation, str(events), str(callers), "20261122"]
    seen = wrk(service.url, PLACE / "requests.lua", arguments, connections, seconds)
    if seen.refused or seen.broken or not seen.requests:
        raise StartError(f"{operation}: {seen.refused} refused and {seen.broken} broken of {seen.requests}")
    return seen


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may hold blanks.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(program: Program, *, family: bool = False) -> float:
    """Processor time a program has taken; with `family`, also that of the processes it started, ended ones included."""
    user, system, ended_user, ended_system = map(int, _stat(program.pid)[11:15])
    ticks = user + system
    if family:
        ticks += ended_user + ended_system
        for other in Path("/proc").glob("[0-9]*"):
            try:
                fields = _stat(int(other.name))
            except (OSError, ValueError):
                continue
            if int(fields[1]) == program.pid:
                ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def memory_mib(program: Program, field: str = "VmHWM") -> float:
    """Resident memory: the most so far, or with `VmRSS` now."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{program.pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def forget_peak(program: Program) -> None:
    """Lets the most so far begin anew."""
    Path(f"/proc/{program.pid}/clear_refs").write_text("5")


@dataclass(frozen=True)
class Figures:
    """One operation on one engine."""

    load: Load
    service_us: float
    database_us: float
    memory_mib: float


def measure(
    service: Service,
    database: Program | None,
    operation: str,
    events: int,
    callers: Path,
    connections: int,
    seconds: float,
) -> Figures:
    """Warms up, then measures."""
    load(service, operation, events, callers, connections, min(2.0, seconds))
    forget_peak(service.program)

    def taken() -> tuple[float, float]:
        return cpu_seconds(service.program), cpu_seconds(database, family=True) if database else 0.0

    before = taken()
    seen = load(service, operation, events, callers, connections, seconds)
    after = taken()
    each = [(b - a) / seen.requests * 1e6 for a, b in zip(before, after, strict=True)]
    return Figures(seen, each[0], each[1], memory_mib(service.program))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---", *itertools.repeat("--:", len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
