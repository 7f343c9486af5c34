"""What honest clients do, much of it at once, is not taken for an attack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc as grpcio

from support.server_support import (
    DEMO_SERVICE,
    demo_server,
    grpcio_client,
    listening,
    raw_call,
    raw_client,
    until,
)
from support.wire_support import (
    DATA,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    REQUEST,
    WINDOW_UPDATE,
    RawPeer,
    frame,
    message,
)
from wirelane import Limits
from wirelane.grpc import Server
from wirelane.status import StatusCode
from wirelane.transport.base import Ending

MANY = Limits(max_concurrent_streams=10_000)


def counting_server(**options: Any) -> tuple[Server, list[int]]:
    """A server of Demo, and the number of calls of Both that wait: for ever."""
    server = demo_server(**options)
    waiting = [0]

    @server.method("Demo/One")
    async def one(request):
        if request["text"] == "wait":
            waiting[0] += 1
            try:
                await asyncio.Event().wait()
            finally:
                waiting[0] -= 1
        return request

    @server.method("Demo/Down")
    async def down(request):
        for number in range(request["n"]):
            yield {"n": number}

    @server.method("Demo/Up")
    async def up(requests):
        count = 0
        async for _ in requests:
            count += 1
        return {"n": count}

    return server, waiting


def assert_nothing_was_refused(server: Server) -> None:
    assert dict(server.stats.refusals) == {}
    assert server.stats.connections == 1


async def test_a_thousand_calls_that_end_at_their_deadline_are_not_an_attack() -> None:
    """Three times over: a server that hangs must not lose its clients' connections besides."""
    server, waiting = counting_server(limits=MANY)
    async with listening(server) as at, grpcio_client(at) as client:
        one = client.unary_unary("One")
        for _ in range(3):
            calls = [one({"text": "wait"}, timeout=0.8) for _ in range(1000)]
            codes = {await call.code() for call in calls}
            assert codes == {grpcio.StatusCode.DEADLINE_EXCEEDED}
            await until(lambda: not waiting[0])
        assert (await one({"n": 5}))["n"] == 5
        assert_nothing_was_refused(server)


async def test_a_thousand_calls_cancelled_at_once_are_not_an_attack() -> None:
    """As when a program that holds them stops."""
    server, waiting = counting_server(limits=MANY)
    async with listening(server) as at, grpcio_client(at) as client:
        one = client.unary_unary("One")
        calls = [one({"text": "wait"}) for _ in range(1000)]
        await until(lambda: waiting[0] == 1000, seconds=30)
        for call in calls:
            call.cancel()
        await until(lambda: not waiting[0])
        assert (await one({"n": 5}))["n"] == 5
        assert_nothing_was_refused(server)
        assert server.stats.resets == 1000


async def test_a_client_that_hedges_may_cancel_every_other_call() -> None:
    """Each call is made twice, and the one that loses is cancelled; without end."""
    server, waiting = counting_server(limits=Limits(reset_burst=50, reset_rate=1))
    async with listening(server) as at, grpcio_client(at) as client:
        one = client.unary_unary("One")
        for number in range(300):
            loser = one({"text": "wait"})
            await until(lambda: waiting[0] == 1)
            assert (await one({"n": number}))["n"] == number
            loser.cancel()
            await until(lambda: not waiting[0])
        assert_nothing_was_refused(server)
        assert server.stats.resets == 300


async def test_a_client_with_many_small_window_updates_gets_its_stream() -> None:
    """grpc.aio with a window as small as it goes, and no allowance but what it earns."""
    server, _ = counting_server(limits=Limits(control_burst=200, control_rate=1))
    small = (("grpc.http2.lookahead_bytes", 100), ("grpc.http2.bdp_probe", 0))
    async with listening(server) as at, grpcio_client(at, options=small) as client:
        numbers = [reply["n"] async for reply in client.unary_stream("Down")({"n": 20_000})]
        assert numbers == list(range(20_000))
        assert_nothing_was_refused(server)


