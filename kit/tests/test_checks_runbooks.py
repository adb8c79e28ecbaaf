"""Each check of runbooks finds what it is there for, in a page that is good but for one thing."""

import unittest

from kit.checks_runbooks import CHECKS, both_ways, findings
from kit.runbooks import Runbook, queries

GOOD = """# ConvokeTest

**First:** look.

## Meaning

It is broken.

## Impact

Some. See [configuration](../configuration.md).

## Diagnosis

```promql
sum by (channel) (rate(outbox_deliveries_total{job="convoke"}[5m]))
```

```sh
curl -sS $OPS/readyz
logs 5m | jq -c 'select(.message == "request")'
```

## Mitigation

Lower `CONVOKE_OUTBOX_LEASE`.

## How to reproduce

Break it.
"""
# What to put in the place of what, and the check that then finds something.
SPOILT = [
    ("Break it.", "`make drill NAME=flood`.", "drills"),
    ("# ConvokeTest", "# ConvokeOther", "sections"),
    ("**First:** look.", "Look.", "sections"),
    ("## Impact", "## Effect", "sections"),
    ("## Impact\n\nSome. See [configuration](../configuration.md).\n", "", "sections"),
    ("It is broken.", "", "sections"),
    ("It is broken.", "It is broken.\n" * 100, "sections"),
    ("```promql\nsum by", "```\nsum by", "diagnosis"),
    ("```sh", "```basic", "fences"),
    ("$OPS/readyz", "$OPS/readyz\n```", "fences"),
    ("(rate(", "(rate((", "queries"),
    ("outbox_deliveries_total", "outbox_delivery_total", "queries"),
    ("by (channel)", "by (volume)", "queries"),
    ('{job="convoke"}', '{job="convoke", channel="mail"}', "queries"),
    ('{job="convoke"}', "", "queries"),
    ("rate(outbox_deliveries_total", "rate(outbox_pending", "queries"),
    ('rate(outbox_deliveries_total{job="convoke"}[5m])', 'outbox_deliveries_total{job="convoke"}', "queries"),
    ("CONVOKE_OUTBOX_LEASE", "CONVOKE_OUTBOX_LEASES", "settings"),
    ("../configuration.md", "../configurations.md", "links"),
    ("$OPS/readyz", "$OPS/ready", "pages"),
    ('"request"', '"requested"', "log lines"),
    ('.message == "request"', '.target == "convoke::requests"', "log lines"),
]


class Checks(unittest.TestCase):
    def test_a_good_page_is_good(self) -> None:
        self.assertEqual(findings(Runbook("ConvokeTest", GOOD)), [])

    def test_what_is_spoilt_is_found(self) -> None:
        for before, after, check in SPOILT:
            with self.subTest(check, after=after):
                self.assertIn(before, GOOD)
                found = findings(Runbook("ConvokeTest", GOOD.replace(before, after)))
                self.assertTrue(any(f": {check}: " in one for one in found), found)

    def test_every_check_has_a_case(self) -> None:
        self.assertEqual(set(CHECKS), {check for _, _, check in SPOILT})

    def test_alerts_and_runbooks_are_the_same(self) -> None:
        pages = [Runbook("ConvokeOne", ""), Runbook("ConvokeTwo", "")]
        self.assertEqual(list(both_ways(pages, {"ConvokeOne", "ConvokeTwo"})), [])
        found = list(both_ways(pages, {"ConvokeTwo", "ConvokeThree"}))
        self.assertEqual(len(found), 2)
        self.assertIn("ConvokeThree.md is missing", found[0])
        self.assertIn("ConvokeOne.md is of no alert", found[1])

    def test_queries_are_given_with_their_file(self) -> None:
        found = list(queries())
        self.assertGreater(len(found), 60)
        self.assertTrue(all(file.startswith("docs/runbooks/Convoke") and query for file, query in found))


if __name__ == "__main__":
    unittest.main()
