"""grpcio's client for tests with and without `await`: it lives in the side loop, and each call has methods that wait for one thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc as grpcio

from support.server_support import GrpcioClient, grpcio_client

__all__ = ["GrpcioCall", "GrpcioCalls", "GrpcioStub", "grpcio_calls"]


class GrpcioCall:
    """One call."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def reply(self) -> Any:
        """The one reply."""
        return await self._call

    async def read(self) -> Any:
        """The next reply; None at the end."""
        message = await self._call.read()
        return None if message is grpcio.aio.EOF else message

    async def replies(self) -> list[Any]:
        """All replies that were not read yet."""
        messages: list[Any] = []
        while (message := await self.read()) is not None:
            messages.append(message)
        return messages

    async def error(self) -> grpcio.aio.AioRpcError:
        """What the call fails with."""
        try:
            await (self.replies() if hasattr(self._call, "read") else self.reply())
        except grpcio.aio.AioRpcError as error:
            return error
        raise AssertionError("the call succeeded")

    async def write(self, message: Any) -> None:
        """Send a request."""
        await self._call.write(message)

    async def done_writing(self) -> None:
        """Half-close."""
        await self._call.done_writing()

    async def code(self) -> grpcio.StatusCode:
        """The status, when the call is over."""
        return await self._call.code()

    async def initial_metadata(self) -> Any:
        """What came before the replies."""
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        """What came after them."""
        return await self._call.trailing_metadata()

    def cancel(self) -> bool:
        """End it."""
        cancelled: bool = self._call.cancel()
        return cancelled


class GrpcioCalls:
    """The four kinds of calls, by a name of the Demo service or by a path, with a request, or with those of an iterable."""

    def __init__(self, client: GrpcioClient) -> None:
        self._client = client

    def unary_unary(self, name: str, request: Any, **options: Any) -> GrpcioCall:
        return GrpcioCall(self._client.unary_unary(name)(request, **options))

    def unary_stream(self, name: str, request: Any, **options: Any) -> GrpcioCall:
        return GrpcioCall(self._client.unary_stream(name)(request, **options))

    def stream_unary(self, name: str, requests: Any = None, **options: Any) -> GrpcioCall:
        return GrpcioCall(self._client.stream_unary(name)(requests, **options))

    def stream_stream(self, name: str, requests: Any = None, **options: Any) -> GrpcioCall:
        return GrpcioCall(self._client.stream_stream(name)(requests, **options))

    def stub(self, kind: Callable[[grpcio.aio.Channel], Any]) -> GrpcioStub:
        """A stub that other tools generated."""
        return GrpcioStub(kind(self._client.channel))

    def other(self, path: str, request_class: Any, reply_class: Any, requests: Any = None) -> GrpcioCall:
        """A call with many of both, by google.protobuf's classes."""
        method = self._client.channel.stream_stream(
            path,
            request_serializer=request_class.SerializeToString,
            response_deserializer=reply_class.FromString,
        )
        return GrpcioCall(method(requests))


class GrpcioStub:
    """Calls with the classes of a generated stub."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def call(self, name: str, request: Any) -> GrpcioCall:
        return GrpcioCall(getattr(self._stub, name)(request))


@asynccontextmanager
async def grpcio_calls(target: str, **options: Any) -> AsyncIterator[GrpcioCalls]:
    """Connect grpcio's asyncio client."""
    async with grpcio_client(target, **options) as client:
        yield GrpcioCalls(client)
