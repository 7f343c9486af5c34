"""What happens to one direction of one connection, and when: the arithmetic of faults, sans-I/O.

Contract: a plan is asked what to do with the first chunk that waits (`step`), is told what was done (`went`), and sees no
clock but what it is told. What it draws at random depends on the seed, the number of the connection, the direction, the
number of the fault and the place in the stream alone: where slices end never depends on how the stream was cut on its way
to the proxy, and the jitter of a piece depends on nothing but where the piece begins.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from wirelane.testing.faults.kinds import (
    Bandwidth,
    Cut,
    Direction,
    Fault,
    HalfOpen,
    Latency,
    LimitData,
    Reset,
    Slicer,
    SlowClose,
    Stall,
)

__all__ = ["Act", "Chunk", "Kind", "Pass", "Plan", "Strike", "Wait", "strikes"]

_PIECES_PER_SECOND = 50
"""How often a limited bandwidth lets a piece through; toxiproxy: 10."""

_CATCH_UP = 0.1
"""Seconds that a limited bandwidth may be behind and make good: timers are late, but a blocked reader earns no burst."""

_ENDLESS = 2**62
"""More bytes than come."""


class Kind(enum.Enum):
    """What a chunk is."""

    DATA = "data"
    END = "end"
    RESET = "reset"


@dataclass(slots=True)
class Chunk:
    """A piece of the stream, or its end, that waits in the proxy.

    Attributes:
        arrived: When it came.
        start: Its place in the stream.
        data: What is left of it; empty for an end.
    """

    arrived: float
    start: int
    data: memoryview
    kind: Kind = Kind.DATA


@dataclass(frozen=True, slots=True)
class Pass:
    """Let so many bytes of the first chunk through now; none: hand on the end that it is."""

    count: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before that time (`math.inf`: before something changes)."""

    until: float


@dataclass(frozen=True, slots=True)
class Strike:
    """This fault strikes the connection now, once."""

    fault: LimitData | Cut | Reset | HalfOpen


Act = Pass | Wait | Strike


class Plan:
    """The faults of one direction of one connection.

    Args:
        direction: Which.
        seed: What all that is drawn begins with: the proxy's seed and the number of the connection.
    """

    __slots__ = ("_effects", "direction", "passed", "seed")

    def __init__(self, direction: Direction, seed: str) -> None:
        self.direction: Direction = direction
        self.seed = seed
        self.passed = 0
        self._effects: dict[int, _Effect] = {}

    def arm(self, number: int, fault: Fault, now: float) -> None:
        """Let a fault act from now on, if it concerns this direction, and if the seed says that it strikes here."""
        make = _EFFECTS.get(type(fault))
        if make is None or not fault.concerns(self.direction):
            return
        if strikes(fault, f"{self.seed}/{number}"):
            self._effects[number] = make(fault, f"{self.seed}/{number}/{self.direction}", self.passed, now)

    def disarm(self, number: int) -> None:
        """Let a fault act no more."""
        self._effects.pop(number, None)

    @property
    def sliced(self) -> bool:
        """Whether the reader must have time to take each piece by itself."""
        return any(isinstance(effect, _Slices) for effect in self._effects.values())

    def step(self, chunk: Chunk | None, now: float) -> Act:
        """Return what to do: about the first chunk that waits, or about time that passes while none does."""
        effects = self._effects.values()
        until = math.inf  # when something strikes by itself
        for effect in effects:
            if isinstance(effect, _Striking) and not effect.struck:
                if effect.at <= self.passed or effect.when <= now:
                    effect.struck = True
                    if not isinstance(effect.fault, Stall):
                        return Strike(effect.fault)
                else:
                    until = min(until, effect.when)
        if chunk is None or any(effect.holds for effect in effects):
            return Wait(until)
        due = chunk.arrived + sum(effect.delay(chunk) for effect in effects)
        if due > now:
            return Wait(min(due, until))
        if chunk.kind is not Kind.DATA:
            return Pass(0)
        count = min([len(chunk.data), *(effect.room(self.passed) for effect in effects)])
        leaves = max([due, *(effect.leaves(count, due) for effect in effects)])
        return Wait(min(leaves, until)) if leaves > now else Pass(count)

    def went(self, count: int, now: float) -> None:
        """Note that so many bytes have gone."""
        self.passed += count
        for effect in self._effects.values():
            effect.went(count, self.passed, now)


