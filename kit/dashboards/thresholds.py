"""Thresholds of panels: numbers, or those of an alert rule, so that a line on a panel is where the alert is."""

from functools import cache

import promql_parser
import yaml

from kit.paths import ALERTS


@cache
def _alerts() -> dict[str, str]:
    found = {}
    for path in sorted(ALERTS.glob("*.rules.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found |= {rule["alert"]: rule["expr"] for rule in group["rules"] if "alert" in rule}
    return found


def _compared(node: object) -> list[float]:
    """The numbers with which the outermost comparisons of an expression compare."""
    if isinstance(node, promql_parser.ParenExpr):
        return _compared(node.expr)
    if not isinstance(node, promql_parser.BinaryExpr):
        return []
    if isinstance(node.rhs, promql_parser.NumberLiteral) and str(node.op) in {">", ">=", "<", "<=", "==", "!="}:
        return [node.rhs.val]
    return _compared(node.lhs) + _compared(node.rhs)


def of_alert(name: str) -> float:
    """The number with which an alert compares first."""
    if name not in _alerts():
        raise ValueError(f"a threshold of the alert {name}, which is not there")
    numbers = _compared(promql_parser.parse(_alerts()[name]))
    if not numbers:
        raise ValueError(f"the alert {name} compares with no number")
    return numbers[0]


def steps(thresholds: dict) -> list[dict]:
    """Grafana's steps: the base color, then each color from its value on, in rising order."""
    found = []
    for color, value in thresholds.items():
        if color != "base":
            number = of_alert(value["alert"]) * value.get("times", 1) if isinstance(value, dict) else value
            found.append({"color": color, "value": number})
    base = {"color": thresholds.get("base", "green"), "value": None}
    return [base, *sorted(found, key=lambda step: step["value"])]
