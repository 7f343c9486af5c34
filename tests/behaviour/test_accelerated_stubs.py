"""betterproto2's own stubs and services, with accelerated messages: over grpclib, over grpcio, and over a channel of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc as grpcio
import grpclib.client
import grpclib.server
import pytest

from support.better_support import compile_better
from wirelane import codec, grpc
from wirelane.codec.glue import kept_glue


@pytest.fixture
def typed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """typed.proto with stubs and bases, its classes new and accelerated."""
    generation = getattr(request, "param", "async")
    module = compile_better(
        tmp_path,
        f"stubs_{abs(hash(request.node.nodeid))}",
        f"client_generation={generation}",
        "server_generation=async",
    )
    with codec.accelerate(module):
        yield module


def service(typed: ModuleType) -> Any:
    class Typed(typed.TypedBase):
        async def echo(self, message: Any) -> Any:
            return message

        async def each(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for message in messages:
                yield message

    return Typed()


@asynccontextmanager
async def over_grpclib(typed: ModuleType) -> AsyncIterator[Any]:
    server = grpclib.server.Server([service(typed)])
    await server.start("127.0.0.1", 0)
    listener: Any = server._server
    port = listener.sockets[0].getsockname()[1]
    try:
        async with grpclib.client.Channel("127.0.0.1", port) as channel:
            yield channel
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def over_wirelane(typed: ModuleType) -> AsyncIterator[Any]:
    server = grpc.Server([service(typed)], reflection=False)
    async with (
        server.listen("127.0.0.1:0") as listening,
        grpc.connect(f"127.0.0.1:{listening.port}") as channel,
    ):
        yield channel


async def each_of(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


@pytest.mark.parametrize("over", [over_grpclib, over_wirelane])
async def test_betterproto2_stubs_and_services_work_on_accelerated_messages(
    typed: ModuleType, over: Any
) -> None:
    message = typed.Everything(f_string="x", r_leaf=[typed.Leaf("a", 1)], o_int32=0)
    connection: AbstractAsyncContextManager[Any] = over(typed)
    async with connection as channel:
        stub = typed.TypedStub(channel)
        assert await stub.echo(message) == message
        assert [reply async for reply in stub.each(each_of(message, typed.Everything()))] == [
            message,
            typed.Everything(),
        ]
    assert kept_glue(typed.Everything) is not None


@pytest.mark.parametrize("typed", ["sync"], indirect=True)
async def test_betterproto2_stubs_for_grpcio_work_on_accelerated_messages(typed: ModuleType) -> None:
    message = typed.Everything(f_string="x", r_leaf=[typed.Leaf("a", 1)])
    server = grpc.Server([service(typed)], reflection=False)
    async with server.listen("127.0.0.1:0") as listening:

        def call() -> Any:
            with grpcio.insecure_channel(f"127.0.0.1:{listening.port}") as channel:
                return typed.TypedStub(channel).echo(message)

        assert await asyncio.to_thread(call) == message
    assert kept_glue(typed.Everything) is not None
