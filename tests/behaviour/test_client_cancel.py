"""Cancelling: the caller's task at any moment, or the call itself; nothing is left, and nobody else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.client_support import (
    BOTH,
    DOWN,
    ONE,
    PROTO,
    UP,
    Notes,
    grpcio_server,
    notes_channel,
    raw_server,
    turns,
    wire_channel,
    wire_server,
)
from support.wire_support import RESPONSE, RST_STREAM
from wirelane import BusyError, Limits, RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream

Act = Callable[[grpc.Channel], Awaitable[Any]]


async def unary(channel: grpc.Channel) -> Any:
    return await channel.unary(ONE, b"x", timeout=30)


async def unary_in_stages(channel: grpc.Channel) -> Any:
    call = channel.unary(ONE, b"x")
    await call.initial_metadata()
    return await call


async def server_stream(channel: grpc.Channel) -> Any:
    async with channel.server_stream(DOWN, b"x", timeout=30) as stream:
        return [message async for message in stream]


async def client_stream(channel: grpc.Channel) -> Any:
    async with channel.client_stream(UP) as stream:
        await stream.send(b"x")
        await stream.send(bytes(3_000_000))
        return await stream.finish()


async def client_stream_iterable(channel: grpc.Channel) -> Any:
    async def messages():
        for _ in range(3):
            yield b"x"
            await asyncio.sleep(0)

    return await channel.client_stream(UP, messages(), timeout=30)


async def bidi(channel: grpc.Channel) -> Any:
    async with channel.bidi_stream(BOTH) as stream:
        await stream.send(b"x")
        await stream.receive(timeout=30)
        await stream.done_sending()
        return await stream.receive()


async def bidi_iterable(channel: grpc.Channel) -> Any:
    async with channel.bidi_stream(BOTH, [b"x", b"y"]) as stream:
        return [message async for message in stream]


async def collect(channel: grpc.Channel) -> Any:
    return await channel.collect(BOTH, [b"x", b"y"])


async def exchange(channel: grpc.Channel) -> Any:
    return await channel.exchange(BOTH, [grpc.Send(b"x"), grpc.Receive(timeout=30), grpc.Send(b"y")])


async def compat(channel: grpc.Channel) -> Any:
    async with channel.request("/test.Echo/Up", grpc.Cardinality.CLIENT_STREAM, bytes, bytes) as stream:
        await stream.send_request()
        await stream.send_message(b"x")
        await stream.end()
        return await stream.recv_message()


ACTS = [
    unary,
    unary_in_stages,
    server_stream,
    client_stream,
    client_stream_iterable,
    bidi,
    bidi_iterable,
    collect,
    exchange,
    compat,
]


async def serve(stream: ServerStream) -> None:
    """Answer each kind of call, a few turns of the loop apart."""
    if stream.path.endswith("Both"):
        while (part := await stream.receive()) is not None:
            await turns(2)
            await stream.send(part[1])
        stream.finish(StatusCode.OK)
        return
    while await stream.receive() is not None:
        await turns(2)
    if stream.path.endswith("Down"):
        for _ in range(3):
            await stream.send(b"y")
            await turns(2)
        stream.finish(StatusCode.OK)
    else:
        stream.finish(StatusCode.OK, payload=b"y")


async def silence(stream: ServerStream) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def cancelled_after(steps: int, act: Act, channel: grpc.Channel) -> bool:
    """Run `act`, cancel it after so many turns of the loop; whether it was still running."""

    async def run() -> None:
        await act(channel)

    task = asyncio.create_task(run())
    await turns(steps)
    running = task.cancel()
    await asyncio.wait((task,))
    if running:
        assert task.cancelled(), task
    else:
        task.result()
    return running


@pytest.mark.parametrize("act", ACTS)
async def test_a_call_can_be_cancelled_at_any_step(act: Act) -> None:
    async with wire_channel(serve) as channel:
        steps = 0
        while await cancelled_after(steps, act, channel):
            assert channel.stats.active == 0, (steps, channel)
            steps += 1
        assert steps > 3
        await act(channel)
        await settled(channel)


async def settled(channel: grpc.Channel) -> None:
    """No stream is left on the connection; the channel still works."""
    await turns(10)
    (connection,) = channel._connector.connections
    assert connection.active == 0
    assert await unary(channel) == b"y"


@pytest.mark.parametrize("act", ACTS)
async def test_a_call_can_be_cancelled_at_any_step_of_connecting(act: Act) -> None:
    async with wire_server(serve) as port:
        steps = 0
        running = True
        while running:
            async with grpc.Channel(f"127.0.0.1:{port}") as channel:
                running = await cancelled_after(steps, act, channel)
                assert channel.stats.active == 0, (steps, channel)
            # Steps of real sockets differ from run to run; the first ones are those that matter here.
            steps += 1
            if steps > 40:
                break


async def test_a_call_can_be_cancelled_at_any_step_of_waiting_for_a_stream() -> None:
    release = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        part = await stream.receive()
        assert part is not None
        if part[1] == b"hold":
            await release.wait()
        stream.finish(StatusCode.OK, payload=b"y")

    for steps in range(8):
        release.clear()
        async with wire_channel(handler, server_limits=Limits(max_concurrent_streams=1)) as channel:
            holding = asyncio.create_task(channel.unary(ONE, b"hold"))
            await turns(3)
            queued = asyncio.create_task(channel.unary(ONE, b"behind"))
            first = asyncio.create_task(cancelled_after(steps, unary, channel))
            assert await first
            assert channel.stats.active == 2
            release.set()
            assert list(await asyncio.gather(holding, queued)) == [b"y", b"y"]
            await settled(channel)


async def test_a_cancelled_task_raises_cancelled_error_untouched() -> None:
    notes = Notes()
    async with notes_channel(notes) as channel:
        task = asyncio.create_task(channel.unary("Calls/One", {"text": "hang"}))
        while not notes.timeouts:
            await asyncio.sleep(0.001)
        task.cancel("the reason")
        with pytest.raises(asyncio.CancelledError, match="the reason"):
            await task
        await asyncio.wait_for(notes.ended.wait(), 10)


async def test_cancel_wakes_whoever_waits_with_an_rpc_error() -> None:
    notes = Notes()
    async with notes_channel(notes) as channel:
        call = channel.unary("Calls/One", {"text": "hang"})
        waiting = asyncio.ensure_future(call)
        while not notes.timeouts:
            await asyncio.sleep(0.001)
        with pytest.raises(BusyError):
            await call
        call.cancel()
        with pytest.raises(RpcError) as raised:
            await waiting
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.CANCELLED, False)
        assert call.status is StatusCode.CANCELLED
        await asyncio.wait_for(notes.ended.wait(), 10)


async def test_cancel_before_the_call_is_sent_sends_nothing() -> None:
    notes = Notes()
    async with notes_channel(notes) as channel:
        call = channel.unary("Calls/One")
        call.cancel()
        with pytest.raises(RpcError, match="CANCELLED"):
            await call
        assert notes.timeouts == []


async def test_cancel_after_the_end_changes_nothing() -> None:
    async with notes_channel() as channel:
        call = channel.unary("Calls/One")
        await call
        call.cancel()
        assert call.status is StatusCode.OK
        await call


async def test_cancel_ends_a_call_that_waits_for_a_connection() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with grpc.Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as channel:
        call = channel.unary(ONE, b"")
        waiting = asyncio.ensure_future(call)
        await turns(5)
        call.cancel()
        with pytest.raises(RpcError, match="CANCELLED"):
            await waiting
        assert channel.stats.active == 0
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_connect_leaves_nothing(steps: int) -> None:
    async with grpcio_server() as port:

        async def run() -> None:
            async with grpc.connect(f"127.0.0.1:{port}", schema=PROTO):
                pass

        task = asyncio.create_task(run())
        await turns(steps)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_is_written_into_the_metadata_of_a_cancelled_call_stays_there() -> None:
    async with wire_channel(silence) as channel:
        one, other = channel.unary(ONE, b"x"), channel.unary(ONE, b"x")
        one.cancel()
        other.cancel()
        assert one.trailing_metadata is not None
        one.trailing_metadata["mine"] = "1"
        assert other.trailing_metadata == {}


async def test_a_call_that_was_opened_and_is_closed_unawaited_is_cancelled() -> None:
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = channel.unary(ONE, b"x")
        asking = asyncio.create_task(call.initial_metadata())
        peer = await raw.peers.get()
        stream = (await peer.request()).stream
        peer.write(peer.headers(stream, RESPONSE))
        await asking
        call.close()
        assert channel.stats.active == 0
        assert (await peer.next(RST_STREAM)).stream == stream


async def test_a_task_of_a_call_that_was_cancelled_before_gets_its_ending() -> None:
    async with wire_channel(silence) as channel:
        call = channel.unary(ONE, b"x")
        call.cancel()
        with pytest.raises(RpcError, match="CANCELLED"):
            await asyncio.create_task(call)
        with pytest.raises(RpcError, match="CANCELLED"):
            await call
