"""A wirelane channel on a wirelane server, cancelled: all else that both ends together show is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.server_support import Trail, demo_schema, demo_server, listening, until
from wirelane import grpc


def connect(at):
    return grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema())


async def test_cancelling_a_client_cancels_the_whole_chain():
    trail = Trail()
    back = demo_server()

    @back.method("Demo/One")
    async def last(request):
        trail.mark("started")
        try:
            await asyncio.Event().wait()
        finally:
            trail.mark("ended")

    async with listening(back) as back_at, connect(back_at) as inner:
        front = demo_server()

        @front.method("Demo/One")
        async def first(request):
            return await inner.unary("Demo/One", request)

        async with listening(front) as at, connect(at) as channel:
            task = asyncio.create_task(_unary(channel))
            await trail.reached("started")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await trail.reached("ended")
            await until(lambda: front.calls == back.calls == 0)


async def _unary(channel):
    return await channel.unary("Demo/One", {"n": 1})
