"""PocketBase under the same load as Convoke on SQLite: the same fields, rules of the same kind, the same world."""

import argparse
import contextlib
import json
import secrets
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kit.bench_operations import CALLERS
from kit.bench_report import Target, number, ratio, table, targets_table
from kit.bench_world import PASSWORD, PLACE, SEEDS, Figures, Load, Worlds, checked, measure, running, timed, wrk
from kit.copy_bench import run
from kit.paths import ROOT
from kit.process import Program, StartError, answers, free_port

BINARY = ROOT / ".venv-bench" / "bin" / "pocketbase"
ADMIN = "admin@example.org"
# Requests a second of PocketBase's, and the share of its processor time.
FASTER = {"get": 5, "page": 3, "answer": 5, "create": 6}
CPU = 0.25
FIRST = datetime(2027, 1, 1, tzinfo=UTC)

SEEN = 'visibility = "public" || organizer = @request.auth.id || participants_via_event.user ?= @request.auth.id'


def _select(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "type": "select", "values": list(values), "maxSelect": 1, "required": True}


def _relation(name: str, collection: str) -> dict[str, Any]:
    return {"name": name, "type": "relation", "collectionId": collection, "maxSelect": 1, "required": True}


def _times() -> list[dict[str, Any]]:
    return [
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ]


def events_collection(users: str) -> dict[str, Any]:
    """Events, before participants are there to see them."""
    texts = [{"name": name, "type": "text"} for name in ("title", "description", "location", "start_zone", "end_zone")]
    return {
        "name": "events",
        "type": "base",
        "fields": [
            _relation("organizer", users),
            *texts,
            {"name": "start", "type": "date", "required": True},
            {"name": "end", "type": "date", "required": True},
            {"name": "capacity", "type": "number", "onlyInt": True},
            {"name": "seats_taken", "type": "number", "onlyInt": True},
            {"name": "waitlist_enabled", "type": "bool"},
            _select("visibility", "public", "private"),
            _select("status", "draft", "tentative", "confirmed", "cancelled"),
            {"name": "tags", "type": "json"},
            {"name": "metadata", "type": "json"},
            *_times(),
        ],
        "indexes": [
            "CREATE INDEX events_start ON events (start, id)",
            "CREATE INDEX events_visibility ON events (visibility, start)",
            "CREATE INDEX events_organizer ON events (organizer, start)",
        ],
        "createRule": '@request.auth.id != "" && organizer = @request.auth.id',
        "updateRule": "organizer = @request.auth.id",
        "deleteRule": "organizer = @request.auth.id",
    }


def participants_collection(users: str, events: str) -> dict[str, Any]:
    """Who takes part in what."""
    return {
        "name": "participants",
        "type": "base",
        "fields": [
            _relation("event", events),
            _relation("user", users),
            _select("role", "required", "optional", "chair"),
            _select("status", "needs_action", "accepted", "declined", "tentative"),
            _select("admission", "none", "confirmed", "waitlisted"),
            {"name": "comment", "type": "text"},
            *_times(),
        ],
        "indexes": [
            "CREATE UNIQUE INDEX participants_both ON participants (event, user)",
            "CREATE INDEX participants_user ON participants (user, event)",
        ],
        "listRule": "user = @request.auth.id || event.organizer = @request.auth.id",
        "viewRule": "user = @request.auth.id || event.organizer = @request.auth.id",
        "createRule": "event.organizer = @request.auth.id",
        "updateRule": "user = @request.auth.id",
        "deleteRule": "event.organizer = @request.auth.id",
    }


