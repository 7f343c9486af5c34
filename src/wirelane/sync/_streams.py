"""Messages of a stream, by the batch: one way into the loop and back costs what many messages cost.

Receiving: a way into the loop waits for one message and brings along all that are there, up to `BATCH` or `OUTBOX` octets; they are
decoded and given out one by one. While they are, the loop reads on, so the batches grow with the speed of the peer. Nothing is
fetched ahead of being asked for, so nothing is lost or left behind, and flow control counts as taken what was given or is about to be.

Sending: a message is encoded by the caller, who gets its errors, put into the outbox, and sent by a task in the loop, which goes
on until the outbox is empty. Who fills it, by `OUTBOX` octets or `BATCH` messages, waits until it has been sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from wirelane.core.deadline import Deadline
from wirelane.errors import CodecError, LimitExceeded, RpcError, UsageError
from wirelane.sync._facade import Facade
from wirelane.sync._portal import Bell, call, current, run

if TYPE_CHECKING:
    from wirelane.sync.grpc.streams import ClientStreamCall as SyncClientStreamCall
    from wirelane.transport.base import ClientStream, Part, ServerStream

__all__ = [
    "BATCH",
    "OUTBOX",
    "Receives",
    "Sends",
    "SendsAndReceives",
    "SendsForOne",
    "ready_parts",
    "send_all",
]

BATCH: Final = 256
"""Messages that are moved at once at most."""

OUTBOX: Final = 65536
"""Octets that are moved at once at most, or wait to be sent, one message more apart: what the transport of a connection buffers, too."""

Req = TypeVar("Req")
Res = TypeVar("Res")
T = TypeVar("T")


class _Stream(Facade):
    # One layout for both sides: classes with slots of their own cannot be joined.
    __slots__ = ("_outbox", "_ready")


class Receives(_Stream, Generic[Res]):
    """The receiving side of a call."""

    __slots__ = ()

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._ready: deque[Part] = deque()

    def receive(self, *, timeout: float | None = None) -> Res | None:
        """Return the next message, or None when the call has ended with OK. Interrupted, it loses no message.

        Args:
            timeout: Seconds to wait at most; 0 takes only what is here. The call goes on after it.

        Raises:
            ReadTimeout: No message came in time; the next `receive` may get it.
            RpcError: The call ended with another status; the messages before it were given.
            BusyError: Another thread is receiving.
            UsageError: `timeout` is no number of seconds from 0 up.
        """
        if timeout is not None:
            Deadline.after(timeout)  # refuses what is no timeout
        return self._next(timeout)

    def cancel(self) -> None:
        """Cancel the call: whoever waits for it gets `RpcError` CANCELLED, and messages not received yet are dropped.

        Nothing happens once it has ended and its last message was received.
        """
        call(_cancel, self._inner, bool(self._ready))
        self._ready.clear()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Res:
        message = self._next(None)
        if message is None:
            raise StopIteration
        return message

    def _next(self, timeout: float | None) -> Res | None:
        inner, ready = self._inner, self._ready
        if ready and inner._stream.dropped:
            ready.clear()  # the deadline has passed, or the call was cancelled otherwise
        while True:
            try:
                part = ready.popleft()
            except IndexError:  # none left; or another thread was faster
                if not current().run(_fetch, (inner, timeout, ready), {}):
                    return None
                continue
            try:
                return _read(inner, part)
            except (CodecError, LimitExceeded):
                return call(inner._unpack, inner._stream, part)  # says what is wrong, and ends the call
            except BaseException:
                ready.appendleft(part)  # interrupted
                raise


def _read(inner: Any, part: Part) -> Any:
    """As the call itself does, but for what follows from an error: that is the loop's business."""
    compressed, payload = part
    bound = inner._bound
    inner._received_compressed = compressed
    if compressed:
        payload = inner._inflate(inner._stream, payload)
    try:
        return bound.parse(payload)
    except bound.reply.faults:
        return bound.reply.decode(payload)


def ready_parts(stream: ClientStream | ServerStream) -> Iterator[Part]:
    """Take the messages that are here already, as they travelled, as many as are moved at once; in the loop."""
    octets = 0
    for _ in range(BATCH):
        part = stream.receive_nowait()
        if part is None:
            return
        yield part
        octets += len(part[1])
        if octets > OUTBOX:
            return


def _fetch(inner: Any, timeout: float | None, ready: deque[Part]) -> bool | Awaitable[bool]:
    """Put what is there into `ready`, at least one message; False at the end. Waits, in a task, only where nothing is there.

    Into that and not into the result: a caller who is interrupted does not get the result.
    """
    stream = inner._open_stream()
    ready.extend(ready_parts(stream))
    return bool(ready) or _wait(inner, stream, timeout, ready)


