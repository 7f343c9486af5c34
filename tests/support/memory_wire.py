"""Two wires for a connection whose other end is the test itself: a transport in memory, and a pair of sockets.

Both take what the peer says piece by piece, keep what comes while reading is paused, and give it as one piece when it goes
on, as a kernel does.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol

from wirelane import tcp
from wirelane.core.limits import Limits
from wirelane.tcp.protocol import TcpProtocol


class Wire(Protocol):
    """The peer's end."""

    def say(self, data: bytes) -> None:
        """Send a piece."""

    def end(self) -> None:
        """Send the end of the stream."""

    def hang_up(self) -> None:
        """Give everything back."""


class MemoryWire(asyncio.Transport):
    """A transport that carries what `say` is given."""

    def __init__(self) -> None:
        super().__init__()
        self._protocol: TcpProtocol | None = None
        self._held = b""
        self._paused = self._ended = self._closing = False

    def attach(self, protocol: TcpProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)

    def say(self, data: bytes) -> None:
        self._held += data
        self._deliver()

    def end(self) -> None:
        self._ended = True
        self._deliver()

    def hang_up(self) -> None:
        self.abort()

    def _deliver(self) -> None:
        if self._protocol is None or self._paused or self._closing:
            return
        held, self._held = self._held, b""
        if held:
            self._protocol.data_received(held)
        if self._ended and not self._paused:
            self._ended = False
            self._protocol.eof_received()

    def pause_reading(self) -> None:
        assert not self._paused
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            if self._protocol is not None:
                asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is written here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class SocketWire:
    """One end of a pair of sockets; what the kernel does not take waits here."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._unsent = bytearray()
        self._ended = False

    def say(self, data: bytes) -> None:
        self._unsent += data
        self._flush()

    def end(self) -> None:
        self._ended = True
        self._flush()

    def hang_up(self) -> None:
        asyncio.get_running_loop().remove_writer(self._sock)
        self._sock.close()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        if self._unsent:
            loop.add_writer(self._sock, self._flush)
            return
        loop.remove_writer(self._sock)
        if self._ended:
            self._sock.shutdown(socket.SHUT_WR)


async def connected(kind: str, limits: Limits) -> tuple[tcp.Connection, Wire]:
    """Return a connection and the wire of its peer: "memory" or "sockets"."""
    if kind == "memory":
        wire = MemoryWire()
        protocol = TcpProtocol(limits)
        wire.attach(protocol)
        return tcp.Connection(protocol), wire
    ours, theirs = socket.socketpair()
    _, protocol = await asyncio.get_running_loop().create_connection(lambda: TcpProtocol(limits), sock=ours)
    return tcp.Connection(protocol), SocketWire(theirs)
