"""Streams of a server whose handlers block: messages move in batches, and nothing else about them is to be seen. The clients are grpcio's."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc as grpcio
import pytest

import wirelane
from support.client_support import BOTH, DOWN, NOTE, SERVICE, UP, note_schema
from wirelane.errors import RpcError, UsageError
from wirelane.status import StatusCode
from wirelane.sync import grpc
from wirelane.sync._streams import BATCH, OUTBOX

CODEC = note_schema().codec(NOTE)
MANY = 5 * BATCH


def raw_server(
    method: grpc.Method[bytes, bytes], handler: Callable[..., Any], **settings: Any
) -> grpc.Server:
    """A server with one method, whose messages are octets."""
    server = grpc.Server(**settings)
    server.method(method)(handler)
    return server


@contextmanager
def serving(server: grpc.Server) -> Iterator[grpcio.Channel]:
    """A grpcio channel to a server."""
    with (
        server.listen("127.0.0.1:0") as listening,
        grpcio.insecure_channel(f"127.0.0.1:{listening.port}") as channel,
    ):
        yield channel


def call(channel: grpcio.Channel, method: grpc.Method[bytes, bytes]) -> Any:
    """What grpcio calls a method with, in octets."""
    kinds = {UP: channel.stream_unary, DOWN: channel.unary_stream, BOTH: channel.stream_stream}
    return kinds[method](f"/{method.name}", lambda each: each, lambda each: each)


def failed(answer: Callable[[], object]) -> Any:
    """The error that a call of grpcio ends with."""
    with pytest.raises(grpcio.RpcError) as raised:
        answer()
    return raised.value


def messages() -> list[bytes]:
    """Many of all sizes: that fill a batch by their number, by their octets, and alone."""
    sizes = random.Random(7)
    return [
        n.to_bytes(4) + bytes(sizes.choice([0, 1, 300, 5000]) if n % 100 else OUTBOX + n) for n in range(MANY)
    ]


def test_all_messages_come_in_order_whatever_fills_a_batch() -> None:
    """In both directions of one call, and of many at once."""
    sent = messages()

    def handler(requests: Iterator[bytes]) -> Iterator[bytes]:
        yield from requests

    with serving(raw_server(BOTH, handler)) as channel:
        echo = call(channel, BOTH)
        calls = [echo(iter(sent)) for _ in range(4)]
        got: list[list[bytes]] = [[] for _ in calls]
        readers = [
            threading.Thread(target=each.extend, args=(one,)) for each, one in zip(got, calls, strict=True)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
    assert [each == sent for each in got] == [True] * 4


def test_a_request_is_there_when_it_has_come() -> None:
    """Batches are of what is there: a handler gets one message of a client that waits for the answer to it."""
    answered = threading.Semaphore(0)

    def questions() -> Iterator[bytes]:
        for n in range(20):
            yield b"%d" % n
            assert answered.acquire(timeout=20)

    def handler(requests: Iterator[bytes]) -> Iterator[bytes]:
        for request in requests:
            yield request + b"!"

    with serving(raw_server(BOTH, handler)) as channel:
        got = []
        for reply in call(channel, BOTH)(questions()):
            got.append(reply)
            answered.release()
    assert got == [b"%d!" % n for n in range(20)]


def test_a_request_that_does_not_parse_is_told_at_its_place() -> None:
    """Those before it were given to the handler, although they all came at once."""
    seen: list[int] = []
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/Up")
    def up(requests: Iterator[dict[str, Any]]) -> dict[str, Any]:
        seen.extend(request["n"] for request in requests)
        return {}

    good = [CODEC.encode({"n": n}) for n in range(1, 101)]
    with serving(server) as channel:
        answer = channel.stream_unary(f"/{SERVICE}/Up", lambda each: each, lambda each: each)
        error = failed(lambda: answer(iter([*good, b"\x0a\xff", *good])))
    assert error.code() is grpcio.StatusCode.INTERNAL
    assert "cannot decode the request" in error.details()
    assert seen == list(range(1, 101))


def test_a_handler_may_go_on_after_a_request_that_does_not_parse() -> None:
    """As in the async library: the error is of that message."""
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/Up")
    def up(requests: Iterator[dict[str, Any]]) -> dict[str, Any]:
        total = failures = 0
        while True:
            try:
                total += next(requests)["n"]
            except StopIteration:
                return {"n": total, "text": str(failures)}
            except RpcError:
                failures += 1

    good = CODEC.encode({"n": 3})
    with serving(server) as channel:
        answer = channel.stream_unary(f"/{SERVICE}/Up", lambda each: each, CODEC.decode)
        reply: Any = answer(iter([good, b"\x0a\xff", good, b"\xff", good]))
    assert (reply["n"], reply["text"]) == (9, "2")


def test_a_reply_that_does_not_encode_is_told_at_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """Those before it have gone out, the log has why, and the generator is closed."""
    closed = threading.Event()
    server = grpc.Server(schema=note_schema())

    @server.method(f"{SERVICE}/Down")
    def down(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            for n in range(70):
                yield {"n": n}
            yield {"n": "no number"}
            yield {"n": 71}
        finally:
            closed.set()

    got: list[bytes] = []
    with serving(server) as channel:
        stream: Any = channel.unary_stream(f"/{SERVICE}/Down", lambda each: each, lambda each: each)(b"")
        error = failed(lambda: got.extend(stream))
        assert closed.wait(20)
    assert error.code() is grpcio.StatusCode.INTERNAL
    assert [CODEC.decode(each)["n"] for each in got] == list(range(70))
    assert "gave a reply that does not encode" in caplog.text


def test_what_a_handler_raises_comes_after_its_replies() -> None:
    """Those that it yielded before are received, and then the status."""

    def handler(request: bytes) -> Iterator[bytes]:
        for n in range(300):
            yield b"%d" % n
        raise RpcError(StatusCode.DATA_LOSS, "no more")

    got: list[bytes] = []
    with serving(raw_server(DOWN, handler)) as channel:
        error = failed(lambda: got.extend(call(channel, DOWN)(b"")))
    assert (error.code(), error.details()) == (grpcio.StatusCode.DATA_LOSS, "no more")
    assert got == [b"%d" % n for n in range(300)]


def test_a_call_that_is_over_drops_what_was_brought_along() -> None:
    """The next request raises, although there were more in the handler's thread already."""
    begun, over = threading.Event(), threading.Event()
    raised: list[Exception] = []

    def handler(requests: Iterator[bytes], context: grpc.Context) -> bytes:
        for _ in range(3):
            next(requests)
        begun.set()
        while not context.cancelled:
            threading.Event().wait(0.01)
        try:
            next(requests)
        except RpcError as error:
            raised.append(error)
        finally:
            over.set()
        return b""

    def endless() -> Iterator[bytes]:
        while not over.is_set():
            yield b"x"

    with serving(raw_server(UP, handler)) as channel:
        answer = call(channel, UP).future(endless())
        assert begun.wait(20)
        answer.cancel()
        assert over.wait(20)
    assert [type(each) for each in raised] == [RpcError]


