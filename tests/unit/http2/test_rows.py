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

    @property
    def heard(self) -> int:
        return sum(len(one[0]) for one in self.told if isinstance(one, tuple))

    def row_limit(self) -> int:
        return self.connection.limits.max_receive_message

    def on_row(self, row: list[tuple[bool, bytes]]) -> None:
        self.rows.append(len(row))
        self.told += [(message(payload, compressed), False) for compressed, payload in row]

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.told.append((data, end_stream))

    def on_reset(self, code: int, *, by_peer: bool, reason: str = "") -> None:
        self.told.append(ErrorCode(code))


def joined(told: list[object]) -> list[object]:
    """What a stream was told, with octets that follow each other in one piece: frames have no meaning."""
    result: list[object] = []
    for one in told:
        match result, one:
            case [*_, (bytes(before), False)], (bytes(data), end):
                result[-1] = (before + data, end)
            case _:
                result.append(one)
    return result


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
        streams = [(joined(one.told), one.recv_window, one.remote_closed) for one in self.streams]
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


LETTERS = bytes(index % 251 for index in range(60 * KIB))


@pytest.mark.parametrize("size", [4095, 4096, 16 * KIB])
def test_a_long_frame_is_handed_on_as_it_comes(size: int) -> None:
    server = Server()
    octets = frame(DATA, 0, 1, LETTERS[:size])
    for position in range(0, len(octets), 1000):
        server.engine.receive(octets[position : position + 1000])
        heard = server.streams[0].heard
        assert heard == max(0, min(size, position + 1000 - 9)) * (size >= 4096 or heard == size)
        assert server.engine.unread == (position + 1000 if not heard else 0)
        assert server.engine.recv_window == server.engine.limits.connection_window - heard
        assert server.streams[0].recv_window == 64 * KIB - heard
    assert joined(server.streams[0].told) == [(LETTERS[:size], False)]


def test_long_frames_that_came_together_are_handed_on_together() -> None:
    server = Server()
    octets = [frame(DATA, 0, 1, LETTERS[start : start + 9000]) for start in range(0, 27_000, 9000)]
    server.engine.receive(b"".join(octets) + frame(DATA, 0, 3, LETTERS[:9000]) * 2)
    assert server.streams[0].told == [(LETTERS[:27_000], False)]
    assert server.streams[1].told == [(LETTERS[:9000] * 2, False)]


@pytest.mark.parametrize("seen", [0, 1, 8999, 9000])
def test_the_rest_of_a_frame_whose_stream_was_reset_is_passed_over(seen: int) -> None:
    server = Server()
    octets = frame(DATA, 0, 1, LETTERS[:9000])
    server.engine.receive(octets[: 9 + seen])
    server.engine.reset(server.streams[0], ErrorCode.CANCEL, tell=False)
    server.engine.receive(octets[9 + seen :] + octets + frame(DATA, 0, 3, message(b"another")))
    assert server.ended is None
    assert joined(server.streams[0].told) == ([(LETTERS[:seen], False)] if seen else [])
    assert server.streams[1].told == [(message(b"another"), False)]
    assert server.engine.recv_window == server.engine.limits.connection_window - 18_000 - 12


def test_a_connection_that_ends_within_a_frame_reads_no_more_of_it() -> None:
    server = Server()
    octets = frame(DATA, 0, 1, LETTERS[:9000])
    server.engine.receive(octets[:100])
    server.engine.end(ErrorCode.NO_ERROR, "lost")
    server.engine.receive(octets[100:])
    assert server.streams[0].told == [(LETTERS[:91], False)]
    assert server.engine.unfinished is None


def test_the_frames_of_a_run_count_as_frames_of_a_turn() -> None:
    server = Server(max_frames_per_turn=3)
    server.engine.receive(b"".join(frame(DATA, 0, 1, LETTERS[:5000]) for _ in range(10)))
    turns = [server.streams[0].heard]
    while server.engine.waiting:
        server.engine.resume()
        turns.append(server.streams[0].heard)
    assert turns[0] <= 15_000
    assert all(later - earlier <= 15_000 for earlier, later in pairwise(turns))
    assert turns[-1] == 50_000


@pytest.mark.parametrize(("size", "code"), [(16_384, None), (16_385, ErrorCode.FRAME_SIZE_ERROR)])
def test_a_run_ends_before_a_frame_that_is_too_long(size: int, code: ErrorCode | None) -> None:
    server = Server()
    server.engine.receive(frame(DATA, 0, 1, LETTERS[:9000]) + frame(DATA, 0, 1, LETTERS[:size]))
    assert server.ended == code
    assert server.streams[0].told[0] == (LETTERS[:9000] + (b"" if code else LETTERS[:size]), False)
