"""Reading from a connection, against a plain peer: written once, run with asyncio and without."""

from __future__ import annotations

import pytest

from support.twins_support import sleep, start
from twins.tcp_support import came, one_by_one, pair, reads
from wirelane import (
    BusyError,
    ClosedError,
    CodecError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    Limits,
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
        read = start(connection.read, 5)
        await one_by_one(connection, peer, b"ab", b"cd", b"efg")
        assert await read.result() == b"abcde"
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
        read = start(connection.read, marker=b"<|END|>")
        await (
            one_by_one(connection, peer, data[:cut], data[cut:])
            if cut < 10
            else peer.say(data[:cut], data[cut:])
        )
        assert await read.result() == b"abc<|END|>"
        assert await connection.read_exactly(3) == b"xyz"


async def test_overlapping_beginnings_of_a_marker_do_not_hide_it() -> None:
    async with pair() as (connection, peer):
        read = start(connection.read, marker=b"aab")
        await one_by_one(connection, peer, b"a", b"a", b"a", b"a", b"b")
        assert await read.result() == b"aaaab"
        read = start(connection.read, marker=b"aab")
        await one_by_one(connection, peer, b"a", b"a", b"b")
        assert await read.result() == b"aab"


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
        read = start(connection.read_until_eof)
        blob = bytes(range(256)) * 1024
        peer.writer.write(blob)
        peer.writer.write_eof()
        assert await read.result() == blob
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
        await came(connection, 4)
        reading = start(connection.read_until_eof, max_bytes=4)
        await reads(connection)
        peer.writer.write_eof()
        assert await reading.result() == b"abcd"


async def test_read_regex_ends_with_the_first_match() -> None:
    async with pair() as (connection, peer):
        read = start(connection.read_regex, rb"code (\d+);")
        await one_by_one(connection, peer, b"hello co", b"de 12", b"34; more")
        assert await read.result() == b"hello code 1234;"
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
        await came(connection, 4)
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
        await came(connection, 28)
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
        await came(connection, 12)
        lines = connection.lines(marker="\n\n")
        assert [await anext(lines), await anext(lines)] == ["one", ""]
        assert await connection.read_exactly(5) == b"\nrest"


async def test_a_line_that_is_not_text_stops_none_before_or_after_it() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"1\n2\n\xff\n3\n4\n")
        await came(connection, 10)
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


@pytest.mark.parametrize("timeout", [0, 0.02])
async def test_a_timeout_shows_and_keeps_what_came(timeout: float) -> None:
    async with pair() as (connection, peer):
        await peer.say(b"part")
        await came(connection, 4)
        for read in (
            lambda: connection.read(10, timeout=timeout),
            lambda: connection.read_line(timeout=timeout),
            lambda: connection.read_exactly(5, timeout),
            lambda: connection.read_until_eof(timeout=timeout),
            lambda: connection.read_regex(rb"x", timeout=timeout),
        ):
            with pytest.raises(ReadTimeout) as caught:
                await read()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, TimeoutError)
        await peer.say(b"y\n")
        assert await connection.read_line() == "party"


async def test_timeout_zero_takes_what_the_kernel_holds() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"here\n")  # it is in the kernel, whether the loop has looked or not
        assert await connection.read_line(timeout=0) == "here"
        with pytest.raises(ReadTimeout):
            await connection.read(timeout=0)


async def test_single_bytes_do_not_prolong_a_timeout() -> None:
    async with pair() as (connection, peer):
        dripping = start(peer.drip, 0.3)
        with pytest.raises(ReadTimeout) as caught:
            await connection.read_line(timeout=0.05)
        peer.quiet = True
        await dripping.result()
        assert set(caught.value.partial) == {ord("x")}
        assert connection.peek(len(caught.value.partial)) == caught.value.partial


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    async with pair() as (connection, _):
        with pytest.raises(UsageError, match="timeout"):
            await connection.read(timeout=timeout)


async def test_the_end_of_the_stream_shows_and_keeps_what_came() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"part")
        peer.writer.write_eof()
        for read in (
            lambda: connection.read(10),
            lambda: connection.read(marker=b"\n"),
            connection.read_line,
            lambda: connection.read_exactly(5),
            lambda: connection.read_regex(rb"x"),
        ):
            with pytest.raises(EndOfStream) as caught:
                await read()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, EOFError)
        assert await connection.read() == b"part"
        with pytest.raises(EndOfStream):
            await connection.read_exactly(1)


async def test_a_reset_shows_and_keeps_what_came() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"one\npart")
        await came(connection, 8)
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
        await came(connection, 3)
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
        flooding = start(peer.flood, b"x" * 10_000)
        largest = 0
        for _ in range(5):
            with pytest.raises(LimitExceeded) as caught:
                await connection.read(marker=b"\n")
            assert (len(caught.value.partial), caught.value.limit) == (10_000, "read_buffer")
            await sleep(0.01)
            largest = max(largest, connection.buffered)
        # What one read of the socket may bring on top (256 KiB).
        assert largest < 10_000 + 256 * 1024
        with pytest.raises(LimitExceeded) as caught:
            await connection.read_line(max_bytes=400_000)
        assert (caught.value.limit, caught.value.maximum) == ("max_bytes", 400_000)
        connection.abort()
        await flooding.result()


async def test_a_read_may_ask_for_more_than_is_read_ahead() -> None:
    async with pair(limits=Limits(read_buffer=1000)) as (connection, peer):
        blob = bytes(range(256)) * 4096
        sending = start(peer.say, blob)
        assert await connection.read_exactly(len(blob)) == blob
        await sending.result()


async def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    async with pair() as (connection, peer):
        first = start(connection.read_line)
        await reads(connection)
        for attempt in (
            connection.read,
            lambda: connection.read_line(timeout=1),
            lambda: anext(connection.lines()),
        ):
            with pytest.raises(BusyError, match="is being read already"):
                await attempt()
        with pytest.raises(BusyError):
            connection.unread(b"x")
        await peer.say(b"mine\n")
        assert await first.result() == "mine"


async def test_reading_after_close_is_refused_and_closing_wakes_the_reader() -> None:
    async with pair() as (connection, peer):
        await peer.say(b"unread")
        waiting = start(connection.read_line)
        await reads(connection)
        await connection.close()
        with pytest.raises(ClosedError):
            await waiting.result()
        for read in (
            connection.read,
            lambda: connection.read_exactly(1),
            connection.read_until_eof,
        ):
            with pytest.raises(ClosedError):
                await read()
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
