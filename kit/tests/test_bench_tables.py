"""The benchmark's tables: what is compared with what, and what is said of what was not measured."""

import argparse
import unittest

from kit.bench import Found, limit_targets, limits_table
from kit.bench_growth import Grown, cost, size_targets, targets
from kit.bench_limits import Limit
from kit.bench_modes import MEASURED, modes_table, modes_targets
from kit.bench_operations import key, operations
from kit.bench_peers import peer_targets, rows
from kit.bench_world import Figures, Load


def seen(rate: float, service: float, database: float = 0, p99: int = 2000) -> Figures:
    return Figures(Load(int(rate * 2), 2.0, 1000, p99, 9000, 5000, 0, 0), service, database, 50)


class Limits(unittest.TestCase):
    def setUp(self) -> None:
        self.found = Found()
        self.found.figures["postgres", "get"] = seen(400, 60)
        self.found.pgbench = {("get", 10): Limit(900, 30), ("get", 32): Limit(1000, 40)}
        self.found.bare["postgres", "get"] = Limit(9000, 10)

    def test_the_better_run_of_pgbench_is_the_limit(self) -> None:
        get = {one.what: one for one in limit_targets(self.found)}["postgres get: requests a second ÷ pgbench's"]
        self.assertEqual((get.figure, get.reached), (0.4, True))

    def test_what_was_not_measured_is_neither_reached_nor_missed(self) -> None:
        by_name = {one.what: one.reached for one in limit_targets(self.found)}
        self.assertEqual(by_name["postgres get: CPU ÷ a handler that only serialises"], True)
        self.assertIsNone(by_name["sqlite get: CPU ÷ a handler that only serialises"])
        self.assertIsNone(by_name["postgres page: requests a second ÷ pgbench's"])

    def test_the_table_leaves_out_what_is_not_known(self) -> None:
        lines = limits_table(argparse.Namespace(operation=["get", "create"]), self.found).splitlines()
        self.assertEqual(lines[2], "| get | 900 | 1000 | 40 | 0.4 | – | – | – | – | – | 10 |")
        self.assertEqual(set(lines[3].split(" | ")[1:-1]), {"–"})


class Modes(unittest.TestCase):
    def test_shares_are_of_no_telemetry(self) -> None:
        taken = {
            (name, mode): [cpu, 2 * cpu, 3 * cpu]
            for name in MEASURED
            for mode, cpu in (("off", 50.0), ("default", 62.5), ("everything", 75.5))
        }
        self.assertIn("| get | 100 | 125 (1.25 ×) | 151 (1.51 ×) |", modes_table(taken))
        self.assertEqual([one.reached for one in modes_targets(taken, "sqlite")[:2]], [True, False])

    def test_a_share_is_of_its_own_round(self) -> None:
        taken = {
            (name, mode): cpu
            for name in MEASURED
            for mode, cpu in (("off", [100.0, 200.0, 150.0]), ("default", [110.0, 220.0, 300.0]), ("everything", [1.0]))
        }
        # Of the medians it would be 1.47.
        self.assertIn("| get | 150 | 220 (1.10 ×) |", modes_table(taken))

    def test_a_binary_without_the_switch_has_no_shares(self) -> None:
        taken = {(name, mode): [100.0] for name in MEASURED for mode in ("default", "everything")}
        self.assertIn("| get | not measured | 100 | 100 |", modes_table(taken))
        self.assertEqual({one.reached for one in modes_targets(taken, "sqlite")}, {None})


class Growth(unittest.TestCase):
    def test_costs_are_of_service_and_database_and_search_may_grow_more(self) -> None:
        grown = Grown()
        for operation in ("get", "search"):
            # The machine is half as fast in the second round, and something else works in the third.
            grown.sizes["postgres", operation, 10] = [seen(1, 60, 40), seen(1, 120, 80), seen(1, 60, 40)]
            grown.sizes["postgres", operation, 1000] = [seen(1, 60, 90), seen(1, 120, 180), seen(1, 900, 90)]
        grown.connections["postgres", "get", 256] = seen(2000, 1, p99=11_000)
        # A run of the sizes alone tells of its own failures.
        refused = Figures(Load(2, 2.0, 1000, 2000, 9000, 5000, 2, 0), 60, 40, 50)
        grown.sizes["postgres", "get", 10][0] = refused
        # Too few to know.
        grown.connections["postgres", "search", 256] = seen(2, 1)
        options = argparse.Namespace(engine=["postgres"], operation=["get", "search"])
        found = size_targets(options, grown, [10, 1000]) + targets(options, grown)
        self.assertEqual(
            [(one.figure, one.reached) for one in found],
            [
                (1.5, False),
                (1.5, True),
                (2, False),
                (11, False),
                (None, None),
                (0, True),
            ],
        )
        self.assertIsNone(cost(None))


class Peers(unittest.TestCase):
    def test_promises_beside_the_peer(self) -> None:
        found = {one.what: one.reached for one in peer_targets({"get": seen(500, 26)}, {"get": seen(100, 100)})}
        self.assertTrue(found["sqlite get: requests a second ÷ PocketBase's"])
        self.assertFalse(found["sqlite get: CPU ÷ PocketBase's"])
        self.assertIsNone(found["sqlite page: CPU ÷ PocketBase's"])

    def test_its_world_is_ours(self) -> None:
        tables = {name.partition(" ")[0]: list(values) for name, values in rows(2000, "digest").items()}
        self.assertEqual([len(tables[name]) for name in ("users", "events", "participants")], [100, 2000, 4000])
        invited = {(row[1], row[2]) for row in tables["participants"]}
        self.assertEqual(len(invited), 4000)
        # As fill.sql: events 3, 53 … for person 6.
        self.assertEqual(
            sorted(event for event, user in invited if user == f"u{6:014}")[:2], [f"e{3:014}", f"e{53:014}"]
        )
        self.assertEqual(sum(row[12] == "private" for row in tables["events"]), 500)
        self.assertEqual(tables["events"][1][5], "2027-02-24 23:50:00.000Z")

    def test_the_world_has_what_is_captured(self) -> None:
        self.assertIn(key(2, 3), operations(2000)["answer"].requests[0].path)
