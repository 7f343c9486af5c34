"""What `async for` goes over: lines, records, frames and chunks of a connection.

Their place is the connection's: reads in between go on where the iteration is, and the iteration goes on after them, and
after an error. All end where the stream ends in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from wirelane.core.delimiters import Available, ReadRule, TextLine, UpTo
from wirelane.core.lengthprefix import Frame
from wirelane.core.readbuffer import NO_LINES
from wirelane.errors import EndOfStream
from wirelane.tcp.alarm import Alarm

if TYPE_CHECKING:
    from typing import Self

    from wirelane.tcp.protocol import TcpProtocol

__all__ = ["Chunks", "Frames", "Lines", "Records"]

R = TypeVar("R", bound=ReadRule[object])


class _Connected(Protocol):
    """A connection, as far as it is needed."""

    _protocol: TcpProtocol


class _Reads(Generic[R]):
    """Reads of one rule on a connection, each with the same times.

    They ask the connection for its protocol each time: that of a pool takes it away at the end of the block.
    """

    __slots__ = ("_connection", "_idle_timeout", "_rule", "_timeout")

    def __init__(
        self, connection: _Connected, rule: R, timeout: float | None, idle_timeout: float | None
    ) -> None:
        if timeout is not None or idle_timeout is not None:
            Alarm(_nothing, connection._protocol.buffer, timeout, idle_timeout)  # refuses what are no times
        self._connection = connection
        self._rule = rule
        self._timeout = timeout
        self._idle_timeout = idle_timeout

    def __aiter__(self) -> Self:
        return self


class Lines(_Reads[TextLine]):
    """The lines of a connection; see `Connection.lines`.

    Lines that are ready here are on loan: whoever reads otherwise gets them.
    """

    __slots__ = ("_ready",)

    def __init__(
        self, connection: _Connected, rule: TextLine, timeout: float | None, idle_timeout: float | None
    ) -> None:
        super().__init__(connection, rule, timeout, idle_timeout)
        self._ready: deque[str] = NO_LINES

    async def __anext__(self) -> str:
        if self._ready:
            return self._ready.pop()
        return await self._next()

    async def _next(self) -> str:
        protocol = self._connection._protocol
        self._ready = protocol.lend_lines(self._rule)
        if self._ready:
            return self._ready.pop()
        line = protocol.take_ready(self._rule)
        if line is not None:
            return line
        try:
            return await protocol.read(self._rule, self._timeout, self._idle_timeout)
        except EndOfStream:
            if not len(protocol.buffer):
                raise StopAsyncIteration from None
            return self._rule.take_last(protocol.buffer)


class Records(_Reads[UpTo]):
    """What lies between markers on a connection; see `Connection.records`."""

    __slots__ = ()

    async def __anext__(self) -> bytes:
        protocol = self._connection._protocol
        record = protocol.take_ready(self._rule)
        if record is not None:
            return record
        try:
            return await protocol.read(self._rule, self._timeout, self._idle_timeout)
        except EndOfStream:
            if not len(protocol.buffer):
                raise StopAsyncIteration from None
            return protocol.buffer.take(self._rule.demand)


class Frames(_Reads[Frame]):
    """The frames on a connection; see `Connection.read_frames`."""

    __slots__ = ()

    async def __anext__(self) -> bytes:
        protocol = self._connection._protocol
        frame = protocol.take_ready(self._rule)
        if frame is not None:
            return frame
        try:
            return await protocol.read(self._rule, self._timeout, self._idle_timeout)
        except EndOfStream:
            if not len(protocol.buffer):
                raise StopAsyncIteration from None
            raise


class Chunks(_Reads[Available]):
    """What comes on a connection, as it comes; see `Connection.chunks`."""

    __slots__ = ()

    async def __anext__(self) -> bytes:
        chunk = await self._connection._protocol.read(self._rule, self._timeout, self._idle_timeout)
        if not chunk:
            raise StopAsyncIteration
        return chunk


def _nothing() -> None:
    """Nobody waits yet."""
