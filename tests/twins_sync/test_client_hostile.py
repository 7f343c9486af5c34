"""Servers that break the rules or send calls away: what the caller gets is a status, and nothing hangs.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.client_support import BOTH, DOWN, ONE, UP, raw_server
from support.side_loop import Proxy
from support.twins_sync_support import Running, elsewhere, start, there, until
from support.wire_support import DATA, GOAWAY, RESPONSE, RST_STREAM, frame, message
from twins_sync.grpc_support import wire_channel
from wirelane.core.metadata import Metadata
from wirelane.sync import Limits, RpcError, StatusCode, grpc
from wirelane.transport.base import ServerStream


def code_of(function: Callable[..., Any], *arguments: Any) -> tuple[StatusCode, str]:
    """How a call fails that is made so."""
    with pytest.raises(RpcError) as raised:
        function(*arguments)
    assert not raised.value.from_peer
    return raised.value.code, raised.value.message


@pytest.mark.parametrize(("count", "words"), [(0, "no message"), (2, "two messages"), (3, "two messages")])
@pytest.mark.parametrize("form", ["unary", "client_stream"])
def test_a_reply_that_is_not_one_message_is_unimplemented(form: str, count: int, words: str) -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        for _ in range(count):
            await stream.send(b"reply")
            await asyncio.sleep(0)
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        if form == "unary":
            code, text = code_of(channel.unary, ONE, b"")
        else:
            code, text = code_of(channel.client_stream, UP, [b""])
        assert code is StatusCode.UNIMPLEMENTED
        assert words in text


def test_a_message_and_then_an_error_is_the_error() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        await stream.send(b"reply")
        stream.finish(StatusCode.NOT_FOUND, "after all")

    with wire_channel(handler) as channel:
        with pytest.raises(RpcError, match="NOT_FOUND: after all"):
            channel.unary(ONE, b"")


def test_a_server_that_ends_with_ok_and_nothing_else_gives_empty_initial_metadata() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        with channel.server_stream(DOWN, b"") as stream:
            assert stream.initial_metadata() == Metadata()
            assert list(stream) == []


def test_a_reply_that_does_not_parse_is_internal() -> None:
    from google.protobuf import wrappers_pb2

    from wirelane.sync import CodecError

    method = grpc.Method("a/B", grpc.Cardinality.UNARY, wrappers_pb2.StringValue, wrappers_pb2.StringValue)

    @there
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=b"\xff\xff\xff")

    with wire_channel(handler) as channel:
        with pytest.raises(RpcError) as raised:
            channel.unary(method, wrappers_pb2.StringValue())
        assert raised.value.code is StatusCode.INTERNAL
        assert isinstance(raised.value.__cause__, CodecError)
        streaming = grpc.Method("a/B", grpc.Cardinality.SERVER_STREAM, bytes, wrappers_pb2.StringValue)
        with channel.server_stream(streaming, b"") as stream:
            with pytest.raises(RpcError, match="INTERNAL"):
                stream.receive()
            with pytest.raises(RpcError, match="INTERNAL"):
                stream.receive()


GZIPPED = zlib.compress(bytes(100_000), wbits=31)


@pytest.mark.parametrize(
    ("encoding", "payload", "code", "words"),
    [
        (None, GZIPPED, StatusCode.INTERNAL, "no grpc-encoding"),
        ("gzip", b"not gzip", StatusCode.INTERNAL, "gzip"),
        ("gzip", GZIPPED[:-1], StatusCode.INTERNAL, "gzip"),
        ("deflate", GZIPPED, StatusCode.INTERNAL, "deflate"),
        ("gzip", zlib.compress(bytes(5 * 2**20), wbits=31), StatusCode.RESOURCE_EXHAUSTED, "too large"),
    ],
)
def test_bad_compression_is_told_by_its_status(
    encoding: str | None, payload: bytes, code: StatusCode, words: str
) -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        stream.send_head(Metadata(), encoding=encoding)
        await stream.send(payload, compressed=True)
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        got, text = code_of(channel.unary, ONE, b"")
        assert got is code
        assert words in text


def test_good_compression_is_inflated_message_by_message() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        stream.send_head(Metadata(), encoding="gzip")
        await stream.send(GZIPPED, compressed=True)
        await stream.send(b"plain")
        stream.finish(StatusCode.OK)

    with wire_channel(handler) as channel:
        assert channel.collect(DOWN, b"") == [bytes(100_000), b"plain"]


def test_compressed_requests_carry_the_flag_and_their_encoding() -> None:
    parts: list[tuple[bool, bytes]] = []

    @there
    async def handler(stream: ServerStream) -> None:
        assert stream.encoding == "gzip"
        while (part := await stream.receive()) is not None:
            parts.append(part)
        stream.finish(StatusCode.OK, payload=b"")

    with wire_channel(handler, compression="gzip") as channel:
        channel.unary(ONE, b"abc")
        with channel.client_stream(UP) as stream:
            stream.send(b"one")
            stream.send(b"two", compress=False)
            stream.send(b"")
            stream.finish()
    assert [flag for flag, _ in parts] == [True, True, False, False]
    assert [zlib.decompress(data, wbits=47) if flag else data for flag, data in parts] == [
        b"abc",
        b"one",
        b"two",
        b"",
    ]


def test_a_message_above_the_limit_is_refused() -> None:
    @there
    async def handler(stream: ServerStream) -> None:
        stream.finish(StatusCode.OK, payload=bytes(2000))

    with wire_channel(handler, limits=Limits(max_receive_message=1000)) as channel:
        code, text = code_of(channel.unary, ONE, b"")
        assert code is StatusCode.RESOURCE_EXHAUSTED
        assert "1000" in text


def raw_call(
    raw: Proxy, channel: grpc.Channel, known: Proxy | None = None
) -> tuple[Running[bytes], Proxy, int]:
    call = start(channel.unary, ONE, b"x", timeout=30)
    peer = known or raw.peers.get()
    return call, peer, (peer.request()).stream


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (0, StatusCode.INTERNAL),
        (1, StatusCode.INTERNAL),
        (2, StatusCode.INTERNAL),
        (8, StatusCode.CANCELLED),
        (11, StatusCode.RESOURCE_EXHAUSTED),
        (12, StatusCode.PERMISSION_DENIED),
    ],
)
def test_a_reset_becomes_a_status_and_is_not_tried_again(error: int, code: StatusCode) -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = raw_call(raw, channel)
        peer.write(frame(RST_STREAM, 0, stream, error.to_bytes(4, "big")))
        with pytest.raises(RpcError) as raised:
            call.result()
        assert (raised.value.code, raised.value.attempts) == (code, 1)


def test_what_is_written_into_the_metadata_of_an_error_stays_there() -> None:
    """The head that refuses a call is read once; calls refused with the same octets share what was read."""
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        for _ in range(4):
            call, peer, stream = raw_call(raw, channel, *raw.all)
            peer.write(peer.headers(stream, [(":status", "503")]))
            with pytest.raises(RpcError) as raised:
                call.result()
            assert raised.value.metadata == {}
            raised.value.metadata["mine"] = "1"


REFUSED = (7).to_bytes(4, "big")


def test_a_refused_stream_is_tried_again_once() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = raw_call(raw, channel)
        peer.write(frame(RST_STREAM, 0, stream, REFUSED))
        again = peer.request()
        peer.answer(again.stream)
        assert call.result() == b"reply"
        assert channel.stats.started == 1

        second = start(channel.unary, ONE, b"x")
        for _ in range(2):
            head = peer.request()
            peer.write(frame(RST_STREAM, 0, head.stream, REFUSED))
        with pytest.raises(RpcError) as raised:
            second.result()
        assert (raised.value.code, raised.value.attempts) == (StatusCode.UNAVAILABLE, 2)
        assert channel.stats.active == 0


def goaway(last: int) -> bytes:
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + bytes(4))


def test_a_call_above_the_last_stream_of_goaway_goes_to_a_new_connection() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, _ = raw_call(raw, channel)
        peer.write(goaway(0))
        other = raw.peers.get()
        other.answer((other.request()).stream)
        assert call.result() == b"reply"
        assert channel.stats.connects == 2


@pytest.mark.parametrize("turned_away", [1, 3, 8])
def test_a_call_is_carried_from_one_server_that_goes_away_to_the_next(turned_away: int) -> None:
    """gRFC A6: as often as it takes, and not counted; then a refusal of the call alone is another matter."""
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.unary, ONE, b"x")
        for _ in range(turned_away):
            peer = raw.peers.get()
            peer.request()
            peer.write(goaway(0))
        last = raw.peers.get()
        last.write(frame(RST_STREAM, 0, (last.request()).stream, REFUSED))
        last.answer((last.request()).stream)
        assert call.result() == b"reply"
        assert channel.stats.connects == turned_away + 1
        assert (channel.stats.started, channel.stats.succeeded) == (1, 1)


@there
@asynccontextmanager
async def sending_away(*, requests: bool) -> AsyncIterator[int]:
    """A server that says GOAWAY to everyone at once, or first takes a request."""
    async with raw_server() as raw:

        async def send_away() -> None:
            while True:
                peer = await raw.peers.get()
                await (peer.request() if requests else peer.connected.wait())
                peer.write(goaway(0))
                if not requests:
                    peer.close()

        task = asyncio.create_task(send_away())
        yield raw.port
        task.cancel()
        await asyncio.wait((task,))


def test_a_call_that_every_server_turns_away_is_unavailable() -> None:
    """Nine in a row: whoever takes requests only to go away is no server that is being restarted."""
    with elsewhere(sending_away, requests=True) as port, grpc.Channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(RpcError, match="went away") as raised:
            channel.unary(ONE, b"", timeout=20)
        assert (raised.value.code, raised.value.attempts) == (StatusCode.UNAVAILABLE, 9)


def test_a_call_that_goaway_lets_finish_finishes_and_the_next_uses_a_new_connection() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = raw_call(raw, channel)
        peer.write(goaway(stream))
        until(lambda: channel.state == "IDLE")
        assert "IDLE 1 connection, 1 call>" in repr(channel)
        following = start(channel.unary, ONE, b"y")
        other = raw.peers.get()
        other.answer((other.request()).stream, b"second")
        assert following.result() == b"second"
        peer.answer(stream, b"first")
        assert call.result() == b"first"
        assert channel.stats.connections == 1


def test_a_lost_connection_ends_its_calls_as_unavailable_and_the_next_call_connects_anew() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, _ = raw_call(raw, channel)
        peer.close()
        with pytest.raises(RpcError) as raised:
            call.result()
        assert (raised.value.code, raised.value.attempts) == (StatusCode.UNAVAILABLE, 1)
        following = start(channel.unary, ONE, b"y")
        other = raw.peers.get()
        other.answer((other.request()).stream)
        assert following.result() == b"reply"


def test_a_streamed_request_is_replayed_while_only_its_first_message_was_sent() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.bidi_stream(BOTH) as stream:
            peer = raw.peers.get()
            stream.send(b"one")
            receiving = start(stream.receive)
            first = peer.next(DATA)
            peer.write(frame(RST_STREAM, 0, first.stream, REFUSED))
            second = peer.next(DATA)
            assert (second.stream, second.payload) == (first.stream + 2, message(b"one"))
            peer.write(peer.headers(second.stream, RESPONSE), frame(DATA, 0, second.stream, message(b"yes")))
            assert receiving.result() == b"yes"
            stream.send(b"two")
            assert (peer.next(DATA)).payload == message(b"two")
            assert stream.attempts == 2


def test_a_half_closed_request_is_replayed_half_closed() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call = start(channel.client_stream, UP, [b"one"])
        peer = raw.peers.get()
        first = peer.request()
        peer.write(frame(RST_STREAM, 0, first.stream, REFUSED))
        second = peer.request()
        assert second.stream == first.stream + 2
        peer.answer(second.stream)
        assert call.result() == b"reply"


def test_a_request_of_which_two_messages_were_sent_is_not_replayed() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.bidi_stream(BOTH) as stream:
            peer = raw.peers.get()
            stream.send(b"one")
            stream.send(b"two")
            first = peer.next(DATA)
            sent = first.payload
            while len(sent) < len(message(b"one") + message(b"two")):
                sent += (peer.next(DATA)).payload
            peer.write(frame(RST_STREAM, 0, first.stream, REFUSED))
            with pytest.raises(RpcError) as raised:
                stream.receive()
            assert (raised.value.code, raised.value.attempts) == (StatusCode.UNAVAILABLE, 1)


def test_the_sender_and_the_receiver_may_both_meet_a_refusal() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.bidi_stream(BOTH) as stream:
            peer = raw.peers.get()
            sending = start(stream.send, bytes(200_000))
            receiving = start(stream.receive)
            first = peer.next(DATA)
            peer.write(frame(RST_STREAM, 0, first.stream, REFUSED))
            head = peer.next(1)
            peer.write(peer.headers(head.stream, RESPONSE), frame(DATA, 0, head.stream, message(b"yes")))
            assert receiving.result() == b"yes"
            peer.write(peer.headers(head.stream, [("grpc-status", "0")], end=True))
            assert stream.receive() is None
            sending.result()


def test_a_server_that_greets_and_sends_away_for_ever_is_unavailable() -> None:
    with elsewhere(sending_away, requests=False) as port, grpc.Channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(RpcError) as raised:
            channel.unary(ONE, b"", timeout=20)
        assert raised.value.code is StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([(":status", "404"), ("content-type", "text/html")], StatusCode.UNIMPLEMENTED),
        ([(":status", "503")], StatusCode.UNAVAILABLE),
        ([(":status", "200"), ("content-type", "text/html")], StatusCode.UNKNOWN),
        ([*RESPONSE], StatusCode.UNKNOWN),
    ],
)
def test_an_answer_that_is_no_grpc_is_told_by_its_status(
    answer: list[tuple[str, str]], code: StatusCode
) -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        call, peer, stream = raw_call(raw, channel)
        peer.write(peer.headers(stream, answer, end=True))
        with pytest.raises(RpcError) as raised:
            call.result()
        assert raised.value.code is code


def test_a_call_is_not_sent_again_once_the_server_has_answered() -> None:
    with elsewhere(raw_server) as raw, grpc.Channel(f"127.0.0.1:{raw.port}") as channel:
        with channel.server_stream(DOWN, b"x") as stream:
            peer = raw.peers.get()
            head = peer.request()
            peer.write(peer.headers(head.stream, RESPONSE), frame(DATA, 0, head.stream, message(b"one")))
            stream.initial_metadata()
            peer.write(frame(RST_STREAM, 0, head.stream, REFUSED))
            until(lambda: stream.status is not None)
            assert stream.receive() == b"one"
            with pytest.raises(RpcError) as raised:
                stream.receive()
            assert (raised.value.code, raised.value.attempts) == (StatusCode.UNAVAILABLE, 1)
