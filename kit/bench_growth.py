"""How costs grow: with the number of events, of connections, of people in one event, and of what waits in an inbox."""

import argparse
import contextlib
import itertools
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from kit.bench_operations import key
from kit.bench_report import Target, circumstances, number, ratio, show, table, targets_table
from kit.bench_world import Figures, Running, Worlds, cpu_seconds, measure, memory_mib, running
from kit.process import StartError, stopped_at_end, wait_until

SIZES = [10_000, 100_000, 1_000_000]
CONNECTIONS = [1, 8, 32, 256]
LARGE = {"participants": 50_000, "notifications": 100_000, "changes": 5_000_000}
LARGE_OPERATIONS = ["participants", "history", "inbox", "answer"]
IDLE = 10_000
ROUNDS = 3
GROWS = 1.2
SEARCH_GROWS = 2.0


@dataclass
class Grown:
    """All that was measured."""

    sizes: dict[tuple[str, str, int], list[Figures]] = field(default_factory=dict)
    connections: dict[tuple[str, str, int], Figures] = field(default_factory=dict)
    large: dict[tuple[str, str, int], Figures] = field(default_factory=dict)
    create: dict[str, Figures] = field(default_factory=dict)
    updates: dict[str, "Update"] = field(default_factory=dict)
    idle: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """A change of the large event."""

    answered_s: float
    delivered_s: float
    deliveries: int
    cpu_us: float


def cost(seen: Figures | None) -> float | None:
    """µs of service and database together."""
    return seen.service_us + seen.database_us if seen else None


