"""Captured statements made ready to be run again: as scripts of pgbench, and with parameters for SQLite."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from kit.bench_capture import Span, Statement, named
from kit.bench_operations import UUID, Mark, Operation, fresh_ids, fresh_mark

INSTANT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)\+00")
NUMBER = re.compile(r"-?\d+")
PLACE = re.compile(r"\$(\d+)")
QUERY = re.compile(r"'(\w+)':\*")
# pgbench takes what follows a colon for a variable, in literals too.
COLON = re.compile(r"'(?:[^':]|'')*:[A-Za-z_](?:[^']|'')*'")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Value = None | int | str | bytes
Maker = Callable[[Random], list[tuple[str, tuple[Value, ...]]]]


@dataclass(frozen=True)
class Script:
    """A script of pgbench with the texts of its variables."""

    text: str
    variables: dict[str, str]


def marks_of(operation: Operation, statements: list[Statement]) -> list[Mark]:
    """What varies, with the new ids of these statements; longer texts first."""
    texts = [text for one in statements for text in one.parameters]
    fresh = [fresh_mark(text, n) for n, text in enumerate(fresh_ids(texts))]
    return sorted(operation.marks + fresh, key=lambda mark: -len(mark.text))


def pieces(text: str, marks: list[Mark]) -> list[str | Mark]:
    """A parameter cut where it varies."""
    for mark in marks:
        before, found, after = text.partition(mark.text)
        if found:
            return [*pieces(before, marks), mark, *pieces(after, marks)]
    return [text] if text else []


def cast(text: str) -> str:
    """The type that a parameter was sent with, as far as its text shows it."""
    if UUID.fullmatch(text):
        return "::uuid"
    if INSTANT.fullmatch(text):
        return "::timestamptz"
    if text in ("t", "f"):
        return "::boolean"
    if NUMBER.fullmatch(text):
        return "::bigint"
    if re.match(r'\{"[^"]*": |\[.*\]$|\{\}$', text):
        return "::jsonb"
    if text.startswith("{") and text.endswith("}"):
        return _array(text)
    return "::text"


def _array(text: str) -> str:
    elements = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', text)
    plain = [re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for quoted, bare in elements]
    types = {cast(one) for one in plain if one != "NULL"}
    return f"{types.pop()}[]" if len(types) == 1 else "::text[]"


def pgbench_script(operation: Operation, statements: list[Statement], prefix: str) -> Script:
    """One request's statements; constant parameters are variables, so that they stay parameters."""
    marks = marks_of(operation, statements)
    variables: dict[str, str] = {}
    names: dict[str, str] = {}

    def variable(text: str) -> str:
        if text not in names:
            names[text] = f"{prefix}{len(names)}"
            variables[names[text]] = text
        return f":{names[text]}"

    def parameter(text: str | None) -> str:
        if text is None:
            return "NULL"
        cut = pieces(text, marks)
        if len(cut) <= 1 and not (cut and isinstance(cut[0], Mark)):
            return variable(text) + cast(text)
        sql = " || ".join(f"({one.sql})" if isinstance(one, Mark) else variable(one) + "::text" for one in cut)
        return f"({sql}){cast(text)}"

    lines = list(operation.script)
    lines += [
        f"\\set {name} random(0, 4611686018427387903)" for name in sorted(set(re.findall(r"fresh\d+", _sql(marks))))
    ]
    for one in statements:

        def put(match: re.Match[str], one: Statement = one) -> str:
            return parameter(one.parameters[int(match[1]) - 1])

        text = COLON.sub(lambda match: variable(match[0][1:-1].replace("''", "'")) + "::text", one.text)
        lines += commands(PLACE.sub(put, varied(text, marks)))
    return Script("\n".join(lines) + "\n", variables)


def varied(text: str, marks: list[Mark]) -> str:
    """A statement in which literals that are what varies are expressions."""
    for mark in marks:
        text = text.replace(f"'{mark.text}'", f"({mark.sql})")
    return text


def commands(text: str) -> list[str]:
    """A statement as pgbench takes it; several that the service sent in one round trip go in one there too."""
    text = text.strip()
    # Only the service's BEGIN is sent together with others, and that without parameters.
    parts = re.split(r";\s*", text.rstrip(";")) if text.startswith("BEGIN") else [text.rstrip(";")]
    parts = [f"{part};" for part in parts]
    return parts if len(parts) == 1 else ["\\startpipeline", *parts, "\\endpipeline"]


def _sql(marks: list[Mark]) -> str:
    return " ".join(mark.sql for mark in marks)


def sqlite_value(text: str | None) -> Value:
    """A parameter of PostgreSQL as the service would give it to SQLite."""
    if text is None:
        return None
    if UUID.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    if instant := INSTANT.fullmatch(text):
        return (datetime.fromisoformat(instant[1]).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    if text in ("t", "f"):
        return int(text == "t")
    if NUMBER.fullmatch(text):
        return int(text)
    return QUERY.sub(r'"\1"*', text)


class UnknownParametersError(ValueError):
    """A statement of SQLite has no counterpart on PostgreSQL, so its parameters are not known."""


def sqlite_statements(
    operation: Operation, spans: list[Span], known: list[Statement], known_spans: list[Span]
) -> Maker:
    """A maker of one request's statements, each time with other values; `known` are PostgreSQL's of the same one."""
    counterparts = named(known, known_spans)
    count: dict[str, int] = {}
    aligned: list[tuple[str, tuple[str | None, ...]]] = []
    for span in spans:
        if span.text.partition(" ")[0] not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            continue
        place = span.summary, count.get(span.summary, 0)
        count[span.summary] = place[1] + 1
        wanted = max([0, *map(int, PLACE.findall(span.text))])
        one = counterparts.get(place)
        if one is None or len(one.parameters) != wanted:
            raise UnknownParametersError(f"{span.summary} is not run alike on both engines")
        aligned.append((span.text, one.parameters))
    if not aligned:
        raise UnknownParametersError("the spans name no statement")
    marks = marks_of(operation, known)
    fresh = sorted(set(re.findall(r"fresh\d+", _sql(marks))))
    cut = [
        (text, [None if given is None else (given, pieces(given, marks)) for given in parameters])
        for text, parameters in aligned
    ]

    def make(random: Random) -> list[tuple[str, tuple[Value, ...]]]:
        drawn = operation.draw(random) | {name: random.getrandbits(62) for name in fresh}
        drawn["now"] = time.time_ns() // 1_000_000

        def fill(parameter: tuple[str, list[str | Mark]] | None) -> Value:
            if parameter is None:
                return None
            return sqlite_value("".join(one.value(drawn) if isinstance(one, Mark) else one for one in parameter[1]))

        return [(text, tuple(map(fill, parameters))) for text, parameters in cut]

    return make
