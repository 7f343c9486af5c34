"""How calls and connections end when things go wrong at once: lost places, deaf peers, failing callbacks, races."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from support.wire_support import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LINKS,
    PING,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Link,
    RawPeer,
    client_and_raw_server,
    client_and_server,
    ended,
    frame,
    message,
    server_and_raw_client,
    unary,
)
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata
from wirelane.errors import UsageError
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, RequestHead, ServerStream, Unavailable
from wirelane.transport.client import H2ClientConnection

pytestmark = pytest.mark.parametrize("link", LINKS)

PATIENCE = 20.0  # a test that needs it has failed


async def one_at_a_time(client: H2ClientConnection, raw: RawPeer) -> None:
    raw.write(frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
    while client.engine.peer_max_streams != 1:
        await asyncio.sleep(0)


def requests(raw: RawPeer, *streams: int, path: str = "/test.Echo/Call") -> None:
    fields = [(name, path if name == ":path" else value) for name, value in REQUEST]
    for stream in streams:
        raw.write(raw.headers(stream, fields), frame(DATA, END_STREAM, stream, message(b"x")))


def calls_of(run: Callable[[ServerStream], Awaitable[None]]) -> Callable[[ServerStream], None]:
    """A call handler; its tasks end with the loop's."""
    tasks: list[asyncio.Future[None]] = []
    return lambda stream: tasks.append(asyncio.ensure_future(run(stream)))


def end_well(stream: ServerStream) -> None:
    stream.finish(StatusCode.OK, payload=b"done")


# Places in the queue of a full connection


