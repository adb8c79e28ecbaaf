"""Reading PromQL: variables filled in, the parts of an expression, and the labels of its result."""

from collections.abc import Callable, Iterator
from functools import cache

import promql_parser as parser

from kit.instruments import TARGET_LABELS, series
from kit.panels import substitute

# The labels of a series, or `None` when nobody makes it.
Known = Callable[[str], set[str] | None]
# Durations that nobody writes, so that what stood for a variable is known after parsing.
RATE_INTERVAL = "7919s"
_VARIABLES = {"__rate_interval": RATE_INTERVAL, "__interval": "4517s", "__range": "6361s", "__from": "0", "__to": "1"}
# What is exposed by none of our targets, and the labels it has.
OTHER_SERIES = {
    "ALERTS": {"alertname", "alertstate", "severity", "service", "slo", "http_route", "channel", "pool_name", "volume"},
    "k6_": {"method", "name", "scenario", "status", "group", "expected_response", "url", "proto"},
    "slo:": {"slo"},
}


def fill(expression: str) -> str:
    """The expression with Grafana's durations and times filled in; what stands in quotes stays."""
    parts = expression.split('"')
    for index in range(0, len(parts), 2):
        parts[index] = substitute(parts[index], _VARIABLES)
    return '"'.join(parts)


@cache
def parse(expression: str) -> parser.Expr:
    """The expression's tree; `ValueError` or `KeyError` when it is no PromQL or has unknown variables."""
    return parser.parse(fill(expression))


def children(node: object) -> list[object]:
    """The parts of a node."""
    match node:
        case parser.AggregateExpr():
            return [node.expr] + ([node.param] if isinstance(node.param, parser.Expr) else [])
        case parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case parser.Call():
            return list(node.args)
        case parser.MatrixSelector():
            return [node.vector_selector]
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            return [node.expr]
    return []


def walk(node: object, above: tuple[object, ...] = ()) -> Iterator[tuple[object, tuple[object, ...]]]:
    """Every node with those above it, the outermost first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (*above, node))


def selectors(node: object) -> list[parser.VectorSelector]:
    """Every selector of an expression."""
    return [one for one, _ in walk(node) if isinstance(one, parser.VectorSelector)]


def series_labels(name: str) -> set[str] | None:
    """The labels of a series, or `None` when nobody makes it."""
    if name in series():
        return {*series()[name], *TARGET_LABELS}
    for prefix, labels in OTHER_SERIES.items():
        if name.startswith(prefix):
            return labels | set(TARGET_LABELS)
    return None


def _binary_labels(node: parser.BinaryExpr, known: Known) -> set[str] | None:
    left, right = result_labels(node.lhs, known), result_labels(node.rhs, known)
    if left is None or right is None:
        return left if right is None else right
    if str(node.op) == "or":
        return left | right
    if node.modifier is None or str(node.op) in {"and", "unless"}:
        return left
    matching, group = node.modifier.matching, set(node.modifier.group_labels or ())
    if node.modifier.card == parser.VectorMatchCardinality.OneToMany:
        return right | group
    if node.modifier.card == parser.VectorMatchCardinality.ManyToOne:
        return left | group
    if matching is None:
        return left
    return set(matching.labels) if matching.type == parser.LabelModifierType.Include else left - set(matching.labels)


def result_labels(node: object, known: Known = series_labels) -> set[str] | None:
    """The labels that an expression's result can have; `None` for a plain number. `known` gives those of a series."""
    match node:
        case parser.VectorSelector():
            return known(node.name or "") or set()
        case parser.NumberLiteral() | parser.StringLiteral():
            return None
        case parser.BinaryExpr():
            return _binary_labels(node, known)
        case parser.AggregateExpr():
            inside = result_labels(node.expr, known) or set()
            if str(node.op) in {"topk", "bottomk"}:
                return inside
            if node.modifier is None:
                return set()
            listed = set(node.modifier.labels)
            return inside & listed if node.modifier.type == parser.AggModifierType.By else inside - listed
        case parser.Call():
            if node.func.name in {"time", "scalar", "pi"}:
                return None
            if node.func.name == "label_replace":
                return (result_labels(node.args[0], known) or set()) | {node.args[1].val}
            if node.func.name == "absent":
                equal = [one for one in selectors(node)[0].matchers.matchers if one.op == parser.MatchOp.Equal]
                return {one.name for one in equal}
            arguments = (result_labels(one, known) for one in node.args)
            labels = next((one for one in arguments if one is not None), set())
            return labels - {"le"} if node.func.name == "histogram_quantile" else labels
    inside = children(node)
    return result_labels(inside[0], known) if inside else None
