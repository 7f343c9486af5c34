"""Deadlines: sent, and enforced here: written once, run with asyncio and without."""

from __future__ import annotations

import math
import time

import pytest

from support.client_support import BOTH, ONE, raw_server
from support.sync_support import BlockingNotes
from support.twins_support import Event, elsewhere, gather, serving, silent, start, there, until
from support.wire_support import HEADERS, RST_STREAM, SETTINGS, frame
from twins.grpc_support import FORMS, call_of, notes_channel, wire_channel
from wirelane import DeadlineExceeded, Limits, StatusCode, grpc
from wirelane.core.deadline import Deadline
from wirelane.grpc.context import current_deadline
from wirelane.transport.base import ServerStream


@there
async def silence(stream: ServerStream) -> None:
    await Event().wait()


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_of_any_kind_ends_with_its_deadline(form: str) -> None:
    async with wire_channel(silence) as channel:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded) as raised:
            await call_of(channel, form, 0.05)
        assert time.monotonic() - started >= 0.045
        assert isinstance(raised.value, TimeoutError)
        assert (raised.value.code, raised.value.from_peer) == (StatusCode.DEADLINE_EXCEEDED, False)
        assert channel.stats.active == 0


async def test_the_deadline_is_told_to_the_server_and_its_stream_is_reset() -> None:
    async with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.unary, ONE, b"", timeout=0.2)
        peer = await raw.peers.get()
        head = await peer.next(HEADERS)
        timeout = head.field("grpc-timeout")
        assert timeout is not None
        assert timeout.endswith("m")
        assert 0 < int(timeout[:-1]) <= 201
        reset = await peer.next(RST_STREAM)
        assert (reset.stream, reset.code) == (head.stream, 8)
        with pytest.raises(DeadlineExceeded):
            await call.result()


async def test_a_call_without_a_deadline_sends_none() -> None:
    notes = BlockingNotes()
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

    @there
    async def handler(stream: ServerStream) -> None:
        nonlocal called
        called = True
        stream.finish(StatusCode.OK)

    async with wire_channel(handler) as channel:
        with pytest.raises(DeadlineExceeded):
            await call_of(channel, form, 0)
        assert not called


async def test_a_deadline_holds_while_there_is_no_connection_yet() -> None:
    with serving(silent) as address:
        async with grpc.Channel(address) as channel:
            with pytest.raises(DeadlineExceeded):
                await channel.unary(ONE, b"", timeout=0.05)
            with pytest.raises(DeadlineExceeded):
                async with channel.bidi_stream(BOTH, timeout=0.05):
                    pass
            assert channel.state == "CONNECTING"
            assert channel.stats.active == 0


async def test_a_deadline_holds_while_the_server_takes_no_more_streams() -> None:
    release = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        await release.wait()
        stream.finish(StatusCode.OK, payload=b"")

    async with wire_channel(handler, server_limits=Limits(max_concurrent_streams=1)) as channel:
        first = start(channel.unary, ONE, b"first")
        await until(lambda: channel.stats.active)
        for form in ("unary", "server_stream", "bidi_iterable"):
            with pytest.raises(DeadlineExceeded):
                await call_of(channel, form, 0.03)
        assert channel.stats.active == 1
        release.set()
        assert await first.result() == b""


async def test_a_place_given_up_goes_to_the_next_in_the_queue() -> None:
    release = Event()

    @there
    async def handler(stream: ServerStream) -> None:
        part = await stream.receive()
        assert part is not None
        if part[1] == b"hold":
            await release.wait()
        stream.finish(StatusCode.OK, payload=part[1])

    async with wire_channel(handler, server_limits=Limits(max_concurrent_streams=1)) as channel:
        holding = start(channel.unary, ONE, b"hold")
        await until(lambda: channel.stats.active)
        waiting = [start(channel.unary, ONE, bytes((n,)), timeout=0.02 if n % 2 else 30) for n in range(6)]
        await until(lambda: all(each.done() for each in waiting[1::2]))
        release.set()
        results = await gather(holding, *waiting, return_exceptions=True)
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
    seen: list[Deadline | None] = []

    @there
    async def inner(stream: ServerStream) -> None:
        seen.append(stream.deadline)
        stream.finish(StatusCode.OK, payload=b"")

    async with wire_channel(inner) as behind:

        async def outer(request, context):
            await behind.unary(ONE, b"")
            return request

        server = grpc.Server()
        server.method(ONE)(outer)
        async with server.listen("127.0.0.1:0") as at, grpc.connect(f"127.0.0.1:{at.port}") as front:
            assert await front.unary(ONE, b"x", timeout=7) == b"x"
    assert seen[0] is not None
    assert 5 < seen[0].remaining() <= 7.1


async def test_a_deadline_that_the_server_says_first_is_the_servers() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.DEADLINE_EXCEEDED, "too slow")

    async with wire_channel(handler) as channel:
        with pytest.raises(DeadlineExceeded, match="too slow") as raised:
            await channel.unary(ONE, b"", timeout=30)
        assert raised.value.from_peer


async def test_a_silent_server_never_holds_a_call_beyond_its_deadline() -> None:
    async with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with pytest.raises(DeadlineExceeded):
            await channel.unary(ONE, bytes(10**6), timeout=0.1)
        peer = await raw.peers.get()
        peer.write(frame(SETTINGS, 0, 0))
        assert channel.stats.active == 0
