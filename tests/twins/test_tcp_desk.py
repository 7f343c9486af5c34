"""What a program that runs a TCP server asks of it, who is there, what they said, answers, ends, and what the log tells: written once, run with asyncio and without.

The server here is held by its user, who takes clients and their data when it suits: `Desk` is all that takes.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.twins_support import Event, until
from wirelane import (
    ClosedError,
    ConnectError,
    ConnectionLost,
    Limits,
    ReadTimeout,
    UsageError,
    tcp,
)

SOON = 30.0


class Desk:
    """Clients of a server, in the order in which they came; each stays until the desk is done with it."""

    def __init__(self) -> None:
        self.waiting: list[tcp.Connection] = []
        self._done: dict[tcp.Connection, Event] = {}

    async def handle(self, connection: tcp.Connection) -> None:
        done = self._done[connection] = Event()
        self.waiting.append(connection)
        await done.wait()

    async def next(self) -> tcp.Connection:
        await until(lambda: self.waiting)
        return self.waiting.pop(0)

    def dismiss(self, connection: tcp.Connection) -> None:
        self._done[connection].set()

    def close(self) -> None:
        for done in self._done.values():
            done.set()


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[Desk, tcp.Server, str]]:
    """A server at work, and its address."""
    there = Desk()
    server = tcp.Server(there.handle, limits=Limits(close_timeout=5.0))
    listening = await server.listen("127.0.0.1:0")
    try:
        yield there, server, str(listening.address)
    finally:
        await server.drain(grace=0)
        there.close()


async def gone(server: tcp.Server) -> None:
    """Wait until nobody is connected."""
    await until(lambda: not server.connections)


async def test_a_server_starts_on_a_free_port_and_says_which() -> None:
    async with desk() as (_, server, address):
        assert isinstance(server, tcp.Server)
        assert not isinstance(server, tcp.Connection)
        assert server.state is tcp.ServerState.SERVING
        assert repr(server).endswith(f"Server {address} SERVING 0 connections>")


async def test_a_port_that_is_taken_is_told_when_the_server_starts() -> None:
    async with desk() as (there, _, address):
        with pytest.raises(ConnectError, match="address already in use"):
            await tcp.Server(there.handle).listen(address)


async def test_a_server_that_was_stopped_has_no_clients_and_takes_none() -> None:
    async with desk() as (there, server, address), tcp.connect(address) as client:
        await client.send(b"hello")
        await there.next()
        await server.drain(grace=0)
        assert (server.state, server.connections, server.clients) == (tcp.ServerState.CLOSED, 0, ())
        assert await client.read(timeout=SOON) == b""
        with pytest.raises(ConnectError):
            await tcp.connect(address)


async def test_the_next_client_comes_with_what_it_said() -> None:
    async with desk() as (there, _, address):
        assert not there.waiting
        async with tcp.connect(address) as client:
            await client.send(b"Hello server!")
            connection = await there.next()
            assert connection.peer == client.local
            assert await connection.read(timeout=SOON) == b"Hello server!"


async def test_a_client_that_leaves_without_a_word_was_there_all_the_same() -> None:
    async with desk() as (there, _, address):
        async with tcp.connect(address):
            pass
        connection = await there.next()
        assert await connection.read(timeout=SOON) == b""


async def test_six_messages_in_a_row_arrive_one_by_one_and_in_order() -> None:
    async with desk() as (there, _, address), tcp.connect(address) as client:
        connection = await there.next()
        with pytest.raises(ReadTimeout) as caught:
            await connection.read(timeout=0)
        assert caught.value.partial == b""
        for number in range(6):
            await client.send_line(f"message {number}")
        for number in range(6):
            assert await connection.read_line(timeout=SOON) == f"message {number}"
        with pytest.raises(ReadTimeout):
            await connection.read_line(timeout=0)


async def test_what_a_client_said_before_it_left_is_still_read_and_then_the_end() -> None:
    async with desk() as (there, server, address):
        async with tcp.connect(address) as client:
            await client.send(b"last words")
        connection = await there.next()
        assert server.clients == (connection,), "it stays until it was heard"
        assert await connection.read_exactly(10, timeout=SOON) == b"last words"
        assert await connection.read(timeout=SOON) == b""
        there.dismiss(connection)
        await gone(server)
        assert not server.clients


async def test_the_size_of_a_read_is_a_limit_that_loses_nothing() -> None:
    async with desk() as (there, _, address), tcp.connect(address) as client:
        await client.send(b"0123456789")
        connection = await there.next()
        assert await connection.read(max_bytes=4, timeout=SOON) == b"0123"
        assert await connection.read(max_bytes=6, timeout=SOON) == b"456789"


async def test_the_server_sends_and_the_client_reads() -> None:
    async with desk() as (there, _, address), tcp.connect(address) as client:
        connection = await there.next()
        await connection.send(b"Hello client!")
        assert await client.read(timeout=SOON) == b"Hello client!"
        await connection.send_line("and in text: ü")
        assert await client.read_line(timeout=SOON) == "and in text: ü"


async def test_each_client_is_answered_on_its_own_connection() -> None:
    async with desk() as (there, server, address):
        async with tcp.connect(address) as one, tcp.connect(address) as two:
            await one.send(b"one")
            await two.send(b"two")
            connections = [await there.next(), await there.next()]
            assert set(server.clients) == set(connections)
            assert server.connections == 2
            assert {connection.peer for connection in connections} == {one.local, two.local}
            for connection in connections:
                said = await connection.read_exactly(3, timeout=SOON)
                await connection.send(said.upper())
            assert (await one.read(timeout=SOON), await two.read(timeout=SOON)) == (b"ONE", b"TWO")


async def test_a_connection_that_the_server_closes_ends_for_the_client_and_leaves_the_list() -> None:
    async with desk() as (there, server, address), tcp.connect(address) as client:
        await client.send(b"first")
        connection = await there.next()
        assert await connection.read(timeout=SOON) == b"first"
        await connection.close()
        there.dismiss(connection)
        await gone(server)
        assert server.clients == ()
        assert await client.read(timeout=SOON) == b""
        with pytest.raises(ConnectionLost):
            # The first may leave before the answer to it, a reset, is here.
            while True:
                await client.send(b"second")
        with pytest.raises(ClosedError):
            await connection.send(b"third")


async def test_a_server_that_has_said_all_still_hears_the_client() -> None:
    async with desk() as (there, server, address), tcp.connect(address) as client:
        connection = await there.next()
        await connection.send(b"all I had to say")
        await connection.send_eof()
        with pytest.raises(UsageError, match="after send_eof"):
            await connection.send(b"more")
        assert await client.read_until_eof(timeout=SOON) == b"all I had to say"
        await client.send(b"and I")
        assert await connection.read_exactly(5, timeout=SOON) == b"and I"
        assert server.connections == 1


async def test_a_server_that_reads_no_more_still_speaks_and_holds_no_more_than_its_limit() -> None:
    there = Desk()
    async with tcp.Server(there.handle, limits=Limits(read_buffer=1000)).listen("127.0.0.1:0") as listening:
        async with tcp.connect(str(listening.address)) as client:
            connection = await there.next()
            with pytest.raises(TimeoutError):
                await client.send(bytes(64 << 20), timeout=0.2)
            assert connection.buffered <= 1000 + (256 << 10)
            await connection.send(b"enough")
            assert await client.read(timeout=SOON) == b"enough"
            client.abort()
        there.dismiss(connection)


async def test_the_log_tells_where_it_listens_and_who_left_and_no_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def strict(connection: tcp.Connection) -> None:
        await connection.read_exactly(100)

    with caplog.at_level(logging.DEBUG, "wirelane"):
        async with tcp.Server(strict).listen("127.0.0.1:0") as listening:
            async with tcp.connect(str(listening.address)) as client:
                await client.send(b"a secret")
                peer = client.local
            await until(lambda: listening.stats.accepted and not listening.connections)
    lines = [
        record.getMessage() for record in caplog.records if record.name.startswith("wirelane.tcp.server")
    ]
    assert f"listening on {listening.address}" in lines
    assert any(line.startswith(f"a client left: {peer}: ") for line in lines)
    assert "a secret" not in caplog.text
