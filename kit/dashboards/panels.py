"""One panel of Grafana from one panel of a source."""

from kit.dashboards import links, queries, thresholds
from kit.dashboards.kinds import KINDS

KEYS = {
    *("title", "description", "kind", "unit", "width", "height", "queries", "thresholds", "links", "series_links"),
    *("mappings", "decimals", "min", "max", "stack", "bars", "log", "legend_at", "calcs", "graph", "text", "sort"),
    *("colors", "columns", "no_value"),
}


def _target(index: int, query: dict, kind: str) -> dict:
    instant = kind in {"table", "bargauge", "gauge"}
    target = {
        "datasource": queries.DATASOURCE,
        "editorMode": "code",
        "expr": queries.expression(query),
        "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
        "instant": instant,
        "range": not instant,
        "legendFormat": query["legend"],
        "refId": chr(ord("A") + index),
    }
    if query.get("exemplars"):
        target["exemplar"] = True
    return target


def _mappings(words: dict) -> list[dict]:
    """Words and colors for values: `{0: [red, failing], 1: [green, passing]}`."""
    options = {
        str(value): {"color": color, "index": index, "text": text}
        for index, (value, (color, text)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


def _overrides(panel: dict, known: links.Places) -> list[dict]:
    found = []
    for name, color in panel.get("colors", {}).items():
        properties = [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]
        found.append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    units = {query["legend"]: query["unit"] for query in panel["queries"] if "unit" in query}
    for name, unit in units.items():
        properties = [{"id": "unit", "value": unit}]
        found.append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    for label, column in panel.get("columns", {}).items():
        if isinstance(column, dict) and "link" in column:
            properties = [{"id": "links", "value": [_series_link(column["link"], known)]}]
            found.append({"matcher": {"id": "byName", "options": column["name"]}, "properties": properties})
        elif not label:
            raise ValueError(f"{panel['title']}: a column without a label")
    return found


def _series_link(link: dict, known: links.Places) -> dict:
    """A link on a series or cell; `with` adds variables taken from it to the address."""
    built = links.build(link, known)
    for variable, value in link.get("with", {}).items():
        built["url"] += f"&var-{variable}={value}"
    return built


def _transformations(panel: dict) -> list[dict]:
    """A table's columns: labels first, then one for each query, named by its legend."""
    columns = panel.get("columns", {})
    names = {label: column["name"] if isinstance(column, dict) else column for label, column in columns.items()}
    many = len(panel["queries"]) > 1
    for index, query in enumerate(panel["queries"]):
        names[f"Value #{chr(ord('A') + index)}" if many else "Value"] = query["legend"]
    order = {name: index for index, name in enumerate(names)}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names, "includeByName": {}}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def build(panel: dict, known: links.Places) -> dict:
    """The panel without its place in the grid."""
    if unknown := set(panel) - KEYS:
        raise ValueError(f"{panel.get('title')}: unknown keys {sorted(unknown)}")
    kind = panel["kind"]
    custom, options = KINDS[kind](panel)
    steps = thresholds.steps(panel.get("thresholds", {}))
    by_threshold = kind in {"stat", "gauge", "bargauge", "state-timeline", "table"} and "thresholds" in panel
    plain = {"mode": "palette-classic-by-name" if kind == "timeseries" else "palette-classic"}
    defaults = {
        "color": {"mode": "thresholds"} if by_threshold else plain,
        "custom": custom,
        "unit": panel["unit"],
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    for key, name in (("decimals", "decimals"), ("min", "min"), ("max", "max"), ("no_value", "noValue")):
        if key in panel:
            defaults[name] = panel[key]
    if "mappings" in panel:
        defaults["mappings"] = _mappings(panel["mappings"])
    if "series_links" in panel:
        defaults["links"] = [_series_link(link, known) for link in panel["series_links"]]
    built = {
        "id": links.panel_id(panel["title"]),
        "type": kind,
        "title": panel["title"],
        "description": panel["description"].strip(),
        "datasource": queries.DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel, known)},
        "options": options,
        "targets": [_target(index, query, kind) for index, query in enumerate(panel["queries"])],
    }
    if "links" in panel:
        built["links"] = [links.build(link, known) for link in panel["links"]]
    if kind == "table":
        built["transformations"] = _transformations(panel)
    return built
