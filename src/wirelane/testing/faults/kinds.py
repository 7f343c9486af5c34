"""The faults: what can happen to the bytes of a connection, and to connections, as immutable values.

All sizes are bytes of the stream as it is on the wire (with TLS: encrypted), all times seconds. None of them changes,
reorders or invents a byte. A value out of range is a UsageError that names the field.
"""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, fields
from typing import Final, Literal, TypeAlias

from wirelane.errors import UsageError

__all__ = [
    "DIRECTIONS",
    "Bandwidth",
    "Cut",
    "Direction",
    "Down",
    "Fault",
    "HalfOpen",
    "Latency",
    "LimitData",
    "Refuse",
    "Reset",
    "Slicer",
    "SlowClose",
    "Stall",
    "check_direction",
]

Direction: TypeAlias = Literal["upstream", "downstream"]
"""Towards the server, or towards the client."""

DIRECTIONS: Final[tuple[Direction, Direction]] = ("upstream", "downstream")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fault:
    """What all faults have.

    Attributes:
        direction: "upstream" (towards the server), "downstream" (towards the client, the default as in toxiproxy) or
            "both". Where a fault ends or splits a whole connection, it says whose bytes are counted.
        toxicity: The share of connections that it strikes, from 0 to 1; the seed decides which.
    """

    direction: Direction | Literal["both"] = "downstream"
    toxicity: float = 1.0

    def __post_init__(self) -> None:
        if self.direction != "both":
            check_direction(self.direction)
        if not 0 <= _number("toxicity", self.toxicity) <= 1:
            raise UsageError(f"toxicity is a share from 0 to 1, not {self.toxicity!r}")

    def __repr__(self) -> str:
        said = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if not self._usual(each)]
        return f"{type(self).__name__}({', '.join(said)})"

    def _usual(self, each: Field[object]) -> bool:
        return bool(getattr(self, each.name) == each.default)

    def concerns(self, direction: Direction) -> bool:
        """Whether bytes of that direction are concerned."""
        return self.direction in (direction, "both")


@dataclass(frozen=True, slots=True, repr=False)
class Latency(Fault):
    """Every byte arrives later, in order, and as many per second as without it.

    Attributes:
        seconds: How much later.
        jitter: Drawn anew for each piece that arrives at the proxy, evenly from minus to plus this many seconds.
    """

    seconds: float
    jitter: float = 0.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _seconds("seconds", self.seconds)
        _seconds("jitter", self.jitter)


@dataclass(frozen=True, slots=True, repr=False)
class Bandwidth(Fault):
    """No more than so many bytes arrive per second.

    Attributes:
        bytes_per_second: At least 1. They come fifty times a second, or one by one.
    """

    bytes_per_second: int

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _count("bytes_per_second", self.bytes_per_second, least=1)


@dataclass(frozen=True, slots=True, repr=False)
class Slicer(Fault):
    """The stream arrives in slices, which begin and end where the seed says, however it was sent.

    A reader that does not keep up finds several together, as with any network.

    Attributes:
        average: The usual size of a slice.
        variation: Sizes are drawn evenly from `average` minus to plus this; less than `average`.
        delay: Seconds between two slices. Even with 0, a reader in the same event loop has time to take each by itself.
    """

    average: int = 1
    variation: int = 0
    delay: float = 0.0

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _count("average", self.average, least=1)
        _count("variation", self.variation, least=0)
        if self.variation >= self.average:
            raise UsageError(f"variation must be less than average ({self.average}), not {self.variation}")
        _seconds("delay", self.delay)


@dataclass(frozen=True, slots=True, repr=False)
class SlowClose(Fault):
    """The end of the stream, in order or by reset, arrives later than the last byte.

    Attributes:
        seconds: How much later.
    """

    seconds: float

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _seconds("seconds", self.seconds)


@dataclass(frozen=True, slots=True, repr=False)
class LimitData(Fault):
    """This direction ends in order after so many bytes, the rest is dropped; the other direction goes on.

    Attributes:
        max_bytes: Counted from when the fault is there and the connection is, too.
    """

    max_bytes: int

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        _count("max_bytes", self.max_bytes, least=0)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Strike(Fault):
    """A fault that strikes a connection once: after so many bytes or seconds, whichever is first; with neither, at once.

    Attributes:
        after_bytes: Bytes that arrive before it, counted per direction from when fault and connection are there.
        after_seconds: Seconds from then.
    """

    after_bytes: int | None = None
    after_seconds: float | None = None

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if self.after_bytes is not None:
            _count("after_bytes", self.after_bytes, least=0)
        if self.after_seconds is not None:
            _seconds("after_seconds", self.after_seconds)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cut(_Strike):
    """The connection ends: both ends see an end in order (FIN), as if the other had closed.

    Attributes:
        after_bytes: Bytes that arrive before it, counted per direction from when fault and connection are there.
        after_seconds: Seconds from then; whichever is first, and with neither, at once.
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reset(_Strike):
    """The connection is reset: both ends see an RST.

    What the receiver's window had no room for is lost with it. Unix sockets know no RST: they just end.

    Attributes:
        after_bytes: Bytes that arrive before it, counted per direction from when fault and connection are there.
        after_seconds: Seconds from then; whichever is first, and with neither, at once.
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Stall(_Strike):
    """Nothing arrives any more, no end either, and nothing is lost: it all comes when the fault is removed.

    The proxy takes what its buffer holds, then the sender has to wait.

    Attributes:
        after_bytes: Bytes that arrive before it, counted per direction from when fault and connection are there.
        after_seconds: Seconds from then; whichever is first, and with neither, at once.
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HalfOpen(_Strike):
    """One end is gone, without FIN or RST: the other believes that the connection is open, and nobody reads or answers.

    Keepalive probes are still answered, by the system that the proxy runs on.

    Attributes:
        gone: Which end is gone; that one sees a reset.
        after_bytes: Bytes that arrive before it, counted per direction from when fault and connection are there.
        after_seconds: Seconds from then; whichever is first, and with neither, at once.
    """

    gone: Literal["server", "client"] = "server"

    def __post_init__(self) -> None:
        _Strike.__post_init__(self)
        if self.gone not in ("server", "client"):
            raise UsageError(f'gone is "server" or "client", not {self.gone!r}')


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Down(Fault):
    """New connections are accepted and closed at once, as balancers without a backend do. Open ones go on.

    Attributes:
        reset: Close them by RST.
    """

    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Refuse(Fault):
    """New connections are refused, as where nobody listens. Open ones go on. Strikes all or none: `Down` takes a share."""

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if 0 < self.toxicity < 1:
            raise UsageError("toxicity of Refuse is 0 or 1: nobody can refuse a share; Down can close one")


def check_direction(direction: str) -> None:
    """Raise UsageError if it is none."""
    if direction not in DIRECTIONS:
        raise UsageError(f'direction is "upstream", "downstream" or "both", not {direction!r}')


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is a number, not {value!r}")
    return value


def _seconds(name: str, value: object) -> None:
    if not 0 <= _number(name, value) < math.inf:
        raise UsageError(f"{name} is a number of seconds from 0 up, not {value!r}")


def _count(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is a whole number, not {value!r}")
    if value < least:
        raise UsageError(f"{name} is a whole number from {least} up, not {value}")
