"""Counts the processor instructions of a request and compares them with what is committed.

`load-tests/bench/instructions.rs` sends requests through the whole router on SQLite, in callgrind, which counts what
all its threads execute; instructions, unlike time, do not depend on what else the machine does. A figure beyond the
tolerance fails, in either direction: a gain is committed, too, by `--write`. docs/performance.md says what is counted
and what is not.

    python -m kit instructions [--write]
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kit.paths import LOAD_TESTS, ROOT
from kit.process import Program, StartError, scratch_folder
from kit.stack import find

COMMITTED = LOAD_TESTS / "bench" / "instructions.json"
# Of eight runs beside other work the farthest lay 1.3 % from one another (get; the others below 0.8 %): threads hand
# over to one another at other moments. And another processor may have glibc copy and search by other instructions.
TOLERANCE = 0.03
# `rep movsb` counts by the byte in callgrind, and from which size on glibc uses it depends on the processor.
COPIES = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"}
# Requests that are counted: enough that what is done now and then falls on as many in each run.
OPERATIONS = {"get": 100, "page": 30, "answer": 40, "create": 40}
SECONDS = 600
TOTAL = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)
# As `part_begins` and `part_ends` of the program.
BEGINS, ENDS = "part_begins", "part_ends"


@dataclass(frozen=True)
class Counted:
    """Instructions a request of each operation, and what made and counted them."""

    instructions: dict[str, int]
    tools: dict[str, str]


def program() -> Path:
    """The program that sends the requests: the unoptimised build, which the tests make anyway."""
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    binary = Path(os.environ.get("INSTRUCTIONS_BIN") or target / "debug" / "examples" / "instructions").resolve()
    if not binary.exists():
        raise StartError(f"{binary} is missing; run: cargo build --example instructions")
    return binary


def totals(dumps: list[str]) -> list[int]:
    """What was counted from each beginning of a part to its end. Each dump says what made it, and counts from the one
    before."""
    found = []
    for text in dumps:
        if f"{BEGINS}\n" in text:
            continue
        total = TOTAL.search(text)
        if f"{ENDS}\n" not in text or total is None:
            raise StartError("callgrind has written what is not understood")
        found.append(int(total[1]))
    return found


def head(file: Path) -> str:
    """The lines of a dump that say what it is, and its total, without the megabytes between."""
    with file.open(errors="replace") as lines:
        return "".join(line for line in lines if line.startswith(("desc: Trigger", "summary: ", "totals: ")))


def count(folder: Path) -> dict[str, int]:
    """Instructions a request of each operation."""
    # On one processor and in turns: who of several threads runs first is less of a chance.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    command = [find("valgrind", "valgrind"), "--tool=callgrind", "--fair-sched=yes"]
    command += [f"--callgrind-out-file={folder}/count", f"--dump-before=*{BEGINS}*", f"--dump-before=*{ENDS}*"]
    command += [str(program()), str(folder / "data"), *(f"{name}={times}" for name, times in OPERATIONS.items())]
    with Program("instructions", command, folder / "log", environment={"PATH": os.environ["PATH"]} | COPIES) as running:
        if code := running.wait(SECONDS):
            raise StartError(f"the requests ended with {code}:\n{running.output()[-2000:]}")
    # The last one, without a number, is what came after all parts.
    files = sorted(folder.glob("count.*"), key=lambda file: int(file.suffix[1:]))
    found = totals([head(file) for file in files])
    if len(found) != len(OPERATIONS):
        raise StartError(f"callgrind has counted {len(found)} parts of {len(OPERATIONS)}")
    return {name: total // times for (name, times), total in zip(OPERATIONS.items(), found, strict=True)}


def tools() -> dict[str, str]:
    """What the counts depend on besides the sources."""
    asked = {"rustc": [find("rustc", "rustc"), "--version"], "valgrind": [find("valgrind", "valgrind"), "--version"]}
    return {
        name: subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout.strip()
        for name, command in asked.items()
    }


def compare(now: Counted, committed: Counted) -> list[str]:
    """What is beyond the tolerance."""
    findings = []
    for operation in sorted(now.instructions.keys() | committed.instructions.keys()):
        seen, before = now.instructions.get(operation), committed.instructions.get(operation)
        if seen is None or before is None:
            findings.append(f"{operation}: counted {seen}, committed {before}")
        elif abs(seen / before - 1) > TOLERANCE:
            change = f"{abs(seen / before - 1):.1%} {'more' if seen > before else 'fewer'}"
            findings.append(f"{operation}: {seen:,} instructions a request, {change} than the {before:,} committed")
    if findings:
        findings += [
            f"counted with {version}, committed with {committed.tools.get(name)}"
            for name, version in now.tools.items()
            if version != committed.tools.get(name)
        ]
    return findings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit to what is counted")
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as folder:
            now = Counted(count(folder), tools())
    except (StartError, TimeoutError, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    for operation, number in now.instructions.items():
        print(f"{operation:<8}{number:>14,} instructions a request")
    if options.write:
        COMMITTED.write_text(json.dumps({"tools": now.tools, "instructions": now.instructions}, indent=2) + "\n")
        return 0
    findings = compare(now, Counted(**json.loads(COMMITTED.read_text())))
    if not findings:
        print(f"within {TOLERANCE:.0%} of what is committed")
        return 0
    print("\n".join(findings), file=sys.stderr)
    print("if that is meant: python -m kit instructions --write, and say in the commit why", file=sys.stderr)
    return 1
