"""What the calls of both ends share: octets in, whole messages out, the window given back as they are taken.

The window is given back to the peer when a message is taken. A message larger than the window can arrive only because it
is waited for: then as much more is given ahead as it needs. So a reader that stops holds one window and no more, and one
that waits one message besides.

Most DATA frames hold exactly one message: it goes from the frame to the queue with nothing in between. A
`MessageReader` is made for the first one that does not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final

from wirelane.core.framing import BATCH, PREFIX, MessageReader
from wirelane.errors import BusyError, LimitExceeded, PeerError
from wirelane.http2 import Stream
from wirelane.transport.protocol import BURST, wait_for

if TYPE_CHECKING:
    from wirelane.transport.base import Part
    from wirelane.transport.protocol import H2Protocol

__all__ = ["CallStream"]

# Messages that the streams of a connection may gather as objects.
_MANY: Final = 65_536
_unpack_prefix: Final = Struct(">BI").unpack_from
# Octets of one DATA frame that are padding and its length (RFC 9113 section 6.1).
_MOST_PADDING: Final = 256


class CallStream(Stream):
    """A stream of messages."""

    __slots__ = (
        "_ahead",
        "_all_in",
        "_messages",
        "_owner",
        "_reader",
        "_receiver",
        "_send_waiter",
        "_waited",
        "_whole",
    )

    def __init__(self, owner: H2Protocol) -> None:
        super().__init__(owner.engine)
        self._owner = owner
        self._messages: deque[Part] | None = None
        self._reader: MessageReader | None = None
        self._all_in = False
        # Octets of the window given ahead for the message that is waited for, to be taken off when it is taken.
        self._ahead = 0
        self._waited = False
        self._receiver: asyncio.Future[None] | None = None
        self._whole: asyncio.Future[None] | None = None
        self._send_waiter: asyncio.Future[None] | None = None

    @property
    def complete(self) -> bool:
        """Whether no more messages will come, or more than one is here: all there is to know of a single message."""
        messages = self._messages
        return self._all_in or (messages is not None and len(messages) > 1)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be given out."""
        return self._all_in and not self._messages

    @property
    def dropped(self) -> bool:
        """Whether this end let go of what it had not taken (or none ever came, and none will)."""
        return self._all_in and self._messages is None

    def completion(self) -> asyncio.Future[None]:
        """Return what to wait for until the stream is `complete`. A wait may be cancelled, and begun again.

        Raises:
            BusyError: Another task waits for it.
        """
        if self._whole is not None and not self._whole.done():
            raise BusyError("the end of this call is being waited for already; one waits at a time")
        if self._inside_message:
            self._make_room()
        future = self._whole = self._owner.loop.create_future()
        return future

    def receive_nowait(self) -> Part | None:
        """Return the next message if it is here."""
        messages = self._messages
        if not messages:
            return None
        message = messages.popleft()
        if not messages and self._reader is not None and self._reader.holding:
            messages.extend(self._reader.more())
        if self.remote_closed:
            if self._ahead:
                self._settle_loan()
            return message
        size = len(message[1]) + PREFIX
        if self._ahead:
            paid = min(self._ahead, size)
            self._ahead -= paid
            size -= paid
            self.connection.flow.repay(self, paid)
        # As `return_window`, for what most messages are: too small to be announced by themselves.
        unreturned = self._unreturned + size
        if unreturned * 4 < self.window:
            self._unreturned = unreturned
        else:
            self.return_window(size)
        return message

    def send_nowait(self, payload: bytes, compressed: bool) -> bool:
        """Send a message if nothing has to be waited for: flow control, another sender, the others' turn."""
        owner = self._owner
        if self.local_closed or self._send_waiter is not None or owner.burst >= BURST:
            return False
        if self.connection.send_message(self, payload, compressed):
            owner.burst += 1
            return True
        return False

    async def _receive(self) -> Part | None:
        """Return the next message; None when there are no more. Cancel-safe.

        Raises:
            BusyError: Another task waits here.
        """
        while not self._messages:
            if self._all_in:
                return None
            if self._receiver is not None:
                raise BusyError("a message of this call is being waited for already; one receives at a time")
            self._waited = True
            if self._inside_message:
                self._make_room()
            await wait_for(self, "_receiver", self._owner.loop.create_future())
        return self.receive_nowait()

    def on_data(self, data: bytes, end_stream: bool) -> None:
        if self._all_in:
            # Nobody takes it any more; whoever sends it may have to come to the end of that before it reads.
            self.return_window(len(data))
            return
        if self._reader is None and len(data) >= PREFIX:
            flag, length = _unpack_prefix(data)
            if (
                length + PREFIX == len(data)
                and flag < 2
                and length <= self.connection.limits.max_receive_message
            ):
                if self._messages is None:
                    self._messages = deque()
                self._messages.append((flag == 1, data[PREFIX:]))
                if self._receiver is not None or self._whole is not None:
                    self._wake_reader()
                elif self.recv_window * 8 < self.window * 7:
                    self._hold_if_many()
                if end_stream:
                    self._input_ended()
                return
        try:
            self._take_in(data)
        except (LimitExceeded, PeerError) as error:
            self._input_broken(error)
            return
        if end_stream:
            self._input_ended()

    def row_limit(self) -> int:
        if self._messages is None or self._reader is not None or self._all_in:
            return -1
        return self.connection.limits.max_receive_message

    def on_row(self, row: list[Part]) -> None:
        assert self._messages is not None
        self._messages += row
        if self._receiver is not None or self._whole is not None:
            self._wake_reader()
        elif self.recv_window * 8 < self.window * 7:
            self._hold_if_many()

    def _input_ended(self) -> None:
        """The last DATA has come."""
        raise NotImplementedError

    def _input_broken(self, error: LimitExceeded | PeerError) -> None:
        """What came is no message that is taken."""
        raise NotImplementedError

    def _take_in(self, data: bytes) -> None:
        """Add octets of DATA, however they are cut.

        Raises:
            LimitExceeded, PeerError: What MessageReader raises.
        """
        messages = self._messages
        if messages is None:
            messages = self._messages = deque()
        reader = self._reader
        if reader is None:
            reader = self._reader = MessageReader(self.connection.limits.max_receive_message)
        try:
            found = reader.feed(data)
        except (LimitExceeded, PeerError):
            # What came whole before the fault is still given out, wherever the network cut the octets.
            messages.extend(reader.completed)
            raise
        if found:
            messages.extend(found)
            self._wake_reader()
            if len(messages) > BATCH:
                self._hold_if_many()
        missing = reader.missing
        if missing:
            # However the peer cuts it: its last octets may come with as much padding as a frame can have.
            if missing + _MOST_PADDING > self.recv_window and (_waits(self._receiver) or _waits(self._whole)):
                self._make_room()
        elif not reader.holding:
            # At the end of a message, with none held before it: the next one may go the short way.
            self._reader = None

    def _hold_if_many(self) -> None:
        """Messages gather on a stream that nobody reads: cut no more of them, for as objects they need many times the space.

        One stream that falls behind for a moment may gather more than one of many.
        """
        messages = len(self._messages or ())
        if messages > BATCH and messages * len(self.connection.streams) >= _MANY:
            if self._reader is None:
                self._reader = MessageReader(self.connection.limits.max_receive_message)
            self._reader.hold()

    def _make_room(self) -> None:
        """Let all of the incomplete message arrive, however small the window: somebody waits for it."""
        assert self._reader is not None
        # However the peer cuts it: its last octets may come with as much padding as a frame can have.
        missing = self._reader.missing + _MOST_PADDING
        if missing > self.recv_window:
            self._ahead += self.make_room(missing)

    def on_room(self) -> None:
        if self._inside_message and (_waits(self._receiver) or _waits(self._whole)):
            self._make_room()

    def _settle_loan(self) -> None:
        self._ahead = 0
        self.connection.flow.repay(self)

    def _pass_over(self) -> None:
        """Nobody reads any more, and what came and was not read is gone: the peer may send as much again, for nothing."""
        held = self.window + self._ahead - self.recv_window - self._unreturned
        self._settle_loan()
        if held > 0:
            self.return_window(held)

    def starved(self) -> bool:
        waited, self._waited = self._waited, False
        return waited or self._whole is not None

    @property
    def _inside_message(self) -> bool:
        """Whether the octets so far end inside a message."""
        return self._reader is not None and self._reader.missing > 0

    def _end_messages(self, *, discard: bool = False) -> None:
        """No more will arrive; `discard` also drops what was not taken."""
        self._all_in = True
        if discard:
            self._reader = self._messages = None
        if self._receiver is not None or self._whole is not None:
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
        if self._whole is not None and not self._whole.done() and self.complete:
            self._whole.set_result(None)

    def _wake_sender(self) -> None:
        if self._send_waiter is not None and not self._send_waiter.done():
            self._send_waiter.set_result(None)


def _waits(future: asyncio.Future[None] | None) -> bool:
    return future is not None and not future.done()
