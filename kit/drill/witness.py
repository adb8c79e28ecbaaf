"""Holds the service to its promises during a fault: problem documents, no acknowledged write lost, probes answered."""

import contextlib
import http.client
import json
from collections import Counter

from kit.client import Body, Caller, event
from kit.drill.regularly import Regularly
from kit.process import http as fetch
from kit.process import wait_until

WRITE_EVERY = 0.25
READ_EVERY = 0.5
# So many writes must have been acknowledged before the fault, or it would be no test of what becomes of them.
ENOUGH = 10
PROBE_EVERY = 0.5
PROBE_LIMIT = 5.0
NO_ANSWER = (OSError, http.client.HTTPException)
# So many of one kind are shown.
SHOWN = 3


class Witness:
    """Writes and reads as a client, and probes as a cluster does."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.acknowledged: list[str] = []
        self.answers: Counter[int] = Counter()
        self.probes: Counter[str] = Counter()
        self.before = 0
        self.findings: list[str] = []
        # While it is false the process itself is gone or held, and nobody can ask that it answers.
        self.alive = True
        self._threads: list[Regularly] = []

    def start(self) -> None:
        """Begins."""
        self._threads = [
            Regularly(self._write, WRITE_EVERY),
            Regularly(self._read, READ_EVERY),
            Regularly(lambda: self._probe("/livez"), PROBE_EVERY),
            Regularly(lambda: self._probe("/metrics"), PROBE_EVERY),
            # As a load balancer does: it also keeps the service's own idea of its readiness fresh.
            Regularly(self._ready, PROBE_EVERY),
        ]

    def stop(self) -> None:
        """Ends it."""
        Regularly.stop(self._threads)

    def fault_begins(self) -> None:
        """Notes how much was acknowledged before it."""
        self.before = len(self.acknowledged)

    def _write(self) -> None:
        body = event(f"Witnessed {len(self.acknowledged)}")
        if (answer := self._asked("POST", "/api/v1/events/", body)) is not None and answer[0] == 201:
            self.acknowledged.append(json.loads(answer[1])["id"])

    def _read(self) -> None:
        newest = self.acknowledged[-1] if self.acknowledged else "?limit=5"
        self._asked("GET", f"/api/v1/events/{newest}")

    def _asked(self, method: str, path: str, body: Body = None) -> tuple[int, bytes] | None:
        """Asks, and judges the answer; that there is none is a fault as well, unless the process is away."""
        expected = self.alive
        try:
            status, headers, text = self.caller.request(method, path, body)
        except NO_ANSWER as error:
            if expected and self.alive:
                self._found(f"{method} {path} was not answered: {error!r}")
            return None
        self.judge(f"{method} {path}", status, headers, text)
        return status, text

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
        if self.before < ENOUGH:
            found.append(f"{self.before} writes were acknowledged before the fault: too few to show anything")
        if not self.probes["/livez"] or not self.probes["/metrics"]:
            found.append("no probe was answered: nothing was shown")
        return found
