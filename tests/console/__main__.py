"""`python3 -m tests.console check|previews PUBLIC OPS PID DATABASE LOG SCRATCH PORT`.

`tests/console.sh` starts the service and calls this.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .chromium import Chromium
from .prometheus import EVERY, Prometheus
from .service import Load, Service, fetch

SIZES = {"phone": (375, 812), "desk": (1280, 900)}
DRAWN = (
    "document.querySelectorAll('#signals .chart polyline').length >= 4"
    " && !!document.querySelector('#list .item') && !!document.querySelector('#detail .trace')"
)
REQUESTS = "http_server_request_duration_seconds"
PREVIEWS = Path("docs/previews")
MAX_PREVIEW_BYTES = 200_000


def step(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


def snapshot(service: Service) -> dict:
    status, headers, text = fetch(f"{service.ops}/console/snapshot")
    assert status == 200 and headers["content-type"] == "application/json", (status, headers)
    return json.loads(text)


def next_snapshot(service: Service) -> dict:
    """The first one that is sampled after now."""
    asked = time.time() * 1e3
    deadline = time.monotonic() + 30
    while (page := snapshot(service))["at_ms"] <= asked:
        assert time.monotonic() < deadline, "no new sample within 30 s"
        time.sleep(0.1)
    return page


def disturb(service: Service) -> tuple[str, str]:
    """One slow and one failing request, by a lock that another process holds; gives their trace ids."""
    _, _, event = service.create("With a guest")
    with ThreadPoolExecutor(1) as pool:
        with service.locked():
            invited = pool.submit(service.invite, event)
            # What is shown is to be well above the objective and below the service's patience of a second.
            time.sleep(0.7)
        status, slow = invited.result()
        assert status == 201, status
    with service.locked():
        status, failed, _ = service.create()
    assert status == 503, status
    return slow, failed


def agrees_under_load(service: Service, prometheus: Prometheus) -> None:
    """A total of the console lies between those that Prometheus scraped before and after it."""
    queries = {
        "requests": f"sum({REQUESTS}_count)",
        "2xx": f'sum({REQUESTS}_count{{http_response_status_code=~"2.."}})',
        "4xx": f'sum({REQUESTS}_count{{http_response_status_code=~"4.."}})',
    }
    compared = 0
    for _ in range(10):
        page = next_snapshot(service)
        at = page["at_ms"] / 1e3
        time.sleep(max(0.0, at + 2 * EVERY - time.time()))
        told = {"requests": page["totals"]["requests"]} | page["totals"]["by_class"]
        pairs = {
            name: [prometheus.value(query, when) for when in (at, at + 2 * EVERY)] for name, query in queries.items()
        }
        if any(value is None for pair in pairs.values() for value in pair):
            continue  # a scrape was too slow for Prometheus, which then knows nothing
        for name, (before, after) in pairs.items():
            assert before <= told[name] <= after, (name, before, told[name], after)
            assert after - before < 150, "the comparison would say nothing"
        compared += 1
        if compared == 3:
            return
    raise AssertionError(f"only {compared} samples of 10 could be compared")


def agrees_at_rest(service: Service, prometheus: Prometheus) -> dict:
    """With nothing under way every figure is the same on both sides; gives the console's."""
    # The outbox's gauges are set every 5 s.
    time.sleep(6)
    page = next_snapshot(service)
    time.sleep(2 * EVERY)
    totals = page["totals"]

    def same(told: float | None, query: str, tolerance: float = 0.0) -> None:
        value = prometheus.value(query)
        assert value is not None and told is not None, (query, told, value)
        assert abs(told - value) <= tolerance, (query, told, value)

    same(totals["requests"], f"sum({REQUESTS}_count)")
    for name in ("2xx", "4xx", "5xx"):
        same(totals["by_class"][name], f'sum({REQUESTS}_count{{http_response_status_code=~"{name[0]}.."}})')
    for bound, count in zip(totals["latency_bounds_seconds"], totals["latency_buckets"], strict=False):
        same(count, f'sum({REQUESTS}_bucket{{le=~"{bound:g}|{bound}"}})')
    slos = {slo["name"]: slo["since_start"] for slo in page["slos"]}
    api = 'http_route=~"/api/.+",http_response_status_code!="429"'
    good = api + ',http_response_status_code!~"5.."'
    answered = good + ',http_response_status_code!="408"'
    reads = answered + ',http_request_method=~"GET|HEAD"'
    writes = answered + ',http_request_method=~"POST|PUT|PATCH|DELETE"'
    lag = "outbox_delivery_lag_seconds"
    for name, query in {
        "api-availability": (f"{REQUESTS}_count{{{good}}}", f"{REQUESTS}_count{{{api}}}"),
        "api-read-latency": (f'{REQUESTS}_bucket{{{reads},le="0.25"}}', f"{REQUESTS}_count{{{reads}}}"),
        "api-write-latency": (f'{REQUESTS}_bucket{{{writes},le="0.5"}}', f"{REQUESTS}_count{{{writes}}}"),
        "delivery-freshness": (f'{lag}_bucket{{le="29.5"}}', f"{lag}_count"),
    }.items():
        same(slos[name]["good"], f"sum({query[0]})")
        same(slos[name]["total"], f"sum({query[1]})")
    inbox = page["outbox"][0]
    same(inbox["outcomes"]["delivered"], 'sum(outbox_deliveries_total{outcome="delivered"})')
    same(inbox["pending"], "sum(outbox_pending)")
    same(page["now"]["pool"]["max"], "db_client_connection_max")
    # The service is younger than the table's window, so the table is about all of it.
    assert page["routes"]["covered_seconds"] < 300 and page["routes"]["rows"]
    for row in page["routes"]["rows"]:
        selector = f'http_request_method="{row["method"]}",http_route="{row["route"]}"'
        same(row["count"], f"sum({REQUESTS}_count{{{selector}}})")
        for quantile in ("0.5", "0.95", "0.99"):
            told = row["p" + quantile[2:].ljust(2, "0")]
            same(told, f"histogram_quantile({quantile}, sum by (le) ({REQUESTS}_bucket{{{selector}}}))", 2e-6)
    return page


