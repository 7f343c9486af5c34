"""Calls in which one side or both send many messages.

All are context managers; leaving one before its end cancels the call on the server too. One task may send while another
receives. A `receive` that is cancelled or times out loses no message, and the call goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar

from wirelane.core.deadline import Deadline
from wirelane.core.method import Cardinality
from wirelane.errors import ReadTimeout, UsageError
from wirelane.grpc.awaiting import AwaitableCall
from wirelane.grpc.base_call import BaseCall, cancelled
from wirelane.grpc.sending import Sending, SendingCall
from wirelane.status import StatusCode

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from wirelane.core.metadata import Metadata, MetadataLike
    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import MethodLike
    from wirelane.transport.base import ClientStream, Part

__all__ = ["BidiStreamCall", "ClientStreamCall", "ClientStreamReply", "Messages", "ServerStreamCall"]

Req = TypeVar("Req")
Res = TypeVar("Res")

Messages: TypeAlias = Iterable[Req] | AsyncIterable[Req]
"""Requests to be sent in order."""


class _Scoped(BaseCall):
    """A call that lives in an `async with` block."""

    async def __aenter__(self) -> Self:
        if self._began:
            raise UsageError(f"this call of {self.method} was used already; make a new one")
        try:
            await self._enter()
        except BaseException:
            self._drop()
            raise
        return self

    async def _enter(self) -> None:
        """Open the call."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drop()

    def _open_stream(self) -> ClientStream:
        stream = self._stream
        if stream is None:
            raise self._not_open()
        return stream

    async def initial_metadata(self) -> Metadata:
        """Return what the server sends before its first message. Cancel-safe.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
        """
        self._open_stream()
        return await self._initial_metadata()


class _Receiving(_Scoped, Generic[Res]):
    """A call in which the server sends many messages."""

    async def receive(self, *, timeout: float | None = None) -> Res | None:
        """Return the next message, or None when the call has ended with OK. Cancel-safe: no message is lost.

        Args:
            timeout: Seconds to wait at most; 0 takes only what is here. The call goes on after it.

        Raises:
            ReadTimeout: No message came in time; the next `receive` may get it.
            RpcError: The call ended with another status; the messages before it were given.
            BusyError: Another task is receiving.
            UsageError: `timeout` is no number of seconds from 0 up.
        """
        stream = self._open_stream()
        if timeout is not None:
            Deadline.after(timeout)  # refuses what is no timeout
        part = stream.receive_nowait() or await self._next_part(stream, timeout)
        if part is None:
            return None
        message: Res = self._unpack(self._open_stream(), part)
        return message

    def cancel(self) -> None:
        """Cancel the call: whoever waits for it gets `RpcError` CANCELLED, and messages not received yet are dropped.

        Nothing happens once it has ended and its last message was received.
        """
        super().cancel()
        if self._stream is not None and self._stream.discard():
            # It had ended on the wire already, but not for who reads it.
            self._local = cancelled()

    def __aiter__(self) -> AsyncIterator[Res]:
        self._open_stream()
        return self

    async def __anext__(self) -> Res:
        # Written out again: this is the path of every message of a stream.
        stream = self._stream or self._open_stream()
        part = stream.receive_nowait()
        if part is None:
            part = await self._next(stream)
            if part is None:
                self._ended()
                raise StopAsyncIteration
            stream = self._open_stream()
        message: Res = self._unpack(stream, part)
        return message

    def _forget(self) -> None:
        """Let a call that was cancelled end as such, although its end had been told: what was received was not read."""
        self._local = cancelled()

    async def _next_part(self, stream: ClientStream, timeout: float | None) -> Part | None:
        """Wait for a message, and return it as it travelled; None when the call has ended with OK."""
        part = await (self._next(stream) if timeout is None else self._next_within(stream, timeout))
        if part is None:
            self._ended()
        return part

    async def _next(self, stream: ClientStream) -> Part | None:
        while (part := await stream.receive()) is None:
            if not await self._recover(stream):
                return None
            stream = self._open_stream()
        # The server is at work: the request is not needed any more.
        self._replay = None
        return part

    async def _next_within(self, stream: ClientStream, timeout: float) -> Part | None:
        if timeout <= 0 and stream.status is None:
            raise ReadTimeout(f"no message of {self.method} is here yet")
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                return await self._next(stream)
        except TimeoutError:
            if not scope.expired():
                raise
            raise ReadTimeout(f"no message of {self.method} came in {timeout:g} s") from None

    def _ended(self) -> None:
        """All messages were given: raise unless the call ended well."""
        ending = self._ending()
        assert ending is not None
        self._settle()
        if ending.code is not StatusCode.OK:
            raise self._error(ending)


