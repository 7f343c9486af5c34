"""Rich error details: google.rpc.Status, the content of the `grpc-status-details-bin` trailer.

A detail is a dict with its type under "@type", with or without "type.googleapis.com/" in front, or a message
of any pool. Types are looked for in the schema of the call, then in google.rpc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from wirelane.codec.base import describe_value, index_step
from wirelane.codec.dynamic import DictCodecs, bundled_pool
from wirelane.errors import CodecError

if TYPE_CHECKING:
    from wirelane.codec.schema import Schema

__all__ = ["decode_status_details", "encode_status_details"]

_ANY = "google.protobuf.Any"
_STATUS = "google.rpc.Status"


@cache
def _bundled() -> DictCodecs:
    return DictCodecs(bundled_pool())


def encode_status_details(
    code: int, message: str, details: Sequence[Mapping[str, Any] | Message], schema: Schema | None = None
) -> bytes:
    """A serialized google.rpc.Status.

    Args:
        code: The status code, the same as in `grpc-status`.
        message: The same as in `grpc-message`.
        details: Dicts with "@type", or messages.
        schema: Where types are looked for before google.rpc.

    Raises:
        CodecError: A detail does not encode; `.path` begins with "details[i]".
    """
    holder = (schema.dict_codecs if schema is not None else _bundled()).codec(_ANY)
    packed: list[Message] = []
    for index, detail in enumerate(details):
        try:
            packed.append(_pack(detail, holder.kind, holder.to_message))
        except CodecError as error:
            path = f"details{index_step(index)}"
            raise CodecError(error.message, path=f"{path}.{error.path}" if error.path else path) from error
    status: Any = _bundled().codec(_STATUS).kind()
    status.code = int(code)
    # What a status message cannot hold is no reason to lose the status: a lone surrogate becomes "?".
    status.message = message.encode("utf-8", "replace").decode("utf-8")
    for each in packed:
        status.details.add().MergeFromString(each.SerializeToString())
    data: bytes = status.SerializeToString()
    return data


def _pack(detail: object, holder: type[Message], to_message: Any) -> Message:
    if isinstance(detail, Message) and detail.DESCRIPTOR.full_name != _ANY:
        packed: Any = holder()
        packed.type_url = f"type.googleapis.com/{detail.DESCRIPTOR.full_name}"
        packed.value = detail.SerializePartialToString()
        return packed  # type: ignore[no-any-return]
    if not isinstance(detail, (Mapping, Message)):
        raise CodecError(f'a detail is a dict with "@type", or a message, not {describe_value(detail)}')
    message: Message = to_message(detail)
    return message


def decode_status_details(data: bytes, schema: Schema | None = None) -> tuple[dict[str, Any], ...]:
    """The details of a serialized google.rpc.Status, each a dict with its full type URL under "@type".

    Never raises: a detail of an unknown type, or of none, or one that does not parse, is
    {"@type": ..., "value": bytes}; bytes that are no Status give ().
    """
    try:
        status: Any = _bundled().codec(_STATUS).parse(data)
    except CodecError:
        return ()  # the code and the message of the call are known without
    holder = (schema.dict_codecs if schema is not None else _bundled()).codec(_ANY)
    details: list[dict[str, Any]] = []
    for each in status.details:
        # What stands for an empty Any elsewhere, {}, has no type to look at.
        detail: dict[str, Any] = {"@type": each.type_url, "value": each.value}
        if each.type_url:
            with suppress(CodecError):
                detail = holder.to_value(each)
        details.append(detail)
    return tuple(details)
