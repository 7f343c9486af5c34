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
from typing import Any, Final
from weakref import WeakSet

from wirelane.errors import UsageError
from wirelane.sync._facade import wrap

__all__ = ["THREADS", "Threads", "in_thread"]

THREADS: Final = 32
"""Threads of a server, unless said: what Python's own ThreadPoolExecutor stops at, too."""

_IDLE: Final = 10.0  # seconds until a thread without work ends

Work = Callable[[], None]


class Threads:
    """Threads that do what they are given, in the order given.

    Args:
        most: How many there may be.

    Raises:
        UsageError: `most` is below 1.
    """

    def __init__(self, most: int = THREADS) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise UsageError(f"threads is a number from 1 up, not {most!r}")
        self._most = most
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._work: deque[Work] = deque()
        self._wanted = threading.Condition(threading.Lock())
        self._count = 0
        self._idle = 0

    def __repr__(self) -> str:
        return f"<Threads {self._count} of {self._most}, {self._idle} idle>"

    def submit(self, work: Work) -> None:
        """Do something, which must not raise, as soon as there is a thread for it."""
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
        threading.Thread(target=self._run, name="wirelane.sync: handler", daemon=True).start()

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread, in a copy of this context, and return or raise what it does.

        Cancelled, the wait ends at once and the thread goes on to the end of the function: threads cannot be cancelled. A call that
        has not begun by then is not made.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = copy_context()

        def work() -> None:
            if future.cancelled():
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
                loop.call_soon_threadsafe(_settle, future, result, error)

        self.submit(work)
        return await future

    def _run(self) -> None:
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
