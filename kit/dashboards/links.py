"""Links of panels: to runbooks, dashboards, single panels, and to logs and traces in Grafana's Explore."""

import json
import zlib
from urllib.parse import quote

from kit.paths import REPOSITORY_URL

# The uids under which deploy/grafana/provisioning/datasources/ makes the data sources of traces and logs.
TEMPO = "tempo"
LOKI = "loki"
KEEP = "${__url_time_range}&${datasource:queryparam}&${environment:queryparam}&${job:queryparam}&${instance:queryparam}"

Places = dict[str, dict[str, int]]


def panel_id(title: str) -> int:
    """The id of a panel: it comes from the title, so that it stays when panels move."""
    return zlib.crc32(title.encode()) % 99_991 + 1


def places(sources: dict[str, dict]) -> Places:
    """Per dashboard, the id of each panel by its title."""
    return {
        uid: {panel["title"]: panel_id(panel["title"]) for row in source["rows"] for panel in row["panels"]}
        for uid, source in sources.items()
    }


def dashboard_url(uid: str, panel: int | None = None) -> str:
    """A dashboard or one of its panels, with the time range and the variables kept."""
    return f"/d/{uid}?{KEEP}" + (f"&viewPanel=panel-{panel}" if panel else "")


def explore_url(uid: str, query: dict) -> str:
    """A query in Explore, over the dashboard's time range."""
    pane = {
        "datasource": uid,
        "queries": [{"refId": "A", "datasource": {"type": uid, "uid": uid}, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = quote(json.dumps({"a": pane}, separators=(",", ":")), safe="")
    for variable in ("__from", "__to"):
        panes = panes.replace(quote(f"${{{variable}}}", safe=""), f"${{{variable}}}")
    return f"/explore?schemaVersion=1&orgId=1&panes={panes}"


def build(link: dict, known: Places) -> dict:
    """One link as Grafana has it; a link to what is not there is an error."""
    match link:
        case {"runbook": name}:
            title, url = f"Runbook: {name}", f"{REPOSITORY_URL}/docs/runbooks/{name}.md"
        case {"dashboard": uid}:
            if uid not in known:
                raise ValueError(f"a link to the dashboard {uid}, which is not there")
            title, url = f"Dashboard: {uid}", dashboard_url(uid)
        case {"panel": target}:
            uid, _, name = target.partition("/")
            if name not in known.get(uid, {}):
                raise ValueError(f"a link to the panel {target}, which is not there")
            title, url = f"Panel: {name}", dashboard_url(uid, known[uid][name])
        case {"logs": query}:
            title, url = "Logs", explore_url(LOKI, {"expr": query, "queryType": "range"})
        case {"traces": query}:
            title, url = "Traces", explore_url(TEMPO, {"query": query, "queryType": "traceql", "limit": 20})
        case _:
            raise ValueError(f"a link that leads nowhere: {link}")
    return {"title": link.get("title", title), "url": url, "targetBlank": not url.startswith("/d/")}
