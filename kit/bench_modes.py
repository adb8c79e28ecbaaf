"""What telemetry costs: the same load with none of it, as it comes, and with every request traced."""

import contextlib
from collections.abc import Iterator
from statistics import median

from kit.bench_report import Target, number, ratio, table
from kit.bench_world import Running, Worlds, checked, cpu_seconds, load, running
from kit.stack import convoke_binary
from kit.trace_sink import trace_sink

MODES = ["off", "default", "everything"]
SWITCH = "CONVOKE_BENCH_TELEMETRY"
MEASURED = ["get", "page", "answer", "create"]
ROUNDS = 5
BOUNDS = {"default": 1.25, "everything": 1.5}

# µs a request of an operation in a mode, in each round.
Taken = dict[tuple[str, str], list[float]]


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


def measure_modes(worlds: Worlds, engine: str, connections: int, seconds: float) -> Taken:
    """The service's processor time, µs a request, of each operation in each mode, taken in turns on one copy."""
    modes = MODES if has_switch() else MODES[1:]
    if modes != MODES:
        print(f"{convoke_binary()} does not know {SWITCH}: there is no figure without telemetry", flush=True)
    taken: Taken = {}
    with contextlib.ExitStack() as stack:
        settings = {name: stack.enter_context(mode(name)) for name in modes}
        now = stack.enter_context(running(worlds, engine))
        base = dict(now.service.settings)
        for turn in range(ROUNDS):
            # So that no mode is always first.
            for name in modes[turn % len(modes) :] + modes[: turn % len(modes)]:
                now.service.program.stop()
                now.service.settings = base | settings[name]
                now.service.start()
                for operation in MEASURED:
                    taken.setdefault((operation, name), []).append(_cpu(now, operation, connections, seconds))
    return taken


def share(taken: Taken, operation: str, name: str) -> float | None:
    """What a mode takes of what none does: the median of the rounds' own ratios, for no two are equally fast."""
    shares = [ratio(*both) for both in zip(taken[operation, name], taken.get((operation, "off"), []), strict=False)]
    known = [one for one in shares if one is not None]
    return median(known) if known else None


def _cpu(now: Running, operation: str, connections: int, seconds: float) -> float:
    events, callers = now.worlds.events, now.callers
    load(now.service, operation, events, callers, connections, min(2.0, seconds))
    before = cpu_seconds(now.service.program)
    seen = checked(operation, load(now.service, operation, events, callers, connections, seconds))
    return (cpu_seconds(now.service.program) - before) / seen.requests * 1e6


def modes_table(taken: Taken) -> str:
    """µs in each mode, and what that is of none."""
    rows = []
    for operation in MEASURED:
        off = taken.get((operation, "off"))
        cells = ["not measured" if off is None else number(median(off))]
        for name in MODES[1:]:
            part = share(taken, operation, name)
            cells.append(number(median(taken[operation, name])) + (f" ({part:.2f} ×)" if part else ""))
        rows.append([operation, *cells])
    return table(["service µs a request", "no telemetry", "default", "everything at 100 %"], rows)


def modes_targets(taken: Taken, engine: str) -> list[Target]:
    """The telemetry budget."""
    return [
        Target(f"{engine} {operation}: CPU with {name} telemetry ÷ with none", bound, share(taken, operation, name))
        for operation in MEASURED
        for name, bound in BOUNDS.items()
    ]
