"""Changes each rule in turn: every number, comparator, window, `for`, aggregation, label and matcher. A rule test must
notice each change; a change that survives is a fact about the rule that no test states."""

import argparse
import copy
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from kit import durations
from kit.mutants import Change, changes
from kit.paths import ALERTS
from kit.test_rules import TESTS, rule_files

Rule = dict[str, Any]
EQUIVALENT = TESTS / "equivalent-mutants.yaml"


@dataclass(frozen=True)
class Mutant:
    """A changed rule, and the rules that its tests need beside it."""

    file: str
    name: str
    what: str
    rules: tuple[Rule, ...]
    tests: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


def _title(rule: Rule) -> str:
    labels = rule.get("labels", {})
    parts = [rule.get("alert") or rule["record"], labels.get("slo") if "record" in rule else labels.get("long_window")]
    return " ".join(part for part in parts if part)


def _tests_of(rule: Rule) -> tuple[Path, ...]:
    pattern = f"{rule['alert']}*.test.yaml" if "alert" in rule else "slo-recordings*.test.yaml"
    return tuple(sorted(TESTS.glob(pattern)))


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    for change in changes(rule["expr"]):
        _check(rule, change)
        yield change.what, {**rule, "expr": change.query}
    if "for" in rule:
        for factor in (0.5, 2):
            yield f"for x {factor}", {**rule, "for": durations.scaled(rule["for"], factor)}


def _check(rule: Rule, change: Change) -> None:
    try:
        promql_parser.parse(change.query)
    except ValueError as error:
        raise ValueError(f"{_title(rule)}: {change.what} makes no query: {error}\n{change.query}") from error


def mutants(only: str = "") -> list[Mutant]:
    """Every mutant of every rule whose name contains `only`."""
    found = []
    for file in rule_files():
        groups = yaml.safe_load(file.read_text())["groups"]
        rules: list[Rule] = [rule for group in groups for rule in group["rules"]]
        recordings = [rule for rule in rules if "record" in rule]
        for rule in rules:
            if only not in _title(rule):
                continue
            same = [other for other in rules if other.get("alert") == rule["alert"]] if "alert" in rule else []
            beside = recordings + same
            at = next(index for index, other in enumerate(beside) if other is rule)
            for what, changed in _changed(rule):
                set_ = (*beside[:at], changed, *beside[at + 1 :])
                found.append(Mutant(file.name, _title(rule), what, set_, _tests_of(rule)))
    return found


def equivalents() -> list[tuple[re.Pattern[str], re.Pattern[str], str]]:
    """The mutants that no test can notice: patterns of rule and change, and the reason."""
    listed = yaml.safe_load(EQUIVALENT.read_text())
    return [(re.compile(one["rule"]), re.compile(one["change"]), one["reason"]) for one in listed]


def caught(mutant: Mutant) -> bool:
    """Whether a test notices."""
    with tempfile.TemporaryDirectory() as folder:
        group = {"name": "mutant", "rules": copy.deepcopy(list(mutant.rules))}
        (Path(folder) / mutant.file).write_text(yaml.safe_dump({"groups": [group]}))
        tests = Path(folder) / "tests"
        tests.mkdir()
        for test in mutant.tests:
            copied = tests / test.name
            copied.symlink_to(test)
            command = ["promtool", "test", "rules", str(copied)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                if "FAILED" not in done.stdout + done.stderr:
                    raise RuntimeError(f"promtool could not run {test.name} for {mutant}: {done.stderr}")
                return True
    return False


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit mutate_rules", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="a part of the names of the rules to change")
    parser.add_argument("--processes", type=int, default=2, help="how many run at once")
    parser.add_argument("--list", action="store_true", help="print every mutant and what became of it")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    listed = equivalents()
    unused = set(range(len(listed)))
    tested: list[Mutant] = []
    excluded = 0
    for mutant in mutants(options.only):
        matches = {n for n, one in enumerate(listed) if one[0].fullmatch(mutant.name) and one[1].fullmatch(mutant.what)}
        unused -= matches
        excluded += bool(matches)
        if not matches:
            tested.append(mutant)
    with ThreadPoolExecutor(options.processes) as pool:
        results = list(zip(tested, pool.map(caught, tested), strict=True))
    survivors = [mutant for mutant, noticed in results if not noticed]
    for mutant, noticed in results:
        if options.list or not noticed:
            print(f"{'caught  ' if noticed else 'SURVIVED'}  {mutant}")
    problems = len(survivors)
    if not options.only:
        for number in sorted(unused):
            print(f"listed as equivalent, but there is no such mutant: {listed[number][0].pattern}", file=sys.stderr)
            problems += 1
    print(
        f"{len(tested)} mutants: {len(tested) - len(survivors)} caught, {len(survivors)} survived; {excluded} more are "
        f"equivalent, by the list; {time.monotonic() - started:.0f} s"
    )
    return 1 if problems else 0
