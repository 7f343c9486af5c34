"""What a read returns depends on the bytes of the stream, never on how the network cut them.

Each rule is held against a plain model that sees the whole stream at once and looks at it byte by byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.reading_models import PATTERNS, Outcome, Read
from wirelane.core.delimiters import line_rule
from wirelane.core.readbuffer import ReadBuffer
from wirelane.errors import CodecError, LimitExceeded


def expected(stream: bytes, reads: Sequence[Read]) -> tuple[list[Outcome], bytes]:
    outcomes = []
    for read in reads:
        outcome, taken = read.model(stream)
        outcomes.append(outcome)
        stream = stream[taken:]
    return outcomes, stream


def observed(pieces: Iterable[bytes], reads: Sequence[Read]) -> tuple[list[Outcome], bytes]:
    """Do the reads one after the other, each asked again after every piece, as a connection does."""
    buffer, source, outcomes = ReadBuffer(), iter(pieces), []
    eof = False
    for read in reads:
        rule = read.rule()
        while True:
            try:
                data = rule.take(buffer, eof)
            except LimitExceeded as error:
                outcomes.append(("limit", error.partial))
                break
            if data is not None:
                outcomes.append(("data", data))
                break
            if eof:
                outcomes.append(("end", buffer.peek(rule.demand)))
                break
            piece = next(source, None)
            if piece is None:
                eof = True
            else:
                buffer.append(piece)
    return outcomes, buffer.peek() + b"".join(source)


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    return [stream[start:end] for start, end in pairwise([0, *sorted(set(places)), len(stream)])]


def every_cut(stream: bytes) -> Iterator[list[bytes]]:
    inner = range(1, len(stream))
    for count in range(len(stream)):
        for places in combinations(inner, count):
            yield cut(stream, places)


alphabet = st.sampled_from(b"ab\r\n")
streams = st.lists(alphabet, max_size=60).map(bytes)
markers = st.lists(st.lists(alphabet, min_size=1, max_size=3).map(bytes), min_size=1, max_size=3).map(tuple)
patterns = st.sampled_from(PATTERNS)
reads = st.one_of(
    st.builds(Read, size=st.integers(0, 12)),
    st.builds(Read, markers=markers, size=st.integers(1, 30), limit=st.booleans(), keep=st.booleans()),
    st.builds(Read, markers=st.just((b"\n",)), size=st.just(50), limit=st.just(True), keep=st.booleans()),
    st.builds(
        Read,
        markers=st.just((b"a\n", b"b\r")),
        align=st.just(2),
        size=st.integers(1, 30),
        limit=st.booleans(),
    ),
    st.builds(Read, pattern=patterns, size=st.integers(1, 30)),
    st.builds(Read, to_the_end=st.just(True), size=st.integers(0, 60)),
)


@settings(max_examples=400)
@given(stream=streams, asked=st.lists(reads, max_size=12), data=st.data())
def test_reads_are_those_of_the_model_however_the_bytes_are_cut(
    stream: bytes, asked: list[Read], data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=len(stream)))
    wanted = expected(stream, asked)
    assert observed(cut(stream, places), asked) == wanted
    assert observed([stream], asked) == wanted
    assert observed([stream[at : at + 1] for at in range(len(stream))], asked) == wanted


@given(lines=st.lists(st.lists(st.sampled_from(b"ab"), max_size=40).map(bytes), max_size=200), data=st.data())
def test_line_after_line_is_the_stream_cut_at_its_markers(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    read = Read(markers=(b"\n",), size=100, limit=True, keep=False)
    assert observed(cut(stream, places), [read] * len(lines)) == ([("data", line) for line in lines], b"")


@pytest.mark.parametrize(
    ("stream", "read"),
    [
        (b"a\r\nb\r\nc", Read(markers=(b"\r\n",), size=6, limit=True)),
        (b"aaabaaab", Read(markers=(b"aab",), size=9, limit=True)),
        (b"x\r\ny\nz\r", Read(markers=(b"\n", b"\r\n", b"\r"), size=9, keep=False)),
        (b"\x00\x0a\x0a\x00\x00\x0a", Read(markers=(b"\x00\x0a",), align=2, size=9, limit=True)),
        (b"12\n345\n6", Read(pattern=rb"\d+\n", size=6)),
        (b"$ a\n$ b\n$ ", Read(pattern=rb"\$ $", size=6)),
    ],
)
def test_each_of_all_cuts_gives_the_same(stream: bytes, read: Read) -> None:
    asked = [read] * 4
    wanted = expected(stream, asked)
    for pieces in every_cut(stream):
        assert observed(pieces, asked) == wanted, pieces


class LentLines:
    """Lines as `Connection.lines` reads them, most of them on loan, beside a plain string of bytes."""

    def __init__(self, marker: str, encoding: str, limit: int, *, keep: bool) -> None:
        self.rule = line_rule(marker, encoding, limit, keep, "strict")
        self.marker, self.encoding, self.limit, self.keep = marker.encode(encoding), encoding, limit, keep
        self.buffer = ReadBuffer()
        self.rest = b""
        self.ready: deque[str] = deque()

    def arrive(self, data: bytes) -> None:
        self.buffer.append(data)
        self.rest += data

    def unread(self, data: bytes) -> None:
        self.buffer.unread(data)
        self.rest = data + self.rest

    def skip(self, size: int) -> None:
        assert self.buffer.take(size) == self.rest[:size]
        self.rest = self.rest[size:]

    def line(self, _: object) -> None:
        assert self.next() == self.expected()

    def look(self, _: object) -> None:
        assert self.buffer.peek() == self.rest

    def next(self) -> str | None:
        if not self.ready:
            self.ready = self.rule.lend(self.buffer)
        if self.ready:
            return self.ready.pop()
        try:
            return self.rule.take(self.buffer, False)
        except CodecError:
            return "no text"
        except LimitExceeded:
            return "no end"

    def expected(self) -> str | None:
        end = self.rest.find(self.marker, 0, self.limit)
        if end < 0:
            return "no end" if len(self.rest) >= self.limit else None
        after = end + len(self.marker)
        try:
            line = self.rest[: after if self.keep else end].decode(self.encoding)
        except UnicodeError:
            return "no text"
        self.rest = self.rest[after:]
        return line


BYTES = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\n", b"\r\n", b"\xc3\xa9", b"\xff"]), max_size=300
).map(b"".join)


@settings(max_examples=300)
@given(
    marker=st.sampled_from(["\n", "\r\n", "\n\n", "\u00e9", "a"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    limit=st.sampled_from([5, 100, 65_536]),
    keep=st.booleans(),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just(LentLines.arrive), BYTES),
            st.tuples(st.just(LentLines.unread), BYTES),
            st.tuples(st.just(LentLines.skip), st.integers(0, 20)),
            *[st.tuples(st.just(LentLines.line), st.none())] * 6,
            st.tuples(st.just(LentLines.look), st.none()),
        ),
        max_size=60,
    ),
)
def test_lines_on_loan_are_the_stream_whatever_is_read_between(
    marker: str, encoding: str, limit: int, keep: bool, steps: list[tuple[Callable[..., None], object]]
) -> None:
    lent = LentLines(marker, encoding, limit, keep=keep)
    lent.arrive(b"line\n" * 50)
    for step, argument in steps:
        step(lent, argument)
        assert len(lent.buffer) == len(lent.rest) <= lent.buffer.most
