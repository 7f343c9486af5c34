"""Enums and Literals of strings as enums of a .proto.

Contract: members whose values are ints keep them as their numbers; others are numbered from 1 as they are declared, so
that new ones belong at the end. The first value of an enum in proto3 is 0: where no member is, `<NAME>_UNSPECIFIED` is
added. Values are named `<NAME>_<MEMBER>`, as the style guide of protobuf asks, since those of all enums of a package
share one scope.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterable
from typing import Any

from wirelane.codec.dataclasses.kinds import EnumKind
from wirelane.core.names import is_identifier, pascal_case, snake_case
from wirelane.errors import UsageError

__all__ = ["enum_kind", "literal_kind"]

_NO_LETTER = re.compile(r"[^A-Za-z0-9]+")


def enum_kind(python: type[enum.Enum], where: str) -> EnumKind:
    """Return what an Enum class is.

    Raises:
        UsageError: It cannot be an enum of a .proto.
    """
    if issubclass(python, enum.Flag):
        raise UsageError(f"{where}: flags of {python.__qualname__} are no enum of a .proto; use an int")
    members = list(python)
    if not members:
        raise UsageError(f"{where}: the enum {python.__qualname__} has no members")
    values = [member.value for member in members]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        numbers = [int(value) for value in values]
        for member, number in zip(members, numbers, strict=True):
            if not -(2**31) <= number < 2**31:
                raise UsageError(f"{where}: {member!r} does not fit into the 32 bits that an enum has")
    else:
        numbers = list(range(1, len(members) + 1))
    doc = vars(python).get("__doc__")
    return EnumKind(
        python,
        python.__name__,
        _values(python.__name__, [member.name for member in members], numbers, where),
        dict(zip(members, numbers, strict=True)),
        inspect.cleandoc(doc) if isinstance(doc, str) else "",
    )


def literal_kind(values: Iterable[Any], field: str, where: str) -> EnumKind:
    """Return what a Literal is: an enum named after its field, nested in the message.

    Raises:
        UsageError: It has other values than strings, or two that are the same name.
    """
    texts = list(dict.fromkeys(values))
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{where}: a Literal here is made of strings; use an enum.IntEnum for numbers")
    names = [_NO_LETTER.sub("_", snake_case(text)).upper() for text in texts]
    for text, name in zip(texts, names, strict=True):
        if not name.strip("_"):
            raise UsageError(f"{where}: {text!r} makes no name of an enum value; use an enum.Enum")
    numbers = range(1, len(texts) + 1)
    kind = pascal_case(field)
    return EnumKind(None, kind, _values(kind, names, numbers, where), dict(zip(texts, numbers, strict=True)))


def _values(
    enum_name: str, names: Iterable[str], numbers: Iterable[int], where: str
) -> tuple[tuple[str, int], ...]:
    prefix = snake_case(enum_name).upper() + "_"
    values = {}
    for name, number in zip(names, numbers, strict=True):
        full = name if name.upper().startswith(prefix) else prefix + name
        if not is_identifier(full):
            raise UsageError(
                f"{where}: {name!r} is no name of an enum value in a .proto: ASCII letters, digits and _"
            )
        if full in values:
            raise UsageError(
                f"{where}: two values of {enum_name} would both be {full}; use an enum.Enum with names"
            )
        values[full] = number
    if 0 not in values.values():
        unspecified = prefix + "UNSPECIFIED"
        if unspecified in values:
            raise UsageError(f"{where}: {unspecified} of {enum_name} must be 0")
        values[unspecified] = 0
    return tuple(sorted(values.items(), key=lambda item: item[1] != 0))
