"""Message classes of google.protobuf and betterproto2 among dataclasses: their names and files.

Neither betterproto2 nor betterproto is imported: a class can only be one of theirs if the library was imported before.
"""

from __future__ import annotations

import sys
from typing import Any

from google.protobuf.message import Message

from wirelane.codec.protobuf import descriptor_of

__all__ = ["foreign_files", "is_foreign"]


def is_foreign(kind: type) -> bool:
    """Whether a type is a message of another library."""
    if issubclass(kind, Message):
        return getattr(kind, "DESCRIPTOR", None) is not None
    for library in ("betterproto2", "betterproto"):
        base = getattr(sys.modules.get(library), "Message", None)
        if isinstance(base, type) and issubclass(kind, base):
            return True
    return False


def foreign_files(kind: Any) -> tuple[str, str, dict[str, bytes]]:
    """Return the full name of a message, the name of its file, and all files that it needs, serialized."""
    descriptor = descriptor_of(kind)
    files: dict[str, bytes] = {}
    waiting = [descriptor.file]
    while waiting:
        file = waiting.pop()
        if file.name not in files:
            files[file.name] = file.serialized_pb
            waiting.extend(file.dependencies)
    return descriptor.full_name, descriptor.file.name, files
