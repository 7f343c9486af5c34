"""Run a coroutine to its end, on the fastest event loop that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wirelane.errors import UsageError

__all__ = ["loop_factory", "run"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None, uvloop: bool | None = None) -> T:
    """Run `main` in a new event loop and return its result, as `asyncio.run` does.

    On Ctrl-C the main task is cancelled, what it holds is closed, and KeyboardInterrupt is raised.

    Args:
        main: The coroutine to run: `run(main())`, not `run(main)`.
        debug: asyncio's debug mode; None leaves it to PYTHONASYNCIODEBUG.
        uvloop: True wants uvloop, False wants asyncio's own loop, None takes uvloop where it is installed.

    Raises:
        UsageError: uvloop is wanted and not installed, `main` is no coroutine, or a loop runs in this thread already.
    """
    if not asyncio.iscoroutine(main):
        raise UsageError(f"run() takes a coroutine, as in run(main()), not {main!r}")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        main.close()
        raise UsageError(
            "run() starts an event loop, and one runs in this thread already: await the coroutine instead"
        )
    try:
        factory = loop_factory(uvloop)
    except UsageError:
        main.close()
        raise
    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(main)


def loop_factory(uvloop: bool | None = None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop, for `asyncio.Runner`; None stands for asyncio's own choice.

    Raises:
        UsageError: `uvloop` is True, and it is not installed.
    """
    if uvloop is False:
        return None
    try:
        from uvloop import new_event_loop
    except ImportError as error:
        if uvloop:
            raise UsageError("uvloop is not installed: pip install 'wirelane[uvloop]'") from error
        return None
    return new_event_loop
