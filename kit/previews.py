"""Draws each dashboard from a real Prometheus after a real load, into `docs/previews/<uid>.png`.

The pictures are drawn by the kit's own renderer, not by Grafana: it asks Prometheus each panel's queries and draws the
panel kinds that the dashboards use.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from kit.drawing import page, png
from kit.drawing.evaluate import Window
from kit.load import THRESHOLDS_BROKEN, k6
from kit.paths import DASHBOARDS, DOCS
from kit.process import Program, StartError
from kit.prometheus import PrometheusClient
from kit.stack import stack
from kit.trace_sink import trace_sink

OUT = DOCS / "previews"
LIMIT = 300_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
]


def browser() -> str:
    """The headless browser that takes the pictures."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise StartError("chromium is missing; on Debian: apt-get install chromium")
    return found


def screenshot(document: Path, picture: Path, height: int) -> None:
    """Takes a picture of a whole page."""
    with tempfile.TemporaryDirectory(prefix="convoke-previews.") as folder:
        command = [browser(), *FLAGS, f"--user-data-dir={folder}/profile", f"--screenshot={picture}"]
        command += [f"--window-size={page.WIDTH},{height}", "--force-device-scale-factor=1", document.as_uri()]
        with Program("chromium", command, Path(folder) / "chromium.log") as program:
            if program.wait(120) != 0 or not picture.exists():
                raise StartError(f"no picture of {document.name}:\n{program.output()}")


def render(prometheus_url: str, out: Path, seconds: float, what: str) -> list[str]:
    """Draws every dashboard over the last so many seconds; returns the queries that yielded nothing. `what` says in the
    footer what was running."""
    client = PrometheusClient(prometheus_url)
    scrapes = [float(one["scrapeInterval"].rstrip("s")) for one in client.targets()]
    interval = max(scrapes)
    end = time.time()
    window = Window(end - seconds, end, max(interval, round(seconds / 150)), interval)
    out.mkdir(parents=True, exist_ok=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="convoke-previews.") as folder:
        for path in sorted(DASHBOARDS.glob("*.json")):
            footer = (
                "Drawn by `make previews` from a Prometheus's answers, not by Grafana, which looks a little different: "
                f"{what}, {time.strftime('%Y-%m-%d', time.gmtime(end))}"
            )
            text, height, empty = page.draw(client, json.loads(path.read_text()), window, footer)
            document, picture = Path(folder) / f"{path.stem}.html", out / f"{path.stem}.png"
            document.write_text(text)
            screenshot(document, picture, height)
            picture.write_bytes(png.with_palette(picture.read_bytes()))
            size = picture.stat().st_size
            print(f"{picture.name}: {page.WIDTH} x {height}, {size / 1000:.0f} kB, {len(empty)} queries without data")
            found += [f"{path.stem}: {one}" for one in empty]
            if size > LIMIT:
                found.append(f"{picture.name} has {size} bytes, over {LIMIT}")
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit previews", description=__doc__)
    parser.add_argument("--prometheus", help="draw from this one and start nothing")
    parser.add_argument("--seconds", type=float, default=300, help="how long the load runs, and the pictures' range")
    parser.add_argument("--rate", default="40", help="actions a second of the load")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    if options.prometheus:
        found = render(options.prometheus, options.out, options.seconds, "a service and a load started elsewhere")
    else:
        with trace_sink() as sink, stack(settings={"OTEL_EXPORTER_OTLP_ENDPOINT": sink}, interval="5s") as running:
            running.prometheus.wait_scraped()
            started = time.time()
            load = {"DURATION": f"{options.seconds:.0f}s", "RATE": options.rate}
            program = k6(running, "load", "previews", load)
            running.also(program)
            code = program.wait(options.seconds + 120)
            # A threshold broken by a debug build is still a load to draw.
            if code not in (0, THRESHOLDS_BROKEN):
                print(f"{program.output()}\nthe load test ended with {code}", file=sys.stderr)
                return 1
            what = f"{options.seconds / 60:.0f} minutes of the load test at {options.rate} actions a second, on SQLite"
            # What the load set up before it began is shown too.
            found = render(running.prometheus.url, options.out, time.time() - started, what)
    for one in found:
        print(one, file=sys.stderr)
    return 1 if found else 0
