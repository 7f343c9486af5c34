"""grpclib with hyper-h2: the same methods, as its generated code makes them."""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
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

    def __mapping__(self) -> dict[str, Handler]:
        return {
            work.UNARY: Handler(self.unary, Cardinality.UNARY_UNARY, work.Request, work.Reply),
            work.SERVER_STREAM: Handler(
                self.server_stream, Cardinality.UNARY_STREAM, work.Request, work.Reply
            ),
        }


async def serve() -> None:
    server = Server([Echo()], codec=Codec())
    await server.start("127.0.0.1", 0)
    work.announce(server._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
    await asyncio.Event().wait()


async def client(port: int, case: work.Case, scale: float) -> None:
    async with Channel("127.0.0.1", port, codec=Codec()) as channel:
        unary = UnaryUnaryMethod(channel, work.UNARY, work.Request, work.Reply)
        stream = UnaryStreamMethod(channel, work.SERVER_STREAM, work.Request, work.Reply)

        async def read_stream(request: Any) -> int:
            count = 0
            async with stream.open() as opened:
                await opened.send_message(request, end=True)
                async for _ in opened:
                    count += 1
            return count

        await work.measure(case, unary, read_stream, scale)


if __name__ == "__main__":
    work.entry(serve, client)
