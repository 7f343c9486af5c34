"""Waits and handlers of a server that are cancelled. How it drains is in tests/twins."""

from __future__ import annotations

import asyncio
import socket

import pytest

from support.net_support import descriptors, descriptors_back
from support.tcp_support import served, turns
from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.errors import ConnectError, ReadTimeout

LONG = 600.0


async def polite(connection: tcp.Connection) -> None:
    """Answer line by line, until there is no more."""
    while await connection.more():
        await connection.send_line(f"{await connection.read_line()}!")


async def test_more_leaves_everything_where_it_is_and_is_cancel_safe() -> None:
    async with served(polite) as (_, address), tcp.connect(address) as connection:
        with pytest.raises(ReadTimeout):
            await connection.more(timeout=0)
        waiting = asyncio.create_task(connection.more())
        await turns(3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await connection.send_line("x")
        assert await connection.more()
        assert await connection.more(timeout=0)
        assert connection.buffered == 3
        assert not connection.draining
        await connection.send_eof()
        assert await connection.read_line() == "x!"
        assert not await connection.more()
        assert await connection.read() == b""


async def test_a_handler_that_was_cancelled_before_it_began_leaves_no_connection() -> None:
    before = descriptors()
    ran: list[tcp.Connection] = []

    async def handler(connection: tcp.Connection) -> None:
        ran.append(connection)
        await connection.read()

    for turns_before in range(6):
        listening = await tcp.Server(handler, limits=Limits(close_timeout=LONG)).listen("127.0.0.1:0")
        with socket.create_connection(("127.0.0.1", listening.port)):
            await turns(turns_before)
            await listening.drain(0)
            await descriptors_back(before + 1)
    await descriptors_back(before)


async def test_a_client_that_waits_to_be_accepted_is_served_by_a_server_that_drains() -> None:
    """It has connected, and spoken; that its server had not come to accept it is none of its business."""
    before = descriptors()
    listening = await tcp.Server(polite).listen("127.0.0.1:0")
    address = ("127.0.0.1", listening.port)
    clients = [socket.create_connection(address) for _ in range(5)]
    for client in clients:
        client.sendall(b"me\n")
    assert listening.connections == 0
    await listening.drain(LONG)
    with pytest.raises(ConnectError):
        await tcp.connect(str(listening.address))
    for client in clients:
        with client:
            assert await asyncio.to_thread(client.recv, 100) == b"me!\n"
            assert await asyncio.to_thread(client.recv, 100) == b""
    assert listening.stats.accepted == 5
    await descriptors_back(before)
