"""A unary call as an object, for who needs more of it than the reply. `Channel.unary`, which gives that alone, has a shorter way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from wirelane.sync._facade import Facade
from wirelane.sync._portal import current, run

__all__ = ["UnaryFacade"]

Res = TypeVar("Res")


class UnaryFacade(Facade, Generic[Res]):
    """The base of `UnaryCall`: a task in the loop makes the call, whether or not anybody waits for it."""

    __slots__ = ("_task",)

    def _adopt(self, inner: Any) -> None:
        super()._adopt(inner)
        self._task: asyncio.Task[Res] | None = None

    def _send(self) -> None:
        """Let the loop make the call; does not wait for that."""
        try:
            current().post(self._begin)
        except BaseException:
            current().post(self._inner.cancel)  # interrupted, perhaps after it was handed over
            raise

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._inner)
        self._task.add_done_callback(_look)

    def reply(self) -> Res:
        """Wait for the reply, and return it; again the same when it is called again, also by other threads.

        Interrupted (Ctrl-C), it cancels the call.

        Raises:
            RpcError: The call failed.
            CodecError, UsageError, ClosedError: It could not be sent.
        """
        return run(self._wait, self._inner.cancel)

    async def _wait(self, cancel: Callable[[], None]) -> Res:
        assert self._task is not None
        try:
            await asyncio.wait((self._task,))
        except asyncio.CancelledError:
            cancel()
            raise
        return self._task.result()


def _look(task: asyncio.Task[Any]) -> None:
    """Look at the error of a call, so that asyncio does not complain of calls whose reply nobody wanted."""
    if not task.cancelled():
        task.exception()
