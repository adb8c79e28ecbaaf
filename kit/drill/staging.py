"""Builds what a drill asks for, and starts it."""

import contextlib
import os
import pwd
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kit import durations, generate
from kit.drill.pace import Pace
from kit.drill.proxy import Proxy
from kit.drill.scene import DISK_MIB, MEMORY_KIB, PARTS, Scene
from kit.drill.watch import Hook, Watch
from kit.drill.witness import Witness
from kit.load import k6
from kit.paths import ROOT
from kit.process import Program, StartError, answers, free_port, scratch_folder, stopped_at_end, wait_until
from kit.stack import RAISED_LIMITS, Alertmanager, Postgres, Prometheus, Service, find, local_prometheus
from kit.trace_sink import trace_sink

# A drill may last longer than a token of the default.
TUNED = {"CONVOKE_ACCESS_TOKEN_TTL": "2h"}
FAKETIME = "*/faketime/libfaketime.so.1"


def drills_binary() -> str:
    """The build with the feature `drills`, which CONVOKE_DRILLS_BIN names."""
    named = os.environ.get("CONVOKE_DRILLS_BIN")
    if not named or not Path(named).exists():
        raise StartError("CONVOKE_DRILLS_BIN names no build with `--features drills`; `make drill` makes one")
    return str(Path(named).resolve())


def rules(folder: Path, pace: Pace, breaks: tuple[str, str] | None) -> Path:
    """The rules on the drill's clock, by the generator of the shipped ones; with `breaks`, one text replaced."""
    texts = {path: text for path, text in generate.outputs(pace.scale).items() if path.startswith("alerts/")}
    if breaks is not None:
        found = [path for path, text in texts.items() if breaks[0] in text]
        if len(found) != 1:
            raise ValueError(f"{breaks[0]!r} is in {len(found)} files of rules, not one")
        texts[found[0]] = texts[found[0]].replace(*breaks)
    generate.write(folder, texts)
    return folder / "alerts"


def _wrapped(service: Service, parts: frozenset[str], folder: Path) -> None:
    """Puts the service into what the parts ask for."""
    command = service.program.command
    if "drills" in parts:
        command[0] = drills_binary()
    # Mounts of the service's own: nobody else sees them, and they go with it. Whoever is not root is root in there.
    unshared = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    if "small disk" in parts:
        service.folder.mkdir(parents=True, exist_ok=True)
        mount = f'mount -t tmpfs -o size={DISK_MIB}m none "{service.folder}" && exec "$@"'
        service.program.command = [*unshared, "sh", "-c", mount, "sh", *command]
    if "small memory" in parts:
        told = folder / "meminfo"
        told.write_text(f"MemTotal: {MEMORY_KIB} kB\n")
        # The limits of control groups, which are larger here or smaller there, are hidden.
        mount = f'mount --bind "{told}" /proc/meminfo && mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
        service.program.command = [*unshared, "sh", "-c", mount, "sh", *command]
    if "log pipe" in parts:
        pipe = folder / "log.pipe"
        os.mkfifo(pipe)
        service.program.command = ["sh", "-c", f'exec "$@" >"{pipe}"', "sh", *command]