class PocketBase:
    """A PocketBase on a free loopback port with a world of so many events."""

    def __init__(self, folder: Path, events: int) -> None:
        if not BINARY.exists():
            raise StartError(f"{BINARY} is missing; run: tests/install.sh bench")
        self.events = events
        self.data = folder / "pocketbase"
        self.log = folder / "pocketbase.log"
        self.flags = [f"--dir={self.data}", "--automigrate=false", "--hooksWatch=false"]
        self.flags += [f"--{name}Dir={folder / 'none'}" for name in ("hooks", "migrations", "public")]
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(BINARY), "serve", f"--http=127.0.0.1:{port}", *self.flags]
        self.program = Program("pocketbase", command, self.log, environment={})

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.program.start()
        self.program.wait_ready(lambda: answers(f"{self.url}/api/health"), 30)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """What it answers; raises `StartError` with what it said when that is no success."""
        sent = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "authorization": token}
        request = urllib.request.Request(self.url + path, sent, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise StartError(f"PocketBase: {method} {path}: {error.code} {error.read().decode()}") from error

    def token(self, collection: str, email: str) -> str:
        """A login."""
        body = {"identity": email, "password": PASSWORD}
        return self.ask("POST", f"/api/collections/{collection}/auth-with-password", body)["token"]

    def make(self) -> None:
        """Collections and rules by its API, then the world into its file."""
        run(str(BINARY), "superuser", "upsert", ADMIN, PASSWORD, *self.flags, environment={})
        self.start()
        admin = self.token("_superusers", ADMIN)
        users = self.ask("GET", "/api/collections/users", token=admin)["id"]
        # It would write a mail at each login from elsewhere.
        self.ask("PATCH", "/api/collections/users", {"authAlert": {"enabled": False}}, admin)
        events = self.ask("POST", "/api/collections", events_collection(users), admin)["id"]
        self.ask("POST", "/api/collections", participants_collection(users, events), admin)
        self.ask("PATCH", "/api/collections/events", {"listRule": SEEN, "viewRule": SEEN}, admin)
        account = {"email": "first@example.org", "password": PASSWORD, "passwordConfirm": PASSWORD}
        self.ask("POST", "/api/collections/users/records", account, admin)
        self.program.stop()
        fill(self.data / "data.db", self.events)
        self.start()

    def tokens(self, folder: Path) -> Path:
        """A file with a token of each caller."""
        file = folder / "pocketbase-tokens"
        found = [self.token("users", f"person{person}@example.org") for person in range(CALLERS)]
        file.write_text("\n".join(found) + "\n")
        return file


def rows(events: int, digest: str) -> dict[str, Iterator[tuple[Any, ...]]]:
    """The world of `fill.sql` in PocketBase's tables."""
    people = events // 20
    made = "2026-01-01 00:00:00.000Z"

    def start(n: int, hours: int) -> str:
        moment = FIRST + timedelta(minutes=n * 7919 % 100_000 * 10, hours=hours)
        return moment.strftime("%Y-%m-%d %H:%M:%S.000Z")

    return {
        "users (id, email, password, tokenKey, verified, name, created, updated)": (
            (f"u{n:014}", f"person{n}@example.org", digest, secrets.token_hex(25), 1, f"Person {n}", made, made)
            for n in range(people)
        ),
        "events (id, organizer, title, description, location, start, start_zone, [end], end_zone, capacity, "
        "seats_taken, waitlist_enabled, visibility, status, tags, metadata, created, updated)": (
            (
                f"e{n:014}",
                f"u{n % people:014}",
                f"Harbour meeting {n}",
                "What there is to talk about. " * 7,
                f"Pier {n % 7}",
                start(n, 0),
                "Etc/UTC",
                start(n, 2),
                "Etc/UTC",
                50,
                0,
                1,
                "private" if n % 4 == 0 else "public",
                "confirmed",
                json.dumps([f"tag{n % 50}", "harbour"]),
                json.dumps({"room": n % 100, "catering": True}),
                made,
                made,
            )
            for n in range(events)
        ),
        "participants (id, event, user, role, status, admission, comment, created, updated)": (
            (
                f"p{2 * n + k:014}",
                f"e{n:014}",
                f"u{(2 * n + k) % people:014}",
                "required",
                "needs_action",
                "none",
                "",
                made,
                made,
            )
            for n in range(events)
            for k in (0, 1)
        ),
    }


def fill(file: Path, events: int) -> None:
    """Puts the world into the file of a PocketBase that is stopped; everybody's password is that of its one account."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        (digest,) = database.execute("SELECT password FROM users").fetchone()
        for target, values in rows(events, digest).items():
            names, _, columns = target.partition(" ")
            places = ", ".join("?" * len(columns.split(",")))
            database.executemany(f"INSERT INTO {names} {columns} VALUES ({places})", values)  # noqa: S608
        database.execute("ANALYZE")


def peers(options: argparse.Namespace, worlds: Worlds, stops: contextlib.ExitStack) -> dict[str, str]:
    """Measures PocketBase and Convoke in turns, operation by operation: what else a machine does is then alike."""
    folder = worlds.folder
    shutil.rmtree(folder / "pocketbase", ignore_errors=True)
    peer = PocketBase(folder, options.events)
    stops.callback(peer.program.stop)
    peer.make()
    tokens = peer.tokens(folder)
    ours, theirs = {}, {}
    with running(worlds, "sqlite") as now:
        for operation in [name for name in options.operation if name in FASTER]:

            def load(seconds: float, operation: str = operation) -> Load:
                arguments = [operation, str(options.events), str(tokens), str(next(SEEDS))]
                seen = wrk(peer.url, PLACE / "pocketbase.lua", arguments, options.connections, seconds)
                return checked(f"PocketBase {operation}", seen)

            ours[operation] = measure(now, operation, options.connections, options.seconds)
            theirs[operation] = timed(peer.program, None, load, options.seconds)
            for who, seen in (("Convoke", ours[operation]), ("PocketBase", theirs[operation])):
                print(who, operation, f"{seen.load.rate:.0f}/s {seen.service_us:.0f} µs", flush=True)
    peer.program.stop()
    return {"peers": peers_table(ours, theirs), "peer targets": targets_table(peer_targets(ours, theirs))}


def peers_table(ours: dict[str, Figures], theirs: dict[str, Figures]) -> str:
    """Both side by side."""
    lines = []
    for operation, peer in theirs.items():
        own = ours[operation]
        lines.append(
            [
                operation,
                *(number(one.load.rate) for one in (own, peer)),
                *(f"{one.load.p50_us / 1000:.2f} / {one.load.p99_us / 1000:.2f}" for one in (own, peer)),
                *(number(one.service_us) for one in (own, peer)),
                *(f"{one.load.bytes / one.load.requests:.0f}" for one in (own, peer)),
                *(f"{one.memory_mib:.0f}" for one in (own, peer)),
            ]
        )
    figures = ["req/s", "p50 / p99 ms", "CPU µs", "bytes an answer", "peak MiB"]
    return table(["operation", *(f"{who} {what}" for what in figures for who in ("Convoke", "PocketBase"))], lines)


def peer_targets(ours: dict[str, Figures], theirs: dict[str, Figures]) -> list[Target]:
    """The promises beside PocketBase."""
    targets = []
    for operation, bound in FASTER.items():
        own, peer = ours.get(operation), theirs.get(operation)
        known = own is not None and peer is not None
        rate = ratio(own.load.rate, peer.load.rate) if known else None
        share = ratio(own.service_us, peer.service_us) if known else None
        targets.append(Target(f"sqlite {operation}: requests a second ÷ PocketBase's", bound, rate, at_least=True))
        targets.append(Target(f"sqlite {operation}: CPU ÷ PocketBase's", CPU, share))
    return targets
