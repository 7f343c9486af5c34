"""Objects that are awaited like a coroutine, and a coroutine that goes on in another task."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["AwaitableCall", "Resumed"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class AwaitableCall(Coroutine[Any, Any, T_co]):
    """Awaitable, and accepted where only a coroutine is: `asyncio.create_task(channel.unary(...))`."""

    __slots__ = ()

    @abstractmethod
    def _coroutine(self) -> Coroutine[Any, Any, T_co]:
        """Return the coroutine behind this object, the same one each time."""

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._coroutine().__await__()

    def send(self, value: Any, /) -> Any:
        """Resume the coroutine behind this object; for event loops."""
        return self._coroutine().send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise inside the coroutine behind this object; for event loops."""
        if isinstance(kind, BaseException):
            return self._coroutine().throw(kind)
        error = value if isinstance(value, BaseException) else kind(*(() if value is None else (value,)))
        return self._coroutine().throw(error.with_traceback(traceback))

    def close(self) -> None:
        """End the coroutine behind this object; for event loops."""
        self._coroutine().close()


class Resumed:
    """A coroutine that was started here by hand and had to wait, to be finished by another task.

    Starting a coroutine by hand tells whether it has to wait at all: most do not, and then no task is needed.

    Args:
        started: The coroutine.
        waits_for: What it gave out to wait for.
    """

    __slots__ = ("_started", "_waits_for")

    def __init__(self, started: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._started: Coroutine[Any, Any, Any] = started
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        return _go_on(self._started, self._waits_for)

    def close(self) -> None:
        """Cancel the coroutine if nobody finished it: it may hold a place in a queue."""
        if inspect.getcoroutinestate(self._started) == inspect.CORO_SUSPENDED:
            try:
                self._started.throw(asyncio.CancelledError())
            except (asyncio.CancelledError, StopIteration):
                pass


def _go_on(started: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Do what `await started` would have gone on to do."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  (whatever is thrown in belongs to the coroutine)
                waits_for = started.throw(error)
            else:
                waits_for = started.send(sent)
    except StopIteration as stop:
        result: T = stop.value
        return result
