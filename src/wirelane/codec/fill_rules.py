"""A dict into a message key by key: a rule per field, which converts what may be converted and explains what may not.

This is the whole of what a dict may say. `fill_source` makes a faster way for what needs none of it, and hands over
whatever is not exactly what a field holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, describe_value, index_step, key_step, nearest
from wirelane.codec.protobuf import descriptor_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from wirelane.codec.dialect import Dialect
    from wirelane.codec.scalars import Scalar
    from wirelane.codec.wellknown import Fill

__all__ = ["Fills", "Rules", "TypeSource", "copy_message", "real_oneof", "set_twice"]


class TypeSource(Protocol):
    """Where the type inside an Any, and an extension by its name, are looked up."""

    def find_message(self, full_name: str) -> type[Message] | None:
        """The class of a message type, or None where it is unknown."""
        ...

    def message_names(self) -> Iterable[str]:
        """The full names of the types that may have been meant."""
        ...

    def find_extension(self, full_name: str, extended: Descriptor) -> FieldDescriptor | None:
        """The extension of this name of `extended`, or None."""
        ...

    def extension_names(self, extended: Descriptor) -> list[str]:
        """All known extensions of `extended`."""
        ...


class Fills(Protocol):
    """What a rule needs to know of other types: `dict_encode.Encoders`."""

    types: TypeSource
    dialect: Dialect

    def fill_for(self, descriptor: Descriptor) -> Fill:
        """`fill(message, value, depth)` for messages of this type."""
        ...


class Rules:
    """The rules of one message type, each made when it is needed first."""

    def __init__(self, fills: Fills, descriptor: Descriptor) -> None:
        self.fills = fills
        self.dialect = fills.dialect
        self.descriptor = descriptor
        self.nullable = frozenset(
            name
            for field in descriptor.fields
            if self.takes_null(field)
            for name in (field.name, field.json_name)
        )
        # A dict of Python's: protobuf's own breaks on keys that are no Unicode, and ends them at a NUL.
        self._fields = {field.name: field for field in descriptor.fields}
        self._aliases = {
            field.json_name: field.name for field in descriptor.fields if field.json_name != field.name
        }
        self._rules: dict[str, Fill] = {}

    def takes_null(self, field: FieldDescriptor) -> bool:
        """Whether None is a value of this field, not the lack of one."""
        kind = field.message_type or field.enum_type
        return kind is not None and not field.is_repeated and kind.full_name in self.dialect.nullable

    def by_key(self, message: Any, value: Any, depth: int, done: bool) -> None:
        """Store a dict, or, with `done`, those of its keys that are no names of the .proto file."""
        if type(value) is not dict:
            if copy_message(message, value):
                return
            value = _as_mapping(value, f"a {self.dialect.object} for {self.descriptor.full_name}")
        rules, nullable = self._rules, self.nullable
        key: Any = ""
        try:
            for key, item in value.items():
                if done and key in self._fields:
                    continue
                rule = rules.get(key)
                if rule is None:
                    rule = self._find_rule(key, value)
                if item is not None or key in nullable:
                    rule(message, item, depth)
        except Fault as fault:
            if isinstance(key, str):
                fault.at(key)
            raise

    def store(self, message: Any, name: str, item: Any, depth: int) -> None:
        """Store one field, by its name in the .proto file."""
        rule = self._rules.get(name) or self._make_rule(name)
        try:
            rule(message, item, depth)
        except Fault as fault:
            fault.at(name)
            raise

    def explain(self, value: dict[str, Any], depth: int, error: Exception) -> Fault:
        """What is wrong with a dict of which protobuf has refused a part."""
        try:
            self.by_key(message_factory.GetMessageClass(self.descriptor)(), value, depth, False)
        except Fault as fault:
            return fault
        return Fault(str(error))

    def _find_rule(self, key: Any, value: Mapping[str, Any]) -> Fill:
        """The rule for a key that was not met before."""
        if not isinstance(key, str):
            return self._no_rule(key)
        if key in self._fields:
            return self._make_rule(key)
        name = self._aliases.get(key)
        if name is None:
            return self._extension_rule(key)
        if name in value:
            raise Fault(f'given twice: as "{name}" and as "{key}"')
        return self._rules.get(name) or self._make_rule(name)

    def _make_rule(self, name: str) -> Fill:
        field = self._fields[name]
        rule = self._rule_of(field, attrgetter(name))
        oneof = real_oneof(field)
        if oneof is not None:
            rule = _member_rule(self.descriptor, oneof, rule)
        self._rules[name] = rule
        return rule

    def _no_rule(self, key: Any) -> Fill:
        extensions = (f"[{name}]" for name in self.fills.types.extension_names(self.descriptor))
        hint = nearest(key, [*self._aliases, *self._fields, *extensions])
        shown = f'"{key}"' if isinstance(key, str) else describe_value(key)
        raise Fault(f"{self.descriptor.full_name} has no field {shown}{hint}")

    def _extension_rule(self, key: str) -> Fill:
        """The rule for a key that is no field: an extension, or a mistake."""
        extension = None
        if key.startswith("[") and key.endswith("]"):
            extension = self.fills.types.find_extension(key[1:-1], self.descriptor)
        if extension is None:
            return self._no_rule(key)

        def access(message: Any) -> Any:
            return message.Extensions[extension]

        if extension.is_repeated or extension.message_type is not None:
            return self._rule_of(extension, access)
        check = self.dialect.scalar(extension).check

        def rule(message: Any, value: Any, depth: int) -> None:
            message.Extensions[extension] = check(value)

        return rule

    def _rule_of(self, field: FieldDescriptor, access: Callable[[Any], Any]) -> Fill:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            key = self.dialect.key(kind.fields_by_name["key"])
            entry = kind.fields_by_name["value"]
            if entry.message_type is not None:
                return self._message_map_rule(entry.message_type, key, access)
            return self._scalar_map_rule(self.dialect.scalar(entry), key, access)
        if field.is_repeated:
            if kind is not None:
                return self._message_list_rule(kind, access)
            return self._scalar_list_rule(self.dialect.scalar(field), access)
        if kind is not None:
            return self._message_rule(kind, access)
        return _scalar_rule(self.dialect.scalar(field), field.name)

    def _message_rule(self, kind: Descriptor, access: Callable[[Any], Any]) -> Fill:
        # Methods of messages are called unbound, here and elsewhere: a field may be called SetInParent.
        mark_present = message_factory.GetMessageClass(kind).SetInParent

        def rule(message: Any, value: Any, depth: int) -> None:
            if depth >= MAX_DEPTH:
                raise Fault(TOO_DEEP)
            inner = access(message)
            # Marks it as present even where the value stores nothing.
            mark_present(inner)
            self.fills.fill_for(kind)(inner, value, depth + 1)

        return rule

    def _message_list_rule(self, kind: Descriptor, access: Callable[[Any], Any]) -> Fill:
        def rule(message: Any, value: Any, depth: int) -> None:
            fill = self.fills.fill_for(kind)
            items = self._as_list(value)
            if depth >= MAX_DEPTH and items:
                raise Fault(TOO_DEEP)
            add = access(message).add
            for index, item in enumerate(items):
                try:
                    fill(add(), item, depth + 1)
                except Fault as fault:
                    fault.at(index_step(index))
                    raise

        return rule

    def _message_map_rule(self, kind: Descriptor, key: Scalar, access: Callable[[Any], Any]) -> Fill:
        def rule(message: Any, value: Any, depth: int) -> None:
            fill = self.fills.fill_for(kind)
            container = access(message)
            entries = _as_mapping(value, f"a {self.dialect.object} for a map")
            # The entry of a map is a message of its own on the wire.
            inside = depth + 2
            if inside > MAX_DEPTH and entries:
                raise Fault(TOO_DEEP)
            for name, item in entries.items():
                try:
                    fill(container[key.check(name)], item, inside)
                except Fault as fault:
                    fault.at(key_step(name))
                    raise

        return rule

    def _scalar_map_rule(self, scalar: Scalar, key: Scalar, access: Callable[[Any], Any]) -> Fill:
        def rule(message: Any, value: Any, depth: int) -> None:
            container = access(message)
            entries = _as_mapping(value, f"a {self.dialect.object} for a map")
            if depth >= MAX_DEPTH and entries:
                raise Fault(TOO_DEEP)  # the entry of a map is a message of its own on the wire
            for name, item in entries.items():
                try:
                    container[key.check(name)] = scalar.check(item)
                except Fault as fault:
                    fault.at(key_step(name))
                    raise

        return rule

    def _scalar_list_rule(self, scalar: Scalar, access: Callable[[Any], Any]) -> Fill:
        def rule(message: Any, value: Any, depth: int) -> None:
            items = self._as_list(value)
            checked: list[Any] = []
            try:
                checked.extend(map(scalar.check, items))
            except Fault as fault:
                fault.at(index_step(len(checked)))
                raise
            access(message).extend(checked)

        return rule

    def _as_list(self, value: Any) -> list[Any]:
        if type(value) is list:
            return value
        # A str is a sequence of str: ["a", "b"] from "ab" would never be meant.
        if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
            raise Fault(f"expected a {self.dialect.array}, not {describe_value(value)}")
        return list(value)


def real_oneof(field: FieldDescriptor) -> str | None:
    """The name of the oneof that a field shares with others."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else None


def copy_message(message: Any, value: Any) -> bool:
    """Copy a message of the same type, whichever pool its class comes from; False for anything else."""
    if not isinstance(value, Message):
        return False
    kind, given = type(message), type(value)
    if descriptor_of(given).full_name != descriptor_of(kind).full_name:
        return False
    kind.MergeFromString(message, given.SerializePartialToString(value))
    return True


def _as_mapping(value: Any, expected: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise Fault(f"expected {expected}, not {describe_value(value)}")


def _scalar_rule(scalar: Scalar, name: str) -> Fill:
    check = scalar.check

    def rule(message: Any, value: Any, depth: int) -> None:
        setattr(message, name, check(value))

    return rule


def _member_rule(descriptor: Descriptor, oneof: str, rule: Fill) -> Fill:
    which = message_factory.GetMessageClass(descriptor).WhichOneof

    def member(message: Any, value: Any, depth: int) -> None:
        other = which(message, oneof)
        if other is not None:
            raise set_twice(other, oneof)
        rule(message, value, depth)

    return member


def set_twice(other: str, oneof: str) -> Fault:
    """Two members of a oneof are given."""
    return Fault(f'"{other}" is set too, and only one member of the oneof "{oneof}" may be')
