"""Prometheus durations (`1h30m`): read, scaled and written."""

import re

UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"(\d+)(ms|[dhms])")


def is_duration(value: object) -> bool:
    """Whether a value of a source file is a duration, which is what is scaled; a plain number is not."""
    return isinstance(value, str) and re.fullmatch(r"(\d+(ms|[dhms]))+", value) is not None


def milliseconds(text: str) -> int:
    """The length of a duration."""
    if not is_duration(text):
        raise ValueError(f"{text!r} is no duration such as 5m or 1h30m")
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))


def written(length: int) -> str:
    """A length in milliseconds as Prometheus reads it, in the largest units that fit."""
    parts = []
    for unit, size in UNITS.items():
        number, length = divmod(length, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def scaled(text: str, scale: float) -> str:
    """A duration times a factor, at least one millisecond."""
    return written(max(1, round(milliseconds(text) * scale)))


def seconds(text: str) -> str:
    """A duration as a number of seconds."""
    return f"{milliseconds(text) / 1000:g}"
