"""Readers that do not read cost one window each and hold up nobody else, by the count of the engine. See tests/twins, too."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from support.client_support import BOTH, DOWN, ONE, wire_channel
from support.server_support import until
from support.wire_support import DATA, RESPONSE, WINDOW_UPDATE, client_and_raw_server, frame, unary
from wirelane import Limits, StatusCode, grpc
from wirelane.core.target import HostPort
from wirelane.http2.flow import Flow
from wirelane.transport.base import CallEnded, RequestHead, ServerStream
from wirelane.transport.client import H2ClientConnection, connect
from wirelane.transport.server import serve

KIB = 1024
WINDOW = Limits().initial_window
PATIENCE = 30.0  # a test that needs it has failed


def flow_of(channel: grpc.Channel) -> Flow:
    (connection,) = channel._connector.connections
    assert isinstance(connection, H2ClientConnection)
    return connection.engine.flow


async def echo(stream: ServerStream) -> None:
    while (part := await stream.receive()) is not None:
        await stream.send(part[1])
    stream.finish(StatusCode.OK)


async def test_handlers_that_do_not_read_cost_a_window_each_and_hold_up_nobody() -> None:
    tasks: list[asyncio.Task[None]] = []

    def on_call(stream: ServerStream) -> None:
        if stream.path.endswith("Both"):
            tasks.append(asyncio.ensure_future(echo(stream)))

    serving = await serve(HostPort("127.0.0.1", 0), on_call)
    client = await connect(HostPort("127.0.0.1", serving.port))

    async def flood() -> None:
        stream = await client.open(RequestHead("/test.Echo/Up", "test"))
        while True:
            await stream.send(bytes(20 * KIB))

    floods = [asyncio.create_task(flood()) for _ in range(99)]
    async with asyncio.timeout(PATIENCE):
        (accepted,) = serving.connections
        flow = accepted.engine.flow
        await until(lambda: flow.arrived >= 99 * (WINDOW - 20 * KIB))
        stream = await client.open(RequestHead("/test.Echo/Both", "test"))
        for _ in range(200):
            await stream.send(bytes(50 * KIB))
            assert await stream.receive() == (False, bytes(50 * KIB))
        await stream.end()
        assert await stream.receive() is None
    assert flow.arrived <= 99 * WINDOW + 200 * (50 * KIB + 5)
    for task in floods:
        task.cancel()
    await asyncio.wait(floods)
    client.abort()
    await client.wait_closed()
    serving.close()
    await serving.wait_closed()
    await asyncio.gather(*tasks)


async def test_streams_that_nobody_reads_cost_a_window_each_and_hold_up_nobody() -> None:
    async def handler(stream: ServerStream) -> None:
        if stream.path.endswith("Down"):
            while True:
                await stream.send(bytes(10 * KIB))
        part = await stream.receive()
        assert part is not None
        stream.finish(StatusCode.OK, payload=bytes(300 * KIB))

    limits = Limits(max_concurrent_streams=1000)
    async with wire_channel(handler, server_limits=limits) as channel, AsyncExitStack() as stack:
        for _ in range(200):
            await stack.enter_async_context(channel.server_stream(DOWN, b""))
        flow = flow_of(channel)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: flow.arrived >= 200 * (WINDOW - 20 * KIB))
            for _ in range(10):
                assert await channel.unary(ONE, b"") == bytes(300 * KIB)
        assert flow.arrived <= 200 * WINDOW + 10 * (300 * KIB + 5)


async def test_a_message_of_which_the_rest_is_not_waited_for_keeps_to_its_window() -> None:
    sent = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        await stream.send(b"first")
        try:
            await stream.send(bytes(1000 * KIB))
        except CallEnded:
            return
        sent.set()
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel, channel.server_stream(DOWN, b"") as stream:
        assert await stream.receive() == b"first"
        flow = flow_of(channel)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: flow.arrived >= WINDOW)
            assert (flow.arrived, sent.is_set()) == (WINDOW, False)
            assert len(await stream.receive() or b"") == 1000 * KIB
            await sent.wait()
            assert await stream.receive() is None


async def test_windows_go_back_to_what_they_were_when_calls_end() -> None:
    async with wire_channel(echo) as channel:
        flow = flow_of(channel)
        for end in ("finish", "leave"):
            async with channel.bidi_stream(BOTH) as stream:
                for _ in range(20):
                    await stream.send(bytes(200 * KIB))
                    assert await stream.receive() == bytes(200 * KIB)
                if end == "finish":
                    await stream.done_sending()
                    assert await stream.receive() is None
            assert flow.stock == Limits().max_window


async def test_a_message_longer_than_any_window_is_let_in_piece_by_piece() -> None:
    """A WINDOW_UPDATE above 2^31-1 would break the connection (RFC 9113 section 6.9.1)."""
    async with client_and_raw_server("tcp", limits=Limits(max_receive_message=2**32 - 1)) as (client, peer):
        stream = await unary(client)
        identifier = (await peer.request()).stream
        receiving = asyncio.create_task(stream.receive())
        prefix = b"\0" + (3 * 2**30).to_bytes(4, "big")
        peer.write(peer.headers(identifier, RESPONSE), frame(DATA, 0, identifier, prefix))
        while (update := await peer.next(WINDOW_UPDATE)).stream != identifier:
            pass
        assert 2**29 < int.from_bytes(update.payload, "big") < 2**31 - WINDOW
        receiving.cancel()
