"""Runs promtool over the rules and their tests, and sees to it that no alert lacks one of its three kinds of test:
one in which it fires, one in which it is silent, and one at its threshold."""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import yaml

from kit import routing
from kit.paths import ALERTS

TESTS = ALERTS / "tests"
KINDS = ("fires", "silent", "threshold")
_NAME = re.compile(rf"(Convoke\w+) ({'|'.join(KINDS)}): \S")


def rule_files() -> list[Path]:
    """The files of rules, as Prometheus loads them."""
    return sorted(ALERTS.glob("*.rules.yaml"))


def alerts() -> set[str]:
    """The names of all alerts."""
    files = (yaml.safe_load(file.read_text()) for file in rule_files())
    rules = (rule for file in files for group in file["groups"] for rule in group["rules"])
    return {rule["alert"] for rule in rules if "alert" in rule}


def test_files() -> list[Path]:
    """The files of tests."""
    return sorted(TESTS.glob("*.test.yaml"))


def _expected(test: dict) -> list[str]:
    """The alerts of which a test expects one to fire, with all of its labels and texts."""
    return [one["alertname"] for one in test.get("alert_rule_test", []) if one.get("exp_alerts")]


def _others(test: dict, alert: str) -> list[str]:
    """The questions of a test that are not about its alert: a misspelt name would be silent for ever."""
    asked = [one["expr"] for one in test.get("promql_expr_test", [])]
    asked += [f'alertname="{one["alertname"]}"' for one in test.get("alert_rule_test", [])]
    return [one for one in asked if f'alertname="{alert}"' not in one]


def kinds_missing(known: set[str], files: list[Path]) -> list[str]:
    """What is wrong with the tests as such: a kind that an alert lacks, a name that says no kind, a test of nothing."""
    found: dict[str, set[str]] = defaultdict(set)
    complete: set[str] = set()
    problems = []
    for file in files:
        for test in yaml.safe_load(file.read_text())["tests"]:
            name = test.get("name", "")
            if not test.get("alert_rule_test") and not test.get("promql_expr_test"):
                problems.append(f"{file.name}: {name!r} expects nothing")
            complete.update(_expected(test))
            # The recordings are tested by value, and not by kind.
            if not file.name.startswith("Convoke"):
                continue
            match = _NAME.match(name)
            if match is None or match[1] not in known or not file.name.startswith(match[1]):
                problems.append(f"{file.name}: {name!r} is not named 'Alert {'|'.join(KINDS)}: …'")
            else:
                found[match[1]].add(match[2])
                problems += [f"{file.name}: {name!r} asks {one}" for one in _others(test, match[1])]
    for alert in sorted(known):
        problems += [f"{alert}: no test in which it {kind}" for kind in KINDS if kind not in found[alert]]
        if alert not in complete:
            problems.append(f"{alert}: no test expects its labels and annotations")
    return problems


def _promtool(*arguments: str | Path) -> bool:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit test_rules", description=__doc__)
    parser.add_argument("--without-routing", action="store_true", help="start no Alertmanager")
    options = parser.parse_args(arguments)
    problems = kinds_missing(alerts(), test_files())
    print("\n".join(problems), file=sys.stderr)
    good = not problems
    good &= _promtool("check", "rules", *rule_files())
    good &= _promtool("test", "rules", *test_files())
    if not options.without_routing:
        good &= routing.test()
    if good:
        print(f"{len(alerts())} alerts fire, stay silent and stop at their thresholds as {len(test_files())} files say")
    return 0 if good else 1
