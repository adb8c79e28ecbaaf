"""The rules of Grafana's dashboard-linter, written anew; none is waived.

Where the original looks at some types of panels only, these look at all of them. `check` also runs our own rules,
of `kit.checks_dashboards_own`.
"""

import re
from collections.abc import Callable, Iterator

import promql_parser as parser

from kit import checks_dashboards_own as own
from kit.checks_dashboards_own import Dashboard, Finding, committed, each_panel, each_target, tree, variables
from kit.dashboards import explore, promql

# Grafana's ids of units that a panel of a service can need; the original's list has more (currencies, radiation).
UNITS = {
    *("none", "string", "short", "percent", "percentunit", "bytes", "decbytes", "bits", "Bps", "bps", "pps", "bool"),
    *("ns", "µs", "ms", "s", "m", "h", "d", "dtdurationms", "dtdurations", "dateTimeAsIso", "dateTimeFromNow"),
    *("cps", "ops", "reqps", "rps", "wps", "iops", "cpm", "opm", "rpm", "wpm", "hertz", "celsius"),
}
DATASOURCES = {"$datasource", "${datasource}"}


def template_datasource_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """There is one data source variable, `datasource`, labeled "Data source"."""
    found = [one for one in variables(dashboard) if one["type"] == "datasource"]
    if [(one["name"], one.get("label")) for one in found] != [("datasource", "Data source")]:
        yield "", "needs one data source variable named 'datasource' and labeled 'Data source'"


def _template(dashboard: Dashboard, name: str) -> Iterator[Finding]:
    found = next((one for one in variables(dashboard) if one["name"] == name), None)
    if found is None:
        yield "", f"is missing the variable {name}"
        return
    wanted = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+"}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield "", f"the variable {name} has {key} {found.get(key)!r}, not {value!r}"
    if (found.get("datasource") or {}).get("uid") not in DATASOURCES:
        yield "", f"the variable {name} does not ask the chosen data source"


def template_job_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """The variable `job` is a query of the chosen data source, multi-valued, with `.+` for all."""
    yield from _template(dashboard, "job")


def template_instance_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """The variable `instance` likewise."""
    yield from _template(dashboard, "instance")


def template_label_promql_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """A query variable is `label_values(SELECTOR, label)` or another known function, of PromQL that parses."""
    for one in variables(dashboard):
        if one["type"] != "query":
            continue
        query = one["query"]["query"] if isinstance(one["query"], dict) else one["query"]
        call = re.fullmatch(r"(\w+)\((.+?)(?:,\s*(\w+))?\)", query)
        if call is None or call.group(1) not in {"label_names", "label_values", "metrics", "query_result"}:
            yield "", f"the variable {one['name']} asks {query!r}, which is no known function"
        elif tree(call.group(2)) is None:
            yield "", f"the variable {one['name']} asks {query!r}, which is no PromQL"


def template_on_time_change_reload_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Query variables are read again when the time range changes."""
    for one in variables(dashboard):
        if one["type"] == "query" and one.get("refresh") != 2:
            yield "", f"the variable {one['name']} is not read again when the time range changes"


def panel_datasource_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every panel, and every query in it, asks the chosen data source."""
    for panel in each_panel(dashboard):
        asked = [panel.get("datasource"), *(target.get("datasource") for target in panel.get("targets", []))]
        for one in asked:
            if (one or {}).get("uid") not in DATASOURCES:
                yield panel["title"], "does not ask the chosen data source"


def panel_title_description_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every panel has a title and a description."""
    for panel in each_panel(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title") or f"panel {panel.get('id')}", "has no title or no description"


def panel_units_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every panel, and every override, has a unit that Grafana knows."""
    for panel in each_panel(dashboard):
        config = panel.get("fieldConfig", {})
        units = [config.get("defaults", {}).get("unit")]
        for override in config.get("overrides", []):
            units += [one["value"] for one in override["properties"] if one["id"] == "unit"]
        for unit in units:
            if unit not in UNITS:
                yield panel["title"], f"has no valid unit: {unit!r}"


def panel_no_targets_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every panel asks something."""
    for panel in each_panel(dashboard):
        if not panel.get("targets"):
            yield panel["title"], "has no query"


def target_promql_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every query parses once the variables are filled in."""
    for panel, target in each_target(dashboard):
        if tree(target.get("expr", "")) is None:
            yield panel["title"], f"is no PromQL: {target.get('expr')}"


def _explored(dashboard: Dashboard, uid: str) -> Iterator[tuple[str, dict]]:
    for where, url in own.each_link(dashboard):
        for query in own.explored(url):
            if query["datasource"]["uid"] == uid:
                yield where, query
    for panel, target in each_target(dashboard):
        if (target.get("datasource") or {}).get("type") == uid:
            yield panel["title"], target


