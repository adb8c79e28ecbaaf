"""Convoke's settings as `docs/configuration.md` has them, and what deployment files must know of them."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from kit.durations import milliseconds
from kit.paths import DOCS, ROOT

# Names like settings that are read before there is a service: by compose.yaml, and by the compiler.
OF_DEPLOYMENT = {"CONVOKE_CONFIG", "CONVOKE_IMAGE", "CONVOKE_REVISION"}
# Beyond its settings, the end takes a second more for requests, and five each for the database and the ops listener
# (src/cli/shutdown.rs).
SHUTDOWN_EXTRA = 11.1
_NAME = re.compile(r"(?<![A-Z_])(?:CONVOKE|OTEL)_[A-Z0-9_]*[A-Z0-9]")
_UNITS = {"KiB": 1024, "MiB": 1024**2}


@cache
def defaults() -> dict[str, str]:
    """Each setting's default, as the reference writes it."""
    row = re.compile(r"^\| `(CONVOKE_\w+)` \| [^|]*\| (?:[^|\\]|\\\|)*\| ([^|]*) \|", re.MULTILINE)
    return {name: text.strip("`") for name, text in row.findall((DOCS / "configuration.md").read_text())}


@cache
def secrets() -> frozenset[str]:
    """The settings that can be in a file, for they are secret or may hold a password."""
    row = re.compile(r"^\| `(CONVOKE_\w+)` \| [^|]*\| (?:secret|[^|]*without its password) \|", re.MULTILINE)
    return frozenset(row.findall((DOCS / "configuration.md").read_text()))


@cache
def known() -> frozenset[str]:
    """Every variable that the service reads, those of OpenTelemetry included."""
    variables = (ROOT / "src/telemetry/traces/variables.rs").read_text()
    files = frozenset(f"{name}_FILE" for name in secrets())
    return frozenset(defaults()) | files | frozenset(re.findall(r'^    "(OTEL_\w+)",$', variables, re.MULTILINE))


def names(text: str) -> set[str]:
    """What looks like a setting in a text; a group of them (`OTEL_*`) does not."""
    return {found[0] for found in _NAME.finditer(text) if text[found.end() : found.end() + 2] != "_*"}


def unknown(folder: Path) -> Iterator[str]:
    """Names of settings, anywhere in a folder's files, that the service does not have."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".env":
            for name in sorted(names(path.read_text()) - known() - OF_DEPLOYMENT):
                yield f"{path.relative_to(folder.parent)}: Convoke has no setting {name}"


def seconds(name: str, given: Mapping[str, str]) -> float:
    """A duration as given, else its default."""
    return milliseconds(given.get(name, defaults()[name])) / 1000


def body_limit() -> int:
    """The default of the largest body, in bytes."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", defaults()["CONVOKE_BODY_LIMIT"]).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def port(name: str, given: Mapping[str, str]) -> int:
    """The port of a listener."""
    return int(given.get(name, defaults()[name]).rpartition(":")[2])


def shutdown(given: Mapping[str, str]) -> float:
    """The longest that an end may take, in seconds."""
    limits = ("CONVOKE_SHUTDOWN_GRACE", "CONVOKE_SHUTDOWN_TIMEOUT", "CONVOKE_TELEMETRY_SHUTDOWN_TIMEOUT")
    return sum(seconds(name, given) for name in limits) + SHUTDOWN_EXTRA
