"""Panels of single values: stat, gauge, bar gauge and table."""

import math
from html import escape

from kit.drawing import colors, units
from kit.drawing.evaluate import Line, override


def _text(panel: dict, line: Line, value: float) -> tuple[str, str]:
    """A value's text and color."""
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings", []):
        if (found := mapping["options"].get(f"{value:g}")) is not None:
            return found["text"], colors.named(found["color"])
    return units.text(value, line.unit, defaults.get("decimals")), colors.of_value(
        value, defaults["thresholds"]["steps"]
    )


def _spark(line: Line, width: float, height: float) -> str:
    numbers = line.numbers
    if len(numbers) < 2:
        return ""
    low, high = min(*numbers, 0), max(numbers)
    spread = (high - low) or 1
    step = width / (len(numbers) - 1)
    points = " ".join(f"{i * step:.1f},{height - (v - low) / spread * height * 0.9:.1f}" for i, v in enumerate(numbers))
    return (
        f'<svg class="spark" width="{width:.0f}" height="{height:.0f}">'
        f'<polygon points="0,{height} {points} {width},{height}" fill="rgba(255,255,255,.13)"/>'
        f'<polyline points="{points}" fill="none" stroke="rgba(255,255,255,.5)"/></svg>'
    )


def stat(panel: dict, lines: list[Line], width: float, height: float) -> str:
    """Large figures, on the color of their threshold, over a small line of what they were."""
    options = panel["options"]
    boxes = []
    each = width / max(1, len(lines))
    for line in lines:
        text, color = _text(panel, line, line.last)
        named = options["textMode"] == "value_and_name" or len(lines) > 1
        room = each - 12
        size = min(height * (0.36 if named else 0.5), room / max(2, len(text)) * 1.65, 46)
        background = options["colorMode"] == "background"
        style = f"background:linear-gradient(120deg,{color}d0,{color}90)" if background else f"color:{color}"
        spark = _spark(line, each, height * 0.45) if options["graphMode"] == "area" else ""
        name = f'<div class="name">{escape(line.name)}</div>' if named else ""
        boxes.append(
            f'<div class="stat" style="{style};width:{each:.0f}px">{spark}{name}'
            f'<div class="value" style="font-size:{size:.0f}px">{escape(text)}</div></div>'
        )
    return f'<div class="stats" style="height:{height:.0f}px">{"".join(boxes)}</div>'


def _arc(cx: float, cy: float, radius: float, start: float, end: float, color: str, width: float) -> str:
    """A piece of the gauge's ring; 0 is the left end, 1 the right one."""

    def point(share: float) -> str:
        angle = math.radians(200 - 220 * share)
        return f"{cx + radius * math.cos(angle):.1f} {cy - radius * math.sin(angle):.1f}"

    large = 1 if (end - start) * 220 > 180 else 0
    return (
        f'<path d="M {point(start)} A {radius:.1f} {radius:.1f} 0 {large} 1 {point(end)}" fill="none" '
        f'stroke="{color}" stroke-width="{width:.1f}"/>'
    )


def gauge(panel: dict, lines: list[Line], width: float, height: float) -> str:
    """A ring that fills up, with its thresholds outside."""
    defaults = panel["fieldConfig"]["defaults"]
    low, high = defaults.get("min", 0), defaults.get("max", 1)
    each = width / max(1, len(lines))
    drawn = []
    for index, line in enumerate(lines):
        text, color = _text(panel, line, line.last)
        cx, radius = each * (index + 0.5), min(each * 0.4, height * 0.5)
        cy = height * 0.62
        share = max(0.004, min(1.0, (line.last - low) / ((high - low) or 1)))
        drawn.append(_arc(cx, cy, radius, 0, 1, "#2c2f36", radius * 0.24))
        drawn.append(_arc(cx, cy, radius, 0, share, color, radius * 0.24))
        steps = defaults["thresholds"]["steps"]
        for one, after in zip(steps, [*steps[1:], {"value": high}], strict=True):
            start = max(0.0, ((one["value"] or low) - low) / (high - low))
            end = min(1.0, (after["value"] - low) / (high - low))
            if end > start:
                drawn.append(_arc(cx, cy, radius * 1.18, start, end, colors.named(one["color"]), 3))
        drawn.append(
            f'<text x="{cx:.0f}" y="{cy + 4:.0f}" text-anchor="middle" fill="{color}" font-size="{radius * 0.42:.0f}" '
            f'font-weight="500">{escape(text)}</text>'
            f'<text x="{cx:.0f}" y="{cy + radius * 0.5:.0f}" text-anchor="middle" fill="#9fa2ab" font-size="11">'
            f"{escape(line.name)}</text>"
        )
    return f'<svg width="{width:.0f}" height="{height:.0f}">{"".join(drawn)}</svg>'


def bargauge(panel: dict, lines: list[Line], _width: float, height: float) -> str:
    """Horizontal bars, the largest first."""
    lines = sorted(lines, key=lambda line: -line.last)
    high = max([line.last for line in lines if math.isfinite(line.last)] or [1]) or 1
    high = min(high, panel["fieldConfig"]["defaults"].get("max", high))
    each = height / max(1, len(lines))
    rows = []
    for index, line in enumerate(lines):
        text, _ = _text(panel, line, line.last)
        share = max(0.0, min(1.0, line.last / high)) * 100
        rows.append(
            f'<div class="bar" style="height:{each:.1f}px"><span class="label">{escape(line.name)}</span>'
            f'<span class="track"><i style="width:{share:.1f}%;background:{colors.series(index)}"></i></span>'
            f'<span class="figure">{escape(text)}</span></div>'
        )
    return "".join(rows)


def table(panel: dict, lines: list[Line], _width: float, height: float) -> str:
    """Rows by label, one column for each query."""
    organize = panel["transformations"][1]["options"]
    columns = sorted(organize["renameByName"].items(), key=lambda item: organize["indexByName"][item[0]])
    shown = [target["legendFormat"] for target in panel["targets"]]
    labels = [(key, name) for key, name in columns if name not in shown]
    rows: dict[tuple[str, ...], dict[str, Line]] = {}
    for line in lines:
        key = tuple(line.labels.get(label, "") for label, _ in labels)
        rows.setdefault(key, {})[line.query["legendFormat"]] = line
    by = (panel["options"].get("sortBy") or [{"displayName": shown[0]}])[0]["displayName"]
    ordered = sorted(rows.items(), key=lambda item: -(item[1][by].last if by in item[1] else 0))
    fitting = int((height - 26) // 20)
    if fitting < len(ordered):
        fitting = int((height - 44) // 20)
    head = "".join(f"<th>{escape(name)}</th>" for _, name in labels)
    head += "".join(f'<th class="figure">{escape(name)}</th>' for name in shown)
    body = []
    linked = {name for _, name in labels if override(panel, name, "links")}
    for key, cells in ordered[:fitting]:
        row = "".join(
            f'<td class="{"link" if name in linked else ""}">{escape(value)}</td>'
            for value, (_, name) in zip(key, labels, strict=True)
        )
        for name in shown:
            text = _text(panel, cells[name], cells[name].last)[0] if name in cells else ""
            row += f'<td class="figure">{escape(text)}</td>'
        body.append(f"<tr>{row}</tr>")
    more = len(ordered) - fitting
    note = f'<div class="more">{more} more rows</div>' if more > 0 else ""
    return f"<table class='rows'><tr>{head}</tr>{''.join(body)}</table>{note}"
