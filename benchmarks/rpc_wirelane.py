"""wirelane: the public API as users write it, typed messages; with `dict` messages under the name `dict`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from benchmarks import work
from wirelane import grpc

DICT = os.environ.get("BENCH_CODEC") == "dict"
UNARY = grpc.Method(work.UNARY, grpc.Cardinality.UNARY, work.Request, work.Reply)
STREAM = grpc.Method(work.SERVER_STREAM, grpc.Cardinality.SERVER_STREAM, work.Request, work.Reply)


async def serve() -> None:
    server = grpc.Server(schema=work.SCHEMA, reflection=False, health=False)
    if DICT:

        @server.method("bench.Echo/Unary")
        async def unary_dict(request: Any) -> Any:
            return {"message": request["name"], "number": request["count"], "payload": request["payload"]}

        @server.method("bench.Echo/ServerStream")
        async def stream_dict(request: Any) -> AsyncIterator[Any]:
            for number in range(request["count"]):
                yield {"number": number}

    else:

        @server.method(UNARY)
        async def unary(request: Any) -> Any:
            return work.answer(request)

        @server.method(STREAM)
        async def stream(request: Any) -> AsyncIterator[Any]:
            for number in range(request.count):
                yield work.Reply(number=number)

    async with server.listen("127.0.0.1:0") as listening:
        work.announce(listening.port)
        await asyncio.Event().wait()


async def client(port: int, case: work.Case, scale: float) -> None:
    async with grpc.connect(f"127.0.0.1:{port}", schema=work.SCHEMA) as channel:
        if DICT:

            async def unary(request: Any) -> Any:
                fields = {"name": request.name, "count": request.count, "payload": request.payload}
                reply = await channel.unary("bench.Echo/Unary", fields)
                return work.Reply(payload=reply["payload"])

            method: Any = "bench.Echo/ServerStream"
        else:

            async def unary(request: Any) -> Any:
                return await channel.unary(UNARY, request)

            method = STREAM

        async def read_stream(request: Any) -> int:
            count = 0
            async with channel.server_stream(method, request) as stream:
                async for _ in stream:
                    count += 1
            return count

        await work.measure(case, unary, read_stream, scale)


if __name__ == "__main__":
    work.entry(serve, client)
