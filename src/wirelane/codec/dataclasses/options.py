"""What a dataclass says about its place in a .proto beyond its annotations: `Field` for a field, `message` for it all.

Contract: both only hold what was written, checked as far as one value alone can be; `specs` puts it to use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from wirelane.core.names import is_identifier
from wirelane.errors import UsageError

__all__ = ["SCALARS", "Field", "MessageOptions", "check_number", "message", "options_of"]

SCALARS: Final = {
    int: (
        *("int64", "int32", "uint64", "uint32", "sint64", "sint32"),
        *("fixed64", "fixed32", "sfixed64", "sfixed32"),
    ),
    float: ("double", "float"),
    bool: ("bool",),
    str: ("string",),
    bytes: ("bytes",),
}
"""The types of .proto that a Python type may be, the default first."""

_NAMES: Final = {name: kind for kind, names in SCALARS.items() for name in names}
_MAX_NUMBER: Final = 2**29 - 1
_INTERNAL: Final = range(19000, 20000)  # kept by protobuf for itself
_ATTRIBUTE: Final = "__wirelane_message__"

_T = TypeVar("_T", bound=type)


def check_number(number: object, what: str) -> int:
    """Return a field number.

    Raises:
        UsageError: It cannot be one.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MAX_NUMBER:
        raise UsageError(f"{what} is a field number, 1 to {_MAX_NUMBER}, not {number!r}")
    if number in _INTERNAL:
        raise UsageError(f"{what}={number}: protobuf keeps the numbers 19000 to 19999 for itself")
    return number


@dataclass(frozen=True, slots=True)
class Field:
    """What a field is in the .proto, for `Annotated`: `quantity: Annotated[int, grpc.Field(3, type="sint32")]`.

    Attributes:
        number: Its number; of a union of several types, that of the first. None: one more than the field before it.
        type: Its type where Python's says less: "sint32", "fixed64", "float", ...; of lists and dicts, that of what they
            hold. None: int64, double, bool, string, bytes.
        name: Its name; None: that of the attribute. In a union of several types, that of one of them.
        doc: Its comment.
        deprecated: It is marked so.

    Raises:
        UsageError: A number, type or name that cannot be.
    """

    number: int | None = None
    type: str | None = None
    name: str | None = None
    doc: str = ""
    deprecated: bool = False

    def __post_init__(self) -> None:
        if self.number is not None:
            check_number(self.number, "number")
        if self.type is not None and self.type not in _NAMES:
            raise UsageError(f"type={self.type!r} is no scalar type of .proto: {', '.join(_NAMES)}")
        if self.name is not None and not is_identifier(self.name):
            raise UsageError(f"name={self.name!r} is no name: letters, digits and _ only")


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """What `message` was given.

    Attributes:
        name: The name of the message; None for that of the class.
        numbers: Reserved field numbers.
        names: Reserved field names.
        deprecated: The message is marked so.
    """

    name: str | None = None
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    deprecated: bool = False


def message(
    *, name: str | None = None, reserved: tuple[int | str | range, ...] = (), deprecated: bool = False
) -> Callable[[_T], _T]:
    """Say more about the message that a dataclass is: a decorator, above or below `@dataclass`.

    Args:
        name: Its name in the .proto; that of the class if None.
        reserved: Numbers, ranges of numbers and names of fields that there were: no field gets them again.
        deprecated: Mark the message so.

    Raises:
        UsageError: A name or number that cannot be.
    """
    if name is not None and not is_identifier(name):
        raise UsageError(f"name={name!r} is no name of a message: letters, digits and _ only")
    if not isinstance(reserved, (tuple, list)):
        raise UsageError(f"reserved is a tuple of numbers, ranges and names, not {reserved!r}")
    numbers: set[int] = set()
    names: list[str] = []
    for each in reserved:
        if isinstance(each, str):
            if not is_identifier(each):
                raise UsageError(f"reserved={each!r} is no name of a field: letters, digits and _ only")
            names.append(each)
        elif isinstance(each, range):
            numbers.update(check_number(number, "reserved") for number in each)
        else:
            numbers.add(check_number(each, "reserved"))
    options = MessageOptions(name, tuple(sorted(numbers)), tuple(dict.fromkeys(names)), deprecated)

    def decorate(kind: _T) -> _T:
        setattr(kind, _ATTRIBUTE, options)
        return kind

    return decorate


def options_of(kind: type) -> MessageOptions:
    """Return what `message` said about a class; not what it said about a base of it."""
    options = vars(kind).get(_ATTRIBUTE)
    return options if isinstance(options, MessageOptions) else MessageOptions()
