"""Descriptors of one schema: what services, methods and messages there are, and classes for its messages.

Every object has a descriptor pool of its own, so two versions of one file live side by side in a process, and
nothing is registered globally. Objects are immutable: threads and event loops may share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message import Message

from wirelane.core.limits import Limits
from wirelane.core.method import split_method
from wirelane.errors import SchemaError, UsageError
from wirelane.schema import linking, wellknown
from wirelane.schema.comments import Comments
from wirelane.schema.methods import MethodInfo
from wirelane.schema.names import by_suffix, did_you_mean

if TYPE_CHECKING:
    from wirelane.schema.descriptions import Description

__all__ = ["Descriptors", "MethodInfo"]

_NOT_FOUND: Final = (KeyError, TypeError)
"""What a pool raises for a name that it has not; the latter for one that is no Unicode, as from a command line."""


class Descriptors:
    """A linked, immutable set of .proto files.

    Args:
        data: A serialized `FileDescriptorSet`, or one already parsed. Files may come in any order; well-known
            ones (google/protobuf/*.proto, google/rpc/*.proto) may be left out.
        origin: Where it came from, for errors and `repr`.
        limits: How many bytes and files to accept.

    Raises:
        SchemaError: It is no descriptor set, a file that another imports is missing (the error names both), or
            the descriptors contradict each other.
        LimitExceeded: It is larger than `limits` allows.
    """

    __slots__ = (
        "__weakref__",
        "_bytes",
        "_comments",
        "_files",
        "_found",
        "_methods",
        "_origin",
        "_pool",
        "_protos",
        "_services",
        "_symbols",
    )

    def __init__(
        self,
        data: bytes | descriptor_pb2.FileDescriptorSet,
        *,
        origin: str = "descriptor set",
        limits: Limits | None = None,
    ) -> None:
        files = linking.read_set(data, origin=origin, limits=limits or Limits())
        linking.supply_missing(files)
        names = linking.in_import_order(files, origin=origin)
        self._origin = origin
        self._files = tuple(names)
        self._bytes = {name: files[name].SerializeToString(deterministic=True) for name in names}
        self._pool = descriptor_pool.DescriptorPool()
        for name, content in self._bytes.items():
            linking.build(self._pool, name, content)
        for name in wellknown.ALWAYS:
            self._add_unless_defined(name)
        # Filled on first use; filling them twice from two threads gives the same, so there is no lock.
        self._protos: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._comments: dict[str, Comments] = {}
        self._services: dict[str, ServiceDescriptor] | None = None
        self._symbols: dict[str, str] | None = None
        self._methods: dict[str, tuple[MethodInfo, ...]] = {}
        self._found: dict[str, MethodInfo] = {}

    @classmethod
    def from_set(
        cls,
        data: bytes | descriptor_pb2.FileDescriptorSet,
        *,
        origin: str = "descriptor set",
        limits: Limits | None = None,
    ) -> Self:
        """Make one of a descriptor set; the same as calling the class."""
        return cls(data, origin=origin, limits=limits)

    def _add_unless_defined(self, name: str) -> None:
        content = wellknown.file_bytes(name)
        assert content is not None
        file = descriptor_pb2.FileDescriptorProto.FromString(content)
        try:
            for message in file.message_type:
                _check_alike(message, self._pool.FindMessageTypeByName(f"{file.package}.{message.name}"))
        except KeyError:
            if name in self._bytes:
                return
            # Somebody who ships the same types under another file name has the say; nobody does so here, or not of all.
            linking.build(self._pool, name, content)
            self._bytes[name] = content

    def __repr__(self) -> str:
        files, services = len(self._files), len(self._service_table())
        return (
            f"<{type(self).__name__} {self._origin} {files} file{'' if files == 1 else 's'}, "
            f"{services} service{'' if services == 1 else 's'}>"
        )

    # ------------------------------------------------------------------------------------------- files

    @property
    def origin(self) -> str:
        """Where the schema came from, for people."""
        return self._origin

    @property
    def pool(self) -> descriptor_pool.DescriptorPool:
        """The private pool, for looking up and for protobuf's own functions; add nothing to it."""
        return self._pool

    def files(self) -> list[str]:
        """The names of all files, imports included, every file after those that it imports."""
        return list(self._files)

    def file_bytes(self, name: str) -> bytes:
        """The serialized FileDescriptorProto of a file, with source information if the schema has it.

        Raises:
            UsageError: There is no such file; the error names the nearest.
        """
        try:
            return self._bytes[name]
        except KeyError:
            raise UsageError(self._unknown("file", name, self._files)) from None

    def to_set(self) -> bytes:
        """The whole schema as a serialized FileDescriptorSet, from which an equal object can be made."""
        return linking.pack(self.file_proto(name) for name in self._files)

    def file_proto(self, name: str) -> descriptor_pb2.FileDescriptorProto:
        """The FileDescriptorProto of a file; shared, so copy it before changing it.

        Raises:
            UsageError: There is no such file.
        """
        proto = self._protos.get(name)
        if proto is None:
            proto = descriptor_pb2.FileDescriptorProto.FromString(self.file_bytes(name))
            self._protos[name] = proto
        return proto

    def comments(self, name: str) -> Comments:
        """The comments of a file, by the path of what they stand at; empty without source information."""
        comments = self._comments.get(name)
        if comments is None:
            comments = self._comments[name] = Comments(self.file_proto(name))
        return comments

    def file_containing_symbol(self, symbol: str) -> str:
        """The name of the file that declares a message, enum, service, method, field, extension or value.

        Raises:
            UsageError: Nothing has this full name; the error names the nearest.
        """
        name = symbol.removeprefix(".").replace("/", ".")
        try:
            return self._pool.FindFileContainingSymbol(name).name
        except _NOT_FOUND:
            pass
        # The runtime does not count methods among its symbols.
        service, _, method = name.rpartition(".")
        owner = self._service_table().get(service)
        if owner is None or not _has_method(owner, method):
            raise UsageError(self._unknown("symbol", name, self._symbol_table()))
        return owner.file.name

    def symbols(self) -> list[str]:
        """The full names of all services, messages, enums and extensions, nested ones too, sorted."""
        return sorted(self._symbol_table())

    def extension_numbers(self, message: str) -> list[int]:
        """The numbers of all extensions of a message that the schema knows, sorted.

        Raises:
            UsageError: There is no such message.
        """
        return sorted(
            field.number for field in self._pool.FindAllExtensions(self.message_descriptor(message))
        )

    def extension(self, message: str, number: int) -> FieldDescriptor:
        """The extension of a message with a number.

        Raises:
            UsageError: There is no such message, or no such extension.
        """
        try:
            return self._pool.FindExtensionByNumber(self.message_descriptor(message), number)
        except KeyError:
            raise UsageError(f"{message} has no extension {number} in {self._origin}") from None

    # ---------------------------------------------------------------------------------------- services

    def services(self) -> list[str]:
        """The full names of all services, sorted."""
        return sorted(self._service_table())

    def service_descriptor(self, name: str) -> ServiceDescriptor:
        """The service of a full name, or of the end of one ("Summator" for "pkg.Summator") if only one fits.

        Raises:
            UsageError: No service, or more than one, has this name.
        """
        table = self._service_table()
        exact = table.get(name.removeprefix("."))
        if exact is not None:
            return exact
        found = by_suffix(name, table)
        if len(found) == 1:
            return table[found[0]]
        if found:
            raise UsageError(
                f'"{name}" may be any of {", ".join(sorted(found))} in {self._origin}; write one in full'
            )
        raise UsageError(self._unknown("service", name, table))

    def methods(self, service: str) -> list[MethodInfo]:
        """The methods of a service, in the order of its .proto file.

        Raises:
            UsageError: No service, or more than one, has this name.
        """
        return list(self._methods_of(self.service_descriptor(service)))

    def find_method(self, name: str | MethodInfo) -> MethodInfo:
        """The method of "pkg.Svc/Method", "/pkg.Svc/Method" or "pkg.Svc.Method"; case counts.

        The package may be left out ("Summator/sum") where only one service fits.

        Raises:
            UsageError: There is no such method; the error names the nearest.
        """
        text = name.full_name if isinstance(name, MethodInfo) else name
        found = self._found.get(text)
        if found is None:
            found = self._found[text] = self._search_method(text)
        return found

    def _search_method(self, text: str) -> MethodInfo:
        service, method = split_method(text)
        descriptor = self.service_descriptor(service)
        methods = {info.name: info for info in self._methods_of(descriptor)}
        try:
            return methods[method]
        except KeyError:
            hint = did_you_mean(method, methods) or f"; it has {', '.join(methods) or 'none at all'}"
            raise UsageError(f'service {descriptor.full_name} has no method "{method}"{hint}') from None

    def _service_table(self) -> Mapping[str, ServiceDescriptor]:
        table = self._services
        if table is None:
            table = {}
            for name in self._files:
                for service in self._pool.FindFileByName(name).services_by_name.values():
                    table[service.full_name] = service
            self._services = table
        return table

    def _methods_of(self, service: ServiceDescriptor) -> tuple[MethodInfo, ...]:
        methods = self._methods.get(service.full_name)
        if methods is None:
            comments = self.comments(service.file.name)
            retired = service.GetOptions().deprecated
            methods = tuple(
                MethodInfo.of(
                    method, comment=comments.leading((6, service.index, 2, method.index)), retired=retired
                )
                for method in service.methods
            )
            self._methods[service.full_name] = methods
        return methods

    # ---------------------------------------------------------------------------------------- messages

    def message_descriptor(self, full_name: str) -> Descriptor:
        """The descriptor of a message, by its full name.

        Raises:
            UsageError: There is no such message; the error names the nearest.
        """
        try:
            return self._pool.FindMessageTypeByName(full_name.removeprefix("."))
        except _NOT_FOUND:
            messages = [name for name, kind in self._symbol_table().items() if kind == "message"]
            raise UsageError(self._unknown("message", full_name, messages)) from None

    def enum_descriptor(self, full_name: str) -> EnumDescriptor:
        """The descriptor of an enum, by its full name.

        Raises:
            UsageError: There is no such enum; the error names the nearest.
        """
        try:
            return self._pool.FindEnumTypeByName(full_name.removeprefix("."))
        except _NOT_FOUND:
            enums = [name for name, kind in self._symbol_table().items() if kind == "enum"]
            raise UsageError(self._unknown("enum", full_name, enums)) from None

    def message_class(self, full_name: str) -> type[Message]:
        """The google.protobuf class for a message, by its full name; the same class each time.

        Raises:
            UsageError: There is no such message; the error names the nearest.
        """
        return message_factory.GetMessageClass(self.message_descriptor(full_name))

    def _symbol_table(self) -> Mapping[str, str]:
        """All symbols with what they are: "service", "message", "enum" or "extension"."""
        table = self._symbols
        if table is None:
            table = dict(linking.symbols_of(self._pool.FindFileByName(name) for name in self._files))
            self._symbols = table
        return table

    def find_symbol(self, name: str) -> tuple[str, str]:
        """What a name stands for: ("service" | "method" | "message" | "enum" | "extension", full name).

        Accepts full names and, where only one symbol fits, their ends; methods also as "Svc/Method".

        Raises:
            UsageError: Nothing, or more than one thing, has this name; the error names the nearest.
        """
        table = self._symbol_table()
        text = name.removeprefix(".")
        if "/" in text:
            return "method", self.find_method(text).full_name
        if text in table:
            return table[text], text
        if self._is_method(text):
            return "method", self.find_method(text).full_name
        try:
            return "message", self._pool.FindMessageTypeByName(text).full_name
        except _NOT_FOUND:
            pass
        found = by_suffix(text, table)
        if len(found) == 1:
            return table[found[0]], found[0]
        if found:
            raise UsageError(
                f'"{name}" may be any of {", ".join(sorted(found))} in {self._origin}; write one in full'
            )
        raise UsageError(self._unknown("symbol", text, table))

    def _is_method(self, text: str) -> bool:
        service, _, method = text.rpartition(".")
        table = self._service_table()
        owners = [service] if service in table else by_suffix(service, table) if service else []
        return len(owners) == 1 and _has_method(table[owners[0]], method)

    # ------------------------------------------------------------------------------------ for people

    def describe(self, symbol: str) -> Description:
        """What a service, method, message, enum or extension is; `.to_dict()` for JSON, `str()` for .proto text.

        Raises:
            UsageError: There is no such symbol; the error names the nearest.
        """
        from wirelane.schema.describe import describe

        return describe(self, symbol)

    def template(self, message: str, *, json: bool = False) -> dict[str, object]:
        """A dict with every field of a message, to fill in; see `wirelane.schema.template`.

        Raises:
            UsageError: There is no such message; the error names the nearest.
        """
        from wirelane.schema.template import template

        return template(self, message, json=json)

    def proto_text(self, symbol: str) -> str:
        """A file (by name) or one symbol of it in .proto syntax, comments included.

        Raises:
            UsageError: There is no such file or symbol; the error names the nearest.
        """
        from wirelane.schema.render import proto_text

        return proto_text(self, symbol)

    def _unknown(
        self, kind: str, name: str, names: Mapping[str, object] | tuple[str, ...] | list[str]
    ) -> str:
        return f'no {kind} "{name}" in {self._origin}{did_you_mean(name, list(names))}'


def _has_method(service: ServiceDescriptor, name: str) -> bool:
    # Looking a name that is no Unicode up in protobuf's own mapping leaves the interpreter with an error that nobody raised.
    return any(method.name == name for method in service.methods)


def _check_alike(known: descriptor_pb2.DescriptorProto, found: Descriptor) -> None:
    # Their fields are read and written by name; all of them have been there from the beginning.
    for field in known.field:
        other = found.fields_by_number.get(field.number)
        if other is None or (other.name, other.type, other.is_repeated) != (
            field.name,
            field.type,
            field.label == field.LABEL_REPEATED,
        ):
            raise SchemaError(
                f'{found.full_name} is not the well-known type: it lacks "{field.name}"', file=found.file.name
            )
