"""The engine at its edges: windows below zero, turns of blocked streams, GOAWAY from both ends, late frames."""

from __future__ import annotations

import hpack
import pytest

from support.wire_support import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    REQUEST,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from wirelane.core.framing import frame_message, message_prefix
from wirelane.core.limits import Limits
from wirelane.http2 import Connection, ErrorCode, HeaderBlock, Stream
from wirelane.http2.fields import field
from wirelane.http2.headers import BlockKind, HeaderDecoder
from wirelane.http2.hpack import literal

HEAD = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"))
BLOCK = hpack.Encoder().encode(REQUEST)


class Side:
    """An engine and what it says and is told; the peer's SETTINGS have arrived."""

    def __init__(self, *, client: bool) -> None:
        self.over: list[tuple[int, str]] = []
        self.engine = Connection(client=client, owner=self, limits=Limits())
        self.engine.start()
        self.engine.receive((b"" if client else PREFACE) + frame(SETTINGS, 0, 0))
        self.said()

    def output_ready(self) -> None: ...
    def stream_closed(self, stream: Stream) -> None: ...
    def settings_changed(self) -> None: ...
    def input_waits(self) -> None: ...
    def goaway_received(self, code: int, reason: str) -> None: ...

    def engine_ended(self, code: int, reason: str) -> None:
        self.over.append((code, reason))

    def stream_requested(self, block: HeaderBlock) -> Stream:
        return Stream(self.engine)

    def open(self) -> Stream:
        stream = Stream(self.engine)
        self.engine.open(stream, HEAD, None)
        return stream

    def said(self) -> list[tuple[int, int, int, bytes]]:
        """The frames made since the last time: (type, flags, stream, payload)."""
        octets = b"".join(self.engine.take())
        frames = []
        while octets:
            size = int.from_bytes(octets[:3], "big")
            frames.append((octets[3], octets[4], int.from_bytes(octets[5:9], "big"), octets[9 : 9 + size]))
            octets = octets[9 + size :]
        return frames


def initial_window(size: int) -> bytes:
    return frame(SETTINGS, 0, 0, b"\0\4" + size.to_bytes(4, "big"))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def test_the_end_of_a_stream_needs_no_window_even_if_that_is_below_zero() -> None:
    side = Side(client=True)
    stream = side.open()
    side.engine.send(stream, b"x" * 1000)
    side.engine.receive(initial_window(10))
    assert stream.send_window == 10 - 1000
    side.said()
    assert side.engine.send(stream, b"", end_stream=True)
    assert side.said() == [(DATA, END_STREAM, 1, b"")]
    assert stream.send_window == 10 - 1000


def test_the_end_of_a_stream_leaves_when_the_owner_may_write_again_without_window() -> None:
    side = Side(client=True)
    stream, other = side.open(), side.open()
    side.engine.send(other, b"x" * 65_535)
    side.engine.writable = False
    assert not side.engine.send(stream, b"", end_stream=True)
    side.said()
    side.engine.writable = True
    side.engine.pump()
    assert side.said() == [(DATA, END_STREAM, 1, b"")]


@pytest.mark.parametrize(
    ("size", "frames"),
    [(20, [25]), (1000, [100, 905]), (16_384 - 5, [100, 16_284]), (40_000, [100, 16_284, 16_384, 7237])],
)
def test_a_message_that_waits_leaves_in_as_few_frames_as_the_windows_let(
    size: int, frames: list[int]
) -> None:
    side = Side(client=True)
    side.engine.receive(initial_window(100))
    stream, payload = side.open(), bytes(index % 251 for index in range(size))
    side.said()
    side.engine.send(stream, payload, prefix=message_prefix(payload), end_stream=True)
    side.engine.receive(window_update(1, 1_000_000))
    said = side.said()
    assert [(kind, flags, len(data)) for kind, flags, _, data in said] == [
        (DATA, END_STREAM if last else 0, length)
        for last, length in zip([*[False] * (len(frames) - 1), True], frames, strict=True)
    ]
    assert b"".join(data for *_, data in said) == frame_message(payload)