async def _wait(inner: Any, stream: ClientStream, timeout: float | None, ready: deque[Part]) -> bool:
    part = await inner._next_part(stream, timeout)
    if part is None:
        return False
    ready.append(part)
    ready.extend(ready_parts(inner._open_stream()))
    return True


def _cancel(inner: Any, unread: bool) -> None:
    inner.cancel()
    if unread:
        inner._forget()


class Sends(_Stream, Generic[Req]):
    """The sending side of a call."""

    __slots__ = ()

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._outbox = _Outbox(inner)

    def send(self, message: Req, *, compress: bool | None = None) -> bool:
        """Send one message; returns when it is on its way, or in an outbox of 64 KiB that empties itself.

        Args:
            message: A dict, or a typed message; None is an empty message.
            compress: False sends this message as it is although the call compresses.

        Returns:
            False if the server has already ended the call with OK, and nobody reads the message: the reply is there.

        Raises:
            RpcError: The call has ended with another status; perhaps before an earlier message left the outbox.
            CodecError: The message does not encode; nothing was sent, and the call goes on.
            UsageError: After `done_sending`.
            BusyError: The messages of the call come from an iterable.

        Several threads may send. Interrupted, the message may still be sent.
        """
        return self._outbox.send(message, compress)

    def done_sending(self) -> None:
        """Say that no more messages come (half-close), after those in the outbox. Idempotent; quiet if the call has ended."""
        run(self._outbox.then, self._inner.done_sending)


class SendsForOne(Sends[Req], Generic[Req, Res]):
    """The sending side of a call that has one reply."""

    __slots__ = ()

    def finish(self) -> Res:
        """Say that no more requests come, and return the reply; again the same when it is called again.

        Interrupted, it can be called again, too.

        Raises:
            RpcError: The call failed.
        """
        return run(self._outbox.then, self._inner.finish)


class SendsAndReceives(Sends[Req], Receives[Res], Generic[Req, Res]):
    """Both sides of a call."""

    __slots__ = ()


def send_all(stream: SyncClientStreamCall[Req, Res], messages: Iterable[Req]) -> Res:
    """Send the messages in a call that was not opened yet, and return the reply."""
    if not isinstance(messages, Iterable) or isinstance(messages, Mapping | str | bytes):
        raise UsageError(f"messages are an iterable of requests, not {type(messages).__name__}")
    try:
        with stream:
            for message in messages:
                if not stream.send(message):
                    break
            return stream.finish()
    finally:
        if isinstance(messages, Generator):
            messages.close()  # its own cleaning up happens now, if it was not used up


class _Outbox:
    """Messages that were accepted and are not sent yet. Filled by any thread, emptied by a task in the loop."""

    __slots__ = ("_bell", "_broken", "_call", "_size", "_task", "_waiting")

    def __init__(self, call: Any) -> None:
        self._call = call
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._size = 0
        self._bell = Bell()
        self._task: asyncio.Task[None] | None = None
        self._broken = False

    def send(self, message: Any, compress: bool | None) -> bool:
        """Encode a message and put it in; wait while it is full."""
        if self._broken or not self._call._sendable():
            # The call itself tells best what is wrong.
            sent: bool = run(self._call.send, message, compress=compress)
            return sent
        packed = self._call._pack(message, compress)
        self._waiting.append(packed)
        self._size += len(packed[0])
        if self._size > OUTBOX or len(self._waiting) > BATCH:
            run(self._flushed)
        else:
            self._bell.ring(current().post, self._flush)
        return True

    async def then(self, function: Callable[[], Awaitable[T]]) -> T:
        """Empty the outbox, then do something."""
        await self._flushed()
        return await function()

    async def _flushed(self) -> None:
        # A task of its own, which goes on when whoever waits for it is interrupted: nothing accepted is lost.
        self._flush()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _flush(self) -> None:
        self._bell.answer()
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._empty())

    async def _empty(self) -> None:
        inner, waiting = self._call, self._waiting
        try:
            while waiting:
                payload, compressed = waiting.popleft()
                self._size -= len(payload)
                if not await inner._push(payload, compressed):
                    self._broken = True
                    break
        except BaseException as error:
            self._broken = True
            if not isinstance(error, RpcError):
                raise
            # The call has ended, and tells so to whoever asks it for something next.
        finally:
            if self._broken:
                waiting.clear()  # else a message that came just now is not to be lost: its sender has rung
            self._size = 0  # what several threads add to is not exact
            self._task = None
