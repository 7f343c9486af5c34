r"""`Pool`: connections to one address that are used again and again, by one task at a time.

    async with tcp.Pool("localhost:7000", size=10) as pool:
        async with pool.connection(timeout=5.0) as conn:
            await conn.send_line("hello")
            line = await conn.read_line(timeout=5.0)
        reply = await pool.request("time?\n", timeout=5.0)

What a user can rely on:

- No connection is used again in the middle of a message. It goes back to the pool only if the block ended without an
  exception, the connection is at rest (nothing unread, no read or send in progress, open in both directions), and in the
  block no read gave up, since what it waited for may still come, and no TLS began. Otherwise it is closed, after an
  exception cut, and its place is free. That a block asked and did not even try to read is for nobody to see.
- A connection that its peer has closed, or on which something came that nobody asked for, is never given out: the pool
  listens to idle connections, and looks at the socket once more. What only a conversation can tell is for `check`.
- Never more than `size` connections at once. Who waits is served in order. What was used last is used next, so that
  those that are not needed become idle, and are closed after `max_idle`.
- A server that cannot be reached is tried again with a backoff of up to five seconds, by one attempt at a time, as long as
  somebody waits. Who gave a timeout waits that long, through failures, and then gets the last of them; who gave none gets
  that of the attempt that was made for him.
- A caller that is cancelled, wherever it waits, loses nothing for others: no connection, no place, no turn.

A pool starts nothing by itself: its constructor does no I/O, and an idle pool is its idle connections and one timer.
"""

from __future__ import annotations

import asyncio
import math
import select
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from wirelane.core.deadline import Deadline
from wirelane.core.delimiters import encode_text
from wirelane.core.limits import Limits
from wirelane.errors import ClosedError, ConnectError, ConnectionLost, EndOfStream, UsageError
from wirelane.net.trace import Trace, TraceLike
from wirelane.tcp.connecting import Connecting, connect
from wirelane.tcp.connection import Connection
from wirelane.tcp.places import Member, Places
from wirelane.tcp.sending import TURNS_TO_LOOK, Data, to_bytes

if TYPE_CHECKING:
    from typing import Self

    from wirelane.net.options import SocketOptions
    from wirelane.net.proxy import ProxyLike
    from wirelane.net.tls import TlsConfig

__all__ = ["Check", "Pool", "PoolStats", "Pooled", "Prepare"]

Check = Callable[[Connection], Awaitable[bool | None]]
"""Says whether a connection still works: False, or an exception, if it does not."""

Prepare = Callable[[Connection], Awaitable[object]]
"""What is done once on a new connection before anybody gets it."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counts of a pool; a snapshot.

    Attributes:
        size: The most connections that there may be.
        in_use: Given out now.
        idle: Ready to be given out.
        opening: Being opened.
        waiting: Callers that wait for one.
        opened: Made so far.
        discarded: Not kept, of those: broken, left in the middle of something, idle for too long, or too old.
    """

    size: int
    in_use: int = 0
    idle: int = 0
    opening: int = 0
    waiting: int = 0
    opened: int = 0
    discarded: int = 0


class Pooled(AbstractAsyncContextManager[Connection]):
    """What `Pool.connection` returns: enter it for a connection. Good for one time."""

    __slots__ = ("_deadline", "_member", "_pool", "_timeout", "_used")

    def __init__(self, pool: Pool, timeout: float | None = None, *, member: Member | None = None) -> None:
        Deadline.after(timeout)  # refuses what is no timeout
        self._pool = pool
        self._timeout = timeout
        self._member = member
        self._used = False

    async def __aenter__(self) -> Connection:
        if self._used:
            raise UsageError("this connection() was entered before; call it again for another")
        self._used = True
        if self._member is None:
            self._member = await self._pool._acquire(Deadline.after(self._timeout))
        return self._member.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        member, self._member = self._member, None
        if member is not None:
            await self._pool._release(member, broken=kind is not None)

    def __repr__(self) -> str:
        return f"<Pooled of {self._pool!r}>"


