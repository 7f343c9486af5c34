"""The sending side of a call with many requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from wirelane.errors import BusyError, RpcError, UsageError
from wirelane.grpc.base_call import BaseCall
from wirelane.grpc.packed import PackedMessages
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, Ending

if TYPE_CHECKING:
    from wirelane.transport.base import ClientStream

__all__ = ["Sending", "SendingCall"]

Req = TypeVar("Req")


class SendingCall(BaseCall, Generic[Req]):
    """A call in which the client sends many messages.

    Until the server answers, the call can be opened anew with the one message that was sent; with the second one that
    chance is given up (gRFC A6 would buffer more; one is what costs nothing).
    """

    _sent = 0
    _half_closed = False
    _sender: asyncio.Task[None] | None = None
    _stopping = False
    _sending_error: BaseException | None = None

    async def done_sending(self) -> None:
        """Say that no more messages come (half-close). Idempotent; cancel-safe; quiet if the call has ended."""
        stream = self._stream
        if stream is None:
            raise self._not_open()
        self._half_closed = True
        if self._replay is not None:
            payload, compressed, _ = self._replay
            self._replay = (payload, compressed, True)
        await stream.end()

    async def _push(self, payload: bytes, compressed: bool) -> bool:
        """Send one message that `_pack` made; False if the call has ended."""
        stream = self._stream
        if stream is None:
            raise self._not_open()
        if self._half_closed:
            raise UsageError("no message can be sent after done_sending()")
        while not (
            stream.send_nowait(payload, compressed) or await self._send_part(stream, payload, compressed)
        ):
            if not await self._recover(stream):
                return False
            stream = self._stream
            assert stream is not None
        self._sent += 1
        self._replay = (payload, compressed, False) if self._sent == 1 and stream.head is None else None
        return True

    async def _send_part(self, stream: ClientStream, payload: bytes, compressed: bool) -> bool:
        try:
            await stream.send(payload, compressed=compressed)
        except CallEnded:
            return False
        return True

    async def _send_all(self, messages: Iterable[Req] | AsyncIterable[Req]) -> None:
        """Send all messages and half-close; stop early if the call has ended.

        A generator that was not used up is closed, so that its own cleaning up happens now.
        """
        try:
            if isinstance(messages, PackedMessages):
                messages.pack = self._pack
                async for packed in messages:
                    if not await self._push(*packed):
                        return
            elif isinstance(messages, AsyncIterable):
                async for message in messages:
                    if not await self._push(*self._pack(message)):
                        return
            else:
                for message in messages:
                    if not await self._push(*self._pack(message)):
                        return
            await self.done_sending()
        finally:
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()

    # Sending from an iterable beside receiving

    def _send_in_background(self, messages: Iterable[Req] | AsyncIterable[Req]) -> None:
        task = asyncio.get_running_loop().create_task(
            self._send_all(messages), name=f"wirelane: send {self.method}"
        )
        self._sender = task
        task.add_done_callback(self._sender_done)

    def _sender_done(self, task: asyncio.Task[None]) -> None:
        """What the iterable raises ends the call; the receiving side raises it."""
        if task.cancelled():
            if not self._stopping:
                self._interrupt(Ending(StatusCode.CANCELLED, "the iterable of requests was cancelled"))
            return
        error = task.exception()
        if error is None:
            return
        ended = self._ending()
        if isinstance(error, RpcError) and ended is not None:
            # Raised because the call had ended: the receiving side has the better account of it.
            return
        self._sending_error = error
        self._interrupt(
            Ending(StatusCode.CANCELLED, f"the iterable of requests failed: {error!r}", cause=error)
        )

    async def _stop_sending(self) -> None:
        task = self._sender
        if task is not None and not task.done():
            self._stopping = True
            task.cancel()
            await asyncio.wait((task,))

    def _raise_sending_error(self) -> None:
        error, self._sending_error = self._sending_error, None
        if error is not None:
            raise error


class Sending(SendingCall[Req], Generic[Req]):
    """The same, with messages sent one at a time by whoever holds the call."""

    def _sendable(self) -> bool:
        """Whether there is nothing that would keep a message from being sent, as far as is known."""
        return (
            self._sender is None
            and not self._half_closed
            and self._stream is not None
            and self.status is None
        )

    async def send(self, message: Req, *, compress: bool | None = None) -> bool:
        """Send one message; returns when flow control has taken it.

        Args:
            message: A dict, or a typed message; None is an empty message.
            compress: False sends this message as it is although the call compresses.

        Returns:
            False if the server has already ended the call with OK, and nobody reads the message: the reply is there.

        Raises:
            RpcError: The call has ended with another status.
            CodecError: The message does not encode; nothing was sent, and the call goes on.
            UsageError: After `done_sending`.
            BusyError: Another task is sending.

        Cancelled while it waits, the message may still be sent.
        """
        if self._sender is not None:
            raise BusyError(f"the messages of this call of {self.method} are sent from an iterable already")
        if await self._push(*self._pack(message, compress)):
            return True
        ending = self._ending()
        assert ending is not None
        if ending.code is not StatusCode.OK:
            self._settle()
            raise self._error(ending)
        return False
