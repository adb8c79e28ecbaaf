"""Marks on every time axis: deployments, restarts, and pages that fired."""

from kit.dashboards.queries import DATASOURCE, with_matchers

# A build that was not there a minute and a half before, at a 15 s scrape six samples, was deployed.
_DEPLOYED = (
    "count by (environment, version, revision) (build_info) "
    "unless count by (environment, version, revision) (build_info offset 90s)"
)


def _mark(name: str, color: str, expression: str, title: str, text: str, **more: object) -> dict:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expression,
        "step": "15s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
        **more,
    }


def annotations() -> list[dict]:
    """The annotations of every dashboard."""
    built_in = {
        "name": "Annotations & Alerts",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "builtIn": 1,
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "type": "dashboard",
    }
    firing = 'ALERTS{alertname=~"Convoke.*", alertstate="firing", severity="page", environment=~"$environment"}'
    return [
        built_in,
        _mark("Deployments", "blue", with_matchers(_DEPLOYED), "Deployed", "{{version}} {{revision}} {{environment}}"),
        _mark(
            "Restarts",
            "purple",
            # The mark stands where the process began, not where it was first scraped.
            with_matchers("process_start_time_seconds * 1000 >= $__from"),
            "Restarted",
            "{{instance}}",
            useValueForTime="on",
        ),
        _mark("Pages", "red", firing, "{{alertname}}", "{{environment}} {{instance}}"),
    ]
