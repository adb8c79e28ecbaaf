"""The drawing of dashboards: figures as Grafana writes them, holes, buckets, and smaller pictures."""

import math
import struct
import unittest
import zlib

from kit.dashboards import build, promql
from kit.drawing import cells, chart, colors, evaluate, page, png, units
from kit.drawing.evaluate import Line, Window
from kit.prometheus import Series

WINDOW = Window(start=1_000, end=1_300, step=15, interval=5)


class Units(unittest.TestCase):
    def test_figures_have_about_three_digits_and_a_scaled_unit(self) -> None:
        for value, unit, wanted in (
            (0.00012, "s", "120 µs"),
            (0.25, "s", "250 ms"),
            (75, "s", "1.25 min"),
            (0, "s", "0 s"),
            (7325, "dtdurations", "2 hours, 2 minutes"),
            (12.34, "reqps", "12.3 req/s"),
            (1234, "ops", "1.23k ops/s"),
            (0.999, "percentunit", "99.9%"),
            (41_529_344, "bytes", "39.6 MiB"),
            (10_301, "short", "10.3 K"),
            (-3, "none", "-3"),
            (float("nan"), "s", "NaN"),
        ):
            with self.subTest(value=value, unit=unit):
                self.assertEqual(units.text(value, unit), wanted)

    def test_decimals_that_a_panel_wants_are_kept(self) -> None:
        self.assertEqual(units.text(1, "percentunit", 2), "100.00%")

    def test_beside_an_axis_no_zeros_stand_that_say_nothing(self) -> None:
        self.assertEqual([units.tick(one, "none") for one in (7.5, 10, 0.25)], ["7.5", "10", "0.25"])


class Queries(unittest.TestCase):
    def test_variables_are_filled_in_as_grafana_does(self) -> None:
        self.assertEqual(WINDOW.fill("x[$__rate_interval]"), "x[20s]")
        self.assertEqual(WINDOW.fill('{job=~"$job"}[$__range]'), '{job=~"convoke"}[300s]')
        with self.assertRaises(KeyError):
            WINDOW.fill("$nothing")

    def test_a_legend_takes_labels(self) -> None:
        self.assertEqual(evaluate.legend("{{ a }} x {{b}}", {"a": "1"}), "1 x")

    def test_an_override_by_a_template_meets_its_series(self) -> None:
        given = {"matcher": {"options": "{{pool}} waiting"}, "properties": [{"id": "unit", "value": "s"}]}
        panel = {"fieldConfig": {"overrides": [given]}}
        self.assertEqual(evaluate.override(panel, "main waiting", "unit"), "s")
        self.assertIsNone(evaluate.override(panel, "main used", "unit"))


class Lines(unittest.TestCase):
    def test_a_hole_parts_a_line(self) -> None:
        points = [(0, 1.0), (15, 2.0), (60, 3.0), (75, float("nan")), (90, 4.0)]
        self.assertEqual([len(part) for part in chart.segments(points, 15)], [2, 1, 1])

    def test_ticks_are_round(self) -> None:
        self.assertEqual(chart.nice_ticks(1.0), [0, 0.25, 0.5, 0.75, 1.0])

    def test_a_threshold_colors_from_its_value_on(self) -> None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
        self.assertEqual(
            [colors.of_value(one, steps) for one in (0.9, 1)], [colors.NAMED["green"], colors.NAMED["red"]]
        )

    def test_a_heatmap_shows_the_buckets_own_counts(self) -> None:
        panel = {"fieldConfig": {"defaults": {"unit": "s"}}}
        lines = [Line(le, {}, {"le": le}, [(1_100, count)]) for le, count in (("0.1", 4.0), ("1", 4.0), ("+Inf", 5.0))]
        drawn = cells.heatmap(panel, lines, WINDOW, [], 400, 200)
        counted = drawn.count("<rect") - 40  # besides the scale of colors
        self.assertEqual(counted, 2)
        self.assertIn("up to 4", drawn)


