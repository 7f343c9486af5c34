"""Reading from a connection, against a plain peer.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import pytest

from support.twins_sync_support import sleep, start
from twins_sync.tcp_support import came, one_by_one, pair, reads
from wirelane.sync import (
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


def test_read_without_arguments_returns_what_is_there_and_nothing_only_at_the_end() -> None:
    with pair() as (connection, peer):
        peer.say(b"abc")
        assert connection.read() == b"abc"
        peer.say(b"de")
        peer.writer.write_eof()
        assert connection.read() == b"de"
        assert [connection.read(), connection.read()] == [b"", b""]


def test_read_with_a_size_returns_exactly_that_many_bytes() -> None:
    with pair() as (connection, peer):
        read = start(connection.read, 5)
        one_by_one(connection, peer, b"ab", b"cd", b"efg")
        assert read.result() == b"abcde"
        assert connection.read_exactly(2) == b"fg"
        assert connection.read_exactly(0) == b""


def test_read_with_a_marker_keeps_it_and_what_follows_stays() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\ntwo;thr", b"ee\n")
        assert connection.read(marker=b"\n") == b"one\n"
        assert connection.read(marker=(b"\n", b";"), keep_marker=False) == b"two"
        assert connection.read(4096, b"\n") == b"three\n"
        assert connection.buffered == 0


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_marker_cut_anywhere_by_the_network_ends_the_read(cut: int) -> None:
    data = b"abc<|END|>xyz"
    with pair() as (connection, peer):
        read = start(connection.read, marker=b"<|END|>")
        (
            one_by_one(connection, peer, data[:cut], data[cut:])
            if cut < 10
            else peer.say(data[:cut], data[cut:])
        )
        assert read.result() == b"abc<|END|>"
        assert connection.read_exactly(3) == b"xyz"


def test_overlapping_beginnings_of_a_marker_do_not_hide_it() -> None:
    with pair() as (connection, peer):
        read = start(connection.read, marker=b"aab")
        one_by_one(connection, peer, b"a", b"a", b"a", b"a", b"b")
        assert read.result() == b"aaaab"
        read = start(connection.read, marker=b"aab")
        one_by_one(connection, peer, b"a", b"a", b"b")
        assert read.result() == b"aab"


def test_read_line_is_text_without_its_marker() -> None:
    with pair() as (connection, peer):
        peer.say("grüß\r\n".encode(), b"dich\n")
        assert connection.read_line(marker=("\r\n", "\n")) == "grüß"
        assert connection.read_line(keep_marker=True) == "dich\n"


def test_read_line_understands_other_encodings() -> None:
    with pair() as (connection, peer):
        peer.say("ä\n\u0a0a\n".encode("utf-16-le"), "ж|".encode("cp1251"))
        assert [connection.read_line("utf-16-le"), connection.read_line("utf-16-le")] == [
            "ä",
            "\u0a0a",
        ]
        assert connection.read_line("cp1251", "|") == "ж"


def test_a_line_that_is_not_text_can_still_be_read_as_bytes() -> None:
    with pair() as (connection, peer):
        peer.say(b"\xff\xfe\nok\n")
        with pytest.raises(CodecError):
            connection.read_line()
        assert connection.read(marker=b"\n") == b"\xff\xfe\n"
        assert connection.read_line() == "ok"


def test_read_until_eof_returns_everything() -> None:
    with pair() as (connection, peer):
        read = start(connection.read_until_eof)
        blob = bytes(range(256)) * 1024
        peer.writer.write(blob)
        peer.writer.write_eof()
        assert read.result() == blob
        assert connection.read_until_eof() == b""


def test_read_until_eof_of_more_than_it_may_keeps_the_bytes() -> None:
    with pair() as (connection, peer):
        peer.say(b"abcdef")
        with pytest.raises(LimitExceeded) as caught:
            connection.read_until_eof(max_bytes=5)
        assert caught.value.partial == b"abcde"
        assert connection.read() == b"abcdef"


def test_the_end_is_seen_behind_a_buffer_that_is_just_full() -> None:
    with pair(limits=Limits(read_buffer=4)) as (connection, peer):
        peer.say(b"abcd")
        came(connection, 4)
        reading = start(connection.read_until_eof, max_bytes=4)
        reads(connection)
        peer.writer.write_eof()
        assert reading.result() == b"abcd"


def test_read_regex_ends_with_the_first_match() -> None:
    with pair() as (connection, peer):
        read = start(connection.read_regex, rb"code (\d+);")
        one_by_one(connection, peer, b"hello co", b"de 12", b"34; more")
        assert read.result() == b"hello code 1234;"
        assert connection.read() == b" more"


def test_lines_end_with_the_stream_and_a_last_line_needs_no_marker() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\n\ntw", b"o\nlast")
        peer.writer.write_eof()
        assert list(connection.lines()) == ["one", "", "two", "last"]


def test_lines_go_on_after_a_timeout() -> None:
    with pair() as (connection, peer):
        lines = connection.lines(timeout=0)
        peer.say(b"one\ntw")
        assert next(lines) == "one"
        with pytest.raises(ReadTimeout):
            next(lines)
        peer.say(b"o\n")
        came(connection, 4)
        assert next(lines) == "two"


def test_many_lines_come_through_in_order() -> None:
    with pair(limits=Limits(read_buffer=1000)) as (connection, peer):
        wanted = [f"line {number} {'x' * (number % 50)}" for number in range(5000)]
        peer.writer.write("".join(f"{line}\n" for line in wanted).encode())
        peer.writer.write_eof()
        assert list(connection.lines()) == wanted


def test_whoever_reads_otherwise_gets_the_lines_that_were_ready() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\ntwo\nthree\nfour\nfive\nsix\n")
        came(connection, 28)
        for line in connection.lines():
            assert line == "one"
            break
        assert (connection.buffered, connection.peek(4)) == (24, b"two\n")
        lines, others = connection.lines(), connection.lines(keep_marker=True)
        assert [next(lines), next(others), next(lines)] == ["two", "three\n", "four"]
        assert connection.read_exactly(2) == b"fi"
        connection.unread(b"cle")
        assert next(lines) == "cleve"
        assert connection.buffered == 4
        connection.close()
        with pytest.raises(ClosedError):
            next(lines)


def test_a_marker_that_overlaps_itself_is_found_from_the_left() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\n\n\n\n\nrest")
        came(connection, 12)
        lines = connection.lines(marker="\n\n")
        assert [next(lines), next(lines)] == ["one", ""]
        assert connection.read_exactly(5) == b"\nrest"


def test_a_line_that_is_not_text_stops_none_before_or_after_it() -> None:
    with pair() as (connection, peer):
        peer.say(b"1\n2\n\xff\n3\n4\n")
        came(connection, 10)
        lines = connection.lines()
        assert [next(lines), next(lines)] == ["1", "2"]
        for _ in range(2):
            with pytest.raises(CodecError):
                next(lines)
        assert connection.read(marker=b"\n") == b"\xff\n"
        assert [next(lines), next(lines)] == ["3", "4"]


def test_chunks_are_the_stream_in_pieces() -> None:
    with pair() as (connection, peer):
        blob = bytes(range(256)) * 2048
        peer.writer.write(blob)
        peer.writer.write_eof()
        chunks = list(connection)
        assert b"".join(chunks) == blob
        assert all(0 < len(chunk) <= Limits().read_buffer for chunk in chunks)


def test_peek_leaves_bytes_and_unread_puts_them_back() -> None:
    with pair() as (connection, peer):
        peer.say(b"abcdef")
        assert connection.read(3) == b"abc"
        assert (connection.peek(), connection.peek(2), connection.buffered) == (b"def", b"de", 3)
        connection.unread(b"bc")
        connection.unread(b"more than there ever was, and then ")
        assert connection.read() == b"more than there ever was, and then bcdef"


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_timeout_shows_and_keeps_what_came(timeout: float) -> None:
    with pair() as (connection, peer):
        peer.say(b"part")
        came(connection, 4)
        for read in (
            lambda: connection.read(10, timeout=timeout),
            lambda: connection.read_line(timeout=timeout),
            lambda: connection.read_exactly(5, timeout),
            lambda: connection.read_until_eof(timeout=timeout),
            lambda: connection.read_regex(rb"x", timeout=timeout),
        ):
            with pytest.raises(ReadTimeout) as caught:
                read()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, TimeoutError)
        peer.say(b"y\n")
        assert connection.read_line() == "party"


def test_timeout_zero_takes_what_the_kernel_holds() -> None:
    with pair() as (connection, peer):
        peer.say(b"here\n")  # it is in the kernel, whether the loop has looked or not
        assert connection.read_line(timeout=0) == "here"
        with pytest.raises(ReadTimeout):
            connection.read(timeout=0)


def test_single_bytes_do_not_prolong_a_timeout() -> None:
    with pair() as (connection, peer):
        dripping = start(peer.drip, 0.3)
        with pytest.raises(ReadTimeout) as caught:
            connection.read_line(timeout=0.05)
        peer.quiet = True
        dripping.result()
        assert set(caught.value.partial) == {ord("x")}
        assert connection.peek(len(caught.value.partial)) == caught.value.partial


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pair() as (connection, _):
        with pytest.raises(UsageError, match="timeout"):
            connection.read(timeout=timeout)


def test_the_end_of_the_stream_shows_and_keeps_what_came() -> None:
    with pair() as (connection, peer):
        peer.say(b"part")
        peer.writer.write_eof()
        for read in (
            lambda: connection.read(10),
            lambda: connection.read(marker=b"\n"),
            connection.read_line,
            lambda: connection.read_exactly(5),
            lambda: connection.read_regex(rb"x"),
        ):
            with pytest.raises(EndOfStream) as caught:
                read()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, EOFError)
        assert connection.read() == b"part"
        with pytest.raises(EndOfStream):
            connection.read_exactly(1)


def test_a_reset_shows_and_keeps_what_came() -> None:
    with pair() as (connection, peer):
        peer.say(b"one\npart")
        came(connection, 8)
        peer.reset()
        assert connection.read_line() == "one"
        for _ in range(2):
            with pytest.raises(ConnectionLost) as caught:
                connection.read_line()
            assert caught.value.partial == b"part"
            assert isinstance(caught.value, ConnectionError)
        assert connection.read() == b"part"
        with pytest.raises(ConnectionLost):
            connection.read()


def test_a_reset_is_no_end_of_iteration_and_no_end_of_stream() -> None:
    with pair() as (connection, peer):
        peer.say(b"a\nb")
        came(connection, 3)
        peer.reset()
        lines, chunks = connection.lines(), iter(connection)
        assert next(lines) == "a"
        with pytest.raises(ConnectionLost):
            next(lines)
        with pytest.raises(ConnectionLost):
            connection.read_until_eof()
        assert next(chunks) == b"b"
        with pytest.raises(ConnectionLost):
            next(chunks)


def test_a_line_without_end_stops_at_its_limit_and_memory_stays_bounded() -> None:
    limits = Limits(read_buffer=10_000)
    with pair(limits=limits) as (connection, peer):
        flooding = start(peer.flood, b"x" * 10_000)
        largest = 0
        for _ in range(5):
            with pytest.raises(LimitExceeded) as caught:
                connection.read(marker=b"\n")
            assert (len(caught.value.partial), caught.value.limit) == (10_000, "read_buffer")
            sleep(0.01)
            largest = max(largest, connection.buffered)
        # What one read of the socket may bring on top (256 KiB).
        assert largest < 10_000 + 256 * 1024
        with pytest.raises(LimitExceeded) as caught:
            connection.read_line(max_bytes=400_000)
        assert (caught.value.limit, caught.value.maximum) == ("max_bytes", 400_000)
        connection.abort()
        flooding.result()


def test_a_read_may_ask_for_more_than_is_read_ahead() -> None:
    with pair(limits=Limits(read_buffer=1000)) as (connection, peer):
        blob = bytes(range(256)) * 4096
        sending = start(peer.say, blob)
        assert connection.read_exactly(len(blob)) == blob
        sending.result()


def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    with pair() as (connection, peer):
        first = start(connection.read_line)
        reads(connection)
        for attempt in (
            connection.read,
            lambda: connection.read_line(timeout=1),
            lambda: next(connection.lines()),
        ):
            with pytest.raises(BusyError, match="is being read already"):
                attempt()
        with pytest.raises(BusyError):
            connection.unread(b"x")
        peer.say(b"mine\n")
        assert first.result() == "mine"


def test_reading_after_close_is_refused_and_closing_wakes_the_reader() -> None:
    with pair() as (connection, peer):
        peer.say(b"unread")
        waiting = start(connection.read_line)
        reads(connection)
        connection.close()
        with pytest.raises(ClosedError):
            waiting.result()
        for read in (
            connection.read,
            lambda: connection.read_exactly(1),
            connection.read_until_eof,
        ):
            with pytest.raises(ClosedError):
                read()
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
def test_reads_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pair() as (connection, _):
        with pytest.raises(UsageError):
            connection.read(**arguments)  # type: ignore[arg-type]
