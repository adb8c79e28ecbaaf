"""Runs the load tests against a service started here, and compares k6's counts with the service's after each."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kit.agreement import Books, compare
from kit.exposition import samples
from kit.paths import LOAD_TESTS
from kit.process import Program, StartError, wait_until
from kit.stack import Stack, convoke_binary, stack

PROFILES = ["smoke", "load", "spike", "stress", "breakpoint", "soak"]
ENGINES = ["sqlite", "postgres"]
# The places for requests in flight are made few, so that one machine's k6 can fill them.
SETTINGS = {"stress": {"CONVOKE_MAX_IN_FLIGHT": "64"}, "spike": {"CONVOKE_MAX_IN_FLIGHT": "64"}}
# Both sides share the processors here, so k6's clock says how busy they were, and the service's how quick it refused.
PATIENCE = {"stress": {"REFUSED_WITHIN": "10000"}}
QUICK = 0.95
# Finding the rate that breaks an SLO is what that profile is for.
MAY_BREAK = {"breakpoint"}
THRESHOLDS_BROKEN = 99
LONGEST = 4 * 3600


def k6_binary() -> str:
    """K6_BIN, the virtual environment's or PATH's."""
    beside = Path(sys.executable).parent / "k6"
    found = os.environ.get("K6_BIN") or (str(beside) if beside.exists() else shutil.which("k6"))
    if not found:
        raise StartError("k6 is missing; see load-tests/README.md")
    return found


def k6(running: Stack, profile: str, test_id: str, settings: dict[str, str] | None = None) -> Program:
    """A run of a profile against a stack, not yet started. It reports to the stack's Prometheus; its summary is written
    beside its log. Settings of the profile come from the environment and from `settings`."""
    own = {
        "API": running.service.url,
        "SUMMARY_FILE": str(running.logs / f"{test_id}.json"),
        "K6_PROMETHEUS_RW_SERVER_URL": f"{running.prometheus.url}/api/v1/write",
        "K6_PROMETHEUS_RW_TREND_STATS": "p(50),p(95),p(99),max",
        "K6_PROMETHEUS_RW_PUSH_INTERVAL": "5s",
        "K6_NO_USAGE_REPORT": "true",
        **(settings or {}),
    }
    # The API of k6 itself would take a fixed port.
    command = [k6_binary(), "run", "--quiet", "--no-color", "--address=", "-o", "experimental-prometheus-rw"]
    command += ["--tag", f"testid={test_id}", str(LOAD_TESTS / f"{profile}.js")]
    return Program(
        "k6", command, running.logs / f"{test_id}.log", environment=os.environ | own, stop_signal=signal.SIGINT
    )


def memory(running: Stack, start: float, end: float) -> dict[str, Any] | None:
    """The resident memory in the second half of a run: its mean, and its slope by least squares. Also as it was all
    along, in 40 points."""
    resident = 'process_resident_memory_bytes{job="convoke"}'
    found = running.prometheus.query_range(resident, start + (end - start) / 2, end, 5)
    points = found[0].points if found else []
    if len(points) < 3:
        return None
    mean_t = sum(t for t, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (value - mean) for t, value in points) / spread
    return {
        "mean_bytes": mean,
        "bytes_per_hour": slope * 3600,
        "seconds": points[-1][0] - points[0][0],
        "all": running.prometheus.query_range(resident, start, end, max(5, (end - start) / 40))[0].points,
    }


def refusals(before: str, after: str) -> dict[str, float] | None:
    """How many 503 the service gave, and the share of them within a tenth of a second by its own clock."""

    def count(text: str, suffix: str, bound: str | None) -> float:
        found = samples(text, f"http_server_request_duration_seconds_{suffix}")
        wanted = [
            value
            for labels, value in found
            if labels["http_response_status_code"] == "503" and labels.get("le") == bound
        ]
        return sum(wanted)

    total = count(after, "count", None) - count(before, "count", None)
    if total == 0:
        return None
    quick = (count(after, "bucket", "0.1") - count(before, "bucket", "0.1")) / total
    print(f"  the service answered 503 to {total:.0f} requests, {quick:.1%} of them within 0.1 s", flush=True)
    return {"total": total, "within_0.1_s": quick}


def told_prometheus(running: Stack, test_id: str, summary: dict[str, Any]) -> str | None:
    """What is wrong with k6's own count in Prometheus, if anything."""

    def count() -> float:
        # Over the whole run: k6 sends a series only when it changes.
        found = running.prometheus.query(f'sum(last_over_time(k6_http_reqs_total{{testid="{test_id}"}}[1d]))')
        return found[0].value if found else 0

    try:
        wait_until("k6's count in Prometheus", lambda: count() == summary["requests"], 10, every=0.5)
    except TimeoutError:
        return f"Prometheus was told of {count():g} requests by k6, which made {summary['requests']}"
    return None


