"""Deadlines never touch anybody's task; what else they do is in tests/twins."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.client_support import ONE, wire_channel
from twins.grpc_support import FORMS, call_of
from wirelane import DeadlineExceeded, RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream


async def silence(stream: ServerStream) -> None:
    await asyncio.Event().wait()


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def request_of(channel: grpc.Channel, timeout: float) -> None:
    async with channel.request(
        "/test.Echo/Call", grpc.Cardinality.UNARY, bytes, bytes, timeout=timeout
    ) as stream:
        await stream.send_message(b"", end=True)
        await stream.recv_message()


@pytest.mark.parametrize("form", [*FORMS, "request"])
async def test_a_deadline_that_ends_a_call_does_not_touch_the_task(form: str) -> None:
    async with wire_channel(silence) as channel:
        with pytest.raises(DeadlineExceeded):
            await (request_of(channel, 0.05) if form == "request" else call_of(channel, form, 0.05))
        assert (cancelling(), channel.stats.active) == (0, 0)


async def test_a_request_of_a_stub_ends_with_its_deadline() -> None:
    called = False

    async def handler(stream: ServerStream) -> None:
        nonlocal called
        called = True
        await silence(stream)

    async with wire_channel(handler) as channel:
        with pytest.raises(DeadlineExceeded):
            await request_of(channel, 0)
        assert not called
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded) as raised:
            await request_of(channel, 0.05)
        assert time.monotonic() - started >= 0.045
        assert isinstance(raised.value, TimeoutError)
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.DEADLINE_EXCEEDED, False)


async def test_a_deadline_before_there_is_a_connection_does_not_touch_the_task() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with grpc.Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as channel:
        with pytest.raises(DeadlineExceeded):
            await channel.unary(ONE, b"", timeout=0.05)
        assert cancelling() == 0
    server.close()
    await server.wait_closed()


async def test_the_deadline_runs_from_when_the_call_is_made() -> None:
    async with wire_channel(silence) as channel:
        call = channel.unary(ONE, b"", timeout=0.01)
        await asyncio.sleep(0.02)
        with pytest.raises(DeadlineExceeded):
            await call
        assert call.attempts == 0


async def test_an_enclosing_timeout_ends_the_call_and_is_the_callers_own() -> None:
    ended = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        stream.add_cancel_callback(lambda _: ended.set())
        await asyncio.Event().wait()

    async with wire_channel(handler) as channel:
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(0.03):
                await channel.unary(ONE, b"", timeout=30)
        assert not isinstance(raised.value, RpcError)
        assert cancelling() == 0
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_deadline_inside_an_enclosing_timeout_is_the_calls() -> None:
    async with wire_channel(silence) as channel:
        async with asyncio.timeout(30) as scope:
            with pytest.raises(DeadlineExceeded):
                await channel.unary(ONE, b"", timeout=0.02)
            assert cancelling() == 0
        assert not scope.expired()
