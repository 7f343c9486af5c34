"""Blocks: entering and leaving what is left again for certain, wherever an interrupt comes.

`with` calls `__exit__` once `__enter__` has returned, and not before. So an interrupt that comes when the loop has entered, and
`__enter__` has not returned, must make it leave again; and one that comes when `__exit__` has begun, and the loop knows nothing of
it, must not stop it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from wirelane.errors import UsageError
from wirelane.sync._job import Job, Leaving
from wirelane.sync._portal import current

__all__ = ["Entering", "leave"]


class Entering:
    """The way into one block.

        entering = Entering(self._inner)
        try:
            entering.enter()
            return self
        except BaseException:
            entering.undo()
            raise

    The interpreter looks for interrupts when a call returns, but not between `return` and the block.
    """

    __slots__ = ("_inner", "_job")

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._job = Job(inner.__aenter__, (), {})

    def enter(self) -> Any:
        """Enter, and return what that gives.

        Raises:
            Everything that entering raises.
        """
        portal = current()
        portal.prepare(self._inner.__aenter__)
        return portal.wait(self._job)

    def undo(self) -> None:
        """Leave again what was entered, if it was; without waiting for it."""
        if self._job.finished and self._job.error is None:
            current().post(self._leave)

    async def _leave(self) -> None:
        error = asyncio.CancelledError()
        await self._inner.__aexit__(type(error), error, None)


def leave(inner: Any, *error: Any) -> None:
    """Leave, and wait for it. An interrupt hurries it, and does not prevent it.

    Raises:
        Everything that leaving raises.
    """
    leaving = None
    try:
        portal = current()
        portal.prepare(inner.__aexit__)
        leaving = Leaving(inner.__aexit__, error)
        portal.wait(leaving)
    except BaseException as interrupt:
        if not isinstance(interrupt, UsageError) and (leaving is None or not leaving.begun):
            current().post(partial(inner.__aexit__, *error))
        raise
