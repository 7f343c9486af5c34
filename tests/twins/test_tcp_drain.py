"""How a server drains: nobody who came before it is lost, and handlers can know: written once, run with asyncio and without."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from support.net_support import descriptors
from support.twins_support import Event, start, until
from twins.tcp_support import served, sockets
from wirelane import ConnectError, ConnectionLost, ReadTimeout, TlsConfig, tcp

if TYPE_CHECKING:
    from conftest import Certificates

LONG = 600.0


async def polite(connection: tcp.Connection) -> None:
    """Answer line by line, until there is no more."""
    while await connection.more():
        await connection.send_line(f"{await connection.read_line()}!")


async def test_a_handler_between_messages_learns_of_the_drain_and_ends() -> None:
    async with served(polite) as (listening, address), tcp.connect(address) as connection:
        await connection.send_line("one")
        assert await connection.read_line() == "one!"
        assert not listening.clients[0].draining
        await listening.drain(LONG)
        assert await connection.read() == b""
        assert listening.connections == 0


async def test_a_message_that_has_begun_is_answered_during_the_drain() -> None:
    async with served(polite) as (listening, address), tcp.connect(address) as connection:
        await connection.send(b"first\nsec")
        assert await connection.read_line() == "first!"
        draining = start(listening.drain, LONG)
        await until(lambda: listening.clients[0].draining)
        assert listening.state is tcp.ServerState.DRAINING
        await connection.send(b"ond\n")
        assert await connection.read_line() == "second!"
        await draining.result()
        assert await connection.read() == b""


async def test_a_message_that_nobody_has_read_yet_is_answered_during_the_drain() -> None:
    """It lies in the socket when the handler comes to ask for more."""
    begun, go_on = Event(), Event()
    asked: list[bool] = []

    async def slow(connection: tcp.Connection) -> None:
        await connection.read_line()
        begun.set()
        await go_on.wait()
        asked.append(connection.draining)
        await polite(connection)

    async with served(slow) as (listening, address), tcp.connect(address) as connection:
        await connection.send_line("one")
        await begun.wait()
        draining = start(listening.drain, LONG)
        await until(lambda: listening.state is tcp.ServerState.DRAINING)
        await connection.send_line("two")
        go_on.set()
        assert await connection.read_line() == "two!"
        await draining.result()
    assert asked == [True]


async def test_more_raises_when_the_connection_is_lost() -> None:
    async def cut(connection: tcp.Connection) -> None:
        await connection.read_line()
        connection.abort()

    async with served(cut) as (_, address), tcp.connect(address) as connection:
        await connection.send_line("now")
        with pytest.raises(ConnectionLost):
            await connection.more()


async def test_a_client_that_has_connected_is_served_by_a_server_that_drains() -> None:
    """Whether its server has come to accept it is none of its business."""
    before = await sockets()
    listening = await tcp.Server(polite).listen("127.0.0.1:0")
    address = ("127.0.0.1", listening.port)
    clients = [socket.create_connection(address) for _ in range(5)]
    for client in clients:
        client.sendall(b"me\n")
    await listening.drain(LONG)
    with pytest.raises(ConnectError):
        await tcp.connect(str(listening.address))
    for client in clients:
        with client:
            assert await asyncio.to_thread(client.recv, 100) == b"me!\n"
            assert await asyncio.to_thread(client.recv, 100) == b""
    assert listening.stats.accepted == 5
    await until(lambda: descriptors() <= before)


async def test_a_handshake_that_is_not_over_is_finished_by_a_server_that_drains(ca: Certificates) -> None:
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    listening = await tcp.Server(polite, tls=tls).listen("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", listening.port)) as slow:
        await until(lambda: listening.stats.handshakes == 1)
        draining = start(listening.drain, LONG)
        await until(lambda: listening.state is tcp.ServerState.DRAINING)
        context = ca.client_context()
        with await asyncio.to_thread(context.wrap_socket, slow, server_hostname="localhost") as secured:
            await asyncio.to_thread(secured.sendall, b"hello\n")
            assert await asyncio.to_thread(secured.recv, 100) == b"hello!\n"
            assert await asyncio.to_thread(secured.recv, 100) == b""
        await draining.result()
    assert listening.state is tcp.ServerState.CLOSED


async def test_a_silent_handshake_does_not_outlive_the_grace(ca: Certificates) -> None:
    before = await sockets()
    tls = TlsConfig(cert=ca.server_cert, key=ca.server_key)
    listening = await tcp.Server(polite, tls=tls).listen("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", listening.port)) as silent:
        await until(lambda: listening.stats.handshakes == 1)
        await listening.drain(0.01)
        assert await asyncio.to_thread(silent.recv, 1) == b""
    await until(lambda: descriptors() <= before)


async def test_a_drain_that_is_cut_short_by_another_ends_both() -> None:
    over = Event()

    async def endless(connection: tcp.Connection) -> None:
        await over.wait()

    async with served(endless) as (listening, address), tcp.connect(address) as connection:
        await until(lambda: listening.connections == 1)
        first = start(listening.drain, LONG)
        await until(lambda: listening.state is tcp.ServerState.DRAINING)
        await listening.drain(0.01)
        await first.result()
        assert listening.state is tcp.ServerState.CLOSED
        assert await connection.read() == b""
    over.set()


async def test_more_leaves_everything_where_it_is() -> None:
    async with served(polite) as (_, address), tcp.connect(address) as connection:
        with pytest.raises(ReadTimeout):
            await connection.more(timeout=0)
        waiting = start(connection.more)
        await connection.send_line("x")
        assert await waiting.result()
        assert await connection.more()
        assert await connection.more(timeout=0)
        assert connection.buffered == 3
        assert not connection.draining
        await connection.send_eof()
        assert await connection.read_line() == "x!"
        assert not await connection.more()
        assert await connection.read() == b""
