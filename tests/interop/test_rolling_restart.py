"""A rolling restart under load fails no call: each client keeps calling while the server is replaced again and again.

Servers are processes of ours at one port (SO_REUSEPORT): the new one listens, then the old one gets SIGTERM and drains. The
next restart waits until every worker's channel has been answered by the newest server, so each client sees them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from support.rolling_support import foreign_client, servers
from wirelane import TlsConfig, grpc

if TYPE_CHECKING:
    from conftest import Certificates

RESTARTS = 4
WORKERS = 16
ONE = grpc.Method("test.Rolling/One", grpc.Cardinality.UNARY, bytes, bytes)
DOWN = grpc.Method("test.Rolling/Down", grpc.Cardinality.SERVER_STREAM, bytes, bytes)


class Client(Protocol):
    """What the test needs of a client under load."""

    async def reached(self, name: str) -> None: ...

    async def calls(self) -> int: ...


class Ours:
    """The same as the foreign clients, with a channel of ours."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._calls = 0
        self._done = False
        self._seen: dict[bytes, asyncio.Event] = {}
        self.workers = [asyncio.create_task(self._work(bool(number % 2))) for number in range(WORKERS)]

    def _event(self, name: bytes) -> asyncio.Event:
        return self._seen.setdefault(name, asyncio.Event())

    async def _work(self, stream: bool) -> None:
        while not self._done:
            if stream:
                name = (await self._channel.collect(DOWN, bytes(2000)))[-1]
            else:
                name = await self._channel.unary(ONE, bytes(2000))
            self._calls += 1
            self._event(name).set()

    async def reached(self, name: str) -> None:
        reached = asyncio.create_task(self._event(name.encode()).wait())
        try:
            await asyncio.wait((reached, *self.workers), return_when=asyncio.FIRST_COMPLETED)
            for worker in self.workers:
                if worker.done():
                    worker.result()
        finally:
            reached.cancel()

    async def calls(self) -> int:
        self._done = True
        await asyncio.gather(*self.workers)
        return self._calls


@asynccontextmanager
async def our_client(port: int, ca: Certificates, transport: str) -> AsyncIterator[Client]:
    tls = TlsConfig(ca=ca.ca) if transport == "tls" else None
    async with grpc.connect(f"127.0.0.1:{port}", tls=tls) as channel:
        client = Ours(channel)
        try:
            yield client
        finally:
            for worker in client.workers:
                worker.cancel()
            await asyncio.gather(*client.workers, return_exceptions=True)


@pytest.mark.timeout(300)  # a first build of the client in Go
@pytest.mark.parametrize("transport", ["h2c", "tls"])
@pytest.mark.parametrize("kind", ["wirelane", "grpcio", "grpc-go"])
async def test_a_rolling_restart_fails_no_call(ca: Certificates, kind: str, transport: str) -> None:
    """Four restarts, sixteen calls in flight, half of them streams."""
    async with servers(ca, transport) as running:
        client: Client
        connecting = (
            our_client(running.port, ca, transport)
            if kind == "wirelane"
            else foreign_client(kind, running.port, WORKERS, ca, transport)
        )
        async with connecting as client:
            await client.reached(running.name)
            for _ in range(RESTARTS):
                await running.replace()
                await client.reached(running.name)
            assert await client.calls() > WORKERS * RESTARTS
