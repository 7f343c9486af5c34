"""A call on its way into the event loop of `wirelane.sync`, and what came of it on the way back.

A `Job` is made by the thread that calls, which then waits for its `done`; all else of it is run in the loop's thread. It ends exactly
once, with a result or an error.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Container, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from wirelane.grpc.awaiting import Resumed
from wirelane.grpc.base_call import BaseCall
from wirelane.grpc.unary import UnaryCall

__all__ = ["Job", "Leaving", "UnaryJob"]


class Job:
    """A function to call in the loop. If what it gives can be awaited, that is done by a task of its own.

    Args:
        function: What to call, with the next two.
        keep: Types of results that are not awaited although they can be.
    """

    __slots__ = (
        "arguments",
        "cancelled",
        "context",
        "done",
        "error",
        "finished",
        "function",
        "keep",
        "keywords",
        "result",
        "task",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        keep: Container[type] = (),
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.keep = keep
        self._prepare()

    def _prepare(self) -> None:
        self.context: Context = copy_context()
        self.done = threading.Lock()
        self.done.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.finished = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; in the loop's thread."""
        if self.cancelled:
            self._finish(None, asyncio.CancelledError())
            return
        try:
            result = self.context.run(self.function, *self.arguments, **self.keywords)
        except BaseException as error:  # noqa: BLE001  (it is the caller's)
            self._finish(None, error)
            return
        if type(result) in self.keep or not isinstance(result, Awaitable):
            self._finish(result, None)
        else:
            self._await(loop, result)

    def _await(self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Any]) -> None:
        self.result = awaitable
        self.task = loop.create_task(self._drive(awaitable), context=self.context)

    async def _drive(self, awaitable: Awaitable[Any]) -> None:
        # Tells the caller itself: a callback of the task would come a turn of the loop later.
        try:
            result = await awaitable
        except BaseException as error:  # noqa: BLE001  (it is the caller's)
            self._finish(None, error)
        else:
            self._finish(result, None)

    def cancel(self) -> None:
        """Cancel the call, or see to it that it never starts; in the loop's thread."""
        self.cancelled = True
        if self.finished:
            return
        if self.task is None:
            self._finish(None, asyncio.CancelledError())  # it may never have been handed over
        else:
            self.task.add_done_callback(self._ended)
            self.task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self.finished:
            # Cancelled before its first step, `_drive` told nobody, and nobody awaited what it was given.
            self._leave()
            self._finish(None, asyncio.CancelledError())

    def _leave(self) -> None:
        """End what was to be awaited, and never was."""
        if isinstance(self.result, Coroutine):
            self.result.close()

    def _finish(self, result: Any, error: BaseException | None) -> None:
        if not self.finished:
            self.finished = True
            if error is not None and error.__traceback__ is not None:
                # Without the frame that caught it, which holds this, which holds the error: what is raised leaves no cycle behind.
                error.__traceback__ = error.__traceback__.tb_next
            self.result, self.error = result, error
            # Freed there, not by the caller: a signal handler that raises while a task is taken out of asyncio's books raises nowhere.
            self.task = None
            self.done.release()


class Leaving(Job):
    """What ends a block. Interrupted before it began, it is done all the same: nobody would do it later."""

    __slots__ = ("begun",)

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__(function, arguments, {})
        self.begun = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; in the loop's thread."""
        if not self.begun:
            self.begun, self.cancelled = True, False
            super().start(loop)

    def cancel(self) -> None:
        """Hurry what has begun; in the loop's thread."""
        loop = asyncio.get_running_loop()
        if self.begun:
            loop.call_soon(super().cancel)  # not before its first step, which it would never take
        else:
            self.start(loop)


class _Call(UnaryCall[Any]):
    """A call that nobody is reminded to await: an interrupt may come between its making and its sending."""

    def __init__(self, *how: Any) -> None:
        BaseCall.__init__(self, *how)
        self._coro = None

    def _coroutine(self) -> Coroutine[Any, Any, Any]:
        if self._coro is None:
            self._coro = self._run()
        return self._coro

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine().__await__()


class UnaryJob(Job):
    """A unary call, without a task: sent in one step, and taken in one when its reply is here.

    A task is made only for what has to wait for something else: a connection, a free stream, another attempt.

    Args:
        how: What makes a `UnaryCall`.
    """

    __slots__ = ("call", "loop")

    def __init__(self, *how: Any) -> None:
        # Made here, not in the loop: its time runs from now on.
        self.call = _Call(*how)
        self._prepare()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send the call; in the loop's thread."""
        self.loop = loop
        if self.cancelled:
            self.cancel()
            return
        try:
            replied = self.context.run(self.call._send_now)
        except BaseException as error:  # noqa: BLE001  (it is the caller's)
            self._finish(None, error)
            return
        if replied is None:
            self._await(loop, self.call)
        else:
            replied.add_done_callback(self._replied, context=self.context)

    def _replied(self, _: asyncio.Future[None]) -> None:
        if self.finished:
            return  # cancelled: that ended the call
        try:
            waits_for = self.call.send(None)
        except StopIteration as reply:
            self._finish(reply.value, None)
        except BaseException as error:  # noqa: BLE001  (it is the caller's)
            self._finish(None, error)
        else:
            self._await(self.loop, Resumed(self.call, waits_for))

    def cancel(self) -> None:
        """Cancel the call, also one that was never handed over; in the loop's thread."""
        if self.task is None and not self.finished:
            self.call._give_up()
        super().cancel()

    def _leave(self) -> None:
        self.call._give_up()  # here: collected, it would be ended in whichever thread that happens