def target_logql_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every log query parses, in panels and in links to Explore; and so does every search for traces."""
    for where, query in _explored(dashboard, "loki"):
        # A rate over log lines is written in the metric form, which the next rule looks at.
        if not explore.is_logql(re.sub(r"^\w+\((.+)\[[^\]]+\]\)$", r"\1", query.get("expr", ""))):
            yield where, f"is no LogQL: {query.get('expr')}"
    for where, query in _explored(dashboard, "tempo"):
        if not explore.is_traceql(query.get("query", "")):
            yield where, f"is no TraceQL: {query.get('query')}"


def target_logql_auto_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """A log query over a range leaves the range to Grafana."""
    for where, query in _explored(dashboard, "loki"):
        if any(
            span != "$__auto" for span in re.findall(r"\[([^\]]+)\]", re.sub(r'"[^"]*"', "", query.get("expr", "")))
        ):
            yield where, f"uses a fixed range, not $__auto: {query['expr']}"


def target_rate_interval_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """`rate` and `irate` are over `$__rate_interval`."""
    for panel, target in each_target(dashboard):
        for node, above in promql.walk(tree(target["expr"])):
            if not isinstance(node, parser.MatrixSelector):
                continue
            call = above[-1] if above else None
            if not isinstance(call, parser.Call):
                yield panel["title"], f"has a range outside a function: {target['expr']}"
            elif call.func.name in {"rate", "irate"} and node.range != parser.parse_duration(promql.RATE_INTERVAL):
                yield panel["title"], f"should use $__rate_interval: {target['expr']}"


def _matcher(dashboard: Dashboard, label: str) -> Iterator[Finding]:
    for panel, target in each_target(dashboard):
        for selector in promql.selectors(tree(target["expr"])):
            if own.of_no_target(selector.name or ""):
                continue
            matchers = [(one.op, one.value) for one in selector.matchers.matchers if one.name == label]
            if (parser.MatchOp.Re, f"${label}") not in matchers:
                yield panel["title"], f'{selector.name} has no matcher {label}=~"${label}"'


def target_job_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every series of a target is matched with `job=~"$job"`; the others are for `series-of-no-target-rule`."""
    yield from _matcher(dashboard, "job")


def target_instance_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Every series of a target is matched with `instance=~"$instance"`, likewise."""
    yield from _matcher(dashboard, "instance")


def target_environment_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """Ours, of the same kind: every series of a target is matched with `environment=~"$environment"`."""
    yield from _matcher(dashboard, "environment")


def target_counter_agg_rule(dashboard: Dashboard) -> Iterator[Finding]:
    """A counter, a histogram's series included, is read through `rate`, `irate` or `increase`."""
    for panel, target in each_target(dashboard):
        for node, above in promql.walk(tree(target["expr"])):
            if not isinstance(node, parser.VectorSelector) or not own.is_counter(node.name or ""):
                continue
            call = above[-2] if len(above) > 1 and isinstance(above[-1], parser.MatrixSelector) else None
            if not isinstance(call, parser.Call) or call.func.name not in {"rate", "irate", "increase"}:
                yield panel["title"], f"the counter {node.name} is not in rate, irate or increase"


def uneditable_dashboard(dashboard: Dashboard) -> Iterator[Finding]:
    """A dashboard that is generated cannot be edited in place."""
    if dashboard.get("editable") is not False:
        yield "", "is editable"


# Every rule of dashboard-linter, under its name there.
LINTER: dict[str, Callable[[Dashboard], Iterator[Finding]]] = {
    "template-datasource-rule": template_datasource_rule,
    "template-job-rule": template_job_rule,
    "template-instance-rule": template_instance_rule,
    "template-label-promql-rule": template_label_promql_rule,
    "template-on-time-change-reload-rule": template_on_time_change_reload_rule,
    "panel-datasource-rule": panel_datasource_rule,
    "panel-title-description-rule": panel_title_description_rule,
    "panel-units-rule": panel_units_rule,
    "panel-no-targets-rule": panel_no_targets_rule,
    "target-logql-rule": target_logql_rule,
    "target-logql-auto-rule": target_logql_auto_rule,
    "target-promql-rule": target_promql_rule,
    "target-rate-interval-rule": target_rate_interval_rule,
    "target-job-rule": target_job_rule,
    "target-instance-rule": target_instance_rule,
    "target-counter-agg-rule": target_counter_agg_rule,
    "uneditable-dashboard": uneditable_dashboard,
}
CHECKS = {**LINTER, "target-environment-rule": target_environment_rule, **own.CHECKS}


def findings(dashboard: Dashboard, names: list[str] | None = None) -> list[str]:
    """What the rules find in one dashboard; a query that does not parse is left to `target-promql-rule`."""
    broken = list(target_promql_rule(dashboard))
    found = []
    for name in names or list(CHECKS):
        if broken and name not in {"target-promql-rule", *own.WITHOUT_QUERIES}:
            continue
        for where, what in CHECKS[name](dashboard):
            found.append(f"dashboards/{dashboard.get('uid')}.json: {name}: {where + ': ' if where else ''}{what}")
    return found


def check() -> list[str]:
    """What is wrong with the committed dashboards."""
    dashboards = committed()
    found = [one for dashboard in dashboards.values() for one in findings(dashboard)]
    return found + own.across(dashboards)
