"""The ProtoJSON mapping, value by value (https://protobuf.dev/programming-guides/json/).

In: 64-bit integers as numbers or strings, exponents where the value is whole, "NaN" and "Infinity", base64 of both
alphabets, enums by name or number. Out: as google.protobuf.json_format writes it.

Where json_format is more generous than the mapping this is not (docs/schema.md lists the cases): Python's spellings of
numbers ("1_000", "inf", " 5"), true for a number, characters in base64 that are none. Well-known types are in
`json_wellknown`.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from decimal import Decimal
from math import inf, isfinite, isnan, nan
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor

from wirelane.codec.base import Fault, describe_value
from wirelane.codec.scalars import Scalar, enum_names, six_digits
from wirelane.codec.scalars import scalar_of as python_scalar_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

__all__ = ["bytes_of", "key_of", "key_shown", "may_fail", "scalar_of", "show_bytes", "shown"]

_NULL: Final = "google.protobuf.NullValue"
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_DIGITS: Final = 400  # of a number in quotes: the largest double has 309 before the point
_FLOAT32_MAX: Final = 3.4028234663852886e38
_DOUBLE_MAX: Final = 1.7976931348623157e308
_WORDS: Final = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}

_LARGE: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)
_FLOATS: Final = {FieldDescriptor.TYPE_FLOAT: _FLOAT32_MAX, FieldDescriptor.TYPE_DOUBLE: _DOUBLE_MAX}


# In.


def scalar_of(field: FieldDescriptor) -> Scalar:
    """The rule for the elements of a field that is no message."""
    python = python_scalar_of(field)
    if field.enum_type is not None:
        return Scalar(frozenset(), _enum_check(field.enum_type, python.check))
    if field.type in _FLOATS:
        limit = _FLOATS[field.type]
        return Scalar(frozenset({float, int}), _float_check(python.check), limit)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return Scalar(frozenset(), bytes_of)
    if field.type in (FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_STRING):
        return Scalar(python.exact, _named(python.check, field.type == FieldDescriptor.TYPE_STRING))
    return Scalar(python.exact, _int_check(python.check))


def key_of(field: FieldDescriptor) -> Scalar:
    """The rule for the keys of a map, which JSON has as strings."""
    scalar = scalar_of(field)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return Scalar(frozenset(), _bool_key)
    if field.type == FieldDescriptor.TYPE_STRING:
        return scalar

    def check(key: Any) -> Any:
        if not isinstance(key, str):
            raise Fault(f"expected a JSON string for a key, not {describe_value(key)}")
        return scalar.check(key)

    return Scalar(frozenset(), check)


def _bool_key(key: Any) -> bool:
    if key not in ("true", "false"):
        raise Fault(f'expected "true" or "false" for a key, not {describe_value(key)}')
    return bool(key == "true")


def _named(check: Callable[[Any], Any], is_string: bool) -> Callable[[Any], Any]:
    name, kind = ("a JSON string", str) if is_string else ("true or false", bool)

    def checked(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Fault(f"expected {name}, not {describe_value(value)}")
        return check(value)

    return checked


def _int_check(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if isinstance(value, str):
            value = _whole(value)
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        return check(value)

    return checked


def _whole(text: str) -> int:
    """The integer that a string is, with a fraction of zeros or an exponent at most."""
    found = _NUMBER.fullmatch(text) if len(text) <= _DIGITS else None
    if not found:
        raise Fault(f"expected an integer, not {describe_value(text)}")
    if not found[1] and not found[2]:
        return int(text)
    number = Decimal(text)
    # No integer of protobuf has more digits; and no memory is taken for those of 1e999999999.
    if number.adjusted() > 40 or number != number.to_integral_value():
        raise Fault(f"expected an integer, not {describe_value(text)}")
    return int(number)


def _float_check(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if isinstance(value, str):
            word = _WORDS.get(value)
            if word is not None:
                return word
            if len(value) > _DIGITS or not _NUMBER.fullmatch(value):
                raise Fault(f"expected a number, not {describe_value(value)}")
            value = float(value)
        number = check(value)
        if not isfinite(number):
            raise Fault(
                'expected a number; "NaN", "Infinity" and "-Infinity" are strings, and others out of range'
            )
        return number

    return checked


def bytes_of(value: Any) -> bytes:
    """The bytes that a string in base64 stands for, or Fault."""
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise Fault(f"expected base64, not {describe_value(value)}")
    try:
        return urlsafe_b64decode(value.rstrip("=").replace("+", "-").replace("/", "_") + "==")
    except Base64Error:
        raise Fault(f"expected base64, not {describe_value(value)}") from None


def _enum_check(kind: EnumDescriptor, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known = frozenset(kind.values_by_name)
    is_null = kind.full_name == _NULL

    def checked(value: Any) -> Any:
        if value is None and is_null:
            return 0
        if isinstance(value, str):
            # A number in quotes is a number.
            if value not in known and len(value) <= _DIGITS and _INTEGER.fullmatch(value):
                value = int(value)
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        return check(value)

    return checked


# Out.


def shown(field: FieldDescriptor, numbers: bool) -> Callable[[Any], Any] | None:
    """What becomes of a value of this field, as protobuf gives it; None where it stays."""
    if field.type in _LARGE:
        return str
    if field.enum_type is not None:
        if numbers:
            return None
        if field.enum_type.full_name == _NULL:
            return lambda number: None
        names = enum_names(field.enum_type)
        return lambda number: names.get(number, number)
    return _SHOWN.get(field.type)


def may_fail(field: FieldDescriptor) -> bool:
    """Whether a field, or the keys or values of a map, may hold what has no JSON form: a string that is no text."""
    if field.message_type is None:
        return field.type == FieldDescriptor.TYPE_STRING
    return any(map(may_fail, field.message_type.fields))


def key_shown(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    """The same for the keys of a map."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda key: "true" if key else "false"
    return _text_shown if field.type == FieldDescriptor.TYPE_STRING else str


def _double_shown(value: float) -> Any:
    # x - x is 0 for what is finite, and NaN for all else.
    return value if value - value == 0.0 else _word(value)


def _float_shown(value: float) -> Any:
    return six_digits(value) if value - value == 0.0 else _word(value)


def _text_shown(value: Any) -> str:
    # protobuf gives bytes where a field may hold other octets than UTF-8 (proto2, utf8_validation = NONE) and does.
    if isinstance(value, str):
        return value
    raise Fault(f"{describe_value(value)} is no UTF-8 and has no JSON form")


def _word(value: float) -> str:
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def show_bytes(value: bytes) -> str:
    """Bytes in base64."""
    return b64encode(value).decode("ascii")


_SHOWN: Final[dict[int, Callable[[Any], Any]]] = {
    FieldDescriptor.TYPE_DOUBLE: _double_shown,
    FieldDescriptor.TYPE_FLOAT: _float_shown,
    FieldDescriptor.TYPE_STRING: _text_shown,
    FieldDescriptor.TYPE_BYTES: show_bytes,
}
