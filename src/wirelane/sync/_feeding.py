"""Iterables of the user, whose next item may take its time, for a loop that must not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import FunctionType
from typing import Any, Final, Self, TypeAlias, TypeVar

__all__ = ["Feed", "Messages", "feed"]

T = TypeVar("T")

Messages: TypeAlias = Iterable[T]
"""Requests to be sent in order."""

AHEAD: Final = 64
"""Items that are taken from an iterable before they are asked for, at most."""


def feed(messages: Any) -> Any:
    """Return what the loop can go through: what may block as a `Feed`; what holds its items already, as it is."""
    if isinstance(messages, Iterator) or (
        # A class of the user's with an __iter__ in Python. Messages may have one, too.
        isinstance(getattr(type(messages), "__iter__", None), FunctionType)
        and not hasattr(messages, "DESCRIPTOR")
    ):
        return Feed(messages)
    return messages


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="wirelane.sync: messages", daemon=True).start()


class Feed(AsyncGenerator[Any, None]):
    """Items of an iterable that a thread of its own goes through, in the context of whoever made this.

    Each is handed over when it is there; the thread is at most `AHEAD` in front. It ends with the iterable, or at the next item
    after `aclose`, and closes a generator that was not used up.
    """

    def __init__(
        self, items: Iterable[Any], *, start: Callable[[Callable[[], None]], None] = _in_a_thread
    ) -> None:
        self._items = items
        self._start = start
        self._ready: deque[Any] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._finished = False
        self._error: BaseException | None = None
        self._stopped = False
        self._context = copy_context()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._start(partial(self._context.run, self._run))
        while True:
            finished = self._finished  # asked first: all that came before the end is there then
            if self._ready:
                self._room.release()
                return self._ready.popleft()
            if finished:
                error, self._error = self._error, None
                raise StopAsyncIteration if error is None else error
            waiter = self._waiter = self._loop.create_future()
            if not self._something():  # meanwhile, before there was a future to wake
                await waiter

    def _something(self) -> bool:
        return bool(self._ready) or self._finished

    async def aclose(self) -> None:
        """Let the thread end with the item that it is at. Does not wait for it: nobody knows how long that takes."""
        self._stopped = True
        self._room.release()

    async def asend(self, value: None) -> Any:
        """As `__anext__`."""
        return await self.__anext__()

    async def athrow(self, *error: Any) -> Any:
        """As `aclose`, then raise."""
        await self.aclose()
        raise error[0]

    def _run(self) -> None:
        iterator: Any = None
        try:
            if self._is_stopped():
                return  # nobody wants it any more: a generator that was not begun is not
            iterator = iter(self._items)
            for item in iterator:
                if not self._give(item):
                    break
            if self._stopped and hasattr(iterator, "close"):
                iterator.close()
        except BaseException as error:  # noqa: BLE001  (raised to whoever waits for the next item)
            self._error = error
        finally:
            self._finished = True
            self._wake()

    def _is_stopped(self) -> bool:
        return self._stopped  # by another thread, perhaps a moment later

    def _give(self, item: Any) -> bool:
        """Hand an item over, and wait for room; False if nobody wants more."""
        if self._stopped:
            return False
        self._ready.append(item)
        self._wake()
        self._room.acquire()
        return not self._stopped

    def _wake(self) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed: the interpreter goes down, and nobody waits
            self._loop.call_soon_threadsafe(self._woken)

    def _woken(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
