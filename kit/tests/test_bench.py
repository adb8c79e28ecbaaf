"""The benchmark: what log and spans say was run, how it is run again, and how figures are held to promises."""

import unittest
from random import Random

from kit.bench_capture import Span, Statement, logged, named, of_request, parameters, spans
from kit.bench_limits import pgbench_said
from kit.bench_operations import OPERATIONS, PERSON, fresh_ids, key, operations
from kit.bench_plain import plain_writes
from kit.bench_replay import PLACE, UnknownParametersError, cast, pgbench_script, sqlite_statements, sqlite_value
from kit.bench_report import Target, number, replaced, targets_table
from kit.bench_sqlite import decoded, numbered
from kit.process import StartError

NEW = "01a2047d-663b-7041-9e83-9a63109c2532"
LOG = """2026-11-22 18:20:56.1 UTC [51] LOG:  statement: BEGIN
2026-11-22 18:20:56.2 UTC [52] LOG:  execute s1: SELECT 1
2026-11-22 18:20:56.3 UTC [51] LOG:  execute s7: INSERT INTO changes (id, event_id,
\tdata) VALUES ($1, $2, $3)
2026-11-22 18:20:56.3 UTC [51] DETAIL:  parameters: $1 = 'NEW', $2 = NULL, $3 = 'it''s, $4 = ''x'''
2026-11-22 18:20:56.4 UTC [51] LOG:  statement: COMMIT
2026-11-22 18:20:56.5 UTC [50] LOG:  parameter "log_statement" removed from configuration file, reset to default
""".replace("NEW", NEW)
INSERT = Statement("INSERT INTO changes (id, event_id,\ndata) VALUES ($1, $2, $3)", (NEW, None, "it's, $4 = 'x'"))


def proto(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3 | 1]) + value.to_bytes(8, "little")
    size = len(value)
    head = [number << 3 | 2] + ([size] if size < 128 else [size & 127 | 128, size >> 7])
    return bytes(head) + value


def span(trace: bytes, start: int, **attributes: str) -> bytes:
    kept = [
        proto(9, proto(1, name.replace("_", ".").encode()) + proto(2, proto(1, value.encode())))
        for name, value in attributes.items()
    ]
    return proto(2, proto(1, trace) + proto(7, start) + b"".join(kept))


class Capture(unittest.TestCase):
    def test_the_log_gives_each_transaction_with_its_parameters(self) -> None:
        self.assertEqual(
            logged(LOG), [[Statement("BEGIN"), INSERT, Statement("COMMIT")], [Statement("SELECT 1")]][::-1]
        )

    def test_null_and_quotes_are_read(self) -> None:
        self.assertEqual(parameters("parameters: $1 = 'a''b', $2 = NULL, $3 = ''"), ("a'b", None, ""))

    def test_parameters_out_of_order_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            parameters("parameters: $2 = 'a'")

    def test_only_what_the_request_ran_is_kept(self) -> None:
        mine = [Span(1, "changes.append", INSERT.text)]
        self.assertEqual(of_request(logged(LOG), mine), [Statement("BEGIN"), INSERT, Statement("COMMIT")])

    def test_statements_of_one_name_are_counted(self) -> None:
        found = named([INSERT, INSERT], [Span(1, "changes.append", INSERT.text)])
        self.assertEqual(list(found), [("changes.append", 0), ("changes.append", 1)])

    def test_spans_are_read_in_the_order_of_their_starts(self) -> None:
        two = span(b"\1" * 16, 9, db_query_text="B", db_query_summary="b") + span(
            b"\1" * 16, 3, db_query_text="A" * 200
        )
        export = proto(1, proto(2, two + span(b"\2" * 16, 1, http_route="/")))
        self.assertEqual(spans([export]), {"01" * 16: [Span(3, "A" * 200, "A" * 200), Span(9, "b", "B")]})


