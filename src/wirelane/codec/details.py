"""Rich error details: google.rpc.Status, the content of the `grpc-status-details-bin` trailer.

A detail goes in as a dict with its type under "@type", with or without "type.googleapis.com/" in front, or as a
message of any library that the registry knows. It comes out as a `StatusDetail`: such a dict, which can also be had as
a message. Types are looked for in the schema of the call, then in google.rpc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from wirelane.codec.base import describe_value, index_step
from wirelane.codec.dynamic import DictCodecs, bundled_pool
from wirelane.codec.names import full_name
from wirelane.codec.registry import codec_for, decode
from wirelane.errors import CodecError, UsageError

if TYPE_CHECKING:
    from wirelane.codec.schema import Schema

__all__ = ["StatusDetail", "decode_status_details", "encode_status_details"]

_T = TypeVar("_T")

_ANY = "google.protobuf.Any"
_STATUS = "google.rpc.Status"
_PREFIX = "type.googleapis.com/"


@cache
def _bundled() -> DictCodecs:
    return DictCodecs(bundled_pool())


class StatusDetail(dict[str, Any]):
    """One detail that came with a status: a dict, with its type under "@type".

    One of a type that is not known here, or that does not parse, is `{"@type": ..., "value": bytes}`.

    Attributes:
        data: The serialized message.
    """

    __slots__ = ("data",)

    def __init__(self, fields: Mapping[str, Any], data: bytes) -> None:
        super().__init__(fields)
        self.data = data

    @property
    def type_name(self) -> str:
        """The full name of its type, "pkg.Message"."""
        name: str = self["@type"]
        return name.rpartition("/")[2]

    def unpack(self, message_type: type[_T]) -> _T | None:
        """The detail as a message, or None if it is of another type.

        Args:
            message_type: A message class of any library that `codec_for` knows.

        Raises:
            CodecError: It does not parse.
            UsageError: It is no message class, or one that does not know its full name.
        """
        codec = codec_for(message_type)
        name = full_name(message_type)
        if name is None:
            raise UsageError(
                f"the full name of {codec.name} is not known; "
                "wirelane.codec.decode(message_type, detail.data) reads a detail of that type"
            )
        return decode(message_type, self.data) if name == self.type_name else None


def encode_status_details(
    code: int, message: str, details: Sequence[object], schema: Schema | None = None
) -> bytes:
    """A serialized google.rpc.Status.

    Args:
        code: The status code, the same as in `grpc-status`.
        message: The same as in `grpc-message`.
        details: Dicts with "@type", or messages.
        schema: Where the types of dicts are looked for before google.rpc.

    Raises:
        CodecError: A detail does not encode; `.path` begins with "details[i]".
    """
    holder = (schema.dict_codecs if schema is not None else _bundled()).codec(_ANY)
    status: Any = _bundled().codec(_STATUS).kind()
    status.code = int(code)
    # What a status message cannot hold is no reason to lose the status: a lone surrogate becomes "?".
    status.message = message.encode("utf-8", "replace").decode("utf-8")
    for index, detail in enumerate(details):
        try:
            _pack(status.details.add(), detail, holder.to_message)
        except CodecError as error:
            path = f"details{index_step(index)}"
            raise CodecError(error.message, path=f"{path}.{error.path}" if error.path else path) from error
    data: bytes = status.SerializeToString()
    return data


def _pack(into: Any, detail: object, to_message: Callable[[object], Message]) -> None:
    if isinstance(detail, Mapping):
        try:
            into.MergeFromString(to_message(detail).SerializeToString())
        except CodecError:
            if not isinstance(detail, StatusDetail):
                raise
            # Passed on from another server, and of a type that only that call's schema knows.
            into.type_url, into.value = detail["@type"], detail.data
        return
    if isinstance(detail, Message):
        name: str | None = full_name(type(detail))
        data = detail.SerializePartialToString()
    else:
        name, data = _typed(detail)
    if name == _ANY:
        into.MergeFromString(data)
    else:
        into.type_url = f"{_PREFIX}{name}"
        into.value = data


def _typed(detail: object) -> tuple[str, bytes]:
    """The full name and the serialized form of a message of another library."""
    try:
        codec = codec_for(type(detail))
    except UsageError:
        codec = None
    if codec is None or isinstance(detail, (bytes, bytearray, memoryview)):
        raise CodecError(f'a detail is a dict with "@type", or a message, not {describe_value(detail)}')
    name = full_name(type(detail))
    if name is None:
        raise CodecError(
            f'the full name of {codec.name} is not known; give {{"@type": "pkg.Message", "value": bytes}}'
        )
    return name, codec.encode(detail)


def decode_status_details(
    data: bytes, schema: Schema | None = None, *, code: int | None = None
) -> tuple[StatusDetail, ...]:
    """The details of a serialized google.rpc.Status, each a dict with its full type URL under "@type".

    Never raises: a detail of an unknown type, or of none, or one that does not parse, is
    {"@type": ..., "value": bytes}; bytes that are no Status give ().

    Args:
        data: The content of the trailer.
        schema: Where types are looked for before google.rpc.
        code: The code in `grpc-status`. A Status with another one (0 counts as none) belongs to another failure, whose
            status somebody on the way has replaced: it gives ().
    """
    try:
        status: Any = _bundled().codec(_STATUS).parse(data)
    except CodecError:
        return ()  # the code and the message of the call are known without
    if code is not None and status.code not in (0, code):
        return ()
    holder = (schema.dict_codecs if schema is not None else _bundled()).codec(_ANY)
    details: list[StatusDetail] = []
    for each in status.details:
        # What stands for an empty Any elsewhere, {}, has no type to look at.
        fields: dict[str, Any] = {"@type": each.type_url, "value": each.value}
        if each.type_url:
            with suppress(CodecError):
                fields = holder.to_value(each)
        details.append(StatusDetail(fields, each.value))
    return tuple(details)
