"""Small changes to a PromQL query, each of which changes what it means."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from kit import durations

COMPARATORS = {
    ">": (">=", "<", "=="),
    ">=": (">", "<", "=="),
    "<": ("<=", ">", "=="),
    "<=": ("<", ">", "=="),
    "==": ("!=", ">", "<"),
    "!=": ("==",),
}
NEGATED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
AGGREGATIONS = {"sum": "min", "max": "min", "min": "max", "avg": "max"}
SET_OPERATORS = {"and": ("or", "unless"), "or": ("and",), "unless": ("and", "or")}

_NUMBER = re.compile(r"(?<![\w.:])\d+(\.\d+)?(?![\w.:])")
_RANGE = re.compile(r"\[([0-9a-z]+)\]")
_COMPARATOR = re.compile(r"==|!=|>=|<=|>|<")
_WORD = re.compile(r"\b(and|or|unless)\b")
_LABELS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right) \(([^)]*)\)")
_AGGREGATION = re.compile(r"\b(sum|max|min|avg)(?= by \(|\()")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


@dataclass(frozen=True)
class Change:
    """A query that differs from the original in one place."""

    what: str
    query: str


def _masked(query: str) -> str:
    """The query with all that stands in quotation marks, braces or brackets blanked out; every position stays."""
    return re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", lambda part: " " * len(part[0]), query)


def _replaced(query: str, start: int, end: int, text: str) -> str:
    return query[:start] + text + query[end:]


def _line(query: str, position: int) -> str:
    return f"line {query.count(chr(10), 0, position) + 1}" if "\n" in query else "the query"


def near(number: str) -> list[str]:
    """The numbers just below and just above: by a twentieth, and where it is whole by one at least."""
    if "." not in number:
        step = max(1, int(number) // 20)
        return [str(int(number) - step), str(int(number) + step)]
    return [f"{float(number) * factor:.10g}" for factor in (0.95, 1.05)]


def operand_end(masked: str, start: int) -> int:
    """Where the right side of a set operator ends: at the next one, or at the bracket that holds it."""
    depth = 0
    for position in range(start, len(masked)):
        character = masked[position]
        depth += (character == "(") - (character == ")")
        if depth < 0 or (depth == 0 and _WORD.match(masked, position) and not masked[position - 1].isalnum()):
            return position
    return len(masked)


def _alternatives(pattern: str) -> Iterator[tuple[str, str]]:
    """A regular expression with one of its alternatives left out, and which; in groups as well."""
    openings: list[list[int]] = [[0]]
    groups = []
    for position, character in enumerate(pattern):
        if character == "(":
            openings.append([position + 1])
        elif character == "|":
            openings[-1].append(position + 1)
        elif character == ")":
            groups.append([*openings.pop(), position + 1])
    groups.append([*openings.pop(), len(pattern) + 1])
    for starts in groups:
        parts = [pattern[a : b - 1] for a, b in pairwise(starts)]
        for index, part in enumerate(parts):
            if len(parts) > 1:
                rest = "|".join(parts[:index] + parts[index + 1 :])
                yield pattern[: starts[0]] + rest + pattern[starts[-1] - 1 :], part


def _numbers(query: str, masked: str) -> Iterator[Change]:
    for match in _NUMBER.finditer(masked):
        for number in near(match[0]):
            negative = f"({number})" if number.startswith("-") else number
            text = _replaced(query, match.start(), match.end(), negative)
            yield Change(f"{match[0]} -> {number} in {_line(query, match.start())}", text)


def _ranges(query: str) -> Iterator[Change]:
    for match in _RANGE.finditer(query):
        for factor in (0.5, 2):
            text = _replaced(query, match.start(1), match.end(1), durations.scaled(match[1], factor))
            yield Change(f"[{match[1]}] x {factor} in {_line(query, match.start())}", text)


def _operators(query: str, masked: str) -> Iterator[Change]:
    for match in _COMPARATOR.finditer(masked):
        for other in COMPARATORS[match[0]]:
            text = _replaced(query, match.start(), match.end(), other)
            yield Change(f"{match[0]} -> {other} in {_line(query, match.start())}", text)
    for match in _WORD.finditer(masked):
        for other in SET_OPERATORS[match[0]]:
            text = _replaced(query, match.start(), match.end(), other)
            yield Change(f"{match[0]} -> {other} in {_line(query, match.start())}", text)
        text = _replaced(query, match.start(), operand_end(masked, match.end()), "")
        yield Change(f"{match[0]} dropped in {_line(query, match.start())}", text)
    for match in _AGGREGATION.finditer(masked):
        other = AGGREGATIONS[match[0]]
        text = _replaced(query, match.start(), match.end(), other)
        yield Change(f"{match[0]} -> {other} in {_line(query, match.start())}", text)


def _labels(query: str) -> Iterator[Change]:
    for match in _LABELS.finditer(query):
        labels = [label.strip() for label in match[2].split(",") if label.strip()]
        for label in labels:
            rest = ", ".join(one for one in labels if one != label)
            text = _replaced(query, match.start(2), match.end(2), rest)
            yield Change(f"{label} dropped from {match[1]} in {_line(query, match.start())}", text)


def _matchers(query: str) -> Iterator[Change]:
    for match in _MATCHER.finditer(query):
        label, operator, value = match.groups()
        where = _line(query, match.start())
        negated = _replaced(query, match.start(2), match.end(2), NEGATED[operator])
        yield Change(f"{match[0]} negated in {where}", negated)
        # With the comma after it, or else before it.
        start, end = match.start(), match.end()
        if query[end : end + 1] == ",":
            end = re.compile(r",\s*").match(query, end).end()
        else:
            start = len(re.sub(r",\s*$", "", query[:start]))
        yield Change(f"{match[0]} dropped in {where}", _replaced(query, start, end, ""))
        if operator in ("=~", "!~"):
            for pattern, left_out in _alternatives(value):
                text = _replaced(query, match.start(3), match.end(3), pattern)
                yield Change(f"{left_out} left out of {label} in {where}", text)


def changes(query: str) -> list[Change]:
    """Every change, once."""
    masked = _masked(query)
    found = [*_numbers(query, masked), *_ranges(query), *_operators(query, masked), *_labels(query), *_matchers(query)]
    return list({change.query: change for change in reversed(found) if change.query != query}.values())[::-1]
