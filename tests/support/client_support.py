"""What the tests of the client share: a schema, a grpcio server on it, raw servers, and ways to look at the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc as grpcio

from support.wire_support import RawPeer
from wirelane import TlsConfig, grpc
from wirelane.codec import Schema
from wirelane.core.limits import Limits
from wirelane.core.target import Address, HostPort
from wirelane.transport.base import CallEnded, ServerStream
from wirelane.transport.server import serve

PROTO = """
syntax = "proto3";
package wirelane.tests.client;

message Note { int32 n = 1; string text = 2; bytes data = 3; }

// All four kinds.
service Calls {
  // Answers with the request.
  rpc One(Note) returns (Note);
  rpc Down(Note) returns (stream Note);
  rpc Up(stream Note) returns (Note);
  rpc BothWays(stream Note) returns (stream Note);
}
"""
_GRPCIO_TASKS = ("rpc_task", "HandleExceptions")
SERVICE = "wirelane.tests.client.Calls"
NOTE = "wirelane.tests.client.Note"
ANYWHERE = HostPort("127.0.0.1", 0)

ONE = grpc.Method("test.Echo/Call", grpc.Cardinality.UNARY, bytes, bytes)
DOWN = grpc.Method("test.Echo/Down", grpc.Cardinality.SERVER_STREAM, bytes, bytes)
UP = grpc.Method("test.Echo/Up", grpc.Cardinality.CLIENT_STREAM, bytes, bytes)
BOTH = grpc.Method("test.Echo/Both", grpc.Cardinality.BIDI_STREAM, bytes, bytes)
"""Methods with bytes for messages, for servers that look at single calls."""


def note_schema() -> Schema:
    return Schema.load(PROTO)


class Notes:
    """The Calls service as grpcio handlers that speak dicts; methods may be replaced.

    Attributes:
        ended: A call is over for the server; one that hangs is so only when it is cancelled.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.metadata: dict[str, Any] = {}
        self.timeouts: list[float | None] = []

    def _note(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        self.timeouts.append(context.time_remaining())
        # Not by CancelledError: to a handler that reads, grpcio may also show a reset as the end of the requests.
        context.add_done_callback(lambda _: self.ended.set())

    async def one(self, request: dict[str, Any], context: Any) -> dict[str, Any]:
        self._note(context)
        if request["text"] == "fail":
            context.set_trailing_metadata((("why", "because"), ("raw-bin", b"\x00\xff")))
            await context.abort(grpcio.StatusCode.FAILED_PRECONDITION, "it failed, käse")
        if request["text"] == "hang":
            await asyncio.Event().wait()
        await context.send_initial_metadata((("first", "1"), ("first", "2")))
        context.set_trailing_metadata((("last", "z"),))
        return request

    async def down(self, request: dict[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        self._note(context)
        for number in range(request["n"]):
            yield {"n": number, "text": request["text"]}
        if request["text"] == "hang":
            await asyncio.Event().wait()
        if request["text"] == "fail":
            await context.abort(grpcio.StatusCode.DATA_LOSS, "it broke")

    async def up(self, requests: AsyncIterator[dict[str, Any]], context: Any) -> dict[str, Any]:
        self._note(context)
        count = 0
        async for request in requests:
            count += 1
            if request["text"] == "enough":
                break
            if request["text"] == "fail":
                await context.abort(grpcio.StatusCode.INVALID_ARGUMENT, "not this one")
        return {"n": count}

    async def both(
        self, requests: AsyncIterator[dict[str, Any]], context: Any
    ) -> AsyncIterator[dict[str, Any]]:
        self._note(context)
        async for request in requests:
            if request["text"] == "stop":
                return
            if request["text"] == "fail":
                await context.abort(grpcio.StatusCode.ABORTED, "enough")
            yield request


@asynccontextmanager
async def grpcio_server(
    notes: Notes | None = None, *, port: int = 0, handlers: tuple[Any, ...] = (), **options: Any
) -> AsyncIterator[int]:
    """Run grpcio's asyncio server on a free port, and give the port."""
    notes = notes or Notes()
    codec = note_schema().codec(NOTE)
    kinds: dict[str, tuple[Any, Any]] = {
        "One": (grpcio.unary_unary_rpc_method_handler, notes.one),
        "Down": (grpcio.unary_stream_rpc_method_handler, notes.down),
        "Up": (grpcio.stream_unary_rpc_method_handler, notes.up),
        "BothWays": (grpcio.stream_stream_rpc_method_handler, notes.both),
    }
    table = {name: make(method, codec.decode, codec.encode) for name, (make, method) in kinds.items()}
    server = grpcio.aio.server(options=(("grpc.so_reuseport", 0), *options.pop("settings", ())), **options)
    server.add_generic_rpc_handlers((grpcio.method_handlers_generic_handler(SERVICE, table), *handlers))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    before = asyncio.all_tasks()
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
        # stop() does not wait for the handlers of calls that a client reset.
        left = [task for task in asyncio.all_tasks() - before if task.get_name().startswith(_GRPCIO_TASKS)]
        if left:
            await asyncio.wait(left)


@asynccontextmanager
async def notes_channel(notes: Notes | None = None, **options: Any) -> AsyncIterator[grpc.Channel]:
    """A channel to a grpcio server of the Calls service; in the end, no call may be active."""
    async with grpcio_server(notes) as port:
        async with grpc.connect(f"127.0.0.1:{port}", schema=PROTO, **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel


Handler = Callable[[ServerStream], Awaitable[None]]


@asynccontextmanager
async def wire_server(
    handler: Handler,
    *,
    limits: Limits | None = None,
    at: Address = ANYWHERE,
    tls: TlsConfig | None = None,
) -> AsyncIterator[int]:
    """Run wirelane's own transport server; the handler is the call, right or wrong, and holds it by its parts."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(stream: ServerStream) -> None:
        try:
            await handler(stream)
        except CallEnded:
            pass

    def on_call(stream: ServerStream) -> None:
        task = asyncio.ensure_future(run(stream))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

        def stop(_: ServerStream) -> None:
            task.cancel()

        stream.add_cancel_callback(stop)

    serving = await serve(at, on_call, limits=limits, tls=tls)
    try:
        yield serving.port
    finally:
        serving.close()
        for connection in list(serving.connections):
            connection.abort()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await serving.wait_closed()


@asynccontextmanager
async def wire_channel(
    handler: Handler, *, server_limits: Limits | None = None, **options: Any
) -> AsyncIterator[grpc.Channel]:
    """A channel to a `wire_server`; in the end, no call may be active."""
    async with wire_server(handler, limits=server_limits) as port:
        async with grpc.connect(f"127.0.0.1:{port}", **options) as channel:
            yield channel
            assert channel.stats.active == 0, channel


class RawServer:
    """A listener whose connections are raw peers, which begin with `greeting` or with empty SETTINGS."""

    def __init__(self, greeting: bytes | None = None) -> None:
        self.greeting = greeting
        self.peers: asyncio.Queue[RawPeer] = asyncio.Queue()
        self.all: list[RawPeer] = []
        self.server: asyncio.Server | None = None
        self.port = 0

    def accept(self) -> RawPeer:
        peer = RawPeer(server=True, greeting=self.greeting)
        self.all.append(peer)
        self.peers.put_nowait(peer)
        return peer


@asynccontextmanager
async def raw_server(greeting: bytes | None = None, *, port: int = 0) -> AsyncIterator[RawServer]:
    """Listen; each connection is a `RawPeer` that says what the test tells it to."""
    raw = RawServer(greeting)
    raw.server = await asyncio.get_running_loop().create_server(raw.accept, "127.0.0.1", port)
    raw.port = raw.server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        raw.server.close()
        for peer in raw.all:
            if peer.transport is not None:
                peer.transport.abort()
        await raw.server.wait_closed()


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


def free_port() -> int:
    """A port where nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
