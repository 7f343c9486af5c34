"""In which order the members of a message, or of a file, are written so that they compile back in their order.

A map field and a group each make a nested message, which takes its place among the others by where its field stands
in the source. So the messages set the pace: before one that a field makes, the fields up to that one are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from google.protobuf import descriptor_pb2

__all__ = ["Block", "Step", "full_names", "steps"]

_Field = descriptor_pb2.FieldDescriptorProto
_Message = descriptor_pb2.DescriptorProto
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Block:
    """Extensions of one message that are written together, by index."""

    indexes: tuple[int, ...]


Step: TypeAlias = tuple[str, int] | Block
"""("message" | "field" | "oneof", its index), or a block of extensions."""


def full_names(messages: Sequence[_Message], scope: str) -> dict[str, _Message]:
    """Return messages by their full names as fields have them, with a leading dot."""
    return {f".{scope}.{message.name}" if scope else f".{message.name}": message for message in messages}


def steps(
    scope: str, messages: Sequence[_Message], fields: Sequence[_Field], extensions: Sequence[_Field]
) -> Iterator[Step]:
    """Yield what to write, in order: every message that no field makes, every field, oneof and extension once.

    Args:
        scope: The full name of the message, or the package of the file, that they belong to.
        messages: Nested messages, those made by fields included.
        fields: The fields; members of oneofs are not yielded one by one.
        extensions: The extensions declared here.
    """
    made = full_names(messages, scope)
    owner_field = _makers(fields, made)
    owner_extension = _makers(extensions, made)
    field_steps = _Pace(list(_field_steps(fields)))
    extension_steps = _Pace(list(enumerate(extensions)))
    for index, name in enumerate(made):
        if name in owner_field:
            yield from (step for _, step in field_steps.until(owner_field[name]))
        elif name in owner_extension:
            yield from _blocks(extension_steps.until(owner_extension[name]))
        else:
            yield "message", index
    yield from (step for _, step in field_steps.until(len(fields)))
    yield from _blocks(extension_steps.until(len(extensions)))


def _makers(fields: Sequence[_Field], made: dict[str, _Message]) -> dict[str, int]:
    """Return which of `made` come from a map field or a group, and the index of that field."""
    return {
        field.type_name: index
        for index, field in enumerate(fields)
        if field.type_name in made
        and (field.type == _Field.TYPE_GROUP or made[field.type_name].options.map_entry)
    }


def _field_steps(fields: Sequence[_Field]) -> Iterator[tuple[int, tuple[str, int]]]:
    oneofs: set[int] = set()
    for index, field in enumerate(fields):
        if not field.HasField("oneof_index") or field.proto3_optional:
            yield index, ("field", index)
        elif field.oneof_index not in oneofs:
            oneofs.add(field.oneof_index)
            yield index, ("oneof", field.oneof_index)


def _blocks(extensions: Sequence[tuple[int, _Field]]) -> Iterator[Block]:
    block: list[tuple[int, _Field]] = []
    for each in extensions:
        if block and block[-1][1].extendee != each[1].extendee:
            yield Block(tuple(index for index, _ in block))
            block = []
        block.append(each)
    if block:
        yield Block(tuple(index for index, _ in block))


class _Pace(Generic[_T]):
    """A list of numbered things, handed out up to a number at a time."""

    def __init__(self, things: list[tuple[int, _T]]) -> None:
        self._things = things
        self._next = 0

    def until(self, last: int) -> list[tuple[int, _T]]:
        """Return the things not handed out yet, up to number `last` inclusive."""
        start = self._next
        while self._next < len(self._things) and self._things[self._next][0] <= last:
            self._next += 1
        return self._things[start : self._next]
