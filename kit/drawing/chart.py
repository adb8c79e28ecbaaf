"""Time series: lines and stacked areas over time, with axes, thresholds, exemplars, marks and a legend."""

import math
import time
from html import escape

from kit.drawing import colors, units
from kit.drawing.evaluate import Line, Window

AXIS = "#9fa2ab"
GRID = "rgba(204,204,220,.09)"
Mark = tuple[float, str]


def nice_ticks(high: float, low: float = 0.0, count: int = 4) -> list[float]:
    """Round values from low to high."""
    raw = (high - low) / count or 1.0
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(one * magnitude for one in (1, 2, 2.5, 5, 10) if one * magnitude >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * index for index in range(first, math.floor(high / step + 1e-9) + 1)]


def room(names: list[str]) -> float:
    """The width that an axis needs for its values."""
    return 16 + 6.7 * max([len(name) for name in names] or [0])


def time_axis(window: Window, left: float, width: float, bottom: float) -> str:
    """Times under a drawing, and lines above them."""
    drawn = []
    step = next(
        one for one in (10, 30, 60, 120, 300, 600, 1800, 3600) if (window.end - window.start) / one <= width / 75
    )
    at = math.ceil(window.start / step) * step
    while at < window.end:
        x = left + (at - window.start) / (window.end - window.start) * width
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom:.1f}" stroke="{GRID}"/>')
        if left + 14 < x < left + width - 14:
            clock = time.strftime("%H:%M:%S" if step < 60 else "%H:%M", time.gmtime(at))
            drawn.append(f'<text x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle" fill="{AXIS}">{clock}</text>')
        at += step
    return "".join(drawn)


def marks(found: list[Mark], window: Window, left: float, width: float, bottom: float) -> str:
    """Annotations: dashed lines with a foot."""
    drawn = []
    for at, color in found:
        x = left + (at - window.start) / (window.end - window.start) * width
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom:.1f}" stroke="{color}" stroke-dasharray="3 3"/>'
            f'<path d="M {x - 4:.1f} {bottom + 4:.1f} h 8 l -4 -5 z" fill="{color}"/>'
        )
    return "".join(drawn)


def paint(panel: dict, lines: list[Line]) -> None:
    """Gives each series its color: the panel's own, else the palette's."""
    fixed = {}
    for one in panel["fieldConfig"]["overrides"]:
        for given in one["properties"]:
            if given["id"] == "color":
                fixed[one["matcher"]["options"]] = colors.named(given["value"]["fixedColor"])
    for index, line in enumerate(lines):
        line.color = fixed.get(line.name) or colors.series(index)


def _legend(panel: dict, lines: list[Line], shown: int) -> str:
    ordered = sorted(lines, key=lambda line: -max(line.numbers or [0]))
    decimals = panel["fieldConfig"]["defaults"].get("decimals")
    rows = []
    for line in ordered[:shown]:
        last, high = (units.text(one, line.unit, decimals) for one in (line.last, max(line.numbers or [math.nan])))
        rows.append(
            f'<tr><td><i style="background:{line.color}"></i>{escape(line.name)}</td>'
            f'<td class="figure">{last}</td><td class="figure">{high}</td></tr>'
        )
    more = len(lines) - shown
    note = f"{more} more" if more > 0 else "Name"
    head = f'<tr><th>{note}</th><th class="figure">Last *</th><th class="figure">Max</th></tr>'
    return f"<table class='legend'>{head}{''.join(rows)}</table>"


def _stacked(lines: list[Line]) -> list[tuple[Line, list[tuple[float, float, float]]]]:
    """Each series over those before it, as (time, bottom, top)."""
    sums: dict[float, float] = {}
    found = []
    for line in lines:
        places = []
        for at, value in line.points:
            if math.isfinite(value):
                places.append((at, sums.get(at, 0.0), sums.get(at, 0.0) + value))
                sums[at] = sums.get(at, 0.0) + value
        found.append((line, places))
    return found


def _axes(panel: dict, lines: list[Line], stack: bool) -> dict[str, tuple[float, float]]:
    """The lowest and highest value of each unit's axis."""
    found = {}
    defaults = panel["fieldConfig"]["defaults"]
    for unit in dict.fromkeys(line.unit for line in lines):
        of_unit = [line for line in lines if line.unit == unit]
        if stack:
            values = [top for _, places in _stacked(of_unit) for _, _, top in places]
        else:
            values = [value for line in of_unit for value in line.numbers]
        high, low = max([*values, 0]), min([*values, 0])
        if unit == defaults["unit"]:
            # A threshold is shown when the values come near it.
            near = [step["value"] for step in defaults["thresholds"]["steps"][1:] if high >= step["value"] * 0.4 > 0]
            high = max([high, *near])
        high = high * 1.06 if high > 0 else (0 if low < 0 else 1)
        if unit in ("reqps", "ops") and max([*values, 0]) == 0:
            high = 1
        found[unit] = (low * 1.06, high)
    return found


