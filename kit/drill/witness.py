"""Holds the service to its promises during a fault: problem documents, no acknowledged write lost, probes answered."""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable

from kit.client import Caller, event
from kit.process import http as fetch
from kit.process import wait_until

WRITE_EVERY = 0.25
PROBE_EVERY = 0.5
PROBE_LIMIT = 5.0
NO_ANSWER = (OSError, http.client.HTTPException)
# So many of one kind are shown.
SHOWN = 3


class Regularly:
    """A thread that does something again and again until it is stopped."""

    def __init__(self, what: Callable[[], None], every: float) -> None:
        self._stop = threading.Event()

        def run() -> None:
            while not self._stop.is_set():
                began = time.monotonic()
                what()
                self._stop.wait(max(0.0, every - (time.monotonic() - began)))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @staticmethod
    def stop(those: list["Regularly"], seconds: float = 30) -> None:
        """Lets all of them finish what they do."""
        for one in those:
            one._stop.set()
        for one in those:
            one._thread.join(seconds)


class Witness:
    """Writes and reads as a client, and probes as a cluster does."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.acknowledged: list[str] = []
        self.answers: Counter[int] = Counter()
        self.unanswered = 0
        self.probes: Counter[str] = Counter()
        self.findings: list[str] = []
        # While it is false the process itself is gone or held, and nobody can ask that it answers.
        self.alive = True
        self._threads: list[Regularly] = []

    def start(self) -> None:
        """Begins."""
        self._threads = [
            Regularly(self._write, WRITE_EVERY),
            Regularly(lambda: self._probe("/livez"), PROBE_EVERY),
            Regularly(lambda: self._probe("/metrics"), PROBE_EVERY),
            # As a load balancer does: it also keeps the service's own idea of its readiness fresh.
            Regularly(self._ready, PROBE_EVERY),
        ]

    def stop(self) -> None:
        """Ends it."""
        Regularly.stop(self._threads)

    def _write(self) -> None:
        try:
            body = event(f"Witnessed {len(self.acknowledged)}")
            status, headers, text = self.caller.request("POST", "/api/v1/events/", body)
            self.judge("POST /events/", status, headers, text)
            if status == 201:
                self.acknowledged.append(json.loads(text)["id"])
        except NO_ANSWER:
            self.unanswered += 1

    def judge(self, what: str, status: int, headers: http.client.HTTPMessage, text: bytes) -> None:
        """An error must be a problem document (RFC 9457) that says its type, title and status."""
        self.answers[status] += 1
        if status < 400:
            return
        try:
            problem = json.loads(text)
            good = problem["status"] == status and problem["type"] and problem["title"]
        except (ValueError, KeyError, TypeError):
            good = False
        if not good or headers.get_content_type() != "application/problem+json":
            self._found(f"{what}: {status} without a problem document: {text[:100]!r}")

    def _probe(self, path: str) -> None:
        expected = self.alive
        try:
            fetch(f"{self.caller.service.ops_url}{path}", timeout=PROBE_LIMIT)
            self.probes[path] += 1
        except NO_ANSWER as error:
            if expected and self.alive:
                self._found(f"{path}: {error!r}")

    def _ready(self) -> None:
        with contextlib.suppress(*NO_ANSWER):
            fetch(f"{self.caller.service.ops_url}/readyz", timeout=PROBE_LIMIT)

    def _found(self, what: str) -> None:
        self.findings.append(what)

    def lost(self) -> list[str]:
        """Which of the acknowledged writes cannot be read any more, after the fault."""

        def read(one: str) -> int:
            status = 0
            with contextlib.suppress(*NO_ANSWER):
                status, _ = self.caller.ask("GET", f"/events/{one}")
            return status

        wait_until("the service to answer again", lambda: read(self.acknowledged[0]) == 200, 30, every=0.25)
        missing = [one for one in self.acknowledged if read(one) != 200]
        return [f"{one} was acknowledged and is lost" for one in missing]

    def report(self) -> list[str]:
        """What was promised and not kept."""
        found = self.findings[:SHOWN]
        if len(self.findings) > SHOWN:
            found.append(f"and {len(self.findings) - SHOWN} more")
        if not self.acknowledged:
            found.append("no write was acknowledged: nothing was shown")
        if not self.probes["/livez"] or not self.probes["/metrics"]:
            found.append("no probe was answered: nothing was shown")
        return found
