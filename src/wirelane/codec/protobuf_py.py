"""Messages of protobuf-py, Buf's library: they serialize themselves, natively.

The library, whose package is called `protobuf`, is not imported here. A class can only be one of its messages if
it was imported before, so it is looked for in `sys.modules`.
"""

from __future__ import annotations

import sys
from typing import Any

from wirelane.codec.base import MessageCodec, describe_value
from wirelane.errors import CodecError

__all__ = ["find_codec", "is_message"]

# What from_binary raises for octets that are no message.
_FAULTS = (ValueError, EOFError, TypeError, RecursionError)


def is_message(kind: type) -> bool:
    """Whether a type is a subclass of protobuf.Message."""
    base: Any = getattr(sys.modules.get("protobuf"), "Message", None)
    # Somebody's own package may be called protobuf, too.
    if not isinstance(base, type) or not hasattr(base, "from_binary"):
        return False
    return issubclass(kind, base) and kind is not base


def find_codec(message_type: type) -> MessageCodec | None:
    """The codec of a subclass of protobuf.Message."""
    return _codec(message_type) if is_message(message_type) else None


def _codec(kind: Any) -> MessageCodec:
    name: str = kind.desc().type_name

    def encode(value: Any) -> bytes:
        if value is None:
            value = kind()
        if not is_message(type(value)) or value.desc().type_name != name:
            raise CodecError(f"expected a {name}, not {describe_value(value)}")
        try:
            data: bytes = value.to_binary()
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise CodecError(f"{name} does not encode: {error}") from error
        return data

    def decode(data: bytes) -> Any:
        try:
            return kind.from_binary(data)
        except _FAULTS as error:
            raise CodecError(f"{len(data)} bytes are no valid {name}: {error}") from error

    return MessageCodec(name, encode, decode, kind.from_binary, _FAULTS)
