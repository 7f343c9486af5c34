"""grpc.aio (grpcio): the same methods by generic handlers, as its generated code makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from benchmarks import work

OPTIONS = [("grpc.max_receive_message_length", work.RECEIVE_LIMIT), ("grpc.max_send_message_length", -1)]


async def serve() -> None:
    async def unary(request: Any, context: Any) -> Any:
        return work.answer(request)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(request.count):
            yield work.Reply(number=number)

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(
            unary, work.Request.FromString, work.Reply.SerializeToString
        ),
        "ServerStream": grpc.unary_stream_rpc_method_handler(
            stream, work.Request.FromString, work.Reply.SerializeToString
        ),
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    work.announce(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


async def client(port: int, case: work.Case, scale: float) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        unary = channel.unary_unary(work.UNARY, work.Request.SerializeToString, work.Reply.FromString)
        stream = channel.unary_stream(
            work.SERVER_STREAM, work.Request.SerializeToString, work.Reply.FromString
        )

        async def call(request: Any) -> Any:
            return await unary(request)

        async def read_stream(request: Any) -> int:
            count = 0
            async for _ in stream(request):
                count += 1
            return count

        await work.measure(case, call, read_stream, scale)


if __name__ == "__main__":
    work.entry(serve, client)
