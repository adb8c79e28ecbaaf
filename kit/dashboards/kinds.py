"""What each kind of panel adds to Grafana's JSON: its options and how it draws its series."""

REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
TOOLTIP = {"mode": "multi", "sort": "desc"}


def _timeseries(panel: dict) -> tuple[dict, dict]:
    stack = panel.get("stack", False)
    custom = {
        "drawStyle": "bars" if panel.get("bars") else "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 100 if panel.get("bars") else (40 if stack else 8),
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "dashed" if "thresholds" in panel else "off"},
    }
    if panel.get("log"):
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    legend = {
        "showLegend": True,
        "displayMode": "table",
        "placement": panel.get("legend_at", "bottom"),
        "calcs": panel.get("calcs", ["lastNotNull", "max"]),
        "sortBy": "Max",
        "sortDesc": True,
    }
    return custom, {"legend": legend, "tooltip": TOOLTIP}


def _stat(panel: dict) -> tuple[dict, dict]:
    options = {
        "reduceOptions": REDUCE,
        "colorMode": "background" if "thresholds" in panel or "mappings" in panel else "value",
        "graphMode": "none" if panel.get("graph") is False else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": panel.get("text", "auto"),
        "wideLayout": True,
    }
    return {}, options


def _gauge(_panel: dict) -> tuple[dict, dict]:
    options = {
        "reduceOptions": REDUCE,
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
    }
    return {}, options


def _bargauge(_panel: dict) -> tuple[dict, dict]:
    options = {
        "reduceOptions": REDUCE,
        "displayMode": "gradient",
        "orientation": "horizontal",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
    }
    return {}, options


def _heatmap(panel: dict) -> tuple[dict, dict]:
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": panel["unit"]},
    }
    return {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}, options


def _table(panel: dict) -> tuple[dict, dict]:
    options = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "reducer": ["sum"], "fields": ""}}
    if "sort" in panel:
        options["sortBy"] = [{"displayName": panel["sort"], "desc": True}]
    return {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}, options


def _state_timeline(_panel: dict) -> tuple[dict, dict]:
    options = {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return {"fillOpacity": 75, "lineWidth": 0}, options


KINDS = {
    "timeseries": _timeseries,
    "stat": _stat,
    "gauge": _gauge,
    "bargauge": _bargauge,
    "heatmap": _heatmap,
    "table": _table,
    "state-timeline": _state_timeline,
}
