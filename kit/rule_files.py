"""Writes rule files of Prometheus, and what all alerts of the project have in common."""

import textwrap
from typing import Any

import yaml

from kit.paths import REPOSITORY_URL

Rule = dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Queries over several lines stay readable, and nothing is abbreviated with anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def annotations(alert: str, summary: str, description: str, dashboard: str) -> dict[str, str]:
    """The annotations that every alert has; `dashboard` is the uid of the dashboard to look at first."""
    return {
        "summary": summary,
        "description": description,
        "runbook_url": f"{REPOSITORY_URL}/docs/runbooks/{alert}.md",
        "dashboard_url": f"/d/{dashboard}",
    }


def as_written(query: str) -> str:
    """A query as the source file has it, without the indentation and the line end that YAML leaves."""
    return textwrap.dedent(query).strip()


def generated(source: str, body: object) -> str:
    """The text of a generated YAML file."""
    text = yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)
    return f"# Generated from {source}; change it there, then `make docs`.\n{text}"


def rule_file(source: str, groups: list[dict[str, Any]]) -> str:
    """The text of a rule file."""
    return generated(source, {"groups": groups})
