"""Descriptors written as .proto source, comments included.

What is written compiles back to an equal descriptor: the order of nested messages, of the messages that groups and
maps make, of oneofs and of imports is kept, custom options are written with their names, and type names are shortened
only as far as the compiler's scoping rules find the same type again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from wirelane.core.names import json_name
from wirelane.schema.comments import NONE, Around
from wirelane.schema.members import Block, full_names, steps
from wirelane.schema.options import option_texts, quoted
from wirelane.schema.paths import Path, locate
from wirelane.schema.scoping import Scope

if TYPE_CHECKING:
    from wirelane.schema.pool import Descriptors

__all__ = ["KINDS", "proto_text"]

_Field = descriptor_pb2.FieldDescriptorProto
_Message = descriptor_pb2.DescriptorProto
_Enum = descriptor_pb2.EnumDescriptorProto
_Service = descriptor_pb2.ServiceDescriptorProto
_Method = descriptor_pb2.MethodDescriptorProto
_File = descriptor_pb2.FileDescriptorProto

KINDS: Final[dict[int, str]] = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}
"""Type numbers of FieldDescriptorProto to the words of .proto syntax."""

_LABELS: Final = {
    _Field.LABEL_OPTIONAL: "optional ",
    _Field.LABEL_REQUIRED: "required ",
    _Field.LABEL_REPEATED: "repeated ",
}
_VISIBILITY: Final = {0: "", 1: "local ", 2: "export "}
_MAX_FIELD: Final = 2**29  # one past the highest field number
_MAX_INT32: Final = 2**31 - 1
_INDENT: Final = "  "


def proto_text(descriptors: Descriptors, symbol: str) -> str:
    """Write a file (by name), or a service, method, message, enum or extension, in .proto syntax.

    Raises:
        UsageError: There is no such file or symbol.
    """
    if symbol in descriptors.files():
        renderer = _Renderer(descriptors, descriptors.file_proto(symbol))
        renderer.file()
        return renderer.text()
    kind, name = descriptors.find_symbol(symbol)
    file = descriptors.file_proto(descriptors.file_containing_symbol(name))
    renderer = _Renderer(descriptors, file)
    renderer.symbol(kind, name.replace("/", "."))
    return renderer.text()


class _Renderer:
    """Writes one file, or a part of it. Paths are those of SourceCodeInfo; they find the comments."""

    def __init__(self, descriptors: Descriptors, file: _File) -> None:
        self._pool = descriptors.pool
        self._file = file
        self._comments = descriptors.comments(file.name)
        self._scope = Scope(descriptors)
        self._lines: list[str] = []
        self._depth = 0

    def text(self) -> str:
        return "\n".join(self._lines).strip("\n") + "\n"

    # ------------------------------------------------------------------------------------------ lines

    def _line(self, text: str) -> None:
        self._lines.append(_INDENT * self._depth + text if text else "")

    def _blank(self) -> None:
        if self._lines and self._lines[-1] and not self._lines[-1].endswith("{"):
            self._lines.append("")

    def _remark(self, text: str) -> None:
        for line in text.removesuffix("\n").split("\n"):
            self._line(f"//{line.rstrip()}")

    def _put(self, path: Path, text: str) -> None:
        """Write a statement, or the opening of a block, among its comments."""
        self._put_among(self._comments.around(path), text)

    def _put_among(self, comments: Around, text: str) -> None:
        detached, leading, trailing = comments
        for block in detached:
            # A blank line on both sides, or the compiler would take it for a part of what it is beside.
            self._lines.append("")
            self._remark(block)
            self._lines.append("")
        if leading:
            self._remark(leading)
        if trailing and "\n" not in trailing.removesuffix("\n"):
            self._line(f"{text} //{trailing.rstrip()}")
            return
        self._line(text)
        if trailing:
            self._remark(trailing)
            self._lines.append("")

    def _open(self, path: Path, text: str) -> None:
        self._put(path, text + " {")
        self._depth += 1

    def _close(self) -> None:
        while self._lines[-1] == "":
            self._lines.pop()
        self._depth -= 1
        self._line("}")

    # ------------------------------------------------------------------------------------------- file

    def file(self) -> None:
        file = self._file
        if file.syntax == "editions":
            # The compiler files the statement under `syntax`, whichever of the two it is.
            edition = descriptor_pb2.Edition.Name(file.edition).removeprefix("EDITION_")
            self._put((12,), f'edition = "{edition}";')
        else:
            self._put((12,), f'syntax = "{file.syntax or "proto2"}";')
        if file.package:
            self._blank()
            self._put((2,), f"package {file.package};")
        self._imports()
        self._options(file.options, file.package, (), 8)
        self._members((), file.package, file.message_type, file.extension, None)
        for index, enum in enumerate(file.enum_type):
            self._blank()
            self._enum((5, index), enum, file.package)
        for index, service in enumerate(file.service):
            self._blank()
            self._service((6, index), service)

    def _imports(self) -> None:
        file = self._file
        if file.dependency:
            self._blank()
        public, weak = set(file.public_dependency), set(file.weak_dependency)
        for index, name in enumerate(file.dependency):
            modifier = "public " if index in public else "weak " if index in weak else ""
            self._put((3, index), f"import {modifier}{quoted(name)};")
        # The runtime knows this field (edition 2024) from protobuf 32 on.
        for index, name in enumerate(getattr(file, "option_dependency", ())):
            self._put((15, index), f"import option {quoted(name)};")

    def symbol(self, kind: str, name: str) -> None:
        path, chain = locate(self._file, name)
        element, scope = chain[-1], name.rpartition(".")[0]
        if isinstance(element, _Message):
            self._message(path, element, scope)
        elif isinstance(element, _Enum):
            self._enum(path, element, scope)
        elif isinstance(element, _Service):
            self._service(path, element)
        elif isinstance(element, _Method):
            self._method(path, element, scope)
        elif isinstance(element, _Field):
            self._extend([(path, element)], scope, {}, NONE)
        else:
            raise KeyError(f"{kind} {name}")

    # --------------------------------------------------------------------------------------- messages

    def _message(self, path: Path, message: _Message, scope: str) -> None:
        self._open(path, f"{_visibility(message)}message {message.name}")
        self._message_body(path, message, f"{scope}.{message.name}".lstrip("."))
        self._close()

    def _message_body(self, path: Path, message: _Message, name: str) -> None:
        self._options(message.options, name, path, 7)
        self._reserved(path, message, 9)
        self._ranges(path, message, name)
        for index, enum in enumerate(message.enum_type):
            self._blank()
            self._enum((*path, 4, index), enum, name)
        self._members(path, name, message.nested_type, message.extension, message)

    def _members(
        self,
        path: Path,
        scope: str,
        messages: Sequence[_Message],
        extensions: Sequence[_Field],
        parent: _Message | None,
    ) -> None:
        """Write what a message or, if `parent` is None, a file declares, in the order of `members.steps`."""
        fields = parent.field if parent is not None else ()
        message_number, extension_number = (4, 7) if parent is None else (3, 6)
        entries = full_names(messages, scope)
        for step in steps(scope, messages, fields, extensions):
            if isinstance(step, Block):
                self._extensions((*path, extension_number), step, extensions, scope, entries)
                continue
            what, index = step
            if what == "message":
                self._blank()
                self._message((*path, message_number, index), messages[index], scope)
                self._blank()
            elif what == "field":
                self._field((*path, 2, index), fields[index], scope, entries)
            elif parent is not None:
                self._oneof(path, parent, index, scope, entries)

    def _oneof(
        self, path: Path, parent: _Message, number: int, scope: str, entries: dict[str, _Message]
    ) -> None:
        oneof = parent.oneof_decl[number]
        self._open((*path, 8, number), f"oneof {oneof.name}")
        self._options(oneof.options, f"{scope}.{oneof.name}", (*path, 8, number), 2)
        for index, field in enumerate(parent.field):
            if field.HasField("oneof_index") and field.oneof_index == number and not field.proto3_optional:
                self._field((*path, 2, index), field, scope, entries, label=False)
        self._close()

    def _extensions(
        self, path: Path, block: Block, extensions: Sequence[_Field], scope: str, entries: dict[str, _Message]
    ) -> None:
        for indexes, comments in self._comments.statements(path, len(extensions)):
            chosen = [((*path, index), extensions[index]) for index in indexes if index in block.indexes]
            if chosen:
                self._blank()
                self._extend(chosen, scope, entries, comments)

    def _extend(
        self, block: list[tuple[Path, _Field]], scope: str, entries: dict[str, _Message], comments: Around
    ) -> None:
        self._put_among(comments, f"extend {self._scope.shorten(block[0][1].extendee, scope)} {{")
        self._depth += 1
        for path, field in block:
            self._field(path, field, scope, entries)
        self._close()

    def _field(
        self, path: Path, field: _Field, scope: str, entries: dict[str, _Message], *, label: bool = True
    ) -> None:
        made = entries.get(field.type_name)
        prefix = self._label(field) if label else ""
        options = self._bracketed(self._field_options(field, f"{scope}.{field.name}".lstrip(".")))
        if made is not None and made.options.map_entry and field.label == _Field.LABEL_REPEATED:
            key, value = (self._type(part, scope) for part in made.field)
            self._put(path, f"map<{key}, {value}> {field.name} = {field.number}{options};")
        elif made is not None and field.type == _Field.TYPE_GROUP:
            self._open(path, f"{prefix}group {made.name} = {field.number}{options}")
            body = (*path[:-2], *_group_path(path, list(entries).index(field.type_name)))
            self._message_body(body, made, field.type_name.lstrip("."))
            self._close()
        else:
            self._put(path, f"{prefix}{self._type(field, scope)} {field.name} = {field.number}{options};")

    def _label(self, field: _Field) -> str:
        if field.label == _Field.LABEL_REPEATED or self._file.syntax in ("", "proto2"):
            return _LABELS[field.label]
        return "optional " if field.proto3_optional else ""

    def _type(self, field: _Field, scope: str) -> str:
        return self._scope.shorten(field.type_name, scope) if field.type_name else KINDS[field.type]

    def _field_options(self, field: _Field, name: str) -> Iterable[str]:
        if field.HasField("default_value"):
            value = field.default_value
            if field.type == _Field.TYPE_STRING:
                value = quoted(value)
            elif field.type == _Field.TYPE_BYTES:
                value = f'"{value}"'  # the descriptor holds it escaped already
            yield f"default = {value}"
        if field.json_name and field.json_name != json_name(field.name):
            yield f"json_name = {quoted(field.json_name)}"
        yield from self._option_texts(field.options, name)

    def _reserved(self, path: Path, element: _Message | _Enum, number: int) -> None:
        """Write reserved numbers, then names; `number` is that of the list of numbers, names have the next."""
        # Ends are exclusive in messages and inclusive in enums.
        beyond, top = (1, _MAX_FIELD - 1) if isinstance(element, _Message) else (0, _MAX_INT32)
        ranges = [_span(each.start, each.end - beyond, top) for each in element.reserved_range]
        names = [name if self._file.syntax == "editions" else quoted(name) for name in element.reserved_name]
        for at, texts in ((number, ranges), (number + 1, names)):
            for indexes, comments in self._comments.statements((*path, at), len(texts)):
                self._put_among(comments, f"reserved {', '.join(texts[index] for index in indexes)};")

    def _ranges(self, path: Path, message: _Message, name: str) -> None:
        top = _MAX_INT32 - 1 if message.options.message_set_wire_format else _MAX_FIELD - 1
        ranges = message.extension_range
        texts = [self._bracketed(self._option_texts(each.options, name)) for each in ranges]
        for indexes, comments in self._comments.statements((*path, 5), len(ranges)):
            # One statement has one list of options; what pretends to be one statement may have several.
            for options in dict.fromkeys(texts[index] for index in indexes):
                alike = [ranges[index] for index in indexes if texts[index] == options]
                spans = ", ".join(_span(each.start, each.end - 1, top) for each in alike)
                self._put_among(comments, f"extensions {spans}{options};")
                comments = NONE

    # ----------------------------------------------------------------------------- enums and services

    def _enum(self, path: Path, enum: _Enum, scope: str) -> None:
        name = f"{scope}.{enum.name}".lstrip(".")
        self._open(path, f"{_visibility(enum)}enum {enum.name}")
        self._options(enum.options, name, path, 3)
        self._reserved(path, enum, 4)
        for index, value in enumerate(enum.value):
            options = self._bracketed(self._option_texts(value.options, name))
            self._put((*path, 2, index), f"{value.name} = {value.number}{options};")
        self._close()

    def _service(self, path: Path, service: _Service) -> None:
        name = f"{self._file.package}.{service.name}".lstrip(".")
        self._open(path, f"service {service.name}")
        self._options(service.options, name, path, 3)
        for index, method in enumerate(service.method):
            self._method((*path, 2, index), method, name)
        self._close()

    def _method(self, path: Path, method: _Method, scope: str) -> None:
        taken = ("stream " if method.client_streaming else "") + self._scope.shorten(method.input_type, scope)
        given = ("stream " if method.server_streaming else "") + self._scope.shorten(
            method.output_type, scope
        )
        head = f"rpc {method.name}({taken}) returns ({given})"
        name = f"{scope}.{method.name}"
        if not self._option_texts(method.options, name):
            # The compiler tells `{}` from `;`.
            self._put(path, head + (" {}" if method.HasField("options") else ";"))
            return
        self._open(path, head)
        self._options(method.options, name, path, 4)
        self._close()

    # ---------------------------------------------------------------------------------------- options

    def _options(self, options: Message, name: str, path: Path, number: int) -> None:
        """Write options as statements; `number` is that of the field that holds them."""
        for index, (below, text) in enumerate(self._option_paths(options, name)):
            if not index and not path:
                self._blank()
            self._put((*path, number, *below), f"option {text};")

    def _option_texts(self, options: Message, name: str) -> list[str]:
        return [text for _, text in self._option_paths(options, name)]

    def _option_paths(self, options: Message, name: str) -> Iterator[tuple[Path, str]]:
        return option_texts(options, self._pool, lambda extension: self._scope.whole(extension, name))

    @staticmethod
    def _bracketed(texts: Iterable[str]) -> str:
        inner = ", ".join(texts)
        return f" [{inner}]" if inner else ""


def _group_path(path: Path, index: int) -> Path:
    """Return the last step to the message of a group, which is beside its field: (3, i), or (4, i) in a file."""
    at_file = len(path) == 2
    return (4 if at_file else 3, index)


def _span(first: int, last: int, top: int) -> str:
    if first == last:
        return str(first)
    return f"{first} to {'max' if last >= top else last}"


def _visibility(element: _Message | _Enum) -> str:
    # Edition 2024; the runtime knows the field from protobuf 32 on.
    return _VISIBILITY.get(getattr(element, "visibility", 0), "")
