"""For the tests with the fault proxy: a server that the test holds, clients through the proxy, and sockets that are bare."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from support.tcp_support import Peer, streams_server, turns
from wirelane import tcp
from wirelane.testing import faults


@dataclass
class Line:
    """A client and a server, and the proxy between them."""

    proxy: faults.FaultProxy
    client: tcp.Connection
    server: Peer


@asynccontextmanager
async def line(
    *what: faults.Fault, seed: int = 1, server_tls: Any = None, **options: Any
) -> AsyncIterator[Line]:
    """Connect our client to a plain asyncio server through a proxy with these faults."""
    async with held_server(server_tls) as (address, peers), proxied(address, what, seed=seed) as proxy:
        async with tcp.connect(proxy.address, **options) as client:
            yield Line(proxy, client, await peers.get())


@asynccontextmanager
async def proxied(
    address: str, what: Iterable[faults.Fault] = (), **options: Any
) -> AsyncIterator[faults.FaultProxy]:
    """A proxy whose end is checked: it leaves no connection open."""
    async with faults.FaultProxy(address, faults=what, **options) as proxy:
        yield proxy
    assert proxy.connections == ()


@asynccontextmanager
async def held_server(tls: Any = None) -> AsyncIterator[tuple[str, asyncio.Queue[Peer]]]:
    """A plain asyncio server whose ends of connections the test holds."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()
    done = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.put_nowait(Peer(reader, writer))
        await done.wait()

    async with streams_server(hold, tls) as address:
        try:
            yield address, peers
        finally:
            done.set()
            await turns(3)


class Bare:
    """A socket without a protocol: sees what comes exactly, as bytes, an end or a reset."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, most: int = 65536) -> bytes:
        return await self._loop.sock_recv(self.sock, most)

    async def rest(self) -> bytes:
        """All that comes until the end. Raises ConnectionResetError for a reset."""
        parts = []
        while part := await self.receive():
            parts.append(part)
        return b"".join(parts)

    def end(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@asynccontextmanager
async def bare(address: str) -> AsyncIterator[Bare]:
    """Connect a bare socket to "host:port" or "unix:/path"."""
    host, _, port = address.rpartition(":")
    unix = host == "unix"
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, port if unix else (host, int(port)))
        yield Bare(sock)


@asynccontextmanager
async def listening_socket() -> AsyncIterator[tuple[str, Callable[[], AbstractAsyncContextManager[Bare]]]]:
    """A bare socket that listens; gives its address, and what takes the next client."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        @asynccontextmanager
        async def accept() -> AsyncIterator[Bare]:
            sock, _ = await loop.sock_accept(listening)
            with sock:
                sock.setblocking(False)
                yield Bare(sock)

        yield f"127.0.0.1:{listening.getsockname()[1]}", accept


@asynccontextmanager
async def bare_pair(
    *what: faults.Fault, seed: int = 1, **options: Any
) -> AsyncIterator[tuple[faults.FaultProxy, Bare, Bare]]:
    """A proxy, and a bare client and a bare server that it connects."""
    async with listening_socket() as (address, accept):
        async with proxied(address, what, seed=seed, **options) as proxy, bare(proxy.address) as client:
            async with accept() as server:
                await proxy.connected()
                yield proxy, client, server
