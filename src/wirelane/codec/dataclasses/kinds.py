"""What a dataclass is as a message, as plain values: between the annotations and descriptors, codecs.

A `MessageSpec` has a `FieldSpec` for every field. What one value of a field is, is its `Kind`; whether there may be
several, or none, is the field's business.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "EnumKind",
    "FieldSpec",
    "ForeignKind",
    "Kind",
    "KnownKind",
    "Member",
    "MessageKind",
    "MessageSpec",
    "ScalarKind",
    "Shape",
    "Unset",
]


@dataclass(frozen=True, slots=True)
class ScalarKind:
    """A number, a string, bytes or a bool.

    Attributes:
        python: int, float, bool, str or bytes.
        proto: The word in the .proto.
    """

    python: type
    proto: str


@dataclass(frozen=True, slots=True, eq=False)
class EnumKind:
    """An enum, or a Literal of strings.

    Attributes:
        python: The Enum class; None for a Literal, whose enum is nested in the message.
        name: Of the enum in the .proto.
        values: Names and numbers as they are declared, the one with number 0 first.
        numbers: What stands in Python, a member or a string, to its number.
        doc: The comment.
    """

    python: type[enum.Enum] | None
    name: str
    values: tuple[tuple[str, int], ...]
    numbers: Mapping[Any, int]
    doc: str = ""

    @property
    def zero(self) -> Any:
        """What 0 is in Python; `Unset.NONE` where 0 stands for nothing."""
        return next((value for value, number in self.numbers.items() if number == 0), Unset.NONE)


@dataclass(frozen=True, slots=True)
class MessageKind:
    """A dataclass."""

    python: type


@dataclass(frozen=True, slots=True)
class KnownKind:
    """A well-known type that a Python type stands for.

    Attributes:
        python: What the values are instances of; object for a google.protobuf.Value.
        name: The full name of the message.
    """

    python: type
    name: str


@dataclass(frozen=True, slots=True)
class ForeignKind:
    """A message class of google.protobuf or betterproto2."""

    python: type


Kind: TypeAlias = ScalarKind | EnumKind | MessageKind | KnownKind | ForeignKind


class Shape(enum.Enum):
    """How many values a field has."""

    ONE = enum.auto()
    LIST = enum.auto()
    MAP = enum.auto()
    ONEOF = enum.auto()


class Unset(enum.Enum):
    """What a field is in Python when the wire says nothing of it, where that is no value."""

    NONE = enum.auto()
    """Nothing can stand for it: decoding fails."""
    ZERO = enum.auto()
    """The zero of its kind."""


@dataclass(frozen=True, slots=True)
class Member:
    """One type of a union of several."""

    name: str
    number: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field.

    Attributes:
        attribute: Its name in Python.
        name: Its name in the .proto.
        number: Its number; of a ONEOF, that of the first member.
        shape: How many values it has.
        kind: What a value is; of a MAP, what is behind a key; None for a ONEOF.
        key: What the keys of a MAP are.
        container: list, tuple, set or frozenset: what a LIST is in Python.
        members: Of a ONEOF.
        nullable: None is a value.
        explicit: `optional`: the wire tells absence from zero.
        unset: What it is when it is absent: `Unset`, or a function that makes the value.
        doc: The comment.
        deprecated: It is marked so.
    """

    attribute: str
    name: str
    number: int
    shape: Shape
    kind: Kind | None
    key: ScalarKind | None = None
    container: type = list
    members: tuple[Member, ...] = ()
    nullable: bool = False
    explicit: bool = False
    unset: Unset | Callable[[], Any] = Unset.ZERO
    doc: str = ""
    deprecated: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What its values may be."""
        return (self.kind,) if self.kind is not None else tuple(member.kind for member in self.members)

    @property
    def last_number(self) -> int:
        """The last number that it takes."""
        return max((member.number for member in self.members), default=self.number)


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One dataclass as a message."""

    python: type
    name: str
    fields: tuple[FieldSpec, ...]
    doc: str = ""
    reserved_numbers: tuple[int, ...] = ()
    reserved_names: tuple[str, ...] = ()
    deprecated: bool = False
