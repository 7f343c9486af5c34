"""Functions of the user that block, for a loop that awaits them: each call runs in a thread, with shells for arguments.

The threads are daemons, as many as are needed and at most as many as said, and end when nothing was to do for a while. So a function
that never returns keeps neither a server from draining nor the interpreter from ending, as those of `concurrent.futures` would.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import wraps
from typing import Any, Final, TypeVar
from weakref import WeakSet

from wirelane.core.behalf import BEHALF
from wirelane.errors import UsageError
from wirelane.sync._facade import wrap

__all__ = ["THREADS", "Claim", "Threads", "in_thread"]

THREADS: Final = 32
"""Threads of a server, unless said: what Python's own ThreadPoolExecutor stops at, too."""

_IDLE: Final = 10.0  # seconds until a thread without work ends

Work = Callable[[], None]
T = TypeVar("T")

_mine = threading.local()


class Claim:
    """Who is first, of a thread that begins something and a loop that no longer wants it."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free = [True]

    def take(self) -> bool:
        """Whether nobody was first."""
        try:
            return self._free.pop()
        except IndexError:
            return False


class Threads:
    """Threads that do what they are given, in the order given.

    Args:
        most: How many there may be.
        patient: A call that was cancelled and has begun is waited for, until `leave`.

    Raises:
        UsageError: `most` is below 1.
    """

    def __init__(self, most: int = THREADS, *, patient: bool = False) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise UsageError(f"threads is a number from 1 up, not {most!r}")
        self._most = most
        self.patient = patient
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._work: deque[Work] = deque()
        self._wanted = threading.Condition(threading.Lock())
        self._count = 0
        self._idle = 0
        self._ends: set[asyncio.Future[Any]] = set()

    def __repr__(self) -> str:
        return f"<Threads {self._count} of {self._most}, {self._idle} idle>"

    def submit(self, work: Work) -> None:
        """Do something, which must not raise, as soon as there is a thread for it.

        Raises:
            RuntimeError: There is none, and none can be started.
        """
        with self._wanted:
            self._work.append(work)
            if self._idle >= len(
                self._work
            ):  # woken threads count as idle, and their work as waiting, until they take it
                self._wanted.notify()
                return
            if self._count >= self._most:
                return
            self._count += 1
        try:
            threading.Thread(target=self._run, name="wirelane.sync: handler", daemon=True).start()
        except RuntimeError:  # the system gives no more
            with self._wanted:
                self._count -= 1
                if self._count or work not in self._work:
                    return  # another thread does it
                self._work.remove(work)
            raise

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread, in a copy of this context, and return or raise what it does.

        Threads cannot be cancelled. Cancelled, a call that has not begun is not made; for one that has, the wait ends at once, and the
        thread goes on to the end of the function; patient threads are waited for (`see_out`).
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        claim = Claim()
        end: asyncio.Future[Any] | None = None
        context = copy_context()
        context.run(BEHALF.set, asyncio.current_task())

        def work() -> None:
            if not claim.take():
                return
            result: Any = None
            error: BaseException | None = None
            try:
                result = context.run(function, *arguments)
            except StopIteration as stop:
                error = RuntimeError(f"{function!r} raised StopIteration")  # no future holds one
                error.__cause__ = stop
            except BaseException as raised:  # noqa: BLE001  (it is the caller's)
                error = raised
            with suppress(RuntimeError):  # the loop is closed: the interpreter goes down, and nobody waits
                loop.call_soon_threadsafe(settle, result, error)

        def settle(result: Any, error: BaseException | None) -> None:
            _settle(future if end is None else end, result, error)

        self.submit(work)
        try:
            return await future
        except asyncio.CancelledError:
            if claim.take() or not (self.patient and future.cancelled()):
                raise
            end = loop.create_future()
            return await self.see_out(end)

    async def see_out(self, end: asyncio.Future[T]) -> T:
        """Wait for what goes on in a thread although nobody wants it any more.

        Raises:
            asyncio.CancelledError: It is left behind.
        """
        self._ends.add(end)
        try:
            return await end
        finally:
            self._ends.discard(end)

    def leave(self) -> None:
        """Wait no more for what nobody wants; in the loop."""
        self.patient = False
        for end in self._ends:
            end.cancel()

    def inside(self) -> bool:
        """Whether this is one of the threads."""
        return getattr(_mine, "threads", None) is self

    def _run(self) -> None:
        _mine.threads = self
        while True:
            with self._wanted:
                self._idle += 1
                self._wanted.wait_for(self._work.__len__, timeout=_IDLE)
                self._idle -= 1
                if not self._work:
                    self._count -= 1
                    return
                work = self._work.popleft()
            work()
            del work  # what it holds is not kept until the next


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_all: WeakSet[Threads] = WeakSet()
_shared = Threads()


def in_thread(function: Any, threads: Threads | None = None) -> Any:
    """Return what can be awaited in place of a function that blocks; all else, as it is, for others to take or to refuse."""
    if not callable(function) or inspect.iscoroutinefunction(function):
        return function

    @wraps(function)
    async def call(*arguments: Any) -> Any:
        return await (threads or _shared).call(function, *map(wrap, arguments))

    return call


def _after_fork() -> None:
    for threads in list(_all):
        threads._reset()  # they, and what they were to do, are the parent's


os.register_at_fork(after_in_child=_after_fork)
