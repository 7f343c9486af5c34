"""What reads return depends on the bytes of the stream alone, however the network cuts them and whatever is done in between: written once, run with asyncio and without.

Models that see the whole stream at once say what is right. The same is done with the rules themselves in tests/properties.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.reading_models import PATTERNS, Outcome, Read
from support.twins_support import sleep, start, until
from twins.tcp_support import pair
from wirelane import CodecError, EndOfStream, LimitExceeded, Limits, ReadTimeout, tcp

SOON = 30.0
LIMITS = Limits(read_buffer=40)

alphabet = st.sampled_from(b"ab\r\n")
streams = st.lists(alphabet, max_size=60).map(bytes)
markers = st.lists(st.lists(alphabet, min_size=1, max_size=3).map(bytes), min_size=1, max_size=3).map(tuple)
kinds = st.one_of(
    st.builds(Read, size=st.integers(0, 12)),
    st.builds(Read, markers=markers, size=st.integers(1, 30), limit=st.booleans(), keep=st.booleans()),
    st.builds(Read, pattern=st.sampled_from(PATTERNS), size=st.integers(1, 30)),
    st.builds(Read, to_the_end=st.just(True), size=st.integers(0, 60)),
)


async def done(connection: tcp.Connection, read: Read) -> Any:
    """Read as the model says."""
    if read.to_the_end:
        return await connection.read_until_eof(read.size, timeout=SOON)
    if read.pattern is not None:
        return await connection.read_regex(read.pattern, read.size, timeout=SOON)
    if not read.markers:
        return await connection.read_exactly(read.size, timeout=SOON)
    if read.limit:
        found = await connection.read_until(read.markers, read.size, timeout=SOON, keep_marker=read.keep)
        return found.data
    return await connection.read(read.size, read.markers, keep_marker=read.keep, timeout=SOON)


async def outcome(connection: tcp.Connection, read: Read) -> Outcome:
    """What comes of a read."""
    try:
        return "data", await done(connection, read)
    except LimitExceeded as error:
        return "limit", error.partial
    except EndOfStream as error:
        return "end", error.partial


async def one_after_the_other(peer: Any, pieces: list[bytes]) -> None:
    """Have the peer send pieces with pauses in which they arrive, and end its stream."""
    for piece in pieces:
        await peer.say(piece)
        await sleep(0.0005)
    peer.writer.write_eof()


@settings(max_examples=120)
@given(stream=streams, asked=st.lists(kinds, max_size=8), data=st.data())
async def test_reads_are_those_of_the_model_however_the_bytes_are_cut(
    stream: bytes, asked: list[Read], data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    pieces = [stream[begin:end] for begin, end in pairwise([0, *sorted(set(places)), len(stream)])]
    rest = stream
    async with pair() as (connection, peer):
        saying = start(one_after_the_other, peer, pieces)
        for read in asked:
            expected, taken = read.model(rest)
            assert await outcome(connection, read) == expected
            rest = rest[taken:]
        assert await connection.read_until_eof(timeout=SOON) == rest
        await saying.result()


class Talk:
    """A connection whose lines are iterated, beside a plain string of the bytes that are unread."""

    def __init__(self, connection: tcp.Connection, peer: Any) -> None:
        self.connection = connection
        self.peer = peer
        self.lines = connection.lines(timeout=0)
        self.rest = b""

    async def say(self, piece: bytes) -> None:
        """Have the peer send something, and wait until it is here."""
        await self.peer.say(piece)
        self.rest += piece
        await until(lambda: self.connection.buffered == len(self.rest))

    async def line(self, _: object) -> None:
        """Take the next line of the iteration."""
        await self._read(lambda: anext(self.lines))

    async def read_line(self, _: object) -> None:
        """Read a line beside the iteration."""
        await self._read(lambda: self.connection.read_line(timeout=0))

    async def _read(self, read: Callable[[], Awaitable[str]]) -> None:
        line, newline, rest = self.rest.partition(b"\n")
        try:
            assert (await read()).encode() == line
        except ReadTimeout as late:
            assert not newline
            assert late.partial == line
        except CodecError:
            assert newline
            assert line.decode(errors="ignore").encode() != line
        else:
            assert newline
            self.rest = rest

    async def skip(self, size: int) -> None:
        """Read bytes beside the iteration."""
        size = min(size, len(self.rest))
        assert await self.connection.read_exactly(size, timeout=SOON) == self.rest[:size]
        self.rest = self.rest[size:]

    async def unread(self, piece: bytes) -> None:
        """Put bytes before what is unread."""
        self.connection.unread(piece)
        self.rest = piece + self.rest

    async def look(self, size: int) -> None:
        """See what is buffered, and how much: it is the beginning of what is unread."""
        seen = self.connection.peek()
        assert self.rest.startswith(seen)
        assert self.connection.peek(size) == seen[:size]
        assert self.connection.buffered >= len(seen)
        assert repr(self.connection).endswith("bytes unread>")


PIECES = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n", b"\xc3\xa9"]), max_size=60).map(b"".join)
STEPS = st.one_of(
    st.tuples(st.just(Talk.say), PIECES),
    st.tuples(st.just(Talk.unread), PIECES),
    st.tuples(st.just(Talk.skip), st.integers(0, 20)),
    st.tuples(st.just(Talk.look), st.integers(0, 20)),
    st.tuples(st.just(Talk.read_line), st.none()),
    *[st.tuples(st.just(Talk.line), st.none())] * 6,
)


@settings(max_examples=120)
@given(steps=st.lists(STEPS, max_size=40))
async def test_lines_on_loan_are_the_stream_whatever_is_done_between(
    steps: list[tuple[Callable[..., Awaitable[None]], object]],
) -> None:
    async with pair() as (connection, peer):
        talk = Talk(connection, peer)
        await talk.say(b"line\n" * 50)
        for step, argument in steps:
            await step(talk, argument)
        peer.writer.write_eof()
        assert await connection.read_until_eof(timeout=SOON) == talk.rest
