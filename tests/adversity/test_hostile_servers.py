"""What a client makes of servers that attack it: each call ends with its status, and the channel goes on.

The single strange answers (resets, GOAWAY, HTTP errors, trailers that are none) are in tests/wire/test_client_wire.py and
tests/behaviour/test_client_hostile.py; here is what they leave out, and the floods.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import pytest

from support.client_support import ONE, RawServer, raw_server
from support.wire_support import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OK,
    PADDED,
    PING,
    PRIORITY,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    RawPeer,
    frame,
    message,
)
from wirelane import Limits, RpcError, StatusCode, grpc

ALTSVC = 0xA
CALM = 0xB


async def begun(raw: RawServer, channel: grpc.Channel) -> tuple[asyncio.Task[bytes], RawPeer, int]:
    """A unary call under way: its task, the server's end, its stream."""
    call = asyncio.create_task(channel.unary(ONE, b"x", timeout=30))
    peer = await raw.peers.get()
    return call, peer, (await peer.request()).stream


async def status_of(call: asyncio.Task[bytes]) -> StatusCode:
    with pytest.raises(RpcError) as raised:
        await call
    return raised.value.code


async def assert_goes_on(channel: grpc.Channel, raw: RawServer, peer: RawPeer | None) -> None:
    """The next call is answered: on the connection of `peer`, or on a new one for None."""
    following = asyncio.create_task(channel.unary(ONE, b"next", timeout=30))
    peer = peer or await raw.peers.get()
    peer.answer((await peer.request()).stream, b"fine")
    assert await following == b"fine"


@pytest.mark.parametrize("where", ["stream", "connection"])
async def test_altsvc_is_ignored(where: str) -> None:
    """RFC 7838: on a stream and on the connection; grpclib loses the connection over it."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        peer.write(frame(ALTSVC, 0, stream if where == "stream" else 0, b'\0\0h2=":443"'))
        peer.answer(stream)
        assert await call == b"reply"


@pytest.mark.parametrize("where", ["head", "trailers"])
async def test_bad_base64_costs_the_call_and_not_the_connection(where: str) -> None:
    """CVE-2023-32732."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        bad = [("x-bin", "!!")]
        head = RESPONSE + (bad if where == "head" else [])
        peer.write(
            peer.headers(stream, head),
            frame(DATA, 0, stream, message(b"reply")),
            peer.headers(stream, OK + (bad if where == "trailers" else []), end=True),
        )
        assert await status_of(call) is StatusCode.INTERNAL
        await assert_goes_on(channel, raw, peer)


async def test_headers_of_100_kilobytes_cost_the_call_and_not_the_connection() -> None:
    """Far above what was advertised, and read to the end all the same: the table of the compression must be kept."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        block = peer.block([*RESPONSE, *((f"x-{n}", "W" * 1000) for n in range(118))])
        assert len(block) > 100_000
        pieces = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
        peer.write(
            frame(HEADERS, 0, stream, pieces[0]),
            *(frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream, pieces[-1]),
        )
        assert await status_of(call) is StatusCode.RESOURCE_EXHAUSTED
        await assert_goes_on(channel, raw, peer)


async def test_a_gzip_bomb_is_refused_when_it_has_reached_the_limit() -> None:
    """64 MiB of zeros in 64 KiB."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([squeezer.compress(bytes(2**20)) for _ in range(64)]) + squeezer.flush()
    body = message(bomb, 1)
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        # Bomb and prefix are above 64 KiB by a little: in two halves, the second when the window has opened.
        peer.write(peer.headers(stream, [*RESPONSE, ("grpc-encoding", "gzip")]))
        window = 65_535
        for start in range(0, len(body), 16_384):
            piece = body[start : start + 16_384]
            while window < len(piece):
                more = await peer.next(WINDOW_UPDATE)
                window += int.from_bytes(more.payload, "big") if more.stream == stream else 0
            peer.write(frame(DATA, 0, stream, piece))
            window -= len(piece)
        peer.write(peer.headers(stream, OK, end=True))
        assert await status_of(call) is StatusCode.RESOURCE_EXHAUSTED
        await assert_goes_on(channel, raw, peer)


