"""More calls than a server takes on one connection, seen from inside. What callers see of it is in tests/twins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from support.client_support import ONE, RawServer, raw_server, turns
from support.wire_support import DATA, HEADERS, SETTINGS, RawPeer, frame, message
from wirelane import DeadlineExceeded, grpc

PATIENCE = 20.0  # a test that needs it has failed


def places(count: int) -> bytes:
    """SETTINGS with MAX_CONCURRENT_STREAMS."""
    return frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + count.to_bytes(4, "big"))


@asynccontextmanager
async def narrow_channel(
    most: int, *, each: int = 1, **options: object
) -> AsyncIterator[tuple[grpc.Channel, RawServer]]:
    """A channel of `most` connections to raw servers that take `each` calls on one."""
    async with raw_server(places(each)) as raw:
        settings = grpc.ChannelOptions(max_connections=most, **options)  # type: ignore[arg-type]
        async with grpc.connect(f"127.0.0.1:{raw.port}", options=settings) as channel:
            yield channel, raw


async def call_on(peer: RawPeer) -> tuple[int, bytes]:
    """The next call on a connection: its stream and its payload."""
    head = await peer.next(HEADERS)
    body = await peer.next(DATA)
    return head.stream, body.payload[5:]


def start(channel: grpc.Channel, *numbers: int, timeout: float | None = None) -> list[asyncio.Task[bytes]]:
    return [
        asyncio.create_task(channel.unary(ONE, b"%d" % number, timeout=timeout)._coroutine())
        for number in numbers
    ]


async def test_a_deadline_ends_the_wait_for_a_place() -> None:
    async with narrow_channel(2) as (channel, raw):
        async with asyncio.timeout(PATIENCE):
            held = start(channel, 0, 1)
            for peer in [await raw.peers.get(), await raw.peers.get()]:
                await call_on(peer)
            late = start(channel, *range(2, 50), timeout=0.01)
            await asyncio.wait(late)
            assert all(isinstance(call.exception(), DeadlineExceeded) for call in late)
            assert channel.stats.active == 2
            assert not channel._connector._queue.waiting
        for call in held:
            call.cancel()
        await asyncio.wait(held)


async def test_a_lower_limit_takes_a_place_back_that_was_given_but_not_used() -> None:
    async with narrow_channel(1, each=2) as (channel, raw):
        async with asyncio.timeout(PATIENCE):
            calls = start(channel, *range(5))
            peer = await raw.peers.get()
            streams = [(await call_on(peer))[0] for _ in range(2)]
            # In one read: a place is free, and there is none.
            peer.write(
                peer.headers(streams[0], [(":status", "200"), ("content-type", "application/grpc")]),
                frame(DATA, 0, streams[0], message(b"reply")),
                peer.headers(streams[0], [("grpc-status", "0")], end=True),
                places(1),
            )
            assert await calls[0] == b"reply"
            await turns(20)
            (connection,) = channel._connector.connections
            assert connection.active == 1
            held = streams[1]
            for number in range(2, 5):
                peer.answer(held)
                held, payload = await call_on(peer)
                assert payload == b"%d" % number
            peer.answer(held)
            assert [await call for call in calls] == [b"reply"] * 5
