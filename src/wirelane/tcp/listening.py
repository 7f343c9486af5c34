"""A TCP server at work: what runs while it listens, and how that ends.

Contract: one `Listening` owns everything that runs: the listening sockets, the connections, and the tasks of their
handlers. A connection lives as long as its handler. Draining, and leaving `async with`, return when all of it has
ended; the only exception is a handler that goes on although it was cancelled, which is named in the log and left
behind after `limits.close_timeout`.

    IDLE --start--> SERVING --drain--> DRAINING --> CLOSED
                       `------------abort------------^
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wirelane.core.behalf import BEHALF
from wirelane.core.deadline import Deadline
from wirelane.core.sampling import Sampler
from wirelane.core.target import Address, HostPort, UnixPath, first_port, parse_listen
from wirelane.errors import ClosedError, ConnectionLost, EndOfStream, UsageError
from wirelane.net import listen
from wirelane.net.admission import Admission
from wirelane.net.tap import tapped
from wirelane.tcp.connection import Connection
from wirelane.tcp.idle import WatchedProtocol
from wirelane.tcp.protocol import TcpProtocol

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from wirelane.core.limits import Limits
    from wirelane.net.listen import Listening as Sockets
    from wirelane.net.tls import TlsConfig
    from wirelane.net.trace import Trace

__all__ = ["Handler", "Listening", "ServerState", "ServerStats"]

Handler = Callable[[Connection], Awaitable[None]]
"""What a server calls, in a task of its own, for each connection."""

logger = logging.getLogger("wirelane.tcp.server")


class ServerState(enum.Enum):
    """Where a server is in its life."""

    IDLE = "IDLE"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counts of a server since it began to listen; a snapshot.

    Attributes:
        connections: That have a handler now: `active` and `closing`.
        active: Whose handler runs now.
        closing: Whose handler has ended, and which are being closed.
        handshakes: TLS handshakes that are under way now.
        accepted: Connections accepted, those included whose handshake failed, and those not that were refused.
        refusals: Clients that got no handler, by kind: `max_connections`, `max_connections_per_peer` (closed at once) and
            `handshakes` (TLS that failed). A kind that never was is not there.
        idle: Connections closed for `limits.idle_timeout`.
        failed: Handlers that raised an error of their own.
        unlogged: Lines of the log that were held back (`limits.log_burst`).
    """

    connections: int = 0
    active: int = 0
    closing: int = 0
    handshakes: int = 0
    accepted: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    idle: int = 0
    failed: int = 0
    unlogged: int = 0

    @property
    def rejected(self) -> int:
        """All refusals together."""
        return sum(self.refusals.values())


