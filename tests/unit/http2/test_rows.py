"""DATA frames in a row on one stream: read together, they come to the same as one by one."""

from __future__ import annotations

from itertools import pairwise

import hpack
import pytest

from support.wire_support import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    REQUEST,
    SETTINGS,
    frame,
    message,
)
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream

KIB = 1024


class Body(Stream):
    """A stream that keeps what it is told, and does not care for how."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.told: list[object] = []
        self.rows: list[int] = []

    def row_limit(self) -> int:
        return self.connection.limits.max_receive_message

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        self.rows.append(len(row))
        self.told += [(message(payload, compressed), False) for compressed, payload in row]

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.told.append((data, end_stream))

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        self.told.append(ErrorCode(code))


class Server:
    """A server's engine with two requests of which the bodies are still to come, on streams 1 and 3."""

    def __init__(self, **limits: int) -> None:
        self.ended: int | None = None
        self.streams: list[Body] = []
        self.engine = Connection(client=False, owner=self, limits=Limits(**limits))
        self.engine.start()
        encoder = hpack.Encoder()
        self.engine.receive(PREFACE + frame(SETTINGS, 0, 0))
        for stream in (1, 3):
            self.engine.receive(frame(HEADERS, END_HEADERS, stream, encoder.encode(REQUEST)))
        self.engine.take()

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None: ...
    def input_waits(self) -> None: ...

    def engine_ended(self, code: int, reason: str) -> None:
        self.ended = code

    def stream_requested(self, block: HeaderBlock) -> Stream:
        self.streams.append(Body(self.engine))
        return self.streams[-1]

    def state(self) -> list[object]:
        engine = self.engine
        streams = [(one.told, one.recv_window, one.remote_closed) for one in self.streams]
        return [self.ended, engine.recv_window, sorted(engine.streams), streams, b"".join(engine.take())]


SIZES = 0, 2, 300, 3
ROW = [frame(DATA, 0, 1, message(b"x" * size)) for size in SIZES]


@pytest.mark.parametrize(
    "last",
    [
        frame(DATA, END_STREAM, 1, message(b"end")),
        frame(DATA, 0, 3, message(b"another's")) * 2 + frame(DATA, 0, 1, message(b"more")),
        frame(DATA, PADDED, 1, b"\x02" + message(b"abc") + bytes(2)),
        frame(DATA, 0, 1, b"") + frame(DATA, 0, 1, message(b"more")),
        frame(DATA, 0, 1, message(bytes(16 * KIB - 5))) * 3 + frame(DATA, 0, 1, message(bytes(10 * KIB))),
        frame(DATA, 0, 1, message(bytes(16 * KIB - 5))) * 5,
        frame(DATA, 0, 1, message(bytes(16 * KIB - 5))) * 3
        + frame(DATA, 0, 3, message(bytes(16 * KIB - 5))) * 2,
        frame(DATA, 0, 1, message(bytes(16 * KIB - 4))),
        frame(DATA, 0, 5, message(b"of no stream")),
        frame(DATA, 0, 0, message(b"of no stream")),
        frame(DATA, 0, 1, message(b"twice as many as a row may have")) * 600,
        frame(DATA, 0, 1, message(b"compressed", 1)) * 3,
        frame(DATA, 0, 1, message(b"with a wrong flag", 2)) * 3,
        frame(DATA, 0, 1, message(b"two") * 2) * 3,
        frame(DATA, 0, 1, message(b"cut")[:-1]) * 3,
        frame(DATA, 0, 1, message(b"")[:-1]) * 3,
        frame(DATA, 0, 1, b"x"),
        frame(DATA, 0, 1, b"\0\1\0\0\0"),
    ],
    ids=[
        "the end of the stream",
        "another stream",
        "padding",
        "an empty frame",
        "up to the window",
        "beyond the window of the stream",
        "beyond the window of the connection",
        "a frame that is too long",
        "an unknown stream",
        "stream 0",
        "a long row",
        "compressed",
        "a wrong flag",
        "two messages in a frame",
        "a part of a message",
        "a part of a prefix",
        "a frame too short for a prefix",
        "a long message",
    ],
)
def test_a_row_comes_to_the_same_as_its_frames_one_by_one(last: bytes) -> None:
    octets = b"".join(ROW) + last
    whole, apart = Server(), Server()
    whole.engine.receive(octets)
    position = 0
    while position < len(octets):
        end = position + 9 + int.from_bytes(octets[position : position + 3], "big")
        apart.engine.receive(octets[position:end])
        position = end
    assert whole.state() == apart.state()
    assert whole.streams[0].told[:4] == [(message(b"x" * size), False) for size in SIZES]
    assert whole.streams[0].rows[0] >= 3
    assert not apart.streams[0].rows


def test_empty_frames_between_others_of_a_row_are_counted() -> None:
    server = Server(control_burst=100, control_rate=1)
    for _ in range(100):
        server.engine.receive((frame(DATA, 0, 1, message(b"x")) * 2 + frame(DATA, 0, 1, b"")) * 2)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM


def test_the_frames_of_a_row_count_as_frames_of_a_turn() -> None:
    server = Server(max_frames_per_turn=10)
    server.engine.receive(frame(DATA, 0, 1, message(b"x")) * 35)
    turns = [len(server.streams[0].told)]
    while server.engine.waiting:
        server.engine.resume()
        turns.append(len(server.streams[0].told))
    assert turns[0] <= 10
    assert all(later - earlier <= 10 for earlier, later in pairwise(turns))
    assert turns[-1] == 35


def test_a_row_longer_than_the_window_of_the_connection_is_taken_as_its_frames_are() -> None:
    octets = frame(DATA, 0, 1, message(bytes(995))) * 100
    whole = Server(connection_window=65_535, initial_window=2**20)
    whole.engine.receive(octets)
    assert whole.ended is None
    assert len(whole.streams[0].told) == 100
    assert max(whole.streams[0].rows) > 50
