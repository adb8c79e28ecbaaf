"""Writes every generated file of the kit, or says which differ from their sources.

A generator is a module with `outputs(scale) -> {path: text}`, paths relative to the repository. `scale` multiplies
every duration of the rules (1 for what is shipped); the fire drills run the same rules on a faster clock.
"""

import argparse
import difflib
import importlib
import sys
from pathlib import Path

from kit.paths import ROOT

GENERATORS = ["kit.slo", "kit.rules", "kit.kubernetes", "kit.thresholds", "kit.dashboards", "kit.checklist"]


def outputs(scale: float = 1.0) -> dict[str, str]:
    """Every generated file and its text."""
    texts: dict[str, str] = {}
    for name in GENERATORS:
        for path, text in importlib.import_module(name).outputs(scale).items():
            if path in texts:
                raise ValueError(f"{path} is written by two generators")
            texts[path] = text
    return texts


def write(folder: Path, texts: dict[str, str]) -> None:
    """Writes the files under a folder."""
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def differences(texts: dict[str, str]) -> list[str]:
    """The unified differences between the committed files and what their sources say."""
    found = []
    for path, text in texts.items():
        committed = ROOT / path
        before = committed.read_text() if committed.exists() else ""
        if before != text:
            lines = difflib.unified_diff(before.splitlines(), text.splitlines(), path, "generated", lineterm="")
            found.append("\n".join(lines))
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kit generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file differs")
    parser.add_argument("--out", type=Path, default=ROOT, help="the folder to write into")
    parser.add_argument("--scale", type=float, default=1.0, help="the factor for every duration of the rules")
    options = parser.parse_args(arguments)
    texts = outputs(options.scale)
    if not options.check:
        write(options.out, texts)
        return 0
    found = differences(texts)
    print("\n".join(found) or f"{len(texts)} generated files are as their sources say")
    if found:
        print("generated files differ from their sources; run: make docs", file=sys.stderr)
    return 1 if found else 0
