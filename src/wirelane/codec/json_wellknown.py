"""The well-known types in ProtoJSON: times and masks as text, the rest as JSON itself.

What a message may not hold by its definition (a Timestamp of the year 10000, a Duration of two signs, a Value that is
NaN, a mask that has no camelCase form) has no JSON form and is a Fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final

from wirelane.codec.base import Fault, describe_int, describe_value
from wirelane.codec.scalars import check_string
from wirelane.codec.wellknown import (
    Fill,
    Read,
    StructFills,
    parse_seconds,
    parse_time,
    store_duration,
    store_time,
    struct_reads,
)

__all__ = ["FILLS", "READS"]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - for its text, without a zone
_LEAST_TIME: Final = -62_135_596_800  # the bounds of timestamp.proto and duration.proto, in seconds
_MOST_TIME: Final = 253_402_300_799
_MAX_DURATION: Final = 315_576_000_000
_SECOND: Final = 10**9
# The mapping has no lower case here, which RFC 3339 allows.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-5][0-9])"
)


def _fill_timestamp(message: Any, value: Any, depth: int) -> None:
    store_time(message, *parse_time(_text(value), _TIME))


def _fill_duration(message: Any, value: Any, depth: int) -> None:
    store_duration(message, parse_seconds(_text(value)))


def _fill_mask(message: Any, value: Any, depth: int) -> None:
    text = _text(value)
    message.paths.extend(map(_snake_case, text.split(",") if text else ()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault(f"expected a JSON string, not {describe_value(value)}")
    return check_string(value)


def _snake_case(path: str) -> str:
    if "_" in path:
        raise Fault(f'"{path}" is no path of a mask in JSON: names are lowerCamelCase there')
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)


def _double(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise Fault(f"{describe_int(int(value))} is out of range for a double") from None
    if not isfinite(number):
        raise Fault(f"{number!r} is no JSON number")
    return number


def _read_timestamp(message: Any, depth: int) -> str:
    seconds, nanos = message.seconds, message.nanos
    if not _LEAST_TIME <= seconds <= _MOST_TIME or not 0 <= nanos < _SECOND:
        raise Fault(f"a Timestamp of {seconds} seconds and {nanos} nanoseconds is out of range")
    return f"{(_EPOCH + timedelta(0, seconds)).isoformat()}{_fraction(nanos)}Z"


def _read_duration(message: Any, depth: int) -> str:
    seconds, nanos = message.seconds, message.nanos
    if abs(seconds) > _MAX_DURATION or abs(nanos) >= _SECOND or seconds * nanos < 0:
        raise Fault(f"a Duration of {seconds} seconds and {nanos} nanoseconds is out of range")
    return f"{'-' if seconds < 0 or nanos < 0 else ''}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    """Three, six or nine digits, as few as do."""
    if not nanos:
        return ""
    if not nanos % 1_000_000:
        return f".{nanos // 1_000_000:03}"
    return f".{nanos:09}" if nanos % 1000 else f".{nanos // 1000:06}"


def _read_mask(message: Any, depth: int) -> str:
    return ",".join(map(_camel_case, message.paths))


def _camel_case(path: str) -> str:
    """The path in lowerCamelCase, if that can be told apart from all others."""
    first, *rest = path.split("_")
    if any(map(str.isupper, path)) or not all(word[:1].islower() for word in rest):
        raise Fault(f'the path "{path}" of a mask has no JSON form')
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def _number(number: float) -> float:
    if not isfinite(number):
        raise Fault(f"a Value of {number!r} has no JSON form")
    return number


FILLS: Final[Mapping[str, Fill]] = {
    "google.protobuf.Timestamp": _fill_timestamp,
    "google.protobuf.Duration": _fill_duration,
    "google.protobuf.FieldMask": _fill_mask,
    **StructFills(_double).by_name(),
}
"""JSON into an empty message, by full name."""

READS: Final[Mapping[str, Read]] = {
    "google.protobuf.Timestamp": _read_timestamp,
    "google.protobuf.Duration": _read_duration,
    "google.protobuf.FieldMask": _read_mask,
    **struct_reads(_number),
}
"""Message to JSON, by full name."""
