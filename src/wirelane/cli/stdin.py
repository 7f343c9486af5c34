"""Standard input for coroutines, whatever it is: a terminal, a pipe, a file.

A thread reads, one piece at a time and only when asked. The event loop's own ways do not fit: files cannot be polled,
and libuv makes what it polls non-blocking, which on a terminal would make our output and the user's shell so as well.
"""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from queue import SimpleQueue

__all__ = ["Stdin"]

_CHUNK = 65_536


class Stdin:
    """Reads standard input. One per process: what a read that was cancelled brings is lost."""

    def __init__(self, file: int = 0) -> None:
        self._file = file
        self._asked: SimpleQueue[asyncio.Future[bytes]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def read(self) -> bytes:
        """Return what is there, waiting for at least one byte; b"" at the end.

        Raises:
            OSError: It cannot be read.
        """
        if self._thread is None:
            # A daemon: nobody can wake it from a read, and the process must be able to end.
            self._thread = threading.Thread(target=self._serve, name="wirelane stdin", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._asked.put(future)
        return await future

    def _serve(self) -> None:
        while True:
            future = self._asked.get()
            try:
                # Not sys.stdin: its lock, held by a daemon thread, would break the end of the interpreter.
                deliver = partial(_resolve, future, os.read(self._file, _CHUNK))
            except OSError as error:
                deliver = partial(_reject, future, error)
            try:
                future.get_loop().call_soon_threadsafe(deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _resolve(future: asyncio.Future[bytes], data: bytes) -> None:
    if not future.done():
        future.set_result(data)


def _reject(future: asyncio.Future[bytes], error: OSError) -> None:
    if not future.done():
        future.set_exception(error)
