"""The stream to a proxy while the tunnel is asked for, and its handing over to who speaks through it.

It reads on demand and bounded: what comes behind the proxy's answer waits here, at most `_MOST` and what one read of
the socket brought, and is given to the next protocol before anything else.
"""

from __future__ import annotations

import asyncio
from typing import cast

from wirelane.errors import ConnectionLost, PeerError
from wirelane.net.connect import describe_os_error
from wirelane.net.tlslayer import TlsTransport

__all__ = ["Tunnel"]

_MOST = 64 * 1024  # as much as a TCP read gathers by default


class Tunnel(asyncio.Protocol):
    """A protocol to talk with a proxy: `write`, `read_exactly` and `read`, by one task; then `put` another on its transport."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._ends: dict[str, object] = {}
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._heard = False
        self._ended = False
        self._lost = False
        self._error: Exception | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ends = {name: transport.get_extra_info(name) for name in ("peername", "sockname")}

    def data_received(self, data: bytes) -> None:
        self._heard = True
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
        """Send a request; it is small, and the socket's own buffer takes it. That the proxy is gone, reading tells."""
        if self._transport is not None and not self._transport.is_closing():
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
                raise ConnectionLost(f"connection lost: {describe_os_error(self._error)}") from self._error
            when = "before its answer was complete" if self._heard else "without an answer"
            raise PeerError(f"it closed the connection {when}")
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
        if isinstance(transport, TlsTransport):
            transport.conceal()
        if self._lost:
            transport = _Gone(self._ends)
        transport.set_protocol(protocol)
        if self._paused and not self._ended and not transport.is_closing():
            transport.resume_reading()  # first, as the protocol may pause it; nothing comes before the next turn
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(bytes(self._buffer))
            self._buffer.clear()
        if self._lost:
            protocol.connection_lost(self._error)
        elif self._ended and not protocol.eof_received() and not transport.is_closing():
            transport.close()
        return transport

    async def close(self) -> None:
        """Nothing: whoever opened the tunnel cuts it when it does not come about."""

    def abort(self) -> None:
        """Cut the connection to the proxy."""
        if self._transport is not None and not self._lost:
            self._transport.abort()


class _Gone(asyncio.Transport):
    """What a protocol gets for a connection that is lost already, but has said something: uvloop's own would raise."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return True

    def is_reading(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Nothing: nothing comes."""

    def resume_reading(self) -> None:
        """Nothing: nothing comes."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop it, as any transport does that is lost."""

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing: it is ended."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing: nothing is kept."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        """Nothing: it is closed."""

    def abort(self) -> None:
        """Nothing: it is closed."""
