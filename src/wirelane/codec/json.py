"""Messages of a runtime schema as ProtoJSON, for people and the command line.

The mapping is that of protobuf: int64 as strings, bytes as base64, enums by name, well-known types in their
JSON forms. The work is done by `google.protobuf.json_format`; added to it are errors with the path of the
field and the nearest name, and an Any of an unknown type, which is {"@type": ..., "value": base64} instead of
an error. This is not the hot path: calls go through `dict_encode` and `dict_decode`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.wrappers_pb2 import BytesValue

from wirelane.codec.base import (
    MAX_DEPTH,
    TOO_DEEP,
    Fault,
    describe_value,
    index_step,
    key_step,
    nearest,
    nearest_value,
)
from wirelane.codec.dict_encode import plain_in_any
from wirelane.codec.dynamic import DictCodec, PoolTypes
from wirelane.codec.protobuf import descriptor_of
from wirelane.errors import CodecError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pool import DescriptorPool

__all__ = ["from_json", "to_json"]

_ANY: Final = "google.protobuf.Any"
_PARSE_ERRORS: Final = (json_format.Error, AttributeError, KeyError, TypeError, ValueError)
_FAILED: Final = re.compile(r"Failed to parse (\S+) field: ")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_AT: Final = re.compile(r'^(.*) at "?([^\s"]+)"?$', re.DOTALL)


def to_json(
    codec: DictCodec, types: PoolTypes, value: Any, *, emit_defaults: bool = False, json_names: bool = False
) -> Any:
    """What `json.dumps` can write, for whatever `codec.to_message` takes.

    Args:
        codec: Of the message type.
        types: What an Any may hold.
        value: A dict, a message, or None for an empty one.
        emit_defaults: Write fields without presence even where they hold their default.
        json_names: Write lowerCamelCase names instead of those of the .proto file.

    Raises:
        CodecError: The value does not fit, or has no JSON form.
    """
    message = codec.to_message(value)
    _each_unknown(message, types, _wrap)
    try:
        return json_format.MessageToDict(
            message,
            preserving_proto_field_name=not json_names,
            always_print_fields_with_no_presence=emit_defaults,
            descriptor_pool=cast("DescriptorPool", _AnyPool(types)),
        )
    except (json_format.Error, DecodeError, TypeError, ValueError) as error:
        raise CodecError(f"{codec.name} has no JSON form: {error}") from error


def from_json(codec: DictCodec, types: PoolTypes, content: Any) -> Any:
    """The dict, as `codec.decode` would give it, of parsed ProtoJSON; both kinds of names are accepted.

    Raises:
        CodecError: The content does not fit; `.path` names the field.
    """
    message = codec.kind()
    if content is None:
        return codec.to_value(message)
    try:
        _check_shape(types, descriptor_of(codec.kind), content, 0)
    except Fault as fault:
        raise fault.error() from None
    try:
        json_format.ParseDict(content, message, descriptor_pool=cast("DescriptorPool", _AnyPool(types)))
    except _PARSE_ERRORS as error:
        raise _explain(error) from error
    _each_unknown(message, types, _unwrap)
    return codec.to_value(message)


class _AnyPool:
    """What json_format asks a pool for: the type inside an Any. Unknown ones pass as BytesValue."""

    def __init__(self, types: PoolTypes) -> None:
        self._types = types

    def FindMessageTypeByName(self, full_name: str) -> Descriptor:  # noqa: N802 - protobuf's name
        return descriptor_of(self._types.find_message(full_name) or BytesValue)


def _wrap(holder: Any) -> None:
    if not holder.type_url:
        holder.type_url = "type.googleapis.com/"
    holder.value = BytesValue(value=holder.value).SerializeToString()


def _unwrap(holder: Any) -> None:
    holder.value = BytesValue.FromString(holder.value).value


def _each_unknown(message: Message, types: PoolTypes, change: Callable[[Any], None]) -> bool:
    """Change each Any of an unknown type, at any depth; True if there was one.

    For json_format they hold their bytes as a BytesValue, whose JSON form is base64 under "value".
    """
    if message.DESCRIPTOR.full_name == _ANY:
        return _each_unknown_in_any(message, types, change)
    changed = False
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is None:
            continue
        if kind.GetOptions().map_entry:
            inner = list(value.values()) if kind.fields_by_name["value"].message_type is not None else []
        else:
            inner = list(value) if field.is_repeated else [value]
        for each in inner:
            changed |= _each_unknown(each, types, change)
    return changed


def _each_unknown_in_any(holder: Any, types: PoolTypes, change: Callable[[Any], None]) -> bool:
    if not holder.type_url and not holder.value:
        return False
    kind = types.find_message(_type_name(holder.type_url))
    if kind is None:
        change(holder)
        return True
    try:
        inner = kind.FromString(holder.value)
    except DecodeError:
        return False  # for json_format to complain of
    if not _each_unknown(inner, types, change):
        return False
    holder.value = inner.SerializePartialToString()
    return True


def _type_name(url: str) -> str:
    return url.rpartition("/")[2]


def _check_shape(types: PoolTypes, descriptor: Descriptor, content: Any, depth: int) -> None:
    """Find unknown names, and wrong objects or lists: json_format's words for them are poor."""
    if plain_in_any(descriptor) and descriptor.full_name != _ANY:
        _check_depth(content, depth)
        return
    if not isinstance(content, Mapping):
        raise Fault(f"expected a JSON object for {descriptor.full_name}, not {describe_value(content)}")
    if depth > MAX_DEPTH:
        raise Fault(TOO_DEEP)
    if descriptor.full_name == _ANY:
        _check_any(types, content, depth)
        return
    by_json_name = {field.json_name: field for field in descriptor.fields}
    for name, value in content.items():
        field = descriptor.fields_by_name.get(name) or by_json_name.get(name)
        if field is not None:
            if value is not None:
                _check_field(types, field, value, depth, name)
        elif not (isinstance(name, str) and name.startswith("[") and descriptor.is_extendable):
            hint = nearest(name, descriptor.fields_by_name)
            raise Fault(f'{descriptor.full_name} has no field "{name}"{hint}').at(str(name))