async def test_a_call_cancelled_in_the_turn_in_which_a_place_is_free_is_just_cancelled(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        await one_at_a_time(client, raw)
        first = await unary(client, b"1")
        head = await raw.request()
        given_up = asyncio.ensure_future(unary(client, b"2"))
        third = asyncio.ensure_future(unary(client, b"3"))
        await asyncio.sleep(0)

        def give_up(_: object) -> None:
            given_up.cancel()

        first.add_done_callback(give_up)
        raw.answer(head.stream)
        await ended(first)
        with pytest.raises(asyncio.CancelledError):
            await given_up
        head = await raw.request()
        raw.answer(head.stream)
        assert await ended(await third) == [b"reply"]


@pytest.mark.parametrize("metadata", [{"grpc-reserved": "1"}, {"big": "v" * 2000}])
async def test_a_call_that_cannot_be_opened_gives_its_place_to_the_next(
    link: Link, metadata: dict[str, str]
) -> None:
    async with client_and_raw_server(link) as (client, raw):
        raw.write(frame(SETTINGS, 0, 0, (6).to_bytes(2, "big") + (1000).to_bytes(4, "big")))
        await one_at_a_time(client, raw)
        first = await unary(client, b"1")
        head = await raw.request()
        bad = asyncio.ensure_future(
            client.open(RequestHead("/a/b", "test", Metadata(metadata)), b"", end=True)
        )
        third = asyncio.ensure_future(unary(client, b"3"))
        await asyncio.sleep(0)
        raw.answer(head.stream)
        await ended(first)
        if "big" in metadata:
            assert (await bad).ending is not None
        else:
            with pytest.raises(UsageError):
                await bad
        async with asyncio.timeout(PATIENCE):
            raw.answer((await raw.request()).stream)
            assert await ended(await third) == [b"reply"]


async def test_a_connection_whose_stream_identifiers_are_used_up_says_so_and_closes(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        gone: list[object] = []
        client.add_close_callback(gone.append)
        client.engine.next_stream_id = 2**31 - 3
        last = await unary(client)
        assert gone == [client]
        with pytest.raises(Unavailable):
            await unary(client)
        raw.answer((await raw.request()).stream)
        assert await ended(last) == [b"reply"]
        async with asyncio.timeout(PATIENCE):
            await client.wait_closed()


# Peers that do not read


async def test_a_client_that_does_not_read_cannot_keep_a_failed_connection_open(link: Link) -> None:
    limits = Limits(close_timeout=0.05)

    async def big(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"x" * 10_000_000)

    async with server_and_raw_client(link, calls_of(big), limits=limits) as (server, raw):
        await deafen(raw)
        requests(raw, 1)
        while not server().engine.streams or server().engine.writable:
            await asyncio.sleep(0)
        raw.write(frame(DATA, 0, 0, b"x"))
        async with asyncio.timeout(PATIENCE):
            await server().wait_closed()


async def test_a_client_that_does_not_read_and_says_it_sends_no_more_is_cut(link: Link) -> None:
    cancelled = asyncio.Event()

    async def big(stream: ServerStream) -> None:
        stream.add_cancel_callback(lambda _: cancelled.set())
        try:
            await stream.send(b"x" * 50_000_000)
        except CallEnded:
            return

    async with server_and_raw_client(link, calls_of(big), limits=Limits(close_timeout=0.05)) as (server, raw):
        await deafen(raw)
        requests(raw, 1)
        while not server().engine.streams or server().engine.writable:
            await asyncio.sleep(0)
        assert raw.transport is not None
        raw.transport.write_eof()
        async with asyncio.timeout(PATIENCE):
            await cancelled.wait()


async def test_answers_that_the_client_does_not_read_do_not_gather_without_end(link: Link) -> None:
    limits = Limits(max_send_buffer=65_536, max_concurrent_streams=4, max_header_list=4096)
    most = 0

    def refuse(stream: ServerStream) -> None:
        stream.finish(StatusCode.UNIMPLEMENTED, "no such method: " + "x" * 2000)

    async with server_and_raw_client(link, refuse, limits=limits) as (server, raw):
        await deafen(raw)
        connection = server()
        stream = 1
        async with asyncio.timeout(PATIENCE):
            while not connection.engine.ended:
                requests(raw, *range(stream, stream + 20, 2))
                stream += 20
                await asyncio.sleep(0)
                most = max(
                    most, connection._transport.get_write_buffer_size() if connection._transport else 0
                )
                assert most < 10_000_000
            await connection.wait_closed()


async def deafen(raw: RawPeer) -> None:
    """Wide windows, then the raw peer reads no more."""
    await raw.next(SETTINGS)
    raw.write(
        frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff"), frame(8, 0, 0, (2**31 - 65_536).to_bytes(4, "big"))
    )
    raw.write(frame(PING, 0, 0, b"12345678"))
    await raw.next(PING)
    assert raw.transport is not None
    raw.transport.pause_reading()


# Callbacks and misuse


async def test_a_failing_callback_costs_nobody_else_anything(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError

    async with client_and_raw_server(link) as (client, raw):
        client.add_close_callback(fails)
        first, second = await unary(client), await unary(client)
        first.add_done_callback(fails)
        heads = [await raw.request(), await raw.request()]
        for head in heads:
            raw.answer(head.stream)
        assert await ended(first) == await ended(second) == [b"reply"]
        third, fourth = await unary(client), await unary(client)
        third.add_done_callback(fails)
        raw.close()
        for stream in (third, fourth):
            await ended(stream)
            assert stream.ending is not None
            assert stream.ending.code is StatusCode.UNAVAILABLE
        await client.wait_closed()
    assert "ZeroDivisionError" in caplog.text


async def test_a_failing_cancel_callback_does_not_hide_a_lost_connection_from_other_calls(link: Link) -> None:
    told: list[ServerStream] = []

    def fails(stream: ServerStream) -> None:
        told.append(stream)
        raise ZeroDivisionError

    async with server_and_raw_client(link, lambda stream: stream.add_cancel_callback(fails)) as (server, raw):
        requests(raw, 1, 3)
        raw.write(frame(PING, 0, 0, b"12345678"))
        await raw.next(PING)
        connection = server()
        raw.close()
        await connection.wait_closed()
        assert len(told) == 2


async def test_metadata_that_cannot_be_sent_leaves_the_call_to_be_finished(link: Link) -> None:
    def begin(stream: ServerStream) -> None:
        with pytest.raises(UsageError):
            stream.finish(StatusCode.OK, payload=b"x", head=Metadata({"grpc-reserved": "1"}))
        assert not stream.ended
        stream.finish(StatusCode.INTERNAL, "bad metadata")

    async with client_and_server(link, begin) as (client, _):
        stream = await unary(client)
        async with asyncio.timeout(PATIENCE):
            await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.INTERNAL


async def test_finishing_a_call_wakes_its_sender_and_its_receiver(link: Link) -> None:
    results: list[object] = []

    async def run(stream: ServerStream) -> None:
        waiting = [
            asyncio.ensure_future(stream.send(b"x" * 1_000_000)),
            asyncio.ensure_future(stream.receive()),
        ]
        await asyncio.sleep(0)
        stream.finish(StatusCode.DEADLINE_EXCEEDED, "too late")
        results.extend(await asyncio.gather(*waiting, return_exceptions=True))

    async with server_and_raw_client(link, calls_of(run)) as (_, raw):
        raw.write(raw.headers(1, REQUEST))
        async with asyncio.timeout(PATIENCE):
            while not results:
                await asyncio.sleep(0)
        # A receiver must not take this for the client's half-close.
        assert [type(result) for result in results] == [CallEnded, CallEnded]


async def test_a_half_close_stays_one_after_the_answer(link: Link) -> None:
    parts: list[object] = []

    async def run(stream: ServerStream) -> None:
        parts.append(await stream.receive())
        parts.append(await stream.receive())
        stream.finish(StatusCode.OK)
        parts.append(await stream.receive())

    async with client_and_server(link, calls_of(run)) as (client, _):
        await ended(await unary(client, b"one"))
        while len(parts) < 3:
            await asyncio.sleep(0)
        assert parts == [(False, b"one"), None, None]


# Words and codes


async def test_a_client_that_closes_says_goaway_without_an_error(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        await client.close()
        goaway = next(heard for heard in await raw.closed() if heard.kind == GOAWAY)
        assert goaway.code == 0
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.CANCELLED


async def test_a_call_that_a_goaway_turns_away_is_unavailable_whatever_its_code(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        raw.write(frame(GOAWAY, 0, 0, bytes(4) + (8).to_bytes(4, "big")))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        assert stream.ending.unprocessed


async def test_what_a_goaway_said_is_told_to_calls_that_the_connection_took_with_it(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        raw.write(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + (11).to_bytes(4, "big") + b"too_many_pings"))
        raw.close()
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        assert "ENHANCE_YOUR_CALM" in stream.ending.message
        assert "too_many_pings" in stream.ending.message


async def test_a_connection_closed_in_order_is_no_error_of_the_network(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        raw.close()
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.message == "the peer closed the connection"
        assert stream.ending.cause is None
        await client.wait_closed()


async def test_a_status_whose_words_end_with_a_blank_is_read(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.answer(head.stream, trailers=[("grpc-status", "5"), ("grpc-message", "no such user: ")])
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.NOT_FOUND
        assert stream.ending.message == "no such user: "


async def test_a_drain_ends_although_the_client_has_said_goaway(link: Link) -> None:
    streams: list[ServerStream] = []
    async with server_and_raw_client(link, streams.append) as (server, raw):
        requests(raw, 1)
        raw.write(frame(GOAWAY, 0, 0, bytes(8)), frame(PING, 0, 0, b"12345678"))
        await raw.next(PING)
        server().drain()
        ping = await raw.next(PING)
        raw.write(frame(PING, 1, 0, ping.payload))
        end_well(streams[0])
        async with asyncio.timeout(PATIENCE):
            heard = await raw.closed()
        assert any(item.stream == 1 and item.ends_stream for item in heard)


async def test_the_length_of_a_head_s_content_length_is_no_accident(link: Link) -> None:
    async with server_and_raw_client(link, end_well) as (_, raw):
        fields = [*REQUEST, ("content-length", "1" * 5000)]
        raw.write(raw.headers(1, fields, end=True))
        requests(raw, 3)
        while not (heard := await raw.next(HEADERS, DATA)).ends_stream:
            pass
        assert heard.stream == 3


async def test_a_server_whose_client_used_the_last_stream_identifier_drains(link: Link) -> None:
    async with server_and_raw_client(link, end_well) as (server, raw):
        requests(raw, 2**31 - 1)
        assert (await raw.next(HEADERS)).stream == 2**31 - 1
        server().drain()
        raw.write(frame(PING, 1, 0, (await raw.next(PING)).payload))
        async with asyncio.timeout(PATIENCE):
            assert (await raw.next(GOAWAY)).last_stream == 2**31 - 1
            await raw.closed()


# Answers that the client does not take


def no_window(raw: RawPeer) -> None:
    raw.write(frame(SETTINGS, 0, 0, b"\0\4" + bytes(4)))


@pytest.mark.parametrize("timeout", [None, "20m", "5H"])
async def test_an_answer_that_its_client_never_takes_is_given_up(link: Link, timeout: str | None) -> None:
    limits = Limits(flush_timeout=3600 if timeout == "20m" else 0.02)
    ended: list[ServerStream] = []

    def answer(stream: ServerStream) -> None:
        stream.add_cancel_callback(ended.append)
        stream.finish(StatusCode.OK, payload=b"x" * 100)

    async with server_and_raw_client(link, answer, limits=limits) as (server, raw):
        no_window(raw)
        fields = REQUEST if timeout is None else [*REQUEST, ("grpc-timeout", timeout)]
        raw.write(raw.headers(1, fields), frame(DATA, END_STREAM, 1, message(b"x")))
        reset = await raw.next(RST_STREAM)
        assert (reset.stream, reset.code) == (1, 8)
        assert server().active == 0
        assert server().engine.conduct.refusals == {"answers_unread": 1}
        assert not ended  # the handler was done long ago
        raw.write(frame(PING, 0, 0, b"alive..."))
        assert (await raw.next(PING)).payload == b"alive..."


async def test_an_answer_that_is_taken_bit_by_bit_is_not_given_up(link: Link) -> None:
    def answer(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"x" * 15)

    async with server_and_raw_client(link, answer, limits=Limits(flush_timeout=0.05)) as (server, raw):
        no_window(raw)
        requests(raw, 1)
        heard = b""
        while len(heard) < 20:
            raw.write(frame(WINDOW_UPDATE, 0, 1, (1).to_bytes(4, "big")))
            heard += (await raw.next(DATA, RST_STREAM)).payload
            await asyncio.sleep(0.01)  # 20 times: four times what is waited for one
        assert heard == message(b"x" * 15)
        assert (await raw.next(HEADERS)).ends_stream
        assert not server().unread


@pytest.mark.parametrize("how", ["taken", "reset", "cut", "aborted"])
async def test_an_answer_that_waited_leaves_no_timer(link: Link, how: str) -> None:
    def answer(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"x" * 100)

    async with server_and_raw_client(link, answer) as (server, raw):
        no_window(raw)
        requests(raw, 1)
        connection = None
        async with asyncio.timeout(PATIENCE):
            while connection is None or not connection.unread:
                await asyncio.sleep(0)
                connection = server()
            if how == "taken":
                raw.write(frame(WINDOW_UPDATE, 0, 1, (105).to_bytes(4, "big")))
                while not (await raw.next(HEADERS, DATA)).ends_stream:
                    pass
            elif how == "reset":
                raw.write(frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")))
            elif how == "cut":
                raw.close()
            else:
                connection.abort()
            while connection.unread:
                await asyncio.sleep(0)
            assert connection.active == 0


async def test_a_client_may_send_everything_before_it_takes_an_answer_that_came_early(link: Link) -> None:
    limits = Limits(initial_window=20_000)

    async def early(stream: ServerStream) -> None:
        await stream.receive()
        stream.finish(StatusCode.OK, payload=b"y" * 100)

    async with server_and_raw_client(link, calls_of(early), limits=limits) as (_, raw):
        no_window(raw)
        raw.write(raw.headers(1, REQUEST))
        window, sent = 20_000, 0
        async with asyncio.timeout(PATIENCE):
            while sent < 300_000:
                if window >= 5_000:
                    raw.write(frame(DATA, 0, 1, message(b"x" * 4_995)))
                    window, sent = window - 5_000, sent + 5_000
                else:
                    update = await raw.next(WINDOW_UPDATE)
                    window += int.from_bytes(update.payload, "big") if update.stream else 0
            raw.write(frame(DATA, END_STREAM, 1), frame(WINDOW_UPDATE, 0, 1, (105).to_bytes(4, "big")))
            heard = b""
            while (one := await raw.next(DATA, HEADERS)).kind == DATA:
                heard += one.payload
            assert heard == message(b"y" * 100)
            assert one.field("grpc-status") == "0"
