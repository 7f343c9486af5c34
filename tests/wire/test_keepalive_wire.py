"""Pings, idleness and age of connections, frame by frame, over sockets and memory (gRFC A8 and A9).

The intervals are tiny and nothing is measured: a test waits for the frame or the ending that must come. That something
does not come is seen beside another connection of the same pace on which it does.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from support.wire_support import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LINKS,
    PING,
    REQUEST,
    RESPONSE,
    Link,
    RawPeer,
    client_and_raw_server,
    ended,
    frame,
    message,
    server_and_raw_client,
    unary,
)
from wirelane.core import keepalive as settings
from wirelane.core.keepalive import ServerOptions
from wirelane.core.limits import Limits
from wirelane.status import StatusCode
from wirelane.transport.base import ServerStream
from wirelane.transport.keepalive import Keepalive

pytestmark = pytest.mark.parametrize("link", LINKS)

LAST = 2**31 - 1
CALM = 11
SOON = 0.02
LONG = 3600.0


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings be as short as a test needs them."""
    monkeypatch.setattr(settings, "LEAST_CLIENT_TIME", 0.0)
    monkeypatch.setattr(settings, "LEAST_SERVER_TIME", 0.0)


class Calls:
    """A handler that leaves the calls to the test."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[ServerStream] = asyncio.Queue()

    def __call__(self, stream: ServerStream) -> None:
        self.streams.put_nowait(stream)


async def pong(raw: RawPeer) -> None:
    """Wait for a PING and answer it."""
    heard = await raw.next(PING)
    assert not heard.flags & ACK
    raw.write(frame(PING, ACK, 0, heard.payload))


def call(raw: RawPeer, stream: int) -> None:
    raw.write(raw.headers(stream, REQUEST), frame(DATA, END_STREAM, stream, message(b"abc")))


def debug(heard: bytes) -> bytes:
    """The debug data of a GOAWAY's payload."""
    return heard[8:]


# The client


async def test_a_silent_server_is_pinged_again_and_again_while_it_answers(link: Link) -> None:
    """An answered PING is no reason to stop, and the call goes on."""
    async with client_and_raw_server(link, keepalive=Keepalive(SOON, LONG, without_calls=False)) as (
        client,
        raw,
    ):
        stream = await unary(client)
        head = await raw.request()
        for _ in range(4):
            await pong(raw)
        raw.answer(head.stream)
        assert await ended(stream) == [b"reply"]


async def test_a_server_that_does_not_answer_a_ping_is_given_up(link: Link) -> None:
    """The calls end as UNAVAILABLE, and say why; the connection is cut."""
    pace = Keepalive(SOON, SOON, without_calls=False)
    async with client_and_raw_server(link, keepalive=pace) as (client, raw):
        streams = [await unary(client), await unary(client)]
        for stream in streams:
            await ended(stream)
            assert stream.ending is not None
            assert stream.ending.code is StatusCode.UNAVAILABLE
            assert "keepalive timeout" in stream.ending.message
            assert not stream.ending.unprocessed
        assert not client.available
        await client.wait_closed()
        await raw.closed()


async def test_anything_that_arrives_counts_as_an_answer(link: Link) -> None:
    """A busy server may take its time with the PING."""
    pace = Keepalive(SOON, 0.2, without_calls=False)
    async with client_and_raw_server(link, keepalive=pace) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE))
        for _ in range(3):
            await raw.next(PING)
            raw.write(frame(DATA, 0, head.stream, message(b"part")))
        raw.write(raw.headers(head.stream, [("grpc-status", "0")], end=True))
        assert await ended(stream) == [b"part"] * 3


async def test_a_connection_without_calls_is_not_pinged_unless_permitted(link: Link) -> None:
    """Beside one that may ping without calls, one that may not stays silent, until it has a call."""
    quiet, eager = (Keepalive(SOON, LONG, without_calls=permitted) for permitted in (False, True))
    async with client_and_raw_server(link, keepalive=quiet) as (client, raw):
        async with client_and_raw_server(link, keepalive=eager) as (_, other):
            for _ in range(4):
                await pong(other)
        assert PING not in {heard.kind for heard in raw.seen}
        stream = await unary(client)
        head = await raw.request()
        await pong(raw)
        raw.answer(head.stream)
        await ended(stream)


