"""The well-known types of google/protobuf as Python values.

| message | Python |
|---|---|
| Timestamp | aware `datetime` in UTC; in also: any aware datetime, an RFC 3339 string |
| Duration | `timedelta`; in also: a string such as "1.5s" |
| Struct, ListValue, Value | dict with str keys, list, and None, bool, float or int, str |
| FieldMask | list of paths |
| DoubleValue ... BytesValue | the value itself |

protobuf counts nanoseconds and Python microseconds. Values that need more than microseconds come out as
`NanoDatetime` and `NanoTimedelta`, which keep the rest and go back in unchanged; all others are plain.

A number in a Struct is a double on the wire: a whole one within 2**53 comes out as an int, as JSON would
print it.

Each type has a `fill` (value into a message, raises `Fault`) and a `read` (message to value). Any is not
here: it needs a schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import copysign
from typing import Any, Final, SupportsIndex

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, describe_int, describe_value, index_step, key_step
from wirelane.codec.scalars import scalar_of, shortest_float32

__all__ = ["FILLS", "READS", "WRAPPERS", "NanoDatetime", "NanoTimedelta", "fill_wrapper", "read_wrapper"]

Fill = Callable[[Any, Any, int], None]
Read = Callable[[Any, int], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DURATION: Final = 315_576_000_000  # seconds: 10,000 years, the bound of duration.proto
_LEAST_TIME: Final = -62_135_596_800  # seconds: 0001-01-01T00:00:00Z, the bound of timestamp.proto
_MOST_TIME: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_EXACT_INT: Final = 2**53  # above it a double skips integers
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
_SECONDS: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")


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


def _fill_timestamp(message: Any, value: Any, depth: int) -> None:
    nanosecond = 0
    if isinstance(value, str):
        value, nanosecond = _parse_rfc3339(value)
    elif isinstance(value, datetime):
        # pandas.Timestamp has the same attribute with the same meaning.
        nanosecond = getattr(value, "nanosecond", 0)
    else:
        raise Fault(f"expected an aware datetime or an RFC 3339 string, not {describe_value(value)}")
    if value.utcoffset() is None:
        raise Fault(f"{value.isoformat()} has no time zone; use datetime(..., tzinfo=UTC)")
    since = value - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not _LEAST_TIME <= seconds <= _MOST_TIME:
        raise Fault(f"{value.isoformat()} is beyond the years 1 to 9999 in UTC")
    message.seconds = seconds
    message.nanos = since.microseconds * 1000 + nanosecond


def _parse_rfc3339(text: str) -> tuple[datetime, int]:
    found = _RFC3339.fullmatch(text)
    if not found:
        raise Fault(f'"{text}" is no RFC 3339 time such as "2026-01-31T12:00:00.5Z"')
    base, fraction, zone = found.groups()
    nanos = int((fraction or "").ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(base.upper() + ("+00:00" if zone in "Zz" else zone))
    except ValueError as error:
        raise Fault(f'"{text}" is no time: {error}') from None
    return moment.replace(microsecond=nanos // 1000), nanos % 1000


def _read_timestamp(message: Any, depth: int) -> datetime:
    microseconds, nanosecond = divmod(message.nanos, 1000)
    try:
        moment = _EPOCH + timedelta(0, message.seconds, microseconds)
    except OverflowError:
        raise Fault(f"a Timestamp of {message.seconds} seconds is beyond the years 1 to 9999") from None
    return NanoDatetime.of(moment, nanosecond) if nanosecond else moment


def _fill_duration(message: Any, value: Any, depth: int) -> None:
    if isinstance(value, timedelta):
        nanos = (value.days * 86_400 + value.seconds) * 10**9 + value.microseconds * 1000
        nanos += getattr(value, "nanoseconds", 0)
    elif isinstance(value, str):
        found = _SECONDS.fullmatch(value)
        if not found:
            raise Fault(f'"{value}" is no duration such as "1.5s"')
        sign, seconds, fraction = found.groups()
        nanos = int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))
        nanos = -nanos if sign else nanos
    else:
        raise Fault(f"expected a timedelta or a string of seconds, not {describe_value(value)}")
    # Seconds and nanos have the same sign (duration.proto), so the division is made on the absolute value.
    seconds_part, nanos_part = divmod(abs(nanos), 10**9)
    if seconds_part > _MAX_DURATION:
        raise Fault(f"{value} is out of range for a Duration (10,000 years)")
    message.seconds = seconds_part if nanos >= 0 else -seconds_part
    message.nanos = nanos_part if nanos >= 0 else -nanos_part


def _read_duration(message: Any, depth: int) -> timedelta:
    microseconds, nanoseconds = divmod(message.nanos, 1000)
    try:
        span = timedelta(0, message.seconds, microseconds)
    except OverflowError:
        raise Fault(f"a Duration of {message.seconds} seconds is out of range for a timedelta") from None
    return NanoTimedelta.of(span, nanoseconds) if nanoseconds else span


def _fill_struct(message: Any, value: Any, depth: int) -> None:
    if not isinstance(value, Mapping):
        raise Fault(f"expected a dict, not {describe_value(value)}")
    fields = message.fields
    for key, item in value.items():
        if not isinstance(key, str):
            raise Fault(f"expected str keys, not {describe_value(key)}")
        try:
            # An entry of the map is a message too.
            _fill_value(fields[key], item, depth + 2)
        except Fault as fault:
            fault.at(key_step(key))
            raise


def _fill_list(message: Any, value: Any, depth: int) -> None:
    if not isinstance(value, (list, tuple)):
        raise Fault(f"expected a list, not {describe_value(value)}")
    add = message.values.add
    for index, item in enumerate(value):
        try:
            _fill_value(add(), item, depth + 1)
        except Fault as fault:
            fault.at(index_step(index))
            raise


def _fill_value(message: Any, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Fault(TOO_DEEP)
    if isinstance(value, str):
        message.string_value = value
    elif value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, (int, float)):
        if isinstance(value, int) and not _is_exact(value):
            raise Fault(
                f"{describe_int(value)} is not exact as a double, which is all a Value has; pass a str or a float"
            )
        message.number_value = value
    elif isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            raise Fault(TOO_DEEP)
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value, depth + 1)
    elif isinstance(value, (list, tuple)):
        if depth >= MAX_DEPTH:
            raise Fault(TOO_DEEP)
        message.list_value.SetInParent()
        _fill_list(message.list_value, value, depth + 1)
    else:
        raise Fault(f"expected what JSON can hold, not {describe_value(value)}")


def _is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _read_struct(message: Any, depth: int) -> dict[str, Any]:
    return {key: _read_value(item, depth) for key, item in message.fields.items()}


def _read_list(message: Any, depth: int) -> list[Any]:
    return [_read_value(item, depth) for item in message.values]


def _read_value(message: Any, depth: int) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "string_value":
        return message.string_value
    if kind == "number_value":
        number: float = message.number_value
        whole = number.is_integer() and -_EXACT_INT <= number <= _EXACT_INT
        # No int is minus zero.
        return int(number) if whole and (number or copysign(1.0, number) > 0) else number
    if kind == "bool_value":
        return message.bool_value
    if kind == "struct_value":
        return _read_struct(message.struct_value, depth)
    if kind == "list_value":
        return _read_list(message.list_value, depth)
    return None  # null_value, and a Value that has no kind at all


def _fill_mask(message: Any, value: Any, depth: int) -> None:
    if not isinstance(value, (list, tuple)):
        raise Fault(f"expected a list of paths, not {describe_value(value)}")
    for index, path in enumerate(value):
        if not isinstance(path, str):
            raise Fault(f"expected a str, not {describe_value(path)}").at(index_step(index))
    message.paths.extend(value)


def _read_mask(message: Any, depth: int) -> list[str]:
    return list(message.paths)


def fill_wrapper(descriptor: Any) -> Fill:
    """The fill of one of google/protobuf/wrappers.proto."""
    scalar = scalar_of(descriptor.fields_by_name["value"])

    def fill(message: Any, value: Any, depth: int) -> None:
        message.value = scalar.check(value)

    return fill


def read_wrapper(descriptor: Any) -> Read:
    """The read of one of google/protobuf/wrappers.proto."""
    if descriptor.name == "FloatValue":
        return lambda message, depth: shortest_float32(message.value)
    return lambda message, depth: message.value


WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""The full names of the wrapper messages."""

FILLS: Final[Mapping[str, Fill]] = {
    "google.protobuf.Timestamp": _fill_timestamp,
    "google.protobuf.Duration": _fill_duration,
    "google.protobuf.Struct": _fill_struct,
    "google.protobuf.ListValue": _fill_list,
    "google.protobuf.Value": _fill_value,
    "google.protobuf.FieldMask": _fill_mask,
}
"""Value into an empty message, by full name."""

READS: Final[Mapping[str, Read]] = {
    "google.protobuf.Timestamp": _read_timestamp,
    "google.protobuf.Duration": _read_duration,
    "google.protobuf.Struct": _read_struct,
    "google.protobuf.ListValue": _read_list,
    "google.protobuf.Value": _read_value,
    "google.protobuf.FieldMask": _read_mask,
}
"""Message to value, by full name."""