async def test_streams_of_many_small_messages_both_ways_are_taken() -> None:
    """20,000 messages each, in frames of their own or together, as grpc.aio likes."""
    server, _ = counting_server(limits=Limits(control_burst=200, control_rate=1))
    async with listening(server) as at, grpcio_client(at) as client:

        async def asks():
            for number in range(20_000):
                yield {"n": number}

        assert (await client.stream_unary("Up")(asks()))["n"] == 20_000
        assert_nothing_was_refused(server)


async def raw_conversation(server: Server, talk: Callable[[RawPeer], Awaitable[None]]) -> None:
    async with listening(server) as at:
        raw = RawPeer(server=False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: raw, "127.0.0.1", at.port)
        try:
            await talk(raw)
            assert_nothing_was_refused(server)
        finally:
            transport.abort()


def up() -> list[tuple[str, str]]:
    return [(name, f"/{DEMO_SERVICE}/Up" if name == ":path" else value) for name, value in REQUEST]


async def test_padded_frames_are_taken_however_many() -> None:
    """As the padding case of gRPC's HTTP/2 tests: 5 octets of data and 255 of padding in each frame."""
    limits = Limits(control_burst=200, control_rate=1, initial_window=65_535, connection_window=65_535)
    server, _ = counting_server(limits=limits)
    padded = frame(DATA, PADDED, 1, b"\xff" + message(b"") + bytes(255))

    async def talk(raw: RawPeer) -> None:
        raw.write(raw.headers(1, up()))
        window = {0: 65_535, 1: 65_535}
        for _ in range(3000):
            while min(window.values()) < len(padded):
                more = await raw.next(WINDOW_UPDATE)
                window[more.stream] += int.from_bytes(more.payload, "big")
            raw.write(padded)
            for stream in window:
                window[stream] -= len(padded) - 9
        raw.write(frame(DATA, END_STREAM, 1))
        trailers = await raw.next(HEADERS)
        while not trailers.ends_stream:
            trailers = await raw.next(HEADERS)
        assert trailers.field("grpc-status") == "0"

    await raw_conversation(server, talk)


async def test_a_client_that_answers_each_message_with_window_updates_is_honest() -> None:
    """Two for each message of seven octets: more than any client that we know sends."""
    server, _ = counting_server(limits=Limits(control_burst=200, control_rate=1))

    async def talk(raw: RawPeer) -> None:
        head = [(name, value.replace("/Up", "/Down")) for name, value in up()]
        raw.write(raw.headers(1, head), frame(DATA, END_STREAM, 1, message(b"\x08\x90\x4e")))
        octets = 0
        while True:
            heard = await raw.next(DATA, HEADERS)
            if heard.ends_stream:
                break
            if heard.kind == DATA:
                octets += len(heard.payload)
                more = len(heard.payload).to_bytes(4, "big")
                raw.write(frame(WINDOW_UPDATE, 0, 0, more), frame(WINDOW_UPDATE, 0, 1, more))
        assert octets > 10_000 * 5

    await raw_conversation(server, talk)


async def test_what_was_under_way_when_the_server_answered_early_is_passed_over() -> None:
    """A client cannot take back what it has sent."""
    server = demo_server(limits=Limits(control_burst=200, control_rate=1))

    @server.method("Demo/Up")
    async def up_early(requests):
        return {"n": 0}

    async def talk(raw: RawPeer) -> None:
        raw.write(raw.headers(1, up()))
        trailers = await raw.next(HEADERS)
        while not trailers.ends_stream:
            trailers = await raw.next(HEADERS)
        raw.write(frame(DATA, 0, 1, message(b"late")) * 10_000, frame(DATA, END_STREAM, 1))
        raw.write(frame(PING, 0, 0, b"the end!"))
        while (await raw.next(PING)).payload != b"the end!":
            pass  # one that measures

    await raw_conversation(server, talk)


async def test_our_own_client_may_cancel_all_it_opens_within_the_burst() -> None:
    """And the next call is made on the same connection."""
    server, _ = counting_server(limits=MANY)
    async with listening(server) as at, raw_client(at, MANY) as connection:
        streams = [await raw_call(connection, "Up") for _ in range(1000)]
        await until(lambda: server.calls == 1000)
        for stream in streams:
            stream.cancel(Ending(StatusCode.CANCELLED, "enough"))
        await until(lambda: server.calls == 0)
        assert connection.available
        assert_nothing_was_refused(server)
