"""Deadlines: sent, enforced here, never touching anybody's task."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from support.client_support import BOTH, DOWN, ONE, UP, Notes, notes_channel, raw_server, wire_channel
from support.wire_support import HEADERS, RST_STREAM, SETTINGS, frame
from wirelane import DeadlineExceeded, Limits, RpcError, StatusCode, grpc
from wirelane.core.deadline import Deadline
from wirelane.grpc.context import current_deadline
from wirelane.transport.base import ServerStream


async def silence(stream: ServerStream) -> None:
    await asyncio.Event().wait()


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def call_of(channel: grpc.Channel, form: str, timeout: float) -> None:
    if form == "unary":
        await channel.unary(ONE, b"", timeout=timeout)
    elif form == "server_stream":
        async with channel.server_stream(DOWN, b"", timeout=timeout) as stream:
            await stream.receive()
    elif form == "client_stream":
        async with channel.client_stream(UP, timeout=timeout) as stream:
            await stream.send(b"")
            await stream.finish()
    elif form == "client_stream_blocked":
        async with channel.client_stream(UP, timeout=timeout) as stream:
            while True:
                await stream.send(bytes(100_000))
    elif form == "client_stream_iterable":
        await channel.client_stream(UP, [b"", b""], timeout=timeout)
    elif form == "initial_metadata":
        async with channel.bidi_stream(BOTH, timeout=timeout) as stream:
            await stream.initial_metadata()
    elif form == "bidi_iterable":
        async with channel.bidi_stream(BOTH, [b""], timeout=timeout) as stream:
            async for _ in stream:
                pass
    elif form == "collect":
        await channel.collect(DOWN, b"", timeout=timeout)
    elif form == "request":
        async with channel.request(
            "/test.Echo/Call", grpc.Cardinality.UNARY, bytes, bytes, timeout=timeout
        ) as stream:
            await stream.send_message(b"", end=True)
            await stream.recv_message()
    else:
        await channel.exchange(BOTH, [grpc.Send(b""), grpc.Receive()], timeout=timeout)


FORMS = [
    "unary",
    "server_stream",
    "client_stream",
    "client_stream_blocked",
    "client_stream_iterable",
    "initial_metadata",
    "bidi_iterable",
    "collect",
    "exchange",
    "request",
]


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_of_any_kind_ends_with_its_deadline(form: str) -> None:
    async with wire_channel(silence) as channel:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded) as raised:
            await call_of(channel, form, 0.05)
        assert time.monotonic() - started >= 0.045
        assert isinstance(raised.value, TimeoutError)
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.DEADLINE_EXCEEDED, False)
        assert cancelling() == 0
        assert channel.stats.active == 0


async def test_the_deadline_is_told_to_the_server_and_its_stream_is_reset() -> None:
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = asyncio.create_task(channel.unary(ONE, b"", timeout=0.2))
        peer = await raw.peers.get()
        head = await peer.next(HEADERS)
        timeout = head.field("grpc-timeout")
        assert timeout is not None
        assert timeout.endswith("m")
        assert 0 < int(timeout[:-1]) <= 201
        reset = await peer.next(RST_STREAM)
        assert (reset.stream, reset.code) == (head.stream, 8)
        with pytest.raises(DeadlineExceeded):
            await call


async def test_a_call_without_a_deadline_sends_none() -> None:
    notes = Notes()
    async with notes_channel(notes, timeout=5.0) as channel:
        await channel.unary("Calls/One")
        await channel.unary("Calls/One", timeout=math.inf)
        await channel.unary("Calls/One", timeout=50)
        assert notes.timeouts[0] is not None
        assert notes.timeouts[0] < 6
        assert notes.timeouts[1] is None
        assert notes.timeouts[2] is not None
        assert notes.timeouts[2] > 40


@pytest.mark.parametrize("form", [form for form in FORMS if form != "client_stream_blocked"])
async def test_a_deadline_that_has_passed_sends_nothing(form: str) -> None:
    called = False

    async def handler(stream: ServerStream) -> None:
        nonlocal called
        called = True
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel:
        with pytest.raises(DeadlineExceeded):
            await call_of(channel, form, 0)
        assert not called


async def test_the_deadline_runs_from_when_the_call_is_made() -> None:
    async with wire_channel(silence) as channel:
        call = channel.unary(ONE, b"", timeout=0.01)
        await asyncio.sleep(0.02)
        with pytest.raises(DeadlineExceeded):
            await call
        assert call.attempts == 0


async def test_a_deadline_holds_while_there_is_no_connection_yet() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with grpc.Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as channel:
        with pytest.raises(DeadlineExceeded):
            await channel.unary(ONE, b"", timeout=0.05)
        with pytest.raises(DeadlineExceeded):
            async with channel.bidi_stream(BOTH, timeout=0.05):
                pass
        assert channel.state == "CONNECTING"
        assert (cancelling(), channel.stats.active) == (0, 0)
    server.close()
    await server.wait_closed()


async def test_a_deadline_holds_while_the_server_takes_no_more_streams() -> None:
    async with wire_channel(silence, server_limits=Limits(max_concurrent_streams=1)) as channel:
        first = asyncio.create_task(channel.unary(ONE, b"first"))
        while not channel.stats.active:
            await asyncio.sleep(0)
        for form in ("unary", "server_stream", "bidi_iterable"):
            with pytest.raises(DeadlineExceeded):
                await call_of(channel, form, 0.03)
        assert channel.stats.active == 1
        first.cancel()
        await asyncio.wait((first,))


async def test_a_place_given_up_goes_to_the_next_in_the_queue() -> None:
    release = asyncio.Event()

    async def handler(stream: ServerStream) -> None:
        part = await stream.receive()
        assert part is not None
        if part[1] == b"hold":
            await release.wait()
        stream.finish(StatusCode.OK, payload=part[1])

    async with wire_channel(handler, server_limits=Limits(max_concurrent_streams=1)) as channel:
        holding = asyncio.create_task(channel.unary(ONE, b"hold"))
        while not channel.stats.active:
            await asyncio.sleep(0)
        waiting = [
            asyncio.create_task(channel.unary(ONE, bytes((n,)), timeout=0.02 if n % 2 else 30))
            for n in range(6)
        ]
        await asyncio.wait(waiting[1::2])
        release.set()
        results = await asyncio.gather(holding, *waiting, return_exceptions=True)
        assert [isinstance(result, DeadlineExceeded) for result in results[1:]] == [False, True] * 3
        assert [result for result in results if isinstance(result, bytes)] == [b"hold", b"\0", b"\2", b"\4"]


async def test_the_deadline_of_the_call_being_served_is_inherited() -> None:
    async with wire_channel(silence) as channel:
        token = current_deadline.set(Deadline.after(0.05))
        try:
            with pytest.raises(DeadlineExceeded):
                await channel.unary(ONE, b"")
            with pytest.raises(DeadlineExceeded):
                await channel.unary(ONE, b"", timeout=30)
        finally:
            current_deadline.reset(token)


async def test_a_handler_passes_its_deadline_on() -> None:
    seen = asyncio.get_running_loop().create_future()

    async def inner(stream: ServerStream) -> None:
        seen.set_result(stream.deadline)
        stream.finish(StatusCode.OK, payload=b"")

    async with wire_channel(inner) as behind:

        async def outer(request, context):
            await behind.unary(ONE, b"")
            return request

        server = grpc.Server()
        server.method(ONE)(outer)
        async with server.listen("127.0.0.1:0") as at, grpc.connect(f"127.0.0.1:{at.port}") as front:
            assert await front.unary(ONE, b"x", timeout=7) == b"x"
    deadline = await seen
    assert 5 < deadline.remaining() <= 7.1


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


async def test_a_deadline_that_the_server_says_first_is_the_servers() -> None:
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.DEADLINE_EXCEEDED, "too slow")

    async with wire_channel(handler) as channel:
        with pytest.raises(DeadlineExceeded, match="too slow") as raised:
            await channel.unary(ONE, b"", timeout=30)
        assert raised.value.from_peer


async def test_a_silent_server_never_holds_a_call_beyond_its_deadline() -> None:
    async with raw_server() as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with pytest.raises(DeadlineExceeded):
            await channel.unary(ONE, bytes(10**6), timeout=0.1)
        peer = await raw.peers.get()
        peer.write(frame(SETTINGS, 0, 0))
        assert channel.stats.active == 0
