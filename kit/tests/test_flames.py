"""Flame graphs: a profile read, kinds of work told apart, names made readable, the drawing, and the tables."""

import gzip
import json
import re
import tempfile
import unittest
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from unittest import mock

from kit import flames
from kit.bench_report import replaced
from kit.flames import Flame, comparison, own_table
from kit.flames_drawing import NARROW, WIDTH, fitting, merged, svg, tree
from kit.flames_frames import (
    ALLOCATION,
    API,
    COPIES,
    HTTP,
    JSON,
    KINDS,
    REST,
    SCHEDULER,
    SQLITE,
    SQLX,
    STORE,
    TELEMETRY,
    kind,
    kinds,
    place,
    readable,
    shown,
)
from kit.flames_profile import FormatError, Frame, Sample, decode

REGISTRY = "/home/me/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/"
STD = Frame("core::ptr::drop_in_place<T>", "/rustc/59807616/library/core/src/ptr/mod.rs")
MEMCPY = Frame("__memcpy_avx512_unaligned_erms", "./string/../sysdeps/x86_64/multiarch/memmove-vec-unaligned-erms.S")
MALLOC = Frame("_int_malloc", "./malloc/malloc.c")
SEND = Frame("__libc_send", "./socket/../sysdeps/unix/sysv/linux/send.c")
WORKER = "tokio-rt-worker"


def of(crate: str, path: str = "src/lib.rs", name: str = "f") -> Frame:
    return Frame(name, f"{REGISTRY}{crate}-1.2.3/{path}")


def ours(path: str, name: str = "{async_fn#0}") -> Frame:
    return Frame(name, f"/build/convoke/src/{path}")


RUNTIME = of("tokio", "src/runtime/scheduler/multi_thread/worker.rs", "tokio::runtime::worker::run")
NET = of("tokio", "src/net/tcp/stream.rs")
REGISTRATION = of("tokio", "src/runtime/io/registration.rs")
SERDE = of("serde_json", "src/ser.rs")
STEP = of("libsqlite3-sys", "sqlite3/sqlite3.c", "sqlite3VdbeExec")


