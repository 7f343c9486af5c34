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
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, describe_int, describe_value, index_step, key_step
from wirelane.codec.nano import NanoDatetime, NanoTimedelta
from wirelane.codec.scalars import check_string

if TYPE_CHECKING:
    from wirelane.codec.scalars import Scalar

__all__ = [
    "FILLS",
    "READS",
    "SHORTCUTS",
    "SHORTCUT_SCOPE",
    "WRAPPERS",
    "Fill",
    "Read",
    "StructFills",
    "fill_wrapper",
    "parse_seconds",
    "parse_time",
    "read_wrapper",
    "store_duration",
    "store_time",
    "struct_reads",
]

Fill: TypeAlias = Callable[[Any, Any, int], None]
"""`fill(message, value, depth)`: store a value in an empty message, or raise Fault."""

Read: TypeAlias = Callable[[Any, int], Any]
"""`read(message, depth)`: the value of a message, or Fault."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DURATION: Final = 315_576_000_000  # seconds: 10,000 years, the bound of duration.proto
_LEAST_TIME: Final = -62_135_596_800  # seconds: 0001-01-01T00:00:00Z, the bound of timestamp.proto
_MOST_TIME: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_EXACT_INT: Final = 2**53  # above it a double skips integers
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_SECONDS: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)


def _fill_timestamp(message: Any, value: Any, depth: int) -> None:
    if isinstance(value, str):
        store_time(message, *parse_time(value, _RFC3339))
    elif isinstance(value, datetime):
        # pandas.Timestamp has the same attribute with the same meaning.
        store_time(message, value, getattr(value, "nanosecond", 0))
    else:
        raise Fault(f"expected an aware datetime or an RFC 3339 string, not {describe_value(value)}")


def store_time(message: Any, moment: datetime, nanosecond: int) -> None:
    """Store a moment, and 0 to 999 nanoseconds more, in a Timestamp."""
    if moment.utcoffset() is None:
        raise Fault(f"{moment.isoformat()} has no time zone; use datetime(..., tzinfo=UTC)")
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if not _LEAST_TIME <= seconds <= _MOST_TIME:
        raise Fault(f"{moment.isoformat()} is beyond the years 1 to 9999 in UTC")
    message.seconds = seconds
    message.nanos = since.microseconds * 1000 + nanosecond


def parse_time(text: str, pattern: re.Pattern[str]) -> tuple[datetime, int]:
    """The moment of an RFC 3339 text, and its nanoseconds beyond the microsecond.

    `pattern` has three groups: what is before the fraction, the fraction, and the zone.
    """
    found = pattern.fullmatch(text)
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
        nanos = parse_seconds(value)
    else:
        raise Fault(f"expected a timedelta or a string of seconds, not {describe_value(value)}")
    store_duration(message, nanos)


def parse_seconds(text: str) -> int:
    """The nanoseconds of a text such as "1.5s"."""
    found = _SECONDS.fullmatch(text)
    if not found:
        raise Fault(f'"{text}" is no duration such as "1.5s"')
    sign, seconds, fraction = found.groups()
    nanos = int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))
    return -nanos if sign else nanos


def store_duration(message: Any, nanos: int) -> None:
    """Store a number of nanoseconds in a Duration."""
    # Seconds and nanos have the same sign (duration.proto), so the division is made on the absolute value.
    seconds_part, nanos_part = divmod(abs(nanos), 10**9)
    if seconds_part > _MAX_DURATION:
        raise Fault(f"{describe_int(nanos // 10**9)} seconds are out of range for a Duration (10,000 years)")
    message.seconds = seconds_part if nanos >= 0 else -seconds_part
    message.nanos = nanos_part if nanos >= 0 else -nanos_part


def _read_duration(message: Any, depth: int) -> timedelta:
    microseconds, nanoseconds = divmod(message.nanos, 1000)
    try:
        span = timedelta(0, message.seconds, microseconds)
    except OverflowError:
        raise Fault(f"a Duration of {message.seconds} seconds is out of range for a timedelta") from None
    return NanoTimedelta.of(span, nanoseconds) if nanoseconds else span


class StructFills:
    """The fills of Struct, ListValue and Value.

    Args:
        number: Answers with the double for an int or float, or raises Fault.
    """

    def __init__(self, number: Callable[[Any], float]) -> None:
        self._number = number

    def by_name(self) -> dict[str, Fill]:
        """Each by the full name of its message."""
        return {
            "google.protobuf.Struct": self._struct,
            "google.protobuf.ListValue": self._list,
            "google.protobuf.Value": self._value,
        }

    def _struct(self, message: Any, value: Any, depth: int) -> None:
        if not isinstance(value, Mapping):
            raise Fault(f"expected a dict, not {describe_value(value)}")
        fields = message.fields
        for key, item in value.items():
            if not isinstance(key, str):
                raise Fault(f"expected str keys, not {describe_value(key)}")
            try:
                # An entry of the map is a message too.
                self._value(fields[check_string(key)], item, depth + 2)
            except Fault as fault:
                fault.at(key_step(key))
                raise

    def _list(self, message: Any, value: Any, depth: int) -> None:
        if not isinstance(value, (list, tuple)):
            raise Fault(f"expected a list, not {describe_value(value)}")
        add = message.values.add
        for index, item in enumerate(value):
            try:
                self._value(add(), item, depth + 1)
            except Fault as fault:
                fault.at(index_step(index))
                raise

    def _value(self, message: Any, value: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Fault(TOO_DEEP)
        if isinstance(value, str):
            message.string_value = check_string(value)
        elif value is None:
            message.null_value = 0
        elif isinstance(value, bool):
            message.bool_value = value
        elif isinstance(value, (int, float)):
            message.number_value = self._number(value)
        elif isinstance(value, Mapping):
            self._inside(message.struct_value, self._struct, value, depth)
        elif isinstance(value, (list, tuple)):
            self._inside(message.list_value, self._list, value, depth)
        else:
            raise Fault(f"expected what JSON can hold, not {describe_value(value)}")

    @staticmethod
    def _inside(message: Any, fill: Fill, value: Any, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise Fault(TOO_DEEP)
        message.SetInParent()
        fill(message, value, depth + 1)


def _exact_double(value: float) -> float:
    if isinstance(value, int):
        try:
            if int(float(value)) == value:
                return value
        except OverflowError:
            pass
        raise Fault(
            f"{describe_int(value)} is not exact as a double, which is all a Value has; pass a str or a float"
        )
    return value


def struct_reads(number: Callable[[float], Any]) -> dict[str, Read]:
    """The reads of Struct, ListValue and Value; `number` tells what a double becomes, or Fault."""

    def read_struct(message: Any, depth: int) -> dict[str, Any]:
        # Not items(), which calls Python for each.
        fields = message.fields
        return {key: read_value(fields[key], depth) for key in fields}

    def read_list(message: Any, depth: int) -> list[Any]:
        return [read_value(item, depth) for item in message.values[:]]

    def read_value(message: Any, depth: int) -> Any:
        kind = message.WhichOneof("kind")
        if kind == "string_value":
            return message.string_value
        if kind == "number_value":
            return number(message.number_value)
        if kind == "bool_value":
            return message.bool_value
        if kind == "struct_value":
            return read_struct(message.struct_value, depth)
        if kind == "list_value":
            return read_list(message.list_value, depth)
        return None  # null_value, and a Value that has no kind at all

    return {
        "google.protobuf.Struct": read_struct,
        "google.protobuf.ListValue": read_list,
        "google.protobuf.Value": read_value,
    }


def _plain_number(number: float) -> float:
    whole = number.is_integer() and -_EXACT_INT <= number <= _EXACT_INT
    # No int is minus zero.
    return int(number) if whole and (number or copysign(1.0, number) > 0) else number


def _fill_mask(message: Any, value: Any, depth: int) -> None:
    if not isinstance(value, (list, tuple)):
        raise Fault(f"expected a list of paths, not {describe_value(value)}")
    for index, path in enumerate(value):
        try:
            message.paths.append(check_string(path))
        except Fault as fault:
            fault.at(index_step(index))
            raise


def _read_mask(message: Any, depth: int) -> list[str]:
    paths: list[str] = message.paths[:]
    return paths


def fill_wrapper(scalar: Scalar) -> Fill:
    """The fill of one of google/protobuf/wrappers.proto, given the rule of what it holds."""
    check = scalar.check

    def fill(message: Any, value: Any, depth: int) -> None:
        message.value = check(value)

    return fill


def read_wrapper(show: Callable[[Any], Any] | None) -> Read:
    """The read of one of google/protobuf/wrappers.proto, given what becomes of its value."""
    if show is not None:
        return lambda message, depth: show(message.value)
    return lambda message, depth: message.value


WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""The full names of the wrapper messages."""

