"""SIGTERM and SIGINT for as long as a server serves, given back afterwards to whom they belonged."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["StopSignals", "stop_signals"]

logger = logging.getLogger("wirelane.net")


class StopSignals:
    """The first signal sets `stopped`, every further one calls `again`."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.again: Callable[[], None] | None = None

    def received(self, number: signal.Signals) -> None:
        """Take note of a signal."""
        if not self.stopped.is_set():
            logger.info("%s: draining", number.name)
            self.stopped.set()
        elif self.again is not None:
            logger.info("%s again: stopping at once", number.name)
            self.again()


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Take the signals over for the block. Outside the main thread, and on Windows, nothing is taken over."""
    signals = StopSignals()
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, signals.received, number)
                before[number] = previous
    try:
        yield signals
    finally:
        for number, previous in before.items():
            loop.remove_signal_handler(number)
            if previous is not None:
                signal.signal(number, previous)