class Listening:
    """A server that listens: `async with server.listen(address) as listening`, or `await` it and `drain` later.

    Leaving the block drains; leaving it with an exception ends the handlers at once.
    """

    def __init__(
        self,
        handler: Handler,
        addresses: tuple[str | Address, ...],
        *,
        tls: TlsConfig | ssl.SSLContext | None,
        limits: Limits,
        grace: float | None,
        trace: Trace | None = None,
    ) -> None:
        if not addresses:
            raise UsageError('listen() needs an address, such as "127.0.0.1:7000"')
        self._state = ServerState.IDLE
        self._handler = handler
        self._asked = tuple(
            each if isinstance(each, HostPort | UnixPath) else parse_listen(each) for each in addresses
        )
        self._tls = tls
        self._limits = limits
        self._trace = trace
        self._grace = limits.close_timeout if grace is None else grace
        self._sockets: list[Sockets] = []
        self._running: dict[asyncio.Task[None], Connection] = {}
        self._closing = 0
        self._counts: Counter[str] = Counter()
        self._log_sampler = Sampler(limits.log_burst)

    # -- what it is

    @property
    def state(self) -> ServerState:
        """Whether it serves, drains, or is closed."""
        return self._state

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses, with the ports that the system chose."""
        return tuple(address for sockets in self._sockets for address in sockets.addresses) or self._asked

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
        """How many connections are open: their handler runs."""
        return len(self._running)

    @property
    def clients(self) -> tuple[Connection, ...]:
        """The connections that are open, the oldest first; a snapshot. Whoever closes one ends it for its handler."""
        return tuple(self._running.values())

    @property
    def stats(self) -> ServerStats:
        """Counts since it listens."""
        refusals: Counter[str] = Counter()
        for sockets in self._sockets:
            refusals.update(sockets.refusals)
            refusals += Counter(handshakes=sockets.failed_handshakes)
        return ServerStats(
            connections=len(self._running),
            active=len(self._running) - self._closing,
            closing=self._closing,
            handshakes=sum(sockets.handshakes for sockets in self._sockets),
            accepted=sum(sockets.accepted for sockets in self._sockets),
            refusals=dict(refusals),
            idle=self._counts["idle"],
            failed=self._counts["failed"],
            unlogged=self._log_sampler.held,
        )

    # -- start

    async def start(self) -> Self:
        """Open the listening sockets, all or none; cancelled: none.

        Raises:
            ConnectError: An address cannot be listened at.
            ResolveError: A name has no address.
            UsageError: Started before, or TLS settings without a certificate.
        """
        if self._state is not ServerState.IDLE:
            raise UsageError(f"{self!r} was started before; listen() makes a new one")
        self._state = ServerState.SERVING
        admission = Admission(self._limits.max_connections, self._limits.max_connections_per_peer)
        try:
            for address in self._asked:
                self._sockets.append(
                    await listen(
                        lambda: tapped(self._protocol(), self._trace),
                        address,
                        tls=self._tls,
                        handshake_timeout=self._limits.handshake_timeout,
                        admission=admission,
                    )
                )
        except BaseException:
            self.abort()
            await self._end()
            raise
        logger.info("listening on %s", ", ".join(map(str, self.addresses)))
        return self

    def _protocol(self) -> TcpProtocol:
        if self._limits.idle_timeout is None:
            return TcpProtocol(self._limits, self._accept)
        return WatchedProtocol(self._limits, self._accept, self._went_idle)

    def _accept(self, protocol: TcpProtocol) -> None:
        if self._state is ServerState.CLOSED:
            protocol.abort()
            return
        # One that was on its way when the drain began is served like those that were there.
        protocol.draining = self._state is ServerState.DRAINING
        connection = Connection(protocol, server_side=True)
        task = asyncio.get_running_loop().create_task(
            self._handle(connection, protocol), name=f"wirelane {connection.peer}"
        )
        self._running[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        connection = self._running.pop(task)
        if not connection.closed:
            connection.abort()  # cancelled before it began

    async def _handle(self, connection: Connection, protocol: TcpProtocol) -> None:
        try:
            await self._handler(connection)
        except (ConnectionLost, EndOfStream) as error:
            if not (isinstance(protocol, WatchedProtocol) and protocol.expired):  # of which the log knows
                self._say("left", "a client left: %s", error)
        except Exception as error:  # noqa: BLE001  (a handler may raise anything; it is logged)
            if isinstance(error, ClosedError) and connection.closed:
                self._say("closed", "%s was closed while its handler ran: %s", connection.peer, error)
            else:
                self._failed(connection, error)
        finally:
            self._closing += 1
            try:
                await connection.close()
            finally:
                self._closing -= 1

    def _failed(self, connection: Connection, error: Exception) -> None:
        self._counts["failed"] += 1
        held = self._log_sampler.admit("failed")
        if held is not None:
            more = f" ({held} more like it were not logged)" if held else ""
            logger.error("the handler of %s failed%s", connection.peer, more, exc_info=error)

    def _went_idle(self, protocol: TcpProtocol) -> None:
        self._counts["idle"] += 1
        self._say("idle", "closed %s: idle for %g s (idle_timeout)", protocol.peer, self._limits.idle_timeout)

    def _say(self, kind: str, text: str, *args: object) -> None:
        """Log at INFO, and at DEBUG what would be too much of a kind: clients must not be able to fill the log."""
        level, text = self._log_sampler.line(kind, text)
        logger.log(level, text, *args)

    # -- end

    async def drain(self, grace: float | None = None) -> None:
        """Accept no more, let handlers finish for `grace` seconds, then cancel them and close.

        Clients that have connected and were not accepted yet, or whose handshake is not over, are served like those
        that have a handler. Handlers learn of it by `connection.draining` and `connection.more()`; one that waits for a
        silent client otherwise uses the grace up. Called by a handler, it does not wait for that one. Cancelled:
        everything is aborted, and the cancellation goes on when it has ended.
        """
        deadline = Deadline.after(self._grace if grace is None else grace)
        if self._state is ServerState.SERVING:
            self._state = ServerState.DRAINING
        try:
            if self._state is ServerState.DRAINING:
                self._stop_listening(finish=True)
                for connection in self._running.values():
                    connection._protocol.drain()
                await self._wait(deadline)
            self._state = ServerState.CLOSED
            self._stop_listening()
            self._leave_handlers()
            await self._wait(Deadline.after(self._limits.close_timeout))
            await self._end()
        except asyncio.CancelledError:
            self.abort()
            await self._end()
            raise

    def abort(self) -> None:
        """Stop now: accept no more, cut every connection, cancel every handler."""
        self._state = ServerState.CLOSED
        self._stop_listening()
        for connection in self._running.values():
            connection.abort()
        self._leave_handlers()

    def _leave_handlers(self) -> None:
        """Cancel every handler."""
        for task in self._others():
            task.cancel()

    def _stop_listening(self, *, finish: bool = False) -> None:
        for sockets in self._sockets:
            sockets.close(finish=finish)

    def _others(self) -> set[asyncio.Task[None]]:
        mine = (asyncio.current_task(), BEHALF.get())
        return {task for task in self._running if task not in mine}

    async def _wait(self, deadline: Deadline | None) -> None:
        """Wait until there is neither another handler nor a client that is about to get one, until the deadline."""
        arrivals = asyncio.create_task(self._arrivals_over())
        try:
            while not arrivals.done() or self._others():
                left = None if deadline is None else deadline.remaining()
                if left == 0:
                    return
                await asyncio.wait({*self._others(), arrivals}, timeout=left)
        finally:
            arrivals.cancel()
            await asyncio.gather(arrivals, return_exceptions=True)

    async def _arrivals_over(self) -> None:
        for sockets in self._sockets:
            await sockets.wait_closed()

    async def _end(self) -> None:
        """Cut what is left, and wait until it is gone."""
        for task in self._others():
            self._running[task].abort()
        await self._wait(Deadline.after(self._limits.close_timeout))
        for task in self._others():
            logger.warning(
                "the handler of %s goes on although it was cancelled; leaving it behind",
                self._running[task].peer,
            )
        await self._arrivals_over()

    # -- with and await

    def __await__(self) -> Generator[object, None, Self]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        if self._state is ServerState.IDLE:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain(None if kind is None else 0.0)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses))
        plural = "" if self.connections == 1 else "s"
        return f"<Listening {where} {self._state.value} {self.connections} connection{plural}>"
