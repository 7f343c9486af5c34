"""An event loop in a thread of its own, for the other side of tests that are run with asyncio and without.

What `entered` enters lives in that loop: raw peers, servers, proxies. The test holds proxies of it: what is called on them is called
there, what they give is a proxy again unless it is a plain value. The first block starts the loop, and with the last it ends;
then no task may be left in it.

`twins_support` and `twins_sync_support` are made of this; tests import those.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE: Final = 30.0
"""Seconds: a test that needs them has failed."""

_TURNS_TO_SETTLE = 20  # as in conftest.py

Wait = Callable[["Future[Any]"], Any]
"""How the test waits for what happens there: by awaiting, or by blocking."""


def there(function: F) -> F:
    """Mark a function or class of a test that runs in the side loop in both forms: tools/make_sync.py leaves it as it is."""
    return function


class _SideLoop:
    """The loop, while anybody needs it."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._left: set[asyncio.Task[Any]] = set()

    def enter(self) -> None:
        """Start it, if it is not there."""
        with self._changing:
            self._users += 1
            if self._users > 1:
                return
            started = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(started,), name="side loop", daemon=True)
            self._thread.start()
            assert started.wait(PATIENCE)

    def leave(self) -> None:
        """End it, if nobody else is there; nothing may be left in it."""
        with self._changing:
            self._users -= 1
            if self._users:
                return
            assert self._loop is not None
            assert self._over is not None
            assert self._thread is not None
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(PATIENCE)
            self._loop = None
            left, self._left = self._left, set()
        assert not left, f"{len(left)} task(s) are left in the side loop: " + "; ".join(map(repr, left))

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine there."""
        if self._loop is None:
            work.close()
            raise RuntimeError("what this belongs to has been left")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, started: threading.Event) -> None:
        asyncio.run(self._main(started))

    async def _main(self, started: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        await self._over.wait()
        for _ in range(_TURNS_TO_SETTLE):
            await asyncio.sleep(0)
        # grpc.aio ends tasks of its calls some time after the calls.
        self._left = {
            task for task in asyncio.all_tasks() - {asyncio.current_task()} if "_AioCall." not in repr(task)
        }


_side = _SideLoop()


class Proxy:
    """Stands in the test for an object of the side loop."""

    __slots__ = ("_target", "_wait")
    _target: Any
    _wait: Wait

    def __init__(self, target: Any, wait: Wait) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_wait", wait)

    def __getattr__(self, name: str) -> Any:
        return shown(getattr(self._target, name), self._wait)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, _own(value))

    def __eq__(self, other: object) -> bool:
        return bool(self._target == _own(other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __len__(self) -> int:
        return len(self._target)

    def __bool__(self) -> bool:
        return bool(self._target)

    def __repr__(self) -> str:
        return f"<elsewhere: {self._target!r}>"


def _own(value: Any) -> Any:
    """What a proxy stands for; all else as it is."""
    if isinstance(value, Proxy):
        return value._target
    return type(value)(map(_own, value)) if type(value) in (list, tuple) else value


def shown(value: Any, wait: Wait) -> Any:
    """What a test gets for a value from there."""
    if isinstance(value, FunctionType | MethodType | BuiltinMethodType):
        return functools.partial(_called, value, wait)
    if type(value) in (list, tuple):
        return type(value)(shown(each, wait) for each in value)
    return Proxy(value, wait) if _lives(type(value)) else value  # type: ignore[arg-type]  # mypy: no type hashes


def _called(function: Callable[..., Any], wait: Wait, /, *arguments: Any, **keywords: Any) -> Any:
    own, named = map(_own, arguments), {name: _own(each) for name, each in keywords.items()}

    async def call() -> Any:
        result = function(*own, **named)
        return shown(await result if inspect.isawaitable(result) else result, wait)

    future = _side.submit(call())
    # What is not to be awaited does not wait for anything, so neither does the test for long.
    return wait(future) if inspect.iscoroutinefunction(function) else future.result(PATIENCE)


@functools.cache
def _lives(kind: type) -> bool:
    """Whether objects of a class belong to their loop: it has coroutines, is called by the loop, or is a helper of the tests."""
    if issubclass(kind, BaseException | enum.Enum | type):
        return False
    if issubclass(kind, asyncio.BaseProtocol | asyncio.BaseTransport):
        return True
    if any(inspect.iscoroutinefunction(inspect.getattr_static(kind, name)) for name in dir(kind)):
        return True
    value = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return kind.__module__.startswith("support.") and not value


class Stay:
    """One asynchronous context manager, entered and left there by one task."""

    def __init__(self, function: Callable[..., Any], arguments: Any, keywords: dict[str, Any]) -> None:
        self._make = functools.partial(
            _own(function), *map(_own, arguments), **{name: _own(each) for name, each in keywords.items()}
        )
        self._entered: Future[Any] = Future()
        self._leaving = Event()
        self._error: BaseException | None = None
        self._task: Future[Any] | None = None

    def enter(self) -> Future[Any]:
        """Begin; what it gives is in the future."""
        _side.enter()
        self._task = _side.submit(self._hold())
        return self._entered

    def leave(self, error: BaseException | None) -> Future[Any]:
        """End it, by an error if the test has one."""
        assert self._task is not None
        self._error = error
        self._leaving.set()
        return self._task

    def left(self) -> None:
        """It has ended."""
        _side.leave()

    async def _hold(self) -> None:
        try:
            async with self._make() as value:
                self._entered.set_result(value)
                await self._leaving.seen()
                if self._error is not None:
                    raise self._error
        except BaseException as error:
            if not self._entered.done():
                self._entered.set_exception(error)
            elif error is not self._error:
                raise


class Event:
    """Set in any thread, and waited for in any thread and any loop."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'set' if self.is_set() else 'not set'}>"

    def set(self) -> None:
        """It has happened."""
        self._set.set()
        for loop, future in list(self._waiting):
            loop.call_soon_threadsafe(_wake, future)

    def clear(self) -> None:
        """It has not happened."""
        self._set.clear()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._set.is_set()

    async def seen(self) -> None:
        """Wait for it, in a loop."""
        loop = asyncio.get_running_loop()
        waiting = (loop, loop.create_future())
        self._waiting.append(waiting)
        try:
            if not self.is_set():  # asked when `set` would wake us
                await asyncio.wait_for(waiting[1], PATIENCE)
        finally:
            self._waiting.remove(waiting)

    def block(self) -> None:
        """Wait for it, in a thread."""
        if not self._set.wait(PATIENCE):
            raise TimeoutError


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
