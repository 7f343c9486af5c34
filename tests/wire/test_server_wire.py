"""What a server makes of clients that are unusual, broken or dying. Judged by the seam, over sockets and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from support.server_support import until
from support.wire_support import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LINKS,
    PING,
    REQUEST,
    RST_STREAM,
    WINDOW_UPDATE,
    Fields,
    Frame,
    Link,
    RawPeer,
    frame,
    message,
    server_and_raw_client,
)
from wirelane.core.limits import Limits
from wirelane.core.metadata import Metadata
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, ServerStream

pytestmark = pytest.mark.parametrize("link", LINKS)


class Handler:
    """Runs a coroutine per call and keeps what it saw."""

    def __init__(self, run: Callable[[ServerStream], Awaitable[None]] | None = None) -> None:
        self.streams: list[ServerStream] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._run = run or echo

    def __call__(self, stream: ServerStream) -> None:
        self.streams.append(stream)
        self.tasks.append(asyncio.ensure_future(self._run(stream)))  # type: ignore[arg-type]

    async def done(self) -> None:
        await asyncio.gather(*self.tasks)


async def echo(stream: ServerStream) -> None:
    """Answer with the number of messages, their sizes in the trailers."""
    sizes = []
    try:
        while (part := await stream.receive()) is not None:
            sizes.append(len(part[1]))
    except CallEnded:
        return
    stream.finish(
        StatusCode.OK, payload=b"%d" % len(sizes), metadata=Metadata({"sizes": ",".join(map(str, sizes))})
    )


async def answer(raw: RawPeer, stream: int = 1) -> tuple[Frame, bytes]:
    """The trailers of a call's answer, and the body before them."""
    body = b""
    while True:
        heard = await raw.next(HEADERS, DATA, RST_STREAM)
        if heard.stream != stream:
            continue
        if heard.kind == DATA:
            body += heard.payload
        elif heard.ends_stream or heard.kind == RST_STREAM:
            return heard, body


def call(raw: RawPeer, stream: int, body: bytes, fields: Fields | None = None) -> None:
    raw.write(raw.headers(stream, fields or REQUEST), frame(DATA, END_STREAM, stream, body))