def growth(options: argparse.Namespace, folder: Path, sizes_alone: bool = False) -> dict[str, str]:
    """Measures all of it, or only what the number of events does; returns the sections of the paper."""
    grown = Grown()
    told = circumstances(options.seconds)
    sizes = options.size or SIZES
    middle = sizes[len(sizes) // 2]
    with stopped_at_end() as stops:
        worlds = {}
        for events in sizes:
            place = folder / str(events)
            place.mkdir(exist_ok=True)
            worlds[events] = Worlds(place, events, stops)
            worlds[events].make()
        for engine in options.engine:
            by_size(options, list(worlds.values()), engine, grown)
            if not sizes_alone:
                by_connections(options, worlds[middle], engine, grown)
                idle(worlds[middle], engine, grown)
        if options.keep is None:
            for world in worlds.values():
                world.remove()
    found = {"growth sizes": sizes_tables(options, grown, sizes, told)}
    if sizes_alone:
        return found
    with stopped_at_end() as stops:
        large_world = Worlds(
            folder, middle, stops, "large", {name: wanted // options.shrink for name, wanted in LARGE.items()}
        )
        large_world.make()
        for engine in options.engine:
            large(options, large_world, engine, grown)
    return found | sections(options, grown, told)


def by_size(options: argparse.Namespace, worlds: list[Worlds], engine: str, grown: Grown) -> None:
    """Each operation on all worlds in turns: between two sizes the machine is not given time to become another."""
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(running(world, engine)) for world in worlds]
        for operation in options.operation:
            for turn in range(ROUNDS):
                for now in services if turn % 2 == 0 else services[::-1]:
                    seen = measure(now, operation, options.connections, options.seconds)
                    grown.sizes.setdefault((engine, operation, now.worlds.events), []).append(seen)
                    say(engine, operation, f"{now.worlds.events} events", seen)


def by_connections(options: argparse.Namespace, worlds: Worlds, engine: str, grown: Grown) -> None:
    """Each operation with few and many clients."""
    for connections in CONNECTIONS:
        with running(worlds, engine) as now:
            for operation in options.operation:
                seen = measure(now, operation, connections, options.seconds)
                grown.connections[engine, operation, connections] = seen
                say(engine, operation, f"{connections} connections", seen)


def say(engine: str, operation: str, what: str, seen: Figures) -> None:
    """A line while it runs."""
    load = seen.load
    latency = f"p50 {load.p50_us / 1000:.2f} p99 {load.p99_us / 1000:.2f} ms"
    print(engine, operation, what, f"{load.rate:.0f}/s", latency, f"{cost(seen):.0f} µs", flush=True)


def large(options: argparse.Namespace, worlds: Worlds, engine: str, grown: Grown) -> None:
    """What is large beside what is ordinary, in the same database; and one change of the large event."""
    with running(worlds, engine) as now:
        for operation in LARGE_OPERATIONS:
            for which in (0, 1):
                seen = measure(now, f"{operation}:{which}", options.connections, options.seconds)
                grown.large[engine, operation, which] = seen
                say(engine, operation, ("ordinary", "large")[which], seen)
        grown.create[engine] = measure(now, "create", options.connections, options.seconds)
        say(engine, "create", "long change log", grown.create[engine])
        grown.updates[engine] = update(now, LARGE["participants"] // options.shrink)
        print(engine, grown.updates[engine], flush=True)


def delivered(now: Running) -> float:
    """Deliveries made since the service was started."""
    found = re.findall(r'^outbox_deliveries_total\{[^}]*outcome="delivered"[^}]*\} (\S+)', now.service.metrics(), re.M)
    if not found:
        raise StartError("the service does not count its deliveries")
    return sum(map(float, found))


def update(now: Running, people: int) -> Update:
    """Moves the large event, which everybody in it is told of, and waits until they are."""

    def taken() -> float:
        return cpu_seconds(now.service.program) + (cpu_seconds(now.database, family=True) if now.database else 0)

    quiet(now)
    before, busy = delivered(now), taken()
    token = now.callers.read_text().split()[0]
    headers = {"authorization": f"Bearer {token}", "content-type": "application/merge-patch+json"}
    url = f"{now.service.url}/api/v1/events/{key(7, 1)}"
    asked = urllib.request.Request(url, b'{"location":"North pier"}', headers, method="PATCH")  # noqa: S310
    began = time.monotonic()
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310
        json.load(answer)
    answered = time.monotonic() - began
    # The organizer, who changed it, need not be told; nor those who declined meanwhile.
    wait_until("the deliveries", lambda: delivered(now) - before >= people - 200, 900, every=0.2)
    quiet(now)
    took = time.monotonic() - began
    count = int(delivered(now) - before)
    return Update(answered, took, count, (taken() - busy) / count * 1e6)


def quiet(now: Running) -> None:
    """Waits until nothing waits to be delivered."""
    last = -1.0

    def still() -> bool:
        nonlocal last
        before, last = last, delivered(now)
        return before == last

    wait_until("nothing to deliver", still, 300, every=1.5)


def idle(worlds: Worlds, engine: str, grown: Grown) -> None:
    """Opens connections, sends one request on each, keeps them, and sends another on some of them at the end."""
    with running(worlds, engine, {"CONVOKE_MAX_CONNECTIONS": str(IDLE + 100)}) as now, contextlib.ExitStack() as stack:
        token = now.callers.read_text().split()[0]
        host, _, port = now.service.url.removeprefix("http://").partition(":")
        head = (
            f"GET /api/v1/events/{key(2, 5)} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
        )
        before = memory_mib(now.service.program, "VmRSS")
        opened = []
        for _ in range(IDLE):
            one = stack.enter_context(socket.create_connection((host, int(port)), 30))
            opened.append(one)
            asked(one, head)
        after = memory_mib(now.service.program, "VmRSS")
        for one in opened[::100]:
            asked(one, head)
        grown.idle[engine] = before, after
        print(engine, f"{IDLE} idle connections: {before:.0f} MiB before, {after:.0f} MiB with them", flush=True)


def asked(connection: socket.socket, head: bytes) -> None:
    """One request on a connection that stays open."""
    connection.sendall(head)
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (part := connection.recv(65_536)):
            raise StartError("the service closed an idle connection")
        answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise StartError(f"an idle connection was answered: {answer[:200]!r}")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", answer)
    if length is None:
        raise StartError("an answer without a length")
    missing = int(length[1]) - len(answer.partition(b"\r\n\r\n")[2])
    while missing > 0:
        part = connection.recv(missing)
        if not part:
            raise StartError("the service closed a connection within an answer")
        missing -= len(part)


def sections(options: argparse.Namespace, grown: Grown, told: str) -> dict[str, str]:
    """The sections of the paper besides that of sizes."""
    return {
        "growth targets": f"{targets_table(targets(options, grown))}\n\n{told}",
        "growth connections": connections_table(grown),
        "growth large": large_tables(options, grown),
        "growth idle": idle_table(grown),
    }


def targets(options: argparse.Namespace, grown: Grown) -> list[Target]:
    """Nobody waits for very long, and nothing fails."""
    found = []
    for engine in options.engine:
        for operation in options.operation:
            seen = grown.connections.get((engine, operation, 256))
            figure = seen.load.tail(256) if seen else None
            found.append(Target(f"{engine} {operation}: p99 ÷ p50 with 256 connections", 10, figure))
    found.append(failed([*grown.connections.values(), *grown.large.values(), *grown.create.values()]))
    return found


def failed(measured: Iterable[Figures]) -> Target:
    """Nothing fails."""
    return Target("requests that failed", 0, sum(seen.load.errors for seen in measured), unit="")


def grows(grown: Grown, engine: str, operation: str, sizes: list[int]) -> float | None:
    """The cost in the largest world ÷ that in the smallest: the median of the rounds' own ratios."""
    first, last = (grown.sizes.get((engine, operation, size), []) for size in (sizes[0], sizes[-1]))
    ratios = [ratio(cost(b), cost(a)) for a, b in zip(first, last, strict=True)]
    known = [one for one in ratios if one is not None]
    return median(known) if known else None


def size_targets(options: argparse.Namespace, grown: Grown, sizes: list[int]) -> list[Target]:
    """Costs must not grow with the table, and nothing fails."""
    found = []
    for engine in options.engine:
        for operation in options.operation:
            bound = SEARCH_GROWS if operation == "search" else GROWS
            what = f"{engine} {operation}: cost with {sizes[-1]:,} events ÷ with {sizes[0]:,}"
            found.append(Target(what, bound, grows(grown, engine, operation, sizes)))
    found.append(failed(itertools.chain(*grown.sizes.values())))
    return found


def sizes_tables(options: argparse.Namespace, grown: Grown, sizes: list[int], told: str) -> str:
    """µs by size, and what was promised of them."""
    rows = []
    for engine, operation in dict.fromkeys((engine, operation) for engine, operation, _ in grown.sizes):
        seen = [grown.sizes.get((engine, operation, size), []) for size in sizes]
        costs = [median(map(cost, some)) if some else None for some in seen]
        rows.append([f"{engine} {operation}", *map(show, costs), show(grows(grown, engine, operation, sizes))])
    by_size = table(["operation", *(f"{size:,}" for size in sizes), "last ÷ first"], rows)
    return f"{by_size}\n\n{targets_table(size_targets(options, grown, sizes))}\n\n{told}"


def connections_table(grown: Grown) -> str:
    """Rate, latency and cost by connections."""
    rows = []
    for engine, operation in dict.fromkeys((engine, operation) for engine, operation, _ in grown.connections):
        cells = []
        for connections in CONNECTIONS:
            seen = grown.connections[engine, operation, connections]
            load = seen.load
            cells.append(f"{load.rate:.0f} · {load.p50_us / 1000:.2f} / {load.p99_us / 1000:.2f} · {cost(seen):.0f}")
        rows.append([f"{engine} {operation}", *cells])
    return table(["req/s · p50 / p99 ms · µs", *map(str, CONNECTIONS)], rows)


def large_tables(options: argparse.Namespace, grown: Grown) -> str:
    """What is large beside what is ordinary, and the change of the large event."""
    rows = []
    for engine in options.engine:
        for operation in LARGE_OPERATIONS:
            ordinary, big = (grown.large.get((engine, operation, which)) for which in (0, 1))
            costs = cost(ordinary), cost(big)
            rows.append([f"{engine} {operation}", *map(show, costs), show(ratio(costs[1], costs[0]))])
        # The same number of events without the long change log.
        costs = cost(grown.connections.get((engine, "create", 32))), cost(grown.create.get(engine))
        rows.append([f"{engine} create", *map(show, costs), show(ratio(costs[1], costs[0]))])
    by_operation = table(["µs a request", "ordinary", "large", "large ÷ ordinary"], rows)
    lines = [
        [engine, number(one.answered_s * 1000), number(one.delivered_s), f"{one.deliveries:,}", number(one.cpu_us)]
        for engine, one in grown.updates.items()
    ]
    head = [
        "a change of the large event",
        "answered after ms",
        "all delivered after s",
        "deliveries",
        "CPU µs a delivery",
    ]
    return f"{by_operation}\n\n{table(head, lines)}"


def idle_table(grown: Grown) -> str:
    """Memory with and without idle connections."""
    rows = [
        [engine, number(before), number(after), number((after - before) * 1024 / IDLE)]
        for engine, (before, after) in grown.idle.items()
    ]
    return table([f"{IDLE:,} idle connections", "MiB before", "MiB with them", "KiB each"], rows)
