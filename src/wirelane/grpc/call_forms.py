"""The forms in which a channel makes calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from wirelane.errors import DeadlineExceeded
from wirelane.grpc.gather import collect_messages
from wirelane.grpc.script import Step, run_script
from wirelane.grpc.streams import (
    BidiStreamCall,
    ClientStreamCall,
    ClientStreamReply,
    Messages,
    ServerStreamCall,
)
from wirelane.grpc.unary import UnaryCall

if TYPE_CHECKING:
    from wirelane.core.metadata import MetadataLike
    from wirelane.grpc.core import ChannelCore
    from wirelane.grpc.methods import BoundMethod, Method, MethodLike
    from wirelane.schema import MethodInfo

__all__ = ["CallForms"]

Req = TypeVar("Req")
Res = TypeVar("Res")


class CallForms:
    """What `Channel` offers to make calls with."""

    _core: ChannelCore

    @overload
    def unary(
        self,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Res]: ...
    @overload
    def unary(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Any]: ...
    def unary(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Any]:
        """Call a method that takes one request and gives one reply: `reply = await channel.unary(method, request)`.

        Args:
            method: "pkg.Service/Method", "pkg.Service.Method" (by the schema), or a `Method` with message types.
            request: A dict, or a typed message; None is an empty message.
            timeout: Seconds from now; `math.inf` for none where the channel has one.
            metadata: Joined to the channel's, whose names it replaces.
            compression: "gzip" or "deflate"; "identity" for none where the channel has one.
            wait_for_ready: Wait for a connection for as long as the deadline allows.

        Returns:
            The call; awaiting it sends it and gives the reply, or raises RpcError, CodecError (the request does not
            encode; nothing was sent) or UsageError.
        """
        return UnaryCall(self._core, method, request, timeout, metadata, compression, wait_for_ready)

    @overload
    def server_stream(
        self,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Res]: ...
    @overload
    def server_stream(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Any]: ...
    def server_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ServerStreamCall[Any]:
        """Call a method that answers one request with many messages; use it with `async with`, then `async for`."""
        return ServerStreamCall(self._core, method, request, timeout, metadata, compression, wait_for_ready)

    @overload
    def client_stream(
        self,
        method: Method[Req, Res],
        messages: None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Req, Res]: ...
    @overload
    def client_stream(
        self,
        method: Method[Req, Res],
        messages: Messages[Req],
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamReply[Req, Res]: ...
    @overload
    def client_stream(
        self,
        method: str | MethodInfo,
        messages: None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Any, Any]: ...
    @overload
    def client_stream(
        self,
        method: str | MethodInfo,
        messages: Messages[Any],
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamReply[Any, Any]: ...
    def client_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        messages: Messages[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> ClientStreamCall[Any, Any] | ClientStreamReply[Any, Any]:
        """Call a method that answers many requests with one message.

        Without `messages`: `async with channel.client_stream(method) as stream`, then `send` and `finish`. With an
        iterable, asynchronous or not: `reply = await channel.client_stream(method, messages)`.
        """
        core = self._core
        if messages is None:
            return ClientStreamCall(core, method, None, timeout, metadata, compression, wait_for_ready)
        return ClientStreamReply(core, method, messages, timeout, metadata, compression, wait_for_ready)

    @overload
    def bidi_stream(
        self,
        method: Method[Req, Res],
        messages: Messages[Req] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Req, Res]: ...
    @overload
    def bidi_stream(
        self,
        method: str | MethodInfo,
        messages: Messages[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Any, Any]: ...
    def bidi_stream(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        messages: Messages[Any] | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> BidiStreamCall[Any, Any]:
        """Call a method in which both sides send many messages; use it with `async with`.

        With an iterable, asynchronous or not, its messages are sent in the background.
        """
        return BidiStreamCall(self._core, method, messages, timeout, metadata, compression, wait_for_ready)

    @overload
    async def collect(
        self,
        method: Method[Req, Res],
        request: Req | Messages[Req] | None = None,
        *,
        limit: int | None = None,
        into: list[Res] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Res]: ...
    @overload
    async def collect(
        self,
        method: str | MethodInfo,
        request: object = None,
        *,
        limit: int | None = None,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]: ...
    async def collect(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        limit: int | None = None,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]:
        """Call a method of any kind and return its replies as a list. Cancelled, it cancels the call.

        Args:
            method: As in `unary`.
            request: One request; for a method that takes many, an iterable of them (asynchronous or not).
            limit: Stop after so many replies, and cancel the rest of the call.
            into: A list to append the replies to, so that those before an error are not lost; it is returned.
            timeout: As in every call.
            metadata: As in every call.
            compression: As in every call.
            wait_for_ready: As in every call.

        Raises:
            RpcError, CodecError, UsageError: As the call of that kind.
        """
        bound, timeout = await self._bind_within(method, timeout, wait_for_ready)
        return await collect_messages(
            self,
            method,
            bound.cardinality,
            request,
            limit=limit,
            into=[] if into is None else into,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )

    async def call(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        request: object = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        """Call a method of any kind; return its reply, or the list of its replies if it streams them.

        The arguments are those of `collect`, and so are the errors. Cancelled, it cancels the call.
        """
        bound, timeout = await self._bind_within(method, timeout, wait_for_ready)
        replies = await self.collect(
            method,
            request,
            timeout=timeout,
            metadata=metadata,
            compression=compression,
            wait_for_ready=wait_for_ready,
        )
        return replies if bound.cardinality.server_streaming else replies[0]

    async def _bind_within(
        self, method: MethodLike, timeout: float | None, wait_for_ready: bool | None
    ) -> tuple[BoundMethod, float | None]:
        """Return what is known of a method, and the seconds that a schema which had to be loaded has left.

        Raises:
            DeadlineExceeded: None are.
        """
        core = self._core
        bound = core.bind(method)
        if bound is not None:
            return bound, timeout
        deadline = core.deadline(timeout)
        if deadline is None:
            return await core.bind_ready(method, wait_for_ready), timeout
        scope = asyncio.timeout(deadline.remaining())
        try:
            async with scope:
                return await core.bind_ready(method, wait_for_ready), deadline.remaining()
        except TimeoutError:
            if not scope.expired():
                raise
        raise DeadlineExceeded("the deadline of the call passed before it could begin", attempts=0)

    @overload
    async def exchange(
        self,
        method: Method[Req, Res],
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Res] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Res]: ...
    @overload
    async def exchange(
        self,
        method: str | MethodInfo,
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]: ...
    async def exchange(
        self,
        method: str | Method[Any, Any] | MethodInfo,
        script: Iterable[Step],
        *,
        rest: bool = True,
        into: list[Any] | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        compression: str | None = None,
        wait_for_ready: bool | None = None,
    ) -> list[Any]:
        """Run a script on a bidi stream, step by step, and return the messages received.

        Cancelled, it cancels the call.

        Args:
            method: As in `unary`.
            script: `grpc.Send(message)`, `grpc.Receive(count, timeout)` and `grpc.DoneSending()`, in order.
            rest: After the script, receive what is left until the server ends the call; False cancels it instead.
            into: A list to append the messages to, so that those before an error are not lost; it is returned.
            timeout: As in every call.
            metadata: As in every call.
            compression: As in every call.
            wait_for_ready: As in every call.

        Raises:
            EndOfStream: The server ended the call before a step had what it waits for.
            ReadTimeout: A `Receive` got no message in its time.
            RpcError, CodecError, UsageError: As in `bidi_stream`.
        """
        call = self.bidi_stream(
            method, timeout=timeout, metadata=metadata, compression=compression, wait_for_ready=wait_for_ready
        )
        async with call as stream:
            return await run_script(stream, script, rest=rest, into=[] if into is None else into)
