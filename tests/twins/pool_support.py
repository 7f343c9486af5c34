"""Pools of connections to a server that counts and misbehaves on demand: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from support.pool_support import SOON, backend
from support.twins_support import elsewhere, until
from wirelane import TlsConfig, tcp


@asynccontextmanager
async def pooled(server_tls: TlsConfig | None = None, **options: Any) -> AsyncIterator[tuple[tcp.Pool, Any]]:
    """A pool, and the `support.pool_support.Backend` elsewhere that it is of; at the end, nothing of the pool may be left."""
    async with elsewhere(backend, server_tls) as (there, address):
        async with tcp.Pool(address, **options) as pool:
            yield pool, there
        assert (pool.stats.in_use, pool.stats.idle, pool.stats.opening) == (0, 0, 0)
        await until(lambda: not there.here)


async def ask(pool: tcp.Pool, line: str = "hello", **options: Any) -> tuple[str, str]:
    """Have a line answered on a connection of the pool; the answer, and the address of its end."""
    async with pool.connection(timeout=SOON) as connection:
        await connection.send_line(line)
        return await connection.read_line(timeout=SOON, **options), str(connection.local)


async def warm(pool: tcp.Pool, count: int) -> None:
    """Have so many connections used, and idle."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            connection = await stack.enter_async_context(pool.connection(timeout=SOON))
            await connection.send_line("hello")
            assert await connection.read_line(timeout=SOON) == "hello"
    assert pool.stats.idle == count


async def quiet(pool: tcp.Pool) -> None:
    """Wait until nobody uses the pool, and it does nothing."""
    await until(lambda: not (pool.stats.in_use or pool.stats.waiting or pool.stats.opening))
