"""What ends a call from outside its handler, the client, the network, the deadline; nothing may be left behind: written once, run with asyncio and without."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import grpc as grpcio
import pytest

from support import server_support
from support.twins_support import Event, elsewhere, sleep, start, there, until
from twins.server_support import (
    Trail,
    demo_server,
    ended,
    grpcio_client,
    listening,
    over,
    raw_call,
    raw_client,
)
from wirelane import Limits, StatusCode
from wirelane.transport.base import CallEnded, Ending

HAD_ENOUGH = Ending(StatusCode.CANCELLED, "the test had enough")


def waiting_server(trail, **options):
    """Return a server whose handlers wait for ever, and say when they start and when they are cancelled."""
    server = demo_server(**options)

    async def wait(context):
        trail.mark("started")
        try:
            await over(context)
        finally:
            if context.cancelled:
                trail.mark("context says so")
            trail.mark("cancelled")

    @server.method("Demo/One")
    async def one(request, context):
        await wait(context)

    @server.method("Demo/Up")
    async def up(requests, context):
        await anext(requests)
        await wait(context)

    @server.method("Demo/Both")
    async def both(requests, context):
        async for _ in requests:
            yield {"n": 1}
            await wait(context)

    return server


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary", "stream_stream"])
async def test_client_that_cancels_cancels_the_handler_quietly(kind, caplog):
    trail = Trail()
    server = waiting_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        name = {"unary_unary": "One", "stream_unary": "Up", "stream_stream": "Both"}[kind]
        call = getattr(client, kind)(name, {} if kind == "unary_unary" else [{}])
        await trail.reached("started")
        call.cancel()
        await trail.reached("cancelled")
        await until(lambda: server.calls == 0)
    assert "context says so" in trail
    assert not caplog.records


async def test_connection_cut_in_the_middle_cancels_every_handler(caplog):
    trail = Trail()
    server = waiting_server(trail)
    async with listening(server) as at, raw_client(at) as connection:
        for _ in range(3):
            stream = await raw_call(connection, "One")
            await stream.send(b"", end=True)
        await until(lambda: server.calls == 3)
        await trail.reached("started")
        connection.abort()
        await trail.reached("cancelled")
        await until(lambda: server.calls == 0)
    assert not caplog.records


async def test_connection_cut_while_the_request_is_incomplete_leaves_nothing():
    server = waiting_server(Trail())
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await until(lambda: server.calls == 1)
        connection.abort()
        await until(lambda: server.calls == 0)
        assert (await ended(stream))[0] != "OK"


@there
@asynccontextmanager
async def cancelled_at_once(connection, count):
    """Make calls whose HEADERS and RST_STREAM leave together: the handler is begun and cancelled within one turn."""
    for _ in range(count):
        stream = await server_support.raw_call(connection, "Up")
        stream.cancel(HAD_ENOUGH)
    yield


async def test_call_cancelled_before_its_handler_ran_leaves_nothing():
    started = []
    server = demo_server()

    @server.method("Demo/Up")
    async def up(requests):
        started.append(1)
        return {"n": len([request async for request in requests])}

    async with listening(server) as at, raw_client(at) as connection:
        async with elsewhere(cancelled_at_once, connection, 50):
            pass
        await until(lambda: server.calls == 0)
        stream = await raw_call(connection, "Up")
        await stream.end()
        assert await ended(stream) == ("OK", "")


async def test_handler_may_take_its_time_to_clean_up_when_cancelled():
    trail = Trail()
    server = demo_server()

    @server.method("Demo/One")
    async def one(request, context):
        try:
            trail.mark("started")
            await over(context)
        finally:
            trail.mark("cleaning")
            await trail.reached("release")
            trail.mark("clean")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One", {})
        await trail.reached("started")
        call.cancel()
        await trail.reached("cleaning")
        assert server.calls == 1
        trail.mark("release")
        await trail.reached("clean")
        await until(lambda: server.calls == 0)


async def test_handler_that_answers_after_the_end_changes_nothing(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Down")
    async def down(request, context):
        trail.mark("started")
        try:
            await over(context)
        except BaseException:
            assert context.cancelled
        yield {"n": 1}
        trail.mark("sent after the end")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down", {})
        await trail.reached("started")
        call.cancel()
        await until(lambda: server.calls == 0)
    assert "sent after the end" not in trail
    assert not caplog.records


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_exception_while_a_cancelled_handler_cleans_up_is_logged(kind, caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/One")
    async def one(request, context):
        trail.mark("started")
        try:
            await over(context)
        finally:
            raise ValueError("cleaning failed")

    @server.method("Demo/Down")
    async def down(request, context):
        yield {"n": 1}
        trail.mark("started")
        try:
            await over(context)
        finally:
            raise ValueError("cleaning failed")

    async with listening(server) as at, grpcio_client(at) as client:
        call = getattr(client, kind)({"unary_unary": "One", "unary_stream": "Down"}[kind], {})
        await trail.reached("started")
        call.cancel()
        await until(lambda: server.calls == 0)
    assert len(caplog.records) == 1


# -- deadlines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["One", "Up", "Both"])
async def test_deadline_cancels_the_handler_and_answers_deadline_exceeded(method, caplog):
    trail = Trail()
    server = waiting_server(trail)
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, method, deadline=0.2)
        await stream.send(b"", end=method == "One")
        assert (await ended(stream))[0] == "DEADLINE_EXCEEDED"
        await trail.reached("cancelled")
        assert "context says so" in trail
        await until(lambda: server.calls == 0)
    assert not caplog.records


async def test_deadline_passes_while_the_request_does_not_come():
    server = waiting_server(Trail())
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One", deadline=0.05)
        assert (await ended(stream))[0] == "DEADLINE_EXCEEDED"
        await until(lambda: server.calls == 0)


async def test_call_that_arrives_after_its_deadline_runs_no_handler():
    trail = Trail()
    server = waiting_server(trail)
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One", deadline=0.0)
        assert (await ended(stream))[0] == "DEADLINE_EXCEEDED"
    assert "started" not in trail


async def test_deadline_while_sending_to_a_client_that_does_not_read():
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Down")
    async def down(request):
        trail.mark("started")
        try:
            while True:
                yield {"data": bytes(50_000)}
        finally:
            trail.mark("closed")

    limits = Limits(initial_window=60_000, connection_window=65_535)
    async with listening(server) as at, raw_client(at, limits) as connection:
        stream = await raw_call(connection, "Down", deadline=0.3)
        await stream.send(b"", end=True)
        await trail.reached("started")
        await trail.reached("closed")
        await until(lambda: server.calls == 0)
        # The call did not wait for a reader to be over on the wire either.
        await until(lambda: stream.ending is not None)
        assert stream.ending.code in (StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED)


# -- flow control -----------------------------------------------------------------------------------------------


async def test_handler_that_never_reads_holds_the_client_back():
    release = Event()
    server = demo_server(limits=Limits(initial_window=65_535))
    sent = 0

    @server.method("Demo/Up")
    async def up(requests):
        await release.wait()
        return {"n": 7}

    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "Up")

        async def send_all():
            nonlocal sent
            while True:
                await stream.send(bytes(10_000))
                sent += 1

        sender = start(send_all)
        await until(lambda: sent >= 6)
        await sleep(0.05)
        assert sent == 6  # 65,535 bytes of window
        release.set()
        assert await ended(stream) == ("OK", "")
        with pytest.raises(CallEnded):
            await sender.result()


async def test_slow_reader_holds_the_handler_back():
    produced = 0
    server = demo_server()

    @server.method("Demo/Down")
    async def down(request):
        nonlocal produced
        for _ in range(100):
            produced += 1
            yield {"data": bytes(10_000)}

    limits = Limits(initial_window=65_535, connection_window=65_535)
    async with listening(server) as at, raw_client(at, limits) as connection:
        stream = await raw_call(connection, "Down")
        await stream.send(b"", end=True)
        await until(lambda: produced >= 6)
        await sleep(0.05)
        assert produced < 20
        received = 0
        while await stream.receive() is not None:
            received += 1
        assert received == produced == 100


async def test_rpc_error_after_a_client_reset_is_quiet(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Up")
    async def up(requests, context):
        trail.mark("started")
        try:
            async for _ in requests:
                pass
        finally:
            context.abort(StatusCode.ABORTED, "instead")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.stream_unary("Up")
        await call.write({"n": 1})
        await trail.reached("started")
        call.cancel()
        await until(lambda: server.calls == 0)
    assert not caplog.records


async def test_grpcio_client_sees_its_own_deadline():
    server = waiting_server(Trail())
    async with listening(server) as at, grpcio_client(at) as client:
        error = await client.unary_unary("One", {}, timeout=0.1).error()
        assert error.code() is grpcio.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: server.calls == 0)


async def test_handlers_that_outlive_their_calls_are_bounded_for_each_connection():
    release = Event()
    begun = []
    server = demo_server(limits=Limits(max_concurrent_streams=5))

    @server.method("Demo/One")
    async def one(request, context):
        begun.append(context)
        try:
            await over(context)
        finally:
            await release.wait()

    @server.method("Demo/Up")
    async def up(requests):
        return {}

    async with listening(server) as at, raw_client(at) as connection, grpcio_client(at) as other:
        refused = 0
        for _ in range(30):
            before = len(begun)
            stream = await raw_call(connection, "One")
            with suppress(CallEnded):  # the refusal is here already
                await stream.send(b"", end=True)
            await until(lambda before=before, stream=stream: len(begun) > before or stream.ending)
            refused += stream.ending is not None and stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
            stream.cancel(HAD_ENOUGH)
        assert server.calls <= 10
        assert refused >= 20
        assert await other.stream_unary("Up", []).reply() is not None  # nobody else pays for it
        release.set()
        await until(lambda: server.calls == 0)
        stream = await raw_call(connection, "Up")
        await stream.end()
        assert await ended(stream) == ("OK", "")
