"""What fires, since when and until when, and what people were told of it."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kit.stack import Prometheus

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

    severity: str
    first: float
    last: float
    labels: list[dict[str, str]] = field(default_factory=list)


class Watch:
    """Asks Prometheus what fires. Times are of the monotonic clock."""

    def __init__(self, prometheus: Prometheus, hook: Hook) -> None:
        self.prometheus = prometheus
        self.hook = hook
        self.fired: dict[str, Fired] = {}
        self.now: set[str] = set()

    def poll(self) -> None:
        """Looks once."""
        found = self.prometheus.alerts("firing")
        at = time.monotonic()
        self.now = {key(one["labels"]) for one in found}
        for one in found:
            labels: dict[str, Any] = one["labels"]
            seen = self.fired.setdefault(key(labels), Fired(labels["severity"], at, at))
            seen.last = at
            if labels not in seen.labels:
                seen.labels.append(labels)

    def told(self) -> dict[str, float]:
        """The alerts that people were told of, and when first."""
        found: dict[str, float] = {}
        for one in list(self.hook.told):
            if not one.resolved:
                found.setdefault(one.alert, one.at)
        return found
