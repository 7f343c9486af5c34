"""Files that every schema may import without having them: google/protobuf/*.proto, and google/rpc/*.proto.

They come from the protobuf runtime and from `wirelane.protos`, so that they fit what decodes them.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Final, cast

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from wirelane import protos

__all__ = ["ALWAYS", "NAMES", "file_bytes"]

_RUNTIME: Final = {
    f"google/protobuf/{name}.proto": f"google.protobuf.{name.replace('/', '.')}_pb2"
    for name in (
        "any",
        "api",
        "descriptor",
        "duration",
        "empty",
        "field_mask",
        "source_context",
        "struct",
        "timestamp",
        "type",
        "wrappers",
        "compiler/plugin",
    )
}

ALWAYS: Final = tuple(
    f"google/protobuf/{name}.proto"
    for name in ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")
)
"""What an Any may hold in any schema, whether it imports them or not. They import nothing."""

NAMES: Final = frozenset(_RUNTIME) | frozenset(
    f"google/rpc/{name}.proto" for name in ("code", "error_details", "status")
)
"""Every import name that `file_bytes` has."""


@cache
def file_bytes(name: str) -> bytes | None:
    """Return the serialized FileDescriptorProto of an import name, or None if it is no well-known one."""
    if name not in NAMES:
        return None
    module = _RUNTIME.get(name)
    if module is not None:
        return cast("FileDescriptor", importlib.import_module(module).DESCRIPTOR).serialized_pb
    known = descriptor_pb2.FileDescriptorSet.FromString(protos.descriptor_set("rpc"))
    return next((file.SerializeToString() for file in known.file if file.name == name), None)
