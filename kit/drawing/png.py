"""Makes a screenshot smaller: a PNG of true color becomes one with a palette (PNG specification, 11.2.3)."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLORS = 256
# The least distance between two colors of a palette, squared.
APART = 130
Color = tuple[int, int, int]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _paeth(a: int, b: int, c: int) -> int:
    da, db, dc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return a if da <= db and da <= dc else (b if db <= dc else c)


def _unfilter(raw: bytes, width: int, height: int, size: int) -> list[bytes]:
    """The rows of pixels from what the filters of the encoder made of them (9.2)."""
    stride, rows, above = width * size, [], bytearray(width * size)
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        if kind == 1:
            for i in range(size, stride):
                row[i] = (row[i] + row[i - size]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above, strict=True))
        elif kind == 3:
            for i in range(stride):
                left = row[i - size] if i >= size else 0
                row[i] = (row[i] + (left + above[i]) // 2) & 255
        elif kind == 4:
            for i in range(stride):
                left, corner = (row[i - size], above[i - size]) if i >= size else (0, 0)
                row[i] = (row[i] + _paeth(left, above[i], corner)) & 255
        rows.append(bytes(row))
        above = row
    return rows


def _distance(one: Color, other: Color) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2


def _palette(counts: Counter[Color]) -> tuple[list[Color], dict[Color, int]]:
    """The colors kept, the most used first and none too near to another, and a place among them for each color."""
    # Of colors that differ by less than four a channel, nobody sees which one it is: the most used stands for all.
    groups: dict[Color, list[Color]] = {}
    for color, _ in counts.most_common():
        groups.setdefault((color[0] >> 2, color[1] >> 2, color[2] >> 2), []).append(color)
    kept: list[Color] = []
    for color, *_ in groups.values():
        if len(kept) < COLORS and all(_distance(color, one) > APART for one in kept):
            kept.append(color)
    places = {}
    for group in groups.values():
        nearest = min(range(len(kept)), key=lambda index, one=group[0]: _distance(one, kept[index]))
        places |= dict.fromkeys(group, nearest)
    return kept, places


def with_palette(data: bytes) -> bytes:
    """The same picture with a palette; one that is not of 8 bits a channel without interlacing is refused."""
    chunks = list(_chunks(data))
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth != 8 or color not in (2, 6) or rest[2] != 0:
        raise ValueError("not a PNG of 8 bits a channel without interlacing")
    size = 3 if color == 2 else 4
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    rows = _unfilter(raw, width, height, size)
    pixels = [list(zip(row[0::size], row[1::size], row[2::size], strict=True)) for row in rows]
    counts: Counter[Color] = Counter()
    for row in pixels:
        counts.update(row)
    kept, places = _palette(counts)
    packed = b"".join(b"\x00" + bytes([places[pixel] for pixel in row]) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"PLTE", b"".join(map(bytes, kept)))
    return SIGNATURE + body + _chunk(b"IDAT", zlib.compress(packed, 9)) + _chunk(b"IEND", b"")
