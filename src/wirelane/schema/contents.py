"""What a file declares and what it refers to, read off its descriptor before it is linked with others."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf import descriptor_pb2

__all__ = ["extendable", "extensions", "references", "symbols", "top_level"]

_File = descriptor_pb2.FileDescriptorProto
_Message = descriptor_pb2.DescriptorProto
_Field = descriptor_pb2.FieldDescriptorProto


def _prefix(file: _File) -> str:
    return f"{file.package}." if file.package else ""


def _messages(file: _File) -> Iterator[tuple[str, _Message]]:
    """Yield every message with its full name, nested ones too; by a list, because nesting may be deep."""
    waiting = [(_prefix(file) + message.name, message) for message in file.message_type]
    while waiting:
        name, message = waiting.pop()
        yield name, message
        waiting += [(f"{name}.{inner.name}", inner) for inner in message.nested_type]


def _extension_fields(file: _File) -> Iterator[tuple[str, _Field]]:
    for field in file.extension:
        yield _prefix(file) + field.name, field
    for name, message in _messages(file):
        for field in message.extension:
            yield f"{name}.{field.name}", field


def top_level(file: _File) -> set[str]:
    """Return the full names of what the file declares outside of messages."""
    return {
        _prefix(file) + element.name
        for elements in (file.message_type, file.enum_type, file.service, file.extension)
        for element in elements
    }


def symbols(file: _File) -> Iterator[str]:
    """Yield the full names of all services, messages, enums and extensions that the file declares."""
    yield from (_prefix(file) + service.name for service in file.service)
    yield from (_prefix(file) + enum.name for enum in file.enum_type)
    yield from (name for name, _ in _extension_fields(file))
    for name, message in _messages(file):
        yield name
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)


def references(file: _File) -> Iterator[str]:
    """Yield the full names of the messages and enums that the file's fields and methods need; repeatedly, perhaps."""
    for _, message in _messages(file):
        yield from (field.type_name.removeprefix(".") for field in message.field if field.type_name)
    for _, field in _extension_fields(file):
        yield field.extendee.removeprefix(".")
        if field.type_name:
            yield field.type_name.removeprefix(".")
    for service in file.service:
        for method in service.method:
            yield method.input_type.removeprefix(".")
            yield method.output_type.removeprefix(".")


def extensions(file: _File) -> Iterator[tuple[str, int]]:
    """Yield the extensions that the file declares: the full name of the extended message, and the number."""
    for _, field in _extension_fields(file):
        yield field.extendee.removeprefix("."), field.number


def extendable(file: _File) -> Iterator[str]:
    """Yield the full names of the messages that others may extend."""
    yield from (name for name, message in _messages(file) if message.extension_range)
