"""grpclib with hyper-h2: the same methods, as its generated code makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.client import Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.server import Server

from benchmarks import work


class Codec(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message.SerializeToString())

    def decode(self, data: bytes, message_type: Any) -> Any:
        return message_type.FromString(data)


class Echo:
    async def unary(self, stream: Any) -> None:
        await stream.send_message(work.answer(await stream.recv_message()))

    async def server_stream(self, stream: Any) -> None:
        request = await stream.recv_message()
        for number in range(request.count):
            await stream.send_message(work.Reply(number=number))

    async def client_stream(self, stream: Any) -> None:
        count = 0
        async for _ in stream:
            count += 1
        await stream.send_message(work.Reply(number=count))

    async def bidi_stream(self, stream: Any) -> None:
        async for request in stream:
            await stream.send_message(work.answer(request))

    def __mapping__(self) -> dict[str, Handler]:
        methods = {
            work.UNARY: (self.unary, Cardinality.UNARY_UNARY),
            work.SERVER_STREAM: (self.server_stream, Cardinality.UNARY_STREAM),
            work.CLIENT_STREAM: (self.client_stream, Cardinality.STREAM_UNARY),
            work.BIDI_STREAM: (self.bidi_stream, Cardinality.STREAM_STREAM),
        }
        return {
            path: Handler(function, kind, work.Request, work.Reply)
            for path, (function, kind) in methods.items()
        }


async def serve() -> None:
    server = Server([Echo()], codec=Codec())
    await server.start("127.0.0.1", 0)
    work.announce(server._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
    await asyncio.Event().wait()


class Calls(work.Calls):
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def unary(self, path: str) -> Callable[..., Awaitable[Any]]:
        return UnaryUnaryMethod(self._channel, path, work.Request, work.Reply)

    async def read_stream(self, count: int) -> int:
        received = 0
        method = UnaryStreamMethod(self._channel, work.SERVER_STREAM, work.Request, work.Reply)
        async with method.open() as stream:
            await stream.send_message(work.Request(name="x", count=count), end=True)
            async for _ in stream:
                received += 1
        return received

    async def write_stream(self, count: int) -> int:
        method = StreamUnaryMethod(self._channel, work.CLIENT_STREAM, work.Request, work.Reply)
        async with method.open() as stream:
            for number in range(count):
                await stream.send_message(work.Request(count=number))
            await stream.end()
            reply = await stream.recv_message()
        return int(reply.number) if reply else 0

    async def echo_stream(self, count: int) -> int:
        received = 0
        method = StreamStreamMethod(self._channel, work.BIDI_STREAM, work.Request, work.Reply)
        async with method.open() as stream:
            await stream.send_request()

            async def send() -> None:
                for number in range(count):
                    await stream.send_message(work.Request(count=number))
                await stream.end()

            sending = asyncio.create_task(send())
            async for _ in stream:
                received += 1
            await sending
        return received


async def client(port: int, case: work.Case) -> None:
    async with Channel("127.0.0.1", port, codec=Codec()) as channel:
        await work.measure(case, Calls(channel))


if __name__ == "__main__":
    work.entry(serve, client)
