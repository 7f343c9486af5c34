"""gRPC without `await`, against grpcio's threaded server: calls, streams, threads, interrupts, forks, the end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.client_support import SERVICE, note_schema
from support.sync_support import BlockingNotes, blocking_server
from wirelane.errors import ConnectError, RpcError, UsageError
from wirelane.status import StatusCode
from wirelane.sync import grpc

ONE, DOWN, UP, BOTH = (f"{SERVICE}/{name}" for name in ("One", "Down", "Up", "BothWays"))


class Interrupt(BaseException):
    """What the signal handler of a test raises, as Python's own raises KeyboardInterrupt."""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, BlockingNotes]]:
    with blocking_server() as served:
        yield served


@pytest.fixture
def notes(served: tuple[str, BlockingNotes]) -> BlockingNotes:
    served[1].ended.clear()
    served[1].began.clear()
    return served[1]


@pytest.fixture
def channel(served: tuple[str, BlockingNotes]) -> Iterator[grpc.Channel]:
    with grpc.connect(served[0], schema=note_schema()) as channel:
        yield channel


@pytest.fixture
def interrupt() -> Iterator[None]:
    """Interrupt the main thread again and again, from a second on, until the test is over."""

    def handler(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_stub_of_the_schema_makes_blocking_calls(channel: grpc.Channel) -> None:
    """What `service` returns calls the methods of this channel, of every kind."""
    calls = channel.service(SERVICE)
    assert calls.one({"n": 1})["n"] == 1
    with calls.down({"n": 2}) as stream:
        assert [each["n"] for each in stream] == [0, 1]


def test_connecting_fails_where_it_is_written() -> None:
    """`connect` raises by itself, before any `with`."""
    with pytest.raises(ConnectError):
        grpc.connect("127.0.0.1:1")


def test_cancelling_drops_what_was_not_read(channel: grpc.Channel) -> None:
    """After `cancel` the next read raises CANCELLED, although messages had been fetched already."""
    with channel.server_stream(DOWN, {"n": 50}) as stream:
        assert next(stream)["n"] == 0
        while stream.status is None:
            stream.initial_metadata()
        stream.cancel()
        with pytest.raises(RpcError) as failed:
            stream.receive()
    assert failed.value.code is StatusCode.CANCELLED


def test_a_client_stream_takes_its_messages_from_an_iterable(
    channel: grpc.Channel, notes: BlockingNotes
) -> None:
    """A generator is run in the caller's thread; the reply is returned."""
    here = threading.get_ident()
    threads = set()

    def words() -> Iterator[dict[str, object]]:
        for text in ("a", "b", "c"):
            threads.add(threading.get_ident())
            yield {"text": text}

    assert channel.client_stream(UP, words())["text"] == "a,b,c"
    assert threads == {here}


def test_what_an_iterable_raises_is_raised_and_cancels_the_call(
    channel: grpc.Channel, notes: BlockingNotes
) -> None:
    """The error is the generator's own, and the server sees the call end."""

    def broken() -> Iterator[dict[str, object]]:
        yield {"text": "a"}
        assert notes.began.wait(10)
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        channel.client_stream(UP, broken())
    assert notes.ended.wait(10)
    with pytest.raises(LookupError), channel.bidi_stream(BOTH, broken()) as stream:
        list(stream)


def test_an_iterable_that_waits_for_replies_does_not_stop_the_others(channel: grpc.Channel) -> None:
    """A generator may block between messages: each is sent when it is there, and other calls go on meanwhile."""
    replies: list[int] = []
    arrived = threading.Semaphore(0)

    def conversation() -> Iterator[dict[str, int]]:
        for n in range(5):
            yield {"n": n}
            assert arrived.acquire(timeout=10)
            assert channel.unary(ONE, {"n": 100})["n"] == 100

    with channel.bidi_stream(BOTH, conversation()) as stream:
        for message in stream:
            replies.append(message["n"])
            arrived.release()
    assert replies == [0, 1, 2, 3, 4]


def test_a_request_that_waits_for_a_connection_is_encoded_once(served: tuple[str, BlockingNotes]) -> None:
    """As one that need not wait: what a request tells of itself may be told once only."""

    class Telling(dict[str, int]):
        told = 0

        def items(self) -> Any:
            self.told += 1
            return super().items()

    with grpc.Channel(served[0], schema=note_schema()) as channel:
        for request in (Telling(n=1), Telling(n=1)):
            assert channel.unary(ONE, request)["n"] == 1
            assert request.told == 1


def test_many_threads_share_a_channel(channel: grpc.Channel) -> None:
    """Each gets its own replies, over one connection."""

    def calls(number: int) -> list[int]:
        return [channel.unary(ONE, {"n": 1000 * number + n})["n"] for n in range(50)]

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(calls, range(16)))
    assert got == [[1000 * number + n for n in range(50)] for number in range(16)]
    assert channel.stats.connects == 1


def test_threads_share_the_messages_of_a_stream(channel: grpc.Channel) -> None:
    """Several that iterate over one stream get each message once, or are told that another one is reading."""
    from wirelane.errors import BusyError

    got: list[int] = []

    def read() -> None:
        while True:
            try:
                message = stream.receive()
            except BusyError:
                continue
            if message is None:
                return
            got.append(message["n"])

    with channel.server_stream(DOWN, {"n": 3000}) as stream, ThreadPoolExecutor(4) as pool:
        for reader in [pool.submit(read) for _ in range(4)]:
            reader.result()
    assert sorted(got) == list(range(3000))


