"""The codec of a message class of betterproto2 or betterproto: by glue, or by the library's own methods."""

from __future__ import annotations

from functools import partial
from typing import Any

from google.protobuf.empty_pb2 import Empty

from wirelane.codec.base import MessageCodec, describe_value
from wirelane.codec.betterproto import older, plans
from wirelane.codec.betterproto.names import is_registered, message_name
from wirelane.codec.glue import Glue, Unplannable, glue_of
from wirelane.codec.glue.shape import fits
from wirelane.errors import CodecError

__all__ = ["codec_of"]


def codec_of(kind: type) -> MessageCodec:
    """The codec of a message class of either library."""
    plan_of = plans.plan_of if plans.is_message(kind) else older.plan_of
    try:
        return _glue_codec(kind, glue_of(plan_of(kind)))
    except Unplannable:
        return _own_codec(kind)  # it does what it does in its own way


def _glue_codec(kind: Any, glue: Glue) -> MessageCodec:
    plan, name = glue.plan, glue.plan.python_name

    def encode_other(value: Any) -> bytes:
        if value is None:
            return glue.encode(kind())
        if not isinstance(value, kind):
            raise CodecError(f"expected a {name}, not {describe_value(value)}")
        return glue.encode_carefully(value)  # of a subclass, which serializes itself

    encode = glue.encoder(encode_other, glue.encode_carefully)
    if plan.anonymous:
        return MessageCodec(name, encode, glue.decode, fits=partial(fits, plan))
    return MessageCodec(plan.full_name, encode, glue.decode)


def _own_codec(kind: Any) -> MessageCodec:
    name = f"{kind.__module__}.{kind.__qualname__}"

    def encode(value: Any) -> bytes:
        if value is None:
            value = kind()
        if not isinstance(value, kind):
            raise CodecError(f"expected a {name}, not {describe_value(value)}")
        try:
            return bytes(value)  # Message.__bytes__
        except Exception as error:
            # Fields are not checked as they are set: a wrong value fails in whatever way it comes to.
            raise CodecError(f"{name} does not encode: {type(error).__name__}: {error}") from error

    def decode(data: bytes) -> Any:
        try:
            # betterproto2 takes what is cut off in the middle for the end; upb tells.
            Empty.FromString(data)
            return kind.FromString(bytes(data))
        except Exception as error:
            # ValueError, IndexError, struct.error, EOFError...: the parsers let through what they run into.
            raise CodecError(
                f"{len(data)} bytes are no valid {name}: {type(error).__name__}: {error}"
            ) from error

    return MessageCodec(message_name(kind)[1] if is_registered(kind) else name, encode, decode)
