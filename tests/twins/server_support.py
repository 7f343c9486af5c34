"""Servers of gRPC, and clients that are not ours: written once, run with asyncio and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from support import server_support
from support.grpcio_calls import grpcio_calls
from support.server_support import DEMO_SERVICE, demo_schema
from support.twins_support import Event, elsewhere, until
from wirelane import Limits, RpcError, StatusCode, grpc
from wirelane.core.deadline import Deadline
from wirelane.transport.base import RequestHead


def demo_server(**options: Any) -> grpc.Server:
    """Return a server on the Demo schema without handlers."""
    return grpc.Server(schema=demo_schema(), **options)


def answering(**handlers: Any) -> grpc.Server:
    """Return a server of the Demo service with these handlers, by the name of the method; `options` are the server's."""
    server = demo_server(**handlers.pop("options", {}))
    for name, handler in handlers.items():
        server.method(f"Demo/{name}")(handler)
    return server


@asynccontextmanager
async def listening(server: grpc.Server, *addresses: str, grace: float = 5.0) -> AsyncIterator[Any]:
    """Run a server on a free port, and check at the end that nothing of it is left."""
    async with server.listen(*(addresses or ("127.0.0.1:0",)), grace=grace) as at:
        yield at
    assert (server.calls, server.connections) == (0, 0), repr(server)


def grpcio_client(at: Any, **options: Any) -> elsewhere:
    """Connect grpcio's client, in the side loop."""
    return elsewhere(grpcio_calls, at if isinstance(at, str) else f"127.0.0.1:{at.port}", **options)


def raw_client(at: Any, limits: Limits | None = None) -> elsewhere:
    """Connect wirelane's own transport, below the client, in the side loop: for calls that no proper client would make."""
    return elsewhere(server_support.raw_client, at, limits)


async def raw_call(connection: Any, method: str, *, deadline: float | None = None, **head: Any) -> Any:
    """Open a call of Demo without a message."""
    request = RequestHead(
        path=f"/{DEMO_SERVICE}/{method}", authority="localhost", deadline=Deadline.after(deadline), **head
    )
    return await connection.open(request)


async def ended(stream: Any) -> tuple[str, str]:
    """Receive to the end; return the name of the status and its message."""
    while await stream.receive() is not None:
        pass
    assert stream.ending is not None
    return stream.ending.code.name, stream.ending.message


async def failure(call: Any) -> tuple[str, str | None]:
    """Return what a call fails with: the name of the code, and the text."""
    error = await call.error()
    return error.code().name, error.details()


async def over(context: grpc.Context) -> NoReturn:
    """Wait in a handler until nobody waits for its answer any more, and end it."""
    await until(lambda: context.cancelled)
    raise RpcError(StatusCode.CANCELLED, "nobody waits for this")


class Trail:
    """What happened in a handler, for the test to wait for: named events."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}

    def _event(self, name: str) -> Event:
        return self._events.setdefault(name, Event())

    def mark(self, name: str) -> None:
        """Say that something happened."""
        self._event(name).set()

    def __contains__(self, name: str) -> bool:
        return self._event(name).is_set()

    async def reached(self, name: str) -> None:
        """Wait until it has happened."""
        await self._event(name).wait()
