"""Messages of one direction of one call: octets in, whole messages out, window given back as they are taken."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from wirelane.core.framing import MessageReader
from wirelane.errors import BusyError, LimitExceeded, PeerError
from wirelane.transport.protocol import wait_for

if TYPE_CHECKING:
    from wirelane.http2 import Stream
    from wirelane.transport.base import Part

__all__ = ["Inbox"]


class Inbox:
    """A queue of messages with flow control.

    The octets of whole messages are given back to the peer when the message is taken; those of an incomplete one at
    once if it is the next to be taken, or a message larger than the window could never arrive. So a reader that stops
    holds at most one window and one message.

    Attributes:
        closed: No more messages will arrive.
    """

    __slots__ = ("_early", "_held", "_messages", "_reader", "_stream", "_waiter", "closed")

    def __init__(self, stream: Stream, limit: int) -> None:
        self._stream = stream
        self._reader = MessageReader(limit)
        self._messages: deque[Part] = deque()
        self._waiter: asyncio.Future[None] | None = None
        # Octets of the next message given back before it was complete, to be taken off when it is taken.
        self._early = 0
        # Octets of the incomplete message not given back, because whole ones wait before it.
        self._held = 0
        self.closed = False

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be given out: closed, and everything was taken."""
        return self.closed and not self._messages

    @property
    def incomplete(self) -> bool:
        """Whether the octets so far end inside a message."""
        return self._reader.pending > 0

    def feed(self, data: bytes) -> None:
        """Add octets of DATA.

        Raises:
            LimitExceeded, PeerError: What MessageReader raises.
        """
        try:
            messages = self._reader.feed(data)
        except (LimitExceeded, PeerError):
            # What came whole before the fault is still given out, wherever the network cut the octets.
            self._messages.extend(self._reader.completed)
            raise
        if messages:
            self._messages.extend(messages)
            self._held = self._reader.pending
            self.wake()
        elif self._messages:
            self._held += len(data)
        elif data:
            self._early += len(data)
            self._stream.return_window(len(data))

    def take(self) -> Part | None:
        """Return the next message if it is here."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        size = len(message[1]) + 5 - self._early
        self._early = 0
        if self._held and not self._messages:
            # The incomplete message is the next one now.
            size += self._held
            self._early, self._held = self._held, 0
        self._stream.return_window(size)
        return message

    async def receive(self) -> Part | None:
        """Return the next message; None when there are no more. Cancel-safe.

        Raises:
            BusyError: Another task waits here.
        """
        while not self._messages:
            if self.closed:
                return None
            if self._waiter is not None:
                raise BusyError("another task is already waiting for a message of this call")
            await wait_for(self, "_waiter", asyncio.get_running_loop().create_future())
        return self.take()

    def close(self, *, discard: bool = False) -> None:
        """No more will arrive; `discard` also drops what was not taken."""
        self.closed = True
        if discard:
            self._messages.clear()
        self.wake()

    def wake(self) -> None:
        """Wake the waiting task."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
