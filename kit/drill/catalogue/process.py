"""The process, its machine, and what runs it."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import yaml

from kit.drill.drill import drill
from kit.drill.scene import DISK_MIB, MEMORY_KIB, Scene

MIB = 1024 * 1024


@drill(
    "service-killed",
    "The service is killed (SIGKILL) and stays away",
    expects={"ConvokeDown": "4m"},
    serves=False,
    core=True,
)
def killed(scene: Scene) -> Iterator[None]:
    scene.service.program.kill()
    yield
    scene.service.start()


@drill("service-paused", "The service is paused (SIGSTOP)", expects={"ConvokeDown": "4m"}, serves=False)
def paused(scene: Scene) -> Iterator[None]:
    scene.service.program.pause()
    yield
    scene.service.program.resume()


@drill(
    "restart-loop",
    "The only replica is killed and started again and again",
    expects={"ConvokeCrashLooping": "15m", "ConvokeRestarting": "15m"},
    serves=False,
    clears="35m",
)
def restart_loop(scene: Scene) -> Iterator[None]:
    _restart(scene, 0, 6)
    yield


@drill(
    "restart-loop-of-one",
    "One of two replicas is killed and started again and again",
    engine="postgres",
    needs=("second",),
    expects={"ConvokeRestarting": "15m"},
    clears="35m",
)
def restart_loop_of_one(scene: Scene) -> Iterator[None]:
    _restart(scene, 1, 4)
    yield


def _restart(scene: Scene, number: int, times: int) -> None:
    for _ in range(times):
        scene.services[number].program.kill()
        scene.services[number].start()
        # A start that no scrape saw is none.
        time.sleep(scene.pace.seconds("75s"))


@drill(
    "no-target",
    "Service discovery loses every target of the service",
    expects={"ConvokeAbsent": "7m"},
)
def no_target(scene: Scene) -> Iterator[None]:
    shipped = yaml.safe_dump(scene.configuration)
    scene.prometheus.configure(yaml.safe_dump({**scene.configuration, "scrape_configs": []}))
    yield
    scene.prometheus.configure(shipped)


@drill(
    "panic",
    "A handler panics",
    needs=("drills",),
    expects={"ConvokePanics": "2m"},
    clears="65m",
)
def panic(scene: Scene) -> Iterator[None]:
    client = scene.client("panics")
    for _ in range(3):
        status, headers, text = client.request("GET", "/api/v1/users/me", x_drill="panic")
        scene.witness.judge("a panic", status, headers, text)
    yield


@drill(
    "event-loop-blocked",
    "Every worker of the event loop is blocked for 0.2 s, three times a second",
    needs=("drills",),
    expects={"ConvokeEventLoopStalled": "17m"},
    also={
        "ConvokeDatabaseSlow": "an operation ends when its task gets its turn",
        "ConvokeRouteSlow": "so does a request",
    },
    clears="40m",
)
def event_loop_blocked(scene: Scene) -> Iterator[None]:
    scene.traffic(lambda: scene.inject("block", 200), 0.33)
    yield


@drill(
    "memory-growing",
    "The process keeps more and more memory",
    needs=("drills", "small memory"),
    expects={"ConvokeMemoryNearLimit": "13m"},
)
def memory_growing(scene: Scene) -> Iterator[None]:
    wanted = 0.94 * MEMORY_KIB * 1024
    # What the preparations took is given back meanwhile, so it is asked again how much is missing.
    for _ in range(3):
        missing = wanted - scene.metric("process_resident_memory_bytes")
        scene.inject("memory", max(missing, MIB) / MIB)
        time.sleep(2)
    yield
    # What grew is given back by a restart only, as with a real leak.
    scene.restart()


@drill(
    "file-handles",
    "A client holds so many connections that file handles run out",
    expects={"ConvokeFileHandlesNearLimit": "13m"},
)
def file_handles(scene: Scene) -> Iterator[None]:
    pid = scene.service.program.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limit = 400
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    host, _, port = scene.service.url.removeprefix("http://").partition(":")
    with ExitStack() as held:
        while (missing := int(0.88 * limit - scene.metric("process_open_fds"))) > 0:
            for _ in range(missing):
                held.enter_context(socket.create_connection((host, int(port)), 5))
        yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@drill(
    "disk-filling",
    "Something fills the disk of the data folder, slowly",
    needs=("small disk", "filled disk"),
    expects={"ConvokeDiskFilling": "80m"},
    clears="4h",
)
def disk_filling(scene: Scene) -> Iterator[None]:
    filler = scene.path("filler")

    def grow() -> None:
        with filler.open("ab") as file:
            file.write(b"\0" * (MIB // 8))

    scene.traffic(grow, 0.5)
    yield
    scene.end_traffic()
    filler.unlink()


@drill(
    "disk-nearly-full",
    "The disk of the data folder is nearly full",
    needs=("small disk",),
    expects={"ConvokeDiskNearlyFull": "15m"},
)
def disk_nearly_full(scene: Scene) -> Iterator[None]:
    filler = scene.path("filler")
    # What is free shrinks while it is written, for the service writes, too.
    filler.write_bytes(b"\0" * int(_free(scene) - 0.04 * DISK_MIB * MIB))
    yield
    filler.unlink()


@drill(
    "disk-full",
    "The disk of the data folder is full",
    needs=("small disk",),
    # What lies in the write-ahead log already is written over for a while.
    expects={"ConvokeDiskNearlyFull": "15m", "ConvokeApiAvailabilityBudgetBurn": "35m"},
    also={
        "ConvokeDatabaseErrors": "the embedded database refuses writes",
        "ConvokeRouteErrors": "each route that writes fails",
    },
    clears="40m",
    hold="8m",
)
def disk_full(scene: Scene) -> Iterator[None]:
    filler = scene.path("filler")
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    yield
    filler.unlink()


def _free(scene: Scene) -> float:
    return scene.metric("system_filesystem_available_bytes")


@drill(
    "clock-stepped",
    "The machine's clock is stepped by half a minute",
    needs=("faketime",),
    expects={"ConvokeClockOff": "12m"},
)
def clock_stepped(scene: Scene) -> Iterator[None]:
    assert scene.clock is not None  # noqa: S101
    scene.clock.write_text("+30\n")
    yield
    scene.clock.write_text("+0\n")
