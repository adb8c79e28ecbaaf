"""Checks what the papers in `docs/` and the READMEs say of other files: links, tests, settings, defaults, commands."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kit import instruments, settings
from kit.paths import DOCS, ROOT
from kit.process import StartError
from kit.stack import convoke_binary

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_DEFAULT = re.compile(r"`(CONVOKE_\w+)` \((\d[^ )]*(?: [a-z]+)?)\)")
# In a line of a table or a list: the names of tests end it, or follow `cargo test`.
_TEST = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`")
_RUN = re.compile(r"cargo test --(?:test it|lib)(?: --)?((?: [a-z_0-9:]+)+)")
_COMMAND = re.compile(r"(?:^|[`|(] ?)convoke ([a-z]+)", re.MULTILINE)


@cache
def tests() -> str:
    """Every source that can hold a test."""
    return "\n".join(
        path.read_text() for folder in ("src", "tests/it") for path in sorted((ROOT / folder).rglob("*.rs"))
    )


@cache
def commands() -> frozenset[str]:
    """What the binary can do, in its own words."""
    told = subprocess.run((convoke_binary(), "--help"), capture_output=True, text=True, timeout=60, check=True).stdout
    return frozenset(re.findall(r"^  ([a-z]+) +\S", told, re.MULTILINE))


def links(path: Path) -> Iterator[str]:
    """Links to files that are not there."""
    for target in _LINK.findall(path.read_text()):
        place = target.partition("#")[0]
        if place and "://" not in place and not (path.parent / place).exists():
            yield f"there is no {target}"


def named(text: str) -> Iterator[str]:
    """Tests that are none, defaults that are others, commands that the binary does not have."""
    for name in sorted(set(_TEST.findall(text)) - instruments.instruments().keys()):
        if not re.search(rf"fn {name}\b", tests()):
            yield f"there is no test {name}"
    for words in _RUN.findall(text):
        for word in words.split():
            # A part of a name, or a path of modules.
            if not all(re.search(rf"(fn \w*{part}|mod {part}\b)", tests()) for part in word.split("::") if part):
                yield f"no test is called {word}"
    for name, value in _DEFAULT.findall(text):
        real = settings.defaults().get(name)
        if real is None:
            yield f"Convoke has no setting {name}"
        elif value.replace(" ", "") != real:
            yield f"the default of {name} is {real}, not {value}"
    for name in sorted(settings.names(text) - settings.known() - settings.OF_DEPLOYMENT):
        yield f"Convoke has no setting {name}"
    for name in sorted(set(_COMMAND.findall(text)) - commands()):
        yield f"there is no command convoke {name}"


def papers() -> Iterator[Path]:
    """The papers that people write; generated ones have checks of their own."""
    yield ROOT / "README.md"
    yield ROOT / "deploy/README.md"
    for path in sorted(DOCS.glob("*.md")):
        if path.name not in ("configuration.md", "metrics.md", "signals.md"):
            yield path


def check() -> list[str]:
    """Everything that a paper says of another file and is not so."""
    try:
        commands()
    except (StartError, subprocess.SubprocessError) as refused:
        return [f"docs: {refused}"]
    found = []
    for path in papers():
        where = path.relative_to(ROOT)
        found += [f"{where}: {one}" for one in (*links(path), *named(path.read_text()))]
    return found
