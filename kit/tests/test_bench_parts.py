"""The table of criterion's medians."""

import json
import tempfile
import unittest
from pathlib import Path

from kit.bench_parts import medians


def measured(folder: Path, group: str, part: str, nanoseconds: float) -> None:
    new = folder / group / part / "new"
    new.mkdir(parents=True)
    (new / "benchmark.json").write_text(json.dumps({"group_id": group, "function_id": part}))
    bounds = {"lower_bound": nanoseconds * 0.9, "upper_bound": nanoseconds * 1.1}
    median = {"point_estimate": nanoseconds, "confidence_interval": bounds}
    (new / "estimates.json").write_text(json.dumps({"mean": {}, "median": median}))


class Medians(unittest.TestCase):
    def test_each_part_has_its_median_in_microseconds(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            measured(folder, "reading", "token", 200)
            measured(folder, "body", "page", 20_000)
            expected = [["body: page", "20.00", "18.00 to 22.00"], ["reading: token", "0.20", "0.18 to 0.22"]]
            self.assertEqual(medians(folder), expected)

    def test_nothing_measured_is_nothing_found(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            self.assertEqual(medians(Path(name)), [])
