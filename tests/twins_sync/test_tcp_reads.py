"""Connections, reads, iteration and pools, against blocking sockets.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from support.twins_sync_support import echo, saying, serving
from wirelane.sync import ClosedError, ConnectError, EndOfStream, LimitExceeded, PoolTimeout, ReadTimeout, tcp


@pytest.fixture
def connection() -> Iterator[tcp.Connection]:
    with serving(echo) as address:
        with tcp.connect(address) as connection:
            yield connection


def test_a_line_comes_back(connection: tcp.Connection) -> None:
    """Without its newline."""
    connection.send_line("hello")
    assert connection.read_line(timeout=10) == "hello"


def test_every_read_ends_as_it_says(connection: tcp.Connection) -> None:
    """By size, marker, frame, pattern and silence, one after the other on one stream."""
    connection.send(b"12345a;b;" + b"\x00\x00\x00\x02hi" + b"x=1 rest")
    assert connection.read_exactly(5) == b"12345"
    assert connection.read(marker=b";") == b"a;"
    assert connection.read_until([b"|", b";"]) == (b"b", b";")
    assert connection.read_frame() == b"hi"
    assert connection.read_regex(rb"x=\d") == b"x=1"
    assert connection.read_until_idle(0.05) == b" rest"


def test_every_way_to_send_arrives(connection: tcp.Connection, tmp_path: os.PathLike[str]) -> None:
    """Parts, frames and files."""
    path = os.path.join(tmp_path, "file")
    with open(path, "wb") as file:
        file.write(b"from a file")
    connection.send_many([b"one ", b"two"])
    assert connection.read_exactly(7) == b"one two"
    connection.send_frame(b"framed", length_prefix=2)
    assert connection.read_frame(length_prefix=2) == b"framed"
    assert connection.send_file(path) == 11
    assert connection.read_exactly(11) == b"from a file"
    connection.send_eof()
    assert connection.read_until_eof() == b""


def test_a_read_that_times_out_loses_nothing(connection: tcp.Connection) -> None:
    """What had come is in `.partial`, and the next read sees it."""
    connection.send(b"half")
    with pytest.raises(ReadTimeout) as late:
        connection.read_line(timeout=0.2)
    assert late.value.partial == b"half"
    connection.send(b" line\n")
    assert connection.read_line(timeout=10) == "half line"


def test_what_was_read_can_be_put_back(connection: tcp.Connection) -> None:
    """`peek` takes nothing, `unread` gives it back, `buffered` counts."""
    connection.send(b"abc")
    assert connection.read_exactly(3) == b"abc"
    connection.unread(b"bc")
    assert connection.buffered == 2
    assert connection.peek() == b"bc"
    assert connection.read() == b"bc"


def test_lines_are_iterated_to_the_end() -> None:
    """The last one needs no marker."""
    data = b"".join(b"line %d\n" % n for n in range(5000)) + b"last"
    with serving(saying(data)) as address:
        with tcp.connect(address) as connection:
            got = list(connection.lines())
    assert got == [f"line {n}" for n in range(5000)] + ["last"]


def test_other_reads_go_on_where_the_lines_are() -> None:
    """Lines that were ready, and were not given, are not lost to a read in between."""
    data = b"".join(b"%d\n" % n for n in range(1000))
    got = []
    with serving(saying(data)) as address:
        with tcp.connect(address) as connection:
            for line in connection.lines():
                got.append(line)
                if len(got) == 10:
                    break
            record = connection.read(marker=b"\n", keep_marker=False)
            got.append(record.decode())
            got += list(connection.lines())
    assert got == [str(n) for n in range(1000)]


def test_records_frames_and_chunks_are_iterated() -> None:
    """Each kind by its own rule."""
    with serving(saying(b"a;b;c")) as address:
        with tcp.connect(address) as connection:
            assert list(connection.records(b";")) == [b"a", b"b", b"c"]
    with serving(saying(b"\x00\x00\x00\x01x\x00\x00\x00\x00")) as address:
        with tcp.connect(address) as connection:
            assert list(connection.read_frames()) == [b"x", b""]
    with serving(saying(b"all of it")) as address:
        with tcp.connect(address) as connection:
            assert b"".join(list(connection)) == b"all of it"


def test_the_end_of_the_stream_and_limits_raise() -> None:
    """With what came."""
    with serving(saying(b"short")) as address:
        with tcp.connect(address) as connection:
            with pytest.raises(EndOfStream) as ended:
                connection.read_exactly(10)
            assert ended.value.partial == b"short"
    with serving(saying(b"x" * 100)) as address:
        with tcp.connect(address) as connection:
            with pytest.raises(LimitExceeded):
                connection.read_line(max_bytes=10)


def test_a_closed_connection_says_so(connection: tcp.Connection) -> None:
    """To reads and sends; closing it again is nothing."""
    connection.close()
    connection.close()
    with pytest.raises(ClosedError):
        connection.read()
    with pytest.raises(ClosedError):
        connection.send(b"x")
    assert connection.closed


def test_a_request_is_one_call() -> None:
    """Connect, send, read one reply, close."""
    with serving(echo) as address:
        assert tcp.request(address, "Echo this!\n", timeout=10) == b"Echo this!\n"


def test_connecting_to_nothing_is_an_error() -> None:
    """Of its own kind."""
    with pytest.raises(ConnectError):
        with tcp.connect("127.0.0.1:1"):
            raise AssertionError


def test_a_pool_uses_its_connections_again() -> None:
    """And gives out no more than there are."""
    with serving(echo) as address:
        with tcp.Pool(address, size=1) as pool:
            for n in range(20):
                assert pool.request(f"{n}\n") == b"%d\n" % n
            assert pool.stats.opened == 1
            with pool.connection() as connection:
                assert isinstance(connection, tcp.Connection)
                with pytest.raises(PoolTimeout):
                    with pool.connection(timeout=0.05):
                        raise AssertionError


def test_the_functions_of_a_pool_are_called() -> None:
    """`prepare` for each new connection, with what the server says first."""
    prepared: list[str] = []

    def prepare(connection: tcp.Connection) -> None:
        prepared.append(connection.read_line(timeout=10))

    def greet(client: socket.socket) -> None:
        client.sendall(b"welcome\n")
        echo(client)

    with serving(greet) as address:
        with tcp.Pool(address, prepare=prepare) as pool:
            assert pool.request("hi\n") == b"hi\n"
    assert prepared == ["welcome"]


def test_a_server_calls_its_handler_for_each_client() -> None:
    """With a connection of the same kind; when it returns, the connection is closed."""

    def handler(connection: tcp.Connection) -> None:
        for line in connection.lines():
            connection.send_line(f"{line} to you")

    with tcp.Server(handler).listen("127.0.0.1:0") as listening:
        with tcp.connect(f"127.0.0.1:{listening.port}") as connection:
            connection.send_line("good day")
            assert connection.read_line(timeout=10) == "good day to you"
            assert listening.stats.connections == 1
            connection.send_eof()
            assert connection.read(timeout=10) == b""
