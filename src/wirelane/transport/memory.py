"""Two connections in one process, joined without sockets.

`pipe` is a pair of asyncio transports in memory with real flow control and close semantics; `pair` puts a client and a
server connection on it. The connections are the same classes that serve sockets, so the memory transport behaves
as they do by construction, and the transport suite runs over both.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from wirelane.core.limits import Limits
from wirelane.transport.client import H2ClientConnection
from wirelane.transport.server import H2ServerConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirelane.transport.base import CallHandler

__all__ = ["MemoryTransport", "pair", "pipe"]

_HIGH = 64 * 1024  # asyncio's default high-water mark


class MemoryTransport(asyncio.Transport):
    """One end of a pipe: what is written here is received there, in a later turn of the loop."""

    def __init__(self, protocol: asyncio.Protocol, name: str) -> None:
        super().__init__({"peer_text": name})
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.BaseProtocol = protocol
        self._other: MemoryTransport | None = None
        self._buffer: deque[bytes] = deque()
        self._size = 0
        self._high, self._low = _HIGH, _HIGH // 4
        self._reading = True
        self._writing_paused = False
        self._closing = False
        self._eof = False
        self._lost = False
        self._scheduled = False

    def join(self, other: MemoryTransport) -> None:
        """Name the other end, and tell the protocol."""
        self._other = other
        self._loop.call_soon(self._protocol.connection_made, self)

    # Writing

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing or self._eof or self._lost or not data:
            return
        self._buffer.append(bytes(data))
        self._size += len(data)
        if self._size > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()
        self._schedule()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._eof = True
        self._schedule()

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._size

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hand over what was written, if the other end reads."""
        self._scheduled = False
        other = self._other
        if other is None or self._lost:
            return
        if other._lost:
            # As with a socket: only octets that nobody will read make it an error.
            self._lose(ConnectionResetError("the other end is closed") if self._buffer else None)
            return
        if self._buffer and other.is_reading():
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._size = 0
            if self._writing_paused and self._low >= 0:
                self._writing_paused = False
                self._protocol.resume_writing()
            if isinstance(other._protocol, asyncio.Protocol):
                other._protocol.data_received(data)
        if not self._buffer and (self._eof or self._closing):
            self._finish(other)

    def _finish(self, other: MemoryTransport) -> None:
        if (
            not other._lost
            and isinstance(other._protocol, asyncio.Protocol)
            and not other._protocol.eof_received()
        ):
            other.close()
        if self._closing:
            self._lose(None)

    # Reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        if self._other is not None:
            self._other._schedule()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    # The end

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._schedule()

    def abort(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._size = 0
        self._lose(None)
        if self._other is not None:
            self._other._lose(ConnectionResetError("the other end was aborted"))

    def _lose(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, exc)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


def pipe(first: asyncio.Protocol, second: asyncio.Protocol) -> tuple[MemoryTransport, MemoryTransport]:
    """Join two protocols; each is told of its transport in the next turn of the loop."""
    one, two = MemoryTransport(first, "memory:server"), MemoryTransport(second, "memory:client")
    one.join(two)
    two.join(one)
    return one, two


async def pair(
    on_call: CallHandler, *, client_limits: Limits | None = None, server_limits: Limits | None = None
) -> tuple[H2ClientConnection, H2ServerConnection]:
    """Return a client connection that is ready, and the server connection at its other end."""
    client = H2ClientConnection(client_limits or Limits(), target="memory")
    server = H2ServerConnection(server_limits or Limits(), on_call)
    pipe(client, server)
    await client.wait_ready()
    return client, server