async def test_a_plain_call_is_answered_whole(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        call(raw, 1, message(b"abc"))
        trailers, body = await answer(raw)
        assert body == message(b"1")
        assert trailers.field("grpc-status") == "0"
        assert trailers.field("sizes") == "3"


async def test_unknown_frames_are_ignored(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        raw.write(frame(0x10, 0, 0, b"\0\0\0\x01u=1"), frame(0xFE, 0xFF, 7, b"x"))
        call(raw, 1, message(b"abc"))
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == "0"


async def test_empty_data_inside_a_message_changes_nothing(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        whole = message(b"abcdef")
        raw.write(
            raw.headers(1, REQUEST),
            frame(DATA, 0, 1, whole[:6]),
            frame(DATA, 0, 1),
            frame(DATA, 0, 1, whole[6:]),
            frame(DATA, END_STREAM, 1),
        )
        trailers, _body = await answer(raw)
        assert trailers.field("sizes") == "6"


async def test_a_message_above_the_limit_is_refused_from_its_prefix(link: Link) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        raw.write(raw.headers(1, REQUEST), frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"))
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == "8"
        assert (await raw.next(RST_STREAM)).code == 0
        await handler.done()
        assert handler.streams[0].ended


@pytest.mark.parametrize(
    ("extra", "status", "words"),
    [
        ([("grpc-timeout", "9" * 400 + "S")], "13", "grpc-timeout"),
        ([("grpc-timeout", "soon")], "13", "grpc-timeout"),
        ([("data-bin", "!!")], "13", "data-bin"),
        ([("grpc-encoding", "snappy")], "12", "snappy"),
        ([(f"x-{n}", "v") for n in range(140)], "8", "header"),
        # As many values as there are fields above, each an object, for an octet.
        ([("data-bin", "," * 140)], "8", "header"),
    ],
)
async def test_a_head_that_breaks_grpc_is_answered_with_its_status(
    link: Link, extra: list[tuple[str, str]], status: str, words: str
) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        call(raw, 1, message(b""), [*REQUEST, *extra])
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == status
        assert words in (trailers.field("grpc-message") or "")
        assert trailers.field(":status") == "200"
        assert handler.streams == []
        # The connection goes on.
        call(raw, 3, message(b"x"))
        trailers, _body = await answer(raw, 3)
        assert trailers.field("grpc-status") == "0"


async def test_the_refusal_of_an_encoding_names_those_that_are_taken(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        call(raw, 1, message(b""), [*REQUEST, ("grpc-encoding", "snappy")])
        trailers, _body = await answer(raw)
        accepted = trailers.field("grpc-accept-encoding") or ""
        assert {"gzip", "deflate"} <= set(accepted.replace(" ", "").split(","))


async def test_of_thousands_of_encodings_that_a_client_takes_the_first_few_are_kept(link: Link) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        call(raw, 1, message(b""), [*REQUEST, ("grpc-accept-encoding", "gzip, deflate" + ",x" * 3000)])
        await answer(raw)
        accepted = handler.streams[0].accept_encoding
        assert accepted[:3] == ("gzip", "deflate", "x")
        assert len(accepted) <= 32


async def test_raw_octets_in_metadata_arrive_as_latin_1(link: Link) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        fields = [(name.encode(), value.encode()) for name, value in REQUEST]
        call(raw, 1, message(b""), [*fields, (b"x-raw", b"\xff\xfe")])
        await answer(raw)
        assert handler.streams[0].metadata["x-raw"] == "\xff\xfe"


@pytest.mark.parametrize(
    "fields",
    [
        [field for field in REQUEST if field[0] != ":method"],
        [field for field in REQUEST if field[0] != ":path"],
        [*REQUEST, (":method", "POST")],
        [*REQUEST, ("connection", "close")],
        [*REQUEST, ("X-Upper", "1")],
        [*REQUEST, ("x-crlf", "a\r\nb: c")],
        [*REQUEST[:4], ("te", "gzip"), REQUEST[5]],
    ],
    ids=["no-method", "no-path", "two-methods", "connection", "upper-case", "crlf", "te"],
)
async def test_a_malformed_head_resets_its_stream_only(link: Link, fields: list[tuple[str, str]]) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        call(raw, 1, message(b""), fields)
        assert (await raw.next(RST_STREAM)).code == 1
        call(raw, 3, message(b"x"))
        trailers, _body = await answer(raw, 3)
        assert trailers.field("grpc-status") == "0"
        assert len(handler.streams) == 1


@pytest.mark.parametrize(
    ("method", "content_type", "status"),
    [
        ("GET", "application/grpc", "405"),
        ("POST", "application/json", "415"),
        ("POST", "application/grpc-web", "415"),
    ],
)
async def test_what_is_no_grpc_request_gets_an_http_status(
    link: Link, method: str, content_type: str, status: str
) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        fields = [(":method", method), *REQUEST[1:4], ("content-type", content_type)]
        raw.write(raw.headers(1, fields, end=True))
        trailers, _body = await answer(raw)
        assert trailers.field(":status") == status


@pytest.mark.parametrize("timeout", ["0n", "1n", "99999999H", "5S"])
async def test_timeouts_of_every_size_become_deadlines(link: Link, timeout: str) -> None:
    handler = Handler()
    async with server_and_raw_client(link, handler) as (_, raw):
        call(raw, 1, message(b""), [*REQUEST, ("grpc-timeout", timeout)])
        await answer(raw)
        assert handler.streams[0].deadline is not None


async def test_a_content_length_that_does_not_match_resets_the_stream(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        call(raw, 1, message(b"abc"), [*REQUEST, ("content-length", "3")])
        assert (await raw.next(RST_STREAM)).code == 1


async def test_a_request_that_ends_inside_a_message_is_an_error(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        call(raw, 1, message(b"abcdef")[:-2])
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == "13"


async def test_trailers_of_a_client_end_its_request(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        raw.write(
            raw.headers(1, REQUEST),
            frame(DATA, 0, 1, message(b"abc")),
            raw.headers(1, [("x", "1")], end=True),
        )
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == "0"
        assert trailers.field("sizes") == "3"


async def test_http1_is_told_so_and_closed(link: Link) -> None:
    async with server_and_raw_client(link, Handler(), greeting=b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") as (
        _,
        raw,
    ):
        await raw.closed()
        assert b"HTTP/1.1 400" in raw.raw


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"SSH-2.0-x\r\n"])
async def test_other_protocols_are_closed(link: Link, greeting: bytes) -> None:
    async with server_and_raw_client(link, Handler(), greeting=greeting) as (_, raw):
        await raw.closed()


async def test_the_client_s_reset_ends_the_call_and_tells_the_handler(link: Link) -> None:
    told: list[ServerStream] = []

    async def wait(stream: ServerStream) -> None:
        stream.add_cancel_callback(told.append)
        with pytest.raises(CallEnded):
            await stream.receive()

    handler = Handler(wait)
    async with server_and_raw_client(link, handler) as (server, raw):
        raw.write(raw.headers(1, REQUEST))
        while not handler.streams:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        raw.write(frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")))
        await handler.done()
        assert told == handler.streams
        assert handler.streams[0].cancelled
        assert server().active == 0


async def test_a_lost_connection_tells_every_handler(link: Link) -> None:
    told: list[ServerStream] = []

    async def wait(stream: ServerStream) -> None:
        stream.add_cancel_callback(told.append)
        with pytest.raises(CallEnded):
            await stream.receive()

    handler = Handler(wait)
    async with server_and_raw_client(link, handler) as (_, raw):
        raw.write(raw.headers(1, REQUEST), raw.headers(3, REQUEST))
        while len(handler.streams) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert raw.transport is not None
        raw.transport.abort()
        await handler.done()
        assert len(told) == 2


async def test_streams_above_the_limit_are_refused(link: Link) -> None:
    async def wait(stream: ServerStream) -> None:
        with pytest.raises(CallEnded):
            await stream.receive()

    handler = Handler(wait)
    async with server_and_raw_client(link, handler, limits=Limits(max_concurrent_streams=2)) as (_, raw):
        raw.write(*(raw.headers(number, REQUEST) for number in (1, 3, 5)))
        reset = await raw.next(RST_STREAM)
        assert (reset.stream, reset.code) == (5, 7)
        raw.write(*(frame(RST_STREAM, 0, number, (8).to_bytes(4, "big")) for number in (1, 3)))
        await handler.done()


async def test_an_early_answer_stops_a_client_that_still_sends(link: Link) -> None:
    async def refuse(stream: ServerStream) -> None:
        stream.finish(StatusCode.PERMISSION_DENIED, "no")

    handler = Handler(refuse)
    async with server_and_raw_client(link, handler) as (server, raw):
        raw.write(raw.headers(1, REQUEST))
        trailers, _body = await answer(raw)
        assert trailers.field("grpc-status") == "7"
        assert (await raw.next(RST_STREAM)).code == 0
        # What the client had under way is passed over.
        raw.write(frame(DATA, 0, 1, message(b"late")), frame(PING, 0, 0, b"12345678"))
        assert (await raw.next(PING)).flags == ACK
        assert server().active == 0


async def test_trailers_wait_for_the_window_of_the_message_before_them(link: Link) -> None:
    async def big(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"x" * 100_000)

    handler = Handler(big)
    async with server_and_raw_client(link, handler) as (_, raw):
        call(raw, 1, message(b""))
        received = 0
        while received < 65_535:
            received += len((await raw.next(DATA)).payload)
        raw.write(
            frame(WINDOW_UPDATE, 0, 0, (60_000).to_bytes(4, "big")),
            frame(WINDOW_UPDATE, 0, 1, (60_000).to_bytes(4, "big")),
        )
        trailers, body = await answer(raw)
        assert received + len(body) == 100_005
        assert trailers.field("grpc-status") == "0"


async def test_draining_names_the_last_stream_after_a_round_trip_and_lets_calls_finish(link: Link) -> None:
    async with server_and_raw_client(link, Handler()) as (server, raw):
        raw.write(raw.headers(1, REQUEST), frame(PING, 0, 0, b"12345678"))
        await raw.next(PING)
        server().drain()
        first = await raw.next(GOAWAY)
        assert (first.last_stream, first.code) == (2**31 - 1, 0)
        ping = await raw.next(PING)
        # A call that was under way when the first GOAWAY left is still taken.
        call(raw, 3, message(b"late"))
        raw.write(frame(PING, ACK, 0, ping.payload))
        second = await raw.next(GOAWAY, HEADERS)
        while second.kind != GOAWAY:
            second = await raw.next(GOAWAY, HEADERS)
        assert (second.last_stream, second.code) == (3, 0)
        # One that comes after the second is not.
        call(raw, 5, message(b"too late"))
        raw.write(frame(DATA, END_STREAM, 1, message(b"a")))
        heard = await raw.closed()
        assert any(item.stream == 1 and item.ends_stream for item in heard)
        assert not any(item.stream == 5 for item in heard)


async def test_a_final_drain_takes_no_call_that_comes_after_it(link: Link) -> None:
    """The client is told the last one at once, and may send the others again elsewhere (gRFC A6)."""
    handler = Handler()
    async with server_and_raw_client(link, handler) as (server, raw):
        raw.write(raw.headers(1, REQUEST), frame(PING, 0, 0, b"12345678"))
        await raw.next(PING)
        server().drain(final=True)
        assert [(await raw.next(GOAWAY)).last_stream for _ in range(2)] == [2**31 - 1, 1]
        call(raw, 3, message(b"too late"))
        raw.write(frame(DATA, END_STREAM, 1, message(b"a")))
        heard = await raw.closed()
        assert any(item.stream == 1 and item.ends_stream for item in heard)
        assert len(handler.streams) == 1


async def test_a_call_that_is_refused_may_be_sent_again(link: Link) -> None:
    """REFUSED_STREAM says that nobody has looked at it (RFC 9113 section 8.7)."""
    streams: list[ServerStream] = []

    def refuse(stream: ServerStream) -> None:
        streams.append(stream)
        stream.refuse()

    async with server_and_raw_client(link, refuse) as (_, raw):
        call(raw, 1, message(b"a"))
        reset = await raw.next(RST_STREAM, HEADERS)
        assert (reset.kind, reset.stream, reset.code) == (RST_STREAM, 1, 7)
        assert streams[0].ended


async def test_a_client_that_still_writes_to_a_drained_connection_reads_its_answers(link: Link) -> None:
    """The server closes when the client has: closed at once, what it cannot take any more would reset the connection."""
    handler = Handler()
    async with server_and_raw_client(link, handler) as (server, raw):
        connection = server()
        raw.write(raw.headers(1, REQUEST), frame(PING, 0, 0, b"12345678"))
        await raw.next(PING)
        assert raw.transport is not None
        raw.transport.pause_reading()
        raw.write(frame(DATA, END_STREAM, 1, message(b"a")), frame(PING, ACK, 0, b"wl-drain"))
        connection.drain(final=True)
        await until(lambda: connection.engine.ended)
        for _ in range(3):
            # A socket that was closed answers the first with a reset, which the next runs into.
            raw.write(frame(PING, ACK, 0, bytes(8)))
            await asyncio.sleep(0)
        raw.transport.resume_reading()
        heard = await raw.closed()
        assert [item.stream for item in heard if item.ends_stream] == [1]
        assert [item.last_stream for item in heard if item.kind == GOAWAY] == [2**31 - 1, 1]
        await connection.wait_closed()


async def test_a_connection_without_preface_is_closed_in_time(link: Link) -> None:
    async with server_and_raw_client(
        link, Handler(), limits=Limits(handshake_timeout=0.01), greeting=b"PRI"
    ) as (_, raw):
        await raw.closed()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(DATA, 0, 0, b"x")], 1),
        ([frame(HEADERS, END_HEADERS, 2, b"\x82")], 1),
        ([frame(DATA, 0, 5, b"x")], 1),
        ([frame(WINDOW_UPDATE, 0, 0, bytes(4))], 1),
        ([frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")] * 2, 3),
        ([frame(4, 0, 0, b"\x00\x04\xff\xff\xff\xff")], 3),
        ([frame(4, 0, 0, b"\x00\x05\x00\x00\x00\x01")], 1),
        ([frame(4, 0, 0, b"abc")], 6),
        ([frame(PING, 0, 0, b"short")], 6),
        ([frame(DATA, 0, 1, bytes(20_000))], 6),
        ([frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")], 9),
        ([frame(HEADERS, 0, 1, b""), frame(PING, 0, 0, bytes(8))], 1),
        ([frame(9, END_HEADERS, 1, b"")], 1),
        ([frame(HEADERS, 0, 1, b"")] + [frame(9, 0, 1, b"")] * 50, 11),
        ([frame(RST_STREAM, 0, 9, bytes(4))], 1),
    ],
)
async def test_a_broken_rule_of_the_connection_ends_it_with_a_goaway(
    link: Link, frames: list[bytes], code: int
) -> None:
    async with server_and_raw_client(link, Handler()) as (_, raw):
        raw.write(*frames)
        goaways = [heard for heard in await raw.closed() if heard.kind == GOAWAY]
        assert [heard.code for heard in goaways] == [code]
