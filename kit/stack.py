"""Convoke and what watches it, on free loopback ports of this machine.

    with stack(engine="postgres") as s:
        s.prometheus.query("up")
        s.service.pause()

Everything is stopped when the block ends. Programs are found in PATH; the service's binary is the one that CONVOKE_BIN
names, else the one that cargo built last.
"""

import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.paths import ALERTS, DEPLOY, ROOT
from kit.process import Program, StartError, answers, free_port, http, scratch_folder, stopped_at_end, wait_until
from kit.prometheus import PrometheusClient

# Beyond what one machine sends: a load test has few users, and the limits are each user's.
RAISED_LIMITS = {
    f"CONVOKE_RATE_LIMIT_{policy}": "1000000/1s" for policy in ("READS", "WRITES", "LOGIN", "LOGIN_ACCOUNT")
}


def find(program: str, package: str) -> str:
    """The path of a program; raises `StartError` with what to install."""
    path = shutil.which(program)
    if path is None:
        raise StartError(f"{program} is missing; on Debian: apt-get install {package}")
    return path


def convoke_binary() -> Path:
    """CONVOKE_BIN, else the newer of cargo's release and debug builds."""
    if named := os.environ.get("CONVOKE_BIN"):
        built = [Path(named).resolve()]
    else:
        target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
        built = [target / kind / "convoke" for kind in ("release", "debug")]
    built = [path for path in built if path.exists()]
    if not built:
        raise StartError("there is no binary of Convoke; run: cargo build")
    return max(built, key=lambda path: path.stat().st_mtime)


class Postgres:
    """A throwaway PostgreSQL with trust for loopback; as root it runs as the user that Debian's package makes."""

    def __init__(self, folder: Path, logs: Path) -> None:
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
        binaries = versions[-1].parent if versions else Path(find("initdb", "postgresql")).parent
        user = "postgres" if os.geteuid() == 0 else None
        self.folder = folder
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self._make = [binaries / "initdb", "--auth=trust", "--no-sync", "--username=postgres", "--encoding=UTF8"]
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300"}
        command = [str(binaries / "postgres"), "-D", str(folder), "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # The quick way down: nothing of it is kept.
        self.program = Program("postgres", command, logs / "postgres.log", user=user, stop_signal=signal.SIGQUIT)

    def start(self) -> None:
        """Makes the cluster on the first start."""
        if not self.folder.exists():
            self.folder.mkdir()
            if self.program.user is not None:
                account = pwd.getpwnam(self.program.user)
                os.chown(self.folder, account.pw_uid, account.pw_gid)
            command = [*map(str, self._make), "--locale=C.UTF-8", "-D", str(self.folder)]
            make = Program("initdb", command, self.program.log.with_name("initdb.log"), user=self.program.user)
            with make:
                if make.wait(60) != 0:
                    raise StartError(f"initdb failed:\n{make.output()}")
        self.program.start()
        self.program.wait_ready(lambda: "ready to accept connections" in self.program.output(), 60)


class Service:
    """Convoke on one database. Its addresses, data and settings stay when it is restarted."""

    def __init__(
        self, folder: Path, logs: Path, database_url: str | None, settings: dict[str, str], ports: tuple[int, int]
    ) -> None:
        self.folder = folder
        self.url = self.ops_url = ""
        self._ports = ports
        self.settings = {
            "PATH": os.environ.get("PATH", ""),
            "CONVOKE_DATA_DIR": str(folder),
            "CONVOKE_DATABASE_URL": database_url or f"sqlite://{folder}/convoke.db",
            "CONVOKE_SECRET_KEY": secrets.token_hex(32),
            "CONVOKE_LOG_FORMAT": "json",
            "CONVOKE_SHUTDOWN_GRACE": "0s",
            **settings,
        }
        self.program = Program("convoke", [str(convoke_binary()), "serve"], logs / "convoke.log")

    def start(self, **settings: str) -> None:
        """Starts it, with settings changed for this and later starts, and waits until it is ready."""
        self.settings |= settings
        public, ops = self._ports
        listen = {"CONVOKE_LISTEN": f"127.0.0.1:{public}", "CONVOKE_OPS_LISTEN": f"127.0.0.1:{ops}"}
        self.program.environment = listen | self.settings
        self.program.start()
        self.program.wait_ready(lambda: {"public", "ops"} <= self._listeners().keys(), 60)
        listeners = self._listeners()
        self.url, self.ops_url = f"http://{listeners['public']}", f"http://{listeners['ops']}"
        self._ports = tuple(int(listeners[name].rpartition(":")[2]) for name in ("public", "ops"))  # type: ignore[assignment]
        self.program.wait_ready(self.ready, 30)

    def restart(self, **settings: str) -> None:
        """Stops it politely and starts it again on the same data and ports."""
        self.program.stop()
        self.start(**settings)

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        return answers(f"{self.ops_url}/readyz")

    def metrics(self) -> str:
        """The exposition, as Prometheus text."""
        return http(f"{self.ops_url}/metrics", timeout=20).decode()

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """The JSON lines of every start."""
        for line in self.program.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def wait_quiet(self, seconds: float = 30) -> None:
        """Waits until it works on no request."""

        def quiet() -> bool:
            active = re.findall(r"^http_server_active_requests\{[^}]*\} (\S+)$", self.metrics(), re.MULTILINE)
            return all(float(value) == 0 for value in active)

        wait_until("no request in flight", quiet, seconds)

    def _listeners(self) -> dict[str, str]:
        found = {}
        for line in self.program.output().splitlines():
            with contextlib.suppress(ValueError, KeyError):
                entry = json.loads(line)
                if entry["message"] == "listening":
                    found[entry["listener"]] = entry["address"]
        return found


def shipped_prometheus() -> dict[str, Any]:
    """`deploy/prometheus.yaml`."""
    return yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())


