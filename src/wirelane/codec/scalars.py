"""Checks of single values: what may go into a field that holds a number, a string, bytes, a bool or an enum.

A `Scalar` says which Python types a field takes as they are, the test on the hot path, and has a check for
everything else: it answers with the value to store, or raises `Fault`. Nothing is converted that could have
been a mistake: no str for a number, no int for a bool, no str for bytes.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor

from wirelane.codec.base import Fault, describe_int, describe_value, nearest_value

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

__all__ = [
    "Scalar",
    "check_bytes",
    "check_string",
    "enum_names",
    "scalar_of",
    "shortest_float32",
    "shown",
    "six_digits",
]

_FLOAT32_MAX: Final = 3.4028234663852886e38
# Halfway to the next power of two: from here on rounding gives infinity (IEEE 754, round to nearest even).
_FLOAT32_OVERFLOW: Final = 3.4028235677973366e38

_INT_KINDS: Final = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: ("sint32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: ("sfixed32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: ("sint64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: ("sfixed64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: ("fixed32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: ("uint64", 0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: ("fixed64", 0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """What one kind of field accepts.

    Attributes:
        exact: Values of exactly these types may be stored without a check; the store itself refuses integers
            that are out of range, and text that is not Unicode.
        check: Any other value, or one that the store refused: the value to store, or `Fault`.
        limit: Numbers may be stored without a check only within plus and minus this; None for no such bound.
    """

    exact: frozenset[type]
    check: Callable[[Any], Any]
    limit: float | None = None


def scalar_of(field: FieldDescriptor) -> Scalar:
    """The rule for the elements of a field that is no message."""
    kind = field.type
    if kind in _INT_KINDS:
        return Scalar(frozenset({int}), _int_check(*_INT_KINDS[kind]))
    if field.enum_type is not None:
        # No type is exact: names become numbers.
        return Scalar(frozenset(), _enum_check(field.enum_type))
    return _PLAIN[kind]


def _int_check(name: str, low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = _index(value, f"an int for {name}")
        if not low <= number <= high:
            raise Fault(f"{describe_int(number)} is out of range for {name} ({low} to {high})")
        return number

    return check


def _index(value: Any, expected: str) -> int:
    try:
        if not isinstance(value, bool):
            return index(value)
    except (TypeError, ValueError):
        pass  # not an integer, or none that can be told: an array of several has an __index__, too
    raise Fault(f"expected {expected}, not {describe_value(value)}")


def _check_double(value: Any) -> float:
    # Only what Python takes for a number: float() takes text.
    if not isinstance(value, bool) and (hasattr(value, "__float__") or hasattr(value, "__index__")):
        try:
            return float(value)
        except OverflowError:
            raise Fault(f"{describe_value(value)} is out of range for double") from None
        except (TypeError, ValueError):
            pass  # an array of several, a signaling NaN
    raise Fault(f"expected a number, not {describe_value(value)}")


def _check_float(value: Any) -> float:
    number = _check_double(value)
    if abs(number) >= _FLOAT32_OVERFLOW and not math.isinf(number):
        raise Fault(f"{number!r} is out of range for float (largest {_FLOAT32_MAX!r})")
    return number


def _check_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Fault(f"expected a bool, not {describe_value(value)}")


def check_string(value: Any) -> str:
    """The str that protobuf takes for a value, or `Fault`."""
    if not isinstance(value, str):
        raise Fault(f"expected a str, not {describe_value(value)}")
    text = str.__str__(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Fault(f"the string does not encode as UTF-8: {error.reason} at {error.start}") from None
    return text


def check_bytes(value: Any) -> bytes:
    """The bytes that protobuf takes for a value, or `Fault`."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    hint = "; pass bytes, for example text.encode()" if isinstance(value, str) else ""
    raise Fault(f"expected bytes, not {describe_value(value)}{hint}")


