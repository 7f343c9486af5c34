"""For tests of pools: a server that counts and misbehaves on demand, and what must be so when nobody uses the pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from support.tcp_support import until
from wirelane import TlsConfig, tcp
from wirelane.errors import ConnectionLost, EndOfStream

SOON = 30.0


class Backend:
    """A server of lines.

    It answers each line with the line, but for these: "bye" closes after the answer, "die" closes without one, "cut"
    resets, "half" sends half an answer and nothing more, "mute" sends nothing, "twice" answers twice, "deaf" reads
    nothing more.

    Attributes:
        seen: The lines that arrived.
        here: Its ends of the connections that are open.
        most: The most that were open at once.
        came: All that ever came.
        ends: How connections ended, as it saw it: "end", or the name of an error.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.here: list[tcp.Connection] = []
        self.most = 0
        self.came = 0
        self.ends: list[str] = []
        self.greeting = ""

    async def handle(self, connection: tcp.Connection) -> None:
        self.here.append(connection)
        self.came += 1
        self.most = max(self.most, len(self.here))
        try:
            if self.greeting:
                await connection.send_line(self.greeting)
            async for line in connection.lines():
                self.seen.append(line)
                if await self._answer(connection, line):
                    return
            self.ends.append("end")
        except (ConnectionLost, EndOfStream) as error:
            self.ends.append(type(error).__name__)
        finally:
            self.here.remove(connection)

    async def _answer(self, connection: tcp.Connection, line: str) -> bool:
        """Answer one line; whether that was the last."""
        if line == "cut":
            connection.abort()
        elif line == "half":
            await connection.send(b"hal")
        elif line == "twice":
            await connection.send(b"twice\ntwice\n")
        elif line == "deaf":
            await asyncio.Event().wait()
        elif line not in ("mute", "die"):
            await connection.send_line(line)
        return line in ("bye", "die", "cut")

    def local(self) -> set[str]:
        """The addresses of the clients that are connected."""
        return {str(connection.peer) for connection in self.here}


@asynccontextmanager
async def backend(
    tls: TlsConfig | None = None, listen_at: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[Backend, str]]:
    """Run one; gives its address."""
    there = Backend()
    async with tcp.Server(there.handle, tls=tls).listen(listen_at, grace=0) as listening:
        yield there, str(listening.address)


@asynccontextmanager
async def pooled(
    server_tls: TlsConfig | None = None, **options: Any
) -> AsyncIterator[tuple[tcp.Pool, Backend]]:
    """A backend and a pool of connections to it; at the end, nothing of the pool may be left."""
    async with backend(server_tls) as (there, address):
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
    async with asyncio.timeout(SOON):
        while pool.stats.in_use or pool.stats.waiting or pool.stats.opening:
            await asyncio.sleep(0)