def test_a_large_message_fills_no_more_of_the_output_than_the_limit_and_one_frame() -> None:
    side = Side(client=True)
    side.engine.receive(initial_window(10_000_000) + window_update(0, 10_000_000))
    stream, payload = side.open(), bytes(3_000_000)
    side.said()
    assert not side.engine.send(stream, payload, prefix=message_prefix(payload))
    limit, taken = side.engine.limits.max_send_buffer, []
    while side.engine.output_size:
        assert side.engine.output_size < limit + 16_384
        taken.append(side.engine.output_size)
        side.engine.take()
        side.engine.pump()
    assert (len(taken), sum(taken)) == (3, 3_000_005)
    assert not stream.has_pending


def test_blocked_streams_share_the_window_of_the_connection_in_turn() -> None:
    side = Side(client=True)
    side.engine.receive(initial_window(1_000_000))
    streams = [side.open() for _ in range(3)]
    for stream in streams:
        side.engine.send(stream, b"x" * 200_000)
    side.said()
    turns = []
    for _ in range(6):
        side.engine.receive(window_update(0, 10_000))
        turns += [stream for _, _, stream, _ in side.said()]
    assert turns[:3] == turns[3:]
    assert set(turns) == {1, 3, 5}


@pytest.mark.parametrize("client", [True, False])
def test_a_content_length_of_any_size_is_no_accident(client: bool) -> None:
    side = Side(client=client)
    if client:
        side.open()
    fields = [*(RESPONSE if client else REQUEST), ("content-length", "1" * 5000)]
    block = hpack.Encoder().encode(fields)
    side.engine.receive(frame(HEADERS, END_HEADERS, 1, block))
    heard = side.said()
    assert (RST_STREAM, 0, 1, (1).to_bytes(4, "big")) in heard
    assert not side.over


def test_a_goaway_never_names_a_later_stream_than_the_one_before() -> None:
    side = Side(client=False)
    side.engine.drain()
    side.engine.receive(frame(PING, ACK, 0, b"wl-drain"))
    side.engine.receive(frame(HEADERS, END_HEADERS, 1, BLOCK))
    side.engine.receive(frame(DATA, 0, 0, b"x"))
    lasts = [int.from_bytes(payload[:4], "big") for kind, _, _, payload in side.said() if kind == GOAWAY]
    assert lasts == [2**31 - 1, 0, 0]


def test_only_the_first_answer_to_the_ping_of_a_drain_counts() -> None:
    side = Side(client=False)
    side.engine.drain()
    for number in range(3):
        side.engine.receive(frame(PING, ACK, 0, b"wl-drain"))
        side.engine.receive(frame(HEADERS, END_HEADERS, 2 * number + 1, BLOCK))
    assert [kind for kind, *_ in side.said()] == [GOAWAY, PING, GOAWAY]
    assert not side.engine.streams


def test_a_drain_goes_on_after_the_peer_has_said_goaway_itself() -> None:
    side = Side(client=False)
    side.engine.receive(frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(GOAWAY, 0, 0, bytes(8)))
    side.said()
    side.engine.drain()
    side.engine.receive(frame(PING, ACK, 0, b"wl-drain"))
    assert [kind for kind, *_ in side.said()] == [GOAWAY, PING, GOAWAY]
    assert side.engine.goaway_final


def test_frames_that_cross_many_resets_do_not_cost_the_connection() -> None:
    side = Side(client=True)
    streams = [side.open() for _ in range(3000)]
    for stream in streams:
        side.engine.reset(stream, ErrorCode.CANCEL)
    encoder = hpack.Encoder()
    for stream in streams:
        side.engine.receive(frame(HEADERS, END_HEADERS, stream.id, encoder.encode(RESPONSE)))
        side.engine.receive(frame(DATA, END_STREAM, stream.id, b"late"))
    assert not side.over