def _enum_check(kind: EnumDescriptor) -> Callable[[Any], int]:
    numbers = {name: each.number for name, each in kind.values_by_name.items()}
    known = frozenset(numbers.values())
    closed = kind.is_closed

    def check(value: Any) -> int:
        if type(value) is not str and isinstance(value, enum.Enum) and not isinstance(value, int):
            value = value.name
        if isinstance(value, str):
            found = numbers.get(value)
            if found is None:
                raise Fault(f'{kind.full_name} has no value "{value}"{nearest_value(value, numbers)}')
            return found
        number = _index(value, f"a name or number of {kind.full_name}")
        if closed and number not in known:
            raise Fault(f"{kind.full_name} is closed and has no value {describe_int(number)}")
        if not -(2**31) <= number < 2**31:
            raise Fault(f"{describe_int(number)} is out of range for an enum ({-(2**31)} to {2**31 - 1})")
        return number

    return check


def enum_names(kind: EnumDescriptor) -> dict[int, str]:
    """Number to name; of several names for one number the first counts."""
    names: dict[int, str] = {}
    for each in kind.values:
        names.setdefault(each.number, each.name)
    return names


_HALF_UNIT_SQUARED: Final = 2.0**-50
_WHOLE: Final = 1e6  # whole numbers up to here have no digits to lose
_NORMAL: Final = ("%.6g", "%.7g", "%.8g")
_SUBNORMAL: Final = ("%.1g", "%.2g", "%.3g", "%.4g", "%.5g", *_NORMAL)
_LEAST_NORMAL: Final = 2.0**-126
_pack_float32 = Struct("<f").pack


def shortest_float32(value: float) -> float:
    """The float with the fewest digits that is the same float32: 123.22 rather than 123.22000122070312."""
    # Two decimals, or four of a small number: unique below these bounds, as neighbours are nearer than the next decimal.
    if -1e4 < value < 1e4:
        scale = 1e4 if -100.0 < value < 100.0 else 100.0
        short = round(value * scale) / scale
        off = short - value
        # Nearer than half a unit in the last place of 24 bits, which is 2**-25 of the value or more.
        if off * off < value * value * _HALF_UNIT_SQUARED:
            return short
    if value.is_integer() and -_WHOLE <= value <= _WHOLE:
        return value
    if value - value != 0.0:
        return value  # infinities and NaN have no digits
    packed = _pack_float32(value)
    # Six decimal digits always survive in a normal float32, fewer in a subnormal one.
    for digits in _NORMAL if not -_LEAST_NORMAL < value < _LEAST_NORMAL else _SUBNORMAL:
        short = float(digits % value)
        if _pack_float32(short) == packed:
            return short
    return float(f"{value:.9g}")


def six_digits(value: float) -> float:
    """As `shortest_float32`, but with at least six digits, as protobuf prints a float: it shows in 1e-45 only.

    The value is finite.
    """
    if not -_LEAST_NORMAL < value < _LEAST_NORMAL or not value:
        return shortest_float32(value)
    packed = _pack_float32(value)
    for digits in _NORMAL:
        short = float(digits % value)
        if _pack_float32(short) == packed:
            return short
    return float(f"{value:.9g}")


def shown(field: FieldDescriptor, numbers: bool) -> Callable[[Any], Any] | None:
    """What becomes of a value of this field, as protobuf gives it; None where it stays."""
    if field.enum_type is not None and not numbers:
        names = enum_names(field.enum_type)
        # A number without a name stays one.
        return lambda number: names.get(number, number)
    return shortest_float32 if field.type == FieldDescriptor.TYPE_FLOAT else None


_PLAIN: Final = {
    FieldDescriptor.TYPE_DOUBLE: Scalar(frozenset({float, int}), _check_double),
    # protobuf stores 1e40 as infinity without a word.
    FieldDescriptor.TYPE_FLOAT: Scalar(frozenset({float, int}), _check_float, _FLOAT32_MAX),
    FieldDescriptor.TYPE_BOOL: Scalar(frozenset({bool}), _check_bool),
    FieldDescriptor.TYPE_STRING: Scalar(frozenset({str}), check_string),
    FieldDescriptor.TYPE_BYTES: Scalar(frozenset({bytes}), check_bytes),
}
