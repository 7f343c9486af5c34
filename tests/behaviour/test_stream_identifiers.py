"""Stream identifiers that are used up (2^31 - 1 is the last, RFC 9113 section 5.1.1) cost a connection, and no call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.client_support import ONE, Notes, notes_channel, wire_channel
from support.server_support import Trail, demo_schema, demo_server, listening, until
from support.wire_support import GOAWAY, HEADERS, LINKS, REQUEST, Link, frame, message, server_and_raw_client
from wirelane import Limits, StatusCode, grpc
from wirelane.grpc.server import Server
from wirelane.transport.base import ServerStream
from wirelane.transport.client import H2ClientConnection

PATIENCE = 20.0  # a test that needs it has failed
LAST = 2**31 - 3  # a client of ours opens none above it


def wear_out(channel: grpc.Channel, left: int) -> H2ClientConnection:
    """Leave the newest connection of a channel so many identifiers."""
    connection = channel._connector.connections[-1]
    assert isinstance(connection, H2ClientConnection)
    assert connection.engine.next_stream_id < LAST - 2 * (left - 1)
    connection.engine.next_stream_id = LAST - 2 * (left - 1)
    return connection


def start(channel: grpc.Channel, *numbers: int) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(channel.unary(ONE, b"%d" % number)._coroutine()) for number in numbers]


def four_kinds(go: asyncio.Event) -> Server:
    """A server whose every handler has begun, or answered in part, before `go`, and ends after it."""
    server = demo_server(limits=Limits(max_concurrent_streams=50))

    @server.method("Demo/One")
    async def one(request: dict[str, Any]) -> dict[str, Any]:
        if request["text"] == "wait":
            await go.wait()
        return {"n": request["n"]}

    @server.method("Demo/Down")
    async def down(request: dict[str, Any]) -> Any:
        yield {"n": 1}
        await go.wait()
        yield {"n": 2}

    @server.method("Demo/Up")
    async def up(requests: Any) -> dict[str, Any]:
        return {"n": sum([request["n"] async for request in requests])}

    @server.method("Demo/Both")
    async def both(requests: Any) -> Any:
        async for request in requests:
            yield {"n": request["n"]}

    return server


async def test_every_call_is_served_in_order_on_the_old_connection_and_the_next() -> None:
    seen: list[int] = []
    release = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        part = await stream.receive()
        assert part is not None
        seen.append(stream.id)  # type: ignore[attr-defined]
        if part[1] == b"0":
            await release.wait()
        stream.finish(StatusCode.OK, payload=part[1])

    async with wire_channel(handler) as channel:
        old = wear_out(channel, 4)
        async with asyncio.timeout(PATIENCE):
            calls = start(channel, *range(8))
            assert [await call for call in calls[1:]] == [b"%d" % number for number in range(1, 8)]
            assert seen[:4] == [2**31 - 9, 2**31 - 7, 2**31 - 5, 2**31 - 3]
            assert seen[4:] == [1, 3, 5, 7]
            assert repr(channel) == f"<Channel {channel} READY 2 connections, 1 call>"
            release.set()
            assert await calls[0] == b"0"
            await old.wait_closed()
        assert (channel.stats.connects, channel.stats.failed) == (2, 0)


async def test_calls_of_all_kinds_in_flight_on_the_old_connection_go_on_to_their_ends() -> None:
    """Begun on the last four identifiers, ended after the calls that came later on another connection."""
    go = asyncio.Event()
    async with (
        asyncio.timeout(PATIENCE),
        listening(four_kinds(go)) as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema()) as channel,
    ):
        old = wear_out(channel, 4)
        waiting = asyncio.create_task(channel.unary("Demo/One", {"n": 7, "text": "wait"})._coroutine())
        async with (
            channel.server_stream("Demo/Down", {"n": 0}) as down,
            channel.client_stream("Demo/Up") as up,
            channel.bidi_stream("Demo/Both") as both,
        ):
            assert (await down.receive())["n"] == 1
            await up.send({"n": 1})
            await both.send({"n": 1})
            assert (await both.receive())["n"] == 1
            await until(lambda: len(old.engine.streams) == 4)
            assert not old.available
            later = [channel.unary("Demo/One", {"n": number}) for number in range(20)]
            assert [reply["n"] for reply in await asyncio.gather(*later)] == list(range(20))
            assert (channel.stats.connections, at.connections) == (2, 2)
            go.set()
            assert (await waiting)["n"] == 7
            assert (await down.receive())["n"] == 2
            assert await down.receive() is None
            await up.send({"n": 2})
            assert (await up.finish())["n"] == 3
            await both.send({"n": 2})
            assert (await both.receive())["n"] == 2
            assert not old.engine.ended
            await both.done_sending()
            assert await both.receive() is None
        await old.wait_closed()
        await until(lambda: at.connections == 1)
        stats = channel.stats
        assert (stats.connections, stats.connects, stats.failed, stats.active) == (1, 2, 0, 0)
        assert stats.succeeded == stats.started == 24


async def test_calls_that_wait_for_a_place_get_one_on_the_next_connection() -> None:
    """Places are given to more calls than there are identifiers left for."""
    server = demo_server(limits=Limits(max_concurrent_streams=3))
    trail = Trail()

    @server.method("Demo/One")
    async def one(request: dict[str, Any]) -> dict[str, Any]:
        await trail.reached("go")
        return {"n": request["n"]}

    async with (
        asyncio.timeout(PATIENCE),
        listening(server) as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema()) as channel,
    ):
        old = wear_out(channel, 4)
        calls = [
            asyncio.create_task(channel.unary("Demo/One", {"n": number})._coroutine()) for number in range(12)
        ]
        await until(lambda: len(old.queue.waiting) == 9)
        # The three that hold the places end together, and one identifier is left for the three that follow.
        trail.mark("go")
        assert [(await call)["n"] for call in calls] == list(range(12))
        await old.wait_closed()
        assert old.engine.next_stream_id == LAST + 2
        assert (channel.stats.connects, channel.stats.succeeded, channel.stats.failed) == (2, 12, 0)


async def test_one_connection_after_the_other_is_used_up() -> None:
    server = demo_server()

    @server.method("Demo/One")
    async def one(request: dict[str, Any]) -> dict[str, Any]:
        return {"n": request["n"]}

    async with (
        asyncio.timeout(PATIENCE),
        listening(server) as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=demo_schema()) as channel,
    ):
        for number in range(1, 11):
            old = wear_out(channel, 1)
            calls = [channel.unary("Demo/One", {"n": number}) for number in range(5)]
            assert [reply["n"] for reply in await asyncio.gather(*calls)] == list(range(5))
            await old.wait_closed()
            assert (channel.stats.connects, channel.stats.failed) == (number + 1, 0)
        await until(lambda: at.connections == 1)


async def test_a_grpcio_server_takes_the_last_identifiers_and_the_next_connection() -> None:
    notes = Notes()
    async with asyncio.timeout(PATIENCE), notes_channel(notes) as channel:
        old = wear_out(channel, 2)
        async with channel.bidi_stream("Calls/BothWays") as both:
            await both.send({"n": 1})
            assert (await both.receive())["n"] == 1
            calls = [channel.unary("Calls/One", {"n": number}) for number in range(10)]
            assert [reply["n"] for reply in await asyncio.gather(*calls)] == list(range(10))
            assert (old.available, channel.stats.connections) == (False, 2)
            await both.send({"n": 2})
            assert (await both.receive())["n"] == 2
            await both.done_sending()
            assert await both.receive() is None
        await old.wait_closed()
        assert (channel.stats.connects, channel.stats.succeeded, channel.stats.failed) == (2, 11, 0)


@pytest.mark.parametrize("link", LINKS)
async def test_a_server_answers_on_the_very_last_identifier(link: Link) -> None:
    def finish(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"last")

    async with asyncio.timeout(PATIENCE), server_and_raw_client(link, finish) as (server, raw):
        raw.write(raw.headers(2**31 - 1, REQUEST), frame(0, 1, 2**31 - 1, message(b"")))
        while not (heard := await raw.next(HEADERS, GOAWAY)).ends_stream:
            assert heard.kind == HEADERS, heard
        assert (heard.stream, heard.field("grpc-status")) == (2**31 - 1, "0")
        assert not server().engine.ended