def test_requests_that_were_dropped_do_not_look_like_the_end() -> None:
    """All had come, and the client had said so; the call is over before the handler has taken them, and it learns that each time."""
    over = threading.Event()
    raised: list[Any] = []

    def handler(requests: Iterator[bytes], context: grpc.Context) -> bytes:
        next(requests)
        while not context.cancelled:
            threading.Event().wait(0.01)
        for _ in range(2):
            try:
                next(requests)
            except (RpcError, StopIteration) as error:
                raised.append(error)
        over.set()
        return b""

    with serving(raw_server(UP, handler)) as channel:
        error = failed(lambda: call(channel, UP)(iter([b"x"] * 50), timeout=0.5))
        assert over.wait(20)
    assert error.code() is grpcio.StatusCode.DEADLINE_EXCEEDED
    assert [each.code for each in raised] == [StatusCode.DEADLINE_EXCEEDED] * 2


def test_a_deadline_ends_reading_too() -> None:
    """A handler that goes through requests without end is ended by the first one after the deadline."""
    over = threading.Event()
    raised: list[Exception] = []

    def handler(requests: Iterator[bytes]) -> bytes:
        try:
            for _ in requests:
                pass
        except RpcError as error:
            raised.append(error)
        finally:
            over.set()
        return b""

    def endless() -> Iterator[bytes]:
        while not over.is_set():
            yield b"x"

    with serving(raw_server(UP, handler)) as channel:
        error = failed(lambda: call(channel, UP)(endless(), timeout=0.5))
        assert over.wait(20)
    assert error.code() is grpcio.StatusCode.DEADLINE_EXCEEDED
    assert len(raised) == 1


