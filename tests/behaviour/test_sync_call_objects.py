"""Calls as objects, without `await`, against grpcio's threaded server: what unary ones tell, who may do what with them, and their time."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc as grpcio
import pytest

from support.client_support import NOTE, SERVICE, note_schema
from wirelane import ClosedError, CodecError, DeadlineExceeded, RpcError, StatusCode, UsageError
from wirelane.sync import grpc
from wirelane.sync._portal import current

ONE = f"{SERVICE}/One"
MANY = 12


class Interrupt(BaseException):
    """What the signal handler of a test raises, as Python's own raises KeyboardInterrupt."""


class Notes:
    """A server that does what the text of the request says.

    Attributes:
        began: Counts calls.
        ended: A call is over for the server.
        go: What "wait" waits for.
    """

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.ended = threading.Event()
        self.go = threading.Event()
        self.together = threading.Barrier(MANY, timeout=20)

    def one(self, request: dict[str, Any], context: Any) -> dict[str, Any]:
        context.add_callback(self.ended.set)
        context.send_initial_metadata(
            (("first", "1"), ("who", dict(context.invocation_metadata()).get("who", "")))
        )
        context.set_trailing_metadata((("last", "z"), ("raw-bin", b"\x00\xff")))
        self.began.release()
        match request["text"]:
            case "fail":
                context.abort(grpcio.StatusCode.FAILED_PRECONDITION, "it failed")
            case "wait":
                self.go.wait(20)
            case "together":
                self.together.wait()
        return request


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def address(notes: Notes) -> Iterator[str]:
    codec = note_schema().codec(NOTE)
    handler = grpcio.unary_unary_rpc_method_handler(
        notes.one, request_deserializer=codec.decode, response_serializer=codec.encode
    )
    server = grpcio.server(futures.ThreadPoolExecutor(24))
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler(SERVICE, {"One": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        notes.go.set()
        server.stop(None).wait()


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.connect(address, schema=note_schema()) as channel:
        yield channel


def test_a_call_that_succeeded_tells_all_that_the_server_said(channel: grpc.Channel, address: str) -> None:
    """Metadata before and after the reply, status and peer; the reply is the same each time."""
    call = channel.unary_call(ONE, {"n": 7}, timeout=20, metadata={"who": "me"})
    reply = call.reply()
    assert reply["n"] == 7
    assert call.reply() is reply
    assert call.initial_metadata()["first"] == "1"
    assert call.initial_metadata()["who"] == "me"
    assert call.trailing_metadata is not None
    assert (call.trailing_metadata["last"], call.trailing_metadata["raw-bin"]) == ("z", b"\x00\xff")
    assert (call.status, call.message, call.details) == (StatusCode.OK, "", ())
    assert (call.method, call.peer, call.attempts) == (ONE, address, 1)
    assert not call.received_compressed
    assert call.deadline is not None
    assert 0 < call.deadline.remaining() <= 20
    assert repr(call) == f"<sync UnaryCall {ONE} OK>"


def test_the_head_is_there_before_the_reply(channel: grpc.Channel, notes: Notes) -> None:
    """What is not known yet is None; asking for it does not wait."""
    call = channel.unary_call(ONE, {"text": "wait"})
    assert call.initial_metadata()["first"] == "1"
    assert (call.status, call.trailing_metadata) == (None, None)
    notes.go.set()
    assert call.reply()["text"] == "wait"
    assert call.status is StatusCode.OK


def test_calls_are_made_before_anybody_waits_for_them(channel: grpc.Channel) -> None:
    """Many at once by one thread: each of these is answered when all have come."""
    calls = [channel.unary_call(ONE, {"n": n, "text": "together"}) for n in range(MANY)]
    assert [call.reply()["n"] for call in calls] == list(range(MANY))


def test_a_call_that_failed_tells_so_each_time(channel: grpc.Channel) -> None:
    """To each thread that asks; the call itself has what the error has."""
    call = channel.unary_call(ONE, {"text": "fail"})
    with ThreadPoolExecutor(4) as threads:
        errors = [running.exception(20) for running in [threads.submit(call.reply) for _ in range(8)]]
    assert {type(error) for error in errors} == {RpcError}
    with pytest.raises(RpcError, match="it failed") as failed:
        call.reply()
    assert failed.value.code is call.status is StatusCode.FAILED_PRECONDITION
    assert call.message == "it failed"
    assert call.trailing_metadata is not None
    assert call.trailing_metadata["last"] == "z"


def test_any_thread_may_wait_and_any_other_cancel(channel: grpc.Channel, notes: Notes) -> None:
    """Whoever waits gets CANCELLED, and the server sees the call end."""
    call = channel.unary_call(ONE, {"text": "wait"})
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(call.reply) for _ in range(3)]
        assert notes.began.acquire(timeout=20)
        call.cancel()
        codes = {getattr(each.exception(20), "code", None) for each in waiting}
    assert codes == {StatusCode.CANCELLED}
    assert notes.ended.wait(20)
    assert call.status is StatusCode.CANCELLED
    call.cancel()
    assert channel.stats.active == 0


def test_a_call_that_is_cancelled_at_once_never_leaves(channel: grpc.Channel) -> None:
    """However the two meet in the loop, the outcome is CANCELLED."""
    for _ in range(50):
        call = channel.unary_call(ONE, {"text": "wait"})
        call.cancel()
        with pytest.raises(RpcError) as failed:
            call.reply()
        assert failed.value.code is StatusCode.CANCELLED
    assert channel.stats.active == 0


def test_cancelling_what_has_ended_does_nothing(channel: grpc.Channel) -> None:
    """The reply stays."""
    call = channel.unary_call(ONE, {"n": 3})
    call.reply()
    call.cancel()
    assert call.reply()["n"] == 3
    assert call.status is StatusCode.OK


def test_what_is_wrong_with_the_request_is_told_by_the_reply(channel: grpc.Channel) -> None:
    """And what is wrong with the arguments at once."""
    call = channel.unary_call(ONE, {"n": "seven"})
    for _ in range(2):
        with pytest.raises(CodecError):
            call.reply()
    with pytest.raises(UsageError, match="Down"):
        channel.unary_call(f"{SERVICE}/Down", {}).reply()
    with pytest.raises(UsageError, match="timeout"):
        channel.unary_call(ONE, {}, timeout=-1)
    assert channel.stats.active == 0


def test_the_time_runs_from_when_the_call_is_made(channel: grpc.Channel, notes: Notes) -> None:
    """Not from when somebody waits for it: nobody does here until it is over."""
    call = channel.unary_call(ONE, {"text": "wait"}, timeout=0.2)
    assert notes.ended.wait(20)
    with pytest.raises(DeadlineExceeded):
        call.reply()


def test_the_time_of_a_stream_runs_while_the_loop_is_busy(channel: grpc.Channel) -> None:
    """It is the caller's, however long the loop takes to look at the call."""
    free, busy = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        free.wait(20)

    current().post(hold)
    try:
        assert busy.wait(20)
        calls = (
            channel.server_stream(f"{SERVICE}/Down", {"n": 1}, timeout=0.1),
            channel.client_stream(f"{SERVICE}/Up", timeout=0.1),
            channel.bidi_stream(f"{SERVICE}/BothWays", timeout=0.1),
        )
        for call in calls:
            assert call.deadline is not None
            while call.deadline.remaining() > 0:
                threading.Event().wait(0.01)
    finally:
        free.set()
    for call in calls:
        with pytest.raises(DeadlineExceeded), call:
            pass


def test_calls_whose_reply_nobody_wants_leave_nothing(
    channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a call in the books nor a word in the log, whether they succeed or fail."""
    for text in ("", "fail", "together"):
        channel.unary_call(ONE, {"text": text}, timeout=0.5)
    while channel.stats.active or channel.stats.started < 3:
        threading.Event().wait(0.01)
    gc.collect()
    assert channel.unary(ONE, {"n": 1})["n"] == 1
    assert caplog.text == ""


def test_calls_end_with_their_channel(address: str, notes: Notes) -> None:
    """Closing it cancels them; on a closed one, none is made."""
    with grpc.connect(address, schema=note_schema()) as channel:
        call = channel.unary_call(ONE, {"text": "wait"})
        assert notes.began.acquire(timeout=20)
    with pytest.raises(RpcError) as failed:
        call.reply()
    assert failed.value.code is StatusCode.CANCELLED
    with pytest.raises(ClosedError):
        channel.unary_call(ONE, {}).reply()


def test_an_interrupt_cancels_the_call_that_is_waited_for(channel: grpc.Channel, notes: Notes) -> None:
    """On the server, too; afterwards it is as any cancelled call."""

    def handler(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        call = channel.unary_call(ONE, {"text": "wait"})
        assert notes.began.acquire(timeout=20)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupt):
            call.reply()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert notes.ended.wait(20)
    with pytest.raises(RpcError) as failed:
        call.reply()
    assert failed.value.code is StatusCode.CANCELLED


def test_in_an_event_loop_it_is_refused(channel: grpc.Channel) -> None:
    """Before anything is made; the error names what to await there."""

    async def inside() -> None:
        channel.unary_call(ONE, {})

    with pytest.raises(UsageError, match=r"await .* wirelane\.grpc\.Channel\.unary"):
        asyncio.run(inside())
    assert channel.stats.started == 0


def test_a_call_of_the_parent_says_so_in_a_child(address: str) -> None:
    """Also one that was answered; the parent goes on."""
    script = f"""
        import os, sys
        from support.client_support import note_schema
        from wirelane.errors import UsageError
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        answered = channel.unary_call("{ONE}", {{"n": 1}})
        answered.reply()
        open = channel.unary_call("{ONE}", {{"n": 2}})
        child = os.fork()
        if child == 0:
            for call in (answered, open):
                try:
                    call.reply()
                except UsageError as error:
                    print(error, flush=True)
            print(channel.unary_call("{ONE}", {{"n": 3}}).reply()["n"], flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(open.reply()["n"], answered.reply()["n"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), address],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"},
    )
    parents = "this UnaryCall was opened before os.fork(), by the parent: open another one here"
    assert (done.stdout.splitlines(), done.stderr) == ([parents, parents, "3", "2 1"], "")


def test_a_script_that_ends_in_the_middle_of_calls_ends_by_itself(address: str) -> None:
    """At once, and without a word."""
    script = f"""
        import sys
        from support.client_support import note_schema
        from wirelane.sync import grpc
        channel = grpc.connect(sys.argv[1], schema=note_schema())
        calls = [channel.unary_call("{ONE}", {{"text": "wait"}}) for _ in range(3)]
        print(calls[0].initial_metadata()["first"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), address],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
