"""What ends a call from outside its handler: the client, the network, the deadline. Nothing may be left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import grpc as grpcio
import pytest

from support.server_support import (
    Trail,
    demo_server,
    ended,
    grpcio_client,
    listening,
    raw_call,
    raw_client,
    until,
)
from wirelane.core.limits import Limits
from wirelane.errors import RpcError
from wirelane.status import StatusCode
from wirelane.transport.base import CallEnded, Ending


def waiting_server(trail, **options):
    """Return a server whose handlers wait for ever, and say when they start and when they are cancelled."""
    server = demo_server(**options)

    async def wait(context):
        trail.mark("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            trail.mark("cancelled")
            if context.cancelled:
                trail.mark("context says so")
            raise

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
        call = getattr(client, kind)(name)({} if kind == "unary_unary" else iter([{}]))
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


async def test_call_cancelled_before_its_handler_ran_leaves_nothing():
    started = []
    server = demo_server()

    @server.method("Demo/Up")
    async def up(requests):
        started.append(1)
        return {"n": len([request async for request in requests])}

    async with listening(server) as at, raw_client(at) as connection:
        for _ in range(50):
            stream = await raw_call(connection, "Up")
            # HEADERS and RST_STREAM leave together: the task is made and cancelled within one turn.
            stream.cancel(Ending(StatusCode.CANCELLED, "the test had enough"))
        await until(lambda: server.calls == 0)
        stream = await raw_call(connection, "Up")
        await stream.end()
        assert await ended(stream) == ("OK", "")


async def test_handler_may_clean_up_with_awaits_when_cancelled():
    trail = Trail()
    release = asyncio.Event()
    server = demo_server()

    @server.method("Demo/One")
    async def one(request):
        try:
            trail.mark("started")
            await asyncio.Event().wait()
        finally:
            trail.mark("cleaning")
            await release.wait()
            trail.mark("clean")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        call.cancel()
        await trail.reached("cleaning")
        assert server.calls == 1
        release.set()
        await trail.reached("clean")
        await until(lambda: server.calls == 0)


async def test_handler_that_swallows_its_cancellation_and_answers_changes_nothing(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Down")
    async def down(request, context):
        trail.mark("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert context.cancelled
        yield {"n": 1}
        trail.mark("sent after the end")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_stream("Down")({})
        await trail.reached("started")
        call.cancel()
        await until(lambda: server.calls == 0)
    assert "sent after the end" not in trail
    assert not caplog.records


async def test_exception_while_a_cancelled_handler_cleans_up_is_logged(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/One")
    async def one(request):
        trail.mark("started")
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("cleaning failed")

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
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


async def test_deadline_is_over_for_the_clock_when_the_call_is():
    server = demo_server()

    @server.method("Demo/One")
    async def one(request):
        return {}

    async with listening(server) as at, grpcio_client(at) as client:
        await client.unary_unary("One")({}, timeout=5000)
        # The timer is gone with its call: the loop keeps no reference to it (that of keepalive is at 7200 s).
        loop = asyncio.get_running_loop()
        pending = [
            timer
            for timer in getattr(loop, "_scheduled", ())
            if not timer.cancelled() and 3000 < timer.when() - loop.time() < 6000
        ]
        assert pending == []


# -- flow control -----------------------------------------------------------------------------------------------


async def test_handler_that_never_reads_holds_the_client_back():
    release = asyncio.Event()
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

        sender = asyncio.create_task(send_all())
        await until(lambda: sent >= 6)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent == 6  # 65,535 bytes of window
        release.set()
        assert await ended(stream) == ("OK", "")
        with pytest.raises(CallEnded):
            await sender


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
        for _ in range(200):
            await asyncio.sleep(0)
        assert produced < 20
        received = 0
        while await stream.receive() is not None:
            received += 1
        assert received == produced == 100


async def test_rpc_error_after_a_client_reset_is_quiet(caplog):
    trail = Trail()
    server = demo_server()

    @server.method("Demo/Up")
    async def up(requests):
        trail.mark("started")
        try:
            async for _ in requests:
                pass
        except asyncio.CancelledError:
            raise RpcError(StatusCode.ABORTED, "instead") from None

    async with listening(server) as at, grpcio_client(at) as client:
        call = client.stream_unary("Up")()
        await call.write({"n": 1})
        await trail.reached("started")
        call.cancel()
        await until(lambda: server.calls == 0)
    assert not caplog.records


async def test_grpcio_client_sees_its_own_deadline():
    server = waiting_server(Trail())
    async with listening(server) as at, grpcio_client(at) as client:
        with pytest.raises(grpcio.aio.AioRpcError) as caught:
            await client.unary_unary("One")({}, timeout=0.1)
        assert caught.value.code() is grpcio.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: server.calls == 0)


async def test_handlers_that_outlive_their_calls_are_bounded_for_each_connection():
    release = asyncio.Event()
    server = demo_server(limits=Limits(max_concurrent_streams=5))

    @server.method("Demo/One")
    async def one(request):
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    @server.method("Demo/Up")
    async def up(requests):
        return {}

    async with listening(server) as at, raw_client(at) as connection, grpcio_client(at) as other:
        refused = 0
        for _ in range(30):
            calls = server.calls
            stream = await raw_call(connection, "One")
            await stream.send(b"", end=True)
            await until(lambda calls=calls, stream=stream: server.calls > calls or stream.ending)
            refused += stream.ending is not None and stream.ending.code is StatusCode.RESOURCE_EXHAUSTED
            stream.cancel(Ending(StatusCode.CANCELLED, "the test had enough"))
        assert server.calls <= 10
        assert refused >= 20
        assert await other.stream_unary("Up")(iter([])) is not None  # nobody else pays for it
        release.set()
        await until(lambda: server.calls == 0)
        stream = await raw_call(connection, "Up")
        await stream.end()
        assert await ended(stream) == ("OK", "")


async def test_a_client_that_cancels_all_its_calls_at_once_may_make_others_at_once():
    server = waiting_server(Trail(), limits=Limits(max_concurrent_streams=3))

    @server.method("Demo/Down")
    async def down(request):
        yield {"n": 1}

    async with listening(server) as at, raw_client(at) as connection:
        for _ in range(5):
            streams = [await raw_call(connection, "One") for _ in range(3)]
            for stream in streams:
                await stream.send(b"", end=True)
            await until(lambda: server.calls == 3)
            for stream in streams:
                stream.cancel(Ending(StatusCode.CANCELLED, "the test had enough"))
            # These leave in one piece with the resets of those before.
            streams = [await raw_call(connection, "Down") for _ in range(3)]
            for stream in streams:
                await stream.send(b"", end=True)
            assert [await ended(stream) for stream in streams] == [("OK", "")] * 3


SYSTEM_EXIT = """
import asyncio
from support.server_support import demo_server, ended, listening, raw_call, raw_client

server = demo_server()

@server.method("Demo/One")
async def one(request):
    raise SystemExit(3)

async def main():
    async with listening(server) as at, raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(b"", end=True)
        try:
            await asyncio.Event().wait()
        finally:
            print(*await ended(stream), flush=True)

try:
    asyncio.run(main())
finally:
    print(server.calls, server.connections)
"""


async def test_system_exit_of_a_handler_ends_the_process_after_an_answer():
    # In a process of its own: after it, parsing fails in CPython 3.11.7 ("AST constructor recursion depth mismatch").
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SYSTEM_EXIT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    out, err = await process.communicate()
    assert (process.returncode, out.decode().splitlines()) == (
        3,
        ["UNKNOWN exception in the handler", "0 0"],
    ), err
