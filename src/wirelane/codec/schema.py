"""`Schema`: descriptors that also encode and decode.

A schema says what services, methods and messages there are (see `wirelane.schema.Descriptors`, its base) and
turns messages into bytes and back: as dicts, or, made from a module of generated messages, as those.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Self, TypeAlias, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

from wirelane.codec.base import MessageCodec
from wirelane.codec.dynamic import DictCodec, DictCodecs
from wirelane.codec.formats import DICT, JSON, Codec, DictFormat, Enums, format_of
from wirelane.codec.protobuf import message_codec
from wirelane.codec.raw import raw_codec
from wirelane.core.limits import Limits
from wirelane.errors import UsageError
from wirelane.schema import Descriptors
from wirelane.schema import sources as schema_sources

__all__ = ["Schema", "SchemaSource"]

SchemaSource: TypeAlias = schema_sources.Source | Descriptors | ModuleType | Sequence[ModuleType]
"""What `Schema.load` takes."""


class Schema(Descriptors):
    """Descriptors, and codecs for their messages. Immutable, shareable between threads and loops, picklable.

    `Schema.load` makes one of .proto files and other sources; calling the class, or `from_set`, makes one of
    a descriptor set.

    Args:
        data: A serialized `FileDescriptorSet`, or one already parsed.
        origin: Where it came from, for errors and `repr`.
        limits: How many bytes and files to accept.

    Raises:
        SchemaError: The files do not link.
        LimitExceeded: It is larger than `limits` allows.
    """

    __slots__ = ("_codecs", "_dicts", "_modules")

    def __init__(
        self,
        data: bytes | descriptor_pb2.FileDescriptorSet,
        *,
        origin: str = "descriptor set",
        limits: Limits | None = None,
    ) -> None:
        super().__init__(data, origin=origin, limits=limits)
        self._dicts = DictCodecs(self.pool, self._message_names)
        self._codecs: dict[tuple[str, Codec | None], MessageCodec] = {}
        self._modules: tuple[ModuleType, ...] = ()

    @classmethod
    def load(
        cls,
        source: SchemaSource,
        *,
        import_paths: Sequence[str | os.PathLike[str]] = (),
        limits: Limits | None = None,
        cache: bool = True,
        timeout: float | None = None,
    ) -> Self:
        """Make a schema of whatever names one.

        Blocks: it reads files, and runs protoc for .proto sources. From async code, call it in a thread.

        Args:
            source: A path to a .proto file, a directory or a descriptor set; .proto text; an http(s) URL; the
                bytes of a descriptor set; a mapping of import names to these, or a list of them; a schema; a
                module of google.protobuf messages (`x_pb2`) or a list of such, whose messages then decode as
                themselves.
            import_paths: Directories that import names are relative to.
            limits: Bounds on sizes, numbers, memory and time.
            cache: Use results compiled earlier, here or by another process, and keep this one.
            timeout: Seconds for all of it; `limits.schema_timeout` if None.

        Raises:
            SchemaError: Something is missing or wrong; it tells file, line and column.
            LimitExceeded: More bytes or files than `limits` allows.
            UsageError: `source` is nothing of the kind.
        """
        if isinstance(source, cls):
            return source
        if isinstance(source, Descriptors):
            data = source.to_set()
            return cls(data, origin=source.origin, limits=limits or _room_for(data))
        modules = _modules_of(source)
        if modules:
            return cls._from_modules(modules)
        loaded = schema_sources.load(
            cast("schema_sources.Source", source),
            import_paths=import_paths,
            limits=limits,
            cache=cache,
            timeout=timeout,
        )
        # The limits held for the sources; descriptors with comments are larger.
        return cls(loaded.data, origin=loaded.origin, limits=_room_for(loaded.data))

    @classmethod
    def _from_modules(cls, modules: tuple[ModuleType, ...]) -> Self:
        data = _set_of(modules)
        schema = cls(data, origin=", ".join(module.__name__ for module in modules), limits=_room_for(data))
        schema._modules = modules
        return schema

    def __reduce__(self) -> tuple[Any, ...]:
        if self._modules:
            return _restore_modules, (type(self), tuple(module.__name__ for module in self._modules))
        return _restore, (type(self), self.to_set(), self.origin)

    @property
    def dict_codecs(self) -> DictCodecs:
        """The dict codecs of all messages; `codec` is the way to one of them."""
        return self._dicts

    def codec(self, message_name: str, codec: Codec | None = None) -> MessageCodec:
        """What calls use for a message type.

        `encode` takes a dict, a google.protobuf message of this type from any pool, or None for an empty
        message; `decode` gives a dict, or, in a schema made from a module, that module's message.

        Args:
            message_name: The full name, "pkg.Message".
            codec: "dict", "json", "raw" (bytes in and out), or a `DictFormat`. None is "dict", or the messages of the
                module that the schema was made from.

        Raises:
            UsageError: There is no such message; the error names the nearest. Or no such codec.
        """
        found = self._codecs.get((message_name, codec))
        if found is None:
            found = self._codecs[message_name, codec] = self._make_codec(message_name, codec)
        return found

    def _make_codec(self, message_name: str, codec: Codec | None) -> MessageCodec:
        form = format_of("dict" if codec is None else codec)
        if form is None:
            return raw_codec(self.message_descriptor(message_name).full_name)
        dicts = self.dict_codec(message_name, form)
        kind = self._typed_class(dicts.name) if codec is None else None
        return dicts.message_codec() if kind is None else _typed_codec(dicts, kind)

    def dict_codec(self, message_name: str, form: DictFormat = DICT) -> DictCodec:
        """The dict codec of a message type, also where messages decode as those of a module.

        Args:
            message_name: The full name, "pkg.Message".
            form: What its dicts look like.

        Raises:
            UsageError: There is no such message; the error names the nearest.
        """
        return self._dicts.codec(self.message_descriptor(message_name).full_name, form)

    def encode(self, message_name: str, value: Any) -> bytes:
        """Serialize a dict, a message, or None for an empty one.

        Raises:
            UsageError: There is no such message.
            CodecError: The value does not fit; `.path` names the field.
        """
        return self.dict_codec(message_name).encode(value)

    def decode(
        self,
        message_name: str,
        data: bytes,
        *,
        json_names: bool = False,
        emit_defaults: bool = True,
        enums: Enums = "name",
    ) -> Any:
        """Parse to a dict, or, for a well-known type, to what stands for it.

        Args:
            message_name: The full name, "pkg.Message".
            data: A serialized message.
            json_names: Keys are lowerCamelCase names instead of those of the .proto file.
            emit_defaults: Fields without presence are there even where they hold their default. Fields with presence
                are there if they are set, in any case.
            enums: As "name" or "number".

        Raises:
            UsageError: There is no such message.
            CodecError: The bytes are no message of this type.
        """
        form = DICT
        if json_names or not emit_defaults or enums != "name":
            form = DictFormat(json_names=json_names, emit_defaults=emit_defaults, enums=enums)
        return self.dict_codec(message_name, form).decode(data)

    def to_json(
        self,
        message_name: str,
        value: Any,
        *,
        emit_defaults: bool = False,
        json_names: bool = False,
        enums: Enums = "name",
    ) -> Any:
        """The ProtoJSON form, ready for `json.dumps`, of what `encode` takes.

        Args:
            message_name: The full name, "pkg.Message".
            value: A dict, a message, or None for an empty one.
            emit_defaults: Write fields without presence even where they hold their default.
            json_names: Write lowerCamelCase names instead of those of the .proto file.
            enums: Write them as "name" or "number".

        Raises:
            UsageError: There is no such message.
            CodecError: The value does not fit, or has no JSON form; `.path` names the field.
        """
        form = DictFormat(values="json", emit_defaults=emit_defaults, json_names=json_names, enums=enums)
        return self.dict_codec(message_name, form).to_value(self.dict_codec(message_name).to_message(value))

    def from_json(self, message_name: str, content: Any) -> Any:
        """The dict, as `decode` gives it, of ProtoJSON that `json.loads` has read.

        Raises:
            UsageError: There is no such message.
            CodecError: The content does not fit; `.path` names the field.
        """
        return self.dict_codec(message_name).to_value(self.dict_codec(message_name, JSON).to_message(content))

    def _message_names(self) -> list[str]:
        return [name for name, kind in self._symbol_table().items() if kind == "message"]

    def _typed_class(self, full_name: str) -> type[Message] | None:
        for module in self._modules:
            pool: descriptor_pool.DescriptorPool = module.DESCRIPTOR.pool
            try:
                return message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
            except KeyError:
                continue
        return None


def _typed_codec(dicts: DictCodec, kind: type[Message]) -> MessageCodec:
    typed = message_codec(kind)
    return MessageCodec(dicts.name, dicts.encode, typed.decode, typed.parse, typed.faults)


def _modules_of(source: object) -> tuple[ModuleType, ...]:
    """The modules of generated messages that `source` is; none for any other source."""
    given = source if isinstance(source, (list, tuple)) else (source,)
    modules = tuple(each for each in given if isinstance(each, ModuleType))
    if modules and len(modules) < len(given):
        raise UsageError("a list of schema sources holds either modules of generated messages or none")
    for module in modules:
        if not isinstance(getattr(module, "DESCRIPTOR", None), FileDescriptor):
            raise UsageError(
                f"module {module.__name__} is no module of google.protobuf messages (x_pb2); stubs and messages of "
                "other libraries need no schema, or take the .proto file as one"
            )
    return modules


def _set_of(modules: tuple[ModuleType, ...]) -> bytes:
    files: dict[str, bytes] = {}
    waiting: list[FileDescriptor] = [module.DESCRIPTOR for module in modules]
    while waiting:
        file = waiting.pop()
        if file.name not in files:
            files[file.name] = file.serialized_pb
            waiting.extend(file.dependencies)
    found = descriptor_pb2.FileDescriptorSet()
    for content in files.values():
        found.file.add().MergeFromString(content)
    return found.SerializeToString()


def _room_for(data: bytes) -> Limits:
    """Limits for what is in this process already: refusing it would protect nothing."""
    least = Limits()
    return Limits(
        max_schema_bytes=max(least.max_schema_bytes, len(data)),
        # A file takes more than two bytes of a set.
        max_schema_files=max(least.max_schema_files, len(data)),
    )


def _restore(kind: type[Schema], data: bytes, origin: str) -> Schema:
    return kind(data, origin=origin, limits=_room_for(data))


def _restore_modules(kind: type[Schema], names: tuple[str, ...]) -> Schema:
    return kind.load([importlib.import_module(name) for name in names])
