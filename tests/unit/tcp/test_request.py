"""A request that is cancelled. The rest is in tests/twins."""

from __future__ import annotations

import asyncio

import pytest

from support.tcp_support import streams_server
from wirelane import tcp


async def test_a_cancelled_request_leaves_nothing_open() -> None:
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asking.cancel()
        try:
            await reader.read()
        except ConnectionError:
            pass
        gone.set()

    async with streams_server(hang) as address:
        asking = asyncio.create_task(tcp.request(address, "a\n"))
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone.wait()