def number(value: int) -> bytes:
    """A varint; negative ones as the format has them."""
    value &= 2**64 - 1
    found = []
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(tag: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return number(tag << 3) + number(value)
    return number(tag << 3 | 2) + number(len(value)) + value


def profile(kind: int = 1) -> bytes:
    """Two stacks of three locations; at the first one function is inlined in another."""
    texts = ["", "samples", "count", "thread", "worker", "inlined", "work", "main", "a.rs", "writer"]
    packed = number(10) + number(300)
    messages = [
        field(1, field(1, kind) + field(2, 2)),
        field(2, field(1, packed) + field(2, number(3) + number(30_000)) + field(3, field(1, 3) + field(2, 4))),
        # Not packed, and a field of fixed size that nobody asked for.
        field(2, field(1, 20) + field(1, 300) + field(2, 1) + number(9 << 3 | 1) + bytes(8)),
        field(4, field(1, 10) + field(4, field(1, 1)) + field(4, field(1, 2) + field(2, 77))),
        field(4, field(1, 20) + field(3, 0x3000)),
        field(4, field(1, 300) + field(4, field(1, 3))),
        *(field(5, field(1, n) + field(2, 4 + n) + field(4, 8)) for n in (1, 2, 3)),
        *(field(6, text.encode()) for text in texts),
        field(9, -1),
    ]
    return gzip.compress(b"".join(messages))


class Reading(unittest.TestCase):
    def test_stacks_are_read_from_the_outermost_frame_with_inlined_ones_and_addresses(self) -> None:
        first, second = decode(profile())
        self.assertEqual([frame.name for frame in first.frames], ["main", "work", "inlined"])
        self.assertEqual((first.thread, first.count, first.frames[0].file), ("worker", 3, "a.rs"))
        self.assertEqual([frame.name for frame in second.frames], ["main", "0x3000"])
        self.assertEqual((second.thread, second.count), ("", 1))

    def test_what_is_no_profile_of_samples_is_refused(self) -> None:
        whole = gzip.decompress(profile())
        faulty = {
            "not gzipped": whole,
            "cut off inside": profile()[:-12],
            "cut off and packed again": gzip.compress(whole[:-3]),
            "of another kind": profile(kind=2),
            "a text out of range": profile(kind=99),
            "nothing": gzip.compress(b""),
            "no such location": gzip.compress(whole + field(2, field(1, 7) + field(2, 1))),
            "no value": gzip.compress(whole + field(2, field(1, 10))),
            "a number for a message": gzip.compress(whole + field(2, 5)),
            "a group": gzip.compress(whole + number(2 << 3 | 3)),
        }
        for what, data in faulty.items():
            with self.subTest(what), self.assertRaises(FormatError):
                decode(data)


class Kinds(unittest.TestCase):
    def test_the_innermost_frame_that_says_what_it_is_for_decides(self) -> None:
        hyper, tracing = of("hyper"), of("tracing")
        cases = [
            ([RUNTIME, hyper, ours("api/events.rs")], API),
            ([RUNTIME, hyper, ours("api/events.rs"), ours("store/events.rs"), STD], STORE),
            ([RUNTIME, hyper, ours("api/layers/guard.rs"), STD], TELEMETRY),
            ([RUNTIME, ours("api/mod.rs"), tracing, STD], TELEMETRY),
            ([RUNTIME, ours("store/events.rs"), STD, MALLOC], ALLOCATION),
            ([RUNTIME, ours("store/events.rs"), of("sqlx-core"), MEMCPY], COPIES),
            ([RUNTIME, ours("main.rs"), of("libmimalloc-sys", "c_src/mimalloc/v3/src/free.c", "mi_free")], ALLOCATION),
            ([RUNTIME, ours("lifecycle/tasks.rs"), STD], SCHEDULER),
            ([RUNTIME, hyper, ours("listener/mod.rs")], HTTP),
            # What a crate is for that nobody has listed its caller knows.
            ([RUNTIME, ours("api/tokens.rs"), of("sha2"), STD], API),
            ([STD, Frame("0x3000", "")], REST),
            ([], REST),
        ]
        for frames, wanted in cases:
            with self.subTest(wanted):
                self.assertEqual(kind(WORKER, frames), wanted)

    def test_a_socket_is_of_who_talks_through_it(self) -> None:
        talk = [of("tokio", "src/io/split.rs"), REGISTRATION, NET, of("mio"), SEND]
        self.assertEqual(kind(WORKER, [RUNTIME, of("hyper"), *talk]), HTTP)
        self.assertEqual(kind(WORKER, [RUNTIME, of("hyper"), ours("store/a.rs"), of("sqlx-postgres"), *talk]), SQLX)
        # The driver that waits for all of them.
        poll = [of("tokio", "src/runtime/io/driver.rs"), of("mio", "src/poll.rs")]
        self.assertEqual(kind(WORKER, [RUNTIME, *poll]), SCHEDULER)

    def test_the_json_of_a_log_line_is_telemetry(self) -> None:
        self.assertEqual(kind(WORKER, [of("tracing"), ours("telemetry/logs.rs"), of("serde_core"), SERDE]), TELEMETRY)
        self.assertEqual(kind(WORKER, [of("tracing"), ours("api/reply.rs"), of("serde_core"), SERDE]), JSON)
        self.assertEqual(kind(WORKER, [of("tracing"), ours("store/a.rs"), of("sqlx-core"), SERDE]), JSON)

    def test_threads_of_one_purpose(self) -> None:
        self.assertEqual(kind("log-writer", [STD, MALLOC]), TELEMETRY)
        self.assertEqual(kind("sqlx-sqlite-wor", [of("sqlx-sqlite"), STEP]), SQLITE)
        self.assertEqual(kind("sqlx-sqlite-wor", [of("sqlx-sqlite"), RUNTIME, of("mio")]), SQLX)

    def test_samples_are_counted_as_often_as_they_were_seen(self) -> None:
        samples = [Sample(WORKER, (STEP,), 3), Sample(WORKER, (STEP, MEMCPY), 2), Sample("", (STEP, STD), 1)]
        self.assertEqual(kinds(samples), {SQLITE: 4, COPIES: 2})


class Names(unittest.TestCase):
    def test_where_a_frame_is(self) -> None:
        self.assertEqual(place(of("futures-util", "src/future/map.rs")), ("futures-util", "src/future/map.rs"))
        self.assertEqual(place(ours("store/mod.rs")), ("convoke", "store/mod.rs"))
        self.assertEqual(place(Frame("f", "src/store/mod.rs")), ("convoke", "store/mod.rs"))
        # A checkout below a folder called src, and what the standard library was built with.
        self.assertEqual(place(Frame("f", "/usr/src/convoke/src/api/mod.rs")), ("convoke", "api/mod.rs"))
        self.assertEqual(place(Frame("f", "/rust/deps/hashbrown-0.16.1/src/raw/mod.rs"))[0], "rust")
        self.assertEqual(place(STD)[0], "rust")

    def test_names_are_short_and_say_where(self) -> None:
        layer = "<axum::middleware::from_fn::FromFn<F,S,(T1,T2)> as tower_service::Service<http::Request<B>>>::call"
        cases = [
            (ours("store/engine.rs"), "convoke::store::engine::{async fn}"),
            (ours("store/mod.rs", "{closure#12}"), "convoke::store::{closure}"),
            (ours("a.rs", "convoke::a::Queue<T>::serve::{{closure}}::{{closure}}"), "convoke::a::Queue::serve"),
            (ours("a.rs", "convoke::a::run::h0123456789abcdef"), "convoke::a::run"),
            (
                of("axum", "src/middleware/from_fn.rs", f"{layer}::{{{{closure}}}}"),
                "axum::middleware::from_fn::FromFn::call",
            ),
            (of("sqlx-core", "src/pool/inner.rs", "acquire"), "sqlx_core::inner::acquire"),
            (of("x", "src/a.rs", "x::<impl x::Run for &mut y::Z>::go::{{closure}}"), "x::go"),
            (of("x", "src/a.rs", "x::apply<fn(u8) -> Vec<u8>>"), "x::apply"),
            (of("libsqlite3-sys", "sqlite3/sqlite3.c", "yy_reduce.constprop.0"), "yy_reduce"),
            (Frame("__GI___libc_write", "./io/write.c"), "write"),
            (MEMCPY, "memcpy"),
            (Frame("0x3000", ""), "0x3000"),
        ]
        for frame, wanted in cases:
            with self.subTest(wanted):
                self.assertEqual(readable(frame), wanted)
        long = readable(of("x", "src/a.rs", "x::" + "deep::" * 60 + "end"))
        self.assertLessEqual(len(long), 81)
        self.assertTrue(long.endswith("::end"))

    def test_plumbing_is_not_shown_and_layers_once(self) -> None:
        inner = of("axum", "src/routing/route.rs", "inner")
        frames = [Frame("clone3", "./misc/clone3.S"), STD, RUNTIME, of("tokio", "src/runtime/task/core.rs", "poll")]
        frames += [of("tower"), STD, inner, ours("api/mod.rs"), ours("api/mod.rs", "{async_fn#1}"), MEMCPY]
        names = [readable(frame) for frame in shown(frames)]
        self.assertEqual(names, ["tokio::core::poll", "axum::route::inner", "convoke::api::{async fn}", "memcpy"])


class Drawing(unittest.TestCase):
    def samples(self) -> list[Sample]:
        wide = [Sample(WORKER, (RUNTIME, ours("api/mod.rs"), STEP), 900), Sample("<&odd>", (STEP,), 96)]
        return wide + [Sample(WORKER, (RUNTIME, ours("api/mod.rs"), of("x", "src/a.rs", f"n{n}")), 1) for n in range(4)]

    def test_stacks_of_a_thread_are_one_tree(self) -> None:
        root = tree(self.samples())
        self.assertEqual((root.count, sorted(root.calls)), (1000, ["<&odd>", WORKER]))
        api = root.calls[WORKER].calls["tokio::runtime::worker::run"].calls["convoke::api::{async fn}"]
        self.assertEqual((api.count, api.kind, api.calls["sqlite3VdbeExec"].kind), (904, API, SQLITE))
        self.assertEqual(api.calls["sqlite3VdbeExec"].count, 900)

    def test_what_is_too_narrow_is_one_box_and_nothing_is_lost(self) -> None:
        root = merged(tree(self.samples()), NARROW * 1000)
        api = root.calls[WORKER].calls["tokio::runtime::worker::run"].calls["convoke::api::{async fn}"]
        self.assertEqual(
            {name: one.count for name, one in api.calls.items()}, {"sqlite3VdbeExec": 900, "(4 narrower)": 4}
        )

    def test_the_drawing_is_well_formed_without_script_and_tells_shares(self) -> None:
        drawn = svg(tree(self.samples()), "a <title> & more", 200)
        root = ET.fromstring(drawn)  # noqa: S314
        space = "{http://www.w3.org/2000/svg}"
        titles = [one.text for one in root.iter(f"{space}title")]
        self.assertIn("sqlite3VdbeExec: 90.0%, 180.0 µs", titles)
        self.assertIn("<&odd>: 9.6%, 19.2 µs", titles)
        self.assertEqual(list(root.iter(f"{space}script")), [])
        self.assertEqual(re.findall(r"(?:href|url\(|@import|src=)", drawn), [])
        self.assertEqual(ET.tostring(root, encoding="unicode").count("a &lt;title&gt; &amp; more"), 1)
        for box in root.iter(f"{space}rect"):
            self.assertLessEqual(float(box.get("x", 0)) + float(box.get("width", 0)), WIDTH)

    def test_boxes_lie_within_what_calls_them(self) -> None:
        drawn = svg(tree(self.samples()), "", 1)
        found = re.findall(r'<title>([^:<]*)[^<]*</title><rect x="([\d.]+)" y="(\d+)" width="([\d.]+)"', drawn)
        rows = {name: (float(x), float(y), float(wide)) for name, x, y, wide in found}
        self.assertLess(rows[WORKER][1], rows["all"][1])
        self.assertGreaterEqual(rows[WORKER][0], rows["all"][0])
        self.assertAlmostEqual(rows["all"][2], WIDTH - 20, delta=1)
        self.assertAlmostEqual(rows[WORKER][2] / rows["all"][2], 0.904, places=2)

    def test_many_stacks_stay_small(self) -> None:
        samples = [
            Sample(
                WORKER,
                tuple(of("x", "src/a.rs", f"some::module::function_{n % (depth + 7)}") for depth in range(60)),
                1,
            )
            for n in range(3000)
        ]
        self.assertLess(len(svg(tree(samples), "", 1).encode()), 150_000)

    def test_no_samples_are_no_boxes(self) -> None:
        ET.fromstring(svg(tree([]), "", 1))  # noqa: S314

    def test_of_a_name_its_end_is_kept(self) -> None:
        self.assertEqual(fitting("convoke::api::serve", 400), "convoke::api::serve")
        self.assertEqual(fitting("convoke::api::serve", 80), "api::serve")
        self.assertEqual(fitting("sqlite3VdbeExec", 50), "sqlite…")
        self.assertEqual(fitting("sqlite3VdbeExec", 10), "")


def flame(cpu: float, operation: str = "get", **samples: int) -> Flame:
    named = {"sqlite": SQLITE, "rest": REST}
    return Flame("sqlite", operation, 1e6 / cpu, cpu, 1000, 32, {named[key]: n for key, n in samples.items()})


class Tables(unittest.TestCase):
    def test_a_table_shares_the_time_of_a_request_out(self) -> None:
        lines = own_table(flame(200, sqlite=30, rest=10)).splitlines()
        self.assertIn(f"| {SQLITE} | 150 | 75.0% |", lines)
        self.assertEqual(lines[-1], "| all | 200 |  |")
        self.assertEqual(len(lines), 2 + len(KINDS) + 1)

    def test_before_and_after_stand_side_by_side(self) -> None:
        both = {"before": flame(200, sqlite=30, rest=10), "after": flame(100, sqlite=10, rest=30)}
        text = comparison({("sqlite", "get"): both, ("sqlite", "page"): {"after": flame(50, sqlite=1)}})
        self.assertIn("[before](flames/sqlite-get-before.svg) · [after](flames/sqlite-get-after.svg)", text)
        self.assertIn(f"| {SQLITE} | 150 (75%) | 25 (25%) | −125 |", text)
        self.assertIn(f"| {REST} | 50 (25%) | 75 (75%) | +25 |", text)
        self.assertIn("| all | 200 | 100 | −100 |", text)
        self.assertIn("| requests a second | 5000 | 10000 |  |", text)
        self.assertIn(f"| {SQLITE} | 50 (100%) | – |", text)
        self.assertNotIn(f"| {STORE} |", text)

    def test_the_table_is_written_from_what_was_kept(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(flames, "FLAMES", Path(folder) / "flames"):
            self.assertEqual(flames.committed(), {})
            kept = flame(200, sqlite=30, rest=10)
            flames.write(kept, "<svg/>", "before")
            self.assertEqual(flames.committed(), {("sqlite", "get"): {"before": kept}})
            self.assertEqual((Path(folder) / "flames" / "sqlite-get-before.svg").read_text(), "<svg/>")
            self.assertEqual(json.loads(json.dumps(asdict(kept))), asdict(kept))

    def test_the_paper_has_a_place_for_it(self) -> None:
        paper = flames.bench_report.PERFORMANCE.read_text()
        self.assertIn("<!-- flames -->\nhere\n<!-- /flames -->", replaced(paper, {"flames": "here"}))


if __name__ == "__main__":
    unittest.main()
