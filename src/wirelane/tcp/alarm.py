"""How long a read waits: a deadline for the whole of it, and a bound on the silence in between.

The two are apart on purpose. Single bytes never prolong the deadline; they do end a silence. There is one timer at a time, which
looks at the clock when it fires: what arrives sets none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from wirelane.core.deadline import Deadline
from wirelane.core.readbuffer import ReadBuffer

__all__ = ["Alarm"]

# Timers of an event loop may fire too early by what they are rounded to (uvloop: milliseconds).
_EARLY = 0.001


class Alarm:
    """Wakes a reader when time is up.

    Args:
        wake: Called then.
        buffer: Where bytes arrive.
        timeout: Seconds from now; None: no deadline.
        idle_timeout: Seconds without a byte, from `start` or the last one on; None: silence does not matter.

    Attributes:
        over: The deadline has passed.
        silent: Nothing came for `idle_timeout` seconds.

    Raises:
        UsageError: One of them is no time.
    """

    __slots__ = ("_buffer", "_due", "_heard", "_held", "_idle", "_timer", "_wake", "over", "silent")

    def __init__(
        self,
        wake: Callable[[], None],
        buffer: ReadBuffer,
        timeout: float | None,
        idle_timeout: float | None,
    ) -> None:
        self._wake = wake
        self._buffer = buffer
        self._due = Deadline.after(timeout)
        idle = Deadline.after(idle_timeout, now=0.0, name="idle_timeout")
        self._idle = None if idle is None else idle.at
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._held = 0.0
        self.over = timeout == 0
        self.silent = False

    @property
    def rung(self) -> bool:
        """Whether time is up, in one way or the other."""
        return self.over or self.silent

    @property
    def hears(self) -> bool:
        """Whether it has to be told of each arrival."""
        return self._idle is not None

    def start(self) -> None:
        """Wait from now on; again, if the silence was none after all."""
        self.silent = self._idle == 0
        self.heard()
        if not self.rung:
            self._set(monotonic())

    def heard(self) -> None:
        """Bytes have come."""
        if self._idle is not None:
            self._heard = monotonic()
            self._held = self._buffer.most

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, now: float) -> None:
        left = []
        if self._due is not None:
            left.append(self._due.remaining(now))
        if self._idle is not None:
            left.append(self._heard + self._idle - now)
        if left:
            self._timer = asyncio.get_running_loop().call_later(max(min(left), 0.0), self._ring)

    def _ring(self) -> None:
        now = monotonic()
        if self._idle is not None and self._buffer.most != self._held:
            self.heard()  # in this turn of the loop, and the reader has not run yet
        self.over = self._due is not None and self._due.remaining(now) < _EARLY
        self.silent = self._idle is not None and self._heard + self._idle - now < _EARLY
        if self.rung:
            self._wake()
        else:
            self._set(now)
