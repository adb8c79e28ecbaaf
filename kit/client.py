"""A user of the API: connections of its own for each thread, and answers as they came."""

import http.client
import json
import threading
from typing import Any

from kit.process import StartError
from kit.stack import Service

Body = bytes | dict[str, Any] | None


class Caller:
    """Asks one service, also after it was restarted at another address."""

    def __init__(self, service: Service, timeout: float = 120) -> None:
        self.service = service
        self.timeout = timeout
        self.token = ""
        self.user: dict[str, Any] = {}
        self._own = threading.local()

    def request(
        self, method: str, path: str, body: Body = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of an answer; `OSError` or `HTTPException` when there is none. A dictionary is sent
        as JSON."""
        host = self.service.url.removeprefix("http://")
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            given.setdefault("content-type", "application/json")
        if self.token:
            given["authorization"] = f"Bearer {self.token}"
        if getattr(self._own, "host", None) != host:
            self._own.host, self._own.link = host, http.client.HTTPConnection(host, timeout=self.timeout)
        try:
            self._own.link.request(method, path, body, given)
            answer = self._own.link.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            self._own.link.close()
            raise

    def ask(self, method: str, path: str, body: Body = None, **headers: str) -> tuple[int, bytes]:
        """The status and body of an answer of the API."""
        status, _, text = self.request(method, f"/api/v1{path}", body, **headers)
        return status, text

    def must(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The object that a JSON request is answered with."""
        status, text = self.ask(method, path, body)
        if status >= 300:
            raise StartError(f"{method} {path}: {status} {text.decode()}")
        return json.loads(text) if text else {}

    def log_in(self, name: str = "mover") -> "Caller":
        """Registers somebody."""
        account = {"email": f"{name}@example.org", "password": "correct horse battery staple"}
        self.user = self.must("POST", "/auth/register", account | {"display_name": name.capitalize()})
        self.token = self.must("POST", "/auth/login", account)["access_token"]
        return self


def event(title: str, **more: Any) -> dict[str, Any]:
    """The body of a small event."""
    when = {"date_time": "2031-03-04T18:00:00", "time_zone": "Europe/Berlin"}
    return {"title": title, "start": when, "end": when | {"date_time": "2031-03-04T20:00:00"}, **more}
