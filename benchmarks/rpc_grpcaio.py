"""grpc.aio (grpcio): the same methods by generic handlers, as its generated code makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from benchmarks import work

OPTIONS = [("grpc.max_receive_message_length", work.RECEIVE_LIMIT), ("grpc.max_send_message_length", -1)]
# Without an option grpcio has no limit on concurrent streams, but one on those that no handler has taken up yet.
SERVER_OPTIONS = [
    *OPTIONS,
    ("grpc.server.max_pending_requests", work.MOST_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", work.MOST_STREAMS),
]
CODEC = (work.Request.FromString, work.Reply.SerializeToString)


class Echo:
    def __init__(self) -> None:
        self._holder = work.Holder()

    async def unary(self, request: Any, context: Any) -> Any:
        return work.answer(request)

    async def server_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(request.count):
            yield work.Reply(number=number)

    async def client_stream(self, requests: AsyncIterator[Any], context: Any) -> Any:
        count = 0
        async for _ in requests:
            count += 1
        return work.Reply(number=count)

    async def bidi_stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield work.answer(request)

    async def hold(self, request: Any, context: Any) -> Any:
        await self._holder.hold()
        return work.answer(request)

    async def held(self, request: Any, context: Any) -> Any:
        return work.Reply(number=await self._holder.held(request.count))

    async def release(self, request: Any, context: Any) -> Any:
        return work.Reply(number=self._holder.release())


async def serve() -> None:
    echo = Echo()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo.unary, *CODEC),
        "ServerStream": grpc.unary_stream_rpc_method_handler(echo.server_stream, *CODEC),
        "ClientStream": grpc.stream_unary_rpc_method_handler(echo.client_stream, *CODEC),
        "BidiStream": grpc.stream_stream_rpc_method_handler(echo.bidi_stream, *CODEC),
        "Hold": grpc.unary_unary_rpc_method_handler(echo.hold, *CODEC),
        "Held": grpc.unary_unary_rpc_method_handler(echo.held, *CODEC),
        "Release": grpc.unary_unary_rpc_method_handler(echo.release, *CODEC),
    }
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(work.SERVICE, handlers),))
    work.announce(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


class Calls(work.Calls):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def _multicallable(self, form: str, path: str) -> Any:
        return getattr(self._channel, form)(path, work.Request.SerializeToString, work.Reply.FromString)

    def unary(self, path: str) -> Callable[..., Awaitable[Any]]:
        unary: Callable[..., Awaitable[Any]] = self._multicallable("unary_unary", path)
        return unary

    async def read_stream(self, count: int) -> int:
        received = 0
        stream = self._multicallable("unary_stream", work.SERVER_STREAM)
        async for _ in stream(work.Request(name="x", count=count)):
            received += 1
        return received

    async def write_stream(self, count: int) -> int:
        call = self._multicallable("stream_unary", work.CLIENT_STREAM)()
        for number in range(count):
            await call.write(work.Request(count=number))
        await call.done_writing()
        return int((await call).number)

    async def echo_stream(self, count: int) -> int:
        call = self._multicallable("stream_stream", work.BIDI_STREAM)()

        async def send() -> None:
            for number in range(count):
                await call.write(work.Request(count=number))
            await call.done_writing()

        sending = asyncio.create_task(send())
        received = 0
        async for _ in call:
            received += 1
        await sending
        return received


async def client(port: int, case: work.Case) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        await work.measure(case, Calls(channel))


if __name__ == "__main__":
    work.entry(serve, client)