async def test_too_many_pings_halve_the_pace_of_the_channel(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """The connections of a channel share the pace; each such GOAWAY doubles the time between pings."""
    pace = Keepalive(300.0, 20.0, without_calls=False)
    for expected in (600.0, 1200.0):
        caplog.clear()
        async with client_and_raw_server(link, keepalive=pace) as (client, raw):
            stream = await unary(client)
            head = await raw.request()
            last = head.stream.to_bytes(4, "big")
            raw.write(frame(GOAWAY, 0, 0, last + CALM.to_bytes(4, "big") + b"too_many_pings"))
            raw.close()
            await ended(stream)
            assert stream.ending is not None
            assert "too_many_pings" in stream.ending.message
        assert pace.time == expected
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert f"{expected:g} s" in record.getMessage()


@pytest.mark.parametrize(("code", "text"), [(CALM, b"too many resets"), (0, b"too_many_pings")])
async def test_other_goaways_leave_the_pace_alone(link: Link, code: int, text: bytes) -> None:
    """Both the code and the text of gRFC A8 are needed."""
    pace = Keepalive(300.0, 20.0, without_calls=False)
    async with client_and_raw_server(link, keepalive=pace) as (client, raw):
        raw.write(frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big") + text))
        await raw.closed()
        assert not client.available
    assert pace.time == 300.0


# What a server puts up with


async def test_the_third_early_ping_ends_the_connection(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """Three are answered, the fourth is met with ENHANCE_YOUR_CALM too_many_pings, and one line of the log."""
    caplog.set_level(logging.INFO)
    async with server_and_raw_client(link, Calls()) as (_, raw):
        for number in range(4):
            raw.write(frame(PING, 0, 0, b"ping %03d" % number))
        heard = await raw.closed()
    assert [frame.payload for frame in heard if frame.kind == PING] == [b"ping %03d" % n for n in range(3)]
    (goaway,) = [frame for frame in heard if frame.kind == GOAWAY]
    assert (goaway.code, debug(goaway.payload)) == (CALM, b"too_many_pings")
    (record,) = [record for record in caplog.records if "too_many_pings" in record.getMessage()]
    assert record.levelno == logging.INFO


async def test_early_pings_take_the_calls_with_them(link: Link) -> None:
    """An open call is no excuse as long as nothing is sent to it."""
    calls = Calls()
    async with server_and_raw_client(link, calls) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        raw.write(*[frame(PING, 0, 0, bytes(8))] * 5)
        goaway = next(frame for frame in await raw.closed() if frame.kind == GOAWAY)
        assert (goaway.code, goaway.last_stream) == (CALM, 1)
        assert stream.cancelled


async def test_answers_excuse_pings(link: Link) -> None:
    """A client may ping whenever it has received something, to measure it, however often that is."""
    calls = Calls()
    async with server_and_raw_client(link, calls) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        stream.send_head(stream.metadata)
        for _ in range(10):
            await stream.send(b"some")
            await raw.next(DATA)
            raw.write(frame(PING, 0, 0, bytes(8)), frame(PING, 0, 0, bytes(8)))
            for _ in range(2):
                assert (await raw.next(PING)).flags & ACK
        for number in range(3, 33, 2):
            call(raw, number)
            (await calls.streams.get()).finish(StatusCode.OK)
            await raw.next(HEADERS)
            raw.write(frame(PING, 0, 0, bytes(8)))
            assert (await raw.next(PING)).flags & ACK


async def test_pings_are_welcome_at_the_interval_of_the_server(link: Link) -> None:
    """`min_ping_interval` is for connections with calls, `pings_without_calls` for the others too."""
    options = ServerOptions(min_ping_interval=1e-9, pings_without_calls=True)
    async with server_and_raw_client(link, Calls(), options=options) as (_, raw):
        for _ in range(10):
            raw.write(frame(PING, 0, 0, bytes(8)))
            assert (await raw.next(PING)).flags & ACK


async def test_the_interval_for_calls_does_not_hold_without_them(link: Link) -> None:
    """Without calls it is two hours, whatever `min_ping_interval` says."""
    calls = Calls()
    async with server_and_raw_client(link, calls, options=ServerOptions(min_ping_interval=1e-9)) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        for _ in range(10):
            raw.write(frame(PING, 0, 0, bytes(8)))
            assert (await raw.next(PING)).flags & ACK
        stream.finish(StatusCode.OK)
        await raw.next(HEADERS)
        raw.write(*[frame(PING, 0, 0, bytes(8))] * 4)
        assert [frame.code for frame in await raw.closed() if frame.kind == GOAWAY] == [CALM]


# The pings of a server


async def test_a_silent_client_is_pinged_and_stays_while_it_answers(link: Link) -> None:
    """A server's pings need no calls."""
    options = ServerOptions(keepalive_time=SOON, keepalive_timeout=LONG)
    async with server_and_raw_client(link, Calls(), options=options) as (server, raw):
        for _ in range(4):
            await pong(raw)
        assert server().active == 0


async def test_a_client_that_does_not_answer_a_ping_is_given_up(link: Link) -> None:
    """Its calls are cancelled and its connection is cut, without a GOAWAY that nobody would read."""
    calls = Calls()
    options = ServerOptions(keepalive_time=SOON, keepalive_timeout=SOON)
    async with server_and_raw_client(link, calls, options=options) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        cancelled = asyncio.Event()
        stream.add_cancel_callback(lambda _: cancelled.set())
        await cancelled.wait()
        assert stream.cancelled
        assert [frame for frame in await raw.closed() if frame.kind == GOAWAY] == []


# Idle and old connections


async def test_an_idle_connection_is_closed_in_order(link: Link) -> None:
    """GOAWAY with the highest identifier and a PING; when that is answered, the real one; both say max_idle."""
    async with server_and_raw_client(link, Calls(), options=ServerOptions(max_connection_idle=SOON)) as (
        _,
        raw,
    ):
        first = await raw.next(GOAWAY)
        assert (first.last_stream, first.code, debug(first.payload)) == (LAST, 0, b"max_idle")
        await pong(raw)
        second = await raw.next(GOAWAY)
        assert (second.last_stream, second.code, debug(second.payload)) == (0, 0, b"max_idle")
        assert await raw.closed() == []


async def test_a_connection_is_not_idle_while_a_call_is_open(link: Link) -> None:
    """The time is counted from the end of the last call: beside an idle connection, the busy one lives on."""
    calls = Calls()
    options = ServerOptions(max_connection_idle=SOON)
    async with server_and_raw_client(link, calls, options=options) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        for _ in range(3):
            async with server_and_raw_client(link, Calls(), options=options) as (_, other):
                await other.next(GOAWAY)
        assert GOAWAY not in {heard.kind for heard in raw.seen}
        stream.finish(StatusCode.OK, payload=b"reply")
        assert (await raw.next(HEADERS)).stream == 1
        assert debug((await raw.next(GOAWAY)).payload) == b"max_idle"
        await pong(raw)
        assert (await raw.next(GOAWAY)).last_stream == 1


async def test_an_old_connection_finishes_its_calls_and_those_under_way(link: Link) -> None:
    """GOAWAY says max_age; a call that crossed it is taken; the connection ends when both are answered."""
    calls = Calls()
    async with server_and_raw_client(link, calls, options=ServerOptions(max_connection_age=SOON)) as (_, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        first = await raw.next(GOAWAY)
        assert (first.last_stream, first.code, debug(first.payload)) == (LAST, 0, b"max_age")
        call(raw, 3)
        crossed = await calls.streams.get()
        await pong(raw)
        second = await raw.next(GOAWAY)
        assert (second.last_stream, second.code, debug(second.payload)) == (3, 0, b"max_age")
        crossed.finish(StatusCode.OK, payload=b"reply")
        stream.finish(StatusCode.OK, payload=b"reply")
        answered = {
            frame.stream for frame in await raw.closed() if frame.kind == HEADERS and frame.ends_stream
        }
        assert answered == {1, 3}


async def test_a_call_that_outlives_age_and_grace_is_cut(link: Link) -> None:
    """No call keeps an old connection for ever, if there is a grace."""
    calls = Calls()
    options = ServerOptions(max_connection_age=SOON, max_connection_age_grace=SOON)
    async with server_and_raw_client(link, calls, options=options) as (server, raw):
        call(raw, 1)
        stream = await calls.streams.get()
        connection = server()
        await raw.next(GOAWAY)
        await pong(raw)
        await raw.closed()
        await connection.wait_closed()
        assert stream.cancelled


async def test_a_client_that_does_not_answer_the_ping_of_a_drain_holds_nothing_up(link: Link) -> None:
    """After `close_timeout` the real GOAWAY comes without it."""
    async with server_and_raw_client(link, Calls(), limits=Limits(close_timeout=SOON)) as (server, raw):
        connection = server()
        connection.drain()
        heard = [frame for frame in await raw.closed() if frame.kind == GOAWAY]
        assert [(frame.last_stream, debug(frame.payload)) for frame in heard] == [
            (LAST, b"graceful_stop"),
            (0, b"graceful_stop"),
        ]
        await connection.wait_closed()
