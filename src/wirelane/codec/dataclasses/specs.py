"""Dataclasses as messages: from a class to its `MessageSpec`, and to those of all that it leads to.

Contract: everything that can be wrong with a class is found here and raised as `UsageError` that names the class and the
field. A spec is made once per class and kept with the class.

Numbers: a field without one gets one more than the field before it, past reserved ones; a union of several types takes
one for each. So numbers are stable as long as new fields are added at the end, and removed ones are reserved.

Presence: what the dataclass's default says is what absence means. A number, string, bytes, bool or enum whose default is
zero, or that has none, is a plain proto3 field; with another default it is `optional`, so that the reader knows whether to
apply it; so it is with `| None`. Lists and dicts are empty when nothing comes, whatever their default.
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wirelane.codec.dataclasses.foreign import is_foreign
from wirelane.codec.dataclasses.hints import Hint, read_hint
from wirelane.codec.dataclasses.kinds import (
    EnumKind,
    FieldSpec,
    Kind,
    KnownKind,
    Member,
    MessageKind,
    MessageSpec,
    ScalarKind,
    Shape,
    Unset,
)
from wirelane.codec.dataclasses.options import MessageOptions, check_number, options_of
from wirelane.core.names import is_identifier, json_name, snake_case
from wirelane.errors import UsageError

__all__ = ["message_spec", "reach"]

_ATTRIBUTE = "__wirelane_spec__"


def reach(roots: Iterable[type], names: Mapping[str, Any] | None = None) -> dict[type, MessageSpec]:
    """Return the specs of dataclasses and of all dataclasses that their fields lead to, in the order of declaration.

    Args:
        roots: The classes; such as are no dataclasses are passed over.
        names: What annotations may name besides what is global to the module of each class.

    Raises:
        UsageError: One of them cannot be a message.
    """
    found: dict[type, MessageSpec] = {}
    waiting = list(roots)
    while waiting:
        kind = waiting.pop(0)
        if kind in found or not _is_plain(kind):
            continue
        spec = found[kind] = message_spec(kind, names)
        inner = [
            each.python for field in spec.fields for each in field.kinds if isinstance(each, MessageKind)
        ]
        waiting = inner + waiting  # those of the first field before the second: as one would write them
    _refuse_endless(found)
    return found


def _is_plain(kind: type) -> bool:
    """Whether a class is a dataclass that is no message of another library."""
    return dataclasses.is_dataclass(kind) and not is_foreign(kind)


def message_spec(kind: type, names: Mapping[str, Any] | None = None) -> MessageSpec:
    """Return what one dataclass is as a message.

    Raises:
        UsageError: It cannot be one.
    """
    spec = vars(kind).get(_ATTRIBUTE)
    if not isinstance(spec, MessageSpec) or spec.python is not kind:
        spec = _read(kind, names)
        # On the class: a cache beside it, weak or not, would keep the class alive, as the spec does refer to it.
        setattr(kind, _ATTRIBUTE, spec)
    return spec


def _read(kind: type, names: Mapping[str, Any] | None) -> MessageSpec:
    options = options_of(kind)
    name = options.name or kind.__name__
    if not is_identifier(name):
        raise UsageError(
            f'{kind.__qualname__} is no name of a message in a .proto: @grpc.message(name="...")'
        )
    hints = _hints(kind, names)
    fields: list[FieldSpec] = []
    numbers = _Numbers(kind, options)
    for field in _fields(kind, hints):
        where = f"{kind.__qualname__}.{field.name}"
        hint = read_hint(hints[field.name], field.name, where)
        fields.append(_field(field, hint, numbers, where))
    _check_names(kind, fields, options)
    return MessageSpec(
        kind, name, tuple(fields), _doc(kind), options.numbers, options.names, deprecated=options.deprecated
    )


def _hints(kind: type, names: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return typing.get_type_hints(
            kind, localns={**(names or {}), kind.__name__: kind}, include_extras=True
        )
    except NameError as error:
        raise UsageError(
            f"{kind.__qualname__}: its annotations name {error.name!r}, which is not defined where it is looked for: in "
            f"the module {kind.__module__}, when the service is defined (and not under TYPE_CHECKING)"
        ) from error
    except (TypeError, SyntaxError) as error:
        raise UsageError(f"{kind.__qualname__}: an annotation cannot be evaluated: {error}") from error


def _fields(kind: type, hints: Mapping[str, Any]) -> list[dataclasses.Field[Any]]:
    """Return the fields that its constructor takes."""
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            raise UsageError(f"{kind.__qualname__}.{name}: an InitVar is lost on the wire; make it a field")
    return [field for field in dataclasses.fields(kind) if field.init]


class _Numbers:
    """Hands out field numbers."""

    def __init__(self, kind: type, options: MessageOptions) -> None:
        self._kind = kind
        self._reserved = frozenset(options.numbers)
        self._taken: dict[int, str] = {}
        self._last = 0

    def take(self, wanted: int | None, name: str) -> int:
        """Return the number of a field: the one that is wanted, or the next.

        Raises:
            UsageError: It is taken or reserved.
        """
        number = wanted if wanted is not None else self._next()
        where = f"{self._kind.__qualname__}.{name}"
        if number in self._taken:
            raise UsageError(
                f"{where}: number {number} is that of {self._taken[number]}; each field has one of its own"
            )
        if number in self._reserved:
            raise UsageError(f"{where}: number {number} is reserved")
        self._taken[number] = name
        self._last = number
        return number

    def _next(self) -> int:
        number = self._last + 1
        while number in self._reserved:
            number += 1
        # From one of protobuf's own numbers to the first behind them.
        return 20000 if 19000 <= number < 20000 else number


def _field(field: dataclasses.Field[Any], hint: Hint, numbers: _Numbers, where: str) -> FieldSpec:
    name = hint.field.name or _proto_name(field.name, where)
    members = _members(hint, field.name, name, numbers, where)
    number = members[0].number if members else numbers.take(hint.field.number, field.name)
    unset, explicit = _absence(field, hint, where)
    # What comes out equals what the default is, where nothing was sent.
    container = tuple if hint.abstract and isinstance(field.default, tuple) else hint.container
    return FieldSpec(
        field.name,
        name,
        check_number(number, f"{where}: number"),
        hint.shape,
        hint.kind,
        hint.key,
        container,
        members,
        nullable=hint.nullable,
        explicit=explicit,
        unset=unset,
        doc=inspect.cleandoc(hint.doc),
        deprecated=hint.field.deprecated,
    )


def _proto_name(attribute: str, where: str) -> str:
    # `from_` is how Python writes a field called `from`.
    name = attribute[:-1] if attribute.endswith("_") and keyword.iskeyword(attribute[:-1]) else attribute
    if not is_identifier(name):
        raise UsageError(
            f'{where}: a field of a .proto has an ASCII name: Annotated[..., grpc.Field(name="...")]'
        )
    return name


def _members(hint: Hint, attribute: str, name: str, numbers: _Numbers, where: str) -> tuple[Member, ...]:
    members: list[Member] = []
    for kind, settings in hint.members:
        wanted = settings.number if settings.number is not None else None if members else hint.field.number
        chosen = settings.name or _member_name(kind, name)
        if any(chosen == other.name for other in members):
            raise UsageError(f'{where}: two types of the union would be "{chosen}"; name one: {_EXAMPLE}')
        members.append(Member(chosen, numbers.take(wanted, attribute if not members else chosen), kind))
    return tuple(members)


_EXAMPLE = 'Annotated[X, grpc.Field(name="...")] | Y'


def _member_name(kind: Kind, field: str) -> str:
    if isinstance(kind, (ScalarKind, KnownKind)):
        return f"{field}_{kind.python.__name__}"
    assert kind.python is not None
    return snake_case(kind.python.__name__)


def _absence(field: dataclasses.Field[Any], hint: Hint, where: str) -> tuple[Unset | Callable[[], Any], bool]:
    """Return what a field is that is absent, and whether it must be `optional` for that."""
    default, factory = field.default, field.default_factory
    given = default is not dataclasses.MISSING or factory is not dataclasses.MISSING
    if hint.nullable:
        if given and default is not None:
            raise UsageError(
                f"{where}: None is sent as absence, which would be read as the default; drop `| None`, or make None the "
                "default"
            )
        return _none, isinstance(hint.kind, (ScalarKind, EnumKind))
    if hint.shape in (Shape.LIST, Shape.MAP):
        return Unset.ZERO, False
    plain = isinstance(hint.kind, (ScalarKind, EnumKind))
    if not given:
        lacks_zero = hint.shape is Shape.ONEOF or (
            isinstance(hint.kind, EnumKind) and hint.kind.zero is Unset.NONE
        )
        return (Unset.NONE if lacks_zero else Unset.ZERO), False
    if factory is not dataclasses.MISSING:
        return factory, plain
    if default is None and not (isinstance(hint.kind, KnownKind) and hint.kind.python is object):
        raise UsageError(f"{where}: its default is None, and its type does not say so; add `| None`")
    if plain and _is_zero(hint.kind, default):
        return Unset.ZERO, False
    return (lambda: default), plain


def _none() -> None:
    return None


def _is_zero(kind: Kind | None, default: Any) -> bool:
    if isinstance(kind, EnumKind):
        return kind.numbers.get(default) == 0
    assert isinstance(kind, ScalarKind)
    # -0.0 equals 0.0 and is another float.
    return type(default) is kind.python and repr(default) == repr(kind.python())


def _check_names(kind: type, fields: list[FieldSpec], options: MessageOptions) -> None:
    """Refuse names that protoc would refuse: taken twice, also as JSON names, or reserved."""
    spelt: dict[str, str] = {}
    for field in fields:
        for name in (field.name, *(member.name for member in field.members)):
            where = f"{kind.__qualname__}.{field.attribute}"
            if name in options.names:
                raise UsageError(f'{where}: the name "{name}" is reserved')
            known = spelt.get(json_name(name))
            hint = _EXAMPLE if field.members else _NAMED
            if known == name:
                raise UsageError(f'{where}: another field is called "{name}"; rename one, or {hint}')
            if known is not None:
                raise UsageError(
                    f'{where}: "{name}" and "{known}" are one name in JSON; rename one, or {hint}'
                )
            spelt[json_name(name)] = name


_NAMED = 'Annotated[..., grpc.Field(name="...")]'


def _doc(kind: type) -> str:
    text = vars(kind).get("__doc__")
    # `@dataclass` writes one where there is none: "Order(id: str, quantity: int = 0)".
    if not isinstance(text, str) or (text.startswith(f"{kind.__name__}(") and text.endswith(")")):
        return ""
    return inspect.cleandoc(text)


def _refuse_endless(specs: Mapping[type, MessageSpec]) -> None:
    """Refuse classes that can never be made of an absent message, because each needs another of them."""
    needs = {
        kind: [
            (field.attribute, each.python)
            for field in spec.fields
            if field.shape is Shape.ONE and field.unset is Unset.ZERO
            for each in field.kinds
            if isinstance(each, MessageKind)
        ]
        for kind, spec in specs.items()
    }
    done: set[type] = set()
    for root in needs:
        path: dict[type, str] = {}
        _walk(root, needs, path, done)


def _walk(
    kind: type, needs: Mapping[type, list[tuple[str, type]]], path: dict[type, str], done: set[type]
) -> None:
    if kind in done:
        return
    for attribute, inner in needs[kind]:
        path[kind] = attribute
        if inner in path:
            raise UsageError(
                f"{kind.__qualname__}.{attribute}: a {inner.__qualname__} holds another one without end; write "
                f"`{inner.__qualname__} | None`"
            )
        _walk(inner, needs, path, done)
        del path[kind]
    done.add(kind)