def picture(rows: list[list[tuple[int, int, int]]], kind: int) -> bytes:
    """A PNG of true color whose rows are all filtered in one way: 0 not, 1 by the left pixel, 2 by the one above."""
    raw = b""
    for y, row in enumerate(rows):
        plain = b"".join(map(bytes, row))
        before = {0: bytes(len(plain)), 1: bytes(3) + plain[:-3], 2: b"".join(map(bytes, rows[y - 1])) if y else b""}
        base = before[kind] or bytes(len(plain))
        raw += bytes([kind]) + bytes((a - b) & 255 for a, b in zip(plain, base, strict=True))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def colors_of(data: bytes) -> list[list[tuple[int, ...]]]:
    """The colors of a PNG with a palette and unfiltered rows."""
    chunks = dict(png._chunks(data))
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    palette, raw = chunks[b"PLTE"], zlib.decompress(chunks[b"IDAT"])
    at = [[raw[y * (width + 1) + 1 + x] for x in range(width)] for y in range(height)]
    return [[tuple(palette[3 * one : 3 * one + 3]) for one in row] for row in at]


class Everywhere:
    """A Prometheus in which every query has one series, with the labels that its result can have."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def _series(self, expression: str, count: int) -> list[Series]:
        labels = dict.fromkeys(promql.result_labels(promql.parse(expression)) or (), "x") | {"le": "0.5"}
        return [
            Series(labels, [(WINDOW.start + 15 * (i + 1), self.values[i % len(self.values)]) for i in range(count)])
        ]

    def query(self, expression: str, _time: float) -> list[Series]:
        return self._series(expression, 1)

    def query_range(self, expression: str, _start: float, _end: float, _step: float) -> list[Series]:
        return self._series(expression, 10)

    def exemplars(self, _expression: str, _start: float, _end: float) -> list[dict]:
        return [{"exemplars": [{"timestamp": WINDOW.start + 20, "value": "0.1"}]}]


class Nowhere(Everywhere):
    """A Prometheus that has nothing."""

    def _series(self, _expression: str, _count: int) -> list[Series]:
        return []


class Pages(unittest.TestCase):
    def test_every_dashboard_can_be_drawn_whatever_the_values(self) -> None:
        for uid, made in build().items():
            for values in ((1.0, 2.0), (0.0,), (math.nan,), (-1.0, math.inf)):
                with self.subTest(uid, values=values):
                    text, height, empty = page.draw(Everywhere(*values), made, WINDOW, "the footer")
                    self.assertEqual(empty, [])
                    self.assertGreater(height, 500)
                    self.assertEqual(text.count('class="panel"'), sum(one["type"] != "row" for one in made["panels"]))
                    self.assertIn("the footer", text)

    def test_queries_without_an_answer_are_told(self) -> None:
        made = build()["convoke-delivery"]
        text, _, empty = page.draw(Nowhere(), made, WINDOW, "")
        self.assertEqual(len(empty), sum(len(one.get("targets", [])) for one in made["panels"]))
        self.assertIn("No data", text)


class Pictures(unittest.TestCase):
    def test_colors_far_apart_stay_as_they_are_whatever_the_filter(self) -> None:
        rows = [[(0, 0, 0), (252, 0, 0), (0, 252, 0)], [(0, 0, 252), (252, 252, 252), (0, 0, 0)]]
        for kind in (0, 1, 2):
            with self.subTest(kind):
                self.assertEqual(colors_of(png.with_palette(picture(rows, kind))), rows)

    def test_what_is_no_plain_picture_is_refused(self) -> None:
        broken = picture([[(0, 0, 0)]], 0).replace(struct.pack(">BB", 8, 2), struct.pack(">BB", 16, 2), 1)
        with self.assertRaises(ValueError):
            png.with_palette(broken)


if __name__ == "__main__":
    unittest.main()
