"""What the benchmark asks of the API, and what varies in the statements that this makes the service run."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

# Whom the captured requests are sent by, one of those whose tokens there are.
PERSON = 6
CALLERS = 64
OPERATIONS = ["get", "page", "window", "search", "inbox", "answer", "create"]
WRITES = frozenset({"answer", "create"})
DAY = 20
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Drawn = dict[str, int]


def key(kind: int, n: int) -> str:
    """An id of the world that `load-tests/bench/fill.sql` makes."""
    return f"01940000-{kind:04x}-7000-8000-{n:012x}"


def _sql_key(kind: int, variable: str) -> str:
    return f"'01940000-{kind:04x}-7000-8000-' || lpad(to_hex(:{variable}::bigint), 12, '0')"


@dataclass(frozen=True)
class Request:
    """One request of the API."""

    method: str
    path: str
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Mark:
    """A text in captured parameters that another request would have otherwise: as SQL over pgbench's variables, and in
    Python over drawn numbers."""

    text: str
    sql: str
    value: Callable[[Drawn], str]


@dataclass(frozen=True)
class Operation:
    """Requests that stand for all of one operation, and how to vary what they make the service run."""

    name: str
    requests: list[Request]
    script: list[str]
    draw: Callable[[Random], Drawn]
    marks: list[Mark] = field(default_factory=list)
    # Sent first, so that the others change something.
    before: list[Request] = field(default_factory=list)


def _person() -> Mark:
    return Mark(key(1, PERSON), _sql_key(1, "person"), lambda drawn: key(1, drawn["person"]))


def _event(n: int) -> Mark:
    return Mark(key(2, n), _sql_key(2, "event"), lambda drawn: key(2, drawn["event"]))


SET_PERSON = f"\\set person random(0, {CALLERS - 1})"


def operations(events: int) -> dict[str, Operation]:
    """Each operation of the benchmark on a world of so many events, as `requests.lua` sends it."""
    people = events // 20

    def caller(random: Random) -> Drawn:
        return {"person": random.randrange(CALLERS)}

    def public(random: Random) -> Drawn:
        n = random.randrange(events)
        return caller(random) | {"event": n + (n % 4 == 0)}

    def day(random: Random) -> Drawn:
        return caller(random) | {"day": random.randint(0, 600)}

    def word(random: Random) -> Drawn:
        return caller(random) | {"word": random.randint(100, 999)}

    def number(random: Random) -> Drawn:
        return caller(random) | {"number": random.randint(0, 999_999)}

    def invited(random: Random) -> Drawn:
        person = random.randrange(CALLERS)
        event = (person // 2 + random.randint(0, 39) * (people // 2)) % events
        return {"person": person, "event": event, "organizer": event % people}

    seen = 5
    get = Operation(
        "get",
        [Request("GET", f"/api/v1/events/{key(2, seen)}")],
        [
            f"\\set event random(0, {events - 1})",
            "\\set event :event + CASE WHEN :event % 4 = 0 THEN 1 ELSE 0 END",
            SET_PERSON,
        ],
        public,
        [_person(), _event(seen)],
    )
    page = Operation("page", [Request("GET", "/api/v1/events/?limit=50")], [SET_PERSON], caller, [_person()])
    # As long as 50 events take.
    length = 8 * 3600 * 100_000 // events
    start, end = _moment(DAY, 0), _moment(DAY, length)
    window = Operation(
        "window",
        [Request("GET", f"/api/v1/events/?limit=50&from={start.replace(' ', 'T')}Z&to={end.replace(' ', 'T')}Z")],
        ["\\set day random(0, 600)", SET_PERSON],
        day,
        [
            _person(),
            Mark(start, _sql_moment(0), lambda drawn: _moment(drawn["day"], 0)),
            Mark(end, _sql_moment(length), lambda drawn: _moment(drawn["day"], length)),
        ],
    )
    search = Operation(
        "search",
        [Request("GET", "/api/v1/events/?limit=50&q=topic123")],
        ["\\set word random(100, 999)", SET_PERSON],
        word,
        [_person(), Mark("topic123", "'topic' || :word::bigint", lambda drawn: f"topic{drawn['word']}")],
    )
    inbox = Operation("inbox", [Request("GET", "/api/v1/notifications/?limit=50")], [SET_PERSON], caller, [_person()])
    answered = PERSON // 2
    path = f"/api/v1/events/{key(2, answered)}/participants/{key(1, PERSON)}/status"
    answers = [Request("PATCH", path, {"status": status}) for status in ("accepted", "declined", "tentative")]
    answer = Operation(
        "answer",
        answers,
        [
            SET_PERSON,
            f"\\set event (:person / 2 + random(0, 39) * {people // 2}) % {events}",
            f"\\set organizer :event % {people}",
        ],
        invited,
        [
            _person(),
            _event(answered),
            Mark(key(1, answered), _sql_key(1, "organizer"), lambda drawn: key(1, drawn["organizer"])),
        ],
        before=answers[-1:],
    )
    create = Operation(
        "create",
        [Request("POST", "/api/v1/events/", new_event(871_293))],
        ["\\set number random(0, 999999)", SET_PERSON],
        number,
        [_person(), Mark("871293", ":number::bigint::text", lambda drawn: str(drawn["number"]))],
    )
    return {one.name: one for one in (get, page, window, search, inbox, answer, create)}


def _moment(day: int, seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_798_761_600 + day * 86_400 + seconds))


def _sql_moment(seconds: int) -> str:
    moment = f"timestamp '2027-01-01' + :day::int * interval '1 day' + interval '{seconds} s'"
    # Not by to_char: pgbench takes what follows a colon for a variable, in quotes too.
    return f"({moment})::text"


def new_event(n: int) -> dict[str, Any]:
    """What `create` sends."""
    zone = "Europe/Berlin"
    return {
        "title": f"Harbour meeting {n}",
        "description": "What there is to talk about. " * 7,
        "location": f"Pier {n % 7}",
        "start": {"date_time": "2027-06-11T18:00:00", "time_zone": zone},
        "end": {"date_time": "2027-06-11T20:00:00", "time_zone": zone},
        "capacity": 50,
        "visibility": "public",
        "tags": [f"tag{n % 50}", "harbour"],
        "metadata": {"room": n % 100, "catering": True},
    }


def body(request: Request) -> bytes | None:
    """What a request sends."""
    return None if request.body is None else json.dumps(request.body).encode()


def fresh_ids(texts: list[str | None]) -> list[str]:
    """Ids that the service made for one request: another request makes others."""
    found = {match for text in texts if text for match in UUID.findall(text)}
    return sorted(one for one in found if not one.startswith("01940000-") and set(one) - set("0f-"))


def fresh_mark(text: str, n: int) -> Mark:
    """A new id in the order of time, as the service's own are. The transaction's time keeps it the same within one."""
    milliseconds = "lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0')"
    return Mark(
        text,
        f"{milliseconds} || '7000' || lpad(to_hex(:fresh{n}::bigint), 16, '8')",
        lambda drawn: fresh_id(drawn["now"], drawn[f"fresh{n}"]),
    )


def fresh_id(milliseconds: int, number: int) -> str:
    """A new id."""
    digits = f"{milliseconds:012x}7000{number:x}".ljust(32, "8")[:32]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
