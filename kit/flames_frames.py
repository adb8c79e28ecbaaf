"""What a frame of a profile is: a name that people can read, and the kind of work that it does."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

from kit.flames_profile import Frame, Sample

SQLITE = "SQLite's own work"
SQLX = "sqlx and the hand-over to its threads"
JSON = "JSON in and out"
HTTP = "HTTP and sockets"
COPIES = "copies of memory"
TELEMETRY = "layers and telemetry"
ALLOCATION = "allocation"
STORE = "our store"
API = "our API and other code of ours"
SCHEDULER = "tokio's scheduler"
REST = "the rest"
KINDS = [SQLITE, SQLX, JSON, HTTP, COPIES, TELEMETRY, ALLOCATION, STORE, API, SCHEDULER, REST]

OURS, RUST, LIBC = "convoke", "rust", "libc"
CRATE = re.compile(r"/registry/src/[^/]+/(?P<crate>.+?)-\d[^/]*/(?P<path>.*)$")
LIBRARY = re.compile(r"/library/(?P<crate>[^/]+)/(?:src/)?(?P<path>.*)$")
# What the standard library was built with is no work of ours to name.
OF_RUST = re.compile(r"/rustc/|^/rust/deps/|/library/(?:std|core|alloc)/")
COPYING = re.compile(r"^_*mem(?:cpy|move|set)|^(?:copy_nonoverlapping|append_elements|copy_from_slice)$")

# By crate; those that are not here do what their caller is at.
KIND_OF_CRATE = {
    "libsqlite3-sys": SQLITE,
    **dict.fromkeys(
        ["sqlx", "sqlx-core", "sqlx-sqlite", "sqlx-postgres", "jiff-sqlx", "flume", "futures-channel"], SQLX
    ),
    **dict.fromkeys(["serde_json", "serde_core", "serde", "serde_path_to_error", "itoa", "ryu", "zmij"], JSON),
    **dict.fromkeys(
        ["hyper", "hyper-util", "axum", "axum-core", "tower", "tower-http", "http", "http-body", "http-body-util"], HTTP
    ),
    **dict.fromkeys(["httparse", "matchit", "mio", "socket2", "tokio-rustls", "rustls"], HTTP),
    **dict.fromkeys(["tracing", "tracing-core", "tracing-subscriber", "tracing-opentelemetry", "quanta"], TELEMETRY),
    **dict.fromkeys(["opentelemetry", "opentelemetry_sdk", "opentelemetry-otlp"], TELEMETRY),
    **dict.fromkeys(["metrics", "metrics-util", "metrics-exporter-prometheus"], TELEMETRY),
    **dict.fromkeys(["mimalloc", "libmimalloc-sys"], ALLOCATION),
}
# By the beginning of the path in a crate, the first that fits.
KIND_OF_PATH = {
    OURS: [
        ("store/", STORE),
        ("api/layers/", TELEMETRY),
        ("telemetry", TELEMETRY),
        ("ops", TELEMETRY),
        ("listener", HTTP),
        # They wrap every task.
        ("lifecycle", None),
        ("main.rs", None),
        ("", API),
    ],
    "tokio": [
        # Each read and write of a socket passes them.
        ("src/runtime/io/registration", HTTP),
        ("src/runtime/io/scheduled_io", HTTP),
        ("src/runtime/", SCHEDULER),
        ("src/time/", SCHEDULER),
        ("src/net/", HTTP),
        ("src/io/", HTTP),
    ],
}
# Done for others: for which kinds, if they are met next further out. The socket of a database, a log line's JSON.
FOR_OTHERS = {"mio": {SQLX, SCHEDULER}, "socket2": {SQLX}, "tokio": {SQLX}} | {
    crate: {TELEMETRY} for crate, kind in KIND_OF_CRATE.items() if kind == JSON
}
OF_THREAD = {"log-writer": TELEMETRY, "metrics-upkeep": TELEMETRY}
SQLX_THREAD = "sqlx-sqlite-wor"


@cache
def place(frame: Frame) -> tuple[str, str]:
    """The crate of a frame and the path of its file there; of no Rust at all: libc, or none."""
    if found := CRATE.search(frame.file):
        return found["crate"], found["path"]
    if OF_RUST.search(frame.file):
        found = LIBRARY.search(frame.file)
        return RUST, f"{found['crate']}/{found['path']}" if found else frame.file.rpartition("/")[2]
    if frame.file.endswith(".rs") and "/src/" in f"/{frame.file}":
        return OURS, f"/{frame.file}".rpartition("/src/")[2]
    return (LIBC, frame.file.removeprefix("./")) if frame.file.startswith("./") else ("", "")


@cache
def kind_of(frame: Frame) -> str | None:
    """What a frame alone says of the work; `None`: ask its caller."""
    crate, path = place(frame)
    if crate in (LIBC, RUST) and COPYING.match(frame.name):
        return COPIES
    if crate == LIBC:
        return ALLOCATION if path.startswith("malloc/") else None
    for beginning, kind in KIND_OF_PATH.get(crate, []):
        if path.startswith(beginning):
            return kind
    return KIND_OF_CRATE.get(crate)


def kind(thread: str, frames: Iterable[Frame]) -> str:
    """The kind of work of a stack, from the outermost frame to the innermost: what the innermost says that says one."""
    if thread in OF_THREAD:
        return OF_THREAD[thread]
    found: str | None = None
    others: set[str] = set()
    for frame in reversed(tuple(frames)):
        said = kind_of(frame)
        if said is None:
            continue
        if found in (None, said) or said in others:
            found = said
            others = FOR_OTHERS.get(place(frame)[0], set()) if said in (HTTP, JSON) else set()
        else:
            break
        if not others:
            break
    found = found or REST
    # A thread of sqlx's has no tasks: what it wakes of tokio is the hand-over.
    return SQLX if thread == SQLX_THREAD and found in (SCHEDULER, REST) else found


def kinds(samples: Iterable[Sample]) -> Counter[str]:
    """How many samples are of each kind."""
    found: Counter[str] = Counter()
    for one in samples:
        found[kind(one.thread, one.frames)] += one.count
    return found


# --- names ---

LONGEST = 80
HASH = re.compile(r"::h[0-9a-f]{16}$")
ENDING = re.compile(r"\.(?:llvm|isra|constprop|part|cold)\b[.\d]*")
CLOSURES = re.compile(r"(?:::\{\{(?:closure|vtable\.shim)\}\})+$")
# `{async_fn#0}`, as inlined frames are called.
UNNAMED = re.compile(r"\{([a-z_]+)#\d+\}")
OF_LIBC = re.compile(r"^_*(?:GI_)?_*(?:libc_)?")
VARIANT = re.compile(r"_(?:avx|evex|sse)\w*$")


def _end(name: str, at: int) -> int:
    """Behind the bracket that closes the one at a place."""
    depth = 0
    for index in range(at, len(name)):
        if name[index] == "<":
            depth += 1
        elif name[index] == ">" and name[index - 1] not in "-=":
            depth -= 1
            if depth == 0:
                return index + 1
    return len(name)


def _without_generics(name: str) -> str:
    kept, at = [], 0
    while at < len(name):
        if name[at] != "<":
            kept.append(name[at])
            at += 1
            continue
        end = _end(name, at)
        if at == 0:
            # `<Type as Trait>::method`, of which the trait says less.
            kept.append(_without_generics(_type(name[1 : end - 1])))
        elif "".join(kept[-2:]) == "::":
            del kept[-2:]
        at = end
    return "".join(kept)


def _type(text: str) -> str:
    depth = 0
    for index, letter in enumerate(text):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if depth == 0 and text.startswith(" as ", index):
            return text[:index]
    return text


@cache
def readable(frame: Frame) -> str:
    """A name without hashes, generics and closures; an inlined function's with the module that its file says."""
    crate, path = place(frame)
    name = ENDING.sub("", HASH.sub("", frame.name))
    if crate == LIBC:
        return VARIANT.sub("", OF_LIBC.sub("", name)) or name
    name = _without_generics(CLOSURES.sub("", name)).replace("&mut ", "").replace("&", "")
    name = UNNAMED.sub(lambda found: f"{{{found[1].replace('_', ' ')}}}", name)
    if "::" not in name and path.endswith(".rs") and crate != RUST:
        name = "::".join([*_module(crate, path), name])
    return name if len(name) <= LONGEST else f"…{name[-LONGEST:]}"


