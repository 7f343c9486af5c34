"""Protobuf messages into dicts: one generated function per message type.

`Decoders.read_for(descriptor)` gives `read(message, depth)`. The rule of what comes out, and the only one: a
field without presence is always there (0, "", b"", False, the first enum name, [], {}); a field with presence
(messages, members of a oneof, `optional`, proto2) is there if it is set. Keys are proto names in the order of
declaration (all members of a oneof stand where its first one does); then extensions as "[full.name]", if set.

A float32 comes out with the fewest digits that mean the same float32 (123.22, not 123.22000122070312), except
in lists of more than 64: vectors are not for reading, and this costs a microsecond a number.

Hot path: the function is Python source made from the descriptor, as `dataclasses` does, because a dict
display over attributes is twice as fast as any loop over closures that was tried. Names come from
descriptors, which may come from a hostile server: they are only ever put into the source as attribute names
after a test that they are identifiers, and as string literals by `repr`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, index_step, key_step
from wirelane.codec.dict_encode import TypeSource, plain_in_any
from wirelane.codec.protobuf import descriptor_of
from wirelane.codec.scalars import enum_names, shortest_float32
from wirelane.codec.wellknown import READS, WRAPPERS, Read, read_wrapper

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["Decoders"]

_ANY = "google.protobuf.Any"
_FEW = 64


class Decoders:
    """The `read` of every message type that was used so far.

    Safe to share between threads: a type compiled twice at once gives two functions that do the same.
    """

    def __init__(self, types: TypeSource) -> None:
        self._types = types
        self._reads: dict[Descriptor, Read] = {}

    def __repr__(self) -> str:
        return f"<Decoders of {len(self._reads)} types>"

    def read_for(self, descriptor: Descriptor) -> Read:
        """`read(message, depth)` for messages of this type."""
        read = self._reads.get(descriptor)
        if read is None:
            read = self._reads[descriptor] = self._compile(descriptor)
        return read

    def _compile(self, descriptor: Descriptor) -> Read:
        name = descriptor.full_name
        if name in READS:
            return READS[name]
        if name in WRAPPERS:
            return read_wrapper(descriptor)
        if name == _ANY:
            return self._read_any
        return _Source(self, descriptor).compile()

    def convert_extensions(self, message: Any, out: dict[str, Any], depth: int) -> None:
        """Add the extensions that are set in `message` to `out`."""
        for field, value in type(message).ListFields(message):
            if field.is_extension:
                name = f"[{field.full_name}]"
                # Rare enough to go without a compiled form.
                out[name] = _convert(self, field, name)(value, depth)

    def _read_any(self, message: Any, depth: int) -> dict[str, Any]:
        # The parser bounds what nests as messages; what nests as bytes is bounded here.
        if depth > MAX_DEPTH:
            raise Fault(TOO_DEEP)
        url: str = message.type_url
        data: bytes = message.value
        if not url and not data:
            return {}
        name = url.rpartition("/")[2]
        kind = self._types.find_message(name) if name else None
        if kind is None:
            return {"@type": url, "value": data}
        try:
            inner = kind.FromString(data)
        except DecodeError as error:
            raise Fault(f"the content is no valid {name}: {error}") from error
        descriptor = descriptor_of(kind)
        value = self.read_for(descriptor)(inner, depth + 1)
        if plain_in_any(descriptor):
            return {"@type": url, "value": value}
        return {"@type": url, **value}


class _Source:
    """The source of one `read`, and the objects that it refers to."""

    def __init__(self, decoders: Decoders, descriptor: Descriptor) -> None:
        self._decoders = decoders
        self._descriptor = descriptor
        self._numbers = count()
        kind = message_factory.GetMessageClass(descriptor)
        # Unbound: a field may be called HasField.
        self._scope: dict[str, Any] = {
            "has": kind.HasField,
            "which": kind.WhichOneof,
            "shortest": shortest_float32,
            "shortest_each": _shortest_each,
        }

    def compile(self) -> Read:
        """The function."""
        lines = self._body()
        source = "def read(m, depth):\n" + "".join(f"    {line}\n" for line in lines)
        code = compile(source, f"<read {self._descriptor.full_name}>", "exec")
        exec(code, self._scope)  # noqa: S102 - names are tested, see the docstring of the module
        read: Read = self._scope["read"]
        return read

    def _body(self) -> list[str]:
        fields = list(self._descriptor.fields)
        leading = 0
        while leading < len(fields) and not fields[leading].has_presence:
            leading += 1
        display = ", ".join(f"{field.name!r}: {self._value(field)}" for field in fields[:leading])
        lines = [f"out = {{{display}}}"]
        done: set[str] = set()
        for field in fields[leading:]:
            oneof = field.containing_oneof
            if oneof is not None and len(oneof.fields) > 1:
                if oneof.name not in done:
                    done.add(oneof.name)
                    lines += self._members(oneof.name, list(oneof.fields))
            elif field.has_presence:
                lines.append(f"if has(m, {field.name!r}): out[{field.name!r}] = {self._value(field)}")
            else:
                lines.append(f"out[{field.name!r}] = {self._value(field)}")
        if self._descriptor.is_extendable:
            lines.append(f"{self._bind(self._decoders.convert_extensions)}(m, out, depth)")
        return [*lines, "return out"]

    def _members(self, oneof: str, fields: list[FieldDescriptor]) -> list[str]:
        # Not elif: Python nests those, and a schema may have a thousand members.
        lines = [f"set_ = which(m, {oneof!r})"]
        lines += [f"if set_ == {each.name!r}: out[{each.name!r}] = {self._value(each)}" for each in fields]
        return lines

    def _bind(self, value: object) -> str:
        name = f"x{next(self._numbers)}"
        self._scope[name] = value
        return name

    def _value(self, field: FieldDescriptor) -> str:
        """The expression for the value of a field as it comes out."""
        name = field.name
        plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        access = f"m.{name}" if plain else f"getattr(m, {name!r})"
        if field.message_type is not None:
            return f"{self._bind(_convert(self._decoders, field, name))}({access}, depth)"
        if field.enum_type is not None:
            # A number without a name stays one.
            get = self._bind(enum_names(field.enum_type).get)
            return f"[{get}(v, v) for v in {access}]" if field.is_repeated else f"{get}(v := {access}, v)"
        if field.type == FieldDescriptor.TYPE_FLOAT:
            return f"shortest_each({access}[:])" if field.is_repeated else f"shortest({access})"
        # A slice of a repeated field is a list, and is twice as fast as list().
        return f"{access}[:]" if field.is_repeated else access


def _convert(decoders: Decoders, field: FieldDescriptor, name: str) -> Read:
    """What is done with the value that upb gives for a field; `name` goes into the path of a fault."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        if entry.message_type is not None:
            return _message_map(decoders, entry.message_type, name)
        convert = _scalar_convert(entry)
        return _scalar_map(convert) if convert is not None else lambda values, depth: dict(values.items())
    if kind is not None:
        make = _message_list if field.is_repeated else _message
        return make(decoders, kind, name)
    convert = _scalar_convert(field)
    if convert is None:
        return (lambda values, depth: list(values)) if field.is_repeated else (lambda value, depth: value)
    return _each(convert) if field.is_repeated else _ignore_depth(convert)


