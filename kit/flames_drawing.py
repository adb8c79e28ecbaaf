"""Draws a flame graph: one SVG without script, whose boxes tell their names and shares when pointed at."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

from kit.flames_frames import KINDS, kind, readable, shown
from kit.flames_profile import Sample

WIDTH, ROW, HEAD, LEGEND = 1200, 16, 26, 40
LETTER = 6.1
# A box below this share of the whole is drawn together with its like.
NARROW = 0.003
COLORS = dict(
    zip(
        KINDS,
        [
            *("#e8a33d", "#d9785b", "#b9a0e0", "#7fb2e5", "#e58fb0", "#8cc48c"),
            *("#c9b458", "#5fb8a8", "#9fcf5f", "#a8b3c2", "#d0cdc6"),
        ],
        strict=True,
    )
)


@dataclass
class Box:
    """A function in one place of the stacks, with all that it calls."""

    name: str
    kind: str
    count: int = 0
    calls: dict[str, "Box"] = field(default_factory=dict)

    def depth(self) -> int:
        """Rows that it and what it calls take."""
        return 1 + max((one.depth() for one in self.calls.values()), default=0)


def tree(samples: Iterable[Sample]) -> Box:
    """The stacks, thread by thread, as one box."""
    root = Box("all", KINDS[-1])
    for sample in samples:
        frames = shown(sample.frames)
        # By what a stack to here would be: the color of a caller is its own, not that of what it calls.
        kinds = [kind(sample.thread, frames[: at + 1]) for at in range(len(frames))]
        named = [(sample.thread, KINDS[-1]), *((readable(one), said) for one, said in zip(frames, kinds, strict=True))]
        at = root
        at.count += sample.count
        for name, said in named:
            at = at.calls.setdefault(name, Box(name, said))
            at.count += sample.count
    return root


def merged(box: Box, least: float) -> Box:
    """A box in which calls too narrow to see are one, or, if that is still too narrow, none."""
    kept = {name: merged(one, least) for name, one in box.calls.items() if one.count >= least}
    narrow = [one for one in box.calls.values() if one.count < least]
    if narrow and (count := sum(one.count for one in narrow)) >= least:
        name = f"({len(narrow)} narrower)"
        kept[name] = Box(name, KINDS[-1], count)
    return Box(box.name, box.kind, box.count, kept)


def fitting(name: str, width: float) -> str:
    """As much of a name as has room: its end says more than its beginning."""
    room = int((width - 4) / LETTER)
    if len(name) <= room:
        return name
    parts = name.split("::")
    while len(parts) > 1:
        del parts[0]
        if len(short := "::".join(parts)) <= room:
            return short
    return f"{parts[0][: room - 1]}…" if room >= 4 else ""


def svg(root: Box, title: str, micros: float) -> str:
    """The drawing; `micros` is what the whole takes."""
    root = merged(root, NARROW * root.count)
    bottom = HEAD + root.depth() * ROW
    per_sample = (WIDTH - 20) / max(1, root.count)
    drawn: list[str] = []

    def draw(box: Box, x: float, level: int) -> None:
        width, y = box.count * per_sample, bottom - (level + 1) * ROW
        share = box.count / root.count
        told = escape(f"{box.name}: {share:.1%}, {micros * share:.1f} µs")
        place = f'x="{x:.1f}" y="{y}" width="{max(0.4, width - 0.5):.1f}"'
        drawn.append(f'<g><title>{told}</title><rect {place} class="k{KINDS.index(box.kind)}"/>')
        if text := fitting(box.name, width):
            drawn.append(f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(text)}</text>')
        drawn.append("</g>\n")
        for one in sorted(box.calls.values(), key=lambda one: (one.kind == KINDS[-1], one.name)):
            draw(one, x, level + 1)
            x += one.count * per_sample

    if root.count:
        draw(root, 10, 0)
    styles = "".join(f".k{index}{{fill:{color}}}" for index, color in enumerate(COLORS.values()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + LEGEND}" '
        f'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="10">\n'
        f"<style>rect{{height:{ROW - 1}px}}{styles}g:hover rect{{stroke:#000}}</style>\n"
        f'<rect width="{WIDTH}" style="height:{bottom + LEGEND}px" fill="#fff"/>\n'
        f'<text x="10" y="16" font-size="13">{escape(title)}</text>\n{"".join(drawn)}{legend(bottom + 8)}</svg>\n'
    )


def legend(top: float) -> str:
    """What the colors say, in two rows."""
    drawn, x, y = [], 10.0, top
    for index, name in enumerate(KINDS):
        wide = 22 + LETTER * len(name)
        if x + wide > WIDTH - 10:
            x, y = 10.0, y + ROW
        drawn.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="12" class="k{index}"/>')
        drawn.append(f'<text x="{x + 15:.0f}" y="{y + 11:.0f}">{escape(name)}</text>\n')
        x += wide
    return "".join(drawn)