def run(profile: str, engine: str, settings: dict[str, str], out: Path) -> list[str]:
    """Runs one profile on a fresh service; prints what was seen and returns what is wrong."""
    test_id = f"{profile}-{engine}"
    print(f"=== {profile} on {engine}", flush=True)
    findings = []
    with stack(engine, settings=SETTINGS.get(profile), interval="5s") as running:
        before = running.service.metrics()
        start = time.time()
        program = k6(running, profile, test_id, PATIENCE.get(profile, {}) | settings)
        running.also(program)
        code = program.wait(LONGEST)
        end = time.time()
        print(program.output(), flush=True)
        written = Path(program.environment["SUMMARY_FILE"])  # type: ignore[index]
        if not written.exists():
            return [f"{test_id}: k6 ended with {code} and wrote no summary"]
        summary = json.loads(written.read_text())

        running.service.wait_quiet()
        after = running.service.metrics()
        agreement = compare(summary, Books.read(after).since(Books.read(before)))
        print(agreement.text(), flush=True)
        summary["refusals"] = refusals(before, after)
        findings += agreement.findings
        findings += filter(None, [told_prometheus(running, test_id, summary)])
        summary["agreement"] = {"unanswered": agreement.unanswered, "findings": agreement.findings}
        summary["memory"] = memory(running, start, end)
        if profile == "stress" and summary["refusals"] and summary["refusals"]["within_0.1_s"] < QUICK:
            findings.append(f"only {summary['refusals']['within_0.1_s']:.1%} of the refusals took less than 0.1 s")
        if profile == "soak":
            findings += creep(summary["memory"])

        judged = [one for one in summary["thresholds"] if "scenario:rate_" not in one["metric"]]
        empty = [one for one in judged if one["metric"].startswith("http_req") and not one["samples"]]
        findings += [f"threshold over nothing: {one['metric']}: {one['source']}" for one in empty]
        broken = [one for one in summary["thresholds"] if not one["ok"]]
        if profile in MAY_BREAK:
            if summary["figures"]["sustained"] is None:
                findings.append("the lowest rate already broke an SLO")
            broken = [one for one in broken if "scenario:rate_" not in one["metric"]]
        findings += [f"threshold broken: {one['metric']}: {one['source']}" for one in broken]
        if code not in (0, THRESHOLDS_BROKEN):
            findings.append(f"k6 ended with {code}")
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{test_id}.json").write_text(json.dumps(summary, indent=2) + "\n")
    return [f"{test_id}: {finding}" for finding in findings]


def creep(seen: dict[str, Any] | None) -> list[str]:
    """Whether memory grew in the second half of a soak by more than a tenth. Under five minutes nothing is said: caches
    and pages are still being filled."""
    if seen is None:
        return ["memory was not measured"]
    grown = seen["bytes_per_hour"] * seen["seconds"] / 3600
    megabytes = 1024 * 1024
    print(
        f"  memory in the second half: {seen['mean_bytes'] / megabytes:.0f} MiB on average, "
        f"{seen['bytes_per_hour'] / megabytes:+.1f} MiB an hour over {seen['seconds']:.0f} s"
    )
    if seen["seconds"] >= 300 and grown > seen["mean_bytes"] / 10:
        return [f"memory grew by {grown / megabytes:.0f} MiB in {seen['seconds']:.0f} s"]
    return []


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit load", description=__doc__)
    parser.add_argument(
        "profiles", nargs="*", metavar="PROFILE", help=f"of {', '.join(PROFILES)}; all if none is named"
    )
    parser.add_argument("--engine", choices=ENGINES, action="append", help="may be repeated; both if not given")
    parser.add_argument("--duration", help="instead of each profile's own, such as 45s (breakpoint: of each step)")
    parser.add_argument("--rate", type=float, help="instead of each profile's own, in actions per second")
    parser.add_argument(
        "--peak", type=float, help="of spike and stress, and the end of breakpoint, in actions per second"
    )
    parser.add_argument("--out", type=Path, help="the folder for a JSON summary of each run; a new one if not given")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.profiles if name not in PROFILES]
    if unknown:
        parser.error(f"unknown profile: {', '.join(unknown)}")
    out = (options.out or Path(tempfile.mkdtemp(prefix="convoke-load."))).resolve()
    settings = {"DURATION": options.duration, "RATE": options.rate, "PEAK": options.peak}
    settings = {name: str(value) for name, value in settings.items() if value is not None}

    findings = []
    try:
        print(f"{convoke_binary()}; summaries in {out}")
        for profile in options.profiles or PROFILES:
            for engine in options.engine or ENGINES:
                findings += run(profile, engine, settings, out)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(findings) or "every profile held its thresholds, and both sides' counts agree")
    return 1 if findings else 0
