"""More calls than a server takes on one connection: they queue in order, and further connections are made for them: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.client_support import BOTH, ONE, raw_server
from support.side_loop import Proxy
from support.twins_support import Event, Running, elsewhere, gather, sleep, start, there, until
from support.wire_support import DATA, GOAWAY, HEADERS, SETTINGS, frame
from twins.grpc_support import wire_channel
from wirelane import DeadlineExceeded, Limits, RpcError, StatusCode, UsageError, grpc
from wirelane.core.backoff import Backoff
from wirelane.transport.base import ServerStream

ONE_AT_A_TIME = Limits(max_concurrent_streams=1)


def places(count: int) -> bytes:
    """SETTINGS with MAX_CONCURRENT_STREAMS."""
    return frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + count.to_bytes(4, "big"))


@asynccontextmanager
async def narrow_channel(
    most: int, *, each: int = 1, **options: object
) -> AsyncIterator[tuple[grpc.Channel, Proxy]]:
    """A channel of `most` connections to raw servers that take `each` calls on one."""
    async with elsewhere(raw_server, places(each)) as raw:
        settings = grpc.ChannelOptions(max_connections=most, **options)  # type: ignore[arg-type]
        async with grpc.connect(f"127.0.0.1:{raw.port}", options=settings) as channel:
            yield channel, raw


async def call_on(peer: Proxy) -> tuple[int, bytes]:
    """The next call on a connection: its stream and its payload."""
    head = await peer.next(HEADERS)
    body = await peer.next(DATA)
    return head.stream, body.payload[5:]


async def begin(channel: grpc.Channel, *numbers: int, timeout: float | None = None) -> list[Running[bytes]]:
    """Make calls one after the other: each waits for a place when the next is made."""
    calls = []
    for number in numbers:
        before = channel.stats.started
        calls.append(start(channel.unary, ONE, b"%d" % number, timeout=timeout))
        await until(lambda before=before: channel.stats.started > before)
    return calls


async def test_a_channel_opens_further_connections_when_all_are_full() -> None:
    release = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await release.wait()
        stream.finish(StatusCode.OK, payload=str(stream.peer).encode())

    options = grpc.ChannelOptions(max_connections=3)
    async with wire_channel(
        handler, server_limits=Limits(max_concurrent_streams=4), options=options
    ) as channel:
        calls = await begin(channel, *range(9))
        await until(lambda: channel.stats.connections == 3)
        assert repr(channel).endswith(f"Channel {channel} READY 3 connections, 9 calls>")
        release.set()
        clients = await gather(*calls)
        assert sorted(clients.count(client) for client in set(clients)) == [1, 4, 4]
        assert (channel.stats.connects, channel.stats.succeeded) == (3, 9)


async def test_one_connection_is_the_default() -> None:
    release = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await release.wait()
        stream.finish(StatusCode.OK, payload=b"")

    async with wire_channel(handler, server_limits=ONE_AT_A_TIME) as channel:
        calls = await begin(channel, *range(5))
        await sleep(0.01)
        assert (channel.stats.active, channel.stats.connects) == (5, 1)
        release.set()
        assert await gather(*calls) == [b""] * 5
        assert channel.stats.connects == 1


async def test_waiting_calls_get_places_in_order_on_whatever_connection_has_one() -> None:
    async with narrow_channel(2) as (channel, raw):
        calls = await begin(channel, *range(8))
        first, second = await raw.peers.get(), await raw.peers.get()
        held = {first: await call_on(first), second: await call_on(second)}
        order = [held[first][1], held[second][1]]
        for peer in (second, second, first, second, first, first):
            peer.answer(held[peer][0])
            held[peer] = await call_on(peer)
            order.append(held[peer][1])
        for peer, (stream, _) in held.items():
            peer.answer(stream)
        assert await gather(*calls) == [b"reply"] * 8
        assert order == [b"%d" % number for number in range(8)]
        assert channel.stats.connects == 2


async def test_never_more_connections_than_allowed() -> None:
    async with narrow_channel(3) as (channel, raw):
        calls = await begin(channel, *range(10))
        peers = [await raw.peers.get() for _ in range(3)]
        for peer in peers:
            await call_on(peer)
        await sleep(0.02)
        assert (len(raw.all), channel.stats.connections, channel.stats.active) == (3, 3, 10)
        await channel.close()
        assert channel.stats.active == 0
        await gather(*calls, return_exceptions=True)


async def test_a_new_call_goes_to_the_connection_that_has_a_place() -> None:
    async with narrow_channel(2) as (channel, raw):
        calls = await begin(channel, 0, 1)
        first, second = await raw.peers.get(), await raw.peers.get()
        stream, _ = await call_on(first)
        await call_on(second)
        first.answer(stream)
        assert await calls[0].result() == b"reply"
        (again,) = await begin(channel, 2)
        stream, payload = await call_on(first)
        assert payload == b"2"
        first.answer(stream)
        assert await again.result() == b"reply"
        assert channel.stats.connects == 2
    await gather(*calls, return_exceptions=True)


async def test_a_further_connection_that_cannot_be_made_fails_no_call() -> None:
    async with elsewhere(raw_server, places(1)) as raw:
        options = grpc.ChannelOptions(max_connections=4)
        async with grpc.connect(f"127.0.0.1:{raw.port}", options=options, trace=True) as channel:
            raw.server.close()
            calls = await begin(channel, *range(3))
            trace = channel.trace
            assert trace is not None
            await until(lambda: any("not connected" in each.text for each in trace.entries()))
            assert (channel.state, channel.stats.active) == ("READY", 3)
            peer = await raw.peers.get()
            for number in range(3):
                stream, payload = await call_on(peer)
                assert payload == b"%d" % number
                peer.answer(stream, b"done")
            assert await gather(*calls) == [b"done"] * 3
            assert channel.stats.connects == 1


async def test_a_server_that_greets_and_goes_is_not_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "INITIAL", 1000.0)
    monkeypatch.setattr(Backoff, "MAXIMUM", 1000.0)
    async with narrow_channel(3) as (channel, raw):
        raw.greeting = places(1) + frame(GOAWAY, 0, 0, bytes(8))
        calls = await begin(channel, 0, 1, 2)
        first = await raw.peers.get()
        await raw.peers.get()
        for number in range(3):
            stream, payload = await call_on(first)
            assert payload == b"%d" % number
            first.answer(stream)
        assert await gather(*calls) == [b"reply"] * 3
        assert len(raw.all) == 2


async def test_calls_that_wait_move_on_when_a_connection_goes() -> None:
    async with narrow_channel(2) as (channel, raw):
        calls = await begin(channel, *range(4))
        first, second = await raw.peers.get(), await raw.peers.get()
        stream, _ = await call_on(first)
        await call_on(second)
        # One says farewell and finishes its call, the other is cut.
        first.write(frame(GOAWAY, 0, 0, stream.to_bytes(4, "big") + bytes(4)))
        third = await raw.peers.get()
        assert (await call_on(third))[1] == b"2"
        assert channel.stats.connections == 3
        first.answer(stream)
        assert await calls[0].result() == b"reply"
        assert second.transport is not None
        second.transport.abort()
        with pytest.raises(RpcError) as raised:
            await calls[1].result()
        assert raised.value.code is StatusCode.UNAVAILABLE
        fourth = await raw.peers.get()
        stream, payload = await call_on(fourth)
        assert payload == b"3"
        fourth.answer(stream)
        assert await calls[3].result() == b"reply"
    await gather(*calls, return_exceptions=True)


async def test_the_last_connection_lost_sends_waiting_calls_to_a_new_one_in_order() -> None:
    async with narrow_channel(1) as (channel, raw):
        calls = await begin(channel, *range(5))
        first = await raw.peers.get()
        await call_on(first)
        assert first.transport is not None
        first.transport.abort()
        with pytest.raises(RpcError):
            await calls[0].result()
        second = await raw.peers.get()
        for number in range(1, 5):
            stream, payload = await call_on(second)
            assert payload == b"%d" % number
            second.answer(stream)
        assert await gather(*calls[1:]) == [b"reply"] * 4


async def test_a_deadline_ends_the_wait_for_a_place_and_the_place_goes_to_who_still_waits() -> None:
    async with narrow_channel(2) as (channel, raw):
        held = await begin(channel, 0, 1)
        first, second = await raw.peers.get(), await raw.peers.get()
        stream, _ = await call_on(first)
        await call_on(second)
        late = await begin(channel, *range(2, 50), timeout=0.01)
        errors = await gather(*late, return_exceptions=True)
        assert all(isinstance(error, DeadlineExceeded) for error in errors)
        assert channel.stats.active == 2
        (patient,) = await begin(channel, 50)
        first.answer(stream)
        assert await held[0].result() == b"reply"
        stream, payload = await call_on(first)
        assert payload == b"50"
        first.answer(stream)
        assert await patient.result() == b"reply"
    await gather(*held, return_exceptions=True)


async def test_closing_ends_calls_that_wait_for_a_place() -> None:
    async with narrow_channel(2) as (channel, raw):
        calls = await begin(channel, *range(5))
        for peer in [await raw.peers.get(), await raw.peers.get()]:
            await call_on(peer)
        await channel.close()
        errors = await gather(*calls, return_exceptions=True)
        assert [isinstance(error, RpcError) and error.code for error in errors] == [StatusCode.CANCELLED] * 5
        assert repr(channel).endswith(f"Channel {channel} SHUTDOWN 0 connections, 0 calls>")


async def test_idle_connections_are_closed_one_by_one() -> None:
    async with narrow_channel(2, idle_timeout=0.02) as (channel, raw):
        calls = await begin(channel, 0, 1)
        first, second = await raw.peers.get(), await raw.peers.get()
        held, _ = await call_on(first)
        stream, _ = await call_on(second)
        second.answer(stream)
        assert await calls[1].result() == b"reply"
        await second.closed()
        await until(lambda: channel.stats.connections == 1)
        assert (channel.state, channel.stats.active) == ("READY", 1)
        first.answer(held)
        assert await calls[0].result() == b"reply"
        await first.closed()
        await until(lambda: channel.stats.connections == 0)
        assert channel.state == "IDLE"


async def test_a_stream_waits_for_a_place_like_any_call() -> None:
    async with narrow_channel(1) as (channel, raw):
        (call,) = await begin(channel, 0)
        peer = await raw.peers.get()
        stream, _ = await call_on(peer)

        async def talk() -> bytes | None:
            async with channel.bidi_stream(BOTH) as both:
                await both.send(b"hello")
                await both.done_sending()
                return await both.receive()

        talking = start(talk)
        await until(lambda: channel.stats.active == 2)
        peer.answer(stream)
        assert await call.result() == b"reply"
        stream, payload = await call_on(peer)
        assert payload == b"hello"
        peer.answer(stream, b"hi")
        assert await talking.result() == b"hi"


async def test_options_take_any_number_of_connections_but_none() -> None:
    assert grpc.ChannelOptions(max_connections=10).max_connections == 10
    with pytest.raises(UsageError, match="max_connections"):
        grpc.ChannelOptions(max_connections=0)
