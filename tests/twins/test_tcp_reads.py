"""Connections, reads, iteration and pools, against blocking sockets: written once, run with asyncio and without."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator

import pytest

from support.twins_support import echo, saying, serving
from wirelane import ClosedError, ConnectError, EndOfStream, LimitExceeded, PoolTimeout, ReadTimeout, tcp


@pytest.fixture
async def connection() -> AsyncIterator[tcp.Connection]:
    with serving(echo) as address:
        async with tcp.connect(address) as connection:
            yield connection


async def test_a_line_comes_back(connection: tcp.Connection) -> None:
    """Without its newline."""
    await connection.send_line("hello")
    assert await connection.read_line(timeout=10) == "hello"


async def test_every_read_ends_as_it_says(connection: tcp.Connection) -> None:
    """By size, marker, frame, pattern and silence, one after the other on one stream."""
    await connection.send(b"12345a;b;" + b"\x00\x00\x00\x02hi" + b"x=1 rest")
    assert await connection.read_exactly(5) == b"12345"
    assert await connection.read(marker=b";") == b"a;"
    assert await connection.read_until([b"|", b";"]) == (b"b", b";")
    assert await connection.read_frame() == b"hi"
    assert await connection.read_regex(rb"x=\d") == b"x=1"
    assert await connection.read_until_idle(0.05) == b" rest"


async def test_every_way_to_send_arrives(connection: tcp.Connection, tmp_path: os.PathLike[str]) -> None:
    """Parts, frames and files."""
    path = os.path.join(tmp_path, "file")
    with open(path, "wb") as file:
        file.write(b"from a file")
    await connection.send_many([b"one ", b"two"])
    assert await connection.read_exactly(7) == b"one two"
    await connection.send_frame(b"framed", length_prefix=2)
    assert await connection.read_frame(length_prefix=2) == b"framed"
    assert await connection.send_file(path) == 11
    assert await connection.read_exactly(11) == b"from a file"
    await connection.send_eof()
    assert await connection.read_until_eof() == b""


async def test_a_read_that_times_out_loses_nothing(connection: tcp.Connection) -> None:
    """What had come is in `.partial`, and the next read sees it."""
    await connection.send(b"half")
    with pytest.raises(ReadTimeout) as late:
        await connection.read_line(timeout=0.2)
    assert late.value.partial == b"half"
    await connection.send(b" line\n")
    assert await connection.read_line(timeout=10) == "half line"


async def test_what_was_read_can_be_put_back(connection: tcp.Connection) -> None:
    """`peek` takes nothing, `unread` gives it back, `buffered` counts."""
    await connection.send(b"abc")
    assert await connection.read_exactly(3) == b"abc"
    connection.unread(b"bc")
    assert connection.buffered == 2
    assert connection.peek() == b"bc"
    assert await connection.read() == b"bc"


async def test_lines_are_iterated_to_the_end() -> None:
    """The last one needs no marker."""
    data = b"".join(b"line %d\n" % n for n in range(5000)) + b"last"
    with serving(saying(data)) as address:
        async with tcp.connect(address) as connection:
            got = [line async for line in connection.lines()]
    assert got == [f"line {n}" for n in range(5000)] + ["last"]


async def test_other_reads_go_on_where_the_lines_are() -> None:
    """Lines that were ready, and were not given, are not lost to a read in between."""
    data = b"".join(b"%d\n" % n for n in range(1000))
    got = []
    with serving(saying(data)) as address:
        async with tcp.connect(address) as connection:
            async for line in connection.lines():
                got.append(line)
                if len(got) == 10:
                    break
            record = await connection.read(marker=b"\n", keep_marker=False)
            got.append(record.decode())
            got += [line async for line in connection.lines()]
    assert got == [str(n) for n in range(1000)]


async def test_records_frames_and_chunks_are_iterated() -> None:
    """Each kind by its own rule."""
    with serving(saying(b"a;b;c")) as address:
        async with tcp.connect(address) as connection:
            assert [record async for record in connection.records(b";")] == [b"a", b"b", b"c"]
    with serving(saying(b"\x00\x00\x00\x01x\x00\x00\x00\x00")) as address:
        async with tcp.connect(address) as connection:
            assert [frame async for frame in connection.read_frames()] == [b"x", b""]
    with serving(saying(b"all of it")) as address:
        async with tcp.connect(address) as connection:
            assert b"".join([chunk async for chunk in connection]) == b"all of it"


async def test_the_end_of_the_stream_and_limits_raise() -> None:
    """With what came."""
    with serving(saying(b"short")) as address:
        async with tcp.connect(address) as connection:
            with pytest.raises(EndOfStream) as ended:
                await connection.read_exactly(10)
            assert ended.value.partial == b"short"
    with serving(saying(b"x" * 100)) as address:
        async with tcp.connect(address) as connection:
            with pytest.raises(LimitExceeded):
                await connection.read_line(max_bytes=10)


async def test_a_closed_connection_says_so(connection: tcp.Connection) -> None:
    """To reads and sends; closing it again is nothing."""
    await connection.close()
    await connection.close()
    with pytest.raises(ClosedError):
        await connection.read()
    with pytest.raises(ClosedError):
        await connection.send(b"x")
    assert connection.closed


async def test_a_request_is_one_call() -> None:
    """Connect, send, read one reply, close."""
    with serving(echo) as address:
        assert await tcp.request(address, "Echo this!\n", timeout=10) == b"Echo this!\n"


async def test_connecting_to_nothing_is_an_error() -> None:
    """Of its own kind."""
    with pytest.raises(ConnectError):
        async with tcp.connect("127.0.0.1:1"):
            raise AssertionError


async def test_a_pool_uses_its_connections_again() -> None:
    """And gives out no more than there are."""
    with serving(echo) as address:
        async with tcp.Pool(address, size=1) as pool:
            for n in range(20):
                assert await pool.request(f"{n}\n") == b"%d\n" % n
            assert pool.stats.opened == 1
            async with pool.connection() as connection:
                assert isinstance(connection, tcp.Connection)
                with pytest.raises(PoolTimeout):
                    async with pool.connection(timeout=0.05):
                        raise AssertionError


async def test_the_functions_of_a_pool_are_called() -> None:
    """`prepare` for each new connection, with what the server says first."""
    prepared: list[str] = []

    async def prepare(connection: tcp.Connection) -> None:
        prepared.append(await connection.read_line(timeout=10))

    def greet(client: socket.socket) -> None:
        client.sendall(b"welcome\n")
        echo(client)

    with serving(greet) as address:
        async with tcp.Pool(address, prepare=prepare) as pool:
            assert await pool.request("hi\n") == b"hi\n"
    assert prepared == ["welcome"]


async def test_a_server_calls_its_handler_for_each_client() -> None:
    """With a connection of the same kind; when it returns, the connection is closed."""

    async def handler(connection: tcp.Connection) -> None:
        async for line in connection.lines():
            await connection.send_line(f"{line} to you")

    async with tcp.Server(handler).listen("127.0.0.1:0") as listening:
        async with tcp.connect(f"127.0.0.1:{listening.port}") as connection:
            await connection.send_line("good day")
            assert await connection.read_line(timeout=10) == "good day to you"
            assert listening.stats.connections == 1
            await connection.send_eof()
            assert await connection.read(timeout=10) == b""
