"""Keepalive and the age of connections of a server, with clients of grpcio and clients that are stopped. Our client is in tests/twins.

A stopped process (SIGSTOP) is a machine that has vanished: its kernel still acknowledges what arrives, and nobody reads it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc as grpcio
import pytest

from support.server_support import (
    DEMO_SERVICE,
    Trail,
    demo_server,
    grpcio_client,
    listening,
    until,
)
from wirelane import grpc
from wirelane.core import keepalive as settings
from wirelane.errors import UsageError

if TYPE_CHECKING:
    pass


GRPCIO_CALLER = """
import sys
import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    call = channel.unary_unary(sys.argv[2])
    print(call(b""))
"""


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings be as short as a test needs them."""
    monkeypatch.setattr(settings, "LEAST_CLIENT_TIME", 0.0)
    monkeypatch.setattr(settings, "LEAST_SERVER_TIME", 0.0)


@asynccontextmanager
async def python(source: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program that may be stopped; it is killed in the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def test_handlers_of_a_client_that_stopped_are_cancelled() -> None:
    """A server's own keepalive frees what a vanished client holds."""
    trail = Trail()
    server = demo_server(options=grpc.ServerOptions(keepalive_time=0.2, keepalive_timeout=0.2))

    @server.method("Demo/One")
    async def one(request: object) -> None:
        trail.mark("started")
        try:
            await asyncio.Event().wait()
        finally:
            trail.mark("cancelled")

    async with listening(server) as at:
        async with python(GRPCIO_CALLER, f"127.0.0.1:{at.port}", f"/{DEMO_SERVICE}/One") as process:
            await trail.reached("started")
            process.send_signal(signal.SIGSTOP)
            await trail.reached("cancelled")
            await until(lambda: server.connections == 0)


async def test_a_grpcio_client_that_pings_too_often_is_told_so() -> None:
    """It understands our GOAWAY, and says to its user what it was."""
    server = demo_server()

    @server.method("Demo/One")
    async def one(request: object) -> None:
        await asyncio.Event().wait()

    eager = (("grpc.keepalive_time_ms", 20), ("grpc.http2.max_pings_without_data", 0))
    async with listening(server) as at, grpcio_client(at, options=eager) as client:
        with pytest.raises(grpcio.aio.AioRpcError) as caught:
            await client.unary_unary("One")({}, timeout=30)
        assert caught.value.code() is grpcio.StatusCode.UNAVAILABLE
        assert "too_many_pings" in str(caught.value.details()).lower().replace(" ", "_")


async def test_connections_that_grow_old_fail_no_call_of_grpcio() -> None:
    """Eight callers, connections of 50 ms, and calls that are under way whenever one ends."""
    peers: set[str] = set()
    server = demo_server(options=grpc.ServerOptions(max_connection_age=0.05))

    @server.method("Demo/One")
    async def one(request: dict[str, int], context: grpc.Context) -> dict[str, int]:
        peers.add(str(context.peer))
        await asyncio.sleep(0.001 * request["n"])  # the work of a call
        return {"n": request["n"]}

    async with listening(server) as at, grpcio_client(at) as client:
        method = client.unary_unary("One")

        async def caller(number: int) -> int:
            calls = 0
            while len(peers) < 6:
                assert (await method({"n": number}))["n"] == number
                calls += 1
            return calls

        done = await asyncio.gather(*map(caller, range(8)))
        assert min(done) > 0
        assert server.calls == 0


def test_options_of_a_server_must_be_server_options() -> None:
    """A channel's are others."""
    with pytest.raises(UsageError, match="ServerOptions"):
        demo_server(options=grpc.ChannelOptions())
