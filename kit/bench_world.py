"""What the benchmark measures with: a world of events in a database, a load by wrk, and what processes take for it."""

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.bench_operations import CALLERS
from kit.copy_bench import FailedError, run
from kit.paths import LOAD_TESTS
from kit.process import Program, StartError, http, wait_until
from kit.stack import RAISED_LIMITS, Postgres, Service, convoke_binary, find

PLACE = LOAD_TESTS / "bench"
PASSWORD = "correct horse battery staple"  # noqa: S105
TICKS = os.sysconf("SC_CLK_TCK")
ENGINES = ["sqlite", "postgres"]
SEEDS = itertools.count(20_261_122)
SETTINGS = RAISED_LIMITS | {"CONVOKE_ACCESS_TOKEN_TTL": "24h"}


class Worlds:
    """A world of so many events on each engine, made once and never changed: what is measured runs on copies."""

    def __init__(
        self,
        folder: Path,
        events: int,
        stops: contextlib.ExitStack,
        more: str | None = None,
        variables: dict[str, int] | None = None,
    ) -> None:
        """`more` is a further file of SQL beside `fill.sql`, without its ending, with values of its variables."""
        name = "-".join(map(str, [events, *([more] if more else []), *(variables or {}).values()]))
        self.folder = folder
        self.events = events
        self.file = folder / f"world-{name}.db"
        self.server = Postgres(folder / f"postgres-{name}", folder)
        self._more = more
        self._variables = {"events": events} | (variables or {})
        self._filled = folder / f"filled-{name}"
        self._stops = stops
        stops.callback(self.server.program.stop)

    def make(self) -> None:
        """Starts PostgreSQL and fills both, unless that was done."""
        if not self._filled.exists():
            shutil.rmtree(self.server.folder, ignore_errors=True)
            self.file.unlink(missing_ok=True)
        self.server.start()
        if self._filled.exists():
            return
        began = time.monotonic()
        service = self._service("postgres", self.server.url, {})
        service.start()
        service.program.stop()
        fill(service, self.folder, self.server.url, self.events)
        if self._more:
            values = [part for pair in self._variables.items() for part in ("-v", "=".join(map(str, pair)))]
            psql = [find("psql", "postgresql-client"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", *values]
            run(*psql, "-f", str(PLACE / f"{self._more}.sql"), self.server.url)
        print(f"{self.events} events made in {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        command = [str(convoke_binary()), "copy", "--from", self.server.url, "--to", f"sqlite://{self.file}"]
        run(*command, environment=service.settings)
        print(f"and copied to SQLite in {time.monotonic() - began:.0f} s", flush=True)
        self._filled.touch()

    def _service(self, engine: str, url: str, settings: dict[str, str]) -> Service:
        data = self.folder / f"data-{engine}"
        data.mkdir(exist_ok=True)
        service = Service(data, self.folder, url, SETTINGS | settings, (0, 0))
        self._stops.callback(service.program.stop)
        return service

    def copy(self, engine: str, name: str = "run") -> str:
        """A fresh copy of the world; returns its address. What had the last copy of that name must have ended."""
        if engine == "postgres":
            self.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

            def copied() -> bool:
                # A vacuum of the template is in the way, for moments.
                try:
                    self.psql(f"CREATE DATABASE {name} TEMPLATE postgres STRATEGY file_copy", "CHECKPOINT")
                except FailedError as error:
                    if "being accessed by other users" not in str(error):
                        raise
                    return False
                return True

            wait_until("a copy of the world", copied, 120, every=1)
            return f"{self.server.url.rpartition('/')[0]}/{name}"
        copy = self.folder / f"{name}.db"
        for end in ("", "-wal", "-shm"):
            copy.with_name(copy.name + end).unlink(missing_ok=True)
            source = self.file.with_name(self.file.name + end)
            if source.exists() and end != "-shm":
                shutil.copyfile(source, copy.with_name(copy.name + end))
        return f"sqlite://{copy}"

    def remove(self) -> None:
        """Removes it and its copies: a million events take gigabytes."""
        self.server.program.stop()
        self._filled.unlink(missing_ok=True)
        shutil.rmtree(self.server.folder, ignore_errors=True)
        for file in (self.file, *(self.folder / f"{name}.db" for name in ("run", "limits"))):
            for end in ("", "-wal", "-shm", ".migrating"):
                file.with_name(file.name + end).unlink(missing_ok=True)

    def service(self, engine: str, settings: dict[str, str] | None = None) -> Service:
        """A service, not yet started, on a fresh copy."""
        return self._service(engine, self.copy(engine), settings or {})

    def psql(self, *statements: str, database: str = "template1") -> str:
        """What statements print."""
        url = f"{self.server.url.rpartition('/')[0]}/{database}"
        asked = [part for one in statements for part in ("-c", one)]
        return run(find("psql", "postgresql-client"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", url, *asked)

    @contextlib.contextmanager
    def logging(self) -> Iterator[Callable[[], str]]:
        """Lets the server log every statement; yields what reads the log of that time."""
        place = self.server.program.log

        def switched(value: str) -> None:
            self.psql(f"ALTER SYSTEM SET log_statement = '{value}'", "SELECT pg_reload_conf()")
            wait_until("the server's settings", lambda: self.psql("SHOW log_statement").strip() == value, 10)
            # A session reads them before its next statement, once its signal is there.
            time.sleep(0.1)

        switched("all")
        begin = place.stat().st_size
        end = None

        def said() -> str:
            return place.read_bytes()[begin:end].decode(errors="replace")

        try:
            yield said
        finally:
            end = place.stat().st_size
            switched("none")


@dataclass
class Running:
    """A started service with what measures it."""

    worlds: Worlds
    engine: str
    service: Service
    callers: Path

    @property
    def database(self) -> Program | None:
        """The server that works for it."""
        return self.worlds.server.program if self.engine == "postgres" else None


@contextlib.contextmanager
def running(worlds: Worlds, engine: str, settings: dict[str, str] | None = None) -> Iterator[Running]:
    """A service on a fresh copy, with people logged in."""
    service = worlds.service(engine, settings)
    try:
        service.start()
        yield Running(worlds, engine, service, tokens(service, worlds.folder))
    finally:
        service.program.stop()
        service.program.log.unlink(missing_ok=True)


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

    def tail(self, connections: int) -> float | None:
        """p99 ÷ p50, if each connection was answered ten times: of less wrk sees only the fast ones."""
        return self.p99_us / self.p50_us if self.requests >= 10 * connections else None

    @property
    def errors(self) -> int:
        """Answers other than success, and connections broken or out of time."""
        return self.refused + self.broken


def wrk(url: str, script: Path, arguments: list[str], connections: int, seconds: float) -> Load:
    """A closed loop: each connection sends its next request when the last is answered."""
    command = [
        find("wrk", "wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(script),
    ]
    said = run(*command, url, "--", *arguments)
    return Load(**json.loads(said.strip().splitlines()[-1]))


def checked(what: str, seen: Load) -> Load:
    """A load of which each request succeeded; raises `StartError` otherwise."""
    if seen.errors or not seen.requests:
        raise StartError(f"{what}: {seen.refused} refused and {seen.broken} broken of {seen.requests}")
    return seen


def load(service: Service, operation: str, events: int, callers: Path, connections: int, seconds: float) -> Load:
    """One operation of the API; refusals are in the figures."""
    # Another seed each time: what was answered once must not be answered the same again.
    arguments = [operation, str(events), str(callers), str(next(SEEDS))]
    return wrk(service.url, PLACE / "requests.lua", arguments, connections, seconds)


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


def timed(program: Program, database: Program | None, load: Callable[[float], Load], seconds: float) -> Figures:
    """Warms up, then measures what a load takes of the program and of the database's server."""
    load(min(2.0, seconds))
    forget_peak(program)

    def taken() -> tuple[float, float]:
        return cpu_seconds(program), cpu_seconds(database, family=True) if database else 0.0

    before = taken()
    seen = load(seconds)
    after = taken()
    each = [(b - a) / max(1, seen.requests) * 1e6 for a, b in zip(before, after, strict=True)]
    return Figures(seen, each[0], each[1], memory_mib(program))


def measure(now: Running, operation: str, connections: int, seconds: float) -> Figures:
    """One operation of the API."""

    def sent(seconds: float) -> Load:
        return load(now.service, operation, now.worlds.events, now.callers, connections, seconds)

    return timed(now.service.program, now.database, sent, seconds)


@dataclass(frozen=True)
class Batches:
    """Commits of SQLite's writer, and the writes in them."""

    commits: float
    writes: float

    @property
    def mean(self) -> float:
        """Writes a commit."""
        return self.writes / self.commits if self.commits else 0.0


def batch_size(service: Service, since: Batches | None = None) -> Batches:
    """What the service says of its commits, from its start or since then."""
    said = service.metrics()

    def of(end: str) -> float:
        found = re.findall(rf"^db_client_write_batch_size_{end}(?:\{{[^}}]*\}})? (\S+)", said, re.MULTILINE)
        return sum(map(float, found))

    before = since or Batches(0, 0)
    return Batches(of("count") - before.commits, of("sum") - before.writes)
