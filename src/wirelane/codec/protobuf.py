"""Messages of google.protobuf: generated classes (`x_pb2`) and those of runtime schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import DecodeError, EncodeError, Message

from wirelane.codec.base import MessageCodec, describe_value
from wirelane.errors import CodecError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

__all__ = ["descriptor_of", "find_codec", "message_codec", "missing_required"]

# What FromString raises for octets that are no message.
_FAULTS = (DecodeError, TypeError, ValueError)


def descriptor_of(kind: type[Message]) -> Descriptor:
    """The descriptor of a message class."""
    # The stubs know two classes, one of them private to upb, which is a subclass of neither.
    return cast("Descriptor", kind.DESCRIPTOR)


def missing_required(message: Any) -> str:
    """The path of a required field that is not set, at any depth; empty where there is none."""
    kind: Any = type(message)  # unbound: a field may be called IsInitialized
    if kind.IsInitialized(message):
        return ""
    path: str = kind.FindInitializationErrors(message)[0]
    return path


def _may_lack_fields(descriptor: Descriptor, seen: set[str]) -> bool:
    """Whether a message can be without a required field (proto2, editions), at any depth, extensions included."""
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    if descriptor.is_extendable:
        return True
    return any(
        field.is_required or (field.message_type is not None and _may_lack_fields(field.message_type, seen))
        for field in descriptor.fields
    )


def find_codec(message_type: type) -> MessageCodec | None:
    """The codec of a subclass of google.protobuf.message.Message."""
    if not issubclass(message_type, Message) or getattr(message_type, "DESCRIPTOR", None) is None:
        return None
    return message_codec(message_type)


def message_codec(kind: type[Message]) -> MessageCodec:
    """Takes messages of this type, whichever pool their class is from, or None for an empty one."""
    name = descriptor_of(kind).full_name
    may_lack = _may_lack_fields(descriptor_of(kind), set())

    def encode(value: Any) -> bytes:
        if value is None:
            value = kind()
        if type(value) is not kind and (
            not isinstance(value, Message) or descriptor_of(type(value)).full_name != name
        ):
            raise CodecError(f"expected a {name}, not {describe_value(value)}")
        try:
            data: bytes = type(value).SerializeToString(value)
        except EncodeError as error:
            raise CodecError(f"{name} does not encode: {error}") from error
        return data

    def decode(data: bytes) -> Message:
        try:
            message = kind.FromString(data)
        except _FAULTS as error:
            raise CodecError(f"{len(data)} bytes are no valid {name}: {error}") from error
        if may_lack and (path := missing_required(message)):
            raise CodecError(f"a required field of {name} is missing", path=path, incomplete=True)
        return message

    if may_lack:
        return MessageCodec(name, encode, decode)
    return MessageCodec(name, encode, decode, kind.FromString, _FAULTS)
