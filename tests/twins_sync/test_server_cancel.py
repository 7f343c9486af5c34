"""What ends a call from outside its handler, the client, the network, the deadline; nothing may be left behind.

Made of `tests/twins` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import grpc as grpcio
import pytest

from support import server_support
from support.twins_sync_support import Event, elsewhere, sleep, start, there, until
from twins_sync.server_support import (
    Trail,
    demo_server,
    ended,
    grpcio_client,
    listening,
    over,
    raw_call,
    raw_client,
)
from wirelane.sync import Limits, StatusCode
from wirelane.transport.base import CallEnded, Ending

HAD_ENOUGH = Ending(StatusCode.CANCELLED, "the test had enough")


def waiting_server(trail, **options):
    """Return a server whose handlers wait for ever, and say when they start and when they are cancelled."""
    server = demo_server(**options)

    def wait(context):
        trail.mark("started")
        try:
            over(context)
        finally:
            if context.cancelled:
                trail.mark("context says so")
            trail.mark("cancelled")

    @server.method("Demo/One")
    def one(request, context):
        wait(context)

    @server.method("Demo/Up")
    def up(requests, context):
        next(requests)
        wait(context)

    @server.method("Demo/Both")
    def both(requests, context):
        for _ in requests:
            yield {"n": 1}
            wait(context)

    return server


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary", "stream_stream"])
def test_client_that_cancels_cancels_the_handler_quietly(kind, caplog):
    trail = Trail()
    server = waiting_server(trail)
    with listening(server) as at, grpcio_client(at) as client:
        name = {"unary_unary": "One", "stream_unary": "Up", "stream_stream": "Both"}[kind]
        call = getattr(client, kind)(name, {} if kind == "unary_unary" else [{}])
        trail.reached("started")
        call.cancel()
        trail.reached("cancelled")
        until(lambda: server.calls == 0)
    assert "context says so" in trail
    assert not caplog.records


def test_connection_cut_in_the_middle_cancels_every_handler(caplog):
    trail = Trail()
    server = waiting_server(trail)
    with listening(server) as at, raw_client(at) as connection:
        for _ in range(3):
            stream = raw_call(connection, "One")
            stream.send(b"", end=True)
        until(lambda: server.calls == 3)
        trail.reached("started")
        connection.abort()
        trail.reached("cancelled")
        until(lambda: server.calls == 0)
    assert not caplog.records


def test_connection_cut_while_the_request_is_incomplete_leaves_nothing():
    server = waiting_server(Trail())
    with listening(server) as at, raw_client(at) as connection:
        stream = raw_call(connection, "One")
        until(lambda: server.calls == 1)
        connection.abort()
        until(lambda: server.calls == 0)
        assert (ended(stream))[0] != "OK"


@there
@asynccontextmanager
async def cancelled_at_once(connection, count):
    """Make calls whose HEADERS and RST_STREAM leave together: the handler is begun and cancelled within one turn."""
    for _ in range(count):
        stream = await server_support.raw_call(connection, "Up")
        stream.cancel(HAD_ENOUGH)
    yield


def test_call_cancelled_before_its_handler_ran_leaves_nothing():
    started = []
    server = demo_server()

    @server.method("Demo/Up")
    def up(requests):
        started.append(1)
        return {"n": len(list(requests))}

    with listening(server) as at, raw_client(at) as connection:
        with elsewhere(cancelled_at_once, connection, 50):
            pass
        until(lambda: server.calls == 0)
        stream = raw_call(connection, "Up")
        stream.end()
        assert ended(stream) == ("OK", "")


def test_handler_may_take_its_time_to_clean_up_when_cancelled():
    trail = Trail()
    server = demo_server()

    @server.method("Demo/One")
    def one(request, context):
        try:
            trail.mark("started")
            over(context)
        finally:
            trail.mark("cleaning")
            trail.reached("release")
            trail.mark("clean")

    with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        trail.reached("started")
        call.cancel()
        trail.reached("cleaning")
        assert server.calls == 1
        trail.mark("release")
        trail.reached("clean")
        until(lambda: server.calls == 0)


def test_handler_that_answers_after_the_end_changes_nothing(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Down")
    def down(request, context):
        trail.mark("started")
        try:
            over(context)
        except BaseException:
            assert context.cancelled
        yield {"n": 1}
        trail.mark("sent after the end")

    with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        trail.reached("started")
        call.cancel()
        until(lambda: server.calls == 0)
    assert "sent after the end" not in trail
    assert not caplog.records


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
def test_exception_while_a_cancelled_handler_cleans_up_is_logged(kind, caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/One")
    def one(request, context):
        trail.mark("started")
        try:
            over(context)
        finally:
            raise ValueError("cleaning failed")

    @server.method("Demo/Down")
    def down(request, context):
        yield {"n": 1}
        trail.mark("started")
        try:
            over(context)
        finally:
            raise ValueError("cleaning failed")

    with listening(server) as at, grpcio_client(at) as client:
        call = getattr(client, kind)({"unary_unary": "One", "unary_stream": "Down"}[kind], {})
        trail.reached("started")
        call.cancel()
        until(lambda: server.calls == 0)
    assert len(caplog.records) == 1


# -- deadlines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["One", "Up", "Both"])
def test_deadline_cancels_the_handler_and_answers_deadline_exceeded(method, caplog):
    trail = Trail()
    server = waiting_server(trail)
    with listening(server) as at, raw_client(at) as connection:
        stream = raw_call(connection, method, deadline=0.2)
        stream.send(b"", end=method == "One")
        assert (ended(stream))[0] == "DEADLINE_EXCEEDED"
        trail.reached("cancelled")
        assert "context says so" in trail
        until(lambda: server.calls == 0)
    assert not caplog.records


def test_deadline_passes_while_the_request_does_not_come():
    server = waiting_server(Trail())
    with listening(server) as at, raw_client(at) as connection:
        stream = raw_call(connection, "One", deadline=0.05)
        assert (ended(stream))[0] == "DEADLINE_EXCEEDED"
        until(lambda: server.calls == 0)


def test_call_that_arrives_after_its_deadline_runs_no_handler():
    trail = Trail()
    server = waiting_server(trail)
    with listening(server) as at, raw_client(at) as connection:
        stream = raw_call(connection, "One", deadline=0.0)
        assert (ended(stream))[0] == "DEADLINE_EXCEEDED"
    assert "started" not in trail


def test_deadline_while_sending_to_a_client_that_does_not_read():
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Down")
    def down(request):
        trail.mark("started")
        try:
            while True:
                yield {"data": bytes(50_000)}
        finally:
            trail.mark("closed")

    limits = Limits(initial_window=60_000, connection_window=65_535)
    with listening(server) as at, raw_client(at, limits) as connection:
        stream = raw_call(connection, "Down", deadline=0.3)
        stream.send(b"", end=True)
        trail.reached("started")
        trail.reached("closed")
        until(lambda: server.calls == 0)
        # The call did not wait for a reader to be over on the wire either.
        until(lambda: stream.ending is not None)
        assert stream.ending.code in (StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED)


# -- flow control -----------------------------------------------------------------------------------------------


def test_handler_that_never_reads_holds_the_client_back():
    release = Event()
    server = demo_server(limits=Limits(initial_window=65_535))
    sent = 0

    @server.method("Demo/Up")
    def up(requests):
        release.wait()
        return {"n": 7}

    with listening(server) as at, raw_client(at) as connection:
        stream = raw_call(connection, "Up")

        def send_all():
            nonlocal sent
            while True:
                stream.send(bytes(10_000))
                sent += 1

        sender = start(send_all)
        until(lambda: sent >= 6)
        sleep(0.05)
        assert sent == 6  # 65,535 bytes of window
        release.set()
        assert ended(stream) == ("OK", "")
        with pytest.raises(CallEnded):
            sender.result()


def test_slow_reader_holds_the_handler_back():
    produced = 0
    server = demo_server()

    @server.method("Demo/Down")
    def down(request):
        nonlocal produced
        for _ in range(100):
            produced += 1
            yield {"data": bytes(10_000)}

    limits = Limits(initial_window=65_535, connection_window=65_535)
    with listening(server) as at, raw_client(at, limits) as connection:
        stream = raw_call(connection, "Down")
        stream.send(b"", end=True)
        until(lambda: produced >= 6)
        sleep(0.05)
        assert produced < 20
        received = 0
        while stream.receive() is not None:
            received += 1
        assert received == produced == 100


def test_rpc_error_after_a_client_reset_is_quiet(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Up")
    def up(requests, context):
        trail.mark("started")
        try:
            for _ in requests:
                pass
        finally:
            context.abort(StatusCode.ABORTED, "instead")

    with listening(server) as at, grpcio_client(at) as client:
        call = client.stream_unary("Up")
        call.write({"n": 1})
        trail.reached("started")
        call.cancel()
        until(lambda: server.calls == 0)
    assert not caplog.records


def test_grpcio_client_sees_its_own_deadline():
    server = waiting_server(Trail())
    with listening(server) as at, grpcio_client(at) as client:
        error = client.unary_unary("One", {}, timeout=0.1).error()
        assert error.code() is grpcio.StatusCode.DEADLINE_EXCEEDED
        until(lambda: server.calls == 0)


def test_handlers_that_outlive_their_calls_are_bounded_for_each_connection():
    release = Event()
    begun = []
    server = demo_server(limits=Limits(max_concurrent_streams=5))

    @server.method("Demo/One")
    def one(request, context):
        begun.append(context)
        try:
            over(context)
        finally:
            release.wait()

    @server.method("Demo/Up")
    def up(requests):
        return {}

    with listening(server) as at, raw_client(at) as connection, grpcio_client(at) as other:
        refused = 0
        for _ in range(30):
            before = len(begun)
            stream = raw_call(connection, "One")
            with suppress(CallEnded):  # the refusal is here already
                stream.send(b"", end=True)
            until(lambda before=before, stream=stream: len(begun) > before or stream.ending)
            refused += stream.ending is not None and stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
            stream.cancel(HAD_ENOUGH)
        assert server.calls <= 10
        assert refused >= 20
        assert other.stream_unary("Up", []).reply() is not None  # nobody else pays for it
        release.set()
        until(lambda: server.calls == 0)
        stream = raw_call(connection, "Up")
        stream.end()
        assert ended(stream) == ("OK", "")