def shows(page: Chromium, trace: str, wanted: list[str], log: Path) -> None:
    """A request is shown by its trace id: its waterfall, and the log lines as they are in the log."""
    page.run(f"location.hash = '#trace={trace}'")
    page.wait_for(f"document.querySelector('#detail')?.innerText.includes('{trace}')")
    assert page.run("document.querySelectorAll('#detail .waterfall .track span').length") >= 2, "no waterfall"
    text = str(page.run("document.querySelector('#detail').textContent"))
    for word in wanted:
        assert word in text, f"{word!r} is not in {text}"
    logged = [json.loads(line) for line in log.read_text().splitlines() if trace in line]
    assert logged, "the log does not know the trace"
    shown = page.run(
        "[...document.querySelector('#detail .trace').querySelectorAll('.said > b')].map((one) => one.textContent)"
    )
    assert shown == [line["message"] for line in logged if line["trace_id"] == trace], (shown, logged)
    assert logged[-1]["request_id"] in text


def looks_right(page: Chromium, url: str) -> None:
    grounds = set()
    for name, size in SIZES.items():
        for scheme in ("light", "dark"):
            page.look(*size, scheme)
            page.go(url)
            page.wait_for("document.querySelectorAll('#signals .chart polyline').length >= 4")
            page.wait_for(
                "document.querySelectorAll('#list .item').length > 0 && !!document.querySelector('#detail .trace')"
            )
            wide = page.run("document.documentElement.scrollWidth")
            assert wide <= size[0], f"{name}: {wide} px wide"
            cut = page.run(
                "[...document.querySelectorAll('main *')]"
                ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, svg'))"
                ".map((one) => one.outerHTML.slice(0, 120))"
            )
            assert not cut, f"{name}: beyond the edge: {cut}"
            grounds.add(page.run("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2, grounds


def shows_the_figures(page: Chromium, told: dict) -> None:
    """What is written on the page is what the document says."""

    def text(selector: str) -> str:
        # Thousands are set apart by a narrow space.
        return str(page.run(f"document.querySelector('{selector}').textContent")).replace("\u202f", "")

    page.wait_for("document.querySelectorAll('#slos .slo').length === 4")
    promised = told["slos"][0]["since_start"]["total"]
    assert f"bad of {promised}" in text("#slos"), text("#slos")
    assert f"delivered{told['outbox'][0]['outcomes']['delivered']} since start" in text("#outbox"), text("#outbox")
    cells = page.run("[...document.querySelectorAll('#routes tbody tr')].map((one) => one.cells[1].textContent)")
    assert isinstance(cells, list)
    assert [cell.replace("\u202f", "") for cell in cells] == [str(row["count"]) for row in told["routes"]["rows"][:10]]
    assert "ready" in text("#verdict") and "not ready" not in text("#verdict")
    assert "database" in text("#readiness")
    assert told["about"]["version"] in text("#build")


def works_by_keyboard(page: Chromium) -> None:
    page.run("document.querySelector('#signals .chart').focus()")
    page.press("ArrowLeft")
    page.wait_for("document.querySelector('#signals .reading').textContent.startsWith('at ')")
    page.run("document.querySelector('[data-filter=failed]').focus()")
    page.press("Enter")
    page.wait_for("document.querySelector('[data-filter=failed]').getAttribute('aria-pressed') === 'true'")
    page.press("Tab")
    page.press("Tab")
    focused = page.run("getComputedStyle(document.activeElement).outlineStyle")
    assert focused != "none", "the focus cannot be seen"


def says_when_nobody_answers(page: Chromium, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        page.wait_for("document.body.classList.contains('stale')", 20)
        said = str(page.run("document.querySelector('#alarm').textContent"))
        assert said.startswith("Service not answering since "), said
        page.listen(6)
        assert page.run("document.querySelector('#alarm').textContent") == said, "it keeps saying so"
        assert page.run("document.querySelectorAll('#routes tbody tr').length") > 0, "the last figures stay"
    finally:
        os.kill(pid, signal.SIGCONT)
    page.wait_for("!document.body.classList.contains('stale')", 20)


def check(service: Service, pid: int, log: Path, scratch: Path, port: int) -> None:
    with Prometheus(scratch, port, service.ops.removeprefix("http://")) as prometheus, Chromium() as page:
        page.look(*SIZES["desk"], "light")
        page.go(f"{service.ops}/")
        page.wait_for("document.querySelector('#failures')?.textContent.startsWith('None.')")
        step("empty states are told in words")
        load = Load(service, 12)
        try:
            agrees_under_load(service, prometheus)
            step("under load the totals agree with Prometheus's within a scrape")
            slow, failed = disturb(service)
        finally:
            load.stop()
        told = agrees_at_rest(service, prometheus)
        step("at rest every figure is the same as Prometheus's, quantiles included")
        looks_right(page, f"{service.ops}/")
        step("375 and 1280 px, light and dark: drawn, and nothing beyond the edge")
        page.look(*SIZES["desk"], "light")
        page.go(f"{service.ops}/")
        shows_the_figures(page, told)
        for trace, why in ((slow, "slow"), (failed, "failed")):
            _, _, text = fetch(f"{service.ops}/console/traces/{trace}")
            assert json.loads(text)["record"]["why"] == why, text
        shows(page, failed, ["503", "database_unavailable", "the database is unavailable", "SQLITE_BUSY"], log)
        shows(page, slow, ["201", "connection", "COMMIT", "deliver"], log)
        step("a failing and a slow request are shown with waterfall, log lines and the delivery")
        works_by_keyboard(page)
        step("it works by keyboard")
        assert not page.complaints, page.complaints
        step("no error, warning or violation of the policy in the browser's console")
        says_when_nobody_answers(page, pid)
        step("it says since when nobody answers, and recovers")


def previews(service: Service) -> None:
    """Pictures for the README, from a real run of a little over two minutes."""
    load = Load(service, 9)
    try:
        time.sleep(75)
        slow, _ = disturb(service)
        time.sleep(60)
        with Chromium() as page:
            for name, size, scheme, height in (
                ("console-light", (1280, 900), "light", None),
                ("console-dark", (1280, 900), "dark", None),
                ("console-phone", (375, 812), "light", 1900),
            ):
                page.look(*size, scheme)
                page.go("about:blank")
                page.go(f"{service.ops}/#trace={slow}")
                page.wait_for(DRAWN)
                page.run("document.querySelector('[data-filter=slow]').click()")
                page.wait_for(f"document.querySelector('#detail').innerText.includes('{slow}')")
                page.listen(1)
                page.run("scrollTo(0, 0)")
                path = PREVIEWS / f"{name}.png"
                page.picture(path, height)
                size_of = path.stat().st_size
                assert size_of < MAX_PREVIEW_BYTES, f"{path} has {size_of} bytes"
                step(f"{path} {size_of} bytes")
    finally:
        load.stop()


def main() -> int:
    mode, public, ops, pid, database, log, scratch, port = sys.argv[1:]
    service = Service(public, ops, Path(database))
    if mode == "previews":
        previews(service)
    else:
        check(service, int(pid), Path(log), Path(scratch), int(port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
