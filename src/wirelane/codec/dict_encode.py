"""Dicts into protobuf messages: one compiled function per message type, a closure per field.

`Encoders.fill_for(descriptor)` gives `fill(message, value, depth)`, which stores a dict in an empty message
and raises `Fault` for whatever does not fit. Strict on purpose: unknown names, wrong types, numbers out of
range and two members of a oneof are faults. Proto names and JSON names are both accepted; None is the same as
leaving a field out, except that a google.protobuf.Value takes it as null.

Hot path: for each key one dict lookup, one type test and one store into upb. Checks that explain are only run
when that test or that store has failed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, describe_value, index_step, key_step, nearest
from wirelane.codec.protobuf import descriptor_of, missing_required
from wirelane.codec.scalars import Scalar, scalar_of
from wirelane.codec.wellknown import FILLS, WRAPPERS, Fill, fill_wrapper

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["Encoders", "TypeSource", "plain_in_any"]

_VALUE = "google.protobuf.Value"
_ANY = "google.protobuf.Any"
_PREFIX = "type.googleapis.com/"
_NUMBERS = frozenset({float, int})  # and not bool, which is a type of its own here
_FLOAT32_MAX = 3.4028234663852886e38

# What a failed store into upb raises: wrong type, out of range, not UTF-8.
_STORE_ERRORS = (TypeError, ValueError, OverflowError)


class TypeSource(Protocol):
    """Where the type inside an Any, and an extension by its name, are looked up."""

    def find_message(self, full_name: str) -> type[Message] | None:
        """The class of a message type, or None where it is unknown."""
        ...

    def find_extension(self, full_name: str, extended: Descriptor) -> FieldDescriptor | None:
        """The extension of this name of `extended`, or None."""
        ...

    def extension_names(self, extended: Descriptor) -> list[str]:
        """All known extensions of `extended`."""
        ...


class Encoders:
    """The compiled `fill` of every message type that was used so far.

    Safe to share between threads: a type compiled twice at once gives two functions that do the same.
    """

    def __init__(self, types: TypeSource) -> None:
        self._types = types
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
        if name in FILLS:
            return FILLS[name]
        if name in WRAPPERS:
            return fill_wrapper(descriptor)
        if name == _ANY:
            return self._fill_any
        return self._compile_message(descriptor)

    def _compile_message(self, descriptor: Descriptor) -> Fill:
        # Message fields look their type up at first use, so recursive types and huge schemas are no matter.
        rules: dict[str, Fill] = {
            field.name: self._field_rule(descriptor, field) for field in descriptor.fields
        }
        aliases = {field.json_name: field.name for field in descriptor.fields if field.json_name not in rules}
        nullable = {
            name for each in descriptor.fields if _takes_null(each) for name in (each.name, each.json_name)
        }

        def find_rule(key: Any, value: Mapping[str, Any]) -> Fill:
            name = aliases.get(key) if isinstance(key, str) else None
            if name is None:
                return self._extension_named(descriptor, key)
            if name in value:
                raise Fault(f'given twice: as "{name}" and as "{key}"')
            return rules[name]

        def fill(message: Any, value: Any, depth: int) -> None:
            if type(value) is not dict:
                if _copy_message(message, value):
                    return
                value = _as_mapping(value, descriptor)
            key: Any = ""
            try:
                for key, item in value.items():
                    rule = rules.get(key)
                    if rule is None:
                        rule = find_rule(key, value)
                    if item is not None or key in nullable:
                        rule(message, item, depth)
            except Fault as fault:
                if isinstance(key, str):
                    fault.at(key)
                raise

        return fill

    def _extension_named(self, descriptor: Descriptor, key: Any) -> Fill:
        """The rule for a key that is no field: an extension, or a mistake."""
        if isinstance(key, str) and key.startswith("[") and key.endswith("]"):
            extension = self._types.find_extension(key[1:-1], descriptor)
            if extension is not None:
                return self._extension_rule(extension)
        extensions = (f"[{name}]" for name in self._types.extension_names(descriptor))
        hint = nearest(key, [*descriptor.fields_by_name, *extensions])
        shown = f'"{key}"' if isinstance(key, str) else describe_value(key)
        raise Fault(f"{descriptor.full_name} has no field {shown}{hint}")

    def _field_rule(self, descriptor: Descriptor, field: FieldDescriptor) -> Fill:
        rule = self._value_rule(field, attrgetter(field.name))
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            return _member_rule(descriptor, oneof.name, rule)
        return rule

    def _extension_rule(self, extension: FieldDescriptor) -> Fill:
        def access(message: Any) -> Any:
            return message.Extensions[extension]

        if extension.is_repeated or extension.message_type is not None:
            return self._value_rule(extension, access)
        scalar = scalar_of(extension)

        def rule(message: Any, value: Any, depth: int) -> None:
            message.Extensions[extension] = scalar.check(value)

        return rule

    def _value_rule(self, field: FieldDescriptor, access: Callable[[Any], Any]) -> Fill:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            entry = kind.fields_by_name["value"]
            key = scalar_of(kind.fields_by_name["key"])
            if entry.message_type is not None:
                return self._message_map_rule(entry.message_type, key, access)
            return _scalar_map_rule(scalar_of(entry), key, access)
        if field.is_repeated:
            if kind is not None:
                return self._message_list_rule(kind, access)
            return _scalar_list_rule(
                scalar_of(field), access, narrow=field.type == FieldDescriptor.TYPE_FLOAT
            )
        if kind is not None:
            return self._message_rule(kind, access)
        return _scalar_rule(field)

    def _message_rule(self, kind: Descriptor, access: Callable[[Any], Any]) -> Fill:
        fill: Fill | None = None
        # Methods of messages are called unbound, here and elsewhere: a field may be called SetInParent.
        mark_present = message_factory.GetMessageClass(kind).SetInParent

        def rule(message: Any, value: Any, depth: int) -> None:
            nonlocal fill
            if fill is None:
                fill = self.fill_for(kind)
            if depth >= MAX_DEPTH:
                raise Fault(TOO_DEEP)
            inner = access(message)
            # Marks it as present even where the value stores nothing.
            mark_present(inner)
            fill(inner, value, depth + 1)

        return rule

    def _message_list_rule(self, kind: Descriptor, access: Callable[[Any], Any]) -> Fill:
        fill: Fill | None = None

        def rule(message: Any, value: Any, depth: int) -> None:
            nonlocal fill
            if fill is None:
                fill = self.fill_for(kind)
            if type(value) is not list:
                value = _as_list(value)
            if depth >= MAX_DEPTH and value:
                raise Fault(TOO_DEEP)
            add = access(message).add
            inside = depth + 1
            index = 0
            try:
                for item in value:
                    fill(add(), item, inside)
                    index += 1
            except Fault as fault:
                fault.at(index_step(index))
                raise

        return rule

    def _message_map_rule(self, kind: Descriptor, key: Scalar, access: Callable[[Any], Any]) -> Fill:
        fill: Fill | None = None

        def rule(message: Any, value: Any, depth: int) -> None:
            nonlocal fill
            if fill is None:
                fill = self.fill_for(kind)
            container = access(message)
            entries = _as_map(value)
            # The entry of a map is a message of its own on the wire.
            inside = depth + 2
            if inside > MAX_DEPTH and entries:
                raise Fault(TOO_DEEP)
            name: Any = None
            try:
                for name, item in entries.items():
                    fill(container[key.check(name)], item, inside)
            except Fault as fault:
                fault.at(key_step(name))
                raise

        return rule

    def _fill_any(self, message: Any, value: Any, depth: int) -> None:
        if isinstance(value, Message):
            if not _copy_message(message, value):
                message.type_url = _PREFIX + descriptor_of(type(value)).full_name
                message.value = _serialize(value)
            return
        if not isinstance(value, Mapping):
            raise Fault(f'expected a dict with "@type", not {describe_value(value)}')
        if not value:
            return
        url = value.get("@type")
        if not isinstance(url, str):
            raise Fault('an Any needs the full name of its type under "@type"')
        fields = {key: item for key, item in value.items() if key != "@type"}
        name = url.rpartition("/")[2]
        message.type_url = url if "/" in url or not url else _PREFIX + url
        found = self._types.find_message(name) if name else None
        if found is None:
            message.value = _raw_any(name, fields)
        else:
            message.value = self._pack(found, fields, depth)

    def _pack(self, kind: type[Message], fields: dict[str, Any], depth: int) -> bytes:
        if depth >= MAX_DEPTH:
            raise Fault(TOO_DEEP)
        descriptor = descriptor_of(kind)
        inner = kind()
        fill = self.fill_for(descriptor)
        if plain_in_any(descriptor):
            # As in protobuf's JSON: what is no object by itself goes under "value".
            if fields.keys() - {"value"}:
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


def _raw_any(name: str, fields: dict[str, Any]) -> bytes:
    data = fields.pop("value", b"")
    if fields or not isinstance(data, (bytes, bytearray, memoryview)):
        raise Fault(
            f'the type "{name}" is not in the schema: give its serialized form as bytes under "value"'
        )
    return bytes(data)


def _takes_null(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _VALUE and not field.is_repeated


def _copy_message(message: Any, value: Any) -> bool:
    """Copy a message of the same type, whichever pool its class comes from; False for anything else."""
    if not isinstance(value, Message):
        return False
    kind, given = type(message), type(value)
    if descriptor_of(given).full_name != descriptor_of(kind).full_name:
        return False
    kind.MergeFromString(message, given.SerializePartialToString(value))
    return True


def _as_mapping(value: Any, descriptor: Descriptor) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise Fault(f"expected a dict for {descriptor.full_name}, not {describe_value(value)}")


def _as_map(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise Fault(f"expected a dict for a map, not {describe_value(value)}")


def _as_list(value: Any) -> list[Any]:
    # A str is a sequence of str: ["a", "b"] from "ab" would never be meant.
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
        raise Fault(f"expected a list, not {describe_value(value)}")
    return list(value)


def _member_rule(descriptor: Descriptor, oneof: str, rule: Fill) -> Fill:
    which = message_factory.GetMessageClass(descriptor).WhichOneof

    def member(message: Any, value: Any, depth: int) -> None:
        other = which(message, oneof)
        if other is not None:
            raise Fault(f'"{other}" is set too, and only one member of the oneof "{oneof}" may be')
        rule(message, value, depth)

    return member


def _scalar_rule(field: FieldDescriptor) -> Fill:
    name = field.name
    scalar = scalar_of(field)
    check = scalar.check
    if field.type == FieldDescriptor.TYPE_FLOAT:

        def float_rule(message: Any, value: Any, depth: int) -> None:
            if type(value) not in _NUMBERS or not -_FLOAT32_MAX <= value <= _FLOAT32_MAX:
                value = check(value)
            setattr(message, name, value)

        return float_rule
    if not scalar.exact:

        def checked_rule(message: Any, value: Any, depth: int) -> None:
            setattr(message, name, check(value))

        return checked_rule
    exact = scalar.exact

    def rule(message: Any, value: Any, depth: int) -> None:
        if type(value) not in exact:
            value = check(value)
        try:
            setattr(message, name, value)
        except _STORE_ERRORS as error:
            check(value)
            raise Fault(str(error)) from error

    return rule


def _scalar_list_rule(scalar: Scalar, access: Callable[[Any], Any], *, narrow: bool) -> Fill:
    exact = _NUMBERS if narrow else scalar.exact

    def rule(message: Any, value: Any, depth: int) -> None:
        if type(value) is not list:
            value = _as_list(value)
        container = access(message)
        if exact.issuperset(map(type, value)):
            try:
                if narrow:
                    # Refuses what float32 cannot hold, which upb would store as infinity.
                    struct.pack(f"<{len(value)}f", *value)
                container.extend(value)
                return
            except _STORE_ERRORS:
                del container[:]
        container.extend(_check_each(scalar.check, value))

    return rule


def _check_each(check: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    checked: list[Any] = []
    try:
        checked.extend(map(check, values))
    except Fault as fault:
        fault.at(index_step(len(checked)))
        raise
    return checked


def _scalar_map_rule(scalar: Scalar, key: Scalar, access: Callable[[Any], Any]) -> Fill:
    check, check_key = scalar.check, key.check

    def rule(message: Any, value: Any, depth: int) -> None:
        container = access(message)
        entries = _as_map(value)
        if depth >= MAX_DEPTH and entries:
            raise Fault(TOO_DEEP)  # the entry of a map is a message of its own on the wire
        name: Any = None
        try:
            for name, item in entries.items():
                container[check_key(name)] = check(item)
        except Fault as fault:
            fault.at(key_step(name))
            raise

    return rule
