"""Functions of the user that block, for a loop that awaits them: each call runs in a thread, with shells for arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from wirelane.sync._facade import wrap

__all__ = ["in_thread"]


def in_thread(function: Callable[..., Any] | None) -> Callable[..., Awaitable[Any]] | None:
    """Return what can be awaited in place of a function that blocks; what is no function, as it is, for others to refuse.

    Cancelled, the wait ends at once and the thread goes on to the end of the function: threads cannot be cancelled.
    """
    if not callable(function):
        return function

    @wraps(function)
    async def call(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *map(wrap, arguments))

    return call