class Pool:
    """Connections to one address, for one event loop.

    Cancellation: whoever waits for a connection and is cancelled leaves no trace; one that is cancelled while it has a
    connection, in a block or in `request`, has it cut, since nobody knows where its messages stand.

    Args:
        address: As for `connect`.
        size: The most connections at once. 10, as asyncpg and HikariCP.
        tls, proxy, limits, server_name, options, trace: As for `connect`.
        connect_timeout: Seconds for each attempt to connect, `prepare` included.
        prepare: `async def prepare(connection)`, called once on each new connection before anybody gets it: for the
            greeting of a server, or to log in. What it raises counts as a failure to connect.
        check: `async def check(connection)`, called before a connection is given out that was idle for `check_after`
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
        prepare: Prepare | None = None,
        check: Check | None = None,
        check_after: float = 30.0,
        check_timeout: float = 5.0,
        max_idle: float | None = 600.0,
        max_lifetime: float | None = 3600.0,
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UsageError(f"size is a number of connections from 1 up, not {size!r}")
        for name, function in (("prepare", prepare), ("check", check)):
            if function is not None and not callable(function):
                raise UsageError(f"{name} must be a function: async def {name}(connection)")
        _check_seconds("check_after", check_after, least=True)
        _check_seconds("check_timeout", check_timeout)
        for name, value in (
            ("connect_timeout", connect_timeout),
            ("max_idle", max_idle),
            ("max_lifetime", max_lifetime),
        ):
            if value is not None:
                _check_seconds(name, value)

        kept = Trace.of(trace)  # one for all connections

        def dial(timeout: float | None) -> Connecting:
            return connect(
                address,
                tls=tls,
                proxy=proxy,
                connect_timeout=timeout,
                limits=limits,
                server_name=server_name,
                options=options,
                trace=kept,
            )

        dial(connect_timeout)  # refuses what makes no sense; nothing happens before it is awaited
        self._address = address
        self._size = size
        self._limits = Limits.of(limits)
        self._dial = dial
        self._connect_timeout = connect_timeout
        self._prepare = prepare
        self._check = check
        self._check_after = check_after
        self._check_timeout = check_timeout
        self._max_idle = max_idle
        self._max_lifetime = max_lifetime
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places: Places | None = None

    # -- using it

    def connection(self, *, timeout: float | None = None) -> Pooled:
        """Give a connection for the length of a block: `async with pool.connection(timeout=5.0) as conn:`.

        It belongs to the block alone, and is closed to whoever keeps it for longer.

        Args:
            timeout: Seconds to wait for a connection, be it one that others have or one that is made; None waits for
                ever, but not through a failure to connect.

        Raises, when it is entered:
            PoolTimeout: All were in use. Tells how many, and how many others wait.
            ConnectError, ProxyError, TlsError, ResolveError, and what `prepare` raises: None could be made.
            ClosedError: The pool was closed, before or meanwhile.
            UsageError: Used in another event loop than before.
        """
        return Pooled(self, timeout)

    async def request(
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
        r"""Send `data` on a connection of the pool, and read one reply.

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
        if marker is None and max_bytes is None:
            raise UsageError("a reply on a connection that stays open ends at a marker, or after max_bytes")
        deadline = Deadline.after(timeout)
        payload = encode_text(data, encoding) if isinstance(data, str) else to_bytes(data)

        async def exchange(member: Member) -> bytes:
            async with Pooled(self, member=member) as connection:
                await connection.send(payload, timeout=_left(deadline))
                return await connection.read(max_bytes, marker, _left(deadline), keep_marker)

        member = await self._acquire(deadline)
        stale = idempotent and member.used
        try:
            return await exchange(member)
        except (ConnectionLost, EndOfStream):
            if not stale or len(member.protocol.buffer):
                raise
        return await exchange(await self._acquire(deadline, new=True))

    # -- what it is

    @property
    def address(self) -> str:
        """Where its connections go, as it was given."""
        return self._address

    @property
    def size(self) -> int:
        """The most connections that there may be."""
        return self._size

    @property
    def limits(self) -> Limits:
        """Sizes, counts and times of its connections."""
        return self._limits

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def stats(self) -> PoolStats:
        """Counts of now, and since the pool was first used."""
        places = self._places
        if places is None:
            return PoolStats(self.size)
        return PoolStats(
            size=self.size,
            in_use=len(places.in_use),
            idle=len(places.idle),
            opening=len(places.opening),
            waiting=len(places.waiters),
            opened=places.opened,
            discarded=places.discarded,
        )

    def __repr__(self) -> str:
        stats = self.stats
        failing = self._places is not None and self._places.failure is not None
        state = "CLOSED" if self._closed else "FAILING" if failing else "OPEN"
        waiting = f", {stats.waiting} waiting" if stats.waiting else ""
        return (
            f"<Pool {self.address} {state} {stats.in_use} of {self.size} in use, {stats.idle} idle{waiting}>"
        )

    # -- the way of a connection

    async def _acquire(self, deadline: Deadline | None, *, new: bool = False) -> Member:
        """Return a connection that works, as far as can be known."""
        places = self._at_work()
        first = False
        while True:
            member = await places.take(deadline, new=new, first=first)
            try:
                if not member.used or await self._works(member, places, deadline):
                    member.protocol.unsettled = False  # what `prepare` and `check` left is in order, they say
                    return member
            except BaseException:
                places.drop(member)
                raise
            places.drop(member)
            first = True

    async def _works(self, member: Member, places: Places, deadline: Deadline | None) -> bool:
        protocol = member.protocol
        if _something_came(protocol.info("socket")):
            for _ in range(TURNS_TO_LOOK):  # let the loop read it
                await asyncio.sleep(0)
        if not protocol.at_rest:
            return False
        idle = asyncio.get_running_loop().time() - member.idle_since
        if self._check is None or idle < self._check_after:
            return True
        left = self._check_timeout if deadline is None else min(self._check_timeout, deadline.remaining())
        try:
            async with asyncio.timeout(left):
                verdict = await self._check(member.connection)
        except Exception as error:  # noqa: BLE001  (whatever it is, the connection is not to be used)
            if left == self._check_timeout or not isinstance(error, TimeoutError):
                places.complain(member, error)
            return False
        return verdict is not False and protocol.at_rest

    async def _release(self, member: Member, *, broken: bool = False) -> None:
        places = self._places
        assert places is not None
        if broken:
            places.drop(member)
        elif member.protocol.at_rest and not member.protocol.unsettled:
            member.used = True
            places.give_back(member)
        else:
            await places.end(member)

    async def _connect(self) -> Connection:
        deadline = Deadline.after(self._connect_timeout)
        connection = await self._dial(self._connect_timeout)
        if self._prepare is None:
            return connection
        limit = asyncio.timeout(_left(deadline))
        try:
            async with limit:
                await self._prepare(connection)
        except TimeoutError as error:
            connection.abort()
            if not limit.expired():
                raise
            raise ConnectError(
                f"{self.address}: prepare did not end within {self._connect_timeout:g} s (connect_timeout)",
                address=self.address,
            ) from error
        except asyncio.CancelledError as error:
            connection.abort()
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this attempt was cancelled, but something that `prepare` waits for: without backoff it would go on for ever.
            raise ConnectError(
                f"{self.address}: prepare failed: what it waited for was cancelled", address=self.address
            ) from error
        except BaseException:
            connection.abort()
            raise
        return connection

    def _at_work(self) -> Places:
        if self._closed:
            raise ClosedError(f"the pool of {self.address} is closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._check_loop()
            self._loop = loop
            # What the pool had in a loop that was closed (a second asyncio.run) went with it.
            self._places = Places(
                self.address,
                self.size,
                self._connect,
                max_idle=self._max_idle,
                max_lifetime=self._max_lifetime,
            )
        assert self._places is not None
        return self._places

    def _check_loop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            raise UsageError("this pool belongs to another event loop: make one pool for each loop")

    # -- ending

    async def close(self, grace: float | None = None) -> None:
        """Give out nothing more, wait until what is in use comes back, and close everything. Idempotent.

        Inside a block that has a connection of this pool, it waits for that one, too, until the grace is over.

        Args:
            grace: Seconds to wait for the connections in use, before they are cut; `limits.close_timeout` if None.

        Cancelled: everything is cut at once.

        Raises:
            UsageError: Closed in another event loop than the one it was used in.
        """
        if self._loop is not asyncio.get_running_loop():
            self._check_loop()
        self._closed = True
        places = self._places
        if places is None or (self._loop is not None and self._loop.is_closed()):
            return
        deadline = Deadline.after(self.limits.close_timeout if grace is None else grace)
        try:
            places.close()
            if not await places.wait_empty(_left(deadline)):
                places.abort()
                await places.wait_empty(self.limits.close_timeout)
        except asyncio.CancelledError:
            places.abort(closing=True)
            raise

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(None if kind is None else 0.0)


def _something_came(sock: object) -> bool:
    """Whether a socket has bytes, or its end, that the event loop has not seen yet."""
    fileno = getattr(sock, "fileno", None)
    if fileno is None or fileno() < 0:
        return False
    poll = select.poll()
    poll.register(fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _left(deadline: Deadline | None) -> float | None:
    return None if deadline is None else deadline.remaining()


def _check_seconds(name: str, value: object, *, least: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value < math.inf or (value == 0 and not least):
        raise UsageError(
            f"{name} is a number of seconds {'from 0 up' if least else 'above 0'}, not {value!r}"
        )
