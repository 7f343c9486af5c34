"""`BlockingProxy`: a `FaultProxy` for tests without asyncio, in a thread and a loop of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from wirelane.errors import ClosedError

if TYPE_CHECKING:
    from wirelane.testing.faults.kinds import Direction, Fault
    from wirelane.testing.faults.proxy import FaultProxy, ProxyConnection, ProxyStats

__all__ = ["BlockingProxy"]

T = TypeVar("T")


class BlockingProxy:
    """What `with FaultProxy(...) as proxy:` gives: the same names, which block. Safe from many threads.

    What waits takes `timeout=` in seconds (None: for ever) and raises TimeoutError.
    """

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="wirelane fault proxy", daemon=True)

    # -- what it is

    @property
    def address(self) -> str:
        """As `FaultProxy.address`."""
        return self._proxy.address

    @property
    def port(self) -> int:
        """As `FaultProxy.port`."""
        return self._proxy.port

    @property
    def faults(self) -> tuple[Fault, ...]:
        """As `FaultProxy.faults`."""
        return self._call(lambda: self._proxy.faults)

    @property
    def connections(self) -> tuple[ProxyConnection, ...]:
        """As `FaultProxy.connections`."""
        return self._call(lambda: self._proxy.connections)

    @property
    def stats(self) -> ProxyStats:
        """As `FaultProxy.stats`; to be had after the end, too."""
        return self._proxy.stats if self._stop is None else self._call(lambda: self._proxy.stats)

    # -- faults

    def add(self, fault: Fault) -> Fault:
        """As `FaultProxy.add`."""
        return self._call(lambda: self._proxy.add(fault))

    def remove(self, fault: Fault) -> None:
        """As `FaultProxy.remove`."""
        self._call(lambda: self._proxy.remove(fault))

    def clear(self) -> None:
        """As `FaultProxy.clear`."""
        self._call(self._proxy.clear)

    def stall(self, direction: Direction | Literal["both"] = "both") -> None:
        """As `FaultProxy.stall`."""
        self._call(lambda: self._proxy.stall(direction))

    def resume(self) -> None:
        """As `FaultProxy.resume`."""
        self._call(self._proxy.resume)

    def down(self) -> None:
        """As `FaultProxy.down`."""
        self._call(self._proxy.down)

    def up(self) -> None:
        """As `FaultProxy.up`."""
        self._call(self._proxy.up)

    def cut(self, number: int | None = None) -> int:
        """As `FaultProxy.cut`."""
        return self._call(lambda: self._proxy.cut(number))

    def reset(self, number: int | None = None) -> int:
        """As `FaultProxy.reset`."""
        return self._call(lambda: self._proxy.reset(number))

    # -- waiting

    def connected(self, count: int = 1, *, timeout: float | None = 10.0) -> None:
        """As `FaultProxy.connected`. Raises TimeoutError."""
        self._wait(self._proxy.connected(count), timeout)

    def closed(self, count: int = 1, *, timeout: float | None = 10.0) -> None:
        """As `FaultProxy.closed`. Raises TimeoutError."""
        self._wait(self._proxy.closed(count), timeout)

    def passed(
        self, count: int, direction: Direction = "downstream", *, timeout: float | None = 10.0
    ) -> None:
        """As `FaultProxy.passed`. Raises TimeoutError."""
        self._wait(self._proxy.passed(count, direction), timeout)

    # -- the thread

    def start(self) -> None:
        """Start the thread, and wait until the proxy listens. Raises what entering a `FaultProxy` does."""
        self._thread.start()
        self._started.result()

    def close(self) -> None:
        """End every connection in order, and the thread. Idempotent."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            self._stop = None
            loop.call_soon_threadsafe(stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)  # for the thread that waits in start()

    async def _serve(self) -> None:
        async with self._proxy:
            self._loop = asyncio.get_running_loop()
            self._stop = stop = asyncio.Event()
            self._started.set_result(None)
            await stop.wait()

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._wait(call(), None)

    def _wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None) -> T:
        if self._loop is None or self._stop is None:
            coroutine.close()
            raise ClosedError("the fault proxy was closed")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:  # the loop has been closed meanwhile, by another thread
            coroutine.close()
            raise ClosedError("the fault proxy was closed") from error
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"it did not happen within {timeout:g} s: {self._proxy!r}") from None
        except (
            concurrent.futures.CancelledError
        ) as error:  # by the end of the loop: nobody else has the future
            raise ClosedError("the fault proxy was closed") from error

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._proxy)[1:]}"
