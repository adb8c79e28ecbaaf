"""What the console is shown: a service with a database, a small load, and a disturbance that is real."""

import contextlib
import json
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "correct horse battery"


def fetch(url: str, body: object = None, method: str | None = None, token: str = "") -> tuple[int, dict, bytes]:
    """Status, headers and body of an answer, whatever the status."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, dict(refusal.headers), refusal.read()


class Service:
    """The API of the service under test."""

    def __init__(self, public: str, ops: str, database: Path) -> None:
        self.api, self.public, self.ops, self.database = f"{public}/api/v1", public, ops, database
        self.organizer, self.organizer_id = self._person("organizer")
        self.guest, self.guest_id = self._person("guest")
        self.events: list[str] = []

    def _person(self, name: str) -> tuple[str, str]:
        body = {"email": f"{name}@example.org", "password": PASSWORD, "display_name": name}
        status, _, text = fetch(f"{self.api}/auth/register", body)
        assert status == 201, text
        identity = json.loads(text)["id"]
        status, _, text = fetch(f"{self.api}/auth/login", {"email": body["email"], "password": PASSWORD})
        assert status == 200, text
        return json.loads(text)["access_token"], identity

    def create(self, title: str = "Harbour meeting") -> tuple[int, str, str]:
        """Makes an event; gives the status, the trace id, and the event's id if there is one."""
        body = {
            "title": title,
            "start": {"date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin"},
            "end": {"date_time": "2031-03-04T20:00:00", "time_zone": "Europe/Berlin"},
        }
        status, headers, text = fetch(f"{self.api}/events/", body, token=self.organizer)
        event = json.loads(text).get("id", "")
        if event:
            self.events.append(event)
        return status, headers["traceresponse"].split("-")[1], event

    def invite(self, event: str) -> tuple[int, str]:
        """Invites the guest, which causes a delivery; gives the status and the trace id."""
        url = f"{self.api}/events/{event}/participants/"
        status, headers, _ = fetch(url, {"user_id": self.guest_id}, token=self.organizer)
        return status, headers["traceresponse"].split("-")[1]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds SQLite's write lock, as a backup or a stuck process would."""
        connection = sqlite3.connect(self.database, isolation_level=None, timeout=20, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def work(self, number: int) -> None:
        """One request of a mix."""
        kind = number % 10
        if kind == 0:
            self.create(f"Event {number}")
        elif kind == 1:
            self.invite(self.create("With a guest")[2])
        elif kind == 2:
            fetch(f"{self.api}/notifications/", token=self.guest)
        elif kind == 3:
            fetch(f"{self.api}/events/00000000-0000-7000-8000-000000000000", token=self.guest)
        elif kind == 4:
            fetch(f"{self.api}/users/me")
        elif kind in (5, 6) and self.events:
            fetch(f"{self.api}/events/{self.events[number % len(self.events)]}", token=self.guest)
        else:
            fetch(f"{self.api}/events/?limit=20", token=self.guest)


class Load:
    """A few requests a second until it is stopped."""

    def __init__(self, service: Service, per_second: float) -> None:
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(service, per_second))
        self.thread.start()

    def _run(self, service: Service, per_second: float) -> None:
        number = 0
        while not self.stopping.wait(1 / per_second):
            service.work(number)
            number += 1

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()
