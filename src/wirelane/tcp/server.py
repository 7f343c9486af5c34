"""A TCP server: one function, called with a `Connection` for each client.

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
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.core.target import Address, HostPort, UnixPath, first_port, parse_listen
from wirelane.errors import ConnectionLost, EndOfStream, UsageError
from wirelane.net import listen
from wirelane.net.signals import stop_signals
from wirelane.net.tls import TlsConfig, resolve_tls
from wirelane.tcp.connection import Connection
from wirelane.tcp.protocol import TcpProtocol

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from wirelane.net.listen import Listening as Sockets

__all__ = ["Handler", "Listening", "Server", "ServerState"]

Handler = Callable[[Connection], Awaitable[None]]
"""What a server calls, in a task of its own, for each connection."""

logger = logging.getLogger("wirelane.tcp.server")


class ServerState(enum.Enum):
    """Where a server is in its life."""

    IDLE = "IDLE"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


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
    ) -> None:
        if not addresses:
            raise UsageError('listen() needs an address, such as "127.0.0.1:7000"')
        self.state = ServerState.IDLE
        self._handler = handler
        self._asked = tuple(
            each if isinstance(each, HostPort | UnixPath) else parse_listen(each) for each in addresses
        )
        self._tls = tls
        self._limits = limits
        self._grace = limits.close_timeout if grace is None else grace
        self._sockets: list[Sockets] = []
        self._running: dict[asyncio.Task[None], Connection] = {}
        self._full = False

    # -- what it is

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

    # -- start

    async def start(self) -> Self:
        """Open the listening sockets, all or none; cancelled: none.

        Raises:
            ConnectError: An address cannot be listened at.
            ResolveError: A name has no address.
            UsageError: Started before, or TLS settings without a certificate.
        """
        if self.state is not ServerState.IDLE:
            raise UsageError(f"{self!r} was started before; listen() makes a new one")
        self.state = ServerState.SERVING
        try:
            for address in self._asked:
                self._sockets.append(
                    await listen(
                        lambda: TcpProtocol(self._limits, self._accept),
                        address,
                        tls=self._tls,
                        handshake_timeout=self._limits.handshake_timeout,
                        max_connections=self._limits.max_connections,
                    )
                )
        except BaseException:
            self.abort()
            await self._end()
            raise
        logger.info("listening on %s", ", ".join(map(str, self.addresses)))
        return self

    def _accept(self, protocol: TcpProtocol) -> None:
        if self.state is not ServerState.SERVING:
            protocol.abort()
        elif len(self._running) >= self._limits.max_connections:
            # The sockets count too, handshakes included, but each for itself.
            if not self._full:
                logger.warning("%d connections are open: refusing more (max_connections)", len(self._running))
            self._full = True
            protocol.abort()
        else:
            connection = Connection(protocol, server_side=True)
            task = asyncio.get_running_loop().create_task(
                self._handle(connection), name=f"wirelane {connection.peer}"
            )
            self._running[task] = connection
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._full = False

    async def _handle(self, connection: Connection) -> None:
        try:
            await self._handler(connection)
        except (ConnectionLost, EndOfStream) as error:
            logger.info("%s left: %s", connection.peer, error)
        except Exception:
            logger.exception("the handler of %s failed", connection.peer)
        finally:
            await connection.close()

    # -- end

    async def drain(self, grace: float | None = None) -> None:
        """Accept no more, let handlers finish for `grace` seconds, then cancel them and close.

        Handlers are not told: one that waits for a silent client uses the grace up. Called by a handler, it does
        not wait for that one. Cancelled: everything is aborted, and the cancellation goes on when it has ended.
        """
        deadline = Deadline.after(self._grace if grace is None else grace)
        if self.state is ServerState.SERVING:
            self.state = ServerState.DRAINING
        try:
            self._stop_listening()
            await self._wait(deadline)
            self.state = ServerState.CLOSED
            for task in self._others():
                task.cancel()
            await self._wait(Deadline.after(self._limits.close_timeout))
            await self._end()
        except asyncio.CancelledError:
            self.abort()
            await self._end()
            raise

    def abort(self) -> None:
        """Stop now: accept no more, cut every connection, cancel every handler."""
        self.state = ServerState.CLOSED
        self._stop_listening()
        for connection in self._running.values():
            connection.abort()
        for task in self._others():
            task.cancel()

    def _stop_listening(self) -> None:
        for sockets in self._sockets:
            sockets.close()

    def _others(self) -> set[asyncio.Task[None]]:
        return {task for task in self._running if task is not asyncio.current_task()}

    async def _wait(self, deadline: Deadline | None) -> None:
        while others := self._others():
            left = None if deadline is None else deadline.remaining()
            if left == 0:
                return
            await asyncio.wait(others, timeout=left)

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
        for sockets in self._sockets:
            await sockets.wait_closed()

    # -- with and await

    def __await__(self) -> Generator[object, None, Self]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        if self.state is ServerState.IDLE:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain(None if kind is None else 0.0)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses))
        plural = "" if self.connections == 1 else "s"
        return f"<Listening {where} {self.state.value} {self.connections} connection{plural}>"


class Server:
    """A TCP (and Unix socket) server.

    Args:
        handler: `async def handler(connection)`, called for each connection, in a task that the server owns. When
            it ends, the connection is closed. What it raises is logged once and ends that connection alone; a
            client that left (ConnectionLost, EndOfStream) is logged as information.
        tls: Settings with the server's certificate, or a context; None or False for plain text.
        limits: Bounds for buffers, connections and closing.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not callable(handler):
            raise UsageError("handler must be a function: async def handler(connection)")
        if tls is True:
            raise UsageError("tls=True is not enough for a server; give TlsConfig(cert=..., key=...)")
        self.limits = Limits.of(limits)
        self._handler = handler
        self._tls = resolve_tls(tls)
        self._listening: Listening | None = None

    @property
    def state(self) -> ServerState:
        """IDLE before the first `listen`, then SERVING, DRAINING, CLOSED."""
        return ServerState.IDLE if self._listening is None else self._listening.state

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return 0 if self._listening is None else self._listening.connections

    def listen(self, *addresses: str | Address, grace: float | None = None) -> Listening:
        """Listen at one or several addresses: "host:port", "[ipv6]:port", "unix:/path"; port 0 picks a free one.

        Use it as `async with server.listen(...) as listening:`, which drains at the end of the block, or await it.

        Args:
            addresses: Where to listen.
            grace: How long handlers may take at the end of the block, in seconds; `limits.close_timeout` if None.

        Raises:
            UsageError: An address is not one, or the server listens already.
        """
        if self.state in (ServerState.SERVING, ServerState.DRAINING):
            raise UsageError(f"{self!r} listens already; give listen() all addresses at once")
        self._listening = Listening(self._handler, addresses, tls=self._tls, limits=self.limits, grace=grace)
        return self._listening

    async def serve(self, *addresses: str | Address, grace: float | None = None) -> None:
        """Serve until cancelled, or until SIGTERM or SIGINT; then drain and return.

        A second signal, or a second cancellation, stops at once. Signals are taken over only in the main thread.

        Args:
            addresses: As for `listen`.
            grace: How long handlers may take after that, in seconds; `limits.drain_grace` if None.

        Raises:
            ConnectError: An address cannot be listened at.
            asyncio.CancelledError: It was cancelled; it has drained.
        """
        grace = self.limits.drain_grace if grace is None else grace
        with stop_signals() as signals:
            listening = await self.listen(*addresses, grace=grace)
            signals.again = listening.abort
            try:
                await signals.stopped.wait()
            finally:
                await listening.drain()

    async def drain(self, grace: float | None = None) -> None:
        """Accept no more, let handlers finish for `grace` seconds (`limits.drain_grace`), end them, close.

        Handlers are not told: one that waits for a silent client uses the grace up. Cancelled: all is cut at once.
        """
        if self._listening is not None:
            await self._listening.drain(self.limits.drain_grace if grace is None else grace)

    def abort(self) -> None:
        """Cut every connection and cancel every handler now."""
        if self._listening is not None:
            self._listening.abort()

    def __repr__(self) -> str:
        if self._listening is None:
            return "<Server IDLE>"
        return self._listening.__repr__().replace("Listening", "Server", 1)
