"""A TCP server: one function that blocks, called with a `Connection` for each client.

Made of `wirelane.tcp.server` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from wirelane.core.limits import Limits
from wirelane.core.target import Address
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.sync._facade import facade_of, wrap
from wirelane.sync._serving import ServerFacade
from wirelane.sync._threads import THREADS, Threads, in_thread
from wirelane.sync.tcp.connection import Connection
from wirelane.sync.tcp.listening import Listening
from wirelane.tcp.listening import ServerState, ServerStats
from wirelane.tcp.server import Server as AsyncServer

__all__ = ["Server"]


@facade_of(AsyncServer)
class Server(ServerFacade):
    """A TCP (and Unix socket) server.

    Args:
        handler: `def handler(connection)`, called for each connection, in a thread of the server's. When
            it ends, the connection is closed. What it raises is logged once and ends that connection alone; a
            client that left (ConnectionLost, EndOfStream) is logged as information.
        tls: Settings with the server's certificate, or a context; None or False for plain text. When a file behind
            the settings changes, new connections get the new certificate.
        limits: Bounds for buffers, closing, and the number (`max_connections`, `max_connections_per_peer`) and idleness
            (`idle_timeout`) of connections.
        threads: How many handlers run at once; what comes beyond that waits.
        trace: Log what is said on all connections: True keeps it in memory (`server.trace`), a path writes it to that
            file, and a `wirelane.Trace` does what it says.
    """

    __slots__ = ()

    def __init__(
        self,
        handler: Callable[[Connection], object],
        *,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        limits: Limits | None = None,
        trace: TraceLike = None,
        threads: int = THREADS,
    ) -> None:
        self._make(AsyncServer, in_thread(handler, Threads(threads)), tls=tls, limits=limits, trace=trace)

    @property
    def state(self) -> ServerState:
        """IDLE before the first `listen`, then SERVING, DRAINING, CLOSED."""
        return self._inner.state

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._inner.connections

    @property
    def clients(self) -> tuple[Connection, ...]:
        """The connections that are open, the oldest first; a snapshot. Whoever closes one ends it for its handler."""
        return wrap(self._inner.clients)

    @property
    def stats(self) -> ServerStats:
        """Counts since it began to listen, the last time that it did."""
        return self._inner.stats

    def listen(self, *addresses: str | Address, grace: float | None = None) -> Listening:
        """Listen at one or several addresses: "host:port", "[ipv6]:port", "unix:/path"; port 0 picks a free one.

        Use it as `with server.listen(...) as listening:`, which drains at the end of the block, or `drain` it later.

        Args:
            addresses: Where to listen.
            grace: How long handlers may take at the end of the block, in seconds; `limits.close_timeout` if None.

        Raises:
            UsageError: An address is not one, or the server listens already.
        """
        return self._listen(*addresses, grace=grace)

    def serve(self, *addresses: str | Address, grace: float | None = None) -> None:
        """Serve until `drain` or `abort` is called, or until SIGTERM or SIGINT; then drain and return.

        A second signal stops at once. Signals are taken over only in the main thread.

        Args:
            addresses: As for `listen`.
            grace: How long handlers may take after that, in seconds; `limits.drain_grace` if None.

        Raises:
            ConnectError: An address cannot be listened at.
        """
        self._serve(*addresses, grace=self.limits.drain_grace if grace is None else grace)

    def drain(self, grace: float | None = None) -> None:
        """Accept no more, let handlers finish for `grace` seconds (`limits.drain_grace`), end them, close.

        Clients that are connecting are still served. Handlers learn of it by `connection.draining` and
        `connection.more()`; one that waits for a silent client otherwise uses the grace up. Interrupted, everything is aborted.
        """
        self._drain(grace)

    def abort(self) -> None:
        """Cut every connection and cancel every handler now."""
        self._abort()
