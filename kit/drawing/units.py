"""Values as Grafana writes them: about three digits, and the unit scaled to the value."""

import math
import re

TIMES = [(1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms"), (60, 1, "s"), (3600, 1 / 60, "min")]
LONG_TIMES = [(86_400, 1 / 3600, "hour"), (604_800, 1 / 86_400, "day"), (math.inf, 1 / 604_800, "week")]
RATES = {"reqps": "req/s", "ops": "ops/s", "cps": "c/s"}
PARTS = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")]


def _decimals(value: float) -> int:
    """How many decimals show about three digits; none for whole numbers."""
    if value == 0 or value == int(value):
        return 0
    return max(0, min(2 - math.floor(math.log10(abs(value))), 6))


def _plain(value: float, decimals: int | None) -> str:
    return f"{value:.{_decimals(value) if decimals is None else decimals}f}"


def _scaled(value: float, step: int, names: list[str], decimals: int | None) -> str:
    index = 0
    while abs(value) >= step and index < len(names) - 1:
        value, index = value / step, index + 1
    return f"{_plain(value, decimals)}{names[index]}"


def _seconds(value: float, decimals: int | None) -> str:
    if value == 0:
        return "0 s"
    for limit, factor, name in TIMES + LONG_TIMES:
        if abs(value) < limit:
            return f"{_plain(value * factor, decimals)} {name}"
    return str(value)


def _duration(value: float) -> str:
    """The two largest parts of a duration, as in "2 hours, 5 minutes"."""
    parts, left = [], int(value)
    for size, name in PARTS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return ", ".join(parts[:2]) or "0 seconds"


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    match unit:
        case "s":
            return _seconds(value, decimals)
        case "dtdurations":
            return _duration(value)
        case "percentunit":
            return f"{_plain(value * 100, decimals)}%"
        case "bytes":
            return _scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"], decimals)
        case "short":
            return _scaled(value, 1000, ["", " K", " Mil", " Bil"], decimals)
        case "reqps" | "ops" | "cps":
            return _scaled(value, 1000, [f" {RATES[unit]}", f"k {RATES[unit]}"], decimals)
    return _plain(value, decimals)


def tick(value: float, unit: str) -> str:
    """A value beside an axis: without zeros that say nothing."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", r"\1", text(value, unit)).replace(". ", " ").replace(".%", "%").rstrip(".")
