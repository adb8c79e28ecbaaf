"""The dashboards' queries: variables, what is sent, and what counts as nothing."""

import json
import math
import tempfile
import unittest
from pathlib import Path

from kit.panels import check_panels, queries, substitute
from kit.prometheus import PrometheusClient, QueryError, Series

ANSWERS = {"good": [Series({}, [(0, 0.0)])], "empty": [], "nan": [Series({}, [(0, math.nan)])]}


class Client(PrometheusClient):
    """Answers by the first word of the query; refuses unknown ones."""

    def query(self, expression: str, time: float | None = None) -> list[Series]:
        word = expression.partition("{")[0]
        if word not in ANSWERS:
            raise QueryError("refused")
        return ANSWERS[word]


def dashboard(*expressions: str) -> Path:
    """A dashboard with one panel for each expression, the last of them in a row."""
    panels = [{"id": n, "title": f"p{n}", "targets": [{"expr": text}]} for n, text in enumerate(expressions)]
    panels.append({"id": 90, "type": "row", "panels": [panels.pop()]})
    logs = {"id": 91, "datasource": {"type": "loki", "uid": "loki"}, "targets": [{"expr": "logs"}]}
    environment = {"name": "environment", "type": "query", "allValue": ".*", "query": "label_values(good, environment)"}
    board = {"panels": [*panels, logs], "templating": {"list": [environment]}}
    path = Path(tempfile.mkdtemp()) / "board.json"
    path.write_text(json.dumps(board))
    return path


class Panels(unittest.TestCase):
    def test_each_spelling_of_a_variable_is_filled_in(self) -> None:
        self.assertEqual(substitute("$a ${a} ${a:regex} [[a]]", {"a": "x"}), "x x x x")

    def test_an_unknown_variable_is_an_error(self) -> None:
        with self.assertRaises(KeyError):
            substitute("$b", {"a": "x"})

    def test_panels_in_rows_are_found_and_other_data_sources_left_out(self) -> None:
        found = [query.expression for query in queries(dashboard('a{e="$environment"}', "b"), {})]
        self.assertEqual(found, ['a{e=".*"}', "b", "count by (environment) (good)"])

    def test_a_panel_with_data_is_no_finding(self) -> None:
        _, findings = check_panels(Client(""), [dashboard("good", "good")])
        # The variable's own query begins with `count by`, which the client refuses.
        self.assertEqual([text for text in findings if "variable" not in text], [])

    def test_nothing_nan_and_refusals_are_findings(self) -> None:
        sent, findings = check_panels(Client(""), [dashboard("empty", "nan", "bad{}")])
        self.assertEqual(sent, 4)
        self.assertEqual(len([text for text in findings if "variable" not in text]), 3)


if __name__ == "__main__":
    unittest.main()
