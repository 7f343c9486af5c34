"""What there is to generate: the files of a request that need code, their types and services, in a fixed order.

A request is a `CodeGeneratorRequest`, as protoc gives it to plugins; the command makes one as well. What is generated
depends on the files alone, not on the order in which they, or anything else, were given: files come by name, and what
is in a file as it stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from wirelane.core.limits import Limits
from wirelane.core.method import Cardinality
from wirelane.errors import SchemaError
from wirelane.schema import Descriptors, wellknown
from wirelane.schema.comments import plain
from wirelane.schema.scan import check_import_name

__all__ = ["GOOGLE", "Model", "Rpc", "Service", "TypeInfo", "make_request"]

GOOGLE: Final = "google/protobuf/"
"""Where the well-known types are."""


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A message or enum.

    Attributes:
        full_name: "pkg.Outer.Inner".
        nested: The name within the package, "Outer.Inner".
        package: "pkg".
        file: The import name of its file.
        path: Where it is in its FileDescriptorProto.
        proto: Itself.
    """

    full_name: str
    nested: str
    package: str
    file: str
    path: tuple[int, ...]
    proto: descriptor_pb2.DescriptorProto | descriptor_pb2.EnumDescriptorProto


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method of a service; `input` and `output` are the full names of its messages."""

    name: str
    path: str
    cardinality: Cardinality
    input: str
    output: str
    comment: str
    deprecated: bool


@dataclass(frozen=True, slots=True)
class Service:
    """A service."""

    name: str
    full_name: str
    package: str
    file: str
    comment: str
    deprecated: bool
    rpcs: tuple[Rpc, ...]


def make_request(
    descriptors: Descriptors, files: Iterable[str], parameter: str = ""
) -> plugin_pb2.CodeGeneratorRequest:
    """Return the request to generate code for `files`, as protoc would make it."""
    return plugin_pb2.CodeGeneratorRequest(
        file_to_generate=sorted(files),
        parameter=parameter,
        proto_file=[descriptors.file_proto(name) for name in descriptors.files()],
    )


class Model:
    """The content of a request.

    Args:
        request: What is to be generated, and all that it imports.

    Raises:
        SchemaError: The descriptors do not link, or a file has a name that no .proto file can have.
    """

    def __init__(self, request: plugin_pb2.CodeGeneratorRequest) -> None:
        files = descriptor_pb2.FileDescriptorSet(file=request.proto_file)
        size = files.ByteSize()
        # Whoever made the request has held it to limits.
        limits = Limits(max_schema_bytes=max(size, 1), max_schema_files=max(len(files.file), 1))
        self.descriptors = Descriptors(files, origin="the request", limits=limits)
        for name in self.descriptors.files():
            wrong = check_import_name(name)
            if wrong is not None:
                raise SchemaError(f"the file name {name[:200]!r} {wrong}")
        self.asked = tuple(sorted(set(request.file_to_generate)))
        if not self.asked:
            raise SchemaError("there is no file to generate code for")

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The files that need code, by name: those that were asked for, and those whose types they use."""
        found = dict.fromkeys(self.asked)
        for name in found.copy():
            self._add_used(name, found)
        return tuple(sorted(found))

    def _add_used(self, name: str, found: dict[str, None]) -> None:
        waiting = [name]
        while waiting:
            for used in self._uses(waiting.pop()):
                if used not in found:
                    found[used] = None
                    waiting.append(used)

    def _uses(self, name: str) -> Iterator[str]:
        for info in self._types_of(name):
            if isinstance(info.proto, descriptor_pb2.DescriptorProto):
                entries = (nested for nested in info.proto.nested_type if nested.options.map_entry)
                fields = [*info.proto.field, *(field for entry in entries for field in entry.field)]
                named = (self._types.get(field.type_name.removeprefix(".")) for field in fields)
                yield from (used.file for used in named if used is not None)
        if name in self.asked:
            for service in self.descriptors.file_proto(name).service:
                for method in service.method:
                    yield self.type(method.input_type).file
                    yield self.type(method.output_type).file

    @cached_property
    def embedded(self) -> tuple[str, ...]:
        """The files that are needed to link those of `files`, by name, without the well-known ones."""
        found = dict.fromkeys(self.files)
        for name in (waiting := list(found)):  # grows while it is walked
            for imported in self.descriptors.file_proto(name).dependency:
                if imported not in found:
                    found[imported] = None
                    waiting.append(imported)
        return tuple(
            sorted(name for name in found if not (name.startswith(GOOGLE) and name in wellknown.NAMES))
        )

    @cached_property
    def _types(self) -> dict[str, TypeInfo]:
        return {info.full_name: info for name in self.descriptors.files() for info in self._types_of(name)}

    def _types_of(self, name: str) -> Iterator[TypeInfo]:
        proto = self.descriptors.file_proto(name)
        for index, enum in enumerate(proto.enum_type):
            yield _info(proto, "", enum, (5, index))
        for index, message in enumerate(proto.message_type):
            yield from _nested(proto, "", message, (4, index))

    def type(self, full_name: str) -> TypeInfo:
        """Return the message or enum of a full name."""
        return self._types[full_name.removeprefix(".")]

    def types(self, package: str | None = None) -> list[TypeInfo]:
        """Return the messages and enums that need code, of one package or of all, as they stand in their files."""
        infos = [info for name in self.files for info in self._types_of(name)]
        return infos if package is None else [info for info in infos if info.package == package]

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """The packages of the files that need code, sorted."""
        return tuple(sorted({self.package_of(name) for name in self.files}))

    def package_of(self, file: str) -> str:
        """Return the package of a file."""
        return self.descriptors.file_proto(file).package

    def files_of(self, package: str) -> list[str]:
        """Return the files of a package that need code."""
        return [name for name in self.files if self.package_of(name) == package]

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The services of the files that were asked for."""
        return tuple(service for name in self.asked for service in self._services_of(name))

    def _services_of(self, name: str) -> Iterator[Service]:
        proto = self.descriptors.file_proto(name)
        for index, service in enumerate(proto.service):
            full_name = f"{proto.package}.{service.name}" if proto.package else service.name
            rpcs = tuple(
                Rpc(
                    method.name,
                    f"/{full_name}/{method.name}",
                    Cardinality.of(method.client_streaming, method.server_streaming),
                    method.input_type.removeprefix("."),
                    method.output_type.removeprefix("."),
                    self.comment(name, (6, index, 2, place)),
                    method.options.deprecated,
                )
                for place, method in enumerate(service.method)
            )
            comment, deprecated = self.comment(name, (6, index)), service.options.deprecated
            yield Service(service.name, full_name, proto.package, name, comment, deprecated, rpcs)

    def comment(self, file: str, path: tuple[int, ...]) -> str:
        """Return what is said about an element, without comment signs; of the well-known types, nothing.

        Theirs come with the compiler, and change with its version.
        """
        if file.startswith(GOOGLE) and file in wellknown.NAMES:
            return ""
        return plain(self.descriptors.comments(file).leading(path))

    def message(self, full_name: str) -> Descriptor:
        """Return the linked descriptor of a message, whose fields know their presence in every edition."""
        return self.descriptors.message_descriptor(full_name)

    def is_empty(self, full_name: str) -> bool:
        """Whether a message has no fields."""
        return not self.message(full_name).fields

    def field(self, full_name: str, number: int) -> FieldDescriptor:
        """Return a field of a message."""
        return self.message(full_name).fields_by_number[number]


def _nested(
    file: descriptor_pb2.FileDescriptorProto,
    outer: str,
    message: descriptor_pb2.DescriptorProto,
    path: tuple[int, ...],
) -> Iterator[TypeInfo]:
    if message.options.map_entry:
        return
    info = _info(file, outer, message, path)
    yield info
    for index, enum in enumerate(message.enum_type):
        yield _info(file, info.nested, enum, (*path, 4, index))
    for index, inner in enumerate(message.nested_type):
        yield from _nested(file, info.nested, inner, (*path, 3, index))


def _info(
    file: descriptor_pb2.FileDescriptorProto,
    outer: str,
    proto: descriptor_pb2.DescriptorProto | descriptor_pb2.EnumDescriptorProto,
    path: tuple[int, ...],
) -> TypeInfo:
    nested = f"{outer}.{proto.name}" if outer else proto.name
    full_name = f"{file.package}.{nested}" if file.package else nested
    return TypeInfo(full_name, nested, file.package, file.name, path, proto)
