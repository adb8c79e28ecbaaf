"""Asks a real Alertmanager with `deploy/alertmanager.yaml` who is told of which alerts. `alerts/tests/routing.yaml`
says what fires, and of which alerts people must then hear."""

import contextlib
import copy
import json
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import yaml

from kit.paths import ALERTS, DEPLOY
from kit.process import http, scratch_folder, stopped_at_end
from kit.ruleset import committed_rules
from kit.stack import Alertmanager

CASES = ALERTS / "tests" / "routing.yaml"
CONFIGURATION = DEPLOY / "alertmanager.yaml"
# An alert that is posted inhibits others a moment later.
PATIENCE = 10.0
SETTLING = 0.5
Labels = dict[str, str]


def _posted(given: str) -> list[Labels]:
    """The labels of an alert of a case, `Name{label="value", …}`, and those that its rule sets: once per rule."""
    name, _, matchers = given.partition("{")
    own = dict(part.split("=", 1) for part in matchers.rstrip("}").split(", ") if part)
    own = {label: value.strip('"') for label, value in own.items()}
    set_by_rules = [rule.labels for rule in committed_rules() if rule.is_alert and rule.name == name]
    if not set_by_rules:
        raise ValueError(f"{given}: there is no such alert")
    chosen = [labels for labels in set_by_rules if labels.items() >= {k: own[k] for k in own if k in labels}.items()]
    return [{"alertname": name, **labels, **own} for labels in chosen]


def _shown(labels: Labels) -> str:
    """An alert's name, with its labels that tell it from others."""
    told = ("long_window", "instance", "check", "error_type")
    return " ".join([labels["alertname"], *(labels[one] for one in told if one in labels)])


class Asked(Alertmanager):
    """One that is told of alerts, and asked of whom it would tell."""

    def post(self, alerts: list[Labels], seconds: float) -> None:
        """Says that alerts fire; or, with none left to go, that they are over."""
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
        body = json.dumps([{"labels": labels, "startsAt": start, "endsAt": end} for labels in alerts])
        http(f"{self.url}/api/v2/alerts", body.encode(), {"content-type": "application/json"})

    def told(self) -> dict[str, list[str]]:
        """Per receiver, the alerts that it hears of."""
        found: dict[str, list[str]] = {}
        for alert in json.loads(http(f"{self.url}/api/v2/alerts?active=true&inhibited=false")):
            for receiver in alert["receivers"]:
                found.setdefault(receiver["name"], []).append(_shown(alert["labels"]))
        return {receiver: sorted(alerts) for receiver, alerts in sorted(found.items())}


def _case(case: dict[str, Any], alertmanager: Asked, patience: float) -> str | None:
    """What a case finds wrong."""
    firing = [labels for given in case["firing"] for labels in _posted(given)]
    wanted = {receiver: sorted(alerts) for receiver, alerts in sorted(case["told"].items())}
    alertmanager.post(firing, 600)
    limit = time.monotonic() + patience
    while (told := alertmanager.told()) != wanted and time.monotonic() < limit:
        time.sleep(0.05)
    if told == wanted:
        # What would inhibit too much may only come to it now.
        time.sleep(SETTLING)
        told = alertmanager.told()
    alertmanager.post(firing, -1)
    limit = time.monotonic() + PATIENCE
    while alertmanager.alerts() and time.monotonic() < limit:
        time.sleep(0.05)
    return None if told == wanted else f"{case['name']}: told\n  {told}\nand not\n  {wanted}"


def findings(
    given: list[dict[str, Any]], configuration: Path, patience: float = PATIENCE
) -> Generator[str, None, None]:
    """What an Alertmanager with a configuration does otherwise than the cases say, as long as one asks."""
    with scratch_folder() as folder, stopped_at_end() as stops:
        alertmanager = Asked(folder / "data", folder, configuration)
        stops.callback(alertmanager.program.stop)
        alertmanager.start()
        for case in given:
            if found := _case(case, alertmanager, patience):
                yield found


def cases() -> list[dict[str, Any]]:
    """What fires, and of what people must hear."""
    return yaml.safe_load(CASES.read_text())


def left_out(given: list[dict[str, Any]]) -> set[str]:
    """The alerts of which no case says who is told."""
    named = {fired.partition("{")[0] for case in given for fired in case["firing"]}
    return {rule.name for rule in committed_rules() if rule.is_alert} - named


def test() -> bool:
    """Runs every case; prints what is wrong."""
    all_ = cases()
    wrong = [f"{alert} is in no case of alerts/tests/routing.yaml" for alert in sorted(left_out(all_))]
    wrong += findings(all_, CONFIGURATION)
    print("\n".join(wrong) or f"{len(all_)} cases of routing and inhibition are as alerts/tests/routing.yaml says")
    if wrong:
        print("people are told otherwise than alerts/tests/routing.yaml says", file=sys.stderr)
    return not wrong


def mutants() -> Iterator[tuple[str, dict[str, Any]]]:
    """The configuration with each rule of inhibition, each label that must be equal, each matcher beside another, and
    each route left out in turn."""
    given = yaml.safe_load(CONFIGURATION.read_text())
    for number, rule in enumerate(given["inhibit_rules"]):
        what = f"inhibit rule {number + 1}"
        changed = copy.deepcopy(given)
        del changed["inhibit_rules"][number]
        yield f"{what} dropped", changed
        lists = ["equal"] + [key for key in ("source_matchers", "target_matchers") if len(rule[key]) > 1]
        for key, index in ((one, index) for one in lists for index in range(len(rule[one]))):
            changed = copy.deepcopy(given)
            left_out = changed["inhibit_rules"][number][key].pop(index)
            yield f"{what}: {left_out} dropped from {key}", changed
    for index, route in enumerate(given["route"]["routes"]):
        changed = copy.deepcopy(given)
        del changed["route"]["routes"][index]
        yield f"route to {route['receiver']} dropped", changed


def noticed(configuration: dict[str, Any]) -> bool:
    """Whether a case notices a changed configuration."""
    with scratch_folder() as folder:
        file = folder / "alertmanager.yaml"
        file.write_text(yaml.safe_dump(configuration))
        with contextlib.closing(findings(cases(), file, patience=1.5)) as found:
            return any(found)
