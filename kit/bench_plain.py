"""What `answer` and `create` write on SQLite, as one would write it by hand: the service's writer runs those of many
requests by one statement for each table, so the statements of one request are nowhere to be seen."""

import json
import time
from itertools import cycle
from random import Random

from kit.bench_operations import Operation, fresh_id, key, new_event
from kit.bench_replay import Maker, Value

SEE = (
    "SELECT e.organizer_id, e.title, e.start_local, e.start_zone, e.visibility, e.status, e.version, e.capacity, "
    "e.seats_taken, e.next_place, e.waitlist_enabled, p.role, p.status, p.admission, p.place, p.comment, p.version, "
    "p.created_at FROM events e "
    "LEFT JOIN participants p ON p.event_id = e.id AND p.user_id = $2 WHERE e.id = $1 AND e.deleted_at IS NULL"
)
SAY = (
    "UPDATE participants SET status = $3, admission = $4, responded_at = $5, version = version + 1, updated_at = $5 "
    "WHERE event_id = $1 AND user_id = $2"
)
SEATS = "UPDATE events SET seats_taken = $2, version = version + 1, updated_at = $3 WHERE id = $1"
CHANGE = (
    "INSERT INTO changes (id, kind, event_id, user_id, version, actor_id, data, created_at, xid) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT COALESCE(MAX(xid), 0) FROM changes))"
)
DELIVERY = (
    "INSERT INTO deliveries (change_id, recipient_id, event_id, channel, state, attempts, due_at, created_at) "
    "VALUES ($1, $2, $3, 'inbox', 'pending', 0, $4, $4)"
)
EVENT = (
    "INSERT INTO events (id, uid, organizer_id, title, description, location, start_local, start_zone, end_local, "
    "end_zone, start_utc, end_utc, capacity, seats_taken, next_place, waitlist_enabled, visibility, status, tags, "
    "metadata, search_words, "
    "version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $10, $11, 50, 0, 1, 1, 'public', "
    "'confirmed', $12, $13, $14, 1, $15, $15)"
)
TAGS = "INSERT INTO event_tags (tag, event_id) SELECT value, $1 FROM json_each($2)"

Statements = list[tuple[str, tuple[Value, ...]]]


def _id(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _about(title: str, more: dict[str, object]) -> str:
    return json.dumps({"title": title, "start": {"date_time": "2027-06-11T18:00:00", "time_zone": "Etc/UTC"}} | more)


def answer(random: Random, drawn: dict[str, int], status: str, before: str) -> Statements:
    """Somebody's answer: accepting takes a seat, declining gives it back, and both are told to whom they concern."""
    now = time.time_ns() // 1000
    event, person, organizer = (_id(key(n, drawn[name])) for n, name in ((2, "event"), (1, "person"), (1, "organizer")))
    seated = {"accepted": "confirmed"}
    admissions = {"from": seated.get(before, "none"), "to": seated.get(status, "none")}
    told = [("participant.status_changed", organizer, {"status": {"from": before, "to": status}})]
    if admissions["from"] != admissions["to"]:
        told.append(("participant.admission_changed", person, {"admission": admissions}))
    made: Statements = [(SEE, (event, person)), (SAY, (event, person, status, admissions["to"], now))]
    for kind, recipient, data in told:
        change = _id(fresh_id(now // 1000, random.getrandbits(62)))
        made.append((CHANGE, (change, kind, event, person, 2, person, _about("Harbour meeting", data), now)))
        made.append((DELIVERY, (change, recipient, event, now)))
    if len(told) > 1:
        made.append((SEATS, (event, int(status == "accepted"), now)))
    return made


def create(random: Random, drawn: dict[str, int]) -> Statements:
    """A new event with its tags, and the change that tells of it."""
    now = time.time_ns() // 1000
    text = fresh_id(now // 1000, random.getrandbits(62))
    event, person, content = _id(text), _id(key(1, drawn["person"])), new_event(drawn["number"])
    tags, words = (
        json.dumps(content["tags"]),
        f"{content['title']} {content['description']} {content['location']}".lower(),
    )
    change = _id(fresh_id(now // 1000, random.getrandbits(62)))
    row = (
        *(event, f"{text}@convoke", person, content["title"], content["description"], content["location"]),
        *(content["start"]["date_time"], content["start"]["time_zone"], content["end"]["date_time"]),
        *(1_812_729_600_000_000, 1_812_736_800_000_000, tags, json.dumps(content["metadata"]), words, now),
    )
    data = _about(content["title"], {})
    return [(EVENT, row), (TAGS, (event, tags)), (CHANGE, (change, "event.created", event, None, 1, person, data, now))]


def plain_writes(operation: Operation) -> list[Maker]:
    """Makers of requests that write."""
    if operation.name == "create":
        return [lambda random: create(random, operation.draw(random))]
    turns = cycle([("accepted", "tentative"), ("declined", "accepted"), ("tentative", "declined")])
    return [lambda random: answer(random, operation.draw(random), *next(turns))]
