"""Unary calls that the loop makes for a thread, step by step."""

from __future__ import annotations

import asyncio

from support.client_support import ONE, raw_server
from support.wire_support import GOAWAY, frame
from wirelane import grpc
from wirelane.sync._job import UnaryJob


async def test_a_call_cancelled_as_it_is_to_be_made_again_ends_there() -> None:
    """In the loop, before the task that goes on with it has taken a step; not when somebody collects it."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        await channel.connect()
        job = UnaryJob(channel._core, ONE, b"x", None, None, None, None)
        job.start(asyncio.get_running_loop())
        peer = await raw.peers.get()
        await peer.request()
        peer.write(frame(GOAWAY, 0, 0, bytes(8)))
        async with asyncio.timeout(20):
            while job.task is None:
                await asyncio.sleep(0)
            job.cancel()
            while not job.finished:
                await asyncio.sleep(0)
        assert isinstance(job.error, asyncio.CancelledError)
        assert (channel.stats.active, channel.stats.failed) == (0, 1)
