"""wirelane: the public API as users write it, typed messages; with dicts for messages where BENCH_CODEC is `dict`."""

from __future__ import annotations

import asyncio
import functools
import operator
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from benchmarks import work
from wirelane import Limits, grpc

DICT = os.environ.get("BENCH_CODEC") == "dict"
LIMITS = Limits(max_concurrent_streams=work.MOST_STREAMS)
KINDS = {
    work.SERVER_STREAM: grpc.Cardinality.SERVER_STREAM,
    work.CLIENT_STREAM: grpc.Cardinality.CLIENT_STREAM,
    work.BIDI_STREAM: grpc.Cardinality.BIDI_STREAM,
}


def method(path: str) -> Any:
    """How a method is named: with its types, or by the schema."""
    if DICT:
        return path
    return grpc.Method(path, KINDS.get(path, grpc.Cardinality.UNARY), work.Request, work.Reply)


def add_typed(server: grpc.Server) -> None:
    @server.method(method(work.UNARY))
    async def unary(request: Any) -> Any:
        return work.answer(request)

    @server.method(method(work.SERVER_STREAM))
    async def server_stream(request: Any) -> AsyncIterator[Any]:
        for number in range(request.count):
            yield work.Reply(number=number)

    @server.method(method(work.CLIENT_STREAM))
    async def client_stream(requests: AsyncIterator[Any]) -> Any:
        count = 0
        async for _ in requests:
            count += 1
        return work.Reply(number=count)

    @server.method(method(work.BIDI_STREAM))
    async def bidi_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield work.answer(request)

    holder = work.Holder()

    @server.method(method(work.HOLD))
    async def hold(request: Any) -> Any:
        await holder.hold()
        return work.answer(request)

    @server.method(method(work.HELD))
    async def held(request: Any) -> Any:
        return work.Reply(number=await holder.held(request.count))

    @server.method(method(work.RELEASE))
    async def release(request: Any) -> Any:
        return work.Reply(number=holder.release())


def add_dicts(server: grpc.Server) -> None:
    """The methods of the cases that are run with dicts."""

    @server.method(method(work.UNARY))
    async def unary(request: Any) -> Any:
        return {"message": request["name"], "number": request["count"], "payload": request["payload"]}

    @server.method(method(work.SERVER_STREAM))
    async def server_stream(request: Any) -> AsyncIterator[Any]:
        for number in range(request["count"]):
            yield {"number": number}


async def serve() -> None:
    server = grpc.Server(schema=work.SCHEMA, reflection=False, health=False, limits=LIMITS)
    (add_dicts if DICT else add_typed)(server)
    async with server.listen("127.0.0.1:0") as listening:
        work.announce(listening.port)
        await asyncio.Event().wait()


class Calls(work.Calls):
    request = dict if DICT else work.Request
    payload_of = staticmethod(operator.itemgetter("payload") if DICT else operator.attrgetter("payload"))

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary(self, path: str) -> Callable[..., Awaitable[Any]]:
        return functools.partial(self._channel.unary, method(path))

    async def read_stream(self, count: int) -> int:
        received = 0
        request = self.request(name="x", count=count)
        async with self._channel.server_stream(method(work.SERVER_STREAM), request) as stream:
            async for _ in stream:
                received += 1
        return received

    async def write_stream(self, count: int) -> int:
        async with self._channel.client_stream(method(work.CLIENT_STREAM)) as stream:
            for number in range(count):
                await stream.send(work.Request(count=number))
            reply = await stream.finish()
        return int(reply.number)

    async def echo_stream(self, count: int) -> int:
        received = 0
        async with self._channel.bidi_stream(method(work.BIDI_STREAM)) as stream:

            async def send() -> None:
                for number in range(count):
                    await stream.send(work.Request(count=number))
                await stream.done_sending()

            sending = asyncio.create_task(send())
            async for _ in stream:
                received += 1
            await sending
        return received


async def client(port: int, case: work.Case) -> None:
    async with grpc.connect(f"127.0.0.1:{port}", schema=work.SCHEMA) as channel:
        await work.measure(case, Calls(channel))


if __name__ == "__main__":
    work.entry(serve, client)
