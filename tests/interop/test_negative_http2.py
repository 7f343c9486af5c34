"""The official negative HTTP/2 cases (grpc/grpc, doc/http2-interop-test-descriptions.md), by their names.

The client is wirelane's, through its public API and with the official large call. The server is a raw peer that behaves
as each description says; it shares nothing with wirelane's engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from support.wire_support import (
    ACK,
    DATA,
    GOAWAY,
    HEADERS,
    OK,
    PADDED,
    PING,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    RawPeer,
    frame,
    message,
)
from wirelane.errors import RpcError
from wirelane.grpc import Channel
from wirelane.status import StatusCode
from wirelane.testing.interop.cases import large_unary
from wirelane.testing.interop.server import interop_schema

BODY = 314_159
REPLY = message(interop_schema().encode("grpc.testing.SimpleResponse", {"payload": {"body": bytes(BODY)}}))
INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS = 4, 3
WIDE = 2**24
# Room for the requests, so that the scripts need not think of it.
GREETING = frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + WIDE.to_bytes(4, "big")) + frame(
    WINDOW_UPDATE, 0, 0, WIDE.to_bytes(4, "big")
)


class Server:
    """One connection of the hostile server: what the client lets it send, and helpers for the scripts."""

    def __init__(self, raw: RawPeer) -> None:
        self.raw = raw
        self.acknowledged: list[bytes] = []
        self._initial = 65_535
        self._connection = 65_535
        self._streams: dict[int, int] = {}

    async def next(self, *kinds: int) -> Frame:
        """The next frame of these kinds; windows and acknowledged pings are taken down on the way."""
        while True:
            heard = await self.raw.frames.get()
            assert heard is not None, "the connection was closed"
            if heard.kind == SETTINGS and not heard.flags & ACK:
                settings = {
                    int.from_bytes(heard.payload[at : at + 2], "big"): heard.payload[at + 2 : at + 6]
                    for at in range(0, len(heard.payload), 6)
                }
                self._initial = int.from_bytes(settings[INITIAL_WINDOW_SIZE], "big")
                self.raw.write(frame(SETTINGS, ACK, 0))
            elif heard.kind == WINDOW_UPDATE and heard.stream == 0:
                self._connection += int.from_bytes(heard.payload, "big")
            elif heard.kind == WINDOW_UPDATE and heard.stream in self._streams:
                self._streams[heard.stream] += int.from_bytes(heard.payload, "big")
            elif heard.kind == PING and heard.flags & ACK:
                self.acknowledged.append(heard.payload)
            if heard.kind in kinds:
                return heard

    async def request(self) -> int:
        """The stream of the next request, once it has come whole."""
        head = await self.next(HEADERS)
        self._streams[head.stream] = self._initial
        heard = head
        while not heard.ends_stream:
            heard = await self.next(DATA)
        return head.stream

    def head(self, stream: int) -> None:
        self.raw.write(self.raw.headers(stream, RESPONSE))

    async def data(self, stream: int, data: bytes, *, size: int, padding: int | None = None) -> None:
        """Send DATA in frames of `size` octets, padded or not, as the windows allow."""
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if padding is None:
                whole = frame(DATA, 0, stream, piece)
            else:
                whole = frame(DATA, PADDED, stream, bytes((padding,)) + piece + bytes(padding))
            cost = len(whole) - 9
            while min(self._connection, self._streams[stream]) < cost:
                await self.next(WINDOW_UPDATE)
            self._connection -= cost
            self._streams[stream] -= cost
            self.raw.write(whole)

    def trailers(self, stream: int) -> None:
        self.raw.write(self.raw.headers(stream, OK, end=True))

    def reset(self, stream: int) -> None:
        self.raw.write(frame(RST_STREAM, 0, stream, bytes(4)))

    async def answer(self, stream: int) -> None:
        self.head(stream)
        await self.data(stream, REPLY, size=16_384)
        self.trailers(stream)


Script = Callable[[Server], Awaitable[None]]


@asynccontextmanager
async def hostile(*scripts: Script) -> AsyncIterator[tuple[Channel, list[asyncio.Task[None]]]]:
    """A channel to a server that treats its first connection by the first script, the second by the second."""
    tasks: list[asyncio.Task[None]] = []
    peers: list[RawPeer] = []
    remaining = list(scripts)

    def accept() -> RawPeer:
        raw = RawPeer(server=True, greeting=GREETING)
        peers.append(raw)
        tasks.append(asyncio.ensure_future(remaining.pop(0)(Server(raw))))  # type: ignore[arg-type]
        return raw

    listening = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with Channel(f"127.0.0.1:{port}", schema=interop_schema(), timeout=30) as channel:
            yield channel, tasks
            await asyncio.gather(*tasks)
            assert not remaining
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for raw in peers:
            if raw.transport is not None:
                raw.transport.abort()
        await listening.wait_closed()


async def test_goaway() -> None:
    """A call that was going when GOAWAY came ends well, and the next goes to a second connection."""

    async def first(server: Server) -> None:
        stream = await server.request()
        server.raw.write(frame(GOAWAY, 0, 0, stream.to_bytes(4, "big") + bytes(4)))
        await server.answer(stream)

    async def second(server: Server) -> None:
        await server.answer(await server.request())

    async with hostile(first, second) as (channel, _):
        await large_unary(channel)
        await large_unary(channel)
        assert channel.stats.connects == 2


async def reset_after_header(server: Server) -> None:
    stream = await server.request()
    server.head(stream)
    server.reset(stream)


async def reset_during_data(server: Server) -> None:
    stream = await server.request()
    server.head(stream)
    await server.data(stream, REPLY[: len(REPLY) // 2], size=16_384)
    server.reset(stream)


async def reset_after_data(server: Server) -> None:
    stream = await server.request()
    server.head(stream)
    await server.data(stream, REPLY, size=16_384)
    server.reset(stream)


@pytest.mark.parametrize("script", [reset_after_header, reset_during_data, reset_after_data])
async def test_rst(script: Script) -> None:
    """rst_after_header, rst_during_data, rst_after_data: the call fails, and nothing of it stays."""
    async with hostile(script) as (channel, _):
        with pytest.raises(RpcError, match="reset the call with NO_ERROR") as raised:
            await large_unary(channel)
        assert raised.value.code is StatusCode.INTERNAL
        assert (channel.stats.failed, channel.stats.active, channel.stats.connections) == (1, 0, 1)


async def test_ping() -> None:
    """Every ping is answered with its own octets, while a message comes."""
    pings = [b"ping%04d" % number for number in range(8)]

    async def script(server: Server) -> None:
        stream = await server.request()
        server.raw.write(frame(PING, 0, 0, pings[0]))
        server.head(stream)
        server.raw.write(frame(PING, 0, 0, pings[1]))
        part = len(REPLY) // 5 + 1
        for number in range(5):
            await server.data(stream, REPLY[number * part : (number + 1) * part], size=1000)
            server.raw.write(frame(PING, 0, 0, pings[2 + number]))
        server.trailers(stream)
        server.raw.write(frame(PING, 0, 0, pings[7]))
        while len(server.acknowledged) < len(pings):
            await server.next(PING)
        assert server.acknowledged == pings

    async with hostile(script) as (channel, _):
        await large_unary(channel)


async def test_max_streams() -> None:
    """After a first call, the server takes one at a time; ten at once all end well, and it never sees two."""

    async def script(server: Server) -> None:
        await server.answer(await server.request())
        server.raw.write(
            frame(SETTINGS, 0, 0, MAX_CONCURRENT_STREAMS.to_bytes(2, "big") + (1).to_bytes(4, "big"))
        )
        while not (await server.next(SETTINGS)).flags & ACK:
            pass
        limited.set()
        for _ in range(10):
            stream = await server.request()
            # A second call would have come by the time that this is answered.
            server.raw.write(frame(PING, 0, 0, b"is there"))
            while (heard := await server.next(PING, HEADERS)).kind != PING:
                assert heard.kind != HEADERS, "a second call at once"
            await server.answer(stream)

    limited = asyncio.Event()
    async with hostile(script) as (channel, _):
        await large_unary(channel)
        await limited.wait()
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(large_unary(channel))
        assert channel.stats.succeeded == 11


@pytest.mark.parametrize("padding", [255, None], ids=["data_frame_padding", "no_df_padding_sanity_test"])
async def test_data_frame_padding(padding: int | None) -> None:
    """A message in frames of 5 octets arrives, also with 255 octets of padding in each: 16 MB of window for 0.3."""

    async def script(server: Server) -> None:
        stream = await server.request()
        server.head(stream)
        await server.data(stream, REPLY, size=5, padding=padding)
        server.trailers(stream)

    async with hostile(script) as (channel, _):
        await large_unary(channel)