def test_frames_on_a_stream_that_the_peer_ended_still_break_the_rules() -> None:
    side = Side(client=True)
    stream = side.open()
    side.engine.send(stream, b"", end_stream=True)
    side.engine.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack.Encoder().encode(RESPONSE)))
    side.engine.receive(frame(DATA, 0, 1, b"late"))
    assert side.over[0][0] == ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize(
    ("opened", "late", "code"),
    [
        ([5], 3, ErrorCode.PROTOCOL_ERROR),
        ([5], 1, ErrorCode.PROTOCOL_ERROR),
        ([1, 7, 9], 5, ErrorCode.PROTOCOL_ERROR),
        ([1, 7, 9], 7, ErrorCode.STREAM_CLOSED),
        ([1, 3], 1, ErrorCode.STREAM_CLOSED),
    ],
)
def test_an_identifier_that_was_gone_over_is_told_from_one_that_was_used(
    opened: list[int], late: int, code: ErrorCode
) -> None:
    side = Side(client=False)
    encoder = hpack.Encoder()
    for number in opened:
        block = encoder.encode(REQUEST)
        side.engine.receive(frame(HEADERS, END_HEADERS | END_STREAM, number, block))
        side.engine.send_headers(side.engine.streams[number], ((b":status", b"200"),), end_stream=True)
    assert not side.engine.streams
    side.engine.receive(frame(HEADERS, END_HEADERS | END_STREAM, late, encoder.encode(REQUEST)))
    assert [said for said, _ in side.over] == [code]


def test_a_ping_of_the_wrong_size_is_a_frame_size_error_wherever_it_is() -> None:
    for stream in (0, 1):
        side = Side(client=False)
        side.engine.receive(frame(PING, 0, stream, bytes(6)))
        assert [said for said, _ in side.over] == [ErrorCode.FRAME_SIZE_ERROR]


@pytest.mark.parametrize(
    "sizes", [[0, 0], [100, 0], [0, 100, 100], [4096], [65_536, 0, 4096, 50], [50, 4096, 0]]
)
def test_the_table_sizes_of_the_peer_are_announced_as_far_as_they_are_allowed(sizes: list[int]) -> None:
    side = Side(client=True)
    for size in sizes:
        side.engine.receive(frame(SETTINGS, 0, 0, b"\0\1" + size.to_bytes(4, "big")))
    side.said()
    side.open()
    ((_, _, _, block),) = side.said()
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = sizes[-1]
    assert decoder.decode(block, raw=True)


def test_what_is_remembered_of_blocks_is_bounded_by_the_size_of_their_lists() -> None:
    decoder = HeaderDecoder(65_536)
    decoder.decode(hpack.Encoder().encode([(b"x", b"v" * 100)]), BlockKind.TRAILERS)
    short = b"\xbe" * 10
    first = decoder.decode(short, BlockKind.TRAILERS)
    assert decoder.decode(short, BlockKind.TRAILERS) is first
    for length in range(400, 410):  # an octet of theirs is 133 of ours
        decoder.decode(b"\xbe" * length, BlockKind.TRAILERS)
        assert sum(block.size for block in decoder.memory(BlockKind.TRAILERS).values()) <= 128 * 1024
    assert decoder.decode(short, BlockKind.TRAILERS) is not first


def test_a_block_with_a_literal_is_remembered_when_it_comes_again() -> None:
    decoder = HeaderDecoder(65_536)
    block = b"\x83" + literal(b"authorization", b"Bearer " + b"x" * 100)
    first, second, third = (decoder.decode(block, BlockKind.REQUEST) for _ in range(3))
    assert first is not second
    assert second is third
    assert third.headers == [(b":method", b"POST"), (b"authorization", b"Bearer " + b"x" * 100)]


@pytest.mark.parametrize("value", [b"no such user: ", b" x", b"\tx"])
def test_blanks_around_a_value_are_let_through_as_grpc_peers_send_them(value: bytes) -> None:
    assert HeaderBlock([field(b"grpc-message", value)], BlockKind.TRAILERS, 0).error is None