FILLS: Final[Mapping[str, Fill]] = {
    "google.protobuf.Timestamp": _fill_timestamp,
    "google.protobuf.Duration": _fill_duration,
    **StructFills(_exact_double).by_name(),
    "google.protobuf.FieldMask": _fill_mask,
}
"""Value into an empty message, by full name."""

READS: Final[Mapping[str, Read]] = {
    "google.protobuf.Timestamp": _read_timestamp,
    "google.protobuf.Duration": _read_duration,
    **struct_reads(_plain_number),
    "google.protobuf.FieldMask": _read_mask,
}
"""Message to value, by full name."""

SHORTCUTS: Final[Mapping[str, str]] = {
    # Both are twice as fast as a timedelta. Until 2106 a double tells times apart by less than half a microsecond.
    "google.protobuf.Timestamp": (
        "from_timestamp(s_, UTC) if not (n_ := y.nanos) and -1 < (s_ := y.seconds) < 4294967296 "
        "else from_timestamp(y.seconds + n_ / 1e9, UTC) "
        "if 0 < n_ < 1000000000 and not n_ % 1000 and -1 < y.seconds < 4294967296"
    ),
}
"""Source for what most messages `y` of a type hold, up to the "else" that reads all others, by full name."""

SHORTCUT_SCOPE: Final[Mapping[str, object]] = {"from_timestamp": datetime.fromtimestamp, "UTC": UTC}
"""What the names in it stand for."""
