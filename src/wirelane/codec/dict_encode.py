"""Dicts into protobuf messages: one compiled function per message type.

`Encoders.fill_for(descriptor)` gives `fill(message, value, depth)`, which stores a dict in an empty message and raises
`Fault` for whatever does not fit. Strict on purpose: unknown names, wrong types, numbers out of range and two members
of a oneof are faults. Proto names and JSON names are both accepted; None is the same as leaving a field out, except
where the dialect has it for a value (google.protobuf.Value takes it as null).

`fill_source` makes the function out of the descriptor: it stores what is exactly of a field's type. `fill_rules` has
what it hands over: conversions, JSON names, extensions, and the explanation of every mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, describe_value, nearest
from wirelane.codec.fill_rules import Rules, TypeSource, copy_message
from wirelane.codec.fill_source import compile_fill
from wirelane.codec.protobuf import descriptor_of, missing_required
from wirelane.codec.scalars import check_string
from wirelane.codec.wellknown import FILLS, WRAPPERS, Fill, fill_wrapper

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from wirelane.codec.dialect import Dialect

__all__ = ["Encoders", "TypeSource", "plain_in_any"]

_ANY = "google.protobuf.Any"
_PREFIX = "type.googleapis.com/"


class Encoders:
    """The compiled `fill` of every message type that was used so far, for one dialect.

    Safe to share between threads: a type compiled twice at once gives two functions that do the same.
    """

    def __init__(self, types: TypeSource, dialect: Dialect) -> None:
        self.types = types
        self.dialect = dialect
        self._fills: dict[Descriptor, Fill] = {}

    def __repr__(self) -> str:
        return f"<Encoders of {len(self._fills)} types>"

    def fill_for(self, descriptor: Descriptor) -> Fill:
        """`fill(message, value, depth)` for messages of this type."""
        fill = self._fills.get(descriptor)
        if fill is None:
            fill = self._fills[descriptor] = self._compile(descriptor)
        return fill

    def _compile(self, descriptor: Descriptor) -> Fill:
        name = descriptor.full_name
        if name in self.dialect.fills:
            return self.dialect.fills[name]
        if name in WRAPPERS:
            return fill_wrapper(self.dialect.scalar(descriptor.fields_by_name["value"]))
        if name == _ANY:
            return self._fill_any
        return compile_fill(Rules(self, descriptor))

    def _fill_any(self, message: Any, value: Any, depth: int) -> None:
        if isinstance(value, Message):
            if not copy_message(message, value):
                message.type_url = _PREFIX + descriptor_of(type(value)).full_name
                message.value = _serialize(value)
            return
        if not isinstance(value, Mapping):
            raise Fault(f'expected a {self.dialect.object} with "@type", not {describe_value(value)}')
        if not value:
            return
        url = value.get("@type")
        if not isinstance(url, str) or (self.dialect.is_json and not url):
            raise Fault('an Any needs the full name of its type under "@type"')
        fields = {key: item for key, item in value.items() if key != "@type"}
        name = url.rpartition("/")[2]
        try:
            message.type_url = check_string(url if "/" in url or not url else _PREFIX + url)
        except Fault as fault:
            raise fault.at("@type") from None
        found = self.types.find_message(name) if name else None
        if found is None:
            message.value = self._raw_any(url, fields)
        else:
            message.value = self._pack(found, fields, depth)

    def _raw_any(self, url: str, fields: dict[str, Any]) -> bytes:
        name = url.rpartition("/")[2]
        # In JSON, a name alone, or nothing but a type, is taken for a mistake: nobody writes bytes there by hand.
        is_json = self.dialect.is_json
        if fields.keys() == {"value"} and (not is_json or "/" in url):
            try:
                return self.dialect.octets(fields["value"])
            except Fault:
                pass  # said better below
        elif not fields and not is_json:
            return b""
        hint = nearest(name, self.types.message_names())
        form = "base64" if is_json else "bytes"
        advice = hint or f': give its serialized form as {form} under "value"'
        raise Fault(f'the type "{name}" is not in the schema{advice}')

    def _pack(self, kind: type[Message], fields: dict[str, Any], depth: int) -> bytes:
        if depth >= MAX_DEPTH:
            raise Fault(TOO_DEEP)
        descriptor = descriptor_of(kind)
        inner = kind()
        fill = self.fill_for(descriptor)
        if plain_in_any(descriptor):
            # As in protobuf's JSON: what is no object by itself goes under "value".
            if fields.keys() - {"value"} or (self.dialect.is_json and not fields):
                raise Fault(
                    f'an Any of {descriptor.full_name} has its content under "value" and nothing else'
                )
            if "value" in fields:
                try:
                    fill(inner, fields["value"], depth + 1)
                except Fault as fault:
                    fault.at("value")
                    raise
        else:
            fill(inner, fields, depth + 1)
        return _serialize(inner)


def plain_in_any(descriptor: Descriptor) -> bool:
    """Whether a type inside an Any is written as {"@type": ..., "value": ...} rather than by its fields."""
    name = descriptor.full_name
    return name in FILLS or name in WRAPPERS or name == _ANY


def _serialize(message: Message) -> bytes:
    missing = missing_required(message)
    if missing:
        raise Fault(f"a required field of {descriptor_of(type(message)).full_name} is missing").at(missing)
    return type(message).SerializeToString(message)
