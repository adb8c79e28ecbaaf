"""A whole dashboard: its rows laid out, its variables, annotations and links."""

from kit.dashboards import links, panels
from kit.dashboards.annotations import annotations
from kit.dashboards.variables import variables

# The classic model's version of Grafana 12.2 and later; Grafana migrates it when it reads it.
SCHEMA_VERSION = 42
COLUMNS = 24
HEIGHTS = {"stat": 4, "gauge": 6}


def _lay_out(row: dict, top: int, known: links.Places) -> tuple[list[dict], int]:
    """The panels of a row from left to right, in lines as high as their highest panel."""
    built, left, height = [], 0, 0
    for panel in row["panels"]:
        width, high = panel.get("width", 8), panel.get("height", HEIGHTS.get(panel["kind"], 8))
        if left + width > COLUMNS:
            top, left, height = top + height, 0, 0
        one = panels.build(panel, known)
        one["gridPos"] = {"h": high, "w": width, "x": left, "y": top}
        built.append(one)
        left, height = left + width, max(height, high)
    return built, top + height


def _rows(source: dict, known: links.Places) -> list[dict]:
    found, top = [], 0
    for row in source["rows"]:
        collapsed = row.get("collapsed", False)
        inside, bottom = _lay_out(row, top + 1, known)
        head = {
            "id": links.panel_id("row " + row["title"]),
            "type": "row",
            "title": row["title"],
            "collapsed": collapsed,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": inside if collapsed else [],
        }
        found.append(head)
        if not collapsed:
            found += inside
        top = top + 1 if collapsed else bottom
    return found


def _navigation() -> list[dict]:
    """One menu to the other dashboards, time range and variables kept."""
    menu = {
        "type": "dashboards",
        "title": "Convoke",
        "tags": ["convoke"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
    return [menu]


def build(uid: str, source: dict, known: links.Places) -> dict:
    """The dashboard as Grafana imports or provisions it."""
    return {
        "uid": uid,
        "title": source["title"],
        "description": source["description"].strip(),
        "tags": ["convoke", *source.get("tags", [])],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "preload": False,
        "refresh": "30s",
        "time": {"from": source.get("from", "now-1h"), "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m"]},
        "annotations": {"list": annotations()},
        "templating": {"list": variables(source.get("variables", []))},
        "links": _navigation(),
        "panels": _rows(source, known),
    }
