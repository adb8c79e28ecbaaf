"""A dashboard as one page: the header with its variables, and each panel in its place of the grid."""

import time
from html import escape

from kit.drawing import cells, chart, colors, evaluate, figures
from kit.drawing.chart import Mark
from kit.drawing.evaluate import Line, Window
from kit.prometheus import PrometheusClient

WIDTH = 1360
MARGIN = 12
GAP = 6
ROW = 34
HEADER = 92
FOOTER = 34

STYLE = """
*{box-sizing:border-box;margin:0;padding:0}
body{background:#111217;color:#ccccdc;font:12px Inter,"Helvetica Neue",Helvetica,Arial,"DejaVu Sans",sans-serif;
width:%(width)dpx;position:relative}
svg{display:block} svg text{font-size:11px}
header{height:%(header)dpx;padding:12px %(margin)dpx 0}
header h1{font-size:18px;font-weight:500;display:flex;justify-content:space-between;color:#e8e8f0}
header h1 small{font-size:12px;color:#9fa2ab;font-weight:400}
header .variables{display:flex;gap:8px;margin-top:12px}
header .variables span{border:1px solid #2c2f36;background:#181b1f;border-radius:2px;padding:5px 9px}
header .variables b{font-weight:500;color:#9fa2ab;margin-right:7px}
header .marks{margin-left:auto;border:0!important;background:none!important;color:#9fa2ab}
header .marks i{display:inline-block;width:9px;height:9px;border-radius:2px;margin:0 5px 0 12px}
.row{position:absolute;left:%(margin)dpx;font-size:14px;font-weight:500;color:#ccccdc}
.panel{position:absolute;background:#181b1f;border:1px solid #25272e;border-radius:2px;overflow:hidden}
.panel h2{font-size:12.5px;font-weight:500;padding:6px 8px 5px;white-space:nowrap;overflow:hidden;height:28px}
.panel h2 i{font-style:normal;color:#6e7078;font-size:10px;border:1px solid #45474e;border-radius:50%%;
display:inline-block;width:13px;height:13px;line-height:11px;text-align:center;margin-left:5px}
.body{position:absolute;top:28px;left:0;right:0;bottom:0}
.stats{display:flex;gap:4px;padding:0 6px 6px}
.stat{position:relative;border-radius:2px;height:100%%;display:flex;flex-direction:column;justify-content:center;
align-items:center;overflow:hidden}
.stat .value{font-weight:500;position:relative;white-space:nowrap;line-height:1.15}
.stat .name{position:relative;font-size:12px;white-space:nowrap}
.stat[style*="background"]{color:#fff}
.spark{position:absolute;bottom:0;left:0}
table{border-collapse:collapse;width:100%%}
.legend{table-layout:fixed;margin:0 8px;width:calc(100%% - 16px)}
.legend td,.legend th{height:17px;font-size:11px;font-weight:400;text-align:left;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}
.legend th{color:#6e9fff} .legend .figure{width:74px}
.legend i{display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:7px;vertical-align:middle}
.figure{text-align:right!important;font-variant-numeric:tabular-nums}
.rows td,.rows th{height:20px;padding:0 9px;text-align:left;border-bottom:1px solid #25272e;white-space:nowrap;
overflow:hidden}
.rows th{color:#6e9fff;font-weight:500;height:23px} .rows .link{color:#6e9fff}
.more{position:absolute;bottom:2px;right:9px;color:#6e7078;font-size:11px;background:#181b1f;padding-left:6px}
.bar{display:flex;align-items:center;padding:0 9px;gap:8px}
.bar .label{width:38%%;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;text-align:right}
.bar .track{flex:1;background:#22252b;height:64%%;display:block} .bar .track i{display:block;height:100%%;opacity:.85}
.bar .figure{width:52px}
.beside{display:flex}
.empty{color:#9fa2ab;text-align:center;padding-top:12%%;font-size:15px}
footer{position:absolute;left:%(margin)dpx;right:%(margin)dpx;color:#8e9099;
border-top:1px solid #25272e;padding-top:8px}
"""