class Replay(unittest.TestCase):
    def setUp(self) -> None:
        self.operation = operations(10_000)["answer"]

    def test_what_varies_becomes_an_expression_and_the_rest_a_variable(self) -> None:
        statement = Statement("UPDATE p SET s = $2 WHERE u = $1 AND n = $3", (key(1, PERSON), "accepted", "5"))
        script = pgbench_script(self.operation, [statement], "c0x")
        person = "('01940000-0001-7000-8000-' || lpad(to_hex(:person::bigint), 12, '0'))"
        last = script.text.splitlines()[-1]
        self.assertEqual(last, f"UPDATE p SET s = :c0x0::text WHERE u = ({person})::uuid AND n = :c0x1::bigint;")  # noqa: S608
        self.assertEqual(script.variables, {"c0x0": "accepted", "c0x1": "5"})

    def test_a_new_id_is_new_each_time_and_the_same_within_one(self) -> None:
        script = pgbench_script(self.operation, [INSERT, Statement("SELECT $1", (f'["{NEW}"]',))], "c")
        self.assertIn("\\set fresh0 random(", script.text)
        self.assertEqual(script.text.count(":fresh0::bigint"), 2)
        self.assertNotIn(NEW, str(script.variables))

    def test_ids_of_the_world_and_bounds_are_not_new(self) -> None:
        bound = "ffffffff-ffff-ffff-ffff-ffffffffffff"
        self.assertEqual(fresh_ids([key(2, 7), bound, None, f"{NEW}@convoke"]), [NEW])

    def test_types_are_seen_in_the_texts(self) -> None:
        expected = {
            NEW: "::uuid",
            "2026-11-22 18:20:55.637611+00": "::timestamptz",
            "t": "::boolean",
            "-5": "::bigint",
            '{"a": 1}': "::jsonb",
            "[1]": "::jsonb",
            "{}": "::jsonb",
            f"{{{NEW},{key(1, 1)}}}": "::uuid[]",
            '{"2026-11-22 18:20:55+00",NULL}': "::timestamptz[]",
            "2027-06-11T18:00:00": "::text",
        }
        self.assertEqual({text: cast(text) for text in expected}, expected)

    def test_parameters_become_sqlites(self) -> None:
        given = [None, key(0, 1), "1970-01-01 00:00:01.5+00", "f", "12", "'topic123':*", "x"]
        wanted = [None, bytes.fromhex(key(0, 1).replace("-", "")), 1_500_000, 0, 12, '"topic123"*', "x"]
        self.assertEqual([sqlite_value(one) for one in given], wanted)

    def test_sqlites_statements_take_the_parameters_of_their_counterparts(self) -> None:
        there = [Span(1, "participants.save", "UPDATE p SET s = $2 WHERE u = $1 AND c = $3")]
        here = [Span(1, "participants.save", "UPDATE q SET s = $2 WHERE u = $1 AND c = $3"), Span(2, "COMMIT", "it")]
        known = [Statement(there[0].text, (key(1, PERSON), "accepted", NEW))]
        make = sqlite_statements(self.operation, here, known, there)
        random = Random(1)  # noqa: S311
        requests = [make(random) for _ in range(50)]
        self.assertTrue(all(text == here[0].text and second == "accepted" for ((text, (_, second, _)),) in requests))
        self.assertGreater(len({first for ((_, (first, *_)),) in requests}), 10)

    def test_what_was_sent_at_once_is_sent_at_once_again_and_varies_too(self) -> None:
        text = f"BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('{key(1, PERSON)}', 0))"
        lines = pgbench_script(self.operation, [Statement(text), Statement("COMMIT")], "c").text.splitlines()
        place = lines.index("\\startpipeline")
        self.assertEqual(lines[place + 1], "BEGIN;")
        self.assertIn(":person::bigint", lines[place + 2])
        self.assertEqual(lines[place + 3 :], ["\\endpipeline", "COMMIT;"])

    def test_a_literal_that_pgbench_would_take_for_a_variable_becomes_one(self) -> None:
        script = pgbench_script(self.operation, [Statement("SELECT to_char(t, 'HH24:MI') || 'it''s' FROM x")], "c")
        self.assertIn("SELECT to_char(t, :c0::text) || 'it''s' FROM x;", script.text)
        self.assertEqual(script.variables, {"c0": "HH24:MI"})

    def test_a_statement_that_takes_more_than_its_counterpart_is_said(self) -> None:
        there = [Span(1, "find", "SELECT $1")]
        with self.assertRaises(UnknownParametersError):
            sqlite_statements(
                self.operation, [Span(1, "find", "SELECT $1, $2")], [Statement("SELECT $1", ("a",))], there
            )

    def test_writes_on_sqlite_fill_every_place(self) -> None:
        random = Random(1)  # noqa: S311
        for name in ("answer", "create"):
            for make in plain_writes(operations(10_000)[name]) * 6:
                for text, values in make(random):
                    self.assertEqual(max(map(int, PLACE.findall(text))), len(values), text)

    def test_a_statement_without_counterpart_is_said(self) -> None:
        with self.assertRaises(UnknownParametersError):
            sqlite_statements(self.operation, [Span(1, "other", "SELECT $1")], [], [])

    def test_numbered_places_and_bytes(self) -> None:
        self.assertEqual(numbered("a = $2 AND b = $10"), "a = ?2 AND b = ?10")
        self.assertEqual([decoded({"hex": "00ff"}), decoded(3)], [b"\x00\xff", 3])


class Draws(unittest.TestCase):
    def test_every_operation_draws_what_its_marks_need(self) -> None:
        known = operations(10_000)
        self.assertEqual(list(known), OPERATIONS)
        random = Random(1)  # noqa: S311
        for operation in known.values():
            for _ in range(200):
                drawn = operation.draw(random)
                values = [mark.value(drawn) for mark in operation.marks]
                self.assertEqual([len(value) > 0 for value in values], [True] * len(values))

    def test_answers_are_to_invitations(self) -> None:
        events, people = 10_000, 500
        draw, random = operations(events)["answer"].draw, Random(1)  # noqa: S311
        for _ in range(200):
            drawn = draw(random)
            self.assertIn(drawn["person"], {(2 * drawn["event"] + k) % people for k in (0, 1)})
            self.assertEqual(drawn["organizer"], drawn["event"] % people)


class Report(unittest.TestCase):
    def test_promises(self) -> None:
        rows = [Target("a", 5, 5.0, at_least=True), Target("b", 5, 5.1), Target("c", 5, None)]
        self.assertEqual([one.reached for one in rows], [True, False, None])
        self.assertIn("| b | ≤ 5 × | 5.1 × | **not reached** |", targets_table(rows))

    def test_numbers(self) -> None:
        self.assertEqual([number(value) for value in (12345.6, 99.94, 0.1234, 0)], ["12346", "99.9", "0.123", "0"])

    def test_only_the_named_sections_are_replaced(self) -> None:
        paper = "x\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\nkept\n<!-- /b -->\n"
        self.assertEqual(replaced(paper, {"a": r"new \1"}), paper.replace("old", r"new \1"))
        with self.assertRaises(ValueError):
            replaced(paper, {"c": ""})

    def test_pgbench(self) -> None:
        said = "number of transactions actually processed: 200\nnumber of failed transactions: 0 (0%)\ntps = 99.5 (x)\n"
        self.assertEqual(pgbench_said(said, 0.1), (99.5, 500.0))
        with self.assertRaises(StartError):
            pgbench_said(said.replace("transactions: 0", "transactions: 3"), 0.1)
