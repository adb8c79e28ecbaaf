"""Checks rules, dashboards, runbooks and deployment files without running anything; each module finds on its own."""

import importlib
import sys

MODULES = ["kit.checks_rules", "kit.checks_runbooks", "kit.checks_dashboards", "kit.checks_deploy", "kit.checks_papers"]


def main(_arguments: list[str]) -> int:
    found = [one for name in MODULES for one in importlib.import_module(name).check()]
    for one in found:
        print(one, file=sys.stderr)
    print(f"{len(MODULES)} modules checked, {len(found)} findings")
    return 1 if found else 0
