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
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from wirelane.core.deadline import Deadline
from wirelane.errors import ClosedError, SendTimeout, UsageError
from wirelane.net.vectored import WORTH_A_BUFFER, write_parts

if TYPE_CHECKING:
    from wirelane.tcp.protocol import TcpProtocol

__all__ = ["SLICE", "TURNS_TO_LOOK", "Data", "Piece", "Sender", "batches", "frozen", "to_bytes"]

TURNS_TO_LOOK = 3
"""What `timeout=0` waits: asyncio runs the callbacks of a socket one turn after it polled it, TLS may take another."""

SLICE = 256 * 1024
"""What is given to the transport at a time: a long message is not copied into its buffer as a whole."""

Data = bytes | bytearray | memoryview

Piece = bytes | memoryview
"""What nobody can change: bytes, or a view of bytes."""


class Sender:
    """What `TcpProtocol` knows about sending. For a message there is `send`; `begin`, `write`, `relieved`, `late` are its parts.

    Attributes:
        busy: Somebody has the turn.
        congested: The transport's buffer is above its limit.
        broken: Why nothing can be sent any more, after a message that left in part.
        eof_sent: This direction was ended in order.
        inside: Part of a message was written, and the rest was not yet.
        writes: How many pieces were given to the transport.
    """

    __slots__ = (
        "_protocol",
        "_relief",
        "_turns",
        "broken",
        "busy",
        "congested",
        "eof_sent",
        "inside",
        "writes",
    )

    def __init__(self, protocol: TcpProtocol) -> None:
        self.busy = False
        self.congested = False
        self.broken: str | None = None
        self.eof_sent = False
        self.writes = 0
        self._protocol = protocol
        self.inside = False
        self._turns: deque[asyncio.Future[None]] | None = None
        self._relief: asyncio.Future[None] | None = None

    async def send(self, data: Piece, timeout: float | None) -> None:
        """Write `data`, after all that was sent before it, and wait until flow control lets more follow.

        Raises:
            ClosedError, ConnectionLost, SendTimeout, UsageError (after `send_eof`).
        """
        if len(data) > SLICE or self.busy or self.congested:
            await self.send_parts((data,), len(data), timeout)
            return
        deadline = None if timeout is None else Deadline.after(timeout)
        wire = self._protocol.wire
        if self._protocol.closed or self.broken is not None or self.eof_sent or wire.is_closing():
            await self._refuse()
        self.writes += 1
        wire.write(data)
        if self.congested or wire.is_closing():
            self.busy = True
            try:
                await self._finish(len(data), len(data), deadline, timeout)
            finally:
                self.end_turn()

    async def send_parts(self, parts: Iterable[Piece], size: int, timeout: float | None) -> None:
        """The same, for a message in parts that have `size` bytes together."""
        deadline = Deadline.after(timeout)
        await self.begin(deadline, timeout, size)
        written = 0
        try:
            for batch in batches(parts):
                if not await self.relieved(deadline):
                    raise self.late(written > 0, timeout, size - written, size)
                written += self.write(batch)
                self.inside = written < size
            await self._finish(written, size, deadline, timeout)
        except asyncio.CancelledError:
            if 0 < written < size:
                self.broken = f"a send was cancelled after {written} of {size} bytes"
            raise
        finally:
            self.inside = False
            self.end_turn()

    async def begin(self, deadline: Deadline | None, timeout: float | None, size: int) -> None:
        """Wait for the turn to send a message; who has it ends it, with `end_turn`."""
        await self._learn_of_loss()
        self.check()
        if not await self._turn(deadline):
            text = f"not sent within {timeout:g} s: others are sending"
            raise SendTimeout(self._protocol.told(text), unsent=size)
        try:
            self.check()  # those before may have changed it
        except BaseException:
            self.end_turn()
            raise

    async def send_eof(self) -> None:
        """End the sending side in order, after all that was sent. Quiet the second time."""
        protocol = self._protocol
        if self.eof_sent and not protocol.closed:
            return
        if not protocol.closed and not protocol.wire.can_write_eof():
            raise UsageError("this connection cannot end one direction alone; close() ends both")
        await self.begin(None, None, 0)
        try:
            protocol.wire.write_eof()
            self.eof_sent = True
        except OSError as error:  # the peer has reset it, and the loop has not noticed yet
            self.lost_by(error)
        finally:
            self.end_turn()

    @property
    def wire(self) -> asyncio.Transport:
        """The transport."""
        return self._protocol.wire

    @property
    def cut_short(self) -> bool:
        """Whether part of a message has left and the rest will not, if this is the end."""
        return self.broken is not None or self.inside

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

    def lost_by(self, error: OSError) -> NoReturn:
        """End a connection of which the system says this, which the transport has not noticed. Raises ConnectionLost."""
        self._protocol.lost_by(error)
        self._protocol.abort_lost()
        raise self._protocol.loss() from error

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

    def write(self, batch: Sequence[Piece]) -> int:
        """Give pieces to the transport. Returns how many bytes they have."""
        self.writes += 1
        wire = self._protocol.wire
        if len(batch) == 1:
            wire.write(batch[0])
            return len(batch[0])
        size = sum(map(len, batch))
        if size >= WORTH_A_BUFFER * len(batch):
            write_parts(wire, batch)
        else:
            wire.write(b"".join(batch))
        return size

    async def _learn_of_loss(self) -> None:
        # A write that failed closes the transport at once, but tells why only one turn later.
        protocol = self._protocol
        if not protocol.closed and not protocol.lost and protocol.wire.is_closing():
            await asyncio.sleep(0)

    async def _refuse(self) -> None:
        """Raise why nothing can be sent."""
        await self._learn_of_loss()
        self.check()

    async def _finish(
        self, written: int, size: int, deadline: Deadline | None, timeout: float | None
    ) -> None:
        """Wait until flow control is satisfied with a message that is written; find out whether it broke the connection."""
        if not await self.relieved(deadline):
            raise self.late(written > 0, timeout, size - written, size)

    def late(self, begun: bool, timeout: float | None, unwritten: int, size: int) -> SendTimeout:
        """Return what to raise when time is up; once a message has begun, it breaks the sending side."""
        unsent = min(size, unwritten + self._protocol.wire.get_write_buffer_size())
        if begun:
            self.broken = "a send timed out after part of it may have left"
        text = f"not sent within {timeout:g} s: the peer does not read; {unsent} of {size} bytes are left"
        return SendTimeout(self._protocol.told(text), unsent=unsent)

    async def _turn(self, deadline: Deadline | None) -> bool:
        """Wait until nobody else is sending, first come, first served. False when time is up."""
        if not self.busy:
            self.busy = True
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._turns is None:
            self._turns = deque()
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

    async def relieved(self, deadline: Deadline | None) -> bool:
        """Wait until the transport takes more. False when time is up. Raises ConnectionLost, ClosedError."""
        protocol = self._protocol
        while self.congested and not protocol.lost and not protocol.closed:
            self._relief = asyncio.get_running_loop().create_future()
            try:
                if not await _in_time(self._relief, deadline) and self.congested:
                    return False
            finally:
                self._relief = None
        await self._learn_of_loss()
        if protocol.closed:
            raise ClosedError("the connection was closed on this side")
        if protocol.lost or protocol.wire.is_closing():
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


def batches(parts: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Cut a message into lists of pieces that have at most `SLICE` bytes together; without copying, and without empty ones."""
    batch: list[Piece] = []
    room = SLICE
    for part in parts:
        start, size = 0, len(part)
        while start < size:
            taken = min(room, size - start)
            batch.append(part if taken == size else memoryview(part)[start : start + taken])
            start += taken
            room -= taken
            if not room:
                yield batch
                batch, room = [], SLICE
    if batch:
        yield batch


def frozen(data: Data) -> Piece:
    """Return data as nobody can change it: itself where that is so, else a copy. Raises UsageError if it is no bytes."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, memoryview) and type(data.obj) is bytes and data.c_contiguous:
        return data.cast("B")
    return to_bytes(data)


def to_bytes(data: Data) -> bytes:
    """Return what is to be sent. Raises UsageError if it is no bytes."""
    try:
        return bytes(memoryview(data))
    except TypeError as error:
        raise UsageError(
            f"what is sent must be bytes, not {type(data).__name__}; send_line takes text"
        ) from error
