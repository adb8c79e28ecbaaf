"""The checklist's runner tells a line that holds from one that does not, and what it could not run from both."""

import re
import tempfile
import unittest
from contextlib import ExitStack
from pathlib import Path

from kit.checklist import SOURCE, Line, Machine, judge, matches, sections


class Checklist(unittest.TestCase):
    def machine(self) -> Machine:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "env").write_text("CONVOKE_ENV=production\n")
        stops = self.enterContext(ExitStack())
        return Machine(folder, stops, {"PATH": "/usr/bin:/bin", "ENV_FILE": str(folder / "env")})

    def verdict(self, line: Line, quick: bool = False) -> str:
        return judge(line, self.machine(), quick)[0]

    def test_a_line_must_end_well_and_print_what_it_must(self) -> None:
        self.assertEqual(self.verdict(Line("", 'echo "$CONVOKE_ENV"', "production")), "ok")
        self.assertEqual(self.verdict(Line("", "echo productions", "production")), "FAILED")
        self.assertEqual(self.verdict(Line("", "echo production; false", "production")), "FAILED")
        self.assertEqual(self.verdict(Line("", "false | true", "")), "FAILED")
        self.assertEqual(self.verdict(Line("", "true", "")), "ok")
        self.assertEqual(self.verdict(Line("", "echo", ".+")), "FAILED")

    def test_nothing_means_nothing_and_a_line_is_a_whole_one(self) -> None:
        self.assertTrue(matches("b", "a\nb\n"))
        self.assertFalse(matches("b", "ab\n"))
        self.assertTrue(matches("", "\n"))
        self.assertFalse(matches("", "x\n"))

    def test_what_is_not_run_is_never_taken_for_run(self) -> None:
        self.assertEqual(self.verdict(Line("", "true", "", left="it pages somebody")), "not run")
        self.assertEqual(self.verdict(Line("", "true", "", needs="no-such-program")), "not run")
        self.assertEqual(self.verdict(Line("", "true", "", slow=True), quick=True), "not run")
        self.assertEqual(self.verdict(Line("", "false", "", slow=True)), "FAILED")

    def test_the_source_is_readable_and_its_expressions_are_some(self) -> None:
        lines = [line for _, section in sections(SOURCE.read_text()) for line in section]
        self.assertGreater(len(lines), 40)
        for line in lines:
            re.compile(line.prints)
            if line.stand_in:
                self.assertIn(line.stand_in, ("start", "restart", "log", "proxy"))
            # Whatever changes the machine itself is stood in for, or left.
            if re.match(r"systemctl|kubectl apply|nginx", line.run):
                self.assertTrue(line.stand_in or line.left, line.run)


if __name__ == "__main__":
    unittest.main()
