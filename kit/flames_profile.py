"""Reads a CPU profile as the ops listener answers it: of pprof's format (profile.proto of google/pprof) the few fields
that a flame graph needs."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Fields of the message Profile.
SAMPLE_TYPE, SAMPLE, LOCATION, FUNCTION, STRING = 1, 2, 4, 5, 6
T = TypeVar("T")


class FormatError(ValueError):
    """Not a profile, or one with another meaning."""


@dataclass(frozen=True)
class Frame:
    """A function: its name and the file that it is written in."""

    name: str
    file: str


@dataclass(frozen=True)
class Sample:
    """One stack, from the outermost frame to the innermost, and how often it was seen."""

    thread: str
    frames: tuple[Frame, ...]
    count: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise FormatError("a number is cut off")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, by their numbers."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise FormatError(f"a field of kind {kind}")
        if at + size > len(data):
            raise FormatError("a field is cut off")
        yield key >> 3, data[at : at + size]
        at += size


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise FormatError("a text in a number's place")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise FormatError("a number in a text's place")
    return value


def _numbers(value: int | bytes) -> list[int]:
    """A repeated number: alone, or several packed."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found


def _message(data: int | bytes) -> dict[int, list[int | bytes]]:
    found: dict[int, list[int | bytes]] = {}
    for number, value in fields(_bytes(data)):
        found.setdefault(number, []).append(value)
    return found


def _one(message: dict[int, list[int | bytes]], number: int) -> int:
    """The last of a field, as the format has it; zero is not written."""
    return _number(message.get(number, [0])[-1])


def _at(known: dict[int, T], number: int) -> T:
    """What has a number; raises `FormatError`."""
    if number not in known:
        raise FormatError(f"nothing has the number {number}")
    return known[number]


def decode(profile: bytes) -> list[Sample]:
    """The stacks of a gzipped profile. The first value of a sample must be how often it was seen."""
    try:
        data = gzip.decompress(profile)
    except (OSError, EOFError) as error:
        raise FormatError(f"not a gzipped profile: {error}") from error
    whole = _message(data)
    strings = [_bytes(text).decode() for text in whole.get(STRING, [])]

    def text(at: int) -> str:
        if at >= len(strings):
            raise FormatError(f"there is no text {at}")
        return strings[at]

    kinds = [text(_one(_message(one), 1)) for one in whole.get(SAMPLE_TYPE, [])]
    if kinds[:1] != ["samples"]:
        raise FormatError(f"the values are {kinds}, not samples")
    functions: dict[int, Frame] = {}
    for one in map(_message, whole.get(FUNCTION, [])):
        functions[_one(one, 1)] = Frame(text(_one(one, 2)), text(_one(one, 4)))
    locations: dict[int, list[Frame]] = {}
    for one in map(_message, whole.get(LOCATION, [])):
        # Of inlined functions the innermost comes first.
        lines = [_at(functions, _one(_message(line), 1)) for line in one.get(4, [])]
        locations[_one(one, 1)] = lines or [Frame(hex(_one(one, 3)), "")]
    samples = []
    for one in map(_message, whole.get(SAMPLE, [])):
        ids = [number for value in one.get(1, []) for number in _numbers(value)]
        values = [number for value in one.get(2, []) for number in _numbers(value)]
        if not values:
            raise FormatError("a sample without values")
        labels = {text(_one(label, 1)): text(_one(label, 2)) for label in map(_message, one.get(3, []))}
        frames = [frame for number in ids for frame in _at(locations, number)]
        samples.append(Sample(labels.get("thread", ""), tuple(reversed(frames)), values[0]))
    return samples
