"""Proxies in this process that really relay: SOCKS 4, 4a and 5, HTTP CONNECT, with TLS or users if wanted."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from wirelane.core.target import HostPort


@dataclass
class RelayProxy:
    """A proxy, and what it was asked for.

    Attributes:
        kind: "socks4", "socks5" or "http".
        users: Who may, with their passwords; for SOCKS 4 the user ids. Empty: everybody.
        names: Names that this proxy alone can resolve.
        targets: What it was asked to connect to, as it was asked.
        heads: The requests of HTTP as they came.
        connected: How many came.
    """

    kind: str
    users: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    connected: int = 0
    port: int = 0
    scheme: str = ""

    def url(self, userinfo: str = "") -> str:
        return f"{self.scheme or self.kind}://{userinfo and userinfo + '@'}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                handshake = {"socks4": self._socks4, "socks5": self._socks5, "http": self._http}[self.kind]
                await handshake(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.targets.append(str(HostPort(host, port)))
        return await asyncio.open_connection(self.names.get(host, host), port)

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.users:
            allowed = {base64.b64encode(f"{u}:{p}".encode()) for u, p in self.users.items()}
            if not any(b"Proxy-Authorization: Basic " + secret + b"\r\n" in head for secret in allowed):
                writer.write(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
                return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        try:
            far = await self._open(host.strip("[]"), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _relay((reader, writer), far)

    async def _socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.users else 0
        if method not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if self.users:
            _, size = await reader.readexactly(2)
            user = (await reader.readexactly(size)).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            if self.users.get(user) != password:
                writer.write(b"\x01\x01")
                return
            writer.write(b"\x01\x00")
        _, _, _, form = await reader.readexactly(4)
        if form == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        elif form == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            octets = await reader.readexactly(16)
            host = ":".join(octets[i : i + 2].hex() for i in range(0, 16, 2))
        port = int.from_bytes(await reader.readexactly(2), "big")
        try:
            far = await self._open(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _relay((reader, writer), far)

    async def _socks4(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, _ = await reader.readexactly(2)
        port = int.from_bytes(await reader.readexactly(2), "big")
        octets = await reader.readexactly(4)
        user = (await reader.readuntil(b"\0"))[:-1].decode()
        host = ".".join(map(str, octets))
        if octets[:3] == bytes(3):
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        if self.users and user not in self.users:
            writer.write(b"\x00\x5d" + bytes(6))
            return
        try:
            far = await self._open(host, port)
        except OSError:
            writer.write(b"\x00\x5b" + bytes(6))
            return
        writer.write(b"\x00\x5a" + bytes(6))
        await _relay((reader, writer), far)


async def _relay(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # one of them is gone
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    try:
        await asyncio.gather(pass_on(near[0], far[1]), pass_on(far[0], near[1]))
    finally:
        far[1].close()
        with suppress(OSError):
            await far[1].wait_closed()


@asynccontextmanager
async def relay_proxy(
    kind: str,
    *,
    users: dict[str, str] | None = None,
    names: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    scheme: str = "",
) -> AsyncIterator[RelayProxy]:
    """Run a proxy; leaving closes what it still relays."""
    proxy = RelayProxy(kind, users or {}, names or {}, scheme=scheme or ("https" if tls else kind))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        try:
            await proxy.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)
