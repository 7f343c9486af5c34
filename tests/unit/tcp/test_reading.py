"""Reading from a connection: real sockets, a plain asyncio peer."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.tcp_support import Peer, pair, turns, until
from wirelane import tcp
from wirelane.core.lengthprefix import Prefix
from wirelane.core.limits import Limits
from wirelane.errors import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    PeerError,
    ReadTimeout,
    UsageError,
)


async def test_read_without_arguments_returns_what_is_there_and_nothing_only_at_the_end() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"abc")
        assert await connection.read() == b"abc"
        await peer.say(b"de")
        peer.writer.write_eof()
        assert await connection.read() == b"de"
        assert [await connection.read(), await connection.read()] == [b"", b""]


async def test_read_with_a_size_returns_exactly_that_many_bytes() -> None:
    async with pair() as (connection, peer):
        read = asyncio.create_task(connection.read(5))
        await peer.say(b"ab", b"cd", b"efg")
        assert await read == b"abcde"
        assert await connection.read_exactly(2) == b"fg"
        assert await connection.read_exactly(0) == b""


async def test_read_with_a_marker_keeps_it_and_what_follows_stays() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\ntwo;thr", b"ee\n")
        assert await connection.read(marker=b"\n") == b"one\n"
        assert await connection.read(marker=(b"\n", b";"), keep_marker=False) == b"two"
        assert await connection.read(4096, b"\n") == b"three\n"
        assert connection.buffered == 0


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_marker_cut_anywhere_by_the_network_ends_the_read(cut: int) -> None:
    data = b"abc<|END|>xyz"
    async with pair() as (connection, peer):
        read = asyncio.create_task(connection.read(marker=b"<|END|>"))
        await peer.say(data[:cut], data[cut:])
        assert await read == b"abc<|END|>"
        assert await connection.read_exactly(3) == b"xyz"


async def test_overlapping_beginnings_of_a_marker_do_not_hide_it() -> None:
    async with pair() as (connection, peer):
        read = asyncio.create_task(connection.read(marker=b"aab"))
        await peer.say(*[bytes([byte]) for byte in b"aaaabaab"])
        assert await read == b"aaaab"
        assert await connection.read(marker=b"aab") == b"aab"


async def test_read_line_is_text_without_its_marker() -> None:
    async with pair() as (connection, peer):
        await peer.say("grüß\r\n".encode(), b"dich\n")
        assert await connection.read_line(marker=("\r\n", "\n")) == "grüß"
        assert await connection.read_line(keep_marker=True) == "dich\n"


async def test_read_line_understands_other_encodings() -> None:
    async with pair() as (connection, peer):
        await peer.say("ä\n\u0a0a\n".encode("utf-16-le"), "ж|".encode("cp1251"))
        assert [await connection.read_line("utf-16-le"), await connection.read_line("utf-16-le")] == [
            "ä",
            "\u0a0a",
        ]
        assert await connection.read_line("cp1251", "|") == "ж"


async def test_a_line_that_is_not_text_can_still_be_read_as_bytes() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"\xff\xfe\nok\n")
        with pytest.raises(CodecError):
            await connection.read_line()
        assert await connection.read(marker=b"\n") == b"\xff\xfe\n"
        assert await connection.read_line() == "ok"


async def test_read_until_eof_returns_everything() -> None:
    async with pair() as (connection, peer):
        read = asyncio.create_task(connection.read_until_eof())
        blob = bytes(range(256)) * 1024
        peer.writer.write(blob)
        peer.writer.write_eof()
        assert await read == blob
        assert await connection.read_until_eof() == b""


async def test_read_until_eof_of_more_than_it_may_keeps_the_bytes() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"abcdef")
        with pytest.raises(LimitExceeded) as caught:
            await connection.read_until_eof(max_bytes=5)
        assert caught.value.partial == b"abcde"
        assert await connection.read() == b"abcdef"


async def test_the_end_is_seen_behind_a_buffer_that_is_just_full() -> None:
    async with pair(limits=Limits(read_buffer=4)) as (connection, peer):
        await peer.say(b"abcd")
        await until(lambda: connection.buffered == 4)
        reading = asyncio.create_task(connection.read_until_eof(max_bytes=4))
        await turns(3)
        peer.writer.write_eof()
        assert await reading == b"abcd"


async def test_read_regex_ends_with_the_first_match() -> None:
    async with pair() as (connection, peer):
        read = asyncio.create_task(connection.read_regex(rb"code (\d+);"))
        await peer.say(b"hello co", b"de 12", b"34; more")
        assert await read == b"hello code 1234;"
        assert await connection.read() == b" more"


async def test_lines_end_with_the_stream_and_a_last_line_needs_no_marker() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\n\ntw", b"o\nlast")
        peer.writer.write_eof()
        assert [line async for line in connection.lines()] == ["one", "", "two", "last"]


async def test_lines_go_on_after_a_timeout() -> None:
    async with pair() as (connection, peer):
        lines = connection.lines(timeout=0)
        await peer.say(b"one\ntw")
        assert await anext(lines) == "one"
        with pytest.raises(ReadTimeout):
            await anext(lines)
        await peer.say(b"o\n")
        await until(lambda: connection.buffered == 4)
        assert await anext(lines) == "two"


async def test_many_lines_come_through_in_order() -> None:
    async with pair(limits=Limits(read_buffer=1000)) as (connection, peer):
        wanted = [f"line {number} {'x' * (number % 50)}" for number in range(5000)]
        peer.writer.write("".join(f"{line}\n" for line in wanted).encode())
        peer.writer.write_eof()
        assert [line async for line in connection.lines()] == wanted


async def test_whoever_reads_otherwise_gets_the_lines_that_were_ready() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\ntwo\nthree\nfour\nfive\nsix\n")
        await until(lambda: connection.buffered == 28)
        async for line in connection.lines():
            assert line == "one"
            break
        assert (connection.buffered, connection.peek(4)) == (24, b"two\n")
        lines, others = connection.lines(), connection.lines(keep_marker=True)
        assert [await anext(lines), await anext(others), await anext(lines)] == ["two", "three\n", "four"]
        assert await connection.read_exactly(2) == b"fi"
        connection.unread(b"cle")
        assert await anext(lines) == "cleve"
        assert connection.buffered == 4
        await connection.close()
        with pytest.raises(ClosedError):
            await anext(lines)


async def test_a_marker_that_overlaps_itself_is_found_from_the_left() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\n\n\n\n\nrest")
        await until(lambda: connection.buffered == 12)
        lines = connection.lines(marker="\n\n")
        assert [await anext(lines), await anext(lines)] == ["one", ""]
        assert await connection.read_exactly(5) == b"\nrest"


async def test_a_line_that_is_not_text_stops_none_before_or_after_it() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"1\n2\n\xff\n3\n4\n")
        await until(lambda: connection.buffered == 10)
        lines = connection.lines()
        assert [await anext(lines), await anext(lines)] == ["1", "2"]
        for _ in range(2):
            with pytest.raises(CodecError):
                await anext(lines)
        assert await connection.read(marker=b"\n") == b"\xff\n"
        assert [await anext(lines), await anext(lines)] == ["3", "4"]


async def test_chunks_are_the_stream_in_pieces() -> None:
    async with pair() as (connection, peer):
        blob = bytes(range(256)) * 2048
        peer.writer.write(blob)
        peer.writer.write_eof()
        chunks = [chunk async for chunk in connection]
        assert b"".join(chunks) == blob
        assert all(0 < len(chunk) <= Limits().read_buffer for chunk in chunks)


async def test_peek_leaves_bytes_and_unread_puts_them_back() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"abcdef")
        assert await connection.read(3) == b"abc"
        assert (connection.peek(), connection.peek(2), connection.buffered) == (b"def", b"de", 3)
        connection.unread(b"bc")
        connection.unread(b"more than there ever was, and then ")
        assert await connection.read() == b"more than there ever was, and then bcdef"


# -- which marker, frames, silence


async def test_read_until_tells_which_marker_ended_it() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_until((b"> ", b"ERROR", b"\n> ")))
        await peer.say(b"ok\n", b"> no", b" ERR", b"OR!")
        assert await reading == (b"ok", b"\n> ")
        found = await connection.read_until((b"> ", b"ERROR"), keep_marker=True)
        assert (found.data, found.marker) == (b"no ERROR", b"ERROR")
        assert await connection.read() == b"!"


async def test_read_until_looks_no_further_than_it_may_and_keeps_the_bytes() -> None:
    async with pair(limits=Limits(read_buffer=6)) as (connection, peer):
        await peer.say(b"abcdefgh")
        for limit, name in ((None, "read_buffer"), (5, "max_bytes")):
            with pytest.raises(LimitExceeded) as caught:
                await connection.read_until(b";", limit)
            assert caught.value.limit == name
            assert caught.value.partial == b"abcdefgh"[: limit or 6]
        assert await connection.read_exactly(8) == b"abcdefgh"


async def test_records_end_with_the_stream_and_the_last_one_needs_no_marker() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\0\0tw", b"o\0last")
        peer.writer.write_eof()
        assert [record async for record in connection.records(b"\0")] == [b"one", b"", b"two", b"last"]


async def test_records_show_which_marker_it_was() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"a;b,c;")
        peer.writer.write_eof()
        records = connection.records((b";", b","), keep_marker=True)
        assert [record async for record in records] == [b"a;", b"b,", b"c;"]


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
async def test_frames_of_every_kind_come_whole_however_they_are_cut(
    prefix: Prefix, options: dict[str, Any], wire: bytes
) -> None:
    for cut in range(len(wire)):
        async with pair() as (connection, peer):
            await peer.say(wire[:cut], wire[cut:])
            peer.writer.write_eof()
            frames = [frame async for frame in connection.read_frames(prefix, **options)]
            assert frames == [b"abc", b"", b"de"]
            with pytest.raises(EndOfStream) as caught:
                await connection.read_frame(prefix, **options)
            assert caught.value.partial == b""


async def test_an_end_inside_a_frame_is_no_end_of_iteration() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"\x00\x01a\x00\x05bcd")
        peer.writer.write_eof()
        frames = connection.read_frames(2)
        assert await anext(frames) == b"a"
        for _ in range(2):
            with pytest.raises(EndOfStream) as caught:
                await anext(frames)
            assert caught.value.partial == b"\x00\x05bcd"
        assert await connection.read() == b"\x00\x05bcd"


async def test_a_frame_that_is_too_long_is_refused_by_its_prefix_and_nothing_of_it_is_gathered() -> None:
    async with pair(limits=Limits(read_buffer=1000, max_receive_message=5)) as (connection, peer):
        await peer.say(b"\x7f\xff\xff\xff", b"x" * 10)
        cases: list[tuple[dict[str, Any], str, int]] = [
            ({}, "max_receive_message", 5),
            ({"max_bytes": 100}, "max_bytes", 100),
        ]
        for options, name, maximum in cases:
            with pytest.raises(LimitExceeded) as caught:
                await connection.read_frame(**options)
            assert (caught.value.limit, caught.value.maximum, caught.value.seen) == (name, maximum, 2**31 - 1)
            assert caught.value.partial == b"\x7f\xff\xff\xff"
        flooding = asyncio.create_task(peer.say(*[bytes(100_000)] * 100))
        await until(lambda: connection.buffered >= 1000)
        await turns(50)
        assert connection.buffered < 1000 + 2 * 256 * 1024
        assert await connection.read_exactly(5) == b"\x7f\xff\xff\xffx"
        connection.abort()
        await asyncio.gather(flooding, return_exceptions=True)


@pytest.mark.parametrize(
    ("wire", "arguments"),
    [
        (b"\x00\x01", {"length_prefix": 2, "includes_prefix": True}),
        (b"\xff" * 10, {"length_prefix": "varint"}),
    ],
)
async def test_a_length_that_cannot_be_is_the_fault_of_the_peer(
    wire: bytes, arguments: dict[str, Any]
) -> None:
    async with pair() as (connection, peer):
        await peer.say(wire)
        with pytest.raises(PeerError):
            await connection.read_frame(**arguments)
        assert await connection.read() == wire


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
async def test_frames_that_cannot_be_are_refused_with_the_name_of_the_argument(
    arguments: dict[str, Any],
) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError, match=list(arguments)[-1]):
            connection.read_frames(**arguments)


async def drip(peer: Peer, seconds: float) -> bytes:
    """Send single bytes without a pause; returns them."""
    end, sent = time.monotonic() + seconds, b""
    while time.monotonic() < end:
        await peer.say(b"x")
        sent += b"x"
    return sent


async def test_silence_ends_a_read_and_single_bytes_prolong_it() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line(idle_timeout=0.1))
        sent = await drip(peer, 0.3)
        assert not reading.done()
        with pytest.raises(ReadTimeout, match="silent") as caught:
            await reading
        assert (caught.value.partial, caught.value.idle) == (sent, True)
        await peer.say(b"\n")
        assert await connection.read_line(idle_timeout=60) == sent.decode()


async def test_of_silence_and_deadline_the_one_that_comes_first_ends_a_read_and_is_told() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"part")
        for timeout, idle_timeout, idle in (
            (60, 0.02, True),
            (0.02, 60, False),
            (60, 0, True),
            (0, 0, False),
        ):
            for read in (
                connection.read(10, timeout=timeout, idle_timeout=idle_timeout),
                connection.read_line(timeout=timeout, idle_timeout=idle_timeout),
                connection.read_exactly(5, timeout, idle_timeout=idle_timeout),
                connection.read_until(b"x", timeout=timeout, idle_timeout=idle_timeout),
                connection.read_until_eof(timeout=timeout, idle_timeout=idle_timeout),
                connection.read_regex(rb"x", timeout=timeout, idle_timeout=idle_timeout),
                connection.read_frame(2, timeout=timeout, idle_timeout=idle_timeout),
                anext(connection.lines(timeout=timeout, idle_timeout=idle_timeout)),
                anext(connection.records(b"x", timeout=timeout, idle_timeout=idle_timeout)),
                anext(connection.read_frames(2, timeout=timeout, idle_timeout=idle_timeout)),
            ):
                with pytest.raises(ReadTimeout) as caught:
                    await read
                assert (caught.value.partial, caught.value.idle) == (b"part", idle)
        assert await connection.read() == b"part"
        with pytest.raises(ReadTimeout) as caught:
            await anext(connection.chunks(idle_timeout=0.01))
        assert caught.value.idle


async def test_a_loop_that_was_held_up_takes_no_silence_for_the_peers() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line(idle_timeout=0.1))
        limited = asyncio.create_task(turns(2))
        await limited
        peer.writer.write(
            b"in time\n"
        )  # it is in the kernel; now nobody looks for longer than the peer may be silent
        time.sleep(0.2)
        assert await reading == "in time"


@pytest.mark.parametrize("name", ["timeout", "idle_timeout"])
@pytest.mark.parametrize("value", [-1, float("nan"), "1"])
async def test_a_time_that_is_none_is_refused_and_takes_nothing(name: str, value: Any) -> None:
    async with pair() as (connection, peer):
        await peer.say(b"line\n")
        await until(lambda: connection.buffered == 5)
        for read in (connection.read_line, connection.lines, connection.chunks, connection.read_frames):
            times: dict[str, Any] = {name: value}
            with pytest.raises(UsageError, match=name):
                result = read(**times)
                if inspect.isawaitable(result):
                    await result
        assert connection.peek() == b"line\n"


async def test_what_came_until_the_peer_fell_silent_is_returned() -> None:
    async with pair() as (connection, peer):
        assert await connection.read_until_idle(0.01) == b""
        reading = asyncio.create_task(connection.read_until_idle(0.1, timeout=60))
        assert await drip(peer, 0.3) == await reading
        await peer.say(b"rest")
        peer.writer.write_eof()
        assert await connection.read_until_idle(60) == b"rest"
        assert await connection.read_until_idle(60) == b""


async def test_a_peer_that_is_never_silent_is_a_timeout_and_too_much_a_limit() -> None:
    async with pair() as (connection, peer):
        dripping = asyncio.create_task(drip(peer, 60))
        with pytest.raises(ReadTimeout) as caught:
            await connection.read_until_idle(30, timeout=0.05)
        assert not caught.value.idle
        with pytest.raises(LimitExceeded) as exceeded:
            await connection.read_until_idle(30, max_bytes=3)
        assert exceeded.value.partial == b"xxx"
        dripping.cancel()
        await asyncio.wait({dripping})
        assert set(await connection.read_until_idle(0)) == {ord("x")}
        with pytest.raises(UsageError, match="idle"):
            await connection.read_until_idle(-1)


async def test_chunks_are_no_longer_than_asked_for() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"abcdefg")
        peer.writer.write_eof()
        await until(lambda: connection.buffered == 7)
        assert [chunk async for chunk in connection.chunks(3, timeout=60)] == [b"abc", b"def", b"g"]
        with pytest.raises(UsageError, match="max_bytes"):
            connection.chunks(0)


# -- what ends a read early


@pytest.mark.parametrize("timeout", [0, 0.02])
async def test_a_timeout_shows_and_keeps_what_came(timeout: float) -> None:
    async with pair() as (connection, peer):
        await peer.say(b"part")
        await until(lambda: connection.buffered == 4)
        for read in (
            connection.read(10, timeout=timeout),
            connection.read_line(timeout=timeout),
            connection.read_exactly(5, timeout),
            connection.read_until_eof(timeout=timeout),
            connection.read_regex(rb"x", timeout=timeout),
        ):
            with pytest.raises(ReadTimeout) as caught:
                await read
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, TimeoutError)
        await peer.say(b"y\n")
        assert await connection.read_line() == "party"


async def test_timeout_zero_takes_what_the_kernel_holds() -> None:
    async with pair() as (connection, peer):
        peer.writer.write(
            b"here\n"
        )  # asyncio writes at once: it is in the kernel, the loop has not looked yet
        assert await connection.read_line(timeout=0) == "here"
        with pytest.raises(ReadTimeout):
            await connection.read(timeout=0)


async def test_single_bytes_do_not_prolong_a_timeout() -> None:
    async with pair() as (connection, peer):

        async def drip() -> None:
            while True:
                await peer.say(b"x")

        dripping = asyncio.create_task(drip())
        with pytest.raises(ReadTimeout) as caught:
            await connection.read_line(timeout=0.05)
        dripping.cancel()
        assert set(caught.value.partial) == {ord("x")}
        assert connection.peek(len(caught.value.partial)) == caught.value.partial


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    async with pair() as (connection, _), asyncio.timeout(5):
        with pytest.raises(UsageError, match="timeout"):
            await connection.read(timeout=timeout)


async def test_the_end_of_the_stream_shows_and_keeps_what_came() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"part")
        peer.writer.write_eof()
        for read in (
            connection.read(10),
            connection.read(marker=b"\n"),
            connection.read_line(),
            connection.read_exactly(5),
            connection.read_regex(rb"x"),
        ):
            with pytest.raises(EndOfStream) as caught:
                await read
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, EOFError)
        assert await connection.read() == b"part"
        with pytest.raises(EndOfStream):
            await connection.read_exactly(1)


async def test_a_reset_shows_and_keeps_what_came() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\npart")
        await until(lambda: connection.buffered == 8)
        peer.reset()
        assert await connection.read_line() == "one"
        for _ in range(2):
            with pytest.raises(ConnectionLost) as caught:
                await connection.read_line()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, ConnectionError)
        assert await connection.read() == b"part"
        with pytest.raises(ConnectionLost):
            await connection.read()


async def test_a_reset_is_no_end_of_iteration_and_no_end_of_stream() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"a\nb")
        await until(lambda: connection.buffered == 3)
        peer.reset()
        lines, chunks = connection.lines(), aiter(connection)
        assert await anext(lines) == "a"
        with pytest.raises(ConnectionLost):
            await anext(lines)
        with pytest.raises(ConnectionLost):
            await connection.read_until_eof()
        assert await anext(chunks) == b"b"
        with pytest.raises(ConnectionLost):
            await anext(chunks)


async def test_a_line_without_end_stops_at_its_limit_and_memory_stays_bounded() -> None:
    limits = Limits(read_buffer=10_000)
    async with pair(limits=limits) as (connection, peer):

        async def flood() -> None:
            while True:
                peer.writer.write(b"x" * 10_000)
                await peer.writer.drain()

        flooding = asyncio.create_task(flood())
        largest = 0
        for _ in range(5):
            with pytest.raises(LimitExceeded) as caught:
                await connection.read(marker=b"\n")
            assert (len(caught.value.partial), caught.value.limit) == (10_000, "read_buffer")
            await turns(100)
            largest = max(largest, connection.buffered)
        # What one read of the socket may bring on top (asyncio and uvloop: 256 KiB).
        assert largest < 10_000 + 256 * 1024
        with pytest.raises(LimitExceeded) as caught:
            await connection.read_line(max_bytes=400_000)
        assert (caught.value.limit, caught.value.maximum) == ("max_bytes", 400_000)
        flooding.cancel()


async def test_a_read_may_ask_for_more_than_is_read_ahead() -> None:
    async with pair(limits=Limits(read_buffer=1000)) as (connection, peer):
        blob = bytes(range(256)) * 4096
        sending = asyncio.create_task(peer.say(blob))
        assert await connection.read_exactly(len(blob)) == blob
        await sending


async def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    async with pair() as (connection, peer):
        first = asyncio.create_task(connection.read_line())
        await turns(2)
        for attempt in (connection.read(), connection.read_line(timeout=1), anext(connection.lines())):
            with pytest.raises(BusyError):
                await attempt
        with pytest.raises(BusyError):
            connection.unread(b"x")
        await peer.say(b"mine\n")
        assert await first == "mine"


async def test_reading_after_close_is_refused_and_closing_wakes_the_reader() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"unread")
        waiting = asyncio.create_task(connection.read_line())
        await turns(2)
        await connection.close()
        with pytest.raises(ClosedError):
            await waiting
        for read in (connection.read(), connection.read_exactly(1), connection.read_until_eof()):
            with pytest.raises(ClosedError):
                await read
        with pytest.raises(ClosedError):
            connection.unread(b"x")


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_bytes": -1},
        {"marker": b""},
        {"marker": "text"},
        {"marker": ()},
        {"marker": b"x", "max_bytes": -1},
    ],
)
async def test_reads_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError):
            await connection.read(**arguments)  # type: ignore[arg-type]


# -- cancellation

METHODS: dict[str, Callable[[tcp.Connection], Awaitable[bytes | str | tcp.Record]]] = {
    "read": lambda connection: connection.read(),
    "read size": lambda connection: connection.read(7),
    "read marker": lambda connection: connection.read(marker=b"\n"),
    "read both": lambda connection: connection.read(max_bytes=9, marker=b"\n"),
    "read with timeout": lambda connection: connection.read(marker=b"\n", timeout=60),
    "read_line": lambda connection: connection.read_line(keep_marker=True),
    "read_exactly": lambda connection: connection.read_exactly(9),
    "read_until_eof": lambda connection: connection.read_until_eof(),
    "read_regex": lambda connection: connection.read_regex(rb"d.f\n"),
    "read_until": lambda connection: connection.read_until((b"i ", b"f\n"), keep_marker=True),
    "read_frame": lambda connection: connection.read_frame(1, max_bytes=200),
    "read_until_idle": lambda connection: connection.read_until_idle(60),
    "records": lambda connection: anext(connection.records(b" ", keep_marker=True)),
    "silent": lambda connection: connection.read_exactly(9, timeout=60, idle_timeout=60),
    "lines": lambda connection: anext(connection.lines(keep_marker=True)),
    "chunks": lambda connection: anext(aiter(connection)),
    "look": lambda connection: connection.read(20, timeout=0),
}


@pytest.mark.parametrize("method", METHODS)
async def test_cancelled_after_any_step_a_read_loses_nothing(method: str) -> None:
    data = b"abc def\nghi jkl\n"
    for step in range(14):
        async with pair() as (connection, peer):
            reading = asyncio.ensure_future(METHODS[method](connection))
            talking = asyncio.create_task(peer.say(data[:3], data[3:7], data[7:9], data[9:]))
            await turns(step)
            reading.cancel()
            try:
                got = await reading
            except (asyncio.CancelledError, ReadTimeout):
                got = b""
            await talking
            peer.writer.write_eof()
            got = got.data if isinstance(got, tcp.Record) else got
            got = got.encode() if isinstance(got, str) else got
            assert got + await connection.read_until_eof() == data
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 0


async def test_cancelled_in_the_moment_the_answer_comes_a_read_loses_nothing() -> None:
    async with pair() as (connection, peer):
        reading = asyncio.create_task(connection.read_line())
        await turns(2)
        peer.writer.write(b"line\n")
        while not connection.buffered:  # it is here, and the task that waits for it has not run yet
            await turns(1)
            if reading.done():
                break
        reading.cancel()
        await asyncio.wait({reading})
        if reading.cancelled():
            assert await connection.read_line() == "line"
        else:
            assert reading.result() == "line"
