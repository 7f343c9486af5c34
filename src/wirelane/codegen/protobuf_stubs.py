"""The types of a module that protoc wrote: its .pyi.

Why not protoc's own: under mypy --strict it fails for a `Mapping` without arguments, and a field that is called like a type
(`int`, `bytes`) makes nonsense of every annotation behind it. Names in here are looked up from the class that uses them; one that
a member of the class hides is reached by another way.
"""

from __future__ import annotations

import keyword
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from wirelane.codegen.model import GOOGLE, Model
from wirelane.codegen.module import PyModule, with_docstring
from wirelane.codegen.protobuf_names import place_of
from wirelane.codegen.text import HEADER, WIDTH, alternatives, call, comment_line, indent, opened, signature

__all__ = ["write_stub"]

_Field = FieldDescriptor
_BUILTINS: Final = {
    **dict.fromkeys((_Field.TYPE_DOUBLE, _Field.TYPE_FLOAT), "float"),
    _Field.TYPE_BOOL: "bool",
    _Field.TYPE_STRING: "str",
    _Field.TYPE_BYTES: "bytes",
}
# What may be given for these in place of a message.
_INSTEAD: Final = {
    "google.protobuf.Timestamp": "_datetime.datetime",
    "google.protobuf.Duration": "_datetime.timedelta",
}
_OF_MESSAGES: Final = frozenset(dir(Message))
_IMPORTS: Final = (
    "import builtins as _builtins",
    "import datetime as _datetime",
    "from collections.abc import Iterable as _Iterable",
    "from collections.abc import Mapping as _Mapping",
    "from typing import Any as _Any",
    "from typing import ClassVar as _ClassVar",
    "",
    "from google.protobuf import descriptor as _descriptor",
    "from google.protobuf import message as _message",
    "from google.protobuf.internal import containers as _containers",
    "from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper",
)


def write_stub(model: Model, file: str) -> str:
    """Return the types of the module for a file."""
    writer = _Writer(model, file)
    body = writer.body()
    here = PyModule(place_of(file)[0], "_")
    lines = [HEADER, comment_line(f"Source: {file}"), "", *_IMPORTS]
    lines += sorted(writer.google)
    local = sorted(
        f"from {here.relative(parts)} import {name} as {alias}"
        for (parts, name), alias in writer.local.items()
    )
    public = _public(model, file, here)
    if local or public:
        lines += ["", *local, *sorted(public)]
    return "\n".join([*lines, "", "DESCRIPTOR: _descriptor.FileDescriptor", *body, ""])


def _public(model: Model, file: str, here: PyModule) -> list[str]:
    """Return the imports of what a file has by `import public`: names one by one, as `*` would bring DESCRIPTOR along."""
    lines = []
    proto = model.descriptors.file_proto(file)
    for index in proto.public_dependency:
        imported = model.descriptors.file_proto(proto.dependency[index])
        parts, stem = place_of(imported.name)
        found = _names(imported)
        origin = "google.protobuf" if imported.name.startswith(GOOGLE) else here.relative(parts)
        module = f"{origin}{'' if origin.endswith('.') else '.'}{stem}_pb2"
        lines += [f"from {module} import {name} as {name}" for name in sorted(found) if _writable(name)]
    return lines


def _names(file: descriptor_pb2.FileDescriptorProto) -> list[str]:
    """Return what is declared at the top of a file."""
    declared = (file.message_type, file.enum_type, file.extension)
    values = [value.name for enum in file.enum_type for value in enum.value]
    return [each.name for kind in declared for each in kind] + values


