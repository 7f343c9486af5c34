"""The sending side of a connection: messages in turn, whole, and no faster than the peer takes them.

Contract:

- Sends are written whole and in the order in which they were called; each waits while the transport's buffer is
  above its limit, so that this buffer never holds more than the limit and one slice.
- A send that ends half-way (timeout, cancellation) leaves the sending side broken for good: the peer could not tell
  where the next message starts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.errors import ClosedError, SendTimeout, UsageError

if TYPE_CHECKING:
    from wirelane.tcp.protocol import TcpProtocol

__all__ = ["TURNS_TO_LOOK", "Data", "Sender", "to_bytes"]

Data = bytes | bytearray | memoryview

TURNS_TO_LOOK = 3
"""What `timeout=0` waits: asyncio runs the callbacks of a socket one turn after it polled it, TLS may take another."""

# What is given to the transport at a time: a long message is not copied into its buffer as a whole.
_SLICE = 256 * 1024


class Sender:
    """What `TcpProtocol` knows about sending.

    Attributes:
        busy: Somebody has the turn.
        congested: The transport's buffer is above its limit.
        broken: Why nothing can be sent any more, after a message that left in part.
        eof_sent: This direction was ended in order.
        writes: How many pieces were given to the transport.
    """

    def __init__(self, protocol: TcpProtocol) -> None:
        self.busy = False
        self.congested = False
        self.broken: str | None = None
        self.eof_sent = False
        self.writes = 0
        self._protocol = protocol
        self._inside = False
        self._turns: deque[asyncio.Future[None]] = deque()
        self._relief: asyncio.Future[None] | None = None

    async def send(self, data: bytes, timeout: float | None) -> None:
        """Write `data`, after all that was sent before it, and wait until flow control lets more follow.

        Raises:
            ClosedError, ConnectionLost, SendTimeout, UsageError (after `send_eof`).
        """
        deadline = Deadline.after(timeout)
        await self._learn_of_loss()
        self.check()
        written = 0
        if not self.busy and not self.congested and len(data) <= _SLICE:
            if self._write(data):
                return
            written = len(data)
            self.busy = True
        elif not await self._turn(deadline):
            raise SendTimeout(f"not sent within {timeout:g} s: others are sending", unsent=len(data))
        await self._write_slices(data, written, deadline, timeout)

    async def send_eof(self) -> None:
        """End the sending side in order, after all that was sent. Quiet the second time."""
        protocol = self._protocol
        if self.eof_sent and not protocol.closed:
            return
        await self._learn_of_loss()
        self.check()
        if not protocol.wire.can_write_eof():
            raise UsageError("this connection cannot end one direction alone; close() ends both")
        await self._turn(None)
        try:
            self.check()
            protocol.wire.write_eof()
            self.eof_sent = True
        except OSError as error:  # the peer has reset it, and the loop has not noticed yet
            protocol.lost_by(error)
            raise protocol.loss() from error
        finally:
            self.end_turn()

    @property
    def cut_short(self) -> bool:
        """Whether part of a message has left and the rest will not, if this is the end."""
        return self.broken is not None or self._inside

    def check(self) -> None:
        """Raise what stands against sending."""
        protocol = self._protocol
        if protocol.closed:
            raise ClosedError("the connection was closed on this side")
        if self.broken is not None:
            raise ClosedError(f"this connection can send no more: {self.broken}")
        if self.eof_sent:
            raise UsageError("nothing can be sent after send_eof()")
        if protocol.lost or protocol.wire.is_closing():
            raise protocol.loss()

    def wake(self) -> None:
        """Let the one who waits for flow control look again: it may go on, or must not any more."""
        if self._relief is not None and not self._relief.done():
            self._relief.set_result(None)

    def end_turn(self) -> None:
        """Hand the turn to the next one that waits. It stays taken meanwhile: nobody jumps the queue."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.busy = False

    def _write(self, data: bytes | memoryview) -> bool:
        """Give data to the transport. Returns whether it takes more at once."""
        self.writes += 1
        self._protocol.wire.write(data)
        return not self.congested

    async def _learn_of_loss(self) -> None:
        # A write that failed closes the transport at once, but tells why only one turn later.
        protocol = self._protocol
        if not protocol.closed and not protocol.lost and protocol.wire.is_closing():
            await asyncio.sleep(0)

    async def _write_slices(
        self, data: bytes, written: int, deadline: Deadline | None, timeout: float | None
    ) -> None:
        """Send `data` from `written` on; it is this call's turn, which ends here."""
        begun = written > 0
        try:
            if not begun:
                self.check()  # those before may have changed it
            view = memoryview(data)
            while True:
                if not await self._relieved(deadline):
                    raise self._late(begun, timeout, len(data) - written, len(data))
                if written == len(data):
                    return
                begun = self._inside = True
                piece = view[written : written + _SLICE]
                self._write(piece)
                written += len(piece)
                self._inside = written < len(data)
        except asyncio.CancelledError:
            if begun and written < len(data):
                self.broken = f"a send was cancelled after {written} of {len(data)} bytes"
            raise
        finally:
            self._inside = False
            self.end_turn()

    def _late(self, begun: bool, timeout: float | None, unwritten: int, size: int) -> SendTimeout:
        unsent = min(size, unwritten + self._protocol.wire.get_write_buffer_size())
        if begun:
            self.broken = "a send timed out after part of it may have left"
        text = f"not sent within {timeout:g} s: the peer does not read; {unsent} of {size} bytes are left"
        return SendTimeout(text, unsent=unsent)

    async def _turn(self, deadline: Deadline | None) -> bool:
        """Wait until nobody else is sending, first come, first served. False when time is up."""
        if not self.busy:
            self.busy = True
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            return await _in_time(turn, deadline)
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.end_turn()
            raise
        finally:
            if turn in self._turns:
                self._turns.remove(turn)

    async def _relieved(self, deadline: Deadline | None) -> bool:
        """Wait until the transport takes more. False when time is up. Raises ConnectionLost, ClosedError."""
        protocol = self._protocol
        while self.congested and not protocol.lost and not protocol.closed:
            self._relief = asyncio.get_running_loop().create_future()
            try:
                if not await _in_time(self._relief, deadline) and self.congested:
                    return False
            finally:
                self._relief = None
        if protocol.closed:
            raise ClosedError("the connection was closed on this side")
        if protocol.lost:
            raise protocol.loss()
        return True


async def _in_time(future: asyncio.Future[None], deadline: Deadline | None) -> bool:
    """Wait for a future until the deadline. One that has passed still gets the turns that a look takes."""
    if deadline is None:
        await future
        return True
    for _ in range(TURNS_TO_LOOK if deadline.expired() else 0):
        await asyncio.sleep(0)
    if not future.done():
        await asyncio.wait((future,), timeout=deadline.remaining())
    return future.done()


def to_bytes(data: Data) -> bytes:
    """Return what is to be sent. Raises UsageError if it is no bytes."""
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise UsageError(
            f"what is sent must be bytes, not {type(data).__name__}; send_line takes text"
        ) from error
