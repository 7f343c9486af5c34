"""Reads that tell which marker it was, frames, records, and silence.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.twins_sync_support import gather, sleep, start, until
from twins_sync.tcp_support import came, one_by_one, pair, reads
from wirelane.sync import EndOfStream, LimitExceeded, Limits, PeerError, ReadTimeout, UsageError, tcp


def test_read_until_tells_which_marker_ended_it() -> None:
    with pair() as (connection, peer):
        reading = start(connection.read_until, (b"> ", b"ERROR", b"\n> "))
        one_by_one(connection, peer, b"ok\n", b"> no")
        peer.say(b" ERR", b"OR!")
        assert reading.result() == (b"ok", b"\n> ")
        found = connection.read_until((b"> ", b"ERROR"), keep_marker=True)
        assert (found.data, found.marker) == (b"no ERROR", b"ERROR")
        assert connection.read() == b"!"


def test_read_until_looks_no_further_than_it_may_and_keeps_the_bytes() -> None:
    with pair(limits=Limits(read_buffer=6)) as (connection, peer):
        peer.say(b"abcdefgh")
        for limit, name in ((None, "read_buffer"), (5, "max_bytes")):
            with pytest.raises(LimitExceeded) as caught:
                connection.read_until(b";", limit)
            assert caught.value.limit == name
            assert caught.value.partial == b"abcdefgh"[: limit or 6]
        assert connection.read_exactly(8) == b"abcdefgh"


def test_records_end_with_the_stream_and_the_last_one_needs_no_marker() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\0\0tw", b"o\0last")
        peer.writer.write_eof()
        assert list(connection.records(b"\0")) == [b"one", b"", b"two", b"last"]


def test_records_show_which_marker_it_was() -> None:
    with pair() as (connection, peer):
        peer.say(b"a;b,c;")
        peer.writer.write_eof()
        records = connection.records((b";", b","), keep_marker=True)
        assert list(records) == [b"a;", b"b,", b"c;"]


@pytest.mark.parametrize(
    ("prefix", "options", "wire"),
    [
        (1, {}, b"\x03abc\x00\x02de"),
        (2, {}, b"\x00\x03abc\x00\x00\x00\x02de"),
        (3, {"byteorder": "little"}, b"\x03\x00\x00abc\x00\x00\x00\x02\x00\x00de"),
        (4, {}, b"\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x02de"),
        (8, {"byteorder": "little"}, b"\x03" + bytes(7) + b"abc" + bytes(8) + b"\x02" + bytes(7) + b"de"),
        (2, {"includes_prefix": True}, b"\x00\x05abc\x00\x02\x00\x04de"),
        ("varint", {}, b"\x03abc\x00\x82\x00de"),
    ],
)
def test_frames_of_every_kind_come_whole_however_they_are_cut(
    prefix: Any, options: dict[str, Any], wire: bytes
) -> None:
    for cut in range(len(wire)):
        with pair() as (connection, peer):
            one_by_one(connection, peer, wire[:cut], wire[cut:])
            peer.writer.write_eof()
            frames = list(connection.read_frames(prefix, **options))
            assert frames == [b"abc", b"", b"de"]
            with pytest.raises(EndOfStream) as caught:
                connection.read_frame(prefix, **options)
            assert caught.value.partial == b""


def test_an_end_inside_a_frame_is_no_end_of_iteration() -> None:
    with pair() as (connection, peer):
        peer.say(b"\x00\x01a\x00\x05bcd")
        peer.writer.write_eof()
        frames = connection.read_frames(2)
        assert next(frames) == b"a"
        for _ in range(2):
            with pytest.raises(EndOfStream) as caught:
                next(frames)
            assert caught.value.partial == b"\x00\x05bcd"
        assert connection.read() == b"\x00\x05bcd"


def test_a_frame_that_is_too_long_is_refused_by_its_prefix_and_nothing_of_it_is_gathered() -> None:
    with pair(limits=Limits(read_buffer=1000, max_receive_message=5)) as (connection, peer):
        peer.say(b"\x7f\xff\xff\xff", b"x" * 10)
        cases: list[tuple[dict[str, Any], str, int]] = [
            ({}, "max_receive_message", 5),
            ({"max_bytes": 100}, "max_bytes", 100),
        ]
        for options, name, maximum in cases:
            with pytest.raises(LimitExceeded) as caught:
                connection.read_frame(**options)
            assert (caught.value.limit, caught.value.maximum, caught.value.seen) == (name, maximum, 2**31 - 1)
            assert caught.value.partial == b"\x7f\xff\xff\xff"
        flooding = start(peer.say, *[bytes(100_000)] * 100)
        until(lambda: connection.buffered >= 1000)
        sleep(0.01)
        assert connection.buffered < 1000 + 2 * 256 * 1024
        assert connection.read_exactly(5) == b"\x7f\xff\xff\xffx"
        connection.abort()
        gather(flooding, return_exceptions=True)  # nobody took it


@pytest.mark.parametrize(
    ("wire", "arguments"),
    [
        (b"\x00\x01", {"length_prefix": 2, "includes_prefix": True}),
        (b"\xff" * 10, {"length_prefix": "varint"}),
    ],
)
def test_a_length_that_cannot_be_is_the_fault_of_the_peer(wire: bytes, arguments: dict[str, Any]) -> None:
    with pair() as (connection, peer):
        peer.say(wire)
        with pytest.raises(PeerError):
            connection.read_frame(**arguments)
        assert connection.read() == wire


@pytest.mark.parametrize(
    "arguments",
    [
        {"length_prefix": 0},
        {"length_prefix": 9},
        {"length_prefix": "four"},
        {"length_prefix": True},
        {"byteorder": "middle"},
        {"length_prefix": "varint", "includes_prefix": True},
        {"max_bytes": -1},
    ],
)
def test_frames_that_cannot_be_are_refused_with_the_name_of_the_argument(
    arguments: dict[str, Any],
) -> None:
    with pair() as (connection, _):
        with pytest.raises(UsageError, match=list(arguments)[-1]):
            connection.read_frames(**arguments)


def test_silence_ends_a_read_and_single_bytes_prolong_it() -> None:
    with pair() as (connection, peer):
        reading = start(connection.read_line, idle_timeout=0.5)
        sent = peer.drip(0.8)
        assert not reading.done()
        with pytest.raises(ReadTimeout, match="silent") as caught:
            reading.result()
        assert (caught.value.partial, caught.value.idle) == (sent, True)
        peer.say(b"\n")
        assert connection.read_line(idle_timeout=60) == sent.decode()


READS: list[Callable[[tcp.Connection, dict[str, Any]], Any]] = [
    lambda connection, times: connection.read(10, **times),
    lambda connection, times: connection.read_line(**times),
    lambda connection, times: connection.read_exactly(5, **times),
    lambda connection, times: connection.read_until(b"x", **times),
    lambda connection, times: connection.read_until_eof(**times),
    lambda connection, times: connection.read_regex(rb"x", **times),
    lambda connection, times: connection.read_frame(2, **times),
    lambda connection, times: next(connection.lines(**times)),
    lambda connection, times: next(connection.records(b"x", **times)),
    lambda connection, times: next(connection.read_frames(2, **times)),
]


def test_of_silence_and_deadline_the_one_that_comes_first_ends_a_read_and_is_told() -> None:
    with pair() as (connection, peer):
        peer.say(b"part")
        for timeout, idle_timeout, idle in (
            (60, 0.02, True),
            (0.02, 60, False),
            (60, 0, True),
            (0, 0, False),
        ):
            times: dict[str, Any] = {"timeout": timeout, "idle_timeout": idle_timeout}
            for read in READS:
                with pytest.raises(ReadTimeout) as caught:
                    read(connection, times)
                assert (caught.value.partial, caught.value.idle) == (b"part", idle)
        assert connection.read() == b"part"
        with pytest.raises(ReadTimeout) as caught:
            next(connection.chunks(idle_timeout=0.01))
        assert caught.value.idle


@pytest.mark.parametrize("name", ["timeout", "idle_timeout"])
@pytest.mark.parametrize("value", [-1, float("nan"), "1"])
def test_a_time_that_is_none_is_refused_and_takes_nothing(name: str, value: Any) -> None:
    with pair() as (connection, peer):
        peer.say(b"line\n")
        came(connection, 5)
        times: dict[str, Any] = {name: value}
        with pytest.raises(UsageError, match=name):
            connection.read_line(**times)
        for iterate in (connection.lines, connection.chunks, connection.read_frames):
            with pytest.raises(UsageError, match=name):
                iterate(**times)
        assert connection.peek() == b"line\n"


def test_what_came_until_the_peer_fell_silent_is_returned() -> None:
    with pair() as (connection, peer):
        assert connection.read_until_idle(0.01) == b""
        reading = start(connection.read_until_idle, 0.5, timeout=60)
        reads(connection)
        assert peer.drip(0.8) == reading.result()
        peer.say(b"rest")
        peer.writer.write_eof()
        assert connection.read_until_idle(60) == b"rest"
        assert connection.read_until_idle(60) == b""


def test_a_peer_that_is_never_silent_is_a_timeout_and_too_much_a_limit() -> None:
    with pair() as (connection, peer):
        dripping = start(peer.drip, 60)
        with pytest.raises(ReadTimeout) as caught:
            connection.read_until_idle(30, timeout=0.05)
        assert not caught.value.idle
        with pytest.raises(LimitExceeded) as exceeded:
            connection.read_until_idle(30, max_bytes=3)
        assert exceeded.value.partial == b"xxx"
        peer.quiet = True
        dripping.result()
        assert set(connection.read_until_idle(0)) == {ord("x")}
        with pytest.raises(UsageError, match="idle"):
            connection.read_until_idle(-1)


def test_chunks_are_no_longer_than_asked_for() -> None:
    with pair() as (connection, peer):
        peer.say(b"abcdefg")
        peer.writer.write_eof()
        came(connection, 7)
        assert list(connection.chunks(3, timeout=60)) == [b"abc", b"def", b"g"]
        with pytest.raises(UsageError, match="max_bytes"):
            connection.chunks(0)
