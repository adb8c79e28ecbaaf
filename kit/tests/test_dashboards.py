"""The builder of the dashboards: what it adds to what is written, and what it refuses."""

import unittest

from kit.dashboards import build, explore, links, panels, promql, queries, slos, thresholds

PANEL = {
    "title": "A",
    "description": "A. Normal: 0.",
    "kind": "table",
    "unit": "none",
    "columns": {"channel": "Channel"},
    "queries": [
        {"legend": "Waiting", "expr": "sum by (channel) (outbox_pending)"},
        {"legend": "Dead", "expr": "sum by (channel) (outbox_dead)"},
    ],
}


class Queries(unittest.TestCase):
    def test_a_target_s_series_gets_the_variables_matchers(self) -> None:
        self.assertEqual(queries.with_matchers("up"), f"up{{{queries.MATCHERS}}}")
        self.assertEqual(queries.with_matchers('up{x="y"}'), f'up{{{queries.MATCHERS}, x="y"}}')
        self.assertEqual(queries.with_matchers("up{} offset 5m"), f"up{{{queries.MATCHERS}}} offset 5m")

    def test_words_in_quotes_and_other_series_stay(self) -> None:
        for text in ('label_replace(vector(0), "up", "up", "", "")', "slo:x:ratio", "k6_vus", "$up", "not_up"):
            self.assertEqual(queries.with_matchers(text), text)

    def test_a_quantile_of_nothing_is_0(self) -> None:
        text = queries.quantile(0.9, 'a{b="c"}', ["d"])
        self.assertIn('>= 0) or 0 * sum by (d) (rate(a_count{b="c"}[$__rate_interval]))', text)
        promql.parse(text)


class Labels(unittest.TestCase):
    def test_the_labels_of_a_result_are_known(self) -> None:
        for text, wanted in {
            "sum by (channel) (outbox_dead)": {"channel"},
            "sum without (channel) (outbox_dead)": {"environment", "job", "instance"},
            "sum(outbox_dead)": set(),
            "sum by (channel) (outbox_dead) / on (channel) group_left () max by (channel) (outbox_dead)": {"channel"},
            "sum by (channel) (outbox_dead) or vector(0)": {"channel"},
            'label_replace(vector(0), "a", "b", "", "")': {"a"},
            "histogram_quantile(0.9, sum by (le, channel) (outbox_delivery_lag_seconds_bucket))": {"channel"},
            "1 - sum by (channel) (outbox_dead)": {"channel"},
        }.items():
            with self.subTest(text):
                self.assertEqual(promql.result_labels(promql.parse(text)), wanted)


class Panels(unittest.TestCase):
    def test_an_unknown_key_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "unknown keys"):
            panels.build({**PANEL, "colour": "red"}, {})

    def test_a_link_to_what_is_not_there_is_refused(self) -> None:
        for link in ({"dashboard": "x"}, {"panel": "convoke-api/x"}, {"nothing": 1}):
            with self.assertRaises(ValueError):
                links.build(link, {"convoke-api": {}})

    def test_a_table_s_columns_are_named_by_their_legends(self) -> None:
        organize = panels.build(PANEL, {})["transformations"][1]["options"]
        wanted = {"channel": "Channel", "Value #A": "Waiting", "Value #B": "Dead"}
        self.assertEqual(organize["renameByName"], wanted)

    def test_thresholds_come_from_the_alerts(self) -> None:
        self.assertEqual(thresholds.number({"alert": "ConvokeOutboxStuck", "value": "age"}), 300)
        self.assertEqual(thresholds.number({"burn": "1h"}), 14.4)
        with self.assertRaisesRegex(ValueError, "no value nothing"):
            thresholds.number({"alert": "ConvokeOutboxStuck", "value": "nothing"})

    def test_a_panel_for_each_slo(self) -> None:
        row = {"panels": [{"each": "slo", "title": "<slo.name>", "queries": [{"expr": "<slo.name>"}]}]}
        made = slos.expand({"rows": [row]})["rows"][0]["panels"]
        self.assertEqual([one["title"] for one in made], [slo["name"] for slo in slos.objectives()])
        self.assertEqual(made[0]["queries"][0]["expr"], made[0]["title"])


class Explore(unittest.TestCase):
    def test_what_is_no_query_is_refused(self) -> None:
        self.assertTrue(explore.is_logql('{a="b", c=~"d.*"} |= "x" | json | status >= 400 and level="ERROR"'))
        self.assertTrue(explore.is_traceql('{resource.service.name="convoke" && duration>250ms}'))
        for text in ("", "{}", "{a=b}", '{a="b"', '{a="b"} | json |', '{a="b"} | status >='):
            self.assertFalse(explore.is_logql(text), text)
        for text in ("", "{}", "{status=broken}", "{nothing=1}", "{status=error &&}"):
            self.assertFalse(explore.is_traceql(text), text)


class Whole(unittest.TestCase):
    def test_the_dashboards_can_be_imported_by_hand_and_provisioned(self) -> None:
        for uid, made in build().items():
            with self.subTest(uid):
                self.assertEqual(made["uid"], uid)
                self.assertNotIn("__inputs", made)
                self.assertNotIn("id", made)
                self.assertEqual((made["graphTooltip"], made["timezone"]), (1, "browser"))


if __name__ == "__main__":
    unittest.main()
