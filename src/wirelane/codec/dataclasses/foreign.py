"""Message classes of google.protobuf and betterproto2 among dataclasses: their names and files.

Neither betterproto2 nor betterproto is imported: a class can only be one of theirs if the library was imported before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from wirelane.codec.protobuf import descriptor_of
from wirelane.errors import UsageError

__all__ = ["ForeignFiles", "is_foreign"]


def is_foreign(kind: type) -> bool:
    """Whether a type is a message of another library."""
    if issubclass(kind, Message):
        return getattr(kind, "DESCRIPTOR", None) is not None
    return _library_of(kind) is not None


def _library_of(kind: type) -> str | None:
    for library in ("betterproto2", "betterproto"):
        base = getattr(sys.modules.get(library), "Message", None)
        if isinstance(base, type) and issubclass(kind, base):
            return library
    return None


class ForeignFiles:
    """The files of messages of other libraries.

    Args:
        kinds: All of them at once, because betterproto2's are described together: a package is a file.

    Attributes:
        files: By name, with all that they import.

    Raises:
        UsageError: A class does not say what it is in a .proto, or two files have one name.
    """

    def __init__(self, kinds: Iterable[Any]) -> None:
        self._places: dict[type, tuple[str, str]] = {}
        self.files: dict[str, FileDescriptorProto] = {}
        described: list[Any] = []
        for kind in dict.fromkeys(kinds):
            if issubclass(kind, Message):
                self._add_google(kind)
            elif _library_of(kind) == "betterproto2":
                described.append(kind)
            else:
                raise UsageError(
                    f"{kind.__module__}.{kind.__qualname__}: betterproto's messages do not know their names in a .proto; use "
                    "dataclasses, or messages of betterproto2 or google.protobuf"
                )
        if described:
            self._add_betterproto2(described)

    def place(self, kind: type) -> tuple[str, str]:
        """Return the full name of a message, and the file that declares it."""
        return self._places[kind]

    def _add_google(self, kind: type[Message]) -> None:
        descriptor = descriptor_of(kind)
        self._places[kind] = descriptor.full_name, descriptor.file.name
        waiting = [descriptor.file]
        while waiting:
            file = waiting.pop()
            if self._add(FileDescriptorProto.FromString(file.serialized_pb)):
                waiting.extend(file.dependencies)

    def _add_betterproto2(self, kinds: list[Any]) -> None:
        from wirelane.codec.betterproto.describe import describe
        from wirelane.codec.betterproto.names import message_name
        from wirelane.codec.glue import Unplannable

        try:
            files = describe(kinds)
        except Unplannable as error:
            raise UsageError(str(error)) from error
        for file in files:
            self._add(file)
        homes = _declarations(files)
        for kind in kinds:
            _, full_name = message_name(kind)
            self._places[kind] = full_name, homes[full_name]

    def _add(self, file: FileDescriptorProto) -> bool:
        """Take a file; return whether it is new."""
        known = self.files.setdefault(file.name, file)
        if known is not file and known != file:
            raise UsageError(
                f'two different files are called "{file.name}": messages of one come from several libraries'
            )
        return known is file


def _declarations(files: Iterable[FileDescriptorProto]) -> Mapping[str, str]:
    """Return the file of every message, nested ones included."""
    homes: dict[str, str] = {}
    for file in files:
        waiting = [(file.package, message) for message in file.message_type]
        while waiting:
            scope, message = waiting.pop()
            name = f"{scope}.{message.name}".lstrip(".")
            homes[name] = file.name
            waiting += [(name, inner) for inner in message.nested_type]
    return homes
