"""A server's life where tasks are cancelled and signals come: all else of it is in tests/twins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

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
from wirelane.errors import ClosedError, UsageError
from wirelane.grpc.server import ServerState


def slow_server(trail, **options):
    """Return a server whose One waits for the event `release` of the trail."""
    server = demo_server(**options)

    @server.method("Demo/One")
    async def one(request):
        trail.mark("started")
        try:
            await trail.reached("release", seconds=60)
        except asyncio.CancelledError:
            trail.mark("cancelled")
            raise
        return {"n": 7}

    return server


async def test_cancelled_drain_aborts_and_stays_cancelled():
    trail = Trail()
    server = slow_server(trail)
    async with listening(server) as at, grpcio_client(at) as client:
        call = client.unary_unary("One")({})
        await trail.reached("started")
        drain = asyncio.create_task(server.drain(3600))
        await until(lambda: server.state is ServerState.DRAINING)
        drain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drain
        assert (server.calls, server.connections) == (0, 0)
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_handler_that_goes_on_after_its_cancellation_is_named_and_left_behind(caplog):
    trail = Trail()
    server = demo_server(limits=Limits(close_timeout=0.05))

    @server.method("Demo/One")
    async def one(request):
        trail.mark("started")
        while "release" not in trail:
            with contextlib.suppress(asyncio.CancelledError):
                await trail.reached("release", seconds=60)
        trail.mark("finished")

    at = await server.listen("127.0.0.1:0")
    async with raw_client(at) as connection:
        stream = await raw_call(connection, "One")
        await stream.send(b"", end=True)
        await trail.reached("started")
        await server.drain(0)
        assert (await ended(stream))[0] == "UNAVAILABLE"
        await server.drain()  # neither waits nor tells again
    assert len([record for record in caplog.records if "Demo/One" in record.getMessage()]) == 1
    trail.mark("release")
    await trail.reached("finished")
    await until(lambda: server.calls == 0)


async def test_handler_cannot_await_the_drain_that_waits_for_it_but_may_start_it():
    server = demo_server()
    drains = []

    @server.method("Demo/One")
    async def one(request):
        with pytest.raises(UsageError, match="create_task"):
            await server.drain()
        drains.append(asyncio.create_task(server.drain()))
        return {"n": 1}

    async with listening(server) as at, grpcio_client(at) as client:
        assert (await client.unary_unary("One")({}))["n"] == 1
        await drains[0]
        assert server.state is ServerState.CLOSED


async def test_server_stopped_while_it_starts_is_closed():
    server = demo_server()
    start = asyncio.create_task(_start(server))
    await asyncio.sleep(0)
    server.abort()
    with pytest.raises(ClosedError):
        await start
    assert (server.state, server.connections) == (ServerState.CLOSED, 0)


async def _start(server):
    await server.listen("localhost:0")  # a name is looked up in a thread


# -- serve ------------------------------------------------------------------------------------------------------


async def serving(server, trail):
    """Start `serve` in a task; return it with the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    task = asyncio.create_task(server.serve(f"127.0.0.1:{port}", grace=3600))
    await until(lambda: server.state is ServerState.SERVING or task.done())
    return task, f"127.0.0.1:{port}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_drains_and_returns_on_a_signal(number):
    trail = Trail()
    server = slow_server(trail)
    before = signal.getsignal(number)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        os.kill(os.getpid(), number)
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call)["n"] == 7
        await task
    assert signal.getsignal(number) is before


async def test_second_signal_stops_at_once():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: server.state is ServerState.DRAINING)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
        await trail.reached("cancelled")
        with pytest.raises(grpcio.aio.AioRpcError):
            await call


async def test_cancelled_serve_drains_and_stays_cancelled():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        task.cancel()
        await until(lambda: server.state is ServerState.DRAINING)
        trail.mark("release")
        assert (await call)["n"] == 7
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (server.calls, server.connections) == (0, 0)


async def test_serve_cancelled_twice_aborts():
    trail = Trail()
    server = slow_server(trail)
    task, target = await serving(server, trail)
    async with grpcio_client(target) as client:
        call = client.unary_unary("One")({}, wait_for_ready=True)
        await trail.reached("started")
        task.cancel()
        await until(lambda: server.state is ServerState.DRAINING)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (server.calls, server.connections) == (0, 0)
        with pytest.raises(grpcio.aio.AioRpcError):
            await call
