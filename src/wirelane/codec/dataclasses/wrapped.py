"""What services need of the codecs beside messages themselves: values with a message made around them, and a schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from wirelane.codec.base import MessageCodec, describe_value
from wirelane.codec.dataclasses.files import ServiceSpec, schema_files
from wirelane.codec.schema import Schema
from wirelane.errors import CodecError, SchemaError, UsageError

__all__ = ["schema_of", "wrapping"]


def wrapping(codec: MessageCodec, kind: type) -> MessageCodec:
    """Return a codec of the one value in a message: of its field `value`, or of None if it has no fields."""
    if not dataclasses.fields(kind):

        def encode_nothing(value: Any) -> bytes:
            if value is not None:
                raise CodecError(f"{kind.__name__} is empty: expected None, not {describe_value(value)}")
            return codec.encode(kind())

        def decode_nothing(data: bytes) -> None:
            codec.decode(data)

        return MessageCodec(codec.name, encode_nothing, decode_nothing)

    def encode(value: Any) -> bytes:
        return codec.encode(kind(value=value))

    def decode(data: bytes) -> Any:
        return codec.decode(data).value

    return MessageCodec(codec.name, encode, decode)


def schema_of(services: Iterable[ServiceSpec]) -> Schema:
    """Return the schema of services together.

    Raises:
        UsageError: They contradict each other.
    """
    given = tuple(services)
    files = schema_files(given)
    try:
        return Schema.from_set(files, origin=", ".join(service.name for service in given))
    except SchemaError as error:
        raise UsageError(f"{', '.join(service.name for service in given)}: {error}") from error
