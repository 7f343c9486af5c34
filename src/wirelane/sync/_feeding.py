"""Iterables of the user, whose next item may take its time, for a loop that must not wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import FunctionType
from typing import Any, Self, TypeAlias, TypeVar

from wirelane.grpc.packed import PackedMessages
from wirelane.sync._streams import BATCH, OUTBOX
from wirelane.sync._threads import Claim

__all__ = ["Feed", "Messages", "feed"]

T = TypeVar("T")

Messages: TypeAlias = Iterable[T]
"""Requests to be sent in order."""


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


class Feed(PackedMessages):
    """Items of an iterable that a thread of its own goes through, in the context of whoever made this.

    Each is packed there, and handed over when it is there. The thread goes ahead by `BATCH` items or `OUTBOX` octets, and then waits until
    all of them were taken and more is asked for: so the two threads change places once for many items. It ends with the
    iterable, or at the next item after `aclose`, and closes a generator that was not used up.

    Args:
        items: The iterable.
        start: Makes the thread.
        first_alone: Go on after the first item only when it was taken, and more is asked for.
    """

    def __init__(
        self,
        items: Iterable[Any],
        *,
        start: Callable[[Callable[[], None]], None] = _in_a_thread,
        first_alone: bool = False,
    ) -> None:
        self._items = items
        self._start = start
        self._alone = first_alone
        self._context = copy_context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: deque[Any] = deque()
        self._more = threading.Event()
        # Changed by the thread of the items alone:
        self._given = 0
        self._size = 0
        self._woken: asyncio.Future[None] | None = None
        self.finished = False
        self._error: BaseException | None = None
        # Of whoever is first, the thread that begins or the loop that stops it:
        self._claim = Claim()
        # Changed by the loop alone:
        self._taken = 0
        self._used = 0  # how many had been taken when more was asked for, and nothing was there
        self._waiter: asyncio.Future[None] | None = None
        self._stopped = False
        self.begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._start(partial(self._context.run, self._run))
        while True:
            finished = self.finished  # asked first: all that came before the end is there then
            if self._ready:
                self._taken += 1
                return self._ready.popleft()
            if finished:
                error, self._error = self._error, None
                raise StopAsyncIteration if error is None else error
            waiter = self._waiter = self._loop.create_future()
            if not self._something():  # meanwhile, before there was a future to wake
                self._used = self._taken
                self._more.set()
                await waiter

    def _something(self) -> bool:
        return bool(self._ready) or self.finished

    async def aclose(self) -> None:
        """Let the thread end with the item that it is at. Does not wait for it: nobody knows how long that takes."""
        if not self._stopped:
            self._stopped = True
            self.begun = not self._claim.take()
            self._more.set()

    async def ended(self) -> None:
        """Wait until the thread has ended, and raise what it has raised; after `aclose`, if it has begun."""
        while not self.finished:
            assert self._loop is not None
            waiter = self._waiter = self._loop.create_future()
            if not self.finished:  # meanwhile, before there was a future to wake
                await waiter
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def asend(self, value: None) -> Any:
        """As `__anext__`."""
        return await self.__anext__()

    async def athrow(self, *error: Any) -> Any:
        """As `aclose`, then raise."""
        await self.aclose()
        raise error[0]

    # In the thread of the items

    def _run(self) -> None:
        try:
            if self._claim.take():  # else nobody wants it any more: a generator that was not begun is not
                self._go_through(iter(self._items))
        except BaseException as error:  # noqa: BLE001  (raised to whoever waits for the next item)
            self._error = error
        finally:
            self.finished = True
            self._wake()

    def _go_through(self, items: Iterator[Any]) -> None:
        try:
            for item in items:
                if self._is_stopped():
                    break
                self._give(item)
                if self._is_stopped():
                    break
        finally:
            if isinstance(items, Generator):
                items.close()

    def _is_stopped(self) -> bool:
        return self._stopped  # by another thread, perhaps a moment later

    def _give(self, item: Any) -> None:
        """Hand an item over, and wait if that was enough for now."""
        if self.pack is not None:
            item = self.pack(item)
            self._size += len(item[0])
        self._given += 1
        self._ready.append(item)
        self._wake()
        if self._alone or self._size > OUTBOX or len(self._ready) >= BATCH:
            self._alone = False
            self._size = 0
            self._wait()

    def _wait(self) -> None:
        """Until all that was given is taken, and more is asked for."""
        while self._used < self._given and not self._stopped:
            self._more.clear()
            if self._used < self._given and not self._stopped:  # not meanwhile, before it was cleared
                self._more.wait()

    def _wake(self) -> None:
        """Wake the loop, once for each time that it waits."""
        waiter = self._waiter
        if waiter is not None and waiter is not self._woken:
            assert self._loop is not None
            self._woken = waiter
            with suppress(RuntimeError):  # the loop is closed: the interpreter goes down, and nobody waits
                self._loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
