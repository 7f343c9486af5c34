"""What a peer may do for nothing: allowances that run out, refill and are earned; and the work of one turn."""

from __future__ import annotations

import hpack
import pytest

from support.wire_support import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream
from wirelane.http2.budget import Allowance, Conduct

CANCEL = (8).to_bytes(4, "big")
_encoder = hpack.Encoder()
FIRST, AGAIN = _encoder.encode(REQUEST), _encoder.encode(REQUEST)


class Due(Stream):
    """A stream whose deadline has passed."""

    def reset_is_due(self) -> bool:
        return True


class Server:
    """A server's engine with a clock of its own; the client's SETTINGS and one request have arrived."""

    def __init__(self, kind: type[Stream] = Stream, **limits: int) -> None:
        self.kind = kind
        self.now = 0.0
        self.ended: int | None = None
        self.waits = 0
        self.requested = 0
        self.engine = Connection(client=False, owner=self, limits=Limits(**limits))
        self.engine.conduct = Conduct(self.engine, lambda: self.now)
        self.engine.start()
        self.engine.receive(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, FIRST))
        self.engine.take()
        self.next = 3

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None: ...

    def input_waits(self) -> None:
        self.waits += 1

    def engine_ended(self, code: int, reason: str) -> None:
        self.ended = code

    def stream_requested(self, block: HeaderBlock) -> Stream:
        self.requested += 1
        return self.kind(self.engine)

    def receive(self, data: bytes) -> None:
        """As the owner does it: what is left over goes on in later turns."""
        self.engine.receive(data)
        while self.engine.waiting:
            self.engine.resume()

    def requests(self, count: int) -> list[int]:
        streams = list(range(self.next, self.next + 2 * count, 2))
        self.next += 2 * count
        self.receive(b"".join(frame(HEADERS, END_HEADERS, stream, AGAIN) for stream in streams))
        return streams

    def cancelled(self, count: int) -> None:
        """As many calls, one after the other: opened and reset."""
        for _ in range(count):
            (stream,) = self.requests(1)
            self.receive(frame(RST_STREAM, 0, stream, CANCEL))

    @property
    def refusals(self) -> dict[str, int]:
        return dict(self.engine.conduct.refusals)


def test_an_allowance_is_its_burst_and_then_what_time_and_conduct_bring() -> None:
    now = 0.0
    allowance = Allowance(10, 2, lambda: now)
    allowance.left -= 11
    assert allowance.exceeded(0)
    now = 0.5
    assert not allowance.exceeded(0)
    assert allowance.left == 0
    assert not allowance.exceeded(3)
    assert allowance.left == 3
    assert not allowance.exceeded(3)
    assert allowance.left == 3


def test_time_brings_no_more_than_the_burst_and_what_was_earned_is_never_lost() -> None:
    now = 0.0
    allowance = Allowance(10, 2, lambda: now)
    now = 1e6
    assert not allowance.exceeded(0)
    assert allowance.left == 10
    assert not allowance.exceeded(500)
    assert allowance.left == 510


def test_resets_beyond_the_burst_end_the_connection_with_enhance_your_calm() -> None:
    server = Server(reset_burst=10)
    server.cancelled(100)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM
    # Half of the streams opened come on top of the burst.
    assert 10 < server.engine.conduct.resets <= 2 * 10 + 2
    goaway = b"".join(server.engine.take())[-100:]
    assert b"too many streams were opened for nothing" in goaway


def test_a_client_that_resets_no_more_than_half_of_its_calls_may_go_on_for_ever() -> None:
    server = Server(reset_burst=10, reset_rate=1)
    for _ in range(500):
        (stream,) = server.requests(1)
        server.receive(frame(DATA, END_STREAM, stream))
        server.engine.send_headers(server.engine.streams[stream], ((b"grpc-status", b"0"),), end_stream=True)
        server.cancelled(1)
    assert server.ended is None
    assert server.engine.conduct.resets == 500
    assert server.refusals == {}


def test_identifiers_that_are_left_out_earn_nothing() -> None:
    server = Server(reset_burst=10)
    for _ in range(100):
        server.next += 2000
        server.cancelled(1)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM
    assert server.engine.conduct.resets <= 2 * 10 + 2


def test_time_gives_resets_back() -> None:
    server = Server(reset_burst=10, reset_rate=5)
    for _ in range(100):
        server.cancelled(4)
        server.now += 1
    assert server.ended is None


def test_a_reset_at_the_deadline_is_not_held_against_the_client() -> None:
    server = Server(kind=Due, reset_burst=1)
    server.cancelled(1000)
    assert server.ended is None
    assert server.engine.conduct.resets == 0


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda stream: frame(WINDOW_UPDATE, 0, stream, bytes(4)), "streams_broken"),
        (lambda stream: frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"), "streams_broken"),
        (
            lambda stream: frame(HEADERS, END_HEADERS, stream, hpack.Encoder().encode([("x", "y")])),
            "streams_broken",
        ),
        (lambda stream: frame(RST_STREAM, 0, stream, CANCEL), "resets"),
    ],
    ids=["zero-update", "overflow", "trailers-without-end", "reset"],
)
def test_a_client_that_makes_the_server_reset_its_streams_is_sent_away(wrong, kind: str) -> None:
    server = Server(reset_burst=20)
    for _ in range(100):
        for stream in server.requests(1):
            server.receive(wrong(stream))
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM
    assert server.refusals["connections"] == 1
    lost = server.engine.conduct.resets if kind == "resets" else server.refusals[kind]
    assert 20 < lost <= 2 * 20 + 2


def test_streams_above_the_limit_are_refused_and_in_the_end_the_connection() -> None:
    server = Server(max_concurrent_streams=1, reset_burst=20)
    server.requests(100)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM
    assert server.requested == 1
    assert 20 < server.refusals["streams_refused"] <= 2 * 20 + 2