def test_requests_may_be_shared_by_threads_of_the_handler() -> None:
    """Each message is given once, to one of them."""

    def handler(requests: Iterator[bytes]) -> bytes:
        shares: list[list[bytes]] = [[], []]
        lock = threading.Lock()

        def locked() -> Iterator[bytes]:
            while True:
                with lock:
                    try:
                        yield next(requests)
                    except StopIteration:
                        return

        threads = [threading.Thread(target=each.extend, args=(locked(),)) for each in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return b" ".join(sorted(b"%04d" % int(each) for each in shares[0] + shares[1]))

    with serving(raw_server(UP, handler)) as channel:
        reply = call(channel, UP)(iter([b"%d" % n for n in range(MANY)]))
    assert reply == b" ".join(b"%04d" % n for n in range(MANY))


def test_the_head_has_gone_when_the_first_reply_was_yielded() -> None:
    """As in the async library: what is said in it cannot be changed any more, whatever else the server does."""
    told: list[str] = []

    def handler(request: bytes, context: grpc.Context) -> Iterator[bytes]:
        context.set_compression("gzip")
        yield b"first"
        for late in (
            lambda: context.set_compression("deflate"),
            lambda: context.send_initial_metadata({"a": "b"}),
        ):
            try:
                late()
            except UsageError as error:
                told.append(str(error))
        context.set_compression(None)
        yield b"last"

    with serving(raw_server(DOWN, handler)) as channel:
        for _ in range(20):
            assert list(call(channel, DOWN)(b"")) == [b"first", b"last"]
    assert sum("too late" in each for each in told) == 20
    assert sum("already" in each for each in told) == 20


def test_each_reply_travels_as_was_said_when_it_was_yielded() -> None:
    """What is said later, while it waits to be sent, is for later replies; the same for what is known of requests."""
    seen: list[bool] = []

    def handler(requests: Iterator[bytes], context: grpc.Context) -> Iterator[bytes]:
        context.set_compression("gzip")
        for n, request in enumerate(requests):
            seen.append(context.request_compressed)
            if n % 2:
                context.disable_next_message_compression()
            yield request

    async def talk(port: int | None) -> list[bool]:
        # grpcio does not tell how a message travelled.
        async with wirelane.grpc.connect(f"127.0.0.1:{port}", compression="gzip") as channel:
            async with channel.bidi_stream(BOTH) as stream:
                for n in range(200):
                    await stream.send(b"x" * 100, compress=n % 3 == 0)
                await stream.done_sending()
                return [stream.received_compressed async for _ in stream]

    with raw_server(BOTH, handler).listen("127.0.0.1:0") as listening:
        got = asyncio.run(talk(listening.port))
    assert got == [n % 2 == 0 for n in range(200)]
    assert seen == [n % 3 == 0 for n in range(200)]


def test_a_handler_does_not_run_ahead_of_a_client_that_does_not_read() -> None:
    """Replies that are large wait one by one: what is held for the client is bounded in octets, not only in messages."""
    yielded: list[int] = []
    cut = threading.Event()

    def handler(request: bytes) -> Iterator[bytes]:
        try:
            for n in range(10_000):
                yielded.append(n)
                yield bytes(OUTBOX * 2)
        finally:
            cut.set()

    async def look(port: int | None) -> int:
        limits = wirelane.Limits(initial_window=OUTBOX, max_window=OUTBOX)
        ahead = 0
        async with wirelane.grpc.connect(f"127.0.0.1:{port}", limits=limits) as channel:
            async with channel.server_stream(DOWN, b"") as stream:
                for n in range(100):
                    await stream.receive()
                    ahead = max(ahead, len(yielded) - n)
        return ahead

    with raw_server(DOWN, handler).listen("127.0.0.1:0") as listening:
        # Some are in the windows, one waits for them, one waits in the feed, and one is being made.
        assert asyncio.run(look(listening.port)) < 10
        assert cut.wait(20)
