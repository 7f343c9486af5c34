"""Channels and the event loops that they are used in. How they connect, fail, wait and close is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.client_support import (
    ONE,
    wire_server,
)
from wirelane import (
    RpcError,
    StatusCode,
    UsageError,
    grpc,
)
from wirelane.transport.base import ServerStream


async def echo(stream: ServerStream) -> None:
    part = await stream.receive()
    assert part is not None
    stream.finish(StatusCode.OK, payload=part[1])


async def test_connect_can_be_a_task() -> None:
    async with wire_server(echo) as port:
        channel = await asyncio.create_task(grpc.connect(f"127.0.0.1:{port}"))
        assert repr(channel) == f"<Channel grpc://127.0.0.1:{port} READY 1 connection, 0 calls>"
        await channel.close()


def test_a_channel_outlives_its_loop_but_serves_one_at_a_time() -> None:
    async def first() -> grpc.Channel:
        async with wire_server(echo) as port:
            channel = grpc.Channel(f"127.0.0.1:{port}")
            assert await channel.unary(ONE, b"1") == b"1"
            with pytest.raises(UsageError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, second(channel))
            return channel

    async def second(channel: grpc.Channel) -> bytes:
        return await channel.unary(ONE, b"2")

    async def third(channel: grpc.Channel) -> None:
        with pytest.raises(RpcError, match="UNAVAILABLE"):
            await channel.unary(ONE, b"3")
        await channel.close()

    asyncio.run(third(asyncio.run(first())))
