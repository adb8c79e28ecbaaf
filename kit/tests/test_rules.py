"""The generators of rules, what scales in them, and the mutations."""

import re
import unittest

import promql_parser
import yaml

from kit import durations, mutants, rules, slo


def by_name(texts: dict[str, str]) -> dict[str, list[dict]]:
    """Every rule of generated files by name."""
    found: dict[str, list[dict]] = {}
    for text in texts.values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                found.setdefault(rule.get("alert") or rule["record"], []).append(rule)
    return found


class Scale(unittest.TestCase):
    def test_durations_are_read_and_written(self) -> None:
        for text, factor, wanted in (("5m", 1, "5m"), ("5m", 0.1, "30s"), ("1h", 1.5, "1h30m"), ("30d", 1 / 30, "1d")):
            self.assertEqual(durations.scaled(text, factor), wanted)
        self.assertEqual(durations.scaled("1m", 0.0083), "498ms")
        self.assertEqual(durations.scaled("1s", 0.00001), "1ms")
        self.assertEqual(durations.seconds("1m30s"), "90")
        with self.assertRaises(ValueError):
            durations.milliseconds("5 minutes")

    def test_every_duration_of_the_causes_scales_and_no_other_number(self) -> None:
        shipped, fast = by_name(rules.outputs(1)), by_name(rules.outputs(0.1))
        stuck, quick = shipped["ConvokeOutboxStuck"][0], fast["ConvokeOutboxStuck"][0]
        self.assertEqual((stuck["for"], quick["for"]), ("5m", "30s"))
        self.assertIn("> 300", stuck["expr"])
        self.assertIn("> 30\n", quick["expr"])
        self.assertIn(">= 10", quick["expr"])
        self.assertEqual(set(re.findall(r"\[(\w+)\]", quick["expr"])), {"30s"})
        self.assertIn("longer than 30s", quick["annotations"]["description"])
        self.assertIn("86400) < 0", shipped["ConvokeDiskFilling"][0]["expr"])
        self.assertIn("8640) < 0", fast["ConvokeDiskFilling"][0]["expr"])
        self.assertIn("> 0.1\n", fast["ConvokeDatabaseSlow"][0]["expr"])

    def test_every_duration_of_the_objectives_scales_and_names_and_labels_stay(self) -> None:
        fast = by_name(slo.outputs(0.1))
        self.assertEqual(set(fast), set(by_name(slo.outputs(1))))
        burn = fast["ConvokeApiAvailabilityBudgetBurn"][0]
        self.assertEqual(burn["labels"]["long_window"], "1h")
        self.assertIn("[6m]) / 5 >= 10", burn["expr"])
        self.assertIn("[6m]", fast["slo:sli_error:ratio_rate1h"][0]["expr"])
        self.assertIn("[30s]", fast[slo.TOTAL][0]["expr"])
        self.assertIn("interval: 6s", slo.outputs(0.1)["alerts/slo.rules.yaml"])

    def test_the_values_of_an_alert_are_those_of_its_query(self) -> None:
        self.assertEqual(rules.values("ConvokeRouteErrors"), {"window": "5m", "share": 0.05, "least": 5, "for": "10m"})
        self.assertEqual(rules.values("ConvokeRouteErrors", 0.1)["for"], "1m")


class Mutations(unittest.TestCase):
    QUERY = (
        'sum by (a, b) (rate(x{job="c", s=~"1|2|(3|4)5"}[5m])) > 0.5\n'
        'and max by (a, b) (y{job="c"}) >= 10 unless on (a) z == 0'
    )

    def changed(self) -> dict[str, str]:
        """What each change is, and its query."""
        return {one.what: one.query for one in mutants.changes(self.QUERY)}

    def test_every_kind_of_change_is_made(self) -> None:
        found = self.changed()
        for what in (
            "0.5 -> 0.475 in line 1",
            "0.5 -> 0.525 in line 1",
            "10 -> 9 in line 2",
            "0 -> -1 in line 2",
            "[5m] x 0.5 in line 1",
            "[5m] x 2 in line 1",
            "> -> >= in line 1",
            ">= -> > in line 2",
            "== -> != in line 2",
            "and -> or in line 2",
            "unless dropped in line 2",
            "sum -> min in line 1",
            "max -> min in line 2",
            "a dropped from by in line 1",
            "a dropped from on in line 2",
            'job="c" dropped in line 1',
            'job="c" negated in line 2',
            "2 left out of s in line 1",
            "4 left out of s in line 1",
        ):
            self.assertIn(what, found)

    def test_each_change_is_one_change_and_a_query(self) -> None:
        for what, query in self.changed().items():
            with self.subTest(what):
                self.assertNotEqual(query, self.QUERY)
                promql_parser.parse(query)

    def test_what_is_dropped_is_gone(self) -> None:
        found = self.changed()
        self.assertNotIn("unless", found["unless dropped in line 2"])
        self.assertIn(">= 10", found["unless dropped in line 2"])
        self.assertIn('s=~"1|2|(3)5"', found["4 left out of s in line 1"])
        self.assertIn('{s=~"', found['job="c" dropped in line 1'])

    def test_names_and_texts_are_left_alone(self) -> None:
        self.assertEqual(mutants.near("86400"), ["82080", "90720"])
        self.assertFalse([one for one in mutants.changes('slo:x:rate5m{slo="and-1"}') if "->" in one.what])


if __name__ == "__main__":
    unittest.main()
