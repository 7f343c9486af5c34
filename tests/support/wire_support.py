"""A raw HTTP/2 peer for wire tests: it says exactly what it is told, right or wrong, and keeps what it hears.

It shares nothing with wirelane's engine: frames are packed here, headers go through the `hpack` library.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, cast

import hpack

from wirelane.core.keepalive import ServerOptions
from wirelane.core.limits import Limits
from wirelane.core.target import HostPort
from wirelane.transport.base import CallHandler, ClientStream, RequestHead
from wirelane.transport.client import H2ClientConnection, connect
from wirelane.transport.keepalive import Keepalive
from wirelane.transport.memory import pipe
from wirelane.transport.server import H2ServerConnection, serve

Link = Literal["tcp", "memory"]
LINKS: list[Link] = ["tcp", "memory"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Echo/Call"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]

Fields = list[tuple[str, str]] | list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def ends_stream(self) -> bool:
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        start = 4 if self.kind == GOAWAY else 0
        return int.from_bytes(self.payload[start : start + 4], "big")

    @property
    def last_stream(self) -> int:
        return int.from_bytes(self.payload[:4], "big")

    def field(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message(payload: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(payload).to_bytes(4, "big") + payload


class RawPeer(asyncio.Protocol):
    """One end of a connection, without rules.

    `frames` are those that nobody has asked for yet, `seen` are all.
    """

    def __init__(self, *, server: bool, greeting: bytes | None = None) -> None:
        self.server = server
        self.greeting = greeting
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.seen: list[Frame] = []
        self.transport: asyncio.Transport | None = None
        self.raw = b""
        self._buffer = b""
        self._preface = not server
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self.connected = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: uvloop's transports are no subclass of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        if self.greeting is not None:
            self.transport.write(self.greeting)
        else:
            self.transport.write((b"" if self.server else PREFACE) + frame(SETTINGS, 0, 0))
        self.connected.set()

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self._buffer += data
        if not self._preface:
            if len(self._buffer) < len(PREFACE):
                return
            assert self._buffer.startswith(PREFACE)
            self._buffer = self._buffer[len(PREFACE) :]
            self._preface = True
        while len(self._buffer) >= 9:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < size:
                return
            head, payload, self._buffer = self._buffer[:9], self._buffer[9:size], self._buffer[size:]
            headers: tuple[tuple[str, str], ...] = ()
            if head[3] == HEADERS:
                decoded = self._decoder.decode(payload, raw=True)
                headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in decoded)
            heard = Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload, headers)
            self.seen.append(heard)
            self.frames.put_nowait(heard)

    def connection_lost(self, exc: Exception | None) -> None:
        self.frames.put_nowait(None)

    # Saying

    def write(self, *frames: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(frames))

    def block(self, fields: Fields) -> bytes:
        return bytes(self._encoder.encode(fields))

    def headers(self, stream: int, fields: Fields, *, end: bool = False) -> bytes:
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(fields))

    def answer(self, stream: int, payload: bytes = b"reply", trailers: Fields = OK) -> None:
        """A whole, right unary answer."""
        self.write(
            self.headers(stream, RESPONSE),
            frame(DATA, 0, stream, message(payload)),
            self.headers(stream, trailers, end=True),
        )

    def close(self) -> None:
        assert self.transport is not None
        self.transport.close()

    # Hearing

    async def next(self, *kinds: int) -> Frame:
        """The next frame of these kinds (any but SETTINGS and WINDOW_UPDATE if none is named); others are dropped."""
        while True:
            heard = await self.frames.get()
            assert heard is not None, "the connection was closed"
            if heard.kind in kinds or (not kinds and heard.kind not in (SETTINGS, WINDOW_UPDATE)):
                return heard

    async def request(self) -> Frame:
        """The HEADERS of the next call, once the call has been sent whole."""
        head = await self.next(HEADERS)
        heard = head
        while not heard.ends_stream:
            heard = await self.next(DATA, HEADERS)
        return head

    async def closed(self) -> list[Frame]:
        """Wait for the connection to be closed; the frames that came before."""
        heard = []
        while (item := await self.frames.get()) is not None:
            heard.append(item)
        return heard


@asynccontextmanager
async def client_and_raw_server(
    link: Link,
    *,
    limits: Limits | None = None,
    greeting: bytes | None = None,
    keepalive: Keepalive | None = None,
) -> AsyncIterator[tuple[H2ClientConnection, RawPeer]]:
    """A wirelane client connection whose server is a raw peer."""
    raw = RawPeer(server=True, greeting=greeting)
    limits = limits or Limits()
    if link == "memory":
        client = H2ClientConnection(limits, target="memory", keepalive=keepalive)
        pipe(client, raw)
        await client.wait_ready()
        try:
            yield client, raw
        finally:
            client.abort()
            await client.wait_closed()
        return
    server = await asyncio.get_running_loop().create_server(lambda: raw, "127.0.0.1", 0)
    try:
        address = HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
        client = await connect(address, limits=limits, keepalive=keepalive)
        try:
            yield client, raw
        finally:
            client.abort()
            await client.wait_closed()
    finally:
        server.close()
        if raw.transport is not None:
            raw.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def server_and_raw_client(
    link: Link,
    on_call: CallHandler,
    *,
    limits: Limits | None = None,
    greeting: bytes | None = None,
    options: ServerOptions | None = None,
) -> AsyncIterator[tuple[Callable[[], H2ServerConnection], RawPeer]]:
    """A wirelane server connection whose client is a raw peer; the first item finds the connection."""
    raw = RawPeer(server=False, greeting=greeting)
    limits = limits or Limits()
    if link == "memory":
        connection = H2ServerConnection(limits, on_call, options=options)
        pipe(raw, connection)
        await raw.connected.wait()
        try:
            yield lambda: connection, raw
        finally:
            connection.abort()
            await connection.wait_closed()
        return
    serving = await serve(HostPort("127.0.0.1", 0), on_call, limits=limits, options=options)
    try:
        await asyncio.get_running_loop().create_connection(lambda: raw, "127.0.0.1", serving.port)
        yield lambda: next(iter(serving.connections)), raw
    finally:
        serving.close()
        for accepted in list(serving.connections):
            accepted.abort()
        if raw.transport is not None:
            raw.transport.abort()
        await serving.wait_closed()


@asynccontextmanager
async def client_and_server(
    link: Link,
    on_call: CallHandler,
    *,
    client_limits: Limits | None = None,
    server_limits: Limits | None = None,
) -> AsyncIterator[tuple[H2ClientConnection, Callable[[], H2ServerConnection]]]:
    """Both ends wirelane's."""
    client_limits, server_limits = client_limits or Limits(), server_limits or Limits()
    if link == "memory":
        client = H2ClientConnection(client_limits, target="memory")
        server = H2ServerConnection(server_limits, on_call)
        pipe(client, server)
        await client.wait_ready()
        try:
            yield client, lambda: server
        finally:
            client.abort()
            await client.wait_closed()
            await server.wait_closed()
        return
    serving = await serve(HostPort("127.0.0.1", 0), on_call, limits=server_limits)
    try:
        client = await connect(HostPort("127.0.0.1", serving.port), limits=client_limits)
        try:
            yield client, lambda: next(iter(serving.connections))
        finally:
            client.abort()
            await client.wait_closed()
    finally:
        serving.close()
        await serving.wait_closed()


async def unary(client: H2ClientConnection, payload: bytes = b"request") -> ClientStream:
    """Open a unary call."""
    return await client.open(RequestHead("/test.Echo/Call", "test"), payload, end=True)


async def ended(stream: ClientStream) -> list[bytes]:
    """Receive to the end; the payloads."""
    payloads = []
    while (part := await stream.receive()) is not None:
        payloads.append(part[1])
    assert stream.ending is not None
    return payloads
