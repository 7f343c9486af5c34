"""Connections to plain peers, and servers: written once, run with asyncio and without."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from support.net_support import descriptors
from support.tcp_support import one_guest
from support.twins_support import elsewhere, until
from wirelane import BusyError, Limits, tcp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@asynccontextmanager
async def pair(
    *, server_tls: ssl.SSLContext | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[tcp.Connection, Any]]:
    """Connect to a plain server; gives our end and the other, a `support.tcp_support.Peer` elsewhere."""
    async with elsewhere(one_guest, server_tls) as (address, guest):
        async with tcp.connect(address, limits=limits, **options) as connection:
            yield connection, await guest.arrived()


@asynccontextmanager
async def served(
    handler: Callable[[tcp.Connection], Awaitable[None]], **options: Any
) -> AsyncIterator[tuple[tcp.Listening, str]]:
    """Run a `tcp.Server`; gives what listens, and its address."""
    listen_at = options.pop("listen_at", "127.0.0.1:0")
    async with tcp.Server(handler, **options).listen(listen_at) as listening:
        yield listening, str(listening.address)


async def sockets() -> int:
    """How many sockets this process has open, with those of what the first call of the library starts."""
    await tcp.Pool("localhost:1").close()
    return descriptors()


async def came(connection: tcp.Connection, size: int) -> None:
    """Wait until so many bytes are buffered."""
    await until(lambda: connection.buffered == size)


async def one_by_one(connection: tcp.Connection, peer: Any, *pieces: bytes) -> None:
    """Have the peer send pieces, each when the one before has arrived; the last one alone may end a read."""
    for piece in pieces[:-1]:
        size = connection.buffered + len(piece)
        await peer.say(piece)
        await came(connection, size)
    await peer.say(pieces[-1])


async def reads(connection: tcp.Connection) -> None:
    """Wait until a read waits for something to come."""

    def busy() -> bool:
        with suppress(BusyError):
            connection.unread(b"")
            return False
        return True

    await until(busy)
