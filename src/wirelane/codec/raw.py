"""Bytes as messages: what is sent is what was given, for proxies and for those who serialize themselves."""

from __future__ import annotations

from typing import Final

from wirelane.codec.base import MessageCodec, describe_value
from wirelane.errors import CodecError

__all__ = ["RAW", "find_codec", "raw_codec"]


def _encode(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if value is None:
        return b""
    raise CodecError(f"expected bytes, not {describe_value(value)}")


def _decode(data: bytes) -> bytes:
    return bytes(data)


RAW: Final = MessageCodec("bytes", _encode, _decode)
"""Takes bytes, bytearray, memoryview, and None for an empty message; gives bytes."""


def raw_codec(name: str) -> MessageCodec:
    """RAW for the messages of a type that has this name."""
    return MessageCodec(name, _encode, _decode)


def find_codec(message_type: type) -> MessageCodec | None:
    """RAW for bytes and what is like them."""
    return RAW if issubclass(message_type, (bytes, bytearray, memoryview)) else None
