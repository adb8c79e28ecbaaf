"""Panels of cells over time: heatmaps of histograms, and state timelines."""

import math
from html import escape

from kit.drawing import colors, units
from kit.drawing.chart import AXIS, Mark, marks, room, time_axis
from kit.drawing.evaluate import Line, Window


def heatmap(panel: dict, lines: list[Line], window: Window, found: list[Mark], width: float, height: float) -> str:
    """How many observations fell between two bounds, brighter for more."""
    lines = sorted(lines, key=lambda line: float(line.labels["le"]))
    bounds = [float(line.labels["le"]) for line in lines]
    below: dict[float, float] = {}
    cells: list[tuple[float, int, float]] = []
    for index, line in enumerate(lines):
        for at, value in line.points:
            count = value - below.get(at, 0.0)
            below[at] = value
            if math.isfinite(count) and count > 1e-9:
                cells.append((at, index, count))
    used = max([index for _, index, _ in cells] or [0]) + 1
    rows = min(len(lines), max(used + 1, 4))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    names = ["∞" if math.isinf(bound) else units.tick(bound, unit) for bound in bounds]
    left, right, bottom = room(names), width - 10, height - 42
    tall = (bottom - 4) / max(1, rows)
    wide = (right - left) / max(1, round((window.end - window.start) / window.step))
    most = max([count for _, _, count in cells] or [1])
    drawn = [time_axis(window, left, right - left, bottom)]
    for at, index, count in cells:
        x = left + (at - window.start) / (window.end - window.start) * (right - left) - wide
        if x >= left - 1:
            drawn.append(
                f'<rect x="{max(left, x):.1f}" y="{bottom - (index + 1) * tall:.1f}" width="{wide - 0.8:.1f}" '
                f'height="{tall - 0.8:.1f}" fill="{colors.heat(0.12 + 0.88 * math.sqrt(count / most))}"/>'
            )
    for index in range(rows):
        if tall >= 11 or index % 2 == 0:
            y = bottom - (index + 1) * tall + 4
            drawn.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{AXIS}">{names[index]}</text>')
    for line in lines:
        for at, value in line.exemplars[-60:]:
            place = next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds) - 1)
            x = left + (at - window.start) / (window.end - window.start) * (right - left)
            y = bottom - (place + 0.5) * tall
            drawn.append(
                f'<rect x="{x - 2.5:.1f}" y="{y - 2.5:.1f}" width="5" height="5" fill="#ff00ff" opacity=".8"/>'
            )
    drawn.append(marks(found, window, left, right - left, bottom))
    for index in range(40):
        place, color = left + index * 4, colors.heat(index / 39)
        drawn.append(f'<rect x="{place:.0f}" y="{height - 14:.0f}" width="4" height="8" fill="{color}"/>')
    drawn.append(
        f'<text x="{left + 166:.0f}" y="{height - 6:.0f}" fill="{AXIS}">up to {units.text(most, "short")}</text>'
    )
    return f'<svg width="{width:.0f}" height="{height:.0f}">{"".join(drawn)}</svg>'


def timeline(panel: dict, lines: list[Line], window: Window, found: list[Mark], width: float, height: float) -> str:
    """A lane for each series, colored by its state."""
    mapped = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    left = 12 + min(width * 0.4, max([len(line.name) for line in lines] or [0]) * 6.4)
    right, bottom = width - 10, height - 20
    tall = min((bottom - 4) / max(1, len(lines)), 46.0)
    drawn = [time_axis(window, left, right - left, bottom)]

    def x(at: float) -> float:
        return left + (max(at, window.start) - window.start) / (window.end - window.start) * (right - left)

    for index, line in enumerate(lines):
        y = 4 + index * tall
        name = escape(line.name)
        drawn.append(
            f'<text x="{left - 6:.0f}" y="{y + tall / 2 + 4:.1f}" text-anchor="end" fill="#ccccdc">{name}</text>'
        )
        runs: list[list[float]] = []
        for at, value in line.points:
            if runs and runs[-1][2] == value and at - runs[-1][1] <= window.step * 1.5:
                runs[-1][1] = at
            else:
                runs.append([at, at, value])
        for start, end, value in runs:
            state = mapped.get(f"{value:g}", {"text": f"{value:g}", "color": "blue"})
            begin, wide = x(start), max(2.0, x(min(end + window.step, window.end)) - x(start))
            drawn.append(
                f'<rect x="{begin:.1f}" y="{y + tall * 0.08:.1f}" width="{wide:.1f}" height="{tall * 0.84:.1f}" '
                f'fill="{colors.named(state["color"])}" fill-opacity=".75"/>'
            )
            if wide > 60:
                drawn.append(
                    f'<text x="{begin + 6:.1f}" y="{y + tall / 2 + 4:.1f}" fill="#fff">{escape(state["text"])}</text>'
                )
    drawn.append(marks(found, window, left, right - left, bottom))
    return f'<svg width="{width:.0f}" height="{height:.0f}">{"".join(drawn)}</svg>'
