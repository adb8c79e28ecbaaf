"""What clients do to the API."""

import contextlib
import http.client
import random
import socket
import string
from collections.abc import Iterator

from kit.client import Caller
from kit.drill.drill import drill
from kit.drill.scene import Scene
from kit.process import http as fetch

PLACES = 32


@drill(
    "slow-clients",
    "Clients that send their requests slowly take every place",
    settings={"CONVOKE_MAX_IN_FLIGHT": str(PLACES)},
    expects={"ConvokeOverloaded": "9m", "ConvokeApiAvailabilityBudgetBurn": "9m"},
    also={"ConvokeRouteErrors": "what is refused is an error of its route"},
    clears="40m",
)
def slow_clients(scene: Scene) -> Iterator[None]:
    token = scene.client("slow").token
    host, _, port = scene.service.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/events/ HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
    ).encode()

    def crawl() -> None:
        with socket.create_connection((host, int(port)), 5) as link:
            link.sendall(head)
            # Until the service, or this side, has had enough of it.
            while link.recv(4096):
                pass

    scene.traffic(crawl, 0.05, clients=PLACES + 8)
    yield


@drill(
    "flood",
    "One client asks far more often than it may",
    settings={"CONVOKE_RATE_LIMIT_READS": "600/60s"},
    expects={"ConvokeRateLimitFlood": "17m"},
    core=True,
)
def flood(scene: Scene) -> Iterator[None]:
    client = scene.client("flood")
    scene.traffic(lambda: scene.witness.judge("a flood", *client.request("GET", "/api/v1/users/me")), 0.02, clients=4)
    yield


@drill(
    "credential-stuffing",
    "Somebody tries stolen passwords from one address",
    # The load's own people log in from that address, too, before it begins.
    settings={"CONVOKE_RATE_LIMIT_LOGIN": "60/60s"},
    expects={"ConvokeLoginFailures": "12m"},
    also={"ConvokeRateLimitFlood": "most of the attempts are over the rate"},
)
def credential_stuffing(scene: Scene) -> Iterator[None]:
    caller = Caller(scene.service, 15)

    def attempt() -> None:
        account = {"email": f"{random.randrange(10**9)}@example.org", "password": "hunter2 hunter2"}  # noqa: S311
        scene.witness.judge("a login", *caller.request("POST", "/api/v1/auth/login", account))

    scene.traffic(attempt, 0.05, clients=2)
    yield


@drill(
    "label-explosion",
    "Somebody sends ever new paths, methods and headers, so that metrics get ever new labels: nothing comes of it",
    hold="15m",
)
def label_explosion(scene: Scene) -> Iterator[None]:
    before = scene.metric("telemetry_series")
    letters = random.Random(7)  # noqa: S311
    asked = 0

    def word() -> str:
        return "".join(letters.choices(string.ascii_lowercase, k=12))

    def explore() -> None:
        nonlocal asked
        host = scene.service.url.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(host, timeout=10)) as link:
            path = f"/api/v1/{word()}/{word()}?{word()}={word()}"
            link.request(word().upper(), path, headers={f"x-{word()}": word()})
            link.getresponse().read()
        asked += 1

    scene.traffic(explore, 0.01, clients=4)
    yield
    scene.end_traffic()
    fetch(f"{scene.service.ops_url}/metrics", timeout=20)
    grown = scene.metric("telemetry_series") - before
    if asked < 100 or grown > 0:
        scene.witness.findings.append(f"{asked} strange requests added {grown:g} series")
