"""The places of a pool: which connections there are, who waits for one, and when another is made.

Contract:

- At most `size` connections exist at any moment: in use, idle, being opened, or being closed.
- Who comes first is served first, by a connection that is given back or by one that was made, whichever comes sooner.
- Connections are made by tasks of the pool, for those who wait; nobody's cancellation wastes one. After a failure there
  is one attempt at a time, with a backoff from one to the next; until it is time nobody tries.
- All is done synchronously but connecting, checking and closing: a caller that is cancelled leaves nothing half-done.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from wirelane.core.backoff import Backoff
from wirelane.core.keepalive import spread
from wirelane.core.limits import POOL_BACKOFF
from wirelane.core.sampling import Sampler
from wirelane.errors import ClosedError, PoolTimeout, UsageError, WirelaneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wirelane.core.deadline import Deadline
    from wirelane.tcp.connection import Connection
    from wirelane.tcp.protocol import TcpProtocol

__all__ = ["Member", "Places"]

logger = logging.getLogger("wirelane.tcp.pool")

_NEVER: Final = float("inf")


class Member:
    """One connection of a pool.

    Attributes:
        connection: As it is given out; another one each time.
        used: It was given out before, or has been idle: its peer may have had enough of it meanwhile.
        idle_since: When it was given back, on the clock of the loop.
        expires: When it is too old.
    """

    __slots__ = ("connection", "expires", "idle_since", "protocol", "used")

    def __init__(self, connection: Connection, expires: float) -> None:
        self.connection = connection
        self.protocol: TcpProtocol = connection._protocol
        self.used = False
        self.idle_since = 0.0
        self.expires = expires


class _Waiter:
    """Somebody who waits for a connection, or for the reason why there is none.

    Attributes:
        patient: Has a deadline, and goes on waiting when an attempt to connect fails.
        new: Wants a connection that was never used.
    """

    __slots__ = ("future", "new", "patient")

    def __init__(self, *, patient: bool, new: bool) -> None:
        self.future: asyncio.Future[Member | Exception] = asyncio.get_running_loop().create_future()
        self.patient = patient
        self.new = new


class Places:
    """The connections of one pool, in one event loop.

    Args:
        name: Of the pool's target, for errors.
        size: The most connections.
        connect: Makes one, ready for use.
        max_idle: Seconds that one may be idle; None: for ever.
        max_lifetime: Seconds after which one is not used again, a tenth more or less; None: never.

    Attributes:
        opened: Connections that were made so far.
        discarded: Those of them that were not kept: broken, unfinished, idle for too long, or too old.
        failure: Why the last attempt failed; None if none did, or a later one succeeded.
    """

    def __init__(
        self,
        name: str,
        size: int,
        connect: Callable[[], Awaitable[Connection]],
        *,
        max_idle: float | None,
        max_lifetime: float | None,
    ) -> None:
        self.size = size
        self.opened = 0
        self.discarded = 0
        self.failure: Exception | None = None
        self.idle: list[Member] = []  # the one that was used last is the last
        self.in_use: set[Member] = set()
        self.opening: set[asyncio.Task[None]] = set()
        self.closing: dict[asyncio.Task[None], Member] = {}
        self.waiters: deque[_Waiter] = deque()
        self.closed = False
        self._name = name
        self._connect = connect
        self._max_idle = _NEVER if max_idle is None else max_idle
        self._max_lifetime = max_lifetime
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff(POOL_BACKOFF)
        self._failed_at = -_NEVER
        self._retry_at = -_NEVER
        self._retry: asyncio.TimerHandle | None = None
        self._tidy: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._log_sampler = Sampler(1)

    @property
    def total(self) -> int:
        """How many connections there are, and are about to be."""
        return len(self.idle) + len(self.in_use) + len(self.opening) + len(self.closing)

    # -- taking

    async def take(self, deadline: Deadline | None, *, new: bool = False, first: bool = False) -> Member:
        """Return a connection, which is in use from now on. Cancel-safe.

        Args:
            deadline: Until when to wait.
            new: One that was never used.
            first: Before all others: the caller's turn had come already.

        Raises:
            PoolTimeout, ClosedError: See `Pool.connection`; and what connecting raises.
        """
        if self.closed:
            raise ClosedError(f"the pool of {self._name} is closed")
        if not new:
            while self.idle:
                member = self._off_the_shelf(self.idle[-1])
                if self._fit(member):
                    return self._taken(member)
                self._dismiss(member)
        waiter = _Waiter(patient=deadline is not None, new=new)
        if first:
            self.waiters.appendleft(waiter)
        else:
            self.waiters.append(waiter)
        self._grow()
        try:
            await asyncio.wait((waiter.future,), timeout=None if deadline is None else deadline.remaining())
        except BaseException:
            if waiter.future.done() and isinstance(member_or_error := waiter.future.result(), Member):
                self.give_back(member_or_error)
            raise
        finally:
            self._forget(waiter)
        if not waiter.future.done():
            raise self._too_late()
        result = waiter.future.result()
        if isinstance(result, Exception):
            raise result
        return result

    def _forget(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            self.waiters.remove(waiter)
        if not self.waiters and self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _too_late(self) -> Exception:
        if self.failure is not None:
            return _again(self.failure)
        in_use, waiting = len(self.in_use), len(self.waiters)
        text = f"no connection to {self._name} was free in time: {in_use} of {self.size} are in use"
        if self.opening:
            text += f", {len(self.opening)} being opened"
        if waiting:
            text += f", and {waiting} more wait"
        return PoolTimeout(text, size=self.size, in_use=in_use, waiting=waiting)

    def _taken(self, member: Member) -> Member:
        self.in_use.add(member)
        return member

    # -- giving back

    def give_back(self, member: Member) -> None:
        """Hand a connection that is at rest to whoever waits first, or keep it."""
        self.in_use.discard(member)
        if self.closed or not self._fit(member):
            self._dismiss(member)
        else:
            member.connection = member.connection._renewed()
            self._put(member)

    def drop(self, member: Member) -> None:
        """Cut a connection that must not be used again."""
        self.in_use.discard(member)
        self.discarded += 1
        member.connection.abort()
        self._left()

    async def end(self, member: Member) -> None:
        """Close a connection in order that must not be used again; its place is free when that is done."""
        self.discarded += 1
        try:
            await member.connection.close()
        finally:
            self.in_use.discard(member)
            self._left()

    def _put(self, member: Member) -> None:
        member.idle_since = self._loop.time()
        for waiter in self.waiters:
            if not (waiter.new and member.used):
                self.waiters.remove(waiter)
                waiter.future.set_result(self._taken(member))
                return
        if not member.protocol.at_rest:
            self._dismiss(member)
            return
        member.used = True
        self.idle.append(member)
        member.protocol.watch(lambda: self._stirred(member))
        self._plan_tidying(member)
        self._grow()

    def _fit(self, member: Member) -> bool:
        now = self._loop.time()
        return member.protocol.at_rest and now < member.expires

    def _dismiss(self, member: Member) -> None:
        """Close in order, in the background, a connection that nobody has; one with bytes that nobody wants is cut."""
        self.discarded += not self.closed
        if member.protocol.lost or member.connection.buffered:
            member.connection.abort()
            self._left()
            return
        task = self._loop.create_task(member.connection.close(), name=f"wirelane: close {self._name}")
        self.closing[task] = member
        task.add_done_callback(self._dismissed)

    def _dismissed(self, task: asyncio.Task[None]) -> None:
        del self.closing[task]
        self._left()

    def _left(self) -> None:
        """A place may be free."""
        if not self.closed:
            self._grow()
        elif not self.total:
            self._empty.set()

    # -- the shelf

    def _off_the_shelf(self, member: Member) -> Member:
        self.idle.remove(member)
        member.protocol.unwatch()
        return member

    def _stirred(self, member: Member) -> None:
        """Something came on an idle connection, or it ended: nobody asked for that."""
        if member in self.idle and not member.protocol.at_rest:
            self._dismiss(self._off_the_shelf(member))

    def _plan_tidying(self, member: Member) -> None:
        at = min(member.idle_since + self._max_idle, member.expires)
        if at == _NEVER or (self._tidy is not None and self._tidy.when() <= at):
            return
        if self._tidy is not None:
            self._tidy.cancel()
        self._tidy = self._loop.call_at(at, self._tidy_up)

    def _tidy_up(self) -> None:
        """Close what has been idle for too long, or is too old."""
        self._tidy = None
        now = self._loop.time()
        for member in tuple(self.idle):
            if now >= min(member.idle_since + self._max_idle, member.expires):
                self._dismiss(self._off_the_shelf(member))
            else:
                self._plan_tidying(member)

    # -- making more

    def _grow(self) -> None:
        """Make connections for those who wait, as far as size and backoff allow."""
        self._make_room()
        while len(self.waiters) > len(self.opening) and self.total < self.size:
            if self.failure is not None:
                if self.opening:
                    return  # one at a time, until one succeeds
                delay = self._retry_at - self._loop.time()
                if delay > 0:
                    if self._retry is None:
                        self._retry = self._loop.call_later(delay, self._try_again)
                    return
            task = self._loop.create_task(self._open(), name=f"wirelane: connect to {self._name}")
            self.opening.add(task)
            task.add_done_callback(self._opened)

    def _make_room(self) -> None:
        """Where those who wait want new connections, and idle ones have the places, let go of the longest idle."""
        while self.idle and self.total >= self.size and self.failure is None:
            if len(self.waiters) <= len(self.opening) + len(self.closing):
                return
            self._dismiss(self._off_the_shelf(self.idle[0]))

    def _try_again(self) -> None:
        self._retry = None
        self._grow()

    async def _open(self) -> None:
        started = self._loop.time()
        this = asyncio.current_task()
        assert this is not None
        try:
            connection = await self._connect()
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait for it get it)
            self.opening.discard(this)
            self._failed(error, started)
            return
        self.opening.discard(this)
        if self.closed:
            connection.abort()
            return
        self.opened += 1
        self.failure = None
        self._backoff.reset()
        lifetime = _NEVER if self._max_lifetime is None else spread(self._max_lifetime)
        self._put(Member(connection, self._loop.time() + lifetime))

    def _opened(self, task: asyncio.Task[None]) -> None:
        self.opening.discard(task)
        self._left()

    def _failed(self, error: Exception, started: float) -> None:
        if isinstance(error, UsageError):  # nothing that time heals
            self._tell(error, len(self.waiters), patient=True)
            return
        logger.debug("connecting to %s failed: %s", self._name, error)
        self.failure = error
        if started >= self._failed_at:  # attempts that were under way together fail together
            self._failed_at = self._loop.time()
            self._retry_at = started + self._backoff.delay()
        # Each attempt is made for one who waits. When none is left, the next is for later.
        self._tell(error, 1 if self.opening else len(self.waiters), patient=False)

    def _tell(self, error: Exception, most: int, *, patient: bool) -> None:
        """Let so many hear of it, who came first; the patient ones as well?"""
        told = [waiter for waiter in self.waiters if patient or not waiter.patient][:most]
        for waiter in told:
            self.waiters.remove(waiter)
            waiter.future.set_result(_again(error))

    def complain(self, member: Member, error: Exception) -> None:
        """Say that a check failed: at INFO, and not too often."""
        level, text = self._log_sampler.line(
            "check", "an idle connection to %s does not work any more: %s: %s"
        )
        logger.log(level, text, member.connection.peer, type(error).__name__, error)

    # -- ending

    def close(self) -> None:
        """Give out nothing more: those who wait hear ClosedError, idle connections are closed. Idempotent."""
        if self.closed:
            return
        self.closed = True
        for timer in (self._retry, self._tidy):
            if timer is not None:
                timer.cancel()
        self._tell(ClosedError(f"the pool of {self._name} was closed"), len(self.waiters), patient=True)
        for task in self.opening:
            task.cancel()
        while self.idle:
            self._dismiss(self._off_the_shelf(self.idle[-1]))
        self._left()

    def abort(self, *, closing: bool = False) -> None:
        """Cut the connections that are in use, whatever their blocks go on to do; those as well that are being closed?"""
        for member in (*self.in_use, *(self.closing.values() if closing else ())):
            member.connection.abort()
        self.in_use.clear()
        self._left()

    async def wait_empty(self, timeout: float | None) -> bool:
        """After `close`, wait until no connection is left; whether that came about in time."""
        emptied = asyncio.ensure_future(self._empty.wait())
        try:
            await asyncio.wait((emptied,), timeout=timeout)
            return self._empty.is_set()
        finally:
            emptied.cancel()


def _again(error: Exception) -> Exception:
    """Return an error to raise once more: each who hears of it gets one of his own, with his own traceback."""
    if not isinstance(error, WirelaneError):
        return error
    another = copy.copy(error)
    another.__cause__ = error.__cause__
    return another