def endless_block(stream: int) -> bytes:
    return frame(HEADERS, 0, stream, b"\x88") + frame(CONTINUATION, 0, stream, b"\x88") * 1000


def hpack_bomb(stream: int) -> bytes:
    field = b"\x40\x01x\x7f\x99\x1e" + b"v" * 3992
    return frame(HEADERS, END_HEADERS, stream, b"\x88" + field + b"\xbe" * 10_000)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "ping": lambda _: frame(PING, 0, 0, bytes(8)) * 30_000,
    "settings": lambda _: frame(SETTINGS, 0, 0) * 5_000,
    "window update": lambda stream: frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\1") * 30_000,
    "priority": lambda stream: frame(PRIORITY, 0, stream, bytes(5)) * 30_000,
    "empty data": lambda stream: frame(DATA, 0, stream) * 30_000,
    "padding": lambda stream: frame(DATA, PADDED, stream, b"\0") * 30_000,
    "unknown": lambda _: frame(0x77, 0, 0) * 30_000,
    "reset of a closed stream": lambda stream: frame(RST_STREAM, 0, stream, bytes(4)) * 30_000,
    "continuation": endless_block,
    "hpack bomb": hpack_bomb,
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_ends_the_connection_and_the_next_call_makes_another(kind: str) -> None:
    """The server is told ENHANCE_YOUR_CALM once; the call that was under way is UNAVAILABLE."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        if kind not in ("continuation", "hpack bomb"):
            peer.write(peer.headers(stream, RESPONSE))
        peer.write(FLOODS[kind](stream))
        goaways = [heard for heard in await peer.closed() if heard.kind == GOAWAY]
        assert [heard.code for heard in goaways] == [CALM]
        expected = StatusCode.INTERNAL if kind == "reset of a closed stream" else StatusCode.UNAVAILABLE
        assert await status_of(call) is expected
        await assert_goes_on(channel, raw, None)


async def test_data_beyond_the_window_ends_the_call_and_the_server_is_told() -> None:
    """Nobody reads the stream, and the server sends on: FLOW_CONTROL_ERROR, before memory is taken for it."""
    limits = Limits(initial_window=65_535, connection_window=1_000_000)
    method = grpc.Method("test.Echo/Down", grpc.Cardinality.SERVER_STREAM, bytes, bytes)
    async with (
        raw_server() as raw,
        grpc.Channel(f"127.0.0.1:{raw.port}", limits=limits) as channel,
        channel.server_stream(method, b"x") as stream,
    ):
        peer = await raw.peers.get()
        number = (await peer.request()).stream
        peer.write(peer.headers(number, RESPONSE), frame(DATA, 0, number, message(bytes(10_000))) * 10)
        assert (await peer.next(RST_STREAM)).code == 3
        with pytest.raises(RpcError) as raised:
            while await stream.receive() is not None:
                pass
        assert raised.value.code is StatusCode.INTERNAL
        await assert_goes_on(channel, raw, peer)


async def test_frames_of_streams_that_were_never_opened_end_the_connection() -> None:
    """A server cannot open streams here."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = await begun(raw, channel)
        peer.write(peer.headers(stream + 2, RESPONSE, end=True))
        goaways = [heard for heard in await peer.closed() if heard.kind == GOAWAY]
        assert [heard.code for heard in goaways] == [1]
        assert await status_of(call) is StatusCode.UNAVAILABLE
        await assert_goes_on(channel, raw, None)


async def test_a_dripping_server_does_not_put_the_deadline_off() -> None:
    """An octet now and then is no progress."""
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = asyncio.create_task(channel.unary(ONE, b"x", timeout=0.3))
        peer = await raw.peers.get()
        stream = (await peer.request()).stream
        peer.write(peer.headers(stream, RESPONSE))
        whole = frame(DATA, END_STREAM, stream, message(bytes(10_000)))
        for octet in range(len(whole)):
            if call.done():
                break
            peer.write(whole[octet : octet + 1])
            await asyncio.wait({call}, timeout=0.01)
        assert await status_of(call) is StatusCode.DEADLINE_EXCEEDED