def strikes(fault: Fault, seed: str) -> bool:
    """Return whether a connection is among those that a fault strikes."""
    return Random(seed).random() < fault.toxicity  # noqa: S311  repeatable, no secret


class _Effect:
    """What one fault does to one direction."""

    __slots__ = ("seed",)

    def __init__(self, seed: str) -> None:
        self.seed = seed

    @property
    def holds(self) -> bool:
        """Whether nothing goes."""
        return False

    def delay(self, chunk: Chunk) -> float:
        """How much later a chunk goes than it came."""
        return 0.0

    def room(self, passed: int) -> int:
        """The most bytes that go in one piece from this place."""
        return _ENDLESS

    def leaves(self, count: int, due: float) -> float:
        """When so many bytes that could go at `due` do go."""
        return due

    def went(self, count: int, passed: int, now: float) -> None:
        """Note that so many bytes have gone, which makes `passed`."""


class _Late(_Effect):
    __slots__ = ("_fault",)

    def __init__(self, fault: Latency, seed: str, passed: int, now: float) -> None:
        super().__init__(seed)
        self._fault = fault

    def delay(self, chunk: Chunk) -> float:
        fault = self._fault
        if not fault.jitter:
            return fault.seconds
        draw = Random(f"{self.seed}/{chunk.start}").uniform(-1, 1)  # noqa: S311  repeatable, no secret
        return max(0.0, fault.seconds + fault.jitter * draw)


class _LateEnd(_Effect):
    __slots__ = ("_fault",)

    def __init__(self, fault: SlowClose, seed: str, passed: int, now: float) -> None:
        super().__init__(seed)
        self._fault = fault

    def delay(self, chunk: Chunk) -> float:
        return 0.0 if chunk.kind is Kind.DATA else self._fault.seconds


class _Line(_Effect):
    """A line that carries so many bytes per second: a piece is there when its last byte is."""

    __slots__ = ("_free", "_leaves", "_most", "_rate")

    def __init__(self, fault: Bandwidth, seed: str, passed: int, now: float) -> None:
        super().__init__(seed)
        self._rate = fault.bytes_per_second
        self._most = max(1, self._rate // _PIECES_PER_SECOND)
        self._free = self._leaves = now

    def room(self, passed: int) -> int:
        return self._most

    def leaves(self, count: int, due: float) -> float:
        self._leaves = max(self._free, due) + count / self._rate
        return self._leaves

    def went(self, count: int, passed: int, now: float) -> None:
        self._free = max(self._leaves, now - _CATCH_UP)


class _Slices(_Effect):
    __slots__ = ("_delay", "_draw", "_end", "_fault", "_not_before")

    def __init__(self, fault: Slicer, seed: str, passed: int, now: float) -> None:
        super().__init__(seed)
        self._fault = fault
        self._draw = Random(seed)  # noqa: S311  repeatable, no secret
        self._end = passed
        self._not_before = now
        self._next_slice()

    def _next_slice(self) -> None:
        fault = self._fault
        self._end += fault.average + self._draw.randint(-fault.variation, fault.variation)

    def room(self, passed: int) -> int:
        return self._end - passed

    def leaves(self, count: int, due: float) -> float:
        return max(due, self._not_before)

    def went(self, count: int, passed: int, now: float) -> None:
        if passed == self._end:
            self._not_before = now + self._fault.delay
            self._next_slice()


class _Striking(_Effect):
    """A fault that strikes once: at a place in the stream, or at a time."""

    __slots__ = ("at", "fault", "struck", "when")

    def __init__(
        self, fault: LimitData | Cut | Reset | HalfOpen | Stall, seed: str, passed: int, now: float
    ) -> None:
        super().__init__(seed)
        self.fault = fault
        self.struck = False
        after: int | None
        seconds: float | None
        if isinstance(fault, LimitData):
            after, seconds = fault.max_bytes, None
        else:
            after, seconds = fault.after_bytes, fault.after_seconds
            if after is None and seconds is None:
                after = 0
        self.at = _ENDLESS if after is None else passed + after
        self.when = math.inf if seconds is None else now + seconds

    def room(self, passed: int) -> int:
        return _ENDLESS if self.struck else self.at - passed

    @property
    def holds(self) -> bool:
        return self.struck


_EFFECTS: Final[dict[type[Fault], Callable[..., _Effect]]] = {
    Latency: _Late,
    SlowClose: _LateEnd,
    Bandwidth: _Line,
    Slicer: _Slices,
    **dict.fromkeys((LimitData, Cut, Reset, Stall, HalfOpen), _Striking),
}
