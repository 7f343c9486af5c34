"""What reading costs: work and copies are counted, not timed."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from wirelane.core.delimiters import (
    Available,
    Exactly,
    Matching,
    ReadRule,
    UntilEof,
    line_rule,
    marker_rule,
    until_rule,
)
from wirelane.core.lengthprefix import Frame, LengthPrefix
from wirelane.core.readbuffer import ReadBuffer

MIB = 1024 * 1024
PIECE = 256 * 1024  # what asyncio and uvloop read at a time


class Searched(bytes):
    """Bytes that count how many of them are searched."""

    searched = 0

    def find(self, *arguments: Any) -> int:
        return self._count(super().find(*arguments), *arguments)

    def rfind(self, *arguments: Any) -> int:
        _, start, end = arguments
        at = super().rfind(*arguments)
        Searched.searched += end - (start if at < 0 else at)
        return at

    def _count(self, at: int, value: bytes, start: int, end: int) -> int:
        Searched.searched += (min(end, len(self)) if at < 0 else at + len(value)) - min(start, end)
        return at


class Copied(ReadBuffer):
    """A buffer that counts the bytes that it copies out."""

    __slots__ = ("copied",)

    def __init__(self) -> None:
        super().__init__()
        self.copied = 0

    def peek(self, size: int | None = None) -> bytes:
        data = super().peek(size)
        self.copied += len(data)
        return data


RULES: dict[str, tuple[bytes, Callable[[], ReadRule[Any]]]] = {
    "a size": (b"0123456789abcdef", lambda: Exactly(16)),
    "whatever is there": (b"0123456789abcdef", lambda: Available(16)),
    "a marker": (b"0123456789abcde\n", lambda: marker_rule(b"\n", 65536, True, "read_buffer")),
    "a marker, and one that is far off": (
        b"0123456789abcde\n",
        lambda: marker_rule((b"\n", b"never"), 65536, True, "read_buffer"),
    ),
    "which marker": (b"0123456789abcde\n", lambda: until_rule((b"\n", b"never"), 65536, True, "x")),
    "a line of text": (b"0123456789abcde\n", lambda: line_rule("\n", "utf-8", 65536, True, "strict")),
    "a line of UTF-16": (
        "0123456\n".encode("utf-16-le"),
        lambda: line_rule("\n", "utf-16-le", 65536, True, "strict"),
    ),
    "a pattern": (b"0123456789abcde\n", lambda: Matching(rb"\n", 8192)),
    "a pattern that looks ahead": (b"0123456789abcde\n", lambda: Matching(rb"e\n$", 8192)),
    "a frame": (b"\x0f0123456789abcd\n", lambda: Frame(LengthPrefix(1), 1000)),
}


def work(rule: Callable[[], ReadRule[Any]], unit: bytes, size: int, between: str) -> float:
    """Read units one by one out of a full buffer. Returns the bytes searched and copied for each, besides its own."""
    buffer, count = Copied(), 200
    buffer.append(Searched(unit * (size // len(unit))))
    Searched.searched = 0
    for _ in range(count):
        assert rule().take(buffer, False) is not None
        if between == "looking":
            assert len(buffer) >= size - (count + 1) * len(unit)
            assert buffer.peek(1)
        elif between == "unreading":
            buffer.take(1)
            buffer.unread(unit[:1])
    return (Searched.searched + buffer.copied) / count


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("between", ["", "looking", "unreading"])
def test_the_work_of_a_read_does_not_grow_with_what_is_buffered(name: str, between: str) -> None:
    unit, rule = RULES[name]
    little, much = (work(rule, unit, size, between) for size in (16 * 1024, 4 * MIB))
    assert much <= little + len(unit)
    assert much < 2000


@pytest.mark.parametrize("name", ["a marker", "a marker, and one that is far off", "which marker"])
def test_what_was_searched_in_vain_is_not_searched_again_when_more_comes(name: str) -> None:
    _, rule = RULES[name]
    buffer = ReadBuffer()
    searched = 0
    for _ in range(100):
        # The next search begins where this one ends; what is searched is known from the buffer itself.
        buffer.append(b"x" * 600)
        before = buffer.scanned
        assert rule().take(buffer, False) is None
        searched += buffer.scanned - before
    assert searched == buffer.scanned == 60_000


@pytest.mark.parametrize("extra", [0, 1, 100_000])
@pytest.mark.parametrize("first", [0, 10, 5000])
def test_a_large_block_is_copied_once(first: int, extra: int) -> None:
    size = 8 * MIB
    whole = random.Random(5).randbytes(first + size + extra)
    buffer = ReadBuffer()
    for start in range(0, len(whole), PIECE):
        buffer.append(whole[start : start + PIECE])
    assert buffer.take(first) == whole[:first]
    gc.collect()
    tracemalloc.start()
    try:
        block = Exactly(size).take(buffer, False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert block == whole[first : first + size]
    assert peak < size + 64 * 1024
    assert buffer.take(extra + 1) == whole[first + size :]


def test_what_came_in_one_piece_and_is_taken_whole_is_not_copied() -> None:
    buffer = ReadBuffer()
    for rule in (Available(65536), Exactly(1000), UntilEof(1000)):
        piece = bytes(1000)
        buffer.append(piece)
        assert rule.take(buffer, True) is piece


def test_pieces_that_wait_are_not_copied_together_for_those_who_take_them_one_by_one() -> None:
    buffer = ReadBuffer()
    pieces = [bytes([number]) * PIECE for number in range(8)]
    for piece in pieces:
        buffer.append(piece)
    for piece in pieces:
        assert Available(PIECE).take(buffer, False) is piece


def test_a_buffer_lets_go_of_what_was_read() -> None:
    for rule, rest in ((Exactly(PIECE), 0), (Exactly(PIECE - 10), 10)):
        buffer = ReadBuffer()
        gc.collect()
        tracemalloc.start()
        try:
            buffer.append(bytes(PIECE))
            assert len(rule.take(buffer, False) or b"") == PIECE - rest
            line_rule("\n", "utf-8", 65536, False, "strict").take(buffer, False)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(buffer) == rest
        assert held < 8000


def test_an_idle_buffer_takes_little_memory() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        buffers = [ReadBuffer() for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 300 * len(buffers)


def test_small_pieces_that_nobody_reads_take_little_more_memory_than_they_hold() -> None:
    buffer = ReadBuffer()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(65536):
            buffer.append(b"%c%c" % (number & 255, number >> 8))
        buffer.append(bytes(5000))
        for number in range(65536):
            buffer.append(b"%c%c" % (number & 255, number >> 8))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(buffer) == 4 * 65536 + 5000
    assert held < 1.3 * len(buffer)
    small = b"".join(b"%c%c" % (number & 255, number >> 8) for number in range(65536))
    assert buffer.take(len(buffer)) == small + bytes(5000) + small
