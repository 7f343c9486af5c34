"""The engine makes the same of the same octets, however the network cuts them; and anything may be fed to it."""

from __future__ import annotations

from itertools import pairwise

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.wire_support import (
    DATA,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    REQUEST,
    SETTINGS,
    frame,
    message,
)
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, HeaderBlock, Stream


class Recorder(Stream):
    """Keeps what its hooks are told; data is joined, since cuts within a frame do not matter and frames do."""

    __slots__ = ("log",)

    def __init__(self, connection: Connection, log: list[object]) -> None:
        super().__init__(connection)
        self.log = log

    def on_headers(self, block: HeaderBlock, end_stream: bool) -> None:
        self.log.append((self.id, "headers", tuple(block.headers), end_stream))

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.log.append((self.id, "data", data, end_stream))

    def row_limit(self) -> int:
        return self.connection.limits.max_receive_message

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        for compressed, payload in row:
            self.on_data(message(payload, compressed), False)

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        self.log.append((self.id, "reset", code, by_peer))

    def on_connection_ended(self, code: int, reason: str, *, unprocessed: bool) -> None:
        self.log.append((self.id, "ended", code, unprocessed))


class Owner:
    def __init__(self, limits: Limits | None = None) -> None:
        self.log: list[object] = []
        self.engine = Connection(client=False, owner=self, limits=limits or Limits())
        self.engine.start()

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None:
        self.log.append("settings")

    def input_waits(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None:
        self.log.append(("goaway", code, reason))

    def engine_ended(self, code: int, reason: str) -> None:
        self.log.append(("over", code, reason))

    def stream_requested(self, block: HeaderBlock) -> Stream:
        return Recorder(self.engine, self.log)

    def feed(self, octets: bytes, cuts: list[int]) -> tuple[list[object], bytes]:
        edges = [0, *sorted({cut for cut in cuts if cut < len(octets)}), len(octets)]
        for start, end in pairwise(edges):
            self.engine.receive(octets[start:end])
        while self.engine.waiting:
            self.engine.resume()
        return self.log, b"".join(bytes(piece) for piece in self.engine.take())


def conversation() -> bytes:
    """A client's side of some calls: padding, CONTINUATION, unknown frames, priority, pings, trailers."""
    encoder = hpack.Encoder()
    block = encoder.encode(REQUEST)
    again = encoder.encode(REQUEST)
    return b"".join(
        [
            PREFACE,
            frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff"),
            frame(HEADERS, 0, 1, block[:10]),
            frame(9, 4, 1, block[10:]),
            frame(DATA, PADDED, 1, b"\x03" + message(b"abc") + bytes(3)),
            frame(PING, 0, 0, b"12345678"),
            frame(HEADERS, 4 | 0x20, 3, bytes(5) + again),
            frame(0x77, 0x12, 3, b"unknown"),
            frame(DATA, END_STREAM, 3, message(b"d" * 300)),
            frame(DATA, 0, 1),
            *(frame(DATA, 0, 1, message(bytes(size))) for size in (1, 0, 20)),
            frame(DATA, 0, 1, message(b"c", 1)),
            *(frame(DATA, 0, 1, message(bytes(size))) for size in (300, 2)),
            frame(DATA, END_STREAM, 1, message(b"z")),
            frame(3, 0, 3, (8).to_bytes(4, "big")),
            frame(7, 0, 0, bytes(8) + b"bye"),
        ]
    )


WHOLE = conversation()


@given(st.lists(st.integers(1, len(WHOLE)), max_size=40))
def test_every_cut_gives_the_same_calls_and_answers(cuts: list[int]) -> None:
    assert Owner().feed(WHOLE, cuts) == Owner().feed(WHOLE, [])


def test_octet_by_octet_is_the_same_as_whole() -> None:
    whole = Owner().feed(WHOLE, [])
    assert Owner().feed(WHOLE, list(range(len(WHOLE)))) == whole
    assert len(whole[0]) > 8


@given(st.lists(st.integers(1, len(WHOLE)), max_size=40), st.integers(1, 3), st.integers(1, 20))
def test_the_share_of_a_turn_changes_neither_calls_nor_answers(
    cuts: list[int], streams: int, frames: int
) -> None:
    small = Limits(max_streams_per_turn=streams, max_frames_per_turn=frames)
    assert Owner(small).feed(WHOLE, cuts) == Owner().feed(WHOLE, [])


def joined(log: list[object]) -> list[object]:
    """What was heard, with octets that follow each other in one piece: long frames are handed on as they come."""
    result: list[object] = []
    for entry in log:
        match result, entry:
            case [*_, (int(stream), "data", bytes(before), False)], (int(same), "data", bytes(data), end) if (
                stream == same
            ):
                result[-1] = (stream, "data", before + data, end)
            case _:
                result.append(entry)
    return result


def large_conversation(end: bytes) -> bytes:
    """Two calls with messages of many frames, other frames between these, and `end`."""
    encoder = hpack.Encoder()
    numbers = bytes(index % 251 for index in range(16_000))
    long = encoder.encode([*REQUEST, *((b"x-%d" % number, b"v" * 150) for number in range(30))])
    return b"".join(
        [
            PREFACE,
            frame(SETTINGS, 0, 0),
            frame(HEADERS, 4, 1, encoder.encode(REQUEST)),
            frame(DATA, 0, 1, message(bytes(40_000))[:5]),
            frame(DATA, 0, 1, numbers),
            frame(HEADERS, 4, 3, long),
            frame(DATA, 0, 3, message(numbers)),
            frame(DATA, PADDED, 1, b"\x07" + numbers[:9000] + bytes(7)),
            frame(PING, 0, 0, b"12345678"),
            frame(DATA, 0, 1, numbers[:15_000]),
            frame(DATA, END_STREAM, 1, message(numbers)[:9000]),
            frame(DATA, 0, 3, message(numbers)),
            end,
        ]
    )


ENDS = {
    "orderly": frame(DATA, END_STREAM, 3, message(bytes(7000))) + frame(7, 0, 0, bytes(8) + b"bye"),
    "beyond the window": frame(DATA, 0, 3, bytes(16_384)) * 3 + frame(PING, 0, 0, b"87654321"),
    "a frame too long": frame(DATA, 0, 3, bytes(8000)) + frame(DATA, 0, 3, bytes(17_000)) + bytes(9000),
    "no such stream": frame(DATA, 0, 7, bytes(9000)) + frame(DATA, 0, 3, bytes(9000)),
}


@pytest.mark.parametrize("end", ENDS)
@given(cuts=st.lists(st.integers(1, 120_000), max_size=12))
def test_large_frames_are_the_same_wherever_reads_cut_them(end: str, cuts: list[int]) -> None:
    octets = large_conversation(ENDS[end])
    (whole, said), (cut, said_of_cut) = Owner().feed(octets, []), Owner().feed(octets, cuts)
    assert joined(cut) == joined(whole)
    assert said_of_cut == said
    assert len(whole) > 8


FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.binary(max_size=64),
)


@settings(max_examples=300)
@given(st.lists(st.one_of(FRAMES, st.binary(max_size=40)), max_size=30), st.booleans())
def test_any_input_is_taken_or_answered_with_an_error(pieces: list[bytes], greeted: bool) -> None:
    owner = Owner()
    if greeted:
        owner.engine.receive(PREFACE + frame(SETTINGS, 0, 0))
    for piece in pieces:
        owner.engine.receive(piece)
    overs = [entry for entry in owner.log if isinstance(entry, tuple) and entry[0] == "over"]
    assert len(overs) == int(owner.engine.ended)
    assert len(owner.engine.streams) <= 100
