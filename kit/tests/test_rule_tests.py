"""The check of the rule tests finds an alert that lacks one, and the cases of routing know their alerts."""

import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml

from kit import routing, test_rules

CHECK = [{"expr": 'ALERTS{alertname="ConvokeTest"}', "eval_time": "1m", "exp_samples": []}]
FIRES = [{"alertname": "ConvokeTest", "eval_time": "1m", "exp_alerts": [{"exp_labels": {}}]}]


def missing(*tests: dict[str, Any], name: str = "ConvokeTest") -> list[str]:
    """What is wrong with a file of these tests, for one alert."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.test.yaml"
        file.write_text(yaml.safe_dump({"tests": list(tests)}))
        return test_rules.kinds_missing({"ConvokeTest"}, [file])


def good() -> list[dict[str, Any]]:
    """One test of each kind."""
    return [
        {"name": "ConvokeTest fires: now", "alert_rule_test": FIRES},
        {"name": "ConvokeTest silent: now", "promql_expr_test": CHECK},
        {"name": "ConvokeTest threshold: now", "promql_expr_test": CHECK},
    ]


class Kinds(unittest.TestCase):
    def test_one_of_each_kind_is_enough(self) -> None:
        self.assertEqual(missing(*good()), [])

    def test_each_kind_is_missed(self) -> None:
        for left_out, kind in enumerate(test_rules.KINDS):
            tests = [test for number, test in enumerate(good()) if number != left_out]
            self.assertIn(f"ConvokeTest: no test in which it {kind}", missing(*tests))

    def test_labels_and_texts_must_be_expected(self) -> None:
        tests = [{"name": "ConvokeTest fires: now", "promql_expr_test": CHECK}, *good()[1:]]
        self.assertEqual(missing(*tests), ["ConvokeTest: no test expects its labels and annotations"])

    def test_a_test_of_nothing_or_without_a_kind_is_found(self) -> None:
        self.assertEqual(len(missing(*good(), {"name": "ConvokeTest silent: never"})), 1)
        self.assertEqual(len(missing(*good(), {"name": "ConvokeTest works", "promql_expr_test": CHECK})), 1)
        self.assertEqual(len(missing(*good(), {"name": "ConvokeOther fires: x", "promql_expr_test": CHECK})), 1)

    def test_a_question_about_another_alert_is_found(self) -> None:
        check = [{**CHECK[0], "expr": 'ALERTS{alertname="ConvokeTset"}'}]
        found = missing(*good(), {"name": "ConvokeTest silent: misspelt", "promql_expr_test": check})
        self.assertEqual(len(found), 1)
        self.assertIn("ConvokeTset", found[0])

    def test_every_alert_is_in_a_case_of_routing(self) -> None:
        self.assertEqual(routing.left_out(routing.cases()), set())
        self.assertIn("ConvokeDown", routing.left_out([]))


if __name__ == "__main__":
    unittest.main()
