"""The gate on instructions: what it reads of callgrind, and what it lets pass."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from kit import instructions
from kit.instructions import OPERATIONS, TOLERANCE, Counted, compare, head, program, totals
from kit.process import StartError

TOOLS = {"rustc": "rustc 1.95.0", "valgrind": "valgrind-3.19.0"}


def dump(function: str, total: int) -> str:
    return f"desc: Trigger: --dump-before=instructions::{function}\nsummary: {total}\ntotals: {total}\n"


def counted(get: int, **tools: str) -> Counted:
    return Counted({"get": get, "page": 26_000_000}, TOOLS | tools)


class Reading(unittest.TestCase):
    def test_only_what_lies_between_beginning_and_end_counts(self) -> None:
        dumps = [dump("part_begins", 500), dump("part_ends", 70), dump("part_begins", 9), dump("part_ends", 8)]
        self.assertEqual(totals(dumps), [70, 8])

    def test_a_dump_of_something_else_is_refused(self) -> None:
        for odd in ("desc: Trigger: Program termination\ntotals: 5\n", "desc: Trigger: instructions::part_ends\n", ""):
            with self.subTest(odd), self.assertRaises(StartError):
                totals([odd])

    def test_what_a_dump_is_of_is_taken_from_a_whole_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "count.2"
            file.write_text("version: 1\n" + dump("part_ends", 70).replace("\n", "\nfn=(1) summary\n12 70\n", 1))
            self.assertEqual(totals([head(file)]), [70])

    def test_a_program_that_was_not_built_is_told(self) -> None:
        with mock.patch.dict("os.environ", {"INSTRUCTIONS_BIN": "/nowhere/instructions"}):
            self.assertRaisesRegex(StartError, "cargo build --example instructions", program)


class Compared(unittest.TestCase):
    def test_within_the_tolerance_nothing_is_found(self) -> None:
        for factor in (1 - TOLERANCE * 0.99, 1, 1 + TOLERANCE * 0.99):
            self.assertEqual(compare(counted(round(1_000_000 * factor)), counted(1_000_000)), [])

    def test_more_is_found(self) -> None:
        self.assertEqual(
            compare(counted(1_030_000), counted(1_000_000)),
            ["get: 1,030,000 instructions a request, 3.0% more than the 1,000,000 committed"],
        )

    def test_fewer_is_found(self) -> None:
        self.assertEqual(
            compare(counted(900_000), counted(1_000_000)),
            ["get: 900,000 instructions a request, 10.0% fewer than the 1,000,000 committed"],
        )

    def test_an_operation_on_one_side_alone_is_found(self) -> None:
        less = Counted({"get": 1_000_000}, TOOLS)
        self.assertEqual(compare(less, counted(1_000_000)), ["page: counted None, committed 26000000"])
        self.assertEqual(compare(counted(1_000_000), less), ["page: counted 26000000, committed None"])

    def test_another_compiler_is_told_beside_what_it_changed_and_not_without(self) -> None:
        self.assertEqual(compare(counted(1_000_000, rustc="rustc 1.96.0"), counted(1_000_000)), [])
        self.assertIn(
            "counted with rustc 1.96.0, committed with rustc 1.95.0",
            compare(counted(2_000_000, rustc="rustc 1.96.0"), counted(1_000_000)),
        )


class Command(unittest.TestCase):
    def run_with(self, now: Counted, *arguments: str) -> tuple[int, str, dict[str, object]]:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as patched:
            file = Path(folder) / "instructions.json"
            file.write_text(json.dumps({"tools": TOOLS, "instructions": counted(1_000_000).instructions}))
            said = io.StringIO()
            patched.enter_context(mock.patch.object(instructions, "COMMITTED", file))
            patched.enter_context(mock.patch.object(instructions, "count", lambda _: now.instructions))
            patched.enter_context(mock.patch.object(instructions, "tools", lambda: now.tools))
            patched.enter_context(contextlib.redirect_stdout(said))
            patched.enter_context(contextlib.redirect_stderr(said))
            return instructions.main(list(arguments)), said.getvalue(), json.loads(file.read_text())

    def test_a_change_fails_and_says_how_it_is_meant(self) -> None:
        code, said, kept = self.run_with(counted(1_100_000))
        self.assertEqual((code, kept["instructions"]["get"]), (1, 1_000_000))
        self.assertIn("10.0% more", said)
        self.assertIn("--write", said)

    def test_no_change_passes(self) -> None:
        self.assertEqual(self.run_with(counted(1_001_000))[0], 0)

    def test_write_commits_to_what_is_counted(self) -> None:
        code, _, kept = self.run_with(counted(1_100_000), "--write")
        self.assertEqual((code, kept["instructions"]["get"], kept["tools"]), (0, 1_100_000, TOOLS))

    def test_what_is_committed_is_of_the_operations_that_are_counted(self) -> None:
        committed = Counted(**json.loads(instructions.COMMITTED.read_text()))
        self.assertEqual(committed.instructions.keys(), OPERATIONS.keys())
        self.assertEqual(committed.tools.keys(), TOOLS.keys())


if __name__ == "__main__":
    unittest.main()
