"""Times the parts of a request that ask nobody, with criterion, and shows the medians as a table.

python -m kit bench_parts [--write] [--seconds 3]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from kit.bench_report import circumstances, table, write
from kit.paths import ROOT
from kit.process import StartError, scratch_folder
from kit.stack import find


def medians(folder: Path) -> list[list[str]]:
    """A line for each part: its name, its median in microseconds and the bounds of 95 % confidence."""
    found = []
    for file in sorted(folder.glob("**/new/benchmark.json")):
        part = json.loads(file.read_text())
        median = json.loads(file.with_name("estimates.json").read_text())["median"]
        bounds = [median["confidence_interval"][side] for side in ("lower_bound", "upper_bound")]
        shown = [f"{nanoseconds / 1000:.2f}" for nanoseconds in (median["point_estimate"], *bounds)]
        found.append([f"{part['group_id']}: {part['function_id']}", shown[0], f"{shown[1]} to {shown[2]}"])
    return sorted(found)


def measure(folder: Path, seconds: float) -> list[list[str]]:
    """Builds and runs the benches; raises `StartError` when they fail or say nothing."""
    command = [find("cargo", "cargo"), "bench", "--locked", "--quiet", "--bench", "parts", "--"]
    command += ["--noplot", "--measurement-time", f"{seconds:g}"]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"CRITERION_HOME": str(folder)}, check=False)
    found = medians(folder)
    if ended.returncode or not found:
        raise StartError(f"cargo bench ended with {ended.returncode} and measured {len(found)} parts")
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit bench_parts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--seconds", type=float, default=3, help="for each part (3)")
    options = parser.parse_args(arguments)
    try:
        said = circumstances(options.seconds)
        with scratch_folder() as folder:
            found = table(["part", "median µs", "95 % confidence"], measure(folder, options.seconds))
        text = f"{found}\n\n{said}"
    except (StartError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(text)
    if options.write:
        write({"parts": text})
    return 0