def draw(panel: dict, lines: list[Line], window: Window, found: list[Mark], width: float, height: float) -> str:
    """The panel's content."""
    paint(panel, lines)
    custom, defaults = panel["fieldConfig"]["defaults"]["custom"], panel["fieldConfig"]["defaults"]
    stack = custom["stacking"]["mode"] == "normal"
    beside = panel["options"]["legend"]["placement"] == "right"
    legend_width = min(width * 0.55, 400) if beside else 0
    shown = int((height - 18) // 17) if beside else max(2, min(len(lines), int(height * 0.42 // 17) - 1))
    chart_height = height if beside else height - 17 * (min(len(lines), shown) + 1) - 2
    axes = _axes(panel, lines, stack)
    drawn_units = list(axes)[:2]
    bottom = chart_height - 20
    ticks = {unit: nice_ticks(high, low, max(2, int(bottom // 38))) for unit, (low, high) in axes.items()}
    names = {unit: [units.tick(value, unit) for value in values] for unit, values in ticks.items()}
    left = room(names[drawn_units[0]])
    right = width - legend_width - (room(names[drawn_units[1]]) if len(drawn_units) > 1 else 10)
    drawn = [time_axis(window, left, right - left, bottom)]

    def y(value: float, unit: str) -> float:
        low, high = axes[unit]
        return bottom - (value - low) / (high - low) * (bottom - 6)

    def x(at: float) -> float:
        return left + (at - window.start) / (window.end - window.start) * (right - left)

    for index, unit in enumerate(drawn_units):
        for value, name in zip(ticks[unit], names[unit], strict=True):
            place, label = y(value, unit), escape(name)
            if index == 0:
                drawn.append(f'<line x1="{left}" x2="{right:.1f}" y1="{place:.1f}" y2="{place:.1f}" stroke="{GRID}"/>')
                drawn.append(f'<text x="{left - 6}" y="{place + 4:.1f}" text-anchor="end" fill="{AXIS}">{label}</text>')
            else:
                drawn.append(f'<text x="{right + 6:.1f}" y="{place + 4:.1f}" fill="{AXIS}">{label}</text>')

    for unit in axes:
        of_unit = [line for line in lines if line.unit == unit]
        if stack:
            for line, places in _stacked(of_unit):
                top = [f"{x(at):.1f},{y(above, unit):.1f}" for at, _, above in places]
                base = [f"{x(at):.1f},{y(below, unit):.1f}" for at, below, _ in reversed(places)]
                drawn.append(f'<polygon points="{" ".join(top + base)}" fill="{line.color}" fill-opacity=".4"/>')
                drawn.append(f'<polyline points="{" ".join(top)}" fill="none" stroke="{line.color}"/>')
            continue
        for line in of_unit:
            points = [f"{x(at):.1f},{y(value, unit):.1f}" for at, value in line.points if math.isfinite(value)]
            if points:
                ends = f"{points[0].split(',')[0]},{y(0, unit):.1f} {{}} {points[-1].split(',')[0]},{y(0, unit):.1f}"
                area = ends.format(" ".join(points))
                drawn.append(f'<polygon points="{area}" fill="{line.color}" fill-opacity=".08"/>')
                drawn.append(
                    f'<polyline points="{" ".join(points)}" fill="none" stroke="{line.color}" stroke-width="1.4"/>'
                )

    low, high = axes.get(defaults["unit"], (0, 0))
    if custom["thresholdsStyle"]["mode"] == "dashed" and high > 0:
        for step in defaults["thresholds"]["steps"][1:]:
            if low < step["value"] <= high:
                place, color = y(step["value"], defaults["unit"]), colors.named(step["color"])
                drawn.append(
                    f'<line x1="{left}" x2="{right:.1f}" y1="{place:.1f}" y2="{place:.1f}" stroke="{color}" '
                    f'stroke-dasharray="8 5" stroke-opacity=".8"/>'
                )
    for line in lines:
        for at, value in line.exemplars[-60:]:
            if value <= axes[line.unit][1]:
                drawn.append(
                    f'<rect x="{x(at) - 3:.1f}" y="{y(value, line.unit) - 3:.1f}" width="6" height="6" fill="#73BF69" '
                    f'stroke="#181b1f" transform="rotate(45 {x(at):.1f} {y(value, line.unit):.1f})"/>'
                )
    drawn.append(marks(found, window, left, right - left, bottom))
    svg = f'<svg width="{width - legend_width:.0f}" height="{chart_height:.0f}">{"".join(drawn)}</svg>'
    legend = _legend(panel, lines, shown)
    if beside:
        return f'<div class="beside">{svg}<div style="width:{legend_width:.0f}px">{legend}</div></div>'
    return svg + legend
