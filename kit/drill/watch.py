"""What fires, since when and until when, and what people were told of it."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.drill.regularly import Regularly
from kit.prometheus import QueryError
from kit.stack import Prometheus

# Seconds between two looks, and how long Prometheus may leave one unanswered.
EVERY = 0.2
LONGEST_SILENCE = 10.0
TICKET = " (ticket)"


def key(labels: dict[str, str]) -> str:
    """The alert's name; of an objective's two severities the ticket says so."""
    return labels["alertname"] + (TICKET if "slo" in labels and labels["severity"] == "ticket" else "")


@dataclass(frozen=True)
class Told:
    """One alert in a notification."""

    at: float
    receiver: str
    alert: str
    resolved: bool


class Hook:
    """Stands for the people: takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        told = self.told

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver = self.path.strip("/")
                for alert in sent["alerts"]:
                    told.append(Told(time.monotonic(), receiver, key(alert["labels"]), alert["status"] == "resolved"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Fired:
    """One alert by name, of whatever labels."""

    first: float
    last: float


class Watch:
    """Asks Prometheus all the time what fires. Times are of the monotonic clock."""

    def __init__(self, prometheus: Prometheus, hook: Hook) -> None:
        self.prometheus = prometheus
        self.hook = hook
        self.fired: dict[str, Fired] = {}
        self.now: set[str] = set()
        self.answered = time.monotonic()
        self.longest_silence = 0.0
        self._regularly = Regularly(self._look, EVERY)

    def stop(self) -> None:
        """Ends it."""
        Regularly.stop([self._regularly])

    def forget(self) -> None:
        """Leaves out what was until now."""
        self.fired.clear()
        self.hook.told.clear()

    def _look(self) -> None:
        # While it reads its configuration, or the machine is busy, it may not answer once.
        with contextlib.suppress(QueryError):
            self._poll()
        self.longest_silence = max(self.longest_silence, time.monotonic() - self.answered)

    def _poll(self) -> None:
        found = self.prometheus.alerts("firing")
        at = self.answered = time.monotonic()
        self.now = {key(one["labels"]) for one in found}
        for alert in self.now:
            self.fired.setdefault(alert, Fired(at, at)).last = at

    def told(self) -> dict[str, Told]:
        """The alerts that people were told of: each one's first notification."""
        found: dict[str, Told] = {}
        for one in list(self.hook.told):
            if not one.resolved:
                found.setdefault(one.alert, one)
        return found

    def faults(self) -> list[str]:
        """Why silence would say nothing: Prometheus did not answer, or a rule could not be evaluated."""
        failing = [one for one in self.prometheus.rules() if one.get("lastError")]
        found = [f"the rule {one['name']} fails: {one['lastError']}" for one in failing]
        if self.longest_silence > LONGEST_SILENCE:
            found.append(f"Prometheus did not answer for {self.longest_silence:.0f} s")
        return found
