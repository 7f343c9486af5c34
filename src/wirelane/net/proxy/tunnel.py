"""The stream to a proxy while the tunnel is asked for, and its handing over to who speaks through it.

It reads on demand and bounded: what comes behind the proxy's answer waits here, at most `_MOST` and what one read of
the socket brought, and is given to the next protocol before anything else.
"""

from __future__ import annotations

import asyncio
from typing import cast

from wirelane.errors import ConnectionLost, PeerError
from wirelane.net.connect import describe_os_error

__all__ = ["Tunnel"]

_MOST = 64 * 1024  # as much as a TCP read gathers by default


class Tunnel(asyncio.Protocol):
    """A protocol to talk with a proxy: `write`, `read_exactly` and `read`, by one task; then `put` another on its transport."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._ended = False
        self._lost = False
        self._error: Exception | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MOST and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return True  # what came before may be the answer, and the server may have said all it had to say

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what is said to the proxy

    async def write(self, data: bytes) -> None:
        """Send a request; it is small, and the socket's own buffer takes it."""
        if self._transport is not None:
            self._transport.write(data)

    async def read_exactly(self, n: int) -> bytes:
        """Return the next `n` bytes. Raises PeerError if the proxy ends first, ConnectionLost if it cuts."""
        while len(self._buffer) < n:
            await self._more()
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def read(self) -> bytes:
        """Return what is there, waiting for at least one byte. Raises as `read_exactly`."""
        while not self._buffer:
            await self._more()
        return await self.read_exactly(len(self._buffer))

    def unread(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._buffer[:0] = data

    async def _more(self) -> None:
        if self._ended:
            if self._error is not None:
                text = f"connection lost: {describe_os_error(self._error)}"
                raise ConnectionLost(text, partial=bytes(self._buffer)) from self._error
            raise PeerError(f"it closed the connection after {len(self._buffer)} bytes of its answer")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # -- what goes through the tunnel

    async def put(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the transport to `protocol`, and to it what has come behind the proxy's answer."""
        transport = self._transport
        assert transport is not None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(bytes(self._buffer))
            self._buffer.clear()
        if self._lost:
            protocol.connection_lost(self._error)
        elif self._ended:
            if not protocol.eof_received() and not transport.is_closing():
                transport.close()
        elif self._paused and not transport.is_closing():
            transport.resume_reading()
        return transport

    async def close(self) -> None:
        """Nothing: whoever opened the tunnel cuts it when it does not come about."""

    def abort(self) -> None:
        """Cut the connection to the proxy."""
        if self._transport is not None and not self._lost:
            self._transport.abort()
