"""What a TCP connection costs, counted and not timed: memory while it is idle, instructions for a round trip.

The counts of instructions are those of CPython 3.11 with room for what other versions count otherwise; they are there to
show that something was added to a path that every message takes.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.cost_support import Counts
from wirelane import tcp
from wirelane.core.delimiters import ReadRule
from wirelane.core.limits import Limits
from wirelane.tcp.protocol import TcpProtocol

MESSAGE = b"sixteen bytes..."
CONNECTIONS = 200


def memory_of(open_one: Callable[[int], Awaitable[object]]) -> float:
    """Return the bytes of Python's memory that an idle connection takes, its transport included, in asyncio's own loop."""

    async def measure() -> float:
        held: list[Any] = []
        peers = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            async def add(count: int) -> None:
                for _ in range(count):
                    held.append(await open_one(listener.getsockname()[1]))
                    peers.append(listener.accept()[0])

            await add(20)  # what is made once is made
            gc.collect()
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                await add(CONNECTIONS)
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            for one in held:
                transport = one[0] if isinstance(one, tuple) else one
                transport.abort()
            for peer in peers:
                peer.close()
            await asyncio.sleep(0)
        return (after - before) / CONNECTIONS

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(measure())


def test_an_idle_connection_takes_little_more_memory_than_a_bare_protocol() -> None:
    async def bare(port: int) -> object:
        return await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)

    ours = memory_of(lambda port: tcp.connect(f"127.0.0.1:{port}").__aenter__())
    theirs = memory_of(bare)
    assert ours < theirs + 1536
    assert ours < 12 * 1024


ROUND_TRIPS: dict[str, tuple[Callable[[tcp.Connection], Awaitable[bytes | str]], int]] = {
    "read": (lambda connection: connection.read(), 450),
    "read_exactly": (lambda connection: connection.read_exactly(len(MESSAGE)), 480),
    "read_until_the_dots": (lambda connection: connection.read(marker=b"..."), 620),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_round_trip_takes_few_instructions(name: str) -> None:
    read, most = ROUND_TRIPS[name]

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def count() -> float:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, tcp.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as connection:

            async def trips(number: int) -> int:
                counts = Counts()
                with counts.running():
                    for _ in range(number):
                        await connection.send(MESSAGE)
                        assert await read(connection) == MESSAGE
                return counts.instructions.total()

            await trips(20)
            once, twice = await trips(20), await trips(40)
        return (twice - once) / 20

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(count()) < most


def test_a_large_block_wakes_its_reader_once() -> None:
    async def count() -> tuple[int, int]:
        size = 8 * 1024 * 1024
        asked = 0
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            async with tcp.Connection(await _adopt(ours)) as connection:
                attempt = TcpProtocol.attempt

                def counted(protocol: TcpProtocol, rule: ReadRule[object]) -> object:
                    nonlocal asked
                    asked += 1
                    return attempt(protocol, rule)

                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(TcpProtocol, "attempt", counted)
                    sending = asyncio.create_task(
                        asyncio.get_running_loop().sock_sendall(theirs, bytes(size))
                    )
                    block = await connection.read_exactly(size)
                    await sending
        return asked, len(block)

    assert asyncio.run(count()) == (1, 8 * 1024 * 1024)


async def _adopt(sock: socket.socket) -> TcpProtocol:
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: TcpProtocol(Limits()), sock=sock)
    return protocol