def _shortest_each(values: list[float]) -> list[float]:
    return values if len(values) > _FEW else [shortest_float32(value) for value in values]


def _scalar_map(convert: Callable[[Any], Any]) -> Read:
    return lambda values, depth: {key: convert(value) for key, value in values.items()}


def _each(convert: Callable[[Any], Any]) -> Read:
    return lambda values, depth: list(map(convert, values))


def _ignore_depth(convert: Callable[[Any], Any]) -> Read:
    return lambda value, depth: convert(value)


def _scalar_convert(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        return lambda number: names.get(number, number)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return shortest_float32
    return None


# The type inside a field is looked up at first use, so recursive types and huge schemas are no matter.


def _message(decoders: Decoders, kind: Descriptor, name: str) -> Read:
    read: Read | None = None

    def convert(value: Any, depth: int) -> Any:
        nonlocal read
        if read is None:
            read = decoders.read_for(kind)
        try:
            return read(value, depth + 1)
        except Fault as fault:
            fault.at(name)
            raise

    return convert


def _message_list(decoders: Decoders, kind: Descriptor, name: str) -> Read:
    read: Read | None = None

    def convert(values: Any, depth: int) -> list[Any]:
        nonlocal read
        if read is None:
            read = decoders.read_for(kind)
        inside = depth + 1
        try:
            return [read(value, inside) for value in values]
        except Fault:
            # Once more, to find which: the comprehension is what makes the good case fast.
            for index, value in enumerate(values):
                try:
                    read(value, inside)
                except Fault as fault:
                    fault.at(index_step(index)).at(name)
                    raise
            raise

    return convert


def _message_map(decoders: Decoders, kind: Descriptor, name: str) -> Read:
    read: Read | None = None

    def convert(values: Any, depth: int) -> dict[Any, Any]:
        nonlocal read
        if read is None:
            read = decoders.read_for(kind)
        inside = depth + 2  # the entry of a map is a message of its own on the wire
        out: dict[Any, Any] = {}
        key: Any = None
        try:
            for key, value in values.items():
                out[key] = read(value, inside)
        except Fault as fault:
            fault.at(key_step(key)).at(name)
            raise
        return out

    return convert
