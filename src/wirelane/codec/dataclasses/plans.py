"""Dataclasses as plans of `wirelane.codec.glue`, which makes of them what encodes and decodes.

Contract: strict in both directions. What goes in must be of the type that the annotation says, None only where it is one; what
comes out was made by the class's own constructor, so `__post_init__` has its say. Fields that the class does not know are
dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from wirelane.codec.base import Fault, MessageCodec, describe_value
from wirelane.codec.dataclasses.foreign import is_foreign
from wirelane.codec.dataclasses.kinds import (
    EnumKind,
    FieldSpec,
    ForeignKind,
    Kind,
    KnownKind,
    MessageKind,
    MessageSpec,
    ScalarKind,
    Shape,
    Unset,
)
from wirelane.codec.dataclasses.specs import message_spec, reach
from wirelane.codec.glue import Choice, Field, Inside, Making, Plan, glue_of
from wirelane.codec.wellknown import FILLS, READS
from wirelane.errors import CodecError

__all__ = ["find_codec", "plan_of"]

_ATTRIBUTE: Final = "__wirelane_plan__"


Lookup = Callable[[type], MessageCodec]
"""Gives the codec of a message of another library."""


def find_codec(message_type: type, lookup: Lookup) -> MessageCodec | None:
    """The codec of a dataclass that is no message of another library.

    Args:
        message_type: Any type.
        lookup: For messages of other libraries in its fields.

    Raises:
        UsageError: A field of it cannot be in a message.
    """
    if not dataclasses.is_dataclass(message_type) or is_foreign(message_type):
        return None
    reach([message_type])
    glue = glue_of(plan_of(message_type, lookup))
    encode_exactly, name = glue.encode, glue.plan.python_name

    def encode(value: Any) -> bytes:
        # A subclass may have more to say than the message has room for.
        if type(value) is not message_type:
            raise CodecError(f"expected a {name}, not {describe_value(value)}")
        return encode_exactly(value)

    return MessageCodec(name, encode, glue.decode)


def plan_of(kind: type, lookup: Lookup) -> Plan:
    """The plan of a dataclass.

    Args:
        kind: The dataclass.
        lookup: See `find_codec`.

    Raises:
        UsageError: It cannot be a message.
    """
    plan = vars(kind).get(_ATTRIBUTE)
    if not isinstance(plan, Plan) or plan.kind is not kind:
        plan = _make(message_spec(kind), lookup)
        setattr(kind, _ATTRIBUTE, plan)
    return plan


def _make(spec: MessageSpec, lookup: Lookup) -> Plan:
    fields: list[Field] = []
    for each in spec.fields:
        fields += _choice(each, lookup) if each.shape is Shape.ONEOF else [_field(each, lookup)]
    return Plan(spec.python, spec.name, "", tuple(fields), making=Making.ARGUMENTS, strict=True)


def _choice(spec: FieldSpec, lookup: Lookup) -> list[Field]:
    numbers = {member.kind.python: member.number for member in spec.members}
    choice = Choice({kind: number for kind, number in numbers.items() if kind is not None}, spec.nullable)
    return [
        dataclasses.replace(
            _planned(spec, member.kind, member.number, lookup),
            name=member.name,
            oneof=spec.name,
            choice=choice,
            absent=_absent(spec),
        )
        for member in spec.members
    ]


def _field(spec: FieldSpec, lookup: Lookup) -> Field:
    assert spec.kind is not None
    planned = _planned(spec, spec.kind, spec.number, lookup)
    if spec.shape is Shape.LIST:
        return dataclasses.replace(planned, repeated=True, container=spec.container)
    if spec.shape is Shape.MAP:
        assert spec.key is not None
        return dataclasses.replace(planned, key=spec.key.proto)
    if spec.nullable:
        return dataclasses.replace(planned, presence=True)
    if spec.unset is Unset.ZERO and isinstance(spec.kind, ForeignKind):
        return dataclasses.replace(
            planned, presence=True, absent=partial(_decode, spec.kind.python, lookup, b"")
        )
    if isinstance(spec.unset, Unset):
        return planned
    return dataclasses.replace(planned, presence=True, absent=spec.unset)


def _absent(spec: FieldSpec) -> Callable[[], Any] | None:
    if spec.nullable:
        return None
    if spec.unset is Unset.NONE:
        names = ", ".join(member.name for member in spec.members)
        return partial(_refuse, f"one of {names} must be set")
    assert not isinstance(spec.unset, Unset)
    return spec.unset


def _refuse(problem: str) -> Any:
    raise Fault(problem)


def _planned(spec: FieldSpec, kind: Kind, number: int, lookup: Lookup) -> Field:
    """Return the field for one value of a kind."""
    name = spec.name
    if isinstance(kind, ScalarKind):
        return Field(spec.attribute, number, kind.proto, name)
    if isinstance(kind, EnumKind):
        into, out_of = _enum_conversions(spec, kind)
        # On the wire an enum is an int32, which takes any number.
        return Field(spec.attribute, number, "int32", name, into=into, out_of=out_of)
    if isinstance(kind, MessageKind):
        return Field(spec.attribute, number, "message", name, inside=partial(plan_of, kind.python, lookup))
    if isinstance(kind, KnownKind):
        return Field(spec.attribute, number, "message", name, inside=_INSIDE[kind.name])
    return Field(
        spec.attribute,
        number,
        "message",
        name,
        into=partial(_encode, kind.python, lookup),
        out_of=partial(_decode, kind.python, lookup),
        opaque=True,
    )


# ------------------------------------------------------------------------------------------------------- conversions


def _encode(kind: type, lookup: Lookup, value: Any) -> bytes:
    if not isinstance(value, kind):
        raise Fault(f"expected a {kind.__module__}.{kind.__qualname__}, not {describe_value(value)}")
    return lookup(kind).encode(value)


def _decode(kind: type, lookup: Lookup, data: bytes) -> Any:
    return lookup(kind).decode(data)


class _Numbers(dict[Any, int]):
    """What stands in Python, to numbers."""

    def __init__(self, name: str, numbers: Mapping[Any, int]) -> None:
        super().__init__(numbers)
        self._name = name

    def __missing__(self, value: Any) -> int:
        raise Fault(f"expected {self._name}, not {describe_value(value)}")


class _Members(dict[int, Any]):
    """Numbers to what stands in Python; a class that has `_missing_` makes what it likes of other numbers."""

    def __init__(self, kind: EnumKind, unspecified: Callable[[], Any] | None) -> None:
        super().__init__({number: value for value, number in reversed(list(kind.numbers.items()))})
        self._kind = kind
        self._unspecified = unspecified

    def __missing__(self, number: int) -> Any:
        kind = self._kind
        if number == 0:
            if self._unspecified is None:
                raise Fault(f"it must be given: {kind.values[0][0]} is no {_name_of(kind)}")
            return self._unspecified()
        if kind.python is None:
            raise Fault(f"{_name_of(kind)} has no number {number}")
        try:
            return kind.python(number)
        except ValueError:
            raise Fault(
                f"{kind.python.__qualname__} has no number {number}; a _missing_ of the class could make something of it"
            ) from None


def _name_of(kind: EnumKind) -> str:
    if kind.python is not None:
        return kind.python.__qualname__
    return " or ".join(map(repr, kind.numbers))


def _enum_conversions(spec: FieldSpec, kind: EnumKind) -> tuple[Callable[[Any], int], Callable[[int], Any]]:
    unspecified = None
    if spec.shape is Shape.ONE and not isinstance(spec.unset, Unset):
        unspecified = spec.unset
    numbers = _Numbers(_name_of(kind), kind.numbers)
    return numbers.__getitem__, _Members(kind, unspecified).__getitem__


def _inside(name: str, kind: type, expected: str) -> Inside:
    fill, read = FILLS[name], READS[name]

    def write(value: Any, message: Any) -> None:
        if not isinstance(value, kind):
            raise Fault(f"expected {expected}, not {describe_value(value)}")
        fill(message, value, 0)

    return Inside(name, write, lambda message: read(message, 0))


_INSIDE: Final = {
    name: _inside(name, kind, expected)
    for name, kind, expected in (
        ("google.protobuf.Timestamp", datetime, "an aware datetime"),
        ("google.protobuf.Duration", timedelta, "a timedelta"),
        ("google.protobuf.Struct", Mapping, "a dict"),
        ("google.protobuf.Value", object, "what JSON can hold"),
    )
}
