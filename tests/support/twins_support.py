"""What the tests that exist with and without `await` share; this is the form with it, `twins_sync_support` the one without.

The other side of such a test knows nothing of the test's loop: it is a server in threads, or lives `elsewhere`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from support import side_loop
from support.client_support import SERVICE
from support.side_loop import PATIENCE, there

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

ONE, DOWN, UP, BOTH = (f"{SERVICE}/{name}" for name in ("One", "Down", "Up", "BothWays"))

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """A server of blocking sockets, a thread for each connection; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(16) as pool:

        def handle(client: socket.socket) -> None:
            with client, contextlib.suppress(ConnectionError):
                handler(client)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                pool.submit(handle, client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def echo(client: socket.socket) -> None:
    """Send back what comes."""
    while data := client.recv(65536):
        client.sendall(data)


def silent(client: socket.socket) -> None:
    """Read, and never say a word."""
    while client.recv(65536):
        pass


def saying(data: bytes) -> Handler:
    """A handler that sends and closes."""
    return lambda client: client.sendall(data)


# At the same time


class Running(Generic[T]):
    """A function that runs beside the test: a task here, a thread in the other form."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task

    def done(self) -> bool:
        """Whether it has returned or raised."""
        return self._task.done()

    async def result(self) -> T:
        """Wait for it, and return or raise what it does."""
        return await self._task


def start(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Running[Any]:
    """Run something beside the test."""

    async def run() -> Any:
        result = function(*arguments, **keywords)
        return await result if inspect.isawaitable(result) else result

    return Running(asyncio.create_task(run()))


async def gather(*running: Running[Any], return_exceptions: bool = False) -> list[Any]:
    """Wait for all of them, and return what they return, in order; with `return_exceptions`, what they raise as well."""
    results: list[Any] = []
    for each in running:
        try:
            results.append(await each.result())
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results


async def sleep(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true that tells nobody when it becomes so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Event(side_loop.Event):
    """Set in any thread, and waited for by the test or in any loop."""

    async def wait(self) -> None:
        """Wait for it."""
        await self.seen()


# Elsewhere


async def _waited(future: Future[Any]) -> Any:
    return await asyncio.wrap_future(future)


class elsewhere:  # noqa: N801  (used as a function)
    """Enter an asynchronous context manager in the side loop; gives what it gives, or a proxy that does there what it is told here.

    Args:
        function: What makes the context manager, called there with the arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        self._stay = side_loop.Stay(function, arguments, keywords)

    async def __aenter__(self) -> Any:
        try:
            return side_loop.shown(await _waited(self._stay.enter()), _waited)
        except BaseException:
            self._stay.left()
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            await _waited(self._stay.leave(error))
        finally:
            self._stay.left()
