"""Our own rules for dashboards: what they show is there, where they lead is there, and everything is shown."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from urllib.parse import parse_qs, unquote, urlsplit

import promql_parser as parser
import yaml

from kit.dashboards import promql
from kit.instruments import instrument_of, instruments, values_of
from kit.paths import ALERTS, DASHBOARDS, REPOSITORY_URL, ROOT

Dashboard = dict
Finding = tuple[str, str]

# Series that no scrape of a replica yields, so that they have no `job` or `instance` to be matched; each with what
# it must be matched with instead.
OF_NO_TARGET = {
    # Recorded over all replicas of an environment; the budget is a constant.
    r"slo:(?!objective|error_budget:).*": "environment",
    r"slo:(objective|error_budget):ratio": "slo",
    # Made by Prometheus for each alert, with the alert's labels.
    r"ALERTS": "environment",
    # Pushed by the load generator, which is no replica.
    r"k6_.*": None,
}
# Rules that look at no query.
WITHOUT_QUERIES = {
    "template-datasource-rule",
    "panel-title-description-rule",
    "panel-units-rule",
    "uneditable-dashboard",
}


def committed() -> dict[str, Dashboard]:
    """The dashboards' files by uid."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def variables(dashboard: Dashboard) -> list[dict]:
    """The variables of a dashboard."""
    return dashboard.get("templating", {}).get("list", [])


def each_panel(dashboard: Dashboard) -> list[dict]:
    """Every panel, those in collapsed rows included, without the rows themselves."""
    found = []
    for panel in dashboard.get("panels", []):
        found += panel.get("panels", []) if panel["type"] == "row" else [panel]
    return found


def each_target(dashboard: Dashboard) -> list[tuple[dict, dict]]:
    """Every query with its panel."""
    return [(panel, target) for panel in each_panel(dashboard) for target in panel.get("targets", [])]


def tree(expression: str) -> parser.Expr | None:
    """The expression's tree, or `None` when it is no PromQL."""
    try:
        return promql.parse(expression)
    except (ValueError, KeyError):
        return None


def of_no_target(name: str) -> bool:
    """Whether a series is of no replica."""
    return any(re.fullmatch(pattern, name) for pattern in OF_NO_TARGET)


def is_counter(name: str) -> bool:
    """Whether a series only grows."""
    instrument = instrument_of(name)
    return name.endswith("_total") if instrument is None else instrument.kind != "gauge"


def each_link(dashboard: Dashboard) -> list[tuple[str, str]]:
    """Every address that a panel, a series or a column leads to, with its panel's title."""
    found = []
    for panel in each_panel(dashboard):
        links = [*panel.get("links", []), *panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])]
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            links += [link for one in override["properties"] if one["id"] == "links" for link in one["value"]]
        found += [(panel["title"], link["url"]) for link in links]
    return found


def explored(url: str) -> list[dict]:
    """The queries of a link to Explore."""
    if not url.startswith("/explore?"):
        return []
    panes = json.loads(unquote(parse_qs(urlsplit(url).query)["panes"][0]))
    return [query for pane in panes.values() for query in pane["queries"]]


def series_of_no_target_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """What is of no replica is matched with the label it has instead of `job` and `instance`."""
    for panel, target in each_target(dashboard):
        for selector in promql.selectors(tree(target["expr"])):
            for pattern, label in OF_NO_TARGET.items():
                if not label or not re.fullmatch(pattern, selector.name or ""):
                    continue
                values = {one.name: one.value for one in selector.matchers.matchers}
                if label not in values or (label == "environment" and values[label] != "$environment"):
                    yield panel["title"], f"{selector.name} has no matcher of {label}"


def panel_legend_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every query has a legend, and the legend's labels are in its result."""
    for panel, target in each_target(dashboard):
        legend = target.get("legendFormat") or ""
        if not legend or legend == "__auto":
            yield panel["title"], f"has no legend: {target['expr']}"
        has = promql.result_labels(tree(target["expr"])) or set()
        for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", legend):
            if label not in has:
                yield panel["title"], f"the legend has {label}, the result has {sorted(has)}"


def panel_description_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """A description says what is normal."""
    for panel in each_panel(dashboard):
        if "Normal:" not in panel.get("description", ""):
            yield panel["title"], "the description does not say what is normal"


