"""The statements of one request: their texts from its exported spans, their parameters from PostgreSQL's log."""

import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kit.bench_operations import Request, body

ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[(\d+)\] (\w+):  ", re.MULTILINE)
PARAMETER = re.compile(r"\$(\d+) = (?:NULL|'((?:[^']|'')*)')")


@dataclass(frozen=True)
class Statement:
    """A statement as it was run; `None` is NULL."""

    text: str
    parameters: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Span:
    """A statement's span."""

    start: int
    summary: str
    text: str


def logged(log: str) -> list[list[Statement]]:
    """What a PostgreSQL log with `log_statement = all` tells of, each transaction or lone statement by itself."""
    done: list[list[Statement]] = []
    running: dict[str, list[Statement]] = {}
    for process, statement in _entries(log):
        word = statement.text.lstrip().partition(" ")[0].rstrip(";").upper()
        if word in ("BEGIN", "START"):
            running[process] = [statement]
        elif process in running:
            running[process].append(statement)
            if word in ("COMMIT", "ROLLBACK", "END"):
                done.append(running.pop(process))
        else:
            done.append([statement])
    return done


def _entries(log: str) -> Iterator[tuple[str, Statement]]:
    starts = list(ENTRY.finditer(log))
    ends = [one.start() for one in starts[1:]] + [len(log)]
    held: tuple[str, Statement] | None = None
    for start, end in zip(starts, ends, strict=True):
        process, level = start.groups()
        # A line after the first begins with a tab.
        text = log[start.end() : end].rstrip("\n").replace("\n\t", "\n")
        if level == "DETAIL" and held and held[0] == process and text.startswith("parameters: "):
            yield process, Statement(held[1].text, parameters(text))
            held = None
            continue
        if held:
            yield held
            held = None
        kind, found, statement = text.partition(": ")
        if level == "LOG" and found and (kind == "statement" or kind.startswith("execute ")):
            held = process, Statement(statement)
    if held:
        yield held


def parameters(detail: str) -> tuple[str | None, ...]:
    """The parameters that a line `DETAIL:  parameters: $1 = '…'` names."""
    found = []
    for n, match in enumerate(PARAMETER.finditer(detail), 1):
        if int(match[1]) != n:
            raise ValueError(f"the parameters are not in order: {detail}")
        found.append(None if match[2] is None else match[2].replace("''", "'"))
    return tuple(found)


def of_request(units: list[list[Statement]], spans: list[Span]) -> list[Statement]:
    """Of all that was logged meanwhile, what the request with these spans ran, with its BEGIN and COMMIT."""
    texts = {span.text for span in spans}
    return [one for unit in units if any(one.text in texts for one in unit) for one in unit]


def named(statements: list[Statement], spans: list[Span]) -> dict[tuple[str, int], Statement]:
    """The statements of a request by the name of the operation, and which of that name they are."""
    summaries = {span.text: span.summary for span in spans}
    count: dict[str, int] = defaultdict(int)
    found = {}
    for one in statements:
        if summary := summaries.get(one.text):
            found[summary, count[summary]] = one
            count[summary] += 1
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message of Protocol Buffers."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
                continue
            case 2:
                size, at = _varint(data, at)
            case 1:
                size = 8
            case 5:
                size = 4
            case other:
                raise ValueError(f"wire type {other} is none of Protocol Buffers")
        yield tag >> 3, data[at : at + size]
        at += size


def _below(data: bytes, *path: int) -> Iterator[bytes]:
    for number, value in _fields(data):
        if number == path[0] and isinstance(value, bytes):
            if len(path) == 1:
                yield value
            else:
                yield from _below(value, *path[1:])


def spans(exports: list[bytes]) -> dict[str, list[Span]]:
    """The statements' spans of each trace in ExportTraceServiceRequests, in the order of their starts."""
    found: dict[str, list[Span]] = defaultdict(list)
    for export in exports:
        # resource_spans, scope_spans, spans; then trace_id, start_time_unix_nano, attributes.
        for span in _below(export, 1, 2, 2):
            attributes = {}
            for attribute in _below(span, 9):
                name = next(_below(attribute, 1)).decode()
                # A text only: AnyValue.string_value.
                for value in _below(attribute, 2, 1):
                    attributes[name] = value.decode()
            if text := attributes.get("db.query.text"):
                trace = next(_below(span, 1)).hex()
                start = int.from_bytes(next(_below(span, 7)), "little")
                found[trace].append(Span(start, attributes.get("db.query.summary", text), text))
    return {trace: sorted(all_of_it, key=lambda one: one.start) for trace, all_of_it in found.items()}


def send(url: str, request: Request, token: str) -> tuple[str, bytes]:
    """The trace id and the body of an answer; raises `OSError` unless it is a success."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    asked = urllib.request.Request(url + request.path, body(request), headers, method=request.method)  # noqa: S310
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return answer.headers["traceresponse"].split("-")[1], answer.read()
