"""Holds what a load test counted against what the service counted: each request must be in both books.

A request that k6 began and got no answer to (aborted, timed out, connection lost) must be found on the server as one
given up by its client or as an answer that nobody read; what is left never arrived, and is said so.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from kit.exposition import samples

Request = tuple[str, str, int]  # method, route, status


@dataclass
class Books:
    """What the service has counted since its start."""

    answered: Counter[Request]
    cancelled: Counter[str]

    @classmethod
    def read(cls, exposition: str) -> "Books":
        """From `/metrics`."""
        answered: Counter[Request] = Counter()
        for labels, value in samples(exposition, "http_server_request_duration_seconds_count"):
            status = int(labels["http_response_status_code"])
            answered[labels["http_request_method"], labels["http_route"], status] += int(value)
        cancelled = Counter(
            {
                labels["http_route"]: int(value)
                for labels, value in samples(exposition, "http_server_requests_cancelled_total")
            }
        )
        return cls(answered, cancelled)

    def since(self, before: "Books") -> "Books":
        """What was counted in between."""
        return Books(self.answered - before.answered, self.cancelled - before.cancelled)


@dataclass
class Agreement:
    """The result: a row for each request's kind, and what is wrong."""

    rows: list[tuple[Request, int, int]] = field(default_factory=list)
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A table for people."""
        lines = [f"  {'request':<67}{'status':>6}{'k6':>9}{'service':>9}"]
        for (method, route, status), client, server in self.rows:
            mark = "" if client == server else "  <- see below"
            lines.append(f"  {method + ' ' + route:<67}{status:>6}{client:>9}{server:>9}{mark}")
        for one in self.unanswered:
            lines.append(
                f"  {one['route']}: {one['unanswered']} without an answer = {one['cancelled']} given up on the server"
                f" + {one['unread']} answered, unread + {one['never_arrived']} that never arrived"
            )
        total = sum(client for _, client, _ in self.rows), sum(server for _, _, server in self.rows)
        verdict = "DISAGREE" if self.findings else "agree"
        lines.append(f"  both sides {verdict}: {total[0]} answers read by k6, {total[1]} given by the service")
        return "\n".join(lines + [f"  ! {finding}" for finding in self.findings])


def compare(summary: dict[str, Any], server: Books) -> Agreement:
    """A profile's summary against the service's counts of the same time."""
    result = Agreement()
    client: Counter[Request] = Counter()
    begun: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for one in summary["answered"]:
        if one["status"] != 0:
            client[one["method"], one["route"], one["status"]] += one["count"]
            read[one["route"]] += one["count"]
    for one in summary["begun"]:
        begun[one["route"]] += one["count"]
    listed = sum(one["count"] for one in summary["answered"])
    if listed != summary["requests"]:
        result.findings.append(
            f"k6 counted {summary['requests']} requests, of which its routes and statuses list {listed}"
        )

    unread: dict[str, int] = defaultdict(int)
    for key in sorted(client.keys() | server.answered.keys()):
        result.rows.append((key, client[key], server.answered[key]))
        more = server.answered[key] - client[key]
        if more < 0:
            result.findings.append(f"{' '.join(map(str, key))}: k6 read {-more} answers that the service did not count")
        else:
            unread[key[1]] += more
    for route in sorted(begun.keys() | unread.keys() | server.cancelled.keys()):
        unanswered = begun[route] - read[route]
        cancelled = server.cancelled[route]
        never_arrived = unanswered - cancelled - unread[route]
        if unanswered or cancelled or unread[route]:
            result.unanswered.append(
                {
                    "route": route,
                    "unanswered": unanswered,
                    "cancelled": cancelled,
                    "unread": unread[route],
                    "never_arrived": never_arrived,
                }
            )
        if never_arrived < 0:
            result.findings.append(f"{route}: the service counted {-never_arrived} requests that k6 did not send")
    return result