def _module(crate: str, path: str) -> list[str]:
    parts = path.removeprefix("src/").removesuffix(".rs").split("/")
    if parts[-1] in ("mod", "lib", "main"):
        parts.pop()
    # The crate and the file say enough.
    return [crate.replace("-", "_"), *(parts if crate == OURS else parts[-1:])]


# Nothing of these is looked for in a flame graph: they call what is.
PLUMBING = {RUST, "futures-util", "futures-core", "tower-service", "pin-project-lite", "tokio-util", ""}
# Layers upon layers, of which the last one met says enough.
ONIONS = [{"tokio"}, {"axum", "tower", "tower-http"}, {"hyper", "hyper-util"}]


def shown(frames: Iterable[Frame]) -> list[Frame]:
    """The frames that a flame graph shows, from the outermost to the innermost."""
    kept: list[Frame] = []
    for frame in frames:
        crate, path = place(frame)
        # An address without a name is all that is known of a place.
        plumbing = crate in PLUMBING and not frame.name.startswith("0x")
        if plumbing or path.startswith("nptl/pthread_create") or frame.name.startswith("clone"):
            continue
        onion = next((one for one in ONIONS if crate in one), None)
        if kept and onion and place(kept[-1])[0] in onion:
            kept[-1] = frame
        elif not kept or readable(kept[-1]) != readable(frame):
            kept.append(frame)
    return kept
