"""How often the log is told of the same thing: a peer that can provoke a line must not be able to fill the disk.

A `Sampler` lets through the first few lines of a kind in each span of time and counts the others, so that the next line
can say how many there were. It decides; the caller writes. Kinds are chosen by the program (the name of a method, a word
for what a peer did), never by a peer: each is remembered.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Sampler"]

_INTERVAL = 5.0  # Linux's printk_ratelimit


class Sampler:
    """So many of a kind in each span of five seconds.

    Attributes:
        held: How many were held back since the start, of all kinds.
    """

    __slots__ = ("_burst", "_clock", "_kinds", "held")

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = 0
        self._burst = burst
        self._clock = clock
        # By kind: when its span began, how many were let through in it, how many were held back since the last one.
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def line(self, kind: str, text: str, burst: int | None = None) -> tuple[int, str]:
        """Return the level of a line of the log and its text: INFO, or DEBUG for one that is held back."""
        held = self.admit(kind, burst)
        if held is None:
            return logging.DEBUG, text
        return logging.INFO, f"{text} ({held} more like it were not logged)" if held else text

    def admit(self, kind: str, burst: int | None = None) -> int | None:
        """Return None to hold a line back; else how many of its kind were held back since the last one.

        `burst` is for kinds of which fewer say as much.
        """
        now = self._clock()
        began, through, held = self._kinds.get(kind, (now, 0, 0))
        if now - began >= _INTERVAL:
            began, through = now, 0
        if through >= (self._burst if burst is None else burst):
            self._kinds[kind] = (began, through, held + 1)
            self.held += 1
            return None
        self._kinds[kind] = (began, through + 1, 0)
        return held

    def __repr__(self) -> str:
        return f"<Sampler {self._burst} of a kind in {_INTERVAL:g} s, {self.held} held back>"
