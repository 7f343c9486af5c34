"""`twins_support` without `await`: the same names, which wait by blocking their thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from support import side_loop
from support.side_loop import PATIENCE, there
from support.twins_support import BOTH, DOWN, ONE, UP, Handler, echo, saying, serving, silent

__all__ = [
    "BOTH",
    "DOWN",
    "ONE",
    "UP",
    "Event",
    "Handler",
    "Running",
    "echo",
    "elsewhere",
    "gather",
    "saying",
    "serving",
    "silent",
    "sleep",
    "start",
    "there",
    "until",
]

T = TypeVar("T")


# At the same time


class Running(Generic[T]):
    """A function that runs beside the test, in a thread."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def done(self) -> bool:
        """Whether it has returned or raised."""
        return self._future.done()

    def result(self) -> T:
        """Wait for it, and return or raise what it does."""
        return self._future.result()


def start(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Running[Any]:
    """Run something beside the test, in a copy of its context as a task would."""
    future: Future[Any] = Future()
    context = copy_context()

    def run() -> None:
        try:
            result = context.run(function, *arguments, **keywords)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=f"beside the test: {function!r}", daemon=True).start()
    return Running(future)


def gather(*running: Running[Any], return_exceptions: bool = False) -> list[Any]:
    """Wait for all of them, and return what they return, in order; with `return_exceptions`, what they raise as well."""
    results: list[Any] = []
    for each in running:
        try:
            results.append(each.result())
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results


def sleep(seconds: float) -> None:
    """Let time pass."""
    time.sleep(seconds)


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true that tells nobody when it becomes so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.001)


class Event(side_loop.Event):
    """Set in any thread, and waited for by the test or in any loop."""

    def wait(self) -> Coroutine[Any, Any, None] | None:
        """Wait for it; in a function that is marked `there`, await it."""
        if asyncio._get_running_loop() is not None:
            return self.seen()
        self.block()
        return None


# Elsewhere


def _waited(future: Future[Any]) -> Any:
    return future.result()


class elsewhere:  # noqa: N801  (used as a function)
    """Enter an asynchronous context manager in the side loop; gives what it gives, or a proxy that does there what it is told here.

    Args:
        function: What makes the context manager, called there with the arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        self._stay = side_loop.Stay(function, arguments, keywords)

    def __enter__(self) -> Any:
        try:
            return side_loop.shown(_waited(self._stay.enter()), _waited)
        except BaseException:
            self._stay.left()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            _waited(self._stay.leave(error))
        finally:
            self._stay.left()
