"""Changes each rule in turn: every number, comparator, window, `for`, aggregation, label and matcher; and leaves out
each part of Alertmanager's routes and inhibitions. A test must notice each change; one that survives is a fact that no
test states."""

import argparse
import copy
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from kit import durations, routing
from kit.mutants import Change, changes
from kit.test_rules import TESTS, rule_files

Rule = dict[str, Any]
_RECORDED = re.compile(r"slo:\w+:\w+")
ALERTMANAGER = "deploy/alertmanager.yaml"
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


def _needed(rules: list[Rule], recordings: list[Rule]) -> list[Rule]:
    """The recordings that the rules read, by way of others too, in their order."""
    names: set[str] = set()
    found = list(rules)
    while found:
        read = {name for rule in found for name in _RECORDED.findall(rule["expr"])} - names
        names |= read
        found = [rule for rule in recordings if rule["record"] in read]
    return [rule for rule in recordings if rule["record"] in names]


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
            beside = _needed(same, recordings) + same if same else recordings
            at = next(index for index, other in enumerate(beside) if other is rule)
            for what, changed in _changed(rule):
                set_ = (*beside[:at], changed, *beside[at + 1 :])
                found.append(Mutant(file.name, _title(rule), what, set_, _tests_of(rule)))
    return found


def equivalents() -> list[tuple[re.Pattern[str], re.Pattern[str], str]]:
    """The mutants that no test can notice: patterns of rule and change, and the reason."""
    listed = yaml.safe_load(EQUIVALENT.read_text())
    return [(re.compile(one["rule"]), re.compile(one["change"]), one["reason"]) for one in listed]


class Quickest:
    """The test file that noticed the last change of a rule is tried first: the next one is often like it."""

    def __init__(self) -> None:
        self._last: dict[str, Path] = {}

    def order(self, mutant: Mutant) -> list[Path]:
        """The files of a mutant's tests."""
        return sorted(mutant.tests, key=lambda test: test != self._last.get(mutant.name))

    def note(self, mutant: Mutant, test: Path) -> None:
        """Says which noticed."""
        self._last[mutant.name] = test


def caught(mutant: Mutant, quickest: Quickest) -> bool:
    """Whether a test notices."""
    with tempfile.TemporaryDirectory() as folder:
        group = {"name": "mutant", "rules": copy.deepcopy(list(mutant.rules))}
        (Path(folder) / mutant.file).write_text(yaml.safe_dump({"groups": [group]}))
        tests = Path(folder) / "tests"
        tests.mkdir()
        for test in quickest.order(mutant):
            copied = tests / test.name
            copied.symlink_to(test)
            command = ["promtool", "test", "rules", str(copied)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                if "FAILED" not in done.stdout + done.stderr:
                    raise RuntimeError(f"promtool could not run {test.name} for {mutant}: {done.stderr}")
                quickest.note(mutant, test)
                return True
    return False


def _of_rules(tested: list[Mutant], processes: int, beside: Callable[[], None]) -> list[tuple[str, bool]]:
    """Every mutant and whether it was noticed; meanwhile something else is done in this thread."""
    quickest = Quickest()
    with ThreadPoolExecutor(processes) as pool:
        running = [(mutant, pool.submit(caught, mutant, quickest)) for mutant in tested]
        try:
            beside()
            for number, (mutant, one) in enumerate(running):
                if not one.result():
                    print(f"SURVIVED  {mutant} ({number} of {len(running)} done)", flush=True)
            return [(str(mutant), one.result()) for mutant, one in running]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class Equivalents:
    """The mutants that are listed as no change at all."""

    def __init__(self) -> None:
        self._listed = equivalents()
        self._unused = set(range(len(self._listed)))
        self.count = 0

    def has(self, name: str, what: str) -> bool:
        """Whether a mutant is listed."""
        matching = {n for n, one in enumerate(self._listed) if one[0].fullmatch(name) and one[1].fullmatch(what)}
        self._unused -= matching
        self.count += bool(matching)
        return bool(matching)

    def unused(self) -> list[str]:
        """The entries that no mutant matches."""
        return [f"{self._listed[n][0].pattern}: {self._listed[n][1].pattern}" for n in sorted(self._unused)]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit mutate_rules", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="a part of the names of the rules to change")
    parser.add_argument("--processes", type=int, default=2, help="how many run at once")
    parser.add_argument("--list", action="store_true", help="print every mutant and what became of it")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    listed = Equivalents()
    tested = [mutant for mutant in mutants(options.only) if not listed.has(mutant.name, mutant.what)]
    results: list[tuple[str, bool]] = []

    def of_routing() -> None:
        for what, configuration in routing.mutants() if options.only in ALERTMANAGER else ():
            if not listed.has(ALERTMANAGER, what):
                results.append((f"{ALERTMANAGER}: {what}", routing.noticed(configuration)))

    results[:0] = _of_rules(tested, options.processes, of_routing)
    survivors = 0
    for mutant, noticed in results:
        survivors += not noticed
        if options.list or (not noticed and mutant.startswith(ALERTMANAGER)):
            print(f"{'caught  ' if noticed else 'SURVIVED'}  {mutant}")
    unused = [] if options.only else listed.unused()
    for one in unused:
        print(f"listed as equivalent, but there is no such mutant: {one}", file=sys.stderr)
    print(
        f"{len(results)} mutants: {len(results) - survivors} caught, {survivors} survived; {listed.count} more are "
        f"equivalent, by the list; {time.monotonic() - started:.0f} s"
    )
    return 1 if survivors or unused else 0
