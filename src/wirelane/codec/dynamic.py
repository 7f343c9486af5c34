"""Messages of a runtime schema as dicts: `DictCodecs` for a descriptor pool, `DictCodec` for one type.

What goes in is described in `dict_encode`, what comes out in `dict_decode`, the well-known types in
`wellknown`. An Any is `{"@type": "type.googleapis.com/pkg.Message", **fields}`; one of a type that is in
neither the schema nor google.rpc is `{"@type": ..., "value": bytes}`.

Bounds: messages nest 100 deep at most, which is what protobuf's parsers accept. The size of a message is
bounded by who reads it from the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, EncodeError, Message

from wirelane import protos
from wirelane.codec.base import Fault, MessageCodec, nearest
from wirelane.codec.dialect import JSON_VALUES, PYTHON_VALUES
from wirelane.codec.dict_decode import Decoders
from wirelane.codec.dict_encode import Encoders
from wirelane.codec.formats import DICT, DictFormat
from wirelane.codec.protobuf import descriptor_of, missing_required
from wirelane.codec.registry import codec_of_message
from wirelane.errors import CodecError, SchemaError, UsageError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ["DictCodec", "DictCodecs", "PoolTypes", "bundled_pool"]

_PARSE_ERRORS = (DecodeError, TypeError, ValueError)


@cache
def bundled_pool() -> descriptor_pool.DescriptorPool:
    """The types that every Any may hold, whatever the schema: google.rpc.* and google.protobuf.*."""
    pool = descriptor_pool.DescriptorPool()
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for data in (protos.descriptor_set("rpc"), protos.descriptor_set("demo")):
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            if file.name.startswith("google/"):
                files.setdefault(file.name, file)
    for file in files.values():
        pool.AddSerializedFile(file.SerializeToString())
    return pool


class PoolTypes:
    """Looks types up in a pool, and messages that are not there in `bundled_pool`."""

    def __init__(
        self, pool: descriptor_pool.DescriptorPool, message_names: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self.pool = pool
        self.message_names = message_names

    def __repr__(self) -> str:
        return f"<PoolTypes of {self.pool!r}>"

    def find_message(self, full_name: str) -> type[Message] | None:
        """The class of a message type, or None where it is unknown."""
        if not _may_be_name(full_name):
            return None
        for pool in (self.pool, bundled_pool()):
            try:
                return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
            except KeyError:
                continue
            except RecursionError:
                # protobuf makes a class together with those of all its fields, one inside the other.
                raise SchemaError(f"{full_name} refers to too long a chain of message types") from None
        return None

    def find_extension(self, full_name: str, extended: Descriptor) -> FieldDescriptor | None:
        """The extension of this name of `extended`, or None."""
        if not _may_be_name(full_name):
            return None
        try:
            found = self.pool.FindExtensionByName(full_name)
        except KeyError:
            return None
        return found if found.containing_type is extended else None

    def extension_names(self, extended: Descriptor) -> list[str]:
        """All known extensions of `extended`."""
        return [field.full_name for field in self.pool.FindAllExtensions(extended)]


def _may_be_name(text: str) -> bool:
    """Whether a pool may be asked for a name: it fails at what is no Unicode, and sees nothing behind a NUL."""
    return text.isascii() and "\0" not in text


class DictCodecs:
    """The dict codecs of all messages of a pool, each compiled at first use. Safe to share between threads.

    Args:
        pool: The descriptors; files may be added as long as no message of them has been used.
        message_names: Tells what messages there are, for errors.
    """

    def __init__(
        self, pool: descriptor_pool.DescriptorPool, message_names: Callable[[], Iterable[str]] = tuple
    ) -> None:
        self.types = PoolTypes(pool, message_names)
        self._encoders = {
            "python": Encoders(self.types, PYTHON_VALUES),
            "json": Encoders(self.types, JSON_VALUES),
        }
        self._decoders: dict[DictFormat, Decoders] = {}
        self._codecs: dict[tuple[str, DictFormat], DictCodec] = {}

    def __repr__(self) -> str:
        return f"<DictCodecs {len(self._codecs)} in use>"

    def codec(self, full_name: str, form: DictFormat = DICT) -> DictCodec:
        """The codec of a message type.

        Args:
            full_name: Of the type.
            form: What its dicts look like.

        Raises:
            UsageError: No such message, in the pool or among the bundled ones.
            SchemaError: Its fields lead through more message types than protobuf's Python library can take.
        """
        codec = self._codecs.get((full_name, form))
        if codec is None:
            kind = self.types.find_message(full_name)
            if kind is None:
                known = {name for name, _ in self._codecs}
                raise UsageError(f'no message "{full_name}" in the schema{nearest(full_name, known)}')
            codec = DictCodec(kind, self._encoders[form.values], self._decoders_of(form))
            self._codecs[full_name, form] = codec
        return codec

    def _decoders_of(self, form: DictFormat) -> Decoders:
        decoders = self._decoders.get(form)
        if decoders is None:
            dialect = JSON_VALUES if form.values == "json" else PYTHON_VALUES
            decoders = self._decoders[form] = Decoders(self.types, dialect, form)
        return decoders


class DictCodec:
    """One message type between dicts and bytes.

    Attributes:
        name: The full name of the type.
        kind: The google.protobuf class in between.
    """

    __slots__ = ("_fill", "_has_required", "_parse", "_read", "_serialize", "kind", "name")

    def __init__(self, kind: type[Message], encoders: Encoders, decoders: Decoders) -> None:
        descriptor = descriptor_of(kind)
        self.name: str = descriptor.full_name
        self.kind = kind
        self._parse = kind.FromString
        self._serialize = kind.SerializeToString
        self._fill = encoders.fill_for(descriptor)
        self._read = decoders.read_for(descriptor)
        self._has_required = _has_required(descriptor)

    def __repr__(self) -> str:
        return f"<DictCodec {self.name}>"

    def to_message(self, value: Any) -> Message:
        """A new message that holds a value.

        Args:
            value: A dict, or what stands for a well-known type; a message of this type from any pool or library;
                None for an empty message.

        Raises:
            CodecError: The value does not fit; `.path` names the field.
        """
        message = self.kind()
        if isinstance(value, Message):
            self._check_type(value)
            self.kind.MergeFromString(message, type(value).SerializePartialToString(value))
        elif (typed := codec_of_message(value)) is not None:
            if not typed.is_of(descriptor_of(self.kind)):
                raise CodecError(f"expected {self.name}, not a message of {typed.name}")
            self.kind.MergeFromString(message, typed.encode(value))
        elif value is not None:
            try:
                self._fill(message, value, 0)
            except Fault as fault:
                raise fault.error() from fault.__cause__
        return message

    def encode(self, value: Any) -> bytes:
        """The serialized form of what `to_message` takes.

        Raises:
            CodecError: The value does not fit, or a required field is missing; `.path` names the field.
        """
        if type(value) is dict:
            message = self.kind()
            try:
                self._fill(message, value, 0)
            except Fault as fault:
                raise fault.error() from fault.__cause__
        else:
            message = self.to_message(value)
        if self._has_required:
            self._check_required(message)
        try:
            return self._serialize(message)
        except EncodeError as error:
            raise CodecError(f"{self.name} does not encode: {error}") from error

    def to_value(self, message: Message) -> Any:
        """The dict, or what stands for a well-known type, of a message of this type.

        Raises:
            CodecError: A well-known type holds what the format cannot, or an Any what does not parse.
        """
        try:
            return self._read(message, 0)
        except Fault as fault:
            raise fault.error() from fault.__cause__
        except UnicodeDecodeError as error:
            # protobuf gives a string that is no UTF-8 (proto2) as bytes, but not where it is the key of a map.
            raise CodecError(f"a key of a map in {self.name} is no UTF-8: {error.object!r}") from error

    def decode(self, data: bytes) -> Any:
        """Parse, and `to_value`.

        Raises:
            CodecError: The bytes are no message of this type, or as in `to_value`.
        """
        try:
            message = self._parse(data)
        except _PARSE_ERRORS as error:
            raise self._unreadable(data, error) from error
        if self._has_required:
            self._check_required(message)
        try:
            return self._read(message, 0)
        except Fault as fault:
            raise fault.error() from fault.__cause__
        except UnicodeDecodeError as error:
            # protobuf gives a string that is no UTF-8 (proto2) as bytes, but not where it is the key of a map.
            raise CodecError(f"a key of a map in {self.name} is no UTF-8: {error.object!r}") from error

    def parse(self, data: bytes) -> Message:
        """The google.protobuf message of a serialized one.

        Raises:
            CodecError: The bytes are no message of this type, or a required field is missing.
        """
        try:
            message = self._parse(data)
        except _PARSE_ERRORS as error:
            raise self._unreadable(data, error) from error
        if self._has_required:
            self._check_required(message)
        return message

    def message_codec(self) -> MessageCodec:
        """The pair of functions that calls use."""
        return MessageCodec(self.name, self.encode, self.decode)

    def _unreadable(self, data: bytes, error: Exception) -> CodecError:
        # upb: "Error parsing message with type 'x.Y': Wire format was corrupt".
        reason = str(error).rpartition("': ")[2]
        return CodecError(f"{len(data)} bytes are no valid {self.name}: {reason}")

    def _check_type(self, value: Message) -> None:
        # A Value or an Any would take a message of another type for content.
        found = descriptor_of(type(value)).full_name
        if found != self.name:
            raise CodecError(f"expected {self.name}, not a message of {found}")

    def _check_required(self, message: Message) -> None:
        path = missing_required(message)
        if path:
            raise CodecError(f"a required field of {self.name} is missing", path=path, incomplete=True)


def _has_required(descriptor: Descriptor) -> bool:
    """Whether a message of this type may hold a required field, at any depth or in an extension."""
    seen: set[Descriptor] = set()
    waiting = [descriptor]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if each.is_extendable:
            return True  # what an extension brings is not known beforehand
        for field in each.fields:
            if field.is_required:
                return True
            if field.message_type is not None:
                waiting.append(field.message_type)
    return False
