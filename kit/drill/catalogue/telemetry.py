"""What carries the telemetry away."""

import urllib.request
from collections.abc import Iterator

from kit.drill.catalogue.common import through
from kit.drill.drill import drill
from kit.drill.proxy import Proxy
from kit.drill.scene import Scene
from kit.process import http as fetch

drill(
    "collector-down",
    "The collector of traces refuses connections",
    needs=("collector",),
    expects={"ConvokeSpansLost": "28m"},
    core=True,
)(through("collector", Proxy.refuse))


drill(
    "collector-black-hole",
    "The collector of traces takes connections and never answers",
    needs=("collector",),
    # An export is tried every 5 s and given up after 10, which is ten minutes of the drill's clock: a whole window.
    settings={"OTEL_EXPORTER_OTLP_TIMEOUT": "2000", "OTEL_BSP_SCHEDULE_DELAY": "1000"},
    expects={"ConvokeSpansLost": "35m"},
)(through("collector", Proxy.black_hole))


@drill(
    "log-sink-blocked",
    "Nobody reads the service's standard output",
    needs=("log pipe",),
    expects={"ConvokeLogLinesLost": "28m"},
)
def log_sink_blocked(scene: Scene) -> Iterator[None]:
    assert scene.reader is not None  # noqa: S101
    scene.reader.pause()
    # 8 MiB are kept before a line is lost: at this level they are soon full.
    asked = b'{"filter": "trace", "ttl_seconds": 600}'
    _put(f"{scene.service.ops_url}/log-level", asked)
    client = scene.client("talkative")
    scene.traffic(lambda: client.request("GET", "/api/v1/events/?limit=50"), 0.005, clients=8)
    yield
    scene.end_traffic()
    _put(f"{scene.service.ops_url}/log-level", b'{"filter": "info"}')
    scene.reader.resume()


def _put(url: str, body: bytes) -> None:
    asked = urllib.request.Request(url, body, {"content-type": "application/json"}, method="PUT")  # noqa: S310
    urllib.request.urlopen(asked, timeout=10).close()  # noqa: S310


drill(
    "scrape-blocked",
    "Prometheus gets no answer from the ops listener",
    needs=("ops proxy",),
    expects={"ConvokeDown": "4m"},
)(through("ops", Proxy.black_hole))


drill(
    "scrape-slow",
    "A scrape takes 6 s",
    needs=("ops proxy",),
    # A scrape that takes so long needs an interval that is longer, and windows that hold some of them.
    scrape_interval="8s",
    scale=0.1,
    expects={"ConvokeScrapeSlow": "25m"},
)(through("ops", lambda proxy: proxy.delay(6)))


@drill(
    "too-many-series",
    "A defect makes ever new series",
    needs=("drills",),
    expects={"ConvokeTooManySeries": "13m"},
)
def too_many_series(scene: Scene) -> Iterator[None]:
    scene.inject("series", 12_000)
    fetch(f"{scene.service.ops_url}/metrics", timeout=20)
    yield
    # What was made stays until a restart, as with a real defect.
    scene.restart()
