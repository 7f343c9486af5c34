"""How long to wait between attempts to connect (gRPC doc/connection-backoff.md)."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Seconds from the start of one failed attempt to the next: longer each time, up to a maximum, and never alike.

    Args:
        maximum: Less than gRPC's two minutes, for those who wait for less.
    """

    __slots__ = ("_maximum", "_next")

    INITIAL = 1.0
    MULTIPLIER = 1.6
    JITTER = 0.2
    MAXIMUM = 120.0

    def __init__(self, maximum: float = MAXIMUM) -> None:
        self._maximum = min(maximum, self.MAXIMUM)
        self._next = self.INITIAL

    def reset(self) -> None:
        """Begin anew: a connection was made."""
        self._next = self.INITIAL

    def delay(self) -> float:
        """Return how long to wait this time; the next time will be longer."""
        seconds = self._next * random.uniform(1 - self.JITTER, 1 + self.JITTER)  # noqa: S311  (no secret)
        self._next = min(self._next * self.MULTIPLIER, self._maximum)
        return seconds
