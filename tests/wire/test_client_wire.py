"""What a client makes of servers that are unusual, broken or dying. Judged by the seam, over sockets and memory."""

from __future__ import annotations

import asyncio

import pytest

from support.wire_support import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LINKS,
    OK,
    PADDED,
    PING,
    PUSH_PROMISE,
    RESPONSE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Link,
    client_and_raw_server,
    ended,
    frame,
    message,
    unary,
)
from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata
from wirelane.errors import PeerError, TlsError, WirelaneError
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, Ending, RequestHead, Unavailable

pytestmark = pytest.mark.parametrize("link", LINKS)


async def test_a_plain_answer_arrives_whole(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        assert head.field(":path") == "/test.Echo/Call"
        assert head.field("te") == "trailers"
        assert head.field("content-type") == "application/grpc"
        raw.answer(head.stream, b"hello")
        assert await ended(stream) == [b"hello"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK
        assert stream.ending.from_peer
        assert client.active == 0


async def test_an_unknown_frame_type_is_ignored(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            frame(0xFA, 0xFF, 0, b"x" * 100), frame(0xFB, 0, head.stream, b"y"), frame(0xA, 0, 0, b"altsvc")
        )
        raw.answer(head.stream)
        assert await ended(stream) == [b"reply"]


async def test_interim_responses_are_skipped(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(head.stream, [(":status", "100")]),
            raw.headers(head.stream, [(":status", "103"), ("link", "</x>")]),
        )
        raw.answer(head.stream)
        assert await ended(stream) == [b"reply"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK


async def test_a_goaway_lets_calls_in_flight_finish(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(frame(GOAWAY, 0, 0, head.stream.to_bytes(4, "big") + bytes(4)))
        raw.answer(head.stream)
        assert await ended(stream) == [b"reply"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK
        assert not client.available
        with pytest.raises(Unavailable):
            await unary(client)


async def test_a_call_that_never_left_may_be_sent_again(link: Link) -> None:
    """Made in the turn of the loop in which the connection ends; one that was written may have been acted on."""
    async with client_and_raw_server(link) as (client, raw):
        written = await unary(client)
        await raw.request()
        client.eof_received()
        unwritten = await unary(client)
        for stream, may in ((written, False), (unwritten, True)):
            await ended(stream)
            assert stream.ending is not None
            assert (stream.ending.code, stream.ending.unprocessed) == (StatusCode.UNAVAILABLE, may)


async def test_a_call_that_never_left_ends_with_its_own_connection_when_that_is_aborted(link: Link) -> None:
    """Whoever aborts wants no other attempt."""
    async with client_and_raw_server(link) as (client, _):
        stream = await unary(client)
        client.abort()
        await ended(stream)
        assert stream.ending is not None
        assert (stream.ending.code, stream.ending.unprocessed) == (StatusCode.CANCELLED, False)


async def test_calls_above_the_last_stream_of_a_goaway_may_be_sent_again(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        raw.write(frame(GOAWAY, 0, 0, bytes(8) + b"going home"))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        assert stream.ending.unprocessed
        assert "going home" in stream.ending.message


async def test_empty_data_frames_change_nothing(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        whole = message(b"reply")
        raw.write(
            raw.headers(head.stream, RESPONSE),
            frame(DATA, 0, head.stream),
            frame(DATA, 0, head.stream, whole[:7]),
            frame(DATA, 0, head.stream),
            frame(DATA, 0, head.stream, whole[7:]),
            raw.headers(head.stream, OK, end=True),
        )
        assert await ended(stream) == [b"reply"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.OK


async def test_padding_is_removed_and_given_back(link: Link) -> None:
    limits = Limits(initial_window=65_535, connection_window=65_535)
    async with client_and_raw_server(link, limits=limits) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE))
        whole = message(bytes(range(250)) * 40)
        sent = 0
        for start in range(0, len(whole), 5):
            piece = whole[start : start + 5]
            raw.write(frame(DATA, PADDED, head.stream, b"\xff" + piece + bytes(255)))
            sent += 256 + len(piece)
            if sent > 50_000:
                update = await raw.next(WINDOW_UPDATE)
                sent -= int.from_bytes(update.payload, "big") // 2
        raw.write(raw.headers(head.stream, OK, end=True))
        assert await ended(stream) == [whole[5:]]


async def test_a_message_above_the_limit_is_refused_from_its_prefix(link: Link) -> None:
    async with client_and_raw_server(link, limits=Limits(max_receive_message=1000)) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE), frame(DATA, 0, head.stream, b"\0\xff\xff\xff\xff"))
        assert await ended(stream) == []
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
        assert "1000" in stream.ending.message or "1,000" in stream.ending.message
        assert (await raw.next(RST_STREAM)).code == 8


async def test_messages_before_one_above_the_limit_are_given_out(link: Link) -> None:
    async with client_and_raw_server(link, limits=Limits(max_receive_message=1000)) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(head.stream, RESPONSE),
            frame(DATA, 0, head.stream, message(b"one") + message(b"two") + b"\0\xff\xff\xff\xff"),
        )
        assert await ended(stream) == [b"one", b"two"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED


async def test_a_message_larger_than_the_window_arrives_when_it_is_waited_for(link: Link) -> None:
    limits = Limits(initial_window=20_000, connection_window=65_535)
    async with client_and_raw_server(link, limits=limits) as (client, raw):
        stream = await unary(client)
        reading = asyncio.ensure_future(ended(stream))
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE))
        whole, window, position = message(b"m" * 200_000), 20_000, 0
        while position < len(whole):
            piece = whole[position : position + min(window, 8_000)]
            if piece:
                raw.write(frame(DATA, 0, head.stream, piece))
                position += len(piece)
                window -= len(piece)
            else:
                update = await raw.next(WINDOW_UPDATE)
                window += int.from_bytes(update.payload, "big") if update.stream else 0
        raw.write(raw.headers(head.stream, OK, end=True))
        assert await reading == [b"m" * 200_000]


async def test_a_reader_that_stops_holds_back_its_own_stream_only(link: Link) -> None:
    limits = Limits(initial_window=65_535, connection_window=65_535)
    async with client_and_raw_server(link, limits=limits) as (client, raw):
        slow = await unary(client)
        first = await raw.request()
        raw.write(raw.headers(first.stream, RESPONSE))
        for _ in range(6):
            raw.write(frame(DATA, 0, first.stream, message(b"x" * 9_995)))
        quick = await unary(client)
        second = await raw.request()
        raw.answer(second.stream)
        assert await ended(quick) == [b"reply"]
        # What arrived on the slow stream was given back to the connection, not to the stream.
        updates: dict[int, int] = {0: 0, first.stream: 0}
        raw.write(frame(PING, 0, 0, b"sync----"))
        while True:
            heard = await raw.next(WINDOW_UPDATE, PING)
            if heard.kind == PING:
                break
            updates[heard.stream] += int.from_bytes(heard.payload, "big")
        assert updates[0] >= 32_767
        assert updates[first.stream] == 0
        assert (await slow.receive()) == (False, b"x" * 9_995)


@pytest.mark.parametrize(
    ("code", "status", "unprocessed"),
    [
        (0x0, StatusCode.INTERNAL, False),
        (0x1, StatusCode.INTERNAL, False),
        (0x2, StatusCode.INTERNAL, False),
        (0x3, StatusCode.INTERNAL, False),
        (0x7, StatusCode.UNAVAILABLE, True),
        (0x8, StatusCode.CANCELLED, False),
        (0xB, StatusCode.RESOURCE_EXHAUSTED, False),
        (0xC, StatusCode.PERMISSION_DENIED, False),
        (0xEE, StatusCode.UNKNOWN, False),
    ],
)
async def test_a_reset_becomes_the_status_of_its_code(
    link: Link, code: int, status: StatusCode, unprocessed: bool
) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(frame(RST_STREAM, 0, head.stream, code.to_bytes(4, "big")))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is status
        assert stream.ending.unprocessed is unprocessed
        assert not stream.ending.from_peer
        assert client.available


@pytest.mark.parametrize(
    ("left", "code", "status"),
    [
        (0.0, 0x8, StatusCode.DEADLINE_EXCEEDED),
        (1000.0, 0x8, StatusCode.CANCELLED),
        (0.0, 0xB, StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_a_cancel_of_the_server_after_the_deadline_is_the_deadline(
    link: Link, left: float, code: int, status: StatusCode
) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await client.open(RequestHead("/test.Echo/Call", "test", deadline=Deadline.after(left)))
        head = await raw.next(HEADERS)
        raw.write(frame(RST_STREAM, 0, head.stream, code.to_bytes(4, "big")))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is status


async def test_a_reset_after_messages_keeps_the_messages(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(head.stream, RESPONSE),
            frame(DATA, 0, head.stream, message(b"one") + message(b"two")),
            frame(RST_STREAM, 0, head.stream, (2).to_bytes(4, "big")),
        )
        assert await ended(stream) == [b"one", b"two"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("trailers", "status", "words"),
    [
        ([("x-other", "1")], StatusCode.UNKNOWN, "without grpc-status"),
        ([("grpc-status", "five")], StatusCode.UNKNOWN, "no number"),
        ([("grpc-status", "999")], StatusCode.UNKNOWN, ""),
        (
            [("grpc-status", "5"), ("grpc-message", "no%20such %E2%98%BA %zz")],
            StatusCode.NOT_FOUND,
            "no such ☺ %zz",
        ),
        ([("grpc-status", "0"), ("data-bin", "!!!")], StatusCode.INTERNAL, "metadata"),
    ],
)
async def test_trailers_decide_the_status(
    link: Link, trailers: list[tuple[str, str]], status: StatusCode, words: str
) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.answer(head.stream, trailers=trailers)
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is status
        assert words in stream.ending.message


async def test_a_stream_that_ends_without_trailers_ends_the_call_at_once(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, RESPONSE), frame(DATA, END_STREAM, head.stream, message(b"reply")))
        assert await ended(stream) == [b"reply"]
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNKNOWN
        assert "without trailers" in stream.ending.message


async def test_a_call_that_ends_inside_a_message_is_an_error(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(head.stream, RESPONSE),
            frame(DATA, 0, head.stream, message(b"reply")[:-1]),
            raw.headers(head.stream, OK, end=True),
        )
        assert await ended(stream) == []
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.INTERNAL


async def test_the_same_head_may_come_with_and_without_the_end(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        for end in (True, False, True, False):
            stream = await unary(client)
            head = await raw.request()
            raw.write(raw.headers(head.stream, [*RESPONSE, ("grpc-status", "9"), ("x", "1")], end=end))
            if not end:
                raw.write(
                    frame(DATA, 0, head.stream, message(b"reply")), raw.headers(head.stream, OK, end=True)
                )
            payloads = await ended(stream)
            assert payloads == ([] if end else [b"reply"])
            assert stream.ending is not None
            assert stream.ending.code is (StatusCode.FAILED_PRECONDITION if end else StatusCode.OK)


async def test_metadata_that_was_received_is_the_receivers_own(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        for _ in range(4):
            stream = await unary(client)
            head = await raw.request()
            raw.answer(head.stream, trailers=[("grpc-status", "0"), ("x", "1")])
            await ended(stream)
            assert stream.ending is not None
            assert list(stream.ending.metadata.items()) == [("x", "1")]
            stream.ending.metadata["x"] = "changed"


async def test_non_ascii_metadata_does_not_cost_the_status(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(
                head.stream,
                [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-raw", b"\xff\xfe")],
            ),
            raw.headers(head.stream, [(b"grpc-status", b"5"), (b"x-tail", b"caf\xe9")], end=True),
        )
        await ended(stream)
        assert stream.head is not None
        assert stream.head.metadata["x-raw"] == "\xff\xfe"
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.NOT_FOUND
        assert stream.ending.metadata["x-tail"] == "café"
        assert client.available


async def test_binary_metadata_is_split_at_commas_padded_or_not(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.answer(head.stream, trailers=[("grpc-status", "0"), ("data-bin", "YQ,Yg=="), ("data-bin", "YWI")])
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.metadata.get_all("data-bin") == [b"a", b"b", b"ab"]


@pytest.mark.parametrize(
    ("http", "status"),
    [
        (400, StatusCode.INTERNAL),
        (401, StatusCode.UNAUTHENTICATED),
        (403, StatusCode.PERMISSION_DENIED),
        (404, StatusCode.UNIMPLEMENTED),
        (418, StatusCode.UNKNOWN),
        (429, StatusCode.UNAVAILABLE),
        (431, StatusCode.UNKNOWN),
        (502, StatusCode.UNAVAILABLE),
        (503, StatusCode.UNAVAILABLE),
        (504, StatusCode.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("end", [True, False])
async def test_an_http_error_becomes_a_status(link: Link, http: int, status: StatusCode, end: bool) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, [(":status", str(http)), ("content-type", "text/html")], end=end))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is status
        assert str(http) in stream.ending.message
        assert "text/html" in stream.ending.message


@pytest.mark.parametrize(
    "content_type",
    ["application/grpc;charset=utf-8", "application/grpc+proto", "application/grpc+proto; x=y"],
)
async def test_content_types_with_parameters_or_proto_are_taken(link: Link, content_type: str) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(
            raw.headers(head.stream, [(":status", "200"), ("content-type", content_type)]),
            frame(DATA, 0, head.stream, message(b"reply")),
            raw.headers(head.stream, OK, end=True),
        )
        assert await ended(stream) == [b"reply"]


async def test_a_web_page_is_no_grpc_answer(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, [(":status", "200"), ("content-type", "text/html")]))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNKNOWN
        assert "text/html" in stream.ending.message


async def test_an_encoding_that_was_not_offered_is_an_error(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, [*RESPONSE, ("grpc-encoding", "snappy")]))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.INTERNAL
        assert "snappy" in stream.ending.message


async def test_headers_above_the_limit_cost_the_call_and_not_the_connection(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        block = raw.block([*RESPONSE, *((f"x-{n}", "v" * 100) for n in range(200))])
        raw.write(frame(HEADERS, 0, head.stream, block[:10_000]), frame(9, 4, head.stream, block[10_000:]))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
        assert client.available


@pytest.mark.parametrize("where", ["head", "trailers"])
async def test_values_joined_by_commas_count_as_fields(link: Link, where: str) -> None:
    """A comma in a -bin field is one octet and begins a value: it does not get around max_header_fields."""
    many = ("data-bin", "," * 140)
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(raw.headers(head.stream, [*RESPONSE, *([many] if where == "head" else [])]))
        if where == "trailers":
            raw.write(raw.headers(head.stream, [("grpc-status", "0"), many], end=True))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
        assert "max_header_fields" in stream.ending.message
        assert client.available


async def test_a_lost_connection_is_unavailable(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        await raw.request()
        raw.close()
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        assert not client.available
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_push_promise_ends_the_connection(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        raw.write(frame(PUSH_PROMISE, 4, head.stream, (2).to_bytes(4, "big") + raw.block(RESPONSE)))
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.UNAVAILABLE
        goaways = [heard for heard in await raw.closed() if heard.kind == GOAWAY]
        assert [heard.code for heard in goaways] == [1]


async def test_pings_are_answered(link: Link) -> None:
    async with client_and_raw_server(link) as (_, raw):
        raw.write(frame(PING, 0, 0, b"12345678"))
        heard = await raw.next(PING)
        assert (heard.flags, heard.payload) == (ACK, b"12345678")


async def test_cancelling_resets_the_stream_with_cancel_and_keeps_the_reason(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        waiting = asyncio.ensure_future(stream.receive())
        head = await raw.request()
        stream.cancel(Ending(StatusCode.DEADLINE_EXCEEDED, "too late"))
        assert await waiting is None
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.DEADLINE_EXCEEDED
        reset = await raw.next(RST_STREAM)
        assert (reset.stream, reset.code) == (head.stream, 8)
        assert client.active == 0
        # What the server had already sent is passed over.
        raw.answer(head.stream)
        again = await unary(client)
        raw.answer((await raw.request()).stream)
        assert await ended(again) == [b"reply"]


async def test_a_cancelled_receive_loses_no_message(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await unary(client)
        head = await raw.request()
        waiting = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0)
        raw.write(raw.headers(head.stream, RESPONSE), frame(DATA, 0, head.stream, message(b"kept")))
        while stream.head is None:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await stream.receive() == (False, b"kept")


async def test_calls_queue_in_order_when_the_server_takes_one_at_a_time(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        raw.write(frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
        while client.engine.peer_max_streams != 1:
            await asyncio.sleep(0)

        async def call(number: int) -> list[bytes]:
            return await ended(await unary(client, str(number).encode()))

        calls = [asyncio.ensure_future(call(number)) for number in range(10)]
        for number in range(10):
            head = await raw.next(HEADERS)
            body = await raw.next(DATA)
            assert body.payload == message(str(number).encode())
            assert client.active == 1
            raw.answer(head.stream, b"answer %d" % number)
        assert [await one for one in calls] == [[b"answer %d" % number] for number in range(10)]


async def test_a_call_cancelled_while_it_queues_gives_its_place_away(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        raw.write(frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
        while client.engine.peer_max_streams != 1:
            await asyncio.sleep(0)
        first = await unary(client, b"1")
        head = await raw.request()
        given_up = asyncio.ensure_future(unary(client, b"2"))
        third = asyncio.ensure_future(unary(client, b"3"))
        await asyncio.sleep(0)
        given_up.cancel()
        raw.answer(head.stream)
        assert await ended(first) == [b"reply"]
        with pytest.raises(asyncio.CancelledError):
            await given_up
        head = await raw.request()
        raw.answer(head.stream, b"third")
        assert await ended(await third) == [b"third"]


async def test_waiting_calls_learn_that_the_connection_is_going(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        raw.write(frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
        while client.engine.peer_max_streams != 1:
            await asyncio.sleep(0)
        first = await unary(client, b"1")
        head = await raw.request()
        waiting = asyncio.ensure_future(unary(client, b"2"))
        await asyncio.sleep(0)
        raw.write(frame(GOAWAY, 0, 0, head.stream.to_bytes(4, "big") + bytes(4)))
        with pytest.raises(Unavailable):
            await waiting
        raw.answer(head.stream)
        assert await ended(first) == [b"reply"]


async def test_sending_waits_for_the_window_and_ends_when_the_call_does(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        stream = await client.open(RequestHead("/test.Echo/Call", "test"))
        head = await raw.next(HEADERS)
        sending = asyncio.ensure_future(stream.send(b"x" * 100_000))
        received = 0
        while received < 65_535:
            received += len((await raw.next(DATA)).payload)
        assert not sending.done()
        raw.write(
            frame(WINDOW_UPDATE, 0, 0, (50_000).to_bytes(4, "big")),
            frame(WINDOW_UPDATE, 0, head.stream, (50_000).to_bytes(4, "big")),
        )
        await sending
        blocked = asyncio.ensure_future(stream.send(b"y" * 100_000))
        await asyncio.sleep(0)
        raw.write(
            raw.headers(head.stream, [*RESPONSE, ("grpc-status", "9"), ("grpc-message", "enough")], end=True)
        )
        with pytest.raises(CallEnded) as caught:
            await blocked
        assert caught.value.ending.code is StatusCode.FAILED_PRECONDITION
        assert client.active == 0


async def test_deadline_and_metadata_are_sent(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        metadata = Metadata([("x-a", "1"), ("x-a", "2"), ("x-bin", b"\0\xff")])
        head = RequestHead("/test.Echo/Call", "test", metadata, Deadline.after(5.0), encoding="gzip")
        await client.open(head, b"", end=True)
        sent = await raw.request()
        values = [value for name, value in sent.headers if name == "x-a"]
        assert values == ["1", "2"]
        assert sent.field("x-bin") == "AP8"
        assert sent.field("grpc-encoding") == "gzip"
        timeout = sent.field("grpc-timeout")
        assert timeout is not None
        assert len(timeout) <= 9


async def test_metadata_above_the_servers_limit_is_not_sent(link: Link) -> None:
    async with client_and_raw_server(link) as (client, raw):
        raw.write(frame(SETTINGS, 0, 0, (6).to_bytes(2, "big") + (700).to_bytes(4, "big")))
        while client.engine.peer_max_header_list != 700:
            await asyncio.sleep(0)
        stream = await client.open(RequestHead("/a/b", "test", Metadata({"x": "v" * 700})), b"", end=True)
        await ended(stream)
        assert stream.ending is not None
        assert stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
        assert client.active == 0


@pytest.mark.parametrize(
    ("greeting", "error", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", PeerError, "HTTP/1.x"),
        (b"\x15\x03\x01\x00\x02\x02\x16", TlsError, "speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", PeerError, "SSH-2.0"),
    ],
)
async def test_a_peer_that_is_no_http2_server_is_named_at_once(
    link: Link, greeting: bytes, error: type[WirelaneError], words: str
) -> None:
    with pytest.raises(error, match=words):
        async with client_and_raw_server(link, greeting=greeting):
            raise AssertionError("it connected")
