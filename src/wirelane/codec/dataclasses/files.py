"""Services of dataclasses as .proto files: descriptors as protoc would make them of the source that they are written as.

Contract: `schema_files` gives the files of any number of services together. A message or enum is in the package of the
service that uses it; in the file of the service, unless several files of one package need it: then it is in
`shared_types.proto` of that package, which they import. The same class is one message in a package, however many services
use it; two classes of one name there are refused. Docstrings are comments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2

from wirelane.codec.dataclasses.foreign import ForeignFiles, is_foreign
from wirelane.codec.dataclasses.kinds import (
    EnumKind,
    FieldSpec,
    ForeignKind,
    Kind,
    KnownKind,
    MessageKind,
    MessageSpec,
    ScalarKind,
    Shape,
)
from wirelane.codec.dataclasses.specs import reach
from wirelane.core.method import Cardinality
from wirelane.core.names import entry_name, is_full_name, is_identifier, json_name, snake_case
from wirelane.errors import UsageError
from wirelane.schema import wellknown

__all__ = ["MADE_FOR", "MethodSpec", "ServiceSpec", "message_files", "schema_files"]

MADE_FOR: Final = "__wirelane_made_for__"
"""The attribute of a class that nobody wrote: the function that it was made for."""

_Field = descriptor_pb2.FieldDescriptorProto
_Path = tuple[int, ...]
_SHARED: Final = "shared_types"
_KNOWN_FILES: Final = {
    "google.protobuf.Timestamp": "google/protobuf/timestamp.proto",
    "google.protobuf.Duration": "google/protobuf/duration.proto",
    "google.protobuf.Struct": "google/protobuf/struct.proto",
    "google.protobuf.Value": "google/protobuf/struct.proto",
}


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method of a service.

    Attributes:
        name: In the .proto.
        cardinality: Who streams.
        request: The class of the requests.
        response: The class of the replies.
        doc: The comment.
        deprecated: It is marked so.
    """

    name: str
    cardinality: Cardinality
    request: type
    response: type
    doc: str = ""
    deprecated: bool = False

    def __post_init__(self) -> None:
        if not is_identifier(self.name):
            raise UsageError(f"{self.name!r} is no name of a method in a .proto: ASCII letters, digits and _")


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service.

    Attributes:
        name: Its full name.
        methods: In the order of the .proto.
        doc: The comment.
        deprecated: It is marked so.
    """

    name: str
    methods: tuple[MethodSpec, ...] = ()
    doc: str = ""
    deprecated: bool = False

    def __post_init__(self) -> None:
        if not is_full_name(self.name):
            raise UsageError(f'{self.name!r} is no full name of a service; write it as in "shop.v1.Orders"')

    @property
    def package(self) -> str:
        """The package that it and its messages are in."""
        return self.name.rpartition(".")[0]

    @property
    def file(self) -> str:
        """The file that declares it."""
        return _file_name(self.package, snake_case(self.name.rpartition(".")[2]))


def _file_name(package: str, stem: str) -> str:
    return "/".join([*filter(None, package.split(".")), f"{stem}.proto"])


def schema_files(services: Iterable[ServiceSpec]) -> descriptor_pb2.FileDescriptorSet:
    """Return the files of services, without those that every schema may import.

    Raises:
        UsageError: Two things of one package have one name; or a message of another library has no file.
    """
    packages: dict[str, list[ServiceSpec]] = {}
    roots: list[type] = []
    for service in services:
        packages.setdefault(service.package, []).append(service)
        roots += _roots(service)
    out = _Files(roots)
    for package, members in packages.items():
        _Package(package, out).add(members)
    return out.finish()


def message_files(
    kind: type, package: str = "", names: Mapping[str, Any] | None = None
) -> descriptor_pb2.FileDescriptorSet:
    """Return the files of a dataclass and all that it leads to, without a service.

    Args:
        kind: The dataclass.
        package: Of all the messages.
        names: See `specs.reach`.

    Raises:
        UsageError: It cannot be a message.
    """
    reach([kind], names)
    out = _Files([kind])
    _Package(package, out).add_messages(kind)
    return out.finish()


class _Files:
    """Files in the making, and those of other libraries that they import."""

    def __init__(self, roots: Sequence[type]) -> None:
        self._made: dict[str, _File] = {}
        inside = [
            kind.python for spec in reach(roots).values() for field in spec.fields for kind in field.kinds
        ]
        self.foreign = ForeignFiles(
            kind for kind in [*roots, *inside] if kind is not None and is_foreign(kind)
        )

    def file(self, name: str, package: str) -> _File:
        """Return the file of a name, begun now if it was not."""
        file = self._made.get(name)
        if file is None:
            file = self._made[name] = _File(name, package)
        return file

    def finish(self) -> descriptor_pb2.FileDescriptorSet:
        """Return all of them."""
        found = descriptor_pb2.FileDescriptorSet()
        for name, file in self.foreign.files.items():
            if name in self._made:
                raise UsageError(
                    f'"{name}" would be the file of a service, and is that of messages that it uses'
                )
            if name not in wellknown.NAMES:
                found.file.append(file)
        for made in self._made.values():
            found.file.append(made.finish())
        return found


def _roots(service: ServiceSpec) -> list[type]:
    return [each for method in service.methods for each in (method.request, method.response)]


class _Package:
    """One package: which name is whose, and which file it is in."""

    def __init__(self, package: str, out: _Files) -> None:
        self._package = package
        self._out = out
        self._owners: dict[str, object] = {}
        self._homes: dict[object, str] = {}
        self._users: dict[object, set[str]] = {}
        self._specs: dict[type, MessageSpec] = {}
        self._enums: dict[type, EnumKind] = {}

    def add(self, services: Sequence[ServiceSpec]) -> None:
        """Write services, and their messages and enums."""
        files: dict[str, ServiceSpec] = {}
        for service in services:
            self._claim(service.name.rpartition(".")[2], service, f"the service {service.name}")
            other = files.setdefault(service.file, service)
            if other is not service:
                raise UsageError(f'{service.name} and {other.name} would both be the file "{service.file}"')
            self._use(_roots(service), service.file)
        self._place(files)
        for service in services:
            self._out.file(service.file, self._package).add_service(service, self)

    def add_messages(self, kind: type) -> None:
        """Write a dataclass, and what it leads to, in one file."""
        self._use([kind], _file_name(self._package, snake_case(kind.__name__)))
        self._place(())

    def _use(self, roots: Sequence[type], file: str) -> None:
        for kind, spec in reach(roots).items():
            self._claim(spec.name, kind, _where(kind))
            self._specs[kind] = spec
            self._users.setdefault(kind, set()).add(file)
            for each in _enums_of(spec):
                assert each.python is not None
                self._claim(each.name, each.python, _where(each.python))
                self._enums.setdefault(each.python, each)
                self._users.setdefault(each.python, set()).add(file)

    def _claim(self, name: str, owner: object, described: str) -> None:
        known = self._owners.setdefault(name, owner)
        if known is not owner:
            other = f"the service {known.name}" if isinstance(known, ServiceSpec) else _where(known)
            raise UsageError(
                f'"{".".join(filter(None, (self._package, name)))}" would be both {other} and {described}; rename one '
                'with @grpc.message(name="...") or @service.method(name="..."), or put one service into another package'
            )

    def _place(self, files: Iterable[str]) -> None:
        shared = _file_name(self._package, _SHARED)
        if shared in files and any(len(users) > 1 for users in self._users.values()):
            raise UsageError(f'"{shared}" is the file of what services share; rename the service')
        for kind, users in self._users.items():
            self._homes[kind] = next(iter(users)) if len(users) == 1 else shared
        # Where shared messages are, other files import it; it needs nothing of theirs, since whoever uses a message uses
        # all that it leads to.
        for kind, spec in self._specs.items():
            self._out.file(self._homes[kind], self._package).add_message(spec, self)
        for kind, each in self._enums.items():
            self._out.file(self._homes[kind], self._package).add_enum(each)

    def find(self, kind: Kind) -> tuple[str, str]:
        """Return the full name of a message or enum with a leading dot, and the file that declares it."""
        if isinstance(kind, KnownKind):
            return f".{kind.name}", _KNOWN_FILES[kind.name]
        if isinstance(kind, ForeignKind):
            full_name, file = self._out.foreign.place(kind.python)
            return f".{full_name}", file
        assert isinstance(kind, (MessageKind, EnumKind))
        name = self._specs[kind.python].name if isinstance(kind, MessageKind) else kind.name
        return self._full(name), self._homes[kind.python]

    def _full(self, name: str) -> str:
        return f".{self._package}.{name}" if self._package else f".{name}"


def _where(kind: object) -> str:
    made_for = vars(kind).get(MADE_FOR) if isinstance(kind, type) else None
    if made_for is not None:
        return f"what is made for {kind.__module__}.{made_for}"
    return f"{getattr(kind, '__module__', '?')}.{getattr(kind, '__qualname__', kind)}"


def _enums_of(spec: MessageSpec) -> Iterator[EnumKind]:
    for field in spec.fields:
        for kind in field.kinds:
            if isinstance(kind, EnumKind) and kind.python is not None:
                yield kind


class _File:
    """One file in the making."""

    def __init__(self, name: str, package: str) -> None:
        self._proto = descriptor_pb2.FileDescriptorProto(name=name, package=package or None, syntax="proto3")
        self._imports: set[str] = set()

    def finish(self) -> descriptor_pb2.FileDescriptorProto:
        """Return it, with the imports that turned out to be needed."""
        self._proto.dependency.extend(sorted(self._imports - {self._proto.name}))
        return self._proto

    def _comment(self, path: _Path, doc: str) -> None:
        if doc:
            text = "".join(f" {line}".rstrip() + "\n" for line in doc.splitlines())
            self._proto.source_code_info.location.add(path=path, span=(0, 0, 0), leading_comments=text)

    def _type(self, kind: Kind, package: _Package) -> str:
        name, file = package.find(kind)
        self._imports.add(file)
        return name

    # ------------------------------------------------------------------------------------------------ messages

    def add_message(self, spec: MessageSpec, package: _Package) -> None:
        """Write a message."""
        path = (4, len(self._proto.message_type))
        message = self._proto.message_type.add(name=spec.name)
        self._comment(path, spec.doc)
        scope = ".".join(["", *filter(None, (self._proto.package, spec.name))])
        for field in spec.fields:
            if field.shape is Shape.ONEOF:
                self._oneof(message, field, path, package)
            elif field.shape is Shape.MAP:
                self._map(message, field, path, scope, package)
            else:
                self._plain(message, field, path, scope, package)
        # Behind the real ones, as protoc has them.
        for made in message.field:
            if made.proto3_optional:
                made.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{made.name}")
        for first, last in _ranges(spec.reserved_numbers):
            message.reserved_range.add(start=first, end=last + 1)
        message.reserved_name.extend(spec.reserved_names)
        if spec.deprecated:
            message.options.deprecated = True

    def _plain(
        self,
        message: descriptor_pb2.DescriptorProto,
        field: FieldSpec,
        path: _Path,
        scope: str,
        package: _Package,
    ) -> None:
        assert field.kind is not None
        made = self._field(message, field.name, field.number, field, path)
        self._set_type(made, message, field.kind, path, scope, package)
        if field.shape is Shape.LIST:
            made.label = _Field.LABEL_REPEATED
        elif field.explicit:
            made.proto3_optional = True

    def _oneof(
        self, message: descriptor_pb2.DescriptorProto, field: FieldSpec, path: _Path, package: _Package
    ) -> None:
        index = len(message.oneof_decl)
        message.oneof_decl.add(name=field.name)
        self._comment((*path, 8, index), field.doc)
        for member in field.members:
            made = self._field(message, member.name, member.number, None, path)
            made.oneof_index = index
            if field.deprecated:
                made.options.deprecated = True
            self._set_type(made, message, member.kind, path, "", package)

    def _map(
        self,
        message: descriptor_pb2.DescriptorProto,
        field: FieldSpec,
        path: _Path,
        scope: str,
        package: _Package,
    ) -> None:
        assert field.key is not None
        assert field.kind is not None
        made = self._field(message, field.name, field.number, field, path)
        made.label = _Field.LABEL_REPEATED
        made.type = _Field.TYPE_MESSAGE
        made.type_name = f"{scope}.{entry_name(field.name)}"
        entry = message.nested_type.add(name=entry_name(field.name))
        entry.options.map_entry = True
        for number, (name, kind) in enumerate((("key", field.key), ("value", field.kind)), 1):
            part = entry.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL, json_name=name)
            self._set_type(part, message, kind, path, scope, package)

    def _field(
        self,
        message: descriptor_pb2.DescriptorProto,
        name: str,
        number: int,
        field: FieldSpec | None,
        path: _Path,
    ) -> _Field:
        if field is not None:
            self._comment((*path, 2, len(message.field)), field.doc)
        made = message.field.add(
            name=name, number=number, label=_Field.LABEL_OPTIONAL, json_name=json_name(name)
        )
        if field is not None and field.deprecated:
            made.options.deprecated = True
        return made

    def _set_type(
        self,
        made: _Field,
        message: descriptor_pb2.DescriptorProto,
        kind: Kind,
        path: _Path,
        scope: str,
        package: _Package,
    ) -> None:
        if isinstance(kind, ScalarKind):
            made.type = _Field.Type.Value(f"TYPE_{kind.proto.upper()}")
        elif isinstance(kind, EnumKind):
            made.type = _Field.TYPE_ENUM
            if kind.python is None:
                _fill_enum(message.enum_type.add(), kind)
                made.type_name = f"{scope}.{kind.name}"
            else:
                made.type_name = self._type(kind, package)
        else:
            made.type = _Field.TYPE_MESSAGE
            made.type_name = self._type(kind, package)

    # --------------------------------------------------------------------------------------- enums and services

    def add_enum(self, kind: EnumKind) -> None:
        """Write an enum."""
        self._comment((5, len(self._proto.enum_type)), kind.doc)
        _fill_enum(self._proto.enum_type.add(), kind)

    def add_service(self, spec: ServiceSpec, package: _Package) -> None:
        """Write a service."""
        path = (6, len(self._proto.service))
        service = self._proto.service.add(name=spec.name.rpartition(".")[2])
        self._comment(path, spec.doc)
        if spec.deprecated:
            service.options.deprecated = True
        for index, method in enumerate(spec.methods):
            self._comment((*path, 2, index), method.doc)
            made = service.method.add(
                name=method.name,
                input_type=self._type(_as_kind(method.request), package),
                output_type=self._type(_as_kind(method.response), package),
            )
            if method.cardinality.client_streaming:
                made.client_streaming = True
            if method.cardinality.server_streaming:
                made.server_streaming = True
            if method.deprecated:
                made.options.deprecated = True


def _as_kind(python: type) -> Kind:
    return ForeignKind(python) if is_foreign(python) else MessageKind(python)


def _fill_enum(made: Any, kind: EnumKind) -> None:
    made.name = kind.name
    for name, number in kind.values:
        made.value.add(name=name, number=number)


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield sorted numbers as ranges, both ends inclusive."""
    first: int | None = None
    last = 0
    for number in numbers:
        if first is not None and number > last + 1:
            yield first, last
            first = None
        first = number if first is None else first
        last = number
    if first is not None:
        yield first, last