class _Writer:
    """Writes the classes of one file, and gathers what they import."""

    def __init__(self, model: Model, file: str) -> None:
        self._model = model
        self._file = file
        self._proto = proto = model.descriptors.file_proto(file)
        # What hides a name of Python from every class of the module.
        self._top = set(_names(proto))
        for index in proto.public_dependency:
            self._top.update(_names(model.descriptors.file_proto(proto.dependency[index])))
        self.google: set[str] = set()
        self.local: dict[tuple[tuple[str, ...], str], str] = {}

    def body(self) -> list[str]:
        """Return everything behind the imports."""
        lines: list[str] = []
        for index, enum in enumerate(self._proto.enum_type):
            lines += ["", *self._enum(enum, enum.name, (5, index)), ""]
            kind = enum.name if _writable(enum.name) else "_builtins.int"
            lines += [f"{value.name}: {kind}" for value in enum.value if _writable(value.name)]
        for index, message in enumerate(self._proto.message_type):
            lines += ["", *self._message(message, message.name, (4, index))]
        if self._proto.extension:
            lines.append("")
        for extension in self._proto.extension:
            lines += self._extension(extension, "")
        return lines

    def _said(self, path: tuple[int, ...]) -> list[str]:
        return [
            line.removeprefix("    ")
            for line in with_docstring([], self._model.comment(self._file, path), [])
        ]

    # ------------------------------------------------------------------------------------------ enums

    def _enum(
        self, enum: descriptor_pb2.EnumDescriptorProto, nested: str, path: tuple[int, ...]
    ) -> list[str]:
        if not _writable(enum.name):
            return []
        lines = ["__slots__ = ()"]
        depth = nested.count(".")
        for index, value in enumerate(enum.value):
            if _writable(value.name):
                lines += opened(f"{value.name}: _ClassVar[{nested}]", depth + 1)
                lines += self._said((*path, 2, index))
        bases = "_builtins.int, metaclass=_enum_type_wrapper.EnumTypeWrapper"
        head = [f"class {enum.name}({bases}):"]
        if len(head[0]) + 4 * depth > WIDTH:
            head = [f"class {enum.name}(", f"    {bases}", "):"]
        said = self._said(path)
        return [*head, *indent([*said, *([""] if said else []), *lines])]

    # --------------------------------------------------------------------------------------- messages

    def _message(
        self, message: descriptor_pb2.DescriptorProto, nested: str, path: tuple[int, ...]
    ) -> list[str]:
        if not _writable(message.name):
            return []
        inner = [each for each in message.nested_type if not each.options.map_entry]
        members = {field.name for field in (*message.field, *message.extension)}
        members |= {each.name for each in inner} | {enum.name for enum in message.enum_type}
        members |= {value.name for enum in message.enum_type for value in enum.value}
        said = self._said(path)
        lines: list[str] = [*said, ""] if said else []
        for index, enum in enumerate(message.enum_type):
            full = f"{nested}.{enum.name}"
            lines += [*_apart(lines), *self._enum(enum, full, (*path, 4, index)), ""]
            kind = full if _writable(enum.name) else "_builtins.int"
            for value in enum.value:
                if _writable(value.name):
                    lines += opened(f"{value.name}: _ClassVar[{kind}]", nested.count(".") + 1)
        for index, each in enumerate(message.nested_type):
            if not each.options.map_entry:
                lines += [
                    *_apart(lines),
                    *self._message(each, f"{nested}.{each.name}", (*path, 3, index)),
                    "",
                ]
        descriptor = self._model.message(f"{self._proto.package}.{nested}".removeprefix("."))
        fields = [descriptor.fields_by_number[field.number] for field in message.field]
        numbers: set[str] = set()
        for index, field in enumerate(fields):
            number = f"{field.name.upper()}_FIELD_NUMBER"
            if number not in numbers:  # "a" and "A" have one
                lines.append(f"{number}: _ClassVar[_builtins.int]")
                numbers.add(number)
            if _writable(field.name) and field.name not in _OF_MESSAGES:
                lines += self._attribute(field, members, nested.count(".") + 1)
                lines += self._said((*path, 2, index)) if not _is_property(field) else []
        for extension in message.extension:
            lines += self._extension(extension, "_ClassVar")
        return [
            f"class {message.name}(_message.Message):",
            *indent([*lines, *self._init(fields, members, nested.count(".") + 1)]),
        ]

    def _attribute(self, field: FieldDescriptor, members: set[str], depth: int) -> list[str]:
        kind = self._read(field, members)
        if not _is_property(field):
            return [f"{field.name}: {kind}"]
        this = "_self" if field.name == "self" else "self"
        return ["@_builtins.property", *signature(field.name, [this], kind, end=": ...", depth=depth)]

    def _init(self, fields: list[FieldDescriptor], members: set[str], depth: int) -> list[str]:
        taken = {field.name for field in fields}
        arguments = [
            f"{field.name}: {self._given(field, members)} | None = ..."
            for field in fields
            if _is_argument(field)
        ]
        arguments = ["*", *(_broken(argument, depth + 1) for argument in arguments)] if arguments else []
        if any(not _is_argument(field) for field in fields):
            arguments.append("**_others: _Any")
        this = "self" if "self" not in taken else "_self"
        return call("def __init__(", [this, *arguments], ") -> None: ...", depth=depth)

    def _extension(self, extension: descriptor_pb2.FieldDescriptorProto, wrapper: str) -> list[str]:
        number, kind = "_builtins.int", "_descriptor.FieldDescriptor"
        if wrapper:
            number, kind = f"{wrapper}[{number}]", f"{wrapper}[{kind}]"
        lines = [f"{extension.name.upper()}_FIELD_NUMBER: {number}"]
        return [*lines, f"{extension.name}: {kind}"] if _writable(extension.name) else lines

    # ------------------------------------------------------------------------------------------ types

    def _read(self, field: FieldDescriptor, members: set[str]) -> str:
        entry = _map_entry(field)
        if entry is not None:
            key, value = (self._one(part, members) for part in entry)
            kind = "MessageMap" if entry[1].message_type is not None else "ScalarMap"
            return f"_containers.{kind}[{key}, {value}]"
        one = self._one(field, members)
        if not field.is_repeated:
            return one
        kind = (
            "RepeatedCompositeFieldContainer"
            if field.message_type is not None
            else "RepeatedScalarFieldContainer"
        )
        return f"_containers.{kind}[{one}]"

    def _given(self, field: FieldDescriptor, members: set[str]) -> str:
        entry = _map_entry(field)
        if entry is not None:
            key, value = entry
            return f"_Mapping[{self._one(key, members)}, {self._one_given(value, members)}]"
        one = self._one_given(field, members)
        return f"_Iterable[{one}]" if field.is_repeated else one

    def _one_given(self, field: FieldDescriptor, members: set[str]) -> str:
        one = self._one(field, members)
        if field.message_type is not None:
            more = _INSTEAD.get(field.message_type.full_name)
            text = self._builtin("str", members)
            return " | ".join([*([more] if more else []), one, f"_Mapping[{text}, _Any]"])
        return f"{one} | _builtins.str" if field.enum_type is not None else one

    def _builtin(self, name: str, members: set[str]) -> str:
        return f"_builtins.{name}" if name in members or name in self._top else name

    def _one(self, field: FieldDescriptor, members: set[str]) -> str:
        kind = field.message_type if field.message_type is not None else field.enum_type
        if kind is None:
            return self._builtin(_BUILTINS.get(field.type, "int"), members)
        info = self._model.type(kind.full_name)
        if not all(_writable(part) for part in info.nested.split(".")):
            return "_message.Message" if field.message_type is not None else "_builtins.int"
        parts, stem = place_of(info.file)
        name = f"{stem}_pb2"
        if info.file.startswith(GOOGLE):
            self.google.add(f"from google.protobuf import {name} as _google_{name}")
            return f"_google_{name}.{info.nested}"
        if info.file == self._file and info.nested.partition(".")[0] not in members:
            return info.nested
        # Of another file; or hidden by a member of this class, and reached by way of its own module.
        alias = self.local.setdefault((parts, name), f"_{'_'.join([*parts, name])}")
        return f"{alias}.{info.nested}"


def _apart(lines: list[str]) -> list[str]:
    """Return the empty line before a class, unless there is one already or nothing before it."""
    return [""] if lines and lines[-1] else []


def _broken(argument: str, depth: int) -> str:
    """Return an argument, before each of its alternatives a new line if one is too short for all."""
    if len(argument) + 4 * depth + 1 <= WIDTH:
        return argument
    return "\n".join(line for piece in alternatives(argument) for line in opened(piece, depth))


def _writable(name: str) -> bool:
    """Whether a name can be written as an attribute; others are for getattr."""
    return not keyword.iskeyword(name) and not (name.startswith("__") and name.endswith("__"))


def _is_argument(field: FieldDescriptor) -> bool:
    """Whether a field can be a named argument; type checkers take two underscores in front for something else."""
    return not keyword.iskeyword(field.name) and not field.name.startswith("__")


def _is_property(field: FieldDescriptor) -> bool:
    """Whether a field cannot be assigned to, only changed."""
    return field.is_repeated or field.message_type is not None


def _map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    message = field.message_type
    if message is None or not message.GetOptions().map_entry:
        return None
    return message.fields_by_number[1], message.fields_by_number[2]
