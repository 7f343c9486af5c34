"""When a call must be over, and how that is told to the peer.

A `Deadline` is a moment on the monotonic clock, made once at the public edge; every wait below asks it how
much is left. `grpc-timeout` carries what is left in at most eight digits and a unit (gRPC over HTTP/2,
"Timeout").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic
from typing import Final

from wirelane.errors import UsageError

__all__ = ["Deadline", "earliest", "format_timeout", "parse_timeout"]

_MOST_DIGITS: Final = 8
_MOST: Final = 10**_MOST_DIGITS - 1
# A finer unit is used only while it is needed to stay within one per cent: from 100 ms on, whole
# milliseconds. Calls with the same timeout then mostly carry the same text, which HPACK sends as one byte;
# C-core rounds alike.
_FINE: Final = 10**5
# (unit, how many of them in how many seconds, the largest count): whole numbers, since 5 * 1e-3 is not 5 / 1000.
_UNITS: Final = (
    ("n", 10**9, 1, _FINE),
    ("u", 10**6, 1, _FINE),
    ("m", 10**3, 1, _MOST),
    ("S", 1, 1, _MOST),
    ("M", 1, 60, _MOST),
    ("H", 1, 3600, _MOST),
)
_SCALES: Final = {unit.encode(): (count, seconds) for unit, count, seconds, _ in _UNITS}


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A moment on `time.monotonic()`, in seconds. Earlier deadlines compare as less."""

    at: float

    @classmethod
    def after(
        cls, seconds: float | None, *, now: float | None = None, name: str = "timeout"
    ) -> Deadline | None:
        """Return the deadline that is `seconds` from now; None for None or infinity: no deadline.

        Raises:
            UsageError: `seconds`, which the user knows by that name, is negative, not a number, or no number at all.
        """
        if seconds is None:
            return None
        if not isinstance(seconds, (int, float)):
            raise UsageError(f"{name} is a number of seconds, not {type(seconds).__name__}: {seconds!r}")
        if not seconds >= 0:
            raise UsageError(f"{name} is a number of seconds from 0 up, not {seconds!r}")
        if seconds == math.inf:
            return None
        return cls((monotonic() if now is None else now) + seconds)

    def remaining(self, now: float | None = None) -> float:
        """Return the seconds left, 0 when it has passed."""
        left = self.at - (monotonic() if now is None else now)
        return left if left > 0 else 0.0

    def expired(self, now: float | None = None) -> bool:
        """Return whether it has passed."""
        return self.at <= (monotonic() if now is None else now)

    def __repr__(self) -> str:
        left = self.at - monotonic()
        return f"<Deadline in {left:.3f} s>" if left > 0 else f"<Deadline passed {-left:.3f} s ago>"


def earliest(a: Deadline | None, b: Deadline | None) -> Deadline | None:
    """Return the earlier of two deadlines; None counts as never."""
    if a is None or b is None:
        return a or b
    return a if a.at <= b.at else b


def format_timeout(seconds: float) -> str:
    """Return the text of `grpc-timeout`: never less than `seconds`; more by one per cent, or a nanosecond, at most.

    What is left of a deadline that has passed is sent as the least timeout there is: the grammar asks for a
    positive number. More than eight digits of hours are sent as the most there is.
    """
    if not seconds > 0:
        return "1n"
    for unit, units, per, most in _UNITS:
        count = seconds * units / per
        if count <= most:
            return f"{math.ceil(count)}{unit}"
    return f"{_MOST}H"


def parse_timeout(text: str | bytes) -> float:
    """Return the seconds in a `grpc-timeout` value. Zero is accepted: it has passed already.

    Raises:
        ValueError: It is not one to eight digits and one of the units H M S m u n.
    """
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    digits, unit = raw[:-1], raw[-1:]
    # bytes.isdigit() knows ASCII digits only, and is False for none.
    if len(digits) <= _MOST_DIGITS and digits.isdigit():
        scale = _SCALES.get(unit)
        if scale is not None:
            return int(digits) * scale[1] / scale[0]
    shown = text if len(text) <= 32 else text[:32]
    raise ValueError(f"{shown!r} is no grpc-timeout: one to eight digits and one of H M S m u n")
