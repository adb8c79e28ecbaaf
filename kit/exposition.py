"""Reads Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The labels and values of every sample with this name."""
    found = []
    for line in text.splitlines():
        if not line.startswith(name):
            continue
        sample = _SAMPLE.match(line)
        if sample and sample[1] == name:
            labels = {
                label: re.sub(r'\\[\\"n]', lambda escape: _ESCAPES[escape[0]], value)
                for label, value in _LABEL.findall(sample[2] or "")
            }
            found.append((labels, float(sample[3])))
    return found
