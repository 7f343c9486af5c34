"""`getaddrinfo` off the loop, in threads of its own: few, and in nobody's way.

An event loop's own way has two faults. It borrows the threads that `to_thread` and file work need (asyncio: at most 32,
uvloop: 4 for the whole process), so that a name server which does not answer stops them all; and the interpreter waits
for those threads when it ends. Nobody can end a `getaddrinfo` early. So here

- at most `MOST_THREADS` run at once, further lookups wait in order, and one that is cancelled meanwhile is never made;
- those who ask for the same at the same time, in one event loop, share one lookup;
- the threads are daemons: a process that ends leaves them behind. They start when they are needed, and end when idle.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["MOST_THREADS", "AddressInfo", "lookup"]

MOST_THREADS = 16
"""Ours: a resolver that answers takes milliseconds; asyncio's executor has 4 more than the machine has processors."""

_IDLE = 10.0  # seconds after which a thread without work ends

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
T = TypeVar("T")
_Key = tuple[str | None, int, int]


class _Threads:
    """The threads of this process."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without threads and jobs, as after a fork, which threads do not survive."""
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running = 0
        self._pending = 0  # jobs that are queued or being done

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done. Raises OSError if it takes a thread and the system gives none."""
        with self._lock:
            if self._running < min(self._pending + 1, MOST_THREADS):
                try:
                    threading.Thread(target=self._work, name="wirelane resolver", daemon=True).start()
                except RuntimeError as exc:  # also once the interpreter is ending
                    if not self._running:
                        raise OSError(errno.EAGAIN, f"no thread to ask in: {exc}") from exc
                else:
                    self._running += 1
            self._pending += 1
            self._jobs.put(job)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    # Checked under the lock: a job that comes now finds this thread gone, and starts another.
                    if self._jobs.empty():
                        self._running -= 1
                        return
                continue
            try:
                job()
            finally:
                with self._lock:
                    self._pending -= 1


_threads = _Threads()


os.register_at_fork(after_in_child=_threads.begin)

# What is being asked, by loop: those who ask for the same wait for the same.
_asked: dict[tuple[asyncio.AbstractEventLoop, _Key], _Shared] = {}


class _Shared:
    """One lookup, and how many wait for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, key: _Key) -> None:
        self._loop = loop
        self._key = key
        self.waiting = 0
        self.wanted = True
        self.done: asyncio.Future[list[AddressInfo]] = loop.create_future()
        _asked[loop, key] = self

    def run(self) -> None:
        """Ask, in a thread, unless nobody waits any more."""
        if not self.wanted:
            return
        host, port, flags = self._key
        result: list[Any] | None = None
        error: BaseException | None = None
        try:
            result = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags
            )
        except BaseException as exc:  # noqa: BLE001 - handed to who waits
            error = exc
        try:
            self._loop.call_soon_threadsafe(self._tell, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            self.forget()

    def _tell(self, result: list[Any] | None, error: BaseException | None) -> None:
        if self.done.done():
            return
        self.forget()
        if error is not None:
            self.done.set_exception(error)
            self.done.exception()  # those who waited may be gone
        else:
            self.done.set_result(result or [])

    def leave(self) -> None:
        """One waits no more. After the last, it need not be asked."""
        self.waiting -= 1
        if not self.waiting and not self.done.done():
            self.wanted = False
            self.forget()
            self.done.cancel()

    def forget(self) -> None:
        """Have nobody join any more: at once, as who asks next may do so in this very turn of the loop."""
        if _asked.get((self._loop, self._key)) is self:
            del _asked[self._loop, self._key]


async def lookup(host: str | None, port: int, flags: int) -> list[AddressInfo]:
    """Return what `getaddrinfo` says about TCP at `host`.

    Cancel-safe: a lookup that has begun goes on in its thread, and its answer is dropped.

    Raises:
        OSError, UnicodeError, ValueError: As `socket.getaddrinfo`.
    """
    loop = asyncio.get_running_loop()
    key = (host, port, flags)
    shared = _asked.get((loop, key))
    if shared is None:
        shared = _Shared(loop, key)
        try:
            _threads.submit(shared.run)
        except OSError:
            shared.forget()
            raise
    shared.waiting += 1
    try:
        await asyncio.wait((shared.done,))
        return shared.done.result()
    finally:
        shared.leave()
