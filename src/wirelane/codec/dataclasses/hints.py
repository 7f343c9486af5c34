"""Annotations: which kind of value a Python type is, and how many of them there may be.

Contract: `read_hint` takes an evaluated annotation and answers with a `Hint`, or raises `UsageError` that begins with
where it stands and says what to write instead.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import types
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NewType,
    Protocol,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

from wirelane.codec.dataclasses.enums import enum_kind, literal_kind
from wirelane.codec.dataclasses.foreign import is_foreign
from wirelane.codec.dataclasses.kinds import (
    EnumKind,
    ForeignKind,
    Kind,
    KnownKind,
    MessageKind,
    ScalarKind,
    Shape,
)
from wirelane.codec.dataclasses.options import SCALARS, Field
from wirelane.errors import UsageError

__all__ = ["Hint", "MessageLike", "is_message_type", "read_hint", "strip"]

_LISTS: Final[Mapping[Any, type]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
_MAPS: Final = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
_KNOWN: Final = {
    datetime.datetime: "google.protobuf.Timestamp",
    datetime.timedelta: "google.protobuf.Duration",
}
_INSTEAD: Final[Mapping[Any, str]] = {
    decimal.Decimal: "a str, or an int of the smallest unit",
    uuid.UUID: "a str, or bytes",
    datetime.date: "a datetime, or a str",
    datetime.time: "a str, or a timedelta since midnight",
    bytearray: "bytes",
    memoryview: "bytes",
    complex: "a dataclass of two floats",
    list: "list[...] with the type of what is in it",
    tuple: "tuple[X, ...] with the type of what is in it",
    set: "set[...] with the type of what is in it",
    frozenset: "frozenset[...] with the type of what is in it",
    type(None): "a dataclass without fields",
}


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _GeneratedMessage(Protocol):
    DESCRIPTOR: ClassVar[Any]


MessageLike: TypeAlias = _Dataclass | _GeneratedMessage
"""What can be a request or a reply, to type checkers: a dataclass (betterproto2's messages are), or google.protobuf's."""


@dataclass(frozen=True, slots=True)
class Hint:
    """An annotation, understood.

    Attributes:
        shape: How many values.
        kind: What each is; of a map, each behind a key; None for a oneof.
        key: Of a map.
        container: Of a list: list, tuple, set or frozenset.
        abstract: It is a Sequence or Collection, of which a tuple is one as well.
        nullable: None is one of its values.
        members: Of a oneof: its types, and what each was annotated with.
        field: What `Annotated` says about the whole.
        doc: The comment, from `Field` or from PEP 727's Doc.
    """

    shape: Shape
    kind: Kind | None
    key: ScalarKind | None = None
    container: type = list
    abstract: bool = False
    nullable: bool = False
    members: tuple[tuple[Kind, Field], ...] = ()
    field: Field = dataclasses.field(default_factory=Field)
    doc: str = ""


def is_message_type(kind: object) -> bool:
    """Whether a type is a message by itself: a dataclass, or a class of google.protobuf or betterproto2."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or is_foreign(kind))


def strip(hint: Any) -> tuple[Any, list[object]]:
    """Return a type without Annotated, NewType and aliases around it, and what Annotated says, the outermost first."""
    said: list[object] = []
    while True:
        if get_origin(hint) is Annotated:
            said += hint.__metadata__
            hint = hint.__origin__
        elif isinstance(hint, NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType" and hasattr(
            hint, "__value__"
        ):  # `type X = ...`, Python 3.12
            hint = hint.__value__
        else:
            return hint, said


def read_hint(hint: Any, field: str, where: str) -> Hint:
    """Return what an annotation means.

    Args:
        hint: The annotation, evaluated.
        field: The name of the field, after which an enum for a Literal is named.
        where: How errors begin.

    Raises:
        UsageError: It has no counterpart in a .proto.
    """
    bare, said = strip(hint)
    nullable = False
    members: tuple[Any, ...] = ()
    if get_origin(bare) in (Union, types.UnionType):
        members = _flat(bare)
        nullable = type(None) in members
        members = tuple(each for each in members if each is not type(None))
        if len(members) == 1:
            bare, more = strip(members[0])
            said += more
            members = ()
    settings = _settings(said, where)
    doc = settings.doc or next(
        (text for each in said if isinstance(text := getattr(each, "documentation", None), str)), ""
    )
    made = _oneof(members, settings, where) if members else _single(bare, settings, field, where)
    if nullable and made.shape in (Shape.LIST, Shape.MAP):
        empty, word = ("{}", "dict") if made.shape is Shape.MAP else ("[]", "list")
        raise UsageError(
            f"{where}: on the wire a {word} cannot be None, only empty; drop `| None` "
            f"(field(default_factory={word}) makes it {empty}), or put it into a dataclass of its own"
        )
    return dataclasses.replace(made, nullable=nullable, field=settings, doc=doc)


def _settings(said: list[object], where: str) -> Field:
    found = [each for each in said if isinstance(each, Field)]
    if any(each is Field for each in said):
        raise UsageError(f"{where}: write Field(...), with its parentheses")
    if len(found) > 1:
        raise UsageError(f"{where}: one Field(...) is enough")
    return found[0] if found else Field()


def _flat(union: Any) -> tuple[Any, ...]:
    """Return the types of a union, those of unions behind aliases included."""
    flat: list[Any] = []
    for each in get_args(union):
        bare, said = strip(each)
        if get_origin(bare) in (Union, types.UnionType) and not said:
            flat += _flat(bare)
        else:
            flat.append(each)
    return tuple(dict.fromkeys(flat))


def _single(bare: Any, settings: Field, field: str, where: str) -> Hint:
    origin, arguments = get_origin(bare), get_args(bare)
    if origin in _LISTS:
        return _list(_LISTS[origin], bare, arguments, settings, field, where)
    if bare in (dict, Mapping, collections.abc.MutableMapping) or (
        origin in _MAPS and strip(arguments[0])[0] is str and strip(arguments[1])[0] in (Any, object)
    ):
        return Hint(Shape.ONE, KnownKind(dict, "google.protobuf.Struct"))
    if origin in _MAPS:
        return _map(bare, arguments, settings, field, where)
    return Hint(Shape.ONE, _kind(bare, settings, field, where))


def _list(
    container: type, bare: Any, arguments: tuple[Any, ...], settings: Field, field: str, where: str
) -> Hint:
    if container is tuple:
        if len(arguments) != 2 or arguments[1] is not Ellipsis:
            raise UsageError(
                f"{where}: {_shown(bare)} is no list of one type; write tuple[X, ...], or make it a dataclass"
            )
        arguments = arguments[:1]
    kind = _inner(arguments[0], settings, field, where, "a list")
    if container in (set, frozenset) and not isinstance(kind, (ScalarKind, EnumKind)):
        raise UsageError(f"{where}: a set holds what has a hash: numbers, strings, bytes and enums")
    abstract = get_origin(bare) in (collections.abc.Sequence, collections.abc.Collection)
    return Hint(Shape.LIST, kind, container=container, abstract=abstract)


def _map(bare: Any, arguments: tuple[Any, ...], settings: Field, field: str, where: str) -> Hint:
    key_hint, said = strip(arguments[0])
    if key_hint not in (int, str, bool):
        raise UsageError(
            f"{where}: the keys of {_shown(bare)} must be str, int or bool, as in a map of a .proto"
        )
    key = _scalar(key_hint, _settings(said, where), where)
    return Hint(Shape.MAP, _inner(arguments[1], settings, field, where, "a dict"), key=key)


def _inner(hint: Any, settings: Field, field: str, where: str, what: str) -> Kind:
    """Return the kind of what is in a list or a dict; `type` may be said inside or outside."""
    bare, said = strip(hint)
    inside = _settings(said, where)
    if inside.number is not None or inside.name is not None:
        raise UsageError(
            f"{where}: what is in {what} has no number or name of its own; say them of the whole"
        )
    if get_origin(bare) in (Union, types.UnionType):
        raise UsageError(
            f"{where}: {what} holds values of one type, and not None; "
            f"put {_shown(bare)} into a dataclass, and have {what} of those"
        )
    if get_origin(bare) in _LISTS or get_origin(bare) in _MAPS:
        raise UsageError(f"{where}: {what} holds no lists or dicts; put {_shown(bare)} into a dataclass")
    return _kind(bare, inside if inside.type is not None else settings, field, where)


def _oneof(members: tuple[Any, ...], settings: Field, where: str) -> Hint:
    if settings.type is not None:
        raise UsageError(f"{where}: say type= of the one type of the union that it is for")
    found: list[tuple[Kind, Field]] = []
    seen: set[type] = set()
    for each in members:
        bare, said = strip(each)
        if get_origin(bare) in _LISTS or get_origin(bare) in _MAPS:
            raise UsageError(
                f"{where}: a union holds no lists or dicts; put {_shown(bare)} into a dataclass, or leave the union"
            )
        if get_origin(bare) is Literal:
            raise UsageError(f"{where}: a Literal in a union could be any string; use an enum.Enum")
        own = _settings(said, where)
        kind = _kind(bare, own, "", where)
        if isinstance(kind, KnownKind) and kind.name not in _KNOWN.values():
            raise UsageError(f"{where}: {_shown(bare)} in a union could be anything; put it into a dataclass")
        if kind.python in seen:
            raise UsageError(f"{where}: the union has {_shown(bare)} twice; nothing could tell the two apart")
        assert kind.python is not None
        seen.add(kind.python)
        found.append((kind, own))
    return Hint(Shape.ONEOF, None, members=tuple(found))


def _kind(bare: Any, settings: Field, field: str, where: str) -> Kind:
    if isinstance(bare, type) and bare in SCALARS:
        return _scalar(bare, settings, where)
    if settings.type is not None:
        raise UsageError(
            f"{where}: type={settings.type!r} is for int, float, bool, str and bytes, not {_shown(bare)}"
        )
    if bare is Any or bare is object:
        return KnownKind(object, "google.protobuf.Value")
    if bare in _KNOWN:
        return KnownKind(bare, _KNOWN[bare])
    if bare is dict:
        return KnownKind(dict, "google.protobuf.Struct")
    if get_origin(bare) is Literal:
        return literal_kind(get_args(bare), field, where)
    if isinstance(bare, type) and get_origin(bare) is None:
        if issubclass(bare, enum.Enum):
            return enum_kind(bare, where)
        if is_foreign(bare):
            return ForeignKind(bare)
        if dataclasses.is_dataclass(bare):
            _refuse_generic(bare, where)
            return MessageKind(bare)
    raise UsageError(f"{where}: {_shown(bare)} {_refusal(bare)}")


def _scalar(python: type, settings: Field, where: str) -> ScalarKind:
    names = SCALARS[python]
    if settings.type is None:
        return ScalarKind(python, names[0])
    if settings.type not in names:
        raise UsageError(f"{where}: {_shown(python)} cannot be {settings.type!r}, only {', '.join(names)}")
    return ScalarKind(python, settings.type)


def _refuse_generic(kind: type, where: str) -> None:
    if getattr(kind, "__parameters__", ()):
        raise UsageError(
            f"{where}: {kind.__qualname__} is generic, and a message is not; write a dataclass for each type"
        )


def _refusal(bare: Any) -> str:
    """Return what to say to a type that is none of a .proto, behind its name."""
    origin = get_origin(bare)
    if bare in _INSTEAD if isinstance(bare, collections.abc.Hashable) else False:
        return f"has no counterpart in a .proto; use {_INSTEAD[bare]}"
    if isinstance(bare, TypeVar) or (isinstance(origin, type) and dataclasses.is_dataclass(origin)):
        return "is generic, and a message is not; write a dataclass for each type"
    if get_origin(bare) is not None:
        return "has no counterpart in a .proto"
    if isinstance(bare, type) and (is_typeddict(bare) or issubclass(bare, tuple)):
        return "is no message; make it a dataclass"
    return (
        "is no type of a message: there are int, float, bool, str, bytes, enum.Enum, datetime, timedelta, Any, lists and "
        "dicts of these, dataclasses, and messages of google.protobuf and betterproto2"
    )


def _shown(hint: Any) -> str:
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint.__qualname__
    return str(hint).replace("typing.", "")