class ServerStreamCall(_Receiving[Res], Generic[Res]):
    """One request, many replies.

    async with channel.server_stream(method, request) as stream:
        async for message in stream: ...
    """

    async def _enter(self) -> None:
        self._begin()
        (await self._bind()).require(Cardinality.SERVER_STREAM)
        payload, compressed = self._pack(self._given)
        await self._open(payload, compressed, True)


class _OneReply(SendingCall[Req], Generic[Req, Res]):
    """A call with many requests and one reply."""

    async def _start(self) -> None:
        self._begin()
        (await self._bind()).require(Cardinality.CLIENT_STREAM)
        await self._open(None, False, False)

    async def _reply(self) -> Res:
        try:
            reply: Res = await self._single_reply()
        finally:
            if self._ending() is not None:
                self._settle()
        return reply


class ClientStreamCall(_OneReply[Req, Res], Sending[Req], _Scoped, Generic[Req, Res]):
    """Many requests, one reply.

    async with channel.client_stream(method) as stream:
        await stream.send(message)
        reply = await stream.finish()
    """

    async def _enter(self) -> None:
        await self._start()

    _finished: tuple[Res] | None = None

    async def finish(self) -> Res:
        """Say that no more requests come, and return the reply; again the same when it is awaited again.

        Cancelled, it can be awaited again, too.

        Raises:
            RpcError: The call failed.
        """
        if self._finished is None:
            self._open_stream()
            await self.done_sending()
            self._finished = (await self._reply(),)
        return self._finished[0]

    def __await__(self) -> NoReturn:
        raise UsageError(
            f"to await the call, give it the messages: await channel.client_stream({self.method!r}, messages)"
        )


class ClientStreamReply(_OneReply[Req, Res], AwaitableCall[Res], Generic[Req, Res]):
    """Many requests from an iterable, one reply: `reply = await channel.client_stream(method, messages)`.

    What the iterable raises cancels the call and is raised. If the server answers early, the rest is not sent.
    """

    def __init__(
        self,
        core: ChannelCore,
        method: MethodLike,
        messages: Messages[Req],
        timeout: float | None,
        metadata: MetadataLike | None,
        compression: str | None,
        wait_for_ready: bool | None,
    ) -> None:
        super().__init__(core, method, messages, timeout, metadata, compression, wait_for_ready)
        if not isinstance(messages, Iterable | AsyncIterable) or isinstance(messages, Mapping | str | bytes):
            raise UsageError(f"messages are an iterable of requests, not {type(messages).__name__}")
        # Made now, so that Python warns of a call that nobody awaits.
        self._coro = self._run(messages)

    def _coroutine(self) -> Coroutine[Any, Any, Res]:
        return self._coro

    async def initial_metadata(self) -> Metadata:
        """Return what the server sent before its reply, once the call has been sent. Cancel-safe.

        Raises:
            RpcError: The call ended without initial metadata, and with an error.
            UsageError: The call has not been awaited yet.
        """
        if self._stream is None:
            raise UsageError(f"this call of {self.method} was not sent yet: await it first")
        return await self._initial_metadata()

    async def __aenter__(self) -> NoReturn:
        self._coro.close()
        raise UsageError(f"with messages, write: await channel.client_stream({self.method!r}, messages)")

    async def __aexit__(self, *exc: object) -> None:
        """Never reached; it makes the object look like what it is mistaken for, so that the mistake is explained."""

    async def _run(self, messages: Messages[Req]) -> Res:
        try:
            await self._start()
            if isinstance(messages, AsyncIterable):
                self._send_in_background(messages)
            else:
                await self._send_all(messages)
            return await self._reply()
        except Exception:
            self._raise_sending_error()
            raise
        finally:
            self._drop()
            await self._stop_sending()


class BidiStreamCall(Sending[Req], _Receiving[Res], Generic[Req, Res]):
    """Many requests, many replies, in any order.

        async with channel.bidi_stream(method) as stream:
            await stream.send(message)
            reply = await stream.receive()
            await stream.done_sending()

    With `messages`, they are sent in the background: only receive.
    """

    async def _enter(self) -> None:
        self._begin()
        (await self._bind()).require(Cardinality.BIDI_STREAM)
        await self._open(None, False, False)
        if self._given is not None:
            self._send_in_background(self._given)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drop()
        await self._stop_sending()
        if error is None:
            self._raise_sending_error()

    def _ended(self) -> None:
        self._raise_sending_error()
        super()._ended()
