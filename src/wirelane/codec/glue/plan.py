"""What there is to know of a Python class whose objects are messages: a `Plan`, with a `Field` per attribute.

A plan is all that the rest of the package works from: `source` makes functions of it, `wire` the descriptors
that these functions speak to, `files` the .proto that others get to see. Who has classes of another kind
(dataclasses, say) writes a function from class to `Plan` and has all of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any, Final

from wirelane.codec.base import Fault, describe_value

__all__ = [
    "INTEGERS",
    "PACKABLE",
    "SCALARS",
    "Choice",
    "Enumeration",
    "Field",
    "Inside",
    "Making",
    "Plan",
    "Unplannable",
]

INTEGERS: Final = frozenset(
    {"int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"}
)
PACKABLE: Final = INTEGERS | {"bool", "float", "double", "enum"}
SCALARS: Final = PACKABLE | {"string", "bytes"}


class Unplannable(Exception):
    """This class cannot be expressed as a plan; the message says why."""


class Making(Enum):
    """How an object comes to be when a message is read."""

    ATTRIBUTES = "attributes"
    """`object.__new__`, then every attribute is stored: neither `__init__` nor `__post_init__` runs."""

    DEFAULTS = "defaults"
    """`kind()`, then every attribute is stored: for classes whose `__init__` does something."""

    ARGUMENTS = "arguments"
    """`kind(attribute=value, ...)`: for classes that check what they are given, or are frozen."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A message inside a field that is read and written by functions of its own: the well-known types.

    Attributes:
        full_name: A message of google/protobuf/*.proto or google/rpc/*.proto.
        write: Stores a value in an empty message of that type; raises `Fault` if it does not fit.
        read: The value of such a message.
    """

    full_name: str
    write: Callable[[Any, Any], None]
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enum.

    Attributes:
        kind: The class, called with a number for a member.
        full_name: In the .proto; without a package where none is known.
        package: The part of the name that is the package.
        values: Names in the .proto and numbers, in the order of declaration; names may share a number.
    """

    kind: type[Enum]
    full_name: str
    package: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which member of a oneof a value belongs to, where one attribute holds whichever is set.

    Attributes:
        numbers: The number of the member for each type.
        nullable: None stands for none of them.
    """

    numbers: Mapping[type, int]
    nullable: bool

    def pick(self, value: Any) -> int:
        """Return the number of the member for a value, 0 for none.

        Raises:
            Fault: It is of none of the types.
        """
        if value is None and self.nullable:
            return 0
        for kind, number in self.numbers.items():
            if isinstance(value, kind):
                return number
        names = " or ".join(kind.__qualname__ for kind in self.numbers)
        raise Fault(f"expected {names}, not {describe_value(value)}")


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute.

    Attributes:
        attribute: Its name in Python.
        number: Its number on the wire.
        kind: "int32", ... as .proto files write scalars, "enum" or "message". Of a map: the kind of the values.
        name: Its name in a .proto.
        enum: What numbers of an enum become; without it they stay numbers.
        inside: The message of a message field: a function that gives its plan, called when all classes are
            there, so that types may be recursive; or an `Inside`.
        repeated: Whether the attribute is a list, or what `container` says.
        key: The kind of the keys, if the attribute is a dict.
        presence: Whether None stands for "not set" and the default is a value like others. Without it the
            default is not sent; a message is always there.
        oneof: The group of which one attribute at most is not None.
        into: From a value to what the field takes: the object that `inside` plans, or a scalar.
        out_of: The way back.
        container: list, tuple, set or frozenset, if it is repeated.
        absent: What a field with presence is when it is not set, instead of None, which it then cannot be.
        choice: The attribute is that of all fields of the same `oneof`, which are beside each other.
        opaque: The message inside reads and writes itself: `into` gives its bytes, `out_of` takes them, and
            `inside` only tells others what it is.
    """

    attribute: str
    number: int
    kind: str
    name: str
    enum: Enumeration | None = None
    inside: Callable[[], Plan] | Inside | None = None
    repeated: bool = False
    key: str | None = None
    presence: bool = False
    oneof: str | None = None
    into: Callable[[Any], Any] | None = None
    out_of: Callable[[Any], Any] | None = None
    opaque: bool = False
    container: type = list
    absent: Callable[[], Any] | None = None
    choice: Choice | None = None

    @property
    def nested(self) -> bool:
        """Whether the glue goes into the message inside."""
        return self.kind == "message" and not self.opaque

    @property
    def wire_kind(self) -> str:
        """The kind of the field that the glue speaks to."""
        return "bytes" if self.opaque else "int32" if self.kind == "enum" else self.kind

    @property
    def many(self) -> bool:
        """Whether the attribute is a list or a dict."""
        return self.repeated or self.key is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """One class.

    Attributes:
        kind: The class.
        full_name: Of the message type, "pkg.Outer.Inner"; without a package where none is known.
        package: The part of the name that is the package.
        fields: In the order of declaration.
        making: How objects are made.
        unknown: The attribute that keeps the octets of fields that the class does not know; without one they
            are dropped.
        foreign: Serializes an object that stands where one of `kind` belongs and is none itself, or raises
            TypeError; without it such objects are refused.
        strict: None is only taken where it stands for "not set", and lists are no other iterables.
        check: Called with every object before it is written and after it was read; raises what it likes if the
            object is not valid.
        view: What is written in the place of an object: something that has the attributes as the fields want them.
        anonymous: Nobody knows what the class is called in a .proto: `full_name` is made up.
        maker: What is called in the place of `kind` for `Making.ARGUMENTS`; gets `unknown`, too.
    """

    kind: type
    full_name: str
    package: str
    fields: tuple[Field, ...]
    making: Making = Making.ATTRIBUTES
    unknown: str | None = None
    foreign: Callable[[Any], bytes] | None = None
    check: Callable[[Any], None] | None = None
    strict: bool = False
    view: Callable[[Any], Any] | None = None
    maker: Callable[..., Any] | None = None
    anonymous: bool = False

    def attributes(self) -> Iterator[tuple[str, list[Field]]]:
        """Yield every attribute with its field, or with the members of its `choice`."""
        for attribute, fields in groupby(self.fields, key=lambda field: field.attribute):
            yield attribute, list(fields)

    @property
    def oneofs(self) -> tuple[str, ...]:
        """The groups, in the order of their first members."""
        return tuple(dict.fromkeys(field.oneof for field in self.fields if field.oneof is not None))

    @property
    def python_name(self) -> str:
        """The class, for messages to people."""
        return f"{self.kind.__module__}.{self.kind.__qualname__}"
