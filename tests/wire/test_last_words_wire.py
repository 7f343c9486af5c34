"""A client that broke the rules hears why, even while it goes on sending; and is gone in the end, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hpack

from support.server_support import until
from support.wire_support import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    REQUEST,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from wirelane.core.limits import Limits
from wirelane.core.target import HostPort
from wirelane.status import StatusCode
from wirelane.transport.base import CallHandler, ServerStream
from wirelane.transport.server import serve
from wirelane.transport.serving import Serving

HELLO = PREFACE + frame(SETTINGS, 0, 0)
WRONG = frame(DATA, 0, 0, b"x")
GOAWAY = b"\7\0\0\0\0\0"


def no_call(stream: ServerStream) -> None:
    raise AssertionError(f"nobody calls here: {stream!r}")


@asynccontextmanager
async def connected(
    limits: Limits, on_call: CallHandler = no_call
) -> AsyncIterator[tuple[Serving, socket.socket]]:
    serving = await serve(HostPort("127.0.0.1", 0), on_call, limits=limits)
    with socket.socket() as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", serving.port))
        try:
            yield serving, client
        finally:
            serving.close()
            client.close()
            await serving.wait_closed()


async def heard(client: socket.socket) -> bytes:
    """All that the server says until it says no more."""
    octets = b""
    while data := await asyncio.get_running_loop().sock_recv(client, 65_536):
        octets += data
    return octets


async def test_the_goaway_arrives_although_much_of_what_the_client_sent_was_never_read() -> None:
    async with connected(Limits()) as (_, client):
        # Far more than is read at once: closing with this unread would make the kernel drop the GOAWAY.
        await asyncio.get_running_loop().sock_sendall(client, HELLO + WRONG + bytes(1_000_000))
        assert GOAWAY in await heard(client)


async def test_what_the_client_still_sends_is_dropped_and_not_acted_on() -> None:
    async with connected(Limits()) as (serving, client):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, HELLO + WRONG)
        assert GOAWAY in await heard(client)
        await loop.sock_sendall(client, WRONG * 1000)
        client.shutdown(socket.SHUT_WR)
        await until(lambda: not serving.connections)
        assert serving.refusals == {"connections": 1}


async def test_a_client_that_stays_is_cut_in_time() -> None:
    async with connected(Limits(close_timeout=0.1)) as (serving, client):
        await asyncio.get_running_loop().sock_sendall(client, HELLO + WRONG)
        assert GOAWAY in await heard(client)
        await until(lambda: not serving.connections)


async def test_a_client_that_sends_without_end_is_cut_in_time() -> None:
    async with connected(Limits(close_timeout=0.1)) as (serving, client):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, HELLO + WRONG)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                while serving.connections:
                    await loop.sock_sendall(client, bytes(65_536))
        await until(lambda: not serving.connections)


async def test_a_connection_that_is_closed_in_order_does_not_linger() -> None:
    async with connected(Limits(close_timeout=3600.0)) as (serving, client):
        await asyncio.get_running_loop().sock_sendall(client, HELLO)
        await until(lambda: len(serving.connections) == 1)
        (connection,) = serving.connections
        await connection.close()
        assert not serving.connections


async def test_what_a_client_still_sends_is_taken_in_however_much_it_is() -> None:
    async with connected(Limits()) as (serving, client):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, HELLO + WRONG)
        assert GOAWAY in await heard(client)
        for _ in range(2):
            await loop.sock_sendall(client, bytes(5_000_000))
        client.shutdown(socket.SHUT_WR)
        await until(lambda: not serving.connections)


async def test_an_answer_reaches_a_slow_client_of_a_server_that_drains() -> None:
    size = 16_000_000

    def answer(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=bytes(size))

    windows = frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(WINDOW_UPDATE, 0, 0, b"\x7f\0\0\0")
    head = frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack.Encoder().encode(REQUEST))
    async with connected(Limits(max_send_buffer=2 * size, close_timeout=60.0), answer) as (serving, client):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, PREFACE + windows + head)
        await until(lambda: any(connection.engine.last_peer_stream for connection in serving.connections))
        (connection,) = serving.connections
        connection.drain(final=True)
        octets = 0
        while data := await loop.sock_recv(client, 65_536):
            octets += len(data)
            # As a client does whose link carries 6 MB in a second.
            await asyncio.sleep(0.01)
        assert octets > size