@pytest.mark.parametrize(
    "flood",
    [
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        frame(0x99, 0, 0),
        frame(DATA, 0, 1),
        frame(DATA, PADDED, 1, b"\3\0\0\0"),
        frame(PING, 1, 0, bytes(8)),
    ],
    ids=[
        "priority",
        "window-update",
        "connection-window-update",
        "unknown",
        "empty",
        "padding-only",
        "ping-ack",
    ],
)
def test_a_flood_of_frames_that_carry_nothing_ends_the_connection(flood: bytes) -> None:
    server = Server(control_burst=100)
    server.receive(flood * 90)
    assert server.ended is None
    server.receive(flood * 20)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM


def test_settings_weigh_more_the_more_streams_they_change() -> None:
    server = Server(control_burst=400)
    server.receive(frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") * 30)
    assert server.ended is None
    server = Server(control_burst=400)
    server.requests(90)
    server.receive(frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff" * 32) * 3)
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM


def test_a_client_may_answer_all_data_it_is_sent_with_window_updates() -> None:
    server = Server(control_burst=100, control_rate=1)
    stream = server.engine.streams[1]
    for _ in range(10_000):
        server.engine.send(stream, b"\0\0\0\0\0")
        server.receive(
            frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\5") + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\5"),
        )
        server.engine.take()
    assert server.ended is None


def test_window_updates_may_come_all_at_once() -> None:
    server = Server(control_burst=100, control_rate=1)
    stream = server.engine.streams[1]
    for _ in range(10_000):
        server.engine.send(stream, b"\0\0\0\0\0")
    server.receive(
        (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\5") + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\5")) * 10_000
    )
    assert server.ended is None


def test_header_lists_of_too_many_fields_cost_as_much_as_their_fields() -> None:
    server = Server(control_burst=2500)
    block = AGAIN + b"\x90" * 1000
    for stream in (3, 5, 7):
        assert server.ended is None
        server.receive(frame(HEADERS, END_HEADERS, stream, block))
    assert server.ended == ErrorCode.ENHANCE_YOUR_CALM
    assert server.refusals["header_lists"] == 3


def test_one_turn_takes_so_many_streams_and_the_next_goes_on_in_order() -> None:
    server = Server(max_streams_per_turn=8, max_concurrent_streams=100)
    last = b"".join(frame(HEADERS, END_HEADERS, stream, AGAIN) for stream in range(3, 61, 2))
    server.engine.receive(last[:-5])
    assert (server.requested, server.waits) == (1 + 8, 1)
    # What arrives meanwhile waits behind it.
    server.engine.receive(last[-5:] + frame(HEADERS, END_HEADERS, 61, AGAIN))
    assert server.requested == 1 + 8
    for taken in (16, 24, 30):
        server.engine.resume()
        assert server.requested == 1 + taken
    assert not server.engine.waiting
    assert list(server.engine.streams) == list(range(1, 62, 2))
    server.engine.resume()
    assert server.requested == 31


def test_long_header_blocks_count_as_several_streams() -> None:
    server = Server(max_streams_per_turn=8)
    long = hpack.Encoder().encode([*REQUEST, ("x", "y" * 4000)], huffman=False)
    server.engine.receive(frame(HEADERS, END_HEADERS, 3, long) + frame(HEADERS, END_HEADERS, 5, AGAIN))
    assert (server.requested, server.engine.waiting) == (2, True)


def test_one_turn_reads_so_many_frames() -> None:
    server = Server(max_frames_per_turn=10)
    server.engine.receive(frame(PING, 0, 0, bytes(8)) * 35)
    turns = []
    while server.engine.waiting:
        turns.append(len(server.engine.take()))
        server.engine.resume()
    assert turns == [10, 10, 10]
    assert len(server.engine.take()) == 5


def test_what_waits_is_dropped_when_the_connection_ends() -> None:
    server = Server(max_streams_per_turn=1)
    server.engine.receive(frame(HEADERS, END_HEADERS, 3, AGAIN) * 2)
    server.engine.end(0, "closed")
    server.engine.resume()
    assert server.requested == 2


def test_of_a_connection_that_ended_nothing_is_kept_nor_of_what_still_comes() -> None:
    """Neither what waited for its turn, nor a header block that was not whole."""
    server = Server(max_streams_per_turn=1)
    server.engine.receive(frame(HEADERS, END_HEADERS, 3, AGAIN) + frame(HEADERS, END_HEADERS, 5, AGAIN))
    assert server.engine.waiting
    server.engine.end(0, "closed")
    server.engine.receive(bytes(1000))
    assert (server.engine.waiting, server.engine.unread) == (False, 0)

    server = Server()
    server.receive(frame(HEADERS, 0, 3, bytes(1000)))
    assert server.engine._open_block
    server.engine.end(0, "closed")
    assert server.engine._open_block is None


def test_a_server_is_not_blamed_for_the_resets_of_what_we_opened() -> None:
    server = Server()
    client = Connection(client=True, owner=server, limits=Limits(reset_burst=1))
    client.start()
    client.receive(frame(SETTINGS, 0, 0))
    for number in range(20):
        client.open(Stream(client), ((b":method", b"POST"),), None)
        client.receive(frame(RST_STREAM, 0, 2 * number + 1, CANCEL))
    assert not client.ended
    assert client.conduct.resets == 20


def test_a_goaway_is_said_once() -> None:
    server = Server(control_burst=100)
    server.receive(frame(PRIORITY, 0, 1, bytes(5)) * 500)
    assert b"".join(server.engine.take()).count(bytes((GOAWAY, 0, 0, 0, 0, 0))) == 1
