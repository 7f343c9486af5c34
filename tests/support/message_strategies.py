"""Messages of any type of a schema for hypothesis: every kind of field, extensions and well-known types included.

A message is built field by field with protobuf's own API, never by the codecs under test. Well-known types hold what
they may hold by their definition: times in range, Values that have a kind, masks of names in snake_case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from wirelane.codec import Schema

__all__ = ["ANY_TYPES", "messages"]

ANY_TYPES = (
    "google.protobuf.Duration",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.Int64Value",
    "google.protobuf.BytesValue",
    "google.protobuf.FieldMask",
    "google.protobuf.Empty",
    "google.protobuf.Any",
    "google.rpc.ErrorInfo",
)
"""What is found inside an Any, besides the type of the message around it."""

_INTS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_blobs = st.binary(max_size=6)
# NaN by one pattern of bits only: JSON has no others. json_format refuses to read the very largest float that it writes.
_doubles = st.floats(allow_nan=False) | st.just(math.nan)
_floats = st.floats(-(2.0**127), 2.0**127, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])
_paths = st.from_regex(r"[a-z]{1,3}(_[a-z]{1,3})?(\.[a-z]{1,3})?", fullmatch=True)
_seconds = st.integers(-62_135_596_800, 253_402_300_799)
_nanos = st.sampled_from([0, 500_000_000, 123_456_000, 999_999_999, 1]) | st.integers(0, 999_999_999)


def _number(kind: EnumDescriptor) -> st.SearchStrategy[int]:
    known = st.sampled_from(sorted(kind.values_by_number))
    if kind.is_closed or kind.full_name == "google.protobuf.NullValue":
        return known
    return known | st.integers(-(2**31), 2**31 - 1)


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type in _INTS:
        return st.integers(*_INTS[field.type])
    if field.enum_type is not None:
        return _number(field.enum_type)
    return {
        FieldDescriptor.TYPE_DOUBLE: _doubles,
        FieldDescriptor.TYPE_FLOAT: _floats,
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_STRING: _texts,
        FieldDescriptor.TYPE_BYTES: _blobs,
    }[field.type]


class _Builder:
    """Fills messages of one schema."""

    def __init__(self, draw: st.DrawFn, schema: Schema) -> None:
        self._draw = draw
        self._schema = schema
        self._packing = 0
        self._special: dict[str, Callable[[Any, int], None]] = {
            "google.protobuf.Timestamp": self._timestamp,
            "google.protobuf.Duration": self._duration,
            "google.protobuf.FieldMask": self._mask,
            "google.protobuf.Value": self._value,
            "google.protobuf.Any": self._any,
        }

    def fill(self, message: Any, depth: int) -> None:
        descriptor = cast("Descriptor", message.DESCRIPTOR)
        special = self._special.get(descriptor.full_name)
        if special is not None:
            special(message, depth)
            return
        fields = [*descriptor.fields]
        if descriptor.is_extendable:
            fields += self._schema.pool.FindAllExtensions(descriptor)
        if not depth:
            fields = [field for field in fields if field.message_type is None]
        if fields:
            most = 6 if depth > 2 else 3
            for field in self._draw(st.lists(st.sampled_from(fields), max_size=most, unique=True)):
                self._field(message, field, depth)

    def _field(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        if not field.is_repeated and field.message_type is None:
            value = self._draw(_scalar(field))
            if field.is_extension:
                message.Extensions[field] = value
            else:
                setattr(message, field.name, value)
            return
        held = message.Extensions[field] if field.is_extension else getattr(message, field.name)
        if not field.is_repeated:
            held.SetInParent()
            self.fill(held, depth - 1)
        elif field.message_type is None:
            held.extend(self._draw(st.lists(_scalar(field), max_size=3)))
        elif field.message_type.GetOptions().map_entry:
            self._map(held, field.message_type, depth)
        else:
            for _ in range(self._draw(st.integers(0, 2))):
                self.fill(held.add(), depth - 1)

    def _map(self, held: Any, entry: Descriptor, depth: int) -> None:
        value = entry.fields_by_name["value"]
        # The bytes in an Any are compared as they are, and the order of a map is nobody's promise.
        most = 1 if self._packing else 2
        for key in self._draw(st.lists(_scalar(entry.fields_by_name["key"]), max_size=most, unique=True)):
            if value.message_type is not None:
                self.fill(held[key], depth - 1)
            else:
                held[key] = self._draw(_scalar(value))

    def _timestamp(self, message: Any, depth: int) -> None:
        message.seconds = self._draw(_seconds)
        message.nanos = self._draw(_nanos)

    def _duration(self, message: Any, depth: int) -> None:
        sign = self._draw(st.sampled_from([1, -1]))
        message.seconds = sign * self._draw(st.integers(0, 315_576_000_000))
        message.nanos = sign * self._draw(_nanos)

    def _mask(self, message: Any, depth: int) -> None:
        message.paths.extend(self._draw(st.lists(_paths, max_size=2)))

    def _value(self, message: Any, depth: int) -> None:
        kind = self._draw(st.sampled_from(["null", "bool", "number", "string", "list", "struct"]))
        if kind == "null":
            message.null_value = 0
        elif kind == "bool":
            message.bool_value = self._draw(st.booleans())
        elif kind == "number":
            message.number_value = self._draw(st.floats(allow_nan=False, allow_infinity=False))
        elif kind == "string":
            message.string_value = self._draw(_texts)
        elif kind == "list":
            message.list_value.SetInParent()
            if depth > 0:
                self.fill(message.list_value, depth - 1)
        else:
            message.struct_value.SetInParent()
            if depth > 0:
                self.fill(message.struct_value, depth - 1)

    def _any(self, message: Any, depth: int) -> None:
        if depth <= 0 or not self._draw(st.booleans()):
            return
        name = self._draw(st.sampled_from(ANY_TYPES))
        inner: Any = self._schema.dict_codecs.codec(name).kind()
        self._packing += 1
        self.fill(inner, depth - 1)
        self._packing -= 1
        message.type_url = self._draw(st.sampled_from(["type.googleapis.com/", "/", "a/b/"])) + name
        message.value = inner.SerializeToString()


@st.composite
def messages(draw: st.DrawFn, schema: Schema, name: str, *, depth: int = 3) -> Message:
    """Messages of the type `name`, nested to `depth` or a little deeper.

    Args:
        draw: Given by hypothesis.
        schema: Has the type.
        name: Its full name.
        depth: How far messages hold messages.
    """
    kind = message_factory.GetMessageClass(schema.message_descriptor(name))
    message = kind()
    _Builder(draw, schema).fill(message, depth)
    # As it comes from the wire: an extension that was only looked at is not there.
    return kind.FromString(message.SerializeToString())
