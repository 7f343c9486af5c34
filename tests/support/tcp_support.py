"""Peers for the TCP tests: plain asyncio streams."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wirelane import tcp
from wirelane.core.limits import Limits

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """The other end of a connection, held by the test."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    quiet: bool = False

    async def say(self, *pieces: bytes) -> None:
        """Send the pieces, each in a write of its own and, as far as this end can tell, a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await turns(3)

    def pause(self) -> None:
        """Read no more."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read on."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def drip(self, seconds: float) -> bytes:
        """Send single bytes without a pause, until `quiet` is set or the time is up; returns them."""
        end, sent = time.monotonic() + seconds, b""
        while not self.quiet and time.monotonic() < end:
            await self.say(b"x")
            sent += b"x"
        return sent

    async def flood(self, piece: bytes) -> None:
        """Send it again and again, until `quiet` is set or nobody is there any more."""
        with suppress(ConnectionError):
            while not self.quiet:
                await self.say(piece)

    def reset(self) -> None:
        """Send RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def cut(self) -> None:
        """End the TCP stream without a word of TLS."""
        self.writer.transport.abort()


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until something holds; the test's timeout ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.001)


async def give_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back what comes, as it comes."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak first, as servers of mail do, and then no more."""
    writer.write(b"220 mail.test ESMTP\r\n")
    await reader.read()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client ends its stream."""
    await reader.read()


def upgrade_to(tls: ssl.SSLContext) -> Streams:
    """Start TLS when the client asks for it, and greet it there with its own words."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.start_tls(tls)
        writer.write(b"welcome\n" + await reader.readline())
        await writer.drain()

    return upgrade


@asynccontextmanager
async def streams_server(
    handle: Streams, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[str]:
    """Run a plain asyncio server; gives its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def own(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(own, "127.0.0.1", 0, ssl=tls, **options)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        while tasks:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def echo_at(path: Path) -> AsyncIterator[None]:
    """Run an echo of whole streams at a Unix socket."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(echo, path):
        yield


class Guest:
    """Whoever connects to `one_guest`."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._peer: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer.set_result(Peer(reader, writer))
        await self.done.wait()

    async def arrived(self) -> Peer:
        """Wait for it, and return the server's end."""
        return await self._peer


@asynccontextmanager
async def one_guest(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, Guest]]:
    """Run a plain asyncio server for one client, whose connection the test holds; gives its address."""
    guest = Guest()
    async with streams_server(guest.receive, tls) as address:
        try:
            yield address, guest
        finally:
            guest.done.set()


@asynccontextmanager
async def pair(
    *, server_tls: ssl.SSLContext | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[tcp.Connection, Peer]]:
    """Connect to a plain asyncio server; gives our end and the other."""
    async with one_guest(server_tls) as (address, guest):
        async with tcp.connect(address, limits=limits, **options) as connection:
            yield connection, await guest.arrived()


@asynccontextmanager
async def served(handler: tcp.Handler, **options: Any) -> AsyncIterator[tuple[tcp.Listening, str]]:
    """Run a `tcp.Server`; gives what listens, and its address."""
    listen_at = options.pop("listen_at", "127.0.0.1:0")
    async with tcp.Server(handler, **options).listen(listen_at) as listening:
        yield listening, str(listening.address)
