"""What only handlers in threads have: threads are few, cannot be cancelled, and go on when nobody waits any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.client_support import SERVICE, note_schema
from support.server_support import generate_demo
from support.twins_sync_support import start, until
from wirelane.sync import DeadlineExceeded, Limits, RpcError, StatusCode, UsageError, grpc

ONE, DOWN, UP, BOTH = (f"{SERVICE}/{name}" for name in ("One", "Down", "Up", "BothWays"))
PATIENCE = 30.0


def server_of(threads: int = 32, **settings: Any) -> grpc.Server:
    return grpc.Server(schema=note_schema(), threads=threads, **settings)


def connected(stack: ExitStack, server: grpc.Server, *, grace: float = 5.0) -> grpc.Channel:
    """Serve, and connect."""
    at = stack.enter_context(server.listen("127.0.0.1:0", grace=grace))
    return stack.enter_context(grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()))


class Waiting:
    """A server whose handlers wait for `release`, whatever is said to them; it notes which began and how they ended."""

    def __init__(self, threads: int = 32, **settings: Any) -> None:
        self.release = threading.Event()
        self.began: list[str] = []
        self.told: list[bool] = []
        self.server = server_of(threads, **settings)

        def wait(request: dict[str, Any], context: grpc.Context) -> None:
            self.began.append(request["text"])
            assert self.release.wait(PATIENCE)
            self.told.append(context.cancelled)

        @self.server.method(ONE)
        def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
            wait(request, context)
            return request

        @self.server.method(DOWN)
        def down(request: dict[str, Any], context: grpc.Context) -> Iterator[dict[str, Any]]:
            wait(request, context)
            yield request

        @self.server.method(UP)
        def up(requests: Iterator[dict[str, Any]], context: grpc.Context) -> dict[str, Any]:
            wait(next(requests), context)
            return {"text": "up"}

        @self.server.method(BOTH)
        def both(requests: Iterator[dict[str, Any]], context: grpc.Context) -> Iterator[dict[str, Any]]:
            for request in requests:
                wait(request, context)
                yield request


# More calls than threads


KINDS: dict[str, Callable[..., Any]] = {
    "unary": lambda channel, text, **options: channel.unary(ONE, {"text": text}, **options),
    "server_stream": lambda channel, text, **options: channel.collect(DOWN, {"text": text}, **options),
    "client_stream": lambda channel, text, **options: channel.client_stream(UP, [{"text": text}], **options),
    "bidi_stream": lambda channel, text, **options: channel.collect(BOTH, [{"text": text}], **options),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_whose_deadline_passes_in_the_queue_is_answered_and_never_begun(kind: str) -> None:
    """DEADLINE_EXCEEDED comes when it is due, not when a thread is free."""
    waiting = Waiting(threads=2)
    with ExitStack() as stack:
        channel = connected(stack, waiting.server)
        busy = [start(channel.unary, ONE, {"text": "busy"}) for _ in range(2)]
        until(lambda: len(waiting.began) == 2)
        late = [start(KINDS[kind], channel, "late", timeout=0.1) for _ in range(5)]
        for each in late:
            with pytest.raises(DeadlineExceeded):
                each.result()
        # Those that were late are over for the server, and their places are free for others.
        until(lambda: waiting.server.calls == 2)
        next_one = start(KINDS[kind], channel, "next")
        waiting.release.set()
        assert [each.result()["text"] for each in busy] == ["busy"] * 2
        next_one.result()
    assert waiting.began == ["busy", "busy", "next"]


def test_a_call_that_its_client_gives_up_in_the_queue_is_never_begun() -> None:
    """No thread is spent on it, and it does not hold a drain up."""
    waiting = Waiting(threads=1)
    with ExitStack() as stack:
        channel = connected(stack, waiting.server)
        busy = start(channel.unary, ONE, {"text": "busy"})
        until(lambda: waiting.began)
        for method in (DOWN, BOTH):
            opened = channel.bidi_stream(method) if method == BOTH else channel.server_stream(method)
            with opened as stream:
                until(lambda: waiting.server.calls == 2)
                stream.cancel()
            until(lambda: waiting.server.calls == 1)
        waiting.release.set()
        assert busy.result()["text"] == "busy"
    assert waiting.began == ["busy"]


def test_a_client_whose_cancelled_calls_still_run_may_make_others() -> None:
    """As many threads as there are go on; what comes next waits for one, and is not refused."""
    waiting = Waiting(threads=3)
    with ExitStack() as stack:
        channel = connected(stack, waiting.server)
        for number in range(3):
            stream = stack.enter_context(channel.server_stream(DOWN, {"text": "given up"}))
            until(lambda number=number: len(waiting.began) == number + 1)
            stream.cancel()
        assert waiting.server.calls == 3
        others = [start(channel.unary, ONE, {"text": "other"}) for _ in range(4)]
        until(lambda: waiting.server.calls == 7)
        assert waiting.began == ["given up"] * 3
        waiting.release.set()
        assert [each.result()["text"] for each in others] == ["other"] * 4
    assert sorted(waiting.told) == [False] * 4 + [True] * 3


# Clients that go away


def test_a_handler_that_waits_for_requests_is_told_when_its_client_is_gone() -> None:
    """Its iterator raises, though nothing comes any more; the thread is free for the next call."""
    read: list[int] = []
    ended: list[RpcError] = []
    server = server_of(threads=1)

    @server.method(BOTH)
    def both(requests: Iterator[dict[str, Any]], context: grpc.Context) -> Iterator[dict[str, Any]]:
        try:
            for request in requests:
                read.append(request["n"])  # noqa: PERF401  (each when it comes)
        except RpcError as error:
            assert context.cancelled
            ended.append(error)
            raise
        yield {}

    with ExitStack() as stack:
        at = stack.enter_context(server.listen("127.0.0.1:0"))
        for number in range(3):
            # The connection ends with its channel, in the middle of the call.
            with grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel:
                stream = channel.bidi_stream(BOTH)
                stream.__enter__()
                stream.send({"n": number})
                until(lambda number=number: read == list(range(number + 1)))
            until(lambda number=number: len(ended) == number + 1)
        until(lambda: server.calls == 0)
    assert [each.code for each in ended] == [StatusCode.CANCELLED] * 3


# The end of a server


def test_a_drain_waits_for_busy_threads_and_their_calls_are_answered() -> None:
    """Those that wait for a thread are begun, too: they came before the drain."""
    waiting = Waiting(threads=1)
    with ExitStack() as stack:
        channel = connected(stack, waiting.server, grace=PATIENCE)
        calls = [start(channel.unary, ONE, {"text": "before"}) for _ in range(3)]
        until(lambda: waiting.server.calls == 3)
        drain = start(waiting.server.drain)
        until(lambda: waiting.server.state.name == "DRAINING")
        assert len(waiting.began) == 1
        waiting.release.set()
        assert [each.result()["text"] for each in calls] == ["before"] * 3
        drain.result()
    assert waiting.told == [False] * 3


def test_handlers_that_outlast_the_grace_are_told_and_may_finish() -> None:
    """Their clients have an answer at once; `drain` returns when the threads have cleaned up."""
    began, cleaned = threading.Event(), threading.Event()
    server = server_of(limits=Limits(close_timeout=PATIENCE))

    @server.method(ONE)
    def one(request: dict[str, Any], context: grpc.Context) -> dict[str, Any]:
        began.set()
        until(lambda: context.cancelled)
        time.sleep(0.1)  # writes something down
        cleaned.set()
        return request

    with ExitStack() as stack:
        channel = connected(stack, server)
        call = start(channel.unary, ONE)
        assert began.wait(PATIENCE)
        server.drain(0.05)
        assert cleaned.is_set()
        with pytest.raises(RpcError, match="shutting down") as failed:
            call.result()
        assert failed.value.code is StatusCode.UNAVAILABLE


@pytest.mark.parametrize("kind", ["unary", "server_stream"])
def test_a_thread_that_goes_on_is_named_and_left_behind(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """After `close_timeout`; the server listens again meanwhile, and answers with its other threads."""
    waiting = Waiting(threads=2, limits=Limits(close_timeout=0.05))
    with waiting.server.listen("127.0.0.1:0") as at:
        with grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel:
            call = start(KINDS[kind], channel, "left behind")
            until(lambda: waiting.began)
            waiting.server.drain(0)
            with pytest.raises(RpcError, match="shutting down"):
                call.result()
    (record,) = caplog.records
    assert "goes on although it was cancelled; leaving it behind" in record.getMessage()
    with ExitStack() as stack:
        channel = connected(stack, waiting.server)
        again = start(channel.unary, ONE, {"text": "again"})
        until(lambda: len(waiting.began) == 2)
        waiting.release.set()
        assert again.result()["text"] == "again"
    until(lambda: len(waiting.told) == 2)
    assert sorted(waiting.told) == [False, True]


def test_an_abort_waits_for_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    """Clients are cut off, handlers are told, and the server is over at once; not even then is a queued call begun."""
    waiting = Waiting(threads=2, limits=Limits(close_timeout=PATIENCE))
    with waiting.server.listen("127.0.0.1:0") as at:
        with grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel:
            calls = [start(KINDS[kind], channel, "cut") for kind in KINDS]
            until(lambda: waiting.server.calls == 4 and len(waiting.began) == 2)
            waiting.server.abort()
            for call in calls:
                with pytest.raises(RpcError) as failed:
                    call.result()
                assert failed.value.code is StatusCode.UNAVAILABLE
            waiting.server.drain()
            assert (waiting.server.calls, waiting.server.connections) == (0, 0)
    assert waiting.told == []
    waiting.release.set()
    until(lambda: len(waiting.told) == 2)
    assert (waiting.began, waiting.told) == (["cut"] * 2, [True] * 2)
    assert not caplog.records


def test_a_handler_cannot_drain_the_server_that_waits_for_it() -> None:
    """It is told so, with the server as with what listens; a thread that it starts may."""
    server = server_of()
    drains: list[Any] = []

    @server.method(ONE)
    def one(request: dict[str, Any]) -> dict[str, Any]:
        for drain in (server.drain, at.drain):
            with pytest.raises(UsageError, match="another thread"):
                drain()
        drains.append(start(server.drain))
        return request

    with (
        server.listen("127.0.0.1:0") as at,
        grpc.connect(f"127.0.0.1:{at.port}", schema=note_schema()) as channel,
    ):
        assert channel.unary(ONE, {"n": 7})["n"] == 7
        drains[0].result()
        assert server.state.name == "CLOSED"


# What handlers raise, and are


def test_system_exit_of_a_handler_ends_its_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    """As in any thread but the main one: the process, the loop and the thread go on."""
    server = server_of(threads=1)

    @server.method(ONE)
    def one(request: dict[str, Any]) -> dict[str, Any]:
        if request["text"] == "exit":
            raise SystemExit(3)
        return request

    with ExitStack() as stack:
        channel = connected(stack, server)
        for _ in range(2):
            with pytest.raises(RpcError) as failed:
                channel.unary(ONE, {"text": "exit"})
            assert failed.value.code is StatusCode.UNKNOWN
            assert channel.unary(ONE, {"text": "on"})["text"] == "on"


def test_services_of_coroutines_run_in_the_loop_of_a_blocking_server(tmp_path: Any) -> None:
    """Those that grpclib and betterproto2 generate, unchanged, beside functions that block."""
    generated = generate_demo(tmp_path)
    better, pb2 = generated.betterproto2, generated.pb2
    names: set[str] = set()

    class Demo(better.DemoBase):  # type: ignore[misc, name-defined]
        async def one(self, message: Any) -> Any:
            names.add(threading.current_thread().name)
            return better.Answer(n=message.n + 1)

    class Other(generated.grpclib.DemoBase):  # type: ignore[misc, name-defined]
        async def One(self, stream: Any) -> None:  # noqa: N802
            names.add(threading.current_thread().name)
            await stream.send_message(pb2.Answer(n=(await stream.recv_message()).n + 2))

        async def Down(self, stream: Any) -> None: ...  # noqa: N802

        async def Up(self, stream: Any) -> None: ...  # noqa: N802

        async def Both(self, stream: Any) -> None: ...  # noqa: N802

        async def Empty(self, stream: Any) -> None: ...  # noqa: N802

    for service, added in ((Demo(), 1), (Other(), 2)):
        server = grpc.Server([service], schema=note_schema())

        @server.method(ONE)
        def one(request: dict[str, Any]) -> dict[str, Any]:
            return {"text": threading.current_thread().name}

        with (
            server.listen("127.0.0.1:0") as at,
            grpc.connect(str(at.address), schema="reflection") as channel,
        ):
            assert channel.unary("Demo/One", {"n": 4})["n"] == 4 + added
            assert channel.unary(ONE)["text"] == "wirelane.sync: handler"
    assert names == {"wirelane.sync: event loop"}
