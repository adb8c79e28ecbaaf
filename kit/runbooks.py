"""The runbooks in `docs/runbooks/`, one for each alert, and the queries in them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.paths import ROOT, RUNBOOKS

SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "How to reproduce"]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Runbook:
    """One page."""

    name: str
    text: str

    @property
    def path(self) -> str:
        """Where it is, in the repository."""
        return str((RUNBOOKS / f"{self.name}.md").relative_to(ROOT))

    def fences(self, language: str) -> list[str]:
        """What stands in fences of a language."""
        return [textwrap.dedent(body).strip() for _, name, body in _FENCE.findall(self.text) if name == language]

    def prose(self) -> str:
        """The page without what stands in fences."""
        return _FENCE.sub("", self.text)

    def sections(self) -> dict[str, str]:
        """The text of each section."""
        parts = re.split(r"^## (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))


def runbooks(folder: Path = RUNBOOKS) -> list[Runbook]:
    """Every runbook."""
    files = (file for file in sorted(folder.glob("*.md")) if file.name != "README.md")
    return [Runbook(file.stem, file.read_text()) for file in files]


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every runbook, with the file it stands in."""
    for one in runbooks():
        yield from ((one.path, expression) for expression in one.fences("promql"))
