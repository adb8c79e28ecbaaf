"""What a drill has at hand: the stack that was started for it, and ways to spoil it from outside."""

import contextlib
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.client import Caller
from kit.drill.pace import Pace
from kit.drill.proxy import Proxy
from kit.drill.regularly import Regularly
from kit.drill.watch import Watch
from kit.drill.witness import NO_ANSWER, Witness
from kit.process import Program, StartError
from kit.process import http as fetch
from kit.stack import Postgres, Prometheus, Service, convoke_binary, find

# What a drill can ask for besides the service, Prometheus, Alertmanager and the load.
PARTS = {
    "database proxy": "PostgreSQL is reached through a proxy",
    "database proxy of one": "the second replica reaches PostgreSQL through a proxy",
    "listen proxy": "the connection that listens for changes goes through a proxy of its own",
    "ops proxy": "Prometheus scrapes through a proxy",
    "redis": "a Redis",
    "s3": "an S3 server (moto's), reached through a proxy, for files",
    "collector": "a receiver of traces, reached through a proxy",
    "read replica": "a streaming replica of PostgreSQL",
    "second": "a second replica of the service",
    "small disk": "the data folder is a file system of its own, of 200 MiB",
    "filled disk": "more than three fifths of it are taken already",
    "small memory": "the machine says that it has 400 MiB",
    "faketime": "the service's clock can be set",
    "log pipe": "the service's standard output is a pipe",
    "drills": "the service is built with the feature `drills`",
}
# Seconds in which a process that was gone or held need not answer each probe.
COMES_BACK = 2.0
DISK_MIB = 200
MEMORY_KIB = 400 * 1024


@dataclass
class Scene:
    """What a drill has at hand."""

    pace: Pace
    folder: Path
    logs: Path
    stops: contextlib.ExitStack
    parts: frozenset[str]
    services: list[Service] = field(default_factory=list)
    postgres: Postgres | None = None
    standby: Program | None = None
    redis: Program | None = None
    s3: Program | None = None
    reader: Program | None = None
    proxies: dict[str, Proxy] = field(default_factory=dict)
    clock: Path | None = None
    watch: Watch = None  # type: ignore[assignment]
    witness: Witness = None  # type: ignore[assignment]
    prometheus: Prometheus = None  # type: ignore[assignment]
    configuration: dict[str, Any] = field(default_factory=dict)
    load: Program = None  # type: ignore[assignment]
    _traffic: list[Regularly] = field(default_factory=list)

    @property
    def service(self) -> Service:
        """The replica that the load is sent to."""
        return self.services[0]

    def start(self, program: Program) -> Program:
        """Starts a program, stopped at the end at the latest."""
        self.stops.callback(program.stop)
        program.start()
        return program

    def path(self, name: str) -> Path:
        """A file of the service's data folder, as the service sees it."""
        inside = self.service.folder / name
        return Path(f"/proc/{self.service.program.pid}/root{inside}") if "small disk" in self.parts else inside

    def client(self, name: str, *, timeout: float = 15) -> Caller:
        """Somebody new."""
        return Caller(self.service, timeout).log_in(name)

    def sql(self, *statements: str) -> str:
        """Runs statements on PostgreSQL itself, past every proxy."""
        assert self.postgres is not None  # noqa: S101
        return _output(_psql(self.postgres.url, *statements))

    def standby_sql(self, *statements: str) -> str:
        """Runs statements on the read replica, which may cancel one to go on replaying: then again."""
        for _ in range(10):
            with contextlib.suppress(StartError):
                return _output(_psql(self.service.settings["CONVOKE_DATABASE_READ_URL"], *statements))
        raise StartError(f"the read replica does not run {statements}")

    def hold(self, *statements: str) -> Program:
        """Runs statements in a transaction that stays open until the program is stopped, or the server ends it."""
        noticing = "SET client_connection_check_interval = '100ms'"
        assert self.postgres is not None  # noqa: S101
        asked = _psql(self.postgres.url, noticing, "BEGIN", *statements, "SELECT pg_sleep(3600)")
        return self.start(Program("psql", asked, self.logs / "psql.log"))

    def sqlite(self) -> sqlite3.Connection:
        """Another process's connection to the embedded database."""
        return sqlite3.connect(self.path("convoke.db"), isolation_level=None, timeout=10)

    def traffic(self, what: Callable[[], object], every: float, clients: int = 1) -> None:
        """Does something again and again until the fault is taken away, beside the load; being refused is no matter."""

        def quietly() -> None:
            with contextlib.suppress(*NO_ANSWER):
                what()

        self._traffic += [Regularly(quietly, every) for _ in range(clients)]

    def end_traffic(self) -> None:
        """Stops what `traffic` began."""
        Regularly.stop(self._traffic)
        self._traffic.clear()

    def command(self, *arguments: str) -> int:
        """Runs a command of Convoke with the service's settings; its exit code."""
        program = Program(
            arguments[0],
            [str(convoke_binary()), *arguments],
            self.logs / f"{arguments[0]}.log",
            environment={**self.service.settings, "CONVOKE_OPS_LISTEN": "127.0.0.1:0"},
        )
        self.start(program)
        return program.wait(60)

    def restart(self) -> None:
        """Restarts the service, as people do where nothing else helps; while it is away nobody asks that it answers."""
        self.witness.alive = False
        self.service.restart()
        # What waited for it while it was away comes all at once.
        time.sleep(COMES_BACK)

    def inject(self, what: str, value: float) -> None:
        """Asks the build with `drills` for a fault."""
        fetch(f"{self.service.ops_url}/debug/drills/{what}/{value:g}", b"", timeout=30)

    def metric(self, selector: str) -> float:
        """The sum of the lines of the exposition that begin so."""
        lines = re.findall(rf"^{re.escape(selector)}[^ ]* (\S+)$", self.service.metrics(), re.MULTILINE)
        return sum(map(float, lines))


def _psql(url: str, *statements: str) -> list[str]:
    asked = [part for statement in statements for part in ("-c", statement)]
    return [find("psql", "postgresql-client"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", *asked, url]


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise StartError(f"{command[-1]}: {done.stderr}")
    return done.stdout
