"""Options of descriptors, written as .proto syntax: `deprecated = true`, `(pkg.option) = { a: 1 }`; or as data."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, cast

from google.protobuf import json_format, message_factory, text_encoding, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

__all__ = ["option_texts", "option_values", "quoted"]

# What the compiler makes of other syntax, and writes by itself.
_IMPLIED: Final = {"map_entry", "uninterpreted_option"}


def option_texts(
    options: Message, pool: DescriptorPool, extension_name: Callable[[str], str]
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield (path below the options, "name = value") for every option that is set, per element of a repeated one.

    Custom options are shown if `pool` knows their extension; others have no name to be written by and are left out.

    Args:
        options: Some `google.protobuf.*Options`.
        pool: Where the extensions are.
        extension_name: Makes of an extension's full name one that holds where the option will stand.
    """
    for field, value in _in_pool(options, pool).ListFields():
        if field.name in _IMPLIED and not field.is_extension:
            continue
        name = f"({extension_name(field.full_name)})" if field.is_extension else field.name
        for index, one in enumerate(value if field.is_repeated else [value]):
            text = _value_text(field, one, pool)
            if text is not None:
                path = (field.number, index) if field.is_repeated else (field.number,)
                yield path, f"{name} = {text}"


def option_values(options: Message, pool: DescriptorPool) -> dict[str, object]:
    """Return the options that are set as JSON-able data: "deprecated" or "(pkg.option)", and what it is set to.

    Values of messages are as protobuf's JSON has them, with the names of the .proto file; enums are names. Bytes are
    bytes. Custom options that `pool` does not know are left out.
    """
    found: dict[str, object] = {}
    for field, value in _in_pool(options, pool).ListFields():
        if field.name in _IMPLIED and not field.is_extension:
            continue
        name = f"({field.full_name})" if field.is_extension else field.name
        if field.is_repeated:
            found[name] = [_value_data(field, one, pool) for one in value]
        else:
            found[name] = _value_data(field, value, pool)
    return found


def _value_data(field: FieldDescriptor, value: object, pool: DescriptorPool) -> object:
    if isinstance(value, Message):
        return json_format.MessageToDict(value, preserving_proto_field_name=True, descriptor_pool=pool)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(cast("int", value))
        return known.name if known is not None else value
    return value


def _in_pool(options: Message, pool: DescriptorPool) -> Message:
    """Parse the options anew with the class that knows the pool's extensions."""
    try:
        descriptor = pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
    except KeyError:
        return options  # without descriptor.proto in the pool there can be no custom options
    return message_factory.GetMessageClass(descriptor).FromString(options.SerializeToString())


def _value_text(field: FieldDescriptor, value: object, pool: DescriptorPool) -> str | None:
    if isinstance(value, Message):
        inner = text_format.MessageToString(value, as_one_line=True, descriptor_pool=pool)
        return f"{{ {inner} }}" if inner else "{}"
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(cast("int", value))
        return known.name if known is not None else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, bytes)):
        return quoted(value)
    if isinstance(value, float):
        return _float_text(value, single=field.type == FieldDescriptor.TYPE_FLOAT)
    return str(value)


def _float_text(value: float, *, single: bool) -> str:
    if not single:
        return repr(value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == value:
            return text
    return f"{value:.9g}"


def quoted(value: str | bytes) -> str:
    """Write a string or bytes literal, escaped so that the compiler reads the same."""
    data = value.encode() if isinstance(value, str) else value
    return '"' + text_encoding.CEscape(data, as_utf8=isinstance(value, str)) + '"'
