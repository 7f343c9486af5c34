"""Times with nanoseconds, which protobuf counts and Python does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, SupportsIndex

__all__ = ["NanoDatetime", "NanoTimedelta"]


class NanoDatetime(datetime):
    """A datetime that remembers the nanoseconds below its microsecond.

    It compares, hashes and computes as the datetime it is, to the microsecond; arithmetic gives a result
    whose `nanosecond` is 0.
    """

    __slots__ = ("_nanosecond",)
    _nanosecond: int

    @classmethod
    def of(cls, moment: datetime, nanosecond: int) -> NanoDatetime:
        """`moment` and 0 to 999 nanoseconds more."""
        self = cls(
            moment.year,
            moment.month,
            moment.day,
            moment.hour,
            moment.minute,
            moment.second,
            moment.microsecond,
            moment.tzinfo,
            fold=moment.fold,
        )
        self._nanosecond = nanosecond
        return self

    @property
    def nanosecond(self) -> int:
        """Nanoseconds beyond `microsecond`: 0 to 999."""
        return getattr(self, "_nanosecond", 0)

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        plain = datetime.combine(self.date(), self.timetz())
        return NanoDatetime.of, (plain, self.nanosecond)

    def __repr__(self) -> str:
        return f"<NanoDatetime {self.isoformat()} + {self.nanosecond} ns>"


class NanoTimedelta(timedelta):
    """A timedelta that remembers the nanoseconds below its microsecond.

    It compares, hashes and computes as the timedelta it is, to the microsecond; arithmetic gives a plain
    timedelta.
    """

    __slots__ = ("_nanoseconds",)
    _nanoseconds: int

    @classmethod
    def of(cls, span: timedelta, nanoseconds: int) -> NanoTimedelta:
        """`span` and 0 to 999 nanoseconds more."""
        self = cls(span.days, span.seconds, span.microseconds)
        self._nanoseconds = nanoseconds
        return self

    @property
    def nanoseconds(self) -> int:
        """Nanoseconds beyond `microseconds`: 0 to 999."""
        return getattr(self, "_nanoseconds", 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return NanoTimedelta.of, (timedelta(self.days, self.seconds, self.microseconds), self.nanoseconds)

    def __repr__(self) -> str:
        return f"<NanoTimedelta {self} + {self.nanoseconds} ns>"
