"""The checks of the papers find what is not so: each case says one thing that is wrong."""

import tempfile
import unittest
from pathlib import Path

from kit.checks_papers import check, links, named


class Papers(unittest.TestCase):
    def test_the_real_ones_are_right(self) -> None:
        self.assertEqual(check(), [])

    def test_what_is_not_so_is_found(self) -> None:
        cases = {
            "there is no test nobody_wrote_this_test": "| x | `nobody_wrote_this_test` |",
            "no test is called no_such": "`cargo test --test it no_such`",
            "no test is called api::nowhere": "`cargo test --test it api::nowhere`",
            "is 15m, not 20m": "`CONVOKE_ACCESS_TOKEN_TTL` (20m)",
            "has no setting CONVOKE_NOTHING": "`CONVOKE_NOTHING` (1)",
            "has no setting CONVOKE_OTHER": "set `CONVOKE_OTHER=1`",
            "no command convoke explode": "run `convoke explode`",
        }
        for words, text in cases.items():
            with self.subTest(words):
                self.assertTrue([one for one in named(text) if words in one], list(named(text)))

    def test_what_is_so_is_not(self) -> None:
        text = "`CONVOKE_ACCESS_TOKEN_TTL` (15m), `convoke doctor`, `cargo test --test it store::outage`"
        self.assertEqual(list(named(text)), [])

    def test_a_link_to_nothing_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "paper.md"
            path.write_text("[a](paper.md#x) [b](https://example.org/) [c](none.md) [d](#x)")
            self.assertEqual(list(links(path)), ["there is no none.md"])


if __name__ == "__main__":
    unittest.main()
