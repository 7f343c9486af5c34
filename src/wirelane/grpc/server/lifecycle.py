"""The life of a running server: it listens, takes calls, drains, and is gone.

Contract: one `Listening` owns everything that runs: the listening sockets, their connections, the calls and the tasks
of their handlers. `drain` and leaving `async with` return when all of it has ended; the only exception is a handler
that goes on although it was cancelled, which is named in the log and left behind after `close_timeout`.

    IDLE --start--> SERVING --drain--> DRAINING --> CLOSED
                       `------------abort------------^
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from wirelane.core.sampling import Sampler
from wirelane.core.target import HostPort, UnixPath, first_port, parse_listen
from wirelane.errors import ClosedError, UsageError
from wirelane.grpc.server.handler import Call
from wirelane.grpc.server.stats import ServerStats
from wirelane.net.admission import Admission
from wirelane.status import StatusCode
from wirelane.transport.server import serve

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from wirelane.core.keepalive import ServerOptions
    from wirelane.core.limits import Limits
    from wirelane.core.target import Address
    from wirelane.grpc.server.router import Router
    from wirelane.grpc.services.health import Health
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import Trace
    from wirelane.transport.base import ServerConnection, ServerStream
    from wirelane.transport.serving import Serving

__all__ = ["HandlerThreads", "Listening", "ServerState", "counts"]

logger = logging.getLogger("wirelane.grpc.server")

_SHUTTING_DOWN = "the server is shutting down"


class ServerState(enum.Enum):
    """Where a server is in its life."""

    IDLE = "IDLE"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


class HandlerThreads(Protocol):
    """What runs handlers that block: their calls end when their threads have ended."""

    def leave(self) -> None:
        """Let the calls that are cancelled end before that."""
        ...


class Listening:
    """A server that listens: `async with server.listen(address) as listening`, or `await` it and `drain` later.

    Leaving the block drains; leaving it with an exception ends the calls in flight at once.
    """

    def __init__(
        self,
        addresses: Sequence[Address | str],
        router: Router,
        *,
        tls: TlsConfig | ssl.SSLContext | None,
        limits: Limits,
        compression: str | None,
        health: Health | None,
        options: ServerOptions,
        grace: float | None,
        reuse_port: bool,
        trace: Trace | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        if not addresses:
            raise UsageError('listen() needs an address, such as "127.0.0.1:50051"')
        self.calls: set[Call] = set()
        self.lingering: Counter[int] = Counter()
        self.log_sampler = Sampler(limits.log_burst)
        self.limits = limits
        self.compression = compression
        self._state = ServerState.IDLE
        self._asked = tuple(a if isinstance(a, HostPort | UnixPath) else parse_listen(a) for a in addresses)
        self._router = router
        self._routes = router.routes
        self._tls = tls
        self._health = health
        self._options = options
        self._reuse_port = reuse_port
        self._trace = trace
        # Work that has to be done first and blocks: compiling a schema.
        self._prepare = prepare
        self._grace = limits.drain_grace if grace is None else grace
        self._threads: HandlerThreads | None = None
        self._left_behind: set[Call] = set()
        self._servings: list[Serving] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> ServerState:
        """Whether it serves, drains, or is closed."""
        return self._state

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses, with the ports that the system chose."""
        return tuple(serving.address for serving in self._servings) or self._asked

    @property
    def address(self) -> Address:
        """The first address."""
        return self.addresses[0]

    @property
    def port(self) -> int:
        """The port of the first address that has one. Raises UsageError if none has (Unix sockets only)."""
        return first_port(self.addresses)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return sum(len(serving.connections) for serving in self._servings)

    @property
    def stats(self) -> ServerStats:
        """Counts since it listens."""
        refusals: Counter[str] = Counter()
        for serving in self._servings:
            refusals += serving.refusals
        return ServerStats(
            connections=self.connections,
            calls=len(self.calls),
            resets=sum(serving.resets for serving in self._servings),
            refusals=refusals,
            unlogged=self.log_sampler.held,
        )

    # -- start --------------------------------------------------------------------------------------------------

    async def start(self) -> Listening:
        """Open the listening sockets, all or none.

        Raises:
            OSError: An address cannot be listened at.
            TlsError: The certificates cannot be loaded.
            SchemaError: The schema of the server does not compile.
            ClosedError: It was drained or aborted meanwhile.
            UsageError: Started before.
        """
        if self._state is not ServerState.IDLE:
            raise UsageError(f"{self!r} was started before; listen() makes a new one")
        loop = self._loop = asyncio.get_running_loop()
        self._state = ServerState.SERVING

        def on_call(stream: ServerStream) -> None:
            route = self._routes.get(stream.path)
            if route is None:
                stream.finish(StatusCode.UNIMPLEMENTED, self._router.explain(stream.path))
            elif self._state is ServerState.SERVING:
                Call(route, stream, self).start(loop)
            else:
                self._accept_late(Call(route, stream, self), loop)

        admission = Admission(self.limits.max_connections, self.limits.max_connections_per_peer)
        try:
            if self._prepare is not None:
                await asyncio.to_thread(self._prepare)
                self._check_started()
            for address in self._asked:
                serving = await serve(
                    address,
                    on_call,
                    tls=self._tls,
                    limits=self.limits,
                    options=self._options,
                    admission=admission,
                    reuse_port=self._reuse_port,
                    trace=self._trace,
                )
                self._servings.append(serving)
                self._check_started()
        except BaseException:
            self.abort()
            await self._wait_gone(self.limits.close_timeout)
            raise
        if self._health is not None:
            self._health.resume()
        logger.info("listening on %s", ", ".join(map(str, self.addresses)))
        return self

    def _check_started(self) -> None:
        if self._state is not ServerState.SERVING:
            raise ClosedError("the server was stopped while it started")

    def _accept_late(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Take a call that was on its way when the drain began; the transport turns those away that came after.

        What runs in the background is not begun any more; it may be, on another server (gRFC A6).
        """
        if self._state is ServerState.CLOSED or call.route.background:
            call.stream.refuse()
        else:
            call.start(loop)

    # -- end ----------------------------------------------------------------------------------------------------

    async def drain(self, grace: float | None = None) -> None:
        """Stop in order: no new connections, GOAWAY, calls in flight may finish for `grace` seconds, then they end.

        Several tasks may drain at once; the shortest grace counts. Cancelled: everything is aborted, and the
        cancellation goes on when it has ended.

        Raises:
            UsageError: A handler awaits it, and would be waited for; start it in a task of its own there.
        """
        current = asyncio.current_task()
        if any(call.task is current for call in self.calls):
            raise UsageError(
                "a handler cannot await drain(), which waits for handlers; asyncio.create_task it"
            )
        ends = time.monotonic() + (self._grace if grace is None else max(grace, 0.0))
        try:
            self._begin_drain()
            await self._let_finish(ends)
            await self._close()
        except asyncio.CancelledError:
            self.abort()
            await self._wait_gone(self.limits.close_timeout)
            raise

    def _begin_drain(self) -> None:
        if self._state is ServerState.SERVING:
            self._state = ServerState.DRAINING
            if self._health is not None:
                self._health.shutdown()
            for serving in self._servings:
                serving.drain()

    async def _let_finish(self, ends: float) -> None:
        """Wait until all calls have been answered and the clients have left, at most until `ends`.

        That no call runs is not enough: until a client has seen our GOAWAY, calls may be on their way, and those
        that the transport lets through are answered like any other.
        """
        gone = asyncio.create_task(self._servings_closed())
        try:
            while self._state is ServerState.DRAINING and not gone.done():
                left = ends - time.monotonic()
                if left <= 0:
                    return
                if running := {call.task for call in self.calls if not call.route.background}:
                    await asyncio.wait(running, timeout=left)
                    continue
                self._stop_calls()  # what is left of them runs in the background
                busy = any(connection.active for connection in self._all_connections())
                await asyncio.wait({gone}, timeout=left if busy else min(left, self.limits.close_timeout))
                if not busy and not self.calls:
                    return  # the clients that are still there are not responding
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _servings_closed(self) -> None:
        for serving in self._servings:
            await serving.wait_closed()

    def _stop_calls(self) -> None:
        for call in tuple(self.calls):
            call.stop(StatusCode.UNAVAILABLE, _SHUTTING_DOWN)

    def _all_connections(self) -> list[ServerConnection]:
        return [connection for serving in self._servings for connection in serving.connections]

    async def _close(self) -> None:
        """End what still runs, let the answers leave for a moment, and close."""
        self._state = ServerState.CLOSED
        self._stop_calls()
        for serving in self._servings:
            serving.drain(final=True)
        await self._wait_gone(self.limits.close_timeout)
        if self._all_connections():
            self.abort()
            await self._wait_gone(self.limits.close_timeout)
        for call in self.calls - self._left_behind:
            logger.warning(
                "the handler of %s goes on although it was cancelled; leaving it behind", call.route.name
            )
        self._left_behind |= self.calls

    async def _wait_gone(self, timeout: float) -> None:
        """Wait until connections, handlers and sockets are gone, at most `timeout` seconds."""
        gone = asyncio.create_task(self._servings_closed())
        try:
            running = {call.task for call in self.calls - self._left_behind}
            await asyncio.wait({gone, *running}, timeout=timeout)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def abort(self) -> None:
        """Stop now: no new connections, every connection is cut, every handler is cancelled."""
        self._state = ServerState.CLOSED
        if self._health is not None:
            self._health.shutdown()
        for serving in self._servings:
            serving.close()
        for connection in self._all_connections():
            connection.abort()
        self._leave_handlers()

    def _leave_handlers(self) -> None:
        """End all calls, and wait for no thread of theirs."""
        if self._threads is not None:
            self._threads.leave()
        self._stop_calls()

    # -- with and await -----------------------------------------------------------------------------------------

    def __await__(self) -> Generator[object, None, Listening]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        if self._state is ServerState.IDLE:
            await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.drain(None if kind is None else 0.0)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses))
        return f"<Listening {where} {self._state.value} {counts(self.connections, len(self.calls))}>"


def counts(connections: int, calls: int) -> str:
    """Return "3 connections, 12 calls"."""
    return (
        f"{connections} connection{'' if connections == 1 else 's'}, {calls} call{'' if calls == 1 else 's'}"
    )
