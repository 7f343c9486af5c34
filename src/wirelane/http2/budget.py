"""What a peer may do that costs us work and moves nothing, held against two allowances of its connection.

- Streams that the peer makes come to nothing: it resets them (CVE-2023-44487, rapid reset), makes us reset them
  (CVE-2025-8671), or opens more than we take.
- Frames that carry no part of a call: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, RST_STREAM, unknown types, empty DATA,
  header lists far longer than allowed (CVE-2019-9511 to -9518, CVE-2026-49975).

An allowance starts full, grows with time, and with what an honest peer has to do: it may cancel half of the calls it
opens for ever, and may send control frames for each stream and for the DATA that it was sent. Whoever uses one up is
told ENHANCE_YOUR_CALM. `Conduct` is called from the exceptional branches of the engine alone; it subtracts from a
number, and looks at the clock only when that is used up, so that time brings at most one more burst.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from wirelane.http2.frames import ErrorCode, ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Callable

    from wirelane.http2.connection import Connection

__all__ = ["Allowance", "Conduct"]

# Control frames that a stream is good for: a WINDOW_UPDATE or two, a PRIORITY, its RST_STREAM.
_FRAMES_PER_STREAM = 4
# Octets of DATA sent for which the peer may send one: even one that answers each of the shortest messages (5 octets)
# by two WINDOW_UPDATEs is honest. Envoy allows 20 per DATA frame.
_OCTETS_PER_FRAME = 2


class Allowance:
    """So many at once, so many more per second, and more for what was earned.

    Attributes:
        left: What may still be spent; below zero, ask `exceeded`.
    """

    __slots__ = ("_burst", "_clock", "_earned", "_rate", "_since", "left")

    def __init__(self, burst: int, rate: float, clock: Callable[[], float]) -> None:
        self.left: float = burst
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._since = clock()
        self._earned = 0

    def exceeded(self, earned: int) -> bool:
        """Refill with the time gone by and what was `earned` in all since the start; whether it is used up even so.

        Time brings at most the burst; what was earned is not lost by waiting, for a peer may do at once what is due.
        """
        now = self._clock()
        by_time = min(self._burst, self.left + (now - self._since) * self._rate)
        self.left = by_time + (earned - self._earned)
        self._since, self._earned = now, earned
        return self.left < 0

    def __repr__(self) -> str:
        return f"<Allowance {self.left:.0f} of {self._burst} left, {self._rate} more per second>"


class Conduct:
    """What the peer of one connection has spent.

    Attributes:
        refusals: What was refused, counted by kind: `streams_refused` above the limit, `streams_broken` by a broken
            rule and reset for it, `header_lists` that were too long, and `connections` that ended with a GOAWAY for
            the peer's fault.
        resets: Streams that the peer reset although they had time left.
        skipped: Identifiers that a client left out: they earn it nothing.
    """

    __slots__ = ("_connection", "_frames", "_resets", "refusals", "resets", "skipped")

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        limits = connection.limits
        self._connection = connection
        self._frames = Allowance(limits.control_burst, limits.control_rate, clock)
        self._resets = Allowance(limits.reset_burst, limits.reset_rate, clock)
        self.refusals: Counter[str] = Counter()
        self.resets = 0
        self.skipped = 0

    def control_frame(self, cost: int = 1) -> None:
        """Count a frame that carries no part of a call; `cost` is its work, in frames that are cheap.

        Raises:
            ProtocolViolation: There are too many.
        """
        frames = self._frames
        frames.left -= cost
        if frames.left < 0 and frames.exceeded(self._frames_earned()):
            raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "a flood of frames that carry nothing")

    def _frames_earned(self) -> int:
        connection = self._connection
        sent = connection.send_granted - connection.send_window
        return self._opened() * _FRAMES_PER_STREAM + sent // _OCTETS_PER_FRAME

    def _opened(self) -> int:
        """Streams opened so far, by whichever end may."""
        connection = self._connection
        last = connection.next_stream_id if connection.client else connection.last_peer_stream + 1
        return last // 2 - self.skipped

    def stream_reset(self) -> None:
        """Count a stream that the peer reset before its time.

        Raises:
            ProtocolViolation: There are too many of a client's; a server can only end what we opened.
        """
        self.resets += 1
        self._lost_stream()

    def stream_refused(self, kind: str) -> None:
        """Count a stream that the peer made us reset, as one of the kinds of `refusals`. Raises as `stream_reset`."""
        self.refusals[kind] += 1
        self._lost_stream()

    def _lost_stream(self) -> None:
        if self._connection.client:
            return
        resets = self._resets
        resets.left -= 1
        # A half for each stream opened: Envoy, too, asks whether more than half of the streams were reset.
        if resets.left < 0 and resets.exceeded(self._opened() // 2):
            raise ProtocolViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were opened for nothing")

    def long_list(self, fields: int) -> None:
        """Count a header list of more fields than allowed: each is an octet to the peer, and a tuple to us.

        Raises:
            ProtocolViolation: There are too many.
        """
        self.refusals["header_lists"] += 1
        self.control_frame(fields)