def _faketime(folder: Path) -> tuple[Path, dict[str, str]]:
    found = [str(path) for path in Path("/usr/lib").glob(FAKETIME)]
    if not found:
        raise StartError("libfaketime is missing; on Debian: apt-get install libfaketime")
    clock = folder / "clock"
    clock.write_text("+0\n")
    preload = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    return clock, preload | {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def _s3(scene: Scene) -> dict[str, str]:
    port = free_port()
    command = [str(ROOT / ".venv" / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    scene.s3 = scene.start(Program("moto", command, scene.logs / "moto.log"))
    scene.s3.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/moto-api/"), 60)
    made = urllib.request.Request(f"http://127.0.0.1:{port}/files", method="PUT")
    urllib.request.urlopen(made, timeout=60).close()  # noqa: S310
    return {
        "CONVOKE_STORAGE_URL": "s3://files/convoke",
        "CONVOKE_STORAGE_S3_ENDPOINT": f"http://{_proxy(scene, 's3', port).address}",
        "CONVOKE_STORAGE_S3_ACCESS_KEY_ID": "test",
        "CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY": "secret-of-the-drill",
    }


def _proxy(scene: Scene, name: str, port: int) -> Proxy:
    proxy = scene.proxies[name] = Proxy(port)
    scene.stops.callback(proxy.stop)
    return proxy


def _through(scene: Scene, name: str) -> str:
    """The database's URL through a proxy of its own."""
    assert scene.postgres is not None  # noqa: S101
    here = f"127.0.0.1:{scene.postgres.port}"
    return scene.postgres.url.replace(here, _proxy(scene, name, scene.postgres.port).address)


def _standby(scene: Scene) -> str:
    """A streaming replica of the server; the URL of its database."""
    assert scene.postgres is not None  # noqa: S101
    server, folder, port = scene.postgres, scene.folder / "standby", free_port()
    binaries = Path(server.program.command[0]).parent
    copy = Program(
        "pg_basebackup",
        [
            str(binaries / "pg_basebackup"),
            "-d",
            server.url,
            "-D",
            str(folder),
            "--write-recovery-conf",
            "--checkpoint=fast",
        ],
        scene.logs / "basebackup.log",
        user=server.program.user,
    )
    # The server's user makes it, and cannot write where the others are.
    folder.mkdir()
    if server.program.user is not None:
        account = pwd.getpwnam(server.program.user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    folder.chmod(0o700)
    scene.start(copy)
    if copy.wait(60) != 0:
        raise StartError(f"pg_basebackup failed:\n{copy.output()}")
    command = [*server.program.command]
    command[command.index("-D") + 1], command[command.index("-p") + 1] = str(folder), str(port)
    scene.standby = scene.start(
        Program(
            "standby",
            command,
            scene.logs / "standby.log",
            user=server.program.user,
            stop_signal=server.program.stop_signal,
        )
    )
    scene.standby.wait_ready(lambda: "ready to accept" in scene.standby.output(), 60)  # type: ignore[union-attr]
    return f"postgres://postgres@127.0.0.1:{port}/postgres"


def _redis(scene: Scene) -> str:
    port = free_port()
    command = [find("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    scene.redis = scene.start(Program("redis", command, scene.logs / "redis.log"))
    scene.redis.wait_ready(lambda: "Ready to accept" in scene.redis.output(), 30)  # type: ignore[union-attr]
    return f"redis://127.0.0.1:{port}"


def _settings(scene: Scene, given: dict[str, str]) -> tuple[str | None, dict[str, str]]:
    """Starts what the service needs; the database's URL, and the settings."""
    settings = {**RAISED_LIMITS, **TUNED}
    url = scene.postgres.url if scene.postgres else None
    if "listen proxy" in scene.parts:
        settings["CONVOKE_DATABASE_DIRECT_URL"] = _through(scene, "listen")
    if "database proxy" in scene.parts:
        url = _through(scene, "database")
    if "read replica" in scene.parts:
        settings["CONVOKE_DATABASE_READ_URL"] = _standby(scene)
    if "redis" in scene.parts:
        settings["CONVOKE_REDIS_URL"] = _redis(scene)
    if "s3" in scene.parts:
        settings |= _s3(scene)
    if "collector" in scene.parts:
        sink = scene.stops.enter_context(trace_sink())
        collector = _proxy(scene, "collector", int(sink.rpartition(":")[2]))
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}", "OTEL_TRACES_SAMPLER_ARG": "1"}
    if "faketime" in scene.parts:
        scene.clock, preload = _faketime(scene.folder)
        settings |= preload
    return url, settings | given


@contextlib.contextmanager
def scene(
    pace: Pace,
    engine: str,
    parts: frozenset[str],
    settings: dict[str, str],
    rate: float,
    *,
    scrape_interval: str | None = None,
    breaks: tuple[str, str] | None = None,
    keep: Path | None = None,
) -> Iterator[Scene]:
    """Starts all of it, and waits until the load runs."""
    if unknown := parts - PARTS.keys():
        raise ValueError(f"no such parts: {sorted(unknown)}")
    with scratch_folder(keep) as folder, stopped_at_end() as stops:
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        made = Scene(pace, folder, logs, stops, parts)
        if engine == "postgres":
            made.postgres = Postgres(folder / "postgres", logs)
            stops.callback(made.postgres.program.stop)
            made.postgres.start()
        url, known = _settings(made, settings)
        for name in ("a", "b") if "second" in parts else ("a",):
            # Replicas share the key that the first was given.
            shared = {"CONVOKE_SECRET_KEY": made.service.settings["CONVOKE_SECRET_KEY"]} if made.services else {}
            (logs / name).mkdir(exist_ok=True)
            if name == "b" and made.postgres is not None and "database proxy of one" in parts:
                url = _through(made, "database")
            service = Service(folder / name, logs / name, url, known | shared, (free_port(), free_port()))
            _wrapped(service, parts, folder)
            if "log pipe" in parts:
                made.reader = made.start(Program("reader", ["cat", str(folder / "log.pipe")], service.program.log))
            stops.callback(service.program.stop)
            service.start()
            made.services.append(service)

        if "filled disk" in parts:
            # Before Prometheus looks: no step, that would look like a pace.
            made.path("ballast").write_bytes(b"\0" * int(DISK_MIB * 0.61) * 1024 * 1024)
        hook = Hook()
        stops.callback(hook.stop)
        routing = folder / "alertmanager.yaml"
        routing.write_text(yaml.safe_dump(pace.alertmanager(hook.url), sort_keys=False))
        receiver = Alertmanager(folder / "alertmanager", logs, routing)
        stops.callback(receiver.program.stop)
        receiver.start()

        targets = [one.ops_url.removeprefix("http://") for one in made.services]
        if "ops proxy" in parts:
            targets[0] = _proxy(made, "ops", int(targets[0].rpartition(":")[2])).address
        configuration = local_prometheus(
            {"convoke": targets}, rules(folder, pace, breaks), receiver.address, pace.interval, scrape_interval
        )
        made.configuration = yaml.safe_load(configuration)
        flags = (
            f"--rules.alert.resend-delay={durations.scaled('1m', pace.scale)}",
            f"--query.lookback-delta={durations.scaled('5m', pace.scale)}",
        )
        made.prometheus = Prometheus(folder / "prometheus", logs, configuration, flags=flags)
        stops.callback(made.prometheus.program.stop)
        made.prometheus.start()
        made.watch = Watch(made.prometheus, hook)
        stops.callback(made.watch.stop)
        made.witness = Witness(made.client("witness"))
        stops.callback(made.witness.stop)
        made.witness.start()
        _load(made, rate)
        stops.callback(made.end_traffic)
        yield made


def _load(made: Scene, rate: float) -> None:
    """Starts k6, and waits until its people are there and at it."""
    stack: Any = made
    made.load = made.start(k6(stack, "soak", "drill", {"RATE": f"{rate:g}", "DURATION": "2h"}))
    searches = 'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/api/v1/events/"'
    wait_until("the load", lambda: made.metric(searches) > rate / 2, 60, every=0.25)
    made.prometheus.wait_scraped()
    time.sleep(made.pace.seconds("5m"))