def _check_depth(content: Any, depth: int) -> None:
    """Bound what nests inside a Struct: each level is at least two messages."""
    if depth > MAX_DEPTH:
        raise Fault(TOO_DEEP)
    if isinstance(content, Mapping):
        content = content.values()
    elif not isinstance(content, (list, tuple)):
        return
    for each in content:
        _check_depth(each, depth + 2)


def _check_any(types: PoolTypes, content: Mapping[str, Any], depth: int) -> None:
    if not content:
        return
    url = content.get("@type")
    if not isinstance(url, str):
        raise Fault('an Any needs the full name of its type under "@type"')
    kind = types.find_message(_type_name(url))
    if kind is None:
        if not isinstance(content.get("value"), str) or len(content) > 2:
            raise Fault(f'the type "{_type_name(url)}" is not in the schema: give base64 under "value"')
        return
    descriptor = descriptor_of(kind)
    if not plain_in_any(descriptor):
        _check_shape(
            types, descriptor, {key: each for key, each in content.items() if key != "@type"}, depth + 1
        )
    elif set(content) != {"@type", "value"}:
        raise Fault(f'an Any of {descriptor.full_name} has its content under "value" and nothing else')


def _check_field(types: PoolTypes, field: FieldDescriptor, value: Any, depth: int, name: str) -> None:
    steps: Iterable[tuple[str, Any]] = (("", value),)
    element = field
    try:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if not isinstance(value, Mapping):
                raise Fault(f"expected a JSON object for a map, not {describe_value(value)}")
            steps = ((key_step(key), item) for key, item in value.items())
            element = field.message_type.fields_by_name["value"]
        elif field.is_repeated:
            if not isinstance(value, (list, tuple)):
                raise Fault(f"expected a JSON array, not {describe_value(value)}")
            steps = ((index_step(index), item) for index, item in enumerate(value))
        for step, item in steps:
            try:
                _check_element(types, element, item, depth)
            except Fault as fault:
                if step:
                    fault.at(step)
                raise
    except Fault as fault:
        fault.at(name)
        raise


def _check_element(types: PoolTypes, field: FieldDescriptor, value: Any, depth: int) -> None:
    if field.message_type is not None:
        _check_shape(types, field.message_type, value, depth + 1)
    elif field.enum_type is not None and isinstance(value, str):
        names = field.enum_type.values_by_name
        # A number in quotes is a number.
        if value not in names and not value.lstrip("-").isdecimal():
            raise Fault(
                f'{field.enum_type.full_name} has no value "{value}"{nearest_value(value, list(names))}'
            )
    elif field.type == FieldDescriptor.TYPE_STRING and not isinstance(value, str):
        raise Fault(f"expected a JSON string, not {describe_value(value)}")
    elif field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str) and not _BASE64.fullmatch(value):
        # json_format drops what is not base64, without a word.
        raise Fault(f"expected base64, not {describe_value(value)}")


def _explain(error: Exception) -> CodecError:
    """json_format tells the path at the end of its text, below the name of the message, or not at all.

    Without it there are the names of the fields that it came through.
    """
    whole = str(error).split("\n")[0]
    text = _FAILED.sub("", whole).rstrip(".")
    found = _AT.match(text)
    if found:
        return CodecError(found[1], path=found[2].partition(".")[2])
    return CodecError(text, path=".".join(_FAILED.findall(whole)))
