"""What the benchmark found, as tables of Markdown, and held against what was promised."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from kit.paths import DOCS

PERFORMANCE = DOCS / "performance.md"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = [head, ["---", *itertools.repeat("--:", len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Target:
    """A promise with its figure; one that was not measured is `None`."""

    what: str
    bound: float
    figure: float | None
    at_least: bool = False
    unit: str = "×"

    @property
    def reached(self) -> bool | None:
        """Whether it is kept."""
        if self.figure is None:
            return None
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    def row(self) -> list[str]:
        """A line of the table of promises."""
        verdict = {True: "reached", False: "**not reached**", None: "not measured"}[self.reached]
        figure = "–" if self.figure is None else f"{number(self.figure)} {self.unit}"
        return [self.what, f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}", figure, verdict]


def targets_table(targets: list[Target]) -> str:
    """The table of promises."""
    return table(["promise", "wanted", "measured", ""], [one.row() for one in targets])


def number(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(a: float | None, b: float | None) -> float | None:
    """a ÷ b, if both are known."""
    return a / b if a is not None and b else None


def show(value: float | None) -> str:
    """A figure, or a dash."""
    return "–" if value is None else number(value)


def replaced(paper: str, sections: dict[str, str]) -> str:
    """A paper with the text between `<!-- NAME -->` and `<!-- /NAME -->` of each section replaced."""
    for name, text in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(paper):
            raise ValueError(f"the paper has no section {name}")
        paper = pattern.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", paper)
    return paper


def write(sections: dict[str, str], paper: Path = PERFORMANCE) -> None:
    """Puts what was measured into `docs/performance.md`."""
    paper.write_text(replaced(paper.read_text(), sections))
