"""Proxies that say what a script tells them to: refusals, nonsense, silence, and good answers cut in every way.

A script is a coroutine on a `Visit`, the connection of one client. Where it grants a connection, it plays the target
itself, or passes on what the target says: the client must never go there on its own. `hostile_proxy` runs a script;
`Tripwire` is a target that counts who comes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from support.tcp_support import turns

GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
ENDLESS = 64 * 1024 * 1024
"""Bytes after which a script gives up on a client that reads what has no end."""


class Visit:
    """The connection of one client, on a bare socket.

    Attributes:
        heard: All that the client has sent.
    """

    def __init__(self, sock: socket.socket, heard: bytearray) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.heard = heard
        self._unread = bytearray()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            await self._more()
        return self._take(count)

    async def until(self, end: bytes) -> bytes:
        while end not in self._unread:
            await self._more()
        return self._take(self._unread.index(end) + len(end))

    async def say(self, *pieces: bytes) -> None:
        """Send the pieces, each in a segment of its own that the client reads before the next comes."""
        for piece in pieces:
            await self._loop.sock_sendall(self._sock, piece)
            await turns(4)

    async def say_byte_by_byte(self, data: bytes) -> None:
        await self.say(*(data[at : at + 1] for at in range(len(data))))

    async def say_for_ever(self, piece: bytes) -> int:
        """Repeat a piece until the client has had enough; how many bytes it let be sent."""
        sent = 0
        with suppress(ConnectionError):
            while sent < ENDLESS:
                await self._loop.sock_sendall(self._sock, piece)
                sent += len(piece)
        return sent

    async def until_left(self) -> None:
        """Wait until the client goes away."""
        with suppress(ConnectionError, EOFError):
            while True:
                await self._more()

    async def echo(self) -> None:
        """Be the target: give back what comes."""
        with suppress(ConnectionError, EOFError):
            while True:
                if not self._unread:
                    await self._more()
                await self._loop.sock_sendall(self._sock, self._take(len(self._unread)))

    async def join(self, target: tuple[str, int], answer: bytes) -> None:
        """Connect with a target that speaks first: its first words come in one segment with the proxy's answer."""
        reader, writer = await asyncio.open_connection(*target)
        try:
            first = await reader.read(65_536)
            await self._loop.sock_sendall(self._sock, answer + first)
            down = asyncio.ensure_future(self._down(reader))
            try:
                with suppress(ConnectionError, EOFError):
                    while True:
                        if not self._unread:
                            await self._more()
                        writer.write(self._take(len(self._unread)))
                        await writer.drain()
            finally:
                down.cancel()
                await asyncio.wait((down,))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _down(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self._loop.sock_sendall(self._sock, data)

    def reset(self) -> None:
        """Send RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    async def _more(self) -> None:
        data = await self._loop.sock_recv(self._sock, 65_536)
        if not data:
            raise EOFError("the client ended its stream")
        self.heard += data
        self._unread += data

    def _take(self, count: int) -> bytes:
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data


Script = Callable[[Visit], Awaitable[None]]


@dataclass
class HostileProxy:
    """Where one listens, and what it has heard: of each visit, all bytes of the client."""

    port: int
    heard: list[bytearray] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def hostile_proxy(script: Script) -> AsyncIterator[HostileProxy]:
    """Run a script for every client; whatever a script raises fails the block, but for clients that go away."""
    loop = asyncio.get_running_loop()
    visits: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        proxy = HostileProxy(listening.getsockname()[1])

        async def visit(sock: socket.socket) -> None:
            heard = bytearray()
            proxy.heard.append(heard)
            with sock:
                try:
                    await script(Visit(sock, heard))
                except (ConnectionError, EOFError):
                    pass  # the client went away
                except Exception as failure:
                    failures.append(failure)

        async def accept() -> None:
            while True:
                sock, _ = await loop.sock_accept(listening)
                visits.add(asyncio.ensure_future(visit(sock)))

        accepting = asyncio.ensure_future(accept())
        try:
            yield proxy
        finally:
            for task in (accepting, *visits):
                task.cancel()
            await asyncio.wait((accepting, *visits))
    if failures:
        raise failures[0]


class Tripwire:
    """A target that counts who comes; `address` is where."""

    def __init__(self) -> None:
        self.visits = 0
        self.address = ""
        self.port = 0

    async def __aenter__(self) -> Tripwire:
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        # Who is on the way gets in: a connection that was made is counted, even now.
        await turns(20)
        self._server.close()
        await self._server.wait_closed()

    def _visit(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


# -- HTTP


def http_answer(*pieces: bytes) -> Script:
    """Answer CONNECT with these pieces, a segment each, and wait for the client to go."""

    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.say(*pieces)
        await visit.until_left()

    return script


def http_answer_then_end(answer: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.say(answer)

    return script


def http_answer_then_reset(answer: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.say(answer)
        visit.reset()

    return script


def http_endless(beginning: bytes, piece: bytes, sent: list[int]) -> Script:
    """Answer with what never ends; `sent` gets how much of it the client took."""

    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.say(beginning)
        sent.append(await visit.say_for_ever(piece))

    return script


def http_granting(answer: bytes, cut: Callable[[bytes], list[bytes]]) -> Script:
    """Grant the connection with an answer that is sent as `cut` says, then be an echo."""

    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.say(*cut(answer))
        await visit.echo()

    return script


# -- SOCKS


def socks5(
    *, method: bytes = b"\x05\x00", auth: bytes | None = None, pieces: tuple[bytes, ...] = ()
) -> Script:
    """Speak SOCKS5 (RFC 1928): choose a method, judge the password (RFC 1929), answer the request with pieces.

    Args:
        method: The answer to the greeting; after another than 05 00 or 05 02 nothing more is said.
        auth: The answer to name and password.
        pieces: The answer to the request, a segment each; then it is an echo.
    """

    async def script(visit: Visit) -> None:
        version, count = await visit.exactly(2)
        assert version == 5
        await visit.exactly(count)
        await visit.say(method)
        if method not in {b"\x05\x00", b"\x05\x02"}:
            await visit.until_left()
            return
        if method == b"\x05\x02":
            await visit.exactly((await visit.exactly(2))[1])
            await visit.exactly((await visit.exactly(1))[0])
            await visit.say(auth or b"")
            if auth != b"\x01\x00":
                await visit.until_left()
                return
        await socks5_request(visit)
        await visit.say(*pieces)
        await visit.echo()

    return script


async def socks5_request(visit: Visit) -> None:
    """Take a SOCKS5 request from what the client says."""
    version, command, _, kind = await visit.exactly(4)
    assert (version, command) == (5, 1)
    size = {1: 4, 4: 16}.get(kind)
    await visit.exactly((await visit.exactly(1))[0] if size is None else size)
    await visit.exactly(2)


def socks5_reply(code: int, bound: bytes = b"\x01\x00\x00\x00\x00\x00\x00") -> bytes:
    return bytes((5, code, 0)) + bound


def socks4(*pieces: bytes) -> Script:
    """Answer a SOCKS4 or 4a request with pieces, a segment each; then be an echo."""

    async def script(visit: Visit) -> None:
        request = await visit.exactly(8)
        assert request[:2] == b"\x04\x01"
        await visit.until(b"\0")
        if request[4:7] == b"\0\0\0" and request[7]:
            await visit.until(b"\0")
        await visit.say(*pieces)
        await visit.echo()

    return script


def socks4_reply(code: int, version: int = 0) -> bytes:
    return bytes((version, code)) + bytes(6)
