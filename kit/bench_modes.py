"""What telemetry costs: the same load with none of it, as it comes, and with every request traced."""

import contextlib
from collections.abc import Iterator

from kit.bench_report import Target, number, ratio, table
from kit.bench_world import Running, Worlds, cpu_seconds, load, running
from kit.stack import convoke_binary
from kit.trace_sink import trace_sink

MODES = ["off", "default", "everything"]
SWITCH = "CONVOKE_BENCH_TELEMETRY"
MEASURED = ["get", "page", "answer", "create"]
ROUNDS = 3
BOUNDS = {"default": 1.25, "everything": 1.5}


class NoSwitchError(RuntimeError):
    """The binary cannot do without telemetry."""


def has_switch() -> bool:
    """Whether the binary knows the benchmark's switch: its name is in it."""
    return SWITCH.encode() in convoke_binary().read_bytes()


@contextlib.contextmanager
def mode(name: str) -> Iterator[dict[str, str]]:
    """The settings of a mode, while what they need runs."""
    if name == "off":
        if not has_switch():
            raise NoSwitchError(f"{convoke_binary()} does not know {SWITCH}: telemetry cannot be switched off")
        yield {SWITCH: "off"}
    elif name == "everything":
        with trace_sink() as sink:
            yield {"OTEL_EXPORTER_OTLP_ENDPOINT": sink, "OTEL_TRACES_SAMPLER": "always_on"}
    else:
        yield {}


def measure_modes(worlds: Worlds, engine: str, connections: int, seconds: float) -> dict[tuple[str, str], float]:
    """The service's processor time, µs a request, of each operation in each mode, taken in turns on one copy."""
    modes = MODES if has_switch() else MODES[1:]
    if modes != MODES:
        print(f"{convoke_binary()} does not know {SWITCH}: there is no figure without telemetry", flush=True)
    taken: dict[tuple[str, str], list[float]] = {}
    with contextlib.ExitStack() as stack:
        settings = {name: stack.enter_context(mode(name)) for name in modes}
        now = stack.enter_context(running(worlds, engine))
        base = dict(now.service.settings)
        for turn in range(ROUNDS):
            # Each mode is first, in the middle and last once.
            for name in modes[turn % len(modes) :] + modes[: turn % len(modes)]:
                now.service.program.stop()
                now.service.settings = base | settings[name]
                now.service.start()
                for operation in MEASURED:
                    taken.setdefault((operation, name), []).append(_cpu(now, operation, connections, seconds))
    # The median of three: noise of the machine only adds.
    return {place: sorted(all_of_it)[len(all_of_it) // 2] for place, all_of_it in taken.items()}


def _cpu(now: Running, operation: str, connections: int, seconds: float) -> float:
    events, callers = now.worlds.events, now.callers
    load(now.service, operation, events, callers, connections, min(2.0, seconds))
    before = cpu_seconds(now.service.program)
    seen = load(now.service, operation, events, callers, connections, seconds)
    return (cpu_seconds(now.service.program) - before) / seen.requests * 1e6


def modes_table(taken: dict[tuple[str, str], float]) -> str:
    """µs in each mode, and what that is of none."""
    rows = []
    for operation in MEASURED:
        off = taken.get((operation, "off"))
        cells = ["not measured" if off is None else number(off)]
        for name in MODES[1:]:
            value = taken[operation, name]
            share = ratio(value, off)
            cells.append(number(value) + (f" ({share:.2f} ×)" if share else ""))
        rows.append([operation, *cells])
    return table(["service µs a request", "no telemetry", "default", "everything at 100 %"], rows)


def modes_targets(taken: dict[tuple[str, str], float], engine: str) -> list[Target]:
    """The telemetry budget."""
    return [
        Target(
            f"{engine} {operation}: CPU with {name} telemetry ÷ with none",
            bound,
            ratio(taken[operation, name], taken.get((operation, "off"))),
        )
        for operation in MEASURED
        for name, bound in BOUNDS.items()
    ]