def panel_place_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Panels lie within the grid and over no other."""
    places = []
    for panel in [*(one for one in dashboard["panels"] if one["type"] == "row"), *each_panel(dashboard)]:
        place = panel["gridPos"]
        if place["x"] < 0 or place["w"] < 1 or place["h"] < 1 or place["x"] + place["w"] > 24:
            yield panel["title"], f"lies outside the grid: {place}"
        places.append((panel["title"], place))
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        if not beside and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]:
            yield one, f"lies over {other}"


def unique_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """No two panels share a title or an id, and no two queries of a panel a name."""
    rows = [one for one in dashboard["panels"] if one["type"] == "row"]
    for key, listed in (("title", each_panel(dashboard)), ("id", [*rows, *each_panel(dashboard)])):
        seen = [one[key] for one in listed]
        for value in sorted({str(one) for one in seen if seen.count(one) > 1}):
            yield "", f"two panels have the {key} {value}"
    for panel in each_panel(dashboard):
        names = [target.get("refId") for target in panel.get("targets", [])]
        if len(names) != len(set(names)):
            yield panel["title"], "two queries have the same refId"


def links_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every link leads to a dashboard, a panel, a runbook or a query that is there."""
    known = {uid: {str(panel["id"]) for panel in each_panel(one)} for uid, one in committed().items()}
    for where, url in each_link(dashboard):
        if url.startswith("/d/"):
            uid = url.removeprefix("/d/").partition("?")[0]
            shown = re.search(r"viewPanel=panel-(\d+)", url)
            if uid not in known:
                yield where, f"leads to the dashboard {uid}, which is not there"
            elif shown and shown.group(1) not in known[uid]:
                yield where, f"leads to the panel {shown.group(1)} of {uid}, which is not there"
        elif url.startswith(REPOSITORY_URL):
            path = url.removeprefix(REPOSITORY_URL + "/")
            if "${" not in path and not (ROOT / path).is_file():
                yield where, f"leads to {path}, which is not there"
        elif not explored(url):
            yield where, f"leads out of the kit: {url}"


def _known_labels(selector: parser.VectorSelector) -> Iterator[str]:
    has = promql.series_labels(selector.name or "")
    instrument = instrument_of(selector.name or "")
    for one in selector.matchers.matchers:
        if has is not None and one.name not in has:
            yield f"{selector.name} has no label {one.name}"
        values = values_of(instrument.name, one.name) if instrument else None
        if values is None or one.value.startswith("$"):
            continue
        plain = one.op in (parser.MatchOp.Equal, parser.MatchOp.NotEqual)
        for word in [one.value] if plain else _alternatives(one.value):
            if word and word not in values and (plain or not any(re.fullmatch(word, value) for value in values)):
                yield f'{selector.name} never has {one.name}="{word}"'


def _alternatives(pattern: str) -> list[str]:
    """The words of `a|b`; a pattern with groups is one word."""
    return [pattern] if "(" in pattern else pattern.split("|")


@cache
def recorded() -> frozenset[str]:
    """The names of all recording rules."""
    found = set()
    for path in ALERTS.glob("*.rules.yaml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found |= {rule["record"] for rule in group["rules"] if "record" in rule}
    return frozenset(found)


def known_series_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every series, label and label value is one that the service, Prometheus, a recording rule or k6 makes."""
    asked = [(panel["title"], target["expr"]) for panel, target in each_target(dashboard)]
    marks = dashboard.get("annotations", {}).get("list", [])
    asked += [(f"annotation {mark['name']}", mark["expr"]) for mark in marks if "expr" in mark]
    for where, expression in asked:
        if (parsed := tree(expression)) is None:
            yield where, f"is no PromQL: {expression}"
            continue
        for selector in promql.selectors(parsed):
            name = selector.name or ""
            if promql.series_labels(name) is None or (":" in name and name not in recorded()):
                yield where, f"nobody makes {name or 'a series without a name'}"
            for what in _known_labels(selector):
                yield where, what
        for node, _ in promql.walk(parsed):
            if isinstance(node, parser.AggregateExpr) and node.modifier is not None:
                for label in set(node.modifier.labels) - (promql.result_labels(node.expr) or set()):
                    yield where, f"groups by {label}, which is not there: {expression}"


CHECKS: dict[str, Callable[[Dashboard], Iterator[Finding]]] = {
    "series-of-no-target-rule": series_of_no_target_rule,
    "panel-legend-rule": panel_legend_rule,
    "panel-description-rule": panel_description_rule,
    "panel-place-rule": panel_place_rule,
    "unique-rule": unique_rule,
    "links-rule": links_rule,
    "known-series-rule": known_series_rule,
}


def across(dashboards: dict[str, Dashboard]) -> list[str]:
    """What only all dashboards together show: names that differ from files, and metrics that nobody looks at."""
    found = [
        f"dashboards/{stem}.json: has the uid {one['uid']}" for stem, one in dashboards.items() if one["uid"] != stem
    ]
    used = set()
    for dashboard in dashboards.values():
        for _, target in each_target(dashboard):
            used |= {selector.name for selector in promql.selectors(tree(target["expr"]))}
    for instrument in instruments().values():
        if not used & set(instrument.series()):
            found.append(f"docs/metrics.md: {instrument.name} is on no dashboard")
    return found
