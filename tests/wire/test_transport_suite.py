"""What every transport promises (`transport.base`), with both ends ours: run over sockets and in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from support.wire_support import LINKS, Link, client_and_server, ended, unary
from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata
from wirelane.errors import BusyError, UsageError
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, Ending, RequestHead, ServerStream, Unavailable

pytestmark = pytest.mark.parametrize("link", LINKS)

Run = Callable[[ServerStream], Awaitable[None]]


class Calls:
    """Runs one coroutine per call, and hands their streams out."""

    def __init__(self, run: Run) -> None:
        self.streams: asyncio.Queue[ServerStream] = asyncio.Queue()
        self.tasks: list[asyncio.Future[None]] = []
        self._run = run

    def __call__(self, stream: ServerStream) -> None:
        self.streams.put_nowait(stream)
        self.tasks.append(asyncio.ensure_future(self._run(stream)))

    async def done(self) -> None:
        await asyncio.gather(*self.tasks)


async def echo(stream: ServerStream) -> None:
    """Send every message back, its flag with it."""
    try:
        while (part := await stream.receive()) is not None:
            await stream.send(part[1], compressed=part[0])
        stream.finish(StatusCode.OK)
    except CallEnded:
        return


async def idle(stream: ServerStream) -> None:
    """Never answer; go when the call does."""
    with suppress(CallEnded):
        while await stream.receive() is not None:
            pass


async def answer_at_once(stream: ServerStream) -> None:
    stream.finish(StatusCode.OK, payload=b"x", head=Metadata({"h": "1"}), metadata=Metadata({"t-bin": b"\0"}))


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 65_530, 65_536, 1_000_000, 4 * 1024 * 1024])
async def test_messages_of_any_size_come_back(link: Link, size: int) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, server):
        stream = await client.open(RequestHead("/a.B/c", "test"))
        payload = bytes(range(256)) * (size // 256 + 1)
        await stream.send(payload[:size])
        assert await stream.receive() == (False, payload[:size])
        await stream.end()
        assert await stream.receive() is None
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK
        await calls.done()
        assert client.active == server().active == 0


async def test_many_small_messages_keep_their_order_and_flags(link: Link) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, _):
        stream = await client.open(RequestHead("/a.B/c", "test"))

        async def send() -> None:
            for number in range(3000):
                await stream.send(b"%d" % number, compressed=bool(number % 2))
            await stream.end()

        sending = asyncio.ensure_future(send())
        received = []
        while (part := await stream.receive()) is not None:
            received.append(part)
        assert received == [(bool(number % 2), b"%d" % number) for number in range(3000)]
        await sending


async def test_a_sender_that_nothing_stops_lets_others_run(link: Link) -> None:
    turns = 0
    seen: list[int] = []

    async def flood(stream: ServerStream) -> None:
        for _ in range(2000):
            seen.append(turns)
            await stream.send(b"x")
        stream.finish(StatusCode.OK)

    async with client_and_server(link, Calls(flood)) as (client, _):
        stream = await unary(client)
        while not seen or len(seen) < 2000:
            turns += 1
            await asyncio.sleep(0)
        assert max(seen.count(turn) for turn in set(seen)) <= 200
        assert await ended(stream) == [b"x"] * 2000


async def test_heads_trailers_and_deadlines_travel(link: Link) -> None:
    calls = Calls(answer_at_once)
    async with client_and_server(link, calls) as (client, _):
        metadata = Metadata([("a", "1"), ("a", "2"), ("b-bin", b"\xff\0")])
        head = RequestHead("/a.B/c", "some.host", metadata, Deadline.after(30.0), encoding="gzip")
        stream = await client.open(head, b"", end=True)
        assert await stream.receive() == (False, b"x")
        assert await stream.receive() is None
        seen = await calls.streams.get()
        assert seen.path == "/a.B/c"
        assert seen.authority == "some.host"
        assert seen.encoding == "gzip"
        assert "gzip" in seen.accept_encoding
        assert seen.metadata.get_all("a") == ["1", "2"]
        assert seen.metadata["b-bin"] == b"\xff\0"
        assert seen.deadline is not None
        assert 20 < seen.deadline.remaining() <= 30.5
        assert stream.head is not None
        assert stream.head.metadata["h"] == "1"
        assert stream.ending is not None
        assert stream.ending.metadata["t-bin"] == b"\0"


async def test_a_status_alone_needs_no_head(link: Link) -> None:
    async def refuse(stream: ServerStream) -> None:
        stream.finish(StatusCode.ABORTED, "nö\n", details=b"\1\2")

    async with client_and_server(link, Calls(refuse)) as (client, _):
        stream = await unary(client)
        assert await stream.receive_head() is None
        assert await stream.receive() is None
        ending = stream.ending
        assert ending is not None
        assert (ending.code, ending.message, ending.details) == (StatusCode.ABORTED, "nö\n", b"\1\2")
        assert ending.from_peer


async def test_cancelling_tells_the_server(link: Link) -> None:
    calls = Calls(idle)
    async with client_and_server(link, calls) as (client, server):
        stream = await client.open(RequestHead("/a.B/c", "test"), b"x")
        seen = await calls.streams.get()
        stream.cancel(Ending(StatusCode.CANCELLED, "enough"))
        await calls.done()
        assert seen.cancelled
        assert client.active == server().active == 0
        with pytest.raises(CallEnded):
            await stream.send(b"more")


async def test_a_lost_connection_ends_both_sides(link: Link) -> None:
    calls = Calls(idle)
    async with client_and_server(link, calls) as (client, _):
        stream = await client.open(RequestHead("/a.B/c", "test"), b"x")
        seen = await calls.streams.get()
        client.abort()
        await calls.done()
        assert seen.cancelled
        assert await stream.receive() is None
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.CANCELLED
        assert not client.available
        with pytest.raises(Unavailable):
            await unary(client)


async def test_an_aborted_server_makes_calls_unavailable(link: Link) -> None:
    calls = Calls(idle)
    async with client_and_server(link, calls) as (client, server):
        stream = await client.open(RequestHead("/a.B/c", "test"), b"x")
        await calls.streams.get()
        server().abort()
        assert await stream.receive() is None
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        await calls.done()


async def test_draining_finishes_what_is_in_flight_and_then_closes(link: Link) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, server):
        stream = await client.open(RequestHead("/a.B/c", "test"), b"one")
        assert await stream.receive() == (False, b"one")
        connection = server()
        gone = asyncio.Event()
        client.add_close_callback(lambda _: gone.set())
        connection.drain()
        await gone.wait()
        assert not client.available
        await stream.send(b"two")
        assert await stream.receive() == (False, b"two")
        await stream.end()
        assert await stream.receive() is None
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK
        await connection.wait_closed()
        await client.wait_closed()


async def test_closing_a_client_ends_its_calls_as_cancelled(link: Link) -> None:
    calls = Calls(idle)
    async with client_and_server(link, calls) as (client, _):
        stream = await client.open(RequestHead("/a.B/c", "test"), b"x")
        await calls.streams.get()
        await client.close()
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.CANCELLED
        await calls.done()


async def test_a_sender_waits_for_a_reader_that_does_not_read(link: Link) -> None:
    async def wait_then_read(stream: ServerStream) -> None:
        await go.wait()
        await echo(stream)

    go = asyncio.Event()
    limits = Limits(initial_window=65_535, connection_window=65_535)
    async with client_and_server(link, Calls(wait_then_read), server_limits=limits) as (client, _):
        stream = await client.open(RequestHead("/a.B/c", "test"))
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                await stream.send(b"m" * 10_000)
                sent += 1
            await stream.end()

        sending = asyncio.ensure_future(send())
        quick = await client.open(RequestHead("/a.B/c", "test"), b"")
        await asyncio.sleep(0.01)
        assert sent < 20
        assert not sending.done()
        go.set()
        await quick.end()
        assert await ended(quick) == [b""]
        assert await ended(stream) == [b"m" * 10_000] * 100
        await sending


async def test_two_tasks_on_one_side_of_a_call_are_refused(link: Link) -> None:
    calls = Calls(idle)
    async with client_and_server(link, calls) as (client, _):
        stream = await client.open(RequestHead("/a.B/c", "test"))
        first = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await stream.receive()
        stream.cancel(Ending(StatusCode.CANCELLED))
        assert await first is None
        await calls.done()


async def test_sending_after_the_end_is_misuse(link: Link) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, _):
        stream = await unary(client)
        with pytest.raises(UsageError):
            await stream.send(b"more")
        assert await ended(stream) == [b"request"]
        await calls.done()


async def test_a_thousand_calls_at_once_all_end(link: Link) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, server):

        async def one(number: int) -> None:
            stream = await unary(client, b"%d" % number)
            assert await ended(stream) == [b"%d" % number]

        await asyncio.gather(*(one(number) for number in range(1000)))
        await calls.done()
        assert client.active == server().active == 0


async def test_cancelling_a_call_at_every_step_leaves_nothing_open(link: Link) -> None:
    calls = Calls(echo)
    async with client_and_server(link, calls) as (client, server):

        async def whole() -> None:
            stream = await client.open(RequestHead("/a.B/c", "test"))
            try:
                await stream.send(b"x" * 100_000)
                await stream.end()
                await ended(stream)
            finally:
                stream.cancel(Ending(StatusCode.CANCELLED, "the caller was cancelled"))

        finished = False
        step = 0
        while not finished:
            task = asyncio.ensure_future(whole())
            for _ in range(step):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert finished or task.cancelled()
            assert client.active == 0
            step += 1
            assert step < 5000
        await calls.done()
        # The connection is as good as before.
        assert await ended(await unary(client)) == [b"request"]
        assert server().active == 0