FIGURES = {"stat": figures.stat, "gauge": figures.gauge, "bargauge": figures.bargauge, "table": figures.table}
OVER_TIME = {"timeseries": chart.draw, "heatmap": cells.heatmap, "state-timeline": cells.timeline}


def annotations(client: PrometheusClient, dashboard: dict, window: Window) -> list[Mark]:
    """When builds were deployed, processes started and pages fired."""
    found = []
    for one in dashboard["annotations"]["list"]:
        if "expr" not in one:
            continue
        for series in client.query_range(window.fill(one["expr"]), window.start, window.end, window.step):
            at = series.value / 1000 if one.get("useValueForTime") else series.points[0][0]
            # What was there from the range's first moment did not happen in it.
            if window.start + window.step < at < window.end:
                found.append((at, colors.named(one["iconColor"])))
    return sorted(set(found))


def _panel(panel: dict, lines: list[Line], window: Window, found: list[Mark], width: float, height: float) -> str:
    kind = panel["type"]
    if not lines:
        text = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        return f'<div class="empty">{escape(text)}</div>'
    if kind in FIGURES:
        return FIGURES[kind](panel, lines, width, height)
    return OVER_TIME[kind](panel, lines, window, found, width, height)


def draw(client: PrometheusClient, dashboard: dict, window: Window, footer: str) -> tuple[str, int, list[str]]:
    """The page, its height, and the panels with a query that yielded nothing."""
    column = (WIDTH - 2 * MARGIN + GAP) / 24
    found = annotations(client, dashboard, window)
    drawn, empty, bottom = [], [], 0.0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, top = MARGIN + place["x"] * column, HEADER + place["y"] * ROW
        width, height = place["w"] * column - GAP, place["h"] * ROW - GAP
        bottom = max(bottom, top + height)
        title = escape(panel["title"])
        if panel["type"] == "row":
            drawn.append(f'<div class="row" style="top:{top + 6:.0f}px">⌄&ensp;{title}</div>')
            continue
        lines = evaluate.lines(client, panel, window)
        asked = {id(line.query) for line in lines}
        empty += [
            f"{panel['title']}: {target['legendFormat']}" for target in panel["targets"] if id(target) not in asked
        ]
        body = _panel(panel, lines, window, found, width - 2, height - 30)
        drawn.append(
            f'<div class="panel" style="left:{left:.0f}px;top:{top:.0f}px;width:{width:.0f}px;height:{height:.0f}px">'
            f'<h2>{title}<i>i</i></h2><div class="body">{body}</div></div>'
        )
    variables = "".join(
        f"<span><b>{escape(one['label'])}</b>{escape((one['current'].get('text') or ['Prometheus'])[0])}</span>"
        for one in dashboard["templating"]["list"]
    )
    legend = "".join(
        f'<i style="background:{colors.named(one["iconColor"])}"></i>{one["name"]}'
        for one in dashboard["annotations"]["list"]
        if "expr" in one
    )
    clock = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) for at in (window.start, window.end)]
    height = int(bottom) + FOOTER + 8
    style = STYLE % {"width": WIDTH, "margin": MARGIN, "header": HEADER}
    page = (
        f"<!doctype html><meta charset='utf-8'><title>{escape(dashboard['title'])}</title><style>{style}</style>"
        f"<body style='height:{height}px'><header><h1><span>{escape(dashboard['title'])}</span>"
        f"<small>{clock[0]} to {clock[1][11:]} UTC</small></h1>"
        f"<div class='variables'>{variables}<span class='marks'>{legend}</span></div></header>"
        f"{''.join(drawn)}<footer style='top:{int(bottom) + 8}px'>{escape(footer)}</footer></body>"
    )
    return page, height, empty
