"""The descriptors that generated functions speak to: one private message type per plan, without any names.

Fields are called f1, f2, ... after their numbers, so nothing of a schema enters source or clashes with
another schema, nor with what protobuf's classes have for methods. On the wire it is the same message:

- an enum is an int32, which takes any number and no name;
- a map is a list of its entries, both parts always written: so entries keep their order, both ways.

All types are in one pool, in files that import each other, so that a type that many use is there once. The
descriptors of a pool live as long as the pool: when most of its classes are gone, new classes get a new one,
and the old one goes with the last function that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.message import Message

from wirelane.codec.glue.plan import SCALARS, Field, Inside, Plan, Unplannable
from wirelane.schema.wellknown import ALWAYS, file_bytes

__all__ = ["Wire", "field_type"]

_PACKAGE: Final = "w"
_MOST_DEAD: Final = 256
"""How many classes that are gone a pool may describe, beyond as many as are alive."""


class _Place(NamedTuple):
    file: str
    message: str


def field_type(kind: str) -> FieldDescriptorProto.Type.ValueType:
    """The descriptor's word for a kind of field.

    Raises:
        Unplannable: There is no such kind.
    """
    if kind not in SCALARS and kind != "message":
        raise Unplannable(f'there is no kind of field "{kind}"')
    return FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


class Wire:
    """A pool, and which plans are in it. Not safe to share between threads."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._numbers = count()
        self._places: WeakKeyDictionary[type, _Place] = WeakKeyDictionary()
        self._described = 0
        self._wellknown: set[str] = set()

    def __repr__(self) -> str:
        return f"<Wire of {len(self._places)} classes>"

    @property
    def spent(self) -> bool:
        """Whether most of what is in the pool is of classes that are gone."""
        return self._described > 2 * len(self._places) + _MOST_DEAD

    def describe(self, plans: Iterable[Plan]) -> None:
        """Add plans, and nothing if all of them are known.

        Args:
            plans: With every plan inside them.

        Raises:
            Unplannable: protobuf does not accept them.
        """
        new = [plan for plan in plans if plan.kind not in self._places]
        if not new:
            return
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{next(self._numbers)}.proto", package=_PACKAGE, syntax="proto3"
        )
        places = {plan.kind: _Place(file.name, f"M{next(self._numbers)}") for plan in new}
        imports: dict[str, None] = {}
        for plan in new:
            message = file.message_type.add(name=places[plan.kind].message)
            for index in range(len(plan.oneofs)):
                message.oneof_decl.add(name=f"g{index}")
            for field in plan.fields:
                place = self._target(field, places)
                if place is not None and place.file != file.name:
                    imports[place.file] = None
                _add_field(message, field, place)
                if field.oneof is not None:
                    message.field[-1].oneof_index = plan.oneofs.index(field.oneof)
            _add_synthetic_oneofs(message)
        file.dependency.extend(imports)
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            names = ", ".join(plan.python_name for plan in new[:5])
            raise Unplannable(f"protobuf refuses the fields of {names}: {error}") from error
        self._places.update(places)
        self._described += len(new)

    def message_class(self, plan: Plan) -> type[Message]:
        """The class of a plan that was described."""
        name = f"{_PACKAGE}.{self._places[plan.kind].message}"
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def _target(self, field: Field, new: dict[type, _Place]) -> _Place | None:
        if field.inside is None or field.opaque:
            return None
        if isinstance(field.inside, Inside):
            return self._wellknown_place(field.inside.full_name)
        kind = field.inside().kind
        return new.get(kind) or self._places[kind]

    def _wellknown_place(self, full_name: str) -> _Place:
        if not self._wellknown:
            for name in ALWAYS:
                data = file_bytes(name)
                assert data is not None
                self._pool.AddSerializedFile(data)
            self._wellknown.update(ALWAYS)
        try:
            found = self._pool.FindMessageTypeByName(full_name)
        except KeyError:
            raise Unplannable(f"{full_name} is no well-known type") from None
        return _Place(found.file.name, f".{full_name}")


def _add_field(message: Any, field: Field, place: _Place | None) -> None:
    added = message.field.add(name=f"f{field.number}", number=field.number)
    if field.key is not None:
        entry = message.nested_type.add(name=f"E{field.number}")
        key = entry.field.add(name="f1", number=1, label=1, proto3_optional=True)
        key.type = field_type(field.key)
        value = entry.field.add(name="f2", number=2, label=1, proto3_optional=not field.nested)
        _set_type(value, field, place)
        _add_synthetic_oneofs(entry)
        added.label = FieldDescriptorProto.LABEL_REPEATED
        added.type = FieldDescriptorProto.TYPE_MESSAGE
        added.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
        return
    _set_type(added, field, place)
    if field.repeated:
        added.label = FieldDescriptorProto.LABEL_REPEATED
        return
    added.label = FieldDescriptorProto.LABEL_OPTIONAL
    if field.presence and field.oneof is None and not field.nested:
        added.proto3_optional = True


def _set_type(added: Any, field: Field, place: _Place | None) -> None:
    added.type = field_type(field.wire_kind)
    if place is not None:
        added.type_name = place.message if place.message.startswith(".") else f".{_PACKAGE}.{place.message}"
    elif field.nested:
        raise Unplannable(f"{field.attribute} is a message of no type")


def _add_synthetic_oneofs(message: Any) -> None:
    # descriptor.proto: a proto3 optional is alone in a oneof of its own, and those come last.
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