def shipped_alertmanager() -> dict[str, Any]:
    """`deploy/alertmanager.yaml`."""
    return yaml.safe_load((DEPLOY / "alertmanager.yaml").read_text())


def local_prometheus(
    targets: dict[str, list[str]],
    rules: Path,
    alertmanager: str | None,
    interval: str | None,
    scrape_interval: str | None = None,
) -> str:
    """The shipped configuration with this machine's addresses: jobs without a target here are left out, rules come from
    a folder, and `interval` (as `15s`) replaces how often is scraped and evaluated; `scrape_interval` how often is
    scraped."""
    shipped = shipped_prometheus()
    scrapes = []
    for scrape in shipped["scrape_configs"]:
        if scrape["job_name"] in targets:
            kept = {name: value for name, value in scrape.items() if not name.endswith("_sd_configs")}
            labels = (scrape.get("static_configs") or [{}])[0].get("labels", {})
            here = {"targets": targets[scrape["job_name"]], "labels": labels | {"environment": "local"}}
            kept["static_configs"] = [here]
            scrapes.append(kept)
    shipped["scrape_configs"] = scrapes
    shipped["rule_files"] = [f"{rules}/*.rules.yaml"]
    receivers = [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
    shipped["alerting"] = {"alertmanagers": receivers}
    if interval:
        scraped = scrape_interval or interval
        shipped["global"] |= {"scrape_interval": scraped, "evaluation_interval": interval, "scrape_timeout": scraped}
        for scrape in scrapes:
            scrape.pop("scrape_interval", None)
            scrape.pop("scrape_timeout", None)
    return yaml.safe_dump(shipped, sort_keys=False)


class Prometheus(PrometheusClient):
    """A Prometheus with the shipped configuration, rules and an own, empty store."""

    def __init__(
        self, folder: Path, logs: Path, configuration: str, port: int = 0, flags: tuple[str, ...] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration = folder / "prometheus.yaml"
        self.configuration.write_text(configuration)
        port = free_port(port)
        super().__init__(f"http://127.0.0.1:{port}")
        command = [
            find("prometheus", "prometheus"),
            f"--config.file={self.configuration}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
            *flags,
        ]
        self.program = Program("prometheus", command, logs / "prometheus.log")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.program.start()
        self.program.wait_ready(lambda: answers(f"{self.url}/-/ready"), 60)

    def configure(self, configuration: str) -> None:
        """Lets it read another configuration."""
        self.configuration.write_text(configuration)
        http(f"{self.url}/-/reload", b"")

    def wait_scraped(self, job: str = "convoke", seconds: float = 60) -> None:
        """Waits until a target of a job was scraped."""
        wait_until(
            f"a scrape of {job}", lambda: any(one.value == 1 for one in self.query(f'up{{job="{job}"}}')), seconds
        )


class Alertmanager:
    """An Alertmanager with the shipped configuration."""

    def __init__(self, folder: Path, logs: Path, configuration: Path, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port(port)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        command = [
            find("prometheus-alertmanager", "prometheus-alertmanager"),
            f"--config.file={configuration}",
            f"--storage.path={folder}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]
        self.program = Program("alertmanager", command, logs / "alertmanager.log")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.program.start()
        self.program.wait_ready(lambda: answers(f"{self.url}/-/ready"), 60)

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds, inhibited and silenced ones included."""
        return json.loads(http(f"{self.url}/api/v2/alerts"))


@dataclass(frozen=True)
class Stack:
    """What was started; what was not asked for is `None`."""

    folder: Path
    logs: Path
    service: Service
    prometheus: Prometheus
    alertmanager: Alertmanager | None
    postgres: Postgres | None
    stop_with_it: contextlib.ExitStack

    def also(self, program: Program) -> Program:
        """Starts one more program, stopped before all of these."""
        program.start()
        self.stop_with_it.callback(program.stop)
        return program


@contextlib.contextmanager
def stack(
    engine: str = "sqlite",
    *,
    settings: dict[str, str] | None = None,
    rules: Path = ALERTS,
    alertmanager: Path | None = DEPLOY / "alertmanager.yaml",
    interval: str | None = None,
    ports: tuple[int, int, int, int] = (0, 0, 0, 0),
    keep: Path | None = None,
) -> Iterator[Stack]:
    """Starts Convoke (with raised rate limits, unless `settings` say otherwise), Prometheus and, if its configuration
    is there, Alertmanager. `ports` are wishes: public, ops, Prometheus, Alertmanager. `keep` is a folder that stays."""
    if engine not in ("sqlite", "postgres"):
        raise ValueError(f"the engine is sqlite or postgres, not {engine!r}")
    with scratch_folder(keep) as folder, stopped_at_end() as stops:
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)

        def start(part: Any) -> Any:
            # A part that failed half-way through its start is stopped too.
            stops.callback(part.program.stop)
            part.start()
            return part

        postgres = start(Postgres(folder / "postgres", logs)) if engine == "postgres" else None
        wanted = (free_port(ports[0]) if ports[0] else 0, free_port(ports[1]) if ports[1] else 0)
        url = postgres.url if postgres else None
        service = start(Service(folder / "data", logs, url, RAISED_LIMITS | (settings or {}), wanted))
        receiver = None
        if alertmanager is not None and alertmanager.exists():
            receiver = start(Alertmanager(folder / "alertmanager", logs, alertmanager, ports[3]))
        targets = {"convoke": [service.ops_url.removeprefix("http://")]}
        configuration = local_prometheus(targets, rules, receiver and receiver.address, interval)
        prometheus = start(Prometheus(folder / "prometheus", logs, configuration, ports[2]))
        yield Stack(folder, logs, service, prometheus, receiver, postgres, stops)
