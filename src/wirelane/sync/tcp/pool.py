"""A pool of connections, from any thread.

Made of `wirelane.tcp.pool` by tools/make_sync.py; do not edit.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from wirelane.core.limits import Limits
from wirelane.net.options import SocketOptions
from wirelane.net.proxy import ProxyLike
from wirelane.net.tls import TlsConfig
from wirelane.net.trace import TraceLike
from wirelane.sync._blocks import Entering, leave
from wirelane.sync._facade import Facade, Made, facade_of, open_now, wrap
from wirelane.sync._portal import run
from wirelane.sync._threads import in_thread
from wirelane.sync.tcp.connection import Connection
from wirelane.tcp.pool import Pool as AsyncPool
from wirelane.tcp.pool import Pooled as AsyncPooled
from wirelane.tcp.pool import PoolStats
from wirelane.tcp.sending import Data

__all__ = ["Pool", "Pooled"]


@facade_of(AsyncPool)
class Pool(Made):
    """Connections to one address, for any number of threads.

    Ctrl-C: whoever waits for a connection and is interrupted leaves no trace; one that is interrupted while it has a
    connection, in a block or in `request`, has it cut, since nobody knows where its messages stand.

    Args:
        address: As for `connect`.
        size: The most connections at once. 10, as asyncpg and HikariCP.
        tls, proxy, limits, server_name, options, trace: As for `connect`.
        connect_timeout: Seconds for each attempt to connect, `prepare` included.
        prepare: `def prepare(connection)`, called in a thread once on each new connection before anybody gets it: for the
            greeting of a server, or to log in. What it raises counts as a failure to connect.
        check: `def check(connection)`, called in a thread before a connection is given out that was idle for `check_after`
            seconds: a question to which the server has an answer. False, an exception, no answer within
            `check_timeout`, or something left unread: the connection is closed, and another is taken or made.
        check_after: Seconds; 0: always. 30, as in redis-py's examples.
        check_timeout: Seconds for a check.
        max_idle: Seconds after which a connection that nobody used is closed; None: never. 600, as psycopg and HikariCP.
        max_lifetime: Seconds after which a connection is not used again, give or take a tenth, so that those that came
            together do not go together; None: never. 3600, as psycopg and pgx.

    Raises:
        UsageError: An argument makes no sense.
    """

    __slots__ = ()

    def __init__(
        self,
        address: str,
        *,
        size: int = 10,
        tls: bool | TlsConfig | ssl.SSLContext | None = None,
        proxy: ProxyLike = None,
        connect_timeout: float | None = 10.0,
        limits: Limits | None = None,
        server_name: str | None = None,
        options: SocketOptions | None = None,
        trace: TraceLike = None,
        prepare: Callable[[Connection], object] | None = None,
        check: Callable[[Connection], bool | None] | None = None,
        check_after: float = 30.0,
        check_timeout: float = 5.0,
        max_idle: float | None = 600.0,
        max_lifetime: float | None = 3600.0,
    ) -> None:
        self._make(
            AsyncPool,
            address,
            size=size,
            tls=tls,
            proxy=proxy,
            connect_timeout=connect_timeout,
            limits=limits,
            server_name=server_name,
            options=options,
            trace=trace,
            prepare=in_thread(prepare),
            check=in_thread(check),
            check_after=check_after,
            check_timeout=check_timeout,
            max_idle=max_idle,
            max_lifetime=max_lifetime,
        )

    def connection(self, *, timeout: float | None = None) -> Pooled:
        """Give a connection for the length of a block: `with pool.connection(timeout=5.0) as conn:`.

        It belongs to the block alone, and is closed to whoever keeps it for longer.

        Args:
            timeout: Seconds to wait for a connection, be it one that others have or one that is made; None waits for
                ever, but not through a failure to connect.

        Raises, when it is entered:
            PoolTimeout: All were in use. Tells how many, and how many others wait.
            ConnectError, ProxyError, TlsError, ResolveError, and what `prepare` raises: None could be made.
            ClosedError: The pool was closed, before or meanwhile.
        """
        made: Pooled = open_now(self._inner.connection, timeout=timeout)
        return made

    def request(
        self,
        data: Data | str,
        *,
        marker: bytes | Iterable[bytes] | None = b"\n",
        timeout: float | None = 5.0,
        encoding: str = "utf-8",
        max_bytes: int | None = None,
        keep_marker: bool = True,
        idempotent: bool = False,
    ) -> bytes:
        """Send `data` on a connection of the pool, and read one reply.

        A connection that is dead before anything is sent is replaced without a word. One that had been used before may also
        turn out to be dead when nothing comes back but its end: the server may have closed it as the request was on its way, or
        may have acted on the request. Then, and only if `idempotent` says that this does no harm, it is sent once more, on a
        new connection. Nothing else is ever tried again.

        Args:
            data: Sent as it is; no newline is added. Text is encoded.
            marker: Where the reply ends: bytes or several, as for `Connection.read`. None: after `max_bytes`.
            timeout: Seconds for everything together; None waits for ever.
            encoding: Of `data`, if it is text.
            max_bytes: The reply ends after so many bytes at the latest.
            keep_marker: Leave the marker at the end of the reply.
            idempotent: To do it twice is the same as to do it once.

        Raises:
            ReadTimeout, EndOfStream, ConnectionLost, LimitExceeded: No whole reply came; what came is in `.partial`.
            SendTimeout, CodecError, UsageError, and what `connection` raises. The connection is cut then.
        """
        return run(
            self._inner.request,
            data,
            marker=marker,
            timeout=timeout,
            encoding=encoding,
            max_bytes=max_bytes,
            keep_marker=keep_marker,
            idempotent=idempotent,
        )

    @property
    def address(self) -> str:
        """Where its connections go, as it was given."""
        return self._inner.address

    @property
    def size(self) -> int:
        """The most connections that there may be."""
        return self._inner.size

    @property
    def limits(self) -> Limits:
        """Sizes, counts and times of its connections."""
        return self._inner.limits

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._inner.closed

    @property
    def stats(self) -> PoolStats:
        """Counts of now, and since the pool was first used."""
        return self._inner.stats

    def close(self, grace: float | None = None) -> None:
        """Give out nothing more, wait until what is in use comes back, and close everything. Idempotent.

        Inside a block that has a connection of this pool, it waits for that one, too, until the grace is over.

        Args:
            grace: Seconds to wait for the connections in use, before they are cut; `limits.close_timeout` if None.

        Interrupted: everything is cut at once.
        """
        run(self._inner.close, grace)

    def __enter__(self) -> Self:
        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)


@facade_of(AsyncPooled)
class Pooled(Facade):
    """What `Pool.connection` returns: enter it for a connection. Good for one time."""

    __slots__ = ()

    def __enter__(self) -> Connection:
        entering = Entering(self._inner)
        try:
            made: Connection = wrap(entering.enter())
            return made
        except BaseException:
            entering.undo()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self._inner, kind, error, traceback)
