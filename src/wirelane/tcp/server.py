"""A TCP server: one function, called with a `Connection` for each client. `Listening` is what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wirelane.core.limits import Limits
from wirelane.errors import UsageError
from wirelane.net.signals import stop_signals
from wirelane.net.tls import TlsConfig, resolve_tls
from wirelane.net.trace import Trace, TraceLike
from wirelane.tcp.listening import Handler, Listening, ServerState, ServerStats

if TYPE_CHECKING:
    import ssl

    from wirelane.core.target import Address
    from wirelane.tcp.connection import Connection

__all__ = ["Server"]


class Server:
    """A TCP (and Unix socket) server.

    Args:
        handler: `async def handler(connection)`, called for each connection, in a task that the server owns. When
            it ends, the connection is closed. What it raises is logged once and ends that connection alone; a
            client that left (ConnectionLost, EndOfStream) is logged as information.
        tls: Settings with the server's certificate, or a context; None or False for plain text. When a file behind
            the settings changes, new connections get the new certificate.
        limits: Bounds for buffers, closing, and the number (`max_connections`, `max_connections_per_peer`) and idleness
            (`idle_timeout`) of connections.
        trace: Log what is said on all connections: True keeps it in memory (`server.trace`), a path writes it to that
            file, and a `wirelane.Trace` does what it says.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        limits: Limits | None = None,
        trace: TraceLike = None,
    ) -> None:
        if not callable(handler):
            raise UsageError("handler must be a function: async def handler(connection)")
        if tls is True:
            raise UsageError("tls=True is not enough for a server; give TlsConfig(cert=..., key=...)")
        self.limits = Limits.of(limits)
        self.trace = Trace.of(trace)
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

    @property
    def clients(self) -> tuple[Connection, ...]:
        """The connections that are open, the oldest first; a snapshot. Whoever closes one ends it for its handler."""
        return () if self._listening is None else self._listening.clients

    @property
    def stats(self) -> ServerStats:
        """Counts since it began to listen, the last time that it did."""
        return ServerStats() if self._listening is None else self._listening.stats

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
        self._listening = Listening(
            self._handler, addresses, tls=self._tls, limits=self.limits, grace=grace, trace=self.trace
        )
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

        Clients that are connecting are still served. Handlers learn of it by `connection.draining` and
        `connection.more()`; one that waits for a silent client otherwise uses the grace up. Cancelled: all is cut at once.
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
