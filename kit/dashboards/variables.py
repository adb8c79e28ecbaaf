"""The variables at the top of every dashboard; each narrows those after it."""

from kit.dashboards.queries import DATASOURCE

ALL = {"text": ["All"], "value": ["$__all"]}

# `up` is there even for a target that does not answer, which is when these dashboards are opened.
_QUERIES = {
    "environment": ("Environment", "label_values(up, environment)", ".*", ALL),
    "job": (
        "Job",
        'label_values(up{environment=~"$environment"}, job)',
        ".+",
        {"text": ["convoke"], "value": ["convoke"]},
    ),
    "instance": ("Instance", 'label_values(up{environment=~"$environment", job=~"$job"}, instance)', ".+", ALL),
    "route": (
        "Route",
        "label_values(http_server_requests_cancelled_total"
        '{environment=~"$environment", job=~"$job", instance=~"$instance"}, http_route)',
        ".+",
        ALL,
    ),
}


def _datasource() -> dict:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
        "refresh": 1,
        "hide": 0,
        "skipUrlSync": False,
    }


def _query(name: str) -> dict:
    label, query, all_value, current = _QUERIES[name]
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "regex": "",
        "multi": True,
        "includeAll": True,
        "allValue": all_value,
        "current": {"selected": True, **current},
        "options": [],
        # When the time range changes: an instance that was replaced yesterday is found in yesterday's range.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "skipUrlSync": False,
    }


def variables(more: list[str]) -> list[dict]:
    """The variables of a dashboard: those that all have, then its own."""
    return [_datasource(), *(_query(name) for name in ("environment", "job", "instance", *more))]
