"""Starts Convoke, Prometheus with the shipped rules, Alertmanager and a steady load here, until interrupted."""

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from kit.load import ENGINES, k6
from kit.panels import check_panels
from kit.paths import DASHBOARDS
from kit.process import Program, StartError
from kit.stack import Stack, stack

# Where people look first; others are taken when somebody is there.
PORTS = (8080, 9464, 9090, 9093)


def addresses(running: Stack) -> str:
    """Where to look, and what to try."""
    service, prometheus, receiver = running.service, running.prometheus, running.alertmanager
    place = running.logs
    return f"""
Convoke, its Prometheus and a load of k6 are running; Ctrl-C stops all of it.

  API            {service.url}/docs/
  ops console    {service.ops_url}/
  metrics        {service.ops_url}/metrics
  Prometheus     {prometheus.url}/alerts
  Alertmanager   {receiver.url if receiver else "not started: deploy/alertmanager.yaml is missing"}
  logs           {place} (removed at the end)

Try:
  tail -f {place}/convoke.log | jq -c 'select(.status >= 400)'
  curl -sS -X PUT {service.ops_url}/log-level -H 'content-type: application/json' \\
       -d '{{"filter": "debug", "ttl_seconds": 60}}'
  kill -STOP {service.program.pid}    # ConvokeDown within minutes; -CONT heals it
  {prometheus.url}/graph?g0.expr=histogram_quantile(0.99%2C%20sum%20by%20(le%2C%20http_route)%20(rate(http_server_request_duration_seconds_bucket%5B1m%5D)))&g0.tab=0
"""


def watch(running: Stack, load: Program, seconds: float | None) -> list[str]:
    """Stays until the time is over, or for ever; returns at once with what ended by itself."""
    parts = [running.service.program, running.prometheus.program, load]
    parts += [part.program for part in (running.alertmanager, running.postgres) if part is not None]
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        for part in parts:
            if not part.running:
                return [f"{part.name} ended with {part.exit_code}:\n{part.output()[-1000:]}"]
        time.sleep(0.2)
    return []


def firing(alerts: list[dict[str, Any]]) -> list[str]:
    """Prints what is pending or firing; returns what fires."""
    for alert in alerts:
        print(f"{alert['state']}: {alert['labels']}")
    found = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
    return [f"{labels['alertname']} fires: {labels}" for labels in found]


def check(running: Stack, dashboards: list[Path]) -> list[str]:
    """What is wrong although nothing was done to it: panels without data, rules that fail, alerts that fire."""
    sent, findings = check_panels(running.prometheus, dashboards)
    print(f"{sent} queries of {len(dashboards)} dashboards sent; {len(findings)} returned nothing or failed")
    rules = running.prometheus.rules()
    findings += [f"rule {rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"]
    alerts = running.prometheus.alerts()
    findings += firing(alerts)
    print(f"{len(rules)} rules evaluated; {len(alerts)} alerts pending or firing")
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit observe", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--rate", type=float, default=10, help="actions per second of the load")
    parser.add_argument("--for", dest="seconds", type=float, help="end by itself after so many seconds")
    parser.add_argument("--check", action="store_true", help="before the end: every panel has data and no alert fires")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, help="the folder of the dashboards to check")
    options = parser.parse_args(arguments)
    if options.check and options.seconds is None:
        parser.error("--check needs --for")
    dashboards = sorted(options.dashboards.glob("*.json"))
    if options.check and not dashboards:
        parser.error(f"{options.dashboards} has no dashboards")
    findings: list[str] = []
    try:
        with stack(options.engine, ports=PORTS) as running:
            load = k6(running, "soak", "observe", {"RATE": str(options.rate), "DURATION": "1000h"})
            running.also(load)
            print(addresses(running), flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                findings += watch(running, load, options.seconds)
                if options.check and not findings:
                    findings += check(running, dashboards)
            print("stopping", flush=True)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(findings) or "all stopped")
    return 1 if findings else 0
