"""Handlers as tasks, which are cancelled, and what the loop keeps of them: all else that ends a call is in tests/twins."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

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
from wirelane.transport.base import Ending


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


async def test_rpc_error_in_the_place_of_a_cancellation_is_quiet(caplog):
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


async def test_a_client_that_cancels_all_its_calls_at_once_may_make_others_at_once():
    """Where handlers end when they are told; a thread may take longer, and counts until it has."""
    server = demo_server(limits=Limits(max_concurrent_streams=3))

    @server.method("Demo/One")
    async def one(request):
        await asyncio.Event().wait()

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