def test_an_interrupt_cancels_the_call_that_is_waited_for(
    channel: grpc.Channel, notes: BlockingNotes, interrupt: None
) -> None:
    """Ctrl-C is raised where the thread waits, the server sees the call end, and the channel goes on."""
    with pytest.raises(Interrupt):
        channel.unary(ONE, {"text": "hang"})
    assert notes.ended.wait(10)
    assert channel.stats.active == 0
    assert channel.unary(ONE, {"n": 1})["n"] == 1


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # in callbacks of weak references
def test_interrupts_at_any_moment_leave_nothing_behind(channel: grpc.Channel) -> None:
    """Wherever they come, in the middle of the way into the loop or back: no call hangs, and none is left."""
    armed = False

    def handler(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    moments = random.Random(1)
    try:
        for _ in range(200):
            armed = True
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + moments.random() * 0.002)
            with contextlib.suppress(Interrupt):
                while armed:  # what is raised in a callback of the collector goes no further
                    channel.unary(ONE, {"n": 1})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert channel.unary(ONE, {"n": 2}, timeout=20)["n"] == 2
    assert channel.stats.active == 0


def test_a_message_that_comes_while_the_outbox_runs_empty_is_sent(channel: grpc.Channel) -> None:
    """Between the last look into it and the end of the task that empties it."""

    class Late(deque[tuple[bytes, bool]]):
        late: tuple[bytes, bool] | None = None

        def __len__(self) -> int:
            found, late = super().__len__(), self.late
            if not found and late is not None and threading.current_thread() is not threading.main_thread():
                self.late = None
                self.append(late)
            return found

    with channel.client_stream(UP) as stream:
        outbox = stream._outbox
        outbox._waiting = waiting = Late()
        waiting.late = outbox._call._pack({"text": "late"}, None)
        stream.send({"text": "first"})
        while waiting.late is not None:
            threading.Event().wait(0.001)
        stream.send({"text": "last"})
        assert stream.finish()["text"] == "first,late,last"


def test_an_interrupted_receive_loses_no_message(channel: grpc.Channel, interrupt: None) -> None:
    """The stream goes on after it."""
    with channel.bidi_stream(BOTH) as stream:
        with pytest.raises(Interrupt):
            stream.receive()
        stream.send({"n": 4})
        assert stream.receive(timeout=10)["n"] == 4


def test_inside_an_event_loop_calls_are_refused(channel: grpc.Channel) -> None:
    """The error names what to await there."""

    async def main() -> None:
        channel.unary(ONE, {"n": 1})

    with pytest.raises(UsageError, match=r"wirelane\.grpc\.Channel\.unary"):
        asyncio.run(main())


def test_context_variables_travel_into_the_loop(channel: grpc.Channel) -> None:
    """What a generator of messages sees is what its maker saw, wherever it runs."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    name.set("outside")

    def messages() -> Iterator[dict[str, str]]:
        yield {"text": name.get()}

    with channel.bidi_stream(BOTH, messages()) as stream:
        assert next(stream)["text"] == "outside"


def test_metadata_schema_and_state_are_those_of_the_channel(
    channel: grpc.Channel, notes: BlockingNotes
) -> None:
    """Properties are read, and set, without a way into the loop."""
    channel.metadata["who"] = "me"
    channel.unary(ONE, {"n": 1})
    assert notes.metadata["who"] == "me"
    channel.metadata = {"who": "you"}
    channel.unary(ONE, {"n": 1})
    assert notes.metadata["who"] == "you"
    assert SERVICE in channel.schema.services()
    assert repr(channel).startswith("<sync Channel grpc://127.0.0.1:")


def run_script(script: str, address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), address],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"},
    )


def test_a_forked_child_has_a_loop_of_its_own(served: tuple[str, BlockingNotes]) -> None:
    """A channel works in parent and child alike; a stream belongs to the process that opened it."""
    script = f"""
        import os, sys
        from support.client_support import note_schema
        from wirelane.errors import UsageError
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        channel.metadata["who"] = "before"
        stream = channel.bidi_stream("{BOTH}")
        stream.__enter__()
        child = os.fork()
        if child == 0:
            assert channel.metadata["who"] == "before"
            assert channel.unary("{ONE}", {{"n": 2}})["n"] == 2
            try:
                stream.receive()
            except UsageError as error:
                print(error, flush=True)
            try:
                stream.send({{"n": 66}})
            except UsageError as error:
                print("sending:", error, flush=True)
            stream.__exit__(None, None, None)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        stream.send({{"n": 1}})
        assert stream.receive()["n"] == 1
        print("parent", channel.unary("{ONE}", {{"n": 3}})["n"], channel.stats.connects)
    """
    done = run_script(script, served[0])
    assert done.returncode == 0, done.stderr
    assert "before os.fork()" in done.stdout
    assert "sending: this BidiStreamCall was opened before os.fork()" in done.stdout
    assert "parent 3 1" in done.stdout
    assert done.stderr == ""


def test_the_end_of_the_interpreter_closes_what_is_open(served: tuple[str, BlockingNotes]) -> None:
    """A script that leaves channel and stream open ends by itself, at once and without a word."""
    script = f"""
        import sys, threading
        from support.client_support import note_schema
        from wirelane.sync import grpc
        channel = grpc.Channel(sys.argv[1], schema=note_schema())
        stream = channel.server_stream("{DOWN}", {{"n": 1, "text": "hang"}}).__enter__()
        print(next(stream)["n"])
        threading.Thread(target=stream.receive, daemon=True).start()
    """
    done = run_script(script, served[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_ctrl_c_ends_a_script_that_waits(served: tuple[str, BlockingNotes], notes: BlockingNotes) -> None:
    """A real SIGINT: KeyboardInterrupt where it waits, the server sees the call end, and the process is gone."""
    script = f"""
        import sys
        from support.client_support import note_schema
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        print("ready", flush=True)
        channel.unary("{ONE}", {{"text": "hang"}})
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), served[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert notes.began.wait(30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert notes.ended.wait(10)
