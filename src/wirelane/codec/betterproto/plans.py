"""betterproto2's classes as plans: what their dataclass fields say, and what keeps a class from being one.

A message inside whose class is not planned, because it has ways of its own, is opaque: bytes on the wire,
`bytes(message)` and `parse` at the ends.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from wirelane.codec.betterproto.bases import base_of, is_message_of
from wirelane.codec.betterproto.names import enumeration, field_name, is_registered, message_name
from wirelane.codec.betterproto.obstacles import obstacle_of, warns_when_made
from wirelane.codec.glue import Enumeration, Field, Making, Plan, Unplannable

__all__ = ["described", "is_message", "obstacle", "plan_of"]

_ATTRIBUTE: Final = "__wirelane_plan__"

# What the glue does in place of the class, or relies on.
_RELIED_ON: Final = (
    "__bytes__",
    "SerializeToString",
    "parse",
    "FromString",
    "load",
    "_postprocess_single",
    "_get_field_default",
    "_betterproto",
    "_cls_for",
    "_type_hint",
    "_type_hints",
    "_is_pydantic",
    "_validate",
    "__new__",
    "__getattribute__",
    "__setattr__",
)
_UNKNOWN: Final = "_unknown_fields"


def is_message(kind: object) -> bool:
    """Whether something is a subclass of betterproto2.Message."""
    return is_message_of("betterproto2", kind)


def plan_of(kind: Any) -> Plan:
    """The plan of a subclass of betterproto2.Message, made at first use.

    Raises:
        Unplannable: It has its own ways, or its annotations do not resolve (yet).
    """
    plan: Plan | None = kind.__dict__.get(_ATTRIBUTE)
    if plan is None:
        reason = obstacle(kind)
        if reason:
            raise Unplannable(f"{kind.__module__}.{kind.__qualname__} {reason}")
        # Made twice at once, it is the same twice.
        plan = _make(kind)
        setattr(kind, _ATTRIBUTE, plan)
    return plan


def described(kind: Any) -> Plan:
    """As `plan_of`, but for a description only: how a class reads and writes itself is no matter."""
    return kind.__dict__.get(_ATTRIBUTE) or _make(kind)


def obstacle(kind: type) -> str:
    """What keeps a class from being planned, whatever its fields are; empty if nothing does."""
    return obstacle_of(kind, base_of("betterproto2"), _RELIED_ON)


def _make(kind: Any) -> Plan:
    try:
        hints = kind._type_hints()
    except Exception as error:
        # Annotations are strings, evaluated as code.
        raise Unplannable(f"the annotations of {kind.__qualname__} do not resolve: {error}") from error
    package, name = message_name(kind)
    fields = tuple(_field(each, hints[each.name], kind) for each in dataclasses.fields(kind))
    return Plan(
        kind,
        name,
        package,
        fields,
        making=Making.DEFAULTS if warns_when_made(kind) else Making.ATTRIBUTES,
        unknown=_UNKNOWN,
        foreign=_serialize_other,
        check=_pydantic_check(kind),
        anonymous=not is_registered(kind),
    )


def _field(field: Any, hint: Any, owner: type) -> Field:
    meta = field.metadata.get("betterproto")
    if meta is None:
        raise Unplannable(f"{field.name} is no field of a message")
    types = getattr(hint, "__args__", None) or (hint,)
    name = field.name
    key = None
    value, value_type = meta, types[0]
    if meta.map_meta is not None:
        key, value, value_type = meta.map_meta[0].proto_type, meta.map_meta[1], types[-1]
    many = bool(meta.repeated) or key is not None
    planned = Field(
        name,
        meta.number,
        value.proto_type,
        field_name(name),
        repeated=bool(meta.repeated),
        key=key,
        presence=not many and bool(meta.optional or meta.group or meta.proto_type == "message"),
        oneof=meta.group,
    )
    if value.proto_type == "enum":
        planned = dataclasses.replace(planned, enum=_enum(name, value_type, owner))
    elif value.proto_type == "message":
        planned = _message_field(planned, value_type, value.unwrap)
    _check_default(field, planned)
    return planned


def _enum(name: str, kind: Any, owner: type) -> Enumeration | None:
    if kind is int:
        return None
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and issubclass(kind, int):
        return enumeration(kind, owner)
    raise Unplannable(f"{name} has no enum for its type")


def _check_default(field: Any, planned: Field) -> None:
    if field.default_factory is dataclasses.MISSING:
        raise Unplannable(f"{field.name} has no default")
    default = field.default_factory()
    zero = (
        {} if planned.key else [] if planned.repeated else None if planned.presence else _zero(planned.kind)
    )
    if default != zero or (default is None) is not (zero is None):
        raise Unplannable(f"{field.name} has a default of its own")


def _zero(kind: str) -> Any:
    return {"string": "", "bytes": b""}.get(kind, 0)


def _message_field(planned: Field, kind: Any, unwrap: Callable[[], type] | None) -> Field:
    try:
        target: Any = kind if unwrap is None else unwrap()
    except NameError as error:
        raise Unplannable(f"the type of {planned.attribute} is not there: {error}") from error
    if not is_message(target):
        raise Unplannable(f"{planned.attribute} holds no betterproto2 message")
    wrap = None if unwrap is None else (target.from_wrapped, target.to_wrapped)
    if obstacle(target):
        into, out_of = _opaque(target, wrap)
        return dataclasses.replace(
            planned, inside=lambda: described(target), into=into, out_of=out_of, opaque=True
        )
    into, out_of = wrap or (None, None)
    return dataclasses.replace(planned, inside=lambda: plan_of(target), into=into, out_of=out_of)


def _opaque(kind: Any, wrap: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None) -> Any:
    """The conversions between an object that reads and writes itself, and bytes."""

    def into(value: Any) -> bytes:
        return _serialize_other(value if wrap is None else wrap[0](value))

    def out_of(data: bytes) -> Any:
        Empty.FromString(data)  # betterproto2 takes what is cut off in the middle for the end
        message = kind.parse(data)
        return message if wrap is None else wrap[1](message)

    return into, out_of


def _serialize_other(value: Any) -> bytes:
    """What betterproto2 does with any message in any field: it lets it serialize itself."""
    if not is_message(type(value)):
        raise TypeError(type(value).__qualname__)
    return bytes(value)


def _pydantic_check(kind: Any) -> Callable[[Any], None] | None:
    """What `_validate` of a pydantic dataclass does, with the validator made only once."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not pydantic.dataclasses.is_pydantic_dataclass(kind):
        return None
    try:
        # Types that refer to each other are put off until an object is made.
        pydantic.dataclasses.rebuild_dataclass(kind)
    except Exception as error:
        raise Unplannable(f"{kind.__qualname__} is not complete: {error}") from error
    validate = sys.modules["pydantic_core"].SchemaValidator(kind.__pydantic_core_schema__).validate_python

    def check(message: Any) -> None:
        values = dict(message.__dict__)
        values.pop(_UNKNOWN, None)
        validate(values)

    return check
